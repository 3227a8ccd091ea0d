"""Time every CPU kernel against the library call that it replaces; docs/kernels.rst shows what this prints.

Run by hand on a quiet machine: `python tests/kernels/measure.py [FOLDER OF LIBSVM FILES]`.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import scipy.linalg
import scipy.sparse as sp
import scipy.special
from scipy.sparse.csgraph import connected_components

import numopt
from numopt.kernels import bind
from numopt.kernels._numba import _math
from numopt.kernels._numba.gram import weighted_gram_csr

KERNELS = bind(np)
LIBSVM = {"phishing": 68, "mushrooms": 112, "a9a": 123, "w8a": 300}


def median(call: Callable[[], object], repeats: int = 15) -> float:
    """Return the median time of a call in seconds, its first run left out."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def show(*cells: object) -> None:
    """Print one row of a table."""
    sys.stdout.write("  ".join(f"{cell:>12.3g}" if isinstance(cell, float) else f"{cell:>12}" for cell in cells) + "\n")


def measure_math() -> None:
    """Time exp, expm1, log and log1p in ns per element."""
    show("function", "dtype", "numopt", "NumPy")
    for name in ("exp", "exp2", "expm1", "log", "log1p"):
        function = getattr(_math, name)

        @numba.njit(error_model="numpy")
        def mapped(x, out, function=function):
            for i in range(x.size):
                out[i] = function(x[i])

        for dtype in ("f8", "f4"):
            x = np.random.default_rng(0).uniform(0.1, 10, 1 << 16).astype(dtype)
            out = np.empty_like(x)
            ours = median(lambda x=x, out=out, mapped=mapped: mapped(x, out))
            numpys = median(lambda x=x, out=out, name=name: getattr(np, name)(x, out=out))
            show(name, dtype, 1e9 * ours / x.size, 1e9 * numpys / x.size)


def measure_logistic() -> None:
    """Time the logistic terms in us."""
    show("size", "dtype", "numopt", "SciPy")
    for dtype in ("f8", "f4"):
        rng = np.random.default_rng(0)
        margins, labels = rng.standard_normal(32561).astype(dtype), rng.choice([-1, 1], 32561).astype(dtype)
        outputs = [np.empty_like(margins) for _ in range(3)]

        def library(margins: np.ndarray = margins, labels: np.ndarray = labels) -> None:
            t = labels * margins
            sigmoid = scipy.special.expit(-t)
            np.logaddexp(0, -t), -labels * sigmoid, labels**2 * sigmoid * (1 - sigmoid)

        ours = median(lambda args=(margins, labels, *outputs): KERNELS.logistic_terms(*args))
        show(margins.size, dtype, 1e6 * ours, 1e6 * median(library))


def measure_kaczmarz() -> None:
    """Time one row-action step in ns."""
    show("N", "dtype", "numopt", "NumPy", "GFLOP/s")
    for n in (11, 45, 100, 200, 400):
        for dtype in ("f8", "f4"):
            rng = np.random.default_rng(0)
            A = rng.standard_normal((n, n)).astype(dtype)
            b, norms2, x = A[:, 0].copy(), np.sum(A * A, axis=1), np.zeros(n, dtype)
            rows = rng.integers(0, n, 20_000)

            def library(A=A, b=b, norms2=norms2, rows=rows, x=x) -> None:
                for i in rows[:1000]:
                    x += (b[i] - A[i] @ x) / norms2[i] * A[i]

            ours = median(lambda args=(A, b, norms2, rows, x): KERNELS.row_kaczmarz(*args)) / rows.size
            show(n, dtype, 1e9 * ours, 1e9 * median(library, 5) / 1000, 4e-9 * n / ours)


def measure_terms() -> None:
    """Time the terms of one side of the marginals, and of a step, in us."""
    show("size", "dtype", "side_terms", "NumPy", "step_terms", "NumPy")
    for n in (4096, 100_000):
        for dtype in ("f8", "f4"):
            rng = np.random.default_rng(0)
            a, f, r, gap = (rng.random(n).astype(dtype) for _ in range(4))
            out = np.empty(5)

            def side(a: np.ndarray = a, f: np.ndarray = f, r: np.ndarray = r) -> None:
                size = np.abs(a - r)
                np.array([a @ f, size.sum(), size.max(), r.sum(), np.abs(f).max()])

            def step(f: np.ndarray = f, r: np.ndarray = r, gap: np.ndarray = gap) -> None:
                np.array([np.abs(f).max(), gap @ f, r @ (f * f)])

            show(
                n,
                dtype,
                1e6 * median(lambda args=(a, f, r, gap, out): KERNELS.side_terms(*args)),
                1e6 * median(side),
                1e6 * median(lambda args=(f, gap, r, out): KERNELS.step_terms(*args)),
                1e6 * median(step),
            )


