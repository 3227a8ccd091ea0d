"""Sparsity patterns: what matrices that share one need to find out only once.

A sequence of systems mostly has one pattern. The positions of its diagonal, its colouring, the rows permuted by colour
and the two triangles depend on nothing else, so they are kept here and the next matrix only has its values moved.
"""

import functools
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from numopt._array import asarray_like, device_of, is_cupy, namespace, to_host
from numopt._typing import Array, Namespace
from numopt.linear._ordering import order_rows, quotient_pattern

__all__ = ["Arrangement", "Layout", "Pattern", "Triangles", "pattern_of"]

# How many patterns are remembered, and how many entries they may have together besides the last one.
_MAX_PATTERNS = 8
_MAX_ENTRIES = 20_000_000
_LINE_ORDERINGS = {"line": "natural", "zebra": "red-black"}


@dataclass(frozen=True)
class Layout:
    """In which order rows, or blocks of rows, are visited.

    `ordering` is one of the names that the public solvers take, or colours as bytes of int64 numbers (hashable).
    """

    ordering: str | bytes = "natural"
    block_size: int = 1
    reverse: bool = False

    @property
    def is_block(self) -> bool:
        """Whether diagonal blocks are solved with, dense or tridiagonal."""
        return self.block_size > 1

    @property
    def is_line(self) -> bool:
        """Whether these blocks are tridiagonal."""
        return self.ordering in _LINE_ORDERINGS

    def rule(self) -> "str | np.ndarray[Any, Any]":
        """Return the ordering of the rows, or of the blocks."""
        if isinstance(self.ordering, bytes):
            return np.frombuffer(self.ordering, dtype=np.int64)
        return _LINE_ORDERINGS.get(self.ordering, "natural" if self.ordering == "block" else self.ordering)


@dataclass(frozen=True)
class Triangles:
    """The strict triangles of a pattern as CSR."""

    lindices: Array
    lindptr: Array
    uindices: Array
    uindptr: Array


@dataclass(frozen=True)
class Arrangement:
    """The pattern of ``P A P'``, its rows in the order in which they are visited.

    `permutation` and `gather` are None where nothing moves: row i of the permuted matrix is row ``permutation[i]`` of
    A, and its values are ``data[gather]``. `split[i]` is the position of the first entry of row i in its own block.
    `classes` are offsets of rows (of blocks, where there are blocks) that may be visited at once; `blocks` are offsets
    of rows.
    """

    indices: Array
    indptr: Array
    split: Array
    classes: Array
    permutation: Array | None
    gather: Array | None
    blocks: Array | None

    def values(self, data: Array) -> Array:
        """Return the values of the permuted matrix."""
        return data if self.gather is None else namespace(data).take(data, self.gather, axis=-1)

    def forward(self, v: Array) -> Array:
        """Return ``P v``: `v` itself where nothing moves."""
        return v if self.permutation is None else namespace(v).take(v, self.permutation, axis=-1)

    def backward(self, v: Array) -> Array:
        """Return ``P' v``: `v` itself where nothing moves."""
        return v if self.inverse is None else namespace(v).take(v, self.inverse, axis=-1)

    @functools.cached_property
    def inverse(self) -> Array | None:
        """The inverse permutation."""
        return None if self.permutation is None else namespace(self.permutation).argsort(self.permutation)

    @functools.cached_property
    def triangles(self) -> Triangles:
        """The entries before the diagonal of each row and those after it."""
        indices, indptr, split = (to_host(a) for a in (self.indices, self.indptr, self.split))
        place = np.arange(indices.size, dtype=indptr.dtype)
        diagonal = np.repeat(split, np.diff(indptr))
        offsets = (
            np.concatenate([np.zeros(1, indptr.dtype), np.cumsum(counts, dtype=indptr.dtype)])
            for counts in (split - indptr[:-1], indptr[1:] - split - 1)
        )
        lindptr, uindptr = offsets
        parts = (indices[place < diagonal], lindptr, indices[place > diagonal], uindptr)
        return Triangles(*(asarray_like(part, self.indices) for part in parts))


