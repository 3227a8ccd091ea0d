"""Synthetic text sets follow their recipe: lengths, words, weights, labels, in the order in which they are drawn."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

from numopt.problems import _text, synthetic_text
from numopt.problems._text import TextShape

SMALL = TextShape(n_samples=60, n_features=1500, mean_length=40.0, frequent=1000)


def by_hand(shape: TextShape, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The same set, dense and document by document."""
    n, p = shape.n_samples, shape.n_features
    rng = np.random.default_rng(seed)
    lengths = np.clip(np.round(shape.mean_length * rng.lognormal(-0.18, 0.6, n)), 5, 2000).astype(int)
    law = np.cumsum(np.arange(1, p + 1) ** -0.9)
    words = np.searchsorted(law / law[-1], rng.random(lengths.sum()))
    A, start = np.zeros((n, p)), 0
    for document, length in enumerate(lengths):
        for word in words[start : start + length]:
            A[document, word] += 1.0
        start += length
    frequency = (A > 0).sum(axis=0)
    for document in range(n):
        for word in np.flatnonzero(A[document]):
            A[document, word] = (1.0 + math.log(A[document, word])) * math.log(n / max(frequency[word], 1))
        A[document] /= np.linalg.norm(A[document])
    chosen = rng.permutation(shape.frequent)[:100]
    w = np.zeros(p)
    w[chosen] = rng.standard_normal(100)
    margin = A @ w
    margin = margin + 0.2 * np.std(margin) * rng.standard_normal(n)
    y = np.where(margin > np.median(margin), 1.0, -1.0)
    return A, np.where(rng.random(n) < 0.1, -y, y)


@pytest.mark.parametrize("seed", [0, 7])
def test_sets_follow_the_recipe(seed: int):
    data = synthetic_text(SMALL, seed=seed)
    A, y = by_hand(SMALL, seed)
    assert_allclose(data.X.toarray(), A, rtol=1e-13, atol=1e-15)
    assert_array_equal(data.y, y)


def test_words_come_out_the_same_in_pieces(monkeypatch: pytest.MonkeyPatch):
    whole = synthetic_text(SMALL)
    monkeypatch.setattr(_text, "CHUNK", 97)
    pieces = synthetic_text(SMALL)
    assert_array_equal(pieces.X.toarray(), whole.X.toarray())
    assert_array_equal(pieces.y, whole.y)


def test_rows_without_weight_stay_zero():
    weights = _text._weighted(csr_array(np.array([[2.0, 0.0], [1.0, 0.0]])))
    assert_array_equal(weights.toarray(), np.zeros((2, 2)))
    assert np.isfinite(weights.data).all()


def test_rcv1_shape_has_its_size_and_its_two_classes():
    data = synthetic_text("rcv1")
    assert data.X.shape == (20242, 47236)
    assert data.X.nnz == pytest.approx(1.77e6, rel=2e-3)
    assert data.X.indices.dtype == np.int32  # scikit-learn takes no wider ones
    assert data.X.has_canonical_format
    assert set(data.y.tolist()) == {-1.0, 1.0}
    assert abs(data.y.mean()) < 0.01
    assert_allclose(np.sqrt(data.X.power(2).sum(axis=1)), 1.0, rtol=1e-12)
    assert (data.name, data.task, data.source, data.n_features) == ("rcv1-shaped", "binary", "generator", 47236)


def test_lasso_on_the_rcv1_shape_has_the_known_supports():
    from sklearn.linear_model import Lasso

    data = synthetic_text("rcv1")
    largest = float(np.abs(data.X.T @ data.y).max())
    model = Lasso(alpha=largest / 10 / len(data.y), fit_intercept=False, tol=1e-10, max_iter=10_000)
    model.fit(data.X.tocsc(), data.y)
    assert np.count_nonzero(model.coef_) == 68


@pytest.mark.slow
def test_lasso_on_the_rcv1_shape_has_the_known_large_support():
    from sklearn.linear_model import Lasso

    data = synthetic_text("rcv1")
    largest = float(np.abs(data.X.T @ data.y).max())
    model = Lasso(alpha=largest / 100 / len(data.y), fit_intercept=False, tol=1e-11, max_iter=100_000)
    model.fit(data.X.tocsc(), data.y)
    assert np.count_nonzero(model.coef_) == pytest.approx(5295, abs=3)


@pytest.mark.slow
def test_news20_shape_has_its_size():
    data = synthetic_text("news20.binary")
    assert data.X.shape == (19996, 1355191)
    assert 7.5e6 < data.X.nnz < 9.5e6
    assert data.X.indices.dtype == np.int32
    assert_allclose(np.sqrt(data.X.power(2).sum(axis=1)), 1.0, rtol=1e-12)


def test_unknown_shapes_are_refused():
    with pytest.raises(ValueError, match=r"`shape` must be one of 'rcv1', 'news20.binary' or a TextShape, got 'real'"):
        synthetic_text("real")
