"""scikit-learn: its coordinate descent for the Lasso and each of its solvers of logistic regression."""

from typing import Any, ClassVar

import numpy as np

from numopt.bench.peers import _estimators as estimators
from numopt.bench.peers._base import UnsuitableProblemError

MAXITER = 100_000
"""Iterations are limited by the time alone."""

LARGEST_HESSIAN = 2000
"""Unknowns above which its first steps alone take longer than the others do in all."""


class Lasso(estimators.Estimator):
    """`Lasso` and, for several penalties, `lasso_path`; columns are what it works on."""

    name = "sklearn-lasso"
    by = "columns"
    takes_paths = True

    def fit(self, A: Any, b: Any) -> Any:
        from sklearn import linear_model

        task, tol = self.task, self.tol
        if task.path:
            alphas = np.asarray(task.path) / len(b)
            # The tolerance of the path is relative to ||y||^2, as that of the estimator.
            return linear_model.lasso_path(A, b, alphas=alphas, tol=tol, max_iter=MAXITER, positive=task.nonneg)[1]
        model = linear_model.Lasso(
            alpha=task.l1 / len(b), fit_intercept=False, tol=tol, max_iter=MAXITER, positive=task.nonneg
        )
        return model.fit(A, b).coef_


class _Logistic(estimators.Estimator):
    """`LogisticRegression` with one of its solvers."""

    solver: ClassVar[str]
    penalties: ClassVar[tuple[estimators.Penalty, ...]] = ("l2",)

    def fit(self, A: Any, b: Any) -> Any:
        from sklearn.linear_model import LogisticRegression

        l1, l2 = self.task.l1, self.task.l2
        model = LogisticRegression(
            C=1.0 / (l1 + l2),
            l1_ratio=l1 / (l1 + l2),
            solver=self.solver,
            tol=self.tol,
            fit_intercept=False,
            max_iter=MAXITER,
            random_state=0,
        )
        return model.fit(A, b).coef_


class Liblinear(_Logistic):
    """Its own copy of LIBLINEAR: newGLMNET for l1, a trust region for l2."""

    name = "sklearn-liblinear"
    models = ("logistic",)
    penalties = ("l1", "l2")
    solver = "liblinear"


class NewtonCholesky(_Logistic):
    """Newton's method with a dense Hessian."""

    name = "sklearn-newton-cholesky"
    models = ("logistic", "multinomial")
    solver = "newton-cholesky"

    def prepare(self) -> None:
        super().prepare()
        unknowns = int(np.prod(self.task.shape))
        if unknowns > LARGEST_HESSIAN:
            raise UnsuitableProblemError(f"a dense Hessian of {unknowns} unknowns is too large.")


class NewtonCG(_Logistic):
    """Newton's method with conjugate gradients."""

    name = "sklearn-newton-cg"
    models = ("logistic", "multinomial")
    solver = "newton-cg"


class LBFGS(_Logistic):
    """The quasi-Newton method."""

    name = "sklearn-lbfgs"
    models = ("logistic", "multinomial")
    solver = "lbfgs"


class Saga(_Logistic):
    """The incremental method, the only one for l1 and several classes."""

    name = "sklearn-saga"
    models = ("multinomial",)
    penalties = ("l1", "l2")
    solver = "saga"


SOLVERS: dict[str, Any] = {s.name: s for s in (Lasso, Liblinear, NewtonCholesky, NewtonCG, LBFGS, Saga)}
