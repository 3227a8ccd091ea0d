"""The kept entries of a plan as a sparse matrix, in both orders, and the Newton system that they define."""

from dataclasses import dataclass
from typing import NamedTuple

from numopt import kernels
from numopt._array import namespace, scalars
from numopt._typing import Array


class Compressed(NamedTuple):
    """A CSR triple; of the transpose, it is the matrix by columns."""

    data: Array
    indices: Array
    indptr: Array


@dataclass(frozen=True, slots=True)
class Bipartite:
    """Kept entries of the plan by rows and by columns: the edges of a bipartite graph."""

    rows: Compressed
    columns: Compressed

    @property
    def nnz(self) -> int:
        return int(self.rows.data.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.rows.indptr.shape[0]) - 1, int(self.columns.indptr.shape[0]) - 1

    @property
    def transposed(self) -> "Bipartite":
        return Bipartite(self.columns, self.rows)

    @property
    def density(self) -> float:
        n, m = self.shape
        return self.nnz / (n * m)

    def divided_products(self, x: Array, divisor: Array) -> Array:
        """Return (P' x) / divisor."""
        return self.schur(x, x, divisor)[1]

    def schur(self, x: Array, r: Array, c: Array) -> tuple[Array, Array]:
        """Return S x and (P' x) / c, where S = diag(r) - P diag(1 / c) P'."""
        xp = namespace(x)
        y, z = xp.empty_like(r), xp.empty_like(c)
        kernels.bind(xp).schur_product(*self.rows, *self.columns, r, c, x, z, y)
        return y, z

    def jacobi(self, r: Array, c: Array) -> Array:
        """Return the diagonal of S, at least 1e-12 of r."""
        xp = namespace(r)
        squares = Bipartite(
            Compressed(self.rows.data * self.rows.data, self.rows.indices, self.rows.indptr),
            Compressed(self.columns.data, self.columns.indices, self.columns.indptr),
        )
        # The product with the roles swapped: (squares of P) (1 / c), divided by r and multiplied again.
        shares = squares.transposed.divided_products(1.0 / c, r)
        return r * xp.maximum(1.0 - shares, xp.asarray(1e-12, dtype=r.dtype, device=r.device))


class Solved(NamedTuple):
    """Answer of a linear solve, with the iterations it took and what it reached."""

    x: Array
    iterations: int
    relative_residual: float


def pcg(graph: Bipartite, r: Array, c: Array, rhs: Array, diagonal: Array, rtol: float, maxiter: int) -> Solved:
    """Conjugate gradients for S x = rhs, preconditioned by a diagonal, in one kernel."""
    xp = namespace(rhs)
    x, columns = xp.zeros_like(rhs), xp.empty_like(c)
    info = xp.zeros(3, dtype=xp.float64, device=rhs.device)
    work = xp.empty((3, rhs.shape[0]), dtype=rhs.dtype, device=rhs.device)
    kernels.bind(xp).schur_pcg(*graph.rows, *graph.columns, r, c, rhs, diagonal, rtol, maxiter, x, work, columns, info)
    iterations, residual = scalars(xp, info[0], info[1])
    return Solved(x, int(iterations), residual)
