"""Difference quotients for the derivatives that a user leaves out.

Steps follow the usual balance of truncation and rounding: eps^(1/3) for central differences of values, eps^(1/2) for
forward differences of exact gradients, eps^(1/4) for forward differences of gradients that are difference quotients
themselves.
"""

from collections.abc import Callable

from numopt._typing import Array, Namespace


def relative_step(order: float, x: Array, xp: Namespace) -> Array:
    """Step for every component of `x`: eps^order * max(1, |x|)."""
    eps = float(xp.finfo(x.dtype).eps)
    return eps**order * xp.clip(xp.abs(x), min=1.0)


def jacobian(fun: Callable[[Array], Array], x: Array, f0: Array, *, central: bool, xp: Namespace) -> Array:
    """Derivative of `fun` at `x`, of shape `f0.shape + x.shape`, by central or forward differences of `fun`."""
    n = x.shape[0]
    columns = []
    step = relative_step(1 / 3 if central else 1 / 2, x, xp)
    for j in range(n):
        ahead = xp.asarray(x, copy=True)
        ahead[j] = x[j] + step[j]
        if central:
            behind = xp.asarray(x, copy=True)
            behind[j] = x[j] - step[j]
            # The distance actually stepped, rounding included.
            columns.append((fun(ahead) - fun(behind)) / (ahead[j] - behind[j]))
        else:
            columns.append((fun(ahead) - f0) / (ahead[j] - x[j]))
    return xp.stack(columns, axis=-1)


def hessian(gradient: Callable[[Array], Array], x: Array, g0: Array, *, exact: bool, xp: Namespace) -> Array:
    """Symmetrised derivative of `gradient` at `x`; `exact` says whether the gradient is analytic."""
    n = x.shape[0]
    columns = []
    step = relative_step(1 / 2 if exact else 1 / 4, x, xp)
    for j in range(n):
        ahead = xp.asarray(x, copy=True)
        ahead[j] = x[j] + step[j]
        columns.append((gradient(ahead) - g0) / (ahead[j] - x[j]))
    H = xp.stack(columns, axis=-1)
    return 0.5 * (H + H.T)


def hessian_product(
    gradient: Callable[[Array], Array], x: Array, g0: Array, v: Array, *, exact: bool, xp: Namespace
) -> Array:
    """Product of the derivative of `gradient` at `x` with `v`, by one forward difference along `v`."""
    length = float(xp.linalg.vector_norm(v))
    if length == 0.0:
        return xp.zeros_like(v)
    eps = float(xp.finfo(x.dtype).eps)
    h = eps ** (1 / 2 if exact else 1 / 4) * max(1.0, float(xp.linalg.vector_norm(x))) / length
    return (gradient(x + h * v) - g0) / h
