"""SciPy's SLSQP and trust-constr."""

import time
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import scipy.optimize

from numopt.bench.peers._base import Point, PointSolver, Settings, own_limit
from numopt.problems import Problem


class _Minimize(PointSolver):
    """A method of `scipy.optimize.minimize`; the time limit comes in through the callback."""

    distribution = "scipy"
    method: ClassVar[str]
    own_options: ClassVar[dict[str, Any]]
    most_iterations: ClassVar[int | None] = None

    def set_problem(self, problem: Problem, settings: Settings) -> None:
        self._limit = own_limit(settings.time_limit)
        maxiter = min(settings.maxiter, self.most_iterations or settings.maxiter)
        self._options = {**self.own_options, "maxiter": maxiter}
        self._call: dict[str, Any] = problem.to_scipy(self.method)
        self._result: Any = None

    def run(self) -> None:
        end = time.perf_counter() + self._limit

        def stop_in_time(intermediate_result: scipy.optimize.OptimizeResult) -> None:
            if time.perf_counter() > end:
                raise StopIteration

        # The stubs know literal methods only, and here the method is one of the arguments.
        minimize: Callable[..., Any] = scipy.optimize.minimize
        self._result = minimize(**self._call, options=self._options, callback=stop_in_time)

    def _multipliers(self) -> Any:
        return None

    def get_result(self) -> Point:
        result = self._result
        return Point(
            x=np.asarray(result.x, dtype=np.float64),
            lam=self._multipliers(),
            success=bool(result.success),
            outcome=str(int(result.status)),
            message=str(result.message),
            nit=int(result.nit),
        )


class SLSQP(_Minimize):
    """SLSQP with a dense Jacobian and the tightest useful tolerance; it never evaluates a Hessian."""

    name = "slsqp"
    method = "SLSQP"
    own_options: ClassVar[dict[str, Any]] = {"ftol": 1e-14}
    most_iterations = 1000

    def _multipliers(self) -> Any:
        return self._result.get("multipliers")


class TrustConstr(_Minimize):
    """trust-constr with the exact Hessians of the objective and of the constraints."""

    name = "trust-constr"
    method = "trust-constr"
    own_options: ClassVar[dict[str, Any]] = {"gtol": 1e-9, "xtol": 1e-14}

    def _multipliers(self) -> Any:
        v = self._result.get("v")
        return np.asarray(v[0], dtype=np.float64) if v else None


SOLVERS = {solver.name: solver for solver in (SLSQP, TrustConstr)}
