"""Coordinate descent on columns or on a Gram matrix, and the sums over columns that it needs.

A coordinate that stays at zero, which in a sparse problem is what nearly all do, costs the dot product of its gradient
and nothing else: no division, no second pass over its column. The sums are functions of a few lines, which the compiler
puts into the loops over the columns; longer ones it calls, at the price of five entries a column (measured).
"""

import numba
import numpy as np

from numopt.kernels._numba._column_gram import by_columns_is_faster, gram_by_columns, gram_by_rows, work_size
from numopt.kernels._numba._jit import CONTRACT, REASSOCIATE, jit
from numopt.kernels._numba._sweeps import place
from numopt.kernels._numba._threads import Twins


@jit(fastmath=REASSOCIATE)
def _dot(data, indices, first, last, v):
    """Return the dot product of entries first to last - 1 of a column with a dense vector."""
    total = v.dtype.type(0)
    for p in range(first, last):
        total += data[p] * v[place(indices[p])]
    return total


@jit(fastmath=REASSOCIATE)
def _squares(data, first, last):
    """Return the sum of squares of entries first to last - 1."""
    total = data.dtype.type(0)
    for p in range(first, last):
        total += data[p] * data[p]
    return total


@jit(fastmath=REASSOCIATE)
def _weighted_squares(data, indices, first, last, weights):
    """Return the weighted sum of squares of entries first to last - 1 of a column."""
    total = data.dtype.type(0)
    for p in range(first, last):
        total += data[p] * data[p] * weights[place(indices[p])]
    return total


@jit
def _dots_serial(data, indices, indptr, v, out):
    for column in range(out.size):
        j = place(column)
        out[j] = _dot(data, indices, place(indptr[j]), place(indptr[j + np.uint64(1)]), v)


@jit(parallel=True)
def _dots_parallel(data, indices, indptr, v, out):
    for column in numba.prange(out.size):
        j = place(column)
        out[j] = _dot(data, indices, place(indptr[j]), place(indptr[j + np.uint64(1)]), v)


@jit
def _squares_serial(data, indices, indptr, weights, out):
    if weights.size > 0:
        for column in range(out.size):
            j = place(column)
            out[j] = _weighted_squares(data, indices, place(indptr[j]), place(indptr[j + np.uint64(1)]), weights)
    else:
        for column in range(out.size):
            j = place(column)
            out[j] = _squares(data, place(indptr[j]), place(indptr[j + np.uint64(1)]))


@jit(parallel=True)
def _squares_parallel(data, indices, indptr, weights, out):
    if weights.size > 0:
        for column in numba.prange(out.size):
            j = place(column)
            out[j] = _weighted_squares(data, indices, place(indptr[j]), place(indptr[j + np.uint64(1)]), weights)
    else:
        for column in numba.prange(out.size):
            j = place(column)
            out[j] = _squares(data, place(indptr[j]), place(indptr[j + np.uint64(1)]))


def _entries(data, indices, indptr, v, out) -> float:
    return float(data.size)


column_dots = Twins(_dots_serial, _dots_parallel, _entries)
column_squares = Twins(_squares_serial, _squares_parallel, _entries)


@jit
def _minimizer(old, gradient, bound, inverse, l1, lower, upper):
    """Return the minimiser along a coordinate at `old`; `bound` is the second derivative, `inverse` its reciprocal.

    The new number is `old` plus a step, so that a gradient at the level of rounding leaves it as it is. A reciprocal is
    ready before the gradient is, where a quotient would wait for it. NaN comes through.
    """
    peak = bound * old - gradient
    new = old - old if abs(peak) <= l1 else old - (gradient + (l1 if peak > 0 else -l1)) * inverse
    new = lower if new < lower else new
    return upper if new > upper else new


@jit
def _stays(old, gradient, l1, lower, upper):
    """Tell whether a coordinate is zero and remains so, whatever its curvature: what there is least to read for."""
    return old == 0 and abs(gradient) <= l1 and lower <= 0 and upper >= 0


@jit
def _larger(violation, worst):
    """Return the larger number, NaN if there is one."""
    return violation if violation > worst or violation != violation else worst


