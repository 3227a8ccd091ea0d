"""Scores of coordinates and blocks: what the bound that an update minimises is guaranteed to fall by.

The scores of most rules are sums over coordinates, with a diagonal bound D_i on the curvature: of the squared minimal
subgradient s_i^2 / (2 D_i), or of the model with the non-smooth part. The rules differ in D (2.3): ones, L_i or what is
above it, Gershgorin's row sums, or one L_b for all of a block.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from numopt._array import to_host
from numopt._typing import Array
from numopt.coordinate._blocks import BlockCache, BlockTable
from numopt.coordinate._partition import Partition
from numopt.coordinate._problem import Point, Problem

__all__ = ["CoordinateTerms", "GroupScore", "MatrixScore", "SeparableScore", "Setting", "subgradient"]


@dataclass(frozen=True, eq=False)
class Setting:
    """What the rules of one solve share.

    Attributes
    ----------
    norm : {'l2', 'l1'}
        Norm in the scores ``gs``, ``gsl``, ``gsd`` of fixed blocks: l2 is squared; l1 as the paper's experiments.
    diagonal : {'lipschitz', 'block', 'gershgorin'}
        The D_i of ``gsd`` and ``gs-q``: L_i, L_i times the size of the block, or sum_j `|H_ij|`.
    batch : int or None
        Number of random blocks that are scored; None: all.
    estimates : callable or None
        Gives running estimates of all L_i that replace the problem's.
    """

    problem: Problem
    partition: Partition
    cache: BlockCache
    rng: np.random.Generator
    norm: str = "l2"
    diagonal: str = "lipschitz"
    batch: int | None = None
    estimates: Callable[[], Array] | None = None

    def constants(self) -> Array:
        """Return the L_i, or what stands for them."""
        return self.problem.lipschitz if self.estimates is None else self.estimates()


def subgradient(point: Point, coordinates: Array | None = None) -> Array:
    """Return the minimal subgradient of F at a point, of some coordinates or all."""
    penalty = point.problem.penalty
    if coordinates is None:
        return penalty.min_subgradient(point.x, point.gradient)
    x = point.problem.xp.take(point.x, coordinates)
    return penalty.min_subgradient(x, point.gradient_block(coordinates), coordinates)


# ---- diagonal bounds -------------------------------------------------------------------------------------------------


class _Curvature:
    """The D_i of a rule, positive everywhere: 1 stands where L_i = 0, in no block.

    Parameters
    ----------
    source : {'ones', 'lipschitz', 'largest', 'block', 'diagonal'}
        Ones; the L_i; the largest of them; L_b for all of a fixed block and Gershgorin's sums for variable ones; as the
        setting says.
    """

    def __init__(self, setting: Setting, source: str) -> None:
        self._setting, self._source = setting, source
        gershgorin = (source == "block" and setting.partition.kind == "variable") or (
            source == "diagonal" and setting.diagonal == "gershgorin"
        )
        self._changes = setting.estimates is not None and source != "ones" and not (gershgorin and source == "diagonal")
        self._values: Array | None = None
        self._inverse_root: Array | None = None

    def values(self) -> Array:
        """Return D."""
        if self._values is None or self._changes:
            self._values = self._compute()
        return self._values

    def inverse_root(self) -> Array:
        """Return 1 / sqrt(D)."""
        if self._inverse_root is None or self._changes:
            self._inverse_root = 1 / self._setting.problem.xp.sqrt(self.values())
        return self._inverse_root

    def _compute(self) -> Array:
        setting, problem = self._setting, self._setting.problem
        xp = problem.xp
        L = setting.constants()
        if self._source == "ones":
            return xp.ones_like(L)
        if self._source == "largest":
            return self._positive(xp.broadcast_to(xp.max(L), L.shape))
        if self._source == "block":
            if setting.partition.kind == "variable":
                # No L_b of blocks that are not chosen yet: the bound of all by diagonal dominance, or the estimates.
                return self._positive(problem.gershgorin if setting.estimates is None else L)
            return self._positive(setting.cache.spread(block_constants(setting)))
        if self._source == "diagonal" and setting.diagonal == "gershgorin":
            return self._positive(problem.gershgorin)
        if self._source == "diagonal" and setting.diagonal == "block":
            if setting.partition.kind == "variable":
                return self._positive(L * setting.partition.block_size)
            sizes = np.array([block.size for block in setting.partition.host_blocks])
            per_block = xp.asarray(sizes, dtype=problem.dtype, device=problem.device)
            return self._positive(L * setting.cache.spread(per_block))
        return self._positive(L)

    def _positive(self, values: Array) -> Array:
        """Return 1 for 0 and NaN for what is negative: a score of NaN wins, and the update tells what is wrong."""
        xp = self._setting.problem.xp
        return xp.where(values > 0, values, xp.where(values == 0, xp.ones_like(values), xp.full_like(values, xp.nan)))


def block_constants(setting: Setting) -> Array:
    """Return L_b of all blocks: the exact ones, or the largest estimates in them."""
    if setting.estimates is None:
        return setting.cache.all_lipschitz
    return setting.cache.table.maxima(setting.estimates())


# ---- scores that are sums over coordinates ---------------------------------------------------------------------------


class CoordinateTerms:
    """Scores of single coordinates.

    Parameters
    ----------
    formula : {'squares', 'step', 'scaled_step', 'model'}
        ``s_i^2 / (2 D_i)``; the squared length of the proximal step with D; that times D_i / 2; what the model
        ``g_i d + D_i d^2 / 2 + psi_i(x_i + d)`` falls by at its minimum.
    source : str
        The D of `_Curvature`.
    absolute : bool
        Instead of squares their roots, ``|s_i| / sqrt(D_i)``: the same order, no overflow, and the terms of l1 norms.
    """

    def __init__(self, setting: Setting, formula: str, source: str, *, absolute: bool) -> None:
        self._problem, self._xp = setting.problem, setting.problem.xp
        self._formula, self._absolute = formula, absolute
        self._has_scale = source != "ones"
        self._curvature = _Curvature(setting, source)

    def __call__(self, point: Point, coordinates: Array | None = None) -> Array:
        """Return the scores at a point, of some coordinates or all."""
        if self._formula == "squares":
            return self._squares(point, coordinates)
        return self._proximal(point, coordinates)

    def _squares(self, point: Point, coordinates: Array | None) -> Array:
        s = subgradient(point, coordinates)
        if self._has_scale:
            s = s * self._part(self._curvature.inverse_root(), coordinates)
        return self._xp.abs(s) if self._absolute else 0.5 * (s * s)

    def _proximal(self, point: Point, coordinates: Array | None) -> Array:
        penalty = self._problem.penalty
        D = self._part(self._curvature.values(), coordinates)
        g = point.gradient if coordinates is None else point.gradient_block(coordinates)
        x = self._part(point.x, coordinates)
        y = penalty.prox(x - g / D, D, coordinates)
        d = y - x
        if self._formula == "step":
            return d * d
        if self._formula == "scaled_step":
            return 0.5 * (D * (d * d))
        return 0.5 * (D * (d * d)) + self._penalty_fall(x, y, -(g + D * d), coordinates)

    def _penalty_fall(self, x: Array, y: Array, q: Array, coordinates: Array | None) -> Array:
        """Return psi_i(x_i) - psi_i(y_i) - q_i (x_i - y_i) >= 0, q a subgradient at y.

        Near a solution the parts of the model's fall cancel to a rounding error of either sign, and coordinates of the
        support would come behind those that have nothing to gain.
        """
        xp, penalty = self._xp, self._problem.penalty
        if not penalty.has_l1:
            return xp.maximum(q * (y - x), xp.zeros_like(x)) if penalty.has_bounds else xp.zeros_like(x)
        l1 = penalty.part(penalty.l1, coordinates)
        sign = xp.sign(xp.where(x != 0, x, y))
        same_side = (l1 * sign - q) * (x - y)
        across = l1 * (xp.abs(x) - xp.abs(y)) - q * (x - y)
        free = (x * y >= 0) & (y != 0) & self._inside(y, coordinates)
        rest = xp.maximum(xp.where(x * y >= 0, same_side, across), xp.zeros_like(x))
        return xp.where(free | (x == y), xp.zeros_like(x), rest)

    def _inside(self, y: Array, coordinates: Array | None) -> Any:
        penalty = self._problem.penalty
        if not penalty.has_bounds:
            return True
        return (y > penalty.part(penalty.lower, coordinates)) & (y < penalty.part(penalty.upper, coordinates))

    def _part(self, values: Array, coordinates: Array | None) -> Array:
        return values if coordinates is None else self._xp.take(values, coordinates)


class SeparableScore:
    """Scores of fixed blocks that are sums of the scores of their coordinates."""

    def __init__(self, setting: Setting, terms: CoordinateTerms) -> None:
        self._setting, self._terms = setting, terms

    def __call__(self, point: Point, numbers: np.ndarray | None = None) -> Array:
        """Return the scores of some blocks, or all."""
        setting = self._setting
        if numbers is None:
            return setting.cache.table.sums(self._terms(point))
        coordinates, table = gathered_blocks(setting, numbers)
        return table.sums(self._terms(point, coordinates))


def gathered_blocks(setting: Setting, numbers: np.ndarray) -> tuple[Array, BlockTable]:
    """Return the coordinates of some blocks, one block after the other, and the table of these blocks among them."""
    problem = setting.problem
    blocks = [setting.partition.host_blocks[k] for k in numbers]
    ends = np.cumsum([block.size for block in blocks])
    places = np.split(np.arange(ends[-1]), ends[:-1])
    coordinates = problem.xp.asarray(np.concatenate(blocks), device=problem.device)
    return coordinates, BlockTable(places, problem.xp, problem.device)


class GroupScore:
    """Scores of groups by the proximal step of their norms, with one constant for each group."""

    def __init__(self, setting: Setting, formula: str, source: str) -> None:
        self._setting, self._formula, self._source = setting, formula, source
        problem, penalty = setting.problem, setting.problem.penalty
        xp, n_groups = problem.xp, len(penalty.groups or [])
        first = np.array([block[0] for block in setting.partition.host_blocks], dtype=np.int64)
        self._first = xp.asarray(first, device=problem.device)
        groups = to_host(penalty.spread(xp.arange(n_groups, device=problem.device)))[first]
        # Groups that the objective does not depend on are no blocks: a constant of 1 serves them.
        block_of = np.full(n_groups, first.size, dtype=np.int64)
        block_of[groups] = np.arange(first.size)
        self._block_of = xp.asarray(block_of, device=problem.device)

    def __call__(self, point: Point, numbers: np.ndarray | None = None) -> Array:
        """Return the scores of some groups, or all."""
        setting, problem = self._setting, self._setting.problem
        xp, penalty, table = problem.xp, problem.penalty, setting.cache.table
        L = block_constants(setting)
        if self._source == "largest":
            L = xp.broadcast_to(xp.max(L), L.shape)
        L = xp.where(L > 0, L, xp.ones_like(L))
        of_group = xp.take(xp.concat([L, xp.ones(1, dtype=L.dtype, device=problem.device)]), self._block_of)
        D = penalty.spread(of_group)
        g, x = point.gradient, point.x
        y = penalty.prox(x - g / D, of_group)
        d = y - x
        if self._formula == "step":
            scores = table.sums(d * d)
        elif self._formula == "scaled_step":
            scores = table.sums(0.5 * (D * (d * d)))
        else:
            growth = penalty.l1 * penalty.group_weights * (penalty.group_norms(y) - penalty.group_norms(x))
            scores = table.sums(-d * (g + 0.5 * D * d)) - xp.take(penalty.spread(growth), self._first)
        return scores if numbers is None else xp.take(scores, xp.asarray(numbers, device=problem.device))


class MatrixScore:
    """``s_b' H_b^+ s_b / 2``, the fall of the bound with the matrix H_b at its minimum."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def __call__(self, point: Point, numbers: np.ndarray | None = None) -> Array:
        """Return the scores of some blocks, or all."""
        setting, xp = self._setting, self._setting.problem.xp
        if numbers is None:
            return setting.cache.model_decreases(subgradient(point))
        scores: list[Any] = []
        for k in numbers.tolist():
            block = setting.partition.blocks[k]
            s = subgradient(point, block)
            scores.append(0.5 * xp.sum(s * setting.cache.solve(block, s)))
        return xp.stack(scores)
