"""Coordinate descent on columns or on a Gram matrix, and the sums over columns that it needs.

A coordinate that stays at zero, which in a sparse problem is what nearly all do, costs the dot product of its gradient
and nothing else: no division, no second pass over its column. The sums are functions of a few lines, which the compiler
puts into the loops over the columns; longer ones it calls, at the price of five entries a column (measured).
"""

import numba
import numpy as np

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
def _column_dot(data, indices, indptr, v, out, column):
    j = place(column)
    out[j] = _dot(data, indices, place(indptr[j]), place(indptr[j + np.uint64(1)]), v)


@jit
def _column_square(data, indices, indptr, weights, out, column):
    j = place(column)
    first, last = place(indptr[j]), place(indptr[j + np.uint64(1)])
    if weights.size == 0:
        out[j] = _squares(data, first, last)
    else:
        out[j] = _weighted_squares(data, indices, first, last, weights)


@jit
def _dots_serial(data, indices, indptr, v, out):
    for j in range(out.size):
        _column_dot(data, indices, indptr, v, out, j)


@jit(parallel=True)
def _dots_parallel(data, indices, indptr, v, out):
    for j in numba.prange(out.size):
        _column_dot(data, indices, indptr, v, out, j)


@jit
def _squares_serial(data, indices, indptr, weights, out):
    for j in range(out.size):
        _column_square(data, indices, indptr, weights, out, j)


@jit(parallel=True)
def _squares_parallel(data, indices, indptr, weights, out):
    for j in numba.prange(out.size):
        _column_square(data, indices, indptr, weights, out, j)


def _entries(data, indices, indptr, v, out) -> float:
    return float(data.size)


column_dots = Twins(_dots_serial, _dots_parallel, _entries)
column_squares = Twins(_squares_serial, _squares_parallel, _entries)


@jit
def _minimizer(old, gradient, bound, l1, lower, upper):
    """Return the minimiser along a coordinate at `old`; `bound` is the second derivative, NaN comes through.

    The new number is `old` plus a step, so that a gradient at the level of rounding leaves it as it is.
    """
    peak = bound * old - gradient
    if abs(peak) <= l1:
        new = old - old
    else:
        new = old - (gradient + (l1 if peak > 0 else -l1)) / bound
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


@jit
def csc_descent(data, indices, indptr, weights, means, sums, curvature, penalty, x, s, offset, violations):
    """Visit the columns in order, once per entry of `violations`."""
    one = np.uint64(1)
    l1, l2, lower, upper = penalty[0], penalty[1], penalty[2], penalty[3]
    centred, weighted = means.size > 0, weights.size > 0
    shift = offset[0]
    for epoch in range(violations.size):
        worst = 0.0
        last = place(indptr[0])
        for column in range(x.size):
            j = place(column)
            first, last = last, place(indptr[j + one])
            old, gradient = x[j], _dot(data, indices, first, last, s)
            if centred:
                gradient += x.dtype.type(shift * sums[j])
            if _stays(old, gradient, l1[j], lower[j], upper[j]):
                continue
            bound = curvature[j] + l2[j]
            if bound == 0:
                continue
            new = _minimizer(old, gradient + l2[j] * old, bound, l1[j], lower[j], upper[j])
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


@jit
def dense_descent(rows, weights, means, sums, curvature, penalty, x, s, offset, violations):
    """Visit the rows, which are the columns of the matrix, in order, once per entry of `violations`."""
    l1, l2, lower, upper = penalty[0], penalty[1], penalty[2], penalty[3]
    centred, weighted = means.size > 0, weights.size > 0
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
            new = _minimizer(old, gradient + l2[j] * old, bound, l1[j], lower[j], upper[j])
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


