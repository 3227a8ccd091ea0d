"""Anderson extrapolation of the iterates of coordinate descent."""

from typing import Any

from numopt._array import scalars
from numopt._typing import Array, Namespace

__all__ = ["Extrapolation"]

# Differences that are combined, and the ridge of the small system relative to its trace.
_DEPTH = 5
_RIDGE = 1e-10


class Extrapolation:
    """Collects iterates x_0, ..., x_m and combines them, ``sum_i c_i x_i``, where c minimises the combined differences.

    References
    ----------
    .. [1] Q. Bertrand, M. Massias, "Anderson acceleration of coordinate descent", AISTATS 2021.
    """

    def __init__(self, xp: Namespace) -> None:
        self._xp = xp
        self._iterates: list[Array] = []

    def push(self, x: Array) -> Array | None:
        """Take in an iterate; return the combination once there are enough, and begin anew."""
        xp = self._xp
        self._iterates.append(xp.asarray(x, copy=True))
        if len(self._iterates) <= _DEPTH:
            return None
        X = xp.stack(self._iterates)
        self._iterates = []
        U = X[1:, :] - X[:-1, :]
        gram: Any = U @ xp.matrix_transpose(U)
        (trace,) = scalars(xp, xp.sum(xp.linalg.diagonal(gram)))
        if not trace > 0:
            return None
        ones = xp.ones((_DEPTH, 1), dtype=x.dtype, device=x.device)
        eye = xp.eye(_DEPTH, dtype=x.dtype, device=x.device)
        c = xp.linalg.solve(gram / trace + _RIDGE * eye, ones)[:, 0]
        return (c / xp.sum(c)) @ X[1:, :]
