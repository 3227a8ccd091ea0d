"""Connected components of a bipartite graph: union-find over the rows, by one pass over the entries."""

import numpy as np

from numopt.kernels._numba._jit import jit


@jit
def _root(parents, i):
    """Return the smallest row of the tree of a row; each row passed on the way moves up by one."""
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@jit
def bipartite_components(indices, indptr, tindices, tindptr, row_labels, col_labels):
    """Label rows and columns with the smallest row of their component; the columns' own lists are not needed."""
    n = row_labels.size
    col_labels[:] = -1
    for i in range(n):
        row_labels[i] = i
        root = np.int32(i)
        for p in range(indptr[i], indptr[i + 1]):
            # By way of uint32: no test for negative indices.
            column = np.uint32(indices[p])
            label = col_labels[column]
            if label == root:
                continue
            if label >= 0:
                other = _root(row_labels, label)
                low, high = min(root, other), max(root, other)
                row_labels[high] = low
                root = low
            col_labels[column] = root
    # Parents come before their rows.
    for i in range(n):
        row_labels[i] = row_labels[row_labels[i]]
    for j in range(col_labels.size):
        col_labels[j] = row_labels[col_labels[j]] if col_labels[j] >= 0 else n + j
