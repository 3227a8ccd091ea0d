"""Linear systems: single ones, and sequences of related ones as a time-stepping code solves them.

The sequences are those of Khodak, Chow, Balcan and Talwalkar, "Learning to Relax" (ICLR 2024), with two of our own: a
heat equation with a variable coefficient, where no fast transform applies, and a convection-diffusion equation in a
changing wind. All matrices of a sequence share one sparsity pattern; only the values differ.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from numopt._typing import Array

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

Vector = NDArray[np.float64]
RightHandSide = Vector | Callable[[Vector], Vector]
"""A vector, or a function that makes it from the solution of the step before."""
Item = tuple[Array, RightHandSide, float | None]
"""Matrix, right-hand side, context."""

Domain = Literal["square", "L"]

# The offsets of the paper, c = -0.15 + 0.6 Beta(p, q), and the bounds that its contextual learners are given.
_OFFSETS = {"high": (0.5, 1.5), "low": (2.0, 6.0)}
_OFFSET_BOUNDS = (-0.15, 0.65)

_WIND_SPEED = (0.5, 2.0)


@dataclass(frozen=True, eq=False)
class LinearSystem:
    """One linear system ``A x = b``.

    Parameters
    ----------
    A : csr_array of shape (n, n)
        The matrix, float64 or complex128.
    b : array of shape (n,)
        The right-hand side.
    name, source : str
        What it is called and where it comes from.
    spd : bool
        Whether `A` is symmetric positive definite.

    Examples
    --------
    >>> from numopt.problems import LinearSystem
    >>> system = LinearSystem.poisson(10)
    >>> system.n, system.A.nnz, system.spd
    (100, 460, True)
    """

    A: Array
    b: Array
    name: str = "system"
    source: str = "generator"
    spd: bool = False

    @property
    def n(self) -> int:
        """Number of unknowns."""
        return int(self.A.shape[0])

    @classmethod
    def poisson(cls, n: int, dim: int = 2, *, seed: int = 0) -> Self:
        """Poisson equation on the unit cube of dimension `dim`, `n` interior points in each direction.

        The matrix has 2 dim on its diagonal and -1 beside it (the mesh width is left out); `b` is standard normal.
        """
        _check_int("n", n, 1)
        _check_int("dim", dim, 1)
        grid = _Grid(np.ones((n,) * dim, dtype=bool))
        A = grid.matrix(grid.entries(_laplacian_weights(dim)))
        b = np.random.default_rng(seed).standard_normal(grid.n)
        return cls(A, b, name=f"poisson-{dim}d-{n}", spd=True)

    @classmethod
    def laplacian(cls, size: int = 12, domain: Domain = "square", *, shift: float = 0.0, seed: int = 0) -> Self:
        """Five-point Laplacian plus ``shift I`` on a square or an L-shaped domain.

        `size` counts the grid points of one side with the boundary, as MATLAB's ``delsq(numgrid('S', size))`` and
        ``numgrid('L', size)`` do, in the same order: 12 gives 100 unknowns on the square and 75 on the L. `b` is normal
        with norm at most ``sqrt(n)``. The systems of the figure on CG have sizes 12 and 32 and shifts 0 and 0.5.
        """
        _check_int("size", size, 3)
        grid = _Grid(_domain_mask(size, domain))
        A = grid.matrix(grid.entries(_laplacian_weights(2, shift)))
        b = _truncated_normal(np.random.default_rng(seed), grid.n)
        return cls(A, b, name=f"laplacian-{domain}-{size}-{shift:g}", spd=shift >= 0.0)

    @classmethod
    def degenerate(cls, omega: float = 1.4, size: int = 12) -> Self:
        """Square Laplacian with a right-hand side on which SOR's cost jumps at one relaxation parameter.

        `b` is an eigenvector of the residual iteration matrix ``I - A (D / omega + L)^{-1}`` for the smallest of its
        eigenvalues: with this very `omega` SOR converges faster than its asymptotic rate, beside it does not. (The
        paper's script takes the 99th eigenvector in the order of its library, one of many to the eigenvalue
        ``1 - omega``; the jump is the same, from other heights.)

        Raises
        ------
        ValueError
            If `omega` is not below Young's optimal value, above which no eigenvalue is real.
        """
        _check_int("size", size, 3)
        m = size - 2
        beta = math.cos(math.pi / (m + 1))
        # Young: lambda + omega - 1 = omega beta sqrt(lambda), of which the smaller root is wanted.
        discriminant = (omega * beta) ** 2 - 4.0 * (omega - 1.0)
        if not (omega > 1.0 and discriminant > 0.0):
            limit = 2.0 / (1.0 + math.sqrt(1.0 - beta * beta))
            raise ValueError(f"`omega` must be in (1, {limit:.6g}) for size {size}, got {omega}.")
        root = 2.0 * (omega - 1.0) / (omega * beta + math.sqrt(discriminant))
        index = np.arange(1, m + 1)
        side = root**index * np.sin(math.pi * index / (m + 1))
        # The eigenvector of the error's iteration matrix; the residual's is M times that, M = D / omega + L.
        v = np.outer(side, side)
        b = (4.0 / omega) * v
        b[1:, :] -= v[:-1, :]
        b[:, 1:] -= v[:, :-1]
        b = b.ravel() / np.linalg.norm(b)
        grid = _Grid(_domain_mask(size, "square"))
        A = grid.matrix(grid.entries(_laplacian_weights(2)))
        return cls(A, b, name=f"degenerate-{size}-{omega:g}", spd=True)

    @classmethod
    def matrix(cls, name: str, **options: Any) -> Self:
        """System with a matrix of the SuiteSparse collection, by name (see `numopt.problems.matrices`).

        The right-hand side is the one of the collection where there is one, else ``A`` times a vector of ones.
        `options` go to `numopt.problems.matrices.load`.

        Raises
        ------
        ValueError
            If the matrix is not square.
        """
        from numopt.problems import matrices

        data = matrices.load(name, **options)
        if data.A.shape[0] != data.A.shape[1]:
            raise ValueError(f"`name` must be that of a square matrix; {name!r} has shape {data.A.shape}.")
        b = data.A @ np.ones(data.A.shape[1]) if data.b is None else data.b
        return cls(data.A, b, name=data.name, source=data.source, spd=data.spd)


class SystemSequence:
    """A sequence of linear systems with matrices of one sparsity pattern.

    Iterating yields ``(A, b, context)``. `A` is a fresh csr_array whose values belong to the caller, while the index
    arrays are shared by all of them; `b` is a vector, or a function that makes it from the solution of the step before,
    as time stepping needs it; `context` is a number known before the solve, or None. Every iteration starts afresh and
    yields the same systems.

    Parameters
    ----------
    items : callable
        Returns a fresh iterator over the items.
    name : str
        What it is called.
    n, n_steps : int
        Number of unknowns and of systems.
    context_bounds : tuple of float, optional
        Interval that holds all contexts; None where they carry no information.
    x0 : array of shape (n,), optional
        The state before the first step; None for independent systems, which are solved from zero.
    spd : bool, default True
        Whether all matrices are symmetric positive definite.
    grid_shape : tuple of int, optional
        Shape of the grid if the matrices are five-point operators with constant coefficients on a rectangle with zero
        boundary values, so that `solve_by_transform` applies.

    Examples
    --------
    >>> from numopt.problems import SystemSequence
    >>> heat = SystemSequence.heat(25, n_steps=10)
    >>> u = heat.x0
    >>> for A, b, context in heat:
    ...     u = heat.solve_by_transform(A, b(u)).x
    >>> heat.n, float(u.max()) < float(heat.x0.max())
    (576, True)
    """

    def __init__(
        self,
        items: Callable[[], Iterator[Item]],
        *,
        name: str,
        n: int,
        n_steps: int,
        context_bounds: tuple[float, float] | None = None,
        x0: Vector | None = None,
        spd: bool = True,
        grid_shape: tuple[int, ...] | None = None,
    ) -> None:
        self._items = items
        self.name = name
        self.n = n
        self.n_steps = n_steps
        self.context_bounds = context_bounds
        self.spd = spd
        self.grid_shape = grid_shape
        self._x0 = x0
        self._sines: Vector | None = None

    def __iter__(self) -> Iterator[Item]:
        return itertools.islice(self._items(), self.n_steps)

    def __len__(self) -> int:
        return self.n_steps

    def __repr__(self) -> str:
        return f"<SystemSequence {self.name}: {self.n_steps} systems of {self.n} unknowns>"

    @property
    def x0(self) -> Vector | None:
        """The state before the first step, a fresh copy; None for independent systems."""
        return None if self._x0 is None else self._x0.copy()

    @classmethod
    def shifted_laplacian(
        cls, variance: Literal["high", "low"] = "high", n_steps: int = 5000, seed: int = 0, *, size: int = 12
    ) -> Self:
        """Five-point Laplacian plus a random multiple of the identity, independent systems.

        ``A + c I`` on the interior of a square with `size` points on a side (100 unknowns); the context is
        ``c = -0.15 + 0.6 Beta(p, q)`` with p, q = 0.5, 1.5 ('high' variance) or 2, 6 ('low'). `b` is standard normal,
        drawn again until its norm is at most ``sqrt(n)``. The bounds are those of the paper, [-0.15, 0.65]; c reaches
        0.45 at most.
        """
        if variance not in _OFFSETS:
            raise ValueError(f"`variance` must be 'high' or 'low', got {variance!r}.")
        _check_int("n_steps", n_steps, 0)
        _check_int("size", size, 3)
        grid = _Grid(_domain_mask(size, "square"))
        base, unit = grid.entries(_laplacian_weights(2)), grid.entries(_identity_weights(2))
        p, q = _OFFSETS[variance]

        def items() -> Iterator[Item]:
            rng = np.random.default_rng(seed)
            while True:
                c = -0.15 + 0.6 * float(rng.beta(p, q))
                yield grid.matrix(base + c * unit), _truncated_normal(rng, grid.n), c

        return cls(
            items,
            name=f"shifted-laplacian-{variance}",
            n=grid.n,
            n_steps=n_steps,
            context_bounds=_OFFSET_BOUNDS,
            grid_shape=(size - 2, size - 2),
        )

    @classmethod
    def heat(cls, nx: int, n_steps: int = 5000, *, dt: float = 1e-3) -> Self:
        """Heat equation on the unit square with a diffusion that changes in time, by Crank-Nicolson steps.

        ``u_t = k(t) div grad u + f`` on the ``(nx - 1)^2`` interior points with zero boundary values,
        ``k(t) = max(0.1 sin 2 pi t, -10 sin 2 pi t)``. The source is a smooth bump of height 32 and radius 1/8 that
        circles at the distance 1/4 from the centre, 8 turns per unit of time; the state `x0` is a bump of radius 1/4 in
        the middle. A step from t solves ``(I - s L) u+ = (I + s L) u + dt f(t + dt/2)``, ``s = dt k(t + dt/2) / 2``;
        the context is ``k(t)``.
        """
        _check_int("nx", nx, 2)
        _check_int("n_steps", n_steps, 0)
        m = nx - 1
        grid = _Grid(np.ones((m, m), dtype=bool))
        points = np.arange(1, nx) / nx
        minus_laplacian = grid.entries(_laplacian_weights(2) * float(nx * nx))

        def source(t: float) -> Vector:
            angle = 16.0 * math.pi * t
            centre = (0.5 + math.cos(angle) / 4.0, 0.5 + math.sin(angle) / 4.0)
            return 32.0 * _bump(points, centre, 0.125)

        return cls(
            lambda: _crank_nicolson(grid, minus_laplacian, dt, source),
            name=f"heat-{nx}",
            n=grid.n,
            n_steps=n_steps,
            context_bounds=(0.0, 10.0),
            x0=_bump(points, (0.5, 0.5), 0.25).ravel(),
            grid_shape=(m, m),
        )

    @classmethod
    def variable_heat(cls, nx: int, n_steps: int = 5000, *, dt: float = 1e-3) -> Self:
        """Heat equation with a diffusion that changes in time and space: no fast transform applies.

        ``u_t = k(t) div(a grad u)`` with ``a = 1 + 0.9 sin(2 pi x) sin(2 pi y)`` taken in the middle of the edges, `k`
        and grid as in `heat`, no source, the state `x0` being ``exp(-40 |x - (1/2, 1/2)|^2)``.
        """
        _check_int("nx", nx, 2)
        _check_int("n_steps", n_steps, 0)
        m = nx - 1
        grid = _Grid(np.ones((m, m), dtype=bool))
        points, middles = np.arange(1, nx) / nx, (np.arange(nx) + 0.5) / nx
        weights = _variable_weights(points, middles) * float(nx * nx)
        bump = np.exp(-40.0 * (points - 0.5) ** 2)
        return cls(
            lambda: _crank_nicolson(grid, grid.entries(weights), dt, None),
            name=f"variable-heat-{nx}",
            n=grid.n,
            n_steps=n_steps,
            context_bounds=(0.0, 10.0),
            x0=np.outer(bump, bump).ravel(),
        )

    @classmethod
    def convection_diffusion(cls, nx: int = 64, n_steps: int = 1000, seed: int = 0, *, diffusion: float = 1e-2) -> Self:
        """Convection-diffusion equation in a wind that changes at every step, independent systems.

        ``-diffusion div grad u + w . grad u = g`` by upwind differences on ``nx * nx`` interior points of the unit
        square with zero boundary values. The wind `w` has a uniform angle and a uniform speed in [0.5, 2], which is the
        context; `b` is standard normal. The matrices are M-matrices, not symmetric.
        """
        _check_int("nx", nx, 1)
        _check_int("n_steps", n_steps, 0)
        if not (math.isfinite(diffusion) and diffusion > 0.0):
            raise ValueError(f"`diffusion` must be a positive finite float, got {diffusion}.")
        grid = _Grid(np.ones((nx, nx), dtype=bool))
        inverse_h = float(nx + 1)
        base = grid.entries(_laplacian_weights(2) * (diffusion * inverse_h**2))
        # One-sided differences against a wind that blows along +x, +y, -y, -x: the columns of the weights are the
        # neighbours at x - h, y - h, the point itself, y + h, x + h.
        against = [grid.entries(w * inverse_h) for w in _UPWIND]

        def items() -> Iterator[Item]:
            rng = np.random.default_rng(seed)
            while True:
                angle, speed = rng.uniform(0.0, 2.0 * math.pi), float(rng.uniform(*_WIND_SPEED))
                along = (speed * math.cos(angle), speed * math.sin(angle))
                x_part = against[0] if along[0] >= 0.0 else against[3]
                y_part = against[1] if along[1] >= 0.0 else against[2]
                data = base + abs(along[0]) * x_part
                data += abs(along[1]) * y_part
                yield grid.matrix(data), rng.standard_normal(grid.n), speed

        return cls(
            items,
            name=f"convection-diffusion-{nx}",
            n=grid.n,
            n_steps=n_steps,
            context_bounds=_WIND_SPEED,
            spd=False,
        )

    def solve_by_transform(self, A: Array, b: Vector, x0: Vector | None = None, **options: Any) -> "OptimizeResult":
        """Solve a system of this sequence directly by fast sine transforms.

        Parameters
        ----------
        A : csr_array of shape (n, n)
            A matrix of the sequence; its coefficients are read off the first row.
        b : array of shape (n,)
            The right-hand side.
        x0 : array of shape (n,), optional
            Ignored, as are the options: with the arguments of an iterative solver this one can take its place.
        **options
            Ignored.

        Returns
        -------
        OptimizeResult
            `x`, `success`, `status`, `message` and `nit` (1).

        Raises
        ------
        ValueError
            If the sequence has variable coefficients, so that sines are no eigenvectors.
        """
        from scipy.fft import dstn
        from scipy.optimize import OptimizeResult

        if self.grid_shape is None:
            raise ValueError(f"{self.name} has no constant coefficients; sine transforms do not solve it.")
        if self._sines is None:
            squares = [4.0 * np.sin(0.5 * math.pi * np.arange(1, m + 1) / (m + 1)) ** 2 for m in self.grid_shape]
            self._sines = np.add.outer(*squares)
        # Row 0 has no neighbour before it: diagonal, then (if there is one at all) a neighbour after it.
        beside = -float(A.data[1]) if self.n > 1 else 0.0
        eigenvalues = (float(A.data[0]) - 4.0 * beside) + beside * self._sines
        spectrum = dstn(np.reshape(b, self.grid_shape), type=1, norm="ortho")
        spectrum /= eigenvalues
        x = dstn(spectrum, type=1, norm="ortho", overwrite_x=True).ravel()
        result = OptimizeResult()
        result.update(x=x, success=True, status=0, message="Solved by sine transforms.", nit=1)
        return result


class _Grid:
    """Points of a box that belong to a domain, in C order, and the pattern of stencils with 2 d neighbours.

    The rows of a weights array hold a point's stencil in the order of the columns of the matrix: the neighbour before
    it along axis 0, axis 1, ..., the point itself, the neighbour after it along the last axis, ..., axis 0.
    """

    def __init__(self, inside: NDArray[np.bool_]) -> None:
        dim = inside.ndim
        self.n = int(np.count_nonzero(inside))
        number = np.full(tuple(s + 2 for s in inside.shape), -1, dtype=np.int64)
        core = (slice(1, -1),) * dim
        number[core][inside] = np.arange(self.n)
        columns = np.empty((self.n, 2 * dim + 1), dtype=np.int64)
        columns[:, dim] = np.arange(self.n)
        for axis in range(dim):
            columns[:, axis] = np.roll(number, 1, axis)[core][inside]
            columns[:, 2 * dim - axis] = np.roll(number, -1, axis)[core][inside]
        self._present = columns >= 0
        indptr = np.zeros(self.n + 1, dtype=np.int64)
        np.cumsum(self._present.sum(axis=1), out=indptr[1:])
        index = np.int32 if indptr[-1] <= np.iinfo(np.int32).max else np.int64
        self._indptr: Array = indptr.astype(index)
        self._indices: Array = columns[self._present].astype(index)

    def entries(self, weights: Vector) -> Vector:
        """The values of the matrix with these stencils: one for all points, or one for each."""
        values: Vector = np.broadcast_to(weights, self._present.shape)[self._present]
        return values

    def matrix(self, data: Vector) -> Array:
        """The CSR matrix with these values, which it keeps; the index arrays are those of the grid."""
        A = csr_array((data, self._indices, self._indptr), shape=(self.n, self.n))
        A.has_canonical_format = True  # spares every user the pass over the indices that would find out
        return A


class _CrankNicolson:
    """Right-hand side of a step: ``(I + s L) u + dt f``, with ``I + s L = 2 I - A``."""

    __slots__ = ("_A", "_dt", "_source", "_t")

    def __init__(self, A: Array, t: float, dt: float, source: Callable[[float], Vector] | None) -> None:
        self._A, self._t, self._dt, self._source = A, t, dt, source

    def __call__(self, u: Vector) -> Vector:
        b: Vector = 2.0 * u
        b -= self._A @ u
        if self._source is not None:
            b += self._dt * self._source(self._t).ravel()
        return b


def _crank_nicolson(
    grid: _Grid, minus_laplacian: Vector, dt: float, source: Callable[[float], Vector] | None
) -> Iterator[Item]:
    unit = grid.entries(_identity_weights(2))
    for step in itertools.count():
        t = step * dt
        half = t + 0.5 * dt
        data = (0.5 * dt * _diffusion(half)) * minus_laplacian
        data += unit
        A = grid.matrix(data)
        yield A, _CrankNicolson(A, half, dt, source), _diffusion(t)


def _diffusion(t: float) -> float:
    wave = math.sin(2.0 * math.pi * t)
    return max(0.1 * wave, -10.0 * wave)


def _bump(points: Vector, centre: tuple[float, float], radius: float) -> Vector:
    """The smooth function ``exp(1 - 1 / (1 - d^2))`` of the distance d from `centre` in radii, 0 from 1 on."""
    values = np.zeros((points.size, points.size))
    # Outside a small box it is zero.
    box = tuple(slice(*np.searchsorted(points, (c - radius, c + radius))) for c in centre)
    squares = [((points[part] - c) / radius) ** 2 for part, c in zip(box, centre, strict=True)]
    rest = 1.0 - np.minimum(1.0, np.add.outer(*squares))
    with np.errstate(divide="ignore"):
        values[box] = np.exp(1.0 - 1.0 / rest)
    return values


def _truncated_normal(rng: np.random.Generator, n: int) -> Vector:
    """A standard normal vector, given that its norm is at most sqrt(n): about every second draw is."""
    while True:
        sample: Vector = rng.standard_normal(n)
        if float(sample @ sample) <= n:
            return sample


def _domain_mask(size: int, domain: Domain) -> NDArray[np.bool_]:
    """Interior points of the square or the L: first index along x from the left, second along y from the top."""
    if domain not in ("square", "L"):
        raise ValueError(f"`domain` must be 'square' or 'L', got {domain!r}.")
    inside = np.ones((size - 2, size - 2), dtype=bool)
    if domain == "L":
        # The quadrant x <= 0, y <= 0 is cut out; coordinates times size - 1 are integers, so that 0 is met exactly.
        x = np.arange(-(size - 3), size - 2, 2)
        inside[np.logical_and.outer(x <= 0, x[::-1] <= 0)] = False
    return inside


def _laplacian_weights(dim: int, shift: float = 0.0) -> Vector:
    """Stencil of minus the Laplacian (mesh width 1) plus `shift` times the identity."""
    weights = np.full(2 * dim + 1, -1.0)
    weights[dim] = 2.0 * dim + shift
    return weights


def _identity_weights(dim: int) -> Vector:
    weights = np.zeros(2 * dim + 1)
    weights[dim] = 1.0
    return weights


_UPWIND = (
    np.array([-1.0, 0.0, 1.0, 0.0, 0.0]),
    np.array([0.0, -1.0, 1.0, 0.0, 0.0]),
    np.array([0.0, 0.0, 1.0, -1.0, 0.0]),
    np.array([0.0, 0.0, 1.0, 0.0, -1.0]),
)


def _variable_weights(points: Vector, middles: Vector) -> Vector:
    """Stencils of ``-div(a grad)`` (mesh width 1), ``a = 1 + 0.9 sin(2 pi x) sin(2 pi y)`` amid the edges."""

    def a(x: Vector, y: Vector) -> Vector:
        values: Vector = 1.0 + 0.9 * np.outer(np.sin(2.0 * math.pi * x), np.sin(2.0 * math.pi * y))
        return values

    # Each edge is evaluated once, so that the matrix is symmetric to the last bit.
    along_x, along_y = a(middles, points), a(points, middles)
    before_x, after_x, before_y, after_y = along_x[:-1], along_x[1:], along_y[:, :-1], along_y[:, 1:]
    total = before_x + after_x + before_y + after_y
    return np.stack([-before_x, -before_y, total, -after_y, -after_x], axis=-1).reshape(-1, 5)


def _check_int(name: str, value: int, least: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"`{name}` must be an integer, got {value!r}.")
    if value < least:
        raise ValueError(f"`{name}` must be at least {least}, got {value}.")
