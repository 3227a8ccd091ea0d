"""Which entries of the plan a Newton system keeps: rules that give a floor for the exponents of each row and column.

An entry stays when its exponent reaches the lower of the two floors.
"""

import math
from typing import NamedTuple

from numopt._array import namespace
from numopt._typing import Array
from numopt.ot._cost import Cost, DenseCost

# Most mass that may be dropped, per row and column, relative to the sums of these; with the error it goes to zero.
LARGEST_DROP = 1e-3
PAPER_ENTRIES = 2.0  # per row: the paper's lambda = 2 / n
SSNS_DROP = 0.01  # of the gradient's norm: the dropped mass of SSNS


class Floors(NamedTuple):
    rows: Array
    columns: Array


def by_error(r: Array, c: Array, error: float) -> Floors:
    """Drop at most min(1e-3, error) of every row's and every column's mass.

    Each dropped entry is below that part of the mean entry of its row and of its column, so no histogram is needed;
    this keeps 1.2 to 2.3 times the entries of the smallest set with the same bound, and every row's and column's
    largest entry.
    """
    xp = namespace(r)
    drop = min(LARGEST_DROP, error)
    return Floors(xp.log(r * (drop / c.shape[0])), xp.log(c * (drop / r.shape[0])))


def by_count(cost: Cost, f: Array, g: Array, reg: float, r: Array, c: Array, density: float | str) -> Floors:
    """Keep the largest entries of the whole plan: the paper's rule (a part of n * m; 'paper' means 2 a row)."""
    n, m = cost.shape
    part = PAPER_ENTRIES / max(n, m) if isinstance(density, str) else density
    values = _sorted_plan(cost, f, g, reg)
    keep = min(n * m, max(1, math.ceil(part * n * m)))
    return _global(float(values[n * m - keep]), r, c)


def by_mass(cost: Cost, f: Array, g: Array, reg: float, r: Array, c: Array, gradient_norm: float) -> Floors:
    """Drop the smallest entries of the whole plan up to 0.01 of the gradient's norm: the rule of SSNS."""
    xp = namespace(r)
    values = _sorted_plan(cost, f, g, reg)
    dropped = xp.cumulative_sum(values)
    first = int(xp.sum(xp.astype(dropped <= SSNS_DROP * gradient_norm, xp.int64)))
    return _global(float(values[min(first, values.shape[0] - 1)]), r, c)


def _sorted_plan(cost: Cost, f: Array, g: Array, reg: float) -> Array:
    if not isinstance(cost, DenseCost):
        raise ValueError("`density` must be 'auto' for costs that are not stored.")
    P = cost.plan(f, g, reg)[0]
    return cost.xp.sort(cost.xp.reshape(P, (-1,)))


def _global(threshold: float, r: Array, c: Array) -> Floors:
    xp = namespace(r)
    # A hair below, so that the entry itself stays whatever the last bit of its exponential.
    floor = math.log(threshold) - 1e-12 if threshold > 0 else -700.0
    return Floors(xp.full_like(r, floor), xp.full_like(c, floor))
