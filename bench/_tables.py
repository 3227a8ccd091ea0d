"""Tables from recorded runs: what every family's tables are made of, and their forms.

The same rows serve the terminal, the HTML page and the documentation.
"""

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

RACE_REPEATS = 5


@dataclass(frozen=True)
class Table:
    """A caption, column heads, rows of text, and what has to be known about them.

    `marks` has a word for each cell for the page: "best", "miss" or "".
    """

    caption: str
    head: list[str]
    rows: list[list[str]]
    note: str = ""
    marks: list[list[str]] | None = None


@dataclass(frozen=True)
class Cell:
    """All runs of one solver on one problem (several where it is randomized or has draws), by their medians."""

    records: tuple[Record, ...]
    tol: str

    @property
    def runs(self) -> int:
        return len(self.records)

    def solved(self, tol: str | None = None) -> int:
        return sum(is_solved(record, tol or self.tol) for record in self.records)

    @property
    def done(self) -> bool:
        """Whether every run was solved."""
        return self.solved() == self.runs

    def values(self, field: str) -> list[float]:
        """Values of a numeric field (dots reach inside mappings) of the runs that have it."""
        return [value for record in self.records if (value := _field(record, field)) is not None]

    def median(self, field: str) -> float | None:
        return median(self.values(field))

    @property
    def status(self) -> str:
        """The outcome that is not "ok", if any."""
        return next((record["status"] for record in self.records if record["status"] != "ok"), "ok")


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


def median(values: Iterable[float | None]) -> float | None:
    """Median of what is known, None when nothing is."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def total(values: Iterable[float | None]) -> float | None:
    """Sum of what is known, None when nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def cells(records: Iterable[Record], tol: str) -> dict[str, dict[str, Cell]]:
    """Group records by problem, then solver, in the order of appearance."""
    grouped: dict[str, dict[str, list[Record]]] = {}
    for record in records:
        grouped.setdefault(record["problem"], {}).setdefault(record["solver"], []).append(record)
    return {p: {s: Cell(tuple(found), tol) for s, found in row.items()} for p, row in grouped.items()}


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


def is_race(records: Sequence[Record]) -> bool:
    """Whether times are the subject: then they were repeated often enough for a spread."""
    return any(record["repeats"] >= RACE_REPEATS for record in records)


@functools.cache
def published() -> dict[str, Any]:
    """The published counts, each set with its source."""
    text = resources.files("numopt.bench").joinpath("published.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


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
    out = [f".. list-table:: {escape(table.caption)}", "   :header-rows: 1", ""]
    for line in [table.head, *table.rows]:
        for i, text in enumerate(line):
            out.append(("   * - " if i == 0 else "     - ") + escape(text))
    out += ["", escape(table.note)] if table.note else []
    return "\n".join(line.rstrip() for line in out) + "\n"


def one_line(text: str) -> str:
    """Messages of foreign libraries may hold line breaks, which no table cell can."""
    return " ".join(text.split())


def escape(text: str) -> str:
    """Keep text from being read as markup."""
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("|", "\\|").replace("_", "\\_")
