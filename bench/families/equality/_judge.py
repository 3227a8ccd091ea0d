"""The bench's own verdict on a point: KKT residual recomputed in float64, outside every solver, the same for all."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numopt.problems import Problem

Vector = NDArray[np.float64]

DENSE_ENTRIES = 4_000_000
"""Jacobians of up to this many entries get exact least-squares multipliers; larger ones a capped LSMR."""

LSMR_STEPS = 200


@dataclass(frozen=True)
class Verdict:
    """What the bench found at the returned point.

    Attributes
    ----------
    kkt, kkt_scaled : float
        2-norm of (grad f + J' lam, c), absolute and divided by max(1, ||grad f||_inf, ||lam||_inf).
    constr_violation : float
        2-norm of c.
    fun : float
    multipliers : {"returned", "negated", "least squares"}
        The choice of `lam` with the smallest residual.
    """

    kkt: float
    kkt_scaled: float
    constr_violation: float
    fun: float
    multipliers: str


def judge(problem: Problem, x: ArrayLike, lam: ArrayLike | None = None) -> Verdict:
    """KKT residual at `x` with the best of `lam`, ``-lam`` and the least-squares multipliers.

    Solvers differ in the sign of their multipliers and some return none; taking the smallest residual favours nobody.

    Raises
    ------
    ValueError
        If the problem has inequalities or bounds (there the residual needs complementarity, which this does not judge),
        or `x` has the wrong shape.
    """
    if problem.m_eq != problem.m or np.any(np.isfinite(problem.lb)) or np.any(np.isfinite(problem.ub)):
        raise ValueError(f"{problem.name} has inequalities or bounds; only equality constraints are judged.")
    point = np.array(x, dtype=np.float64)
    if point.shape != (problem.n,):
        raise ValueError(f"`x` has shape {point.shape}, expected ({problem.n},).")
    with np.errstate(all="ignore"):
        fun, gradient = float(problem.fun(point)), np.asarray(problem.grad(point), dtype=np.float64)
        if problem.m == 0:
            return _verdict(fun, gradient, gradient, np.zeros(0), np.zeros(0), "least squares")
        jacobian = problem.jac(point)
        residual = np.asarray(problem.cons(point), dtype=np.float64) - problem.cu
        found = [
            _verdict(fun, gradient, gradient + jacobian.T @ candidate, residual, candidate, name)
            for name, candidate in _candidates(jacobian, gradient, lam)
        ]
    return min(found, key=lambda verdict: verdict.kkt if np.isfinite(verdict.kkt) else np.inf)


def _candidates(jacobian: Any, gradient: Vector, lam: ArrayLike | None) -> list[tuple[str, Vector]]:
    candidates = []
    if lam is not None:
        returned = np.array(lam, dtype=np.float64).reshape(-1)
        if returned.shape == (jacobian.shape[0],) and np.all(np.isfinite(returned)):
            candidates += [("returned", returned), ("negated", -returned)]
    if np.all(np.isfinite(gradient)):
        fitted = least_squares_multipliers(jacobian, gradient)
        if fitted is not None:
            candidates.append(("least squares", fitted))
    return candidates or [("returned", np.full(jacobian.shape[0], np.nan))]


def least_squares_multipliers(jacobian: Any, gradient: Vector) -> Vector | None:
    """Multipliers that minimise ||grad f + J' lam||, None where they cannot be computed."""
    m, n = jacobian.shape
    sparse = not isinstance(jacobian, np.ndarray)
    if m * n <= DENSE_ENTRIES:
        dense = jacobian.toarray() if sparse else jacobian
        try:
            fitted: Vector = np.linalg.lstsq(dense.T, -gradient, rcond=None)[0]
        except (np.linalg.LinAlgError, ValueError):
            return None
        return fitted
    from scipy.sparse.linalg import lsmr

    approximate: Vector = lsmr(jacobian.T, -gradient, atol=1e-14, btol=1e-14, conlim=0.0, maxiter=LSMR_STEPS)[0]
    return approximate


def _verdict(fun: float, gradient: Vector, stationarity: Vector, residual: Vector, lam: Vector, name: str) -> Verdict:
    violation = float(np.linalg.norm(residual))
    kkt = float(np.hypot(np.linalg.norm(stationarity), violation))
    scale = max(1.0, float(np.abs(gradient).max(initial=0.0)), float(np.abs(lam).max(initial=0.0)))
    return Verdict(kkt, kkt / scale, violation, fun, name)
