"""Approximate inverses of the Hessians of linear models: diagonals, one factor for each class, the whole factor."""

from typing import Any

import numpy as np

from numopt._array import contiguous
from numopt._linalg import cho_solve
from numopt._typing import Array, Namespace
from numopt.coordinate._hessians import MultinomialHessian
from numopt.coordinate._shifted_solve import add_to_diagonal, shifted_factor

__all__ = ["ClassBlocks", "Diagonal", "Factor", "WholeFactor"]

# Shift of a matrix scaled to unit diagonal that is not positive definite to working precision, in units of its order
# times eps, what it grows by, and how often.
_FIRST_SHIFT, _SHIFT_GROWTH, _SHIFTS = 4.0, 100.0, 10


class Factor:
    """Cholesky factor of a positive semidefinite matrix scaled to unit diagonal, shifted where it is singular.

    Attributes
    ----------
    shift : float
        What was added to the unit diagonal.
    """

    def __init__(self, H: Array, xp: Namespace) -> None:
        diagonal = xp.linalg.diagonal(H)
        positive = diagonal > 0
        # Unknowns without curvature keep out of the way.
        self._scale = xp.where(positive, 1 / xp.sqrt(xp.where(positive, diagonal, xp.ones_like(diagonal))), 0.0)
        self._scale = xp.astype(self._scale, H.dtype)
        H = H * self._scale[:, None]
        H *= self._scale[None, :]
        H = contiguous(H)
        add_to_diagonal(H, xp.astype(~positive, H.dtype), xp)
        least = _FIRST_SHIFT * float(xp.finfo(H.dtype).eps) * max(H.shape[0], 1)
        found = shifted_factor(H, (least * _SHIFT_GROWTH**power for power in range(_SHIFTS)), xp)
        if found is None:
            raise np.linalg.LinAlgError("The Hessian is not positive semidefinite, or not finite.")
        self._factor, self.shift = found

    def solve(self, r: Array) -> Array:
        """Return the solution for a vector."""
        return cho_solve(self._factor, r * self._scale) * self._scale


class WholeFactor:
    """The factor of the Hessian; `fresh` until the point moves on."""

    def __init__(self, hessian: Any) -> None:
        self._factor = Factor(hessian.full(), hessian.xp)
        self.fresh = True
        self.exact = self._factor.shift == 0.0

    def __call__(self, r: Array) -> Array:
        return self._factor.solve(r)


class Diagonal:
    """Division by the diagonal; for several classes the mean over the classes is taken out, as in the gradient."""

    fresh = exact = False

    def __init__(self, hessian: Any) -> None:
        xp = hessian.xp
        diagonal = hessian.diagonal()
        positive = diagonal > 0
        self._inverse = xp.where(positive, 1 / xp.where(positive, diagonal, xp.ones_like(diagonal)), 1.0)
        self._inverse = xp.astype(self._inverse, diagonal.dtype)
        self._center = _centering(hessian)

    def __call__(self, r: Array) -> Array:
        return self._center(self._inverse * self._center(r))


class ClassBlocks:
    """The blocks of each class, A' diag(w p_c (1 - p_c)) A + l2 I, and the mean over the classes taken out."""

    fresh = exact = False

    def __init__(self, hessian: MultinomialHessian) -> None:
        self._xp, self._shape = hessian.xp, hessian.problem.shape
        self._factors = [Factor(block, hessian.xp) for block in hessian.class_blocks()]
        self._center = _centering(hessian)

    def __call__(self, r: Array) -> Array:
        xp = self._xp
        R = xp.reshape(self._center(r), self._shape)
        columns = [factor.solve(xp.asarray(R[:, c], copy=True)) for c, factor in enumerate(self._factors)]
        return self._center(xp.reshape(xp.stack(columns, axis=1), (-1,)))


def _centering(hessian: Any) -> Any:
    """Return what takes out the mean over the classes, where gradients have none.

    With one l2 for all classes the objective falls when a part of the unknowns that is common to the classes is taken
    out; an iteration that starts without one stays so.
    """
    if not (isinstance(hessian, MultinomialHessian) and hessian.is_centered):
        return lambda r: r
    xp, shape = hessian.xp, hessian.problem.shape

    def center(r: Array) -> Array:
        R = xp.reshape(r, shape)
        return xp.reshape(R - xp.mean(R, axis=1, keepdims=True), (-1,))

    return center
