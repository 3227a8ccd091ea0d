"""Chebyshev acceleration of symmetric sweeps, with the spectral radius found on the way."""

import math
from typing import Any

import numpy as np

from numopt._array import namespace
from numopt._typing import Array
from numopt.linear._relaxation import SymmetricRelaxation

__all__ = ["ChebyshevRelaxation"]

_FIRST_PHASE = 5
_MAX_RADIUS = 1 - 1e-12


class ChebyshevRelaxation:
    """Semi-iteration on symmetric sweeps, whose iteration matrix has its spectrum in [0, radius], radius < 1.

    With a sweep S the iterates are ``x_{k+1} = x_{k-1} + w_k (g (S x_k - x_k) + x_k - x_{k-1})``. A phase keeps one
    estimate of the radius; at its end the reduction that was seen is turned into a better one (Hageman and Young 1981,
    section 5.4), unless it was as good as the estimate promised.
    """

    def __init__(self, engine: SymmetricRelaxation) -> None:
        self._engine = engine
        self.omega, self.work = engine.omega, engine.work
        self.radius = 0.0
        self._norm_at_start = math.nan
        self._length = _FIRST_PHASE
        self._begin()

    def sweep(self, count: int) -> "np.ndarray[Any, Any]":
        """Do `count` accelerated sweeps; return ``||b - A x||_2`` before each of them."""
        return np.concatenate([self._step() for _ in range(count)])

    def answer(self) -> Array:
        """Return the iterate in the order of the unknowns."""
        return self._engine.answer()

    def _begin(self) -> None:
        """Start a phase: the recurrence begins anew from the iterate."""
        self._done = 0
        self._weight = 1.0
        self._before: tuple[Array, Array] | None = None

    def _step(self) -> "np.ndarray[Any, Any]":
        engine, xp = self._engine, namespace(self._engine.x)
        here = xp.asarray(engine.x, copy=True), xp.asarray(engine.upper, copy=True)
        norm = engine.sweep(1)
        if self._done == self._length:
            self._learn(float(norm[0]))
        if self._done == 0:
            self._norm_at_start = float(norm[0])
        shift, ratio = 2 / (2 - self.radius), self.radius / (2 - self.radius)
        if self._done == 1:
            self._weight = 1 / (1 - ratio**2 / 2)
        elif self._done > 1:
            self._weight = 1 / (1 - ratio**2 * self._weight / 4)
        before = here if self._before is None else self._before
        # U x is linear in x, so that the sums that the sweeps keep are combined as the iterates are.
        for new, old, older in zip((engine.x, engine.upper), here, before, strict=True):
            new[...] = older + self._weight * (shift * (new - old) + old - older)
        self._before = here
        self._done += 1
        return norm

    def _learn(self, norm: float) -> None:
        """End a phase: improve the radius if the reduction fell short of what the old one promised."""
        reduction = norm / self._norm_at_start
        if not 0 < reduction < math.inf:
            self._begin()
            return
        if self.radius == 0:
            radius = reduction ** (1 / self._length)
        else:
            # T_p(1 / ratio) is the reduction promised, T_p at the image of the true radius how far it was missed.
            promised = math.cosh(self._length * math.acosh((2 - self.radius) / self.radius))
            missed = reduction * promised
            if missed <= 1:
                self._length *= 2
                self._begin()
                return
            radius = self.radius * (1 + math.cosh(math.acosh(missed) / self._length)) / 2
        self.radius = min(max(radius, self.radius), _MAX_RADIUS)
        self._length = max(_FIRST_PHASE, int(2 / math.sqrt(1 - self.radius)))
        self._begin()
