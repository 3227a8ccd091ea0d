"""The CUDA kernels for forests, run as C++ on the CPU, against long doubles: by level, and one row after the other."""

from typing import Any

import numpy as np
import pytest

from numopt.kernels._cuda import forest
from tests.emulator.emulator import Emulator, call
from tests.kernels.forests import Forests, couple, draw_forests, factored
from tests.kernels.test_forest import TYPES, preconditioner, rounding, solve_dense

SIZES = [0, 1, 2, 33, 300]


def trees_of(forests: Forests, by_level: bool) -> list[Any]:
    """Return the order as the kernels take it, without levels if rows are to be taken in turn."""
    return forests.trees if by_level else [forests.parents, np.empty(0, "i8"), np.empty((2, 0), "i4")]


@pytest.mark.parametrize("real", ["f8", "f4"])
@pytest.mark.parametrize("by_level", [True, False])
@pytest.mark.parametrize("n", SIZES)
def test_factors_are_those_of_the_definition(emulator: Emulator, n: int, by_level: bool, real: str) -> None:
    forests = draw_forests([n], real)
    links, inverse, info = np.full(n, 9, real), np.full(n, 9, real), np.full(1, -9)
    trees = trees_of(forests, by_level)
    call(emulator, forest.forest_factor, *trees, forests.diagonal, forests.entries, links, inverse, info)
    assert info[0] == -1
    expected_links, expected_inverse = factored(forests)
    np.testing.assert_allclose(inverse, expected_inverse, rtol=rounding(forests))
    np.testing.assert_allclose(links, expected_links, rtol=rounding(forests))


@pytest.mark.parametrize("by_level", [True, False])
@pytest.mark.parametrize("rows", [[0], [3], [299], [4, 290]])
def test_the_last_bad_pivot_is_named(emulator: Emulator, rows: list[int], by_level: bool) -> None:
    forests = draw_forests([300])
    forests.diagonal[rows] = -1
    links, inverse, info = np.empty(300), np.empty(300), np.full(1, -9)
    trees = trees_of(forests, by_level)
    call(emulator, forest.forest_factor, *trees, forests.diagonal, forests.entries, links, inverse, info)
    assert info[0] == rows[-1]


@pytest.mark.parametrize("real", ["f8", "f4"])
@pytest.mark.parametrize("by_level", [True, False])
@pytest.mark.parametrize("n", SIZES)
def test_solve_is_that_of_the_dense_matrix(emulator: Emulator, n: int, by_level: bool, real: str) -> None:
    forests = draw_forests([n], real, seed=3)
    rhs = np.random.default_rng(1).standard_normal(n).astype(real)
    x = rhs.copy()
    call(emulator, forest.forest_solve, *trees_of(forests, by_level), *factored(forests), x)
    expected = solve_dense(forests.matrix, rhs)
    scale = np.abs(expected).max(initial=0) * np.linalg.cond(forests.matrix.astype("f8")) if n else 1
    np.testing.assert_allclose(x, expected, rtol=0, atol=rounding(forests) * scale)


@pytest.mark.parametrize(("real", "index"), TYPES)
@pytest.mark.parametrize("by_level", [True, False])
@pytest.mark.parametrize(("omega", "symmetric"), [(1.0, 0), (1.0, 1), (1.4, 1)])
@pytest.mark.parametrize("sizes", [[1], [5, 0, 4], [150, 70, 33]])
def test_a_sweep_applies_the_inverse(
    emulator: Emulator, sizes: list[int], omega: float, symmetric: int, by_level: bool, real: str, index: str
) -> None:
    problem = couple(sizes, real, index)
    forests = problem.forests
    r = np.random.default_rng(2).standard_normal(sum(sizes)).astype(real)
    z, work = np.full_like(r, np.nan), np.full_like(r, np.nan)
    factors = (*trees_of(forests, by_level), *factored(forests))
    call(
        emulator, forest.forest_ssor, *problem.lower, *problem.upper, forests.blocks, *factors, omega, symmetric, r, z,
        work,
    )  # fmt: skip
    M = preconditioner(problem, omega, symmetric)
    scale = np.abs(z).max() * np.linalg.cond(M.astype("f8"))
    np.testing.assert_allclose(z, solve_dense(M, r), rtol=0, atol=4 * rounding(forests) * scale)


@pytest.mark.parametrize(("real", "index"), TYPES)
@pytest.mark.parametrize("by_level", [True, False])
@pytest.mark.parametrize("sizes", [[1, 0], [0, 3], [257, 65]])
def test_the_forest_is_eliminated_from_the_product(
    emulator: Emulator, sizes: list[int], by_level: bool, real: str, index: str
) -> None:
    problem, n1, n = couple(sizes, real, index), sizes[0], sum(sizes)
    A = problem.matrix
    indptr = problem.upper[2][: n1 + 1]
    head = [part[: indptr[-1]] for part in problem.upper[:2]] + [indptr]
    rest = A[n1:].astype(real)
    rows, columns = np.nonzero(rest)
    tail = [rest[rows, columns], columns.astype(index), np.searchsorted(rows, np.arange(n - n1 + 1)).astype(index)]
    first = draw_forests([n1], real)
    factors = [values[:n1] for values in factored(problem.forests)]
    v, y = np.random.default_rng(3).standard_normal(n).astype(real), np.full(n - n1, np.nan, real)
    given = v[n1:].copy()
    call(emulator, forest.forest_schur, *head, *tail, *trees_of(first, by_level), *factors, v, y)
    np.testing.assert_array_equal(v[n1:], given)
    expected = -solve_dense(A[:n1, :n1], A[:n1, n1:] @ given) if n1 else np.empty(0)
    condition = np.linalg.cond(A[:n1, :n1].astype("f8")) if n1 else 1
    bound = 8 * rounding(problem.forests) * condition * max(np.abs(expected).max(initial=0), np.abs(v).max(initial=0))
    np.testing.assert_allclose(v[:n1], expected, rtol=0, atol=bound)
    size = np.abs(A).sum(axis=1).max(initial=0).astype("f8")
    np.testing.assert_allclose(y, A[n1:] @ np.concatenate([expected, given]), rtol=0, atol=bound * size)
