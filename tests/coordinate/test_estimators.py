"""The estimators: scikit-learn's own checks, agreement with its models, and arrays of other libraries."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.exceptions
from sklearn import datasets, linear_model, semi_supervised
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from numopt._core.warnings import ConvergenceWarning
from numopt.coordinate import (
    BCDNNLS,
    BCDElasticNet,
    BCDLabelPropagation,
    BCDLasso,
    BCDLogisticRegression,
    label_propagation,
)
from tests.helpers.xp import load, make, to_numpy

UNKNOWN_IS_MINUS_ONE = {"check_classifiers_classes": "-1 marks samples whose class is not known"}


class LabelPropagation(BCDLabelPropagation):
    """Under this name scikit-learn's checks know that -1 is no class."""


def regression_data(seed=0, n=60, p=12):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) + 0.3
    return X, X[:, :3] @ np.array([2.0, -1.0, 0.5]) + 1 + 0.3 * rng.standard_normal(n), rng.uniform(0.5, 2, n)


def classification_data(k, seed=1, n=80, p=6):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    y = np.argmax(X[:, :k] + 1.5 * rng.standard_normal((n, k)), axis=1)
    return X, y, rng.uniform(0.5, 2, n)


# ---- scikit-learn's checks ----------------------------------------


@parametrize_with_checks([
    BCDLasso(),
    BCDElasticNet(),
    BCDNNLS(),
    BCDLogisticRegression(),
    LabelPropagation(),
])  # fmt: skip
def test_checks_of_scikit_learn(estimator, check):
    with warnings.catch_warnings():
        # scikit-learn's checks raise warnings of their own; those of NumPy and ours remain errors.
        warnings.simplefilter("ignore", (FutureWarning, sklearn.exceptions.SkipTestWarning))
        check(estimator)


def test_label_propagation_fails_no_check_but_the_one_that_takes_minus_one_for_a_class():
    results = check_estimator(BCDLabelPropagation(), expected_failed_checks=UNKNOWN_IS_MINUS_ONE, on_skip=None)
    assert [r["check_name"] for r in results if r["status"] == "xfail"] == list(UNKNOWN_IS_MINUS_ONE)
    assert all(r["status"] in ("passed", "skipped", "xfail") for r in results)


# ---- regression ----------------------------------------


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_alpha_means_what_it_means_in_scikit_learn(fit_intercept, positive, weighted, sparse):
    X, y, w = regression_data()
    data = sp.csc_array(X) if sparse else X
    weights = w if weighted else None
    options = {"fit_intercept": fit_intercept, "positive": positive}
    for ours, theirs in (
        (BCDLasso(0.1, tol=1e-13, **options), linear_model.Lasso(0.1, tol=1e-14, max_iter=10**5, **options)),
        (
            BCDElasticNet(0.2, l1_ratio=0.3, tol=1e-13, **options),
            linear_model.ElasticNet(0.2, l1_ratio=0.3, tol=1e-14, max_iter=10**5, **options),
        ),
    ):
        ours.fit(data, y, sample_weight=weights)
        theirs.fit(X, y, sample_weight=weights)
        np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
        assert ours.intercept_ == pytest.approx(theirs.intercept_, abs=1e-6)
        np.testing.assert_allclose(ours.predict(data), theirs.predict(X), atol=1e-5)
        assert 0 <= ours.dual_gap_ <= 1e-12 * np.mean(y**2)


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_nnls_agrees_with_positive_linear_regression(fit_intercept):
    X, y, _ = regression_data(2)
    ours = BCDNNLS(fit_intercept=fit_intercept).fit(X, y)
    theirs = linear_model.LinearRegression(positive=True, fit_intercept=fit_intercept).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-7)
    assert ours.intercept_ == pytest.approx(theirs.intercept_, abs=1e-7)


def test_warm_start_takes_the_coefficients_and_the_intercept():
    X, y, _ = regression_data(3)
    model = BCDLasso(0.05, warm_start=True, tol=1e-10).fit(X, y)
    first, passes = model.coef_, model.n_iter_
    model.fit(X, y)
    assert model.n_iter_ < passes
    np.testing.assert_allclose(model.coef_, first, atol=1e-7)
    model.fit(X[:, :5], y)  # other unknowns: the start is dropped
    assert model.coef_.shape == (5,)


