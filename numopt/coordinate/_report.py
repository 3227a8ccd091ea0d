"""What every solve of this package says of itself: limits, history, progress, callbacks, and the result in the end."""

import math
import os
from collections.abc import Callable
from typing import Any

from scipy.optimize import OptimizeResult

from numopt._array import is_array, to_host
from numopt._core.callback import wrap_callback
from numopt._core.checkpoint import Checkpoint
from numopt._core.history import History
from numopt._core.messages import outcome_message
from numopt._core.progress import Progress
from numopt._core.result import make_result
from numopt._core.status import Status
from numopt._core.timer import Deadline
from numopt._core.validation import check_scalar, check_verbose
from numopt._typing import Array
from numopt.coordinate._problem import Certificate, Problem

__all__ = ["Report"]

# Below this the objective counts as unbounded.
_UNBOUNDED = -1e300
# Units of rounding that a gap or a subgradient may be above what exact arithmetic gives.
_ROUNDING = 16.0
# How much worse than that a solve may end and still put it down to rounding.
_AMPLIFIED = 1e5


class Report:
    """The stopping rule and the limits of one solve, and the account of it.

    Where the problem has a dual, a point has converged when ``gap <= tol * (F_ref - D_best)``; else when
    ``kkt <= tol * kkt_ref + floor``. F_ref and kkt_ref belong to P(0), the point that the bounds project zero to.

    Parameters
    ----------
    problem : Problem
        What is solved.
    name : str
        The solver, for the progress bar.
    tol, maxiter, max_passes, time_limit, callback, history, verbose, checkpoint
        The options of `bcd`.

    Attributes
    ----------
    tol : float
        As given.
    maxiter, max_passes : float
        Largest numbers of block updates and of passes, infinite where there is none.
    deadline : Deadline
        The clock.
    progress : Progress
        Context manager for the loop.
    looks, watches : bool
        Whether somebody wants to see every iteration; whether `stops` needs x.
    """

    def __init__(
        self,
        problem: Problem,
        name: str,
        *,
        tol: float,
        maxiter: int | None = None,
        max_passes: float = 1000,
        time_limit: float | None = None,
        callback: Callable[..., Any] | None = None,
        history: bool = False,
        verbose: int = 0,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> None:
        self.problem = problem
        self.tol = check_scalar(tol, "tol", low=0)
        self.maxiter = math.inf if maxiter is None else check_scalar(maxiter, "maxiter", kind=int, low=0)
        self.max_passes = check_scalar(max_passes, "max_passes", low=0, high=math.inf)
        self.deadline = Deadline(None if time_limit is None else check_scalar(time_limit, "time_limit", low=0))
        self._stop = wrap_callback(callback)
        self._history = History() if history else None
        self.progress = Progress(check_verbose(verbose), name, None if maxiter is None else maxiter)
        self.has_callback = self._stop is not None
        self.looks = self.has_callback or history or self.progress.verbose > 0
        self.watches = self.has_callback or checkpoint is not None
        self._reference: Certificate | None = None
        self._reference_fun: float | None = None
        self._best_dual = -math.inf
        self._checkpoint = checkpoint
        self._saver: Checkpoint | None = None
        self._latest: tuple[Array, Any, float] | None = None

    # ---- the stopping rule ---------------------------------------------------------------------------------------

    @property
    def reference(self) -> Certificate:
        """The certificate of P(0), with the best constant where there is one."""
        if self._reference is None:
            point = self.problem.point()
            point.update_intercept()
            self._reference = self.problem.evaluate(point.x, point.intercept)
            self.note_dual(self._reference.dual)
        return self._reference

    @property
    def reference_fun(self) -> float:
        """The objective at P(0), which the gap is measured by."""
        if self._reference_fun is None:
            if self._reference is None:
                point = self.problem.point()
                point.update_intercept()
                self._reference_fun = point.objective
            else:
                self._reference_fun = self._reference.fun
        return self._reference_fun

    def set_reference_fun(self, fun: float) -> None:
        """Take over the objective at P(0) from a solver that has computed it."""
        self._reference_fun = fun

    def set_reference(self, certificate: Certificate) -> None:
        """Take over the certificate of P(0) from a solver that has computed it."""
        self._reference = certificate
        self.note_dual(certificate.dual)

    def note_dual(self, dual: float) -> None:
        """Remember the best lower bound of the optimum."""
        if dual > self._best_dual:
            self._best_dual = dual

    def target(self) -> float:
        """Return what the gap (or, without a dual, the minimal subgradient) must come down to."""
        if self.problem.has_dual:
            return self.tol * max(self.reference_fun - self._best_dual, 0.0)
        return self.tol * self.reference.kkt

    def verdict(self, fun: float, kkt: float, gap: float, floor: float = 0.0) -> Status | None:
        """Return CONVERGED, PRECISION for what rounding alone keeps from it, NONFINITE, UNBOUNDED, or None."""
        if math.isnan(fun) or math.isnan(kkt) or (self.problem.has_dual and math.isnan(gap)):
            return Status.NONFINITE
        if fun < _UNBOUNDED:
            return Status.UNBOUNDED
        target = self.target()
        if not self.problem.has_dual:
            if kkt <= target:
                return Status.CONVERGED
            if kkt <= target + floor:
                return Status.CONVERGED if target >= floor or self.reference.kkt <= floor else Status.PRECISION
            return None
        if gap <= target:
            return Status.CONVERGED
        reference = abs(self.reference_fun)
        rounding = _ROUNDING * self._eps() * reference
        if gap <= rounding:
            at_origin = self.reference_fun - fun <= rounding
            return Status.CONVERGED if at_origin or self.tol * reference >= rounding else Status.PRECISION
        return None

    def stops(
        self,
        x: Array,
        *,
        fun: float,
        kkt: float,
        gap: float = math.nan,
        floor: float = 0.0,
        nit: int,
        npass: float,
        block: int = -1,
        intercept: Any = 0.0,
        judge: bool = True,
    ) -> Status | None:
        """Record an iterate, show it, and return the status that ends the solve, or None.

        `kkt` may be NaN with ``judge=False``: then only limits and the callback are looked at.
        """
        if self.looks:
            numbers = {"kkt": kkt, "fun": fun, "gap": gap, "block": float(block)}
            if self._history is not None:
                self._history.append(nit=nit, npass=npass, **numbers, time=self.deadline.elapsed())
            if self.progress.verbose:
                self.progress.update(nit, numbers)
        status = self.verdict(fun, kkt, gap, floor) if judge else (Status.NONFINITE if math.isnan(fun) else None)
        if status is None and self._stop is not None:
            shown = {"x": self._copy(x), "fun": fun, "kkt": kkt, "gap": gap, "nit": nit, "npass": npass}
            if self.problem.intercept:
                shown["intercept"] = intercept
            if self._stop(make_result(shown)):
                status = Status.CALLBACK
        if status is None:
            status = self.limit(nit, npass)
        if self._saver is not None:
            self._latest = (x, intercept, npass)
            self._saver.save(nit, force=status is not None)
        return status

    def limit(self, nit: int, npass: float) -> Status | None:
        """Return the limit that is reached."""
        if nit >= self.maxiter or npass >= self.max_passes:
            return Status.MAXITER
        return Status.TIME_LIMIT if self.deadline.expired() else None

    # ---- checkpoints ---------------------------------------------------------------------------------------------

    def resume(self, x0: Array) -> tuple[Array, Any, int, float]:
        """Open the checkpoint, if one was asked for: return where to start (x, intercept, nit, npass)."""
        if self._checkpoint is None:
            return x0, None, 0, 0.0
        key = {"solver": "bcd", "shape": list(self.problem.shape), "dtype": str(self.problem.dtype).split(".")[-1]}

        def snapshot() -> Any:
            assert self._latest is not None
            x, intercept, npass = self._latest
            constant = to_host(intercept).tolist() if is_array(intercept) else intercept
            return {"x": x}, {"npass": npass, "intercept": constant}

        self._saver = Checkpoint(self._checkpoint, key, snapshot)
        if not self._saver.resumed:
            return x0, None, 0, 0.0
        x = self.problem.xp.asarray(self._saver.arrays["x"], dtype=self.problem.dtype, device=self.problem.device)
        return x, self._saver.meta["intercept"], self._saver.nit, self._saver.meta["npass"]

    # ---- the result ----------------------------------------------------------------------------------------------

    def result(
        self,
        x: Array,
        status: Status,
        *,
        nit: int,
        npass: float,
        nfev: int = 0,
        njev: int = 0,
        nhev: int = 0,
        intercept: Any = 0.0,
        active_set_iter: int = 0,
        detail: str | None = None,
        remedy: str | None = None,
        fields: dict[str, Any] | None = None,
    ) -> OptimizeResult:
        """Return the result at x, whose certificate is computed from x alone; success only if that bears it out."""
        problem, xp = self.problem, self.problem.xp
        certificate = problem.evaluate(x, intercept)
        self.note_dual(certificate.dual)
        judged = self.verdict(certificate.fun, certificate.kkt, certificate.gap, certificate.floor)
        if judged in (Status.CONVERGED, Status.NONFINITE):
            # Where a limit and the goal came together the goal counts; a callback's word stands.
            status = judged if status not in (Status.CALLBACK, Status.NOT_ATTAINED) else status
        elif status is Status.CONVERGED:
            status = judged or Status.STALLED
        elif status is Status.PRECISION and not self._is_rounding(certificate):
            status = Status.STALLED
        name, value = ("duality gap", certificate.gap) if problem.has_dual else ("minimal subgradient", certificate.kkt)
        message = outcome_message(
            status,
            measure_name=name,
            value=value,
            tol=max(self.target(), value if status is Status.CONVERGED else 0.0),
            nit=nit,
            unit="block update",
            remedy=remedy,
            detail=detail,
        )
        support = xp.nonzero(x != self._rest())[0]
        result = {
            "x": problem.public(x),
            "fun": certificate.fun,
            "status": status,
            "message": message,
            "nit": nit,
            "npass": npass,
            "nfev": nfev,
            "njev": njev,
            "nhev": nhev,
            "grad": problem.public(certificate.grad),
            "kkt": certificate.kkt,
            "gap": certificate.gap,
            "active_set": support,
            "n_active": int(support.shape[0]),
            "active_set_iter": active_set_iter,
            "time": self.deadline.elapsed(),
        }
        if problem.intercept:
            result["intercept"] = intercept
        result.update(fields or {})
        if "lipschitz" not in result:  # estimates stand for bounds that a problem may lack
            result["lipschitz"] = problem.lipschitz
        if self._history is not None:
            result["history"] = self._history.asdict()
        return make_result(result)

    def _is_rounding(self, certificate: Certificate) -> bool:
        """Tell whether what is left can be rounding, amplified by the condition of the problem."""
        if self.problem.has_dual:
            size = max(abs(self.reference_fun), abs(certificate.fun))
            return certificate.gap <= _AMPLIFIED * _ROUNDING * self._eps() * size
        return certificate.kkt <= _AMPLIFIED * max(certificate.floor, self._eps() * self.reference.kkt)

    def _rest(self) -> Array:
        """Return the value at which an unknown counts as inactive."""
        return self.problem.origin()

    def _copy(self, x: Array) -> Array:
        return self.problem.xp.asarray(self.problem.public(x), copy=True)

    def _eps(self) -> float:
        return float(self.problem.xp.finfo(self.problem.dtype).eps)
