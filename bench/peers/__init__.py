"""Solver adapters: numopt's own methods and the peers, each with its best settings and the same stopping accuracy.

The registry is a table of names; the module of an adapter (and with it the peer's library) is imported on use.
"""

import importlib
from collections.abc import Sequence

from numopt.bench.peers._base import Outcome, Settings, Solver, UnsuitableProblemError

__all__ = [
    "ALL_PEERS",
    "CASADI",
    "NUMOPT",
    "Outcome",
    "Settings",
    "Solver",
    "UnsuitableProblemError",
    "expand",
    "get",
    "names",
]

_MODULES = {
    "numopt": "_numopt",
    "numopt-rk": "_numopt",
    "numopt-gv": "_numopt",
    "numopt-l1": "_numopt",
    "numopt-l1-adaptive": "_numopt",
    "slsqp": "_scipy",
    "trust-constr": "_scipy",
    "ipopt": "_ipopt",
    "uno-filtersqp": "_uno",
    "uno-ipopt": "_uno",
    "casadi-ipopt": "_casadi",
    "casadi-fatrop": "_casadi",
    "casadi-sqpmethod": "_casadi",
    "casadi-alpaqa": "_casadi",
}

NUMOPT = tuple(name for name, module in _MODULES.items() if module == "_numopt")
CASADI = tuple(name for name, module in _MODULES.items() if module == "_casadi")
ALL_PEERS = tuple(name for name in _MODULES if name not in NUMOPT and name not in CASADI)


def names() -> list[str]:
    """All solver names, numopt's first."""
    return list(_MODULES)


def get(name: str) -> Solver:
    """A fresh adapter; ``module:ATTRIBUTE`` names one of your own (a subclass of `Solver`).

    Raises
    ------
    ValueError
        If there is no such solver; the message lists those there are.
    """
    if ":" in name:
        module, attribute = name.split(":", 1)
        own: Solver = getattr(importlib.import_module(module), attribute)()
        return own
    if name not in _MODULES:
        raise ValueError(f"`solver` must be one of {', '.join(_MODULES)}; got {name!r}.")
    solver: Solver = importlib.import_module(f"numopt.bench.peers.{_MODULES[name]}").SOLVERS[name]()
    return solver


def expand(requested: Sequence[str]) -> list[str]:
    """Resolve the group names ``peers``, ``casadi`` and ``all`` and check the rest."""
    groups = {"peers": ALL_PEERS, "casadi": CASADI, "all": ("numopt", *ALL_PEERS)}
    resolved = [name for word in requested for name in groups.get(word, (word,))]
    for name in resolved:
        if name not in _MODULES and ":" not in name:
            raise ValueError(f"`solver` must be one of {', '.join([*_MODULES, *groups])}; got {name!r}.")
    return list(dict.fromkeys(resolved))
