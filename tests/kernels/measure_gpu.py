"""Time every CUDA kernel against the library call or the copy that it replaces, and compare what it computes.

Run by hand on a CUDA device: `python tests/kernels/measure_gpu.py [--libsvm FOLDER] [--only FUNCTION ...]
[--results FILE.json]`; the Gram matrices need a folder of LIBSVM files. The rows are printed and, if asked for, written
as JSON together with the device's name; docs/kernels.rst shows them.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cupy
import cupyx.scipy.sparse
import numpy as np

from numopt.kernels import bind

CPU, GPU = bind(np), bind(cupy)
LIBSVM = {"phishing": 68, "mushrooms": 112, "a9a": 123, "w8a": 300}
Row = dict[str, Any]


def median_ms(call: Callable[[], object], repeats: int = 20) -> float:
    """Return the median device time of a call in milliseconds, its first two runs left out."""
    times = []
    for repeat in range(repeats + 2):
        start, stop = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        call()
        stop.record()
        stop.synchronize()
        if repeat > 1:
            times.append(cupy.cuda.get_elapsed_time(start, stop))
    return statistics.median(times)


def difference(found: cupy.ndarray, expected: np.ndarray) -> float:
    """Relative difference in the 2-norm."""
    return float(np.linalg.norm(found.get() - expected) / np.linalg.norm(expected))


def measure_kaczmarz() -> list[Row]:
    """1000 steps on matrices of condition 1e3: ns per step, and the difference of the iterates."""
    rows = []
    for n in (45, 134, 311, 1000, 4000):
        rng = np.random.default_rng(0)
        U, _ = np.linalg.qr(rng.standard_normal((n, n)))
        A = np.ascontiguousarray((U * np.geomspace(1.0, 1e-3, n)) @ U.T)
        b, norms2, x = rng.standard_normal(n), np.sum(A * A, axis=1), np.zeros(n)
        indices = rng.integers(0, n, 1000)
        CPU.row_kaczmarz(A, b, norms2, indices, x)
        moved = [cupy.asarray(part) for part in (A, b, norms2, indices)]
        z = cupy.zeros(n)
        GPU.row_kaczmarz(*moved, z)
        error = difference(z, x)
        ms = median_ms(lambda args=(*moved, z): GPU.row_kaczmarz(*args))
        rows.append({"kernel": "row_kaczmarz", "size": n, "ns_per_step": 1e6 * ms / 1000, "difference": error})
    return rows


def measure_gram(folder: Path) -> list[Row]:
    """X'DX in ms, next to cuSPARSE's product of sparse matrices and cuBLAS on a dense copy."""
    from sklearn.datasets import load_svmlight_file

    rows = []
    for name, n in LIBSVM.items():
        X, _ = load_svmlight_file(str(folder / f"{name}.gz"), n_features=n, zero_based=False)
        X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
        weights, expected = np.random.default_rng(0).random(X.shape[0]), np.empty((n, n))
        CPU.weighted_gram_csr(
            X.data, X.indices, X.indptr, weights, np.empty((CPU.gram_parts(*X.shape), n, n)), expected
        )
        Y, w, out = cupyx.scipy.sparse.csr_matrix(X), cupy.asarray(weights), cupy.empty((n, n))
        args = (Y.data, Y.indices, Y.indptr, w, cupy.empty((GPU.gram_parts(*X.shape), n, n)), out)
        GPU.weighted_gram_csr(*args)
        error = difference(out, expected)
        dense, transposed = Y.toarray(), Y.T.tocsr()
        rows.append(
            {
                "kernel": "weighted_gram_csr",
                "data": name,
                "ms": median_ms(lambda args=args: GPU.weighted_gram_csr(*args)),
                "cusparse_ms": median_ms(
                    lambda T=transposed, Y=Y, w=w: T @ (cupyx.scipy.sparse.diags(w, format="csr") @ Y)
                ),
                "cublas_ms": median_ms(lambda D=dense, w=w: D.T @ (w[:, None] * D)),
                "difference": error,
            }
        )
    return rows


def measure_logistic() -> list[Row]:
    """Three outputs of two inputs in one pass: GB/s, next to CuPy's expressions and the device's copy."""
    rows = []
    for n in (32_561, 10_000_000):
        margins, labels = cupy.random.standard_normal(n), cupy.where(cupy.random.random(n) < 0.5, -1.0, 1.0)
        outputs = [cupy.empty(n) for _ in range(3)]

        def library(margins: cupy.ndarray = margins, labels: cupy.ndarray = labels) -> None:
            t = labels * margins
            sigmoid = 1.0 / (1.0 + cupy.exp(t))
            cupy.logaddexp(0.0, -t), -labels * sigmoid, labels**2 * sigmoid * (1.0 - sigmoid)

        ms = median_ms(lambda args=(margins, labels, *outputs): GPU.logistic_terms(*args))
        copy_ms = median_ms(lambda a=outputs[0], b=margins: cupy.copyto(a, b))
        rows.append(
            {
                "kernel": "logistic_terms",
                "size": n,
                "ms": ms,
                "cupy_ms": median_ms(library),
                "gb_per_s": 40e-6 * n / ms,
                "copy_gb_per_s": 16e-6 * n / copy_ms,
            }
        )
    return rows


def copy_ms(array: cupy.ndarray) -> float:
    """Time of a device copy of an array."""
    other = cupy.empty_like(array)
    return median_ms(lambda: cupy.copyto(other, array))


def morton(X: np.ndarray) -> np.ndarray:
    """Sort points along a Z curve, neighbours next to one another."""
    cells = ((X - X.min(axis=0)) / np.ptp(X, axis=0) * 1023).astype(np.int64)
    key = np.zeros(len(X), np.int64)
    for bit in range(10):
        for k in range(X.shape[1]):
            key |= (cells[:, k] >> bit & 1) << (bit * X.shape[1] + k)
    return X[np.argsort(key)]


def measure_dense_transport() -> list[Row]:
    """Passes over a dense cost at reg 1e-3 of its maximum: GB/s of the matrices they read and write, next to a copy."""
    sizes = [(4096, "f8", "f8"), (10000, "f8", "f8"), (16384, "f8", "f8"), (10000, "f4", "f4"), (10000, "f4", "f8")]
    return [row for n, cost, real in sizes for row in _dense_transport(n, cost, real)]


def _dense_transport(n: int, cost: str, real: str) -> list[Row]:
    rng = np.random.default_rng(0)
    X, Y = (cupy.asarray(rng.random((n, 2)).astype(real)) for _ in range(2))
    C = cupy.zeros((n, n), real)
    for k in range(2):
        C += (X[:, k, None] - Y[None, :, k]) ** 2
    C = (C / C.max()).astype(cost)
    inv_reg, mass = 1e3, float(np.log(1 / n))
    f, g, r, c, out = (cupy.zeros(n, real) for _ in range(5))
    parts = GPU.gibbs_parts(n, n)
    work, pairs = cupy.empty((parts, n), real), cupy.empty((2, parts, n), real)
    for _ in range(10):
        GPU.gibbs_lse_rows(C, g, inv_reg, out)
        f[...] = (mass - out) / inv_reg
        GPU.gibbs_lse_cols(C, f, inv_reg, pairs, out)
        g[...] = (mass - out) / inv_reg

    P = cupy.empty((n, n), real)
    # A thousandth of the mean mass of an entry.
    floor = cupy.full(n, 2 * mass - np.log(1e3), real)
    counts, column_counts = cupy.empty(n, "i8"), cupy.empty((parts, n), "i8")
    point = (C, f, g, inv_reg)
    GPU.gibbs_count(*point, floor, floor, counts, column_counts)
    indptr = cupy.concatenate([cupy.zeros(1, "i8"), cupy.cumsum(counts)])
    nnz = int(indptr[-1])
    ends = cupy.cumsum(column_counts.T.ravel()).reshape(n, parts).T
    starts = cupy.ascontiguousarray(ends - column_counts)
    tindptr = cupy.concatenate([cupy.zeros(1, "i8"), ends[-1]])
    csr = (cupy.empty(nnz, real), cupy.empty(nnz, "i4"), indptr)
    csc = (cupy.empty(nnz, real), cupy.empty(nnz, "i4"), tindptr)
    moving = starts.copy()

    def fill_columns() -> None:
        moving[...] = starts
        GPU.gibbs_fill_columns(*point, floor, floor, moving, csc[1], csc[0])

    GPU.gibbs_plan(*point, P, r, work, c)
    u, v, a = cupy.ones(n, real), cupy.ones(n, real), cupy.full(n, 1 / n, real)
    read, stored = C.nbytes, nnz * (4 + P.itemsize)
    calls: dict[str, tuple[int, Callable[[], object]]] = {
        "gibbs_sums": (read, lambda: GPU.gibbs_sums(*point, r, work, c)),
        "gibbs_plan": (read + P.nbytes, lambda: GPU.gibbs_plan(*point, P, r, work, c)),
        "gibbs_lse_rows": (read, lambda: GPU.gibbs_lse_rows(C, g, inv_reg, out)),
        "gibbs_lse_cols": (read, lambda: GPU.gibbs_lse_cols(C, f, inv_reg, pairs, out)),
        "scaling_sweep": (P.nbytes, lambda: GPU.scaling_sweep(P, a, a, u, v, r, work, c)),
        "gibbs_count": (read, lambda: GPU.gibbs_count(*point, floor, floor, counts, column_counts)),
        "gibbs_fill": (read + stored, lambda: GPU.gibbs_fill(*point, floor, floor, indptr, csr[1], csr[0])),
        "gibbs_fill_columns": (read + stored, fill_columns),
    }
    copies = 2 * read / copy_ms(C) * 1e-6
    size = {"size": n, "cost": cost, "real": real, "copy_gb_per_s": copies}
    rows = []
    for name, (transferred, call) in calls.items():
        call()
        ms = median_ms(call)
        rows.append({"kernel": name, **size, "ms": ms, "gb_per_s": 1e-6 * transferred / ms})
    GPU.gibbs_plan(*point, P, r, work, c)
    expected = cupy.exp((f[:, None] + g - C) * inv_reg)
    rows[0]["difference"] = difference(r, expected.sum(axis=1).get())
    rows[1]["difference"] = difference(c, expected.sum(axis=0).get())
    for name, matrix in [("gibbs_fill", csr), ("gibbs_fill_columns", csc)]:
        sparse = cupyx.scipy.sparse.csr_matrix((matrix[0], matrix[1], matrix[2].astype("i4")), shape=(n, n))
        kept = cupy.where(expected >= cupy.exp(floor[:1]), expected, 0)
        error = float(cupy.linalg.norm(sparse.toarray() - (kept if name == "gibbs_fill" else kept.T)))
        next(row for row in rows if row["kernel"] == name)["difference"] = error / float(cupy.linalg.norm(kept))
    del expected, kept

    rhs, x, z, y = cupy.asarray(rng.standard_normal(n).astype(real)), cupy.empty_like(r), cupy.empty_like(c), out
    diagonal, iterations = r * (1 + 1e-6), 50
    info, scratch = cupy.empty(3), (cupy.empty((3, n), real), cupy.empty(n, real))
    system = (*csr, *csc, r, c)
    product_ms = median_ms(lambda: GPU.schur_product(*system, rhs, z, y))
    pcg_ms = median_ms(lambda: GPU.schur_pcg(*system, rhs, diagonal, 0.0, iterations, x, *scratch, info)) / iterations
    done = int(info[0])
    for name, ms in [("schur_product", product_ms), ("schur_pcg, an iteration", pcg_ms * iterations / max(done, 1))]:
        rows.append({"kernel": name, **size, "entries": nnz, "ms": ms, "gb_per_s": 2e-6 * stored / ms})
    return rows


def measure_point_transport() -> list[Row]:
    """Passes over 1e10 pairs of points in space, in random order and sorted along a curve: pairs per second."""
    n, d, inv_reg = 100_000, 3, 1e3 / 3
    rng = np.random.default_rng(0)
    rows = []
    for real in ("f8", "f4"):
        for order in ("random", "sorted"):
            host = [rng.random((n, d)) for _ in range(2)]
            host = [(morton(value) if order == "sorted" else value).astype(real) for value in host]
            X, Y = (cupy.asarray(value) for value in host)
            f, g, out = (cupy.zeros(n, real) for _ in range(3))
            mass = float(np.log(1 / n))
            for _ in range(5):
                GPU.point_lse_rows(X, Y, 0, g, inv_reg, out)
                f[...] = (mass - out) / inv_reg
                GPU.point_lse_rows(Y, X, 0, f, inv_reg, out)
                g[...] = (mass - out) / inv_reg
            forward = (X, Y, 0, f, g, inv_reg)
            floor = cupy.full(n, 2 * mass - np.log(1e3), real)
            counts = cupy.empty(n, "i8")
            GPU.point_count(*forward, floor, floor, counts)
            indptr = cupy.concatenate([cupy.zeros(1, "i8"), cupy.cumsum(counts)])
            nnz = int(indptr[-1])
            indices, data = cupy.empty(nnz, "i4"), cupy.empty(nnz, real)
            V, wide = cupy.ones((n, 1), real), cupy.ones((n, 8), real)
            product, products = cupy.empty((n, 1), real), cupy.empty((n, 8), real)
            sums = cupy.empty(n, real)
            calls: dict[str, Callable[[], object]] = {
                "point_row_sums": lambda p=forward, s=sums: GPU.point_row_sums(*p, s),
                "point_lse_rows": lambda X=X, Y=Y, g=g, o=out: GPU.point_lse_rows(X, Y, 0, g, inv_reg, o),
                "point_value": lambda p=forward, o=out: GPU.point_value(*p, o),
                "point_count": lambda p=forward, w=floor, k=counts: GPU.point_count(*p, w, w, k),
                "point_fill": lambda p=forward, w=floor, s=(indptr, indices, data): GPU.point_fill(*p, w, w, *s),
                "point_apply, 1": lambda p=forward, V=V, o=product: GPU.point_apply(*p, V, o),
                "point_apply, 8": lambda p=forward, V=wide, o=products: GPU.point_apply(*p, V, o),
            }
            for name, call in calls.items():
                call()
                ms = median_ms(call, repeats=5)
                rows.append({"kernel": name, "size": n, "real": real, "order": order, "ms": ms, "entries": nnz})
            some = slice(0, 50)
            cost = np.sum((host[0][some, None, :].astype("f8") - host[1]) ** 2, axis=2)
            e = (f.get()[some, None].astype("f8") + g.get() - cost) * inv_reg
            rows[-len(calls)]["difference"] = difference(sums[some], np.exp(e).sum(axis=1))
            rows[-2]["difference"] = difference(product[some, 0], np.exp(e).sum(axis=1))
    return rows


def red_black_poisson(m: int, xp: Any = cupy) -> list[Any]:
    """Return what `sor_sweeps` takes up to the classes: 5 points on a grid with m (even) points a side, red-black."""
    n = m * m
    points = xp.arange(n, dtype=np.int32)
    i, j = points // m, points % m
    # Two points in a row share a number within their colours.
    colour = (i + j) % 2
    place = colour * (n // 2) + points // 2
    neighbours = [points - m, points - 1, points + 1, points + m]
    inside = [i > 0, j > 0, j < m - 1, i < m - 1]
    by_place = xp.empty(n, dtype=np.int32)
    by_place[place] = points
    columns, kept = xp.empty((n, 6), dtype=np.int32), xp.ones((n, 6), dtype=bool)
    columns[:, 0], columns[:, 5] = points, points
    kept[: n // 2, 5], kept[n // 2 :, 0] = False, False
    for k in range(4):
        other = (1 - colour) * (n // 2) + neighbours[k] // 2
        columns[:, k + 1], kept[:, k + 1] = other[by_place], inside[k][by_place]
    counts = kept.sum(axis=1).astype(np.int32)
    indptr = xp.concatenate([xp.zeros(1, np.int32), xp.cumsum(counts, dtype=np.int32)])
    indices, red = columns[kept], points < n // 2
    split = xp.where(red, indptr[:-1], indptr[1:] - 1).astype(np.int32)
    data = xp.full(indices.size, -1.0)
    data[split] = 4.0
    return [data, indices, indptr, split, xp.full(n, 0.25), xp.asarray([0, n // 2, n])]


def measure_sweeps() -> list[Row]:
    """Red-black sweeps with their residual norms: ms, and GB/s next to a copy; 12 bytes per entry and the vectors."""
    rows = []
    large, other = cupy.zeros(1 << 27), cupy.empty(1 << 27)
    copy = 2 * large.nbytes / median_ms(lambda: cupy.copyto(other, large)) / 1e6
    for m in (100, 1000, 2000, 4000):
        arguments = red_black_poisson(m)
        n, entries = m * m, arguments[0].size
        b, x, delta, norms = cupy.random.standard_normal(n), cupy.zeros(n), cupy.empty(n), cupy.empty(20)
        sweeps = (*arguments, b, 1.5, 1, x, delta, norms)
        ms = median_ms(lambda sweeps=sweeps: GPU.sor_sweeps(*sweeps)) / norms.size
        # x and delta are written and read, right-hand side and inverse diagonal read, and two offsets per row.
        traffic = 12 * entries + n * (6 * 8 + 2 * 4)
        A = cupyx.scipy.sparse.csr_matrix(tuple(arguments[:3]), shape=(n, n))
        rows.append(
            {
                "kernel": "sor_sweeps",
                "size": n,
                "ms": ms,
                "GB/s": traffic / ms / 1e6,
                "copy_GB/s": copy,
                "cusparse_product_ms": median_ms(lambda A=A, x=x: A @ x),
            }
        )
    return rows


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description="Time the CUDA kernels.")
    parser.add_argument("--libsvm", type=Path, help="folder of LIBSVM files, for the Gram matrices")
    parser.add_argument("--only", nargs="+", metavar="FUNCTION", help="such as measure_dense_transport")
    parser.add_argument("--results", type=Path, help="JSON file to write")
    options = parser.parse_args()
    measurements: dict[str, Callable[[], list[Row]]] = {
        function.__name__: function
        for function in (
            measure_kaczmarz,
            measure_logistic,
            measure_dense_transport,
            measure_point_transport,
            measure_sweeps,
        )
    }
    if options.libsvm is not None:
        measurements["measure_gram"] = lambda: measure_gram(options.libsvm)
    device = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    rows = []
    for name in options.only or measurements:
        for row in measurements[name]():
            sys.stdout.write(json.dumps(row) + "\n")
            sys.stdout.flush()
            rows.append(row)
    if options.results is not None:
        options.results.write_text(
            json.dumps({"device": device, "cupy": cupy.__version__, "rows": rows}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
