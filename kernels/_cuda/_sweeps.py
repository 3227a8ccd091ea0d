"""The grid and the scratch of kernels that sweep class by class (sweeps.cuh)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from numopt._typing import Array
from numopt.kernels._cuda import _build


class Plan(NamedTuple):
    """How to launch a sweeping kernel, and what it is given besides its own arguments."""

    grid: int
    block: int
    n_classes: int
    partial: Array
    arrived: Array


def plan(
    launch: _build.Launch,
    source: str,
    kernel: str,
    template: Sequence[Any],
    block: int,
    classes: Array,
    n: int,
    lanes: int,
    like: Array,
) -> Plan:
    """Choose the grid for `n` rows or blocks of rows in classes, with `lanes` lanes for each, and make the scratch.

    Without classes it is one warp, which takes the rows one by one.
    """
    n_classes = max(int(classes.shape[0]) - 1, 0)
    if n_classes == 0:
        grid, block = 1, _build.whole_warps(lanes, block)
    else:
        # The sizes of the classes are on the device: twice the mean, since more blocks make the barriers slower.
        items = min(n, -(-2 * n // n_classes))
        grid = max(1, min(launch.resident(source, kernel, template, block), -(-items * lanes // block)))
    partial = _build.scratch(like, (2, grid), "float64")
    arrived = _build.scratch(like, 1, "uint64")
    arrived[...] = 0
    return Plan(grid, block, n_classes, partial, arrived)
