"""BlitzL1: working sets by safe distances in the dual."""

import ctypes
from typing import Any

import numpy as np

from numopt.bench.peers import _estimators as estimators


class Blitz(estimators.Estimator):
    """`LassoProblem` and `LogRegProblem`, on columns."""

    name = "blitzl1"
    module = "blitzl1"
    distribution = "blitzl1"
    models = ("least-squares", "logistic")
    by = "columns"

    def prepare(self) -> None:
        super().prepare()
        import blitzl1

        # Version 0.0.2 compares dtypes with ctypes' types, which current NumPy refuses.
        blitzl1._blitzl1.data_as = _data_as
        blitzl1.set_use_intercept(False)

    def fit(self, A: Any, b: Any) -> Any:
        import blitzl1

        blitzl1.set_tolerance(self.tol)
        make = blitzl1.LogRegProblem if self.task.model == "logistic" else blitzl1.LassoProblem
        return make(A, b).solve(self.task.l1).x


def _data_as(array: Any, pointer: Any) -> tuple[Any, Any]:
    array = np.asarray(array, dtype=np.dtype(pointer._type_))
    return array, ctypes.cast(array.ctypes.data, pointer)


SOLVERS: dict[str, Any] = {Blitz.name: Blitz}
