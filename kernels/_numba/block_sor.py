"""Successive over-relaxation over blocks of rows, with dense or tridiagonal diagonal blocks.

The sweeps are written once: `solver` holds the inverses of the blocks, (k, m, m), or the factors of tridiagonal ones,
(3, n), and Numba compiles what its number of axes asks for.
"""

import numba
import numpy as np

from numopt.kernels._numba._jit import jit
from numopt.kernels._numba._local import carray, local_memory
from numopt.kernels._numba._sweeps import MOST_SHARES, PARALLEL_MIN_ROWS, SHARE_ROWS, multiply_add, norm2
from numopt.kernels._numba._threads import Twins


@jit
def _gaps(data, indices, indptr, split, start, stop, b, x, delta, forward, gaps, offset):
    """Write b - A x for the rows of a block to `gaps` from `offset` on; return the sum of |r_i|^2 before the sweep.

    The entries of blocks still to come are summed before those of blocks already visited, the nearest last: its x may
    just have been written.
    """
    one = np.uint64(1)
    total = 0.0
    for row in range(start, stop):
        i = np.uint64(row)
        first, own, last = np.uint64(indptr[i]), np.uint64(split[i]), np.uint64(indptr[i + one])
        gap, lag = b[i], x.dtype.type(0)
        p = own if forward else first
        if forward:
            while p < last:
                gap = multiply_add(-data[p], x[np.uint64(indices[p])], gap)
                p += one
            p = first
            while p < own:
                j = np.uint64(indices[p])
                gap = multiply_add(-data[p], x[j], gap)
                lag = multiply_add(data[p], delta[j], lag)
                p += one
        else:
            while p < last and indices[p] < stop:
                gap = multiply_add(-data[p], x[np.uint64(indices[p])], gap)
                p += one
            after = p
            p = last
            while p > after:
                p -= one
                j = np.uint64(indices[p])
                gap = multiply_add(-data[p], x[j], gap)
                lag = multiply_add(data[p], delta[j], lag)
        gaps[np.uint64(row - start + offset)] = gap
        total += norm2(gap + lag)
    return total


@jit
def _multiply(inverses, block, gaps, weight, start, size, x, delta):
    """Relax a block by the product of its inverse and the gaps."""
    k, rows, first = np.uint64(block), np.uint64(size), np.uint64(start)
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    for row in range(rows):
        # Four sums, so that none waits for the other.
        s0 = s1 = s2 = s3 = x.dtype.type(0)
        column = np.uint64(0)
        while column + four <= rows:
            s0 = multiply_add(inverses[k, row, column], gaps[column], s0)
            s1 = multiply_add(inverses[k, row, column + one], gaps[column + one], s1)
            s2 = multiply_add(inverses[k, row, column + two], gaps[column + two], s2)
            s3 = multiply_add(inverses[k, row, column + three], gaps[column + three], s3)
            column += four
        while column < rows:
            s0 = multiply_add(inverses[k, row, column], gaps[column], s0)
            column += one
        change = weight * ((s0 + s1) + (s2 + s3))
        i = first + row
        delta[i] = change
        x[i] += change


@jit
def _substitute(factors, weight, start, stop, x, delta):
    """Relax a line by substitution; delta holds the gaps and becomes the changes."""
    last = x.dtype.type(0)
    for i in range(start, stop):
        last = multiply_add(-factors[0, i], last, delta[i])
        delta[i] = last
    last = x.dtype.type(0)
    for i in range(stop - 1, start - 1, -1):
        pivot = factors[1, i]
        # Only the sum waits for the row below: the products with the pivot do not.
        last = multiply_add(-(pivot * factors[2, i]), last, pivot * delta[i])
        change = weight * last
        delta[i] = change
        x[i] += change


@jit
def _visit(data, indices, indptr, split, blocks, solver, first, stop, b, weight, forward, x, delta):
    """Visit blocks first to stop - 1, in ascending or descending order; return the sum of |r_i|^2 before."""
    # The one array that is made here; a block of any size has room in it.
    gaps = np.empty(solver.shape[1] if solver.ndim == 3 else 0, x.dtype)
    total = 0.0
    for turn in range(stop - first):
        k = first + turn if forward else stop - 1 - turn
        start, end = blocks[k], blocks[k + 1]
        if solver.ndim == 3:
            total += _gaps(data, indices, indptr, split, start, end, b, x, delta, forward, gaps, 0)
            _multiply(solver, k, gaps, weight, start, end - start, x, delta)
        else:
            total += _gaps(data, indices, indptr, split, start, end, b, x, delta, forward, delta, start)
            _substitute(solver, weight, start, end, x, delta)
    return total


