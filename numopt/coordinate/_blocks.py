"""What is known of blocks ahead: their bounds H_b, the largest eigenvalues L_b and factors, kept for fixed partitions.

All blocks of a fixed partition lie in a few padded tables, blocks of like sizes together, so that sums over blocks and
the products with the inverses of all H_b are single array operations.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from numopt._array import scalars
from numopt._linalg import CholeskyFactor, cho_factor, cho_solve
from numopt._typing import Array, Namespace
from numopt.coordinate._partition import Partition
from numopt.coordinate._problem import Problem

__all__ = ["BlockCache", "BlockTable", "LeastNormFactor", "Rows", "largest_eigenvalue"]

# Eigenvalues below this share of the largest count as zero.
_RANK = 1e-12
# Above this order Lanczos steps find the largest eigenvalue faster than all eigenvalues are found: at order 100 they
# take 0.66 ms against 0.29, at 200 0.83 against 1.16, at 1000 6 against 60 (one core).
_DENSE_ORDER = 150
_LANCZOS_STEPS = 32
# Bytes of the matrices that are decomposed at a time.
_SLICE_BYTES = 1 << 26


# ---- sums over blocks ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Blocks of like sizes as the rows of one table of indices; short rows are filled up with index 0."""

    numbers: np.ndarray  # of the blocks, on the host
    indices: Array  # (rows, width), flattened
    is_real: Array | None  # (rows, width) of bool, None where nothing is filled up
    shape: tuple[int, int]


class BlockTable:
    """Disjoint blocks, laid out for operations on all of them at once.

    Parameters
    ----------
    blocks : list of int64 arrays on the host
        Indices into the vectors that `sums` and `maxima` take.
    xp, device : namespace, device
        Of these vectors.

    Notes
    -----
    Blocks whose sizes round up to the same power of two share a table, so that filling up costs at most a factor of
    two whatever the sizes.
    """

    def __init__(self, blocks: list[np.ndarray], xp: Namespace, device: Any) -> None:
        self._xp, self._device = xp, device
        self.n_blocks = len(blocks)
        sizes = np.array([block.size for block in blocks], dtype=np.int64)
        largest = int(sizes.max(initial=1))
        # All equal but a short last one, the usual case, needs one table.
        alike = bool((sizes[:-1] == largest).all()) if sizes.size else True
        classes = np.zeros(sizes.size) if alike else np.ceil(np.log2(np.maximum(sizes, 1)))
        self.rows = [self._rows(np.flatnonzero(classes == c), blocks) for c in np.unique(classes)]
        order = np.concatenate([np.empty(0, dtype=np.int64), *(rows.numbers for rows in self.rows)])
        in_order = np.array_equal(order, np.arange(order.size))
        self._inverse = None if in_order else xp.asarray(np.argsort(order), device=device)

    def gather(self, v: Array, rows: Rows) -> Array:
        """Return the entries of `v` in some blocks as a matrix, zeros where it is filled up."""
        values = self._xp.reshape(self._xp.take(v, rows.indices), rows.shape)
        return values if rows.is_real is None else self._xp.where(rows.is_real, values, self._xp.zeros_like(values))

    def sums(self, v: Array) -> Array:
        """Return the sum of `v` over each block."""
        return self.collect([self._xp.sum(self.gather(v, rows), axis=1) for rows in self.rows], v)

    def maxima(self, v: Array) -> Array:
        """Return the largest entry of a non-negative `v` in each block."""
        return self.collect([self._xp.max(self.gather(v, rows), axis=1) for rows in self.rows], v)

    def collect(self, parts: list[Array], like: Array) -> Array:
        """Return one number for each block, in the order of the blocks, from those of each table."""
        if not parts:
            return self._xp.zeros(0, dtype=like.dtype, device=self._device)
        together = parts[0] if len(parts) == 1 else self._xp.concat(parts)
        return together if self._inverse is None else self._xp.take(together, self._inverse)

    def _rows(self, numbers: np.ndarray, blocks: list[np.ndarray]) -> Rows:
        sizes = np.array([blocks[k].size for k in numbers])
        shape = (numbers.size, int(sizes.max()))
        is_real = np.arange(shape[1]) < sizes[:, None]
        indices = np.zeros(shape, dtype=np.int64)
        indices[is_real] = np.concatenate([blocks[k] for k in numbers])
        mask = None if is_real.all() else self._xp.asarray(is_real, device=self._device)
        return Rows(numbers, self._xp.asarray(indices.reshape(-1), device=self._device), mask, shape)


