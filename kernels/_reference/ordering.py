"""Colours and levels of the rows of a matrix: which of them a sweep may take at once."""

from numopt._typing import Array


def greedy_colours(indices: Array, indptr: Array, colours: Array, used: Array) -> None:
    """Give each node the smallest colour that no node before it and next to it has."""
    for i in range(colours.shape[0]):
        neighbours = [int(indices[p]) for p in range(int(indptr[i]), int(indptr[i + 1]))]
        taken = {int(colours[j]) for j in neighbours if j < i}
        colour = 0
        while colour in taken:
            colour += 1
        colours[i] = colour


def row_levels(indices: Array, indptr: Array, levels: Array) -> None:
    """Number the levels of the triangular solve with the entries before the diagonal."""
    for i in range(levels.shape[0]):
        neighbours = [int(indices[p]) for p in range(int(indptr[i]), int(indptr[i + 1]))]
        levels[i] = max((1 + int(levels[j]) for j in neighbours if j < i), default=0)
