"""The loop of relaxation: slices of sweeps, the stopping rules, the result."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scipy.optimize import OptimizeResult

from numopt._array import is_sparse, scalars
from numopt._core.callback import wrap_callback
from numopt._core.history import History
from numopt._core.messages import outcome_message
from numopt._core.progress import Progress
from numopt._core.result import make_result
from numopt._core.status import Status
from numopt._core.timer import Deadline
from numopt._typing import Array
from numopt.linear._relaxation import Relaxation
from numopt.linear._stencil import Stencil
from numopt.linear._system import LinearSystem, real_dtype

__all__ = ["Control", "relax", "rounding_floor"]

GROWTH = 1e10
STALL_SWEEPS = 50
SLICE_SECONDS = 0.05
MAX_SLICE = 1000


@dataclass
class Control:
    """What a caller may ask of the loop; `check` is 0 for residuals found in the sweeps, else every how many sweeps."""

    target: float
    maxiter: int
    check: int = 0
    time_limit: float | None = None
    callback: Callable[..., Any] | None = None
    history: bool = False
    verbose: int = 0


@dataclass
class _Path:
    """The residual norms so far, and what they say about the next ones."""

    target: float
    first: float = math.nan
    best: float = math.inf
    best_at: int = 0
    last: float = math.nan
    nit: int = 0
    _marks: list[tuple[int, float]] = field(default_factory=list)

    def add(self, nit: int, value: float) -> None:
        """Take the norm of the residual of iterate `nit`."""
        if math.isnan(self.first):
            self.first = value
        self.nit, self.last = nit, value
        if value < self.best:
            self.best, self.best_at = value, nit
        self._marks.append((nit, value))
        del self._marks[:-2]

    def sweeps_to_target(self) -> float:
        """Predict how many more sweeps the target takes at the rate of the last ones."""
        (k0, r0), (k1, r1) = self._marks[0], self._marks[-1]
        if k1 == k0 or not 0 < r1 < r0 or self.target <= 0:
            return math.inf
        return math.log(r1 / self.target) / (math.log(r0 / r1) / (k1 - k0))

    @property
    def diverged(self) -> bool:
        """Whether the residual has grown without bound; NaN counts."""
        return not self.last <= GROWTH * self.first

    @property
    def idle(self) -> int:
        """Sweeps since the best residual."""
        return self.nit - self.best_at


def relax(system: LinearSystem, engine: Relaxation, *, name: str, control: Control) -> OptimizeResult:
    """Sweep until ``||b - A x|| <= target`` or a limit, growth or rounding ends it.

    With residuals found inside the sweeps the norm of iterate k is known one sweep later: nit = k is reported and
    iterate k + 1, or a later one, is returned once its own residual has been computed and meets the target.
    """
    deadline = Deadline(control.time_limit)
    stop = wrap_callback(control.callback)
    record = History() if control.history else None
    path = _Path(control.target)
    # A callback sees the iterate that belongs to the residual.
    exact = max(control.check, 1 if stop is not None else 0)
    status: Status | None = None
    nit = 0

    def note(count: int, value: float) -> None:
        path.add(count, value)
        relative = value / system.b_norm
        if record is not None:
            record.append(nit=count, residual=value, relative_residual=relative, seconds=deadline.elapsed())
        if progress.verbose:
            progress.update(count, {"residual": value, "relative_residual": relative})

    with Progress(control.verbose, name, control.maxiter) as progress:
        if exact:
            best = system.start()
            while status is None:
                x = engine.answer()
                note(nit, system.residual_norm(x))
                if path.best_at == nit:
                    best = x
                status = _verdict(path, path.last, control, deadline, engine, system)
                if status is None and stop is not None and stop(_intermediate(path, x, system)):
                    status = Status.CALLBACK
                if status is None:
                    count = min(exact, control.maxiter - nit)
                    engine.sweep(count)
                    nit += count
            x, nit = best, path.nit
        else:
            slices = _Slices(engine.work)
            verified = math.inf
            while status is None:
                count = slices.next(path, control.maxiter + 1 - nit)
                started = time.perf_counter()
                norms = engine.sweep(count).tolist()
                slices.took(count, time.perf_counter() - started)
                for i, value in enumerate(norms):
                    note(nit + i, value)
                    reached = value <= control.target
                    if reached:
                        verified = system.residual_norm(engine.answer())
                        reached = verified <= control.target
                    status = _verdict(path, verified if reached else math.inf, control, deadline, engine, system)
                    if status is not None:
                        break
                nit += count
            x, nit = engine.answer(), path.nit
    return _result(system, engine, x, status, nit, control, deadline, record)


class _Slices:
    """How many sweeps to do at once: about 50 ms of them, and hardly more than the target takes."""

    def __init__(self, work: int) -> None:
        self._seconds = 2e-9 * work  # per sweep, until it was measured

    def next(self, path: _Path, most: int) -> int:
        by_time = SLICE_SECONDS / max(self._seconds, 1e-9)
        # The prediction comes from a rate that may still change: go most of the way, then look again. The first few
        # sweeps tell nothing. Sweeps of some microseconds cost less than looking.
        needed = 0.7 * path.sweeps_to_target() if path.nit > 2 else 8.0
        least = max(1.0, 2e-5 / self._seconds)
        return int(max(1, min(most, by_time, max(needed, least), MAX_SLICE)))

    def took(self, count: int, seconds: float) -> None:
        self._seconds = max(seconds / count, 1e-7)


def _verdict(
    path: _Path, proven: float, control: Control, deadline: Deadline, engine: Relaxation, system: LinearSystem
) -> Status | None:
    """Say how the solve ends at this residual, None to go on; `proven` is the residual of what would be returned."""
    if proven <= control.target:
        return Status.CONVERGED
    if math.isnan(path.first):
        return Status.NONFINITE
    if path.diverged:
        return Status.DIVERGED
    if path.idle and path.idle % STALL_SWEEPS == 0:
        # Rates near 1 and non-normal matrices pass through long stretches without a new best residual; only the
        # rounding level tells at once that more sweeps are no use.
        if path.best <= rounding_floor(system, engine.answer()):
            return Status.PRECISION
        if path.idle >= 20 * STALL_SWEEPS:
            return Status.STALLED
    if path.nit >= control.maxiter:
        return Status.MAXITER
    if deadline.expired():
        return Status.TIME_LIMIT
    return None


def rounding_floor(system: LinearSystem, x: Array) -> float:
    """Return the residual norm that rounding alone explains: a few units of ``| A | | x | + | b |``."""
    xp = system.xp
    A, size = system.A, xp.abs(x)
    if isinstance(A, Stencil):
        product = Stencil(A.grid, abs(A.coefficients)) @ size
    elif is_sparse(A.A) or hasattr(A.A, "__array_namespace__") or hasattr(A.A, "ndim"):
        product = abs(A.A) @ size
    else:  # a LinearOperator shows no entries
        product = xp.abs(A.matvec(x))
    (scale,) = scalars(xp, xp.linalg.vector_norm(product + xp.abs(system.b)))
    return 8 * float(xp.finfo(real_dtype(x)).eps) * scale


def _intermediate(path: _Path, x: Array, system: LinearSystem) -> OptimizeResult:
    return make_result(
        {"x": x, "residual_norm": path.last, "relative_residual": path.last / system.b_norm, "nit": path.nit}
    )


def _result(
    system: LinearSystem,
    engine: Relaxation,
    x: Array,
    status: Status,
    nit: int,
    control: Control,
    deadline: Deadline,
    record: History | None,
) -> OptimizeResult:
    residual = system.residual_norm(x)
    if status is not Status.CONVERGED:
        start = system.start()
        at_start = system.residual_norm(start)
        if not residual <= at_start:
            x, residual = start, at_start
    fields = {
        "x": x,
        "residual_norm": residual,
        "relative_residual": residual / system.b_norm,
        "status": status,
        "message": _message(status, residual, control.target, nit, engine.omega),
        "nit": nit,
        "omega": engine.omega,
        "time": deadline.elapsed(),
    }
    if record is not None:
        fields["history"] = record.asdict()
    return make_result(fields)


_REMEDIES = {
    Status.MAXITER: "raise maxiter, or use numopt.linear.cg with ssor_omega if `A` is symmetric positive definite",
    Status.DIVERGED: "relaxation converges for symmetric positive definite or diagonally dominant `A`: check that, "
    "lower omega, or use a Krylov method",
    Status.STALLED: "the iteration does not converge for this `A`: use a Krylov method or a factorisation",
    Status.PRECISION: "ask for a larger rtol, or solve in float64",
    Status.NONFINITE: "check `A`, `b` and `x0` for NaN and infinite values",
}


def _message(status: Status, residual: float, target: float, nit: int, omega: float) -> str:
    detail = f"omega was {omega:g}" if status in (Status.MAXITER, Status.DIVERGED, Status.STALLED) else None
    return outcome_message(
        status,
        measure_name="residual norm",
        value=residual,
        tol=target,
        nit=nit,
        unit="sweep",
        remedy=_REMEDIES.get(status),
        detail=detail,
    )
