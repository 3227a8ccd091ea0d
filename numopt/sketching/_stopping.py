"""The outer loop shared by the public solvers: a sweep, the true residual, the stopping rules, the result."""

import math
from collections import deque
from collections.abc import Callable
from typing import Any

from scipy.optimize import OptimizeResult

from numopt._core.history import History
from numopt._core.loop import Measure, run
from numopt._core.messages import outcome_message
from numopt._core.progress import Progress
from numopt._core.result import make_result
from numopt._core.status import Status
from numopt._core.timer import Deadline
from numopt._typing import Array, Namespace
from numopt.sketching._sketched_solver import SketchedSolver

STALL_CHECKS = 10
STALL_FACTOR = 0.99


class Stagnation:
    """Tells that the best value is not 1 % lower than `STALL_CHECKS` checks before.

    The best value, not the last: on an inconsistent system the residual itself keeps jumping by 20 %.
    """

    def __init__(self) -> None:
        self.best = math.inf
        self._bests: deque[float] = deque(maxlen=STALL_CHECKS + 1)

    def update(self, value: float) -> bool:
        """Take the value of this check; True when it is the best so far."""
        improved = value < self.best
        if improved:
            self.best = value
        self._bests.append(self.best)
        return improved

    @property
    def reached(self) -> bool:
        """Whether progress has stopped."""
        return len(self._bests) > STALL_CHECKS and not self.best <= STALL_FACTOR * self._bests[0]


def solve_by_sweeps(
    engine: SketchedSolver,
    *,
    name: str,
    xp: Namespace,
    b_norm: float,
    sweep: int,
    rtol: float,
    atol: float,
    maxiter: int,
    time_limit: float | None,
    callback: Callable[..., Any] | None,
    history: bool,
    verbose: int,
) -> OptimizeResult:
    """Advance `engine` by sweeps until its true residual is <= max(rtol * b_norm, atol) or nothing helps any more."""
    deadline = Deadline(time_limit)
    stagnation = Stagnation()
    best: Array = xp.asarray(engine.z, copy=True)
    tol = max(rtol * b_norm, atol)

    def relative(residual: float) -> float:
        return residual / b_norm if b_norm else residual

    def measure() -> Measure:
        residual = engine.residual_norm()
        if stagnation.update(residual):
            best[...] = engine.z
        return Measure(
            residual,
            name="residual",
            fields={"relative_residual": relative(residual), "n_steps": engine.steps},
            arrays=lambda: {"x": xp.asarray(engine.z, copy=True)},
        )

    def step() -> Status | None:
        if engine.inconsistent_row is not None:
            return Status.SINGULAR
        if stagnation.reached:
            return Status.PRECISION if stagnation.best <= engine.rounding_floor() else Status.STALLED
        engine.advance(sweep, deadline)
        return None

    record = History() if history else None
    with Progress(verbose, name, maxiter) as progress:
        outcome = run(
            step,
            measure,
            tol=tol,
            maxiter=maxiter,
            time_limit=deadline,
            callback=callback,
            history=record,
            progress=progress,
        )
    engine.z[...] = best
    residual = engine.residual_norm()
    fields = {
        "x": best,
        "fun": residual,
        "relative_residual": relative(residual),
        "status": outcome.status,
        "message": _message(outcome.status, engine, residual, tol, outcome.nit),
        "nit": outcome.nit,
        "n_steps": engine.steps,
        "time": deadline.elapsed(),
    }
    if record is not None:
        fields["history"] = record.asdict()
    return make_result(fields)


def _message(status: Status, engine: SketchedSolver, residual: float, tol: float, nit: int) -> str:
    remedy = detail = None
    if status is Status.STALLED:
        remedy = (
            "the system is inconsistent or too ill-conditioned for this method: for a least-squares solution use "
            "scipy.sparse.linalg.lsqr, otherwise a factorisation"
        )
    elif status is Status.SINGULAR:
        remedy = "no solution exists: remove the row"
        detail = f"Row {engine.inconsistent_row} of `A` is zero and its right-hand side is not"
    return outcome_message(
        status,
        measure_name="residual norm",
        value=residual,
        tol=tol,
        nit=nit,
        unit="sweep",
        remedy=remedy,
        detail=detail,
    )
