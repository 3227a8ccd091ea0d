"""SciPy: bounded least squares, and linear solvers for label propagation."""

from typing import Any

import numpy as np

from numopt.bench.peers import _estimators as estimators

MAXITER = 100_000


class NNLS(estimators.Estimator):
    """`scipy.optimize.nnls`: the active-set method of Lawson and Hanson, which has no tolerance."""

    name = "scipy-nnls"
    penalties = ("nonneg",)
    by = "columns"
    has_tol = False

    def fit(self, A: Any, b: Any) -> Any:
        from scipy.optimize import nnls

        return nnls(A, b, maxiter=MAXITER)[0]


class LsqLinear(estimators.Estimator):
    """`scipy.optimize.lsq_linear`: an interior trust-region method."""

    name = "scipy-lsq-linear"
    penalties = ("nonneg",)

    def fit(self, A: Any, b: Any) -> Any:
        from scipy.optimize import lsq_linear

        return lsq_linear(A, b, bounds=(0.0, np.inf), tol=self.tol, max_iter=MAXITER).x


class JacobiCG(estimators.GraphSystem):
    """`scipy.sparse.linalg.cg` with the diagonal as the preconditioner."""

    name = "scipy-jacobi-cg"

    def solve(self, Q: Any, c: Any) -> Any:
        from scipy.sparse import diags_array
        from scipy.sparse.linalg import cg

        return cg(Q, c, rtol=self.tol, maxiter=MAXITER, M=diags_array(1.0 / Q.diagonal()))[0]


class SuperLU(estimators.GraphSystem):
    """`scipy.sparse.linalg.splu` with the ordering for symmetric matrices."""

    name = "scipy-splu"
    has_tol = False

    def solve(self, Q: Any, c: Any) -> Any:
        from scipy.sparse.linalg import splu

        factors = splu(Q.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
        return factors.solve(c)


SOLVERS: dict[str, Any] = {s.name: s for s in (NNLS, LsqLinear, JacobiCG, SuperLU)}
