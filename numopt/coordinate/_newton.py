"""Newton's method for linear models without l1 norm and bounds: least squares, logistic and multinomial regression.

Each step minimises the quadratic model by conjugate gradients, whose preconditioner is a Cholesky factor of the Hessian
at an earlier point (at this one: the step is exact and no iteration is needed), one factor for each class, or a
diagonal. A factor is formed anew when the iterations since the last one have cost as much as it does, so that the work
is at most about twice that of the better of the two. Line searches work on the margins A x and take no products with A.
"""

import copy
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.optimize import OptimizeResult

from numopt._array import is_array, is_numpy, scalars
from numopt._core.status import Status
from numopt._typing import Array
from numopt.coordinate._design import DenseDesign, OperatorDesign, SparseDesign
from numopt.coordinate._hessians import MultinomialHessian, hessian_of
from numopt.coordinate._linear_model import LinearModel
from numopt.coordinate._preconditioners import ClassBlocks, Diagonal, WholeFactor
from numopt.coordinate._problem import Certificate, largest
from numopt.coordinate._ray_search import search_ray
from numopt.coordinate._report import Report
from numopt.coordinate._softmax import Multinomial

__all__ = ["solve_smooth"]

# Relative residual of the first linear system; of the later ones it is what the model of the step before was wrong by.
_LOOSEST, _TIGHTEST = 0.25, 1e-6
# The last system is solved to this part of what the stopping rule asks for.
_LAST = 0.3
# An iteration ends it only if it lowers the model by at most this part of the mean of all: a gradient with one large
# component loses it at once.
_SETTLED = 0.5
# A factor that costs at most so many products with the Hessian is formed at once; one that costs fewer than the second
# number, in every step.
_AT_ONCE, _ALWAYS = 40.0, 4.0
# A solution with the factors of the classes may cost so many products.
_SOLVES = 2.0
# Largest order of a dense matrix.
_LARGEST_WHOLE, _LARGEST_BLOCK = 6000, 2000
# The whole factor instead of one for each class, if it costs at most so many times as much.
_WHOLE_BEFORE_BLOCKS = 6.0
_CG_ITERATIONS = 1000
# Dense matrices from this size on are stored by their non-zeros where these are at most such a part of the entries.
_LARGE, _SPARSE = 100_000, 0.1
# Rounding of the objective, in units of eps; steps within it that are borne, one after the other.
_ROUNDING = 4.0
_PATIENCE = 3


def solve_smooth(problem: LinearModel, x0: Array, report: Report, settings: dict[str, Any]) -> OptimizeResult:
    """Minimise a linear model with psi = 0 from x0, a flat vector."""
    x, constant, nit, npass = report.resume(x0)
    constant = settings.get("intercept") if constant is None else constant
    run = _Newton(_by_nonzeros(problem), report, x, constant, nit, npass)
    status = run.iterate()
    result = run.result(status)
    if status is Status.CONVERGED and not result.success:
        # Margins that were carried along flattered the point: compute them again and go on.
        run.refresh()
        result = run.result(run.iterate())
    return result


@dataclass(slots=True)
class _Measure:
    """Objective and optimality at the current point."""

    fun: float
    kkt: float
    gap: float
    floor: float


