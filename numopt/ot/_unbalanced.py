"""`sinkhorn_unbalanced`: transport with penalised marginals, with POT's signature and returns."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from numopt._array import asarray_like, is_array, namespace, scalars
from numopt._core.validation import check_choice, check_scalar
from numopt._core.warnings import ConvergenceWarning, NumericalWarning
from numopt._core.warnings import warn as issue
from numopt._typing import Array
from numopt.ot._calls import (
    Remarks,
    as_scalar,
    columns_of,
    log_scalings,
    potentials,
    problem_of,
    read_method,
    starts_of,
    uniform_if_empty,
    whole_weights,
)
from numopt.ot._cost import DenseCost
from numopt.ot._problem import Problem, penalties
from numopt.ot._result import OTResult
from numopt.ot._solve import rounding_floor, solve_problem

METHODS = (
    "sns",
    "sinkhorn",
    "sinkhorn_stabilized",
    "sinkhorn_translation_invariant",
    "sinkhorn_reg_scaling",
)


def sinkhorn_unbalanced(
    a: Any,
    b: Any,
    M: Any,
    reg: float,
    reg_m: Any,
    method: str = "sns",
    reg_type: str = "kl",
    c: Any = None,
    warmstart: Any = None,
    numItermax: int = 1000,
    stopThr: float = 1e-6,
    verbose: bool | int = False,
    log: bool = False,
    *,
    warn: bool = True,
    density: float | str = "auto",
    linsolver: str = "auto",
    time_limit: float | None = None,
    callback: Callable[..., Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Entropic unbalanced transport plan, called as `ot.sinkhorn_unbalanced` of POT.

    Minimises  <M, P> + reg * KL(P | c) + reg_m1 * KL(P 1 | a) + reg_m2 * KL(P' 1 | b)  over P >= 0, where
    KL(p | q) = sum p log(p / q) - p + q.

    Parameters
    ----------
    a : array of shape (n,) or list
        Weights of the sources; empty means uniform.
    b : array of shape (m,) or (m, k) or list
        Weights of the targets, of any mass; empty means uniform. With k columns, k problems are solved and their
        losses returned.
    M : array of shape (n, m) or list
        Costs; +inf forbids a pair.
    reg : float
        Regularisation, in the unit of `M`.
    reg_m : float or sequence of one or two floats
        Penalties of the marginals of rows and columns, in the unit of `M`. inf makes a marginal a constraint; with
        both inf the masses must be equal.
    method : str, default 'sns'
        'sns', or one of POT's names 'sinkhorn', 'sinkhorn_stabilized', 'sinkhorn_translation_invariant' and
        'sinkhorn_reg_scaling', which all run the same method.
    reg_type : {'kl', 'entropy'}, default 'kl'
        'kl' is relative to `c`; 'entropy' has c = 1, as `numopt.ot.solve` has.
    c : array of shape (n, m), optional
        Reference of the regularisation for 'kl'; None means a b'. Where it is zero, P is.
    warmstart : tuple of arrays, optional
        (log u, log v), the 'logu' and 'logv' of an earlier call; with k columns each.
    numItermax : int, default 1000
        Largest number of sweeps and Newton steps together.
    stopThr : float, default 1e-6
        Bound on `|P 1 - a exp(-f / reg_m1)|_1 + |P' 1 - b exp(-g / reg_m2)|_1`, relative to the mass of `a`: the mean
        relative change that one more sweep would make to u and v, of which POT takes the largest.
    verbose : bool or int, default False
        True or 1 shows a progress bar, 2 a line per step.
    log : bool, default False
        Return a dictionary as well.
    warn : bool, default True
        Warn where `stopThr` was not met, or cannot be in this dtype.
    density : 'auto', 'paper', 'ssns' or float
        Entries that a Newton system keeps, as in `numopt.ot.solve`.
    linsolver : str
        Solver of the Newton systems, as in `numopt.ot.solve`.
    time_limit : float, optional
        Seconds.
    callback : callable, optional
        By SciPy's rule, as in `numopt.ot.solve`.
    **kwargs
        Options of POT's single methods (`tau`), ignored; others warn.

    Returns
    -------
    P : array of shape (n, m), or of shape (k,) where `b` is 2-D
        The plan; for k targets the k losses <M, P>.
    log : dict
        Only with ``log=True``. 'err': the stopping measure after each step, then that of the answer; 'logu', 'logv':
        P = c * diag(u) exp(-M / reg) diag(v); 'cost': <M, P>; 'total_cost': the objective with sum p log(p / q) for
        KL, as POT has it; 'niter': steps.

    Raises
    ------
    ValueError
        If a shape does not fit, a weight or an entry of `c` is negative or not finite, `reg` or a penalty is not
        positive, `M` holds NaN or -inf, an atom with mass has no pair to go to, or an option is unknown.
    TypeError
        If the arrays come from different libraries, or are complex or sparse.

    Warns
    -----
    UserWarning
        If the plan does not meet `stopThr`, if `stopThr` is below the rounding floor of the dtype (which is used
        instead), or if `c` comes with 'entropy'.

    Notes
    -----
    With a 2-D `b`, POT 0.9.7 leaves `c` out whatever `reg_type` says. Here each column gives the loss of the plan that
    a call with this column alone returns, so that only 'entropy' agrees with POT.

    Examples
    --------
    >>> import numopt.ot as ot
    >>> M = [[0.0, 1.0], [1.0, 0.0]]
    >>> ot.sinkhorn_unbalanced([0.5, 0.5], [0.5, 0.5], M, 1.0, 1.0).round(6)
    array([[0.322054, 0.118477],
           [0.118477, 0.322054]])
    """
    read_method(method, METHODS, kwargs, "sinkhorn_unbalanced")
    kind = check_choice(reg_type.lower() if isinstance(reg_type, str) else reg_type, "reg_type", ("kl", "entropy"))
    if kind == "entropy" and c is not None and warn:
        issue("`c` is not used with reg_type='entropy', whose reference is 1.")
    reg = check_scalar(reg, "reg", low=0.0, include_low=False)
    rho = _penalties(reg_m)
    threshold = check_scalar(stopThr, "stopThr", low=0.0)
    maxiter = check_scalar(numItermax, "numItermax", kind=int, low=1)
    a, remarks = uniform_if_empty(a), Remarks(warn)
    targets = columns_of(b)
    starts = starts_of(warmstart, None if targets is None else len(targets))
    answers = []
    for target, start in zip([uniform_if_empty(b)] if targets is None else targets, starts, strict=True):
        problem = problem_of(a, target, M, rho)
        relative = _relative_to(problem, c, reg) if kind == "kl" else problem
        floor = 10.0 * rounding_floor(relative, reg)
        if threshold < floor:
            dtype = problem.rows.weights.dtype
            remarks.add(
                f"`stopThr` of {threshold:g} is below what {dtype} can reach here; {floor:.1e} is used.",
                NumericalWarning,
            )
        result = solve_problem(
            relative,
            reg=reg,
            tol=max(threshold, floor),
            norm="l1",
            method="sns",
            warmup="auto",
            density=density,
            linsolver=linsolver,
            anneal="auto",
            init=potentials(problem, start, reg),
            maxiter=maxiter - 1,
            time_limit=time_limit,
            callback=callback,
            verbose=int(verbose),
            history=log,
            with_bounds=False,
        )
        if not result.success:
            remarks.add(result.message, ConvergenceWarning)
        answers.append(_Answer(result, _log(problem, result, reg, rho)))
    if targets is None:
        return (answers[0].result.plan, answers[0].log) if log else answers[0].result.plan
    joined = _joined([answer.log for answer in answers])
    return (joined["cost"], joined) if log else joined["cost"]


