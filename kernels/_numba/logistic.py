"""Terms of the logistic loss, one pass over the samples with one exponential each."""

from numopt.kernels._numba._jit import CONTRACT, jit
from numopt.kernels._numba._math import exp, log1p


@jit(fastmath=CONTRACT)
def logistic_terms(margins, labels, loss, residual, weight):
    """Compute loss, residual and weight of every sample; exponentials have arguments <= 0 only."""
    zero, one = margins.dtype.type(0), margins.dtype.type(1)
    for i in range(margins.size):
        label = labels[i]
        t = label * margins[i]
        e = exp(-abs(t))
        large = one / (one + e)
        small = e * large
        loss[i] = (-t if t < zero else zero) + log1p(e)
        residual[i] = -label * (large if t < zero else small)
        weight[i] = label * label * small * large
