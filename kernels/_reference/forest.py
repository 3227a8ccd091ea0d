"""Linear systems whose graph is a forest: factors, solves, sweeps over several forests, reduction to the others."""

import math

import array_api_compat

from numopt._typing import Array


def forest_factor(
    parents: Array,
    levels: Array,
    children: Array,
    diagonal: Array,
    entries: Array,
    links: Array,
    inverse: Array,
    info: Array,
) -> None:
    """Eliminate each row before its parent: inverse = 1 / pivots, links = entries / pivots."""
    xp = array_api_compat.array_namespace(diagonal)
    least = 4 * float(xp.finfo(diagonal.dtype).eps)
    info[0] = -1
    inverse[...] = diagonal
    for k in range(parents.shape[0] - 1, -1, -1):
        if not float(inverse[k]) > least * abs(float(diagonal[k])):
            info[0] = max(int(info[0]), k)
            inverse[k] = math.nan
        links[k] = entries[k] / inverse[k]
        inverse[k] = 1 / inverse[k]
        if int(parents[k]) != k:
            inverse[int(parents[k])] -= links[k] * entries[k]


def forest_solve(parents: Array, levels: Array, children: Array, links: Array, inverse: Array, x: Array) -> None:
    """Overwrite x with the solution for the right-hand side x."""
    for k in range(x.shape[0] - 1, -1, -1):
        if int(parents[k]) != k:
            x[int(parents[k])] -= links[k] * x[k]
    for k in range(x.shape[0]):
        x[k] *= inverse[k]
        if int(parents[k]) != k:
            x[k] -= links[k] * x[int(parents[k])]


def _product(data: Array, indices: Array, indptr: Array, x: Array, out: Array, first: int = 0) -> None:
    """Write the products of rows, from `first` on, into `out`."""
    xp = array_api_compat.array_namespace(data, x)
    for i in range(out.shape[0]):
        row = slice(int(indptr[first + i]), int(indptr[first + i + 1]))
        out[i] = xp.sum(data[row] * xp.take(x, indices[row]))


def forest_ssor(
    ldata: Array,
    lindices: Array,
    lindptr: Array,
    udata: Array,
    uindices: Array,
    uindptr: Array,
    blocks: Array,
    parents: Array,
    levels: Array,
    children: Array,
    links: Array,
    inverse: Array,
    omega: float,
    symmetric: int,
    r: Array,
    z: Array,
    work: Array,
) -> None:
    """Sweep over the forests from zero: forward, and backward if `symmetric`."""

    def solve(rows: slice, rhs: Array) -> None:
        forest_solve(parents[rows] - rows.start, levels, children, links[rows], inverse[rows], rhs)

    forests = [slice(int(blocks[f]), int(blocks[f + 1])) for f in range(blocks.shape[0] - 1)]
    for rows in forests:
        _product(ldata, lindices, lindptr, z, work[rows], rows.start)
        work[rows] = r[rows] - work[rows]
        solve(rows, work[rows])
        z[rows] = omega * work[rows]
    if symmetric:
        for rows in forests[::-1]:
            _product(udata, uindices, uindptr, z, work[rows], rows.start)
            solve(rows, work[rows])
            z[rows] = (2 - omega) * z[rows] - omega * work[rows]


def forest_schur(
    data: Array,
    indices: Array,
    indptr: Array,
    tdata: Array,
    tindices: Array,
    tindptr: Array,
    parents: Array,
    levels: Array,
    children: Array,
    links: Array,
    inverse: Array,
    v: Array,
    y: Array,
) -> None:
    """Eliminate the forest of the first rows: v_1 = -H_11^-1 H_12 v_2, y = (H v)_2."""
    n = parents.shape[0]
    v[:n] = 0
    first = v[:n]
    _product(data, indices, indptr, v, first)
    first *= -1
    forest_solve(parents, levels, children, links, inverse, first)
    _product(tdata, tindices, tindptr, v, y)
