"""Time the kernels on graphs and forests on a lattice of 1000 x 1000: ``python tests/kernels/measure_forest.py``."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from numopt.coordinate._forest import ForestFactor, colour_partition, lattice_comb
from numopt.coordinate._sweeps import _Sweep
from numopt.kernels import bind

SIDE = 1000


def best(call: Callable[[], Any], runs: int = 5) -> float:
    """Return the least CPU time in milliseconds."""
    call()
    times = []
    for _ in range(runs):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return 1e3 * min(times)


def lattice() -> sp.csr_array:
    """Return the Laplacian with a little more on the diagonal."""
    second = sp.diags_array([np.ones(SIDE - 1)] * 2, offsets=[-1, 1], shape=(SIDE, SIDE))
    W = sp.csr_array(sp.kron(sp.eye_array(SIDE), second) + sp.kron(second, sp.eye_array(SIDE)))
    W.eliminate_zeros()
    A = sp.csr_array(sp.diags_array(W.sum(axis=1) + 0.04) - W)
    A.sort_indices()
    return A


def main() -> None:
    """Print a line for each."""
    k, A, rng = bind(np), lattice(), np.random.default_rng(0)
    n = A.shape[0]
    pattern = (A.indices, A.indptr)
    order, random = np.arange(n), rng.permutation(n)
    forests, work = np.empty(n, "i4"), np.empty((3, n + 1), "i4")
    colours, queue, info = np.empty(n, "i4"), np.empty(n + 1, "i4"), np.empty(1, "i8")
    print(f"grow_forests {best(lambda: k.grow_forests(*pattern, order, n, forests, work)):.0f} ms")
    print(f"  in random order {best(lambda: k.grow_forests(*pattern, random, n, forests, work), 2):.0f} ms")
    print(f"two_colours {best(lambda: k.two_colours(*pattern, colours, queue, info)):.0f} ms")
    counts = np.empty(n + 1, "i8")
    print(f"balanced_colours {best(lambda: k.balanced_colours(*pattern, order, colours, queue, counts)):.0f} ms")
    comb = lattice_comb(SIDE, SIDE)
    rhs = rng.standard_normal(comb[0].size)
    factor = ForestFactor(A, comb[0], like=rhs)
    block = sp.csc_matrix(A[comb[0]][:, comb[0]])
    lu = spla.splu(block)
    x = rhs.copy()
    own = best(lambda: k.forest_solve(*factor._trees, *factor._factors, x))
    print(f"forest_solve {own:.2f} ms, SuperLU {best(lambda: lu.solve(rhs)):.1f}")
    diagonal, entries, links, inverse = (np.ones(rhs.size) for _ in range(4))
    diagonal *= 4
    own = best(lambda: k.forest_factor(*factor._trees, diagonal, entries, links, inverse, info))
    print(f"forest_factor {own:.2f} ms, SuperLU {best(lambda: spla.splu(block), 1):.0f}")
    r, z, scratch = rng.standard_normal(n), np.empty(n), np.empty(n)
    for name, blocks in (("combs", comb), ("colours", colour_partition(A))):
        sweep = _Sweep(A, blocks, np.empty(0), 1.0, True)
        print(f"forest_ssor, {name} {best(lambda s=sweep: k.forest_ssor(*s._matrix, r, z, scratch)):.1f} ms")
    print(f"SciPy's A @ x {best(lambda: A @ r):.1f} ms")
    penalty = np.stack([np.zeros(n), np.full(n, -np.inf), np.full(n, np.inf)])
    scores, heap, places, chosen = np.empty(n), np.empty(n, "i4"), np.empty(n, "i4"), np.empty(200_000, "i8")
    curvature = A.diagonal()

    def steps() -> None:
        point, g = np.zeros(n), r.copy()
        k.greedy_steps(A.data, *pattern, curvature, penalty, 2, 1, point, g, scores, heap, places, chosen)

    print(
        f"greedy_steps {1e3 * best(steps, 2) / chosen.size:.1f} us a step, argmax {1e3 * best(lambda: r.argmax()):.0f}"
    )


if __name__ == "__main__":
    main()
