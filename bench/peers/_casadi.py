"""Solvers that CasADi bundles, on the traced expressions of a CUTEst problem: compiled callbacks instead of Python's.

Tracing is not timed. The times are comparable among these solvers; against the others they also compare the callbacks.
"""

from typing import Any, ClassVar

import numpy as np

from numopt.bench.peers._base import Point, PointSolver, Settings, UnsuitableProblemError, own_limit
from numopt.problems import Problem

_QUIET = {"print_iter": False, "print_header": False, "print_info": False, "print_time": False}


class _Casadi(PointSolver):
    module = "casadi"
    distribution = "casadi"
    plugin: ClassVar[str]

    def options(self, settings: Settings) -> dict[str, Any]:
        """Options of `nlpsol`."""
        raise NotImplementedError

    def set_problem(self, problem: Problem, settings: Settings) -> None:
        import casadi

        functions = getattr(problem, "functions", None)
        if functions is None:
            if problem.source != "numopt.bench":
                raise UnsuitableProblemError(f"{self.name} needs a problem that casadi traces; {problem.name} is not.")
            functions = _warm_up_functions(casadi, problem)
        x = casadi.SX.sym("x", problem.n)
        # A root-finding problem has the constant objective 0, which CasADi would take for a missing entry.
        program = {"x": x, "f": casadi.densify(functions["f"](x)), "g": functions["c"](x)}
        options = {"print_time": False, **self.options(settings)}
        self._solver = casadi.nlpsol("solver", self.plugin, program, options)
        self._start = {"x0": problem.x0, "lbg": problem.cl, "ubg": problem.cu, "lam_g0": problem.y0}

    def run(self) -> None:
        self._result = self._solver(**self._start)

    def get_result(self) -> Point:
        stats = self._solver.stats()
        outcome = str(stats.get("return_status", "success" if stats["success"] else "failure"))
        return Point(
            x=np.array(self._result["x"]).ravel(),
            lam=np.array(self._result["lam_g"]).ravel(),
            success=bool(stats["success"]),
            outcome=outcome,
            message=outcome,
            nit=stats.get("iter_count"),
            extra={"counts": _counts(stats)},
        )


class Ipopt(_Casadi):
    """IPOPT with CasADi's callbacks."""

    name = "casadi-ipopt"
    plugin = "ipopt"

    def options(self, settings: Settings) -> dict[str, Any]:
        limits = {"max_iter": settings.maxiter, "max_wall_time": own_limit(settings.time_limit)}
        return {"ipopt": {"tol": 1e-9, "acceptable_iter": 0, "print_level": 0, "sb": "yes", **limits}}


class Fatrop(_Casadi):
    """fatrop, an interior-point method for optimal control, on unstructured problems."""

    name = "casadi-fatrop"
    plugin = "fatrop"

    def options(self, settings: Settings) -> dict[str, Any]:
        return {"fatrop": {"tol": 1e-9, "print_level": 0, "max_iter": settings.maxiter}}


class SqpMethod(_Casadi):
    """CasADi's SQP with qrqp; indefinite Hessians are shifted, without which most of these problems fail at once."""

    name = "casadi-sqpmethod"
    plugin = "sqpmethod"

    def options(self, settings: Settings) -> dict[str, Any]:
        quiet = {"print_iteration": False, "print_header": False, "print_status": False}
        subproblem = {**_QUIET, "error_on_fail": False, "constr_viol_tol": 1e-10, "dual_inf_tol": 1e-10}
        return {
            "qpsol": "qrqp",
            "qpsol_options": subproblem,
            "convexify_strategy": "regularize",
            "convexify_margin": 1e-4,
            "tol_du": 1e-9,
            "tol_pr": 1e-9,
            "max_iter": settings.maxiter,
            **quiet,
        }


class Alpaqa(_Casadi):
    """alpaqa, an augmented Lagrangian method of first order, with its default accuracy (it does not tell its steps)."""

    name = "casadi-alpaqa"
    plugin = "alpaqa"

    def options(self, settings: Settings) -> dict[str, Any]:
        return {}


def _counts(stats: dict[str, Any]) -> dict[str, int]:
    """Evaluations as CasADi counts them; a joint evaluation counts for each of its parts."""
    parts = {
        "f": ("f", "fg", "psi"),
        "g": ("grad_f", "jac_fg", "grad_L", "grad_psi"),
        "H": ("hess_l",),
        "c": ("g", "fg", "psi"),
        "J": ("jac_g", "jac_fg", "grad_psi"),
    }
    return {k: sum(int(stats.get(f"n_call_nlp_{name}", 0)) for name in names) for k, names in parts.items()}


def _warm_up_functions(casadi: Any, problem: Problem) -> dict[str, Any]:
    """The bench's tiny problem in CasADi's terms."""
    x = casadi.SX.sym("x", problem.n)
    objective = (x[0] - 2.0) ** 2 + x[1] ** 2 + x[0] * x[1]
    return {"f": casadi.Function("f", [x], [objective]), "c": casadi.Function("c", [x], [casadi.dot(x, x)])}


SOLVERS = {solver.name: solver for solver in (Ipopt, Fatrop, SqpMethod, Alpaqa)}
