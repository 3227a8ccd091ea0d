"""POT: Sinkhorn on the stored kernel and in the log domain, and the exact network simplex."""

import math
import os
from typing import Any, ClassVar

from numopt.bench.peers._base import Coupling, Settings, TransportSolver
from numopt.problems import TransportProblem

MOST = 10_000_000
"""Iterations are limited by the time alone."""

BACKENDS = ("PYTORCH", "JAX", "TENSORFLOW", "CUPY")


def _import(device: str) -> Any:
    """POT without the libraries that it would load for other kinds of arrays."""
    for backend in BACKENDS:
        if not (device == "gpu" and backend == "CUPY"):
            os.environ.setdefault(f"POT_BACKEND_DISABLE_{backend}", "1")
    import ot

    return ot


class _Sinkhorn(TransportSolver):
    """Iterations until the 2-norm of the column error is so small that the L1 error is below the tolerance.

    The rows are exact after each iteration, and ``|x|_1 <= sqrt(m) |x|_2``.
    """

    module = "ot"
    distribution = "POT"
    method: ClassVar[str]

    def set_problem(self, problem: TransportProblem, settings: Settings) -> None:
        self._ot = _import(settings.device)
        self._problem = problem
        self._threshold = (settings.tol or 1e-9) / math.sqrt(problem.m)

    def run(self) -> None:
        p = self._problem
        self._plan, self._log = self._ot.sinkhorn(
            p.a, p.b, p.C, p.reg, method=self.method, numItermax=MOST, stopThr=self._threshold, log=True, warn=False
        )

    def get_result(self) -> Coupling:
        log, reg = self._log, self._problem.reg
        # Where the kernel underflows it ends before it has looked at the error.
        error = float(log["err"][-1]) if log["err"] else math.nan
        return Coupling(
            plan=self._plan,
            f=reg * self._potential("u"),
            g=reg * self._potential("v"),
            success=error < self._threshold,
            outcome="converged" if error < self._threshold else "stopped",
            message=f"column error {error:.1e} in the 2-norm, threshold {self._threshold:.1e}",
            nit=int(log["niter"]) + 1,
        )

    def _potential(self, name: str) -> Any:
        xp = self._ot.backend.get_backend(self._plan)
        return xp.log(self._log[name])


class Sinkhorn(_Sinkhorn):
    """Two products with the stored kernel an iteration; the kernel underflows at small regularisation."""

    name = "pot-sinkhorn"
    method = "sinkhorn"


class SinkhornLog(_Sinkhorn):
    """Log-sum-exps in place of the products."""

    name = "pot-sinkhorn-log"
    method = "sinkhorn_log"

    def _potential(self, name: str) -> Any:
        return self._log[f"log_{name}"]


class Emd(TransportSolver):
    """Network simplex for the problem without entropy: another problem, shown for its time."""

    name = "pot-emd"
    module = "ot"
    distribution = "POT"

    def set_problem(self, problem: TransportProblem, settings: Settings) -> None:
        self._ot = _import(settings.device)
        self._problem = problem
        self._threads = settings.threads

    def run(self) -> None:
        p = self._problem
        self._plan, self._log = self._ot.emd(p.a, p.b, p.C, numItermax=MOST, numThreads=self._threads, log=True)

    def get_result(self) -> Coupling:
        warning = self._log["warning"]
        return Coupling(
            plan=self._plan,
            success=warning is None,
            outcome="optimal" if warning is None else "stopped",
            message=str(warning or "optimal"),
            extra={"exact": True},
        )


SOLVERS = {solver.name: solver for solver in (Sinkhorn, SinkhornLog, Emd)}
