"""The problem class of numopt: functions, derivatives, counters, a cache for the last point, converters for the peers.

A problem is

    minimize f(x)  subject to  cl <= c(x) <= cu,  lb <= x <= ub,

with the Lagrangian ``L(x, lam) = obj_weight * f(x) + lam' c(x)`` (`c` are the raw constraint functions, so an equality
row has ``cl == cu`` and the residual ``c - cu``). Everything is float64 on the host.
"""

import abc
import copy
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numopt._array import is_sparse, to_host
from numopt.problems import _adapters

Vector: TypeAlias = NDArray[np.float64]
Matrix: TypeAlias = Any
"""A dense array, or a SciPy CSR matrix or array with a fixed pattern."""


@dataclass
class Counters:
    """Number of evaluations since the last reset (a repeated call at the last point is answered from the cache).

    Attributes
    ----------
    f, g, H, c, J : int
        Values and gradients of the objective, Hessians (of `f` or of `L`), constraint values, Jacobians.
    Hv : int
        Products with the Hessian of `L`.
    seconds : float
        Wall-clock seconds spent inside the evaluations.
    """

    f: int = 0
    g: int = 0
    H: int = 0
    c: int = 0
    J: int = 0
    Hv: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class DerivativeCheck:
    """Largest relative differences between derivatives and central differences along random directions."""

    grad: float
    jac: float
    hess: float

    def max(self) -> float:
        """Return the largest of the three."""
        return max(self.grad, self.jac, self.hess)


