"""What a solver of sparse regression, classification and graph problems is given, and what it gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np

from numopt.bench.peers._base import Outcome, Settings, Solver, UnsuitableProblemError

Model = Literal["least-squares", "logistic", "multinomial", "quadratic", "label-propagation"]
Measure = Literal["suboptimality", "kkt", "residual", "value"]


@dataclass(frozen=True, eq=False)
class Task:
    """Minimise a loss plus ``l1 ||x||_1 + (l2 / 2) ||x||^2``, over ``x >= 0`` where `nonneg`; sums, not means.

    ===================  =====================================  ==========================================
    model                A, b                                   loss
    ===================  =====================================  ==========================================
    least-squares        data (n, p), targets (n,)              ``1/2 ||A x - b||^2``
    logistic             data (n, p), labels -1 and 1 (n,)      ``sum log(1 + exp(-b_j a_j'x))``
    multinomial          data (n, p), classes 0 .. k - 1 (n,)   ``sum logsumexp(A X) - (A X)_jb``, x (p, k)
    quadratic            symmetric matrix (p, p), vector (p,)   ``1/2 x'A x - b'x``
    label-propagation    weights (N, N), labels (N,)            ``1/4 sum W_ij (x_i - x_j)^2``, x (N,)
    ===================  =====================================  ==========================================

    `mask` marks the nodes of a graph whose labels are known; those keep them. With `path`, values of l1 that take its
    place, x has one more axis, the last, with an answer for each of them.

    `measure` is what the bench compares with the levels of a run: ``suboptimality`` is ``(F - f_opt) / |f_opt|`` and
    needs `f_opt` (`path_opt` along a path, where the worst one counts), correct to the last level; ``kkt`` is the
    largest entry of the least subgradient, relative to the one at 0; ``residual`` is ``||A x - b|| / ||b||`` (of the
    system of the unlabelled nodes for a graph); ``value`` is ``F - f_opt`` itself. `shown` goes into the record.
    """

    name: str
    source: str
    model: Model
    A: Any
    b: Any
    l1: float = 0.0
    l2: float = 0.0
    nonneg: bool = False
    path: tuple[float, ...] = ()
    mask: Any = None
    f_opt: float | None = None
    path_opt: tuple[float, ...] = ()
    measure: Measure = "suboptimality"
    shown: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_classes(self) -> int:
        """Columns of the answer of a multinomial model, 1 otherwise."""
        return int(self.b.max()) + 1 if self.model == "multinomial" else 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the answer."""
        shape: tuple[int, ...] = (int(self.A.shape[1]),)
        if self.model == "multinomial":
            shape = (*shape, self.n_classes)
        return (*shape, len(self.path)) if self.path else shape

    def to_gpu(self) -> "Task":
        import cupy

        mask = None if self.mask is None else cupy.asarray(self.mask)
        return replace(self, A=_on_gpu(self.A), b=cupy.asarray(self.b), mask=mask)

    def describe(self) -> dict[str, Any]:
        """What the record tells of it: ``n`` unknowns, ``m`` samples."""
        A = self.A
        nnz = int(A.nnz) if hasattr(A, "nnz") else int(np.prod(A.shape))
        return {
            "n": int(np.prod(self.shape)),
            "m": int(A.shape[0]),
            "nnz": nnz,
            "source": self.source,
            "model": self.model,
            "l1": list(self.path) or self.l1,
            "l2": self.l2,
            "nonneg": self.nonneg,
            "f_opt": self.f_opt,
            "measure": self.measure,
            **self.shown,
        }


@dataclass(kw_only=True)
class Coefficients(Outcome):
    """The answer, of the task's shape (possibly on a device)."""

    x: Any


class CoordinateSolver(Solver[Task, Coefficients]):
    """An adapter; `models` are those that it can be given."""

    models: ClassVar[tuple[Model, ...]] = ("least-squares",)

    def set_problem(self, problem: Task, settings: Settings) -> None:
        if problem.model not in self.models:
            raise UnsuitableProblemError(f"{self.name} does no {problem.model}.")
        self.task = problem
        self.settings = settings
        self.prepare()

    def prepare(self) -> None:
        """Do what is no part of the solve: imports, and nothing that a user of the library would wait for."""
        return


def _on_gpu(A: Any) -> Any:
    import cupy

    if not hasattr(A, "tocsr"):
        return cupy.asarray(A)
    from cupyx.scipy import sparse

    return (sparse.csc_matrix if A.format == "csc" else sparse.csr_matrix)(A)
