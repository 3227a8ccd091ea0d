"""Results that need no iteration."""

from scipy.optimize import OptimizeResult

from numopt._core.result import make_result
from numopt._core.status import Status
from numopt.linear._system import LinearSystem

__all__ = ["solved_at_once"]


def solved_at_once(system: LinearSystem, **fields: object) -> OptimizeResult:
    """Return x = 0, the answer for b = 0 whatever the start."""
    return make_result(
        {
            "x": system.xp.zeros_like(system.b),
            "residual_norm": 0.0,
            "relative_residual": 0.0,
            "status": Status.CONVERGED,
            "message": "The right-hand side is zero, and so is the solution.",
            "nit": 0,
            "time": 0.0,
            **fields,
        }
    )
