"""The wrappers against scikit-learn, SciPy and formulas; invariances; ends of the path; ugly data; errors."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import lsq_linear
from sklearn import linear_model

from numopt import Status
from numopt._array import namespace
from numopt.coordinate import (
    bvls,
    elastic_net,
    label_propagation,
    lasso,
    logistic,
    multinomial,
)
from tests.helpers.xp import make, to_numpy

N_SAMPLES, N_FEATURES = 60, 40
TIGHT = 1e-13  # relative gap; objectives then agree to about that, coefficients to its root


def regression_data(seed=0, n=N_SAMPLES, p=N_FEATURES):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, p)) + 0.3
    x = rng.standard_normal(p) * (rng.random(p) < 0.2)
    return A, A @ x + 2 + 0.5 * rng.standard_normal(n)


def classification_data(seed=0, n=N_SAMPLES, p=N_FEATURES, k=2):
    """Labels 0 to k - 1 that no linear function separates."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, p))
    scores = A[:, :k] + 2 * rng.standard_normal((n, k)) + np.linspace(0, 1, k)
    y = np.argmax(scores, axis=1)
    y[:k] = np.arange(k)
    return A, y


def zero_penalty(A, b):
    """Return the least l1 that makes the Lasso without an intercept zero."""
    return float(np.max(np.abs(A.T @ b)))


def elastic_net_value(A, b, x, c, l1, l2=0.0, w=1.0):
    return 0.5 * np.sum(w * (A @ x + c - b) ** 2) + np.sum(l1 * np.abs(x)) + 0.5 * np.sum(l2 * x**2)


