"""Conjugate gradients, plain, preconditioned, and with SSOR in Eisenstat's form."""

from collections.abc import Callable
from typing import Any

from scipy.optimize import OptimizeResult

from numopt._array import asarray_like, is_array, is_linear_operator, is_sparse, scalars
from numopt._core.callback import wrap_callback
from numopt._core.history import History
from numopt._core.messages import outcome_message
from numopt._core.progress import Progress
from numopt._core.result import make_result
from numopt._core.status import Status
from numopt._core.timer import Deadline
from numopt._core.validation import check_scalar, check_verbose
from numopt._krylov import pcg
from numopt._operator import as_operator
from numopt._rng import default_rng
from numopt._typing import Array
from numopt.linear._eisenstat import EisenstatCG
from numopt.linear._result import solved_at_once
from numopt.linear._solve import rounding_floor
from numopt.linear._sor import check_layout, check_omega
from numopt.linear._system import LinearSystem, check_limits, check_system, real_dtype

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
    if time_limit is not None:
        time_limit = check_scalar(time_limit, "time_limit", low=0)
    layout = check_layout(ordering, 1, reverse=bool(reverse))
    every = _check_every(check)
    system = check_system(A, b, x0, check_finite=check_finite, operators=ssor_omega is None)
    target, limit = check_limits(system, rtol, atol, maxiter)
    run = _Run(system, target, limit, time_limit, callback, history, check_verbose(verbose))
    if ssor_omega is not None:
        omega = check_omega(ssor_omega)
        if not assume_symmetric:
            check_symmetric(system)
        result = solved_at_once(system, omega=omega) if system.b_norm == 0 else run.eisenstat(layout, omega, every)
    else:
        precond = _as_map(M, system)
        result = solved_at_once(system, omega=None) if system.b_norm == 0 else run.plain(precond)
    return (result.x, int(result.status)) if return_info else result


def check_symmetric(system: LinearSystem) -> None:
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


