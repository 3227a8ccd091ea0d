"""The one decorator of all Numba kernels."""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import config

_settings: Any = config  # filled from the environment when Numba is imported

# Sums may be reordered, so that they vectorise, and a * b + c may become one rounding; NaN and infinities keep their
# meaning (`nnan` and `ninf` are what would take it away).
REASSOCIATE = frozenset({"reassoc", "contract", "nsz", "arcp"})
# The last alone, where nothing may be reordered.
CONTRACT = frozenset({"contract"})


@functools.cache
def folder_stamp(folder: Path = Path(__file__).parent) -> str:
    """Return what cached machine code depends on besides the file of its kernel.

    Numba looks at the file that defines a function but not at the files of the helpers compiled into it, and its key
    leaves out NUMBA_BOUNDSCHECK, without which a run under that flag would load code that checks nothing.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return f"{digest.hexdigest()}-boundscheck={_settings.BOUNDSCHECK}"


def jit(function: Callable[..., Any] | None = None, *, parallel: bool = False, fastmath: frozenset[str] = frozenset()):
    """Compile with the options of the library: cached on disk, without the GIL, divisions as IEEE 754 has them."""
    if function is None:
        return functools.partial(jit, parallel=parallel, fastmath=fastmath)
    compiler = numba.njit(cache=True, nogil=True, error_model="numpy", parallel=parallel, fastmath=set(fastmath))
    dispatcher: Any = compiler(function)
    # Private attributes; a test notices when a Numba release moves them.
    cache_file = dispatcher._cache._cache_file
    cache_file._source_stamp = (cache_file._source_stamp, folder_stamp(Path(function.__code__.co_filename).parent))
    return dispatcher
