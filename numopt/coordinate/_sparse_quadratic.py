"""Quadratics without a penalty, which are linear systems: the method that suits the matrix.

* Sparse and nearly a tree: conjugate gradients on what is left when an induced forest is eliminated
  (`ForestReduction`); a forest is solved in one go.
* Sparse otherwise: conjugate gradients preconditioned by symmetric over-relaxation, in Eisenstat's form, which takes
  fewer and cheaper iterations there than sweeps over forests (docs/kernels.rst).
* Dense, up to 5000 unknowns: Cholesky.
* Everything else, and whatever those break down on: conjugate gradients preconditioned by the diagonal, which tell a
  singular matrix from an indefinite one.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from scipy.optimize import OptimizeResult

from numopt._array import is_array, is_cupy, is_linear_operator, scalars, to_host
from numopt._core.status import Status
from numopt._linalg import cho_factor, cho_solve, norm
from numopt._typing import Array
from numopt.coordinate._forest import Elimination, is_bipartite, tree_partition, visiting_order
from numopt.coordinate._forest_reduction import ForestReduction
from numopt.coordinate._problem import Certificate, largest
from numopt.coordinate._quadratic import Quadratic
from numopt.coordinate._report import Report
from numopt.linear._eisenstat import EisenstatCG
from numopt.linear._pattern import Layout
from numopt.linear._system import check_system

__all__ = ["solve_smooth_quadratic"]

# Dense matrices up to this size are factored.
_MOST_FACTORED = 5000
# Edges per node up to which eliminating a forest pays (docs/kernels.rst).
_TREE_LIKE = 1.35
# Levels that a GPU may take one after the other in every iteration.
_MOST_LEVELS = 128
# Units of work (entries of the matrix) between two looks at the clock.
_SLICE = 50_000_000
# Residuals that grow by this factor do not come back.
_DIVERGED = 1e4
_ROUNDING = 16.0


class _Engine(Protocol):
    """A method under way that solves ``H d = r`` for the residual r at some x."""

    @property
    def nit(self) -> int:
        """Iterations so far."""
        ...

    @property
    def residual(self) -> float:
        """The largest entry of r - H d, as the method has it."""
        ...

    def advance(self, target: float, most: int) -> Status | None:
        """Iterate until the residual seems to be within `target`, `most` times at most; return a breakdown."""
        ...

    def answer(self) -> Array:
        """Return d."""
        ...

    def agrees(self, residual: Array, kkt: float) -> bool:
        """Look at the true residual, of largest entry `kkt`; return whether the method is worth going on with."""
        ...


def solve_smooth_quadratic(problem: Quadratic, x0: Array, report: Report, options: dict[str, Any]) -> OptimizeResult:
    """Minimise a quadratic without penalty.

    Parameters
    ----------
    problem : Quadratic
        What is minimised; l2 may be positive, other penalties are absent.
    x0 : array of shape (n_variables,)
        Where to start.
    report : Report
        Stopping rule, limits and result.
    options : dict
        Not used.

    Returns
    -------
    res : OptimizeResult
        As of `bcd`; `nit` counts iterations of conjugate gradients and factorisations. INDEFINITE names a node where
        one is known; UNBOUNDED: there is a direction without curvature along which the objective falls.
    """
    solve = _Solve(problem, x0, report)
    # CONVERGED is 0: statuses are compared with None.
    status = solve.look()
    if status is None:
        status = solve.check_diagonal()
    for method in _methods(problem, solve):
        if status is not None:
            break
        status = solve.run(method)
    if status is None:
        status = Status.STALLED if solve.breakdown is None else solve.breakdown
    detail = solve.detail if status in (Status.INDEFINITE, Status.UNBOUNDED) else None
    return report.result(solve.x, status, nit=solve.nit, npass=solve.npass, njev=int(solve.npass), detail=detail)


class _Solve:
    """The iterate from method to method, and the account of what it took."""

    def __init__(self, problem: Quadratic, x0: Array, report: Report) -> None:
        xp = problem.xp
        self.problem, self.report = problem, report
        self.x, _, self.nit, self.npass = report.resume(x0)
        self.detail: str | None = None
        self.breakdown: Status | None = None
        self.frozen: Array | None = None
        # The certificate of zero needs no product.
        kkt = largest(xp, problem.c)
        floor = _ROUNDING * float(xp.finfo(problem.dtype).eps) * kkt
        report.set_reference(Certificate(0.0, -problem.c, kkt, math.nan, math.nan, floor))

    def look(self) -> Status | None:
        """Compute the residual at x, report it, and return the status that ends the solve, if one does."""
        problem, xp = self.problem, self.problem.xp
        gradient = problem.bound_product(self.x) - problem.c
        fun = 0.5 * scalars(xp, xp.sum(self.x * (gradient - problem.c), dtype=xp.float64))[0]
        self.residual, self.kkt = -gradient, largest(xp, gradient)
        self.npass += 1
        return self.report.stops(self.x, fun=fun, kkt=self.kkt, nit=self.nit, npass=self.npass)

    def check_diagonal(self) -> Status | None:
        """Look at the diagonal: INDEFINITE or UNBOUNDED where it shows that; freeze unknowns that do not matter."""
        problem, xp = self.problem, self.problem.xp
        if is_linear_operator(problem.Q):
            return None
        diagonal = problem.lipschitz
        if bool(xp.all(diagonal > 0)):
            return None
        empty = (diagonal == 0) & (problem.gershgorin == 0)
        free = empty & (problem.c != 0)
        bad = ~(diagonal > 0) & ~empty
        for nodes, status, what in ((bad, Status.INDEFINITE, "diagonal entry"), (free, Status.UNBOUNDED, "row")):
            if bool(xp.any(nodes)):
                node = int(xp.argmax(xp.astype(nodes, xp.int64)))
                self.detail = f"The {what} of node {node} is {float(diagonal[node]):.3g}"
                return status
        self.frozen = xp.astype(empty, problem.dtype)
        return None

    @functools.cached_property
    def graph(self) -> Any:
        """The Hessian on the host, of positive diagonal."""
        graph = self.problem.graph
        if self.frozen is None:
            return graph
        filled = sp.csr_array(graph + sp.diags_array(to_host(self.frozen), format="csr"))
        filled.sort_indices()
        return filled

    @functools.cached_property
    def hessian(self) -> Any:
        """The Hessian in the problem's library, of positive diagonal."""
        problem, xp = self.problem, self.problem.xp
        if is_array(problem.Q):
            dense = problem.add_ridge(problem.Q)
            return dense if self.frozen is None else dense + xp.eye(dense.shape[0], dtype=dense.dtype) * self.frozen
        if self.frozen is None and not is_array(problem.l2) and problem.l2 == 0:
            return problem.Q
        if is_cupy(xp):
            from cupyx.scipy.sparse import csr_matrix

            return csr_matrix(self.graph)
        return self.graph

    def run(self, method: Callable[["_Solve"], _Engine | None]) -> Status | None:
        """Solve by one method; None if it does not suit, or breaks down."""
        # Below rounding there is nothing to aim at, but to see that the target is out of reach.
        eps = float(self.problem.xp.finfo(self.problem.dtype).eps)
        target, last = max(self.report.target(), 0.5 * eps * self.report.reference.kkt), math.inf
        while True:
            start = self.x
            engine = method(self)
            if engine is None:
                return None
            status = self._follow(engine, target)
            if status is not None:
                return status
            if self.breakdown is not None:
                # The next method starts where this one did.
                self.x = start
                self.residual = self.problem.c - self.problem.bound_product(start)
                return None
            # What the method carries along is no longer true: begin anew while that helps.
            if not self.kkt <= 0.5 * last:
                return self._exhausted()
            last = self.kkt

    def _follow(self, engine: _Engine, target: float) -> Status | None:
        """Iterate until something ends the solve; None if the method breaks down or is no longer right."""
        report, start, nit, npass = self.report, self.x, self.nit, self.npass
        self.breakdown = None
        while True:
            left = min(report.maxiter - self.nit, report.max_passes - self.npass)
            self.breakdown = engine.advance(target, 1 if report.looks else int(max(1, min(left, 1e9))))
            self.nit, self.npass = nit + engine.nit, npass + engine.nit
            met = engine.residual <= target
            limit = report.limit(self.nit, self.npass)
            watched = report.looks or report.watches
            if not (met or watched or limit is not None or self.breakdown is not None):
                continue
            self.x = start + engine.answer()
            status = self.look()
            npass += 1
            if status is not None or self.breakdown is not None:
                return status
            if limit is not None:
                return limit
            if met and (self.kkt <= target or not engine.agrees(self.residual, self.kkt)):
                return None

    def _exhausted(self) -> Status:
        """Say why the residual no longer falls."""
        problem, xp, x = self.problem, self.problem.xp, self.x
        curvature, size = scalars(xp, x @ problem.bound_product(x), x @ x)
        if abs(curvature) <= _ROUNDING * float(xp.finfo(problem.dtype).eps) * self.largest_eigenvalue * size:
            # Steps along a direction without curvature have made x what it is.
            return Status.UNBOUNDED
        certificate = problem.evaluate(x)
        judged = self.report.verdict(certificate.fun, certificate.kkt, math.nan, certificate.floor)
        if judged is not None:
            return judged
        return Status.PRECISION if certificate.kkt <= 100 * certificate.floor else Status.STALLED

    @functools.cached_property
    def largest_eigenvalue(self) -> float:
        """An upper bound of the largest eigenvalue."""
        problem = self.problem
        return problem.bound_norm if is_linear_operator(problem.Q) else largest(problem.xp, problem.gershgorin)


