"""The fast path for penalties that make the solution sparse or bounded: Newton-type steps on growing working sets.

Each outer iteration computes the full gradient once, judges the point by its duality gap, drops columns that the gap
shows to be zero at the solution, and minimises over the support and the coordinates that promise most. The inner
problems are solved to a part of the violation outside only: early working sets are not worth more.
"""

import math
from typing import Any

from scipy.optimize import OptimizeResult

from numopt._array import scalars
from numopt._core.status import Status
from numopt._typing import Array
from numopt.coordinate._interpolation import interpolate
from numopt.coordinate._linear_model import LinearModel
from numopt.coordinate._pool import Pool
from numopt.coordinate._quadratic import Quadratic
from numopt.coordinate._report import Report
from numopt.coordinate._state import LinearState, Look, QuadraticState

__all__ = ["WorkingSetSolver", "solve_working_set"]

# Smallest working set, and its size in terms of the support.
_SMALLEST = 64
_GROWTH = 2
# An inner problem is solved to this part of the violation outside it.
_INNER = 0.3
# Outer iterations without progress after which rounding, or something else, has the last word.
_PATIENCE = 4
_PROGRESS = 0.9
_DECREASE = 1e-9
# A measure within this many units of rounding of the objective has met its floor.
_FLOOR = 1e4


def solve_working_set(problem: Any, x0: Array, report: Report, settings: dict[str, Any]) -> OptimizeResult:
    """Solve a linear model or a quadratic with a separable penalty."""
    return WorkingSetSolver(settings).solve(problem, x0, report, intercept=settings.get("intercept"))


class WorkingSetSolver:
    """Solves one problem after another that differ in their penalty only, and keeps the Gram matrix that they share.

    Parameters
    ----------
    settings : dict, optional
        ``working_set``, ``screening`` and ``active_set`` as `bcd` takes them.
    """

    def __init__(self, settings: dict[str, Any] | None = None) -> None:
        settings = settings or {}
        self._size = settings.get("working_set", "auto")
        self._screens = settings.get("screening", "gap") is not None
        self._newton = settings.get("active_set", True)
        self._pool: Pool | None = None

    def solve(self, problem: Any, x0: Array, report: Report, *, intercept: Any = None) -> OptimizeResult:
        """Solve from x0, a feasible flat vector, which is overwritten."""
        x, constant, nit, npass = report.resume(x0)
        constant = intercept if constant is None else constant
        state: LinearState | QuadraticState
        if isinstance(problem, Quadratic):
            state = QuadraticState(problem, x, report.deadline)
        else:
            x = interpolate(problem, x, report.deadline)
            state = LinearState(problem, x, constant, report.deadline)
            self._hold(problem)
        status, passes, changed = self._iterate(state, report, nit, npass)
        effort = state.effort
        return report.result(
            state.full_x(), status, nit=nit + effort.updates + effort.newton,
            npass=npass + passes + effort.updates / problem.n_variables, njev=passes,
            nhev=state.linearisations, intercept=state.intercept, active_set_iter=changed,
        )  # fmt: skip

    def _hold(self, problem: LinearModel) -> None:
        """Keep the pool where the problem has the columns and weights that it was made for."""
        pool = self._pool
        if pool is None or pool.design is not problem.design or pool.weights is not problem.sample_weight:
            self._pool = Pool(problem.design, problem.sample_weight)

    def _iterate(
        self, state: LinearState | QuadraticState, report: Report, nit: int, npass: float
    ) -> tuple[Status, int, int]:
        """Return why it ended, the number of full gradients, and the last iteration that changed the support."""
        xp = state.problem.xp
        passes, changed, waited = 0, 0, 0
        best = lowest = math.inf
        previous = xp.empty(0, dtype=xp.int64, device=state.problem.device)
        while True:
            look = state.look()
            passes += 1
            report.note_dual(look.dual)
            effort = state.effort
            done = nit + effort.updates + effort.newton
            spent = npass + passes + effort.updates / state.whole.n_variables
            status = report.stops(
                state.full_x() if report.watches else state.x, fun=look.fun, kkt=look.kkt, gap=look.gap,
                floor=look.floor, nit=done, npass=spent, intercept=state.intercept,
            )  # fmt: skip
            if status is not None:
                return status, passes, changed
            if state.is_indefinite:
                return Status.INDEFINITE, passes, changed
            measure = look.gap if state.problem.has_dual else look.kkt
            better = measure < _PROGRESS * best or look.fun < lowest - _DECREASE * abs(lowest)
            waited = 0 if better else waited + 1
            best, lowest = min(best, measure), min(lowest, look.fun)
            if waited >= _PATIENCE or not state.moved:
                if waited >= _PATIENCE + 2 or not state.moved:
                    return self._stalled(state, look), passes, changed
                state.refresh()
            support = xp.take(look.candidates, xp.nonzero(look.is_free)[0])
            if state.columns is not None:
                support = xp.take(state.columns, support)
            if support.shape[0] != previous.shape[0] or bool(xp.any(support != previous)):
                changed, previous = done, support
            if self._screens and state.screen(look, self._held(state)):
                look = state.look()
            working = self._choose(state, look, int(support.shape[0]))
            state.improve(working, look, _INNER * look.kkt, self._pool, self._newton)

    def _held(self, state: LinearState | QuadraticState) -> Array:
        """Return the columns of the pool, ascending."""
        xp = state.problem.xp
        if self._pool is None:
            return xp.empty(0, dtype=xp.int64, device=state.problem.device)
        return xp.sort(self._pool.ids)

    def _choose(self, state: LinearState | QuadraticState, look: Look, n_free: int) -> Array:
        """Return the support and the coordinates whose steps promise most, ascending."""
        xp, problem = state.problem.xp, state.problem
        if self._size is None:
            return xp.arange(state.x.shape[0], device=problem.device)
        smallest = _SMALLEST if self._size == "auto" else self._size
        wanted = max(_GROWTH * n_free, smallest)
        if look.candidates.shape[0] <= wanted:
            return look.candidates
        L = xp.take(problem.lipschitz, look.candidates)
        promise = look.violations**2 / xp.where(L > 0, L, xp.ones_like(L))
        infinite = xp.asarray(math.inf, dtype=promise.dtype, device=problem.device)
        order = xp.argsort(xp.where(look.is_free, infinite, promise), descending=True, stable=True)
        return xp.take(look.candidates, xp.sort(order[:wanted]))

    @staticmethod
    def _stalled(state: LinearState | QuadraticState, look: Look) -> Status:
        """Return PRECISION where what is left is of the size of rounding, else STALLED."""
        eps = float(state.problem.xp.finfo(state.problem.dtype).eps)
        if state.problem.has_dual:
            (size,) = scalars(state.problem.xp, abs(look.fun))
            return Status.PRECISION if look.gap <= _FLOOR * eps * max(size, abs(look.dual)) else Status.STALLED
        return Status.PRECISION if look.kkt <= _FLOOR * max(look.floor, 0.0) else Status.STALLED
