"""The plan P = exp((f + g - C) / reg) of entropic transport on a dense cost: sums, log-sums, kept entries.

Every kernel reads C once. A slice of rows has column accumulators of its own, which stay in the cache, and the slices
are added in order. P_ij is 2**((f_i + g_j - C_ij) * (inv_reg * log2 e)); what is kept is decided on the exponent.
"""

import numba
import numpy as np

from numopt.kernels._numba._jit import CONTRACT, REASSOCIATE, jit
from numopt.kernels._numba._math import exp2, log
from numopt.kernels._numba._threads import PARALLEL_MIN_WORK, Twins

LOG2E = 1.4426950408889634


def gibbs_parts(n: int, m: int) -> int:
    """Return the number of row slices the kernels run best with: one per thread where several threads pay."""
    return max(1, min(numba.get_num_threads(), n)) if 2 * n * m >= PARALLEL_MIN_WORK else 1


@jit
def _exponent(f, g, cost, inv_reg):
    """Return the exponent in the precision of `f`; no flags, so that it has the same bits in every kernel."""
    return ((f + g) - cost) * inv_reg


@jit
def _first_row(n, part, parts):
    return n * part // parts


@jit
def _add_slices(work, c):
    """Add the accumulators of the slices in order."""
    c[:] = work[0]
    for part in range(1, work.shape[0]):
        for j in range(c.size):
            c[j] += work[part, j]


# Sums


@jit(fastmath=REASSOCIATE)
def _sums_slice(C, f, g, inv_reg, r, work, part):
    real = f.dtype.type
    scale = real(inv_reg * LOG2E)
    column = work[part]
    column[:] = 0
    for i in range(_first_row(f.size, part, work.shape[0]), _first_row(f.size, part + 1, work.shape[0])):
        row, f_i, total = C[i], f[i], real(0)
        for j in range(g.size):
            p = exp2(_exponent(f_i, g[j], real(row[j]), scale))
            total += p
            column[j] += p
        r[i] = total


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


@jit(fastmath=REASSOCIATE)
def _plan_slice(C, f, g, inv_reg, P, r, work, part):
    real = f.dtype.type
    scale = real(inv_reg * LOG2E)
    column = work[part]
    column[:] = 0
    for i in range(_first_row(f.size, part, work.shape[0]), _first_row(f.size, part + 1, work.shape[0])):
        row, out, f_i, total = C[i], P[i], f[i], real(0)
        for j in range(g.size):
            p = exp2(_exponent(f_i, g[j], real(row[j]), scale))
            out[j] = p
            total += p
            column[j] += p
        r[i] = total


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


# Logarithms of sums


@jit(fastmath=REASSOCIATE)
def _lse_row(row, g, inv_reg):
    """Return log sum exp((g - row) * inv_reg)."""
    real = g.dtype.type
    largest = real(-np.inf)
    for j in range(g.size):
        largest = max(largest, g[j] - real(row[j]))
    if largest == real(-np.inf):
        return largest
    scale, total = real(inv_reg * LOG2E), real(0)
    for j in range(g.size):
        total += exp2(((g[j] - real(row[j])) - largest) * scale)
    return largest * real(inv_reg) + log(total)


@jit
def _lse_rows_serial(C, g, inv_reg, out):
    for i in range(out.size):
        out[i] = _lse_row(C[i], g, inv_reg)


@jit(parallel=True)
def _lse_rows_parallel(C, g, inv_reg, out):
    for i in numba.prange(out.size):
        out[i] = _lse_row(C[i], g, inv_reg)


@jit(fastmath=CONTRACT)
def _lse_cols_slice(C, f, inv_reg, work, part):
    """Keep the largest exponent of each column so far, and the sum relative to it."""
    real = f.dtype.type
    scale = real(inv_reg * LOG2E)
    largest, total = work[0, part], work[1, part]
    largest[:] = -np.inf
    total[:] = 0
    for i in range(_first_row(f.size, part, work.shape[1]), _first_row(f.size, part + 1, work.shape[1])):
        row, f_i = C[i], f[i]
        for j in range(largest.size):
            value = f_i - real(row[j])
            before = largest[j]
            after = max(value, before)
            # One of the two differences is 0: a single exponential serves both cases.
            small = exp2((min(value, before) - after) * scale)
            grown = total[j] * small + real(1) if value > before else total[j] + small
            total[j] = grown if after > real(-np.inf) else real(0)
            largest[j] = after


@jit
def _lse_cols_merge(inv_reg, work, out):
    real = out.dtype.type
    scale = real(inv_reg * LOG2E)
    for j in range(out.size):
        largest = work[0, 0, j]
        for part in range(1, work.shape[1]):
            largest = max(largest, work[0, part, j])
        total = real(0)
        if largest > real(-np.inf):
            for part in range(work.shape[1]):
                total += work[1, part, j] * exp2((work[0, part, j] - largest) * scale)
            out[j] = largest * real(inv_reg) + log(total)
        else:
            out[j] = largest


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


# Scalings of a stored kernel


