"""Symmetric sweeps that read each triangle once, and the preconditioner, in every home."""

from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.kernels._numba import _sweeps
from numopt.kernels._numba import ssor as numba_ssor
from tests.kernels.cases import SIZES, run, tolerance
from tests.kernels.linear import SCALARS, Rows, check_sweeps, draw, poisson, real_of, system
from tests.kernels.transport import unset


class Triangles(NamedTuple):
    """The strict triangles of a matrix as the kernels take them."""

    ldata: np.ndarray
    lindices: np.ndarray
    lindptr: np.ndarray
    udata: np.ndarray
    uindices: np.ndarray
    uindptr: np.ndarray


def triangles(A: sp.csr_array, index: Any) -> Triangles:
    parts = []
    for part in (sp.tril(A, -1, "csr"), sp.triu(A, 1, "csr")):
        part.sort_indices()
        parts += [part.data, part.indices.astype(index), part.indptr.astype(index)]
    return Triangles(*parts)


def sweep_inputs(problem: Rows, omega: float) -> list[Any]:
    split = triangles(problem.matrix, problem.indptr.dtype)
    return [*split, problem.inverse, problem.classes, problem.b, omega]


def upper_product(problem: Rows, x: np.ndarray) -> np.ndarray:
    return np.asarray(sp.triu(problem.matrix, 1, "csr") @ x).reshape(x.shape).astype(x.dtype)


def sweep(xp: Any, problem: Rows, omega: float, x: np.ndarray, count: int) -> list[np.ndarray]:
    n, scalar = x.size, x.dtype.str
    outputs = [x, upper_product(problem, x), np.full(2 * n, np.nan, scalar), unset("f8", count)]
    return run(xp, "ssor_sweeps", sweep_inputs(problem, omega), outputs)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("coloured", [False, True])
def test_sweeps_follow_the_definition(xp: Any, n: int, coloured: bool) -> None:
    problem = system(n, coloured=coloured)
    start = draw(np.random.default_rng(5), "f8", n)
    x, upper, _, norms = sweep(xp, problem, 1.2, start, 3)
    check_sweeps(problem, 1.2, 0, start, x, norms)
    expected = upper_product(problem, x)
    scale = abs(problem.matrix).sum(axis=1).max(initial=1) * np.abs(x).max(initial=1)
    np.testing.assert_allclose(upper, expected, rtol=0, atol=tolerance("f8", (4 + n) * scale))


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("index", ["i4", "i8"])
@pytest.mark.parametrize("coloured", [False, True])
def test_sweeps_in_every_type(xp: Any, scalar: str, index: str, coloured: bool) -> None:
    problem = system(33, scalar, index, coloured)
    start = draw(np.random.default_rng(5), scalar, 33)
    x, _, _, norms = sweep(xp, problem, 0.9, start, 2)
    assert x.dtype == scalar
    check_sweeps(problem, 0.9, 0, start, x, norms)


@pytest.mark.parametrize("coloured", [False, True])
def test_sweeps_in_one_call_are_those_of_several(xp: Any, coloured: bool) -> None:
    problem = poisson(9, coloured=coloured)
    together, _, _, norms = sweep(xp, problem, 1.5, np.zeros(81), 5)
    x, upper = np.zeros(81), np.zeros(81)
    for k in range(5):
        outputs = [x, upper, np.full(162, np.nan), unset("f8", 1)]
        x, upper, _, norm = run(xp, "ssor_sweeps", sweep_inputs(problem, 1.5), outputs)
        assert norm[0] == norms[k]
    np.testing.assert_array_equal(x, together)


def test_no_sweeps_change_nothing(xp: Any) -> None:
    problem = system(20)
    start = draw(np.random.default_rng(5), "f8", 20)
    np.testing.assert_array_equal(sweep(xp, problem, 1.2, start, 0)[0], start)


@pytest.mark.parametrize("coloured", [False, True])
def test_nan_shows_up_in_the_norm(xp: Any, coloured: bool) -> None:
    problem = system(33, coloured=coloured)
    problem.b[7] = np.nan
    norms = sweep(xp, problem, 1.0, np.zeros(33), 2)[3]
    assert np.isnan(norms).all()


def unit_diagonal(problem: Rows) -> tuple[Triangles, np.ndarray]:
    """Return the triangles of S A S with diagonal one, and S."""
    A = problem.matrix
    scale = 1 / np.sqrt(np.abs(A.diagonal()))
    S = sp.diags_array(scale)
    scaled = sp.csr_array(S @ A @ S).astype(A.dtype)
    return triangles(scaled, problem.indptr.dtype), scale.astype(real_of(A.dtype))


def solve_inputs(problem: Rows, omega: float) -> list[Any]:
    split, scale = unit_diagonal(problem)
    return [*split, scale, problem.classes, omega]


