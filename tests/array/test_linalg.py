"""`numopt._linalg` without the symmetric indefinite factorisation."""

from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from numopt._array import device_of, namespace
from numopt._linalg import SparseLU, cho_factor, cho_solve, lstsq, norm, top_k, weighted_gram_dense
from tests.helpers.xp import load, make, to_numpy


def random(*shape: int, seed: int = 0, dtype: str = "float64") -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


class TestNorm:
    def test_vector_and_matrix(self, xp: Any) -> None:
        assert norm(make(xp, [3.0, 4.0])) == pytest.approx(5.0)
        assert norm(make(xp, np.ones((2, 2)), dtype="float32")) == pytest.approx(2.0)
        assert type(norm(make(xp, [3.0, 4.0]))) is float

    def test_empty_and_strided_vectors(self) -> None:
        assert norm(np.zeros(0)) == 0.0
        assert norm(np.array([3.0, 9.0, 4.0, 9.0])[::2]) == pytest.approx(5.0)

    def test_neither_overflow_nor_underflow_on_the_host(self) -> None:
        assert norm(np.array([3e200, 4e200])) == pytest.approx(5e200)
        assert norm(np.array([3e-200, 4e-200])) == pytest.approx(5e-200)
        assert norm(np.array([3e30, 4e30], dtype=np.float32)) == pytest.approx(5e30, rel=1e-6)

    def test_nan_is_seen(self, xp: Any) -> None:
        assert np.isnan(norm(make(xp, [1.0, np.nan])))


class TestCholesky:
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("n", [1, 5, 60])
    def test_solves_positive_definite_systems(self, xp: Any, n: int, dtype: str) -> None:
        A = random(n, n, dtype=dtype)
        K = A @ A.T + n * np.eye(n, dtype=dtype)
        factor = cho_factor(make(xp, K))
        for b in (random(n, seed=1, dtype=dtype), random(n, 3, seed=1, dtype=dtype)):
            x = cho_solve(factor, make(xp, b))
            assert namespace(x) is xp
            assert x.dtype == make(xp, b).dtype
            assert device_of(x) == device_of(make(xp, b))
            assert x.shape == b.shape
            np.testing.assert_allclose(K @ to_numpy(x), b, rtol=0, atol=200 * n * np.finfo(dtype).eps)

    def test_both_memory_orders_read_the_lower_triangle(self) -> None:
        K = np.array([[4.0, np.nan], [2.0, 3.0]])
        for stored in (K, np.asfortranarray(K)):
            x = cho_solve(cho_factor(stored), np.array([6.0, 5.0]))
            np.testing.assert_allclose(x, [1.0, 1.0])

    @pytest.mark.parametrize(
        "K", [np.diag([1.0, -1.0]), np.zeros((2, 2)), np.diag([1.0, np.nan]), [[1.0, 2.0], [2.0, 1.0]]]
    )
    def test_other_matrices_raise(self, xp: Any, K: Any) -> None:
        with pytest.raises(np.linalg.LinAlgError, match="`K` is not positive definite"):
            cho_factor(make(xp, K))

    def test_the_failing_minor_is_named_on_the_host(self) -> None:
        with pytest.raises(np.linalg.LinAlgError, match="leading minor of order 2"):
            cho_factor(np.diag([1.0, -1.0]))

    def test_empty_matrix(self) -> None:
        assert cho_solve(cho_factor(np.zeros((0, 0))), np.zeros(0)).shape == (0,)

    def test_bad_shape_of_the_right_hand_side(self, xp: Any) -> None:
        with pytest.raises(ValueError, match=r"`b` has shape \(3,\); expected \(2,\)"):
            cho_solve(cho_factor(make(xp, np.eye(2))), make(xp, np.ones(3)))


