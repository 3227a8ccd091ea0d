"""Tables of runs on linear systems: sweeps, solves, sequences; the paper's experiments beside the expected counts."""

import statistics
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from numopt.bench._profiles import is_solved
from numopt.bench._records import Record
from numopt.bench._tables import Cell, Table, cells, duration, median, number, published, residual, solvers_of
from numopt.bench.families.linear._theory import NEAR_TAU

Floats = NDArray[np.float64]

LEVEL = "1e-8"
PLAIN = ("scipy-cg", "numopt-cg")
"""The solvers without a parameter; the faster one is what a tuned solver is compared with."""

GRID, BEST_EACH = "numopt-sor-grid", "best of the grid for each system"
_LEARNING = (GRID, "numopt-tsallis", "numopt-tsallis-cb", "numopt-chebcb", "numopt-sor")
"""Order of the rows there: trials that run side by side end in any order."""

SHOWN = ("1", "1.2", "1.4", "1.6", "1.8")
"""Fixed parameters that the table of counts shows."""


def kind(record: Record) -> str:
    """What a run was about: sweep, solve, sequence, scan, spilu or batch."""
    if record.get("sweeps") is not None:
        return "sweep"
    return record.get("kind") or "solve"


def is_done(record: Record) -> bool:
    """Whether a run reached the residual that it was asked for."""
    return is_solved(record, record.get("level") or LEVEL)


def is_learning(record: Record) -> bool:
    """Whether a run is a trial on random systems."""
    return record.get("draw") is not None and kind(record) == "sequence"


def is_paper(record: Record) -> bool:
    """Whether a run is one of the paper's experiments, where iterations are what counts."""
    return bool(record["case"] == "linear-paper")


def headline(records: Sequence[Record]) -> str:
    """One sentence with the outcome."""
    counts = []
    for solver in solvers_of(records):
        own = [record for record in records if record["solver"] == solver]
        counts.append(f"{solver} {sum(map(is_done, own))} of {len(own)}")
    return f"Runs whose residuals, recomputed, are as small as asked for: {', '.join(counts)}."


def tables(records: Sequence[Record]) -> list[Table]:
    """All tables that these runs allow."""
    of_kind = {name: [r for r in records if kind(r) == name] for name in ("sweep", "solve", "batch", "spilu")}
    sequences = [r for r in records if kind(r) == "sequence" and not is_learning(r)]
    made: list[tuple[Callable[[Sequence[Record]], Table], Sequence[Record]]] = [
        (counts, [r for r in records if is_learning(r)]),
        (totals, [r for r in sequences if is_paper(r)]),
        (sweeps, of_kind["sweep"]),
        (solves, of_kind["solve"]),
        (marches, [r for r in sequences if not is_paper(r)]),
        (spilu, of_kind["spilu"]),
        (batches, of_kind["batch"]),
        (scans, [r for r in records if r.get("curves")]),
        (details, [*of_kind["solve"], *sequences]),
    ]
    return [make(part) for make, part in made if part]


def sweeps(records: Sequence[Record]) -> Table:
    """Time of a sweep, and how much of the machine's bandwidth it uses."""
    rows, marks = [], []
    for problem, row in cells(records, LEVEL).items():
        times = {solver: _each(cell, "sweeps") for solver, cell in row.items()}
        reference = times.get("numopt-sweeps")
        best = min((t for t in times.values() if t is not None), default=None)
        for solver, cell in row.items():
            seconds, moved, copy = times[solver], cell.median("sweep_bytes"), cell.median("copy_gbps")
            rate = 1e-9 * moved / seconds if seconds and moved else None
            line = [
                problem,
                solver,
                number(cell.median("n")),
                number(cell.median("nnz")),
                number(cell.median("sweeps")),
                duration(seconds) if seconds is not None else stopped(cell),
                f"{seconds / reference:.2f}x" if seconds and reference else "",
                f"{rate:.3g}" if rate else "-",
                f"{100 * rate / copy:.0f} %" if rate and copy else "-",
                residual(cell.median("difference")),
            ]
            rows.append(line)
            marks.append(["best" if i == 5 and seconds == best and seconds else "" for i in range(len(line))])
    head = ["problem", "solver", "n", "nnz", "sweeps", "a sweep", "of numopt-sweeps", "GB/s", "of copying"]
    note = (
        "GB/s counts the matrix and the right-hand side once and the solution in and out; a copy of a large array in "
        "the same process is 100 %. numopt's sweeps, pyamg-sweeps-residual and scipy-sweeps know the norm of the "
        "residual after each sweep, pyamg-sweeps does not. Difference: from sweeps done by triangular solves."
    )
    return Table("Sweeps of SOR", [*head, "difference"], rows, note, marks)


