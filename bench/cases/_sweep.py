"""Time to an accuracy: every solver is run at a sweep of its own tolerances, each time from nothing.

A solver's tolerance says little about the error of its objective, so that times are compared at equal errors: those of
the loosest tolerance whose answer is accurate enough. Optima are not known beforehand; the report takes the best
objective of all runs, and the duality gaps, which the bench works out too, say how far off that can be.
"""

import math
import statistics
import time
from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any

from numopt.bench import _machine, families, peers
from numopt.bench._records import digits
from numopt.bench._run import Run
from numopt.bench.cases._base import Case
from numopt.bench.peers import _coordinate as coordinate

TOLERANCES = tuple(10.0**-k for k in range(2, 13))

ACCURATE = 1e-11
"""Certified relative error at which the sweep ends: below the tightest level of the report."""

LONG = 0.5
"""Seconds of a solve that is not repeated: the clock is good enough for it."""

START = 3
"""Values of a path that the warm-up solves."""

GROWTH = 3.0
"""A solve may take so much longer than the one before; a sweep ends before one that might not fit into its time."""

SHARE = 0.5
"""Part of the time limit that a sweep may take: the rest is for a last solve that takes longer than foreseen."""


@dataclass
class _Point:
    """What the runs at one tolerance gave."""

    tol: float
    verdict: dict[str, Any]
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


class Sweep(Case):
    """A case of `coordinate.Task` problems whose runs are sweeps. Only the solves are timed, each by itself.

    The repetitions of a run repeat the short solves of the sweep; medians are taken for each tolerance.
    """

    def setup(self, run: Run) -> coordinate.Task:
        self._task = self.build(run)
        return self._task

    @abstractmethod
    def build(self, run: Run) -> coordinate.Task:
        """Load or build the problem of a run."""

    def settings(self, run: Run) -> peers.Settings:
        """Those of a run, with a tolerance for the tiny problem of the warm-up."""
        return replace(super().settings(run), tol=TOLERANCES[len(TOLERANCES) // 2])

    def warm_up(self, run: Run, problem: Any, solver: peers.Solver[Any, Any]) -> None:
        """Solve something tiny, and the problem itself to the loosest tolerance; begin an empty sweep."""
        super().warm_up(run, problem, solver)
        self._placed, self._settings = problem, self.settings(run)
        self._points: dict[float, _Point] = {}
        self._found: Any = None
        self._solve(solver, TOLERANCES[0], START)

    def run(self, solver: peers.Solver[Any, Any]) -> None:
        first = not self._points
        for tol in self._tolerances(solver) if first else self._short():
            seconds, cpu = self._solve(solver, tol)
            if first:
                found = solver.get_result()
                verdict = families.get("coordinate").judge(self._task, found, self._placed)
                self._points[tol] = _Point(tol, {**verdict, "success": found.success, "nit": found.nit})
                self._found = found
            self._points[tol].seconds.append(seconds)
            self._points[tol].cpu.append(cpu)
            if first and (_certified(self._points[tol].verdict) or self._spent() + GROWTH * seconds > self._budget()):
                break

    def result(self, run: Run, problem: Any, solver: peers.Solver[Any, Any], placed: Any) -> dict[str, Any]:
        """The last answer, judged, and the columns of the sweep."""
        points = list(self._points.values())
        found, verdict = self._found, points[-1].verdict
        columns: dict[str, list[Any]] = {
            "tol": [point.tol for point in points],
            "seconds": [digits(statistics.median(point.seconds)) for point in points],
            "fastest": [digits(min(point.seconds)) for point in points],
            "slowest": [digits(max(point.seconds)) for point in points],
            "cpu_seconds": [digits(statistics.median(point.cpu)) for point in points],
        }
        for name in ("fun", "gap", "kkt", "error", "n_active", "nit", "success"):
            columns[name] = [point.verdict[name] for point in points]
        return {
            **verdict,
            "success": found.success,
            "outcome": found.outcome,
            "message": _machine.without_paths(found.message),
            "nit": found.nit,
            "inner_nit": found.inner_nit,
            **found.extra,
            "sweep": columns,
        }

    def _solve(self, solver: peers.Solver[Any, Any], tol: float, values: int | None = None) -> tuple[float, float]:
        """Seconds and seconds of the processor of one solve from nothing, or of the first values of a path."""
        problem = self._placed
        solver.set_problem(replace(problem, path=problem.path[:values]), replace(self._settings, tol=tol))
        wait = _machine.synchronize if self._settings.device == "gpu" else _nothing
        wait()
        used, start = time.process_time(), time.perf_counter()
        solver.run()
        wait()
        return time.perf_counter() - start, time.process_time() - used

    def _tolerances(self, solver: peers.Solver[Any, Any]) -> tuple[float, ...]:
        """A solver without a tolerance is run once."""
        return TOLERANCES if getattr(solver, "has_tol", True) else TOLERANCES[-1:]

    def _short(self) -> list[float]:
        """The tolerances whose solves are repeated."""
        return [tol for tol, point in self._points.items() if min(point.seconds) < LONG]

    def _spent(self) -> float:
        return sum(sum(point.seconds) for point in self._points.values())

    def _budget(self) -> float:
        return SHARE * self._settings.time_limit


def _certified(verdict: dict[str, Any]) -> bool:
    """Whether no tighter tolerance can change what the report shows."""
    if not math.isnan(verdict["error"]):
        return bool(verdict["error"] <= ACCURATE)
    fun = verdict["fun"]
    scale = min(map(abs, fun)) if isinstance(fun, list) else abs(fun)
    return bool(verdict["gap"] <= ACCURATE * scale)


def _nothing() -> None:
    return
