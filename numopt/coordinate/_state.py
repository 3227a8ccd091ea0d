"""What the working-set method moves: the unknowns of a linear model or of a quadratic, with what follows from them."""

import math
from dataclasses import dataclass
from typing import Any

from numopt import kernels
from numopt._array import add_at, scalars
from numopt._core.timer import Deadline
from numopt._typing import Array
from numopt.coordinate._inner import ColumnModel, Effort, GramModel
from numopt.coordinate._line_search import backtrack
from numopt.coordinate._linear_model import LinearModel
from numopt.coordinate._pool import Pool
from numopt.coordinate._problem import largest
from numopt.coordinate._quadratic import Quadratic

__all__ = ["LinearState", "Look", "QuadraticState"]

# Linearisations of a loss on one working set, and to which part of its violation each is solved.
_LINEARISATIONS = 10
_LINEAR_PART = 0.1
_ROUNDING = 16.0
# Columns are dropped once no more than this part of them can differ from zero.
_COMPACT = 0.25
# Descent by columns that takes more epochs than this is badly conditioned: working sets up to this size then take the
# Gram matrix, with its factors, whatever forming it costs.
_SLOW_EPOCHS = 30
_SLOW_GRAM = 2000


@dataclass(slots=True)
class Look:
    """A point judged: objective, optimality, and the coordinates that violate it with how much.

    `candidates` are ascending and hold those that `is_free` tells; `scale` is what the derivatives of the loss are
    multiplied with to be feasible in the dual.
    """

    fun: float
    kkt: float
    gap: float
    dual: float
    floor: float
    candidates: Array
    violations: Array
    is_free: Array
    correlations: Array
    scale: float = 1.0


