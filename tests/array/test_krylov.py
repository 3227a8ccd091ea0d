"""`numopt._krylov`: success means a small TRUE residual."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numopt._array import device_of, namespace
from numopt._krylov import KrylovResult, gmres, minres, pcg
from tests.helpers.xp import load, make, to_numpy

Dense = np.ndarray[Any, Any]


def symmetric(n: int, cond: float, *, definite: bool, seed: int = 0) -> Dense:
    rng = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    d = np.logspace(0, -np.log10(cond), n)
    if not definite:
        d = d * np.where(np.arange(n) % 3 == 0, -1, 1)
    A = (Q * d) @ Q.T
    return 0.5 * (A + A.T)


def matrix_for(method: Any, n: int, cond: float, seed: int = 0) -> Dense:
    """Return a matrix of the class that the method is for."""
    A = symmetric(n, cond, definite=method is pcg, seed=seed)
    return A + 0.3 * np.triu(A, 1) if method is gmres else A


def call(method: Any, matvec: Callable[[Any], Any], b: Any, **options: Any) -> KrylovResult:
    defaults: dict[str, Any] = {"rtol": 1e-10, "maxiter": 20 * b.shape[0]}
    if method is gmres:
        defaults["restart"] = b.shape[0]
    return method(matvec, b, **{**defaults, **options})  # type: ignore[no-any-return]


def residual(A: Dense, result: KrylovResult, b: Dense) -> float:
    x = to_numpy(result.x).astype(float)
    return float(np.linalg.norm(b - A @ x) / np.linalg.norm(b))


METHODS = pytest.mark.parametrize("method", [minres, pcg, gmres])


@METHODS
@pytest.mark.parametrize("preconditioned", [False, True])
@pytest.mark.parametrize("warm", [False, True])
def test_reaches_the_true_residual(xp: Any, method: Any, preconditioned: bool, warm: bool) -> None:
    A = matrix_for(method, 30, 100.0)
    b = A @ np.linspace(-1, 1, 30)
    P = symmetric(30, 10.0, definite=True, seed=1)
    As, Ps = make(xp, A), make(xp, P)
    x0 = make(xp, np.cos(np.arange(30.0)))
    result = call(
        method,
        lambda v: As @ v,
        make(xp, b),
        precond=(lambda v: Ps @ v) if preconditioned else None,
        x0=x0 if warm else None,
    )
    assert result.converged
    assert namespace(result.x) is xp
    assert device_of(result.x) == device_of(As)
    true = residual(A, result, b)
    assert true <= 1e-10
    assert result.relative_residual == pytest.approx(true, rel=1e-3)
    np.testing.assert_array_equal(to_numpy(x0), np.cos(np.arange(30.0)))


@METHODS
@given(n=st.integers(1, 12), log_cond=st.floats(0, 6), seed=st.integers(0, 2**16))
def test_converged_is_never_claimed_falsely(method: Any, n: int, log_cond: float, seed: int) -> None:
    A = matrix_for(method, n, 10.0**log_cond, seed)
    b = np.random.default_rng(seed).standard_normal(n)
    for maxiter in (0, 1, 3, 40 * n):
        result = call(method, lambda v: A @ v, b, rtol=1e-9, maxiter=maxiter)
        true = residual(A, result, b)
        assert result.converged == (true <= 1e-9 * (1 + 1e-6)) or true == pytest.approx(1e-9, rel=1e-3)
        assert result.nit <= maxiter
        assert result.relative_residual == pytest.approx(true, rel=1e-3, abs=1e-15)
    assert result.converged


@METHODS
def test_float32_stays_float32_and_its_floor_is_admitted(xp: Any, method: Any) -> None:
    A = matrix_for(method, 30, 30.0)
    b = make(xp, A @ np.ones(30), dtype="float32")
    As = make(xp, A, dtype="float32")
    good = call(method, lambda v: As @ v, b, rtol=1e-5)
    assert good.converged
    assert good.x.dtype == b.dtype
    beyond = call(method, lambda v: As @ v, b, rtol=1e-12)
    assert not beyond.converged
    assert 1e-12 < beyond.relative_residual < 1e-5
    assert beyond.nit < 600


@METHODS
def test_restarts_when_the_estimate_lied(method: Any) -> None:
    """A product that is wrong at first spoils the recurrence: its residual and the true one part."""
    A = matrix_for(method, 40, 10.0)
    E = 1e-4 * np.random.default_rng(3).standard_normal((40, 40))
    E = E + E.T
    calls = 0

    def drifting(v: Any) -> Any:
        nonlocal calls
        calls += 1
        return (A + E if calls <= 10 else A) @ v

    b = np.ones(40)
    result = call(method, drifting, b, rtol=1e-8)
    assert calls > 10
    assert result.converged
    assert residual(A, result, b) <= 1e-8


def test_minres_meets_the_goal_on_an_ill_conditioned_indefinite_system() -> None:
    """SciPy 1.17's MINRES, asked for 1e-6, stops here at a true 6e-5 and reports success."""
    A = symmetric(200, 1e4, definite=False)
    b = A @ np.random.default_rng(0).standard_normal(200)
    result = minres(lambda v: A @ v, b, rtol=1e-6, maxiter=20_000)
    assert result.converged
    assert residual(A, result, b) <= 1e-6


