"""Sums and maxima over one side of the marginals, and offsets of kept entries, in every home against NumPy."""

from typing import Any

import numpy as np
import pytest

from tests.kernels.cases import run, tolerance
from tests.kernels.transport import unset

# A lane and its neighbours; more than the GPU's one block takes.
SIZES = [1, 2, 7, 31, 33, 65, 257, 20001]


def vectors(n: int, count: int, real: str) -> list[np.ndarray]:
    rng = np.random.default_rng(n)
    return [rng.standard_normal(n).astype(real) for _ in range(count)]


def side(weights: np.ndarray, potential: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the gap, rounded as it is stored, and the terms in long doubles."""
    gap = weights - sums
    exact = [part.astype(np.longdouble) for part in (weights, potential, sums, gap)]
    value, size, mass = (exact[0] * exact[1]).sum(), np.abs(exact[3]).sum(), exact[2].sum()
    return gap, np.array([value, size, np.abs(exact[3]).max(), mass, np.abs(exact[1]).max()], "f8")


def step(direction: np.ndarray, gap: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Return the terms in long doubles."""
    direction, gap, sums = (part.astype(np.longdouble) for part in (direction, gap, sums))
    return np.array([np.abs(direction).max(), (gap * direction).sum(), (sums * direction**2).sum()], "f8")


@pytest.mark.parametrize("real", ["f8", "f4"])
@pytest.mark.parametrize("n", SIZES)
def test_side_terms(xp: Any, n: int, real: str) -> None:
    inputs = vectors(n, 3, real)
    gap, out = run(xp, "side_terms", inputs, [unset(real, n), unset("f8", 5)])
    expected_gap, expected = side(*inputs)
    np.testing.assert_array_equal(gap, expected_gap)
    assert gap.dtype == real
    # The terms are of size 1, and the sums of any dtype are double precision.
    np.testing.assert_allclose(out, expected, rtol=tolerance("f8", 4), atol=tolerance("f8", 4 * n))
    np.testing.assert_array_equal(out[[2, 4]], expected[[2, 4]])


@pytest.mark.parametrize("real", ["f8", "f4"])
@pytest.mark.parametrize("n", SIZES)
def test_step_terms(xp: Any, n: int, real: str) -> None:
    inputs = vectors(n, 3, real)
    (out,) = run(xp, "step_terms", inputs, [unset("f8", 3)])
    expected = step(*inputs)
    np.testing.assert_allclose(out, expected, rtol=tolerance("f8", 4), atol=tolerance("f8", 8 * n))
    assert out[0] == expected[0]


@pytest.mark.parametrize("place", [0, 17, 39])
def test_nan_shows_up_in_sums_and_is_left_out_of_maxima(xp: Any, place: int) -> None:
    clean = vectors(40, 3, "f8")
    rest = np.arange(40) != place
    for number, sums_with_nan in enumerate([[0, 1], [0], [1, 3]]):
        inputs = [part.copy() for part in clean]
        inputs[number][place] = np.nan
        _, out = run(xp, "side_terms", inputs, [unset("f8", 40), unset("f8", 5)])
        np.testing.assert_array_equal(np.isnan(out), np.isin(np.arange(5), sums_with_nan))
        gap = np.abs(inputs[0] - inputs[2])
        assert out[2] == (gap if number == 1 else gap[rest]).max()
        assert out[4] == np.nanmax(np.abs(inputs[1]))
    for number, sums_with_nan in enumerate([[1, 2], [1], [2]]):
        inputs = [part.copy() for part in clean]
        inputs[number][place] = np.nan
        (out,) = run(xp, "step_terms", inputs, [unset("f8", 3)])
        np.testing.assert_array_equal(np.isnan(out), np.isin(np.arange(3), sums_with_nan))
        assert out[0] == np.nanmax(np.abs(inputs[0]))


def test_infinity_shows_up(xp: Any) -> None:
    weights, potential, sums = vectors(40, 3, "f8")
    sums[11], potential[3] = np.inf, -np.inf
    _, out = run(xp, "side_terms", [np.abs(weights), potential, sums], [unset("f8", 40), unset("f8", 5)])
    np.testing.assert_array_equal(out, [-np.inf, np.inf, np.inf, np.inf, np.inf])


def test_sums_of_float32_are_not_rounded_to_it(xp: Any) -> None:
    ones = np.ones(3000, "f4")
    sums = ones * np.float32(1e-8)
    _, out = run(xp, "side_terms", [ones, ones + np.float32(2.0**-23), sums], [unset("f4", 3000), unset("f8", 5)])
    np.testing.assert_allclose(out[0], 3000 * (1 + 2.0**-23), rtol=1e-14)
    (out,) = run(xp, "step_terms", [1e-30 * ones, 1e-30 * ones, ones], [unset("f8", 3)])
    np.testing.assert_allclose(out[1:], 3000 * np.float64(np.float32(1e-30)) ** 2, rtol=1e-12)


# More columns than a warp has lanes, more slices than a block has warps, empty slices.
@pytest.mark.parametrize(
    ("n", "m", "parts"), [(1, 1, 1), (1, 40, 3), (70, 1, 2), (33, 64, 1), (200, 130, 70), (5000, 3000, 5)]
)
def test_kept_offsets(xp: Any, n: int, m: int, parts: int) -> None:
    rng = np.random.default_rng(n)
    row_count, counts = rng.integers(0, 9, n), rng.integers(0, 9, (parts, m))
    if n > 5:
        row_count[2], counts[:, 0] = 0, 0
    work, indptr, tindptr = run(
        xp, "kept_offsets", [row_count], [counts, unset("i8", n + 1), unset("i8", m + 1)]
    )  # fmt: skip
    np.testing.assert_array_equal(indptr, np.append(0, np.cumsum(row_count)))
    ends = np.cumsum(counts.T.ravel()).reshape(m, parts).T
    np.testing.assert_array_equal(tindptr, np.append(0, ends[-1]))
    np.testing.assert_array_equal(work, ends - counts)
    assert work.dtype == indptr.dtype == tindptr.dtype == np.int64


def test_offsets_beyond_32_bits(xp: Any) -> None:
    large = np.full(3, 2**31, np.int64)
    outputs = [large[None, :].copy(), unset("i8", 4), unset("i8", 4)]
    work, indptr, tindptr = run(xp, "kept_offsets", [large], outputs)
    np.testing.assert_array_equal(indptr, 2**31 * np.arange(4))
    np.testing.assert_array_equal(tindptr, indptr)
    np.testing.assert_array_equal(work[0], indptr[:-1])
