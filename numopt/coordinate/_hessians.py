"""Hessians of linear models at a point, A' C A + l2 I: products, Gram matrices, diagonals, and what each of them costs.

C is the second derivative of the loss in the margins, a diagonal for one margin a sample, ``diag(p_i) - p_i p_i'`` for
each sample of the multinomial model. With an intercept the Hessian is the one that is left when the constant is
eliminated, C less its part along the constant vectors.
"""

from abc import ABC, abstractmethod
from typing import Any

from numopt._array import contiguous, is_array, is_numpy, scalars
from numopt._linalg import weighted_gram_dense
from numopt._typing import Array
from numopt.coordinate._design import DenseDesign, SparseDesign
from numopt.coordinate._linear_model import LinearModel
from numopt.coordinate._softmax import Multinomial

__all__ = ["Hessian", "hessian_of"]

# Nanoseconds, one core of a current machine: they decide between methods, so ratios count. An entry in a product (the
# second number for each class), a multiply-add at scattered places, one of a matrix product, an entry of
# a factor in a solution with it, a multiply-add of a Cholesky factor.
_DENSE_ENTRY, _DENSE_CLASS = 0.8, 0.06
_SPARSE_ENTRY, _SPARSE_CLASS = 1.4, 0.6
_SCATTERED = 0.65
_BLAS = 0.03
_SOLVE = 1.0
_CHOLESKY = 0.05
# Softmax, its product and the sums of margins, for each margin.
_MARGIN = 3.0
# Bytes of the scaled rows of which the full Hessian of the multinomial model is put together.
_SLICE_BYTES = 1 << 22


class Hessian(ABC):
    """The Hessian of a linear model at a point.

    Attributes
    ----------
    order : int
        Number of unknowns.
    n_products : int
        Products with A or A' so far.
    product_cost, gram_cost, full_cost : float
        Nanoseconds, estimated, of a product with the Hessian, of one weighted Gram matrix of the columns, and of the
        Cholesky factor of the whole Hessian.
    """

    def __init__(self, problem: LinearModel) -> None:
        self.problem, self.design, self.xp = problem, problem.design, problem.xp
        self.order = problem.n_variables
        self.n_products = 0
        self._gram = gram_of(problem)
        n, p = self.design.shape
        if isinstance(self.design, SparseDesign):
            entry, by_class = _SPARSE_ENTRY, _SPARSE_CLASS
            nnz = self.design.nnz
            # As if all rows were of one length, which is the least that it can be.
            self.gram_cost = _SCATTERED * nnz * (nnz / max(n, 1) + 1) / 2 + p * p
        else:
            entry, by_class = _DENSE_ENTRY, _DENSE_CLASS
            nnz = n * p
            self.gram_cost = nnz * (1.0 + _BLAS * p)
        self.entries_cost, self.class_cost = nnz * entry, nnz * by_class

    @abstractmethod
    def set_point(self, curvature: Array) -> None:
        """Take the second derivatives of the loss at a point."""

    @abstractmethod
    def product(self, v: Array) -> tuple[Array, Array]:
        """Return H v and A v."""

    @abstractmethod
    def shift(self, moved: Array) -> Any:
        """Return the change of the constant that goes with margins A d."""

    @abstractmethod
    def gradient(self, derivative: Array, x: Array) -> Array:
        """Return the gradient from derivatives in the margins."""

    @abstractmethod
    def diagonal(self) -> Array:
        """Return the diagonal of H, without what the elimination of a constant takes off."""

    @abstractmethod
    def full(self) -> Array:
        """Return H."""

    def ridge(self, x: Array) -> Array | float:
        """Return l2 x."""
        return self.problem.l2 * x


class ScalarHessian(Hessian):
    """A' diag(w) A + l2 I, with an intercept A' (diag(w) - w w' / sum(w)) A + l2 I."""

    def __init__(self, problem: LinearModel) -> None:
        super().__init__(problem)
        p = self.order
        self.product_cost = 2 * (self.entries_cost + self.class_cost) + self.design.shape[0]
        self.full_cost = self.gram_cost + _CHOLESKY * p**3 / 3

    def set_point(self, curvature: Array) -> None:
        """Take the second derivatives w."""
        self.weights = curvature
        if self.problem.intercept:
            (total,) = scalars(self.xp, self.xp.sum(curvature))
            self._inverse_total = 1 / total if total > 0 else 0.0

    def product(self, v: Array) -> tuple[Array, Array]:
        """Return H v and A v."""
        moved = self.design.matvec(v)
        weighted = self.weights * moved
        if self.problem.intercept:
            weighted = weighted - (self.xp.sum(weighted) * self._inverse_total) * self.weights
        self.n_products += 2
        return self.design.rmatvec(weighted) + self.ridge(v), moved

    def shift(self, moved: Array) -> Any:
        """Return the change of the constant."""
        return -(self.weights @ moved) * self._inverse_total

    def gradient(self, derivative: Array, x: Array) -> Array:
        """Return A' r + l2 x."""
        self.n_products += 1
        return self.design.rmatvec(derivative) + self.ridge(x)

    def diagonal(self) -> Array:
        """Return sum_i w_i a_ij^2 + l2_j."""
        self.n_products += 1
        return self.problem.add_ridge(self.design.column_squares(self.weights))

    def full(self) -> Array:
        """Return H."""
        H = self._gram(self.weights)
        if self.problem.intercept:
            mean = self.design.rmatvec(self.weights)
            H = H - (mean * self._inverse_total)[:, None] * mean[None, :]
        return self.problem.add_ridge(H)


