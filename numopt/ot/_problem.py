"""A transport problem as the user states it: checked, scaled to equal masses, freed of atoms without mass."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from numopt._array import asarray_like, contiguous, is_array, namespace, scalars
from numopt._core.validation import check_scalar
from numopt._typing import Array, Namespace
from numopt.ot._cost import METRICS, Cost, DenseCost, PointCost
from numopt.ot._marginal import Marginal
from numopt.ot._spread import spread

# Costs whose offsets exceed this part of their range lose digits in the exponents: take rows' and columns' minima out.
OFFSET = 0.5

# A c-transform is taken as a soft minimum at this part of the regularisation.
SOFT_MINIMUM = 1e-6


@dataclass
class Problem:
    """The problem on the atoms with mass.

    Attributes
    ----------
    kept_rows, kept_cols : array of int or None
        Positions of the atoms with mass; None when all have some.
    row_shift, col_shift : array or None
        What was subtracted from the costs.
    """

    xp: Namespace
    cost: Cost
    rows: Marginal
    cols: Marginal
    shape: tuple[int, int]
    kept_rows: Array | None = None
    kept_cols: Array | None = None
    row_shift: Array | None = None
    col_shift: Array | None = None
    whole: Cost | None = None  # costs between all atoms, unshifted

    def restrict(self, potential: Any, axis: int) -> Array:
        """A potential of the user's for the atoms with mass, without the shift of the costs."""
        kept, shift = (self.kept_rows, self.row_shift) if axis == 0 else (self.kept_cols, self.col_shift)
        potential = potential if kept is None else self.xp.take(potential, kept)
        return potential if shift is None else potential - shift

    def extend(self, potential: Array, axis: int, other: Array, reg: float) -> Array:
        """The potential of all atoms: those without mass get the c-transform of the other side's."""
        kept, shift = (self.kept_rows, self.row_shift) if axis == 0 else (self.kept_cols, self.col_shift)
        if shift is not None:
            potential = potential + shift
        if kept is None:
            return potential
        xp, size = self.xp, self.shape[axis]
        other_kept, other_shift = (self.kept_cols, self.col_shift) if axis == 0 else (self.kept_rows, self.row_shift)
        other = other if other_shift is None else other + other_shift
        everywhere = spread(other, other_kept, self.shape[1 - axis], fill=-math.inf)
        soft = SOFT_MINIMUM * reg
        assert self.whole is not None
        lse = self.whole.lse_rows(everywhere, soft) if axis == 0 else self.whole.lse_cols(everywhere, soft)
        transform = -soft * lse
        # An atom that all pairs are forbidden to has no finite potential of its own.
        transform = xp.where(xp.isfinite(transform), transform, xp.zeros_like(transform))
        here = spread(xp.ones_like(potential), kept, size) > 0
        return xp.where(here, spread(potential, kept, size), transform)


def check_weights(values: Any, name: str, size: int, like: Array) -> Array:
    """Return non-negative weights of the given length; None means uniform."""
    xp = namespace(like)
    if values is None:
        return xp.full(size, 1.0 / size, dtype=like.dtype, device=like.device)
    if not is_array(values):
        try:
            values = asarray_like(np.asarray(values), like)
            numeric = xp.isdtype(values.dtype, ("numeric", "bool"))
        except (TypeError, ValueError) as error:
            raise TypeError(f"`{name}` must be a 1-D array of weights: {error}") from error
        if not numeric:
            raise TypeError(f"`{name}` must be a 1-D array of weights, got dtype {values.dtype}.")
    if values.ndim != 1:
        raise ValueError(f"`{name}` must be a 1-D array of weights, got shape {tuple(values.shape)}.")
    if values.shape[0] != size:
        raise ValueError(f"`{name}` must have {size} elements as the costs have, got {values.shape[0]}.")
    if xp.isdtype(values.dtype, "complex floating"):
        raise TypeError(f"`{name}` must be real, got dtype {values.dtype}.")
    values = contiguous(xp.astype(values, like.dtype, copy=False))
    smallest, total = scalars(xp, xp.min(values), xp.sum(values))
    if not math.isfinite(total) or not smallest >= 0.0:
        raise ValueError(f"`{name}` must hold finite non-negative weights, got a smallest of {smallest} (sum {total}).")
    if not total > 0.0:
        raise ValueError(f"`{name}` must have positive mass, got a sum of {total}.")
    return values


