"""Elimination of forests in every home, against dense matrices in long doubles."""

from typing import Any

import numpy as np
import pytest

from tests.kernels.cases import SIZES, run, tolerance
from tests.kernels.forests import Forests, couple, draw_forests, factored
from tests.kernels.transport import unset

TYPES = [("f8", "i4"), ("f4", "i8")]


def factor(xp: Any, forests: Forests) -> list[np.ndarray]:
    real = forests.diagonal.dtype.str[1:]
    n = forests.parents.size
    outputs = [unset(real, n), unset(real, n), np.full(1, -9)]
    return run(xp, "forest_factor", [*forests.trees, forests.diagonal, forests.entries], outputs)


def rounding(forests: Forests) -> float:
    """Return a bound for sums along the longest chain: no growth, since the matrix is diagonally dominant."""
    return tolerance(forests.diagonal.dtype.str[1:], 16 + 4 * forests.levels.size + forests.parents.size)


def solve_dense(matrix: np.ndarray, rhs: np.ndarray) -> np.ndarray:
    """Solve in double precision with a step of refinement in long doubles."""
    A = matrix.astype("f8")
    x = np.linalg.solve(A, rhs.astype("f8")) if rhs.size else rhs.astype("f8")
    return x + (np.linalg.solve(A, (rhs - matrix @ x).astype("f8")) if rhs.size else 0)


@pytest.mark.parametrize("real", ["f8", "f4"])
@pytest.mark.parametrize("n", SIZES)
def test_factors_are_those_of_the_definition(xp: Any, n: int, real: str) -> None:
    forests = draw_forests([n], real)
    links, inverse, info = factor(xp, forests)
    expected_links, expected_inverse = factored(forests)
    assert info[0] == -1
    np.testing.assert_allclose(inverse, expected_inverse, rtol=rounding(forests))
    np.testing.assert_allclose(links, expected_links, rtol=rounding(forests))


@pytest.mark.parametrize("real", ["f8", "f4"])
@pytest.mark.parametrize("n", SIZES)
def test_solve_is_that_of_the_dense_matrix(xp: Any, n: int, real: str) -> None:
    forests = draw_forests([n], real, seed=3)
    rhs = np.random.default_rng(1).standard_normal(n).astype(real)
    (x,) = run(xp, "forest_solve", [*forests.trees, *factored(forests)], [rhs])
    expected = solve_dense(forests.matrix, rhs)
    scale = np.abs(expected).max(initial=0) * np.linalg.cond(forests.matrix.astype("f8")) if n else 1
    np.testing.assert_allclose(x, expected, rtol=0, atol=rounding(forests) * scale)


@pytest.mark.parametrize("row", [0, 3, 64])
@pytest.mark.parametrize("value", [-1.0, 0.0, np.nan])
def test_a_pivot_that_is_not_positive_is_named(xp: Any, row: int, value: float) -> None:
    forests = draw_forests([65])
    forests.diagonal[row] = value
    _, inverse, info = factor(xp, forests)
    assert info[0] == row
    assert np.isnan(inverse[row])


def test_the_last_bad_row_is_named(xp: Any) -> None:
    forests = draw_forests([33])
    forests.diagonal[[4, 30]] = -1
    assert factor(xp, forests)[2][0] == 30


def test_a_singular_matrix_is_seen_through_rounding(xp: Any) -> None:
    # A path with weights 0.1, whose Laplacian has the pivots 0.1 and, for exact numbers, 0 at the root.
    n = 50
    levels, children = np.arange(n + 1), np.zeros((2, n), "i4")
    children[0, :-1], children[1, :-1] = np.arange(1, n), np.arange(2, n + 1)
    entries = np.full(n, -0.1)
    entries[0] = 0
    diagonal = np.full(n, 0.2)
    diagonal[[0, -1]] = 0.1
    parents = np.maximum(np.arange(n) - 1, 0).astype("i4")
    forests = Forests(np.asarray([0, n]), parents, levels, children, diagonal, entries)
    assert factor(xp, forests)[2][0] == 0


