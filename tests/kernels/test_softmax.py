"""Softmax and the products with its curvature in every home against dense formulas."""

from typing import Any

import numpy as np
import pytest

from numopt.kernels import bind
from tests.helpers.xp import make, to_numpy
from tests.kernels.cases import run, tolerance

SHAPES = [(0, 3), (1, 1), (5, 2), (33, 3), (700, 3), (31, 20), (2, 33), (1, 257), (3, 2049)]


def terms(xp: Any, margins: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Return loss and probabilities, which come with leftovers in them."""
    loss, probabilities = np.full(margins.shape[0], np.nan, margins.dtype), np.full_like(margins, np.nan)
    return run(xp, "softmax_terms", [margins, labels], [loss, probabilities])


def oracle(margins: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    shifted = margins.astype(np.longdouble) - margins.max(axis=1, keepdims=True)
    totals = np.exp(shifted).sum(axis=1, keepdims=True)
    return np.log(totals[:, 0]) - shifted[np.arange(labels.size), labels], np.exp(shifted) / totals


def product_oracle(P: np.ndarray, weights: np.ndarray, V: np.ndarray) -> np.ndarray:
    P, V = P.astype(np.longdouble), V.astype(np.longdouble)
    product = P * V - P * (P * V).sum(axis=1, keepdims=True)
    return weights[:, None] * product if weights.size else product


@pytest.mark.parametrize(("n", "k"), SHAPES)
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_terms_match_the_formula(xp: Any, n: int, k: int, dtype: str) -> None:
    rng = np.random.default_rng(0)
    margins, labels = (3 * rng.standard_normal((n, k))).astype(dtype), rng.integers(0, k, n)
    loss, probabilities = terms(xp, margins, labels)
    exact_loss, exact = oracle(margins, labels)
    assert loss.dtype == probabilities.dtype == dtype
    # The exponent of a small probability has the rounding error of its margin.
    rtol = tolerance(dtype, k + 40)
    np.testing.assert_allclose(probabilities, exact.astype(dtype), rtol=rtol)
    np.testing.assert_allclose(loss, exact_loss.astype(dtype), rtol=rtol, atol=rtol)


def test_extreme_margins_neither_overflow_nor_lose_the_limit(xp: Any) -> None:
    margins = np.array([[1e300, 0.0], [-1e300, 0.0], [800.0, -800.0], [-np.inf, 1.0], [1e300, 1e300]])
    loss, probabilities = terms(xp, margins, np.zeros(5, "i8"))
    np.testing.assert_allclose(loss, [0, 1e300, 0, np.inf, np.log(2)])
    np.testing.assert_allclose(probabilities, [[1, 0], [0, 1], [1, 0], [0, 1], [0.5, 0.5]], atol=1e-300)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_nan_comes_back_in_its_row(xp: Any, place: int) -> None:
    margins = np.arange(9.0).reshape(3, 3)
    margins[1, place] = np.nan
    loss, probabilities = terms(xp, margins, np.zeros(3, "i8"))
    np.testing.assert_array_equal(np.isnan(loss), [False, True, False])
    np.testing.assert_array_equal(np.isnan(probabilities).any(axis=1), [False, True, False])


@pytest.mark.parametrize(("n", "k"), SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_product_matches_the_formula(xp: Any, n: int, k: int, weighted: bool, dtype: str) -> None:
    rng = np.random.default_rng(0)
    P = rng.dirichlet(np.ones(k), n).astype(dtype).reshape(n, k)
    V = rng.standard_normal((n, k)).astype(dtype)
    weights = rng.random(n).astype(dtype) if weighted else np.empty(0, dtype)
    result = run(xp, "softmax_product", [P, weights, V], [np.full_like(V, np.nan)])[0]
    assert result.dtype == dtype
    atol = tolerance(dtype, k + 4) * np.abs(V).max(initial=0)
    np.testing.assert_allclose(result, product_oracle(P, weights, V).astype(dtype), rtol=0, atol=atol)


def test_product_may_overwrite_its_argument(xp: Any) -> None:
    rng = np.random.default_rng(0)
    P, V, weights = rng.dirichlet(np.ones(4), 9), rng.standard_normal((9, 4)), rng.random(9)
    expected = run(xp, "softmax_product", [P, weights, V], [np.empty_like(V)])[0]
    place = make(xp, V)
    bind(xp).softmax_product(make(xp, P), make(xp, weights), place, place)
    np.testing.assert_array_equal(to_numpy(place), expected)


@pytest.mark.gpu
def test_cuda_agrees_with_numba_to_1e_12() -> None:
    import array_api_compat.cupy as xp

    rng = np.random.default_rng(0)
    margins, labels = 5 * rng.standard_normal((3000, 10)), rng.integers(0, 10, 3000)
    for cuda, cpu in zip(terms(xp, margins, labels), terms(np, margins, labels), strict=True):
        np.testing.assert_allclose(cuda, cpu, rtol=1e-12, atol=1e-15)
