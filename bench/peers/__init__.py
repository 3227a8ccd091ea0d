"""Solver adapters: numopt's own methods and the peers, each with its best settings and the same stopping accuracy.

The registry is a table of names for each family of problems; the module of an adapter (and with it the peer's library)
is imported on use.
"""

import importlib
from collections.abc import Sequence
from typing import Any

from numopt.bench.peers._base import (
    Coupling,
    Outcome,
    Point,
    PointSolver,
    Settings,
    Solver,
    TransportSolver,
    UnsuitableProblemError,
)

__all__ = [
    "ALL_PEERS",
    "CASADI",
    "NUMOPT",
    "Coupling",
    "Outcome",
    "Point",
    "PointSolver",
    "Settings",
    "Solver",
    "TransportSolver",
    "UnsuitableProblemError",
    "check",
    "expand",
    "get",
    "group",
    "names",
]

_MODULES: dict[str, dict[str, str]] = {
    "equality": {
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
    },
    "transport": {
        "numopt": "_numopt_ot",
        "numopt-few-steps": "_numopt_ot",
        "numopt-no-anneal": "_numopt_ot",
        "numopt-no-warmup": "_numopt_ot",
        "pot-sinkhorn": "_pot",
        "pot-sinkhorn-log": "_pot",
        "pot-emd": "_pot",
        "regot-ssns": "_regot",
        "regot-splr": "_regot",
        "mdot-tnt": "_mdot",
        "ott": "_ott",
        "geomloss": "_geomloss",
    },
    "linear": {
        "numopt-ssor-cg": "_numopt_linear",
        "numopt-ssor-cg-young": "_numopt_linear",
        "numopt-ssor-cg-1": "_numopt_linear",
        "numopt-ssor-cg-1.3": "_numopt_linear",
        "numopt-ssor-cg-1.5": "_numopt_linear",
        "numopt-ssor-cg-1.75": "_numopt_linear",
        "numopt-ssor-cg-1.9": "_numopt_linear",
        "numopt-ssor-cg-1.95": "_numopt_linear",
        "numopt-ssor-cg-multicolor": "_numopt_linear",
        "numopt-cg": "_numopt_linear",
        "numopt-sor": "_numopt_linear",
        "numopt-sor-grid": "_numopt_linear",
        "numopt-tsallis": "_numopt_linear",
        "numopt-tsallis-cb": "_numopt_linear",
        "numopt-chebcb": "_numopt_linear",
        "numopt-sweeps": "_numopt_linear",
        "numopt-sweeps-multicolor": "_numopt_linear",
        "numopt-sor-batch": "_numopt_linear",
        "numopt-sor-loop": "_numopt_linear",
        "numopt-spilu": "_spilu",
        "scipy-cg": "_scipy_linear",
        "scipy-splu": "_scipy_linear",
        "scipy-dst": "_scipy_linear",
        "scipy-sweeps": "_scipy_linear",
        "scipy-spilu-best": "_spilu",
        "scipy-spilu-uniform": "_spilu",
        "pyamg-rs-cg": "_pyamg",
        "pyamg-sa-cg": "_pyamg",
        "pyamg-sweeps": "_pyamg",
        "pyamg-sweeps-residual": "_pyamg",
    },
    "coordinate": {
        "numopt": "_numopt_coordinate",
        "numopt-system": "_numopt_coordinate",
        "numopt-bcd": "_numopt_bcd",
        "sklearn-lasso": "_sklearn",
        "sklearn-liblinear": "_sklearn",
        "sklearn-newton-cholesky": "_sklearn",
        "sklearn-newton-cg": "_sklearn",
        "sklearn-lbfgs": "_sklearn",
        "sklearn-saga": "_sklearn",
        "celer": "_celer",
        "skglm": "_skglm",
        "liblinear-newglmnet": "_liblinear",
        "liblinear-trust-region": "_liblinear",
        "liblinear-dual": "_liblinear",
        "snapml": "_snapml",
        "glmnet": "_glmnet",
        "blitzl1": "_blitzl1",
        "scipy-nnls": "_scipy_coordinate",
        "scipy-lsq-linear": "_scipy_coordinate",
        "scipy-jacobi-cg": "_scipy_coordinate",
        "scipy-splu": "_scipy_coordinate",
        "pyamg-rs": "_pyamg",
        "cuml": "_cuml",
    },
}

NUMOPT = tuple(name for name, module in _MODULES["equality"].items() if module == "_numopt")
CASADI = tuple(name for name, module in _MODULES["equality"].items() if module == "_casadi")
ALL_PEERS = tuple(name for name in _MODULES["equality"] if name not in NUMOPT and name not in CASADI)


def names(family: str = "equality") -> list[str]:
    """All solvers of a family, numopt's first."""
    return list(_MODULES.get(family, ()))


def group(word: str, family: str = "equality") -> tuple[str, ...] | None:
    """Members of the groups ``peers``, ``all`` (those and numopt's default method) and ``casadi``, None if no group."""
    peers = ALL_PEERS if family == "equality" else tuple(s for s in names(family) if not s.startswith("numopt"))
    groups = {"peers": peers, "all": (*names(family)[:1], *peers)}
    if family == "equality":
        groups["casadi"] = CASADI
    return groups.get(word)


def get(name: str, family: str = "equality") -> Solver[Any, Any]:
    """A fresh adapter; ``module:ATTRIBUTE`` names one of your own (a subclass of `Solver`).

    Raises
    ------
    ValueError
        If there is no such solver; the message lists those there are.
    """
    if ":" in name:
        module, attribute = name.split(":", 1)
        own: Solver[Any, Any] = getattr(importlib.import_module(module), attribute)()
        return own
    modules = _MODULES.get(family, {})
    if name not in modules:
        raise ValueError(f"`solver` must be one of {', '.join(modules)}; got {name!r}.")
    solver: Solver[Any, Any] = importlib.import_module(f"numopt.bench.peers.{modules[name]}").SOLVERS[name]()
    return solver


def expand(requested: Sequence[str], family: str = "equality") -> list[str]:
    """Resolve the group names ``peers``, ``casadi`` and ``all`` and check the rest."""
    check(requested, family)
    return list(dict.fromkeys(name for word in requested for name in group(word, family) or (word,)))


def check(requested: Sequence[str], *families: str) -> None:
    """Refuse words that name neither a solver nor a group of one of the families."""
    known = list(dict.fromkeys(name for family in families for name in (*names(family), *_groups(family))))
    for word in requested:
        if word not in known and ":" not in word:
            raise ValueError(f"`solver` must be one of {', '.join(known)}; got {word!r}.")


def _groups(family: str) -> list[str]:
    return [word for word in ("peers", "casadi", "all") if group(word, family) is not None]
