"""Compile templates of the `.cu` files and launch them on CuPy arrays."""

import functools
import hashlib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

FOLDER = Path(__file__).parent

# Static shared memory of a block is 48 KiB on every architecture; 1 KiB is left for partial sums.
SHARED_BYTES = 47 * 1024

_C_NAMES = {"float64": "double", "float32": "float", "int64": "long long", "int32": "int"}


class Launch(Protocol):
    """How a caller starts a kernel: `launch` below on the device, the emulator's in tests."""

    def __call__(
        self, source: str, kernel: str, template: Sequence[Any], grid: int, block: int, args: Sequence[Any]
    ) -> None: ...


def expression(kernel: str, template: Sequence[Any]) -> str:
    """Return the C++ name of a kernel for dtypes and integers as template arguments."""
    names = [str(item) if isinstance(item, int) else _C_NAMES[np.dtype(item).name] for item in template]
    return f"numopt::{kernel}<{', '.join(names)}>"


def options() -> tuple[str, ...]:
    """Return the compiler options; CuPy's cache on disk does not see edits in headers, hence the hash."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.cuh")):
        digest.update(path.read_bytes())
    return ("-std=c++17", f"-I{FOLDER}", f"-DNUMOPT_HEADERS={digest.hexdigest()[:16]}")


@functools.cache
def _kernel(source: str, name: str) -> Any:
    cupy = importlib.import_module("cupy")
    code = (FOLDER / source).read_text()
    return cupy.RawModule(code=code, options=options(), name_expressions=[name]).get_function(name)


def launch(source: str, kernel: str, template: Sequence[Any], grid: int, block: int, args: Sequence[Any]) -> None:
    """Run one kernel on the current device and stream.

    Parameters
    ----------
    source : str
        File name in this folder.
    kernel : str
        Name of the template.
    template : sequence of dtypes and ints
        Its arguments.
    grid, block : int
        Number of blocks and of threads in each.
    args : sequence
        CuPy arrays, and ints, which the kernels take as 64-bit integers.
    """
    _kernel(source, expression(kernel, template))(
        (grid,), (block,), tuple(np.int64(arg) if isinstance(arg, int) else arg for arg in args)
    )


def capacity(n: int, dtype: Any) -> int:
    """Return how many elements of a vector of size `n` a kernel keeps in shared memory: all it can, or none."""
    most = SHARED_BYTES // int(np.dtype(dtype).itemsize)
    return most if n <= most else 0


def whole_warps(n: int, most: int) -> int:
    """Return a block size for `n` elements: the next multiple of 32, between 32 and `most`."""
    return max(32, min(most, -(-n // 32) * 32))