class Pattern:
    """A CSR pattern with sorted rows, no duplicates and a stored diagonal, and its arrangements.

    Parameters
    ----------
    indices, indptr : array
        Of any library, int32 or int64; kept, so pass copies of what may change.

    Raises
    ------
    ValueError
        If a row has no diagonal entry; the message names it.
    """

    def __init__(self, indices: Array, indptr: Array) -> None:
        self.indices, self.indptr = indices, indptr
        self.n = int(indptr.shape[0]) - 1
        self._lock = threading.Lock()
        self._arrangements: dict[Layout, Arrangement] = {}
        # Where the matrix is kept decides whether rows are visited one by one: a GPU takes those of a class at once.
        self._serial = not is_cupy(namespace(indices))
        self.split = asarray_like(_diagonal_positions(to_host(indices), to_host(indptr)), indices)

    def matches(self, indices: Array, indptr: Array, xp: Namespace) -> bool:
        """Tell whether this is the pattern of a matrix."""
        return (
            namespace(self.indices) is xp
            and indices.shape == self.indices.shape
            and indptr.shape == self.indptr.shape
            and indices.dtype == self.indices.dtype
            and device_of(indices) == device_of(self.indices)
            and bool(xp.all(indices == self.indices))
            and bool(xp.all(indptr == self.indptr))
        )

    def arrange(self, layout: Layout) -> Arrangement:
        """Return the pattern with its rows in the order of a layout."""
        with self._lock:
            if layout not in self._arrangements:
                self._arrangements[layout] = self._make(layout)
            return self._arrangements[layout]

    def _make(self, layout: Layout) -> Arrangement:
        indices, indptr = to_host(self.indices), to_host(self.indptr)
        if layout.is_block:
            starts = np.append(np.arange(0, self.n, layout.block_size), self.n)
            order = order_rows(*quotient_pattern(indices, indptr, starts), layout.rule(), serial=self._serial)
            if order.permutation is None:
                permutation, blocks = None, starts
            else:
                sizes = np.diff(starts)[order.permutation]
                permutation = np.concatenate([np.arange(starts[k], starts[k + 1]) for k in order.permutation])
                blocks = np.append(0, np.cumsum(sizes))
        else:
            order = order_rows(indices, indptr, layout.rule(), serial=self._serial)
            permutation, blocks = order.permutation, None
        classes = order.classes
        if layout.reverse:
            permutation = np.arange(self.n)[::-1] if permutation is None else permutation[::-1]
            classes = classes[-1] - classes[::-1] if classes.size else classes
        gather = None
        if permutation is not None:
            indices, indptr, gather = _permuted(indices, indptr, permutation)
        split = _split_positions(indices, indptr, blocks)
        here = functools.partial(asarray_like, ref=self.indices)
        return Arrangement(
            indices=here(indices),
            indptr=here(indptr),
            split=here(split),
            classes=here(np.asarray(classes, dtype=np.int64)),
            permutation=None if permutation is None else here(np.ascontiguousarray(permutation)),
            gather=None if gather is None else here(gather),
            blocks=None if blocks is None else here(np.asarray(blocks, dtype=np.int64)),
        )


_patterns: list[Pattern] = []
_patterns_lock = threading.Lock()


def pattern_of(indices: Array, indptr: Array) -> Pattern:
    """Return the `Pattern` of a canonical CSR matrix; the last few are remembered."""
    xp = namespace(indices)
    with _patterns_lock:
        known = list(_patterns)
    for pattern in known:
        if pattern.matches(indices, indptr, xp):
            _remember(pattern)
            return pattern
    pattern = Pattern(xp.asarray(indices, copy=True), xp.asarray(indptr, copy=True))
    _remember(pattern)
    return pattern


def _remember(pattern: Pattern) -> None:
    """Put a pattern first; forget those that were asked for longest ago."""
    with _patterns_lock:
        if _patterns and _patterns[0] is pattern:
            return
        kept, entries = [pattern], 0
        for other in _patterns:
            entries += int(other.indices.shape[0])
            if other is not pattern and len(kept) < _MAX_PATTERNS and entries <= _MAX_ENTRIES:
                kept.append(other)
        _patterns[:] = kept


def _diagonal_positions(indices: "np.ndarray[Any, Any]", indptr: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    split = _split_positions(indices, indptr, None)
    rows = np.arange(indptr.size - 1)
    inside = split < indptr[1:]
    found = np.zeros(rows.size, dtype=bool)
    found[inside] = indices[split[inside]] == rows[inside]
    if not found.all():
        raise ValueError(
            f"`A` has no diagonal entry in row {int(np.argmin(found))}; relaxation divides by the diagonal: reorder "
            "the equations so that none is zero."
        )
    return split


def _split_positions(
    indices: "np.ndarray[Any, Any]",
    indptr: "np.ndarray[Any, Any]",
    blocks: "Sequence[int] | np.ndarray[Any, Any] | None",
) -> "np.ndarray[Any, Any]":
    """Return for each row the position of its first entry at or after the start of its block."""
    counts = np.diff(indptr)
    first = np.arange(counts.size, dtype=indices.dtype)
    if blocks is not None:
        first = np.repeat(np.asarray(blocks[:-1], dtype=indices.dtype), np.diff(blocks))
    before = np.concatenate(
        [np.zeros(1, indptr.dtype), np.cumsum(indices < np.repeat(first, counts), dtype=indptr.dtype)]
    )
    split: np.ndarray[Any, Any] = indptr[:-1] + before[indptr[1:]] - before[indptr[:-1]]
    return split


def _permuted(
    indices: "np.ndarray[Any, Any]", indptr: "np.ndarray[Any, Any]", permutation: "np.ndarray[Any, Any]"
) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    """Return the pattern of P A P' with sorted rows, and where each of its values is in A."""
    n = permutation.size
    counts = np.diff(indptr)[permutation]
    new_indptr = np.concatenate([np.zeros(1, indptr.dtype), np.cumsum(counts, dtype=indptr.dtype)])
    # Position p of the new matrix belongs to new row k and is the (p - new_indptr[k])-th entry of its old row.
    place = np.arange(indices.size, dtype=np.int64)
    gather = place + np.repeat(indptr[permutation] - new_indptr[:-1], counts)
    new_name = np.empty(n, dtype=indices.dtype)
    new_name[permutation] = np.arange(n, dtype=indices.dtype)
    columns = new_name[indices[gather]]
    rows = np.repeat(np.arange(n, dtype=np.int64), counts)
    order = np.argsort(rows * n + columns, kind="stable")
    return columns[order], new_indptr, gather[order]
