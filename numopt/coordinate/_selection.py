"""Rules that choose the block to update: in turn, at random, or greedily by a score (section 3 of the paper).

Nutini, Laradji and Schmidt, "Let's Make Block Coordinate Descent Converge Faster", JMLR 2022. The rules are those of
the paper, with squared 2-norms; its experiments use sums of absolute values instead (``norm='l1'``). On problems with a
non-smooth part the gradient in ``gs``, ``gsl``, ``gsd``, ``gsq`` and ``gsc`` is the minimal subgradient, which is zero
at optimal coordinates alone: with the gradient itself a rule could choose a block for ever that cannot move.

Ties go to the lowest index. Index sets are drawn on the host, so that every library walks the same path; scores stay on
the device, and choosing among fixed blocks fetches one number.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from numopt._array import add_at, scalars, to_host
from numopt._core.validation import check_choice, check_scalar
from numopt._linalg import top_k
from numopt._rng import default_rng
from numopt._typing import Array, RNGLike
from numopt.coordinate._blocks import BlockCache
from numopt.coordinate._forest import greedy_forest
from numopt.coordinate._improvement import CubicScore, ImprovementScore, best_improvement, cubic_terms
from numopt.coordinate._partition import Partition
from numopt.coordinate._problem import Point, Problem
from numopt.coordinate._scores import CoordinateTerms, GroupScore, MatrixScore, SeparableScore, Setting, subgradient

__all__ = ["RULES", "Selection", "make_selection"]

# Rounds of iterative hard thresholding, and the relative change that ends them.
_THRESHOLD_ROUNDS = 10
_THRESHOLD_CHANGE = 1e-10

_DIAGONALS = ("lipschitz", "block", "gershgorin")


class Selection:
    """A rule at work on one problem.

    Attributes
    ----------
    rule : str
        Its name.
    score_kind : {'none', 'gradient', 'blocks'}
        What `choose` reads of the point: nothing, the whole gradient, or the gradients of a few blocks.
    passes : float
        Passes over the data that a choice takes beside the gradient.
    number : int
        Number of the fixed block that was chosen last, -1 for variable blocks.
    """

    score_kind = "gradient"
    passes = 0.0

    def __init__(self, rule: str) -> None:
        self.rule = rule
        self.number = -1

    def choose(self, point: Point) -> Array:
        """Return the block to update at a point: ascending indices, one of the partition's arrays if it is fixed."""
        raise NotImplementedError


