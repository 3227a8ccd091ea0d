"""The arms of a tuner: a grid of numbers, or any values that can be told apart."""

import math
import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Grid:
    """Checked values of the arms, in the order given."""

    def __init__(self, values: Any) -> None:
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            raise TypeError(f"`grid` must be a sequence of values, got {values!r} of type {type(values).__name__}.")
        self.values = [_plain(value) for value in values]
        if not self.values:
            raise ValueError("`grid` must have at least 1 value, got none.")
        for value in self.values:
            if _is_number(value) and not math.isfinite(value):
                raise ValueError(f"`grid` must be finite, got {value}.")
        try:
            different = len(set(self.values))
        except TypeError as error:
            raise TypeError(f"`grid` must have values that can be hashed: {error}.") from None
        if different < len(self.values):
            raise ValueError("`grid` must have different values, got duplicates.")

    def __len__(self) -> int:
        return len(self.values)

    def index(self, value: Any) -> int:
        """Return the arm of a value; a number is matched up to rounding."""
        value = _plain(value)
        for i, own in enumerate(self.values):
            if own == value or (_is_number(own) and _is_number(value) and math.isclose(own, value, rel_tol=1e-12)):
                return i
        raise ValueError(f"`value` must be one of the grid, got {value!r}.")

    def check_refinable(self) -> None:
        """Raise unless the values are at least three numbers that ascend with equal differences or ratios."""
        if len(self) < 3 or not all(_is_number(value) for value in self.values):
            raise ValueError("`refine` needs a `grid` of at least 3 numbers.")
        if not (_evenly_spaced(self.values) or self.is_log):
            raise ValueError("`refine` needs a `grid` that ascends with equal differences or equal ratios.")

    @property
    def is_log(self) -> bool:
        """Whether the ratios are equal and the differences are not."""
        return self.values[0] > 0 and not _evenly_spaced(self.values) and _evenly_spaced(np.log(self.values))

    def zoom(self, center: float) -> tuple["Grid", NDArray[np.float64]]:
        """Halve the range around a fractional index and keep the number of arms.

        Returns the new grid, and the matrix that interpolates sums kept for the old arms.
        """
        d = len(self)
        first = min(max(center - (d - 1) / 4, 0.0), (d - 1) / 2)
        at = first + np.arange(d) / 2
        left = np.minimum(at.astype(int), d - 2)
        weights = np.zeros((d, d))
        weights[np.arange(d), left] = 1 - (at - left)
        weights[np.arange(d), left + 1] = at - left
        values = np.exp(weights @ np.log(self.values)) if self.is_log else weights @ np.array(self.values, dtype=float)
        return Grid(values.tolist()), weights


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _evenly_spaced(values: Any) -> bool:
    steps = np.diff(np.asarray(values, dtype=float))
    return bool(steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-6, atol=0))
