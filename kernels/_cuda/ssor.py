"""Symmetric over-relaxation, as sweeps and as a preconditioner: all of a call in one launch."""

from numopt._typing import Array
from numopt.kernels._cuda import _build, _sweeps

_BLOCK = 256
# Rows of a triangle of so many entries on average are shared by 8 lanes, as in sor.py.
_LONG_ROW = 8


def ssor_sweeps(
    ldata: Array,
    lindices: Array,
    lindptr: Array,
    udata: Array,
    uindices: Array,
    uindptr: Array,
    inverse: Array,
    classes: Array,
    b: Array,
    omega: float,
    x: Array,
    upper: Array,
    delta: Array,
    norms: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Sweep over the rows forward and backward, each half with the other triangle's product of the half before."""
    n, count = int(x.shape[0]), int(norms.shape[0])
    if n == 0 or count == 0:
        norms[...] = 0
        return
    lanes = 8 if int(ldata.shape[0]) >= _LONG_ROW * n else 1
    template = (ldata.dtype, lindices.dtype, lanes)
    plan = _sweeps.plan(launch, "ssor.cu", "ssor_sweeps", template, _BLOCK, classes, n, lanes, x)
    args = (ldata, lindices, lindptr, udata, uindices, uindptr, inverse, classes, b, float(omega))
    outputs = (x, upper, delta, norms)
    scratch = (plan.n_classes, n, count, plan.partial, plan.arrived)
    launch("ssor.cu", "ssor_sweeps", template, plan.grid, plan.block, (*args, *outputs, *scratch), cooperative=True)


def ssor_solve(
    ldata: Array,
    lindices: Array,
    lindptr: Array,
    udata: Array,
    uindices: Array,
    uindptr: Array,
    scale: Array,
    classes: Array,
    omega: float,
    r: Array,
    z: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Solve with both triangular factors: z = (2 - omega) / omega S (I / omega + U)^-1 (I / omega + L)^-1 S r."""
    n = int(z.shape[0])
    if n == 0:
        return
    lanes = 8 if int(ldata.shape[0]) >= _LONG_ROW * n else 1
    template = (ldata.dtype, lindices.dtype, lanes)
    plan = _sweeps.plan(launch, "ssor.cu", "ssor_solve", template, _BLOCK, classes, n, lanes, z)
    args = (ldata, lindices, lindptr, udata, uindices, uindptr, scale, classes, float(omega), r, z)
    scratch = (plan.n_classes, n, plan.arrived)
    launch("ssor.cu", "ssor_solve", template, plan.grid, plan.block, (*args, *scratch), cooperative=True)
