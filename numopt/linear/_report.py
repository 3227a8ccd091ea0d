"""What every solver here says of its solve: history, progress, callbacks on the way, the result in the end."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from scipy.optimize import OptimizeResult

from numopt._core.callback import wrap_callback
from numopt._core.history import History
from numopt._core.messages import outcome_message
from numopt._core.progress import Progress
from numopt._core.result import make_result
from numopt._core.status import Status
from numopt._core.timer import Deadline
from numopt._core.validation import check_scalar, check_verbose
from numopt._typing import Array
from numopt.linear._system import System, check_limits

__all__ = ["Report"]


class Report:
    """The limits of one solve and the account of it.

    Attributes
    ----------
    target : float
        ``max(rtol ||b||, atol)``.
    maxiter : int
        Largest number of iterations.
    deadline : Deadline
        The clock.
    has_callback, looks : bool
        Whether a callback was given; whether anybody looks at every iteration.
    progress : Progress
        Context manager for the loop.
    """

    def __init__(
        self,
        system: System,
        name: str,
        unit: str,
        *,
        rtol: float,
        atol: float,
        maxiter: int | None,
        time_limit: float | None,
        callback: Callable[..., Any] | None,
        history: bool,
        verbose: int,
    ) -> None:
        if time_limit is not None:
            time_limit = check_scalar(time_limit, "time_limit", low=0)
        self.target, self.maxiter = check_limits(system, rtol, atol, maxiter)
        self._system, self._unit = system, unit
        self._stop = wrap_callback(callback)
        self._history = History() if history else None
        self.progress = Progress(check_verbose(verbose), name, self.maxiter)
        self.deadline = Deadline(time_limit)
        self.has_callback = self._stop is not None
        self.looks = self.has_callback or history or self.progress.verbose > 0

    def note(self, start: int, norms: Iterable[float]) -> None:
        """Record and show the residual norms of iterates `start`, `start` + 1, ..."""
        if self._history is None and not self.progress.verbose:
            return
        for nit, norm in enumerate(norms, start=start):
            fields = self._residuals(norm)
            if self._history is not None:
                self._history.append(nit=nit, **fields, seconds=self.deadline.elapsed())
            if self.progress.verbose:
                self.progress.update(nit, fields)

    def stops(self, nit: int, norm: float, x: Callable[[], Array]) -> bool:
        """Show an iterate to the callback, which is given what `x` returns; tell whether it ends the solve."""
        if self._stop is None:
            return False
        shown = {"x": x(), "residual_norm": norm, "relative_residual": norm / self._system.b_norm, "nit": nit}
        return self._stop(make_result(shown))

    def result(
        self,
        x: Array,
        residual: float,
        status: Status,
        nit: int,
        *,
        omega: float | None,
        remedies: Mapping[Status, str],
        detail: str | None = None,
    ) -> OptimizeResult:
        """Return the result at x, whose residual norm was computed by a product; never a worse point than the start."""
        if status is not Status.CONVERGED:
            start = self._system.start()
            at_start = self._system.residual_norm(start)
            if not residual <= at_start:
                x, residual = start, at_start
        message = outcome_message(
            status,
            measure_name="residual norm",
            value=residual,
            tol=self.target,
            nit=nit,
            unit=self._unit,
            remedy=remedies.get(status),
            detail=detail,
        )
        return self._build(x, residual, residual / self._system.b_norm, status, message, nit, omega)

    def zero(self, omega: float | None) -> OptimizeResult:
        """Return x = 0, the answer for b = 0 whatever the start."""
        message = "The right-hand side is zero, and so is the solution."
        return self._build(self._system.xp.zeros_like(self._system.b), 0.0, 0.0, Status.CONVERGED, message, 0, omega)

    def _residuals(self, norm: float) -> dict[str, float]:
        return {"residual": norm, "relative_residual": norm / self._system.b_norm}

    def _build(
        self, x: Array, residual: float, relative: float, status: Status, message: str, nit: int, omega: float | None
    ) -> OptimizeResult:
        fields = {
            "x": x,
            "residual_norm": residual,
            "relative_residual": relative,
            "status": status,
            "message": message,
            "nit": nit,
            "omega": omega,
            "time": self.deadline.elapsed(),
        }
        if self._history is not None:
            fields["history"] = self._history.asdict()
        return make_result(fields)
