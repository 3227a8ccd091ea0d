"""The loop of relaxation: slices of sweeps, and the stopping rules."""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.optimize import OptimizeResult

from numopt._array import is_cupy, is_linear_operator, scalars
from numopt._core.status import Status
from numopt._typing import Array
from numopt.linear._report import Report
from numopt.linear._stencil import Stencil
from numopt.linear._system import System, real_dtype

__all__ = ["Engine", "relax", "rounding_floor"]

GROWTH = 1e10
STALL_SWEEPS = 50
RATE_SWEEPS = 10
SLICE_SECONDS = 0.05
LOOK_SECONDS = 2e-5
# A multiply-add of a sweep.
CPU_SECONDS = 2e-9
GPU_SECONDS = 2e-11
MAX_SLICE = 1000


class Engine(Protocol):
    """What the loop asks of a method: `Relaxation` has it, and so has its Chebyshev acceleration."""

    omega: float
    work: int
    """Multiply-adds of a sweep, about."""

    def sweep(self, count: int) -> "np.ndarray[Any, Any]": ...  # residual norms before each of the sweeps

    def answer(self) -> Array: ...  # the iterate, an array of its own


@dataclass
class _Path:
    """The residual norms so far, and what they say about the next ones."""

    target: float
    first: float = math.nan
    best: float = math.inf
    best_at: int = 0
    last: float = math.nan
    nit: int = 0
    _rate: float = math.nan  # decrease of the logarithm per sweep, of late

    def extend(self, start: int, norms: "np.ndarray[Any, Any]") -> None:
        """Take the norms of the residuals of iterates `start`, `start` + 1, ..."""
        if math.isnan(self.first):
            self.first = float(norms[0])
        self.nit, self.last = start + norms.size - 1, float(norms[-1])
        lowest = int(np.argmin(norms))
        if norms[lowest] < self.best:
            self.best, self.best_at = float(norms[lowest]), start + lowest
        # Of the last sweeps alone: the first ones are slower or faster than those that follow.
        back = min(norms.size - 1, RATE_SWEEPS)
        if back and 0 < norms[-1] < norms[-1 - back]:
            self._rate = math.log(norms[-1 - back] / norms[-1]) / back

    def end_of(self, norms: "np.ndarray[Any, Any]") -> int:
        """Return how many of some norms there are up to the first that ends the solve."""
        first = norms[0] if math.isnan(self.first) else self.first
        ends = ~((norms > self.target) & (norms <= GROWTH * first))
        return int(np.argmax(ends)) + 1 if ends.any() else norms.size

    def sweeps_to_target(self) -> float:
        """Predict how many more sweeps the target takes."""
        if self.target <= 0 or not self._rate > 0:
            return math.inf
        return max(math.log(self.last / self.target), 0.0) / self._rate

    @property
    def diverged(self) -> bool:
        """Whether the residual has grown without bound; NaN counts."""
        return not self.last <= GROWTH * self.first

    @property
    def is_idle(self) -> bool:
        """Whether the residual has stayed where it is for some time."""
        return self.nit - self.best_at >= STALL_SWEEPS and self.last <= 10 * self.best

    @property
    def is_stalled(self) -> bool:
        """Whether there was no better residual for a very long time."""
        return self.nit - self.best_at >= 20 * STALL_SWEEPS


def relax(system: System, engine: Engine, report: Report, *, check: int) -> OptimizeResult:
    """Sweep until ``||b - A x|| <= target`` or a limit, growth or rounding ends it.

    With `check` 0 residuals are found inside the sweeps, and the norm of iterate k is known one sweep later: nit = k is
    reported and iterate k + 1, or a later one, is returned once its own residual has been computed and meets the
    target. Else they are computed every `check` sweeps.
    """
    run = _Run(system, engine, report)
    with report.progress:
        # A callback sees the iterate that belongs to the residual.
        return run.exact(max(check, 1)) if check or report.has_callback else run.lagged()


