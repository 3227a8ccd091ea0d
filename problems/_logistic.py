"""Logistic regression on the unit sphere with linear constraints.

The regression problem of Hong, Na, Mahoney, Kolar, "Constrained Optimization via Exact Augmented Lagrangian and
Randomized Iterative Sketching", ICML 2023, with derivatives in closed form.
"""

import os
from typing import Self

import numpy as np

from numopt import kernels
from numopt._array import asarray_like, device_of, is_cupy, is_sparse, namespace, promote
from numopt._linalg import weighted_gram_dense
from numopt._rng import default_rng
from numopt._typing import Array, RNGLike
from numopt.problems import libsvm
from numopt.problems._base import Problem

_N_ROWS = 10
_MAX_DRAWS = 1000

# The paper maps the columns of these to [-1, 1]; the embedded sets come scaled already.
_SCALED = frozenset({"splice"})

# Nanoseconds that a Hessian takes on one thread, measured on splice, digits, phishing, ijcnn1, mushrooms, a9a and w8a:
# of the kernel for each multiply-add, of the dense product for each entry (reading and scaling it, then for each of the
# n columns that it is multiplied with). The rule agrees with the clock on all seven: dense for splice and digits.
_NS_CSR = 0.55
_NS_DENSE, _NS_DENSE_COLUMN = 3.0, 0.025
_GPU_DENSE_BYTES = 2**30


