"""Compile every kernel ahead of its first call."""

from typing import Any

import numba
import numpy as np

from numopt.kernels import KERNELS, bind
from numopt.kernels._numba._threads import Twins

_HOST = {"int": numba.int64, "float": numba.float64}


def _argument_type(kind: str, real: np.dtype[Any]) -> Any:
    """Return the Numba type of one argument of the table; CSR indices are int32, as SciPy makes them."""
    if kind in _HOST:
        return _HOST[kind]
    element, axes = kind.rstrip("]").split("[")
    named = {"real": real, "cost": real, "scalar": real, "index": np.dtype(np.int32)}
    dtype = named[element] if element in named else np.dtype(element)
    return numba.typeof(np.empty((1,) * int(axes), dtype=dtype))


def compile_kernels(real: np.dtype[Any]) -> int:
    """Compile all kernels for one floating dtype, without running them, and return their number."""
    count = 0
    for name, kernel in KERNELS.items():
        if set(kernel.signature.values()) == {"int"}:
            continue  # a host function
        signature = tuple(_argument_type(kind, real) for kind in kernel.signature.values())
        function = getattr(bind(np), name)
        for form in (function.serial, function.parallel) if isinstance(function, Twins) else (function,):
            form.compile(signature)
            count += 1
    return count
