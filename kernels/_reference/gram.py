"""Weighted Gram matrix of a CSR matrix."""

import array_api_compat

from numopt._typing import Array
from numopt.kernels._reference._csr import scatter_row


def gram_parts(n_rows: int, n: int) -> int:
    """Return 1: the reference has nothing to gain from several accumulators."""
    return 1


def weighted_gram_csr(data: Array, indices: Array, indptr: Array, weights: Array, work: Array, out: Array) -> None:
    """Compute X' diag(weights) X, each slice of rows in its own accumulator, and add these in order."""
    xp = array_api_compat.array_namespace(data, out)
    n_rows, parts, n = weights.shape[0], work.shape[0], out.shape[0]
    work[...] = xp.zeros_like(work)
    for part in range(parts):
        for i in range(n_rows * part // parts, n_rows * (part + 1) // parts):
            if weights[i] != 0:
                row, _ = scatter_row(data, indices, indptr, i, n)
                work[part, :, :] = work[part, :, :] + weights[i] * (xp.expand_dims(row, axis=1) * row)
    out[...] = xp.sum(work, axis=0, dtype=out.dtype)
