"""Newton directions for many small transport problems at once, from whole plans by dense factorisations.

As in `_newton`, (H + mu D) d = gradient with D = diag(r, c), where mu is raised until no potential moves by more than
the radius (in units of the regularisation). In the unknowns sqrt(r) df, sqrt(c) dg the matrix is

    [[(1 + mu) I, Q], [Q', (1 + mu) I]],    Q = diag(r)^-1/2 P diag(c)^-1/2,

so that one product Q Q' serves every mu: its Schur complement is (1 + mu) I - Q Q' / (1 + mu).
"""

from typing import NamedTuple

import numpy as np

from numopt._array import asarray_like, namespace, to_host
from numopt._typing import Array
from numopt.ot._batch_problem import Floats, Ints, chosen, merged

RADIUS = 10.0
SMALLEST_SHIFT = 1e-9
LARGEST_SHIFT = 10.0
TRIALS = 40
# Parts of the plan that hang together by nothing but rounding make the matrix singular; this much more on its diagonal
# lets the factorisation pass.
LIFT = 1e-13


class Steps(NamedTuple):
    """A step for each problem, in units of the regularisation, and what it promises.

    Attributes
    ----------
    rows, columns : array of shape (k, n), (k, m)
    shift, largest : array of shape (k,), on the host
        mu, and the largest change of a potential.
    slope, predicted : array of shape (k,), on the host
        Of the dual along the step, and its rise; zero where no step was found.
    """

    rows: Array
    columns: Array
    shift: Floats
    largest: Floats
    slope: Floats
    predicted: Floats


class _Scaled(NamedTuple):
    """The systems in scaled unknowns."""

    Q: Array
    M: Array  # Q Q'
    gauge: Array  # null vector of I - M
    row_gap: Array
    col_gap: Array
    root_r: Array
    root_c: Array

    def take(self, ids: Ints) -> "_Scaled":
        return self if ids.size == self.M.shape[0] else _Scaled(*(chosen(part, ids) for part in self))


def directions(P: Array, r: Array, c: Array, row_gap: Array, col_gap: Array, mu: Floats, radius: Floats) -> Steps:
    """Solve for a step in each problem, with the shift that its radius asks for."""
    xp = namespace(P)
    if P.shape[1] > P.shape[2]:
        d = directions(xp.matrix_transpose(P), c, r, col_gap, row_gap, mu, radius)
        return d._replace(rows=d.columns, columns=d.rows)
    system = _scaled(P, r, c, row_gap, col_gap)
    k = mu.size
    shift, numbers, factor = mu.copy(), np.zeros((3, k)), np.ones(k)
    pending, found = np.arange(k), []
    for trial in range(TRIALS):
        x, y, numbers[:, pending] = _solve(system, shift[pending])
        largest, slope, _ = numbers[:, pending]
        now, reach = shift[pending], radius[pending]
        sane = np.isfinite(largest) & (slope > 0.0)
        good = sane & ((largest <= reach) | (now >= LARGEST_SHIFT))
        last = trial == TRIALS - 1
        leave = np.flatnonzero(good | last | (~sane & (now >= LARGEST_SHIFT)))
        numbers[:, pending[~sane]] = 0.0
        if leave.size:
            found.append((pending[leave], chosen(x, leave), chosen(y, leave)))
        stay = np.setdiff1d(np.arange(pending.size), leave)
        if not stay.size:
            break
        # A mode that the shift rules moves in inverse proportion to it; far below it, it takes some tens.
        excess = 1.3 * np.where(sane, largest, np.inf)[stay] / reach[stay]
        growth = np.where(sane[stay], np.clip(excess, 2.0, 100.0), 10.0)
        pending = pending[stay]
        shift[pending] = np.maximum(shift[pending] * growth, SMALLEST_SHIFT)
        system = system.take(stay)
    rows, columns = merged(*found)
    largest, slope, length = numbers
    # Even the largest shift leaves long steps where the plan has hardly any of an atom's mass.
    factor = np.where(largest > radius, radius / np.maximum(largest, 1e-300), 1.0)
    predicted = factor * slope - 0.5 * factor**2 * (slope - shift * length)
    factors = asarray_like(np.where(slope > 0.0, factor, 0.0), P, dtype=P.dtype)[:, None]
    zero = asarray_like(slope == 0.0, P)[:, None]
    rows, columns = (xp.where(zero, xp.zeros_like(d), d * factors) for d in (rows, columns))
    return Steps(rows, columns, shift, largest * factor, slope, predicted)


def _scaled(P: Array, r: Array, c: Array, row_gap: Array, col_gap: Array) -> _Scaled:
    """Scale; atoms without mass get 1 on the diagonal and nothing else."""
    xp = namespace(P)
    root_r, root_c = (xp.sqrt(xp.where(s > 0, s, xp.ones_like(s))) for s in (r, c))
    Q = P * (1.0 / root_r)[:, :, None]
    Q *= (1.0 / root_c)[:, None, :]
    gauge = xp.sqrt(r / xp.sum(r, axis=1, keepdims=True))
    M = xp.matmul(Q, xp.matrix_transpose(Q))
    return _Scaled(Q, M, gauge, row_gap / root_r, col_gap / root_c, root_r, root_c)


def _solve(system: _Scaled, mu: Floats) -> tuple[Array, Array, Floats]:
    """One direction a problem; on the host its largest change, the slope of the dual and d'Dd."""
    Q, M, gauge, row_gap, col_gap, root_r, root_c = system
    xp = namespace(Q)
    part = asarray_like(1.0 / (1.0 + mu), Q, dtype=Q.dtype)[:, None]
    rhs = row_gap - part * xp.matmul(Q, col_gap[:, :, None])[:, :, 0]
    # With the gauge's outer product added the matrix is regular; the right-hand side has nothing along the gauge.
    S = M * -part[:, :, None]
    S += gauge[:, :, None] * gauge[:, None, :]
    n = int(M.shape[1])
    diagonal = xp.reshape(S, (-1, n * n), copy=False)[:, :: n + 1]
    lift = max(LIFT, 8.0 * float(xp.finfo(Q.dtype).eps))
    diagonal += asarray_like(1.0 + mu + lift, Q, dtype=Q.dtype)[:, None]
    while True:
        try:
            x = xp.linalg.solve(S, rhs[:, :, None])[:, :, 0]
            break
        except np.linalg.LinAlgError:
            # One exact zero among the pivots of all problems.
            if lift > 1.0:
                raise
            diagonal += 99.0 * lift
            lift *= 100.0
    y = part * (col_gap - xp.matmul(x[:, None, :], Q)[:, 0, :])
    dx, dy = x / root_r, y / root_c
    numbers = xp.stack(
        [
            xp.maximum(xp.max(xp.abs(dx), axis=1), xp.max(xp.abs(dy), axis=1)),
            xp.sum(row_gap * x, axis=1) + xp.sum(col_gap * y, axis=1),
            xp.sum(x * x, axis=1) + xp.sum(y * y, axis=1),
        ]
    )
    return dx, dy, to_host(numbers).astype(np.float64)
