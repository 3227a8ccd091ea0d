"""CUTEst suites: the paper's 47 problems and the equality-constrained sets."""

from collections.abc import Mapping
from typing import Any

from numopt.bench import peers
from numopt.bench._run import Run
from numopt.bench.cases._base import MEMORY_LIMIT, Case, Options, chosen
from numopt.problems import Problem, cutest

PAPER_SOLVERS = ("numopt-rk", "numopt-gv")
PAPER_SEEDS = tuple(range(10))
PAPER_INNER = 100_000


class Cutest(Case):
    """One run per problem and solver, 20 s each; the paper's randomized methods over ten seeds."""

    name = "cutest"
    summary = "CUTEst suites with numopt and all peers; --mode paper runs the paper's settings over seeds 0 to 9"
    suites = ("paper47", "eq77", "square51", "eqlarge48")
    modes = ("practical", "paper")

    def plan(self, options: Options) -> list[Run]:
        paper = options.mode == "paper"
        suite = options.suite or "paper47"
        solvers = peers.expand(options.solvers or (PAPER_SOLVERS if paper else ("all",)))
        members = {_label(name, kwargs): (name, kwargs) for name, kwargs in cutest.suite(suite)}
        return [
            Run(
                case=self.name,
                suite=suite,
                problem=label,
                solver=solver,
                mode=options.mode,
                seed=seed,
                threads=options.threads or 1,
                time_limit=options.time_limit or (120.0 if paper else 20.0),
                memory_limit=options.memory_limit or MEMORY_LIMIT,
                repeats=options.repeats or 1,
                spec={"name": members[label][0], **members[label][1]},
                options={"max_inner": PAPER_INNER, "lam0": "y0"} if paper else {},
                trace=not paper,
            )
            for label in chosen(list(members), options.problems, "problem")
            for solver in solvers
            for seed in seeds_of(solver, options, PAPER_SEEDS)
        ]

    def setup(self, run: Run) -> Problem:
        spec = dict(run.spec)
        return cutest.load(spec.pop("name"), **spec)


def seeds_of(solver: str, options: Options, default: tuple[int, ...]) -> tuple[int | None, ...]:
    """Seeds for randomized solvers, a single run without one for the others."""
    if solver in RANDOMIZED:
        return tuple(options.seeds) if options.seeds is not None else default
    return (None,)


RANDOMIZED = ("numopt-rk", "numopt-gv")


def _label(name: str, kwargs: Mapping[str, Any]) -> str:
    """Name of a problem in tables: with its size or parameters where they are not the default ones."""
    inside = ", ".join(f"{key}={value}" for key, value in kwargs.items() if key in ("n", "params"))
    return f"{name}({inside})" if inside else name


CASE = Cutest()