def check_solve(problem: Rows, omega: float, r: np.ndarray, z: np.ndarray) -> None:
    """Put z into the preconditioner M = (D + omega L) D^-1 (D + omega U) / (omega (2 - omega)), D = S^-2."""
    split, scale = unit_diagonal(problem)
    n, real = r.size, real_of(r.dtype)
    S = sp.diags_array(1 / scale.astype("f8"))
    lower, upper = (sp.csr_array((*part,), shape=(n, n)) for part in (split[:3], split[3:]))
    unit = sp.eye_array(n) / omega
    found = S @ ((unit + lower) @ ((unit + upper) @ (S @ (omega / (2 - omega) * z))))
    size = abs(S) @ ((unit + abs(lower)) @ ((unit + abs(upper)) @ (abs(S) @ np.abs(omega / (2 - omega) * z))))
    longest = max(np.diff(split.lindptr).max(initial=0), np.diff(split.uindptr).max(initial=0))
    np.testing.assert_array_less(np.abs(found - r), tolerance(real, 8 + 4 * longest) * size + 1e-300)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("coloured", [False, True])
def test_solve_inverts_the_preconditioner(xp: Any, n: int, coloured: bool) -> None:
    problem = system(n, coloured=coloured)
    (z,) = run(xp, "ssor_solve", [*solve_inputs(problem, 1.3), problem.b], [unset("f8", n)])
    check_solve(problem, 1.3, problem.b, z)


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("index", ["i4", "i8"])
@pytest.mark.parametrize("coloured", [False, True])
def test_solve_in_every_type(xp: Any, scalar: str, index: str, coloured: bool) -> None:
    problem = system(33, scalar, index, coloured)
    (z,) = run(xp, "ssor_solve", [*solve_inputs(problem, 0.7), problem.b], [np.full(33, np.nan, scalar)])
    assert z.dtype == scalar
    check_solve(problem, 0.7, problem.b, z)


@pytest.mark.parametrize("coloured", [False, True])
def test_solve_in_place(xp: Any, coloured: bool) -> None:
    from numopt.kernels import bind
    from tests.helpers.xp import make, to_numpy

    problem = poisson(7, coloured=coloured)
    inputs = [make(xp, value) if isinstance(value, np.ndarray) else value for value in solve_inputs(problem, 1.5)]
    apart, inside = make(xp, np.full(49, np.nan)), make(xp, problem.b)
    bind(xp).ssor_solve(*inputs, make(xp, problem.b), apart)
    bind(xp).ssor_solve(*inputs, inside, inside)
    np.testing.assert_array_equal(to_numpy(inside), to_numpy(apart))


@pytest.mark.parametrize("scalar", SCALARS)
def test_parallel_forms_give_the_bits_of_the_serial_ones(scalar: str) -> None:
    problem = poisson(206, scalar, coloured=True)
    assert np.diff(problem.classes).min() > _sweeps.PARALLEL_MIN_ROWS
    inputs = sweep_inputs(problem, 1.7)
    results = []
    for form in (numba_ssor.ssor_sweeps.serial, numba_ssor.ssor_sweeps.parallel):
        outputs = [
            np.zeros_like(problem.b),
            np.zeros_like(problem.b),
            np.zeros(2 * problem.b.size, scalar),
            np.empty(3),
        ]
        form(*inputs, *outputs)
        results.append(outputs)
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)

    solved = []
    for form in (numba_ssor.ssor_solve.serial, numba_ssor.ssor_solve.parallel):
        solved.append(np.full_like(problem.b, np.nan))
        form(*solve_inputs(problem, 1.7), problem.b, solved[-1])
    np.testing.assert_array_equal(*solved)


def test_only_large_classes_run_in_parallel() -> None:
    def works(problem: Rows) -> list[float]:
        x = np.zeros_like(problem.b)
        sweeping = numba_ssor.ssor_sweeps._work(*sweep_inputs(problem, 1.0), x, x, x, np.empty(3))
        return [sweeping, numba_ssor.ssor_solve._work(*solve_inputs(problem, 1.0), x, x)]

    assert works(poisson(206)) == [0, 0]
    assert works(poisson(20, coloured=True)) == [0, 0]
    large = poisson(206, coloured=True)
    entries = large.data.size
    assert works(large) == [3 * entries, entries - large.b.size]


@pytest.mark.gpu
@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("coloured", [True, False])
def test_sweeps_and_solves_over_many_blocks(scalar: str, coloured: bool) -> None:
    import cupy

    from numopt.kernels import bind

    # Without classes the rows go one by one, in one block.
    problem = poisson(700 if coloured else 40, scalar, coloured=coloured)
    results = []
    for xp in (np, cupy, cupy):
        sweeping, solving = (
            [xp.asarray(part) if isinstance(part, np.ndarray) else part for part in inputs]
            for inputs in (sweep_inputs(problem, 1.4), solve_inputs(problem, 1.4))
        )
        b = xp.asarray(problem.b)
        x, upper, delta, norms, z = (
            xp.zeros_like(b),
            xp.zeros_like(b),
            xp.empty((2, b.size), scalar),
            xp.empty(3),
            0 * b,
        )
        bind(xp).ssor_sweeps(*sweeping, x, upper, delta.reshape(-1), norms)
        bind(xp).ssor_solve(*solving, b, z)
        results.append([part if xp is np else part.get() for part in (x, upper, norms, z)])
    rtol = tolerance(real_of(scalar), 400)
    for expected, first, second in zip(*results, strict=True):
        np.testing.assert_allclose(first, expected, rtol=rtol, atol=rtol * np.abs(expected).max())
        np.testing.assert_array_equal(first, second)