class TestLstsq:
    @pytest.mark.parametrize("library", ["numpy", "array_api_strict"])
    @given(
        m=st.integers(0, 8), n=st.integers(0, 8), rank=st.integers(0, 8), k=st.integers(0, 2), seed=st.integers(0, 99)
    )
    def test_is_the_pseudoinverse_solution(self, library: str, m: int, n: int, rank: int, k: int, seed: int) -> None:
        rank = min(m, n, rank)
        U, V = np.linalg.qr(random(m, m, seed=seed))[0], np.linalg.qr(random(n, n, seed=seed + 1))[0]
        A = U[:, :rank] * np.linspace(1, 2, rank) @ V[:, :rank].T
        b = random(m, k, seed=seed + 2) if k else random(m, seed=seed + 2)
        xp = load(library)
        x = lstsq(make(xp, A), make(xp, b))
        assert namespace(x) is xp
        wanted = V[:, :rank] / np.linspace(1, 2, rank) @ U[:, :rank].T @ b
        np.testing.assert_allclose(to_numpy(x), wanted, rtol=0, atol=1e-12)

    def test_float32_and_device_are_kept(self, xp: Any) -> None:
        A = make(xp, random(4, 2), dtype="float32")
        x = lstsq(A, make(xp, np.ones(4), dtype="float32"))
        assert x.dtype == A.dtype
        assert device_of(x) == device_of(A)

    def test_complex_system(self, xp: Any) -> None:
        A = random(3, 5) + 1j * random(3, 5, seed=1)
        b = random(3, seed=2) + 1j
        x = to_numpy(lstsq(make(xp, A), make(xp, b)))
        np.testing.assert_allclose(x, np.linalg.pinv(A) @ b, atol=1e-12)

    def test_bad_shapes_raise(self, xp: Any) -> None:
        with pytest.raises(ValueError, match=r"`b` has shape \(3,\) but `A` has shape \(2, 2\)"):
            lstsq(make(xp, np.eye(2)), make(xp, np.ones(3)))


class TestSparseLU:
    @pytest.mark.parametrize("convert", [sp.csc_array, sp.csr_array, sp.coo_array, sp.csc_matrix])
    def test_solves_with_every_format_silently(self, convert: Any) -> None:
        K = random(30, 30) * (random(30, 30, seed=1) > 0.8) + 5 * np.eye(30)
        factor = SparseLU(convert(K))
        assert factor.n == 30
        for b in (random(30, seed=2), random(30, 2, seed=2)):
            np.testing.assert_allclose(K @ factor.solve(b), b, atol=1e-12)

    def test_int64_indices_and_integer_values(self) -> None:
        K = sp.csc_array(np.array([[2, 1], [0, 4]]))
        K.indices, K.indptr = K.indices.astype(np.int64), K.indptr.astype(np.int64)
        np.testing.assert_allclose(SparseLU(K).solve(np.array([3.0, 4.0])), [1.0, 1.0])

    def test_float32_stays_float32_whatever_the_right_hand_side(self) -> None:
        factor = SparseLU(sp.csc_array(np.diag([2.0, 4.0]).astype(np.float32)))
        for dtype in (np.float32, np.float64):
            x = factor.solve(np.array([2.0, 2.0], dtype=dtype))
            assert x.dtype == np.float32
            np.testing.assert_allclose(x, [1.0, 0.5])

    def test_indefinite_kkt_system(self) -> None:
        J = sp.random_array((5, 20), density=0.4, rng=np.random.default_rng(0)) + sp.eye_array(5, 20)
        K = sp.block_array([[-2.0 * sp.eye_array(20), J.T], [J, None]])
        b = random(25)
        np.testing.assert_allclose(K @ SparseLU(K).solve(b), b, atol=1e-12)

    @pytest.mark.parametrize("K", [np.diag([1.0, 0.0]), np.ones((2, 2)), np.diag([1.0, np.nan])])
    def test_singular_matrices_raise(self, K: Any) -> None:
        with pytest.raises(np.linalg.LinAlgError, match="`K` is exactly singular"):
            SparseLU(sp.csc_array(K))

    def test_empty_matrix(self) -> None:
        assert SparseLU(sp.csc_array((0, 0))).solve(np.zeros(0)).shape == (0,)

    def test_bad_input_raises(self) -> None:
        with pytest.raises(TypeError, match="`K` must be a scipy sparse matrix, got ndarray; use SymmetricIndefinite"):
            SparseLU(np.eye(2))
        with pytest.raises(ValueError, match=r"`K` must be a square matrix, got shape \(2, 3\)"):
            SparseLU(sp.csc_array((2, 3)))
        factor = SparseLU(sp.eye_array(2, format="csc"))
        with pytest.raises(ValueError, match=r"`b` has shape \(3,\); expected \(2,\)"):
            factor.solve(np.ones(3))
        with pytest.raises(TypeError, match="`b` must be a NumPy array, got array_api_strict"):
            factor.solve(make(load("array_api_strict"), np.ones(2)))

    @pytest.mark.gpu
    def test_cupy_matrices_are_refused_with_the_alternative(self) -> None:
        import cupyx.scipy.sparse as csp

        with pytest.raises(TypeError, match="use MINRES"):
            SparseLU(csp.eye(3, format="csr"))