class Problem(abc.ABC):
    """A nonlinear program with exact derivatives.

    Subclasses implement `_fun`, `_grad`, `_cons`, `_jac` and `_lag_hess` (and, where a product is cheaper than the
    matrix, `_lag_hessp`). The public methods check the argument, count and time the evaluation, suppress floating-point
    warnings, and remember everything computed at the last point, so that `fun_grad`, `jac` and `lag_hess` at one `x`
    share the work. What they return belongs to the caller.

    Parameters
    ----------
    name : str
        The problem's name.
    x0 : array_like of shape (n,)
        Starting point.
    m : int, default 0
        Number of constraints.
    y0 : array_like of shape (m,), optional
        Starting multipliers, default zeros.
    lb, ub : array_like of shape (n,), optional
        Bounds on `x`, default none (infinite).
    cl, cu : array_like of shape (m,), optional
        Bounds on `c(x)`, default zeros (equality constraints).
    is_linear : array_like of bool of shape (m,), optional
        Which constraints are linear, default none.
    classification : str, default ""
        The classification of CUTEst, or any text.
    f_opt : float, optional
        Best objective value known.
    f_opt_source : str, optional
        Where `f_opt` comes from.
    source : str, default ""
        Where the problem comes from.

    Attributes
    ----------
    n, m, m_eq : int
        Number of variables, of constraints, and of constraints with ``cl == cu``.
    counters : Counters
        Evaluations since the last `reset_counters`.

    Notes
    -----
    An instance may be used from several threads: a lock covers each evaluation.
    """

    def __init__(
        self,
        *,
        name: str,
        x0: ArrayLike,
        m: int = 0,
        y0: ArrayLike | None = None,
        lb: ArrayLike | None = None,
        ub: ArrayLike | None = None,
        cl: ArrayLike | None = None,
        cu: ArrayLike | None = None,
        is_linear: ArrayLike | None = None,
        classification: str = "",
        f_opt: float | None = None,
        f_opt_source: str | None = None,
        source: str = "",
    ) -> None:
        self.name = name
        self.x0: Vector = np.array(x0, dtype=np.float64)
        self.n = self.x0.size
        self.m = m
        self.y0 = _vector(y0, m, 0.0)
        self.lb = _vector(lb, self.n, -np.inf)
        self.ub = _vector(ub, self.n, np.inf)
        self.cl = _vector(cl, m, 0.0)
        self.cu = _vector(cu, m, 0.0)
        self.is_linear = np.zeros(m, dtype=bool) if is_linear is None else np.array(is_linear, dtype=bool)
        self.classification = classification
        self.f_opt = f_opt
        self.f_opt_source = f_opt_source
        self.source = source
        self.counters = Counters()
        self.m_eq = int(np.count_nonzero(self.cl == self.cu))
        self._lock = threading.RLock()
        self._key = b""
        self._x = self.x0
        self._cache: dict[str, Any] = {}
        self._patterns: dict[str, tuple[NDArray[np.int64], NDArray[np.int64], Any]] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: n={self.n}, m={self.m}, {self.source or 'no source given'}>"

    # What a subclass provides.

    @abc.abstractmethod
    def _fun(self, x: Vector) -> float: ...

    @abc.abstractmethod
    def _grad(self, x: Vector) -> Vector: ...

    @abc.abstractmethod
    def _cons(self, x: Vector) -> Vector: ...

    @abc.abstractmethod
    def _jac(self, x: Vector) -> Matrix: ...

    @abc.abstractmethod
    def _lag_hess(self, x: Vector, lam: Vector, obj_weight: float) -> Matrix: ...

    def _lag_hessp(self, x: Vector, lam: Vector, v: Vector, obj_weight: float) -> Vector:
        product: Vector = self._hessian(x, lam, obj_weight) @ v
        return product

    # The public evaluations.

    def fun(self, x: ArrayLike) -> float:
        """Objective value; infinite or NaN as it comes."""
        with self._lock:
            return float(self._memo("f", self._locate(x), self._fun))

    def grad(self, x: ArrayLike) -> Vector:
        """Gradient of the objective, shape (n,)."""
        with self._lock:
            gradient: Vector = self._memo("g", self._locate(x), self._grad).copy()
            return gradient

    def fun_grad(self, x: ArrayLike) -> tuple[float, Vector]:
        """Objective value and gradient."""
        return self.fun(x), self.grad(x)

    def hess(self, x: ArrayLike) -> Matrix:
        """Hessian of the objective, shape (n, n)."""
        return self.lag_hess(x, np.zeros(self.m))

    def hessp(self, x: ArrayLike, v: ArrayLike) -> Vector:
        """Hessian of the objective times `v`."""
        return self.lag_hessp(x, np.zeros(self.m), v)

    def cons(self, x: ArrayLike) -> Vector:
        """Raw constraint values, shape (m,)."""
        with self._lock:
            values: Vector = self._memo("c", self._locate(x), self._cons).copy()
            return values

    def jac(self, x: ArrayLike) -> Matrix:
        """Jacobian of the constraints, shape (m, n)."""
        with self._lock:
            return _own(self._memo("J", self._locate(x), self._jac))

    def jvp(self, x: ArrayLike, v: ArrayLike) -> Vector:
        """Jacobian times `v`, shape (m,)."""
        with self._lock:
            product: Vector = self._memo("J", self._locate(x), self._jac) @ self._argument(v, self.n)
            return product

    def vjp(self, x: ArrayLike, w: ArrayLike) -> Vector:
        """Transposed Jacobian times `w`, shape (n,)."""
        with self._lock:
            product: Vector = self._memo("J", self._locate(x), self._jac).T @ self._argument(w, self.m)
            return product

    def lag_hess(self, x: ArrayLike, lam: ArrayLike, obj_weight: float = 1.0) -> Matrix:
        """Hessian of ``obj_weight * f + lam' c``, shape (n, n), both triangles."""
        with self._lock:
            return _own(self._hessian(self._locate(x), self._argument(lam, self.m), float(obj_weight)))

    def lag_hessp(self, x: ArrayLike, lam: ArrayLike, v: ArrayLike, obj_weight: float = 1.0) -> Vector:
        """Hessian of ``obj_weight * f + lam' c`` times `v`, shape (n,)."""
        with self._lock:
            x, lam, v = self._locate(x), self._argument(lam, self.m), self._argument(v, self.n)
            start, before = time.perf_counter(), self.counters.seconds
            with np.errstate(all="ignore"):
                product = self._lag_hessp(x, lam, v, float(obj_weight))
            self.counters.Hv += 1
            # A matrix evaluated on the way has already put its share on the clock.
            self.counters.seconds = before + time.perf_counter() - start
            return product

    # Structure: fixed patterns in coordinates, and the values in that order.

    def jac_structure(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of the Jacobian's fixed pattern."""
        return self._pattern("J")[:2]

    def hess_structure(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of the fixed pattern of the Lagrangian's Hessian, lower triangle."""
        return self._pattern("H")[:2]

    def jac_values(self, x: ArrayLike) -> Vector:
        """Values of the Jacobian in the order of `jac_structure`."""
        return self._values("J", self.jac(x))

    def lag_hess_values(self, x: ArrayLike, lam: ArrayLike, obj_weight: float = 1.0) -> Vector:
        """Values of the Lagrangian's Hessian in the order of `hess_structure`."""
        return self._values("H", self.lag_hess(x, lam, obj_weight))

    def _structure(self, kind: str) -> Matrix:
        """A matrix with the pattern of J or H: what a subclass overrides when its dense matrices hold known zeros."""
        with np.errstate(all="ignore"):
            return self._jac(self.x0) if kind == "J" else self._lag_hess(self.x0, np.ones(self.m), 1.0)

    def _pattern(self, kind: str) -> tuple[NDArray[np.int64], NDArray[np.int64], Any]:
        with self._lock:
            if kind not in self._patterns:
                matrix = self._structure(kind)
                if is_sparse(matrix):
                    matrix = matrix.tocsr()
                    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
                    cols = matrix.indices.astype(np.int64)
                else:
                    rows, cols = (index.ravel() for index in np.indices(matrix.shape))
                chosen = np.flatnonzero(cols <= rows) if kind == "H" else np.arange(rows.size)
                self._patterns[kind] = (rows[chosen], cols[chosen], chosen)
            return self._patterns[kind]

    def _values(self, kind: str, matrix: Matrix) -> Vector:
        rows, cols, chosen = self._pattern(kind)
        values: Vector = matrix.data[chosen] if is_sparse(matrix) else matrix[rows, cols]
        return values

    # Counters, cache.

    def reset_counters(self) -> None:
        """Set the counters to zero and forget the last point."""
        with self._lock:
            for field in ("f", "g", "H", "c", "J", "Hv"):
                setattr(self.counters, field, 0)
            self.counters.seconds = 0.0
            self._key = b""
            self._cache.clear()

    def _locate(self, x: ArrayLike) -> Vector:
        """Return `x` as the cached point, emptying the cache when it differs from the last one bit by bit."""
        point = self._as_vector(x)
        if point.shape != (self.n,):
            raise ValueError(f"`x` has shape {point.shape}, expected ({self.n},).")
        key = to_host(point).tobytes()
        if key != self._key:
            self._key, self._x = key, point.copy()
            self._cache.clear()
        return self._x

    def _as_vector(self, value: ArrayLike) -> Vector:
        """Convert an argument; a subclass whose data live on a device converts to its own library."""
        return np.asarray(value, dtype=np.float64)

    def _argument(self, value: ArrayLike, size: int) -> Vector:
        vector = self._as_vector(value)
        if vector.shape != (size,):
            raise ValueError(f"expected a vector of shape ({size},), got shape {vector.shape}.")
        return vector

    def _memo(self, what: str, x: Vector, evaluate: Callable[[Vector], Any]) -> Any:
        value = self._cache.get(what)
        if value is None:
            start = time.perf_counter()
            with np.errstate(all="ignore"):
                value = self._cache[what] = evaluate(x)
            self._count(what, start)
        return value

    def _hessian(self, x: Vector, lam: Vector, obj_weight: float) -> Matrix:
        key = (to_host(lam).tobytes(), obj_weight)
        last_key, value = self._cache.get("H", (None, None))
        if last_key != key:
            start = time.perf_counter()
            with np.errstate(all="ignore"):
                value = self._lag_hess(x, lam, obj_weight)
            self._cache["H"] = (key, value)
            self._count("H", start)
        return value

    def _count(self, what: str, start: float) -> None:
        counters = self.counters
        setattr(counters, what, getattr(counters, what) + 1)
        counters.seconds += time.perf_counter() - start

    # Views, converters, checks.

    def equality_view(self) -> "Problem":
        """Return the problem with constraints ``c(x) - cu == 0``.

        Returns
        -------
        Problem
            The problem itself where `cu` is zero, else a view that shares its counters.

        Raises
        ------
        ValueError
            If a constraint is not an equality or a variable has a finite bound.
        """
        unequal = np.flatnonzero(self.cl != self.cu)
        if unequal.size:
            i = int(unequal[0])
            raise ValueError(
                f"{self.name}: constraint {i} is not an equality ({self.cl[i]:g} <= c[{i}] <= {self.cu[i]:g})."
            )
        bounded = np.flatnonzero(np.isfinite(self.lb) | np.isfinite(self.ub))
        if bounded.size:
            i = int(bounded[0])
            raise ValueError(f"{self.name}: variable {i} is bounded ({self.lb[i]:g} <= x[{i}] <= {self.ub[i]:g}).")
        return _EqualityView(self) if self.cu.any() else self

    def to_scipy(self, method: str = "trust-constr") -> dict[str, Any]:
        """Keyword arguments for `scipy.optimize.minimize`.

        Parameters
        ----------
        method : {"trust-constr", "SLSQP"}, default "trust-constr"
            Decides the form: NonlinearConstraint with Hessians, or constraint dicts with dense Jacobians (SLSQP takes
            neither Hessians nor sparse matrices).

        Returns
        -------
        dict
            `fun`, `x0`, `jac`, `method`, `bounds`, `constraints`, and for trust-constr `hess`.
        """
        return _adapters.scipy_arguments(self, method)

    def to_cyipopt(self) -> dict[str, Any]:
        """Keyword arguments for ``cyipopt.Problem``: `n`, `m`, `problem_obj`, `lb`, `ub`, `cl`, `cu`."""
        return _adapters.cyipopt_arguments(self)

    def to_uno(self) -> Any:
        """Return a ``unopy.Model`` with COO Jacobian, lower-triangle Hessian and ``L = f + y' c``, started at x0, y0.

        Raises
        ------
        ImportError
            If unopy is not installed.
        """
        return _adapters.uno_model(self)

    def to_numopt(self) -> dict[str, Any]:
        """Keyword arguments for `numopt.constrained.sketched_newton`, from the equality view."""
        return _adapters.numopt_arguments(self)

    def check_derivatives(
        self, x: ArrayLike | None = None, n_dirs: int = 3, *, rng: int | np.random.Generator | None = 0
    ) -> DerivativeCheck:
        """Compare the derivatives with fourth-order central differences along random directions.

        Parameters
        ----------
        x : array_like of shape (n,), optional
            Where; default `x0`.
        n_dirs : int, default 3
            Number of random directions (of the size of ``1 + |x|`` in each component).
        rng : int, Generator or None, default 0
            Random source for the directions and the multipliers.

        Returns
        -------
        DerivativeCheck
            `grad`, `jac`, `hess`: the largest of ``|difference - derivative| / max(1, |derivative|)`` (infinity norms;
            `hess` is checked through the gradient of the Lagrangian with random multipliers), each the smallest over
            the step sizes 1e-2, 1e-3, ..., 1e-7.
        """
        generator = np.random.default_rng(rng)
        at = self.x0 if x is None else np.array(x, dtype=np.float64)
        lam = generator.standard_normal(self.m)

        def lagrangian_gradient(point: Vector) -> Vector:
            return self.grad(point) + self.vjp(point, lam)

        worst = np.zeros(3)
        for _ in range(n_dirs):
            direction = generator.standard_normal(self.n) * (1.0 + np.abs(at))
            exact = (
                np.atleast_1d(self.grad(at) @ direction),
                self.jvp(at, direction),
                self.lag_hessp(at, lam, direction),
            )
            functions: tuple[Callable[[Vector], Any], ...] = (self.fun, self.cons, lagrangian_gradient)
            errors = [_difference_error(f, at, direction, value) for f, value in zip(functions, exact, strict=True)]
            worst = np.fmax(worst, errors)
        return DerivativeCheck(*(float(e) for e in worst))


class _EqualityView(Problem):
    """The problem with `cu` subtracted from its constraints; counters are the parent's."""

    def __init__(self, parent: Problem) -> None:
        super().__init__(
            name=parent.name, x0=parent.x0, m=parent.m, y0=parent.y0, is_linear=parent.is_linear,
            classification=parent.classification, f_opt=parent.f_opt, f_opt_source=parent.f_opt_source,
            source=parent.source,
        )  # fmt: skip
        self.counters = parent.counters
        self._parent = parent

    def _fun(self, x: Vector) -> float:
        return self._parent._fun(x)

    def _grad(self, x: Vector) -> Vector:
        return self._parent._grad(x)

    def _cons(self, x: Vector) -> Vector:
        return self._parent._cons(x) - self._parent.cu

    def _jac(self, x: Vector) -> Matrix:
        return self._parent._jac(x)

    def _lag_hess(self, x: Vector, lam: Vector, obj_weight: float) -> Matrix:
        return self._parent._lag_hess(x, lam, obj_weight)

    def _lag_hessp(self, x: Vector, lam: Vector, v: Vector, obj_weight: float) -> Vector:
        if type(self._parent)._lag_hessp is Problem._lag_hessp:
            return super()._lag_hessp(x, lam, v, obj_weight)
        return self._parent._lag_hessp(x, lam, v, obj_weight)

    def _structure(self, kind: str) -> Matrix:
        return self._parent._structure(kind)


def _vector(value: ArrayLike | None, size: int, default: float) -> Vector:
    if value is None:
        return np.full(size, default)
    vector = np.array(value, dtype=np.float64)
    if vector.shape != (size,):
        raise ValueError(f"expected a vector of shape ({size},), got shape {vector.shape}.")
    return vector


def _own(matrix: Matrix) -> Matrix:
    """A copy whose values belong to the caller; the index arrays of a fixed pattern stay shared."""
    if not is_sparse(matrix):
        return matrix.copy()
    owned = copy.copy(matrix)
    owned.data = matrix.data.copy()
    return owned


def _difference_error(function: Callable[[Vector], Any], x: Vector, direction: Vector, exact: Vector) -> float:
    """Smallest relative error over several steps: rounding spoils the small ones, curvature the large ones."""
    if exact.size == 0:
        return 0.0
    best = np.inf
    for h in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7):
        step = h * direction
        outer = np.subtract(function(x + 2 * step), function(x - 2 * step))
        inner = np.subtract(function(x + step), function(x - step))
        difference = np.atleast_1d((8.0 * inner - outer) / (12.0 * h))
        error = float(np.max(np.abs(difference - exact)) / max(1.0, float(np.max(np.abs(exact)))))
        best = min(best, error)
    return best
