"""Bandits that choose a solver parameter: one call draws an arm, one call takes in its cost.

A handful of arms and features: the cost is that of the call, so each does all of its work at once.
"""

import math

import numpy as np

from numopt.kernels._numba._jit import jit

# Weight of the identity in the fits, relative to the mean diagonal entry: what too few data leave open is set to zero.
RIDGE = 1e-10


@jit
def _least(losses, limits):
    """Return the smallest loss of the arms without a limit; -inf if there are none: then no limit holds."""
    least = np.inf
    for i in range(limits.size):
        if limits[i] >= 1.0:
            least = min(least, losses[i, 0])
    return least if least < np.inf else -np.inf


@jit
def _cap(p, limits):
    """Lower the probabilities to their limits; the other arms share what that frees, as far as there are others."""
    kept = 0.0
    capped = 0.0
    n_free = 0
    for i in range(p.size):
        if limits[i] < 1.0:
            capped += min(p[i], limits[i])
        else:
            kept += p[i]
            n_free += 1
    if n_free == 0 or n_free == p.size:
        return
    for i in range(p.size):
        if limits[i] < 1.0:
            p[i] = min(p[i], limits[i])
        elif kept > 0.0:
            p[i] *= (1.0 - capped) / kept
        else:
            p[i] = (1.0 - capped) / n_free


@jit
def _draw(p, limits, u, out):
    """Write an arm drawn with probabilities `p` and its probability to `out`."""
    _cap(p, limits)
    total = 0.0
    chosen = 0
    for i in range(p.size):
        # Rounding may leave the sum below u; the last arm of positive probability then stands.
        if p[i] > 0.0:
            chosen = i
            total += p[i]
            if u < total:
                break
    out[0] = chosen
    out[1] = p[chosen]


@jit
def _best_free(scores, limits):
    """Return the smallest score, of an arm without a limit where there is one."""
    best = -1
    for i in range(scores.size):
        if limits[i] >= 1.0 and (best < 0 or scores[i] < scores[best]):
            best = i
    return best if best >= 0 else np.argmin(scores)


@jit
def _point_mass(scores, limits, p):
    """Put all probability on the smallest score; limited arms get as much as their limits leave them."""
    best = _best_free(scores, limits)
    for i in range(p.size):
        p[i] = 1.0 if i == best or limits[i] < 1.0 <= limits[best] else 0.0


@jit
def tsallis_draw(arms, totals, cell, floor, scale, horizon, reduced, limits, u, p, out):
    """Draw by Tsallis-INF."""
    d = p.size
    rounds = totals[cell, 0] + 1.0
    sigma = scale
    if scale <= 0.0 and totals[cell, 0] > 0.0:
        sigma = totals[cell, 1] / totals[cell, 0] - floor
    eta = 2.0 / math.sqrt(max(rounds, horizon))
    if sigma > 0.0:
        # Arms that have a limit take no part: their losses, which no longer grow, would hide the gaps of the others.
        least = _least(arms[cell], limits)
        bounded = least > -np.inf
        if not bounded:
            least = arms[cell, :, 0].min()
        for i in range(d):
            p[i] = (arms[cell, i, 0] - least) / sigma
        # Newton from the right of the root, where the sum is at least 1: convex and increasing, so monotone.
        x = -2.0 / eta
        for _ in range(60):
            total = 0.0
            slope = 0.0
            for i in range(d):
                if limits[i] >= 1.0 or not bounded:
                    root = 2.0 / (eta * (p[i] - x))
                    total += root * root
                    slope += root * root * root
            step = (total - 1.0) / (eta * slope)
            x -= step
            if step <= 1e-14 * -x:
                break
        total = 0.0
        for i in range(d):
            root = 2.0 / (eta * (p[i] - x))
            p[i] = root * root if p[i] > x else 1.0
            if limits[i] >= 1.0 or not bounded:
                total += p[i]
        for i in range(d):
            p[i] /= total
    else:
        for i in range(d):
            p[i] = 1.0 / d
    _draw(p, limits, u, out)
    out[2] = 0.0
    if reduced and sigma > 0.0:
        # Zimmert and Seldin's baseline in the unit of the costs, their mean, for arms that are likely enough.
        for i in range(d):
            if p[i] >= eta * eta:
                arms[cell, i, 0] += sigma
                if i == out[0]:
                    out[2] = sigma


