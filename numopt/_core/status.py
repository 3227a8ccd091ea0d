"""The one table of outcomes that every solver reports in `result.status`."""

from enum import IntEnum


class Status(IntEnum):
    """Outcome of a solve: 0 converged, positive stopped by a limit or the user, negative failed.

    `result.success` is `result.status == 0`. Members are plain integers, so that code written for SciPy's
    numbers keeps working.

    Examples
    --------
    >>> import numopt
    >>> numopt.Status.CONVERGED == 0, numopt.Status(1).name
    (True, 'MAXITER')
    """

    CONVERGED = 0
    MAXITER = 1
    TIME_LIMIT = 2
    CALLBACK = 3
    STALLED = 4
    MAXFEV = 5
    PRECISION = 6
    INNER_LIMIT = 7
    PENALTY_LIMIT = 8
    INFEASIBLE = -1
    SINGULAR = -2
    NONFINITE = -3
    LINESEARCH = -4
    UNBOUNDED = -5
    INDEFINITE = -6
    DIVERGED = -7
    NOT_ATTAINED = -8
