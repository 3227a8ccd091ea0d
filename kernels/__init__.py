"""Every hot loop of numopt, in three homes that hold the same names.

`_reference` is written in the array API: it defines what a kernel means and is the oracle of the tests.
`_numba` runs on NumPy arrays, `_cuda` on CuPy arrays. A solver calls `bind(xp)` once and then `k.name(...)`.

Kernels write to their arguments, return None and check nothing: the arrays are C-contiguous, of one floating dtype
(float32 or float64; the costs of a float64 call may be float32) and of matching shapes, the indices are in range. They
are deterministic: the same arguments give the same bits on the same machine.

Kernels for linear systems also take complex matrices. Host kernels (`Kernel.host`) work on the pattern of a matrix or
on the state of a tuner, which live in NumPy arrays whatever the solver runs on: they have no CUDA home.
"""

import functools
import importlib
from typing import cast

from numopt._typing import Namespace
from numopt.kernels._set import KernelSet
from numopt.kernels._table import KERNELS, Kernel

__all__ = ["KERNELS", "Kernel", "KernelSet", "bind"]


class _Home:
    """Kernels of one home, each imported on first use, so that a solver pays for what it calls."""

    def __init__(self, package: str) -> None:
        self._package = package

    def __getattr__(self, name: str) -> object:
        if name not in KERNELS:
            raise AttributeError(f"numopt has no kernel {name!r}; `numopt.kernels.KERNELS` lists those there are.")
        module = importlib.import_module(f"{self._package}.{KERNELS[name].module}")
        try:
            kernel = getattr(module, name)
        except AttributeError:
            raise AttributeError(f"kernel {name!r} is missing in {module.__name__}") from None
        setattr(self, name, kernel)
        return cast(object, kernel)


_HOMES = {"numpy": "_numba", "cupy": "_cuda", "array_api_strict": "_reference"}


@functools.cache
def _home(library: str) -> _Home:
    return _Home(f"numopt.kernels.{_HOMES[library]}")


def bind(xp: Namespace) -> KernelSet:
    """Return the kernels that run on the arrays of one namespace.

    Parameters
    ----------
    xp : namespace
        Array namespace of the data, as `numopt._array.namespace` returns it.

    Returns
    -------
    kernels : KernelSet
        Numba kernels for NumPy, CUDA kernels for CuPy, the reference for array-api-strict. Each kernel is imported
        when it is first asked for; a name that does not exist raises `AttributeError`.

    Raises
    ------
    TypeError
        For any other namespace.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt import kernels
    >>> x = np.zeros(2)
    >>> kernels.bind(np).row_kaczmarz(np.eye(2), np.ones(2), np.ones(2), np.array([0, 1]), x)
    >>> x
    array([1., 1.])
    """
    name = getattr(xp, "__name__", repr(xp))
    library = name.removeprefix("array_api_compat.")
    if library not in _HOMES:
        raise TypeError(f"`xp` must be the namespace of NumPy, CuPy or array-api-strict, got {name}.")
    return cast(KernelSet, _home(library))