def _methods(problem: Quadratic, solve: _Solve) -> list[Callable[[_Solve], _Engine | None]]:
    """Return the methods that suit a matrix, the best first; the last takes every matrix."""
    if is_linear_operator(problem.Q):
        return [_Diagonal]
    if is_array(problem.Q):
        return [_Cholesky(), _Diagonal] if problem.n_variables <= _MOST_FACTORED else [_Diagonal]
    graph = solve.graph
    tree_like = graph.nnz - graph.shape[0] <= 2 * _TREE_LIKE * graph.shape[0]
    return [_forest, _Relaxed, _Diagonal] if tree_like else [_Relaxed, _Diagonal]


class _Reduced:
    """Conjugate gradients on what a forest leaves over."""

    def __init__(self, reduction: ForestReduction, entries: int) -> None:
        self._reduction, self._counted = reduction, False
        self._slice = max(1, _SLICE // max(entries, 1))

    @property
    def nit(self) -> int:
        """Iterations, and one for the elimination."""
        return self._reduction.nit + 1

    @property
    def residual(self) -> float:
        """Largest entry of the residual of the recurrence."""
        return self._reduction.residual

    def advance(self, target: float, most: int) -> Status | None:
        """Iterate for a while; the elimination counts as an iteration."""
        if not self._counted:
            self._counted, most = True, most - 1
        return self._reduction.advance(target, min(most, self._slice))

    def answer(self) -> Array:
        """Return the correction."""
        return self._reduction.answer()

    def agrees(self, residual: Array, kkt: float) -> bool:
        """Return False: the recurrence knows this norm."""
        return False


def _forest(solve: _Solve) -> _Reduced | None:
    """Eliminate the largest of some forests; None where a matrix of a forest is not positive definite."""
    problem = solve.problem
    graph = solve.graph
    # Ends of paths first: the forest takes more of the nodes then.
    blocks = tree_partition(graph, visiting_order(graph, "degree")[::-1])
    if is_cupy(problem.xp) and Elimination.of(graph, blocks).depths.max(initial=0) > _MOST_LEVELS:
        return None
    try:
        return _Reduced(ForestReduction(graph, blocks, solve.residual), graph.nnz)
    except np.linalg.LinAlgError as error:
        solve.detail = str(error)
        return None


class _Relaxed:
    """Conjugate gradients preconditioned by symmetric over-relaxation."""

    def __init__(self, solve: _Solve) -> None:
        problem, xp = solve.problem, solve.problem.xp
        on_gpu = is_cupy(xp)
        # A GPU takes all rows of a colour at once; over-relaxation needs an order in which neighbours come near.
        omega = 1.0 if on_gpu or not is_bipartite(solve.graph) else _relaxation_factor(problem)
        layout = Layout("multicolor" if on_gpu else "natural")
        system = check_system(solve.hessian, solve.residual, None, check_finite=False)
        looks = solve.report.looks
        self._engine = EisenstatCG(system, layout, omega, every=1 if looks else 0, one_by_one=looks)
        self._start = self._engine.start()
        # The kernel knows the 2-norm. Residuals look like noise: its largest entry is a few times the mean.
        self._ratio = min(1.0, 5.0 / math.sqrt(problem.n_variables))

    @property
    def nit(self) -> int:
        """Iterations."""
        return self._engine.nit

    @property
    def residual(self) -> float:
        """Largest entry of the residual, about."""
        return self._ratio * self._engine.norm

    def advance(self, target: float, most: int) -> Status | None:
        """Iterate for a while."""
        broken = self._engine.advance(target / self._ratio, most)
        if broken is None and not self._engine.norm <= _DIVERGED * self._start:
            return Status.DIVERGED if math.isfinite(self._engine.norm) else None
        return broken

    def answer(self) -> Array:
        """Return the correction."""
        return self._engine.answer()

    def agrees(self, residual: Array, kkt: float) -> bool:
        """Learn how far apart the two norms are; False if the recurrence has drifted away."""
        if norm(residual) > 1.5 * self._engine.norm:
            return False
        self._ratio = 1.1 * kkt / self._engine.norm
        return True


class _Cholesky:
    """Solves with the Cholesky factor of a dense matrix; more than once, they refine."""

    def __init__(self) -> None:
        self._factor: Any = None
        self.nit, self.residual = 0, math.inf

    def __call__(self, solve: _Solve) -> "_Cholesky | None":
        """Begin anew with a residual."""
        if self._factor is None:
            try:
                self._factor = cho_factor(solve.hessian)
            except np.linalg.LinAlgError:
                return None
        self._rhs = solve.residual
        self.nit, self.residual = 0, math.inf
        return self

    def advance(self, target: float, most: int) -> Status | None:
        """Solve."""
        self._d = cho_solve(self._factor, self._rhs)
        self.nit, self.residual = 1, 0.0
        return None

    def answer(self) -> Array:
        """Return the correction."""
        return self._d

    def agrees(self, residual: Array, kkt: float) -> bool:
        """Return False: another solve is a new start."""
        return False


class _Diagonal:
    """Conjugate gradients preconditioned by the diagonal."""

    def __init__(self, solve: _Solve) -> None:
        problem, xp = solve.problem, solve.problem.xp
        self._problem, self._xp, self._solve = problem, xp, solve
        ones = xp.ones_like(problem.c)
        self._inverse = ones
        if not is_linear_operator(problem.Q):
            diagonal = problem.lipschitz
            self._inverse = 1 / xp.where(diagonal > 0, diagonal, ones)
        entries = problem.n_variables**2 if is_array(problem.Q) else 8 * problem.n_variables
        self._slice = max(1, _SLICE // max(entries, 1))
        self._d = xp.zeros_like(problem.c)
        self._r = xp.asarray(solve.residual, copy=True)
        z = self._inverse * self._r
        self._p = z
        self._rz, self.residual = scalars(xp, self._r @ z, xp.max(xp.abs(self._r)))
        self.nit = 0

    def advance(self, target: float, most: int) -> Status | None:
        """Iterate for a while."""
        xp = self._xp
        for _ in range(min(most, self._slice)):
            if self.residual <= target:
                return None
            q = self._problem.bound_product(self._p)
            curvature, size = scalars(xp, self._p @ q, self._p @ self._p)
            if not math.isfinite(curvature):
                return Status.NONFINITE
            # Rounding in the product of a direction without curvature.
            least = 4 * float(xp.finfo(self._p.dtype).eps) * self._solve.largest_eigenvalue * size
            if curvature <= least:
                return Status.INDEFINITE if curvature < -least else Status.UNBOUNDED
            step = self._rz / curvature
            self._d += step * self._p
            self._r -= step * q
            z = self._inverse * self._r
            rz, self.residual = scalars(xp, self._r @ z, xp.max(xp.abs(self._r)))
            self._p = z + (rz / self._rz) * self._p
            self._rz = rz
            self.nit += 1
        return None

    def answer(self) -> Array:
        """Return the correction."""
        return self._d

    def agrees(self, residual: Array, kkt: float) -> bool:
        """Return False: the recurrence knows this norm."""
        return False


def _relaxation_factor(problem: Quadratic) -> float:
    """Return the factor for the least eigenvalue of the scaled matrix that the vector of equal numbers suggests.

    It is Young's, for 1 - mu at most the Rayleigh quotient of ones: for label propagation the share of the weights that
    lead to known labels.
    """
    xp = problem.xp
    ones = xp.ones_like(problem.c)
    pull, total = scalars(xp, xp.sum(problem.bound_product(ones)), xp.sum(problem.lipschitz))
    return 2 / (1 + math.sqrt(2 * min(max(pull / total, 1e-6), 0.5)))
