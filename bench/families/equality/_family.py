"""The family of equality-constrained programs."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numopt.bench._plots import Figure
from numopt.bench._records import Record, digits
from numopt.bench._tables import Table, duration, is_race, median, residual, solvers_of
from numopt.bench.families._base import Card, Family
from numopt.bench.families.equality import _tables
from numopt.bench.families.equality._judge import judge
from numopt.bench.families.equality._trace import Trace
from numopt.bench.peers import Point, Settings, Solver
from numopt.problems import Problem


class Equality(Family[Problem, Point]):
    """Minimise f subject to c(x) = 0: solved when the recomputed KKT norm is below a level."""

    name = "equality"
    levels = _tables.LEVELS

    def describe(self, problem: Problem) -> dict[str, Any]:
        return {"n": problem.n, "m": problem.m, "source": problem.source, "kkt0": initial_kkt(problem)}

    def warm_up(self, problem: Problem, solver: Solver[Problem, Point], settings: Settings) -> None:
        """Call every callback once, and the solver with its kernels on a tiny problem."""
        touch(problem)
        solver.set_problem(Tiny(), settings)
        solver.run()

    def reset(self, problem: Problem) -> None:
        problem.reset_counters()

    def watch(self, problem: Problem) -> Trace | None:
        return Trace(problem) if Trace.suits(problem) else None

    def judge(self, problem: Problem, found: Point, placed: Problem) -> dict[str, Any]:
        counts = asdict(placed.counters)
        verdict = judge(problem, found.x, found.lam)
        return {
            "solved": {level: verdict.kkt <= float(level) for level in self.levels},
            **asdict(verdict),
            "f_opt": problem.f_opt,
            "evaluation_seconds": digits(counts.pop("seconds")),
            "counts": counts,
        }

    def progress(self, record: Record) -> str:
        return f"KKT {residual(record.get('kkt'))}"

    def headline(self, records: Sequence[Record]) -> str:
        return _tables.headline(records)

    def tables(self, records: Sequence[Record]) -> list[Table]:
        return self._tables(records, _tables.problems(records))

    def page_tables(self, records: Sequence[Record]) -> list[Table]:
        return self._tables(records, _tables.marked_problems(records))

    def _tables(self, records: Sequence[Record], problems: Table) -> list[Table]:
        shown = [_tables.summary(records), *_tables.against_published(records), problems]
        return [*shown, _tables.accuracy(records)] if is_race(records) else shown

    def cards(self, records: Sequence[Record]) -> list[Card]:
        grid = _tables.cells(records)
        cards = []
        for solver in solvers_of(records):
            column = [row[solver] for row in grid.values() if solver in row]
            done = [cell for cell in column if cell.done]
            time = duration(median(cell.median("seconds") for cell in done))
            cards.append(Card(solver, len(done), len(column), f"median time {time}"))
        return cards

    def figures(self, records: Sequence[Record]) -> list[Figure]:
        from numopt.bench.families.equality._plots import figures

        return figures(records)


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


FAMILY = Equality()
