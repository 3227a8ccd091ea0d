"""Sweeps over blocks of rows in every home, against their definition in long doubles."""

import itertools
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.kernels import bind
from numopt.kernels._numba import _sweeps
from numopt.kernels._numba import block_sor as numba_block_sor
from tests.kernels.cases import run, tolerance
from tests.kernels.linear import ORDERS, SCALARS, draw, poisson, real_of, system
from tests.kernels.transport import unset

# Rows and rows of a block, with a last block that is shorter, blocks of one row, one block, more than a warp.
SIZES = [(0, 3), (1, 1), (1, 4), (7, 1), (33, 2), (33, 5), (65, 16), (65, 65), (100, 40)]
KERNELS = ["block_sor_sweeps", "line_sor_sweeps"]


class Blocks(NamedTuple):
    """The arguments of a sweep over blocks up to the right-hand side."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    split: np.ndarray
    blocks: np.ndarray
    solver: np.ndarray
    classes: np.ndarray
    b: np.ndarray

    @property
    def matrix(self) -> sp.csr_array:
        """Return A as a sparse array."""
        n = self.b.size
        return sp.csr_array((self.data, self.indices, self.indptr), shape=(n, n))


def factorise(A: np.ndarray, blocks: np.ndarray, kernel: str) -> np.ndarray:
    """Return the inverses of the diagonal blocks, or the factors of their elimination; NaN where nothing is read."""
    if kernel == "block_sor_sweeps":
        m = int(np.diff(blocks).max(initial=0))
        solver = np.full((blocks.size - 1, m, m), np.nan, A.dtype)
        for k, (start, stop) in enumerate(itertools.pairwise(blocks)):
            solver[k, : stop - start, : stop - start] = np.linalg.inv(A[start:stop, start:stop])
        return solver
    solver = np.zeros((3, A.shape[0]), A.dtype)
    for start, stop in itertools.pairwise(blocks):
        pivot = A.dtype.type(1)
        for i in range(start, stop):
            if i > start:
                solver[0, i] = A[i, i - 1] / pivot
            pivot = A[i, i] - (solver[0, i] * A[i - 1, i] if i > start else 0)
            solver[1, i] = 1 / pivot
            solver[2, i] = A[i, i + 1] if i + 1 < stop else 0
    return solver


def arrange(A: sp.csr_array, b: np.ndarray, m: int, kernel: str, index: str = "i4", coloured: bool = False) -> Blocks:
    """Return the arguments for blocks of m rows; colours put even blocks before odd ones, which must be apart."""
    n = b.size
    blocks = np.append(np.arange(0, n, m), n)
    classes = np.empty(0, "i8")
    if coloured:
        sizes = np.diff(blocks)
        turn = np.argsort(np.arange(sizes.size) % 2, kind="stable")
        rows = np.concatenate([np.empty(0, int), *(np.arange(blocks[k], blocks[k + 1]) for k in turn)])
        A, b, blocks = sp.csr_array(A[rows][:, rows]), b[rows], np.append(0, np.cumsum(sizes[turn]))
        classes = np.array([0, (sizes.size + 1) // 2, sizes.size])
    A.sort_indices()
    block_of = np.repeat(np.arange(blocks.size - 1), np.diff(blocks))
    before = [np.searchsorted(A.indices[A.indptr[i] : A.indptr[i + 1]], blocks[block_of[i]]) for i in range(n)]
    split = (A.indptr[:-1] + np.array(before, int)).astype(index)
    solver = factorise(A.toarray(), blocks, kernel) if n < 2000 else banded(A, blocks, kernel)
    return Blocks(A.data, A.indices.astype(index), A.indptr.astype(index), split, blocks, solver, classes, b)


def banded(A: sp.csr_array, blocks: np.ndarray, kernel: str) -> np.ndarray:
    """Return what `factorise` does for equal blocks, all of them the first."""
    m = int(blocks[1])
    solver = factorise(A[:m, :m].toarray(), blocks[:2], kernel)
    return np.tile(
        solver, (blocks.size - 1, 1, 1) if solver.ndim == 3 and kernel == KERNELS[0] else (1, blocks.size - 1)
    )


def problem_of(n: int, m: int, kernel: str, scalar: str = "f8", index: str = "i4", coloured: bool = False) -> Blocks:
    """Draw a system; in its blocks lines have three diagonals, coloured blocks touch the next ones at most."""
    rows = system(n, scalar, per_row=6)
    A = rows.matrix.toarray()
    i, j = np.indices(A.shape)
    own = i // m == j // m
    if kernel == "line_sor_sweeps":
        A[own & (abs(i - j) > 1)] = 0
        neighbours = draw(np.random.default_rng(9), scalar, n, n)
        A = np.where(own & (abs(i - j) == 1), neighbours, A)
    if coloured:
        A[~own & ((i // m - j // m) % 2 == 0)] = 0
    A[np.diag_indices(n)] *= 3
    return arrange(sp.csr_array(A), rows.b, m, kernel, index, coloured)


def definition(problem: Blocks, omega: float, order: int, x: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x after some sweeps, and the squared norms of the residuals before each, in double precision."""
    wide = np.complex128 if x.dtype.kind == "c" else np.float64
    A, b, x = problem.matrix.toarray().astype(wide), problem.b.astype(wide), x.astype(wide)
    spans = [slice(*ends) for ends in itertools.pairwise(problem.blocks)]
    norms = np.empty(count)
    for k in range(count):
        norms[k] = np.sum(np.abs(b - A @ x) ** 2)
        for half in {1: [spans], -1: [spans[::-1]], 0: [spans, spans[::-1]]}[order]:
            for span in half:
                x[span] += omega * np.linalg.solve(A[span, span], b[span] - A[span] @ x)
    return x, norms


