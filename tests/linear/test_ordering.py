"""Orders of rows: colourings are valid, levels keep the natural sweep."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from numopt.linear._ordering import Ordering, order_rows, quotient_pattern
from tests.kernels.test_ordering import grid


def draw(n: int, density: float, seed: int, index: str = "i4") -> sp.csr_array:
    """Return a random unsymmetric matrix with a dominant diagonal."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n)) * (rng.random((n, n)) < density)
    np.fill_diagonal(A, 1 + np.abs(A).sum(axis=1))
    A = sp.csr_array(A)
    A.indices, A.indptr = A.indices.astype(index), A.indptr.astype(index)
    return A


def bipartite(n: int, m: int, density: float, seed: int) -> sp.csr_array:
    """Return a random pattern without odd cycles, its nodes shuffled."""
    rng = np.random.default_rng(seed)
    half = sp.csr_array(rng.random((n, m)) < density)
    A = sp.csr_array(sp.block_array([[sp.eye_array(n), half], [half.T, sp.eye_array(m)]]))
    shuffle = rng.permutation(n + m)
    A = sp.csr_array(A[shuffle][:, shuffle])
    A.sort_indices()
    return A


matrices = st.builds(
    draw,
    n=st.integers(0, 40),
    density=st.sampled_from([0.0, 0.03, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 10_000),
    index=st.sampled_from(["i4", "i8"]),
)


def order(A: sp.csr_array, ordering: str | np.ndarray, serial: bool = True) -> Ordering:
    return order_rows(A.indices, A.indptr, ordering, serial=serial, shape=A.shape)


def check(A: sp.csr_array, result: Ordering) -> None:
    """Check that the classes divide the rows and that no two rows of one touch."""
    n = A.shape[0]
    assert result.permutation is not None
    assert result.permutation.dtype == result.classes.dtype == np.int64
    np.testing.assert_array_equal(np.sort(result.permutation), np.arange(n))
    assert result.classes[0] == 0
    assert result.classes[-1] == n
    assert result.n_classes == result.classes.size - 1
    assert np.all(np.diff(result.classes) > 0)
    dense = A.toarray()[result.permutation][:, result.permutation]
    for first, last in zip(result.classes[:-1], result.classes[1:], strict=True):
        block = dense[first:last, first:last]
        np.testing.assert_array_equal(block, np.diag(np.diagonal(block)))
        # Stable: rows of one class stay in their order.
        assert np.all(np.diff(result.permutation[first:last]) > 0)


def sweep(A: np.ndarray, b: np.ndarray, x: np.ndarray, omega: float, rows: np.ndarray) -> np.ndarray:
    x = x.copy()
    for i in rows:
        x[i] += omega * (b[i] - A[i] @ x) / A[i, i]
    return x


@settings(deadline=None)
@given(A=matrices)
def test_greedy_colours_are_valid(A: sp.csr_array) -> None:
    check(A, order(A, "multicolor"))


@settings(deadline=None)
@given(A=matrices, seed=st.integers(0, 100))
def test_levels_are_valid_and_give_the_natural_sweep(A: sp.csr_array, seed: int) -> None:
    result = order(A, "natural", serial=False)
    check(A, result)
    rng, dense, n = np.random.default_rng(seed), A.toarray(), A.shape[0]
    b, x = rng.standard_normal((2, n))
    rows = result.permutation
    assert rows is not None
    for forward, backward in ((np.arange(n), rows), (np.arange(n)[::-1], rows[::-1])):
        # The same numbers are added in the same order: not even rounding differs.
        np.testing.assert_array_equal(sweep(dense, b, x, 1.4, forward), sweep(dense, b, x, 1.4, backward))


@settings(deadline=None)
@given(n=st.integers(0, 20), m=st.integers(0, 20), density=st.sampled_from([0.0, 0.05, 0.2, 1.0]), seed=st.integers(0))
def test_red_black_is_valid_with_a_red_first_row_in_each_component(n: int, m: int, density: float, seed: int) -> None:
    A = bipartite(n, m, density, seed)
    result = order(A, "red-black")
    check(A, result)
    assert result.n_classes <= 2
    assert result.permutation is not None
    if n + m > 0:
        red = set(result.permutation[: result.classes[1]].tolist())
        _, labels = sp.csgraph.connected_components(A, directed=False)
        assert red >= {int(np.argmax(labels == label)) for label in range(labels.max() + 1)}


def test_natural_in_series_is_the_identity_without_classes() -> None:
    result = order(grid(4, 3), "natural")
    assert result.name == "natural"
    assert result.permutation is None
    assert result.classes.size == result.n_classes == 0
    assert result.classes.dtype == np.int64


@pytest.mark.parametrize("ordering", ["red-black", "multicolor"])
def test_a_grid_is_a_chessboard(ordering: str) -> None:
    result = order(grid(5, 4), ordering)
    y, x = np.divmod(np.arange(20), 5)
    expected = np.concatenate([np.flatnonzero((x + y) % 2 == parity) for parity in (0, 1)])
    assert result.name == ordering
    np.testing.assert_array_equal(result.permutation, expected)
    np.testing.assert_array_equal(result.classes, [0, 10, 20])


def test_a_long_path_in_random_order_is_bipartite() -> None:
    n = 3001
    shuffle = np.random.default_rng(0).permutation(n)
    A = sp.csr_array(grid(n, 1)[shuffle][:, shuffle])
    A.sort_indices()
    result = order(A, "red-black")
    check(A, result)
    assert result.n_classes == 2


def test_a_one_sided_pattern_counts_both_ways() -> None:
    A = sp.csr_array(np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]))
    for ordering, serial, classes in (("multicolor", True, [0, 2, 3]), ("natural", False, [0, 1, 2, 3])):
        for matrix in (A, sp.csr_array(A.T)):
            matrix.sort_indices()
            np.testing.assert_array_equal(order(matrix, ordering, serial).classes, classes)


