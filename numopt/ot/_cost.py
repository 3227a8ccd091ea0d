"""Access to the costs: every pass over all pairs that the solver makes, for stored costs and for points."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from numopt import kernels
from numopt._array import contiguous, device_of, is_numpy, memory_of, namespace, scalars
from numopt._typing import Array, Namespace
from numopt.ot._bipartite import Bipartite, Compressed

METRICS = {"sqeuclidean": 0, "euclidean": 1, "cityblock": 2}

# Rows of costs and plan are multiplied in blocks of about this size: the product is not worth a third matrix.
BLOCK_BYTES, CACHED_BLOCK_BYTES = 1 << 30, 1 << 17


class Products(NamedTuple):
    """Products with the full plan: P @ x and P' @ y."""

    forward: Callable[[Array], Array]
    backward: Callable[[Array], Array]


class Cost(Protocol):
    """What the solver asks of the costs.

    `n_passes` counts the sweeps over all n * m pairs that took exponentials; `max_nnz` bounds the entries that a
    Newton system keeps.

    P is exp((f + g' - C) / reg) throughout.
    """

    xp: Namespace
    shape: tuple[int, int]
    largest: float
    max_nnz: int
    n_passes: int

    def sums(self, f: Array, g: Array, reg: float) -> tuple[Array, Array]:
        """Row and column sums of P."""
        ...

    def lse_rows(self, g: Array, reg: float) -> Array:
        """Return log sum_j exp((g_j - C_ij) / reg) for every row."""
        ...

    def lse_cols(self, f: Array, reg: float) -> Array:
        """Return log sum_i exp((f_i - C_ij) / reg) for every column."""
        ...

    def plan(self, f: Array, g: Array, reg: float) -> tuple[Array, Array, Array]:
        """P itself with its row and column sums."""
        ...

    def compact(self, f: Array, g: Array, reg: float, row_floor: Array, col_floor: Array) -> Bipartite:
        """Return the entries of P whose exponent reaches the lower of its row's and its column's floor."""
        ...

    def apply(self, f: Array, g: Array, reg: float, V: Array) -> Array:
        """Return P @ V for V of shape (m, k)."""
        ...

    def products(self, f: Array, g: Array, reg: float) -> Products:
        """Products of P and of its transpose with vectors, for many of them."""
        ...

    def value(self, f: Array, g: Array, reg: float, P: Array | None = None) -> float:
        """Return <C, P>, pairs of infinite cost left out; `P` where it is at hand."""
        ...

    def count(self, f: Array, g: Array, reg: float, row_floor: Array, col_floor: Array) -> int:
        """Return how many entries `compact` would keep."""
        ...

    def part(self, rows: Array, cols: Array) -> "Cost":
        """The costs between some rows and some columns."""
        ...

    def transposed(self) -> "Cost":
        """The same costs with the sides exchanged."""
        ...


class _Base:
    """What both kinds of costs share."""

    def __init__(self, like: Array, real: Any, shape: tuple[int, int], largest: float) -> None:
        self.xp = namespace(like)
        self.real = real
        self.shape = shape
        self.largest = largest
        self.n_passes = 0
        # Kept entries take 24 bytes, by rows and by columns.
        self.max_nnz = memory_of(like) // (4 * 24)
        self.kernels: Any = kernels.bind(self.xp)
        self._device = device_of(like)

    def _empty(self, shape: Any, dtype: Any = None) -> Array:
        return self.xp.empty(shape, dtype=self.real if dtype is None else dtype, device=self._device)


