"""Partitions of the unknowns into blocks: fixed ones, those of a graph, or blocks that are chosen anew each time.

Section 3 of Nutini, Laradji and Schmidt (JMLR 2022) compares the fixed partitions: with greedy rules, blocks of
coordinates with similar Lipschitz constants (``'sort'``) win. Here the last block may be short, and coordinates that
the objective does not depend on (L_i = 0) are in no block.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from numopt._array import to_host
from numopt._core.validation import check_choice, check_scalar
from numopt._rng import default_rng
from numopt._typing import Array, RNGLike
from numopt.coordinate._forest import colour_partition, tree_partition, visiting_order
from numopt.coordinate._problem import Problem

__all__ = ["PARTITIONS", "Partition", "make_partition"]

# Unknowns of a block where the caller does not say.
_BLOCK_SIZE = 64
# Up to so many forests are better than colours: each block is then a large part of all unknowns.
_MOST_FORESTS = 4


@dataclass(frozen=True, eq=False)
class Partition:
    """Blocks of unknowns.

    Attributes
    ----------
    kind : {'fixed', 'variable', 'graph'}
        Whether the blocks are given, chosen anew in each iteration, or given and made of vertices of a sparse Hessian's
        graph, such that H_bb is diagonal or has a forest as its graph. Blocks of a graph may be large.
    name : str
        Name of the partition, ``'given'`` for a list of the caller.
    block_size : int
        Size of variable blocks; of the largest fixed one.
    blocks : list of int64 arrays
        Of the problem's library, ascending, disjoint; empty for a variable partition.
    live : int64 array of shape (n_live,) on the host
        The unknowns that blocks are made of: those with L_i > 0.
    host_blocks : list of int64 arrays
        `blocks` on the host.
    """

    kind: Literal["fixed", "variable", "graph"]
    name: str
    block_size: int
    blocks: list[Array] = field(repr=False)
    live: np.ndarray = field(repr=False)
    host_blocks: list[np.ndarray] = field(repr=False)


def make_partition(
    problem: Problem, partition: Any, block_size: Any = "auto", rng: RNGLike = None, *, order: str = "lipschitz"
) -> Partition:
    """Divide the unknowns of a problem into blocks.

    Parameters
    ----------
    problem : Problem
        Its constants, graph and groups count.
    partition : str or list of index arrays
        ``'order'``: consecutive unknowns. ``'random'``. ``'sort'``: consecutive ones in the order of L_i.
        ``'average'``: smallest, largest, second smallest, second largest and so on, which gives blocks of like means.
        ``'hsort'``, ``'haverage'``: by the row sums sum_j `|H_ij|` instead of L_i. ``'groups'``: the problem's groups.
        ``'variable'``: blocks are chosen anew. ``'redblack'``: colours of the graph of a sparse Hessian.
        ``'tree_partition'``: induced forests of this graph. ``'auto'``: groups where there are any, else forests or
        colours where there is a graph, else variable blocks. Of a list the arrays must be disjoint and cover all
        unknowns.
    block_size : int or 'auto'
        Unknowns of a block, at least 1 and at most all; the last fixed block may be short. Must be ``'auto'`` where the
        partition determines the sizes.
    rng : None, int, SeedSequence, BitGenerator or Generator, optional
        For ``'random'``.
    order : {'lipschitz', 'degree', 'index'}, default 'lipschitz'
        In which order graph partitions take the unknowns: by descending L_i, by descending degree, or as they come.

    Returns
    -------
    Partition
        The blocks.

    Raises
    ------
    ValueError
        For an unknown name, a block size out of range or where none is taken, indices that are no disjoint cover, a
        graph partition of a problem without a graph, groups where there are none, and any other partition where there
        are.
    TypeError
        If `partition` is neither a string nor a sequence of integer arrays.
    """
    if isinstance(partition, Partition):
        return partition
    if not isinstance(partition, str):
        _refuse_size(block_size, "a list of blocks")
        return _given(problem, partition)
    check_choice(partition, "partition", PARTITIONS)
    if partition == "auto":
        return _automatic(problem, block_size, rng, order)
    has_groups = problem.penalty.groups is not None
    if has_groups and partition != "groups":
        raise ValueError(f"A penalty on groups needs `partition='groups'` (or 'auto'), got {partition!r}.")
    if partition == "groups":
        if not has_groups:
            raise ValueError("`partition='groups'` needs a problem with `groups`.")
        _refuse_size(block_size, "'groups'")
        return _groups(problem)
    if partition in _GRAPH_PARTITIONS:
        _refuse_size(block_size, repr(partition))
        return _graph_partition(problem, partition, order)
    live = _live(problem)
    size = _checked_size(problem, block_size, live.size)
    if partition == "variable":
        return Partition("variable", partition, size, [], live, [])
    sequence = live[_ORDERS[partition](problem, live, default_rng(rng))]
    blocks = [np.sort(sequence[start : start + size]) for start in range(0, sequence.size, size)]
    return _from_blocks(problem, "fixed", partition, blocks, live)


# ---- orders of the live unknowns, as positions among them ------------------------------------------------------------


def _by_index(problem: Problem, live: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.arange(live.size)


def _shuffled(problem: Problem, live: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(live.size)


def _sorted_by(constants: str) -> Callable[[Problem, np.ndarray, np.random.Generator], np.ndarray]:
    def order(problem: Problem, live: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.argsort(to_host(getattr(problem, constants))[live], kind="stable")

    return order


def _interleaved(constants: str) -> Callable[[Problem, np.ndarray, np.random.Generator], np.ndarray]:
    ascending = _sorted_by(constants)

    def order(problem: Problem, live: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        by_size = ascending(problem, live, rng)
        out = np.empty_like(by_size)
        half = (by_size.size + 1) // 2
        out[::2] = by_size[:half]
        out[1::2] = by_size[half:][::-1]
        return out

    return order


_ORDERS: dict[str, Callable[[Problem, np.ndarray, np.random.Generator], np.ndarray]] = {
    "order": _by_index,
    "random": _shuffled,
    "sort": _sorted_by("lipschitz"),
    "average": _interleaved("lipschitz"),
    "hsort": _sorted_by("gershgorin"),
    "haverage": _interleaved("gershgorin"),
}
_GRAPH_PARTITIONS = ("redblack", "tree_partition")

PARTITIONS = (*_ORDERS, "groups", "variable", *_GRAPH_PARTITIONS, "auto")
"""Names that `make_partition` takes."""


# ---- kinds of partitions ---------------------------------------------------------------------------------------------


def _automatic(problem: Problem, block_size: Any, rng: RNGLike, order: str) -> Partition:
    if problem.penalty.groups is not None:
        return make_partition(problem, "groups", block_size, rng)
    if problem.graph is None or block_size != "auto":
        return make_partition(problem, "variable", block_size, rng)
    forests = _graph_partition(problem, "tree_partition", order)
    return forests if len(forests.blocks) <= _MOST_FORESTS else _graph_partition(problem, "redblack", order)


def _given(problem: Problem, partition: Any) -> Partition:
    """Check the caller's blocks and leave out the dead unknowns."""
    if not isinstance(partition, Sequence):
        raise TypeError(
            f"`partition` must be a string or a sequence of index arrays, got {type(partition).__name__}; valid names "
            f"are {', '.join(repr(name) for name in PARTITIONS)}."
        )
    blocks = [np.asarray(to_host(block)) for block in partition]
    if any(block.ndim != 1 or block.dtype.kind not in "iu" for block in blocks):
        raise TypeError("`partition` must hold one-dimensional integer arrays.")
    n = problem.n_variables
    together = np.sort(np.concatenate([np.empty(0, dtype=np.int64), *blocks]))
    if together.size != n or not np.array_equal(together, np.arange(n)):
        raise ValueError(f"`partition` must be a disjoint cover of the {n} unknowns; each belongs to one block.")
    blocks = [np.sort(block.astype(np.int64)) for block in blocks if block.size]
    if problem.penalty.groups is not None:
        known = {tuple(np.sort(to_host(group))) for group in problem.penalty.groups}
        if {tuple(block) for block in blocks} != known:
            raise ValueError("With a penalty on groups the blocks of `partition` must be these groups.")
        return _groups(problem)
    live = _live(problem)
    is_live = np.zeros(n, dtype=bool)
    is_live[live] = True
    kept = [block[is_live[block]] for block in blocks]
    return _from_blocks(problem, "fixed", "given", [block for block in kept if block.size], live)


