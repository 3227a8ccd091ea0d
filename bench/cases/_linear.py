"""Linear systems: sweeps, single solves and sequences of systems, next to SciPy and PyAMG, setup counted."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from numopt.bench import peers
from numopt.bench._run import Run
from numopt.bench.cases._base import MEMORY_LIMIT, Case, Options
from numopt.bench.peers import _linear as linear
from numopt.problems import LinearSystem, SystemSequence

LEVEL = "1e-8"
GRID = tuple(float(w) for w in np.linspace(1.0, 1.95, 20).round(2))
"""Relaxation factors that a tuner may choose from."""

MATRICES = ("gr_30_30", "nos3", "1138_bus", "bcsstk16")

CPU = (
    *(f"sweep-{name}" for name in ("poisson2d-10000", "poisson2d-1000000", *MATRICES)),
    *(f"poisson2d-{n}" for n in (10_000, 102_400, 1_000_000)),
    *MATRICES,
    "heat-100/1000", "variable-heat-100/1000", "variable-heat-100/100@700",
    "heat-200/100@700", "variable-heat-200/100@700",
    "spilu-64/1000",
    "batch-5000",
)  # fmt: skip
GPU = (
    "sweep-poisson2d-1000000", "sweep-poisson2d-16000000", "poisson2d-1000000", "poisson2d-4000000", "batch-5000",
    "batch-50000",
)  # fmt: skip

LEARNED = ("numopt-tsallis", "numopt-tsallis-cb", "numopt-chebcb")
_MULTIGRID = ("pyamg-rs-cg", "pyamg-sa-cg")
SOLVERS = {
    "sweep": ("numopt-sweeps", "numopt-sweeps-multicolor", "pyamg-sweeps", "pyamg-sweeps-residual", "scipy-sweeps"),
    "solve": (
        "numopt-ssor-cg", "numopt-ssor-cg-young", "numopt-cg", "numopt-sor", "scipy-cg", "scipy-splu", *_MULTIGRID,
    ),
    "sequence": (
        "numopt-cg", "numopt-ssor-cg-1", "numopt-ssor-cg-1.5", "numopt-ssor-cg-1.75", "numopt-ssor-cg-1.9", *LEARNED,
        "scipy-cg", "scipy-splu", *_MULTIGRID, "scipy-dst",
    ),
    "spilu": ("numopt-spilu", "scipy-spilu-best", "scipy-spilu-uniform"),
    "batch": ("numopt-sor-batch", "numopt-sor-loop"),
}  # fmt: skip
GPU_SOLVERS = {
    "sweep": ("numopt-sweeps-multicolor", "numopt-sweeps", "scipy-sweeps"),
    "solve": ("numopt-ssor-cg-multicolor", "numopt-cg", "scipy-cg"),
    "batch": ("numopt-sor-batch",),
}
HUGE = 500_000
"""From so many unknowns on, solvers whose time the smaller sizes show are left out."""

TOO_SLOW = ("numopt-sor", "numopt-cg", "numopt-ssor-cg-young")
"""What takes about a minute there, or more."""

REPEATS = {"sweep": 5, "solve": 3, "sequence": 1, "spilu": 1, "batch": 3}

SPILU_ARMS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, "raises")
SPILU_FILL = 11.0

SWEEP_OMEGA = 1.5
BATCH_OMEGA = 1.6

GPU_MEMORY_LIMIT = 64 * 2**30

_POISSON = re.compile(r"poisson([23])d-(\d+)")
_LABEL = re.compile(
    r"(?P<sweep>sweep-)?(?P<system>poisson[23]d-\d+|[\w]+)"
    r"|(?P<sequence>heat|variable-heat|spilu)-(?P<nx>\d+)(?:/(?P<steps>\d+)(?:@(?P<start>\d+))?)?"
    r"|batch-(?P<batch>\d+)"
)
_STEPS = {"heat": 1000, "variable-heat": 1000, "spilu": 1000}


@dataclass(frozen=True)
class Label:
    """What a problem's name says."""

    kind: str
    name: str
    nx: int = 0
    steps: int = 0
    start: int = 0


class Linear(Case):
    """Medians over repetitions; a sequence of systems is done once. A solve beyond the limit is killed."""

    name = "linear"
    summary = "sweeps, single systems and sequences of systems to a relative residual of 1e-8, next to SciPy and PyAMG"
    devices = ("cpu", "gpu")

    def plan(self, options: Options) -> list[Run]:
        gpu = options.device == "gpu"
        peers.expand(options.solvers or (), "linear")
        return [
            Run(
                case=self.name,
                problem=label,
                solver=solver,
                family="linear",
                level=LEVEL,
                seed=seed,
                device=options.device,
                threads=options.threads or 1,
                time_limit=options.time_limit or 60.0,
                memory_limit=options.memory_limit or (GPU_MEMORY_LIMIT if gpu else MEMORY_LIMIT),
                repeats=options.repeats or REPEATS[parse(label).kind],
                # Orderings are found once for a pattern, and a GPU compiles for what it is given.
                warm=gpu or parse(label).kind == "sweep",
            )
            for label in options.problems or (GPU if gpu else CPU)
            for solver in solvers_for(label, options.solvers, gpu=gpu)
            for seed in (options.seeds or (0,) if is_random(solver) else (None,))
        ]

    def setup(self, run: Run) -> linear.Task:
        return build(run.problem, gpu=run.device == "gpu", solver=run.solver)


