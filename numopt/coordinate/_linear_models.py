"""Losses of linear models, sum_i w_i phi(a_i' x + intercept; y_i): least squares, logistic and multinomial."""

import copy
import functools
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from numopt import kernels
from numopt._array import add_at, contiguous, is_array, is_linear_operator, is_sparse, namespace, scalars, to_host
from numopt._core.validation import check_vector
from numopt._typing import Array, Namespace
from numopt.coordinate._design import Design, as_design
from numopt.coordinate._penalty import Penalty
from numopt.coordinate._problem import Certificate, Point, Problem, largest

__all__ = ["LeastSquares", "LinearModel", "LinearPoint", "Logistic", "Multinomial", "MultinomialPoint"]

# Units of rounding by which a computed gradient may be off, in sums of products.
_ROUNDING = 16.0
# What is known of each column.
_BY_COLUMN = ("lipschitz", "column_norms", "column_sums")
# Newton steps on an intercept, which has one dimension and a convex loss.
_INTERCEPT_STEPS = 50


class LinearModel(Problem):
    """A problem whose smooth part is a loss of A x + intercept; the common part of the models.

    Attributes
    ----------
    design : Design
        The matrix A.
    y : array of shape (n_samples,)
        Targets as the loss takes them.
    sample_weight : array of shape (n_samples,) or None
        The w_i.
    """

    has_one_bound = True

    def __init__(self, design: Design, y: Array, sample_weight: Any, *, intercept: bool, **options: Any) -> None:
        self.design, self.y = design, y
        if not isinstance(intercept, bool | np.bool_):
            raise TypeError(f"`intercept` must be a bool, got {intercept!r}.")
        self.intercept = bool(intercept)
        like = design.xp.empty(0, dtype=design.dtype, device=design.device)
        super().__init__(like, design.xp, design.shape[1], **options)
        self.sample_weight = self._sample_weight(sample_weight)

    @abstractmethod
    def loss_terms(self, margins: Array) -> tuple[float, Array, Array]:
        """Return the loss summed over the samples, its derivatives and its second derivatives in the margins."""

    def loss(self, margins: Array) -> float:
        """Return the loss alone."""
        return self.loss_terms(margins)[0]

    @functools.cached_property
    def curvature(self) -> Array:
        """Bounds on the second derivatives of the loss in each margin."""
        ones = self.xp.ones(self.design.shape[0], dtype=self.dtype, device=self.device)
        return (ones if self.sample_weight is None else self.sample_weight) * self._curvature_bound

    _curvature_bound = 1.0

    def weighted(self, values: Array) -> Array:
        """Return one number a sample times its weight."""
        return values if self.sample_weight is None else values * self.sample_weight

    @functools.cached_property
    def column_norms(self) -> Array:
        """The 2-norms of the columns."""
        return self.xp.sqrt(self.design.column_squares())

    @functools.cached_property
    def column_sums(self) -> Array:
        """The weighted sums of the columns."""
        ones = self.xp.ones(self.design.shape[0], dtype=self.dtype, device=self.device)
        return self.design.rmatvec(self.weighted(ones))

    # ---- variants --------------------------------------------------------------------------------------------------

    def restrict(self, block: Array) -> "LinearModel":
        """Return the problem in some coordinates, the others being zero."""
        known = {name: self.__dict__[name] for name in _BY_COLUMN if name in self.__dict__}
        part = copy.copy(self)
        for name, values in known.items():
            part.__dict__[name] = self.xp.take(values, block)
        for name in ("gershgorin", "cubic", "bound_norm"):
            part.__dict__.pop(name, None)
        part.design = self.design.gather(block)
        part.penalty, part.l2 = self.penalty.restrict(block), self.penalty.part(self.l2, block)
        part.n_variables, part.shape = int(block.shape[0]), (int(block.shape[0]),)
        return part

    def with_l1(self, l1: float) -> "LinearModel":
        """Return the problem with another weight of the absolute values; everything else is shared."""
        other = copy.copy(self)
        penalty = self.penalty
        like = self.xp.broadcast_to(self.xp.zeros(1, dtype=self.dtype, device=self.device), (self.n_variables,))
        other.penalty = Penalty(like, self.xp, l1=l1, lower=penalty.lower, upper=penalty.upper)
        other.__dict__.pop("_has_dual", None)
        return other

    # ---- constants -------------------------------------------------------------------------------------------------

    @functools.cached_property
    def lipschitz(self) -> Array:
        """Bounds L_i on the second derivatives along the coordinates, l2 included."""
        if self.sample_weight is None:
            return self.add_ridge(self._curvature_bound * self.design.column_squares())
        return self.add_ridge(self.design.column_squares(self.curvature))

    @functools.cached_property
    def gershgorin(self) -> Array:
        """Row sums of absolute values of the bound on the Hessian, l2 included."""
        return self.add_ridge(self.design.absolute_row_sums(self.curvature))

    def block_bound(self, block: Array) -> Array:
        """Return H_b = A_b' diag(curvature) A_b + l2 I."""
        columns = self.design.columns(block)
        return self.add_ridge(self.xp.matrix_transpose(columns) @ (columns * self.curvature[:, None]), block)

    def bound_product(self, d: Array) -> Array:
        """Return H d."""
        return self.design.rmatvec(self.curvature * self.design.matvec(d)) + self.l2 * d

    # ---- the dual --------------------------------------------------------------------------------------------------

    @property
    def has_dual(self) -> bool:
        """Whether every psi_i + l2 x_i^2 / 2 keeps x_i in place by itself, so that its conjugate is finite near 0."""
        xp, penalty = self.xp, self.penalty

        def everywhere(side: Any, infinite: float) -> bool:
            conditions = [self.l2 > 0, penalty.l1 > 0, side != infinite]
            if not any(is_array(c) for c in conditions):
                return any(conditions)
            held = xp.zeros(self.n_variables, dtype=xp.bool, device=self.device)
            for condition in conditions:
                held = held | condition
            return bool(xp.all(held))

        if not hasattr(self, "_has_dual"):
            self._has_dual: bool = everywhere(penalty.upper, math.inf) and everywhere(penalty.lower, -math.inf)
        return self._has_dual

    @abstractmethod
    def _conjugate(self, derivative: Array, t: float) -> float:
        """Return minus the conjugate of the loss at t times the derivatives, a lower bound's first part."""

    def _scale(self, derivative: Array, limit: float) -> float:
        """Return the t in [0, limit] that makes the dual value large."""
        return min(1.0, limit)

    def _balanced(self, derivative: Array) -> Array:
        """Return derivatives changed so that their sum is zero, as the dual of an intercept asks for."""
        return derivative

    def dual_value(self, derivative: Array, correlations: Array | None = None) -> tuple[float, float, Array, Array]:
        """Return a lower bound of the optimum from derivatives of the loss in the margins.

        Returns
        -------
        dual : float
            The value of the dual at t times the derivatives (balanced, with an intercept).
        t : float
            The scaling.
        derivative, correlations : array
            The derivatives that were taken, and A' of them.
        """
        if self.intercept:
            balanced = self._balanced(derivative)
            if balanced is not derivative:
                derivative, correlations = balanced, None
        if correlations is None:
            correlations = self._correlations(derivative)
        t = self._scale(derivative, self._feasible_scale(correlations))
        return self._conjugate(derivative, t) - self._penalty_conjugate(correlations, t), t, derivative, correlations

    def _correlations(self, derivative: Array) -> Array:
        return self.design.rmatvec(derivative)

    def _feasible_scale(self, v: Array) -> float:
        """Return the largest t such that the conjugate of psi + l2 x^2 / 2 is finite at -t v."""
        xp, penalty = self.xp, self.penalty
        if not is_array(self.l2) and self.l2 > 0:
            return math.inf
        if not penalty.is_separable:
            norms = penalty.group_norms(v)
            tight = penalty.l1 * penalty.group_weights
            ratios = xp.where(norms > 0, norms / tight, xp.zeros_like(norms))
            worst = scalars(xp, xp.max(ratios))[0]
            return 1 / worst if worst > 0 else math.inf
        zero = xp.zeros_like(v)
        if penalty.has_bounds:
            excess = xp.maximum(
                _where(xp, penalty.upper == math.inf, -v, zero), _where(xp, penalty.lower == -math.inf, v, zero)
            )
        else:
            excess = xp.abs(v)
        if is_array(self.l2):
            excess = xp.where(self.l2 > 0, zero, excess)
        if is_array(penalty.l1):
            positive = penalty.l1 > 0
            ratios = xp.where(positive, excess / xp.where(positive, penalty.l1, xp.ones_like(v)), zero)
            worst = scalars(xp, xp.max(ratios))[0]
        else:
            largest_excess = scalars(xp, xp.max(excess))[0]
            worst = largest_excess / penalty.l1 if penalty.l1 > 0 else 0.0
        return 1 / worst if worst > 0 else math.inf

    def _penalty_conjugate(self, v: Array, t: float) -> float:
        """Return the conjugate of psi + l2 x^2 / 2 at -t v, where it is finite."""
        xp, penalty = self.xp, self.penalty
        plain = not is_array(self.l2) and self.l2 == 0
        if plain and not penalty.has_bounds:
            return 0.0
        u = -t * v
        if not penalty.is_separable:
            excess = penalty.group_norms(u) - penalty.l1 * penalty.group_weights
            excess = xp.maximum(excess, xp.zeros_like(excess))
            return float(scalars(xp, xp.sum(excess * excess))[0] / (2 * self.l2))
        soft = xp.sign(u) * xp.maximum(xp.abs(u) - penalty.l1, xp.zeros_like(u))
        zero = xp.zeros_like(u)

        def value(z: Array) -> Array:
            return u * z - penalty.l1 * xp.abs(z) - 0.5 * self.l2 * z * z

        best = value(penalty.project(zero))
        if not plain:
            curved = self.l2 > 0
            z = penalty.project(
                soft / xp.where(curved, self.l2, xp.ones_like(u)) if is_array(self.l2) else soft / self.l2
            )
            best = xp.where(curved, value(z), best) if is_array(self.l2) else value(z)
        if penalty.has_bounds:
            for bound in (penalty.lower, penalty.upper):
                finite = abs(bound) < math.inf
                z = _where(xp, finite, bound, zero)
                # A concave function on an interval: its maximum is at a bound, or at the stationary point within.
                best = _where(xp, finite, xp.maximum(best, value(z + zero)), best)
        return scalars(xp, xp.sum(best))[0]

    # ---- points ----------------------------------------------------------------------------------------------------

    def margins(self, x: Array, intercept: Any = 0.0) -> Array:
        """Return A x + intercept."""
        margins = self.design.matvec(x)
        return margins + intercept if self.intercept else margins

    def point(self, x: Array | None = None, intercept: Any = None) -> "LinearPoint":
        """Return a movable point."""
        start = self.origin() if x is None else self.penalty.project(self.xp.asarray(x, copy=True))
        return LinearPoint(self, start, 0.0 if intercept is None else intercept)

    def fit_intercept(self, margins: Array, intercept: float) -> tuple[float, Array]:
        """Return the best constant, and the margins with it, given margins that hold `intercept`."""
        xp = self.xp
        _, derivative, curvature = self.loss_terms(margins)
        slope, weight, size = scalars(xp, xp.sum(derivative), xp.sum(curvature), xp.sum(xp.abs(derivative)))
        tolerance = 4 * float(xp.finfo(self.dtype).eps)
        shift = 0.0
        low, high = -math.inf, math.inf
        for _ in range(_INTERCEPT_STEPS):
            if not abs(slope) > tolerance * size:
                break
            if slope > 0:
                high = min(high, shift)
            else:
                low = max(low, shift)
            step = -slope / weight if weight > 0 else -math.copysign(1.0, slope)
            proposal = shift + step
            if not low < proposal < high:
                proposal = 0.5 * (low + high) if math.isfinite(low) and math.isfinite(high) else shift + 0.5 * step
            if proposal == shift:
                break
            shift = proposal
            _, derivative, curvature = self.loss_terms(margins + shift)
            slope, weight, size = scalars(xp, xp.sum(derivative), xp.sum(curvature), xp.sum(xp.abs(derivative)))
            if self.is_quadratic:
                break
        return intercept + shift, margins + shift

    def evaluate(self, x: Array, intercept: Any = 0.0) -> Certificate:
        """Return objective, gradient and optimality at a feasible x."""
        return self.certify(x, *self.loss_terms(self.margins(x, intercept))[:2])

    def certify(self, x: Array, value: float, derivative: Array, correlations: Array | None = None) -> Certificate:
        """Return the certificate where the loss and its derivatives in the margins are known."""
        xp = self.xp
        v = self._correlations(derivative) if correlations is None else correlations
        grad = v + self.l2 * x
        fun = value + self.ridge(x) + self.penalty.value(x)
        kkt = largest(xp, self.penalty.min_subgradient(x, grad))
        if self.intercept:
            kkt = max(kkt, largest(xp, self._constant_gradient(derivative)))
        gap = dual = math.nan
        if self.has_dual:
            dual = self.dual_value(derivative, v)[0]
            gap = fun - dual
            # Rounding may leave the gap of an optimum a little below zero.
            gap = max(gap, 0.0) if not math.isnan(gap) else gap
        eps = float(xp.finfo(self.dtype).eps)
        scale = scalars(xp, xp.linalg.vector_norm(xp.reshape(derivative, (-1,))), xp.max(self.column_norms))
        return Certificate(fun, grad, kkt, gap, dual, _ROUNDING * eps * scale[0] * scale[1])

    def _constant_gradient(self, derivative: Array) -> Array:
        return self.xp.reshape(self.xp.sum(derivative), (1,))

    def _sample_weight(self, weights: Any) -> Array | None:
        if weights is None:
            return None
        n = self.design.shape[0]
        w = check_vector(weights, "sample_weight", xp=self.xp, dtype=self.dtype, size=n)
        w = self.xp.asarray(w, device=self.device)
        if bool(self.xp.any(w < 0)):
            raise ValueError(f"`sample_weight` must be non-negative, got {float(self.xp.min(w))}.")
        if not bool(self.xp.any(w > 0)):
            raise ValueError("`sample_weight` must have a positive entry.")
        return w


