"""Successive over-relaxation over blocks of rows, with dense or tridiagonal diagonal blocks."""

from collections.abc import Callable

import array_api_compat

from numopt._typing import Array
from numopt.kernels._reference._sweeps import run_sweeps


def block_sor_sweeps(
    data: Array,
    indices: Array,
    indptr: Array,
    split: Array,
    blocks: Array,
    inverses: Array,
    classes: Array,
    b: Array,
    omega: float,
    order: int,
    x: Array,
    delta: Array,
    norms: Array,
) -> None:
    """Sweep over blocks: x_k += omega * inverse_k (b - A x)_k."""
    xp = array_api_compat.array_namespace(data, x)

    def solve(k: int, gap: Array) -> Array:
        m = gap.shape[0]
        return xp.matmul(inverses[k, :m, :m], gap)

    _sweep(data, indices, indptr, split, blocks, solve, b, omega, order, x, delta, norms)


def line_sor_sweeps(
    data: Array,
    indices: Array,
    indptr: Array,
    split: Array,
    blocks: Array,
    factors: Array,
    classes: Array,
    b: Array,
    omega: float,
    order: int,
    x: Array,
    delta: Array,
    norms: Array,
) -> None:
    """Sweep over tridiagonal blocks, each solved by substitution in its factors."""
    xp = array_api_compat.array_namespace(data, x)

    def solve(k: int, gap: Array) -> Array:
        multiplier, reciprocal, right = (factors[row, int(blocks[k]) : int(blocks[k + 1])] for row in range(3))
        solution = xp.asarray(gap, copy=True)
        for i in range(1, gap.shape[0]):
            solution[i] = solution[i] - multiplier[i] * solution[i - 1]
        for i in range(gap.shape[0] - 1, -1, -1):
            after = solution[i + 1] if i + 1 < gap.shape[0] else 0
            solution[i] = (solution[i] - right[i] * after) * reciprocal[i]
        return solution

    _sweep(data, indices, indptr, split, blocks, solve, b, omega, order, x, delta, norms)


def _sweep(
    data: Array,
    indices: Array,
    indptr: Array,
    split: Array,
    blocks: Array,
    solve: Callable[[int, Array], Array],
    b: Array,
    omega: float,
    order: int,
    x: Array,
    delta: Array,
    norms: Array,
) -> None:
    """Sweep over blocks; `solve(k, gap)` solves with diagonal block k."""
    xp = array_api_compat.array_namespace(data, x)

    def product(entries: slice, vector: Array) -> Array:
        return xp.sum(data[entries] * xp.take(vector, indices[entries]), dtype=x.dtype)

    def update(k: int, forward: bool) -> float:
        start, stop = int(blocks[k]), int(blocks[k + 1])
        gap = xp.asarray(b[start:stop], copy=True)
        total = 0.0
        for i in range(start, stop):
            first, diagonal, last = int(indptr[i]), int(split[i]), int(indptr[i + 1])
            own = int(xp.count_nonzero(indices[diagonal:last] < stop))
            visited = slice(first, diagonal) if forward else slice(diagonal + own, last)
            gap[i - start] = gap[i - start] - product(slice(first, last), x)
            total += float(xp.abs(gap[i - start] + product(visited, delta))) ** 2
        delta[start:stop] = omega * solve(k, gap)
        x[start:stop] = x[start:stop] + delta[start:stop]
        return total

    run_sweeps(update, blocks.shape[0] - 1, order, norms)
