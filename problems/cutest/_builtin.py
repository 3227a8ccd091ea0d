"""Closed forms of the CUTEst systems ``c(x) = 0`` (objective zero) that S2MPJ does not ship.

Formulas follow the SIF files; where the runs that a suite compares with used a variant, the docstring says so.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from numopt.problems._base import Matrix, Problem, Vector


@dataclass(frozen=True)
class _System:
    """Starting point, functions, Jacobian and weighted sum of the functions' Hessians."""

    x0: Vector
    cons: Callable[[Vector], Vector]
    jac: Callable[[Vector], Vector]
    hess: Callable[[Vector, Vector], Vector]
    is_linear: tuple[int, ...] = ()


class BuiltinProblem(Problem):
    """A square nonlinear system in closed form."""

    def __init__(self, name: str, system: _System) -> None:
        n = system.x0.size
        super().__init__(
            name=name, x0=system.x0, m=n, is_linear=np.isin(np.arange(n), system.is_linear),
            classification=f"C-CNOR2-AN-{n}-{n}", f_opt=0.0, f_opt_source="no objective", source="builtin",
        )  # fmt: skip
        self._system = system

    def _fun(self, x: Vector) -> float:
        return 0.0

    def _grad(self, x: Vector) -> Vector:
        return np.zeros(self.n)

    def _cons(self, x: Vector) -> Vector:
        return self._system.cons(x)

    def _jac(self, x: Vector) -> Matrix:
        return self._system.jac(x)

    def _lag_hess(self, x: Vector, lam: Vector, obj_weight: float) -> Matrix:
        return self._system.hess(x, lam)


def _sinvalne(n: int) -> _System:
    def cons(x: Vector) -> Vector:
        return np.array([10.0 * (math.sin(x[0]) - x[1]), 0.5 * x[0]])

    def jac(x: Vector) -> Vector:
        return np.array([[10.0 * math.cos(x[0]), -10.0], [0.5, 0.0]])

    def hess(x: Vector, lam: Vector) -> Vector:
        return np.array([[-10.0 * lam[0] * math.sin(x[0]), 0.0], [0.0, 0.0]])

    return _System(np.array([4.712389, -1.0]), cons, jac, hess, is_linear=(1,))


def _denschncne(n: int) -> _System:
    def cons(x: Vector) -> Vector:
        return np.array([x[0] ** 2 + x[1] ** 2 - 2.0, np.exp(x[0] - 1.0) + x[1] ** 3 - 2.0])

    def jac(x: Vector) -> Vector:
        return np.array([[2.0 * x[0], 2.0 * x[1]], [np.exp(x[0] - 1.0), 3.0 * x[1] ** 2]])

    def hess(x: Vector, lam: Vector) -> Vector:
        return np.diag([2.0 * lam[0] + lam[1] * np.exp(x[0] - 1.0), 2.0 * lam[0] + 6.0 * lam[1] * x[1]])

    return _System(np.array([2.0, 3.0]), cons, jac, hess)


