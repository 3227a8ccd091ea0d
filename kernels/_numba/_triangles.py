"""Triangular systems of symmetric over-relaxation, (I / omega + T) y = x for strict triangles T given as CSR.

In the natural order each row waits for the one before it. What shortens the wait to one fused operation: the entry of
the row just left is taken last, from a register instead of from memory, and its product with omega is made ahead.
"""

import numpy as np

from numopt.kernels._numba._jit import jit
from numopt.kernels._numba._sweeps import multiply_add


@jit
def solve_lower(data, indices, indptr, omega, x, start, stop):
    """Solve for rows start to stop - 1 of a lower triangle; x becomes y."""
    one = np.uint64(1)
    weight = x.dtype.type(omega)
    left = np.uint64(x.size)
    x_left = x.dtype.type(0)
    last = np.uint64(indptr[start])
    for row in range(start, stop):
        # Unsigned: a signed index would be tested for a negative value that counts from the end.
        i = np.uint64(row)
        p, last = last, np.uint64(indptr[i + one])
        rest, near = x[i], x.dtype.type(0)
        if p == last:
            x_left = near
        else:
            nearest = last - one
            while p < nearest:
                rest = multiply_add(-data[p], x[np.uint64(indices[p])], rest)
                p += one
            j = np.uint64(indices[nearest])
            if j != left:
                x_left = x[j]
            near = -weight * data[nearest]
        left, x_left = i, multiply_add(near, x_left, weight * rest)
        x[i] = x_left


@jit
def solve_upper(data, indices, indptr, omega, x, start, stop):
    """Solve for rows stop - 1 to start of an upper triangle; x becomes y."""
    one = np.uint64(1)
    weight = x.dtype.type(omega)
    left = np.uint64(x.size)
    x_left = x.dtype.type(0)
    first = np.uint64(indptr[stop])
    for row in range(stop - 1, start - 1, -1):
        i = np.uint64(row)
        first, last = np.uint64(indptr[i]), first
        rest, near = x[i], x.dtype.type(0)
        if first == last:
            x_left = near
        else:
            p = last - one
            while p > first:
                rest = multiply_add(-data[p], x[np.uint64(indices[p])], rest)
                p -= one
            j = np.uint64(indices[first])
            if j != left:
                x_left = x[j]
            near = -weight * data[first]
        left, x_left = i, multiply_add(near, x_left, weight * rest)
        x[i] = x_left
