"""Block coordinate descent: one call for every partition, rule and update, and the fast path for each problem."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from scipy.optimize import OptimizeResult

from numopt._core.result import make_result
from numopt._core.validation import check_choice, check_scalar
from numopt._core.warnings import warn
from numopt._rng import default_rng
from numopt.coordinate._graph_descent import descent_rule, solve_graph_descent
from numopt.coordinate._linear_model import LinearModel
from numopt.coordinate._problem import Problem
from numopt.coordinate._quadratic import Quadratic
from numopt.coordinate._report import Report
from numopt.coordinate._scaling import check_scale, scaled_problem, unscaled_callback, unscaled_result
from numopt.coordinate._softmax import Multinomial

__all__ = ["OPTIONS", "bcd"]

OPTIONS = ("norm", "gsd_diag", "batch", "shrink", "omega", "sufficient_decrease", "order")
"""Names that `options` may hold."""


def bcd(
    problem: Problem,
    x0: Any = None,
    *,
    partition: Any = "auto",
    block_size: int | str = "auto",
    selection: str = "auto",
    update: str = "auto",
    tol: float = 1e-6,
    maxiter: int | None = None,
    max_passes: float = 1000,
    line_search: bool | None = None,
    lipschitz: Any = "exact",
    working_set: int | str | None = "auto",
    screening: str | None = "gap",
    active_set: bool = True,
    rng: Any = None,
    x_scale: Any = None,
    options: Mapping[str, Any] | None = None,
    callback: Callable[..., Any] | None = None,
    history: bool = False,
    time_limit: float | None = None,
    verbose: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
) -> OptimizeResult:
    """Minimise a smooth function plus a separable penalty by block coordinate descent.

    An iteration selects a block of coordinates by a rule and updates it; partition, rule and update are independent
    choices [1]_. With all three at 'auto' the method is the fast one for the problem (see Notes).

    Parameters
    ----------
    problem : LeastSquares, Logistic, Multinomial, Quadratic, LabelPropagation or Smooth
        What to minimise.
    x0 : array of the shape of the unknowns, or an earlier result, optional
        Where to start; zeros by default. A point outside the bounds is projected, with a warning.
    partition : {'auto', 'order', 'random', 'sort', 'average', 'hsort', 'haverage', 'groups', 'variable', 'redblack', \
'tree_partition'} or sequence of index arrays
        How the coordinates are split into blocks. 'order': as they come; 'random'; 'sort': by L_i; 'average': small and
        large L_i mixed; 'hsort', 'haverage': the same by the row sums of the bound on the Hessian; 'groups': those of
        the problem; 'variable': blocks are put together anew each time; 'redblack', 'tree_partition': by a colouring,
        or a split into forests, of the graph of a sparse Hessian.
    block_size : int or 'auto'
        Coordinates in a block.
    selection : str
        The rule: 'auto', 'random', 'perm', 'cyclic', 'lipschitz', 'gs', 'gsl', 'gsd', 'gsq', 'gsq_iht', 'gsc', 'mi';
        with a penalty 'gs-s', 'gs-r', 'gsl-r', 'gs-q'; 'tree' for forests in the graph of a sparse Hessian.
    update : {'auto', 'gradient', 'diag', 'matrix', 'newton', 'cubic', 'exact', 'prox_newton', 'tmp', 'message_passing'}
        What is done with a block. 'gradient': a proximal gradient step with L_b; 'diag': with a diagonal bound;
        'matrix': with the bound H_b; 'newton': with the Hessian and a line search; 'cubic': by cubic regularisation;
        'exact': to the minimum; 'prox_newton': with H_b and the penalty; 'tmp': two-metric projection;
        'message_passing': 'matrix' for blocks that are forests, in time linear in their size.
    tol : float, default 1e-6
        Where a dual is known (linear models whose penalties hold every coordinate): converged when the duality gap is
        at most ``tol * (F(P(0)) - D)``, P(0) the projection of zero on the bounds and D the best lower bound. Else when
        the largest entry of the minimal subgradient is at most `tol` times that at P(0). A tolerance below what
        rounding allows ends with status PRECISION.
    maxiter : int, optional
        Largest number of block updates (for 'auto': of coordinate updates and Newton steps).
    max_passes : float, default 1000
        Largest number of passes: evaluations of the full gradient, or as many coordinates as there are.
    line_search : bool, optional
        Backtrack until F falls; by default where the update is no minimiser of an upper bound.
    lipschitz : {'exact', 'estimate'} or array, default 'exact'
        Constants of the coordinates: from the problem, estimated on the way (update='gradient'), or given.
    working_set : int, 'auto' or None
        For 'auto' methods: smallest number of coordinates that are worked on at a time; None takes all.
    screening : {'gap', None}
        Drop coordinates that the duality gap shows to be zero at the solution [2]_.
    active_set : bool, default True
        Solve for the support by Newton steps once it is found; without, coordinate descent is extrapolated [3]_.
    rng : None, int, SeedSequence or Generator
        Source of random blocks.
    x_scale : array of the shape of the unknowns, optional
        Work on ``x / x_scale``, in whose units `tol` is then meant; positive. For LeastSquares, Logistic and quadratics
        with stored matrices.
    options : mapping, optional
        ``norm`` ('l2', 'l1': of the scores of 'gs', 'gsl', 'gsd'), ``gsd_diag`` ('lipschitz', 'block', 'gershgorin'),
        ``batch`` (score so many random blocks only), ``shrink`` (0.8; of estimated constants after a step), ``omega``
        (1; relaxation of quadratic blocks), ``sufficient_decrease`` (1e-4; of line searches), ``order`` ('lipschitz',
        'degree', 'index': of graph partitions).
    callback : callable, optional
        Called after each iteration by SciPy's rule, ``callback(intermediate_result=res)`` or ``callback(xk)``;
        StopIteration stops the solve, which returns the best point so far.
    history : bool, default False
        Record nit, npass, fun, kkt, gap, block and time.
    time_limit : float, optional
        Seconds.
    verbose : {0, 1, 2}
        Silent, a progress bar, or a line an iteration through the ``numopt`` logger.
    checkpoint : path, optional
        File to which the unknowns are saved every few seconds, and from which the solve goes on if it exists.

    Returns
    -------
    res : OptimizeResult
        ``x`` (same library, dtype and device as the data), ``fun``, ``success``, ``status``, ``message``, ``nit``
        (block updates), ``npass``, ``nfev``, ``njev``, ``nhev``, ``grad`` (of the smooth part), ``kkt`` (largest entry
        of the minimal subgradient), ``gap`` (duality gap, NaN where no dual is known), ``active_set`` (indices of the
        flattened unknowns that differ from P(0)), ``n_active``, ``active_set_iter`` (last iteration that changed it),
        ``lipschitz``, ``time``, with an intercept ``intercept``, on request ``history``. All numbers are recomputed
        from `x`. Status MAXITER, TIME_LIMIT, CALLBACK; PRECISION: rounding keeps the tolerance out of reach; STALLED;
        UNBOUNDED; NOT_ATTAINED: separable data without a penalty; INDEFINITE: the Hessian is not positive semidefinite;
        LINESEARCH; NONFINITE.

    Raises
    ------
    TypeError
        For arguments of a wrong kind.
    ValueError
        For unknown names (the valid ones are listed), rules, partitions and updates that do not go together, blocks
        that do not cover the coordinates, shapes that do not fit.

    Notes
    -----
    The 'auto' methods: with a penalty, proximal Newton steps on working sets of coordinates, each solved by coordinate
    descent and Newton steps on the support; without one, Newton's method by Cholesky factors or conjugate gradients;
    for sparse quadratics conjugate gradients preconditioned by sweeps over forests. The objective is a sum over
    samples, not a mean.

    References
    ----------
    .. [1] J. Nutini, I. Laradji, M. Schmidt, "Let's Make Block Coordinate Descent Converge Faster: Faster Greedy Rules,
       Message-Passing, Active-Set Complexity, and Superlinear Convergence", J. Mach. Learn. Res. 23 (2022).
    .. [2] E. Ndiaye, O. Fercoq, A. Gramfort, J. Salmon, "Gap Safe Screening Rules for Sparsity Enforcing Penalties",
       J. Mach. Learn. Res. 18 (2017).
    .. [3] Q. Bertrand, M. Massias, "Anderson acceleration of coordinate descent", AISTATS 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import LeastSquares, bcd
    >>> rng = np.random.default_rng(0)
    >>> A = rng.standard_normal((50, 200))
    >>> b = A[:, 3] - 2 * A[:, 7]
    >>> res = bcd(LeastSquares(A, b, l1=5.0))
    >>> res.success, res.active_set
    (True, array([3, 7]))

    The paper's choices by name:

    >>> res = bcd(LeastSquares(A, b), partition="variable", block_size=5, selection="gsd", update="matrix", maxiter=30)
    >>> res.success, bool(res.fun < 1e-3)
    (True, True)
    """
    if not isinstance(problem, Problem):
        raise TypeError(
            "`problem` must be a problem of numopt.coordinate (LeastSquares, Logistic, Multinomial, Quadratic, "
            f"LabelPropagation, Smooth), got {type(problem).__name__}."
        )
    if x_scale is not None:
        scale = check_scale(problem, x_scale)
        start, constant = _start(problem, x0)
        if constant is not None:
            start = make_result({"x": start / scale, "intercept": constant})
        result = bcd(
            scaled_problem(problem, scale), start if constant is not None else start / scale, partition=partition,
            block_size=block_size, selection=selection, update=update, tol=tol, maxiter=maxiter, max_passes=max_passes,
            line_search=line_search, lipschitz=lipschitz, working_set=working_set, screening=screening,
            active_set=active_set, rng=rng, options=options, callback=unscaled_callback(callback, scale),
            history=history, time_limit=time_limit, verbose=verbose, checkpoint=checkpoint,
        )  # fmt: skip
        return unscaled_result(problem, result, scale)
    chosen = _check_options(options)
    for name, value in (("selection", selection), ("update", update)):
        if not isinstance(value, str):
            raise TypeError(f"`{name}` must be a string, got {type(value).__name__}.")
    report = Report(
        problem, "bcd", tol=tol, maxiter=maxiter, max_passes=max_passes, time_limit=time_limit, callback=callback,
        history=history, verbose=verbose, checkpoint=checkpoint,
    )  # fmt: skip
    x0, constant = _start(problem, x0)
    choices = (partition, block_size, selection, update)
    plain = all(isinstance(choice, str) and choice == "auto" for choice in choices)
    # What only the general loop can do is asked of it.
    if plain and isinstance(lipschitz, str) and lipschitz == "exact" and line_search is None and not chosen:
        settings = {
            "working_set": _check_working_set(working_set),
            "screening": None if screening is None else check_choice(screening, "screening", ("gap",)),
            "active_set": bool(active_set),
            "intercept": constant,
        }
        solver = _fast_path(problem)
        if solver is not None:
            with report.progress:
                return solver(problem, x0, report, settings)
    if isinstance(problem, Quadratic) and checkpoint is None:
        rule = descent_rule(problem, partition, block_size, selection, update, lipschitz, chosen)
        if rule is not None:
            with report.progress:
                return solve_graph_descent(problem, x0, report, rule)
    from numopt.coordinate._loop import solve_blocks

    with report.progress:
        return solve_blocks(
            problem, x0, report, partition=partition, block_size=block_size, selection=selection, update=update,
            lipschitz=lipschitz, line_search=line_search, options=chosen, rng=default_rng(rng), intercept=constant,
        )  # fmt: skip


def _fast_path(problem: Problem) -> Callable[..., OptimizeResult] | None:
    """Return the solver of the 'auto' method, None where that is the general loop."""
    penalty = problem.penalty
    if not penalty.is_separable:
        return None
    if isinstance(problem, Multinomial):
        if penalty.is_zero:
            from numopt.coordinate._newton import solve_smooth

            return solve_smooth
        if penalty.has_bounds:
            return None
        from numopt.coordinate._multinomial import solve_multinomial

        return solve_multinomial
    if isinstance(problem, LinearModel) and penalty.is_zero:
        from numopt.coordinate._newton import solve_smooth

        return solve_smooth
    if isinstance(problem, Quadratic) and penalty.is_zero:
        from numopt.coordinate._sparse_quadratic import solve_smooth_quadratic

        return solve_smooth_quadratic
    if isinstance(problem, LinearModel | Quadratic):
        from numopt.coordinate._working_set import solve_working_set

        return solve_working_set
    return None


def _start(problem: Problem, x0: Any) -> tuple[Any, Any]:
    """Return the flat start within the bounds, and the constant of an earlier result."""
    constant = None
    if isinstance(x0, OptimizeResult):
        constant = x0.get("intercept")
        x0 = x0.x
    x = problem.start(x0)
    projected = problem.penalty.project(x)
    if projected is not x and bool(problem.xp.any(projected != x)):
        warn("`x0` violates the bounds and was projected onto them.", UserWarning)
    return projected, constant


def _check_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    chosen = dict(options or {})
    unknown = sorted(set(chosen) - set(OPTIONS))
    if unknown:
        raise ValueError(
            f"`options` must hold {', '.join(map(repr, OPTIONS))} only, got {', '.join(map(repr, unknown))}."
        )
    return chosen


def _check_working_set(value: Any) -> Any:
    if value is None or (isinstance(value, str) and value == "auto"):
        return value
    return check_scalar(value, "working_set", kind=int, low=1)
