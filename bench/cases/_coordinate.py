"""Non-negative least squares, label propagation on lattices, and Lasso paths, next to their peers."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_array, eye_array, kron

from numopt.bench import peers
from numopt.bench._run import Run
from numopt.bench.cases import _libsvm
from numopt.bench.cases._base import MEMORY_LIMIT, Options
from numopt.bench.cases._sweep import Sweep
from numopt.bench.peers import _coordinate as coordinate

CPU = ("nnls/1000x800", "nnls/1000x5000", "labels/50", "labels/200", "labels/1000", "path/rcv1-shape", "path/news20")
GPU = ("path/news20.binary-shape", "path/news20", "path/rcv1-shape")

SOLVERS = {
    "nnls": ("numopt", "scipy-nnls", "scipy-lsq-linear"),
    "labels": ("numopt", "numopt-system", "scipy-jacobi-cg", "pyamg-rs", "scipy-splu"),
    "path": ("numopt", "skglm", "celer", "glmnet"),
}
GPU_SOLVERS = {"path": ("numopt", "skglm", "cuml")}
"""skglm runs on the CPU of the same machine."""

TIME_LIMIT, GPU_TIME_LIMIT = 120.0, 300.0
REPEATS = {"nnls": 3, "labels": 3, "path": 1}

VALUES, SMALLEST = 30, 0.01
"""Penalties along a path, and the smallest one relative to the largest, at which all coefficients are zero."""

SUPPORT = 0.1
"""Part of the coefficients of the non-negative problems that are not zero."""

LABELLED, SCALE = 0.04, 10.0
"""Part of the nodes that have a label, and the deviation of the labels."""

GPU_MEMORY_LIMIT = 64 * 2**30

_LABEL = re.compile(r"nnls/(?P<n>\d+)x(?P<p>\d+)|labels/(?P<side>\d+)|path/(?P<name>[^/]+)")


class Coordinate(Sweep):
    """One thread. Systems of label propagation are given ready made to the linear solvers, off the clock."""

    name = "coordinate"
    summary = "non-negative least squares, label propagation on lattices, Lasso paths (also on a GPU)"
    devices = ("cpu", "gpu")

    def plan(self, options: Options) -> list[Run]:
        peers.expand(options.solvers or (), "coordinate")
        gpu = options.device == "gpu"
        return [
            Run(
                case=self.name,
                problem=label,
                solver=solver,
                family="coordinate",
                device=options.device,
                threads=options.threads or 1,
                time_limit=options.time_limit or (GPU_TIME_LIMIT if gpu else TIME_LIMIT),
                memory_limit=options.memory_limit or (GPU_MEMORY_LIMIT if gpu else MEMORY_LIMIT),
                repeats=options.repeats or (3 if gpu else REPEATS[kind(label)]),
            )
            for label in options.problems or (GPU if gpu else CPU)
            for solver in solvers_for(label, options.solvers, gpu=gpu)
        ]

    def build(self, run: Run) -> coordinate.Task:
        return build(run.problem)


def kind(label: str) -> str:
    """What a problem is about: nnls, labels or path.

    Raises
    ------
    ValueError
        If it is no problem.
    """
    if _LABEL.fullmatch(label) is None:
        raise ValueError(f"no problem {label!r} here; there are {', '.join((*CPU, *GPU))}, and other sizes and sets.")
    return label.partition("/")[0]


def solvers_for(label: str, requested: Sequence[str] | None, *, gpu: bool) -> list[str]:
    """The solvers of a problem, of the requested ones where there are any."""
    available = (GPU_SOLVERS if gpu else SOLVERS).get(kind(label), ())
    if requested is None:
        return list(available)
    wanted = peers.expand(requested, "coordinate")
    return [solver for solver in wanted if solver in available or ":" in solver]


def build(label: str) -> coordinate.Task:
    """The problem of a label."""
    kind(label)
    part: Any = _LABEL.fullmatch(label)
    if part["name"]:
        return _path(label, part["name"])
    return _labels(label, int(part["side"])) if part["side"] else _nnls(label, int(part["n"]), int(part["p"]))


def _nnls(label: str, n: int, p: int) -> coordinate.Task:
    """Positive data, so that many coefficients are zero; with p well above n all that is left of F is rounding."""
    rng = np.random.default_rng(0)
    A = np.abs(rng.standard_normal((n, p)))
    w = np.abs(rng.standard_normal(p)) * (rng.random(p) < SUPPORT)
    b = A @ w + rng.standard_normal(n)
    measure: coordinate.Measure = "suboptimality" if p <= n else "kkt"
    return coordinate.Task(label, "generator", "least-squares", np.asfortranarray(A), b, nonneg=True, measure=measure)


def _labels(label: str, side: int) -> coordinate.Task:
    """A square lattice of unit weights whose labels are random."""
    line = eye_array(side, k=1) + eye_array(side, k=-1)
    W = csr_array(kron(line, eye_array(side)) + kron(eye_array(side), line))
    rng = np.random.default_rng(0)
    known = rng.permutation(side * side)[: round(LABELLED * side * side)]
    mask, labels = np.zeros(side * side, dtype=bool), np.zeros(side * side)
    mask[known] = True
    labels[known] = SCALE * rng.standard_normal(known.size)
    return coordinate.Task(label, "generator", "label-propagation", W, labels, mask=mask, measure="residual")


def _path(label: str, name: str) -> coordinate.Task:
    X, y, source = _libsvm.data(name)
    A, b = X.tocsc(), _libsvm.centred(y)
    path = float(np.abs(A.T @ b).max()) * np.geomspace(1.0, SMALLEST, VALUES)
    return coordinate.Task(label, source, "least-squares", A, b, path=tuple(path.tolist()))


CASE = Coordinate()