@jit
def exponential_draw(arms, totals, cell, floor, scale, horizon, rate, limits, u, p, out):
    """Draw by exponential weights."""
    d = p.size
    rounds = totals[cell, 0] + 1.0
    sigma = scale
    if scale <= 0.0 and totals[cell, 0] > 0.0:
        sigma = totals[cell, 1] / totals[cell, 0] - floor
    eta = rate / math.sqrt(max(rounds, horizon))
    least = _least(arms[cell], limits)
    bounded = least > -np.inf
    if not bounded:
        least = arms[cell, :, 0].min()
    total = 0.0
    for i in range(d):
        p[i] = math.exp(-eta * max(arms[cell, i, 0] - least, 0.0) / sigma) if sigma > 0.0 else 1.0
        if limits[i] >= 1.0 or not bounded:
            total += p[i]
    for i in range(d):
        p[i] /= total
    _draw(p, limits, u, out)
    out[2] = 0.0


@jit
def confidence_draw(arms, totals, cell, limits, u, p, scores, out):
    """Choose the arm of the lowest confidence bound (UCB1)."""
    spread = totals[cell, 3] - totals[cell, 2]
    log_rounds = math.log(totals[cell, 0] + 1.0)
    for i in range(p.size):
        n = arms[cell, i, 1]
        # Arms never played come first, in order.
        scores[i] = arms[cell, i, 2] / n - spread * math.sqrt(2.0 * log_rounds / n) if n > 0.0 else i - np.inf
    _point_mass(scores, limits, p)
    _draw(p, limits, u, out)
    out[2] = 0.0


@jit
def greedy_draw(arms, totals, cell, epsilon, limits, u, p, scores, out):
    """Choose the arm of the lowest mean, with probability `epsilon` any arm."""
    d = p.size
    for i in range(d):
        n = arms[cell, i, 1]
        scores[i] = arms[cell, i, 2] / n if n > 0.0 else -np.inf
    best = _best_free(scores, limits)
    for i in range(d):
        p[i] = epsilon / d
    p[best] += 1.0 - epsilon
    _draw(p, limits, u, out)
    out[2] = 0.0


@jit
def thompson_draw(arms, totals, cell, normals, limits, u, p, scores, out):
    """Choose the arm of the lowest cost in a draw from the normal posteriors of the means."""
    d = p.size
    squares = 0.0
    for i in range(d):
        squares += arms[cell, i, 3]
    n_all = totals[cell, 0]
    mean_all = totals[cell, 1] / n_all if n_all > 0.0 else 0.0
    variance = max(squares / n_all - mean_all * mean_all, 0.0) if n_all > 0.0 else 0.0
    for i in range(d):
        n = arms[cell, i, 1]
        if n > 0.0:
            mean = arms[cell, i, 2] / n
            # The variance of all costs counts as one more observation of the arm's own.
            own = (max(arms[cell, i, 3] - n * mean * mean, 0.0) + variance) / n
            scores[i] = mean + normals[i] * math.sqrt(own / n)
        else:
            scores[i] = -np.inf
    _point_mass(scores, limits, p)
    _draw(p, limits, u, out)
    out[2] = 0.0


