"""Partitions of the unknowns: disjoint covers with the properties that their names promise."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from numopt.coordinate._least_squares import LeastSquares
from numopt.coordinate._partition import PARTITIONS, Partition, make_partition
from numopt.coordinate._quadratic import Quadratic
from numopt.coordinate._smooth import Smooth
from numopt.coordinate._softmax import Multinomial
from tests.helpers.xp import make, to_numpy

FIXED = ("order", "random", "sort", "average", "hsort", "haverage")


def design(p: int = 23, n: int = 12, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, p)) * rng.lognormal(size=p)


def least_squares(xp: Any = np, A: np.ndarray | None = None, **options: Any) -> LeastSquares:
    A = design() if A is None else A
    return LeastSquares(make(xp, A), make(xp, np.ones(A.shape[0])), **options)


def lattice(nr: int, nc: int) -> Quadratic:
    """The Laplacian of a lattice plus the identity."""

    def path(n: int) -> sp.csr_array:
        off = -np.ones(n - 1)
        degrees = 2.0 * np.ones(n)
        degrees[[0, -1]] -= 1
        return sp.csr_array(sp.diags_array([off, degrees, off], offsets=[-1, 0, 1]))

    Q = sp.kron(path(nr), sp.eye_array(nc)) + sp.kron(sp.eye_array(nr), path(nc))
    return Quadratic(sp.csr_array(Q + sp.eye_array(nr * nc)), np.ones(nr * nc))


def random_graph(n: int, seed: int) -> Quadratic:
    rng = np.random.default_rng(seed)
    W = sp.random_array((n, n), density=4 / n, rng=rng)
    W = abs(W + W.T)
    W.setdiag(0)
    return Quadratic(sp.csr_array(sp.diags_array(W.sum(axis=1) + 1.0) - W), np.ones(n))


def hosts(partition: Partition) -> list[np.ndarray]:
    return [to_numpy(block) for block in partition.blocks]


def check_blocks(partition: Partition, expected: np.ndarray) -> None:
    """Disjoint, ascending, covering `expected`, and the same on the host."""
    blocks = hosts(partition)
    np.testing.assert_array_equal(np.sort(np.concatenate(blocks)), expected)
    for block, host in zip(blocks, partition.host_blocks, strict=True):
        assert block.dtype == np.int64
        assert np.all(np.diff(block) > 0)
        np.testing.assert_array_equal(block, host)
    assert partition.block_size == max(block.size for block in blocks)


@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize("size", [1, 5, 23])
def test_fixed_blocks_are_a_disjoint_cover(xp: Any, name: str, size: int) -> None:
    partition = make_partition(least_squares(xp), name, size, 0)
    assert partition.kind == "fixed"
    check_blocks(partition, np.arange(23))
    sizes = [block.size for block in partition.host_blocks]
    assert all(s == size for s in sizes[:-1])
    assert len(sizes) == -(-23 // size)


@pytest.mark.parametrize(("name", "constants"), [("sort", "lipschitz"), ("hsort", "gershgorin")])
def test_sorted_blocks_hold_neighbours_in_size(name: str, constants: str) -> None:
    problem = least_squares()
    values = getattr(problem, constants)
    partition = make_partition(problem, name, 4)
    for left, right in zip(partition.host_blocks[:-1], partition.host_blocks[1:], strict=True):
        assert values[left].max() <= values[right].min()


@pytest.mark.parametrize(("name", "constants"), [("average", "lipschitz"), ("haverage", "gershgorin")])
def test_average_blocks_pair_the_smallest_with_the_largest(name: str, constants: str) -> None:
    problem = least_squares()
    ranks = np.argsort(np.argsort(getattr(problem, constants)))
    blocks = make_partition(problem, name, 2).host_blocks
    pairs = [tuple(sorted(ranks[block].tolist())) for block in blocks]
    assert pairs == [(k, 22 - k) for k in range(11)] + [(11,)]


def test_random_blocks_follow_the_seed(xp: Any) -> None:
    first, same, other = (make_partition(least_squares(xp), "random", 6, seed) for seed in (1, 1, 2))
    host = make_partition(least_squares(), "random", 6, 1)
    assert all(np.array_equal(a, b) for a, b in zip(hosts(first), hosts(same), strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(hosts(first), host.blocks, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(hosts(first), hosts(other), strict=True))


def test_variable_partition_has_no_blocks(xp: Any) -> None:
    partition = make_partition(least_squares(xp), "variable", 5)
    assert (partition.kind, partition.block_size, partition.blocks) == ("variable", 5, [])
    np.testing.assert_array_equal(partition.live, np.arange(23))


@pytest.mark.parametrize("name", [*FIXED, "variable"])
def test_zero_columns_are_in_no_block(name: str) -> None:
    A = design()
    A[:, [3, 20]] = 0
    partition = make_partition(least_squares(A=A), name, 4, 0)
    live = np.delete(np.arange(23), [3, 20])
    np.testing.assert_array_equal(partition.live, live)
    if partition.kind == "fixed":
        check_blocks(partition, live)


def test_zero_columns_with_a_ridge_count() -> None:
    A = design()
    A[:, 3] = 0
    assert make_partition(least_squares(A=A, l2=0.5), "sort", 4).live.size == 23


def test_all_columns_zero_give_no_blocks() -> None:
    partition = make_partition(least_squares(A=np.zeros((4, 6))), "sort", 2)
    assert (partition.blocks, partition.live.size, partition.block_size) == ([], 0, 0)


def test_given_blocks_are_sorted_and_lose_zero_columns(xp: Any) -> None:
    A = design(p=6)
    A[:, 1] = 0
    blocks = [make(xp, [4, 1, 0]), make(xp, [5, 2, 3])]
    partition = make_partition(least_squares(xp, A), blocks)
    assert partition.name == "given"
    assert [block.tolist() for block in hosts(partition)] == [[0, 4], [2, 3, 5]]


def test_groups_stay_whole() -> None:
    A = design(p=6)
    A[:, [1, 2, 3]] = 0
    problem = least_squares(A=A, l1=1.0, groups=[[4, 0, 1], [2, 3], [5]])
    for partition in (make_partition(problem, "groups"), make_partition(problem, "auto")):
        assert [block.tolist() for block in partition.host_blocks] == [[0, 1, 4], [5]]
    partition = make_partition(problem, [[0, 1, 4], [2, 3], [5]])
    assert [block.tolist() for block in partition.host_blocks] == [[0, 1, 4], [5]]


def is_forest(Q: sp.csr_array, block: np.ndarray) -> bool:
    induced = sp.csr_array(Q[block][:, block])
    induced.setdiag(0)
    induced.eliminate_zeros()
    return induced.nnz // 2 == block.size - connected_components(induced)[0]


@pytest.mark.parametrize("problem", [lattice(7, 9), random_graph(60, 0), random_graph(200, 1)])
@pytest.mark.parametrize("order", ["lipschitz", "degree", "index"])
def test_graph_partitions_are_colours_and_forests(problem: Quadratic, order: str) -> None:
    every = np.arange(problem.n_variables)
    colours = make_partition(problem, "redblack", order=order)
    forests = make_partition(problem, "tree_partition", order=order)
    for partition in (colours, forests):
        assert partition.kind == "graph"
        check_blocks(partition, every)
    for block in colours.host_blocks:
        induced = sp.csr_array(problem.Q[block][:, block])
        assert np.count_nonzero(induced.toarray() - np.diag(induced.diagonal())) == 0
    assert all(is_forest(problem.Q, block) for block in forests.host_blocks)
    assert len(forests.blocks) <= len(colours.blocks)


def test_lattice_has_two_colours_by_parity() -> None:
    blocks = make_partition(lattice(4, 5), "redblack").host_blocks
    parity = np.add.outer(np.arange(4), np.arange(5)).ravel() % 2
    assert [block.tolist() for block in blocks] == [np.flatnonzero(parity == c).tolist() for c in (0, 1)]


def test_auto_takes_forests_on_a_graph_and_variable_blocks_elsewhere() -> None:
    assert make_partition(lattice(6, 6), "auto").name == "tree_partition"
    assert make_partition(least_squares(), "auto").name == "variable"
    assert make_partition(lattice(6, 6), "auto", 4).name == "variable"
    complete = sp.csr_array(20 * np.eye(20) - np.ones((20, 20)))
    assert make_partition(Quadratic(complete, np.ones(20)), "auto").name == "redblack"


def test_a_function_without_constants_has_variable_and_plain_blocks() -> None:
    problem = Smooth(lambda x: float(x @ x), lambda x, block: 2 * x[block], n_variables=5)
    assert make_partition(problem, "variable", 2).live.size == 5
    assert len(make_partition(problem, "order", 2).blocks) == 3
    with pytest.raises(ValueError, match="lipschitz"):
        make_partition(problem, "sort", 2)


def test_a_partition_is_returned_as_it_is() -> None:
    problem = least_squares()
    partition = make_partition(problem, "sort", 4)
    assert make_partition(problem, partition) is partition


def test_unknowns_of_all_classes_are_divided() -> None:
    problem = Multinomial(design(p=4), np.arange(12) % 3)
    check_blocks(make_partition(problem, "sort", 5), np.arange(12))


def test_unknown_names_are_listed() -> None:
    with pytest.raises(ValueError, match=r"must be one of 'order', 'random', 'sort'.*got 'blocks'"):
        make_partition(least_squares(), "blocks")
    assert "variable" in PARTITIONS


@pytest.mark.parametrize("size", [0, -1, 24])
@pytest.mark.parametrize("name", ["sort", "variable"])
def test_block_sizes_out_of_range_are_refused(name: str, size: int) -> None:
    with pytest.raises(ValueError, match="`block_size`"):
        make_partition(least_squares(), name, size)


@pytest.mark.parametrize("blocks", [[[0, 1], [1, 2]], [[0, 1]], [[0, 1, 2, 3]], [[-1, 0, 1]], [[0], [1], [0], [2]], []])
def test_blocks_that_are_no_disjoint_cover_are_refused(blocks: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="disjoint cover of the 3 unknowns"):
        make_partition(least_squares(A=design(p=3)), [np.array(block, dtype=np.int64) for block in blocks])


@pytest.mark.parametrize("blocks", [[[0.0, 1.0, 2.0]], [[[0, 1, 2]]], 7, {0: [0, 1, 2]}])
def test_other_things_than_index_arrays_are_refused(blocks: Any) -> None:
    with pytest.raises(TypeError, match="`partition` must"):
        make_partition(least_squares(A=design(p=3)), blocks)


def test_sizes_are_refused_where_the_partition_has_its_own() -> None:
    grouped = least_squares(A=design(p=3), l1=1.0, groups=[[0, 1], [2]])
    for problem, partition in ((lattice(3, 3), "redblack"), (grouped, "groups"), (least_squares(), [np.arange(23)])):
        with pytest.raises(ValueError, match="`block_size` must be 'auto'"):
            make_partition(problem, partition, 3)


def test_graphs_and_groups_must_be_there() -> None:
    for name in ("redblack", "tree_partition"):
        with pytest.raises(ValueError, match="no graph"):
            make_partition(least_squares(), name)
    with pytest.raises(ValueError, match="needs a problem with `groups`"):
        make_partition(least_squares(), "groups")
    grouped = least_squares(A=design(p=3), l1=1.0, groups=[[0, 1], [2]])
    with pytest.raises(ValueError, match="penalty on groups needs"):
        make_partition(grouped, "sort", 1)
    with pytest.raises(ValueError, match="must be these groups"):
        make_partition(grouped, [[0], [1, 2]])
    with pytest.raises(ValueError, match="order of the nodes"):
        make_partition(lattice(3, 3), "redblack", order="size")
