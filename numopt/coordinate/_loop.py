"""The loop of block coordinate descent for any partition, rule and update.

Nutini, Laradji and Schmidt, "Let's Make Block Coordinate Descent Converge Faster", JMLR 2022, algorithm 1. What differs
here: no step raises F by more than rounding, whatever the update; unknowns that f does not depend on are set once and
then left alone; and the loop tells why it cannot go on.
"""

import math
from collections.abc import Mapping
from typing import Any

from scipy.optimize import OptimizeResult

from numopt._array import is_array, scalars
from numopt._core.status import Status
from numopt._rng import default_rng
from numopt._typing import Array, RNGLike
from numopt.coordinate._blocks import BlockCache
from numopt.coordinate._dead_unknowns import settle_dead_unknowns
from numopt.coordinate._gradient_updates import EstimatedGradientUpdate, secant_constants
from numopt.coordinate._least_squares import LeastSquares
from numopt.coordinate._linear_model import LinearModel, LinearPoint
from numopt.coordinate._partition import Partition, make_partition
from numopt.coordinate._problem import Certificate, Point, Problem, largest
from numopt.coordinate._quadratic import QuadraticPoint
from numopt.coordinate._report import Report
from numopt.coordinate._selection import Selection, make_selection
from numopt.coordinate._smooth import Smooth
from numopt.coordinate._step import Update
from numopt.coordinate._update import make_update

__all__ = ["solve_blocks"]

# Passes between two computations of what is tracked from x, and the drift of F that halves this number.
_REFRESH, _DRIFT = 50.0, 1e-10
# Units of rounding of F that count as no progress, and for how many passes (greedy rules: block updates) it may lack.
_ROUNDING = 16.0
_PATIENCE, _GREEDY_PATIENCE = 20.0, 100
# Passes of a random rule without any change after which the remaining blocks are tried in turn.
_IDLE_PASSES = 5
# A gradient beyond this share of the reference, without curvature along it, means that F has no minimum.
_SLOPE = 1e-6


def solve_blocks(
    problem: Problem,
    x0: Array,
    report: Report,
    *,
    partition: Any = "auto",
    block_size: Any = "auto",
    selection: str = "auto",
    update: str = "auto",
    lipschitz: Any = "exact",
    line_search: bool | None = None,
    options: Mapping[str, Any] | None = None,
    rng: RNGLike = None,
    intercept: Any = None,
) -> OptimizeResult:
    """Minimise F by updates of blocks, chosen by a rule from a partition.

    Parameters
    ----------
    problem, x0, report : Problem, flat array, Report
        What is solved, from where, and the limits.
    partition, block_size, selection, update, lipschitz, line_search, options, rng
        As for `bcd`.
    intercept : float or array, optional
        Where to start with the constant.

    Returns
    -------
    OptimizeResult
        As from `bcd`.

    Raises
    ------
    ValueError, TypeError
        For names that do not exist and choices that do not go together.
    """
    chosen = dict(options or {})
    generator = default_rng(rng)
    problem, secant = _with_constants(problem, x0, update, lipschitz)
    blocks = make_partition(problem, partition, block_size, generator, order=chosen.get("order", "lipschitz"))
    cache = BlockCache(problem, blocks)
    if update == "auto" and selection.startswith("tree") and problem.penalty.is_zero:
        update = "message_passing"  # the blocks are forests, which the partition does not tell
    change = make_update(
        problem, blocks, update, lipschitz=lipschitz, line_search=line_search, options=chosen, cache=cache
    )
    start, constant, nit, npass = report.resume(x0)
    point = problem.point(start, intercept if constant is None else constant)
    estimates = None
    if isinstance(change, EstimatedGradientUpdate):
        change.begin(secant)
        estimates = change.current
    elif change.constants is not None:
        estimates = change.given_constants
    rule = make_selection(problem, blocks, selection, chosen, generator, cache=cache, estimates=estimates)
    _check_forests(blocks, rule, change)
    return _Loop(point, report, blocks, rule, change, nit, npass).run()


