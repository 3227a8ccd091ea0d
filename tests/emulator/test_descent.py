"""Coordinate descent and softmax for the GPU, run as C++ on the CPU, against the formulas of the kernels' own tests."""

from typing import Any

import numpy as np
import pytest

from numopt.kernels import bind
from numopt.kernels._cuda import _build, descent, softmax
from tests.emulator.emulator import Emulator, call
from tests.kernels import test_softmax as softmax_cases
from tests.kernels.cases import sparse_matrix, tolerance
from tests.kernels.test_descent import bounded_gram_problem, columns_of, descend, descent_problem, gram_problem

TYPES = [("f8", "i4"), ("f8", "i8"), ("f4", "i4"), ("f4", "i8")]


# A lane, a few, a warp, and a block for each column.
@pytest.mark.parametrize(
    ("n", "k", "dtype", "index"),
    [(0, 3, "f8", "i4"), (3, 5, "f8", "i4"), (17, 9, "f8", "i8"), (300, 40, "f4", "i4"), (9000, 2, "f4", "i8")],
)
def test_column_sums(emulator: Emulator, n: int, k: int, dtype: str, index: str) -> None:
    rng = np.random.default_rng(2)
    A = sparse_matrix(k, n, 0.5, dtype).toarray().T
    v, exact, columns = rng.standard_normal(n).astype(dtype), A.astype(np.longdouble), columns_of(A, index)
    for kernel, vector, expected, size in (
        (descent.column_dots, v, v @ exact, np.abs(v) @ np.abs(exact)),
        (descent.column_squares, v, v @ exact**2, np.abs(v) @ exact**2),
        (descent.column_squares, v[:0], (exact**2).sum(axis=0), (exact**2).sum(axis=0)),
    ):
        out = np.full(k, np.nan, dtype)
        call(emulator, kernel, *columns, vector, out)
        assert (np.abs(out - expected) <= tolerance(dtype, n + 4) * size).all()


@pytest.mark.parametrize(("dtype", "index"), TYPES)
@pytest.mark.parametrize(("weighted", "centred"), [(False, False), (True, True)])
def test_descent(emulator: Emulator, dtype: str, index: str, weighted: bool, centred: bool) -> None:
    problem = descent_problem(90, 7, dtype, weighted=weighted, centred=centred, bounded=True)
    expected = descend(problem, 2)
    for kernel, matrix in (
        (descent.csc_descent, columns_of(problem.A, index)),
        (descent.dense_descent, (np.ascontiguousarray(problem.A.T),)),
    ):
        state = [*(part.copy() for part in problem[6:]), np.full(2, -1.0)]
        call(emulator, kernel, *matrix, *problem[1:6], *state)
        for result, exact in zip(state, expected, strict=True):
            atol = tolerance(dtype, 4000) * float(1 + np.abs(exact).max())
            np.testing.assert_allclose(result, exact.astype("f8"), rtol=0, atol=atol)


# Less than a warp, more than one chunk of the largest block, more than fits in shared memory.
@pytest.mark.parametrize(
    ("k", "dtype", "epochs"), [(0, "f8", 3), (1, "f8", 3), (45, "f8", 4), (130, "f4", 3), (1100, "f8", 1)]
)
def test_gram_descent(emulator: Emulator, k: int, dtype: str, epochs: int) -> None:
    H, penalty, x, g = gram_problem(k, dtype) if k else (np.empty((0, 0)), np.empty((4, 0)), np.empty(0), np.empty(0))
    if k > 1000:
        # Few coordinates move, far apart.
        g[np.arange(k) % 97 != 50], x[:], penalty[0] = 0, 0, 0.1
    expected = [x.copy(), g.copy(), np.zeros(epochs)]
    bind(np).gram_descent(H, penalty, *expected)
    state = [x.copy(), g.copy(), np.full(epochs, -1.0)]
    call(emulator, descent.gram_descent, H, penalty, *state)
    for result, exact in zip(state, expected, strict=True):
        np.testing.assert_allclose(result, exact, rtol=0, atol=tolerance(dtype, 1000))


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_gram_descent_with_the_gradient_in_global_memory(
    emulator: Emulator, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_build, "capacity", lambda n, dtype: 0)
    test_gram_descent(emulator, 70, dtype, 2)


def test_gram_descent_ends_when_nothing_changes(emulator: Emulator) -> None:
    H, penalty, x, g = bounded_gram_problem(70)
    violations = np.full(5, -1.0)
    call(emulator, descent.gram_descent, H, penalty, x, g, violations)
    assert violations[0] > 0
    np.testing.assert_array_equal(violations[1:], [0, np.nan, np.nan, np.nan])


