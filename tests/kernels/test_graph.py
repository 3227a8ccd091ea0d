"""Kernels on graphs in both homes that have them: forests, orders of elimination, colours."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from tests.helpers.xp import load
from tests.kernels.cases import SIZES, run
from tests.kernels.test_ordering import draw, neighbours
from tests.kernels.transport import unset


# Patterns live on the host: there is no CUDA home.
@pytest.fixture(params=["numpy", "array_api_strict"])
def xp(request: pytest.FixtureRequest) -> Any:
    return load(request.param)


class Trees:
    """Union-find of its own."""

    def __init__(self, n: int) -> None:
        self.above = list(range(n))

    def root(self, i: int) -> int:
        while self.above[i] != i:
            i = self.above[i]
        return i

    def join(self, i: int, j: int) -> bool:
        """Join two trees; False if they are one."""
        i, j = self.root(i), self.root(j)
        self.above[i] = j
        return i != j


def is_acyclic(pattern: sp.csr_array, members: np.ndarray) -> bool:
    trees, inside = Trees(pattern.shape[0]), np.zeros(pattern.shape[0], bool)
    inside[members] = True
    return all(trees.join(i, j) for i in members for j in neighbours(pattern, i) if j < i and inside[j])


def pattern_of(pattern: sp.csr_array, index: str) -> list[Any]:
    return [pattern.indices.astype(index), pattern.indptr.astype(index)]


def grow(xp: Any, pattern: sp.csr_array, order: np.ndarray, most: int, index: str = "i4") -> np.ndarray:
    n = pattern.shape[0]
    outputs = [unset("i4", n), np.full((3, n + 1), -77, "i4")]
    return run(xp, "grow_forests", [*pattern_of(pattern, index), order.astype("i8"), most], outputs)[0]


@pytest.mark.parametrize("index", ["i4", "i8"])
@pytest.mark.parametrize("degree", [3.0, 12.0])
@pytest.mark.parametrize("n", SIZES)
def test_each_node_is_in_the_first_forest_that_can_take_it(xp: Any, n: int, degree: float, index: str) -> None:
    pattern = draw(n, degree, seed=n)
    order = np.random.default_rng(n).permutation(n)
    forests = grow(xp, pattern, order, n + 1, index)
    assert n == 0 or forests.min() >= 0
    for f in range(forests.max(initial=-1) + 1):
        assert is_acyclic(pattern, np.flatnonzero(forests == f))
    before = np.zeros(n, bool)
    for i in order[: 40 if n > 100 else n]:
        for f in range(forests[i]):
            members = np.flatnonzero(before & (forests == f))
            assert not is_acyclic(pattern, np.append(members, i))
        before[i] = True


@pytest.mark.parametrize("n", SIZES)
def test_one_forest_is_maximal(xp: Any, n: int) -> None:
    pattern = draw(n, 5.0, seed=n)
    order = np.random.default_rng(n).permutation(n)[: max(n - 2, 0)]
    forests = grow(xp, pattern, order, 1)
    members = np.flatnonzero(forests == 0)
    assert is_acyclic(pattern, members)
    assert set(members) <= set(order)
    for i in set(order) - set(members):
        assert not is_acyclic(pattern, np.append(members, i))


def eliminate(xp: Any, pattern: sp.csr_array, forests: np.ndarray, index: str = "i4") -> list[np.ndarray]:
    nodes = np.flatnonzero(forests >= 0)
    starts = np.append(0, np.cumsum(np.bincount(forests[nodes]))).astype("i8")
    k, n = nodes.size, pattern.shape[0]
    outputs = [starts, unset("i8", k), unset("i4", k), unset("i4", k), np.full((3, n), -77, "i4"), np.full(1, -9)]
    return run(xp, "forest_order", [*pattern_of(pattern, index), nodes, forests], outputs)


@pytest.mark.parametrize("index", ["i4", "i8"])
@pytest.mark.parametrize("n", SIZES)
def test_an_order_of_elimination_takes_every_edge_once(xp: Any, n: int, index: str) -> None:
    pattern = draw(n, 5.0, seed=n)
    forests = grow(xp, pattern, np.arange(n), 2)
    ends, order, parents, depths, _, info = eliminate(xp, pattern, forests, index)
    assert info[0] == -1
    assert sorted(order) == np.flatnonzero(forests >= 0).tolist()
    assert np.array_equal(forests[order], np.sort(forests[order]))
    places = np.arange(order.size)
    assert (parents <= places).all()
    roots = parents == places
    assert np.array_equal(depths, np.where(roots, 0, depths[parents] + 1))
    edges = {frozenset((int(order[k]), int(order[parents[k]]))) for k in places[~roots]}
    expected = {frozenset((int(i), int(j))) for i in order for j in neighbours(pattern, i) if forests[i] == forests[j]}
    assert edges == expected
    assert len(edges) == order.size - np.count_nonzero(roots)
    if order.size:
        assert ends[-2] == order.size


def test_paths_are_stretches_of_the_order(xp: Any) -> None:
    pattern = sp.csr_array(sp.diags_array([np.ones(9)] * 2, offsets=[-1, 1]))
    _, order, parents, *_ = eliminate(xp, pattern, np.zeros(10, "i4"))
    np.testing.assert_array_equal(order, np.arange(10))
    np.testing.assert_array_equal(parents, np.maximum(np.arange(10) - 1, 0))


@pytest.mark.parametrize("length", [3, 4, 9])
def test_a_cycle_is_found_and_a_node_of_it_named(xp: Any, length: int) -> None:
    # A path that ends in a cycle.
    edges = [(i, i + 1) for i in range(5)] + [(5 + i, 5 + (i + 1) % length) for i in range(length)]
    n = 5 + length
    dense = np.zeros((n, n), bool)
    for i, j in edges:
        dense[i, j] = dense[j, i] = True
    info = eliminate(xp, sp.csr_array(dense), np.zeros(n, "i4"))[-1]
    assert 5 <= info[0] < n


@pytest.mark.parametrize(("real", "index"), [("f8", "i4"), ("f4", "i8")])
@pytest.mark.parametrize("n", SIZES)
def test_entries_of_forests(xp: Any, n: int, real: str, index: str) -> None:
    pattern = draw(n, 5.0, diagonal=n % 2 == 1, seed=n)
    values = np.random.default_rng(0).standard_normal((n, n))
    A = sp.csr_array(np.where(pattern.toarray(), values + values.T, 0).astype(real))
    forests = grow(xp, pattern, np.arange(n), 1)
    _, order, parents, *_ = eliminate(xp, pattern, forests)
    inputs = [A.data, *pattern_of(A, index), order, parents]
    diagonal, links = run(xp, "forest_entries", inputs, [unset(real, order.size), unset(real, order.size)])
    dense = A.toarray()
    np.testing.assert_array_equal(diagonal, dense[order, order])
    above = order[parents]
    np.testing.assert_array_equal(links, np.where(above == order, 0, dense[order, above]))


@pytest.mark.parametrize("index", ["i4", "i8"])
@pytest.mark.parametrize("n", SIZES)
def test_each_node_takes_the_least_used_colour_that_it_may(xp: Any, n: int, index: str) -> None:
    pattern = draw(n, 6.0, seed=n)
    order = np.random.default_rng(n).permutation(n)
    outputs = [unset("i4", n), unset("i4", n + 1), unset("i8", n + 1)]
    colours, _, counts = run(xp, "balanced_colours", [*pattern_of(pattern, index), order], outputs)
    np.testing.assert_array_equal(counts, np.bincount(colours, minlength=n + 1) if n else np.zeros(1))
    used = np.zeros(n + 1, int)
    seen = np.full(n, -1)
    for i in order:
        taken = set(seen[neighbours(pattern, i)].tolist())
        assert colours[i] not in taken
        free = [c for c in range(int(np.count_nonzero(used))) if c not in taken]
        assert colours[i] == (min(free, key=lambda c: (used[c], c)) if free else np.count_nonzero(used))
        used[colours[i]] += 1
        seen[i] = colours[i]


def two(xp: Any, pattern: sp.csr_array, index: str = "i4") -> tuple[np.ndarray, int]:
    n = pattern.shape[0]
    colours, _, info = run(
        xp, "two_colours", pattern_of(pattern, index), [unset("i4", n), unset("i4", n), np.full(1, -9)]
    )
    return colours, int(info[0])


@pytest.mark.parametrize("index", ["i4", "i8"])
@pytest.mark.parametrize("n", SIZES)
def test_two_colours_where_there_is_no_odd_cycle(xp: Any, n: int, index: str) -> None:
    side = np.random.default_rng(n).random(n) < 0.5
    dense = draw(n, 8.0, seed=n).toarray() & (side[:, None] != side[None, :])
    np.fill_diagonal(dense, True)
    pattern = sp.csr_array(dense)
    colours, info = two(xp, pattern, index)
    assert info == -1
    _, component = sp.csgraph.connected_components(pattern) if n else (0, np.empty(0))
    for i in range(n):
        assert (colours[neighbours(pattern, i)] != colours[i]).all()
        assert i > 0 or colours[i] == 0
        if i == np.flatnonzero(component == component[i])[0]:
            assert colours[i] == 0


@pytest.mark.parametrize("length", [3, 5, 33])
def test_an_odd_cycle_is_found(xp: Any, length: int) -> None:
    ring = np.roll(np.eye(length, dtype=bool), 1, axis=1)
    assert two(xp, sp.csr_array(ring | ring.T))[1] >= 0
    assert two(xp, sp.csr_array(np.zeros((length, length), bool)))[1] == -1
