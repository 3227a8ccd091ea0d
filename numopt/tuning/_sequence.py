"""A sequence of linear systems solved under a tuner."""

import math
from collections.abc import Callable, Iterable, Mapping, Sized
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from numopt._array import namespace
from numopt._core.callback import wrap_callback
from numopt._core.messages import outcome_message
from numopt._core.progress import Progress
from numopt._core.result import make_result
from numopt._core.status import Status
from numopt._core.timer import Deadline
from numopt._core.validation import check_scalar, check_verbose
from numopt.tuning._attempt import Attempt, attempt
from numopt.tuning._costs import measure
from numopt.tuning._full import Batch, attempt_all
from numopt.tuning._outcome import Outcome
from numopt.tuning._solvers import Solver, ceiling
from numopt.tuning._systems import Item, Starts, items
from numopt.tuning._timing import stopwatch
from numopt.tuning._tuner import BanditTuner

__all__ = ["solve_sequence"]


def solve_sequence(
    systems: Iterable[Any],
    tuner: BanditTuner,
    solver: str | Callable[..., Any] | None = "sor",
    *,
    context: Any = None,
    x0: Any = "previous",
    param: str | None = "omega",
    rtol: float = 1e-8,
    maxiter: int = 10_000,
    abort: float | None = None,
    keep: bool = False,
    solver_options: Mapping[str, Any] | None = None,
    time_limit: float | None = None,
    callback: Callable[..., Any] | None = None,
    verbose: int = 0,
) -> OptimizeResult:
    """Solve linear systems ``A_t x_t = b_t`` one after the other with a parameter that a tuner chooses.

    Parameters
    ----------
    systems : iterable
        Yields ``(A, b)`` or ``(A, b, context)``, as `numopt.problems.SystemSequence` does. `b` may be a function that
        makes the right-hand side from the solution before, as time stepping needs it.
    tuner : BanditTuner
        Chooses the values and learns from the costs; go on with it in a later call.
    solver : {'sor', 'ssor-cg'}, callable or None, default 'sor'
        'sor': `numopt.linear.sor`; 'ssor-cg': `numopt.linear.cg` with ``ssor_omega``. A function is called as
        ``solver(A, b, x0=..., omega=value, rtol=..., maxiter=...)`` with those options that it takes, and returns a
        result with ``x`` and ``nit``, SciPy's pair ``(x, info)``, or the solution. None: the values of the grid are
        such functions themselves.
    context : callable or sequence, optional
        The contexts where `systems` does not yield them: ``context(A, b)``, or one entry for each system.
    x0 : {'previous', 'zero'}, array or None, default 'previous'
        Where the solves start: from the solution before (the first one from ``systems.x0``, where there is such a
        state), from zero, from an array and then from the solution before, or wherever the solver starts by itself.
    param : str or None, default 'omega'
        Keyword of the parameter; None passes no value.
    rtol : float, default 1e-8
        Relative tolerance passed to the solver: ``||b - A x|| <= rtol ||b||``.
    maxiter : int, default 10000
        Largest number of iterations of a solve.
    abort : float, optional
        Give up a solve when it has cost `abort` times (such as 4) the best mean cost, for costs 'nit' and 'time', and
        go on from its iterate with the best other value. The tuner's `max_cost` does so too.
    keep : bool, default False
        Return all solutions as `solutions`.
    solver_options : dict, optional
        Further keywords for the solver.
    time_limit : float, optional
        Seconds for the whole sequence.
    callback : callable, optional
        Called after each system by SciPy's rule, ``callback(intermediate_result=res)`` with ``x``, ``nit``, ``value``,
        ``cost``, ``context`` and ``success``, or ``callback(xk)``; StopIteration ends the sequence.
    verbose : {0, 1, 2}
        Silent, a progress bar, or a line a system through the ``numopt`` logger.

    Returns
    -------
    res : OptimizeResult
        ``x`` (last solution), ``nit`` (systems solved), and with one entry for each system ``costs``, ``iterations``
        (-1 where the solver does not tell), ``chosen`` (the values), ``contexts``, ``successes``, ``statuses`` and
        ``residuals`` (relative, NaN where the solver does not tell); ``time``, of which ``solve_time`` in the solver
        and ``tuning_time`` in the tuner and around it (the rest made the systems); ``success`` if every system was
        solved, ``status`` the worst one, ``message``; on request ``solutions``.

    Raises
    ------
    TypeError, ValueError
        For arguments of a wrong kind or out of range. An exception of the solver is taken as the failure of the value
        and the next best one is tried; it is raised if every value fails on one system.

    Notes
    -----
    With method 'hedge' each system is solved with every value, by 'sor' in one batch; the cost charged is that of the
    value drawn. No work on the matrices is added: the cost of the tuner is some 10 microseconds a system.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.problems import SystemSequence
    >>> from numopt.tuning import BanditTuner, solve_sequence
    >>> tuner = BanditTuner(np.linspace(1, 1.9, 10), method="chebcb", context_bounds=(-0.15, 0.65), rng=0)
    >>> res = solve_sequence(SystemSequence.shifted_laplacian(n_steps=200), tuner)
    >>> res.success, res.nit, len(res.costs)
    (True, 200, 200)
    """
    if not isinstance(tuner, BanditTuner):
        raise TypeError(f"`tuner` must be a BanditTuner, got {tuner!r} of type {type(tuner).__name__}.")
    if isinstance(systems, str) or not isinstance(systems, Iterable):
        raise TypeError(f"`systems` must be an iterable of (A, b), got {type(systems).__name__}.")
    limits = {
        "rtol": check_scalar(rtol, "rtol", low=0),
        "maxiter": check_scalar(maxiter, "maxiter", kind=int, low=1),
    }
    if abort is not None:
        abort = check_scalar(abort, "abort", low=1)
    if time_limit is not None:
        time_limit = check_scalar(time_limit, "time_limit", low=0)
    stop = wrap_callback(callback)
    starts = Starts(x0, getattr(systems, "x0", None))
    call = Solver(solver, param, solver_options or {}, limits)
    path = _Path(tuner, call, abort, Deadline(time_limit))
    total = len(systems) if isinstance(systems, Sized) else None
    status: Status | None = None
    with Progress(check_verbose(verbose), "solve_sequence", total) as progress:
        for item in items(systems, context, starts):
            if path.deadline.expired():
                status = Status.TIME_LIMIT
                break
            done, seconds = stopwatch(path.solve, item)
            if path.deadline.expired() and done.outcome.status is Status.TIME_LIMIT:
                status = Status.TIME_LIMIT  # the system at hand has no answer
                break
            path.add(item, done, seconds, keep)
            starts.state = path.x
            if progress.verbose:
                progress.update(len(path.costs), {"cost": done.cost, "mean": sum(path.costs) / len(path.costs)})
            if stop is not None and stop(path.intermediate()):
                status = Status.CALLBACK
                break
    return path.result(status, rtol, keep)


