"""Weighted Gram matrix X' diag(w) X of a CSR matrix, by rank-one updates row by row.

A row of k entries costs k (k + 1) / 2 multiply-adds at scattered places, which is far below the cost of a dense
product for the data of text and one-hot encodings. Four entries at a time walk along the rest of their row, so that
an index and a value are loaded once for four updates. No fused multiply-adds: their latency is on the path from one
update of a place to the next (30 % slower, measured).
"""

import numba
import numpy as np

from numopt.kernels._numba._jit import jit
from numopt.kernels._numba._threads import Twins

# More memory than this for the accumulators of all threads costs more than the threads gain.
WORK_BYTES = 1 << 28


def gram_parts(n_rows: int, n: int) -> int:
    """Return the number of private accumulators `weighted_gram_csr` runs best with: at most one per thread."""
    fitting = WORK_BYTES // (8 * n * n) if n else 1
    # An accumulator is cleared and added at a cost of 2 n^2; slices of fewer than n rows do not repay that.
    return max(1, min(numba.get_num_threads(), fitting, n_rows // n if n else 1))


@jit
def _row_of_entry(indptr, entry):
    """Return the first row that starts at or after the given entry."""
    low, high = 0, indptr.size - 1
    while low < high:
        middle = (low + high) // 2
        if indptr[middle] < entry:
            low = middle + 1
        else:
            high = middle
    return low


@jit
def _accumulate(data, indices, indptr, weights, part, parts, total):
    """Add up one slice of rows; an entry before another in its row gives the row of the place they meet in.

    Rows with sorted indices therefore touch the upper triangle only; others touch both, and `_merge` adds the two.
    """
    n_entries = indptr[-1]
    n = np.uint64(total.shape[0])
    flat = total.reshape(total.size)
    flat[:] = 0
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    first_row = _row_of_entry(indptr, n_entries * part // parts)
    end_row = _row_of_entry(indptr, n_entries * (part + 1) // parts)
    for i in range(first_row, end_row):
        weight = weights[i]
        if weight == 0:
            continue
        p, last = np.uint64(indptr[i]), np.uint64(indptr[i + 1])
        while p + three < last:
            j0, x0 = np.uint64(indices[p]), data[p]
            j1, x1 = np.uint64(indices[p + one]), data[p + one]
            j2, x2 = np.uint64(indices[p + two]), data[p + two]
            j3, x3 = np.uint64(indices[p + three]), data[p + three]
            row0, row1, row2, row3 = j0 * n, j1 * n, j2 * n, j3 * n
            w0, w1, w2, w3 = weight * x0, weight * x1, weight * x2, weight * x3
            flat[row0 + j0] += w0 * x0
            flat[row0 + j1] += w0 * x1
            flat[row0 + j2] += w0 * x2
            flat[row1 + j1] += w1 * x1
            flat[row1 + j2] += w1 * x2
            flat[row2 + j2] += w2 * x2
            for q in range(p + three, last):
                j, x = np.uint64(indices[q]), data[q]
                flat[row0 + j] += w0 * x
                flat[row1 + j] += w1 * x
                flat[row2 + j] += w2 * x
                flat[row3 + j] += w3 * x
            p += four
        while p < last:
            row0, w0 = np.uint64(indices[p]) * n, weight * data[p]
            for q in range(p, last):
                flat[row0 + np.uint64(indices[q])] += w0 * data[q]
            p += one


@jit
def _merge(work, out):
    """Add the accumulators, in order, and their lower triangles to the upper ones; write both triangles."""
    for i in range(out.shape[0]):
        for j in range(i, out.shape[0]):
            total = work[0, i, j]
            for part in range(1, work.shape[0]):
                total += work[part, i, j]
            if j > i:
                for part in range(work.shape[0]):
                    total += work[part, j, i]
            out[i, j] = total
            out[j, i] = total


@jit
def _serial(data, indices, indptr, weights, work, out):
    parts = work.shape[0]
    for part in range(parts):
        _accumulate(data, indices, indptr, weights, part, parts, work[part])
    _merge(work, out)


@jit(parallel=True)
def _parallel(data, indices, indptr, weights, work, out):
    parts = work.shape[0]
    for part in numba.prange(parts):
        _accumulate(data, indices, indptr, weights, part, parts, work[part])
    # Serial: a few per cent of the work, against a second wait for all threads.
    _merge(work, out)


def _multiply_adds(data, indices, indptr, weights, work, out) -> float:
    # Exact for rows of equal length, and never above the true number.
    return data.size * data.size / max(2 * weights.size, 1) if work.shape[0] > 1 else 0.0


weighted_gram_csr = Twins(_serial, _parallel, _multiply_adds)
