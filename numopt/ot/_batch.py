"""`solve_batch`: many transport problems of one size at once."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from numopt._array import asarray_like, device_of, to_host
from numopt._core.history import History
from numopt._core.loop import run
from numopt._core.messages import outcome_message
from numopt._core.progress import Progress
from numopt._core.result import make_result
from numopt._core.status import Status
from numopt._core.timer import Deadline
from numopt._core.validation import check_choice, check_scalar, check_verbose
from numopt._typing import Array
from numopt.ot._batch_answers import COUNTS, Answers
from numopt.ot._batch_problem import Batch, Floats, batch_problem, masked
from numopt.ot._batch_result import certify
from numopt.ot._options import TOL, Options, check_options
from numopt.ot._result import REMEDIES, OTResult


def solve_batch(
    a: Any,
    b: Any,
    C: Any,
    reg: Any,
    *,
    tol: float | None = None,
    norm: str = "l1",
    anneal: bool | str | None = "auto",
    init: Any = None,
    mass_tol: float = 1e-6,
    plan: str | None = "dense",
    maxiter: int | None = None,
    time_limit: float | None = None,
    callback: Callable[..., Any] | None = None,
    verbose: int = 0,
    history: bool = False,
) -> OTResult:
    """Solve many entropic transport problems of one size at once.

    For each problem of the batch,

        min_P <C, P> + reg * sum P (log P - 1)   subject to   P 1 = a, P' 1 = b, P >= 0.

    Parameters
    ----------
    a : array of shape (..., n), or None
        Weights of the sources, not negative; None means uniform. Leading dimensions of `a`, `b`, `C` and `reg`
        broadcast against each other.
    b : array of shape (..., m), or None
        Weights of the targets, with the mass of `a` (within `mass_tol`; then scaled to it).
    C : array of shape (..., n, m), float32 or float64
        Costs, +inf where a pair is forbidden; of shape (n, m), all problems share them. NumPy or CuPy; not modified.
    reg : float or array of shape (...)
        Regularisation of each problem, in the unit of its costs.
    tol : float, optional
        A problem is finished when its `|P 1 - a| + |P' 1 - b|` is at most `tol` times its mass. Default 1e-9 in float64
        and 10 times the rounding floor of each problem in float32.
    norm : {'l1', 'linf'}, default 'l1'
        The norm of that error: sums, or the largest entry of both.
    anneal : {'auto', None} or bool, default 'auto'
        Lead small regularisations (below 1e-2 of the problem's largest cost) through larger ones.
    init : OTResult or pair of arrays (f, g), optional
        Potentials to start from, of shapes (..., n) and (..., m), without annealing.
    mass_tol : float, default 1e-6
        Largest relative difference of the masses of `a` and `b`.
    plan : {'dense', None}, default 'dense'
        Whether to return the plans.
    maxiter : int, default 10000
        Most sweeps and Newton steps of each problem.
    time_limit : float, optional
        Seconds for the whole batch.
    callback : callable, optional
        Called after every round as ``callback(intermediate_result)`` with `f`, `g` and plans `x` of all problems, or
        as ``callback(x)``; StopIteration stops.
    verbose : {0, 1, 2}, default 0
        1 shows a progress bar, 2 logs a line for every round.
    history : bool, default False
        Record unfinished problems, largest error, steps so far and seconds of every round.

    Returns
    -------
    res : OTResult
        Its arrays have the leading dimensions of the batch: `plan` and `x` (..., n, m), `f` (..., n), `g` (..., m), and
        of shape (...): `value`, `reg_value`, `fun`, `dual_value`, `upper_bound`, `lower_bound`, `marginal_error`,
        `marginal_error_linf`, `nit`, `nit_sinkhorn`, `nit_newton`, `nit_coarse`, `nkernel`, and

        converged : bool array
            Which problems met the tolerance.
        statuses : int array
            The `numopt.Status` of each.

        `success` tells whether all converged; `status` and `message` are about the first problem that did not. A batch
        without problems gives empty arrays and succeeds.

    Raises
    ------
    TypeError
        If arrays of several libraries or devices are mixed, or `C` is sparse or complex.
    ValueError
        If shapes do not fit; weights are negative, not finite, without mass, or of different mass; `C` holds NaN or
        -inf between atoms with mass, or nothing but +inf for one of these; `reg` is not positive; `tol` is below the
        floor of float32. The message names the first problem of which this is true.

    See Also
    --------
    solve : One problem, with more options.

    Notes
    -----
    Problems of different sizes are padded to one: atoms of weight zero are ignored, whatever their costs. Their rows of
    the plan are zero and their potentials finite (c-transforms of the other side's).

    The method is that of `solve` with dense Newton systems [1]_: all unfinished problems take a step each round,
    sweeps or Newton steps as each needs, and finished ones cost nothing. A sweep takes O(n m) operations, a Newton step
    O(min(n, m) n m). Problems on which 300 Newton steps of a stage are not enough, and all problems with
    n m > 250,000 are solved one after another as by `solve`. Beyond the results, memory stays below 256 MiB (or what
    one problem needs).

    References
    ----------
    .. [1] Tang, Shavlovsky, Rahmanian, Tardini, Thekumparampil, Xiao, Ying, "Accelerating Sinkhorn Algorithm with
       Sparse Newton Iterations", ICLR 2024.

    Examples
    --------
    Three problems; the last one has only two targets.

    >>> import numpy as np
    >>> from numopt import ot
    >>> x = np.linspace(0.0, 1.0, 4)
    >>> y = np.array([[0.0, 0.5, 1.0], [0.1, 0.2, 0.3], [0.0, 1.0, 0.0]])
    >>> C = (x[:, None] - y[:, None, :]) ** 2
    >>> b = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.5, 1.5, 0.0]]) / 3
    >>> res = ot.solve_batch(None, b, C, reg=[1e-1, 1e-2, 1e-3])
    >>> res.message
    'All 3 problems converged.'
    >>> res.plan.shape, res.value.round(4).tolist()
    ((3, 4, 3), [0.0392, 0.1801, 0.0556])
    """
    mass_tol = check_scalar(mass_tol, "mass_tol", low=0.0)
    batch = batch_problem(a, b, C, reg, mass_tol=mass_tol)
    options, tols = _settings(batch, tol, norm=norm, anneal=anneal, maxiter=maxiter, time_limit=time_limit)
    if plan is not None:
        check_choice(plan, "plan", ("dense",))
    verbose = check_verbose(verbose)
    start = _start(batch, init)
    deadline = Deadline(options.time_limit)
    record = History() if history else None
    answers = Answers(batch, options, tols, start, deadline)
    work = answers.work()
    with Progress(verbose, "ot.solve_batch") as progress:
        # The first unit of work makes the first points that can be measured.
        next(work, None)
        status = run(
            lambda: next(work, None),
            answers.measure,
            tol=0.0,
            maxiter=sys.maxsize,
            time_limit=deadline,
            callback=callback,
            history=record,
            progress=progress,
        ).status
    work.close()
    answers.finish(status)
    return _result(answers, plan, record)


def _settings(batch: Batch, tol: Any, **options: Any) -> tuple[Options, Floats]:
    """Check the options; the default tolerance and the smallest one depend on the dtype and each problem's costs."""
    real = batch.a.dtype
    floor = float(batch.xp.finfo(real).eps) * np.maximum(4.0, 0.05 * batch.largest / batch.reg)
    settings = check_options(
        reg=1.0,
        tol=tol,
        method="sns",
        warmup="auto",
        density="auto",
        linsolver="auto",
        default_tol=TOL,
        **options,
    )
    if tol is None:
        return settings, np.maximum(TOL, 10.0 * floor)
    below = np.flatnonzero(settings.tol < floor)
    if real == batch.xp.float32 and below.size:
        i = int(below[0])
        raise ValueError(
            f"`tol` must be at least {floor[i]:.1e}, the rounding floor of float32 at the `reg` of "
            f"{batch.problem_name(i)}, got {settings.tol:g}; use float64."
        )
    return settings, np.full(batch.count, settings.tol)


