"""Multinomial regression with an l1 norm: proximal Newton steps on working sets of (feature, class) pairs.

The quadratic model of a step is minimised by its matrix, for working sets of moderate size: coordinate descent and
Newton steps on the support, which then cost nothing that depends on the number of samples. Larger ones are minimised
class by class: coordinate descent on the pairs of one class, whose curvature is diagonal in the samples, after which
what the class has moved is passed on to the gradients of the others; once the signs have settled, conjugate gradients
on the support follow, which know the coupling of the classes. A line search on the margins makes each step safe.
"""

import math
from dataclasses import dataclass
from typing import Any

from scipy.optimize import OptimizeResult

from numopt._array import add_at, contiguous, scalars
from numopt._core.status import Status
from numopt._linalg import top_k
from numopt._typing import Array
from numopt.coordinate._design import Design, SparseDesign
from numopt.coordinate._face import Face
from numopt.coordinate._hessians import MultinomialHessian
from numopt.coordinate._inner import GramModel, newton_direction
from numopt.coordinate._line_search import backtrack
from numopt.coordinate._report import Report
from numopt.coordinate._softmax import Multinomial

__all__ = ["solve_multinomial"]

# Smallest working set, and its size in terms of the support.
_SMALLEST, _GROWTH = 64, 2.0
# The model is minimised to this part of the violation at the point, and within so many sweeps over the classes.
_INNER, _SWEEPS = 0.1, 30
# Largest working set whose matrix is formed.
_LARGEST_GRAM = 1500
# Epochs of coordinate descent on one class.
_EPOCHS = 2
_ROUNDING = 4.0
_PATIENCE = 3


def solve_multinomial(problem: Multinomial, x0: Array, report: Report, settings: dict[str, Any]) -> OptimizeResult:
    """Solve a multinomial model with psi = l1 |x| from x0, a flat vector."""
    x, constant, nit, npass = report.resume(x0)
    constant = settings.get("intercept") if constant is None else constant
    run = _ProximalNewton(problem, report, x, constant, settings)
    run.nit, run.npass = nit, npass
    status = run.iterate()
    result = run.result(status)
    if status is Status.CONVERGED and not result.success:
        # Margins that were carried along flattered the point: compute them again and go on.
        run.refresh()
        result = run.result(run.iterate())
    return result


