"""Wall-clock seconds of a call."""

import time
from collections.abc import Callable
from typing import Any


def stopwatch(function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, float]:
    """Return what a function returns, and the seconds it took."""
    start = time.perf_counter()
    result = function(*args, **kwargs)
    return result, time.perf_counter() - start
