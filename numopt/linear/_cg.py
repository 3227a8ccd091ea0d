"""Conjugate gradients, plain, preconditioned, and with SSOR in Eisenstat's form."""

import math
from collections.abc import Callable
from typing import Any

from scipy.optimize import OptimizeResult

from numopt._array import asarray_like, is_array, is_linear_operator, is_sparse, scalars
from numopt._core.status import Status
from numopt._core.validation import check_scalar
from numopt._krylov import pcg
from numopt._operator import as_operator
from numopt._rng import default_rng
from numopt._typing import Array
from numopt.linear._eisenstat import EisenstatCG
from numopt.linear._pattern import Layout
from numopt.linear._report import Report
from numopt.linear._solve import rounding_floor
from numopt.linear._sor import check_layout, check_omega
from numopt.linear._system import System, check_system, real_dtype

__all__ = ["cg"]


def cg(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
    ssor_omega: float | None = None,
    ordering: Any = "natural",
    reverse: bool = False,
    check: str | int = "auto",
    assume_symmetric: bool = False,
    check_finite: bool = True,
    time_limit: float | None = None,
    callback: Callable[..., Any] | None = None,
    history: bool = False,
    verbose: int = 0,
    return_info: bool = False,
) -> OptimizeResult | tuple[Array, int]:
    """Solve ``A x = b`` for a Hermitian positive definite matrix by conjugate gradients.

    Parameters
    ----------
    A : array of shape (n, n), sparse matrix, LinearOperator or Stencil
        NumPy, CuPy, or scipy.sparse / cupyx.scipy.sparse; real symmetric or complex Hermitian, positive definite. With
        `ssor_omega` no LinearOperator. Not modified.
    b : array of shape (n,)
        Right-hand side.
    x0 : array of shape (n,), optional
        Starting point; None means zeros.
    rtol, atol : float
        Converged when ``||b - A x||_2 <= max(rtol * ||b||_2, atol)``, the true residual, with any preconditioner.
    maxiter : int, optional
        Largest number of iterations; default ``10 * n``.
    M : matrix, LinearOperator, object with ``matvec``, or callable, optional
        Approximate inverse of `A`, Hermitian positive definite (`SSORPreconditioner`, a multigrid cycle, ...).
    ssor_omega : float, optional
        Precondition by symmetric over-relaxation with this factor in (0, 2), in Eisenstat's form: an iteration costs
        about what one of plain CG does, and no preconditioner is built beyond the two triangles of `A`.
    ordering : {'natural', 'red-black', 'multicolor'} or int array of shape (n,), default 'natural'
        Order of the unknowns in the sweeps of SSOR, as in `sor`. Colours make sweeps parallel and the preconditioner
        weaker.
    reverse : bool, default False
        Sweep backward first.
    check : 'auto' or int, default 'auto'
        With `ssor_omega`, whose recurrence does not carry the true residual, how often that is computed: every so many
        iterations, at half the cost of an iteration; 'auto' computes it when the preconditioned residual says that the
        end is near.
    assume_symmetric : bool, default False
        Skip the probe for symmetry that `ssor_omega` makes (two products).
    check_finite : bool, default True
        Look for NaN and infinite values in the data.
    time_limit : float, optional
        Seconds.
    callback : callable, optional
        Called after each iteration by SciPy's rule; StopIteration stops the solve.
    history : bool, default False
        Record nit, residual, relative_residual and seconds of every iteration.
    verbose : {0, 1, 2}
        Silent, a progress bar, or a line an iteration through the ``numopt`` logger.
    return_info : bool, default False
        Return SciPy's pair ``(x, info)`` instead; info is the status: 0 converged, positive stopped, negative failed.

    Returns
    -------
    res : OptimizeResult
        ``x`` (same library, dtype and device as the data), ``residual_norm`` (``||b - A x||_2``, recomputed from x),
        ``relative_residual``, ``success``, ``status``, ``message``, ``nit``, ``omega`` (`ssor_omega`), ``time`` and, on
        request, ``history``. Status INDEFINITE: a direction p with p' A p <= 0, or a diagonal entry that is not
        positive, shows that `A` is not positive definite; PRECISION: the true residual no longer falls.

    Raises
    ------
    TypeError
        For mixed array libraries or arguments of a wrong kind.
    ValueError
        For shapes that do not fit, values that are not finite, options out of range, `M` together with `ssor_omega`,
        or an unsymmetric `A` with `ssor_omega`.

    Notes
    -----
    With ``A = D + L + L^H`` scaled to unit diagonal and ``K = I / omega + L``, SSOR's preconditioner is a multiple of
    ``K K^H``, and conjugate gradients run on ``K^-1 A K^-H``, of which one product is two triangular solves [1]_. On
    Poisson problems with the best omega the iterations grow as n^(1/4) in two dimensions, not as n^(1/2).

    References
    ----------
    .. [1] S. C. Eisenstat, "Efficient implementation of a class of preconditioned conjugate gradient methods", SIAM J.
       Sci. Stat. Comput. 2 (1981), 1-4.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.linear import Stencil, cg
    >>> A = Stencil((40, 40), (4.0, -1.0, -1.0, -1.0, -1.0)).tocsr()
    >>> plain, ssor = cg(A, np.ones(1600), rtol=1e-8), cg(A, np.ones(1600), rtol=1e-8, ssor_omega=1.8)
    >>> plain.success, ssor.success, 2 * ssor.nit < plain.nit
    (True, True, True)
    """
    if M is not None and ssor_omega is not None:
        raise ValueError("`M` and `ssor_omega` are two preconditioners; give one of them.")
    omega = None if ssor_omega is None else check_omega(ssor_omega)
    layout = check_layout(ordering, 1, reverse=bool(reverse))
    every = _check_every(check)
    system = check_system(A, b, x0, check_finite=check_finite, operators=omega is None)
    report = Report(
        system, "cg", "iteration", rtol=rtol, atol=atol, maxiter=maxiter, time_limit=time_limit, callback=callback,
        history=history, verbose=verbose,
    )  # fmt: skip
    if omega is not None and not assume_symmetric:
        check_symmetric(system)
    precond = _as_map(M, system)
    if system.b_norm == 0:
        result = report.zero(omega)
    elif not math.isfinite(system.b_norm):
        result = report.result(system.start(), math.nan, Status.NONFINITE, 0, omega=omega, remedies=_REMEDIES)
    elif omega is None:
        result = _plain(system, report, precond)
    else:
        result = _eisenstat(system, report, layout, omega, every)
    return (result.x, int(result.status)) if return_info else result


