"""Successive over-relaxation with the norm of the residual found inside the sweep.

In the natural order each row waits for the one before it. What shortens the wait: the entries of rows still to come are
summed first and those of rows already visited last, the entry of the row just left takes its x from a register instead
of from memory, and the step is one fused operation. Then memory is what takes the time of a large system, hence the
sweeps that follow one another through the cache.
"""

import numba
import numpy as np

from numopt.kernels._numba._jit import jit
from numopt.kernels._numba._local import carray, local_memory
from numopt.kernels._numba._sweeps import (
    MOST_SHARES,
    PARALLEL_MIN_ROWS,
    largest_class,
    multiply_add,
    norm2,
    place,
    share_count,
)
from numopt.kernels._numba._threads import Twins

# Rows that take so much memory are swept several times before the next ones are: the second-level cache of a core and
# its part of the third one. Stretches of rows shorter than MIN_STRETCH cost more to begin than they save.
CACHE_BYTES = 6 << 20
MIN_STRETCH = 512


@jit
def _forward(data, indices, indptr, split, inverse, b, omega, x, delta, start, stop, total):
    """Visit rows start to stop - 1 in order and return `total` plus the sum of |r_i|^2 before."""
    one = np.uint64(1)
    weight = x.dtype.type(omega)
    # Row `left` is the one before, with its new x and its change in registers; none at first.
    left = np.uint64(x.size)
    x_left = change = x.dtype.type(0)
    last = place(indptr[start])
    for row in range(start, stop):
        i = place(row)
        first, diagonal, last = last, place(split[i]), place(indptr[i + one])
        old, step, relaxed = x[i], b[i], weight * inverse[i]
        p = diagonal + one
        while p < last:
            step = multiply_add(-data[p], x[place(indices[p])], step)
            p += one
        step = multiply_add(-data[diagonal], old, step)
        lag = x.dtype.type(0)
        if first < diagonal:
            p, nearest = first, diagonal - one
            while p < nearest:
                j = place(indices[p])
                step = multiply_add(-data[p], x[j], step)
                lag = multiply_add(data[p], delta[j], lag)
                p += one
            j = place(indices[nearest])
            if j != left:
                x_left, change = x[j], delta[j]
            step = multiply_add(-data[nearest], x_left, step)
            lag = multiply_add(data[nearest], change, lag)
        total += norm2(step + lag)
        left, change, x_left = i, relaxed * step, multiply_add(relaxed, step, old)
        delta[i], x[i] = change, x_left
    return total


@jit
def _backward(data, indices, indptr, split, inverse, b, omega, x, delta, start, stop, total):
    """Visit rows stop - 1 to start in descending order and return `total` plus the sum of |r_i|^2 before."""
    one = np.uint64(1)
    weight = x.dtype.type(omega)
    left = np.uint64(x.size)
    x_left = change = x.dtype.type(0)
    first = place(indptr[stop])
    for row in range(stop - 1, start - 1, -1):
        i = place(row)
        first, diagonal, last = place(indptr[i]), place(split[i]), first
        old, step, relaxed = x[i], b[i], weight * inverse[i]
        p = first
        while p < diagonal:
            step = multiply_add(-data[p], x[place(indices[p])], step)
            p += one
        step = multiply_add(-data[diagonal], old, step)
        lag = x.dtype.type(0)
        nearest = diagonal + one
        if nearest < last:
            p = last - one
            while p > nearest:
                j = place(indices[p])
                step = multiply_add(-data[p], x[j], step)
                lag = multiply_add(data[p], delta[j], lag)
                p -= one
            j = place(indices[nearest])
            if j != left:
                x_left, change = x[j], delta[j]
            step = multiply_add(-data[nearest], x_left, step)
            lag = multiply_add(data[nearest], change, lag)
        total += norm2(step + lag)
        left, change, x_left = i, relaxed * step, multiply_add(relaxed, step, old)
        delta[i], x[i] = change, x_left
    return total


@jit
def _rows(data, indices, indptr, split, inverse, b, omega, x, delta, forward, start, stop, total):
    """Visit rows start to stop - 1, in order or in descending order, and return `total` plus the sum of |r_i|^2."""
    if forward:
        return _forward(data, indices, indptr, split, inverse, b, omega, x, delta, start, stop, total)
    return _backward(data, indices, indptr, split, inverse, b, omega, x, delta, start, stop, total)


@jit
def _reach(indices, indptr, most):
    """Return the largest |i - j| of an entry, or some number above `most` if that is larger."""
    reach = 0
    for i in range(indptr.size - 1):
        reach = max(reach, i - indices[indptr[i]], indices[indptr[i + 1] - 1] - i)
        if reach > most:
            break
    return reach


