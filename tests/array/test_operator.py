"""`numopt._operator`: every storage multiplies like the dense matrix."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from numopt._array import device_of, namespace
from numopt._operator import MatrixOperator, as_operator
from tests.helpers.xp import load, make, to_numpy

Dense = np.ndarray[Any, Any]


def duplicated(A: Dense) -> Any:
    """CSR that stores every entry in two halves, unsorted."""
    m, n = A.shape
    indices = np.tile(np.concatenate([np.arange(n)[::-1], np.arange(n)]), m)
    data = np.concatenate([np.concatenate([row[::-1], row]) / 2 for row in A]) if m else np.zeros(0)
    return sp.csr_array((data, indices, np.arange(m + 1) * 2 * n), shape=A.shape)


def int64_indices(A: Dense) -> Any:
    B = sp.csr_array(A)
    B.indices, B.indptr = B.indices.astype(np.int64), B.indptr.astype(np.int64)
    return B


SPARSE: dict[str, Callable[[Dense], Any]] = {
    "csr_array": sp.csr_array,
    "csc_array": sp.csc_array,
    "csr_matrix": sp.csr_matrix,
    "csc_matrix": sp.csc_matrix,
    "coo_array": sp.coo_array,
    "lil_array": sp.lil_array,
    "csr_int64": int64_indices,
    "csr_duplicates": duplicated,
}
STORED: dict[str, Callable[[Dense], Any]] = {
    "dense": lambda A: A,
    "dense_fortran": np.asfortranarray,
    **SPARSE,
    "linear_operator": aslinearoperator,
}


def matrix(m: int, n: int, dtype: Any = float, seed: int = 0) -> Dense:
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, n)) * (rng.random((m, n)) < 0.6)
    if np.dtype(dtype).kind == "c":
        A = A + 1j * rng.standard_normal((m, n))
    return A.astype(dtype)


@pytest.mark.parametrize("storage", STORED)
@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128"])
def test_products_equal_those_of_the_dense_matrix(storage: str, dtype: str) -> None:
    A = matrix(5, 3, dtype)
    op = MatrixOperator(STORED[storage](A))
    assert op.shape == (5, 3)
    rtol = 1e-5 if dtype == "float32" else 1e-13
    pairs = [
        (op.matvec(A[0].conj()), A @ A[0].conj()),
        (op.rmatvec(A[:, 0].copy()), A.conj().T @ A[:, 0]),
        (op.matmat(A.conj().T.copy()), A @ A.conj().T),
        (op.rmatmat(A.copy()), A.conj().T @ A),
    ]
    for got, wanted in pairs:
        assert type(got) is np.ndarray
        np.testing.assert_allclose(got, wanted, rtol=rtol, atol=rtol)
        assert storage == "csr_duplicates" or got.dtype == dtype
    np.testing.assert_allclose(op.to_dense(), A, rtol=1e-6)


def test_dense_arrays_of_every_library(xp: Any) -> None:
    A = matrix(4, 6)
    op = as_operator(make(xp, A))
    assert op.xp is xp
    assert not op.is_sparse
    x, y = np.arange(6.0), np.arange(4.0)
    checks = {
        "matvec": (op.matvec(make(xp, x)), A @ x),
        "rmatvec": (op.rmatvec(make(xp, y)), A.T @ y),
        "matmat": (op.matmat(make(xp, np.eye(6))), A),
        "rmatmat": (op.rmatmat(make(xp, np.eye(4))), A.T),
        "diag": (op.diag(), np.diag(A)),
        "col_norms": (op.col_norms(), np.linalg.norm(A, axis=0)),
        "row_norms": (op.row_norms(), np.linalg.norm(A, axis=1)),
        "to_dense": (op.to_dense(), A),
    }
    for got, wanted in checks.values():
        assert namespace(got) is xp
        assert device_of(got) == device_of(make(xp, A))
        np.testing.assert_allclose(to_numpy(got), wanted, rtol=1e-14)


@pytest.mark.parametrize("storage", SPARSE)
@pytest.mark.parametrize("dtype", ["float64", "float32", "complex64"])
def test_norms_and_diagonal_of_sparse_matrices(storage: str, dtype: str) -> None:
    for shape in ((5, 3), (3, 5), (4, 4)):
        A = matrix(*shape, dtype)
        stored = SPARSE[storage](A)
        op = MatrixOperator(stored)
        assert op.is_sparse
        before = stored.copy()
        np.testing.assert_allclose(op.col_norms(), np.linalg.norm(A, axis=0), rtol=1e-5)
        np.testing.assert_allclose(op.row_norms(), np.linalg.norm(A, axis=1), rtol=1e-5)
        np.testing.assert_allclose(op.diag(), np.diag(A), rtol=1e-5)
        for vector in (op.col_norms(), op.row_norms(), op.diag()):
            assert type(vector) is np.ndarray
            assert vector.ndim == 1
        assert op.col_norms().dtype.kind == "f"
        assert stored.nnz == before.nnz


@given(m=st.integers(1, 6), n=st.integers(1, 6), seed=st.integers(0, 2**16), storage=st.sampled_from(sorted(STORED)),
       kind=st.sampled_from(["float64", "complex128"]))  # fmt: skip
def test_adjoint_identity(m: int, n: int, seed: int, storage: str, kind: str) -> None:
    A = matrix(m, n, kind, seed)
    op = MatrixOperator(STORED[storage](A))
    x, y = matrix(n, 1, kind, seed + 1)[:, 0], matrix(m, 1, kind, seed + 2)[:, 0]
    assert np.vdot(y, op.matvec(x)) == pytest.approx(np.vdot(op.rmatvec(y), x), abs=1e-12)


def test_csr_and_csc_are_taken_without_a_copy() -> None:
    for A in (sp.csr_array(matrix(3, 3)), sp.csc_array(matrix(3, 3)), np.asfortranarray(matrix(3, 3))):
        assert MatrixOperator(A).A is A


def test_no_product_makes_a_dense_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("densified")

    A = sp.csr_array(matrix(6, 4))
    for name in ("toarray", "todense"):
        monkeypatch.setattr(type(A), name, refuse)
    op = MatrixOperator(A)
    op.matvec(np.ones(4)), op.rmatvec(np.ones(6)), op.matmat(np.ones((4, 2))), op.rmatmat(np.ones((6, 2)))
    op.col_norms(), op.row_norms(), op.diag()


def test_integer_and_boolean_matrices_become_floating(xp: Any) -> None:
    for dtype in ("int64", "bool"):
        op = MatrixOperator(make(xp, np.eye(2), dtype=dtype))
        assert op.dtype == xp.float64
    assert MatrixOperator(sp.csr_array(np.eye(2, dtype=int))).dtype == np.float64


def test_operator_of_operator_is_itself() -> None:
    op = MatrixOperator(np.eye(2))
    assert as_operator(op) is op


@pytest.mark.parametrize("storage", ["dense", "csr_array", "linear_operator"])
def test_repr_names_storage_and_shape(storage: str) -> None:
    kind = {"dense": "dense", "csr_array": "csr", "linear_operator": "LinearOperator"}[storage]
    text = repr(MatrixOperator(STORED[storage](matrix(2, 3))))
    assert text == f"<MatrixOperator of shape (2, 3), {kind}, dtype float64>"


class ForwardOnly(LinearOperator):
    """A user's subclass that defines the product alone."""

    def __init__(self) -> None:
        super().__init__(np.dtype(float), (2, 2))

    def _matvec(self, x: Any) -> Any:
        return 2 * x


