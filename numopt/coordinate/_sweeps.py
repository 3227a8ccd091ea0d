"""Symmetric block Gauss-Seidel sweeps over forests or colours as a preconditioner."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from numopt import kernels
from numopt._array import asarray_like, is_array, is_cupy, is_sparse, namespace, to_host
from numopt._core.validation import check_matrix, check_scalar
from numopt._typing import Array
from numopt.coordinate._forest import (
    Elimination,
    colour_partition,
    factor_forests,
    permuted_rows,
    tree_partition,
    trees_of,
    visiting_order,
)

__all__ = ["sweep_preconditioner"]

_NAMES = ("tree_partition", "redblack")


def sweep_preconditioner(
    Q: Any, partition: str | Sequence[Any] = "tree_partition", *, omega: float = 1.0, symmetric: bool = True
) -> Any:
    """Approximate the inverse of a symmetric positive definite matrix by a sweep of block Gauss-Seidel from zero.

    With Q = L + D + L' for the blocks of a partition, D their diagonal blocks, the operator applies the inverse of
    ``M = (D / omega + L) (2 / omega - 1)^-1 D^-1 (D / omega + L')``, which is positive definite; each block induces a
    forest in the graph of Q, so that a solve with D is a pass from the leaves to the roots and one back.

    Parameters
    ----------
    Q : sparse matrix or array of shape (n, n)
        Symmetric positive definite, real. NumPy, SciPy, CuPy, cupyx.
    partition : {'tree_partition', 'redblack'} or sequence of int arrays, default 'tree_partition'
        The blocks, in the order in which a sweep visits them: induced forests, each node (in descending order of Q_ii)
        put into the first where it touches no tree twice; colours, two where the graph has no odd cycle; or given
        arrays of indices, which must be disjoint, cover all and induce forests.
    omega : float, default 1
        Relaxation factor in (0, 2).
    symmetric : bool, default True
        Sweep forward and backward. A forward sweep alone is not a symmetric operator: for GMRES or BiCGSTAB.

    Returns
    -------
    M : LinearOperator of shape (n, n)
        SciPy's for NumPy, cupyx's for CuPy: the ``M=`` of their Krylov solvers.

    Raises
    ------
    TypeError
        For a `Q` that is neither a sparse matrix nor an array, complex data, an unsuitable `partition`.
    ValueError
        If `Q` is not square or finite, `omega` outside (0, 2), the partition unknown, not a disjoint cover, or one of
        its blocks has a cycle.
    numpy.linalg.LinAlgError
        If a diagonal block is not positive definite; the message names a node of it.

    Notes
    -----
    An application reads Q about once. On a lattice conjugate gradients with two combs need about two thirds of the
    iterations that two colours need. A GPU takes a level of all trees at a time, and a comb of 1000 rows has 1000 of
    them where a colour has one: colours are faster there. `numopt.linear.cg` with ``ssor_omega`` does sweeps over
    single unknowns together with the product, at half of the cost.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse.linalg import cg
    >>> from numopt.coordinate import sweep_preconditioner
    >>> from numopt.linear import Stencil
    >>> Q = Stencil((20, 20), (4.0, -1.0, -1.0, -1.0, -1.0)).tocsr()
    >>> x, info = cg(Q, np.ones(400), M=sweep_preconditioner(Q))
    >>> info
    0
    """
    if not (is_sparse(Q) or is_array(Q)):
        raise TypeError(f"`Q` must be a sparse matrix or an array, got {type(Q).__name__}.")
    omega = check_scalar(omega, "omega", low=0, high=2, include_low=False, include_high=False)
    Q = check_matrix(Q, "Q", allow_sparse=True)
    if Q.shape[0] != Q.shape[1]:
        raise ValueError(f"`Q` must be square, got shape {tuple(Q.shape)}.")
    xp = namespace(Q)
    host = sp.csr_array(Q.get() if is_sparse(Q) and is_cupy(xp) else Q if is_sparse(Q) else to_host(Q))
    if not host.has_canonical_format:
        host = host.copy()
        host.sum_duplicates()
    like = Q.data if is_sparse(Q) else Q
    return _operator(_Sweep(host, _blocks(host, partition), xp.empty(0, dtype=like.dtype), omega, bool(symmetric)), xp)


class _Sweep:
    """A sweep over forests, their factors computed once, in the order of elimination."""

    def __init__(self, graph: Any, blocks: Sequence[np.ndarray], like: Array, omega: float, symmetric: bool) -> None:
        self.shape, self.dtype = graph.shape, like.dtype
        self._kernels = kernels.bind(namespace(like))
        self.symmetric = symmetric
        found = Elimination.of(graph, blocks, by_level=is_cupy(namespace(like)))
        parts = [*_triangles(graph, found), found.starts]
        ldata, lindices, lindptr, udata, uindices, uindptr, starts = (asarray_like(part, like) for part in parts)
        ldata, udata = (asarray_like(values, like, dtype=like.dtype) for values in (ldata, udata))
        self._matrix = (
            ldata, lindices, lindptr, udata, uindices, uindptr, starts,
            *trees_of(found, like), *factor_forests(graph, found, like), omega, int(symmetric),
        )  # fmt: skip
        self._order = asarray_like(found.order, like)

    def matvec(self, r: Array) -> Array:
        """Return the sweep's result for a right-hand side."""
        xp = namespace(r)
        b = xp.take(xp.astype(xp.reshape(r, (-1,)), self.dtype, copy=False), self._order)
        z, work, out = (xp.empty_like(b) for _ in range(3))
        self._kernels.forest_ssor(*self._matrix, b, z, work)
        out[self._order] = z
        return out


def _triangles(graph: Any, found: Elimination) -> list[np.ndarray]:
    """Return the entries in the columns of earlier blocks and of later ones as CSR, in the order of elimination."""
    data, indices, indptr = permuted_rows(graph, found.order)
    sizes = np.diff(found.starts)
    # The first and the last place, plus one, of the block of each row, for each of its entries.
    counts = np.diff(indptr)
    first, last = (np.repeat(np.repeat(ends, sizes), counts) for ends in (found.starts[:-1], found.starts[1:]))
    parts: list[np.ndarray] = []
    for kept in (indices < first, indices >= last):
        before = np.concatenate([np.zeros(1, indptr.dtype), np.cumsum(kept, dtype=indptr.dtype)])
        parts += [data[kept], indices[kept], before[indptr]]
    return parts


def _operator(sweep: _Sweep, xp: Any) -> Any:
    """Return the LinearOperator of the library."""
    if is_cupy(xp):
        from cupyx.scipy.sparse.linalg import LinearOperator
    else:
        from scipy.sparse.linalg import LinearOperator
    adjoint = sweep.matvec if sweep.symmetric else None
    return LinearOperator(sweep.shape, matvec=sweep.matvec, rmatvec=adjoint, dtype=sweep.dtype)


def _blocks(graph: Any, partition: Any) -> list[np.ndarray]:
    """Return the blocks by name, or the given ones checked."""
    if isinstance(partition, str):
        if partition not in _NAMES:
            names = ", ".join(map(repr, _NAMES))
            raise ValueError(f"`partition` must be one of {names} or a sequence of index arrays, got {partition!r}.")
        order = visiting_order(graph, "lipschitz", graph.diagonal())
        return (tree_partition if partition == "tree_partition" else colour_partition)(graph, order)
    blocks = [np.asarray(to_host(block)) for block in partition]
    if any(block.ndim != 1 or block.dtype.kind not in "iu" for block in blocks):
        raise TypeError("`partition` must be a name or a sequence of one-dimensional integer arrays.")
    blocks = [np.sort(block.astype(np.int64)) for block in blocks]
    cover = np.sort(np.concatenate(blocks)) if blocks else np.empty(0, dtype=np.int64)
    if not np.array_equal(cover, np.arange(graph.shape[0])):
        raise ValueError(f"`partition` must be disjoint and cover the {graph.shape[0]} unknowns.")
    return blocks
