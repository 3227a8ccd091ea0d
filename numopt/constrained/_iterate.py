"""One point of the iteration with everything evaluated there."""

import math
from dataclasses import dataclass
from typing import Any

from numopt._array import scalars
from numopt._typing import Array
from numopt.constrained._functions import Functions


@dataclass(slots=True)
class Iterate:
    """Values and first derivatives at (x, lam); the residual of the optimality system is (g, c)."""

    x: Array
    lam: Array
    f: float
    c: Array
    grad: Array
    J: Any
    g: Array  # gradient of the Lagrangian, grad + J'lam
    lagrangian: float  # f + lam'c
    optimality: float  # ||g||_2
    violation: float  # ||c||_2

    @property
    def kkt(self) -> float:
        """2-norm of (grad_x L, c), the measure that `tol` bounds."""
        return math.hypot(self.optimality, self.violation)

    @property
    def finite(self) -> bool:
        """Whether value and residual are finite."""
        return math.isfinite(self.f) and math.isfinite(self.kkt)


def complete(functions: Functions, x: Array, lam: Array, f: float, c: Array) -> Iterate:
    """Add the first derivatives to a point whose values are known."""
    return attach_multipliers(functions.xp, x, lam, f, c, functions.grad(x), functions.jac(x))


def evaluate(functions: Functions, x: Array, lam: Array) -> Iterate:
    """Evaluate everything at (x, lam)."""
    f = functions.fun(x)
    return complete(functions, x, lam, f, functions.cons(x))


def attach_multipliers(xp: Any, x: Array, lam: Array, f: float, c: Array, grad: Array, J: Any) -> Iterate:
    """The iterate that given values and derivatives make with the multipliers `lam`."""
    g = grad + J.T @ lam if lam.shape[0] else grad
    gg, cc, lc = scalars(xp, g @ g, c @ c, lam @ c)
    return Iterate(
        x=x,
        lam=lam,
        f=f,
        c=c,
        grad=grad,
        J=J,
        g=g,
        lagrangian=f + lc,
        optimality=math.sqrt(gg) if gg >= 0 else math.nan,
        violation=math.sqrt(cc) if cc >= 0 else math.nan,
    )


def with_multipliers(xp: Any, point: Iterate, lam: Array) -> Iterate:
    """The same point with other multipliers; nothing is evaluated."""
    return attach_multipliers(xp, point.x, lam, point.f, point.c, point.grad, point.J)