def check(problem: Blocks, omega: float, order: int, start: np.ndarray, x: np.ndarray, norms: np.ndarray) -> None:
    """Compare the result of a kernel with the definition; a dominant diagonal keeps errors from growing."""
    expected, expected_norms = definition(problem, omega, order, start, norms.size)
    longest = int(np.diff(problem.indptr).max(initial=0)) + int(np.diff(problem.blocks).max(initial=0))
    rounding = tolerance(real_of(x.dtype), (8 + longest) * (2 * norms.size + 2))
    scale = max(np.abs(start).max(initial=0), np.abs(expected).max(initial=0), np.abs(problem.b).max(initial=0))
    np.testing.assert_allclose(x, expected.astype(x.dtype), rtol=0, atol=rounding * float(scale))
    size = float(scale) * float(abs(problem.matrix).sum(axis=1).max(initial=0) + 1) * np.sqrt(max(x.size, 1))
    np.testing.assert_allclose(np.sqrt(norms), np.sqrt(expected_norms), rtol=0, atol=rounding * size)


def sweep(
    xp: Any, kernel: str, problem: Blocks, omega: float, order: int, x: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    outputs = [x, np.full_like(x, np.nan), unset("f8", count)]
    x, delta, norms = run(xp, kernel, [*problem, omega, order], outputs)
    return x, delta, norms


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("coloured", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_sweeps_follow_the_definition(xp: Any, kernel: str, n: int, m: int, coloured: bool, order: int) -> None:
    problem = problem_of(n, m, kernel, coloured=coloured)
    start = draw(np.random.default_rng(5), "f8", n)
    x, _, norms = sweep(xp, kernel, problem, 1.1, order, start, 3)
    check(problem, 1.1, order, start, x, norms)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("index", ["i4", "i8"])
@pytest.mark.parametrize("coloured", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_sweeps_in_every_type(xp: Any, kernel: str, scalar: str, index: str, coloured: bool, order: int) -> None:
    problem = problem_of(33, 5, kernel, scalar, index, coloured)
    start = draw(np.random.default_rng(5), scalar, 33)
    x, _, norms = sweep(xp, kernel, problem, 0.9, order, start, 2)
    assert x.dtype == scalar
    check(problem, 0.9, order, start, x, norms)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("order", ORDERS)
def test_blocks_of_one_row_make_the_sweeps_over_rows(xp: Any, kernel: str, order: int) -> None:
    rows = system(33)
    problem = arrange(rows.matrix, rows.b, 1, kernel)
    x, delta, norms = sweep(xp, kernel, problem, 1.2, order, np.zeros(33), 3)
    outputs = [np.zeros(33), np.full(33, np.nan), unset("f8", 3)]
    expected = run(xp, "sor_sweeps", [*rows, 1.2, order], outputs)
    for found, value in zip((x, delta, norms), expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("order", [1, -1])
def test_the_scratch_ends_as_the_changes_of_the_last_half_sweep(xp: Any, kernel: str, order: int) -> None:
    problem = problem_of(33, 5, kernel)
    start = draw(np.random.default_rng(5), "f8", 33)
    x, delta, _ = sweep(xp, kernel, problem, 1.2, order, start, 1)
    np.testing.assert_allclose(delta, x - start, rtol=0, atol=tolerance("f8", 16 * np.abs(start).max()))


@pytest.mark.parametrize("kernel", KERNELS)
def test_one_block_with_omega_1_is_solved_at_once(xp: Any, kernel: str) -> None:
    problem = problem_of(40, 40, kernel)
    x, _, _ = sweep(xp, kernel, problem, 1.0, 1, np.zeros(40), 1)
    np.testing.assert_allclose(x, np.linalg.solve(problem.matrix.toarray(), problem.b), rtol=0, atol=1e-13)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("coloured", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_sweeps_in_one_call_are_those_of_several(xp: Any, kernel: str, coloured: bool, order: int) -> None:
    rows = poisson(9)
    problem = arrange(rows.matrix, rows.b, 9, kernel, coloured=coloured)
    together, _, norms = sweep(xp, kernel, problem, 1.5, order, np.zeros(81), 5)
    x = np.zeros(81)
    for k in range(5):
        x, _, norm = sweep(xp, kernel, problem, 1.5, order, x, 1)
        assert norm[0] == norms[k]
    np.testing.assert_array_equal(x, together)


@pytest.mark.parametrize("kernel", KERNELS)
def test_no_sweeps_change_nothing(xp: Any, kernel: str) -> None:
    start = draw(np.random.default_rng(5), "f8", 33)
    np.testing.assert_array_equal(sweep(xp, kernel, problem_of(33, 5, kernel), 1.2, 1, start, 0)[0], start)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("order", ORDERS)
def test_nan_shows_up_in_the_norm(xp: Any, kernel: str, order: int) -> None:
    problem = problem_of(33, 5, kernel)
    problem.b[7] = np.nan
    x, _, norms = sweep(xp, kernel, problem, 1.0, order, np.zeros(33), 2)
    assert np.isnan(norms).all()
    assert np.isnan(x[7])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("order", ORDERS)
def test_parallel_forms_give_the_bits_of_the_serial_ones(kernel: str, scalar: str, order: int) -> None:
    side = 206
    rows = poisson(side, scalar)
    problem = arrange(rows.matrix, rows.b, side, kernel, coloured=True)
    assert side * np.diff(problem.classes).min() > _sweeps.PARALLEL_MIN_ROWS
    forms = getattr(numba_block_sor, kernel)
    results = []
    for form in (forms.serial, forms.parallel):
        x, delta, norms = np.zeros_like(rows.b), np.full_like(rows.b, np.nan), np.empty(2)
        form(*problem, 1.2, order, x, delta, norms)
        results.append((x, delta, norms))
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


def test_only_large_classes_run_in_parallel() -> None:
    def work(side: int, coloured: bool, kernel: str, order: int) -> float:
        rows = poisson(side)
        problem = arrange(rows.matrix, rows.b, side, kernel, coloured=coloured)
        x = rows.b
        return float(getattr(numba_block_sor, kernel)._work(*problem, 1.0, order, x, x, np.empty(3)))

    nnz, n = 5 * 206**2 - 4 * 206, 206**2
    assert work(20, True, "line_sor_sweeps", 1) == 0
    assert work(206, False, "line_sor_sweeps", 1) == 0
    assert work(206, True, "line_sor_sweeps", 1) == 3 * (nnz + 3 * n)
    assert work(206, True, "block_sor_sweeps", 0) == 6 * (nnz + 206 * n)


@pytest.mark.gpu
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("order", ORDERS)
def test_sweeps_over_many_blocks_of_threads(kernel: str, order: int) -> None:
    import cupy

    rows = poisson(206)
    problem = arrange(rows.matrix, rows.b, 206, kernel, coloured=True)
    n = rows.b.size
    x, norms = np.zeros(n), np.empty(5)
    getattr(bind(np), kernel)(*problem, 1.2, order, x, np.empty(n), norms)
    results = []
    for _ in range(2):
        found, found_norms = cupy.zeros(n), cupy.empty(5)
        arguments = [cupy.asarray(part) for part in problem]
        getattr(bind(cupy), kernel)(*arguments, 1.2, order, found, cupy.empty(n), found_norms)
        results.append((found.get(), found_norms.get()))
    np.testing.assert_allclose(results[0][0], x, rtol=0, atol=tolerance("f8", 2000) * np.abs(x).max())
    np.testing.assert_allclose(results[0][1], norms, rtol=1e-10)
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)