def measure_offsets() -> None:
    """Time the offsets of kept entries in us."""
    show("size", "slices", "numopt", "NumPy")
    for n in (4096, 100_000):
        for parts in (1, 2, 8):
            rng = np.random.default_rng(0)
            count, work = rng.integers(0, 9, n), rng.integers(0, 9, (parts, n))
            indptr, tindptr = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64)

            def library(c=count, w=work, indptr=indptr, tindptr=tindptr) -> None:
                np.cumsum(c, out=indptr[1:])
                np.cumsum(w.sum(axis=0), out=tindptr[1:])
                np.add(tindptr[:-1], np.cumsum(w, axis=0) - w, out=w)

            args = (count, work.copy(), indptr, tindptr)
            show(n, parts, 1e6 * median(lambda args=args: KERNELS.kept_offsets(*args)), 1e6 * median(library))


def measure_components() -> None:
    """Time connected components in ms."""
    show("size", "entries", "graph", "numopt", "ns an entry", "SciPy")
    for n, degree, kind in ((4096, 20, "random"), (100_000, 100, "random"), (100_000, 100, "band")):
        rows = np.repeat(np.arange(n), degree)
        shift = (
            np.random.default_rng(0).integers(0, n, rows.size) if kind == "random" else np.arange(rows.size) % degree
        )
        A = sp.csr_array((np.ones(rows.size), (rows, (rows + shift) % n)), shape=(n, n))
        B = sp.csr_array(A.T)
        square = sp.csr_array((A.data, A.indices + n, np.append(A.indptr, np.full(n, A.nnz))), shape=(2 * n, 2 * n))
        forms = [part.astype(t) for X in (A, B) for part, t in ((X.indices, "i4"), (X.indptr, "i8"))]
        args = (*forms, np.empty(n, "i4"), np.empty(n, "i4"))
        ours = median(lambda args=args: KERNELS.bipartite_components(*args), 5)
        scipys = median(lambda graph=square: connected_components(graph, connection="weak"), 5)
        show(n, A.nnz, kind, 1e3 * ours, 1e9 * ours / A.nnz, 1e3 * scipys)


def measure_gram(folder: Path) -> None:
    """Time the weighted Gram matrix in ms."""
    from sklearn.datasets import load_svmlight_file

    show("data", "threads", "numopt", "CSR product", "dense BLAS")
    for name, n in LIBSVM.items():
        X, _ = load_svmlight_file(str(folder / f"{name}.gz"), n_features=n, zero_based=False)
        X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
        dense, weights, out = X.toarray(), np.random.default_rng(0).random(X.shape[0]), np.empty((n, n))
        for threads in sorted({1, numba.config.NUMBA_NUM_THREADS}):
            with numopt.set_threads(threads):
                work = np.empty((KERNELS.gram_parts(*X.shape), n, n))
                args = (X.data, X.indices, X.indptr, weights, work, out)
                ours = median(lambda args=args: KERNELS.weighted_gram_csr(*args))
                product = median(lambda X=X, w=weights: X.T @ (sp.diags_array(w) @ X), 5)
                blas = median(lambda D=dense, w=weights: scipy.linalg.blas.dsyrk(1.0, (D * np.sqrt(w)[:, None]).T), 5)
            show(name, threads, 1e3 * ours, 1e3 * product, 1e3 * blas)


def measure_launch() -> None:
    """Time both forms of the Gram kernel for growing work, in us: where the parallel one begins to pay."""
    show("updates", "serial", "parallel")
    for m in (100, 300, 1000, 3000, 10_000):
        X = sp.random_array((m, 50), density=0.4, rng=np.random.default_rng(0), format="csr")
        args = (
            X.data,
            X.indices,
            X.indptr,
            np.ones(m),
            np.empty((numba.get_num_threads(), 50, 50)),
            np.empty((50, 50)),
        )
        times = [
            median(lambda f=form, a=args: f(*a), 101) for form in (weighted_gram_csr.serial, weighted_gram_csr.parallel)
        ]
        show(X.nnz**2 // (2 * m), *(1e6 * seconds for seconds in times))


if __name__ == "__main__":
    with numopt.set_threads(1):
        measure_math()
        measure_logistic()
        measure_kaczmarz()
        measure_terms()
        measure_offsets()
        measure_components()
    measure_launch()
    if len(sys.argv) > 1:
        measure_gram(Path(sys.argv[1]))