def ssor(xp: Any, problem: Any, omega: float, symmetric: int, r: np.ndarray) -> np.ndarray:
    forests = problem.forests
    inputs = [*problem.lower, *problem.upper, forests.blocks, *forests.trees, *factored(forests), omega, symmetric, r]
    return run(xp, "forest_ssor", inputs, [np.full_like(r, np.nan), np.full_like(r, np.nan)])[0]


def preconditioner(problem: Any, omega: float, symmetric: int) -> np.ndarray:
    """Return what the sweep is the inverse of."""
    A = problem.matrix
    block = np.repeat(np.arange(problem.forests.blocks.size - 1), np.diff(problem.forests.blocks))
    D = np.where(block[:, None] == block, A, 0)
    forward = D / omega + np.where(block[:, None] > block, A, 0)
    if not symmetric:
        return forward
    right = np.linalg.solve(((2 / omega - 1) * D).astype("f8"), forward.T.astype("f8"))
    return forward @ right


@pytest.mark.parametrize(("real", "index"), TYPES)
@pytest.mark.parametrize("omega", [1.0, 1.4])
@pytest.mark.parametrize("symmetric", [0, 1])
@pytest.mark.parametrize("sizes", [[1], [5, 0, 4], [40, 33], [20, 30, 10, 5]])
def test_a_sweep_applies_the_inverse(
    xp: Any, sizes: list[int], symmetric: int, omega: float, real: str, index: str
) -> None:
    problem = couple(sizes, real, index)
    r = np.random.default_rng(2).standard_normal(sum(sizes)).astype(real)
    z = ssor(xp, problem, omega, symmetric, r)
    M = preconditioner(problem, omega, symmetric)
    scale = np.abs(z).max() * np.linalg.cond(M.astype("f8"))
    np.testing.assert_allclose(z, solve_dense(M, r), rtol=0, atol=4 * rounding(problem.forests) * scale)


@pytest.mark.parametrize("sizes", [[], [0]])
def test_a_sweep_over_nothing(xp: Any, sizes: list[int]) -> None:
    assert ssor(xp, couple(sizes), 1.0, 1, np.empty(0)).size == 0


@pytest.mark.parametrize(("real", "index"), TYPES)
@pytest.mark.parametrize("sizes", [[1, 0], [0, 3], [33, 20], [257, 65]])
def test_the_forest_is_eliminated_from_the_product(xp: Any, sizes: list[int], real: str, index: str) -> None:
    problem = couple(sizes, real, index)
    forests, n1 = problem.forests, sizes[0]
    n = sum(sizes)
    A = problem.matrix
    head = [part[: n1 + 1] if number == 2 else part for number, part in enumerate(problem.upper)]
    keep = int(head[2][-1])
    head = [head[0][:keep], head[1][:keep], head[2]]
    rest = A[n1:].astype(real)
    rows, columns = np.nonzero(rest)
    tail = [rest[rows, columns], columns.astype(index), np.searchsorted(rows, np.arange(n - n1 + 1)).astype(index)]
    links, inverse = factored(forests)
    first = draw_forests([n1], real)
    assert np.array_equal(first.parents, forests.parents[:n1])
    v = np.random.default_rng(3).standard_normal(n).astype(real)
    given = v[n1:].copy()
    outputs = [v, unset(real, n - n1)]
    v, y = run(xp, "forest_schur", [*head, *tail, *first.trees, links[:n1], inverse[:n1]], outputs)
    np.testing.assert_array_equal(v[n1:], given)
    expected = -solve_dense(A[:n1, :n1], A[:n1, n1:] @ given) if n1 else np.empty(0)
    condition = np.linalg.cond(A[:n1, :n1].astype("f8")) if n1 else 1
    bound = 8 * rounding(forests) * condition * max(np.abs(expected).max(initial=0), np.abs(given).max(initial=0))
    np.testing.assert_allclose(v[:n1], expected, rtol=0, atol=bound)
    size = np.abs(A).sum(axis=1).max(initial=0).astype("f8")
    np.testing.assert_allclose(y, A[n1:] @ np.concatenate([expected, given]), rtol=0, atol=bound * size)


def test_nan_shows_up(xp: Any) -> None:
    problem = couple([33, 20])
    r = np.ones(53)
    r[7] = np.nan
    assert np.isnan(ssor(xp, problem, 1.0, 1, r)).any()
