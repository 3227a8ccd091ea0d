"""Run every parallel kernel from several threads, or in processes started after one was used.

A program of its own, since what it looks for are aborts and hangs: `thread_program.py threads|fork|spawn`.
"""

import concurrent.futures
import multiprocessing
import sys

import numpy as np
import scipy.sparse as sp

from numopt.kernels import KERNELS, bind
from numopt.kernels._numba._threads import PARALLEL_MIN_WORK, Twins, threading_layer


def gram() -> float:
    """Call the weighted Gram kernel with enough work for its parallel form; return a checksum."""
    X = sp.random_array((9000, 30), density=0.6, rng=np.random.default_rng(0), format="csr")
    assert X.nnz * 18 / 2 > PARALLEL_MIN_WORK
    work, out = np.empty((2, 30, 30)), np.empty((30, 30))
    for _ in range(20):
        bind(np).weighted_gram_csr(X.data, X.indices, X.indptr, np.ones(9000), work, out)
    return float(out.sum())


def transport() -> float:
    """Call every kernel of entropic transport once; return a checksum."""
    k, n, parts = bind(np), 1450, 2
    assert n * n / 2 > PARALLEL_MIN_WORK
    rng = np.random.default_rng(0)
    X, Y, zeros, ones = rng.random((n, 2)), rng.random((n, 2)), np.zeros(n), np.ones(n)
    C = ((X[:, None] - Y) ** 2).sum(axis=-1)
    plan, points = (C, zeros, zeros, 3.0), (X, Y, 0, zeros, zeros, 3.0)
    P, product, work = np.empty((n, n)), np.zeros((n, 2)), np.empty((parts, n))
    r, c, z = np.zeros(n), np.zeros(n), np.zeros(n)
    total = 0.0
    for name, arguments in (
        ("gibbs_sums", (*plan, r, work, c)),
        ("gibbs_plan", (*plan, P, z, work, c)),
        ("gibbs_lse_rows", (C, zeros, 3.0, z)),
        ("gibbs_lse_cols", (C, zeros, 3.0, np.empty((2, parts, n)), z)),
        ("scaling_sweep", (P, r, c, ones.copy(), ones.copy(), z, work, c.copy())),
        ("point_row_sums", (*points, z)),
        ("point_lse_rows", (X, Y, 0, zeros, 3.0, z)),
        ("point_apply", (*points, Y, product)),
        ("point_value", (*points, z)),
    ):
        getattr(k, name)(*arguments)
        total += float(z.sum() + r.sum() + product.sum())

    floor, count, counts = np.full(n, -np.inf), np.empty(n, "i8"), np.empty((parts, n), "i8")
    k.point_count(*points, floor, floor, count)
    k.gibbs_count(*plan, floor, floor, count, counts)
    indptr = np.concatenate([[0], np.cumsum(count)])
    rows, columns = ((np.empty(indptr[-1], "i4"), np.empty(indptr[-1])) for _ in range(2))
    ends = np.cumsum(counts.T.ravel()).reshape(n, parts).T
    k.point_fill(*points, floor, floor, indptr, *rows)
    k.gibbs_fill(*plan, floor, floor, indptr, *rows)
    k.gibbs_fill_columns(*plan, floor, floor, ends - counts, *columns)
    schur = (rows[1], rows[0], indptr, columns[1], columns[0], indptr, 2 * r, c)
    k.schur_product(*schur, ones, z, zeros.copy())
    k.schur_pcg(*schur, ones, r, 1e-8, 5, z, np.empty((3, n)), np.empty(n), np.empty(3))
    return total + float(z.sum())


def batch() -> float:
    """Call the kernel for batches of systems with enough of them for its parallel form; return a checksum."""
    n, n_systems = 101, 300
    A = sp.csr_array(sp.diags_array([1.0, 4.0, 2.0], offsets=[-1, 0, 1], shape=(n, n)))
    split = np.flatnonzero(A.indices == np.repeat(np.arange(n), np.diff(A.indptr))).astype(A.indices.dtype)
    pattern, values = (A.indices, A.indptr, split, np.empty(0, "i8")), A.data * np.ones((2, 1))
    b, x = np.random.default_rng(0).random((n_systems, n)), np.zeros((n_systems, n))
    which, omega, target = np.arange(n_systems) % 2, np.linspace(0.8, 1.2, n_systems), np.full(n_systems, 1e-6)
    work = np.empty(bind(np).sor_batch_work(n_systems, n, A.nnz))
    nit, norms = np.empty(n_systems, "i8"), np.empty(n_systems)
    bind(np).sor_batch(values, *pattern, which, b, omega, 1, target, 100, x, work, nit, norms)
    return float(x.sum() + nit.sum() + norms.sum())


