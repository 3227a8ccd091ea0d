"""The CUDA kernels for stencils, run as C++ on the CPU, against the matrix they stand for."""

import numpy as np
import pytest

from numopt.kernels._cuda import stencil
from tests.emulator.emulator import Emulator, call
from tests.kernels.cases import tolerance
from tests.kernels.linear import ORDERS, SCALARS, TYPES, check_sweeps, draw, real_of
from tests.kernels.test_stencil import GRIDS, as_rows, coefficients, matrix
from tests.kernels.transport import unset


def sweep(
    emulator: Emulator,
    c: np.ndarray,
    grid: tuple[int, int, int],
    colours: int,
    b: np.ndarray,
    order: int,
    start: np.ndarray,
    count: int,
) -> tuple[np.ndarray, np.ndarray]:
    x, delta, norms = start.copy(), np.full_like(start, np.nan), unset("f8", count)
    call(emulator, stencil.stencil_sweeps, c, *grid, colours, b, 1.2, order, x, delta, norms)
    return x, norms


# More sweeps than teams at once on the larger ones, whose diagonals are wider than a warp.
@pytest.mark.parametrize("grid", [*GRIDS, (1, 40, 45), (9, 10, 11), (13, 5, 21)])
@pytest.mark.parametrize("colours", [1, 2])
@pytest.mark.parametrize("order", ORDERS)
def test_sweeps_are_those_over_the_rows_of_the_matrix(
    emulator: Emulator, grid: tuple[int, int, int], colours: int, order: int
) -> None:
    c, n = coefficients("f8"), int(np.prod(grid))
    b, start = (draw(np.random.default_rng(seed), "f8", n) for seed in (1, 2))
    count = 3 if n < 100 else 12
    x, norms = sweep(emulator, c, grid, colours, b, order, start, count)
    rows, place = as_rows(c, grid, colours, b)
    check_sweeps(rows, 1.2, order, start[place], x[place], norms)


@pytest.mark.parametrize(("scalar", "index"), TYPES)
@pytest.mark.parametrize("colours", [1, 2])
@pytest.mark.parametrize("order", ORDERS)
def test_sweeps_in_every_type(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, scalar: str, index: str, colours: int, order: int
) -> None:
    monkeypatch.setattr(stencil, "_index", lambda nz, ny, nx: np.dtype(index))
    c, grid = coefficients(scalar), (3, 4, 5)
    b, start = (draw(np.random.default_rng(seed), scalar, 60) for seed in (1, 2))
    x, norms = sweep(emulator, c, grid, colours, b, order, start, 4)
    rows, place = as_rows(c, grid, colours, b)
    check_sweeps(rows, 1.2, order, start[place], x[place], norms)


@pytest.mark.parametrize("colours", [1, 2])
@pytest.mark.parametrize("order", ORDERS)
def test_sweeps_that_follow_one_another_are_those_of_several_launches(
    emulator: Emulator, colours: int, order: int
) -> None:
    c, grid, n = np.array([4.0, -1, -1, -1, -1, 0, 0]), (1, 9, 11), 99
    b = draw(np.random.default_rng(1), "f8", n)
    together, norms = sweep(emulator, c, grid, colours, b, order, np.zeros(n), 20)
    x = np.zeros(n)
    for k in range(20):
        x, norm = sweep(emulator, c, grid, colours, b, order, x, 1)
        np.testing.assert_allclose(norm[0], norms[k], rtol=1e-14)
    np.testing.assert_array_equal(x, together)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("scalar", SCALARS)
def test_product(emulator: Emulator, grid: tuple[int, int, int], scalar: str) -> None:
    c, n = coefficients(scalar), int(np.prod(grid))
    x, y = draw(np.random.default_rng(2), scalar, n), np.full(n, np.nan, scalar)
    call(emulator, stencil.stencil_product, c, *grid, x, y)
    size = np.abs(c).sum() * np.abs(x).max(initial=0)
    np.testing.assert_allclose(y, matrix(c, grid) @ x, rtol=0, atol=tolerance(real_of(scalar), 16) * size)


def test_index_types_hold_the_points() -> None:
    assert stencil._index(1, 1000, 1000) == np.int32
    assert stencil._index(1, 2**15, 2**15) == np.int64


@pytest.mark.parametrize(
    ("grid", "order", "count", "expected"),
    [
        # A diagonal of 100 points is 4 warps, of which a block has room for 4 teams.
        ((1, 100, 100), 1, 10, (1, 512, 4)),
        ((1, 100, 100), 0, 10, (1, 128, 4)),
        ((1, 1000, 1000), 1, 1, (1, 512, 16)),
        ((1, 1000, 1000), 1, 16, (64, 256, 32)),
        ((100, 100, 100), 1, 1, (40, 256, 313)),
    ],
)
def test_layouts_of_teams(grid: tuple[int, int, int], order: int, count: int, expected: tuple[int, int, int]) -> None:
    assert stencil._layout(*grid, 1, order, count, 132 * 2) == expected


def test_a_layout_fits_the_device() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        nz, ny, nx = (int(size) for size in rng.integers(1, 300, 3))
        for colours in (1, 2):
            for order in ORDERS:
                resident, count = int(rng.integers(1, 300)), int(rng.integers(1, 60))
                blocks, threads, team = stencil._layout(nz, ny, nx, colours, order, count, resident)
                assert blocks == 1 or (blocks <= resident and threads == stencil._SWEEP_BLOCK)
                assert threads % 32 == 0
                assert 0 < threads <= stencil._SINGLE_BLOCK
                assert 0 < team * 32 <= blocks * threads