def solves(records: Sequence[Record]) -> Table:
    """One line per problem: time of each solver as a multiple of the fastest."""
    names = solvers_of(records)
    rows, marks = [], []
    for problem, row in cells(records, LEVEL).items():
        done = {solver: cell.median("seconds") for solver, cell in row.items() if cell.done}
        best = min((seconds for seconds in done.values() if seconds), default=None)
        sizes = next(iter(row.values()))
        rows.append(
            [problem, number(sizes.median("n")), number(sizes.median("nnz")), *(_time(row.get(s), best) for s in names)]
        )
        words = [
            "best" if done.get(s) == best is not None else "" if s in done or s not in row else "miss" for s in names
        ]
        marks.append(["", "", "", *words])
    caption = f"Times to a relative residual of {LEVEL} (multiple of the fastest), setup counted"
    note = "In brackets: the residual reached by a solver that stopped above it."
    return Table(caption, ["problem", "n", "nnz", *names], rows, note, marks)


def marches(records: Sequence[Record]) -> Table:
    """Sequences of systems: the time of all steps, as a multiple of the faster plain CG's."""
    rows = []
    for problem, row in cells(records, LEVEL).items():
        reference = _plain(row)
        for solver, cell in row.items():
            seconds, nit = cell.median("seconds"), cell.median("nit")
            steps = cell.median("steps") or 1
            rows.append(
                [
                    problem,
                    solver,
                    number(cell.median("n")),
                    number(steps),
                    duration(seconds) if cell.status == "ok" else stopped(cell),
                    duration(None if seconds is None else seconds / steps),
                    _multiple(cell, reference),
                    number(nit),
                    residual(max(cell.values("error"), default=None)),
                ]
            )
    head = [
        "problem",
        "solver",
        "n",
        "steps",
        "all steps",
        "a step",
        "of the faster CG",
        "iterations",
        "worst residual",
    ]
    note = "Setup of every step is counted, as the matrices change. Medians over the seeds of a solver that learns."
    return Table("Sequences of systems", head, rows, note)


def spilu(records: Sequence[Record]) -> Table:
    """The tuned drop tolerance beside the best fixed one and a random one."""
    rows, note = [], ""
    for problem, row in cells(records, LEVEL).items():
        best, uniform = (
            _arms(row),
            row["scipy-spilu-uniform"].median("seconds") if "scipy-spilu-uniform" in row else None,
        )
        for solver, cell in row.items():
            seconds, steps = cell.median("seconds"), cell.median("steps") or 1
            fixed = min(best.values()) * steps if best else None
            plays = cell.values("plays.raises")
            rows.append(
                [
                    problem,
                    solver,
                    number(steps),
                    duration(seconds) if cell.status == "ok" else stopped(cell),
                    f"{seconds / fixed:.2f}x" if seconds and fixed else "",
                    f"{seconds / uniform:.2f}x" if seconds and uniform else "",
                    number(max(plays)) if plays else "",
                    residual(max(cell.values("error"), default=None)),
                ]
            )
        if best:
            span = max(best.values()) / min(best.values())
            means = ", ".join(f"{arm}: {duration(mean)}" for arm, mean in best.items())
            note = (
                f"Mean time with each drop tolerance, replayed on every tenth system: {means}; they span {span:.1f}x."
            )
    head = [
        "problem",
        "solver",
        "systems",
        "all systems",
        "of the best fixed",
        "of a random draw",
        "plays of the failing arm",
    ]
    return Table("Tuning the drop tolerance of an incomplete factorisation", [*head, "worst residual"], rows, note)


