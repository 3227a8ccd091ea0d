"""Entropic optimal transport: generated problems at small regularisation, on one thread or on one GPU."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from numopt.bench import peers
from numopt.bench._run import Run
from numopt.bench.cases._base import MEMORY_LIMIT, Case, Options
from numopt.problems import TransportProblem

GENERATORS: dict[str, Callable[..., TransportProblem]] = {
    "pts": TransportProblem.points,
    "dir": lambda n, **more: TransportProblem.points(n, dirichlet=True, **more),
    "unif": TransportProblem.uniform,
    "l1grid": TransportProblem.grid,
    "clus": TransportProblem.clusters,
    "cloud": lambda n, **more: TransportProblem.points(n, d=3, dense=False, **more),
}
"""Generators by their names in labels; the number behind is the points, or the pixels on one side."""

REGS = ("1e-2", "1e-3", "1e-4")
SIZES = {"pts": (1000, 4000), "dir": (1000, 4000), "unif": (1000, 4000), "l1grid": (32, 64), "clus": (1000,)}
CPU = tuple(f"{name}-{size}/{reg}" for name, sizes in SIZES.items() for size in sizes for reg in REGS)
GPU = ("pts-4096/1e-3", "pts-10000/1e-3", "pts-10000/1e-4", "pts-16384/1e-3", "cloud-100000/1e-3")

CPU_SOLVERS = (
    "numopt", "pot-sinkhorn", "pot-sinkhorn-log", "pot-emd", "regot-ssns", "regot-splr", "mdot-tnt", "ott",
)  # fmt: skip
GPU_SOLVERS = ("numopt", "pot-sinkhorn-log", "ott", "mdot-tnt", "geomloss")
FROM_POINTS = ("numopt", "geomloss")
"""Solvers that need no matrix of costs, for which 100000 points leave no room."""

LEVEL = "1e-9"
LOOSE_LEVELS = ("1e-4", "1e-6")
LOOSE_SOLVERS = ("numopt", "mdot-tnt")
"""MDOT is made for moderate errors: there it is compared as well."""

GPU_MEMORY_LIMIT = 64 * 2**30

_LABEL = re.compile(rf"({'|'.join(GENERATORS)})-(\d+)(?:/([\d.]+(?:e-?\d+)?))?")


class Transport(Case):
    """Warm, medians of five; a solve of over a quarter of the limit is done once, one beyond the limit is killed."""

    name = "ot"
    summary = "entropic transport at reg 1e-2, 1e-3, 1e-4 to an error of 1e-9; --problems pts-500/1e-3 takes any size"
    devices = ("cpu", "gpu")

    def plan(self, options: Options) -> list[Run]:
        gpu = options.device == "gpu"
        solvers = peers.expand(options.solvers or (GPU_SOLVERS if gpu else CPU_SOLVERS), "transport")
        return [
            Run(
                case=self.name,
                problem=label,
                solver=solver,
                family="transport",
                level=level,
                seed=seed,
                device=options.device,
                threads=options.threads or 1,
                time_limit=options.time_limit or 120.0,
                memory_limit=options.memory_limit or (GPU_MEMORY_LIMIT if gpu else MEMORY_LIMIT),
                repeats=options.repeats or 5,
                warm=True,
            )
            for label in labels(GPU if gpu else CPU, options.problems)
            for level in (LEVEL, *(() if gpu else LOOSE_LEVELS))
            for solver in solvers
            if level == LEVEL or solver in LOOSE_SOLVERS
            if not label.startswith("cloud") or solver in FROM_POINTS
            for seed in options.seeds or (0,)
        ]

    def setup(self, run: Run) -> TransportProblem:
        return build(run.problem, seed=run.seed or 0)


def build(label: str, **more: Any) -> TransportProblem:
    """The problem of a label such as ``pts-1000/1e-3``."""
    name, size, reg = _split(label)
    if reg is None:
        raise ValueError(f"{label!r} names no regularisation (as in {label}/1e-3).")
    return GENERATORS[name](int(size), reg=float(reg), **more)


def labels(default: Sequence[str], requested: Sequence[str] | None) -> list[str]:
    """The requested problems: ``pts-1000`` stands for all its regularisations, any size will do."""
    if requested is None:
        return list(default)
    found: dict[str, None] = {}
    for word in requested:
        name, size, reg = _split(word)
        found.update(dict.fromkeys(f"{name}-{size}/{r}" for r in (REGS if reg is None else (reg,))))
    return list(found)


def _split(label: str) -> tuple[str, str, str | None]:
    match = _LABEL.fullmatch(label)
    if match is None:
        raise ValueError(f"no problem {label!r} here; write {', '.join(GENERATORS)} with a size, as in pts-1000/1e-3.")
    name, size, reg = match.groups()
    return name, size, reg


CASE = Transport()
