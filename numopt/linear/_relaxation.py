"""Engines of relaxation: each holds x and the right-hand side in the order of its sweeps and does some at a time."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from numopt import kernels
from numopt._array import device_of, is_sparse, namespace, to_host
from numopt._typing import Array
from numopt.linear._blocks import inverse_blocks, line_factors
from numopt.linear._pattern import Arrangement, Layout
from numopt.linear._stencil import Stencil
from numopt.linear._system import Rows, System, check_rows, real_dtype

__all__ = ["ORDERS", "Relaxation", "SymmetricRelaxation", "make_relaxation", "split_values"]

FORWARD, BACKWARD, SYMMETRIC = 1, -1, 0
ORDERS = {"forward": FORWARD, "backward": BACKWARD, "symmetric": SYMMETRIC}


class Relaxation(ABC):
    """A relaxation method at some iterate.

    Attributes
    ----------
    x : array of shape (n,)
        The iterate, in the order of the sweeps.
    work : int
        Multiply-adds of a sweep, about.
    """

    def __init__(self, system: System, omega: float, order: int, arrangement: Arrangement | None, work: int) -> None:
        xp = system.xp
        self._xp, self._k = xp, kernels.bind(xp)
        self._arrangement = arrangement
        self.omega, self._order, self.work = omega, order, work
        self._b = system.b if arrangement is None else arrangement.forward(system.b)
        self.x = system.start() if arrangement is None else arrangement.forward(system.start())
        self._delta = xp.empty_like(self.x)

    def sweep(self, count: int) -> "np.ndarray[Any, Any]":
        """Do `count` sweeps; return ``||b - A x||_2`` before each of them."""
        norms = self._xp.empty(count, dtype=self._xp.float64, device=device_of(self.x))
        self._advance(norms)
        squares: np.ndarray[Any, Any] = np.sqrt(to_host(norms))
        return squares

    def answer(self) -> Array:
        """Return the iterate in the order of the unknowns, as an array of its own."""
        moved = self.x if self._arrangement is None else self._arrangement.backward(self.x)
        return self._xp.asarray(moved, copy=True) if moved is self.x else moved

    @abstractmethod
    def _advance(self, norms: Array) -> None:
        """Do one sweep for each entry of `norms` and fill in the squared residual norms before them."""


class RowRelaxation(Relaxation):
    """Point by point over the rows of a matrix."""

    def __init__(self, system: System, rows: Rows, layout: Layout, omega: float, order: int) -> None:
        data, arrangement = rows.arrange(layout)
        super().__init__(system, omega, order, arrangement, data.shape[0])
        inverse = 1 / system.xp.take(data, arrangement.split, axis=0)
        self._rows = (data, arrangement.indices, arrangement.indptr, arrangement.split, inverse, arrangement.classes)

    def _advance(self, norms: Array) -> None:
        self._k.sor_sweeps(*self._rows, self._b, self.omega, self._order, self.x, self._delta, norms)


class SymmetricRelaxation(Relaxation):
    """Symmetric sweeps that read each triangle of the matrix once."""

    def __init__(self, system: System, rows: Rows, layout: Layout, omega: float) -> None:
        xp = system.xp
        data, arrangement = rows.arrange(layout)
        super().__init__(system, omega, SYMMETRIC, arrangement, data.shape[0])
        triangles = arrangement.triangles
        inverse = 1 / xp.take(data, arrangement.split, axis=0)
        ones = xp.ones(system.n, dtype=real_dtype(system.b), device=device_of(system.b))
        ldata, udata = split_values(data, arrangement, ones)
        self._lower = (ldata, triangles.lindices, triangles.lindptr)
        self._upper = (udata, triangles.uindices, triangles.uindptr)
        self._rest = (inverse, arrangement.classes, self._b)
        self._delta = xp.empty(2 * system.n, dtype=self.x.dtype, device=device_of(self.x))
        self.upper = _upper_product(system, arrangement, udata, self.x)

    def _advance(self, norms: Array) -> None:
        self._k.ssor_sweeps(*self._lower, *self._upper, *self._rest, self.omega, self.x, self.upper, self._delta, norms)


class BlockRelaxation(Relaxation):
    """Block by block with dense diagonal blocks."""

    def __init__(self, system: System, rows: Rows, layout: Layout, omega: float, order: int) -> None:
        data, arrangement = rows.arrange(layout)
        super().__init__(system, omega, order, arrangement, data.shape[0] + system.n * layout.block_size)
        inverses = inverse_blocks(data, arrangement.indices, arrangement.indptr, arrangement.blocks)
        self._rows = (data, arrangement.indices, arrangement.indptr, arrangement.split, arrangement.blocks, inverses)
        self._classes = arrangement.classes

    def _advance(self, norms: Array) -> None:
        self._k.block_sor_sweeps(
            *self._rows, self._classes, self._b, self.omega, self._order, self.x, self._delta, norms
        )


class LineRelaxation(Relaxation):
    """Line by line with tridiagonal diagonal blocks."""

    def __init__(self, system: System, rows: Rows, layout: Layout, omega: float, order: int) -> None:
        data, arrangement = rows.arrange(layout)
        super().__init__(system, omega, order, arrangement, data.shape[0] + 3 * system.n)
        factors = line_factors(data, arrangement.indices, arrangement.indptr, arrangement.blocks)
        self._rows = (data, arrangement.indices, arrangement.indptr, arrangement.split, arrangement.blocks, factors)
        self._classes = arrangement.classes

    def _advance(self, norms: Array) -> None:
        self._k.line_sor_sweeps(
            *self._rows, self._classes, self._b, self.omega, self._order, self.x, self._delta, norms
        )


class StencilRelaxation(Relaxation):
    """Point by point over a grid, without a matrix."""

    def __init__(self, system: System, stencil: Stencil, colours: int, omega: float, order: int) -> None:
        super().__init__(system, omega, order, None, len(stencil.coefficients) * system.n)
        self._stencil = (stencil.seven(system.b), *stencil.sizes, colours)

    def _advance(self, norms: Array) -> None:
        self._k.stencil_sweeps(*self._stencil, self._b, self.omega, self._order, self.x, self._delta, norms)


def make_relaxation(system: System, layout: Layout, omega: float, order: int) -> Relaxation:
    """Return the engine for a matrix and a layout.

    Raises
    ------
    ValueError
        If the matrix does not admit it: zero diagonal, singular diagonal block, not two-colourable.
    """
    stencil = system.A
    if isinstance(stencil, Stencil) and not layout.is_block and layout.ordering in ("natural", "red-black"):
        colours = 2 if layout.ordering == "red-black" else 1
        return StencilRelaxation(system, stencil, colours, omega, order)
    rows = check_rows(system)
    if layout.is_line:
        return LineRelaxation(system, rows, layout, omega, order)
    if layout.is_block:
        return BlockRelaxation(system, rows, layout, omega, order)
    if order == SYMMETRIC:
        return SymmetricRelaxation(system, rows, layout, omega)
    return RowRelaxation(system, rows, layout, omega, order)


def split_values(data: Array, arrangement: Arrangement, scale: Array) -> tuple[Array, Array]:
    """Return the values of the strict triangles of S A S, S = diag(scale), all in the order of an arrangement."""
    xp = namespace(data)
    triangles = arrangement.triangles
    ldata, udata = (
        xp.empty(part.shape, dtype=data.dtype, device=device_of(data))
        for part in (triangles.lindices, triangles.uindices)
    )
    places = (arrangement.indices, arrangement.indptr, arrangement.split)
    kernels.bind(xp).split_values(data, *places, scale, triangles.lindptr, triangles.uindptr, ldata, udata)
    return ldata, udata


def _upper_product(system: System, arrangement: Arrangement, udata: Array, x: Array) -> Array:
    """Return U x in the order of an arrangement."""
    xp = system.xp
    if system.x0 is None:
        return xp.zeros_like(x)
    triangles = arrangement.triangles
    if is_sparse(system.A.A):
        parts = (udata, triangles.uindices, triangles.uindptr)
        return type(system.A.A.tocsr())(parts, shape=system.A.shape) @ x
    A = system.A.A
    if arrangement.permutation is not None:
        A = xp.take(xp.take(A, arrangement.permutation, axis=0), arrangement.permutation, axis=1)
    return xp.triu(A, k=1) @ x