@jit
def _share_count(count, rows):
    """Return in how many shares the blocks of a class are dealt: a function of the class alone."""
    return min(MOST_SHARES, count, rows // SHARE_ROWS + 1)


@jit
def _class_serial(
    data, indices, indptr, split, blocks, solver, first, stop, shares, b, weight, forward, x, delta, total
):
    """Visit the blocks of one class and add |r_i|^2 to `total`, share by share."""
    count = stop - first
    for share in range(shares):
        begin, end = first + count * share // shares, first + count * (share + 1) // shares
        total += _visit(data, indices, indptr, split, blocks, solver, begin, end, b, weight, forward, x, delta)
    return total


@jit
def _serial(data, indices, indptr, split, blocks, solver, classes, b, omega, order, x, delta, norms):
    weight = x.dtype.type(omega)
    count = classes.size - 1
    for k in range(norms.size):
        for half in range(2 if order == 0 else 1):
            forward = order > 0 or (order == 0 and half == 0)
            total = 0.0
            if count < 1:
                total = _visit(
                    data, indices, indptr, split, blocks, solver, 0, blocks.size - 1, b, weight, forward, x, delta
                )
            for turn in range(count):
                c = turn if forward else count - 1 - turn
                first, stop = classes[c], classes[c + 1]
                shares = _share_count(stop - first, blocks[stop] - blocks[first])
                total = _class_serial(
                    data, indices, indptr, split, blocks, solver, first, stop, shares, b, weight, forward, x, delta,
                    total,
                )  # fmt: skip
            if half == 0:
                norms[k] = total


@jit(parallel=True)
def _parallel(data, indices, indptr, split, blocks, solver, classes, b, omega, order, x, delta, norms):
    weight = x.dtype.type(omega)
    count = classes.size - 1
    if count < 1:
        _serial(data, indices, indptr, split, blocks, solver, classes, b, omega, order, x, delta, norms)
        return
    sums = carray(local_memory(norms, MOST_SHARES), MOST_SHARES)
    for k in range(norms.size):
        for half in range(2 if order == 0 else 1):
            forward = order > 0 or (order == 0 and half == 0)
            total = 0.0
            for turn in range(count):
                c = turn if forward else count - 1 - turn
                first, stop = classes[c], classes[c + 1]
                size, rows = stop - first, blocks[stop] - blocks[first]
                shares = _share_count(size, rows)
                if rows < PARALLEL_MIN_ROWS:
                    total = _class_serial(
                        data, indices, indptr, split, blocks, solver, first, stop, shares, b, weight, forward, x, delta,
                        total,
                    )  # fmt: skip
                    continue
                for share in numba.prange(shares):
                    begin, end = first + size * share // shares, first + size * (share + 1) // shares
                    sums[share] = _visit(
                        data, indices, indptr, split, blocks, solver, begin, end, b, weight, forward, x, delta
                    )
                for share in range(shares):
                    total += sums[share]
            if half == 0:
                norms[k] = total


def _work(data, blocks, per_row, classes, order, norms) -> float:
    if classes.size < 2 or int(np.diff(blocks[classes]).max()) < PARALLEL_MIN_ROWS:
        return 0.0
    return float((data.size + per_row * int(blocks[-1])) * norms.size * (2 if order == 0 else 1))


@jit
def _block_serial(data, indices, indptr, split, blocks, inverses, classes, b, omega, order, x, delta, norms):
    _serial(data, indices, indptr, split, blocks, inverses, classes, b, omega, order, x, delta, norms)


@jit
def _block_parallel(data, indices, indptr, split, blocks, inverses, classes, b, omega, order, x, delta, norms):
    _parallel(data, indices, indptr, split, blocks, inverses, classes, b, omega, order, x, delta, norms)


def _block_work(data, indices, indptr, split, blocks, inverses, classes, b, omega, order, x, delta, norms) -> float:
    return _work(data, blocks, inverses.shape[1], classes, order, norms)


@jit
def _line_serial(data, indices, indptr, split, blocks, factors, classes, b, omega, order, x, delta, norms):
    _serial(data, indices, indptr, split, blocks, factors, classes, b, omega, order, x, delta, norms)


@jit
def _line_parallel(data, indices, indptr, split, blocks, factors, classes, b, omega, order, x, delta, norms):
    _parallel(data, indices, indptr, split, blocks, factors, classes, b, omega, order, x, delta, norms)


def _line_work(data, indices, indptr, split, blocks, factors, classes, b, omega, order, x, delta, norms) -> float:
    return _work(data, blocks, 3, classes, order, norms)


block_sor_sweeps = Twins(_block_serial, _block_parallel, _block_work)
line_sor_sweeps = Twins(_line_serial, _line_parallel, _line_work)
