"""SOR for many systems of one pattern, eight at a time.

A sweep in the natural order waits for the row before; with eight systems in the lanes of vectors it waits once for
all. Values, right-hand sides and iterates of the eight lie interleaved in scratch. A lane whose system is solved takes
the next one, so that all are busy until the last few; what a system becomes does not depend on its company.
"""

import numba
import numpy as np

from numopt.kernels._numba._jit import jit
from numopt.kernels._numba._lanes import (
    ALIGNMENT,
    LANES,
    add,
    add_norm2,
    load,
    multiply_add,
    multiply_subtract,
    store,
    zeros,
)
from numopt.kernels._numba._local import carray, local_memory
from numopt.kernels._numba._threads import Twins

# Slices of the systems, each with scratch of its own, for any number of threads: the number itself would keep code from
# being cached. The lanes of a slice run empty once, at its end.
MOST_PARTS = 64
PART_SYSTEMS = 64

DIVERGED = 1e10
# What the choice between serial and parallel assumes, unless fewer are asked for.
TYPICAL_SWEEPS = 20


@jit
def _parts(n_systems):
    return max(1, min(MOST_PARTS, n_systems // PART_SYSTEMS))


@jit
def _part_size(n, nnz):
    """Return the numbers of scratch of one slice: values, relaxed inverses, right-hand sides, iterates, changes."""
    return LANES * (nnz + 4 * n)


def sor_batch_work(n_systems: int, n: int, nnz: int) -> int:
    """Return the size of the scratch for the slices and for starting at a multiple of ALIGNMENT bytes."""
    size: int = _parts.py_func(n_systems) * _part_size.py_func(n, nnz) + ALIGNMENT // 4
    return size


@jit
def _sweep(indices, indptr, split, values, relaxed, b, order, x, delta, totals):
    """Sweep over the rows of eight systems and write their sums of |r_i|^2 before."""
    one = np.uint64(1)
    n = indptr.size - 1
    total = zeros(totals)
    for row in range(n):
        # Unsigned: a signed index would be tested for a negative value that counts from the end.
        i = np.uint64(row if order > 0 else n - 1 - row)
        first, diagonal, last = np.uint64(indptr[i]), np.uint64(split[i]), np.uint64(indptr[i + one])
        old = load(x, i)
        step = multiply_subtract(load(values, diagonal), old, load(b, i))
        p, end = (diagonal + one, last) if order > 0 else (first, diagonal)
        while p < end:
            step = multiply_subtract(load(values, p), load(x, np.uint64(indices[p])), step)
            p += one
        # Rows already visited come last, the one just left at the very end: its x is the last to be there.
        lag = zeros(x)
        p, stride = (first, one) if order > 0 else (last - one, np.uint64(0) - one)
        while p != diagonal:
            j = np.uint64(indices[p])
            value = load(values, p)
            step = multiply_subtract(value, load(x, j), step)
            lag = multiply_add(value, load(delta, j), lag)
            p += stride
        total = add_norm2(add(step, lag), total)
        factor = load(relaxed, i)
        store(delta, i, multiply_add(factor, step, zeros(x)))
        store(x, i, multiply_add(factor, step, old))
    store(totals, np.uint64(0), total)


@jit
def _put(vector, lane, out):
    for i in range(vector.size):
        out[LANES * i + lane] = vector[i]


@jit
def _clear(lane, values, relaxed, b, x, delta):
    """Give a lane a system that stays at zero."""
    for array in (values, relaxed, b, x, delta):
        for i in range(array.size // LANES):
            array[LANES * i + lane] = 0


@jit
def _solve(
    data, indices, indptr, split, which, b, omega, order, target, maxiter, x, nit, norms, first, last, scratch
):  # fmt: skip
    """Solve systems first to last - 1."""
    n, one = indptr.size - 1, x.dtype.type(1)
    places = LANES * n
    values, vectors = scratch[: LANES * indices.size], scratch[LANES * indices.size :]
    relaxed, rhs = vectors[:places], vectors[places : 2 * places]
    iterate, delta = vectors[2 * places : 3 * places], vectors[3 * places : 4 * places]
    # Of each lane: its system, -1 for none, the sweeps before this one, the norm that is too large, sums of squares.
    system, sweeps = carray(local_memory(nit, LANES), LANES), carray(local_memory(nit, LANES), LANES)
    limit, totals = carray(local_memory(norms, LANES), LANES), carray(local_memory(norms, LANES), LANES)
    for lane in range(LANES):
        # Scratch that is not a number would stay in a lane that nothing fills.
        _clear(lane, values, relaxed, rhs, iterate, delta)
        system[lane] = -1
    following, active, fill = first, 0, True
    while fill or active > 0:
        if fill:
            for lane in range(LANES):
                if system[lane] >= 0 or following == last:
                    continue
                s = following
                following += 1
                active += 1
                system[lane], sweeps[lane] = s, 0
                row, weight = data[which[s]], x.dtype.type(omega[s])
                _put(row, lane, values)
                _put(b[s], lane, rhs)
                _put(x[s], lane, iterate)
                for i in range(n):
                    relaxed[LANES * i + lane] = weight * (one / row[split[i]])
            fill = False
        _sweep(indices, indptr, split, values, relaxed, rhs, order, iterate, delta, totals)
        for lane in range(LANES):
            s = system[lane]
            if s < 0:
                continue
            norm = np.sqrt(totals[lane])
            if sweeps[lane] == 0:
                limit[lane] = DIVERGED * norm
            # Not >: NaN ends it.
            if norm > target[s] and sweeps[lane] < maxiter and norm <= limit[lane]:
                sweeps[lane] += 1
                continue
            nit[s], norms[s] = sweeps[lane], norm
            for i in range(n):
                x[s, i] = iterate[LANES * i + lane]
            _clear(lane, values, relaxed, rhs, iterate, delta)
            system[lane] = -1
            active -= 1
            fill = following < last


@jit
def _scratch(work, n, nnz, part):
    """Return the scratch of one slice."""
    size = _part_size(n, nnz)
    start = (-work.ctypes.data % ALIGNMENT) // work.itemsize + part * size
    return work[start : start + size]


@jit
def _serial(data, indices, indptr, split, classes, which, b, omega, order, target, maxiter, x, work, nit, norms):
    n_systems, n = x.shape
    scratch = _scratch(work, n, indices.size, 0)
    _solve(
        data, indices, indptr, split, which, b, omega, order, target, maxiter, x, nit, norms, 0, n_systems, scratch
    )  # fmt: skip


@jit(parallel=True)
def _parallel(data, indices, indptr, split, classes, which, b, omega, order, target, maxiter, x, work, nit, norms):
    n_systems, n = x.shape
    parts = _parts(n_systems)
    for part in numba.prange(parts):
        first, last = n_systems * part // parts, n_systems * (part + 1) // parts
        scratch = _scratch(work, n, indices.size, part)
        _solve(
            data, indices, indptr, split, which, b, omega, order, target, maxiter, x, nit, norms, first, last, scratch
        )  # fmt: skip


def _work(data, indices, indptr, split, classes, which, b, omega, order, target, maxiter, x, work, nit, norms) -> float:
    if x.shape[0] < 2 * PART_SYSTEMS:
        return 0.0
    # Twice: residuals, too.
    return float(2 * x.shape[0] * indices.size * min(maxiter + 1, TYPICAL_SWEEPS))


sor_batch = Twins(_serial, _parallel, _work)
