"""The plan of entropic transport between two sets of points, whose costs are computed when they are needed.

A block of rows meets Y tile by tile; the coordinates of a tile lie one after the other, so that loops over its points
vectorise. A cost is summed over the coordinates in their order, without fused operations: its bits depend neither on
the tile nor on which of the two sets is X.
"""

import numba
import numpy as np

from numopt.kernels._numba._jit import REASSOCIATE, jit
from numopt.kernels._numba._local import carray, local_memory
from numopt.kernels._numba._math import exp2, log
from numopt.kernels._numba._plan import LOG2E, TILE, count, exponentiate, exponents, fill_row, largest
from numopt.kernels._numba._threads import Twins

ROWS = 64  # in a block: the coordinates of a tile are put in order once for all of them
DIMENSIONS = 16  # most coordinates that a tile keeps in order, and most columns that `point_apply` does
ORDERED = DIMENSIONS * TILE
EUCLIDEAN, CITY_BLOCK = 1, 2  # metrics; anything else is the squared Euclidean one


@jit
def _block_rows(block, n):
    return range(block * ROWS, min((block + 1) * ROWS, n))


@jit
def _order(points, first, last, memory):
    """Write the columns of some rows one after the other, unless there are too many."""
    if points.shape[1] <= DIMENSIONS:
        for k in range(points.shape[1]):
            for j in range(last - first):
                memory[k * TILE + j] = points[first + j, k]


@jit
def _term(x, y, metric):
    difference = x - y
    return abs(difference) if metric == CITY_BLOCK else difference * difference


@jit
def _costs(x, Y, first, memory, metric, out):
    """Write the costs between `x` and the points of a tile."""
    d = x.size
    if d == 1:
        for j in range(out.size):
            out[j] = _term(x[0], memory[j], metric)
    elif d <= DIMENSIONS:
        y0, y1 = memory[:TILE], memory[TILE : 2 * TILE]
        for j in range(out.size):
            out[j] = _term(x[0], y0[j], metric) + _term(x[1], y1[j], metric)
        for k in range(2, d - 1, 2):
            y0, y1 = memory[k * TILE : (k + 1) * TILE], memory[(k + 1) * TILE : (k + 2) * TILE]
            for j in range(out.size):
                out[j] = (out[j] + _term(x[k], y0[j], metric)) + _term(x[k + 1], y1[j], metric)
        if d % 2:
            y0 = memory[(d - 1) * TILE : d * TILE]
            for j in range(out.size):
                out[j] += _term(x[d - 1], y0[j], metric)
    else:
        for j in range(out.size):
            y = Y[first + j]
            total = _term(x[0], y[0], metric)
            for k in range(1, d):
                total += _term(x[k], y[k], metric)
            out[j] = total
    if metric == EUCLIDEAN:
        for j in range(out.size):
            out[j] = np.sqrt(out[j])


@jit
def _row_sums(X, Y, metric, f, g, inv_reg, r, block):
    scale = f.dtype.type(inv_reg * LOG2E)
    memory, tile = carray(local_memory(X, ORDERED), ORDERED), carray(local_memory(X, TILE), TILE)
    rows = _block_rows(block, r.size)
    for i in rows:
        r[i] = 0
    for first in range(0, g.size, TILE):
        last = min(first + TILE, g.size)
        _order(Y, first, last, memory)
        piece = tile[: last - first]
        for i in rows:
            _costs(X[i], Y, first, memory, metric, piece)
            if exponents(piece, f[i], g[first:last], scale, piece):
                r[i] += exponentiate(piece)


