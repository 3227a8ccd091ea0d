"""IPOPT through cyipopt, with the exact lower-triangle Hessian of the Lagrangian."""

from typing import Any

import numpy as np

from numopt.bench.peers._base import Point, PointSolver, Settings, own_limit
from numopt.problems import Problem

OPTIONS: dict[str, Any] = {"tol": 1e-9, "acceptable_iter": 0, "print_level": 0, "sb": "yes"}


class Ipopt(PointSolver):
    """Interior points; with equality constraints alone a filter line-search Newton method."""

    name = "ipopt"
    module = "cyipopt"
    distribution = "cyipopt-wheels"

    def set_problem(self, problem: Problem, settings: Settings) -> None:
        import cyipopt

        self._x0 = np.array(problem.x0, dtype=np.float64)
        self._iterations = 0
        arguments = problem.to_cyipopt()
        arguments["problem_obj"].intermediate = self._note_iteration
        self._solver = cyipopt.Problem(**arguments)
        options = {**OPTIONS, "max_iter": settings.maxiter, "max_wall_time": own_limit(settings.time_limit)}
        for name, value in options.items():
            self._solver.add_option(name, value)

    def run(self) -> None:
        self._x, self._info = self._solver.solve(self._x0)

    def get_result(self) -> Point:
        message = self._info["status_msg"]
        return Point(
            x=np.asarray(self._x, dtype=np.float64),
            lam=np.asarray(self._info["mult_g"], dtype=np.float64),
            success=self._info["status"] == 0,
            outcome=str(self._info["status"]),
            message=message.decode() if isinstance(message, bytes) else str(message),
            nit=self._iterations,
        )

    def _note_iteration(self, mode: int, iteration: int, *progress: float) -> bool:
        """IPOPT's `intermediate` callback: the only place where it tells its iteration count."""
        self._iterations = iteration
        return True


SOLVERS = {Ipopt.name: Ipopt}