def check_symmetric(system: System) -> None:
    """Raise a ValueError unless ``u^H A v`` is the conjugate of ``v^H A u`` for a pair without structure."""
    xp = system.xp
    u = asarray_like(default_rng(0).random(system.n) - 0.5, system.b, dtype=system.b.dtype)
    v = u * u - 1 / 12
    Au, Av = system.A.matvec(u), system.A.matvec(v)
    gap = xp.abs(xp.vecdot(u, Av) - xp.conj(xp.vecdot(v, Au)))
    scale = xp.linalg.vector_norm(u) * xp.linalg.vector_norm(Av)
    gap, scale = scalars(xp, gap, scale)
    if not gap <= 100 * float(xp.finfo(real_dtype(u)).eps) * scale:
        raise ValueError(
            "`A` must be symmetric (Hermitian) with `ssor_omega`, but u' A v and v' A u differ for some vectors; use "
            "`M=SSORPreconditioner(A, omega)` with GMRES or BiCGSTAB, or pass assume_symmetric=True if it is rounding."
        )


def _plain(system: System, report: Report, precond: Callable[[Array], Array] | None) -> OptimizeResult:
    """Conjugate gradients on the matrix as it is."""
    count, stopped = 0, None

    def look(x: Array, norm: float) -> bool:
        nonlocal count, stopped
        count += 1
        report.note(count, [norm])
        # The iterate goes on changing: a callback gets a copy.
        if report.stops(count, norm, lambda: system.xp.asarray(x, copy=True)):
            stopped = Status.CALLBACK
        elif report.deadline.expired():
            stopped = Status.TIME_LIMIT
        return stopped is not None

    with report.progress:
        found = pcg(
            system.A.matvec,
            system.b,
            x0=system.x0,
            precond=precond,
            rtol=0.0,
            atol=report.target,
            maxiter=report.maxiter,
            callback=look if report.looks or report.deadline.time_limit is not None else None,
        )
    residual = found.relative_residual * system.b_norm
    if found.converged:
        status = Status.CONVERGED
    elif stopped is not None:
        status = stopped
    elif found.indefinite:
        status = Status.INDEFINITE
    elif not math.isfinite(residual):
        status = Status.NONFINITE
    elif found.nit >= report.maxiter:
        status = Status.MAXITER
    else:
        status = _floor(system, found.x, residual)
    return report.result(found.x, residual, status, found.nit, omega=None, remedies=_REMEDIES)


