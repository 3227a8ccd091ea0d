"""Inverses of diagonal blocks and factors of tridiagonal ones, against dense linear algebra."""

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp

from numopt.linear._blocks import inverse_blocks, line_factors
from tests.helpers.xp import make, to_numpy
from tests.kernels.cases import tolerance
from tests.kernels.linear import real_of

BLOCKS = [[0], [0, 1], [0, 3], [0, 3, 6, 7], [0, 1, 5, 9, 11], [0, 40, 80, 83]]
SCALARS = ["f8", "f4", "c16", "c8"]


def draw(n: int, scalar: str = "f8", index: str = "i4", line: bool = False, blocks: list[int] | None = None) -> Any:
    """Draw a matrix with a dominant diagonal; with `line` its blocks are tridiagonal."""
    rng = np.random.default_rng(n)
    dense = rng.standard_normal((n, n)) * (rng.random((n, n)) < 0.4)
    if np.dtype(scalar).kind == "c":
        dense = dense * np.exp(1j * rng.random((n, n)))
    if line:
        block_of = np.searchsorted(blocks or [], np.arange(n), side="right")
        i, j = np.indices((n, n))
        dense[(block_of[i] == block_of[j]) & (abs(i - j) > 1)] = 0
    dense[np.diag_indices(n)] = 1 + np.abs(dense).sum(axis=1)
    A = sp.csr_array(dense.astype(scalar))
    A.indices, A.indptr = A.indices.astype(index), A.indptr.astype(index)
    return A


def arguments(xp: Any, A: Any, blocks: list[int]) -> list[Any]:
    return [make(xp, part) for part in (A.data, A.indices, A.indptr, np.array(blocks, dtype=np.int64))]


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("index", ["i4", "i8"])
def test_inverses(xp: Any, blocks: list[int], scalar: str, index: str) -> None:
    A = draw(blocks[-1], scalar, index)
    inverses = inverse_blocks(*arguments(xp, A, blocks))
    found, dense = to_numpy(inverses), A.toarray()
    m = int(np.diff(blocks).max(initial=0))
    assert found.shape == (len(blocks) - 1, m, m)
    assert found.dtype == scalar
    for k, (start, stop) in enumerate(itertools.pairwise(blocks)):
        size = stop - start
        expected = np.eye(m)
        expected[:size, :size] = 0
        expected = expected.astype(np.result_type(scalar, np.float64))
        expected[:size, :size] = np.linalg.inv(dense[start:stop, start:stop].astype(expected.dtype))
        np.testing.assert_allclose(found[k], expected, rtol=0, atol=tolerance(real_of(scalar), 200))


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("index", ["i4", "i8"])
def test_factors(xp: Any, blocks: list[int], scalar: str, index: str) -> None:
    n = blocks[-1]
    A = draw(n, scalar, index, line=True, blocks=blocks)
    factors = to_numpy(line_factors(*arguments(xp, A, blocks)))
    assert factors.shape == (3, n)
    assert factors.dtype == scalar
    multiplier, reciprocal, right = factors
    # The product of the two triangles is the block.
    lower = np.eye(n) + np.diag(multiplier[1:], -1) if n else np.zeros((0, 0))
    upper = np.diag(1 / reciprocal) + np.diag(right[:-1], 1) if n else np.zeros((0, 0))
    expected = np.zeros((n, n), scalar)
    for start, stop in itertools.pairwise(blocks):
        expected[start:stop, start:stop] = A.toarray()[start:stop, start:stop]
    np.testing.assert_allclose(
        lower @ upper, expected, rtol=0, atol=8 * np.finfo(scalar).eps * np.abs(expected).max(initial=0)
    )


@pytest.mark.parametrize("values", [[[1.0, 2.0], [2.0, 4.0]], [[0.1, 0.2], [0.3, 0.6]], [[1e-9, 2e3], [2e-9, 4e3]]])
@pytest.mark.parametrize("how", [inverse_blocks, line_factors])
def test_a_singular_block_is_named(xp: Any, how: Any, values: list[list[float]]) -> None:
    A = sp.csr_array(scipy.linalg.block_diag(np.eye(2), np.array(values), np.eye(2)))
    with pytest.raises(ValueError, match=r"singular diagonal block: number 1, rows 2 to 3"):
        how(*arguments(xp, A, [0, 2, 4, 6]))


@pytest.mark.parametrize("how", [inverse_blocks, line_factors])
def test_the_scale_of_rows_and_columns_does_not_make_a_block_singular(xp: Any, how: Any) -> None:
    dense = np.array([[2.0, 1, 0], [1, 3, 1], [0, 1, 2]]) * np.outer([1e-20, 1, 1e20], [1e10, 1e-30, 1])
    how(*arguments(xp, sp.csr_array(dense), [0, 3]))


@pytest.mark.parametrize("how", [inverse_blocks, line_factors])
def test_nan_counts_as_singular(xp: Any, how: Any) -> None:
    with pytest.raises(ValueError, match="singular diagonal block: number 0"):
        how(*arguments(xp, sp.csr_array(np.array([[1.0, 2.0], [np.nan, 1.0]])), [0, 2]))


def test_a_zero_pivot_ends_elimination_by_lines(xp: Any) -> None:
    A = sp.csr_array(np.array([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]]))
    inverse_blocks(*arguments(xp, A, [0, 1, 3]))
    A = sp.csr_array((np.array([1.0, 0, 1, 1]), np.array([0, 1, 2, 1]), np.array([0, 1, 3, 4])), shape=(3, 3))
    with pytest.raises(ValueError, match="number 1, rows 1 to 2"):
        line_factors(*arguments(xp, A, [0, 1, 3]))


def test_an_entry_outside_the_three_diagonals_is_named(xp: Any) -> None:
    A = draw(9, line=True, blocks=[0, 4, 9])
    line_factors(*arguments(xp, A, [0, 4, 9]))
    dense = A.toarray()
    dense[7, 5] = 0.5
    with pytest.raises(ValueError, match=r"entry in row 7, column 5 .* tridiagonal"):
        line_factors(*arguments(xp, sp.csr_array(dense), [0, 4, 9]))


def test_stored_zeros_are_no_entries(xp: Any) -> None:
    dense = np.diag(np.arange(1.0, 6))
    A = sp.csr_array((dense.ravel(), np.tile(np.arange(5), 5), 5 * np.arange(6)), shape=(5, 5))
    factors = to_numpy(line_factors(*arguments(xp, A, [0, 5])))
    np.testing.assert_array_equal(factors[1], 1 / np.arange(1.0, 6))
    np.testing.assert_array_equal(factors[[0, 2]], 0)