class LinearPoint(Point):
    """A point of a model with one margin a sample: tracks the margins."""

    problem: LinearModel
    margins: Array
    _gradient: Array | None
    _ridge: float

    def __init__(self, problem: LinearModel, x: Array, intercept: Any = 0.0) -> None:
        super().__init__(problem, x, intercept)
        self.refresh()

    @property
    def value(self) -> float:
        """The smooth part f at x."""
        self._loss_terms()
        return self._loss + self._ridge

    @property
    def gradient(self) -> Array:
        """The gradient of f."""
        if self._gradient is None:
            self._gradient = self.problem.design.rmatvec(self.derivative) + self.problem.l2 * self.x
        return self._gradient

    @property
    def derivative(self) -> Array:
        """Derivatives of the loss in the margins."""
        self._loss_terms()
        return self._derivative

    def gradient_block(self, block: Array) -> Array:
        """Return the entries of the gradient in a block, from its columns alone where that is all there is."""
        if self._gradient is not None:
            return self.problem.xp.take(self._gradient, block)
        xp = self.problem.xp
        columns = self._columns(block)
        l2 = self.problem.penalty.part(self.problem.l2, block)
        return xp.matrix_transpose(columns) @ self.derivative + l2 * xp.take(self.x, block)

    def hessian_block(self, block: Array) -> Array:
        """Return the Hessian of f at x within a block."""
        columns = self._columns(block)
        self._loss_terms()
        H = self.problem.xp.matrix_transpose(columns) @ (columns * self._curvature[:, None])
        return self.problem.add_ridge(H, block)

    def hessian_diagonal(self) -> Array:
        """Return the diagonal of the Hessian of f at x."""
        self._loss_terms()
        return self.problem.add_ridge(self.problem.design.column_squares(self._curvature))

    def trial(self, block: Array, d: Array) -> float:
        """Return f at x with `d` added in a block."""
        loss = self.problem.loss(self.margins + self._shift(block, d))
        return loss + self._ridge + self._ridge_change(block, d)

    def move(self, block: Array, d: Array, value: float | None = None) -> None:
        """Add `d` in a block."""
        self._ridge += self._ridge_change(block, d)
        self.margins = self.margins + self._shift(block, d)
        add_at(self.x, block, d)
        self._terms_known = False
        self._gradient = None

    def update_intercept(self) -> None:
        """Minimise over the constant."""
        if self.problem.intercept:
            self.intercept, self.margins = self.problem.fit_intercept(self.margins, self.intercept)
            self._terms_known = False
            self._gradient = None

    def refresh(self) -> None:
        """Compute the margins from x again."""
        self.margins = self.problem.margins(self.x, self.intercept)
        self._ridge = self.problem.ridge(self.x)
        self._terms_known = False
        self._gradient = None
        self._cached: tuple[Array, Array] | None = None

    def _loss_terms(self) -> None:
        if not self._terms_known:
            self._loss, self._derivative, self._curvature = self.problem.loss_terms(self.margins)
            self._terms_known = True

    def _columns(self, block: Array) -> Array:
        if self._cached is None or self._cached[0] is not block:
            self._cached = (block, self.problem.design.columns(block))
        return self._cached[1]

    def _shift(self, block: Array, d: Array) -> Array:
        return self._columns(block) @ d

    def _ridge_change(self, block: Array, d: Array) -> float:
        problem = self.problem
        if not is_array(problem.l2) and problem.l2 == 0:
            return 0.0
        l2 = problem.penalty.part(problem.l2, block)
        old = problem.xp.take(self.x, block)
        return scalars(problem.xp, problem.xp.sum(l2 * d * (old + 0.5 * d)))[0]