# ---- least squares ----------------------------------------


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("nonneg", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fraction", [0.5, 0.05])
def test_lasso_agrees_with_scikit_learn(intercept, nonneg, weighted, fraction):
    A, b = regression_data()
    w = np.random.default_rng(1).uniform(0.5, 2, N_SAMPLES) if weighted else np.ones(N_SAMPLES)
    l1 = fraction * zero_penalty(A, b)
    res = lasso(
        A, b, l1, intercept=intercept, nonneg=nonneg, sample_weight=w if weighted else None, tol=TIGHT
    )  # fmt: skip
    peer = linear_model.Lasso(l1 / np.sum(w), fit_intercept=intercept, positive=nonneg, tol=1e-15, max_iter=10**6)
    peer.fit(A, b, sample_weight=w)
    constant = res.intercept if intercept else 0.0
    best = elastic_net_value(A, b, peer.coef_, peer.intercept_, l1, w=w)
    assert res.success
    assert res.fun == pytest.approx(elastic_net_value(A, b, res.x, constant, l1, w=w), rel=1e-13)
    assert res.fun <= best * (1 + 1e-12)
    np.testing.assert_allclose(res.x, peer.coef_, atol=1e-6)
    assert constant == pytest.approx(peer.intercept_, abs=1e-6)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_elastic_net_agrees_with_scikit_learn(l1_ratio):
    A, b = regression_data(2)
    alpha = 0.3
    l1, l2 = alpha * l1_ratio * N_SAMPLES, alpha * (1 - l1_ratio) * N_SAMPLES
    res = elastic_net(A, b, l1, l2, intercept=True, tol=TIGHT)
    if l1_ratio:
        peer = linear_model.ElasticNet(alpha, l1_ratio=l1_ratio, tol=1e-15, max_iter=10**6).fit(A, b)
    else:
        peer = linear_model.Ridge(l2).fit(A, b)
    assert res.success
    np.testing.assert_allclose(res.x, peer.coef_, atol=1e-7)
    assert res.intercept == pytest.approx(peer.intercept_, abs=1e-7)


def test_lasso_meets_the_optimality_conditions_in_extended_precision():
    A, b = regression_data(3, n=30, p=50)
    l1 = 0.1 * zero_penalty(A, b)
    x = lasso(A, b, l1, tol=TIGHT).x.astype(np.longdouble)
    A, b = A.astype(np.longdouble), b.astype(np.longdouble)
    slopes = A.T @ (A @ x - b)
    floor = 1e-7 * l1
    assert np.all(np.abs(slopes) <= l1 + floor)
    active = x != 0
    assert np.all(np.abs(slopes[active] + l1 * np.sign(x[active])) <= floor)


@pytest.mark.parametrize("shape", [(60, 20), (20, 60)])
def test_bvls_agrees_with_scipy(shape):
    rng = np.random.default_rng(4)
    A, b = rng.standard_normal(shape), 3 * rng.standard_normal(shape[0])
    lower = rng.uniform(-1, 0, shape[1])
    upper = lower + rng.uniform(0, 1, shape[1])
    res = bvls(A, b, (lower, upper))
    peer = lsq_linear(A, b, (lower, upper), method="bvls", tol=1e-14)
    assert res.success
    assert np.all((lower <= res.x) & (res.x <= upper))
    # An objective that vanishes is met to rounding of the data, not of itself.
    assert res.fun == pytest.approx(peer.cost, rel=1e-9, abs=1e-14 * float(b @ b))


def test_bvls_takes_one_sided_and_equal_bounds():
    A, b = regression_data(5, p=10)
    lower, upper = np.full(10, -np.inf), np.full(10, np.inf)
    lower[:3], upper[2:5], lower[4] = 0.1, 0.2, 0.2
    res = bvls(A, b, (lower, upper))
    peer = lsq_linear(A, b, (lower, np.nextafter(upper, np.inf)), method="bvls", tol=1e-14)
    assert res.success
    assert res.x[4] == 0.2
    np.testing.assert_allclose(res.x, peer.x, atol=1e-7)


# ---- logistic models ----------------------------------------


@pytest.mark.parametrize("fraction", [0.5, 0.05])
@pytest.mark.parametrize("labels", [(-1, 1), (0, 1)])
def test_l1_logistic_agrees_with_liblinear(fraction, labels):
    A, y = classification_data(6)
    signs = 2.0 * y - 1
    l1 = fraction * float(np.max(np.abs(A.T @ (signs / 2))))
    res = logistic(A, np.asarray(labels)[y], l1=l1, tol=TIGHT)
    peer = linear_model.LogisticRegression(
        C=1 / l1, l1_ratio=1.0, solver="liblinear", fit_intercept=False, tol=1e-12, max_iter=10**5
    ).fit(A, y)
    x = peer.coef_[0]
    best = np.sum(np.logaddexp(0, -signs * (A @ x))) + l1 * np.sum(np.abs(x))
    assert res.success
    assert res.fun <= best * (1 + 1e-12)
    np.testing.assert_allclose(res.x, x, atol=1e-5)


@pytest.mark.parametrize("intercept", [False, True])
def test_l2_logistic_agrees_with_scikit_learn(intercept):
    A, y = classification_data(7)
    w = np.random.default_rng(8).uniform(0.5, 2, N_SAMPLES)
    res = logistic(A, y, l2=2.0, intercept=intercept, sample_weight=w, tol=1e-12)
    peer = linear_model.LogisticRegression(
        C=0.5, solver="newton-cholesky", fit_intercept=intercept, tol=1e-12, max_iter=100
    ).fit(A, y, sample_weight=w)
    assert res.success
    np.testing.assert_allclose(res.x, peer.coef_[0], atol=1e-8)
    if intercept:
        assert res.intercept == pytest.approx(peer.intercept_[0], abs=1e-8)


@pytest.mark.parametrize("intercept", [False, True])
def test_elastic_net_logistic_meets_the_optimality_conditions(intercept):
    A, y = classification_data(9)
    signs = 2.0 * y - 1
    l1, l2 = 3.0, 0.7
    res = logistic(A, y, l1=l1, l2=l2, intercept=intercept, tol=TIGHT)
    c = res.intercept if intercept else 0.0
    derivative = -signs / (1 + np.exp(signs * (A @ res.x + c)))
    slopes = A.T @ derivative + l2 * res.x
    active = res.x != 0
    assert res.success
    assert 0 < np.sum(active) < N_FEATURES
    assert np.all(np.abs(slopes) <= l1 + 1e-5)
    np.testing.assert_allclose(slopes[active], -l1 * np.sign(res.x[active]), atol=1e-5)
    if intercept:
        assert abs(np.sum(derivative)) <= 1e-5


@pytest.mark.parametrize("intercept", [False, True])
def test_l2_multinomial_agrees_with_scikit_learn(intercept):
    A, y = classification_data(10, p=8, k=4)
    res = multinomial(A, y, l2=1.0, intercept=intercept, tol=1e-12)
    peer = linear_model.LogisticRegression(solver="newton-cg", fit_intercept=intercept, tol=1e-12, max_iter=1000).fit(
        A, y
    )
    assert res.success
    assert res.x.shape == (8, 4)
    # l2 / 2 ||x - x*||^2 <= gap
    np.testing.assert_allclose(res.x, peer.coef_.T, atol=np.sqrt(2e-12 * N_SAMPLES * np.log(4)))
    if intercept:
        # A constant for all classes is free.
        np.testing.assert_allclose(
            res.intercept - np.mean(res.intercept), peer.intercept_ - np.mean(peer.intercept_), atol=1e-5
        )


def test_l1_multinomial_meets_the_optimality_conditions():
    A, y = classification_data(11, p=12, k=3)
    l1 = 4.0
    res = multinomial(A, y, l1=l1, tol=1e-12)
    margins = A @ res.x
    P = np.exp(margins - np.max(margins, axis=1, keepdims=True))
    P /= np.sum(P, axis=1, keepdims=True)
    slopes = A.T @ (P - np.eye(3)[y])
    active = res.x != 0
    assert res.success
    assert 0 < np.sum(active) < active.size
    assert np.all(np.abs(slopes) <= l1 + 1e-4)
    np.testing.assert_allclose(slopes[active], -l1 * np.sign(res.x[active]), atol=1e-4)


# ---- label propagation ----------------------------------------


def random_graph(seed=12, n=30):
    rng = np.random.default_rng(seed)
    W = np.triu(rng.random((n, n)) * (rng.random((n, n)) < 0.2), 1)
    W[np.arange(n - 1), np.arange(1, n)] = 1.0  # a path through all nodes
    labels = rng.standard_normal(n)
    return W + W.T, labels, rng.random(n) < 0.2


@pytest.mark.parametrize("l2", [0.0, 0.5])
@pytest.mark.parametrize("form", ["dense", "csr", "nan"])
def test_label_propagation_solves_the_laplacian_system(l2, form):
    W, labels, known = random_graph()
    laplacian = np.diag(np.sum(W, axis=1)) - W + l2 * np.eye(W.shape[0])
    expected = labels.copy()
    expected[~known] = np.linalg.solve(laplacian[np.ix_(~known, ~known)], W[np.ix_(~known, known)] @ labels[known])
    matrix = W if form == "dense" else sp.csr_array(W)
    if form == "nan":
        res = label_propagation(matrix, np.where(known, labels, np.nan), l2=l2, tol=1e-12)
    else:
        res = label_propagation(matrix, labels, known, l2=l2, tol=1e-12)
    assert res.success
    np.testing.assert_array_equal(res.unknown, np.flatnonzero(~known))
    np.testing.assert_array_equal(res.x[known], labels[known])
    np.testing.assert_allclose(res.x, expected, atol=1e-10)


def test_label_propagation_goes_on_from_all_labels_and_from_a_result():
    W, labels, known = random_graph()
    first = label_propagation(sp.csr_array(W), labels, known, tol=1e-10)
    for start in (first, first.x):
        again = label_propagation(sp.csr_array(W), labels, known, x0=start, tol=1e-8)
        assert again.success
        assert again.nit == 0
        np.testing.assert_array_equal(again.x, first.x)


# ---- invariances ----------------------------------------


def csc_with_long_indices(A):
    matrix = sp.csc_array(A)
    matrix.indices, matrix.indptr = matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)
    return matrix


