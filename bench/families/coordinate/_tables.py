"""Tables of runs of coordinate descent and its peers: times to an accuracy, for each the loosest tolerance that does.

The paper's experiments, where iterations count, have their tables in `_paper`.
"""

from collections.abc import Iterable, Mapping, Sequence

from numopt.bench._records import Record
from numopt.bench._tables import Cell, Table, duration, median, number, residual, solvers_of
from numopt.bench.families._base import Card
from numopt.bench.families.coordinate import _paper

LEVELS = ("1e-3", "1e-6", "1e-8", "1e-10")
LEVEL = "1e-6"
"""The accuracy of cards and profiles."""


def headline(records: Sequence[Record]) -> str:
    """One sentence with the outcome."""
    if _paper.is_paper(records[0]):
        return _paper.headline(records)
    counts = [f"{card.solver} {card.solved} of {card.total}" for card in cards(records)]
    return f"Problems solved to a measure of {LEVEL}, recomputed: {', '.join(counts)}."


def tables(records: Sequence[Record]) -> list[Table]:
    """All tables that these runs allow."""
    if _paper.is_paper(records[0]):
        return _paper.tables(records)
    return [times(records), details(records)]


def cards(records: Sequence[Record]) -> list[Card]:
    """Problems solved by each solver."""
    if _paper.is_paper(records[0]):
        return _paper.cards(records)
    shown = []
    for solver in solvers_of(records):
        rows = [row[solver] for row in sweeps(records).values() if solver in row]
        found = [cell for row in rows if (cell := loosest(row, LEVEL)) is not None]
        time = duration(median(cell.median("seconds") for cell in found))
        shown.append(Card(solver, len(found), len(rows), f"median time to {LEVEL}: {time}"))
    return shown


def sweeps(records: Sequence[Record]) -> dict[str, dict[str, list[Cell]]]:
    """By problem and solver, the runs at each tolerance (all seeds and draws together), the loosest first."""
    grouped: dict[str, dict[str, dict[float, list[Record]]]] = {}
    for record in records:
        by_tol = grouped.setdefault(record["problem"], {}).setdefault(record["solver"], {})
        by_tol.setdefault(float(record.get("level") or 0.0), []).append(record)
    return {p: {s: _by_tolerance(by_tol) for s, by_tol in row.items()} for p, row in grouped.items()}


def loosest(cells: Sequence[Cell], level: str) -> Cell | None:
    """The runs at the loosest tolerance whose answers all reach a level."""
    return next((cell for cell in cells if cell.solved(level) == cell.runs), None)


def chosen(records: Sequence[Record], level: str) -> list[Record]:
    """For each problem and solver the runs that count at a level: where none reaches it, those that come nearest."""
    kept: list[Record] = []
    for row in sweeps(records).values():
        for cells in row.values():
            kept += (loosest(cells, level) or cells[-1]).records
    return kept


def times(records: Sequence[Record]) -> Table:
    """Time of each solver to each accuracy, as a multiple of the fastest."""
    rows, marks = [], []
    for problem, row in sweeps(records).items():
        found = {s: {level: loosest(cells, level) for level in LEVELS} for s, cells in row.items()}
        best = {level: _fastest(by_level[level] for by_level in found.values()) for level in LEVELS}
        for solver, by_level in found.items():
            cells, words = row[solver], ["", "", ""]
            line = [problem, solver, residual(_most_accurate(cells))]
            for level in LEVELS:
                seconds = _seconds(by_level[level])
                line.append(_time(seconds, best[level]))
                words.append("miss" if seconds is None else "best" if seconds == best[level] else "")
            rows.append(line)
            marks.append(words)
    head = ["problem", "solver", "best measure", *(f"to {level}" for level in LEVELS)]
    note = (
        "Time of the whole call at the loosest of the solver's own tolerances whose answer reaches the measure, and "
        "the multiple of the fastest. The measure is recomputed in float64: (F - F*) / F*, or what the problem names."
    )
    return Table("Times to an accuracy", head, rows, note, marks)


def details(records: Sequence[Record]) -> Table:
    """What stands behind the times: the runs to the accuracy of the profiles."""
    rows = []
    for problem, row in sweeps(records).items():
        for solver, cells in row.items():
            cell = loosest(cells, LEVEL) or cells[-1]
            first = cell.records[0]
            seconds = [value for record in cell.records for value in record.get("all_seconds") or ()]
            rows.append(
                [
                    problem,
                    solver,
                    first.get("measure") or "",
                    first.get("level") or "",
                    duration(cell.median("seconds")) if cell.status == "ok" else cell.status,
                    f"{duration(min(seconds))} - {duration(max(seconds))}" if seconds else "-",
                    residual(cell.median("error")),
                    residual(cell.median("kkt")),
                    residual(cell.median("gap")),
                    number(cell.median("n_active")),
                    number(cell.median("nit")),
                    duration(cell.median("first_seconds")),
                    number(cell.median("peak_memory_mib")),
                ]
            )
    head = ["problem", "solver", "measure", "tolerance", "time", "range", "reached", "KKT", "gap", "nonzeros"]
    head += ["iterations", "first call", "memory MiB"]
    return Table(f"Runs at the loosest tolerance that reaches {LEVEL}", head, rows)


def _by_tolerance(by_tol: Mapping[float, Sequence[Record]]) -> list[Cell]:
    return [Cell(tuple(by_tol[tol]), LEVEL) for tol in sorted(by_tol, reverse=True)]


def _most_accurate(cells: Sequence[Cell]) -> float | None:
    return min((error for cell in cells if (error := cell.median("error")) is not None), default=None)


def _seconds(cell: Cell | None) -> float | None:
    return None if cell is None else cell.median("seconds")


def _fastest(cells: Iterable[Cell | None]) -> float | None:
    return min((seconds for cell in cells if (seconds := _seconds(cell)) is not None), default=None)


def _time(seconds: float | None, best: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{duration(seconds)} ({seconds / best:.3g}x)" if best else duration(seconds)