# ---- single matrices -------------------------------------------------------------------------------------------------


class LeastNormFactor:
    """A factor of a positive semidefinite H that gives solutions of least norm: Cholesky, or eigenvectors if singular.

    Raises
    ------
    numpy.linalg.LinAlgError
        If H has a negative eigenvalue beyond rounding, or is not finite.
    """

    __slots__ = ("_cholesky", "_inverse", "_vectors", "_xp")

    def __init__(self, H: Array, xp: Namespace) -> None:
        self._xp = xp
        cut = _rank_cut(H.shape[0], H.dtype, xp)
        self._cholesky = _regular_factor(H, cut, xp)
        if self._cholesky is None:
            eigenvalues, self._vectors = xp.linalg.eigh(H)
            low, high = scalars(xp, eigenvalues[0], eigenvalues[-1])
            if not (np.isfinite(low) and np.isfinite(high)):
                raise np.linalg.LinAlgError("not finite")
            # Rounding of a Gram matrix moves its eigenvalues by eps times the largest.
            if low < -100 * cut * max(high, 0.0) or (high <= 0 and low < 0):
                raise np.linalg.LinAlgError(f"smallest eigenvalue {low:.3g}, largest {high:.3g}")
            self._inverse = _inverse_above(eigenvalues, cut * high, xp)

    def solve(self, rhs: Array) -> tuple[Array, Array | None]:
        """Return the solution, and what of `rhs` is outside the range of H where that is singular."""
        if self._cholesky is not None:
            return cho_solve(self._cholesky, rhs), None
        xp = self._xp
        coefficients = xp.matrix_transpose(self._vectors) @ rhs
        outside = xp.where(self._inverse > 0, xp.zeros_like(coefficients), coefficients)
        return self._vectors @ (self._inverse * coefficients), self._vectors @ outside


def _rank_cut(order: int, dtype: Any, xp: Namespace) -> float:
    return max(_RANK, order * float(xp.finfo(dtype).eps))


def _regular_factor(H: Array, cut: float, xp: Namespace) -> CholeskyFactor | None:
    """Return the Cholesky factor of H unless that is singular to working precision."""
    try:
        factor = cho_factor(H)
    except np.linalg.LinAlgError:
        return None
    pivots = xp.abs(xp.linalg.diagonal(factor.matrix))
    low, high = scalars(xp, xp.min(pivots), xp.max(pivots))
    # A factor of a singular matrix may exist by rounding.
    return factor if low * low > cut * high * high else None


def _inverse_above(eigenvalues: Array, cut: Any, xp: Namespace) -> Array:
    """Return 1 / eigenvalue where it is above `cut`, else 0."""
    keep = (eigenvalues > cut) & (eigenvalues > 0)
    return xp.where(keep, 1 / xp.where(keep, eigenvalues, xp.ones_like(eigenvalues)), xp.zeros_like(eigenvalues))


def _eigenvalues(H: Array, xp: Namespace) -> Array:
    """Return the ascending eigenvalues of a matrix or a stack, NaN where any of these is not finite."""
    try:
        return xp.linalg.eigvalsh(H)
    except np.linalg.LinAlgError:
        return xp.full(H.shape[:-1], xp.nan, dtype=H.dtype, device=H.device)


def _eigenvectors(H: Array, xp: Namespace) -> tuple[Array, Array]:
    """Return the ascending eigenvalues of a stack and its eigenvectors, NaN where any matrix is not finite."""
    try:
        eigenvalues, vectors = xp.linalg.eigh(H)
    except np.linalg.LinAlgError:
        return xp.full(H.shape[:-1], xp.nan, dtype=H.dtype, device=H.device), xp.full_like(H, xp.nan)
    return eigenvalues, vectors


