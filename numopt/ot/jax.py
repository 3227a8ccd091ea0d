"""Entropic optimal transport as a differentiable function of JAX arrays; needs JAX.

The solve itself runs on the host, by `numopt.ot.solve`, through `jax.pure_callback`: it may stand under `jax.jit` and
`jax.grad`, not under forward-mode differentiation.
"""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np

from numopt._core.warnings import ConvergenceWarning, warn
from numopt.ot._result import OTResult
from numopt.ot._solve import solve as solve_on_host

__all__ = ["Transport", "solve"]

_struct: Any = jax.ShapeDtypeStruct


class Transport(NamedTuple):
    """What `solve` returns, JAX arrays: plan (n, m), potentials f (n,) and g (m,), <C, P> and the objective."""

    plan: Any
    f: Any
    g: Any
    value: Any
    reg_value: Any


def solve(a: Any, b: Any, C: Any, reg: float, **options: Any) -> Transport:
    """Entropic optimal transport with gradients by `a`, `b` and `C`.

    Parameters
    ----------
    a, b, C : jax.Array
        Weights and costs as for `numopt.ot.solve`; all in the dtype of `C`.
    reg : float
        Regularisation, a Python number: there is no gradient by it.
    **options
        Of `numopt.ot.solve`, without `constraints`, `init`, `plan`, `callback` and `history`. The gradients are as
        accurate as the marginals: `tol` is worth setting well below the default.

    Returns
    -------
    Transport
        Plan, potentials and values.

    Notes
    -----
    A solve that does not converge warns with a `ConvergenceWarning`, and its gradients are NaN. The gradient solves
    again from the potentials found, which takes a step or two, then one linear system (see `OTResult.vjp`).

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from numopt.ot.jax import solve
    >>> a, C = jnp.full(3, 1 / 3), jnp.abs(jnp.arange(3.0)[:, None] - jnp.arange(3.0) - 1.0)
    >>> gradient = jax.grad(lambda C: solve(a, a, C, 0.5).reg_value)(C)
    >>> bool(jnp.allclose(gradient, solve(a, a, C, 0.5).plan, atol=1e-5))
    True
    """
    refused = {"constraints", "init", "plan", "callback", "history"} & options.keys()
    if refused:
        raise TypeError(f"`{min(refused)}` is no option of the differentiable solve.")
    C = jax.numpy.asarray(C)
    a, b = (jax.numpy.asarray(w, dtype=C.dtype) for w in (a, b))
    found: Transport = _solve(a, b, C, float(reg), tuple(sorted(options.items())))
    return found


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _solve(a: Any, b: Any, C: Any, reg: float, options: tuple[tuple[str, Any], ...]) -> Transport:
    def host(a: Any, b: Any, C: Any) -> Transport:
        result = _result(a, b, C, reg, options)
        if not result.success:
            warn(result.message, ConvergenceWarning)
        return Transport(*(np.asarray(result[name], dtype=C.dtype) for name in Transport._fields))

    shapes = Transport(C.shape, a.shape, b.shape, (), ())
    found: Transport = jax.pure_callback(host, Transport(*(_struct(s, C.dtype) for s in shapes)), a, b, C)
    return found


def _forward(a: Any, b: Any, C: Any, reg: float, options: Any) -> tuple[Transport, Any]:
    found = _solve(a, b, C, reg, options)
    return found, (a, b, C, found.f, found.g)


def _backward(reg: float, options: Any, saved: Any, bars: Transport) -> tuple[Any, Any, Any]:
    def host(a: Any, b: Any, C: Any, f: Any, g: Any, bars: Transport) -> tuple[Any, ...]:
        result = _result(a, b, C, reg, options, init=(np.asarray(f), np.asarray(g)), plan=None)
        if not result.success:
            return tuple(np.full_like(np.asarray(v), np.nan) for v in (a, b, C))
        gradients = result.vjp(**{name: np.asarray(bar) for name, bar in bars._asdict().items()})
        return gradients["a"], gradients["b"], gradients["C"]

    a, b, C = saved[:3]
    shapes = tuple(_struct(v.shape, v.dtype) for v in (a, b, C))
    found: tuple[Any, Any, Any] = jax.pure_callback(host, shapes, *saved, bars)
    return found


def _result(a: Any, b: Any, C: Any, reg: float, options: Any, **more: Any) -> OTResult:
    return solve_on_host(np.asarray(a), np.asarray(b), np.asarray(C), reg, **dict(options), **more)


_solve.defvjp(_forward, _backward)
