"""The trust region of the Newton steps: how the shift mu and the radius follow from how steps turn out.

Lengths are changes of the potentials in units of the regularisation: exp(radius) bounds the change of an entry.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

RADIUS = 10.0
SMALLEST_SHIFT = 1e-6
LARGEST_SHIFT = 10.0
ACCEPT = 1e-4  # part of the predicted rise that a step must bring
TRIALS = 40
# A mode that wants to move much further than one step leads rises more than predicted; go on along the step then.
EXTEND = 1.15
FARTHEST = 200.0


@dataclass
class Region:
    """What a stage remembers from one step to the next."""

    shift: float = 0.0
    radius: float = RADIUS
    capped: int = 0  # steps in a row whose conjugate gradients hit their limit
    ssns_mu: float = 1.0

    def damped(self, mu: float, largest: float) -> float:
        """Return the shift to try after one whose step was too long, or no step at all (`largest` not finite)."""
        factor = 10.0
        if math.isfinite(largest):
            # A mode that the shift rules moves in inverse proportion to it; far below it, it takes many tens.
            excess = 1.3 * largest / self.radius
            if mu > 1e-4 or excess > 13.0:
                factor = min(max(2.0, excess), 100.0)
        return max(factor * mu, SMALLEST_SHIFT)

    def rejected(self, mu: float, largest: float) -> float:
        """Return the shift to try after a step of this length that did not bring what it promised."""
        self.radius = min(self.radius, max(0.25 * largest, 2.0))
        return max(4.0 * mu, SMALLEST_SHIFT)

    def accepted(self, mu: float, ratio: float, largest: float, *, flat: bool) -> None:
        """Set shift and radius for the next step from the rise of this one relative to its prediction."""
        if ratio > 0.75:
            self.shift = mu / 4.0
            if largest > 0.5 * self.radius:
                self.radius *= 2.0
        elif ratio > 0.5:
            self.shift = mu / 3.0
        else:
            self.shift = 2.0 * mu if ratio < 0.25 and not flat else mu
        if self.shift < 0.1 * SMALLEST_SHIFT:
            self.shift = 0.0


class _Valued(Protocol):
    @property
    def fun(self) -> float: ...


PointT = TypeVar("PointT", bound=_Valued)


def extended(along: Callable[[float], PointT], new: PointT, largest: float) -> PointT:
    """Double the step, `along(1)` being `new`, while the dual keeps rising."""
    t = 2.0
    while t * largest <= FARTHEST:
        further = along(t)
        if not further.fun > new.fun:
            break
        new, t = further, 2.0 * t
    return new
