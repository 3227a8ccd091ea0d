"""The data sets of the experiments on block coordinate descent: the authors' draws, and the optima that are known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse.csgraph import connected_components

from numopt.problems import (
    lattice_labels_data,
    sparse_least_squares_data,
    sparse_logistic_data,
    sparse_multinomial_data,
    two_moons_data,
)


def legacy_design(rng, n, p):
    """The lines of the authors' script."""
    X = rng.randn(n, p) + 1
    X *= 10 * rng.randn(p)
    X *= rng.rand(n, p) < 10 * np.log(n) / n
    return X


def test_least_squares_keeps_seven_percent_of_the_entries_and_is_interpolated():
    data = sparse_least_squares_data()
    assert data.A.shape == (1000, 10000)
    assert data.A.nnz / 1e7 == pytest.approx(0.01 * np.log(1000), rel=0.01)
    assert data.f_opt == 0.0
    assert np.linalg.matrix_rank(data.A[:, :2000].toarray()) == 1000
    assert np.mean(data.coefficients != 0.0) == pytest.approx(0.1, abs=0.01)
    # The noise is standard normal.
    assert np.std(data.y - data.A @ data.coefficients) == pytest.approx(1.0, abs=0.1)


def test_least_squares_draws_in_the_order_of_the_description():
    rng = np.random.default_rng(3)
    X = (rng.standard_normal((40, 60)) + 1.0) * (10.0 * rng.standard_normal(60))
    X[rng.random((40, 60)) >= 10.0 * np.log(40) / 40] = 0.0
    w = rng.standard_normal(60) * (rng.random(60) < 0.1)
    data = sparse_least_squares_data(40, 60, seed=3)
    assert_array_equal(data.A.toarray(), X)
    assert_array_equal(data.coefficients, w)
    assert_allclose(data.y, X @ w + rng.standard_normal(40))


def test_least_squares_with_few_features_has_the_optimum_of_the_normal_equations():
    data = sparse_least_squares_data(60, 20)
    X = data.A.toarray()
    r = data.y - X @ np.linalg.solve(X.T @ X, X.T @ data.y)
    assert data.f_opt == pytest.approx(0.5 * r @ r, rel=1e-10)


def test_two_classes_are_the_authors_draw():
    data = sparse_logistic_data()
    rng = np.random.RandomState(1)
    X = legacy_design(rng, 1000, 10000)
    w = rng.randn(10000) * (rng.rand(10000) < 0.1)
    assert_array_equal(data.A.toarray(), X)
    assert_array_equal(data.coefficients, w)
    assert_array_equal(data.y, np.sign(X @ w) * np.sign(rng.rand(1000) - 0.1))
    assert set(data.y) == {-1.0, 1.0}


def test_many_classes_are_the_authors_draw():
    data = sparse_multinomial_data()
    rng = np.random.RandomState(1)
    X = legacy_design(rng, 1000, 1000)
    w = rng.randn(1000, 50)
    assert_array_equal(data.A.toarray(), X)
    assert_array_equal(data.y, np.argmax(X @ w + rng.randn(1000, 50), axis=1))
    assert (data.f_opt, data.attained) == (0.0, False)


@pytest.mark.parametrize(
    "data", [sparse_logistic_data(80, 120), sparse_multinomial_data(80, 120, 4)], ids=["two classes", "four classes"]
)
def test_classes_are_separable_so_that_the_infimum_is_zero(data):
    X = data.A.toarray()
    targets = data.y if data.y.ndim == 1 and data.y.dtype.kind == "f" else np.eye(4)[data.y]
    margins = X @ np.linalg.lstsq(X, targets, rcond=None)[0]
    # More features than samples: any margins can be had, and scaled up without end.
    assert_allclose(margins, targets, atol=1e-8)


def test_lattice_has_the_published_optimum_to_all_digits():
    data = lattice_labels_data()
    assert data.Q.shape == (2400, 2400)
    assert data.f_opt == pytest.approx(-1045999575.2270696, rel=1e-15)
    assert set(np.unique(data.W.data)) == {1e5}
    assert data.W.nnz == 4 * 50 * 49
    assert np.count_nonzero(data.mask) == 100


def energy(W, x):
    return 0.25 * np.sum(W.toarray() * np.subtract.outer(x, x) ** 2)


def test_quadratic_of_the_free_nodes_is_the_energy_of_the_graph():
    for data in (lattice_labels_data(7, 5, weight=2.0), two_moons_data(60, 8)):
        x = np.random.default_rng(0).standard_normal(len(data.c))
        full = data.labels.copy()
        full[~data.mask] = x
        fixed = np.where(data.mask, data.labels, 0.0)
        quadratic = 0.5 * x @ (data.Q @ x) - data.c @ x
        assert quadratic == pytest.approx(energy(data.W, full) - energy(data.W, fixed), rel=1e-12)
        best = np.linalg.solve(data.Q.toarray(), data.c)
        assert data.f_opt == pytest.approx(0.5 * best @ data.Q @ best - data.c @ best, rel=1e-12)


def test_moons_are_joined_to_their_nearest_neighbours():
    data = two_moons_data(100, 10, n_neighbors=3)
    distances = np.linalg.norm(data.points[:, None] - data.points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    near = np.zeros((100, 100), dtype=bool)
    near[np.arange(100)[:, None], np.argsort(distances, axis=1)[:, :3]] = True
    assert_array_equal(data.W.toarray(), (near | near.T).astype(float))
    assert_array_equal(data.labels[:50][data.mask[:50]], 1.0)
    assert_array_equal(data.labels[50:][data.mask[50:]], 2.0)


def test_moons_of_the_experiments_have_a_label_in_every_part():
    data = two_moons_data()
    assert data.Q.shape == (1900, 1900)
    count, part = connected_components(data.W)
    assert set(part[data.mask]) == set(range(count))
    # The published draw, another one, has -717.7.
    assert -850.0 < data.f_opt < -600.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lattice_labels_data(3, 9), "`n_labels` must be between 1 and 8, got 9"),
        (lambda: two_moons_data(10, 0), "`n_labels` must be between 1 and 9, got 0"),
        (lambda: two_moons_data(300, 1, n_neighbors=2, seed=1), "no node of the part of the graph with node"),
        (lambda: sparse_logistic_data(1, 5), "`n_samples` must be at least 2 and `n_features` at least 1, got 1 and 5"),
    ],
)
def test_bad_sizes_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
