"""LIBLINEAR by its own Python interface."""

from typing import Any, ClassVar

import numpy as np

from numopt.bench.peers import _estimators as estimators


class _Liblinear(estimators.Estimator):
    """`train` with one of LIBLINEAR's solvers; the conversion to its own storage is a part of the call."""

    module = "liblinear"
    distribution = "liblinear-official"
    models = ("logistic",)
    solver: ClassVar[int]

    def fit(self, A: Any, b: Any) -> Any:
        from liblinear.liblinearutil import train

        C = 1.0 / float(self.task.l1 or self.task.l2)
        model = train(b, A, f"-s {self.solver} -c {C!r} -e {float(self.tol)!r} -B -1 -q")
        # The sign belongs to the label that LIBLINEAR saw first.
        return model.label[0] * np.array(model.w[: self.task.shape[0]])


class NewGLMNET(_Liblinear):
    """L1: Newton steps, each by coordinate descent."""

    name = "liblinear-newglmnet"
    penalties = ("l1",)
    solver = 6


class TrustRegion(_Liblinear):
    """L2: a trust-region Newton method."""

    name = "liblinear-trust-region"
    penalties = ("l2",)
    solver = 0


class Dual(_Liblinear):
    """L2: coordinate descent on the dual."""

    name = "liblinear-dual"
    penalties = ("l2",)
    solver = 7


SOLVERS: dict[str, Any] = {s.name: s for s in (NewGLMNET, TrustRegion, Dual)}
