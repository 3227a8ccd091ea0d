"""Least squares with penalties."""

from collections.abc import Sequence
from typing import Any

from numopt._array import is_array, scalars
from numopt._core.validation import check_vector
from numopt._typing import Array, Namespace
from numopt.coordinate._linear_model import LinearModel, design_of, total

__all__ = ["LeastSquares"]


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
        design, xp = design_of(A, b, check_finite)
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


def _dot(xp: Namespace, a: Array, b: Array) -> float:
    """Return a' b: NumPy's dot adds pairwise in its blocks, single precision is widened first."""
    if a.dtype == xp.float32:
        return total(xp, a * b)
    return scalars(xp, a @ b)[0]
