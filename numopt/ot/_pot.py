"""`sinkhorn` and `sinkhorn2`: entropic transport with POT's signatures and returns."""

from collections.abc import Callable
from typing import Any

from numopt._array import asarray_like, namespace
from numopt._core.validation import check_scalar
from numopt._typing import Array
from numopt.ot._calls import (
    Answer,
    Remarks,
    columns_of,
    exponential,
    problem_of,
    read_method,
    solve_to,
    starts_of,
    uniform_if_empty,
)
from numopt.ot._targets import sweep_jointly

METHODS = ("sns", "sinkhorn", "sinkhorn_log", "greenkhorn", "sinkhorn_stabilized", "sinkhorn_epsilon_scaling")


def sinkhorn(
    a: Any,
    b: Any,
    M: Any,
    reg: float,
    method: str = "sns",
    numItermax: int = 1000,
    stopThr: float = 1e-9,
    verbose: bool | int = False,
    log: bool = False,
    warn: bool = True,
    warmstart: Any = None,
    *,
    warmup: int | str = "auto",
    density: float | str = "auto",
    linsolver: str = "auto",
    anneal: bool | str | None = "auto",
    time_limit: float | None = None,
    callback: Callable[..., Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Entropic optimal transport plan, called as `ot.sinkhorn` of POT.

    Solves  min_P <M, P> + reg * sum P log P  subject to  P 1 = a, P' 1 = b, P >= 0  by `numopt.ot.solve`: Sinkhorn
    sweeps, then sparse Newton steps, so that a small `reg` needs no other method and converges in tens of steps.

    Parameters
    ----------
    a : array of shape (n,) or list
        Weights of the sources; empty means uniform.
    b : array of shape (m,) or (m, k) or list
        Weights of the targets, of the same mass as `a`; empty means uniform. With k columns, k problems are solved
        and their losses returned.
    M : array of shape (n, m) or list
        Costs; +inf forbids a pair.
    reg : float
        Regularisation, in the unit of `M`.
    method : str, default 'sns'
        'sns', or one of POT's names 'sinkhorn', 'sinkhorn_log', 'greenkhorn', 'sinkhorn_stabilized' and
        'sinkhorn_epsilon_scaling'. All run the same method, which stays with plain sweeps as long as these are faster.
    numItermax : int, default 1000
        Largest number of sweeps and Newton steps together.
    stopThr : float, default 1e-9
        Bound on the 2-norm of the marginal errors of rows and columns together. POT's plans have exact rows, so that
        its bound is on that of the columns.
    verbose : bool or int, default False
        True or 1 shows a progress bar, 2 a line per step.
    log : bool, default False
        Return a dictionary as well.
    warn : bool, default True
        Warn where `stopThr` was not met, or cannot be in this dtype.
    warmstart : tuple of arrays, optional
        (log u, log v) of an earlier call, from its log; with k columns each.
    warmup : 'auto' or int
        Sweeps before the first Newton step of a stage, as in `numopt.ot.solve`.
    density : 'auto', 'paper', 'ssns' or float
        Entries that a Newton system keeps, as in `numopt.ot.solve`.
    linsolver : str
        Solver of the Newton systems, as in `numopt.ot.solve`.
    anneal : 'auto', bool or None
        Whether larger regularisations are solved for first, as in `numopt.ot.solve`; a warm start never does.
    time_limit : float, optional
        Seconds.
    callback : callable, optional
        By SciPy's rule, as in `numopt.ot.solve`.
    **kwargs
        Options of POT's single methods (`tau`, `epsilon0`, `numInnerItermax`, `print_period`), not needed here and
        ignored; others warn.

    Returns
    -------
    P : array of shape (n, m), or of shape (k,) where `b` is 2-D
        The plan; for k targets the k losses <M, P>.
    log : dict
        Only with ``log=True``. 'err': 1-norms of the marginal error after each step at the final `reg`, then the
        2-norm reached; with k columns this one alone. 'niter': steps. 'log_u', 'log_v', 'u', 'v': scalings with
        P = diag(u) exp(-M / reg) diag(v); u and v overflow to inf at a small `reg`, their logarithms do not.

    Raises
    ------
    ValueError
        If a shape does not fit, a weight is negative or not finite, the masses differ by more than 1e-6 of them, `reg`
        is not positive, `M` holds NaN or -inf, an atom with mass has no pair of finite cost, or an option is unknown.
    TypeError
        If the arrays come from different libraries, or are complex or sparse.

    Warns
    -----
    UserWarning
        If the plan does not meet `stopThr`; the message gives the error reached and what to try. Also if `stopThr` is
        below the rounding floor of the dtype: the floor is then used instead, which is always so for the default in
        float32.

    Examples
    --------
    >>> import numopt.ot as ot
    >>> P, log = ot.sinkhorn([0.5, 0.5], [0.5, 0.5], [[0.0, 1.0], [1.0, 0.0]], 1.0, log=True)
    >>> P.round(8)
    array([[0.36552929, 0.13447071],
           [0.13447071, 0.36552929]])
    >>> again = ot.sinkhorn([], [], [[0.0, 1.0], [1.0, 0.0]], 1.0, warmstart=(log["log_u"], log["log_v"]))
    >>> bool(abs(again - P).max() < 1e-9)
    True
    """
    read_method(method, METHODS, kwargs, "sinkhorn")
    answers, several = _solve_all(
        a,
        b,
        M,
        warmstart,
        reg=reg,
        maxiter=numItermax,
        threshold=stopThr,
        verbose=verbose,
        log=log,
        warns=warn,
        warmup=warmup,
        density=density,
        linsolver=linsolver,
        anneal=anneal,
        time_limit=time_limit,
        callback=callback,
    )
    out = _losses(answers) if several else answers[0].plan
    return (out, _log(answers, several)) if log else out


def sinkhorn2(
    a: Any,
    b: Any,
    M: Any,
    reg: float,
    method: str = "sns",
    numItermax: int = 1000,
    stopThr: float = 1e-9,
    verbose: bool | int = False,
    log: bool = False,
    warn: bool = False,
    warmstart: Any = None,
    *,
    warmup: int | str = "auto",
    density: float | str = "auto",
    linsolver: str = "auto",
    anneal: bool | str | None = "auto",
    time_limit: float | None = None,
    callback: Callable[..., Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Loss <M, P> of entropic optimal transport, called as `ot.sinkhorn2` of POT.

    P is the plan that `sinkhorn` returns; the entropy is no part of the loss.

    Parameters
    ----------
    a : array of shape (n,) or list
        Weights of the sources; empty means uniform.
    b : array of shape (m,) or (m, k) or list
        Weights of the targets, of the same mass as `a`; empty means uniform. k columns give k losses.
    M : array of shape (n, m) or list
        Costs; +inf forbids a pair.
    reg : float
        Regularisation, in the unit of `M`.
    method : str, default 'sns'
        'sns' or a name of POT's; see `sinkhorn`.
    numItermax : int, default 1000
        Largest number of sweeps and Newton steps together.
    stopThr : float, default 1e-9
        Bound on the 2-norm of the marginal errors.
    verbose : bool or int, default False
        True or 1 shows a progress bar, 2 a line per step.
    log : bool, default False
        Return a dictionary as well.
    warn : bool, default False
        Warn where `stopThr` was not met, or cannot be in this dtype. Silent by default, as POT's.
    warmstart : tuple of arrays, optional
        (log u, log v) of an earlier call.
    warmup : 'auto' or int
        Sweeps before the first Newton step of a stage, as in `numopt.ot.solve`.
    density : 'auto', 'paper', 'ssns' or float
        Entries that a Newton system keeps, as in `numopt.ot.solve`.
    linsolver : str
        Solver of the Newton systems, as in `numopt.ot.solve`.
    anneal : 'auto', bool or None
        Whether larger regularisations are solved for first, as in `numopt.ot.solve`; a warm start never does.
    time_limit : float, optional
        Seconds.
    callback : callable, optional
        By SciPy's rule, as in `numopt.ot.solve`.
    **kwargs
        Options of POT's single methods, ignored; others warn.

    Returns
    -------
    loss : float, or array of shape (k,) where `b` is 2-D
        A scalar of the arrays' library and dtype.
    log : dict
        Only with ``log=True``; as that of `sinkhorn`.

    Raises
    ------
    ValueError
        As `sinkhorn`.
    TypeError
        As `sinkhorn`.

    Examples
    --------
    >>> import numopt.ot as ot
    >>> M = [[0.0, 1.0], [1.0, 0.0]]
    >>> round(float(ot.sinkhorn2([0.5, 0.5], [0.5, 0.5], M, 1.0)), 8)
    0.26894142
    >>> ot.sinkhorn2([0.5, 0.5], [[0.5, 0.2], [0.5, 0.8]], M, 1.0).round(6)
    array([0.268941, 0.364074])
    """
    read_method(method, METHODS, kwargs, "sinkhorn2")
    answers, several = _solve_all(
        a,
        b,
        M,
        warmstart,
        reg=reg,
        maxiter=numItermax,
        threshold=stopThr,
        verbose=verbose,
        log=log,
        warns=warn,
        warmup=warmup,
        density=density,
        linsolver=linsolver,
        anneal=anneal,
        time_limit=time_limit,
        callback=callback,
    )
    losses = _losses(answers)
    out = losses if several else losses[0]
    return (out, _log(answers, several)) if log else out


def _solve_all(
    a: Any, b: Any, M: Any, warmstart: Any, *, reg: Any, threshold: Any, maxiter: Any, warns: bool, **options: Any
) -> tuple[list[Answer], bool]:
    """One answer for each target, and whether `b` was 2-D."""
    reg = check_scalar(reg, "reg", low=0.0, include_low=False)
    threshold = check_scalar(threshold, "stopThr", low=0.0)
    maxiter = check_scalar(maxiter, "numItermax", kind=int, low=1)
    a, remarks = uniform_if_empty(a), Remarks(warns)
    options |= {"reg": reg, "threshold": threshold, "maxiter": maxiter, "remarks": remarks}
    targets = columns_of(b)
    if targets is None:
        (start,) = starts_of(warmstart, None)
        return [solve_to(problem_of(a, uniform_if_empty(b), M), start=start, **options)], False
    starts = starts_of(warmstart, len(targets))
    first = problem_of(a, targets[0], M)
    swept = None
    if warmstart is None and options["callback"] is None and threshold > 0.0:
        like = first.rows.weights
        B = first.xp.stack([asarray_like(target, like, dtype=like.dtype) for target in targets], axis=1)
        swept = sweep_jointly(first, B, reg=reg, threshold=threshold, maxiter=maxiter)
    answers = []
    for k, target in enumerate(targets):
        start, done = starts[k], 0
        if swept is not None:
            if swept[k].error <= threshold:
                answers.append(swept[k])
                continue
            start, done = (swept[k].log_u, swept[k].log_v), swept[k].steps
        answers.append(solve_to(problem_of(a, target, M) if k else first, start=start, done=done, **options))
    return answers, True


def _losses(answers: list[Answer]) -> Array:
    like = answers[0].log_u
    values = [answer.loss for answer in answers]
    losses: Array = namespace(like).asarray(values, dtype=like.dtype, device=like.device)
    return losses


def _log(answers: list[Answer], several: bool) -> dict[str, Any]:
    """POT's log; of several targets, whose steps do not run in parallel, the last error and the most steps."""
    xp = namespace(answers[0].log_u)
    if several:
        errors = [sum(answer.error**2 for answer in answers) ** 0.5]
        log_u = xp.stack([answer.log_u for answer in answers], axis=1)
        log_v = xp.stack([answer.log_v for answer in answers], axis=1)
    else:
        errors, log_u, log_v = answers[0].errors, answers[0].log_u, answers[0].log_v
    return {
        "err": errors,
        "niter": max(answer.steps for answer in answers),
        "u": exponential(log_u),
        "v": exponential(log_v),
        "log_u": log_u,
        "log_v": log_v,
    }
