"""Matrices seen as stacks of rows: what row-action methods need of a dense or CSR matrix, under one set of names."""

from typing import Any

from numopt._array import is_sparse
from numopt._typing import Array, Namespace
from numopt.kernels import bind


class DenseRows:
    """Rows of a dense matrix."""

    def __init__(self, A: Array, xp: Namespace) -> None:
        self.A = contiguous(A, xp)
        self.shape = tuple(A.shape)
        self.work = self.A.size  # multiply-adds of a product
        self.norms2: Array = xp.vecdot(self.A, self.A)
        self._xp = xp
        self._kernel = bind(xp).row_kaczmarz

    def project(self, b: Array, norms2: Array, rows: Array, x: Array) -> None:
        """Project x onto the hyperplanes of `rows` in order; `norms2` may be scaled for relaxation."""
        self._kernel(self.A, b, norms2, rows, x)

    def matvec(self, x: Array) -> Array:
        """Return A x."""
        return self.A @ x

    def combine(self, S: Array) -> Array:
        """Return the combinations S A of rows, C-contiguous."""
        return S @ self.A

    def sizes(self) -> Array:
        """Return the 1-norms of the rows, which are 0 on zero rows only; the squares in `norms2` may underflow."""
        return self._xp.sum(self._xp.abs(self.A), axis=1)


class CSRRows:
    """Rows of a CSR matrix; other sparse formats are converted, duplicate entries summed."""

    def __init__(self, A: Any, xp: Namespace) -> None:
        A = A.tocsr()
        if not A.has_canonical_format:
            A = A.copy()
            A.sum_duplicates()
        self.A = A
        self.shape = tuple(A.shape)
        self.work = max(1, A.nnz)
        self._xp = xp
        self.norms2 = self._row_sums(A.multiply(A))
        self._kernel = bind(xp).csr_row_kaczmarz

    def project(self, b: Array, norms2: Array, rows: Array, x: Array) -> None:
        """Project x onto the hyperplanes of `rows` in order; `norms2` may be scaled for relaxation."""
        self._kernel(self.A.data, self.A.indices, self.A.indptr, b, norms2, rows, x)

    def matvec(self, x: Array) -> Array:
        """Return A x."""
        return self.A @ x

    def combine(self, S: Array) -> Array:
        """Return the combinations S A of rows, C-contiguous."""
        return contiguous((self.A.T @ S.T).T, self._xp)

    def sizes(self) -> Array:
        """Return the 1-norms of the rows, which are 0 on zero rows only; the squares in `norms2` may underflow."""
        return self._row_sums(abs(self.A))

    def _row_sums(self, A: Any) -> Array:
        # They come as a matrix, a column or a vector, depending on library and class.
        return self._xp.reshape(self._xp.asarray(A.sum(axis=1)), (-1,))


Rows = DenseRows | CSRRows


def rows_of(A: Any, xp: Namespace) -> Rows:
    """Return the rows of `A`."""
    return CSRRows(A, xp) if is_sparse(A) else DenseRows(A, xp)


def contiguous(A: Array, xp: Namespace) -> Array:
    """Return `A` in C order: itself, or a copy, since flattening must copy what does not lie in that order."""
    return xp.reshape(xp.reshape(A, (-1,)), A.shape)
