"""Scaling to unit diagonal."""

from numopt._array import namespace
from numopt._typing import Array
from numopt.linear._pattern import Arrangement

__all__ = ["positive_roots"]


def positive_roots(data: Array, arrangement: Arrangement) -> tuple[int | None, Array | None]:
    """Return (None, square roots of the diagonal), or (a row whose diagonal entry is not a positive number, None).

    The roots are in the order of the arrangement, the row is that of the matrix.
    """
    xp = namespace(data)
    diagonal = xp.take(data, arrangement.split, axis=0)
    if xp.isdtype(data.dtype, "complex floating"):
        real = xp.real(diagonal)
        good = (real > 0) & (xp.imag(diagonal) == 0)
    else:
        real = diagonal
        good = real > 0
    if not bool(xp.all(good)):
        row = int(xp.argmin(xp.astype(good, xp.int64)))
        return (row if arrangement.permutation is None else int(arrangement.permutation[row])), None
    return None, xp.sqrt(real)