class TestWeightedGram:
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (7, 3), (3, 7), (5000, 40)])
    @pytest.mark.parametrize("weights", ["non-negative", "mixed"])
    def test_equals_the_plain_product(self, xp: Any, shape: tuple[int, int], weights: str, dtype: str) -> None:
        X = random(*shape, dtype=dtype)
        w = random(shape[0], seed=1, dtype=dtype)
        w = np.abs(w) if weights == "non-negative" else w
        gram = weighted_gram_dense(make(xp, X), make(xp, w))
        assert namespace(gram) is xp
        assert gram.dtype == make(xp, X).dtype
        assert device_of(gram) == device_of(make(xp, X))
        wanted = (X.astype(float).T * w) @ X
        bound = 4 * np.finfo(dtype).eps * max(shape[0], 1) * float(np.abs(w).max(initial=0.0))
        np.testing.assert_allclose(to_numpy(gram), wanted, rtol=0, atol=bound * 20)

    def test_is_exactly_symmetric_and_leaves_its_input(self) -> None:
        X, w = random(3000, 90), np.abs(random(3000, seed=1))
        before = X.copy(), w.copy()
        gram = weighted_gram_dense(X, w)
        np.testing.assert_array_equal(gram, gram.T)
        np.testing.assert_array_equal(X, before[0])
        np.testing.assert_array_equal(w, before[1])

    def test_memory_orders_agree(self) -> None:
        X, w = random(3000, 90), np.abs(random(3000, seed=1))
        np.testing.assert_allclose(
            weighted_gram_dense(np.asfortranarray(X), w), weighted_gram_dense(X, w), rtol=1e-12, atol=1e-12
        )

    def test_nan_weights_are_seen(self) -> None:
        assert np.isnan(weighted_gram_dense(np.ones((2, 1)), np.array([1.0, np.nan]))).all()

    def test_bad_input_raises(self, xp: Any) -> None:
        with pytest.raises(ValueError, match=r"`w` has shape \(3,\) but `X` has shape \(2, 2\)"):
            weighted_gram_dense(make(xp, np.eye(2)), make(xp, np.ones(3)))
        with pytest.raises(TypeError, match="weighted_gram_csr"):
            weighted_gram_dense(sp.csr_array(np.eye(2)), np.ones(2))


def test_cholesky_agrees_with_scipy_on_a_hilbert_matrix() -> None:
    K = scipy.linalg.hilbert(6)
    b = K @ np.ones(6)
    np.testing.assert_allclose(cho_solve(cho_factor(K), b), np.ones(6), rtol=1e-8)


class TestTopK:
    @pytest.mark.parametrize("k", [0, 1, 2, 5, 9, 10, 12])
    def test_indices_ascend_and_ties_go_to_the_first(self, xp: Any, k: int) -> None:
        values = np.array([2.0, 5.0, 5.0, -1.0, 2.0, 5.0, 0.0, 2.0, -np.inf, 5.0])
        found = top_k(make(xp, values), k)
        expected = sorted(sorted(range(10), key=lambda i: (-values[i], i))[:k])
        assert to_numpy(found).tolist() == expected
        assert found.dtype == xp.int64

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_random_vectors_with_many_ties(self, xp: Any, dtype: str) -> None:
        rng = np.random.default_rng(0)
        for _ in range(50):
            n = int(rng.integers(1, 40))
            values, k = rng.integers(0, 5, n).astype(dtype), int(rng.integers(0, n + 1))
            expected = sorted(np.argsort(-values, kind="stable")[:k].tolist())
            assert to_numpy(top_k(make(xp, values), k)).tolist() == expected

    def test_nan_is_larger_than_any_number(self, xp: Any) -> None:
        values = np.array([1.0, np.nan, 3.0, np.nan, 2.0])
        for k, expected in ((1, [1]), (2, [1, 3]), (3, [1, 2, 3]), (4, [1, 2, 3, 4])):
            assert to_numpy(top_k(make(xp, values), k)).tolist() == expected
