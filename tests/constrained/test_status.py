"""Every way in which a solve ends other than by success: status, message, and what is returned."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, NonlinearConstraint

from numopt import Status, sketched_newton
from tests.helpers.equality_problems import bt11, hs7, maratos


def solve(case, **options):
    return sketched_newton(case.fun, case.x0, **{**case.keywords(), **options})


def test_maxiter_returns_the_best_iterate():
    res = solve(hs7(), maxiter=4, history=True)
    assert res.status is Status.MAXITER
    assert not res.success
    assert res.nit == 4
    assert "maxiter" in res.message
    assert res.kkt <= min(res.history["kkt"]) * (1 + 1e-12)


def test_maxiter_zero_evaluates_only():
    res = solve(hs7(), maxiter=0)
    assert res.status is Status.MAXITER
    assert res.nit == 0


def test_maxfev():
    res = solve(hs7(), maxfev=3)
    assert res.status is Status.MAXFEV
    assert res.nfev <= 4


def test_time_limit():
    res = solve(hs7(), time_limit=1e-9)
    assert res.status is Status.TIME_LIMIT


@pytest.mark.parametrize("linear_solver", ["minres", "gmres", "rk"])
def test_time_limit_holds_inside_an_inner_solve(linear_solver):
    # No accuracy is ever enough for this residual: without the clock the inner solve would take its 1e9 steps.
    n = 60
    d = np.geomspace(1.0, 1e12, n)
    res = sketched_newton(
        lambda x: 0.5 * float(d @ x**2) + float(np.sum(x)),
        np.ones(n),
        jac=lambda x: d * x + 1.0,
        hess=lambda x: np.diag(d),
        constraints=LinearConstraint(np.ones((1, n)), 1.0, 1.0),
        linear_solver=linear_solver,
        tol=1e-30,
        max_inner=10**9,
        time_limit=0.3,
        rng=0,
    )
    assert not res.success
    assert res.status in (Status.TIME_LIMIT, Status.PRECISION, Status.LINESEARCH, Status.PENALTY_LIMIT)
    assert np.isfinite(res.kkt)


def test_callback_that_stops_returns_the_best_iterate():
    seen = []

    def callback(intermediate_result):
        seen.append(intermediate_result)
        if intermediate_result.nit == 3:
            raise StopIteration

    res = solve(hs7(), callback=callback)
    assert res.status is Status.CALLBACK
    assert res.kkt <= min(r.kkt for r in seen) * (1 + 1e-12)


def test_nan_in_a_trial_is_a_rejected_trial():
    case = hs7()

    def fun(x):
        return case.fun(x) if x[0] > 0 else np.nan

    res = sketched_newton(fun, case.x0, **case.keywords())
    assert np.isfinite(res.fun)
    assert np.isfinite(res.kkt)


def test_functions_that_turn_nan_everywhere_never_succeed():
    calls = []

    def fun(x):
        calls.append(1)
        return float(x @ x) if len(calls) < 2 else np.nan

    res = sketched_newton(
        fun, [3.0, 1.0], jac=lambda x: 2 * x, hess=lambda x: 2 * np.eye(2), constraints=LinearConstraint([[1, 1]], 1, 1)
    )
    assert not res.success
    assert np.all(np.isfinite(res.x))


def test_infeasible_constraints_are_named():
    # x^2 + 1 = 0 has its least violation at 0.
    res = sketched_newton(
        lambda x: float(x @ x),
        [0.7, 0.3],
        jac=lambda x: 2 * x,
        hess=lambda x: 2 * np.eye(2),
        constraints=NonlinearConstraint(
            lambda x: np.array([x[0] ** 2 + 1.0]),
            0,
            0,
            jac=lambda x: np.array([[2 * x[0], 0.0]]),
            hess=lambda x, v: v[0] * np.diag([2.0, 0.0]),
        ),
    )
    assert res.status is Status.INFEASIBLE
    assert "starting point" in res.message


def test_a_stationary_start_of_a_feasible_constraint_is_left():
    # J vanishes at x0 = 0 but the circle is feasible.
    case = maratos()
    case.x0 = np.zeros(2)
    res = solve(case)
    assert res.success


def test_inconsistent_linear_rows_are_infeasible():
    res = sketched_newton(
        lambda x: float(x @ x),
        [0.0, 0.0],
        jac=lambda x: 2 * x,
        hess=lambda x: 2 * np.eye(2),
        constraints=LinearConstraint([[1.0, 1.0], [1.0, 1.0]], [0.0, 1.0], [0.0, 1.0]),
    )
    assert not res.success
    assert res.status is Status.INFEASIBLE


def test_unbounded_objective():
    res = sketched_newton(
        lambda x: -float(x[0] ** 2),
        [10.0, 0.0],
        jac=lambda x: np.array([-2 * x[0], 0.0]),
        hess=lambda x: np.diag([-2.0, 0.0]),
        constraints=LinearConstraint([[0.0, 1.0]], 0.0, 0.0),
    )
    assert res.status is Status.UNBOUNDED
    assert not res.success


def test_wrong_gradient_ends_in_the_line_search():
    case = maratos()
    res = sketched_newton(
        case.fun, case.x0, jac=lambda x: -case.grad(x) + 3.0, hess=case.hess, constraints=case.constraint, maxiter=200
    )
    assert not res.success
    assert res.status in (Status.LINESEARCH, Status.PENALTY_LIMIT, Status.MAXITER)


def test_unreachable_tolerance_is_a_precision_status():
    case = bt11()
    res = solve(case, tol=1e-30)
    assert res.status in (Status.PRECISION, Status.CONVERGED)
    assert res.kkt < 1e-12
    assert res.status is Status.CONVERGED or "float64" in res.message


def test_float32_floor_is_a_precision_status():
    case = bt11()
    res = sketched_newton(case.fun, case.x0.astype(np.float32), **case.keywords(), tol=1e-12)
    assert res.status is Status.PRECISION
    assert res.kkt < 1e-4


def test_capped_inner_solves_are_reported():
    case = bt11()
    res = solve(case, linear_solver="rk", max_inner=3, rng=0, maxiter=100)
    assert not res.success
    assert res.n_inner_capped > 0
    assert res.status in (Status.INNER_LIMIT, Status.LINESEARCH, Status.PENALTY_LIMIT)


def test_singular_jacobian_in_paper_mode():
    case = maratos()
    case.x0 = np.zeros(2)
    res = solve(case, accuracy="paper")
    assert res.status is Status.SINGULAR
    assert "practical" in res.message


def test_keyboard_interrupt_propagates():
    def callback(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solve(hs7(), callback=callback)


def test_killed_solve_resumes_from_its_checkpoint(tmp_path):
    """A process is killed in the middle; the resumed solve ends at the same answer in the remaining steps."""
    path = tmp_path / "solve.npz"
    script = textwrap.dedent(
        f"""
        import os, signal
        from numopt import sketched_newton
        import numopt._core.checkpoint as checkpoint
        from tests.helpers.equality_problems import hs7
        case = hs7()
        original = checkpoint.Checkpoint.save
        checkpoint.Checkpoint.save = lambda self, nit, *, force=False: original(self, nit, force=True)
        def callback(intermediate_result):
            if intermediate_result.nit == 5:
                os.kill(os.getpid(), signal.SIGKILL)
        sketched_newton(case.fun, case.x0, **case.keywords(), checkpoint={str(path)!r}, callback=callback)
        """
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    done = subprocess.run([sys.executable, "-c", script], cwd=root, env={**os.environ, "PYTHONPATH": root}, check=False)
    assert done.returncode == -signal.SIGKILL
    case = hs7()
    whole = solve(case)
    resumed = solve(case, checkpoint=path)
    assert resumed.success
    assert resumed.nit == whole.nit
    np.testing.assert_array_equal(resumed.x, whole.x)
    assert resumed.nfev < whole.nfev


def test_checkpoint_of_another_problem_is_refused(tmp_path):
    path = tmp_path / "solve.npz"
    solve(hs7(), checkpoint=path, maxiter=2)
    with pytest.raises(ValueError, match="another solve"):
        solve(bt11(), checkpoint=path)
