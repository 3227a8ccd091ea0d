"""Tiles of the plan P = exp((f + g - C) / reg): what the kernels on dense costs and on points do to a piece of a row.

A tile is short enough to stay in the first-level cache between two loops over it. Two short loops are faster than one
with both bodies: as many iterations overlap as the processor has registers for.

Entries are kept by exponents in natural units, worked out without fast-math flags: their bits do not depend on the
kernel that asks. The sums use 2**(exponent * log2 e), whose argument takes one rounding more.
"""

import numpy as np

from numopt.kernels._numba._jit import REASSOCIATE, jit
from numopt.kernels._numba._local import lowest_bit
from numopt.kernels._numba._math import exp2

TILE = 512
CHUNK = 64  # entries whose fate fits in the bits of an integer
LOG2E = 1.4426950408889634


@jit
def exponents(costs, f_i, g, scale, out):
    """Write (f_i + g - costs) * scale; return False if all powers of 2 with such exponents are seen to be 0.

    An exponent out of range becomes one whose power is about the largest number: sums are then huge, not wrong.
    """
    real = g.dtype.type
    highest = real(np.finfo(g.dtype).maxexp) * (real(1) - np.finfo(g.dtype).eps)
    for j in range(out.size):
        value = ((f_i + g[j]) - real(costs[j])) * scale
        out[j] = highest if value > highest else value
    # Comparisons that NaN passes: it has to be seen. One entry decides whether to look at all of them.
    zero_from, alive = real(np.finfo(g.dtype).minexp - 1), 0
    if not out[out.size // 2] <= zero_from:
        return True
    for j in range(out.size):
        alive |= int(not out[j] <= zero_from)
    return alive != 0


@jit(fastmath=REASSOCIATE)
def exponentiate(tile):
    """Replace exponents of 2 by the powers; return their sum."""
    total = tile.dtype.type(0)
    for j in range(tile.size):
        power = exp2(tile[j])
        tile[j] = power
        total += power
    return total


@jit(fastmath=REASSOCIATE)
def exponentiate_columns(tile, columns):
    """Replace exponents of 2 by the powers and add these to the sums of their columns; return their sum."""
    total = tile.dtype.type(0)
    for j in range(tile.size):
        power = exp2(tile[j])
        tile[j] = power
        columns[j] += power
        total += power
    return total


@jit
def _fold(tile, size, out):
    """Write the maxima of the entries of the two halves of a tile; return how many these are."""
    half = size // 2
    low, high = tile[:half], tile[half : 2 * half]
    for j in range(half):
        out[j] = max(low[j], high[j])
    if size % 2:
        out[0] = max(out[0], tile[size - 1])
    return half


@jit
def largest(tile, spare):
    """Return the maximum of a tile, folded in halves: a running maximum does not vectorise unless NaN is excluded."""
    size = tile.size
    if size > 8:
        size = _fold(tile, size, spare)
        while size > 8:
            size = _fold(spare, size, spare)
        tile = spare
    top = tile[0]
    for j in range(1, size):
        top = max(top, tile[j])
    return top


@jit
def _exponent(cost, f_i, g_j, inv_reg):
    return ((f_i + g_j) - cost) * inv_reg


@jit
def _kept(costs, f_i, g, inv_reg, floor, col_floor):
    """Return which of at most CHUNK entries reach the lower one of the floors of their row and column, as bits."""
    real = g.dtype.type
    bits = np.uint64(0)
    for j in range(costs.size):
        e = _exponent(real(costs[j]), f_i, g[j], real(inv_reg))
        bits |= np.uint64(e >= min(floor, col_floor[j])) << np.uint64(j)
    return bits


@jit
def count(costs, f_i, g, inv_reg, floor, col_floor):
    """Return how many entries of a piece of a row are kept."""
    real = g.dtype.type
    total = 0
    for j in range(costs.size):
        e = _exponent(real(costs[j]), f_i, g[j], real(inv_reg))
        total += int(e >= min(floor, col_floor[j]))
    return total


@jit
def count_columns(costs, f_i, g, inv_reg, floor, col_floor, columns):
    """Count the kept entries and add them to the counts of their columns."""
    real = g.dtype.type
    total = 0
    for j in range(costs.size):
        e = _exponent(real(costs[j]), f_i, g[j], real(inv_reg))
        keep = int(e >= min(floor, col_floor[j]))
        columns[j] += keep
        total += keep
    return total


@jit
def fill_row(costs, f_i, g, inv_reg, floor, col_floor, column, entry, indices, data):
    """Append the kept entries of a piece of a row that starts at `column`: their columns and their exponents of 2.

    A branch per entry would be mispredicted about once per kept entry; here the bits lead from one to the next.
    """
    real = g.dtype.type
    scale, one = real(inv_reg * LOG2E), np.uint64(1)
    for first in range(0, costs.size, CHUNK):
        last = min(first + CHUNK, costs.size)
        bits = _kept(costs[first:last], f_i, g[first:last], inv_reg, floor, col_floor[first:last])
        while bits:
            j = first + np.int64(lowest_bit(bits))
            bits &= bits - one
            indices[entry] = column + j
            data[entry] = _exponent(real(costs[j]), f_i, g[j], scale)
            entry += 1
    return entry
