"""The bench's own verdict on coefficients: objective, optimality and duality gap in float64 on the host."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from numopt.bench._records import digits
from numopt.bench.peers import _coordinate as coordinate

Floats = NDArray[np.float64]


def judge(task: coordinate.Task, found: coordinate.Coefficients) -> dict[str, Any]:
    """Judge an answer; ``error`` is what the levels are compared with, NaN for an answer that is no number."""
    x = host(found.x).astype(np.float64, copy=False)
    if x.shape != task.shape:
        raise ValueError(f"the coefficients have shape {x.shape}, expected {task.shape}.")
    with np.errstate(all="ignore"):  # a useless answer is judged as such, without a word
        parts = [_judge_one(*pair) for pair in _each(task, x)]
    worst = max(parts, key=_badness)
    values = [part["fun"] for part in parts]
    return {
        **{name: digits(value) for name, value in worst.items()},
        "fun": values if task.path else values[0],
        "n_active": int(np.count_nonzero(x)),
    }


def _each(task: coordinate.Task, x: Floats) -> list[tuple[coordinate.Task, Floats]]:
    """The answers along a path, each with its own task."""
    if not task.path:
        return [(task, x)]
    optima = task.path_opt or (None,) * len(task.path)
    return [
        (replace(task, l1=l1, path=(), f_opt=f_opt), x[..., k])
        for k, (l1, f_opt) in enumerate(zip(task.path, optima, strict=True))
    ]


def _badness(part: dict[str, float]) -> float:
    """What the answers along a path are ordered by: the error, where no optimum is known the gap relative to F."""
    value = part["gap"] / abs(part["fun"] or 1.0) if math.isnan(part["error"]) else part["error"]
    return math.inf if math.isnan(value) else value


def _judge_one(task: coordinate.Task, x: Floats) -> dict[str, float]:
    offset = 0.0
    if task.model == "label-propagation":
        task, x, offset = reduced(task, x)
    fun = offset + objective(task, x)
    part = {"fun": fun, "kkt": kkt(task, x), "gap": gap(task, x, fun)}
    return {**part, "error": _error(task, x, fun, part["kkt"])}


def _error(task: coordinate.Task, x: Floats, fun: float, residual: float) -> float:
    if not math.isfinite(fun):
        return fun
    if task.measure == "kkt":
        return residual / (kkt(task, np.zeros_like(x)) or 1.0)
    if task.measure == "residual":
        b = np.asarray(task.b, dtype=np.float64)
        r = b - task.A @ x - task.l2 * x
        return float(np.linalg.norm(r)) / (float(np.linalg.norm(b)) or 1.0)
    if task.f_opt is None:
        return math.nan
    above = fun - task.f_opt
    return above if task.measure == "value" else above / (abs(task.f_opt) or 1.0)


def objective(task: coordinate.Task, x: Floats) -> float:
    """``loss + l1 ||x||_1 + (l2 / 2) ||x||^2``; infinite outside the orthant of a nonnegative problem."""
    if task.nonneg and x.min(initial=0.0) < 0.0:
        return math.inf
    penalty = task.l1 * np.abs(x).sum() + 0.5 * task.l2 * np.square(x).sum()
    return _loss(task, x)[0] + float(penalty)


def kkt(task: coordinate.Task, x: Floats) -> float:
    """Largest entry of the subgradient of least norm."""
    l1 = task.l1
    g = _loss(task, x)[1] + task.l2 * x
    if task.nonneg:
        return float(np.max(np.where(x > 0.0, np.abs(g + l1), np.maximum(-(g + l1), 0.0)), initial=0.0))
    inside = np.maximum(np.abs(g) - l1, 0.0)
    return float(np.max(np.where(x != 0.0, np.abs(g + l1 * np.sign(x)), inside), initial=0.0))


def gap(task: coordinate.Task, x: Floats, fun: float) -> float:
    """Duality gap of the residual scaled into the dual's domain; NaN for models without such a dual."""
    l1 = task.l1
    if task.model not in ("least-squares", "logistic", "multinomial") or (l1 == 0.0 and task.l2 == 0.0):
        return math.nan
    theta = _loss(task, x)[2]
    u = np.asarray(task.A.T @ theta)
    if not task.nonneg:
        u = np.abs(u)
    scale = 1.0
    if task.l2 == 0.0:
        scale = min(1.0, l1 / largest) if (largest := float(u.max(initial=0.0))) > 0.0 else 1.0
    dual = _dual_loss(task, scale * theta)
    if task.l2 > 0.0:
        dual -= float(np.square(np.maximum(u - l1, 0.0)).sum()) / (2.0 * task.l2)
    return fun - dual


