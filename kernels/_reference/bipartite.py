"""The Schur complement diag(r) - P diag(1/c) P' of the Newton system of entropic transport, for a sparse P."""

import array_api_compat

from numopt._typing import Array


def _product(data: Array, indices: Array, indptr: Array, x: Array, out: Array) -> None:
    """Write the product of a CSR matrix and a vector."""
    xp = array_api_compat.array_namespace(data, x)
    for i in range(out.shape[0]):
        entries = slice(int(indptr[i]), int(indptr[i + 1]))
        out[i] = xp.sum(data[entries] * xp.take(x, indices[entries]), dtype=out.dtype)


def schur_product(
    data: Array,
    indices: Array,
    indptr: Array,
    tdata: Array,
    tindices: Array,
    tindptr: Array,
    r: Array,
    c: Array,
    x: Array,
    z: Array,
    y: Array,
) -> None:
    """Compute z = (P' x) / c and y = r * x - P z."""
    xp = array_api_compat.array_namespace(data, x)
    _product(tdata, tindices, tindptr, x, z)
    z[...] = xp.where(c == 0, xp.zeros_like(z), z / xp.where(c == 0, xp.ones_like(c), c))
    _product(data, indices, indptr, z, y)
    y[...] = r * x - y


def schur_pcg(
    data: Array,
    indices: Array,
    indptr: Array,
    tdata: Array,
    tindices: Array,
    tindptr: Array,
    r: Array,
    c: Array,
    rhs: Array,
    diagonal: Array,
    rtol: float,
    maxiter: int,
    x: Array,
    work: Array,
    columns: Array,
    info: Array,
) -> None:
    """Solve S x = rhs by preconditioned conjugate gradients from zero."""
    xp = array_api_compat.array_namespace(data, rhs)
    residual, direction, product = work[0, :], work[1, :], work[2, :]
    x[...] = xp.zeros_like(x)
    residual[...] = rhs
    direction[...] = rhs / diagonal
    rho = float(xp.sum(residual * direction))
    size = float(xp.sum(rhs * rhs)) ** 0.5
    iterations, relative, broken = 0, 1.0 if size > 0 else 0.0, 0.0
    while relative > rtol and iterations < maxiter:
        schur_product(data, indices, indptr, tdata, tindices, tindptr, r, c, direction, columns, product)
        curvature = float(xp.sum(direction * product))
        if not curvature > 0:
            broken = 1.0
            if iterations == 0:
                x[...] = direction
            break
        step = rho / curvature
        x[...] = x + step * direction
        residual[...] = residual - step * product
        iterations += 1
        relative = float(xp.sum(residual * residual)) ** 0.5 / size
        preconditioned = residual / diagonal
        previous, rho = rho, float(xp.sum(residual * preconditioned))
        direction[...] = preconditioned + (rho / previous) * direction
    info[0], info[1], info[2] = float(iterations), relative, broken
