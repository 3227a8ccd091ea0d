"""Scores by more than a quadratic bound: the cubic bound ``gsc`` and the decrease of the objective itself, ``mi``."""

import itertools
import math
from collections.abc import Iterable

import numpy as np

from numopt._array import to_host
from numopt._linalg import top_k
from numopt._typing import Array, Namespace
from numopt.coordinate._problem import Point
from numopt.coordinate._scores import MatrixScore, Setting, subgradient

__all__ = ["CubicScore", "ImprovementScore", "best_improvement", "cubic_falls", "cubic_terms"]

# Newton steps on the length of a cubic step: a handful settles it, a poor length still gives a decrease that is true.
_CUBIC_STEPS = 12
# Blocks that are tried for the largest decrease: where that takes a factor each, and where it takes a solve.
_MOST_FACTORS, _MOST_SOLVES = 1000, 50


# ---- the cubic bound -------------------------------------------------------------------------------------------------


def cubic_terms(point: Point) -> Array:
    """Return what ``g_i d + h_i d^2 / 2 + (M_i / 6) |d|^3`` falls by at its minimum, for each coordinate."""
    problem = point.problem
    xp = problem.xp
    s = xp.abs(subgradient(point))
    h, M = point.hessian_diagonal(), problem.cubic
    # The larger root of M d^2 / 2 + h d = s, in the form that does not cancel.
    root = h + xp.sqrt(h * h + 2 * M * s)
    d = 2 * s / xp.where(root > 0, root, xp.ones_like(root))
    return d * (s - d * (h / 2 + M / 6 * d))


class CubicScore:
    """What ``g_b'd + d'Hess_bb(x) d / 2 + (M_b / 6) ||d||^3`` falls by at its minimum, for fixed blocks.

    The Hessians of all blocks are formed at each point: n p tau operations.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._matrix = MatrixScore(setting) if setting.problem.is_quadratic else None
        if self._matrix is None:
            problem = setting.problem
            constants = np.array([problem.block_cubic(block) for block in setting.partition.blocks])
            self._constants = problem.xp.asarray(constants, dtype=problem.dtype, device=problem.device)

    def __call__(self, point: Point, numbers: np.ndarray | None = None) -> Array:
        """Return the scores of some blocks, or all."""
        setting, xp = self._setting, self._setting.problem.xp
        if self._matrix is not None:
            return self._matrix(point, numbers)
        if numbers is not None:
            falls = []
            for k in numbers.tolist():
                block = setting.partition.blocks[k]
                H, s = point.hessian_block(block), subgradient(point, block)
                falls.append(cubic_falls(H[None, ...], s[None, :], self._constants[k : k + 1], xp))
            return xp.concat(falls)
        s, table = subgradient(point), setting.cache.table
        parts = []
        for rows in table.rows:
            gathered = table.gather(s, rows)
            M = xp.take(self._constants, xp.asarray(rows.numbers, device=setting.problem.device))
            slices = []
            for start, H in setting.cache.stacks(rows, point.hessian_block):
                stop = start + H.shape[0]
                slices.append(cubic_falls(H, gathered[start:stop, :], M[start:stop], xp))
            parts.append(xp.concat(slices))
        return table.collect(parts, s)


def cubic_falls(H: Array, g: Array, M: Array, xp: Namespace) -> Array:
    """Return what the cubic models of a stack of blocks fall by at their minima.

    Parameters
    ----------
    H : array of shape (m, t, t)
        Positive semidefinite.
    g : array of shape (m, t)
        Gradients.
    M : array of shape (m,)
        Positive bounds on the third derivatives.

    Notes
    -----
    The minimiser is ``d = -(H + (M r / 2) I)^{-1} g`` with ``||d|| = r``: Newton's method on ``1 / ||d(r)|| - 1 / r``
    within a bracket, all blocks at once and a fixed number of steps. The model is then evaluated at d itself, so that
    the value is a decrease of the bound however exact r is.
    """
    eigenvalues, vectors = xp.linalg.eigh(H)
    eigenvalues = xp.maximum(eigenvalues, xp.zeros_like(eigenvalues))
    c = (g[:, None, :] @ vectors)[:, 0, :]
    # A block with zero gradient falls by nothing; any other stands for it below.
    rests = xp.all(c == 0, axis=1)
    c = xp.where(rests[:, None], xp.ones_like(c), c)
    M = xp.maximum(
        M[:, None], xp.full((1, 1), math.sqrt(float(xp.finfo(g.dtype).smallest_normal)), dtype=g.dtype, device=g.device)
    )
    size = xp.linalg.vector_norm(c, axis=1, keepdims=True)
    low, high = xp.zeros_like(size), xp.sqrt(2 * size / M)
    # No component of d alone is longer than r: the start is below the root, by a factor of sqrt(t) at most.
    root = eigenvalues + xp.sqrt(eigenvalues * eigenvalues + 2 * M * xp.abs(c))
    r = xp.max(2 * xp.abs(c) / xp.where(root > 0, root, xp.ones_like(root)), axis=1, keepdims=True)
    for _ in range(_CUBIC_STEPS):
        shifted = eigenvalues + M * r / 2
        d = -c / shifted
        length = xp.linalg.vector_norm(d, axis=1, keepdims=True)
        low, high = xp.where(length > r, r, low), xp.where(length > r, high, r)
        ratio, unit = r / length, d / length
        bend = M / 2 * r * xp.sum(unit * unit / shifted, axis=1, keepdims=True)
        proposal = r - r * (ratio - 1) / (bend * ratio + 1)
        r = xp.where((proposal >= low) & (proposal <= high), proposal, (low + high) / 2)
    d = -c / (eigenvalues + M * r / 2)
    falls = -xp.sum(d * (c + 0.5 * eigenvalues * d), axis=1) - M[:, 0] / 6 * xp.linalg.vector_norm(d, axis=1) ** 3
    return xp.where(rests, xp.zeros_like(falls), falls)


# ---- the objective itself --------------------------------------------------------------------------------------------


class ImprovementScore:
    """``F(x) - min_d F(x + U_b d)`` of fixed blocks: by the factors for smooth quadratics, else by solving for each."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        problem = setting.problem
        self._matrix = MatrixScore(setting) if problem.is_quadratic and problem.penalty.is_zero else None

    def __call__(self, point: Point, numbers: np.ndarray | None = None) -> Array:
        """Return the scores of some blocks, or all."""
        setting, problem = self._setting, self._setting.problem
        if self._matrix is not None:
            return self._matrix(point, numbers)
        every = range(len(setting.partition.blocks)) if numbers is None else numbers.tolist()
        falls = decreases(setting, point, (setting.partition.blocks[k] for k in every))
        return problem.xp.asarray(np.array(falls), device=problem.device)


