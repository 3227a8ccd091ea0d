"""The Schur complement diag(r) - P diag(1/c) P' of the Newton system of entropic transport, for a sparse P.

P is there by rows and by columns, so that both products gather: every entry of a result is a sum of its own. No
fast-math flags: sums are written out in the order they are taken, so that the serial and the parallel form give the
same bits however the compiler mixes their loops; the loads are what takes the time.
"""

import numba
import numpy as np

from numopt.kernels._numba._jit import jit
from numopt.kernels._numba._local import carray, local_memory
from numopt.kernels._numba._threads import Twins

LANES = 8
SHARES = 64  # of the rows and columns, for any number of threads: the number itself would keep code from being cached


@jit
def _gather(data, indices, indptr, x, rows, out):
    """Write the products of some rows and `x`: four sums a row, since one addition waits for the one before it.

    A call per row would cost as much as ten entries.
    """
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    for i in rows:
        t0 = t1 = t2 = t3 = x.dtype.type(0)
        p, last = np.uint64(indptr[i]), np.uint64(indptr[i + 1])
        # By way of uint32: no sign to extend.
        for _ in range((last - p) // four):
            t0 += data[p] * x[np.uint64(np.uint32(indices[p]))]
            t1 += data[p + one] * x[np.uint64(np.uint32(indices[p + one]))]
            t2 += data[p + two] * x[np.uint64(np.uint32(indices[p + two]))]
            t3 += data[p + three] * x[np.uint64(np.uint32(indices[p + three]))]
            p += four
        while p < last:
            t0 += data[p] * x[np.uint64(np.uint32(indices[p]))]
            p += one
        out[i] = (t0 + t1) + (t2 + t3)


@jit
def _columns(tdata, tindices, tindptr, c, x, columns, z):
    """Write some entries of (P' x) / c."""
    zero = x.dtype.type(0)
    _gather(tdata, tindices, tindptr, x, columns, z)
    for j in columns:
        z[j] = z[j] / c[j] if c[j] != zero else zero


@jit
def _rows(data, indices, indptr, r, x, z, rows, y):
    """Write some entries of r * x - P z."""
    _gather(data, indices, indptr, z, rows, y)
    for i in rows:
        y[i] = r[i] * x[i] - y[i]


@jit
def _product_serial(data, indices, indptr, tdata, tindices, tindptr, r, c, x, z, y):
    _columns(tdata, tindices, tindptr, c, x, range(z.size), z)
    _rows(data, indices, indptr, r, x, z, range(y.size), y)


@jit
def _share(indptr, part):
    """Return the rows of one share, which holds about as many entries as the others."""
    n, entries = indptr.size - 1, indptr[-1]
    first = np.searchsorted(indptr, entries * part // SHARES) if part > 0 else 0
    last = np.searchsorted(indptr, entries * (part + 1) // SHARES) if part + 1 < SHARES else n
    return range(first, last)


@jit(parallel=True)
def _product_parallel(data, indices, indptr, tdata, tindices, tindptr, r, c, x, z, y):
    for part in numba.prange(SHARES):
        _columns(tdata, tindices, tindptr, c, x, _share(tindptr, part), z)
    for part in numba.prange(SHARES):
        _rows(data, indices, indptr, r, x, z, _share(indptr, part), y)


# Conjugate gradients: work holds residual, direction and product, which becomes the preconditioned residual; state
# holds the product of residual and preconditioned residual, and the norm of the right-hand side.


@jit
def _dot(x, y):
    """Return x'y by eight sums in a fixed order, which vectorise without leave to reorder."""
    lanes = carray(local_memory(x, LANES), LANES)
    lanes[:] = 0
    in_lanes = x.size - x.size % LANES
    for first in range(0, in_lanes, LANES):
        for k in range(LANES):
            lanes[k] += x[first + k] * y[first + k]
    for i in range(in_lanes, x.size):
        lanes[i - in_lanes] += x[i] * y[i]
    return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]))


@jit
def _start(rhs, diagonal, x, work, state, info):
    residual, direction = work[0], work[1]
    x[:] = 0
    residual[:] = rhs
    for i in range(x.size):
        direction[i] = rhs[i] / diagonal[i]
    state[0], state[1] = _dot(residual, direction), np.sqrt(np.float64(_dot(rhs, rhs)))
    info[0], info[1], info[2] = 0, 1 if state[1] > 0 else 0, 0


@jit
def _step(diagonal, x, work, state, info):
    """Move along the direction whose product is there, and turn to the next one."""
    residual, direction, product = work[0], work[1], work[2]
    real = x.dtype.type
    curvature = _dot(direction, product)
    if not curvature > 0:
        if info[0] == 0:
            x[:] = direction
        info[2] = 1
        return
    step = real(state[0] / curvature)
    for i in range(x.size):
        x[i] += step * direction[i]
        residual[i] -= step * product[i]
        product[i] = residual[i] / diagonal[i]
    rho = _dot(residual, product)
    beta = real(rho / state[0])
    for i in range(x.size):
        direction[i] = product[i] + beta * direction[i]
    state[0] = rho
    info[0] += 1
    info[1] = np.sqrt(np.float64(_dot(residual, residual))) / state[1]


@jit
def _goes_on(rtol, maxiter, info):
    return info[1] > rtol and info[0] < maxiter and info[2] == 0


@jit
def _pcg_serial(
    data, indices, indptr, tdata, tindices, tindptr, r, c, rhs, diagonal, rtol, maxiter, x, work, columns, info
):
    state = carray(local_memory(info, 2), 2)
    _start(rhs, diagonal, x, work, state, info)
    while _goes_on(rtol, maxiter, info):
        _product_serial(data, indices, indptr, tdata, tindices, tindptr, r, c, work[1], columns, work[2])
        _step(diagonal, x, work, state, info)


@jit
def _pcg_parallel(
    data, indices, indptr, tdata, tindices, tindptr, r, c, rhs, diagonal, rtol, maxiter, x, work, columns, info
):
    state = carray(local_memory(info, 2), 2)
    _start(rhs, diagonal, x, work, state, info)
    while _goes_on(rtol, maxiter, info):
        _product_parallel(data, indices, indptr, tdata, tindices, tindptr, r, c, work[1], columns, work[2])
        _step(diagonal, x, work, state, info)


def _entries(data, *others) -> float:
    # Of one of the two products: each is a launch of its own.
    return float(data.size)


schur_product = Twins(_product_serial, _product_parallel, _entries)
schur_pcg = Twins(_pcg_serial, _pcg_parallel, _entries)
