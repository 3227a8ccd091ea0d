"""Colours and levels of rows in both homes that have them, against their definitions."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.kernels import bind
from tests.helpers.xp import load
from tests.kernels.cases import SIZES, run
from tests.kernels.transport import unset


# Patterns live on the host: there is no CUDA home.
@pytest.fixture(params=["numpy", "array_api_strict"])
def xp(request: pytest.FixtureRequest) -> Any:
    return load(request.param)


def draw(n: int, degree: float = 4.0, diagonal: bool = True, seed: int = 0) -> sp.csr_array:
    """Return a random symmetric pattern with sorted rows."""
    rng = np.random.default_rng(seed)
    half = rng.random((n, n)) < degree / max(2 * n, 1)
    return sp.csr_array(half | half.T | (np.eye(n, dtype=bool) if diagonal else False))


def grid(nx: int, ny: int) -> sp.csr_array:
    """Return the pattern of the five-point stencil."""
    lines = [sp.diags_array([np.ones(n - 1)] * 2, offsets=[-1, 1], shape=(n, n)) for n in (nx, ny)]
    return sp.csr_array(
        sp.kron(sp.eye_array(ny), lines[0]) + sp.kron(lines[1], sp.eye_array(nx)) + sp.eye_array(nx * ny)
    )


def colours_of(xp: Any, pattern: sp.csr_array, index: str = "i4") -> np.ndarray:
    n = pattern.shape[0]
    outputs = [unset("i4", n), unset("i4", n + 1)]
    return run(xp, "greedy_colours", [pattern.indices.astype(index), pattern.indptr.astype(index)], outputs)[0]


def levels_of(xp: Any, pattern: sp.csr_array, index: str = "i4") -> np.ndarray:
    n = pattern.shape[0]
    return run(xp, "row_levels", [pattern.indices.astype(index), pattern.indptr.astype(index)], [unset("i4", n)])[0]


def neighbours(pattern: sp.csr_array, i: int) -> np.ndarray:
    row = pattern.indices[pattern.indptr[i] : pattern.indptr[i + 1]]
    return row[row != i]


@pytest.mark.parametrize("index", ["i4", "i8"])
@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("n", SIZES)
def test_a_colour_is_the_smallest_one_left(xp: Any, n: int, diagonal: bool, index: str) -> None:
    pattern = draw(n, diagonal=diagonal)
    colours = colours_of(xp, pattern, index)
    for i in range(n):
        around = neighbours(pattern, i)
        assert colours[i] not in colours[around]
        assert set(range(colours[i])) <= set(colours[around[around < i]].tolist())


@pytest.mark.parametrize("index", ["i4", "i8"])
@pytest.mark.parametrize("n", SIZES)
def test_a_level_is_one_above_those_it_waits_for(xp: Any, n: int, index: str) -> None:
    pattern = draw(n)
    levels = levels_of(xp, pattern, index)
    for i in range(n):
        before = neighbours(pattern, i)
        before = before[before < i]
        assert levels[i] == (levels[before].max() + 1 if before.size else 0)


@pytest.mark.parametrize(("nx", "ny"), [(1, 9), (5, 4), (6, 6)])
def test_a_grid_has_the_colours_of_a_chessboard_and_the_levels_of_its_diagonals(xp: Any, nx: int, ny: int) -> None:
    pattern = grid(nx, ny)
    y, x = np.divmod(np.arange(nx * ny), nx)
    np.testing.assert_array_equal(colours_of(xp, pattern), (x + y) % 2)
    np.testing.assert_array_equal(levels_of(xp, pattern), x + y)


def test_a_full_matrix_has_as_many_colours_and_levels_as_rows(xp: Any) -> None:
    pattern = sp.csr_array(np.ones((33, 33)))
    np.testing.assert_array_equal(colours_of(xp, pattern), np.arange(33))
    np.testing.assert_array_equal(levels_of(xp, pattern), np.arange(33))


def test_a_diagonal_matrix_has_one_colour_and_one_level(xp: Any) -> None:
    pattern = sp.csr_array(sp.eye_array(40))
    assert not colours_of(xp, pattern).any()
    assert not levels_of(xp, pattern).any()


def test_the_order_of_the_entries_of_a_row_does_not_matter(xp: Any) -> None:
    pattern = draw(65)
    expected = colours_of(xp, pattern), levels_of(xp, pattern)
    for i in range(65):
        row = slice(pattern.indptr[i], pattern.indptr[i + 1])
        pattern.indices[row] = pattern.indices[row][::-1].copy()
    np.testing.assert_array_equal(colours_of(xp, pattern), expected[0])
    np.testing.assert_array_equal(levels_of(xp, pattern), expected[1])


def test_colours_do_not_exceed_the_largest_degree(xp: Any) -> None:
    pattern = draw(257, degree=12, diagonal=False)
    assert colours_of(xp, pattern).max() <= np.diff(pattern.indptr).max()


def test_host_kernels_are_there_for_numpy_whatever_the_solver_runs_on() -> None:
    pattern = grid(300, 300)
    colours, used = np.empty(90_000, "i4"), np.empty(90_001, "i4")
    bind(np).greedy_colours(pattern.indices, pattern.indptr, colours, used)
    assert colours.max() == 1
