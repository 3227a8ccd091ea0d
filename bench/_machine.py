"""Where a run took place: processor, versions, commit. Never a host name, a user or a path."""

import functools
import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
FORCED_VARIABLES = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_MAIN_FREE",
    "OMP_PROC_BIND",
    "OMP_PLACES",
    "GOMP_CPU_AFFINITY",
    "KMP_AFFINITY",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_DEBUG_CPU_TYPE",
    "NUMBA_NUM_THREADS",
    "NUMBA_DISABLE_JIT",
    "NUMBA_CPU_NAME",
    "NUMBA_CPU_FEATURES",
    "NUMBA_BOUNDSCHECK",
    "NPY_DISABLE_CPU_FEATURES",
    "LD_PRELOAD",
)
"""Settings that bend a measurement: taken out of the workers' environment and named in the records."""

_PATH = re.compile(r"(?<![\w:/.])(?:/[\w.+\-@ ]+?)+/([\w.+\-]+)")


@functools.cache
def machine() -> dict[str, Any]:
    """Processor model, usable cores, memory in GiB, operating system."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "system": platform.system(),
        "arch": platform.machine(),
    }


def gpu() -> str:
    """Name of the current CUDA device."""
    import cupy

    name: str = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()
    return name


def synchronize() -> None:
    """Wait until the current CUDA device has done all that was asked of it, by whichever library."""
    import cupy

    cupy.cuda.runtime.deviceSynchronize()


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or "unknown"
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else platform.processor() or "unknown"


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (OSError, ValueError, AttributeError):
        return None


@functools.cache
def version(distribution: str) -> str | None:
    """Installed version of a distribution, None when it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions(distributions: Iterable[str] = ()) -> dict[str, str]:
    """Versions of Python, numopt, its numerical base and the given distributions (those installed)."""
    from numopt import __version__

    found = {"python": platform.python_version(), "numopt": __version__}
    for name in ("numpy", "scipy", "numba", *distributions):
        number = version(name)
        if number is not None:
            found[name] = number
    return found


@functools.cache
def commit() -> str | None:
    """Commit of the checkout that numopt runs from (``+`` when files differ from it).

    For an installed copy NUMOPT_COMMIT tells it, as on a machine that was given a wheel; None without.
    """
    told = os.environ.get("NUMOPT_COMMIT")
    if told:
        return told
    here = Path(__file__).resolve().parent
    try:
        top = Path(_git(here, "rev-parse", "--show-toplevel"))
        if top != here.parent:  # a copy inside somebody else's repository
            return None
        # The results file that a run is writing, and the tables made from it, are no change of the code.
        code = (".", ":!bench/results", ":!docs/_tables")
        changed = _git(top, "status", "--porcelain", "--untracked-files=no", "--", *code)
        return _git(here, "rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.strip()


def forced() -> dict[str, str]:
    """The forced settings in this process's environment (a preloaded library by its file name only).

    In a worker: what still holds. In the runner: what was taken out for the workers.
    """
    return {name: without_paths(os.environ[name]) for name in FORCED_VARIABLES if name in os.environ}


@contextmanager
def clean_environment() -> Iterator[None]:
    """Environment for starting the fork server: nothing forced, one thread, so that forking it is safe.

    A worker raises its own thread count afterwards (OpenBLAS and Numba both allow that).
    """
    saved = {name: os.environ.get(name) for name in (*FORCED_VARIABLES, *THREAD_VARIABLES)}
    try:
        for name in FORCED_VARIABLES:
            os.environ.pop(name, None)
        for name in THREAD_VARIABLES:
            os.environ[name] = "1"
        yield
    finally:
        for name, value in saved.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def without_paths(text: str) -> str:
    """Replace absolute paths in a message by their last component."""
    return _PATH.sub(r"\1", text)