def batches(records: Sequence[Record]) -> Table:
    """Many small systems at once."""
    rows = []
    for problem, row in cells(records, LEVEL).items():
        for solver, cell in row.items():
            seconds, steps = cell.median("seconds"), cell.median("steps") or 1
            shown = duration(seconds) if cell.status == "ok" else stopped(cell)
            each = duration(None if seconds is None else seconds / steps)
            rows.append(
                [problem, solver, number(cell.median("n")), number(steps), shown, each, number(cell.median("nit"))]
            )
    head = ["problem", "solver", "n", "systems", "all systems", "a system", "sweeps"]
    return Table("Batches of small systems", head, rows)


def counts(records: Sequence[Record]) -> Table:
    """Mean iterations of a solve in the experiment on learning, over the trials."""
    expected = published().get("linear-paper", {"problems": {}})
    rows = []
    for problem, row in cells(records, LEVEL).items():
        known = expected["problems"].get(problem, {})
        for solver, cell in sorted(row.items(), key=lambda item: _rank(item[0])):
            if solver == GRID:
                rows += _grid_rows(problem, cell, known)
                continue
            means = [nit / steps for nit, steps in zip(cell.values("nit"), cell.values("steps"), strict=False)]
            rows.append(_count_row(problem, solver, means, f"{cell.solved()}/{cell.runs}", known.get(solver)))
    head = ["problem", "parameter", "trials solved", "iterations a solve", "deviation", "expected", "difference"]
    note = "Means over the trials, and the deviation of a trial."
    note += f" Expected: {expected['source']}." if "source" in expected else ""
    return Table("Learning the relaxation factor of SOR: iterations a solve", head, rows, note)


def _rank(solver: str) -> int:
    return _LEARNING.index(solver) if solver in _LEARNING else len(_LEARNING)


def _grid_rows(problem: str, cell: Cell, known: dict[str, float]) -> list[list[str]]:
    done = [record for record in cell.records if record.get("arms")]
    solved = f"{cell.solved()}/{cell.runs}"
    if not done:
        return [_count_row(problem, GRID, [], solved, None)]
    arms = {omega: statistics.fmean(r["arms"][omega] for r in done) for omega in done[0]["arms"]}
    rows = [
        _count_row(problem, f"omega {omega}", [r["arms"][omega] for r in done], solved, known.get(omega))
        for omega in SHOWN
        if omega in arms
    ]
    best = min(arms, key=lambda omega: arms[omega])
    rows.append(_count_row(problem, f"best fixed, omega {best}", [r["arms"][best] for r in done], solved, None))
    rows.append(_count_row(problem, BEST_EACH, [r["best_each"] for r in done], solved, None))
    return rows


def _count_row(problem: str, name: str, means: Sequence[float], solved: str, known: float | None) -> list[str]:
    mean = statistics.fmean(means) if means else None
    return [
        problem,
        name,
        solved,
        f"{mean:.1f}" if mean is not None else "-",
        f"{statistics.stdev(means):.2g}" if len(means) > 1 else "",
        f"{known:g}" if known is not None else "",
        f"{100 * (mean / known - 1):+.1f} %" if known and mean is not None else "",
    ]


def totals(records: Sequence[Record]) -> Table:
    """Iterations of the heat equation's steps, and the time beside CG's."""
    expected = published().get("linear-paper", {"problems": {}})
    rows = []
    for problem, row in cells(records, LEVEL).items():
        known = expected["problems"].get(problem, {})
        reference = _plain(row)
        for solver, cell in row.items():
            nits, value = cell.values("nit"), known.get(solver)
            mean = statistics.fmean(nits) if nits else None
            seconds = cell.median("seconds")
            rows.append(
                [
                    problem,
                    solver,
                    f"{cell.solved()}/{cell.runs}",
                    f"{mean:.0f}" if mean is not None else stopped(cell),
                    f"{statistics.stdev(nits):.2g}" if len(nits) > 1 else "",
                    f"{value:g}" if value is not None else "",
                    f"{100 * (mean / value - 1):+.1f} %" if value and mean is not None else "",
                    duration(seconds) if cell.status == "ok" else stopped(cell),
                    _multiple(cell, reference),
                ]
            )
    head = [
        "problem",
        "solver",
        "runs solved",
        "iterations",
        "deviation",
        "expected",
        "difference",
        "time",
        "of the faster CG",
    ]
    note = "Iterations of all steps; means over the seeds of a solver that learns."
    note += f" Expected: {expected['source']}." if "source" in expected else ""
    return Table("Heat equation: iterations of all steps", head, rows, note)