class _Path:
    """The systems solved so far."""

    def __init__(self, tuner: BanditTuner, solver: Solver, abort: float | None, deadline: Deadline) -> None:
        self.tuner = tuner
        self.solver = solver
        self.abort = abort
        self.deadline = deadline
        self.x: Any = None
        self.solve_time = self.tuning_time = 0.0
        self.costs: list[float] = []
        self.iterations: list[int] = []
        self.values: list[Any] = []
        self.contexts: list[Any] = []
        self.statuses: list[Status] = []
        self.residuals: list[float] = []
        self.solutions: list[Any] = []

    def solve(self, item: Item) -> Attempt:
        """Solve one system as the tuner says."""

        def cost_of(outcome: Outcome) -> float:
            kind = self.tuner.cost
            work = self.solver.work(item.A, outcome.nit) if kind == "flops" else None
            return measure(kind, outcome.result, outcome.seconds, work)

        def run(value: Any, start: Any, budget: float) -> Any:
            x0 = item.x0 if start is None else start
            return self.solver(item.A, item.b, x0, value, **self._limits(budget))

        if self.tuner.method != "hedge":
            return attempt(self.tuner, item.context, run, cost_of, self.abort)
        if self.solver.name == "sor" and self.tuner.cost == "nit" and self.deadline.time_limit is None:
            batch = Batch(self.solver, item.A, item.b, item.x0, self.tuner.grid)
            done = attempt_all(self.tuner, item.context, lambda value, start, budget: batch.answer(value), cost_of)
            return done._replace(seconds=batch.seconds)
        return attempt_all(self.tuner, item.context, run, cost_of)

    def _limits(self, budget: float) -> dict[str, Any]:
        """Return the limits of one solve."""
        limits: dict[str, Any] = {}
        if self.tuner.cost == "nit" and not math.isinf(budget) and self.solver.takes("maxiter"):
            limits["maxiter"] = ceiling(budget, self.solver.maxiter)
        seconds = self.deadline.remaining()
        if self.tuner.cost == "time":
            seconds = min(seconds, budget)
        if not math.isinf(seconds) and self.solver.takes("time_limit"):
            limits["time_limit"] = seconds
        return limits

    def add(self, item: Item, done: Attempt, seconds: float, keep: bool) -> None:
        """Record what came of a system."""
        if done.outcome.solved or self.x is None or self._usable(done.outcome.x):
            self.x = done.outcome.x
        self.solve_time += done.seconds
        self.tuning_time += seconds - done.seconds
        self.costs.append(done.cost)
        self.iterations.append(done.nit)
        self.values.append(done.value)
        self.contexts.append(item.context)
        self.statuses.append(done.outcome.status)
        self.residuals.append(done.outcome.residual)
        if keep:
            self.solutions.append(done.outcome.x)

    @staticmethod
    def _usable(x: Any) -> bool:
        xp = namespace(x)
        return bool(xp.all(xp.isfinite(x)))

    def intermediate(self) -> OptimizeResult:
        """Return what a callback gets."""
        return make_result(
            {
                "x": self.x,
                "nit": len(self.costs),
                "value": self.values[-1],
                "cost": self.costs[-1],
                "context": self.contexts[-1],
                "success": self.statuses[-1] is Status.CONVERGED,
                "time": self.deadline.elapsed(),
            }
        )

    def result(self, status: Status | None, rtol: float, keep: bool) -> OptimizeResult:
        """Return the answer."""
        unsolved = [k for k, own in enumerate(self.statuses) if own is not Status.CONVERGED]
        if status is None:
            numbers = [int(own) for own in self.statuses] or [0]
            status = Status(min(numbers) if min(numbers) < 0 else max(numbers))
        residuals = np.array(self.residuals)
        fields = {
            "x": self.x,
            "nit": len(self.costs),
            "costs": np.array(self.costs),
            "iterations": np.array(self.iterations, dtype=np.int64),
            "chosen": _column(self.values),
            "contexts": _column(self.contexts),
            "successes": np.array([own is Status.CONVERGED for own in self.statuses], dtype=bool),
            "statuses": np.array([int(own) for own in self.statuses], dtype=np.int64),
            "residuals": residuals,
            "status": status,
            "message": self._message(status, unsolved, residuals, rtol),
            "time": self.deadline.elapsed(),
            "solve_time": self.solve_time,
            "tuning_time": self.tuning_time,
        }
        if keep:
            fields["solutions"] = self.solutions
        return make_result(fields)

    def _message(self, status: Status, unsolved: list[int], residuals: Any, rtol: float) -> str:
        if self.solver.name is not None and residuals.size and not np.isnan(residuals).all():
            name, value, tol = "largest relative residual", float(np.nanmax(residuals)), rtol
        else:
            name, value, tol = "share of unsolved systems", len(unsolved) / max(len(self.costs), 1), 0.0
        detail = None
        if unsolved:
            first = unsolved[0]
            detail = (
                f"{len(unsolved)} of {len(self.costs)} systems were not solved, the first of them number {first} "
                f"({self.statuses[first].name})"
            )
        count = len(self.costs)
        return outcome_message(status, measure_name=name, value=value, tol=tol, nit=count, unit="system", detail=detail)


def _column(values: list[Any]) -> Any:
    """Return numbers as an array, anything else as the list."""
    if values and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return np.array(values)
    return values
