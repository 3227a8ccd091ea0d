"""SOR for many systems of one pattern: the sweeps of one after the other."""

import array_api_compat

from numopt._typing import Array
from numopt.kernels._reference.sor import sor_sweeps

DIVERGED = 1e10


def sor_batch_work(n_systems: int, n: int, nnz: int) -> int:
    """Return the size of the scratch: the changes of one system."""
    return n


def sor_batch(
    data: Array,
    indices: Array,
    indptr: Array,
    split: Array,
    classes: Array,
    which: Array,
    b: Array,
    omega: Array,
    order: int,
    target: Array,
    maxiter: int,
    x: Array,
    work: Array,
    nit: Array,
    norms: Array,
) -> None:
    """Sweep until the residual before a sweep ends it."""
    xp = array_api_compat.array_namespace(data, x)
    device = array_api_compat.device(x)
    for s in range(x.shape[0]):
        values, unknown = data[int(which[s]), :], x[s, :]
        inverse = 1 / xp.take(values, split)
        norm2 = xp.empty(1, dtype=xp.float64, device=device)
        k, limit = 0, 0.0
        while True:
            sor_sweeps(
                values, indices, indptr, split, inverse, classes, b[s, :], float(omega[s]), order, unknown,
                work[: x.shape[1]], norm2,
            )  # fmt: skip
            norm = float(norm2[0]) ** 0.5
            if k == 0:
                limit = DIVERGED * norm
            # Not >: NaN ends it.
            if not (norm > float(target[s]) and k < maxiter and norm <= limit):
                break
            k += 1
        nit[s], norms[s] = k, norm
