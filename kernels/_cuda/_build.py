"""Compile templates of the `.cu` files and launch them on CuPy arrays."""

import functools
import hashlib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from numopt._typing import Array

FOLDER = Path(__file__).parent

# Static shared memory of a block is 48 KiB on every architecture; 1 KiB is left for partial sums.
SHARED_BYTES = 47 * 1024

_C_NAMES = {
    "float64": "double",
    "float32": "float",
    "int64": "long long",
    "int32": "int",
    "complex128": "numopt::Complex<double>",
    "complex64": "numopt::Complex<float>",
}


class Launch(Protocol):
    """How a caller starts a kernel: `launch` below on the device, the emulator's in tests."""

    def __call__(
        self,
        source: str,
        kernel: str,
        template: Sequence[Any],
        grid: int,
        block: int,
        args: Sequence[Any],
        *,
        cooperative: bool = False,
    ) -> None: ...

    def resident(self, source: str, kernel: str, template: Sequence[Any], block: int) -> int: ...


def expression(kernel: str, template: Sequence[Any]) -> str:
    """Return the C++ name of a kernel for dtypes and integers as template arguments."""
    # bool is an int here: 1 and 0 are template arguments for both.
    names = [str(int(item)) if isinstance(item, int) else _C_NAMES[np.dtype(item).name] for item in template]
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


def scalar(value: float) -> np.int64 | np.float64:
    """Return a host number as kernels take it: integers in 64 bits, others in double precision."""
    return np.int64(value) if isinstance(value, int) else np.float64(value)


class _Device:
    """Launches on the current device and stream."""

    def __call__(
        self,
        source: str,
        kernel: str,
        template: Sequence[Any],
        grid: int,
        block: int,
        args: Sequence[Any],
        *,
        cooperative: bool = False,
    ) -> None:
        """Run one kernel.

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
            CuPy arrays, and host numbers as `scalar` passes them.
        cooperative : bool, default False
            Start all blocks at once or fail, as a kernel with grid barriers needs.
        """
        # The flag of RawModule would also compile for separate linking, which needs a CUDA toolkit.
        _kernel(source, expression(kernel, template)).kernel(
            (grid,),
            (block,),
            tuple(scalar(arg) if isinstance(arg, int | float) else arg for arg in args),
            enable_cooperative_groups=cooperative,
        )

    def resident(self, source: str, kernel: str, template: Sequence[Any], block: int) -> int:
        """Return the number of blocks of a kernel that the current device runs at once."""
        return _resident(source, expression(kernel, template), block, _device())


launch = _Device()


def _device() -> int:
    return int(importlib.import_module("cupy").cuda.runtime.getDevice())


@functools.cache
def _resident(source: str, name: str, block: int, device: int) -> int:
    cupy = importlib.import_module("cupy")
    driver = importlib.import_module("cupy_backends.cuda.api.driver")
    each = driver.occupancyMaxActiveBlocksPerMultiprocessor(_kernel(source, name).kernel.ptr, block, 0)
    return int(each) * int(cupy.cuda.Device(device).attributes["MultiProcessorCount"])


def scratch(like: Array, shape: int | tuple[int, ...], dtype: Any) -> Array:
    """Return an uninitialised array of the library of `like`; CuPy's memory pool makes one cost microseconds."""
    return importlib.import_module(type(like).__module__.partition(".")[0]).empty(shape, dtype=dtype)


def vector_width(cost: Array, *others: Array) -> int:
    """Return how many elements of the rows of matrices are read at once: 16 bytes if all rows start at multiples."""
    width = 16 // int(cost.dtype.itemsize)
    aligned = all(_address(array) % 16 == 0 for array in (cost, *others))
    return width if aligned and cost.shape[1] % width == 0 else 1


def _address(array: Array) -> int:
    interface = "__array_interface__" if isinstance(array, np.ndarray) else "__cuda_array_interface__"
    return int(getattr(array, interface)["data"][0])


def capacity(n: int, dtype: Any) -> int:
    """Return how many elements of a vector of size `n` a kernel keeps in shared memory: all it can, or none."""
    most = SHARED_BYTES // int(np.dtype(dtype).itemsize)
    return most if n <= most else 0


def whole_warps(n: int, most: int) -> int:
    """Return a block size for `n` elements: the next multiple of 32, between 32 and `most`."""
    return max(32, min(most, -(-n // 32) * 32))
