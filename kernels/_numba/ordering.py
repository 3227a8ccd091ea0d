"""Colours and levels of the rows of a matrix: one pass over its pattern each."""

import numpy as np

from numopt.kernels._numba._jit import jit


@jit
def greedy_colours(indices, indptr, colours, used):
    """Give each node the smallest colour that no node before it and next to it has."""
    # used[c] is the last node that has a neighbour of colour c, so that it need not be cleared for every node.
    used[:] = -1
    for i in range(colours.size):
        for p in range(indptr[i], indptr[i + 1]):
            j = indices[p]
            if j < i:
                # By way of uint32: no test for negative indices.
                used[np.uint32(colours[np.uint64(j)])] = i
        colour = 0
        while used[colour] == i:
            colour += 1
        colours[i] = colour


@jit
def row_levels(indices, indptr, levels):
    """Number the levels of the triangular solve with the entries before the diagonal."""
    for i in range(levels.size):
        level = np.int32(0)
        for p in range(indptr[i], indptr[i + 1]):
            j = indices[p]
            if j < i:
                level = max(level, np.int32(levels[np.uint64(j)] + 1))
        levels[i] = level
