"""The CUDA sources, run as C++ on the CPU through the callers that run them on a GPU, against NumPy."""

from typing import Any

import numpy as np
import pytest

from numopt.kernels import bind
from numopt.kernels._cuda import gram, kaczmarz, logistic
from tests.emulator.emulator import Emulator, call
from tests.kernels import cases
from tests.kernels.test_gram import oracle as gram_oracle
from tests.kernels.test_kaczmarz import conditioned
from tests.kernels.test_logistic import oracle as logistic_oracle


# 6100 does not fit in shared memory.
@pytest.mark.parametrize(("n", "dtype"), [(1, "f8"), (33, "f8"), (257, "f8"), (6100, "f8"), (45, "f4"), (12100, "f4")])
def test_row_kaczmarz(emulator: Emulator, n: int, dtype: str) -> None:
    problem = cases.rows_problem(5, n, 12, dtype)
    x = problem.x.copy()
    call(emulator, kaczmarz.row_kaczmarz, *problem[:4], x)
    atol = cases.tolerance(dtype, 12 * (n + 4)) * (1 + np.abs(problem.x).max())
    np.testing.assert_allclose(x, cases.kaczmarz(problem), rtol=0, atol=atol)


@pytest.mark.parametrize(
    ("n", "dtype", "index"),
    [(1, "f8", "i4"), (65, "f8", "i4"), (6100, "f8", "i4"), (40, "f8", "i8"), (40, "f4", "i4"), (40, "f4", "i8")],
)
def test_csr_row_kaczmarz(emulator: Emulator, n: int, dtype: str, index: str) -> None:
    X = cases.sparse_matrix(5, n, 0.4, dtype, index)
    A = X.toarray()
    problem = cases.rows_problem(5, n, 12, dtype)._replace(A=A, norms2=np.sum(A * A, axis=1, dtype=dtype))
    x = problem.x.copy()
    call(emulator, kaczmarz.csr_row_kaczmarz, X.data, X.indices, X.indptr, *problem[1:4], x)
    atol = cases.tolerance(dtype, 12 * (n + 4)) * (1 + np.abs(problem.x).max())
    np.testing.assert_allclose(x, cases.kaczmarz(problem), rtol=0, atol=atol)


def test_a_thousand_steps_agree_with_numba_to_1e_12(emulator: Emulator) -> None:
    # A barrier of operating-system threads costs too much for a thousand steps of each sanitizer.
    problem = conditioned(40, 1e3)
    if emulator.mode != "fibers":
        problem = problem._replace(rows=problem.rows[:40])
    x, expected = problem.x.copy(), problem.x.copy()
    call(emulator, kaczmarz.row_kaczmarz, *problem[:4], x)
    bind(np).row_kaczmarz(*problem[:4], expected)
    np.testing.assert_allclose(x, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("m", "n", "parts", "dtype", "index"),
    [
        (0, 3, 2, "f8", "i4"),
        (1, 1, 1, "f8", "i4"),
        (9, 40, 2, "f8", "i4"),
        (20, 7, 3, "f8", "i8"),
        (12, 9, 2, "f4", "i4"),
        (12, 9, 2, "f4", "i8"),
    ],
)
def test_weighted_gram_csr(emulator: Emulator, m: int, n: int, parts: int, dtype: str, index: str) -> None:
    X = cases.sparse_matrix(m, n, 0.4, dtype, index)
    weights = np.random.default_rng(1).random(m).astype(dtype)
    weights[m // 2 :: 3] = 0
    work, out = np.full((parts, n, n), np.nan, dtype), np.full((n, n), np.nan, dtype)
    call(emulator, gram.weighted_gram_csr, X.data, X.indices, X.indptr, weights, work, out)
    atol = cases.tolerance(dtype, m + 4) * np.abs(gram_oracle(abs(X), weights)).max(initial=0)
    np.testing.assert_allclose(out, gram_oracle(X, weights).astype(dtype), rtol=0, atol=atol)
    np.testing.assert_array_equal(out, out.T)


@pytest.mark.parametrize(("n", "dtype"), [(1, "f8"), (300, "f8"), (33, "f4")])
def test_logistic_terms(emulator: Emulator, n: int, dtype: str) -> None:
    rng = np.random.default_rng(0)
    margins, labels = rng.standard_normal(n).astype(dtype), rng.choice([-1, 1], n).astype(dtype)
    outputs = [np.full(n, np.nan, dtype) for _ in range(3)]
    call(emulator, logistic.logistic_terms, margins, labels, *outputs)
    for result, expected in zip(outputs, logistic_oracle(margins, labels), strict=True):
        np.testing.assert_allclose(result, expected.astype(dtype), rtol=cases.tolerance(dtype, 40))


def test_nothing_is_launched_on_empty_input() -> None:
    def refuse(*launch: Any) -> None:
        raise AssertionError(f"launched {launch}")

    empty, index = np.empty(0), np.empty(0, np.int64)
    kaczmarz.row_kaczmarz(np.empty((2, 0)), np.ones(2), np.ones(2), np.array([0, 1]), empty, launch=refuse)
    kaczmarz.row_kaczmarz(np.ones((2, 3)), np.ones(2), np.ones(2), index, np.ones(3), launch=refuse)
    kaczmarz.csr_row_kaczmarz(empty, index, index, empty, empty, index, np.ones(3), launch=refuse)
    work, out = np.empty((2, 0, 0)), np.empty((0, 0))
    gram.weighted_gram_csr(empty, index, np.zeros(3, np.int64), np.ones(2), work, out, launch=refuse)
    logistic.logistic_terms(empty, empty, empty, empty, empty, launch=refuse)


def test_parts_fill_the_device_within_memory() -> None:
    assert gram.gram_parts(10**6, 100, multiprocessors=132) == 528
    assert gram.gram_parts(10, 100, multiprocessors=132) == 10
    assert gram.gram_parts(10**6, 10**5, multiprocessors=132) == 1
    assert gram.gram_parts(0, 0, multiprocessors=132) == 1
