"""Transport with linear constraints on the plan: sweeps with a third block, then Newton steps on all multipliers.

Tang, Rahmanian, Shavlovsky, Thekumparampil, Xiao, Ying, "A Sinkhorn-type Algorithm for Constrained Optimal Transport",
2024, as an extension of the engine for plain transport: the dual gains K multipliers w (see `_constraints`). A sweep
updates f, g and, by a few damped Newton steps in K unknowns, w. A Newton step solves the bordered system

    [[H, M], [M', Q]] (d, dw) = gradient,   H = [[diag(r), P], [P', diag(c)]],   M_k = sums of D_k * P,
    Q_kl = <D_k D_l, P> + slack_k [k = l],

by its Schur complement on the K rows, with H of the kept entries and M, Q of the whole plan.
"""

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from numopt._array import asarray_like, scalars, to_host
from numopt._core.messages import outcome_message
from numopt._core.status import Status
from numopt._typing import Array
from numopt.ot._bipartite import Bipartite
from numopt.ot._constraints import Constraints, Vector, contradiction, unreachable
from numopt.ot._cost import DenseCost
from numopt.ot._engine import FAILURES, FALLBACK_SWEEPS, SWITCH_ERROR, Engine, Point
from numopt.ot._linear import CG_LIMIT, Direction, System, schur_factor, solve
from numopt.ot._newton import kept_graph
from numopt.ot._options import Options
from numopt.ot._problem import Problem
from numopt.ot._region import ACCEPT, EXTEND, LARGEST_SHIFT, TRIALS, Region, extended
from numopt.ot._result import REMEDIES

# Up to this many atoms on the shorter side one factorisation serves all K + 1 right-hand sides of a step.
FACTOR_LIMIT = 1000
BORDER_RTOL = 1e-8  # of the solves for M: their errors stand against what is left of Q
SWEEPS = 20  # before the Newton steps of a stage, at most
SLOW = 0.8  # factor of the error per sweep from which on Newton steps take over
MULTIPLIER_STEPS = 3  # in a sweep
MULTIPLIER_RADIUS = 3.0  # largest change of an exponent by one of these
FLAT = 1e-10  # curvature of a multiplier relative to its own, at least
PROOF = 1e-9  # margin of a proof that no plan meets the constraints, relative to the range of D


@dataclass(frozen=True, slots=True)
class ConstrainedPoint(Point):
    """A point with multipliers; `error` and `error_inf` hold the residuals of the constraints as well."""

    w: Vector
    values: Vector
    slack: Vector
    residual: Vector  # <D, P> - slack - t
    marginal_error: float
    marginal_error_inf: float


class _Border(NamedTuple):
    """M by rows (K, n) and columns (K, m), and Q with the slacks."""

    rows: Array
    cols: Array
    Q: Vector


class _Step(NamedTuple):
    """A direction in units of the regularisation."""

    rows: Array
    cols: Array
    w: Vector


