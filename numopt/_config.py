"""Process-wide settings: threads, compilation ahead of use, and what is installed."""

import importlib
import importlib.metadata
import importlib.util
import platform
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

import numpy as np

__all__ = ["set_threads", "show_config", "warmup"]


class set_threads:  # noqa: N801  a function to its users, who may also write `with`
    """Set the number of threads of Numba kernels and BLAS together.

    Parameters
    ----------
    n : int
        Number of threads, from 1 to the number Numba was started with (all cores, or NUMBA_NUM_THREADS).

    Raises
    ------
    TypeError, ValueError
        If `n` is not such an integer.

    Notes
    -----
    Takes effect at once; as a context manager it puts the earlier numbers back in the end. Numba's number belongs to
    the calling Python thread, BLAS has one number for the whole process.

    Examples
    --------
    >>> import numopt
    >>> with numopt.set_threads(1):
    ...     pass  # solve here
    """

    def __init__(self, n: int) -> None:
        # SciPy brings a BLAS of its own, which threadpoolctl sees only once it is loaded.
        importlib.import_module("scipy.linalg")
        threadpoolctl = importlib.import_module("threadpoolctl")
        numba = importlib.import_module("numba")
        most = int(numba.config.NUMBA_NUM_THREADS)
        if isinstance(n, bool) or not isinstance(n, int | np.integer):
            raise TypeError(f"`n` must be an int, got {n!r} of type {type(n).__name__}.")
        if not 1 <= n <= most:
            raise ValueError(f"`n` must be between 1 and {most} (NUMBA_NUM_THREADS), got {n}.")
        self._numba = numba
        self._before = int(numba.get_num_threads())
        numba.set_num_threads(int(n))
        self._blas = threadpoolctl.threadpool_limits(limits=int(n), user_api="blas")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._numba.set_num_threads(self._before)
        self._blas.restore_original_limits()


def warmup(dtypes: Iterable[Any] = ("f8", "f4")) -> None:
    """Compile every CPU kernel now, so that no later call waits for the compiler.

    Parameters
    ----------
    dtypes : iterable of dtypes, default ("f8", "f4")
        float64, float32 or both.

    Raises
    ------
    ValueError
        If another dtype is asked for.

    Notes
    -----
    About a second per kernel and dtype; the code goes to Numba's cache on disk, where later processes find it.
    CSR kernels are compiled for int32 indices; those for int64 compile on first use.

    Examples
    --------
    >>> import numopt
    >>> numopt.warmup(dtypes=["f8"])
    """
    wanted = [np.dtype(dtype) for dtype in dtypes]
    for dtype in wanted:
        if dtype not in (np.dtype(np.float64), np.dtype(np.float32)):
            raise ValueError(f"`dtypes` must hold float64 and float32 only, got {dtype}.")
    compile_kernels = importlib.import_module("numopt.kernels._numba._warmup").compile_kernels
    for dtype in wanted:
        compile_kernels(dtype)


_LIBRARIES = (
    "numpy",
    "scipy",
    "numba",
    "llvmlite",
    "scikit-learn",
    "array-api-compat",
    "array-api-extra",
    "threadpoolctl",
    "tqdm",
)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _threads() -> dict[str, Any]:
    importlib.import_module("scipy.linalg")
    numba = importlib.import_module("numba")
    threadpoolctl = importlib.import_module("threadpoolctl")
    layer = importlib.import_module("numopt.kernels._numba._threads").threading_layer()
    blas = [
        {key: pool.get(key) for key in ("internal_api", "version", "num_threads")}
        for pool in threadpoolctl.threadpool_info()
        if pool["user_api"] == "blas"
    ]
    return {
        "numba": int(numba.get_num_threads()),
        "numba_most": int(numba.config.NUMBA_NUM_THREADS),
        # Numba chooses at the first parallel kernel of the process.
        "threading_layer": layer or "not chosen yet",
        "blas": blas,
    }


def _gpu() -> dict[str, Any]:
    if importlib.util.find_spec("cupy") is None:
        return {"available": False, "reason": "CuPy is not installed"}
    cupy = importlib.import_module("cupy")
    if not cupy.cuda.is_available():
        return {"available": False, "cupy": cupy.__version__, "reason": "CuPy sees no device and driver"}
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
    return {
        "available": True,
        "cupy": cupy.__version__,
        "device": properties["name"].decode(),
        "compute_capability": f"{properties['major']}.{properties['minor']}",
        "memory_gib": round(properties["totalGlobalMem"] / 2**30, 1),
        "cuda_driver": int(cupy.cuda.runtime.driverGetVersion()),
        "cuda_runtime": int(cupy.cuda.runtime.runtimeGetVersion()),
    }


def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Show versions, threads and the GPU, as a report of a problem or of a timing needs them.

    Parameters
    ----------
    mode : {"stdout", "dicts"}, default "stdout"
        Print the configuration, or return it.

    Returns
    -------
    config : dict or None
        With `mode="dicts"`: groups "system", "versions", "threads" and "gpu".

    Raises
    ------
    ValueError
        If `mode` is something else.

    Examples
    --------
    >>> import numopt
    >>> numopt.show_config(mode="dicts")["threads"]["numba"] >= 1
    True
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f'`mode` must be "stdout" or "dicts", got {mode!r}.')
    config: dict[str, Any] = {
        "system": {"python": platform.python_version(), "platform": platform.platform(), "machine": platform.machine()},
        "versions": {"numopt": importlib.import_module("numopt").__version__}
        | {name: version for name in _LIBRARIES if (version := _version(name)) is not None},
        "threads": _threads(),
        "gpu": _gpu(),
    }
    if mode == "dicts":
        return config
    for group, entries in config.items():
        sys.stdout.write(f"{group}\n")
        for name, value in entries.items():
            sys.stdout.write(f"  {name}: {value}\n")
    return None
