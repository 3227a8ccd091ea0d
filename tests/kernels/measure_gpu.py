"""Time every CUDA kernel against the library call that it replaces, and compare it with the CPU kernel.

Run by hand on a CUDA device: `python tests/kernels/measure_gpu.py FOLDER_OF_LIBSVM_FILES [RESULTS.json]`. The rows are
printed and, with a second argument, written as JSON together with the device's name; docs/kernels.rst shows them.
"""

import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cupy
import cupyx.scipy.sparse
import numpy as np
from sklearn.datasets import load_svmlight_file

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


def main(folder: str, results: str | None = None) -> None:
    """Measure, print and record."""
    device = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    rows = [*measure_kaczmarz(), *measure_gram(Path(folder)), *measure_logistic()]
    for row in rows:
        sys.stdout.write(json.dumps(row) + "\n")
    if results is not None:
        Path(results).write_text(
            json.dumps({"device": device, "cupy": cupy.__version__, "rows": rows}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
