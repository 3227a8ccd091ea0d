"""Columns whose Gram matrix has been formed, kept from one working set, and one problem, to the next."""

from numopt._typing import Array, Namespace
from numopt.coordinate._design import Design

__all__ = ["Pool"]

# The pool is thinned when it holds more than this many times the columns that are asked for.
_SLACK = 4
_SMALLEST = 256


class Pool:
    """The Gram matrix ``H = A_W' diag(weights) A_W`` of a growing list of columns W of a design.

    Attributes
    ----------
    design : Design
        Where the columns come from.
    ids : int64 array of shape (k,) or None
        The columns, in the order in which they came.
    H : array of shape (k, k)
        Their Gram matrix.
    part : Design
        The columns themselves.
    """

    def __init__(self, design: Design, weights: Array | None) -> None:
        self.design, self.weights = design, weights
        xp = design.xp
        self.ids: Array = xp.empty(0, dtype=xp.int64, device=design.device)
        self.H: Array = xp.empty((0, 0), dtype=design.dtype, device=design.device)
        self.part: Design = design

    def hold(self, wanted: Array) -> None:
        """Take in the columns `wanted` (ascending); columns that nobody wants go when there are too many of them."""
        xp = self.design.xp
        if self.ids.shape[0] > _SLACK * wanted.shape[0] + _SMALLEST:
            kept = xp.nonzero(_among(xp, self.ids, wanted))[0]
            self.ids = xp.take(self.ids, kept)
            self.H = xp.take(xp.take(self.H, kept, axis=0), kept, axis=1)
            self.part = self.design.gather(self.ids)
        new = xp.take(wanted, xp.nonzero(~_among(xp, wanted, xp.sort(self.ids)))[0])
        if new.shape[0]:
            self.ids = xp.concat([self.ids, new])
            self.part = self.design.gather(self.ids)
            self.H = self.part.extend_gram(self.H, self.weights)


def _among(xp: Namespace, values: Array, ordered: Array) -> Array:
    """Tell which values occur in an ascending array."""
    if ordered.shape[0] == 0:
        return values < values
    places = xp.searchsorted(ordered, values)
    places = xp.minimum(places, xp.asarray(ordered.shape[0] - 1, dtype=places.dtype, device=ordered.device))
    return xp.take(ordered, places) == values
