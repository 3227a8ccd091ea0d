"""The experiments of the paper on greedy block coordinate descent: its figures 4 to 13 on data sets A to E."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numopt.bench import peers
from numopt.bench._run import Run
from numopt.bench.cases._base import MEMORY_LIMIT, Case, Options
from numopt.bench.families.coordinate._family import tiny
from numopt.bench.peers import _coordinate as coordinate
from numopt.bench.peers._numopt_bcd import BlockDescent, Curve
from numopt.problems import (
    LinearModelData,
    lattice_labels_data,
    sparse_least_squares_data,
    sparse_logistic_data,
    sparse_multinomial_data,
    two_moons_data,
)

EVERY = ("A", "B", "C", "D", "E")
PLAIN = ("random", "cyclic", "lipschitz")
GREEDY = ("gs", "gsl")
RANDOM = ("random", "lipschitz", "tree-random")
FEW_SEEDS, SEEDS = (0,), (0, 1, 2, 3, 4)
"""Of the rules that draw; several where a value is published that hangs on the draw."""

NORMED = ("gs", "gsl", "gsd")
"""Rules whose score of a block the authors' code takes in the l1 norm, and their paper in the squared l2 norm."""

NORMS = ("l2", "l1")
UPDATES = ("prox_newton", "tmp", "gradient")
TARGET = 1e-8
L1 = 50000.0
"""Of the runs with nonnegative coefficients."""

F_OPT_L1 = 6794585.951291936
"""Optimum of these, from a solve on the support in extended precision (54 coefficients; tests repeat it)."""

NONNEG_TARGET = 1e-12
"""Relative to the optimum: there 1e-8 itself is ten units in the last place."""

LINEAR: Mapping[str, tuple[coordinate.Model, Callable[[], LinearModelData]]] = {
    "A": ("least-squares", sparse_least_squares_data),
    "B": ("logistic", sparse_logistic_data),
    "C": ("multinomial", sparse_multinomial_data),
}

DENSE = {"D": 13, "E": 12}
"""Sizes of the blocks without structure that cost as much as a forest: the cubic roots of the unknowns."""


@dataclass(frozen=True)
class Panel:
    """One picture of a figure: a data set, a size of the blocks, and the curves by the names of their methods.

    A curve holds arguments of `bcd`. Fixed blocks are scored in the l1 norm, with which the published curves were made,
    where the name ends in ``-l1``, else in the paper's own. Where iterations are counted there is a `target`.
    """

    figure: int
    data: str
    block_size: int | None
    curves: Mapping[str, Mapping[str, Any]]
    target: float | None = None
    l1: float = 0.0
    seeds: tuple[int, ...] = FEW_SEEDS

    @property
    def label(self) -> str:
        size = "graph" if self.block_size is None else str(self.block_size)
        return f"fig{self.figure}/{self.data}/{size}"


def panels() -> list[Panel]:
    """All pictures; the largest figure, of which no values are published, comes last."""
    made = [_gradient(4, data, 5) for data in EVERY]
    made += [_matrix(5, "A", 5), _matrix(5, "D", 100)]
    made += [_forests(data) for data in ("D", "E")]
    made += [_nonnegative(7, size, "gs-q") for size in (5, 50, 100)]
    made += [_constants(data, size) for data in EVERY for size in (5, 20, 50)]
    made += [_partitions(data, size) for data in ("A", "B", "C") for size in (5, 20, 50)]
    made += [_matrix(11, "A", size, TARGET) for size in (50, 100)]
    made += [_newton(size) for size in (50, 100)]
    made += [_nonnegative(13, size, "random") for size in (5, 50, 100)]
    made += [_gradient(8, data, size, norms=("l1",)) for data in EVERY for size in (50, 100)]
    return made


def _gradient(figure: int, data: str, size: int, norms: Sequence[str] = NORMS) -> Panel:
    rules = (*PLAIN, *GREEDY)
    variable = _variable(rules, size, update="gradient")
    return Panel(figure, data, size, {**variable, **_fixed(rules, "sort", size, norms, update="gradient")})