class _ProximalNewton:
    """One solve: the point with its margins."""

    def __init__(self, problem: Multinomial, report: Report, x: Array, constant: Any, settings: dict[str, Any]) -> None:
        self.problem, self.report, self.xp = problem, report, problem.xp
        self.x, self.constant = x, constant
        size = settings.get("working_set", "auto")
        self._smallest = problem.n_variables if size is None else _SMALLEST if size == "auto" else size
        self._newton = bool(settings.get("active_set", True))
        self.nit, self.npass = 0, 0.0
        self.steps = self.sweeps = self.evaluations = self.gradients = self.active_set_iter = 0
        self.hessian = MultinomialHessian(problem)
        self.refresh()

    def refresh(self) -> None:
        """Compute everything from x."""
        point = self.problem.point(self.x, self.constant)
        point.update_intercept()
        self.constant, self.margins = point.intercept, point.margins
        self._terms()

    def _terms(self) -> None:
        self.loss, self.derivative, self.probabilities = self.problem.loss_terms(self.margins)
        self.evaluations += 1

    def iterate(self) -> Status:
        """Take steps until the report or a lack of progress stops them."""
        problem, report, xp = self.problem, self.report, self.xp
        idle, best = 0, math.inf
        while True:
            correlations = problem._correlations(self.derivative)
            self.gradients += 1
            self.npass += 1
            now = problem.certify(self.x, self.loss, self.derivative, correlations)
            if problem.has_dual:
                report.note_dual(now.dual)
            status = report.stops(
                self.x, fun=now.fun, kkt=now.kkt, gap=now.gap, floor=now.floor, nit=self.nit, npass=self.npass,
                intercept=self.constant,
            )  # fmt: skip
            if status is not None:
                return status
            optimality = now.gap if problem.has_dual else now.kkt
            idle = 0 if optimality < best else idle + 1
            best = min(best, optimality)
            subgradient = problem.penalty.min_subgradient(self.x, now.grad)
            self.hessian.set_point(self.probabilities)
            working = self._working_set(subgradient)
            matrix = working.shape[0] <= _LARGEST_GRAM
            model = _MatrixModel(self, working, correlations) if matrix else _Model(self, working)
            (violation,) = scalars(xp, xp.max(xp.abs(subgradient)))
            model.minimise(_INNER * violation, newton=self._newton)
            self.sweeps += model.sweeps
            self.npass += model.passes
            moves = self._move(model, now.fun, now.grad)
            if moves is Status.LINESEARCH or (not moves and idle >= _PATIENCE):
                return Status.PRECISION if idle else Status.LINESEARCH
            self.nit += 1

    def result(self, status: Status) -> OptimizeResult:
        """Return the result at the current point."""
        return self.report.result(
            self.x, status, nit=self.nit, npass=self.npass, nfev=self.evaluations, njev=self.gradients, nhev=self.steps,
            intercept=0.0 if self.constant is None else self.constant, active_set_iter=self.active_set_iter,
        )  # fmt: skip

    def _working_set(self, subgradient: Array) -> Array:
        """Return the support and the pairs that violate optimality most in terms of their curvature."""
        xp, L = self.xp, self.problem.lipschitz
        curved = L > 0
        scores = xp.abs(subgradient) / xp.where(curved, xp.sqrt(xp.where(curved, L, xp.ones_like(L))), xp.ones_like(L))
        support = self.x != 0
        scores = xp.where(support, xp.full_like(scores, math.inf), scores)
        n_support, n_violating = scalars(
            xp, xp.sum(xp.astype(support, xp.int64)), xp.sum(xp.astype(scores > 0, xp.int64))
        )
        size = max(self._smallest, int(_GROWTH * n_support))
        return top_k(scores, max(min(size, int(n_violating)), 1))

    def _move(self, model: "_MatrixModel | _Model", fun: float, grad: Array) -> bool | Status:
        """Search along the step of the model and take it; tell whether the objective fell beyond rounding."""
        problem, xp, penalty = self.problem, self.xp, self.problem.penalty
        d, moved = model.step()
        moved = moved + model.constants
        end = self.x + d
        slope, xd, dd = scalars(xp, xp.sum(grad * d), xp.sum(problem.l2 * self.x * d), xp.sum(problem.l2 * d * d))
        # By coordinates: differences of the norms would lose what is left of them near the solution.
        bends = penalty.l1 * (xp.abs(end) - xp.abs(self.x))
        change = slope + scalars(xp, xp.sum(bends))[0]
        if not bool(xp.any(d != 0)):
            return False
        ridge = problem.ridge(self.x)

        def trial(alpha: float) -> tuple[float, float]:
            loss = problem.loss(self.margins + alpha * moved)
            self.evaluations += 1
            smooth = loss + ridge + alpha * (xd + 0.5 * alpha * dd)
            return smooth + penalty.value(self.x + alpha * d), alpha * min(change, 0.0)

        slack = _ROUNDING * float(xp.finfo(problem.dtype).eps) * abs(fun)
        found = backtrack(trial, fun, min(change, 0.0), slack=slack)
        if found is None:
            return Status.LINESEARCH
        alpha, value = found
        before = self.x != 0
        self.x = end if alpha == 1.0 else self.x + alpha * d
        self.margins = self.margins + alpha * moved
        if bool(xp.any((self.x != 0) != before)):
            self.active_set_iter = self.nit + 1
        if problem.intercept:
            constant = self.constant + alpha * model.constants
            self.constant, self.margins = problem.fit_intercept(self.margins, constant)
        self._terms()
        self.steps += 1
        return fun - value > slack


