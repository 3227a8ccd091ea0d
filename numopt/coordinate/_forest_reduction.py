"""Conjugate gradients on what is left of a sparse system when an induced forest of its graph has been eliminated.

With the unknowns of the first forest in front, H = [H_11 H_12; H_21 H_22] and H_11 is solved with exactly in linear
time, so that only S = H_22 - H_21 H_11^-1 H_12 remains. The diagonal blocks of H_22 that belong to the other forests,
which are solved with in the same way, precondition it. On a graph that is nearly a tree few unknowns remain, and on one
that is a forest none.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from numopt._array import asarray_like, is_cupy, namespace, scalars
from numopt._core.status import Status
from numopt._typing import Array
from numopt.coordinate._forest import Elimination, factor_forests, permuted_rows, trees_of
from numopt.kernels import bind

__all__ = ["ForestReduction"]


class ForestReduction:
    """Solve ``H d = b`` by eliminating the first of some forests.

    Parameters
    ----------
    graph : CSR matrix
        H, on the host.
    blocks : list of int64 arrays
        Disjoint induced forests that cover all nodes; the first is eliminated.
    b : array of shape (n,)
        Right-hand side.

    Attributes
    ----------
    nit : int
        Iterations so far.
    residual : float
        Largest entry of ``b - H d`` as the recurrence has it.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the matrix of a forest is not positive definite; the message names a node of it.
    """

    def __init__(self, graph: Any, blocks: Sequence[np.ndarray], b: Array) -> None:
        self._xp = xp = namespace(b)
        self._kernels = bind(xp)
        found = Elimination.of(graph, blocks, by_level=is_cupy(xp))
        first, n = int(found.starts[1]), graph.shape[0]
        links, inverse = factor_forests(graph, found, b)
        # The factors of the first forest and of all others, each with the trees numbered from 0.
        head, tail = found.part(0, first), found.part(first, n)
        self._head = (*trees_of(head, b), links[:first], inverse[:first])
        self._tail = (*trees_of(tail, b), links[first:], inverse[first:])
        data, indices, indptr, tdata, tindices, tindptr = self._split_rows(graph, found, b)
        self._schur = (data, indices, indptr, tdata, tindices, tindptr, *self._head)
        self._order, self._first = asarray_like(found.order, b), first
        # d = (base + v_1, x_2): base solves for the first forest alone, and v is the scratch of the kernel.
        right = xp.take(b, self._order)
        self._base = xp.asarray(right[:first], copy=True)
        self._kernels.forest_solve(*self._head, self._base)
        self._v = xp.zeros_like(b)
        self._v[:first] = self._base
        self._x = xp.zeros_like(right[first:])
        self._r = right[first:] - self._last_rows @ self._v
        self._z, self._p, self._q = (xp.zeros_like(self._x) for _ in range(3))
        self._rz = 0.0
        self.nit = 0
        self.residual = scalars(xp, xp.max(xp.abs(self._r)))[0] if first < n else 0.0

    def advance(self, target: float, most: int) -> Status | None:
        """Iterate until the residual is at most `target`, `most` times at most; return how it broke down, if it did."""
        xp = self._xp
        for _ in range(most):
            if self.residual <= target:
                return None
            self._z[...] = self._r
            self._kernels.forest_solve(*self._tail, self._z)
            (rz,) = scalars(xp, self._r @ self._z)
            if self.nit == 0:
                self._p[...] = self._z
            else:
                self._p *= rz / self._rz
                self._p += self._z
            self._rz = rz
            self._v[self._first :] = self._p
            self._kernels.forest_schur(*self._schur, self._v, self._q)
            (curvature,) = scalars(xp, self._p @ self._q)
            if not curvature > 0:
                return Status.INDEFINITE if curvature <= 0 else Status.NONFINITE
            step = rz / curvature
            self._x += step * self._p
            self._r -= step * self._q
            self.nit += 1
            (self.residual,) = scalars(xp, xp.max(xp.abs(self._r)))
        return None

    def answer(self) -> Array:
        """Return d in the order of the unknowns."""
        v = self._v
        v[self._first :] = self._x
        self._kernels.forest_schur(*self._schur, v, self._q)
        v[: self._first] += self._base
        out = self._xp.empty_like(v)
        out[self._order] = v
        return out

    def _split_rows(self, graph: Any, found: Elimination, b: Array) -> list[Array]:
        """Return H_12, its columns numbered as those of H, and the last rows of H, all in the order of elimination."""
        first, n = int(found.starts[1]), graph.shape[0]
        data, indices, indptr = permuted_rows(graph, found.order)
        border = int(indptr[first])
        kept = indices[:border] >= first
        count = np.concatenate([np.zeros(1, indptr.dtype), np.cumsum(kept, dtype=indptr.dtype)])
        upper = (data[:border][kept], indices[:border][kept], count[indptr[: first + 1]])
        lower = (data[border:], indices[border:], indptr[first:] - border)
        parts = [asarray_like(part, b) for part in (*upper, *lower)]
        parts[0], parts[3] = (asarray_like(part, b, dtype=b.dtype) for part in (parts[0], parts[3]))
        self._last_rows = _csr(parts[3:], (n - first, n), b)
        return parts


def _csr(parts: Sequence[Array], shape: tuple[int, int], like: Array) -> Any:
    """Return a sparse matrix of the library of an array."""
    if is_cupy(namespace(like)):
        from cupyx.scipy.sparse import csr_matrix

        return csr_matrix(tuple(parts), shape=shape)
    return sp.csr_array(tuple(parts), shape=shape)
