"""Solvers for the Newton system K d = -r, K = [[B, J'], [J, -delta_c I]], B = H + tau I, r = (g, c).

Each class factors or prepares one pair (H, J), shifting B until it is positive definite on the null space of J, and
then solves for any right-hand side. The dense direct form reads the inertia off an LDL' factorisation; the others test
the curvature of a tangential solution.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from numopt._array import is_cupy, is_numpy, is_sparse, scalars
from numopt._core.timer import Deadline
from numopt._krylov import gmres, minres, pcg
from numopt._linalg import SparseLU, SymmetricIndefinite, cho_factor, cho_solve
from numopt._typing import Array, Namespace
from numopt.constrained._functions import is_operator
from numopt.constrained._hessian_shift import SHIFT_LIMIT, ShiftSchedule, frobenius, paper_shift
from numopt.sketching._sketched_solver import SketchedSolver

DENSE_LIMIT = 2000  # largest n + m that 'auto' factors as a dense matrix
SPARSE_FROM = 400  # sparse input above this n + m goes to SuperLU
CURVATURE = 1e-8  # least curvature z'Bz / z'z of a tangential solution
FEASIBLE_PIVOT = 1e-8  # delta_c relative to max(1, ||J||)
GMRES_RESTART = 50
SHIFT_TRIALS = 60


@dataclass(slots=True)
class Step:
    """A Newton direction with the work and the accuracy of its solve."""

    dx: Array
    dlam: Array
    inner_nit: int = 0
    relative_residual: float = 0.0
    capped: bool = False


@dataclass(slots=True, frozen=True)
class InnerLimits:
    """Steps of one inner solve and the clock of the whole solve."""

    steps: int
    deadline: Deadline

    def expired(self, x: Array = None) -> bool:
        """Whether the time is over; also the callback of the Krylov solvers."""
        return self.deadline.expired()


class NewtonSystem(Protocol):
    """What the outer iteration needs of a linear solver."""

    name: str
    exact: bool
    n_hess_mod: int

    def prepare(self, H: Any, J: Any, g: Array, c: Array) -> bool:
        """Shift and factor for one (H, J); False when no shift makes the system regular."""
        ...

    def solve(self, g: Array, c: Array, rtol: float) -> Step:
        """Direction for the residual (g, c) to the relative residual `rtol`."""
        ...


def _dense(A: Any, xp: Namespace) -> Array:
    """A dense copy for the work matrix K; operators are expanded column by column."""
    if is_sparse(A):
        return A.toarray()
    if is_operator(A):
        return A @ xp.eye(A.shape[1])
    return A


class DenseKKT:
    """LDL' of the dense K with the inertia rule (Waechter and Biegler 2006, section 3.1, constants of the spec)."""

    name = "ldlt"
    exact = True

    def __init__(self, m: int, like: Array, xp: Namespace, hess_mod: str, xi_B: float) -> None:
        n = self.n = int(like.shape[0])
        self.m, self.xp = m, xp
        self.hess_mod, self.xi_B = hess_mod, xi_B
        self.K = xp.zeros((n + m, n + m), dtype=like.dtype, device=like.device)
        self.identity = xp.eye(n, dtype=like.dtype, device=like.device)
        self.identity_m = xp.eye(m, dtype=like.dtype, device=like.device)
        self.eps = float(xp.finfo(like.dtype).eps)
        self.schedule = ShiftSchedule()
        self.n_hess_mod = 0
        self.tau = 0.0
        self._factor: SymmetricIndefinite | None = None

    def _fill(self, H: Array, J: Array) -> None:
        n = self.n
        self.K[:n, :n] = H
        if self.m:
            self.K[n:, :n] = J
            self.K[:n, n:] = J.T

    def _factorise(self, H: Array, tau: float, delta_c: float, zero: float) -> tuple[int, int, int]:
        n = self.n
        self.K[:n, :n] = H if tau == 0.0 else H + tau * self.identity
        if self.m:
            self.K[n:, n:] = -delta_c * self.identity_m
        self._factor = SymmetricIndefinite(self.K, zero_tol=zero)
        return self._factor.inertia

    def prepare(self, H: Any, J: Any, g: Array, c: Array) -> bool:
        """Factor K with the smallest shift of the schedule that gives n positive and m negative eigenvalues."""
        xp, n, m = self.xp, self.n, self.m
        H, J = _dense(H, xp), _dense(J, xp)
        self._fill(H, J)
        largest = float(xp.max(xp.abs(self.K[:n, :n])))
        if m:
            largest = max(largest, float(xp.max(xp.abs(J))))
        # "Zero" is measured on the unshifted matrix: against a growing shift a regular pivot would look like zero.
        zero = 10.0 * (n + m) * self.eps * largest
        if self.hess_mod != "inertia":
            tau = paper_shift(H, J, self.xi_B, xp) if self.hess_mod == "paper" else 0.0
            self.n_hess_mod += tau > 0.0
            self.tau = tau
            return (
                self._factorise(H, tau, 0.0, zero)[2] == 0
                or self._factorise(H, tau, self._delta_c(J, zero), zero)[2] == 0
            )
        tau = delta_c = 0.0
        for _ in range(SHIFT_TRIALS):
            positive, negative, null = self._factorise(H, tau, delta_c, zero)
            if positive == n and negative == m:
                self.schedule.accept(tau)
                self.n_hess_mod += tau > 0.0
                self.tau = tau
                return True
            if null and negative < m and delta_c == 0.0:
                # Dependent rows of J: regularise them and leave B alone on this pass.
                delta_c = self._delta_c(J, zero)
                continue
            tau = self.schedule.next(tau)
            if not tau < SHIFT_LIMIT:
                break
        return False

    def _delta_c(self, J: Array, zero: float) -> float:
        return max(FEASIBLE_PIVOT * max(1.0, frobenius(J, self.xp)), 100.0 * zero)

    def solve(self, g: Array, c: Array, rtol: float) -> Step:
        """Back substitution; `rtol` is met by the factorisation."""
        assert self._factor is not None
        d = self._factor.solve(-self.xp.concat([g, c]) if self.m else -g)
        return Step(d[: self.n], d[self.n :])