@jit
def gram_descent(H, penalty, x, g, violations):
    """Visit the coordinates in order, once per entry of `violations` or until nothing moves."""
    l1, l2, lower, upper = penalty[0], penalty[1], penalty[2], penalty[3]
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
            new = _minimizer(old, gradient + l2[j] * old, bound, l1[j], lower[j], upper[j])
            if new == old:
                continue
            step = new - old
            x[j] = new
            moved = True
            worst = _larger(bound * abs(step), worst)
            _add_row(H[j], step, g)
        violations[epoch] = worst
        if not moved:
            break


def csc_gram_work(n: int, k: int, nnz: int) -> int:
    """Return the size of the scratch of `csc_gram`: the values in the order of the rows."""
    return nnz


@jit
def _gather_rows(data, indices, indptr, first, starts, places, values):
    """Write the rows that hold a column from `first` on, each in the order of its columns.

    starts[i + 1] becomes the end of row i, with a minus sign (and 1 more) for the other rows, which take no place.
    """
    one = np.uint64(1)
    new, end = place(indptr[first]), place(indptr[indptr.size - 1])
    starts[:] = 0
    for p in range(new, end):
        starts[place(indices[p]) + one] += 1
    for p in range(new):
        i = place(indices[p]) + one
        # Adding a truth value: a branch would be guessed wrong half of the time.
        starts[i] += starts[i] > 0
    total = 0
    for row in range(1, starts.size):
        count = starts[row]
        starts[row] = total if count > 0 else -1 - total
        total += count
    for column in range(indptr.size - 1):
        j = place(column)
        for p in range(place(indptr[j]), place(indptr[j + one])):
            i = place(indices[p]) + one
            q = starts[i]
            if q >= 0:
                starts[i] = q + 1
                places[place(q)] = column
                values[place(q)] = data[p]


@jit
def _add_row_products(places, values, begin, new, end, weight, flat, k):
    """Add weight * x x' for entries begin to end - 1 of a row, in the columns up to its own of the rows from `new` on.

    Four entries at a time walk along those before them, so that an index and a value are loaded once for four updates.
    """
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    p = new
    while p + three < end:
        j0, j1, j2 = place(places[p]), place(places[p + one]), place(places[p + two])
        row0, row1, row2, row3 = j0 * k, j1 * k, j2 * k, place(places[p + three]) * k
        x0, x1, x2, x3 = values[p], values[p + one], values[p + two], values[p + three]
        w0, w1, w2, w3 = weight * x0, weight * x1, weight * x2, weight * x3
        for q in range(begin, p + one):
            j, x = place(places[q]), values[q]
            flat[row0 + j] += w0 * x
            flat[row1 + j] += w1 * x
            flat[row2 + j] += w2 * x
            flat[row3 + j] += w3 * x
        flat[row1 + j1] += w1 * x1
        flat[row2 + j1] += w2 * x1
        flat[row3 + j1] += w3 * x1
        flat[row2 + j2] += w2 * x2
        flat[row3 + j2] += w3 * x2
        flat[row3 + place(places[p + three])] += w3 * x3
        p += four
    while p < end:
        row, scaled = place(places[p]) * k, weight * values[p]
        for q in range(begin, p + one):
            flat[row + place(places[q])] += scaled * values[q]
        p += one


@jit
def csc_gram(data, indices, indptr, weights, first, starts, places, work, H):
    """Turn the matrix into rows, add up their products in the lower triangle, and write the upper one."""
    k, one = H.shape[0], np.uint64(1)
    if first >= k:
        return
    _gather_rows(data, indices, indptr, first, starts, places, work)
    for j in range(first, k):
        H[j, : j + 1] = 0
    flat, width, lowest = H.reshape(H.size), np.uint64(k), place(first)
    begin, unit = np.uint64(0), H.dtype.type(1)
    for row in range(starts.size - 1):
        if starts[row + 1] < 0:
            continue
        end = place(starts[row + 1])
        new = end
        while new > begin and place(places[new - one]) >= lowest:
            new -= one
        weight = weights[row] if weights.size > 0 else unit
        _add_row_products(places, work, begin, new, end, weight, flat, width)
        begin = end
    for j in range(first, k):
        for i in range(j):
            H[i, j] = H[j, i]
