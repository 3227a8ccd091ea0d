"""From a context to the cell or the point where a policy looks."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numopt._core.warnings import NumericalWarning, warn

MAX_DIMENSION = 3
MAX_DEGREE = 4  # total degree of products of polynomials, for two and three contexts


class Box:
    """Bounds of the contexts; contexts outside are clipped with one warning, or refused."""

    def __init__(self, bounds: Any, strict: bool) -> None:
        self.low, self.high = _check_bounds(bounds)
        self.dimension = self.low.size
        self.strict = strict
        self._warned = False
        self._a, self._b = float(self.low[0]), float(self.high[0])

    def unit(self, context: Any) -> float | NDArray[np.float64]:
        """Return the context with its bounds moved to 0 and 1: a float for one dimension."""
        if self.dimension == 1:
            try:
                c = float(context)
            except (TypeError, ValueError):
                c = float(self._vector(context)[0])
            if not self._a <= c <= self._b:
                c = float(self._outside(np.array([c]))[0])
            return (c - self._a) / (self._b - self._a)
        point = self._vector(context)
        if not (np.all(point >= self.low) and np.all(point <= self.high)):
            point = self._outside(point)
        return (point - self.low) / (self.high - self.low)

    def _vector(self, context: Any) -> NDArray[np.float64]:
        if context is None:
            raise ValueError("`context` is needed by a tuner with `context_bounds`, got None.")
        try:
            point = np.atleast_1d(np.asarray(context, dtype=np.float64))
        except (TypeError, ValueError):
            raise TypeError(f"`context` must be a number or a vector of numbers, got {context!r}.") from None
        if point.shape != (self.dimension,):
            raise ValueError(f"`context` must have {self.dimension} numbers, got shape {point.shape}.")
        return point

    def _outside(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        shown = point.tolist() if self.dimension > 1 else point[0]
        if not np.all(np.isfinite(point)):
            raise ValueError(f"`context` must be finite, got {shown}.")
        if self.strict:
            raise ValueError(f"`context` must lie within {self.asdict()}, got {shown}.")
        if not self._warned:
            self._warned = True
            warn(
                f"`context` {shown} lies outside the bounds {self.asdict()} and is clipped to them; later ones are "
                "clipped without a warning.",
                NumericalWarning,
            )
        return np.clip(point, self.low, self.high)

    def asdict(self) -> list[Any]:
        """Return the bounds as a pair, or as a list of pairs."""
        pairs = [[float(a), float(b)] for a, b in zip(self.low, self.high, strict=True)]
        return pairs[0] if self.dimension == 1 else pairs


class Cells:
    """Equal cells of the box: `bins` in each direction."""

    def __init__(self, box: Box, bins: int) -> None:
        self._box = box
        self._bins = bins
        self.count = bins**box.dimension

    def locate(self, context: Any) -> int:
        """Return the number of the cell."""
        unit = self._box.unit(context)
        if isinstance(unit, float):
            return min(int(unit * self._bins), self._bins - 1)
        cell = 0
        for u in unit.tolist():
            cell = cell * self._bins + min(int(u * self._bins), self._bins - 1)
        return cell


class NoContext:
    """One cell, whatever the context."""

    count = 1

    def locate(self, context: Any) -> int:
        """Return 0."""
        return 0


class Features:
    """Products of Chebyshev polynomials on the box, or what a user's function returns.

    `powers[j, k]` is the degree of feature j in context k, and `degrees[j]` the total degree, by which its coefficient
    is bounded. A user's first feature counts as a constant, the others as polynomials of degree 1.
    """

    def __init__(self, box: Box | None, n_features: int, function: Callable[[Any], Any] | None) -> None:
        self._box = box
        self._function = function
        if function is not None:
            self.powers = np.zeros((0, 1), dtype=np.int64)
            self.degrees = np.minimum(np.arange(n_features), 1).astype(np.float64)
        else:
            assert box is not None
            self.powers = _powers(box.dimension, n_features)
            self.degrees = self.powers.sum(axis=1).astype(np.float64)

    def locate(self, context: Any) -> NDArray[np.float64]:
        """Return the point in `[-1, 1]` per direction, or the user's features."""
        if self._function is not None:
            features = np.asarray(self._function(context), dtype=np.float64)
            if features.shape != self.degrees.shape or not np.all(np.isfinite(features)):
                raise ValueError(
                    f"`features` must return {self.degrees.size} finite numbers (`n_features`), "
                    f"got {features.tolist()} for context {context!r}."
                )
            return features
        assert self._box is not None
        unit = self._box.unit(context)
        if isinstance(unit, float):
            return np.array([2.0 * unit - 1.0])
        return 2.0 * unit - 1.0

    def samples(self) -> NDArray[np.float64]:
        """Return points that cover the box, one a row; none for a user's features."""
        if self._function is not None or self._box is None:
            return np.empty((0, 1))
        side = {1: 17, 2: 7, 3: 5}[self._box.dimension]
        return np.array(list(itertools.product(np.linspace(-1, 1, side), repeat=self._box.dimension)))


def _check_bounds(bounds: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    expected = "`context_bounds` must be (low, high), or up to 3 such pairs"
    try:
        pairs = np.asarray(bounds, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{expected}, got {bounds!r}.") from None
    if pairs.ndim == 1:
        pairs = pairs[None, :]
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not 1 <= pairs.shape[0] <= MAX_DIMENSION:
        raise ValueError(f"{expected}, got {bounds!r}.")
    if not np.all(np.isfinite(pairs)) or np.any(pairs[:, 0] >= pairs[:, 1]):
        raise ValueError(f"{expected}, finite and low < high, got {bounds!r}.")
    return pairs[:, 0].copy(), pairs[:, 1].copy()


def _powers(dimension: int, n_features: int) -> NDArray[np.int64]:
    """Return the degrees of all products, by total degree; `n_features` polynomials in each direction at most."""
    if dimension == 1:
        return np.arange(n_features, dtype=np.int64)[:, None]
    degree = min(n_features - 1, MAX_DEGREE)
    rows = [row for row in itertools.product(range(degree + 1), repeat=dimension) if sum(row) <= degree]
    assert len(rows) == math.comb(dimension + degree, degree)
    return np.array(sorted(rows, key=lambda row: (sum(row), [-p for p in row])), dtype=np.int64)
