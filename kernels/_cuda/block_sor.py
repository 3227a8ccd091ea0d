"""Successive over-relaxation over blocks of rows, dense or tridiagonal: all sweeps in one launch."""

from numopt._typing import Array
from numopt.kernels._cuda import _build, _sweeps

_BLOCK = 128
# So few rows keep a quarter of a warp busy at most: a block of them has 4 lanes, a larger one 32.
_SMALL_BLOCK = 8
_SHORT_LINE = 32


def block_sor_sweeps(
    data: Array,
    indices: Array,
    indptr: Array,
    split: Array,
    blocks: Array,
    inverses: Array,
    classes: Array,
    b: Array,
    omega: float,
    order: int,
    x: Array,
    delta: Array,
    norms: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Sweep over blocks: x_k += omega * inverse_k (b - A x)_k."""
    n, n_blocks, count = int(x.shape[0]), int(blocks.shape[0]) - 1, int(norms.shape[0])
    if n == 0 or count == 0:
        norms[...] = 0
        return
    m = int(inverses.shape[1])
    lanes = 4 if m <= _SMALL_BLOCK else 32
    template = (data.dtype, indices.dtype, lanes)
    plan = _sweeps.plan(launch, "block_sor.cu", "block_sor_sweeps", template, _BLOCK, classes, n_blocks, lanes, x)
    gaps = _build.scratch(x, n, x.dtype)
    args = (data, indices, indptr, split, blocks, inverses, classes, b, float(omega), order, x, delta, norms)
    scratch = (gaps, m, plan.n_classes, n_blocks, count, plan.partial, plan.arrived)
    launch("block_sor.cu", "block_sor_sweeps", template, plan.grid, plan.block, (*args, *scratch), cooperative=True)


def line_sor_sweeps(
    data: Array,
    indices: Array,
    indptr: Array,
    split: Array,
    blocks: Array,
    factors: Array,
    classes: Array,
    b: Array,
    omega: float,
    order: int,
    x: Array,
    delta: Array,
    norms: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Sweep over tridiagonal blocks, each solved by substitution in its factors."""
    n, n_blocks, count = int(x.shape[0]), int(blocks.shape[0]) - 1, int(norms.shape[0])
    if n == 0 or count == 0:
        norms[...] = 0
        return
    lanes = 4 if n <= _SHORT_LINE * n_blocks else 32
    template = (data.dtype, indices.dtype, lanes)
    plan = _sweeps.plan(launch, "block_sor.cu", "line_sor_sweeps", template, _BLOCK, classes, n_blocks, lanes, x)
    args = (data, indices, indptr, split, blocks, factors, classes, b, float(omega), order, x, delta, norms)
    scratch = (n, plan.n_classes, n_blocks, count, plan.partial, plan.arrived)
    launch("block_sor.cu", "line_sor_sweeps", template, plan.grid, plan.block, (*args, *scratch), cooperative=True)
