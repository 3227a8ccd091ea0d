"""PyAMG: conjugate gradients with one multigrid cycle as the preconditioner, and its relaxation sweeps."""

import math
from typing import Any, ClassVar

import numpy as np

from numopt.bench.peers import _estimators as estimators
from numopt.bench.peers import _linear as linear


class _Multigrid(linear.Marching):
    """Setup and solve on the clock: a new matrix needs a new hierarchy."""

    module = "pyamg"
    distribution = "pyamg"
    hierarchy: ClassVar[str]

    def prepare(self) -> None:
        import pyamg

        self._setup = getattr(pyamg, self.hierarchy)

    def step(self, A: Any, b: Any, x0: Any, context: float | None, omega: float | None) -> tuple[Any, int]:
        norms: list[float] = []
        x = self._setup(A).solve(b, x0=x0, tol=self.rtol, maxiter=linear.MAXITER, accel="cg", residuals=norms)
        return x, len(norms) - 1


class RugeStuben(_Multigrid):
    """Classical multigrid."""

    name = "pyamg-rs-cg"
    hierarchy = "ruge_stuben_solver"


class SmoothedAggregation(_Multigrid):
    """Smoothed aggregation."""

    name = "pyamg-sa-cg"
    hierarchy = "smoothed_aggregation_solver"


class Sweeps(linear.LinearSolver):
    """`pyamg.relaxation.relaxation.sor`, all sweeps in one call: no residual is known."""

    name = "pyamg-sweeps"
    module = "pyamg"
    distribution = "pyamg"
    kinds: tuple[type[linear.Task], ...] = (linear.Sweeps,)

    def prepare(self) -> None:
        from pyamg.relaxation.relaxation import sor

        self._sor = sor

    def run(self) -> None:
        task = self.task
        assert isinstance(task, linear.Sweeps)
        self._x = np.zeros(task.n)
        self._sor(task.system.A, self._x, task.system.b, task.omega, iterations=task.count)

    def get_result(self) -> linear.Solutions:
        assert isinstance(self.task, linear.Sweeps)
        return linear.Solutions(
            solutions=[self._x], success=True, outcome="done", message="sweeps done", nit=self.task.count
        )


class SweepsResidual(Sweeps):
    """The same with the norm of the residual after each sweep, as a stopping rule needs it."""

    name = "pyamg-sweeps-residual"

    def run(self) -> None:
        task = self.task
        assert isinstance(task, linear.Sweeps)
        A, b, x = task.system.A, task.system.b, np.zeros(task.n)
        norm = math.inf
        for _ in range(task.count):
            self._sor(A, x, b, task.omega)
            norm = float(np.linalg.norm(b - A @ x))
        self._x, self._norm = x, norm


class GraphRugeStuben(estimators.GraphSystem):
    """Classical multigrid for the unlabelled nodes of a graph, setup and solve."""

    name = "pyamg-rs"
    module = "pyamg"
    distribution = "pyamg"

    def solve(self, Q: Any, c: Any) -> Any:
        import pyamg

        return pyamg.ruge_stuben_solver(Q).solve(c, tol=self.tol, maxiter=linear.MAXITER, accel="cg")


_ALL: tuple[type[Any], ...] = (RugeStuben, SmoothedAggregation, Sweeps, SweepsResidual, GraphRugeStuben)
SOLVERS: dict[str, Any] = {solver.name: solver for solver in _ALL}
