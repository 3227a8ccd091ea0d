"""Unknowns along which f has no curvature: set to the best value once, before a solve that leaves them alone."""

from typing import Any

import numpy as np

from numopt._array import to_host
from numopt._core.status import Status
from numopt.coordinate._partition import Partition
from numopt.coordinate._problem import Point

__all__ = ["settle_dead_unknowns"]


def settle_dead_unknowns(point: Point, partition: Partition) -> tuple[Status | None, str | None]:
    """Move the unknowns in no block to the minimisers of g_i z + psi_i(z), their part of F.

    Returns
    -------
    status : Status or None
        UNBOUNDED where there is no minimiser, INDEFINITE where the curvature is negative.
    detail : str or None
        What the user should know.
    """
    problem, xp = point.problem, point.problem.xp
    n = problem.n_variables
    if partition.live.size == n:
        return None, None
    dead = np.setdiff1d(np.arange(n), partition.live)
    curvature = to_host(problem.lipschitz)[dead]
    if curvature.min() < 0:
        worst, least = int(dead[np.argmin(curvature)]), float(curvature.min())
        return Status.INDEFINITE, f"The matrix is not positive definite: diagonal entry {worst} is {least:.3g}"
    block = xp.asarray(dead, device=problem.device)
    old = to_host(xp.take(point.x, block))
    slope = to_host(xp.take(point.gradient, block))
    target, free = _minimisers(point, block, old, slope)
    if not np.isfinite(target).all():
        unknown = int(dead[np.argmax(~np.isfinite(target))])
        return Status.UNBOUNDED, f"The objective is linear in unknown {unknown}, which no bound keeps"
    if (target != old).any():
        point.move(block, xp.asarray(target - old, dtype=problem.dtype, device=problem.device))
    if not free:
        return None, None
    names = ", ".join(str(i) for i in dead[:6]) + (", ..." if dead.size > 6 else "")
    return None, f"The objective does not depend on {dead.size} of the unknowns ({names}), which stay as they started"


def _minimisers(point: Point, block: Any, old: Any, slope: Any) -> tuple[Any, bool]:
    """Return the minimisers, infinite where there is none, and whether they are arbitrary."""
    penalty = point.problem.penalty
    if not penalty.is_separable:
        weight = penalty.l1 > 0
        return (np.zeros_like(old) if weight else np.where(slope == 0, old, -np.sign(slope) * np.inf)), not weight
    l1, lower, upper = (to_host(part) for part in penalty.take(block))
    resting = np.where(l1 > 0, np.clip(0.0, lower, upper), old)
    target = np.where(slope > l1, lower, np.where(slope < -l1, upper, resting)).astype(old.dtype)
    return target, bool(penalty.is_zero and (slope == 0).all())
