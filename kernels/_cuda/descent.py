"""Coordinate descent in one block, which finds the next coordinate that moves among many at once."""

import importlib

from numopt._typing import Array
from numopt.kernels._cuda import _build

_BLOCK = 256
_MAX_BLOCK = 1024
# More blocks wait their turn: enough to fill an H100 several times over.
_MOST_BLOCKS = 4096
# Columns with more entries than this on average have a block each instead of a warp.
_LONG_COLUMN = 2048
_WORK_BYTES = 1 << 30
_GRAM_BLOCKS_PER_MULTIPROCESSOR = 4
_LARGEST_FACTOR = 16384


def _column_sums(
    data: Array, indices: Array, indptr: Array, v: Array, out: Array, squares: int, launch: _build.Launch
) -> None:
    k = int(out.shape[0])
    if k == 0:
        return
    entries = int(data.shape[0]) // k
    lanes = 0
    if entries <= _LONG_COLUMN:
        # As many lanes as a column has entries, so that neighbours read neighbours.
        lanes = min(32, 1 << max(entries - 1, 0).bit_length())
    together = 1 if lanes == 0 else _BLOCK // lanes
    grid = min(_MOST_BLOCKS, -(-k // together))
    args = (data, indices, indptr, v, out, k, int(v.shape[0] > 0), lanes)
    launch("descent.cu", "column_sums", (data.dtype, indices.dtype, squares), grid, _BLOCK, args)


def column_dots(
    data: Array, indices: Array, indptr: Array, v: Array, out: Array, *, launch: _build.Launch = _build.launch
) -> None:
    """Compute A' v."""
    _column_sums(data, indices, indptr, v, out, 0, launch)


def column_squares(
    data: Array, indices: Array, indptr: Array, weights: Array, out: Array, *, launch: _build.Launch = _build.launch
) -> None:
    """Compute the weighted sum of squares of every column."""
    _column_sums(data, indices, indptr, weights, out, 1, launch)


def csc_descent(
    data: Array,
    indices: Array,
    indptr: Array,
    weights: Array,
    means: Array,
    sums: Array,
    curvature: Array,
    penalty: Array,
    x: Array,
    s: Array,
    offset: Array,
    violations: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Visit the columns in order, once per entry of `violations`."""
    k, epochs = int(x.shape[0]), int(violations.shape[0])
    if epochs == 0:
        return
    flags = (int(weights.shape[0] > 0), int(means.shape[0] > 0))
    args = (data, indices, indptr, weights, means, sums, curvature, penalty, x, s, offset, violations)
    # As many threads as a column has entries on average: a longer one takes a few turns.
    block = _build.whole_warps(int(data.shape[0]) // max(k, 1), _MAX_BLOCK)
    launch("descent.cu", "csc_descent", (data.dtype, indices.dtype), 1, block, (*args, k, *flags, epochs))


def dense_descent(
    rows: Array,
    weights: Array,
    means: Array,
    sums: Array,
    curvature: Array,
    penalty: Array,
    x: Array,
    s: Array,
    offset: Array,
    violations: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Visit the rows, which are the columns of the matrix, in order, once per entry of `violations`."""
    (k, n), epochs = (int(size) for size in rows.shape), int(violations.shape[0])
    if epochs == 0:
        return
    flags = (int(weights.shape[0] > 0), int(means.shape[0] > 0))
    args = (rows, weights, means, sums, curvature, penalty, x, s, offset, violations)
    block = _build.whole_warps(n, _MAX_BLOCK)
    launch("descent.cu", "dense_descent", (rows.dtype,), 1, block, (*args, n, k, *flags, epochs))


def gram_descent(
    H: Array, penalty: Array, x: Array, g: Array, violations: Array, *, launch: _build.Launch = _build.launch
) -> None:
    """Visit the coordinates in order, once per entry of `violations` or until nothing moves."""
    k, epochs = int(x.shape[0]), int(violations.shape[0])
    if epochs == 0:
        return
    template = (H.dtype, _build.capacity(k, H.dtype))
    block = _build.whole_warps(k, _MAX_BLOCK)
    launch("descent.cu", "gram_descent", template, 1, block, (H, penalty, x, g, violations, k, epochs))


def gram_descent_epochs(k: int) -> int:
    """Return 1: coordinates that move wait for one another, so that an epoch is dear."""
    return 1


def direct_support(k: int) -> int:
    """Return k up to where a factor no longer fits: a factorisation costs less than an epoch of as many moves."""
    return min(k, _LARGEST_FACTOR)


def csc_gram_work(n: int, k: int, nnz: int, *, multiprocessors: int | None = None) -> int:
    """Return the size of the scratch of `csc_gram`: a dense column for each block."""
    if multiprocessors is None:
        attributes = importlib.import_module("cupy").cuda.Device().attributes
        multiprocessors = int(attributes["MultiProcessorCount"])
    fitting = _WORK_BYTES // (8 * n) if n else 1
    return n * max(1, min(_GRAM_BLOCKS_PER_MULTIPROCESSOR * multiprocessors, fitting, k))


def csc_gram(
    data: Array,
    indices: Array,
    indptr: Array,
    weights: Array,
    first: int,
    starts: Array,
    places: Array,
    work: Array,
    H: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Multiply each new column, as a dense vector, with itself and those before it."""
    n, k = int(starts.shape[0]) - 1, int(H.shape[0])
    if first >= k:
        return
    grid = max(1, min(int(work.shape[0]) // max(n, 1), k - first))
    args = (data, indices, indptr, weights, work, H, first, n, k, int(weights.shape[0] > 0))
    launch("descent.cu", "csc_gram", (data.dtype, indices.dtype), grid, _BLOCK, args)