class _Answer(NamedTuple):
    result: OTResult
    log: dict[str, Any]


def _penalties(reg_m: Any) -> tuple[float, float]:
    """Read POT's forms of `reg_m`: a number, or a sequence or array of one or two."""
    if reg_m is None:
        raise TypeError("`reg_m` must be a number or a sequence of one or two numbers, got None.")
    if np.ndim(reg_m) == 0:
        return penalties(float(reg_m) if is_array(reg_m) else reg_m)
    values = [float(value) for value in reg_m]
    return penalties(tuple(values * 2 if len(values) == 1 else values))


def _relative_to(problem: Problem, c: Any, reg: float) -> Problem:
    """The problem with the entropy relative to `c`, None for a b': costs C - reg * log c."""
    xp, cost = problem.xp, problem.cost
    assert isinstance(cost, DenseCost)
    if c is None:
        log_a, log_b = (xp.astype(side.log_weights, cost.C.dtype) for side in (problem.rows, problem.cols))
        C = cost.C - reg * log_a[:, None] - reg * log_b[None, :]
        has_inf = cost.has_inf
    else:
        c = _reference(problem, c)
        zero = c <= 0
        C = cost.C - reg * xp.log(xp.where(zero, xp.ones_like(c), c))
        C = xp.where(zero, xp.full_like(C, math.inf), C)
        has_inf = cost.has_inf or bool(xp.any(zero))
        if bool(xp.any(xp.isinf(xp.min(C, axis=1)))) or bool(xp.any(xp.isinf(xp.min(C, axis=0)))):
            raise ValueError("`c` leaves an atom that has mass no pair of finite cost.")
    finite = xp.where(xp.isinf(C), xp.zeros_like(C), C) if has_inf else C
    (largest,) = scalars(xp, xp.max(xp.abs(finite)))
    relative = DenseCost(C, cost.real, largest or 1.0, has_inf=has_inf)
    return replace(problem, cost=relative)


