"""Linear constraints <D_k, P> = t_k or >= t_k on a transport plan: checked, and as terms of its dual.

With multipliers w the plan is that of the costs C - sum_k w_k D_k. An inequality has the slack s_k = exp(-w_k / reg),
in <D_k, P> - s_k = t_k, whose entropy reg * s (log s - 1) joins the objective; the dual gains t'w - reg * sum s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numopt._array import asarray_like, is_sparse, namespace, scalars, to_host
from numopt._core.validation import check_choice, check_scalar
from numopt._typing import Array
from numopt.ot._cost import DenseCost
from numopt.ot._problem import Problem

Vector = NDArray[np.float64]

KINDS = ("eq", "ge")


@dataclass(frozen=True)
class Constraints:
    """K constraints on the atoms that have mass.

    Attributes
    ----------
    matrices : array of shape (K, n, m)
        D_k less `offsets`, the middles of their ranges, which only shift the potentials.
    offsets, targets : array of shape (K,), on the host
        `targets` are t_k less what the offsets contribute.
    at_least : array of bool, on the host
        Whether a constraint is an inequality.
    scales : array of shape (K,), on the host
        Half the range of each D_k; the offset where it is constant.
    whole : list of array
        The D_k of all atoms, as they came.
    """

    matrices: Array
    offsets: Vector
    targets: Vector
    at_least: NDArray[np.bool_]
    scales: Vector
    whole: list[Array]

    @property
    def count(self) -> int:
        return len(self.whole)

    def start(self, init: Any) -> Vector:
        """Multipliers to start from: those of an earlier result that has as many, else zero."""
        found = init.get("multipliers") if isinstance(init, dict) else None
        if found is None or tuple(found.shape) != (self.count,):
            return np.zeros(self.count)
        return np.asarray(to_host(found), dtype=np.float64)

    def slack(self, w: Vector, reg: float) -> Vector:
        """exp(-w / reg) of the inequalities, zero for equations."""
        with np.errstate(over="ignore"):
            return np.where(self.at_least, np.exp(np.where(self.at_least, -w / reg, 0.0)), 0.0)

    def dual(self, w: Vector, reg: float) -> float:
        """Return what the multipliers add to the dual objective."""
        return float(self.targets @ w - reg * self.slack(w, reg).sum())

    def costs(self, C: Array, w: Vector) -> Array:
        """C - sum_k w_k D_k."""
        xp = namespace(self.matrices)
        flat = xp.reshape(self.matrices, (self.count, -1))
        moved = xp.matmul(asarray_like(w, flat, dtype=flat.dtype), flat)
        return C - xp.reshape(moved, self.matrices.shape[1:])

    def values(self, P: Array) -> Vector:
        """<D_k, P>, without the offsets."""
        xp = namespace(P)
        flat = xp.reshape(self.matrices, (self.count, -1))
        # Trial steps may overflow; what they give is then not finite, and refused.
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(to_host(xp.matmul(flat, xp.reshape(P, (-1,)))), dtype=np.float64)

    def moments(self, P: Array) -> tuple[Array, Array, Vector]:
        """Row sums (K, n) and column sums (K, m) of D_k * P, and <D_k D_l, P> (K, K) on the host."""
        xp = namespace(P)
        flat = xp.reshape(self.matrices, (self.count, -1))
        rows, cols, squares = [], [], []
        for k in range(self.count):
            weighted = self.matrices[k, ...] * P
            rows.append(xp.sum(weighted, axis=1))
            cols.append(xp.sum(weighted, axis=0))
            squares.append(xp.matmul(flat, xp.reshape(weighted, (-1,))))
        return xp.stack(rows), xp.stack(cols), np.asarray(to_host(xp.stack(squares)), dtype=np.float64)

    def reach(self, change: Vector) -> float:
        """Largest change of an exponent, entry or slack, times reg, for a change of the multipliers."""
        moves = np.abs(change) * np.where(self.at_least, np.maximum(self.scales, 1.0), self.scales)
        return float(moves.max())

    def of_all_atoms(self, C: Array, w: Vector) -> Array:
        """C - sum_k w_k (D_k - offset) between all atoms, with mass or without."""
        out = C
        for D, offset, weight in zip(self.whole, self.offsets, w, strict=True):
            out = out - weight * (namespace(C).astype(D, C.dtype, copy=False) - offset)
        return out


def read_constraints(constraints: Any, problem: Problem) -> Constraints | None:
    """Check the constraints of the user; None where there are none.

    Raises
    ------
    TypeError
        If an item is no (D, t, kind), or D is sparse, complex or of another library.
    ValueError
        If D does not have the shape of the costs or is not finite, t is not finite, or kind is neither 'eq' nor 'ge';
        or with penalised marginals.
    """
    if isinstance(constraints, str) or not isinstance(constraints, Sequence):
        raise TypeError(f"`constraints` must be a list of (D, t, 'eq' or 'ge'), got {type(constraints).__name__}.")
    if not constraints:
        return None
    if not (problem.rows.fixed and problem.cols.fixed):
        raise ValueError("`constraints` need fixed marginals; leave `reg_m` out.")
    whole, targets, kinds = [], [], []
    for k, item in enumerate(constraints):
        name = f"constraints[{k}]"
        if not isinstance(item, tuple | list) or len(item) != 3:
            raise TypeError(f"`{name}` must be (D, t, 'eq' or 'ge'), got {item!r:.60}.")
        D, t, kind = item
        whole.append(_matrix(D, f"{name}[0]", problem))
        targets.append(check_scalar(float(t) if getattr(t, "ndim", None) == 0 else t, f"{name}[1]"))
        kinds.append(check_choice(kind, f"{name}[2]", KINDS) == "ge")
    return _reduced(problem, whole, np.asarray(targets), np.asarray(kinds))


def _matrix(D: Any, name: str, problem: Problem) -> Array:
    """D as an array of the library, device and working dtype of the problem."""
    xp, like = problem.xp, problem.rows.weights
    if is_sparse(D):
        raise TypeError(f"`{name}` must be a dense array, got a sparse matrix.")
    D = asarray_like(D, like)
    if xp.isdtype(D.dtype, "complex floating"):
        raise TypeError(f"`{name}` must be real, got dtype {D.dtype}.")
    if tuple(D.shape) != problem.shape:
        raise ValueError(f"`{name}` must have the shape of `C`, {problem.shape}, got {tuple(D.shape)}.")
    D = xp.astype(D, like.dtype, copy=False)
    if not bool(xp.all(xp.isfinite(D))):
        raise ValueError(f"`{name}` must be finite, got NaN or infinite values.")
    return D


def _reduced(problem: Problem, whole: list[Array], targets: Vector, at_least: NDArray[np.bool_]) -> Constraints:
    """Restrict to the atoms with mass and take the middles of the ranges out."""
    xp = problem.xp
    (mass,) = scalars(xp, xp.sum(problem.rows.weights))
    matrices, offsets, scales = [], [], []
    for D in whole:
        if problem.kept_rows is not None:
            D = xp.take(D, problem.kept_rows, axis=0)
        if problem.kept_cols is not None:
            D = xp.take(D, problem.kept_cols, axis=1)
        least, most = scalars(xp, xp.min(D), xp.max(D))
        offsets.append(0.5 * (least + most))
        scales.append(0.5 * (most - least) or abs(most) or 1.0)
        matrices.append(D - offsets[-1])
    middles = np.asarray(offsets)
    return Constraints(xp.stack(matrices), middles, targets - mass * middles, at_least, np.asarray(scales), whole)


def unreachable(constraints: Constraints, problem_cost: DenseCost, a: Array, b: Array) -> int | None:
    """Return the first constraint that no plan can meet even row by row or column by column; None if there is none."""
    xp = namespace(a)
    (mass,) = scalars(xp, xp.sum(a))
    allowed = xp.isfinite(problem_cost.C)
    for k in range(constraints.count):
        for sign in (1.0,) if constraints.at_least[k] else (1.0, -1.0):
            D = xp.where(allowed, sign * constraints.matrices[k, ...], xp.full_like(a[:1], -xp.inf))
            by_rows, by_cols = scalars(xp, xp.sum(a * xp.max(D, axis=1)), xp.sum(b * xp.max(D, axis=0)))
            rounding = 1e-9 * mass * constraints.scales[k]
            if sign * constraints.targets[k] > min(by_rows, by_cols) + rounding:
                return k
    return None


def contradiction(constraints: Constraints, problem_cost: DenseCost, a: Array, b: Array, g: Array, w: Vector) -> float:
    """Try to prove from multipliers that no plan meets the constraints; a positive margin is a proof.

    For multipliers w (not negative on inequalities), any g and f_i = min_j (-(w D)_ij - g_j) every plan that meets the
    constraints has  a'f + b'g <= -w'<D, P> <= -w't  (Farkas).
    """
    xp = namespace(a)
    w = np.where(constraints.at_least, np.maximum(w, 0.0), w)
    size = float(np.max(np.abs(w) * constraints.scales))
    if size == 0.0:
        return 0.0
    forbidden = xp.where(xp.isfinite(problem_cost.C), xp.zeros_like(a[:1]), xp.full_like(a[:1], xp.inf))
    g = g / size
    f = xp.min(constraints.costs(forbidden, w / size) - g[None, :], axis=1)
    (mass, value) = scalars(xp, xp.sum(a), xp.sum(a * f) + xp.sum(b * g))
    return (value + float(constraints.targets @ w) / size) / mass
