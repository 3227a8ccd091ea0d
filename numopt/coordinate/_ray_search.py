"""Line search for a convex function along a ray, with derivatives: where margins are known both cost one pass."""

import math
from collections.abc import Callable

__all__ = ["search_ray"]

# Armijo's fraction of the predicted decrease, and the part of the first slope that may be left.
_DECREASE, _FLATNESS = 1e-4, 0.5
# New lengths keep this distance from the ends of the bracket, in parts of it; beyond the first trial they grow by 2.
_MARGIN = 0.1
_GROWTH = 2.0
# Trials for a good length, and for any that decreases the function.
_TRIALS, _MAX_TRIALS = 6, 60


def search_ray(
    trial: Callable[[float], tuple[float, float]], start: float, slope: float, *, slack: float = 0.0
) -> float | None:
    """Return a step length at which a convex function has decreased enough and is flat enough.

    Parameters
    ----------
    trial : callable
        ``trial(alpha)`` returns value and derivative at a length; the first asked for is 1.
    start, slope : float
        Value and derivative, negative, at 0.
    slack : float, default 0
        Rounding of the values.

    Returns
    -------
    float or None
        The first length with Armijo's decrease and at most half of the slope; after a few trials the best one with
        that decrease; None when there is none down to rounding.

    Notes
    -----
    A Newton step in the quadratic region is taken as it is. Far away, where losses are almost linear, it is wrong by
    factors, and halving alone would leave it there: the minimiser of the cubic that has the values and slopes at both
    ends of the bracket is tried next.
    """
    low, high = (0.0, start, slope), None
    best: tuple[float, float] | None = None
    alpha = 1.0
    for count in range(1, _MAX_TRIALS + 1):
        value, tilt = trial(alpha)
        falls = value <= start + _DECREASE * alpha * slope + slack  # false for NaN
        if falls and (best is None or value < best[1]):
            best = (alpha, value)
        if falls and abs(tilt) <= _FLATNESS * abs(slope):
            return alpha
        if best is not None and count >= _TRIALS:
            break
        if falls and tilt < 0:
            low = (alpha, value, tilt)
        else:
            high = (alpha, value, tilt)
        alpha = _GROWTH * alpha if high is None else _between(low, high)
    return None if best is None else best[0]


def _between(low: tuple[float, float, float], high: tuple[float, float, float]) -> float:
    """Return the minimiser of the cubic through two points with slopes, kept off the ends."""
    a, fa, ga = low
    b, fb, gb = high
    width = b - a
    guess = a + _MARGIN * width
    if math.isfinite(fb) and math.isfinite(gb):
        theta = 3 * (fa - fb) / width + ga + gb
        root = theta * theta - ga * gb
        if root >= 0 and (denominator := gb - ga + 2 * math.sqrt(root)) != 0:
            guess = b - width * (gb + math.sqrt(root) - theta) / denominator
    return min(max(guess, a + _MARGIN * width), b - _MARGIN * width)
