"""The family of linear systems and sequences of them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from numopt.bench._plots import Figure
from numopt.bench._records import Record, digits
from numopt.bench._tables import Table, duration, median, residual, solvers_of
from numopt.bench.families._base import Card, Family
from numopt.bench.families.linear import _tables
from numopt.bench.families.linear._judge import SLACK, judge
from numopt.bench.peers import Settings, Solver
from numopt.bench.peers import _linear as linear
from numopt.problems import LinearSystem, SystemSequence

TINY_STEPS = 3


class Linear(Family[linear.Task, linear.Solutions]):
    """Linear systems: solved when the worst relative residual, recomputed, is below the level that was asked for."""

    name = "linear"
    levels = ("1e-4", "1e-6", "1e-8")

    def describe(self, problem: linear.Task) -> dict[str, Any]:
        return problem.describe()

    def warm_up(self, problem: linear.Task, solver: Solver[linear.Task, linear.Solutions], settings: Settings) -> None:
        """Do something tiny of the same kind."""
        task = tiny(problem)
        solver.set_problem(task.to_gpu() if settings.device == "gpu" else task, settings)  # type: ignore[attr-defined]
        solver.run()

    def judge(self, problem: linear.Task, found: linear.Solutions, placed: linear.Task) -> dict[str, Any]:
        verdict = judge(problem, found, placed)
        error = verdict.pop("error")
        return {
            "solved": {level: error <= SLACK * float(level) for level in self.levels},
            "error": digits(error),
            **verdict,
        }

    def progress(self, record: Record) -> str:
        if record.get("sweeps") is not None:
            return f"{record['sweeps']} sweeps"
        return f"residual {residual(record.get('error'))}"

    def headline(self, records: Sequence[Record]) -> str:
        return _tables.headline(records)

    def tables(self, records: Sequence[Record]) -> list[Table]:
        return _tables.tables(records)

    def cards(self, records: Sequence[Record]) -> list[Card]:
        cards = []
        for solver in solvers_of(records):
            own = [record for record in records if record["solver"] == solver]
            done = [record for record in own if _tables.is_done(record)]
            time = duration(median(record["seconds"] for record in done))
            cards.append(Card(solver, len(done), len(own), f"median time {time}"))
        return cards

    def documented(self, records: Sequence[Record]) -> list[Figure]:
        from numopt.bench.families.linear._plots import documented

        return documented(records)

    def figures(self, records: Sequence[Record]) -> list[Figure]:
        from numopt.bench.families.linear._plots import figures

        return figures(records)


def tiny(problem: linear.Task) -> linear.Task:
    """A task of the same kind that takes no time."""
    if isinstance(problem, linear.Solve):
        return replace(problem, system=LinearSystem.poisson(6), n=36)
    if isinstance(problem, linear.Sweeps):
        return replace(problem, system=LinearSystem.poisson(6), n=36, count=TINY_STEPS)
    if isinstance(problem, linear.Batch):
        return replace(problem, matrices=problem.matrices[:TINY_STEPS], rhs=problem.rhs[:TINY_STEPS])
    assert isinstance(problem, linear.Steps)
    if problem.kind == "spilu":
        sequence = SystemSequence.convection_diffusion(8, TINY_STEPS)
    elif problem.sequence.x0 is None:
        sequence = SystemSequence.shifted_laplacian("low", TINY_STEPS)
    else:
        make = SystemSequence.variable_heat if problem.sequence.grid_shape is None else SystemSequence.heat
        sequence = make(8, TINY_STEPS)
    omegas = None if problem.omegas is None else problem.omegas[:TINY_STEPS]
    return replace(problem, sequence=sequence, n=sequence.n, start=0, omegas=omegas)


FAMILY = Linear()