@pytest.mark.parametrize(
    "A", [ForwardOnly(), LinearOperator((2, 2), matvec=lambda v: 2 * v, dtype=float)], ids=["subclass", "functions"]
)
def test_missing_adjoint_is_a_clear_error(A: Any) -> None:
    op = MatrixOperator(A)
    np.testing.assert_array_equal(op.matvec(np.ones(2)), [2.0, 2.0])
    np.testing.assert_array_equal(op.matmat(np.eye(2)), 2 * np.eye(2))
    for product, v in ((op.rmatvec, np.ones(2)), (op.rmatmat, np.eye(2))):
        with pytest.raises(TypeError, match=r"`A` is a LinearOperator without `rmatvec`, .* rmatvec=\.\.\."):
            product(v)


@pytest.mark.parametrize("what", ["diag", "col_norms", "row_norms"])
def test_linear_operators_have_no_entries(what: str) -> None:
    op = MatrixOperator(aslinearoperator(np.eye(2)))
    with pytest.raises(TypeError, match=f"`A` is a LinearOperator, which has no `{what}`; pass a dense array"):
        getattr(op, what)()


@pytest.mark.parametrize("storage", ["dense", "csr_array", "linear_operator"])
def test_vectors_that_do_not_fit_raise(storage: str) -> None:
    op = MatrixOperator(STORED[storage](matrix(3, 2)))
    with pytest.raises(ValueError, match=r"`x` has shape \(3,\) but `A` has shape \(3, 2\); expected \(2,\)"):
        op.matvec(np.ones(3))
    with pytest.raises(ValueError, match=r"`x` has shape \(2, 1\) .* expected \(2,\)"):
        op.matvec(np.ones((2, 1)))
    with pytest.raises(ValueError, match=r"`y` has shape \(2,\) .* expected \(3,\)"):
        op.rmatvec(np.ones(2))
    with pytest.raises(ValueError, match=r"`X` has shape \(2,\) .* expected \(2, k\)"):
        op.matmat(np.ones(2))
    with pytest.raises(ValueError, match=r"`Y` has shape \(2, 2\) .* expected \(3, k\)"):
        op.rmatmat(np.ones((2, 2)))
    with pytest.raises(TypeError, match="`x` must be a dense array, got list"):
        op.matvec([1.0, 2.0])
    with pytest.raises(TypeError, match="`x` must be a dense array, got csr_array"):
        op.matvec(sp.csr_array(np.ones((2, 1))))
    with pytest.raises(TypeError, match="one library, got array-api-strict and NumPy"):
        op.matvec(make(load("array_api_strict"), np.ones(2)))


