"""User callbacks by SciPy's rule."""

import inspect
from collections.abc import Callable
from typing import Any

from scipy.optimize import OptimizeResult

from numopt._array import namespace


class WrappedCallback:
    """A user's callback as `f(intermediate_result) -> stop?`; see `wrap_callback`."""

    __slots__ = ("_by_keyword", "_function")

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        try:
            self._by_keyword = set(inspect.signature(function).parameters) == {"intermediate_result"}
        except (TypeError, ValueError):  # some builtins show no signature
            self._by_keyword = False

    def __call__(self, intermediate_result: OptimizeResult) -> bool:
        """Call the user's function; True means that it raised StopIteration."""
        try:
            if self._by_keyword:
                self._function(intermediate_result=intermediate_result)
            else:
                x = intermediate_result["x"]
                # A copy, as in SciPy: users store what they get, solvers overwrite what they have.
                self._function(namespace(x).asarray(x, copy=True))
        except StopIteration:
            return True
        return False


def wrap_callback(callback: Callable[..., Any] | None) -> Callable[[OptimizeResult], bool] | None:
    """Return the callback as a function of the intermediate result that tells whether to stop; None stays None.

    SciPy's rule: a callback whose only parameter is called `intermediate_result` gets the result object by keyword,
    any other gets `callback(xk)`; StopIteration stops the solve. A wrapped callback is returned as it is.
    """
    if callback is None or isinstance(callback, WrappedCallback):
        return callback
    if not callable(callback):
        raise TypeError(f"`callback` must be callable or None, got {callback!r} of type {type(callback).__name__}.")
    return WrappedCallback(callback)
