"""Conjugate gradients preconditioned by symmetric over-relaxation, in Eisenstat's form.

An iteration is two passes over triangles and one over vectors. The backward pass moves p and solves for t = K^-H p, the
forward pass solves for s = K^-1 (p - (2 / omega - 1) t) and sums p^H (t + s), the last moves x and r and sums r^H r.
Passes over triangles save their rows the wait for the row before as those of `_triangles` do.
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
from numopt.kernels._numba._triangles import solve_lower

_LANES = 8
_MOST_UNCHECKED = 16


@jit
def _real_product(x, y):
    """Return the real part of conj(x) y in double precision."""
    real = np.float64(x.real) * np.float64(y.real)
    return real + np.float64(x.imag) * np.float64(y.imag)


@jit
def _backward(data, indices, indptr, omega, beta, r, p, t, start, stop):
    """Visit rows stop - 1 to start: p = r + beta p, t = K^-H p."""
    one = np.uint64(1)
    weight, factor = t.dtype.type(omega), t.dtype.type(beta)
    left = np.uint64(t.size)
    t_left = t.dtype.type(0)
    first = np.uint64(indptr[stop])
    for row in range(stop - 1, start - 1, -1):
        # Unsigned: a signed index would be tested for a negative value that counts from the end.
        i = np.uint64(row)
        first, last = np.uint64(indptr[i]), first
        rest = multiply_add(factor, p[i], r[i])
        p[i] = rest
        near = t.dtype.type(0)
        if first == last:
            t_left = near
        else:
            q = last - one
            while q > first:
                rest = multiply_add(-data[q], t[np.uint64(indices[q])], rest)
                q -= one
            j = np.uint64(indices[first])
            if j != left:
                t_left = t[j]
            near = -weight * data[first]
        left, t_left = i, multiply_add(near, t_left, weight * rest)
        t[i] = t_left


@jit
def _forward(data, indices, indptr, omega, p, t, s, start, stop):
    """Visit rows start to stop - 1: s = K^-1 (p - (2 / omega - 1) t); return their part of p^H (t + s)."""
    one = np.uint64(1)
    weight, shift = t.dtype.type(omega), t.dtype.type(1 - 2 / omega)
    left = np.uint64(t.size)
    s_left = t.dtype.type(0)
    total = 0.0
    last = np.uint64(indptr[start])
    for row in range(start, stop):
        i = np.uint64(row)
        q, last = last, np.uint64(indptr[i + one])
        rest = multiply_add(shift, t[i], p[i])
        near = t.dtype.type(0)
        if q == last:
            s_left = near
        else:
            nearest = last - one
            while q < nearest:
                rest = multiply_add(-data[q], s[np.uint64(indices[q])], rest)
                q += one
            j = np.uint64(indices[nearest])
            if j != left:
                s_left = s[j]
            near = -weight * data[nearest]
        left, s_left = i, multiply_add(near, s_left, weight * rest)
        s[i] = s_left
        total += _real_product(p[i], t[i] + s_left)
    return total


@jit
def _update(alpha, t, s, x, r, info, start, stop):
    """Move some rows of x and r along t and t + s; return their part of r^H r."""
    # Sums in a fixed order, which vectorise without leave to reorder.
    lanes = carray(local_memory(info, _LANES), _LANES)
    lanes[:] = 0
    step = t.dtype.type(alpha)
    in_lanes = stop - (stop - start) % _LANES
    for first in range(start, in_lanes, _LANES):
        for k in range(_LANES):
            i = np.uint64(first + k)
            x[i] += step * t[i]
            r[i] -= step * (t[i] + s[i])
            lanes[k] += norm2(r[i])
    for row in range(in_lanes, stop):
        x[row] += step * t[row]
        r[row] -= step * (t[row] + s[row])
        lanes[row - in_lanes] += norm2(r[row])
    return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]))


@jit
def _residual(data, indices, indptr, root, omega, r, start, stop):
    """Return the part of some rows of ||diag(root) K r||^2."""
    one = np.uint64(1)
    inverse = r.dtype.type(1 / omega)
    total = 0.0
    last = np.uint64(indptr[start])
    for row in range(start, stop):
        i = np.uint64(row)
        q, last = last, np.uint64(indptr[i + one])
        residual = inverse * r[i]
        while q < last:
            residual = multiply_add(data[q], r[np.uint64(indices[q])], residual)
            q += one
        total += norm2(root[i] * residual)
    return total


@jit
def _share(size, share, shares):
    return size * share // shares, size * (share + 1) // shares


@jit
def _backward_serial(data, indices, indptr, classes, omega, beta, r, p, t):
    # Rows of a class do not meet, so that one after the other is what all at once is.
    _backward(data, indices, indptr, omega, beta, r, p, t, 0, t.size)


@jit
def _class_forward(data, indices, indptr, omega, p, t, s, start, size, total):
    """Visit the rows of one class and add their part of p^H (t + s) to `total`, share by share."""
    shares = share_count(size)
    for share in range(shares):
        first, last = _share(size, share, shares)
        total += _forward(data, indices, indptr, omega, p, t, s, start + first, start + last)
    return total


@jit
def _forward_serial(data, indices, indptr, classes, omega, p, t, s):
    if classes.size < 2:
        return _forward(data, indices, indptr, omega, p, t, s, 0, t.size)
    total = 0.0
    for c in range(classes.size - 1):
        size = classes[c + 1] - classes[c]
        total = _class_forward(data, indices, indptr, omega, p, t, s, classes[c], size, total)
    return total


@jit
def _update_serial(alpha, t, s, x, r, info):
    shares = share_count(t.size)
    total = 0.0
    for share in range(shares):
        first, last = _share(t.size, share, shares)
        total += _update(alpha, t, s, x, r, info, first, last)
    return total


@jit
def _residual_serial(data, indices, indptr, root, omega, r):
    shares = share_count(r.size)
    total = 0.0
    for share in range(shares):
        first, last = _share(r.size, share, shares)
        total += _residual(data, indices, indptr, root, omega, r, first, last)
    return total


@jit(parallel=True)
def _backward_parallel(data, indices, indptr, classes, omega, beta, r, p, t):
    for turn in range(classes.size - 1):
        c = classes.size - 2 - turn
        start, size = classes[c], classes[c + 1] - classes[c]
        if size < PARALLEL_MIN_ROWS:
            _backward(data, indices, indptr, omega, beta, r, p, t, start, start + size)
            continue
        shares = share_count(size)
        for share in numba.prange(shares):
            first, last = _share(size, share, shares)
            _backward(data, indices, indptr, omega, beta, r, p, t, start + first, start + last)


@jit(parallel=True)
def _forward_parallel(data, indices, indptr, classes, omega, p, t, s, info):
    sums = carray(local_memory(info, MOST_SHARES), MOST_SHARES)
    total = 0.0
    for c in range(classes.size - 1):
        start, size = classes[c], classes[c + 1] - classes[c]
        if size < PARALLEL_MIN_ROWS:
            total = _class_forward(data, indices, indptr, omega, p, t, s, start, size, total)
            continue
        shares = share_count(size)
        for share in numba.prange(shares):
            first, last = _share(size, share, shares)
            sums[share] = _forward(data, indices, indptr, omega, p, t, s, start + first, start + last)
        for share in range(shares):
            total += sums[share]
    return total


@jit(parallel=True)
def _update_parallel(alpha, t, s, x, r, info):
    sums = carray(local_memory(info, MOST_SHARES), MOST_SHARES)
    shares = share_count(t.size)
    for share in numba.prange(shares):
        first, last = _share(t.size, share, shares)
        sums[share] = _update(alpha, t, s, x, r, info, first, last)
    total = 0.0
    for share in range(shares):
        total += sums[share]
    return total


@jit(parallel=True)
def _residual_parallel(data, indices, indptr, root, omega, r, info):
    sums = carray(local_memory(info, MOST_SHARES), MOST_SHARES)
    shares = share_count(r.size)
    for share in numba.prange(shares):
        first, last = _share(r.size, share, shares)
        sums[share] = _residual(data, indices, indptr, root, omega, r, first, last)
    total = 0.0
    for share in range(shares):
        total += sums[share]
    return total


# What both forms share besides the passes: the numbers in `info`, which the table explains.


@jit
def _begin(data, indices, indptr, root, omega, target, r, p, info):
    """Turn b - A x into K^-1 (b - A x) at the start of a solve; set the counters of a call."""
    info[4] = info[5] = 0
    if info[0] != 0:
        return
    squares = size = 0.0
    for i in range(r.size):
        squares += norm2(root[i] * r[i])
        p[i] = 0
    solve_lower(data, indices, indptr, omega, r, 0, r.size)
    for i in range(r.size):
        size += norm2(r[i])
    info[0], info[1], info[2] = 1, size, 0
    _note_residual(squares, target, info)


@jit
def _note_residual(squares, target, info):
    """Keep the norm of the residual, and its ratio to that of r."""
    norm = np.sqrt(squares)
    info[3], info[6], info[7] = norm, 0, norm / np.sqrt(info[1]) if info[1] > 0 else 0.0
    if norm <= target:
        info[5] = 1
    elif not np.isfinite(norm):
        info[5] = 3


@jit
def _broken(curvature, info):
    """Tell whether p^H A p ends the solve."""
    if not np.isfinite(curvature):
        info[5] = 3
    elif curvature <= 0:
        info[5] = 2
    return info[5] != 0


@jit
def _due(size, check, target, info):
    """Note an iteration that ended with r^H r = `size`; tell whether the residual is to be computed."""
    info[2] = size / info[1]
    info[1] = size
    info[4] += 1
    info[6] += 1
    if not np.isfinite(size):
        info[5] = 3
        return False
    if check > 0:
        return size == 0 or info[6] >= check
    return size == 0 or info[6] >= _MOST_UNCHECKED or info[7] * np.sqrt(size) <= 2 * target


@jit
def _serial(
    ldata, lindices, lindptr, udata, uindices, uindptr, root, classes, omega, check, target, maxiter,
    x, r, p, work, info,
):  # fmt: skip
    t, s = work[0], work[1]
    _begin(ldata, lindices, lindptr, root, omega, target, r, p, info)
    while info[4] < maxiter and info[5] == 0:
        _backward_serial(udata, uindices, uindptr, classes, omega, info[2], r, p, t)
        curvature = _forward_serial(ldata, lindices, lindptr, classes, omega, p, t, s)
        if _broken(curvature, info):
            break
        size = _update_serial(info[1] / curvature, t, s, x, r, info)
        if _due(size, check, target, info):
            _note_residual(_residual_serial(ldata, lindices, lindptr, root, omega, r), target, info)


@jit
def _parallel(
    ldata, lindices, lindptr, udata, uindices, uindptr, root, classes, omega, check, target, maxiter,
    x, r, p, work, info,
):  # fmt: skip
    t, s = work[0], work[1]
    _begin(ldata, lindices, lindptr, root, omega, target, r, p, info)
    while info[4] < maxiter and info[5] == 0:
        _backward_parallel(udata, uindices, uindptr, classes, omega, info[2], r, p, t)
        curvature = _forward_parallel(ldata, lindices, lindptr, classes, omega, p, t, s, info)
        if _broken(curvature, info):
            break
        size = _update_parallel(info[1] / curvature, t, s, x, r, info)
        if _due(size, check, target, info):
            _note_residual(_residual_parallel(ldata, lindices, lindptr, root, omega, r, info), target, info)


def _work(
    ldata, lindices, lindptr, udata, uindices, uindptr, root, classes, omega, check, target, maxiter,
    x, r, p, work, info,
) -> float:  # fmt: skip
    # Of one iteration: each of its passes is a launch of its own.
    return 0.0 if largest_class(classes) < PARALLEL_MIN_ROWS else float(ldata.size + udata.size)


eisenstat_pcg = Twins(_serial, _parallel, _work)
