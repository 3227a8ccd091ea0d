"""A user's own smooth function."""

import copy
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from numopt._array import add_at, default_float, device_of, is_array, namespace
from numopt._core.validation import check_scalar
from numopt._typing import Array
from numopt.coordinate._problem import Certificate, Point, Problem, check_values, largest

__all__ = ["Smooth", "SmoothPoint"]

_ROUNDING = 16.0


class Smooth(Problem):
    """A smooth function given by callables, with penalties.

    Parameters
    ----------
    fun : callable
        ``fun(x) -> float``.
    grad_block : callable
        ``grad_block(x, block) -> array`` of the block's length: the entries of the gradient at `x`; `block` is an
        ascending int64 array of indices.
    hess_block : callable, optional
        ``hess_block(x, block) -> array`` of shape (t, t): the Hessian within the block. Updates other than 'gradient'
        and 'diag' need it.
    lipschitz : float or array of shape (n_variables,), optional
        Bounds on the second derivatives along the coordinates. Without them use ``bcd(..., lipschitz='estimate')``.
    n_variables : int
        Number of unknowns.
    like : array, optional
        An array of the library, dtype and device of `x`; NumPy in double precision by default.
    l1, l2 : float or array of shape (n_variables,), default 0
        Weights of ``|x_j|`` and of ``x_j^2 / 2``, which are added to `fun`.
    nonneg : bool, default False
        Demand ``x >= 0``.
    bounds : pair (lower, upper) or scipy.optimize.Bounds, optional
        Bounds on x, as for `LeastSquares`.
    groups : sequence of int arrays, optional
        Disjoint groups that cover all unknowns, whose norms `l1` then weighs.
    group_weights : array of shape (n_groups,), optional
        Weights of the groups, ones by default.

    Raises
    ------
    TypeError, ValueError
        For what is not callable, and as from `LeastSquares`.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import Smooth, bcd
    >>> t = np.array([1.0, -2.0])
    >>> problem = Smooth(lambda x: 0.25 * np.sum((x - t) ** 4) + 0.5 * np.sum((x - t) ** 2),
    ...     lambda x, b: (x[b] - t[b]) ** 3 + x[b] - t[b],
    ...     lambda x, b: np.diag(3 * (x[b] - t[b]) ** 2 + 1), lipschitz=13.0, n_variables=2)
    >>> np.round(bcd(problem, tol=1e-10).x, 6)
    array([ 1., -2.])
    """

    def __init__(
        self,
        fun: Callable[[Array], float],
        grad_block: Callable[[Array, Array], Array],
        hess_block: Callable[[Array, Array], Array] | None = None,
        lipschitz: Any = None,
        *,
        n_variables: int,
        like: Array | None = None,
        l1: Any = 0.0,
        l2: Any = 0.0,
        nonneg: bool = False,
        bounds: Any = None,
        groups: Sequence[Any] | None = None,
        group_weights: Any = None,
    ) -> None:
        for function, name in ((fun, "fun"), (grad_block, "grad_block"), (hess_block, "hess_block")):
            if not callable(function) and not (name == "hess_block" and function is None):
                raise TypeError(f"`{name}` must be callable, got {type(function).__name__}.")
        n = check_scalar(n_variables, "n_variables", kind=int, low=1)
        xp = namespace(like)
        like = (
            xp.empty(0, dtype=default_float(xp))
            if like is None
            else xp.empty(0, dtype=like.dtype, device=device_of(like))
        )
        super().__init__(
            like, xp, n, l1=l1, l2=l2, nonneg=nonneg, bounds=bounds, groups=groups, group_weights=group_weights
        )
        self.fun, self.grad_block, self.hess_block = fun, grad_block, hess_block
        self._lipschitz = None if lipschitz is None else self._constants(lipschitz)

    @functools.cached_property
    def lipschitz(self) -> Array:
        """The user's bounds, with l2."""
        if self._lipschitz is None:
            raise ValueError(
                "`lipschitz` of the problem must be given, or lipschitz='estimate' with update='gradient'."
            )
        return self.add_ridge(self._lipschitz)

    @property
    def has_constants(self) -> bool:
        """Whether the user gave bounds."""
        return self._lipschitz is not None

    def with_constants(self, lipschitz: Any) -> "Smooth":
        """Return the same function with other bounds."""
        other = copy.copy(self)
        for name in ("lipschitz", "gershgorin", "bound_norm"):
            other.__dict__.pop(name, None)
        other._lipschitz = other._constants(lipschitz)
        return other

    @functools.cached_property
    def gershgorin(self) -> Array:
        """Bounds ``|H_ij| <= sqrt(L_i L_j)``, summed over j."""
        roots = self.xp.sqrt(self.lipschitz)
        return roots * self.xp.sum(roots)

    def block_bound(self, block: Array) -> Array:
        """Return a diagonal bound, sqrt(L_i) times the sum of the square roots over the block."""
        xp = self.xp
        roots = xp.sqrt(xp.take(self.lipschitz, block))
        return (roots * xp.sum(roots))[:, None] * xp.eye(block.shape[0], dtype=self.dtype, device=self.device)

    def bound_product(self, d: Array) -> Array:
        """Return the product with the diagonal bound of all coordinates."""
        return self.gershgorin * d

    def point(self, x: Array | None = None, intercept: Any = None) -> "SmoothPoint":
        """Return a movable point."""
        start = self.origin() if x is None else self.penalty.project(self.xp.asarray(x, copy=True))
        return SmoothPoint(self, start)

    def smooth_value(self, x: Array) -> float:
        """Return the user's function with the squares."""
        return float(self.fun(x)) + self.ridge(x)

    def smooth_gradient(self, x: Array, block: Array) -> Array:
        """Return entries of the gradient, those of the squares included."""
        xp = self.xp
        entries = xp.asarray(self.grad_block(x, block), dtype=self.dtype)
        if tuple(entries.shape) != (block.shape[0],):
            raise ValueError(f"`grad_block` must return shape ({block.shape[0]},), got {tuple(entries.shape)}.")
        return entries + self.penalty.part(self.l2, block) * xp.take(x, block)

    def evaluate(self, x: Array, intercept: Any = 0.0) -> Certificate:
        """Return objective, gradient and optimality at a feasible x."""
        xp = self.xp
        everything = xp.arange(self.n_variables, device=self.device)
        grad = self.smooth_gradient(x, everything)
        fun = self.smooth_value(x) + self.penalty.value(x)
        kkt = largest(xp, self.penalty.min_subgradient(x, grad))
        floor = _ROUNDING * float(xp.finfo(self.dtype).eps) * largest(xp, grad)
        return Certificate(fun, grad, kkt, math.nan, math.nan, floor)

    def _constants(self, lipschitz: Any) -> Array:
        xp = self.xp
        if is_array(lipschitz) or isinstance(lipschitz, list | tuple):
            values = check_values(lipschitz, "lipschitz", self)
        else:
            number = check_scalar(lipschitz, "lipschitz", low=0)
            values = xp.full(self.n_variables, number, dtype=self.dtype, device=self.device)
        if bool(xp.any(values < 0)):
            raise ValueError("`lipschitz` must be non-negative.")
        return values


