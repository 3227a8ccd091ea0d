"""Sketched inexact Newton with an exact augmented Lagrangian, for min f(x) subject to c(x) = 0.

Paper: Hong, Na, Mahoney, Kolar, "Constrained Optimization via Exact Augmented Lagrangian and Randomized Iterative
Sketching", ICML 2023. `accuracy='paper'` runs its Algorithm 1; `accuracy='practical'` keeps its merit function and
descent test and replaces what costs O(n^3) beyond the solve itself (module `_practical`).
"""

import hashlib
import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from scipy.optimize import OptimizeResult

from numopt._array import asarray_like, namespace, to_host
from numopt._core.callback import wrap_callback
from numopt._core.checkpoint import Checkpoint
from numopt._core.history import History
from numopt._core.loop import LoopOutcome, Measure, run
from numopt._core.messages import outcome_message
from numopt._core.progress import Progress
from numopt._core.result import make_result
from numopt._core.status import Status
from numopt._core.timer import Deadline
from numopt._core.validation import check_unknown_options, check_vector, check_verbose
from numopt._rng import default_rng
from numopt._typing import Array, RNGLike
from numopt.constrained._constraints import check_bounds, read_constraints
from numopt.constrained._feasibility import jacobian_norm, least_squares_multipliers
from numopt.constrained._functions import Functions
from numopt.constrained._iterate import Iterate, attach_multipliers, with_multipliers
from numopt.constrained._l1 import L1Method
from numopt.constrained._merit import ExactMerit
from numopt.constrained._options import Options, Theta, check_options
from numopt.constrained._paper import PaperMethod
from numopt.constrained._practical import PracticalMethod
from numopt.constrained._state import State

Method = PracticalMethod | PaperMethod | L1Method


