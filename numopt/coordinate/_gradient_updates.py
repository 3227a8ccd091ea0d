"""Updates from the gradient of a block and a bound on its curvature: a number, estimates of it, a diagonal matrix."""

import math
from typing import Any

from numopt._array import add_at, scalars
from numopt._core.status import Status
from numopt._typing import Array
from numopt.coordinate._blocks import BlockCache, largest_eigenvalue
from numopt.coordinate._problem import Point, Problem
from numopt.coordinate._step import Update

__all__ = ["DiagonalUpdate", "EstimatedGradientUpdate", "GradientUpdate", "secant_constants"]

# Estimates start at this share of the bounds, and never fall below that share of the largest of them.
_START, _FLOOR = 1e-3, 1e-12
_MAX_DOUBLINGS = 200


class GradientUpdate(Update):
    """x_b <- prox_{psi / L_b}(x_b - g_b / L_b)."""

    name = "gradient"

    def __init__(self, problem: Problem, cache: BlockCache, *, constants: Array | None = None, **search: Any) -> None:
        super().__init__(problem, cache, **search)
        self.constants = constants

    def step(self, point: Point, block: Array) -> Status | None:
        """Take the step of the bound with one curvature for the block."""
        L = self._curvature(point, block)
        g = point.gradient_block(block)
        if L <= 0 or not math.isfinite(L):
            return self._without_curvature(block, L)
        if self.penalty.is_zero:
            d = -g / L
            return self.advance(point, block, d, self.slope(point, block, g, d))
        x = self.xp.take(point.x, block)
        target = self.penalty.prox(x - g / L, L, block)
        d = target - x
        return self.advance(point, block, d, self.slope(point, block, g, d), target=target)

    def _curvature(self, point: Point, block: Array) -> float:
        if self.constants is not None:
            # A matrix is bounded by its trace.
            return scalars(self.xp, self.xp.sum(self.xp.take(self.constants, block)))[0]
        if self.problem.is_quadratic and self.cache.number(block) < 0:
            return largest_eigenvalue(point.hessian_block(block), self.xp)
        return self.cache.lipschitz(block)

    def _without_curvature(self, block: Array, L: float) -> Status | None:
        self.moved = False
        return self.indefinite(block, f"largest eigenvalue {L:.3g}") if not L >= 0 else None


class EstimatedGradientUpdate(Update):
    """The gradient update with an estimate of the curvature for each unknown, of which the block takes the largest.

    An estimate is doubled until the quadratic bound holds for the step taken, and shrunk after a step that succeeded:
    estimates that can only grow stay at what the steepest part of the way has asked for.

    `begin` must be called before the first step.
    """

    name = "gradient"

    def __init__(self, problem: Problem, cache: BlockCache, *, shrink: float) -> None:
        super().__init__(problem, cache)
        self._shrink = shrink
        self._estimates: Array = None

    def begin(self, estimates: Array | None = None) -> None:
        """Choose the first estimates: those given, or a thousandth of the bounds."""
        xp = self.xp
        first = _START * self.problem.lipschitz if estimates is None else estimates
        (most,) = scalars(xp, xp.max(first))
        least = _FLOOR * most if most > 0 else 1.0
        self._estimates = xp.maximum(first, xp.full_like(first, least))

    def current(self) -> Array:
        """Return the estimates, one for each unknown."""
        return self._estimates

    def step(self, point: Point, block: Array) -> Status | None:
        """Take the step of the first estimate for which the bound holds."""
        xp = self.xp
        self.moved = False
        g, x = point.gradient_block(block), xp.take(point.x, block)
        current = xp.take(self._estimates, block)
        L, size = scalars(xp, xp.max(current), xp.max(xp.abs(g)))
        if not math.isfinite(size):
            return self.not_finite(block)
        old, psi = point.value, self.penalty.value(x, block)
        slack = self.rounding(old, psi)
        for _ in range(_MAX_DOUBLINGS):
            target = self.penalty.prox(x - g / L, L, block)
            d = target - x
            linear, square = scalars(xp, xp.sum(g * d), xp.sum(d * d))
            if square == 0:
                return None
            self.nfev += 1
            value = float(point.trial(block, d))
            rise = value + self.penalty.value(target, block) - old - psi
            if value <= old + linear + L / 2 * square + slack and rise <= slack:
                break
            L *= 2
        else:
            return self.rejected([value], linear, block)
        point.move(block, d, value)
        if self.penalty.has_bounds:
            self.land(point, block, target)
        self.succeed()
        floor = scalars(xp, xp.max(self._estimates))[0] * _FLOOR
        add_at(self._estimates, block, max(self._shrink * L, floor) - current)
        return None


def secant_constants(point: Point) -> Array:
    """Return the curvature of f along its gradient over a short way, for each unknown: a guess without guarantee."""
    problem, xp = point.problem, point.problem.xp
    g = point.gradient
    size, reach = scalars(xp, xp.linalg.vector_norm(g), xp.linalg.vector_norm(point.x))
    curvature = 1.0
    if math.isfinite(size) and size > 0:
        t = float(xp.finfo(problem.dtype).eps) ** (1 / 3) * max(reach, 1.0) / size
        everything = xp.arange(problem.n_variables, device=problem.device)
        rest = point.trial(everything, -t * g) - point.value + t * size * size
        if math.isfinite(rest) and rest > 0:
            curvature = 2 * rest / (t * size) ** 2
    return xp.full_like(point.x, curvature)


class DiagonalUpdate(Update):
    """x_b <- prox^D(x_b - D_b^{-1} g_b) with a diagonal matrix D_b that bounds the Hessian of the block.

    `gsd_diag` chooses D: "gershgorin" row sums; else the constants of the unknowns times the size of the block, which
    a bound needs.
    """

    name = "diag"

    def __init__(
        self, problem: Problem, cache: BlockCache, *, gsd_diag: str, constants: Array | None = None, **search: Any
    ) -> None:
        super().__init__(problem, cache, **search)
        self._gershgorin = gsd_diag == "gershgorin"
        self.constants = constants

    def step(self, point: Point, block: Array) -> Status | None:
        """Take the step of the bound with a curvature for each unknown."""
        xp = self.xp
        D = self._diagonal(block)
        (least,) = scalars(xp, xp.min(D))
        if least < 0:
            return self.indefinite(block, f"diagonal entry {least:.3g}")
        g, x = point.gradient_block(block), xp.take(point.x, block)
        # Unknowns without curvature stay.
        there = D > 0
        D = xp.where(there, D, xp.ones_like(D))
        target = xp.where(there, self.penalty.prox(x - g / D, D, block), x)
        d = target - x
        return self.advance(point, block, d, self.slope(point, block, g, d), target=target)

    def _diagonal(self, block: Array) -> Any:
        if self._gershgorin:
            return self.xp.take(self.problem.gershgorin, block)
        constants = self.problem.lipschitz if self.constants is None else self.constants
        return block.shape[0] * self.xp.take(constants, block)
