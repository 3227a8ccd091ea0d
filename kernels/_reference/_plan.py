"""What the kernels of the transport plan share: exponents, slices of rows, the entries kept."""

from collections.abc import Iterator

import array_api_compat

from numopt._typing import Array


def exponents(C: Array, f: Array, g: Array, inv_reg: float) -> Array:
    """Return (f_i + g_j - C_ij) * inv_reg in the dtype of the potentials, rounded in this order."""
    xp = array_api_compat.array_namespace(C, f, g)
    costs = xp.astype(C, f.dtype, copy=False)
    return ((xp.expand_dims(f, axis=1) + xp.expand_dims(g, axis=0)) - costs) * inv_reg


def slices(n: int, parts: int) -> Iterator[slice]:
    """Cut `n` rows into slices."""
    for part in range(parts):
        yield slice(n * part // parts, n * (part + 1) // parts)


def kept(e: Array, row_floor: Array, col_floor: Array) -> Array:
    """Return which entries reach the lower one of the floors of their row and column."""
    return (e >= row_floor[:, None]) | (e >= col_floor[None, :])


def log_sum_exp(e: Array, axis: int) -> Array:
    """Return log sum exp along one axis, the maximum taken out; -inf where there are only -inf."""
    xp = array_api_compat.array_namespace(e)
    largest = xp.max(e, axis=axis)
    shift = xp.where(largest == -xp.inf, xp.zeros_like(largest), largest)
    total = xp.sum(xp.exp(e - xp.expand_dims(shift, axis=axis)), axis=axis, dtype=e.dtype)
    empty = total == 0
    logarithm = xp.log(xp.where(empty, xp.ones_like(total), total))
    return xp.where(empty, largest, shift + logarithm)


def fill_rows(e: Array, keep: Array, indptr: Array, indices: Array, data: Array) -> None:
    """Write the kept entries of exp(e) as CSR."""
    xp = array_api_compat.array_namespace(e)
    for i in range(e.shape[0]):
        (columns,) = xp.nonzero(keep[i, :])
        entries = slice(int(indptr[i]), int(indptr[i + 1]))
        indices[entries] = xp.astype(columns, indices.dtype)
        data[entries] = xp.exp(xp.take(e[i, :], columns))
