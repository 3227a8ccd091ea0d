"""Matrix of a 5- or 7-point stencil with constant coefficients: sweeps and product.

In the order of the points, a line of the grid is taken in two passes. The first needs no new value of the line: it sums
all other terms, which vectorises. What is left is x_i = g_i - a x_(i-1), a chain in which each number waits for the one
before; the second pass takes it four links at a time, x_(i+3) = h_i + a^4 x_(i-1), so that it waits a quarter as often.

A neighbour outside the grid is the point itself with the coefficient 0: no branches where the time goes.
"""

import numba
import numpy as np

from numopt.kernels._numba._jit import REASSOCIATE, jit
from numopt.kernels._numba._local import carray, local_memory
from numopt.kernels._numba._sweeps import MOST_SHARES, PARALLEL_MIN_ROWS, SHARE_ROWS, multiply_add, norm2
from numopt.kernels._numba._threads import Twins

# Multiply-adds of a point in a sweep that also finds the residual.
_POINT_WORK = 12


@jit
def _beside(inside, step, coefficient):
    """Return the offset and the coefficient of a neighbour, or those of the point itself where there is none."""
    return (step, coefficient) if inside else (np.uint64(0), coefficient - coefficient)


@jit
def _point(i, middle, b, x, delta, weight, sides, lines):
    """Write x + weight * (b - A x without the neighbour behind) of a point to delta; return |r|^2.

    `sides` and `lines` hold offset and coefficient of each neighbour: ahead of the sweep and behind it in x, to be
    visited next and visited last in y and z; the lags are the changes of those visited last, or x where none is.
    """
    ahead, c_ahead, back, c_back = sides
    next_y, c_next_y, last_y, c_last_y, y_lag, next_z, c_next_z, last_z, c_last_z, z_lag, deep = lines
    value = multiply_add(-middle, x[i], b[i])
    value = multiply_add(-c_ahead, x[i + ahead], value)
    value = multiply_add(-c_next_y, x[i + next_y], value)
    value = multiply_add(-c_last_y, x[i + last_y], value)
    if deep:
        value = multiply_add(-c_next_z, x[i + next_z], value)
        value = multiply_add(-c_last_z, x[i + last_z], value)
    residual = multiply_add(-c_back, x[i + back], value)
    residual = multiply_add(c_last_y, y_lag[i + last_y], residual)
    if deep:
        residual = multiply_add(c_last_z, z_lag[i + last_z], residual)
    delta[i] = multiply_add(weight, value, x[i])
    return norm2(residual)


@jit(fastmath=REASSOCIATE)
def _stretch(first, stop, middle, b, x, delta, weight, sides, lines):
    """Do what `_point` does for points first to stop - 1; return the sum."""
    total = 0.0
    # The loop is compiled for both cases, without a branch inside.
    if lines[-1]:
        for i in range(first, stop):
            total += _point(i, middle, b, x, delta, weight, sides, lines)
    else:
        for i in range(first, stop):
            total += _point(i, middle, b, x, delta, weight, sides, (*lines[:-1], False))
    return total


