"""Coordinate descent on columns or on a Gram matrix, and the sums over columns that it needs."""

from collections.abc import Callable

import array_api_compat

from numopt._typing import Array
from numopt.kernels._reference._csr import scatter_row


def column_dots(data: Array, indices: Array, indptr: Array, v: Array, out: Array) -> None:
    """Compute A' v."""
    xp = array_api_compat.array_namespace(data, v)
    for j in range(out.shape[0]):
        entries = slice(int(indptr[j]), int(indptr[j + 1]))
        out[j] = xp.sum(data[entries] * xp.take(v, indices[entries]), dtype=out.dtype)


def column_squares(data: Array, indices: Array, indptr: Array, weights: Array, out: Array) -> None:
    """Compute the weighted sum of squares of every column."""
    xp = array_api_compat.array_namespace(data, out)
    for j in range(out.shape[0]):
        entries = slice(int(indptr[j]), int(indptr[j + 1]))
        terms = data[entries] * data[entries]
        if weights.shape[0] > 0:
            terms = terms * xp.take(weights, indices[entries])
        out[j] = xp.sum(terms, dtype=out.dtype)


def _minimizer(old: float, gradient: float, bound: float, l1: float, lower: float, upper: float) -> float:
    """Return the minimiser along a coordinate at `old`; `bound` is the second derivative, NaN comes through."""
    peak = bound * old - gradient
    new = 0 * old if abs(peak) <= l1 else old - (gradient + (l1 if peak > 0 else -l1)) / bound
    new = lower if new < lower else new
    return upper if new > upper else new


def _epoch(
    slope: Callable[[int], float],
    curvature: Callable[[int], float],
    move: Callable[[int, Array], None],
    penalty: Array,
    x: Array,
) -> tuple[float, bool]:
    """Visit the coordinates in order; return the largest curvature-weighted change and whether anything changed."""
    worst, moved = 0.0, False
    for j in range(x.shape[0]):
        l1, l2, lower, upper = (float(penalty[row, j]) for row in range(4))
        old, bound = float(x[j]), curvature(j) + l2
        if bound == 0:
            continue
        x[j] = _minimizer(old, slope(j) + l2 * old, bound, l1, lower, upper)
        step = x[j] - old
        if step == 0:
            continue
        moved = True
        move(j, step)
        change = bound * abs(float(step))
        worst = change if change > worst or change != change else worst
    return worst, moved


def _descend(
    column: Callable[[int], tuple[Array, Array]],
    weights: Array,
    means: Array,
    sums: Array,
    curvature: Array,
    penalty: Array,
    x: Array,
    s: Array,
    offset: Array,
    violations: Array,
) -> None:
    """Run the epochs of a matrix; `column` returns a dense column and the mask of what counts of it."""
    xp = array_api_compat.array_namespace(x, s)
    centred = means.shape[0] > 0

    def slope(j: int) -> float:
        values, stored = column(j)
        plain = float(xp.sum(xp.where(stored, values * s, xp.zeros_like(s)), dtype=s.dtype))
        return plain + float(offset[0]) * float(sums[j]) if centred else plain

    def move(j: int, step: Array) -> None:
        values, stored = column(j)
        change = weights * (values * step) if weights.shape[0] > 0 else values * step
        s[...] = xp.where(stored, s + change, s)
        if centred:
            offset[0] = float(offset[0]) - float(means[j]) * float(step)

    for epoch in range(violations.shape[0]):
        violations[epoch], _ = _epoch(slope, lambda j: float(curvature[j]), move, penalty, x)


def csc_descent(
    data: Array,
    indices: Array,
    indptr: Array,
    weights: Array,
    means: Array,
    sums: Array,
    curvature: Array,
    penalty: Array,
    x: Array,
    s: Array,
    offset: Array,
    violations: Array,
) -> None:
    """Visit the columns in order, once per entry of `violations`."""

    def column(j: int) -> tuple[Array, Array]:
        return scatter_row(data, indices, indptr, j, s.shape[0])

    _descend(column, weights, means, sums, curvature, penalty, x, s, offset, violations)


def dense_descent(
    rows: Array,
    weights: Array,
    means: Array,
    sums: Array,
    curvature: Array,
    penalty: Array,
    x: Array,
    s: Array,
    offset: Array,
    violations: Array,
) -> None:
    """Visit the rows, which are the columns of the matrix, in order, once per entry of `violations`."""
    everything = array_api_compat.array_namespace(s).ones_like(s) > 0
    _descend(lambda j: (rows[j, :], everything), weights, means, sums, curvature, penalty, x, s, offset, violations)


def gram_descent(H: Array, penalty: Array, x: Array, g: Array, violations: Array) -> None:
    """Visit the coordinates in order, once per entry of `violations` or until nothing moves."""

    def move(j: int, step: Array) -> None:
        g[...] = g + H[j, :] * step

    moved = True
    for epoch in range(violations.shape[0]):
        violations[epoch] = float("nan")
        if moved:
            violations[epoch], moved = _epoch(lambda j: float(g[j]), lambda j: float(H[j, j]), move, penalty, x)


def gram_descent_epochs(k: int) -> int:
    """Return 3: enough to tell coordinates that have settled."""
    return 3


def direct_support(k: int) -> int:
    """Return the order up to which a factorisation takes about a millisecond."""
    return 300


def csc_gram_work(n: int, k: int, nnz: int) -> int:
    """Return 0: the reference needs no scratch."""
    return 0


def csc_gram(
    data: Array,
    indices: Array,
    indptr: Array,
    weights: Array,
    first: int,
    starts: Array,
    places: Array,
    work: Array,
    H: Array,
) -> None:
    """Compute the dot product of each new column with itself and those before it."""
    xp = array_api_compat.array_namespace(data, H)
    n = starts.shape[0] - 1
    for j in range(first, H.shape[0]):
        column, _ = scatter_row(data, indices, indptr, j, n)
        if weights.shape[0] > 0:
            column = weights * column
        for i in range(j + 1):
            other, _ = scatter_row(data, indices, indptr, i, n)
            H[i, j] = H[j, i] = xp.sum(column * other, dtype=H.dtype)