class _CurvatureTested:
    """Shift of B by the curvature test z'Bz >= 1e-8 ||z||^2 on a tangential solution z, for solvers without inertia."""

    def __init__(self, m: int, like: Array, xp: Namespace, hess_mod: str) -> None:
        self.n = int(like.shape[0])
        self.m, self.xp, self.like = m, xp, like
        self.hess_mod = hess_mod
        self.schedule = ShiftSchedule()
        self.n_hess_mod = 0
        self.tau = 0.0
        self.H: Any = None
        self.J: Any = None

    def _enough_curvature(self, z: Array) -> bool:
        zz, zHz = scalars(self.xp, z @ z, z @ (self.H @ z))
        return zHz + self.tau * zz >= CURVATURE * zz

    def _search_shift(self, attempt: Callable[[], Array | None]) -> bool:
        """Raise tau until `attempt()` gives a tangential solution of positive curvature (None: singular)."""
        self.tau = 0.0
        for _ in range(SHIFT_TRIALS):
            z = attempt()
            if z is not None and (self.hess_mod == "none" or self._enough_curvature(z)):
                self.schedule.accept(self.tau)
                self.n_hess_mod += self.tau > 0.0
                return True
            self.tau = self.schedule.next(self.tau)
            if not self.tau < SHIFT_LIMIT:
                break
        return False


class SparseKKT(_CurvatureTested):
    """SuperLU (COLAMD) of the sparse K; the solution for the right-hand side (-g, 0) lies in ker J and is tested."""

    name = "superlu"
    exact = True

    def __init__(self, m: int, like: Array, xp: Namespace, hess_mod: str) -> None:
        super().__init__(m, like, xp, hess_mod)
        self.delta_c = 0.0
        self._factor: SparseLU | None = None

    def prepare(self, H: Any, J: Any, g: Array, c: Array) -> bool:
        """Factor K, regularising dependent rows and shifting B as the tests ask."""
        import scipy.sparse as sp

        self.H, self.J = sp.csr_array(H), sp.csr_array(J)
        delta = FEASIBLE_PIVOT * max(1.0, frobenius(self.J, self.xp))
        no_force = self.xp.zeros(self.m, dtype=self.like.dtype)
        self.delta_c = 0.0

        def attempt() -> Array | None:
            B = self.H if self.tau == 0.0 else self.H + self.tau * sp.eye_array(self.n, format="csr")
            for delta_c in (self.delta_c, delta):
                corner = None if delta_c == 0.0 else -delta_c * sp.eye_array(self.m, format="csr")
                K = sp.block_array([[B, self.J.T], [self.J, corner]], format="csc")
                try:
                    self._factor = SparseLU(K)
                except np.linalg.LinAlgError:
                    continue
                self.delta_c = delta_c
                z = self._factor.solve(-self.xp.concat([g, no_force]))[: self.n]
                if bool(self.xp.all(self.xp.isfinite(z))):
                    return z
            return None

        return self._search_shift(attempt)

    def solve(self, g: Array, c: Array, rtol: float) -> Step:
        """Back substitution."""
        assert self._factor is not None
        d = self._factor.solve(-self.xp.concat([g, c]))
        return Step(d[: self.n], d[self.n :])


