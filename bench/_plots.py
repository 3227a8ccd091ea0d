"""Figures as PNG bytes with a text that says what they show: styles and axes that all families share."""

import io
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from numopt.bench import _tables
from numopt.bench._profiles import performance_profile
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
    "numopt-few-steps": {"color": "#0072B2", "linestyle": ":"},
    "numopt-no-anneal": {"color": "#56B4E9", "linestyle": "--"},
    "numopt-no-warmup": {"color": "#555555", "linestyle": "-."},
    "pot-sinkhorn": {"color": "#E69F00", "linestyle": "--"},
    "pot-sinkhorn-log": {"color": "#B8860B", "linestyle": ":"},
    "pot-emd": {"color": "#777777", "linestyle": "-"},
    "regot-ssns": {"color": "#D55E00", "linestyle": (0, (5, 1))},
    "regot-splr": {"color": "#A0522D", "linestyle": ":"},
    "mdot-tnt": {"color": "#009E73", "linestyle": "-."},
    "ott": {"color": "#CC79A7", "linestyle": "-"},
    "geomloss": {"color": "#8C5AA8", "linestyle": (0, (3, 1, 1, 1))},
    "numopt-chebcb": {"color": "#0072B2", "linestyle": "-", "linewidth": 2.6, "zorder": 5},
    "numopt-tsallis": {"color": "#E69F00", "linestyle": "-"},
    "numopt-tsallis-cb": {"color": "#009E73", "linestyle": "-"},
    "numopt-ssor-cg": {"color": "#0072B2", "linestyle": "-", "linewidth": 2.6, "zorder": 5},
    "numopt-ssor-cg-young": {"color": "#56B4E9", "linestyle": "--"},
    "numopt-ssor-cg-1": {"color": "#BBBBBB", "linestyle": "--"},
    "numopt-ssor-cg-1.3": {"color": "#999999", "linestyle": "-."},
    "numopt-ssor-cg-1.5": {"color": "#777777", "linestyle": ":"},
    "numopt-ssor-cg-1.75": {"color": "#555555", "linestyle": "--"},
    "numopt-ssor-cg-1.9": {"color": "#333333", "linestyle": "-."},
    "numopt-ssor-cg-1.95": {"color": "#333333", "linestyle": ":"},
    "numopt-cg": {"color": "#CC79A7", "linestyle": "-"},
    "numopt-sor": {"color": "#111111", "linestyle": "-"},
    "numopt-sor-grid": {"color": "#777777", "linestyle": "--"},
    "scipy-cg": {"color": "#D55E00", "linestyle": (0, (5, 1))},
    "scipy-splu": {"color": "#A0522D", "linestyle": ":"},
    "pyamg-rs-cg": {"color": "#009E73", "linestyle": "-."},
    "pyamg-sa-cg": {"color": "#8C5AA8", "linestyle": (0, (3, 1, 1, 1))},
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


@dataclass(frozen=True)
class Figure:
    """A PNG image, its name, its title and reading hint for the page, and its text for those who do not see it."""

    name: str
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
def drawing(width: float, height: float, **subplots: Any) -> Iterator[tuple[Any, Any, Callable[[], bytes]]]:
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


def performance_figure(records: Sequence[Record], tol: str, solved: str) -> Figure | None:
    """Dolan-More profile of the times to `tol` (`solved` in words); None where there is nothing to compare."""
    profile = performance_profile(records, tol=tol, tau_max=math.inf)
    if profile.n_unsolved == profile.n_problems or len(profile.solvers) < 2:
        return None
    last = max(2.0, float(profile.tau[-1]) * 1.3)
    with drawing(6.4, 4.0) as (_, ax, png):
        for solver in profile.solvers:
            x, y = np.append(profile.tau, last), np.append(profile.rho[solver], profile.rho[solver][-1])
            ax.step(x, y, where="post", label=solver, **style_of(solver))
            if solver in profile.band:
                ax.fill_between(
                    profile.tau, *profile.band[solver], step="post", color=style_of(solver)["color"], alpha=0.12, lw=0
                )
        powers_of_two(ax, last)
        ax.set_xlabel("time, as a multiple of the fastest solver's")
        fractions(ax, "problems solved")
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
    return Figure("performance", f"Performance profile (Dolan-Moré), {solved}", hint, image, alt)


def fractions(ax: Any, label: str) -> None:
    """A vertical axis from none to all."""
    ax.set_ylim(-0.02, 1.03)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "25 %", "50 %", "75 %", "100 %"])
    ax.set_ylabel(label)


def powers_of_two(ax: Any, last: float) -> None:
    """A logarithmic horizontal axis from 1 to `last`."""
    ax.set_xscale("log", base=2)
    ax.set_xlim(1, last)
    top = math.ceil(math.log2(last))
    step = max(1, math.ceil(top / 8))
    ticks = [2.0**k for k in range(0, top + 1, step) if 2.0**k <= last]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])


def durations(ax: Any) -> None:
    """Label a horizontal axis of seconds in readable units."""
    ax.xaxis.set_major_formatter(lambda value, _: _tables.duration(value))
    ax.xaxis.set_minor_formatter(lambda value, _: "")
