"""skglm: working sets and Anderson extrapolation, compiled by Numba."""

from typing import Any

import numpy as np

from numopt.bench.peers import _estimators as estimators

MAXITER = 1000


class Skglm(estimators.Estimator):
    """`skglm.Lasso` (its `path` for several penalties) and `skglm.SparseLogisticRegression`, on columns.

    Its kernels compile in every process; the warm-up, which has the task's storage and model, takes care of that.
    """

    name = "skglm"
    module = "skglm"
    distribution = "skglm"
    models = ("least-squares", "logistic")
    by = "columns"
    takes_paths = True

    def fit(self, A: Any, b: Any) -> Any:
        import skglm

        task = self.task
        alpha = task.l1 / len(b)
        common = {"tol": self.tol, "max_iter": MAXITER, "fit_intercept": False}
        if task.path:
            model = skglm.Lasso(positive=task.nonneg, **common)
            return model.path(A, b, np.asarray(task.path) / len(b))[1]
        if task.model == "logistic":
            return skglm.SparseLogisticRegression(alpha=alpha, **common).fit(A, b).coef_
        return skglm.Lasso(alpha=alpha, positive=task.nonneg, **common).fit(A, b).coef_


SOLVERS: dict[str, Any] = {Skglm.name: Skglm}
