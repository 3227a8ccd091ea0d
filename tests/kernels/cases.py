"""Arguments for kernels, made on the host, and what NumPy says the answer is."""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from numopt.kernels import bind
from tests.helpers.xp import make, to_numpy

# 0 and 1, odd sizes, a warp and its neighbours, more than one block.
SIZES = [0, 1, 2, 7, 31, 32, 33, 65, 257]


def run(xp: Any, name: str, inputs: list[Any], outputs: list[np.ndarray]) -> list[np.ndarray]:
    """Run one kernel of the home of `xp` on copies of host arrays and return what it made of `outputs`.

    Host numbers among the inputs go in as they are.
    """
    arguments = [make(xp, value) if isinstance(value, np.ndarray) else value for value in [*inputs, *outputs]]
    assert getattr(bind(xp), name)(*arguments) is None
    for argument, value in zip(arguments, inputs, strict=False):
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(to_numpy(argument), value, err_msg=f"{name} wrote to an input")
    return [to_numpy(argument) for argument in arguments[len(inputs) :]]


class Rows(NamedTuple):
    """A row-action problem."""

    A: np.ndarray
    b: np.ndarray
    norms2: np.ndarray
    rows: np.ndarray
    x: np.ndarray


def rows_problem(m: int, n: int, steps: int, dtype: str = "f8", seed: int = 0, zero_row: bool = True) -> Rows:
    """Draw a consistent system with one zero row, and indices that visit it."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, n)).astype(dtype)
    if zero_row and m > 2:
        A[1] = 0
    b = A @ rng.standard_normal(n).astype(dtype)
    norms2 = np.sum(A * A, axis=1, dtype=dtype)
    rows = rng.integers(0, m, steps) if m else np.empty(0, dtype=np.int64)
    return Rows(A, b, norms2, rows.astype(np.int64), rng.standard_normal(n).astype(dtype))


def kaczmarz(problem: Rows) -> np.ndarray:
    """Take the steps in long doubles."""
    x = problem.x.astype(np.longdouble)
    for i in problem.rows:
        if problem.norms2[i] > 0:
            row = problem.A[i].astype(np.longdouble)
            x += (problem.b[i] - row @ x) / np.longdouble(problem.norms2[i]) * row
    return x.astype(problem.x.dtype)


def sparse_matrix(m: int, n: int, density: float, dtype: str = "f8", index: str = "i4", seed: int = 0) -> sp.csr_array:
    """Draw a CSR matrix with empty rows, a full row and the entries of each row in random order."""
    rng = np.random.default_rng(seed)
    dense = rng.standard_normal((m, n)) * (rng.random((m, n)) < density)
    if m > 3:
        dense[1] = 0
        dense[2] = rng.standard_normal(n)
    X = sp.csr_array(dense.astype(dtype))
    for i in range(m):
        entries = slice(X.indptr[i], X.indptr[i + 1])
        order = rng.permutation(entries.stop - entries.start)
        X.indices[entries] = X.indices[entries][order]
        X.data[entries] = X.data[entries][order]
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    return X


def tolerance(dtype: str, factor: float = 1.0) -> float:
    """Return `factor` rounding errors of the dtype."""
    return factor * float(np.finfo(dtype).eps)


def assert_same_sums(first: np.ndarray, second: np.ndarray, name: str) -> None:
    """Compare the outputs of two forms of a kernel whose sums the compiler may reorder.

    On processors with vectors of 512 bits it picks another width for one form than for the other; integers are equal.
    """
    if first.dtype.kind == "i":
        np.testing.assert_array_equal(first, second, err_msg=name)
    else:
        rounding = 16 * np.finfo(first.dtype).eps
        size = np.abs(second[np.isfinite(second)]).max(initial=0)
        np.testing.assert_allclose(first, second, rtol=rounding, atol=rounding * size, err_msg=name)
