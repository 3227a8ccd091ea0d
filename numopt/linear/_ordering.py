"""Orders of rows for sweeps: the natural one, colours, and the classes of rows that may be taken at once.

A sweep over rows that are sorted by colour, or by level, takes each class at once: its rows do not touch one another.
Levels keep the natural order (a row comes after all that it waits for), colours change it, and with it the iteration.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from numopt.kernels import bind

NAMES = ("natural", "red-black", "multicolor")


@dataclass(frozen=True)
class Ordering:
    """An order of the rows of a square matrix.

    Attributes
    ----------
    name : str
        ``'natural'``, ``'red-black'``, ``'multicolor'`` or, for given colours, ``'colours'``.
    permutation : int64 array of shape (n,) or None
        Row k of the matrix in the new order is row ``permutation[k]`` of the old one; None for the identity.
    classes : int64 array of shape (n_classes + 1,) or (0,)
        Rows ``classes[c]`` to ``classes[c + 1] - 1`` of the new order do not touch one another. Empty where rows are
        taken one after the other.
    n_classes : int
        Number of classes, 0 without.
    """

    name: str
    permutation: np.ndarray | None
    classes: np.ndarray
    n_classes: int


_NO_CLASSES = np.empty(0, dtype=np.int64)


def order_rows(
    indices: np.ndarray,
    indptr: np.ndarray,
    ordering: str | np.ndarray,
    *,
    serial: bool,
    shape: tuple[int, int] | None = None,
) -> Ordering:
    """Order the rows of a sparse matrix for sweeps.

    Rows touch where either of a_ij and a_ji is stored: the pattern need not be symmetric.

    Parameters
    ----------
    indices, indptr : int32 or int64 arrays
        CSR pattern of a square matrix on the host, rows sorted and without duplicates.
    ordering : {'natural', 'red-black', 'multicolor'} or int array of shape (n,)
        ``'natural'``: as the rows come. ``'red-black'``: two colours, where the graph of the matrix has no odd cycle;
        the first row of each connected component is red. ``'multicolor'``: greedy colours in the order of the rows.
        Colours of the rows: these, smallest first. Rows of one colour stay in their order.
    serial : bool
        Whether rows are taken one after the other where the order is natural. If not, they are sorted by level, which
        gives the same sweeps; there may be many levels, in the worst case one per row.
    shape : (int, int), optional
        Of the matrix, for a check.

    Returns
    -------
    result : Ordering
        Permutation and classes.

    Raises
    ------
    ValueError
        For a matrix that is not square, an unknown name, an odd cycle and ``'red-black'``, and colours of wrong length,
        negative ones or one that neighbours share.
    TypeError
        If `ordering` is neither a string nor an integer array.

    Notes
    -----
    Cost: a few passes over the pattern, for five million entries 0.05 s in the order of a grid and 0.15 s in a random
    one, where two colours take a search of 1 s.
    """
    n = indptr.size - 1
    if shape is not None and tuple(shape) != (n, n):
        raise ValueError(f"`shape` must be ({n}, {n}), that of a square matrix with the given rows, got {shape}.")
    if not isinstance(ordering, str):
        return _given(indices, indptr, np.asarray(ordering))
    if ordering not in NAMES:
        names = ", ".join(repr(name) for name in NAMES)
        raise ValueError(f"`ordering` must be one of {names} or an integer array of colours, got {ordering!r}.")
    if ordering == "natural" and serial:
        return Ordering("natural", None, _NO_CLASSES, 0)
    return _sorted_by(ordering, _NUMBERINGS[ordering](*_symmetrized(indices, indptr)))


def quotient_pattern(indices: np.ndarray, indptr: np.ndarray, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the CSR pattern, `indices` and `indptr`, of a square matrix of blocks.

    Parameters
    ----------
    indices, indptr : int32 or int64 arrays
        CSR pattern of a square matrix.
    blocks : int array of shape (n_blocks + 1,)
        Block k is rows and columns ``blocks[k]`` to ``blocks[k + 1] - 1``.

    Returns
    -------
    indices, indptr : arrays of the same dtype
        Blocks with a stored entry, sorted by column, without duplicates.
    """
    n_blocks = blocks.size - 1
    block_of = np.repeat(np.arange(n_blocks, dtype=indices.dtype), np.diff(blocks))
    # The rows of a block, one after the other, are its row of the quotient with duplicates and out of order.
    quotient = sp.csr_array(
        (np.ones(indices.size, dtype=np.int8), block_of[indices], indptr[blocks]), shape=(n_blocks, n_blocks)
    )
    quotient.sum_duplicates()
    return quotient.indices.astype(indices.dtype, copy=False), quotient.indptr.astype(indices.dtype, copy=False)


