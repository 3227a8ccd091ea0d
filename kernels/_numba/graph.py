"""Graphs of sparse matrices: induced forests, the order in which they are eliminated, colours."""

import numpy as np

from numopt.kernels._numba._jit import jit
from numopt.kernels._numba._sweeps import place


@jit
def _root(parents, i):
    """Return the root of the tree of a node; each node passed on the way moves up by one."""
    while parents[place(i)] != i:
        parents[place(i)] = parents[place(parents[place(i)])]
        i = parents[place(i)]
    return i


@jit
def grow_forests(indices, indptr, order, most, forests, work):
    """Put each node of `order` into the first forest where it touches no tree twice."""
    parents, seen, barred = work[0], work[1], work[2]
    forests[:] = -1
    seen[:] = -1
    barred[:] = -1
    for k in range(order.size):
        i = np.int32(order[k])
        for p in range(indptr[i], indptr[i + 1]):
            j = place(np.int32(indices[p]))
            if forests[j] >= 0:
                # seen[r] and barred[f] hold the last node that touched tree r and that forest f cannot take.
                root = place(_root(parents, np.int32(j)))
                if seen[root] == i:
                    barred[place(forests[j])] = i
                seen[root] = i
        forest = np.int32(0)
        while barred[place(forest)] == i:
            forest += np.int32(1)
        if forest >= most:
            continue
        forests[i] = forest
        parents[i] = i
        for p in range(indptr[i], indptr[i + 1]):
            j = np.int32(indices[p])
            if forests[place(j)] == forest:
                parents[place(_root(parents, j))] = i


@jit
def forest_order(indices, indptr, nodes, forests, starts, order, parents, depths, work, info):
    """Order the nodes of each forest depth first, a tree after the other, children after their parent."""
    # State of a node: not met, waiting on the stack, or placed.
    unmet, waiting = np.int32(-1), np.int32(-2)
    state, stack, above = work[0], work[1], work[2]
    info[0] = -1
    for k in range(nodes.size):
        state[nodes[k]] = unmet
    for k in range(nodes.size):
        if state[nodes[k]] != unmet:
            continue
        forest = forests[nodes[k]]
        stack[0] = nodes[k]
        above[nodes[k]] = -1
        height = 1
        while height > 0:
            height -= 1
            i = stack[height]
            at = starts[forest]
            starts[forest] = at + 1
            order[at] = i
            state[place(i)] = at
            parent = above[place(i)]
            parents[at] = at if parent < 0 else parent
            depths[at] = 0 if parent < 0 else depths[parent] + 1
            for p in range(indptr[i], indptr[i + 1]):
                j = np.int32(indices[p])
                if j == i or forests[place(j)] != forest or (parent >= 0 and state[place(j)] == parent):
                    continue
                if state[place(j)] != unmet:
                    info[0] = i
                    return
                state[place(j)] = waiting
                above[place(j)] = at
                stack[height] = j
                height += 1


@jit
def forest_entries(data, indices, indptr, order, parents, diagonal, links):
    """Pick the entries of a forest from its matrix: the diagonal, and the entry towards the parent."""
    for k in range(order.size):
        i = order[k]
        above = order[parents[k]]
        diagonal[k] = 0
        links[k] = 0
        for p in range(indptr[i], indptr[i + 1]):
            j = indices[p]
            if j == i:
                diagonal[k] = data[p]
            elif j == above:
                links[k] = data[p]


@jit
def balanced_colours(indices, indptr, order, colours, used, counts):
    """Give each node of `order` the least used of the colours that no neighbour has, or a new one."""
    colours[:] = -1
    used[:] = -1
    counts[:] = 0
    n_colours = 0
    for k in range(order.size):
        i = order[k]
        for p in range(indptr[i], indptr[i + 1]):
            j = place(indices[p])
            if j != place(i) and colours[j] >= 0:
                used[place(colours[j])] = i
        best = n_colours
        for colour in range(n_colours):
            if used[colour] != i and (best == n_colours or counts[colour] < counts[best]):
                best = colour
        if best == n_colours:
            n_colours += 1
        colours[i] = best
        counts[best] += 1


