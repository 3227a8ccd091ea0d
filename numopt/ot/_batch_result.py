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
        P, r, c = block.plans(block.f, block.g)
        if out is not None:
            out[part, :, :] = P
        error, error_inf = block.errors(r, c)
        bracket = block.bounds(r) if with_bounds else (xp.full_like(error, math.nan),) * 2
        parts.append(
            (
                *block.whole(),
                block.value(P, r, c),
                block.reg_value(r, c),
                block.dual_value(r),
                *bracket,
                error,
                error_inf,
            )
        )
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

    def plans(self, f: Array, g: Array) -> tuple[Array, Array, Array]:
        return plans(self.batch, self.ids, f, g, self.reg)

    def errors(self, r: Array, c: Array) -> tuple[Array, Array]:
        xp = self.xp
        row_gap, col_gap = xp.abs(self.a - r), xp.abs(self.b - c)
        return (
            xp.sum(row_gap, axis=1) + xp.sum(col_gap, axis=1),
            xp.maximum(xp.max(row_gap, axis=1), xp.max(col_gap, axis=1)),
        )

    def value(self, P: Array, r: Array, c: Array) -> Array:
        """<C, P>, pairs of infinite cost left out."""
        xp = self.xp
        C = self.batch.costs(self.ids)
        C = xp.where(xp.isinf(C), xp.zeros_like(C), C)
        return self._float64(C * P, (1, 2)) + self._shift_value(r, c)

    def reg_value(self, r: Array, c: Array) -> Array:
        """<C, P> + reg sum P (log P - 1), from log P = (f + g' - C) / reg."""
        xp = self.xp
        reg = xp.asarray(self.reg, device=r.device)
        parts = self._float64(self.f * r, 1) + self._float64(self.g * c, 1) - reg * self._float64(r, 1)
        return parts + self._shift_value(r, c)

    def dual_value(self, r: Array) -> Array:
        return self._dual(self.f, self.g) - self.xp.asarray(self.reg, device=r.device) * self._float64(r, 1)

    def bounds(self, r: Array) -> tuple[Array, Array]:
        """Bounds on the cost of unregularised transport; see `_bounds`."""
        xp, batch = self.xp, self.batch
        reg = batch.device_array(self.reg)[:, None]
        f = self.f + reg * self._reduction(r, self.a)
        c = self.plans(f, self.g)[2]
        g = self.g + reg * self._reduction(c, self.b)
        P, r, c = self.plans(f, g)
        missing = self._float64(xp.maximum(self.a - r, xp.zeros_like(r)), 1)
        C = batch.costs(self.ids)
        forbidden = xp.any(xp.isinf(C), axis=(1, 2))
        rest = xp.where(forbidden & (missing > 0.0), xp.full_like(missing, math.inf), missing)
        upper = self.value(P, r, c) + rest * xp.asarray(batch.largest[self.ids], device=r.device)
        reduced = C - masked(xp, self.f, self.rows, -math.inf)[:, :, None]
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
        """log(min(1, weights / sums))."""
        xp = self.xp
        above = sums > weights
        one = xp.ones_like(sums)
        return xp.log(xp.where(above, weights, one) / xp.where(above, sums, one))

    def _dual(self, f: Array, g: Array) -> Array:
        return self._float64(self.a * f, 1) + self._float64(self.b * g, 1) + self._shift_value(self.a, self.b)

    def _shift_value(self, r: Array, c: Array) -> Array:
        """What the offsets taken out of the costs add to a value whose plan has these sums."""
        if self.row_shift is None or self.col_shift is None:
            return self.xp.zeros(self.ids.size, dtype=self.xp.float64, device=r.device)
        return self._float64(self.row_shift * r, 1) + self._float64(self.col_shift * c, 1)

    def _float64(self, x: Array, axis: int | tuple[int, int]) -> Array:
        return self.xp.sum(x, axis=axis, dtype=self.xp.float64)