def make_selection(
    problem: Problem,
    partition: Partition,
    rule: str,
    options: dict[str, Any] | None = None,
    rng: RNGLike = None,
    *,
    cache: BlockCache | None = None,
    estimates: Callable[[], Array] | None = None,
) -> Selection:
    """Return a rule that chooses blocks of a partition.

    Parameters
    ----------
    problem : Problem
        What is solved.
    partition : Partition
        From `make_partition`.
    rule : str
        ``'random'``, ``'perm'`` (each pass in a new order), ``'cyclic'``, ``'lipschitz'`` (at random in proportion to
        the constants); by decrease of a bound: ``'gs'``, ``'gsl'``, ``'gsd'``, ``'gsq'`` (fixed blocks),
        ``'gsq_iht'`` (variable ones), ``'gsc'``, ``'mi'`` (of the objective itself), ``'gs-s'``, ``'gs-r'``,
        ``'gsl-r'``, ``'gs-q'``; ``'tree'``: a maximal induced forest of the Hessian's graph, built in the order of the
        scores of ``gsd``, and ``'tree-gs'``, ``'tree-gsl'``, ``'tree-random'``. ``'auto'``: ``'cyclic'`` for the blocks
        of a graph, else ``'gs-q'`` where there is a non-smooth part, else ``'gsl'`` for fixed blocks and ``'gsd'``.
    options : dict, optional
        ``norm``: 'l2' or 'l1', of the scores of ``gs``, ``gsl``, ``gsd`` and ``gs-s`` for fixed blocks. ``gsd_diag``: D
        of ``gsd`` and ``gs-q``, 'lipschitz', 'block' (L_i times tau) or 'gershgorin'; with the last two the bound is
        valid for blocks. ``batch``: score so many random fixed blocks, not all. Other keys are left to others.
    rng : None, int, SeedSequence, BitGenerator or Generator, optional
        For what is drawn.
    cache : BlockCache, optional
        Of the same partition, to share.
    estimates : callable, optional
        Returns the running estimates of all L_i that replace the exact ones in the scores.

    Returns
    -------
    Selection
        The rule.

    Raises
    ------
    ValueError
        For an unknown rule or option value, a rule that does not go with the kind of partition, and a tree without a
        graph.
    """
    rule = check_choice(rule, "selection", (*RULES, "auto"))
    if rule == "auto":
        rule = _automatic(problem, partition)
    entry = RULES[rule]
    if partition.kind not in entry.kinds:
        kinds = " or ".join(entry.kinds)
        raise ValueError(
            f"`selection={rule!r}` needs a {kinds} partition, got {partition.name!r}, which is {partition.kind}"
            f"{entry.hint}."
        )
    options = options or {}
    batch = options.get("batch")
    if batch is not None:
        batch = check_scalar(batch, "options['batch']", kind=int, low=1)
        if partition.kind == "variable":
            raise ValueError("`options['batch']` needs fixed blocks, got a variable partition.")
    setting = Setting(
        problem,
        partition,
        BlockCache(problem, partition) if cache is None else cache,
        default_rng(rng),
        norm=check_choice(options.get("norm", "l2"), "options['norm']", ("l2", "l1")),
        diagonal=check_choice(options.get("gsd_diag", "lipschitz"), "options['gsd_diag']", _DIAGONALS),
        batch=batch,
        estimates=estimates,
    )
    if partition.live.size == 0:
        return _Nothing(rule, problem)
    return entry.build(rule, setting)


def _automatic(problem: Problem, partition: Partition) -> str:
    if partition.kind == "graph":
        return "cyclic"
    if not problem.penalty.is_zero:
        return "gs-q"
    return "gsl" if partition.kind == "fixed" else "gsd"


# ---- rules without scores --------------------------------------------------------------------------------------------


class _Nothing(Selection):
    """The empty block, where the objective depends on nothing."""

    score_kind = "none"

    def __init__(self, rule: str, problem: Problem) -> None:
        super().__init__(rule)
        self._block = problem.xp.zeros(0, dtype=problem.xp.int64, device=problem.device)

    def choose(self, point: Point) -> Array:
        """Return the empty block."""
        return self._block


class _FixedSchedule(Selection):
    """Fixed blocks by numbers that do not depend on the point."""

    score_kind = "none"

    def __init__(self, rule: str, setting: Setting, numbers: Iterator[int]) -> None:
        super().__init__(rule)
        self._blocks, self._numbers = setting.partition.blocks, numbers

    def choose(self, point: Point) -> Array:
        """Return the next block."""
        self.number = next(self._numbers)
        return self._blocks[self.number]


class _VariableSchedule(Selection):
    """Index sets that do not depend on the point; those that come back are moved to the device once."""

    score_kind = "none"

    def __init__(self, rule: str, setting: Setting, sets: Iterator[np.ndarray]) -> None:
        super().__init__(rule)
        self._problem, self._sets = setting.problem, sets

    def choose(self, point: Point) -> Array:
        """Return the next block."""
        return self._problem.xp.asarray(np.sort(next(self._sets)), device=self._problem.device)


def _schedule(
    fixed: Callable[[Setting], Iterator[int]], variable: Callable[[Setting], Iterator[np.ndarray]]
) -> Callable[[str, Setting], Selection]:
    def build(rule: str, setting: Setting) -> Selection:
        if setting.partition.kind == "variable":
            return _VariableSchedule(rule, setting, variable(setting))
        return _FixedSchedule(rule, setting, fixed(setting))

    return build


def _chunks(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, order.size, size):
        yield order[start : start + size]


def _numbers_in_turn(setting: Setting) -> Iterator[int]:
    while True:
        yield from range(len(setting.partition.blocks))


def _sets_in_turn(setting: Setting) -> Iterator[np.ndarray]:
    while True:
        yield from _chunks(setting.partition.live, setting.partition.block_size)


