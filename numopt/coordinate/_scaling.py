"""Problems in other units: z = x / scale."""

import copy
import functools
from collections.abc import Callable
from typing import Any

import scipy.sparse as sp
from scipy.optimize import OptimizeResult

from numopt._array import is_array, is_cupy, is_linear_operator, is_sparse
from numopt._core.callback import wrap_callback
from numopt._typing import Array
from numopt.coordinate._design import DenseDesign, SparseDesign
from numopt.coordinate._least_squares import LeastSquares
from numopt.coordinate._logistic import Logistic
from numopt.coordinate._penalty import Penalty
from numopt.coordinate._problem import Problem, check_values
from numopt.coordinate._quadratic import Quadratic

__all__ = ["check_scale", "scaled_problem", "unscaled_callback", "unscaled_result"]


def check_scale(problem: Problem, x_scale: Any) -> Array:
    """Return the checked units, one for each unknown."""
    stored = (
        isinstance(problem, LeastSquares | Logistic) and isinstance(problem.design, DenseDesign | SparseDesign)
    ) or (isinstance(problem, Quadratic) and not is_linear_operator(problem.Q))
    if not (stored and problem.penalty.is_separable):
        raise ValueError(
            "`x_scale` must be None but for LeastSquares, Logistic and quadratics with stored matrices, without groups."
        )
    scale = check_values(x_scale, "x_scale", problem)
    if not bool(problem.xp.all(scale > 0)):
        raise ValueError("`x_scale` must be positive.")
    return scale


def scaled_problem(problem: Any, scale: Array) -> Any:
    """Return the problem in the unknowns x / scale."""
    other: Any = copy.copy(problem)
    for base in type(problem).__mro__:
        for name, attribute in vars(base).items():
            if isinstance(attribute, functools.cached_property):
                other.__dict__.pop(name, None)
    penalty, xp = problem.penalty, problem.xp
    other.penalty = Penalty(
        scale,
        xp,
        l1=penalty.l1 * scale if penalty.has_l1 else 0.0,
        lower=penalty.lower / scale if penalty.has_bounds else penalty.lower,
        upper=penalty.upper / scale if penalty.has_bounds else penalty.upper,
    )
    other.l2 = problem.l2 * scale * scale if is_array(problem.l2) or problem.l2 > 0 else 0.0
    if isinstance(problem, Quadratic):
        other.Q = _scale_rows(_scale_columns(problem.Q, scale, xp), scale, xp)
        other.c = problem.c * scale
    else:
        design = problem.design
        other.design = type(design)(_scale_columns(design.A, scale, xp), xp, design.dtype, design.device)
    return other


def unscaled_callback(callback: Callable[..., Any] | None, scale: Array) -> Any:
    """Return a callback that shows the user's units."""
    stop = wrap_callback(callback)
    if stop is None:
        return None

    def shown(intermediate_result: OptimizeResult) -> None:
        intermediate_result["x"] = intermediate_result["x"] * scale
        if stop(intermediate_result):
            raise StopIteration

    return shown


def unscaled_result(problem: Problem, result: OptimizeResult, scale: Array) -> OptimizeResult:
    """Return a result in the user's units, its numbers computed there."""
    x = problem.penalty.project(problem.xp.reshape(result["x"], (-1,)) * scale)
    certificate = problem.evaluate(x, result.get("intercept", 0.0))
    result.update(
        x=problem.public(x), fun=certificate.fun, grad=problem.public(certificate.grad), kkt=certificate.kkt,
        gap=certificate.gap, lipschitz=problem.lipschitz,
    )  # fmt: skip
    return result


def _diagonal(scale: Array, xp: Any) -> Any:
    if is_cupy(xp):
        from cupyx.scipy.sparse import diags

        return diags(scale, format="csc")
    return sp.diags_array(scale, format="csc")


def _scale_columns(A: Any, scale: Array, xp: Any) -> Any:
    return (A @ _diagonal(scale, xp)).asformat(A.format) if is_sparse(A) else A * scale


def _scale_rows(A: Any, scale: Array, xp: Any) -> Any:
    return (_diagonal(scale, xp) @ A).asformat(A.format) if is_sparse(A) else A * scale[:, None]