def largest_eigenvalue(H: Array, xp: Namespace) -> float:
    """Return the largest eigenvalue of a positive semidefinite H, or slightly more.

    Notes
    -----
    Above order 150 by Lanczos steps with full reorthogonalisation from a fixed random start; the residual is added, so
    that a value that has not settled errs on the safe side. Nothing is fetched before the end.
    """
    order = H.shape[0]
    if order == 0:
        return 0.0
    if order <= _DENSE_ORDER:
        return scalars(xp, _eigenvalues(H, xp)[-1])[0]
    tiny = float(xp.finfo(H.dtype).smallest_normal)
    start = np.random.default_rng(0).standard_normal(order)
    v = xp.asarray(start / np.linalg.norm(start), dtype=H.dtype, device=H.device)
    basis = xp.zeros((_LANCZOS_STEPS, order), dtype=H.dtype, device=H.device)
    diagonal, border = [], []
    for k in range(_LANCZOS_STEPS):
        basis[k, :] = v
        w = H @ v
        diagonal.append(w @ v)
        known = basis[: k + 1, :]
        for _ in range(2):  # once is not enough where the largest eigenvalues lie far apart
            w = w - xp.matrix_transpose(known) @ (known @ w)
        border.append(xp.linalg.vector_norm(w))
        v = w / (border[-1] + tiny)
    values = scalars(xp, *diagonal, *border)
    alpha, beta = np.array(values[:_LANCZOS_STEPS]), np.array(values[_LANCZOS_STEPS:])
    if not np.isfinite(alpha).all():
        return float("nan")
    # After an invariant subspace what follows is rounding.
    scale = max(np.abs(alpha).max(), beta.max())
    broken = np.flatnonzero(beta <= order * float(xp.finfo(H.dtype).eps) * scale)
    steps = _LANCZOS_STEPS if broken.size == 0 else int(broken[0]) + 1
    small = np.diag(alpha[:steps]) + np.diag(beta[: steps - 1], 1) + np.diag(beta[: steps - 1], -1)
    ritz, vectors = np.linalg.eigh(small)
    residual = beta[steps - 1] * abs(vectors[-1, -1])
    return float(ritz[-1] + residual)


# ---- all blocks of a problem -----------------------------------------------------------------------------------------


