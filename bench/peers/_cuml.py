"""cuML: coordinate descent for the Lasso and quasi-Newton logistic regression on a GPU."""

from typing import Any

from numopt.bench.peers import _coordinate as coordinate
from numopt.bench.peers import _estimators as estimators
from numopt.bench.peers._base import UnsuitableProblemError

MAXITER = 100_000
LARGEST = 32 * 2**30
"""Bytes of a dense copy, which its coordinate descent needs."""


class CuML(estimators.Estimator):
    """`cuml.Lasso`, one call for each value of a path, as it has no paths.

    Its coordinate descent takes dense data alone; sparse data that fit are made dense before the clock starts.
    """

    name = "cuml"
    module = "cuml"
    distribution = "cuml-cu12"
    takes_paths = True

    def prepare(self) -> None:
        import cupy

        task = self.task
        wanted = estimators.penalty(task)
        if wanted != "l1":
            raise UnsuitableProblemError(f"{self.name} has no problem with the penalty {wanted}.")
        size = 8 * task.A.shape[0] * task.A.shape[1]
        if size > LARGEST:
            raise UnsuitableProblemError(f"a dense copy of {size / 2**30:.0f} GiB is too large.")
        self.tol = self.settings.tol
        self._A = cupy.asfortranarray(task.A.toarray() if hasattr(task.A, "tocsr") else task.A)
        self._b = task.b

    def fit(self, A: Any, b: Any) -> Any:
        import cupy
        from cuml import Lasso

        options = {"fit_intercept": False, "tol": self.tol, "max_iter": MAXITER, "output_type": "cupy"}
        found = [Lasso(alpha=float(l1) / len(b), **options).fit(A, b).coef_ for l1 in self.task.path or (self.task.l1,)]
        return cupy.stack(found, axis=1) if self.task.path else found[0]

    def get_result(self) -> coordinate.Coefficients:
        return coordinate.Coefficients(x=self._coefficients, success=True, outcome="done", message="fitted")


SOLVERS: dict[str, Any] = {CuML.name: CuML}