def test_works_in_pipelines_and_searches():
    X, y, _ = regression_data(4)
    search = GridSearchCV(make_pipeline(StandardScaler(), BCDLasso()), {"bcdlasso__alpha": [0.01, 0.1, 5.0]}, cv=3)
    assert search.fit(X, y).best_score_ > 0.8
    assert search.best_params_["bcdlasso__alpha"] < 5


# ---- classification ----------------------------------------


def peer(C, l1_ratio, k, **options):
    solver = "saga" if l1_ratio else "newton-cg"
    return linear_model.LogisticRegression(
        C=C, l1_ratio=l1_ratio, solver=solver, tol=1e-11, max_iter=10**5, random_state=0, **options
    )


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_C_means_what_it_means_in_scikit_learn(l1_ratio, k, fit_intercept):
    X, y, w = classification_data(k)
    options = {"fit_intercept": fit_intercept, "class_weight": {1: 2.0}}
    ours = BCDLogisticRegression(0.5, l1_ratio=l1_ratio, **options).fit(X, y, sample_weight=w)
    theirs = peer(0.5, l1_ratio, k, **options).fit(X, y, sample_weight=w)
    assert ours.coef_.shape == theirs.coef_.shape
    assert ours.intercept_.shape == theirs.intercept_.shape
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-5)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-4)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


def test_the_intercept_of_liblinear_apart_l1_agrees_with_it():
    X, y, _ = classification_data(2, seed=5)
    theirs = linear_model.LogisticRegression(
        C=0.2, l1_ratio=1.0, solver="liblinear", fit_intercept=False, tol=1e-12, max_iter=10**5
    ).fit(X, y)
    ours = BCDLogisticRegression(0.2, l1_ratio=1.0, fit_intercept=False).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)


@pytest.mark.parametrize("k", [2, 3])
def test_balanced_classes(k):
    X, y, _ = classification_data(k, seed=6)
    keep = (y != 0) | (np.arange(y.size) % 3 == 0)
    X, y = X[keep], y[keep]
    ours = BCDLogisticRegression(class_weight="balanced").fit(X, y)
    theirs = peer(1.0, 0.0, k, class_weight="balanced").fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_ - (k > 2) * np.mean(theirs.intercept_), atol=1e-6)


def test_probabilities_are_stable_and_consistent():
    X, y, _ = classification_data(2, seed=7)
    model = BCDLogisticRegression().fit(X, y)
    far = 1e4 * X
    logarithms = model.predict_log_proba(far)
    assert np.all(np.isfinite(logarithms))
    np.testing.assert_allclose(np.sum(model.predict_proba(far), axis=1), 1)
    np.testing.assert_array_equal(model.predict(X), model.classes_[(model.decision_function(X) > 0).astype(int)])


def test_classes_may_be_strings():
    X, y, _ = classification_data(3, seed=8)
    names = np.asarray(["one", "three", "two"])[y]
    model = BCDLogisticRegression().fit(X, names)
    assert model.classes_.tolist() == ["one", "three", "two"]
    assert set(model.predict(X)) <= set(names)
    weighted = BCDLogisticRegression(class_weight={"one": 50.0}).fit(X, names)
    assert np.mean(weighted.predict(X) == "one") > np.mean(model.predict(X) == "one")


@pytest.mark.parametrize("k", [2, 3])
def test_warm_start_of_classifiers(k):
    X, y, _ = classification_data(k, seed=9)
    model = BCDLogisticRegression(warm_start=True).fit(X, y)
    first, passes = model.coef_, model.n_iter_[0]
    model.fit(X, y)
    assert model.n_iter_[0] < passes
    np.testing.assert_allclose(model.coef_, first, atol=1e-7)
    model.fit(X[:, :4], y)
    assert model.coef_.shape[1] == 4


def test_separable_classes_without_penalty_warn():
    X, _, _ = classification_data(2, seed=10)
    y = (X[:, 0] > 0).astype(int)
    with pytest.warns(sklearn.exceptions.ConvergenceWarning, match="not attained"):
        model = BCDLogisticRegression(C=np.inf).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), y)


# ---- label propagation ----------------------------------------


def moons(n=200, labelled=10):
    X, truth = datasets.make_moons(n, noise=0.05, random_state=0)
    y = np.full(n, -1)
    chosen = np.random.default_rng(11).permutation(n)[:labelled]
    y[chosen] = truth[chosen]
    return X, y, truth


