"""Tables of runs on equality-constrained problems: iterations, times and the KKT norms reached."""

from collections.abc import Iterable, Mapping, Sequence

from numopt.bench import _tables
from numopt.bench._profiles import TIMER_RESOLUTION
from numopt.bench._records import Record
from numopt.bench._tables import Cell, Table, duration, median, number, published, residual, solvers_of

LEVELS = ("1e-4", "1e-6", "1e-8")
"""Levels of the recomputed KKT norm at which a run counts as solved."""

TIGHT = LEVELS[-1]
PAPER = LEVELS[0]
CLOSE = 2
"""Outer iterations within which a measured median counts as reproducing a published one."""


def default_tol(records: Sequence[Record]) -> str:
    """The level at which a set of runs is judged: the paper's for its mode, the tightest otherwise."""
    return PAPER if records and all(record["mode"] == "paper" for record in records) else TIGHT


def cells(records: Iterable[Record], tol: str | None = None) -> dict[str, dict[str, Cell]]:
    """Group records by problem, then solver, at the level of their mode."""
    records = list(records)
    return _tables.cells(records, tol or default_tol(records))


def headline(records: Sequence[Record]) -> str:
    """One sentence with the outcome."""
    tol = default_tol(records)
    grid = cells(records, tol)
    counts = {solver: sum(row[solver].done for row in grid.values() if solver in row) for solver in solvers_of(records)}
    best = max(counts.values())
    said = ", ".join(f"{solver} {count}" for solver, count in counts.items())
    leaders = [solver for solver, count in counts.items() if count == best]
    return (
        f"Of {len(grid)} problems, solved to a KKT norm of {tol}: {said}. "
        f"Most: {' and '.join(leaders) if len(leaders) < 3 else f'{len(leaders)} solvers alike'}."
    )


def summary(records: Sequence[Record]) -> Table:
    """One line per solver: how many problems it solved at each level, and its medians on those."""
    tol = default_tol(records)
    grid = cells(records, tol)
    rows = []
    for solver in solvers_of(records):
        column = [row[solver] for row in grid.values() if solver in row]
        done = [cell for cell in column if cell.done]
        rows.append(
            [
                solver,
                *(f"{sum(cell.solved(level) == cell.runs for cell in column)}/{len(column)}" for level in LEVELS),
                duration(median(cell.median("seconds") for cell in done)),
                duration(_tables.total(cell.median("seconds") for cell in done)),
                *(number(median(cell.median(field) for cell in done)) for field in _COUNTS),
                duration(median(cell.median("first_seconds") for cell in column)),
            ]
        )
    head = ["solver", *(f"KKT <= {level}" for level in LEVELS), "median time", "total time"]
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
        rows.append([problem, *sizes, *(_text(row[name]) if name in row else "" for name in names)])
    caption = f"Problems; iterations / time at a KKT norm of {tol}, or (the KKT norm reached)"
    return Table(caption, ["problem", "n", "m", *names], rows)


def _text(cell: Cell) -> str:
    """Iterations and time when solved, else what was reached."""
    nit, seconds, kkt = cell.median("nit"), cell.median("seconds"), cell.median("kkt")
    if cell.done:
        return f"{number(nit)} / {duration(seconds)}"
    if cell.solved():
        return f"{cell.solved()} of {cell.runs}: {number(nit)} / {duration(seconds)}"
    return f"({residual(kkt)})" if kkt is not None else cell.status


def marked_problems(records: Sequence[Record]) -> Table:
    """The table of problems for the page: the fastest solves in bold, misses marked, other local minima starred."""
    plain = problems(records)
    names = solvers_of(records)
    rows, marks = [], []
    for line, row in zip(plain.rows, cells(records).values(), strict=True):
        best, lowest = _least(row, "seconds"), _least(row, "fun")
        texts, words = line[: -len(names)], [""] * (len(line) - len(names))
        for text, name in zip(line[-len(names) :], names, strict=True):
            cell = row.get(name)
            star = cell is not None and cell.done and _is_other_minimum(cell, lowest)
            texts.append(f"{text} *" if star else text)
            words.append("" if cell is None else _mark(cell, best))
        rows.append(texts)
        marks.append(words)
    starred = any(text.endswith(" *") for row in rows for text in row)
    note = "Bold: fastest, ties within 1 ms included."
    note += " *: another local minimum than the lowest one found." if starred else ""
    return Table(plain.caption, plain.head, rows, note, marks)


def _mark(cell: Cell, best: float | None) -> str:
    if not cell.done:
        return "miss"
    seconds = cell.median("seconds")
    return "best" if seconds is not None and best is not None and seconds - best <= TIMER_RESOLUTION else ""


def _least(row: Mapping[str, Cell], field: str) -> float | None:
    """Least median of a field over the solvers that solved the problem."""
    values = [value for cell in row.values() if cell.done and (value := cell.median(field)) is not None]
    return min(values, default=None)


def _is_other_minimum(cell: Cell, lowest: float | None) -> bool:
    fun = cell.median("fun")
    return fun is not None and lowest is not None and fun - lowest > 1e-6 * max(1.0, abs(lowest))


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
            solved += cell.done
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