def sketched_newton(
    fun: Callable[..., Any],
    x0: Any,
    *,
    args: Any = (),
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    lag_hess: Callable[[Array, Array], Any] | None = None,
    lag_hessp: Callable[[Array, Array, Array], Any] | None = None,
    lam0: Any = None,
    linear_solver: str | Callable[..., Any] = "auto",
    sketch: str = "row",
    block_size: str | int = "auto",
    accuracy: str = "practical",
    eta1: float = 1.0,
    eta2: float = 0.1,
    delta: float = 0.1,
    nu: float = 1.5,
    beta: float = 0.1,
    xi_B: float = 0.1,
    theta: Theta = 1.0,
    hess_mod: str = "auto",
    merit: str = "auto",
    tol: float | None = None,
    gtol: float | None = None,
    ctol: float | None = None,
    maxiter: int = 1000,
    max_inner: int | None = None,
    maxfev: int | None = None,
    time_limit: float | None = None,
    rng: RNGLike = None,
    callback: Callable[..., Any] | None = None,
    history: bool = False,
    verbose: int = 0,
    disp: bool | None = None,
    checkpoint: Any = None,
    **unknown_options: Any,
) -> OptimizeResult:
    """Minimise a smooth function under equality constraints by inexact Newton steps on the KKT system.

    Solves  min f(x)  subject to  c(x) = 0,  f: R^n -> R, c: R^n -> R^m, m <= n, both twice differentiable and possibly
    nonconvex. Also works as ``scipy.optimize.minimize(..., method=numopt.sketched_newton)``.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args) -> float``; with ``jac=True`` it returns the pair (value, gradient).
    x0 : array of shape (n,), float32 or float64
        Starting point, NumPy or CuPy; integers become the default float. All arrays of the result share its library,
        dtype and device.
    args : tuple, optional
        Extra arguments of `fun`, `jac`, `hess`, `hessp`.
    jac : callable, True, '2-point' or '3-point', optional
        Gradient of f, shape (n,). None means central differences.
    hess : callable, optional
        Hessian of f, shape (n, n): dense, sparse or LinearOperator. Missing Hessians (None, '2-point', '3-point' or a
        HessianUpdateStrategy) are replaced by forward differences of gradients.
    hessp : callable, optional
        ``hessp(x, p, *args)``, product of the Hessian of f with p; with it and no `hess` MINRES solves the system.
    bounds : None or Bounds
        Infinite bounds are accepted, a finite one is an error: equality constraints only.
    constraints : NonlinearConstraint, LinearConstraint, dict of type 'eq', or a list of these
        Equalities (lb == ub). Jacobians may be dense, sparse or operators.
    lag_hess, lag_hessp : callable, optional
        ``lag_hess(x, lam)`` and ``lag_hessp(x, lam, v)``: Hessian of L = f + lam'c and its products, instead of `hess`
        and the constraints' own.
    lam0 : array of shape (m,), optional
        Multipliers to start from; None takes least-squares multipliers.
    linear_solver : {'auto', 'direct', 'minres', 'gmres', 'rk', 'gaussian'} or callable
        'auto' is deterministic: LDL' of the dense KKT matrix up to n + m = 2000, SuperLU for sparse input above 400,
        MINRES for operators and for what is too large. 'rk' and 'gaussian' are randomised row and Gaussian
        sketch-and-project. A callable gets (K, b, rtol) and returns the solution.
    sketch : {'row'}
        Sketch of the randomised solvers.
    block_size : {'auto', 1}
        Rows in a sketch.
    accuracy : {'practical', 'paper'}
        'paper' runs Algorithm 1 of [1]_ and resolves 'auto' to linear_solver='rk', hess_mod='paper'.
    eta1, eta2, delta, nu, beta, xi_B : float
        The paper's parameters: weights of the merit function, initial inner accuracy, growth of the weights, Armijo
        constant, curvature bound.
    theta : float or callable ``theta(k, kkt)``
        Factor of the inner accuracy in paper mode.
    hess_mod : {'auto', 'inertia', 'paper', 'none'}
        How the Hessian is made positive definite on the null space of the Jacobian: by the inertia of the
        factorisation (curvature where there is none), by the paper's shift xi_B + ||H||_F (dense systems only), or not
        at all.
    merit : {'auto', 'exact_al', 'l1', 'l1-adaptive'}
        'exact_al' is the exact augmented Lagrangian; the l1 forms are the paper's baselines (accuracy='paper' only).
    tol : float, optional
        Converged when the 2-norm of (grad f + J'lam, c), recomputed at the returned answer, is <= `tol` (absolute).
        Default 1e-8 in float64, 3.5e-4 in float32.
    gtol, ctol : float, optional
        If given, success also needs ||grad f + J'lam||_2 <= gtol and ||c||_2 <= ctol.
    maxiter, max_inner, maxfev : int, optional
        Limits on outer steps, on inner steps of one linear solve (default 1e5) and on evaluations of f.
    time_limit : float, optional
        Seconds.
    rng : None, int, SeedSequence or Generator
        Random source of the randomised solvers (SPEC 7).
    callback : callable, optional
        By SciPy's rule: ``callback(intermediate_result=res)`` or ``callback(xk)``; StopIteration stops the solve.
    history : bool
        Record kkt, fun, constr_violation, merit, eta1, eta2, delta, alpha, inner_nit, inner_residual and seconds.
    verbose : {0, 1, 2}
        Silent, a progress bar, or a line per iteration through the ``numopt`` logger.
    disp : bool, optional
        SciPy's name for verbose=1.
    checkpoint : path, optional
        File that is rewritten as the solve goes on and from which a killed solve resumes.
    **unknown_options
        Anything else raises one OptimizeWarning, as in SciPy.

    Returns
    -------
    res : OptimizeResult
        ``x, fun, jac, lam, success, status, message, nit, nfev, njev, nhev, ncev, ncjev, optimality`` (||grad_x L||),
        ``constr_violation`` (||c||), ``kkt`` (2-norm of both), ``eta1, eta2, inner_nit`` (total), ``linear_solver``
        (the one used), ``n_hess_mod, n_inner_capped, alpha`` (last step), ``time`` and, on request, ``history``. The
        iterate returned is the best found; `success` is True only if its recomputed kkt is at most `tol`.

    Raises
    ------
    ValueError
        For inequality constraints or finite bounds, m > n, shapes that do not fit, parameters out of range, a
        nonsymmetric Hessian, or a first evaluation that is not finite.
    TypeError
        For complex input, mixed array libraries, or functions that are not callable.

    Notes
    -----
    A dense step costs (n + m)^3 / 3 flops and 8 (n + m)^2 bytes; a sparse one the fill of the LU factors; a row
    sketch 4 (n + m) flops. With exact steps convergence is superlinear near a point with second-order sufficiency.
    Failures come back as `status`: see `numopt.Status`. Differences from the paper are listed in the user guide.

    References
    ----------
    .. [1] I. Hong, S. Na, M. W. Mahoney, M. Kolar, "Constrained Optimization via Exact Augmented Lagrangian and
       Randomized Iterative Sketching", ICML 2023, Algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.optimize import NonlinearConstraint
    >>> from numopt import sketched_newton
    >>> circle = NonlinearConstraint(
    ...     lambda x: x @ x - 1, 0, 0, jac=lambda x: 2 * x, hess=lambda x, v: 2 * v[0] * np.eye(2))
    >>> res = sketched_newton(
    ...     lambda x: 2 * (x @ x - 1) - x[0], [0.8, 0.6],
    ...     jac=lambda x: 4 * x - np.array([1, 0]), hess=lambda x: 4 * np.eye(2), constraints=circle)
    >>> res.success, (np.round(res.x, 6) + 0.0).tolist(), round(float(res.lam[0]), 6)
    (True, [1.0, 0.0], -1.5)
    """
    x0 = check_vector(x0, "x0")
    xp = namespace(x0)
    check_unknown_options(unknown_options, "sketched_newton")
    check_bounds(bounds)
    verbose = check_verbose(verbose) or int(bool(disp))
    callback = wrap_callback(callback)
    options = check_options(
        eps=float(xp.finfo(x0.dtype).eps),
        tol=tol,
        max_inner=max_inner,
        linear_solver=linear_solver,
        sketch=sketch,
        block_size=block_size,
        accuracy=accuracy,
        hess_mod=hess_mod,
        merit=merit,
        eta1=eta1,
        eta2=eta2,
        delta=delta,
        nu=nu,
        beta=beta,
        xi_B=xi_B,
        theta=theta,
        gtol=gtol,
        ctol=ctol,
        maxiter=maxiter,
        maxfev=maxfev,
        time_limit=time_limit,
        rng=rng,
    )
    functions = Functions(
        fun,
        x0,
        args=args if isinstance(args, tuple) else (args,),
        jac=jac,
        hess=hess,
        hessp=hessp,
        blocks=read_constraints(constraints, xp, x0),
        lag_hess=lag_hess,
        lag_hessp=lag_hessp,
        xp=xp,
    )
    deadline = Deadline(options.time_limit)
    state = _init(functions, options, x0, lam0, deadline)
    method = _method(state)
    record = History() if history else None
    saver = None if checkpoint is None else _checkpoint(checkpoint, state, x0)
    with Progress(verbose, "sketched_newton", options.maxiter) as progress:
        outcome = run(
            method.step,
            lambda: _measure(state),
            tol=options.tol,
            maxiter=options.maxiter,
            time_limit=deadline,
            callback=callback,
            history=record,
            progress=progress,
            checkpoint=saver,
        )
    return _result(state, method, outcome, record)


