"""Softmax and products with its curvature, a few lanes per row."""

from numopt._typing import Array
from numopt.kernels._cuda import _build

_BLOCK = 256
# More blocks wait their turn: enough to fill an H100 several times over.
_MOST_BLOCKS = 4096


def _shape(n: int, k: int) -> tuple[int, int]:
    """Return the grid and the number of lanes of a row: as many as it has numbers, a power of two."""
    lanes = min(32, 1 << (k - 1).bit_length())
    return min(_MOST_BLOCKS, -(-n * lanes // _BLOCK)), lanes


def softmax_terms(
    margins: Array, labels: Array, loss: Array, probabilities: Array, *, launch: _build.Launch = _build.launch
) -> None:
    """Compute the loss and the probabilities of every row."""
    n, k = (int(size) for size in margins.shape)
    if n == 0:
        return
    grid, lanes = _shape(n, k)
    args = (margins, labels, loss, probabilities, n, k, lanes)
    launch("softmax.cu", "softmax_terms", (margins.dtype,), grid, _BLOCK, args)


def softmax_product(
    probabilities: Array, weights: Array, V: Array, out: Array, *, launch: _build.Launch = _build.launch
) -> None:
    """Multiply each row of V with the curvature of the loss of its sample."""
    n, k = (int(size) for size in V.shape)
    if n == 0:
        return
    grid, lanes = _shape(n, k)
    args = (probabilities, weights, V, out, n, k, int(weights.shape[0] > 0), lanes)
    launch("softmax.cu", "softmax_product", (V.dtype,), grid, _BLOCK, args)