def test_an_odd_cycle_is_named() -> None:
    A = sp.csr_array(np.eye(7))
    dense = A.toarray()
    for i, j in [(1, 2), (2, 4), (4, 5), (5, 6), (6, 1)]:
        dense[i, j] = dense[j, i] = 1
    with pytest.raises(ValueError, match=r"entry of row (\d) in column (\d) closes one. Use 'multicolor'") as caught:
        order(sp.csr_array(dense), "red-black")
    message = str(caught.value)
    i, j = (int(message.partition(word)[2].split()[0]) for word in ("of row ", "in column "))
    # Without that edge there is no odd cycle left.
    dense[i, j] = dense[j, i] = 0
    assert i != j
    check(sp.csr_array(dense), order(sp.csr_array(dense), "red-black"))


def test_given_colours_are_kept() -> None:
    A = grid(3, 2)
    result = order(A, np.array([7, 2, 7, 2, 7, 4], dtype=np.uint8))
    check(A, result)
    np.testing.assert_array_equal(result.permutation, [1, 3, 5, 0, 2, 4])
    np.testing.assert_array_equal(result.classes, [0, 2, 3, 6])
    assert result.name == "colours"


@pytest.mark.parametrize(
    ("ordering", "error", "match"),
    [
        ("colour", ValueError, "must be one of 'natural', 'red-black', 'multicolor' or an integer array.*'colour'"),
        (np.zeros(6), TypeError, "integer array of colours, got an array of dtype float64"),
        (np.zeros(6, bool), TypeError, "dtype bool"),
        (None, TypeError, "dtype object"),
        (np.zeros(5, int), ValueError, r"each of the 6 rows a colour, got shape \(5,\)"),
        (np.zeros((6, 1), int), ValueError, r"got shape \(6, 1\)"),
        (np.array([0, 1, 0, 1, -3, 1]), ValueError, "non-negative colours, got -3 for row 4"),
        (np.array([0, 1, 0, 1, 2, 0]), ValueError, "rows 2 and 5 touch and both have colour 0"),
    ],
)
def test_bad_orderings_are_refused(ordering: object, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        order(grid(3, 2), ordering)  # type: ignore[arg-type]


def test_colours_of_a_one_sided_pattern_are_checked_both_ways() -> None:
    A = sp.csr_array(np.array([[1.0, 0.0], [1.0, 1.0]]))
    for matrix in (A, sp.csr_array(A.T)):
        with pytest.raises(ValueError, match="rows 0 and 1 touch"):
            order(matrix, np.array([3, 3]))


def test_a_shape_that_is_not_square_is_refused() -> None:
    A = grid(3, 2)
    with pytest.raises(ValueError, match=r"`shape` must be \(6, 6\)"):
        order_rows(A.indices, A.indptr, "multicolor", serial=True, shape=(6, 7))


@settings(deadline=None)
@given(A=matrices, seed=st.integers(0, 100))
def test_the_pattern_of_blocks_is_that_of_their_sums(A: sp.csr_array, seed: int) -> None:
    n = A.shape[0]
    cuts = np.random.default_rng(seed).random(max(n - 1, 0)) < 0.4
    blocks = np.unique(np.concatenate([[0], 1 + np.flatnonzero(cuts), [n]])).astype(np.int64)
    indices, indptr = quotient_pattern(A.indices, A.indptr, blocks)
    assert indices.dtype == indptr.dtype == A.indices.dtype
    k = blocks.size - 1
    found = sp.csr_array((np.ones(indices.size), indices, indptr), shape=(k, k)).toarray()
    stored = A.toarray() != 0
    expected = [
        [stored[blocks[i] : blocks[i + 1], blocks[j] : blocks[j + 1]].any() for j in range(k)] for i in range(k)
    ]
    np.testing.assert_array_equal(found, np.array(expected, dtype=float).reshape(k, k))
    for i in range(k):
        assert np.all(np.diff(indices[indptr[i] : indptr[i + 1]]) > 0)


def test_lines_of_a_grid_have_the_pattern_of_a_path() -> None:
    A = grid(6, 5)
    indices, indptr = quotient_pattern(A.indices, A.indptr, np.arange(0, 31, 6))
    expected = grid(5, 1)
    expected.sort_indices()
    np.testing.assert_array_equal(indices, expected.indices)
    np.testing.assert_array_equal(indptr, expected.indptr)
    np.testing.assert_array_equal(order_rows(indices, indptr, "red-black", serial=True).permutation, [0, 2, 4, 1, 3])
