"""`solve` and `solve_points`: one transport problem, with stored costs or costs between points."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from numopt._array import asarray_like, scalars
from numopt._core.history import History
from numopt._core.loop import run
from numopt._core.messages import outcome_message
from numopt._core.progress import Progress
from numopt._core.result import make_result
from numopt._core.status import Status
from numopt._core.timer import Deadline
from numopt._core.validation import check_choice, check_scalar, check_verbose
from numopt._typing import Array
from numopt.ot._adjoint import Potentials
from numopt.ot._bounds import Bounds, bounds
from numopt.ot._constrained import ConstrainedEngine
from numopt.ot._constraints import Constraints, read_constraints
from numopt.ot._cost import METRICS
from numopt.ot._engine import Engine, Point
from numopt.ot._gradients import Pullback
from numopt.ot._options import PLANS, TOL, Options, check_options
from numopt.ot._problem import Problem, dense_problem, penalties, point_problem
from numopt.ot._result import REMEDIES, LazyPlan, OTResult, sparse_plan
from numopt.ot._sparsify import by_error
from numopt.ot._spread import spread


def solve(
    a: Any,
    b: Any,
    C: Any,
    reg: float,
    *,
    method: str = "sns",
    reg_m: Any = None,
    constraints: Any = None,
    tol: float | None = None,
    norm: str = "l1",
    warmup: int | str = "auto",
    density: float | str = "auto",
    linsolver: str = "auto",
    anneal: bool | str | None = "auto",
    init: Any = None,
    mass_tol: float = 1e-6,
    plan: str | None = "dense",
    refine: bool = False,
    maxiter: int | None = None,
    time_limit: float | None = None,
    callback: Callable[..., Any] | None = None,
    verbose: int = 0,
    history: bool = False,
) -> OTResult:
    """Entropic optimal transport between weights a and b for a matrix of costs.

    Minimises  <C, P> + reg * sum_ij P_ij (log P_ij - 1)  over P >= 0 with P 1 = a and P' 1 = b.

    Parameters
    ----------
    a : array of shape (n,), or None
        Weights of the sources, non-negative, NumPy or CuPy; all arrays of the result share library, device and dtype of
        the data. None means uniform. Atoms of weight zero get potentials (their c-transform) and an empty row.
    b : array of shape (m,), or None
        Weights of the targets, of the same mass.
    C : array of shape (n, m), float64 or float32
        Costs; +inf forbids a pair.
    reg : float
        Regularisation, in units of the cost (the paper's 1 / eta); the smaller, the closer to unregularised transport.
    method : {'sns', 'sinkhorn'}
        Sweeps and then sparse Newton steps [1]_, or sweeps alone.
    reg_m : float or pair of float, optional
        Unbalanced transport: the marginals may differ from `a` and `b` at the price reg_m * KL(P 1 | a) and
        reg_m * KL(P' 1 | b); a pair gives each side its own, inf keeps that marginal fixed.
    constraints : list of (D, t, kind), optional
        Linear constraints on the plan [2]_, few of them: D of shape (n, m), and <D, P> = t for 'eq', <D, P> >= t for
        'ge'. An inequality has a slack, <D, P> - s = t with s = exp(-w / reg) for its multiplier w, whose entropy
        reg * s (log s - 1) joins the objective. The error that `tol` bounds then has the further terms
        `|<D, P> - s - t|` / (half the range of D), so that success means marginals and constraints. Not
        with `reg_m`.
    tol : float, optional
        Converged when the marginal error, recomputed for the answer, is at most `tol` * sum(a). The error is
        `|P 1 - a|_1 + |P' 1 - b|_1`; unbalanced, with a exp(-f / reg_m) for a and alike for b. Default 1e-9, or ten
        times the rounding floor eps * max(4, max C / (20 reg)) where that is more.
    norm : {'l1', 'linf'}
        'linf' measures by the largest entry of both errors instead of their sums.
    warmup : 'auto' or int
        Sweeps before the first Newton step of each stage: as long as they are the faster method, or a number.
    density : 'auto', 'paper', 'ssns' or float
        Entries that a Newton system keeps: all but a part of each row's and column's mass that goes to zero with the
        error; the largest 2 n of all, as in [1]_; the rule and shift of SSNS; or the largest of a given part.
    linsolver : {'auto', 'cg', 'exact-pcg', 'direct', 'tree'}
        Newton systems by conjugate gradients on the Schur complement with its diagonal as preconditioner ('cg'), by
        conjugate gradients on the full plan's system with the factored sparse one as preconditioner, by Cholesky
        factors (sparse LU on the host past 12000 atoms on the shorter side), or preconditioned by the heaviest spanning
        tree (NumPy only). 'auto' is 'cg', and 'direct' after two solves that hit the limit of 400 iterations.
    anneal : 'auto', bool or None
        Solve first for larger regularisations, from max C / 20 down in ratios of at most 4; 'auto' and True do so for
        balanced problems with reg below max C / 100.
    init : OTResult or pair of arrays (f, g), optional
        Potentials to start from, in units of the cost; turns annealing off.
    mass_tol : float
        Largest relative difference of sum(a) and sum(b); within it `b` is scaled to the mass of `a`.
    plan : {'dense', 'sparse', 'lazy', None}
        Form of the plan: an array, a CSR array without entries that together weigh less than a tenth of the
        tolerance, a `LazyPlan`, or none.
    refine : bool
        For float32 data: float64 potentials and sums, so that tolerances below the floor of float32 can be met.
    maxiter : int, optional
        Limit on sweeps, Newton steps and coarse steps together (default 10000).
    time_limit : float, optional
        Seconds.
    callback : callable, optional
        By SciPy's rule: ``callback(intermediate_result=res)`` with the plan as ``x`` (between points, the potential
        f), or ``callback(x)``; StopIteration stops the solve, which then returns its best point.
    verbose : {0, 1, 2}
        Silent, a progress bar, or a line a step through the ``numopt`` logger.
    history : bool
        Record per step: marginal_error (inf before the last stage), fun (the dual value), reg, l1, sweep (1 or 0),
        density, cg, shift, kernel_passes, seconds.

    Returns
    -------
    res : OTResult
        Plan, potentials, values, bounds on the unregularised cost, certificate and counts; see `OTResult`. `success`
        is True only if the recomputed error is at most `tol`.

    Raises
    ------
    ValueError
        For shapes that do not fit (also for a matrix as first argument: the order is a, b, C, reg), negative or NaN
        weights, masses that differ, reg <= 0, NaN or -inf among the costs, an atom with mass whose costs are all +inf,
        constraints of another shape or kind or with `reg_m`, or a `tol` below the rounding floor of float32.
    TypeError
        For complex or sparse costs, and for mixed array libraries.

    Notes
    -----
    A pass over the plan takes one exponential for each pair; a solve takes 20 to 100 of them, and the Newton systems
    hold the entries that matter only. Failures come back as `status` with what to try: MAXITER, TIME_LIMIT, CALLBACK,
    PRECISION (rounding keeps the error above `tol`), STALLED, INFEASIBLE (the pairs of finite cost cannot carry these
    marginals, or no plan meets the constraints, which the multipliers then prove). For a few thousand atoms an exact
    solver, POT's ``emd``, is as fast where no gradients and no smooth plan are wanted.

    References
    ----------
    .. [1] X. Tang, M. Shavlovsky, H. Rahmanian, E. Tardini, K. K. Thekumparampil, T. Xiao, L. Ying, "Accelerating
       Sinkhorn Algorithm with Sparse Newton Iterations", ICLR 2024.
    .. [2] X. Tang, H. Rahmanian, M. Shavlovsky, K. K. Thekumparampil, T. Xiao, L. Ying, "A Sinkhorn-type Algorithm for
       Constrained Optimal Transport", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> import numopt
    >>> x = np.linspace(0, 1, 50)
    >>> a = np.exp(-((x - 0.3) ** 2) / 0.01)
    >>> b = np.exp(-((x - 0.6) ** 2) / 0.02)
    >>> res = numopt.ot.solve(a / a.sum(), b / b.sum(), (x[:, None] - x) ** 2, reg=1e-3)
    >>> res.success, round(res.value, 4), bool(res.lower_bound <= res.value)
    (True, 0.0913, True)
    """
    rho = penalties(reg_m)
    mass_tol = check_scalar(mass_tol, "mass_tol", low=0.0)
    problem = dense_problem(a, b, C, mass_tol=mass_tol, rho=rho, refine=refine)
    return solve_problem(
        problem,
        constraints=None if constraints is None else read_constraints(constraints, problem),
        reg=reg,
        method=method,
        tol=tol,
        norm=norm,
        warmup=warmup,
        density=density,
        linsolver=linsolver,
        anneal=anneal,
        init=init,
        plan=plan,
        refine=refine,
        maxiter=maxiter,
        time_limit=time_limit,
        callback=callback,
        verbose=verbose,
        history=history,
    )


def solve_points(
    X: Any,
    Y: Any,
    reg: float,
    a: Any = None,
    b: Any = None,
    *,
    metric: str = "sqeuclidean",
    method: str = "sns",
    reg_m: Any = None,
    tol: float | None = None,
    norm: str = "l1",
    warmup: int | str = "auto",
    linsolver: str = "auto",
    anneal: bool | str | None = "auto",
    init: Any = None,
    mass_tol: float = 1e-6,
    plan: str | None = "lazy",
    max_nnz: int | None = None,
    refine: bool = False,
    maxiter: int | None = None,
    time_limit: float | None = None,
    callback: Callable[..., Any] | None = None,
    verbose: int = 0,
    history: bool = False,
) -> OTResult:
    """Entropic optimal transport between two clouds of points, costs worked out on the fly.

    As `solve` with `C_ij = |X_i - Y_j|^2` (or another metric) in O((n + m) d + kept entries) memory.

    Parameters
    ----------
    X : array of shape (n, d), float64 or float32
        Sources, NumPy or CuPy.
    Y : array of shape (m, d)
        Targets.
    reg : float
        Regularisation, in units of the cost.
    a, b : array of shape (n,) and (m,), optional
        Weights; uniform by default.
    metric : {'sqeuclidean', 'euclidean', 'cityblock'}
        Cost of a pair.
    method : {'sns', 'sinkhorn'}
        Sweeps and then sparse Newton steps [1]_, or sweeps alone.
    reg_m : float or pair of float, optional
        Unbalanced transport: the marginals may differ from `a` and `b` at the price reg_m * KL(P 1 | a) and
        reg_m * KL(P' 1 | b); a pair gives each side its own, inf keeps that marginal fixed.
    tol : float, optional
        Converged when the marginal error, recomputed for the answer, is at most `tol` * sum(a). The error is
        `|P 1 - a|_1 + |P' 1 - b|_1`; unbalanced, with a exp(-f / reg_m) for a and alike for b. Default 1e-9, or ten
        times the rounding floor eps * max(4, max C / (20 reg)) where that is more.
    norm : {'l1', 'linf'}
        'linf' measures by the largest entry of both errors instead of their sums.
    warmup : 'auto' or int
        Sweeps before the first Newton step of each stage: as long as they are the faster method, or a number.
    linsolver : {'auto', 'cg', 'exact-pcg', 'direct', 'tree'}
        Newton systems by conjugate gradients on the Schur complement with its diagonal as preconditioner ('cg'), by
        conjugate gradients on the full plan's system with the factored sparse one as preconditioner, by Cholesky
        factors (sparse LU on the host past 12000 atoms on the shorter side), or preconditioned by the heaviest spanning
        tree (NumPy only). 'auto' is 'cg', and 'direct' after two solves that hit the limit of 400 iterations.
    anneal : 'auto', bool or None
        Solve first for larger regularisations, from max C / 20 down in ratios of at most 4; 'auto' and True do so for
        balanced problems with reg below max C / 100.
    init : OTResult or pair of arrays (f, g), optional
        Potentials to start from, in units of the cost; turns annealing off.
    mass_tol : float
        Largest relative difference of sum(a) and sum(b); within it `b` is scaled to the mass of `a`.
    plan : {'dense', 'sparse', 'lazy', None}
        Form of the plan: an array, a CSR array without entries that together weigh less than a tenth of the
        tolerance, a `LazyPlan`, or none.
    max_nnz : int, optional
        Most entries that a Newton system may keep; by default what takes a quarter of the device's memory. Where the
        error asks for more, conjugate gradients work with the full plan on the fly.
    refine : bool
        For float32 data: float64 potentials and sums, so that tolerances below the floor of float32 can be met.
    maxiter : int, optional
        Limit on sweeps, Newton steps and coarse steps together (default 10000).
    time_limit : float, optional
        Seconds.
    callback : callable, optional
        By SciPy's rule: ``callback(intermediate_result=res)`` with the plan as ``x`` (between points, the potential
        f), or ``callback(x)``; StopIteration stops the solve, which then returns its best point.
    verbose : {0, 1, 2}
        Silent, a progress bar, or a line a step through the ``numopt`` logger.
    history : bool
        Record per step: marginal_error (inf before the last stage), fun (the dual value), reg, l1, sweep (1 or 0),
        density, cg, shift, kernel_passes, seconds.

    Returns
    -------
    res : OTResult
        Plan, potentials, values, bounds on the unregularised cost, certificate and counts; see `OTResult`. `success`
        is True only if the recomputed error is at most `tol`.

    Raises
    ------
    ValueError
        For shapes that do not fit (also for a matrix as first argument: the order is a, b, C, reg), negative or NaN
        weights, masses that differ, reg <= 0, NaN or -inf among the costs, an atom with mass whose costs are all +inf,
        or a `tol` below the rounding floor of float32.
    TypeError
        For complex or sparse costs, and for mixed array libraries.

    Notes
    -----
    A pass over the plan takes one exponential for each pair; a solve takes 20 to 100 of them, and the Newton systems
    hold the entries that matter only. Failures come back as `status` with what to try: MAXITER, TIME_LIMIT, CALLBACK,
    PRECISION (rounding keeps the error above `tol`), STALLED, INFEASIBLE (the pairs of finite cost cannot carry these
    marginals). For a few thousand atoms an exact solver, POT's ``emd``, is as fast where no gradients and no smooth
    plan are wanted.

    References
    ----------
    .. [1] X. Tang, M. Shavlovsky, H. Rahmanian, E. Tardini, K. K. Thekumparampil, T. Xiao, L. Ying, "Accelerating
       Sinkhorn Algorithm with Sparse Newton Iterations", ICLR 2024.

    Examples
    --------
    >>> import numpy as np
    >>> import numopt
    >>> X = np.random.default_rng(0).standard_normal((200, 2))
    >>> res = numopt.ot.solve_points(X, X + [3.0, 0.0], reg=0.1)
    >>> res.success, round(res.value, 1)
    (True, 9.1)
    >>> (res.plan @ X).shape
    (200, 2)
    """
    rho = penalties(reg_m)
    check_choice(metric, "metric", tuple(METRICS))
    mass_tol = check_scalar(mass_tol, "mass_tol", low=0.0)
    problem = point_problem(X, Y, a, b, metric=metric, mass_tol=mass_tol, rho=rho, refine=refine)
    if max_nnz is not None:
        problem.cost.max_nnz = check_scalar(max_nnz, "max_nnz", kind=int, low=1)
    return solve_problem(
        problem,
        reg=reg,
        method=method,
        tol=tol,
        norm=norm,
        warmup=warmup,
        density="auto",
        linsolver=linsolver,
        anneal=anneal,
        init=init,
        plan=plan,
        refine=refine,
        maxiter=maxiter,
        time_limit=time_limit,
        callback=callback,
        verbose=verbose,
        history=history,
    )


def solve_problem(
    problem: Problem,
    *,
    reg: float,
    constraints: Constraints | None = None,
    init: Any = None,
    plan: str | None = "dense",
    refine: bool = False,
    callback: Callable[..., Any] | None = None,
    verbose: int = 0,
    history: bool = False,
    with_bounds: bool = True,
    **options: Any,
) -> OTResult:
    """Solve a checked problem and put the answer together."""
    settings = _settings(problem, reg, options)
    if plan is not None:
        check_choice(plan, "plan", PLANS)
    verbose = check_verbose(verbose)
    start = _start(problem, init)
    deadline = Deadline(settings.time_limit)
    recording = history or verbose > 0
    engine: Engine
    if constraints is None:
        engine = Engine(problem.cost, problem.rows, problem.cols, settings, recording=recording)
    else:
        multipliers = constraints.start(init)
        engine = ConstrainedEngine(problem, settings, constraints, multipliers, recording=recording)
    record = History() if history else None
    work = engine.work(start)
    with Progress(verbose, "ot.solve", settings.maxiter) as progress:
        # The first unit of work makes the first point that can be measured.
        status = next(work)
        if status is None:
            status = run(
                # Work that ends above `tol` has nothing left to try.
                lambda: next(work, Status.PRECISION),
                engine.measure,
                tol=settings.tol,
                maxiter=settings.maxiter,
                time_limit=deadline,
                callback=callback,
                history=record,
                progress=progress,
            ).status
    work.close()
    point = engine.answer()
    if isinstance(engine, ConstrainedEngine):
        problem, with_bounds = engine.solved(problem), False
    return _result(problem, engine, point, status, plan, with_bounds, record, deadline)


def rounding_floor(problem: Problem, reg: float) -> float:
    """The smallest relative marginal error that may be asked for."""
    eps = float(problem.xp.finfo(problem.rows.weights.dtype).eps)
    return eps * max(4.0, 0.05 * problem.cost.largest / reg)


def _settings(problem: Problem, reg: Any, options: Mapping[str, Any]) -> Options:
    """Check the options; the default tolerance and the smallest one depend on the dtype and the costs."""
    xp, real = problem.xp, problem.rows.weights.dtype
    reg = check_scalar(reg, "reg", low=0.0, include_low=False)
    floor = rounding_floor(problem, reg)
    if floor >= 1.0:
        raise ValueError(
            f"`reg` must leave the costs (up to {problem.cost.largest:.3g}) digits after division by it, got {reg:.3g}."
        )
    settings = check_options(reg=reg, default_tol=max(TOL, 10.0 * floor), **options)
    if real == xp.float32 and options.get("tol") is not None and settings.tol < floor:
        raise ValueError(
            f"`tol` must be at least {floor:.1e}, the rounding floor of float32 at this `reg`, got {settings.tol:g}; "
            "use float64 or refine=True."
        )
    return settings


def _start(problem: Problem, init: Any) -> tuple[Array, Array] | None:
    """Read the potentials to start from: an earlier result or a pair (f, g)."""
    if init is None:
        return None
    if not isinstance(init, OTResult | tuple | list):
        raise TypeError(f"`init` must be an OTResult or a pair of potentials (f, g), got {type(init).__name__}.")
    pair = (init["f"], init["g"]) if isinstance(init, OTResult) else tuple(init)
    if len(pair) != 2:
        raise ValueError(f"`init` must be an OTResult or a pair of potentials (f, g), got {len(pair)} items.")
    like = problem.rows.weights
    f, g = (asarray_like(v, like, dtype=like.dtype) for v in pair)
    for name, value, size in (("f", f, problem.shape[0]), ("g", g, problem.shape[1])):
        if tuple(value.shape) != (size,):
            raise ValueError(f"`init` must hold {name} of shape ({size},), got {tuple(value.shape)}.")
        if not bool(problem.xp.all(problem.xp.isfinite(value))):
            raise ValueError(f"`init` must be finite, got NaN or infinite values in {name}.")
    return problem.restrict(f, 0), problem.restrict(g, 1)


def _result(
    problem: Problem,
    engine: Engine,
    point: Point,
    status: Status,
    plan: str | None,
    with_bounds: bool,
    record: History | None,
    deadline: Deadline,
) -> OTResult:
    """Recompute the certificate for what is returned and put all fields together."""
    xp, cost, options = problem.xp, problem.cost, engine.options
    reg, f, g = options.reg, point.f, point.g
    dense = None
    if plan == "dense":
        dense, r, c = cost.plan(f, g, reg)
    else:
        r, c = cost.sums(f, g, reg)
    final = engine.point(f, g, r, c)
    measured = engine.stopping(final)
    if not math.isfinite(measured):
        status = Status.NONFINITE
    elif measured <= options.tol:
        # Also where a limit or a failed step ended the loop at a point that is good enough.
        status = status if status is Status.CALLBACK else Status.CONVERGED
    elif status is Status.CONVERGED:
        status = Status.PRECISION
    balanced = problem.rows.fixed and problem.cols.fixed
    bracket = Bounds(math.nan, math.nan)
    if balanced and with_bounds:
        bracket = bounds(cost, problem.rows, problem.cols, f, g, r, c, reg, dense)
    shifts = _shift_value(problem, r, c)
    value = cost.value(f, g, reg, dense) + shifts
    entropy_part, penalty = scalars(
        xp, xp.sum(f * r) + xp.sum(g * c) - reg * xp.sum(r), problem.rows.divergence(r) + problem.cols.divergence(c)
    )
    reg_value = entropy_part + shifts + penalty
    whole = Potentials(problem.extend(f, 0, g, reg), problem.extend(g, 1, f, reg))
    if balanced and problem.row_shift is not None:
        # The gauge sum(b g) = 0 was that of the shifted costs.
        (t,) = scalars(xp, xp.sum(problem.cols.weights * (g + problem.col_shift)) / engine.mass)
        whole = Potentials(whole.rows + t, whole.cols - t)
    result_plan = _plan(problem, engine, final, dense, plan)
    nit = engine.counts.sinkhorn + engine.counts.newton + engine.counts.coarse
    fields: dict[str, Any] = {
        "x": result_plan,
        "plan": result_plan,
        "f": whole.rows,
        "g": whole.cols,
        "value": value,
        "fun": reg_value,
        "reg_value": reg_value,
        "dual_value": final.fun + _shift_value(problem, problem.rows.weights, problem.cols.weights),
        "upper_bound": bracket.upper + shifts,
        "lower_bound": bracket.lower + shifts,
        "marginal_error": final.error,
        "marginal_error_linf": final.error_inf,
        "status": status,
        "message": outcome_message(
            status,
            measure_name="marginal error relative to the mass",
            value=measured,
            tol=options.tol,
            nit=nit,
            remedy=REMEDIES.get(status),
            detail=engine.detail,
        ),
        "nit": nit,
        "nit_sinkhorn": engine.counts.sinkhorn,
        "nit_newton": engine.counts.newton,
        "nit_coarse": engine.counts.coarse,
        "ncg": engine.counts.cg,
        "nkernel": cost.n_passes,
        "density_used": engine.density_used,
        "stage_seconds": engine.stage_seconds,
        "time": deadline.elapsed(),
    }
    if isinstance(engine, ConstrainedEngine):
        fields |= engine.fields(final, status, value, reg_value, whole.rows, nit)
    if record is not None:
        fields["history"] = record.asdict()
    has_derivative = status is Status.CONVERGED and not isinstance(engine, ConstrainedEngine)
    derivative = Pullback(problem, f, g, whole, reg) if has_derivative else None
    return make_result(fields, OTResult).attach(derivative)


def _shift_value(problem: Problem, r: Array, c: Array) -> float:
    """What the offsets taken out of the costs add to a value whose plan has these sums."""
    if problem.row_shift is None:
        return 0.0
    xp = problem.xp
    return scalars(xp, xp.sum(problem.row_shift * r) + xp.sum(problem.col_shift * c))[0]


def _plan(problem: Problem, engine: Engine, final: Point, dense: Array | None, plan: str | None) -> Any:
    """The plan in the form that was asked for, atoms without mass put back."""
    reg = engine.options.reg
    if plan is None:
        return None
    if plan == "dense":
        return spread(spread(dense, problem.kept_rows, problem.shape[0], 0), problem.kept_cols, problem.shape[1], 1)
    if plan == "lazy":
        return LazyPlan(problem.cost, final.f, final.g, reg, problem.kept_rows, problem.kept_cols, problem.shape)
    # What is left out stays below the marginal error that was asked for.
    kept = problem.cost.compact(final.f, final.g, reg, *by_error(final.r, final.c, 0.1 * engine.options.tol))
    return sparse_plan(kept.rows, problem.kept_rows, problem.kept_cols, problem.shape)
