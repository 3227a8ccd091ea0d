"""Symmetric over-relaxation: as sweeps that read each triangle once, and as a preconditioner.

In the natural order each row waits for the one before it; what shortens the wait is as in `_triangles`: the product
with the value of the row just left, which is in a register, is made last and alone.
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
    share_count,
)
from numopt.kernels._numba._threads import Twins
from numopt.kernels._numba._triangles import solve_lower, solve_upper


@jit
def _forward(data, indices, indptr, inverse, b, omega, x, upper, lower, change, start, stop):
    """Visit rows start to stop - 1, `upper` being U x: lower = L x; return the sum of |r_i|^2 before."""
    one = np.uint64(1)
    weight, kept = x.dtype.type(omega), x.dtype.type(1 - omega)
    left = np.uint64(x.size)
    x_left = change_left = x.dtype.type(0)
    total = 0.0
    last = np.uint64(indptr[start])
    for row in range(start, stop):
        # Unsigned: a signed index would be tested for a negative value that counts from the end.
        i = np.uint64(row)
        p, last = last, np.uint64(indptr[i + one])
        far = lag = near = x.dtype.type(0)
        if p == last:
            x_left = change_left = near
        else:
            nearest = last - one
            while p < nearest:
                j = np.uint64(indices[p])
                far = multiply_add(data[p], x[j], far)
                lag = multiply_add(data[p], change[j], lag)
                p += one
            j = np.uint64(indices[nearest])
            if j != left:
                x_left, change_left = x[j], change[j]
            near = data[nearest]
        old, relaxed, rest = x[i], weight * inverse[i], b[i] - upper[i]
        moved = multiply_add(-relaxed * near, x_left, multiply_add(relaxed, rest - far, kept * old))
        lower[i] = multiply_add(near, x_left, far)
        # The rows before have moved: what they were before is what the residual needs.
        gap = (rest - lower[i]) - old / inverse[i]
        total += norm2(gap + multiply_add(near, change_left, lag))
        left, x_left, change_left = i, moved, moved - old
        x[i], change[i] = moved, change_left
    return total


@jit
def _backward(data, indices, indptr, inverse, b, omega, x, upper, lower, start, stop):
    """Visit rows stop - 1 to start, `lower` being L x: upper = U x."""
    one = np.uint64(1)
    weight, kept = x.dtype.type(omega), x.dtype.type(1 - omega)
    left = np.uint64(x.size)
    x_left = x.dtype.type(0)
    first = np.uint64(indptr[stop])
    for row in range(stop - 1, start - 1, -1):
        i = np.uint64(row)
        first, last = np.uint64(indptr[i]), first
        far = near = x.dtype.type(0)
        if first == last:
            x_left = near
        else:
            p = last - one
            while p > first:
                far = multiply_add(data[p], x[np.uint64(indices[p])], far)
                p -= one
            j = np.uint64(indices[first])
            if j != left:
                x_left = x[j]
            near = data[first]
        relaxed, rest = weight * inverse[i], b[i] - lower[i]
        moved = multiply_add(-relaxed * near, x_left, multiply_add(relaxed, rest - far, kept * x[i]))
        upper[i] = multiply_add(near, x_left, far)
        left, x_left = i, moved
        x[i] = moved


@jit
def _class_forward(data, indices, indptr, inverse, b, omega, x, upper, lower, change, start, size, total):
    """Visit the rows of one class and add |r_i|^2 to `total`, share by share."""
    shares = share_count(size)
    for share in range(shares):
        first, last = start + size * share // shares, start + size * (share + 1) // shares
        total += _forward(data, indices, indptr, inverse, b, omega, x, upper, lower, change, first, last)
    return total


@jit
def _sweeps_serial(
    ldata, lindices, lindptr, udata, uindices, uindptr, inverse, classes, b, omega, x, upper, delta, norms
):
    n, count = x.size, classes.size - 1
    lower, change = delta[:n], delta[n:]
    for k in range(norms.size):
        if count < 1:
            norms[k] = _forward(ldata, lindices, lindptr, inverse, b, omega, x, upper, lower, change, 0, n)
        else:
            total = 0.0
            for c in range(count):
                size = classes[c + 1] - classes[c]
                total = _class_forward(
                    ldata, lindices, lindptr, inverse, b, omega, x, upper, lower, change, classes[c], size, total
                )
            norms[k] = total
        _backward(udata, uindices, uindptr, inverse, b, omega, x, upper, lower, 0, n)


@jit(parallel=True)
def _forward_parallel(data, indices, indptr, inverse, classes, b, omega, x, upper, lower, change, norms):
    sums = carray(local_memory(norms, MOST_SHARES), MOST_SHARES)
    total = 0.0
    for c in range(classes.size - 1):
        start, size = classes[c], classes[c + 1] - classes[c]
        if size < PARALLEL_MIN_ROWS:
            total = _class_forward(
                data, indices, indptr, inverse, b, omega, x, upper, lower, change, start, size, total
            )
            continue
        shares = share_count(size)
        for share in numba.prange(shares):
            first, last = start + size * share // shares, start + size * (share + 1) // shares
            sums[share] = _forward(data, indices, indptr, inverse, b, omega, x, upper, lower, change, first, last)
        for share in range(shares):
            total += sums[share]
    return total


@jit(parallel=True)
def _backward_parallel(data, indices, indptr, inverse, classes, b, omega, x, upper, lower):
    for turn in range(classes.size - 1):
        c = classes.size - 2 - turn
        start, size = classes[c], classes[c + 1] - classes[c]
        if size < PARALLEL_MIN_ROWS:
            _backward(data, indices, indptr, inverse, b, omega, x, upper, lower, start, start + size)
            continue
        shares = share_count(size)
        for share in numba.prange(shares):
            first, last = start + size * share // shares, start + size * (share + 1) // shares
            _backward(data, indices, indptr, inverse, b, omega, x, upper, lower, first, last)


@jit
def _sweeps_parallel(
    ldata, lindices, lindptr, udata, uindices, uindptr, inverse, classes, b, omega, x, upper, delta, norms
):
    lower, change = delta[: x.size], delta[x.size :]
    for k in range(norms.size):
        norms[k] = _forward_parallel(
            ldata, lindices, lindptr, inverse, classes, b, omega, x, upper, lower, change, norms
        )
        _backward_parallel(udata, uindices, uindptr, inverse, classes, b, omega, x, upper, lower)


def _half_sweep(
    ldata, lindices, lindptr, udata, uindices, uindptr, inverse, classes, b, omega, x, upper, delta, norms
) -> float:
    if largest_class(classes) < PARALLEL_MIN_ROWS:
        return 0.0
    return float((ldata.size + udata.size + x.size) * norms.size)


@jit
def _scale(scale, factor, x, start, stop):
    for i in range(start, stop):
        x[i] *= scale[i] * factor


@jit
def _solve_serial(ldata, lindices, lindptr, udata, uindices, uindptr, scale, classes, omega, r, z):
    n, one = z.size, scale.dtype.type(1)
    z[:] = r
    _scale(scale, one, z, 0, n)
    solve_lower(ldata, lindices, lindptr, omega, z, 0, n)
    solve_upper(udata, uindices, uindptr, omega, z, 0, n)
    _scale(scale, scale.dtype.type((2 - omega) / omega), z, 0, n)


@jit(parallel=True)
def _solve_parallel(ldata, lindices, lindptr, udata, uindices, uindptr, scale, classes, omega, r, z):
    count, one, factor = classes.size - 1, scale.dtype.type(1), scale.dtype.type((2 - omega) / omega)
    for half in range(2):
        for turn in range(count):
            c = turn if half == 0 else count - 1 - turn
            start, size = classes[c], classes[c + 1] - classes[c]
            shares = share_count(size)
            if size < PARALLEL_MIN_ROWS:
                shares = 1
            for share in numba.prange(shares):
                first, last = start + size * share // shares, start + size * (share + 1) // shares
                if half == 0:
                    z[first:last] = r[first:last]
                    _scale(scale, one, z, first, last)
                    solve_lower(ldata, lindices, lindptr, omega, z, first, last)
                else:
                    solve_upper(udata, uindices, uindptr, omega, z, first, last)
    shares = share_count(z.size)
    for share in numba.prange(shares):
        _scale(scale, factor, z, z.size * share // shares, z.size * (share + 1) // shares)


def _both_triangles(ldata, lindices, lindptr, udata, uindices, uindptr, scale, classes, omega, r, z) -> float:
    return 0.0 if largest_class(classes) < PARALLEL_MIN_ROWS else float(ldata.size + udata.size)


ssor_sweeps = Twins(_sweeps_serial, _sweeps_parallel, _half_sweep)
ssor_solve = Twins(_solve_serial, _solve_parallel, _both_triangles)