def scans(records: Sequence[Record]) -> Table:
    """What the scans over the parameter say, in one line each."""
    rows = []
    for record in sorted(records, key=lambda record: record["problem"]):
        columns = {name: np.array(values, dtype=np.float64) for name, values in record["curves"].items()}
        omega, nit = columns["omega"], columns["nit"]
        common = [record["problem"], record["solver"], number(omega.size)]
        if "context" in columns:
            tau, beta = columns["tau"], columns["beta"]
            text = f"tau {tau.min():.3f} to {tau.max():.3f} (1/e^2 = {NEAR_TAU:.3f})"
            rows.append([*common, "", "", f"{text}, beta {beta.min():.3f} to {beta.max():.3f}"])
            continue
        best = f"{nit.min():.0f} at {omega[nit.argmin()]:.3g}"
        jump = f"largest change between neighbours {np.abs(np.diff(nit)).max():.0f}"
        bounds = [
            f"{name} {values.min():.0f} at {omega[values.argmin()]:.3g} ({_side(values, nit)})"
            for name in ("near", "asymptotic", "energy", "bound")
            if (values := columns.get(name)) is not None
        ]
        rows.append([*common, best, "; ".join(bounds), jump])
    head = ["problem", "solver", "parameters", "fewest iterations", "bounds: least value", "remarks"]
    return Table("Iterations and bounds over the relaxation factor", head, rows)


def _side(bound: Floats, nit: Floats) -> str:
    """How a bound compares with the counts."""
    finite = np.isfinite(bound)
    ratio = bound[finite] / nit[finite]
    return f"{ratio.min():.2f} to {ratio.max():.2f} times the iterations"


def details(records: Sequence[Record]) -> Table:
    """Residuals, iterations and memory."""
    rows = []
    for problem, row in cells(records, LEVEL).items():
        for solver, cell in row.items():
            seconds = [value for record in cell.records for value in record.get("all_seconds") or ()]
            rows.append(
                [
                    problem,
                    solver,
                    duration(cell.median("seconds")) if cell.status == "ok" else stopped(cell),
                    f"{duration(min(seconds))} - {duration(max(seconds))}" if seconds else "-",
                    residual(max(cell.values("error"), default=None)),
                    number(cell.median("nit")),
                    duration(cell.median("first_seconds")),
                    number(cell.median("peak_memory_mib")),
                ]
            )
    head = ["problem", "solver", "time", "range", "worst residual", "iterations", "first call", "memory MiB"]
    return Table("Residuals reached and iterations", head, rows)


def stopped(cell: Cell) -> str:
    """What to say of runs that gave no answer: a killed one took longer than its limit."""
    if cell.status == "time limit":
        return f"> {max(record['time_limit'] for record in cell.records):g} s"
    return cell.status


def _plain(row: dict[str, Cell]) -> float | None:
    """Time of the faster one of the solvers without a parameter."""
    times = [t for s in PLAIN if s in row and row[s].done and (t := row[s].median("seconds")) is not None]
    return min(times, default=None)


def _each(cell: Cell, count: str) -> float | None:
    """Seconds of one of `count`."""
    each = [r["seconds"] / r[count] for r in cell.records if r.get("seconds") is not None and r.get(count)]
    return median(each)


def _multiple(cell: Cell, reference: float | None) -> str:
    if reference is None:
        return ""
    if cell.status == "time limit":
        return f"> {max(record['time_limit'] for record in cell.records) / reference:.3g}x"
    seconds = cell.median("seconds")
    return f"{seconds / reference:.2f}x" if seconds is not None and cell.done else ""


def _time(cell: Cell | None, best: float | None) -> str:
    if cell is None:
        return ""
    seconds = cell.median("seconds")
    if seconds is None:
        return stopped(cell)
    if not cell.done:
        return f"[{residual(cell.median('error'))} in {duration(seconds)}]"
    return f"{duration(seconds)} ({seconds / best:.3g}x)" if best else duration(seconds)


def _arms(row: dict[str, Cell]) -> dict[str, float]:
    """Mean seconds of each arm, where they were replayed."""
    if "scipy-spilu-best" not in row:
        return {}
    return next((dict(r["arms"]) for r in row["scipy-spilu-best"].records if r.get("arms")), {})
