"""Sinkhorn-Newton-Sparse: maximise the dual of entropic transport by Sinkhorn sweeps, then sparse Newton steps.

Tang, Shavlovsky, Rahmanian, Tardini, Thekumparampil, Xiao, Ying, "Accelerating Sinkhorn Algorithm with Sparse Newton
Iterations", ICLR 2024; with annealing in the regularisation, an error-controlled choice of the kept entries and a trust
region. F(f, g) = <a, f> + <b, g> - reg * sum P, P = exp((f + g' - C) / reg), grad F = (a - P 1, b - P' 1).
"""

import math
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from numopt import kernels
from numopt._array import namespace, scalars, to_host
from numopt._core.loop import Measure
from numopt._core.status import Status
from numopt._typing import Array, Namespace
from numopt.ot._coarse import coarse_step
from numopt.ot._cost import Cost, DenseCost
from numopt.ot._linear import DENSE_LIMIT
from numopt.ot._marginal import Marginal
from numopt.ot._newton import kept_graph, newton_step
from numopt.ot._options import Options, stages
from numopt.ot._region import Region

STAGE_ERROR = 1e-2  # relative error at which an intermediate stage ends
# Newton steps cost as much as this many sweeps: to start with, and for each factor e that the error has to fall.
SWEEPS_WORTH, SWEEPS_WORTH_EACH = 20, 5
LEAST_SWEEPS = 3
SWITCH_ERROR = 1e-2
# Scalings of a stored kernel beyond this are absorbed into the potentials.
BIGGEST_SCALING = 1e30
# The last step may leave this part of the error that is asked for, times the factor by which Newton steps overrate.
LAST_STEP = 1e-3
# No row or column may be off by more than this times `tol` of its own weight, as far as so many scalings lead.
POLISHED, POLISHING = 1e3, 20
FAILURES = 3
FALLBACK_SWEEPS = 20
DIVERGED = 1e8  # potentials of this many times the largest cost

DIVERGING = "The potentials diverge: the pairs of finite cost cannot carry these marginals"
TRAPPED = (
    "The pairs of finite cost cannot carry these marginals: a set of sources holds more mass than all targets that it "
    "reaches"
)


@dataclass(frozen=True, slots=True)
class Point:
    """Potentials with the sums of their plan and what follows from these."""

    f: Array
    g: Array
    r: Array
    c: Array
    row_gap: Array
    col_gap: Array
    fun: float
    error: float
    error_inf: float
    largest: float  # potential, absolute

    @property
    def xp(self) -> Namespace:
        return namespace(self.f)


@dataclass
class Counts:
    """Work done, over all stages."""

    sinkhorn: int = 0
    newton: int = 0
    coarse: int = 0
    cg: int = 0


