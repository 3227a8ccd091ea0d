"""Conjugate gradients preconditioned by symmetric over-relaxation, in Eisenstat's form."""

import math
from typing import Any

import array_api_compat

from numopt._typing import Array
from numopt.kernels._reference._triangles import product, solve

_MOST_UNCHECKED = 16


def eisenstat_pcg(
    ldata: Array,
    lindices: Array,
    lindptr: Array,
    udata: Array,
    uindices: Array,
    uindptr: Array,
    root: Array,
    classes: Array,
    omega: float,
    check: int,
    target: float,
    maxiter: int,
    x: Array,
    r: Array,
    p: Array,
    work: Array,
    info: Array,
) -> None:
    """Take steps of conjugate gradients for K^-1 A K^-H.

    ``r`` is K^-1 (b - A x); ``info`` keeps what a later call needs to go on as if there had been no break.
    """
    xp = array_api_compat.array_namespace(ldata, x)
    lower, upper = (ldata, lindices, lindptr), (udata, uindices, uindptr)
    t, s = work[0, :], work[1, :]

    def dot(u: Array, v: Array) -> float:
        wide = xp.complex128 if xp.isdtype(u.dtype, "complex floating") else xp.float64
        return float(xp.real(xp.vecdot(xp.astype(u, wide), xp.astype(v, wide))))

    def measure(residual: Array) -> None:
        scaled = root * residual
        norm, size = math.sqrt(dot(scaled, scaled)), math.sqrt(float(info[1]))
        info[3], info[6], info[7] = norm, 0.0, norm / size if size > 0 else 0.0
        if norm <= target:
            info[5] = 1.0
        elif not math.isfinite(norm):
            info[5] = 3.0

    info[4], info[5] = 0.0, 0.0
    if float(info[0]) == 0:
        residual = xp.asarray(r, copy=True)
        solve(*lower, omega, r, upper=False)
        p[...] = xp.zeros_like(p)
        info[0], info[1], info[2] = 1.0, dot(r, r), 0.0
        measure(residual)
    while float(info[4]) < maxiter and float(info[5]) == 0:
        p[...] = r + float(info[2]) * p
        t[...] = p
        solve(*upper, omega, t, upper=True)
        s[...] = p - (2 / omega - 1) * t
        solve(*lower, omega, s, upper=False)
        curvature = dot(p, t + s)
        if not math.isfinite(curvature):
            info[5] = 3.0
        elif curvature <= 0:
            info[5] = 2.0
        else:
            alpha = float(info[1]) / curvature
            x += alpha * t
            r -= alpha * (t + s)
            _count(info, dot(r, r))
            if float(info[5]) == 0 and _due(info, check, target):
                measure(r / omega + product(*lower, r))


def _count(info: Any, size: float) -> None:
    """Note an iteration that ended with r^H r = `size`."""
    info[2] = size / float(info[1])
    info[1] = size
    info[4] += 1.0
    info[6] += 1.0
    if not math.isfinite(size):
        info[5] = 3.0


def _due(info: Any, check: int, target: float) -> bool:
    """Tell whether the residual is to be computed: by the calendar, or when it may be small enough."""
    size, unchecked = float(info[1]), float(info[6])
    if check > 0:
        return size == 0 or unchecked >= check
    return size == 0 or unchecked >= _MOST_UNCHECKED or float(info[7]) * math.sqrt(size) <= 2 * target
