"""Symmetric over-relaxation: as sweeps that read each triangle once, and as a preconditioner."""

import array_api_compat

from numopt._typing import Array
from numopt.kernels._reference._sweeps import run_sweeps
from numopt.kernels._reference._triangles import row_product, solve


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
) -> None:
    """Sweep over the rows forward and backward, each half with the other triangle's product of the half before.

    `delta` holds L x in its first half, the changes of the forward half in its second.
    """
    xp = array_api_compat.array_namespace(ldata, x)
    n = x.shape[0]
    lower, change = delta[:n], delta[n:]

    def update(i: int, forward: bool) -> float:
        if forward:
            lower[i] = row_product(ldata, lindices, lindptr, i, x)
        else:
            upper[i] = row_product(udata, uindices, uindptr, i, x)
        step = b[i] - lower[i] - upper[i] - x[i] / inverse[i]
        moved = x[i] + omega * inverse[i] * step
        residual = 0.0
        if forward:
            # The rows before have moved: what they were before is what the residual needs.
            residual = float(xp.abs(step + row_product(ldata, lindices, lindptr, i, change))) ** 2
            change[i] = moved - x[i]
        x[i] = moved
        return residual

    run_sweeps(update, n, 0, norms)


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
) -> None:
    """Solve with both triangular factors: z = (2 - omega) / omega S (I / omega + U)^-1 (I / omega + L)^-1 S r."""
    z[...] = scale * r
    solve(ldata, lindices, lindptr, omega, z, upper=False)
    solve(udata, uindices, uindptr, omega, z, upper=True)
    z[...] = (2 - omega) / omega * (scale * z)
