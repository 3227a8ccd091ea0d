"""Quadratics x' Q x / 2 - c' x, and label propagation on a graph, which is one."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse import csgraph

from numopt._array import (
    add_at,
    asarray_like,
    device_of,
    is_array,
    is_cupy,
    is_linear_operator,
    is_sparse,
    namespace,
    scalars,
    to_host,
)
from numopt._core.validation import check_matrix, check_vector
from numopt._typing import Array
from numopt.coordinate._problem import Certificate, Point, Problem, largest

__all__ = ["LabelPropagation", "Quadratic", "QuadraticPoint"]

_ROUNDING = 16.0
# Entries of a matrix and of its transpose count as equal within these units of rounding of the largest one.
_SYMMETRY = 64.0


class Quadratic(Problem):
    """Quadratic ``x' Q x / 2 - c' x`` with penalties, for a symmetric positive semidefinite Q.

    Parameters
    ----------
    Q : array, sparse matrix or LinearOperator of shape (n, n)
        Symmetric positive semidefinite; the latter is not checked but where the solve meets it (status INDEFINITE):
        with bounds on every unknown another Q may end in a local minimum. Dense, sparse of any format with int32 or
        int64 indices, or a LinearOperator (columns from its methods ``columns(indices)`` or ``column(j)`` where it has
        them).
    c : array of shape (n,)
        Linear term.
    l1, l2 : float or array of shape (n,), default 0
        Weights of ``|x_j|`` and of ``x_j^2 / 2``.
    nonneg : bool, default False
        Demand ``x >= 0``.
    bounds : pair (lower, upper) or scipy.optimize.Bounds, optional
        Bounds on x, as for `LeastSquares`.
    groups : sequence of int arrays, optional
        Disjoint groups that cover all unknowns, whose norms `l1` then weighs.
    group_weights : array of shape (n_groups,), optional
        Weights of the groups, ones by default.
    symmetrize : bool, default False
        Take ``(Q + Q') / 2`` instead of refusing a matrix that is not symmetric.
    check_finite : bool, default True
        Look for NaN and infinite values in the data.

    Raises
    ------
    TypeError
        For complex data, mixed array libraries, or arguments of a wrong kind.
    ValueError
        For shapes that do not fit, values that are not finite, a Q that is not symmetric.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import Quadratic, bcd
    >>> Q = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> bcd(Quadratic(Q, np.array([1.0, -1.0]), nonneg=True)).x
    array([0.5, 0. ])
    """

    is_quadratic = True
    has_one_bound = True

    def __init__(
        self,
        Q: Any,
        c: Any,
        *,
        l1: Any = 0.0,
        l2: Any = 0.0,
        nonneg: bool = False,
        bounds: Any = None,
        groups: Sequence[Any] | None = None,
        group_weights: Any = None,
        symmetrize: bool = False,
        check_finite: bool = True,
    ) -> None:
        xp = namespace(Q, c)
        if not (is_array(Q) or is_sparse(Q) or is_linear_operator(Q)):
            Q = np.asarray(Q)
        if is_linear_operator(Q):
            if len(Q.shape) != 2 or Q.shape[0] != Q.shape[1]:
                raise ValueError(f"`Q` must be square, got shape {tuple(Q.shape)}.")
            dtype, device = (xp.float32 if Q.dtype == xp.float32 else xp.float64), None
        else:
            Q = check_matrix(Q, "Q", finite=check_finite, allow_sparse=True)
            if Q.shape[0] != Q.shape[1]:
                raise ValueError(f"`Q` must be square, got shape {tuple(Q.shape)}.")
            Q = _symmetric(Q, xp, symmetrize)
            dtype, device = Q.dtype, device_of(Q)
        self.Q = Q
        n = int(Q.shape[0])
        like = xp.empty(0, dtype=dtype, device=device)
        self.c = xp.asarray(
            check_vector(c, "c", xp=xp, dtype=dtype, finite=check_finite, size=n), dtype=dtype, device=device
        )
        super().__init__(
            like, xp, n, l1=l1, l2=l2, nonneg=nonneg, bounds=bounds, groups=groups, group_weights=group_weights
        )

    @property
    def is_sparse(self) -> bool:
        """Whether Q is stored by its non-zeros."""
        return is_sparse(self.Q)

    @functools.cached_property
    def diagonal(self) -> Array:
        """The diagonal of Q, without l2."""
        xp = self.xp
        if self.is_sparse:
            return self.Q.diagonal()
        if is_array(self.Q):
            return xp.asarray(xp.linalg.diagonal(self.Q), copy=True)
        return xp.concat([xp.linalg.diagonal(self._rows(block)[:, start:]) for start, block in self._slices()])

    @functools.cached_property
    def lipschitz(self) -> Array:
        """Second derivatives along the coordinates, l2 included."""
        return self.add_ridge(self.diagonal)

    @functools.cached_property
    def gershgorin(self) -> Array:
        """Row sums of absolute values, l2 included."""
        xp = self.xp
        if is_linear_operator(self.Q):
            sums = xp.concat([xp.sum(xp.abs(self._rows(block)), axis=1) for _, block in self._slices()])
        else:
            sums = xp.reshape(
                xp.asarray(abs(self.Q).sum(axis=1) if self.is_sparse else xp.sum(xp.abs(self.Q), axis=1)), (-1,)
            )
        return self.add_ridge(sums)

    @functools.cached_property
    def _graph(self) -> Any:
        host = self.Q.get() if is_cupy(self.xp) else self.Q
        host = sp.csr_array(host)
        if is_array(self.l2) or self.l2 > 0:
            l2 = to_host(self.l2) if is_array(self.l2) else np.full(self.n_variables, self.l2, dtype=host.dtype)
            host = sp.csr_array(host + sp.diags_array(l2, format="csr"))
        host.sort_indices()
        return host

    @property
    def graph(self) -> Any:
        """The Hessian, l2 included, as a scipy CSR matrix with sorted columns; None for a dense Q."""
        return self._graph if self.is_sparse else None

    def block_bound(self, block: Array) -> Array:
        """Return Q_bb + l2 I."""
        return self.add_ridge(self.block(block), block)

    def block(self, block: Array) -> Array:
        """Return Q_bb as a dense array."""
        if self.is_sparse:
            return self.Q[block][:, block].toarray()
        if is_array(self.Q):
            return self.xp.take(self.xp.take(self.Q, block, axis=0), block, axis=1)
        return self.xp.take(self._rows(block), block, axis=1)

    def bound_product(self, d: Array) -> Array:
        """Return (Q + l2 I) d."""
        return self.Q @ d + self.l2 * d

    def columns(self, block: Array) -> Array:
        """Return some columns of Q as a dense array of shape (n, t)."""
        return self.xp.matrix_transpose(self._rows(block))

    def block_product(self, block: Array, d: Array) -> Array:
        """Return Q U_b d, at the cost of the block's columns where Q is stored."""
        xp = self.xp
        if self.is_sparse:
            return self.Q[block].T @ d
        if is_array(self.Q):
            return d @ xp.take(self.Q, block, axis=0)
        whole = xp.zeros(self.n_variables, dtype=self.dtype, device=self.device)
        add_at(whole, block, d)
        return self.Q @ whole

    def point(self, x: Array | None = None, intercept: Any = None) -> "QuadraticPoint":
        """Return a movable point."""
        start = self.origin() if x is None else self.penalty.project(self.xp.asarray(x, copy=True))
        return QuadraticPoint(self, start)

    def evaluate(self, x: Array, intercept: Any = 0.0) -> Certificate:
        """Return objective, gradient and optimality at a feasible x."""
        xp = self.xp
        product = self.Q @ x
        fun = scalars(xp, xp.sum(x * (0.5 * product - self.c), dtype=xp.float64))[0] + self.ridge(x)
        grad = product - self.c + self.l2 * x
        kkt = largest(xp, self.penalty.min_subgradient(x, grad))
        eps = float(xp.finfo(self.dtype).eps)
        sizes = (
            xp.abs(product) if is_linear_operator(self.Q) else abs(self.Q) @ xp.abs(x)
        )  # an operator has no entries: the product stands for them
        floor = _ROUNDING * eps * largest(xp, sizes + xp.abs(self.c))
        return Certificate(fun + self.penalty.value(x), grad, kkt, math.nan, math.nan, floor)

    def _rows(self, block: Array) -> Array:
        """Return some rows of Q as a dense array."""
        xp = self.xp
        if self.is_sparse:
            return self.Q[block].toarray()
        if is_array(self.Q):
            return xp.take(self.Q, block, axis=0)
        if hasattr(self.Q, "columns"):
            return xp.matrix_transpose(xp.asarray(self.Q.columns(block), dtype=self.dtype))
        if hasattr(self.Q, "column"):
            return xp.stack([xp.asarray(self.Q.column(int(j)), dtype=self.dtype) for j in block], axis=0)
        units = xp.zeros((self.n_variables, block.shape[0]), dtype=self.dtype)
        units[block, xp.arange(block.shape[0])] = 1
        return xp.matrix_transpose(self.Q @ units)

    def _slices(self) -> list[tuple[int, Array]]:
        width = max(1, (1 << 23) // self.n_variables)
        return [
            (start, self.xp.arange(start, min(start + width, self.n_variables)))
            for start in range(0, self.n_variables, width)
        ]


class QuadraticPoint(Point):
    """A point of a quadratic: tracks the gradient, at the cost of the columns of each block that moves."""

    problem: Quadratic
    _value: float
    _gradient: Array
    _known: tuple[Array, Array, Array] | None

    def __init__(self, problem: Quadratic, x: Array) -> None:
        super().__init__(problem, x)
        self.refresh()

    @property
    def value(self) -> float:
        """The smooth part f at x."""
        return self._value

    @property
    def gradient(self) -> Array:
        """The gradient of f."""
        return self._gradient

    def hessian_block(self, block: Array) -> Array:
        """Return the Hessian within a block."""
        return self.problem.block_bound(block)

    def trial(self, block: Array, d: Array) -> float:
        """Return f at x with `d` added in a block."""
        return self._value + self._change(block, d)

    def move(self, block: Array, d: Array, value: float | None = None) -> None:
        """Add `d` in a block."""
        self._value += self._change(block, d)
        problem = self.problem
        self._gradient = self._gradient + self._product(block, d)
        if is_array(problem.l2) or problem.l2 > 0:
            add_at(self._gradient, block, problem.penalty.part(problem.l2, block) * d)
        add_at(self.x, block, d)
        self._known = None

    def refresh(self) -> None:
        """Compute the gradient and the value from x again."""
        problem, xp = self.problem, self.problem.xp
        product = problem.Q @ self.x
        self._value = scalars(xp, xp.sum(self.x * (0.5 * product - problem.c), dtype=xp.float64))[0] + problem.ridge(
            self.x
        )
        self._gradient = product - problem.c + problem.l2 * self.x
        self._known = None

    def _product(self, block: Array, d: Array) -> Array:
        """Return Q U_b d, remembered from the trial to the move."""
        if self._known is None or self._known[0] is not block or self._known[1] is not d:
            self._known = (block, d, self.problem.block_product(block, d))
        return self._known[2]

    def _change(self, block: Array, d: Array) -> float:
        problem, xp = self.problem, self.problem.xp
        curved = xp.take(self._product(block, d), block) + problem.penalty.part(problem.l2, block) * d
        return scalars(xp, xp.sum(d * (xp.take(self._gradient, block) + 0.5 * curved), dtype=xp.float64))[0]


class LabelPropagation(Quadratic):
    """Labels of a graph's nodes from those of some: minimise ``sum_ij w_ij (x_i - x_j)^2 / 4`` over the unknown ones.

    Parameters
    ----------
    W : array or sparse matrix of shape (n_nodes, n_nodes)
        Symmetric non-negative weights of the edges; the diagonal does not matter.
    labels : array of shape (n_nodes,)
        Real labels of the nodes.
    mask : bool array of shape (n_nodes,), optional
        True where the label is known; by default where `labels` is not NaN.
    l2 : float, default 0
        Weight of ``x_i^2 / 2`` on the unknown nodes.
    symmetrize : bool, default False
        Take ``(W + W') / 2``.

    Attributes
    ----------
    unknown : int array
        The nodes whose labels are unknown, in the order of the problem's unknowns.

    Raises
    ------
    TypeError
        For complex data, mixed array libraries, or arguments of a wrong kind.
    ValueError
        For shapes that do not fit, negative or infinite weights, no known label, or (without `l2`) a connected
        component without a known label, where the solution is not unique; a node of it is named.

    See Also
    --------
    label_propagation : Builds it, solves it and returns all labels.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import LabelPropagation, bcd
    >>> W = np.diag(np.ones(4), 1) + np.diag(np.ones(4), -1)  # a path of five nodes
    >>> problem = LabelPropagation(W, np.array([0.0, np.nan, np.nan, np.nan, 1.0]))
    >>> problem.expand(bcd(problem).x)
    array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """

    def __init__(self, W: Any, labels: Any, mask: Any = None, *, l2: float = 0.0, symmetrize: bool = False) -> None:
        if not (is_array(W) or is_sparse(W)):
            if is_linear_operator(W):
                raise TypeError("`W` must be an array or a sparse matrix: label propagation needs its entries.")
            namespace(W)  # a TypeError for arrays of libraries that are not supported
            W = np.asarray(W)
        xp = namespace(W, labels)
        W = check_matrix(W, "W", allow_sparse=True)
        if W.shape[0] != W.shape[1]:
            raise ValueError(f"`W` must be square, got shape {tuple(W.shape)}.")
        W = _symmetric(W, xp, symmetrize, name="W")
        n = int(W.shape[0])
        values = check_vector(labels, "labels", xp=xp, dtype=W.dtype, finite=False, size=n)
        known = ~xp.isnan(values) if mask is None else _mask(mask, xp, n, values)
        if bool(xp.all(known)):
            raise ValueError("`mask` must be False (or `labels` NaN) for at least one node: all labels are known.")
        if not bool(xp.any(known)):
            raise ValueError("`mask` must be True (or `labels` a number) for at least one node: no label is known.")
        if not bool(xp.all(xp.isfinite(xp.where(known, values, xp.zeros_like(values))))):
            raise ValueError("`labels` must be finite where they are known.")
        if bool(xp.any((W.data if is_sparse(W) else W) < 0)):
            raise ValueError("`W` must be non-negative.")
        self.n_nodes, self.unknown, self._known = n, xp.nonzero(~known)[0], xp.nonzero(known)[0]
        self._labels = xp.where(known, values, xp.zeros_like(values))
        Q, c = self._reduced(W, xp)
        super().__init__(Q, c, l2=l2, check_finite=False)
        if self.l2 == 0:
            self._check_components(Q)

    def expand(self, x: Array) -> Array:
        """Return the labels of all nodes from those of the unknown ones."""
        out = self.xp.asarray(self._labels, copy=True)
        add_at(out, self.unknown, x)
        return out

    def _reduced(self, W: Any, xp: Any) -> tuple[Any, Array]:
        """Return the Laplacian of the unknown nodes and the pull of the known ones."""
        if is_sparse(W):
            rows = W.tocsr()[self.unknown]
            degrees = xp.reshape(xp.asarray(rows.sum(axis=1)), (-1,)) - xp.take(W.diagonal(), self.unknown)
            inner = rows[:, self.unknown]
            pull = rows @ self._labels
            if is_cupy(xp):
                from cupyx.scipy.sparse import diags

                Q = diags(degrees + inner.diagonal(), format="csr") - inner
            else:
                Q = sp.diags_array(degrees + inner.diagonal(), format="csr") - inner
            Q = Q.tocsr()
            Q.sort_indices()
            return Q, pull
        rows = xp.take(W, self.unknown, axis=0)
        inner = xp.take(rows, self.unknown, axis=1)
        loops = xp.take(xp.linalg.diagonal(W), self.unknown)
        degrees = xp.sum(rows, axis=1) - loops
        eye = xp.eye(self.unknown.shape[0], dtype=W.dtype, device=W.device)
        return (degrees + loops)[:, None] * eye - inner, rows @ self._labels

    def _check_components(self, Q: Any) -> None:
        """Raise unless every connected component of the unknown nodes touches a known one."""
        host = (Q.get() if is_cupy(self.xp) else Q) if is_sparse(Q) else to_host(Q)
        graph = sp.csr_array(host)
        # What a row sums up to is the weight of its edges to known nodes.
        pull = np.asarray(graph.sum(axis=1)).reshape(-1)
        free = pull <= 64 * np.finfo(graph.dtype).eps * graph.diagonal()
        count, component = csgraph.connected_components(graph, directed=False)
        held = np.zeros(count, dtype=bool)
        held[component[~free]] = True
        if not held.all():
            node = int(to_host(self.unknown)[int(np.flatnonzero(~held[component])[0])])
            raise ValueError(
                f"`labels` must be known somewhere in each connected component: that of node {node} has none; "
                "label a node of it, remove it, or give `l2` > 0."
            )


def _symmetric(Q: Any, xp: Any, symmetrize: bool, name: str = "Q") -> Any:
    """Return a symmetric matrix, sparse ones as CSR without duplicates; a ValueError for another."""
    if is_sparse(Q):
        Q = Q.tocsr()
        if not Q.has_canonical_format:
            Q = Q.copy()
            Q.sum_duplicates()
        difference = Q - Q.T.tocsr()
        worst = float(abs(difference).max()) if difference.nnz else 0.0
        size = float(abs(Q.data).max()) if Q.nnz else 0.0
    else:
        difference = xp.abs(Q - xp.matrix_transpose(Q))
        worst, size = largest(xp, difference), largest(xp, Q)
    if worst <= _SYMMETRY * float(xp.finfo(Q.dtype).eps) * size:
        return Q
    if not symmetrize:
        raise ValueError(
            f"`{name}` must be symmetric: entries differ from those of its transpose by up to {worst:.3g}; "
            "symmetrize=True takes the mean of the two."
        )
    if is_sparse(Q):
        Q = ((Q + Q.T) * 0.5).tocsr()
        Q.sort_indices()
        return Q
    return 0.5 * (Q + xp.matrix_transpose(Q))


def _mask(mask: Any, xp: Any, n: int, like: Array) -> Array:
    known = asarray_like(np.asarray(mask), like) if not is_array(mask) else mask
    if tuple(known.shape) != (n,):
        raise ValueError(f"`mask` must have shape ({n},), got {tuple(known.shape)}.")
    if not xp.isdtype(known.dtype, "bool"):
        raise TypeError(f"`mask` must be boolean, got dtype {known.dtype}.")
    return known
