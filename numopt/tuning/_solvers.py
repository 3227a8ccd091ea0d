"""Solvers by name or as functions, called in one way."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from numopt._core.validation import check_choice

NAMES = ("sor", "ssor-cg")


class Solver:
    """A solver of `A x = b` with one parameter left open.

    Options that a user's function does not take (`rtol`, `maxiter`, `time_limit`, `x0`) are not passed to it.
    """

    def __init__(self, solver: Any, param: str | None, options: Mapping[str, Any], limits: Mapping[str, Any]) -> None:
        self.name = solver if isinstance(solver, str) else None
        self.maxiter = limits.get("maxiter")
        self._options = dict(options)
        self._seen = False
        self._by_value = solver is None
        if solver is None:
            self._function: Callable[..., Any] | None = None
            self._param = None
            self._limits = dict(limits)
            return
        self._function, self._param = _resolve(solver, param)
        self._accepts = _acceptor(self._function)
        self._limits = {name: value for name, value in limits.items() if value is not None and self._accepts(name)}

    def takes(self, option: str) -> bool:
        """Tell whether the solver has an option."""
        return not self._by_value and self._accepts(option)

    def __call__(self, A: Any, b: Any, x0: Any, value: Any, **limits: Any) -> Any:
        """Solve with one value of the parameter; without a solver the value itself is the solver."""
        if self._function is None:
            accepts = _acceptor(value)
            options = {k: v for k, v in self._limits.items() if v is not None and accepts(k)} | self._options
            options |= {name: limit for name, limit in limits.items() if accepts(name)}
            return _call(value, accepts, A, b, x0, options)
        options = self._limits | self._options | limits
        if self._param is not None:
            options[self._param] = value
        if self.name == "ssor-cg":
            # The checks cost as much as some iterations: the first system stands for the sequence. NaN in a later one
            # comes out as the status of its solve.
            options.setdefault("assume_symmetric", self._seen)
            options.setdefault("check_finite", not self._seen)
            self._seen = True
        return _call(self._function, self._accepts, A, b, x0, options)

    def work(self, A: Any, nit: int) -> float | None:
        """Return the flops of so many iterations of a solver with a name, None for others."""
        if self.name is None or nit < 0:
            return None
        n = int(A.shape[0])
        nnz = getattr(A, "nnz", None)
        entries = float(n * n if nnz is None else nnz)
        # SOR: 2 a matrix entry and 1 for its residual. Eisenstat's form: 2 an entry, and its vectors.
        return nit * (3.0 * entries if self.name == "sor" else 2.0 * entries + 14.0 * n)


def _resolve(solver: Any, param: str | None) -> tuple[Callable[..., Any], str | None]:
    if isinstance(solver, str):
        check_choice(solver, "solver", NAMES)
        import numopt.linear as linear

        if solver == "sor":
            return linear.sor, param
        return linear.cg, "ssor_omega" if param == "omega" else param
    if not callable(solver):
        raise TypeError(
            "`solver` must be 'sor', 'ssor-cg', a function, or None (the values are solvers), "
            f"got {solver!r} of type {type(solver).__name__}."
        )
    return solver, param


def _acceptor(function: Callable[..., Any]) -> Callable[[str], bool]:
    """Return a function that tells whether a keyword may be passed."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some builtins show no signature
        return lambda name: False
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return lambda name: True
    names = {n for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return names.__contains__


def _call(
    function: Callable[..., Any], accepts: Callable[[str], bool], A: Any, b: Any, x0: Any, options: dict[str, Any]
) -> Any:
    if x0 is not None and accepts("x0"):
        options = {"x0": x0} | options
    return function(A, b, **options)


def ceiling(budget: float, maxiter: int | None) -> int | None:
    """Return the iterations that a budget allows, None for no limit."""
    if math.isinf(budget):
        return maxiter
    allowed = max(1, math.ceil(budget))
    return allowed if maxiter is None else min(allowed, maxiter)
