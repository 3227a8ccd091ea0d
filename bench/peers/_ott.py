"""OTT-JAX: Sinkhorn in the log domain, compiled, in double precision."""

import functools
import os
from typing import Any

from numopt.bench.peers._base import Coupling, Settings, TransportSolver
from numopt.problems import TransportProblem

MOST = 1_000_000
"""Iterations are limited by the time alone."""


class Ott(TransportSolver):
    """With adaptive momentum, the fastest of its accelerations that always converged; epsilon is `reg` itself."""

    name = "ott"
    module = "ott"
    distribution = "ott-jax"

    def set_problem(self, problem: TransportProblem, settings: Settings) -> None:
        jax = _import(settings)
        self._wait = jax.block_until_ready
        # With momentum neither marginal is exact: each gets half of the tolerance.
        self._solve = _compiled(problem.reg, 0.5 * (settings.tol or 1e-9))
        parts = (problem.C, problem.a, problem.b)
        self._arrays = [jax.numpy.asarray(x.get() if hasattr(x, "get") else x) for x in parts]

    def run(self) -> None:
        self._result = self._wait(self._solve(*self._arrays))

    def get_result(self) -> Coupling:
        f, g, plan, iterations, converged = self._result
        return Coupling(
            plan=plan,
            f=f,
            g=g,
            success=bool(converged),
            outcome="converged" if converged else "stopped",
            message="converged" if converged else "not converged",
            nit=int(iterations),
        )


@functools.cache
def _compiled(reg: float, threshold: float) -> Any:
    """The solver as one function, the same for all repetitions: a new one would be compiled again."""
    import jax
    from ott.geometry.geometry import Geometry
    from ott.problems.linear.linear_problem import LinearProblem
    from ott.solvers.linear.acceleration import Momentum
    from ott.solvers.linear.sinkhorn import Sinkhorn

    momentum = Momentum(start=100, error_threshold=0.1)
    sinkhorn = Sinkhorn(lse_mode=True, threshold=threshold, norm_error=1, max_iterations=MOST, momentum=momentum)

    def solve(cost: Any, a: Any, b: Any) -> Any:
        out = sinkhorn(LinearProblem(Geometry(cost_matrix=cost, epsilon=reg), a=a, b=b))
        return out.f, out.g, out.matrix, out.n_iters, out.converged

    return jax.jit(solve)


def _import(settings: Settings) -> Any:
    """JAX with the run's threads (NPROC is what XLA reads) and without taking the whole device."""
    os.environ["NPROC"] = str(settings.threads)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("JAX_PLATFORMS", "cuda" if settings.device == "gpu" else "cpu")
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax


SOLVERS = {Ott.name: Ott}