def _start(batch: Batch, init: Any) -> Array | None:
    """Read the potentials to start from, of which g is enough: an earlier result or a pair (f, g)."""
    if init is None:
        return None
    pair = (init["f"], init["g"]) if isinstance(init, OTResult) else tuple(init)
    if len(pair) != 2:
        raise ValueError(f"`init` must be an OTResult or a pair of potentials (f, g), got {len(pair)} items.")
    xp, values = batch.xp, []
    for name, value, size in (("f", pair[0], batch.shape[0]), ("g", pair[1], batch.shape[1])):
        value = asarray_like(value, batch.a, dtype=batch.a.dtype)
        if tuple(value.shape) != (*batch.lead, size):
            raise ValueError(f"`init` must hold {name} of shape {(*batch.lead, size)}, got {tuple(value.shape)}.")
        if not bool(xp.all(xp.isfinite(value))):
            raise ValueError(f"`init` must be finite, got NaN or infinite values in {name}.")
        values.append(xp.reshape(value, (batch.count, size)))
    g = values[1] if batch.col_shift is None else values[1] - batch.col_shift
    return masked(xp, g, batch.cols, 0.0)


def _result(answers: Answers, plan: str | None, record: History | None) -> OTResult:
    """Certify what is returned and put all fields together."""
    batch, xp, options = answers.batch, answers.batch.xp, answers.options
    lead, (n, m) = batch.lead, batch.shape
    at = certify(batch, *answers.potentials(), with_plan=plan is not None)
    measure = at.marginal_error if options.norm == "l1" else at.marginal_error_linf
    stop = to_host(measure).astype(np.float64) / batch.mass
    statuses = answers.status
    reached = stop <= answers.tols
    statuses[~reached & (statuses == Status.CONVERGED)] = int(Status.PRECISION)
    statuses[~np.isfinite(stop)] = int(Status.NONFINITE)
    # Also where a limit or a failed step ended a problem at a point that is good enough.
    statuses[reached] = int(Status.CONVERGED)
    status, message = _outcome(answers, stop)
    device = device_of(batch.a)

    def shaped(values: Any, *shape: int) -> Array:
        values = xp.asarray(values, device=device) if isinstance(values, np.ndarray) else values
        return xp.reshape(values, (*lead, *shape))

    dense = None if at.plan is None else shaped(at.plan, n, m)
    names = ("value", "reg_value", "dual_value", "upper_bound", "lower_bound", "marginal_error", "marginal_error_linf")
    fields: dict[str, Any] = {name: shaped(getattr(at, name)) for name in names}
    counts = {name: shaped(values) for name, values in answers.counts.items()}
    fields |= {
        "x": dense,
        "plan": dense,
        "f": shaped(at.f, n),
        "g": shaped(at.g, m),
        "fun": fields["reg_value"],
        "status": status,
        "message": message,
        "statuses": shaped(statuses),
        "converged": shaped(statuses == 0),
        "nit": shaped(sum(answers.counts[name] for name in COUNTS[:3])),
        **counts,
        "time": answers.deadline.elapsed(),
        "_vjp": None,
    }
    if record is not None:
        fields["history"] = record.asdict()
    return make_result(fields, OTResult)


def _outcome(answers: Answers, stop: Floats) -> tuple[Status, str]:
    """Status of the batch, that of the first problem that failed, and a message that names this one."""
    batch, statuses = answers.batch, answers.status
    failed = np.flatnonzero(statuses)
    if not failed.size:
        return Status.CONVERGED, f"All {batch.count} problems converged."
    i = int(failed[0])
    status = Status(int(statuses[i]))
    first = outcome_message(
        status,
        measure_name="marginal error relative to the mass",
        value=float(stop[i]),
        tol=float(answers.tols[i]),
        nit=int(sum(answers.counts[name][i] for name in COUNTS[:3])),
        remedy=REMEDIES.get(status),
    )
    return status, f"{failed.size} of {batch.count} problems failed, the first of them {batch.problem_name(i)}: {first}"
