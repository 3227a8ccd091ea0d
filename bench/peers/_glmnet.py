"""glmnet's Fortran code through python-glmnet."""

from typing import Any

import numpy as np

from numopt.bench.peers import _estimators as estimators

MAXITER = 10_000_000
"""Passes over the coordinates."""


class Glmnet(estimators.Estimator):
    """`ElasticNet` and `LogitNet` for one penalty (or the path's), nothing standardised, no cross-validation."""

    name = "glmnet"
    module = "glmnet"
    distribution = "python-glmnet"
    models = ("least-squares", "logistic", "multinomial")
    by = "columns"
    takes_paths = True

    def fit(self, A: Any, b: Any) -> Any:
        import glmnet

        task = self.task
        make = glmnet.ElasticNet if task.model == "least-squares" else glmnet.LogitNet
        model = make(
            alpha=1.0,
            lambda_path=np.asarray(task.path or [task.l1]) / len(b),
            standardize=False,
            fit_intercept=False,
            n_splits=0,
            tol=self.tol,
            max_iter=MAXITER,
            **({"lower_limits": 0.0} if task.nonneg else {}),
        )
        found = model.fit(A, b).coef_path_
        return found if task.path else found[..., 0]


SOLVERS: dict[str, Any] = {Glmnet.name: Glmnet}
