"""What every problem of block coordinate descent offers: constants, the point that a solve moves, certificates."""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import Bounds

from numopt._array import asarray_like, is_array, is_numpy, scalars, to_host
from numopt._core.validation import check_scalar
from numopt._typing import Array, Namespace
from numopt.coordinate._penalty import Penalty

__all__ = ["Certificate", "Point", "Problem", "check_values", "largest"]

# Power iterations for the largest eigenvalue of a bound, and the safety factor on what they give.
_POWER_STEPS = 100
_POWER_MARGIN = 1.02


@dataclass(frozen=True, slots=True)
class Certificate:
    """What can be said of a point from the point alone.

    Attributes
    ----------
    fun : float
        The objective.
    grad : array
        Gradient of its smooth part.
    kkt : float
        Largest entry of the minimal subgradient.
    gap, dual : float
        Duality gap and the lower bound that it comes from; NaN where no dual is known.
    floor : float
        What rounding leaves of `kkt`.
    """

    fun: float
    grad: Array
    kkt: float
    gap: float
    dual: float
    floor: float


class Problem(ABC):
    """Minimise F(x) = f(x) + psi(x), f smooth with the terms l2_i x_i^2 / 2 inside, psi a `Penalty`.

    Attributes
    ----------
    xp, dtype, device : namespace, dtype, device
        Of all vectors.
    n_variables : int
        Length of the flat vector of unknowns.
    shape : tuple of int
        The public shape of the unknowns.
    penalty : Penalty
        The part psi.
    l2 : float or array of shape (n_variables,)
        Weights of the squares.
    intercept : bool
        Whether a constant without penalty is fitted beside the unknowns.
    is_quadratic : bool
        Whether the Hessian is constant, and so its own bound.
    has_one_bound : bool
        Whether the bounds H_b are the submatrices of the H of `bound_product`.
    """

    intercept = False
    is_quadratic = False
    has_one_bound = False

    def __init__(
        self,
        like: Array,
        xp: Namespace,
        n_variables: int,
        *,
        shape: tuple[int, ...] | None = None,
        l1: Any = 0.0,
        l2: Any = 0.0,
        nonneg: bool = False,
        bounds: Any = None,
        groups: Sequence[Any] | None = None,
        group_weights: Any = None,
    ) -> None:
        self.xp, self.dtype, self.device = xp, like.dtype, like.device
        self.n_variables = n_variables
        self.shape = (n_variables,) if shape is None else shape
        zero = xp.zeros(1, dtype=self.dtype, device=self.device)
        self.l2 = self._weights(l2, "l2")
        lower, upper = self._bounds(nonneg, bounds)
        l1 = self._weights(l1, "l1")
        members, weights = self._groups(groups, group_weights)
        if members is not None and (is_array(l1) or lower is not None or upper is not None):
            raise ValueError("`groups` go with one number `l1` and without `nonneg` and `bounds`.")
        self.penalty = Penalty(
            xp.broadcast_to(zero, (n_variables,)),
            xp,
            l1=l1,
            lower=-math.inf if lower is None else lower,
            upper=math.inf if upper is None else upper,
            groups=members,
            group_weights=weights,
        )

    # ---- constants of the bounds on the Hessian (2.1) ------------------------------------------------------------

    @functools.cached_property
    @abstractmethod
    def lipschitz(self) -> Array:
        """Bounds L_i on the second derivatives along the coordinates, l2 included."""

    @functools.cached_property
    @abstractmethod
    def gershgorin(self) -> Array:
        """Row sums sum_j |H_ij| of the bound on the Hessian, l2 included."""

    @functools.cached_property
    def cubic(self) -> Array:
        """Bounds M_i on the third derivatives along the coordinates."""
        return self.xp.zeros(self.n_variables, dtype=self.dtype, device=self.device)

    def block_cubic(self, block: Array) -> float:
        """Return the bound M_b on the third derivative within a block, in the 2-norm."""
        return 0.0

    @abstractmethod
    def block_bound(self, block: Array) -> Array:
        """Return H_b with Hess_bb(x) <= H_b for all x, l2 included."""

    def block_lipschitz(self, block: Array) -> float:
        """Return L_b, the largest eigenvalue of H_b."""
        return scalars(self.xp, self.xp.linalg.eigvalsh(self.block_bound(block))[-1])[0]

    @abstractmethod
    def bound_product(self, d: Array) -> Array:
        """Return H d with the bound on the whole Hessian, l2 included."""

    @functools.cached_property
    def bound_norm(self) -> float:
        """The largest eigenvalue of H: by power iterations, raised by 2 per cent."""
        xp = self.xp
        host = np.random.default_rng(0).standard_normal(self.n_variables)
        v = xp.asarray(host, dtype=self.dtype, device=self.device)
        value = 0.0
        for _ in range(_POWER_STEPS):
            norm = scalars(xp, xp.linalg.vector_norm(v))[0]
            if not (math.isfinite(norm) and norm > 0):
                return norm
            previous, value = value, norm
            v = self.bound_product(v / norm)
            if abs(value - previous) <= 1e-3 * value:
                break
        return _POWER_MARGIN * scalars(xp, xp.linalg.vector_norm(v))[0]

    @property
    def graph(self) -> Any:
        """The sparse Hessian as a scipy CSR matrix, or None."""
        return

    @property
    def has_dual(self) -> bool:
        """Whether a lower bound of F can be computed."""
        return False

    # ---- points --------------------------------------------------------------------------------------------------

    @abstractmethod
    def point(self, x: Array | None = None, intercept: Any = None) -> "Point":
        """Return a movable point at the projection of `x` (zeros by default) on the bounds."""

    @abstractmethod
    def evaluate(self, x: Array, intercept: Any = 0.0) -> Certificate:
        """Return objective, gradient and optimality at a feasible x, from x alone."""

    def origin(self) -> Array:
        """Return P(0), the reference of the stopping rule."""
        return self.penalty.project(self.xp.zeros(self.n_variables, dtype=self.dtype, device=self.device))

    def start(self, x0: Any) -> Array:
        """Return a checked start as a flat vector of its own."""
        if x0 is None:
            return self.origin()
        x = asarray_like(x0, self.origin(), dtype=self.dtype) if not is_array(x0) else x0
        x = self.xp.asarray(x, dtype=self.dtype, device=self.device, copy=True)
        if tuple(x.shape) not in (self.shape, (self.n_variables,)):
            raise ValueError(f"`x0` must have shape {self.shape}, got {tuple(x.shape)}.")
        x = self.xp.reshape(x, (-1,))
        if not bool(self.xp.all(self.xp.isfinite(x))):
            raise ValueError("`x0` must be finite, got NaN or infinite values.")
        return x

    def public(self, x: Array) -> Array:
        """Return a flat vector in the public shape of the unknowns."""
        return self.xp.reshape(x, self.shape)

    def ridge(self, x: Array) -> float:
        """Return sum_i l2_i x_i^2 / 2."""
        if not is_array(self.l2) and self.l2 == 0:
            return 0.0
        return 0.5 * scalars(self.xp, self.xp.sum(self.l2 * x * x))[0]

    def add_ridge(self, diagonal: Array, block: Array | None = None) -> Array:
        """Return a matrix (or, of a vector, its entries) with l2 of the block added on the diagonal."""
        l2 = self.penalty.part(self.l2, block)
        if not is_array(l2) and l2 == 0:
            return diagonal
        if diagonal.ndim == 1:
            return diagonal + l2
        return diagonal + l2 * self.xp.eye(diagonal.shape[0], dtype=self.dtype, device=self.device)

    # ---- checks --------------------------------------------------------------------------------------------------

    def _weights(self, value: Any, name: str) -> Any:
        if not (is_array(value) or isinstance(value, list | tuple)):
            return check_scalar(value, name, low=0)
        array = check_values(value, name, self)
        if bool(self.xp.any(array < 0)):
            raise ValueError(f"`{name}` must be non-negative, got {float(self.xp.min(array))}.")
        return array

    def _bounds(self, nonneg: bool, bounds: Any) -> tuple[Any, Any]:
        """Return the bounds as numbers or arrays, None where there is none at all."""
        if bounds is None:
            return (0.0 if nonneg else None), None
        if nonneg:
            raise ValueError("`nonneg` and `bounds` cannot both be given.")
        if isinstance(bounds, Bounds):
            bounds = (bounds.lb, bounds.ub)
        if not (isinstance(bounds, list | tuple) and len(bounds) == 2):
            raise TypeError("`bounds` must be a pair (lower, upper) or scipy.optimize.Bounds.")
        lower, upper = (
            None if value is None else self._bound(value, side)
            for value, side in zip(bounds, ("lower", "upper"), strict=True)
        )
        if lower is not None and upper is not None and bool(np.any(to_host(lower > upper))):
            raise ValueError("`bounds` must have lower <= upper.")
        return lower, upper

    def _bound(self, value: Any, side: str) -> Any:
        if is_array(value) or isinstance(value, list | tuple):
            array = check_values(value, "bounds", self, finite=False)
            if bool(self.xp.any(self.xp.isnan(array))):
                raise ValueError("`bounds` must not hold NaN.")
            return array
        number = float(value)
        if math.isnan(number) or number == (math.inf if side == "lower" else -math.inf):
            raise ValueError(f"`bounds` must hold numbers, got {side} bound {number}.")
        return number

    def _groups(self, groups: Any, weights: Any) -> tuple[list[Array] | None, Array | None]:
        if groups is None:
            if weights is not None:
                raise ValueError("`group_weights` need `groups`.")
            return None, None
        members = [np.unique(np.asarray(to_host(group))) for group in groups]
        if any(group.size == 0 or group.dtype.kind not in "iu" for group in members):
            raise TypeError("`groups` must be non-empty integer arrays of indices.")
        flat = np.concatenate(members) if members else np.empty(0, dtype=np.int64)
        if flat.size != self.n_variables or not np.array_equal(np.sort(flat), np.arange(self.n_variables)):
            raise ValueError(f"`groups` must be disjoint and cover the {self.n_variables} unknowns.")
        arrays = [self.xp.asarray(group.astype(np.int64), device=self.device) for group in members]
        if weights is None:
            return arrays, None
        w = self.xp.asarray(to_host(weights), dtype=self.dtype, device=self.device)
        if w.shape != (len(arrays),) or bool(self.xp.any(w < 0)):
            raise ValueError(f"`group_weights` must be {len(arrays)} non-negative numbers.")
        return arrays, w


