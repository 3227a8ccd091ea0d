"""Minimise a quadratic plus l1 norm and bounds on a working set: coordinate descent, then Newton steps on the support.

Two forms: by the Hessian of the working set (a Gram matrix), where a step costs as many operations as there are
coordinates, and by the columns themselves, where it costs those of a column and nothing has to be formed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.linalg import LinAlgError

from numopt._array import add_at, scalars
from numopt._core.timer import Deadline
from numopt._krylov import pcg
from numopt._typing import Array, Namespace
from numopt.coordinate._design import Design
from numopt.coordinate._extrapolation import Extrapolation
from numopt.coordinate._face import Face, minimise_on_face
from numopt.coordinate._penalty import Penalty
from numopt.kernels import KernelSet

__all__ = ["ColumnModel", "Effort", "GramModel", "newton_direction"]

# Epochs of coordinate descent by columns between two looks at the support.
_EPOCHS = 3
# Rounds of epochs and a Newton step; each makes progress, and the outer loop takes what there is.
_ROUNDS = 200
# Epochs that leave more than this part of the violation are slow.
_SLOW = 0.5
# Largest support for Cholesky factors.
_LARGEST_FACTOR = 3000
# Factors for one face.
_FACTORS = 60
# Part of the signs that may still change when a Newton step by columns is worth while.
_UNSETTLED = 0.01
# The largest change of an epoch must be this part of the target to stand for what it underestimates.
_NEWTON_WORTH = 0.01
# Accuracy and length of the conjugate gradients for it.
_CG_RTOL = 0.03
_CG_STEPS = 60


@dataclass(slots=True)
class Effort:
    """What solves have cost: coordinate updates, in how many epochs, and Newton steps."""

    updates: int = 0
    epochs: int = 0
    newton: int = 0

    def add(self, other: "Effort") -> None:
        """Add what another solve has cost."""
        self.updates += other.updates
        self.epochs += other.epochs
        self.newton += other.newton


class GramModel:
    """Coordinates x (k) with the gradient g of the quadratic part, whose Hessian is H; x and g are changed in place."""

    def __init__(
        self, xp: Namespace, kernels: KernelSet, H: Array, penalty: Penalty, l2: Any, x: Array, g: Array
    ) -> None:
        self._xp, self._kernels = xp, kernels
        self.H, self.penalty, self.l2, self.x, self.g = H, penalty, l2, x, g
        self._table = penalty.table(l2, x.shape[0])
        self._extrapolation = Extrapolation(xp)
        self.effort, self.is_indefinite = Effort(), False

    def minimise(self, target: float, *, newton: bool = True, deadline: Deadline | None = None) -> float:
        """Move x until the largest entry of the minimal subgradient is about `target`; return what it is then.

        A Hessian that turns out not to be positive semidefinite ends it with `is_indefinite`.
        """
        xp = self._xp
        k = self.x.shape[0]
        epochs, direct = self._kernels.gram_descent_epochs(k), self._kernels.direct_support(k)
        largest = max(direct, _LARGEST_FACTOR)
        violations = xp.empty(epochs, dtype=xp.float64, device=self.x.device)
        violation = math.inf
        for _ in range(_ROUNDS):
            signs = xp.sign(self.x)
            self._kernels.gram_descent(self.H, self._table, self.x, self.g, violations)
            self.effort.epochs += epochs
            self.effort.updates += epochs * k
            if not newton:
                self._extrapolate()
            free = self.penalty.free(self.x)
            previous = violation
            settled, violation = scalars(xp, xp.all(xp.sign(self.x) == signs), self._violation())
            # Where the support is small, its solution costs less than another gradient would; else it must have
            # settled, or the epochs be slow.
            small = free.shape[0] <= direct
            ripe = small or (violation > target and (settled or violation > _SLOW * previous))
            if newton and ripe and 0 < free.shape[0] <= largest:
                self._newton(free)
                (violation,) = scalars(xp, self._violation())
            if not violation > target or self.is_indefinite or (deadline is not None and deadline.expired()):
                break
        return violation

    def _extrapolate(self) -> None:
        """Go on to the combination of the last iterates if the objective falls."""
        xp = self._xp
        end = self._extrapolation.push(self.x)
        if end is None:
            return
        end = self.penalty.project(end)
        d = end - self.x
        change = self.H @ d
        slope = self.g + self.l2 * self.x + 0.5 * (change + self.l2 * d)
        (smooth,) = scalars(xp, xp.sum(d * slope))
        if smooth + self.penalty.value(end) - self.penalty.value(self.x) < 0:
            self.x[...] = end
            self.g += change

    def _violation(self) -> Array:
        """Return the largest entry of the minimal subgradient."""
        xp = self._xp
        return xp.max(xp.abs(self.penalty.min_subgradient(self.x, self.g + self.l2 * self.x)))

    def _newton(self, free: Array) -> None:
        """Minimise over the free coordinates within their signs and bounds, with a new factor as often as it is due."""
        xp = self._xp
        for _ in range(_FACTORS):
            face = Face(xp, self._table, self.x, self.g, free)
            H = xp.take(xp.take(self.H, free, axis=0), free, axis=1)
            try:
                step, finished = minimise_on_face(xp, H, face)
            except LinAlgError:
                self.is_indefinite = True
                break
            move = xp.zeros_like(self.x)
            add_at(move, free, step)
            # Rounding must not keep a coordinate off the end of its face.
            add_at(self.x, free, face.x - xp.take(self.x, free))
            self.g += self.H @ move
            self.effort.newton += 1
            if finished:
                break
            free = self.penalty.free(self.x)
            if not free.shape[0]:
                break


class ColumnModel:
    """The same by the columns of a design; s is the gradient in the products A x, see the kernel `csc_descent`."""

    def __init__(
        self,
        design: Design,
        penalty: Penalty,
        l2: Any,
        x: Array,
        s: Array,
        *,
        weights: Array,
        means: Array,
        sums: Array,
        curvature: Array,
        offset: Array,
    ) -> None:
        self._xp, self._design = design.xp, design
        self.penalty, self.l2, self.x, self.s = penalty, l2, x, s
        self._weights, self._means, self._sums = weights, means, sums
        self._curvature, self._offset = curvature, offset
        self._table = penalty.table(l2, x.shape[0])
        self._extrapolation = Extrapolation(design.xp)
        self.effort = Effort()

    def minimise(self, target: float, *, newton: bool = True, deadline: Deadline | None = None) -> float:
        """Move x until the largest entry of the minimal subgradient is about `target`; return the last measure of it.

        The largest change in an epoch stands for that entry, which it underestimates; once the signs have settled,
        Newton steps follow, and the entry itself is computed.
        """
        xp = self._xp
        violations = xp.empty(_EPOCHS, dtype=xp.float64, device=self.x.device)
        violation = math.inf
        for _ in range(_ROUNDS):
            signs = xp.sign(self.x)
            self._design.descend(
                self._weights, self._means, self._sums, self._curvature, self._table, self.x, self.s, self._offset,
                violations,
            )  # fmt: skip
            self.effort.epochs += _EPOCHS
            self.effort.updates += _EPOCHS * self.x.shape[0]
            changed, violation = scalars(
                xp, xp.mean(xp.astype(xp.sign(self.x) != signs, xp.float64)), violations[_EPOCHS - 1]
            )
            if newton and changed <= _UNSETTLED and violation > _NEWTON_WORTH * target:
                self._newton(self.penalty.free(self.x))
                self.effort.newton += 1
                violation = self.violation()
            if not newton:
                self._extrapolate()
            goal = target if newton else _NEWTON_WORTH * target
            if not violation > goal or (deadline is not None and deadline.expired()):
                break
        return violation

    def _extrapolate(self) -> None:
        """Go on to the combination of the last iterates if the objective falls."""
        xp = self._xp
        end = self._extrapolation.push(self.x)
        if end is None:
            return
        end = self.penalty.project(end)
        d = end - self.x
        products = self._design.matvec(d)
        change = self._weights * products if self._weights.shape[0] else products
        smooth = xp.sum(products * (self.s + 0.5 * change)) + xp.sum(self.l2 * d * (self.x + 0.5 * d))
        moved = xp.sum(self._means * d) if self._means.shape[0] else None
        if moved is not None:
            smooth = smooth + (self._offset[0] - 0.5 * moved) * xp.sum(self._sums * d)
        if scalars(xp, smooth)[0] + self.penalty.value(end) - self.penalty.value(self.x) < 0:
            self.x[...] = end
            self.s += change
            if moved is not None:
                self._offset -= xp.astype(moved, xp.float64)

    def violation(self) -> float:
        """Return the largest entry of the minimal subgradient."""
        xp = self._xp
        g = self._design.rmatvec(self.s) + self.l2 * self.x
        if self._means.shape[0]:
            g = g + self._offset * self._sums
        return scalars(xp, xp.max(xp.abs(self.penalty.min_subgradient(self.x, g))))[0]

    def _newton(self, free: Array) -> None:
        """Take an inexact Newton step on the free coordinates, by conjugate gradients."""
        xp = self._xp
        if not free.shape[0]:
            return
        design, centred = self._design.gather(free), self._means.shape[0] > 0
        g = design.rmatvec(self.s)
        if centred:
            means, sums = xp.take(self._means, free), xp.take(self._sums, free)
            g = g + self._offset[0] * sums
        whole = xp.zeros_like(self.x)
        add_at(whole, free, g)
        face = Face(xp, self._table, self.x, whole, free)

        def shift(d: Array) -> Array:
            products = design.matvec(d)
            return self._weights * products if self._weights.shape[0] else products

        def product(d: Array) -> Array:
            out = design.rmatvec(shift(d)) + face.l2 * d
            return out - sums * xp.sum(means * d) if centred else out

        diagonal = xp.take(self._curvature, free) + face.l2
        direction = newton_direction(xp, product, face.descent, diagonal)
        step = face.project(direction)
        model, inside = scalars(xp, xp.sum(step * (0.5 * product(step) - face.descent)), xp.all(step == direction))
        if not inside and not model < 0:
            step = face.shorten(direction)
        add_at(self.x, free, step)
        self.s += shift(step)
        if centred:
            self._offset -= xp.astype(xp.sum(means * step), xp.float64)


def newton_direction(xp: Namespace, product: Callable[[Array], Array], b: Array, diagonal: Array) -> Array:
    """Solve roughly by conjugate gradients with the diagonal as preconditioner: they end in a descent direction."""
    positive = diagonal > 0
    inverse = xp.where(positive, 1 / xp.where(positive, diagonal, xp.ones_like(diagonal)), xp.zeros_like(diagonal))
    return pcg(product, b, precond=lambda r: inverse * r, rtol=_CG_RTOL, maxiter=_CG_STEPS).x
