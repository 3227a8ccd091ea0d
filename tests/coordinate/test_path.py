"""`lasso_path` against scikit-learn's path and single solves."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import linear_model

from numopt import Status
from numopt.coordinate import elastic_net, lasso, lasso_path
from tests.helpers.xp import make, to_numpy

N_SAMPLES = 50


def data(seed=0, p=30):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((N_SAMPLES, p)) + 0.5
    return A, A[:, :4] @ np.array([3.0, -2.0, 1.0, 0.5]) + 1 + rng.standard_normal(N_SAMPLES)


@pytest.mark.parametrize("nonneg", [False, True])
def test_agrees_with_scikit_learn(nonneg):
    A, b = data()
    res = lasso_path(A, b, n_l1s=20, eps=1e-2, nonneg=nonneg, tol=1e-12)
    alphas, coefs, _ = linear_model.lasso_path(A, b, alphas=20, eps=1e-2, positive=nonneg, tol=1e-14, max_iter=10**6)
    assert res.success
    np.testing.assert_allclose(res.l1s, alphas * N_SAMPLES, rtol=1e-12)
    np.testing.assert_allclose(res.coefs, coefs, atol=1e-5)
    assert np.all(res.gaps >= 0)
    assert np.all(res.gaps <= 1e-12 * 0.5 * float(b @ b))


@pytest.mark.parametrize("options", [{}, {"intercept": True}, {"l2": 5.0}, {"nonneg": True, "intercept": True}])
def test_every_point_is_the_single_solution(options):
    A, b = data(1)
    w = np.random.default_rng(2).uniform(0.5, 2, N_SAMPLES)
    res = lasso_path(A, b, n_l1s=8, eps=0.01, sample_weight=w, tol=1e-12, **options)
    single = {"l2": 0.0, **options}
    l2 = single.pop("l2")
    for i, l1 in enumerate(res.l1s):
        one = elastic_net(A, b, l1, l2, sample_weight=w, tol=1e-12, **single)
        assert res.funs[i] == pytest.approx(one.fun, rel=1e-11)
        np.testing.assert_allclose(res.coefs[:, i], one.x, atol=1e-5)
        if "intercept" in options:
            assert res.intercepts[i] == pytest.approx(one.intercept, abs=1e-5)


@pytest.mark.parametrize("intercept", [False, True])
def test_starts_at_zero_and_grows(intercept):
    A, b = data(3)
    res = lasso_path(A, b, n_l1s=30, eps=1e-3, intercept=intercept)
    assert res.success
    assert res.coefs.shape == (30, 30)
    assert res.l1s[0] == res.l1_max
    assert res.l1s[-1] == pytest.approx(1e-3 * res.l1_max, rel=1e-12)
    assert not np.any(res.coefs[:, 0])
    assert np.all(np.diff(res.l1s) < 0)
    assert np.all(np.diff(res.funs) <= 1e-6 * res.funs[0])
    np.testing.assert_array_equal(res.n_active, np.count_nonzero(res.coefs, axis=0))


def test_given_values_are_sorted():
    A, b = data(4)
    res = lasso_path(A, b, l1s=[1.0, 30.0, 5.0])
    np.testing.assert_array_equal(res.l1s, [30.0, 5.0, 1.0])
    assert res.statuses.shape == res.nit.shape == res.npass.shape == res.gaps.shape == (3,)


def test_a_path_through_the_knots():
    A, b = data(5)
    alphas, _, coefs = linear_model.lars_path(A, b, method="lasso")
    res = lasso_path(A, b, l1s=alphas[:8] * N_SAMPLES, tol=1e-12)
    assert res.success
    np.testing.assert_allclose(res.coefs, coefs[:, :8], atol=1e-5)


@pytest.mark.parametrize("convert", [sp.csr_array, sp.csc_array, np.asfortranarray])
def test_storage_does_not_matter(convert):
    A, b = data(6)
    A[np.abs(A) < 0.7] = 0
    plain, other = (lasso_path(M, b, n_l1s=10, tol=1e-12) for M in (A, convert(A)))
    np.testing.assert_allclose(other.coefs, plain.coefs, atol=1e-5)


def test_stays_in_the_library_of_the_data(xp):
    A, b = data(15)
    on_xp = lasso_path(make(xp, A), make(xp, b), n_l1s=5, intercept=True, tol=1e-10)
    host = lasso_path(A, b, n_l1s=5, intercept=True, tol=1e-10)
    assert on_xp.success
    assert type(on_xp.coefs) is type(make(xp, A))
    np.testing.assert_allclose(on_xp.l1s, host.l1s, rtol=1e-12)
    np.testing.assert_allclose(to_numpy(on_xp.coefs), host.coefs, atol=1e-4)
    np.testing.assert_allclose(on_xp.intercepts, host.intercepts, atol=1e-4)


def test_single_precision_stays():
    A, b = data(7)
    res = lasso_path(A.astype(np.float32), b.astype(np.float32), n_l1s=5, tol=1e-4)
    assert res.coefs.dtype == np.float32
    np.testing.assert_allclose(res.coefs, lasso_path(A, b, n_l1s=5).coefs, atol=0.05)


def test_the_first_problem_starts_from_x0():
    A, b = data(8)
    first = lasso(A, b, 5.0, tol=1e-10)
    again = lasso_path(A, b, l1s=[5.0], x0=first, tol=1e-9)
    assert again.success
    np.testing.assert_allclose(again.coefs[:, 0], first.x, atol=1e-8)


def test_a_target_of_zeros_gives_a_path_of_zeros():
    A, _ = data(9)
    res = lasso_path(A, np.zeros(N_SAMPLES), n_l1s=4)
    assert res.l1_max == 0
    assert res.success
    assert not np.any(res.coefs)


def test_a_path_of_one_value():
    A, b = data(10)
    assert lasso_path(A, b, n_l1s=1).coefs.shape == (30, 1)


def test_time_limit_ends_the_path():
    A, b = data(11)
    res = lasso_path(A, b, n_l1s=10, tol=1e-12, time_limit=0.0)
    assert res.status is Status.TIME_LIMIT
    assert res.l1s.shape[0] == res.coefs.shape[1] < 10


def test_a_callback_ends_the_path():
    A, b = data(12)

    def stop(intermediate_result):
        raise StopIteration

    res = lasso_path(A, b, n_l1s=10, callback=stop)
    assert res.status is Status.CALLBACK
    # The first problem has nothing to do.
    assert res.l1s.shape[0] == res.coefs.shape[1] < 10


def test_a_limit_is_reported():
    A, b = data(13)
    res = lasso_path(A, b, n_l1s=5, tol=1e-12, selection="cyclic", update="exact", block_size=1, maxiter=2)
    assert not res.success
    assert res.status is Status.MAXITER
    assert res.coefs.shape == (30, 5)
    assert "maxiter" in res.message


def test_bad_input():
    A, b = data(14)
    with pytest.raises(ValueError, match="`l1s` must be finite and non-negative"):
        lasso_path(A, b, l1s=[1.0, -1.0])
    with pytest.raises(ValueError, match="`l1s` must be finite and non-negative"):
        lasso_path(A, b, l1s=[np.nan])
    with pytest.raises(ValueError, match="`l1s` must be a 1-D array"):
        lasso_path(A, b, l1s=[])
    with pytest.raises(ValueError, match="`l1s` must be a 1-D array"):
        lasso_path(A, b, l1s=1.0)
    with pytest.raises(ValueError, match="`n_l1s`"):
        lasso_path(A, b, n_l1s=0)
    with pytest.raises(ValueError, match="`eps`"):
        lasso_path(A, b, eps=1.0)
    with pytest.raises(ValueError, match="`time_limit`"):
        lasso_path(A, b, time_limit=-1.0)
    with pytest.raises(ValueError, match="`b`"):
        lasso_path(A, b[:-1])
    with pytest.raises(TypeError, match="no_such_option"):
        lasso_path(A, b, no_such_option=1)
