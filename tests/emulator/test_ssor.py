"""The CUDA kernels of symmetric over-relaxation, run as C++ on the CPU, against long doubles and the other homes."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.kernels._cuda import eisenstat, ssor
from tests.emulator.emulator import Emulator, call
from tests.kernels import test_eisenstat, test_ssor
from tests.kernels.cases import tolerance
from tests.kernels.linear import TYPES, Rows, check_sweeps, draw, poisson, real_of, system
from tests.kernels.test_eisenstat import LIMIT, NOT_FINITE, NOT_POSITIVE, REACHED, Problem
from tests.kernels.transport import unset


def sweep(
    emulator: Emulator, problem: Rows, omega: float, start: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, upper, delta = (
        start.copy(),
        test_ssor.upper_product(problem, start),
        np.full(2 * start.size, np.nan, start.dtype),
    )
    norms = unset("f8", count)
    call(emulator, ssor.ssor_sweeps, *test_ssor.sweep_inputs(problem, omega), x, upper, delta, norms)
    return x, upper, norms


# With 20 entries per row each is shared by lanes.
@pytest.mark.parametrize("per_row", [4, 20])
@pytest.mark.parametrize("n", [0, 1, 2, 33, 300])
@pytest.mark.parametrize("coloured", [False, True])
def test_sweeps_follow_the_definition(emulator: Emulator, n: int, coloured: bool, per_row: int) -> None:
    problem = system(n, coloured=coloured, per_row=per_row)
    start = draw(np.random.default_rng(5), "f8", n)
    x, upper, norms = sweep(emulator, problem, 1.2, start, 3)
    check_sweeps(problem, 1.2, 0, start, x, norms)
    scale = abs(problem.matrix).sum(axis=1).max(initial=1) * np.abs(x).max(initial=1)
    np.testing.assert_allclose(
        upper, test_ssor.upper_product(problem, x), rtol=0, atol=tolerance("f8", (4 + n) * scale)
    )


@pytest.mark.parametrize(("scalar", "index"), TYPES)
@pytest.mark.parametrize(("coloured", "per_row"), [(False, 4), (True, 4), (True, 20)])
def test_sweeps_in_every_type(emulator: Emulator, scalar: str, index: str, coloured: bool, per_row: int) -> None:
    problem = system(65, scalar, index, coloured, per_row)
    start = draw(np.random.default_rng(5), scalar, 65)
    x, _, norms = sweep(emulator, problem, 0.9, start, 2)
    check_sweeps(problem, 0.9, 0, start, x, norms)


def test_nan_shows_up_in_the_norm(emulator: Emulator) -> None:
    problem = system(33, coloured=True)
    problem.b[7] = np.nan
    assert np.isnan(sweep(emulator, problem, 1.0, np.zeros(33), 2)[2]).all()


@pytest.mark.parametrize(("scalar", "index"), TYPES)
@pytest.mark.parametrize(("coloured", "per_row"), [(False, 4), (True, 4), (True, 20)])
@pytest.mark.parametrize("n", [0, 1, 300])
def test_solve_inverts_the_preconditioner(
    emulator: Emulator, n: int, scalar: str, index: str, coloured: bool, per_row: int
) -> None:
    problem = system(n, scalar, index, coloured, per_row)
    inputs, z = test_ssor.solve_inputs(problem, 1.3), np.full(n, np.nan, scalar)
    call(emulator, ssor.ssor_solve, *inputs, problem.b, z)
    test_ssor.check_solve(problem, 1.3, problem.b, z)


class Solve(test_eisenstat.Solve):
    """A solve whose launches are emulated."""

    def _call(self, inputs: list[Any], outputs: list[np.ndarray]) -> list[np.ndarray]:
        outputs = [value.copy() for value in outputs]
        call(self._xp, eisenstat.eisenstat_pcg, *inputs, *outputs)
        return outputs


def check_like_numba(emulator: Emulator, problem: Problem, omega: float, steps: int, factor: float) -> None:
    """Compare some steps with Numba's; rounding in one step is carried on by those after it."""
    found, expected = (
        kind(home, problem, omega, check=1, target=0.0).advance(steps)
        for kind, home in ((Solve, emulator), (test_eisenstat.Solve, np))
    )
    assert (found.nit, found.why) == (expected.nit, expected.why)
    atol = tolerance(real_of(problem.b.dtype), factor)
    np.testing.assert_allclose(found.x, expected.x, rtol=0, atol=atol * np.abs(expected.x).max(initial=0))
    np.testing.assert_allclose(found.info[3], problem.norm(found.x), rtol=1e-3, atol=atol * problem.norm(0 * found.x))