class KrylovKKT(_CurvatureTested):
    """MINRES with the block-diagonal preconditioner [[D, 0], [0, J D^-1 J']], D = diag(B), or GMRES with the same."""

    exact = False

    def __init__(self, m: int, like: Array, xp: Namespace, hess_mod: str, method: str, limits: InnerLimits) -> None:
        super().__init__(m, like, xp, hess_mod)
        self.name = method
        self.limits = limits
        self._diagonal: Array | None = None
        self._schur: Any = None

    def matvec(self, v: Array) -> Array:
        """Product with K."""
        vx, vl = v[: self.n], v[self.n :]
        top = self.H @ vx + self.tau * vx
        return self.xp.concat([top + self.J.T @ vl, self.J @ vx]) if self.m else top

    def _build_preconditioner(self) -> None:
        xp = self.xp
        self._diagonal = self._schur = None
        if is_operator(self.H) or is_operator(self.J):
            return
        diagonal = self.H.diagonal() if is_sparse(self.H) else xp.linalg.diagonal(self.H)
        diagonal = xp.abs(diagonal + self.tau)
        largest = float(xp.max(diagonal))
        self._diagonal = xp.clip(diagonal, min=1e-6 * largest if largest > 0.0 else 1.0)
        if not self.m:
            return
        if is_sparse(self.J):
            scaled = self.J.multiply((1.0 / self._diagonal)[None, :])
            S = (scaled @ self.J.T).tocsc()
            if is_cupy(xp):
                self._schur = ("diagonal", S.diagonal())
                return
            try:
                self._schur = ("lu", SparseLU(S))
            except np.linalg.LinAlgError:
                self._schur = ("diagonal", xp.clip(S.diagonal(), min=1e-30))
            return
        S = (self.J / self._diagonal[None, :]) @ self.J.T
        ridge = 1e-10 * float(xp.max(xp.linalg.diagonal(S))) + 1e-300
        S = S + ridge * xp.eye(self.m, dtype=S.dtype, device=self.like.device)
        self._schur = ("cholesky", cho_factor(S))

    def _solve_schur(self, y: Array) -> Array:
        kind, factor = self._schur
        if kind == "diagonal":
            return y / factor
        return factor.solve(y) if kind == "lu" else cho_solve(factor, y)

    def _precondition(self, v: Array) -> Array:
        if self._diagonal is None:
            return v
        top = v[: self.n] / self._diagonal
        return self.xp.concat([top, self._solve_schur(v[self.n :])]) if self.m else top

    def _krylov(self, b: Array, rtol: float) -> Step:
        precond = None if self._diagonal is None else self._precondition
        if self.name == "minres":
            result = minres(
                self.matvec, b, precond=precond, rtol=rtol, maxiter=self.limits.steps, callback=self.limits.expired
            )
        else:
            result = gmres(
                self.matvec,
                b,
                precond=precond,
                restart=GMRES_RESTART,
                rtol=rtol,
                maxiter=self.limits.steps,
                callback=self.limits.expired,
            )
        return Step(result.x[: self.n], result.x[self.n :], result.nit, result.relative_residual, not result.converged)

    def _tangential(self, dx: Array) -> Array:
        """`dx` minus its least-squares normal part, so that J z = 0 up to the accuracy of an inner CG."""
        if not self.m:
            return dx
        normal = pcg(lambda y: self.J @ (self.J.T @ y), self.J @ dx, rtol=1e-8, maxiter=2 * self.m + 50)
        return dx - self.J.T @ normal.x

    def prepare(self, H: Any, J: Any, g: Array, c: Array) -> bool:
        """Raise tau until a rough solution has positive curvature on the null space."""
        self.H, self.J = H, J
        rhs = -self.xp.concat([g, c]) if self.m else -g

        def attempt() -> Array | None:
            self._build_preconditioner()
            return self._tangential(self._krylov(rhs, 1e-2).dx)

        return self._search_shift(attempt)

    def solve(self, g: Array, c: Array, rtol: float) -> Step:
        """Krylov solution to the true relative residual `rtol`."""
        return self._krylov(-self.xp.concat([g, c]) if self.m else -g, rtol)


