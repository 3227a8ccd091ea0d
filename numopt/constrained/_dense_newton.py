"""The dense Newton system that the paper's method and its baselines build at every outer step."""

import math
from dataclasses import dataclass
from typing import Any

from numopt._array import is_sparse
from numopt._core.status import Status
from numopt._typing import Array
from numopt.constrained._functions import is_operator
from numopt.constrained._hessian_shift import paper_shift
from numopt.constrained._kkt import kkt_matrix
from numopt.constrained._state import State

SINGULAR_GRAM = 1e-6


@dataclass(slots=True)
class DenseNewton:
    """K d = rhs with K = [[H + tau I, J'], [J, 0]] and xi_G = lambda_min(JJ')."""

    H: Array
    J: Array
    K: Array
    rhs: Array
    xi_G: float


def _dense(A: Any) -> Array:
    if is_operator(A):
        raise ValueError("accuracy='paper' needs the Hessian and the Jacobian as matrices, got an operator.")
    return A.toarray() if is_sparse(A) else A


def dense_newton(state: State) -> DenseNewton | Status:
    """Evaluate, shift and assemble at the current point, or say why the outer iteration must end."""
    xp, options, point = state.xp, state.options, state.point
    if options.maxfev is not None and state.functions.nfev >= options.maxfev:
        return Status.MAXFEV
    J = _dense(point.J)
    xi_G = float(xp.min(xp.linalg.eigvalsh(J @ J.T))) if J.shape[0] else math.inf
    if not xi_G >= SINGULAR_GRAM:
        state.detail = f"lambda_min(JJ') = {xi_G:.1e} < {SINGULAR_GRAM:.0e}; try accuracy='practical'"
        return Status.SINGULAR
    H = _dense(state.functions.lag_hess(point.x, point.lam))
    tau = paper_shift(H, J, options.xi_B, xp) if options.hess_mod == "paper" else 0.0
    state.n_hess_mod += tau > 0.0
    return DenseNewton(H, J, kkt_matrix(H, J, tau, xp), -xp.concat([point.g, point.c]), xi_G)