def decreases(setting: Setting, point: Point, blocks: Iterable[Array]) -> list[float]:
    """Return what exact minimisation over each block lowers F by."""
    from numopt.coordinate._update import make_update

    update = make_update(setting.problem, setting.partition, "exact", cache=setting.cache)
    out = []
    for block in blocks:
        copy = setting.problem.point(point.x, point.intercept)
        before = copy.objective
        update.step(copy, block)
        out.append(before - copy.objective)
    return out


def best_improvement(setting: Setting, point: Point, terms: Array) -> Array:
    """Return the block whose exact minimisation lowers F most, among those of the leading coordinates.

    Parameters
    ----------
    terms : array of shape (p,)
        Scores that say which coordinates lead: as many of them take part as give at most 1000 blocks (50 where each
        takes a solve). If that is all, the choice is the best there is.
    """
    problem, partition = setting.problem, setting.partition
    xp = problem.xp
    live = partition.live
    size = min(partition.block_size, live.size)
    by_factors = problem.is_quadratic and problem.penalty.is_zero
    most = _MOST_FACTORS if by_factors else _MOST_SOLVES
    reach = size
    if size == 1 and problem.is_quadratic:
        most = 0  # the terms with L_i are the decreases
    while reach < live.size and math.comb(reach + 1, size) <= most:
        reach += 1
    on_live = xp.take(terms, xp.asarray(live, device=problem.device))
    leading = live[to_host(top_k(on_live, reach))]
    subsets = np.array(list(itertools.combinations(range(leading.size), size)), dtype=np.int64)
    if len(subsets) == 1:
        return xp.asarray(leading[subsets[0]], device=problem.device)
    if by_factors:
        together = xp.asarray(leading, device=problem.device)
        H, g = to_host(problem.block_bound(together)), to_host(xp.take(point.gradient, together))
        falls = _quadratic_falls(H[subsets[:, :, None], subsets[:, None, :]], g[subsets])
    else:
        blocks = (xp.asarray(leading[subset], device=problem.device) for subset in subsets)
        falls = np.array(decreases(setting, point, blocks))
    return xp.asarray(leading[subsets[int(np.argmax(falls))]], device=problem.device)


def _quadratic_falls(H: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Return g' H^+ g / 2 for a stack of matrices on the host."""
    falls: np.ndarray = 0.5 * np.einsum("mi,mij,mj->m", g, np.linalg.pinv(H, rcond=1e-12, hermitian=True), g)
    return falls