def _symmetrized(indices: np.ndarray, indptr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pattern of A + A^T, the arrays themselves if it is that of A."""
    n = indptr.size - 1
    pattern = sp.csr_array((np.ones(indices.size, dtype=bool), indices, indptr), shape=(n, n))
    transposed = sp.csr_array(pattern.T)
    if np.array_equal(transposed.indptr, indptr) and np.array_equal(transposed.indices, indices):
        return indices, indptr
    union = pattern + transposed
    return union.indices, union.indptr


def _greedy(indices: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    n = indptr.size - 1
    colours = np.empty(n, dtype=np.int32)
    bind(np).greedy_colours(indices, indptr, colours, np.empty(n + 1, dtype=np.int32))
    return colours


def _levels(indices: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    levels = np.empty(indptr.size - 1, dtype=np.int32)
    bind(np).row_levels(indices, indptr, levels)
    return levels


def _two_colours(indices: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """Return the two-colouring with the first node of each component red (0)."""
    # Greedy colours may do, as on grids in their natural order: then they are the two-colouring, which is unique.
    colours = _greedy(indices, indptr)
    if colours.max(initial=0) > 1:
        colours = _parity(indices, indptr)
        rows = _rows(indptr)
        clash = (colours[rows] == colours[indices]) & (rows != indices)
        if clash.any():
            edge = int(np.argmax(clash))
            raise ValueError(
                "`ordering` 'red-black' needs a graph without odd cycles, but the entry of row "
                f"{rows[edge]} in column {indices[edge]} closes one. Use 'multicolor'."
            )
    return colours


def _parity(indices: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """Return the parity of the distance of each node from the first one of its component."""
    csgraph: Any = sp.csgraph
    n = indptr.size - 1
    graph = sp.csr_array((np.ones(indices.size, dtype=np.int8), indices, indptr), shape=(n, n))
    n_components, labels = csgraph.connected_components(graph, directed=False)
    # One more node, the root, next to the first one of each component: one search visits them all.
    firsts = np.full(n_components, n, dtype=np.int64)
    np.minimum.at(firsts, labels, np.arange(n))
    rooted = sp.csr_array(
        (
            np.ones(indices.size + n_components, dtype=np.int8),
            np.concatenate([indices, firsts]),
            np.append(indptr, indices.size + n_components),
        ),
        shape=(n + 1, n + 1),
    )
    _, ahead = csgraph.breadth_first_order(rooted, n, directed=True)
    ahead[n] = n
    # Jumps of 1, 2, 4, ... steps towards the root, until all are there; the first nodes are one step away from it.
    odd = np.ones(n + 1, dtype=np.int32)
    odd[n] = 0
    while np.any(ahead != n):
        odd ^= odd[ahead]
        ahead = ahead[ahead]
    return odd[:n] ^ 1


_NUMBERINGS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "natural": _levels,
    "red-black": _two_colours,
    "multicolor": _greedy,
}


def _given(indices: np.ndarray, indptr: np.ndarray, colours: np.ndarray) -> Ordering:
    """Check the colours of a user and sort by them."""
    n = indptr.size - 1
    if colours.dtype.kind not in "iu":
        raise TypeError(
            f"`ordering` must be a name or an integer array of colours, got an array of dtype {colours.dtype}."
        )
    if colours.shape != (n,):
        raise ValueError(f"`ordering` must give each of the {n} rows a colour, got shape {colours.shape}.")
    if n > 0 and colours.min() < 0:
        row = int(np.argmin(colours))
        raise ValueError(f"`ordering` must hold non-negative colours, got {colours[row]} for row {row}.")
    rows = _rows(indptr)
    # Stored entries name both rows whichever triangle they are in: no need for the symmetrised pattern.
    clash = (colours[rows] == colours[indices]) & (rows != indices)
    if clash.any():
        edge = int(np.argmax(clash))
        first, second = sorted((int(rows[edge]), int(indices[edge])))
        raise ValueError(
            f"`ordering` must give neighbours different colours, but rows {first} and {second} touch and both have "
            f"colour {colours[first]}."
        )
    return _sorted_by("colours", colours)


def _rows(indptr: np.ndarray) -> np.ndarray:
    """Return the row of each entry."""
    return np.repeat(np.arange(indptr.size - 1), np.diff(indptr))


def _sorted_by(name: str, numbers: np.ndarray) -> Ordering:
    """Sort rows by their numbers, those with equal ones in their order."""
    permutation = np.argsort(numbers, kind="stable").astype(np.int64, copy=False)
    present, starts = np.unique(numbers[permutation], return_index=True)
    classes = np.append(starts, numbers.size).astype(np.int64, copy=False)
    return Ordering(name, permutation, classes, present.size)