def dense_problem(a: Any, b: Any, C: Any, *, mass_tol: float, rho: tuple[float, float], refine: bool) -> Problem:
    """Check weights and costs; see `numopt.ot.solve` for what raises."""
    C = _check_costs(a, b, C)
    xp = namespace(C)
    n, m = (int(size) for size in C.shape)
    real = xp.float64 if refine else C.dtype
    a, b = (xp.astype(check_weights(w, s, k, C), real, copy=False) for w, s, k in ((a, "a", n), (b, "b", m)))
    b = _equal_mass(a, b, mass_tol, rho)
    kept_rows, kept_cols = _with_mass(a), _with_mass(b)
    source = C
    if kept_rows is not None:
        C, a = xp.take(C, kept_rows, axis=0), xp.take(a, kept_rows)
    if kept_cols is not None:
        C, b = xp.take(C, kept_cols, axis=1), xp.take(b, kept_cols)
    row_least = xp.min(C, axis=1)
    least, most, highest = scalars(xp, xp.min(row_least), xp.max(C), xp.max(row_least))
    if math.isnan(most) or least == -math.inf:
        raise ValueError("`C` must hold numbers above -inf (+inf forbids a pair), got NaN or -inf.")
    has_inf = most == math.inf
    if has_inf:
        _check_feasible(C, row_least, kept_rows, kept_cols)
        most = scalars(xp, xp.max(xp.where(xp.isinf(C), xp.full_like(C, -math.inf), C)))[0]
    row_shift = col_shift = None
    span = most - least
    offset = max(abs(least), highest - least) > OFFSET * span > 0.0 or (span == 0.0 and least != 0.0)
    # Penalties see the potentials themselves, which a shift would change.
    if offset and min(rho) == math.inf:
        row_shift = row_least
        C = C - row_shift[:, None]
        col_shift = xp.min(C, axis=0)
        C = C - col_shift[None, :]
        finite = xp.where(xp.isinf(C), xp.zeros_like(C), C) if has_inf else C
        (most,) = scalars(xp, xp.max(finite))
        row_shift, col_shift = (xp.astype(shift, real, copy=False) for shift in (row_shift, col_shift))
    cost = DenseCost(C, real, _scale(most, least), has_inf=has_inf)
    whole = cost if C is source else DenseCost(source, real, cost.largest, has_inf=has_inf)
    return Problem(
        xp,
        cost,
        Marginal.of(a, rho[0]),
        Marginal.of(b, rho[1]),
        (n, m),
        kept_rows,
        kept_cols,
        row_shift,
        col_shift,
        whole,
    )


def point_problem(
    X: Any, Y: Any, a: Any, b: Any, *, metric: str, mass_tol: float, rho: tuple[float, float], refine: bool
) -> Problem:
    """The same for costs between points."""
    from numopt._array import promote
    from numopt._core.validation import check_matrix

    xp = namespace(X, Y)
    X, Y = promote(check_matrix(X, "X", xp=xp), check_matrix(Y, "Y", xp=xp), xp=xp)
    if X.shape[1] != Y.shape[1]:
        raise ValueError(f"`X` and `Y` must have as many columns, got {X.shape[1]} and {Y.shape[1]}.")
    n, m = int(X.shape[0]), int(Y.shape[0])
    a, b = check_weights(a, "a", n, X), check_weights(b, "b", m, X)
    if refine:
        X, Y, a, b = (xp.astype(v, xp.float64) for v in (X, Y, a, b))
    b = _equal_mass(a, b, mass_tol, rho)
    kept_rows, kept_cols = _with_mass(a), _with_mass(b)
    # Differences are what costs are made of: a common offset of all points would only take their digits.
    center = xp.mean(X, axis=0)
    X, Y = X - center, Y - center
    whole = PointCost(X, Y, metric, X.dtype, 0.0)
    whole.largest = _largest_distance(X, Y, metric)
    if kept_rows is not None:
        X, a = xp.take(X, kept_rows, axis=0), xp.take(a, kept_rows)
    if kept_cols is not None:
        Y, b = xp.take(Y, kept_cols, axis=0), xp.take(b, kept_cols)
    cost = PointCost(X, Y, metric, X.dtype, whole.largest)
    return Problem(
        xp, cost, Marginal.of(a, rho[0]), Marginal.of(b, rho[1]), (n, m), kept_rows, kept_cols, None, None, whole
    )


