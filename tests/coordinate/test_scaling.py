"""`x_scale`: the same optimum in other units."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from numopt.coordinate import LeastSquares, Logistic, Multinomial, Quadratic, bcd


def badly_scaled() -> tuple[Any, Any, Any]:
    """Return data whose columns differ by eight orders of magnitude, and what evens them."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((50, 20)) * 10.0 ** rng.uniform(-4, 4, 20)
    return A, rng.standard_normal(50), 1 / np.linalg.norm(A, axis=0)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array, sp.csc_array])
@pytest.mark.parametrize("kind", ["lasso", "nonneg", "logistic", "quadratic"])
def test_scaled_problem_has_the_same_solution(convert: Any, kind: str) -> None:
    A, b, scale = badly_scaled()
    problem = {
        "lasso": lambda: LeastSquares(convert(A), b, l1=0.5 / scale, l2=0.1, intercept=True),
        "nonneg": lambda: LeastSquares(convert(A), b, nonneg=True),
        "logistic": lambda: Logistic(convert(A), np.sign(b), l1=0.1 / scale),
        "quadratic": lambda: Quadratic(convert(A.T @ A), A.T @ b, bounds=(-1, 2)),
    }[kind]()
    scaled, plain = bcd(problem, x_scale=scale, tol=1e-10), bcd(problem, tol=1e-12)
    assert scaled.success
    np.testing.assert_allclose(scaled.x / scale, plain.x / scale, atol=1e-8)
    assert scaled.fun == pytest.approx(problem.evaluate(scaled.x, scaled.get("intercept", 0.0)).fun)
    np.testing.assert_array_equal(scaled.lipschitz, problem.lipschitz)


def test_callbacks_and_starts_are_in_the_users_units() -> None:
    A, b, scale = badly_scaled()
    problem = LeastSquares(A, b, l1=0.5 / scale, intercept=True)
    best = bcd(problem, tol=1e-12)
    seen = []

    def watch(intermediate_result: Any) -> None:
        seen.append((intermediate_result.fun, intermediate_result.x, intermediate_result.intercept))

    assert bcd(problem, best, x_scale=scale, tol=1e-8).nit == 0
    bcd(problem, x_scale=scale, callback=watch, tol=1e-8, working_set=2)
    assert seen
    for fun, x, constant in seen:
        assert problem.evaluate(x, constant).fun == pytest.approx(fun)


@pytest.mark.parametrize("value", [np.zeros(20), -np.ones(20), np.full(20, np.nan), np.ones(3)])
def test_bad_scales_are_refused(value: Any) -> None:
    A, b, _ = badly_scaled()
    with pytest.raises(ValueError, match="x_scale"):
        bcd(LeastSquares(A, b, l1=1.0), x_scale=value)


def test_problems_that_cannot_be_scaled_are_refused() -> None:
    A, b, _ = badly_scaled()
    for problem in (
        Multinomial(A, np.arange(50) % 3, l2=1.0),
        LeastSquares(aslinearoperator(A), b, l1=1.0),
        LeastSquares(A, b, l1=1.0, groups=[range(10), range(10, 20)]),
    ):
        with pytest.raises(ValueError, match="x_scale"):
            bcd(problem, x_scale=np.ones(problem.shape))