def test_nan_ends_neither_in_a_hang_nor_unseen(emulator: Emulator) -> None:
    H, penalty, x, g = gram_problem(40)
    x[3], g[20] = np.nan, np.nan
    violations = np.zeros(2)
    call(emulator, descent.gram_descent, H, penalty, x, g, violations)
    assert np.isnan(violations).all()
    problem = descent_problem(20, 3)
    problem.s[:] = np.nan
    state = [*(part.copy() for part in problem[6:]), np.zeros(1)]
    call(emulator, descent.csc_descent, *columns_of(problem.A), *problem[1:6], *state)
    assert np.isnan(state[3]).all()


@pytest.mark.parametrize(("dtype", "index"), TYPES)
@pytest.mark.parametrize(("n", "k", "first"), [(50, 9, 0), (50, 9, 6), (9, 40, 39), (0, 3, 1), (7, 5, 5)])
def test_csc_gram(emulator: Emulator, n: int, k: int, first: int, dtype: str, index: str) -> None:
    A = sparse_matrix(k, n, 0.4, dtype).toarray().T
    weights = np.random.default_rng(1).standard_normal(n).astype(dtype)[: n * (k % 2)]
    columns, H = columns_of(A, index), np.full((k, k), 99, dtype)
    work = np.full(descent.csc_gram_work(n, k, columns[0].size, multiprocessors=1), np.nan, dtype)
    call(emulator, descent.csc_gram, *columns, weights, first, np.empty(n + 1, "i8"), np.empty(0, "i4"), work, H)
    exact = A.T.astype(np.longdouble) * (weights if weights.size else 1) @ A
    new = np.maximum.outer(np.arange(k), np.arange(k)) >= first
    size = np.abs(A.T) * (np.abs(weights) if weights.size else 1) @ np.abs(A)
    assert (np.abs(H - exact) <= tolerance(dtype, n + 4) * size)[new].all()
    np.testing.assert_array_equal(H[~new], 99)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (33, 3), (300, 10), (3, 70)])
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_softmax(emulator: Emulator, n: int, k: int, dtype: str) -> None:
    rng = np.random.default_rng(0)
    margins, labels = (3 * rng.standard_normal((n, k))).astype(dtype), rng.integers(0, k, n)
    loss, probabilities = np.full(n, np.nan, dtype), np.full((n, k), np.nan, dtype)
    call(emulator, softmax.softmax_terms, margins, labels, loss, probabilities)
    exact_loss, exact = softmax_cases.oracle(margins, labels)
    rtol = tolerance(dtype, k + 40)
    np.testing.assert_allclose(probabilities, exact.astype(dtype), rtol=rtol)
    np.testing.assert_allclose(loss, exact_loss.astype(dtype), rtol=rtol, atol=rtol)
    V, weights = rng.standard_normal((n, k)).astype(dtype), rng.random(n).astype(dtype)
    for scales in (weights, weights[:0]):
        out = V.copy()
        call(emulator, softmax.softmax_product, probabilities, scales, V, out)
        expected = softmax_cases.product_oracle(probabilities, scales, V).astype(dtype)
        np.testing.assert_allclose(out, expected, rtol=0, atol=tolerance(dtype, k + 4) * np.abs(V).max())


def test_nan_margins_come_back_in_their_row(emulator: Emulator) -> None:
    margins = np.arange(12.0).reshape(3, 4)
    margins[1, 2] = np.nan
    loss, probabilities = np.zeros(3), np.zeros((3, 4))
    call(emulator, softmax.softmax_terms, margins, np.zeros(3, "i8"), loss, probabilities)
    np.testing.assert_array_equal(np.isnan(loss), [False, True, False])
    np.testing.assert_array_equal(np.isnan(probabilities).all(axis=1), [False, True, False])


def test_scratch_fits_in_memory_and_holds_a_column() -> None:
    assert descent.csc_gram_work(1000, 50, 10**4, multiprocessors=132) == 50_000
    assert descent.csc_gram_work(10**6, 10**4, 10**7, multiprocessors=132) <= 2**27
    assert descent.csc_gram_work(10**9, 10, 10**9, multiprocessors=132) == 10**9
    assert descent.csc_gram_work(0, 0, 0, multiprocessors=132) == 0


def test_nothing_is_launched_on_empty_input() -> None:
    def refuse(*launch: Any) -> None:
        raise AssertionError(f"launched {launch}")

    empty, indptr, none = np.empty(0), np.zeros(1, "i4"), np.empty((0, 0))
    descent.column_dots(empty, indptr[:0], indptr, empty, empty, launch=refuse)
    descent.csc_descent(empty, indptr[:0], indptr, *[empty] * 8, empty, launch=refuse)
    descent.gram_descent(np.eye(2), np.ones((4, 2)), np.ones(2), np.ones(2), empty, launch=refuse)
    descent.csc_gram(empty, indptr[:0], indptr, empty, 0, np.zeros(1, "i8"), indptr, empty, none, launch=refuse)
    softmax.softmax_terms(np.empty((0, 3)), indptr[:0], empty, np.empty((0, 3)), launch=refuse)
    softmax.softmax_product(np.empty((0, 3)), empty, np.empty((0, 3)), np.empty((0, 3)), launch=refuse)
