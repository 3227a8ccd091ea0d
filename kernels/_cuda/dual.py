"""Sums and maxima over one side of the marginals, and the offsets of kept entries: small kernels, few launches."""

from collections.abc import Sequence
from typing import Any

from numopt._typing import Array
from numopt.kernels._cuda import _build

_BLOCK = 1024

# Up to here one block, and so one launch; beyond, blocks of so many items, and a second launch that merges.
_ONE_BLOCK_ITEMS = 16384
_BLOCK_ITEMS = 4096

# Enough stretches of rows and columns to fill an H100.
_MOST_STRETCHES = 264

# Number of terms, and which are maxima: those of dual.cu.
_SIDE = (5, 0b10100)
_STEP = (3, 0b00001)


def _terms(kernel: str, shape: tuple[int, int], args: Sequence[Any], out: Array, launch: _build.Launch) -> None:
    n, real = int(args[0].shape[0]), args[0].dtype
    grid = 1 if n <= _ONE_BLOCK_ITEMS else -(-n // _BLOCK_ITEMS)
    parts = out if grid == 1 else _build.scratch(out, (grid, shape[0]), out.dtype)
    launch("dual.cu", kernel, (real,), grid, _build.whole_warps(n, _BLOCK), (*args, parts, n))
    if grid > 1:
        launch("dual.cu", "merge_terms", shape, 1, _build.whole_warps(grid, 256), (parts, out, grid))


def side_terms(
    weights: Array, potential: Array, sums: Array, gap: Array, out: Array, *, launch: _build.Launch = _build.launch
) -> None:
    """Compute what the marginals of one side lack, its size, and the dual value's share of the side."""
    _terms("side_terms", _SIDE, (weights, potential, sums, gap), out, launch)


def step_terms(direction: Array, gap: Array, sums: Array, out: Array, *, launch: _build.Launch = _build.launch) -> None:
    """Compute the size of a step of one side's potential, and its slope and diagonal curvature."""
    _terms("step_terms", _STEP, (direction, gap, sums), out, launch)


def kept_offsets(
    row_count: Array, work: Array, indptr: Array, tindptr: Array, *, launch: _build.Launch = _build.launch
) -> None:
    """Turn counts of kept entries into the offsets of CSR and CSC and the starts of each slice."""
    n, (parts, m) = int(row_count.shape[0]), work.shape
    grid = min(_MOST_STRETCHES, -(-max(n, m) // 32))
    totals = _build.scratch(work, (2, grid), work.dtype)
    args: tuple[object, ...] = (row_count, work, tindptr, totals, n, m, parts)
    launch("dual.cu", "kept_totals", (work.dtype,), grid, _BLOCK, args)
    args = (row_count, totals, work, indptr, tindptr, n, m, parts)
    launch("dual.cu", "kept_starts", (work.dtype,), grid, _BLOCK, args)
