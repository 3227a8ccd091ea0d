"""Wrong input is refused before any work, by name."""

import numpy as np
import pytest
from scipy.optimize import BFGS, Bounds, LinearConstraint, NonlinearConstraint, OptimizeWarning

from numopt import sketched_newton
from tests.helpers.equality_problems import bt11, maratos


def solve(**changes):
    case = maratos()
    options = {"x0": case.x0, **case.keywords(), **changes}
    return sketched_newton(case.fun, **options)


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"x0": np.ones((2, 2))}, ValueError, "`x0`"),
        ({"x0": []}, ValueError, "`x0`"),
        ({"x0": [np.nan, 1.0]}, ValueError, "`x0`"),
        ({"x0": [1j, 1.0]}, TypeError, "`x0`"),
        ({"x0": "start"}, TypeError, "`x0`"),
        ({"bounds": Bounds([0, -np.inf], np.inf)}, ValueError, "finite lower bound 0 on component 0"),
        ({"bounds": [(None, None), (None, 3.0)]}, ValueError, "finite upper bound 3 on component 1"),
        ({"constraints": {"type": "ineq", "fun": lambda x: x[0]}}, ValueError, r"constraints\[0\] has type 'ineq'"),
        ({"constraints": {"type": "equal", "fun": lambda x: x[0]}}, ValueError, "'eq'"),
        ({"constraints": {"type": "eq"}}, TypeError, "`fun`"),
        ({"constraints": 3}, TypeError, "`constraints`"),
        ({"constraints": [maratos().constraint, "x"]}, TypeError, r"constraints\[1\]"),
        (
            {"constraints": LinearConstraint(np.eye(2), [0.0, 0.0], [0.0, 1.0])},
            ValueError,
            r"constraints\[0\] component 1 has bounds \(0, 1\)",
        ),
        ({"constraints": LinearConstraint(np.eye(2), np.inf, np.inf)}, ValueError, "finite number"),
        ({"constraints": LinearConstraint(np.ones((1, 3)), 0, 0)}, ValueError, r"shape \(1, 3\)"),
        ({"lam0": np.ones(2)}, ValueError, r"`lam0` has shape \(2,\) but `constraints` have 1"),
        ({"lam0": [np.inf]}, ValueError, "`lam0`"),
        ({"eta1": 0.0}, ValueError, "`eta1`"),
        ({"eta2": -1.0}, ValueError, "`eta2`"),
        ({"delta": 0.0}, ValueError, "`delta`"),
        ({"nu": 1.0}, ValueError, "`nu`"),
        ({"beta": 0.5}, ValueError, "`beta`"),
        ({"beta": 0.0}, ValueError, "`beta`"),
        ({"xi_B": 0.0}, ValueError, "`xi_B`"),
        ({"theta": 0.0}, ValueError, "`theta`"),
        ({"tol": 0.0}, ValueError, "`tol`"),
        ({"gtol": -1.0}, ValueError, "`gtol`"),
        ({"ctol": np.nan}, ValueError, "`ctol`"),
        ({"maxiter": -1}, ValueError, "`maxiter`"),
        ({"maxiter": 1.5}, TypeError, "`maxiter`"),
        ({"maxfev": 0}, ValueError, "`maxfev`"),
        ({"max_inner": 0}, ValueError, "`max_inner`"),
        ({"time_limit": 0.0}, ValueError, "`time_limit`"),
        ({"linear_solver": "lu"}, ValueError, "'direct'"),
        ({"linear_solver": "block"}, ValueError, "'gaussian'"),
        ({"accuracy": "exact"}, ValueError, "'practical'"),
        ({"merit": "filter"}, ValueError, "'exact_al'"),
        ({"merit": "l1"}, ValueError, "accuracy='paper'"),
        ({"merit": "l1", "accuracy": "paper", "linear_solver": "rk"}, ValueError, "'gmres'"),
        ({"accuracy": "paper", "linear_solver": "minres"}, ValueError, "'rk'"),
        ({"hess_mod": "shift"}, ValueError, "'inertia'"),
        ({"hess_mod": "paper", "linear_solver": "minres"}, ValueError, "'inertia'"),
        ({"sketch": "srht"}, ValueError, "'row'"),
        ({"block_size": 8}, ValueError, "`block_size`"),
        ({"hess": "bfgs"}, ValueError, "`hess`"),
        ({"jac": "cs"}, ValueError, "`jac`"),
        ({"callback": 3}, TypeError, "`callback`"),
        ({"lag_hess": np.eye(2)}, TypeError, "`lag_hess`"),
        ({"hess": lambda x: np.array([[1.0, 2.0], [0.0, 1.0]])}, ValueError, "not symmetric"),
        ({"hess": lambda x: np.eye(3)}, ValueError, r"shape"),
        ({"jac": lambda x: np.ones(3)}, ValueError, r"shape \(3,\)"),
        ({"jac": lambda x: np.ones((2, 2))}, ValueError, "1-D"),
        ({"jac": lambda x: x * np.nan}, ValueError, "`jac` is not finite"),
        ({"hess": lambda x: np.full((2, 2), np.nan)}, ValueError, "not finite"),
    ],
)
def test_error_names_the_argument(changes, error, match):
    with pytest.raises(error, match=match):
        solve(**changes)


def test_first_value_must_be_finite():
    with pytest.raises(ValueError, match="`fun` is not finite at `x0`"):
        sketched_newton(lambda x: np.nan, [1.0], jac=lambda x: x, hess=lambda x: np.eye(1))


def test_first_constraint_must_be_finite():
    with pytest.raises(ValueError, match="`constraints` is not finite"):
        solve(constraints={"type": "eq", "fun": lambda x: np.inf, "jac": lambda x: np.zeros(2)})


def test_jacobian_shape_names_both():
    constraint = NonlinearConstraint(lambda x: x[:1], 0, 0, jac=lambda x: np.eye(2))
    with pytest.raises(ValueError, match=r"shape \(2, 2\); expected \(1, 2\)"):
        solve(constraints=constraint)


def test_more_constraints_than_unknowns_point_to_least_squares():
    with pytest.raises(ValueError, match="least_squares"):
        solve(constraints=NonlinearConstraint(lambda x: np.ones(3), 0, 0, jac=lambda x: np.ones((3, 2))))


def test_unknown_options_warn_once():
    with pytest.warns(OptimizeWarning, match="xtol, ytol") as caught:
        solve(xtol=1e-3, ytol=2)
    assert len(caught) == 1


def test_fun_must_be_callable():
    with pytest.raises(TypeError, match="`fun`"):
        sketched_newton(3.0, [1.0])


def test_default_bfgs_of_a_constraint_counts_as_missing():
    case = bt11()
    constraint = NonlinearConstraint(case.cons, 0, 0, jac=case.jac, hess=BFGS())
    assert sketched_newton(case.fun, case.x0, jac=case.grad, hess=case.hess, constraints=constraint).success
