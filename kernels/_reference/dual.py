"""What a solver of entropic transport asks of its marginals: gaps, values, slopes, and where kept entries go."""

from types import ModuleType

import array_api_compat

from numopt._typing import Array


def _doubles(*arrays: Array) -> tuple[ModuleType, list[Array]]:
    """Return the namespace and the arrays in double precision."""
    xp = array_api_compat.array_namespace(*arrays)
    return xp, [xp.astype(array, xp.float64, copy=False) for array in arrays]


def _largest(x: Array) -> float:
    """Return the largest absolute value, NaN left out."""
    xp = array_api_compat.array_namespace(x)
    return float(xp.max(xp.where(xp.isnan(x), xp.zeros_like(x), xp.abs(x))))


def side_terms(weights: Array, potential: Array, sums: Array, gap: Array, out: Array) -> None:
    """Compute what the marginals of one side lack, its size, and the dual value's share of the side."""
    gap[...] = weights - sums
    xp, (weights, potential, sums, gap) = _doubles(weights, potential, sums, gap)
    out[0], out[1], out[2] = float(xp.sum(weights * potential)), float(xp.sum(xp.abs(gap))), _largest(gap)
    out[3], out[4] = float(xp.sum(sums)), _largest(potential)


def step_terms(direction: Array, gap: Array, sums: Array, out: Array) -> None:
    """Compute the size of a step of one side's potential, and its slope and diagonal curvature."""
    xp, (direction, gap, sums) = _doubles(direction, gap, sums)
    out[0], out[1] = _largest(direction), float(xp.sum(gap * direction))
    out[2] = float(xp.sum(sums * direction**2))


def kept_offsets(row_count: Array, work: Array, indptr: Array, tindptr: Array) -> None:
    """Turn counts of kept entries into the offsets of CSR and CSC and the starts of each slice."""
    xp = array_api_compat.array_namespace(row_count, work)
    indptr[...] = xp.cumulative_sum(row_count, include_initial=True)
    tindptr[...] = xp.cumulative_sum(xp.sum(work, axis=0), include_initial=True)
    work[...] = tindptr[:-1] + xp.cumulative_sum(work, axis=0) - work
