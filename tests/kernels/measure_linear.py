"""Time the CPU kernels of linear systems next to PyAMG and SciPy; docs/kernels.rst shows this.

Run by hand: `python tests/kernels/measure_linear.py [THREADS]`. Every figure is the fastest of some calls: with one
thread by the CPU time of the process, which other work on the machine disturbs least, with several by the clock.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from pyamg.relaxation import relaxation

import numopt
from numopt.kernels import bind

KERNELS = bind(np)
THREADS = int(sys.argv[1]) if len(sys.argv) > 1 else 1
TOGETHER = 8


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


def poisson(m: int, dim: int) -> sp.csr_array:
    """Return the Laplacian of a grid with m points a side, by differences of second order."""
    second, A = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(m, m)), sp.csr_array((1, 1))
    for _ in range(dim):
        A = sp.csr_array(sp.kron(A, sp.eye_array(m)) + sp.kron(sp.eye_array(A.shape[0]), second))
    return A


def red_black(m: int, dim: int) -> tuple[sp.csr_array, np.ndarray]:
    """Return that matrix with the points of even coordinate sum first, and where its classes begin."""
    colours = sum(np.ogrid[(slice(m),) * dim]).ravel() % 2
    order = np.argsort(colours, kind="stable")
    A = sp.csr_array(poisson(m, dim)[order][:, order])
    return A, np.append(0, np.cumsum(np.bincount(colours)))


def measure_sor(m: int, dim: int, coloured: bool, scalar: str = "f8") -> None:
    """Time forward sweeps in ns per row: one a call, several a call, PyAMG's sweep, SciPy's residual."""
    A, classes = red_black(m, dim) if coloured else (poisson(m, dim), np.empty(0, "i8"))
    A.sort_indices()
    A, n = A.astype(scalar), A.shape[0]
    indices, indptr = A.indices.astype("i4"), A.indptr.astype("i4")
    split = np.flatnonzero(indices == np.repeat(np.arange(n, dtype="i4"), np.diff(indptr))).astype("i4")
    matrix = sp.csr_matrix((A.data, indices, indptr), shape=A.shape)
    b, x, delta = np.random.default_rng(0).standard_normal(n).astype(scalar), np.zeros(n, scalar), np.empty(n, scalar)
    rows = (A.data, indices, indptr, split, 1 / A.diagonal(), classes, b)

    def sweeps(count: int) -> float:
        norms = np.empty(count)
        return fastest(lambda: KERNELS.sor_sweeps(*rows, 1.5, 1, x, delta, norms)) / (count * n)

    pyamg = fastest(lambda: relaxation.sor(matrix, x, b, 1.5)) / n
    residual = fastest(lambda: b - matrix @ x) / n
    show("red-black" if coloured else "natural", f"{dim}-D", n, scalar, sweeps(1), sweeps(TOGETHER), pyamg, residual)


if __name__ == "__main__":
    with numopt.set_threads(THREADS):
        for with_classes in (False, True):
            for points, dimensions in ((100, 2), (1000, 2), (100, 3)):
                measure_sor(points, dimensions, with_classes)
        measure_sor(1000, 2, False, "f4")