@jit(fastmath=CONTRACT)
def csc_descent(data, indices, indptr, weights, means, sums, curvature, penalty, x, s, offset, violations):
    """Visit the columns in order, once per entry of `violations`."""
    l1, l2, lower, upper = penalty[0], penalty[1], penalty[2], penalty[3]
    centred, weighted, one = means.size > 0, weights.size > 0, x.dtype.type(1)
    shift = offset[0]
    for epoch in range(violations.size):
        worst = 0.0
        last = place(indptr[0])
        for column in range(x.size):
            j = place(column)
            first, last = last, place(indptr[j + np.uint64(1)])
            old, gradient = x[j], _dot(data, indices, first, last, s)
            if centred:
                gradient += x.dtype.type(shift * sums[j])
            if _stays(old, gradient, l1[j], lower[j], upper[j]):
                continue
            bound = curvature[j] + l2[j]
            if bound == 0:
                continue
            new = _minimizer(old, gradient + l2[j] * old, bound, one / bound, l1[j], lower[j], upper[j])
            if new == old:
                continue
            step = new - old
            x[j] = new
            worst = _larger(bound * abs(step), worst)
            if centred:
                shift -= means[j] * step
            if weighted:
                for p in range(first, last):
                    i = place(indices[p])
                    s[i] += weights[i] * (data[p] * step)
            else:
                for p in range(first, last):
                    s[place(indices[p])] += data[p] * step
        violations[epoch] = worst
    offset[0] = shift


@jit(fastmath=REASSOCIATE)
def _dense_dot(row, v):
    total = v.dtype.type(0)
    for i in range(v.size):
        total += row[i] * v[i]
    return total


@jit(fastmath=CONTRACT)
def _add_row(row, step, out):
    for i in range(out.size):
        out[i] += row[i] * step


@jit(fastmath=CONTRACT)
def _add_weighted_row(row, weights, step, out):
    for i in range(out.size):
        out[i] += weights[i] * (row[i] * step)


@jit(fastmath=CONTRACT)
def dense_descent(rows, weights, means, sums, curvature, penalty, x, s, offset, violations):
    """Visit the rows, which are the columns of the matrix, in order, once per entry of `violations`."""
    l1, l2, lower, upper = penalty[0], penalty[1], penalty[2], penalty[3]
    centred, weighted, one = means.size > 0, weights.size > 0, x.dtype.type(1)
    shift = offset[0]
    for epoch in range(violations.size):
        worst = 0.0
        for column in range(x.size):
            j = place(column)
            old, gradient = x[j], _dense_dot(rows[j], s)
            if centred:
                gradient += x.dtype.type(shift * sums[j])
            if _stays(old, gradient, l1[j], lower[j], upper[j]):
                continue
            bound = curvature[j] + l2[j]
            if bound == 0:
                continue
            new = _minimizer(old, gradient + l2[j] * old, bound, one / bound, l1[j], lower[j], upper[j])
            if new == old:
                continue
            step = new - old
            x[j] = new
            worst = _larger(bound * abs(step), worst)
            if centred:
                shift -= means[j] * step
            if weighted:
                _add_weighted_row(rows[j], weights, step, s)
            else:
                _add_row(rows[j], step, s)
        violations[epoch] = worst
    offset[0] = shift


@jit(fastmath=CONTRACT)
def gram_descent(H, penalty, x, g, violations):
    """Visit the coordinates in order, once per entry of `violations` or until nothing moves."""
    l1, l2, lower, upper, one = penalty[0], penalty[1], penalty[2], penalty[3], x.dtype.type(1)
    violations[:] = np.nan
    for epoch in range(violations.size):
        worst = 0.0
        moved = False
        for column in range(x.size):
            j = place(column)
            old, gradient = x[j], g[j]
            if _stays(old, gradient, l1[j], lower[j], upper[j]):
                continue
            bound = H[j, j] + l2[j]
            if bound == 0:
                continue
            new = _minimizer(old, gradient + l2[j] * old, bound, one / bound, l1[j], lower[j], upper[j])
            if new == old:
                continue
            step = new - old
            x[j] = new
            moved = True
            worst = _larger(bound * abs(step), worst)
            row = H[j]
            for i in range(g.size):
                g[i] += row[i] * step
        violations[epoch] = worst
        if not moved:
            break


def gram_descent_epochs(k: int) -> int:
    """Return 10 where an epoch costs no more than the call, else 3: enough to tell coordinates that have settled."""
    return 10 if k <= 512 else 3


def direct_support(k: int) -> int:
    """Return the order up to which a factorisation takes about a millisecond."""
    return 300


def csc_gram_work(n: int, k: int, nnz: int) -> int:
    """Return the size of the scratch of `csc_gram`."""
    return work_size(n, nnz)


@jit
def csc_gram(data, indices, indptr, weights, first, starts, places, work, H):
    """Multiply the new columns by the way that is faster for their number."""
    n, k, nnz = starts.size - 1, H.shape[0], data.size
    if first >= k:
        return
    if by_columns_is_faster(n, nnz, k - first, indptr[k] - indptr[first]):
        gram_by_columns(data, indices, indptr, weights, first, n, work, H)
    else:
        gram_by_rows(data, indices, indptr, weights, first, starts, places, work, H)
