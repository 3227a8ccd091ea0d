"""Figures of runs on optimal transport: profile of the times; paths of the paper's experiments."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numopt.bench._plots import Figure, drawing, performance_figure, style_of
from numopt.bench._records import Record
from numopt.bench.families.transport._tables import DEFAULT_LEVEL, level_of

Floats = NDArray[np.float64]

FLOOR = 1e-16
"""Gaps below this are drawn here: a logarithmic axis has no zero."""


def figures(records: Sequence[Record]) -> list[Figure]:
    """All figures that these runs allow."""
    profile = times(records)
    return [*([profile] if profile is not None else []), *path_figures(records)]


def path_figures(records: Sequence[Record]) -> list[Figure]:
    """The figures of the runs whose whole path is recorded."""
    return [figure for figure in (gaps(records), densities(records)) if figure is not None]


def times(records: Sequence[Record]) -> Figure | None:
    """Dolan-More profile of the times to the tight level; the exact solver is in no race with the others."""
    chosen = [r for r in records if level_of(r) == DEFAULT_LEVEL and not r.get("exact")]
    return performance_figure(chosen, DEFAULT_LEVEL, f"marginal error ≤ {DEFAULT_LEVEL}") if chosen else None


def gaps(records: Sequence[Record]) -> Figure | None:
    """Optimality gap of the dual against the steps."""
    paths = {label: found for label, members in _traced(records).items() if (found := _gaps(members))}
    if not paths:
        return None
    hint = "Distance of the dual value to the best one found, at the final regularisation. Steps of all kinds count."
    return _panels("gap", paths, "Optimality gap", "relative gap of the dual", hint)


def densities(records: Sequence[Record]) -> Figure | None:
    """Part of the Hessian that each Newton system kept, against the steps."""
    paths = {label: found for label, members in _traced(records).items() if (found := _kept(members))}
    if not paths:
        return None
    hint = "Part of the n x m entries that stay in the sparsified Hessian, at each Newton step."
    return _panels("density", paths, "Sparsity of the Hessian", "entries kept", hint)


Path = tuple[Floats, Floats]


def _traced(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Runs with a history, of each problem at its smallest regularisation."""
    found: dict[str, list[Record]] = {}
    smallest: dict[str, float] = {}
    for record in records:
        if record.get("history"):
            found.setdefault(record["problem"], []).append(record)
            stem = _stem(record["problem"])
            smallest[stem] = min(record["reg"], smallest.get(stem, record["reg"]))
    return {label: part for label, part in found.items() if part[0]["reg"] == smallest[_stem(label)]}


def _stem(problem: str) -> str:
    return problem.rpartition("/")[0]


def _columns(record: Record) -> dict[str, Floats]:
    return {name: np.array(column, dtype=np.float64) for name, column in record["history"].items()}


def _gaps(members: Sequence[Record]) -> dict[str, Path]:
    columns = {record["solver"]: _columns(record) for record in members}
    final = {solver: part["reg"] == part["reg"][-1] for solver, part in columns.items()}
    best = max(float(np.nanmax(part["fun"][final[solver]])) for solver, part in columns.items())
    scale = max(abs(best), FLOOR)
    paths: dict[str, Path] = {}
    for solver, part in columns.items():
        there = final[solver] & np.isfinite(part["fun"])
        paths[solver] = _steps(there), np.maximum((best - part["fun"][there]) / scale, FLOOR)
    return paths


def _kept(members: Sequence[Record]) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    for record in members:
        density = _columns(record)["density"]
        there = np.isfinite(density) & (density > 0)
        if there.any():
            paths[record["solver"]] = _steps(there), density[there]
    return paths


def _steps(there: NDArray[np.bool_]) -> Floats:
    """Numbers of the steps, from 1."""
    return 1.0 + np.flatnonzero(there).astype(np.float64)


def _panels(name: str, paths: dict[str, dict[str, Path]], title: str, label: str, hint: str) -> Figure:
    """One panel for each problem, a curve for each solver."""
    columns = min(3, len(paths))
    rows = -(-len(paths) // columns)
    with drawing(4.0 * columns, 3.0 * rows + 0.4, nrows=rows, ncols=columns, squeeze=False) as (figure, axes, png):
        handles: dict[str, Any] = {}
        for ax, (problem, curves) in zip(axes.flat, paths.items(), strict=False):
            for solver, (steps, values) in curves.items():
                (line,) = ax.plot(steps, values, marker=".", markersize=3, **style_of(solver))
                handles.setdefault(solver, line)
            ax.set_title(problem)
            ax.set_xlim(left=0)
            if name == "density":
                ax.set_ylim(bottom=0)
                ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
            else:
                ax.set_yscale("log")
        for ax in axes.flat[len(paths) :]:
            ax.set_visible(False)
        for ax in axes[:, 0]:
            ax.set_ylabel(label)
        for ax in axes[-1, :]:
            ax.set_xlabel("step")
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(6, len(handles)))
        image = png()
    ends = [
        f"{solver} on {problem}: {values[-1]:.1e} after {steps[-1]:.0f} steps"
        for problem, curves in paths.items()
        for solver, (steps, values) in curves.items()
    ]
    text = f"{title} against the steps; at the end {'; '.join(ends)}."
    return Figure(name, f"{title} against steps", hint, image, text, wide=columns > 2)
