"""Benchmark cases, by name."""

import importlib

from numopt.bench.cases._base import Case, Options

__all__ = ["Case", "Options", "get", "names"]

_MODULES = {
    "quick": "_quick",
    "cutest": "_cutest",
    "libsvm-constrained": "_libsvm_constrained",
    "pde": "_pde",
    "ot": "_transport",
    "ot-paper": "_transport_paper",
    "linear": "_linear",
    "linear-paper": "_linear_paper",
    "libsvm": "_libsvm",
    "coordinate": "_coordinate",
    "coordinate-paper": "_coordinate_paper",
}


def names() -> list[str]:
    """All cases."""
    return list(_MODULES)


def get(name: str) -> Case:
    """A case by name; ``module:ATTRIBUTE`` names one of your own (an instance of `Case`).

    Raises
    ------
    ValueError
        If there is no such case; the message lists those there are.
    """
    if ":" in name:
        module, attribute = name.split(":", 1)
        own: Case = getattr(importlib.import_module(module), attribute)
        return own
    if name not in _MODULES:
        raise ValueError(f"`case` must be one of {', '.join(_MODULES)}; got {name!r}.")
    case: Case = importlib.import_module(f"numopt.bench.cases.{_MODULES[name]}").CASE
    return case
