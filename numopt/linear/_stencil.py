"""Five- and seven-point stencils with constant coefficients, without a matrix."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from numopt import kernels
from numopt._array import asarray_like, is_array, namespace, promote
from numopt._core.validation import check_scalar
from numopt._typing import Array

__all__ = ["Stencil"]


class Stencil:
    """Matrix of a 5- or 7-point stencil with constant coefficients on a rectangular grid, zero outside of it.

    Parameters
    ----------
    shape : (ny, nx) or (nz, ny, nx)
        Points of the grid, x fastest (C order).
    coefficients : sequence of 5 or 7 numbers
        Of the point itself and of its neighbours at x - 1, x + 1, y - 1, y + 1 and, in three dimensions, z - 1, z + 1.
        Real or complex.

    Attributes
    ----------
    shape : (n, n)
        Of the matrix; n is the number of points.
    grid : tuple of int
        The grid.
    coefficients : ndarray
        As given, float64 or complex128.
    dtype : dtype
        Of the coefficients.

    Raises
    ------
    TypeError, ValueError
        For a grid or coefficients of another form, or a zero in the middle.

    Notes
    -----
    `numopt.linear.sor` and `numopt.linear.ssor` sweep over it without building a matrix: 16 bytes a point and sweep
    instead of 76. It has no array library of its own and works with vectors of any.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.linear import Stencil, sor
    >>> A = Stencil((20, 20), (4.0, -1.0, -1.0, -1.0, -1.0))
    >>> res = sor(A, np.ones(400), omega=1.74)
    >>> res.success, res.nit < 100
    (True, True)
    """

    def __init__(self, shape: Sequence[int], coefficients: Sequence[float] | Sequence[complex]) -> None:
        if isinstance(shape, int) or len(shape) not in (2, 3):
            raise ValueError(f"`shape` must be (ny, nx) or (nz, ny, nx), got {shape!r}.")
        self.grid = tuple(check_scalar(size, "shape", kind=int, low=1) for size in shape)
        (values,) = promote(np.asarray(coefficients), xp=namespace())
        if values.shape != (1 + 2 * len(self.grid),):
            raise ValueError(
                f"`coefficients` must be {1 + 2 * len(self.grid)} numbers for a grid of {len(self.grid)} dimensions, "
                f"got shape {values.shape}."
            )
        if not np.all(np.isfinite(values)) or values[0] == 0:
            raise ValueError(f"`coefficients` must be finite with a nonzero first one, got {values.tolist()}.")
        self.coefficients = values
        self.dtype = values.dtype
        n = math.prod(self.grid)
        self.shape = (n, n)

    def __repr__(self) -> str:
        return f"Stencil({self.grid}, {tuple(self.coefficients.tolist())})"

    @property
    def sizes(self) -> tuple[int, int, int]:
        """``(nz, ny, nx)``, nz = 1 in two dimensions."""
        nz, ny, nx = (1, *self.grid)[-3:]
        return nz, ny, nx

    def seven(self, like: Array) -> Array:
        """Return the coefficients as the seven that the kernels take, in the library and dtype of `like`."""
        return asarray_like(np.pad(self.coefficients, (0, 7 - self.coefficients.size)), like, dtype=like.dtype)

    def matvec(self, x: Array) -> Array:
        """Return ``A x`` for `x` of shape (n,)."""
        if not is_array(x) or tuple(x.shape) != self.shape[1:]:
            raise ValueError(
                f"`x` must be an array of shape {self.shape[1:]}, got {getattr(x, 'shape', type(x).__name__)}."
            )
        xp = namespace(x)
        x, _ = promote(x, self.coefficients[0].item(), xp=xp)
        y = xp.empty_like(x)
        kernels.bind(xp).stencil_product(self.seven(x), *self.sizes, x, y)
        return y

    __matmul__ = matvec

    def tocsr(self) -> Any:
        """Return the matrix as a `scipy.sparse.csr_array`."""
        matrix = sp.csr_array(self.shape, dtype=self.dtype)
        middle, *sides = self.coefficients
        for axis in range(len(self.grid)):
            # The last axis is x, whose neighbours come first.
            first = 2 * (len(self.grid) - 1 - axis)
            before, after = sides[first : first + 2]
            size = self.grid[axis]
            line = sp.diags_array([before, after], offsets=[-1, 1], shape=(size, size), dtype=self.dtype)
            left = sp.eye_array(math.prod(self.grid[:axis]))
            right = sp.eye_array(math.prod(self.grid[axis + 1 :]))
            matrix = matrix + sp.kron(sp.kron(left, line), right, format="csr")
        return sp.csr_array(matrix + middle * sp.eye_array(self.shape[0], format="csr"))