def _numbers_reshuffled(setting: Setting) -> Iterator[int]:
    while True:
        yield from setting.rng.permutation(len(setting.partition.blocks)).tolist()


def _sets_reshuffled(setting: Setting) -> Iterator[np.ndarray]:
    while True:
        yield from _chunks(setting.rng.permutation(setting.partition.live), setting.partition.block_size)


def _numbers_at_random(setting: Setting) -> Iterator[int]:
    while True:
        yield int(setting.rng.integers(len(setting.partition.blocks)))


def _sets_at_random(setting: Setting) -> Iterator[np.ndarray]:
    live, size = setting.partition.live, setting.partition.block_size
    while True:
        yield live[setting.rng.choice(live.size, min(size, live.size), replace=False, shuffle=False)]


def _numbers_by_lipschitz(setting: Setting) -> Iterator[int]:
    limits = np.cumsum(to_host(setting.cache.all_lipschitz).astype(np.float64))
    while True:
        # The last number belongs to the last interval that is not empty, whatever rounding makes of the product.
        drawn = np.searchsorted(limits, setting.rng.random() * limits[-1], side="right")
        yield int(min(drawn, np.searchsorted(limits, limits[-1], side="left")))


def _sets_by_lipschitz(setting: Setting) -> Iterator[np.ndarray]:
    """Draw without replacement in proportion to L_i: the first arrivals of exponential clocks with these rates."""
    live, size = setting.partition.live, setting.partition.block_size
    rates = to_host(setting.problem.lipschitz).astype(np.float64)[live]
    while True:
        yield live[top_k(-setting.rng.standard_exponential(live.size) / rates, size)]


# ---- greedy rules ----------------------------------------------------------------------------------------------------


class _GreedyFixed(Selection):
    """The fixed block of the largest score, of all blocks or of a random batch."""

    def __init__(self, rule: str, setting: Setting, score: Callable[[Point, np.ndarray | None], Array]) -> None:
        super().__init__(rule)
        self._setting, self._score = setting, score
        n_blocks = len(setting.partition.blocks)
        self._batch = None if setting.batch is None or setting.batch >= n_blocks else setting.batch
        self.score_kind = "gradient" if self._batch is None else "blocks"

    def choose(self, point: Point) -> Array:
        """Return the block of the largest score."""
        setting, xp = self._setting, self._setting.problem.xp
        numbers = None
        if self._batch is not None:
            n_blocks = len(setting.partition.blocks)
            numbers = np.sort(setting.rng.choice(n_blocks, self._batch, replace=False, shuffle=False))
        best = int(scalars(xp, xp.argmax(self._score(point, numbers)))[0])
        self.number = best if numbers is None else int(numbers[best])
        return setting.partition.blocks[self.number]

    def scores(self, point: Point) -> Array:
        """Return the scores of all blocks."""
        return self._score(point, None)


class _GreedyVariable(Selection):
    """The coordinates of the largest scores."""

    def __init__(self, rule: str, setting: Setting, terms: Callable[[Point], Array]) -> None:
        super().__init__(rule)
        self._terms, self._candidates = terms, _Candidates(setting)

    def choose(self, point: Point) -> Array:
        """Return the block of the coordinates with the largest scores."""
        return self._candidates.best(self._terms(point))


class _Candidates:
    """Picks coordinates by scores among those with L_i > 0."""

    def __init__(self, setting: Setting) -> None:
        problem, live = setting.problem, setting.partition.live
        self._size = min(setting.partition.block_size, live.size)
        self._below: Array | None = None
        if live.size < problem.n_variables:
            below = np.full(problem.n_variables, -np.inf)
            below[live] = 0.0
            self._below = problem.xp.asarray(below, dtype=problem.dtype, device=problem.device)

    def best(self, scores: Array) -> Array:
        """Return the indices of the largest scores, as many as a block has."""
        return top_k(scores if self._below is None else scores + self._below, self._size)


