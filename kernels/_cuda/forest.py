"""Linear systems whose graph is a forest: level by level over all trees at once, one launch a call."""

from typing import Any

import numpy as np

from numopt._typing import Array
from numopt.kernels._cuda import _build, _sweeps

_BLOCK = 256


def _plan(launch: _build.Launch, kernel: str, template: tuple[Any, ...], levels: Array, n: int, like: Array) -> Any:
    return _sweeps.plan(launch, "forest.cu", kernel, template, _BLOCK, levels, n, 1, like)


def forest_factor(
    parents: Array,
    levels: Array,
    children: Array,
    diagonal: Array,
    entries: Array,
    links: Array,
    inverse: Array,
    info: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Eliminate each row before its parent: inverse = 1 / pivots, links = entries / pivots."""
    n = int(parents.shape[0])
    if n > 0:
        template = (diagonal.dtype,)
        plan = _plan(launch, "forest_factor", template, levels, n, links)
        least = 4 * float(np.finfo(np.dtype(diagonal.dtype)).eps)
        args = (parents, levels, children, diagonal, entries, links, inverse, least, plan.n_classes, n, plan.arrived)
        launch("forest.cu", "forest_factor", template, plan.grid, plan.block, args, cooperative=True)
    launch("forest.cu", "forest_failure", (diagonal.dtype,), 1, _BLOCK, (inverse, info, n))


def forest_solve(
    parents: Array,
    levels: Array,
    children: Array,
    links: Array,
    inverse: Array,
    x: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Overwrite x with the solution for the right-hand side x."""
    n = int(x.shape[0])
    if n == 0:
        return
    plan = _plan(launch, "forest_solve", (x.dtype,), levels, n, x)
    args = (parents, levels, children, links, inverse, x, plan.n_classes, n, plan.arrived)
    launch("forest.cu", "forest_solve", (x.dtype,), plan.grid, plan.block, args, cooperative=True)


def forest_ssor(
    ldata: Array,
    lindices: Array,
    lindptr: Array,
    udata: Array,
    uindices: Array,
    uindptr: Array,
    blocks: Array,
    parents: Array,
    levels: Array,
    children: Array,
    links: Array,
    inverse: Array,
    omega: float,
    symmetric: int,
    r: Array,
    z: Array,
    work: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Sweep over the forests from zero: forward, and backward if `symmetric`."""
    n = int(z.shape[0])
    if n == 0:
        return
    template = (ldata.dtype, lindices.dtype)
    plan = _plan(launch, "forest_ssor", template, levels, n, z)
    args = (
        ldata, lindices, lindptr, udata, uindices, uindptr, blocks, parents, levels, children, links, inverse,
        float(omega), int(symmetric), r, z, work, int(blocks.shape[0]) - 1, plan.n_classes, n, plan.arrived,
    )  # fmt: skip
    launch("forest.cu", "forest_ssor", template, plan.grid, plan.block, args, cooperative=True)


def forest_schur(
    data: Array,
    indices: Array,
    indptr: Array,
    tdata: Array,
    tindices: Array,
    tindptr: Array,
    parents: Array,
    levels: Array,
    children: Array,
    links: Array,
    inverse: Array,
    v: Array,
    y: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Eliminate the forest of the first rows: v_1 = -H_11^-1 H_12 v_2, y = (H v)_2."""
    n, rest = int(parents.shape[0]), int(y.shape[0])
    if n + rest == 0:
        return
    template = (data.dtype, indices.dtype)
    plan = _plan(launch, "forest_schur", template, levels, n, v)
    args = (
        data, indices, indptr, tdata, tindices, tindptr, parents, levels, children, links, inverse, v, y,
        plan.n_classes, n, rest, plan.arrived,
    )  # fmt: skip
    launch("forest.cu", "forest_schur", template, plan.grid, plan.block, args, cooperative=True)
