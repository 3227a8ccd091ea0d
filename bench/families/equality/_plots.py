"""Figures of runs on equality-constrained problems: profiles and time-to-accuracy curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from numopt.bench._plots import Figure, drawing, durations, fractions, performance_figure, style_of
from numopt.bench._profiles import accuracy_profile, data_profile, is_solved
from numopt.bench._records import Record
from numopt.bench._tables import duration, solvers_of
from numopt.bench.families.equality._tables import TIGHT, cells, default_tol

DATA_TAU = 1e-5
MOST_CURVES = 6
FLOOR = 1e-16
"""KKT norms below this are drawn here: a logarithmic axis has no zero."""


def figures(records: Sequence[Record]) -> list[Figure]:
    """All figures that these runs of one case allow."""
    drawn = [performance(records), solved_in_time(records), accuracy(records)]
    if any(record.get("trace") for record in records):
        drawn += [evaluations(records), time_to_accuracy(records)]
    return [figure for figure in drawn if figure is not None]


def performance(records: Sequence[Record]) -> Figure | None:
    """Dolan-More profile of the times."""
    tol = default_tol(records)
    return performance_figure(records, tol, f"KKT ≤ {tol}")


def solved_in_time(records: Sequence[Record]) -> Figure | None:
    """Fraction of the problems solved within a time."""
    tol = default_tol(records)
    grid = cells(records, tol)
    curves: dict[str, list[float]] = {}
    for solver in solvers_of(records):
        done = [row[solver] for row in grid.values() if solver in row and row[solver].done]
        curves[solver] = sorted(t for cell in done if (t := cell.median("seconds")) is not None)
    times = [t for curve in curves.values() for t in curve]
    if not times:
        return None
    first, last = min(times) * 0.7, max(times) * 1.4
    with drawing(6.4, 4.0) as (_, ax, png):
        for solver, curve in curves.items():
            x = [first, *curve, last]
            y = [0.0, *(np.arange(1, len(curve) + 1) / len(grid)), len(curve) / len(grid)]
            ax.step(x, y, where="post", label=solver, **style_of(solver))
        ax.set_xscale("log")
        ax.set_xlim(first, last)
        durations(ax)
        ax.set_xlabel("time for one problem")
        fractions(ax, "problems solved within it")
        ax.legend(loc="upper left")
        image = png()
    said = " ".join(
        f"{s}: half of its solves take at most {duration(curve[(len(curve) - 1) // 2])}, the longest "
        f"{duration(curve[-1])}."
        for s, curve in curves.items()
        if curve
    )
    hint = "Share of the problems solved within the time on the axis: higher and further left is better."
    return Figure(
        "solved", f"Solved within a time, KKT ≤ {tol}", hint, image, f"Fraction of problems solved against time. {said}"
    )


def accuracy(records: Sequence[Record]) -> Figure | None:
    """Fraction of the problems that end at or below each KKT norm."""
    digits, curves = accuracy_profile(records)
    if not any(curve[0] > 0 for curve in curves.values()):
        return None
    with drawing(6.4, 4.0) as (_, ax, png):
        for solver, curve in curves.items():
            ax.plot(digits, curve, label=solver, **style_of(solver))
        ax.set_xlim(0, 16)
        ax.set_xticks(range(0, 17, 4), ["1", "1e-4", "1e-8", "1e-12", "1e-16"])
        ax.set_xlabel("recomputed KKT norm at the end")
        fractions(ax, "problems at or below it")
        ax.legend(loc="lower left")
        image = png()
    at = {s: float(curve[np.searchsorted(digits, 8.0)]) for s, curve in curves.items()}
    alt = (
        "Accuracy profile. At or below a KKT norm of 1e-8 end: "
        + ", ".join(f"{s} {v:.0%}" for s, v in at.items())
        + "."
    )
    hint = "How accurate the answers are when a solver stops by itself: further right is better."
    return Figure("accuracy", "Accuracy reached", hint, image, alt)


def evaluations(records: Sequence[Record]) -> Figure | None:
    """More-Wild data profile of the objective's evaluations."""
    profile = data_profile(records, DATA_TAU)
    if profile.kappa[-1] <= 0:
        return None
    last = float(profile.kappa[-1]) * 1.1
    with drawing(6.4, 4.0) as (_, ax, png):
        for solver in profile.solvers:
            x, y = np.append(profile.kappa, last), np.append(profile.d[solver], profile.d[solver][-1])
            ax.step(x, y, where="post", label=solver, **style_of(solver))
        ax.set_xscale("symlog", base=2, linthresh=0.25)
        ax.set_xlim(0, last)
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
        ax.set_xlabel("evaluations of the objective / (n + 1)")
        fractions(ax, "problems converged")
        ax.legend(loc="best")
        image = png()
    alt = f"Data profile on {profile.n_problems} problems at a reduction of the merit by {DATA_TAU:g}. " + " ".join(
        f"{s} converges on {float(profile.d[s][-1]):.0%}." for s in profile.solvers
    )
    hint = (
        "Work instead of time, without the derivatives: evaluations until objective and constraints together "
        f"have come down to {DATA_TAU:g} of where they began."
    )
    return Figure("evaluations", f"Data profile (Moré-Wild), merit reduced to {DATA_TAU:g}", hint, image, alt)


