"""RegOT: the sparsified Newton methods SSNS and SPLR."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from numopt.bench.peers._base import Coupling, Settings, TransportSolver
from numopt.problems import TransportProblem

MOST = 1_000_000
"""Iterations are limited by the time alone."""


class _Regot(TransportSolver):
    """Stops on the 2-norm of a gradient of n + m - 1 entries, hence the tolerance divided by the root of n."""

    module = "regot"
    distribution = "regot"
    function: str

    def set_problem(self, problem: TransportProblem, settings: Settings) -> None:
        import regot

        self._solve: Callable[..., Any] = getattr(regot, self.function)
        self._tol = (settings.tol or 1e-9) / math.sqrt(problem.n)
        # Its own order, so that the clock sees no copy.
        self._problem, self._cost = problem, np.asfortranarray(problem.C)

    def run(self) -> None:
        p = self._problem
        self._result = self._solve(self._cost, p.a, p.b, p.reg, tol=self._tol, max_iter=MOST)

    def get_result(self) -> Coupling:
        result, n = self._result, self._problem.n
        dual = np.asarray(result.dual)
        error = float(result.mar_errs[-1])
        return Coupling(
            plan=np.asarray(result.plan),
            f=dual[:n],
            g=np.append(dual[n:], 0.0),  # the last one is fixed
            success=error <= self._tol,
            outcome="converged" if error <= self._tol else "stopped",
            message=f"gradient {error:.1e} in the 2-norm, tolerance {self._tol:.1e}",
            nit=int(result.niter),
        )


class Ssns(_Regot):
    """Safe and sparse Newton for Sinkhorn-type optimal transport."""

    name = "regot-ssns"
    function = "sinkhorn_ssns"


class Splr(_Regot):
    """Sparse plus low rank quasi-Newton."""

    name = "regot-splr"
    function = "sinkhorn_splr"


SOLVERS = {solver.name: solver for solver in (Ssns, Splr)}
