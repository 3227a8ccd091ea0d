"""Matrix of a 5- or 7-point stencil with constant coefficients: sweeps, all in one launch, and product."""

from typing import Any

import numpy as np

from numopt._typing import Array
from numopt.kernels._cuda import _build

_WARP = 32
_PRODUCT_BLOCK = 256
_SWEEP_BLOCK = 256
# The most threads of a block that has the grid to itself.
_SINGLE_BLOCK = 512
# A barrier of the grid takes about as long as so many of a block.
_GRID_BARRIER = 4
# More sweeps on their way at once would wait for memory together.
_MOST_TEAMS = 32


def stencil_sweeps(
    coefficients: Array,
    nz: int,
    ny: int,
    nx: int,
    colours: int,
    b: Array,
    omega: float,
    order: int,
    x: Array,
    delta: Array,
    norms: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Sweep over the points in their order, or over those of one colour after those of the other."""
    count = int(norms.shape[0])
    if nz * ny * nx == 0 or count == 0:
        norms[...] = 0
        return
    template = (x.dtype, _index(nz, ny, nx))
    resident = launch.resident("stencil.cu", "stencil_sweeps", template, _SWEEP_BLOCK)
    grid, block, team_warps = _layout(nz, ny, nx, colours, order, count, resident)
    partial = _build.scratch(x, (2, grid * block // _WARP), "float64")
    arrived = _build.scratch(x, 1, "uint64")
    arrived[...] = 0
    args = (coefficients, nz, ny, nx, colours, b, float(omega), order, x, delta, norms)
    scratch = (count, team_warps, partial, arrived)
    launch("stencil.cu", "stencil_sweeps", template, grid, block, (*args, *scratch), cooperative=True)


def stencil_product(
    coefficients: Array, nz: int, ny: int, nx: int, x: Array, y: Array, *, launch: _build.Launch = _build.launch
) -> None:
    """Compute y = A x."""
    n = nz * ny * nx
    if n == 0:
        return
    template = (x.dtype, _index(nz, ny, nx))
    args = (coefficients, nz, ny, nx, x, y)
    launch("stencil.cu", "stencil_product", template, -(-n // _PRODUCT_BLOCK), _PRODUCT_BLOCK, args)


def _index(nz: int, ny: int, nx: int) -> Any:
    """Return the type that numbers the points, with room for the stride past the last."""
    return np.dtype(np.int32 if nz * ny * nx < 2**30 else np.int64)


def _layout(nz: int, ny: int, nx: int, colours: int, order: int, count: int, resident: int) -> tuple[int, int, int]:
    """Return the grid, the block and the warps of a team.

    In the order of the points as many teams follow one another as there are sweeps and room, in one block where the
    cheaper barriers make up for the fewer threads.
    """
    if colours == 2:
        # Two numbers for each thread, so that the barriers are reached by fewer of them.
        warps = -(-nz * ny * ((nx + 1) // 2) // (2 * _WARP))
        if warps * _WARP <= _SINGLE_BLOCK:
            return 1, warps * _WARP, warps
        grid = min(resident, -(-warps * _WARP // _SWEEP_BLOCK))
        return grid, _SWEEP_BLOCK, grid * _SWEEP_BLOCK // _WARP
    levels = nz + ny + nx - 2
    # A diagonal of a box has a place for each pair of the two shorter sides at most.
    shortest, middle, _ = sorted((nz, ny, nx))
    wanted = -(-shortest * middle // _WARP)
    wanted_teams = min(count, _MOST_TEAMS) if order != 0 else 1

    def plan(most_warps: int) -> tuple[int, int, float]:
        """Return the warps of a team, the teams, and the turns of the longest thread with a barrier after each."""
        team_warps = min(wanted, most_warps)
        teams = max(1, min(wanted_teams, most_warps // team_warps))
        steps = -(-count // teams) * levels + 2 * teams
        return team_warps, teams, steps * float(-(-wanted // team_warps))

    single, many = plan(_SINGLE_BLOCK // _WARP), plan(resident * _SWEEP_BLOCK // _WARP)
    if single[2] <= _GRID_BARRIER * many[2]:
        return 1, single[0] * single[1] * _WARP, single[0]
    return -(-many[0] * many[1] * _WARP // _SWEEP_BLOCK), _SWEEP_BLOCK, many[0]
