"""What a solver of linear systems is given, one system, some sweeps or a sequence, and what it gives back."""

import itertools
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numopt.bench._records import digits
from numopt.bench.peers._base import Outcome, Settings, Solver, UnsuitableProblemError
from numopt.problems import LinearSystem, SystemSequence

Vector = NDArray[np.float64]

MAXITER = 100_000
"""Iterations are limited by the time alone."""

RTOL = 1e-8
POINTS = 250
"""Steps of a sequence at which its path is kept for the figures."""


@dataclass(frozen=True, eq=False)
class Task:
    """What a run is about."""

    name: str
    source: str
    n: int
    nnz: int

    def describe(self) -> dict[str, Any]:
        """What the record tells of it."""
        return {"n": self.n, "m": self.n, "nnz": self.nnz, "source": self.source}


@dataclass(frozen=True, eq=False)
class Solve(Task):
    """One system from zero to the tolerance of the settings."""

    system: LinearSystem

    def to_gpu(self) -> "Solve":
        return replace(self, system=_on_gpu(self.system))


@dataclass(frozen=True, eq=False)
class Sweeps(Task):
    """A number of sweeps of SOR from zero."""

    system: LinearSystem
    omega: float
    count: int

    def to_gpu(self) -> "Sweeps":
        return replace(self, system=_on_gpu(self.system))

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "omega": self.omega, "sweeps": self.count}


@dataclass(frozen=True, eq=False)
class Steps(Task):
    """A sequence of systems from its step `start` on.

    Where the sequence has a state before the first step, every solve starts at the solution of the step before; else
    from zero. `omegas` prescribes the parameter of each step (then the sequence is no sequence but a scan), `method` is
    the solver whose parameter is tuned, `arms` are the values that a tuner may choose from, `bins` the cells of a tuner
    with a discretised context.
    """

    sequence: SystemSequence
    start: int = 0
    omegas: Vector | None = None
    method: str = "ssor-cg"
    arms: Sequence[Any] = ()
    bins: int = 5
    maxiter: int = MAXITER
    spilu: float | None = None
    scan: str | None = None
    """Which quantities of theory the bench computes for each step of a scan."""

    @property
    def steps(self) -> int:
        return len(self.sequence) - self.start

    def __iter__(self) -> Iterator[Any]:
        return itertools.islice(iter(self.sequence), self.start, None)

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "steps": self.steps, "kind": self.kind}

    @property
    def kind(self) -> str:
        return "scan" if self.omegas is not None else "spilu" if self.spilu is not None else "sequence"

    def thinned(self) -> list[int]:
        """Numbers of the steps (from 1) that a path shows."""
        count = min(POINTS, self.steps)
        return [math.ceil((k + 1) * self.steps / count) for k in range(count)]


@dataclass(frozen=True, eq=False)
class Batch(Task):
    """Independent small systems of one pattern, all given at once: one of SOR's parameters for all."""

    matrices: Any
    rhs: Any
    omega: float

    def to_gpu(self) -> "Batch":
        import cupy

        if not isinstance(self.matrices, list | tuple):
            return self  # a part of a batch that is there already
        dense = np.stack([A.toarray() for A in self.matrices])
        return replace(self, matrices=cupy.asarray(dense), rhs=cupy.asarray(self.rhs))

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "omega": self.omega, "steps": int(self.rhs.shape[0]), "kind": "batch"}


@dataclass(kw_only=True)
class Solutions(Outcome):
    """The solutions, one for each step (one alone for a single system), in the form that the solver has them.

    `nits` counts the iterations of each step, `chosen` are the values of the tuned parameter.
    """

    solutions: Sequence[Any]
    nits: Sequence[int] | None = None
    chosen: Sequence[float] | None = None


class LinearSolver(Solver[Task, Solutions]):
    """An adapter for linear systems; `kinds` are the tasks that it can be given."""

    kinds: tuple[type[Task], ...] = (Solve,)

    def set_problem(self, problem: Task, settings: Settings) -> None:
        if not isinstance(problem, self.kinds):
            raise UnsuitableProblemError(f"{self.name} does no {type(problem).__name__.lower()}.")
        self.task = problem
        self.settings = settings
        self.rtol = settings.tol or RTOL
        self.prepare()

    def prepare(self) -> None:
        """Do what is no part of the solve."""
        return


@dataclass
class Log:
    """What a march leaves: solutions, counts, values of the parameter."""

    solutions: list[Any] = field(default_factory=list)
    nits: list[int] = field(default_factory=list)
    chosen: list[float] = field(default_factory=list)

    def outcome(self, task: Task, **extra: Any) -> Solutions:
        steps = task.steps if isinstance(task, Steps) else 1
        complete = len(self.solutions) == steps
        return Solutions(
            solutions=self.solutions,
            nits=self.nits,
            chosen=self.chosen or None,
            success=complete,
            outcome="complete" if complete else "stopped",
            message="all systems solved" if complete else f"{len(self.solutions)} of {steps} systems solved",
            nit=sum(self.nits),
            extra=extra,
        )


class Marching(LinearSolver):
    """An adapter that takes one system of a task after the other.

    The right-hand side of a time step is formed on the clock, the same way for every solver.
    """

    kinds: tuple[type[Task], ...] = (Solve, Steps)

    @abstractmethod
    def step(self, A: Any, b: Any, x0: Any, context: float | None, omega: float | None) -> tuple[Any, int]:
        """Solve one system and count the iterations."""

    def run(self) -> None:
        self.log = log = Log()
        task = self.task
        if isinstance(task, Solve):
            x, nit = self.step(task.system.A, task.system.b, None, None, None)
            log.solutions.append(x)
            log.nits.append(nit)
            return
        assert isinstance(task, Steps)
        march(task, self.step, log)

    def get_result(self) -> Solutions:
        return self.log.outcome(self.task)


def march(task: Steps, step: Callable[..., tuple[Any, int]], log: Log) -> None:
    """Solve the systems of a sequence in turn."""
    x = task.sequence.x0
    warm = x is not None
    omegas: Any = itertools.repeat(None) if task.omegas is None else task.omegas
    for (A, b, context), omega in zip(task, omegas, strict=False):
        x, nit = step(A, b(x) if callable(b) else b, x if warm else None, context, omega)
        log.solutions.append(x)
        log.nits.append(nit)


def path(task: Steps, found: Solutions, contexts: Sequence[float | None]) -> dict[str, list[float]]:
    """Iterations up to some of the steps, the context and what was chosen there."""
    at = task.thinned()
    kept: dict[str, list[float]] = {"step": list(at)}
    if found.nits is not None:
        total = np.cumsum(found.nits)
        kept["iterations"] = [int(total[k - 1]) for k in at]
    for name, values in (("context", contexts), ("chosen", found.chosen or ())):
        numbers = [v for k in at if values and (v := values[k - 1]) is not None]
        if len(numbers) == len(at):
            kept[name] = [digits(float(value)) for value in numbers]
    return kept


def _on_gpu(system: LinearSystem) -> LinearSystem:
    import cupy
    from cupyx.scipy import sparse

    return replace(system, A=sparse.csr_matrix(system.A), b=cupy.asarray(system.b))
