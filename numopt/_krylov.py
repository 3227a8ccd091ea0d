"""Krylov solvers, written once for every array library: MINRES, restarted GMRES, preconditioned CG.

What they share, and why they exist next to SciPy's: success means that the TRUE residual ``b - A x``, recomputed with
one more product, is below the tolerance. Recurrences drift away from it (SciPy's MINRES stops at true relative
residuals of 1e-3 when asked for 1e-8 on badly scaled systems); when an estimate turns out to have lied, the method
restarts from the current x, and when restarting no longer helps it says `converged=False`. Scalars reach the host once
per iteration.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.linalg import lapack

from numopt._array import asarray_like, device_of, is_array, namespace, promote, scalars, to_host
from numopt._typing import Array, Namespace

__all__ = ["KrylovResult", "gmres", "minres", "pcg"]

_LinearMap = Callable[[Array], Array]

# Why a cycle ended.
_ESTIMATE = "estimate"  # its own residual estimate met the target, or the Krylov space is exhausted
_LENGTH = "length"  # its iterations are used up
_STOP = "stop"  # breakdown, or the callback asked to stop: another cycle would be no use
_INDEFINITE = "indefinite"  # a direction without positive curvature


@dataclass(frozen=True, slots=True)
class KrylovResult:
    """Outcome of a Krylov solve.

    Attributes
    ----------
    x : array
        The solution estimate.
    converged : bool
        Whether ``||b - A x|| <= max(rtol * ||b||, atol)``, recomputed from `x`.
    nit : int
        Iterations (for GMRES inner ones), over all restarts.
    relative_residual : float
        ``||b - A x|| / ||b||``, recomputed; 0 when b = 0, where the answer is x = 0.
    indefinite : bool
        Whether a direction with p' A p <= 0 ended it (only CG looks).
    """

    x: Array
    converged: bool
    nit: int
    relative_residual: float
    indefinite: bool = False


class _Cycle(Protocol):
    """One run of a method from `x` with residual `r` of norm `r_norm`: (new x, iterations, why it ended)."""

    def __call__(self, x: Array, r: Array, r_norm: float, target: float, budget: int) -> tuple[Array, int, str]: ...


def minres(
    matvec: _LinearMap,
    b: Array,
    *,
    x0: Array | None = None,
    precond: _LinearMap | None = None,
    rtol: float,
    atol: float = 0.0,
    maxiter: int,
    callback: Callable[[Array], object] | None = None,
) -> KrylovResult:
    """Solve ``A x = b`` for a symmetric, possibly indefinite A by MINRES.

    Parameters
    ----------
    matvec : callable
        ``matvec(v)`` gives ``A v``.
    b : array of shape (n,)
        Right-hand side, real floating.
    x0 : array of shape (n,), optional
        Starting point; not modified. Default zero.
    precond : callable, optional
        ``precond(v)`` gives ``M^{-1} v`` with M symmetric positive definite, M near |A|.
    rtol, atol : float
        Stop when ``||b - A x||_2 <= max(rtol * ||b||_2, atol)``, in the plain 2-norm also with `precond`.
    maxiter : int
        Limit on iterations over all restarts; each costs one product and one application of `precond`.
    callback : callable, optional
        ``callback(xk)`` after each iteration, xk the live iterate (copy it to keep it); a true return value stops.

    Returns
    -------
    KrylovResult
        `converged` is about the recomputed residual.

    Raises
    ------
    TypeError, ValueError
        If `b` or `x0` is not a real vector, or a limit is out of range.

    Notes
    -----
    Lanczos with the QR update of [1]_. With a preconditioner the recurrence yields only the M^{-1}-norm of the
    residual, so the residual vector is carried along as well, r_k = s_k^2 r_{k-1} + phi_k c_k v_{k+1}, and its 2-norm
    found from inner products that share the iteration's one transfer. On a singular inconsistent system the iteration
    ends at a least-squares solution with `converged=False`.

    References
    ----------
    .. [1] C. C. Paige and M. A. Saunders, "Solution of sparse indefinite systems of linear equations", SIAM
       Journal on Numerical Analysis 12, 1975.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt._krylov import minres
    >>> A = np.array([[2.0, 1.0], [1.0, -3.0]])
    >>> res = minres(lambda v: A @ v, np.array([3.0, -2.0]), rtol=1e-12, maxiter=10)
    >>> res.converged, res.nit
    (True, 2)
    """
    xp, b, x = _prepare(b, x0, rtol, atol, maxiter)
    eps = float(xp.finfo(b.dtype).eps)

    def cycle(x: Array, r: Array, r_norm: float, target: float, budget: int) -> tuple[Array, int, str]:
        y = r if precond is None else precond(r)
        (beta_squared,) = scalars(xp, r @ y)
        if not 0.0 < beta_squared < math.inf:
            return x, 0, _STOP
        beta = math.sqrt(beta_squared)
        v, z = r / beta, y / beta
        x = xp.asarray(x, copy=True)
        v_old = w = w_old = xp.zeros_like(b)
        phi_bar, delta_bar, epsilon, cs, sn = beta, 0.0, 0.0, -1.0, 0.0
        largest = 0.0
        for k in range(1, budget + 1):
            p = matvec(z)
            alpha_0d = p @ z
            p = p - alpha_0d * v  # not in place: `matvec` may hand out z itself or its own buffer
            p -= beta * v_old
            y = p if precond is None else precond(p)
            if precond is None:
                alpha, beta_squared = scalars(xp, alpha_0d, p @ y)
                r_dot_p, p_dot_p = 0.0, 0.0
            else:
                alpha, beta_squared, r_dot_p, p_dot_p = scalars(xp, alpha_0d, p @ y, r @ p, p @ p)
            if not (math.isfinite(alpha) and 0.0 <= beta_squared < math.inf):
                return x, k - 1, _STOP
            beta_next = math.sqrt(beta_squared)

            # Column k of the tridiagonal matrix: the two earlier rotations, then a new one that removes beta_next.
            epsilon_old = epsilon
            delta = cs * delta_bar + sn * alpha
            gamma_bar = sn * delta_bar - cs * alpha
            epsilon, delta_bar = sn * beta_next, -cs * beta_next
            gamma = math.hypot(gamma_bar, beta_next)
            largest = max(largest, math.hypot(alpha, beta, beta_next) if k > 1 else math.hypot(alpha, beta_next))
            # ||A r|| / (||A|| ||r||) of the x so far. At a least-squares solution of an inconsistent system it falls
            # to about sqrt(eps), after which x would grow without bound in the null space.
            if math.hypot(gamma_bar, delta_bar) <= math.sqrt(eps) * largest:
                return x, k - 1, _ESTIMATE
            cs, sn = gamma_bar / gamma, beta_next / gamma
            phi, phi_bar = cs * phi_bar, sn * phi_bar

            w_next = z - epsilon_old * w_old
            w_next -= delta * w
            w_next /= gamma
            w_old, w = w, w_next
            x += phi * w
            if callback is not None and callback(x):
                return x, k, _STOP
            if beta_next <= eps * largest:
                return x, k, _ESTIMATE
            if precond is None:
                estimate = phi_bar
            else:
                toward = -phi_bar * cs / beta_next
                squared = sn**4 * r_norm**2 + 2 * sn**2 * toward * r_dot_p + toward**2 * p_dot_p
                estimate = r_norm = math.sqrt(max(squared, 0.0))
                r = sn**2 * r + toward * p
            if estimate <= target:
                return x, k, _ESTIMATE
            v_old, v, z, beta = v, p / beta_next, y / beta_next, beta_next
        return x, budget, _LENGTH

    return _drive(cycle, matvec, b, x, x0 is not None, rtol, atol, maxiter, monotone=True)


def pcg(
    matvec: _LinearMap,
    b: Array,
    *,
    x0: Array | None = None,
    precond: _LinearMap | None = None,
    rtol: float,
    atol: float = 0.0,
    maxiter: int,
    callback: Callable[[Array, float], object] | None = None,
) -> KrylovResult:
    """Solve ``A x = b`` for a Hermitian positive definite A by preconditioned conjugate gradients.

    Parameters, stopping rule and result are those of `minres`, except that data may be complex and that
    ``callback(xk, norm)`` also gets the norm of the residual of the recurrence; `precond` applies the inverse of a
    Hermitian positive definite matrix near A.

    Returns
    -------
    KrylovResult
        When a direction with p' A p <= 0 shows that A is not positive definite, the iterate before it, with
        `converged=False` and `indefinite=True`.

    Notes
    -----
    Hestenes and Stiefel's recurrences. The step length stays on the device; one transfer per iteration brings it, the
    curvature and the new residual norms to the host.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt._krylov import pcg
    >>> res = pcg(lambda v: np.array([4.0, 2.0]) * v, np.array([4.0, 4.0]), rtol=1e-12, maxiter=10)
    >>> res.converged, res.nit
    (True, 2)
    """
    xp, b, x = _prepare(b, x0, rtol, atol, maxiter, allow_complex=True)
    dot = _dot_for(xp, b)
    one = xp.ones((), dtype=dot(b, b).dtype, device=device_of(b))

    def cycle(x: Array, r: Array, r_norm: float, target: float, budget: int) -> tuple[Array, int, str]:
        z = r if precond is None else precond(r)
        rz_0d = dot(r, z)
        (rz,) = scalars(xp, rz_0d)
        if not 0.0 < rz < math.inf:
            return x, 0, _STOP
        # Copies: `precond` may hand out its own buffer again, the residual may be b itself.
        p, r, x = (xp.asarray(v, copy=True) for v in (z, r, x))
        for k in range(1, budget + 1):
            q = matvec(p)
            curvature = dot(p, q)
            step_0d = rz_0d / xp.where(curvature > 0, curvature, one)
            r -= step_0d * q
            z = r if precond is None else precond(r)
            rr_0d = dot(r, r)
            rz_0d = rr_0d if precond is None else dot(r, z)
            step, pq, rz_next, rr = scalars(xp, step_0d, curvature, rz_0d, rr_0d)
            if not (0.0 < pq < math.inf and math.isfinite(step)):
                return x, k - 1, _INDEFINITE if pq <= 0.0 else _STOP
            x += step * p
            if callback is not None and callback(x, math.sqrt(rr)):
                return x, k, _STOP
            if math.sqrt(rr) <= target:
                return x, k, _ESTIMATE
            if not 0.0 < rz_next < math.inf:
                return x, k, _STOP
            p *= rz_next / rz
            p += z
            rz = rz_next
        return x, budget, _LENGTH

    return _drive(cycle, matvec, b, x, x0 is not None, rtol, atol, maxiter, monotone=False)


def gmres(
    matvec: _LinearMap,
    b: Array,
    *,
    x0: Array | None = None,
    precond: _LinearMap | None = None,
    restart: int,
    rtol: float,
    atol: float = 0.0,
    maxiter: int,
    callback: Callable[[Array], object] | None = None,
) -> KrylovResult:
    """Solve ``A x = b`` for a general square A by restarted GMRES with right preconditioning.

    Parameters
    ----------
    matvec, b, x0, rtol, atol
        As for `minres`.
    precond : callable, optional
        ``precond(v)`` gives an approximation of ``A^{-1} v``, the same linear map at every call. It is applied from
        the right, so the residual that is minimised is the true one.
    restart : int
        Largest dimension of the Krylov space; memory is ``(restart + 1) n``.
    maxiter : int
        Limit on inner iterations over all cycles. ``maxiter=2`` with `x0` continues an earlier call for two steps.
    callback : callable, optional
        ``callback(xk)`` after each cycle; a true return value stops.

    Returns
    -------
    KrylovResult
        As for `minres`.

    Raises
    ------
    TypeError, ValueError
        As `minres`.

    Notes
    -----
    Saad and Schultz [1]_. Classical Gram-Schmidt done twice: as orthogonal as modified Gram-Schmidt or better, made
    of two matrix-vector products instead of k dot products, with one transfer per iteration. A cycle without any
    progress ends the solve, since every later one would repeat it.

    References
    ----------
    .. [1] Y. Saad and M. H. Schultz, "GMRES: a generalized minimal residual algorithm for solving nonsymmetric linear
       systems", SIAM J. Sci. Stat. Comput. 7, 1986.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt._krylov import gmres
    >>> A = np.array([[2.0, 1.0], [0.0, 3.0]])
    >>> res = gmres(lambda v: A @ v, np.array([3.0, 6.0]), restart=2, rtol=1e-12, maxiter=10)
    >>> res.converged, res.nit
    (True, 2)
    """
    xp, b, x = _prepare(b, x0, rtol, atol, maxiter)
    if restart < 1:
        raise ValueError(f"`restart` must be a positive int, got {restart}.")
    m = min(restart, maxiter, b.shape[0])
    basis = xp.empty((m + 1, b.shape[0]), dtype=b.dtype, device=device_of(b))
    eps = float(xp.finfo(b.dtype).eps)

    def cycle(x: Array, r: Array, r_norm: float, target: float, budget: int) -> tuple[Array, int, str]:
        length = min(m, budget)
        qr = _HessenbergQR(length, r_norm, eps)
        basis[0, :] = r / r_norm
        ended = _LENGTH
        for k in range(length):
            q = basis[k, :]
            w = matvec(q if precond is None else precond(q))
            V = basis[: k + 1, :]
            h = V @ w
            before = w @ w
            w = w - h @ V
            correction = V @ w
            w = w - correction @ V
            column = xp.concat([h + correction, xp.stack([w @ w, before])])
            *entries, w_squared, w_before = to_host(column).tolist()
            if not (math.isfinite(w_before) and math.isfinite(w_squared)):
                ended = _STOP
                break
            h_next = math.sqrt(w_squared)
            exhausted = h_next <= 10 * eps * math.sqrt(w_before)
            estimate = qr.append(entries, 0.0 if exhausted else h_next)
            if exhausted or qr.deficient or estimate <= target:
                ended = _ESTIMATE
                break
            basis[k + 1, :] = w / h_next
        y = qr.solve()
        if y.size:
            step = asarray_like(y, b, dtype=b.dtype) @ basis[: y.size, :]
            x = x + (step if precond is None else precond(step))
        if callback is not None and callback(x):
            ended = _STOP
        return x, qr.columns, ended

    return _drive(cycle, matvec, b, x, x0 is not None, rtol, atol, maxiter, monotone=True)


class _HessenbergQR:
    """QR factorisation of the growing Hessenberg matrix of GMRES by Givens rotations, on the host."""

    def __init__(self, length: int, r_norm: float, eps: float) -> None:
        self.columns = 0
        self.deficient = False
        self._eps, self._largest = eps, 0.0
        self._R = np.zeros((length, length), order="F")
        self._rhs = np.zeros(length + 1)
        self._rhs[0] = r_norm
        self._rotations: list[tuple[float, float]] = []

    def append(self, column: list[float], below: float) -> float:
        """Add a column and its subdiagonal entry; return the residual norm of the least-squares problem."""
        k = self.columns
        for i, (c, s) in enumerate(self._rotations):
            column[i], column[i + 1] = c * column[i] + s * column[i + 1], -s * column[i] + c * column[i + 1]
        radius = math.hypot(column[k], below)
        c, s = (column[k] / radius, below / radius) if radius else (1.0, 0.0)
        self._rotations.append((c, s))
        self._R[:k, k] = column[:k]
        self._R[k, k] = radius
        self._rhs[k], self._rhs[k + 1] = c * self._rhs[k], -s * self._rhs[k]
        self.columns += 1
        self._largest = max(self._largest, radius)
        self.deficient = radius <= 10 * self.columns * self._eps * self._largest
        return abs(float(self._rhs[k + 1]))

    def solve(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the coefficients; a last column that a singular A made dependent (`deficient`) is left out."""
        k = self.columns - 1 if self.deficient else self.columns
        y: np.ndarray[Any, np.dtype[np.float64]] = lapack.dtrtrs(self._R[:k, :k], self._rhs[:k])[0]
        return y.reshape(-1)


