"""Sweeps over tolerances: one record for each tolerance, judged by the best objective of all runs of a problem."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numopt.bench._records import Record, digits
from numopt.bench._tables import Cell, Table, duration, residual
from numopt.bench.families.coordinate import _tables

Floats = NDArray[np.float64]

LEVELS = ("1e-4", "1e-6", "1e-10")
OURS = "numopt"


def is_sweep(record: Record) -> bool:
    """Whether a run was a sweep over the solver's tolerances."""
    return record.get("sweep") is not None


def expanded(records: Sequence[Record]) -> list[Record]:
    """Replace the record of each sweep by one for each of its tolerances, with its time and its error."""
    if not any(map(is_sweep, records)):
        return list(records)
    best = optima(records)
    return [part for record in records for part in (_parts(record, best) if is_sweep(record) else [record])]


def optima(records: Sequence[Record]) -> dict[str, Floats]:
    """The least objective found for each problem (for each value along a path)."""
    best: dict[str, Floats] = {}
    for record in records:
        for fun in record["sweep"]["fun"] if is_sweep(record) else ():
            values = np.atleast_1d(np.asarray(fun, dtype=np.float64))
            values = np.where(np.isnan(values), np.inf, values)
            best[record["problem"]] = np.minimum(best.get(record["problem"], np.inf), values)
    return best


def certificates(records: Sequence[Record]) -> dict[str, float]:
    """How far above the optimum each problem's best objective can be, relative to it; NaN where nothing bounds that."""
    best, bounds = optima(records), dict[str, float]()
    for record in records:
        for fun, gap in zip(record["sweep"]["fun"], record["sweep"]["gap"], strict=True) if is_sweep(record) else ():
            if not isinstance(fun, list) and gap is not None:  # a record has None where there was no number
                bounds[record["problem"]] = max(bounds.get(record["problem"], -math.inf), fun - gap)
    return {p: (float(f[0]) - bounds[p]) / abs(float(f[0])) if p in bounds else math.nan for p, f in best.items()}


def _parts(record: Record, best: Mapping[str, Floats]) -> Iterator[Record]:
    sweep = record["sweep"]
    for k, tol in enumerate(sweep["tol"]):
        error = math.nan if sweep["error"][k] is None else sweep["error"][k]
        if record["measure"] == "suboptimality":
            error = _above(sweep["fun"][k], best[record["problem"]])
        part: Record = {
            **{name: values[k] for name, values in sweep.items() if name not in ("tol", "fastest", "slowest")},
            "all_seconds": [sweep["fastest"][k], sweep["slowest"][k]],
            "level": f"{tol:.0e}",
            "error": digits(error),
            "solved": {level: error <= float(level) for level in LEVELS},
        }
        yield {**record, **part}


def _above(fun: Any, best: Floats) -> float:
    values = np.atleast_1d(np.asarray(fun, dtype=np.float64))
    scale = np.where(best == 0.0, 1.0, np.abs(best))
    return float(np.max((values - best) / scale))


def tables(records: Sequence[Record]) -> list[Table]:
    """All tables of sweeps."""
    return [winners(records), times(records), _tables.details(expanded(records))]


def times(records: Sequence[Record]) -> Table:
    """Time of each solver to each accuracy, beside numopt's."""
    rows, marks = [], []
    for problem, row in _tables.sweeps(expanded(records)).items():
        found = {s: {level: _seconds(cells, level) for level in LEVELS} for s, cells in row.items()}
        best = {level: min((t for f in found.values() if (t := f[level])), default=None) for level in LEVELS}
        for solver, by_level in found.items():
            line, words = [problem, solver], ["", ""]
            for level in LEVELS:
                seconds, ours = by_level[level], found.get(OURS, {}).get(level)
                line += [
                    _shown(seconds, row[solver]),
                    f"{seconds / ours:.2f}x" if seconds and ours and solver != OURS else "",
                ]
                words += ["miss" if seconds is None else "best" if seconds == best[level] else "", ""]
            rows.append([*line, residual(_most_accurate(row[solver]))])
            marks.append([*words, ""])
    head = ["problem", "solver"]
    for level in LEVELS:
        head += [f"to {level}", "of numopt"]
    note = (
        "Time of the whole call at the loosest of the solver's own tolerances whose answer has a relative error of the "
        "objective (F - F*) / F* below the level, F recomputed in float64 and F* the least of all runs; for linear "
        "systems the relative residual, for non-negative least squares the relative KKT residual takes its place. "
        "Below 1x a peer is faster than numopt."
    )
    return Table("Times to an accuracy", [*head, "best error"], rows, note, marks)


def winners(records: Sequence[Record]) -> Table:
    """For each problem numopt beside the fastest peer."""
    rows, marks, certified = [], [], certificates(records)
    won = dict.fromkeys(LEVELS, 0)
    shared = dict.fromkeys(LEVELS, 0)
    for problem, row in _tables.sweeps(expanded(records)).items():
        line, words = [problem], [""]
        for level in LEVELS:
            ours = _seconds(row[OURS], level) if OURS in row else None
            others = {s: t for s, cells in row.items() if not s.startswith(OURS) and (t := _seconds(cells, level))}
            peer = min(others, key=lambda solver: others[solver], default=None)
            line += [duration(ours), f"{peer} {duration(others[peer])}" if peer else "-"]
            line.append(f"{others[peer] / ours:.2f}x" if peer and ours else "")
            wins = ours is not None and (peer is None or ours <= others[peer])
            won[level] += wins
            shared[level] += ours is not None or peer is not None
            words += ["best" if wins else "miss", "", ""]
        value = certified.get(problem, math.nan)
        rows.append([*line, "-" if math.isnan(value) else residual(max(value, 0.0))])
        marks.append([*words, ""])
    head = ["problem"]
    for level in LEVELS:
        head += [f"numopt to {level}", "fastest peer", "peer / numopt"]
    counts = ", ".join(f"{won[level]} of {shared[level]} to {level}" for level in LEVELS)
    note = f"numopt is the fastest on {counts}. Last column: by how much F* may be too large, from the duality gap."
    return Table("numopt beside the fastest peer", [*head, "F* certified to"], rows, note, marks)


def _seconds(cells: Sequence[Cell], level: str) -> float | None:
    cell = _tables.loosest(cells, level)
    return None if cell is None else cell.median("seconds")


def _shown(seconds: float | None, cells: Sequence[Cell]) -> str:
    if seconds is not None:
        return duration(seconds)
    status = cells[-1].status
    return "-" if status == "ok" else status


def _most_accurate(cells: Sequence[Cell]) -> float | None:
    return min((error for cell in cells if (error := cell.median("error")) is not None), default=None)
