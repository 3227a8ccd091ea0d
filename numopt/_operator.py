"""One linear operator for dense arrays, sparse matrices and LinearOperators of NumPy and CuPy.

Solvers take whatever matrix the user has through `as_operator` and then only multiply; nothing here ever forms a dense
copy unless `to_dense` is called.
"""

from typing import Any

from numopt._array import is_array, is_linear_operator, is_sparse, namespace, promote
from numopt._typing import Array, Namespace

__all__ = ["MatrixOperator", "as_operator"]


class MatrixOperator:
    """Products, norms and diagonal of a matrix, whatever its storage.

    Parameters
    ----------
    A : array, sparse matrix or LinearOperator of shape (m, n)
        Dense arrays of NumPy or CuPy; scipy.sparse and cupyx.scipy.sparse matrices and arrays (CSR and CSC are taken as
        they are, other formats become CSR; int32 and int64 indices); LinearOperators of both libraries. Integer and
        boolean matrices become the default float. Not modified and not copied otherwise.

    Attributes
    ----------
    A : array, sparse matrix or LinearOperator
        The wrapped matrix.
    shape : tuple of int
        ``(m, n)``.
    dtype : dtype
        Of the entries.
    xp : module
        The array namespace that vectors must come from.
    is_sparse : bool
        Whether `A` is a sparse matrix.

    Raises
    ------
    TypeError
        If `A` is none of these.
    ValueError
        If `A` is not two-dimensional.

    Notes
    -----
    Cost of a product: that of the library plus about a microsecond for the checks.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from numopt._operator import MatrixOperator
    >>> op = MatrixOperator(sp.csr_array(np.array([[3.0, 0.0], [4.0, 1.0]])))
    >>> op.matvec(np.array([1.0, 1.0])), op.col_norms()
    (array([3., 5.]), array([5., 1.]))
    """

    __slots__ = ("A", "_adjoint", "dtype", "is_sparse", "shape", "xp")

    def __init__(self, A: Any) -> None:
        self.xp: Namespace = namespace(A)
        self.is_sparse: bool = is_sparse(A)
        if not (self.is_sparse or is_array(A) or is_linear_operator(A)):
            raise TypeError(
                "`A` must be a dense array, a sparse matrix or a LinearOperator of NumPy or CuPy, "
                f"got {type(A).__name__}."
            )
        if len(A.shape) != 2:
            raise ValueError(f"`A` must be two-dimensional, got shape {tuple(A.shape)}.")
        if self.is_sparse and A.format not in ("csr", "csc"):
            A = A.tocsr()
        if not is_linear_operator(A):
            (A,) = promote(A, xp=self.xp)
        self.A = A
        self.shape: tuple[int, int] = (int(A.shape[0]), int(A.shape[1]))
        self.dtype = A.dtype
        self._adjoint: Any = None

    def __repr__(self) -> str:
        kind = self.A.format if self.is_sparse else "dense" if is_array(self.A) else "LinearOperator"
        return f"<MatrixOperator of shape {self.shape}, {kind}, dtype {self.dtype}>"

    def matvec(self, x: Array) -> Array:
        """Return ``A x`` for `x` of shape (n,)."""
        self._check(x, 1, self.shape[1], "x")
        return self.A @ x

    def matmat(self, X: Array) -> Array:
        """Return ``A X`` for a dense `X` of shape (n, k)."""
        self._check(X, 2, self.shape[1], "X")
        return self.A @ X

    def rmatvec(self, y: Array) -> Array:
        """Return ``A' y`` (conjugate transpose) for `y` of shape (m,).

        Raises
        ------
        TypeError
            If `A` is a LinearOperator that does not define its adjoint.
        """
        self._check(y, 1, self.shape[0], "y")
        return self._rmul(y, "rmatvec")

    def rmatmat(self, Y: Array) -> Array:
        """Return ``A' Y`` (conjugate transpose) for a dense `Y` of shape (m, k); raises as `rmatvec`."""
        self._check(Y, 2, self.shape[0], "Y")
        return self._rmul(Y, "rmatmat")

    def diag(self) -> Array:
        """Return the main diagonal, of length ``min(m, n)``; a TypeError for a LinearOperator."""
        self._need_entries("diag")
        return self.A.diagonal() if self.is_sparse else self.xp.linalg.diagonal(self.A)

    def col_norms(self) -> Array:
        """Return the 2-norms of the columns, shape (n,); a TypeError for a LinearOperator."""
        return self._norms(0, "col_norms")

    def row_norms(self) -> Array:
        """Return the 2-norms of the rows, shape (m,); a TypeError for a LinearOperator."""
        return self._norms(1, "row_norms")

    def to_dense(self) -> Array:
        """Return the matrix as a dense array of m * n entries (for a LinearOperator by n products).

        The array is `A` itself when that is dense.
        """
        if is_array(self.A):
            return self.A
        if self.is_sparse:
            return self.A.toarray()
        return self.A @ self.xp.eye(self.shape[1], dtype=self.dtype)

    def _rmul(self, y: Array, what: str) -> Array:
        if is_linear_operator(self.A):
            try:
                return getattr(self.A, what)(y)
            except (NotImplementedError, TypeError) as error:
                if self._defines_adjoint():
                    raise
                raise TypeError(
                    "`A` is a LinearOperator without `rmatvec`, and this computation needs the adjoint product; define "
                    "it, for instance LinearOperator(shape, matvec=..., rmatvec=...)."
                ) from error
        xp = self.xp
        if self._adjoint is None:
            self._adjoint = self.A.T if self.is_sparse else xp.matrix_transpose(self.A)
        # conj(A' conj(y)) leaves the matrix alone, where conj(A) would copy it.
        if self._is_complex():
            return xp.conj(self._adjoint @ (xp.conj(y) if xp.isdtype(y.dtype, "complex floating") else y))
        return self._adjoint @ y

    def _defines_adjoint(self) -> bool:
        """Tell whether a LinearOperator can `rmatvec`; its `rmatmat` fails in ways of its own when it cannot."""
        try:
            self.A.rmatvec(self.xp.zeros(self.shape[0], dtype=self.dtype))
        except NotImplementedError:
            return False
        return True

    def _norms(self, axis: int, what: str) -> Array:
        self._need_entries(what)
        xp = self.xp
        if not self.is_sparse:
            return xp.linalg.vector_norm(self.A, axis=axis)
        squares = self.A.copy()
        # Duplicate entries add up in every product, so they must add up before they are squared.
        squares.sum_duplicates()
        squares.data = xp.real(xp.conj(squares.data) * squares.data) if self._is_complex() else squares.data**2
        return xp.sqrt(xp.reshape(xp.asarray(squares.sum(axis=axis)), (-1,)))

    def _is_complex(self) -> bool:
        return self.dtype in (self.xp.complex64, self.xp.complex128)

    def _need_entries(self, what: str) -> None:
        if is_linear_operator(self.A):
            raise TypeError(f"`A` is a LinearOperator, which has no `{what}`; pass a dense array or a sparse matrix.")

    def _check(self, v: Any, ndim: int, length: int, name: str) -> None:
        if not is_array(v):
            raise TypeError(f"`{name}` must be a dense array, got {type(v).__name__}.")
        if v.ndim != ndim or v.shape[0] != length:
            expected = f"({length},)" if ndim == 1 else f"({length}, k)"
            raise ValueError(
                f"`{name}` has shape {tuple(v.shape)} but `A` has shape {self.shape}; expected {expected}."
            )
        if namespace(v) is not self.xp:
            namespace(v, self.A)  # raises with the names of both libraries


def as_operator(A: Any) -> MatrixOperator:
    """Return `A` wrapped in a `MatrixOperator`, or `A` itself when it is one.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt._operator import as_operator
    >>> op = as_operator(np.eye(2))
    >>> as_operator(op) is op
    True
    """
    return A if isinstance(A, MatrixOperator) else MatrixOperator(A)