FORMS = {
    "fortran": np.asfortranarray,
    "csr": sp.csr_array,
    "csc": sp.csc_array,
    "coo": sp.coo_array,
    "matrix": sp.csc_matrix,
    "int64": csc_with_long_indices,
}


def classes_of(b):
    """Return targets as three classes."""
    xp = namespace(b)
    return xp.astype(b > 0, xp.int64) + xp.astype(b > 4, xp.int64)


SOLVES = {
    "lasso": lambda A, b, tol=1e-12, **options: lasso(A, b, 30.0, tol=tol, **options),
    "elastic_net": lambda A, b, tol=1e-12, **options: elastic_net(A, b, 20.0, 5.0, tol=tol, **options),
    "logistic": lambda A, b, tol=1e-12, **options: logistic(A, b > 2, l1=3.0, tol=tol, **options),
    "l2_logistic": lambda A, b, tol=1e-12, **options: logistic(A, b > 2, l2=1.0, tol=tol, **options),
    "bvls": lambda A, b, tol=1e-12, **options: bvls(A, b, (-0.5, 0.5), tol=tol, **options),
    "multinomial": lambda A, b, tol=1e-12, **options: multinomial(A, classes_of(b), l2=1.0, tol=tol, **options),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("solve", SOLVES)
def test_storage_of_the_matrix_does_not_matter(solve, form):
    A, b = regression_data(13)
    A[np.abs(A) < 0.5] = 0
    np.testing.assert_allclose(SOLVES[solve](FORMS[form](A), b).x, SOLVES[solve](A, b).x, atol=1e-6)


@pytest.mark.parametrize("solve", SOLVES)
def test_order_and_sign_of_columns_do_not_matter(solve):
    A, b = regression_data(14)
    rng = np.random.default_rng(15)
    order, signs = rng.permutation(N_FEATURES), rng.choice([-1.0, 1.0], N_FEATURES)
    plain, changed = SOLVES[solve](A, b).x, SOLVES[solve](A[:, order] * signs, b).x
    expected = (plain.T[..., order] * signs).T
    np.testing.assert_allclose(changed, expected, atol=1e-6)


@pytest.mark.parametrize("solve", SOLVES)
@pytest.mark.parametrize("intercept", [False, True])
def test_weights_are_repeated_rows(solve, intercept):
    if intercept and solve == "bvls":
        pytest.skip("bvls has no intercept")
    A, b = regression_data(16)
    counts = np.random.default_rng(17).integers(0, 3, N_SAMPLES)
    options = {"intercept": True} if intercept else {}
    weighted = SOLVES[solve](A, b, sample_weight=counts, **options)
    repeated = SOLVES[solve](np.repeat(A, counts, axis=0), np.repeat(b, counts), **options)
    assert weighted.fun == pytest.approx(repeated.fun, rel=1e-9)
    np.testing.assert_allclose(weighted.x, repeated.x, atol=1e-5)


def test_scaled_columns_with_scaled_penalties_scale_the_answer():
    A, b = regression_data(18)
    scale = 10 ** np.random.default_rng(19).uniform(-3, 3, N_FEATURES)
    plain = lasso(A, b, 30.0, tol=TIGHT)
    scaled = lasso(A * scale, b, 30.0 * scale, tol=TIGHT)
    assert scaled.fun == pytest.approx(plain.fun, rel=1e-11)
    np.testing.assert_allclose(scaled.x * scale, plain.x, atol=1e-6)


@pytest.mark.parametrize("solve", SOLVES)
def test_single_precision_stays(solve):
    A, b = regression_data(20)
    single, double = SOLVES[solve](A.astype(np.float32), b.astype(np.float32), tol=1e-4), SOLVES[solve](A, b)
    assert single.success
    assert single.x.dtype == np.float32
    assert single.fun == pytest.approx(double.fun, rel=1e-3)


@pytest.mark.parametrize("solve", SOLVES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_answers_stay_in_the_library_of_the_data(xp, solve, dtype):
    A, b = regression_data(41)
    tol = 1e-4 if dtype == "float32" else 1e-10
    on_xp = SOLVES[solve](make(xp, A, dtype), make(xp, b, dtype), tol=tol)
    host = SOLVES[solve](A, b)
    assert on_xp.success
    assert type(on_xp.x) is type(make(xp, b))
    assert on_xp.x.dtype == getattr(xp, dtype)
    assert on_xp.fun == pytest.approx(host.fun, rel=1e-3 if dtype == "float32" else 1e-9)
    np.testing.assert_allclose(to_numpy(on_xp.x), host.x, atol=0.05 if dtype == "float32" else 1e-4)


@pytest.mark.parametrize("form", ["dense", pytest.param("sparse", marks=pytest.mark.gpu)])
def test_label_propagation_stays_in_its_library(xp, form):
    W, labels, known = random_graph()
    expected = label_propagation(W, labels, known, tol=1e-10).x
    if form == "sparse":
        sparse = pytest.importorskip("cupyx.scipy.sparse")
        if not xp.__name__.endswith("cupy"):
            pytest.skip("sparse matrices of CuPy")
        matrix = sparse.csr_matrix(sp.csr_matrix(W))
    else:
        matrix = make(xp, W)
    res = label_propagation(matrix, make(xp, labels), make(xp, known), x0=make(xp, labels), tol=1e-10)
    assert res.success
    assert type(res.x) is type(make(xp, labels))
    np.testing.assert_allclose(to_numpy(res.x), expected, atol=1e-7)


def test_integers_and_lists_become_double_precision():
    res = lasso([[1, 0], [0, 1], [0, 0]], [3, 1, 1], 2)
    assert res.x.dtype == np.float64
    np.testing.assert_allclose(res.x, [1.0, 0.0], atol=1e-12)


# ---- ends of the path, knots and warm starts ----------------------------------------


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_from_the_least_zero_penalty_on_the_answer_is_exactly_zero_in_one_pass(intercept, factor):
    A, b = regression_data(21)
    res = lasso(A, b, factor * zero_penalty(A, b - intercept * np.mean(b)), intercept=intercept)
    assert res.success
    assert not np.any(res.x)
    assert res.n_active == 0
    assert res.npass <= 2  # a pass, and the certificate of the answer


@pytest.mark.parametrize("fraction", [1 - 1e-3, 1 - 1e-6])
def test_just_below_the_least_zero_penalty_one_coordinate_is_active(fraction):
    A, b = regression_data(22)
    res = lasso(A, b, fraction * zero_penalty(A, b), tol=TIGHT)
    assert res.success
    np.testing.assert_array_equal(res.active_set, [np.argmax(np.abs(A.T @ b))])


def test_logistic_at_its_least_zero_penalty_is_zero():
    A, y = classification_data(23)
    assert not np.any(logistic(A, y, l1=float(np.max(np.abs(A.T @ (y - 0.5))))).x)


@pytest.mark.parametrize("knot", [1, 3, 6])
def test_knots_of_the_path_need_no_care(knot):
    A, b = regression_data(24)
    alphas, _, coefs = linear_model.lars_path(A, b, method="lasso")
    # At a knot a coordinate is zero with its slope at the penalty: the solution is degenerate.
    res = lasso(A, b, alphas[knot] * N_SAMPLES, tol=TIGHT)
    assert res.success
    np.testing.assert_allclose(res.x, coefs[:, knot], atol=1e-6)


@pytest.mark.parametrize("solve", SOLVES)
@pytest.mark.parametrize("intercept", [False, True])
def test_a_start_at_the_solution_returns_in_one_pass(solve, intercept):
    if intercept and solve == "bvls":
        pytest.skip("bvls has no intercept")
    A, b = regression_data(25)
    options = {"intercept": True} if intercept else {}
    first = SOLVES[solve](A, b, **options)
    again = SOLVES[solve](A, b, x0=first, **options)
    assert again.success
    assert again.npass <= 2  # a pass, and the certificate of the answer
    np.testing.assert_allclose(again.x, first.x, atol=1e-9)


# ---- ugly data ----------------------------------------


@pytest.mark.parametrize("solve", SOLVES)
def test_repeated_and_empty_columns_are_no_trouble(solve):
    A, b = regression_data(26)
    ugly = np.concatenate([A, A[:, :5], np.zeros((N_SAMPLES, 2))], axis=1)
    res, plain = SOLVES[solve](ugly, b), SOLVES[solve](A, b)
    assert res.success
    assert np.all(np.isfinite(res.x))
    if solve in ("lasso", "logistic"):
        # The l1 norm does not care how equal columns share; a bound or l2 gains from two of them.
        assert res.fun == pytest.approx(plain.fun, rel=1e-9)
    else:
        assert res.fun <= plain.fun * (1 + 1e-9)
    if solve != "bvls":
        assert not np.any(res.x[-2:])


@pytest.mark.parametrize("scale", [1e6, 1e-6])
@pytest.mark.parametrize("solve", ["lasso", "elastic_net", "logistic", "bvls"])
def test_columns_of_very_different_scale(solve, scale):
    A, b = regression_data(27)
    A[:, :7] *= scale
    # Slopes of large columns are known to 1e-16 of their size alone, which limits the gap.
    res = SOLVES[solve](A, b, tol=1e-8)
    assert res.success
    if solve == "lasso":
        peer = linear_model.Lasso(30.0 / N_SAMPLES, fit_intercept=False, tol=1e-10, max_iter=10**6).fit(A, b)
        assert res.fun <= elastic_net_value(A, b, peer.coef_, 0.0, 30.0) * (1 + 1e-8)


def test_separable_classes_without_penalty_have_no_optimum():
    A, _ = classification_data(28, p=3)
    y = np.sign(A[:, 0])
    res = logistic(A, y)
    assert res.status is Status.NOT_ATTAINED
    assert not res.success
    assert np.all(y * (A @ res.x) > 0)


@pytest.mark.parametrize("seed", [37, 88, 133, 205])
def test_bounds_hold_to_the_last_bit(seed):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((20, 50)) * 10 ** rng.uniform(-2, 2, 50)
    b = rng.standard_normal(20)
    lower = rng.standard_normal(50)
    upper = lower + rng.exponential(1, 50)
    res = bvls(A, b, (lower, upper))
    assert res.success
    assert np.all((lower <= res.x) & (res.x <= upper))
    assert np.all(lasso(A, b, 1e-3 * zero_penalty(A, b), nonneg=True).x >= 0)


@pytest.mark.parametrize("seed", range(10))
def test_more_columns_than_rows_of_all_scales(seed):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((20, 50)) * 10 ** rng.uniform(-2, 2, 50)
    b = rng.standard_normal(20)
    assert lasso(A, b, 1e-4 * zero_penalty(A, b), nonneg=seed % 2 == 0, tol=1e-10).success
    assert logistic(A, np.sign(b), l1=1e-3 * zero_penalty(A, np.sign(b)), tol=1e-8).success
    assert bvls(A, b, (np.zeros(50), np.full(50, np.inf))).success


@pytest.mark.parametrize("seed", [21, 33, 59])
def test_dense_data_in_sparse_storage_with_a_bad_condition(seed):
    rng = np.random.default_rng(seed)
    A, y = rng.standard_normal((45, 45)) + 3, np.sign(rng.standard_normal(45))
    l1 = 1.5e-3 * zero_penalty(A, y)
    dense, sparse = (logistic(M, y, l1=l1, tol=1e-9) for M in (A, sp.csc_array(A)))
    assert dense.success
    assert sparse.success
    assert sparse.npass < 500
    assert sparse.fun == pytest.approx(dense.fun, rel=1e-8)


@pytest.mark.parametrize("solve", SOLVES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_tolerance_out_of_reach_ends_quickly(solve, dtype):
    A, b = regression_data(29)
    res = SOLVES[solve](A.astype(dtype), b.astype(dtype), tol=1e-30)
    # A gap that happens to be zero, or a gradient within its rounding, has converged after all.
    assert res.status in (Status.PRECISION, Status.CONVERGED)
    assert res.npass < 200
    assert res.fun == pytest.approx(SOLVES[solve](A, b).fun, rel=1e3 * float(np.finfo(dtype).eps))


def test_objective_zero_is_reached():
    rng = np.random.default_rng(30)
    A = rng.standard_normal((10, 30))
    res = bvls(A, A @ rng.uniform(-0.4, 0.4, 30), (-0.5, 0.5))
    assert res.success
    assert res.fun <= 1e-9 * res.grad.size


def test_a_target_of_zeros_gives_zeros():
    A, _ = regression_data(31)
    res = lasso(A, np.zeros(N_SAMPLES), 1.0)
    assert res.success
    assert not np.any(res.x)
    assert res.fun == 0


# ---- limits and errors ----------------------------------------


def test_options_of_bcd_pass_through():
    A, b = regression_data(32)
    seen = []
    res = lasso(A, b, 10.0, tol=1e-12, callback=lambda xk: seen.append(xk.copy()), history=True)
    assert seen
    assert np.all(np.diff(res.history["fun"]) <= 0)
    limited = lasso(A, b, 10.0, tol=1e-12, selection="cyclic", update="exact", block_size=1, maxiter=3)
    assert limited.status is Status.MAXITER
    assert limited.nit == 3


@pytest.mark.parametrize("solve", SOLVES)
def test_shapes_that_do_not_fit_are_refused(solve):
    A, b = regression_data(33)
    with pytest.raises(ValueError, match=r"`[bBYyA]`"):
        SOLVES[solve](A, b[:-1])
    with pytest.raises(ValueError, match="`x0`"):
        SOLVES[solve](A, b, x0=np.zeros(3))
    with pytest.raises(ValueError, match="`sample_weight`"):
        SOLVES[solve](A, b, sample_weight=np.ones(3))


@pytest.mark.parametrize("solve", SOLVES)
def test_values_that_are_not_finite_are_refused(solve):
    A, b = regression_data(34)
    A[3, 5] = np.nan
    with pytest.raises(ValueError, match=r"`A`.*finite"):
        SOLVES[solve](A, b)
    with pytest.raises(ValueError, match=r"`A`.*finite"):
        SOLVES[solve](sp.csr_array(A), b)
    if solve in ("lasso", "elastic_net", "bvls"):
        b[0] = np.inf
        with pytest.raises(ValueError, match=r"`b`.*finite"):
            SOLVES[solve](np.nan_to_num(A), b)


@pytest.mark.parametrize("solve", SOLVES)
def test_weights_must_not_be_negative(solve):
    A, b = regression_data(35)
    with pytest.raises(ValueError, match="`sample_weight` must be non-negative"):
        SOLVES[solve](A, b, sample_weight=-np.ones(N_SAMPLES))


@pytest.mark.parametrize("solve", SOLVES)
def test_complex_data_are_refused(solve):
    A, b = regression_data(36)
    with pytest.raises(TypeError, match="real"):
        SOLVES[solve](A + 1j, b)


@pytest.mark.parametrize("solve", SOLVES)
def test_unknown_keywords_are_refused(solve):
    A, b = regression_data(37)
    with pytest.raises(TypeError, match="no_such_option"):
        SOLVES[solve](A, b, no_such_option=1)


def test_penalties_must_not_be_negative():
    A, b = regression_data(38)
    with pytest.raises(ValueError, match="`l1` must be"):
        lasso(A, b, -1.0)
    with pytest.raises(ValueError, match="`l2` must be"):
        elastic_net(A, b, 1.0, -1.0)
    with pytest.raises(ValueError, match="`l1` must be"):
        logistic(A, b > 2, l1=np.full(N_FEATURES, -1.0))


def test_bounds_must_be_a_pair_in_order():
    A, b = regression_data(39)
    with pytest.raises(ValueError, match="lower <= upper"):
        bvls(A, b, (1.0, 0.0))
    with pytest.raises(TypeError, match="`bounds`"):
        bvls(A, b, 1.0)


def test_labels_are_checked():
    A, _ = regression_data(40)
    with pytest.raises(ValueError, match="`y` must hold -1 and 1, or 0 and 1"):
        logistic(A, np.arange(N_SAMPLES))
    with pytest.raises(ValueError, match="both classes"):
        logistic(A, np.ones(N_SAMPLES))
    with pytest.raises(ValueError, match="at least two classes"):
        multinomial(A, np.zeros(N_SAMPLES, dtype=int))
    with pytest.raises(ValueError, match="integers 0"):
        multinomial(A, np.arange(N_SAMPLES) % 3 + 1)


def test_graphs_are_checked():
    W, labels, known = random_graph()
    with pytest.raises(ValueError, match="symmetric"):
        label_propagation(np.triu(W), labels, known)
    with pytest.raises(ValueError, match="non-negative"):
        label_propagation(-W, labels, known)
    with pytest.raises(ValueError, match="no label is known"):
        label_propagation(W, np.full(labels.size, np.nan))
    with pytest.raises(ValueError, match="`x0`"):
        label_propagation(W, labels, known, x0=np.zeros(3))
    with pytest.raises(ValueError, match="`mask`"):
        label_propagation(W, labels, known[:3])


def test_a_component_without_label_is_named():
    W = sp.block_diag([np.ones((3, 3)), np.ones((2, 2))], format="csr")
    labels = np.array([1.0, np.nan, np.nan, np.nan, np.nan])
    with pytest.raises(ValueError, match="node 3 has none"):
        label_propagation(W, labels)
    np.testing.assert_allclose(label_propagation(W, labels, l2=1.0).x[3:], 0)
