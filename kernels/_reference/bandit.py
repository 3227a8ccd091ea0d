"""Bandits that choose a solver parameter."""

import itertools
import math
from typing import Any

import array_api_compat

from numopt._typing import Array

_RIDGE = 1e-10


def _limited(p: Array, limits: Array) -> Array:
    """Return the probabilities under their limits; the other arms share what that frees."""
    xp = array_api_compat.array_namespace(p)
    free = limits >= 1
    if not bool(xp.any(free)):
        return p
    low = xp.where(free, xp.zeros_like(p), xp.minimum(p, limits))
    kept = xp.where(free, p, xp.zeros_like(p))
    if not float(xp.sum(kept)) > 0:
        kept = xp.astype(free, p.dtype)
    return low + kept * ((1 - xp.sum(low)) / xp.sum(kept))


def _draw(p: Array, limits: Array, u: float, out: Array) -> None:
    """Write an arm drawn with probabilities `p` and its probability to `out`."""
    p[...] = _limited(p, limits)
    total, chosen = 0.0, 0
    for i in range(p.shape[0]):
        if p[i] > 0:
            chosen = i
            total += float(p[i])
            if u < total:
                break
    out[0] = float(chosen)
    out[1] = p[chosen]


def _best_free(scores: Array, limits: Array) -> int:
    """Return the smallest score, of an arm without a limit where there is one."""
    xp = array_api_compat.array_namespace(scores)
    free = limits >= 1
    if bool(xp.any(free)):
        order = [i for i in range(scores.shape[0]) if free[i]]
        return min(order, key=lambda i: (float(scores[i]), i))
    return int(xp.argmin(scores))


def _point_mass(scores: Array, limits: Array, p: Array) -> None:
    best = _best_free(scores, limits)
    for i in range(p.shape[0]):
        p[i] = 1.0 if i == best or (limits[i] < 1 and limits[best] >= 1) else 0.0


def _taking_part(limits: Array) -> Array:
    """Return which arms have no limit, or all where each has one."""
    xp = array_api_compat.array_namespace(limits)
    free = limits >= 1
    return free if bool(xp.any(free)) else xp.ones_like(free)


def _sigma(totals: Array, cell: int, floor: float, scale: float) -> float:
    """Return the unit of the costs: `scale`, or where that is 0 the mean cost above the floor."""
    n = float(totals[cell, 0])
    return float(totals[cell, 1]) / n - floor if scale <= 0 and n > 0 else scale


def _uniform(p: Array) -> None:
    p[...] = 1 / p.shape[0]


def tsallis_draw(
    arms: Array,
    totals: Array,
    cell: int,
    floor: float,
    scale: float,
    horizon: float,
    reduced: int,
    limits: Array,
    u: float,
    p: Array,
    out: Array,
) -> None:
    """Draw by Tsallis-INF; the normalisation is found by bisection."""
    xp = array_api_compat.array_namespace(arms)
    sigma = _sigma(totals, cell, floor, scale)
    eta = 2 / math.sqrt(max(float(totals[cell, 0]) + 1, horizon))
    if sigma > 0:
        part = _taking_part(limits)
        losses = arms[cell, :, 0] / sigma
        losses = losses - xp.min(losses[part])
        # The sum is at most 1 at the left end and at least 1 at the right one.
        left, right = -2 * math.sqrt(p.shape[0]) / eta, -2 / eta
        for _ in range(200):
            x = (left + right) / 2
            if float(xp.sum(4 / (eta * (losses[part] - x)) ** 2)) < 1:
                left = x
            else:
                right = x
        for i in range(p.shape[0]):
            p[i] = 4 / (eta * (losses[i] - right)) ** 2 if losses[i] > right else 1.0
        p[...] = p / xp.sum(p[part])
    else:
        _uniform(p)
    _draw(p, limits, u, out)
    out[2] = 0.0
    if reduced and sigma > 0:
        likely = p >= eta**2
        arms[cell, :, 0] += xp.where(likely, xp.full_like(p, sigma), xp.zeros_like(p))
        if likely[int(out[0])]:
            out[2] = sigma


