"""Second-order updates of objectives with a penalty: exact minimisation, proximal Newton, two-metric projection."""

import math
from typing import Any

import numpy as np

from numopt._array import add_at, scalars
from numopt._core.status import Status
from numopt._typing import Array
from numopt.coordinate._block_quadratic import UnboundedError, minimise_group, minimise_separable
from numopt.coordinate._blocks import BlockCache, LeastNormFactor
from numopt.coordinate._line_search import backtrack
from numopt.coordinate._problem import Point, Problem
from numopt.coordinate._shifted_solve import shifted_solve
from numopt.coordinate._step import Update

__all__ = ["ExactUpdate", "ProxNewtonUpdate", "TwoMetricUpdate"]

# Newton steps of an exact update, and the reduction of the block's minimal subgradient that they are taken for.
_MAX_NEWTON, _EXACT = 50, 1e-10
# Share of the size of x that the distance to a bound may be and count as on it.
_NEAR = 1e-4


class ProxNewtonUpdate(Update):
    """d = argmin g_b'd + d'Hd/2 + psi_b(x_b + d) with the Hessian H of the block, and a line search."""

    name = "prox_newton"

    def __init__(self, problem: Problem, cache: BlockCache, *, omega: float = 1.0, **search: Any) -> None:
        super().__init__(problem, cache, **search)
        self._omega = omega

    @staticmethod
    def needs_search(problem: Problem) -> bool:
        """Tell whether full steps may raise F."""
        return not problem.is_quadratic

    def step(self, point: Point, block: Array) -> Status | None:
        """Minimise the quadratic model with the penalty and search along the direction."""
        g = point.gradient_block(block)
        try:
            d, target = self._model_step(point, block, g)
        except np.linalg.LinAlgError as error:
            return self.indefinite(block, error)
        except UnboundedError:
            return self.unbounded(block)
        return self.advance(point, block, d, self.slope(point, block, g, d), target=target)

    def _model_step(self, point: Point, block: Array, g: Array) -> tuple[Array, Array | None]:
        """Return the minimiser of the model as a step, and as a place where psi has kinks."""
        xp = self.xp
        quadratic = self.problem.is_quadratic
        if self.penalty.is_zero:
            if quadratic:
                return self.bound_factor(point, block).solve(-self._omega * g)[0], None
            d = shifted_solve(self.hessian(point, block), -g, xp)
            return (xp.zeros_like(g) if d is None else d), None
        H = self.hessian(point, block)
        x = xp.take(point.x, block)
        try:
            target = self._minimise(H, g, x, block)
        except (UnboundedError, np.linalg.LinAlgError):
            if quadratic:
                raise
            # A flat place of a loss, where rounding is all of the Hessian: a step of the bound serves.
            L = self.cache.lipschitz(block)
            target = self.penalty.prox(x - g / L, L, block) if L > 0 else x
        return target - x, target

    def _minimise(self, H: Array, g: Array, x: Array, block: Array) -> Array:
        if self.penalty.is_separable:
            return minimise_separable(H, g, x, self.penalty, block, self.xp)
        return minimise_group(H, g, x, self._group_weight(block), self.xp)

    def _group_weight(self, block: Array) -> float:
        """Return the weight of the norm of a block that is one group."""
        unit = self.xp.zeros(block.shape[0], dtype=self.problem.dtype, device=self.problem.device)
        unit[0] = 1.0
        return self.penalty.value(unit, block)


class ExactUpdate(ProxNewtonUpdate):
    """Minimise F over the block: one step where f is quadratic, else Newton steps until the block is optimal."""

    name = "exact"

    def step(self, point: Point, block: Array) -> Status | None:
        """Repeat the proximal Newton step."""
        if self.problem.is_quadratic:
            return super().step(point, block)
        first, moved = math.nan, False
        for _ in range(_MAX_NEWTON):
            left = self._violation(point, block)
            first = left if math.isnan(first) else first
            if left <= _EXACT * first:
                break
            status = super().step(point, block)
            if status is not None or not self.moved:
                self.moved = moved
                return status
            moved = True
        self.moved = moved
        return None

    def _violation(self, point: Point, block: Array) -> float:
        xp = self.xp
        g = self.penalty.min_subgradient(xp.take(point.x, block), point.gradient_block(block), block)
        return scalars(xp, xp.max(xp.abs(g)))[0]


