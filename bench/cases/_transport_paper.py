"""The paper's experiments on sparse Newton steps for Sinkhorn: random assignment and pairs of MNIST images."""

from numopt.bench import peers
from numopt.bench._run import Run
from numopt.bench.cases._base import MEMORY_LIMIT, Case, Options, chosen
from numopt.problems import TransportProblem

PROBLEMS = ("assignment", "mnist-l2", "mnist-l1")
ETAS = (10, 100, 1000, 1200)
"""Inverse regularisations, relative to the largest cost; the paper's own is 1200."""

SOLVERS = ("numopt", "numopt-few-steps", "numopt-no-anneal", "numopt-no-warmup", "pot-sinkhorn", "regot-ssns")
DRAWS = tuple(range(10))
PICTURED = 0
"""The draw of which the whole path is recorded."""

SIZE = 500
LEVEL = "1e-12"


class TransportPaper(Case):
    """Ten draws or pairs of images at each eta, to an error of 1e-12; of one the whole path is recorded."""

    name = "ot-paper"
    summary = "the paper's assignment and MNIST problems at eta = 10, 100, 1000, 1200, ten draws, with its ablations"

    def plan(self, options: Options) -> list[Run]:
        known = [f"{problem}/{eta}" for problem in PROBLEMS for eta in ETAS]
        return [
            Run(
                case=self.name,
                problem=label,
                solver=solver,
                family="transport",
                level=LEVEL,
                draw=draw,
                threads=options.threads or 1,
                time_limit=options.time_limit or 120.0,
                memory_limit=options.memory_limit or MEMORY_LIMIT,
                repeats=options.repeats or 1,
                warm=True,
                options={"history": True} if draw == PICTURED else {},
            )
            for label in chosen(known, options.problems, "problem")
            for solver in peers.expand(options.solvers or SOLVERS, "transport")
            for draw in options.draws or DRAWS
        ]

    def setup(self, run: Run) -> TransportProblem:
        name, _, eta = run.problem.partition("/")
        reg, draw = 1.0 / float(eta), run.draw or 0
        if name == "assignment":
            return TransportProblem.uniform(SIZE, reg=reg, seed=draw)
        return TransportProblem.mnist(reg=reg, pair=draw, metric="sqeuclidean" if name == "mnist-l2" else "cityblock")


CASE = TransportPaper()
