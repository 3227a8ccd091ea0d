"""The plan P = exp((f + g - C) / reg) of entropic transport on a dense cost: sums, log-sums, kept entries.

Every kernel reads C once. A slice of rows has column accumulators of its own, which stay in the cache, and the slices
are added in order. P_ij is 2**((f_i + g_j - C_ij) * (inv_reg * log2 e)); what is kept is decided on the exponent.
"""

import numba
import numpy as np

from numopt.kernels._numba._jit import CONTRACT, REASSOCIATE, jit
from numopt.kernels._numba._local import carray, local_memory
from numopt.kernels._numba._math import exp2, log
from numopt.kernels._numba._plan import (
    LOG2E,
    TILE,
    count_columns,
    exponentiate,
    exponentiate_columns,
    exponents,
    fill_row,
    largest,
)
from numopt.kernels._numba._threads import PARALLEL_MIN_WORK, Twins


def gibbs_parts(n: int, m: int) -> int:
    """Return the number of row slices the kernels run best with: one per thread where several threads pay."""
    return max(1, min(numba.get_num_threads(), n)) if 2 * n * m >= PARALLEL_MIN_WORK else 1


@jit
def _slice(n, part, parts):
    return range(n * part // parts, n * (part + 1) // parts)


@jit
def _add_slices(work, c):
    """Add the accumulators of the slices in order."""
    c[:] = work[0]
    for part in range(1, work.shape[0]):
        for j in range(c.size):
            c[j] += work[part, j]


# Sums


@jit
def _sums_slice(C, f, g, inv_reg, r, work, part):
    scale = f.dtype.type(inv_reg * LOG2E)
    tile, column = carray(local_memory(f, TILE), TILE), work[part]
    column[:] = 0
    for i in _slice(f.size, part, work.shape[0]):
        r[i] = 0
        for first in range(0, g.size, TILE):
            last = min(first + TILE, g.size)
            piece = tile[: last - first]
            if exponents(C[i, first:last], f[i], g[first:last], scale, piece):
                r[i] += exponentiate_columns(piece, column[first:last])


@jit
def _plan_slice(C, f, g, inv_reg, P, r, work, part):
    scale = f.dtype.type(inv_reg * LOG2E)
    column = work[part]
    column[:] = 0
    for i in _slice(f.size, part, work.shape[0]):
        r[i] = 0
        for first in range(0, g.size, TILE):
            last = min(first + TILE, g.size)
            piece = P[i, first:last]
            if exponents(C[i, first:last], f[i], g[first:last], scale, piece):
                r[i] += exponentiate_columns(piece, column[first:last])
            else:
                piece[:] = 0


# Logarithms of sums


@jit
def _lse_row(row, g, inv_reg):
    """Return log sum exp((g - row) * inv_reg), the exponents taken relative to the largest one so far."""
    real = g.dtype.type
    scale, empty = real(inv_reg * LOG2E), real(-np.inf)
    tile, spare = carray(local_memory(g, TILE), TILE), carray(local_memory(g, TILE), TILE)
    top, total = empty, real(0)
    for first in range(0, g.size, TILE):
        last = min(first + TILE, g.size)
        piece = tile[: last - first]
        for j in range(piece.size):
            piece[j] = g[first + j] - real(row[first + j])
        above = largest(piece, spare)
        if above > top:
            total *= exp2((top - above) * scale)
            top = above
        if top > empty:
            for j in range(piece.size):
                piece[j] = (piece[j] - top) * scale
            total += exponentiate(piece)
    return top * real(inv_reg) + log(total) if top > empty else empty


@jit(fastmath=CONTRACT)
def _lse_cols_slice(C, f, inv_reg, work, part):
    """Keep the largest exponent of each column so far, and the sum relative to it."""
    real = f.dtype.type
    scale = real(inv_reg * LOG2E)
    top, total = work[0, part], work[1, part]
    # Not -inf, whose difference from another -inf is NaN.
    top[:] = np.finfo(f.dtype).min
    total[:] = 0
    for i in _slice(f.size, part, work.shape[1]):
        row, f_i = C[i], f[i]
        for j in range(top.size):
            value, before = f_i - real(row[j]), top[j]
            # One of value and before is the new maximum, so that one exponential serves both cases.
            small = exp2(-abs(value - before) * scale)
            total[j] = total[j] * small + real(1) if value > before else total[j] + small
            top[j] = max(value, before)


@jit
def _lse_cols_merge(inv_reg, work, out):
    real = out.dtype.type
    scale = real(inv_reg * LOG2E)
    for j in range(out.size):
        top, total = work[0, 0, j], real(0)
        for part in range(1, work.shape[1]):
            top = max(top, work[0, part, j])
        for part in range(work.shape[1]):
            total += work[1, part, j] * exp2((work[0, part, j] - top) * scale)
        out[j] = top * real(inv_reg) + log(total)


# Scalings of a stored kernel


@jit
def _scale_row(s, a, u, r, i):
    """Write the sum of a row as scaled so far and its new scaling; return this."""
    r[i] = u[i] * s
    if s != 0:
        u[i] = a[i] / s
    return u[i]


@jit(fastmath=REASSOCIATE)
def _sweep_slice(K, a, u, v, r, work, part):
    """Scale the rows of a slice; four at a time, for v and the column sums to be loaded and stored less often."""
    real = u.dtype.type
    column = work[part]
    column[:] = 0
    rows = _slice(u.size, part, work.shape[0])
    in_fours = rows.stop - (rows.stop - rows.start) % 4
    for i in range(rows.start, in_fours, 4):
        K0, K1, K2, K3 = K[i], K[i + 1], K[i + 2], K[i + 3]
        s0 = s1 = s2 = s3 = real(0)
        for j in range(v.size):
            s0 += K0[j] * v[j]
            s1 += K1[j] * v[j]
            s2 += K2[j] * v[j]
            s3 += K3[j] * v[j]
        u0, u1 = _scale_row(s0, a, u, r, i), _scale_row(s1, a, u, r, i + 1)
        u2, u3 = _scale_row(s2, a, u, r, i + 2), _scale_row(s3, a, u, r, i + 3)
        for j in range(v.size):
            column[j] += (u0 * K0[j] + u1 * K1[j]) + (u2 * K2[j] + u3 * K3[j])
    for i in range(in_fours, rows.stop):
        row, s = K[i], real(0)
        for j in range(v.size):
            s += row[j] * v[j]
        u_i = _scale_row(s, a, u, r, i)
        for j in range(v.size):
            column[j] += u_i * row[j]


@jit
def _sweep_columns(b, v, work, c):
    _add_slices(work, c)
    for j in range(v.size):
        if c[j] != 0:
            v[j] = b[j] / c[j]


# Kept entries


@jit
def _count_slice(C, f, g, inv_reg, row_floor, col_floor, row_count, work, part):
    column = work[part]
    column[:] = 0
    for i in _slice(f.size, part, work.shape[0]):
        row_count[i] = count_columns(C[i], f[i], g, inv_reg, row_floor[i], col_floor, column)


@jit
def _fill_row(C, f, g, inv_reg, row_floor, col_floor, indptr, indices, data, i):
    fill_row(C[i], f[i], g, inv_reg, row_floor[i], col_floor, 0, indptr[i], indices, data)
    exponentiate(data[indptr[i] : indptr[i + 1]])


@jit
def _fill_columns_slice(C, f, g, inv_reg, row_floor, col_floor, starts, indices, data, part):
    """Collect the kept entries of a tile of a row, then hand them out to their columns."""
    columns, values = carray(local_memory(indices, TILE), TILE), carray(local_memory(data, TILE), TILE)
    start = starts[part]
    for i in _slice(f.size, part, starts.shape[0]):
        for first in range(0, g.size, TILE):
            last = min(first + TILE, g.size)
            found = fill_row(
                C[i, first:last], f[i], g[first:last], inv_reg, row_floor[i], col_floor[first:last], first, 0,
                columns, values,
            )  # fmt: skip
            exponentiate(values[:found])
            for k in range(found):
                entry = start[columns[k]]
                indices[entry] = i
                data[entry] = values[k]
                start[columns[k]] = entry + 1


# Serial and parallel forms: every slice, or row, has accumulators of its own.


@jit
def _sums_serial(C, f, g, inv_reg, r, work, c):
    for part in range(work.shape[0]):
        _sums_slice(C, f, g, inv_reg, r, work, part)
    _add_slices(work, c)


@jit(parallel=True)
def _sums_parallel(C, f, g, inv_reg, r, work, c):
    for part in numba.prange(work.shape[0]):
        _sums_slice(C, f, g, inv_reg, r, work, part)
    _add_slices(work, c)


@jit
def _plan_serial(C, f, g, inv_reg, P, r, work, c):
    for part in range(work.shape[0]):
        _plan_slice(C, f, g, inv_reg, P, r, work, part)
    _add_slices(work, c)


@jit(parallel=True)
def _plan_parallel(C, f, g, inv_reg, P, r, work, c):
    for part in numba.prange(work.shape[0]):
        _plan_slice(C, f, g, inv_reg, P, r, work, part)
    _add_slices(work, c)


@jit
def _lse_rows_serial(C, g, inv_reg, out):
    for i in range(out.size):
        out[i] = _lse_row(C[i], g, inv_reg)


@jit(parallel=True)
def _lse_rows_parallel(C, g, inv_reg, out):
    for i in numba.prange(out.size):
        out[i] = _lse_row(C[i], g, inv_reg)


@jit
def _lse_cols_serial(C, f, inv_reg, work, out):
    for part in range(work.shape[1]):
        _lse_cols_slice(C, f, inv_reg, work, part)
    _lse_cols_merge(inv_reg, work, out)


@jit(parallel=True)
def _lse_cols_parallel(C, f, inv_reg, work, out):
    for part in numba.prange(work.shape[1]):
        _lse_cols_slice(C, f, inv_reg, work, part)
    _lse_cols_merge(inv_reg, work, out)


@jit
def _sweep_serial(K, a, b, u, v, r, work, c):
    for part in range(work.shape[0]):
        _sweep_slice(K, a, u, v, r, work, part)
    _sweep_columns(b, v, work, c)


@jit(parallel=True)
def _sweep_parallel(K, a, b, u, v, r, work, c):
    for part in numba.prange(work.shape[0]):
        _sweep_slice(K, a, u, v, r, work, part)
    _sweep_columns(b, v, work, c)


@jit
def _count_serial(C, f, g, inv_reg, row_floor, col_floor, row_count, work):
    for part in range(work.shape[0]):
        _count_slice(C, f, g, inv_reg, row_floor, col_floor, row_count, work, part)


@jit(parallel=True)
def _count_parallel(C, f, g, inv_reg, row_floor, col_floor, row_count, work):
    for part in numba.prange(work.shape[0]):
        _count_slice(C, f, g, inv_reg, row_floor, col_floor, row_count, work, part)


@jit
def _fill_serial(C, f, g, inv_reg, row_floor, col_floor, indptr, indices, data):
    for i in range(f.size):
        _fill_row(C, f, g, inv_reg, row_floor, col_floor, indptr, indices, data, i)


@jit(parallel=True)
def _fill_parallel(C, f, g, inv_reg, row_floor, col_floor, indptr, indices, data):
    for i in numba.prange(f.size):
        _fill_row(C, f, g, inv_reg, row_floor, col_floor, indptr, indices, data, i)


@jit
def _fill_columns_serial(C, f, g, inv_reg, row_floor, col_floor, starts, indices, data):
    for part in range(starts.shape[0]):
        _fill_columns_slice(C, f, g, inv_reg, row_floor, col_floor, starts, indices, data, part)


@jit(parallel=True)
def _fill_columns_parallel(C, f, g, inv_reg, row_floor, col_floor, starts, indices, data):
    for part in numba.prange(starts.shape[0]):
        _fill_columns_slice(C, f, g, inv_reg, row_floor, col_floor, starts, indices, data, part)


# `Twins` counts in halves of a nanosecond: entries take about two of them with an exponential, half of one without.


def _heavy(C, *others) -> float:
    return float(2 * C.size)


def _light(C, *others) -> float:
    return float(C.size / 2)


gibbs_sums = Twins(_sums_serial, _sums_parallel, _heavy)
gibbs_plan = Twins(_plan_serial, _plan_parallel, _heavy)
gibbs_lse_rows = Twins(_lse_rows_serial, _lse_rows_parallel, _heavy)
gibbs_lse_cols = Twins(_lse_cols_serial, _lse_cols_parallel, _heavy)
scaling_sweep = Twins(_sweep_serial, _sweep_parallel, _light)
gibbs_count = Twins(_count_serial, _count_parallel, _light)
gibbs_fill = Twins(_fill_serial, _fill_parallel, _heavy)
gibbs_fill_columns = Twins(_fill_columns_serial, _fill_columns_parallel, _heavy)
