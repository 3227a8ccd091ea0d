"""The best relaxation parameter when the matrix is known, and bounds on the number of iterations.

Young's theory (Iterative Solution of Large Linear Systems, 1971) gives the spectral radius of SOR from that of Jacobi;
the near-asymptotic bound is that of Khodak, Chow, Balcan and Talwalkar, "Learning to Relax" (ICLR 2024); the bound for
CG with SSOR is Axelsson's (Iterative Solution Methods, 1994, theorem 7.17). They are what tuners are compared with: all
but Young's formula itself cost more than the solves that they describe.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from scipy.linalg import eigh, eigh_tridiagonal

from numopt._array import asarray_like, is_array, is_linear_operator, is_sparse, namespace, promote, scalars, to_host
from numopt._linalg import norm
from numopt._operator import as_operator
from numopt._typing import Array, Namespace
from numopt.linear._stencil import Stencil

__all__ = ["axelsson_bound", "near_asymptotic_bound", "optimal_omega", "young_rate"]

Method = Literal["lanczos", "power", "young"]
Ordering = Literal["natural", "red-black"]

_DENSE_LIMIT = 5000  # rows up to which all eigenvalues of a dense matrix are asked for
_BOUND_DENSE_LIMIT = 800  # rows from which Lanczos with a sparse factorisation is faster
_BOUND_TOL = 1e-4  # the bounds hang on the logarithm of the condition number
_LANCZOS_LIMIT = 20_000  # products
_POWER_LIMIT = 100_000
# Relative accuracy of 1 - beta. The sensitive quantity is 2 - omega, which goes with its square root.
_LANCZOS_ACCURACY = 1e-10
_POWER_ACCURACY = 1e-3


def optimal_omega(
    A: Any, method: Method = "lanczos", context: Any = None, *, ordering: Ordering = "natural"
) -> float | Array:
    """Relaxation parameter with the smallest asymptotic rate of SOR, by Young's formula.

    With the spectral radius beta of the Jacobi matrix ``I - D^{-1} A``, omega* = 2 / (1 + sqrt(1 - beta^2)), where the
    spectral radius of SOR is omega* - 1.

    Parameters
    ----------
    A : array or sparse matrix of shape (n, n), or Stencil
        Symmetric (Hermitian) positive definite and consistently ordered: block tridiagonal with diagonal blocks that
        are diagonal, as the five-point Laplacian is in its natural order. A negative definite matrix is taken as its
        negative, for which SOR is the same. NumPy or CuPy.
    method : {'lanczos', 'power', 'young'}, default 'lanczos'
        How the spectral radius is found: by Lanczos; by power iteration, which takes the square of that many products
        and gives the upper end of an interval, since a parameter too large costs less than one too small; or from all
        eigenvalues of the dense matrix, as the paper's code does (n up to 5000).
    context : float or array of shape (k,), optional
        Of ``A + c I`` for this number c, or these. If the diagonal of `A` is constant, one spectral radius serves all.
    ordering : {'natural', 'red-black'}, default 'natural'
        For sweeps in the order of the rows, or in two colours, which is consistent whenever two colours are enough.

    Returns
    -------
    omega : float or array of shape (k,)
        In [1, 2); an array of the library of `context` for an array.

    Raises
    ------
    TypeError
        If `A` is a LinearOperator, whose diagonal and ordering are not known.
    ValueError
        If Young's theory does not apply: `A` is not square and symmetric, has diagonal entries of both signs or zeros,
        is not consistently ordered, or is not definite (then beta >= 1).

    Warns
    -----
    RuntimeWarning
        If the iteration ends before beta is accurate.

    Notes
    -----
    The ordering is examined on the host, by one search through the graph of the matrix; products stay on the device.
    For a Laplacian on m x m points Lanczos takes about 3 m products, about as many as SOR takes sweeps. The spectral
    radius of a power iteration is accurate to 1e-3 (1 - beta), else to 1e-10 (1 - beta), or to the working precision.

    Examples
    --------
    >>> from numopt.linear import optimal_omega
    >>> from numopt.problems import LinearSystem
    >>> A = LinearSystem.poisson(10).A
    >>> f"{optimal_omega(A):.4f} {optimal_omega(A, context=0.5):.4f}"
    '1.5604 1.3140'
    """
    if method not in ("lanczos", "power", "young"):
        raise ValueError(f"`method` must be 'lanczos', 'power' or 'young', got {method!r}.")
    if ordering not in ("natural", "red-black"):
        raise ValueError(f"`ordering` must be 'natural' or 'red-black', got {ordering!r}.")
    A, xp, eps = _matrix(A)
    host = _host_csr(A)
    _check_hermitian(host, eps)
    _check_ordering(host, ordering)
    diagonal = host.diagonal().real
    shifts = np.zeros(1) if context is None else np.atleast_1d(to_host(context) if is_array(context) else context)
    shifts = np.asarray(shifts, dtype=np.float64)
    if shifts.ndim != 1 or not np.all(np.isfinite(shifts)):
        raise ValueError(f"`context` must be a finite float or a 1-D array of them, got {context!r}.")
    radius = {"lanczos": _lanczos_radius, "power": _power_radius, "young": _dense_radius}[method]
    if diagonal.size and np.all(diagonal == diagonal[0]):
        for shift in shifts:
            _check_diagonal(diagonal[:1] + shift)
        # The part beside the diagonal does not change, and the smallest diagonal gives the largest radius.
        sizes = np.abs(diagonal[0] + shifts)
        smallest = float(np.min(sizes))
        betas = radius(_Jacobi(A, xp, diagonal, np.full_like(diagonal, smallest))) * (smallest / sizes)
    else:
        betas = np.empty_like(shifts)
        for k, shift in enumerate(shifts):
            shifted = diagonal + shift
            _check_diagonal(shifted)
            betas[k] = radius(_Jacobi(A, xp, diagonal, shifted))
    if np.any(betas >= 1.0):
        worst = int(np.argmax(betas))
        where = "`A`" if context is None else f"`A` + {shifts[worst]:g} I"
        raise ValueError(
            f"{where} is not definite: its Jacobi matrix has spectral radius {betas[worst]:.6g} >= 1, so that SOR does "
            "not converge for any parameter."
        )
    omegas = 1.0 + (betas / (1.0 + np.sqrt((1.0 - betas) * (1.0 + betas)))) ** 2
    if context is None or np.ndim(context) == 0:
        return float(omegas[0])
    return asarray_like(omegas, context) if is_array(context) else omegas


def young_rate(omega: Any, beta: Any) -> float | Array:
    """Spectral radius of SOR for a consistently ordered matrix with Jacobi radius `beta`.

    ((omega beta + sqrt(omega^2 beta^2 - 4 (omega - 1))) / 2)^2 below the optimal omega*, omega - 1 from there on.

    Parameters
    ----------
    omega : float or array
        Relaxation parameters in (0, 2).
    beta : float or array
        Spectral radius of the Jacobi matrix, in [0, 1); broadcast against `omega`.

    Returns
    -------
    rho : float or array
        An array if one came in.

    Raises
    ------
    ValueError
        If a parameter is outside its interval.

    Examples
    --------
    >>> from numopt.linear import young_rate
    >>> [round(young_rate(omega, 0.9), 4) for omega in (1.0, 1.4, 1.7)]
    [0.81, 0.4, 0.7]
    """
    xp, (omega, beta), finish = _arrays(omega, beta)
    _check_omega(xp, omega)
    if not bool(xp.all((beta >= 0.0) & (beta < 1.0))):
        raise ValueError("`beta` must be in [0, 1): with a larger spectral radius of Jacobi SOR does not converge.")
    # beta^2 omega^2 - 4 (omega - 1) by its roots, since its square root would turn rounding errors into 1e-8.
    away = xp.sqrt((1.0 - beta) * (1.0 + beta))
    distance = 2.0 / (1.0 + away) - omega
    below = distance > 0.0
    discriminant = xp.where(below, distance * (2.0 * (1.0 + away) - beta**2 * omega), 0.0 * distance)
    root = 0.5 * (omega * beta + xp.sqrt(discriminant))
    return finish(xp.where(below, root**2, xp.abs(omega - 1.0) + 0.0 * beta))


def near_asymptotic_bound(omega: Any, rho: Any, tau: Any, rtol: float) -> float | Array:
    """Bound on SOR's iterations while the powers of its matrix decay almost at their asymptotic rate.

    If ``||C^k||^(1/k) <= rho + tau (1 - rho)`` for the iteration matrix C with spectral radius rho at the k in
    question, the residual is below `rtol` times the first one after 1 + log(rtol) / log(rho + tau (1 - rho))
    iterations.

    Parameters
    ----------
    omega : float or array
        Relaxation parameters in (0, 2).
    rho : float, array or callable
        Spectral radius at `omega`, or a function of `omega` such as ``lambda omega: young_rate(omega, beta)``.
    tau : float or array
        In [0, 1): how far the norms stay behind the spectral radius.
    rtol : float
        Relative residual to be reached, in (0, 1).

    Returns
    -------
    bound : float or array
        Not rounded; infinite where rho >= 1. An array if one came in.

    Raises
    ------
    ValueError
        If an argument is outside its interval.

    Examples
    --------
    >>> from numopt.linear import near_asymptotic_bound, young_rate
    >>> bound = near_asymptotic_bound(1.5, lambda omega: young_rate(omega, 0.95), tau=0.1, rtol=1e-8)
    >>> round(bound, 1)
    48.0
    """
    if callable(rho):
        rho = rho(omega)
    xp, (omega, rho, tau), finish = _arrays(omega, rho, tau)
    _check_omega(xp, omega)
    _check_rtol(rtol)
    if not bool(xp.all(rho >= 0.0)):
        raise ValueError("`rho` must not be negative.")
    if not bool(xp.all((tau >= 0.0) & (tau < 1.0))):
        raise ValueError("`tau` must be in [0, 1).")
    rate = rho + tau * (1.0 - rho) + 0.0 * omega
    tiny = float(xp.finfo(rate.dtype).smallest_normal)
    inside = xp.where(rate < 1.0, xp.where(rate > tiny, rate, 0.0 * rate + tiny), 0.0 * rate + 0.5)
    bound = 1.0 + math.log(rtol) / xp.log(inside)
    return finish(xp.where(rate < 1.0, bound, 0.0 * rate + math.inf))


def axelsson_bound(
    omega: Any,
    A: Any = None,
    *,
    a: float | None = None,
    b: float | None = None,
    kappa: float | None = None,
    rtol: float,
) -> float | Array:
    """Bound on the iterations of CG with the SSOR preconditioner, from its condition number.

    1 + log(sqrt(kappa) / rtol + sqrt(kappa / rtol^2 - 1)) / -log(1 - 2 / (1 + 1 / sqrt(q))) iterations, with
    q = (2 - omega) / (1 + a (2 - omega)^2 / (4 omega) + b omega).

    Parameters
    ----------
    omega : float or array
        Relaxation parameters in (0, 2).
    A : array or sparse matrix of shape (n, n), optional
        Symmetric (Hermitian) positive definite ``A = L + D + L'``, from which those of `a`, `b` and `kappa` come that
        are not given.
    a, b : float, optional
        Largest eigenvalues of ``D A^{-1}`` and of ``(L D^{-1} L' - D / 4) A^{-1}``.
    kappa : float, optional
        Condition number of `A` in the 2-norm.
    rtol : float
        Relative residual to be reached, in (0, 1).

    Returns
    -------
    bound : float or array
        Not rounded. An array if one came in.

    Raises
    ------
    TypeError
        If `A` is a LinearOperator.
    ValueError
        If an argument is outside its interval, `A` is not symmetric positive definite, or a constant is missing with no
        `A` to find it from.

    Notes
    -----
    Axelsson (1994), theorem 7.17. The residual is bounded through the energy norm, whence `kappa`. Finding the
    constants takes a sparse factorisation of `A` on the host.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.linear import axelsson_bound
    >>> from numopt.problems import LinearSystem
    >>> A = LinearSystem.poisson(10).A
    >>> axelsson_bound(np.array([1.0, 1.5, 1.9]), A, rtol=1e-8).round(1)
    array([27.8, 20.3, 33.6])
    """
    xp, (omega,), finish = _arrays(omega)
    _check_omega(xp, omega)
    _check_rtol(rtol)
    if a is None or b is None or kappa is None:
        if A is None:
            missing = [name for name, value in (("a", a), ("b", b), ("kappa", kappa)) if value is None]
            raise ValueError(f"`A` must be given where {', '.join(f'`{name}`' for name in missing)} are not.")
        A, _, eps = _matrix(A)
        host = _host_csr(A)
        _check_hermitian(host, eps)
        found = _axelsson_constants(host)
        a, b, kappa = (old if old is not None else new for old, new in zip((a, b, kappa), found, strict=True))
    for name, value, low in (("a", a, 0.0), ("b", b, -0.25 - 1e-12), ("kappa", kappa, 1.0 - 1e-12)):
        if not (math.isfinite(value) and value >= low):
            raise ValueError(f"`{name}` must be finite and at least {low:.2g}, got {value}.")
    two = 2.0 - omega
    q = two / (1.0 + 0.25 * a * two**2 / omega + b * omega)
    q = xp.where(q < 1.0, q, 0.0 * q + 1.0)
    error = math.sqrt(kappa) / rtol
    start = math.log(error) + math.log1p(math.sqrt(1.0 - min(1.0, 1.0 / error**2)))
    # 1 - 2 / (1 + 1 / sqrt(q)): 0 at q = 1, where one iteration is enough.
    root = xp.sqrt(q)
    tiny = float(xp.finfo(q.dtype).smallest_normal)
    factor = (1.0 - root) / (1.0 + root)
    return finish(1.0 + start / -xp.log(xp.where(factor > tiny, factor, 0.0 * factor + tiny)))


class _Jacobi:
    """The Jacobi matrix ``-|D|^{-1/2} (L + U) |D|^{-1/2}`` (up to the sign of D), Hermitian, as a product.

    `diagonal` is that of `A`, which is taken off; `scale` is what the rest is scaled by.
    """

    def __init__(self, A: Any, xp: Namespace, diagonal: Array, scale: Array) -> None:
        self.A, self.xp = A, xp
        self.n = int(A.shape[0])
        start = np.random.default_rng(0).standard_normal(self.n)
        like = A.data if is_sparse(A) else A
        self.start = asarray_like(start, like, dtype=like.dtype)
        self._operator = as_operator(A)
        self._scale = asarray_like(1.0 / np.sqrt(np.abs(scale)), like)
        self._diagonal = asarray_like(diagonal, like)

    def matvec(self, v: Array) -> Array:
        u = self._scale * v
        return self._scale * (self._diagonal * u - self._operator.matvec(u))


def _lanczos_radius(J: _Jacobi) -> float:
    """Largest eigenvalue by Lanczos without reorthogonalisation, which costs copies of it but no accuracy."""
    xp = J.xp
    q, q_old = J.start / norm(J.start), xp.zeros_like(J.start)
    alphas: list[float] = []
    betas: list[float] = []
    eps = float(np.finfo(np.float64).eps)
    theta = error = 0.0
    check = 1
    # In exact arithmetic n steps would do.
    for k in range(1, min(10 * J.n + 10, _LANCZOS_LIMIT) + 1):
        w = J.matvec(q)
        if k > 1:
            w = w - betas[-1] * q_old
        alpha = xp.real(xp.vecdot(q, w)) if _is_complex(xp, w) else xp.vecdot(q, w)
        w = w - alpha * q
        squared = xp.real(xp.vecdot(w, w)) if _is_complex(xp, w) else xp.vecdot(w, w)
        alpha_k, beta_k = scalars(xp, alpha, squared)
        beta_k = math.sqrt(beta_k)
        alphas.append(alpha_k)
        scale = max(abs(alpha_k), *betas[-1:], beta_k)
        exhausted = beta_k <= 10 * eps * scale
        if k == check or exhausted:
            check = k + max(4, k // 10)
            theta, error = _largest_ritz(alphas, betas, beta_k)
            if exhausted or error <= max(_LANCZOS_ACCURACY * abs(1.0 - theta), 4 * eps * abs(theta)):
                return max(theta, 0.0)
        betas.append(beta_k)
        q_old, q = q, w / beta_k
    return _unsure(theta, error)


def _largest_ritz(alphas: list[float], betas: list[float], beta: float) -> tuple[float, float]:
    """Return the largest eigenvalue of the tridiagonal matrix and a bound on its distance to one of the operator."""
    k = len(alphas)
    if k == 1:
        return alphas[0], beta
    values, vectors = eigh_tridiagonal(np.array(alphas), np.array(betas), select="i", select_range=(k - 2, k - 1))
    residual = beta * abs(float(vectors[-1, 1]))
    gap = float(values[1] - values[0])
    return float(values[1]), residual * min(1.0, residual / gap if gap > 0.0 else 1.0)


def _power_radius(J: _Jacobi) -> float:
    """Upper end of an interval that holds the largest ``|eigenvalue|``, by power iteration on the square."""
    xp = J.xp
    v = J.start / norm(J.start)
    square = residual = 0.0
    for _ in range(_POWER_LIMIT // 2):
        w = J.matvec(v)
        w = J.matvec(w)
        square_0d = xp.real(xp.vecdot(v, w)) if _is_complex(xp, w) else xp.vecdot(v, w)
        square, residual, length = scalars(
            xp, square_0d, xp.linalg.vector_norm(w - square_0d * v), xp.linalg.vector_norm(w)
        )
        if residual <= max(_POWER_ACCURACY * abs(1.0 - square), 1e-15 * square) or length == 0.0:
            break
        v = w / length
    else:
        return math.sqrt(_unsure(square, residual))
    return math.sqrt(square + residual)


def _dense_radius(J: _Jacobi) -> float:
    """Spectral radius from all eigenvalues."""
    if J.n > _DENSE_LIMIT:
        raise ValueError(f"`method` 'young' takes up to {_DENSE_LIMIT} rows, and `A` has {J.n}; use 'lanczos'.")
    xp = J.xp
    dense = J._operator.to_dense()
    scaled = J._scale[:, None] * (xp.linalg.diagonal(dense)[:, None] * xp.eye(J.n, dtype=dense.dtype) - dense)
    (radius,) = scalars(xp, xp.max(xp.abs(xp.linalg.eigvalsh(scaled * J._scale[None, :]))))
    return radius


def _axelsson_constants(A: Any) -> tuple[float, float, float]:
    """Largest eigenvalues of ``D A^{-1}`` and ``(L D^{-1} L' - D / 4) A^{-1}``, and the condition number of A."""
    diagonal = A.diagonal().real
    if not np.all(diagonal > 0.0):
        raise ValueError(f"`A` is not positive definite: diagonal entry {int(np.argmin(diagonal))} is not positive.")
    n = A.shape[0]
    D = sp.diags_array(diagonal, format="csr")
    L = sp.tril(A, -1, format="csr")
    B = L @ sp.diags_array(1.0 / diagonal) @ L.conj().T - 0.25 * D
    not_definite = ValueError("`A` is not positive definite.")
    if n <= _BOUND_DENSE_LIMIT:
        dense = A.toarray()
        values = np.linalg.eigvalsh(dense)
        if values[0] <= 0.0:
            raise not_definite
        last = (n - 1, n - 1)
        a, b = (float(eigh(C.toarray(), dense, eigvals_only=True, subset_by_index=last)[0]) for C in (D, B))
        return a, b, float(values[-1] / values[0])
    from scipy.sparse.linalg import LinearOperator, eigsh, splu

    symmetric = {"SymmetricMode": True}
    factors = splu(A.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=symmetric)
    # Elimination in symmetric order has positive pivots for positive definite matrices alone.
    if not (np.array_equal(factors.perm_r, factors.perm_c) and np.all(factors.U.diagonal().real > 0.0)):
        raise not_definite
    inverse = LinearOperator(A.shape, matvec=factors.solve, dtype=A.dtype)
    v0 = np.random.default_rng(0).standard_normal(n).astype(A.dtype)
    largest = float(eigsh(A, k=1, which="LA", v0=v0, tol=_BOUND_TOL, return_eigenvectors=False)[0])
    nearest = float(eigsh(inverse, k=1, which="LA", v0=v0, tol=_BOUND_TOL, return_eigenvectors=False)[0])
    # B is shifted by A, and its eigenvalues by 1, since the tolerance is relative to a value that may be near 0.
    a, b = (
        float(eigsh(C, k=1, M=A, Minv=inverse, which="LA", v0=v0, tol=_BOUND_TOL, return_eigenvectors=False)[0])
        for C in (D, B + A)
    )
    return a, b - 1.0, largest * nearest


def _check_hermitian(A: Any, eps: float) -> None:
    """Raise unless `A` is Hermitian up to rounding, `eps` being that of the precision it came in."""
    asymmetry = abs(A - A.conj().T)
    if asymmetry.nnz and asymmetry.max() > 100 * eps * abs(A).max():
        raise ValueError(
            f"`A` must be symmetric (Hermitian): an entry differs from its mirror image by {asymmetry.max():.3g}."
        )


def _check_diagonal(diagonal: Array) -> None:
    signs = np.sign(diagonal)
    if np.any(signs != signs[0]) or signs[0] == 0.0:
        row = int(np.argmax(signs != (signs[0] or 1.0)))
        raise ValueError(
            f"`A` must be definite, and its diagonal entries are zero or of both signs (row {row}: {diagonal[row]:g})."
        )


def _check_ordering(A: Any, ordering: Ordering) -> None:
    """Raise unless rows can be numbered so that neighbours differ by 1, upwards in the order of the rows.

    Such an ordering vector is what makes a matrix consistently ordered; for two colours that of the colours, which only
    has to be odd and even in turn. It is unique up to a constant in each component of the graph, hence found along a
    spanning tree and tested on all edges.
    """
    from scipy.sparse.csgraph import breadth_first_order, connected_components

    n = A.shape[0]
    lower = sp.tril(A, -1, format="coo")
    edge = lower.data != 0.0
    rows, columns = lower.coords[0][edge], lower.coords[1][edge]
    if rows.size == 0:
        return
    graph = sp.csr_array((np.ones(rows.size), (rows, columns)), shape=(n, n))
    _, label = connected_components(graph, directed=False)
    # A new node n joins the components, so that one search visits all of them.
    _, roots = np.unique(label, return_index=True)
    joined = sp.csr_array(
        (np.ones(rows.size + roots.size), (np.append(rows, np.full(roots.size, n)), np.append(columns, roots))),
        shape=(n + 1, n + 1),
    )
    parent = breadth_first_order(joined, n, directed=False)[1].astype(np.int64)
    parent[n] = n
    number = np.sign(np.arange(n + 1) - parent)
    number[roots] = 0
    number[n] = 0
    # Sums along the paths to the root, each round over twice the length.
    while np.any(parent != n):
        number += number[parent]
        parent = parent[parent]
    step = number[rows] - number[columns]
    if np.any(step % 2 == 0):
        row = int(rows[np.argmax(step % 2 == 0)])
        raise ValueError(
            f"`A` is not consistently ordered in any order of its rows, since its graph has a cycle of odd length "
            f"(through row {row}), so that Young's formula does not apply; let a tuner choose the parameter."
        )
    if ordering == "natural" and np.any(step != 1):
        row = int(rows[np.argmax(step != 1)])
        raise ValueError(
            f"`A` is not consistently ordered (row {row} does not fit), so that Young's formula does not apply to "
            "sweeps in the order of its rows; it does to ordering='red-black'."
        )


def _matrix(A: Any) -> tuple[Any, Namespace, float]:
    """Return a square matrix in double precision, CSR or dense, its namespace, and the precision it had."""
    if isinstance(A, Stencil):
        A = A.tocsr()
    if is_linear_operator(A):
        raise TypeError("`A` must be a dense array, a sparse matrix or a Stencil, got a LinearOperator.")
    xp = namespace(A)
    if not (is_sparse(A) or is_array(A)):
        A = np.asarray(A)
    (A,) = promote(A, xp=xp)
    if len(A.shape) != 2 or A.shape[0] != A.shape[1] or A.shape[0] == 0:
        raise ValueError(f"`A` must be square with at least one row, got shape {tuple(A.shape)}.")
    eps = float(xp.finfo(A.dtype).eps)
    double = xp.complex128 if A.dtype in (xp.complex64, xp.complex128) else xp.float64
    if A.dtype != double:
        A = A.astype(double) if is_sparse(A) else xp.astype(A, double)
    if is_sparse(A):
        A = A.tocsr()
    values = A.data if is_sparse(A) else A
    if not bool(xp.all(xp.isfinite(values))):
        raise ValueError("`A` must be finite, got NaN or infinite values.")
    return A, xp, eps


def _host_csr(A: Any) -> Any:
    if not is_sparse(A):
        return sp.csr_array(to_host(A))
    parts = tuple(to_host(part) for part in (A.data, A.indices, A.indptr))
    host = sp.csr_array(parts, shape=A.shape)
    if not host.has_canonical_format:
        host = host.copy()
        host.sum_duplicates()
    return host


def _arrays(*values: Any) -> tuple[Namespace, tuple[Array, ...], Callable[[Array], Any]]:
    """Return numbers and arrays as floating arrays of one library, and what makes a float of a result again."""
    xp = namespace(*values)
    arrays = promote(*values, xp=xp)
    if any(not xp.isdtype(array.dtype, "real floating") for array in arrays):
        raise TypeError("Relaxation parameters and rates must be real.")
    numbers = all(np.ndim(value) == 0 and not is_array(value) for value in values)
    return xp, arrays, (lambda result: float(result)) if numbers else (lambda result: result)


def _check_omega(xp: Namespace, omega: Array) -> None:
    if not bool(xp.all((omega > 0.0) & (omega < 2.0))):
        raise ValueError("`omega` must be in (0, 2), where SOR converges for positive definite matrices.")


def _check_rtol(rtol: float) -> None:
    if not 0.0 < rtol < 1.0:
        raise ValueError(f"`rtol` must be in (0, 1), got {rtol}.")


def _is_complex(xp: Namespace, v: Array) -> bool:
    return bool(xp.isdtype(v.dtype, "complex floating"))


def _unsure(value: float, error: float) -> float:
    """Return the larger end of an interval, unless only that says that the matrix is not definite, and warn."""
    warnings.warn(
        f"The spectral radius of the Jacobi matrix was not found within the limit on products: {value:.6g}, known to "
        f"{error:.1e}.",
        RuntimeWarning,
        stacklevel=4,
    )
    return value + error if value >= 1.0 or value + error < 1.0 else value
