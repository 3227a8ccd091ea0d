"""Row-action steps in every home against a loop in long doubles."""

from typing import Any

import numpy as np
import pytest

from tests.kernels.cases import SIZES, Rows, kaczmarz, rows_problem, run, sparse_matrix, tolerance


def dense_run(xp: Any, problem: Rows) -> np.ndarray:
    return run(xp, "row_kaczmarz", list(problem[:4]), [problem.x])[0]


def csr_run(xp: Any, X: Any, problem: Rows) -> np.ndarray:
    inputs = [X.data, X.indices, X.indptr, problem.b, problem.norms2, problem.rows]
    return run(xp, "csr_row_kaczmarz", inputs, [problem.x])[0]


def sparse_problem(m: int, n: int, steps: int, dtype: str = "f8", index: str = "i4") -> tuple[Any, Rows]:
    X = sparse_matrix(m, n, 0.3, dtype, index)
    A = X.toarray()
    drawn = rows_problem(m, n, steps, dtype, zero_row=False)
    return X, drawn._replace(A=A, b=A @ drawn.x + 1, norms2=np.sum(A * A, axis=1, dtype=dtype))


@pytest.mark.parametrize("n", SIZES)
def test_dense_steps_match_long_doubles(xp: Any, n: int) -> None:
    problem = rows_problem(5, n, 12)
    scale = 1 + np.abs(problem.x).max(initial=0)
    # A step does not grow errors (it is a projection), so they add up: a dot product's n eps, 12 times.
    np.testing.assert_allclose(
        dense_run(xp, problem), kaczmarz(problem), rtol=0, atol=tolerance("f8", 12 * (n + 4)) * scale
    )


def test_dense_steps_in_float32(xp: Any) -> None:
    problem = rows_problem(9, 33, 20, "f4")
    result = dense_run(xp, problem)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, kaczmarz(problem), rtol=0, atol=tolerance("f4", 20 * 37) * 4)


def test_dense_steps_solve_a_system(xp: Any) -> None:
    problem = rows_problem(12, 6, 600, zero_row=False)
    solution = np.linalg.lstsq(problem.A, problem.b)[0]
    error = np.linalg.norm(problem.x - solution)
    assert np.linalg.norm(dense_run(xp, problem) - solution) < 1e-6 * error


@pytest.mark.parametrize(("m", "n"), [(0, 3), (4, 0), (4, 1), (6, 33), (5, 257)])
def test_csr_steps_match_long_doubles(xp: Any, m: int, n: int) -> None:
    X, problem = sparse_problem(m, n, 12)
    scale = 1 + np.abs(problem.x).max(initial=0)
    atol = tolerance("f8", 12 * (n + 4)) * scale
    np.testing.assert_allclose(csr_run(xp, X, problem), kaczmarz(problem), rtol=0, atol=atol)


@pytest.mark.parametrize(("dtype", "index"), [("f4", "i4"), ("f8", "i8"), ("f4", "i8")])
def test_csr_steps_in_other_types(xp: Any, dtype: str, index: str) -> None:
    X, problem = sparse_problem(7, 11, 12, dtype, index)
    result = csr_run(xp, X, problem)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, kaczmarz(problem), rtol=0, atol=tolerance(dtype, 12 * 15) * 4)


def test_no_step_leaves_x_alone(xp: Any) -> None:
    problem = rows_problem(4, 5, 0)
    np.testing.assert_array_equal(dense_run(xp, problem), problem.x)


def test_a_zero_row_is_passed_over_whatever_its_right_side(xp: Any) -> None:
    problem = rows_problem(4, 5, 3)
    problem.b[1] = np.nan
    only_zero_rows = problem._replace(rows=np.array([1, 1, 1]))
    np.testing.assert_array_equal(dense_run(xp, only_zero_rows), problem.x)


def test_nan_in_a_row_spreads_over_x(xp: Any) -> None:
    problem = rows_problem(4, 37, 3)
    problem.A[2, 5] = np.nan
    touched = problem._replace(rows=np.array([0, 2, 3]))
    assert np.isnan(dense_run(xp, touched)).all()


def test_nan_stays_where_a_sparse_row_has_entries(xp: Any) -> None:
    X, problem = sparse_problem(6, 40, 1)
    problem.b[4] = np.nan
    result = csr_run(xp, X, problem._replace(rows=np.array([4])))
    np.testing.assert_array_equal(np.isnan(result), problem.A[4] != 0)


def test_an_infinite_unknown_outside_a_sparse_row_does_not_matter(xp: Any) -> None:
    X, problem = sparse_problem(6, 40, 1)
    outside = problem.A[4] == 0
    problem.x[outside] = np.inf
    result = csr_run(xp, X, problem._replace(rows=np.array([4])))
    assert np.isfinite(result[~outside]).all()
    assert np.isinf(result[outside]).all()


def test_a_thousand_steps_at_condition_1e3_agree_to_1e_12() -> None:
    problem = conditioned(64, 1e3)
    result = dense_run(np, problem)
    np.testing.assert_allclose(result, kaczmarz(problem), rtol=0, atol=1e-12 * np.abs(result).max())


def conditioned(n: int, condition: float) -> Rows:
    """Draw a square system of a given condition number and 1000 steps."""
    rng = np.random.default_rng(3)
    left, _ = np.linalg.qr(rng.standard_normal((n, n)))
    right, _ = np.linalg.qr(rng.standard_normal((n, n)))
    A = np.ascontiguousarray(left * np.geomspace(1, 1 / condition, n) @ right)
    b = A @ rng.standard_normal(n)
    return Rows(A, b, np.sum(A * A, axis=1), rng.integers(0, n, 1000), np.zeros(n))


@pytest.mark.gpu
@pytest.mark.parametrize("n", [33, 400, 6001])
def test_cuda_agrees_with_numba_to_1e_12(n: int) -> None:
    import array_api_compat.cupy as xp

    problem = conditioned(n, 1e3)
    cpu = dense_run(np, problem)
    np.testing.assert_allclose(dense_run(xp, problem), cpu, rtol=0, atol=1e-12 * np.abs(cpu).max())


@pytest.mark.gpu
def test_cuda_agrees_with_numba_on_sparse_rows() -> None:
    import array_api_compat.cupy as xp

    X, problem = sparse_problem(400, 300, 1000)
    cpu = csr_run(np, X, problem)
    np.testing.assert_allclose(csr_run(xp, X, problem), cpu, rtol=0, atol=1e-12 * np.abs(cpu).max())
