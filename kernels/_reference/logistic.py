"""Terms of the logistic loss."""

import array_api_compat

from numopt._typing import Array


def logistic_terms(margins: Array, labels: Array, loss: Array, residual: Array, weight: Array) -> None:
    """Compute loss, residual and weight of every sample; exponentials have arguments <= 0 only."""
    xp = array_api_compat.array_namespace(margins, labels)
    t = labels * margins
    e = xp.exp(-xp.abs(t))
    one = xp.ones_like(e)
    small = e / (one + e)
    large = one / (one + e)
    # maximum(-t, 0) + log1p(e) is log(1 + exp(-t)) without overflow; a NaN t comes back through e.
    loss[...] = xp.where(t < 0, -t, xp.zeros_like(t)) + xp.log1p(e)
    residual[...] = -labels * xp.where(t < 0, large, small)
    weight[...] = labels * labels * small * large