@jit
def _lse_rows(X, Y, metric, g, inv_reg, out, block):
    """Keep the largest exponent of each row so far in `out`, and the sum relative to it in `sums`."""
    real = g.dtype.type
    scale, empty = real(inv_reg * LOG2E), real(-np.inf)
    memory, tile = carray(local_memory(X, ORDERED), ORDERED), carray(local_memory(X, TILE), TILE)
    sums, spare = carray(local_memory(X, ROWS), ROWS), carray(local_memory(X, TILE), TILE)
    rows = _block_rows(block, out.size)
    sums[:] = 0
    for i in rows:
        out[i] = empty
    for first in range(0, g.size, TILE):
        last = min(first + TILE, g.size)
        _order(Y, first, last, memory)
        piece = tile[: last - first]
        for i in rows:
            _costs(X[i], Y, first, memory, metric, piece)
            # Not scaled before the maximum is out: far below it nothing may be flushed to one value.
            for j in range(piece.size):
                piece[j] = g[first + j] - piece[j]
            top = largest(piece, spare)
            if top > out[i]:
                sums[i % ROWS] *= exp2((out[i] - top) * scale)
                out[i] = top
            if out[i] > empty:
                for j in range(piece.size):
                    piece[j] = (piece[j] - out[i]) * scale
                sums[i % ROWS] += exponentiate(piece)
    for i in rows:
        if out[i] > empty:
            out[i] = out[i] * real(inv_reg) + log(sums[i % ROWS])


@jit
def _count(X, Y, metric, f, g, inv_reg, row_floor, col_floor, row_count, block):
    memory, tile = carray(local_memory(X, ORDERED), ORDERED), carray(local_memory(X, TILE), TILE)
    rows = _block_rows(block, f.size)
    for i in rows:
        row_count[i] = 0
    for first in range(0, g.size, TILE):
        last = min(first + TILE, g.size)
        _order(Y, first, last, memory)
        piece = tile[: last - first]
        for i in rows:
            _costs(X[i], Y, first, memory, metric, piece)
            row_count[i] += count(piece, f[i], g[first:last], inv_reg, row_floor[i], col_floor[first:last])


@jit
def _fill(X, Y, metric, f, g, inv_reg, row_floor, col_floor, indptr, indices, data, block):
    memory, tile = carray(local_memory(X, ORDERED), ORDERED), carray(local_memory(X, TILE), TILE)
    filled = carray(local_memory(indptr, ROWS), ROWS)
    rows = _block_rows(block, f.size)
    for i in rows:
        filled[i % ROWS] = indptr[i]
    for first in range(0, g.size, TILE):
        last = min(first + TILE, g.size)
        _order(Y, first, last, memory)
        piece = tile[: last - first]
        for i in rows:
            _costs(X[i], Y, first, memory, metric, piece)
            filled[i % ROWS] = fill_row(
                piece, f[i], g[first:last], inv_reg, row_floor[i], col_floor[first:last], first, filled[i % ROWS],
                indices, data,
            )  # fmt: skip
    for i in rows:
        exponentiate(data[indptr[i] : indptr[i + 1]])


@jit(fastmath=REASSOCIATE)
def _dot(x, y):
    total = x.dtype.type(0)
    for j in range(x.size):
        total += x[j] * y[j]
    return total


@jit
def _apply(X, Y, metric, f, g, inv_reg, V, out, block):
    scale = f.dtype.type(inv_reg * LOG2E)
    memory, tile = carray(local_memory(X, ORDERED), ORDERED), carray(local_memory(X, TILE), TILE)
    values = carray(local_memory(X, ORDERED), ORDERED)
    n_columns = V.shape[1]
    rows = _block_rows(block, f.size)
    for i in rows:
        out[i] = 0
    for first in range(0, g.size, TILE):
        last = min(first + TILE, g.size)
        _order(Y, first, last, memory)
        _order(V, first, last, values)
        piece = tile[: last - first]
        for i in rows:
            _costs(X[i], Y, first, memory, metric, piece)
            if not exponents(piece, f[i], g[first:last], scale, piece):
                continue
            exponentiate(piece)
            if n_columns <= DIMENSIONS:
                for k in range(n_columns):
                    out[i, k] += _dot(piece, values[k * TILE : (k + 1) * TILE])
            else:
                for j in range(piece.size):
                    for k in range(n_columns):
                        out[i, k] += piece[j] * V[first + j, k]


