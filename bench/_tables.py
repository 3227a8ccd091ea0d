"""Tables from recorded runs: the same rows for the terminal, the HTML page and the documentation."""

import functools
import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from numopt.bench._profiles import is_solved
from numopt.bench._records import Record
from numopt.bench._run import TOLERANCES

TIGHT = TOLERANCES[-1]
PAPER = TOLERANCES[0]
CLOSE = 2
"""Outer iterations within which a measured median counts as reproducing a published one."""


RACE_REPEATS = 5


@dataclass(frozen=True)
class Table:
    """A caption, column heads, rows of text, and what has to be known about them."""

    caption: str
    head: list[str]
    rows: list[list[str]]
    note: str = ""


@dataclass(frozen=True)
class Cell:
    """All runs of one solver on one problem (several where it is randomized), by their medians."""

    records: tuple[Record, ...]
    tol: str

    @property
    def runs(self) -> int:
        return len(self.records)

    def solved(self, tol: str | None = None) -> int:
        return sum(is_solved(record, tol or self.tol) for record in self.records)

    def median(self, field: str) -> float | None:
        """Median of a numeric field (dots reach inside mappings) over the runs that have it."""
        values = [value for record in self.records if (value := _field(record, field)) is not None]
        return statistics.median(values) if values else None

    @property
    def status(self) -> str:
        """The outcome that is not "ok", if any."""
        return next((record["status"] for record in self.records if record["status"] != "ok"), "ok")

    def text(self) -> str:
        """Iterations and time when solved, else what was reached."""
        nit, seconds, kkt = self.median("nit"), self.median("seconds"), self.median("kkt")
        if self.solved() == self.runs:
            return f"{number(nit)} / {duration(seconds)}"
        if self.solved():
            return f"{self.solved()} of {self.runs}: {number(nit)} / {duration(seconds)}"
        return f"({residual(kkt)})" if kkt is not None else self.status


def _field(record: Mapping[str, Any], field: str) -> float | None:
    value: Any = record
    for part in field.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def number(value: float | None) -> str:
    """A count, with a decimal only where a median falls between two."""
    return "-" if value is None else f"{value:g}" if value < 1e6 else f"{value:.1e}"


def duration(seconds: float | None) -> str:
    """Seconds in a unit that keeps three digits."""
    if seconds is None:
        return "-"
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    if seconds < 1.0:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.3g} s"


def residual(value: float | None) -> str:
    """A residual to one decimal."""
    return "-" if value is None else f"{value:.1e}"


def default_tol(records: Sequence[Record]) -> str:
    """The level at which a set of runs is judged: the paper's for its mode, the tightest otherwise."""
    return PAPER if records and all(record["mode"] == "paper" for record in records) else TIGHT


def cells(records: Iterable[Record], tol: str | None = None) -> dict[str, dict[str, Cell]]:
    """Group records by problem, then solver, in the order of appearance."""
    records = list(records)
    level = tol or default_tol(records)
    grouped: dict[str, dict[str, list[Record]]] = {}
    for record in records:
        grouped.setdefault(record["problem"], {}).setdefault(record["solver"], []).append(record)
    return {p: {s: Cell(tuple(found), level) for s, found in row.items()} for p, row in grouped.items()}


ABSENT = ("not available", "not installed")
"""Outcomes that say nothing about a solver: such runs are listed, but not counted."""


def counted(records: Iterable[Record]) -> list[Record]:
    """The records that count: those whose problem and solver were there."""
    return [record for record in records if record["status"] not in ABSENT]


def otherwise(records: Iterable[Record]) -> Table:
    """Runs that did not come back by themselves, equal ones together."""
    found: dict[tuple[str, str, str, str], int] = {}
    for record in records:
        if record["status"] != "ok":
            key = (record["problem"], record["solver"], record["status"], one_line(record.get("message") or ""))
            found[key] = found.get(key, 0) + 1
    rows = [[problem, solver, str(n), status, reason] for (problem, solver, status, reason), n in found.items()]
    return Table("Runs that ended otherwise", ["problem", "solver", "runs", "outcome", "reason"], rows)


def solvers_of(records: Iterable[Record]) -> list[str]:
    """Solvers in the order of appearance."""
    return list(dict.fromkeys(record["solver"] for record in records))


def summary(records: Sequence[Record]) -> Table:
    """One line per solver: how many problems it solved at each level, and its medians on those."""
    tol = default_tol(records)
    grid = cells(records, tol)
    rows = []
    for solver in solvers_of(records):
        column = [row[solver] for row in grid.values() if solver in row]
        done = [cell for cell in column if cell.solved() == cell.runs]
        rows.append(
            [
                solver,
                *(f"{sum(cell.solved(level) == cell.runs for cell in column)}/{len(column)}" for level in TOLERANCES),
                duration(_median(cell.median("seconds") for cell in done)),
                duration(_total(cell.median("seconds") for cell in done)),
                *(number(_median(cell.median(field) for cell in done)) for field in _COUNTS),
                duration(_median(cell.median("first_seconds") for cell in column)),
            ]
        )
    head = ["solver", *(f"KKT <= {level}" for level in TOLERANCES), "median time", "total time"]
    head += ["iterations", "f", "g", "H", "J", "first call"]
    return Table(f"Solvers; medians over what each solved at {tol}", head, rows)


