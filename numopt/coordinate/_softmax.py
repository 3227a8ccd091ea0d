"""Multinomial logistic regression with penalties."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from numopt import kernels
from numopt._array import contiguous, is_array, scalars, to_host
from numopt._typing import Array, Namespace
from numopt.coordinate._design import Design
from numopt.coordinate._linear_model import LinearModel, LinearPoint, design_of, total
from numopt.coordinate._problem import Problem, largest

__all__ = ["Multinomial", "MultinomialPoint"]

# Newton steps on the constants, a convex problem of few unknowns.
_INTERCEPT_STEPS = 50


class Multinomial(LinearModel):
    """Multinomial logistic loss, ``sum_i w_i (logsumexp(m_i) - m_i[y_i])`` for ``m = A X + intercept``, with penalties.

    Parameters
    ----------
    A : array, sparse matrix or LinearOperator of shape (n_samples, n_features)
        As for `LeastSquares`.
    Y : array of shape (n_samples,)
        Classes as integers 0, 1, ..., n_classes - 1; each must occur.
    sample_weight : array of shape (n_samples,), optional
        Non-negative weights of the samples.
    l1, l2 : float or array of shape (n_features, n_classes), default 0
        Weights of ``|x_j|`` and of ``x_j^2 / 2``.
    nonneg : bool, default False
        Demand ``x >= 0``.
    bounds : pair (lower, upper) or scipy.optimize.Bounds, optional
        Bounds on x, as for `LeastSquares`.
    groups : sequence of int arrays, optional
        Disjoint groups of the flattened unknowns (feature * n_classes + class) that cover them all, whose norms `l1`
        then weighs.
    group_weights : array of shape (n_groups,), optional
        Weights of the groups, ones by default.
    intercept : bool, default False
        Fit a constant as well, without penalty.
    check_finite : bool, default True
        Look for NaN and infinite values in the data.

    Raises
    ------
    TypeError, ValueError
        As from `LeastSquares`; ValueError also for labels that are no such integers, or one class only.

    See Also
    --------
    multinomial : Builds it and solves it.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import Multinomial, bcd
    >>> A = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    >>> res = bcd(Multinomial(A, np.array([0, 1, 2]), l2=0.1))
    >>> res.x.shape, np.argmax(A @ res.x, axis=1)
    ((2, 3), array([0, 1, 2]))
    """

    has_one_bound = False  # those of blocks count the classes in them

    def __init__(
        self,
        A: Any,
        Y: Any,
        sample_weight: Any = None,
        *,
        l1: Any = 0.0,
        l2: Any = 0.0,
        nonneg: bool = False,
        bounds: Any = None,
        groups: Sequence[Any] | None = None,
        group_weights: Any = None,
        intercept: bool = False,
        check_finite: bool = True,
    ) -> None:
        design, xp = design_of(A, Y, check_finite)
        labels, self.n_classes = _classes(Y, xp, design)
        self._kernels = kernels.bind(xp)
        self.design, self.y, self.intercept = design, labels, bool(intercept)
        like = xp.empty(0, dtype=design.dtype, device=design.device)
        features = design.shape[1]
        Problem.__init__(
            self, like, xp, features * self.n_classes, shape=(features, self.n_classes), l1=l1, l2=l2, nonneg=nonneg,
            bounds=bounds, groups=groups, group_weights=group_weights,
        )  # fmt: skip
        self.sample_weight = self._sample_weight(sample_weight)

    _curvature_bound = 0.25

    def loss_terms(self, margins: Array) -> tuple[float, Array, Array]:
        """Return the loss, its derivatives (n_samples, n_classes) in the margins, and the probabilities."""
        xp = self.xp
        loss = xp.empty(margins.shape[0], dtype=self.dtype, device=self.device)
        margins = contiguous(margins)  # products with sparse matrices may come by columns
        probabilities = xp.empty_like(margins)
        self._kernels.softmax_terms(margins, self.y, loss, probabilities)
        derivative = probabilities - self.indicators
        if self.sample_weight is not None:
            derivative = derivative * self.sample_weight[:, None]
        return total(xp, self.weighted(loss)), derivative, probabilities

    @functools.cached_property
    def indicators(self) -> Array:
        """The classes as rows of zeros and a one."""
        classes = self.xp.arange(self.n_classes, device=self.device)
        return self.xp.astype(self.y[:, None] == classes[None, :], self.dtype)

    @functools.cached_property
    def lipschitz(self) -> Array:
        """Bounds ||a_i||^2 / 4 + l2."""
        xp = self.xp
        squares = self.design.column_squares(self.curvature)
        return self.add_ridge(xp.reshape(xp.broadcast_to(squares[:, None], self.shape), (-1,)))

    @functools.cached_property
    def gershgorin(self) -> Array:
        """Row sums of absolute values of the bound on the Hessian, l2 included."""
        xp, k = self.xp, self.n_classes
        weights = 4 * self.curvature
        sums = self.design.absolute_row_sums(weights) * ((1 - 1 / k) / 2 + (k - 1) / (2 * k))
        return self.add_ridge(xp.reshape(xp.broadcast_to(sums[:, None], self.shape), (-1,)))

    @functools.cached_property
    def cubic(self) -> Array:
        """Bounds on the third derivatives along the coordinates."""
        xp, design = self.xp, self.design
        columns = xp.abs(design.columns(xp.arange(design.shape[1], device=self.device)))
        cubes = xp.sum(columns**3 * (4 * self.curvature)[:, None], axis=0) / (6 * math.sqrt(3))
        return xp.reshape(xp.broadcast_to(cubes[:, None], self.shape), (-1,))

    def block_cubic(self, block: Array) -> float:
        """Return sum_i w_i ||a_ib||^3 / (6 sqrt 3) over the features of a block, times 2 sqrt 2 for several classes."""
        xp = self.xp
        features, classes = self._features(block)
        norms = xp.linalg.vector_norm(self.design.columns(xp.unique_values(features)), axis=1)
        several = xp.unique_values(classes).shape[0] > 1
        bound = scalars(xp, xp.sum(self.weighted(norms**3)))[0] / (6 * math.sqrt(3))
        return bound * 2 * math.sqrt(2) if several else bound

    def block_bound(self, block: Array) -> Array:
        """Return H_b with the entries s_ce a_i' a_j of 2.1, for as few classes as the block holds."""
        xp = self.xp
        features, classes = self._features(block)
        columns = self.design.columns(features)
        gram = xp.matrix_transpose(columns) @ (columns * (4 * self.curvature)[:, None])
        q = min(self.n_classes, xp.unique_values(classes).shape[0] + 1)
        same = xp.astype(classes[:, None] == classes[None, :], self.dtype)
        return self.add_ridge(gram * (0.5 * same - 1 / (2 * q)), block)

    def bound_product(self, d: Array) -> Array:
        """Return H d, H = (I - 1 1' / k) / 2 times A' diag(w) A, + l2 I."""
        xp = self.xp
        products = self.design.matmat(xp.reshape(d, self.shape)) * (4 * self.curvature)[:, None]
        products = 0.5 * (products - xp.mean(products, axis=1, keepdims=True))
        return xp.reshape(self.design.rmatmat(products), (-1,)) + self.l2 * d

    @property
    def has_dual(self) -> bool:
        """Whether a lower bound is known: with penalties that hold every unknown, and no intercept."""
        return not self.intercept and super().has_dual

    def margins(self, x: Array, intercept: Any = 0.0) -> Array:
        """Return A X + intercept, (n_samples, n_classes)."""
        margins = self.design.matmat(self.xp.reshape(x, self.shape))
        return margins + intercept if self.intercept else margins

    def point(self, x: Array | None = None, intercept: Any = None) -> "MultinomialPoint":
        """Return a movable point."""
        xp = self.xp
        start = self.origin() if x is None else self.penalty.project(xp.asarray(x, copy=True))
        if intercept is None:
            intercept = xp.zeros(self.n_classes, dtype=self.dtype, device=self.device) if self.intercept else 0.0
        return MultinomialPoint(self, start, intercept)

    def fit_intercept(self, margins: Array, intercept: Any) -> tuple[Any, Array]:
        """Return the best constants, with mean zero, and the margins with them: Newton with the matrix of 2.1."""
        xp, k = self.xp, self.n_classes
        value, derivative, _ = self.loss_terms(margins)
        shift = xp.zeros(k, dtype=self.dtype, device=self.device)
        total = scalars(xp, xp.sum(4 * self.curvature))[0]
        eps = float(xp.finfo(self.dtype).eps)
        for _ in range(_INTERCEPT_STEPS):
            slope = xp.sum(derivative, axis=0)
            if not largest(xp, slope) > 4 * eps * total:
                break
            probabilities = xp.exp(margins + shift - xp.max(margins + shift, axis=1, keepdims=True))
            probabilities = probabilities / xp.sum(probabilities, axis=1, keepdims=True)
            weighted = probabilities if self.sample_weight is None else probabilities * self.sample_weight[:, None]
            diagonal = xp.eye(k, dtype=self.dtype, device=self.device) * xp.sum(weighted, axis=0)[:, None]
            H = diagonal - xp.matrix_transpose(weighted) @ probabilities
            # Constants that are the same for all classes change nothing: the matrix of ones fixes them.
            step = xp.linalg.solve(H + total * (1 / k**2 + eps), -slope[:, None])[:, 0]
            step = step - xp.mean(step)
            length = 1.0
            while length > 1e-10 and self.loss(margins + (shift + length * step)) > value:
                length *= 0.5
            shift = shift + length * step
            new, derivative, _ = self.loss_terms(margins + shift)
            if not new < value:
                break
            value = new
        return intercept + shift, margins + shift

    def _correlations(self, derivative: Array) -> Array:
        return self.xp.reshape(self.design.rmatmat(derivative), (-1,))

    def _constant_gradient(self, derivative: Array) -> Array:
        return self.xp.sum(derivative, axis=0)

    def _conjugate(self, derivative: Array, t: float) -> float:
        xp = self.xp
        if self.sample_weight is None:
            unweighted = derivative
        else:
            w = xp.where(self.sample_weight > 0, self.sample_weight, xp.ones_like(self.sample_weight))
            unweighted = derivative / w[:, None]
        share = xp.maximum(self.indicators + t * unweighted, xp.zeros_like(derivative))
        tiny = float(xp.finfo(self.dtype).smallest_normal)
        entropy = xp.sum(share * xp.log(xp.where(share > tiny, share, xp.ones_like(share))), axis=1)
        return -total(xp, self.weighted(entropy))

    def _features(self, block: Array) -> tuple[Array, Array]:
        return block // self.n_classes, block % self.n_classes


