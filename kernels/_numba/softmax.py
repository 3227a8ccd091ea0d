"""Softmax of rows of margins, and products with its curvature.

Rows have few numbers, as many as there are classes, hence exponentials are taken over many rows in one loop, which
vectorises whatever their number, while the rows are in the cache.
"""

import numpy as np

from numopt.kernels._numba._jit import CONTRACT, REASSOCIATE, jit
from numopt.kernels._numba._local import carray, local_memory
from numopt.kernels._numba._math import exp, log
from numopt.kernels._numba._sweeps import place

# Numbers of margins taken at a time, and rows at most: 16 KiB of doubles.
CHUNK = 2048


@jit(fastmath=CONTRACT)
def _exponentials(x):
    for i in range(x.size):
        x[i] = exp(x[i])


@jit(fastmath=CONTRACT)
def _add_logarithms(sums, loss):
    for i in range(loss.size):
        loss[i] += log(sums[i])


@jit(fastmath=REASSOCIATE)
def softmax_terms(margins, labels, loss, probabilities):
    """Compute the loss and the probabilities of every row; exponentials have arguments <= 0 only."""
    n, k = margins.shape
    zero, one = margins.dtype.type(0), margins.dtype.type(1)
    totals = carray(local_memory(margins, CHUNK), CHUNK)
    flat = probabilities.reshape(n * k)
    together = max(1, CHUNK // max(k, 1))
    for start in range(0, n, together):
        stop = min(start + together, n)
        for row in range(start, stop):
            i = place(row)
            largest = margins[i, np.uint64(0)]
            for c in range(1, k):
                margin = margins[i, place(c)]
                largest = margin if margin > largest else largest
            for c in range(k):
                probabilities[i, place(c)] = margins[i, place(c)] - largest
            loss[i] = -probabilities[i, place(labels[i])]
        _exponentials(flat[start * k : stop * k])
        for row in range(start, stop):
            i = place(row)
            total = zero
            for c in range(k):
                total += probabilities[i, place(c)]
            totals[place(row - start)] = total
            scale = one / total
            for c in range(k):
                probabilities[i, place(c)] *= scale
        _add_logarithms(totals, loss[start:stop])


@jit(fastmath=REASSOCIATE)
def softmax_product(probabilities, weights, V, out):
    """Multiply each row of V with the curvature of the loss of its sample."""
    n, k = V.shape
    for row in range(n):
        i = place(row)
        mean = V.dtype.type(0)
        for c in range(k):
            mean += probabilities[i, place(c)] * V[i, place(c)]
        weight = weights[i] if weights.size > 0 else V.dtype.type(1)
        for c in range(k):
            out[i, place(c)] = weight * (probabilities[i, place(c)] * (V[i, place(c)] - mean))