_COUNTS = ("nit", "counts.f", "counts.g", "counts.H", "counts.J")


def problems(records: Sequence[Record]) -> Table:
    """One line per problem: iterations and time of each solver, or in brackets the KKT norm it ended with."""
    tol = default_tol(records)
    names = solvers_of(records)
    rows = []
    for problem, row in cells(records, tol).items():
        any_record = next((r for cell in row.values() for r in cell.records if r.get("n") is not None), {})
        sizes = [number(any_record.get("n")), number(any_record.get("m"))]
        rows.append([problem, *sizes, *(row[name].text() if name in row else "" for name in names)])
    caption = f"Problems; iterations / time at a KKT norm of {tol}, or (the KKT norm reached)"
    return Table(caption, ["problem", "n", "m", *names], rows)


def accuracy(records: Sequence[Record]) -> Table:
    """Times beside the KKT norms reached: for races in which the solvers stop at different accuracies."""
    rows = []
    for problem, row in cells(records).items():
        for solver, cell in row.items():
            ok = cell.status == "ok"
            seconds = [value for record in cell.records for value in record.get("all_seconds") or ()]
            spread = f"{duration(min(seconds))} - {duration(max(seconds))}" if seconds else "-"
            rows.append(
                [
                    problem,
                    solver,
                    duration(cell.median("seconds")) if ok else cell.status,
                    spread,
                    residual(cell.median("kkt")),
                    residual(cell.median("kkt_scaled")),
                    residual(cell.median("constr_violation")),
                    number(cell.median("nit")),
                    duration(cell.median("first_seconds")),
                    number(cell.median("peak_memory_mib")),
                ]
            )
    head = [
        "problem",
        "solver",
        "time",
        "range",
        "KKT",
        "scaled KKT",
        "||c||",
        "iterations",
        "first call",
        "memory MiB",
    ]
    return Table("Times and the accuracy they bought", head, rows)


def all_of(records: Sequence[Record]) -> list[Table]:
    """The tables that say all about the runs of one case, suite and mode."""
    there = counted(records)
    shown = [summary(there), *against_published(there), problems(there)] if there else []
    shown += [accuracy(there)] if is_race(there) else []
    failed = otherwise(records)
    return [*shown, failed] if failed.rows else shown


def is_race(records: Sequence[Record]) -> bool:
    """Whether times are the subject: then they were repeated often enough for a spread."""
    return any(record["repeats"] >= RACE_REPEATS for record in records)


@functools.cache
def published() -> dict[str, Any]:
    """The published counts, each set with its source."""
    text = resources.files("numopt.bench").joinpath("published.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


_PUBLISHED_COLUMN = {"numopt-gv": "gv", "numopt-rk": "rk", "numopt-l1-adaptive": "l1_adaptive", "numopt-l1": "l1"}


def against_published(records: Sequence[Record]) -> list[Table]:
    """Measured medians of outer iterations beside the published ones, for each solver of the paper."""
    case = records[0]["case"] if records else ""
    reference = published().get(case)
    if reference is None:
        return []
    tables = []
    grid = cells([record for record in records if record["mode"] == "paper"], PAPER)
    for solver in (name for name in solvers_of(records) if name in _PUBLISHED_COLUMN):
        column = _PUBLISHED_COLUMN[solver]
        rows, close, solved, compared = [], 0, 0, 0
        for problem, row in grid.items():
            cell, expected = row.get(solver), reference["problems"].get(problem, {}).get(column)
            if cell is None or expected is None:
                continue
            measured = cell.median("nit")
            compared += 1
            solved += cell.solved() == cell.runs
            within = measured is not None and abs(measured - expected) <= CLOSE
            close += within
            verdict = "yes" if within else "no"
            rows.append([problem, number(expected), number(measured), f"{cell.solved()}/{cell.runs}", verdict])
        if rows:
            caption = (
                f"{solver}: {close} of {compared} medians within {CLOSE} of the published outer iterations, "
                f"{solved} solved at {PAPER} in every run"
            )
            head = ["problem", "published", "measured median", "solved", f"within {CLOSE}"]
            tables.append(Table(caption, head, rows, f"Published: {reference['source']}."))
    return tables


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _total(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def as_text(table: Table) -> str:
    """Aligned columns for a terminal."""
    lines = [table.head, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.head))]

    def aligned(line: Sequence[str]) -> str:
        first = line[0].ljust(widths[0])
        return "  ".join(
            [first, *(text.rjust(width) for text, width in zip(line[1:], widths[1:], strict=True))]
        ).rstrip()

    rule = "-" * len(aligned(table.head))
    notes = [table.note] if table.note else []
    return "\n".join([table.caption, *notes, aligned(table.head), rule, *map(aligned, table.rows)])


def as_rst(table: Table) -> str:
    """A ``list-table`` directive."""
    out = [f".. list-table:: {_escape(table.caption)}", "   :header-rows: 1", ""]
    for line in [table.head, *table.rows]:
        for i, text in enumerate(line):
            out.append(("   * - " if i == 0 else "     - ") + _escape(text))
    out += ["", _escape(table.note)] if table.note else []
    return "\n".join(line.rstrip() for line in out) + "\n"


def one_line(text: str) -> str:
    """Messages of foreign libraries may hold line breaks, which no table cell can."""
    return " ".join(text.split())


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("|", "\\|").replace("_", "\\_")
