"""What a solver of entropic transport asks of its marginals: gaps, values, slopes, and where kept entries go.

Two or three passes over vectors that are in the cache: sums vectorise by leave to reorder, and maxima, which that leave
does not cover, by running maxima side by side.
"""

import numpy as np

from numopt.kernels._numba._jit import REASSOCIATE, jit
from numopt.kernels._numba._local import carray, local_memory

LANES = 16


@jit
def _largest(x):
    """Return the largest absolute value, NaN left out."""
    lanes = carray(local_memory(x, LANES), LANES)
    lanes[:] = 0
    in_lanes = x.size - x.size % LANES
    for first in range(0, in_lanes, LANES):
        for k in range(LANES):
            size = abs(x[first + k])
            lanes[k] = size if size > lanes[k] else lanes[k]
    for i in range(in_lanes, x.size):
        size = abs(x[i])
        lanes[0] = size if size > lanes[0] else lanes[0]
    return max(lanes)


@jit(fastmath=REASSOCIATE)
def _side_sums(weights, potential, sums, gap):
    """Write the gap; return the sums of weights * potential, |gap| and sums."""
    value = size = mass = 0.0
    for i in range(gap.size):
        gap[i] = weights[i] - sums[i]
        value += np.float64(weights[i]) * np.float64(potential[i])
        size += abs(np.float64(gap[i]))
        mass += np.float64(sums[i])
    return value, size, mass


@jit
def side_terms(weights, potential, sums, gap, out):
    """Compute what the marginals of one side lack, its size, and the dual value's share of the side."""
    out[0], out[1], out[3] = _side_sums(weights, potential, sums, gap)
    out[2], out[4] = _largest(gap), _largest(potential)


@jit(fastmath=REASSOCIATE)
def _step_sums(direction, gap, sums):
    """Return the sums of gap * direction and sums * direction**2."""
    slope = curvature = 0.0
    for i in range(direction.size):
        step = np.float64(direction[i])
        slope += np.float64(gap[i]) * step
        curvature += np.float64(sums[i]) * (step * step)
    return slope, curvature


@jit
def step_terms(direction, gap, sums, out):
    """Compute the size of a step of one side's potential, and its slope and diagonal curvature."""
    out[0] = _largest(direction)
    out[1], out[2] = _step_sums(direction, gap, sums)


@jit
def _accumulate(offsets):
    """Turn the counts of all but the last element into running sums that leave each out, the total at the end."""
    total = 0
    for i in range(offsets.size):
        count = offsets[i]
        offsets[i] = total
        total += count


@jit
def kept_offsets(row_count, work, indptr, tindptr):
    """Turn counts of kept entries into the offsets of CSR and CSC and the starts of each slice."""
    n, m = row_count.size, tindptr.size - 1
    indptr[:n], indptr[n] = row_count, 0
    _accumulate(indptr)
    tindptr[:] = 0
    for part in range(work.shape[0]):
        for j in range(m):
            tindptr[j] += work[part, j]
    _accumulate(tindptr)
    for part in range(work.shape[0]):
        for j in range(m):
            work[part, j], tindptr[j] = tindptr[j], tindptr[j] + work[part, j]
    # The running starts have reached those of the next column.
    for j in range(m, 0, -1):
        tindptr[j] = tindptr[j - 1]
    tindptr[0] = 0