@dataclass
class Engine:
    """One balanced or unbalanced problem on atoms that all have mass.

    `work` is the method as a generator: each `next` does one sweep, Newton step or coarse step. It yields None to go
    on, or the Status that ends the solve; at its end the answer meets the tolerance.
    """

    cost: Cost
    rows: Marginal
    cols: Marginal
    options: Options
    counts: Counts = field(default_factory=Counts)
    stage_seconds: list[tuple[float, float]] = field(default_factory=list)
    density_used: float = 0.0
    detail: str | None = None
    recording: bool = False  # somebody looks at the dual value after every sweep

    def __post_init__(self) -> None:
        self.xp = self.cost.xp
        self.reg, self.target = self.options.reg, self.options.tol
        (self.mass,) = scalars(self.xp, self.xp.sum(self.rows.weights))
        self.eps = float(self.xp.finfo(self.rows.weights.dtype).eps)
        self.factor_fits = min(self.cost.shape) <= DENSE_LIMIT
        self.here: Point
        self.sweeping: tuple[float, float] | None = None  # error and dual value while scalings are not absorbed
        self.best: Point | None = None
        self.kind = "start"
        self.last_density = math.nan
        self.last_cg = 0.0
        self.shift = 0.0
        self._kernel: tuple[Point | None, Any] = None, None  # plan at the first point of a stage
        self.capped_graph = False  # memory did not allow as many kept entries as the error asks for

    # -- evaluation -----------------------------------------------------------------------------------------------

    def evaluate(self, f: Array, g: Array) -> Point:
        """One pass: sums of the plan and what they tell."""
        return self.point(f, g, *self.cost.sums(f, g, self.reg))

    def point(self, f: Array, g: Array, r: Array, c: Array) -> Point:
        """Gather the numbers of potentials whose sums are known: one transfer."""
        xp, k = self.xp, kernels.bind(self.xp)
        terms = xp.empty((2, 5), dtype=xp.float64, device=f.device)
        gaps = []
        for row, (side, potential, sums) in enumerate(((self.rows, f, r), (self.cols, g, c))):
            gap = xp.empty_like(sums)
            k.side_terms(side.target(potential), potential, sums, gap, terms[row, :])
            gaps.append(gap)
        (dual_f, row_error, row_max, mass, f_max), (dual_g, col_error, col_max, _, g_max) = to_host(terms).tolist()
        if not self.rows.fixed:
            (dual_f,) = scalars(xp, self.rows.dual(f))
        if not self.cols.fixed:
            (dual_g,) = scalars(xp, self.cols.dual(g))
        error = row_error + col_error
        fun = dual_f + dual_g - self.reg * mass if math.isfinite(error) else -math.inf
        return Point(f, g, r, c, gaps[0], gaps[1], fun, error, max(row_max, col_max), max(f_max, g_max))

    def stopping(self, point: Point) -> float:
        """What is compared with `tol`: the error in the chosen norm, relative to the mass."""
        return self._error(point) / self.mass

    def _error(self, point: Point) -> float:
        return point.error if self.options.norm == "l1" else point.error_inf

    def inexactness(self) -> float:
        """How inexact a Newton step may be: for superlinear convergence as the error, at the end as it still needs."""
        relative = self.here.error / self.mass
        return max(relative, LAST_STEP * self.target / relative)

    def is_flat(self, rise: float) -> bool:
        """Whether a rise of the dual drowns in its rounding errors."""
        return abs(rise) < 1e3 * self.eps * (abs(self.here.fun) + self.reg * self.mass)

    def floor(self) -> float:
        """Relative marginal error that rounding of the exponents alone can leave."""
        return 4.0 * self.eps * max(self.here.largest, self.cost.largest) / self.reg

    def measure(self) -> Measure:
        """The numbers of the current point for the loop; an intermediate stage is never the end."""
        here = self.here
        final = self.reg == self.options.reg
        error, fun = (here.error, here.fun) if self.sweeping is None else self.sweeping
        return Measure(
            value=self.stopping(here) if final else math.inf,
            fun=fun,
            name="marginal_error",
            fields={
                "reg": self.reg,
                "l1": error,
                "sweep": float(self.kind == "sinkhorn"),
                "density": self.last_density,
                "cg": self.last_cg,
                "shift": self.shift,
                "kernel_passes": float(self.cost.n_passes),
            },
            arrays=lambda: {
                "f": self.xp.asarray(here.f, copy=True),
                "g": self.xp.asarray(here.g, copy=True),
                # No plan is stored between points.
                "x": self.cost.plan(here.f, here.g, self.reg)[0] if isinstance(self.cost, DenseCost) else here.f,
            },
        )

    # -- the method -----------------------------------------------------------------------------------------------

    def work(self, start: tuple[Array, Array] | None) -> Generator[Status | None, None, None]:
        """Run all stages."""
        options = self.options
        anneal = options.anneal and start is None and self._fixed
        regs = stages(options.reg, self.cost.largest, anneal)
        g = self.xp.zeros_like(self.cols.weights) if start is None else start[1]
        for reg in regs:
            began = time.perf_counter()
            self.reg = reg
            final = reg == options.reg
            target = options.tol if final else max(STAGE_ERROR, options.tol)
            self.target = target
            self._enter(g)
            try:
                yield None
                yield from self._stage(target)
            finally:  # the loop ends the last stage from outside
                self.stage_seconds.append((reg, time.perf_counter() - began))
            g = self.here.g

    def _stage(self, target: float) -> Iterator[Status | None]:
        if self.options.method == "sinkhorn":
            yield from self._sweeps(target, limit=None)
            return
        yield from self._sweeps(target, limit=self.options.warmup)
        region, failures, wants_coarse = Region(), 0, False
        while self.stopping(self.here) > target:
            if failures >= FAILURES:
                self.detail = "Newton steps failed, so that plain sweeps went on"
                yield from self._sweeps(target, limit=None)
                return
            graph = kept_graph(self)
            if wants_coarse:
                wants_coarse = False
                coarse = coarse_step(self, graph)
                if isinstance(coarse, Status):
                    self.detail = TRAPPED
                    yield coarse
                elif coarse is not None:
                    yield self._moved(coarse, "coarse")
                    continue
            before = self.here.error
            step = newton_step(self, region, graph)
            if step is None:
                if self.here.error <= 100.0 * self.floor() * self.mass:
                    yield Status.PRECISION
                failures += 1
                region = Region(capped=2)
                yield from self._sweeps(target, limit=FALLBACK_SWEEPS)
                continue
            self.counts.newton += 1
            # Steps that the trust region holds back tell of components that only just hang together.
            held_back = step.extended or (region.shift > 0.0 and step.point.error > 0.5 * before)
            wants_coarse = held_back and self._fixed
            self.last_density, self.last_cg, self.shift = step.density, float(step.cg), step.shift
            self.density_used = max(self.density_used, step.density)
            yield self._moved(step.point, "newton")

    def _moved(self, point: Point, kind: str) -> Status | None:
        self.here, self.kind = point, kind
        if self.reg == self.options.reg and (self.best is None or point.error < self.best.error):
            self.best = point
        if point.largest > DIVERGED * max(self.cost.largest, self.reg):
            self.detail = DIVERGING
            return Status.INFEASIBLE
        return None

    def _enter(self, g: Array) -> None:
        """First point of a stage: rows scaled to their weights, and where sweeps on a stored kernel follow, just that.

        Such a half sweep keeps the entries of the kernel below the weights; the first sweep on it completes this one.
        """
        cost = self.cost
        if isinstance(cost, DenseCost) and self._fixed and self.options.warmup != 0:
            f = self.rows.update(cost.lse_rows(g, self.reg), self.reg)
            f, g = self._translate(f, g)
            K, r, c = cost.plan(f, g, self.reg)
            (least,) = scalars(self.xp, self.xp.min(c))
            if least > 0.0:  # no column's mass has underflowed
                self._moved(self.point(f, g, r, c), "sinkhorn")
                self._kernel = self.here, K
                return
        self.log_sweep(g)

    @property
    def _fixed(self) -> bool:
        return self.rows.fixed and self.cols.fixed

    def log_sweep(self, g: Array) -> Status | None:
        """One sweep by log-sum-exp, which no range of the costs can overflow."""
        f = self.rows.update(self.cost.lse_rows(g, self.reg), self.reg)
        g = self.cols.update(self.cost.lse_cols(f, self.reg), self.reg)
        f, g = self._translate(f, g)
        self.counts.sinkhorn += 1
        return self._moved(self.evaluate(f, g), "sinkhorn")

    def _translate(self, f: Array, g: Array) -> tuple[Array, Array]:
        """The best shift (f + t, g - t), which leaves the plan alone; any, where both marginals are fixed."""
        xp = self.xp
        rho1, rho2 = self.rows.rho, self.cols.rho
        if self._fixed:
            # Near the gauge that the answer gets, so that its last shift rounds nothing away.
            (t,) = scalars(xp, xp.sum(self.cols.weights * g) / self.mass)
            return f + t, g - t
        if not (self.rows.fixed or self.cols.fixed):
            row, col = scalars(xp, xp.sum(self.rows.target(f)), xp.sum(self.cols.target(g)))
            if row > 0.0 and col > 0.0:
                t = rho1 * rho2 / (rho1 + rho2) * math.log(row / col)
                return f + t, g - t
        return f, g

    def _sweeps(self, target: float, limit: int | None) -> Iterator[Status | None]:
        """Sinkhorn sweeps: `limit` of them, or while they are the faster method (all the way for 'sinkhorn')."""
        forever = self.options.method == "sinkhorn" or self.detail is not None
        stored = isinstance(self.cost, DenseCost) and self._fixed
        done, previous, slow = 0, self._error(self.here), 0
        sweep = self._stored_sweeps() if stored else self._log_sweeps()
        try:
            for error in sweep:
                done += 1
                self.kind = "sinkhorn"
                ratio = error / previous if previous > 0.0 else 0.0
                previous = error
                if error <= target * self.mass:
                    break
                slow = slow + 1 if ratio > 1.0 - 1e-6 else 0
                if slow >= 50 and forever:
                    yield Status.PRECISION if error <= 100.0 * self.floor() * self.mass else Status.STALLED
                if limit is not None and done >= limit:
                    break
                if limit is None and not forever and done >= LEAST_SWEEPS and self._switch(error, ratio, target):
                    break
                yield None
        finally:
            sweep.close()
        yield None

    def _switch(self, error: float, ratio: float, target: float) -> bool:
        """Whether Newton steps are now the faster way on."""
        if error > SWITCH_ERROR * self.mass and ratio <= 0.5:
            return False
        if ratio >= 1.0:
            return True
        decades = math.log(error / (target * self.mass))
        return decades / -math.log(ratio) > SWEEPS_WORTH + SWEEPS_WORTH_EACH * decades

    def _swept_dual(self, f: Array, g: Array, u: Array, v: Array) -> float:
        """The dual value after a sweep, whose plan has the mass of the columns."""
        xp, a, b = self.xp, self.rows.weights, self.cols.weights
        rise = xp.sum(a * xp.log(u)) + xp.sum(b * xp.log(v)) - xp.sum(b)
        return scalars(xp, self.rows.dual(f) + self.cols.dual(g) + self.reg * rise)[0]

    def answer(self) -> Point:
        """The best point at the final regularisation; a solve that ended before gets there by one sweep."""
        if self.reg != self.options.reg:
            self.reg = self.options.reg
            self.log_sweep(self.here.g)
        assert self.best is not None
        return self._polished(self._gauged(self.best))

    def _polished(self, point: Point) -> Point:
        """Make rows and columns right whose weights are so small that the error in the norm does not see them.

        Scaling all rows, or all columns, to their weights never raises the sum of both errors.
        """
        if not self._fixed:
            return point
        xp, a, b = self.xp, self.rows.weights, self.cols.weights
        best = point
        for turn in range(POLISHING):
            worst = max(scalars(xp, xp.max(xp.abs(point.row_gap) / a), xp.max(xp.abs(point.col_gap) / b)))
            if not POLISHED * self.options.tol < worst < math.inf:
                break
            f, g = point.f, point.g
            if turn % 2 == 0:
                f = f + self.reg * (self.rows.log_weights - xp.log(point.r))
            else:
                g = g + self.reg * (self.cols.log_weights - xp.log(point.c))
            point = self.evaluate(f, g)
            if not point.error <= max(best.error, 0.5 * self.options.tol * self.mass):
                break
            best = point
        return best

    def _gauged(self, point: Point) -> Point:
        """Shift to sum(b g) = 0, which leaves the plan alone."""
        if not self._fixed:
            return point
        xp = self.xp
        (t,) = scalars(xp, xp.sum(self.cols.weights * point.g) / self.mass)
        return replace(point, f=point.f + t, g=point.g - t)

    def _log_sweeps(self) -> Any:
        while True:
            self.log_sweep(self.here.g)
            yield self._error(self.here)

    def _stored_sweeps(self) -> Any:
        """Sweeps on the kernel at the current potentials, one read of it each; the potentials follow at the end."""
        cost: Any = self.cost
        xp, k = self.xp, kernels.bind(self.xp)
        a, b = self.rows.weights, self.cols.weights
        while True:
            f, g = self.here.f, self.here.g
            made_at, K = self._kernel
            self._kernel = None, None  # its memory goes with this generator
            entered = made_at is self.here
            if entered:
                r, c = self.here.r, self.here.c
            else:
                K, r, c = cost.plan(f, g, self.reg)
            (least,) = scalars(xp, xp.min(r))
            if not least > 0.0:  # a row whose mass underflowed
                self.log_sweep(g)
                yield self._error(self.here)
                continue
            r, c = xp.empty_like(r), xp.empty_like(c)
            u, v, gap = xp.ones_like(r), xp.ones_like(c), xp.empty_like(r)
            terms = xp.empty(5, dtype=xp.float64, device=r.device)
            fresh = True
            try:
                while True:
                    k.scaling_sweep(K, a, b, u, v, r, cost.accumulators, c)
                    self.counts.sinkhorn += 1
                    fresh = False
                    k.side_terms(a, u, r, gap, terms)
                    _, total, most, _, biggest = to_host(terms).tolist()
                    error = total if self.options.norm == "l1" else most
                    if entered:
                        # The rows were right before this sweep, which the half sweep of the start began.
                        error, entered = self._error(self.here), False
                    if self.recording:
                        self.sweeping = error, self._swept_dual(f, g, u, v)
                    yield error
                    # The largest scaling of a row tells: it and the smallest move apart together.
                    if biggest > BIGGEST_SCALING:
                        break
            finally:
                self.sweeping = None
                if not fresh:
                    self._moved(self.evaluate(f + self.reg * xp.log(u), g + self.reg * xp.log(v)), "sinkhorn")
