"""The family of problems that coordinate descent is made for."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from scipy.sparse import csc_array, csr_array, random_array

from numopt.bench._plots import Figure
from numopt.bench._records import Record
from numopt.bench._tables import Table, residual
from numopt.bench.families._base import Card, Family
from numopt.bench.families.coordinate import _tables, _time_to_accuracy
from numopt.bench.families.coordinate._judge import judge
from numopt.bench.peers import Settings, Solver
from numopt.bench.peers import _coordinate as coordinate

T = TypeVar("T", bound=coordinate.Task)

TINY = (24, 12)
"""Rows and columns of the data of a warm-up."""


class Coordinate(Family[coordinate.Task, coordinate.Coefficients]):
    """Solved when the task's measure, recomputed, is at most the level."""

    name = "coordinate"
    levels = ("1e-3", "1e-6", "1e-8", "1e-10")

    def describe(self, problem: coordinate.Task) -> dict[str, Any]:
        return problem.describe()

    def warm_up(
        self,
        problem: coordinate.Task,
        solver: Solver[coordinate.Task, coordinate.Coefficients],
        settings: Settings,
    ) -> None:
        """Solve something tiny of the same kind."""
        task = tiny(problem)
        solver.set_problem(task.to_gpu() if settings.device == "gpu" else task, settings)
        solver.run()

    def judge(
        self, problem: coordinate.Task, found: coordinate.Coefficients, placed: coordinate.Task
    ) -> dict[str, Any]:
        verdict = judge(problem, found)
        return {"solved": {level: verdict["error"] <= float(level) for level in self.levels}, **verdict}

    def progress(self, record: Record) -> str:
        return f"{record.get('measure', 'error')} {residual(record.get('error'))}"

    def headline(self, records: Sequence[Record]) -> str:
        return _tables.headline(_time_to_accuracy.expanded(records))

    def tables(self, records: Sequence[Record]) -> list[Table]:
        if any(map(_time_to_accuracy.is_sweep, records)):
            return _time_to_accuracy.tables(records)
        return _tables.tables(records)

    def cards(self, records: Sequence[Record]) -> list[Card]:
        return _tables.cards(_time_to_accuracy.expanded(records))

    def documented(self, records: Sequence[Record]) -> list[Figure]:
        from numopt.bench.families.coordinate._plots import documented

        return documented(records)

    def figures(self, records: Sequence[Record]) -> list[Figure]:
        from numopt.bench.families.coordinate._plots import figures

        return figures(_time_to_accuracy.expanded(records))


def tiny(problem: T) -> T:
    """A task of the same model, penalty and storage that takes no time."""
    rng = np.random.default_rng(0)
    rows, columns = TINY
    common: dict[str, Any] = {"name": "warm-up", "f_opt": None, "path_opt": (), "shown": {}}
    if problem.model in ("quadratic", "label-propagation"):
        beside = np.eye(columns, k=1) + np.eye(columns, k=-1)
        if problem.model == "quadratic":
            A = csr_array(3.0 * np.eye(columns) - beside)
            return replace(problem, A=_stored_like(problem.A, A), b=np.ones(columns), **common)
        mask = np.arange(columns) < 2
        return replace(
            problem, A=_stored_like(problem.A, csr_array(beside)), b=np.arange(columns) % 2 + 1.0, mask=mask, **common
        )
    A = csr_array(random_array((rows, columns), density=0.5, rng=rng))
    classes = np.arange(rows) % 3
    b = {"logistic": 2.0 * (classes > 0) - 1.0, "multinomial": classes}.get(problem.model, classes - 1.0)
    path = tuple(0.5 ** (k + 1) for k in range(min(3, len(problem.path))))
    return replace(problem, A=_stored_like(problem.A, A), b=b, l1=min(problem.l1, 0.1), path=path, **common)


def _stored_like(A: Any, small: Any) -> Any:
    """The small matrix in the form of the large one: dense, by rows or by columns, with its types."""
    if not hasattr(A, "tocsr"):
        return np.asarray(small.toarray(), dtype=A.dtype, order="F" if _by_columns(A) else "C")
    dtype = np.dtype(str(A.dtype))
    found = csc_array(small, dtype=dtype) if A.format == "csc" else csr_array(small, dtype=dtype)
    index = np.dtype(str(A.indices.dtype))
    found.indices, found.indptr = found.indices.astype(index), found.indptr.astype(index)
    return found


def _by_columns(A: Any) -> bool:
    return bool(A.flags.f_contiguous and not A.flags.c_contiguous)


FAMILY = Coordinate()
