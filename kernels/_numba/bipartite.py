"""The Schur complement diag(r) - P diag(1/c) P' of the Newton system of entropic transport, for a sparse P.

P is there by rows and by columns, so that both products gather: every result is one sum, whoever works it out.
"""

import numba
import numpy as np

from numopt.kernels._numba._jit import CONTRACT, REASSOCIATE, jit
from numopt.kernels._numba._threads import Twins


@jit(fastmath=REASSOCIATE)
def _row_dot(data, indices, first, last, x):
    """Return the product of one CSR row with `x`."""
    total = x.dtype.type(0)
    for p in range(np.uint64(first), np.uint64(last)):
        total += data[p] * x[np.uint64(indices[p])]
    return total


@jit(fastmath=CONTRACT)
def _product(data, indices, indptr, tdata, tindices, tindptr, r, c, x, z, y):
    zero = x.dtype.type(0)
    for j in range(z.size):
        total = _row_dot(tdata, tindices, tindptr[j], tindptr[j + 1], x)
        z[j] = total / c[j] if c[j] != zero else zero
    for i in range(y.size):
        y[i] = r[i] * x[i] - _row_dot(data, indices, indptr[i], indptr[i + 1], z)


@jit(parallel=True, fastmath=CONTRACT)
def _product_parallel(data, indices, indptr, tdata, tindices, tindptr, r, c, x, z, y):
    zero = x.dtype.type(0)
    for j in numba.prange(z.size):
        total = _row_dot(tdata, tindices, tindptr[j], tindptr[j + 1], x)
        z[j] = total / c[j] if c[j] != zero else zero
    for i in numba.prange(y.size):
        y[i] = r[i] * x[i] - _row_dot(data, indices, indptr[i], indptr[i + 1], z)


@jit(fastmath=REASSOCIATE)
def _dot(x, y):
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@jit(fastmath=REASSOCIATE)
def _start(rhs, diagonal, x, residual, direction):
    """Set the start x = 0; return r'z and r'r."""
    rho, square = x.dtype.type(0), x.dtype.type(0)
    for i in range(x.size):
        value = rhs[i] / diagonal[i]
        x[i] = 0
        residual[i] = rhs[i]
        direction[i] = value
        rho += rhs[i] * value
        square += rhs[i] * rhs[i]
    return rho, square


@jit(fastmath=REASSOCIATE)
def _advance(step, diagonal, x, residual, direction, product):
    """Move along the direction; return the new r'z and r'r."""
    rho, square = x.dtype.type(0), x.dtype.type(0)
    for i in range(x.size):
        x[i] += step * direction[i]
        value = residual[i] - step * product[i]
        residual[i] = value
        square += value * value
        rho += value * (value / diagonal[i])
    return rho, square


@jit(fastmath=CONTRACT)
def _turn(beta, diagonal, residual, direction):
    for i in range(direction.size):
        direction[i] = residual[i] / diagonal[i] + beta * direction[i]


@jit
def _pcg_serial(
    data, indices, indptr, tdata, tindices, tindptr, r, c, rhs, diagonal, rtol, maxiter, x, work, columns, info
):
    residual, direction, product = work[0], work[1], work[2]
    rho, square = _start(rhs, diagonal, x, residual, direction)
    size = np.sqrt(np.float64(square))
    iterations, relative, broken = 0, 1.0 if size > 0 else 0.0, 0.0
    while relative > rtol and iterations < maxiter:
        _product(data, indices, indptr, tdata, tindices, tindptr, r, c, direction, columns, product)
        curvature = _dot(direction, product)
        if not curvature > 0:
            broken = 1.0
            if iterations == 0:
                x[:] = direction
            break
        previous = rho
        rho, square = _advance(rho / curvature, diagonal, x, residual, direction, product)
        iterations += 1
        relative = np.sqrt(np.float64(square)) / size
        _turn(rho / previous, diagonal, residual, direction)
    info[0], info[1], info[2] = iterations, relative, broken


def _product_work(data, *others) -> float:
    return 2.0 * data.size


schur_product = Twins(_product, _product_parallel, _product_work)
schur_pcg = _pcg_serial