def _himmelbe(n: int) -> _System:
    def cons(x: Vector) -> Vector:
        return np.array([0.25 * (x[0] + x[1]) ** 2 - x[2], 1.0 - x[0], 1.0 - x[1]])

    def jac(x: Vector) -> Vector:
        slope = 0.5 * (x[0] + x[1])
        return np.array([[slope, slope, -1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])

    def hess(x: Vector, lam: Vector) -> Vector:
        out = np.zeros((3, 3))
        out[:2, :2] = 0.5 * lam[0]
        return out

    return _System(np.array([-1.2, 2.0, 0.0]), cons, jac, hess, is_linear=(1, 2))


def _trigon1ne(n: int) -> _System:
    i = np.arange(1.0, n + 1.0)

    def cons(x: Vector) -> Vector:
        cosine = np.cos(x)
        values: Vector = cosine.sum() + i * (cosine + np.sin(x)) - (n + i)
        return values

    def jac(x: Vector) -> Vector:
        sine = np.sin(x)
        return np.tile(-sine, (n, 1)) + np.diag(i * (np.cos(x) - sine))

    def hess(x: Vector, lam: Vector) -> Vector:
        cosine = np.cos(x)
        return np.diag(-lam.sum() * cosine - lam * i * (cosine + np.sin(x)))

    return _System(np.full(n, 1.0 / n), cons, jac, hess)


def _morebvne(n: int, last_row: str = "textbook") -> _System:
    """Moré's discrete boundary value problem; `last_row='authors'` drops ``2 x_n`` and turns a sign, see below.

    The version behind the stored runs of AdaSketch-Newton has ``x_{n-1} + h^2 (x_n + t_n + 1)^3 / 2`` as its last
    row; only that one reproduces their starting KKT norm.
    """
    h = 1.0 / (n + 1)
    t = h * np.arange(1.0, n + 1.0)
    linear = 2.0 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    if last_row == "authors":
        linear[-1] = 0.0
        linear[-1, -2] = 1.0
    elif last_row != "textbook":
        raise ValueError(f"`last_row` must be 'textbook' or 'authors', got {last_row!r}.")

    def cons(x: Vector) -> Vector:
        values: Vector = linear @ x + 0.5 * h**2 * (x + t + 1.0) ** 3
        return values

    def jac(x: Vector) -> Vector:
        return linear + np.diag(1.5 * h**2 * (x + t + 1.0) ** 2)

    def hess(x: Vector, lam: Vector) -> Vector:
        return np.diag(3.0 * h**2 * lam * (x + t + 1.0))

    return _System(t * (t - 1.0), cons, jac, hess)


def _mancinone(n: int) -> _System:
    """Mancino's system; the sum in `x0` runs over j < i as in CUTEst (S2MPJ's over all j other than i)."""
    alpha, beta = 5, 14.0 * n
    i = np.arange(1.0, n + 1.0)
    ratio = i[:, None] / i
    off = ~np.eye(n, dtype=bool)
    cubes = (i - n / 2.0) ** 3

    def terms(v: Vector) -> Vector:
        log = np.log(v)
        values: Vector = v * (np.sin(log) ** alpha + np.cos(log) ** alpha)
        return values

    def slopes(x: Vector) -> tuple[Vector, Vector, Vector]:
        """v, and the first and second derivative of the terms with respect to v."""
        v = np.sqrt(x * x + ratio)
        s, c = np.sin(np.log(v)), np.cos(np.log(v))
        power = s**5 + c**5
        turn = 5.0 * s * c * (s**3 - c**3)
        return v, power + turn, (turn - 5.0 * power + 20.0 * s**2 * c**2 * (s + c)) / v

    def cons(x: Vector) -> Vector:
        values: Vector = beta * x - cubes + np.sum(terms(np.sqrt(x * x + ratio)), axis=1, where=off)
        return values

    def jac(x: Vector) -> Vector:
        v, first, _ = slopes(x)
        out = first * x / v
        np.fill_diagonal(out, beta)
        return out

    def hess(x: Vector, lam: Vector) -> Vector:
        v, first, second = slopes(x)
        inner = x / v
        curvature = second * inner**2 + first * (1.0 - inner**2) / v
        np.fill_diagonal(curvature, 0.0)
        return np.diag(lam @ curvature)

    shrink = beta / (beta**2 - (alpha + 1) ** 2 * (n - 1) ** 2)
    start = np.sum(terms(np.sqrt(ratio)), axis=1, where=np.tri(n, k=-1, dtype=bool))
    return _System(-shrink * (cubes + start), cons, jac, hess)


_SYSTEMS: dict[str, tuple[Callable[..., _System], int, bool]] = {
    "DENSCHNCNE": (_denschncne, 2, False),
    "HIMMELBE": (_himmelbe, 3, False),
    "MANCINONE": (_mancinone, 100, True),
    "MOREBVNE": (_morebvne, 10, True),
    "SINVALNE": (_sinvalne, 2, False),
    "TRIGON1NE": (_trigon1ne, 10, True),
}
"""Name -> builder, default n, whether n can be chosen."""

BUILTIN_NAMES = tuple(_SYSTEMS)


def default_size(name: str) -> int:
    """Default number of variables of a builtin problem."""
    return _SYSTEMS[name][1]


def load_builtin(name: str, n: int | None = None, params: Mapping[str, Any] | None = None) -> BuiltinProblem:
    """Build the builtin problem `name` with `n` variables."""
    build, default, scalable = _SYSTEMS[name]
    size = default if n is None else n
    if size != default and (not scalable or size < 2):
        sizes = "2, 3, ..." if scalable else str(default)
        raise ValueError(f"{name} (builtin) is not available with n={n}; sizes: {sizes}.")
    return BuiltinProblem(name, build(size, **(params or {})))