class LinearState:
    """The unknowns of a linear model, its margins, and the terms of its loss.

    Attributes
    ----------
    problem : LinearModel
        The problem in the columns that are left.
    columns : array or None
        Which of all columns they are, ascending; None for all.
    x : array
        The unknowns of these columns.
    deadline : Deadline
        When inner solves end as well.
    effort : Effort
        What the inner solves have cost.
    moved : bool
        Whether the last `improve` has changed anything.
    """

    is_indefinite = False
    _loss: float
    _derivative: Array
    _curvature: Array

    def __init__(self, problem: LinearModel, x: Array, intercept: Any, deadline: Deadline) -> None:
        self.whole = self.problem = problem
        self.columns: Array | None = None
        self.x, self.deadline = x, deadline
        self._xp = problem.xp
        self._kernels = kernels.bind(problem.xp)
        self.intercept = 0.0 if intercept is None else intercept
        self._margins = problem.margins(x, self.intercept)
        self.effort, self.linearisations, self.moved = Effort(), 0, True
        self._is_slow = False
        self._fit_intercept()
        self._evaluate()

    def full_x(self) -> Array:
        """Return the unknowns of all columns."""
        if self.columns is None:
            return self.x
        x = self._xp.zeros(self.whole.n_variables, dtype=self.x.dtype, device=self.x.device)
        add_at(x, self.columns, self.x)
        return x

    def look(self) -> Look:
        """Judge the point, at the cost of one product with A'."""
        problem, xp = self.problem, self._xp
        v = problem.design.rmatvec(self._derivative)
        grad = v + problem.l2 * self.x if not _is_zero(problem.l2) else v
        candidates = problem.penalty.candidates(self.x, grad)
        x = xp.take(self.x, candidates)
        violations = problem.penalty.min_subgradient(x, xp.take(grad, candidates), candidates)
        is_free = problem.penalty.is_free(x, candidates)
        kkt = largest(xp, violations)
        fun = self.objective()
        gap = dual = math.nan
        scale, floor = 1.0, 0.0
        if problem.has_dual:
            dual, scale, _, v_dual = problem.dual_value(self._derivative, v)
            self._dual_correlations = v_dual
            gap = max(fun - dual, 0.0) if not math.isnan(dual) else math.nan
        else:
            size, total = scalars(xp, xp.linalg.vector_norm(self._derivative), xp.sum(grad))
            floor = _ROUNDING * float(xp.finfo(problem.dtype).eps) * size * self._longest()
            kkt += 0 * total  # comparisons swallow NaN
        return Look(fun, kkt, gap, dual, floor, candidates, violations, is_free, v, scale)

    def objective(self) -> float:
        """Return F at the point."""
        return self._loss + self.problem.ridge(self.x) + self.problem.penalty.value(self.x)

    def screen(self, look: Look, held: Array) -> bool:
        """Drop columns that the gap shows to be zero at the solution, save those `held` (of all columns), if many."""
        problem, xp = self.problem, self._xp
        penalty = problem.penalty
        if not (problem.has_dual and problem.design.dropping_pays and _is_one_sided(penalty)):
            return False
        radius = math.sqrt(2 * look.gap)
        reach = radius * xp.sqrt(xp.maximum(problem.lipschitz - problem.l2, xp.zeros_like(problem.lipschitz)))
        v = look.scale * self._dual_correlations
        size = xp.abs(v) if not penalty.has_bounds else -v
        # Rounding must not drop what belongs to the support.
        alive = (size + reach > penalty.l1 * (1 - 1e-9)) | (self.x != 0)
        (count,) = scalars(xp, xp.sum(xp.astype(alive, xp.float64)))
        if count + held.shape[0] > _COMPACT * self.x.shape[0]:
            return False
        keep = xp.nonzero(alive)[0]
        if held.shape[0]:
            local = held if self.columns is None else xp.searchsorted(self.columns, held)
            keep = xp.unique_values(xp.concat([keep, local]))
        self.columns = keep if self.columns is None else xp.take(self.columns, keep)
        self.problem = problem.restrict(keep)
        self.x = xp.take(self.x, keep)
        return True

    def improve(self, working: Array, look: Look, target: float, pool: Pool | None, newton: bool) -> None:
        """Minimise over the working set until its violation is about `target`."""
        xp, problem = self._xp, self.problem
        ids = working if self.columns is None else xp.take(self.columns, working)
        part = None
        gram = None
        if problem.is_quadratic and pool is not None and self.whole.design.gram_pays(ids):
            pool.hold(ids)
            ids, part, gram = pool.ids, pool.part, pool.H
            working = ids if self.columns is None else xp.searchsorted(self.columns, ids)
        if part is None:
            part = problem.design.gather(working)
        penalty, l2 = problem.penalty.restrict(working), problem.penalty.part(problem.l2, working)
        g = xp.take(look.correlations, working)
        self.moved = False
        violation = math.inf
        for step in range(1 if problem.is_quadratic else _LINEARISATIONS):
            x = xp.take(self.x, working)
            if step:
                g = part.rmatvec(self._derivative)
                previous, violation = violation, largest(xp, penalty.min_subgradient(x, g + l2 * x))
                if not violation > target or not violation < 0.9 * previous:
                    break
            else:
                violation = look.kkt
            goal = target if problem.is_quadratic else max(0.5 * target, _LINEAR_PART * violation)
            d, shift, constant = self._model_step(part, gram, penalty, l2, x, g, goal, newton)
            if not self._accept(working, penalty, l2, x, d, shift, constant):
                break
            self.linearisations += 1

    def _model_step(
        self, part: Any, gram: Any, penalty: Any, l2: Any, x: Array, g: Array, goal: float, newton: bool
    ) -> tuple[Array, Array, float]:
        """Minimise the quadratic model; return the step, its change of the margins, and of the constant."""
        xp, problem = self._xp, self.problem
        weights = self._curvature
        moving = xp.asarray(x, copy=True)
        empty = xp.empty(0, dtype=problem.dtype, device=problem.device)
        offset = 0.0
        if problem.intercept:
            sums = part.rmatvec(weights)
            total, slope = scalars(xp, xp.sum(weights), xp.sum(self._derivative))
            if total > 0:
                means, offset = sums / total, -slope / total
            else:
                means, sums = xp.zeros_like(x), xp.zeros_like(x)
        plain = problem.is_quadratic and problem.sample_weight is None
        if gram is not None or part.gram_pays() or (self._is_slow and part.shape[1] <= _SLOW_GRAM):
            H = gram if gram is not None else part.gram(None if plain else weights)
            if problem.intercept:
                H = H - sums[:, None] * means[None, :]
                g = g + offset * sums
            model: Any = GramModel(xp, self._kernels, H, penalty, l2, moving, xp.asarray(g, copy=True))
        else:
            curvature = part.column_squares(None if plain else weights)
            if problem.intercept:
                curvature = xp.maximum(curvature - means * sums, xp.zeros_like(curvature))
            model = ColumnModel(
                part, penalty, l2, moving, xp.asarray(self._derivative, copy=True),
                weights=empty if plain else weights,
                means=means if problem.intercept else empty,
                sums=sums if problem.intercept else empty,
                curvature=curvature,
                offset=xp.full(1, offset, dtype=xp.float64, device=problem.device),
            )  # fmt: skip
        model.minimise(goal, newton=newton, deadline=self.deadline)
        self._is_slow = self._is_slow or model.effort.epochs > _SLOW_EPOCHS
        self.effort.add(model.effort)
        d = model.x - x
        shift = part.matvec(d)
        constant = 0.0
        if problem.intercept:
            constant = offset - scalars(xp, xp.sum(means * d))[0]
            shift = shift + constant
        return d, shift, constant

    def _accept(
        self, working: Array, penalty: Any, l2: Any, old: Array, d: Array, shift: Array, constant: float
    ) -> bool:
        """Take the longest part of a step that brings the objective down; tell whether there is any."""
        xp, problem = self._xp, self.problem
        if constant == 0 and not bool(xp.any(d != 0)):
            return False
        new = old + d
        if problem.is_quadratic:  # the model is the objective
            self._move(working, d)
            self._margins, self.intercept = self._margins + shift, self.intercept + constant
            self._evaluate()
            self.moved = True
            return True
        outer = penalty.value(old)
        slope, linear, curved = scalars(xp, xp.sum(self._derivative * shift), xp.sum(l2 * old * d), xp.sum(l2 * d * d))
        decrease = slope + linear + 0.5 * curved + penalty.value(new) - outer
        noise = _ROUNDING * float(xp.finfo(problem.dtype).eps) * abs(self._loss)
        before = self._loss
        terms: dict[float, tuple[Array, tuple[float, Array, Array]]] = {}

        def trial(length: float) -> tuple[float, float]:
            margins = self._margins + length * shift
            terms[length] = margins, problem.loss_terms(margins)
            change = terms[length][1][0] - before + length * linear + 0.5 * length * length * curved
            return change + penalty.value(old + length * d) - outer, length * decrease

        found = backtrack(trial, 0.0, decrease, slack=noise)
        if found is None:
            return False
        length = found[0]
        self._move(working, length * d)
        self._margins, (self._loss, self._derivative, self._curvature) = terms[length]
        self.intercept = self.intercept + length * constant
        self.moved = True
        return True

    def _move(self, working: Array, d: Array) -> None:
        add_at(self.x, working, d)
        # A step to a bound may miss it by its rounding.
        self.x = self.problem.penalty.project(self.x)

    def refresh(self) -> None:
        """Compute the margins from x again, and the best constant."""
        self._margins = self.problem.margins(self.x, self.intercept)
        self._fit_intercept()
        self._evaluate()

    def _fit_intercept(self) -> None:
        if self.problem.intercept:
            self.intercept, self._margins = self.problem.fit_intercept(self._margins, self.intercept)

    def _evaluate(self) -> None:
        self._loss, self._derivative, self._curvature = self.problem.loss_terms(self._margins)

    def _longest(self) -> float:
        xp = self._xp
        return math.sqrt(scalars(xp, xp.max(self.whole.lipschitz))[0])


