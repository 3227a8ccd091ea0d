"""Softmax of rows of margins, and products with its curvature."""

import array_api_compat

from numopt._typing import Array


def softmax_terms(margins: Array, labels: Array, loss: Array, probabilities: Array) -> None:
    """Compute the loss and the probabilities of every row; exponentials have arguments <= 0 only."""
    xp = array_api_compat.array_namespace(margins, labels)
    classes = xp.arange(margins.shape[1], dtype=labels.dtype, device=array_api_compat.device(margins))
    own = xp.expand_dims(labels, axis=1) == classes
    shifted = margins - xp.max(margins, axis=1, keepdims=True)
    exponentials = xp.exp(shifted)
    totals = xp.sum(exponentials, axis=1, dtype=margins.dtype, keepdims=True)
    loss[...] = xp.log(totals[:, 0]) - xp.sum(xp.where(own, shifted, xp.zeros_like(shifted)), axis=1)
    probabilities[...] = exponentials / totals


def softmax_product(probabilities: Array, weights: Array, V: Array, out: Array) -> None:
    """Multiply each row of V with the curvature of the loss of its sample."""
    xp = array_api_compat.array_namespace(probabilities, V)
    means = xp.sum(probabilities * V, axis=1, dtype=V.dtype, keepdims=True)
    product = probabilities * (V - means)
    out[...] = xp.expand_dims(weights, axis=1) * product if weights.shape[0] > 0 else product
