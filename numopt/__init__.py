"""Published numerical solvers behind one array interface, called as one calls SciPy.

Importing the package loads NumPy at most; every public name below is imported on first use (PEP 562).
"""

import importlib
from typing import TYPE_CHECKING, Any

from numopt._version import __version__

if TYPE_CHECKING:
    import numopt.bench as bench
    import numopt.constrained as constrained
    import numopt.coordinate as coordinate
    import numopt.kernels as kernels
    import numopt.linear as linear
    import numopt.ot as ot
    import numopt.problems as problems
    import numopt.sketching as sketching
    import numopt.tuning as tuning
    from numopt._config import set_threads, show_config, warmup
    from numopt._core.status import Status
    from numopt.constrained import sketched_newton
    from numopt.coordinate import bcd
    from numopt.linear import sor
    from numopt.tuning import BanditTuner

__all__ = [
    "BanditTuner",
    "Status",
    "__version__",
    "bcd",
    "bench",
    "constrained",
    "coordinate",
    "kernels",
    "linear",
    "ot",
    "problems",
    "set_threads",
    "show_config",
    "sketched_newton",
    "sketching",
    "sor",
    "tuning",
    "warmup",
]

_MODULES = frozenset(
    {"bench", "constrained", "coordinate", "kernels", "linear", "ot", "problems", "sketching", "tuning"}
)
_NAMES = {
    "BanditTuner": "numopt.tuning",
    "Status": "numopt._core.status",
    "bcd": "numopt.coordinate",
    "set_threads": "numopt._config",
    "show_config": "numopt._config",
    "sketched_newton": "numopt.constrained",
    "sor": "numopt.linear",
    "warmup": "numopt._config",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"numopt.{name}")
    if name in _NAMES:
        value = getattr(importlib.import_module(_NAMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'numopt' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
