"""Eisenstat's form of conjugate gradients in every home, against plain ones with the preconditioner as a matrix."""

from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.kernels._numba import _sweeps
from numopt.kernels._numba import eisenstat as numba_eisenstat
from tests.kernels.cases import SIZES, run, tolerance
from tests.kernels.linear import SCALARS, draw, from_matrix, greedy_classes, poisson, real_of
from tests.kernels.test_ssor import Triangles, triangles

LIMIT, REACHED, NOT_POSITIVE, NOT_FINITE = range(4)


class Problem(NamedTuple):
    """A Hermitian matrix of unit diagonal: its triangles, factors for the norm, classes, and a right-hand side."""

    split: Triangles
    root: np.ndarray
    classes: np.ndarray
    b: np.ndarray

    @property
    def dense(self) -> np.ndarray:
        """Return I + L + U in long doubles."""
        n = self.b.size
        parts = (sp.csr_array(part, shape=(n, n)).toarray() for part in (self.split[:3], self.split[3:]))
        wide = np.clongdouble if self.b.dtype.kind == "c" else np.longdouble
        return np.asarray(sum(part.astype(wide) for part in parts) + np.eye(n, dtype=wide))

    def norm(self, x: np.ndarray) -> float:
        """Return ||diag(root) (b - A x)||."""
        return float(np.linalg.norm((self.root * (self.b - self.dense @ x)).astype("c16")))


def scaled(A: sp.csr_array, b: np.ndarray, index: str = "i4", coloured: bool = False) -> Problem:
    rows = from_matrix(A, b, index, greedy_classes(A) if coloured else None)
    A = rows.matrix
    root = np.sqrt(A.diagonal().real)
    S = sp.diags_array(1 / root)
    unit = sp.csr_array(S @ A @ S).astype(b.dtype)
    return Problem(triangles(unit, index), root.astype(real_of(b.dtype)), rows.classes, rows.b)


def system(n: int, scalar: str = "f8", index: str = "i4", coloured: bool = False, per_row: int = 4) -> Problem:
    """Draw a definite matrix; some rows have nothing beside the diagonal, one of larger matrices is full."""
    rng = np.random.default_rng(n)
    dense = np.where(rng.random((n, n)) < per_row / max(n, 1), draw(rng, scalar, n, n), 0)
    if n > 5:
        dense[0] = 0 if coloured else 0.1
        dense[4] = dense[:, 4] = 0
    dense = dense + dense.conj().T
    dense[np.diag_indices(n)] = np.abs(dense).sum(axis=1) * (0.8 + 0.4 * rng.random(n)) + 0.3
    return scaled(sp.csr_array(dense.astype(scalar)), draw(rng, scalar, n), index, coloured)


def grid(m: int, scalar: str = "f8", coloured: bool = False) -> Problem:
    rows = poisson(m, scalar, coloured=coloured)
    part = scaled(rows.matrix, rows.b)
    return part._replace(classes=rows.classes)


class Solve:
    """A solve from x = 0 that may be cut into slices."""

    def __init__(self, xp: Any, problem: Problem, omega: float, *, check: int, target: float) -> None:
        self._xp, self._problem = xp, problem
        self._options = (omega, check, target)
        n, scalar = problem.b.size, problem.b.dtype
        self.x, self._r, self._p = np.zeros(n, scalar), problem.b.copy(), np.full(n, np.nan, scalar)
        self.info = np.full(8, np.nan)
        self.info[0] = 0
        self.nit = 0

    def advance(self, maxiter: int) -> "Solve":
        problem, work = self._problem, np.full((2, self.x.size), np.nan, self.x.dtype)
        inputs = [*problem.split, problem.root, problem.classes, *self._options, maxiter]
        outputs = [self.x, self._r, self._p, work, self.info]
        self.x, self._r, self._p, _, self.info = self._call(inputs, outputs)
        assert self.info[0] == 1
        self.nit += int(self.info[4])
        return self

    def _call(self, inputs: list[Any], outputs: list[np.ndarray]) -> list[np.ndarray]:
        return run(self._xp, "eisenstat_pcg", inputs, outputs)

    @property
    def why(self) -> int:
        return int(self.info[5])


