"""Figures of runs on linear systems: profile of the solves, paths of the sequences, quantities of the theory."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numopt.bench._plots import Figure, drawing, performance_figure, style_of
from numopt.bench._records import Record
from numopt.bench.families.linear._tables import LEVEL, PLAIN, is_done, is_learning, is_paper, kind
from numopt.bench.families.linear._theory import NEAR_BETA, NEAR_TAU

Floats = NDArray[np.float64]

CHOOSING = ("numopt-sor", "numopt-tsallis", "numopt-tsallis-cb", "numopt-chebcb")
"""Solvers whose parameter changes from system to system."""


def figures(records: Sequence[Record]) -> list[Figure]:
    """All figures that these runs allow."""
    solved = [record for record in records if kind(record) == "solve"]
    profile = performance_figure(solved, LEVEL, f"relative residual ≤ {LEVEL}") if solved else None
    return [*([profile] if profile is not None else []), *documented(records)]


def documented(records: Sequence[Record]) -> list[Figure]:
    """The figures for the documentation too: those of the experiments."""
    makers = (cumulative, chosen, wallclock, offsets, relaxation_bounds, degenerate, cg_bounds)
    return [figure for make in makers if (figure := make(records)) is not None]


def cumulative(records: Sequence[Record]) -> Figure | None:
    """Iterations so far against the number of systems."""
    paths = _paths(records, "iterations")
    if not paths:
        return None
    with _panels(paths) as (axes, figure, png):
        for ax, (problem, members) in zip(axes, paths.items(), strict=False):
            for record in members:
                path = record["path"]
                ax.plot(path["step"], path["iterations"], label=record["solver"], **style_of(record["solver"]))
            ax.set_title(problem)
            ax.set_xlabel("systems solved")
            ax.set_xlim(left=0)
            ax.set_ylim(bottom=0)
        axes[0].set_ylabel("iterations so far")
        _legend(figure, axes)
        image = png()
    ends = [f"{r['solver']} on {p}: {r['path']['iterations'][-1]}" for p, members in paths.items() for r in members]
    hint = "Iterations of all solves so far; of solvers that learn, in the first trial."
    alt = f"Iterations so far against the systems solved; in the end {'; '.join(ends)}."
    return Figure("iterations", "Cumulative iterations", hint, image, alt, wide=len(paths) > 1)


def chosen(records: Sequence[Record]) -> Figure | None:
    """What was chosen: against the context where the systems are random, against time where they follow one another."""
    paths = {p: [r for r in m if r["solver"] in CHOOSING] for p, m in _paths(records, "chosen").items()}
    paths = {problem: members for problem, members in paths.items() if members}
    if not paths:
        return None
    with _panels(paths) as (axes, figure, png):
        for ax, (problem, members) in zip(axes, paths.items(), strict=False):
            for record in members:
                path, look = record["path"], style_of(record["solver"])
                learning = is_learning(record) and "context" in path
                across = path["context"] if learning else path["step"]
                ax.plot(across, path["chosen"], ".", color=look["color"], markersize=3, label=record["solver"])
                ax.set_xlabel("offset c" if learning else "system")
            ax.set_title(problem)
        axes[0].set_ylabel("relaxation factor chosen")
        _legend(figure, axes)
        image = png()
    hint = (
        "The factor of some of the systems in the first trial: against the offset of random systems, in time for the "
        "heat equation. numopt-sor takes Young's factor of each matrix."
    )
    alt = f"Relaxation factors chosen by {', '.join(dict.fromkeys(r['solver'] for m in paths.values() for r in m))}."
    return Figure("chosen", "Relaxation factors chosen", hint, image, alt, wide=len(paths) > 1)


def wallclock(records: Sequence[Record]) -> Figure | None:
    """Time of the heat equation relative to the faster plain CG's, against the size."""
    times: dict[str, dict[float, list[float]]] = {}
    plain: dict[float, float] = {}
    chosen_runs = [r for r in records if is_paper(r) and kind(r) == "sequence" and not is_learning(r) and is_done(r)]
    largest: dict[float, float] = {}
    for record in chosen_runs:
        largest[record["n"]] = max(largest.get(record["n"], 0.0), record["steps"])
    for record in chosen_runs:
        if record["steps"] != largest[record["n"]]:
            continue
        if record["solver"] in PLAIN:
            plain[record["n"]] = min(record["seconds"], plain.get(record["n"], np.inf))
        times.setdefault(record["solver"], {}).setdefault(record["n"], []).append(record["seconds"])
    if len(plain) < 2:
        return None
    with drawing(6.4, 4.0) as (_, ax, png):
        for solver, found in times.items():
            sizes = sorted(n for n in found if n in plain)
            values = [float(np.median(found[n])) / plain[n] for n in sizes]
            ax.plot(sizes, values, marker="o", markersize=4, label=solver, **style_of(solver))
        ax.set_xscale("log")
        ax.set_ylim(bottom=0)
        ax.set_xlabel("unknowns")
        ax.set_ylabel("time / time of CG")
        ax.legend(ncols=2)
        image = png()
    ends = [
        f"{s} {float(np.median(f[max(plain)])) / plain[max(plain)]:.2f}" for s, f in times.items() if max(plain) in f
    ]
    alt = (
        f"Time of the heat equation over that of the faster plain CG; at {max(plain):.0f} unknowns: {', '.join(ends)}."
    )
    return Figure(
        "wallclock", "Heat equation: time relative to CG", "Below 1 is faster than both plain CGs.", image, alt
    )


