"""Rows of a CSR triple as dense vectors, without the scatter that the array API lacks."""

import array_api_compat

from numopt._typing import Array


def scatter_row(data: Array, indices: Array, indptr: Array, i: int, n: int) -> tuple[Array, Array]:
    """Return row `i` as a dense vector of length `n` and the mask of its stored entries."""
    xp = array_api_compat.array_namespace(data, indices)
    entries = slice(int(indptr[i]), int(indptr[i + 1]))
    columns = xp.arange(n, dtype=indices.dtype, device=array_api_compat.device(data))
    hit = xp.expand_dims(indices[entries], axis=1) == xp.expand_dims(columns, axis=0)
    values = xp.expand_dims(data[entries], axis=1)
    dense = xp.sum(xp.where(hit, values, xp.zeros_like(values)), axis=0, dtype=data.dtype)
    return dense, xp.any(hit, axis=0)