def _eisenstat(system: System, report: Report, layout: Layout, omega: float, every: int) -> OptimizeResult:
    """Conjugate gradients preconditioned by SSOR."""
    engine = EisenstatCG(system, layout, omega, every=1 if report.looks else every, one_by_one=report.looks)
    if engine.bad_row is not None:
        start, detail = system.start(), f"The diagonal entry of row {engine.bad_row} is not a positive number"
        return report.result(
            start, system.residual_norm(start), Status.INDEFINITE, 0, omega=omega, remedies=_REMEDIES, detail=detail
        )
    status: Status | None = None
    residual = engine.start()
    with report.progress:
        while status is None:
            if residual <= report.target:
                status = Status.CONVERGED
            elif engine.nit >= report.maxiter:
                status = Status.MAXITER
            else:
                status = engine.advance(report.target, report.maxiter - engine.nit)
                if status is None:
                    residual, status = _look(system, report, engine, residual)
    x = engine.answer()
    # At the end of a restart the residual of this very iterate was computed.
    residual = residual if engine.is_fresh else system.residual_norm(x)
    return report.result(x, residual, status, engine.nit, omega=omega, remedies=_REMEDIES)


def _look(system: System, report: Report, engine: EisenstatCG, before: float) -> tuple[float, Status | None]:
    """Return the residual norm last computed by a product, `before` until now, and how the solve ends, if it does."""
    report.note(engine.nit, [engine.norm])
    stopped = report.stops(engine.nit, engine.norm, engine.answer)
    residual = before
    if engine.norm <= report.target:
        # The recurrence says so: the product decides. Restarts are worth while as they halve it.
        residual = engine.restart()
        if residual <= report.target:
            return residual, None
    if stopped:
        return residual, Status.CALLBACK
    if report.deadline.expired():
        return residual, Status.TIME_LIMIT
    if engine.is_fresh and residual > 0.5 * before:
        return residual, _floor(system, engine.answer(), residual)
    return residual, None


def _floor(system: System, x: Array, residual: float) -> Status:
    """Say why the true residual no longer falls."""
    return Status.PRECISION if residual <= 100 * rounding_floor(system, x) else Status.STALLED


_REMEDIES = {
    Status.INDEFINITE: "use MINRES for symmetric indefinite `A`, or change the sign if it is negative definite",
    Status.PRECISION: "ask for a larger rtol, or solve in float64",
    Status.STALLED: "check that `A` and the preconditioner are symmetric positive definite",
    Status.MAXITER: "raise maxiter or use a better preconditioner",
    Status.NONFINITE: "check `A`, `b` and `x0` for NaN and infinite values",
}


def _check_every(check: str | int) -> int:
    if isinstance(check, str):
        if check != "auto":
            raise ValueError(f"`check` must be 'auto' or a positive int, got {check!r}.")
        return 0
    return check_scalar(check, "check", kind=int, low=1)


def _as_map(M: Any, system: System) -> Callable[[Array], Array] | None:
    if M is None:
        return None
    shape = getattr(M, "shape", None)
    if shape is not None and tuple(shape) != (system.n, system.n):
        raise ValueError(f"`M` must have the shape of `A`, {(system.n, system.n)}, got {tuple(shape)}.")
    if is_array(M) or is_sparse(M) or is_linear_operator(M):
        apply: Callable[[Array], Array] = as_operator(M).matvec
    elif hasattr(M, "matvec"):
        apply = M.matvec
    elif callable(M):
        apply = M
    else:
        raise TypeError(f"`M` must be a matrix, a LinearOperator or a callable, got {type(M).__name__}.")
    return apply