class _Newton:
    """One solve: the point with its margins, and the factors."""

    def __init__(self, problem: LinearModel, report: Report, x: Array, constant: Any, nit: int, npass: float) -> None:
        self.problem, self.report, self.xp = problem, report, problem.xp
        self.hessian = hessian_of(problem)
        self.nit, self._passes = nit, npass
        self.systems = self.evaluations = 0
        xp = self.xp
        if isinstance(self.hessian, MultinomialHessian) and self.hessian.is_centered:
            X = xp.reshape(x, problem.shape)
            x = xp.reshape(X - xp.mean(X, axis=1, keepdims=True), (-1,))
        self.x, self.constant = x, constant
        self._at_origin = not bool(xp.any(x != 0)) and constant is None
        self._preconditioner: Any = None
        self._debt = 0.0
        self._eta = _LOOSEST
        self.norm = math.nan
        self.refresh()
        if self._at_origin:
            fun, kkt, gap, floor = self._measure_values(with_floor=not problem.has_dual)
            report.set_reference(Certificate(fun, self.gradient, kkt, gap, fun - gap, floor))

    # ---- the point -------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Compute everything from x."""
        point = self.problem.point(self.x, self.constant)
        point.update_intercept()
        self.constant, self.margins = point.intercept, point.margins
        self._take(*self.problem.loss_terms(self.margins))
        self._gradient()

    def _take(self, value: float, derivative: Array, curvature: Array) -> None:
        self.loss, self.derivative, self.curvature = value, derivative, curvature
        self.fun = value + self.problem.ridge(self.x)
        self.evaluations += 1

    def _gradient(self) -> None:
        self.hessian.set_point(self.curvature)
        self.gradient = self.hessian.gradient(self.derivative, self.x)
        (self.norm,) = scalars(self.xp, self.xp.linalg.vector_norm(self.gradient))

    @property
    def npass(self) -> float:
        """Products with A and A', two of which count as a pass."""
        return float(self._passes + self.hessian.n_products / 2)

    def measure(self) -> _Measure:
        """Return objective and optimality."""
        return _Measure(*self._measure_values(with_floor=not self.problem.has_dual))

    def _measure_values(self, *, with_floor: bool) -> tuple[float, float, float, float]:
        problem, xp = self.problem, self.xp
        if with_floor or problem.intercept:
            certificate = problem.certify(self.x, self.loss, self.derivative, self.gradient - problem.l2 * self.x)
            return certificate.fun, certificate.kkt, certificate.gap, certificate.floor
        # Fenchel's inequality holds with equality for the loss and its derivatives, hence only the term
        # ||A' r + l2 x||^2 / (2 l2) of the duality gap is left.
        squares = self.gradient * self.gradient
        (half_gap,) = scalars(xp, xp.sum(squares / problem.l2 if is_array(problem.l2) else squares))
        gap = half_gap / 2 if is_array(problem.l2) else half_gap / (2 * problem.l2)
        return self.fun, largest(xp, self.gradient), gap, 0.0

    # ---- the loop --------------------------------------------------------------------------------------------------

    def iterate(self) -> Status:
        """Take Newton steps until the report or a lack of progress stops them."""
        report, problem = self.report, self.problem
        idle, best = 0, math.inf
        while True:
            now = self.measure()
            if problem.has_dual:
                report.note_dual(now.fun - now.gap)
            status = report.stops(
                self.x, fun=now.fun, kkt=now.kkt, gap=now.gap, floor=now.floor, nit=self.nit, npass=self.npass,
                intercept=self.constant,
            )  # fmt: skip
            if status in (None, Status.CONVERGED) and self._is_separating():
                # The gradient vanishes as well, but only because the loss does.
                vanishing = now.fun <= report.tol * report.reference_fun
                status = Status.NOT_ATTAINED if vanishing else report.limit(self.nit, self.npass)
            if status is not None:
                return status
            optimality = now.gap if problem.has_dual else now.kkt
            idle = 0 if optimality < 0.5 * best else idle + 1
            best = min(best, optimality)
            before = self.fun
            status = self._step(now)
            if status is not None:
                return status
            if before - self.fun > _ROUNDING * self._eps() * abs(self.fun):
                idle = 0
            if idle >= _PATIENCE:
                return Status.PRECISION
            self.nit += 1

    def result(self, status: Status) -> OptimizeResult:
        """Return the result at the current point."""
        remedy = None
        if status is Status.NOT_ATTAINED:
            remedy = "the data are separable: give an l2"
        return self.report.result(
            self.x, status, nit=self.nit, npass=self.npass, nfev=self.evaluations, njev=self.systems + 1,
            nhev=self.systems, intercept=0.0 if self.constant is None else self.constant, active_set_iter=0,
            remedy=remedy,
        )  # fmt: skip

    def _step(self, now: _Measure) -> Status | None:
        """Move by one Newton step; return what ends the solve."""
        xp, problem = self.xp, self.problem
        d, moved, predicted = self._direction(self._residual_goal(now))
        self.systems += 1
        slope, xd, dd = scalars(xp, self.gradient @ d, xp.sum(problem.l2 * self.x * d), xp.sum(problem.l2 * d * d))
        if not slope < 0:
            return Status.PRECISION if slope == 0 or not math.isnan(slope) else Status.NONFINITE
        shift: Any = 0.0
        if problem.intercept:
            shift = self.hessian.shift(moved)
            moved = moved + shift
        ridge = problem.ridge(self.x)
        terms: dict[float, tuple[float, Array, Array]] = {}

        def trial(alpha: float) -> tuple[float, float]:
            terms[alpha] = value, derivative, _ = problem.loss_terms(self.margins + alpha * moved)
            self.evaluations += 1
            (tilt,) = scalars(xp, xp.sum(derivative * moved))
            return value + ridge + alpha * (xd + 0.5 * alpha * dd), tilt + xd + alpha * dd

        alpha = search_ray(trial, self.fun, slope, slack=_ROUNDING * self._eps() * abs(self.fun))
        if alpha is None:
            return Status.LINESEARCH
        self.x = self.x + alpha * d
        self.margins = self.margins + alpha * moved
        if problem.intercept:
            self.constant, self.margins = problem.fit_intercept(self.margins, self.constant + alpha * shift)
            self._take(*problem.loss_terms(self.margins))
        else:
            self._take(*terms[alpha])
        before = self.norm
        self._gradient()
        # Eisenstat and Walker's first choice: what the linear model was wrong by.
        if before > 0:
            self._eta = min(_LOOSEST, max(_TIGHTEST, abs(self.norm - predicted) / before))
        return None

    def _residual_goal(self, now: _Measure) -> float:
        """Return the relative residual to which the next system is solved."""
        target = self.report.target()
        if self.problem.has_dual:
            enough = math.sqrt(target / now.gap) if now.gap > 0 else 1.0
        else:
            enough = target / now.kkt if now.kkt > 0 else 1.0
        return min(_LOOSEST, max(self._eta, _LAST * enough))

    # ---- directions ------------------------------------------------------------------------------------------------

    def _direction(self, eta: float) -> tuple[Array, Array, float]:
        """Return d with ||H d + g|| <= eta ||g||, A d, and the norm of the residual."""
        hessian, xp = self.hessian, self.xp
        solve = self._choose()
        g = self.gradient
        if solve.fresh and solve.exact:
            d = -solve(g)
            hessian.n_products += 1
            return d, self._moved(d), 0.0
        goal, tight = eta * self.norm, _TIGHTEST * self.norm
        d = xp.zeros_like(g)
        moved = xp.zeros_like(self.margins)
        r = -g
        z = solve(r)
        (rz,) = scalars(xp, r @ z)
        q = xp.asarray(z, copy=True)
        residual = self.norm
        decrease = 0.0
        for iteration in range(1, _CG_ITERATIONS + 1):
            Hq, Aq = hessian.product(q)
            (curvature,) = scalars(xp, q @ Hq)
            self._debt += hessian.product_cost
            if not curvature > 0:
                break
            step = rz / curvature
            d += step * q
            moved += step * Aq
            r -= step * Hq
            (residual,) = scalars(xp, xp.linalg.vector_norm(r))
            gain = step * rz
            decrease += gain
            settled = iteration * gain <= _SETTLED * decrease
            if (residual <= goal and settled) or residual <= tight or self.report.deadline.expired():
                break
            z = solve(r)
            previous, (rz,) = rz, scalars(xp, r @ z)
            if not rz > 0:
                break
            q = z + (rz / previous) * q
        return d, moved, residual

    def _moved(self, d: Array) -> Array:
        problem = self.problem
        if isinstance(self.hessian, MultinomialHessian):
            return problem.design.matmat(self.xp.reshape(d, problem.shape))
        return problem.design.matvec(d)

    def _choose(self) -> Any:
        """Return the preconditioner for this point."""
        hessian, current = self.hessian, self._preconditioner
        if current is not None and self.problem.is_quadratic and current.exact:
            return current
        if current is not None:
            current.fresh = False
        kind, cost = self._best_factor()
        units = cost / hessian.product_cost
        if kind is not Diagonal and (
            units <= _ALWAYS or self._debt >= cost or (units <= _AT_ONCE and not isinstance(current, kind))
        ):
            self._preconditioner = kind(hessian)
            self._debt = 0.0
        elif current is None or isinstance(current, Diagonal):
            if isinstance(self.problem.design, OperatorDesign):
                self._preconditioner = _Identity()
            elif not (self.problem.is_quadratic and current is not None):
                self._preconditioner = Diagonal(hessian)
        return self._preconditioner

    def _best_factor(self) -> tuple[Any, float]:
        """Return the factor that helps most for its cost, and the cost."""
        hessian, problem = self.hessian, self.problem
        if isinstance(problem.design, OperatorDesign):
            return Diagonal, math.inf
        p = problem.design.shape[1]
        whole = hessian.full_cost if hessian.order <= _LARGEST_WHOLE else math.inf
        if not isinstance(problem, Multinomial):
            return (WholeFactor, whole) if whole < math.inf else (Diagonal, math.inf)
        blocks = hessian.blocks_cost if p <= _LARGEST_BLOCK else math.inf
        if hessian.blocks_solve_cost > _SOLVES * hessian.product_cost:
            blocks = math.inf
        if whole <= _WHOLE_BEFORE_BLOCKS * blocks or whole <= _ALWAYS * hessian.product_cost:
            return WholeFactor, whole
        return (ClassBlocks, blocks) if blocks < math.inf else (Diagonal, math.inf)

    def _is_separating(self) -> bool:
        """Tell whether x shows that the loss comes as close to zero as one likes along some ray."""
        problem = self.problem
        if problem.is_quadratic or is_array(problem.l2) or problem.l2 > 0:
            return False
        xp = self.xp
        if isinstance(problem, Multinomial):
            own = xp.sum(self.margins * problem.indicators, axis=1)
            others = xp.max(xp.where(problem.indicators > 0, -xp.inf, self.margins), axis=1)
            return bool(xp.all(own > others))
        return bool(xp.all(problem.y * self.margins > 0))

    def _eps(self) -> float:
        return float(self.xp.finfo(self.problem.dtype).eps)


def _by_nonzeros(problem: LinearModel) -> LinearModel:
    """Return the problem with a dense matrix of few non-zeros stored by them: products are faster from a tenth on."""
    design = problem.design
    if not (isinstance(design, DenseDesign) and is_numpy(problem.xp)) or design.A.size < _LARGE:
        return problem
    if np.count_nonzero(design.A) > _SPARSE * design.A.size:
        return problem
    part = copy.copy(problem)
    part.design = SparseDesign(sp.csr_array(design.A), problem.xp, problem.dtype, problem.device)
    return part


class _Identity:
    """No preconditioner."""

    fresh = exact = False

    def __call__(self, r: Array) -> Array:
        return r