@jit
def _chain(first, nx, step, factor, x, delta):
    """Solve x_i = delta_i - factor * x_(i-1) along a line; delta becomes the change of x."""
    two, three, four = step + step, step + step + step, step + step + step + step
    minus, square = -factor, factor * factor
    cube, fourth = minus * square, square * square
    i, last = first, x.dtype.type(0)
    for _ in range(nx // 4):
        g0, g1, g2, g3 = delta[i], delta[i + step], delta[i + two], delta[i + three]
        old0, old1, old2, old3 = x[i], x[i + step], x[i + two], x[i + three]
        # As if nothing came before these four: this waits for no one.
        g1 = multiply_add(minus, g0, g1)
        g2 = multiply_add(minus, g1, g2)
        g3 = multiply_add(minus, g2, g3)
        x0 = multiply_add(minus, last, g0)
        x1 = multiply_add(square, last, g1)
        x2 = multiply_add(cube, last, g2)
        last = multiply_add(fourth, last, g3)
        x[i], x[i + step], x[i + two], x[i + three] = x0, x1, x2, last
        delta[i], delta[i + step], delta[i + two], delta[i + three] = x0 - old0, x1 - old1, x2 - old2, last - old3
        i += four
    for _ in range(nx % 4):
        old, last = x[i], multiply_add(minus, last, delta[i])
        x[i], delta[i] = last, last - old
        i += step


@jit
def _natural(coefficients, nz, ny, nx, b, weight, forward, x, delta):
    """Visit the points in their order or backwards and return the sum of |r_i|^2 before."""
    zero, one, line, plane = np.uint64(0), np.uint64(1), np.uint64(nx), np.uint64(nx * ny)
    middle = coefficients[0]
    # Unsigned steps wrap around, so that there are negative ones.
    step = one if forward else zero - one
    to_y = line if forward else zero - line
    to_z = plane if forward else zero - plane
    # Of two neighbours a forward sweep has visited the one with the smaller coordinate, whose coefficient comes first.
    ahead, back = (2, 1) if forward else (1, 2)
    c_ahead, c_back = coefficients[ahead], coefficients[back]
    cy_ahead, cy_back = coefficients[ahead + 2], coefficients[back + 2]
    cz_ahead, cz_back = coefficients[ahead + 4], coefficients[back + 4]
    factor = weight * c_back
    none = c_back - c_back
    total = 0.0
    for z in range(nz):
        next_z, c_next_z = _beside(z < nz - 1, to_z, cz_ahead)
        last_z, c_last_z = _beside(z > 0, zero - to_z, cz_back)
        z_lag = delta if z > 0 else x
        for y in range(ny):
            next_y, c_next_y = _beside(y < ny - 1, to_y, cy_ahead)
            last_y, c_last_y = _beside(y > 0, zero - to_y, cy_back)
            y_lag = delta if y > 0 else x
            start = np.uint64((z * ny + y) * nx if forward else ((nz - 1 - z) * ny + ny - 1 - y) * nx)
            end = start + line - one
            entry, leave = (start, end) if forward else (end, start)
            lines = (next_y, c_next_y, last_y, c_last_y, y_lag, next_z, c_next_z, last_z, c_last_z, z_lag, nz > 1)
            # The ends lack a neighbour.
            sides = (step if nx > 1 else zero, c_ahead if nx > 1 else none, zero, none)
            total += _point(entry, middle, b, x, delta, weight, sides, lines)
            if nx > 1:
                sides = (step, c_ahead, zero - step, c_back)
                total += _stretch(start + one, end, middle, b, x, delta, weight, sides, lines)
                sides = (zero, none, zero - step, c_back)
                total += _point(leave, middle, b, x, delta, weight, sides, lines)
            _chain(entry, nx, step, factor, x, delta)
    return total


@jit
def _coloured_line(line, colour, lagged, c, nz, ny, nx, b, weight, x, delta):
    """Visit the points of one colour in a line; return the sum of |r_i|^2 before the sweep.

    All neighbours have the other colour: all of them have been visited (`lagged`), or none.
    """
    zero, one, row, plane = np.uint64(0), np.uint64(1), np.uint64(nx), np.uint64(nx * ny)
    z, y = line // ny, line % ny
    low_y, c_low_y = _beside(y > 0, zero - row, c[3])
    high_y, c_high_y = _beside(y < ny - 1, row, c[4])
    low_z, c_low_z = _beside(z > 0, zero - plane, c[5])
    high_z, c_high_z = _beside(z < nz - 1, plane, c[6])
    # Never read where it is not finite: a point that is its own neighbour has no change yet.
    low_y_lag, high_y_lag = delta if y > 0 else x, delta if y < ny - 1 else x
    low_z_lag, high_z_lag = delta if z > 0 else x, delta if z < nz - 1 else x
    start = np.uint64(line * nx)
    total = 0.0
    for column in range((y + z + colour) % 2, nx, 2):
        i = start + np.uint64(column)
        low_x, c_low_x = _beside(column > 0, zero - one, c[1])
        high_x, c_high_x = _beside(column < nx - 1, one, c[2])
        step = multiply_add(-c[0], x[i], b[i])
        step = multiply_add(-c_low_x, x[i + low_x], step)
        step = multiply_add(-c_high_x, x[i + high_x], step)
        step = multiply_add(-c_low_y, x[i + low_y], step)
        step = multiply_add(-c_high_y, x[i + high_y], step)
        if nz > 1:
            step = multiply_add(-c_low_z, x[i + low_z], step)
            step = multiply_add(-c_high_z, x[i + high_z], step)
        residual = step
        if lagged:
            low_x_lag, high_x_lag = delta if column > 0 else x, delta if column < nx - 1 else x
            residual = multiply_add(c_low_x, low_x_lag[i + low_x], residual)
            residual = multiply_add(c_high_x, high_x_lag[i + high_x], residual)
            residual = multiply_add(c_low_y, low_y_lag[i + low_y], residual)
            residual = multiply_add(c_high_y, high_y_lag[i + high_y], residual)
            if nz > 1:
                residual = multiply_add(c_low_z, low_z_lag[i + low_z], residual)
                residual = multiply_add(c_high_z, high_z_lag[i + high_z], residual)
        total += norm2(residual)
        delta[i] = weight * step
        x[i] = multiply_add(weight, step, x[i])
    return total


@jit
def _line_shares(lines, nx):
    """Return in how many shares the lines of a grid are dealt: a function of the grid alone."""
    return min(MOST_SHARES, lines, lines * nx // (2 * SHARE_ROWS) + 1)


@jit
def _coloured_share(share, shares, lines, colour, lagged, c, nz, ny, nx, b, weight, x, delta):
    """Visit the points of one colour in one share of the lines."""
    total = 0.0
    for line in range(lines * share // shares, lines * (share + 1) // shares):
        total += _coloured_line(line, colour, lagged, c, nz, ny, nx, b, weight, x, delta)
    return total


@jit
def _serial(coefficients, nz, ny, nx, colours, b, omega, order, x, delta, norms):
    weight = x.dtype.type(omega) / coefficients[0]
    lines = nz * ny
    shares = _line_shares(lines, nx)
    for k in range(norms.size):
        for half in range(2 if order == 0 else 1):
            forward = order > 0 or (order == 0 and half == 0)
            total = 0.0
            if colours == 1:
                if x.size > 0:
                    total = _natural(coefficients, nz, ny, nx, b, weight, forward, x, delta)
            else:
                for turn in range(2):
                    colour = turn if forward else 1 - turn
                    for share in range(shares):
                        total += _coloured_share(
                            share, shares, lines, colour, turn == 1, coefficients, nz, ny, nx, b, weight, x, delta
                        )
            if half == 0:
                norms[k] = total


@jit(parallel=True)
def _parallel(coefficients, nz, ny, nx, colours, b, omega, order, x, delta, norms):
    if colours == 1:
        _serial(coefficients, nz, ny, nx, colours, b, omega, order, x, delta, norms)
        return
    weight = x.dtype.type(omega) / coefficients[0]
    lines = nz * ny
    shares = _line_shares(lines, nx)
    sums = carray(local_memory(norms, MOST_SHARES), MOST_SHARES)
    for k in range(norms.size):
        for half in range(2 if order == 0 else 1):
            forward = order > 0 or (order == 0 and half == 0)
            total = 0.0
            for turn in range(2):
                colour = turn if forward else 1 - turn
                for share in numba.prange(shares):
                    sums[share] = _coloured_share(
                        share, shares, lines, colour, turn == 1, coefficients, nz, ny, nx, b, weight, x, delta
                    )
                for share in range(shares):
                    total += sums[share]
            if half == 0:
                norms[k] = total


def _work(coefficients, nz, ny, nx, colours, b, omega, order, x, delta, norms) -> float:
    if colours == 1 or x.size < 2 * PARALLEL_MIN_ROWS:
        return 0.0
    return float(_POINT_WORK * x.size * norms.size * (2 if order == 0 else 1))


stencil_sweeps = Twins(_serial, _parallel, _work)


@jit
def _product_line(line, c, nz, ny, nx, x, y):
    """Write the product for one line of the grid."""
    zero, one, row, plane = np.uint64(0), np.uint64(1), np.uint64(nx), np.uint64(nx * ny)
    k, j = line // ny, line % ny
    low_y, c_low_y = _beside(j > 0, zero - row, c[3])
    high_y, c_high_y = _beside(j < ny - 1, row, c[4])
    low_z, c_low_z = _beside(k > 0, zero - plane, c[5])
    high_z, c_high_z = _beside(k < nz - 1, plane, c[6])
    start = np.uint64(line * nx)
    for i in range(start, start + row):
        value = multiply_add(c_low_y, x[i + low_y], c[0] * x[i])
        y[i] = multiply_add(c_high_y, x[i + high_y], value)
    if nz > 1:
        for i in range(start, start + row):
            value = multiply_add(c_low_z, x[i + low_z], y[i])
            y[i] = multiply_add(c_high_z, x[i + high_z], value)
    for i in range(start + one, start + row):
        y[i] = multiply_add(c[1], x[i - one], y[i])
    for i in range(start, start + row - one):
        y[i] = multiply_add(c[2], x[i + one], y[i])


@jit
def _product_serial(coefficients, nz, ny, nx, x, y):
    for line in range(nz * ny if nx > 0 else 0):
        _product_line(line, coefficients, nz, ny, nx, x, y)


@jit(parallel=True)
def _product_parallel(coefficients, nz, ny, nx, x, y):
    lines = nz * ny if nx > 0 else 0
    for line in numba.prange(lines):
        _product_line(line, coefficients, nz, ny, nx, x, y)


def _product_work(coefficients, nz, ny, nx, x, y) -> float:
    return float(_POINT_WORK * x.size) / 2


stencil_product = Twins(_product_serial, _product_parallel, _product_work)
