"""The paper's Algorithm 1 and its two l1 baselines."""

import numpy as np
import pytest

from numopt import Status, sketched_newton
from tests.helpers.equality_problems import bt11, hs7, maratos, random_qp

PAPER = {"accuracy": "paper", "tol": 1e-4, "maxiter": 10_000}


@pytest.mark.parametrize("linear_solver", ["auto", "rk", "gaussian", "direct"])
@pytest.mark.parametrize(("make", "published"), [(hs7, 10), (bt11, 7)])
def test_outer_iterations_match_the_published_counts(make, published, linear_solver):
    """Hong et al.'s stored runs: 10 outer steps on HS7, 7 on BT11, from y0 = 0."""
    case = make()
    m = len(case.cons(case.x0))
    res = sketched_newton(
        case.fun, case.x0, **case.keywords(), lam0=np.zeros(m), linear_solver=linear_solver, rng=1, **PAPER
    )
    assert res.success
    assert abs(res.nit - published) <= 2
    assert res.linear_solver == ("rk" if linear_solver == "auto" else linear_solver)


@pytest.mark.parametrize("merit", ["l1", "l1-adaptive"])
@pytest.mark.parametrize("make", [hs7, bt11, maratos])
def test_l1_baselines_reach_their_tolerance(make, merit):
    case = make()
    m = len(case.cons(case.x0))
    res = sketched_newton(case.fun, case.x0, **case.keywords(), lam0=np.zeros(m), merit=merit, **PAPER)
    assert res.success
    assert res.linear_solver == "gmres"
    assert res.fun == pytest.approx(case.f_opt, abs=1e-3)


def test_same_seed_same_path_and_another_seed_another():
    case = bt11()
    runs = [
        sketched_newton(case.fun, case.x0, **case.keywords(), lam0=np.zeros(3), rng=seed, **PAPER) for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(runs[0].x, runs[1].x)
    assert not np.array_equal(runs[0].x, runs[2].x)


def test_inner_cap_is_counted_and_not_hidden():
    case = random_qp(np.random.default_rng(0), 8, 3)
    res = sketched_newton(case.fun, case.x0, **case.keywords(), rng=0, max_inner=50, **{**PAPER, "maxiter": 20})
    assert res.n_inner_capped > 0


def test_paper_shift_is_used_on_an_indefinite_reduced_hessian():
    # Minimum of -x1^2 on the unit circle: the reduced Hessian is negative at the start.
    case = maratos()
    case.fun, case.grad, case.hess = (
        lambda x: -float(x[0] ** 2),
        lambda x: np.array([-2 * x[0], 0.0]),
        lambda x: np.diag([-2.0, 0.0]),
    )
    case.x0 = np.array([0.6, 0.8])
    res = sketched_newton(case.fun, case.x0, **case.keywords(), lam0=np.zeros(1), rng=0, **PAPER)
    assert res.n_hess_mod > 0
    assert res.status is Status.CONVERGED


def test_theta_may_shrink():
    case = hs7()
    res = sketched_newton(
        case.fun, case.x0, **case.keywords(), lam0=np.zeros(1), rng=0, theta=lambda k, kkt: 1.0 / (k + 1), **PAPER
    )
    assert res.success