def _dot_for(xp: Namespace, like: Array) -> Callable[[Array, Array], Array]:
    """Return what computes the real part of ``u^H v`` as a 0-d array."""
    if xp.isdtype(like.dtype, "complex floating"):
        return lambda u, v: xp.real(xp.vecdot(u, v))
    return operator.matmul


def _prepare(
    b: Array, x0: Array | None, rtol: float, atol: float, maxiter: int, *, allow_complex: bool = False
) -> tuple[Namespace, Array, Array]:
    """Check the arguments that all methods share; return the namespace, b and a starting point."""
    for name, vector in (("b", b), ("x0", x0)):
        if vector is not None and not is_array(vector):
            raise TypeError(f"`{name}` must be an array, got {type(vector).__name__}.")
    xp = namespace(b, x0)
    if b.ndim != 1:
        raise ValueError(f"`b` must be a vector, got shape {tuple(b.shape)}.")
    if x0 is not None and x0.shape != b.shape:
        raise ValueError(f"`x0` has shape {tuple(x0.shape)} but `b` has shape {tuple(b.shape)}.")
    b, x0 = promote(b, x0, xp=xp)
    if not allow_complex and b.dtype in (xp.complex64, xp.complex128):
        raise TypeError(f"`b` and `x0` must be real, got dtype {b.dtype}.")
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not value >= 0:
            raise ValueError(f"`{name}` must be a non-negative float, got {value}.")
    if maxiter < 0:
        raise ValueError(f"`maxiter` must be a non-negative int, got {maxiter}.")
    return xp, b, xp.zeros_like(b) if x0 is None else x0


