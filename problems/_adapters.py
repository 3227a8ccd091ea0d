"""Forms in which the peers take a `numopt.problems.Problem`."""

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from numopt._array import is_sparse

if TYPE_CHECKING:
    from numopt.problems._base import Matrix, Problem, Vector


def scipy_arguments(problem: "Problem", method: str) -> dict[str, Any]:
    """Keyword arguments for `scipy.optimize.minimize` with trust-constr or SLSQP."""
    from scipy.optimize import Bounds, NonlinearConstraint

    arguments: dict[str, Any] = {"fun": problem.fun, "x0": problem.x0.copy(), "jac": problem.grad, "method": method}
    if np.isfinite(problem.lb).any() or np.isfinite(problem.ub).any():
        arguments["bounds"] = Bounds(problem.lb, problem.ub)
    if method == "trust-constr":

        def weighted_hessian(x: Any, v: Any) -> Any:
            return problem.lag_hess(x, v, 0.0)

        constraint_hessian: Any = weighted_hessian  # the stubs know only the one-argument form

        arguments["hess"] = problem.hess
        if problem.m:
            arguments["constraints"] = NonlinearConstraint(
                problem.cons, problem.cl, problem.cu, jac=problem.jac, hess=constraint_hessian
            )
    elif method == "SLSQP":
        arguments["constraints"] = _slsqp_constraints(problem)
    else:
        raise ValueError(f"`method` must be 'trust-constr' or 'SLSQP', got {method!r}.")
    return arguments


def _slsqp_constraints(problem: "Problem") -> list[dict[str, Any]]:
    equal = np.flatnonzero(problem.cl == problem.cu)
    lower = np.flatnonzero((problem.cl != problem.cu) & np.isfinite(problem.cl))
    upper = np.flatnonzero((problem.cl != problem.cu) & np.isfinite(problem.cu))

    def block(kind: str, rows: NDArray[np.intp], bound: "Vector", sign: float) -> dict[str, Any]:
        return {
            "type": kind,
            "fun": lambda x: sign * (problem.cons(x)[rows] - bound[rows]),
            "jac": lambda x: sign * _dense(problem.jac(x))[rows],
        }

    blocks = []
    if equal.size:
        blocks.append(block("eq", equal, problem.cu, 1.0))
    if lower.size:
        blocks.append(block("ineq", lower, problem.cl, 1.0))
    if upper.size:
        blocks.append(block("ineq", upper, problem.cu, -1.0))
    return blocks


def _dense(matrix: "Matrix") -> "Vector":
    dense: Vector = matrix.toarray() if is_sparse(matrix) else matrix
    return dense


class _Callbacks:
    """The object with the method names that cyipopt looks for."""

    def __init__(self, problem: "Problem") -> None:
        self.objective = problem.fun
        self.gradient = problem.grad
        self.constraints = problem.cons
        self.jacobian = problem.jac_values
        self.jacobianstructure = problem.jac_structure
        self.hessian = problem.lag_hess_values
        self.hessianstructure = problem.hess_structure


def cyipopt_arguments(problem: "Problem") -> dict[str, Any]:
    """Keyword arguments for `cyipopt.Problem`."""
    return {
        "n": problem.n,
        "m": problem.m,
        "problem_obj": _Callbacks(problem),
        "lb": problem.lb.copy(),
        "ub": problem.ub.copy(),
        "cl": problem.cl.copy(),
        "cu": problem.cu.copy(),
    }


def uno_model(problem: "Problem") -> Any:
    """Return a `unopy.Model`; Uno fills arrays that it hands to the callbacks."""
    try:
        unopy = importlib.import_module("unopy")
    except ImportError as error:
        raise ImportError("`to_uno` needs unopy: pip install 'numopt-solvers[bench]'.") from error

    def gradient(x: "Vector", out: "Vector") -> None:
        out[:] = problem.grad(x)

    def constraints(x: "Vector", out: "Vector") -> None:
        out[:] = problem.cons(x)

    def jacobian(x: "Vector", out: "Vector") -> None:
        out[:] = problem.jac_values(x)

    def hessian(x: "Vector", obj_weight: float, lam: "Vector", out: "Vector") -> None:
        out[:] = problem.lag_hess_values(x, lam[: problem.m], obj_weight)

    model = unopy.Model(
        unopy.PROBLEM_NONLINEAR, problem.n, problem.lb.tolist(), problem.ub.tolist(), unopy.ZERO_BASED_INDEXING
    )
    model.set_objective(unopy.MINIMIZE, problem.fun, gradient)
    if problem.m:
        rows, cols = problem.jac_structure()
        model.set_constraints(
            problem.m,
            constraints,
            problem.cl.tolist(),
            problem.cu.tolist(),
            rows.size,
            rows.tolist(),
            cols.tolist(),
            jacobian,
        )
    rows, cols = problem.hess_structure()
    model.set_lagrangian_hessian(rows.size, unopy.LOWER_TRIANGLE, rows.tolist(), cols.tolist(), hessian)
    model.set_lagrangian_sign_convention(unopy.MULTIPLIER_POSITIVE)
    model.set_initial_primal_iterate(problem.x0.tolist())
    model.set_initial_dual_iterate(problem.y0.tolist())
    return model


def numopt_arguments(problem: "Problem") -> dict[str, Any]:
    """Keyword arguments for `numopt.constrained.sketched_newton`."""
    from scipy.optimize import NonlinearConstraint

    view = problem.equality_view()
    return {
        "fun": view.fun,
        "x0": view.x0.copy(),
        "jac": view.grad,
        "constraints": NonlinearConstraint(view.cons, 0.0, 0.0, jac=view.jac),
        "lag_hess": view.lag_hess,
    }
