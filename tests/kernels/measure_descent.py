"""Time the CPU kernels of coordinate descent and softmax next to SciPy and plain loops; docs/kernels.rst shows this.

Run by hand: `python tests/kernels/measure_descent.py`, with NUMOPT_DATA naming the folder of the LIBSVM files. Every
figure is the fastest of some calls on one thread, by the CPU time of the process.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import scipy.sparse as sp
import scipy.special

from numopt.kernels import bind
from numopt.problems import libsvm

KERNELS = bind(np)
EPOCHS = 5
NONE = np.empty(0)


def fastest(call: Callable[..., object], make: Callable[[], tuple[Any, ...]] = tuple, repeats: int = 9) -> float:
    """Return the time of the fastest call in nanoseconds; `make` returns fresh arguments for each."""
    call(*make())
    times = []
    for _ in range(repeats):
        arguments = make()
        start = time.process_time_ns()
        call(*arguments)
        times.append(time.process_time_ns() - start)
    return float(min(times))


def show(*cells: object) -> None:
    """Print one row of a table."""
    sys.stdout.write("  ".join(f"{cell:>12.3g}" if isinstance(cell, float) else f"{cell:>12}" for cell in cells) + "\n")
    sys.stdout.flush()


@numba.njit
def plain_epochs(data, indices, indptr, curvature, l1, x, s, epochs):
    """Visit all columns as one writes it down: one sum, a division and a soft threshold for every coordinate."""
    for _ in range(epochs):
        for j in range(x.size):
            if curvature[j] == 0:
                continue
            old, slope = x[j], 0.0
            for p in range(indptr[j], indptr[j + 1]):
                slope += data[p] * s[indices[p]]
            u = old - slope / curvature[j]
            x[j] = np.sign(u) * max(abs(u) - l1 / curvature[j], 0.0)
            if x[j] != old:
                for p in range(indptr[j], indptr[j + 1]):
                    s[indices[p]] += (x[j] - old) * data[p]


@numba.njit(fastmath=True)
def plain_gram_epochs(H, l1, x, g, epochs):
    """Do the same for a Hessian."""
    for _ in range(epochs):
        for j in range(x.size):
            u = x[j] - g[j] / H[j, j]
            new = np.sign(u) * max(abs(u) - l1 / H[j, j], 0.0)
            if new != x[j]:
                step, x[j] = new - x[j], new
                for i in range(x.size):
                    g[i] += H[j, i] * step


def text(n: int = 20_000, k: int = 200_000, words: int = 100) -> sp.csc_array:
    """Draw documents whose words follow a law of the kind of Zipf's."""
    rng = np.random.default_rng(0)
    columns = np.minimum((rng.pareto(1.0, (n, words)) * 200).astype("i8"), k - 1)
    rows = np.repeat(np.arange(n), words)
    return sp.csc_array(sp.coo_array((rng.random(n * words), (rows, columns.ravel())), shape=(n, k)))


def columns_of(name: str) -> sp.csc_array:
    """Load a set as CSC, or draw the text."""
    return text() if name == "text" else sp.csc_array(libsvm.load(name).X)


def penalty_of(k: int, l1: float) -> np.ndarray:
    """Return the penalty of the Lasso."""
    return np.stack([np.full(k, l1), np.zeros(k), np.full(k, -np.inf), np.full(k, np.inf)])


def measure_columns() -> None:
    """Time sums over columns, and epochs in which few coordinates move and in which all do, in ns per entry."""
    show("data", "rows", "columns", "A' v", "SciPy", "squares", "SciPy", "few move", "weighted", "loop", "all", "loop")
    for name in ("a9a", "w8a", "ijcnn1", "usps", "news20", "text"):
        A = columns_of(name)
        (n, k), triple = A.shape, (A.data, A.indices, A.indptr)
        y, out, weights, squares = np.random.default_rng(0).standard_normal(n), np.empty(k), np.ones(n), np.empty(k)
        times = [fastest(lambda t=triple, y=y, out=out: KERNELS.column_dots(*t, y, out))]
        times.append(fastest(lambda A=A, y=y: A.T @ y))
        times.append(fastest(lambda t=triple, out=squares: KERNELS.column_squares(*t, NONE, out)))
        times.append(fastest(lambda A=A: (A * A).sum(axis=0)))
        for l1, kinds in ((0.1 * float(np.abs(A.T @ y).max()), (NONE, weights)), (0.0, (NONE,))):
            penalty = penalty_of(k, l1)
            for scales in kinds:
                fixed = (*triple, scales, NONE, NONE, squares, penalty)
                times.append(
                    fastest(
                        lambda x, s, fixed=fixed: KERNELS.csc_descent(*fixed, x, s, np.zeros(1), np.empty(EPOCHS)),
                        lambda k=k, y=y: (np.zeros(k), -y),
                    )
                    / EPOCHS
                )
            times.append(
                fastest(
                    lambda x, s, t=triple, q=squares, l1=l1: plain_epochs(*t, q, l1, x, s, EPOCHS),
                    lambda k=k, y=y: (np.zeros(k), -y),
                )
                / EPOCHS
            )
        show(name, n, k, *(time / A.nnz for time in times))


