"""How the Hessian block of the KKT matrix is made positive definite on the null space of the Jacobian."""

from typing import Any

from numopt._linalg import norm
from numopt._typing import Array, Namespace

FIRST_SHIFT = 1e-4
SHRINK = 1.0 / 3.0
GROW = 8.0
GROW_FIRST = 100.0
SHIFT_LIMIT = 1e40
PAPER_CURVATURE = 1e-6


class ShiftSchedule:
    """Trial values of tau: 1e-4 or a third of the last used, then x8 (x100 while none has ever been used)."""

    def __init__(self) -> None:
        self._last = 0.0

    def next(self, tau: float) -> float:
        """Shift to try after `tau` failed."""
        if tau == 0.0:
            return FIRST_SHIFT if self._last == 0.0 else max(self._last * SHRINK, 1e-20)
        return tau * (GROW_FIRST if self._last == 0.0 else GROW)

    def accept(self, tau: float) -> None:
        """Remember a shift that worked."""
        if tau > 0.0:
            self._last = tau

    @property
    def state(self) -> float:
        """What a checkpoint keeps."""
        return self._last

    @state.setter
    def state(self, last: float) -> None:
        self._last = last


def paper_shift(H: Array, J: Array, xi_B: float, xp: Namespace) -> float:
    """The paper's tau: xi_B + ||H||_F when the reduced Hessian has an eigenvalue below 1e-6, else 0 (Algorithm 1)."""
    m, n = J.shape
    if m >= n:
        return 0.0
    if m:
        Q, _ = xp.linalg.qr(J.T, mode="complete")
        Z = Q[:, m:]
        reduced = Z.T @ (H @ Z)
    else:
        reduced = H
    smallest = float(xp.min(xp.linalg.eigvalsh(0.5 * (reduced + reduced.T))))
    if smallest < PAPER_CURVATURE:
        return xi_B + frobenius(H, xp)
    return 0.0


def frobenius(A: Any, xp: Namespace) -> float:
    """Frobenius norm of a dense or sparse matrix."""
    values = A.data if hasattr(A, "tocsr") else A
    return norm(xp.reshape(values, (-1,)))