def sweeps() -> float:
    """Sweep over a red-black matrix by every kernel that takes classes; return a checksum."""
    n = 50_000
    order = np.concatenate([np.arange(0, n, 2), np.arange(1, n, 2)])
    A = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n)).tocsr()[order][:, order].tocsr()
    A.sort_indices()
    split = np.flatnonzero(A.indices == np.repeat(np.arange(n), np.diff(A.indptr))).astype(A.indptr.dtype)
    classes, half = np.array([0, n // 2, n]), np.full(n, 0.5)
    x, delta, norms = np.zeros(n), np.empty(n), np.empty(10)
    assert A.nnz * norms.size > PARALLEL_MIN_WORK
    bind(np).sor_sweeps(A.data, A.indices, A.indptr, split, half, classes, np.ones(n), 1.5, 1, x, delta, norms)
    return float(x.sum() + norms.sum())


def symmetric_sweeps() -> float:
    """Call every kernel of symmetric over-relaxation on a red-black matrix of unit diagonal; return a checksum."""
    n, diagonals = 50_000, range(-10, 11)
    reds = n // 2
    meet = sp.diags_array([np.full(reds - abs(d), -0.02) for d in diagonals], offsets=list(diagonals))
    U = sp.csr_array(sp.block_array([[sp.csr_array((reds, reds)), meet], [None, sp.csr_array((reds, reds))]]))
    L = sp.csr_array(U.T)
    assert L.nnz + U.nnz > PARALLEL_MIN_WORK
    triangles = (L.data, L.indices, L.indptr, U.data, U.indices, U.indptr, np.ones(n), np.array([0, reds, n]))
    x, r, z, work = np.zeros(n), np.ones(n), np.zeros(n), np.empty((2, n))
    norms, info = np.empty(2), np.zeros(8)
    k = bind(np)
    k.ssor_sweeps(*triangles, r, 1.2, x, z, work.reshape(-1), norms)
    k.ssor_solve(*triangles, 1.2, r, z)
    total = float(x.sum() + z.sum() + norms.sum())
    x[:] = 0
    k.eisenstat_pcg(*triangles, 1.2, 1, 0.0, 3, x, r, z, work, info)
    return total + float(x.sum() + info.sum())


def grid_sweeps() -> float:
    """Sweep over a grid in two colours and multiply with its matrix; return a checksum."""
    ny, nx = 420, 421
    c, b = np.array([4.0, -1, -1, -1, -1, 0, 0]), np.ones(ny * nx)
    x, y, norms = np.zeros(ny * nx), np.zeros(ny * nx), np.zeros(3)
    assert 6 * b.size > PARALLEL_MIN_WORK
    bind(np).stencil_sweeps(c, 1, ny, nx, 2, b, 1.5, 0, x, np.empty_like(x), norms)
    bind(np).stencil_product(c, 1, ny, nx, x, y)
    return float(x.sum() + y.sum() + norms.sum())


def block_sweeps() -> float:
    """Sweep over many blocks of two rows, all of one class; return a checksum."""
    count = 30_000
    A = sp.csr_array(sp.kron(sp.eye_array(count), np.array([[2.0, -1.0], [-1.0, 2.0]])))
    inverses = np.tile(np.array([[2.0, 1.0], [1.0, 2.0]]) / 3, (count, 1, 1))
    factors = np.tile(np.array([[0.0, -0.5], [0.5, 2 / 3], [-1.0, 0.0]]), (1, count))
    x, b, norms = np.zeros(2 * count), np.arange(2.0 * count), np.empty(10)
    assert A.nnz * norms.size > PARALLEL_MIN_WORK
    rows = (A.data, A.indices, A.indptr, A.indptr[:-1], 2 * np.arange(count + 1))
    rest = (np.array([0, count]), b, 0.5, 1, x, np.empty_like(x), norms)
    bind(np).block_sor_sweeps(*rows, inverses, *rest)
    bind(np).line_sor_sweeps(*rows, factors, *rest)
    return float(x.sum() + norms.sum())


def columns() -> float:
    """Call the sums over columns with enough entries for their parallel forms; return a checksum."""
    A = sp.random_array((9000, 300), density=0.4, rng=np.random.default_rng(0), format="csc")
    assert A.nnz > PARALLEL_MIN_WORK
    v, out = np.linspace(0, 1, 9000), np.empty(300)
    total = 0.0
    for name in ("column_dots", "column_squares"):
        for _ in range(10):
            getattr(bind(np), name)(A.data, A.indices, A.indptr, v, out)
        total += float(out.sum())
    return total


# Module -> what calls its kernels.
CALLS = {
    "gram": gram,
    "gibbs": transport,
    "bipartite": transport,
    "point_gibbs": transport,
    "sor_batch": batch,
    "sor": sweeps,
    "ssor": symmetric_sweeps,
    "eisenstat": symmetric_sweeps,
    "stencil": grid_sweeps,
    "block_sor": block_sweeps,
    "descent": columns,
}


def call_all() -> list[float]:
    """Call all kernels that have a parallel form."""
    return [call() for call in dict.fromkeys(CALLS.values())]


def main(how: str) -> None:
    """Call everything once, then as told, and compare."""
    kernels = bind(np)
    parallel = {kernel.module for name, kernel in KERNELS.items() if isinstance(getattr(kernels, name), Twins)}
    assert parallel == set(CALLS), "every module with parallel kernels needs its call here"
    pool: concurrent.futures.Executor
    if how == "threads":
        # No call before: the threads race for the first launch as well.
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            results = [future.result() for future in [pool.submit(call_all) for _ in range(8)]]
        expected = call_all()
    else:
        expected = call_all()
        assert threading_layer() is not None, "the parallel form did not run"
        context = multiprocessing.get_context(how)
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            results = [future.result() for future in [pool.submit(call_all) for _ in range(4)]]
    assert all(result == expected for result in results)
    sys.stdout.write(f"{threading_layer()}\n")


if __name__ == "__main__":
    main(sys.argv[1])