def measure_gram() -> None:
    """Time Gram matrices of all columns and with ten new ones, in ms."""
    show("data", "rows", "columns", "per row", "all", "SciPy", "dense", "ten new", "SciPy")
    for name, most in (("a9a", 0), ("w8a", 0), ("ijcnn1", 0), ("usps", 0), ("news20", 100), ("news20", 1000),
                       ("text", 100), ("text", 1000)):  # fmt: skip
        A = columns_of(name)
        if most:
            A = A[:, np.sort(np.argsort(-np.diff(A.indptr), kind="stable")[:most])]
        (n, k), dense, rows = A.shape, A.toarray(), A.T.tocsr()
        scratch = np.empty(n + 1, "i8"), np.empty(A.nnz, "i4"), np.empty(KERNELS.csc_gram_work(n, k, A.nnz))
        arguments = (*scratch, np.empty((k, k)))

        def gram(first: int, A: Any = A, arguments: Any = arguments) -> None:
            KERNELS.csc_gram(A.data, A.indices, A.indptr, NONE, first, *arguments)

        times = [
            fastest(lambda gram=gram: gram(0)),
            fastest(lambda A=A, rows=rows: (rows @ A).toarray(), repeats=3),
            fastest(lambda dense=dense: dense.T @ dense, repeats=3),
            fastest(lambda gram=gram, k=k: gram(k - 10)),
            fastest(lambda rows=rows, dense=dense, k=k: rows @ dense[:, k - 10 :], repeats=3),
        ]
        show(name, n, k, A.nnz / n, *(time / 1e6 for time in times))


def measure_gram_descent() -> None:
    """Time epochs on a Gram matrix in which few coordinates move and in which most do, in us."""
    show("size", "moving", "numopt", "loop")
    rng = np.random.default_rng(0)
    for k in (50, 200, 1000, 2000):
        A = rng.standard_normal((2 * k, k))
        H, g = A.T @ A, A.T @ rng.standard_normal(2 * k)
        for share in (0.6, 0.01):
            l1 = share * float(np.abs(g).max())
            penalty, x, violations = penalty_of(k, l1), np.zeros(k), np.empty(EPOCHS)
            ours = fastest(
                lambda x, g, H=H, penalty=penalty, v=violations: KERNELS.gram_descent(H, penalty, x, g, v),
                lambda k=k, g=g: (np.zeros(k), g.copy()),
                50,
            )
            KERNELS.gram_descent(H, penalty, x, g.copy(), violations)
            epochs = int(np.isfinite(violations).sum())
            loop = fastest(
                lambda x, g, H=H, l1=l1, epochs=epochs: plain_gram_epochs(H, l1, x, g, epochs),
                lambda k=k, g=g: (np.zeros(k), g.copy()),
                50,
            )
            show(k, int((x != 0).sum()), ours / epochs / 1e3, loop / epochs / 1e3)


def measure_softmax() -> None:
    """Time losses and probabilities, and products, in ns per number."""
    show("dtype", "rows", "classes", "terms", "SciPy", "product", "NumPy")
    rng = np.random.default_rng(0)
    for dtype in ("f8", "f4"):
        for n, k in ((100_000, 2), (60_000, 3), (30_000, 10), (15_000, 20), (1000, 300)):
            margins, V = ((3 * rng.standard_normal((n, k))).astype(dtype) for _ in range(2))
            labels, weights = rng.integers(0, k, n), rng.random(n).astype(dtype)
            loss, P, out = np.empty(n, dtype), np.empty_like(V), np.empty_like(V)

            def with_numpy(P: Any = P, V: Any = V, weights: Any = weights) -> Any:
                return weights[:, None] * (P * V - P * (P * V).sum(axis=1, keepdims=True))

            times = [
                fastest(lambda m=margins, y=labels, loss=loss, P=P: KERNELS.softmax_terms(m, y, loss, P)),
                fastest(lambda m=margins: (scipy.special.softmax(m, axis=1), scipy.special.logsumexp(m, axis=1))),
                fastest(lambda P=P, w=weights, V=V, out=out: KERNELS.softmax_product(P, w, V, out)),
                fastest(with_numpy),
            ]
            show(dtype, n, k, *(time / n / k for time in times))


if __name__ == "__main__":
    measure_columns()
    measure_gram()
    measure_gram_descent()
    measure_softmax()
