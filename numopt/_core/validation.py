"""Checks of arguments, made before any work, with messages that name the argument, what was expected and what came."""

import math
import numbers
import operator
from collections.abc import Collection, Iterable
from typing import Any, overload

from scipy.optimize import OptimizeWarning

from numopt._array import is_sparse, namespace, promote
from numopt._core.warnings import warn
from numopt._typing import Array, Namespace


def check_vector(
    x: Any,
    name: str,
    *,
    xp: Namespace | None = None,
    dtype: Any = None,
    finite: bool = True,
    min_size: int = 1,
    size: int | None = None,
) -> Array:
    """Return `x` as a real floating 1-D array of its own library; lists become NumPy arrays.

    Integers become the default float, or `dtype` where one is given. With `size` the length must be exactly that.
    """
    array = _real_array(x, name, 1, xp, dtype, finite)
    if size is not None and array.shape[0] != size:
        raise ValueError(f"`{name}` must have {size} elements, got {array.shape[0]}.")
    if array.shape[0] < min_size:
        raise ValueError(f"`{name}` must have at least {_count(min_size, 'element')}, got {array.shape[0]}.")
    return array


def check_matrix(
    A: Any,
    name: str,
    *,
    xp: Namespace | None = None,
    dtype: Any = None,
    finite: bool = True,
    shape: tuple[int | None, int | None] = (None, None),
    min_size: int = 1,
    allow_sparse: bool = False,
) -> Any:
    """Return `A` as a real floating dense 2-D array, or as the sparse matrix that it is where `allow_sparse`.

    None in `shape` leaves that dimension free; `min_size` is the least length of both.
    """
    if allow_sparse and is_sparse(A):
        matrix = _real_sparse(A, name, dtype, finite)
    else:
        matrix = _real_array(A, name, 2, xp, dtype, finite)
    if any(want is not None and have != want for have, want in zip(matrix.shape, shape, strict=True)):
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"`{name}` must have shape ({wanted}), got {tuple(matrix.shape)}.")
    if min(matrix.shape) < min_size:
        raise ValueError(
            f"`{name}` must have at least {_count(min_size, 'row')} and {_count(min_size, 'column')}, "
            f"got shape {tuple(matrix.shape)}."
        )
    return matrix


@overload
def check_scalar(
    value: Any,
    name: str,
    *,
    kind: type[int],
    low: float | None = None,
    high: float | None = None,
    include_low: bool = True,
    include_high: bool = True,
) -> int: ...


@overload
def check_scalar(
    value: Any,
    name: str,
    *,
    kind: type[float] = float,
    low: float | None = None,
    high: float | None = None,
    include_low: bool = True,
    include_high: bool = True,
) -> float: ...


def check_scalar(
    value: Any,
    name: str,
    *,
    kind: type[float] | type[int] = float,
    low: float | None = None,
    high: float | None = None,
    include_low: bool = True,
    include_high: bool = True,
) -> float | int:
    """Return `value` as a finite Python float or int in the given interval; bool and str are not numbers.

    An infinite `high` that is included allows infinity.
    """
    expected = _expected_scalar(kind, low, high, include_low, include_high)
    number: float | int
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"`{name}` must be {expected}, got {_shown(value)} of type {type(value).__name__}.")
    if kind is int:
        try:
            number = operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            raise TypeError(f"`{name}` must be {expected}, got {value!r} of type {type(value).__name__}.") from None
    else:
        number = float(value)
    inside = math.isfinite(number) or (number == high and include_high)
    if low is not None:
        inside = inside and (number >= low if include_low else number > low)
    if high is not None:
        inside = inside and (number <= high if include_high else number < high)
    if not inside:
        raise ValueError(f"`{name}` must be {expected}, got {number}.")
    return number


def check_choice(value: Any, name: str, choices: Collection[str]) -> str:
    """Return `value`, one of the strings in `choices`."""
    expected = f"`{name}` must be one of {', '.join(repr(choice) for choice in choices)}"
    if not isinstance(value, str):
        raise TypeError(f"{expected}, got {_shown(value)} of type {type(value).__name__}.")
    if value not in choices:
        raise ValueError(f"{expected}, got {value!r}.")
    return value


def check_verbose(verbose: Any) -> int:
    """Return 0, 1 or 2; True counts as 1."""
    return check_scalar(int(verbose) if isinstance(verbose, bool) else verbose, "verbose", kind=int, low=0, high=2)


def check_unknown_options(options: Iterable[str], solver: str) -> None:
    """Warn once, as `scipy.optimize.minimize` does, about the options that `solver` does not know."""
    unknown = sorted(options)
    if unknown:
        warn(f"Unknown options for {solver}: {', '.join(unknown)}.", OptimizeWarning)


def _real_array(x: Any, name: str, ndim: int, xp: Namespace | None, dtype: Any, finite: bool) -> Array:
    if is_sparse(x):
        raise TypeError(f"`{name}` must be a dense array, got a sparse matrix; convert with `{name}.toarray()`.")
    if x is None:
        raise TypeError(f"`{name}` must be a {ndim}-D array of real numbers, got None.")
    try:
        # An empty array stands for the library that the other arguments came from.
        xp = namespace(x) if xp is None else namespace(x, xp.empty(0))
        (array,) = promote(x, xp=xp)
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` must be a {ndim}-D array of real numbers: {error}") from error
    _check_real(array, name, xp)
    if array.ndim != ndim:
        raise ValueError(f"`{name}` must be a {ndim}-D array, got shape {tuple(array.shape)}.")
    if dtype is not None:
        array = xp.astype(array, dtype, copy=False)
    if finite and not bool(xp.all(xp.isfinite(array))):
        raise ValueError(f"`{name}` must be finite, got NaN or infinite values.")
    return array


def _real_sparse(A: Any, name: str, dtype: Any, finite: bool) -> Any:
    xp = namespace(A)
    try:
        (A,) = promote(A, xp=xp)
    except TypeError as error:
        raise TypeError(f"`{name}` must be a sparse matrix of real numbers: {error}") from error
    _check_real(A, name, xp)
    if A.ndim != 2:
        raise ValueError(f"`{name}` must be a 2-D sparse matrix, got shape {tuple(A.shape)}.")
    if dtype is not None:
        A = A.astype(dtype)
    if finite and A.nnz and not bool(xp.all(xp.isfinite(A.data))):
        raise ValueError(f"`{name}` must be finite, got NaN or infinite values.")
    return A


def _check_real(array: Any, name: str, xp: Namespace) -> None:
    if xp.isdtype(array.dtype, "complex floating"):
        raise TypeError(f"`{name}` must be real, got dtype {array.dtype}.")


def _expected_scalar(kind: type, low: float | None, high: float | None, include_low: bool, include_high: bool) -> str:
    noun = "int" if kind is int else "float" if high == math.inf and include_high else "finite float"
    if high is None or high == math.inf:
        if low is None:
            return f"{'an' if kind is int else 'a'} {noun}"
        if low == 0:
            return f"a {'non-negative' if include_low else 'positive'} {noun}"
        if low == 1 and include_low and kind is int:
            return f"a positive {noun}"
        return f"{'an' if kind is int else 'a'} {noun} {'>=' if include_low else '>'} {low}"
    left, right = "[" if include_low and low is not None else "(", "]" if include_high else ")"
    start = "-inf" if low is None else low
    return f"{'an int' if kind is int else 'a float'} in {left}{start}, {high}{right}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
