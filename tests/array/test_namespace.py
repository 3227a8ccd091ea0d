"""`numopt._array`: which library, which dtype, which device."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from numopt._array import (
    asarray_like,
    default_float,
    device_of,
    is_array,
    is_cupy,
    is_linear_operator,
    is_numpy,
    is_sparse,
    namespace,
    promote,
    scalars,
    to_host,
)
from numopt._operator import MatrixOperator
from tests.helpers.xp import load, make, to_numpy

NUMPY = load("numpy")
STRICT = load("array_api_strict")


def foreign(module: str, name: str) -> Any:
    """Return an object that looks like an array of a library which is not installed here."""
    cls = type(name, (), {"__module__": module, "shape": (2,), "__array__": lambda self: np.zeros(2)})
    return cls()


def test_namespace_is_that_of_the_arrays(xp: Any) -> None:
    a, b = make(xp, [1.0, 2.0]), make(xp, [[1]])
    assert namespace(a, b) is xp
    assert is_array(a)
    assert not is_sparse(a)
    assert is_numpy(xp) == (xp is NUMPY)
    assert is_cupy(xp) == xp.__name__.endswith("cupy")


def test_none_numbers_lists_and_numpy_scalars_do_not_take_part(xp: Any) -> None:
    assert namespace(None, 1, 2.0, np.float64(3.0), [1.0], "text", make(xp, [1.0])) is xp
    assert namespace(None, [1.0, 2.0], (3,), 4) is NUMPY
    assert namespace() is NUMPY


@pytest.mark.parametrize(
    "A",
    [
        sp.csr_array(np.eye(2)),
        sp.csc_matrix(np.eye(2)),
        sp.coo_array(np.eye(2)),
        aslinearoperator(np.eye(2)),
        LinearOperator((2, 2), matvec=lambda v: v, dtype=np.float64),
        MatrixOperator(np.eye(2)),
    ],
    ids=lambda A: type(A).__name__,
)
def test_matrices_of_scipy_count_as_numpy(A: Any) -> None:
    assert namespace(A) is NUMPY
    assert namespace(A, np.ones(2)) is NUMPY
    assert is_sparse(A) == sp.issparse(A)
    assert is_linear_operator(A) == isinstance(A, LinearOperator)
    assert not is_array(A)


def test_wrapped_matrix_counts_as_its_library(xp: Any) -> None:
    assert namespace(MatrixOperator(make(xp, np.eye(2)))) is xp


def test_mixed_libraries_raise_and_say_how_to_convert() -> None:
    with pytest.raises(TypeError, match=r"one library, got NumPy and array-api-strict; convert with cupy\.asarray"):
        namespace(np.ones(2), make(STRICT, [1.0]))
    with pytest.raises(TypeError, match="got array-api-strict and NumPy"):
        namespace(make(STRICT, [1.0]), sp.csr_array(np.eye(2)))


@pytest.mark.parametrize(
    ("module", "name", "message"),
    [
        ("torch", "Tensor", r"PyTorch objects are not supported \(got torch\.Tensor\); .* x\.detach\(\)\.cpu\(\)"),
        ("jaxlib._jax", "ArrayImpl", "JAX objects are not supported .* numpy.asarray"),
        ("dask.array.core", "Array", r"Dask objects .* x\.compute\(\)"),
        ("ndonnx._array", "Array", "ndonnx objects"),
        ("pandas.core.frame", "DataFrame", r"pandas objects .* x\.to_numpy\(\)"),
        ("sparse.numba_backend", "COO", r"pydata/sparse objects .* x\.to_scipy_sparse\(\)"),
    ],
)
def test_unsupported_libraries_raise_with_a_conversion(module: str, name: str, message: str) -> None:
    array = foreign(module, name)
    with pytest.raises(TypeError, match=message):
        namespace(np.ones(2), array)
    with pytest.raises(TypeError, match="not supported"):
        to_host(array)


def test_matrix_and_masked_subclasses_are_refused() -> None:
    with pytest.raises(TypeError, match=r"numpy\.matrix is not supported; convert with numpy\.asarray"):
        namespace(np.ones((1, 1)).view(np.matrix))
    with pytest.raises(TypeError, match=r"MaskedArray is not supported; convert with x\.filled"):
        namespace(np.ma.ones(2))


def test_plain_subclasses_of_ndarray_are_numpy() -> None:
    class Tagged(np.ndarray):
        pass

    assert namespace(np.ones(2).view(Tagged)) is NUMPY


def test_namespace_imports_no_library_that_did_not_come() -> None:
    code = (
        "import sys, numpy as np; from numopt._array import namespace, promote, to_host; xp = namespace(np.ones(2));"
        "promote(np.ones(2), xp=xp); to_host(np.ones(2));"
        "print([m for m in ('cupy', 'torch', 'scipy.sparse', 'array_api_strict', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


DTYPES = ["bool", "int32", "int64", "float32", "float64", "complex64", "complex128"]


def expected_dtype(names: list[str]) -> np.dtype[Any]:
    """Return the rule in other words: NumPy's promotion among the floating dtypes, default float when there is none."""
    floating = [np.dtype(n) for n in names if np.dtype(n).kind in "fc"]
    return np.result_type(*floating) if floating else np.dtype(np.float64)


