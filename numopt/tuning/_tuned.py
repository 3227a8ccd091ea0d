"""Any function with a parameter, made to choose it by itself."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from numopt._core.status import Status
from numopt.tuning._costs import check_cost_kind, measure
from numopt.tuning._outcome import LIMITS, status_of
from numopt.tuning._timing import stopwatch
from numopt.tuning._tuner import BanditTuner

__all__ = ["tuned"]

DEFAULT_GRID = np.linspace(1.0, 1.95, 20)  # relaxation factors, as in the paper


def tuned(
    solver: Callable[..., Any],
    param: str = "omega",
    grid: Iterable[Any] = DEFAULT_GRID,
    cost: str | Callable[[Any], Any] = "nit",
    *,
    context: Callable[..., Any] | None = None,
    tuner: BanditTuner | None = None,
    **options: Any,
) -> Callable[..., Any]:
    """Wrap a function so that it chooses one of its keywords by itself, the better the more often it is called.

    Parameters
    ----------
    solver : callable
        ``solver(*args, **kwargs)``; its result may be anything that the cost can be read from.
    param : str, default 'omega'
        The keyword to choose.
    grid : sequence, default ``numpy.linspace(1, 1.95, 20)``
        Its values.
    cost : {'nit', 'time', 'flops'} or callable, default 'nit'
        A field of the result, the seconds of the call, or a function of the result.
    context : callable, optional
        ``context(*args, **kwargs)`` returns the context of a call, for the methods that take one.
    tuner : BanditTuner, optional
        Use this tuner; `grid`, `cost` and `options` are then its own.
    **options
        Further arguments of `BanditTuner`.

    Returns
    -------
    function : callable
        With the signature of `solver` and an attribute ``tuner``. A call that names `param` itself is passed on as it
        is and teaches the tuner nothing.

    Raises
    ------
    TypeError, ValueError
        As `BanditTuner`; TypeError for a `solver` that cannot be called.

    Notes
    -----
    Where the function raises, the value counts as failed and the next best ones are tried; the first exception is
    raised if all of them raise. A result that says ``success=False``, or a pair ``(x, info)`` with negative info,
    counts as failed too and is returned; one that ended at a limit (`numopt.Status` MAXITER and the like, positive
    info) as censored. Calls may come from several threads.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from numopt.tuning import tuned
    >>> def relax(b, omega=1.0):
    ...     return SimpleNamespace(x=b, nit=20 + 100 * abs(omega - 1.5))
    >>> solve = tuned(relax, grid=[1.0, 1.5, 1.9], rng=0)
    >>> for b in range(300):
    ...     res = solve(b)
    >>> solve.tuner.best()
    1.5
    """
    if not callable(solver):
        raise TypeError(f"`solver` must be callable, got {solver!r} of type {type(solver).__name__}.")
    if not isinstance(param, str):
        raise TypeError(f"`param` must be a str, got {param!r} of type {type(param).__name__}.")
    if context is not None and not callable(context):
        raise TypeError(f"`context` must be callable or None, got {context!r} of type {type(context).__name__}.")
    if tuner is None:
        tuner = BanditTuner(list(grid), cost=check_cost_kind(cost), **options)
    elif not isinstance(tuner, BanditTuner):
        raise TypeError(f"`tuner` must be a BanditTuner or None, got {type(tuner).__name__}.")
    if tuner.method == "hedge":
        raise ValueError("`method` must be one that learns from the cost of one value, got 'hedge'.")
    chosen = tuner

    @functools.wraps(solver)
    def function(*args: Any, **kwargs: Any) -> Any:
        if param in kwargs:
            return solver(*args, **kwargs)
        where = None if context is None else context(*args, **kwargs)
        value, ticket = chosen.ask(where, ticket=True)
        try:
            result, seconds = stopwatch(solver, *args, **kwargs, **{param: value})
        except Exception as error:
            chosen.fail(ticket=ticket)
            for other in chosen.alternatives(ticket):
                try:
                    return solver(*args, **kwargs, **{param: other})
                except Exception:
                    continue
            raise error
        status = status_of(result)
        if status is Status.CONVERGED or status in LIMITS:
            spent = measure(chosen.cost, result, seconds)
            chosen.tell(spent, ticket=ticket, censored=status is not Status.CONVERGED)
        else:
            chosen.fail(ticket=ticket)
        return result

    function.tuner = chosen  # type: ignore[attr-defined]
    return function