class _Run:
    """One solve: the limits, what is recorded, and the result."""

    def __init__(
        self,
        system: LinearSystem,
        target: float,
        maxiter: int,
        time_limit: float | None,
        callback: Callable[..., Any] | None,
        history: bool,
        verbose: int,
    ) -> None:
        self.system, self.target, self.maxiter = system, target, maxiter
        self.deadline = Deadline(time_limit)
        self.stop = wrap_callback(callback)
        self.record = History() if history else None
        self.progress = Progress(verbose, "cg", maxiter)
        self.stopped: Status | None = None

    def note(self, nit: int, norm: float, x: Callable[[], Array]) -> bool:
        """Record an iteration; tell whether the callback or the clock ends the solve."""
        fields = {"residual": norm, "relative_residual": norm / self.system.b_norm}
        if self.record is not None:
            self.record.append(nit=nit, **fields, seconds=self.deadline.elapsed())
        if self.progress.verbose:
            self.progress.update(nit, fields)
        if self.stop is not None:
            shown = {"x": x(), "residual_norm": norm, "relative_residual": fields["relative_residual"], "nit": nit}
            if self.stop(make_result(shown)):
                self.stopped = Status.CALLBACK
        if self.stopped is None and self.deadline.expired():
            self.stopped = Status.TIME_LIMIT
        return self.stopped is not None

    @property
    def each(self) -> bool:
        """Whether somebody looks at every iteration."""
        return self.stop is not None or self.record is not None or self.progress.verbose > 0

    def plain(self, precond: Callable[[Array], Array] | None) -> OptimizeResult:
        """Conjugate gradients on the matrix as it is."""
        system, count = self.system, 0

        def look(x: Array, norm: float) -> bool:
            nonlocal count
            count += 1
            return self.note(count, norm, lambda: system.xp.asarray(x, copy=True))

        with self.progress:
            found = pcg(
                system.A.matvec,
                system.b,
                x0=system.x0,
                precond=precond,
                rtol=0.0,
                atol=self.target,
                maxiter=self.maxiter,
                # The live iterate: the callbacks of users get copies.
                callback=look if self.each or self.deadline.time_limit is not None else None,
            )
        if found.converged:
            status = Status.CONVERGED
        elif self.stopped is not None:
            status = self.stopped
        elif found.indefinite:
            status = Status.INDEFINITE
        elif found.nit >= self.maxiter:
            status = Status.MAXITER
        else:
            status = self._floor(found.x, found.relative_residual * system.b_norm)
        return self.result(found.x, found.relative_residual * system.b_norm, status, found.nit, None)

    def eisenstat(self, layout: Any, omega: float, every: int) -> OptimizeResult:
        """Conjugate gradients preconditioned by SSOR."""
        system = self.system
        engine = EisenstatCG(system, layout, omega, every=1 if self.each else every, one_by_one=self.each)
        if engine.bad_row is not None:
            detail = f"The diagonal entry of row {engine.bad_row} is not a positive number"
            start = system.start()
            return self.result(start, system.residual_norm(start), Status.INDEFINITE, 0, omega, detail=detail)
        status: Status | None = None
        residual = engine.start()
        with self.progress:
            while status is None:
                if residual <= self.target:
                    status = Status.CONVERGED
                elif engine.nit >= self.maxiter:
                    status = Status.MAXITER
                else:
                    status = engine.advance(self.target, self.maxiter - engine.nit)
                    if status is None and self.note(engine.nit, engine.norm, engine.answer):
                        status = self.stopped
                    if status is None and engine.norm <= self.target:
                        # The recurrence says so: the product decides. Restarts are worth while as they halve it.
                        before, residual = residual, engine.restart()
                        if residual > self.target and residual > 0.5 * before:
                            status = self._floor(engine.answer(), residual)
        x = engine.answer()
        # At the end of a restart the residual of this very iterate was computed.
        return self.result(x, residual if engine.is_fresh else system.residual_norm(x), status, engine.nit, omega)

    def _floor(self, x: Array, residual: float) -> Status:
        """Say why the true residual no longer falls."""
        return Status.PRECISION if residual <= 100 * rounding_floor(self.system, x) else Status.STALLED

    def result(
        self, x: Array, residual: float, status: Status, nit: int, omega: float | None, *, detail: str | None = None
    ) -> OptimizeResult:
        """Return the result at x, whose residual norm was computed by a product; never a worse point than the start."""
        system = self.system
        if status is not Status.CONVERGED:
            start = system.start()
            at_start = system.residual_norm(start)
            if not residual <= at_start:
                x, residual = start, at_start
        fields = {
            "x": x,
            "residual_norm": residual,
            "relative_residual": residual / system.b_norm,
            "status": status,
            "message": outcome_message(
                status,
                measure_name="residual norm",
                value=residual,
                tol=self.target,
                nit=nit,
                remedy=_REMEDIES.get(status),
                detail=detail,
            ),
            "nit": nit,
            "omega": omega,
            "time": self.deadline.elapsed(),
        }
        if self.record is not None:
            fields["history"] = self.record.asdict()
        return make_result(fields)


_REMEDIES = {
    Status.INDEFINITE: "use MINRES for symmetric indefinite `A`, or change the sign if it is negative definite",
    Status.PRECISION: "ask for a larger rtol, or solve in float64",
    Status.STALLED: "check that `A` and the preconditioner are symmetric positive definite",
    Status.MAXITER: "raise maxiter or use a better preconditioner",
}


def _check_every(check: str | int) -> int:
    if isinstance(check, str):
        if check != "auto":
            raise ValueError(f"`check` must be 'auto' or a positive int, got {check!r}.")
        return 0
    return check_scalar(check, "check", kind=int, low=1)


def _as_map(M: Any, system: LinearSystem) -> Callable[[Array], Array] | None:
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