class ConstrainedEngine(Engine):
    """The engine for plain transport with multipliers; `cost` holds C - sum_k w_k D_k for the current ones."""

    def __init__(
        self,
        problem: Problem,
        options: Options,
        constraints: Constraints,
        start: Vector,
        *,
        recording: bool = False,
    ) -> None:
        base = problem.cost
        assert isinstance(base, DenseCost)
        xp, real = problem.xp, problem.rows.weights.dtype
        self.base = xp.astype(base.C, real, copy=False)
        cost = DenseCost(self.base, real, base.largest, has_inf=base.has_inf)
        super().__init__(cost, problem.rows, problem.cols, options, recording=recording)
        self.constraints = constraints
        self.w = np.zeros(constraints.count)
        self.w_reg = options.reg
        self.effective = cost
        self.move_to(start)

    # -- evaluation -----------------------------------------------------------------------------------------------

    def move_to(self, w: Vector) -> None:
        """Make these multipliers the current ones."""
        if not np.array_equal(w, self.w):
            self.w = w
            self.effective.C = self.constraints.costs(self.base, w)

    def at(self, f: Array, g: Array, w: Vector) -> ConstrainedPoint:
        """Evaluate with other multipliers."""
        self.move_to(w)
        return self.evaluate(f, g)

    def evaluate(self, f: Array, g: Array) -> ConstrainedPoint:
        P, r, c = self.effective.plan(f, g, self.reg)
        return self._measured(super().point(f, g, r, c), P)

    def point(self, f: Array, g: Array, r: Array, c: Array) -> ConstrainedPoint:
        return self._measured(super().point(f, g, r, c), self.effective.plan(f, g, self.reg)[0])

    def _measured(self, plain: Point, P: Array) -> ConstrainedPoint:
        constraints = self.constraints
        values, slack = constraints.values(P), constraints.slack(self.w, self.reg)
        residual = values - slack - constraints.targets
        relative = np.abs(residual) / constraints.scales
        fields = {name: getattr(plain, name) for name in Point.__slots__}
        fun = plain.fun + constraints.dual(self.w, self.reg)
        fields |= {
            "fun": fun if math.isfinite(fun) else -math.inf,
            "error": plain.error + float(relative.sum()),
            "error_inf": max(plain.error_inf, float(relative.max())),
            "largest": max(plain.largest, float(np.max(np.abs(self.w) * constraints.scales))),
        }
        return ConstrainedPoint(
            **fields,
            w=self.w,
            values=values,
            slack=slack,
            residual=residual,
            marginal_error=plain.error,
            marginal_error_inf=plain.error_inf,
        )

    # -- the method -----------------------------------------------------------------------------------------------

    def work(self, start: tuple[Array, Array] | None) -> Generator[Status | None, None, None]:
        k = unreachable(self.constraints, self.effective, self.rows.weights, self.cols.weights)
        if k is None:
            yield from super().work(start)
            return
        self.reg = self.options.reg
        self.log_sweep(self.xp.zeros_like(self.cols.weights))
        self.detail = f"No plan reaches the target of constraints[{k}], even row by row or column by column"
        yield Status.INFEASIBLE

    def log_sweep(self, g: Array) -> Status | None:
        """One sweep over f, g and w."""
        if self.reg != self.w_reg:
            # The slack of an inequality far from its bound is what a smaller regularisation leaves alone.
            idle = self.constraints.at_least & (self.w < 0.0)
            self.move_to(np.where(idle, self.w * (self.reg / self.w_reg), self.w))
            self.w_reg = self.reg
        f = self.rows.update(self.effective.lse_rows(g, self.reg), self.reg)
        g = self.cols.update(self.effective.lse_cols(f, self.reg), self.reg)
        f, g = self._translate(f, g)
        self._fit_multipliers(f, g)
        self.counts.sinkhorn += 1
        return self._moved(self.evaluate(f, g), "sinkhorn")

    def _fit_multipliers(self, f: Array, g: Array) -> None:
        """Maximise the dual over w alone, by damped Newton steps."""
        xp, reg, constraints = self.xp, self.reg, self.constraints
        P, r, _ = self.effective.plan(f, g, reg)
        fun = constraints.dual(self.w, reg) - reg * scalars(xp, xp.sum(r))[0]
        for _ in range(MULTIPLIER_STEPS):
            slack = constraints.slack(self.w, reg)
            gap = constraints.targets + slack - constraints.values(P)
            if np.max(np.abs(gap) / constraints.scales) <= 0.1 * self.options.tol * self.mass:
                return
            Q = constraints.moments(P)[2] + np.diag(slack)
            step = reg * _lifted_solve(Q, gap, np.diag(Q))
            step *= min(1.0, MULTIPLIER_RADIUS * reg / max(constraints.reach(step), 1e-300))
            before = self.w
            for _ in range(TRIALS):
                self.move_to(before + step)
                P, r, _ = self.effective.plan(f, g, reg)
                risen = constraints.dual(self.w, reg) - reg * scalars(xp, xp.sum(r))[0]
                if risen >= fun - 1e2 * self.eps * abs(fun):
                    break
                step = 0.5 * step
            else:
                self.move_to(before)
                return
            fun = risen

    def _stage(self, target: float) -> Iterator[Status | None]:
        plain = self.options.method == "sinkhorn"
        yield from self._plain_sweeps(target, None if plain else self.options.warmup or SWEEPS, by_progress=not plain)
        region, failures = Region(), 0
        while self.stopping(self.here) > target:
            if failures >= FAILURES:
                self.detail = "Newton steps failed, so that plain sweeps went on"
                yield from self._plain_sweeps(target, None, by_progress=False)
                return
            status = self._newton(region)
            if status is Status.LINESEARCH:
                if self.here.error <= 100.0 * self.floor() * self.mass:
                    yield Status.PRECISION
                failures += 1
                region = Region(capped=2)
                yield from self._plain_sweeps(target, FALLBACK_SWEEPS, by_progress=False)
                continue
            yield status

    def _plain_sweeps(self, target: float, limit: int | None, *, by_progress: bool) -> Iterator[Status | None]:
        """Sweeps: `limit` of them at most, and while they make progress or for good."""
        done, slow = 0, 0
        while self.stopping(self.here) > target and (limit is None or done < limit):
            previous = self.here.error
            status = self.log_sweep(self.here.g)
            done += 1
            ratio = self.here.error / previous
            slow = slow + 1 if ratio > 1.0 - 1e-6 else 0
            if status is None and slow >= 50:
                status = Status.PRECISION if self.here.error <= 100.0 * self.floor() * self.mass else Status.STALLED
            yield status
            near = self.here.error <= SWITCH_ERROR * self.mass
            if by_progress and (near or (done >= 3 and ratio > SLOW)):
                return

    def _moved(self, point: Point, kind: str) -> Status | None:
        status = super()._moved(point, kind)
        assert isinstance(point, ConstrainedPoint)
        if np.max(np.abs(point.w) * self.constraints.scales) > 2.0 * self.cost.largest:
            margin = contradiction(
                self.constraints, self.effective, self.rows.weights, self.cols.weights, point.g, point.w
            )
            if margin > PROOF:
                status = Status.INFEASIBLE
                self.detail = (
                    "Combined with these multipliers, the constraints contradict the marginals by "
                    f"{margin:.1e} of the range of D"
                )
        return status

    # -- Newton steps ---------------------------------------------------------------------------------------------

    def _newton(self, region: Region) -> Status | None:
        """Take one step; LINESEARCH when none is acceptable."""
        here = self.here
        assert isinstance(here, ConstrainedPoint)
        graph = kept_graph(self)
        moments = self.constraints.moments(self.effective.plan(here.f, here.g, self.reg)[0])
        border = _Border(*moments[:2], moments[2] + np.diag(here.slack))
        spent, mu = self.counts.cg, region.shift
        for _ in range(TRIALS):
            d = self._direction(here, graph, border, mu, region)
            largest, slope, length = self._numbers(here, border, d)
            if mu < LARGEST_SHIFT and not largest <= region.radius:
                mu = region.damped(mu, largest)
                continue
            predicted = 0.5 * self.reg * (slope + mu * length)
            new = self._along(here, d, 1.0)
            ratio = (new.fun - here.fun) / predicted if predicted > 0.0 else math.nan
            flat = self.is_flat(self.reg * slope)
            if ratio > ACCEPT or (flat and new.error < here.error):
                break
            if flat and mu >= 1.0:
                self.move_to(here.w)
                return Status.LINESEARCH
            mu = region.rejected(mu, largest)
        else:
            self.move_to(here.w)
            return Status.LINESEARCH
        if ratio > EXTEND and not flat:
            new = extended(lambda t: self._along(here, d, t), new, largest)
            self.move_to(new.w)
        region.accepted(mu, ratio, largest, flat=flat)
        self.counts.newton += 1
        self.last_density, self.last_cg, self.shift = graph.density, float(self.counts.cg - spent), mu
        self.density_used = max(self.density_used, graph.density)
        return self._moved(new, "newton")

    def _along(self, here: ConstrainedPoint, d: _Step, t: float) -> ConstrainedPoint:
        step = t * self.reg
        return self.at(here.f + step * d.rows, here.g + step * d.cols, here.w + step * d.w)

    def _direction(self, here: ConstrainedPoint, graph: Bipartite, border: _Border, mu: float, region: Region) -> _Step:
        """Solve the bordered system with mu times its diagonal added."""
        system = System(graph, here.r * (1.0 + mu), here.c * (1.0 + mu), here.row_gap, here.col_gap)
        eliminate = self._linear_solver(system, region)
        base = eliminate(system, min(0.1, math.sqrt(self.inexactness())))
        xp, count = self.xp, self.constraints.count
        sides = [
            eliminate(system._replace(row_gap=border.rows[k, :], col_gap=border.cols[k, :]), BORDER_RTOL)
            for k in range(count)
        ]
        Z_rows, Z_cols = xp.stack([z.rows for z in sides]), xp.stack([z.columns for z in sides])
        products = xp.matmul(border.rows, xp.matrix_transpose(Z_rows)) + xp.matmul(
            border.cols, xp.matrix_transpose(Z_cols)
        )
        known = xp.matmul(border.rows, base.rows) + xp.matmul(border.cols, base.columns)
        gathered = np.asarray(to_host(xp.concat([products, known[:, None]], axis=1)), dtype=np.float64)
        own = np.diag(border.Q)
        schur = border.Q + mu * np.diag(own) - 0.5 * (gathered[:, :count] + gathered[:, :count].T)
        w = _lifted_solve(schur, -here.residual - gathered[:, count], own)
        weights = asarray_like(w, here.f, dtype=here.f.dtype)
        return _Step(base.rows - xp.matmul(weights, Z_rows), base.columns - xp.matmul(weights, Z_cols), w)

    def _linear_solver(self, system: System, region: Region) -> Callable[[System, float], Direction]:
        """Factor once, or solve each system by the method that was asked for."""
        method = self.options.linsolver
        n, m = system.graph.shape
        if method == "auto" and not self.capped_graph:
            small = min(n, m) <= FACTOR_LIMIT
            method = "direct" if small or (region.capped >= 2 and self.factor_fits) else "cg"
        elif method == "auto":
            method = "exact-pcg"
        if method == "direct":
            flip = n > m
            factor = schur_factor(system.transposed if flip else system)

            def factored(system: System, rtol: float) -> Direction:
                if not flip:
                    return system.complete(factor(system.reduced()), 0, 0.0)
                d = system.transposed.complete(factor(system.transposed.reduced()), 0, 0.0)
                return Direction(d.columns, d.rows, 0, 0.0)

            return factored
        here = self.here

        def iterated(system: System, rtol: float) -> Direction:
            d = solve(system, rtol, method, lambda: self.effective.products(here.f, here.g, self.reg))
            self.counts.cg += d.iterations
            if d.iterations >= CG_LIMIT:
                region.capped += 1
            return d

        return iterated

    def _numbers(self, here: ConstrainedPoint, border: _Border, d: _Step) -> tuple[float, float, float]:
        """Largest change of an exponent, slope of the dual and squared length, all in units of the regularisation."""
        xp = self.xp
        largest, slope, length = scalars(
            xp,
            xp.maximum(xp.max(xp.abs(d.rows)), xp.max(xp.abs(d.cols))),
            xp.sum(here.row_gap * d.rows) + xp.sum(here.col_gap * d.cols),
            xp.sum(here.r * d.rows**2) + xp.sum(here.c * d.cols**2),
        )
        return (
            max(largest, self.constraints.reach(d.w)),
            slope - float(here.residual @ d.w),
            length + float(np.diag(border.Q) @ d.w**2),
        )

    # -- the answer -----------------------------------------------------------------------------------------------

    def answer(self) -> Point:
        point = super().answer()
        assert isinstance(point, ConstrainedPoint)
        self.move_to(point.w)
        return point

    def solved(self, problem: Problem) -> Problem:
        """The problem with the costs that the multipliers make, for what follows from these alone."""
        whole = problem.whole
        if whole is not None and (problem.kept_rows is not None or problem.kept_cols is not None):
            assert isinstance(whole, DenseCost)
            C = self.constraints.of_all_atoms(self.xp.astype(whole.C, self.base.dtype, copy=False), self.w)
            whole = DenseCost(C, self.base.dtype, whole.largest, has_inf=whole.has_inf)
        return replace(problem, cost=self.effective, whole=whole)

    def fields(
        self, final: Point, status: Status, value: float, reg_value: float, f: Array, nit: int
    ) -> dict[str, Any]:
        """Fields of the result that the constraints change or add."""
        assert isinstance(final, ConstrainedPoint)
        xp, constraints, w, reg = self.xp, self.constraints, final.w, self.options.reg
        (mass,) = scalars(xp, xp.sum(final.r))
        share = float(w @ final.values)
        ordinary = share - float(np.where(constraints.at_least, (w + reg) * final.slack, 0.0).sum())
        measured = self.stopping(final)

        def array(values: Vector) -> Array:
            return asarray_like(values, final.f, dtype=final.f.dtype)

        return {
            "value": value + share,
            "reg_value": reg_value + ordinary,
            "fun": reg_value + ordinary,
            "f": f - float(w @ constraints.offsets),
            "multipliers": array(w),
            "constraint_values": array(final.values + mass * constraints.offsets),
            "slack": array(final.slack),
            "constraint_error": float(np.max(np.abs(final.residual) / constraints.scales)),
            "marginal_error": final.marginal_error,
            "marginal_error_linf": final.marginal_error_inf,
            "message": outcome_message(
                status,
                measure_name="error of marginals and constraints relative to the mass",
                value=measured,
                tol=self.options.tol,
                nit=nit,
                remedy=_REMEDIES.get(status),
                detail=self.detail,
            ),
        }


_REMEDIES = REMEDIES | {
    Status.STALLED: "raise reg, use a looser tol, or check that the constraints leave some room",
    Status.INFEASIBLE: "relax the constraints",
}


def _lifted_solve(Q: Vector, rhs: Vector, own: Vector) -> Vector:
    """Solve with curvatures of at least FLAT relative to the multipliers' own, which dependent constraints may lack."""
    scale = 1.0 / np.sqrt(np.where(own > 0.0, own, 1.0))
    scaled = Q * scale[:, None] * scale[None, :]
    if not (np.all(np.isfinite(scaled)) and np.all(np.isfinite(rhs))):
        return np.full_like(rhs, math.nan)
    values, vectors = np.linalg.eigh(0.5 * (scaled + scaled.T))
    solved: Vector = scale * (vectors @ ((vectors.T @ (scale * rhs)) / np.maximum(values, FLAT)))
    return solved
