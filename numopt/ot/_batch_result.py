"""Answers of a batch: everything a result holds is worked out afresh from the potentials."""

import math
from dataclasses import dataclass

import numpy as np

from numopt._typing import Array
from numopt.ot._batch_passes import plans
from numopt.ot._batch_problem import Batch, Floats, Ints, chosen, masked


@dataclass(frozen=True, slots=True)
class Certificate:
    """Of all problems; arrays of shape (count,), (count, n), (count, m) and (count, n, m)."""

    f: Array
    g: Array
    plan: Array | None
    value: Array
    reg_value: Array
    dual_value: Array
    upper_bound: Array
    lower_bound: Array
    marginal_error: Array
    marginal_error_linf: Array


def certify(batch: Batch, f: Array, g: Array, *, with_plan: bool, with_bounds: bool = True) -> Certificate:
    """Work out plans, values, errors and bounds at potentials of all problems (against the costs without the shifts).

    The potentials get their gauge and the shifts; those of atoms without mass are c-transforms.
    """
    xp, parts = batch.xp, []
    out = xp.empty((batch.count, *batch.shape), dtype=f.dtype, device=f.device) if with_plan else None
    for part in batch.chunks(batch.count):
        block = _Block(batch, np.arange(batch.count)[part], f[part, :], g[part, :])
        P, r, c = plans(batch, block.ids, block.f, block.g, block.reg)
        if out is not None:
            out[part, :, :] = P
        costs = block.costs_of(P)
        errors = block.errors(r, c)
        bracket = block.bounds(P, costs, r) if with_bounds else (xp.full_like(errors[0], math.nan),) * 2
        values = block.value(xp.sum(costs, axis=2), r, c), block.reg_value(r, c), block.dual_value(r)
        parts.append((*block.whole(), *values, *bracket, *errors))
    joined = [xp.concat(columns) for columns in zip(*parts, strict=True)]
    return Certificate(joined[0], joined[1], out, *joined[2:])


class _Block:
    """Some problems, at potentials whose gauge is set."""

    def __init__(self, batch: Batch, ids: Ints, f: Array, g: Array) -> None:
        xp = self.xp = batch.xp
        self.batch, self.ids = batch, ids
        self.a, self.b = chosen(batch.a, ids), chosen(batch.b, ids)
        self.rows, self.cols, self.row_shift, self.col_shift = (
            None if x is None else chosen(x, ids) for x in (batch.rows, batch.cols, batch.row_shift, batch.col_shift)
        )
        self.reg: Floats = batch.reg[ids]
        g_whole = g if self.col_shift is None else g + self.col_shift
        t = xp.sum(self.b * g_whole, axis=1, keepdims=True) / xp.sum(self.b, axis=1, keepdims=True)
        self.f, self.g = masked(xp, f + t, self.rows, 0.0), masked(xp, g - t, self.cols, 0.0)

    def errors(self, r: Array, c: Array) -> tuple[Array, Array]:
        xp = self.xp
        row_gap, col_gap = xp.abs(self.a - r), xp.abs(self.b - c)
        return (
            xp.sum(row_gap, axis=1) + xp.sum(col_gap, axis=1),
            xp.maximum(xp.max(row_gap, axis=1), xp.max(col_gap, axis=1)),
        )

    def costs_of(self, P: Array) -> Array:
        """C * P entry by entry, pairs of infinite cost left out."""
        C = self.batch.costs(self.ids)
        return P * (masked(self.xp, C, self.xp.isfinite(C), 0.0) if self.batch.has_inf else C)

    def value(self, row_costs: Array, r: Array, c: Array) -> Array:
        """<C, P> from the costs of its rows."""
        return self._float64(row_costs, 1) + self._shift_value(r, c)

    def reg_value(self, r: Array, c: Array) -> Array:
        """<C, P> + reg sum P (log P - 1), from log P = (f + g' - C) / reg."""
        xp = self.xp
        reg = xp.asarray(self.reg, device=r.device)
        parts = self._float64(self.f * r, 1) + self._float64(self.g * c, 1) - reg * self._float64(r, 1)
        return parts + self._shift_value(r, c)

    def dual_value(self, r: Array) -> Array:
        return self._dual(self.f, self.g) - self.xp.asarray(self.reg, device=r.device) * self._float64(r, 1)

    def bounds(self, P: Array, costs: Array, r: Array) -> tuple[Array, Array]:
        """Bounds on the cost of unregularised transport; see `_bounds`. The scaled plan needs no more exponentials."""
        xp, batch = self.xp, self.batch
        u = self._reduction(r, self.a)
        v = self._reduction(xp.matmul(u[:, None, :], P)[:, 0, :], self.b)
        r = u * xp.matmul(P, v[:, :, None])[:, :, 0]
        c = v * xp.matmul(u[:, None, :], P)[:, 0, :]
        row_costs = u * xp.matmul(costs, v[:, :, None])[:, :, 0]
        missing = self._float64(xp.maximum(self.a - r, xp.zeros_like(r)), 1)
        forbidden = xp.asarray(batch.forbidden[self.ids], device=r.device)
        rest = xp.where(forbidden & (missing > 0.0), xp.full_like(missing, math.inf), missing)
        upper = self.value(row_costs, r, c) + rest * xp.asarray(batch.largest[self.ids], device=r.device)
        reduced = batch.costs(self.ids) - masked(xp, self.f, self.rows, -math.inf)[:, :, None]
        return upper, self._dual(self.f, masked(xp, xp.min(reduced, axis=1), self.cols, 0.0))

    def whole(self) -> tuple[Array, Array]:
        """Potentials of all atoms for the costs as they were given."""
        xp = self.xp
        f = self.f if self.row_shift is None else self.f + self.row_shift
        g = self.g if self.col_shift is None else self.g + self.col_shift
        if self.rows is None and self.cols is None:
            return f, g
        C = self.batch.costs(self.ids, source=True)
        f_all, g_all = f, g
        if self.rows is not None:
            f_all = self._transform(C - g[:, None, :], self.cols if self.cols is None else self.cols[:, None, :], 2)
            f_all = xp.where(self.rows, f, f_all)
        if self.cols is not None:
            g_all = self._transform(C - f[:, :, None], self.rows if self.rows is None else self.rows[:, :, None], 1)
            g_all = xp.where(self.cols, g, g_all)
        return f_all, g_all

    def _transform(self, reduced: Array, mask: Array | None, axis: int) -> Array:
        least = self.xp.min(masked(self.xp, reduced, mask, math.inf), axis=axis)
        # An atom that all pairs are forbidden to has no finite potential of its own.
        return masked(self.xp, least, self.xp.isfinite(least), 0.0)

    def _reduction(self, sums: Array, weights: Array) -> Array:
        """min(1, weights / sums)."""
        xp = self.xp
        above = sums > weights
        one = xp.ones_like(sums)
        return xp.where(above, weights, one) / xp.where(above, sums, one)

    def _dual(self, f: Array, g: Array) -> Array:
        return self._float64(self.a * f, 1) + self._float64(self.b * g, 1) + self._shift_value(self.a, self.b)

    def _shift_value(self, r: Array, c: Array) -> Array:
        """What the offsets taken out of the costs add to a value whose plan has these sums."""
        if self.row_shift is None or self.col_shift is None:
            return self.xp.zeros(self.ids.size, dtype=self.xp.float64, device=r.device)
        return self._float64(self.row_shift * r, 1) + self._float64(self.col_shift * c, 1)

    def _float64(self, x: Array, axis: int | tuple[int, int]) -> Array:
        return self.xp.sum(x, axis=axis, dtype=self.xp.float64)
