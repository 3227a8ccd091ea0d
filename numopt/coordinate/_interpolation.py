"""Bounded least squares with more unknowns than equations: a feasible solution of the equations, where there is one."""

from typing import Any

from numpy.linalg import LinAlgError

from numopt._array import scalars
from numopt._core.timer import Deadline
from numopt._linalg import cho_factor, cho_solve
from numopt._typing import Array
from numopt.coordinate._design import DenseDesign
from numopt.coordinate._least_squares import LeastSquares

__all__ = ["interpolate"]

# How many unknowns there must be for each equation.
_WIDE = 2
# Alternating projections, how much each two of them must gain, and the residual that counts as none.
_PROJECTIONS = 100
_GAIN = 0.5
_SOLVED = 1e-13


def interpolate(problem: Any, x: Array, deadline: Deadline) -> Array:
    """Return a point of the bounds with A x = b if alternating projections find one fast, else x.

    A solution with residual zero is far from unique and its support is large: the working sets of a vertex solution
    would only make the problem harder. Projections onto the affine set cost two products with A once A A' is factored.
    """
    if not (isinstance(problem, LeastSquares) and _may_interpolate(problem)):
        return x
    xp, A, b = problem.xp, problem.design.A, problem.y
    adjoint = xp.matrix_transpose(A)
    try:
        factor = cho_factor(A @ adjoint)
    except LinAlgError:
        return x
    (size,) = scalars(xp, xp.linalg.vector_norm(b))
    start, previous = x, float("inf")
    for step in range(_PROJECTIONS):
        residual = b - A @ x
        (norm,) = scalars(xp, xp.linalg.vector_norm(residual))
        if norm <= _SOLVED * size:
            return x
        if step % 2 == 0:
            if not norm < _GAIN * previous or deadline.expired():
                break
            previous = norm
        x = problem.penalty.project(x + adjoint @ cho_solve(factor, residual))
    return x if norm <= _SOLVED**0.75 * size else start


def _may_interpolate(problem: LeastSquares) -> bool:
    penalty, (n, p) = problem.penalty, problem.design.shape
    plain = isinstance(problem.l2, float | int) and problem.l2 == 0 and not penalty.has_l1 and not problem.intercept
    return plain and penalty.has_bounds and isinstance(problem.design, DenseDesign) and p >= _WIDE * n