class BlockCache:
    """Bounds of blocks, kept for the blocks of a fixed partition.

    Parameters
    ----------
    problem : Problem
        Its `block_bound` gives H_b.
    partition : Partition, optional
        Arrays of `partition.blocks` are known again by their identity; of other blocks nothing is kept.

    Notes
    -----
    Memory: once p * tau numbers for the factors, once more for the bounds themselves if `bound` is called.
    """

    def __init__(self, problem: Problem, partition: Partition | None = None) -> None:
        self._problem, self._xp = problem, problem.xp
        self._partition = partition
        self._numbers = {} if partition is None else {id(block): k for k, block in enumerate(partition.blocks)}
        self._bounds: dict[int, Array] = {}
        self._factors: dict[int, LeastNormFactor] = {}
        self._lipschitz: dict[int, float] = {}

    def number(self, block: Array) -> int:
        """Return the number of a block of the partition, -1 for any other array."""
        return self._numbers.get(id(block), -1)

    def bound(self, block: Array) -> Array:
        """Return H_b."""
        number = self.number(block)
        if number < 0:
            return self._problem.block_bound(block)
        if number not in self._bounds:
            self._bounds[number] = self._problem.block_bound(block)
        return self._bounds[number]

    def lipschitz(self, block: Array) -> float:
        """Return L_b, the largest eigenvalue of H_b."""
        number = self.number(block)
        if number < 0:
            return self._block_lipschitz(block)
        if number not in self._lipschitz:
            self._lipschitz[number] = self._block_lipschitz(block)
        return self._lipschitz[number]

    def factor(self, block: Array) -> LeastNormFactor:
        """Return the factor of H_b.

        Raises
        ------
        numpy.linalg.LinAlgError
            If H_b has a negative eigenvalue.
        """
        number = self.number(block)
        if number < 0:
            return LeastNormFactor(self._problem.block_bound(block), self._xp)
        if number not in self._factors:
            bound = self._bounds.get(number)
            bound = self._problem.block_bound(block) if bound is None else bound
            self._factors[number] = LeastNormFactor(bound, self._xp)
        return self._factors[number]

    def solve(self, block: Array, g: Array) -> Array:
        """Return the solution of least norm of H_b d = g; of a singular H_b the pseudo-inverse counts."""
        return self.factor(block).solve(g)[0]

    @functools.cached_property
    def table(self) -> BlockTable:
        """The blocks of the partition, laid out for operations on all at once."""
        assert self._partition is not None
        return BlockTable(self._partition.host_blocks, self._xp, self._problem.device)

    @functools.cached_property
    def all_lipschitz(self) -> Array:
        """L_b of all blocks, shape (n_blocks,)."""
        problem, xp = self._problem, self._xp
        assert self._partition is not None
        parts = []
        for rows in self.table.rows:
            if rows.shape[1] > _DENSE_ORDER:
                blocks = [self._partition.blocks[k] for k in rows.numbers]
                values = [self.lipschitz(block) for block in blocks]
                parts.append(xp.asarray(np.array(values), dtype=problem.dtype, device=problem.device))
            else:
                stacks = self.stacks(rows, problem.block_bound)
                parts.append(xp.concat([_eigenvalues(H, xp)[:, -1] for _, H in stacks]))
        like = xp.zeros(0, dtype=problem.dtype, device=problem.device)
        together = self.table.collect(parts, like)
        return xp.maximum(together, xp.zeros_like(together))

    def spread(self, per_block: Array) -> Array:
        """Return one entry for each unknown from one for each block; anything for unknowns in no block."""
        xp, problem = self._xp, self._problem
        if per_block.shape[0] == 0:
            return xp.ones(problem.n_variables, dtype=problem.dtype, device=problem.device)
        return xp.take(per_block, self._block_of)

    @functools.cached_property
    def _block_of(self) -> Array:
        assert self._partition is not None
        numbers = np.zeros(self._problem.n_variables, dtype=np.int64)
        for k, block in enumerate(self._partition.host_blocks):
            numbers[block] = k
        return self._xp.asarray(numbers, device=self._problem.device)

    def model_decreases(self, g: Array) -> Array:
        """Return ``g_b' H_b^+ g_b / 2`` of all blocks, shape (n_blocks,)."""
        xp = self._xp
        parts = []
        for rows, roots in zip(self.table.rows, self._inverse_roots, strict=True):
            values = self.table.gather(g, rows)[:, None, :] @ roots
            parts.append(xp.sum(values * values, axis=(1, 2)) / 2)
        return self.table.collect(parts, g)

    @functools.cached_property
    def _inverse_roots(self) -> list[Array]:
        """W_b with W_b W_b' = H_b^+, shape (rows, width, width) for each table."""
        xp, dtype, device = self._xp, self._problem.dtype, self._problem.device
        out = []
        for rows in self.table.rows:
            count, width = rows.shape
            cut = _rank_cut(width, dtype, xp)
            roots = xp.empty((count, width, width), dtype=dtype, device=device)
            for start, H in self.stacks(rows, self._problem.block_bound):
                eigenvalues, vectors = _eigenvectors(H, xp)
                largest = eigenvalues[:, -1:]
                inverse = _inverse_above(eigenvalues, cut * largest, xp)
                # NaN is the largest of all scores: the update then tells what is wrong with the matrix.
                is_wrong = ~(eigenvalues[:, :1] >= -100 * cut * xp.abs(largest))
                inverse = xp.where(is_wrong, xp.nan, inverse)
                roots[start : start + H.shape[0], ...] = vectors * xp.sqrt(inverse)[:, None, :]
            out.append(roots)
        return out

    def stacks(self, rows: Rows, matrix: Callable[[Array], Array]) -> Iterator[tuple[int, Array]]:
        """Yield (first row, matrices of some rows, filled up with zeros), a slice of a table at a time."""
        problem, xp = self._problem, self._xp
        assert self._partition is not None
        count, width = rows.shape
        step = max(1, _SLICE_BYTES // (8 * width * width))
        for start in range(0, count, step):
            numbers = rows.numbers[start : start + step]
            stack = xp.zeros((len(numbers), width, width), dtype=problem.dtype, device=problem.device)
            for row, number in enumerate(numbers.tolist()):
                H = matrix(self._partition.blocks[number])
                stack[row, : H.shape[0], : H.shape[0]] = H
            yield start, stack

    def _block_lipschitz(self, block: Array) -> float:
        return largest_eigenvalue(self._problem.block_bound(block), self._xp)
