"""Sweeps for several targets of one source at once: one matrix product serves them all."""

import math

from numopt._array import scalars, to_host
from numopt._typing import Array, Namespace
from numopt.ot._calls import MASS_TOL, Answer, whole_weights
from numopt.ot._cost import DenseCost
from numopt.ot._gibbs_operator import StoredGibbs, gibbs_operator
from numopt.ot._problem import Problem

LEAST_SWEEPS = 5
# More sweeps than that are left to Newton steps, target by target.
SWEEPS_WORTH = 200


def sweep_jointly(problem: Problem, B: Array, *, reg: float, threshold: float, maxiter: int) -> list[Answer] | None:
    """Sweep until the 2-norm of every target's marginal errors is at most `threshold`, or only slowly gets there.

    Parameters
    ----------
    problem : Problem
        That of any target: the costs and the source are used.
    B : array of shape (m, k)
        Targets, not checked yet.
    reg, threshold : float
        As in `sinkhorn`.
    maxiter : int
        Most sweeps.

    Returns
    -------
    list of Answer, or None
        Without plans; None where log-sum-exps or forbidden pairs are called for, or a target is not valid.
    """
    xp, cost = problem.xp, problem.whole
    assert isinstance(cost, DenseCost)
    a, masses = whole_weights(problem, 0)[:, None], xp.sum(B, axis=0)
    least, smallest, lightest, heaviest, mass = scalars(
        xp, xp.min(cost.C), xp.min(B), xp.min(masses), xp.max(masses), xp.sum(a)
    )
    if cost.has_inf or not smallest >= 0.0 or not max(heaviest - mass, mass - lightest) <= MASS_TOL * mass:
        return None
    K = gibbs_operator(cost.C - least, reg)
    if not isinstance(K, StoredGibbs):
        return None
    B = B * (mass / masses)
    log_a, log_b = (_log(xp, weights) for weights in (a, B))
    phi, gamma = xp.zeros((a.shape[0], B.shape[1]), dtype=B.dtype, device=B.device), log_b
    previous, sweeps = math.inf, 0
    while True:
        log_rows = K.log_rows(gamma)
        # Columns are exact after every sweep, so that all of the error is in the rows.
        gap = xp.exp(phi + log_rows) - a
        (error,) = scalars(xp, xp.sqrt(xp.max(xp.sum(gap * gap, axis=0))))
        if sweeps >= maxiter or (sweeps > 0 and error <= threshold):
            break
        if sweeps >= LEAST_SWEEPS:
            ratio = error / previous
            # Both logarithms are negative.
            if not ratio < 1.0 or math.log(threshold / error) < SWEEPS_WORTH * math.log(ratio):
                break
        previous = error
        phi = log_a - log_rows
        gamma = log_b - K.log_cols(phi)
        sweeps += 1
    top = xp.max(gamma, axis=0)
    u, v = xp.exp(phi + top), xp.exp(gamma - top)
    rows, cols = u * xp.matmul(K.K, v) - a, v * xp.matmul(K.K.T, u) - B
    errors = to_host(xp.sqrt(xp.sum(rows * rows, axis=0) + xp.sum(cols * cols, axis=0))).tolist()
    losses = to_host(xp.sum(u * xp.matmul(K.K * cost.C, v), axis=0)).tolist()
    log_u = phi + least / reg
    return [
        Answer(None, loss, log_u[:, k], gamma[:, k], error, [error], sweeps)
        for k, (loss, error) in enumerate(zip(losses, errors, strict=True))
    ]


def _log(xp: Namespace, weights: Array) -> Array:
    positive = weights > 0
    logarithms = xp.log(xp.where(positive, weights, xp.ones_like(weights)))
    return xp.where(positive, logarithms, xp.full_like(logarithms, -math.inf))
