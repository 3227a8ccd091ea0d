"""CUTEst suites: the paper's 47 problems and the equality-constrained sets."""

from collections import Counter
from collections.abc import Sequence
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
        members = _labelled(_members(suite))
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
                repeats=options.repeats or (1 if paper else 3),
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
        if run.solver in peers.CASADI:
            spec["mode"] = "traced"
        return cutest.load(spec.pop("name"), **spec)


def seeds_of(solver: str, options: Options, default: tuple[int, ...]) -> tuple[int | None, ...]:
    """Seeds for randomized solvers, a single run without one for the others."""
    if solver in RANDOMIZED:
        return tuple(options.seeds) if options.seeds is not None else default
    return (None,)


RANDOMIZED = ("numopt-rk", "numopt-gv")


def _members(suite: str) -> list[tuple[str, dict[str, Any]]]:
    """The whole suite: what cannot be loaded here is recorded as such, not left out."""
    absent = [(name, {"backend": "pycutest"}) for name, _ in cutest.missing(suite)]
    return [*cutest.suite(suite), *absent]


def _labelled(members: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Names for the tables: with the size where a problem occurs in several."""
    often = Counter(name for name, _ in members)
    return {f"{name}(n={kw['n']})" if often[name] > 1 and "n" in kw else name: (name, kw) for name, kw in members}


CASE = Cutest()