def plain(problem: Problem, omega: float, steps: int) -> list[np.ndarray]:
    """Return the iterates of plain preconditioned conjugate gradients in long doubles."""
    A, b = problem.dense, problem.b.astype(problem.dense.dtype)
    K = np.eye(b.size) / np.longdouble(omega) + np.tril(A, -1)

    def precondition(r: np.ndarray) -> np.ndarray:
        y, z = np.zeros_like(r), np.zeros_like(r)
        for i in range(r.size):
            y[i] = (r[i] - K[i] @ y) / K[i, i]
        for i in range(r.size - 1, -1, -1):
            z[i] = (y[i] - K[:, i].conj() @ z) / K[i, i]
        return z

    iterates = [np.zeros_like(b)]
    r = b
    z = p = precondition(r)
    rho = np.vdot(r, z)
    for _ in range(steps):
        q = A @ p
        alpha = rho / np.vdot(p, q)
        iterates.append(iterates[-1] + alpha * p)
        r = r - alpha * q
        z = precondition(r)
        rho, before = np.vdot(r, z), rho
        p = z + rho / before * p
    return iterates


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("index", ["i4", "i8"])
@pytest.mark.parametrize("coloured", [False, True])
def test_iterates_are_those_of_the_plain_form(xp: Any, scalar: str, index: str, coloured: bool) -> None:
    problem = system(33, scalar, index, coloured)
    steps = 4 if real_of(scalar) == "f4" else 7
    expected = plain(problem, 1.3, steps)
    # Rounding in one step is carried on by those after it.
    atol = (1e-4 if real_of(scalar) == "f4" else 1e-10) * float(np.abs(expected[-1]).max())
    for count in (1, 2, steps):
        solve = Solve(xp, problem, 1.3, check=1, target=0.0).advance(count)
        assert (solve.nit, solve.why) == (count, LIMIT)
        assert solve.x.dtype == scalar
        np.testing.assert_allclose(solve.x, expected[count].astype(scalar), rtol=0, atol=atol)


@pytest.mark.parametrize("scalar", ["f8", "c16"])
def test_the_count_is_that_of_the_plain_form(xp: Any, scalar: str) -> None:
    problem = grid(15, scalar)
    target = 1e-9 * problem.norm(np.zeros_like(problem.b))
    solve = Solve(xp, problem, 1.6, check=1, target=target).advance(200)
    norms = [problem.norm(x) for x in plain(problem, 1.6, solve.nit)]
    assert solve.why == REACHED
    assert solve.info[3] <= target
    assert norms[-1] <= target * (1 + 1e-6)
    assert min(norms[:-1]) > target * (1 - 1e-6)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("check", [0, 1, 3])
@pytest.mark.parametrize("coloured", [False, True])
def test_the_norm_is_that_of_the_solution(xp: Any, n: int, check: int, coloured: bool) -> None:
    problem = system(n, coloured=coloured)
    start = problem.norm(np.zeros(n))
    target = 1e-10 * start
    solve = Solve(xp, problem, 1.1, check=check, target=target).advance(5 * n + 20)
    assert solve.why == REACHED
    assert solve.info[3] <= target
    np.testing.assert_allclose(solve.info[3], problem.norm(solve.x), rtol=0, atol=tolerance("f8", 8 * (n + 20) * start))
    exact = np.linalg.solve(problem.dense.astype("f8"), problem.b) if n else problem.b
    np.testing.assert_allclose(solve.x, exact, rtol=0, atol=1e-8 * np.abs(exact).max(initial=1))


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("check", [0, 1, 5])
@pytest.mark.parametrize("coloured", [False, True])
def test_slices_give_the_bits_of_the_whole(xp: Any, scalar: str, check: int, coloured: bool) -> None:
    problem = grid(9, scalar, coloured)
    target = (1e-4 if real_of(scalar) == "f4" else 1e-9) * problem.norm(np.zeros_like(problem.b))
    whole, cut = (Solve(xp, problem, 1.5, check=check, target=target) for _ in range(2))
    whole.advance(100)
    cut.advance(0)
    assert (cut.nit, cut.why) == (0, LIMIT)
    while cut.why == LIMIT:
        assert cut.nit < 100
        cut.advance(2)
    assert (cut.nit, cut.why) == (whole.nit, REACHED)
    np.testing.assert_array_equal(cut.x, whole.x)
    np.testing.assert_array_equal(cut.info[[1, 2, 3, 6, 7]], whole.info[[1, 2, 3, 6, 7]])


def test_few_checks_suffice(xp: Any) -> None:
    problem = grid(17)
    target = 1e-9 * problem.norm(np.zeros_like(problem.b))
    always, seldom = (Solve(xp, problem, 1.7, check=check, target=target).advance(200) for check in (1, 0))
    assert always.why == seldom.why == REACHED
    assert always.nit <= seldom.nit <= always.nit + 2


@pytest.mark.parametrize("check", [0, 1, 50])
def test_a_solved_system_takes_no_step(xp: Any, check: int) -> None:
    problem = system(33)
    problem.b[:] = 0
    solve = Solve(xp, problem, 1.2, check=check, target=0.0).advance(10)
    assert (solve.nit, solve.why, solve.info[3]) == (0, REACHED, 0)
    np.testing.assert_array_equal(solve.x, 0)


@pytest.mark.parametrize("check", [0, 1, 50])
def test_a_start_within_the_target_takes_no_step(xp: Any, check: int) -> None:
    problem = system(33)
    solve = Solve(xp, problem, 1.2, check=check, target=1.001 * problem.norm(np.zeros(33))).advance(10)
    assert (solve.nit, solve.why) == (0, REACHED)


