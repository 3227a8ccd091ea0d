"""The experiments of the paper on learning to relax: counts of iterations, comparators, bounds, the heat equation."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from numopt.bench import peers
from numopt.bench._run import Run
from numopt.bench.cases._base import MEMORY_LIMIT, Case, Options
from numopt.bench.cases._linear import GRID, LEARNED, LEVEL, is_random, parse, steps
from numopt.bench.peers import _linear as linear
from numopt.problems import LinearSystem, SystemSequence

SHIFTS = ("shift-high", "shift-low")
HEAT = ("heat-25/5000", "heat-50/5000", "heat-100/1000", "heat-100/5000", "heat-200/500", "heat-400/100")
RELAXATION = ("asymptotic", "degenerate", "degenerate-gaussian", "offsets")
CG = tuple(f"cg-{domain}-{size}-{shift}" for domain in ("square", "L") for size in (12, 32) for shift in ("0", "0.5"))
PROBLEMS = (*SHIFTS, *RELAXATION, *CG, *HEAT)

HEAT_SOLVERS = (
    "scipy-cg",
    "numopt-cg",
    *(f"numopt-ssor-cg-{omega}" for omega in ("1", "1.3", "1.5", "1.75", "1.95")),
    *LEARNED,
)
TRIALS = tuple(range(40))
FEW_TRIALS = tuple(range(4))
"""Trials of what differs little from one to the next, and takes long: fixed parameters."""

HEAT_SEEDS = (0, 1, 2)
STEPS = 5000
PICTURED = (None, 0)
"""The trial of which the path is kept."""

MOST = 10_000
"""The paper's largest number of sweeps."""


class LinearPaper(Case):
    """Trials are draws of the random systems and of the tuner's own numbers; of the first one the path is kept."""

    name = "linear-paper"
    summary = (
        "the experiments of the paper on learning SOR's parameter: 40 trials of 5000 systems, bounds, heat equation"
    )

    def plan(self, options: Options) -> list[Run]:
        runs = []
        requested = None if options.solvers is None else peers.expand(options.solvers, "linear")
        for label in options.problems or PROBLEMS:
            for solver, trials in self._solvers(label).items():
                if requested is not None and solver not in requested:
                    continue
                for draw, seed in self._trials(label, solver, trials, options):
                    runs.append(
                        Run(
                            case=self.name,
                            problem=label,
                            solver=solver,
                            family="linear",
                            level=LEVEL,
                            draw=draw,
                            seed=seed,
                            threads=options.threads or 1,
                            time_limit=options.time_limit or 300.0,
                            memory_limit=options.memory_limit or MEMORY_LIMIT,
                            repeats=options.repeats or 1,
                        )
                    )
        return runs

    def _solvers(self, label: str) -> dict[str, tuple[int, ...]]:
        """Solvers of a problem with their trials."""
        name = label.partition("/")[0]
        if name in SHIFTS:
            return {"numopt-sor-grid": FEW_TRIALS, **dict.fromkeys((*LEARNED, "numopt-sor"), TRIALS)}
        if name in RELAXATION:
            return {"numopt-sor": ()}
        if name in CG:
            return {"numopt-ssor-cg": ()}
        if parse(label).name == "heat":
            return dict.fromkeys(HEAT_SOLVERS, HEAT_SEEDS)
        raise ValueError(f"no problem {label!r} here; there are {', '.join(PROBLEMS)}, and other numbers of steps.")

    def _trials(
        self, label: str, solver: str, trials: tuple[int, ...], options: Options
    ) -> list[tuple[int | None, int | None]]:
        if label.startswith(SHIFTS):
            return [(draw, draw) for draw in trials if options.draws is None or draw in options.draws]
        if is_random(solver):
            return [(None, seed) for seed in options.seeds or trials]
        return [(None, None)]

    def setup(self, run: Run) -> linear.Task:
        return build(run.problem, run.draw or 0)

    def result(self, run: Run, problem: Any, solver: peers.Solver[Any, Any], placed: Any) -> dict[str, Any]:
        record = super().result(run, problem, solver, placed)
        if run.draw not in PICTURED or run.seed not in PICTURED:
            record.pop("path", None)
        return record


def build(label: str, draw: int = 0) -> linear.Task:
    """The problem of a label; sequences may name another number of steps, as in ``shift-high/500``."""
    name, _, count = label.partition("/")
    if name in SHIFTS:
        variance: Any = name.removeprefix("shift-")
        sequence = SystemSequence.shifted_laplacian(variance, int(count or STEPS), seed=draw)
        return steps(sequence, label, method="sor", arms=GRID, bins=5, maxiter=MOST)
    if name == "asymptotic":
        return _scan(label, LinearSystem.laplacian(12), _grid(1.0, 1.95, 0.01), "sor")
    if name == "degenerate":
        return _scan(label, LinearSystem.degenerate(1.4), _grid(1.3, 1.5, 0.001), "counts")
    if name == "degenerate-gaussian":
        return _scan(label, LinearSystem.laplacian(12), _grid(1.3, 1.5, 0.001), "counts")
    if name == "offsets":
        return _offsets(label)
    if name in CG:
        _, domain, size, shift = name.split("-")
        system = LinearSystem.laplacian(int(size), domain, shift=float(shift))  # type: ignore[arg-type]
        return _scan(label, system, np.linspace(0.83, 1.9, 100), "cg")
    problem = parse(label)
    return steps(
        SystemSequence.heat(problem.nx, problem.start + problem.steps), label, start=problem.start, arms=GRID, bins=6
    )


def _grid(first: float, last: float, step: float) -> linear.Vector:
    return np.linspace(first, last, round((last - first) / step) + 1)


def _scan(label: str, system: LinearSystem, omegas: linear.Vector, scan: str) -> linear.Steps:
    """The same system with each of the parameters."""
    return _sequence(label, lambda: iter([(system.A, system.b, None)] * omegas.size), omegas, scan)


def _offsets(label: str) -> linear.Steps:
    """Laplacians with offsets over the range of the experiments, each with some parameters."""
    cells = [(float(c), omega) for c in np.linspace(-0.15, 0.45, 25) for omega in (1.0, 1.2, 1.4, 1.6, 1.8)]

    def items() -> Iterator[Any]:
        for c, _ in cells:
            system = LinearSystem.laplacian(12, shift=c)
            yield system.A, system.b, c

    return _sequence(label, items, np.array([omega for _, omega in cells]), "offsets")


def _sequence(label: str, items: Callable[[], Iterator[Any]], omegas: linear.Vector, scan: str) -> linear.Steps:
    n = int(next(items())[0].shape[0])
    sequence = SystemSequence(items, name=label, n=n, n_steps=omegas.size)
    return steps(sequence, label, method="sor", omegas=omegas, scan=scan)


CASE = LinearPaper()