@jit
def two_colours(indices, indptr, colours, queue, info):
    """Colour each node by the parity of its distance from the first node of its component."""
    colours[:] = -1
    info[0] = -1
    for seed in range(colours.size):
        if colours[seed] >= 0:
            continue
        colours[seed] = 0
        queue[0] = seed
        read, written = 0, 1
        while read < written:
            i = queue[read]
            read += 1
            other = np.int32(1) - colours[place(i)]
            for p in range(indptr[i], indptr[i + 1]):
                j = place(indices[p])
                if colours[j] < 0:
                    colours[j] = other
                    queue[written] = np.int32(j)
                    written += 1
                elif colours[j] != other and j != place(i):
                    info[0] = i
                    return


@jit
def _score(i, curvature, rule, l1, lower, upper, x, g):
    """Return the score of a coordinate, and the step to its minimum."""
    real = x.dtype.type
    zero = real(0)
    level = curvature[i]
    if not level > zero:
        return zero, zero
    # The minimiser of g d + level d^2 / 2 + l1 |x + d| within the bounds.
    target = x[i] - g[i] / level
    shrunk = max(abs(target) - l1[i] / level, zero)
    moved = min(max(shrunk if target > zero else -shrunk, lower[i]), upper[i])
    d = moved - x[i]
    if rule == 2:
        return -(g[i] * d + real(0.5) * level * d * d + l1[i] * (abs(moved) - abs(x[i]))), d
    # The minimal subgradient: at a kink, or at a bound, what cannot be balanced.
    if x[i] > zero:
        slope = g[i] + l1[i]
    elif x[i] < zero:
        slope = g[i] - l1[i]
    else:
        slope = g[i] + min(max(-g[i], -l1[i]), l1[i])
    if (x[i] <= lower[i] and slope > zero) or (x[i] >= upper[i] and slope < zero):
        slope = zero
    return slope * slope / (level if rule == 1 else real(1)), d


@jit
def _before(scores, i, j):
    """Tell whether coordinate i goes before j: a larger score, or an equal one and a lower number."""
    return scores[i] > scores[j] or (scores[i] == scores[j] and i < j)


@jit
def _sift_down(scores, heap, places, at):
    """Move the coordinate in one place of the heap down to where it belongs."""
    i, n = heap[at], heap.size
    while True:
        below = 2 * at + 1
        if below >= n:
            break
        if below + 1 < n and _before(scores, heap[below + 1], heap[below]):
            below += 1
        if not _before(scores, heap[below], i):
            break
        heap[at] = heap[below]
        places[heap[at]] = at
        at = below
    heap[at] = i
    places[i] = at


@jit
def _sift(scores, heap, places, at):
    """Move the coordinate in one place of the heap up or down to where it belongs."""
    i = heap[at]
    while at > 0:
        above = (at - 1) // 2
        if not _before(scores, i, heap[above]):
            break
        heap[at] = heap[above]
        places[heap[at]] = at
        at = above
    heap[at] = i
    _sift_down(scores, heap, places, at)


@jit
def greedy_steps(data, indices, indptr, curvature, penalty, rule, fresh, x, g, scores, heap, places, chosen):
    """Minimise along the coordinate of the largest score, again and again, with the scores in a heap."""
    l1, lower, upper = penalty[0], penalty[1], penalty[2]
    n = x.size
    if fresh != 0:
        for i in range(n):
            heap[i] = i
            places[i] = i
            scores[i] = _score(i, curvature, rule, l1, lower, upper, x, g)[0]
        for at in range(n // 2 - 1, -1, -1):
            _sift_down(scores, heap, places, at)
    for step in range(chosen.size):
        chosen[step] = -1
        if n == 0:
            continue
        i = heap[0]
        if not scores[i] > 0:
            continue
        d = _score(i, curvature, rule, l1, lower, upper, x, g)[1]
        chosen[step] = i
        x[i] += d
        for p in range(indptr[i], indptr[i + 1]):
            g[indices[p]] += data[p] * d
        for p in range(indptr[i], indptr[i + 1]):
            j = indices[p]
            scores[j] = _score(j, curvature, rule, l1, lower, upper, x, g)[0]
            _sift(scores, heap, places, places[j])