class SmoothPoint(Point):
    """A point of a user's function: nothing is tracked but its value."""

    problem: Smooth
    _value: float | None
    _gradient: Array | None

    def __init__(self, problem: Smooth, x: Array) -> None:
        super().__init__(problem, x)
        self.refresh()

    @property
    def value(self) -> float:
        """The smooth part f at x."""
        if self._value is None:
            self._value = self.problem.smooth_value(self.x)
        return self._value

    @property
    def gradient(self) -> Array:
        """The gradient of f."""
        if self._gradient is None:
            problem = self.problem
            everything = problem.xp.arange(problem.n_variables, device=problem.device)
            self._gradient = problem.smooth_gradient(self.x, everything)
        return self._gradient

    def gradient_block(self, block: Array) -> Array:
        """Return the entries of the gradient in a block."""
        if self._gradient is not None:
            return self.problem.xp.take(self._gradient, block)
        return self.problem.smooth_gradient(self.x, block)

    def hessian_block(self, block: Array) -> Array:
        """Return the Hessian of f at x within a block."""
        problem = self.problem
        if problem.hess_block is None:
            raise ValueError(
                "`hess_block` of the problem must be given for this update; 'gradient' and 'diag' do without."
            )
        H = problem.xp.asarray(problem.hess_block(self.x, block), dtype=problem.dtype)
        return problem.add_ridge(H, block)

    def trial(self, block: Array, d: Array) -> float:
        """Return f at x with `d` added in a block."""
        moved = self.problem.xp.asarray(self.x, copy=True)
        add_at(moved, block, d)
        return self.problem.smooth_value(moved)

    def move(self, block: Array, d: Array, value: float | None = None) -> None:
        """Add `d` in a block."""
        add_at(self.x, block, d)
        self._value, self._gradient = value, None

    def refresh(self) -> None:
        """Forget what is known of x."""
        self._value = None
        self._gradient = None