def _greedy(formula: str, source: str) -> Callable[[str, Setting], Selection]:
    """Return the builder of a rule whose score is a sum over coordinates."""

    def build(rule: str, setting: Setting) -> Selection:
        squares = formula == "squares"
        if setting.partition.kind == "variable":
            return _GreedyVariable(rule, setting, CoordinateTerms(setting, formula, source, absolute=squares))
        if not squares and not setting.problem.penalty.is_separable:
            return _GreedyFixed(rule, setting, GroupScore(setting, formula, source))
        terms = CoordinateTerms(setting, formula, source, absolute=squares and setting.norm == "l1")
        return _GreedyFixed(rule, setting, SeparableScore(setting, terms))

    return build


def _greedy_matrix(rule: str, setting: Setting) -> Selection:
    return _GreedyFixed(rule, setting, MatrixScore(setting))


def _greedy_cubic(rule: str, setting: Setting) -> Selection:
    if setting.partition.kind == "variable":
        return _GreedyVariable(rule, setting, cubic_terms)
    return _GreedyFixed(rule, setting, CubicScore(setting))


def _greedy_improvement(rule: str, setting: Setting) -> Selection:
    if setting.partition.kind == "variable":
        return _BestImprovement(rule, setting)
    return _GreedyFixed(rule, setting, ImprovementScore(setting))


class _BestImprovement(Selection):
    """The block that lowers F most, of those made of the coordinates that lead with a model by L_i."""

    def __init__(self, rule: str, setting: Setting) -> None:
        super().__init__(rule)
        self._setting = setting
        self._terms = CoordinateTerms(setting, "model", "lipschitz", absolute=False)

    def choose(self, point: Point) -> Array:
        """Return the block of the largest decrease among the candidates."""
        return best_improvement(self._setting, point, self._terms(point))


class _HardThresholding(Selection):
    """The support of ``argmin g'd + d'Hd/2`` over d with tau non-zeros, approximately, by iterative hard thresholding.

    The start is dense, ``d = -g / sqrt(L)``: with a truncated one the method is lost. With a non-smooth part the steps
    are proximal.

    The first round usually finds the support. Where a bound shows that no other coordinate can enter later, the rounds
    that follow need not be taken on all coordinates, and one product with H is all that the rule costs.
    """

    def __init__(self, rule: str, setting: Setting) -> None:
        super().__init__(rule)
        problem = setting.problem
        self._problem, self._candidates = problem, _Candidates(setting)
        xp, L = problem.xp, problem.lipschitz
        self._start = xp.where(L > 0, 1 / xp.sqrt(xp.where(L > 0, L, xp.ones_like(L))), xp.zeros_like(L))
        self._bound = problem.bound_norm
        self._settles = problem.has_one_bound and problem.penalty.is_zero

    def choose(self, point: Point) -> Array:
        """Return the support that the rounds end with."""
        xp, penalty = self._problem.xp, self._problem.penalty
        g = point.gradient
        d = -self._start * subgradient(point)
        support = None
        self.passes = 0.0
        for _ in range(_THRESHOLD_ROUNDS):
            step = d - (g + self._problem.bound_product(d)) / self._bound
            self.passes += 1
            if not penalty.is_zero:
                step = penalty.prox(point.x + step, self._bound) - point.x
            first = support is None
            support = self._candidates.best(xp.abs(step))
            values = xp.take(step, support)
            if first and self._settles and self._is_settled(g, support, values):
                break
            old, d = d, xp.zeros_like(step)
            add_at(d, support, values)
            change, size = scalars(xp, xp.max(xp.abs(d - old)), xp.max(xp.abs(d)))
            if not change > _THRESHOLD_CHANGE * size:
                break
        assert support is not None
        return support

    def _is_settled(self, g: Array, support: Array, values: Array) -> bool:
        """Tell whether the remaining rounds keep the support, from `values` there after the first round.

        As long as they do, d is zero elsewhere, and ``|(H d)_j| <= sqrt(L_j d'Hd)`` bounds what it may become there.
        """
        xp, problem = self._problem.xp, self._problem
        H, g_support = problem.block_bound(support), xp.take(g, support)
        d = values
        energies, smallest = [], []
        for _ in range(_THRESHOLD_ROUNDS - 1):
            product = H @ d
            energies.append(xp.sum(d * product))
            d = d - (g_support + product) / self._bound
            smallest.append(xp.min(xp.abs(d)))
        energy = xp.maximum(xp.max(xp.stack(energies)), xp.zeros_like(energies[0]))
        reach = xp.abs(g) + xp.sqrt(problem.lipschitz * energy)
        add_at(reach, support, -xp.take(reach, support))
        entering, leaving = scalars(xp, xp.max(reach) / self._bound, xp.min(xp.stack(smallest)))
        return entering < leaving