@pytest.mark.parametrize("spread", [1.0, 30.0, 1e3])
@pytest.mark.parametrize("rtol", [0.5, 0.2, 1e-2, 1e-6])
def test_preconditioned_minres_stops_on_the_plain_norm(spread: float, rtol: float) -> None:
    """With a lopsided preconditioner the M-norm and the 2-norm differ by the spread; the stop must use the latter."""
    A = symmetric(40, 50.0, definite=False)
    d = np.logspace(0, np.log10(spread), 40)
    b = np.ones(40)
    history: list[float] = []
    products = 0

    def matvec(v: Dense) -> Dense:
        nonlocal products
        products += 1
        return A @ v

    result = minres(
        matvec,
        b,
        precond=lambda v: d * v,
        rtol=rtol,
        maxiter=4000,
        callback=lambda x: history.append(float(np.linalg.norm(b - A @ x))),
    )
    assert result.converged
    # Neither late, nor early with a restart: one product an iteration and one for the residual that is reported.
    target = rtol * float(np.linalg.norm(b))
    assert history[-1] <= target
    assert min(history[:-1], default=np.inf) > target * (1 - 1e-6)
    assert products == result.nit + 1


def test_gmres_in_steps_of_two_walks_like_restart_two() -> None:
    A = np.random.default_rng(0).standard_normal((20, 20)) + 8 * np.eye(20)
    b = np.ones(20)
    x = np.zeros(20)
    used = 0
    for _ in range(5):
        result = gmres(lambda v: A @ v, b, x0=x, restart=2, rtol=1e-10, maxiter=2)
        assert result.nit == 2
        x, used = result.x, used + result.nit
    whole = gmres(lambda v: A @ v, b, restart=2, rtol=1e-10, maxiter=used)
    np.testing.assert_allclose(x, whole.x, rtol=1e-10)
    assert whole.nit == 10


def test_gmres_residuals_match_the_best_in_the_krylov_space() -> None:
    A = np.random.default_rng(1).standard_normal((15, 15)) + 4 * np.eye(15)
    b = np.arange(1.0, 16.0)
    for k in (1, 4, 9):
        V = np.linalg.qr(np.stack([np.linalg.matrix_power(A, j) @ b for j in range(k)], axis=1))[0]
        best = np.linalg.norm(b - A @ V @ np.linalg.lstsq(A @ V, b, rcond=None)[0]) / np.linalg.norm(b)
        result = gmres(lambda v: A @ v, b, restart=k, rtol=1e-14, maxiter=k)
        assert result.relative_residual == pytest.approx(best, rel=1e-6)


def test_gmres_stops_at_once_when_it_stagnates() -> None:
    shift = np.roll(np.eye(6), 1, axis=0)
    result = gmres(lambda v: shift @ v, np.eye(6)[0], restart=3, rtol=1e-8, maxiter=1000)
    assert not result.converged
    assert result.nit == 3
    full = gmres(lambda v: shift @ v, np.eye(6)[0], restart=6, rtol=1e-8, maxiter=1000)
    assert full.converged


