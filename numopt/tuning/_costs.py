"""What a solve cost, and what is kept of a cost that is out of line."""

import math
import numbers
from collections import deque
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from numopt._core.validation import check_choice

KINDS = ("nit", "time", "flops")

# Seconds: a cost above CLIP times the median of the last WINDOW costs of its arm is cut to that; an arm with fewer than
# ENOUGH costs is compared with all arms.
CLIP, WINDOW, ENOUGH = 10.0, 15, 3


def check_cost_kind(cost: Any) -> str | Callable[[Any], Any]:
    """Return `cost`, one of the names or a function of the solver's result."""
    return cost if callable(cost) else check_choice(cost, "cost", KINDS)


def check_cost(cost: Any, name: str = "cost") -> float:
    """Return a finite non-negative number."""
    if type(cost) is float or type(cost) is int:
        value = float(cost)
    else:
        if hasattr(cost, "item") and getattr(cost, "shape", None) == ():
            cost = cost.item()
        if isinstance(cost, bool) or not isinstance(cost, numbers.Real):
            kind = type(cost).__name__
            raise TypeError(f"`{name}` must be a non-negative finite float, got {cost!r} of type {kind}.")
        value = float(cost)
    if not 0.0 <= value < math.inf:
        raise ValueError(f"`{name}` must be a non-negative finite float, got {value}.")
    return value


def measure(kind: str | Callable[[Any], Any], result: Any, seconds: float, work: float | None = None) -> float:
    """Return the cost of a solve; `work` stands for the flops of a result that has none."""
    if kind == "time":
        return seconds
    if callable(kind):
        return check_cost(kind(result))
    found = field(result, kind)
    if found is None and kind == "flops" and work is not None:
        found = work
    if found is None:
        raise TypeError(
            f"`cost` is {kind!r}, but the solver's result, of type {type(result).__name__}, has no `{kind}`; use "
            "cost='time' or a function of the result."
        )
    return check_cost(found)


def field(result: Any, name: str) -> Any:
    """Return a field of a result object or mapping, None where it has none."""
    if isinstance(result, Mapping):
        return result.get(name)
    return getattr(result, name, None)


class OutlierFilter:
    """Sliding windows of the costs of each arm, against whose medians outliers are cut."""

    def __init__(self, d: int) -> None:
        self._own: list[deque[float]] = [deque(maxlen=WINDOW) for _ in range(d)]
        self._all: deque[float] = deque(maxlen=WINDOW)

    @property
    def ready(self) -> bool:
        """Whether there is something to compare with."""
        return len(self._all) >= ENOUGH

    def add(self, arm: int, cost: float) -> None:
        """Remember a cost."""
        self._own[arm].append(cost)
        self._all.append(cost)

    def clip(self, arm: int, cost: float) -> float:
        """Return the cost, or what an outlier is cut to."""
        window = self._own[arm] if len(self._own[arm]) >= ENOUGH else self._all
        return min(cost, CLIP * median(window)) if len(window) >= ENOUGH else cost

    def asdict(self) -> dict[str, Any]:
        """Return the windows as lists."""
        return {"own": [list(window) for window in self._own], "all": list(self._all)}

    def load(self, state: dict[str, Any]) -> None:
        """Take over windows from `asdict`."""
        self._own = [deque(window, maxlen=WINDOW) for window in state["own"]]
        self._all = deque(state["all"], maxlen=WINDOW)
