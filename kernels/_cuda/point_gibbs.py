"""The entropic plan between two sets of points, whose costs are computed when they are needed."""

import math

from numopt._typing import Array
from numopt.kernels._cuda import _build, _merge

_BLOCK = 128

# Blocks of an H100: several per place, since the bounding boxes make their work uneven.
_BLOCKS = 16 * 132

# Up to this dimension a point is kept in registers, and two of them up to the second.
_MOST_DIMENSIONS = 16
_TWO_ROWS_DIMENSIONS = 4

# Columns of V taken at a time.
_APPLY_COLUMNS = (1, 2, 4, 8)


class _Shape:
    """Sizes of a call and how its work is dealt out."""

    def __init__(self, X: Array, Y: Array, metric: int, rows: int | None = None, blocks: int = _BLOCKS) -> None:
        self.n, self.m, self.d = int(X.shape[0]), int(Y.shape[0]), int(X.shape[1])
        self.rows = rows or (2 if self.d <= _TWO_ROWS_DIMENSIONS else 1)
        dimension = self.d if self.d <= _MOST_DIMENSIONS else 0
        self.template = (X.dtype, dimension, metric, self.rows)
        row_blocks = -(-self.n // (_BLOCK * self.rows))
        # A slice of less than four tiles spends its time at their barriers.
        self.slices = max(1, min(-(-blocks // row_blocks), self.m // 512))
        self.grid = row_blocks * self.slices
        self.sizes = (self.n, self.m, self.d, self.slices)


def point_row_sums(
    X: Array,
    Y: Array,
    metric: int,
    f: Array,
    g: Array,
    inv_reg: float,
    r: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Compute the row sums of the plan."""
    _sums(X, Y, metric, f, g, inv_reg, r, False, launch)


def point_value(
    X: Array,
    Y: Array,
    metric: int,
    f: Array,
    g: Array,
    inv_reg: float,
    out: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Compute the cost of each row of the plan."""
    _sums(X, Y, metric, f, g, inv_reg, out, True, launch)


def _sums(
    X: Array, Y: Array, metric: int, f: Array, g: Array, inv_reg: float, out: Array, value: bool, launch: _build.Launch
) -> None:
    shape = _Shape(X, Y, metric)
    parts = _build.scratch(out, (shape.slices, shape.n), out.dtype)
    args = (X, Y, f, g, inv_reg * math.log2(math.e), parts, *shape.sizes)
    launch("point_gibbs.cu", "point_sums", (*shape.template, value), shape.grid, _BLOCK, args)
    _merge.sums([(parts, out, shape.slices)], launch)


def point_lse_rows(
    X: Array, Y: Array, metric: int, g: Array, inv_reg: float, out: Array, *, launch: _build.Launch = _build.launch
) -> None:
    """Compute the logarithms of the row sums of exp((g - C) / reg)."""
    shape = _Shape(X, Y, metric)
    parts = _build.scratch(out, (2, shape.slices, shape.n), out.dtype)
    args = (X, Y, g, inv_reg * math.log2(math.e), parts, *shape.sizes)
    launch("point_gibbs.cu", "point_lse", shape.template, shape.grid, _BLOCK, args)
    _merge.log_sums(parts, out, shape.slices, launch)


def _counts(
    X: Array,
    Y: Array,
    f: Array,
    g: Array,
    inv_reg: float,
    row_floor: Array,
    col_floor: Array,
    shape: _Shape,
    launch: _build.Launch,
) -> Array:
    counts = _build.scratch(X, (shape.slices, shape.n), "int32")
    args = (X, Y, f, g, inv_reg, row_floor, col_floor, counts, *shape.sizes)
    launch("point_gibbs.cu", "point_count", shape.template, shape.grid, _BLOCK, args)
    return counts


def point_count(
    X: Array,
    Y: Array,
    metric: int,
    f: Array,
    g: Array,
    inv_reg: float,
    row_floor: Array,
    col_floor: Array,
    row_count: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Count the entries of each row that the floors keep."""
    shape = _Shape(X, Y, metric)
    counts = _counts(X, Y, f, g, inv_reg, row_floor, col_floor, shape, launch)
    _merge.sums([(counts, row_count, shape.slices)], launch)


def point_fill(
    X: Array,
    Y: Array,
    metric: int,
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
    # Slices need a count of their own to know where they begin: only as many as it takes to occupy the device.
    shape = _Shape(X, Y, metric, rows=1, blocks=_BLOCKS // 4)
    if shape.slices > 1:
        counts = _counts(X, Y, f, g, inv_reg, row_floor, col_floor, shape, launch)
    else:
        counts = indptr  # not looked at
    args = (X, Y, f, g, inv_reg, row_floor, col_floor, counts, indptr, indices, data, *shape.sizes)
    launch("point_gibbs.cu", "point_fill", shape.template, shape.grid, _BLOCK, args)


def point_apply(
    X: Array,
    Y: Array,
    metric: int,
    f: Array,
    g: Array,
    inv_reg: float,
    V: Array,
    out: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Compute P V, up to eight columns at a time."""
    shape = _Shape(X, Y, metric)
    width = int(V.shape[1])
    parts = _build.scratch(out, (shape.slices, shape.n, width), out.dtype)
    columns = next((columns for columns in _APPLY_COLUMNS if columns >= width), _APPLY_COLUMNS[-1])
    for offset in range(0, width, columns):
        args = (X, Y, f, g, inv_reg * math.log2(math.e), V, parts, *shape.sizes, width, offset)
        launch("point_gibbs.cu", "point_apply", (*shape.template, columns), shape.grid, _BLOCK, args)
    _merge.sums([(parts, out, shape.slices)], launch)