class Point(ABC):
    """The unknowns of a running solve, with what is tracked along: moved block by block.

    Attributes
    ----------
    problem : Problem
        What is solved.
    x : array of shape (n_variables,)
        The unknowns; changed by `move` alone.
    intercept : float or array
        The constant.
    """

    def __init__(self, problem: Problem, x: Array, intercept: Any = 0.0) -> None:
        self.problem, self.x, self.intercept = problem, x, intercept

    @property
    @abstractmethod
    def value(self) -> float:
        """The smooth part f at x."""

    @property
    def objective(self) -> float:
        """The objective F at x."""
        return self.value + self.problem.penalty.value(self.x)

    @property
    @abstractmethod
    def gradient(self) -> Array:
        """The gradient of f, computed when it is asked for and kept until the next move."""

    def gradient_block(self, block: Array) -> Array:
        """Return the entries of the gradient in a block."""
        return self.problem.xp.take(self.gradient, block)

    @abstractmethod
    def hessian_block(self, block: Array) -> Array:
        """Return the Hessian of f at x within a block, l2 included."""

    def hessian_diagonal(self) -> Array:
        """Return the diagonal of the Hessian of f at x, l2 included."""
        problem, xp = self.problem, self.problem.xp
        if problem.is_quadratic:
            return problem.lipschitz
        units = (xp.arange(i, i + 1, dtype=xp.int64, device=problem.device) for i in range(problem.n_variables))
        return xp.concat([self.hessian_block(unit)[0, :] for unit in units])

    @abstractmethod
    def trial(self, block: Array, d: Array) -> float:
        """Return f at x with `d` added in a block; nothing moves."""

    @abstractmethod
    def move(self, block: Array, d: Array, value: float | None = None) -> None:
        """Add `d` in a block; `value` is the new f where it is known from a trial."""

    def update_intercept(self) -> None:
        """Minimise over the constant; nothing where there is none."""
        return

    @abstractmethod
    def refresh(self) -> None:
        """Compute everything that is tracked from x again."""


def check_values(value: Any, name: str, problem: Problem, *, finite: bool = True) -> Array:
    """Return one real number for each unknown as a flat array of the problem's library."""
    xp = problem.xp
    array = value if is_array(value) and not is_numpy(xp) else np.asarray(to_host(value))
    array = xp.asarray(array, dtype=problem.dtype, device=problem.device)
    if tuple(array.shape) not in (problem.shape, (problem.n_variables,)):
        raise ValueError(f"`{name}` must be a number or have shape {problem.shape}, got {tuple(array.shape)}.")
    if finite and not bool(xp.all(xp.isfinite(array))):
        raise ValueError(f"`{name}` must be finite, got NaN or infinite values.")
    return xp.reshape(array, (-1,))


def largest(xp: Namespace, values: Array) -> float:
    """Return the largest magnitude in an array, 0 for an empty one; NaN if there is any."""
    return scalars(xp, xp.max(xp.abs(values)))[0] if values.size else 0.0
