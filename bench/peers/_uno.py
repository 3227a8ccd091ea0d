"""Uno through unopy, with its presets for a filter SQP and for an interior-point method."""

from typing import Any

import numpy as np

from numopt.bench.peers._base import Point, PointSolver, Settings, own_limit
from numopt.problems import Problem


class _Uno(PointSolver):
    module = "unopy"
    distribution = "unopy"
    preset: str

    def set_problem(self, problem: Problem, settings: Settings) -> None:
        import unopy

        self._model = problem.to_uno()
        self._solver = unopy.UnoSolver()
        self._solver.set_preset(self.preset)
        options: dict[str, Any] = {
            "logger": "SILENT",
            "primal_tolerance": 1e-9,
            "dual_tolerance": 1e-9,
            "max_iterations": settings.maxiter,
            "time_limit": own_limit(settings.time_limit),
        }
        for name, value in options.items():
            self._solver.set_option(name, value)

    def run(self) -> None:
        self._result = self._solver.optimize(self._model)

    def get_result(self) -> Point:
        result = self._result
        status, point = result.optimization_status, result.solution_status
        # unopy's enumerations print as Type.NAME
        outcome = str(status).rsplit(".", 1)[-1]
        found = str(point).rsplit(".", 1)[-1]
        return Point(
            x=np.asarray(result.primal_solution, dtype=np.float64),
            lam=np.asarray(result.constraint_dual_solution, dtype=np.float64),
            success=outcome == "SUCCESS" and found == "FEASIBLE_KKT_POINT",
            outcome=outcome,
            message=f"{outcome}, {found}",
            nit=int(result.number_iterations),
            inner_nit=int(result.number_subproblems_solved),
        )


class FilterSQP(_Uno):
    """Preset after filterSQP: trust region, filter, quadratic subproblems."""

    name = "uno-filtersqp"
    preset = "filtersqp"


class InteriorPoint(_Uno):
    """Preset after IPOPT."""

    name = "uno-ipopt"
    preset = "ipopt"


SOLVERS = {solver.name: solver for solver in (FilterSQP, InteriorPoint)}
