"""Forests and colours of the graph of a sparse matrix: what to update exactly at once, and how.

A block whose nodes induce a forest is solved with in time proportional to its size, leaves to roots and back (2.4.10);
a block without edges is the special case in which every node is a tree. Graphs are SciPy CSR matrices on the host with
a symmetric pattern, sorted rows and no duplicates; blocks are ascending int64 arrays on the host.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from numopt._array import asarray_like, is_cupy, namespace, to_host
from numopt._typing import Array
from numopt.kernels import bind

__all__ = [
    "Elimination",
    "ForestFactor",
    "colour_partition",
    "factor_forests",
    "forest_solve",
    "greedy_forest",
    "is_bipartite",
    "is_forest",
    "lattice_comb",
    "permuted_rows",
    "tree_partition",
    "trees_of",
    "visiting_order",
]

ORDERS = ("lipschitz", "degree", "index")


def visiting_order(graph: Any, rule: str, lipschitz: Array | None = None) -> np.ndarray:
    """Return the nodes in the order of a rule: descending L_i or degree, ties by index, or by index alone.

    Parameters
    ----------
    graph : CSR matrix
        The graph.
    rule : {'lipschitz', 'degree', 'index'}
        What to sort by.
    lipschitz : array of shape (n,), optional
        The numbers L_i, needed by ``'lipschitz'``.
    """
    if rule not in ORDERS:
        raise ValueError(f"The order of the nodes must be one of {', '.join(map(repr, ORDERS))}, got {rule!r}.")
    if rule == "index":
        return np.arange(graph.shape[0], dtype=np.int64)
    keys = np.diff(graph.indptr) if rule == "degree" else to_host(lipschitz)
    return np.argsort(-keys, kind="stable").astype(np.int64, copy=False)


def greedy_forest(graph: Any, order: np.ndarray) -> np.ndarray:
    """Grow a maximal induced forest: take the nodes in order, each if it touches every tree so far at most once.

    Parameters
    ----------
    graph : CSR matrix
        The graph.
    order : int64 array
        Nodes, the best first; those left out do not take part.

    Returns
    -------
    block : int64 array
        The nodes of the forest, ascending.

    Notes
    -----
    Union-find over the trees: about one look at each entry of the rows taken.
    """
    forests = _grow(graph, order, 1)
    return np.flatnonzero(forests == 0)


def tree_partition(graph: Any, order: np.ndarray | None = None) -> list[np.ndarray]:
    """Split the nodes into induced forests, each put into the first where it touches no tree twice.

    Parameters
    ----------
    graph : CSR matrix
        The graph.
    order : int64 array of shape (n,), optional
        In which order nodes are placed; by default by index.

    Returns
    -------
    blocks : list of int64 arrays
        Disjoint, ascending each, covering all nodes; at most half the largest degree plus one of them.
    """
    if order is None:
        order = np.arange(graph.shape[0], dtype=np.int64)
    return _blocks(_grow(graph, order, graph.shape[0] + 1))


def colour_partition(graph: Any, order: np.ndarray | None = None) -> list[np.ndarray]:
    """Split the nodes into blocks without edges: two by distance where the graph has no odd cycle, else greedily.

    Parameters
    ----------
    graph : CSR matrix
        The graph.
    order : int64 array of shape (n,), optional
        In which order nodes are coloured where two colours do not do; by default by index. Each takes the least used
        colour that no neighbour has.

    Returns
    -------
    blocks : list of int64 arrays
        Disjoint, ascending each, covering all nodes. The first node of each component of a bipartite graph is in the
        first block.
    """
    n = graph.shape[0]
    colours = _two_colours(graph)
    if colours is None:
        colours = np.empty(n, dtype=np.int32)
        order = np.arange(n, dtype=np.int64) if order is None else np.asarray(order, dtype=np.int64)
        used, counts = np.empty(n + 1, dtype=np.int32), np.empty(n + 1, dtype=np.int64)
        bind(np).balanced_colours(graph.indices, graph.indptr, order, colours, used, counts)
    return _blocks(colours)


def is_bipartite(graph: Any) -> bool:
    """Tell whether the graph has no odd cycle."""
    return _two_colours(graph) is not None


def lattice_comb(nr: int, nc: int) -> list[np.ndarray]:
    """Split an nr x nc lattice, numbered row by row, into two trees: combs that reach into one another.

    The first has the first row and the even columns but for the last row, the second has the rest.
    """
    if nr < 1 or nc < 1:
        raise ValueError(f"A lattice must have at least one row and one column, got {nr} x {nc}.")
    first = np.zeros((nr, nc), dtype=bool)
    first[:-1, ::2] = True
    first[0, :] = True
    blocks = [np.flatnonzero(first), np.flatnonzero(~first)]
    return [block for block in blocks if block.size]


def is_forest(graph: Any, block: Array) -> bool:
    """Tell whether the nodes of a block induce a forest."""
    return _depth_first(graph, [np.asarray(to_host(block), dtype=np.int64)])[0] < 0


def forest_solve(graph: Any, block: Array, rhs: Array) -> Array:
    """Solve ``H_bb d = rhs`` for a block that induces a forest, in time proportional to its size.

    Parameters
    ----------
    graph : CSR matrix
        H.
    block : int64 array
        The nodes.
    rhs : array of shape (len(block),)
        Right-hand side; its library is that of the answer.

    Returns
    -------
    d : array of shape (len(block),)
        The solution.

    Raises
    ------
    ValueError
        If the block has a cycle; the message names a node of it.
    numpy.linalg.LinAlgError
        If H_bb is not positive definite; the message names the node at which a pivot was not positive.
    """
    return ForestFactor(graph, block, like=rhs).solve(rhs)


@dataclass(frozen=True)
class Elimination:
    """The order in which the forests of some blocks are eliminated; one after the other, children after parents.

    Attributes
    ----------
    order : int64 array of shape (n,)
        The node in each place.
    parents : int32 array of shape (n,)
        The place of its parent, its own for a root.
    depths : int32 array of shape (n,)
        Its distance from the root of its tree.
    starts : int64 array of shape (n_blocks + 1,)
        Block f has the places ``starts[f]`` to ``starts[f + 1] - 1``.
    """

    order: np.ndarray
    parents: np.ndarray
    depths: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, graph: Any, blocks: Sequence[np.ndarray], *, by_level: bool = False) -> "Elimination":
        """Order the forests that disjoint blocks induce.

        Depth first, so that paths are stretches of memory, or level by level, so that a level is; a ValueError names a
        node on a cycle.
        """
        node, found = _depth_first(graph, blocks)
        if node >= 0:
            block = next(i for i, members in enumerate(blocks) if np.isin(node, members))
            raise ValueError(
                f"Message passing needs blocks without cycles, but node {node} is on a cycle of block {block}; "
                "take a partition into forests, for instance 'tree_partition'."
            )
        return found.by_level() if by_level else found

    def by_level(self) -> "Elimination":
        """Return the same trees ordered by distance from their roots, the children of a node side by side."""
        block_of = np.repeat(np.arange(self.starts.size - 1), np.diff(self.starts))
        # Stable: a level keeps the order of the depth-first search, in which the children of a node are neighbours.
        old = np.lexsort((self.depths, block_of))
        new = np.empty(old.size, dtype=np.int32)
        new[old] = np.arange(old.size, dtype=np.int32)
        return Elimination(self.order[old], new[self.parents[old]], self.depths[old], self.starts)

    @functools.cached_property
    def levels(self) -> np.ndarray:
        """Offsets of the levels of an order by level."""
        begins = np.zeros(self.depths.size, dtype=bool)
        begins[1:] = np.diff(self.depths) != 0
        begins[self.starts[:-1][np.diff(self.starts) > 0]] = True
        return np.append(np.flatnonzero(begins), self.depths.size).astype(np.int64)

    @functools.cached_property
    def children(self) -> np.ndarray:
        """First and last place, plus one, of the children of each node of an order by level."""
        out = np.zeros((2, self.parents.size), dtype=np.int32)
        places = np.flatnonzero(self.depths > 0).astype(np.int32)
        above = self.parents[places]
        begins = np.ones(places.size, dtype=bool)
        begins[1:] = above[1:] != above[:-1]
        out[0, above[begins]] = places[begins]
        out[1] = out[0] + np.bincount(above, minlength=self.parents.size).astype(np.int32)
        return out

    def part(self, start: int, stop: int) -> "Elimination":
        """Return whole blocks of it, places `start` to ``stop - 1``, as an elimination of their own."""
        rows = slice(start, stop)
        starts = self.starts[(self.starts >= start) & (self.starts <= stop)] - start
        return Elimination(self.order[rows], self.parents[rows] - np.int32(start), self.depths[rows], starts)


class ForestFactor:
    """The factors of the matrix within a block, or several that do not see one another, that induces a forest.

    Parameters
    ----------
    graph : CSR matrix
        H.
    block : int64 array, or Elimination
        The nodes; an elimination that `Elimination.of` returned before serves other values on the same pattern.
    like : array
        Library, dtype and device of the right-hand sides.

    Raises
    ------
    ValueError, numpy.linalg.LinAlgError
        As `forest_solve`.
    """

    def __init__(self, graph: Any, block: "Array | Elimination", *, like: Array) -> None:
        self._kernels = bind(namespace(like))
        if isinstance(block, Elimination):
            found, places, back = block, None, None
        else:
            nodes = np.asarray(to_host(block), dtype=np.int64)
            found = Elimination.of(graph, [nodes], by_level=is_cupy(namespace(like)))
            places = np.searchsorted(nodes, found.order)
            back = asarray_like(np.argsort(places), like)
        self.elimination = found
        # Right-hand sides of a block come in its order, those of an elimination in that of the places.
        self._places = None if places is None else asarray_like(places, like)
        self._back = back
        self._trees = trees_of(found, like)
        self._factors = factor_forests(graph, found, like)

    def solve(self, rhs: Array) -> Array:
        """Return the solution for one right-hand side."""
        xp = namespace(rhs)
        d = xp.asarray(rhs, copy=True) if self._places is None else xp.take(rhs, self._places)
        self._kernels.forest_solve(*self._trees, *self._factors, d)
        return d if self._back is None else xp.take(d, self._back)


def trees_of(elimination: Elimination, like: Array) -> tuple[Array, Array, Array]:
    """Return parents, levels and children as the kernels of the library of `like` want them."""
    if is_cupy(namespace(like)):
        levels, children = elimination.levels, elimination.children
    else:
        levels, children = np.empty(0, dtype=np.int64), np.empty((2, 0), dtype=np.int32)
    parents, levels, children = (asarray_like(v, like) for v in (elimination.parents, levels, children))
    return parents, levels, children


def factor_forests(graph: Any, elimination: Elimination, like: Array) -> tuple[Array, Array]:
    """Return links and inverse pivots of the forests of an elimination; a LinAlgError names the node of a bad pivot."""
    kernels, dtype = bind(namespace(like)), _host_dtype(like)
    diagonal, entries = (np.empty(elimination.order.size, dtype=dtype) for _ in range(2))
    data = graph.data.astype(dtype, copy=False)
    bind(np).forest_entries(
        data, graph.indices, graph.indptr, elimination.order, elimination.parents, diagonal, entries
    )
    diagonal, entries = (asarray_like(values, like, dtype=like.dtype) for values in (diagonal, entries))
    links, inverse = (namespace(like).empty_like(diagonal) for _ in range(2))
    info = asarray_like(np.empty(1, dtype=np.int64), like)
    kernels.forest_factor(*trees_of(elimination, like), diagonal, entries, links, inverse, info)
    bad = int(to_host(info)[0])
    if bad >= 0:
        raise np.linalg.LinAlgError(
            "The matrix is not positive definite: message passing meets a pivot that is not positive at node "
            f"{int(elimination.order[bad])}."
        )
    return links, inverse


def permuted_rows(graph: Any, order: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return data, indices and indptr of the matrix with rows and columns in another order; rows are not sorted."""
    rows = graph[order]
    place = np.empty(order.size, dtype=rows.indices.dtype)
    place[order] = np.arange(order.size, dtype=place.dtype)
    return rows.data, place[rows.indices], rows.indptr


