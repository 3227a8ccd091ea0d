"""celer: working sets and dual extrapolation for the Lasso and l1 logistic regression."""

from typing import Any

import numpy as np

from numopt.bench.peers import _estimators as estimators

MAXITER = 1000


class Celer(estimators.Estimator):
    """`celer.Lasso`, `celer.LogisticRegression` and `celer_path`, on columns."""

    name = "celer"
    module = "celer"
    distribution = "celer"
    models = ("least-squares", "logistic")
    by = "columns"
    takes_paths = True

    def fit(self, A: Any, b: Any) -> Any:
        import celer

        task = self.task
        if task.path:
            alphas = np.asarray(task.path) / len(b)
            return celer.celer_path(A, b, "lasso", alphas=alphas, tol=self.tol, max_iter=MAXITER)[1]
        common = {"tol": self.tol, "max_iter": MAXITER, "fit_intercept": False}
        if task.model == "logistic":
            return celer.LogisticRegression(C=1.0 / task.l1, **common).fit(A, b).coef_
        return celer.Lasso(alpha=task.l1 / len(b), positive=task.nonneg, **common).fit(A, b).coef_


SOLVERS: dict[str, Any] = {Celer.name: Celer}
