"""What a solver's answer says: the solution, whether it is one, and why not."""

import math
from typing import Any, NamedTuple

import numpy as np

from numopt._array import is_array, namespace
from numopt._core.status import Status
from numopt.tuning._costs import field

# Ended before the solution was reached but by no fault of the parameter alone; PRECISION is as far as anyone gets.
LIMITS = (Status.MAXITER, Status.TIME_LIMIT, Status.CALLBACK, Status.MAXFEV, Status.PRECISION)


class Outcome(NamedTuple):
    """One solve."""

    result: Any
    x: Any
    status: Status
    nit: int  # -1 if the solver does not tell
    residual: float  # relative, NaN if the solver does not tell
    seconds: float

    @property
    def solved(self) -> bool:
        """Whether the solver says so."""
        return self.status is Status.CONVERGED

    @property
    def limited(self) -> bool:
        """Whether the solve was stopped early."""
        return self.status in LIMITS


def read(result: Any, seconds: float) -> Outcome:
    """Return the outcome of a result object, of SciPy's pair `(x, info)`, or of the solution alone."""
    status = status_of(result)
    nit, residual = None, None
    if isinstance(result, tuple):
        x = result[0] if len(result) == 2 else None
    elif is_array(result):
        x = result
    else:
        x, nit, residual = (field(result, name) for name in ("x", "nit", "relative_residual"))
    if not is_array(x):
        raise TypeError(
            "`solver` must return a result with `x`, a pair (x, info) or the solution, "
            f"got {result if isinstance(result, str | int | float) else type(result).__name__}."
        )
    relative = math.nan if residual is None else float(residual)
    # A finite residual shows that x is finite; else a look at x is needed.
    if status is Status.CONVERGED and not math.isfinite(relative) and not _is_finite(x):
        status = Status.NONFINITE
    return Outcome(result, x, status, -1 if nit is None else int(nit), relative, seconds)


def status_of(result: Any) -> Status:
    """Return how a solve ended: by `success` and `status` of a result object, `info` of a pair; else it converged."""
    if isinstance(result, tuple):
        info = result[1] if len(result) == 2 else None
        if not isinstance(info, int | np.integer) or info == 0:
            return Status.CONVERGED
        return Status.MAXITER if info > 0 else Status.DIVERGED
    success, status = field(result, "success"), field(result, "status")
    if success if success is not None else status in (None, 0):
        return Status.CONVERGED
    try:
        named = Status(int(status))
    except (TypeError, ValueError):
        return Status.DIVERGED
    return named if named is not Status.CONVERGED else Status.DIVERGED


def _is_finite(x: Any) -> bool:
    xp = namespace(x)
    return bool(xp.all(xp.isfinite(x)))
