"""Wall-clock limits."""

import time


class Deadline:
    """Wall clock of one solve, started at construction; never expires when `time_limit` is None."""

    __slots__ = ("_start", "time_limit")

    def __init__(self, time_limit: float | None = None) -> None:
        self.time_limit = time_limit
        self._start = time.perf_counter()

    @classmethod
    def of(cls, time_limit: "float | Deadline | None") -> "Deadline":
        """Return the deadline itself, or a new one that starts now."""
        return time_limit if isinstance(time_limit, Deadline) else cls(time_limit)

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return time.perf_counter() - self._start

    def remaining(self) -> float:
        """Return the seconds left, at least 0; infinite without a limit."""
        return float("inf") if self.time_limit is None else max(0.0, self.time_limit - self.elapsed())

    def expired(self) -> bool:
        """Tell whether the limit has passed."""
        return self.time_limit is not None and self.elapsed() >= self.time_limit
