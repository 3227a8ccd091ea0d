"""What all updates of a block share: the guarded move, the line search, and how a step ends a solve."""

import math
from typing import Any

from numopt._array import scalars
from numopt._core.status import Status
from numopt._typing import Array
from numopt.coordinate._blocks import BlockCache, LeastNormFactor
from numopt.coordinate._line_search import SUFFICIENT_DECREASE, backtrack
from numopt.coordinate._problem import Point, Problem

__all__ = ["Update"]

# Units of rounding of the objective that a step may raise it by.
_ROUNDING = 16.0


class Update:
    """A way to change the unknowns of a block.

    Parameters
    ----------
    problem : Problem
        What is solved.
    cache : BlockCache
        What is known of its blocks.
    line_search : bool, optional
        Whether a step must decrease F sufficiently, and is shortened until it does. By default where the update is not
        the minimiser of an upper bound of F. Without it a step must only not raise F by more than rounding.
    decrease : float, default 1e-4
        What is sufficient, as a share of the decrease of the linear model.

    Attributes
    ----------
    moved : bool
        Whether the last step changed anything.
    constants : array or None
        Bounds along the unknowns that the user gave in place of the problem's.
    failed : float
        Change that the linear model promised for the last step, where no trial lowered F; 0 where the step was taken.
    nfev, nhev : int
        Trial values of F and Hessians of blocks so far.
    detail : str or None
        Why the last step ended the solve.
    """

    name = ""

    def __init__(
        self,
        problem: Problem,
        cache: BlockCache,
        *,
        line_search: bool | None = None,
        decrease: float = SUFFICIENT_DECREASE,
    ) -> None:
        self.problem, self.xp, self.penalty = problem, problem.xp, problem.penalty
        self.cache = cache
        self._searches = self.needs_search(problem) if line_search is None else line_search
        self._decrease = decrease if self._searches else 0.0
        self._eps = float(problem.xp.finfo(problem.dtype).eps)
        self.moved = False
        self.failed = 0.0
        self.constants: Array | None = None
        self.nfev = self.nhev = 0
        self.detail: str | None = None

    def step(self, point: Point, block: Array) -> Status | None:
        """Change the unknowns of `block`; return the status that ends the solve, or None."""
        raise NotImplementedError

    @staticmethod
    def needs_search(problem: Problem) -> bool:
        """Tell whether full steps may raise F."""
        return False

    def given_constants(self) -> Array:
        """Return the user's bounds."""
        return self.constants

    # ---- matrices of a block -------------------------------------------------------------------------------------

    def hessian(self, point: Point, block: Array) -> Array:
        """Return the Hessian at the point within a block; that of a quadratic is kept for fixed blocks."""
        if self.problem.is_quadratic and self.cache.number(block) >= 0:
            return self.cache.bound(block)
        self.nhev += 1
        return point.hessian_block(block)

    def bound_factor(self, point: Point, block: Array) -> LeastNormFactor:
        """Return the factor of H_b, kept for fixed blocks."""
        if self.problem.is_quadratic and self.cache.number(block) < 0:
            # The point has the block's columns at hand.
            return LeastNormFactor(point.hessian_block(block), self.xp)
        return self.cache.factor(block)

    # ---- moves ---------------------------------------------------------------------------------------------------

    def advance(
        self,
        point: Point,
        block: Array,
        d: Array,
        slope: float,
        *,
        target: Array | None = None,
    ) -> Status | None:
        """Add `d`, or the first shorter step in its direction that lowers F.

        Parameters
        ----------
        slope : float
            ``g'd + psi(x + d) - psi(x)``, which bounds the directional derivative of F.
        target : array, optional
            Where the full step leads: x + d but for rounding, exactly on the bounds that it reaches.
        """
        self.moved = False
        if not math.isfinite(slope):
            return self.not_finite(block)
        if slope >= 0:  # zero: the block is optimal; positive: by rounding
            return None
        old = point.value
        x = None if self.penalty.is_zero else self.xp.take(point.x, block)
        old_psi = 0.0 if x is None else self.penalty.value(x, block)
        values: dict[float, float] = {}

        def trial(alpha: float) -> tuple[float, float]:
            step = d if alpha == 1 else alpha * d
            self.nfev += 1
            values[alpha] = float(point.trial(block, step))
            psi = 0.0 if x is None else self.penalty.value(x + step, block)
            return values[alpha] + psi, alpha * slope

        found = backtrack(
            trial,
            old + old_psi,
            slope,
            decrease=self._decrease,
            slack=self.rounding(old, old_psi),
        )
        if found is None:
            return self.rejected(list(values.values()), slope, block)
        alpha, _ = found
        step = d if alpha == 1 else alpha * d
        point.move(block, step, values[alpha])
        if target is not None and self.penalty.has_bounds:
            self.land(point, block, target if alpha == 1 else self.penalty.project(x + step, block))
        self.succeed()
        return None

    def succeed(self) -> None:
        """Note that the step has been taken."""
        self.moved, self.failed = True, 0.0

    def land(self, point: Point, block: Array, target: Array) -> None:
        """Put unknowns that a move has left beside their bound, by rounding, exactly on it."""
        # Of the second difference nothing is rounded off.
        rest = target - self.xp.take(point.x, block)
        if scalars(self.xp, self.xp.max(self.xp.abs(rest)))[0] > 0:
            point.move(block, rest)

    def rounding(self, value: float, psi: float = 0.0) -> float:
        """Return what differences of the objective are worth."""
        return _ROUNDING * self._eps * (abs(value) + abs(psi))

    def slope(self, point: Point, block: Array, g: Array, d: Array) -> float:
        """Return g'd + psi(x + d) - psi(x), whose parts nearly cancel close to a solution."""
        xp, penalty = self.xp, self.penalty
        if not penalty.has_l1:
            return scalars(xp, xp.sum(g * d))[0]
        x = xp.take(point.x, block)
        target = x + d
        if penalty.is_separable:
            l1 = penalty.part(penalty.l1, block)
            # Where no sign changes, the difference of the absolute values is linear in d.
            along = (g + l1 * xp.sign(xp.where(x != 0, x, target))) * d
            across = g * d + l1 * (xp.abs(target) - xp.abs(x))
            return scalars(xp, xp.sum(xp.where(x * target >= 0, along, across)))[0]
        # ||x + d|| - ||x|| = (2x + d)'d / (||x + d|| + ||x||), and as much for the block's one group in psi.
        (size,) = scalars(xp, xp.linalg.vector_norm(x) + xp.linalg.vector_norm(target))
        if size == 0:
            return 0.0
        weight = (penalty.value(x, block) + penalty.value(target, block)) / size
        return scalars(xp, xp.sum((g + (weight / size) * (2 * x + d)) * d))[0]

    # ---- ends ----------------------------------------------------------------------------------------------------

    def indefinite(self, block: Array, error: Exception | str) -> Status:
        """Return INDEFINITE, with the block named."""
        self.moved = False
        self.detail = f"The matrix is not positive definite on block {_shown(block)} ({error})"
        return Status.INDEFINITE

    def unbounded(self, block: Array) -> Status:
        """Return UNBOUNDED, with the block named."""
        self.moved = False
        self.detail = f"The objective falls without end along a line in block {_shown(block)}"
        return Status.UNBOUNDED

    def not_finite(self, block: Array) -> Status:
        """Return NONFINITE, with the block named."""
        self.moved = False
        self.detail = f"The step of block {_shown(block)} is not finite"
        return Status.NONFINITE

    def rejected(self, values: list[float], slope: float, block: Array) -> Status | None:
        """Return NONFINITE where every trial was NaN; else the step is left out, and remembered."""
        self.failed = slope
        if all(math.isnan(value) for value in values):
            self.detail = f"The objective is NaN at every trial step of block {_shown(block)}"
            return Status.NONFINITE
        return None


def _shown(block: Any) -> str:
    """Return a block as text, its first entries where it is long."""
    size = block.shape[0]
    head = ", ".join(str(int(block[i])) for i in range(min(size, 6)))
    return f"[{head}{', ...' if size > 6 else ''}] ({size} of the unknowns)"