def exponential_draw(
    arms: Array,
    totals: Array,
    cell: int,
    floor: float,
    scale: float,
    horizon: float,
    rate: float,
    limits: Array,
    u: float,
    p: Array,
    out: Array,
) -> None:
    """Draw by exponential weights."""
    xp = array_api_compat.array_namespace(arms)
    sigma = _sigma(totals, cell, floor, scale)
    eta = rate / math.sqrt(max(float(totals[cell, 0]) + 1, horizon))
    if sigma > 0:
        part = _taking_part(limits)
        losses = arms[cell, :, 0] - xp.min(arms[cell, :, 0][part])
        p[...] = xp.exp(-eta * xp.where(losses > 0, losses, xp.zeros_like(losses)) / sigma)
        p[...] = p / xp.sum(p[part])
    else:
        _uniform(p)
    _draw(p, limits, u, out)
    out[2] = 0.0


def confidence_draw(
    arms: Array, totals: Array, cell: int, limits: Array, u: float, p: Array, scores: Array, out: Array
) -> None:
    """Choose the arm of the lowest confidence bound."""
    spread = float(totals[cell, 3] - totals[cell, 2])
    for i in range(p.shape[0]):
        n = float(arms[cell, i, 1])
        if n > 0:
            width = math.sqrt(2 * math.log(float(totals[cell, 0]) + 1) / n)
            scores[i] = float(arms[cell, i, 2]) / n - spread * width
        else:
            scores[i] = -math.inf
    _point_mass(scores, limits, p)
    _draw(p, limits, u, out)
    out[2] = 0.0


def greedy_draw(
    arms: Array, totals: Array, cell: int, epsilon: float, limits: Array, u: float, p: Array, scores: Array, out: Array
) -> None:
    """Choose the arm of the lowest mean, with probability `epsilon` any arm."""
    d = p.shape[0]
    for i in range(d):
        n = float(arms[cell, i, 1])
        scores[i] = float(arms[cell, i, 2]) / n if n > 0 else -math.inf
    _uniform(p)
    p[...] = p * epsilon
    p[_best_free(scores, limits)] += 1 - epsilon
    _draw(p, limits, u, out)
    out[2] = 0.0


def thompson_draw(
    arms: Array, totals: Array, cell: int, normals: Array, limits: Array, u: float, p: Array, scores: Array, out: Array
) -> None:
    """Choose the arm of the lowest cost in a draw from the normal posteriors of the means."""
    xp = array_api_compat.array_namespace(arms)
    n_all = float(totals[cell, 0])
    variance = 0.0
    if n_all > 0:
        variance = max(float(xp.sum(arms[cell, :, 3])) / n_all - (float(totals[cell, 1]) / n_all) ** 2, 0.0)
    for i in range(p.shape[0]):
        n = float(arms[cell, i, 1])
        if n > 0:
            mean = float(arms[cell, i, 2]) / n
            own = (max(float(arms[cell, i, 3]) - n * mean**2, 0.0) + variance) / n
            scores[i] = mean + float(normals[i]) * math.sqrt(own / n)
        else:
            scores[i] = -math.inf
    _point_mass(scores, limits, p)
    _draw(p, limits, u, out)
    out[2] = 0.0


def record_cost(
    arms: Array,
    totals: Array,
    cell: int,
    arm: int,
    probability: float,
    baseline: float,
    cost: float,
    floor: float,
    weight: float,
    discount: float,
) -> None:
    """Take in a cost."""
    arms[cell, :, :] *= discount
    totals[cell, :2] *= discount
    first = totals[cell, 4] == 0
    totals[cell, 0] += weight
    totals[cell, 1] += weight * cost
    totals[cell, 2] = cost if first else min(float(totals[cell, 2]), cost)
    totals[cell, 3] = cost if first else max(float(totals[cell, 3]), cost)
    totals[cell, 4] += max(weight, 0.0)
    arms[cell, arm, 0] += weight * (cost - floor - baseline) / probability
    arms[cell, arm, 1] += weight
    arms[cell, arm, 2] += weight * cost
    arms[cell, arm, 3] += weight * cost**2