def _with_constants(problem: Problem, x0: Array, update: str, lipschitz: Any) -> tuple[Problem, Array | None]:
    """Return the problem with constants along the unknowns, and a first guess of them where it had none.

    A user's function may come without: then given ones count, and else a guess that only ranks unknowns and starts
    estimates.
    """
    if not isinstance(problem, Smooth) or problem.has_constants:
        return problem, None
    if not isinstance(lipschitz, str):
        return problem.with_constants(lipschitz), None
    automatic = update == "auto" and problem.hess_block is None
    if lipschitz != "estimate" and (automatic or update in ("gradient", "diag", "matrix")):
        _ = problem.lipschitz  # raises
    guess = secant_constants(problem.point(x0))
    return problem.with_constants(guess), guess


def _check_forests(partition: Partition, rule: Selection, update: Update) -> None:
    chosen_anew = partition.kind == "variable" and partition.block_size > 1
    if update.name == "message_passing" and chosen_anew and not rule.rule.startswith("tree"):
        raise ValueError(
            "`update='message_passing'` needs blocks without cycles: take partition='tree_partition' or 'redblack', or "
            f"selection='tree', got selection={rule.rule!r} with variable blocks."
        )


class _Loop:
    """One solve."""

    def __init__(
        self,
        point: Point,
        report: Report,
        partition: Partition,
        rule: Selection,
        update: Update,
        nit: int,
        npass: float,
    ) -> None:
        self.point, self.problem, self.report = point, point.problem, report
        self.partition, self.rule, self.update = partition, rule, update
        self.nit, self.npass = nit, npass
        self.njev = 0
        self.active_set_iter = 0
        self.detail: str | None = None
        self.block = -1  # number of the block that moved last
        xp = self.problem.xp
        self._eps = float(xp.finfo(self.problem.dtype).eps)
        self._greedy = rule.score_kind == "gradient"
        # Whether the whole gradient is there at every iteration, or costs a pass.
        self._tracks = isinstance(point, QuadraticPoint)
        self._origin = None if self.problem.penalty.is_zero else self.problem.origin()
        self._n_blocks = len(partition.blocks) or max(1, math.ceil(partition.live.size / max(partition.block_size, 1)))
        self._next_check = -1.0
        self._next_refresh = npass + _REFRESH
        self._refresh_every = _REFRESH
        self._next_constant = npass + 1.0
        self._idle = 0
        self._false_ends = 0
        self._best = (math.inf, math.inf)  # least measure, least F
        self._since_best = (nit, npass)
        self._swept = False

    def run(self) -> OptimizeResult:
        """Iterate until something ends it."""
        # What the reference point costs belongs to the first iteration, not to each that asks.
        _ = self.report.reference
        status, self.detail = settle_dead_unknowns(self.point, self.partition)
        self.point.update_intercept()
        if status is None and not math.isfinite(self.point.objective):
            status = Status.NONFINITE
        while status is None:
            status = self._look()
            if status is None:
                status = self._step()
        return self._result(status)

    # ---- one iteration -------------------------------------------------------------------------------------------

    def _step(self) -> Status | None:
        """Choose a block and change it."""
        if self.partition.live.size == 0:
            return self._stuck()
        block = self.rule.choose(self.point)
        self.npass += self.rule.passes
        if self._greedy and not self._tracks:
            self.npass += 1
        status = self._update(block, self.rule.number)
        if status is not None:
            return status
        if self.update.moved:
            self._idle = 0
        else:
            self._idle += 1
            if self._idle >= self._most_idle():
                return self._try_all()
        self._keep_up()
        return None

    def _update(self, block: Array, number: int) -> Status | None:
        """Change one block and count it."""
        xp = self.problem.xp
        before = None if self._origin is None else xp.take(self.point.x, block)
        status = self.update.step(self.point, block)
        if status is not None:
            if self.update.detail is not None:
                self.detail = self.update.detail
            return status
        self.nit += 1
        self.block = number
        self.njev += 1
        self.npass += block.shape[0] / self.problem.n_variables
        if self.update.moved and before is not None:
            rest = xp.take(self._origin, block)
            after = xp.take(self.point.x, block)
            if scalars(xp, xp.any((before != rest) != (after != rest)))[0]:
                self.active_set_iter = self.nit
        return None

    def _keep_up(self) -> None:
        """Fit the constant once a pass; compute what is tracked from x again now and then."""
        if self.npass >= self._next_refresh:
            self._refresh()
        if self.problem.intercept and self.npass >= self._next_constant:
            self.point.update_intercept()
            self._next_constant = self.npass + 1.0

    def _refresh(self) -> None:
        tracked = self.point.value
        self.point.refresh()
        if abs(self.point.value - tracked) > _DRIFT * abs(tracked):
            self._refresh_every = max(1.0, self._refresh_every / 2)
        self.npass += 1
        self._next_refresh = self.npass + self._refresh_every

    # ---- the stopping rule ---------------------------------------------------------------------------------------

    def _look(self) -> Status | None:
        """Record the iterate, and judge it where that is cheap or due."""
        known = self._greedy or (self._tracks and self.report.looks)
        if not known and self.npass < self._next_check:
            return self._glance()
        if not (self._greedy or self._tracks):
            self.npass += 1
        self._next_check = self.npass + 1.0
        fun, kkt, gap = self._measure()
        status = self._show(fun, kkt, gap)
        if status is Status.CONVERGED:
            return self._confirm()
        if status is not None:
            return status
        if self._not_attained(fun):
            return Status.NOT_ATTAINED
        return self._stagnant(fun, gap if self.problem.has_dual else kkt)

    def _glance(self) -> Status | None:
        """Record the iterate without judging it, and look at the limits."""
        if self.report.looks or self.report.watches:
            return self._show(self.point.objective, math.nan, math.nan, judge=False)
        return self.report.limit(self.nit, self.npass)

    def _show(self, fun: float, kkt: float, gap: float, *, judge: bool = True) -> Status | None:
        return self.report.stops(
            self.point.x,
            fun=fun,
            kkt=kkt,
            gap=gap,
            nit=self.nit,
            npass=self.npass,
            block=self.block,
            intercept=self.point.intercept,
            judge=judge,
        )

    def _measure(self) -> tuple[float, float, float]:
        """Return F, the largest entry of the minimal subgradient, and the gap, from what is tracked."""
        point, problem = self.point, self.problem
        if isinstance(point, LinearPoint) and isinstance(problem, LinearModel):
            value = point.value - problem.ridge(point.x)
            certificate = problem.certify(point.x, value, point.derivative, point.gradient - problem.l2 * point.x)
            self.report.note_dual(certificate.dual)
            return certificate.fun, certificate.kkt, certificate.gap
        kkt = largest(problem.xp, problem.penalty.min_subgradient(point.x, point.gradient))
        return point.objective, kkt, math.nan

    def _certificate(self) -> Certificate:
        """Return what can be said of the point from x alone."""
        certificate = self.problem.evaluate(self.point.x, self.point.intercept)
        self.report.note_dual(certificate.dual)
        self.npass += 1
        return certificate

    def _verdict(self, certificate: Certificate) -> Status | None:
        return self.report.verdict(certificate.fun, certificate.kkt, certificate.gap, certificate.floor)

    def _confirm(self) -> Status | None:
        """Judge from x alone where the tracked quantities say that the goal is reached."""
        certificate = self._certificate()
        if self._not_attained(certificate.fun, factor=10.0):
            return Status.NOT_ATTAINED
        status = self._verdict(certificate)
        if status is None:
            self.point.refresh()
            self._false_ends += 1
            if self._false_ends > 3:
                return Status.PRECISION
        return status

    def _not_attained(self, fun: float, factor: float = 1.0) -> bool:
        """Tell whether a loss whose infimum is zero, and never attained, has come down to the tolerance."""
        problem = self.problem
        if not isinstance(problem, LinearModel) or isinstance(problem, LeastSquares) or not problem.penalty.is_zero:
            return False
        ridge = bool(problem.xp.any(problem.l2 > 0)) if is_array(problem.l2) else problem.l2 > 0
        return not ridge and fun <= factor * self.report.tol * self.report.reference.fun

    def _stagnant(self, fun: float, measure: float) -> Status | None:
        """Return PRECISION when neither F nor the measure has improved for long."""
        best, least = self._best
        first = math.isinf(least)
        if first or fun < least - _ROUNDING * self._eps * abs(least) or measure < 0.999 * best:
            self._best = (min(best, measure), min(least, fun))
            self._since_best = (self.nit, self.npass)
            self._swept = False
            return None
        nit, npass = self._since_best
        waited = self.nit - nit >= _GREEDY_PATIENCE if self._greedy else self.npass - npass >= _PATIENCE
        if not waited or self.nit - nit < 2 * self._most_idle():
            return None
        if self._swept:
            return self._stuck()
        # A random rule may have left out the one block that matters.
        self._swept = True
        self._since_best = (self.nit, self.npass)
        return self._try_all()

    # ---- when nothing moves --------------------------------------------------------------------------------------

    def _most_idle(self) -> int:
        """Return after how many updates without a change every block has had its turn."""
        if self._greedy:
            return 1
        return self._n_blocks * (1 if self.rule.rule == "cyclic" else 2 if self.rule.rule == "perm" else _IDLE_PASSES)

    def _try_all(self) -> Status | None:
        """Compute everything from x again and update all blocks in turn; end where none of them moves."""
        self._refresh()
        self._idle = 1
        for number, block in enumerate(self._all_blocks()):
            status = self.report.limit(self.nit, self.npass)
            if status is None:
                status = self._update(block, number if self.partition.blocks else -1)
            if status is None:
                status = self._glance()
            if status is not None:
                return status
            if self.update.moved:
                self._idle = 0
        return self._stuck() if self._idle > 0 else None

    def _all_blocks(self) -> list[Array]:
        if self.partition.blocks:
            return self.partition.blocks
        xp, live, size = self.problem.xp, self.partition.live, self.partition.block_size
        if self.update.name == "message_passing":
            size = 1
        return [
            xp.asarray(live[start : start + size], device=self.problem.device) for start in range(0, live.size, size)
        ]

    def _stuck(self) -> Status:
        """Say why no block can be improved."""
        self.point.update_intercept()
        certificate = self._certificate()
        status = self._verdict(certificate)
        if status is not None:
            return status
        if self._falls_without_end(certificate):
            self.detail = "The gradient points along a direction without curvature"
            return Status.UNBOUNDED
        rounding = 1e3 * self._eps * (abs(certificate.fun) + abs(self.report.reference.fun))
        return Status.LINESEARCH if -self.update.failed > rounding else Status.PRECISION

    def _falls_without_end(self, certificate: Certificate) -> bool:
        """Tell whether a smooth quadratic falls along its gradient for ever."""
        problem, xp = self.problem, self.problem.xp
        if not (problem.is_quadratic and problem.penalty.is_zero) or isinstance(problem, LinearModel):
            return False
        if not certificate.kkt > max(_SLOPE * self.report.reference.kkt, certificate.floor):
            return False
        g = certificate.grad
        curved, size = scalars(xp, xp.linalg.vector_norm(problem.bound_product(g)), xp.linalg.vector_norm(g))
        return curved <= _SLOPE * problem.bound_norm * size

    # ---- the result ----------------------------------------------------------------------------------------------

    def _result(self, status: Status) -> OptimizeResult:
        fields = {"lipschitz": self.problem.lipschitz}
        if isinstance(self.update, EstimatedGradientUpdate):
            fields["lipschitz"] = self.update.current()
        remedy = None
        if status is Status.MAXITER and self.npass >= self.report.max_passes:
            remedy = "raise max_passes"
        return self.report.result(
            self.point.x,
            status,
            nit=self.nit,
            npass=self.npass,
            nfev=self.update.nfev,
            njev=self.njev,
            nhev=self.update.nhev,
            intercept=self.point.intercept,
            active_set_iter=self.active_set_iter,
            detail=self.detail,
            remedy=remedy,
            fields=fields,
        )