class _Run:
    """One solve."""

    def __init__(self, system: System, engine: Engine, report: Report) -> None:
        self._system, self._engine, self._report = system, engine, report
        self._path = _Path(report.target)

    def exact(self, every: int) -> OptimizeResult:
        """Sweep with residuals computed by products."""
        path, system, engine, report = self._path, self._system, self._engine, self._report
        best, nit = system.start(), 0
        while True:
            x = engine.answer()
            self._note(nit, np.asarray([system.residual_norm(x)]))
            if path.best_at == nit:
                best = x
            status = self._verdict(path.last)
            if status is None and report.stops(nit, path.last, lambda x=x: x):  # type: ignore[misc]
                status = Status.CALLBACK
            if status is not None:
                return self._result(best, path.best, status)
            count = min(every, report.maxiter - nit)
            engine.sweep(count)
            nit += count

    def lagged(self) -> OptimizeResult:
        """Sweep with residuals that the sweeps themselves find."""
        path, engine, report = self._path, self._engine, self._report
        slices = _Slices(engine.work, gpu=is_cupy(self._system.xp))
        nit = 0
        while True:
            count = slices.next(path, report.maxiter + 1 - nit)
            norms = engine.sweep(count)
            seen = path.end_of(norms)
            self._note(nit, norms[:seen])
            x, proven = None, math.inf
            if path.last <= report.target:
                x = engine.answer()
                proven = self._system.residual_norm(x)
            status = self._verdict(proven)
            if status is not None:
                if x is None:
                    x = engine.answer()
                    proven = self._system.residual_norm(x)
                return self._result(x, proven, status)
            if seen < count:
                self._note(nit + seen, norms[seen:])
            nit += count

    def _note(self, start: int, norms: "np.ndarray[Any, Any]") -> None:
        self._path.extend(start, norms)
        self._report.note(start, norms.tolist())

    def _verdict(self, proven: float) -> Status | None:
        """Say how the solve ends here, None to go on; `proven` is the residual of what would be returned."""
        path = self._path
        if proven <= self._report.target:
            return Status.CONVERGED
        if math.isnan(path.first):
            return Status.NONFINITE
        if path.diverged:
            return Status.DIVERGED
        # Rates near 1 and non-normal matrices pass through long stretches without a new best residual; only the
        # rounding level tells that more sweeps are no use.
        if path.is_idle and path.best <= rounding_floor(self._system, self._engine.answer()):
            return Status.PRECISION
        if path.is_stalled:
            return Status.STALLED
        if path.nit >= self._report.maxiter:
            return Status.MAXITER
        if self._report.deadline.expired():
            return Status.TIME_LIMIT
        return None

    def _result(self, x: Array, residual: float, status: Status) -> OptimizeResult:
        omega = self._engine.omega
        detail = f"omega was {omega:g}" if status in (Status.MAXITER, Status.DIVERGED, Status.STALLED) else None
        return self._report.result(x, residual, status, self._path.nit, omega=omega, remedies=_REMEDIES, detail=detail)


class _Slices:
    """How many sweeps to do at once: about 50 ms of them, and hardly more than the target takes.

    Estimated, not measured: which iterate is returned depends on it, and must not depend on the clock.
    """

    def __init__(self, work: int, *, gpu: bool) -> None:
        seconds = (GPU_SECONDS if gpu else CPU_SECONDS) * work
        self._most = min(SLICE_SECONDS / seconds, MAX_SLICE)
        # Sweeps of some microseconds cost less than looking.
        self._least = LOOK_SECONDS / seconds

    def next(self, path: _Path, most: int) -> int:
        """Return the number of sweeps of the next slice, at most `most`."""
        # The prediction comes from a rate that may still change: go most of the way, then look again, at the latest
        # after half as many sweeps as there were.
        needed = min(0.7 * path.sweeps_to_target(), max(8.0, 0.5 * path.nit))
        return int(max(1, min(most, self._most, max(needed, self._least))))


def rounding_floor(system: System, x: Array) -> float:
    """Return the residual norm that rounding alone explains: a few units of ``| A | | x | + | b |``."""
    xp = system.xp
    A, size = system.A, xp.abs(x)
    if isinstance(A, Stencil):
        product = Stencil(A.grid, abs(A.coefficients)) @ size
    elif is_linear_operator(A.A):  # shows no entries
        product = xp.abs(A.matvec(x))
    else:
        product = abs(A.A) @ size
    (scale,) = scalars(xp, xp.linalg.vector_norm(product + xp.abs(system.b)))
    return 8 * float(xp.finfo(real_dtype(x)).eps) * scale


_REMEDIES = {
    Status.MAXITER: "raise maxiter, or use numopt.linear.cg with ssor_omega if `A` is symmetric positive definite",
    Status.DIVERGED: "relaxation converges for symmetric positive definite or diagonally dominant `A`: check that, "
    "lower omega, or use a Krylov method",
    Status.STALLED: "the iteration does not converge for this `A`: use a Krylov method or a factorisation",
    Status.PRECISION: "ask for a larger rtol, or solve in float64",
    Status.NONFINITE: "check `A`, `b` and `x0` for NaN and infinite values",
}