def time_to_accuracy(records: Sequence[Record]) -> Figure | None:
    """KKT norm against time on the problems that took longest."""
    chosen = _longest(records)
    if not chosen:
        return None
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    with drawing(4.4 * columns, 3.1 * rows + 0.4, nrows=rows, ncols=columns, squeeze=False) as (figure, axes, png):
        handles: dict[str, Any] = {}
        for ax, (problem, members) in zip(axes.flat, chosen.items(), strict=False):
            for record in members:
                line = _kkt_curve(ax, record)
                if line is not None:
                    handles.setdefault(record["solver"], line)
            ax.set_title(problem)
            ax.set_yscale("log")
            ax.set_xscale("log")
            durations(ax)
            ax.axhline(1e-8, color="#1f2933", linewidth=0.8, linestyle=(0, (1, 3)))
        for ax in axes.flat[len(chosen) :]:
            ax.set_visible(False)
        for ax in axes[:, 0]:
            ax.set_ylabel("KKT norm")
        for ax in axes[-1, :]:
            ax.set_xlabel("time")
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(6, len(handles)))
        image = png()
    alt = "Lowest KKT norm so far against time on " + ", ".join(chosen) + ". " + _reached(chosen)
    hint = "Lowest KKT norm so far. A dot marks where the solver stopped by itself, the dotted line 1e-8."
    return Figure("paths", "Time to accuracy, problems that took longest", hint, image, alt, wide=columns > 2)


def _longest(records: Sequence[Record]) -> dict[str, list[Record]]:
    """The problems with the longest median time, one traced run of each solver."""
    members: dict[str, dict[str, Record]] = {}
    for record in records:
        if len(record.get("trace") or ()) > 1:
            members.setdefault(record["problem"], {}).setdefault(record["solver"], record)
    order = sorted(members, key=lambda p: -float(np.median([r["seconds"] for r in members[p].values()])))
    return {problem: list(members[problem].values()) for problem in order[:MOST_CURVES]}


def _kkt_curve(ax: Any, record: Mapping[str, Any]) -> Any:
    rows = [(row[3], row[4]) for row in record["trace"] if row[4] is not None and row[3] > 0]
    if not rows:
        return None
    # The end of the run belongs to the curve: it is where the solver stops by itself.
    end = (
        [(record["seconds"], record["kkt"])]
        if record.get("kkt") is not None and record["seconds"] > rows[-1][0]
        else []
    )
    seconds, kkt = np.array([*rows, *end]).T
    lowest = np.minimum.accumulate(np.maximum(kkt, FLOOR))
    (line,) = ax.step(seconds, lowest, where="post", **style_of(record["solver"]))
    ax.plot(seconds[-1:], lowest[-1:], marker="o", markersize=4, color=line.get_color())
    return line


def _reached(chosen: Mapping[str, Sequence[Record]]) -> str:
    runs = [record for members in chosen.values() for record in members]
    solved: dict[str, list[bool]] = {}
    for record in runs:
        solved.setdefault(record["solver"], []).append(is_solved(record, TIGHT))
    return "They end below 1e-8: " + ", ".join(f"{s} on {sum(v)} of {len(v)}" for s, v in solved.items()) + "."
