"""Stencils in every home, against the matrix they stand for and the sweeps over its rows in long doubles."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.kernels import bind
from numopt.kernels._numba import _sweeps
from numopt.kernels._numba import stencil as numba_stencil
from tests.kernels.cases import run, tolerance
from tests.kernels.linear import ORDERS, SCALARS, Rows, check_sweeps, draw, from_matrix, real_of
from tests.kernels.transport import unset

# Empty grids, single points and lines, lengths around four links of the chain and one vector, planes, boxes.
GRIDS = [
    (0, 3, 3),
    (1, 3, 0),
    (1, 1, 1),
    (1, 1, 2),
    (1, 5, 1),
    (4, 1, 1),
    (1, 1, 37),
    (1, 2, 13),
    (1, 6, 7),
    (2, 1, 9),
    (3, 4, 5),
    (2, 3, 33),
]


def coefficients(scalar: str, seed: int = 0) -> np.ndarray:
    """Draw seven coefficients, the first of which dominates."""
    values = draw(np.random.default_rng(seed), scalar, 7)
    values[0] = 1.5 * np.abs(values[1:]).sum() * (np.exp(0.5j) if np.dtype(scalar).kind == "c" else 1)
    return values


def matrix(c: np.ndarray, grid: tuple[int, int, int]) -> sp.csr_array:
    """Return the matrix of a stencil."""
    n = int(np.prod(grid))
    where = np.arange(n).reshape(grid)
    entries = [(where.ravel(), where.ravel(), np.full(n, c[0]))]
    for axis, first in ((2, 1), (1, 3), (0, 5)):
        low, high = (np.take(where, np.arange(*ends), axis=axis).ravel() for ends in _ends(grid[axis]))
        entries += [(high, low, np.full(low.size, c[first])), (low, high, np.full(low.size, c[first + 1]))]
    rows, columns, values = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    return sp.csr_array((values, (rows, columns)), shape=(n, n))


def _ends(size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the ranges of points that have a neighbour after them and of those that have one before."""
    return (0, max(size - 1, 0)), (min(1, size), size)


def as_rows(c: np.ndarray, grid: tuple[int, int, int], colours: int, b: np.ndarray) -> tuple[Rows, np.ndarray]:
    """Return the matrix with its rows in the order of the sweep, and that order."""
    parity = np.indices(grid).sum(axis=0).ravel() % 2 if colours == 2 else np.zeros(b.size, int)
    return from_matrix(matrix(c, grid), b, colours=parity), np.argsort(parity, kind="stable")


