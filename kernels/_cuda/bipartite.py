"""The Schur complement of the Newton system of a sparse plan: products, and conjugate gradients in one launch."""

from numopt._typing import Array
from numopt.kernels._cuda import _build

_BLOCK = 256


def _lanes(entries: int, items: int) -> int:
    """Return how many lanes share a row or column: a power of two about its mean number of entries."""
    lanes = 1
    while lanes < 32 and 2 * lanes * items <= entries:
        lanes *= 2
    return lanes


def _grid(items: int, lanes: int) -> int:
    return -(-items * lanes // _BLOCK)


def schur_product(
    data: Array,
    indices: Array,
    indptr: Array,
    tdata: Array,
    tindices: Array,
    tindptr: Array,
    r: Array,
    c: Array,
    x: Array,
    z: Array,
    y: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Compute z = (P' x) / c and y = r * x - P z."""
    n, m, entries = int(x.shape[0]), int(z.shape[0]), int(data.shape[0])
    lanes = _lanes(entries, m)
    args: tuple[object, ...] = (tdata, tindices, tindptr, c, x, z, m, lanes)
    launch("bipartite.cu", "schur_columns", (data.dtype,), _grid(m, lanes), _BLOCK, args)
    lanes = _lanes(entries, n)
    args = (data, indices, indptr, r, x, z, y, n, lanes)
    launch("bipartite.cu", "schur_rows", (data.dtype,), _grid(n, lanes), _BLOCK, args)


def schur_pcg(
    data: Array,
    indices: Array,
    indptr: Array,
    tdata: Array,
    tindices: Array,
    tindptr: Array,
    r: Array,
    c: Array,
    rhs: Array,
    diagonal: Array,
    rtol: float,
    maxiter: int,
    x: Array,
    work: Array,
    columns: Array,
    info: Array,
    *,
    launch: _build.Launch = _build.launch,
    block: int = _BLOCK,
) -> None:
    """Solve S x = rhs by preconditioned conjugate gradients from zero, all of it in one cooperative launch."""
    n, m, entries = int(rhs.shape[0]), int(columns.shape[0]), int(data.shape[0])
    lanes = (_lanes(entries, n), _lanes(entries, m))
    most = launch.resident("bipartite.cu", "schur_pcg", (data.dtype,), block)
    # No more blocks than have work: each one makes the barriers slower.
    grid = max(1, min(most, -(-max(n * lanes[0], m * lanes[1]) // block)))
    partial = _build.scratch(x, 3 * grid, "float64")
    arrived = _build.scratch(x, 1, "uint64")
    arrived[...] = 0
    csr = (data, indices, indptr, tdata, tindices, tindptr)
    args = (*csr, r, c, rhs, diagonal, float(rtol), maxiter, x, work, columns, info, partial, arrived, n, m, *lanes)
    launch("bipartite.cu", "schur_pcg", (data.dtype,), grid, block, args, cooperative=True)
