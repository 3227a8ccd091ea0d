"""Put what is known of the atoms with mass in its place among all atoms."""

from typing import Any

from numopt._array import namespace
from numopt._typing import Array


def spread(values: Any, where: Array | None, size: int, axis: int = 0, fill: float = 0.0) -> Any:
    """Put the slices of `values` where they stand among all along an axis, `fill` elsewhere."""
    if where is None:
        return values
    xp = namespace(values)
    everywhere = xp.arange(size, dtype=where.dtype, device=values.device)
    last = xp.asarray(where.shape[0] - 1, dtype=where.dtype, device=values.device)
    place = xp.minimum(xp.searchsorted(where, everywhere), last)
    there = xp.take(where, place) == everywhere
    shape = [1] * values.ndim
    shape[axis] = size
    rest = xp.asarray(fill, dtype=values.dtype, device=values.device)
    return xp.where(xp.reshape(there, tuple(shape)), xp.take(values, place, axis=axis), rest)