def chebyshev_draw(
    arms: Array,
    totals: Array,
    squares: Array,
    theta: Array,
    point: Array,
    powers: Array,
    degrees: Array,
    features: Array,
    limits: Array,
    u: float,
    p: Array,
    out: Array,
) -> None:
    """Draw by inverse gaps of the predicted costs."""
    xp = array_api_compat.array_namespace(arms)
    d, m = theta.shape
    for j in range(powers.shape[0]):
        angles = [int(powers[j, k]) * math.acos(float(point[k])) for k in range(powers.shape[1])]
        features[j] = math.prod(math.cos(angle) for angle in angles)
    predicted = theta @ features
    best = _best_free(predicted, limits)
    rounds, most = float(totals[0, 0]), float(totals[0, 3])
    rate = 0.0
    if rounds > 0 and most > 0:
        spread = most - float(totals[0, 2])
        alpha = (math.pi + 2 / math.pi * math.log(2 * m + 1)) * spread / (2 * (float(xp.max(degrees)) + 2))
        errors = float(squares[0] - 2 * squares[1] + squares[2] - squares[3]) + 2 * alpha**2 * rounds
        rate = 2 * rounds * math.sqrt(d * rounds / errors) if errors > 0 else math.inf
    out[3] = predicted[best]
    gaps = predicted - predicted[best]
    for i in range(d):
        p[i] = 1 / (d + rate * float(gaps[i])) if gaps[i] > 0 else 1 / d
    p[best] = 0.0
    p[best] = 1 - xp.sum(p[_taking_part(limits)])
    _draw(p, limits, u, out)
    out[2] = predicted[int(out[0])]


def _fit(gram: Array, moments: Array, bound: Array) -> tuple[Array, bool]:
    """Return the least squares solution within the bounds, the best of all choices of active ones."""
    xp = array_api_compat.array_namespace(gram)
    m = moments.shape[0]
    gram = gram + xp.eye(m, dtype=gram.dtype, device=array_api_compat.device(gram)) * (
        _RIDGE * xp.linalg.trace(gram) / m
    )
    slack = bound * (1 + 1e-12)
    best: tuple[float, Any, bool] | None = None
    for sides in itertools.product((0, -1, 1), repeat=m):
        x = xp.stack([bound[j] * side for j, side in enumerate(sides)])
        free = [j for j, side in enumerate(sides) if side == 0]
        if free:
            index = xp.asarray(free, device=array_api_compat.device(gram))
            part = xp.take(xp.take(gram, index, axis=0), index, axis=1)
            solution = xp.linalg.solve(part, xp.take(moments - gram @ x, index))
            for k, j in enumerate(free):
                x[j] = solution[k]
        if bool(xp.all(xp.abs(x) <= slack)):
            value = float(x @ (gram @ x) / 2 - moments @ x)
            if best is None or value < best[0]:
                best = value, x, len(free) < m
            if len(free) == m:
                break  # the minimiser without bounds
    assert best is not None
    return best[1], best[2]


def chebyshev_record(
    arms: Array,
    totals: Array,
    squares: Array,
    gram: Array,
    moments: Array,
    theta: Array,
    degrees: Array,
    features: Array,
    arm: int,
    prediction: float,
    cost: float,
    floor: float,
    weight: float,
    discount: float,
    work: Array,
) -> None:
    """Take in a cost and fit again what it changes."""
    xp = array_api_compat.array_namespace(arms)
    before = float(totals[0, 2]), float(totals[0, 3]), float(totals[0, 4]) > 0
    record_cost(arms, totals, 0, arm, 1.0, 0.0, cost, floor, weight, discount)
    for sums in (gram, moments, squares[:3]):
        sums[...] = sums * discount
    loss = cost - floor
    squares[0] += weight * prediction**2
    squares[1] += weight * prediction * loss
    squares[2] += weight * loss**2
    moments[arm, :] += weight * loss * features
    gram[arm, ...] += weight * features[:, None] * features[None, :]
    after = float(totals[0, 2]), float(totals[0, 3]), True
    bound = xp.where(degrees > 0, 2 * (after[1] - after[0]) / xp.where(degrees > 0, degrees, 1.0), after[1])
    squares[3] = 0.0
    for i in range(theta.shape[0]):
        if (before != after or i == arm) and arms[0, i, 1] > 0:
            theta[i, :], active = _fit(gram[i, ...], moments[i, :], bound)
            if active:
                n, total, total2 = (float(arms[0, i, k]) for k in (1, 2, 3))
                rest = float(theta[i, :] @ (gram[i, ...] @ theta[i, :]) - 2 * moments[i, :] @ theta[i, :])
                squares[3] = max(rest + total2 - 2 * floor * total + floor**2 * n, 0.0)
