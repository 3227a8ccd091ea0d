"""Two ways to the Gram matrix of sparse columns, of which some are new.

By rows: the matrix is turned into the rows that hold a new column, whose products are added up. By columns: eight new
columns, as dense vectors side by side, are multiplied with each of those before them in one pass over its entries.
A pass costs what three updates of a row cost, but it is paid for columns that have no row in common, too.
"""

import numpy as np

from numopt.kernels._numba._jit import jit
from numopt.kernels._numba._lanes import ALIGNMENT, LANES, add, load, multiply_add, spread, store, zeros
from numopt.kernels._numba._local import carray, local_memory
from numopt.kernels._numba._sweeps import place

# Edge of the square tiles in which a triangle is copied to the other: both tiles stay in the first-level cache.
TILE = 32


def work_size(n: int, nnz: int) -> int:
    """Return the size of the scratch: the values in the order of the rows, or eight columns."""
    return max(nnz, LANES * n + ALIGNMENT // 4 if 2 * n <= nnz else 0)


@jit
def by_columns_is_faster(n, nnz, n_columns, n_entries):
    """Compare the two ways for so many new columns with so many entries, where there is scratch for both.

    Fitted to measurements: turning the matrix into rows costs as much as two passes.
    """
    passes = (n_columns + LANES - 1) // LANES
    return 2 * n <= nnz and passes * n <= 2 * n + 0.6 * n_entries


@jit
def _scatter(data, indices, indptr, weights, column, lane, dense):
    """Write a column, times the weights, into one of the lanes of a dense vector."""
    j, width, weighted = place(column), np.uint64(LANES), weights.size > 0
    for p in range(place(indptr[j]), place(indptr[j + np.uint64(1)])):
        i = place(indices[p])
        dense[i * width + lane] = weights[i] * data[p] if weighted else data[p]


@jit
def _clear(indices, indptr, column, lane, dense):
    """Write zeros where `_scatter` wrote."""
    j, width = place(column), np.uint64(LANES)
    for p in range(place(indptr[j]), place(indptr[j + np.uint64(1)])):
        dense[place(indices[p]) * width + lane] = 0


@jit
def gram_by_columns(data, indices, indptr, weights, first, n, work, H):
    """Write rows and columns `first` and on of H."""
    one, two, k = np.uint64(1), np.uint64(2), H.shape[0]
    start = (-work.ctypes.data % ALIGNMENT) // work.itemsize
    dense = work[start : start + LANES * n]
    dense[:] = 0
    sums = carray(local_memory(work, LANES), LANES)
    for group in range(first, k, LANES):
        count = min(LANES, k - group)
        for lane in range(count):
            _scatter(data, indices, indptr, weights, group + lane, place(lane), dense)
        last = place(indptr[0])
        for column in range(group + count):
            p, last = last, place(indptr[place(column) + one])
            even = odd = zeros(work)
            while p + one < last:
                even = multiply_add(spread(work, data[p]), load(dense, place(indices[p])), even)
                odd = multiply_add(spread(work, data[p + one]), load(dense, place(indices[p + one])), odd)
                p += two
            if p < last:
                even = multiply_add(spread(work, data[p]), load(dense, place(indices[p])), even)
            store(sums, np.uint64(0), add(even, odd))
            for lane in range(max(0, column - group), count):
                H[column, group + lane] = H[group + lane, column] = sums[lane]
        if group + LANES < k:
            for lane in range(count):
                _clear(indices, indptr, group + lane, place(lane), dense)


@jit
def _gather_rows(data, indices, indptr, first, starts, places, values):
    """Write the rows that hold a column from `first` on, each in the order of its columns; return the last of them.

    starts[i + 1] becomes the end of row i. The entries of all other rows go to the place after the last end, one over
    the other, and that is what their starts[i + 1] is: a branch would be guessed wrong as often as not.
    """
    one = np.uint64(1)
    new, end = place(indptr[first]), place(indptr[indptr.size - 1])
    starts[:] = 0
    for p in range(new, end):
        starts[place(indices[p]) + one] += 1
    for p in range(new):
        i = place(indices[p]) + one
        starts[i] += starts[i] > 0
    total, last_row = 0, -1
    for row in range(1, starts.size):
        count = starts[row]
        starts[row] = total if count > 0 else -1
        total += count
        last_row = row - 1 if count > 0 else last_row
    for row in range(1, starts.size):
        starts[row] = total if starts[row] < 0 else starts[row]
    for column in range(indptr.size - 1):
        j = place(column)
        for p in range(place(indptr[j]), place(indptr[j + one])):
            i = place(indices[p]) + one
            q = starts[i]
            places[place(q)] = column
            values[place(q)] = data[p]
            starts[i] = q + (q < total)
    return last_row


@jit
def _add_row_products(places, values, begin, new, end, weight, flat, k):
    """Add weight * x x' for entries begin to end - 1 of a row: for those from `new` on, the products with all before.

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
def _mirror(first, H):
    """Copy rows `first` and on of the lower triangle to the upper one."""
    k = H.shape[0]
    for top in range(first, k, TILE):
        for left in range(0, min(top + TILE, k), TILE):
            for column in range(left, min(left + TILE, k)):
                i = place(column)
                for row in range(max(top, column + 1), min(top + TILE, k)):
                    H[i, place(row)] = H[place(row), i]


@jit
def gram_by_rows(data, indices, indptr, weights, first, starts, places, work, H):
    """Write rows and columns `first` and on of H."""
    k, one, unit = H.shape[0], np.uint64(1), H.dtype.type(1)
    last_row = _gather_rows(data, indices, indptr, first, starts, places, work)
    for j in range(first, k):
        H[j, : j + 1] = 0
    flat, width, lowest, weighted = H.reshape(H.size), np.uint64(k), place(first), weights.size > 0
    begin, nothing = np.uint64(0), starts[last_row + 1]
    for row in range(last_row + 1):
        if starts[row + 1] == nothing and row < last_row:
            continue
        end = place(starts[row + 1])
        new = end
        while new > begin and place(places[new - one]) >= lowest:
            new -= one
        _add_row_products(places, work, begin, new, end, weights[row] if weighted else unit, flat, width)
        begin = end
    _mirror(first, H)
