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
    dense = _entries(data, indices, indptr, rows[:, :, None], rows[:, None, :], wanted)
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
    starts, sizes, largest = _shape(blocks)
    rows = xp.arange(n, dtype=xp.int64, device=device)
    block_of = xp.searchsorted(xp.astype(blocks[1:], xp.int64), rows, side="right")
    _check_tridiagonal(data, indices, indptr, xp.take(starts, block_of), xp.take(starts + sizes, block_of))

    place = xp.arange(largest, dtype=xp.int64, device=device)[:, None]
    at = starts + place  # position by position, line by line
    inside = place < sizes
    left = _entries(data, indices, indptr, at, at - 1, inside & (place > 0))
    right = _entries(data, indices, indptr, at, at + 1, place < sizes - 1)
    diagonal = xp.where(inside, _entries(data, indices, indptr, at, at, inside), xp.ones_like(left))
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
    # Back to the order of the rows.
    source = (rows - xp.take(starts, block_of)) * starts.shape[0] + block_of
    return xp.stack([xp.take(xp.reshape(part, (-1,)), source) for part in (multiplier, reciprocal, right)])


def _shape(blocks: Array) -> tuple[Array, Array, int]:
    """Return where blocks start, how many rows they have, and how many the largest has."""
    xp = namespace(blocks)
    starts = xp.astype(blocks[:-1], xp.int64)
    sizes = xp.astype(blocks[1:], xp.int64) - starts
    return starts, sizes, int(xp.max(sizes)) if sizes.shape[0] else 0


def _entry_rows(indices: Array, indptr: Array) -> Array:
    """Return the row of each stored entry."""
    xp = namespace(indices, indptr)
    # `repeat` with as many counts as rows is not to be had everywhere.
    entries = xp.arange(indices.shape[0], dtype=indptr.dtype, device=device_of(indices))
    return xp.astype(xp.searchsorted(indptr, entries, side="right") - 1, xp.int64)


def _entries(data: Array, indices: Array, indptr: Array, rows: Array, columns: Array, wanted: Array) -> Array:
    """Return entries of a matrix, 0 where none is stored or wanted; the arguments of places broadcast."""
    xp = namespace(data)
    n = int(indptr.shape[0]) - 1
    rows, columns, wanted = xp.broadcast_arrays(rows, columns, wanted)
    if data.shape[0] == 0:
        return xp.zeros(wanted.shape, dtype=data.dtype, device=device_of(data))
    # The entries lie in the order of this number.
    keys = _entry_rows(indices, indptr) * n + xp.astype(indices, xp.int64)
    sought = xp.reshape(xp.where(wanted, rows * n + columns, xp.zeros_like(rows)), (-1,))
    found = xp.clip(xp.searchsorted(keys, sought), 0, data.shape[0] - 1)
    present = (xp.take(keys, found) == sought) & xp.reshape(wanted, (-1,))
    values = xp.take(data, found)
    return xp.reshape(xp.where(present, values, xp.zeros_like(values)), wanted.shape)


def _check_tridiagonal(data: Array, indices: Array, indptr: Array, first: Array, end: Array) -> None:
    """Raise if row i has an entry in columns first[i] to end[i] - 1 that is not next to the diagonal."""
    xp = namespace(data)
    rows, columns = _entry_rows(indices, indptr), xp.astype(indices, xp.int64)
    own = (columns >= xp.take(first, rows)) & (columns < xp.take(end, rows))
    stray = own & (xp.abs(columns - rows) > 1) & (data != 0)
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