def offsets(records: Sequence[Record]) -> Figure | None:
    """How near the iterations are to their asymptotic rate, against the offset."""
    record = _curve(records, "offsets")
    if record is None:
        return None
    columns = _columns(record)
    c, omega = columns["context"], columns["omega"]
    with drawing(9.0, 3.6, ncols=2) as (_, axes, png):
        for value in np.unique(omega):
            there = omega == value
            axes[0].plot(c[there], columns["tau"][there], label=f"omega {value:g}")
        axes[0].axhline(NEAR_TAU, color="#555555", linestyle=":", label="1/e²")
        axes[0].set_ylabel("tau")
        axes[0].legend()
        there = omega == omega[0]
        axes[1].plot(c[there], columns["beta"][there])
        axes[1].axhline(NEAR_BETA, color="#555555", linestyle=":", label="4 (1 - 1/e²) / e²")
        axes[1].set_ylabel("beta")
        axes[1].set_ylim(0, 1.05)
        axes[1].legend()
        for ax in axes:
            ax.set_xlabel("offset c")
        image = png()
    tau, beta = columns["tau"], columns["beta"]
    alt = f"tau between {tau.min():.3f} and {tau.max():.3f}, beta between {beta.min():.3f} and {beta.max():.3f}."
    hint = "tau: how far the norms of the powers stay behind the spectral radius. beta: spectral radius of Jacobi."
    return Figure("offsets", "Conditions of the theory against the offset", hint, image, alt, wide=True)


def relaxation_bounds(records: Sequence[Record]) -> Figure | None:
    """Bounds on SOR's iterations beside the actual ones."""
    record = _curve(records, "asymptotic")
    if record is None:
        return None
    columns = _columns(record)
    omega = columns["omega"]
    with drawing(9.0, 3.6, ncols=2) as (_, axes, png):
        names = {"nit": "actual", "near": "near-asymptotic", "asymptotic": "spectral radius", "energy": "energy norm"}
        for name, label in names.items():
            axes[0].plot(omega, columns[name], label=label, linewidth=2.6 if name == "nit" else 1.5)
        axes[0].set_yscale("log")
        axes[0].set_ylabel("iterations")
        axes[0].legend()
        axes[1].plot(omega, columns["tau"])
        axes[1].axhline(NEAR_TAU, color="#555555", linestyle=":")
        axes[1].set_ylabel("tau")
        for ax in axes:
            ax.set_xlabel("relaxation factor")
        image = png()
    least = columns["nit"].argmin()
    alt = f"Iterations of SOR are fewest, {columns['nit'][least]:.0f}, at {omega[least]:.2f}; the bounds lie above."
    hint = "The near-asymptotic bound has the tau on the right, which is measured from the power that was needed."
    return Figure("bounds", "SOR: iterations and bounds", hint, image, alt, wide=True)


