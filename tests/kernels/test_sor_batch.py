"""Many systems of one pattern in every home, against the sweeps of one after the other in long doubles."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from numopt.kernels import bind
from numopt.kernels._numba import sor_batch as numba_batch
from tests.kernels.cases import run, tolerance
from tests.kernels.linear import SCALARS, Rows, draw, poisson, real_of, sweeps, system
from tests.kernels.transport import unset


class Batch(NamedTuple):
    """Systems that differ from `base` by their values, right-hand sides, relaxation and targets."""

    base: Rows
    data: np.ndarray
    which: np.ndarray
    b: np.ndarray
    omega: np.ndarray
    target: np.ndarray

    def one(self, s: int) -> Rows:
        """Return system s."""
        data = self.data[self.which[s]]
        return self.base._replace(data=data, inverse=1 / data[self.base.split], b=self.b[s])

    def inputs(self, order: int, maxiter: int) -> list[Any]:
        """Return the arguments up to the iterates."""
        _, indices, indptr, split, _, classes, _ = self.base
        return [
            self.data, indices, indptr, split, classes, self.which, self.b, self.omega, order, self.target, maxiter
        ]  # fmt: skip

    def outputs(self, x: np.ndarray, size: int) -> list[np.ndarray]:
        """Return the arguments from the iterates on, with leftovers in them."""
        return [x.copy(), unset(x.dtype, size), unset("i8", len(x)), unset("f8", len(x))]


def batch(base: Rows, n_systems: int, rtol: float, omega: float = 1.2, matrices: int | None = None) -> Batch:
    """Draw systems of the pattern of `base` with shifted diagonals; they take different numbers of sweeps."""
    rng = np.random.default_rng(2)
    matrices = n_systems if matrices is None else matrices
    data = np.repeat(base.data[None], matrices, axis=0)
    real = real_of(base.data.dtype)
    size = np.abs(base.data[base.split])
    data[:, base.split] *= (1 + rng.random((matrices, 1)) * 2).astype(real)
    assert data.dtype == base.data.dtype
    b = draw(rng, base.data.dtype.str, n_systems, size.size)
    omegas = omega - 0.4 * rng.random(n_systems)
    targets = rtol * np.linalg.norm(b, axis=1)
    return Batch(base, data, rng.integers(0, max(matrices, 1), n_systems), b, omegas, targets.astype("f8"))


def solve(xp: Any, problem: Batch, order: int, maxiter: int, x: np.ndarray) -> tuple[np.ndarray, ...]:
    size = int(bind(xp).sor_batch_work(*x.shape, problem.data.shape[1]))
    x, _, nit, norms = run(xp, "sor_batch", problem.inputs(order, maxiter), problem.outputs(x, size))
    return x, nit, norms


def check(problem: Batch, order: int, maxiter: int, start: np.ndarray, found: tuple[np.ndarray, ...]) -> None:
    """Compare with the first sweep whose residual before it is small enough, in long doubles."""
    real = real_of(start.dtype)
    x, nit, norms = found
    longest = int(np.diff(problem.base.indptr).max(initial=0))
    for s in range(len(start)):
        one = problem.one(s)
        count = int(nit[s]) + 1
        expected, expected_norms = sweeps(one, problem.omega[s], order, start[s], count)
        size = np.sqrt(expected_norms)
        rounding = tolerance(real, (8 + longest) * (2 * count + 2))
        scale = max(float(np.abs(v).max(initial=0)) for v in (start[s], expected, one.b))
        atol = rounding * scale * float(abs(one.matrix).sum(axis=1).max(initial=0) + 1) * max(1, one.b.size) ** 0.5
        np.testing.assert_allclose(x[s], expected.astype(x.dtype), rtol=0, atol=rounding * scale)
        np.testing.assert_allclose(norms[s], size[-1], rtol=0, atol=atol)
        assert nit[s] == maxiter or norms[s] <= problem.target[s]
        assert nit[s] <= maxiter
        assert np.all(size[:-1] > problem.target[s] - atol)


# Below, at and above the number of lanes.
@pytest.mark.parametrize("n_systems", [0, 1, 7, 8, 9, 21])
@pytest.mark.parametrize("order", [1, -1])
def test_systems_end_when_they_are_solved(xp: Any, n_systems: int, order: int) -> None:
    problem = batch(system(17), n_systems, 1e-2)
    start = draw(np.random.default_rng(5), "f8", n_systems, 17)
    found = solve(xp, problem, order, 100, start)
    check(problem, order, 100, start, found)
    if n_systems > 1:
        assert len(set(found[1].tolist())) > 1


@pytest.mark.parametrize("n", [0, 1, 2, 33, 65])
@pytest.mark.parametrize("coloured", [False, True])
def test_systems_of_every_size(xp: Any, n: int, coloured: bool) -> None:
    problem = batch(system(n, coloured=coloured), 3, 1e-4)
    start = np.zeros((3, n))
    check(problem, 1, 30, start, solve(xp, problem, 1, 30, start))


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("index", ["i4", "i8"])
@pytest.mark.parametrize("coloured", [False, True])
@pytest.mark.parametrize("order", [1, -1])
def test_systems_of_every_type(xp: Any, scalar: str, index: str, coloured: bool, order: int) -> None:
    problem = batch(system(13, scalar, index, coloured), 9, 5e-2, omega=1.0)
    start = draw(np.random.default_rng(5), scalar, 9, 13)
    found = solve(xp, problem, order, 40, start)
    assert found[0].dtype == scalar
    check(problem, order, 40, start, found)


def test_one_matrix_with_many_relaxations(xp: Any) -> None:
    problem = batch(poisson(4), 12, 1e-2, matrices=1)
    problem = problem._replace(omega=np.linspace(0.8, 1.9, 12))
    start = np.zeros((12, 16))
    check(problem, 1, 200, start, solve(xp, problem, 1, 200, start))


@pytest.mark.parametrize("maxiter", [0, 1, 5])
def test_the_last_sweep_is_number_maxiter(xp: Any, maxiter: int) -> None:
    problem = batch(poisson(5), 9, 1e-12)
    start = np.zeros((9, 25))
    found = solve(xp, problem, 1, maxiter, start)
    np.testing.assert_array_equal(found[1], np.full(9, maxiter))
    check(problem, 1, maxiter, start, found)


def test_a_start_that_is_good_enough_ends_at_once(xp: Any) -> None:
    problem = batch(system(20), 10, 1.001)
    start = np.zeros((10, 20))
    found = solve(xp, problem, 1, 50, start)
    np.testing.assert_array_equal(found[1], np.zeros(10, "i8"))
    np.testing.assert_allclose(found[2], np.linalg.norm(problem.b, axis=1), rtol=1e-14)


def test_no_right_hand_side_and_no_start_stay_zero(xp: Any) -> None:
    problem = batch(system(20), 10, 1e-8)
    problem.b[3] = 0
    problem.target[3] = 0
    x, nit, norms = solve(xp, problem, 1, 50, np.zeros((10, 20)))
    assert not x[3].any()
    assert nit[3] == norms[3] == 0


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of the reference, for infinities
def test_a_system_that_diverges_or_is_not_a_number_leaves_the_others_alone(xp: Any) -> None:
    problem = batch(poisson(4), 12, 1e-4)
    start = np.zeros((12, 16))
    expected = solve(xp, problem, 1, 300, start)
    problem.omega[2] = 3.5
    problem.b[5, 7] = np.nan
    problem.b[7, 0] = np.inf
    x, nit, norms = solve(xp, problem, 1, 300, start)
    assert norms[2] > 1e10 * np.linalg.norm(problem.b[2])
    assert 1 <= nit[2] < 300
    assert np.isfinite(x[2]).all()
    assert nit[5] == 0
    assert np.isnan(norms[5])
    assert nit[7] <= 2
    assert not np.isfinite(norms[7])
    others = [s for s in range(12) if s not in (2, 5, 7)]
    for found, value in zip((x, nit, norms), expected, strict=True):
        np.testing.assert_array_equal(found[others], value[others])


def test_a_matrix_that_is_not_a_number_leaves_the_next_in_its_lane_alone(xp: Any) -> None:
    problem = batch(poisson(3), 20, 1e-4)
    problem = problem._replace(which=np.arange(20))
    expected = solve(xp, problem, 1, 300, np.zeros((20, 9)))
    problem.data[:8, 3] = np.nan
    found = solve(xp, problem, 1, 300, np.zeros((20, 9)))
    assert np.isnan(found[2][:8]).all()
    for value, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(value[8:], other[8:])


def test_what_a_system_becomes_does_not_depend_on_its_company(xp: Any) -> None:
    problem = batch(poisson(4), 11, 1e-6)
    start = draw(np.random.default_rng(5), "f8", 11, 16)
    together = solve(xp, problem, 1, 300, start)
    for s in (0, 5, 10):
        one = slice(s, s + 1)
        alone = problem._replace(
            which=problem.which[one], b=problem.b[one], omega=problem.omega[one], target=problem.target[one]
        )
        for found, value in zip(solve(xp, alone, 1, 300, start[one]), together, strict=True):
            np.testing.assert_array_equal(found, value[one])


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("order", [1, -1])
def test_a_batch_is_what_single_sweeps_give(scalar: str, order: int) -> None:
    problem = batch(poisson(7, scalar), 9, 1e-3)
    start = draw(np.random.default_rng(5), scalar, 9, 49)
    x, nit, norms = solve(np, problem, order, 200, start)
    for s in range(9):
        one, alone, squares = problem.one(s), start[s].copy(), np.empty(int(nit[s]) + 1)
        bind(np).sor_sweeps(*one, problem.omega[s], order, alone, np.empty(49, scalar), squares)
        np.testing.assert_allclose(x[s], alone, rtol=0, atol=tolerance(real_of(scalar), 64) * np.abs(alone).max())
        np.testing.assert_allclose(norms[s], squares[-1] ** 0.5, rtol=tolerance(real_of(scalar), 1e4))


@pytest.mark.parametrize("scalar", SCALARS)
def test_the_parallel_form_gives_the_bits_of_the_serial_one(scalar: str) -> None:
    n_systems = 2 * numba_batch.PART_SYSTEMS + 5
    problem = batch(poisson(5, scalar), n_systems, 1e-3)
    size = numba_batch.sor_batch_work(n_systems, 25, problem.data.shape[1])
    results = []
    for form in (numba_batch.sor_batch.serial, numba_batch.sor_batch.parallel):
        outputs = problem.outputs(np.zeros((n_systems, 25), scalar), size)
        form(*problem.inputs(1, 200), *outputs)
        results.append(outputs)
    for k in (0, 2, 3):
        np.testing.assert_array_equal(results[0][k], results[1][k])


def test_the_work_counts_systems_entries_and_sweeps() -> None:
    problem = batch(poisson(5), 200, 1e-3)
    outputs = problem.outputs(np.zeros((200, 25)), 1)
    nnz = problem.data.shape[1]
    assert numba_batch._work(*problem.inputs(1, 4), *outputs) == 2 * 200 * nnz * 5
    assert numba_batch._work(*problem.inputs(1, 10_000), *outputs) == 2 * 200 * nnz * numba_batch.TYPICAL_SWEEPS
    few = [output[:100] for output in outputs]
    assert numba_batch._work(*problem.inputs(1, 10_000), *few) == 0
