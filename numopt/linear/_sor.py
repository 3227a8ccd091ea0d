"""Successive over-relaxation (SOR) and its symmetric form (SSOR) as solvers."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from numopt._core.validation import check_choice, check_scalar
from numopt._typing import Array
from numopt.linear._batch import is_batch, solve_batch
from numopt.linear._chebyshev import ChebyshevRelaxation
from numopt.linear._pattern import Layout
from numopt.linear._relaxation import ORDERS, SymmetricRelaxation, make_relaxation
from numopt.linear._report import Report
from numopt.linear._solve import relax
from numopt.linear._system import check_rows, check_system, default_rtol

__all__ = ["check_layout", "check_omega", "sor", "ssor"]

ORDERINGS = ("natural", "red-black", "multicolor", "block", "line", "zebra")


def sor(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    omega: Any = 1.0,
    rtol: float | None = None,
    atol: float = 0.0,
    maxiter: int = 10_000,
    sweep: str = "forward",
    ordering: Any = "natural",
    block_size: int = 1,
    check: str | int = "lagged",
    check_finite: bool = True,
    force: bool = False,
    time_limit: float | None = None,
    callback: Callable[..., Any] | None = None,
    history: bool = False,
    verbose: int = 0,
    return_info: bool = False,
) -> OptimizeResult | tuple[Array, int]:
    """Solve ``A x = b`` by successive over-relaxation.

    One iteration is a sweep over the unknowns, ``x_i <- x_i + omega (b_i - sum_j a_ij x_j) / a_ii``, each with the
    newest values of the others.

    Parameters
    ----------
    A : array of shape (n, n), sparse matrix or Stencil
        NumPy, CuPy, or scipy.sparse / cupyx.scipy.sparse of any format; float32, float64, complex64 or complex128
        (integers become float64); int32 or int64 indices. No zero on the diagonal. Not modified. For a batch: an array
        of shape (n_systems, n, n), a sequence of sparse matrices of one pattern, or one matrix for all systems.
    b : array of shape (n,)
        Right-hand side. For a batch (n_systems, n).
    x0 : array of the shape of `b`, optional
        Starting point; None means zeros.
    omega : float, default 1
        Relaxation factor in (0, 2), outside of which the method cannot converge for a symmetric positive definite `A`;
        1 is Gauss-Seidel. For a batch also an array of shape (n_systems,).
    rtol, atol : float
        Converged when ``||b - A x||_2 <= max(rtol * ||b||_2, atol)``. Default of `rtol`: 1e-8 in double precision, 1e-4
        in single.
    maxiter : int, default 10000
        Largest number of sweeps (with residuals found inside the sweeps one more is done, to know that of the last).
    sweep : {'forward', 'backward', 'symmetric'}, default 'forward'
        In which direction; 'symmetric' is a forward and a backward sweep each time (as `ssor`).
    ordering : {'natural', 'red-black', 'multicolor', 'block', 'line', 'zebra'} or int array of shape (n,)
        In which order the unknowns are visited. 'natural': 0, 1, 2, ... (on a GPU by levels of independent rows, which
        gives the same iterates). 'red-black': the two colours of a bipartite graph. 'multicolor': greedy colours, found
        once for a pattern and remembered. An array gives the colour of each unknown (of each block, with
        `block_size` > 1). 'block': blocks of `block_size` consecutive unknowns, solved with together; the colourings
        may be used with blocks as well. 'line': tridiagonal blocks of `block_size` unknowns (lines of a grid); 'zebra':
        lines of alternating colour.
    block_size : int, default 1
        Unknowns in a block or line; the last one may be shorter.
    check : {'lagged', 'exact'} or int, default 'lagged'
        Where residuals come from. 'lagged': found inside the sweeps at hardly any cost; the norm of iterate k is known
        at the end of sweep k + 1, so that a later iterate than number `nit` is returned. 'exact': a product with `A`
        after every sweep; an int p: after every p sweeps. A callback implies 'exact'. 'lagged' alone for batches.
    check_finite : bool, default True
        Look for NaN and infinite values in the data, which costs a pass over `A`.
    force : bool, default False
        Allow any positive `omega`.
    time_limit : float, optional
        Seconds. Not for batches.
    callback : callable, optional
        Called after each check by SciPy's rule, ``callback(intermediate_result=res)`` or ``callback(xk)``;
        StopIteration stops the solve, which returns the best iterate so far. Not for batches.
    history : bool, default False
        Record nit, residual, relative_residual and seconds. Not for batches.
    verbose : {0, 1, 2}
        Silent, a progress bar, or a line an iteration through the ``numopt`` logger. Silent for batches.
    return_info : bool, default False
        Return SciPy's pair ``(x, info)`` instead; info is the status: 0 converged, positive stopped, negative failed.

    Returns
    -------
    res : OptimizeResult
        ``x`` (same library, dtype and device as the data), ``residual_norm`` (``||b - A x||_2``, recomputed from x),
        ``relative_residual``, ``success``, ``status``, ``message``, ``nit`` (the first k with the residual of iterate k
        within the tolerance), ``omega``, ``time`` and, on request, ``history``. For a batch the first four and nit are
        arrays of shape (n_systems,) (``x`` of shape (n_systems, n)), ``statuses`` holds one status for each system and
        `status` is the worst. Status MAXITER, TIME_LIMIT, CALLBACK; DIVERGED: the residual grew 1e10-fold; PRECISION:
        it no longer falls, at the rounding level of the dtype; STALLED: it no longer falls. Without success `x` is
        never worse than `x0`.

    Raises
    ------
    TypeError
        For mixed array libraries, a LinearOperator (rows are needed), or arguments of a wrong kind.
    ValueError
        For shapes that do not fit, a zero or missing diagonal entry (its row is named), values that are not finite,
        omega outside (0, 2), colours that two neighbours share, lines that are not tridiagonal, singular blocks.

    Notes
    -----
    Young's theory [1]_: for consistently ordered symmetric positive definite matrices the best omega is
    ``2 / (1 + sqrt(1 - beta^2))``, beta the spectral radius of Jacobi's iteration (`optimal_omega`). A sweep costs
    2 nnz flops (3 nnz with its residual) and reads the matrix once. SOR is a smoother and a building block: as a solver
    of its own it loses to conjugate gradients with `cg`'s ``ssor_omega``, to multigrid for large n and to
    factorisations for many right-hand sides.

    References
    ----------
    .. [1] D. M. Young, "Iterative Solution of Large Linear Systems", Academic Press, 1971, chapters 4 to 6.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from numopt.linear import optimal_omega, sor
    >>> A = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(50, 50), format="csr")
    >>> res = sor(A, np.ones(50), omega=optimal_omega(A))
    >>> res.success, bool(np.linalg.norm(A @ res.x - 1) <= 1e-8 * np.sqrt(50))
    (True, True)
    """
    check_choice(sweep, "sweep", tuple(ORDERS))
    layout = check_layout(ordering, block_size)
    every = _check_every(check)
    if is_batch(A, b):
        if every or callback is not None or history or verbose or time_limit is not None:
            raise ValueError(
                "`check`, `callback`, `history`, `verbose` and `time_limit` must be left out for a batch of systems."
            )
        result = solve_batch(
            A, b, x0, omega=omega, rtol=rtol, atol=atol, maxiter=maxiter, order=ORDERS[sweep], layout=layout,
            check_finite=check_finite, check_omega=functools.partial(check_omega, force=force),
        )  # fmt: skip
        return (result.x, int(result.status)) if return_info else result
    system = check_system(A, b, x0, check_finite=check_finite)
    omega = check_omega(omega, force=force)
    report = Report(
        system, "sor", "sweep", rtol=default_rtol(system.b, rtol), atol=atol, maxiter=maxiter, time_limit=time_limit,
        callback=callback, history=history, verbose=verbose,
    )  # fmt: skip
    engine = make_relaxation(system, layout, omega, ORDERS[sweep])
    result = relax(system, engine, report, check=every) if system.b_norm else report.zero(omega)
    return (result.x, int(result.status)) if return_info else result


def ssor(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    omega: float = 1.0,
    rtol: float | None = None,
    atol: float = 0.0,
    maxiter: int = 10_000,
    ordering: Any = "natural",
    block_size: int = 1,
    chebyshev: bool = False,
    check: str | int = "lagged",
    check_finite: bool = True,
    force: bool = False,
    time_limit: float | None = None,
    callback: Callable[..., Any] | None = None,
    history: bool = False,
    verbose: int = 0,
    return_info: bool = False,
) -> OptimizeResult | tuple[Array, int]:
    """Solve ``A x = b`` by symmetric successive over-relaxation.

    One iteration is a forward sweep of `sor` and a backward one.

    Parameters
    ----------
    A : array of shape (n, n), sparse matrix or Stencil
        As for `sor`, one system.
    b : array of shape (n,)
        Right-hand side.
    x0 : array of shape (n,), optional
        Starting point; None means zeros.
    omega : float, default 1
        Relaxation factor in (0, 2).
    rtol, atol : float
        Converged when ``||b - A x||_2 <= max(rtol * ||b||_2, atol)``; default of `rtol` as for `sor`.
    maxiter : int, default 10000
        Largest number of symmetric sweeps.
    ordering : {'natural', 'red-black', 'multicolor', 'block', 'line', 'zebra'} or int array of shape (n,)
        Order of the unknowns, as for `sor`.
    block_size : int, default 1
        Unknowns in a block or line.
    chebyshev : bool, default False
        Accelerate by Chebyshev polynomials: for symmetric positive definite `A` and point orderings. The spectral
        radius that this needs is estimated from the residuals as they come.
    check : {'lagged', 'exact'} or int, default 'lagged'
        Where residuals come from, as for `sor`.
    check_finite : bool, default True
        Look for NaN and infinite values in the data.
    force : bool, default False
        Allow any positive `omega`.
    time_limit : float, optional
        Seconds.
    callback : callable, optional
        Called after each check by SciPy's rule; StopIteration stops the solve.
    history : bool, default False
        Record nit, residual, relative_residual and seconds.
    verbose : {0, 1, 2}
        Silent, a progress bar, or a line an iteration through the ``numopt`` logger.
    return_info : bool, default False
        Return SciPy's pair ``(x, info)`` instead.

    Returns
    -------
    res : OptimizeResult
        As from `sor`; with `chebyshev` also ``spectral_radius``, the estimate at the end.

    Raises
    ------
    TypeError, ValueError
        As from `sor`; ValueError also for `chebyshev` with blocks or lines.

    Notes
    -----
    The sums over one triangle that a half sweep forms are those that the next one needs, so that a symmetric sweep of
    points reads the matrix once, as one plain sweep does [1]_. With `chebyshev` about the square root of the number of
    iterations remains (semi-iteration with the adaptive estimate of [2]_, section 5.4); it is what conjugate gradients
    do better where inner products are cheap.

    References
    ----------
    .. [1] W. Niethammer, "Relaxation bei Matrizen mit der Eigenschaft A", Z. Angew. Math. Mech. 44 (1964), T49-T52.
    .. [2] L. A. Hageman, D. M. Young, "Applied Iterative Methods", Academic Press, 1981.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.linear import Stencil, ssor
    >>> A = Stencil((30, 30), (4.0, -1.0, -1.0, -1.0, -1.0))
    >>> plain, fast = (ssor(A, np.ones(900), omega=1.8, chebyshev=c) for c in (False, True))
    >>> plain.success, fast.success, fast.nit < plain.nit
    (True, True, True)
    """
    layout = check_layout(ordering, block_size)
    if chebyshev and layout.is_block:
        raise ValueError("`chebyshev` must be False with blocks or lines, got True.")
    every = _check_every(check)
    system = check_system(A, b, x0, check_finite=check_finite)
    omega = check_omega(omega, force=force)
    report = Report(
        system, "ssor", "sweep", rtol=default_rtol(system.b, rtol), atol=atol, maxiter=maxiter, time_limit=time_limit,
        callback=callback, history=history, verbose=verbose,
    )  # fmt: skip
    if chebyshev:
        engine = ChebyshevRelaxation(SymmetricRelaxation(system, check_rows(system), layout, omega))
        result = relax(system, engine, report, check=every) if system.b_norm else report.zero(omega)
        result["spectral_radius"] = engine.radius
    else:
        plain = make_relaxation(system, layout, omega, ORDERS["symmetric"])
        result = relax(system, plain, report, check=every) if system.b_norm else report.zero(omega)
    return (result.x, int(result.status)) if return_info else result


def check_omega(omega: Any, *, force: bool = False) -> float:
    """Return a relaxation factor in (0, 2), with `force` any positive one."""
    if force:
        return check_scalar(omega, "omega", low=0, include_low=False)
    try:
        return check_scalar(omega, "omega", low=0, high=2, include_low=False, include_high=False)
    except ValueError as error:
        raise ValueError(
            f"{error} Relaxation diverges outside for symmetric positive definite `A`; force=True allows it."
        ) from None


def check_layout(ordering: Any, block_size: Any, *, reverse: bool = False) -> Layout:
    """Return the checked order of visits."""
    size = check_scalar(block_size, "block_size", kind=int, low=1)
    if isinstance(ordering, str):
        check_choice(ordering, "ordering", ORDERINGS)
        if ordering in ("block", "line", "zebra") and size == 1:
            raise ValueError(f"`block_size` must be at least 2 with ordering={ordering!r}, got 1.")
        return Layout(ordering, size, reverse)
    colours = np.asarray(ordering)
    if colours.ndim != 1 or colours.dtype.kind not in "iu":
        raise TypeError(
            f"`ordering` must be one of {', '.join(map(repr, ORDERINGS))} or a 1-D integer array of colours, "
            f"got {ordering!r}."
        )
    return Layout(colours.astype(np.int64).tobytes(), size, reverse)


def _check_every(check: str | int) -> int:
    """Return every how many sweeps the residual is computed, 0 where the sweeps find it."""
    if isinstance(check, str):
        return {"lagged": 0, "exact": 1}[check_choice(check, "check", ("lagged", "exact"))]
    return check_scalar(check, "check", kind=int, low=1)
