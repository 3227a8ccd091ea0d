"""Sparse regression and classification on LIBSVM data and a text set, next to the fastest public solvers."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from numopt.bench import peers
from numopt.bench._run import Run
from numopt.bench.cases._base import MEMORY_LIMIT, Options
from numopt.bench.cases._sweep import Sweep
from numopt.bench.peers import _coordinate as coordinate

MODELS = {
    "lasso": "least-squares",
    "l1-logistic": "logistic",
    "l2-logistic": "logistic",
    "l1-multinomial": "multinomial",
    "l2-multinomial": "multinomial",
}

SYNTHETIC = "-shape"
"""End of the names of the synthetic text sets."""

TEXT = f"rcv1{SYNTHETIC}"

CLASSES = "classes-50"
"""Fifty classes on columns of very different norms: the paper's data set C."""

PROBLEMS = (
    *(f"lasso/{name}/{part}" for name in (TEXT, "news20", "a9a", "w8a", "madelon", "colon-cancer")
      for part in (10, 100)),
    f"l1-logistic/{TEXT}/50", "l1-logistic/a9a/1000",
    *(f"l1-logistic/{name}/100" for name in ("w8a", "phishing", "ijcnn1", "colon-cancer")),
    *(f"l2-logistic/{name}" for name in ("a9a", TEXT, "w8a", "mushrooms", "ijcnn1")),
    *(f"l2-multinomial/{name}" for name in (CLASSES, "usps", "letter.scale", "dna", "shuttle")),
    *(f"l1-multinomial/{name}/100" for name in ("usps", "letter.scale", "dna")),
)  # fmt: skip
"""The model, the data set, and by which the least penalty that makes all coefficients zero is divided.

Without a number the penalty is half the squared norm (scikit-learn's C = 1).
"""

SOLVERS = {
    "lasso": ("numopt", "skglm", "celer", "glmnet", "blitzl1", "sklearn-lasso"),
    "l1-logistic": (
        "numopt", "skglm", "celer", "glmnet", "blitzl1", "liblinear-newglmnet", "sklearn-liblinear", "snapml",
    ),
    "l2-logistic": (
        "numopt", "sklearn-newton-cholesky", "sklearn-newton-cg", "sklearn-lbfgs", "sklearn-liblinear",
        "liblinear-trust-region", "liblinear-dual", "snapml",
    ),
    "l1-multinomial": ("numopt", "sklearn-saga"),
    "l2-multinomial": ("numopt", "sklearn-newton-cholesky", "sklearn-newton-cg", "sklearn-lbfgs"),
}  # fmt: skip
"""glmnet's multinomial model is left out: four digits of the smallest set take it longer than saga's six."""

LEFT_OUT = {
    ("lasso/madelon/100", "celer"): "takes 30 s at its loosest tolerance, which reaches no level.",
    ("lasso/madelon/100", "skglm"): "takes more than 20 s at its loosest tolerance.",
}
"""Solvers that would spend the limit without an answer, and what was seen; their records say so."""

DENSE = 0.5
"""Share of nonzeros from which on data are given as dense arrays."""

_LABEL = re.compile(r"(?P<model>lasso|l[12]-(?:logistic|multinomial))/(?P<name>[^/]+)(?:/(?P<part>\d+))?")


class Libsvm(Sweep):
    """One thread; each solver's sweep ends at an answer certified to 1e-11, or when its time is spent."""

    name = "libsvm"
    summary = "Lasso, logistic and multinomial regression on LIBSVM data: times to relative errors of the objective"

    def plan(self, options: Options) -> list[Run]:
        peers.expand(options.solvers or (), "coordinate")
        return [
            Run(
                case=self.name,
                problem=label,
                solver=solver,
                family="coordinate",
                device=options.device,
                threads=options.threads or 1,
                time_limit=options.time_limit or 20.0,
                memory_limit=options.memory_limit or MEMORY_LIMIT,
                repeats=options.repeats or 3,
            )
            for label in options.problems or PROBLEMS
            for solver in solvers_for(label, options.solvers)
        ]

    def build(self, run: Run) -> coordinate.Task:
        return build(run.problem)

    def warm_up(self, run: Run, problem: Any, solver: peers.Solver[Any, Any]) -> None:
        reason = LEFT_OUT.get((run.problem, run.solver))
        if reason is not None:
            raise peers.UnsuitableProblemError(f"left out: {run.solver} {reason}")
        super().warm_up(run, problem, solver)


def parse(label: str) -> tuple[str, str, int | None]:
    """Model, data set and divisor of a label such as ``lasso/a9a/100``.

    Raises
    ------
    ValueError
        If it is none.
    """
    match = _LABEL.fullmatch(label)
    if match is None or (match["part"] is None) == (match["model"] in ("lasso", "l1-logistic", "l1-multinomial")):
        raise ValueError(f"no problem {label!r} here; there are {', '.join(PROBLEMS)}, and other sets and divisors.")
    return match["model"], match["name"], int(match["part"]) if match["part"] else None


def solvers_for(label: str, requested: Sequence[str] | None) -> list[str]:
    """The solvers of a problem, of the requested ones where there are any."""
    model, _, _ = parse(label)
    if requested is None:
        return list(SOLVERS[model])
    wanted = peers.expand(requested, "coordinate")
    return [solver for solver in wanted if solver in SOLVERS[model] or ":" in solver]


def build(label: str) -> coordinate.Task:
    """The problem of a label."""
    kind, name, part = parse(label)
    X, y, source = data(name)
    A = X.toarray(order="F") if X.nnz >= DENSE * np.prod(X.shape) else X.tocsc()
    if kind == "lasso":
        b, pull = centred(y), A.T @ centred(y)
    elif MODELS[kind] == "logistic":
        b, pull = y, 0.5 * (A.T @ y)
    else:
        classes, b = np.unique(y, return_inverse=True)
        pull = A.T @ (np.eye(len(classes))[b] - 1.0 / len(classes))
    l1 = float(np.abs(pull).max()) / part if part else 0.0
    return coordinate.Task(label, source, MODELS[kind], A, b, l1=l1, l2=0.0 if part else 1.0)  # type: ignore[arg-type]


def centred(y: Any) -> Any:
    """The targets of a regression: labels -1 and +1 as they are, class numbers less their mean."""
    return y if np.isin(y, (-1.0, 1.0)).all() else y - y.mean()


def data(name: str) -> tuple[Any, Any, str]:
    """Rows, labels and source of a set."""
    from numopt.problems import libsvm, sparse_multinomial_data, synthetic_text

    if name.endswith(SYNTHETIC):
        text = synthetic_text(name.removesuffix(SYNTHETIC))
        return text.X, text.y, text.source
    if name == CLASSES:
        drawn = sparse_multinomial_data()
        return drawn.A, drawn.y, drawn.source
    found = libsvm.load(name)
    return found.X, found.y, found.source


CASE = Libsvm()