class ConstrainedLogisticRegression(Problem):
    """Logistic regression with linear constraints and coefficients of norm one.

    Minimises ``(1/N) sum_i log(1 + exp(-y_i a_i' x))`` over x in R^n subject to ``A x = b`` and ``||x||^2 = 1``.

    Parameters
    ----------
    X : array of shape (n_samples, n) or CSR matrix
        The data, one row ``a_i'`` a sample; NumPy or CuPy. Not modified, not copied unless its dtype has to change.
    y : array of shape (n_samples,)
        Labels, +1 and -1 for a regression in the usual sense; any numbers are taken as they are.
    A : array of shape (k, n)
        Linear constraints.
    b : array of shape (k,)
        Their right-hand sides.
    name : str, default "logistic"
        The problem's name.
    source : str, default ""
        Where the data come from.

    Raises
    ------
    TypeError
        If the arrays come from two libraries or are complex.
    ValueError
        If shapes do not fit, an array holds NaN or infinity, or there are more constraints than variables.

    Notes
    -----
    ``x0 = ones(n)`` and ``y0 = ones(k + 1)`` as in the paper [1]_; the Hessian of the last constraint is ``2 I``. The
    problem has feasible points only if the minimum-norm solution of ``A x = b`` has norm at most 1.

    One evaluation of f and its gradient costs two products with `X`; the Hessian ``X' D X / N`` costs half the sum of
    the squared row lengths in multiply-adds (w8a, 49749 x 300: 1.8 ms and 4.2 ms on one thread). Rows with many entries
    are multiplied by BLAS instead, on a dense copy of `X`, where measured constants say that it is faster. Products
    with the Hessian do not form it. With CuPy arrays everything is evaluated, taken and returned on the device.

    References
    ----------
    .. [1] Hong, Na, Mahoney, Kolar, "Constrained Optimization via Exact Augmented Lagrangian and Randomized Iterative
           Sketching", ICML 2023.

    Examples
    --------
    >>> from numopt.problems import ConstrainedLogisticRegression
    >>> problem = ConstrainedLogisticRegression.from_dataset("breast_cancer")
    >>> problem.n, problem.m, problem.lag_hess(problem.x0, problem.y0).shape
    (30, 11, (30, 30))
    """

    def __init__(self, X: Array, y: Array, A: Array, b: Array, *, name: str = "logistic", source: str = "") -> None:
        self._xp = xp = namespace(X, y, A, b)
        X, y, A, b = _checked(X, y, A, b)
        n_samples, n = X.shape
        m = b.shape[0] + 1
        if m > n:
            raise ValueError(f"{m} constraints are too many for {n} variables.")
        super().__init__(
            name=name,
            x0=np.ones(n),
            m=m,
            y0=np.ones(m),
            is_linear=np.arange(m) < m - 1,
            classification=f"OQR2-RN-{n}-{m}",
            source=source,
        )
        self.x0, self.y0 = asarray_like(self.x0, A), asarray_like(self.y0, A)
        self.n_samples = n_samples
        self._kernels = kernels.bind(xp)
        self._dense = not is_sparse(X) or _dense_is_faster(X)
        self._X = X.toarray() if self._dense and is_sparse(X) else X
        self._XT = self._X.T
        # The kernels want contiguous arrays.
        self._y, self._b = xp.asarray(y, copy=True), b
        # The Jacobian with a last row to be filled in.
        self._J = xp.zeros((m, n), device=device_of(b))
        self._J[:-1] = A
        self._terms = tuple(xp.empty_like(self._y) for _ in range(3))
        self._terms_at: Array = None
        self._gram: Array = None
        self._gram_at: Array = None
        self._work: Array = None

    @classmethod
    def from_dataset(
        cls,
        name: str,
        draw: RNGLike = 0,
        labels: libsvm.Labels = "pm1",
        *,
        path: str | os.PathLike[str] | None = None,
        download: bool = True,
    ) -> Self:
        """Build the problem from a known data set and random linear constraints, as the paper does.

        Parameters
        ----------
        name : str
            A binary set of `libsvm.find`; 'splice' is scaled to [-1, 1] by columns, others are taken as loaded.
        draw : None, int, SeedSequence, BitGenerator or Generator, default 0
            Random source of `A` (10 rows) and `b`: `A`, then `b`, standard normal, both redrawn while the
            minimum-norm solution of ``A x = b`` has norm 1 or more.
        labels : {'pm1', 'raw'}, default 'pm1'
            Labels -1 and +1, or those of the file (the paper's runs used them as they were: 0 and 1 for phishing, 1
            and 2 for mushrooms).
        path : str or path, optional
            Read this file as the set `name`.
        download : bool, default True
            Whether the LIBSVM site may be asked.

        Returns
        -------
        ConstrainedLogisticRegression
            The problem on the host.

        Raises
        ------
        FileNotFoundError
            If the set is missing (see `libsvm.load`).
        ValueError
            If it is not binary, or has fewer than 11 columns.

        Examples
        --------
        >>> from numopt.problems import ConstrainedLogisticRegression
        >>> ConstrainedLogisticRegression.from_dataset("digits", draw=3).name
        'digits'
        """
        data = libsvm.load(name, path=path, labels=labels, download=download)
        if data.label_map is None:
            raise ValueError(f"{name!r} is not a set with two labels.")
        X = libsvm.scale_columns(data.X) if name in _SCALED else data.X
        A, b = _draw_constraints(data.n_features, default_rng(draw))
        origin = "scikit-learn" if data.source == "scikit-learn" else "LIBSVM"
        return cls(X, data.y, A, b, name=data.name, source=f"{origin}, labels={labels}, draw={draw}")

    def to_gpu(self) -> Self:
        """Return the same problem on the current CUDA device.

        Returns
        -------
        ConstrainedLogisticRegression
            With CuPy arrays in and out.

        Raises
        ------
        ImportError
            If CuPy is not installed.
        """
        import cupy
        from cupyx.scipy.sparse import csr_matrix

        X = csr_matrix(self._X) if is_sparse(self._X) else cupy.asarray(self._X)
        moved = (cupy.asarray(part) for part in (self._y, self._J[:-1], self._b))
        return type(self)(X, *moved, name=self.name, source=self.source)

    def _fun(self, x: Array) -> float:
        return float(self._terms_of(x)[0].mean())

    def _grad(self, x: Array) -> Array:
        return self._XT @ self._terms_of(x)[1] / self.n_samples

    def _cons(self, x: Array) -> Array:
        values = self._xp.empty_like(self.y0)
        values[:-1] = self._J[:-1] @ x - self._b
        values[-1] = x @ x - 1.0
        return values

    def _jac(self, x: Array) -> Array:
        J = self._J.copy()
        J[-1] = 2.0 * x
        return J

    def _lag_hess(self, x: Array, lam: Array, obj_weight: float) -> Array:
        if obj_weight == 0.0:
            H = self._xp.zeros((self.n, self.n), device=device_of(self._b))
        else:
            H = obj_weight * self._gram_of(x)
        H.reshape(-1)[:: self.n + 1] += 2.0 * lam[-1]
        return H

    def _lag_hessp(self, x: Array, lam: Array, v: Array, obj_weight: float) -> Array:
        product = self._XT @ (self._terms_of(x)[2] * (self._X @ v))
        return obj_weight / self.n_samples * product + 2.0 * lam[-1] * v

    def _as_vector(self, value: Array) -> Array:
        if type(value) is type(self._b) and value.dtype == self._b.dtype:
            return value  # what a solver passes: small problems notice the conversion
        return asarray_like(value, self._b, dtype=self._b.dtype)

    def _terms_of(self, x: Array) -> tuple[Array, ...]:
        """Loss, residual and weight of each sample; the base class hands out one and the same `x` for one point."""
        if self._terms_at is not x:
            self._kernels.logistic_terms(self._X @ x, self._y, *self._terms)
            self._terms_at = x
        return self._terms

    def _gram_of(self, x: Array) -> Array:
        """The Hessian of f, ``X' diag(weight) X / N``, kept for other multipliers at the same point."""
        if self._gram_at is x:
            return self._gram
        weight = self._terms_of(x)[2] / self.n_samples
        if self._dense:
            self._gram = weighted_gram_dense(self._X, weight)
        else:
            if self._work is None:
                parts = self._kernels.gram_parts(self.n_samples, self.n)
                self._work = self._xp.empty((parts, self.n, self.n))
                self._gram = self._xp.empty((self.n, self.n))
            X = self._X
            self._kernels.weighted_gram_csr(X.data, X.indices, X.indptr, weight, self._work, self._gram)
        self._gram_at = x
        return self._gram


