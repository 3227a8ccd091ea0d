"""The paper's two baselines: inexact SQP on the l1 merit f + mu ||c||_1 with warm-started GMRES.

'l1-adaptive' tightens the linear accuracy whenever the penalty grows (the paper's adaptive baseline); 'l1' uses the two
termination tests of Byrd, Curtis and Nocedal (2008). Constants are those of the authors' runs.
"""

import math
from typing import Any

from numopt._array import scalars
from numopt._core.status import Status
from numopt._krylov import gmres
from numopt._typing import Array
from numopt.constrained._dense_newton import dense_newton
from numopt.constrained._iterate import complete
from numopt.constrained._merit import MIN_ALPHA
from numopt.constrained._state import State

SIGMA = 0.09
ARMIJO = 1e-8
KAPPA_ADAPTIVE, KAPPA = 0.1, 1.0
KAPPA1 = EPSILON = TAU_MODEL = 0.1
MU_LIMIT = 1e8
GMRES_STEPS = 2
MAX_RESTARTS = 100_000


def one_norm(v: Array, xp: Any) -> float:
    """||v||_1."""
    return float(xp.linalg.vector_norm(v, ord=1)) if v.shape[0] else 0.0


class L1Method:
    """Step of either baseline on a `State`; `state.extra` holds mu, kappa and b for checkpoints."""

    linear_solver = "gmres"

    def __init__(self, state: State) -> None:
        self.state = state
        self.adaptive = state.options.merit == "l1-adaptive"
        point = state.point
        scale = one_norm(point.g, state.xp) / (one_norm(point.c, state.xp) + 1.0)
        state.extra.setdefault("mu", 1.0)
        state.extra.setdefault("kappa", KAPPA_ADAPTIVE if self.adaptive else KAPPA)
        state.extra.setdefault("b", max(scale, 1.0))

    def step(self) -> Status | None:
        """One outer iteration."""
        state = self.state
        newton = dense_newton(state)
        if isinstance(newton, Status):
            return newton
        n = state.functions.n
        self._K, self._B, self._J = newton.K, newton.K[:n, :n], newton.J
        d = self._adaptive(newton.rhs) if self.adaptive else self._two_tests(newton.rhs)
        if state.deadline.expired():
            return Status.TIME_LIMIT
        return self._search(d[:n], d[n:], state.extra["mu"])

    # -- inner solves -------------------------------------------------------------------------------------------

    def _improve(self, d: Array, rhs: Array) -> Array:
        return gmres(lambda v: self._K @ v, rhs, x0=d, restart=GMRES_STEPS, rtol=0.0, atol=0.0, maxiter=GMRES_STEPS).x

    def _adaptive(self, rhs: Array) -> Array:
        state, extra, xp = self.state, self.state.extra, self.state.xp
        d, residual, sweeps, capped = xp.zeros_like(rhs), rhs, 0, False
        size = one_norm(rhs, xp)
        while True:
            start = sweeps
            while one_norm(residual, xp) > extra["kappa"] * size:
                if sweeps - start >= MAX_RESTARTS or state.deadline.expired():
                    capped = True
                    break
                d = self._improve(d, rhs)
                residual = rhs - self._K @ d
                sweeps += 1
            if extra["mu"] > MU_LIMIT or self._model_descends(d):
                break
            extra["mu"] *= state.options.nu
            extra["kappa"] /= state.options.nu**2
        state.record_inner(sweeps * GMRES_STEPS, one_norm(residual, xp) / size, capped)
        return d

    def _two_tests(self, rhs: Array) -> Array:
        state, extra, xp = self.state, self.state.extra, self.state.xp
        n, point = state.functions.n, state.point
        d = xp.zeros_like(rhs)
        size, size_g, size_c = one_norm(rhs, xp), one_norm(point.g, xp), one_norm(point.c, xp)
        sweeps, met = 0, False
        residual = rhs
        while sweeps < MAX_RESTARTS and not state.deadline.expired():
            d = self._improve(d, rhs)
            residual = rhs - self._K @ d
            sweeps += 1
            r_x, r_c = one_norm(residual[:n], xp), one_norm(residual[n:], xp)
            first = r_x + r_c <= extra["kappa"] * size and r_c <= max(KAPPA1 * size_g, extra["b"] * size_c)
            second = r_x <= EPSILON * size_c and r_c <= extra["b"] * size_c
            if (first and self._model_descends(d)) or second:
                met = True
                break
        if not self._model_descends(d):
            gd, quadratic, linear_c = self._model_terms(d[:n])
            gain = (1.0 - TAU_MODEL) * (size_c - linear_c)
            needed = (gd + quadratic) / gain if gain > 0.0 else -math.inf
            extra["mu"] = max(needed, extra["mu"]) + 1e-4
        state.record_inner(sweeps * GMRES_STEPS, one_norm(residual, xp) / size, not met)
        return d

    # -- the l1 model -------------------------------------------------------------------------------------------

    def _model_terms(self, dx: Array) -> tuple[float, float, float]:
        """g'dx, max(dx'B dx/2, 0) and ||J dx + c||_1."""
        xp, point = self.state.xp, self.state.point
        gd, quadratic = scalars(xp, point.grad @ dx, dx @ (self._B @ dx))
        return gd, max(0.5 * quadratic, 0.0), one_norm(self._J @ dx + point.c, xp)

    def _model_descends(self, d: Array) -> bool:
        state = self.state
        mu = state.extra["mu"]
        gd, quadratic, linear_c = self._model_terms(d[: state.functions.n])
        size_c = one_norm(state.point.c, state.xp)
        reduction = -gd - quadratic + mu * (size_c - linear_c)
        return bool(reduction >= SIGMA * mu * max(size_c, linear_c - size_c))

    def _search(self, dx: Array, dlam: Array, mu: float) -> Status | None:
        state = self.state
        point, xp, functions = state.point, state.xp, state.functions
        gd, _, linear_c = self._model_terms(dx)
        size_c = one_norm(point.c, xp)
        slope = gd - mu * (size_c - linear_c)
        here = point.f + mu * size_c
        alpha = 1.0
        while alpha >= MIN_ALPHA:
            if state.options.maxfev is not None and functions.nfev >= state.options.maxfev:
                return Status.MAXFEV
            x = point.x + alpha * dx
            f, c = functions.fun(x), functions.cons(x)
            if f + mu * one_norm(c, xp) <= here + alpha * ARMIJO * slope:
                accepted = complete(functions, x, point.lam + alpha * dlam, f, c)
                if accepted.finite:
                    state.move(accepted, alpha)
                    return None
            alpha *= 0.5
        return Status.PENALTY_LIMIT if mu > MU_LIMIT else Status.LINESEARCH
