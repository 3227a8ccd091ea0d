"""The bench's own verdict on solutions of linear systems: true residuals in float64 on the host, the same for all."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import diags_array, tril
from scipy.sparse.linalg import spsolve_triangular

from numopt.bench._records import digits
from numopt.bench.families.linear import _theory
from numopt.bench.peers import _linear as linear
from numopt.problems import LinearSystem

Floats = NDArray[np.float64]

SLACK = 1.01
"""A solver that follows its residual by a recurrence may be above the tolerance by as much as the two differ."""

SWEEP_ERROR = 1e-10
"""Largest relative difference from sweeps done in another way."""

SWEEP_WORK = 5e8
"""Entries times sweeps up to which the bench does the sweeps itself."""


def judge(task: linear.Task, found: linear.Solutions, placed: linear.Task) -> dict[str, Any]:
    """Judge the answer to any task; ``error`` is what the levels are compared with."""
    if isinstance(task, linear.Sweeps):
        return _judge_sweeps(task, found, placed)
    if isinstance(task, linear.Steps):
        return _judge_steps(task, found)
    if isinstance(task, linear.Batch):
        found_x = _host(found.solutions[0])
        pairs = zip(task.matrices, task.rhs, found_x, strict=True)
        return {"error": _worst(relative_residual(A, b, x) for A, b, x in pairs)}
    assert isinstance(task, linear.Solve)
    return {"error": relative_residual(task.system.A, task.system.b, found.solutions[0])}


def relative_residual(A: Any, b: Any, x: Any) -> float:
    """``||b - A x|| / ||b||`` in float64 (the norm itself where b is zero)."""
    x, b = _host(x), np.asarray(b)
    if x.shape != b.shape:
        raise ValueError(f"the solution has shape {x.shape}, expected {b.shape}.")
    with np.errstate(all="ignore"):  # a useless answer is judged as such, without a word
        return float(np.linalg.norm(b - A @ x)) / (float(np.linalg.norm(b)) or 1.0)


def _judge_steps(task: linear.Steps, found: linear.Solutions) -> dict[str, Any]:
    """The worst step decides; a sequence that was not solved to its end is solved at no level."""
    if len(found.solutions) < task.steps:
        return {"error": math.inf, "steps_done": len(found.solutions)}
    x = task.sequence.x0
    residuals, contexts = [], []
    for (A, b, context), solution in zip(task, found.solutions, strict=True):
        contexts.append(context)
        # Each solver's own last state makes its next right-hand side.
        residuals.append(relative_residual(A, b(x) if callable(b) else b, solution))
        x = _host(solution)
    verdict: dict[str, Any] = {"error": _worst(residuals), "steps_done": len(residuals)}
    if task.scan is not None:
        verdict["curves"] = _theory.curves(task, found)
    else:
        verdict["path"] = linear.path(task, found, contexts)
    return verdict


def _judge_sweeps(task: linear.Sweeps, found: linear.Solutions, placed: linear.Task) -> dict[str, Any]:
    """The difference from sweeps done by triangular solves, where there is the time to do them; else the residual."""
    system, x = task.system, _host(found.solutions[0])
    residual = relative_residual(system.A, system.b, x)
    verdict: dict[str, Any] = {"residual": digits(residual), "sweep_bytes": sweep_bytes(system)}
    verdict["copy_gbps"] = digits(copy_bandwidth(on_gpu=placed is not task))
    if found.extra.get("order", "natural") == "natural" and system.A.nnz * task.count <= SWEEP_WORK:
        error = sweep_difference(system, task.omega, task.count, x)
        verdict |= {"difference": digits(error), "error": 0.0 if error <= SWEEP_ERROR else math.inf}
    else:
        verdict["error"] = 0.0 if residual < 1.0 else math.inf
    return verdict


def sweep_difference(system: LinearSystem, omega: float, count: int, x: Floats) -> float:
    """Relative distance of `x` from the iterate after `count` sweeps from zero, or after one more.

    A solver that finds the residual of an iterate during the next sweep has done that one too.
    """
    A, b = system.A, system.b
    M = tril(A, -1, format="csr") + diags_array(A.diagonal() / omega, format="csr")
    y, best = np.zeros_like(b), math.inf
    for k in range(1, count + 2):
        y += spsolve_triangular(M, b - A @ y, lower=True)
        if k >= count:
            best = min(best, float(np.max(np.abs(x - y)) / np.max(np.abs(y))))
    return best


def sweep_bytes(system: LinearSystem) -> int:
    """The least that a sweep moves: the matrix and b once, x in and out."""
    A = system.A
    entry, index = A.data.itemsize, A.indices.itemsize
    return int(A.nnz * (entry + index) + system.n * (index + 3 * entry))


def copy_bandwidth(*, on_gpu: bool, size: int = 1 << 26, repeats: int = 5) -> float:
    """GB/s of the fastest copy of a large array, reading and writing."""
    if on_gpu:
        import cupy as xp

        wait = xp.cuda.runtime.deviceSynchronize
    else:
        xp, wait = np, _nothing
    from time import perf_counter

    a = xp.ones(size)
    b = xp.empty_like(a)
    best = math.inf
    for _ in range(repeats + 1):
        wait()
        start = perf_counter()
        b[...] = a
        wait()
        best = min(best, perf_counter() - start)
    return 2e-9 * float(a.nbytes) / best


def _nothing() -> None:
    return


def _worst(residuals: Any) -> float:
    """NumPy's maximum keeps a NaN, which is below no level."""
    return float(np.max(list(residuals), initial=0.0))


def _host(array: Any) -> Any:
    """CuPy arrays are fetched; everything else NumPy can read."""
    return np.asarray(array.get() if hasattr(array, "get") else array)
