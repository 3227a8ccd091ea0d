"""Linear systems for the kernels that sweep over rows, and what long doubles say a sweep does."""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from tests.kernels.cases import tolerance

SCALARS = ["f8", "f4", "c16", "c8"]
# With an index type each: the two have nothing to do with one another.
TYPES = [("f8", "i4"), ("f4", "i8"), ("c16", "i8"), ("c8", "i4")]
ORDERS = [1, -1, 0]


class Rows(NamedTuple):
    """The arguments of a sweep up to the right-hand side."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    split: np.ndarray
    inverse: np.ndarray
    classes: np.ndarray
    b: np.ndarray

    @property
    def matrix(self) -> sp.csr_array:
        """Return A as a sparse array."""
        n = self.b.size
        return sp.csr_array((self.data, self.indices, self.indptr), shape=(n, n))


def real_of(scalar: Any) -> str:
    """Return the name of the precision of a dtype."""
    return np.dtype(scalar).type(0).real.dtype.str[1:]


def draw(rng: np.random.Generator, scalar: str, *shape: int) -> np.ndarray:
    """Draw normal numbers, complex ones if the dtype is."""
    values = rng.standard_normal(shape)
    if np.dtype(scalar).kind == "c":
        values = values + 1j * rng.standard_normal(shape)
    return values.astype(scalar)


def greedy_classes(A: sp.csr_array) -> np.ndarray:
    """Return for each row the smallest colour that no earlier neighbour has."""
    pattern = (A != 0) + (A != 0).T
    pattern = sp.csr_array(pattern)
    colours = np.full(A.shape[0], -1)
    for i in range(A.shape[0]):
        taken = set(colours[pattern.indices[pattern.indptr[i] : pattern.indptr[i + 1]]])
        colours[i] = next(colour for colour in range(A.shape[0]) if colour not in taken)
    return colours


def from_matrix(A: sp.csr_array, b: np.ndarray, index: str = "i4", colours: np.ndarray | None = None) -> Rows:
    """Return the arguments for a matrix, its rows sorted by colour if colours are given."""
    classes = np.empty(0, "i8")
    if colours is not None:
        order = np.argsort(colours, kind="stable")
        A, b = sp.csr_array(A[order][:, order]), b[order]
        classes = np.append(0, np.cumsum(np.bincount(colours))).astype("i8")
    A.sort_indices()
    rows = np.repeat(np.arange(b.size), np.diff(A.indptr))
    split = np.flatnonzero(A.indices == rows).astype(index)
    assert split.size == b.size
    inverse = (1 / A.diagonal()).astype(A.dtype)
    return Rows(A.data, A.indices.astype(index), A.indptr.astype(index), split, inverse, classes, b)


def system(
    n: int, scalar: str = "f8", index: str = "i4", coloured: bool = False, per_row: int = 4, seed: int = 0
) -> Rows:
    """Draw a system with a dominant diagonal; some rows have nothing else, and larger ones have a full row."""
    rng = np.random.default_rng(seed)
    places = rng.random((n, n)) < min(1.0, per_row / max(n, 1))
    if n > 5:
        places[2], places[4] = not coloured, False
    np.fill_diagonal(places, True)
    dense = np.where(places, draw(rng, scalar, n, n), 0)
    size = np.abs(dense).sum(axis=1)
    dense[np.diag_indices(n)] = (1 + size) * np.exp(1j * rng.random(n) if np.dtype(scalar).kind == "c" else np.zeros(n))
    A = sp.csr_array(dense.astype(scalar))
    return from_matrix(A, draw(rng, scalar, n), index, greedy_classes(A) if coloured else None)


def poisson(m: int, scalar: str = "f8", index: str = "i4", coloured: bool = False) -> Rows:
    """Return the 5-point Laplacian on an m x m grid, in the order of the points or red-black."""
    second = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(m, m))
    unit = sp.eye_array(m)
    A = sp.csr_array(sp.kron(unit, second) + sp.kron(second, unit)).astype(scalar)
    # A product of small matrices stores its zeros, which join rows of one colour.
    A.eliminate_zeros()
    colours = np.add.outer(np.arange(m), np.arange(m)).ravel() % 2
    b = draw(np.random.default_rng(1), scalar, m * m)
    return from_matrix(A, b, index, colours if coloured else None)


def sweeps(problem: Rows, omega: float, order: int, x: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x after some sweeps, and the squared norms of the residuals before each, in long doubles."""
    wide = np.clongdouble if x.dtype.kind == "c" else np.longdouble
    A, b, x = problem.matrix.toarray().astype(wide), problem.b.astype(wide), x.astype(wide)
    norms = np.empty(count)
    rows = range(b.size)
    halves = {1: [rows], -1: [rows[::-1]], 0: [rows, rows[::-1]]}[order]
    for k in range(count):
        norms[k] = np.sum(np.abs(b - A @ x) ** 2)
        for half in halves:
            for i in half:
                x[i] += np.longdouble(omega) * (b[i] - A[i] @ x) / A[i, i]
    return x, norms


def check_sweeps(problem: Rows, omega: float, order: int, start: np.ndarray, x: np.ndarray, norms: np.ndarray) -> None:
    """Compare the result of a sweeping kernel with long doubles.

    With a dominant diagonal a sweep does not enlarge errors: each adds the rounding of one row's sum, relative to the
    numbers in it, and the residual has that of its own sum.
    """
    expected, expected_norms = sweeps(problem, omega, order, start, norms.size)
    A = problem.matrix
    longest = int(np.diff(problem.indptr).max(initial=0))
    rounding = tolerance(real_of(x.dtype), (8 + longest) * (2 * norms.size + 2))
    scale = max(np.abs(start).max(initial=0), np.abs(expected).max(initial=0), np.abs(problem.b).max(initial=0))
    np.testing.assert_allclose(x, expected.astype(x.dtype), rtol=0, atol=rounding * float(scale))
    residual_scale = float(scale) * float(abs(A).sum(axis=1).max(initial=0) + 1) * np.sqrt(max(x.size, 1))
    np.testing.assert_allclose(np.sqrt(norms), np.sqrt(expected_norms), rtol=0, atol=rounding * residual_scale)
