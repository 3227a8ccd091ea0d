"""The one table of result messages: outcome, number, threshold, remedy."""

import math

from numopt._core.status import Status

# What happened ({count} is "12 iterations") and what the user can try.
_TABLE: dict[Status, tuple[str, str | None]] = {
    Status.CONVERGED: ("Converged after {count}", None),
    Status.MAXITER: ("Stopped after {count}", "raise maxiter"),
    Status.TIME_LIMIT: ("Stopped by time_limit after {count}", "raise time_limit"),
    Status.CALLBACK: ("Stopped by the callback after {count}", None),
    Status.STALLED: ("No more progress after {count}", "try another starting point or a looser tol"),
    Status.MAXFEV: ("Stopped by maxfev after {count}", "raise maxfev"),
    Status.PRECISION: ("Reached the floor of the floating-point type after {count}", "use float64 or a looser tol"),
    Status.INNER_LIMIT: ("The inner solver kept hitting its limit; stopped after {count}", "raise max_inner"),
    Status.PENALTY_LIMIT: ("The penalty parameters reached their limits after {count}", "rescale the constraints"),
    Status.INFEASIBLE: ("The constraints look locally infeasible after {count}", "try another starting point"),
    Status.SINGULAR: ("The linear system is singular after {count}", "remove dependent rows"),
    Status.NONFINITE: ("Met NaN or infinite values after {count}", "check the functions near this point"),
    Status.LINESEARCH: ("The line search found no acceptable step after {count}", "check the derivatives"),
    Status.UNBOUNDED: ("The objective looks unbounded below after {count}", "add bounds or a regularisation"),
    Status.INDEFINITE: ("The matrix is not positive definite, found after {count}", "use a method for such matrices"),
    Status.DIVERGED: ("Diverged after {count}", "shorten the step or change the starting point"),
    Status.NOT_ATTAINED: ("The infimum is not attained, found after {count}", "add a regularisation"),
}


def outcome_message(
    status: Status,
    *,
    measure_name: str,
    value: float,
    tol: float,
    nit: int,
    unit: str = "iteration",
    remedy: str | None = None,
    detail: str | None = None,
) -> str:
    """Return "outcome: number against threshold; remedy. detail." for one finished solve.

    `remedy` replaces the table's default (an empty string removes it); `detail` is appended as a sentence of its own.

    >>> outcome_message(Status.MAXITER, measure_name="KKT residual", value=3.1e-5, tol=1e-8, nit=1000)
    'Stopped after 1000 iterations: KKT residual 3.1e-05 > tol 1.0e-08; raise maxiter.'
    """
    outcome, default_remedy = _TABLE[status]
    count = f"{nit} {unit}" if nit == 1 else f"{nit} {unit}s"
    text = f"{outcome.format(count=count)}: {measure_name} {compare(value, tol)}"
    remedy = default_remedy if remedy is None else remedy
    if remedy:
        text += f"; {remedy}"
    text += "."
    if detail:
        text += f" {detail.rstrip('.')}."
    return text


def compare(value: float, tol: float) -> str:
    """Return "3.1e-05 > tol 1.0e-08", with as many digits as show on which side of `tol` the value lies."""
    if math.isnan(value):
        return f"nan (tol {tol:.1e})"
    relation = "<=" if value <= tol else ">"
    digits = 1
    # 1.04e-8 against 1e-8 must not print as "1.0e-08 > tol 1.0e-08"; 17 digits tell any two floats apart.
    while relation == ">" and f"{value:.{digits}e}" == f"{tol:.{digits}e}":
        digits += 1
    return f"{value:.{digits}e} {relation} tol {tol:.{digits}e}"
