"""Families of problems: what a run is about, how its answer is judged and what is reported of it."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from numopt.bench._records import Record
from numopt.bench._tables import Table, counted, otherwise
from numopt.bench.families._base import Card, Family, Watch

__all__ = ["DEFAULT", "Card", "Family", "Watch", "get", "names", "of", "tables"]

DEFAULT = "equality"
"""Family of the records that do not name one: the first results were all of it."""

_MODULES = {
    "equality": "numopt.bench.families.equality",
    "transport": "numopt.bench.families.transport",
    "linear": "numopt.bench.families.linear",
    "coordinate": "numopt.bench.families.coordinate",
}


def names() -> list[str]:
    """All families."""
    return list(_MODULES)


def get(name: str) -> Family[Any, Any]:
    """A family by name; ``module:ATTRIBUTE`` names one of your own (an instance of `Family`).

    Raises
    ------
    ValueError
        If there is no such family; the message lists those there are.
    """
    module, _, attribute = name.partition(":")
    if not attribute:
        if name not in _MODULES:
            raise ValueError(f"`family` must be one of {', '.join(_MODULES)}; got {name!r}.")
        module, attribute = _MODULES[name], "FAMILY"
    family: Family[Any, Any] = getattr(importlib.import_module(module), attribute)
    return family


def of(record: Mapping[str, Any]) -> Family[Any, Any]:
    """The family of a recorded run."""
    return get(record.get("family") or DEFAULT)


def tables(records: Sequence[Record]) -> list[Table]:
    """The tables that say all about the runs of one case, suite, mode and family."""
    there = counted(records)
    shown = of(there[0]).tables(there) if there else []
    failed = otherwise(records)
    return [*shown, failed] if failed.rows else shown