def _matrix(figure: int, data: str, size: int, target: float | None = None) -> Panel:
    variable = _variable((*NORMED, "gsq_iht"), size, update="matrix")
    fixed = _fixed((*NORMED, "gsq"), "sort", size, update="matrix")
    if data == "D":
        # Hardly any L_i differ there, and sorting keeps neighbours together: these show what mixing them does.
        fixed |= _fixed((*NORMED, "gsq"), "average", size, update="matrix")
    return Panel(figure, data, size, {**variable, **fixed}, target)


def _newton(size: int) -> Panel:
    variable = _variable(("gs", "gsd", "gsq_iht"), size, update="newton")
    fixed = _fixed((*NORMED, "gsq"), "sort", size, update="newton")
    return Panel(12, "B", size, {**variable, **fixed}, TARGET)


def _forests(data: str) -> Panel:
    """Forests and colours of a graph beside a dense block of the same cost."""
    exact = {"update": "message_passing"}
    curves: dict[str, dict[str, Any]] = {
        "greedy tree": {"partition": "variable", "selection": "tree-gs", **exact},
        "random tree": {"partition": "variable", "selection": "tree-random", **exact},
        "forests": {"partition": "tree_partition", "selection": "cyclic", **exact},
        "forests by index": {
            "partition": "tree_partition",
            "selection": "cyclic",
            **exact,
            "options": {"order": "index"},
        },
        "red-black": {"partition": "redblack", "selection": "cyclic", **exact},
        "dense": {"partition": "variable", "block_size": DENSE[data], "selection": "gs", "update": "matrix"},
    }
    if data == "D":
        curves["comb"] = {"partition": "comb", "selection": "cyclic", **exact}
    return Panel(6, data, None, curves, seeds=SEEDS)


def _nonnegative(figure: int, size: int, rule: str) -> Panel:
    curves = {
        f"{update}-{partition}": {"partition": partition, "block_size": size, "selection": rule, "update": update}
        for partition in ("variable", "sort")
        for update in UPDATES
    }
    seeds = SEEDS if size == 100 else FEW_SEEDS
    return Panel(figure, "A", size, curves, NONNEG_TARGET * F_OPT_L1, L1, seeds)


def _constants(data: str, size: int) -> Panel:
    """Constants of the blocks, or estimates that grow alone (as the authors'), or that shrink as well."""
    common: dict[str, Any] = {"update": "gradient", "partition": "order", "block_size": size, "selection": "gsl"}
    curves = {
        "gsl-order-l1": {**common, "options": {"norm": "l1"}},
        "gsl-order-estimate-l1": {**common, "lipschitz": "estimate", "options": {"norm": "l1", "shrink": 1.0}},
        "gsl-order-shrink-l1": {**common, "lipschitz": "estimate", "options": {"norm": "l1"}},
    }
    return Panel(9, data, size, curves)


def _partitions(data: str, size: int) -> Panel:
    norms = NORMS if data == "A" else ("l1",)
    curves: dict[str, Any] = {}
    for partition in ("order", "average", "sort"):
        curves |= _fixed(("gsl", "gsd"), partition, size, norms, update="gradient")
    return Panel(10, data, size, curves)


def _variable(rules: tuple[str, ...], size: int, **more: Any) -> dict[str, dict[str, Any]]:
    common = {"partition": "variable", "block_size": size, **more}
    return {f"{rule}-variable": {"selection": rule, **common} for rule in rules}


def _fixed(
    rules: Sequence[str], partition: str, size: int, norms: Sequence[str] = NORMS, **more: Any
) -> dict[str, dict[str, Any]]:
    """Curves of fixed blocks, in each norm where a rule has the choice."""
    curves: dict[str, dict[str, Any]] = {}
    for rule in rules:
        name, curve = f"{rule}-{partition}", {"selection": rule, "partition": partition, "block_size": size, **more}
        if rule not in NORMED:
            curves[name] = curve
            continue
        for norm in norms:
            curves[f"{name}-l1" if norm == "l1" else name] = {**curve, "options": {"norm": norm}}
    return curves


