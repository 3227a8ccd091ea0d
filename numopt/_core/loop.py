"""The iteration loop, written once: a solver gives `step` and `measure`."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from scipy.optimize import OptimizeResult

from numopt._core.callback import wrap_callback
from numopt._core.history import History
from numopt._core.progress import Progress
from numopt._core.result import make_result
from numopt._core.status import Status
from numopt._core.timer import Deadline
from numopt._typing import Array


@dataclass(slots=True)
class Measure:
    """The numbers of one iterate.

    `value` is compared with `tol` and recorded under `name`; `fields` are further numbers to record; `arrays` is called
    only when a callback wants an intermediate result, and must return copies (at least "x").
    """

    value: float
    fun: float | None = None
    fields: Mapping[str, float] = field(default_factory=dict)
    name: str = "measure"
    arrays: Callable[[], Mapping[str, Array]] = dict

    def numbers(self) -> dict[str, float]:
        """Return the stopping measure first, then the objective, where there is one, and the further numbers."""
        objective = {} if self.fun is None else {"fun": self.fun}
        return {self.name: self.value, **objective, **self.fields}

    def intermediate(self) -> OptimizeResult:
        """Return what a callback gets."""
        return make_result({**self.arrays(), **self.numbers()})


@dataclass(frozen=True, slots=True)
class LoopOutcome:
    """Why the loop ended, after how many completed steps, and the seconds it took."""

    status: Status
    nit: int
    seconds: float


class Saver(Protocol):
    """What the loop asks of a checkpoint: `numopt._core.checkpoint.Checkpoint` has it."""

    @property
    def nit(self) -> int: ...  # steps already done by the run that is resumed

    def save(self, nit: int, *, force: bool = False) -> None: ...


def run(
    step: Callable[[], Status | None],
    measure: Callable[[], Measure],
    *,
    tol: float,
    maxiter: int,
    time_limit: float | Deadline | None = None,
    callback: Callable[..., Any] | None = None,
    history: History | None = None,
    progress: Progress | None = None,
    check_every: int = 1,
    checkpoint: Saver | None = None,
) -> LoopOutcome:
    """Iterate `step` until `measure().value <= tol`, a limit, the callback or `step` itself ends it.

    Each round measures, records, tests for convergence and the limits, calls the callback, saves a checkpoint when one
    is due, and takes `check_every` steps. A step returns None to go on or the Status that ends the loop; such a last
    step is not counted in `nit`. A NaN measure ends with NONFINITE (an infinite one does not: a duality gap may start
    there). Exceptions, KeyboardInterrupt among them, propagate. `time_limit` may be a running `Deadline` that the
    solver shares with its inner loops.
    """
    deadline = Deadline.of(time_limit)
    stop = wrap_callback(callback)
    nit = 0 if checkpoint is None else checkpoint.nit
    while True:
        current = measure()
        if history is not None:
            history.append(nit=nit, **current.numbers(), seconds=deadline.elapsed())
        if progress is not None and progress.verbose:
            progress.update(nit, current.numbers())
        status = _verdict(current, tol, nit, maxiter, deadline)
        if status is None and stop is not None:
            intermediate = current.intermediate()
            intermediate.update(nit=nit, time=deadline.elapsed())
            if stop(intermediate):
                status = Status.CALLBACK
        if checkpoint is not None:
            checkpoint.save(nit, force=status is not None)
        if status is not None:
            return LoopOutcome(status, nit, deadline.elapsed())
        for _ in range(min(check_every, maxiter - nit)):
            status = step()
            if status is not None:
                return LoopOutcome(status, nit, deadline.elapsed())
            nit += 1
            if deadline.expired():
                break


def _verdict(current: Measure, tol: float, nit: int, maxiter: int, deadline: Deadline) -> Status | None:
    """Return the status that the numbers and limits give, None to go on."""
    if math.isnan(current.value):
        return Status.NONFINITE
    if current.value <= tol:
        return Status.CONVERGED
    if nit >= maxiter:
        return Status.MAXITER
    if deadline.expired():
        return Status.TIME_LIMIT
    return None
