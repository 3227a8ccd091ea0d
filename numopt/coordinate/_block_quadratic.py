"""The subproblem of a block: a convex quadratic with l1 norm and bounds, or with one group norm."""

import math
from typing import Any

import numpy as np

from numopt import kernels
from numopt._array import add_at, contiguous, scalars
from numopt._typing import Array
from numopt.coordinate._blocks import LeastNormFactor
from numopt.coordinate._penalty import Penalty

__all__ = ["UnboundedError", "minimise_group", "minimise_separable"]

_EPOCHS = 3
_MAX_ROUNDS = 200
# Newton steps between two rounds of coordinate descent; each but the last pins a coordinate.
_MAX_PINS = 20
_MAX_SECULAR = 100
# Units of rounding that a slope without curvature must exceed.
_NOISE = 1e3


class UnboundedError(ArithmeticError):
    """The quadratic falls without end along a line."""


def minimise_separable(
    H: Array, g: Array, x: Array, penalty: Penalty, block: Array, xp: Any, *, rtol: float = 1e-12
) -> Array:
    """Return the minimiser over z of g'(z-x) + (z-x)'H(z-x)/2 + psi_b(z).

    Parameters
    ----------
    H : array of shape (t, t)
        Positive semidefinite.
    g, x : array of shape (t,)
        x lies within the bounds.
    penalty, block : Penalty, array of shape (t,)
        A separable psi and the coordinates of it that x stands for.
    rtol : float, default 1e-12
        The minimal subgradient is reduced by this factor, as far as rounding lets it.

    Returns
    -------
    array of shape (t,)
        Never worse than x.

    Raises
    ------
    numpy.linalg.LinAlgError
        If H is found not to be positive semidefinite.
    UnboundedError
        If there is no minimiser.

    Notes
    -----
    Rounds of cyclic coordinate descent, which find the free coordinates and their signs, then Newton steps on these,
    cut at the first bound or change of sign. Both decrease the quadratic, and the Newton step is exact once the free
    set is right, so the end is finite.
    """
    k = kernels.bind(xp)
    H = contiguous(H)
    l1, lower, upper = penalty.take(block)
    z, gradient = xp.asarray(x, copy=True), xp.asarray(g, copy=True)
    curvature = xp.linalg.diagonal(H)
    least, size, slope = scalars(
        xp, xp.min(curvature), xp.max(curvature), xp.max(xp.abs(penalty.min_subgradient(z, gradient, block)))
    )
    if least < 0:
        raise np.linalg.LinAlgError(f"diagonal entry {least:.3g}")
    if slope == 0 or not math.isfinite(slope):
        return z
    eps = float(xp.finfo(H.dtype).eps)
    # What is less is no slope: the share of the first one that squares to rounding, or rounding of H x and of l1.
    (weight,) = scalars(xp, xp.max(l1) + size * xp.max(xp.abs(x)))
    noise = max(math.sqrt(eps) * slope, _NOISE * eps * weight)
    terms = xp.stack([l1, xp.zeros_like(l1), lower, upper])
    violations = xp.empty(_EPOCHS, dtype=xp.float64, device=H.device)
    for _ in range(_MAX_ROUNDS):
        k.gram_descent(H, terms, z, gradient, violations)
        for _ in range(_MAX_PINS):
            if not _newton_on_free(H, gradient, z, l1, lower, upper, noise, xp):
                break
        gradient = g + H @ (z - x)
        left, reach = scalars(
            xp,
            xp.max(xp.abs(penalty.min_subgradient(z, gradient, block))),
            xp.max(xp.abs(z)) + xp.max(xp.abs(x)),
        )
        # What rounding leaves of H (z - x).
        if left <= rtol * slope + 16 * eps * size * reach or not math.isfinite(left):
            break
    return z


