"""Group partially separable functions: fixed sparse patterns filled by a few gathers and sums.

Group i has the argument ``t_i = a_i' x - b_i + sum_k w_ik e_k(x_k)`` (linear part plus weighted elements) and the
value ``s_i g_i(t_i)``, with `g_i` the identity for most. Constraints are single groups, the objective is the sum of the
others (plus ``x' Q x / 2`` in some problems). With the element derivatives at hand

    c'_i = s_i g_i'(t_i) (a_i + sum_k w_ik e_k'),
    L''  = sum_i mu_i s_i [ g_i' sum_k w_ik e_k'' + g_i'' (inner gradient)(inner gradient)' ],

with `mu` the objective weight and the multipliers. All index arrays are made once; rows 0..m-1 are the constraints.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from numopt.problems._base import Vector
from numopt.problems.cutest._blocks import Block

IndexArray = NDArray[np.intp]

_MAX_PAIRS = 1e8
"""Pairs of inner-gradient entries that are indexed at most (24 bytes each)."""


class SparseSum:
    """``out[rows] += weights * source[cols]`` with fixed rows, cols and weights."""

    _FEW = 800
    """Below this many terms bincount beats the overhead of a sparse product (2 against 4 microseconds)."""

    def __init__(self, rows: IndexArray, cols: IndexArray, weights: Vector, shape: tuple[int, int]) -> None:
        self._terms = (rows, cols, weights)
        self._size = shape[0]
        self._matrix = None if rows.size <= self._FEW else sp.csr_array((weights, (rows, cols)), shape=shape)

    def __call__(self, source: Vector) -> Vector:
        """Return the sums."""
        if self._matrix is not None:
            return np.asarray(self._matrix @ source, dtype=np.float64)
        rows, cols, weights = self._terms
        return _sums(rows, weights * source[cols], self._size)


@dataclass
class Groups:
    """The data of the groups, constraints first.

    Attributes
    ----------
    n, m : int
        Number of variables and of constraints.
    linear : csr_array of shape (n_groups, n)
        The linear parts.
    constant, scale : arrays of shape (n_groups,)
        `b` and `s` above.
    uses : (groups, elements, weights)
        One entry per use of an element in a group.
    n_elements : int
        Number of elements.
    quadratic : csr_array of shape (n, n) or None
        `Q` above.
    """

    n: int
    m: int
    linear: Any
    constant: Vector
    scale: Vector
    uses: tuple[IndexArray, IndexArray, Vector]
    n_elements: int
    quadratic: Any = None


class Separable:
    """Evaluates values and derivatives of objective and constraints, sharing one pass over the elements at one x."""

    def __init__(self, groups: Groups, elements: Sequence[Block], group_functions: Sequence[Block]) -> None:
        self.groups = groups
        self.elements = elements
        self.group_functions = group_functions
        self.n_groups = groups.constant.size
        self._values = np.zeros(groups.n_elements)
        sizes = [[len(b.gradient_slots) * b.members.size for b in elements]]
        sizes.append([len(b.hessian_slots) * b.members.size for b in elements])
        self._slopes, self._curvatures = np.zeros(sum(sizes[0])), np.zeros(sum(sizes[1]))
        # Elements are renumbered so that those of a block are contiguous.
        order = np.concatenate([b.members for b in elements]) if elements else np.zeros(0, dtype=np.intp)
        self._position = np.empty(groups.n_elements, dtype=np.intp)
        self._position[order] = np.arange(order.size)
        self._attach_elements(sizes)
        self._attach_group_functions()
        self._plan_arguments()
        self._plan_gradients()
        self._plan_hessian()
        self._x: Vector | None = None
        self._level = 0
        self._passes: list[Iterator[None]] = []

    # Setup.

    def _attach_elements(self, sizes: list[list[int]]) -> None:
        first, offsets = 0, [0, 0]
        self._slope_slots: list[tuple[int, IndexArray, IndexArray]] = []
        self._curvature_slots: list[tuple[IndexArray, IndexArray, IndexArray]] = []
        for i, block in enumerate(self.elements):
            count = block.members.size
            numbers = np.arange(first, first + count)
            for slot, variable in enumerate(block.gradient_slots):
                self._slope_slots.append((offsets[0] + slot * count, numbers, block.index[variable]))
            for row, col in block.hessian_slots:
                self._curvature_slots.append((numbers, block.index[row], block.index[col]))
            block.attach(
                (
                    self._values[first : first + count].reshape(1, count),
                    self._slopes[offsets[0] : offsets[0] + sizes[0][i]].reshape(-1, count),
                    self._curvatures[offsets[1] : offsets[1] + sizes[1][i]].reshape(-1, count),
                )
            )
            first += count
            offsets = [offsets[0] + sizes[0][i], offsets[1] + sizes[1][i]]

    def _attach_group_functions(self) -> None:
        """Give each group function its outputs; the values of trivial groups are copied, their slopes stay 1."""
        self._phi = [np.zeros(self.n_groups), np.ones(self.n_groups), np.zeros(self.n_groups)]
        self._outer_groups = np.zeros(self.n_groups, dtype=bool)
        self._outputs: list[tuple[IndexArray, list[Vector]]] = []
        for block in self.group_functions:
            count = block.members.size
            outputs = [np.zeros((size, count)) for size in (1, len(block.gradient_slots), len(block.hessian_slots))]
            block.attach(outputs)
            self._outputs.append((block.members, outputs))
            self._outer_groups[block.members] = bool(block.hessian_slots)
            if not block.gradient_slots:  # a constant group function
                self._phi[1][block.members] = 0.0

    def _plan_arguments(self) -> None:
        """Arguments of the groups: t = [A W] [x; e] - b."""
        groups, (use_groups, use_elements, weights) = self.groups, self.groups.uses
        linear = groups.linear.tocoo()
        self._arguments = SparseSum(
            np.concatenate([linear.row, use_groups]).astype(np.intp),
            np.concatenate([linear.col, groups.n + self._position[use_elements]]).astype(np.intp),
            np.concatenate([linear.data, weights]),
            (self.n_groups, groups.n + groups.n_elements),
        )
        self._weights_of_elements = SparseSum(
            self._position[use_elements], use_groups, weights, (groups.n_elements, self.n_groups)
        )
        self._stacked = np.zeros(groups.n + groups.n_elements)

    def _plan_gradients(self) -> None:
        """Pattern of the inner gradients (CSR over the groups), constraints first, and the sums that fill it."""
        groups, (use_groups, use_elements, weights) = self.groups, self.groups.uses
        n = groups.n
        starts, variables = _slots_by_element(self._slope_slots, groups.n_elements)
        use_slots, repeats = _expand(starts, self._position[use_elements])
        slope_index, slope_variable = variables
        rows = np.repeat(use_groups, repeats)
        linear = groups.linear.tocoo()
        keys = np.concatenate([linear.row * n + linear.col, rows * n + slope_variable[use_slots]]).astype(np.int64)
        unique, where = np.unique(keys, return_inverse=True)
        self.inner_rows, self.inner_cols = unique // n, unique % n
        self._inner_linear = _sums(where[: linear.nnz], linear.data, unique.size)
        self._inner = SparseSum(
            where[linear.nnz :], slope_index[use_slots], np.repeat(weights, repeats), (unique.size, self._slopes.size)
        )
        self.nnz_jac = int(np.searchsorted(self.inner_rows, groups.m))
        self._jac_rows = self.inner_rows[: self.nnz_jac]
        self._obj_rows, self._obj_cols = self.inner_rows[self.nnz_jac :], self.inner_cols[self.nnz_jac :]
        self._unit_rows = not len(self.group_functions) and bool((groups.scale == 1.0).all())

    def _plan_hessian(self) -> None:
        """Pattern of the Lagrangian's Hessian (lower triangle) and where each contribution goes."""
        n = self.groups.n
        slots = self._curvature_slots  # in the order of the buffer
        element = np.concatenate([np.zeros(0, dtype=np.intp), *(numbers for numbers, _, _ in slots)])
        first = np.concatenate([np.zeros(0, dtype=np.intp), *(row for _, row, _ in slots)])
        second = np.concatenate([np.zeros(0, dtype=np.intp), *(col for _, _, col in slots)])
        off_diagonal = np.concatenate(
            [
                np.zeros(0, dtype=bool),
                *(np.full(b.members.size, i != j) for b in self.elements for i, j in b.hessian_slots),
            ]
        )
        # An off-diagonal entry stands for two; both land on the diagonal where an element uses one variable twice.
        self._curvature_terms = (element, np.where(off_diagonal & (first == second), 2.0, 1.0))
        self._pair_terms = self._pairs()
        pair_a, pair_b = self._pair_terms[1:]
        quadratic = sp.coo_array((n, n)) if self.groups.quadratic is None else sp.tril(self.groups.quadratic).tocoo()
        keys = np.concatenate(
            [
                np.maximum(first, second) * n + np.minimum(first, second),
                self.inner_cols[pair_a] * n + self.inner_cols[pair_b],
                quadratic.row * n + quadratic.col,
            ]
        ).astype(np.int64)
        unique, where = np.unique(keys, return_inverse=True)
        self.hess_rows, self.hess_cols = unique // n, unique % n
        elements_end = element.size
        pairs_end = elements_end + pair_a.size
        self._curvature_to, self._pair_to = where[:elements_end], where[elements_end:pairs_end]
        self._quadratic_lower = _sums(where[pairs_end:], quadratic.data, unique.size)

    def _pairs(self) -> tuple[IndexArray, IndexArray, IndexArray]:
        """Pairs of inner-gradient entries of each group with curvature: group, position a, position b <= a."""
        starts = np.searchsorted(self.inner_rows, np.arange(self.n_groups + 1))
        lengths = np.diff(starts)[self._outer_groups].astype(float)
        if (lengths * (lengths + 1) / 2).sum() > _MAX_PAIRS:
            raise MemoryError(f"the objective's Hessian has over {_MAX_PAIRS:g} contributions.")
        triples: list[tuple[IndexArray, IndexArray, IndexArray]] = []
        for group in np.flatnonzero(self._outer_groups):
            a, b = np.tril_indices(int(starts[group + 1] - starts[group]))
            triples.append((np.full(a.size, group), a + starts[group], b + starts[group]))
        empty = np.zeros(0, dtype=np.intp)
        group_of, first, second = (np.concatenate([empty, *(t[i] for t in triples)]) for i in range(3))
        return group_of, first, second

    # Evaluation. Each level needs the ones before.

    def _advance(self, x: Vector, level: int) -> None:
        if self._x is not x:
            self._x, self._level = x, 0
            self._passes = [block.start(x) for block in self.elements]
        if self._level > level:
            return
        self._x = None  # an interrupted pass must not be taken up again
        while self._level <= level:
            for step in self._passes:
                next(step)
            if self._level == 0:
                self._arguments_at(x)
            elif self._level == 1:
                self._inner_values = self._inner_linear + self._inner(self._slopes)
            self._group_level(self._level)
            self._level += 1
        self._x = x

    def _arguments_at(self, x: Vector) -> None:
        n = self.groups.n
        self._stacked[:n] = x
        self._stacked[n:] = self._values
        self._t = self._arguments(self._stacked) - self.groups.constant
        if self.group_functions:
            np.copyto(self._phi[0], self._t)
            self._group_passes = [block.start(self._t) for block in self.group_functions]
        else:
            self._phi[0] = self._t

    def _group_level(self, level: int) -> None:
        if self.group_functions:
            for step, (members, outputs) in zip(self._group_passes, self._outputs, strict=True):
                next(step)
                if outputs[level].size:
                    self._phi[level][members] = outputs[level][0]

    def fun(self, x: Vector) -> float:
        """Objective value."""
        self._advance(x, 0)
        m, groups = self.groups.m, self.groups
        value = float(groups.scale[m:] @ self._phi[0][m:])
        return value if groups.quadratic is None else value + 0.5 * float(x @ (groups.quadratic @ x))

    def cons(self, x: Vector) -> Vector:
        """Constraint values."""
        self._advance(x, 0)
        m = self.groups.m
        return self.groups.scale[:m] * self._phi[0][:m]

    def grad(self, x: Vector) -> Vector:
        """Gradient of the objective."""
        self._advance(x, 1)
        slopes = self.groups.scale * self._phi[1]
        values = self._inner_values[self.nnz_jac :] * slopes[self._obj_rows]
        gradient = _sums(self._obj_cols, values, self.groups.n)
        return gradient if self.groups.quadratic is None else gradient + self.groups.quadratic @ x

    def jac_data(self, x: Vector) -> Vector:
        """Values of the Jacobian in the order of the pattern's first `nnz_jac` entries."""
        self._advance(x, 1)
        inner = self._inner_values[: self.nnz_jac]
        return inner.copy() if self._unit_rows else inner * (self.groups.scale * self._phi[1])[self._jac_rows]

    def hess_lower(self, x: Vector, lam: Vector, obj_weight: float) -> Vector:
        """Values of the Lagrangian's Hessian, lower triangle, in the order of `hess_rows`, `hess_cols`."""
        self._advance(x, 2)
        m, size = self.groups.m, self.hess_rows.size
        multiplier = np.empty(self.n_groups)
        multiplier[:m] = lam
        multiplier[m:] = obj_weight
        multiplier *= self.groups.scale
        element, double = self._curvature_terms
        weights = self._weights_of_elements(multiplier * self._phi[1])
        out = _sums(self._curvature_to, self._curvatures * (double * weights[element]), size)
        group, a, b = self._pair_terms
        if group.size:
            inner = self._inner_values
            out += _sums(self._pair_to, (multiplier * self._phi[2])[group] * inner[a] * inner[b], size)
        return out if self.groups.quadratic is None else out + obj_weight * self._quadratic_lower


