"""The Newton direction of a block whose Hessian may be singular."""

from typing import Any

import numpy as np

from numopt._array import scalars
from numopt._linalg import cho_factor, cho_solve
from numopt._typing import Array

__all__ = ["shifted_solve"]

# Shifts that are tried, as shares of the mean diagonal entry.
_FIRST_SHIFT, _LAST_SHIFT = 1e-10, 1e10


def shifted_solve(H: Array, rhs: Array, xp: Any) -> Array | None:
    """Return the solution of (H + mu I) d = rhs, mu = 0 or the least of 1e-10 trace/order times 1, 10, ... that works.

    None when H has no positive trace.
    """
    order = H.shape[0]
    (trace,) = scalars(xp, xp.sum(xp.linalg.diagonal(H)))
    try:
        return cho_solve(cho_factor(H), rhs)
    except np.linalg.LinAlgError:
        if not trace > 0:
            return None
    identity = xp.eye(order, dtype=H.dtype, device=H.device)
    shift = _FIRST_SHIFT
    while shift <= _LAST_SHIFT:
        try:
            return cho_solve(cho_factor(H + (shift * trace / order) * identity), rhs)
        except np.linalg.LinAlgError:
            shift *= 10
    return None
