"""Forests for the kernels that eliminate them, and the dense matrices that they stand for."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp


class Forests(NamedTuple):
    """Trees ordered level by level, block by block, with the entries of a positive definite matrix."""

    blocks: np.ndarray
    parents: np.ndarray
    levels: np.ndarray
    children: np.ndarray
    diagonal: np.ndarray
    entries: np.ndarray

    @property
    def trees(self) -> list[np.ndarray]:
        """Return what all kernels take of the order."""
        return [self.parents, self.levels, self.children]

    @property
    def matrix(self) -> np.ndarray:
        """Return the matrix in long doubles."""
        A = np.diag(self.diagonal.astype(np.longdouble))
        below = np.flatnonzero(self.parents != np.arange(self.parents.size))
        A[below, self.parents[below]] = A[self.parents[below], below] = self.entries[below]
        return A


def draw_forests(sizes: list[int], real: str = "f8", seed: int = 0, root_share: float = 0.1) -> Forests:
    """Draw one forest for each size: a level has up to three times the rows of the one before."""
    rng = np.random.default_rng(seed)
    parents: list[int] = []
    levels = []
    for size in sizes:
        start = len(parents)
        above = (start, start)  # the level before
        while len(parents) < start + size:
            left = start + size - len(parents)
            if above[0] == above[1]:
                count = max(1, int(root_share * size))
                chosen = np.arange(len(parents), len(parents) + count)
            else:
                count = min(left, int(rng.integers(1, 3 * (above[1] - above[0]) + 1)))
                chosen = np.sort(rng.integers(above[0], above[1], count))
            levels.append(len(parents))
            above = (len(parents), len(parents) + count)
            parents += chosen.tolist()
    n = len(parents)
    children = np.zeros((2, n), "i4")
    entries = np.zeros(n)
    weight = np.zeros(n)
    for k in range(n):
        if parents[k] != k:
            if children[1, parents[k]] == 0:
                children[0, parents[k]] = k
            children[1, parents[k]] = k + 1
            entries[k] = rng.standard_normal()
            weight[[k, parents[k]]] += abs(entries[k])
    return Forests(
        np.append(0, np.cumsum(sizes)).astype("i8"),
        np.asarray(parents, "i4"),
        np.append(levels, n).astype("i8"),
        children,
        (weight + rng.uniform(0.5, 1.5, n)).astype(real),
        entries.astype(real),
    )


class Coupled(NamedTuple):
    """A matrix whose diagonal blocks are forests, its other entries split by earlier and later blocks."""

    forests: Forests
    matrix: np.ndarray
    lower: list[np.ndarray]
    upper: list[np.ndarray]


def couple(sizes: list[int], real: str = "f8", index: str = "i4", seed: int = 0) -> Coupled:
    """Draw forests and weak symmetric entries between them."""
    forests = draw_forests(sizes, real, seed)
    n = forests.parents.size
    rng = np.random.default_rng(seed + 1)
    block = np.repeat(np.arange(len(sizes)), sizes)
    between = np.where(rng.random((n, n)) < min(1.0, 3 / max(n, 1)), rng.standard_normal((n, n)), 0)
    between = np.where(block[:, None] > block, between, 0).astype(real)
    size = np.abs(between).sum(axis=0) + np.abs(between).sum(axis=1)
    forests = forests._replace(diagonal=(forests.diagonal + size).astype(real))
    matrix = forests.matrix + between + between.T
    parts = [sp.csr_array(part) for part in (between, between.T)]
    lower, upper = ([part.data, part.indices.astype(index), part.indptr.astype(index)] for part in parts)
    return Coupled(forests, matrix, lower, upper)


def factored(forests: Forests) -> tuple[np.ndarray, np.ndarray]:
    """Return links and inverse pivots in the precision of the matrix, by their definition in long doubles."""
    pivots = forests.diagonal.astype(np.longdouble)
    for k in range(pivots.size - 1, -1, -1):
        if forests.parents[k] != k:
            pivots[forests.parents[k]] -= np.longdouble(forests.entries[k]) ** 2 / pivots[k]
    real = forests.diagonal.dtype
    return (forests.entries / pivots).astype(real), (1 / pivots).astype(real)