def _reference(problem: Problem, c: Any) -> Array:
    """The entries of `c` between the atoms with mass, checked."""
    xp, cost = problem.xp, problem.cost
    assert isinstance(cost, DenseCost)
    c = asarray_like(c, cost.C, dtype=cost.C.dtype)
    if tuple(c.shape) != problem.shape:
        raise ValueError(f"`c` must have shape {problem.shape} as the costs, got {tuple(c.shape)}.")
    if not bool(xp.all(xp.isfinite(c))) or bool(xp.any(c < 0)):
        raise ValueError("`c` must hold finite non-negative numbers.")
    for axis, kept in enumerate((problem.kept_rows, problem.kept_cols)):
        c = c if kept is None else xp.take(c, kept, axis=axis)
    return c


def _log(problem: Problem, result: OTResult, reg: float, rho: tuple[float, float]) -> dict[str, Any]:
    """POT's numbers of one answer."""
    xp, P = problem.xp, result.plan
    r, c = xp.sum(P, axis=1), xp.sum(P, axis=0)
    assert problem.whole is not None
    cost = problem.whole.value(result.f, result.g, reg, P)
    # reg * log(P / c) = f + g - M where P is not zero.
    terms = [xp.sum(result.f * r), xp.sum(result.g * c)]
    for axis, (sums, penalty) in enumerate(zip((r, c), rho, strict=True)):
        if penalty < math.inf:
            weights = whole_weights(problem, axis)
            ratio = xp.where(sums > 0, sums / xp.where(sums > 0, weights, xp.ones_like(weights)), xp.ones_like(sums))
            terms.append(penalty * xp.sum(sums * xp.log(ratio)))
    (mass,) = scalars(xp, xp.sum(problem.rows.weights))
    errors = [float(e) / mass for e in result.history["l1"]] if "history" in result else []
    logu, logv = log_scalings(problem, result, reg)
    return {
        "err": [*errors, result.marginal_error / mass],
        "niter": result.nit_sinkhorn + result.nit_newton,
        "logu": logu,
        "logv": logv,
        "cost": as_scalar(cost, logu),
        "total_cost": as_scalar(sum(scalars(xp, *terms)), logu),
    }


def _joined(logs: list[dict[str, Any]]) -> dict[str, Any]:
    """The logs of several targets as one: columns side by side, the largest error and number of steps."""
    xp = namespace(logs[0]["logu"])
    return {
        "err": [max(log["err"][-1] for log in logs)],
        "niter": max(log["niter"] for log in logs),
        **{name: xp.stack([log[name] for log in logs], axis=1) for name in ("logu", "logv")},
        **{name: xp.stack([xp.asarray(log[name]) for log in logs]) for name in ("cost", "total_cost")},
    }