@pytest.mark.parametrize(("scalar", "index"), TYPES)
@pytest.mark.parametrize(("coloured", "per_row"), [(False, 4), (True, 4), (True, 20)])
def test_steps_of_conjugate_gradients(
    emulator: Emulator, scalar: str, index: str, coloured: bool, per_row: int
) -> None:
    check_like_numba(emulator, test_eisenstat.system(65, scalar, index, coloured, per_row), 1.3, 4, 1e4)


@pytest.mark.parametrize("n", [1, 2, 33, 300])
@pytest.mark.parametrize("check", [0, 1, 3])
@pytest.mark.parametrize("coloured", [False, True])
def test_the_norm_is_that_of_the_solution(emulator: Emulator, n: int, check: int, coloured: bool) -> None:
    problem = test_eisenstat.system(n, coloured=coloured)
    start = problem.norm(np.zeros(n))
    solve = Solve(emulator, problem, 1.1, check=check, target=1e-10 * start).advance(5 * n + 20)
    assert solve.why == REACHED
    assert solve.info[3] <= 1e-10 * start
    np.testing.assert_allclose(solve.info[3], problem.norm(solve.x), rtol=0, atol=tolerance("f8", 8 * (n + 20) * start))


@pytest.mark.parametrize("check", [0, 1, 5])
def test_slices_give_the_bits_of_the_whole(emulator: Emulator, check: int) -> None:
    problem = test_eisenstat.grid(9, coloured=True)
    target = 1e-9 * problem.norm(np.zeros(81))
    whole, cut = (Solve(emulator, problem, 1.5, check=check, target=target) for _ in range(2))
    whole.advance(100)
    cut.advance(0)
    while cut.why == LIMIT:
        assert cut.nit < 100
        cut.advance(2)
    assert (cut.nit, cut.why) == (whole.nit, REACHED)
    np.testing.assert_array_equal(cut.x, whole.x)
    np.testing.assert_array_equal(cut.info[[1, 2, 3, 6, 7]], whole.info[[1, 2, 3, 6, 7]])


def test_corners(emulator: Emulator) -> None:
    def outcome(problem: Problem, omega: float = 1.0, check: int = 50) -> tuple[int, int]:
        solve = Solve(emulator, problem, omega, check=check, target=0.0).advance(10)
        return solve.nit, solve.why

    problem = test_eisenstat.system(33)
    assert outcome(problem._replace(b=np.zeros(33))) == (0, REACHED)
    assert outcome(test_eisenstat.system(0)) == (0, REACHED)
    diagonal = test_eisenstat.scaled(sp.csr_array(sp.diags_array(np.full(9, 4.0))), np.arange(9.0))
    assert outcome(diagonal) == (1, REACHED)
    mixed = test_eisenstat.scaled(sp.csr_array(np.array([[1.0, 3.0], [3.0, 1.0]])), np.array([1.0, -1.0]))
    assert outcome(mixed)[1] == NOT_POSITIVE
    for value in (np.nan, np.inf):
        problem.b[3] = value
        assert outcome(problem) == (0, NOT_FINITE)
    problem = test_eisenstat.system(33)
    problem.split.udata[-1] = np.nan
    assert outcome(problem) == (0, NOT_FINITE)


def test_grids_of_several_blocks_are_refused_where_rows_go_one_by_one() -> None:
    class Recorder:
        """Note the launches instead of running them."""

        def __init__(self) -> None:
            self.grids: list[tuple[int, int]] = []

        def resident(self, *args: Any) -> int:
            return 7

        def __call__(self, source: str, kernel: str, template: Any, grid: int, block: int, args: Any, **_: Any) -> None:
            self.grids.append((grid, block))

    x = np.zeros(2500)
    for coloured, expected in ((False, (1, 32)), (True, (7, 256))):
        problem, launch = poisson(50, coloured=coloured), Recorder()
        inputs = test_ssor.solve_inputs(problem, 1.0)
        ssor.ssor_solve(*inputs, problem.b, x, launch=launch)
        ssor.ssor_sweeps(*test_ssor.sweep_inputs(problem, 1.0), x, x, x, np.empty(2), launch=launch)
        pcg = [*inputs[:-1], 1.0, 0, 0.0, 5]
        eisenstat.eisenstat_pcg(*pcg, x, x, x, np.empty((2, 2500)), np.zeros(8), launch=launch)
        assert launch.grids == 3 * [expected]
