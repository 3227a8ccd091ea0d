"""The paper's method (Algorithm 1): bound on ||K^-1||, randomised inner solves, Armijo on the exact merit.

Hong, Na, Mahoney and Kolar (ICML 2023). Constants follow the authors' published runs, with two departures: the method
gives up on lambda_min(JJ') at 1e-6 (their 1e-2 loses problems that it solves), and grad M uses the Hessian of the
Lagrangian (theirs uses that of f, which is grad M only where c is affine).
"""

import math
from typing import Any

from numopt._core.status import Status
from numopt._linalg import SymmetricIndefinite
from numopt._typing import Array
from numopt.constrained._dense_newton import dense_newton
from numopt.constrained._hessian_shift import frobenius
from numopt.constrained._merit import merit_slope
from numopt.constrained._state import State
from numopt.sketching._sketched_solver import SketchedSolver

DELTA_FLOOR = 1e-6
PSI = 20.0
MIN_CHECK = 128  # steps between two checks of the true residual, at least


class PaperMethod:
    """Step of Algorithm 1 on a `State`."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.linear_solver = str(state.options.linear_solver)

    def step(self) -> Status | None:
        """One outer iteration."""
        state = self.state
        xp, options, point, merit = state.xp, state.options, state.point, state.merit
        newton = dense_newton(state)
        if isinstance(newton, Status):
            return newton
        H, J, K, xi_G = newton.H, newton.J, newton.K, newton.xi_G
        n = state.functions.n
        bound = PSI * max(frobenius(K[:n, :n], xp) ** 2, 1.0) / (min(xi_G, 1.0) * min(options.xi_B, 1.0))
        upsilon = max(frobenius(J, xp), frobenius(H, xp), 1.0)
        norm_K = frobenius(K, xp)

        def trial_delta() -> float:
            weight = (1.0 + merit.eta1 + merit.eta2) * (upsilon * bound) ** 2
            return (0.5 - options.beta) * merit.eta2 / weight

        state.delta = max(min(state.delta, trial_delta()), DELTA_FLOOR)
        theta = options.theta(state.nit, point.kkt) if callable(options.theta) else options.theta
        inner = self._inner(K, newton.rhs)
        capped = False
        while True:
            goal = theta * state.delta * point.kkt / (norm_K * bound)
            capped = not inner.reach(goal, options.max_inner, state.deadline) or capped
            dx, dlam = inner.z[:n], inner.z[n:]
            slope = merit_slope(xp, point, H, dx, dlam)
            if merit.at_limits or merit.descends(slope, point):
                break
            merit.strengthen()
            state.delta = max(min(state.delta / options.nu**4, trial_delta()), DELTA_FLOOR)
        state.record_inner(inner.steps, inner.relative_residual, capped)
        if state.deadline.expired():
            return Status.TIME_LIMIT
        accepted, alpha = merit.search(
            state.functions, point, dx, dlam, slope.at(merit.eta1, merit.eta2), maxfev=options.maxfev
        )
        if accepted is None:
            if options.maxfev is not None and state.functions.nfev >= options.maxfev:
                return Status.MAXFEV
            return Status.PENALTY_LIMIT if merit.at_limits else Status.LINESEARCH
        state.move(accepted, alpha)
        return state.inner_limit()

    def _inner(self, K: Array, rhs: Array) -> "InnerSolve":
        if self.linear_solver == "direct":
            return ExactInner(K, rhs, self.state)
        sketch = "row" if self.linear_solver == "rk" else "gaussian"
        return SketchedInner(SketchedSolver(K, rhs, sketch=sketch, rng=self.state.rng), self.state)


class SketchedInner:
    """Sketch-and-project from z = 0, continued from the same z whenever the goal moves."""

    def __init__(self, solver: SketchedSolver, state: State) -> None:
        self.solver = solver
        self.size = state.point.kkt
        self.check_every = max(MIN_CHECK, int(solver.z.shape[0]))
        self.residual = self.size

    @property
    def z(self) -> Array:
        """Current direction."""
        return self.solver.z

    @property
    def steps(self) -> int:
        """Sketch steps so far."""
        return self.solver.steps

    @property
    def relative_residual(self) -> float:
        """True residual at the last check, relative to the right-hand side."""
        return self.residual / self.size if self.size else 0.0

    def reach(self, goal: float, cap: int, deadline: Any) -> bool:
        """Step until ||Kz + r|| <= goal; False when `cap` further steps (or the time) did not suffice."""
        last = self.solver.steps + cap
        while not self.residual <= goal:
            if self.solver.steps >= last or deadline.expired() or not math.isfinite(self.residual):
                return False
            self.solver.advance(min(self.check_every, last - self.solver.steps))
            self.residual = self.solver.residual_norm()
        return True


class ExactInner:
    """The same interface over a factorisation of K, for the study of the outer method alone."""

    def __init__(self, K: Array, rhs: Array, state: State) -> None:
        self.z = SymmetricIndefinite(K).solve(rhs)
        self.steps = 0
        self.relative_residual = 0.0

    def reach(self, goal: float, cap: int, deadline: Any) -> bool:
        """The factorisation meets any goal that rounding allows."""
        return True


InnerSolve = SketchedInner | ExactInner
