"""The part of the objective that is not smooth: l1 norm, bounds, or group norms."""

import math
from typing import Any

import numpy as np

from numopt._array import add_at, is_array, to_host
from numopt._typing import Array, Namespace

__all__ = ["Penalty"]


class Penalty:
    """psi(x) = sum_i l1_i |x_i| over lower <= x <= upper, or sum_g l1 w_g ||x_g||_2 for disjoint groups.

    Parameters
    ----------
    like : array of shape (p,)
        Any vector of the library, dtype and device of the unknowns.
    l1, lower, upper : float or array of shape (p,)
        Weights of the absolute values, at least 0; bounds, infinite where there are none.
    groups : list of int64 arrays, optional
        Disjoint groups that cover all unknowns: l1 then weighs their norms, and bounds must be infinite.
    group_weights : array of shape (n_groups,), optional
        The w_g; ones by default.

    Attributes
    ----------
    is_zero, is_separable : bool
        No such part at all; a sum over coordinates.
    """

    def __init__(
        self,
        like: Array,
        xp: Namespace,
        *,
        l1: Any = 0.0,
        lower: Any = -math.inf,
        upper: Any = math.inf,
        groups: list[Array] | None = None,
        group_weights: Array | None = None,
    ) -> None:
        self._xp, self._dtype, self._device = xp, like.dtype, like.device
        self.l1, self.lower, self.upper = l1, lower, upper
        self.groups = groups
        self.has_l1 = bool(xp.any(l1 > 0)) if is_array(l1) else l1 > 0
        self.has_bounds = is_array(lower) or is_array(upper) or lower > -math.inf or upper < math.inf
        self.is_separable = groups is None
        self.is_zero = not (self.has_l1 or self.has_bounds)
        if groups is not None:
            self.group_weights = (
                xp.ones(len(groups), dtype=self._dtype, device=self._device) if group_weights is None else group_weights
            )
            self._places, self._is_place = self._padded(groups)
            self._group_of = self._inverse(groups, like.shape[0])

    def value(self, x: Array, block: Array | None = None) -> float:
        """Return psi at a feasible `x` (of the coordinates `block`; for groups, whole groups)."""
        xp = self._xp
        if self.groups is not None:
            return float(xp.sum(self.group_weights * self.group_norms(self._whole(x, block)))) * float(self.l1)
        if not self.has_l1:
            return 0.0
        return float(xp.sum(self.part(self.l1, block) * xp.abs(x)))

    def prox(self, v: Array, L: Any, block: Array | None = None) -> Array:
        """Return the minimiser over z of psi(z) + (L / 2) ||z - v||^2; with groups L is one number."""
        xp = self._xp
        if self.groups is not None:
            return self._group_prox(v, L, block)
        if self.has_l1:
            v = xp.sign(v) * xp.maximum(xp.abs(v) - self.part(self.l1, block) / L, xp.zeros_like(v))
        return self._clip(v, block)

    def project(self, x: Array, block: Array | None = None) -> Array:
        """Return the nearest point within the bounds."""
        return self._clip(x, block)

    def min_subgradient(self, x: Array, g: Array, block: Array | None = None) -> Array:
        """Return the element of least norm of g + the subdifferential of psi at a feasible x."""
        xp = self._xp
        if self.groups is not None:
            return self._group_subgradient(x, g, block)
        if self.is_zero:
            return g
        l1 = self.part(self.l1, block)
        right = xp.where(x >= 0, g + l1, g - l1)  # the derivative to the right, and to the left
        left = xp.where(x > 0, g + l1, g - l1)
        zero = xp.zeros_like(g)
        down, up = xp.maximum(left, zero), xp.minimum(right, zero)
        if self.has_bounds:
            down = xp.where(x > self.part(self.lower, block), down, zero)
            up = xp.where(x < self.part(self.upper, block), up, zero)
        out = down + up
        # Comparisons swallow NaN, which must be seen.
        return xp.where(xp.isnan(g), g, out)

    def take(self, block: Array) -> tuple[Array, Array, Array]:
        """Return l1, lower and upper of some coordinates as arrays."""
        xp = self._xp

        def entries(value: Any) -> Array:
            if is_array(value):
                return xp.take(value, block)
            return xp.full(block.shape[0], value, dtype=self._dtype, device=self._device)

        return entries(self.l1), entries(self.lower), entries(self.upper)

    def candidates(self, x: Array, g: Array) -> Array:
        """Return the free coordinates and those with a minimal subgradient other than zero, often in few passes."""
        xp = self._xp
        plain = self.is_separable and not any(is_array(part) for part in (self.l1, self.lower, self.upper))
        if plain and self.upper == math.inf:
            if self.lower == -math.inf:
                return xp.nonzero((xp.abs(g) > self.l1) | (x != 0))[0]
            if self.lower == 0:
                return xp.nonzero((g < -self.l1) | (x != 0))[0]
        return xp.nonzero((self.min_subgradient(x, g) != 0) | self.is_free(x))[0]

    def is_free(self, x: Array, block: Array | None = None) -> Array:
        """Tell which coordinates are strictly within their bounds and, where absolute values count, not at zero."""
        l1 = self.part(self.l1, block)
        loose = (x != 0) if not is_array(l1) and l1 > 0 else (x != 0) | (l1 == 0)
        if self.has_bounds:
            loose = loose & (x > self.part(self.lower, block)) & (x < self.part(self.upper, block))
        return loose

    def free(self, x: Array) -> Array:
        """Return the coordinates that `is_free` tells."""
        return self._xp.nonzero(self.is_free(x))[0]

    def restrict(self, block: Array) -> "Penalty":
        """Return the penalty of some coordinates."""
        like = self._xp.empty(block.shape[0], dtype=self._dtype, device=self._device)
        l1, lower, upper = (self.part(value, block) for value in (self.l1, self.lower, self.upper))
        return Penalty(like, self._xp, l1=l1, lower=lower, upper=upper)

    def table(self, l2: Any, n: int) -> Array:
        """Return l1, l2, lower and upper of all n coordinates as the rows of the array that kernels take."""
        out = self._xp.empty((4, n), dtype=self._dtype, device=self._device)
        for row, value in enumerate((self.l1, l2, self.lower, self.upper)):
            out[row, :] = value
        return out

    def part(self, value: Any, block: Array | None) -> Any:
        """Return a number as it is, of an array the entries of `block`."""
        return self._xp.take(value, block) if block is not None and is_array(value) else value

    def group_norms(self, x: Array) -> Array:
        """Return the 2-norms of the groups of a whole vector."""
        xp = self._xp
        values = xp.where(self._is_place, self._gathered(x), xp.zeros(1, dtype=x.dtype, device=self._device))
        return xp.linalg.vector_norm(values, axis=1)

    def spread(self, per_group: Array) -> Array:
        """Return one entry for each coordinate from one for each group."""
        return self._xp.take(per_group, self._group_of)

    def _gathered(self, x: Array) -> Array:
        xp = self._xp
        return xp.reshape(xp.take(x, xp.reshape(self._places, (-1,))), self._places.shape)

    def _clip(self, x: Array, block: Array | None) -> Array:
        if not self.has_bounds:
            return x
        xp = self._xp
        lower, upper = (self._array(self.part(bound, block), x) for bound in (self.lower, self.upper))
        # NaN stays: minimum and maximum pass it on.
        return xp.minimum(xp.maximum(x, lower), upper)

    def _array(self, value: Any, like: Array) -> Array:
        return value if is_array(value) else self._xp.full(1, value, dtype=like.dtype, device=self._device)

    def _whole(self, x: Array, block: Array | None) -> Array:
        """Return a vector of all coordinates that is zero outside the block."""
        if block is None:
            return x
        whole = self._xp.zeros(self._group_of.shape[0], dtype=x.dtype, device=self._device)
        add_at(whole, block, x)
        return whole

    def _group_prox(self, v: Array, L: Any, block: Array | None) -> Array:
        xp = self._xp
        norms = self.group_norms(self._whole(v, block))
        factor = self.spread(_shrinkage(xp, L * norms, self.l1 * self.group_weights))
        return v * (factor if block is None else xp.take(factor, block))

    def _group_subgradient(self, x: Array, g: Array, block: Array | None) -> Array:
        xp = self._xp
        whole_x, whole_g = self._whole(x, block), self._whole(g, block)
        norms_x, norms_g = self.group_norms(whole_x), self.group_norms(whole_g)
        tiny = xp.asarray(xp.finfo(g.dtype).smallest_normal, dtype=g.dtype, device=self._device)
        weight = self.l1 * self.group_weights
        away = norms_x > 0
        one, zero = xp.ones_like(norms_x), xp.zeros_like(norms_x)
        moving = self.spread(xp.where(away, weight / xp.where(away, xp.maximum(norms_x, tiny), one), zero))
        resting = self.spread(xp.where(away, one, _shrinkage(xp, norms_g, weight)))
        out = resting * whole_g + moving * whole_x
        return out if block is None else xp.take(out, block)

    def _padded(self, groups: list[Array]) -> tuple[Array, Array]:
        """Return the groups as the rows of one index array, short ones filled up, and which entries are real."""
        width = max(group.shape[0] for group in groups)
        places = np.zeros((len(groups), width), dtype=np.int64)
        real = np.zeros((len(groups), width), dtype=bool)
        for row, group in enumerate(groups):
            places[row, : group.shape[0]] = to_host(group)
            real[row, : group.shape[0]] = True
        return self._xp.asarray(places, device=self._device), self._xp.asarray(real, device=self._device)

    def _inverse(self, groups: list[Array], n: int) -> Array:
        group_of = np.empty(n, dtype=np.int64)
        for number, group in enumerate(groups):
            group_of[to_host(group)] = number
        return self._xp.asarray(group_of, device=self._device)


def _shrinkage(xp: Namespace, norms: Array, weight: Array) -> Array:
    """Return max(1 - weight / norms, 0), which no quotient of a norm near zero may overflow."""
    out = norms > weight
    return xp.where(out, 1 - weight / xp.where(out, norms, xp.ones_like(norms)), xp.zeros_like(norms))
