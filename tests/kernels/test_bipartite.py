"""The Schur complement of the transport Newton system, in every home against dense linear algebra."""

from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.kernels._numba import bipartite as numba_bipartite
from tests.kernels.cases import run, tolerance
from tests.kernels.transport import unset

SHAPES = [(1, 1), (1, 7), (9, 1), (33, 65), (70, 41)]


class System(NamedTuple):
    """The first arguments of the kernels: P by rows and by columns, and the diagonals."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    tdata: np.ndarray
    tindices: np.ndarray
    tindptr: np.ndarray
    r: np.ndarray
    c: np.ndarray

    def dense(self) -> np.ndarray:
        """Return P in long doubles."""
        P = sp.csr_array((self.data, self.indices, self.indptr), (self.r.size, self.c.size))
        return P.toarray().astype(np.longdouble)

    def schur(self) -> np.ndarray:
        """Return S in doubles."""
        P = self.dense()
        inverse = np.where(self.c == 0, 0, 1 / np.where(self.c == 0, 1, self.c.astype(np.longdouble)))
        return (np.diag(self.r) - (P * inverse) @ P.T).astype("f8")


def system(n: int, m: int, real: str = "f8", density: float = 0.3, dropped: float = 0.05) -> System:
    """Draw a sparse plan with an empty row and an empty column; a fraction of the sums lies outside of it."""
    rng = np.random.default_rng(0)
    P = rng.random((n, m)) * (rng.random((n, m)) < max(density, 2 / m))
    if min(n, m) > 5:
        P[2] = P[:, [3]] = 0
    P = P.astype(real)
    by_rows, by_columns = sp.csr_array(P), sp.csr_array(P.T)
    parts = [
        (A.data, A.indices.astype("i4"), A.indptr.astype("i8")) for A in (by_rows, by_columns)
    ]  # fmt: skip
    r, c = P.sum(axis=1) * (1 + dropped), P.sum(axis=0)
    r[r == 0] = 1
    return System(*parts[0], *parts[1], r.astype(real), c.astype(real))


def diagonal(problem: System) -> np.ndarray:
    """Return the diagonal of S."""
    return np.diagonal(problem.schur()).astype(problem.r.dtype)


def solve(
    xp: Any, problem: System, rhs: np.ndarray, scale: np.ndarray, rtol: float = 1e-10, maxiter: int = 400
) -> tuple[np.ndarray, np.ndarray]:
    n, m, real = problem.r.size, problem.c.size, problem.r.dtype
    outputs = [unset(real, n), unset(real, 3, n), unset(real, m), unset("f8", 3)]
    x, _, _, info = run(xp, "schur_pcg", [*problem, rhs, scale, rtol, maxiter], outputs)
    assert x.dtype == real
    return x, info


def draw(problem: System) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(problem.r.size).astype(problem.r.dtype)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("real", ["f8", "f4"])
def test_product_matches_a_dense_one(xp: Any, shape: tuple[int, int], real: str) -> None:
    problem = system(*shape, real)
    x, P = draw(problem), problem.dense()
    z, y = run(xp, "schur_product", [*problem, x], [unset(real, shape[1]), unset(real, shape[0])])
    c = np.where(problem.c == 0, 1, problem.c)
    rtol = tolerance(real, sum(shape) + 8)
    expected = np.where(problem.c == 0, 0, (P.T @ x) / c)
    np.testing.assert_allclose(z, expected.astype(real), rtol=0, atol=rtol * np.max((P.T @ abs(x)) / c))
    atol = rtol * np.max(problem.r * abs(x) + P @ ((P.T @ abs(x)) / c))
    np.testing.assert_allclose(y, (problem.r * x - P @ expected).astype(real), rtol=0, atol=atol)


def test_product_of_an_empty_plan_is_a_scaling(xp: Any) -> None:
    empty, none = np.empty(0), np.empty(0, "i4")
    problem = System(empty, none, np.zeros(4, "i8"), empty, none, np.zeros(6, "i8"), np.arange(3.0), np.zeros(5))
    z, y = run(xp, "schur_product", [*problem, np.full(3, 2.0)], [unset("f8", 5), unset("f8", 3)])
    np.testing.assert_array_equal(z, np.zeros(5))
    np.testing.assert_array_equal(y, [0, 2, 4])


@pytest.mark.parametrize("shape", SHAPES)
def test_conjugate_gradients_match_a_direct_solve(xp: Any, shape: tuple[int, int]) -> None:
    problem = system(*shape)
    rhs, S = draw(problem), problem.schur()
    x, info = solve(xp, problem, rhs, diagonal(problem))
    np.testing.assert_allclose(x, np.linalg.solve(S, rhs), rtol=0, atol=1e-9 * np.linalg.cond(S) * np.max(abs(x)))
    assert 1 <= info[0] <= 400
    assert np.linalg.norm(rhs - S @ x) <= 2e-10 * np.linalg.norm(rhs)
    assert info[1] <= 1e-10
    assert info[2] == 0


def test_conjugate_gradients_in_float32(xp: Any) -> None:
    problem = system(33, 65, "f4")
    rhs = draw(problem)
    x, info = solve(xp, problem, rhs, diagonal(problem), rtol=1e-4)
    assert info[1] <= 1e-4
    assert np.linalg.norm(rhs - problem.schur() @ x) <= 3e-4 * np.linalg.norm(rhs)


def test_the_iterations_are_those_of_the_textbook(xp: Any) -> None:
    problem = system(33, 65)
    rhs, S, scale = draw(problem), problem.schur(), diagonal(problem)
    x, residual, direction = np.zeros(33), rhs.copy(), rhs / scale
    rho = residual @ direction
    for k in range(1, 6):
        step = rho / (direction @ S @ direction)
        x, residual = x + step * direction, residual - step * (S @ direction)
        rho, previous = residual @ (residual / scale), rho
        direction = residual / scale + rho / previous * direction
        result, info = solve(xp, problem, rhs, scale, rtol=0.0, maxiter=k)
        np.testing.assert_allclose(result, x, rtol=0, atol=1e-11 * np.max(abs(x)))
        np.testing.assert_allclose(info, [k, np.linalg.norm(residual) / np.linalg.norm(rhs), 0], rtol=1e-9)


@pytest.mark.parametrize(("rtol", "maxiter"), [(1.0, 400), (1e-10, 0)])
def test_nothing_to_do_leaves_zero(xp: Any, rtol: float, maxiter: int) -> None:
    problem = system(9, 12)
    x, info = solve(xp, problem, draw(problem), diagonal(problem), rtol, maxiter)
    np.testing.assert_array_equal(x, np.zeros(9))
    np.testing.assert_array_equal(info, [0, 1, 0])


def test_a_right_hand_side_of_zero_is_solved_by_zero(xp: Any) -> None:
    problem = system(9, 12)
    x, info = solve(xp, problem, np.zeros(9), diagonal(problem))
    np.testing.assert_array_equal(x, np.zeros(9))
    np.testing.assert_array_equal(info, np.zeros(3))


def test_negative_curvature_at_once_gives_the_preconditioned_right_hand_side(xp: Any) -> None:
    problem = system(9, 12)
    problem = problem._replace(r=-problem.r)
    rhs = draw(problem)
    x, info = solve(xp, problem, rhs, np.full(9, 2.0))
    np.testing.assert_array_equal(x, rhs / 2)
    np.testing.assert_array_equal(info, [0, 1, 1])


def test_negative_curvature_later_keeps_what_was_found(xp: Any) -> None:
    # S = diag(1, ..., 1, -1) and a right-hand side that meets the last direction in the second step only.
    empty, none = np.empty(0), np.empty(0, "i4")
    r = np.array([1.0, 2.0, 3.0, -0.1])
    problem = System(empty, none, np.zeros(5, "i8"), empty, none, np.zeros(2, "i8"), r, np.ones(1))
    x, info = solve(xp, problem, np.ones(4), np.ones(4))
    assert info[0] >= 1
    assert info[2] == 1
    assert np.isfinite(x).all()


def test_nan_ends_the_loop_and_is_reported(xp: Any) -> None:
    problem = system(9, 12)
    problem.data[0] = np.nan
    _, info = solve(xp, problem, draw(problem), np.ones(9))
    assert info[0] <= 1
    assert info[2] == 1


@pytest.mark.parametrize("real", ["f8", "f4"])
def test_parallel_forms_give_the_bits_of_the_serial_ones(real: str) -> None:
    problem = system(300, 257, real)
    rhs, scale = draw(problem), diagonal(problem)
    calls = {
        "schur_product": ([*problem, rhs], [unset(real, 257), unset(real, 300)]),
        "schur_pcg": (
            [*problem, rhs, scale, 1e-6, 50],
            [unset(real, 300), unset(real, 3, 300), unset(real, 257), unset("f8", 3)],
        ),
    }
    for name, (inputs, outputs) in calls.items():
        kernel = getattr(numba_bipartite, name)
        serial, parallel = ([output.copy() for output in outputs] for _ in range(2))
        kernel.serial(*inputs, *serial)
        kernel.parallel(*inputs, *parallel)
        for first, second in zip(serial, parallel, strict=True):
            np.testing.assert_array_equal(first, second, err_msg=name)
