"""The exact augmented Lagrangian and its slope."""

import array_api_compat.numpy as xp
import numpy as np
import pytest

from numopt.constrained._constraints import read_constraints
from numopt.constrained._functions import Functions
from numopt.constrained._iterate import evaluate
from numopt.constrained._merit import ExactMerit, merit_slope
from tests.helpers.equality_problems import bt11, hs7, maratos


def functions_of(case):
    return Functions(
        case.fun,
        case.x0,
        args=(),
        jac=case.grad,
        hess=case.hess,
        hessp=None,
        blocks=read_constraints(case.constraint, xp, case.x0),
        lag_hess=None,
        lag_hessp=None,
        xp=xp,
    )


@pytest.mark.parametrize("make", [hs7, bt11, maratos])
def test_slope_is_the_derivative_of_the_merit_with_curved_constraints(make):
    case = make()
    functions = functions_of(case)
    rng = np.random.default_rng(1)
    functions.cons(case.x0)
    x, lam = case.x0 + 0.1 * rng.standard_normal(len(case.x0)), rng.standard_normal(len(functions.cons(case.x0)))
    dx, dlam = rng.standard_normal(x.shape), rng.standard_normal(lam.shape)
    merit = ExactMerit(eta1=2.0, eta2=0.3, nu=1.5, beta=0.1, nonmonotone=False)
    point = evaluate(functions, x, lam)
    slope = merit_slope(xp, point, functions.lag_hess(x, lam), dx, dlam).at(2.0, 0.3)
    h = 1e-6
    ahead, behind = (merit.value(evaluate(functions, x + s * dx, lam + s * dlam)) for s in (h, -h))
    # Central differences: error h^2 |M'''| + eps |M| / h.
    assert slope == pytest.approx((ahead - behind) / (2 * h), rel=1e-6)


def test_rejected_trials_cost_no_gradient():
    case = bt11()
    functions = functions_of(case)
    functions.cons(case.x0)
    point = evaluate(functions, case.x0, np.zeros(3))
    gradients = functions.njev
    merit = ExactMerit(eta1=1e6, eta2=0.1, nu=1.5, beta=0.1, nonmonotone=False)
    # Uphill in ||c||: every trial is refused by its first three terms alone.
    uphill = point.J.T @ point.c
    found, _ = merit.search(functions, point, uphill, np.zeros(3), -1.0, min_alpha=1e-3)
    assert found is None
    assert functions.njev == gradients


def test_weights_relax_only_to_their_start_values():
    merit = ExactMerit(eta1=1.0, eta2=0.1, nu=1.5, beta=0.1, nonmonotone=True)
    merit.strengthen()
    for _ in range(15):
        merit.relax_after_unit_steps(1.0)
    assert merit.eta1 == 1.0
    assert merit.eta2 == pytest.approx(0.1)
