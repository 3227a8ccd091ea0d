"""The matrix of a linear model, by columns: products, norms, Gram matrices and coordinate descent in any storage."""

import functools
from typing import Any

import numpy as np

from numopt import kernels
from numopt._array import contiguous, device_of, is_linear_operator, is_numpy, is_sparse, namespace
from numopt._core.validation import check_matrix
from numopt._typing import Array, Namespace

__all__ = ["DenseDesign", "Design", "OperatorDesign", "SparseDesign", "as_design"]

# Bytes of a slice of columns that are formed at a time.
_SLICE_BYTES = 1 << 26
# Largest order of a Gram matrix for coordinate descent: dense data, and sparse data with so many entries in a row.
_LARGEST_GRAM = 6000
_LARGEST_SPARSE_GRAM = 1200
_GRAM_ROW = 40.0
# The same where columns are slow in any case: on a GPU.
_LARGEST_DEVICE_GRAM = 20_000
# Bytes of columns that a GPU may take as dense ones for their Gram matrix.
_DENSE_BYTES = 1 << 32


class Design:
    """A matrix A of shape (n, p), whose columns belong to the unknowns.

    Attributes
    ----------
    xp, dtype, device : namespace, dtype, device
        Of the vectors that it is multiplied with.
    shape : tuple of int
        ``(n, p)``.
    is_sparse : bool
        Whether columns are stored by their non-zeros.
    """

    is_sparse = False

    def __init__(self, A: Any, xp: Namespace, dtype: Any, device: Any) -> None:
        self.A, self.xp, self.dtype, self.device = A, xp, dtype, device
        self.shape: tuple[int, int] = (int(A.shape[0]), int(A.shape[1]))
        self.kernels = kernels.bind(xp)

    @property
    def dropping_pays(self) -> bool:
        """Whether products with fewer columns repay their copy: on a GPU they cost little more than a launch."""
        return is_numpy(self.xp)

    @property
    def nnz(self) -> int:
        """Number of stored entries."""
        return self.shape[0] * self.shape[1]

    def gram_pays(self, block: Array | None = None) -> bool:
        """Tell whether coordinate descent with some columns is faster by their Gram matrix, forming it included."""
        return (self.shape[1] if block is None else block.shape[0]) <= _LARGEST_GRAM

    def matvec(self, x: Array) -> Array:
        """Return A x."""
        return self.A @ x

    def matmat(self, X: Array) -> Array:
        """Return A X."""
        return self.A @ X

    def rmatvec(self, v: Array) -> Array:
        """Return A' v."""
        raise NotImplementedError

    def rmatmat(self, V: Array) -> Array:
        """Return A' V."""
        raise NotImplementedError

    def column_squares(self, weights: Array | None = None) -> Array:
        """Return sum_i weights_i a_ij^2 for each column."""
        raise NotImplementedError

    def columns(self, block: Array) -> Array:
        """Return some columns as a dense array of shape (n, t)."""
        raise NotImplementedError

    def gather(self, block: Array) -> "Design":
        """Return the design of some columns, stored together."""
        return DenseDesign(self.columns(block), self.xp, self.dtype, self.device)

    def gram(self, weights: Array | None = None) -> Array:
        """Return A' diag(weights) A as a dense array of shape (p, p)."""
        empty = self.xp.empty((0, 0), dtype=self.dtype, device=self.device)
        return self.extend_gram(empty, weights)

    def extend_gram(self, H: Array, weights: Array | None = None) -> Array:
        """Return `gram` where its leading block is known: `H` is that of the first columns."""
        raise NotImplementedError

    def descend(
        self,
        weights: Array,
        means: Array,
        sums: Array,
        curvature: Array,
        penalty: Array,
        x: Array,
        s: Array,
        offset: Array,
        violations: Array,
    ) -> None:
        """Run coordinate descent as the kernel `csc_descent` says."""
        raise NotImplementedError

    def absolute_row_sums(self, weights: Array | None = None) -> Array:
        """Return sum_l |a_j' diag(weights) a_l| for each j, a slice of columns at a time."""
        xp, (n, p) = self.xp, self.shape
        width = max(1, _SLICE_BYTES // (8 * max(n, p)))
        parts = []
        for start in range(0, p, width):
            block = xp.arange(start, min(start + width, p), device=self.device)
            columns = self.columns(block)
            if weights is not None:
                columns = columns * weights[:, None]
            parts.append(xp.sum(xp.abs(self.rmatmat(columns)), axis=0))
        return xp.concat(parts)

    def _empty(self) -> Array:
        return self.xp.empty(0, dtype=self.dtype, device=self.device)


class DenseDesign(Design):
    """A dense array in either order."""

    def rmatvec(self, v: Array) -> Array:
        """Return A' v."""
        return self.xp.matrix_transpose(self.A) @ v

    def rmatmat(self, V: Array) -> Array:
        """Return A' V."""
        return self.xp.matrix_transpose(self.A) @ V

    def column_squares(self, weights: Array | None = None) -> Array:
        """Return sum_i weights_i a_ij^2 for each column."""
        xp = self.xp
        squares = self.A * self.A
        return xp.sum(squares, axis=0) if weights is None else xp.matrix_transpose(squares) @ weights

    def columns(self, block: Array) -> Array:
        """Return some columns as a dense array of shape (n, t)."""
        if is_numpy(self.xp) and self.A.flags.f_contiguous:
            return self.A.T[block].T  # rows of the transpose are contiguous
        return self.xp.take(self.A, block, axis=1)

    def extend_gram(self, H: Array, weights: Array | None = None) -> Array:
        """Return `gram`; only the new columns are multiplied."""
        xp, first, p = self.xp, H.shape[0], self.shape[1]
        new = self.A[:, first:]
        scaled = new if weights is None else new * weights[:, None]
        border = xp.matrix_transpose(self.A) @ scaled
        if first == 0:
            return border
        out = xp.empty((p, p), dtype=self.dtype, device=self.device)
        out[:first, :first] = H
        out[:, first:] = border
        out[first:, :first] = xp.matrix_transpose(border[:first, :])
        return out

    def descend(
        self,
        weights: Array,
        means: Array,
        sums: Array,
        curvature: Array,
        penalty: Array,
        x: Array,
        s: Array,
        offset: Array,
        violations: Array,
    ) -> None:
        """Run coordinate descent."""
        rows = contiguous(self.xp.matrix_transpose(self.A))
        self.kernels.dense_descent(rows, weights, means, sums, curvature, penalty, x, s, offset, violations)


class SparseDesign(Design):
    """A matrix without duplicate entries, given in CSC or CSR form; the other form is made when it is first needed.

    Products work with the form that is there: their times differ by less than a conversion costs, which is that of
    seven products.
    """

    is_sparse = True

    def __init__(self, A: Any, xp: Namespace, dtype: Any, device: Any) -> None:
        super().__init__(A, xp, dtype, device)
        self._given = A
        if A.format != "csc":
            del self.A  # from here on the property below

    @functools.cached_property
    def A(self) -> Any:
        """The matrix in CSC form."""
        return self._given.tocsc()

    @functools.cached_property
    def rows(self) -> Any:
        """The matrix in CSR form."""
        return self._given if self._given.format == "csr" else self._given.tocsr()

    @property
    def _triple(self) -> tuple[Array, Array, Array]:
        A = self.A
        return A.data, A.indices, A.indptr

    @property
    def _has_columns(self) -> bool:
        return "A" in self.__dict__

    def squared(self) -> "SparseDesign":
        """Return the design of the squares of all entries."""
        A = self._given
        squares = type(A)((A.data * A.data, A.indices, A.indptr), shape=A.shape)
        return SparseDesign(squares, self.xp, self.dtype, self.device)

    @property
    def nnz(self) -> int:
        """Number of stored entries."""
        return int(self._given.data.shape[0])

    def gram_pays(self, block: Array | None = None) -> bool:
        """Tell whether coordinate descent with some columns is faster by their Gram matrix, forming it included.

        A row with k entries takes k^2 / 2 operations; on a GPU, where columns one after the other wait for each other,
        the Gram matrix always pays.
        """
        count = self.shape[1] if block is None else block.shape[0]
        if not is_numpy(self.xp):
            return count <= _LARGEST_DEVICE_GRAM
        if count > _LARGEST_SPARSE_GRAM:
            return False
        lengths = np.diff(self.A.indptr)
        return int((lengths if block is None else lengths[block]).sum()) <= _GRAM_ROW * self.shape[0]

    def matvec(self, x: Array) -> Array:
        """Return A x; of a sparse x only the columns that count are read."""
        if is_numpy(self.xp):
            used = np.flatnonzero(x)
            if used.size == 0:
                return np.zeros(self.shape[0], dtype=self.dtype)
            if 4 * used.size < x.size and self._has_columns:
                return self.A[:, used] @ x[used]
        return self._given @ x

    def matmat(self, X: Array) -> Array:
        """Return A X."""
        return self._given @ X

    def rmatvec(self, v: Array) -> Array:
        """Return A' v."""
        if not self._has_columns:
            return self._given.T @ v
        out = self.xp.empty(self.shape[1], dtype=self.dtype, device=self.device)
        self.kernels.column_dots(*self._triple, contiguous(v), out)
        return out

    def rmatmat(self, V: Array) -> Array:
        """Return A' V."""
        return self._given.T @ V

    def column_squares(self, weights: Array | None = None) -> Array:
        """Return sum_i weights_i a_ij^2 for each column."""
        if not self._has_columns:
            ones = self.xp.ones(self.shape[0], dtype=self.dtype, device=self.device)
            return self.squared().rmatvec(ones if weights is None else weights)
        out = self.xp.empty(self.shape[1], dtype=self.dtype, device=self.device)
        self.kernels.column_squares(*self._triple, self._empty() if weights is None else weights, out)
        return out

    def columns(self, block: Array) -> Array:
        """Return some columns as a dense array of shape (n, t)."""
        return self.A[:, block].toarray(order="F")

    def gather(self, block: Array) -> "SparseDesign":
        """Return the design of some columns, stored together."""
        part = self.A[:, block]
        return SparseDesign(part if part.format == "csc" else part.tocsc(), self.xp, self.dtype, self.device)

    def extend_gram(self, H: Array, weights: Array | None = None) -> Array:
        """Return `gram`; only entries of the new columns are computed."""
        xp, (n, p), first = self.xp, self.shape, H.shape[0]
        if self._multiplies_dense(n * p):
            every = DenseDesign(self.A.toarray(order="F"), xp, self.dtype, self.device)
            return every.extend_gram(H, weights)
        nnz = self.nnz
        out = xp.empty((p, p), dtype=self.dtype, device=self.device)
        out[:first, :first] = H
        starts = xp.empty(n + 1, dtype=xp.int64, device=self.device)
        places = xp.empty(nnz, dtype=xp.int32, device=self.device)
        work = xp.empty(self.kernels.csc_gram_work(n, p, nnz), dtype=self.dtype, device=self.device)
        scale = self._empty() if weights is None else weights
        self.kernels.csc_gram(*self._triple, scale, first, starts, places, work, out)
        return out

    def _multiplies_dense(self, size: int) -> bool:
        """Tell whether a Gram matrix is faster by dense products: on a GPU, as long as the columns fit well."""
        return not is_numpy(self.xp) and 8 * size <= _DENSE_BYTES

    def descend(
        self,
        weights: Array,
        means: Array,
        sums: Array,
        curvature: Array,
        penalty: Array,
        x: Array,
        s: Array,
        offset: Array,
        violations: Array,
    ) -> None:
        """Run coordinate descent."""
        self.kernels.csc_descent(*self._triple, weights, means, sums, curvature, penalty, x, s, offset, violations)


class OperatorDesign(Design):
    """A LinearOperator; columns come from its method `columns(index_array)` or `column(j)`, else from products."""

    def rmatvec(self, v: Array) -> Array:
        """Return A' v."""
        return self.A.rmatvec(v)

    def rmatmat(self, V: Array) -> Array:
        """Return A' V."""
        return self.A.rmatmat(V)

    def column_squares(self, weights: Array | None = None) -> Array:
        """Return sum_i weights_i a_ij^2 for each column, a slice of columns at a time."""
        xp, (n, p) = self.xp, self.shape
        width = max(1, _SLICE_BYTES // (8 * n))
        parts = []
        for start in range(0, p, width):
            part = DenseDesign(
                self.columns(xp.arange(start, min(start + width, p), device=self.device)), xp, self.dtype, self.device
            )
            parts.append(part.column_squares(weights))
        return xp.concat(parts)

    def columns(self, block: Array) -> Array:
        """Return some columns as a dense array of shape (n, t)."""
        xp = self.xp
        if hasattr(self.A, "columns"):
            return xp.asarray(self.A.columns(block), dtype=self.dtype)
        if hasattr(self.A, "column"):
            return xp.stack([xp.asarray(self.A.column(int(j)), dtype=self.dtype) for j in block], axis=1)
        units = xp.zeros((self.shape[1], block.shape[0]), dtype=self.dtype)
        units[block, xp.arange(block.shape[0])] = 1
        return self.A @ units

    def extend_gram(self, H: Array, weights: Array | None = None) -> Array:
        """Return `gram` from the dense columns."""
        every = self.columns(self.xp.arange(self.shape[1], device=self.device))
        return DenseDesign(every, self.xp, self.dtype, self.device).extend_gram(H, weights)


def as_design(A: Any, *, check_finite: bool = True) -> Design:
    """Return the checked matrix of a model: real, floating, sparse ones as CSC without duplicates.

    Raises
    ------
    TypeError
        For anything but a dense array, a sparse matrix or a LinearOperator of real numbers.
    ValueError
        For values that are not finite, or another number of dimensions.
    """
    xp = namespace(A)
    if is_linear_operator(A):
        return OperatorDesign(A, xp, xp.float32 if A.dtype == xp.float32 else xp.float64, None)
    A = check_matrix(A, "A", finite=False, allow_sparse=True)
    if is_sparse(A):
        # Rows in order are kept as they are, on the host: models without l1 norm work with them.
        keep = A.format == "csc" or (A.format == "csr" and is_numpy(xp) and A.has_canonical_format)
        A = A if keep else A.tocsc()
        if not A.has_canonical_format:
            A = A.copy()
            A.sum_duplicates()
        if check_finite:
            _check_finite(xp, A.data)
        return SparseDesign(A, xp, A.dtype, None)
    if check_finite:
        _check_finite(xp, A)
    return DenseDesign(A, xp, A.dtype, device_of(A))


def _check_finite(xp: Namespace, values: Array) -> None:
    """Raise unless all values are finite; their sum tells so in one pass, and only overflow needs the second."""
    if not bool(xp.isfinite(xp.sum(values))) and not bool(xp.all(xp.isfinite(values))):
        raise ValueError("`A` must be finite, got NaN or infinite values.")
