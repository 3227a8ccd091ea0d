"""Connected components of a bipartite graph, by the smallest label of all neighbours until nothing changes."""

import array_api_compat

from numopt._typing import Array


def _smallest(indices: Array, indptr: Array, labels: Array, out: Array) -> None:
    """Lower the labels of one side to the smallest one of their neighbours."""
    xp = array_api_compat.array_namespace(indices, labels)
    for i in range(out.shape[0]):
        start, stop = int(indptr[i]), int(indptr[i + 1])
        if stop > start:
            out[i] = min(int(out[i]), int(xp.min(xp.take(labels, indices[start:stop]))))


def bipartite_components(
    indices: Array, indptr: Array, tindices: Array, tindptr: Array, row_labels: Array, col_labels: Array
) -> None:
    """Label rows and columns with the smallest row of their component."""
    xp = array_api_compat.array_namespace(indices, row_labels)
    n, m, device = row_labels.shape[0], col_labels.shape[0], array_api_compat.device(row_labels)
    row_labels[...] = xp.arange(n, dtype=row_labels.dtype, device=device)
    col_labels[...] = xp.arange(n, n + m, dtype=col_labels.dtype, device=device)
    changed = True
    while changed:
        before = xp.asarray(row_labels, copy=True)
        _smallest(tindices, tindptr, row_labels, col_labels)
        _smallest(indices, indptr, col_labels, row_labels)
        changed = bool(xp.any(row_labels != before))
