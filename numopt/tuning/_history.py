"""The record of what was told."""

from typing import Any

from numopt.tuning._ticket import Ticket

COLUMNS = ("value", "context", "probability", "cost", "censored", "failed")


class CostHistory:
    """One row a tell; values and contexts may be anything."""

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []

    def append(self, issued: Ticket, cost: Any, censored: bool, failed: bool) -> None:
        """Add one row."""
        self._rows.append((issued.value, issued.context, issued.probability, cost, censored, failed))

    def asdict(self) -> dict[str, list[Any]]:
        """Return one list a column."""
        return {name: [row[k] for row in self._rows] for k, name in enumerate(COLUMNS)}
