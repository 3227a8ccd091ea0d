"""SOR for many systems of one pattern: one block per system, all sweeps in one launch."""

from typing import Any

import numpy as np

from numopt._typing import Array
from numopt.kernels._cuda import _build

_MAX_BLOCK = 256
# Shared memory in numbers: a multiprocessor holds more blocks of small systems if these do not take the most.
_CAPACITIES = (512, 2048)


def _held(n: int, dtype: Any) -> tuple[int, int]:
    """Return how many vectors of size `n` a block keeps in shared memory, and in how many numbers."""
    most = _build.capacity(1, dtype)
    for vectors in (2, 1):
        for numbers in (*_CAPACITIES, most):
            if vectors * n <= min(numbers, most):
                return vectors, min(numbers, most)
    return 0, 0


def sor_batch_work(n_systems: int, n: int, nnz: int) -> int:
    """Return the size of the scratch: the changes of every system, unless shared memory has room for any dtype's."""
    return 0 if _held(n, np.complex128)[0] == 2 else n_systems * n


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
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Sweep until the residual before a sweep ends it."""
    n_systems, n = (int(size) for size in x.shape)
    if n_systems == 0:
        return
    n_classes = max(int(classes.shape[0]) - 1, 0)
    # A thread per row of a class of average size.
    block = _build.whole_warps(-(-n // n_classes) if n_classes > 0 else 1, _MAX_BLOCK)
    args = (data, indices, indptr, split, classes, which, b, omega, order, target, maxiter, x, work, nit, norms)
    sizes = (n_systems, n, int(indices.shape[0]), n_classes)
    template = (data.dtype, indices.dtype, *_held(n, data.dtype))
    launch("sor_batch.cu", "sor_batch", template, n_systems, block, (*args, *sizes))
