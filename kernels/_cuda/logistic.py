"""Terms of the logistic loss, one thread per sample."""

from numopt._typing import Array
from numopt.kernels._cuda import _build

_BLOCK = 256


def logistic_terms(
    margins: Array,
    labels: Array,
    loss: Array,
    residual: Array,
    weight: Array,
    *,
    launch: _build.Launch = _build.launch,
) -> None:
    """Compute loss, residual and weight of every sample."""
    size = int(margins.shape[0])
    if size == 0:
        return
    # The grid's limit of 2**31 - 1 blocks is out of reach: the arrays would not fit.
    args = (margins, labels, loss, residual, weight, size)
    launch("logistic.cu", "logistic_terms", (margins.dtype,), -(-size // _BLOCK), _BLOCK, args)
