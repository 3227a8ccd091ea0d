"""Diagonal blocks of a matrix, prepared for the sweeps that solve with them: dense inverses and tridiagonal factors."""

import numpy as np

from numopt._array import device_of, namespace, to_host
from numopt._typing import Array

__all__ = ["inverse_blocks", "line_factors"]

# A block counts as singular if a change of so many roundings in one of its entries makes it singular.
_ROUNDINGS = 8


def inverse_blocks(data: Array, indices: Array, indptr: Array, blocks: Array) -> Array:
    """Invert the diagonal blocks of a CSR matrix.

    Parameters
    ----------
    data, indices, indptr : arrays
        Canonical CSR: rows sorted by column, no duplicates.
    blocks : int array of shape (k + 1,)
        Offsets: block i is rows and columns ``blocks[i]`` to ``blocks[i + 1] - 1``; ascending from 0 to n.

    Returns
    -------
    inverses : array of shape (k, m, m)
        Each in the upper left corner of its slice, which is that of the unit matrix elsewhere; m is the size of the
        largest block.

    Raises
    ------
    ValueError
        If a block is singular; the message names the first.
    """
    xp = namespace(data, indices, indptr, blocks)
    starts, sizes, largest = _shape(blocks)
    place = xp.arange(largest, dtype=xp.int64, device=device_of(data))
    inside = place < sizes[:, None]
    rows = starts[:, None] + place
    wanted = inside[:, :, None] & inside[:, None, :]
    entries = _Entries(data, indices, indptr)
    dense = entries.at(rows[:, :, None], rows[:, None, :], wanted)
    if dense.shape[0] * largest == 0:
        return dense
    unit = xp.eye(largest, dtype=data.dtype, device=device_of(data))
    dense = xp.where(wanted, dense, unit)
    try:
        inverses = xp.linalg.inv(dense)
    except np.linalg.LinAlgError:
        sign, _ = xp.linalg.slogdet(dense)
        raise _singular(sign == 0, blocks) from None
    # 1 / |inverse_ij a_ji| is the relative change of a_ji that makes the block singular, whatever the scales of its
    # rows and columns.
    sensitivity = xp.max(xp.abs(inverses * xp.matrix_transpose(dense)), axis=(1, 2))
    bad = ~(sensitivity * (_ROUNDINGS * xp.finfo(data.dtype).eps) < 1)  # NaN is bad
    if bool(xp.any(bad)):
        raise _singular(bad, blocks)
    return inverses


def line_factors(data: Array, indices: Array, indptr: Array, blocks: Array) -> Array:
    """Eliminate in the tridiagonal diagonal blocks of a CSR matrix, all of them at once, without exchanging rows.

    Parameters
    ----------
    data, indices, indptr, blocks : arrays
        As for `inverse_blocks`.

    Returns
    -------
    factors : array of shape (3, n)
        Row by row the multiplier of the row above (0 in the first of a block), the reciprocal pivot, and the entry
        right of the diagonal (0 in the last).

    Raises
    ------
    ValueError
        If an entry of a block is neither on nor next to the diagonal (the message names its row), or if elimination
        meets a pivot that is zero but for rounding (it names the block).

    Notes
    -----
    One step for each row of the longest block: made for many lines, not for one long one.
    """
    xp = namespace(data, indices, indptr, blocks)
    device = device_of(data)
    n = int(indptr.shape[0]) - 1
    if n == 0:
        return xp.zeros((3, 0), dtype=data.dtype, device=device)
    starts, sizes, largest = _shape(blocks)
    rows = xp.arange(n, dtype=xp.int64, device=device)
    block_of = xp.searchsorted(xp.astype(blocks[1:], xp.int64), rows, side="right")
    first, end = xp.take(starts, block_of), xp.take(starts + sizes, block_of)
    entries = _Entries(data, indices, indptr)
    entries.check_tridiagonal(first, end)

    # Position by position, line by line; what is past the end of a line is a row of the unit matrix.
    place = xp.arange(largest, dtype=xp.int64, device=device)[:, None]
    inside = place < sizes
    source = xp.reshape(xp.where(inside, starts + place, xp.zeros_like(place)), (-1,))

    def spread(rows_of: Array, fill: float) -> Array:
        values = xp.reshape(xp.take(rows_of, source), inside.shape)
        return xp.where(inside, values, xp.full_like(values, fill))

    left = spread(entries.at(rows, rows - 1, rows > first), 0.0)
    diagonal = spread(entries.at(rows, rows, rows >= first), 1.0)
    right = spread(entries.at(rows, rows + 1, rows < end - 1), 0.0)
    multiplier, reciprocal = xp.zeros_like(left), xp.ones_like(left)
    smallest = _ROUNDINGS * xp.finfo(data.dtype).eps
    bad = xp.zeros(starts.shape[0], dtype=xp.bool, device=device)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for k in range(largest):
            pivot = diagonal[k, :]
            if k > 0:
                multiplier[k, :] = left[k, :] * reciprocal[k - 1, :]
                taken = multiplier[k, :] * right[k - 1, :]
                pivot = pivot - taken
                bad = bad | ~(xp.abs(pivot) > smallest * (xp.abs(diagonal[k, :]) + xp.abs(taken)))
            else:
                bad = bad | ~(xp.abs(pivot) > 0)
            reciprocal[k, :] = 1 / pivot
    if bool(xp.any(bad)):
        raise _singular(bad, blocks)
    back = (rows - first) * starts.shape[0] + block_of
    return xp.stack([xp.take(xp.reshape(part, (-1,)), back) for part in (multiplier, reciprocal, right)])


