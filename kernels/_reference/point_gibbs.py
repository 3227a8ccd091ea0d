"""The plan of entropic transport between two sets of points, whose costs are computed when they are needed."""

import array_api_compat

from numopt._typing import Array
from numopt.kernels._reference._plan import exponents, fill_rows, kept, log_sum_exp


def _costs(X: Array, Y: Array, metric: int) -> Array:
    """Return the costs, one coordinate after the other: this keeps their bits when X and Y change roles."""
    xp = array_api_compat.array_namespace(X, Y)
    costs = xp.zeros((X.shape[0], Y.shape[0]), dtype=X.dtype, device=array_api_compat.device(X))
    for k in range(X.shape[1]):
        difference = X[:, k][:, None] - Y[:, k][None, :]
        costs = costs + (xp.abs(difference) if metric == 2 else difference * difference)
    return xp.sqrt(costs) if metric == 1 else costs


def point_row_sums(X: Array, Y: Array, metric: int, f: Array, g: Array, inv_reg: float, r: Array) -> None:
    """Compute the row sums of the plan."""
    xp = array_api_compat.array_namespace(X, f)
    r[...] = xp.sum(xp.exp(exponents(_costs(X, Y, metric), f, g, inv_reg)), axis=1, dtype=r.dtype)


def point_lse_rows(X: Array, Y: Array, metric: int, g: Array, inv_reg: float, out: Array) -> None:
    """Compute the logarithms of the row sums of exp((g - C) / reg)."""
    out[...] = log_sum_exp((g[None, :] - _costs(X, Y, metric)) * inv_reg, axis=1)


def point_count(
    X: Array,
    Y: Array,
    metric: int,
    f: Array,
    g: Array,
    inv_reg: float,
    row_floor: Array,
    col_floor: Array,
    row_count: Array,
) -> None:
    """Count the entries of each row that the floors keep."""
    xp = array_api_compat.array_namespace(X, f)
    keep = kept(exponents(_costs(X, Y, metric), f, g, inv_reg), row_floor, col_floor)
    row_count[...] = xp.sum(xp.astype(keep, row_count.dtype), axis=1, dtype=row_count.dtype)


def point_fill(
    X: Array,
    Y: Array,
    metric: int,
    f: Array,
    g: Array,
    inv_reg: float,
    row_floor: Array,
    col_floor: Array,
    indptr: Array,
    indices: Array,
    data: Array,
) -> None:
    """Write the kept entries of the plan as CSR."""
    e = exponents(_costs(X, Y, metric), f, g, inv_reg)
    fill_rows(e, kept(e, row_floor, col_floor), indptr, indices, data)


def point_apply(X: Array, Y: Array, metric: int, f: Array, g: Array, inv_reg: float, V: Array, out: Array) -> None:
    """Compute P V."""
    xp = array_api_compat.array_namespace(X, V)
    out[...] = xp.exp(exponents(_costs(X, Y, metric), f, g, inv_reg)) @ V


def point_value(X: Array, Y: Array, metric: int, f: Array, g: Array, inv_reg: float, out: Array) -> None:
    """Compute the cost of each row of the plan."""
    xp = array_api_compat.array_namespace(X, f)
    costs = _costs(X, Y, metric)
    out[...] = xp.sum(costs * xp.exp(exponents(costs, f, g, inv_reg)), axis=1, dtype=out.dtype)