def _groups(problem: Problem) -> Partition:
    """Return the groups that the objective depends on; they stay whole, dead unknowns in them included."""
    L = to_host(problem.lipschitz)
    groups = [np.sort(to_host(group)) for group in problem.penalty.groups or []]
    blocks = [group for group in groups if not (L[group] <= 0).all()]
    live = np.sort(np.concatenate([np.empty(0, dtype=np.int64), *blocks]))
    return _from_blocks(problem, "fixed", "groups", blocks, live)


def _graph_partition(problem: Problem, name: str, order: str) -> Partition:
    graph = problem.graph
    if graph is None:
        raise ValueError(f"`partition={name!r}` needs a problem with a sparse Hessian; this one has no graph.")
    live = _live(problem)
    split = colour_partition if name == "redblack" else tree_partition
    blocks = split(graph, visiting_order(graph, order, problem.lipschitz))
    if live.size < problem.n_variables:
        blocks = [np.intersect1d(block, live, assume_unique=True) for block in blocks]
    return _from_blocks(problem, "graph", name, [block for block in blocks if block.size], live)


def _from_blocks(
    problem: Problem, kind: Literal["fixed", "graph"], name: str, blocks: list[np.ndarray], live: np.ndarray
) -> Partition:
    blocks = [block.astype(np.int64, copy=False) for block in blocks]
    # One transfer; the blocks are slices of it.
    together = problem.xp.asarray(np.concatenate([np.empty(0, dtype=np.int64), *blocks]), device=problem.device)
    ends = np.cumsum([block.size for block in blocks], dtype=np.int64).tolist()
    arrays = [together[end - block.size : end] for block, end in zip(blocks, ends, strict=True)]
    return Partition(kind, name, max((block.size for block in blocks), default=0), arrays, live, blocks)


def _live(problem: Problem) -> np.ndarray:
    """Return the unknowns that f depends on; all of a user's function without constants."""
    try:
        return np.flatnonzero(~(to_host(problem.lipschitz) <= 0))  # NaN is for the updates to see
    except ValueError:
        return np.arange(problem.n_variables)


def _checked_size(problem: Problem, block_size: Any, n_live: int) -> int:
    if isinstance(block_size, str):
        check_choice(block_size, "block_size", ("auto",))
        return max(1, min(_BLOCK_SIZE, n_live))
    return check_scalar(block_size, "block_size", kind=int, low=1, high=problem.n_variables)


def _refuse_size(block_size: Any, what: str) -> None:
    if block_size != "auto":
        raise ValueError(f"`block_size` must be 'auto' with {what}, which fixes the sizes; got {block_size!r}.")
