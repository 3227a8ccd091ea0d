"""Backtracking along a ray or a projected arc, by interpolation that cannot leave a safe interval."""

import math
from collections.abc import Callable

__all__ = ["SUFFICIENT_DECREASE", "backtrack"]

SUFFICIENT_DECREASE = 1e-4
# Each step keeps between a tenth and half of the length; 60 of them reach the rounding of any start.
_SHORTEST, _LONGEST = 0.1, 0.5
_MAX_TRIALS = 60


def backtrack(
    trial: Callable[[float], tuple[float, float]],
    start: float,
    slope: float,
    *,
    decrease: float = SUFFICIENT_DECREASE,
    slack: float = 0.0,
) -> tuple[float, float] | None:
    """Return the first step length that decreases the objective enough, and its value there.

    Parameters
    ----------
    trial : callable
        ``trial(alpha)`` returns the objective at step length `alpha` and the change (negative) that the linear model
        predicts for it: ``alpha * slope`` along a ray, what is left of it along a projected arc.
    start : float
        The objective at length 0.
    slope : float
        Its directional derivative there, negative; for a composite objective the bound on it.
    decrease : float, default 1e-4
        Fraction of the predicted change that must be reached (Armijo).
    slack : float, default 0
        Rounding of the objective: differences up to it count for nothing.

    Returns
    -------
    (float, float) or None
        None when no length is accepted whose predicted change is above rounding.

    Notes
    -----
    The first new length minimises the quadratic through the value and slope at 0 and the value at the trial, later ones
    the cubic through the two last trials. Both are clipped to [0.1, 0.5] of the previous length: without that a cubic
    fitted to noise gives negative lengths, or none.
    """
    alpha, previous = 1.0, None
    for _ in range(_MAX_TRIALS):
        value, predicted = trial(alpha)
        # False for NaN. A step that had to be shortened must show for it: at some length any change is rounding.
        if value <= start + decrease * predicted + slack and (alpha == 1 or value < start):
            return alpha, value
        excess = value - start - alpha * slope
        guess = _interpolate(alpha, excess, slope, previous)
        previous = (alpha, excess)
        alpha = min(max(guess, _SHORTEST * alpha), _LONGEST * alpha)
        if -alpha * slope <= slack:
            break
    return None


def _interpolate(alpha: float, excess: float, slope: float, previous: tuple[float, float] | None) -> float:
    """Return the minimiser of the interpolating polynomial, 0 where there is none."""
    if not math.isfinite(excess) or excess <= 0:
        return 0.0
    if previous is None or not math.isfinite(previous[1]):
        return -slope * alpha**2 / (2 * excess)
    # phi(t) = start + slope t + b t^2 + a t^3 through both excesses.
    older, older_excess = previous
    a = (excess / alpha**2 - older_excess / older**2) / (alpha - older)
    b = excess / alpha**2 - a * alpha
    if a == 0:
        return -slope / (2 * b) if b > 0 else 0.0
    root = b * b - 3 * a * slope
    if root < 0:
        return 0.0
    # The form without cancellation for b > 0.
    denominator = b + math.sqrt(root)
    return -slope / denominator if denominator > 0 else 0.0