class CoordinatePaper(Case):
    """A run is one curve of a figure: counts of block updates, or objectives after 500 of them."""

    name = "coordinate-paper"
    summary = "the figures of the paper on greedy block coordinate descent: iterations and objectives, all rules"

    def plan(self, options: Options) -> list[Run]:
        seeds = {
            f"{panel.label}/{method}": panel.seeds if curve["selection"] in RANDOM else (None,)
            for panel in panels()
            for method, curve in panel.curves.items()
        }
        return [
            Run(
                case=self.name,
                problem=label,
                solver=solver,
                family="coordinate",
                seed=seed,
                threads=options.threads or 1,
                time_limit=options.time_limit or 120.0,
                memory_limit=options.memory_limit or MEMORY_LIMIT,
                repeats=options.repeats or 1,
            )
            for label in matching(list(seeds), options.problems)
            for solver in peers.expand(options.solvers or (BlockDescent.name,), "coordinate")
            for seed in (options.seeds if options.seeds and seeds[label] != (None,) else seeds[label])
        ]

    def setup(self, run: Run) -> Curve:
        label, _, method = run.problem.rpartition("/")
        panel = next(panel for panel in panels() if panel.label == label)
        return build(panel, method)

    def warm_up(self, run: Run, problem: Any, solver: peers.Solver[Any, Any]) -> None:
        """The same rules on something tiny, whose blocks are small and whose graph is another."""
        small = dict(problem.arguments)
        if not isinstance(small["partition"], str):
            small["partition"] = "tree_partition"
        if "block_size" in small:
            small["block_size"] = 4
        solver.set_problem(replace(tiny(problem), arguments=small), self.settings(run))
        solver.run()


def matching(known: Sequence[str], requested: Sequence[str] | None) -> list[str]:
    """The labels that are requested, or begin with what is (``fig5``, ``fig5/A/5``); all without a request."""
    if requested is None:
        return list(known)
    for word in requested:
        if not any(_begins(label, word) for label in known):
            raise ValueError(f"no problem {word!r} here; there are {', '.join(dict.fromkeys(map(_panel_of, known)))}.")
    return [label for label in known if any(_begins(label, word) for word in requested)]


def _begins(label: str, word: str) -> bool:
    return label == word or label.startswith(f"{word}/")


def _panel_of(label: str) -> str:
    return label.rpartition("/")[0]


def build(panel: Panel, method: str) -> Curve:
    """The task of one curve."""
    common: dict[str, Any] = {
        "name": f"{panel.label}/{method}",
        "measure": "value",
        "arguments": panel.curves[method],
        "target": panel.target,
        "shown": {"panel": panel.label, "method": method, "target": panel.target},
    }
    if panel.data in LINEAR:
        model, draw = LINEAR[panel.data]
        data = draw()
        penalty: dict[str, Any] = {"l1": panel.l1, "nonneg": True} if panel.l1 else {}
        f_opt = F_OPT_L1 if panel.l1 else data.f_opt
        return Curve(source=data.source, model=model, A=data.A, b=data.y, f_opt=f_opt, **penalty, **common)
    graph = lattice_labels_data() if panel.data == "D" else two_moons_data()
    if panel.curves[method]["partition"] == "comb":
        common["arguments"] = {**panel.curves[method], "partition": comb(~graph.mask, graph.grid_shape)}
    return Curve(source=graph.source, model="quadratic", A=graph.Q, b=graph.c, f_opt=graph.f_opt, **common)


def comb(free: NDArray[np.bool_], grid_shape: Any) -> list[NDArray[np.int64]]:
    """Two forests that cover a lattice: its first row and its even columns without the last row, and the rest.

    Only the `free` nodes are there, numbered in their order.
    """
    rows, columns = np.divmod(np.arange(free.size), grid_shape[1])
    first = (rows == 0) | ((columns % 2 == 0) & (rows < grid_shape[0] - 1))
    return [np.flatnonzero(side[free]) for side in (first, ~first)]


CASE = CoordinatePaper()
