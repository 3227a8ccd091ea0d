"""Row-action (Kaczmarz) steps."""

import array_api_compat

from numopt._typing import Array
from numopt.kernels._reference._csr import scatter_row


def row_kaczmarz(A: Array, b: Array, norms2: Array, rows: Array, x: Array) -> None:
    """Project `x` onto the hyperplanes of the given rows, one after the other."""
    for k in range(rows.shape[0]):
        i = int(rows[k])
        if norms2[i] > 0:
            row = A[i, :]
            x[...] = x + (b[i] - row @ x) / norms2[i] * row


def csr_row_kaczmarz(
    data: Array, indices: Array, indptr: Array, b: Array, norms2: Array, rows: Array, x: Array
) -> None:
    """Project `x` onto the hyperplanes of the given rows of a CSR matrix, one after the other."""
    xp = array_api_compat.array_namespace(data, x)
    n = x.shape[0]
    for k in range(rows.shape[0]):
        i = int(rows[k])
        if norms2[i] > 0:
            row, stored = scatter_row(data, indices, indptr, i, n)
            # An entry that is not stored takes no part: a NaN or infinite x there stays where it is.
            dot = row @ xp.where(stored, x, xp.zeros_like(x))
            x[...] = xp.where(stored, x + (b[i] - dot) / norms2[i] * row, x)
