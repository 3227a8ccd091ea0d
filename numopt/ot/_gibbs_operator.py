"""The kernel K = exp(-M / reg) applied to several vectors in the log domain, and the conditional plans' Laplacians."""

from collections.abc import Callable
from typing import Protocol

from numopt._array import namespace, scalars
from numopt._typing import Array
from numopt.ot._cost import DenseCost

# Up to this exponent M / reg, K is stored: all its entries and the sums of their products with vectors of largest entry
# 1 are far from underflow, and plain matrix products are as accurate as log-sum-exps.
STORED = {8: 600.0, 4: 60.0}

# A Newton system of stored costs keeps all but this part of each row's and column's mass, less with a small error.
LARGEST_DROP = 1e-3

Laplacian = Callable[[Array], Array]


class GibbsOperator(Protocol):
    """K at one regularisation, for vectors in columns; potentials are in units of the regularisation."""

    def log_rows(self, gamma: Array) -> Array:
        """log(K exp(gamma)), column by column."""
        ...

    def log_cols(self, phi: Array) -> Array:
        """log(K' exp(phi)), column by column; -inf in `phi` is a zero."""
        ...

    def laplacian(self, phi: Array, gamma: Array, A: Array, columns: Array, error: float) -> Laplacian:
        """The map d_k -> c_k d_k - P_k' ((P_k d_k) / a_k), where P_k has row sums a_k and column sums c_k."""
        ...


def gibbs_operator(M: Array, reg: float) -> GibbsOperator:
    """The representation that suits the range of the exponents."""
    xp = namespace(M)
    (most,) = scalars(xp, xp.max(M))
    if most / reg <= STORED[xp.finfo(M.dtype).bits // 8]:
        return StoredGibbs(M, reg)
    return StreamedGibbs(DenseCost(M, M.dtype, most), reg)


class StoredGibbs:
    """K as a matrix."""

    def __init__(self, M: Array, reg: float) -> None:
        self.xp = namespace(M)
        self.K = self.xp.exp(M / -reg)

    def log_rows(self, gamma: Array) -> Array:
        return self._log_product(self.K, gamma)

    def log_cols(self, phi: Array) -> Array:
        return self._log_product(self.K.T, phi)

    def _log_product(self, K: Array, x: Array) -> Array:
        top = self.xp.max(x, axis=0)
        return self.xp.log(self.xp.matmul(K, self.xp.exp(x - top))) + top

    def laplacian(self, phi: Array, gamma: Array, A: Array, columns: Array, error: float) -> Laplacian:
        # P_k d / a_k = K (v d) / (K v) and P_k' y = c (K' (u y)) / (K' u): no scale of u or v matters.
        xp, K = self.xp, self.K
        u, v = (xp.exp(x - xp.max(x, axis=0)) for x in (phi, gamma))
        Kv, Ku = xp.matmul(K, v), xp.matmul(K.T, u)

        def apply(d: Array) -> Array:
            y = xp.matmul(K, v * d) / Kv
            return columns * (d - xp.matmul(K.T, u * y) / Ku)

        return apply


class StreamedGibbs:
    """K by log-sum-exps over the costs, one vector at a time."""

    def __init__(self, cost: DenseCost, reg: float) -> None:
        self.xp, self.cost, self.reg = cost.xp, cost, reg

    def log_rows(self, gamma: Array) -> Array:
        return self._each(gamma, lambda g: self.cost.lse_rows(g, self.reg))

    def log_cols(self, phi: Array) -> Array:
        return self._each(phi, lambda f: self.cost.lse_cols(f, self.reg))

    def _each(self, x: Array, one: Callable[[Array], Array]) -> Array:
        return self.xp.stack([one(x[:, k] * self.reg) for k in range(x.shape[1])], axis=1)

    def laplacian(self, phi: Array, gamma: Array, A: Array, columns: Array, error: float) -> Laplacian:
        xp, (m, n) = self.xp, self.cost.shape
        drop = min(LARGEST_DROP, error)
        graphs, rows, cols = [], [], []
        for k in range(A.shape[1]):
            a, c = (xp.asarray(x[:, k], copy=True) for x in (A, columns))
            # Rows and columns without mass have no entry to keep.
            floors = [
                xp.where(w > 0, xp.log(xp.where(w > 0, w, xp.ones_like(w)) * (drop / size)), xp.full_like(w, xp.inf))
                for w, size in ((a, n), (c, m))
            ]
            f, g = phi[:, k] * self.reg, gamma[:, k] * self.reg
            graphs.append(self.cost.compact(f, g, self.reg, *floors).transposed)
            rows.append(a)
            cols.append(c)

        def apply(d: Array) -> Array:
            parts = [graph.schur(xp.asarray(d[:, k], copy=True), cols[k], rows[k])[0] for k, graph in enumerate(graphs)]
            return xp.stack(parts, axis=1)

        return apply
