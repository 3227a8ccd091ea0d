"""Many small transport problems in lock-step: sweeps, then Newton steps with dense factorisations, batched.

The method of `numopt.ot.solve` (stages of the regularisation, Sinkhorn sweeps, Newton steps in a trust region) with the
whole plan in place of its large entries: at these sizes a dense Schur complement costs less than finding them. Every
round works out the plans at the trial potentials, which tell what the last step was worth, and makes the next step from
these same plans. Arrays hold the problems that are not finished; decisions are made on the host, with one transfer of
a few numbers a problem.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numopt._array import to_host
from numopt._core.loop import Measure
from numopt._core.status import Status
from numopt._typing import Array
from numopt.ot._batch_newton import RADIUS, SMALLEST_SHIFT, directions
from numopt.ot._batch_passes import kernel_sweeps, log_sweep, plans
from numopt.ot._batch_problem import Batch, Floats, Ints, chosen, masked, merged
from numopt.ot._options import Options, stages

Flags = NDArray[np.bool_]

STAGE_ERROR = 1e-2  # relative error at which an intermediate stage ends
SWITCH_ERROR = 1e-2
# Sweeps that cost as much as the Newton steps they would replace.
SWEEPS_WORTH = 150.0
FIRST_BURST, LONGEST_BURST, FALLBACK_BURST = 4, 120, 20
ACCEPT = 1e-4  # part of the predicted rise that a step must bring
DIVERGED = 1e8
FAILURES = 3
# Steps in a stage, and trials of one step, after which a problem is left to the solver of single problems.
NEWTON_LIMIT, TRIALS = 300, 40

RUNNING = -100  # in the place of a status
RESCUE = -101  # left to the solver of single problems
LOG_SWEEP, SWEEPS, NEWTON = 0, 1, 2  # kinds of step


class Potentials(NamedTuple):
    """On the device, a row for each unfinished problem: where it is, what it tries next, its best so far."""

    f: Array
    g: Array
    trial_f: Array
    trial_g: Array
    best_f: Array
    best_g: Array


@dataclass
class Control:
    """On the host, an entry for each unfinished problem."""

    ids: Ints
    tol: Floats
    largest_cost: Floats
    mass: Floats
    stage: Ints
    reg: Floats
    target: Floats
    kind: Ints  # of the step that led to the trial
    burst: Ints
    fun: Floats
    error: Floats
    stop: Floats  # what is compared with the target
    best: Floats
    mu: Floats
    radius: Floats
    reach: Floats  # largest change of a potential by the trial, in units of reg
    slope: Floats
    predicted: Floats
    trials: Ints
    failures: Ints
    stage_newton: Ints
    sinkhorn: Ints
    newton: Ints
    passes: Ints
    ending: Ints  # status to end with after the next point
    status: Ints

    @classmethod
    def start(cls, batch: Batch, tol: Floats) -> "Control":
        """Nothing done yet."""
        k = batch.count
        given: dict[str, NDArray[Any]] = {
            "ids": np.arange(k),
            "tol": tol,
            "largest_cost": batch.largest,
            "mass": batch.mass,
        }
        integers = ("stage", "kind", "burst", "trials", "failures", "stage_newton", "sinkhorn", "newton", "passes")
        given |= {name: np.zeros(k, dtype=np.int64) for name in integers}
        given |= {name: np.full(k, RUNNING) for name in ("ending", "status")}
        given |= {name: np.full(k, np.inf) for name in ("error", "stop", "best")}
        given |= {f.name: np.zeros(k) for f in fields(cls) if f.name not in given}
        return cls(**given)

    def at(self, where: slice | Ints | Flags) -> "Control":
        """Some entries: a view for a slice, else a copy."""
        return Control(**{f.name: getattr(self, f.name)[where] for f in fields(self)})

    def put(self, where: Ints, part: "Control") -> None:
        """Write back what became of some entries."""
        for f in fields(self):
            getattr(self, f.name)[where] = getattr(part, f.name)


class BatchEngine:
    """The problems of a batch, on the way to their answers."""

    def __init__(self, batch: Batch, options: Options, tol: Floats, start: Array | None) -> None:
        self.batch, self.options, self.xp = batch, options, batch.xp
        anneal = options.anneal and start is None
        regs = [stages(float(r), float(c), anneal) for r, c in zip(batch.reg, batch.largest, strict=True)]
        self.last: Ints = np.asarray([len(row) - 1 for row in regs], dtype=np.int64)
        # The last one repeated, so that all problems have as many.
        self.regs = np.asarray([row + row[-1:] * (int(self.last.max()) + 1 - len(row)) for row in regs])
        self.eps = float(self.xp.finfo(batch.a.dtype).eps)
        self.control = Control.start(batch, tol)
        self._enter(self.control, np.ones(batch.count, dtype=bool))
        g = self.xp.zeros_like(batch.b) if start is None else start
        f = self.xp.zeros_like(batch.a)
        self.finished: list[tuple[Control, Array, Array]] = []
        self.potentials = Potentials(f, g, *self._log_sweeps(self.control, g), f, g)

    # -- the method -----------------------------------------------------------------------------------------------

    def work(self) -> Iterator[Status | None]:
        """Run all rounds."""
        while self.control.ids.size:
            self._round()
            yield None

    def finish(self, status: Status) -> None:
        """End all problems; those at an earlier stage get to the last one by one sweep."""
        c = self.control
        if not c.ids.size:
            return
        c.ending[...] = int(status)
        early = np.flatnonzero(c.stage < self._last(c))
        kept = np.flatnonzero(c.stage >= self._last(c))
        c.stage[early] = self._last(c)[early]
        self._enter(c, c.stage == self._last(c))
        f, g = self.potentials[:2]
        pieces = [(kept, chosen(f, kept), chosen(g, kept))]
        if early.size:
            swept = c.at(early)
            pieces.append((early, *self._log_sweeps(swept, chosen(g, early))))
            c.put(early, swept)
        c.kind[...] = LOG_SWEEP
        trial_f, trial_g = merged(*pieces)
        self.potentials = self.potentials._replace(trial_f=trial_f, trial_g=trial_g)
        self._round()

    def measure(self) -> Measure:
        """The numbers of the batch for the loop: the largest error where all problems are at their last stage."""
        c = self.control
        final = c.stage >= self._last(c)
        worst = float(c.stop.max()) if c.ids.size and final.all() else math.inf
        return Measure(
            value=worst if c.ids.size else 0.0,
            name="marginal_error",
            fields={
                "unfinished": float(c.ids.size),
                "sinkhorn": self._total("sinkhorn"),
                "newton": self._total("newton"),
            },
        )

    def _total(self, name: str) -> float:
        return float(sum(getattr(c, name).sum() for c in [self.control, *(c for c, _, _ in self.finished)]))

    def current(self) -> tuple[Array, Array]:
        """Potentials of all problems, the finished ones' answers and where the others are, in order."""
        parts = [(c.ids, f, g) for c, f, g in self.finished]
        f, g = merged(*parts, (self.control.ids, self.potentials.f, self.potentials.g))
        return f, g

    def outcome(self) -> Control:
        """The control entries of all problems, in order, when all are finished."""
        tables = [c for c, _, _ in self.finished]
        joined = Control(**{f.name: np.concatenate([getattr(c, f.name) for c in tables]) for f in fields(Control)})
        return joined.at(np.argsort(joined.ids))

    def _last(self, c: Control) -> Ints:
        return self.last[c.ids]

    def _enter(self, c: Control, where: Flags) -> None:
        """Begin the stages that the table names."""
        c.reg[where] = self.regs[c.ids[where], c.stage[where]]
        loose = np.maximum(STAGE_ERROR, c.tol)
        c.target[where] = np.where(c.stage == self._last(c), c.tol, loose)[where]
        for values, first in ((c.mu, 0.0), (c.radius, RADIUS), (c.best, math.inf)):
            values[where] = first
        for counts in (c.trials, c.failures, c.stage_newton):
            counts[where] = 0
        c.kind[where] = LOG_SWEEP

    def _round(self) -> None:
        """Judge the trials of all problems and make new ones; let go of those that are finished."""
        parts = [
            self._advance(self.control.at(part), Potentials(*(x[part, :] for x in self.potentials)))
            for part in self.batch.chunks(self.control.ids.size)
        ]
        if len(parts) == 1:
            self.potentials = parts[0]
        else:
            self.potentials = Potentials(*(self.xp.concat(x) for x in zip(*parts, strict=True)))
        over = self.control.status != RUNNING
        if over.any():
            done, rest = np.flatnonzero(over), np.flatnonzero(~over)
            f, g = (chosen(x, done) for x in self.potentials[4:])
            self.finished.append((self.control.at(done), f, g))
            self.control = self.control.at(rest)
            self.potentials = Potentials(*(chosen(x, rest) for x in self.potentials))

    def _advance(self, c: Control, p: Potentials) -> Potentials:
        """One round of some problems, whose table is changed in place."""
        # A trial that goes too far overflows, and is rejected.
        with np.errstate(over="ignore", invalid="ignore"):
            P, r, col = self._plans(c, p.trial_f, p.trial_g)
            numbers = self._numbers(c, p.trial_f, p.trial_g, r, col)
        accepted, better = self._judge(c, numbers)
        f, g = self._where(accepted, (p.trial_f, p.trial_g), (p.f, p.g))
        best = self._where(better, (f, g), (p.best_f, p.best_g))
        pieces: list[tuple[Ints, Array, Array]] = []
        running = c.status == RUNNING
        for kind in (LOG_SWEEP, SWEEPS, NEWTON):
            for fresh in (True, False):
                here = np.flatnonzero(running & (c.kind == kind) & (accepted == fresh))
                if not here.size:
                    continue
                mine, f_here, g_here = c.at(here), chosen(f, here), chosen(g, here)
                if kind == LOG_SWEEP:
                    trial = self._log_sweeps(mine, g_here)
                else:
                    # Of rejected trials, the plans at hand are not those of where the problems are.
                    known = (chosen(x, here) for x in (P, r, col)) if fresh else self._plans(mine, f_here, g_here)
                    step = self._sweeps if kind == SWEEPS else self._newton
                    trial = step(mine, f_here, g_here, *known)
                pieces.append((here, *trial))
                c.put(here, mine)
        over = np.flatnonzero(~running)
        if over.size:
            pieces.append((over, chosen(f, over), chosen(g, over)))
        trial_f, trial_g = merged(*pieces)
        return Potentials(f, g, trial_f, trial_g, *best)

    def _where(self, flags: Flags, new: tuple[Array, Array], old: tuple[Array, Array]) -> tuple[Array, Array]:
        if flags.all():
            return new
        if not flags.any():
            return old
        mask = self.xp.asarray(flags, device=new[0].device)[:, None]
        return self.xp.where(mask, new[0], old[0]), self.xp.where(mask, new[1], old[1])

    # -- decisions, on the host -----------------------------------------------------------------------------------

    def _judge(self, c: Control, numbers: Floats) -> tuple[Flags, Flags]:
        """Decide which trials are accepted, which are the best so far, and what every problem does next."""
        fun, error, error_inf, largest, least = numbers
        c.passes += 1
        newton = c.kind == NEWTON
        finite = np.isfinite(error)
        with np.errstate(over="ignore", invalid="ignore"):
            ratio = (fun - c.fun) / np.where(c.predicted > 0.0, c.predicted, np.nan)
        flat = newton & (c.slope * c.reg < 1e3 * self.eps * (np.abs(c.fun) + c.reg * c.mass))
        accepted = finite & (~newton | (ratio > ACCEPT) | (flat & (error < c.error)))
        self._after_rejection(c, ~accepted, newton, flat)
        previous = c.error.copy()
        stop = (error if self.options.norm == "l1" else error_inf) / c.mass
        for old, new in ((c.fun, fun), (c.error, error), (c.stop, stop)):
            old[accepted] = new[accepted]
        self._after_newton(c, accepted & newton, ratio, flat)
        final = c.stage == self._last(c)
        better = accepted & final & (stop < c.best)
        c.best[better] = stop[better]
        self._next_kind(c, accepted, previous, least)
        c.status[accepted & (largest > DIVERGED * np.maximum(c.largest_cost, c.reg))] = int(Status.INFEASIBLE)
        c.status[accepted & (c.stage_newton >= NEWTON_LIMIT)] = RESCUE
        ending = np.where(c.sinkhorn + c.newton >= self.options.maxiter, int(Status.MAXITER), c.ending)
        c.ending[...] = np.where(c.ending == RUNNING, ending, c.ending)
        reached = accepted & (c.stop <= c.target)
        c.status[reached & final] = int(Status.CONVERGED)
        over = (c.status == RUNNING) & (c.ending != RUNNING)
        c.status[over & final] = c.ending[over & final]
        # A problem out of steps at an earlier stage gets to the last one by one sweep.
        c.stage[over & ~final] = self._last(c)[over & ~final] - 1
        onward = (reached | over) & ~final
        c.stage[onward] += 1
        self._enter(c, onward)
        return accepted, better

    def _after_rejection(self, c: Control, rejected: Flags, newton: Flags, flat: Flags) -> None:
        c.status[rejected & (c.kind == LOG_SWEEP)] = int(Status.NONFINITE)
        c.kind[rejected & (c.kind == SWEEPS)] = LOG_SWEEP
        again = rejected & newton
        c.trials[again] += 1
        failed = again & ((flat & (c.mu >= 1.0)) | (c.trials >= TRIALS))
        again &= ~failed
        c.mu[again] = np.maximum(4.0 * c.mu[again], SMALLEST_SHIFT)
        c.radius[again] = np.minimum(c.radius[again], np.maximum(0.25 * c.reach[again], 2.0))
        floor = 4.0 * self.eps * c.largest_cost / c.reg
        c.status[failed & (c.error <= 100.0 * floor * c.mass)] = int(Status.PRECISION)
        c.failures[failed] += 1
        c.status[failed & (c.status == RUNNING) & (c.failures >= FAILURES)] = RESCUE
        c.kind[failed], c.burst[failed] = SWEEPS, FALLBACK_BURST
        c.trials[failed], c.mu[failed], c.radius[failed] = 0, 0.0, RADIUS

    def _after_newton(self, c: Control, stepped: Flags, ratio: Floats, flat: Flags) -> None:
        """Adapt shift and radius to how well the model foretold the rise."""
        c.newton[stepped] += 1
        c.stage_newton[stepped] += 1
        c.trials[stepped] = 0
        well = stepped & (ratio > 0.75)
        wider = well & (c.reach > 0.5 * c.radius)
        c.radius[wider] = 2.0 * c.radius[wider]
        factor = np.select([ratio > 0.75, ratio > 0.5, (ratio < 0.25) & ~flat], [1 / 4, 1 / 3, 2.0], 1.0)
        c.mu[stepped] *= factor[stepped]
        c.mu[stepped & (c.mu < 0.1 * SMALLEST_SHIFT)] = 0.0

    def _next_kind(self, c: Control, accepted: Flags, previous: Floats, least: Floats) -> None:
        """Sweeps while they are the faster way, then Newton steps; log-domain sweeps where a row's mass underflowed."""
        swept = accepted & (c.kind == SWEEPS)
        safe = np.where(swept & (previous > 0.0) & (c.error > 0.0), c.error / np.where(swept, previous, 1.0), 0.5)
        ratio = safe ** (1.0 / np.maximum(c.burst, 1))
        wanted = np.where(c.error > 0.0, c.target * c.mass / np.maximum(c.error, 1e-300), 1.0)
        left = np.where(ratio < 1.0, np.log(np.minimum(wanted, 1.0)) / np.log(np.minimum(ratio, 1.0 - 1e-12)), np.inf)
        fast = (c.error > SWITCH_ERROR * c.mass) & (ratio <= 0.5)
        go_on = swept & (fast | (left <= SWEEPS_WORTH))
        c.kind[swept & ~go_on] = NEWTON
        c.burst[go_on] = np.clip(np.ceil(left[go_on]), FIRST_BURST, LONGEST_BURST)
        first = accepted & (c.kind == LOG_SWEEP)
        c.kind[first], c.burst[first] = SWEEPS, FIRST_BURST
        c.kind[accepted & ~(least > 0.0)] = LOG_SWEEP

    # -- what it takes to decide and to step ------------------------------------------------------------------------

    def _plans(self, c: Control, f: Array, g: Array) -> tuple[Array, Array, Array]:
        return plans(self.batch, c.ids, f, g, c.reg)

    def _log_sweeps(self, c: Control, g: Array) -> tuple[Array, Array]:
        c.sinkhorn += 1
        c.passes += 2
        return log_sweep(self.batch, c.ids, g, c.reg)

    def _sweeps(self, c: Control, f: Array, g: Array, K: Array, r: Array, col: Array) -> tuple[Array, Array]:
        """All do as many sweeps as the one that needs most, which may be more than some have left."""
        left = np.maximum(self.options.maxiter - c.sinkhorn - c.newton, 1)
        c.burst[...] = np.minimum(c.burst, left).max()
        c.sinkhorn += c.burst
        return kernel_sweeps(self.batch, c.ids, f, g, c.reg, K, r, int(c.burst[0]))

    def _numbers(self, c: Control, f: Array, g: Array, r: Array, col: Array) -> Floats:
        """Dual value, error, its largest entry, largest potential, least sum of an atom with mass."""
        xp, batch = self.xp, self.batch
        a, b = chosen(batch.a, c.ids), chosen(batch.b, c.ids)
        row_gap, col_gap = xp.abs(a - r), xp.abs(b - col)
        r_least, c_least = (
            xp.min(masked(xp, sums, None if mask is None else chosen(mask, c.ids), 1.0), axis=1)
            for sums, mask in ((r, batch.rows), (col, batch.cols))
        )
        numbers = (
            xp.sum(a * f, axis=1) + xp.sum(b * g, axis=1) - batch.device_array(c.reg) * xp.sum(r, axis=1),
            xp.sum(row_gap, axis=1) + xp.sum(col_gap, axis=1),
            xp.maximum(xp.max(row_gap, axis=1), xp.max(col_gap, axis=1)),
            xp.maximum(xp.max(xp.abs(f), axis=1), xp.max(xp.abs(g), axis=1)),
            xp.minimum(r_least, c_least),
        )
        return to_host(xp.stack(numbers)).astype(np.float64)

    def _newton(self, c: Control, f: Array, g: Array, P: Array, r: Array, col: Array) -> tuple[Array, Array]:
        """A Newton step by the shift and radius in the table, which notes what the step promises."""
        batch = self.batch
        row_gap, col_gap = chosen(batch.a, c.ids) - r, chosen(batch.b, c.ids) - col
        d = directions(P, r, col, row_gap, col_gap, c.mu, c.radius)
        c.mu[...], c.reach[...], c.slope[...], c.predicted[...] = d.shift, d.largest, d.slope, c.reg * d.predicted
        c.trials[d.slope == 0.0] = TRIALS
        reg = batch.device_array(c.reg)[:, None]
        return f + reg * d.rows, g + reg * d.columns