def _init(functions: Functions, options: Options, x0: Array, lam0: Any, deadline: Deadline) -> State:
    """First evaluation, its checks, and the starting multipliers."""
    xp = functions.xp
    f = functions.fun(x0)
    c = functions.cons(x0)
    m = int(c.shape[0])
    if m > functions.n:
        raise ValueError(
            f"`constraints` have {m} components for {functions.n} unknowns; an overdetermined system has no "
            "solution in general: minimise ||c||^2 instead, for instance with scipy.optimize.least_squares."
        )
    grad, J = functions.grad(x0), functions.jac(x0)
    values = J.data if hasattr(J, "tocsr") else J
    checks = [("fun", f), ("constraints", c), ("jac", grad)]
    if not hasattr(values, "matvec"):
        checks.append(("constraints' jac", values))
    for name, value in checks:
        finite = math.isfinite(value) if isinstance(value, float) else bool(xp.all(xp.isfinite(value)))
        if not finite:
            raise ValueError(f"`{name}` is not finite at `x0`; start where all functions are defined.")
    if lam0 is None:
        lam = least_squares_multipliers(grad, J, xp)
    else:
        lam = check_vector(asarray_like(lam0, x0, dtype=x0.dtype), "lam0", min_size=0)
        if lam.shape[0] != m:
            raise ValueError(f"`lam0` has shape {tuple(lam.shape)} but `constraints` have {m} components.")
    point = attach_multipliers(xp, x0, lam, f, c, grad, J)
    return State(
        functions=functions,
        options=options,
        xp=xp,
        point=point,
        best=point,
        merit=ExactMerit(
            eta1=options.eta1,
            eta2=options.eta2,
            nu=options.nu,
            beta=options.beta,
            nonmonotone=options.accuracy == "practical",
        ),
        rng=default_rng(options.rng),
        deadline=deadline,
        jacobian_reference=jacobian_norm(J, xp),
        delta=options.delta,
    )


def _method(state: State) -> Method:
    if state.options.merit != "exact_al":
        return L1Method(state)
    return PaperMethod(state) if state.options.accuracy == "paper" else PracticalMethod(state)


def _scaled_kkt(point: Iterate, options: Options) -> float:
    """The number compared with `tol`: kkt, or more where gtol or ctol are not met."""
    value = point.kkt
    if options.gtol is not None and point.optimality > options.gtol:
        value = max(value, point.optimality * options.tol / options.gtol)
    if options.ctol is not None and point.violation > options.ctol:
        value = max(value, point.violation * options.tol / options.ctol)
    return value


