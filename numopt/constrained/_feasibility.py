"""Least-squares multipliers and the confirmed test of local infeasibility."""

from typing import Any

import numpy as np

from numopt._array import is_numpy, is_sparse
from numopt._krylov import pcg
from numopt._linalg import SparseLU, cho_factor, cho_solve, lstsq, norm
from numopt._typing import Array, Namespace
from numopt.constrained._functions import Functions, is_operator
from numopt.constrained._hessian_shift import frobenius
from numopt.constrained._iterate import Iterate, complete

MULTIPLIER_LIMIT = 1e3  # larger least-squares multipliers are replaced by zero
DENSE_ROWS = 500
LM_STEPS = 5  # steps that must confirm a suspicion
LM_MU, LM_GROW, LM_SHRINK = 1e-2, 8.0, 5.0
LM_ACCEPT, LM_GOOD = 1e-4, 0.75
LM_FALL = 0.99
LM_IDLE_FALL, LM_IDLE_STEPS = 1e-10, 10
PERTURBATION = 1e-4


def least_squares_multipliers(grad: Array, J: Any, xp: Namespace) -> Array:
    """The minimum-norm minimiser of ||grad + J'lam||, 0 when a component exceeds 1e3."""
    m, n = J.shape
    if m == 0:
        return xp.zeros(0, dtype=grad.dtype, device=grad.device)
    if is_sparse(J) and is_numpy(xp) and m > DENSE_ROWS:
        lam = _sparse_multipliers(grad, J, n, m)
    elif is_operator(J) or (is_sparse(J) and m > DENSE_ROWS):
        lam = pcg(lambda y: J @ (J.T @ y), -(J @ grad), rtol=1e-10, maxiter=2 * m + 50).x
    else:
        dense = J.toarray() if is_sparse(J) else J
        lam = lstsq(dense.T, -grad)
    largest = float(xp.max(xp.abs(lam)))
    return lam if largest <= MULTIPLIER_LIMIT else xp.zeros_like(lam)


def _sparse_multipliers(grad: Array, J: Any, n: int, m: int) -> Array:
    """Solve [[I, J'], [J, -delta I]] (s, lam) = (-grad, 0); delta only where J has dependent rows."""
    import scipy.sparse as sp

    rhs = np.concatenate([-grad, np.zeros(m, dtype=grad.dtype)])
    for delta in (0.0, 1e-10 * max(1.0, frobenius(J, np))):
        corner = None if delta == 0.0 else -delta * sp.eye_array(m)
        try:
            K = sp.block_array([[sp.eye_array(n), J.T], [J, corner]], format="csc")
            lam: Array = SparseLU(K).solve(rhs)[n:]
        except np.linalg.LinAlgError:
            continue
        if np.all(np.isfinite(lam)):
            return lam
    return np.zeros(m, dtype=grad.dtype)


def suspicious(point: Iterate, reference: float, tol: float) -> bool:
    """Whether ||J'c|| <= tol Jref ||c|| with ||c|| > tol: a stationary point of the infeasibility."""
    if point.violation <= tol:
        return False
    slope = norm(point.J.T @ point.c)
    return slope <= tol * reference * point.violation


def jacobian_norm(J: Any, xp: Namespace) -> float:
    """Frobenius norm; 1 for an operator, whose entries are not known."""
    return 1.0 if is_operator(J) else frobenius(J, xp)


def _lm_direction(J: Any, c: Array, mu: float, violation: float, xp: Namespace) -> Array:
    """The direction -J'(JJ' + mu ||c|| I)^-1 c."""
    damping = mu * violation
    if is_sparse(J) or is_operator(J):
        y = pcg(lambda v: J @ (J.T @ v) + damping * v, c, rtol=1e-8, maxiter=2 * int(c.shape[0]) + 50).x
    else:
        m = int(c.shape[0])
        gram = J @ J.T + damping * xp.eye(m, dtype=c.dtype, device=c.device)
        y = cho_solve(cho_factor(gram), c)
    return -(J.T @ y)


def reduce_infeasibility(functions: Functions, point: Iterate, *, steps: int, target: float) -> tuple[Iterate, bool]:
    """Levenberg-Marquardt on ||c||^2/2 until ||c|| <= `target`, `steps` trials are spent, or ||c|| stands still.

    Returns the best point found and whether ten trials in a row left ||c|| where it was.
    """
    xp = functions.xp
    mu, idle = LM_MU, 0
    for _ in range(steps):
        p = _lm_direction(point.J, point.c, mu, point.violation, xp)
        x = point.x + p
        f, c = functions.fun(x), functions.cons(x)
        trial = norm(c)
        predicted = 0.5 * (point.violation**2 - norm(point.c + point.J @ p) ** 2)
        actual = 0.5 * (point.violation**2 - trial**2)
        idle = 0 if trial < (1.0 - LM_IDLE_FALL) * point.violation else idle + 1
        mu *= LM_GROW
        if predicted > 0.0 and actual >= LM_ACCEPT * predicted:
            candidate = complete(functions, x, point.lam, f, c)
            if candidate.finite:
                point = candidate
                mu /= LM_GROW * (LM_SHRINK if actual > LM_GOOD * predicted else 1.0)
        if point.violation <= target:
            return point, False
        if idle >= LM_IDLE_STEPS:
            return point, True
    return point, False


def confirm_infeasible(functions: Functions, point: Iterate, reference: float, tol: float) -> tuple[bool, Iterate]:
    """Five Levenberg-Marquardt steps at a suspicious point: (confirmed, where they led)."""
    after, _ = reduce_infeasibility(functions, point, steps=LM_STEPS, target=0.0)
    confirmed = after.violation > LM_FALL * point.violation and suspicious(after, reference, tol)
    return confirmed, after
