"""Successive over-relaxation with the norm of the residual found inside the sweep."""

import array_api_compat

from numopt._typing import Array
from numopt.kernels._reference._sweeps import run_sweeps


def sor_sweeps(
    data: Array,
    indices: Array,
    indptr: Array,
    split: Array,
    inverse: Array,
    classes: Array,
    b: Array,
    omega: float,
    order: int,
    x: Array,
    delta: Array,
    norms: Array,
) -> None:
    """Sweep over the rows: x_i += omega * inverse_i * (b_i - A_i x).

    When the sweep comes to row i, b_i - A_i x misses the residual before the sweep by the changes of the rows that it
    has been to, which `delta` holds.
    """
    xp = array_api_compat.array_namespace(data, x)

    def product(entries: slice, vector: Array) -> Array:
        return xp.sum(data[entries] * xp.take(vector, indices[entries]), dtype=x.dtype)

    def update(i: int, forward: bool) -> float:
        first, diagonal, last = int(indptr[i]), int(split[i]), int(indptr[i + 1])
        visited = slice(first, diagonal) if forward else slice(diagonal + 1, last)
        step = b[i] - product(slice(first, last), x)
        residual = step + product(visited, delta)
        delta[i] = omega * inverse[i] * step
        x[i] = x[i] + delta[i]
        return float(xp.abs(residual)) ** 2

    run_sweeps(update, x.shape[0], order, norms)


def split_values(
    data: Array,
    indices: Array,
    indptr: Array,
    split: Array,
    scale: Array,
    lindptr: Array,
    uindptr: Array,
    ldata: Array,
    udata: Array,
) -> None:
    """Scale a matrix from both sides and write the values of its strict triangles."""
    xp = array_api_compat.array_namespace(data, scale)

    def write(i: int, entries: slice, first: int, values: Array) -> None:
        factors = xp.astype(scale[i] * xp.take(scale, indices[entries]), data.dtype)
        values[first : first + entries.stop - entries.start] = factors * data[entries]

    for i in range(scale.shape[0]):
        write(i, slice(int(indptr[i]), int(split[i])), int(lindptr[i]), ldata)
        write(i, slice(int(split[i]) + 1, int(indptr[i + 1])), int(uindptr[i]), udata)
