"""What `verbose` shows: 0 nothing, 1 a progress bar on stderr, 2 one line an iteration through the logger."""

import logging
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any

_HEADER_EVERY = 20  # lines between two repetitions of the column titles


class _FallbackHandler(logging.Handler):
    """Writes to the current stderr, unless the user has configured a handler by then."""

    def emit(self, record: logging.LogRecord) -> None:
        others = [h for h in logging.getLogger("numopt").handlers if h is not self] + logging.getLogger().handlers
        if not others and sys.stderr is not None:
            sys.stderr.write(self.format(record) + "\n")


def logger() -> logging.Logger:
    """Return the `numopt` logger, able to show INFO lines even where logging was never configured."""
    log = logging.getLogger("numopt")
    if not log.hasHandlers():
        log.addHandler(_FallbackHandler())
    if log.level == logging.NOTSET:  # the root's default level, WARNING, would drop what the user asked for
        log.setLevel(logging.INFO)
    return log


class Progress:
    """Context manager that shows the iterations of one solve.

    With `verbose=0` it holds nothing, imports nothing, and `update` returns at once.
    """

    def __init__(self, verbose: int, solver: str, total: int | None = None) -> None:
        self.verbose = int(verbose)
        self.solver = solver
        self.total = total
        self._bar: Any = None
        self._log: logging.Logger | None = None
        self._lines = 0

    def __enter__(self) -> "Progress":
        if self.verbose == 1:
            from tqdm import tqdm

            self._bar = tqdm(total=self.total, desc=self.solver, unit="it", file=sys.stderr, leave=True)
        elif self.verbose >= 2:
            self._log = logger()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def update(self, nit: int, numbers: Mapping[str, float]) -> None:
        """Show iteration `nit`; the first of `numbers` is the stopping measure, shown beside the bar."""
        if self._bar is not None:
            name, value = next(iter(numbers.items()))
            self._bar.set_postfix_str(f"{name} {value:.2e}", refresh=False)
            self._bar.update(nit - self._bar.n)
        elif self._log is not None:
            if self._lines % _HEADER_EVERY == 0:
                self._log.info("%s %7s %s", self.solver, "nit", " ".join(f"{name:>12s}" for name in numbers))
            self._log.info("%s %7d %s", self.solver, nit, " ".join(f"{value:12.4e}" for value in numbers.values()))
            self._lines += 1