def _newton_on_free(
    H: Array, gradient: Array, z: Array, l1: Array, lower: Array, upper: Array, noise: float, xp: Any
) -> bool:
    """Step towards the minimiser over the coordinates off their kinks and bounds; tell whether one of them stopped it.

    Changes `z` and `gradient`.
    """
    curvature = xp.linalg.diagonal(H)
    free = xp.nonzero((z > lower) & (z < upper) & ((z != 0) | (l1 == 0)) & (curvature > 0))[0]
    if free.shape[0] == 0:
        return False
    columns = xp.take(H, free, axis=1)
    v, weight = xp.take(z, free), xp.take(l1, free)
    rhs = -(xp.take(gradient, free) + weight * xp.sign(v))
    d, outside = LeastNormFactor(xp.take(columns, free, axis=0), xp).solve(rhs)
    flat = False
    if outside is not None:
        # No curvature and yet a slope: go on along it to the next bound or kink. Noise is no slope.
        rest, size = scalars(xp, xp.linalg.vector_norm(outside), xp.linalg.vector_norm(rhs))
        flat = rest > max(math.sqrt(float(xp.finfo(H.dtype).eps)) * size, noise)
        d = outside if flat else d
    # Where each coordinate meets a bound, or zero with a kink there.
    low, high = xp.take(lower, free), xp.take(upper, free)
    zero, infinite = xp.zeros_like(v), xp.full_like(v, math.inf)
    low = xp.where((weight > 0) & (v > 0), xp.maximum(low, zero), low)
    high = xp.where((weight > 0) & (v < 0), xp.minimum(high, zero), high)
    target = xp.where(d < 0, low, high)
    room = xp.where(d != 0, (target - v) / xp.where(d != 0, d, xp.ones_like(d)), infinite)
    (alpha,) = scalars(xp, xp.min(room))
    if flat and not math.isfinite(alpha):
        raise UnboundedError
    pinned = flat or alpha <= 1
    alpha = alpha if pinned else 1.0
    moved = xp.where(room <= alpha, target, v + alpha * d) if pinned else v + d
    change = moved - v
    add_at(z, free, change)
    if pinned:
        # Exactly on the bound, whatever v + (target - v) rounds to.
        hit = xp.nonzero(room <= alpha)[0]
        _place(z, xp.take(free, hit), xp.take(target, hit), xp)
    gradient += columns @ change
    return pinned


def _place(x: Array, index: Array, values: Array, xp: Any) -> None:
    """Set some entries of x, exactly."""
    add_at(x, index, -xp.take(x, index))
    add_at(x, index, values)


def minimise_group(H: Array, g: Array, x: Array, weight: float, xp: Any) -> Array:
    """Return the minimiser over z of g'(z-x) + (z-x)'H(z-x)/2 + weight ||z||_2 for positive semidefinite H.

    Notes
    -----
    z = 0 if ``||Hx - g|| <= weight``; else ``(H + (weight / r) I) z = Hx - g`` with ``r = ||z||``, one increasing
    equation ``||(r H + weight I)^{-1} (Hx - g)|| = 1`` on the eigenvectors of H.
    """
    eigenvalues, vectors = xp.linalg.eigh(H)
    (least, largest) = scalars(xp, eigenvalues[0], eigenvalues[-1])
    eps = float(xp.finfo(H.dtype).eps)
    if least < -100 * H.shape[0] * eps * max(largest, 0.0):
        raise np.linalg.LinAlgError(f"smallest eigenvalue {least:.3g}, largest {largest:.3g}")
    eigenvalues = xp.maximum(eigenvalues, xp.zeros_like(eigenvalues))
    target = xp.matrix_transpose(vectors) @ (H @ x - g)
    (size,) = scalars(xp, xp.linalg.vector_norm(target))
    if size <= weight:
        return xp.zeros_like(x)
    if weight == 0:
        return LeastNormFactor(H, xp).solve(H @ x - g)[0]
    # With H replaced by its largest eigenvalue the root is not larger.
    low = (size - weight) / largest if largest > 0 else math.inf
    r, high = low, math.inf
    if not math.isfinite(r):
        raise UnboundedError
    for _ in range(_MAX_SECULAR):
        shifted = r * eigenvalues + weight
        terms = target / shifted
        length, slope = scalars(xp, xp.linalg.vector_norm(terms), xp.sum(terms * terms * eigenvalues / shifted))
        if abs(length - 1) <= 8 * eps:
            break
        low, high = (r, high) if length > 1 else (low, r)
        if slope == 0:
            raise UnboundedError
        # Newton's method on 1 / length - 1, which is concave and nearly linear in r.
        r += (length - 1) * length**2 / slope
        if not low < r < high:
            r = (low + high) / 2 if math.isfinite(high) else 2 * low
    return vectors @ (r * target / (r * eigenvalues + weight))