def test_moons_are_told_apart():
    X, y, truth = moons()
    model = BCDLabelPropagation().fit(X, y)
    assert np.mean(model.transduction_ == truth) > 0.95
    assert model.score(X, truth) > 0.95
    np.testing.assert_array_equal(model.transduction_[y >= 0], y[y >= 0])
    np.testing.assert_allclose(np.sum(model.label_distributions_, axis=1), 1)
    theirs = semi_supervised.LabelPropagation(kernel="knn", n_neighbors=6, max_iter=10**4).fit(X, y)
    assert np.mean(model.transduction_ == theirs.transduction_) > 0.9


def test_precomputed_weights_give_the_harmonic_function():
    X, y, _ = moons(60)
    W = np.exp(-10 * np.sum((X[:, None] - X[None]) ** 2, axis=2))
    np.fill_diagonal(W, 0)
    for matrix in (W, sp.csr_array(W)):
        model = BCDLabelPropagation(affinity="precomputed", tol=1e-11).fit(matrix, y)
        expected = label_propagation(matrix, np.where(y >= 0, y, np.nan), tol=1e-11).x
        np.testing.assert_allclose(model.label_distributions_[:, 1], expected, atol=1e-9)
        new = matrix[:5]
        np.testing.assert_allclose(model.predict_proba(new)[:, 1], W[:5] @ expected / np.sum(W[:5], axis=1), atol=1e-9)
        assert model.predict(new).shape == (5,)


def test_labels_may_be_strings_in_an_object_array():
    X, y, truth = moons()
    names = np.full(y.size, -1, dtype=object)
    names[y >= 0] = np.asarray(["lower", "upper"])[y[y >= 0]]
    model = BCDLabelPropagation().fit(X, names)
    assert model.classes_.tolist() == ["lower", "upper"]
    assert np.mean((model.transduction_ == "upper") == truth) > 0.95


def test_a_part_without_label_needs_l2():
    X = np.concatenate([np.arange(6.0), 100 + np.arange(6.0)])[:, None]
    y = np.full(12, -1)
    y[0], y[5] = 0, 1
    with pytest.raises(ValueError, match="has none"):
        BCDLabelPropagation(n_neighbors=2).fit(X, y)
    model = BCDLabelPropagation(n_neighbors=2, l2=1e-3).fit(X, y)
    np.testing.assert_allclose(model.label_distributions_[6:], 0.5)


def test_more_neighbours_than_samples_are_all_of_them():
    X, y, _ = moons(6, 4)
    assert BCDLabelPropagation(n_neighbors=50).fit(X, y).predict(X).shape == (6,)


# ---- warnings and errors ----------------------------------------


@pytest.mark.parametrize("category", [ConvergenceWarning, sklearn.exceptions.ConvergenceWarning])
def test_limits_warn(category):
    X, y, _ = regression_data(12, p=60)
    with pytest.warns(category, match="Stopped after"):
        BCDLasso(1e-4, max_iter=1, tol=1e-12).fit(X, y)


def test_rounding_does_not_warn():
    X, y, _ = regression_data(13)
    model = BCDLasso(0.1).fit(X.astype(np.float32), y.astype(np.float32))
    assert model.coef_.dtype == np.float32
    assert model.predict(X.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (BCDLasso(alpha=-1.0), "alpha"),
        (BCDElasticNet(l1_ratio=1.5), "l1_ratio"),
        (BCDElasticNet(tol=-1.0), "tol"),
        (BCDNNLS(max_iter=0), "max_iter"),
        (BCDLogisticRegression(C=0.0), "C"),
        (BCDLogisticRegression(l1_ratio=-0.1), "l1_ratio"),
        (BCDLogisticRegression(class_weight="even"), "class_weight"),
        (BCDLogisticRegression(class_weight={7: 1.0}), "class_weight"),
        (BCDLogisticRegression(class_weight={0: -1.0}), "class_weight"),
        (BCDLabelPropagation(affinity="rbf"), "affinity"),
        (BCDLabelPropagation(n_neighbors=0), "n_neighbors"),
        (BCDLabelPropagation(l2=-1.0), "l2"),
    ],
)
def test_parameters_are_checked_in_fit(model, name):
    X, y, _ = classification_data(2)
    with pytest.raises(ValueError, match=f"`{name}`"):
        model.fit(X, y)