def _shape(blocks: Array) -> tuple[Array, Array, int]:
    """Return where blocks start, how many rows they have, and how many the largest has."""
    xp = namespace(blocks)
    starts = xp.astype(blocks[:-1], xp.int64)
    sizes = xp.astype(blocks[1:], xp.int64) - starts
    return starts, sizes, int(xp.max(sizes)) if sizes.shape[0] else 0


class _Entries:
    """The stored entries of a canonical CSR matrix, found by row and column."""

    def __init__(self, data: Array, indices: Array, indptr: Array) -> None:
        xp = namespace(data, indices, indptr)
        self._xp, self._data = xp, data
        self._n = int(indptr.shape[0]) - 1
        # `repeat` with as many counts as rows is not to be had everywhere.
        place = xp.arange(indices.shape[0], dtype=indptr.dtype, device=device_of(indices))
        self._rows = xp.astype(xp.searchsorted(indptr, place, side="right") - 1, xp.int64)
        self._columns = xp.astype(indices, xp.int64)
        # The entries lie in the order of this number.
        self._keys = self._rows * self._n + self._columns

    def at(self, rows: Array, columns: Array, wanted: Array) -> Array:
        """Return entries, 0 where none is stored or wanted; the arguments broadcast."""
        xp, data = self._xp, self._data
        rows, columns, wanted = xp.broadcast_arrays(rows, columns, wanted)
        if data.shape[0] == 0:
            return xp.zeros(wanted.shape, dtype=data.dtype, device=device_of(data))
        sought = xp.reshape(xp.where(wanted, rows * self._n + columns, xp.zeros_like(rows)), (-1,))
        found = xp.clip(xp.searchsorted(self._keys, sought), 0, data.shape[0] - 1)
        present = (xp.take(self._keys, found) == sought) & xp.reshape(wanted, (-1,))
        values = xp.take(data, found)
        return xp.reshape(xp.where(present, values, xp.zeros_like(values)), wanted.shape)

    def check_tridiagonal(self, first: Array, end: Array) -> None:
        """Raise if row i has an entry in columns first[i] to end[i] - 1 that is not next to the diagonal."""
        xp, rows, columns = self._xp, self._rows, self._columns
        own = (columns >= xp.take(first, rows)) & (columns < xp.take(end, rows))
        stray = own & (xp.abs(columns - rows) > 1) & (self._data != 0)
        if bool(xp.any(stray)):
            p = int(xp.argmax(xp.astype(stray, xp.int8)))
            raise ValueError(
                f"`A` has an entry in row {int(rows[p])}, column {int(columns[p])} (in the order of the sweeps) of a "
                "diagonal block; relaxation by lines takes tridiagonal blocks: choose ordering='block'."
            )


def _singular(bad: Array, blocks: Array) -> ValueError:
    k = int(to_host(bad).argmax())
    first, end = (int(offset) for offset in to_host(blocks)[k : k + 2])
    return ValueError(
        f"`A` has a singular diagonal block: number {k}, rows {first} to {end - 1} (in the order of the sweeps); "
        "choose another `block_size` or reorder the equations."
    )