def _measure(state: State) -> Measure:
    point, merit = state.point, state.merit
    return Measure(
        value=_scaled_kkt(point, state.options),
        fun=point.f,
        name="kkt",
        fields={
            "constr_violation": point.violation,
            "merit": merit.value(point),
            "eta1": merit.eta1,
            "eta2": merit.eta2,
            "delta": state.delta,
            "alpha": state.alpha,
            "inner_nit": float(state.last_inner),
            "inner_residual": state.last_residual,
        },
        arrays=lambda: {
            "x": state.xp.asarray(point.x, copy=True),
            "lam": state.xp.asarray(point.lam, copy=True),
        },
    )


def _checkpoint(path: Any, state: State, x0: Array) -> Checkpoint:
    """Bind the checkpoint file to the state and, where the file exists, go on from it."""

    def snapshot() -> tuple[Mapping[str, Array], Mapping[str, Any]]:
        meta = {
            "eta": [state.merit.eta1, state.merit.eta2],
            "memory": [list(entry) for entry in state.merit.memory],
            "unit_steps": state.merit.unit_steps,
            "delta": state.delta,
            "inner_nit": state.inner_nit,
            "n_inner_capped": state.n_inner_capped,
            "extra": state.extra,
            "rng": state.rng.bit_generator.state,
        }
        return {"x": state.point.x, "lam": state.point.lam, "best_x": state.best.x, "best_lam": state.best.lam}, meta

    options = state.options
    key = {
        "solver": "sketched_newton",
        "n": state.functions.n,
        "m": int(state.point.c.shape[0]),
        "dtype": str(x0.dtype),
        "accuracy": options.accuracy,
        "merit": options.merit,
        "x0": hashlib.sha256(to_host(x0).tobytes()).hexdigest()[:16],
    }
    saver = Checkpoint(path, key, snapshot)
    if saver.resumed:
        functions = state.functions
        arrays, meta = saver.arrays, saver.meta
        state.best = _evaluate_quietly(functions, *(asarray_like(arrays[k], x0) for k in ("best_x", "best_lam")))
        state.point = _evaluate_quietly(functions, *(asarray_like(arrays[k], x0) for k in ("x", "lam")))
        state.merit.eta1, state.merit.eta2 = meta["eta"]
        state.merit.memory = deque((tuple(entry) for entry in meta["memory"]), maxlen=state.merit.memory.maxlen)
        state.merit.unit_steps = meta["unit_steps"]
        state.delta = meta["delta"]
        state.inner_nit, state.n_inner_capped = meta["inner_nit"], meta["n_inner_capped"]
        state.extra = meta["extra"]
        state.rng.bit_generator.state = meta["rng"]
        state.nit = saver.nit
    return saver


def _evaluate_quietly(functions: Functions, x: Array, lam: Array) -> Iterate:
    """Evaluate from scratch without counting: certificates and resumed states are not the method's work."""
    counts = functions.counts
    point = attach_multipliers(
        functions.xp, x, lam, functions.fun(x), functions.cons(x), functions.grad(x), functions.jac(x)
    )
    functions.counts = counts
    return point


def _result(state: State, method: Method, outcome: LoopOutcome, record: History | None) -> OptimizeResult:
    """Recompute the certificate at the answer and say what happened."""
    options, functions, status = state.options, state.functions, outcome.status
    answer = state.point if status is Status.CONVERGED else state.best
    point = _evaluate_quietly(functions, answer.x, answer.lam)
    if status is not Status.CONVERGED and options.accuracy == "practical" and functions.blocks and point.finite:
        # The best x may be a solution whose multipliers lag behind.
        lam = least_squares_multipliers(point.grad, point.J, state.xp)
        candidate = with_multipliers(state.xp, point, lam)
        if candidate.kkt < point.kkt:
            point = candidate
            if _scaled_kkt(point, options) <= options.tol:
                status = Status.CONVERGED
    value = _scaled_kkt(point, options)
    detail = state.detail
    if status is Status.CONVERGED and not value <= options.tol:
        status = Status.PRECISION
        detail = "The functions gave other values when the certificate was recomputed"
    message = outcome_message(
        status, measure_name="KKT residual", value=value, tol=options.tol, nit=outcome.nit, detail=detail
    )
    fields: dict[str, Any] = {
        "x": point.x,
        "fun": point.f,
        "jac": point.grad,
        "lam": point.lam,
        "status": status,
        "message": message,
        "nit": outcome.nit,
        **dict(zip(("nfev", "njev", "nhev", "ncev", "ncjev"), functions.counts, strict=True)),
        "optimality": point.optimality,
        "constr_violation": point.violation,
        "kkt": point.kkt,
        "eta1": state.merit.eta1,
        "eta2": state.merit.eta2,
        "inner_nit": state.inner_nit,
        "linear_solver": method.linear_solver,
        "n_hess_mod": state.n_hess_mod,
        "n_inner_capped": state.n_inner_capped,
        "alpha": state.alpha,
        "time": outcome.seconds,
    }
    if record is not None:
        fields["history"] = record.asdict()
    return make_result(fields)
