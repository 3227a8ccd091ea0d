"""Matrix of a 5- or 7-point stencil with constant coefficients: sweeps and product."""

import array_api_compat

from numopt._typing import Array
from numopt.kernels._reference._sweeps import run_sweeps


def _neighbours(i: int, nz: int, ny: int, nx: int) -> list[tuple[int, int]]:
    """Return the neighbours of point `i` inside the grid and the positions of their coefficients."""
    line, column = divmod(i, nx)
    plane, row = divmod(line, ny)
    around = [
        (1, i - 1, column > 0),
        (2, i + 1, column < nx - 1),
        (3, i - nx, row > 0),
        (4, i + nx, row < ny - 1),
        (5, i - nx * ny, plane > 0),
        (6, i + nx * ny, plane < nz - 1),
    ]
    return [(position, j) for position, j, inside in around if inside]


def _colour(i: int, ny: int, nx: int) -> int:
    """Return the parity of the sum of the coordinates of point `i`."""
    line, column = divmod(i, nx)
    return (column + line % ny + line // ny) % 2


def stencil_sweeps(
    coefficients: Array,
    nz: int,
    ny: int,
    nx: int,
    colours: int,
    b: Array,
    omega: float,
    order: int,
    x: Array,
    delta: Array,
    norms: Array,
) -> None:
    """Sweep over the points in their order, or over those of one colour after those of the other."""
    xp = array_api_compat.array_namespace(coefficients, x)
    points = list(range(nz * ny * nx))
    if colours == 2:
        points.sort(key=lambda i: _colour(i, ny, nx))
    turn = {i: place for place, i in enumerate(points)}

    def update(place: int, forward: bool) -> float:
        i = points[place]
        step = b[i] - coefficients[0] * x[i]
        lag = 0 * step
        for position, j in _neighbours(i, nz, ny, nx):
            step = step - coefficients[position] * x[j]
            visited = turn[j] < place if forward else turn[j] > place
            if visited:
                lag = lag + coefficients[position] * delta[j]
        delta[i] = omega * step / coefficients[0]
        x[i] = x[i] + delta[i]
        return float(xp.abs(step + lag)) ** 2

    run_sweeps(update, len(points), order, norms)


def stencil_product(coefficients: Array, nz: int, ny: int, nx: int, x: Array, y: Array) -> None:
    """Compute y = A x."""
    for i in range(nz * ny * nx):
        total = coefficients[0] * x[i]
        for position, j in _neighbours(i, nz, ny, nx):
            total = total + coefficients[position] * x[j]
        y[i] = total
