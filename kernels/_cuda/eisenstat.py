"""Conjugate gradients preconditioned by symmetric over-relaxation, in Eisenstat's form: a slice in one launch."""

from numopt._typing import Array
from numopt.kernels._cuda import _build, _sweeps

_BLOCK = 256
# Rows of a triangle of so many entries on average are shared by 8 lanes, as in ssor.py.
_LONG_ROW = 8


def eisenstat_pcg(
    ldata: Array,
    lindices: Array,
    lindptr: Array,
    udata: Array,
    uindices: Array,
    uindptr: Array,
    root: Array,
    classes: Array,
    omega: float,
    check: int,
    target: float,
    maxiter: int,
    x: Array,
    r: Array,
    p: Array,
    work: Array,
    info: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Take steps of conjugate gradients for K^-1 A K^-H."""
    n = int(x.shape[0])
    lanes = 8 if n > 0 and int(ldata.shape[0]) >= _LONG_ROW * n else 1
    template = (ldata.dtype, lindices.dtype, lanes)
    plan = _sweeps.plan(launch, "eisenstat.cu", "eisenstat_pcg", template, _BLOCK, classes, n, lanes, x)
    inputs = (ldata, lindices, lindptr, udata, uindices, uindptr, root, classes, float(omega))
    limits = (int(check), float(target), int(maxiter))
    partial = _build.scratch(x, (3, plan.grid), "float64")
    args = (*inputs, *limits, x, r, p, work, info, plan.n_classes, n, partial, plan.arrived)
    launch("eisenstat.cu", "eisenstat_pcg", template, plan.grid, plan.block, args, cooperative=True)