def test_data_are_checked():
    X, y, w = classification_data(2)
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        BCDLasso().fit(X, y, sample_weight=-w)
    with pytest.raises(ValueError, match="2 classes"):
        BCDLogisticRegression().fit(X, y, sample_weight=(y == 0).astype(float))
    with pytest.raises(ValueError, match="at least one label"):
        BCDLabelPropagation().fit(X, np.full(y.size, -1))
    with pytest.raises(ValueError, match="square"):
        BCDLabelPropagation(affinity="precomputed").fit(np.abs(X), y)
    with pytest.raises(ValueError, match="Negative values"):
        BCDLabelPropagation(affinity="precomputed").fit(X @ X.T, y)


def test_fitted_models_survive_pickle_and_clone():
    X, y, _ = moons()
    model = BCDLabelPropagation().fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    assert clone(model).get_params() == model.get_params()


# ---- other array libraries ----------------------------------------


@pytest.fixture(params=["array_api_strict", pytest.param("cupy", marks=pytest.mark.gpu)])
def other(request):
    """Give a library that scikit-learn's validation does not take."""
    return load(request.param)


def test_regression_stays_in_its_library(other):
    X, y, w = regression_data(14)
    host = BCDLasso(0.1).fit(X, y, sample_weight=w)
    model = BCDLasso(0.1, warm_start=True).fit(make(other, X), make(other, y), sample_weight=make(other, w))
    np.testing.assert_allclose(to_numpy(model.coef_), host.coef_, atol=1e-6)
    predictions = model.predict(make(other, X))
    assert type(predictions) is type(make(other, X))
    np.testing.assert_allclose(to_numpy(predictions), host.predict(X), atol=1e-6)
    assert model.n_features_in_ == X.shape[1]
    model.fit(make(other, X), make(other, y))
    with pytest.raises(ValueError, match="features"):
        model.predict(make(other, X[:, :3]))
    with pytest.raises(TypeError, match="one library"):
        model.predict(X)
    with pytest.raises(TypeError, match="one library"):
        model.fit(make(other, X), y)


@pytest.mark.parametrize("k", [2, 3])
def test_classification_stays_in_its_library(other, k):
    X, y, w = classification_data(k, seed=15)
    options = {"class_weight": "balanced", "C": 0.5}
    host = BCDLogisticRegression(**options).fit(X, y, sample_weight=w)
    model = BCDLogisticRegression(**options).fit(make(other, X), make(other, y), sample_weight=make(other, w))
    np.testing.assert_allclose(to_numpy(model.coef_), host.coef_, atol=1e-6)
    np.testing.assert_allclose(to_numpy(model.predict_proba(make(other, X))), host.predict_proba(X), atol=1e-6)
    np.testing.assert_array_equal(to_numpy(model.predict(make(other, X))), host.predict(X))
    with pytest.raises(ValueError, match="`y` must be an array"):
        model.fit(make(other, X), y.tolist())


def test_label_propagation_stays_in_its_library(other):
    X, y, _ = moons(60)
    W = np.exp(-10 * np.sum((X[:, None] - X[None]) ** 2, axis=2))
    host = BCDLabelPropagation(affinity="precomputed").fit(W, y)
    model = BCDLabelPropagation(affinity="precomputed").fit(make(other, W), make(other, y))
    np.testing.assert_allclose(to_numpy(model.label_distributions_), host.label_distributions_, atol=1e-6)
    np.testing.assert_array_equal(to_numpy(model.predict(make(other, W))), host.predict(W))
    with pytest.raises(TypeError, match="host data"):
        BCDLabelPropagation().fit(make(other, X), make(other, y))


@pytest.mark.gpu
def test_sparse_matrices_stay_on_the_gpu():
    cupy = load("cupy")
    from cupyx.scipy import sparse

    X, y, _ = regression_data(16)
    X[np.abs(X) < 0.5] = 0
    host = BCDLasso(0.1).fit(X, y)
    matrix = sparse.csr_matrix(sp.csr_matrix(X))
    model = BCDLasso(0.1).fit(matrix, cupy.asarray(y))
    np.testing.assert_allclose(model.coef_.get(), host.coef_, atol=1e-6)
    np.testing.assert_allclose(model.predict(matrix).get(), host.predict(X), atol=1e-6)
