"""Bounds on the cost of unregularised transport from the potentials of the regularised problem.

Upper: the plan rounded to the marginals (Altschuler, Weed, Rigollet, NIPS 2017, Algorithm 2). Lower: the dual value of
(f, c-transform of f), which is feasible for the unregularised dual.
"""

import math
from typing import NamedTuple

from numopt._array import scalars
from numopt._typing import Array
from numopt.ot._cost import Cost, DenseCost
from numopt.ot._marginal import Marginal

# The c-transform is a soft minimum at this part of the regularisation: below the minimum, by that times log n at most.
SOFTNESS = 1e-6


class Bounds(NamedTuple):
    upper: float
    lower: float


def bounds(
    cost: Cost, rows: Marginal, cols: Marginal, f: Array, g: Array, r: Array, c: Array, reg: float, P: Array | None
) -> Bounds:
    """Bracket the unregularised cost from potentials and the sums of their plan, or the plan where it is stored."""
    if P is None or not isinstance(cost, DenseCost):
        upper = _rounded(cost, rows.weights, cols.weights, f, g, r, c, reg)
    else:
        upper = _rounded_plan(cost, rows.weights, cols.weights, P, r)
    return Bounds(upper, _feasible(cost, rows, cols, f, reg))


def _rounded_plan(cost: DenseCost, a: Array, b: Array, P: Array, r: Array) -> float:
    """`_rounded` for a stored plan."""
    xp = cost.xp
    x = xp.where(r > a, a / r, xp.ones_like(r))
    c = xp.matmul(x, P)
    y = xp.where(c > b, b / c, xp.ones_like(c))
    (missing,) = scalars(xp, xp.sum(xp.maximum(a - x * xp.matmul(P, y), xp.zeros_like(a))))
    if missing > 0.0 and cost.has_inf:
        return math.inf
    return cost.scaled_value(P, x, y) + missing * cost.largest


def _rounded(cost: Cost, a: Array, b: Array, f: Array, g: Array, r: Array, c: Array, reg: float) -> float:
    """Cost of the plan scaled down to the marginals, plus what the missing mass costs at most.

    Scaling rows and columns is a change of the potentials. The correction a rank-one plan would make is bounded by the
    largest cost; where pairs are forbidden it may need one of these, and there is no bound unless no mass is missing.
    """
    xp = cost.xp
    one = xp.ones_like(r)
    rows_scale = xp.where(r > a, a / r, one)
    f = f + reg * xp.log(rows_scale)
    _, c = cost.sums(f, g, reg)
    g = g + reg * xp.log(xp.where(c > b, b / c, xp.ones_like(c)))
    r, _ = cost.sums(f, g, reg)
    (missing,) = scalars(xp, xp.sum(xp.maximum(a - r, xp.zeros_like(r))))
    if missing > 0.0 and isinstance(cost, DenseCost) and cost.has_inf:
        return math.inf
    return cost.value(f, g, reg) + missing * cost.largest


def _feasible(cost: Cost, rows: Marginal, cols: Marginal, f: Array, reg: float) -> float:
    xp, soft = cost.xp, SOFTNESS * reg
    g = -soft * cost.lse_cols(f, soft)
    return scalars(xp, rows.dual(f) + cols.dual(g))[0]
