"""Connected components of a bipartite graph by concurrent union-find, in one pass over the entries."""

from numopt._typing import Array
from numopt.kernels._cuda import _build

_BLOCK = 256
# A lane that has only one entry spends its time on finding the root of the column's first.
_ENTRIES_PER_LANE = 4


def _lanes(entries: int, columns: int) -> int:
    """Return how many lanes share a column: a power of two that leaves each a few entries on average."""
    lanes = 1
    while lanes < 32 and 2 * lanes * columns * _ENTRIES_PER_LANE <= entries:
        lanes *= 2
    return lanes


def bipartite_components(
    indices: Array,
    indptr: Array,
    tindices: Array,
    tindptr: Array,
    row_labels: Array,
    col_labels: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Label rows and columns with the smallest row of their component; the rows' own lists are not needed."""
    n, m = int(row_labels.shape[0]), int(col_labels.shape[0])
    lanes = _lanes(int(tindices.shape[0]), m)
    index = (row_labels.dtype,)
    launch("components.cu", "component_start", index, -(-n // _BLOCK), _BLOCK, (row_labels, n))
    args: tuple[object, ...] = (tindices, tindptr, row_labels, m, lanes)
    launch("components.cu", "component_join", index, -(-m * lanes // _BLOCK), _BLOCK, args)
    args = (tindices, tindptr, row_labels, col_labels, n, m)
    launch("components.cu", "component_labels", index, -(-(n + m) // _BLOCK), _BLOCK, args)