class MultinomialHessian(Hessian):
    """Products with the margins (n, k) of k classes; unknowns are (p, k), flattened.

    Attributes
    ----------
    is_centered : bool
        Whether the unknowns of a feature have mean zero at the solution: with one l2 for all, since adding the same
        number to each of them changes no probability.
    blocks_cost, blocks_solve_cost : float
        Nanoseconds, estimated, of the Cholesky factors of the blocks of all classes, and of a solution with them.
    """

    problem: Multinomial

    def __init__(self, problem: Multinomial) -> None:
        super().__init__(problem)
        xp, k, n = self.xp, problem.n_classes, self.design.shape[0]
        self.n_classes = k
        ones = xp.empty(0, dtype=problem.dtype, device=problem.device)
        self._sample_weight = ones if problem.sample_weight is None else problem.sample_weight
        self.is_centered = not is_array(problem.l2)
        self.product_cost = 2 * (self.entries_cost + k * self.class_cost) + _MARGIN * n * k
        factor, p = _CHOLESKY * self.order**3 / 3, self.design.shape[1]
        self.blocks_cost = k * (self.gram_cost + _CHOLESKY * p**3 / 3)
        self.blocks_solve_cost = k * p * p * _SOLVE
        if isinstance(self.design, SparseDesign):
            self.full_cost = self.gram_cost * k * (k + 1) / 2 + factor
        else:
            self.full_cost = n * self.order * (1.5 + _BLAS * self.order) + k * self.gram_cost + factor

    def set_point(self, curvature: Array) -> None:
        """Take the probabilities."""
        xp = self.xp
        self.probabilities = curvature
        if self.problem.intercept:
            weighted = self._weighted(curvature)
            totals = xp.sum(weighted, axis=0)
            eye = xp.eye(self.n_classes, dtype=curvature.dtype, device=self.problem.device)
            S = eye * totals[:, None] - xp.matrix_transpose(weighted) @ curvature
            # Constants that are the same for all classes change nothing: the matrix of ones fixes them.
            self._constants = S + xp.sum(totals) * (1 / self.n_classes**2)

    def product(self, v: Array) -> tuple[Array, Array]:
        """Return H v and A V."""
        moved = self.design.matmat(self.xp.reshape(v, self.problem.shape))
        self.n_products += 2
        if self.problem.intercept:
            out = self.curve(moved + self.shift(moved))
        else:
            out = self.curve(moved)
        return self._flat(self.design.rmatmat(out)) + self.ridge(v), moved

    def shift(self, moved: Array) -> Any:
        """Return the change of the constants, one for each class."""
        return self.balance(self.xp.sum(self.curve(moved), axis=0))

    def balance(self, sums: Array) -> Array:
        """Return the change of the constants that takes sums of derivatives over the samples to zero."""
        change = self.eliminated(-sums[:, None])[:, 0]
        return change - self.xp.mean(change)

    def eliminated(self, sums: Array) -> Array:
        """Return the curvature of the objective in the constants, inverted, times columns of sums over the samples."""
        return self.xp.linalg.solve(self._constants, sums)

    def gradient(self, derivative: Array, x: Array) -> Array:
        """Return A' R + l2 x."""
        self.n_products += 1
        return self._flat(self.design.rmatmat(derivative)) + self.ridge(x)

    def class_weights(self, c: int) -> Array:
        """Return the second derivatives in the margins of one class."""
        p = self.probabilities[:, c]
        return self.problem.weighted(p * (1 - p))

    def diagonal(self) -> Array:
        """Return the diagonal of H."""
        xp, design = self.xp, self.design
        p = self.probabilities
        curved = self._weighted(p * (1 - p))
        if isinstance(design, DenseDesign):
            squares = xp.matrix_transpose(design.A * design.A) @ curved
        elif isinstance(design, SparseDesign):
            squares = design.squared().rmatmat(curved)
        else:
            squares = xp.stack([design.column_squares(curved[:, c]) for c in range(self.n_classes)], axis=1)
        self.n_products += 1
        return self.problem.add_ridge(self._flat(squares))

    def class_blocks(self) -> list[Array]:
        """Return the diagonal blocks of H, A' diag(w p_c (1 - p_c)) A + l2 I for each class c."""
        xp, k = self.xp, self.n_classes
        l2 = self.problem.l2
        blocks = []
        for c in range(k):
            H = self._gram(self.class_weights(c))
            part = xp.reshape(l2, self.problem.shape)[:, c] if is_array(l2) else l2
            blocks.append(H + part * xp.eye(H.shape[0], dtype=H.dtype, device=self.problem.device))
        return blocks

    def full(self) -> Array:
        """Return H; its entry ((i, c), (j, e)) is sum_s w_s p_sc (1[c = e] - p_se) a_si a_sj."""
        xp, k, (n, p) = self.xp, self.n_classes, self.design.shape
        P = self.probabilities
        weighted = self._weighted(P)
        if isinstance(self.design, DenseDesign):
            H = xp.zeros((p * k, p * k), dtype=P.dtype, device=self.problem.device)
            rows = max(_SLICE_BYTES // (8 * p * k), 1)
            root = P if self.problem.sample_weight is None else P * xp.sqrt(self.problem.sample_weight)[:, None]
            for start in range(0, n, rows):
                stop = min(start + rows, n)
                part = self.design.A[start:stop, :, None] * root[start:stop, None, :]
                part = xp.reshape(part, (part.shape[0], p * k))
                H -= xp.matrix_transpose(part) @ part
            H = xp.reshape(H, (p, k, p, k))
            for c in range(k):
                H[:, c, :, c] += self._gram(weighted[:, c])
        else:
            H = xp.empty((p, k, p, k), dtype=P.dtype, device=self.problem.device)
            for c in range(k):
                for e in range(c + 1):
                    pair = self._gram(weighted[:, c] * ((1 if c == e else 0) - P[:, e]))
                    H[:, c, :, e] = pair
                    H[:, e, :, c] = pair
        H = xp.reshape(H, (p * k, p * k))
        if self.problem.intercept:
            # Columns of A' C 1: the part along the constants, which their elimination takes off.
            eye = xp.eye(k, dtype=P.dtype, device=self.problem.device)
            parts = [self.curve(xp.broadcast_to(eye[c, :][None, :], (n, k))) for c in range(k)]
            cross = xp.stack([self._flat(self.design.rmatmat(part)) for part in parts], axis=1)
            H = H - cross @ self.eliminated(xp.matrix_transpose(cross))
        return self.problem.add_ridge(H)

    def _weighted(self, values: Array) -> Array:
        return values if self.problem.sample_weight is None else values * self.problem.sample_weight[:, None]

    def curve(self, moved: Array) -> Array:
        """Return C times margins."""
        out = self.xp.empty((moved.shape[0], self.n_classes), dtype=moved.dtype, device=self.problem.device)
        self.problem._kernels.softmax_product(self.probabilities, self._sample_weight, contiguous(moved), out)
        return out

    def _flat(self, X: Array) -> Array:
        return self.xp.reshape(X, (-1,))


def hessian_of(problem: LinearModel) -> Any:
    """Return the Hessian of a model; `set_point` gives it its place."""
    return MultinomialHessian(problem) if isinstance(problem, Multinomial) else ScalarHessian(problem)


def gram_of(problem: LinearModel) -> Any:
    """Return what computes A' diag(w) A: by rows, which for a sparse matrix are formed once."""
    design, xp = problem.design, problem.xp
    if isinstance(design, DenseDesign):
        return lambda weights: weighted_gram_dense(design.A, weights)
    if isinstance(design, SparseDesign) and is_numpy(xp):
        return _RowGram(design)
    return design.gram


class _RowGram:
    """Weighted Gram matrices of a sparse matrix by its rows."""

    def __init__(self, design: SparseDesign) -> None:
        self._design = design
        self._work: Array | None = None

    def __call__(self, weights: Array) -> Array:
        design, xp = self._design, self._design.xp
        n, p = design.shape
        rows = design.rows
        if self._work is None:
            self._work = xp.empty((design.kernels.gram_parts(n, p), p, p), dtype=design.dtype)
        out = xp.empty((p, p), dtype=design.dtype)
        design.kernels.weighted_gram_csr(rows.data, rows.indices, rows.indptr, weights, self._work, out)
        return out