def reduced(task: coordinate.Task, x: Floats) -> tuple[coordinate.Task, Floats, float]:
    """The quadratic in the unlabelled nodes, its part of x, and the constant that the labels add."""
    W = csr_array(task.A)
    known = np.asarray(task.mask, dtype=bool)
    labels = np.where(known, np.asarray(task.b, dtype=np.float64), 0.0)
    laplacian = csr_array(diags_array(np.asarray(W.sum(axis=1)).ravel()) - W)
    pull = laplacian @ labels
    free = np.flatnonzero(~known)
    if not np.array_equal(x[known], labels[known]):
        x = np.full_like(x, math.nan)  # an answer that moves a label is none
    task = replace(task, model="quadratic", A=csr_array(laplacian[free][:, free]), b=-pull[free], mask=None)
    return task, x[free], 0.5 * float(labels @ pull)


def _loss(task: coordinate.Task, x: Floats) -> tuple[float, Floats, Floats]:
    """Value and gradient of the loss, and what the dual variable is a multiple of."""
    A, b = task.A, task.b
    z = np.asarray(A @ x)
    if task.model == "quadratic":
        b = np.asarray(b, dtype=np.float64)
        return float(np.sum(x * (0.5 * z - b))), z - b, z
    if task.model == "least-squares":
        r = np.asarray(b, dtype=np.float64) - z
        return 0.5 * float(np.sum(np.square(r))), -np.asarray(A.T @ r), r
    if task.model == "logistic":
        y = np.asarray(b, dtype=np.float64)
        theta = y * _sigmoid(-y * z)
        return float(np.sum(np.logaddexp(0.0, -y * z))), -np.asarray(A.T @ theta), theta
    assert task.model == "multinomial"
    rows = np.arange(len(b))
    top = z.max(axis=1)
    shifted = np.exp(z - top[:, None])
    total = shifted.sum(axis=1)
    theta = -shifted / total[:, None]
    theta[rows, np.asarray(b, dtype=np.int64)] += 1.0
    value = float(np.sum(np.log(total) + top - z[rows, np.asarray(b, dtype=np.int64)]))
    return value, -np.asarray(A.T @ theta), theta


def _dual_loss(task: coordinate.Task, theta: Floats) -> float:
    """Minus the conjugate of the loss at ``-theta``."""
    if task.model == "least-squares":
        b = np.asarray(task.b, dtype=np.float64)
        return float(np.sum(theta * (b - 0.5 * theta)))
    if task.model == "logistic":
        t = np.asarray(task.b, dtype=np.float64) * theta
        return float(np.sum(_entropy(t) + _entropy(1.0 - t)))
    rest = -theta
    rest[np.arange(len(task.b)), np.asarray(task.b, dtype=np.int64)] += 1.0
    return float(np.sum(_entropy(rest)))


def _entropy(t: Floats) -> Floats:
    values: Floats = -np.where(t > 0.0, t * np.log(np.where(t > 0.0, t, 1.0)), 0.0)
    return values


def _sigmoid(t: Floats) -> Floats:
    small = np.exp(-np.abs(t))
    values: Floats = np.where(t >= 0.0, 1.0, small) / (1.0 + small)
    return values


def host(array: Any) -> Any:
    """CuPy arrays are fetched; everything else NumPy can read."""
    return np.asarray(array.get() if hasattr(array, "get") else array)
