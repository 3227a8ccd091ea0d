"""When a kernel runs in parallel, and what keeps that safe.

Numba's threading layers each have one weakness: `workqueue` aborts the process when two Python threads are inside
parallel kernels at once, `omp` hangs (or ends) a forked child whose parent has used it.
"""

import contextlib
import functools
import os
import threading
from collections.abc import Callable
from typing import Any

import numba
from numba.np.ufunc import parallel as layers

# Below this many multiply-adds, about half a millisecond of one core, a kernel runs serially: a launch costs 8 us on
# an idle machine, but on a busy one it waits for the turn of every thread (docs/kernels.rst).
PARALLEL_MIN_WORK = 1_000_000


class _State:
    """The lock around parallel kernels, and whether this process may run them."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.parallel_allowed = True

    def after_fork_in_child(self) -> None:
        # Another thread of the parent may have held the lock.
        self.lock = threading.RLock()
        self.parallel_allowed = self.parallel_allowed and threading_layer() != "omp"


def threading_layer() -> str | None:
    """Return the threading layer in use, None before the first parallel kernel of the process."""
    try:
        layer: str = layers.threading_layer()
    except ValueError:
        return None
    return layer


_state = _State()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=lambda: _state.after_fork_in_child())


def _exclusive() -> contextlib.AbstractContextManager[Any]:
    """Return what guards a parallel launch: the lock until the layer is known not to need it."""
    if threading_layer() in ("omp", "tbb"):
        return contextlib.nullcontext()
    return _state.lock


class Twins:
    """A kernel in a serial and a parallel form, called as one function.

    Parameters
    ----------
    serial, parallel : Numba dispatchers
        Same arguments, same results; sums may differ in their order where `fastmath` lets the compiler choose it.
    work : callable
        Takes the kernel's arguments and returns about how many multiply-adds they ask for.
    """

    def __init__(self, serial: Any, parallel: Any, work: Callable[..., float]) -> None:
        functools.update_wrapper(self, serial)
        self.serial = serial
        self.parallel = parallel
        self._work = work

    def __call__(self, *args: Any) -> None:
        if _state.parallel_allowed and numba.get_num_threads() > 1 and self._work(*args) >= PARALLEL_MIN_WORK:
            with _exclusive():
                self.parallel(*args)
        else:
            self.serial(*args)
