"""Tables of runs on optimal transport: times as multiples of numopt's, errors and costs; statistics over draws."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from numopt.bench._profiles import is_solved
from numopt.bench._records import Record
from numopt.bench._tables import Cell, Table, cells, duration, median, number, published, residual, solvers_of

REFERENCE = "numopt"
DEFAULT_LEVEL = "1e-9"
TARGET = ("1e-3", "1e-4")
"""Regularisations (relative to the largest cost) for which numopt is meant: the ones whose mean is shown as one."""


def level_of(record: Record) -> str:
    """The error that a run was asked for."""
    return record.get("level") or DEFAULT_LEVEL


def reg_of(problem: str) -> str:
    """The regularisation in a problem's label."""
    return problem.rpartition("/")[2]


def is_done(record: Record) -> bool:
    """Whether a run reached the error that it was asked for."""
    return is_solved(record, level_of(record))


PUBLISHED = {
    "numopt": "sns",
    "numopt-few-steps": "sns",
    "numopt-no-anneal": "sns",
    "numopt-no-warmup": "sns",
    "pot-sinkhorn": "sinkhorn",
}
"""Which published count a solver is set beside."""


@dataclass(frozen=True)
class Ratio:
    """A time as a multiple of numopt's; `bound` when the solver was stopped by the time limit."""

    value: float
    bound: bool

    def text(self) -> str:
        return f"{'> ' if self.bound else ''}{_multiple(self.value)}"


def tables(records: Sequence[Record]) -> list[Table]:
    """All tables: statistics where the problems are drawn several times, times and accuracies otherwise."""
    if any(record.get("draw") is not None for record in records):
        return [statistics_over_draws(records)]
    levels = _levels(records)
    return [ratios(records), *(times(records, level) for level in levels), accuracy(records)]


def headline(records: Sequence[Record]) -> str:
    """One sentence with the outcome."""
    counts = []
    for solver in solvers_of(records):
        own = [record for record in records if record["solver"] == solver]
        counts.append(f"{solver} {sum(map(is_done, own))} of {len(own)}")
    return f"Runs that reached the error they were asked for: {', '.join(counts)}."


def ratios(records: Sequence[Record]) -> Table:
    """For each solver and level its time over numopt's: the geometric mean over the problems of a regularisation."""
    regs = list(dict.fromkeys(reg_of(record["problem"]) for record in records))
    both = len(set(TARGET) & set(regs)) == len(TARGET)
    rows = []
    for level in _levels(records):
        grid = _grid(records, level)
        for solver in solvers_of(record for record in records if level_of(record) == level):
            found = {p: ratio for p, row in grid.items() if (ratio := _ratio(row, solver)) is not None}
            column = [row[solver] for row in grid.values() if solver in row]
            entries = [_mean([r for p, r in found.items() if reg_of(p) == reg]) for reg in regs]
            if both:
                entries.append(_mean([r for p, r in found.items() if reg_of(p) in TARGET]))
            least = min(found, key=lambda problem: found[problem].value, default=None)
            worst = [] if solver == REFERENCE or least is None else [found[least].text(), least]
            done = f"{sum(cell.done for cell in column)}/{len(column)}"
            rows.append([solver, level, done, *entries, *(worst or ["", ""])])
    head = ["solver", "error", "solved", *(f"reg {reg}" for reg in regs)]
    head += [f"reg {' and '.join(TARGET)}"] if both else []
    caption = "Times as multiples of numopt's, geometric means over the problems"
    note = (
        "The limit of a solver that was stopped there is a lower bound of its time, and so is a mean with it (>). Runs "
        "that ended by themselves above the error are left out. pot-emd solves the problem without entropy."
    )
    return Table(caption, [*head, "least", "on"], rows, note)


def times(records: Sequence[Record], level: str) -> Table:
    """One line per problem: time of each solver and the multiple of numopt's, or in brackets the error reached."""
    names = solvers_of(record for record in records if level_of(record) == level)
    rows, marks = [], []
    for problem, row in _grid(records, level).items():
        sizes = next((r for cell in row.values() for r in cell.records if r.get("n") is not None), {})
        texts = [_time(row, name) for name in names]
        best = min((t for name, c in row.items() if (t := _comparable(c)) is not None), default=None)
        words = [_mark(row.get(name), best) for name in names]
        rows.append([problem, number(sizes.get("n")), number(sizes.get("m")), *texts])
        marks.append(["", "", "", *words])
    caption = f"Times to an error of {level} (multiple of numopt's), or the error reached"
    return Table(caption, ["problem", "n", "m", *names], rows, marks=marks)