@pytest.mark.parametrize("check", [0, 1, 50])
def test_an_exact_step_is_noticed(xp: Any, check: int) -> None:
    # A diagonal matrix, and numbers that are not rounded.
    problem = scaled(sp.csr_array(sp.diags_array(np.full(9, 4.0))), np.arange(9.0))
    solve = Solve(xp, problem, 1.0, check=check, target=0.0).advance(10)
    assert (solve.nit, solve.why, solve.info[3]) == (1, REACHED, 0)
    np.testing.assert_array_equal(solve.x, problem.b)


def test_a_matrix_that_is_not_positive_definite(xp: Any) -> None:
    problem = scaled(sp.csr_array(np.array([[1.0, 3.0], [3.0, 1.0]])), np.array([1.0, -1.0]))
    solve = Solve(xp, problem, 1.0, check=1, target=1e-9).advance(10)
    assert solve.why == NOT_POSITIVE
    assert np.isfinite(solve.x).all()
    assert solve.nit < 2


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("place", ["b", "matrix"])
def test_numbers_that_are_not_finite_end_the_solve(xp: Any, value: float, place: str) -> None:
    problem = system(33)
    (problem.b if place == "b" else problem.split.udata)[-1] = value
    solve = Solve(xp, problem, 1.2, check=0, target=1e-9).advance(50)
    assert solve.why == NOT_FINITE
    assert solve.nit == 0
    np.testing.assert_array_equal(solve.x, 0)


@pytest.mark.filterwarnings("ignore:(invalid value|overflow):RuntimeWarning")
def test_overflow_ends_the_solve(xp: Any) -> None:
    problem = system(33)
    problem.b[:] = 1e200
    assert Solve(xp, problem, 1.2, check=1, target=1e-9).advance(50).why == NOT_FINITE


def test_small_numbers_in_float32_are_solved(xp: Any) -> None:
    problem = system(33, "f4")
    problem.b[:] *= np.float32(1e-28)
    target = 1e-4 * problem.norm(np.zeros(33, "f4"))
    assert Solve(xp, problem, 1.2, check=1, target=target).advance(50).why == REACHED


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("check", [0, 1])
def test_parallel_forms_give_the_bits_of_the_serial_ones(scalar: str, check: int) -> None:
    problem = grid(206, scalar, coloured=True)
    assert np.diff(problem.classes).min() > _sweeps.PARALLEL_MIN_ROWS
    inputs = [*problem.split, problem.root, problem.classes, 1.8, check, 0.0, 17]
    results = []
    for form in (numba_eisenstat.eisenstat_pcg.serial, numba_eisenstat.eisenstat_pcg.parallel):
        x, r, p = np.zeros_like(problem.b), problem.b.copy(), np.zeros_like(problem.b)
        work, info = np.empty((2, x.size), scalar), np.zeros(8)
        form(*inputs, x, r, p, work, info)
        assert (info[4], info[5]) == (17, LIMIT)
        results.append((x, r, p, info))
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


def test_only_large_classes_run_in_parallel() -> None:
    def work(problem: Problem) -> float:
        x = np.zeros_like(problem.b)
        inputs = [*problem.split, problem.root, problem.classes, 1.0, 1, 0.0, 1]
        return float(numba_eisenstat.eisenstat_pcg._work(*inputs, x, x, x, np.stack([x, x]), np.zeros(8)))

    assert work(grid(206)) == 0
    assert work(grid(20, coloured=True)) == 0
    large = grid(206, coloured=True)
    assert work(large) == large.split.ldata.size + large.split.udata.size


@pytest.mark.gpu
@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("check", [0, 1])
def test_conjugate_gradients_over_many_blocks(scalar: str, check: int) -> None:
    import cupy

    from numopt.kernels import bind

    problem = grid(400, scalar, coloured=True)
    results = []
    for xp, slices in ((np, 1), (cupy, 1), (cupy, 3)):
        inputs = [xp.asarray(part) for part in (*problem.split, problem.root, problem.classes)]
        x, r = xp.zeros_like(inputs[0], shape=problem.b.size), xp.asarray(problem.b.copy())
        p, work, info = xp.empty_like(r), xp.empty((2, r.size), scalar), xp.zeros(8)
        for _ in range(slices):
            bind(xp).eisenstat_pcg(*inputs, 1.8, check, 0.0, 12 // slices, x, r, p, work, info)
        results.append([part if xp is np else part.get() for part in (x, info)])
    (x, info), (first, at_once), (second, in_slices) = results
    rtol = 1e-3 if real_of(scalar) == "f4" else 1e-10
    np.testing.assert_allclose(first, x, rtol=0, atol=rtol * np.abs(x).max())
    np.testing.assert_allclose(at_once[:4], info[:4], rtol=10 * rtol)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(at_once[[1, 2, 3, 6, 7]], in_slices[[1, 2, 3, 6, 7]])
