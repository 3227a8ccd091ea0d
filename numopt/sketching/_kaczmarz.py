"""Kaczmarz' method and sketch-and-project for consistent linear systems, dense or sparse.

Strohmer and Vershynin (2009) for the randomised rules, Gower and Richtarik (2015) for the general sketch.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from scipy.optimize import OptimizeResult

from numopt._array import is_array, is_sparse, namespace, promote, scalars
from numopt._core.callback import wrap_callback
from numopt._core.validation import check_choice, check_matrix, check_scalar, check_vector, check_verbose
from numopt._linalg import norm
from numopt._rng import default_rng
from numopt._typing import Array, Namespace, RNGLike
from numopt.sketching._sketched_solver import SketchedSolver
from numopt.sketching._stopping import solve_by_sweeps

__all__ = ["SketchedSolver", "kaczmarz", "sketch_and_project"]

RULES = ("uniform", "norm", "cyclic", "max_distance")
SKETCHES = ("row", "gaussian")
DEFAULT_MAXITER = 10_000


def kaczmarz(
    A: Any,
    b: Any,
    *,
    x0: Any = None,
    rule: str = "uniform",
    relax: float = 1.0,
    rtol: float | None = None,
    atol: float = 0.0,
    maxiter: int = DEFAULT_MAXITER,
    time_limit: float | None = None,
    rng: RNGLike = None,
    callback: Callable[..., Any] | None = None,
    history: bool = False,
    verbose: int = 0,
    return_info: bool = False,
) -> OptimizeResult | tuple[Array, int]:
    """Solve a consistent linear system by projections onto its rows.

    One step picks a row i and moves ``x <- x + relax * (b_i - a_i'x) / ||a_i||^2 * a_i``; one iteration is a sweep of M
    such steps. From ``x0 = 0`` the method converges to the solution of least norm.

    Parameters
    ----------
    A : array of shape (M, N) or sparse matrix, float32 or float64
        NumPy, CuPy, or scipy.sparse / cupyx.scipy.sparse (converted to CSR where it is not). Not modified.
    b : array of shape (M,)
        Right-hand side, of the same library.
    x0 : array of shape (N,), optional
        Starting point; None means zeros.
    rule : {'uniform', 'norm', 'cyclic', 'max_distance'}, default 'uniform'
        How rows are picked: with equal probability; with probability proportional to ``||a_i||^2``; in order; or
        the one whose hyperplane is farthest from x, which costs a product with `A` every step. Zero rows are left out.
    relax : float, default 1
        Relaxation in (0, 2); 1 is the projection.
    rtol, atol : float
        Converged when the true residual, recomputed once a sweep, has ``||A x - b||_2 <= max(rtol * ||b||_2, atol)``.
        Default of `rtol`: 1e-6 in float64, 1e-4 in float32.
    maxiter : int, default 10000
        Largest number of sweeps.
    time_limit : float, optional
        Seconds; looked at once a sweep, and within long sweeps.
    rng : None, int, SeedSequence or Generator
        Random source (SPEC 7); rows are drawn on the host, so all libraries take the same path.
    callback : callable, optional
        Called once a sweep by SciPy's rule, ``callback(intermediate_result=res)`` or ``callback(xk)``; StopIteration
        stops the solve.
    history : bool, default False
        Record residual, relative_residual, n_steps, nit and seconds once a sweep.
    verbose : {0, 1, 2}
        Silent, a progress bar, or a line a sweep through the ``numopt`` logger.
    return_info : bool, default False
        Return SciPy's pair ``(x, info)`` instead; info is the status: 0 converged, positive stopped, negative failed.

    Returns
    -------
    res : OptimizeResult
        ``x`` (the iterate of least true residual; same library, dtype and device as `A`), ``fun`` (its
        ``||A x - b||_2``), ``relative_residual``, ``success``, ``status``, ``message``, ``nit`` (sweeps), ``n_steps``,
        ``time`` and, on request, ``history``. Status STALLED: the best residual is not 1 % lower than ten sweeps
        before, as on inconsistent or very ill-conditioned systems; PRECISION: the same at the rounding level of the
        dtype; SINGULAR: a zero row with a nonzero right side.

    Raises
    ------
    TypeError
        For complex data, mixed array libraries, LinearOperators (rows are needed), or arguments of a wrong kind.
    ValueError
        For shapes that do not fit, values that are not finite, or options out of range.

    Notes
    -----
    With rule='norm' the expected squared error falls by ``1 - sigma_min(A)^2 / ||A||_F^2`` a step (theorem 2 of [1]_,
    sigma_min the least nonzero singular value); with 'uniform' the same holds for the matrix of normalised rows. A step
    costs 4 N flops (4 nnz(a_i) for CSR), a sweep with its check about three products with `A`; memory is that of `A`
    plus O(M + N). Krylov methods are faster on most systems: this one pays for low accuracy on well-conditioned ones.

    References
    ----------
    .. [1] T. Strohmer, R. Vershynin, "A randomized Kaczmarz algorithm with exponential convergence", J. Fourier Anal.
       Appl. 15 (2009), 262-278.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.sketching import kaczmarz
    >>> rng = np.random.default_rng(0)
    >>> A = rng.standard_normal((200, 50))
    >>> res = kaczmarz(A, A @ np.ones(50), rng=1)
    >>> res.success, bool(np.allclose(res.x, 1, atol=1e-4))
    (True, True)
    """
    system = _check_system(A, b, x0)
    check_choice(rule, "rule", RULES)
    relax = check_scalar(relax, "relax", low=0, high=2, include_low=False, include_high=False)
    limits = _check_limits(system, rtol, atol, maxiter, time_limit, callback, verbose)
    engine = _engine(system, rng=default_rng(rng), rule=rule, relax=relax)
    result = solve_by_sweeps(engine, name="kaczmarz", history=history, **limits)
    return (result.x, int(result.status)) if return_info else result


def sketch_and_project(
    A: Any,
    b: Any,
    *,
    x0: Any = None,
    sketch: str = "row",
    block_size: int = 1,
    rtol: float | None = None,
    atol: float = 0.0,
    maxiter: int = DEFAULT_MAXITER,
    time_limit: float | None = None,
    rng: RNGLike = None,
    callback: Callable[..., Any] | None = None,
    history: bool = False,
    verbose: int = 0,
    return_info: bool = False,
) -> OptimizeResult | tuple[Array, int]:
    """Solve a consistent linear system by projections onto random combinations of its equations.

    One step draws s and projects x onto ``{x : s'A x = s'b}``, ``x <- x + A's (s'b - s'A x) / ||A's||^2``; one
    iteration is a sweep of M such steps.

    Parameters
    ----------
    A : array of shape (M, N) or sparse matrix, float32 or float64
        NumPy, CuPy, or scipy.sparse / cupyx.scipy.sparse (converted to CSR where it is not). Not modified.
    b : array of shape (M,)
        Right-hand side, of the same library.
    x0 : array of shape (N,), optional
        Starting point; None means zeros.
    sketch : {'row', 'gaussian'}, default 'row'
        s is a unit vector, all rows equally likely (randomised Kaczmarz), or standard normal.
    block_size : {1}
        Number of sketching vectors a step.
    rtol, atol : float
        Converged when the true residual, recomputed once a sweep, has ``||A x - b||_2 <= max(rtol * ||b||_2, atol)``.
        Default of `rtol`: 1e-6 in float64, 1e-4 in float32.
    maxiter : int, default 10000
        Largest number of sweeps.
    time_limit : float, optional
        Seconds; looked at once a sweep, and within long sweeps.
    rng : None, int, SeedSequence or Generator
        Random source (SPEC 7); sketches are drawn on the host, so all libraries take the same path.
    callback : callable, optional
        Called once a sweep by SciPy's rule, ``callback(intermediate_result=res)`` or ``callback(xk)``; StopIteration
        stops the solve.
    history : bool, default False
        Record residual, relative_residual, n_steps, nit and seconds once a sweep.
    verbose : {0, 1, 2}
        Silent, a progress bar, or a line a sweep through the ``numopt`` logger.
    return_info : bool, default False
        Return SciPy's pair ``(x, info)`` instead; info is the status: 0 converged, positive stopped, negative failed.

    Returns
    -------
    res : OptimizeResult
        As from `kaczmarz`.

    Raises
    ------
    TypeError, ValueError
        As from `kaczmarz`; ValueError also for a `block_size` other than 1.

    Notes
    -----
    Algorithm (2.2) of [1]_ with B = I. A Gaussian step costs 2 M N flops, taken for batches of steps in one matrix
    product (batching changes rounding only); its progress a step is about that of a row step on a matrix of equal row
    norms, so that 'gaussian' pays only where rows differ wildly in scale or direction.

    References
    ----------
    .. [1] R. M. Gower, P. Richtarik, "Randomized iterative methods for linear systems", SIAM J. Matrix Anal. Appl. 36
       (2015), 1660-1690.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.sketching import sketch_and_project
    >>> rng = np.random.default_rng(0)
    >>> A = rng.standard_normal((60, 20))
    >>> x, info = sketch_and_project(A, A @ np.ones(20), sketch="gaussian", rng=1, return_info=True)
    >>> info, bool(np.allclose(x, 1, atol=1e-4))
    (0, True)
    """
    system = _check_system(A, b, x0)
    check_choice(sketch, "sketch", SKETCHES)
    if check_scalar(block_size, "block_size", kind=int, low=1) != 1:
        raise ValueError(
            f"`block_size` must be 1 (sketches of one vector; there are no block sketches), got {block_size}."
        )
    limits = _check_limits(system, rtol, atol, maxiter, time_limit, callback, verbose)
    engine = _engine(system, rng=default_rng(rng), sketch=sketch)
    result = solve_by_sweeps(engine, name="sketch_and_project", history=history, **limits)
    return (result.x, int(result.status)) if return_info else result


class _System(NamedTuple):
    """Checked data of one dtype and library."""

    A: Any
    b: Array
    x0: Array | None
    xp: Namespace


def _check_system(A: Any, b: Any, x0: Any) -> _System:
    xp = namespace(A, b, x0)
    if not (is_array(A) or is_sparse(A)) and hasattr(A, "matvec"):
        raise TypeError(
            "`A` must be a dense array or a sparse matrix, since its rows are needed; got a LinearOperator."
        )
    A = check_matrix(A, "A", xp=xp, allow_sparse=True)
    if getattr(b, "ndim", 1) == 2:
        raise ValueError(f"`b` must be a 1-D array, got shape {tuple(b.shape)}; solve its columns one by one.")
    b = check_vector(b, "b", xp=xp)
    if b.shape[0] != A.shape[0]:
        raise ValueError(
            f"`A` has shape {tuple(A.shape)} but `b` has shape {tuple(b.shape)}; expected len(b) == A.shape[0]."
        )
    if x0 is not None:
        x0 = check_vector(x0, "x0", xp=xp)
        if x0.shape[0] != A.shape[1]:
            raise ValueError(
                f"`A` has shape {tuple(A.shape)} but `x0` has shape {tuple(x0.shape)}; expected len(x0) == A.shape[1]."
            )
    A, b, x0 = promote(A, b, x0, xp=xp)
    _check_squares(A.data if is_sparse(A) else A, "A", A.shape[1], xp)
    _check_squares(b, "b", b.shape[0], xp)
    return _System(A, b, x0, xp)


def _engine(system: _System, **options: Any) -> SketchedSolver:
    engine = SketchedSolver(system.A, system.b, z0=system.x0, **options)
    if engine.has_vanishing_rows():
        raise ValueError(f"`A` has nonzero rows whose squared norm is 0 in {system.A.dtype}; scale these equations.")
    return engine


def _check_squares(values: Array, name: str, count: int, xp: Namespace) -> None:
    """Refuse entries so large that a sum of `count` squares may overflow."""
    limit = math.sqrt(float(xp.finfo(values.dtype).max) / count)
    if values.shape[0] and max(scalars(xp, xp.max(values), -xp.min(values))) > limit:
        raise ValueError(
            f"`{name}` has entries above {limit:.1e}, whose squares may overflow {values.dtype}; scale them."
        )


def _check_limits(
    system: _System,
    rtol: float | None,
    atol: float,
    maxiter: int,
    time_limit: float | None,
    callback: Callable[..., Any] | None,
    verbose: int,
) -> dict[str, Any]:
    """Check the options that both solvers share and return them as `solve_by_sweeps` takes them."""
    if rtol is None:
        rtol = 1e-4 if system.b.dtype == system.xp.float32 else 1e-6
    if time_limit is not None:
        time_limit = check_scalar(time_limit, "time_limit", low=0)
    return {
        "xp": system.xp,
        "b_norm": norm(system.b),
        "sweep": system.A.shape[0],
        "rtol": check_scalar(rtol, "rtol", low=0),
        "atol": check_scalar(atol, "atol", low=0),
        "maxiter": check_scalar(maxiter, "maxiter", kind=int, low=0),
        "time_limit": time_limit,
        "callback": wrap_callback(callback),
        "verbose": check_verbose(verbose),
    }