class SketchedKKT(_CurvatureTested):
    """Row or Gaussian sketch-and-project on the dense K, to a relative residual; the randomised family on request."""

    exact = False

    def __init__(
        self, m: int, like: Array, xp: Namespace, hess_mod: str, method: str, limits: InnerLimits, rng: Any
    ) -> None:
        super().__init__(m, like, xp, hess_mod)
        self.name = method
        self.sketch = "row" if method == "rk" else "gaussian"
        self.limits, self.rng = limits, rng
        self.K: Array | None = None

    def _assemble(self) -> None:
        H, J = _dense(self.H, self.xp), _dense(self.J, self.xp)
        self.K = kkt_matrix(H, J, self.tau, self.xp)

    def prepare(self, H: Any, J: Any, g: Array, c: Array) -> bool:
        """Raise tau until a rough solution of the tangential system has positive curvature."""
        self.H, self.J = H, J

        def attempt() -> Array | None:
            self._assemble()
            return self.solve(g, self.xp.zeros_like(c), 1e-2).dx

        return self._search_shift(attempt)

    def solve(self, g: Array, c: Array, rtol: float) -> Step:
        """Steps in chunks of 2N until the true residual is small enough or a limit is reached."""
        b = -self.xp.concat([g, c])
        size = float(self.xp.linalg.vector_norm(b))
        solver = SketchedSolver(self.K, b, sketch=self.sketch, rng=self.rng)
        residual = size
        chunk = max(2 * (self.n + self.m), 256)
        while residual > rtol * size and solver.steps < self.limits.steps and not self.limits.expired():
            solver.advance(min(chunk, self.limits.steps - solver.steps), self.limits.deadline)
            residual = solver.residual_norm()
        relative = residual / size if size else 0.0
        return Step(solver.z[: self.n], solver.z[self.n :], solver.steps, relative, residual > rtol * size)


class CustomKKT(_CurvatureTested):
    """A user's `linear_solver(K, b, rtol) -> d` on the dense K."""

    name = "custom"
    exact = False

    def __init__(self, m: int, like: Array, xp: Namespace, hess_mod: str, solver: Callable[..., Any]) -> None:
        super().__init__(m, like, xp, hess_mod)
        self.solver = solver
        self.K: Array | None = None

    def prepare(self, H: Any, J: Any, g: Array, c: Array) -> bool:
        """Raise tau until the user's solution of the tangential system has positive curvature."""
        self.H, self.J = H, J

        def attempt() -> Array | None:
            self.K = kkt_matrix(_dense(H, self.xp), _dense(J, self.xp), self.tau, self.xp)
            return self.solve(g, self.xp.zeros_like(c), 1e-2).dx

        return self._search_shift(attempt)

    def solve(self, g: Array, c: Array, rtol: float) -> Step:
        """Call the user's solver and measure what it reached."""
        b = -self.xp.concat([g, c])
        d = self.solver(self.K, b, rtol)
        rr, bb = scalars(self.xp, (self.K @ d - b) @ (self.K @ d - b), b @ b)
        return Step(d[: self.n], d[self.n :], 1, (rr / bb) ** 0.5 if bb else 0.0)


def kkt_matrix(H: Array, J: Array, tau: float, xp: Namespace) -> Array:
    """The dense K for a given shift."""
    n, m = H.shape[0], J.shape[0]
    K = xp.zeros((n + m, n + m), dtype=H.dtype, device=H.device)
    K[:n, :n] = H if tau == 0.0 else H + tau * xp.eye(n, dtype=H.dtype, device=H.device)
    if m:
        K[n:, :n] = J
        K[:n, n:] = J.T
    return K


def choose_system(
    linear_solver: Any,
    H: Any,
    J: Any,
    like: Array,
    xp: Namespace,
    *,
    hess_mod: str,
    xi_B: float,
    limits: InnerLimits,
    rng: Any,
) -> NewtonSystem:
    """The system for the user's `linear_solver`; 'auto' decides by kind and size of H and J."""
    n, m = int(like.shape[0]), int(J.shape[0])
    size = n + m
    sparse = is_sparse(H) or is_sparse(J)
    operator = is_operator(H) or is_operator(J)
    if callable(linear_solver):
        return CustomKKT(m, like, xp, hess_mod, linear_solver)
    if linear_solver == "auto":
        if operator or (is_cupy(xp) and sparse) or (not sparse and size > DENSE_LIMIT):
            linear_solver = "minres"
        else:
            linear_solver = "direct"
    superlu = linear_solver == "direct" and sparse and size > SPARSE_FROM and is_numpy(xp)
    if hess_mod == "paper" and (linear_solver != "direct" or superlu):
        raise ValueError("`hess_mod`='paper' takes eigenvalues of a dense Hessian; use 'inertia' with this solver.")
    if linear_solver == "direct":
        if operator:
            raise ValueError(
                "`linear_solver`='direct' needs the Hessian and the Jacobian as matrices, got an operator or products; "
                "use 'minres' or 'gmres'."
            )
        if superlu:
            return SparseKKT(m, like, xp, hess_mod)
        return DenseKKT(m, like, xp, hess_mod, xi_B)
    if linear_solver in ("minres", "gmres"):
        return KrylovKKT(m, like, xp, hess_mod, linear_solver, limits)
    return SketchedKKT(m, like, xp, hess_mod, linear_solver, limits, rng)
