"""Figures of the report, as PNG bytes with a text that says what they show."""

import importlib.util
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from numopt.bench import _tables
from numopt.bench._profiles import accuracy_profile, data_profile, is_solved, performance_profile
from numopt.bench._records import Record

# Okabe and Ito's colours, told apart with any colour vision; lines differ in style as well.
_STYLES: dict[str, dict[str, Any]] = {
    "numopt": {"color": "#0072B2", "linestyle": "-", "linewidth": 2.6, "zorder": 5},
    "numopt-rk": {"color": "#0072B2", "linestyle": "-", "linewidth": 2.2},
    "numopt-gv": {"color": "#56B4E9", "linestyle": "--"},
    "numopt-l1": {"color": "#555555", "linestyle": "-."},
    "numopt-l1-adaptive": {"color": "#999999", "linestyle": ":"},
    "slsqp": {"color": "#E69F00", "linestyle": "--"},
    "trust-constr": {"color": "#009E73", "linestyle": "-."},
    "ipopt": {"color": "#D55E00", "linestyle": (0, (5, 1))},
    "uno-filtersqp": {"color": "#CC79A7", "linestyle": "-"},
    "uno-ipopt": {"color": "#8C5AA8", "linestyle": (0, (3, 1, 1, 1))},
}
_OTHERS = ("#777777", "#5B8C5A", "#A0522D", "#4B4E6D")

_RC: dict[Any, Any] = {
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#5a6472",
    "axes.labelcolor": "#1f2933",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e8ee",
    "grid.linewidth": 0.8,
    "xtick.color": "#5a6472",
    "ytick.color": "#5a6472",
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "white",
    "savefig.dpi": 144,
}

DATA_TAU = 1e-5
MOST_CURVES = 6
FLOOR = 1e-16
"""KKT norms below this are drawn here: a logarithmic axis has no zero."""


@dataclass(frozen=True)
class Figure:
    """A PNG image, its title and reading hint for the page, and its text for those who do not see it."""

    title: str
    hint: str
    png: bytes
    alt: str
    wide: bool = False


def style_of(solver: str) -> dict[str, Any]:
    """Line style of a solver, the same in every figure."""
    if solver in _STYLES:
        return dict(_STYLES[solver])
    return {"color": _OTHERS[sum(map(ord, solver)) % len(_OTHERS)], "linestyle": ":"}


@contextmanager
def _drawing(width: float, height: float, **subplots: Any) -> Iterator[tuple[Any, Any, Callable[[], bytes]]]:
    """Axes on a canvas without a window, closed in the end."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    with rc_context(_RC):
        figure = Canvas(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(**subplots)

        def png() -> bytes:
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", metadata={"Software": None})
            return buffer.getvalue()

        yield figure, axes, png


def figures(records: Sequence[Record]) -> list[Figure]:
    """All figures that these runs of one case allow; none where matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        return []
    drawn = [performance(records), solved_in_time(records), accuracy(records)]
    if any(record.get("trace") for record in records):
        drawn += [evaluations(records), time_to_accuracy(records)]
    return [figure for figure in drawn if figure is not None]


def performance(records: Sequence[Record]) -> Figure | None:
    """Dolan-More profile of the times."""
    tol = _tables.default_tol(records)
    profile = performance_profile(records, tol=tol, tau_max=math.inf)
    if profile.n_unsolved == profile.n_problems or len(profile.solvers) < 2:
        return None
    last = max(2.0, float(profile.tau[-1]) * 1.3)
    with _drawing(6.4, 4.0) as (_, ax, png):
        for solver in profile.solvers:
            x, y = np.append(profile.tau, last), np.append(profile.rho[solver], profile.rho[solver][-1])
            ax.step(x, y, where="post", label=solver, **style_of(solver))
            if solver in profile.band:
                ax.fill_between(
                    profile.tau, *profile.band[solver], step="post", color=style_of(solver)["color"], alpha=0.12, lw=0
                )
        _powers_of_two(ax, last)
        ax.set_xlabel("time, as a multiple of the fastest solver's")
        _fractions(ax, "problems solved")
        ax.legend(loc="lower right")
        image = png()
    best = {s: float(profile.rho[s][0]) for s in profile.solvers}
    final = {s: float(profile.rho[s][-1]) for s in profile.solvers}
    alt = (
        f"Performance profile of solution times on {profile.n_problems} problems. "
        + " ".join(f"{s} is fastest on {best[s]:.0%} and solves {final[s]:.0%}." for s in profile.solvers)
        + (f" {profile.n_unsolved} are solved by nobody." if profile.n_unsolved else "")
    )
    hint = "Share of the problems solved within a factor of the fastest solver: higher and further left is better."
    return Figure(f"Performance profile (Dolan-Moré), KKT ≤ {tol}", hint, image, alt)


