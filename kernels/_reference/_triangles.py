"""Rows of strict triangles given as CSR, and the triangular systems of symmetric over-relaxation."""

import array_api_compat

from numopt._typing import Array


def row_product(data: Array, indices: Array, indptr: Array, i: int, x: Array) -> Array:
    """Return the product of row `i` and `x`."""
    xp = array_api_compat.array_namespace(data, x)
    entries = slice(int(indptr[i]), int(indptr[i + 1]))
    return xp.sum(data[entries] * xp.take(x, indices[entries]), dtype=x.dtype)


def product(data: Array, indices: Array, indptr: Array, x: Array) -> Array:
    """Return the product of the triangle and `x`."""
    xp = array_api_compat.array_namespace(data, x)
    out = xp.zeros_like(x)
    for i in range(x.shape[0]):
        out[i] = row_product(data, indices, indptr, i, x)
    return out


def solve(data: Array, indices: Array, indptr: Array, omega: float, x: Array, *, upper: bool) -> None:
    """Solve (I / omega + T) y = x for the triangle T; x becomes y."""
    n = x.shape[0]
    for i in range(n - 1, -1, -1) if upper else range(n):
        x[i] = omega * (x[i] - row_product(data, indices, indptr, i, x))
