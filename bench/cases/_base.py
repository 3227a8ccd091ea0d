"""What a benchmark case is."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from numopt.bench import peers
from numopt.bench._judge import judge
from numopt.bench._machine import without_paths
from numopt.bench._run import TOLERANCES, Run
from numopt.problems import Counters, Problem

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

    `plan` is called in the runner; `setup`, `warm_up`, `run` and `result` in the worker process of each run.
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
    def setup(self, run: Run) -> Problem:
        """Load or build the problem of a run."""

    def place(self, run: Run, problem: Problem) -> Problem:
        """Move the problem to the device of the run; the bench judges by the one that `setup` gave."""
        return problem

    def settings(self, run: Run) -> peers.Settings:
        """What the solver is told about the run."""
        return peers.Settings(time_limit=run.time_limit, seed=run.seed, threads=run.threads, options=run.options)

    def warm_up(self, run: Run, problem: Problem, solver: peers.Solver) -> None:
        """Load what a first call loads: every callback once, and the solver with its kernels on a tiny problem."""
        touch(problem)
        solver.set_problem(Tiny(), self.settings(run))
        solver.run()

    def run(self, solver: peers.Solver) -> None:
        """Solve: the timed part."""
        solver.run()

    def result(self, problem: Problem, solver: peers.Solver, counters: Counters) -> dict[str, Any]:
        """What the solver found with `counters` evaluations, judged by the bench on the host."""
        counts = asdict(counters)
        found = solver.get_result()
        verdict = judge(problem, found.x, found.lam)
        return {
            "success": found.success,
            "outcome": found.outcome,
            "message": without_paths(found.message),
            "solved": {level: verdict.kkt <= float(level) for level in TOLERANCES},
            **asdict(verdict),
            "f_opt": problem.f_opt,
            "nit": found.nit,
            "inner_nit": found.inner_nit,
            "evaluation_seconds": float(f"{counts.pop('seconds'):.5g}"),
            "counts": counts,
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


class Tiny(Problem):
    """min (x1 - 2)^2 + x2^2 + x1 x2 subject to x1^2 + x2^2 = 2: what a solver is warmed up on."""

    def __init__(self) -> None:
        super().__init__(name="warm-up", x0=[1.5, 0.5], m=1, cl=[2.0], cu=[2.0], source="numopt.bench")

    def _fun(self, x: NDArray[np.float64]) -> float:
        return float((x[0] - 2.0) ** 2 + x[1] ** 2 + x[0] * x[1])

    def _grad(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([2.0 * (x[0] - 2.0) + x[1], 2.0 * x[1] + x[0]])

    def _cons(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([x @ x])

    def _jac(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        jacobian: NDArray[np.float64] = 2.0 * x[None, :]
        return jacobian

    def _lag_hess(self, x: NDArray[np.float64], lam: NDArray[np.float64], obj_weight: float) -> NDArray[np.float64]:
        hessian: NDArray[np.float64] = obj_weight * np.array([[2.0, 1.0], [1.0, 2.0]]) + 2.0 * lam[0] * np.eye(2)
        return hessian


def touch(problem: Problem) -> None:
    """Evaluate every callback once at the start, so that patterns and kernels exist before the clock starts."""
    x = problem.x0
    problem.fun_grad(x)
    problem.cons(x)
    problem.jac(x)
    problem.jac_structure()
    problem.hess_structure()
    problem.lag_hess(x, problem.y0)
    problem.reset_counters()


def initial_kkt(problem: Problem) -> float:
    """||(grad f + J' y0, c)|| at the starting point, which identifies a problem better than its name."""
    with np.errstate(all="ignore"):
        stationarity = problem.grad(problem.x0)
        if problem.m == 0:
            return float(np.linalg.norm(stationarity))
        stationarity = stationarity + problem.vjp(problem.x0, problem.y0)
        residual = problem.cons(problem.x0) - problem.cu
    kkt0 = math.hypot(float(np.linalg.norm(stationarity)), float(np.linalg.norm(residual)))
    problem.reset_counters()
    return kkt0


def chosen(available: Sequence[str], requested: Sequence[str] | None, what: str) -> list[str]:
    """The requested names, checked, or all."""
    if requested is None:
        return list(available)
    for name in requested:
        if name not in available:
            raise ValueError(f"no {what} {name!r} here; there are {', '.join(available)}.")
    return [name for name in available if name in requested]