@jit
def _natural(data, indices, indptr, split, inverse, b, omega, order, x, delta, norms):
    """Sweep over the rows one after the other.

    Where the bandwidth is small, sweeps follow one another at a distance, so that rows are swept several times while
    they are in the cache: in stretches of rows no shorter than the bandwidth, sweep k + 1 is one stretch behind sweep
    k, and every row finds the numbers that it finds when sweeps go one by one.
    """
    n, sweeps = x.size, norms.size
    stretch, together = max(n, 1), 1
    row_bytes = (data.itemsize + indices.itemsize) * (data.size // max(n, 1)) + 5 * x.itemsize
    cached = CACHE_BYTES // row_bytes
    if order != 0 and sweeps > 1 and n > 2 * cached:
        reach = max(_reach(indices, indptr, cached // 3), MIN_STRETCH)
        if 3 * reach <= cached:
            stretch, together = reach, min(cached // reach - 1, sweeps)
    stretches = -(-n // stretch)
    norms[:] = 0
    for first in range(0, sweeps, together):
        ahead = min(together, sweeps - first)
        for turn in range(stretches + ahead - 1):
            for k in range(max(0, turn - stretches + 1), min(ahead, turn + 1)):
                near, far = stretch * (turn - k), min(stretch * (turn - k + 1), n)
                start, stop = (near, far) if order >= 0 else (n - far, n - near)
                norms[first + k] = _rows(
                    data, indices, indptr, split, inverse, b, omega, x, delta, order >= 0, start, stop, norms[first + k]
                )
        if order == 0:
            _rows(data, indices, indptr, split, inverse, b, omega, x, delta, False, 0, n, 0.0)


@jit
def _share(data, indices, indptr, split, inverse, b, omega, x, delta, forward, start, count, share, shares):
    """Visit one share of the `count` rows from `start` on and return the sum of |r_i|^2."""
    first, last = start + count * share // shares, start + count * (share + 1) // shares
    return _rows(data, indices, indptr, split, inverse, b, omega, x, delta, forward, first, last, 0.0)


@jit
def _class_serial(data, indices, indptr, split, inverse, b, omega, x, delta, forward, start, count, total):
    """Visit the rows of one class and add |r_i|^2 to `total`, share by share."""
    shares = share_count(count)
    for share in range(shares):
        total += _share(data, indices, indptr, split, inverse, b, omega, x, delta, forward, start, count, share, shares)
    return total


@jit
def _serial(data, indices, indptr, split, inverse, classes, b, omega, order, x, delta, norms):
    count = classes.size - 1
    if count < 1:
        _natural(data, indices, indptr, split, inverse, b, omega, order, x, delta, norms)
        return
    for k in range(norms.size):
        for half in range(2 if order == 0 else 1):
            forward = order > 0 or (order == 0 and half == 0)
            total = 0.0
            for turn in range(count):
                c = turn if forward else count - 1 - turn
                start, size = classes[c], classes[c + 1] - classes[c]
                total = _class_serial(
                    data, indices, indptr, split, inverse, b, omega, x, delta, forward, start, size, total
                )
            if half == 0:
                norms[k] = total


@jit(parallel=True)
def _parallel(data, indices, indptr, split, inverse, classes, b, omega, order, x, delta, norms):
    count = classes.size - 1
    if count < 1:
        _natural(data, indices, indptr, split, inverse, b, omega, order, x, delta, norms)
        return
    sums = carray(local_memory(norms, MOST_SHARES), MOST_SHARES)
    for k in range(norms.size):
        for half in range(2 if order == 0 else 1):
            forward = order > 0 or (order == 0 and half == 0)
            total = 0.0
            for turn in range(count):
                c = turn if forward else count - 1 - turn
                start, size = classes[c], classes[c + 1] - classes[c]
                if size < PARALLEL_MIN_ROWS:
                    total = _class_serial(
                        data, indices, indptr, split, inverse, b, omega, x, delta, forward, start, size, total
                    )
                    continue
                shares = share_count(size)
                for share in numba.prange(shares):
                    sums[share] = _share(
                        data, indices, indptr, split, inverse, b, omega, x, delta, forward, start, size, share, shares
                    )
                for share in range(shares):
                    total += sums[share]
            if half == 0:
                norms[k] = total


def _work(data, indices, indptr, split, inverse, classes, b, omega, order, x, delta, norms) -> float:
    if largest_class(classes) < PARALLEL_MIN_ROWS:
        return 0.0
    return float(data.size * norms.size * (2 if order == 0 else 1))


sor_sweeps = Twins(_serial, _parallel, _work)


@jit
def split_values(data, indices, indptr, split, scale, lindptr, uindptr, ldata, udata):
    """Scale a matrix from both sides and write the values of its strict triangles."""
    one = np.uint64(1)
    for row in range(scale.size):
        i = place(row)
        diagonal, last = place(split[i]), place(indptr[i + one])
        q = place(lindptr[i])
        for p in range(place(indptr[i]), diagonal):
            ldata[q] = (scale[i] * scale[place(indices[p])]) * data[p]
            q += one
        q = place(uindptr[i])
        for p in range(diagonal + one, last):
            udata[q] = (scale[i] * scale[place(indices[p])]) * data[p]
            q += one
