"""Launch the sums over the private results of slices and tiles."""

from numopt._typing import Array
from numopt.kernels._cuda import _build

_BLOCK = 256


def sums(sets: list[tuple[Array, Array, int]], launch: _build.Launch) -> None:
    """Add the first `count` rows of `parts` to `out`, in order, for one or two sets (parts, out, count)."""
    parts, out, _ = sets[0]
    # An empty set stands for the second one, whose arrays are not looked at.
    second = sets[1] if len(sets) > 1 else (parts, parts, 0)
    sizes = [int(result.size) if count else 0 for _, result, count in (sets[0], second)]
    args = (*sets[0], sizes[0], *second, sizes[1])
    grid = sum(-(-size // 32) for size in sizes)
    launch("merge.cu", "merge_sums", (parts.dtype, out.dtype), grid, _BLOCK, args)


def log_sums(parts: Array, out: Array, count: int, launch: _build.Launch) -> None:
    """Write the logarithms of the sums over `count` pairs (reference, sum), `parts` being (2, at least count, size)."""
    size = int(out.shape[0])
    launch("merge.cu", "merge_log_sums", (out.dtype,), -(-size // 32), _BLOCK, (parts, out, count, size))
