"""Linear systems whose graph is a forest: factors, solves, sweeps over several forests, reduction to the other nodes.

A row whose parent is the row just before it, as on the paths that depth-first orders have, hands its value on in a
register: the chain of dependent operations is one multiply-add a row then.
"""

import numpy as np

from numopt.kernels._numba._jit import jit
from numopt.kernels._numba._sweeps import multiply_add, place


@jit
def forest_factor(parents, levels, children, diagonal, entries, links, inverse, info):
    """Eliminate each row before its parent: inverse = 1 / pivots, links = entries / pivots."""
    info[0] = -1
    real = inverse.dtype.type
    least = real(4 * np.finfo(inverse.dtype).eps)
    inverse[:] = diagonal
    for k in range(parents.size - 1, -1, -1):
        pivot = inverse[k]
        if not pivot > least * abs(diagonal[k]):
            info[0] = max(info[0], k)
            pivot = real(np.nan)
        inverse[k] = real(1) / pivot
        links[k] = entries[k] / pivot
        above = place(parents[k])
        if above != place(k):
            inverse[above] = multiply_add(-links[k], entries[k], inverse[above])


@jit
def _to_leaves(parents, links, inverse, x, start, stop):
    """Take rows from the roots to the leaves: x_k = x_k / pivot_k - links_k x_parent."""
    last = x.dtype.type(0)
    for k in range(start, stop):
        row, above = place(k), place(parents[place(k)])
        value = x[row] * inverse[row]
        if above != row:
            if above + np.uint64(1) != row:
                last = x[above]
            value = multiply_add(-links[row], last, value)
        x[row] = value
        last = value


@jit
def forest_solve(parents, levels, children, links, inverse, x):
    """Overwrite x with the solution for the right-hand side x."""
    last = link = x.dtype.type(0)
    for k in range(x.size - 1, -1, -1):
        row, above = place(k), place(parents[place(k)])
        value = multiply_add(-link, last, x[row])
        x[row] = value
        last, link = value, x.dtype.type(0)
        if above + np.uint64(1) == row:
            link = links[row]
        elif above != row:
            x[above] = multiply_add(-links[row], value, x[above])
    _to_leaves(parents, links, inverse, x, 0, x.size)


@jit
def _to_roots(data, indices, indptr, parents, links, x, t, start, stop):
    """Take rows from the leaves to the roots: t_k -= (A x)_k and what the children of row k pass on.

    t may be x: the columns of A are not among these rows.
    """
    zero = t.dtype.type(0)
    last = link = zero
    for k in range(stop - 1, start - 1, -1):
        row, above = place(k), place(parents[place(k)])
        value = t[row]
        for p in range(indptr[k], indptr[k + 1]):
            value = multiply_add(-data[p], x[place(indices[p])], value)
        value = multiply_add(-link, last, value)
        t[row] = value
        last, link = value, zero
        if above + np.uint64(1) == row:
            link = links[row]
        elif above != row:
            t[above] = multiply_add(-links[row], value, t[above])


@jit
def forest_ssor(
    ldata, lindices, lindptr, udata, uindices, uindptr, blocks, parents, levels, children, links, inverse,
    omega, symmetric, r, z, work,
):  # fmt: skip
    """Sweep over the forests from zero: forward, and backward if `symmetric`."""
    weight, kept = z.dtype.type(omega), z.dtype.type(2 - omega)
    n_blocks = blocks.size - 1
    for f in range(n_blocks):
        start, stop = blocks[f], blocks[f + 1]
        z[start:stop] = r[start:stop]
        _to_roots(ldata, lindices, lindptr, parents, links, z, z, start, stop)
        _to_leaves(parents, links, inverse, z, start, stop)
        if omega != 1:
            for k in range(start, stop):
                z[k] *= weight
    if symmetric == 0:
        return
    for f in range(n_blocks - 1, -1, -1):
        start, stop = blocks[f], blocks[f + 1]
        if uindptr[start] == uindptr[stop]:
            for k in range(start, stop):
                z[k] *= kept
            continue
        work[start:stop] = 0
        _to_roots(udata, uindices, uindptr, parents, links, z, work, start, stop)
        _to_leaves(parents, links, inverse, work, start, stop)
        for k in range(start, stop):
            z[k] = multiply_add(weight, work[k], kept * z[k])


@jit
def forest_schur(data, indices, indptr, tdata, tindices, tindptr, parents, levels, children, links, inverse, v, y):
    """Eliminate the forest of the first rows: v_1 = -H_11^-1 H_12 v_2, y = (H v)_2."""
    n = parents.size
    v[:n] = 0
    _to_roots(data, indices, indptr, parents, links, v, v, 0, n)
    _to_leaves(parents, links, inverse, v, 0, n)
    for i in range(y.size):
        total = y.dtype.type(0)
        for p in range(tindptr[i], tindptr[i + 1]):
            total = multiply_add(tdata[p], v[place(tindices[p])], total)
        y[i] = total
