"""Row-action (Kaczmarz) steps: a dot product and an update over a row that the first brings into the cache."""

import numpy as np

from numopt.kernels._numba._jit import REASSOCIATE, jit


@jit(fastmath=REASSOCIATE)
def row_kaczmarz(A, b, norms2, rows, x):
    """Project `x` onto the hyperplanes of the given rows, one after the other."""
    for k in range(rows.size):
        # Unsigned: a signed index would be tested for a negative value that counts from the end.
        i = np.uint64(rows[k])
        if norms2[i] > 0:
            row = A[i]
            dot = x.dtype.type(0)
            for j in range(x.size):
                dot += row[j] * x[j]
            step = (b[i] - dot) / norms2[i]
            for j in range(x.size):
                x[j] += step * row[j]


@jit(fastmath=REASSOCIATE)
def csr_row_kaczmarz(data, indices, indptr, b, norms2, rows, x):
    """Project `x` onto the hyperplanes of the given rows of a CSR matrix, one after the other."""
    for k in range(rows.size):
        i = np.uint64(rows[k])
        if norms2[i] > 0:
            first = np.uint64(indptr[i])
            last = np.uint64(indptr[i + np.uint64(1)])
            dot = x.dtype.type(0)
            for p in range(first, last):
                dot += data[p] * x[np.uint64(indices[p])]
            step = (b[i] - dot) / norms2[i]
            for p in range(first, last):
                x[np.uint64(indices[p])] += step * data[p]