@jit
def record_cost(arms, totals, cell, arm, probability, baseline, cost, floor, weight, discount):
    """Take in a cost."""
    if discount < 1.0:
        for i in range(arms.shape[1]):
            for j in range(4):
                arms[cell, i, j] *= discount
        totals[cell, 0] *= discount
        totals[cell, 1] *= discount
    if totals[cell, 4] == 0.0:
        totals[cell, 2] = cost
        totals[cell, 3] = cost
    totals[cell, 0] += weight
    totals[cell, 1] += weight * cost
    totals[cell, 2] = min(totals[cell, 2], cost)
    totals[cell, 3] = max(totals[cell, 3], cost)
    totals[cell, 4] += max(weight, 0.0)
    arms[cell, arm, 0] += weight * (cost - floor - baseline) / probability
    arms[cell, arm, 1] += weight
    arms[cell, arm, 2] += weight * cost
    arms[cell, arm, 3] += weight * cost * cost


@jit
def _chebyshev(point, powers, features):
    """Products of Chebyshev polynomials T_p(u_k)."""
    for j in range(powers.shape[0]):
        value = 1.0
        for k in range(powers.shape[1]):
            low, high = 1.0, point[k]
            for _ in range(powers[j, k]):
                low, high = high, 2.0 * point[k] * high - low
            value *= low
        features[j] = value


@jit
def chebyshev_draw(arms, totals, squares, theta, point, powers, degrees, features, limits, u, p, out):
    """Draw by inverse gaps of the predicted costs (ChebCB)."""
    d, m = theta.shape
    _chebyshev(point, powers, features)
    for i in range(d):
        p[i] = 0.0
        for j in range(m):
            p[i] += theta[i, j] * features[j]
    best = _best_free(p, limits)
    bounded = limits[best] >= 1.0
    least = p[best]
    rounds = totals[0, 0]
    spread = totals[0, 3] - totals[0, 2]
    rate = 0.0
    if rounds > 0.0 and totals[0, 3] > 0.0:
        # 1 / scale^2 is common to the terms under the root: eta / scale comes from costs in their own unit.
        top = 0.0
        for j in range(degrees.size):
            top = max(top, degrees[j])
        alpha = (math.pi + 2.0 / math.pi * math.log(2.0 * m + 1.0)) * spread / (2.0 * (top + 2.0))
        errors = squares[0] - 2.0 * squares[1] + squares[2] - squares[3] + 2.0 * alpha * alpha * rounds
        if errors > 0.0:
            rate = 2.0 * rounds * math.sqrt(d * rounds / errors)
        else:
            rate = np.inf
    out[3] = least
    out[2] = p[best]
    total = 0.0
    for i in range(d):
        if i != best:
            gap = p[i] - least
            p[i] = 1.0 / (d + rate * gap) if gap > 0.0 else 1.0 / d
            if limits[i] >= 1.0 or not bounded:
                total += p[i]
    p[best] = 1.0 - total
    _draw(p, limits, u, out)
    chosen = int(out[0])
    out[2] = 0.0
    for j in range(m):
        out[2] += theta[chosen, j] * features[j]


@jit
def _solve_free(gram, moments, ridge, x, fixed, factor, target):
    """Minimise over the entries that are not fixed, by Cholesky's factorisation; target holds the whole vector."""
    m = x.size
    for i in range(m):
        if fixed[i] > 0.0:
            target[i] = x[i]
            continue
        value = moments[i]
        for j in range(m):
            if fixed[j] > 0.0:
                value -= gram[i, j] * x[j]
        for j in range(i):
            if fixed[j] == 0.0:
                entry = gram[i, j]
                for k in range(j):
                    if fixed[k] == 0.0:
                        entry -= factor[i, k] * factor[j, k]
                factor[i, j] = entry / factor[j, j]
        pivot = gram[i, i] + ridge
        for k in range(i):
            if fixed[k] == 0.0:
                pivot -= factor[i, k] * factor[i, k]
                value -= factor[i, k] * target[k]
        factor[i, i] = math.sqrt(max(pivot, ridge))
        target[i] = value / factor[i, i]
    for i in range(m - 1, -1, -1):
        if fixed[i] == 0.0:
            for k in range(i + 1, m):
                if fixed[k] == 0.0:
                    target[i] -= factor[k, i] * target[k]
            target[i] /= factor[i, i]


