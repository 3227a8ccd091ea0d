"""Successive over-relaxation with the norm of the residual found inside the sweep: all sweeps in one launch."""

from numopt._typing import Array
from numopt.kernels._cuda import _build, _sweeps

_BLOCK = 256
# Rows of so many entries on average are shared by 8 lanes; above it a thread for each does not keep its cache lines.
_LONG_ROW = 16


def sor_sweeps(
    data: Array,
    indices: Array,
    indptr: Array,
    split: Array,
    inverse: Array,
    classes: Array,
    b: Array,
    omega: float,
    order: int,
    x: Array,
    delta: Array,
    norms: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Sweep over the rows: x_i += omega * inverse_i * (b_i - A_i x)."""
    n, count = int(x.shape[0]), int(norms.shape[0])
    if n == 0 or count == 0:
        norms[...] = 0
        return
    lanes = 8 if int(data.shape[0]) >= _LONG_ROW * n else 1
    template = (data.dtype, indices.dtype, lanes)
    plan = _sweeps.plan(launch, "sor.cu", "sor_sweeps", template, _BLOCK, classes, n, lanes, x)
    args = (data, indices, indptr, split, inverse, classes, b, float(omega), order, x, delta, norms)
    scratch = (plan.n_classes, n, count, plan.partial, plan.arrived)
    launch("sor.cu", "sor_sweeps", template, plan.grid, plan.block, (*args, *scratch), cooperative=True)


def split_values(
    data: Array,
    indices: Array,
    indptr: Array,
    split: Array,
    scale: Array,
    lindptr: Array,
    uindptr: Array,
    ldata: Array,
    udata: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Scale a matrix from both sides and write the values of its strict triangles."""
    n = int(scale.shape[0])
    if n == 0:
        return
    args = (data, indices, indptr, split, scale, lindptr, uindptr, ldata, udata, n)
    launch("sor.cu", "split_values", (data.dtype, indices.dtype), -(-n // _BLOCK), _BLOCK, args)
