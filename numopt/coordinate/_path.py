"""Lasso and elastic-net solutions for a descending sequence of penalties, each started from the one before."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from numopt._array import scalars, to_host
from numopt._core.result import make_result
from numopt._core.status import Status
from numopt._core.timer import Deadline
from numopt._core.validation import check_scalar
from numopt.coordinate._bcd import bcd
from numopt.coordinate._least_squares import LeastSquares
from numopt.coordinate._linear_model import LinearModel, LinearPoint
from numopt.coordinate._problem import Problem
from numopt.coordinate._report import Report
from numopt.coordinate._working_set import WorkingSetSolver

__all__ = ["lasso_path"]

# Options that the default method needs no other call for.
_LIMITS = {"maxiter", "max_passes", "callback", "history", "verbose"}


def lasso_path(
    A: Any,
    b: Any,
    l1s: Any = None,
    *,
    n_l1s: int = 100,
    eps: float = 1e-3,
    l2: Any = 0.0,
    intercept: bool = False,
    sample_weight: Any = None,
    nonneg: bool = False,
    x0: Any = None,
    tol: float = 1e-6,
    check_finite: bool = True,
    time_limit: float | None = None,
    **bcd_options: Any,
) -> OptimizeResult:
    """Solutions of the Lasso (or elastic net) for many values of the l1 penalty.

    Minimises ``1/2 sum_j w_j (a_j'x + c - b_j)^2 + l1 sum_i |x_i| + sum_i l2_i / 2 x_i^2`` for each `l1`, from the
    largest to the smallest, each time from the solution before.

    Parameters
    ----------
    A : array, sparse matrix or LinearOperator of shape (n_samples, n_features)
        As for `lasso`.
    b : array of shape (n_samples,)
        Targets.
    l1s : array of shape (n_l1,), optional
        Values of the penalty, at least 0, in any order. By default `n_l1s` values in geometric progression from l1_max,
        the least penalty that makes x zero, down to ``eps * l1_max``.
    n_l1s : int, default 100
        How many values, where `l1s` is None.
    eps : float, default 1e-3
        The smallest value relative to the largest, where `l1s` is None.
    l2 : float or array of shape (n_features,), default 0
        Weight of the squared penalty, the same for all `l1`.
    intercept : bool, default False
        Fit an intercept, which is not penalised.
    sample_weight : array of shape (n_samples,), optional
        The weights w, at least 0; ones by default.
    nonneg : bool, default False
        Require x >= 0.
    x0 : array of shape (n_features,) or earlier result, optional
        Starting point of the first problem; zeros by default.
    tol : float, default 1e-6
        Accuracy of each solution, as for `lasso`.
    check_finite : bool, default True
        Look for NaN and infinite values in the data.
    time_limit : float, optional
        Seconds for the whole path.
    **bcd_options
        Further keywords of `bcd`, for each problem.

    Returns
    -------
    res : OptimizeResult
        ``l1s`` of shape (n_l1,) in descending order (NumPy), ``coefs`` of shape (n_features, n_l1) in the library,
        dtype and on the device of the data, and with `intercept` ``intercepts`` of shape (n_l1,). For each value, as
        NumPy arrays: ``gaps`` (duality gaps, recomputed; NaN for no penalty at all), ``funs``, ``nit``, ``npass``,
        ``n_active``, ``statuses``. For the path: ``status`` (the worst), ``success``, ``message`` (of the first problem
        with that status), ``l1_max`` and ``time``. A time limit or a callback's StopIteration ends the path: the arrays
        then hold what was reached.

    Raises
    ------
    TypeError
        For complex data, mixed array libraries, or unknown keywords.
    ValueError
        For shapes that do not fit, negative or missing `l1s`, `eps` outside (0, 1), and values that are not finite.

    See Also
    --------
    lasso : One value.

    Notes
    -----
    Norms of the columns, Gram matrices of the working sets and the gradient are shared along the path, so that it costs
    little more than its last problem. The solution is piecewise linear in `l1` [1]_; knots need no special care.

    References
    ----------
    .. [1] B. Efron, T. Hastie, I. Johnstone, R. Tibshirani, "Least angle regression", Ann. Stat. 32 (2004), 407-499.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import lasso_path
    >>> res = lasso_path(np.eye(2), np.array([3.0, 1.0]), l1s=[2.0, 0.5])
    >>> res.coefs
    array([[1. , 2.5],
           [0. , 0.5]])
    """
    deadline = Deadline(None if time_limit is None else check_scalar(time_limit, "time_limit", low=0))
    problem = LeastSquares(A, b, sample_weight, l2=l2, nonneg=nonneg, intercept=intercept, check_finite=check_finite)
    origin = _origin(problem)
    l1_max = _least_zero_penalty(origin, nonneg)
    values = _default_l1s(l1_max, n_l1s, eps) if l1s is None else _check_l1s(l1s)
    solve = _Continuation(origin, tol, bcd_options)
    solutions: list[OptimizeResult] = []
    for l1 in values:
        start = solutions[-1] if solutions else x0
        limit = None if time_limit is None else deadline.remaining()
        solutions.append(solve(problem.with_l1(float(l1)), start, limit))
        if solutions[-1].status in (Status.TIME_LIMIT, Status.CALLBACK):
            break
    return _gather(problem, values, solutions, l1_max=l1_max, seconds=deadline.elapsed())


class _Continuation:
    """Solves one problem of a path after another by `bcd`'s default method, or by `bcd` where options ask for others.

    What does not depend on the penalty is kept: constants of the columns (in the problem), the Gram matrix of the
    working sets (in the solver), and the loss and gradient at zero, which the stopping rule refers to.
    """

    def __init__(self, origin: LinearPoint, tol: float, options: Mapping[str, Any]) -> None:
        self._origin, self._tol, self._options = origin, tol, dict(options)
        self._solver = WorkingSetSolver() if set(options) <= _LIMITS else None

    def __call__(self, problem: LinearModel, start: Any, time_limit: float | None) -> OptimizeResult:
        plain = problem.penalty.is_zero or not (start is None or isinstance(start, OptimizeResult))
        if self._solver is None or plain:
            return bcd(problem, start, tol=self._tol, time_limit=time_limit, **self._options)
        report = Report(problem, "lasso_path", tol=self._tol, time_limit=time_limit, **self._options)
        if problem.has_dual:
            report.set_reference_fun(self._origin.value)
        x, constant = (None, None) if start is None else (start.x, start.get("intercept"))
        with report.progress:
            return self._solver.solve(problem, problem.start(x), report, intercept=constant)


def _origin(problem: LeastSquares) -> LinearPoint:
    """Return zero with the best intercept, and have the constants of the columns computed."""
    _ = problem.lipschitz, problem.column_norms
    point = problem.point()
    point.update_intercept()
    return point


def _least_zero_penalty(origin: LinearPoint, nonneg: bool) -> float:
    """Return l1_max, the largest slope of the data term at zero."""
    xp = origin.problem.xp
    slopes = -origin.gradient if nonneg else xp.abs(origin.gradient)
    return max(0.0, scalars(xp, xp.max(slopes))[0])


def _default_l1s(l1_max: float, n_l1s: int, eps: float) -> "np.ndarray[Any, Any]":
    count = check_scalar(n_l1s, "n_l1s", kind=int, low=1)
    eps = check_scalar(eps, "eps", low=0, high=1, include_low=False, include_high=False)
    return l1_max * np.geomspace(1.0, eps, count)


def _check_l1s(l1s: Any) -> "np.ndarray[Any, Any]":
    """Return the given penalties in descending order."""
    values = np.asarray(to_host(l1s), dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"`l1s` must be a 1-D array with at least one element, got shape {values.shape}.")
    if not (np.all(np.isfinite(values)) and np.all(values >= 0)):
        raise ValueError("`l1s` must be finite and non-negative.")
    return np.sort(values)[::-1].copy()


def _gather(
    problem: Problem, values: "np.ndarray[Any, Any]", solutions: list[OptimizeResult], *, l1_max: float, seconds: float
) -> OptimizeResult:
    """Return the result of the path from those of its problems."""
    xp = problem.xp
    statuses = [solution.status for solution in solutions]
    worst = min(statuses) if min(statuses) < 0 else max(statuses)
    fields = {
        "l1s": values[: len(solutions)],
        "coefs": xp.stack([solution.x for solution in solutions], axis=1),
        "gaps": np.asarray([solution.gap for solution in solutions]),
        "funs": np.asarray([solution.fun for solution in solutions]),
        "nit": np.asarray([solution.nit for solution in solutions]),
        "npass": np.asarray([solution.npass for solution in solutions]),
        "n_active": np.asarray([solution.n_active for solution in solutions]),
        "statuses": np.asarray(statuses, dtype=np.int64),
        "status": worst,
        "message": solutions[statuses.index(worst)].message,
        "l1_max": l1_max,
        "time": seconds,
    }
    if problem.intercept:
        fields["intercepts"] = np.asarray([float(solution.intercept) for solution in solutions])
    return make_result(fields)
