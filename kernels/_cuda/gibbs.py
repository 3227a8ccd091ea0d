"""The entropic plan of a dense cost: one read of the cost for its row and column sums, or for its sparse part."""

import math

from numopt._typing import Array
from numopt.kernels._cuda import _build, _merge

# What fills an H100, whose multiprocessors hold 20 warps of gibbs_tiles: one wave. Another device runs the same slices,
# and gets the same bits.
_MULTIPROCESSORS = 132
_WARPS = 20 * _MULTIPROCESSORS

# Columns a lane has and rows a warp reads at once: bytes in flight against registers.
_COLUMNS, _ROWS = 4, 4
_LSE_COLUMNS, _LSE_ROWS = 4, 4
_FILL_COLUMNS, _FILL_ROWS = 4, 2
_FILL_DEPTH = 8
_BLOCK = 128

# A Sinkhorn sweep keeps this many columns in the registers of a thread, and so much of the next row; beyond, the
# matrix is read twice.
_SWEEP_BLOCK = 512
_SWEEP_COLUMNS_DEPTH = ((2, 2), (4, 4), (8, 4), (12, 12), (16, 14), (20, 20), (24, 16), (32, 10))

_MIN_SLICE_ROWS = 16


def gibbs_parts(n: int, m: int) -> int:
    """Return the number of row slices that fill the device, each of at least 16 rows if there are as many."""
    tiles = -(-m // (32 * _COLUMNS))
    return max(1, min(max(2 * _MULTIPROCESSORS, _WARPS // tiles), n // _MIN_SLICE_ROWS))


def _slices(parts: int, m: int) -> int:
    """Return how many slices are worth their partial sums where the caller does not see them."""
    return max(1, min(parts, _WARPS // -(-m // (32 * _COLUMNS))))


def _grid(units: int, block: int = _BLOCK) -> int:
    return -(-units // (block // 32))


def _tiles(
    C: Array,
    f: Array,
    g: Array,
    inv_reg: float,
    P: Array | None,
    r: Array,
    work: Array,
    c: Array,
    launch: _build.Launch,
) -> None:
    n, m = C.shape
    tiles, slices = -(-m // (32 * _COLUMNS)), _slices(work.shape[0], m)
    row_parts = _build.scratch(r, (tiles, n), r.dtype)
    width = _build.vector_width(C) if P is None else _build.vector_width(C, P)
    template = (C.dtype, f.dtype, width, _COLUMNS, _ROWS, P is not None)
    args = (C, f, g, inv_reg * math.log2(math.e), r if P is None else P, row_parts, work, n, m, slices)
    launch("gibbs.cu", "gibbs_tiles", template, _grid(tiles * slices), _BLOCK, args)
    _merge.sums([(row_parts, r, tiles), (work, c, slices)], launch)


def gibbs_sums(
    C: Array,
    f: Array,
    g: Array,
    inv_reg: float,
    r: Array,
    work: Array,
    c: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Compute the row and column sums of the plan in one read of the cost."""
    _tiles(C, f, g, inv_reg, None, r, work, c, launch)


def gibbs_plan(
    C: Array,
    f: Array,
    g: Array,
    inv_reg: float,
    P: Array,
    r: Array,
    work: Array,
    c: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Compute the plan and its row and column sums."""
    _tiles(C, f, g, inv_reg, P, r, work, c, launch)


def gibbs_lse_rows(C: Array, g: Array, inv_reg: float, out: Array, *, launch: _build.Launch = _build.launch) -> None:
    """Compute the logarithms of the row sums of exp((g - C) / reg)."""
    n, m = C.shape
    template = (C.dtype, g.dtype, _build.vector_width(C), _LSE_COLUMNS, _LSE_ROWS)
    args = (C, g, inv_reg * math.log2(math.e), out, n, m)
    launch("gibbs.cu", "gibbs_lse_rows", template, -(-n // _LSE_ROWS), _BLOCK, args)


def gibbs_lse_cols(
    C: Array, f: Array, inv_reg: float, work: Array, out: Array, *, launch: _build.Launch = _build.launch
) -> None:
    """Compute the logarithms of the column sums of exp((f - C) / reg)."""
    n, m = C.shape
    tiles, slices = -(-m // (32 * _LSE_COLUMNS)), _slices(work.shape[1], m)
    template = (C.dtype, f.dtype, _build.vector_width(C), _LSE_COLUMNS, _LSE_ROWS)
    args = (C, f, inv_reg * math.log2(math.e), work, n, m, slices)
    launch("gibbs.cu", "gibbs_lse_columns", template, _grid(tiles * slices), _BLOCK, args)
    _merge.log_sums(work, out, slices, launch)


def scaling_sweep(
    K: Array,
    a: Array,
    b: Array,
    u: Array,
    v: Array,
    r: Array,
    work: Array,
    c: Array,
    *,
    launch: _build.Launch = _build.launch,
    block: int = _SWEEP_BLOCK,
) -> None:
    """Run one Sinkhorn sweep on a stored kernel, in one read of it unless its rows are too long for `block` threads."""
    n, m = K.shape
    parts = work.shape[0]
    fitting = [pair for pair in _SWEEP_COLUMNS_DEPTH if m <= block * pair[0]]
    if fitting:
        template = (K.dtype, *fitting[0], block)
        launch("scaling.cu", "scaling_sweep", template, parts, block, (K, a, v, u, r, work, n, m))
    else:
        launch("scaling.cu", "scaling_rows", (K.dtype,), n, 256, (K, a, v, u, r, n, m))
        launch("scaling.cu", "scaling_columns", (K.dtype,), -(-m // 256) * parts, 256, (K, u, work, n, m, parts))
    launch("scaling.cu", "scaling_merge", (K.dtype,), -(-m // 32), 256, (work, b, v, c, parts, m))


def gibbs_count(
    C: Array,
    f: Array,
    g: Array,
    inv_reg: float,
    row_floor: Array,
    col_floor: Array,
    row_count: Array,
    work: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Count the entries that the floors keep, of each row and of each column in each slice."""
    n, m = C.shape
    tiles, parts = -(-m // (32 * _COLUMNS)), work.shape[0]
    row_parts = _build.scratch(C, (tiles, n), "int32")
    template = (C.dtype, f.dtype, _build.vector_width(C), _COLUMNS, _ROWS)
    args = (C, f, g, inv_reg, row_floor, col_floor, row_parts, work, n, m, parts)
    launch("gibbs.cu", "gibbs_count", template, _grid(tiles * parts), _BLOCK, args)
    _merge.sums([(row_parts, row_count, tiles)], launch)


def gibbs_fill(
    C: Array,
    f: Array,
    g: Array,
    inv_reg: float,
    row_floor: Array,
    col_floor: Array,
    indptr: Array,
    indices: Array,
    data: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Write the kept entries of the plan as CSR."""
    n, m = C.shape
    template = (C.dtype, f.dtype, _FILL_COLUMNS, _FILL_ROWS)
    args = (C, f, g, inv_reg, row_floor, col_floor, indptr, indices, data, n, m)
    launch("gibbs.cu", "gibbs_fill", template, _grid(-(-n // _FILL_ROWS)), _BLOCK, args)


def gibbs_fill_columns(
    C: Array,
    f: Array,
    g: Array,
    inv_reg: float,
    row_floor: Array,
    col_floor: Array,
    starts: Array,
    indices: Array,
    data: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Write the kept entries of the plan as CSC."""
    n, m = C.shape
    parts = starts.shape[0]
    args = (C, f, g, inv_reg, row_floor, col_floor, starts, indices, data, n, m, parts)
    template = (C.dtype, f.dtype, _FILL_DEPTH)
    launch("gibbs.cu", "gibbs_fill_columns", template, _grid(-(-m // 32) * parts), _BLOCK, args)