@jit(fastmath=REASSOCIATE)
def _sweep_slice(K, a, u, v, r, work, part):
    real = u.dtype.type
    column = work[part]
    column[:] = 0
    for i in range(_first_row(u.size, part, work.shape[0]), _first_row(u.size, part + 1, work.shape[0])):
        row, total = K[i], real(0)
        for j in range(v.size):
            total += row[j] * v[j]
        r[i] = u[i] * total
        if total != 0:
            u[i] = a[i] / total
        u_i = u[i]
        for j in range(v.size):
            column[j] += u_i * row[j]


@jit
def _sweep_columns(b, v, work, c):
    _add_slices(work, c)
    for j in range(v.size):
        if c[j] != 0:
            v[j] = b[j] / c[j]


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


# Kept entries


@jit
def _count_slice(C, f, g, inv_reg, row_floor, col_floor, row_count, work, part):
    real = f.dtype.type
    scale = real(inv_reg)
    column = work[part]
    column[:] = 0
    for i in range(_first_row(f.size, part, work.shape[0]), _first_row(f.size, part + 1, work.shape[0])):
        row, f_i, floor, total = C[i], f[i], row_floor[i], 0
        for j in range(g.size):
            e = _exponent(f_i, g[j], real(row[j]), scale)
            keep = np.int64(e >= min(floor, col_floor[j]))
            total += keep
            column[j] += keep
        row_count[i] = total


@jit
def _count_serial(C, f, g, inv_reg, row_floor, col_floor, row_count, work):
    for part in range(work.shape[0]):
        _count_slice(C, f, g, inv_reg, row_floor, col_floor, row_count, work, part)


@jit(parallel=True)
def _count_parallel(C, f, g, inv_reg, row_floor, col_floor, row_count, work):
    for part in numba.prange(work.shape[0]):
        _count_slice(C, f, g, inv_reg, row_floor, col_floor, row_count, work, part)


@jit
def _fill_row(row, f_i, g, inv_reg, floor, col_floor, entry, indices, data):
    real = g.dtype.type
    scale, scale2 = real(inv_reg), real(inv_reg * LOG2E)
    for j in range(g.size):
        if _exponent(f_i, g[j], real(row[j]), scale) >= min(floor, col_floor[j]):
            indices[entry] = j
            data[entry] = exp2(_exponent(f_i, g[j], real(row[j]), scale2))
            entry += 1


@jit
def _fill_serial(C, f, g, inv_reg, row_floor, col_floor, indptr, indices, data):
    for i in range(f.size):
        _fill_row(C[i], f[i], g, inv_reg, row_floor[i], col_floor, indptr[i], indices, data)


@jit(parallel=True)
def _fill_parallel(C, f, g, inv_reg, row_floor, col_floor, indptr, indices, data):
    for i in numba.prange(f.size):
        _fill_row(C[i], f[i], g, inv_reg, row_floor[i], col_floor, indptr[i], indices, data)


@jit
def _fill_columns_slice(C, f, g, inv_reg, row_floor, col_floor, starts, indices, data, part):
    real = f.dtype.type
    scale, scale2 = real(inv_reg), real(inv_reg * LOG2E)
    start = starts[part]
    for i in range(_first_row(f.size, part, starts.shape[0]), _first_row(f.size, part + 1, starts.shape[0])):
        row, f_i, floor = C[i], f[i], row_floor[i]
        for j in range(g.size):
            if _exponent(f_i, g[j], real(row[j]), scale) >= min(floor, col_floor[j]):
                entry = start[j]
                indices[entry] = i
                data[entry] = exp2(_exponent(f_i, g[j], real(row[j]), scale2))
                start[j] = entry + 1


@jit
def _fill_columns_serial(C, f, g, inv_reg, row_floor, col_floor, starts, indices, data):
    for part in range(starts.shape[0]):
        _fill_columns_slice(C, f, g, inv_reg, row_floor, col_floor, starts, indices, data, part)


@jit(parallel=True)
def _fill_columns_parallel(C, f, g, inv_reg, row_floor, col_floor, starts, indices, data):
    for part in numba.prange(starts.shape[0]):
        _fill_columns_slice(C, f, g, inv_reg, row_floor, col_floor, starts, indices, data, part)


def _entries(matrix, *others) -> float:
    return 2.0 * matrix.size


gibbs_sums = Twins(_sums_serial, _sums_parallel, _entries)
gibbs_plan = Twins(_plan_serial, _plan_parallel, _entries)
gibbs_lse_rows = Twins(_lse_rows_serial, _lse_rows_parallel, _entries)
gibbs_lse_cols = Twins(_lse_cols_serial, _lse_cols_parallel, _entries)
scaling_sweep = Twins(_sweep_serial, _sweep_parallel, _entries)
gibbs_count = Twins(_count_serial, _count_parallel, _entries)
gibbs_fill = Twins(_fill_serial, _fill_parallel, _entries)
gibbs_fill_columns = Twins(_fill_columns_serial, _fill_columns_parallel, _entries)