class _GreedyForest(Selection):
    """A maximal induced forest of the Hessian's graph, built from the coordinates in the order of their scores."""

    def __init__(self, rule: str, setting: Setting, terms: Callable[[Point], Array] | None) -> None:
        super().__init__(rule)
        self._setting, self._terms = setting, terms
        self._graph = setting.problem.graph
        self.score_kind = "none" if terms is None else "gradient"
        if self._graph is None:
            raise ValueError(f"`selection={rule!r}` needs a problem with a sparse Hessian; this one has no graph.")

    def choose(self, point: Point) -> Array:
        """Return the forest."""
        setting = self._setting
        live = setting.partition.live
        if self._terms is None:
            order = setting.rng.permutation(live)
        else:
            order = live[np.argsort(-to_host(self._terms(point))[live], kind="stable")]
        block = np.sort(to_host(greedy_forest(self._graph, order)))
        return setting.problem.xp.asarray(block, device=setting.problem.device)


def _forest(source: str | None) -> Callable[[str, Setting], Selection]:
    def build(rule: str, setting: Setting) -> Selection:
        terms = None if source is None else CoordinateTerms(setting, "squares", source, absolute=True)
        return _GreedyForest(rule, setting, terms)

    return build


# ---- all rules -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rule:
    """A rule: the kinds of partitions it takes, how it is made, and what a refusal adds."""

    kinds: tuple[str, ...]
    build: Callable[[str, Setting], Selection]
    hint: str = ""


_ANY, _FIXED, _VARIABLE = ("fixed", "graph", "variable"), ("fixed",), ("variable",)
# The blocks of a graph are large, and their bounds H_b are not formed.
_NO_GRAPH = ("fixed", "variable")

RULES: dict[str, _Rule] = {
    "random": _Rule(_ANY, _schedule(_numbers_at_random, _sets_at_random)),
    "perm": _Rule(_ANY, _schedule(_numbers_reshuffled, _sets_reshuffled)),
    "cyclic": _Rule(_ANY, _schedule(_numbers_in_turn, _sets_in_turn)),
    "lipschitz": _Rule(_NO_GRAPH, _schedule(_numbers_by_lipschitz, _sets_by_lipschitz)),
    "gs": _Rule(_ANY, _greedy("squares", "ones")),
    "gsl": _Rule(_NO_GRAPH, _greedy("squares", "block")),
    "gsd": _Rule(_ANY, _greedy("squares", "diagonal")),
    "gsq": _Rule(_FIXED, _greedy_matrix, "; with variable blocks take 'gsq_iht' or 'gsd'"),
    "gsq_iht": _Rule(_VARIABLE, _HardThresholding, "; with fixed blocks take 'gsq'"),
    "gsc": _Rule(_NO_GRAPH, _greedy_cubic),
    "mi": _Rule(_NO_GRAPH, _greedy_improvement),
    "gs-s": _Rule(_ANY, _greedy("squares", "ones")),
    "gs-r": _Rule(_ANY, _greedy("step", "largest")),
    "gsl-r": _Rule(_NO_GRAPH, _greedy("scaled_step", "block")),
    "gs-q": _Rule(_ANY, _greedy("model", "diagonal")),
    "tree": _Rule(_VARIABLE, _forest("diagonal"), "; of forests take 'cyclic' or 'gs'"),
    "tree-gs": _Rule(_VARIABLE, _forest("ones")),
    "tree-gsl": _Rule(_VARIABLE, _forest("block")),
    "tree-gsd": _Rule(_VARIABLE, _forest("diagonal")),
    "tree-random": _Rule(_VARIABLE, _forest(None)),
}
"""The rules that `make_selection` takes."""
