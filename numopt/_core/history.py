"""Per-iteration record that `history=True` returns."""

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt


class History:
    """Columns of numbers, one row an iteration; a column that a row lacks holds NaN there."""

    def __init__(self, columns: Mapping[str, npt.ArrayLike] | None = None) -> None:
        """Start empty, or from the columns of an earlier `asdict()` (a resumed solve)."""
        self._columns: dict[str, list[float]] = {}
        self._rows = 0
        for name, values in (columns or {}).items():
            self._columns[name] = np.asarray(values).tolist()
            self._rows = max(self._rows, len(self._columns[name]))

    def __len__(self) -> int:
        return self._rows

    def append(self, **row: float) -> None:
        """Add one row."""
        for name, value in row.items():
            self._columns.setdefault(name, [math.nan] * self._rows).append(value)
        self._rows += 1
        for column in self._columns.values():
            if len(column) < self._rows:
                column.append(math.nan)

    def asdict(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return one array a column, all of the same length."""
        return {name: np.asarray(column) for name, column in self._columns.items()}
