"""The family of optimal transport problems."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from numopt.bench._plots import Figure
from numopt.bench._records import Record, digits
from numopt.bench._tables import Table, duration, median, residual, solvers_of
from numopt.bench.families._base import Card, Family
from numopt.bench.families.transport import _tables
from numopt.bench.families.transport._judge import judge
from numopt.bench.peers import Coupling, Settings, Solver
from numopt.problems import TransportProblem


class Transport(Family[TransportProblem, Coupling]):
    """Entropic transport: solved when the L1 error of both marginals together is below the level that was asked for."""

    name = "transport"
    levels = ("1e-4", "1e-6", "1e-9", "1e-12")

    def describe(self, problem: TransportProblem) -> dict[str, Any]:
        return {"n": problem.n, "m": problem.m, "source": problem.source, "reg": problem.reg}

    def warm_up(
        self, problem: TransportProblem, solver: Solver[TransportProblem, Coupling], settings: Settings
    ) -> None:
        """Solve a tiny problem of the same form."""
        tiny = TransportProblem.points(12, reg=0.05, dense=problem.C is not None)
        solver.set_problem(tiny.to_gpu() if settings.device == "gpu" else tiny, settings)
        solver.run()

    def judge(self, problem: TransportProblem, found: Coupling, placed: TransportProblem) -> dict[str, Any]:
        verdict = judge(problem, found.plan, found.f, found.g)
        return {
            "solved": {level: verdict.error <= float(level) for level in self.levels},
            **{name: None if value is None else digits(value) for name, value in asdict(verdict).items()},
            "value": verdict.value,
        }

    def progress(self, record: Record) -> str:
        return f"error {residual(record.get('error'))}"

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
        from numopt.bench.families.transport._plots import path_figures

        return path_figures(records)

    def figures(self, records: Sequence[Record]) -> list[Figure]:
        from numopt.bench.families.transport._plots import figures

        return figures(records)


FAMILY = Transport()