@pytest.mark.parametrize("method", [minres, gmres])
def test_singular_consistent_systems_are_solved(method: Any) -> None:
    A = symmetric(20, 20.0, definite=False)
    w, V = np.linalg.eigh(A)
    w[:4] = 0
    A = (V * w) @ V.T
    b = A @ np.ones(20)
    result = call(method, lambda v: A @ v, b, rtol=1e-8)
    assert result.converged
    # Started from zero, the iterates stay in the range: the minimum-norm solution.
    np.testing.assert_allclose(result.x, np.linalg.pinv(A) @ b, atol=1e-6)


@pytest.mark.parametrize("method", [minres, gmres])
def test_inconsistent_systems_end_at_least_squares(method: Any) -> None:
    A = symmetric(30, 100.0, definite=False)
    w, V = np.linalg.eigh(A)
    w[np.argsort(np.abs(w))[:5]] = 0
    A = (V * w) @ V.T
    b = np.random.default_rng(2).standard_normal(30)
    best = np.linalg.norm(b - A @ (np.linalg.pinv(A, rcond=1e-8) @ b)) / np.linalg.norm(b)
    result = call(method, lambda v: A @ v, b, maxiter=2000)
    assert not result.converged
    assert result.nit < 500
    assert result.relative_residual == pytest.approx(best, rel=1e-4)
    assert np.linalg.norm(result.x) < 1e4


def test_pcg_stops_on_negative_curvature_with_the_iterate_before_it() -> None:
    A = np.diag([2.0, 1.0, -1.0])
    result = pcg(lambda v: A @ v, np.array([1.0, 1.0, 0.5]), rtol=1e-10, maxiter=50)
    assert not result.converged
    assert np.isfinite(result.x).all()


@pytest.mark.parametrize("method", [minres, pcg])
def test_indefinite_preconditioners_end_the_solve(method: Any) -> None:
    result = call(method, lambda v: 2 * v, np.ones(3), precond=lambda v: -v)
    assert not result.converged
    assert result.nit == 0
    np.testing.assert_array_equal(result.x, np.zeros(3))


@METHODS
def test_products_that_are_not_finite_end_the_solve(xp: Any, method: Any) -> None:
    calls = 0

    def spoilt(v: Any) -> Any:
        nonlocal calls
        calls += 1
        return (2.0 if calls < 3 else float("nan")) * make(xp, np.arange(1.0, 7.0)) * v

    result = call(method, spoilt, make(xp, np.ones(6)))
    assert not result.converged
    assert np.isfinite(to_numpy(result.x)).all()


@METHODS
def test_right_hand_sides_that_are_not_finite(method: Any) -> None:
    result = call(method, lambda v: v, np.array([1.0, np.nan]))
    assert not result.converged
    assert result.nit == 0


@METHODS
def test_zero_right_hand_side_gives_zero(xp: Any, method: Any) -> None:
    result = call(method, lambda v: 2 * v, make(xp, np.zeros(3)), x0=make(xp, np.ones(3)))
    assert result.converged
    assert result.relative_residual == 0.0
    np.testing.assert_array_equal(to_numpy(result.x), np.zeros(3))


@METHODS
def test_start_at_the_solution_costs_nothing(method: Any) -> None:
    A = matrix_for(method, 10, 10.0)
    result = call(method, lambda v: A @ v, A @ np.ones(10), x0=np.ones(10))
    assert result.converged
    assert result.nit == 0


@METHODS
def test_atol_is_an_absolute_goal(method: Any) -> None:
    A = matrix_for(method, 20, 1e3)
    b = 1e-3 * np.ones(20)
    result = call(method, lambda v: A @ v, b, rtol=0.0, atol=1e-7)
    assert result.converged
    assert 1e-16 < np.linalg.norm(b - A @ result.x) <= 1e-7


@METHODS
def test_maxiter_bounds_all_iterations(method: Any) -> None:
    A = matrix_for(method, 60, 1e6)
    for maxiter in (0, 1, 7):
        result = call(method, lambda v: A @ v, np.ones(60), maxiter=maxiter)
        assert not result.converged
        assert result.nit == maxiter


