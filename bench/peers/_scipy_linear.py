"""SciPy's solvers of linear systems (CuPy's on a GPU): conjugate gradients, SuperLU, sine transforms, sweeps."""

import functools
import inspect
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from numopt.bench.peers import _linear as linear
from numopt.bench.peers._base import UnsuitableProblemError


class ConjugateGradients(linear.Marching):
    """`scipy.sparse.linalg.cg`, or CuPy's."""

    name = "scipy-cg"
    distribution = "scipy"

    def prepare(self) -> None:
        if self.settings.device == "gpu":
            from cupyx.scipy.sparse.linalg import cg
        else:
            from scipy.sparse.linalg import cg
        # CuPy called the relative tolerance by its old name for longer.
        rtol = "rtol" if "rtol" in inspect.signature(cg).parameters else "tol"
        self._cg: Callable[..., Any] = cg
        self._limits = {rtol: self.rtol, "atol": 0.0, "maxiter": linear.MAXITER}

    def step(self, A: Any, b: Any, x0: Any, context: float | None, omega: float | None) -> tuple[Any, int]:
        count = itertools.count()
        x, _ = self._cg(A, b, x0=x0, callback=lambda _: next(count), **self._limits)
        return x, next(count)


class SuperLU(linear.Marching):
    """`scipy.sparse.linalg.splu`, for symmetric matrices with the ordering and pivots that suit them."""

    name = "scipy-splu"
    distribution = "scipy"

    def prepare(self) -> None:
        from scipy.sparse.linalg import splu

        task = self.task
        symmetric = task.system.spd if isinstance(task, linear.Solve) else task.sequence.spd  # type: ignore[attr-defined]
        options: dict[str, Any] = {}
        if symmetric:
            options = {
                "permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}
            }  # fmt: skip
        self._factor: Callable[[Any], Any] = functools.partial(splu, **options)

    def step(self, A: Any, b: Any, x0: Any, context: float | None, omega: float | None) -> tuple[Any, int]:
        return self._factor(A.tocsc()).solve(b), 1


class SineTransform(linear.Marching):
    """Two fast sine transforms a system, for constant coefficients on a rectangle."""

    name = "scipy-dst"
    distribution = "scipy"
    kinds: tuple[type[linear.Task], ...] = (linear.Steps,)

    def prepare(self) -> None:
        assert isinstance(self.task, linear.Steps)
        if self.task.sequence.grid_shape is None:
            raise UnsuitableProblemError("sine transforms need constant coefficients on a rectangle.")
        self._solve = self.task.sequence.solve_by_transform

    def step(self, A: Any, b: Any, x0: Any, context: float | None, omega: float | None) -> tuple[Any, int]:
        return self._solve(A, b).x, 1


class Sweeps(linear.LinearSolver):
    """Sweeps as triangular solves with the residual: `spsolve_triangular`, on a GPU cuSPARSE's through CuPy."""

    name = "scipy-sweeps"
    distribution = "scipy"
    kinds: tuple[type[linear.Task], ...] = (linear.Sweeps,)

    def prepare(self) -> None:
        task = self.task
        assert isinstance(task, linear.Sweeps)
        A = task.system.A
        if self.settings.device == "gpu":
            import cupy as xp
            from cupyx.scipy import sparse
            from cupyx.scipy.sparse.linalg import spsolve_triangular

            D = sparse.diags(A.diagonal() / task.omega)
        else:
            import scipy.sparse as sparse
            from scipy.sparse.linalg import spsolve_triangular

            xp, D = np, sparse.diags_array(A.diagonal() / task.omega)
        self._xp, self._solve = xp, spsolve_triangular
        self._M = (sparse.tril(A, -1) + D).tocsr()

    def run(self) -> None:
        task, xp = self.task, self._xp
        assert isinstance(task, linear.Sweeps)
        A, b, M = task.system.A, task.system.b, self._M
        x = xp.zeros_like(b)
        for _ in range(task.count):
            r = b - A @ x
            self._norm = float(xp.linalg.norm(r))
            x += self._solve(M, r, lower=True)
        self._x = x

    def get_result(self) -> linear.Solutions:
        assert isinstance(self.task, linear.Sweeps)
        return linear.Solutions(
            solutions=[self._x], success=True, outcome="done", message="sweeps done", nit=self.task.count
        )


SOLVERS: dict[str, Any] = {solver.name: solver for solver in (ConjugateGradients, SuperLU, SineTransform, Sweeps)}
