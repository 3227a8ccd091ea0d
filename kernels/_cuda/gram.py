"""Weighted Gram matrix of a CSR matrix: private accumulators of the blocks, then their sum in order."""

import importlib

from numopt._typing import Array
from numopt.kernels._cuda import _build

# A block spends its time waiting for memory, so that several share a multiprocessor.
_BLOCKS_PER_MULTIPROCESSOR = 4
_BLOCK = 256
_WORK_BYTES = 1 << 30


def gram_parts(n_rows: int, n: int, *, multiprocessors: int | None = None) -> int:
    """Return the number of blocks `weighted_gram_csr` runs best with: what fills the device and fits in 1 GiB."""
    if multiprocessors is None:
        attributes = importlib.import_module("cupy").cuda.Device().attributes
        multiprocessors = int(attributes["MultiProcessorCount"])
    fitting = _WORK_BYTES // (8 * n * n) if n else 1
    return max(1, min(_BLOCKS_PER_MULTIPROCESSOR * multiprocessors, fitting, n_rows))


def weighted_gram_csr(
    data: Array,
    indices: Array,
    indptr: Array,
    weights: Array,
    work: Array,
    out: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Compute X' diag(weights) X, each slice of rows in its own accumulator, and add these in order."""
    parts, n = int(work.shape[0]), int(out.shape[0])
    if n == 0:
        return
    args = (data, indices, indptr, weights, work, int(weights.shape[0]), n)
    launch("gram.cu", "gram_accumulate", (data.dtype, indices.dtype), parts, _BLOCK, args)
    launch("gram.cu", "gram_merge", (data.dtype,), -(-n * n // _BLOCK), _BLOCK, (work, out, parts, n))
