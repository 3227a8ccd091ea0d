"""Arrays of every library under test: made and read back the same way, on the device that catches host copies."""

import functools
import importlib
from typing import Any

import numpy as np

STRICT_DEVICE = "device1"


@functools.cache
def has_gpu() -> bool:
    """Tell whether CuPy is installed and sees a device."""
    try:
        cupy = importlib.import_module("cupy")
    except ImportError:
        return False
    return bool(cupy.cuda.is_available())


def load(name: str) -> Any:
    """Import the array namespace `name`: "numpy", "array_api_strict" or "cupy"."""
    if name == "array_api_strict":
        return importlib.import_module(name)
    return importlib.import_module(f"array_api_compat.{name}")


def make(xp: Any, value: Any, dtype: Any = None) -> Any:
    """Make an array of `xp` from host data: on `Device("device1")` for array-api-strict, where a host copy raises.

    `dtype` is a NumPy dtype or its name; the default is that of `numpy.asarray(value)`.
    """
    # A copy: kernels write to their arguments, and two namespaces must not share the memory of one test input.
    host = np.array(value, dtype=dtype)
    if xp.__name__.startswith("array_api_strict"):
        return xp.asarray(host, device=xp.Device(STRICT_DEVICE))
    return xp.asarray(host)


def to_numpy(array: Any) -> np.ndarray:
    """Copy an array of any library under test to the host."""
    module = type(array).__module__
    if module.startswith("array_api_strict"):
        cpu = importlib.import_module("array_api_strict").Device("CPU_DEVICE")
        return np.asarray(array.to_device(cpu))
    if module.startswith("cupy"):
        return np.asarray(array.get())
    return np.asarray(array)