@pytest.mark.parametrize("library", ["numpy", "array_api_strict"])
@given(names=st.lists(st.sampled_from(DTYPES), min_size=1, max_size=4))
def test_promote_gives_one_dtype_and_keeps_values(library: str, names: list[str]) -> None:
    xp = load(library)
    arrays = [make(xp, [0, 1], dtype=n) for n in names]
    out = promote(*arrays, xp=xp)
    wanted = expected_dtype(names)
    for before, after in zip(arrays, out, strict=True):
        assert namespace(after) is xp
        assert to_numpy(after).dtype == wanted
        assert device_of(after) == device_of(before)
        np.testing.assert_array_equal(to_numpy(after), [0, 1])
        if before.dtype == after.dtype:
            assert after is before


def test_promote_takes_lists_numbers_none_and_sparse(xp: Any) -> None:
    X = make(xp, [[1.0, 2.0]], dtype="float32")
    y, number, nothing, host_scalar = promote(make(xp, [1, -1]), 2.0, None, np.float64(0.5), xp=xp)
    assert nothing is None
    assert [to_numpy(a).dtype.name for a in (y, number, host_scalar)] == ["float64"] * 3
    out = promote(X, 2.0, 1, np.float64(0.5), make(xp, [1]), xp=xp)
    assert all(a.dtype == xp.float32 for a in out)
    assert all(device_of(a) == device_of(X) for a in out)
    X2, z = promote(X, 1j, xp=xp)
    assert X2.dtype == z.dtype == xp.complex64
    (listed, _) = promote([1.0, 2.0], X, xp=xp)
    assert listed.dtype == xp.float64
    assert device_of(listed) == device_of(X)


def test_promote_casts_sparse_matrices_in_their_format() -> None:
    A, b = promote(sp.csc_array(np.eye(2, dtype=int)), np.ones(2, dtype=np.float32), xp=NUMPY)
    assert A.format == "csc"
    assert A.dtype == b.dtype == np.float32


def test_promote_without_forcing_keeps_integers(xp: Any) -> None:
    a, b = promote(make(xp, [1], dtype="int32"), make(xp, [1], dtype="int64"), xp=xp, force_floating=False)
    assert a.dtype == b.dtype == xp.int64
    (c,) = promote(make(xp, [True]), xp=xp, force_floating=False)
    assert c.dtype == xp.bool
    (d,) = promote(3, xp=xp, force_floating=False)
    assert xp.isdtype(d.dtype, "integral")
    e, f = promote(make(xp, [1]), 0.5, xp=xp, force_floating=False)
    assert e.dtype == f.dtype == xp.float64


def test_promote_of_nothing_is_nothing() -> None:
    assert promote(xp=NUMPY) == ()
    assert promote(None, xp=NUMPY) == (None,)


def test_promote_widens_half_precision() -> None:
    (a,) = promote(np.ones(2, dtype=np.float16), xp=NUMPY)
    assert a.dtype == np.float32


@pytest.mark.parametrize("value", [np.array(["a"]), np.array([object()]), np.ones(2, dtype=np.longdouble), [None, 1.0]])
def test_promote_refuses_dtypes_outside_the_standard(value: Any) -> None:
    with pytest.raises(TypeError, match="not supported; expected real or complex numbers"):
        promote(value, xp=NUMPY)


def test_promote_refuses_two_devices() -> None:
    here, there = STRICT.asarray([1.0]), make(STRICT, [1.0])
    with pytest.raises(TypeError, match=r"one device, got .*CPU_DEVICE.* and .*device1"):
        promote(here, there, xp=STRICT)


def test_asarray_like_moves_host_data_to_the_device(xp: Any) -> None:
    ref = make(xp, [1.0], dtype="float32")
    rows = asarray_like(np.array([2, 0, 1]), ref)
    assert rows.dtype == xp.int64
    assert device_of(rows) == device_of(ref)
    np.testing.assert_array_equal(to_numpy(rows), [2, 0, 1])
    assert asarray_like(0.5, ref).dtype == xp.float32
    assert asarray_like([1, 2], ref).dtype == xp.int64
    assert asarray_like([1, 2], ref, dtype=xp.float64).dtype == xp.float64
    assert asarray_like(0.5, rows).dtype == xp.float64
    same = asarray_like(ref, ref)
    assert same.dtype == ref.dtype
    np.testing.assert_array_equal(to_numpy(same), to_numpy(ref))


def test_asarray_like_is_no_hidden_copy_to_the_host() -> None:
    with pytest.raises(TypeError, match="one library"):
        asarray_like(make(STRICT, [1.0]), np.ones(1))


def test_to_host_copies_from_every_device(xp: Any) -> None:
    host = to_host(make(xp, [[1.0, 2.0]], dtype="float32"))
    assert type(host) is np.ndarray
    assert host.dtype == np.float32
    np.testing.assert_array_equal(host, [[1.0, 2.0]])
    assert to_host([1, 2]).tolist() == [1, 2]


def test_scalars_fetches_mixed_kinds_in_order(xp: Any) -> None:
    a = make(xp, [1.5, 2.5], dtype="float32")
    got = scalars(xp, xp.sum(a), 7, xp.sum(make(xp, [1, 2])), 0.25, xp.all(a > 0), a[0])
    assert got == (4.0, 7.0, 3.0, 0.25, 1.0, 1.5)
    assert all(type(v) is float for v in got)
    assert scalars(xp) == ()


def test_default_float_is_that_of_python_floats(xp: Any) -> None:
    assert default_float(xp) == xp.asarray(1.0).dtype


def test_device_of_non_arrays_is_none(xp: Any) -> None:
    assert device_of([1.0]) is device_of(None) is device_of(sp.eye_array(2)) is None
    assert device_of(make(xp, [1.0])) is not None
