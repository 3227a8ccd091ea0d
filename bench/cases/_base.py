"""What a benchmark case is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from numopt.bench import families, peers
from numopt.bench._machine import without_paths
from numopt.bench._run import Run

MEMORY_LIMIT = 8 * 2**30


@dataclass(frozen=True)
class Options:
    """What the command line may change; None leaves the case's own choice."""

    suite: str | None = None
    problems: Sequence[str] | None = None
    solvers: Sequence[str] | None = None
    seeds: Sequence[int] | None = None
    draws: Sequence[int] | None = None
    mode: str = "practical"
    time_limit: float | None = None
    memory_limit: int | None = None
    threads: int | None = None
    repeats: int | None = None
    device: str = "cpu"


class Case(ABC):
    """A set of runs, and the steps of one run. Only `run` is timed.

    `plan` is called in the runner; `setup`, `place`, `warm_up`, `run` and `result` in the worker process of each run.
    What a problem is and how an answer is judged belongs to the family that a run names.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    suites: ClassVar[tuple[str, ...]] = ()
    modes: ClassVar[tuple[str, ...]] = ("practical",)
    devices: ClassVar[tuple[str, ...]] = ("cpu",)

    @abstractmethod
    def plan(self, options: Options) -> list[Run]:
        """List the runs, in the order in which they are to be done."""

    @abstractmethod
    def setup(self, run: Run) -> Any:
        """Load or build the problem of a run, of the kind that its family has."""

    def place(self, run: Run, problem: Any) -> Any:
        """Move the problem to the device of the run; the bench judges by the one that `setup` gave."""
        return problem.to_gpu() if run.device == "gpu" else problem

    def settings(self, run: Run) -> peers.Settings:
        """What the solver is told about the run."""
        return peers.Settings(
            time_limit=run.time_limit,
            tol=float(run.level) if run.level is not None else None,
            seed=run.seed,
            threads=run.threads,
            device=run.device,
            options=run.options,
        )

    def warm_up(self, run: Run, problem: Any, solver: peers.Solver[Any, Any]) -> None:
        """Load what a first call loads."""
        families.get(run.family).warm_up(problem, solver, self.settings(run))

    def run(self, solver: peers.Solver[Any, Any]) -> None:
        """Solve: the timed part."""
        solver.run()

    def result(self, run: Run, problem: Any, solver: peers.Solver[Any, Any], placed: Any) -> dict[str, Any]:
        """What the solver found on `placed`, judged by the bench on `problem` on the host."""
        found = solver.get_result()
        return {
            "success": found.success,
            "outcome": found.outcome,
            "message": without_paths(found.message),
            "nit": found.nit,
            "inner_nit": found.inner_nit,
            **families.get(run.family).judge(problem, found, placed),
            **found.extra,
        }

    def check(self, options: Options) -> None:
        """Refuse options that this case does not have."""
        if options.mode not in self.modes:
            raise ValueError(f"`mode` must be one of {', '.join(self.modes)} for {self.name}; got {options.mode!r}.")
        if options.suite is not None and options.suite not in self.suites:
            known = ", ".join(self.suites) or "(none)"
            raise ValueError(f"`suite` must be one of {known} for {self.name}; got {options.suite!r}.")
        if options.device not in self.devices:
            raise ValueError(
                f"`device` must be one of {', '.join(self.devices)} for {self.name}; got {options.device!r}."
            )


def chosen(available: Sequence[str], requested: Sequence[str] | None, what: str) -> list[str]:
    """The requested names, checked, or all."""
    if requested is None:
        return list(available)
    for name in requested:
        if name not in available:
            raise ValueError(f"no {what} {name!r} here; there are {', '.join(available)}.")
    return [name for name in available if name in requested]