def parse(label: str) -> Label:
    """Take a problem's name apart.

    Raises
    ------
    ValueError
        If it is none.
    """
    match = _LABEL.fullmatch(label)
    if match is None:
        raise ValueError(f"no problem {label!r} here; there are {', '.join(CPU)}, and other sizes of them.")
    part = match.groupdict()
    if part["batch"]:
        return Label("batch", "batch", steps=int(part["batch"]))
    if part["sequence"]:
        name = part["sequence"]
        kind = "spilu" if name == "spilu" else "sequence"
        return Label(kind, name, int(part["nx"]), int(part["steps"] or _STEPS[name]), int(part["start"] or 0))
    return Label("sweep" if part["sweep"] else "solve", part["system"])


def solvers_for(label: str, requested: Sequence[str] | None, *, gpu: bool) -> list[str]:
    """The solvers of a problem, of the requested ones where there are any."""
    problem = parse(label)
    available = (GPU_SOLVERS if gpu else SOLVERS).get(problem.kind, ())
    match = _POISSON.fullmatch(problem.name)
    if problem.kind == "solve" and not gpu and match and int(match.group(2)) >= HUGE:
        available = tuple(solver for solver in available if solver not in TOO_SLOW)
    if problem.name == "variable-heat":
        available = tuple(solver for solver in available if solver != "scipy-dst")
    if requested is None:
        return list(available)
    wanted = peers.expand(requested, "linear")
    return [solver for solver in wanted if solver in available or ":" in solver]


def is_random(solver: str) -> bool:
    """Whether a solver draws random numbers."""
    return solver in (*LEARNED, "numopt-spilu", "scipy-spilu-uniform")


def build(label: str, *, gpu: bool = False, solver: str = "") -> linear.Task:
    """The problem of a label such as ``heat-100/1000``."""
    problem = parse(label)
    if problem.kind == "batch":
        return _batch(label, problem.steps)
    if problem.kind == "spilu":
        sequence = SystemSequence.convection_diffusion(problem.nx, problem.start + problem.steps)
        return steps(sequence, label, start=problem.start, arms=SPILU_ARMS, spilu=SPILU_FILL)
    if problem.kind == "sequence":
        make = SystemSequence.heat if problem.name == "heat" else SystemSequence.variable_heat
        return steps(make(problem.nx, problem.start + problem.steps), label, start=problem.start, arms=GRID, bins=6)
    system = _system(problem.name)
    common = (label, system.source, system.n, int(system.A.nnz))
    if problem.kind == "solve":
        return linear.Solve(*common, system=system)
    return linear.Sweeps(*common, system=system, omega=SWEEP_OMEGA, count=_sweeps(system, gpu, solver))


def steps(sequence: SystemSequence, name: str, **more: Any) -> linear.Steps:
    """A sequence as a problem of the bench."""
    return linear.Steps(name, "generator", sequence.n, int(next(iter(sequence))[0].nnz), sequence=sequence, **more)


def _system(name: str) -> LinearSystem:
    match = _POISSON.fullmatch(name)
    if match is None:
        return LinearSystem.matrix(name)
    dim, n = int(match.group(1)), int(match.group(2))
    side = round(n ** (1.0 / dim))
    if side**dim != n:
        raise ValueError(f"{name!r}: {n} is no number of points of a {'square' if dim == 2 else 'cube'}.")
    return LinearSystem.poisson(side, dim=dim)


def _sweeps(system: LinearSystem, gpu: bool, solver: str) -> int:
    """So many that a call's own costs do not count; fewer of those that take much longer."""
    if gpu:
        count = int(np.clip(2e10 / system.A.nnz, 200, 4000))
        return count if solver == "numopt-sweeps-multicolor" else max(10, count // 40)
    count = int(np.clip(2e8 / system.A.nnz, 40, 1000))
    return max(10, count // 20) if solver == "scipy-sweeps" else count


def _batch(label: str, count: int) -> linear.Batch:
    sequence = SystemSequence.shifted_laplacian("low", count)
    matrices, sides, _ = zip(*sequence, strict=True)
    return linear.Batch(
        label,
        "generator",
        sequence.n,
        int(matrices[0].nnz),
        matrices=matrices,
        rhs=np.stack(sides),
        omega=BATCH_OMEGA,
    )


CASE = Linear()
