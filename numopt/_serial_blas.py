"""BLAS on one thread while small dense matrices are worked on.

On two cores LAPACK's sytrf takes 1.3 ms on one thread and 2.1 ms on two at n = 311, and no less on two up to n = 1200.
What hurts more: OpenBLAS's second thread goes on spinning after each call and takes the core from what comes next (a
logistic regression with 300 coefficients, as a whole: 120 ms with it, 85 ms without).
"""

import functools
import threading
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

from numopt._array import is_numpy
from numopt._typing import Namespace

SMALL, LARGE = 96, 1500  # below, BLAS does not start threads; above, they pay


class _SerialBLAS:
    """Re-entrant across Python threads: the first to enter sets one thread, the last to leave restores what was."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._limit = _pools().limit(limits=1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limit.restore_original_limits()


@functools.cache
def _pools() -> Any:
    import scipy.linalg  # noqa: F401  SciPy brings a BLAS of its own, seen only once it is loaded
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


_SERIAL = _SerialBLAS()


def serial_blas(n: int, xp: Namespace) -> AbstractContextManager[None]:
    """Context for work on dense matrices of order `n`; does nothing where threads do no harm or on a device."""
    return _SERIAL if SMALL <= n < LARGE and is_numpy(xp) else nullcontext()
