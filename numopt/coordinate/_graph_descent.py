"""Greedy coordinate descent on a sparse quadratic: single coordinates, O(degree log p) a step.

A step changes the gradient of the neighbours alone, so that the scores of all coordinates stay in a heap and the best
is at its top. The iterates are those of the general loop with blocks of one coordinate.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from numopt._array import is_numpy
from numopt._core.status import Status
from numopt._typing import Array
from numopt.coordinate._problem import largest
from numopt.coordinate._quadratic import Quadratic
from numopt.coordinate._report import Report
from numopt.kernels import bind

__all__ = ["descent_rule", "solve_graph_descent"]

# The kernel's rules by the names of `bcd`, without a penalty and with one.
_SMOOTH_RULES = {"gs": 0, "gsd": 1, "gs-q": 2}
_RULES = {"gs-s": 0, "gs-q": 2}
_UPDATES = ("auto", "exact", "matrix", "gradient")
# Passes between two computations of the gradient from x.
_REFRESH = 50


def descent_rule(
    problem: Quadratic,
    partition: Any,
    block_size: Any,
    selection: str,
    update: str,
    lipschitz: Any,
    options: Mapping[str, Any],
) -> int | None:
    """Return the number of the rule if the choices amount to greedy steps along coordinates of a sparse quadratic."""
    if not (problem.is_sparse and is_numpy(problem.xp)):
        return None
    named = all(isinstance(value, str) for value in (partition, lipschitz))
    if not (named and partition in ("auto", "variable") and lipschitz == "exact" and block_size == 1):
        return None
    if options or update not in _UPDATES or not problem.penalty.is_separable or not bool((problem.lipschitz > 0).all()):
        return None
    return (_SMOOTH_RULES if problem.penalty.is_zero else _RULES).get(selection)


def solve_graph_descent(problem: Quadratic, x0: Array, report: Report, rule: int) -> OptimizeResult:
    """Minimise along one coordinate after the other, the best first.

    Parameters
    ----------
    problem : Quadratic
        Sparse, on NumPy arrays, with a positive diagonal and a separable penalty.
    x0 : array of shape (n_variables,)
        Where to start, within the bounds.
    report : Report
        Stopping rule, limits and result.
    rule : int
        As `descent_rule` returned it.

    Returns
    -------
    OptimizeResult
        As from `bcd`.
    """
    p, graph = problem.n_variables, problem.graph
    penalty = np.stack([np.broadcast_to(part, p) for part in problem.penalty.take(np.arange(p))])
    x, nit, active_set_iter = np.array(x0), 0, 0
    support = x != problem.origin()
    heap = (np.empty_like(x), np.empty(p, dtype=np.int32), np.empty(p, dtype=np.int32))
    chosen = np.full(1 if report.looks else p, -1, dtype=np.int64)
    refresh, idle = 0, False
    status: Status | None = None
    while status is None:
        fresh = nit >= refresh or idle
        if fresh:
            g = problem.bound_product(x) - problem.c
            refresh = nit + _REFRESH * p
        status = _look(problem, report, x, g, nit, int(chosen[-1]))
        if status is not None:
            break
        steps = chosen[: max(1, int(min(chosen.size, report.maxiter - nit)))]
        bind(np).greedy_steps(
            graph.data, graph.indices, graph.indptr, problem.lipschitz, penalty, rule, int(fresh), x, g, *heap, steps
        )
        done = int(np.count_nonzero(steps >= 0))
        nit += done
        if done == 0 and idle:
            # Not even the gradient computed anew has a coordinate to move.
            status = _exhausted(problem, report, x)
        idle = done == 0
        moved = x != problem.origin()
        if not np.array_equal(moved, support):
            support, active_set_iter = moved, nit
    return report.result(
        x, status, nit=nit, npass=nit / p, njev=1 + nit // (_REFRESH * p), active_set_iter=active_set_iter
    )


def _look(problem: Quadratic, report: Report, x: Array, g: Array, nit: int, block: int) -> Status | None:
    """Report an iterate and return what ends the solve."""
    fun = float(0.5 * np.sum(x * (g - problem.c), dtype=np.float64)) + problem.penalty.value(x)
    kkt = largest(problem.xp, problem.penalty.min_subgradient(x, g))
    return report.stops(x, fun=fun, kkt=kkt, nit=nit, npass=nit / problem.n_variables, block=block)


def _exhausted(problem: Quadratic, report: Report, x: Array) -> Status:
    """Say why no coordinate can be moved."""
    certificate = problem.evaluate(x)
    judged = report.verdict(certificate.fun, certificate.kkt, certificate.gap, certificate.floor)
    return Status.STALLED if judged is None else judged
