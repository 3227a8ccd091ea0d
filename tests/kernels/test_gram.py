"""The weighted Gram matrix in every home against a dense product."""

from typing import Any

import numpy as np
import pytest

from numopt.kernels import bind
from numopt.kernels._numba import gram as numba_gram
from tests.kernels.cases import run, sparse_matrix, tolerance


def gram(xp: Any, X: Any, weights: np.ndarray, parts: int = 1) -> np.ndarray:
    n = X.shape[1]
    # Scratch and result come with leftovers in them.
    work, out = np.full((parts, n, n), np.nan, X.dtype), np.full((n, n), np.nan, X.dtype)
    return run(xp, "weighted_gram_csr", [X.data, X.indices, X.indptr, weights], [work, out])[1]


def oracle(X: Any, weights: np.ndarray) -> np.ndarray:
    dense = X.toarray().astype(np.longdouble)
    return (dense.T * weights) @ dense


@pytest.mark.parametrize(("m", "n"), [(0, 3), (1, 1), (5, 1), (4, 7), (9, 33), (70, 6), (40, 65)])
@pytest.mark.parametrize("parts", [1, 3])
def test_gram_matches_a_dense_product(xp: Any, m: int, n: int, parts: int) -> None:
    X = sparse_matrix(m, n, 0.3)
    weights = np.random.default_rng(1).random(m)
    result = gram(xp, X, weights, parts)
    atol = tolerance("f8", m + 4) * np.abs(oracle(abs(X), weights)).max(initial=0)
    np.testing.assert_allclose(result, oracle(X, weights).astype("f8"), rtol=0, atol=atol)
    np.testing.assert_array_equal(result, result.T)


@pytest.mark.parametrize(("dtype", "index"), [("f4", "i4"), ("f8", "i8"), ("f4", "i8")])
def test_gram_in_other_types(xp: Any, dtype: str, index: str) -> None:
    X = sparse_matrix(12, 9, 0.4, dtype, index)
    weights = np.random.default_rng(1).random(12).astype(dtype)
    result = gram(xp, X, weights, 2)
    assert result.dtype == dtype
    atol = tolerance(dtype, 16) * np.abs(oracle(abs(X), weights)).max()
    np.testing.assert_allclose(result, oracle(X, weights).astype(dtype), rtol=0, atol=atol)


def test_sorted_and_shuffled_rows_give_the_same_matrix(xp: Any) -> None:
    shuffled = sparse_matrix(20, 11, 0.5)
    ordered = shuffled.copy()
    ordered.sort_indices()
    assert not shuffled.has_sorted_indices
    weights = np.random.default_rng(1).random(20)
    atol = tolerance("f8", 24) * np.abs(oracle(abs(ordered), weights)).max()
    np.testing.assert_allclose(gram(xp, shuffled, weights), gram(xp, ordered, weights), rtol=0, atol=atol)


def test_negative_weights_count(xp: Any) -> None:
    X = sparse_matrix(6, 5, 0.6)
    weights = np.linspace(-1, 1, 6)
    np.testing.assert_allclose(gram(xp, X, weights), oracle(X, weights).astype("f8"), atol=1e-14)


def test_a_row_of_weight_zero_is_left_out_even_if_it_holds_nan(xp: Any) -> None:
    X = sparse_matrix(6, 5, 0.6)
    X.data[X.indptr[2]] = np.nan
    weights = np.ones(6)
    weights[2] = 0
    assert np.isfinite(gram(xp, X, weights)).all()


def test_nan_shows_in_its_row_and_column(xp: Any) -> None:
    X = sparse_matrix(6, 5, 1.0)
    X.data[X.indptr[3]] = np.nan
    column = X.indices[X.indptr[3]]
    expected = np.zeros((5, 5), dtype=bool)
    expected[column, :] = expected[:, column] = True
    np.testing.assert_array_equal(np.isnan(gram(xp, X, np.ones(6))), expected)


def test_the_same_parts_give_the_same_bits(xp: Any) -> None:
    X = sparse_matrix(50, 8, 0.5)
    weights = np.random.default_rng(1).random(50)
    np.testing.assert_array_equal(gram(xp, X, weights, 3), gram(xp, X, weights, 3))


@pytest.mark.parametrize(("n_rows", "n"), [(0, 0), (0, 5), (3, 100), (10**6, 10), (10**5, 10**4)])
def test_parts_are_a_positive_number_that_memory_holds(xp: Any, n_rows: int, n: int) -> None:
    parts = bind(xp).gram_parts(n_rows, n)
    assert parts >= 1
    assert parts == 1 or 8 * parts * n * n <= 2**30


def test_parallel_form_gives_the_bits_of_the_serial_one() -> None:
    X = sparse_matrix(200, 20, 0.4)
    weights = np.random.default_rng(1).random(200)
    results = []
    for form in (numba_gram.weighted_gram_csr.serial, numba_gram.weighted_gram_csr.parallel):
        out = np.empty((20, 20))
        form(X.data, X.indices, X.indptr, weights, np.empty((4, 20, 20)), out)
        results.append(out)
    np.testing.assert_array_equal(*results)


@pytest.mark.gpu
def test_cuda_agrees_with_numba_to_1e_12() -> None:
    import array_api_compat.cupy as xp

    X = sparse_matrix(3000, 123, 0.1)
    weights = np.random.default_rng(1).random(3000)
    cpu = gram(np, X, weights, bind(np).gram_parts(*X.shape))
    cuda = gram(xp, X, weights, bind(xp).gram_parts(*X.shape))
    np.testing.assert_allclose(cuda, cpu, rtol=0, atol=1e-12 * np.abs(cpu).max())
