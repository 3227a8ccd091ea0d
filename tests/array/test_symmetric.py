"""`numopt._linalg.SymmetricIndefinite`: inertia and solves against eigenvalues and residuals."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from numopt._array import device_of, namespace
from numopt._linalg import SymmetricIndefinite
from tests.helpers.xp import load, make, to_numpy

Matrix = np.ndarray[Any, Any]


def with_spectrum(eigenvalues: Any, seed: int, dtype: str = "float64") -> Matrix:
    """Return a dense symmetric matrix with these eigenvalues in random directions."""
    d = np.asarray(eigenvalues, dtype=float)
    Q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((d.size, d.size)))
    K = (Q * d) @ Q.T
    return (0.5 * (K + K.T)).astype(dtype)


def kkt(n: int, m: int, seed: int) -> Matrix:
    """Return [[I + indefinite part, J'], [J, 0]]: its zero block forces pivots of order 2."""
    rng = np.random.default_rng(seed)
    H, J = rng.standard_normal((n, n)), rng.standard_normal((m, n))
    return np.block([[H + H.T + 3 * np.eye(n), J.T], [J, np.zeros((m, m))]])


def signs(K: Matrix, tol: float = 1e-9) -> tuple[int, int, int]:
    w = np.linalg.eigvalsh(K)
    return int((w > tol).sum()), int((w < -tol).sum()), int((np.abs(w) <= tol).sum())


@st.composite
def small_integer_matrices(draw: st.DrawFn) -> Matrix:
    """Draw symmetric matrices of small integers: often singular, often with a zero diagonal, never nearly singular."""
    n = draw(st.integers(1, 6))
    A = draw(hnp.arrays(np.float64, (n, n), elements=st.integers(-2, 2).map(float)))
    K: Matrix = np.tril(A) + np.tril(A, -1).T
    if draw(st.booleans()):
        np.fill_diagonal(K, 0.0)
    return K


@pytest.mark.parametrize("library", ["numpy", "array_api_strict"])
@given(K=small_integer_matrices())
def test_inertia_matches_the_eigenvalues_and_solves_are_exact(library: str, K: Matrix) -> None:
    xp = load(library)
    factor = SymmetricIndefinite(make(xp, K))
    assert factor.inertia == signs(K)
    assert factor.n == K.shape[0]
    b = np.arange(1.0, K.shape[0] + 1)
    if factor.inertia[2]:
        with pytest.raises(np.linalg.LinAlgError, match="`K` is singular"):
            factor.solve(make(xp, b))
    else:
        x = to_numpy(factor.solve(make(xp, b)))
        np.testing.assert_allclose(K @ x, b, rtol=0, atol=1e-9)


@given(
    n_pos=st.integers(0, 12), n_neg=st.integers(0, 12), n_zero=st.integers(0, 4), seed=st.integers(0, 2**16),
    spread=st.floats(0, 4),
)  # fmt: skip
def test_inertia_of_prescribed_spectra(n_pos: int, n_neg: int, n_zero: int, seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    sizes = 10.0 ** rng.uniform(-spread, 0, n_pos + n_neg)
    d = np.concatenate([sizes[:n_pos], -sizes[n_pos:], np.zeros(n_zero)])
    K = with_spectrum(d, seed)
    # The zeros are rounded to about n * eps; the rest stays above 1e-4 in K, and above 1e-6 in D by a wide margin.
    assert SymmetricIndefinite(K, zero_tol=1e-10).inertia == (n_pos, n_neg, n_zero)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(1, 0), (2, 1), (7, 3), (40, 15), (150, 60)])
def test_kkt_inertia_and_residual(xp: Any, shape: tuple[int, int], dtype: str) -> None:
    K = kkt(*shape, seed=1).astype(dtype)
    b = np.random.default_rng(2).standard_normal(K.shape[0]).astype(dtype)
    factor = SymmetricIndefinite(make(xp, K))
    assert factor.inertia == signs(K.astype(float), 1e-4)
    eps = float(np.finfo(dtype).eps)
    for refine in (False, True):
        x = factor.solve(make(xp, b), refine=refine)
        assert namespace(x) is xp
        assert x.dtype == make(xp, b).dtype
        assert device_of(x) == device_of(make(xp, b))
        host = to_numpy(x).astype(float)
        scale = np.linalg.norm(K) * np.linalg.norm(host) + np.linalg.norm(b)
        assert np.linalg.norm(K @ host - b) <= 30 * eps * scale


def test_several_right_hand_sides_equal_one_at_a_time(xp: Any) -> None:
    K = kkt(8, 3, seed=3)
    B = np.random.default_rng(0).standard_normal((11, 4))
    factor = SymmetricIndefinite(make(xp, K))
    for refine in (False, True):
        X = to_numpy(factor.solve(make(xp, B), refine=refine))
        assert X.shape == B.shape
        columns = [to_numpy(factor.solve(make(xp, B[:, j].copy()), refine=refine)) for j in range(4)]
        np.testing.assert_allclose(X, np.stack(columns, axis=1), rtol=1e-10, atol=1e-12)
    assert factor.solve(make(xp, np.zeros((11, 0)))).shape == (11, 0)


@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_only_the_lower_triangle_is_read_in_every_memory_order(order: str) -> None:
    K = kkt(9, 4, seed=4)
    lower = np.tril(K) + np.triu(np.full_like(K, np.nan), 1)
    stored = {"C": lower, "F": np.asfortranarray(lower), "strided": lower.repeat(2, axis=1)[:, ::2]}[order]
    before = stored.copy()
    factor = SymmetricIndefinite(stored)
    np.testing.assert_array_equal(stored, before)
    assert factor.inertia == signs(K)
    for b in (np.ones(13), np.ones((13, 2))):
        np.testing.assert_allclose(K @ factor.solve(b, refine=True), b, atol=1e-11)


def test_refinement_lowers_the_residual_of_a_badly_scaled_matrix() -> None:
    rng = np.random.default_rng(0)
    scale = 10.0 ** rng.uniform(-6, 6, 60)
    K = scale[:, None] * kkt(40, 20, seed=5) * scale
    b = K @ np.ones(60)
    factor = SymmetricIndefinite(K, zero_tol=0.0)

    def componentwise(x: Matrix) -> float:
        return float(np.max(np.abs(b - K @ x) / (np.abs(K) @ np.abs(x) + np.abs(b))))

    plain, refined = componentwise(factor.solve(b)), componentwise(factor.solve(b, refine=True))
    assert refined <= 1e-15 * 60
    assert refined <= plain


def test_zero_tol_decides_what_counts_as_zero(xp: Any) -> None:
    K = make(xp, np.diag([1.0, -1e-3, 1e-6]))
    assert SymmetricIndefinite(K).inertia == (2, 1, 0)
    factor = SymmetricIndefinite(K, zero_tol=1e-5)
    assert factor.inertia == (1, 1, 1)
    assert factor.zero_tol == 1e-5
    with pytest.raises(np.linalg.LinAlgError, match=r"1 of 3 pivots are at most zero_tol = 1e-05; regularise it"):
        factor.solve(make(xp, np.ones(3)))


def test_default_zero_tol_follows_the_largest_entry(xp: Any) -> None:
    K = make(xp, np.diag([1e3, 1e-16]))
    factor = SymmetricIndefinite(K)
    assert factor.zero_tol == pytest.approx(10 * 2 * np.finfo(float).eps * 1e3)
    assert factor.inertia == (1, 0, 1)
    assert SymmetricIndefinite(K, zero_tol=0.0).inertia == (2, 0, 0)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("where", [(0, 0), (199, 0), (130, 129), (70, 40), (199, 199)])
def test_default_zero_tol_sees_every_entry_of_the_lower_triangle_only(order: Any, where: tuple[int, int]) -> None:
    K = np.eye(200)
    K[where] = -7.0
    K[3, 150] = 1e9
    factor = SymmetricIndefinite(np.array(K, order=order))
    assert factor.zero_tol == pytest.approx(10 * 200 * np.finfo(float).eps * 7.0)


def test_zero_matrix_and_empty_matrix(xp: Any) -> None:
    assert SymmetricIndefinite(make(xp, np.zeros((3, 3)))).inertia == (0, 0, 3)
    empty = SymmetricIndefinite(make(xp, np.zeros((0, 0))))
    assert empty.inertia == (0, 0, 0)
    assert empty.solve(make(xp, np.zeros(0))).shape == (0,)


def test_pivots_of_order_two_of_either_triangle() -> None:
    K = np.kron(np.eye(5), np.array([[0.0, 2.0], [2.0, 0.0]]))
    for stored in (K, np.asfortranarray(K)):
        factor = SymmetricIndefinite(stored)
        assert factor.inertia == (5, 5, 0)
        np.testing.assert_allclose(factor.solve(np.arange(10.0)), np.linalg.solve(K, np.arange(10.0)))


def test_integer_matrix_becomes_floating(xp: Any) -> None:
    factor = SymmetricIndefinite(make(xp, [[2, 1], [1, 3]]))
    assert factor.inertia == (2, 0, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", [(0, 0), (2, 2), (2, 0)])
def test_values_that_are_not_finite_raise(xp: Any, bad: float, where: tuple[int, int]) -> None:
    K = np.eye(3)
    K[where] = K[where[::-1]] = bad
    with pytest.raises(np.linalg.LinAlgError, match="not finite"):
        SymmetricIndefinite(make(xp, K))


def test_bad_matrices_raise() -> None:
    with pytest.raises(ValueError, match=r"`K` must be a square matrix, got shape \(2, 3\)"):
        SymmetricIndefinite(np.ones((2, 3)))
    with pytest.raises(TypeError, match="`K` must be a dense NumPy or CuPy array, got csr_array"):
        SymmetricIndefinite(sp.csr_array(np.eye(2)))
    with pytest.raises(TypeError, match="`K` must be a dense NumPy or CuPy array, got list"):
        SymmetricIndefinite([[1.0]])
    with pytest.raises(TypeError, match="`K` must be real, got dtype complex128"):
        SymmetricIndefinite(np.eye(2, dtype=complex))


def test_bad_right_hand_sides_raise(xp: Any) -> None:
    factor = SymmetricIndefinite(make(xp, np.eye(3)))
    with pytest.raises(ValueError, match=r"`b` has shape \(2,\); expected \(3,\) or \(3, k\)"):
        factor.solve(make(xp, np.ones(2)))
    with pytest.raises(TypeError, match="`b` must be an array, got list"):
        factor.solve([1.0, 2.0, 3.0])
