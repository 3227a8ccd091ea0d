"""The practical mode: forcing terms instead of the paper's bound on ||K^-1||, no eigenvalues, exact merit.

Differences from the paper: the accuracy asked of the inner solve is min(0.1, ||r||^(1/2)); the Hessian is modified by
inertia or curvature; the line search is non-monotone and rejects early; multipliers are reset by least squares where
they explode or the merit stalls; a suspicion of infeasibility must be confirmed by Levenberg-Marquardt steps.
"""

import math
from typing import Any

from numopt._core.status import Status
from numopt._linalg import norm
from numopt._serial_blas import serial_blas
from numopt._typing import Array
from numopt.constrained._feasibility import (
    PERTURBATION,
    confirm_infeasible,
    jacobian_norm,
    least_squares_multipliers,
    reduce_infeasibility,
    suspicious,
)
from numopt.constrained._functions import is_operator
from numopt.constrained._iterate import Iterate, evaluate, with_multipliers
from numopt.constrained._kkt import InnerLimits, NewtonSystem, Step, choose_system
from numopt.constrained._merit import merit_slope
from numopt.constrained._state import State

FORCING = 0.1
TIGHTEST = 1e-12
LAM_LIMIT = 1e8
UNBOUNDED_BELOW = -1e20
FEASIBILITY_STEPS = 200
TINY_ALPHA, TINY_STEPS = 1e-6, 5  # so many steps as short as that in a row count as a failed line search
LAG_FALL = 0.1  # fall of ||r|| in a full step after which the Hessian serves once more
FLOOR_STEPS = 3  # steps at the rounding level that do not halve the residual
RECOVERIES = 3  # multiplier resets and feasibility phases after failed line searches without a new best


class ProductHessian:
    """The Lagrangian's Hessian at one point, known by its products."""

    def __init__(self, state: State, point: Iterate) -> None:
        self._functions, self._point = state.functions, point
        self.shape = (state.functions.n, state.functions.n)

    def matvec(self, v: Array) -> Array:
        """Product with `v`."""
        return self._functions.lag_hessp(self._point.x, self._point.lam, v)

    def __matmul__(self, v: Array) -> Array:
        return self.matvec(v)


