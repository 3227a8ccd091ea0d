"""Models whose smooth part is a loss of A x + intercept: what they have in common."""

import copy
import functools
import math
from abc import abstractmethod
from typing import Any

import numpy as np

from numopt._array import add_at, is_array, is_linear_operator, is_sparse, namespace, scalars
from numopt._core.validation import check_vector
from numopt._typing import Array, Namespace
from numopt.coordinate._design import Design, as_design
from numopt.coordinate._penalty import Penalty
from numopt.coordinate._problem import Certificate, Point, Problem, largest

__all__ = ["LinearModel", "LinearPoint", "design_of", "total"]

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
        other.__dict__.pop("has_dual", None)
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

    @functools.cached_property
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

        return everywhere(penalty.upper, math.inf) and everywhere(penalty.lower, -math.inf)

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


def design_of(A: Any, target: Any, check_finite: bool) -> tuple[Design, Namespace]:
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


def total(xp: Namespace, values: Array) -> float:
    """Return the sum, added in double precision."""
    return scalars(xp, xp.sum(values, dtype=xp.float64))[0]