def accuracy(records: Sequence[Record]) -> Table:
    """The errors in the returned plans and potentials, the costs, and the work."""
    rows = []
    for level in _levels(records):
        for problem, row in _grid(records, level).items():
            reference = row[REFERENCE].median("value") if REFERENCE in row else None
            for solver, cell in row.items():
                seconds = [value for record in cell.records for value in record.get("all_seconds") or ()]
                rows.append(
                    [
                        problem,
                        solver,
                        level,
                        duration(cell.median("seconds")) if cell.status == "ok" else _stopped(cell),
                        f"{duration(min(seconds))} - {duration(max(seconds))}" if seconds else "-",
                        residual(cell.median("error_plan")),
                        residual(cell.median("error_potentials")),
                        _difference(cell, reference),
                        number(cell.median("nit")),
                        duration(cell.median("first_seconds")),
                        number(cell.median("peak_memory_mib")),
                    ]
                )
    head = ["problem", "solver", "asked for", "time", "range", "error of plan", "of potentials"]
    head += ["<C,P> - numopt's", "iterations", "first call", "memory MiB"]
    return Table("Errors reached, costs and iterations", head, rows)


def statistics_over_draws(records: Sequence[Record]) -> Table:
    """Iterations, seconds and errors over the draws of each problem, beside the published iterations."""
    level = _levels(records)[-1]
    reference = published().get(records[0]["case"], {"problems": {}})
    rows = []
    for problem, row in cells(records, level).items():
        counts = reference["problems"].get(problem, {})
        for solver, cell in row.items():
            parts = [cell.median(f"counts.nit_{part}") for part in ("sinkhorn", "newton", "coarse")]
            rows.append(
                [
                    problem,
                    solver,
                    f"{cell.solved()}/{cell.runs}",
                    _spread(cell.values("nit"), number),
                    " + ".join(map(number, parts)) if None not in parts else "",
                    number(counts.get(PUBLISHED.get(solver))),
                    _spread(cell.values("seconds"), duration) if cell.status == "ok" else _stopped(cell),
                    residual(max(cell.values("error"), default=None)),
                ]
            )
    head = ["problem", "solver", f"error <= {level}", "iterations", "Sinkhorn + Newton + coarse", "published", "time"]
    note = "Medians over the draws (standard deviation). Every step counts: Sinkhorn sweeps, Newton and coarse steps."
    note += f" Published: {reference['source']}." if "source" in reference else ""
    return Table("Iterations and times over draws", [*head, "largest error"], rows, note)


def _levels(records: Iterable[Record]) -> list[str]:
    """Levels of some records, the loosest first."""
    return sorted({level_of(record) for record in records}, key=float, reverse=True)


def _grid(records: Iterable[Record], level: str) -> dict[str, dict[str, Cell]]:
    return cells([record for record in records if level_of(record) == level], level)


def _is_exact(cell: Cell) -> bool:
    return any(record.get("exact") for record in cell.records)


def _comparable(cell: Cell) -> float | None:
    """Time of a solved cell of the entropic problem."""
    return cell.median("seconds") if cell.done and not _is_exact(cell) else None


def _ratio(row: dict[str, Cell], solver: str) -> Ratio | None:
    reference = _comparable(row[REFERENCE]) if REFERENCE in row else None
    cell = row.get(solver)
    if reference is None or cell is None:
        return None
    if cell.status == "time limit":
        return Ratio(max(record["time_limit"] for record in cell.records) / reference, bound=True)
    # A solver that stopped by itself short of the error has no time to it, and no bound on one.
    seconds = cell.median("seconds") if cell.done else None
    return None if seconds is None else Ratio(seconds / reference, bound=False)


def _mean(found: Sequence[Ratio]) -> str:
    if not found:
        return ""
    mean = math.exp(statistics.fmean(math.log(ratio.value) for ratio in found))
    return Ratio(mean, any(ratio.bound for ratio in found)).text()


def _time(row: dict[str, Cell], solver: str) -> str:
    cell = row.get(solver)
    if cell is None:
        return ""
    ratio = _ratio(row, solver)
    multiple = f" ({ratio.text()})" if ratio is not None and solver != REFERENCE else ""
    seconds = cell.median("seconds")
    if seconds is None:
        return f"{_stopped(cell)}{multiple}"
    if cell.done:
        return f"{duration(seconds)}{multiple}"
    return f"[{residual(cell.median('error'))} in {duration(seconds)}]"


def _stopped(cell: Cell) -> str:
    """What to say of runs that gave no answer: a killed one took longer than its limit."""
    if cell.status == "time limit":
        return f"> {max(record['time_limit'] for record in cell.records):g} s"
    return cell.status


def _mark(cell: Cell | None, best: float | None) -> str:
    if cell is None or _is_exact(cell):
        return ""
    if not cell.done:
        return "miss"
    return "best" if cell.median("seconds") == best else ""


def _difference(cell: Cell, reference: float | None) -> str:
    value = cell.median("value")
    return f"{value - reference:+.1e}" if value is not None and reference is not None else "-"


def _spread(values: Sequence[float], form: Callable[[float | None], str]) -> str:
    if not values:
        return "-"
    deviation = f" ({form(_rounded(statistics.stdev(values)))})" if len(values) > 1 else ""
    return f"{form(median(values))}{deviation}"


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")


def _multiple(value: float) -> str:
    return f"{value:.3g}x" if value < 1000 else f"{value:.0f}x"