class DenseCost(_Base):
    """Costs in a stored (n, m) matrix; may hold +inf."""

    def __init__(self, C: Array, real: Any, largest: float, *, has_inf: bool = False) -> None:
        super().__init__(C, real, (int(C.shape[0]), int(C.shape[1])), largest)
        self.C = C
        self.has_inf = has_inf
        self.parts = int(self.kernels.gibbs_parts(*self.shape))
        self.accumulators = self._empty((self.parts, self.shape[1]))

    def sums(self, f: Array, g: Array, reg: float) -> tuple[Array, Array]:
        n, m = self.shape
        r, c = self._empty(n), self._empty(m)
        self.kernels.gibbs_sums(self.C, f, g, 1.0 / reg, r, self.accumulators, c)
        self.n_passes += 1
        return r, c

    def plan(self, f: Array, g: Array, reg: float) -> tuple[Array, Array, Array]:
        n, m = self.shape
        P, r, c = self._empty((n, m)), self._empty(n), self._empty(m)
        self.kernels.gibbs_plan(self.C, f, g, 1.0 / reg, P, r, self.accumulators, c)
        self.n_passes += 1
        return P, r, c

    def lse_rows(self, g: Array, reg: float) -> Array:
        out = self._empty(self.shape[0])
        self.kernels.gibbs_lse_rows(self.C, g, 1.0 / reg, out)
        self.n_passes += 1
        return out

    def lse_cols(self, f: Array, reg: float) -> Array:
        out = self._empty(self.shape[1])
        self.kernels.gibbs_lse_cols(self.C, f, 1.0 / reg, self._empty((2, self.parts, self.shape[1])), out)
        self.n_passes += 1
        return out

    def _counted(self, point: Any) -> tuple[Array, Array]:
        xp, (n, m) = self.xp, self.shape
        counts, part_counts = self._empty(n, xp.int64), self._empty((self.parts, m), xp.int64)
        self.kernels.gibbs_count(*point, counts, part_counts)
        return counts, part_counts

    def count(self, f: Array, g: Array, reg: float, row_floor: Array, col_floor: Array) -> int:
        return int(self.xp.sum(self._counted((self.C, f, g, 1.0 / reg, row_floor, col_floor))[0]))

    def compact(self, f: Array, g: Array, reg: float, row_floor: Array, col_floor: Array) -> Bipartite:
        xp = self.xp
        point = (self.C, f, g, 1.0 / reg, row_floor, col_floor)
        counts, starts = self._counted(point)
        indptr, column_indptr = (self._empty(size + 1, xp.int64) for size in self.shape)
        self.kernels.kept_offsets(counts, starts, indptr, column_indptr)
        nnz = int(indptr[-1])
        rows = Compressed(self._empty(nnz), self._empty(nnz, xp.int32), indptr)
        columns = Compressed(self._empty(nnz), self._empty(nnz, xp.int32), column_indptr)
        self.kernels.gibbs_fill(*point, rows.indptr, rows.indices, rows.data)
        self.kernels.gibbs_fill_columns(*point, starts, columns.indices, columns.data)
        return Bipartite(rows, columns)

    def apply(self, f: Array, g: Array, reg: float, V: Array) -> Array:
        return self.xp.matmul(self.plan(f, g, reg)[0], V)

    def products(self, f: Array, g: Array, reg: float) -> Products:
        P, matmul = self.plan(f, g, reg)[0], self.xp.matmul
        return Products(lambda x: matmul(P, x), lambda y: matmul(y, P))

    def value(self, f: Array, g: Array, reg: float, P: Array | None = None) -> float:
        xp, (n, m) = self.xp, self.shape
        if P is not None:
            return self.scaled_value(P, None, None)
        step = min(n, max(1, BLOCK_BYTES // (8 * m)))
        total = xp.zeros((), dtype=xp.float64, device=self._device)
        for i in range(0, n, step):
            part = DenseCost(self.C[i : min(i + step, n), :], self.real, self.largest, has_inf=self.has_inf)
            block = part.plan(f[i : min(i + step, n)], g, reg)[0]
            total = total + xp.astype(part._product(part.C, block), xp.float64)
        return scalars(xp, total)[0]

    def scaled_value(self, P: Array, x: Array | None, y: Array | None) -> float:
        """Return <C, diag(x) P diag(y)>, the factors 1 where None."""
        xp, (n, m) = self.xp, self.shape
        step = min(n, max(1, self._block_bytes // (8 * m)))
        total = xp.zeros((), dtype=xp.float64, device=self._device)
        for i in range(0, n, step):
            block = P[i : min(i + step, n), :]
            if x is not None and y is not None:
                block = x[i : min(i + step, n), None] * block * y[None, :]
            total = total + xp.astype(self._product(self.C[i : min(i + step, n), :], block), xp.float64)
        return scalars(xp, total)[0]

    def _product(self, C: Array, P: Array) -> Array:
        xp = self.xp
        if self.has_inf:
            C = xp.where(xp.isinf(C), xp.zeros_like(C), C)
        C = xp.astype(C, P.dtype, copy=False)
        return xp.vecdot(xp.reshape(C, (-1,)), xp.reshape(P, (-1,)))

    @property
    def _block_bytes(self) -> int:
        # On a CPU a block and its product stay in its cache; on a GPU fewer launches count.
        return CACHED_BLOCK_BYTES if is_numpy(self.xp) else BLOCK_BYTES

    def part(self, rows: Array, cols: Array) -> "DenseCost":
        xp = self.xp
        # The shorter list first: what is gathered twice is as small as can be.
        if rows.shape[0] * self.shape[1] < cols.shape[0] * self.shape[0]:
            C = xp.take(xp.take(self.C, rows, axis=0), cols, axis=1)
        else:
            C = xp.take(xp.take(self.C, cols, axis=1), rows, axis=0)
        return DenseCost(contiguous(C), self.real, self.largest, has_inf=self.has_inf)

    def transposed(self) -> "DenseCost":
        return DenseCost(contiguous(self.C.T), self.real, self.largest, has_inf=self.has_inf)


class PointCost(_Base):
    """Costs between points, worked out whenever they are needed: O((n + m) d) memory."""

    def __init__(self, X: Array, Y: Array, metric: str, real: Any, largest: float) -> None:
        super().__init__(X, real, (int(X.shape[0]), int(Y.shape[0])), largest)
        self.X, self.Y = X, Y
        self.metric = metric
        self._metric = METRICS[metric]

    def _forward(self) -> tuple[Array, Array, int]:
        return self.X, self.Y, self._metric

    def _backward(self) -> tuple[Array, Array, int]:
        return self.Y, self.X, self._metric

    def sums(self, f: Array, g: Array, reg: float) -> tuple[Array, Array]:
        r, c = self._empty(self.shape[0]), self._empty(self.shape[1])
        self.kernels.point_row_sums(*self._forward(), f, g, 1.0 / reg, r)
        self.kernels.point_row_sums(*self._backward(), g, f, 1.0 / reg, c)
        self.n_passes += 2
        return r, c

    def lse_rows(self, g: Array, reg: float) -> Array:
        out = self._empty(self.shape[0])
        self.kernels.point_lse_rows(*self._forward(), g, 1.0 / reg, out)
        self.n_passes += 1
        return out

    def lse_cols(self, f: Array, reg: float) -> Array:
        out = self._empty(self.shape[1])
        self.kernels.point_lse_rows(*self._backward(), f, 1.0 / reg, out)
        self.n_passes += 1
        return out

    def plan(self, f: Array, g: Array, reg: float) -> tuple[Array, Array, Array]:
        """P by its product with the identity, for the few who want it dense."""
        P = self.apply(f, g, reg, self.xp.eye(self.shape[1], dtype=self.real, device=self._device))
        return P, *self.sums(f, g, reg)

    def compact(self, f: Array, g: Array, reg: float, row_floor: Array, col_floor: Array) -> Bipartite:
        return Bipartite(
            self._kept(self._forward(), f, g, reg, row_floor, col_floor),
            self._kept(self._backward(), g, f, reg, col_floor, row_floor),
        )

    def count(self, f: Array, g: Array, reg: float, row_floor: Array, col_floor: Array) -> int:
        counts = self._empty(self.shape[0], self.xp.int64)
        self.kernels.point_count(*self._forward(), f, g, 1.0 / reg, row_floor, col_floor, counts)
        return int(self.xp.sum(counts))

    def _kept(self, side: Any, f: Array, g: Array, reg: float, row_floor: Array, col_floor: Array) -> Compressed:
        point = (*side, f, g, 1.0 / reg, row_floor, col_floor)
        counts = self._empty(f.shape[0], self.xp.int64)
        self.kernels.point_count(*point, counts)
        indptr = self.xp.cumulative_sum(counts, include_initial=True)
        nnz = int(indptr[-1])
        kept = Compressed(self._empty(nnz), self._empty(nnz, self.xp.int32), indptr)
        self.kernels.point_fill(*point, kept.indptr, kept.indices, kept.data)
        return kept

    def apply(self, f: Array, g: Array, reg: float, V: Array) -> Array:
        out = self._empty((self.shape[0], V.shape[1]))
        self.kernels.point_apply(*self._forward(), f, g, 1.0 / reg, V, out)
        return out

    def products(self, f: Array, g: Array, reg: float) -> Products:
        back = self.transposed()
        return Products(
            lambda x: self.apply(f, g, reg, x[:, None])[:, 0], lambda y: back.apply(g, f, reg, y[:, None])[:, 0]
        )

    def value(self, f: Array, g: Array, reg: float, P: Array | None = None) -> float:
        out = self._empty(self.shape[0])
        self.kernels.point_value(*self._forward(), f, g, 1.0 / reg, out)
        return scalars(self.xp, self.xp.sum(self.xp.astype(out, self.xp.float64)))[0]

    def part(self, rows: Array, cols: Array) -> "PointCost":
        X, Y = self.xp.take(self.X, rows, axis=0), self.xp.take(self.Y, cols, axis=0)
        return PointCost(X, Y, self.metric, self.real, self.largest)

    def transposed(self) -> "PointCost":
        return PointCost(self.Y, self.X, self.metric, self.real, self.largest)
