"""The step of the cubic model of a block: min over d of g'd + d'Hd/2 + (M/6) ||d||^3."""

from typing import Any

import numpy as np

from numopt._array import scalars
from numopt._typing import Array

__all__ = ["cubic_step"]

_MAX_STEPS = 60


def cubic_step(H: Array, g: Array, M: float, xp: Any) -> Array:
    """Return the minimiser over d of g'd + d'Hd/2 + (M/6) ||d||^3 for positive semidefinite H and M > 0.

    Notes
    -----
    The minimiser is ``d = -(H + (M r / 2) I)^{-1} g`` with ``||d|| = r``. On the eigenvectors of H this is one equation
    in r, solved by Newton's method on ``1 / ||d(r)|| - 1 / r``, which is nearly linear, within a bracket.
    """
    size, largest = scalars(xp, xp.linalg.vector_norm(g), xp.max(xp.abs(xp.linalg.diagonal(H))))
    if size == 0:
        return xp.zeros_like(g)
    eigenvalues, vectors = xp.linalg.eigh(H)
    coefficients = xp.matrix_transpose(vectors) @ g
    # Rounding may leave eigenvalues slightly negative.
    eigenvalues = xp.maximum(eigenvalues, xp.zeros_like(eigenvalues))
    # ||d|| <= sqrt(2 ||g|| / M) since the model has no smaller curvature than that of H = 0.
    low, high = 0.0, float(np.sqrt(2 * size / M))
    # A start below the root: the step for the largest curvature.
    r = min(high, 2 * size / (largest + float(np.sqrt(largest * largest + 2 * M * size))))
    tolerance = 8 * float(xp.finfo(g.dtype).eps)
    d = coefficients
    for _ in range(_MAX_STEPS):
        shifted = eigenvalues + M * r / 2
        d = -coefficients / shifted
        length, cubed = scalars(xp, xp.linalg.vector_norm(d), xp.sum(d * d / shifted))
        if abs(length - r) <= tolerance * r:
            break
        low, high = (r, high) if length > r else (low, r)
        # phi = 1 / length - 1 / r; d(length)/dr = -(M / 2) cubed / length.
        phi = 1 / length - 1 / r
        r -= phi / (M / 2 * cubed / length**3 + 1 / r**2)
        if not low < r < high:
            r = (low + high) / 2
    return vectors @ d