class QuadraticState:
    """The unknowns of a quadratic with the gradient of its smooth part."""

    intercept = 0.0
    columns = None

    def __init__(self, problem: Quadratic, x: Array, deadline: Deadline) -> None:
        self.whole = self.problem = problem
        self.x, self.deadline = x, deadline
        self._xp = problem.xp
        self._kernels = kernels.bind(problem.xp)
        self.effort, self.linearisations, self.moved = Effort(), 0, True
        self.is_indefinite = bool(problem.xp.any(problem.lipschitz < 0))
        self.refresh()

    def full_x(self) -> Array:
        """Return the unknowns."""
        return self.x

    def look(self) -> Look:
        """Judge the point."""
        problem, xp = self.problem, self._xp
        grad = self._gradient
        candidates = problem.penalty.candidates(self.x, grad)
        x = xp.take(self.x, candidates)
        violations = problem.penalty.min_subgradient(x, xp.take(grad, candidates), candidates)
        is_free = problem.penalty.is_free(x, candidates)
        fun = self._fun + problem.penalty.value(self.x)
        (total,) = scalars(xp, xp.sum(grad))
        kkt = largest(xp, violations) + 0 * total
        return Look(fun, kkt, math.nan, math.nan, self._floor, candidates, violations, is_free, grad)

    def screen(self, look: Look, held: Array) -> bool:
        """Drop nothing: no dual is known."""
        return False

    def improve(self, working: Array, look: Look, target: float, pool: Pool | None, newton: bool) -> None:
        """Minimise over the working set until its violation is about `target`."""
        xp, problem = self._xp, self.problem
        x = xp.take(self.x, working)
        start = xp.asarray(x, copy=True)
        l2 = problem.penalty.part(problem.l2, working)
        H = problem.block(working)
        g = xp.take(look.correlations, working) - l2 * x
        model = GramModel(xp, self._kernels, H, problem.penalty.restrict(working), l2, x, g)
        model.minimise(target, newton=newton, deadline=self.deadline)
        self.effort.add(model.effort)
        self.is_indefinite = model.is_indefinite
        d = model.x - start
        self.moved = bool(xp.any(d != 0))
        if self.moved:
            add_at(self.x, working, d)
            # A step to a bound may miss it by its rounding.
            self.x = problem.penalty.project(self.x)
            self.refresh()

    def refresh(self) -> None:
        """Compute gradient and value from x."""
        problem, xp = self.problem, self._xp
        product = problem.Q @ self.x
        self._gradient = product - problem.c + problem.l2 * self.x
        self._fun = scalars(xp, xp.sum(self.x * (0.5 * product - problem.c), dtype=xp.float64))[0]
        self._fun += problem.ridge(self.x)
        eps = float(xp.finfo(problem.dtype).eps)
        size = largest(xp, xp.abs(product) + xp.abs(problem.c))
        self._floor = _ROUNDING * eps * size


def _is_one_sided(penalty: Any) -> bool:
    """Tell whether zero is where every unknown rests: no bounds, or the lower bound zero alone."""
    return not penalty.has_bounds or (
        isinstance(penalty.lower, float)
        and penalty.lower == 0
        and isinstance(penalty.upper, float)
        and penalty.upper == math.inf
    )


def _is_zero(value: Any) -> bool:
    return isinstance(value, float | int) and value == 0
