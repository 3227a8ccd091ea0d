"""numopt's optimal transport: as a user calls it, and with parts of the method taken away."""

from typing import Any, ClassVar

import numpy as np

from numopt.bench._records import digits
from numopt.bench.peers._base import Coupling, Settings, TransportSolver, own_limit
from numopt.problems import TransportProblem

COUNTS = ("nit_sinkhorn", "nit_newton", "nit_coarse", "ncg", "nkernel")


class Numopt(TransportSolver):
    """`numopt.ot.solve`, or `solve_points` where the problem has no cost matrix."""

    name = "numopt"
    method: ClassVar[dict[str, Any]] = {}

    def set_problem(self, problem: TransportProblem, settings: Settings) -> None:
        self._problem = problem
        self._options = {
            **self.method,
            "tol": settings.tol,
            "time_limit": own_limit(settings.time_limit),
            **settings.options,
        }

    def run(self) -> None:
        from numopt import ot

        p = self._problem
        if p.C is not None:
            self._result = ot.solve(p.a, p.b, p.C, p.reg, **self._options)
        else:
            self._result = ot.solve_points(p.X, p.Y, p.reg, p.a, p.b, metric=p.metric, **self._options)

    def get_result(self) -> Coupling:
        result = self._result
        return Coupling(
            plan=result.plan if self._problem.C is not None else None,
            f=result.f,
            g=result.g,
            success=bool(result.success),
            outcome=result.status.name,
            message=str(result.message),
            nit=int(result.nit),
            inner_nit=int(result.ncg),
            extra={
                "counts": {name: int(result[name]) for name in COUNTS},
                "density_used": digits(float(result.density_used)),
                "reported_error": digits(float(result.marginal_error)),
                **({"history": _rounded(result.history)} if self._options.get("history") else {}),
            },
        )


class NoAnnealing(Numopt):
    """All steps at the final regularisation, as in the paper."""

    name = "numopt-no-anneal"
    method: ClassVar[dict[str, Any]] = {"anneal": None}


class NoWarmup(Numopt):
    """Newton steps from the start: the paper's N1 = 0."""

    name = "numopt-no-warmup"
    method: ClassVar[dict[str, Any]] = {"anneal": None, "warmup": 0}


class FewSteps(Numopt):
    """One sweep a stage: the fewest steps, where the default takes the least time."""

    name = "numopt-few-steps"
    method: ClassVar[dict[str, Any]] = {"warmup": 1}


def _rounded(history: dict[str, Any]) -> dict[str, list[float]]:
    """The columns with digits enough for a curve; the dual value is needed to its end, for its differences."""
    count = {"fun": 17}
    return {
        name: [digits(float(value), count.get(name, 5)) for value in np.asarray(column)]
        for name, column in history.items()
    }


SOLVERS = {solver.name: solver for solver in (Numopt, FewSteps, NoAnnealing, NoWarmup)}
