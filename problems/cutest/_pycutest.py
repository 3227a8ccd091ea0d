"""CUTEst problems through pycutest (compiled Fortran; needs CUTEst, SIFDecode, MASTSIF and gfortran)."""

import importlib
import importlib.util
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from numopt.problems._base import Matrix, Problem, Vector

_VARIABLES = ("CUTEST", "SIFDECODE", "ARCHDEFS", "MASTSIF", "MYARCH", "PYCUTEST_CACHE")
_INFINITE = 1e20


def unavailable() -> str | None:
    """Return why the backend cannot be used, None when it can (as far as can be told without compiling a problem)."""
    if importlib.util.find_spec("pycutest") is None:
        return "pycutest is not installed: pip install pycutest, and install CUTEst as its documentation says"
    missing = [name for name in _VARIABLES if not os.environ.get(name)]
    if missing:
        return f"pycutest needs an installed CUTEst and the environment variables {', '.join(missing)}"
    return None


class PycutestProblem(Problem):
    """A problem that pycutest compiles and evaluates.

    Parameters
    ----------
    name : str
        CUTEst name.
    params : mapping, optional
        SIF parameters, such as ``{"N": 100}``.
    dense : bool, optional
        Dense or CSR matrices; default dense up to `dense_below` variables and constraints.
    """

    def __init__(
        self, name: str, params: Mapping[str, Any] | None = None, *, dense: bool | None, dense_below: int
    ) -> None:
        reason = unavailable()
        if reason:
            raise ImportError(f"backend 'pycutest': {reason}.")
        pycutest = importlib.import_module("pycutest")
        compiled = self._compiled = pycutest.import_problem(name, sifParams=dict(params or {}))
        m = int(compiled.m)
        super().__init__(
            name=name, x0=compiled.x0, m=m, y0=compiled.v0 if m else None,
            lb=_bound(compiled.bl), ub=_bound(compiled.bu),
            cl=_bound(compiled.cl) if m else None, cu=_bound(compiled.cu) if m else None,
            is_linear=compiled.is_linear_cons if m else None,
            source=f"pycutest {getattr(pycutest, '__version__', '')}".rstrip(),
        )  # fmt: skip
        self.dense = max(self.n, m) <= dense_below if dense is None else dense

    def _fun(self, x: Vector) -> float:
        return float(self._compiled.obj(x))

    def _grad(self, x: Vector) -> Vector:
        return np.array(self._compiled.obj(x, gradient=True)[1])

    def _cons(self, x: Vector) -> Vector:
        return np.array(self._compiled.cons(x)) if self.m else np.zeros(0)

    def _jac(self, x: Vector) -> Matrix:
        if not self.m:
            return np.zeros((0, self.n))
        if self.dense:
            return np.array(self._compiled.cons(x, gradient=True)[1])
        return self._compiled.scons(x, gradient=True)[1].tocsr()

    def _lag_hess(self, x: Vector, lam: Vector, obj_weight: float) -> Matrix:
        compiled = self._compiled
        if self.dense:
            lagrangian, objective = compiled.hess, compiled.ihess
        else:
            lagrangian, objective = compiled.sphess, compiled.isphess
        hessian = lagrangian(x, lam) if self.m else lagrangian(x)
        if obj_weight != 1.0:  # CUTEst weighs the objective by one
            hessian = hessian + (obj_weight - 1.0) * (objective(x) if self.m else hessian)
        return np.array(hessian) if self.dense else hessian.tocsr()


def _bound(values: Any) -> Vector:
    bound = np.array(values, dtype=np.float64)
    bound[np.abs(bound) >= _INFINITE] *= np.inf
    return bound
