"""Test problems: the problem class, generators and loaders.

Public names are imported on first use (PEP 562).
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numopt._core.warnings import DerivativeWarning
    from numopt.problems import cutest
    from numopt.problems._base import Counters, DerivativeCheck, Problem
    from numopt.problems._block_descent import (
        GraphLabels,
        LinearModelData,
        lattice_labels_data,
        sparse_least_squares_data,
        sparse_logistic_data,
        sparse_multinomial_data,
        two_moons_data,
    )
    from numopt.problems._linear import LinearSystem, SystemSequence
    from numopt.problems._text import synthetic_text
    from numopt.problems._transport import TransportProblem

__all__ = [
    "ConstrainedLogisticRegression",
    "Counters",
    "DerivativeCheck",
    "DerivativeWarning",
    "GraphLabels",
    "LinearModelData",
    "LinearSystem",
    "PoissonControl",
    "Problem",
    "SystemSequence",
    "TransportProblem",
    "cutest",
    "lattice_labels_data",
    "libsvm",
    "matrices",
    "sparse_least_squares_data",
    "sparse_logistic_data",
    "sparse_multinomial_data",
    "synthetic_text",
    "two_moons_data",
]

_MODULES = frozenset({"cutest", "libsvm", "matrices"})
_NAMES = {
    "ConstrainedLogisticRegression": "numopt.problems._logistic",
    "Counters": "numopt.problems._base",
    "DerivativeCheck": "numopt.problems._base",
    "DerivativeWarning": "numopt._core.warnings",
    "GraphLabels": "numopt.problems._block_descent",
    "LinearModelData": "numopt.problems._block_descent",
    "LinearSystem": "numopt.problems._linear",
    "PoissonControl": "numopt.problems._poisson",
    "Problem": "numopt.problems._base",
    "SystemSequence": "numopt.problems._linear",
    "TransportProblem": "numopt.problems._transport",
    "lattice_labels_data": "numopt.problems._block_descent",
    "sparse_least_squares_data": "numopt.problems._block_descent",
    "sparse_logistic_data": "numopt.problems._block_descent",
    "sparse_multinomial_data": "numopt.problems._block_descent",
    "synthetic_text": "numopt.problems._text",
    "two_moons_data": "numopt.problems._block_descent",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"numopt.problems.{name}")
    if name in _NAMES:
        value = getattr(importlib.import_module(_NAMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'numopt.problems' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