class _MatrixModel:
    """The quadratic model at a point in the pairs of a working set by its matrix; see `_Model`."""

    sweeps, passes = 1, 1.0

    def __init__(self, run: _ProximalNewton, working: Array, correlations: Array) -> None:
        problem, xp = run.problem, run.xp
        self.xp, self.problem, self.working, self._hessian = xp, problem, working, run.hessian
        k = problem.n_classes
        features, self._classes = working // k, working % k
        used = xp.unique_values(features)
        self._rows = xp.searchsorted(used, features)
        self.design = problem.design.gather(used)
        self._shape = (used.shape[0], k)
        self._start = xp.take(run.x, working)
        self.constants = xp.zeros(k, dtype=problem.dtype, device=problem.device)
        self._model = GramModel(
            xp, problem._kernels, self._matrix(), problem.penalty.restrict(working),
            problem.penalty.part(problem.l2, working), xp.asarray(self._start, copy=True),
            xp.take(correlations, working),
        )  # fmt: skip

    def _matrix(self) -> Array:
        """Return A' C A in the pairs, less what the elimination of the constants takes off."""
        xp, problem, P = self.xp, self.problem, self._hessian.probabilities
        root = P if problem.sample_weight is None else P * xp.sqrt(problem.sample_weight)[:, None]
        # By rows: places are numbered so, and on a GPU products may come by columns.
        H = contiguous(-self._scaled_gram(root))
        for c in range(problem.n_classes):
            places = xp.nonzero(self._classes == c)[0]
            if places.shape[0]:
                part = self.design.gather(xp.take(self._rows, places))
                gram = part.gram(problem.weighted(P[:, c]))
                flat = xp.reshape(places[:, None] * H.shape[0] + places[None, :], (-1,))
                add_at(xp.reshape(H, (-1,), copy=False), flat, xp.reshape(gram, (-1,)))
        if problem.intercept:
            zeros = xp.zeros_like(P)
            eye = xp.eye(P.shape[1], dtype=P.dtype, device=problem.device)
            curves = [self._hessian.curve(zeros + eye[c, :]) for c in range(P.shape[1])]
            cross = xp.stack([self._entries(self.design.rmatmat(curve)) for curve in curves], axis=1)
            H = H - cross @ self._hessian.eliminated(xp.matrix_transpose(cross))
        return H

    def _scaled_gram(self, root: Array) -> Array:
        """Return Z' Z for the columns a_i sqrt(w) p_c of the pairs."""
        xp, design = self.xp, self.design
        if isinstance(design, SparseDesign):
            A = design.A[:, self._rows]
            ends = xp.asarray(A.indptr[1:])
            entries = xp.arange(A.data.shape[0], dtype=ends.dtype, device=self.problem.device)
            column = xp.searchsorted(ends, entries, side="right")
            A.data = A.data * root[A.indices, xp.take(self._classes, column)]
            return SparseDesign(A, xp, self.problem.dtype, self.problem.device).gram()
        columns = design.columns(self._rows) * xp.take(root, self._classes, axis=1)
        return xp.matrix_transpose(columns) @ columns

    def minimise(self, target: float, *, newton: bool) -> None:
        """Minimise until the largest entry of the minimal subgradient of the model is about `target`."""
        self._model.minimise(target, newton=newton)

    def _entries(self, G: Array) -> Array:
        return self.xp.take(self.xp.reshape(G, (-1,)), self._rows * self._shape[1] + self._classes)

    def step(self) -> tuple[Array, Array]:
        """Return the step in all unknowns, and what it moves the margins by without the constants."""
        d, moved = _spread(self, self._model.x - self._start)
        if self.problem.intercept:
            self.constants = self._hessian.shift(moved)
        return d, moved