def degenerate(records: Sequence[Record]) -> Figure | None:
    """A right-hand side for which the cost jumps, and one for which it does not."""
    found = {name: r for name in ("degenerate", "degenerate-gaussian") if (r := _curve(records, name)) is not None}
    if not found:
        return None
    labels = {"degenerate": "extreme eigenvector of C at 1.4", "degenerate-gaussian": "Gaussian"}
    with drawing(6.4, 4.0) as (_, ax, png):
        for name, record in found.items():
            columns = _columns(record)
            ax.plot(columns["omega"], columns["nit"], label=labels[name])
        ax.set_xlabel("relaxation factor")
        ax.set_ylabel("iterations")
        ax.legend()
        image = png()
    jumps = [f"{labels[name]} {np.abs(np.diff(_columns(r)['nit'])).max():.0f}" for name, r in found.items()]
    alt = (
        f"Iterations of SOR for two right-hand sides; largest change between neighbouring factors: {', '.join(jumps)}."
    )
    return Figure("degenerate", "A cost that jumps", "The same matrix with two right-hand sides.", image, alt)


def cg_bounds(records: Sequence[Record]) -> Figure | None:
    """Axelsson's bound beside the iterations of CG with SSOR."""
    found = [r for r in records if r["status"] == "ok" and "bound" in (r.get("curves") or {})]
    if not found:
        return None
    columns = min(4, len(found))
    rows = -(-len(found) // columns)
    with drawing(3.0 * columns, 2.6 * rows + 0.3, nrows=rows, ncols=columns, squeeze=False) as (figure, axes, png):
        for ax, record in zip(axes.flat, found, strict=False):
            part = _columns(record)
            ax.plot(part["omega"], part["nit"], label="actual", linewidth=2.2)
            ax.plot(part["omega"], part["bound"], label="bound", linestyle="--")
            ax.set_title(record["problem"].removeprefix("cg-"))
            ax.set_ylim(bottom=0)
        for ax in axes.flat[len(found) :]:
            ax.set_visible(False)
        _legend(figure, list(axes.flat))
        image = png()
    texts = [f"{r['problem']}: {_columns(r)['nit'].min():.0f} against {_columns(r)['bound'].min():.0f}" for r in found]
    alt = f"Fewest iterations and least bound: {'; '.join(texts)}."
    hint = "Iterations of CG with SSOR against the relaxation factor, and Axelsson's bound."
    return Figure("cg", "CG with SSOR: iterations and bound", hint, image, alt, wide=True)


def _paths(records: Sequence[Record], column: str) -> dict[str, list[Record]]:
    """The first run with a path of each solver, by problem."""
    found: dict[str, dict[str, Record]] = {}
    for record in records:
        if is_paper(record) and column in (record.get("path") or {}):
            found.setdefault(record["problem"], {}).setdefault(record["solver"], record)
    return {problem: list(members.values()) for problem, members in found.items()}


def _curve(records: Sequence[Record], problem: str) -> Record | None:
    return next((r for r in records if r["problem"] == problem and r.get("curves")), None)


def _columns(record: Record) -> dict[str, Floats]:
    return {name: np.array(values, dtype=np.float64) for name, values in record["curves"].items()}


@contextmanager
def _panels(paths: dict[str, Any]) -> Iterator[tuple[list[Any], Any, Callable[[], bytes]]]:
    """One panel for each problem."""
    columns = min(3, len(paths))
    rows = -(-len(paths) // columns)
    with drawing(3.8 * columns, 3.2 * rows + 0.6, nrows=rows, ncols=columns, squeeze=False) as (figure, axes, png):
        for ax in axes.flat[len(paths) :]:
            ax.set_visible(False)
        yield list(axes.flat), figure, png


def _legend(figure: Any, axes: Sequence[Any]) -> None:
    """Each label once, below."""
    handles: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(5, len(handles)))