@METHODS
def test_true_callback_stops(method: Any) -> None:
    A = matrix_for(method, 40, 1e4)
    seen: list[Any] = []

    def second(x: Any, *norm: float) -> bool:
        assert len(norm) == (method is pcg)
        seen.append(x.copy())
        return len(seen) == 2

    options = {"restart": 5} if method is gmres else {}
    result = call(method, lambda v: A @ v, np.ones(40), callback=second, **options)
    assert not result.converged
    assert len(seen) == 2
    np.testing.assert_array_equal(result.x, seen[-1])


@METHODS
def test_products_may_reuse_their_buffers(method: Any) -> None:
    A = matrix_for(method, 20, 30.0)
    b = A @ np.ones(20)
    product, image = np.empty(20), np.empty(20)
    result = call(method, lambda v: np.matmul(A, v, out=product), b, precond=lambda v: np.multiply(v, 0.5, out=image))
    assert result.converged
    np.testing.assert_array_equal(b, A @ np.ones(20))
    identity = call(method, lambda v: v, b, precond=lambda v: v)
    np.testing.assert_allclose(identity.x, b)


@METHODS
def test_one_transfer_for_each_iteration(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted on array-api-strict, where every way to the host goes through these two functions."""
    import numopt._array
    import numopt._krylov

    xp = load("array_api_strict")
    fetches = 0
    fetch = numopt._array.to_host

    def counting(x: Any) -> Any:
        nonlocal fetches
        fetches += 1
        return fetch(x)

    monkeypatch.setattr(numopt._array, "to_host", counting)
    monkeypatch.setattr(numopt._krylov, "to_host", counting)
    A = make(xp, matrix_for(method, 30, 10.0))
    result = call(method, lambda v: A @ v, make(xp, np.ones(30)), rtol=1e-6)
    assert result.converged
    assert fetches <= result.nit + 4


def test_pcg_takes_hermitian_systems() -> None:
    rng = np.random.default_rng(0)
    Q, _ = np.linalg.qr(rng.standard_normal((30, 30)) + 1j * rng.standard_normal((30, 30)))
    A = (Q * np.logspace(0, 2, 30)) @ Q.conj().T
    b = rng.standard_normal(30) + 1j * rng.standard_normal(30)
    result = pcg(lambda v: A @ v, b, rtol=1e-10, maxiter=200)
    assert result.converged
    assert np.linalg.norm(b - A @ result.x) <= 1e-10 * np.linalg.norm(b)


def test_pcg_tells_an_indefinite_matrix_from_other_failures() -> None:
    A = np.diag([1.0, -2.0, 3.0])
    assert pcg(lambda v: A @ v, np.ones(3), rtol=1e-10, maxiter=50).indefinite
    assert not pcg(lambda v: abs(A) @ v, np.ones(3), rtol=1e-10, maxiter=1).indefinite


@METHODS
def test_bad_input_raises(method: Any) -> None:
    def product(v: Any) -> Any:
        return v

    with pytest.raises(TypeError, match="`b` must be an array, got float"):
        method(product, 1.0, rtol=1e-8, maxiter=5, **({"restart": 2} if method is gmres else {}))
    with pytest.raises(TypeError, match="`x0` must be an array, got list"):
        call(method, product, np.ones(2), x0=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"`b` must be a vector, got shape \(2, 1\)"):
        call(method, product, np.ones((2, 1)))
    with pytest.raises(ValueError, match=r"`x0` has shape \(3,\) but `b` has shape \(2,\)"):
        call(method, product, np.ones(2), x0=np.ones(3))
    if method is not pcg:
        with pytest.raises(TypeError, match="must be real, got dtype complex128"):
            call(method, product, np.ones(2, dtype=complex))
    with pytest.raises(ValueError, match="`rtol` must be a non-negative float, got -1"):
        call(method, product, np.ones(2), rtol=-1.0)
    with pytest.raises(ValueError, match="`atol` must be a non-negative float, got nan"):
        call(method, product, np.ones(2), atol=float("nan"))
    with pytest.raises(ValueError, match="`maxiter` must be a non-negative int, got -1"):
        call(method, product, np.ones(2), maxiter=-1)


def test_restart_must_be_positive() -> None:
    with pytest.raises(ValueError, match="`restart` must be a positive int, got 0"):
        gmres(lambda v: v, np.ones(2), restart=0, rtol=1e-8, maxiter=5)
