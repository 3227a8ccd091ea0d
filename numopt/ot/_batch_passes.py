"""Passes over all pairs of some problems of a batch: plans, sweeps."""

import math

from numopt import kernels
from numopt._array import device_of, namespace
from numopt._typing import Array, Namespace
from numopt.ot._batch_problem import Batch, Floats, Ints, chosen, masked

# In one burst a scaling grows by at most exp(this); the absorbed potentials go on from there.
LARGEST_SCALING = 40.0


def plans(batch: Batch, ids: Ints, f: Array, g: Array, reg: Floats) -> tuple[Array, Array, Array]:
    """Plans of some problems at their potentials, with row and column sums."""
    xp: Namespace = batch.xp
    if batch.rows is not None:
        f = masked(xp, f, chosen(batch.rows, ids), -math.inf)
    if batch.cols is not None:
        g = masked(xp, g, chosen(batch.cols, ids), -math.inf)
    P = exponentials(exponents(batch.costs(ids), f, g, batch.device_array(1.0 / reg)))
    return P, xp.sum(P, axis=2), xp.sum(P, axis=1)


def log_sweep(batch: Batch, ids: Ints, g: Array, reg: Floats) -> tuple[Array, Array]:
    """One sweep by log-sum-exp, which no range of the costs can overflow."""
    xp, out = batch.xp, []
    for part in batch.chunks(ids.size):
        some = ids[part]
        rows, cols = (None if side is None else chosen(side, some) for side in (batch.rows, batch.cols))
        C, b = batch.costs(some), chosen(batch.b, some)
        regs, inv_reg = batch.device_array(reg[part])[:, None], batch.device_array(1.0 / reg[part])
        lse = logsumexp(exponents(C, None, masked(xp, g[part, :], cols, -math.inf), inv_reg), 2)
        f = masked(xp, regs * (chosen(batch.log_a, some) - masked(xp, lse, rows, 0.0)), rows, 0.0)
        lse = logsumexp(exponents(C, masked(xp, f, rows, -math.inf), None, inv_reg), 1)
        new_g = masked(xp, regs * (chosen(batch.log_b, some) - masked(xp, lse, cols, 0.0)), cols, 0.0)
        # Near the gauge that the answer gets, so that its last shift rounds nothing away.
        t = xp.sum(b * new_g, axis=1, keepdims=True) / xp.sum(b, axis=1, keepdims=True)
        out.append((masked(xp, f + t, rows, 0.0), masked(xp, new_g - t, cols, 0.0)))
    return xp.concat([f for f, _ in out]), xp.concat([g for _, g in out])


def kernel_sweeps(
    batch: Batch, ids: Ints, f: Array, g: Array, reg: Floats, K: Array, r: Array, count: int
) -> tuple[Array, Array]:
    """Sweeps on the plans at (f, g) as kernels, two products with each a sweep; `r` are their row sums."""
    xp = batch.xp
    a, row_floor = _bounded(xp, chosen(batch.a, ids), None if batch.rows is None else chosen(batch.rows, ids))
    b, col_floor = _bounded(xp, chosen(batch.b, ids), None if batch.cols is None else chosen(batch.cols, ids))
    u, v = a / xp.maximum(r, row_floor), xp.ones_like(b)
    for sweep in range(count):
        if sweep:
            u = a / xp.maximum(xp.matmul(K, v[:, :, None])[:, :, 0], row_floor)
        v = b / xp.maximum(xp.matmul(u[:, None, :], K)[:, 0, :], col_floor)
    regs = batch.device_array(reg)[:, None]
    return f + regs * xp.log(u), g + regs * xp.log(v)


def _bounded(xp: Namespace, weights: Array, mask: Array | None) -> tuple[Array, Array]:
    """Weights and the floors of the sums that divide them; both 1 for atoms without mass, whose scaling stays 1."""
    return masked(xp, weights, mask, 1.0), masked(xp, weights * math.exp(-LARGEST_SCALING), mask, 1.0)


def exponents(C: Array, f: Array | None, g: Array | None, inv_reg: Array) -> Array:
    """(C - f - g') / reg for each problem, a new array; a potential that is None counts as zero."""
    if f is None:
        assert g is not None
        N = C - g[:, None, :]
    elif g is None:
        N = C - f[:, :, None]
    else:
        # As in the kernels: potentials first, so that their gauge rounds nothing away.
        N = C - (f[:, :, None] + g[:, None, :])
    N *= inv_reg[:, None, None]
    return N


def exponentials(N: Array) -> Array:
    """exp(-N), by the kernel that makes plans: several times as fast as NumPy's exponential."""
    if 0 in N.shape:
        return N
    xp = namespace(N)
    k = kernels.bind(xp)
    # Rows as long as can be: the kernel works on a problem a row, whose potentials are zero and sums of no interest.
    costs = xp.reshape(N, (N.shape[0], -1))
    rows, columns = int(costs.shape[0]), int(costs.shape[1])
    P, r, c = xp.empty_like(costs), xp.zeros_like(costs[:, 0]), xp.empty_like(costs[0, :])
    work = xp.empty((int(k.gibbs_parts(rows, columns)), columns), dtype=N.dtype, device=device_of(N))
    k.gibbs_plan(costs, xp.zeros_like(r), xp.zeros_like(c), 1.0, P, r, work, c)
    return xp.reshape(P, N.shape)


def logsumexp(N: Array, axis: int) -> Array:
    """log(sum(exp(-N))) along an axis; -inf where all of N is inf. Overwrites N."""
    xp = namespace(N)
    least = xp.min(N, axis=axis, keepdims=True)
    # A slice of inf has no least exponent to take out: inf - inf is NaN.
    least = masked(xp, least, xp.isfinite(least), 0.0)
    N -= least
    total = xp.sum(exponentials(N), axis=axis)
    some = total > 0
    return masked(xp, xp.log(masked(xp, total, some, 1.0)) - xp.squeeze(least, axis=axis), some, -math.inf)
