"""Cases and solvers for testing the runner; worker processes import this file by its own name."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from numopt.bench._run import Run
from numopt.bench.cases import Case, Options
from numopt.bench.families.equality import Tiny
from numopt.bench.peers import Coupling, Point, PointSolver, Settings, TransportSolver
from numopt.bench.peers import _linear as linear
from numopt.problems import Problem, TransportProblem


class Newton(PointSolver):
    """Newton's method on the KKT system of the given problem."""

    name = "newton"
    sign = 1.0

    def set_problem(self, problem: Problem, settings: Settings) -> None:
        self._problem = problem
        self._settings = settings

    def run(self) -> None:
        problem, x, lam = self._problem, self._problem.x0.copy(), np.zeros(self._problem.m)
        for self._nit in range(20):
            J = np.asarray(problem.jac(x))
            residual = np.concatenate([problem.grad(x) + J.T @ lam, problem.cons(x) - problem.cu])
            problem.fun(x)
            if np.linalg.norm(residual) < 1e-12:
                break
            zero = np.zeros((problem.m, problem.m))
            K = np.block([[np.asarray(problem.lag_hess(x, lam)), J.T], [J, zero]])
            step = np.linalg.solve(K, -residual)
            x, lam = x + step[: problem.n], lam + step[problem.n :]
        self._x, self._lam = x, self.sign * lam

    def get_result(self) -> Point:
        return Point(x=self._x, lam=self._lam, success=True, outcome="ok", message="done", nit=self._nit)


class WrongSign(Newton):
    """Returns the multipliers of the other sign convention."""

    sign = -1.0


class Sleeper(Newton):
    """Solves the warm-up problem, then sleeps far beyond any limit."""

    def run(self) -> None:
        if self._problem.name != "warm-up":
            time.sleep(600)
        super().run()


class Hog(Newton):
    """Takes memory until somebody stops it."""

    def run(self) -> None:
        if self._problem.name != "warm-up":
            taken = []
            while True:
                taken.append(np.ones(2_000_000))
        super().run()


class Crasher(Newton):
    """Ends its process from inside."""

    def run(self) -> None:
        if self._problem.name != "warm-up":
            os.abort()
        super().run()


class Raiser(Newton):
    """Fails with an exception that mentions a path."""

    def run(self) -> None:
        if self._problem.name != "warm-up":
            raise RuntimeError("no file /home/somebody/secret/place/data.txt here")
        super().run()


class Counting(Newton):
    """Leaves one line in a file for each solve, so that a test can count the solves."""

    def run(self) -> None:
        if self._problem.name != "warm-up":
            with Path(self._settings.options["log"]).open("a", encoding="ascii") as stream:
                stream.write("solved\n")
            time.sleep(self._settings.options["pause"])
        super().run()


class Absent(Newton):
    """Needs a package that nobody has."""

    module = "no_such_package_anywhere"
    distribution = "no-such-package-anywhere"


class Named(Tiny):
    """The warm-up problem under another name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class Fake(Case):
    """Problems `p0`, `p1`, ... that are all alike; `gone` does not load and `heavy` never does."""

    name = "bench_fakes:CASE"
    summary = "for tests"

    def plan(self, options: Options) -> list[Run]:
        return [
            make_run(problem=problem, solver=solver)
            for problem in options.problems or ("p0", "p1")
            for solver in options.solvers or ("bench_fakes:Newton",)
        ]

    def setup(self, run: Run) -> Problem:
        if run.problem == "gone":
            raise KeyError("no problem called 'gone'")
        if run.problem == "heavy":
            time.sleep(600)
        return Named(run.problem)


def make_run(**changes: Any) -> Run:
    """A run of the fake case."""
    defaults: dict[str, Any] = {
        "case": "bench_fakes:CASE",
        "problem": "p0",
        "solver": "bench_fakes:Newton",
        "time_limit": 10.0,
    }
    return Run(**{**defaults, **changes})


CASE = Fake()


class PlainSinkhorn(TransportSolver):
    """Sinkhorn's iteration on the stored kernel."""

    name = "plain-sinkhorn"

    def set_problem(self, problem: TransportProblem, settings: Settings) -> None:
        self._problem = problem
        self._tol = settings.tol or 1e-9

    def run(self) -> None:
        p = self._problem
        K = np.exp(-p.C / p.reg)
        u = np.ones(p.n)
        for self._nit in range(1, 10_000):
            v = p.b / (K.T @ u)
            if np.abs(u * (K @ v) - p.a).sum() <= self._tol:
                break
            u = p.a / (K @ v)
        self._u, self._v, self._plan = u, v, u[:, None] * K * v

    def get_result(self) -> Coupling:
        reg = self._problem.reg
        f, g = reg * np.log(self._u), reg * np.log(self._v)
        return Coupling(plan=self._plan, f=f, g=g, success=True, outcome="ok", message="done", nit=self._nit)


class DenseLinear(linear.Marching):
    """Each system by elimination."""

    name = "dense-linear"

    def step(self, A: Any, b: Any, x0: Any, context: float | None, omega: float | None) -> tuple[Any, int]:
        return np.linalg.solve(A.toarray(), b), 1

    @classmethod
    def solved(cls, task: linear.Task) -> linear.Solutions:
        """The answer to a task."""
        solver = cls()
        solver.set_problem(task, Settings())
        solver.run()
        return solver.get_result()