def solved_in_time(records: Sequence[Record]) -> Figure | None:
    """Fraction of the problems solved within a time."""
    tol = _tables.default_tol(records)
    grid = _tables.cells(records, tol)
    curves: dict[str, list[float]] = {}
    for solver in _tables.solvers_of(records):
        done = [row[solver] for row in grid.values() if solver in row and row[solver].solved() == row[solver].runs]
        curves[solver] = sorted(t for cell in done if (t := cell.median("seconds")) is not None)
    times = [t for curve in curves.values() for t in curve]
    if not times:
        return None
    first, last = min(times) * 0.7, max(times) * 1.4
    with _drawing(6.4, 4.0) as (_, ax, png):
        for solver, curve in curves.items():
            x = [first, *curve, last]
            y = [0.0, *(np.arange(1, len(curve) + 1) / len(grid)), len(curve) / len(grid)]
            ax.step(x, y, where="post", label=solver, **style_of(solver))
        ax.set_xscale("log")
        ax.set_xlim(first, last)
        _durations(ax)
        ax.set_xlabel("time for one problem")
        _fractions(ax, "problems solved within it")
        ax.legend(loc="upper left")
        image = png()
    said = " ".join(
        f"{s}: half of its solves take at most {_tables.duration(curve[(len(curve) - 1) // 2])}, the longest "
        f"{_tables.duration(curve[-1])}."
        for s, curve in curves.items()
        if curve
    )
    hint = "Share of the problems solved within the time on the axis: higher and further left is better."
    return Figure(
        f"Solved within a time, KKT ≤ {tol}", hint, image, f"Fraction of problems solved against time. {said}"
    )


def accuracy(records: Sequence[Record]) -> Figure | None:
    """Fraction of the problems that end at or below each KKT norm."""
    digits, fractions = accuracy_profile(records)
    if not any(curve[0] > 0 for curve in fractions.values()):
        return None
    with _drawing(6.4, 4.0) as (_, ax, png):
        for solver, curve in fractions.items():
            ax.plot(digits, curve, label=solver, **style_of(solver))
        ax.set_xlim(0, 16)
        ax.set_xticks(range(0, 17, 4), ["1", "1e-4", "1e-8", "1e-12", "1e-16"])
        ax.set_xlabel("recomputed KKT norm at the end")
        _fractions(ax, "problems at or below it")
        ax.legend(loc="lower left")
        image = png()
    at = {s: float(curve[np.searchsorted(digits, 8.0)]) for s, curve in fractions.items()}
    alt = (
        "Accuracy profile. At or below a KKT norm of 1e-8 end: "
        + ", ".join(f"{s} {v:.0%}" for s, v in at.items())
        + "."
    )
    hint = "How accurate the answers are when a solver stops by itself: further right is better."
    return Figure("Accuracy reached", hint, image, alt)


def evaluations(records: Sequence[Record]) -> Figure | None:
    """More-Wild data profile of the objective's evaluations."""
    profile = data_profile(records, DATA_TAU)
    if profile.kappa[-1] <= 0:
        return None
    last = float(profile.kappa[-1]) * 1.1
    with _drawing(6.4, 4.0) as (_, ax, png):
        for solver in profile.solvers:
            x, y = np.append(profile.kappa, last), np.append(profile.d[solver], profile.d[solver][-1])
            ax.step(x, y, where="post", label=solver, **style_of(solver))
        ax.set_xscale("symlog", base=2, linthresh=0.25)
        ax.set_xlim(0, last)
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
        ax.set_xlabel("evaluations of the objective / (n + 1)")
        _fractions(ax, "problems converged")
        ax.legend(loc="best")
        image = png()
    alt = f"Data profile on {profile.n_problems} problems at a reduction of the merit by {DATA_TAU:g}. " + " ".join(
        f"{s} converges on {float(profile.d[s][-1]):.0%}." for s in profile.solvers
    )
    hint = (
        "Work instead of time, without the derivatives: evaluations until objective and constraints together "
        f"have come down to {DATA_TAU:g} of where they began."
    )
    return Figure(f"Data profile (Moré-Wild), merit reduced to {DATA_TAU:g}", hint, image, alt)


def time_to_accuracy(records: Sequence[Record]) -> Figure | None:
    """KKT norm against time on the problems that took longest."""
    chosen = _longest(records)
    if not chosen:
        return None
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    with _drawing(4.4 * columns, 3.1 * rows + 0.4, nrows=rows, ncols=columns, squeeze=False) as (figure, axes, png):
        handles: dict[str, Any] = {}
        for ax, (problem, members) in zip(axes.flat, chosen.items(), strict=False):
            for record in members:
                line = _kkt_curve(ax, record)
                if line is not None:
                    handles.setdefault(record["solver"], line)
            ax.set_title(problem)
            ax.set_yscale("log")
            ax.set_xscale("log")
            _durations(ax)
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
    return Figure("Time to accuracy, problems that took longest", hint, image, alt, wide=columns > 2)


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
        solved.setdefault(record["solver"], []).append(is_solved(record, _tables.TIGHT))
    return "They end below 1e-8: " + ", ".join(f"{s} on {sum(v)} of {len(v)}" for s, v in solved.items()) + "."


def _fractions(ax: Any, label: str) -> None:
    ax.set_ylim(-0.02, 1.03)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "25 %", "50 %", "75 %", "100 %"])
    ax.set_ylabel(label)


def _powers_of_two(ax: Any, last: float) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xlim(1, last)
    top = math.ceil(math.log2(last))
    step = max(1, math.ceil(top / 8))
    ticks = [2.0**k for k in range(0, top + 1, step) if 2.0**k <= last]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])


def _durations(ax: Any) -> None:
    ax.xaxis.set_major_formatter(lambda value, _: _tables.duration(value))
    ax.xaxis.set_minor_formatter(lambda value, _: "")
