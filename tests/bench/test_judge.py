"""The bench's own KKT residual."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from numopt.bench.families.equality import Tiny
from numopt.bench.families.equality._judge import judge


def solution() -> tuple[np.ndarray, np.ndarray]:
    problem = Tiny()
    x, lam = problem.x0, np.zeros(1)
    for _ in range(50):
        J = problem.jac(x)
        K = np.block([[problem.lag_hess(x, lam), J.T], [J, np.zeros((1, 1))]])
        step = np.linalg.solve(K, -np.concatenate([problem.grad(x) + J.T @ lam, problem.cons(x) - 2.0]))
        x, lam = x + step[:2], lam + step[2:]
    return x, lam


def test_solution_has_a_residual_of_rounding_size():
    x, lam = solution()
    verdict = judge(Tiny(), x, lam)
    assert verdict.kkt < 1e-14
    assert_allclose(verdict.fun, Tiny().fun(x))


def test_multipliers_of_the_wrong_sign_do_no_harm():
    x, lam = solution()
    right, wrong = judge(Tiny(), x, lam), judge(Tiny(), x, -lam)
    assert abs(lam[0]) > 0.1  # the sign matters here
    assert wrong.kkt < 1e-14
    assert wrong.kkt_scaled <= right.kkt_scaled + 1e-15


@pytest.mark.parametrize("lam", [None, [np.nan], [1e8], [1.0, 2.0]])
def test_missing_or_useless_multipliers_are_replaced_by_least_squares(lam: list[float] | None):
    x, _ = solution()
    verdict = judge(Tiny(), x, lam)
    assert verdict.kkt < 1e-14
    assert verdict.multipliers == "least squares"


def test_residual_is_the_norm_of_both_parts():
    x = np.array([1.0, 2.0])
    verdict = judge(Tiny(), x, [0.0])
    gradient, J = Tiny().grad(x), Tiny().jac(x)[0]
    smallest = np.linalg.norm(gradient - J * (J @ gradient) / (J @ J))
    assert_allclose(verdict.constr_violation, 3.0)
    assert_allclose(verdict.kkt, np.hypot(smallest, 3.0))
    scale = max(1.0, np.abs(gradient).max(), abs(J @ gradient) / (J @ J))
    assert_allclose(verdict.kkt_scaled, verdict.kkt / scale)


def test_points_that_are_not_finite_are_judged_as_unsolved():
    verdict = judge(Tiny(), [np.nan, 1.0], [1.0])
    assert not verdict.kkt <= 1e300


def test_float32_answers_are_judged_in_double():
    x, lam = solution()
    verdict = judge(Tiny(), x.astype(np.float32), lam.astype(np.float32))
    assert 1e-9 < verdict.kkt < 1e-5


def test_inequalities_are_refused():
    problem = Tiny()
    problem.cl[:] = -np.inf
    problem.m_eq = 0
    with pytest.raises(ValueError, match="only equality constraints are judged"):
        judge(problem, [1.0, 1.0])


def test_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"`x` has shape \(3,\), expected \(2,\)"):
        judge(Tiny(), [1.0, 1.0, 1.0])