@jit
def _value(X, Y, metric, f, g, inv_reg, out, block):
    scale = f.dtype.type(inv_reg * LOG2E)
    memory, tile = carray(local_memory(X, ORDERED), ORDERED), carray(local_memory(X, TILE), TILE)
    costs = carray(local_memory(X, TILE), TILE)
    rows = _block_rows(block, out.size)
    for i in rows:
        out[i] = 0
    for first in range(0, g.size, TILE):
        last = min(first + TILE, g.size)
        _order(Y, first, last, memory)
        piece = tile[: last - first]
        for i in rows:
            _costs(X[i], Y, first, memory, metric, costs[: last - first])
            if exponents(costs[: last - first], f[i], g[first:last], scale, piece):
                exponentiate(piece)
                out[i] += _dot(piece, costs)


# Serial and parallel forms: the blocks know nothing of each other.


@jit
def _row_sums_serial(X, Y, metric, f, g, inv_reg, r):
    for block in range((r.size + ROWS - 1) // ROWS):
        _row_sums(X, Y, metric, f, g, inv_reg, r, block)


@jit(parallel=True)
def _row_sums_parallel(X, Y, metric, f, g, inv_reg, r):
    for block in numba.prange((r.size + ROWS - 1) // ROWS):
        _row_sums(X, Y, metric, f, g, inv_reg, r, block)


@jit
def _lse_rows_serial(X, Y, metric, g, inv_reg, out):
    for block in range((out.size + ROWS - 1) // ROWS):
        _lse_rows(X, Y, metric, g, inv_reg, out, block)


@jit(parallel=True)
def _lse_rows_parallel(X, Y, metric, g, inv_reg, out):
    for block in numba.prange((out.size + ROWS - 1) // ROWS):
        _lse_rows(X, Y, metric, g, inv_reg, out, block)


@jit
def _count_serial(X, Y, metric, f, g, inv_reg, row_floor, col_floor, row_count):
    for block in range((f.size + ROWS - 1) // ROWS):
        _count(X, Y, metric, f, g, inv_reg, row_floor, col_floor, row_count, block)


@jit(parallel=True)
def _count_parallel(X, Y, metric, f, g, inv_reg, row_floor, col_floor, row_count):
    for block in numba.prange((f.size + ROWS - 1) // ROWS):
        _count(X, Y, metric, f, g, inv_reg, row_floor, col_floor, row_count, block)


@jit
def _fill_serial(X, Y, metric, f, g, inv_reg, row_floor, col_floor, indptr, indices, data):
    for block in range((f.size + ROWS - 1) // ROWS):
        _fill(X, Y, metric, f, g, inv_reg, row_floor, col_floor, indptr, indices, data, block)


@jit(parallel=True)
def _fill_parallel(X, Y, metric, f, g, inv_reg, row_floor, col_floor, indptr, indices, data):
    for block in numba.prange((f.size + ROWS - 1) // ROWS):
        _fill(X, Y, metric, f, g, inv_reg, row_floor, col_floor, indptr, indices, data, block)


@jit
def _apply_serial(X, Y, metric, f, g, inv_reg, V, out):
    for block in range((f.size + ROWS - 1) // ROWS):
        _apply(X, Y, metric, f, g, inv_reg, V, out, block)


@jit(parallel=True)
def _apply_parallel(X, Y, metric, f, g, inv_reg, V, out):
    for block in numba.prange((f.size + ROWS - 1) // ROWS):
        _apply(X, Y, metric, f, g, inv_reg, V, out, block)


@jit
def _value_serial(X, Y, metric, f, g, inv_reg, out):
    for block in range((out.size + ROWS - 1) // ROWS):
        _value(X, Y, metric, f, g, inv_reg, out, block)


@jit(parallel=True)
def _value_parallel(X, Y, metric, f, g, inv_reg, out):
    for block in numba.prange((out.size + ROWS - 1) // ROWS):
        _value(X, Y, metric, f, g, inv_reg, out, block)


def _entries(X, Y, *others) -> float:
    return float(3 * X.shape[0] * Y.shape[0])


point_row_sums = Twins(_row_sums_serial, _row_sums_parallel, _entries)
point_lse_rows = Twins(_lse_rows_serial, _lse_rows_parallel, _entries)
point_count = Twins(_count_serial, _count_parallel, _entries)
point_fill = Twins(_fill_serial, _fill_parallel, _entries)
point_apply = Twins(_apply_serial, _apply_parallel, _entries)
point_value = Twins(_value_serial, _value_parallel, _entries)
