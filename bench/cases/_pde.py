"""Control of the Poisson equation on growing grids, with the memory of each run."""

from numopt.bench import peers
from numopt.bench._run import Run
from numopt.bench.cases._base import MEMORY_LIMIT, Case, Options, chosen
from numopt.bench.cases._cutest import seeds_of
from numopt.problems import Problem

SIZES = (3, 10, 30, 100, 300)
PAPER_SIZES = SIZES[:1]
LARGEST = {"slsqp": 10, "trust-constr": 100, "uno-filtersqp": 30}
"""Grids beyond which a peer cannot go: dense Jacobians of N^2 x 2 N^2, or minutes for one step."""

PAPER_SOLVERS = ("numopt-rk", "numopt-gv", "numopt-l1", "numopt-l1-adaptive")


class Pde(Case):
    """A convex quadratic program with 2 N^2 variables and N^2 constraints: one Newton step when solved exactly."""

    name = "pde"
    summary = "Poisson control with N = 3, 10, 30, 100, 300 (up to 2.7e5 unknowns), memory recorded"
    modes = ("practical", "paper")

    def plan(self, options: Options) -> list[Run]:
        paper = options.mode == "paper"
        sizes = {f"N={size}": size for size in (PAPER_SIZES if paper else SIZES)}
        return [
            Run(
                case=self.name,
                problem=label,
                solver=solver,
                mode=options.mode,
                seed=seed,
                threads=options.threads or 2,
                time_limit=options.time_limit or 120.0,
                memory_limit=options.memory_limit or MEMORY_LIMIT,
                repeats=options.repeats or 1,
                spec={"N": sizes[label]},
                options={"lam0": "ones", **({"max_inner": 1_000_000} if paper else {})},
                trace=not paper,
            )
            for label in chosen(list(sizes), options.problems, "size")
            for solver in peers.expand(options.solvers or (PAPER_SOLVERS if paper else ("all",)))
            if sizes[label] <= LARGEST.get(solver, sizes[label])
            for seed in seeds_of(solver, options, (0,))
        ]

    def setup(self, run: Run) -> Problem:
        from numopt.problems import PoissonControl

        control: Problem = PoissonControl(run.spec["N"])
        return control


CASE = Pde()