class LeastSquares(LinearModel):
    """Least squares, ``sum_i w_i (a_i' x + intercept - b_i)^2 / 2``, with penalties.

    Parameters
    ----------
    A : array, sparse matrix or LinearOperator of shape (n_samples, n_features)
        NumPy or CuPy in either order; sparse matrices of any format, int32 or int64 indices (CSC is taken as it is); a
        LinearOperator, whose columns come from its methods ``columns(indices)`` or ``column(j)`` where it has them.
        Real, float32 or float64; integers become float64.
    b : array of shape (n_samples,)
        Targets.
    sample_weight : array of shape (n_samples,), optional
        Non-negative weights w of the samples.
    l1, l2 : float or array of shape (n_features,), default 0
        Weights of ``|x_j|`` and of ``x_j^2 / 2``.
    nonneg : bool, default False
        Demand ``x >= 0``.
    bounds : pair (lower, upper) or scipy.optimize.Bounds, optional
        Bounds on x: numbers or arrays, None where there is none.
    groups : sequence of int arrays, optional
        Disjoint groups that cover all features: `l1` then weighs ``sum_g w_g ||x_g||_2`` (group lasso).
    group_weights : array of shape (n_groups,), optional
        The w_g, ones by default.
    intercept : bool, default False
        Fit a constant as well, without penalty.
    check_finite : bool, default True
        Look for NaN and infinite values in `A` and `b`.

    Raises
    ------
    TypeError
        For complex data, mixed array libraries, or arguments of a wrong kind.
    ValueError
        For shapes that do not fit, values that are not finite, negative weights, lower bounds above upper ones, groups
        that are no partition.

    See Also
    --------
    bcd : Solves it.
    lasso, elastic_net, nnls, bvls : Build it and solve it.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import LeastSquares, bcd
    >>> A = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    >>> bcd(LeastSquares(A, np.array([3.0, 1.0, 5.0]), l1=1.0)).x
    array([2.  , 0.25])
    """

    is_quadratic = True
    _known_sums: tuple[Array, float, float] | None = None

    def __init__(
        self,
        A: Any,
        b: Any,
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
        design, xp = _design_of(A, b, check_finite)
        target = check_vector(b, "b", xp=xp, dtype=design.dtype, finite=check_finite, size=design.shape[0])
        super().__init__(
            design, target, sample_weight, intercept=intercept, l1=l1, l2=l2, nonneg=nonneg, bounds=bounds,
            groups=groups, group_weights=group_weights,
        )  # fmt: skip

    def loss_terms(self, margins: Array) -> tuple[float, Array, Array]:
        """Return the loss, its derivatives and its second derivatives in the margins."""
        residual = margins - self.y
        derivative = self.weighted(residual)
        return 0.5 * _dot(self.xp, residual, derivative), derivative, self.curvature

    def _conjugate(self, derivative: Array, t: float) -> float:
        squares, product = self._dual_sums(derivative)
        return -(0.5 * t * t * squares + t * product)

    def _scale(self, derivative: Array, limit: float) -> float:
        if self.penalty.has_bounds or is_array(self.l2) or self.l2 > 0:
            return min(1.0, limit)  # the conjugate of the penalty has its say as well
        squares, product = self._dual_sums(derivative)
        return min(max(-product / squares, 0.0), limit) if squares > 0 else min(1.0, limit)

    def _dual_sums(self, derivative: Array) -> tuple[float, float]:
        """Return sum s^2 / w and sum s b over the samples of positive weight; both are asked for twice in a row."""
        if self._known_sums is None or self._known_sums[0] is not derivative:
            xp, unweighted = self.xp, derivative
            if self.sample_weight is not None:
                positive = self.sample_weight > 0
                unweighted = derivative / xp.where(positive, self.sample_weight, xp.ones_like(derivative))
            if self.dtype == xp.float32:
                squares, product = (xp.sum(derivative * other, dtype=xp.float64) for other in (unweighted, self.y))
            else:
                squares, product = derivative @ unweighted, derivative @ self.y
            self._known_sums = (derivative, *scalars(xp, squares, product))
        return self._known_sums[1:]

    def _balanced(self, derivative: Array) -> Array:
        xp = self.xp
        total, size = scalars(xp, xp.sum(derivative), xp.sum(xp.abs(derivative)))
        if abs(total) <= 2 * float(xp.finfo(self.dtype).eps) * size:
            return derivative
        weight = self.design.shape[0] if self.sample_weight is None else scalars(xp, xp.sum(self.sample_weight))[0]
        return derivative - self.weighted(xp.ones_like(derivative)) * (total / weight)


class Logistic(LinearModel):
    """Logistic loss, ``sum_i w_i log(1 + exp(-y_i (a_i' x + intercept)))``, with penalties.

    Parameters
    ----------
    A : array, sparse matrix or LinearOperator of shape (n_samples, n_features)
        As for `LeastSquares`.
    y : array of shape (n_samples,)
        Labels -1 and 1, or 0 and 1; both classes must occur.
    sample_weight : array of shape (n_samples,), optional
        Non-negative weights of the samples.
    l1, l2 : float or array of shape (n_features,), default 0
        Weights of ``|x_j|`` and of ``x_j^2 / 2``.
    nonneg : bool, default False
        Demand ``x >= 0``.
    bounds : pair (lower, upper) or scipy.optimize.Bounds, optional
        Bounds on x, as for `LeastSquares`.
    groups : sequence of int arrays, optional
        Disjoint groups that cover all unknowns, whose norms `l1` then weighs.
    group_weights : array of shape (n_groups,), optional
        Weights of the groups, ones by default.
    intercept : bool, default False
        Fit a constant as well, without penalty.
    check_finite : bool, default True
        Look for NaN and infinite values in the data.

    Raises
    ------
    TypeError, ValueError
        As from `LeastSquares`; ValueError also for other labels, or one class only.

    See Also
    --------
    logistic : Builds it and solves it.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import Logistic, bcd
    >>> A = np.array([[1.0], [2.0], [-1.0], [0.5]])
    >>> res = bcd(Logistic(A, np.array([1, 1, -1, -1]), l2=1.0))
    >>> res.success, round(float(res.x[0]), 2)
    (True, 0.73)
    """

    _curvature_bound = 0.25

    def __init__(
        self,
        A: Any,
        y: Any,
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
        design, xp = _design_of(A, y, check_finite)
        labels = _signs(check_vector(y, "y", xp=xp, dtype=design.dtype, size=design.shape[0]), xp)
        super().__init__(
            design, labels, sample_weight, intercept=intercept, l1=l1, l2=l2, nonneg=nonneg, bounds=bounds,
            groups=groups, group_weights=group_weights,
        )  # fmt: skip
        self._kernels = kernels.bind(xp)

    @functools.cached_property
    def cubic(self) -> Array:
        """Bounds ``sum_i w_i |a_ij|^3 / (6 sqrt 3)``."""
        return self._absolute_cubes() / (6 * math.sqrt(3))

    def block_cubic(self, block: Array) -> float:
        """Return sum_i w_i ||a_ib||_2^3 / (6 sqrt 3)."""
        xp = self.xp
        norms = xp.linalg.vector_norm(self.design.columns(block), axis=1)
        return scalars(xp, xp.sum(self.weighted(norms**3)))[0] / (6 * math.sqrt(3))

    def loss_terms(self, margins: Array) -> tuple[float, Array, Array]:
        """Return the loss, its derivatives and its second derivatives in the margins."""
        xp = self.xp
        loss, derivative, curvature = (xp.empty_like(margins) for _ in range(3))
        self._kernels.logistic_terms(margins, self.y, loss, derivative, curvature)
        if self.sample_weight is not None:
            loss, derivative, curvature = (self.sample_weight * part for part in (loss, derivative, curvature))
        return _total(xp, loss), derivative, curvature

    def _absolute_cubes(self) -> Array:
        design, xp = self.design, self.xp
        ones = self.weighted(xp.ones(design.shape[0], dtype=self.dtype, device=self.device))
        if design.is_sparse:
            cubes = abs(design.A)
            cubes.data = cubes.data**3
            return cubes.T @ ones
        return xp.matrix_transpose(xp.abs(design.columns(xp.arange(design.shape[1], device=self.device))) ** 3) @ ones

    def _conjugate(self, derivative: Array, t: float) -> float:
        xp = self.xp
        if self.sample_weight is None:
            share = -t * derivative * self.y
        else:
            positive = self.sample_weight > 0
            share = -t * derivative * self.y / xp.where(positive, self.sample_weight, xp.ones_like(derivative))
        zero, one = xp.zeros_like(share), xp.ones_like(share)
        share = xp.minimum(xp.maximum(share, zero), one)
        rest = one - share
        tiny = float(xp.finfo(self.dtype).smallest_normal)
        entropy = share * xp.log(xp.where(share > tiny, share, one)) + rest * xp.log(xp.where(rest > tiny, rest, one))
        return -_total(xp, self.weighted(entropy))

    def _balanced(self, derivative: Array) -> Array:
        """Scale down the derivatives of the class that has more: shares stay within [0, 1]."""
        xp = self.xp
        positive = self.y > 0
        zero = xp.zeros_like(derivative)
        down, up = scalars(
            xp, -xp.sum(xp.where(positive, derivative, zero)), xp.sum(xp.where(positive, zero, derivative))
        )
        if abs(up - down) <= 2 * float(xp.finfo(self.dtype).eps) * (up + down):
            return derivative
        ratio = min(up, down) / max(up, down)
        return xp.where(positive == (down > up), ratio * derivative, derivative)


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
        design, xp = _design_of(A, Y, check_finite)
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
        return _total(xp, self.weighted(loss)), derivative, probabilities

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
        return -_total(xp, self.weighted(entropy))

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


def _design_of(A: Any, target: Any, check_finite: bool) -> tuple[Design, Namespace]:
    xp = namespace(A, target)
    if not (is_array(A) or is_sparse(A) or is_linear_operator(A)):
        A = np.asarray(A)
    if is_array(A) and A.ndim != 2:
        raise ValueError(f"`A` must be a 2-D array, got shape {tuple(A.shape)}.")
    return as_design(A, check_finite=check_finite), xp


def _where(xp: Namespace, condition: Any, values: Any, others: Any) -> Any:
    """Choose by an array of bools, or by one bool."""
    if is_array(condition):
        return xp.where(condition, values, others)
    return values if condition else others


def _signs(labels: Array, xp: Namespace) -> Array:
    """Return labels -1 and 1 from those or from 0 and 1."""
    low, high = scalars(xp, xp.min(labels), xp.max(labels))
    if bool(xp.all((labels == low) | (labels == high))) and high == 1 and low in (-1, 0):
        return labels if low == -1 else 2 * labels - 1
    if low == high:
        raise ValueError(f"`y` must hold both classes, got {low:g} alone.")
    raise ValueError(f"`y` must hold -1 and 1, or 0 and 1, got values from {low:g} to {high:g}.")


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


def _total(xp: Namespace, values: Array) -> float:
    """Return the sum, added in double precision."""
    return scalars(xp, xp.sum(values, dtype=xp.float64))[0]


def _dot(xp: Namespace, a: Array, b: Array) -> float:
    """Return a' b: NumPy's dot adds pairwise in its blocks, single precision is widened first."""
    if a.dtype == xp.float32:
        return _total(xp, a * b)
    return scalars(xp, a @ b)[0]