def sweep(
    xp: Any,
    c: np.ndarray,
    grid: tuple[int, int, int],
    colours: int,
    b: np.ndarray,
    order: int,
    x: np.ndarray,
    count: int,
    omega: float = 1.2,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    outputs = [x, np.full_like(x, np.nan), unset("f8", count)]
    x, delta, norms = run(xp, "stencil_sweeps", [c, *grid, colours, b, omega, order], outputs)
    return x, delta, norms


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("colours", [1, 2])
@pytest.mark.parametrize("order", ORDERS)
def test_sweeps_are_those_over_the_rows_of_the_matrix(
    xp: Any, grid: tuple[int, int, int], colours: int, order: int
) -> None:
    c, n = coefficients("f8"), int(np.prod(grid))
    b, start = (draw(np.random.default_rng(seed), "f8", n) for seed in (1, 2))
    x, _, norms = sweep(xp, c, grid, colours, b, order, start, 3)
    rows, place = as_rows(c, grid, colours, b)
    check_sweeps(rows, 1.2, order, start[place], x[place], norms)


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("grid", [(1, 6, 21), (3, 4, 5)])
@pytest.mark.parametrize("colours", [1, 2])
@pytest.mark.parametrize("order", ORDERS)
def test_sweeps_in_every_type(xp: Any, scalar: str, grid: tuple[int, int, int], colours: int, order: int) -> None:
    c, n = coefficients(scalar), int(np.prod(grid))
    b, start = (draw(np.random.default_rng(seed), scalar, n) for seed in (1, 2))
    x, _, norms = sweep(xp, c, grid, colours, b, order, start, 2)
    assert x.dtype == scalar
    rows, place = as_rows(c, grid, colours, b)
    check_sweeps(rows, 1.2, order, start[place], x[place], norms)


@pytest.mark.parametrize("colours", [1, 2])
@pytest.mark.parametrize("order", [1, -1])
def test_the_scratch_ends_as_the_changes_of_the_last_half_sweep(xp: Any, colours: int, order: int) -> None:
    c, grid = coefficients("f8"), (2, 3, 9)
    b, start = (draw(np.random.default_rng(seed), "f8", 54) for seed in (1, 2))
    x, delta, _ = sweep(xp, c, grid, colours, b, order, start, 1)
    np.testing.assert_allclose(delta, x - start, rtol=0, atol=tolerance("f8", 16 * np.abs(start).max()))


@pytest.mark.parametrize("colours", [1, 2])
@pytest.mark.parametrize("order", ORDERS)
def test_sweeps_in_one_call_are_those_of_several(xp: Any, colours: int, order: int) -> None:
    c, grid = np.array([4.0, -1, -1, -1, -1, 0, 0]), (1, 9, 11)
    b = draw(np.random.default_rng(1), "f8", 99)
    together, _, norms = sweep(xp, c, grid, colours, b, order, np.zeros(99), 5)
    x = np.zeros(99)
    for k in range(5):
        x, _, norm = sweep(xp, c, grid, colours, b, order, x, 1)
        assert norm[0] == norms[k]
    np.testing.assert_array_equal(x, together)


@pytest.mark.parametrize("colours", [1, 2])
def test_no_sweeps_change_nothing(xp: Any, colours: int) -> None:
    start = draw(np.random.default_rng(2), "f8", 60)
    np.testing.assert_array_equal(sweep(xp, coefficients("f8"), (3, 4, 5), colours, start, 1, start, 0)[0], start)


@pytest.mark.parametrize("colours", [1, 2])
@pytest.mark.parametrize("order", ORDERS)
def test_nan_stays_with_its_neighbours_and_shows_up_in_the_norm(xp: Any, colours: int, order: int) -> None:
    c, b = np.array([4.0, -1, -1, -1, -1, 0, 0]), np.zeros(63)
    start = np.zeros(63)
    start[[8, 9]] = np.nan, 1.0  # the end of a line and the start of the next, which are no neighbours
    x, _, norms = sweep(xp, c, (1, 7, 9), colours, b, order, start, 1)
    assert np.isnan(norms).all()
    assert np.isnan(x[8])
    if order == 1 and colours == 2:
        # The point has the first colour: it reaches those next to it, the start of the next line not among them.
        assert np.flatnonzero(np.isnan(x)).tolist() == [7, 8, 17]


def test_small_numbers_in_float32_have_a_norm(xp: Any) -> None:
    b = np.full(33, 1e-30, "f4")
    norms = sweep(xp, coefficients("f4"), (1, 3, 11), 1, b, 1, np.zeros(33, "f4"), 1)[2]
    np.testing.assert_allclose(norms, 33e-60, rtol=1e-6)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("scalar", SCALARS)
def test_product(xp: Any, grid: tuple[int, int, int], scalar: str) -> None:
    c, n = coefficients(scalar), int(np.prod(grid))
    x = draw(np.random.default_rng(2), scalar, n)
    (y,) = run(xp, "stencil_product", [c, *grid, x], [np.full(n, np.nan, scalar)])
    size = np.abs(c).sum() * np.abs(x).max(initial=0)
    np.testing.assert_allclose(y, matrix(c, grid) @ x, rtol=0, atol=tolerance(real_of(scalar), 16) * size)


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("order", ORDERS)
def test_parallel_forms_give_the_bits_of_the_serial_ones(scalar: str, order: int) -> None:
    grid = (2, 150, 151)
    c, n = coefficients(scalar), int(np.prod(grid))
    assert n > 2 * _sweeps.PARALLEL_MIN_ROWS
    b = draw(np.random.default_rng(1), scalar, n)
    results = []
    for form in (numba_stencil.stencil_sweeps.serial, numba_stencil.stencil_sweeps.parallel):
        x, delta, norms = np.zeros_like(b), np.full_like(b, np.nan), np.empty(2)
        form(c, *grid, 2, b, 1.2, order, x, delta, norms)
        results.append((x, delta, norms))
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)
    products = [np.empty_like(b), np.empty_like(b)]
    numba_stencil.stencil_product.serial(c, *grid, b, products[0])
    numba_stencil.stencil_product.parallel(c, *grid, b, products[1])
    np.testing.assert_array_equal(products[0], products[1])


def test_only_large_grids_in_two_colours_run_in_parallel() -> None:
    def work(side: int, colours: int, order: int) -> float:
        x = np.zeros(side * side)
        c = np.ones(7)
        return float(numba_stencil.stencil_sweeps._work(c, 1, side, side, colours, x, 1.0, order, x, x, np.empty(3)))

    assert work(300, 1, 1) == 0
    assert work(100, 2, 1) == 0
    assert work(300, 2, 1) == 3 * 12 * 300**2
    assert work(300, 2, 0) == 2 * work(300, 2, 1)


@pytest.mark.gpu
@pytest.mark.parametrize("grid", [(1, 300, 301), (40, 41, 42)])
@pytest.mark.parametrize("colours", [1, 2])
@pytest.mark.parametrize("order", ORDERS)
def test_sweeps_over_many_blocks(grid: tuple[int, int, int], colours: int, order: int) -> None:
    import cupy

    c, n = coefficients("f8"), int(np.prod(grid))
    b = draw(np.random.default_rng(1), "f8", n)
    x, norms = np.zeros(n), np.empty(5)
    bind(np).stencil_sweeps(c, *grid, colours, b, 1.2, order, x, np.empty(n), norms)
    results = []
    for _ in range(2):
        found, found_norms = cupy.zeros(n), cupy.empty(5)
        arrays = (cupy.asarray(c), cupy.asarray(b))
        bind(cupy).stencil_sweeps(arrays[0], *grid, colours, arrays[1], 1.2, order, found, cupy.empty(n), found_norms)
        results.append((found.get(), found_norms.get()))
    np.testing.assert_allclose(results[0][0], x, rtol=0, atol=tolerance("f8", 100) * np.abs(x).max())
    # Rounding of the residuals is relative to the largest numbers in them.
    np.testing.assert_allclose(results[0][1], norms, rtol=1e-12, atol=tolerance("f8", 100) ** 2 * n)
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)