class PracticalMethod:
    """Step of the practical mode on a `State`."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.system: NewtonSystem | None = None
        self.recoveries = 0
        self.best_at_recovery = math.inf
        self.perturbed = False
        self.lagged: Any = None
        self.tiny_steps = 0
        self.floor_steps = 0
        self.floor_kkt = math.inf

    @property
    def linear_solver(self) -> str:
        """Name of the solver in use."""
        return "none" if self.system is None else self.system.name

    def step(self) -> Status | None:
        """One outer iteration."""
        state = self.state
        point, options = state.point, state.options
        if options.maxfev is not None and state.functions.nfev >= options.maxfev:
            return Status.MAXFEV
        if point.f < UNBOUNDED_BELOW and point.violation <= options.tol:
            return Status.UNBOUNDED
        if self._at_rounding_floor(point):
            return Status.PRECISION
        ended = self._check_infeasible()
        if ended is not None:
            return ended
        if norm(state.point.lam) > LAM_LIMIT:
            self._reset_multipliers(state.point)
        if state.point is not point:
            point, self.lagged = state.point, None  # another point or other multipliers: another Hessian

        H = self.lagged if self.lagged is not None else self._hessian(point)
        fresh, self.lagged = self.lagged is None, None
        if self.system is None:
            self.system = choose_system(
                options.linear_solver,
                H,
                point.J,
                point.x,
                state.xp,
                hess_mod=options.hess_mod,
                xi_B=options.xi_B,
                limits=InnerLimits(options.max_inner, state.deadline),
                rng=state.rng,
            )
        # An exact system works on its own matrices alone; the others may call the user's functions.
        size = state.functions.n + int(point.c.shape[0]) if self.system.exact else 0
        with serial_blas(size, state.xp):
            if not self.system.prepare(H, point.J, point.g, point.c):
                state.detail = "No shift of the Hessian made the KKT matrix regular"
                return Status.SINGULAR
            state.n_hess_mod = self.system.n_hess_mod
            direction, slope = self._direction(H, point)
        if state.deadline.expired():
            return Status.TIME_LIMIT
        if not math.isfinite(float(state.xp.sum(direction.dx)) + float(state.xp.sum(direction.dlam))):
            return self._recover(point, Status.SINGULAR)
        accepted, alpha = state.merit.search(
            state.functions,
            point,
            direction.dx,
            direction.dlam,
            slope,
            maxfev=options.maxfev,
        )
        if accepted is None:
            if options.maxfev is not None and state.functions.nfev >= options.maxfev:
                return Status.MAXFEV
            if not fresh:
                return None  # once more from here, with the Hessian of this point
            return self._recover(point, Status.PENALTY_LIMIT if state.merit.at_limits else Status.LINESEARCH)
        previous = point.kkt
        state.move(accepted, alpha)
        if fresh and alpha == 1.0 and accepted.kkt <= LAG_FALL * previous and self.system.exact:
            # One chord step after a good Newton step: order 3 in two steps for one Hessian (Shamanskii 1967).
            self.lagged = H
        self.tiny_steps = self.tiny_steps + 1 if alpha < TINY_ALPHA else 0
        if self.tiny_steps >= TINY_STEPS:
            self.tiny_steps = 0
            return self._recover(accepted, Status.LINESEARCH)
        state.merit.relax_after_unit_steps(alpha)
        return state.inner_limit()

    def _at_rounding_floor(self, point: Iterate) -> bool:
        """Whether steps at the rounding level of the residual have stopped improving it."""
        improved = point.kkt <= 0.5 * self.floor_kkt
        self.floor_kkt = min(self.floor_kkt, point.kkt)
        self.floor_steps = 0 if improved else self.floor_steps + 1
        return self.floor_steps >= FLOOR_STEPS and point.kkt <= rounding_floor(self.state, point)

    def _hessian(self, point: Iterate) -> Any:
        state = self.state
        by_products = state.functions.products_only or (
            state.options.linear_solver in ("minres", "gmres") and not state.functions.has_hessian
        )
        if by_products:
            return ProductHessian(state, point)
        return state.functions.lag_hess(point.x, point.lam)

    def _direction(self, H: Any, point: Iterate) -> tuple[Step, float]:
        """Direction and slope: tighten the accuracy, then strengthen the merit, until its descent test holds."""
        state, system = self.state, self.system
        assert system is not None
        rtol = min(FORCING, math.sqrt(point.kkt))
        direction = system.solve(point.g, point.c, rtol)
        inner = direction.inner_nit
        slope = merit_slope(state.xp, point, H, direction.dx, direction.dlam)
        while True:
            if state.merit.descends(slope, point) or state.merit.at_limits:
                break
            if not system.exact and not direction.capped and rtol > TIGHTEST:
                rtol = max(rtol / state.merit.nu**2, TIGHTEST)
                if rtol < direction.relative_residual:
                    direction = system.solve(point.g, point.c, rtol)
                    inner += direction.inner_nit
                    slope = merit_slope(state.xp, point, H, direction.dx, direction.dlam)
                if rtol > 1e-2 * min(FORCING, math.sqrt(point.kkt)):
                    continue
            state.merit.strengthen()
        state.record_inner(inner, direction.relative_residual, direction.capped)
        return direction, slope.at(state.merit.eta1, state.merit.eta2)

    def _reset_multipliers(self, point: Iterate) -> None:
        state = self.state
        lam = least_squares_multipliers(point.grad, point.J, state.xp)
        state.merit.forget()
        state.point = with_multipliers(state.xp, point, lam)
        if state.point.kkt < state.best.kkt:
            state.best = state.point

    def _check_infeasible(self) -> Status | None:
        """INFEASIBLE once Levenberg-Marquardt confirms it; otherwise go on from where those steps led."""
        state = self.state
        point, tol = state.point, state.options.tol
        if not state.functions.blocks:
            return None
        reference = max(jacobian_norm(point.J, state.xp), state.jacobian_reference)
        if not suspicious(point, reference, tol):
            return None
        confirmed, after = confirm_infeasible(state.functions, point, reference, tol)
        if confirmed and state.nit == 0 and not self.perturbed:
            # x0 may be a symmetric point of a feasible problem: leave it once before believing the test.
            self.perturbed = True
            xp = state.xp
            scale = PERTURBATION * xp.clip(xp.abs(point.x), min=1.0)
            state.point = evaluate(state.functions, point.x + scale, point.lam)
            return None if state.point.finite else Status.NONFINITE
        if confirmed:
            state.detail = (
                f"||c|| = {point.violation:.1e} is stationary: ||J'c|| <= tol ||J|| ||c|| after further "
                "Levenberg-Marquardt steps"
            )
            return Status.INFEASIBLE
        if after is not point:
            self._reset_multipliers(after)
        return None

    def _recover(self, point: Iterate, failure: Status) -> Status | None:
        """After a failed step: test the rounding floor, reset the multipliers, try a feasibility phase, or give up."""
        state = self.state
        if point.kkt <= rounding_floor(state, point):
            return Status.PRECISION
        if state.best.kkt < 0.9 * self.best_at_recovery:
            self.recoveries = 0
        self.best_at_recovery = min(self.best_at_recovery, state.best.kkt)
        self.recoveries += 1
        if self.recoveries > RECOVERIES or not state.functions.blocks:
            return failure
        state.merit.forget()
        lam = least_squares_multipliers(point.grad, point.J, state.xp)
        candidate = with_multipliers(state.xp, point, lam)
        if self.recoveries == 1 and candidate.kkt < point.kkt:
            state.move(candidate, 0.0)
            return None
        if point.violation > state.options.tol:
            after, stalled = reduce_infeasibility(
                state.functions, point, steps=FEASIBILITY_STEPS, target=0.9 * point.violation
            )
            if after.violation <= 0.9 * point.violation:
                lam = least_squares_multipliers(after.grad, after.J, state.xp)
                state.move(with_multipliers(state.xp, after, lam), 0.0)
                return None
            reference = max(jacobian_norm(after.J, state.xp), state.jacobian_reference)
            if stalled and suspicious(after, reference, math.sqrt(state.options.tol)):
                state.detail = f"||c|| = {after.violation:.1e} stands still in a Levenberg-Marquardt phase"
                return Status.INFEASIBLE
        return failure


def rounding_floor(state: State, point: Iterate) -> float:
    """Rounding error of the residual: eps times the size of the terms that cancel in it."""
    xp = state.xp
    eps = float(xp.finfo(point.x.dtype).eps)
    n = state.functions.n
    size = norm(point.grad)
    if state.functions.blocks and not is_operator(point.J):
        size += jacobian_norm(point.J, xp) * (norm(point.lam) + norm(point.x))
    return 10.0 * eps * math.sqrt(n) * max(1.0, size)
