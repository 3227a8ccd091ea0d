"""The exact augmented Lagrangian M = L + (eta1/2) ||c||^2 + (eta2/2) ||grad_x L||^2 and its line search.

Paper: eq. for M and the Armijo rule of Algorithm 1; the non-monotone reference, the early rejection and the comparison
of ||r|| at rounding level are additions of the practical mode.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from numopt._array import scalars
from numopt._typing import Array
from numopt.constrained._functions import Functions
from numopt.constrained._iterate import Iterate, complete

ETA1_LIMIT = 1e8
ETA2_LIMIT = 1e-8
ROUNDING = 1e-14  # slack of a merit comparison, relative to max(1, |M|)
LEVEL_SLOPE = 1e-12  # slopes below this fraction of |M| cannot be seen in M
MIN_ALPHA = 1e-14
MEMORY = 5  # iterates in the non-monotone reference


@dataclass(slots=True)
class Slope:
    """Directional derivative of M along (dx, dlam), as lagrangian + eta1 * feasibility + eta2 * stationarity."""

    lagrangian: float
    feasibility: float
    stationarity: float

    def at(self, eta1: float, eta2: float) -> float:
        """Value for the given weights."""
        return self.lagrangian + eta1 * self.feasibility + eta2 * self.stationarity


def merit_slope(xp: Any, point: Iterate, H: Any, dx: Array, dlam: Array) -> Slope:
    """Slope of M along (dx, dlam): grad M = (g + eta2 H g + eta1 J'c, c + eta2 J g) with the unmodified Hessian H."""
    if point.c.shape[0] == 0:
        gd, hd = scalars(xp, point.g @ dx, (H @ point.g) @ dx)
        return Slope(gd, 0.0, hd)
    Jdx = point.J @ dx
    gd, cd, fd, hd, jd = scalars(
        xp, point.g @ dx, point.c @ dlam, point.c @ Jdx, (H @ point.g) @ dx, point.g @ (point.J.T @ dlam)
    )
    return Slope(gd + cd, fd, hd + jd)


@dataclass(slots=True)
class ExactMerit:
    """Weights of M, their updates and the line search."""

    eta1: float
    eta2: float
    nu: float
    beta: float
    nonmonotone: bool
    eta1_start: float = field(init=False)
    eta2_start: float = field(init=False)
    memory: deque[tuple[float, float, float]] = field(init=False)
    unit_steps: int = 0

    def __post_init__(self) -> None:
        self.eta1_start, self.eta2_start = self.eta1, self.eta2
        self.memory = deque(maxlen=MEMORY if self.nonmonotone else 1)

    def value(self, point: Iterate) -> float:
        """M at an iterate."""
        return point.lagrangian + 0.5 * (self.eta1 * point.violation**2 + self.eta2 * point.optimality**2)

    def descends(self, slope: Slope, point: Iterate) -> bool:
        """The descent test grad M'd <= -(eta2/2) ||r||^2 (paper, step 6)."""
        return slope.at(self.eta1, self.eta2) <= -0.5 * self.eta2 * point.kkt**2

    @property
    def at_limits(self) -> bool:
        """Whether the weights have left the range in which they are adapted."""
        return self.eta1 > ETA1_LIMIT or self.eta2 < ETA2_LIMIT

    def strengthen(self) -> None:
        """Penalise infeasibility more and stationarity less (paper, step 6)."""
        self.eta1 *= self.nu**2
        self.eta2 /= self.nu

    def relax_after_unit_steps(self, alpha: float) -> None:
        """After five full steps in a row give back one strengthening, never below the start values."""
        self.unit_steps = self.unit_steps + 1 if alpha == 1.0 else 0
        if self.unit_steps >= MEMORY:
            self.unit_steps = 0
            self.eta1 = max(self.eta1 / self.nu**2, self.eta1_start)
            self.eta2 = min(self.eta2 * self.nu, self.eta2_start)

    def forget(self) -> None:
        """Drop the non-monotone memory, as after a change of multipliers."""
        self.memory.clear()

    def _reference(self, point: Iterate) -> float:
        self.memory.append((point.lagrangian, point.violation**2, point.optimality**2))
        # The stored pieces are weighed with today's eta: weights may have changed since.
        return max(L + 0.5 * (self.eta1 * cc + self.eta2 * gg) for L, cc, gg in self.memory)

    def search(
        self,
        functions: Functions,
        point: Iterate,
        dx: Array,
        dlam: Array,
        slope: float,
        *,
        min_alpha: float = MIN_ALPHA,
        maxfev: int | None = None,
    ) -> tuple[Iterate | None, float]:
        """Armijo backtracking from alpha = 1; returns the accepted iterate and alpha, or None."""
        here = self.value(point)
        reference = self._reference(point)
        slack = ROUNDING * max(1.0, abs(here))
        level = abs(slope) < LEVEL_SLOPE * abs(here)
        alpha = 1.0
        while alpha >= min_alpha:
            if maxfev is not None and functions.nfev >= maxfev:
                break
            x, lam = point.x + alpha * dx, point.lam + alpha * dlam
            f = functions.fun(x)
            bound = reference + self.beta * alpha * slope + slack
            if math.isfinite(f):
                c = functions.cons(x)
                cc, lc = scalars(functions.xp, c @ c, lam @ c)
                # eta2 ||g||^2 >= 0: a trial whose first three terms exceed the bound needs no derivatives.
                if level or f + lc + 0.5 * self.eta1 * cc <= bound:
                    trial = complete(functions, x, lam, f, c)
                    if trial.finite and (
                        self.value(trial) <= bound or (level and trial.kkt <= (1.0 - 1e-4 * alpha) * point.kkt)
                    ):
                        return trial, alpha
            alpha *= 0.5
        return None, alpha
