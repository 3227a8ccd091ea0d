"""The systems of a sequence, one after the other, with their contexts and starting points."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from numopt._array import is_array, namespace


class Item(NamedTuple):
    """One system."""

    A: Any
    b: Any
    context: Any
    x0: Any


class Starts:
    """The solution before, and where the next solve starts."""

    def __init__(self, x0: Any, first: Any) -> None:
        if isinstance(x0, str):
            if x0 not in ("previous", "zero"):
                raise ValueError(f"`x0` must be 'previous', 'zero', None or an array, got {x0!r}.")
            self._warm = x0 == "previous"
            self.state = first
        elif x0 is None:
            self._warm, self.state = False, first
        elif is_array(x0):
            self._warm, self.state = True, x0
        else:
            raise TypeError(f"`x0` must be 'previous', 'zero', None or an array, got {type(x0).__name__}.")
        self._zero = isinstance(x0, str) and x0 == "zero"

    def start(self, b: Any) -> Any:
        """Return the starting point for a right-hand side; None leaves it to the solver."""
        if self._zero:
            return namespace(b).zeros_like(b)
        return self.state if self._warm else None


def items(systems: Iterable[Any], context: Any, starts: Starts) -> Iterator[Item]:
    """Yield the systems; a right-hand side that is a function gets the solution before."""
    choose = _context_rule(context)
    for number, entry in enumerate(systems):
        if not isinstance(entry, tuple | list) or len(entry) not in (2, 3):
            raise TypeError(f"`systems` must yield (A, b) or (A, b, context), got {_shown(entry)} as number {number}.")
        A, b = entry[0], entry[1]
        if callable(b):
            if starts.state is None:
                raise ValueError(
                    "`systems` yields a function as right-hand side, which needs the state before the first system: "
                    "pass it as `x0`."
                )
            b = b(starts.state)
        yield Item(A, b, choose(A, b, entry[2] if len(entry) == 3 else None), starts.start(b))


def _context_rule(context: Any) -> Callable[[Any, Any, Any], Any]:
    if context is None:
        return lambda A, b, own: own
    if callable(context):
        return lambda A, b, own: context(A, b)
    if isinstance(context, str) or not isinstance(context, Iterable):
        raise TypeError(
            f"`context` must be None, a function of (A, b) or a sequence, got {context!r} of type "
            f"{type(context).__name__}."
        )
    values = iter(context)

    def following(A: Any, b: Any, own: Any) -> Any:
        try:
            return next(values)
        except StopIteration:
            raise ValueError("`context` must have one entry for each system, got fewer.") from None

    return following


def _shown(entry: Any) -> str:
    return f"a {type(entry).__name__}" + (f" of {len(entry)}" if isinstance(entry, tuple | list) else "")
