"""Branch-free exp, exp2, expm1, log and log1p against long doubles, over the whole range of both formats."""

from collections.abc import Callable

import numba
import numpy as np
import pytest

from numopt.kernels._numba import _math

NAMES = ["exp", "expm1", "log", "log1p"]
DTYPES = ["f8", "f4"]


def _mapped(function: Callable[[float], float]) -> Callable[[np.ndarray, np.ndarray], None]:
    @numba.njit(error_model="numpy")
    def mapped(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    return mapped


MAPPED = {name: _mapped(getattr(_math, name)) for name in [*NAMES, "exp2"]}


def apply(name: str, x: np.ndarray) -> np.ndarray:
    out = np.empty_like(x)
    MAPPED[name](x, out)
    return out


def exact(name: str, x: np.ndarray) -> np.ndarray:
    """Evaluate in long doubles, which have 11 bits more than a double."""
    with np.errstate(all="ignore"):
        return getattr(np, name)(x.astype(np.longdouble))


def arguments(name: str, dtype: str) -> np.ndarray:
    """Cover every binade of the format, the neighbourhoods of 0 and 1, and every value that has a special answer."""
    rng = np.random.default_rng(5)
    info = np.finfo(dtype)
    bits = np.dtype(dtype.replace("f", "i"))
    largest = np.array(info.max).view(bits)
    anywhere = rng.integers(1, largest, 60_000, dtype=bits, endpoint=True).view(dtype).astype("f8")
    near_zero = rng.standard_normal(20_000) * 10.0 ** rng.uniform(-12, 0, 20_000)
    edges = np.array([0.0, -0.0, 1.0, -1.0, info.max, -info.max, info.tiny, info.smallest_subnormal])
    if name.startswith("exp"):
        limit = float(np.log(np.longdouble(info.max)))
        # Past the last subnormal result on one side, past infinity on the other.
        parts = [
            rng.uniform(-1.1 * limit, 1.02 * limit, 60_000),
            rng.uniform(-2, 2, 60_000),
            near_zero,
            -anywhere,
            edges,
        ]
    else:
        parts = [anywhere, 1 + near_zero, rng.uniform(0.4, 2.5, 60_000), edges]
        if name == "log1p":
            parts = [*parts, near_zero, rng.uniform(-1, 0, 20_000), anywhere - 1]
    return np.concatenate(parts).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_error_is_at_most_two_units_in_the_last_place(name: str, dtype: str) -> None:
    x = arguments(name, dtype)
    result, expected = apply(name, x), exact(name, x)
    with np.errstate(over="ignore", under="ignore"):
        rounded = expected.astype(dtype)
    finite = np.isfinite(rounded)
    unit = np.spacing(np.abs(rounded[finite])).astype(np.longdouble)
    assert np.max(np.abs(result[finite] - expected[finite]) / unit) <= 2
    np.testing.assert_array_equal(result[~finite], rounded[~finite])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_special_values_are_those_of_numpy(name: str, dtype: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0, -2.0], dtype=dtype)
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x)
    special = ~np.isfinite(expected) | (expected == 0)
    result = apply(name, x)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result[special], expected[special])
    np.testing.assert_array_equal(np.signbit(result[expected == 0]), np.signbit(expected[expected == 0]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_comes_down_to_the_last_subnormal_number(dtype: str) -> None:
    smallest = np.finfo(dtype).smallest_subnormal
    x = np.log(np.longdouble(smallest)).astype(dtype)
    result = apply("exp", np.array([x, x - 1], dtype=dtype))
    np.testing.assert_array_equal(result, [smallest, 0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp2_is_within_two_units_where_its_result_is_normal(dtype: str) -> None:
    rng, info = np.random.default_rng(5), np.finfo(dtype)
    halves = np.arange(info.minexp, info.maxexp, 0.5)
    x = np.concatenate([rng.uniform(info.minexp, info.maxexp, 60_000), rng.uniform(-2, 2, 60_000), halves]).astype(
        dtype
    )
    x = np.concatenate([x, np.nextafter(x, np.zeros_like(x))])
    x = x[x < info.maxexp]
    result, expected = apply("exp2", x), exact("exp2", x)
    assert result.dtype == dtype
    assert np.max(np.abs(result - expected) / np.spacing(expected.astype(dtype)).astype(np.longdouble)) <= 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp2_comes_down_to_zero_and_keeps_nan(dtype: str) -> None:
    info = np.finfo(dtype)
    subnormal = apply("exp2", np.linspace(info.minexp - 1, info.minexp, 1001).astype(dtype))
    assert np.all((subnormal >= 0) & (subnormal <= info.tiny))
    below = np.array([info.minexp - 1, 2 * info.minexp, info.min, -np.inf, np.nan], dtype=dtype)
    np.testing.assert_array_equal(apply("exp2", below), [0, 0, 0, 0, np.nan])


@pytest.mark.parametrize("name", [*NAMES, "exp2"])
def test_calls_from_python_are_refused(name: str) -> None:
    with pytest.raises(NotImplementedError):
        getattr(_math, name)(1.0)


def test_integers_have_no_version() -> None:
    with pytest.raises(numba.TypingError):
        apply("exp", np.arange(3))
