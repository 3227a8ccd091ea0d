"""Element and group functions of one type, evaluated together.

A block owns views of the output buffers: for each level (value, gradient, Hessian) one row per slot, one column per
element. `start(x)` returns an iterator; each step fills the next level, so that values at a trial point cost no
derivatives, and derivatives asked for later reuse what the values computed.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from numopt.problems._base import Vector
from numopt.problems.cutest._trace import Node, Program, UntraceableError, trace

Shipped: TypeAlias = Callable[[int, Vector, int], Any]
"""(nargout, variables as a column, element or group number) -> value[, gradient[, Hessian]]."""

_MAX_VALUES = 64
"""Programs made at most for one type that branches on its parameters (one for each value of theirs)."""


class Block(Protocol):
    """What the evaluation needs of a block."""

    name: str
    """Name of the element or group type."""
    traced: bool
    """Whether all elements are evaluated at once."""
    index: NDArray[np.intp]
    """Variables of each element, shape (n_slots, n_elements)."""
    members: NDArray[np.intp]
    """Element (or group) numbers, shape (n_elements,)."""
    gradient_slots: list[int]
    hessian_slots: list[tuple[int, int]]

    def attach(self, outputs: Sequence[Vector]) -> None:
        """Take views of shape (n_slots, n_elements) for the three levels."""

    def start(self, x: Vector) -> Iterator[None]:
        """Begin at `x`; each step of the iterator fills one level."""


class TracedBlock:
    """Replays a traced program on all elements at once."""

    traced = True

    def __init__(
        self,
        name: str,
        program: Program,
        index: NDArray[np.intp],
        members: NDArray[np.intp],
        parameters: Sequence[Vector],
    ) -> None:
        self.name = name
        self.program = program
        self.index = index
        self.members = members
        self.parameters = parameters
        self.gradient_slots = program.gradient_slots
        self.hessian_slots = program.hessian_slots
        self._gather = index
        self._operands: Sequence[Any] = parameters
        self._outputs: tuple[Any, ...] = ()

    def attach(self, outputs: Sequence[Vector]) -> None:
        """Take the output views and write the constant slots once."""
        values, gradient, hessian = outputs
        rows: list[list[Any]] = [[values[0]], list(gradient), list(hessian)]
        for level, expressions in enumerate(self.program.levels):
            for slot, expression in enumerate(expressions):
                if not isinstance(expression, Node):
                    rows[level][slot][:] = expression
        if self.members.size == 1:
            # One element: NumPy scalars cost a tenth of arrays of length one.
            self._gather = self.index[:, 0]
            self._operands = [p[0] for p in self.parameters]
        single = self.members.size == 1
        self._outputs = tuple(view[:, 0] if single else view for view in outputs)

    def start(self, x: Vector) -> Iterator[None]:
        """Begin at `x`."""
        return self.program.run(x[self._gather], self._operands, self._outputs)


class ShippedBlock:
    """Calls the shipped function element by element: for functions that branch on their arguments."""

    traced = False

    def __init__(
        self,
        name: str,
        shipped: Shipped,
        index: NDArray[np.intp],
        members: NDArray[np.intp],
        numbers: NDArray[np.intp],
    ) -> None:
        n = index.shape[0]
        self.name = name
        self.index = index
        self.members = members
        self.gradient_slots = list(range(n))
        self.hessian_slots = [(i, j) for i in range(n) for j in range(i + 1)]
        self._shipped = shipped
        self._numbers = numbers.tolist()
        self._lower = np.tril_indices(n)
        self._outputs: Sequence[Vector] = ()

    def attach(self, outputs: Sequence[Vector]) -> None:
        """Take the output views."""
        self._outputs = outputs

    def start(self, x: Vector) -> Iterator[None]:
        """Begin at `x`."""
        points = x[self.index]
        values, gradient, hessian = self._outputs
        columns = range(self.members.size)
        for column in columns:
            values[0, column] = _scalar(self._call(1, points, column))
        yield
        for column in columns:
            result = self._call(2, points, column)
            gradient[:, column] = np.reshape(result[1], -1) if isinstance(result, tuple) else math.nan
        yield
        for column in columns:
            result = self._call(3, points, column)
            square = np.reshape(result[2], (len(points), len(points))) if isinstance(result, tuple) else None
            hessian[:, column] = math.nan if square is None else square[self._lower]
        yield

    def _call(self, nargout: int, points: Vector, column: int) -> Any:
        try:
            return self._shipped(nargout, points[:, column : column + 1], self._numbers[column])
        except (ArithmeticError, ValueError):  # what Python floats raise where NumPy gives inf or nan
            return math.nan


def _scalar(value: Any) -> float:
    return float(np.reshape(value, -1)[0])


def make_blocks(
    name: str,
    symbolic: Callable[[Any, Any], tuple[Any, Any, Any]],
    shipped: Shipped,
    index: NDArray[np.intp],
    members: NDArray[np.intp],
    numbers: NDArray[np.intp],
    parameters: Vector,
    *,
    shipped_hessian: bool = True,
) -> list[Block]:
    """Trace a function, once or for each value of its parameters, or fall back to calling it element by element.

    Parameters
    ----------
    name : str
        Name of the type.
    symbolic : callable
        (variable symbols, parameters) -> value, gradient, Hessian.
    shipped : callable
        The function as shipped.
    index, members : arrays
        See `Block`.
    numbers : array of shape (n_elements,)
        What `shipped` is told of each element.
    parameters : array of shape (n_parameters, n_elements)
        Parameters of each element.
    shipped_hessian : bool, default True
        False differentiates the shipped gradient.
    """
    shared = [float(p[0]) if (p == p[0]).all() else None for p in parameters]
    try:
        with np.errstate(all="ignore"):
            program = trace(symbolic, index.shape[0], shared, shipped_hessian=shipped_hessian)
    except UntraceableError:
        _, value = np.unique(parameters, axis=1, return_inverse=True)
        if None not in shared or value.max() >= _MAX_VALUES:
            return [ShippedBlock(name, shipped, index, members, numbers)]
        return [
            block
            for chosen in (value == v for v in range(value.max() + 1))
            for block in make_blocks(
                name, symbolic, shipped, index[:, chosen], members[chosen], numbers[chosen], parameters[:, chosen],
                shipped_hessian=shipped_hessian,
            )
        ]  # fmt: skip
    varying = [p for p, value in zip(parameters, shared, strict=True) if value is None]
    return [TracedBlock(name, program, index, members, varying)]