@jit
def _fit(gram, moments, bound, x, fixed, factor, target):
    """Least squares with |x| <= bound by an active-set method from x; tell whether a bound is active."""
    m = x.size
    trace = 0.0
    for j in range(m):
        trace += gram[j, j]
    if trace <= 0.0:
        return False
    ridge = RIDGE * trace / m
    for j in range(m):
        x[j] = min(max(x[j], -bound[j]), bound[j])
        fixed[j] = 0.0
    for _ in range(20 * m):
        _solve_free(gram, moments, ridge, x, fixed, factor, target)
        step = 1.0
        blocking = -1
        for j in range(m):
            if fixed[j] == 0.0 and abs(target[j]) > bound[j]:
                limit = bound[j] if target[j] > 0.0 else -bound[j]
                # x lies within its bound and the target beyond it, so that the two differ.
                reach = (limit - x[j]) / (target[j] - x[j])
                if reach < step:
                    step = reach
                    blocking = j
        if blocking >= 0:
            for j in range(m):
                if fixed[j] == 0.0:
                    x[j] += step * (target[j] - x[j])
            x[blocking] = bound[blocking] if target[blocking] > 0.0 else -bound[blocking]
            fixed[blocking] = 1.0
            continue
        for j in range(m):
            x[j] = target[j]
        # The bound that holds back most is let go.
        worst = 0.0
        release = -1
        for i in range(m):
            if fixed[i] > 0.0:
                slope = moments[i] - ridge * x[i]
                for j in range(m):
                    slope -= gram[i, j] * x[j]
                pull = -slope if x[i] > 0.0 else slope
                if bound[i] > 0.0 and pull > max(worst, 1e-12 * (abs(moments[i]) + trace * bound[i])):
                    worst = pull
                    release = i
        if release < 0:
            break
        fixed[release] = 0.0
    return np.any(fixed > 0.0)


@jit
def chebyshev_record(
    arms, totals, squares, gram, moments, theta, degrees, features, arm, prediction, cost, floor, weight, discount, work
):
    """Take in a cost and fit again what it changes."""
    d, m = theta.shape
    least, most, seen = totals[0, 2], totals[0, 3], totals[0, 4]
    record_cost(arms, totals, 0, arm, 1.0, 0.0, cost, floor, weight, discount)
    if discount < 1.0:
        for i in range(d):
            for j in range(m):
                moments[i, j] *= discount
                for k in range(m):
                    gram[i, j, k] *= discount
        for j in range(3):
            squares[j] *= discount
    squares[0] += weight * prediction * prediction
    squares[1] += weight * prediction * (cost - floor)
    squares[2] += weight * (cost - floor) * (cost - floor)
    for j in range(m):
        moments[arm, j] += weight * (cost - floor) * features[j]
        for k in range(m):
            gram[arm, j, k] += weight * features[j] * features[k]
    spread = totals[0, 3] - totals[0, 2]
    # New bounds touch every arm.
    everything = seen == 0.0 or totals[0, 2] != least or totals[0, 3] != most
    bound, target, factor = work[0], work[1], work[3:]
    for j in range(m):
        bound[j] = 2.0 * spread / degrees[j] if degrees[j] > 0.0 else totals[0, 3]
    fixed = work[2]
    squares[3] = 0.0
    for i in range(d):
        if (everything or i == arm) and arms[0, i, 1] > 0.0:
            active = _fit(gram[i], moments[i], bound, theta[i], fixed, factor, target)
            if active:
                n, total = arms[0, i, 1], arms[0, i, 2]
                rest = arms[0, i, 3] - 2.0 * floor * total + floor * floor * n
                for j in range(m):
                    rest -= 2.0 * moments[i, j] * theta[i, j]
                    for k in range(m):
                        rest += theta[i, j] * gram[i, j, k] * theta[i, k]
                squares[3] = max(rest, 0.0)