def _sums(rows: IndexArray, values: Vector, size: int) -> Vector:
    """Sum of the values of each row; NumPy counts no terms at all in integers."""
    return np.asarray(np.bincount(rows, values, size), dtype=np.float64)


def _slots_by_element(
    slots: Sequence[tuple[int, IndexArray, IndexArray]], n_elements: int
) -> tuple[IndexArray, tuple[IndexArray, IndexArray]]:
    """Sort (buffer position, variable) of all gradient slots by element; also the start of each element's run."""
    empty = np.zeros(0, dtype=np.intp)
    element = np.concatenate([empty, *(numbers for _, numbers, _ in slots)])
    position = np.concatenate([empty, *(start + np.arange(numbers.size) for start, numbers, _ in slots)])
    variable = np.concatenate([empty, *(variables for _, _, variables in slots)])
    order = np.argsort(element, kind="stable")
    starts = np.searchsorted(element[order], np.arange(n_elements + 1))
    return starts, (position[order], variable[order])


def _expand(starts: IndexArray, chosen: IndexArray) -> tuple[IndexArray, IndexArray]:
    """Concatenate the runs ``starts[i]:starts[i+1]`` of the chosen i; also the length of each run."""
    lengths = starts[chosen + 1] - starts[chosen]
    shift = np.repeat(starts[chosen] - np.cumsum(lengths) + lengths, lengths)
    return np.arange(int(lengths.sum())) + shift, lengths
