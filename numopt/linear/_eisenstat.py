"""Eisenstat's form of SSOR-preconditioned conjugate gradients: the matrix made ready, and slices of iterations."""

import math
import time

from numopt import kernels
from numopt._array import device_of, to_host
from numopt._core.status import Status
from numopt._linalg import norm
from numopt._typing import Array
from numopt.linear._pattern import Layout
from numopt.linear._relaxation import split_values
from numopt.linear._scaling import positive_roots
from numopt.linear._system import System, rows_of

__all__ = ["EisenstatCG"]

SLICE_SECONDS = 0.05
# Of the kernel's `info`.
_NORM, _COUNT, _WHY = 3, 4, 5
_NOT_POSITIVE, _NOT_FINITE = 2, 3


class EisenstatCG:
    """Conjugate gradients for ``K^-1 S A S K^-H``, S A S = I + L + L^H of unit diagonal, K = I / omega + L.

    Attributes
    ----------
    bad_row : int or None
        A row whose diagonal entry is not a positive number; then nothing else may be called.
    nit : int
        Iterations so far.
    norm : float
        ``||b - A x||_2`` as the recurrence last had it.
    is_fresh : bool
        Whether the iterate is still that of the last `start` or `restart`.
    """

    def __init__(self, system: System, layout: Layout, omega: float, *, every: int, one_by_one: bool) -> None:
        xp = system.xp
        data, arrangement = rows_of(system).arrange(layout)
        self.bad_row, root = positive_roots(data, arrangement)
        if root is None:
            return
        self._system, self._arrangement, self._root = system, arrangement, root
        self._scale = 1 / root
        ldata, udata = split_values(data, arrangement, self._scale)
        triangles = arrangement.triangles
        self._matrix = (
            ldata, triangles.lindices, triangles.lindptr, udata, triangles.uindices, triangles.uindptr, root,
            arrangement.classes, omega,
        )  # fmt: skip
        self._kernel = kernels.bind(xp).eisenstat_pcg
        self._every, self._one_by_one = every, one_by_one
        self._x = xp.zeros_like(system.b) if system.x0 is None else root * arrangement.forward(system.x0)
        self._p, self._work = (
            xp.zeros_like(self._x),
            xp.empty((2, system.n), dtype=self._x.dtype, device=device_of(root)),
        )
        self._info = xp.zeros(8, dtype=xp.float64, device=device_of(root))
        self._seconds = 4e-9 * (data.shape[0] + 4 * system.n)  # an iteration, until it was measured
        self.nit, self.norm, self.is_fresh = 0, math.inf, False

    def start(self) -> float:
        """Begin at the start of the system; return its residual norm."""
        system = self._system
        return self._begin(system.b if system.x0 is None else system.residual(system.x0))

    def restart(self) -> float:
        """Begin anew from the iterate, with its residual computed; return the norm of that."""
        return self._begin(self._system.residual(self.answer()))

    def advance(self, target: float, most: int) -> Status | None:
        """Iterate for a slice of time, until `target` or a breakdown, whose status is returned."""
        if self.is_fresh:
            # Only now: most restarts find that the iterate is the answer.
            self._r = self._scale * self._arrangement.forward(self._residual)
            self._info[...] = 0.0
        count = 1 if self._one_by_one else max(1, min(most, int(SLICE_SECONDS / self._seconds)))
        started = time.perf_counter()
        self._kernel(*self._matrix, self._every, target, count, self._x, self._r, self._p, self._work, self._info)
        info = to_host(self._info)
        done = int(info[_COUNT])
        self.is_fresh = False
        self._seconds = max((time.perf_counter() - started) / max(done, 1), 1e-7)
        self.nit += done
        self.norm = float(info[_NORM])
        if info[_WHY] == _NOT_POSITIVE:
            return Status.INDEFINITE
        if info[_WHY] == _NOT_FINITE:
            return Status.NONFINITE
        return None

    def answer(self) -> Array:
        """Return the iterate in the order of the unknowns."""
        return self._arrangement.backward(self._scale * self._x)

    def _begin(self, residual: Array) -> float:
        self._residual, self.is_fresh, self.norm = residual, True, math.inf
        return norm(residual)
