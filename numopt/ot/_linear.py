"""Ways to solve the Newton system [[diag(r), P], [P', diag(c)]] (df, dg) = (row gap, column gap).

All eliminate the longer side: S = diag(r) - P diag(1 / c) P' on the shorter one. `Bipartite` holds the kept P.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from numopt import kernels
from numopt._array import device_of, is_numpy, namespace
from numopt._krylov import pcg as generic_pcg
from numopt._linalg import cho_factor, cho_solve
from numopt._typing import Array
from numopt.ot._bipartite import Bipartite, pcg
from numopt.ot._cost import Products

CG_LIMIT = 400
# Above this many unknowns the dense Schur complement gives way to a sparse factorisation of the whole system.
DENSE_LIMIT = 12_000
# The Schur complement is singular in the gauge direction; this much more on the diagonal lets Cholesky pass.
LIFT = 1e-12


class Direction(NamedTuple):
    """Step in both potentials, in units of the regularisation."""

    rows: Array
    columns: Array
    iterations: int
    relative_residual: float


class System(NamedTuple):
    """The Newton system at one point."""

    graph: Bipartite
    r: Array
    c: Array
    row_gap: Array
    col_gap: Array

    @property
    def transposed(self) -> "System":
        return System(self.graph.transposed, self.c, self.r, self.col_gap, self.row_gap)

    def reduced(self) -> Array:
        """Right-hand side of the Schur complement: row_gap - P (col_gap / c)."""
        return self.row_gap - self.r * self.graph.transposed.divided_products(self.col_gap / self.c, self.r)

    def complete(self, x: Array, iterations: int, residual: float) -> Direction:
        """Both parts of the direction from the part of the rows."""
        y = self.col_gap / self.c - self.graph.divided_products(x, self.c)
        return Direction(x, y, iterations, residual)


def solve(system: System, rtol: float, method: str, exact: Callable[[], Products]) -> Direction:
    """Solve to a relative residual of `rtol`, or as far as 400 iterations lead.

    Parameters
    ----------
    system : System
    rtol : float
        Relative to the right-hand side, 2-norm; direct solvers ignore it.
    method : {'cg', 'exact-pcg', 'direct', 'tree'}
    exact : callable
        Returns products with the full plan, for 'exact-pcg'.
    """
    n, m = system.graph.shape
    if n > m:
        d = solve(system.transposed, rtol, method, lambda: Products(*reversed(exact())))
        return Direction(d.columns, d.rows, d.iterations, d.relative_residual)
    if method == "cg":
        return _jacobi_cg(system, rtol)
    if method == "direct":
        return _direct(system)
    if method == "exact-pcg":
        return _exact_pcg(system, rtol, exact())
    return _tree_pcg(system, rtol)


def _jacobi_cg(system: System, rtol: float) -> Direction:
    rhs = system.reduced()
    solved = pcg(system.graph, system.r, system.c, rhs, system.graph.jacobi(system.r, system.c), rtol, CG_LIMIT)
    return system.complete(solved.x, solved.iterations, solved.relative_residual)


def _direct(system: System) -> Direction:
    return system.complete(schur_factor(system)(system.reduced()), 0, 0.0)


def schur_factor(system: System) -> Callable[[Array], Array]:
    """Factor the Schur complement of the kept entries; return its solve."""
    xp = namespace(system.r)
    n = system.r.shape[0]
    if n > DENSE_LIMIT:
        return _sparse_factor(system)
    k = kernels.bind(xp)
    columns = system.graph.columns
    device = device_of(system.r)
    work = xp.empty((k.gram_parts(system.c.shape[0], n), n, n), dtype=system.r.dtype, device=device)
    S = xp.empty((n, n), dtype=system.r.dtype, device=device)
    # The Gram kernel takes one type of index; that many entries count in the smaller one.
    indptr = xp.astype(columns.indptr, columns.indices.dtype)
    k.weighted_gram_csr(columns.data, columns.indices, indptr, 1.0 / system.c, work, S)
    S *= -1.0
    # float32 rounds the lift away: its own precision is the smallest that counts.
    lift = max(LIFT, float(xp.finfo(S.dtype).eps))
    while True:
        lifted = xp.asarray(S, copy=True)
        diagonal = xp.reshape(lifted, (-1,), copy=False)[:: n + 1]
        diagonal += system.r * (1.0 + lift)
        try:
            factor = cho_factor(lifted)
        except np.linalg.LinAlgError:
            # Rounding can leave a pivot below zero where a component hangs on by almost nothing.
            lift *= 100.0
            if lift > 1.0:
                raise
            continue
        return lambda b: cho_solve(factor, b)


def _sparse_factor(system: System) -> Callable[[Array], Array]:
    """Sparse LU of the whole system on the host: the one place where data leave a device (documented)."""
    from scipy.sparse import csr_array
    from scipy.sparse.linalg import splu

    from numopt._array import asarray_like, to_host

    r, c = to_host(system.r) * (1.0 + LIFT), to_host(system.c) * (1.0 + LIFT)
    n, m = r.shape[0], c.shape[0]
    data, indices, indptr = (to_host(part) for part in system.graph.rows)
    H = _signless(csr_array((data, indices, indptr), shape=(n, m)), r, c)
    lu = splu(H, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})

    def solve_rows(b: Array) -> Array:
        full = np.zeros(n + m)
        full[:n] = to_host(b)
        return asarray_like(lu.solve(full)[:n], b, dtype=b.dtype)

    return solve_rows


def _signless(P: Any, r: Any, c: Any) -> Any:
    """[[diag(r), P], [P', diag(c)]] as a SciPy CSC matrix."""
    from scipy.sparse import block_array, diags_array

    return block_array([[diags_array(r), P], [P.T, diags_array(c)]], format="csc")


def _exact_pcg(system: System, rtol: float, plan: Products) -> Direction:
    """CG on the system of the full plan, preconditioned by the factored system of the kept entries.

    Past the size of a factorisation the diagonal of that system has to do.
    """
    r, c = system.r, system.c
    if r.shape[0] <= DENSE_LIMIT:
        precondition = schur_factor(system)
    else:
        diagonal = system.graph.jacobi(r, c)

        def precondition(x: Array) -> Array:
            return x / diagonal

    found = generic_pcg(
        lambda x: r * x - plan.forward(plan.backward(x) / c),
        system.row_gap - plan.forward(system.col_gap / c),
        precond=precondition,
        rtol=rtol,
        maxiter=CG_LIMIT,
    )
    return Direction(found.x, (system.col_gap - plan.backward(found.x)) / c, found.nit, found.relative_residual)


def _tree_pcg(system: System, rtol: float) -> Direction:
    """CG on the Schur complement, preconditioned by a spanning tree of the heaviest entries (on the host)."""
    xp = namespace(system.r)
    if not is_numpy(xp):
        raise ValueError("`linsolver='tree'` runs on NumPy arrays only; use 'cg' or 'direct' on a GPU.")
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import minimum_spanning_tree
    from scipy.sparse.linalg import splu

    r, c = system.r, system.c
    n, m = r.shape[0], c.shape[0]
    data, indices, indptr = system.graph.rows
    kept = csr_array((data, indices, indptr), shape=(n, m))
    # Weights relative to the diagonal; the heaviest tree is the lightest one of these lengths.
    relative = data / np.sqrt(np.repeat(r, np.diff(indptr)) * c[indices])
    lengths = 1.0 - np.log(np.maximum(relative, 1e-300))
    graph = csr_array((lengths, indices, indptr), shape=(n, m))
    whole = _signless(graph, np.zeros(n), np.zeros(m)).tocsr()
    tree = minimum_spanning_tree(whole).tocoo()
    i, j = np.minimum(tree.row, tree.col), np.maximum(tree.row, tree.col) - n
    weights = np.asarray(kept[i, j]).ravel()
    branches = csr_array((weights, (i, j)), shape=(n, m))
    # A tree fills in nothing; entries outside it stay on the diagonal.
    lu = splu(
        _signless(branches, r * (1.0 + LIFT), c * (1.0 + LIFT)),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )

    def precondition(b: Array) -> Array:
        return lu.solve(np.concatenate([b, np.zeros(m)]))[:n]

    found = generic_pcg(
        lambda x: system.graph.schur(x, r, c)[0],
        system.reduced(),
        precond=precondition,
        rtol=rtol,
        maxiter=CG_LIMIT,
    )
    return system.complete(found.x, found.nit, found.relative_residual)
