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


def greedy_problem(n: int, real: str, kind: str) -> list[np.ndarray]:
    """Draw a positive definite sparse Hessian, its diagonal, a penalty, a point and the gradient there."""
    rng = np.random.default_rng(n)
    values = np.where(draw(n, 4.0, seed=n).toarray(), rng.standard_normal((n, n)), 0)
    values = np.tril(values, -1)
    H = values + values.T
    H[np.diag_indices(n)] = np.abs(H).sum(axis=1) + rng.uniform(0.5, 1.5, n)
    if n > 5:
        H[3, :] = H[:, 3] = 0  # a coordinate that does not matter
    A = sp.csr_array(H.astype(real))
    l1 = np.full(n, 0.3 if kind == "l1" else 0.0)
    lower = np.full(n, 0.0 if kind == "bounds" else -np.inf)
    upper = np.full(n, 0.5 if kind == "bounds" else np.inf)
    x = np.clip(rng.standard_normal(n), lower, upper)
    g = H @ x - rng.standard_normal(n)
    return [A, A.diagonal(), np.stack([l1, lower, upper]).astype(real), x.astype(real), g.astype(real)]


def greedy(xp: Any, problem: list[Any], rule: int, steps: list[int], index: str = "i4") -> list[np.ndarray]:
    A, curvature, penalty, x, g = problem
    n = x.size
    state = [x, g, np.empty_like(x), np.empty(n, "i4"), np.empty(n, "i4")]
    chosen = []
    for call, count in enumerate(steps):
        inputs = [A.data, *pattern_of(A, index), curvature, penalty, rule, int(call == 0)]
        *state, found = run(xp, "greedy_steps", inputs, [*state, np.full(count, -7)])
        chosen.append(found)
    return [*state[:2], np.concatenate(chosen)]


@pytest.mark.parametrize(("real", "index"), [("f8", "i4"), ("f8", "i8"), ("f4", "i4")])
@pytest.mark.parametrize("kind", ["none", "l1", "bounds"])
@pytest.mark.parametrize("rule", [0, 1, 2])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 33, 65])
def test_a_heap_chooses_what_a_look_at_all_scores_does(n: int, rule: int, kind: str, real: str, index: str) -> None:
    problem = greedy_problem(n, real, kind)
    # Later choices hang on rounding: where scores are close, and where few unknowns are at the minimum soon.
    steps = [1] if n <= 2 else [3, 5, 8] if real == "f8" else [3]
    x, g, chosen = greedy(load("numpy"), problem, rule, steps, index)
    expected_x, expected_g, expected = greedy(load("array_api_strict"), problem, rule, steps, index)
    np.testing.assert_array_equal(chosen, expected)
    bound = 100 * np.finfo(real).eps * (1 + np.abs(expected_g).max(initial=0))
    np.testing.assert_allclose(x, expected_x, rtol=0, atol=bound)
    np.testing.assert_allclose(g, expected_g, rtol=0, atol=bound)
    assert 3 not in chosen or n <= 5


@pytest.mark.parametrize("rule", [0, 1, 2])
@pytest.mark.parametrize("kind", ["none", "l1", "bounds"])
def test_greedy_steps_come_to_the_minimum(rule: int, kind: str) -> None:
    problem = greedy_problem(65, "f8", kind)
    A, _, (l1, lower, upper), start, g = problem
    x, g, _ = greedy(load("numpy"), problem, rule, [20_000])
    np.testing.assert_allclose(g, problem[4] + A @ (x - start), atol=1e-12)
    # The fixed point of a proximal gradient step of length 1.
    moved = np.clip(np.sign(x - g) * np.maximum(np.abs(x - g) - l1, 0), lower, upper)
    moved[3] = x[3]
    np.testing.assert_allclose(moved, x, atol=1e-12)


def test_equal_scores_go_by_number() -> None:
    A = sp.csr_array(sp.eye_array(9))
    problem = [A, np.ones(9), np.stack([np.zeros(9), np.full(9, -np.inf), np.full(9, np.inf)]), np.zeros(9), np.ones(9)]
    np.testing.assert_array_equal(greedy(load("numpy"), problem, 0, [4, 7])[2], [*range(9), -1, -1])
