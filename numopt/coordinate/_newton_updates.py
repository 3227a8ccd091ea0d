"""Updates of smooth objectives from the Hessian of a block, or from the matrix that bounds it."""

from typing import Any

import numpy as np
import scipy.sparse as sp

from numopt._array import to_host
from numopt._core.status import Status
from numopt._typing import Array
from numopt.coordinate._blocks import BlockCache
from numopt.coordinate._cubic_model import cubic_step
from numopt.coordinate._forest import forest_solve
from numopt.coordinate._problem import Point, Problem
from numopt.coordinate._shifted_solve import shifted_solve
from numopt.coordinate._step import Update

__all__ = ["CubicUpdate", "MatrixUpdate", "MessageUpdate", "NewtonUpdate"]


class MatrixUpdate(Update):
    """d = -H_b^+ g_b with the matrix H_b that bounds the Hessian of the block; times `omega`."""

    name = "matrix"

    def __init__(self, problem: Problem, cache: BlockCache, *, omega: float = 1.0, **search: Any) -> None:
        super().__init__(problem, cache, **search)
        self._omega = omega

    def step(self, point: Point, block: Array) -> Status | None:
        """Solve with the bound."""
        g = point.gradient_block(block)
        try:
            d = self.bound_factor(point, block).solve(-self._omega * g)[0]
        except np.linalg.LinAlgError as error:
            return self.indefinite(block, error)
        return self.advance(point, block, d, self.slope(point, block, g, d))


class NewtonUpdate(Update):
    """d = -Hess_bb(x)^{-1} g_b and a line search; a small multiple of the identity is added where it is singular."""

    name = "newton"

    @staticmethod
    def needs_search(problem: Problem) -> bool:
        """Tell whether full steps may raise F."""
        return True

    def step(self, point: Point, block: Array) -> Status | None:
        """Solve with the Hessian and search along the direction."""
        g = point.gradient_block(block)
        d = shifted_solve(self.hessian(point, block), -g, self.xp)
        if d is None:
            # No curvature here: the bound has some, unless f is linear in the block.
            L = self.problem.block_lipschitz(block)
            if not L > 0:
                self.moved = False
                return None
            d = -g / L
        return self.advance(point, block, d, self.slope(point, block, g, d))


class CubicUpdate(Update):
    """d = argmin g_b'd + d'Hess_bb(x)d/2 + (M_b/6) ||d||^3, which lowers f without a line search."""

    name = "cubic"

    def step(self, point: Point, block: Array) -> Status | None:
        """Minimise the cubic model."""
        g = point.gradient_block(block)
        H = self.hessian(point, block)
        M = self.problem.block_cubic(block)
        try:
            d = cubic_step(H, g, M, self.xp) if M > 0 else self.bound_factor(point, block).solve(-g)[0]
        except np.linalg.LinAlgError as error:
            return self.indefinite(block, error)
        return self.advance(point, block, d, self.slope(point, block, g, d))


class MessageUpdate(Update):
    """The exact step of a block whose Hessian has the pattern of a forest, by elimination from the leaves."""

    name = "message_passing"

    @staticmethod
    def needs_search(problem: Problem) -> bool:
        """Tell whether full steps may raise F."""
        return not problem.is_quadratic

    def __init__(self, problem: Problem, cache: BlockCache, *, omega: float = 1.0, **search: Any) -> None:
        super().__init__(problem, cache, **search)
        self._omega = omega

    def step(self, point: Point, block: Array) -> Status | None:
        """Pass messages from the leaves to the roots and back."""
        g = point.gradient_block(block)
        quadratic = self.problem.is_quadratic
        try:
            if quadratic:
                d = forest_solve(self.problem.graph, block, -g)
            else:
                d = forest_solve(self._hessian(point, block), self._all(block), -g)
        except np.linalg.LinAlgError as error:
            return self.indefinite(block, error)
        if self._omega != 1:
            d = self._omega * d
        return self.advance(point, block, d, self.slope(point, block, g, d))

    def _hessian(self, point: Point, block: Array) -> Any:
        """Return the Hessian within the block as a sparse matrix of the graph's pattern."""
        index = to_host(block)
        pattern = self.problem.graph[index][:, index].tocoo()
        H = to_host(self.hessian(point, block))
        values = H[pattern.row, pattern.col]
        return sp.csr_array((values, (pattern.row, pattern.col)), shape=pattern.shape)

    def _all(self, block: Array) -> Array:
        return self.xp.arange(block.shape[0], device=self.problem.device)
