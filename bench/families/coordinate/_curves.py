"""The paper's figures drawn anew: the curve of every method, the published values on them, and both in the legend."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from numopt.bench._plots import Figure, drawing
from numopt.bench._records import Record
from numopt.bench.families.coordinate import _paper

COLUMNS = 2
WIDTH, HEIGHT = 5.0, 2.4
"""Of a panel with its legend, in inches."""

MANY = 12
"""Curves whose legend needs small print."""

FLOOR = 1e-9
"""Below this an objective counts as the optimum."""

_COLORS = {
    "random": "#999999",
    "cyclic": "#555555",
    "lipschitz": "#CC79A7",
    "gs": "#E69F00",
    "gsl": "#0072B2",
    "gsd": "#009E73",
    "gsq": "#D55E00",
    "gsq_iht": "#D55E00",
    "prox_newton": "#0072B2",
    "tmp": "#E69F00",
    "gradient": "#009E73",
    "greedy tree": "#0072B2",
    "random tree": "#56B4E9",
    "comb": "#009E73",
    "forests": "#E69F00",
    "forests by index": "#B8860B",
    "red-black": "#D55E00",
    "dense": "#555555",
}
_LINES = {"variable": "-", "sort": "--", "order": ":", "average": "-.", "estimate": "-", "shrink": "--"}


def figures(records: Sequence[Record]) -> list[Figure]:
    """One figure for each of the paper's."""
    return _drawn(_paper.panels(records))


def compared(records: Sequence[Record]) -> list[Figure]:
    """The same without the pictures of which nothing is published, and the figures of which no value is."""
    there = _paper.panels(records)
    valued = {panel.figure for panel in there if panel.expected}
    return _drawn([panel for panel in there if panel.figure in valued and (panel.expected or panel.chains)])


def _drawn(there: Sequence[_paper.Panel]) -> list[Figure]:
    numbers = dict.fromkeys(panel.figure for panel in there)
    made = (_figure([panel for panel in there if panel.figure == number]) for number in numbers)
    return [figure for figure in made if figure is not None]


def _figure(panels: Sequence[_paper.Panel]) -> Figure | None:
    panels = [panel for panel in panels if any(_curve(panel, method) for method in panel.runs)]
    if not panels:
        return None
    number = panels[0].figure
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    shape = {"nrows": rows, "ncols": columns, "squeeze": False}
    with drawing(WIDTH * columns, HEIGHT * rows, **shape) as (_, axes, png):
        for ax, panel in zip(axes.flat, panels, strict=False):
            _draw(ax, panel)
        for ax in axes.flat[len(panels) :]:
            ax.set_visible(False)
        image = png()
    hint = (
        "F - F* against block updates. The legend has each method's value, and in brackets the published one, which a "
        "circle marks. Of the two norms the authors' l1 is drawn thick."
    )
    texts = [f"{panel.title}: {_spoken(panel)}" for panel in panels if panel.expected]
    alt = " ".join([f"Figure {number} of the paper, {_paper.TITLES[number]}.", *texts])
    return Figure(f"fig{number}", f"Figure {number}: {_paper.TITLES[number]}", hint, image, alt, wide=columns > 1)


def _draw(ax: Any, panel: _paper.Panel) -> None:
    top = 0.0
    for method in panel.runs:
        curve = _curve(panel, method)
        if curve is None:
            continue
        name = method.removesuffix("-l1")
        color, line = _look(name)
        is_compared = _paper.is_compared(panel, method)
        look = {"linewidth": 1.8 if is_compared else 0.8, "linestyle": line, "color": color}
        ax.plot(curve[0], [max(value, FLOOR) for value in curve[1]], label=_paper.entry(panel, method), **look)
        top = max(top, curve[1][0])
        known = panel.expected.get(name) if is_compared else None
        if known is not None and math.isfinite(known.high):
            middle = math.sqrt(known.low * known.high)
            at = (middle, _target(panel)) if panel.counts else (_paper.ITERATIONS, middle)
            ax.plot(*at, "o", markerfacecolor="none", color=color, clip_on=False, zorder=4)
    ax.set_yscale("log")
    ax.set_ylim(top=2.0 * top)
    ax.set_xlim(0, _paper.ITERATIONS)
    ax.set_title(panel.title)
    ax.set_xlabel("block updates")
    if panel.counts:
        ax.set_ylim(bottom=0.1 * _target(panel))
    size = 7.0 if len(panel.runs) <= MANY else 5.5
    ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=size, labelspacing=0.3)


def _look(name: str) -> tuple[str, str]:
    """Colour by the rule or the update, line by the kind of blocks."""
    if name in _COLORS:
        return _COLORS[name], "-"
    return _COLORS[name.partition("-")[0]], _LINES[name.rpartition("-")[2]]


def _curve(panel: _paper.Panel, method: str) -> list[list[float]] | None:
    """Block updates and objectives of a method: of several runs the middle one."""
    runs = [run for run in panel.runs[method] if run.get("curve")]
    runs.sort(key=lambda run: run["curve"][1][-1])
    return runs[len(runs) // 2]["curve"] if runs else None


def _target(panel: _paper.Panel) -> float:
    return float(next(run["target"] for runs in panel.runs.values() for run in runs if run.get("target")))


def _spoken(panel: _paper.Panel) -> str:
    parts = []
    for method, value in panel.expected.items():
        found = panel.compared(method)
        if found:
            parts.append(f"{method} {_paper.shown(statistics.median(found))} (published {value})")
    return ", ".join(parts) + "."
