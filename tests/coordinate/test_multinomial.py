"""Multinomial regression with an l1 norm: against scikit-learn, optimality conditions, and itself in other storage."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from numopt import Status
from numopt._array import to_host
from numopt.coordinate import Multinomial, _multinomial, bcd
from tests.helpers.xp import make


@pytest.fixture(params=["matrix", "classes"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Solve the models by their matrix, or class by class."""
    if request.param == "classes":
        monkeypatch.setattr(_multinomial, "_LARGEST_GRAM", 0)


pytestmark = pytest.mark.usefixtures("form")


def data(n: int = 150, p: int = 20, k: int = 4, seed: int = 0) -> tuple[Any, Any]:
    """Return a matrix with half of its entries zero, and labels that few of its columns explain."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, p)) * (rng.random((n, p)) < 0.5)
    X = rng.standard_normal((p, k)) * (rng.random((p, k)) < 0.3)
    y = np.argmax(2 * A @ X + rng.gumbel(size=(n, k)), axis=1)
    y[:k] = np.arange(k)
    return A, y


def violation(A: Any, y: Any, X: Any, constant: Any, l1: float, l2: float, weights: Any = None) -> float:
    """Return the largest entry of the minimal subgradient, from the formulas."""
    M = A @ X + constant
    R = np.exp(M - np.max(M, axis=1, keepdims=True))
    R /= R.sum(axis=1, keepdims=True)
    R[np.arange(len(y)), y] -= 1
    R *= 1 if weights is None else weights[:, None]
    G = A.T @ R + l2 * X
    at_zero = np.maximum(np.abs(G) - l1, 0)
    return float(np.max(np.where(X != 0, np.abs(G + l1 * np.sign(X)), at_zero)))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize(("l1", "l2"), [(3.0, 0.0), (2.0, 1.5), (15.0, 0.0)])
def test_solution_satisfies_the_optimality_conditions(l1: float, l2: float, intercept: bool, weighted: bool) -> None:
    A, y = data()
    weights = np.random.default_rng(1).random(len(y)) + 0.5 if weighted else None
    res = bcd(Multinomial(A, y, weights, l1=l1, l2=l2, intercept=intercept), tol=1e-11)
    assert res.success, res.message
    constant = res.intercept if intercept else 0.0
    assert violation(A, y, res.x, constant, l1, l2, weights) <= 1e-4 * l1
    assert res.n_active == np.count_nonzero(res.x) < A.shape[1] * 4


def test_objective_is_that_of_saga() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    A, y = data()
    res = bcd(Multinomial(A, y, l1=4.0), tol=1e-10)
    fit = linear_model.LogisticRegression(
        C=1 / 4.0, l1_ratio=1.0, solver="saga", fit_intercept=False, tol=1e-9, max_iter=20000, random_state=0
    ).fit(A, y)
    M = A @ fit.coef_.T
    fun = float(np.sum(np.logaddexp.reduce(M, axis=1) - M[np.arange(len(y)), y])) + 4 * np.sum(np.abs(fit.coef_))
    assert res.fun == pytest.approx(fun, rel=1e-8)
    assert res.fun <= fun * (1 + 1e-12)


@pytest.mark.parametrize("intercept", [False, True])
def test_every_storage_gives_the_same_solution(intercept: bool) -> None:
    A, y = data()
    expected = bcd(Multinomial(A, y, l1=3.0, l2=0.2, intercept=intercept), tol=1e-11)
    wide = sp.csc_array(A)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    for B in (np.asfortranarray(A), sp.csr_array(A), sp.csc_array(A), wide):
        res = bcd(Multinomial(B, y, l1=3.0, l2=0.2, intercept=intercept), tol=1e-11)
        assert res.success, res.message
        np.testing.assert_allclose(res.x, expected.x, atol=1e-5)


def test_library_of_the_data_is_that_of_the_solution(xp: Any) -> None:
    A, y = data(n=60, p=6, k=3)
    expected = bcd(Multinomial(A, y, l1=2.0, l2=0.1, intercept=True), tol=1e-9)
    B = make(xp, A)
    res = bcd(Multinomial(B, make(xp, y), l1=2.0, l2=0.1, intercept=True), tol=1e-9)
    assert res.success, res.message
    assert type(res.x) is type(B)
    np.testing.assert_allclose(to_host(res.x), expected.x, atol=1e-4)


def test_weights_count_like_repeated_rows() -> None:
    A, y = data()
    counts = np.random.default_rng(2).integers(0, 3, size=len(y))
    counts[:4] = 1
    weighted = bcd(Multinomial(A, y, counts.astype(float), l1=3.0, l2=0.5), tol=1e-11)
    repeated = bcd(Multinomial(np.repeat(A, counts, axis=0), np.repeat(y, counts), l1=3.0, l2=0.5), tol=1e-11)
    assert weighted.fun == pytest.approx(repeated.fun, rel=1e-10)
    np.testing.assert_allclose(weighted.x, repeated.x, atol=1e-5)


def test_two_classes_are_logistic_regression() -> None:
    from numopt.coordinate import Logistic

    # X = (-x, x) / 2 has the norm of x, and any other split of x has a larger one or the same.
    A, y = data(k=2)
    pair = bcd(Multinomial(A, y, l1=3.0), tol=1e-11)
    single = bcd(Logistic(A, y, l1=3.0), tol=1e-11)
    assert pair.fun == pytest.approx(single.fun, rel=1e-9)


def test_large_penalty_gives_zero_and_a_little_less_does_not() -> None:
    A, y = data()
    R = np.full((len(y), 4), 0.25)
    R[np.arange(len(y)), y] -= 1
    largest = float(np.max(np.abs(A.T @ R)))
    none = bcd(Multinomial(A, y, l1=largest * 1.0001), tol=1e-10)
    assert none.success
    assert none.nit == 0
    assert not np.any(none.x)
    one = bcd(Multinomial(A, y, l1=largest * 0.999), tol=1e-10)
    assert one.success
    assert 1 <= one.n_active <= 2


def test_working_sets_of_any_size_lead_to_the_solution() -> None:
    A, y = data()
    problem = Multinomial(A, y, l1=2.0, l2=0.1)
    expected = bcd(problem, tol=1e-11)
    for size in (1, 7, None):
        res = bcd(problem, tol=1e-11, working_set=size)
        assert res.success, res.message
        # Each is within the root of 2 gap / l2 of the solution.
        np.testing.assert_allclose(res.x, expected.x, atol=2 * math.sqrt(2 * 1e-11 * len(y) * math.log(4) / 0.1))
    plain = bcd(problem, tol=1e-8, active_set=False)
    assert plain.success, plain.message


def test_gap_bounds_the_error_and_warm_start_takes_no_step() -> None:
    A, y = data()
    problem = Multinomial(A, y, l1=2.0)
    exact = bcd(problem, tol=1e-13)
    rough = bcd(problem, tol=1e-2)
    assert rough.fun - exact.fun <= rough.gap
    again = bcd(problem, exact, tol=1e-10)
    assert again.success
    assert again.nit == 0


def test_single_precision_ends_at_its_floor() -> None:
    A, y = data()
    res = bcd(Multinomial(A.astype(np.float32), y, l1=2.0), tol=1e-13)
    assert res.status in (Status.PRECISION, Status.CONVERGED)
    assert res.x.dtype == np.float32
    assert res.nit < 60
    assert res.fun == pytest.approx(bcd(Multinomial(A, y, l1=2.0), tol=1e-12).fun, rel=1e-5)


def test_limits_and_callbacks_stop() -> None:
    A, y = data()
    problem = Multinomial(A, y, l1=1.0)
    assert bcd(problem, tol=1e-12, maxiter=1).status == Status.MAXITER
    assert bcd(problem, tol=1e-12, time_limit=0.0).status == Status.TIME_LIMIT
    res = bcd(problem, tol=1e-10, history=True)
    assert np.all(np.diff(res.history["fun"]) <= 1e-12 * res.fun)
    assert math.isfinite(res.gap)
