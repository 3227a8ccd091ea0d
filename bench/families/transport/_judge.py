"""The bench's own verdict on a transport plan: marginal errors and cost in float64 on the host, the same for all."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numopt.problems import TransportProblem

Floats = NDArray[np.float64]

BLOCK = 1 << 20
"""Entries worked on at a time by each thread: they stay in its cache."""

PARTS = 16
"""Threads, and sums that are added in the end: the same number everywhere, hence the same rounding."""


@dataclass(frozen=True)
class Verdict:
    """What the bench found in the answer.

    Attributes
    ----------
    error : float
        |P 1 - a|_1 + |P' 1 - b|_1, the larger one of the two below.
    error_plan, error_potentials : float or None
        The same of the returned plan, and of the plan ``exp((f_i + g_j - C_ij) / reg)``; None without one.
    value : float
        <C, P> of the returned plan, or of the potentials' where none was returned.
    """

    error: float
    error_plan: float | None
    error_potentials: float | None
    value: float


def judge(problem: TransportProblem, plan: Any, f: Any, g: Any) -> Verdict:
    """Judge a plan, or potentials, or both, of the problem on the host.

    Raises
    ------
    ValueError
        If there is neither, or a shape is not the problem's.
    """
    shape = (problem.n, problem.m)
    found: list[tuple[float, float] | None] = [None, None]
    if plan is not None:
        found[0] = _measure(problem, _plan_rows(plan, shape))
    if f is not None and g is not None:
        found[1] = _measure(problem, _potential_rows(problem, _vector(f, problem.n, "f"), _vector(g, problem.m, "g")))
    known = [part for part in found if part is not None]
    if not known:
        raise ValueError("there is neither a plan nor a pair of potentials to judge.")
    of_plan, of_potentials = (None if part is None else part[0] for part in found)
    # NumPy's maximum keeps a NaN, which is below no level.
    return Verdict(float(np.max([error for error, _ in known])), of_plan, of_potentials, value=known[0][1])


Rows = Callable[[int, int, Floats], Floats]
"""Rows of a plan from `start` to `stop`, given the same rows of the costs."""


def _plan_rows(plan: Any, shape: tuple[int, int]) -> Rows:
    if tuple(plan.shape) != shape:
        raise ValueError(f"`plan` has shape {tuple(plan.shape)}, expected {shape}.")
    if hasattr(plan, "__dlpack__") and not hasattr(plan, "get"):
        plan = np.asarray(plan)
    return lambda start, stop, _: _host(plan[start:stop])


def _potential_rows(problem: TransportProblem, f: Floats, g: Floats) -> Rows:
    def rows(start: int, stop: int, C: Floats) -> Floats:
        exponents = f[start:stop, None] + g
        exponents -= C
        exponents /= problem.reg
        return np.exp(exponents, out=exponents)

    return rows


def _measure(problem: TransportProblem, rows: Rows) -> tuple[float, float]:
    """L1 error of both marginals, and <C, P>."""
    height = max(1, BLOCK // problem.m)

    def part(slices: range) -> tuple[float, Floats, float]:
        error, columns, value = 0.0, np.zeros(problem.m), 0.0
        with np.errstate(all="ignore"):  # a useless answer is judged as such, without a word
            for start in slices:
                stop = min(start + height, problem.n)
                C = np.asarray(problem.cost_rows(start, stop), dtype=np.float64)
                P = rows(start, stop, C)
                error += float(np.abs(P.sum(axis=1) - problem.a[start:stop]).sum())
                columns += P.sum(axis=0)
                # A forbidden pair costs infinity and carries nothing.
                value += float(np.multiply(C, P, where=P != 0, out=np.zeros_like(P)).sum())
        return error, columns, value

    starts = range(0, problem.n, height)
    with ThreadPoolExecutor(PARTS) as pool:
        errors, columns, values = zip(*pool.map(part, [starts[k::PARTS] for k in range(PARTS)]), strict=True)
    with np.errstate(all="ignore"):
        return sum(errors) + float(np.abs(np.sum(columns, axis=0) - problem.b).sum()), sum(values)


def _vector(values: Any, size: int, name: str) -> Floats:
    vector = _host(values)
    if vector.shape != (size,):
        raise ValueError(f"`{name}` has shape {vector.shape}, expected ({size},).")
    return vector


def _host(array: Any) -> Floats:
    """CuPy arrays are fetched; everything else NumPy can read."""
    return np.asarray(array.get() if hasattr(array, "get") else array, dtype=np.float64)
