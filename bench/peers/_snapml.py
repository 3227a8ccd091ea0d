"""Snap ML: compiled solvers of logistic regression."""

from typing import Any

from numopt.bench.peers import _estimators as estimators

MAXITER = 100_000


class SnapML(estimators.Estimator):
    """`snapml.LogisticRegression`: coordinate descent on the primal for l1, on the dual for l2."""

    name = "snapml"
    module = "snapml"
    distribution = "snapml"
    models = ("logistic",)
    penalties = ("l1", "l2")

    def fit(self, A: Any, b: Any) -> Any:
        from snapml import LogisticRegression

        task = self.task
        model = LogisticRegression(
            regularizer=task.l1 or task.l2,
            penalty="l1" if task.l1 else "l2",
            dual=not task.l1,
            tol=self.tol,
            max_iter=MAXITER,
            n_jobs=self.settings.threads,
            fit_intercept=False,
        )
        return model.fit(A, b).coef_


SOLVERS: dict[str, Any] = {SnapML.name: SnapML}
