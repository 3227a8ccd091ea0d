"""Row-action (Kaczmarz) steps: one block per call, whatever the size."""

from numopt._typing import Array
from numopt.kernels._cuda import _build

# More threads wait longer at the barrier of each step than they save in the dot product.
_MAX_BLOCK = 256


def row_kaczmarz(
    A: Array, b: Array, norms2: Array, rows: Array, x: Array, *, launch: _build.Launch = _build.launch
) -> None:
    """Project `x` onto the hyperplanes of the given rows, one after the other."""
    n = int(x.shape[0])
    if n == 0 or rows.shape[0] == 0:
        return
    template = (A.dtype, _build.capacity(n, A.dtype))
    block = _build.whole_warps(n, _MAX_BLOCK)
    launch("kaczmarz.cu", "row_kaczmarz", template, 1, block, (A, b, norms2, rows, x, int(rows.shape[0]), n))


def csr_row_kaczmarz(
    data: Array,
    indices: Array,
    indptr: Array,
    b: Array,
    norms2: Array,
    rows: Array,
    x: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Project `x` onto the hyperplanes of the given rows of a CSR matrix, one after the other."""
    n, n_rows = int(x.shape[0]), int(b.shape[0])
    if n == 0 or rows.shape[0] == 0:
        return
    template = (data.dtype, indices.dtype, _build.capacity(n, data.dtype))
    # As many threads as a row has entries on average: a longer row takes a few turns.
    block = _build.whole_warps(int(data.shape[0]) // n_rows, _MAX_BLOCK)
    args = (data, indices, indptr, b, norms2, rows, x, int(rows.shape[0]), n)
    launch("kaczmarz.cu", "csr_row_kaczmarz", template, 1, block, args)