def _host_dtype(like: Array) -> Any:
    """Return the NumPy dtype with the precision of an array."""
    return np.dtype(str(like.dtype).rpartition(".")[2])


def _grow(graph: Any, order: np.ndarray, most: int) -> np.ndarray:
    n = graph.shape[0]
    forests, work = np.empty(n, dtype=np.int32), np.empty((3, n + 1), dtype=np.int32)
    bind(np).grow_forests(graph.indices, graph.indptr, np.asarray(order, dtype=np.int64), most, forests, work)
    return forests


def _two_colours(graph: Any) -> np.ndarray | None:
    """Return a colour for each node, 0 for the first node of each component, or None if there is an odd cycle."""
    n = graph.shape[0]
    colours, info = np.empty(n, dtype=np.int32), np.empty(1, dtype=np.int64)
    bind(np).two_colours(graph.indices, graph.indptr, colours, np.empty(n, dtype=np.int32), info)
    return colours if info[0] < 0 else None


def _blocks(numbers: np.ndarray) -> list[np.ndarray]:
    """Return the nodes of each number from 0 on."""
    order = np.argsort(numbers, kind="stable").astype(np.int64, copy=False)
    return np.split(order, np.cumsum(np.bincount(numbers))[:-1]) if numbers.size else []


def _depth_first(graph: Any, blocks: Sequence[np.ndarray]) -> tuple[int, Elimination]:
    """Return a node on a cycle, -1 without, and the depth-first order of the forests of some blocks."""
    n = graph.shape[0]
    forests, work = np.full(n, -1, dtype=np.int32), np.empty((3, n), dtype=np.int32)
    for number, block in enumerate(blocks):
        forests[block] = number
    nodes = blocks[0] if len(blocks) == 1 else np.sort(np.concatenate(blocks)) if blocks else np.empty(0, np.int64)
    starts = np.concatenate([[0], np.cumsum([len(block) for block in blocks])]).astype(np.int64)
    order, info = np.empty(nodes.size, dtype=np.int64), np.empty(1, dtype=np.int64)
    parents, depths = np.empty(nodes.size, dtype=np.int32), np.empty(nodes.size, dtype=np.int32)
    ends = starts.copy()
    bind(np).forest_order(graph.indices, graph.indptr, nodes, forests, ends, order, parents, depths, work, info)
    return int(info[0]), Elimination(order, parents, depths, starts)
