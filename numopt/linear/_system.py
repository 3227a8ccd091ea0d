"""Checked data of one linear system: one dtype, one library, rows in canonical order."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from numopt._array import asarray_like, contiguous, is_array, is_linear_operator, is_sparse, namespace, promote, to_host
from numopt._core.validation import check_scalar
from numopt._linalg import norm
from numopt._operator import as_operator
from numopt._typing import Array, Namespace
from numopt.linear._pattern import Arrangement, Layout, Pattern, pattern_of
from numopt.linear._stencil import Stencil

__all__ = [
    "Rows",
    "System",
    "check_limits",
    "check_rows",
    "check_system",
    "default_rtol",
    "real_dtype",
    "rows_of",
]


@dataclass(frozen=True)
class Rows:
    """A matrix by rows: canonical CSR values and their pattern."""

    data: Array
    pattern: Pattern

    def arrange(self, layout: Layout) -> tuple[Array, Arrangement]:
        """Return the values and the pattern in the order of a layout."""
        arrangement = self.pattern.arrange(layout)
        return arrangement.values(self.data), arrangement

    def diagonal(self) -> Array:
        """Return the diagonal."""
        return namespace(self.data).take(self.data, self.pattern.split, axis=-1)


@dataclass(frozen=True)
class System:
    """``A x = b`` with a start; `A` multiplies vectors, and `Rows` are made of it where they are needed."""

    A: Any
    b: Array
    x0: Array | None
    xp: Namespace
    b_norm: float

    @property
    def n(self) -> int:
        """Number of unknowns."""
        return int(self.b.shape[0])

    def start(self) -> Array:
        """Return the starting point as an array of its own."""
        return self.xp.zeros_like(self.b) if self.x0 is None else self.xp.asarray(self.x0, copy=True)

    def residual(self, x: Array) -> Array:
        """Return ``b - A x``."""
        return self.b - self.A.matvec(x)

    def residual_norm(self, x: Array) -> float:
        """Return ``||b - A x||_2``, with a product of its own."""
        return norm(self.residual(x))


def check_system(A: Any, b: Any, x0: Any, *, check_finite: bool = True, operators: bool = False) -> System:
    """Check a square system and bring its parts to one dtype.

    Raises
    ------
    TypeError
        For arrays of several libraries or of no numbers, or a LinearOperator where rows are needed (`operators` False).
    ValueError
        For shapes that do not fit, no unknowns, or values that are not finite.
    """
    xp = namespace(None if isinstance(A, Stencil) else A, b, x0)
    if is_linear_operator(A) and not operators:
        raise TypeError(
            "`A` must be a dense array, a sparse matrix or a Stencil, since its rows are needed; got a LinearOperator."
        )
    if not (isinstance(A, Stencil) or is_sparse(A) or is_linear_operator(A)):
        A = _dense(A, xp)
    if len(A.shape) != 2 or A.shape[0] != A.shape[1]:
        raise ValueError(f"`A` must be square, got shape {tuple(A.shape)}.")
    n = int(A.shape[0])
    if n == 0:
        raise ValueError("`A` must have at least 1 row, got shape (0, 0).")
    b, x0 = _vector(b, "b", n, xp), None if x0 is None else _vector(x0, "x0", n, xp)
    if isinstance(A, Stencil):
        b, x0, _ = promote(b, x0, A.coefficients[0].item(), xp=xp)
    elif is_linear_operator(A):
        b, x0, _ = promote(b, x0, xp.empty(0, dtype=A.dtype), xp=xp)
        A = as_operator(A)
    else:
        A, b, x0 = promote(A, b, x0, xp=xp)
        A = as_operator(A)
    if check_finite:
        values = A.A.data if getattr(A, "is_sparse", False) else getattr(A, "A", None)
        for name, array in (("A", values), ("b", b), ("x0", x0)):
            if array is not None and is_array(array) and not bool(xp.all(xp.isfinite(array))):
                raise ValueError(f"`{name}` must be finite, got NaN or infinite values.")
    return System(A, b, x0, xp, norm(b))


def rows_of(system: System) -> Rows:
    """Return the rows of the matrix of a system; a ValueError names the first without a diagonal entry."""
    A = system.A.tocsr() if isinstance(system.A, Stencil) else system.A.A
    return csr_rows(A, system.b) if is_sparse(A) else dense_rows(A)


def check_rows(system: System) -> Rows:
    """Return the rows of the matrix of a system; a ValueError names the first whose diagonal entry is zero."""
    rows = rows_of(system)
    check_diagonal(rows)
    return rows


def csr_rows(A: Any, like: Array) -> Rows:
    """Return the rows of a sparse matrix, which is not modified."""
    canonical = A.tocsr()
    if not canonical.has_canonical_format:
        if canonical is A:
            canonical = A.copy()
        canonical.sum_duplicates()
    data = contiguous(namespace(like).astype(canonical.data, like.dtype, copy=False))
    return Rows(data, pattern_of(canonical.indices, canonical.indptr))


def dense_rows(A: Array) -> Rows:
    """Return the rows of a dense matrix, or of several (..., n, n) on the pattern of all of them together.

    The diagonal counts as stored even where it is zero.
    """
    xp, n = namespace(A), int(A.shape[-1])
    stored = A != 0
    if A.ndim == 3:
        stored = xp.any(stored, axis=0)
    mask = to_host(stored)
    mask = mask | np.eye(n, dtype=bool)
    places = np.flatnonzero(mask)
    index = np.int32 if n * n < 2**31 else np.int64
    indices = asarray_like((places % n).astype(index), A)
    indptr = asarray_like(np.append(0, np.cumsum(mask.sum(axis=1))).astype(index), A)
    data = xp.take(xp.reshape(A, (*A.shape[:-2], n * n)), asarray_like(places, A), axis=-1)
    return Rows(data, pattern_of(indices, indptr))


def check_diagonal(rows: Rows) -> None:
    """Raise a ValueError for a zero on the diagonal."""
    xp = namespace(rows.data)
    zero = rows.diagonal() == 0
    if bool(xp.any(zero)):
        row = int(xp.argmax(xp.astype(xp.reshape(zero, (-1,)), xp.int64))) % rows.pattern.n
        raise ValueError(
            f"`A` has a zero on the diagonal in row {row}; relaxation divides by the diagonal: reorder the equations "
            "so that none is zero."
        )


def check_limits(system: System, rtol: float, atol: float, maxiter: int | None) -> tuple[float, int]:
    """Return the target ``max(rtol ||b||, atol)`` and the limit on iterations."""
    rtol = check_scalar(rtol, "rtol", low=0)
    atol = check_scalar(atol, "atol", low=0)
    limit = 10 * system.n if maxiter is None else check_scalar(maxiter, "maxiter", kind=int, low=0)
    return max(rtol * system.b_norm, atol), limit


def default_rtol(b: Array, rtol: float | None) -> float:
    """Return `rtol`, or what the precision of `b` can be asked for."""
    if rtol is not None:
        return rtol
    return 1e-4 if real_dtype(b) == namespace(b).float32 else 1e-8


def real_dtype(x: Array) -> Any:
    """Return the real floating dtype of the precision of `x`."""
    xp = namespace(x)
    return xp.float32 if x.dtype in (xp.float32, xp.complex64) else xp.float64


def _dense(A: Any, xp: Namespace) -> Array:
    if A is None:
        raise TypeError("`A` must be a square matrix, got None.")
    try:
        (A,) = promote(A, xp=xp)
    except (TypeError, ValueError) as error:
        raise TypeError(f"`A` must be a matrix of numbers: {error}") from error
    return A


def _vector(v: Any, name: str, n: int, xp: Namespace) -> Array:
    if is_sparse(v):
        raise TypeError(f"`{name}` must be a dense array, got a sparse matrix; convert with `{name}.toarray()`.")
    try:
        (v,) = promote(v, xp=xp)
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` must be a 1-D array of numbers: {error}") from error
    if v is None:
        raise TypeError(f"`{name}` must be a 1-D array of numbers, got None.")
    if v.ndim == 2 and tuple(v.shape) == (n, 1):  # SciPy's solvers take a column as well
        v = xp.reshape(v, (n,))
    if tuple(v.shape) != (n,):
        raise ValueError(f"`{name}` must have shape ({n},) as `A` has {n} rows, got {tuple(v.shape)}.")
    return contiguous(v)
