"""Time the CPU kernels of entropic transport next to the expressions that they replace; docs/kernels.rst shows this.

Run by hand: `python tests/kernels/measure_transport.py [THREADS]`. Every figure is the fastest of some calls: with one
thread by the CPU time of the process, which other work on the machine disturbs least, with several by the clock.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

import numopt
from numopt.kernels import bind

KERNELS = bind(np)
THREADS = int(sys.argv[1]) if len(sys.argv) > 1 else 1
METRICS = ("sqeuclidean", "euclidean", "cityblock")


def fastest(call: Callable[[], object], seconds: float = 1.0) -> float:
    """Return the time of the fastest call in nanoseconds, among those that fit in some seconds and five more."""
    clock = time.process_time_ns if THREADS == 1 else time.perf_counter_ns
    call()
    times: list[int] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = clock()
        call()
        times.append(clock() - start)
    return float(min(times))


def show(*cells: object) -> None:
    """Print one row of a table."""
    sys.stdout.write("  ".join(f"{cell:>11.3g}" if isinstance(cell, float) else f"{cell:>11}" for cell in cells) + "\n")
    sys.stdout.flush()


def measure_dense(n: int) -> None:
    """Time the kernels on the costs of n x n points, in ns per entry."""
    rng = np.random.default_rng(0)
    inv_reg = 1e3
    C = cdist(rng.standard_normal((n, 2)), rng.standard_normal((n, 2)) + 1, "sqeuclidean")
    C /= C.max()
    C4, parts, g, lse = C.astype("f4"), KERNELS.gibbs_parts(n, n), np.zeros(n), np.empty(n)
    KERNELS.gibbs_lse_rows(C, g, inv_reg, lse)
    f = -(np.log(n) + lse) / inv_reg
    P, r, c, work, pairs = np.empty((n, n)), np.empty(n), np.empty(n), np.empty((parts, n)), np.empty((2, parts, n))
    K = np.exp((f[:, None] + g - C) * 100)
    K4, ones, ones4 = K.astype("f4"), np.ones(n), np.ones(n, "f4")

    def expression() -> np.ndarray:
        np.subtract(f[:, None], C, out=P)
        np.add(P, g, out=P)
        np.multiply(P, inv_reg, out=P)
        return P

    def numpy_sums() -> None:
        np.exp(expression(), out=P)
        P.sum(axis=0), P.sum(axis=1)

    def sweep(K: np.ndarray, ones: np.ndarray) -> None:
        empty = np.empty_like(ones)
        KERNELS.scaling_sweep(K, ones, ones, ones.copy(), ones.copy(), empty, np.empty((parts, n), K.dtype), empty)

    show(
        n, "sums", fastest(lambda: KERNELS.gibbs_sums(C, f, g, inv_reg, r, work, c)) / n**2, fastest(numpy_sums) / n**2
    )
    show(n, "sums f4 cost", fastest(lambda: KERNELS.gibbs_sums(C4, f, g, inv_reg, r, work, c)) / n**2)
    show(n, "plan", fastest(lambda: KERNELS.gibbs_plan(C, f, g, inv_reg, P, r, work, c)) / n**2)
    rows = fastest(lambda: KERNELS.gibbs_lse_rows(C, g, inv_reg, lse)) / n**2
    show(n, "lse rows", rows, fastest(lambda: logsumexp(expression(), axis=1)) / n**2)
    columns = fastest(lambda: KERNELS.gibbs_lse_cols(C, f, inv_reg, pairs, lse)) / n**2
    show(n, "lse cols", columns, fastest(lambda: logsumexp(expression(), axis=0)) / n**2)
    show(n, "sweep", fastest(lambda: sweep(K, ones)) / n**2, fastest(lambda: (K @ ones, K.T @ ones)) / n**2)
    show(n, "sweep f4", fastest(lambda: sweep(K4, ones4)) / n**2, fastest(lambda: (K4 @ ones4, K4.T @ ones4)) / n**2)
    for level in (-12.0, -25.0):
        measure_kept(C, f, g, inv_reg, level)


def measure_kept(C: np.ndarray, f: np.ndarray, g: np.ndarray, inv_reg: float, level: float) -> None:
    """Time counting and filling for one floor, in ns per entry of the costs."""
    n = f.size
    parts, floor, count = KERNELS.gibbs_parts(n, n), np.full(n, level), np.empty(n, "i8")
    kept, counts = (C, f, g, inv_reg, floor, floor), np.empty((parts, n), "i8")
    counting = fastest(lambda: KERNELS.gibbs_count(*kept, count, counts)) / n**2
    indptr, ends = np.concatenate([[0], np.cumsum(count)]), np.cumsum(counts.T.ravel()).reshape(n, parts).T
    indices, data = np.empty(indptr[-1], "i4"), np.empty(indptr[-1])

    def scipy_fill() -> None:
        e = (f[:, None] + g - C) * inv_reg
        rows, columns = np.nonzero(e >= level)
        sp.csr_array((np.exp(e[rows, columns]), (rows, columns)), C.shape)

    filling = fastest(lambda: KERNELS.gibbs_fill(*kept, indptr, indices, data)) / n**2
    by_columns = fastest(lambda: KERNELS.gibbs_fill_columns(*kept, ends - counts, indices, data)) / n**2
    show(n, f"{indptr[-1] / n**2:.3f}", counting, filling, by_columns, fastest(scipy_fill) / n**2)


def measure_schur() -> None:
    """Time one iteration of the conjugate gradients: us, ns per entry, and the product alone in SciPy."""
    for n, nnz in ((1000, 10**4), (1000, 10**5), (4000, 10**5), (4000, 10**6)):
        rng = np.random.default_rng(0)
        rows, columns = np.divmod(np.sort(rng.choice(n * n, nnz, replace=False)), n)
        P = sp.csr_array((rng.random(nnz), (rows, columns)), shape=(n, n))
        T = P.T.tocsr()
        r, c, rhs = P.sum(axis=1) * (1 + 1e-9), P.sum(axis=0), rng.standard_normal(n)
        arrays = [a for A in (P, T) for a in (A.data, A.indices.astype("i4"), A.indptr.astype("i8"))]
        # A poor preconditioner, so that no call ends before its 30 iterations.
        args = (*arrays, r, c, rhs, r * np.geomspace(1, 1e5, n), 0.0, 30, np.empty(n), np.empty((3, n)), np.empty(n))
        ours = fastest(lambda args=args: KERNELS.schur_pcg(*args, np.empty(3))) / 30
        product = fastest(lambda P=P, T=T, r=r, c=c, x=rhs: r * x - P @ ((T @ x) / c))
        show("pcg", n, nnz, ours / 1e3, ours / nnz, product / nnz)


def measure_points(d: int, metric: int, n: int = 2000) -> None:
    """Time the kernels on points in ns per pair: sums, log-sums, count, fill, product, value, and sums in SciPy."""
    rng = np.random.default_rng(0)
    X, Y, zeros, out, inv_reg = rng.random((n, d)), rng.random((n, d)), np.zeros(n), np.empty(n), 100.0
    KERNELS.point_lse_rows(X, Y, metric, zeros, inv_reg, out)
    f, floor, count = -out / inv_reg, np.full(n, -12.0), np.empty(n, "i8")
    args = (X, Y, metric, f, zeros, inv_reg)
    KERNELS.point_count(*args, floor, floor, count)
    indptr = np.concatenate([[0], np.cumsum(count)])
    indices, data, product = np.empty(indptr[-1], "i4"), np.empty(indptr[-1]), np.empty((n, d))
    calls: list[Callable[[], object]] = [
        lambda: KERNELS.point_row_sums(*args, out),
        lambda: KERNELS.point_lse_rows(X, Y, metric, zeros, inv_reg, out),
        lambda: KERNELS.point_count(*args, floor, floor, count),
        lambda: KERNELS.point_fill(*args, floor, floor, indptr, indices, data),
        lambda: KERNELS.point_apply(*args, Y, product),
        lambda: KERNELS.point_value(*args, out),
        lambda: np.exp((f[:, None] - cdist(X, Y, METRICS[metric])) * inv_reg).sum(axis=1),
    ]
    show(d, METRICS[metric], *(fastest(call, 0.6) / n**2 for call in calls))


if __name__ == "__main__":
    with numopt.set_threads(THREADS):
        for size in (1000, 4000):
            measure_dense(size)
        measure_schur()
        for dimension, kind in ((2, 0), (3, 0), (3, 1), (3, 2), (8, 0), (16, 0), (17, 0)):
            measure_points(dimension, kind)
