"""Graphs of sparse matrices: induced forests, the order in which they are eliminated, colours."""

import math
from collections.abc import Iterator

from numopt._typing import Array


def _neighbours(indices: Array, indptr: Array, i: int) -> Iterator[tuple[int, int]]:
    """Yield the position and the column of each entry of a row but the diagonal one."""
    for p in range(int(indptr[i]), int(indptr[i + 1])):
        if int(indices[p]) != i:
            yield p, int(indices[p])


def grow_forests(indices: Array, indptr: Array, order: Array, most: int, forests: Array, work: Array) -> None:
    """Put each node of `order` into the first forest where it touches no tree twice."""
    forests[...] = -1
    tree: dict[int, int] = {}
    for i in (int(order[k]) for k in range(order.shape[0])):
        before = [j for _, j in _neighbours(indices, indptr, i) if j in tree]
        forest = 0
        while True:
            touched = [tree[j] for j in before if int(forests[j]) == forest]
            if len(set(touched)) == len(touched):
                break
            forest += 1
        if forest >= most:
            continue
        forests[i] = forest
        tree[i] = i
        tree.update({j: i for j, label in tree.items() if label in touched})


def forest_order(
    indices: Array,
    indptr: Array,
    nodes: Array,
    forests: Array,
    starts: Array,
    order: Array,
    parents: Array,
    depths: Array,
    work: Array,
    info: Array,
) -> None:
    """Order the nodes of each forest depth first, a tree after the other, children after their parent."""
    info[0] = -1
    met: dict[int, int] = {}  # node -> its place, -1 while it waits
    for seed in (int(nodes[k]) for k in range(nodes.shape[0])):
        if seed in met:
            continue
        forest = int(forests[seed])
        stack = [(seed, -1)]
        while stack:
            i, parent = stack.pop()
            at = int(starts[forest])
            starts[forest] = at + 1
            order[at] = i
            parents[at] = at if parent < 0 else parent
            depths[at] = 0 if parent < 0 else int(depths[parent]) + 1
            met[i] = at
            for _, j in _neighbours(indices, indptr, i):
                if int(forests[j]) != forest or (parent >= 0 and j == int(order[parent])):
                    continue
                if j in met:
                    info[0] = i
                    return
                met[j] = -1
                stack.append((j, at))


def forest_entries(
    data: Array, indices: Array, indptr: Array, order: Array, parents: Array, diagonal: Array, links: Array
) -> None:
    """Pick the entries of a forest from its matrix: the diagonal, and the entry towards the parent."""
    diagonal[...] = 0
    links[...] = 0
    for k in range(order.shape[0]):
        i = int(order[k])
        above = int(order[int(parents[k])])
        for p in range(int(indptr[i]), int(indptr[i + 1])):
            if int(indices[p]) == i:
                diagonal[k] = data[p]
            elif int(indices[p]) == above:
                links[k] = data[p]


def balanced_colours(indices: Array, indptr: Array, order: Array, colours: Array, used: Array, counts: Array) -> None:
    """Give each node of `order` the least used of the colours that no neighbour has, or a new one."""
    colours[...] = -1
    counts[...] = 0
    n_colours = 0
    for i in (int(order[k]) for k in range(order.shape[0])):
        taken = {int(colours[j]) for _, j in _neighbours(indices, indptr, i)}
        free = [colour for colour in range(n_colours) if colour not in taken]
        colour = min(free, key=lambda c: (int(counts[c]), c), default=n_colours)
        n_colours = max(n_colours, colour + 1)
        colours[i] = colour
        counts[colour] += 1


def two_colours(indices: Array, indptr: Array, colours: Array, queue: Array, info: Array) -> None:
    """Colour each node by the parity of its distance from the first node of its component."""
    colours[...] = -1
    info[0] = -1
    for seed in range(colours.shape[0]):
        if int(colours[seed]) >= 0:
            continue
        colours[seed] = 0
        waiting = [seed]
        for i in waiting:
            for _, j in _neighbours(indices, indptr, i):
                if int(colours[j]) < 0:
                    colours[j] = 1 - int(colours[i])
                    waiting.append(j)
                elif int(colours[j]) == int(colours[i]):
                    info[0] = i
                    return


def _score(rule: int, level: float, l1: float, lower: float, upper: float, x: float, g: float) -> tuple[float, float]:
    """Return the score of a coordinate, and the step to its minimum."""
    if not level > 0:
        return 0.0, 0.0
    target = x - g / level
    moved = min(max(math.copysign(max(abs(target) - l1 / level, 0.0), target), lower), upper)
    d = moved - x
    if rule == 2:
        return -(g * d + 0.5 * level * d * d + l1 * (abs(moved) - abs(x))), d
    slope = g + (l1 if x > 0 else -l1 if x < 0 else min(max(-g, -l1), l1))
    if (x <= lower and slope > 0) or (x >= upper and slope < 0):
        slope = 0.0
    return slope * slope / (level if rule == 1 else 1.0), d


def greedy_steps(
    data: Array,
    indices: Array,
    indptr: Array,
    curvature: Array,
    penalty: Array,
    rule: int,
    fresh: int,
    x: Array,
    g: Array,
    scores: Array,
    heap: Array,
    places: Array,
    chosen: Array,
) -> None:
    """Minimise along the coordinate of the largest score, again and again; all scores are looked at."""

    def judge(i: int) -> tuple[float, float]:
        l1, lower, upper = (float(penalty[row, i]) for row in range(3))
        return _score(rule, float(curvature[i]), l1, lower, upper, float(x[i]), float(g[i]))

    for step in range(chosen.shape[0]):
        judged = [judge(i) for i in range(x.shape[0])]
        i = max(range(len(judged)), key=lambda j: (judged[j][0], -j), default=-1)
        if i < 0 or not judged[i][0] > 0:
            chosen[step] = -1
            continue
        chosen[step] = i
        x[i] += judged[i][1]
        for p in range(int(indptr[i]), int(indptr[i + 1])):
            g[int(indices[p])] += data[p] * judged[i][1]
