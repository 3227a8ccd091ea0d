"""numopt's own methods: the practical solver, the paper's two randomized ones and its two l1-merit baselines."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from numopt.bench.peers._base import Point, PointSolver, Settings, own_limit
from numopt.problems import Problem

PAPER = {"accuracy": "paper", "tol": 1e-4, "maxiter": 10_000}


class Numopt(PointSolver):
    """`sketched_newton` as a user calls it."""

    name = "numopt"
    method: ClassVar[dict[str, Any]] = {"tol": 1e-8}

    def set_problem(self, problem: Problem, settings: Settings) -> None:
        self._call = {
            **problem.to_numopt(),
            "maxiter": settings.maxiter,
            **self.method,
            "time_limit": own_limit(settings.time_limit),
            "rng": settings.seed,
            **settings.options,
        }
        start = self._call.get("lam0")
        if isinstance(start, str):
            self._call["lam0"] = problem.y0.copy() if start == "y0" else np.ones(problem.m)

    def run(self) -> None:
        from numopt.constrained import sketched_newton

        self._result = sketched_newton(**self._call)

    def get_result(self) -> Point:
        result = self._result
        return Point(
            x=_host(result.x),
            lam=_host(result.lam),
            success=bool(result.success),
            outcome=result.status.name,
            message=str(result.message),
            nit=int(result.nit),
            inner_nit=int(result.inner_nit),
            extra={
                "linear_solver": str(result.linear_solver),
                "n_hess_mod": int(result.n_hess_mod),
                "n_inner_capped": int(result.n_inner_capped),
            },
        )


def _host(array: Any) -> NDArray[np.float64]:
    """Judging happens on the host: CuPy arrays are fetched."""
    return np.asarray(array.get() if hasattr(array, "get") else array, dtype=np.float64)


class RowKaczmarz(Numopt):
    """The paper's RK: rows drawn uniformly."""

    name = "numopt-rk"
    method: ClassVar[dict[str, Any]] = {**PAPER, "linear_solver": "rk"}


class Gaussian(Numopt):
    """The paper's GV: one Gaussian vector a step."""

    name = "numopt-gv"
    method: ClassVar[dict[str, Any]] = {**PAPER, "linear_solver": "gaussian"}


class L1(Numopt):
    """The paper's baseline with the l1 merit and fixed accuracy."""

    name = "numopt-l1"
    method: ClassVar[dict[str, Any]] = {**PAPER, "merit": "l1", "linear_solver": "gmres"}


class L1Adaptive(Numopt):
    """The paper's baseline with the l1 merit and adaptive accuracy."""

    name = "numopt-l1-adaptive"
    method: ClassVar[dict[str, Any]] = {**PAPER, "merit": "l1-adaptive", "linear_solver": "gmres"}


SOLVERS = {solver.name: solver for solver in (Numopt, RowKaczmarz, Gaussian, L1, L1Adaptive)}