class TwoMetricUpdate(Update):
    """Newton on the unknowns off their bounds, scaled gradient on the others, and a search along the projected arc.

    With an l1 norm the bounds are those of an orthant: of x, and where x = 0 of the direction in which F falls there.
    An unknown closer than eps to a bound that F pushes it against counts as on it; eps, the length of the projected
    gradient step but at most 1e-4 max `|x|`, vanishes at a solution, which convergence needs. 1e-4 alone, as in the
    paper's code, is wrong for unknowns of other sizes.
    """

    name = "tmp"

    @staticmethod
    def needs_search(problem: Problem) -> bool:
        """Tell whether full steps may raise F: those along a projected arc may always."""
        return True

    def step(self, point: Point, block: Array) -> Status | None:
        """Take the two-metric step in the orthant."""
        xp = self.xp
        self.moved = False
        x, g = xp.take(point.x, block), point.gradient_block(block)
        g, lower, upper = self._orthant(x, g, block)
        L = xp.take(self.problem.lipschitz, block)
        (least,) = scalars(xp, xp.min(L))
        if least < 0:
            return self.indefinite(block, f"diagonal entry {least:.3g}")
        scaled = xp.where(L > 0, g / xp.where(L > 0, L, xp.ones_like(L)), xp.zeros_like(g))
        length, reach = scalars(xp, xp.linalg.vector_norm(_clip(x - scaled, lower, upper, xp) - x), xp.max(xp.abs(x)))
        if not math.isfinite(length):
            return self.not_finite(block)
        eps = min(_NEAR * reach, length)
        bound = ((x <= lower + eps) & (g > 0)) | ((x >= upper - eps) & (g < 0))
        bound = bound | (lower >= upper) | ~(L > 0)
        free = xp.nonzero(~bound)[0]
        d = -scaled
        if free.shape[0] > 0:
            try:
                newton = self._newton(point, block, free, xp.take(g, free))
            except np.linalg.LinAlgError as error:
                return self.indefinite(block, error)
            if newton is not None:
                add_at(d, free, newton - xp.take(d, free))
        return self._search(point, block, x, g, d, bound, lower, upper)

    def _orthant(self, x: Array, g: Array, block: Array) -> tuple[Array, Array, Array]:
        """Return the gradient of F in the orthant that the step keeps to, and the bounds of the orthant."""
        xp = self.xp
        l1, lower, upper = self.penalty.take(block)
        if not self.penalty.has_l1:
            return g, lower, upper
        zero = xp.zeros_like(x)
        at_zero = xp.where(xp.abs(g) > l1, -xp.sign(g), zero)
        sign = xp.where(x != 0, xp.sign(x), at_zero)
        smooth = l1 == 0
        lower = xp.where(smooth | (sign < 0), lower, xp.maximum(lower, zero))
        upper = xp.where(smooth | (sign > 0), upper, xp.minimum(upper, zero))
        return g + l1 * sign, lower, upper

    def _newton(self, point: Point, block: Array, free: Array, g: Array) -> Array | None:
        """Return -H_FF^{-1} g_F, None where H_FF has no curvature."""
        xp = self.xp
        if self.problem.is_quadratic:
            H = xp.take(xp.take(self.hessian(point, block), free, axis=0), free, axis=1)
            return LeastNormFactor(H, xp).solve(-g)[0]
        self.nhev += 1
        return shifted_solve(point.hessian_block(xp.take(block, free)), -g, xp)

    def _search(
        self, point: Point, block: Array, x: Array, g: Array, d: Array, bound: Array, lower: Array, upper: Array
    ) -> Status | None:
        """Move to the first point of the arc P(x + alpha d) with enough decrease (Bertsekas)."""
        xp = self.xp
        old, psi = point.value, self.penalty.value(x, block)
        zero = xp.zeros_like(g)
        (slope,) = scalars(xp, xp.sum(xp.where(bound, zero, g * d)))
        found: dict[str, Any] = {}

        def trial(alpha: float) -> tuple[float, float]:
            target = _clip(x + alpha * d, lower, upper, xp)
            step = target - x
            (along_arc,) = scalars(xp, xp.sum(xp.where(bound, g * step, zero)))
            self.nfev += 1
            value = float(point.trial(block, step))
            found.update(target=target, step=step, value=value)
            return value + self.penalty.value(target, block), alpha * slope + along_arc

        (first,) = scalars(xp, xp.sum(g * (_clip(x + d, lower, upper, xp) - x)))
        if not (slope < 0 or first < 0):
            return None
        accepted = backtrack(
            trial, old + psi, min(first, slope), decrease=self._decrease, slack=self.rounding(old, psi)
        )
        if accepted is None:
            return self.rejected([found["value"]], min(first, slope), block)
        point.move(block, found["step"], found["value"])
        if self.penalty.has_bounds:
            self.land(point, block, found["target"])
        self.succeed()
        return None


def _clip(x: Array, lower: Array, upper: Array, xp: Any) -> Array:
    return xp.minimum(xp.maximum(x, lower), upper)