def _checked(X: Array, y: Array, A: Array, b: Array) -> tuple[Array, ...]:
    """The data as float64 arrays of one library (CSR if `X` is sparse) with shapes that fit."""
    xp = namespace(X, y, A, b)
    for name, array in (("X", X), ("y", y), ("A", A), ("b", b)):
        if getattr(getattr(array, "dtype", None), "kind", "") == "c":
            raise TypeError(f"`{name}` must be real, got dtype {array.dtype}.")
    promoted = promote(X.tocsr() if is_sparse(X) else X, y, A, b, xp=xp)
    X, y, A, b = (array.astype(xp.float64, copy=False) for array in promoted)
    if is_sparse(X) and not X.has_canonical_format:
        # The kernels count on an index occurring once in a row.
        X = X.copy()
        X.sum_duplicates()
    for name, array, ndim in (("X", X, 2), ("y", y, 1), ("A", A, 2), ("b", b, 1)):
        if array.ndim != ndim:
            raise ValueError(f"`{name}` must have {ndim} dimension{'s' * (ndim > 1)}, got shape {array.shape}.")
        if not bool(xp.all(xp.isfinite(array.data if is_sparse(array) else array))):
            raise ValueError(f"`{name}` holds NaN or infinity.")
    if y.shape[0] != X.shape[0] or X.shape[0] == 0:
        raise ValueError(f"`X` has shape {X.shape} but `y` has shape {y.shape}; expected len(y) == X.shape[0] > 0.")
    if A.shape[1] != X.shape[1]:
        raise ValueError(f"`A` has shape {A.shape} but `X` has shape {X.shape}; expected as many columns.")
    if b.shape[0] != A.shape[0]:
        raise ValueError(f"`b` has shape {b.shape} but `A` has shape {A.shape}; expected len(b) == A.shape[0].")
    return X, y, A, b


def _dense_is_faster(X: Array) -> bool:
    """Whether BLAS on a dense copy beats the sparse kernel for the Hessian."""
    n_samples, n = X.shape
    if is_cupy(namespace(X)):
        # On an H100 the dense product takes 0.08 to 0.30 ms on phishing to w8a, the kernel 0.10 to 0.59 ms.
        return bool(8 * n_samples * n <= _GPU_DENSE_BYTES)
    lengths = X.indptr[1:] - X.indptr[:-1]
    multiply_adds = float((lengths * (lengths + 1.0)).sum()) / 2.0
    dense = n_samples * n * (_NS_DENSE + _NS_DENSE_COLUMN * n)
    return bool(dense < _NS_CSR * multiply_adds)


def _draw_constraints(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Standard normal `A` and `b`, drawn until the constraints have a point inside the unit ball."""
    if n <= _N_ROWS:
        raise ValueError(f"{_N_ROWS} linear constraints and the sphere need more than {_N_ROWS} columns, got {n}.")
    for _ in range(_MAX_DRAWS):
        A = rng.standard_normal((_N_ROWS, n))
        b = rng.standard_normal(_N_ROWS)
        if np.linalg.norm(np.linalg.lstsq(A, b)[0]) < 1.0:
            return A, b
    raise ValueError(f"none of {_MAX_DRAWS} draws of constraints for {n} columns has a point inside the unit ball.")
