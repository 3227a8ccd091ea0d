"""Many transport problems of one size as the user states them: checked, scaled to equal masses, with masks of mass."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numopt._array import asarray_like, contiguous, device_of, is_array, is_sparse, namespace, promote, to_host
from numopt._core.validation import check_scalar
from numopt._typing import Array, Namespace
from numopt.ot._problem import OFFSET

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Temporaries of a pass over many problems stay below this; problems are taken in chunks.
CHUNK_BYTES = 1 << 28


@dataclass
class Batch:
    """`count` problems of shape (n, m), flat; atoms without mass are masked, not removed.

    Attributes
    ----------
    lead : tuple of int
        The leading dimensions that the user gave; `count` is their product.
    C : array of shape (count, n, m) or (n, m)
        Costs, without the shifts.
    source : array
        Costs as given.
    a, b : array of shape (count, n), (count, m)
        Weights; `rows` and `cols` tell which are positive, None where all are.
    reg, largest, mass : float64 arrays of shape (count,), on the host
    forbidden : bool array of shape (count,), on the host
        Whether pairs of atoms with mass are forbidden.
    has_inf : bool
        Whether any cost is +inf.
    row_shift, col_shift : array or None
        What was subtracted from the costs.
    """

    xp: Namespace
    lead: tuple[int, ...]
    C: Array
    source: Array
    a: Array
    b: Array
    rows: Array | None
    cols: Array | None
    reg: Floats
    largest: Floats
    mass: Floats
    forbidden: NDArray[np.bool_]
    has_inf: bool = False
    row_shift: Array | None = None
    col_shift: Array | None = None

    @cached_property
    def log_a(self) -> Array:
        """Logarithms of the weights, zero for atoms without mass."""
        return self.xp.log(masked(self.xp, self.a, self.rows, 1.0))

    @cached_property
    def log_b(self) -> Array:
        """The same for the targets."""
        return self.xp.log(masked(self.xp, self.b, self.cols, 1.0))

    @property
    def count(self) -> int:
        return math.prod(self.lead)

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.C.shape[-2]), int(self.C.shape[-1])

    def costs(self, ids: Ints, source: bool = False) -> Array:
        """Costs of some problems in ascending order: (len(ids), n, m), or (1, n, m) where they are shared."""
        C = self.source if source else self.C
        if C.ndim == 2:
            return C[None, :, :]
        return chosen(C, ids)

    def chunks(self, total: int) -> Iterator[slice]:
        """Slices of `total` problems whose temporaries fit; an empty one for none."""
        n, m = self.shape
        shorter = min(n, m)
        step = max(1, CHUNK_BYTES // (8 * (5 * n * m + 4 * shorter * shorter)))
        for start in range(0, max(total, 1), step):
            yield slice(start, min(start + step, total))

    def problem_name(self, i: int) -> str:
        """How messages call the problem at flat position i."""
        return _name(i, self.lead)

    def device_array(self, values: Any) -> Array:
        """Host numbers as an array next to the weights, of their dtype."""
        return asarray_like(np.asarray(values), self.a, dtype=self.a.dtype)


def chosen(x: Array, ids: Ints) -> Array:
    """Leading entries of x in ascending order, without a copy where they follow one another."""
    if ids.size and ids[-1] - ids[0] + 1 == ids.size:
        return x[int(ids[0]) : int(ids[-1]) + 1, ...]
    xp = namespace(x)
    return xp.take(x, xp.asarray(ids, device=device_of(x)), axis=0)


def merged(*parts: tuple[Any, *tuple[Array, ...]]) -> tuple[Array, ...]:
    """Put together entries with their ids, (ids, x, y, ...) each, in ascending order of the ids."""
    joined = [x[0] if len(x) == 1 else namespace(*x).concat(x) for x in list(zip(*parts, strict=True))[1:]]
    ids = np.concatenate([part[0] for part in parts])
    if (ids[1:] > ids[:-1]).all():
        return tuple(joined)
    order = asarray_like(np.argsort(ids), joined[0])
    return tuple(namespace(x).take(x, order, axis=0) for x in joined)


def masked(xp: Namespace, values: Array, mask: Array | None, other: float) -> Array:
    """`values` where the mask holds, one number elsewhere."""
    return (
        values if mask is None else xp.where(mask, values, xp.asarray(other, dtype=values.dtype, device=values.device))
    )


def batch_problem(a: Any, b: Any, C: Any, reg: Any, *, mass_tol: float) -> Batch:
    """Check weights, costs and regularisation; see `numopt.ot.solve_batch` for what raises."""
    xp, a, b, C = _arrays(a, b, C)
    reg = _check_reg(reg)
    n, m = int(C.shape[-2]), int(C.shape[-1])
    try:
        lead = np.broadcast_shapes(a.shape[:-1], b.shape[:-1], C.shape[:-2], reg.shape)
    except ValueError:
        raise ValueError(
            "The leading dimensions of `a`, `b`, `C` and `reg` must broadcast against each other, got shapes "
            f"{tuple(a.shape)}, {tuple(b.shape)}, {tuple(C.shape)} and {reg.shape}."
        ) from None
    count = math.prod(lead)
    a, b = (xp.reshape(xp.broadcast_to(w, (*lead, k)), (count, k)) for w, k in ((a, n), (b, m)))
    reg = np.ascontiguousarray(np.broadcast_to(reg, lead)).reshape(count)
    if math.prod(C.shape[:-2]) == 1 and count != 0:
        C = xp.reshape(C, (n, m))
    else:
        C = xp.reshape(xp.broadcast_to(C, (*lead, n, m)), (count, n, m))
    C = contiguous(C)
    batch = Batch(xp, lead, C, C, a, b, None, None, reg, np.ones(count), np.ones(count), np.zeros(count, bool))
    if count:
        batch.mass, batch.b = _check_weights(batch, mass_tol)
        batch.rows, batch.cols = _with_mass(xp, a), _with_mass(xp, b)
        _check_costs(batch)
    return batch


def _arrays(a: Any, b: Any, C: Any) -> tuple[Namespace, Array, Array, Array]:
    """Weights and costs as arrays of one library and dtype whose last dimensions match."""
    if is_sparse(C):
        raise TypeError("`C` must be a dense array, got a sparse matrix; mark forbidden pairs by +inf.")
    if C is None:
        raise TypeError("`C` must be an array of costs of shape (..., n, m), got None.")
    xp = namespace(a, b, C)
    C, *weights = promote(C, *(w for w in (a, b) if is_array(w)), xp=xp)
    if C.ndim < 2 or min(C.shape[-2:]) < 1:
        raise ValueError(
            f"`C` must have shape (..., n, m) with at least one row and column, got {tuple(C.shape)}; "
            "the order is solve_batch(a, b, C, reg)."
        )
    if xp.isdtype(C.dtype, "complex floating"):
        raise TypeError(f"`a`, `b` and `C` must be real, got dtype {C.dtype}.")
    given = iter(weights)
    sides = []
    for name, w, size in (("a", a, C.shape[-2]), ("b", b, C.shape[-1])):
        if w is None:
            w = xp.full(size, 1.0 / size, dtype=C.dtype, device=C.device)
        w = next(given) if is_array(w) and w is (a if name == "a" else b) else asarray_like(w, C, dtype=C.dtype)
        if w.ndim < 1 or w.shape[-1] != size:
            raise ValueError(
                f"`{name}` must have shape (..., {size}) as the costs of shape {tuple(C.shape)} have, "
                f"got {tuple(w.shape)}."
            )
        sides.append(w)
    return xp, sides[0], sides[1], C


def _check_reg(reg: Any) -> Floats:
    """One regularisation or one a problem, on the host."""
    if not is_array(reg) and not isinstance(reg, list | tuple):
        return np.asarray(check_scalar(reg, "reg", low=0.0, include_low=False))
    values = to_host(reg) if is_array(reg) else np.asarray(reg)
    if values.dtype.kind not in "fiu":
        raise TypeError(f"`reg` must hold real numbers, got dtype {values.dtype}.")
    values = values.astype(np.float64)
    bad = ~(np.isfinite(values) & (values > 0.0))
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise ValueError(f"`reg` must be positive and finite, got {values.flat[i]} for {_name(i, values.shape)}.")
    return values


def _check_weights(batch: Batch, mass_tol: float) -> tuple[Floats, Array]:
    """Masses of the problems, and `b` scaled to those of `a`."""
    xp, totals = batch.xp, []
    for name, w in (("a", batch.a), ("b", batch.b)):
        smallest, total = to_host(xp.stack([xp.min(w, axis=1), xp.sum(w, axis=1)]))
        bad = ~(np.isfinite(total) & (smallest >= 0.0))
        if bad.any():
            i = int(np.flatnonzero(bad)[0])
            raise ValueError(
                f"`{name}` must hold finite non-negative weights, got a smallest of {smallest[i]} (sum {total[i]}) "
                f"in {batch.problem_name(i)}."
            )
        if not (total > 0.0).all():
            i = int(np.flatnonzero(total == 0.0)[0])
            raise ValueError(f"`{name}` must have positive mass, got a sum of 0 in {batch.problem_name(i)}.")
        totals.append(total.astype(np.float64))
    mass, other = totals
    bad = np.abs(mass - other) > mass_tol * mass
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"`a` and `b` must have the same mass to {mass_tol:g} (mass_tol), got {mass[i]:.9g} and {other[i]:.9g} in "
            f"{batch.problem_name(i)}; normalise them."
        )
    scale = batch.device_array(mass / other)
    return mass, batch.b if (mass == other).all() else batch.b * scale[:, None]


def _with_mass(xp: Namespace, weights: Array) -> Array | None:
    positive = weights > 0
    return None if bool(xp.all(positive)) else positive


def _check_costs(batch: Batch) -> None:
    """Check the costs between atoms with mass; take large offsets out of them."""
    xp = batch.xp
    # One look is enough at costs that all problems share on all atoms.
    same = batch.C.ndim == 2 and batch.rows is None and batch.cols is None
    survey = _survey(batch, np.arange(1 if same else batch.count))
    bad, no_row, no_col = (np.flatnonzero(flag) for flag in survey[:3])
    if bad.size:
        raise ValueError(
            "`C` must hold numbers above -inf (+inf forbids a pair), got NaN or -inf in "
            f"{batch.problem_name(int(bad[0]))}."
        )
    for kind, found in (("source", no_row), ("target", no_col)):
        if found.size:
            i = int(found[0])
            raise ValueError(
                f"{batch.problem_name(i).capitalize()} is infeasible: a {kind} has mass, but all its costs in `C` are "
                "+inf."
            )
    least, most, highest, dirty, inf, forbidden = (np.broadcast_to(v, batch.count) for v in survey[3:])
    if dirty.any():
        # Only pairs without mass hold these; they must not reach any arithmetic.
        batch.C = xp.where(xp.isnan(batch.C) | (xp.isinf(batch.C) & (batch.C < 0)), xp.zeros_like(batch.C), batch.C)
    batch.has_inf, batch.forbidden = bool(inf.any()), forbidden > 0.0
    span = most - least
    shifted = (np.maximum(np.abs(least), highest - least) > OFFSET * span) & (span > 0.0)
    shifted |= (span == 0.0) & (least != 0.0)
    if shifted.any():
        _take_offsets(batch, shifted)
        least, most = (np.broadcast_to(v, batch.count) for v in _survey(batch, np.arange(batch.count))[3:5])
    scale = np.maximum(np.abs(most), np.abs(least))
    batch.largest = np.where(scale > 0.0, scale, 1.0)


def _survey(batch: Batch, ids: Ints) -> Floats:
    """Per problem, of the costs between atoms with mass: NaN or -inf there? a row, a column without a finite cost?
    the least, the largest finite, the largest row minimum; NaN or -inf anywhere?
    """
    xp, parts = batch.xp, []
    for part in batch.chunks(ids.size):
        C = batch.costs(ids[part])
        rows, cols = (None if side is None else side[part, :] for side in (batch.rows, batch.cols))
        infinite = xp.isinf(C)
        dirty = bad = xp.isnan(C) | (infinite & (C < 0))
        has_inf = forbidden = infinite & (C > 0)
        if rows is not None:
            C, bad = masked(xp, C, rows[:, :, None], math.inf), bad & rows[:, :, None]
            forbidden = forbidden & rows[:, :, None]
        if cols is not None:
            C, bad = masked(xp, C, cols[:, None, :], math.inf), bad & cols[:, None, :]
            forbidden = forbidden & cols[:, None, :]
        row_least, col_least = xp.min(C, axis=2), xp.min(C, axis=1)
        none_row, none_col = xp.isinf(row_least), xp.isinf(col_least)
        highest = masked(xp, row_least, rows, -math.inf)
        numbers = (
            xp.any(bad, axis=(1, 2)),
            xp.any(none_row if rows is None else none_row & rows, axis=1),
            xp.any(none_col if cols is None else none_col & cols, axis=1),
            xp.min(row_least, axis=1),
            xp.max(xp.where(xp.isinf(C), xp.full_like(C, -math.inf), C), axis=(1, 2)),
            xp.max(highest, axis=1),
            *(xp.any(flags, axis=(1, 2)) for flags in (dirty, has_inf, forbidden)),
        )
        size = ids[part].size
        parts.append(xp.stack([xp.broadcast_to(xp.astype(v, xp.float64), (size,)) for v in numbers]))
    host: Floats = to_host(xp.concat(parts, axis=1))
    return host


def _take_offsets(batch: Batch, shifted: NDArray[np.bool_]) -> None:
    """Subtract the minima of the rows, then of the columns, in the problems that need it."""
    xp, (n, m) = batch.xp, batch.shape
    wanted = asarray_like(shifted, batch.a)
    C = xp.asarray(xp.broadcast_to(batch.C, (batch.count, n, m)), copy=True)
    row_shift, col_shift = xp.zeros_like(batch.a), xp.zeros_like(batch.b)
    for part in batch.chunks(batch.count):
        rows, cols = (None if side is None else side[part, :] for side in (batch.rows, batch.cols))
        block, chosen_ones = C[part, :, :], wanted[part, None]
        least = xp.min(block if cols is None else masked(xp, block, cols[:, None, :], math.inf), axis=2)
        least = masked(xp, masked(xp, least, rows, 0.0), chosen_ones, 0.0)
        row_shift[part, :] = least
        block = block - least[:, :, None]
        least = xp.min(block if rows is None else masked(xp, block, rows[:, :, None], math.inf), axis=1)
        least = masked(xp, masked(xp, least, cols, 0.0), chosen_ones, 0.0)
        col_shift[part, :] = least
        C[part, :, :] = block - least[:, None, :]
    batch.C, batch.row_shift, batch.col_shift = C, row_shift, col_shift


def _name(i: int, lead: tuple[int, ...]) -> str:
    if len(lead) <= 1:
        return f"problem {i}"
    return f"problem {tuple(int(k) for k in np.unravel_index(i, lead))}"
