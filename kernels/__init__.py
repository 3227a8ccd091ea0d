"""Every hot loop of numopt, in three homes that hold the same names.

`_reference` is written in the array API: it defines what a kernel means and is the oracle of the tests.
`_numba` runs on NumPy arrays, `_cuda` on CuPy arrays. A solver calls `bind(xp)` once and then `k.name(...)`.

Kernels write to their arguments, return None and check nothing: the arrays are C-contiguous, of one floating dtype
(float32 or float64) and of matching shapes, the indices are in range. They are deterministic: the same arguments give
the same bits on the same machine.
"""

import functools
import importlib
from dataclasses import dataclass
from typing import Protocol, cast

from numopt._typing import Array, Namespace

__all__ = ["KERNELS", "Kernel", "KernelSet", "bind"]


@dataclass(frozen=True, slots=True)
class Kernel:
    """One line of the table of kernels.

    `signature` maps argument names, in order, to types: `real` is the floating dtype of the call, `index` that of the
    CSR triple (int32 or int64), `int64` itself, each with the number of axes in brackets; `int` is a host integer.
    """

    module: str
    signature: dict[str, str]
    contract: str


_VECTOR, _MATRIX = "real[1]", "real[2]"
_CSR = {"data": "real[1]", "indices": "index[1]", "indptr": "index[1]"}

KERNELS: dict[str, Kernel] = {
    "row_kaczmarz": Kernel(
        "kaczmarz",
        {"A": _MATRIX, "b": _VECTOR, "norms2": _VECTOR, "rows": "int64[1]", "x": _VECTOR},
        "For each i of rows in order with norms2[i] > 0: x += (b[i] - A[i] @ x) / norms2[i] * A[i]; A is (M, N).",
    ),
    "csr_row_kaczmarz": Kernel(
        "kaczmarz",
        _CSR | {"b": _VECTOR, "norms2": _VECTOR, "rows": "int64[1]", "x": _VECTOR},
        "row_kaczmarz for a CSR matrix without duplicate entries; the entries of a row may come in any order.",
    ),
    "gram_parts": Kernel(
        "gram",
        {"n_rows": "int", "n": "int"},
        "Return the number of private accumulators that weighted_gram_csr runs best with; a host function.",
    ),
    "weighted_gram_csr": Kernel(
        "gram",
        _CSR | {"weights": _VECTOR, "work": "real[3]", "out": _MATRIX},
        "out (n, n) = X' diag(weights) X for a CSR matrix without duplicate entries; work (parts, n, n) is scratch: "
        "one accumulator for each slice of the rows, added in order; rows of weight 0 are left out whatever they hold.",
    ),
    "logistic_terms": Kernel(
        "logistic",
        {"margins": _VECTOR, "labels": _VECTOR, "loss": _VECTOR, "residual": _VECTOR, "weight": _VECTOR},
        "With t = labels * margins: loss = log(1 + exp(-t)), residual = -labels * sigmoid(-t), "
        "weight = labels**2 * sigmoid(t) * sigmoid(-t).",
    ),
}
"""Name -> where, how and what; each home holds exactly these."""


class KernelSet(Protocol):
    """The kernels of one home; `KERNELS` says what each does."""

    def row_kaczmarz(self, A: Array, b: Array, norms2: Array, rows: Array, x: Array) -> None: ...

    def csr_row_kaczmarz(
        self, data: Array, indices: Array, indptr: Array, b: Array, norms2: Array, rows: Array, x: Array
    ) -> None: ...

    def gram_parts(self, n_rows: int, n: int) -> int: ...

    def weighted_gram_csr(
        self, data: Array, indices: Array, indptr: Array, weights: Array, work: Array, out: Array
    ) -> None: ...

    def logistic_terms(self, margins: Array, labels: Array, loss: Array, residual: Array, weight: Array) -> None: ...


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
