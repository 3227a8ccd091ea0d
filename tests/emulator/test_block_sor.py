"""The CUDA kernels for sweeps over blocks of rows, run as C++ on the CPU, against their definition."""

import numpy as np
import pytest

from numopt.kernels._cuda import block_sor
from tests.emulator.emulator import Emulator, call
from tests.kernels.linear import ORDERS, TYPES, draw, poisson
from tests.kernels.test_block_sor import KERNELS, Blocks, arrange, check, problem_of
from tests.kernels.transport import unset


def sweep(
    emulator: Emulator, kernel: str, problem: Blocks, omega: float, order: int, start: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    x, delta, norms = start.copy(), np.full_like(start, np.nan), unset("f8", count)
    call(emulator, getattr(block_sor, kernel), *problem, omega, order, x, delta, norms)
    return x, norms


# Blocks for 4 lanes and for 32, of fewer rows than lanes and of more; long blocks and short ones.
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("n", "m"), [(0, 3), (1, 1), (33, 2), (100, 8), (65, 9), (100, 40), (300, 7)])
@pytest.mark.parametrize("coloured", [False, True])
def test_sweeps_follow_the_definition(emulator: Emulator, kernel: str, n: int, m: int, coloured: bool) -> None:
    problem = problem_of(n, m, kernel, coloured=coloured)
    start = draw(np.random.default_rng(5), "f8", n)
    x, norms = sweep(emulator, kernel, problem, 1.1, 1, start, 3)
    check(problem, 1.1, 1, start, x, norms)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("scalar", "index"), TYPES)
@pytest.mark.parametrize(("m", "coloured"), [(5, False), (5, True), (40, True)])
@pytest.mark.parametrize("order", ORDERS)
def test_sweeps_in_every_type(
    emulator: Emulator, kernel: str, scalar: str, index: str, m: int, coloured: bool, order: int
) -> None:
    problem = problem_of(93, m, kernel, scalar, index, coloured)
    start = draw(np.random.default_rng(5), scalar, 93)
    x, norms = sweep(emulator, kernel, problem, 0.9, order, start, 2)
    check(problem, 0.9, order, start, x, norms)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("order", ORDERS)
def test_sweeps_in_one_launch_are_those_of_several(emulator: Emulator, kernel: str, order: int) -> None:
    rows = poisson(18)
    problem = arrange(rows.matrix, rows.b, 18, kernel, coloured=True)
    together, norms = sweep(emulator, kernel, problem, 1.2, order, np.zeros(324), 4)
    x = np.zeros(324)
    for k in range(4):
        x, norm = sweep(emulator, kernel, problem, 1.2, order, x, 1)
        assert norm[0] == norms[k]
    np.testing.assert_array_equal(x, together)


@pytest.mark.parametrize("kernel", KERNELS)
def test_nan_shows_up_in_the_norm(emulator: Emulator, kernel: str) -> None:
    problem = problem_of(33, 5, kernel, coloured=True)
    problem.b[7] = np.nan
    assert np.isnan(sweep(emulator, kernel, problem, 1.0, 1, np.zeros(33), 2)[1]).all()
