"""Sweeps of successive over-relaxation in every home, against their definition in long doubles."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.kernels._numba import _sweeps
from numopt.kernels._numba import sor as numba_sor
from tests.kernels.cases import SIZES, run, tolerance
from tests.kernels.linear import (
    ORDERS,
    SCALARS,
    Rows,
    check_sweeps,
    draw,
    from_matrix,
    greedy_classes,
    poisson,
    real_of,
    system,
)
from tests.kernels.transport import unset


def scratch(scalar: str, n: int) -> np.ndarray:
    return np.full(n, np.nan, scalar)


def sweep(
    xp: Any, problem: Rows, omega: float, order: int, x: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    outputs = [x, scratch(x.dtype.str, x.size), unset("f8", count)]
    x, delta, norms = run(xp, "sor_sweeps", [*problem, omega, order], outputs)
    return x, delta, norms


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("coloured", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_sweeps_follow_the_definition(xp: Any, n: int, coloured: bool, order: int) -> None:
    problem = system(n, coloured=coloured)
    start = draw(np.random.default_rng(5), "f8", n)
    x, _, norms = sweep(xp, problem, 1.2, order, start, 3)
    check_sweeps(problem, 1.2, order, start, x, norms)


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("index", ["i4", "i8"])
@pytest.mark.parametrize("coloured", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_sweeps_in_every_type(xp: Any, scalar: str, index: str, coloured: bool, order: int) -> None:
    problem = system(33, scalar, index, coloured)
    start = draw(np.random.default_rng(5), scalar, 33)
    x, _, norms = sweep(xp, problem, 0.9, order, start, 2)
    assert x.dtype == scalar
    check_sweeps(problem, 0.9, order, start, x, norms)


@pytest.mark.parametrize("order", ORDERS)
def test_the_scratch_ends_as_the_changes_of_the_last_half_sweep(xp: Any, order: int) -> None:
    problem = system(20)
    start = draw(np.random.default_rng(5), "f8", 20)
    x, delta, _ = sweep(xp, problem, 1.2, order, start, 1)
    before = sweep(xp, problem, 1.2, 1, start, 1)[0] if order == 0 else start
    np.testing.assert_allclose(delta, x - before, rtol=0, atol=tolerance("f8", 16 * np.abs(start).max()))


@pytest.mark.parametrize("coloured", [False, True])
def test_no_sweeps_change_nothing(xp: Any, coloured: bool) -> None:
    problem = system(20, coloured=coloured)
    start = draw(np.random.default_rng(5), "f8", 20)
    np.testing.assert_array_equal(sweep(xp, problem, 1.2, 1, start, 0)[0], start)


@pytest.mark.parametrize("coloured", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_sweeps_in_one_call_are_those_of_several(xp: Any, coloured: bool, order: int) -> None:
    problem = poisson(9, coloured=coloured)
    together, _, norms = sweep(xp, problem, 1.5, order, np.zeros(81), 5)
    x = np.zeros(81)
    for k in range(5):
        x, _, norm = sweep(xp, problem, 1.5, order, x, 1)
        assert norm[0] == norms[k]
    np.testing.assert_array_equal(x, together)


def test_the_example_that_pyamg_had_wrong(xp: Any) -> None:
    A = sp.csr_array(np.array([[4.0, -1, -6, 0], [-5, -4, 10, 8], [0, 9, 4, -2], [1, 0, -7, 5]]))
    problem = from_matrix(A, np.array([2.0, 21, -12, -6]))
    x, _, norms = sweep(xp, problem, 0.5, 1, np.zeros(4), 1)
    np.testing.assert_allclose(x, [0.25, -2.78125, 1.62890625, 0.515234375], rtol=1e-15)
    assert norms[0] == 2**2 + 21**2 + 12**2 + 6**2


@pytest.mark.parametrize(("order", "halves"), [(1, ["forward"]), (-1, ["backward"]), (0, ["forward", "backward"])])
def test_sweeps_are_those_of_pyamg(xp: Any, order: int, halves: list[str]) -> None:
    relaxation = pytest.importorskip("pyamg.relaxation.relaxation")
    problem = poisson(12)
    x, _, _ = sweep(xp, problem, 1.6, order, np.zeros(144), 4)
    expected = np.zeros(144)
    for half in 4 * halves:
        relaxation.sor(sp.csr_matrix(problem.matrix), expected, problem.b, 1.6, sweep=half)
    np.testing.assert_allclose(x, expected, rtol=0, atol=tolerance("f8", 64) * np.abs(expected).max())


def test_small_numbers_in_float32_have_a_norm(xp: Any) -> None:
    problem = system(33, "f4")
    problem = problem._replace(b=np.full(33, 1e-30, "f4"))
    norms = sweep(xp, problem, 1.0, 1, np.zeros(33, "f4"), 1)[2]
    np.testing.assert_allclose(norms, 33e-60, rtol=1e-6)


@pytest.mark.parametrize("coloured", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_nan_shows_up_in_the_norm(xp: Any, coloured: bool, order: int) -> None:
    problem = system(33, coloured=coloured)
    problem.b[7] = np.nan
    x, _, norms = sweep(xp, problem, 1.0, order, np.zeros(33), 2)
    assert np.isnan(norms).all()
    assert np.isnan(x[7])


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("scalar", SCALARS)
def test_split_values(xp: Any, n: int, scalar: str) -> None:
    problem = system(n, scalar, "i8" if n % 2 else "i4")
    A, real, index = problem.matrix, real_of(scalar), problem.indptr.dtype
    scale = (0.5 + np.random.default_rng(3).random(n)).astype(real)
    lower, upper = (sp.csr_array(part) for part in (sp.tril(A, -1, "csr"), sp.triu(A, 1, "csr")))
    # Room between the rows, which is left alone.
    gaps = np.arange(n + 1)
    pointers = [(part.indptr + gaps).astype(index) for part in (lower, upper)]
    outputs = [np.full(part.nnz + n, 99, scalar) for part in (lower, upper)]
    for values, part, pointer in zip(
        run(xp, "split_values", [*problem[:4], scale, *pointers], outputs), (lower, upper), pointers, strict=True
    ):
        expected = np.full(values.size, 99, scalar)
        for i in range(n):
            entries = slice(part.indptr[i], part.indptr[i + 1])
            row = scale[i] * scale[part.indices[entries]] * part.data[entries]
            expected[pointer[i] : pointer[i] + row.size] = row
        np.testing.assert_allclose(values, expected, rtol=tolerance(real, 4))


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("far", [False, True])
def test_sweeps_that_share_the_cache_are_sweeps_one_by_one(scalar: str, order: int, far: bool) -> None:
    problem = poisson(530, scalar)
    n = problem.b.size
    assert 4 * (problem.data.itemsize + 4) + 5 * problem.b.itemsize > 2 * numba_sor.CACHE_BYTES / n
    if far:
        # One entry that a stretch of rows cannot reach.
        A = sp.csr_array(problem.matrix + sp.coo_array(([1], ([5], [n - 3])), shape=(n, n)))
        problem = from_matrix(A.astype(scalar), problem.b)
    start = draw(np.random.default_rng(5), scalar, n)
    together, by_one = ((start.copy(), np.empty_like(start), np.empty(5)) for _ in range(2))
    numba_sor.sor_sweeps.serial(*problem, 1.3, order, *together)
    for k in range(5):
        numba_sor.sor_sweeps.serial(*problem, 1.3, order, *by_one[:2], by_one[2][k : k + 1])
    for first, second in zip(together, by_one, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("order", ORDERS)
def test_parallel_forms_give_the_bits_of_the_serial_ones(scalar: str, order: int) -> None:
    # Both colours above the size from which a class is taken in parallel.
    problem = poisson(206, scalar, coloured=True)
    assert np.diff(problem.classes).min() > _sweeps.PARALLEL_MIN_ROWS
    results = []
    for form in (numba_sor.sor_sweeps.serial, numba_sor.sor_sweeps.parallel):
        x, delta, norms = np.zeros_like(problem.b), scratch(scalar, problem.b.size), np.empty(3)
        form(*problem, 1.7, order, x, delta, norms)
        results.append((x, delta, norms))
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


def test_only_large_classes_run_in_parallel() -> None:
    def work(problem: Rows, order: int) -> float:
        x = np.zeros_like(problem.b)
        return float(numba_sor.sor_sweeps._work(*problem, 1.0, order, x, x, np.empty(3)))

    assert work(poisson(206), 1) == 0
    assert work(poisson(20, coloured=True), 1) == 0
    large = poisson(206, coloured=True)
    assert work(large, 1) == 3 * large.data.size
    assert work(large, 0) == 6 * large.data.size


# Short rows with a thread for each and more than run at once, long ones shared by lanes; several blocks and a grid
# barrier, which the emulator does not have.
@pytest.mark.gpu
@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize(("points", "long"), [(1000, False), (130, True)])
@pytest.mark.parametrize("order", ORDERS)
def test_sweeps_over_many_blocks(scalar: str, points: int, long: bool, order: int) -> None:
    import cupy

    from numopt.kernels import bind

    problem = poisson(points, scalar, coloured=not long)
    if long:
        third = problem.matrix / 8
        A = sp.csr_array(third @ third @ third + sp.eye_array(problem.b.size)).astype(scalar)
        problem = from_matrix(A, problem.b, "i8", greedy_classes(A))
    results = []
    for xp in (np, cupy, cupy):
        arrays = [xp.asarray(part) for part in problem]
        x, delta, norms = xp.zeros_like(arrays[-1]), xp.empty_like(arrays[-1]), xp.empty(4)
        bind(xp).sor_sweeps(*arrays, 1.4, order, x, delta, norms)
        results.append([part if xp is np else part.get() for part in (x, delta, norms)])
    rtol = tolerance(real_of(scalar), 400)
    # Changes are differences of iterates, and as exact as those.
    size = np.abs(results[0][0]).max()
    for expected, first, second in zip(*results, strict=True):
        np.testing.assert_allclose(first, expected, rtol=rtol, atol=rtol * max(size, np.abs(expected).max()))
        np.testing.assert_array_equal(first, second)