@pytest.mark.parametrize("bad", [[[1.0]], 3.0, None, lambda v: v])
def test_other_objects_are_refused(bad: Any) -> None:
    with pytest.raises(TypeError, match=f"`A` must be a dense array, .* got {type(bad).__name__}"):
        MatrixOperator(bad)


def test_vectors_are_refused_as_matrices(xp: Any) -> None:
    with pytest.raises(ValueError, match=r"`A` must be two-dimensional, got shape \(3,\)"):
        MatrixOperator(make(xp, np.ones(3)))
    with pytest.raises(ValueError, match="two-dimensional"):
        MatrixOperator(sp.coo_array(np.ones(3)))


@pytest.mark.gpu
@pytest.mark.parametrize("fmt", ["csr", "csc", "coo"])
def test_cupy_sparse_matrices(fmt: str) -> None:
    import cupyx.scipy.sparse as csp

    xp = load("cupy")
    A = matrix(5, 3)
    op = MatrixOperator(getattr(csp, f"{fmt}_matrix")(sp.coo_matrix(A)))
    assert op.xp is xp
    assert op.is_sparse
    checks = [
        (op.matvec(make(xp, np.ones(3))), A @ np.ones(3)),
        (op.rmatvec(make(xp, np.ones(5))), A.T @ np.ones(5)),
        (op.matmat(make(xp, np.eye(3))), A),
        (op.rmatmat(make(xp, np.eye(5))), A.T),
        (op.diag(), np.diag(A)),
        (op.col_norms(), np.linalg.norm(A, axis=0)),
        (op.row_norms(), np.linalg.norm(A, axis=1)),
        (op.to_dense(), A),
    ]
    for got, wanted in checks:
        assert namespace(got) is xp
        np.testing.assert_allclose(to_numpy(got), wanted, rtol=1e-13, atol=1e-14)
    with pytest.raises(TypeError, match="one library, got NumPy and CuPy"):
        op.matvec(np.ones(3))


@pytest.mark.gpu
def test_cupy_linear_operators() -> None:
    from cupyx.scipy.sparse.linalg import LinearOperator as CupyOperator

    xp = load("cupy")
    A = make(xp, matrix(3, 3))
    op = MatrixOperator(CupyOperator((3, 3), matvec=lambda v: A @ v, dtype=A.dtype))
    assert op.xp is xp
    np.testing.assert_allclose(to_numpy(op.matvec(make(xp, np.ones(3)))), to_numpy(A) @ np.ones(3), rtol=1e-13)
    np.testing.assert_allclose(to_numpy(op.to_dense()), to_numpy(A), rtol=1e-13)
    with pytest.raises(TypeError, match="without `rmatvec`"):
        op.rmatvec(make(xp, np.ones(3)))


def test_construction_and_products_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for store in SPARSE.values():
            op = MatrixOperator(store(matrix(4, 3)))
            op.col_norms(), op.row_norms(), op.diag(), op.rmatvec(np.ones(4))
