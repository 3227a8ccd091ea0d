"""Time the CPU kernels of linear systems next to PyAMG and SciPy; docs/kernels.rst shows this.

Run by hand: `python tests/kernels/measure_linear.py [THREADS]`. Every figure is the fastest of some calls: with one
thread by the CPU time of the process, which other work on the machine disturbs least, with several by the clock.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from pyamg.relaxation import relaxation

import numopt
from numopt.kernels import bind
from numopt.linear import SSORPreconditioner, Stencil, cg, sor
from numopt.linear._pattern import Layout
from numopt.linear._relaxation import ORDERS, make_relaxation
from numopt.linear._system import check_system
from numopt.tuning import BanditTuner

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


def measure_relaxations(m: int) -> None:
    """Time sweeps of all kinds with their residuals on a square grid, in ns per row, eight a call."""
    stencil = Stencil((m, m), (4.0, -1.0, -1.0, -1.0, -1.0))
    b, A = np.random.default_rng(0).standard_normal(m * m), stencil.tocsr()
    for name, matrix, layout, order in (
        ("points", A, Layout(), "forward"),
        ("symmetric", A, Layout(), "symmetric"),
        ("stencil", stencil, Layout(), "forward"),
        ("stencil, red-black", stencil, Layout("red-black"), "forward"),
        ("lines", A, Layout("line", m), "forward"),
        *((f"blocks of {size}", A, Layout("block", size), "forward") for size in (2, 4, 8, 32)),
    ):
        engine = make_relaxation(check_system(matrix, b, None), layout, 1.5, ORDERS[order])
        time_of = fastest(lambda engine=engine: engine.sweep(TOGETHER))  # type: ignore[misc]
        show(f"{name:>20}", m * m, time_of / (TOGETHER * m * m))


def measure_cg(m: int, omega: float) -> None:
    """Time whole solves to 1e-8 in ms: Eisenstat's form, SciPy with the same preconditioner, SciPy without."""
    A = Stencil((m, m), (4.0, -1.0, -1.0, -1.0, -1.0)).tocsr()
    b = np.random.default_rng(0).standard_normal(m * m)
    M = spla.aslinearoperator(SSORPreconditioner(A, omega))
    fused = fastest(lambda: cg(A, b, rtol=1e-8, ssor_omega=omega)) * 1e-6
    outside, plain = (fastest(lambda M=M: spla.cg(A, b, rtol=1e-8, M=M)) * 1e-6 for M in (M, None))  # type: ignore[misc]
    show("cg", m * m, omega, fused, outside, plain)


def measure_batch(count: int, m: int) -> None:
    """Time many solves to 1e-8 by SOR in us a system: in one call, one by one, PyAMG with known counts."""
    rng = np.random.default_rng(0)
    A = Stencil((m, m), (4.0, -1.0, -1.0, -1.0, -1.0)).tocsr()
    matrices = [sp.csr_array(A + c * sp.eye_array(m * m, format="csr")) for c in rng.uniform(0, 0.5, count)]
    b = rng.standard_normal((count, m * m))
    nit = sor(matrices, b, omega=1.6).nit
    pairs = [(sp.csr_matrix(matrix), side, int(k)) for matrix, side, k in zip(matrices, b, nit, strict=True)]

    def one_by_one() -> None:
        for matrix, side in zip(matrices, b, strict=True):
            sor(matrix, side, omega=1.6)

    def pyamg_sweeps() -> None:
        for matrix, side, k in pairs:
            relaxation.sor(matrix, np.zeros_like(side), side, 1.6, iterations=k)

    together = fastest(lambda: sor(matrices, b, omega=1.6))
    show("batch", count, m * m, *(t * 1e-3 / count for t in (together, fastest(one_by_one), fastest(pyamg_sweeps))))


def measure_bandits(rounds: int) -> None:
    """Time ask and tell together in us, 20 arms, after some rounds."""
    rng = np.random.default_rng(0)
    for method, bounds in (("tsallis-inf", None), ("chebcb", (0.0, 1.0))):
        tuner = BanditTuner(np.linspace(1, 1.95, 20), method=method, context_bounds=bounds, rng=0)

        def turn(tuner: BanditTuner = tuner, bounds: object = bounds) -> None:
            context = None if bounds is None else float(rng.random())
            value = tuner.ask(context)
            tuner.tell(10 + abs(value - 1.5) * 100)

        for _ in range(rounds):
            turn()
        show(method, rounds, fastest(lambda turn=turn: [turn() for _ in range(100)]) * 1e-5)  # type: ignore[misc]


if __name__ == "__main__":
    with numopt.set_threads(THREADS):
        for with_classes in (False, True):
            for points, dimensions in ((100, 2), (1000, 2), (100, 3)):
                measure_sor(points, dimensions, with_classes)
        measure_sor(1000, 2, False, "f4")
        for points in (100, 1000):
            measure_relaxations(points)
        for points, relaxation_factor in ((100, 1.9), (200, 1.95), (400, 1.97)):
            measure_cg(points, relaxation_factor)
        for systems, points in ((1000, 10), (500, 32)):
            measure_batch(systems, points)
        for turns in (200, 2000, 20000):
            measure_bandits(turns)