def _largest_distance(X: Array, Y: Array, metric: str) -> float:
    """A bound on the largest cost, from the boxes around the points: close enough for annealing to begin at."""
    xp = namespace(X)
    reach = xp.maximum(xp.max(X, axis=0) - xp.min(Y, axis=0), xp.max(Y, axis=0) - xp.min(X, axis=0))
    if METRICS[metric] == 2:
        total = xp.sum(xp.abs(reach))
    else:
        total = xp.sum(reach**2)
        total = xp.sqrt(total) if METRICS[metric] == 1 else total
    (largest,) = scalars(xp, total)
    return largest if largest > 0.0 else 1.0


def _check_costs(a: Any, b: Any, C: Any) -> Array:
    """Return C as a real floating (n, m) array of the common library, C-contiguous."""
    from numopt._array import is_sparse, promote

    if getattr(a, "ndim", 1) == 2 and getattr(C, "ndim", 2) != 2:
        raise ValueError(
            "The order is solve(a, b, C, reg): weights, weights, costs; a 2-D array came first, as in POT's "
            "solve(M, a, b, reg)."
        )
    if is_sparse(C):
        raise TypeError("`C` must be a dense array, got a sparse matrix; mark forbidden pairs by +inf.")
    xp = namespace(a, b, C)
    if C is None:
        raise TypeError("`C` must be a 2-D array of costs, got None.")
    weights = [w for w in (a, b) if is_array(w)]
    try:
        (C, *_) = promote(C, *weights, xp=xp)
    except (TypeError, ValueError) as error:
        raise TypeError(f"`C` must be a 2-D array of costs and fit the weights: {error}") from error
    if C.ndim != 2 or min(C.shape) < 1:
        raise ValueError(f"`C` must be a 2-D array of costs with at least one row and column, got {tuple(C.shape)}.")
    if xp.isdtype(C.dtype, "complex floating"):
        raise TypeError(f"`C` must be real, got dtype {C.dtype}.")
    return contiguous(C)


def _equal_mass(a: Array, b: Array, mass_tol: float, rho: tuple[float, float]) -> Array:
    """Return b with the mass of a, where both are constraints."""
    if math.inf != min(rho):
        return b
    xp = namespace(a)
    total_a, total_b = scalars(xp, xp.sum(a), xp.sum(b))
    if abs(total_a - total_b) > mass_tol * total_a:
        raise ValueError(
            f"`a` and `b` must have the same mass to {mass_tol:g} (mass_tol), got {total_a:.9g} and {total_b:.9g}; "
            "normalise them, or use reg_m for unbalanced transport."
        )
    return b if total_a == total_b else b * (total_a / total_b)


def _with_mass(weights: Array) -> Array | None:
    xp = namespace(weights)
    positive = weights > 0
    (count,) = scalars(xp, xp.sum(xp.astype(positive, xp.int64)))
    return None if count == weights.shape[0] else xp.nonzero(positive)[0]


def _check_feasible(C: Array, row_least: Array, kept_rows: Array | None, kept_cols: Array | None) -> None:
    """Every atom with mass needs a pair of finite cost."""
    xp = namespace(C)
    for kind, least, kept in (("source", row_least, kept_rows), ("target", xp.min(C, axis=0), kept_cols)):
        bad = xp.nonzero(xp.isinf(least))[0]
        if bad.shape[0]:
            i = int(bad[0]) if kept is None else int(kept[int(bad[0])])
            raise ValueError(f"The problem is infeasible: {kind} {i} has mass, but all its costs in `C` are +inf.")


def _scale(most: float, least: float) -> float:
    """A positive number of the size of the costs."""
    return max(abs(most), abs(least)) or 1.0


def penalties(reg_m: Any) -> tuple[float, float]:
    """Read `reg_m`: None (balanced), one number or a pair; inf keeps that marginal fixed."""
    if reg_m is None:
        return math.inf, math.inf
    values = reg_m if isinstance(reg_m, tuple | list) else (reg_m, reg_m)
    if len(values) != 2:
        raise ValueError(f"`reg_m` must be None, a number or a pair of numbers, got {reg_m!r}.")
    first, second = (check_scalar(v, "reg_m", low=0.0, include_low=False, high=math.inf) for v in values)
    return first, second
