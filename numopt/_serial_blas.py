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
    """Sets one thread on entry and, on exit, the number that there was before anybody entered.

    Depending on its build, a BLAS keeps that number for the process, for each Python thread, or lets the main thread
    alone change it. Every thread therefore sets and restores it by itself, and all restore the number found by the
    first: one that entered while another was inside would find 1 and leave it behind.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._threads = 1
        self._depth = threading.local()

    def __enter__(self) -> None:
        depth = getattr(self._depth, "value", 0)
        self._depth.value = depth + 1
        if depth:
            return
        with self._lock:
            if self._inside == 0:
                self._threads = max((pool["num_threads"] for pool in _pools().info()), default=1)
            self._inside += 1
        _pools().limit(limits=1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth.value -= 1
        if self._depth.value:
            return
        _pools().limit(limits=self._threads)
        with self._lock:
            self._inside -= 1


@functools.cache
def _pools() -> Any:
    import scipy.linalg  # noqa: F401  SciPy brings a BLAS of its own, seen only once it is loaded
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


_SERIAL = _SerialBLAS()


def serial_blas(n: int, xp: Namespace) -> AbstractContextManager[None]:
    """Context for work on dense matrices of order `n`; does nothing where threads do no harm or on a device."""
    return _SERIAL if SMALL <= n < LARGE and is_numpy(xp) else nullcontext()
