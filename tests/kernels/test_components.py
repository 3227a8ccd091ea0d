"""Connected components of a bipartite graph in every home against SciPy."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from tests.kernels.cases import run
from tests.kernels.transport import unset

# Edges a vertex: a forest of small trees, the threshold of a giant component, one component and a dense graph.
DEGREES = [0.3, 1.0, 4.0, 20.0]


def draw(n: int, m: int, degree: float, seed: int = 0) -> sp.csr_array:
    rng = np.random.default_rng(seed)
    return sp.csr_array(rng.random((n, m)) < degree / max(n, m))


def path(n: int, order: np.ndarray) -> sp.csr_array:
    """Return a chain row, column, row, ... of all rows in the order given."""
    columns = np.arange(n - 1)
    rows = np.concatenate([order[:-1], order[1:]])
    return sp.csr_array((np.ones(2 * (n - 1)), (rows, np.concatenate([columns, columns]))), shape=(n, n - 1))


def arguments(graph: sp.csr_array) -> list[np.ndarray]:
    """Return the index arrays of both forms."""
    return [part.astype(t) for A in (graph, sp.csr_array(graph.T)) for part, t in ((A.indices, "i4"), (A.indptr, "i8"))]


def oracle(graph: sp.csr_array) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest row of every row's and column's component, by SciPy."""
    n, m = graph.shape
    count, labels = connected_components(sp.block_array([[None, graph], [graph.T, None]]), directed=False)
    # Vertices are numbered as labels are: columns after rows.
    smallest = np.full(count, n + m)
    np.minimum.at(smallest, labels, np.arange(n + m))
    return smallest[labels][:n], smallest[labels][n:]


def compare(xp: Any, graph: sp.csr_array) -> None:
    n, m = graph.shape
    found = run(xp, "bipartite_components", arguments(graph), [unset("i4", n), unset("i4", m)])
    for labels, expected in zip(found, oracle(graph), strict=True):
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (33, 65), (130, 70)])
def test_labels_match_scipy(xp: Any, shape: tuple[int, int], degree: float) -> None:
    compare(xp, draw(*shape, degree))


@pytest.mark.parametrize("order", ["ascending", "descending", "random"])
def test_a_long_chain_is_one_component(xp: Any, order: str) -> None:
    n = 60
    rows = {
        "ascending": np.arange(n),
        "descending": np.arange(n)[::-1],
        "random": np.random.default_rng(0).permutation(n),
    }[order]
    compare(xp, path(n, rows))


def test_rows_and_columns_without_entries_are_their_own_components(xp: Any) -> None:
    row_labels, col_labels = run(
        xp, "bipartite_components", arguments(sp.csr_array((3, 2))), [unset("i4", 3), unset("i4", 2)]
    )  # fmt: skip
    np.testing.assert_array_equal(row_labels, [0, 1, 2])
    np.testing.assert_array_equal(col_labels, [3, 4])


def test_blocks_keep_apart(xp: Any) -> None:
    blocks = [np.ones((3, 2)), np.ones((1, 5)), np.ones((4, 4))]
    permutation = np.random.default_rng(0).permutation
    graph = sp.csr_array(
        sp.block_diag([sp.coo_array(block) for block in blocks], format="csr")[permutation(8)][:, permutation(11)]
    )
    compare(xp, graph)
