import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import OptimizeWarning

from numopt._core.validation import (
    check_choice,
    check_matrix,
    check_scalar,
    check_unknown_options,
    check_vector,
    check_verbose,
)
from tests.helpers.xp import make, to_numpy


def test_vector_keeps_library_dtype_and_device(xp):
    x = make(xp, [1.0, 2.0], "float32")
    checked = check_vector(x, "x0", xp=xp)
    assert type(checked) is type(x)
    assert checked.dtype == x.dtype
    np.testing.assert_array_equal(to_numpy(checked), [1.0, 2.0])


def test_integers_become_the_default_float(xp):
    assert check_vector(make(xp, [1, 2]), "x0").dtype == xp.float64
    assert check_matrix(make(xp, [[True, False]]), "A").dtype == xp.float64
    assert check_vector(make(xp, [1, 2]), "x0", dtype=xp.float32).dtype == xp.float32
    assert check_vector([1, 2], "x0").dtype == np.float64


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        ([[1.0, 2.0]], ValueError, r"`x0` must be a 1-D array, got shape \(1, 2\)"),
        (3.0, ValueError, r"`x0` must be a 1-D array, got shape \(\)"),
        ([], ValueError, "`x0` must have at least 1 element, got 0"),
        ([1.0, np.nan], ValueError, "`x0` must be finite, got NaN or infinite values"),
        ([1.0, -np.inf], ValueError, "`x0` must be finite"),
        ([1j], TypeError, "`x0` must be real, got dtype complex128"),
        (["a"], TypeError, "`x0` must be a 1-D array of real numbers"),
        ([[1.0], [1.0, 2.0]], TypeError, "`x0` must be a 1-D array of real numbers"),
        (None, TypeError, "`x0` must be a 1-D array of real numbers, got None"),
        (sp.csr_array(np.eye(2)), TypeError, r"`x0` must be a dense array, got a sparse matrix; .*`x0.toarray\(\)`"),
    ],
)
def test_bad_vector(value, error, match):
    with pytest.raises(error, match=match):
        check_vector(value, "x0")


def test_vector_of_another_size_or_library(xp):
    with pytest.raises(ValueError, match="`b` must have 3 elements, got 2"):
        check_vector(make(xp, [1.0, 2.0]), "b", size=3)
    if xp.__name__ == "array_api_strict":
        with pytest.raises(TypeError, match=r"`b` must be a 1-D array of real numbers: .*NumPy"):
            check_vector(np.ones(2), "b", xp=xp)


def test_unchecked_values_may_be_infinite():
    assert np.isinf(check_vector([np.inf], "lb", finite=False)[0])


def test_matrix_shapes_and_formats(xp):
    A = make(xp, np.ones((2, 3)))
    assert check_matrix(A, "A", shape=(None, 3)) is A
    with pytest.raises(ValueError, match=r"`A` must have shape \(any, 4\), got \(2, 3\)"):
        check_matrix(A, "A", shape=(None, 4))
    with pytest.raises(ValueError, match=r"`A` must be a 2-D array, got shape \(3,\)"):
        check_matrix(A[0, :], "A")
    with pytest.raises(ValueError, match=r"`A` must have at least 1 row and 1 column, got shape \(0, 3\)"):
        check_matrix(A[:0, :], "A")


def test_sparse_matrix_is_kept_or_refused():
    A = sp.csr_array([[1, 0], [0, 2]])
    checked = check_matrix(A, "A", allow_sparse=True)
    assert isinstance(checked, sp.csr_array)
    assert checked.dtype == np.float64
    assert check_matrix(A, "A", allow_sparse=True, dtype=np.float32).dtype == np.float32
    with pytest.raises(TypeError, match="`A` must be a dense array, got a sparse matrix"):
        check_matrix(A, "A")
    with pytest.raises(TypeError, match="`A` must be real, got dtype complex128"):
        check_matrix(A * 1j, "A", allow_sparse=True)
    with pytest.raises(TypeError, match="`A` must be a sparse matrix of real numbers"):
        check_matrix(A.astype(np.longdouble), "A", allow_sparse=True)
    with pytest.raises(ValueError, match="`A` must be finite"):
        check_matrix(A * np.nan, "A", allow_sparse=True)
    with pytest.raises(ValueError, match="`A` must be a 2-D sparse matrix"):
        check_matrix(sp.coo_array(np.ones(3)), "A", allow_sparse=True)


@pytest.mark.parametrize(
    ("value", "options", "error", "match"),
    [
        (-0.1, {"low": 0, "include_low": False}, ValueError, r"^`v` must be a positive finite float, got -0.1\.$"),
        (-1, {"low": 0}, ValueError, r"a non-negative finite float, got -1.0"),
        (float("nan"), {}, ValueError, "a finite float, got nan"),
        (float("inf"), {"low": 0}, ValueError, "a non-negative finite float, got inf"),
        (0.5, {"low": 0, "high": 0.5, "include_low": False, "include_high": False}, ValueError, r"in \(0, 0.5\), got"),
        (2, {"high": 1}, ValueError, r"a float in \(-inf, 1\], got 2.0"),
        (1.0, {"low": 1, "include_low": False}, ValueError, "a finite float > 1, got 1.0"),
        (0, {"kind": int, "low": 1}, ValueError, "a positive int, got 0"),
        (1, {"kind": int, "low": 2}, ValueError, "an int >= 2, got 1"),
        (9, {"kind": int, "low": 0, "high": 2}, ValueError, r"an int in \[0, 2\], got 9"),
        (1e3, {"kind": int, "low": 1}, TypeError, "a positive int, got 1000.0 of type float"),
        (True, {"kind": int}, TypeError, "an int, got True of type bool"),
        ("1", {}, TypeError, "a finite float, got '1' of type str"),
        (None, {"low": 0}, TypeError, "got None of type NoneType"),
        (1j, {}, TypeError, "got 1j of type complex"),
    ],
)
def test_bad_scalar(value, options, error, match):
    with pytest.raises(error, match=match):
        check_scalar(value, "v", **options)


def test_scalars_become_python_numbers():
    assert type(check_scalar(np.float32(0.5), "v")) is float
    assert type(check_scalar(np.int64(5), "v", kind=int, low=1)) is int
    assert type(check_scalar(3, "v")) is float
    assert check_scalar(float("inf"), "v", low=0, high=float("inf")) == float("inf")


def test_choice():
    assert check_choice("row", "sketch", ("row", "gaussian")) == "row"
    with pytest.raises(ValueError, match=r"^`sketch` must be one of 'row', 'gaussian', got 'block'\.$"):
        check_choice("block", "sketch", ("row", "gaussian"))
    with pytest.raises(TypeError, match="`sketch` must be one of 'row', 'gaussian', got 3 of type int"):
        check_choice(3, "sketch", ("row", "gaussian"))


def test_unknown_options_warn_once_at_the_callers_line():
    check_unknown_options([], "kaczmarz")
    with pytest.warns(OptimizeWarning, match="Unknown options for kaczmarz: ftol, gamma") as record:
        check_unknown_options({"gamma": 1, "ftol": 2}, "kaczmarz")
    assert len(record) == 1
    assert record[0].filename == __file__


def test_verbose():
    assert [check_verbose(value) for value in (False, True, 0, 1, 2)] == [0, 1, 0, 1, 2]
    with pytest.raises(ValueError, match=r"`verbose` must be an int in \[0, 2\], got 3"):
        check_verbose(3)
    with pytest.raises(TypeError, match="`verbose` must be an int in"):
        check_verbose("debug")
