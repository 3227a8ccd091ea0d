"""Forests and colours of graphs: partitions against their definitions, message passing against dense solves."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.coordinate._forest import (
    Elimination,
    ForestFactor,
    colour_partition,
    forest_solve,
    greedy_forest,
    is_bipartite,
    is_forest,
    lattice_comb,
    tree_partition,
    visiting_order,
)
from numopt.problems import lattice_labels_data
from tests.coordinate.graphs import laplacian, lattice, random_graph
from tests.helpers.xp import make, to_numpy


def is_acyclic(graph, block):
    """Union-find of its own."""
    above = {int(i): int(i) for i in block}

    def root(i):
        while above[i] != i:
            i = above[i]
        return i

    for i in above:
        for j in graph.indices[graph.indptr[i] : graph.indptr[i + 1]]:
            if j < i and int(j) in above:
                first, second = root(i), root(int(j))
                if first == second:
                    return False
                above[first] = second
    return True


def covers(blocks, n):
    return np.array_equal(np.sort(np.concatenate(blocks)), np.arange(n)) and all(
        (np.diff(block) > 0).all() for block in blocks
    )


@pytest.mark.parametrize("rule", ["lipschitz", "degree", "index"])
@pytest.mark.parametrize("degree", [1.0, 4.0, 12.0])
def test_partitions_are_covers_by_forests_and_by_colours(degree, rule):
    graph = random_graph(150, degree, int(degree))
    order = visiting_order(graph, rule, graph.diagonal())
    forests, colours = tree_partition(graph, order), colour_partition(graph, order)
    assert covers(forests, 150)
    assert covers(colours, 150)
    assert all(is_acyclic(graph, block) for block in forests)
    assert all(graph[block][:, block].nnz == block.size for block in colours)
    assert len(forests) <= np.diff(graph.indptr).max() // 2 + 1


def test_a_greedy_forest_is_maximal_and_takes_the_best_first():
    graph = random_graph(80, 5, 1)
    order = np.random.default_rng(0).permutation(80)
    block = greedy_forest(graph, order)
    assert is_acyclic(graph, block)
    assert order[0] in block
    for i in np.setdiff1d(np.arange(80), block):
        assert not is_acyclic(graph, np.append(block, i))
    np.testing.assert_array_equal(greedy_forest(graph, order[:1]), order[:1])


def test_orders_of_nodes():
    graph = lattice(2, 3)
    np.testing.assert_array_equal(visiting_order(graph, "index"), np.arange(6))
    np.testing.assert_array_equal(visiting_order(graph, "degree"), [1, 4, 0, 2, 3, 5])
    np.testing.assert_array_equal(
        visiting_order(graph, "lipschitz", np.asarray([1, 2, 2, 1, 5, 0])), [4, 1, 2, 0, 3, 5]
    )
    with pytest.raises(ValueError, match="'lipschitz', 'degree', 'index', got 'random'"):
        visiting_order(graph, "random")


@pytest.mark.parametrize(("nr", "nc"), [(1, 1), (1, 7), (7, 1), (2, 2), (5, 6), (6, 5)])
def test_a_lattice_is_two_trees(nr, nc):
    graph, blocks = lattice(nr, nc), lattice_comb(nr, nc)
    assert covers(blocks, nr * nc)
    for block in blocks:
        assert is_acyclic(graph, block)
        assert graph[block][:, block].nnz == 3 * block.size - 2
    if nr > 1 and nc > 1:
        row, column = np.divmod(blocks[0], nc)
        assert ((row == 0) | ((column % 2 == 0) & (row < nr - 1))).all()


def test_a_lattice_has_two_colours_and_a_triangle_not():
    graph = lattice(4, 5)
    blocks = colour_partition(graph)
    row, column = np.divmod(blocks[0], 5)
    assert len(blocks) == 2
    assert ((row + column) % 2 == 0).all()
    assert is_bipartite(graph)
    triangle = laplacian([(0, 1), (1, 2), (0, 2)], 3)
    assert not is_bipartite(triangle)
    assert len(colour_partition(triangle)) == 3


def test_lattice_sizes_are_checked():
    with pytest.raises(ValueError, match="at least one row and one column, got 0 x 3"):
        lattice_comb(0, 3)


@pytest.mark.parametrize("n", range(1, 9))
def test_message_passing_solves_every_tree(n):
    # Parents before children: all trees, up to the names of their nodes; those are drawn.
    rng = np.random.default_rng(n)
    for parents in itertools.product(*(range(k) for k in range(1, n))):
        names = rng.permutation(n)
        edges = [(names[k + 1], names[parent]) for k, parent in enumerate(parents)]
        graph = laplacian(edges, n, rng.uniform(0.1, 2, n - 1))
        rhs = rng.standard_normal(n)
        d = forest_solve(graph, np.arange(n), rhs)
        np.testing.assert_allclose(graph @ d, rhs, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_message_passing_is_the_dense_solve_on_forests_with_single_nodes(xp, dtype):
    graph = random_graph(200, 3, 3)
    rng = np.random.default_rng(1)
    for seed in range(5):
        block = greedy_forest(graph, np.random.default_rng(seed).permutation(200)[:150])
        rhs = rng.standard_normal(block.size)
        d = forest_solve(graph, block, make(xp, rhs, dtype))
        assert d.dtype == getattr(xp, dtype)
        dense = graph[block][:, block].toarray()
        eps = np.finfo(dtype).eps
        expected = np.linalg.solve(dense, make(np, rhs, dtype).astype(float))
        tolerance = 20 * eps * np.linalg.cond(dense) * np.abs(expected).max()
        np.testing.assert_allclose(to_numpy(d), expected, rtol=0, atol=tolerance)


def test_a_star_and_a_long_path():
    n = 100_000
    rng = np.random.default_rng(0)
    for edges in (
        np.stack([np.zeros(n - 1, int), np.arange(1, n)], axis=1),
        np.stack([np.arange(n - 1), np.arange(1, n)], axis=1),
    ):
        graph = laplacian(edges, n, ground=1e-3)
        rhs = rng.standard_normal(n)
        d = forest_solve(graph, np.arange(n), rhs)
        # The root of the star adds up n numbers, one after the other.
        size = np.abs(graph @ np.abs(d)).max()
        assert np.abs(graph @ d - rhs).max() <= n * np.finfo(float).eps * size


def test_one_elimination_serves_other_values():
    graph = lattice(6, 7)
    block = lattice_comb(6, 7)[0]
    order = Elimination.of(graph, [block])
    other = graph.copy()
    other.data = np.where(graph.indices == np.repeat(np.arange(42), np.diff(graph.indptr)), 9.0, -0.3)
    rhs = np.arange(block.size, dtype=float)
    d = ForestFactor(other, order, like=rhs).solve(rhs)
    dense = other[order.order][:, order.order].toarray()
    np.testing.assert_allclose(dense @ d, rhs, atol=1e-12)


def test_levels_put_children_side_by_side():
    graph = random_graph(120, 4, 5)
    found = Elimination.of(graph, tree_partition(graph), by_level=True)
    assert found.levels[0] == 0
    assert found.levels[-1] == 120
    for low, high in itertools.pairwise(found.levels):
        assert len(set(found.depths[low:high])) == 1
    for k in range(120):
        own = np.flatnonzero((found.parents == k) & (np.arange(120) != k))
        first, last = found.children[:, k]
        np.testing.assert_array_equal(own, np.arange(first, last))


def test_empty_blocks():
    graph = lattice(2, 2)
    assert forest_solve(graph, np.empty(0, dtype=np.int64), np.empty(0)).shape == (0,)
    assert is_forest(graph, np.empty(0, dtype=np.int64))


def test_a_cycle_is_named():
    graph = lattice(3, 3)
    assert not is_forest(graph, np.arange(9))
    with pytest.raises(ValueError, match=r"node \d is on a cycle of block 0; take a partition into forests"):
        forest_solve(graph, np.arange(9), np.ones(9))


def test_an_indefinite_block_names_the_node():
    graph = laplacian([(0, 1), (1, 2)], 3, ground=0.0)
    graph.data[graph.indptr[2] + 1] = -1.0
    with pytest.raises(np.linalg.LinAlgError, match="not positive at node 2"):
        forest_solve(graph, np.arange(3), np.ones(3))
    # A path without anything that holds it: singular.
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        forest_solve(laplacian([(0, 1), (1, 2)], 3, ground=0.0), np.arange(3), np.ones(3))


def descend(data, blocks, steps):
    """Return the gap to the optimum after exact updates of blocks in turn."""
    x = np.zeros(data.c.size)
    for step in range(steps):
        block = blocks[step % len(blocks)]
        x[block] += forest_solve(data.Q, block, (data.c - data.Q @ x)[block])
    wide = x.astype(np.longdouble)
    product = sp.csr_array(data.Q).astype(np.longdouble) @ wide
    return float(wide @ (0.5 * product - data.c) - data.f_opt)


def test_the_papers_lattice():
    # Values after 500 block updates of data set D, from another implementation.
    data = lattice_labels_data()
    nodes = np.flatnonzero(np.isnan(data.labels))
    row, column = np.divmod(nodes, 50)
    odd = (row + column) % 2 == 1
    assert descend(data, [np.flatnonzero(odd), np.flatnonzero(~odd)], 500) == pytest.approx(20.3523, rel=1e-4)
    assert descend(data, [np.flatnonzero(~odd), np.flatnonzero(odd)], 500) == pytest.approx(20.5003, rel=1e-4)
    first = np.isin(nodes, lattice_comb(50, 50)[0])
    gap = descend(data, [np.flatnonzero(first), np.flatnonzero(~first)], 500)
    # The optimum is known to about 1e-6.
    assert gap == pytest.approx(2.8e-5, rel=0.1)
