"""Factors of matrices that may be singular: with the least shift of the diagonal that a factorisation takes."""

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from numopt._array import contiguous, scalars
from numopt._linalg import CholeskyFactor, cho_factor, cho_solve
from numopt._typing import Array

__all__ = ["add_to_diagonal", "shifted_factor", "shifted_solve"]

# Shifts that are tried, as shares of the mean diagonal entry.
_SHIFTS = tuple(10.0**power for power in range(-10, 11))


def shifted_factor(H: Array, shifts: Iterable[float], xp: Any) -> tuple[CholeskyFactor, float] | None:
    """Return the factor of H + mu I and mu, 0 or the first of the ascending `shifts` that works; None if none does.

    H, stored by rows, is overwritten; `shifts` are asked for only if it has no factor as it is.
    """
    added = 0.0
    for shift in itertools.chain((0.0,), shifts):
        if shift > added:
            add_to_diagonal(H, shift - added, xp)
            added = shift
        try:
            return cho_factor(H), shift
        except np.linalg.LinAlgError:
            continue
    return None


def shifted_solve(H: Array, rhs: Array, xp: Any) -> Array | None:
    """Return the solution of (H + mu I) d = rhs, mu = 0 or the least of 1e-10 trace/order times 1, 10, ... that works.

    None when H has no positive trace.
    """
    (trace,) = scalars(xp, xp.sum(xp.linalg.diagonal(H)))
    shifts = [share * trace / H.shape[0] for share in _SHIFTS] if trace > 0 else []
    found = shifted_factor(xp.asarray(contiguous(H), copy=True), shifts, xp)
    return None if found is None else cho_solve(found[0], rhs)


def add_to_diagonal(H: Array, values: Any, xp: Any) -> None:
    """Add numbers to the diagonal of a matrix stored by rows, without an array of its size."""
    entries = xp.reshape(H, (-1,), copy=False)
    entries[:: H.shape[0] + 1] += values
