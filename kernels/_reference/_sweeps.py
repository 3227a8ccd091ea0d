"""Sweeps over the rows, or blocks of rows, of a matrix."""

from collections.abc import Callable

from numopt._typing import Array


def halves(order: int) -> tuple[bool, ...]:
    """Return the half sweeps of a sweep, True for those that go forward."""
    return {1: (True,), -1: (False,), 0: (True, False)}[order]


def run_sweeps(update: Callable[[int, bool], float], count: int, order: int, norms: Array) -> None:
    """Sweep len(norms) times; `norms` becomes what the updates of a sweep's first half add up to.

    `update(item, forward)` is called for `count` rows or blocks one after the other: classes only allow to take several
    at once. It returns the squared norm of the residual of its rows before the sweep.
    """
    for k in range(norms.shape[0]):
        first, *second = halves(order)
        norms[k] = sum(update(item, first) for item in _items(count, first))
        for forward in second:
            for item in _items(count, forward):
                update(item, forward)


def _items(count: int, forward: bool) -> range:
    return range(count) if forward else range(count - 1, -1, -1)
