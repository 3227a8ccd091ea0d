"""Constrained logistic regression on LIBSVM data: the paper's runs, and the practical race against the peers."""

from typing import Any

from numopt.bench import peers
from numopt.bench._run import Run
from numopt.bench.cases._base import MEMORY_LIMIT, Case, Options, chosen
from numopt.problems import Problem

DATASETS = ("splice", "phishing", "mushrooms", "a9a", "w8a", "breast_cancer", "digits")
PAPER_DATASETS = DATASETS[:5]

PAPER_DRAWS = {"numopt-rk": tuple(range(10)), "numopt-gv": (0, 1, 2)}
SLOW_GAUSSIAN = ("a9a", "w8a")
"""Where a Gaussian step costs so much that one draw must do."""

PAPER_INNER = 1_000_000

STARTING_MULTIPLIERS = {"lam0": "ones"}
"""The experiment's own start; peers take no multipliers or estimate theirs."""


class LibsvmConstrained(Case):
    """Paper mode: tol 1e-4, raw labels, many draws. Practical mode: +-1 labels, warm, median of five."""

    name = "libsvm-constrained"
    summary = "constrained logistic regression on LIBSVM data; --mode paper for the published counts"
    modes = ("practical", "paper")
    devices = ("cpu", "gpu")

    def plan(self, options: Options) -> list[Run]:
        return self._paper(options) if options.mode == "paper" else self._practical(options)

    def _practical(self, options: Options) -> list[Run]:
        return [
            Run(
                case=self.name,
                problem=problem,
                solver=solver,
                draw=draw,
                labels="pm1",
                threads=options.threads or 2,
                time_limit=options.time_limit or 60.0,
                memory_limit=options.memory_limit or MEMORY_LIMIT,
                repeats=options.repeats or 5,
                warm=True,
                trace=True,
                device=options.device,
                options=STARTING_MULTIPLIERS,
            )
            for problem in chosen(DATASETS, options.problems, "data set")
            for solver in peers.expand(options.solvers or (("all",) if options.device == "cpu" else ("numopt",)))
            for draw in options.draws or (0,)
        ]

    def _paper(self, options: Options) -> list[Run]:
        return [
            Run(
                case=self.name,
                problem=problem,
                solver=solver,
                mode="paper",
                seed=draw,
                draw=draw,
                labels="raw",
                threads=options.threads or 1,
                time_limit=options.time_limit or 3600.0,
                memory_limit=options.memory_limit or MEMORY_LIMIT,
                repeats=options.repeats or 1,
                device=options.device,
                options={"max_inner": PAPER_INNER, **STARTING_MULTIPLIERS},
            )
            for problem in chosen(PAPER_DATASETS, options.problems, "data set")
            for solver in peers.expand(options.solvers or tuple(PAPER_DRAWS))
            for draw in options.draws or _draws(solver, problem)
        ]

    def setup(self, run: Run) -> Problem:
        from numopt.problems import ConstrainedLogisticRegression

        labels: Any = run.labels
        regression: Problem = ConstrainedLogisticRegression.from_dataset(run.problem, draw=run.draw, labels=labels)
        return regression


def _draws(solver: str, problem: str) -> tuple[int, ...]:
    if solver == "numopt-gv" and problem in SLOW_GAUSSIAN:
        return (0,)
    return PAPER_DRAWS.get(solver, (0,))


CASE = LibsvmConstrained()