class MultinomialPoint(LinearPoint):
    """A point of the multinomial model: tracks the margins, one for each sample and class."""

    problem: Multinomial

    @property
    def gradient(self) -> Array:
        """The gradient of f."""
        if self._gradient is None:
            self._gradient = self.problem._correlations(self.derivative) + self.problem.l2 * self.x
        return self._gradient

    def gradient_block(self, block: Array) -> Array:
        """Return the entries of the gradient in a block."""
        return self.problem.xp.take(self.gradient, block)

    def hessian_block(self, block: Array) -> Array:
        """Return the Hessian of f at x within a block."""
        problem, xp = self.problem, self.problem.xp
        classes = block % problem.n_classes
        self._loss_terms()
        columns = self._columns(block)
        p = xp.take(self._curvature, classes, axis=1)
        weighted = columns * p
        if problem.sample_weight is not None:
            weighted = weighted * problem.sample_weight[:, None]
        same = xp.astype(classes[:, None] == classes[None, :], problem.dtype)
        H = same * (xp.matrix_transpose(columns) @ weighted) - xp.matrix_transpose(columns * p) @ weighted
        return problem.add_ridge(H, block)

    def hessian_diagonal(self) -> Array:
        """Return the diagonal of the Hessian of f at x."""
        problem, xp = self.problem, self.problem.xp
        self._loss_terms()
        p = self._curvature
        classes = [problem.weighted(p[:, c] * (1 - p[:, c])) for c in range(problem.n_classes)]
        squares = xp.stack([problem.design.column_squares(weights) for weights in classes], axis=1)
        return problem.add_ridge(xp.reshape(squares, (-1,)))

    def _columns(self, block: Array) -> Array:
        if self._cached is None or self._cached[0] is not block:
            self._cached = (block, self.problem.design.columns(block // self.problem.n_classes))
        return self._cached[1]

    def _shift(self, block: Array, d: Array) -> Array:
        problem, xp = self.problem, self.problem.xp
        classes = block % problem.n_classes
        picks = xp.astype(classes[:, None] == xp.arange(problem.n_classes, device=problem.device), problem.dtype)
        return self._columns(block) @ (picks * d[:, None])


def _classes(Y: Any, xp: Namespace, design: Design) -> tuple[Array, int]:
    host = to_host(Y) if is_array(Y) else np.asarray(Y)
    if host.ndim != 1 or host.shape[0] != design.shape[0]:
        raise ValueError(f"`Y` must have shape ({design.shape[0]},), got {host.shape}.")
    if host.dtype.kind not in "iuf" or not np.all(host == np.floor(host)):
        raise ValueError("`Y` must hold the integers 0, 1, ..., n_classes - 1.")
    labels = host.astype(np.int64)
    present = np.unique(labels)
    if present.size < 2:
        raise ValueError("`Y` must hold at least two classes.")
    if present[0] != 0 or present[-1] != present.size - 1:
        raise ValueError(f"`Y` must hold the integers 0 to n_classes - 1, got {present[:5].tolist()}...")
    return xp.asarray(labels, device=design.device), int(present.size)
