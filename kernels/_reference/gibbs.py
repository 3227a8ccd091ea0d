"""The plan P = exp((f + g - C) / reg) of entropic transport on a dense cost: sums, log-sums, kept entries."""

import array_api_compat

from numopt._typing import Array
from numopt.kernels._reference._plan import exponents, fill_rows, kept, log_sum_exp, slices


def gibbs_parts(n: int, m: int) -> int:
    """Return 1: the reference has nothing to gain from several accumulators."""
    return 1


def _sum_plan(P: Array, r: Array, work: Array, c: Array) -> None:
    """Write the row sums, the column sums of each slice, and the sum of these."""
    xp = array_api_compat.array_namespace(P)
    r[...] = xp.sum(P, axis=1, dtype=r.dtype)
    for part, rows in enumerate(slices(P.shape[0], work.shape[0])):
        work[part, :] = xp.sum(P[rows, :], axis=0, dtype=c.dtype)
    c[...] = xp.sum(work, axis=0, dtype=c.dtype)


def gibbs_sums(C: Array, f: Array, g: Array, inv_reg: float, r: Array, work: Array, c: Array) -> None:
    """Compute the row sums and the column sums of the plan."""
    xp = array_api_compat.array_namespace(C, f)
    _sum_plan(xp.exp(exponents(C, f, g, inv_reg)), r, work, c)


def gibbs_plan(C: Array, f: Array, g: Array, inv_reg: float, P: Array, r: Array, work: Array, c: Array) -> None:
    """Compute the plan and its sums."""
    xp = array_api_compat.array_namespace(C, f)
    P[...] = xp.exp(exponents(C, f, g, inv_reg))
    _sum_plan(P, r, work, c)


def gibbs_lse_rows(C: Array, g: Array, inv_reg: float, out: Array) -> None:
    """Compute the logarithms of the row sums of exp((g - C) / reg)."""
    xp = array_api_compat.array_namespace(C, g)
    out[...] = log_sum_exp((g[None, :] - xp.astype(C, g.dtype, copy=False)) * inv_reg, axis=1)


def gibbs_lse_cols(C: Array, f: Array, inv_reg: float, work: Array, out: Array) -> None:
    """Compute the logarithms of the column sums of exp((f - C) / reg)."""
    xp = array_api_compat.array_namespace(C, f)
    out[...] = log_sum_exp((f[:, None] - xp.astype(C, f.dtype, copy=False)) * inv_reg, axis=0)


def scaling_sweep(K: Array, a: Array, b: Array, u: Array, v: Array, r: Array, work: Array, c: Array) -> None:
    """Scale the rows of diag(u) K diag(v) to the sums a, then the columns to b."""
    xp = array_api_compat.array_namespace(K, u)
    s = K @ v
    r[...] = u * s
    u[...] = xp.where(s == 0, u, a / xp.where(s == 0, xp.ones_like(s), s))
    for part, rows in enumerate(slices(K.shape[0], work.shape[0])):
        work[part, :] = u[rows] @ K[rows, :]
    c[...] = xp.sum(work, axis=0, dtype=c.dtype)
    v[...] = xp.where(c == 0, v, b / xp.where(c == 0, xp.ones_like(c), c))


def gibbs_count(
    C: Array,
    f: Array,
    g: Array,
    inv_reg: float,
    row_floor: Array,
    col_floor: Array,
    row_count: Array,
    work: Array,
) -> None:
    """Count the entries that the floors keep, by row and, slice by slice, by column."""
    xp = array_api_compat.array_namespace(C, f)
    keep = xp.astype(kept(exponents(C, f, g, inv_reg), row_floor, col_floor), row_count.dtype)
    row_count[...] = xp.sum(keep, axis=1, dtype=row_count.dtype)
    for part, rows in enumerate(slices(C.shape[0], work.shape[0])):
        work[part, :] = xp.sum(keep[rows, :], axis=0, dtype=work.dtype)


def gibbs_fill(
    C: Array,
    f: Array,
    g: Array,
    inv_reg: float,
    row_floor: Array,
    col_floor: Array,
    indptr: Array,
    indices: Array,
    data: Array,
) -> None:
    """Write the kept entries of the plan as CSR."""
    e = exponents(C, f, g, inv_reg)
    fill_rows(e, kept(e, row_floor, col_floor), indptr, indices, data)


def gibbs_fill_columns(
    C: Array,
    f: Array,
    g: Array,
    inv_reg: float,
    row_floor: Array,
    col_floor: Array,
    starts: Array,
    indices: Array,
    data: Array,
) -> None:
    """Write the kept entries of the plan as CSC, slice by slice."""
    xp = array_api_compat.array_namespace(C, f)
    e = exponents(C, f, g, inv_reg)
    keep = kept(e, row_floor, col_floor)
    for part, rows in enumerate(slices(C.shape[0], starts.shape[0])):
        for j in range(C.shape[1]):
            (found,) = xp.nonzero(keep[rows, j])
            entries = slice(int(starts[part, j]), int(starts[part, j]) + found.shape[0])
            indices[entries] = xp.astype(found + rows.start, indices.dtype)
            data[entries] = xp.exp(xp.take(e[rows, j], found))
            starts[part, j] = entries.stop
