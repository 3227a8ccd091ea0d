"""What adapters of estimators and of linear solvers share: the storage that a library works best on, and the answer."""

from abc import abstractmethod
from typing import Any, ClassVar, Literal

import numpy as np

from numopt.bench.peers import _coordinate as coordinate
from numopt.bench.peers._base import UnsuitableProblemError

Penalty = Literal["l1", "l2", "nonneg"]


class Estimator(coordinate.CoordinateSolver):
    """A library's estimator or function; `fit` is the whole public call, with the library's own conversions.

    `by` says whether dense data come by columns or by rows (sparse data as CSC or CSR), `penalties` which of them, one
    at a time, the library has, `takes_paths` whether it solves for several penalties in one call, `has_tol` whether it
    has a tolerance.
    """

    by: ClassVar[Literal["rows", "columns"]] = "rows"
    penalties: ClassVar[tuple[Penalty, ...]] = ("l1",)
    takes_paths: ClassVar[bool] = False
    has_tol: ClassVar[bool] = True

    def prepare(self) -> None:
        task = self.task
        wanted = penalty(task)
        if wanted not in self.penalties:
            raise UnsuitableProblemError(f"{self.name} has no problem with the penalty {wanted}.")
        if task.path and not self.takes_paths:
            raise UnsuitableProblemError(f"{self.name} has no paths.")
        self.tol: Any = self.settings.tol
        self._A, self._b = stored(host(task.A), self.by), np.asarray(host(task.b), dtype=np.float64)

    @abstractmethod
    def fit(self, A: Any, b: Any) -> Any:
        """Solve and return the coefficients, in the library's form."""

    def run(self) -> None:
        self._coefficients = self.fit(self._A, self._b)

    def get_result(self) -> coordinate.Coefficients:
        # Classes come first in the form that scikit-learn's coefficients have.
        found = np.asarray(self._coefficients)
        x = found.T if self.task.model == "multinomial" and found.shape != self.task.shape else found
        return coordinate.Coefficients(
            x=np.ascontiguousarray(x).reshape(self.task.shape), success=True, outcome="done", message="fitted"
        )


class GraphSystem(coordinate.CoordinateSolver):
    """A linear solver for the unlabelled nodes of a graph, which is given their system ready made."""

    models = ("label-propagation",)
    has_tol: ClassVar[bool] = True

    def prepare(self) -> None:
        from numopt.bench.families.coordinate._judge import reduced

        self.tol: Any = self.settings.tol
        task = self.task
        system, _, _ = reduced(task, np.where(task.mask, task.b, 0.0))
        self._Q, self._c = system.A, system.b

    @abstractmethod
    def solve(self, Q: Any, c: Any) -> Any:
        """Solve ``Q x = c``."""

    def run(self) -> None:
        self._free = self.solve(self._Q, self._c)

    def get_result(self) -> coordinate.Coefficients:
        x = np.array(self.task.b, dtype=np.float64)
        x[~self.task.mask] = self._free
        return coordinate.Coefficients(x=x, success=True, outcome="done", message="solved")


def penalty(task: coordinate.Task) -> Penalty | str:
    """The one penalty of a task; two of them are named together, which is no single one."""
    present = [name for name in ("l1", "l2") if getattr(task, name)] or (["l1"] if task.path else [])
    return "+".join([*present, *(["nonneg"] if task.nonneg else [])])


def host(array: Any) -> Any:
    """Arrays and sparse matrices of a GPU are fetched: these libraries run on the CPU beside it."""
    return array.get() if hasattr(array, "get") else array


def stored(A: Any, by: Literal["rows", "columns"]) -> Any:
    """The same matrix by rows or by columns, with indices of 32 bits (some libraries take no others)."""
    from scipy.sparse import csc_matrix, csr_matrix

    if not hasattr(A, "tocsr"):
        return np.asfortranarray(A) if by == "columns" else np.ascontiguousarray(A)
    # Several of the libraries know the older matrix types alone.
    found = csc_matrix(A) if by == "columns" else csr_matrix(A)
    found.indices, found.indptr = found.indices.astype(np.int32), found.indptr.astype(np.int32)
    return found
