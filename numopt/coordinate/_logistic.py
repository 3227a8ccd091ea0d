"""Logistic regression with penalties."""

import functools
import math
from collections.abc import Sequence
from typing import Any

from numopt import kernels
from numopt._array import scalars
from numopt._core.validation import check_vector
from numopt._typing import Array, Namespace
from numopt.coordinate._linear_model import LinearModel, design_of, total

__all__ = ["Logistic"]


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
        design, xp = design_of(A, y, check_finite)
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
        return total(xp, loss), derivative, curvature

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
        return -total(xp, self.weighted(entropy))

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


def _signs(labels: Array, xp: Namespace) -> Array:
    """Return labels -1 and 1 from those or from 0 and 1."""
    low, high = scalars(xp, xp.min(labels), xp.max(labels))
    if bool(xp.all((labels == low) | (labels == high))) and high == 1 and low in (-1, 0):
        return labels if low == -1 else 2 * labels - 1
    if low == high:
        raise ValueError(f"`y` must hold both classes, got {low:g} alone.")
    raise ValueError(f"`y` must hold -1 and 1, or 0 and 1, got values from {low:g} to {high:g}.")