def _drive(
    cycle: _Cycle,
    matvec: _LinearMap,
    b: Array,
    x: Array,
    warm: bool,
    rtol: float,
    atol: float,
    maxiter: int,
    *,
    monotone: bool,
) -> KrylovResult:
    """Repeat cycles until the true residual meets the target, or another cycle cannot help.

    `monotone` methods minimise the residual, so a larger one means that rounding has spoilt the cycle. CG may end a
    short run with a larger residual and a smaller error.
    """
    xp = namespace(b)
    r = b - matvec(x) if warm else b
    dot = _dot_for(xp, b)
    b_norm, r_norm = map(math.sqrt, scalars(xp, dot(b, b), dot(r, r)))
    if b_norm == 0.0:
        return KrylovResult(xp.zeros_like(b), True, 0, 0.0)
    target = max(rtol * b_norm, atol)
    nit = 0
    indefinite = False
    while r_norm > target and math.isfinite(r_norm) and nit < maxiter:
        x_next, used, ended = cycle(x, r, r_norm, target, maxiter - nit)
        nit += used
        r_next = b - matvec(x_next)
        norm_next = math.sqrt(scalars(xp, dot(r_next, r_next))[0])
        indefinite = ended == _INDEFINITE
        if not math.isfinite(norm_next) or (norm_next > r_norm and (monotone or ended == _ESTIMATE)):
            break
        # An estimate that lied is worth a restart while restarts halve the residual: below that the working precision
        # is exhausted. A cycle of full length without progress would repeat itself.
        limit = 0.5 if ended == _ESTIMATE else 1.0
        stalled = norm_next >= limit * r_norm
        x, r, r_norm = x_next, r_next, norm_next
        if stalled or indefinite or ended == _STOP:
            break
    return KrylovResult(x, r_norm <= target, nit, r_norm / b_norm, indefinite)