@dataclass(frozen=True, slots=True)
class _Part:
    """What coordinate descent on the pairs of one class works with, see the kernel `csc_descent`."""

    places: Array
    design: Design
    weights: Array
    means: Array
    sums: Array
    curvature: Array
    table: Array


class _Model:
    """The quadratic model at a point in the pairs of a working set, with S = derivatives + C (A D + b) for a step D, b.

    Attributes
    ----------
    x, constants : array
        The unknowns of the working set; the change b of the constants, one for each class, zero without an intercept.
    sweeps, passes : int, float
        Sweeps over the classes; the work in units of full gradients.
    """

    def __init__(self, run: _ProximalNewton, working: Array) -> None:
        problem, xp = run.problem, run.xp
        self.problem, self.xp, self.working, self._hessian = problem, xp, working, run.hessian
        k = problem.n_classes
        self.constants = xp.zeros(k, dtype=problem.dtype, device=problem.device)
        features, self._classes = working // k, working % k
        used = xp.unique_values(features)
        self._rows = xp.searchsorted(used, features)
        self.design = problem.design.gather(used)
        # Classes one after the other: each works on a vector of its own.
        self._shares = _rows_of(xp, run.probabilities)
        self._S = _rows_of(xp, run.derivative)
        self._start = xp.take(run.x, working)
        self.x = xp.asarray(self._start, copy=True)
        self.penalty = problem.penalty.restrict(working)
        self.l2 = problem.penalty.part(problem.l2, working)
        self._table = self.penalty.table(self.l2, working.shape[0])
        self._shape = (used.shape[0], k)
        self._parts = [self._part(c) for c in range(k)]
        self.sweeps, self.passes = 0, 0.0

    def _part(self, c: int) -> "_Part | None":
        """Return what coordinate descent on the pairs of a class needs, None for a class without pairs."""
        xp, problem = self.xp, self.problem
        places = xp.nonzero(self._classes == c)[0]
        if not places.shape[0]:
            return None
        design = self.design.gather(xp.take(self._rows, places))
        p = self._shares[c, :]
        weights = problem.weighted(p * (1 - p))
        curvature, table = design.column_squares(weights), xp.take(self._table, places, axis=1)
        sums = means = xp.empty(0, dtype=problem.dtype, device=problem.device)
        if problem.intercept:
            total = xp.sum(weights)
            sums = design.rmatvec(weights)
            means = sums / xp.where(total > 0, total, xp.ones_like(total))
            curvature = curvature - means * sums
        return _Part(places, design, weights, means, sums, curvature, table)

    def minimise(self, target: float, *, newton: bool) -> None:
        """Sweep over the classes until the changes are below `target`; Newton steps once the signs have settled."""
        xp = self.xp
        for _ in range(_SWEEPS):
            signs = xp.sign(self.x)
            violation = self._sweep()
            self.sweeps += 1
            self.passes += _EPOCHS * self.working.shape[0] / self.problem.n_variables
            if not violation > target:
                break
            if newton and scalars(xp, xp.all(xp.sign(self.x) == signs))[0]:
                self._newton()

    def _sweep(self) -> float:
        """Run coordinate descent on every class; return the largest change of a gradient in the last epochs."""
        xp, problem = self.xp, self.problem
        offset = xp.zeros(1, dtype=xp.float64, device=problem.device)
        violations = xp.empty(_EPOCHS, dtype=xp.float64, device=problem.device)
        largest = 0.0
        for c, part in enumerate(self._parts):
            if part is None:
                continue
            old = xp.take(self.x, part.places)
            new, s = xp.asarray(old, copy=True), xp.asarray(self._S[c, :], copy=True)
            constant = 0.0
            if problem.intercept:
                # The best constant of this class belongs to each of its coordinates.
                slope, total = scalars(xp, xp.sum(s), xp.sum(part.weights))
                constant = -slope / total if total > 0 else 0.0
            offset[0] = constant
            part.design.descend(
                part.weights, part.means, part.sums, part.curvature, part.table, new, s, offset, violations
            )
            violation, constant = scalars(xp, violations[0], offset[0])
            largest = max(largest, violation)
            if violation == 0 and constant == 0:
                continue
            step = new - old
            add_at(self.x, part.places, step)
            self.constants[c] += constant
            moved = part.design.matvec(step) + constant
            self._S -= self._shares * problem.weighted(self._shares[c, :] * moved)[None, :]
            self._S[c, :] = s + constant * part.weights
        return largest

    def _newton(self) -> None:
        """Take an inexact Newton step on the support, within its orthant."""
        xp = self.xp
        free = self.penalty.free(self.x)
        if not free.shape[0]:
            return
        hessian = self._hessian
        if self.problem.intercept:
            balance = hessian.balance(xp.sum(self._S, axis=1))
            self.constants += balance
            self._S += xp.matrix_transpose(hessian.curve(balance + xp.zeros_like(hessian.probabilities)))
        g = self._entries(self.design.rmatmat(xp.matrix_transpose(self._S)))
        face = Face(xp, self._table, self.x, g, free)
        rows, classes = xp.take(self._rows, free), xp.take(self._classes, free)
        flat = rows * self._shape[1] + classes
        curvature = xp.zeros_like(self.x)
        for part in self._parts:
            if part is not None:
                add_at(curvature, part.places, part.curvature)

        def curve(d: Array) -> Array:
            self.passes += 1
            whole = xp.zeros(self._shape[0] * self._shape[1], dtype=d.dtype, device=d.device)
            add_at(whole, flat, d)
            moved = self.design.matmat(xp.reshape(whole, self._shape))
            self._balance = hessian.shift(moved) if self.problem.intercept else 0.0
            return hessian.curve(moved + self._balance)

        def product(d: Array) -> Array:
            return xp.take(xp.reshape(self.design.rmatmat(curve(d)), (-1,)), flat) + face.l2 * d

        direction = newton_direction(xp, product, face.descent, xp.take(curvature, free) + face.l2)
        step = face.project(direction)
        change = curve(step)
        bent = xp.take(xp.reshape(self.design.rmatmat(change), (-1,)), flat) + face.l2 * step
        model, inside = scalars(xp, xp.sum(step * (0.5 * bent - face.descent)), xp.all(step == direction))
        if not inside and not model < 0:
            step = face.shorten(direction)
            change = curve(step)
        add_at(self.x, free, step)
        self.constants += self._balance
        self._S += xp.matrix_transpose(change)

    def _entries(self, G: Array) -> Array:
        """Return the entries of the working set in an array of features and classes."""
        return self.xp.take(self.xp.reshape(G, (-1,)), self._rows * self._shape[1] + self._classes)

    def step(self) -> tuple[Array, Array]:
        """Return the step in all unknowns, and what it moves the margins by without the constants."""
        return _spread(self, self.x - self._start)


def _spread(model: _MatrixModel | _Model, d: Array) -> tuple[Array, Array]:
    """Return a step in the pairs of a working set as one in all unknowns, and what it moves the margins by."""
    xp, problem = model.xp, model.problem
    whole = xp.zeros(problem.n_variables, dtype=d.dtype, device=d.device)
    add_at(whole, model.working, d)
    part = xp.zeros(model._shape[0] * model._shape[1], dtype=d.dtype, device=d.device)
    add_at(part, model._rows * model._shape[1] + model._classes, d)
    return whole, model.design.matmat(xp.reshape(part, model._shape))


def _rows_of(xp: Any, X: Array) -> Array:
    """Return the transpose as an array of its own, rows contiguous."""
    out = xp.empty((X.shape[1], X.shape[0]), dtype=X.dtype, device=X.device)
    out[...] = xp.matrix_transpose(X)
    return out
