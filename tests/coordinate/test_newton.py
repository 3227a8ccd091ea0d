"""Linear models without l1 norm: Newton's method against closed forms, SciPy and scikit-learn."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from numopt import Status
from numopt._array import is_numpy, to_host
from numopt.coordinate import LeastSquares, Logistic, Multinomial, bcd
from numopt.coordinate import _newton as newton
from numopt.coordinate._hessians import hessian_of
from numopt.coordinate._preconditioners import Factor
from tests.helpers.xp import make

MODELS = {"least squares": LeastSquares, "logistic": Logistic, "multinomial": Multinomial}


def data(model: str, n: int = 80, p: int = 12, seed: int = 0, classes: int = 3) -> tuple[Any, Any]:
    """Return a matrix with half of its entries zero, and noisy targets of the model."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, p)) * (rng.random((n, p)) < 0.5)
    if model == "multinomial":
        margins = A @ rng.standard_normal((p, classes)) + rng.gumbel(size=(n, classes))
        y = np.argmax(margins, axis=1)
        y[:classes] = np.arange(classes)
        return A, y
    margins = A @ rng.standard_normal(p) + rng.logistic(size=n)
    return A, (margins if model == "least squares" else np.where(margins > 0, 1.0, -1.0))


def loss(model: str, A: Any, y: Any, x: Any, constant: Any, weights: Any) -> float:
    """Return the loss by the textbook formula."""
    M = A @ x + constant
    if model == "least squares":
        values = 0.5 * (M - y) ** 2
    elif model == "logistic":
        values = np.logaddexp(0, -y * M)
    else:
        values = np.logaddexp.reduce(M, axis=1) - M[np.arange(len(y)), y]
    return float(np.sum(values * weights))


def best(model: str, A: Any, y: Any, l2: float, weights: Any, intercept: bool) -> tuple[Any, float]:
    """Return the solution found by scikit-learn, and its objective by the textbook formula."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    if model == "least squares":
        fit = linear_model.Ridge(alpha=l2, fit_intercept=intercept, solver="cholesky")
    else:
        fit = linear_model.LogisticRegression(
            C=1 / l2, fit_intercept=intercept, solver="newton-cg", tol=1e-12, max_iter=1000
        )
    fit.fit(A, y, sample_weight=weights)
    x = fit.coef_.T if model == "multinomial" else fit.coef_.ravel()
    constant = np.asarray(fit.intercept_) if intercept else 0.0
    return x, loss(model, A, y, x, constant, weights) + l2 / 2 * float(np.sum(x * x))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::scipy.optimize.OptimizeWarning")
@pytest.mark.filterwarnings("ignore:(?i).*line search.*:UserWarning")
def test_solution_is_that_of_scikit_learn(model: str, intercept: bool, weighted: bool) -> None:
    A, y = data(model)
    weights = np.random.default_rng(1).random(len(y)) + 0.5 if weighted else np.ones(len(y))
    expected, fun = best(model, A, y, 0.7, weights, intercept)
    problem = MODELS[model](A, y, weights if weighted else None, l2=0.7, intercept=intercept)
    res = bcd(problem, tol=1e-12)
    assert res.success, res.message
    assert res.fun <= fun * (1 + 1e-12)
    np.testing.assert_allclose(res.x, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_every_storage_gives_the_same_solution(model: str, intercept: bool) -> None:
    A, y = data(model)
    expected = bcd(MODELS[model](A, y, l2=0.3, intercept=intercept), tol=1e-12)
    csr = sp.csr_array(A)
    wide = sp.csr_array(A)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    unsorted = sp.csr_array((csr.data[::-1].copy(), csr.indices[::-1].copy(), csr.indptr[-1] - csr.indptr[::-1]))
    unsorted = sp.csr_array((unsorted.data, unsorted.indices, unsorted.indptr.astype(np.int32)), shape=A.shape)
    for B in (np.asfortranarray(A), csr, wide, csr.tocsc(), sp.csc_matrix(wide), sp.coo_array(A), aslinearoperator(A)):
        res = bcd(MODELS[model](B, y, l2=0.3, intercept=intercept), tol=1e-12)
        assert res.success, res.message
        np.testing.assert_allclose(res.x, expected.x, rtol=1e-5, atol=1e-6)
    backward = bcd(MODELS[model](unsorted, y[::-1].copy(), l2=0.3, intercept=intercept), tol=1e-12)
    np.testing.assert_allclose(backward.x, expected.x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["none", "whole", "diagonal", "blocks", "late"])
@pytest.mark.parametrize("storage", ["dense", "csr", "csc"])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_every_preconditioner_leads_to_the_solution(
    model: str, intercept: bool, storage: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    A, y = data(model)
    expected = bcd(MODELS[model](A, y, l2=0.3, intercept=intercept), tol=1e-12)
    settings = {
        "none": {"_LARGEST_WHOLE": 0, "_LARGEST_BLOCK": 0},
        "diagonal": {"_LARGEST_WHOLE": 0, "_LARGEST_BLOCK": 0},
        "whole": {"_ALWAYS": math.inf, "_WHOLE_BEFORE_BLOCKS": math.inf},
        "blocks": {"_LARGEST_WHOLE": 0},
        "late": {"_AT_ONCE": 0.0, "_ALWAYS": 0.0},
    }[kind]
    for name, value in settings.items():
        monkeypatch.setattr(newton, name, value)
    B = {"dense": A, "csr": sp.csr_array(A), "csc": sp.csc_array(A)}[storage]
    if kind == "none":
        B = aslinearoperator(B)
    res = bcd(MODELS[model](B, y, l2=0.3, intercept=intercept), tol=1e-12)
    assert res.success, res.message
    np.testing.assert_allclose(res.x, expected.x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array, sp.csc_array])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_hessian_is_the_difference_quotient_of_the_gradient(
    model: str, intercept: bool, weighted: bool, storage: Any
) -> None:
    A, y = data(model, n=25, p=4)
    rng = np.random.default_rng(3)
    weights = rng.random(25) + 0.5 if weighted else None
    problem = MODELS[model](storage(A), y, weights, l2=0.4, intercept=intercept)
    hessian = hessian_of(problem)
    x = 0.3 * rng.standard_normal(problem.n_variables)

    def gradient(x: Any) -> Any:
        # With an intercept the gradient is that of the objective minimised over it.
        point = problem.point(x)
        point.update_intercept()
        return point.gradient, point.margins

    _, margins = gradient(x)
    hessian.set_point(problem.loss_terms(margins)[2])
    # The constants are found to half of the digits when their objective stops falling.
    h = 1e-3 if intercept else 1e-5
    columns = [(gradient(x + h * e)[0] - gradient(x - h * e)[0]) / (2 * h) for e in np.eye(problem.n_variables)]
    H = np.stack(columns, axis=1)
    np.testing.assert_allclose(hessian.full(), H, atol=1e-4 if intercept else 1e-6)
    v = rng.standard_normal(problem.n_variables)
    np.testing.assert_allclose(hessian.product(v)[0], H @ v, atol=1e-3 if intercept else 1e-5)
    if not intercept:
        np.testing.assert_allclose(hessian.diagonal(), np.diag(H), atol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_library_of_the_data_is_that_of_the_solution(model: str, xp: Any) -> None:
    A, y = data(model, n=40, p=5)
    expected = bcd(MODELS[model](A, y, l2=0.5, intercept=True), tol=1e-10)
    labels = y if model == "multinomial" else make(xp, y)
    B = make(xp, A)
    res = bcd(
        MODELS[model](B, labels if is_numpy(xp) or model != "multinomial" else make(xp, y), l2=0.5, intercept=True),
        tol=1e-10,
    )
    assert res.success, res.message
    assert type(res.x) is type(B)
    assert res.x.dtype == B.dtype
    np.testing.assert_allclose(to_host(res.x), expected.x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_weights_count_like_repeated_rows(model: str) -> None:
    A, y = data(model)
    counts = np.random.default_rng(2).integers(0, 3, size=len(y))
    counts[:3] = 1
    weighted = bcd(MODELS[model](A, y, counts.astype(float), l2=0.4, intercept=True), tol=1e-12)
    repeated = bcd(MODELS[model](np.repeat(A, counts, axis=0), np.repeat(y, counts), l2=0.4, intercept=True), tol=1e-12)
    assert weighted.fun == pytest.approx(repeated.fun, rel=1e-11)
    np.testing.assert_allclose(weighted.x, repeated.x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("n", "p"), [(6, 40), (40, 6), (1, 3), (30, 1)])
def test_any_shape_is_solved(model: str, n: int, p: int) -> None:
    if n == 1 and model != "least squares":
        n = 3
    A, y = data(model, n=n, p=p)
    if model == "logistic":
        y[:2] = -1.0, 1.0
    for B in (A, sp.csr_array(A)):
        res = bcd(MODELS[model](B, y, l2=0.1), tol=1e-10)
        assert res.success, res.message
        assert res.gap <= 1e-10 * bcd(MODELS[model](B, y, l2=1e30)).fun


@pytest.mark.parametrize("model", MODELS)
def test_one_weight_for_each_unknown(model: str) -> None:
    A, y = data(model)
    shape = (12, 3) if model == "multinomial" else (12,)
    l2 = np.random.default_rng(5).random(shape) + 0.1
    res = bcd(MODELS[model](A, y, l2=l2), tol=1e-12)
    assert res.success, res.message
    scaled = MODELS[model](A, y, l2=l2)
    np.testing.assert_allclose(scaled.evaluate(np.ravel(res.x)).grad, 0, atol=1e-4)
    csr = bcd(MODELS[model](sp.csr_array(A), y, l2=l2), tol=1e-12)
    np.testing.assert_allclose(csr.x, res.x, rtol=1e-5, atol=1e-6)


def test_least_squares_takes_one_step_and_solves_the_normal_equations() -> None:
    A, b = data("least squares", n=200, p=30)
    res = bcd(LeastSquares(A, b), tol=1e-10)
    assert res.success
    assert res.nit <= 2
    np.testing.assert_allclose(res.x, np.linalg.lstsq(A, b)[0], rtol=1e-8, atol=1e-10)
    assert math.isnan(res.gap)


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
def test_rank_deficient_least_squares_reach_the_least_residual(storage: Any) -> None:
    A, b = data("least squares", n=50, p=10)
    A = np.hstack([A, A[:, :3], np.zeros((50, 2))])
    res = bcd(LeastSquares(storage(A), b), tol=1e-10)
    assert res.success, res.message
    x = np.linalg.lstsq(A, b)[0]
    assert res.fun == pytest.approx(0.5 * np.sum((A @ x - b) ** 2), rel=1e-12)


def test_underdetermined_least_squares_interpolate() -> None:
    A, b = data("least squares", n=20, p=100)
    res = bcd(LeastSquares(A, b), tol=1e-10)
    assert res.success, res.message
    assert res.fun <= 1e-15 * 0.5 * np.sum(b * b)


@pytest.mark.parametrize("model", ["logistic", "multinomial"])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize(("n", "p"), [(40, 60), (60, 3)])
def test_separable_data_without_penalty_are_reported(model: str, intercept: bool, n: int, p: int) -> None:
    rng = np.random.default_rng(0)
    A = rng.standard_normal((n, p))
    w = rng.standard_normal((p, 3))
    y = np.argmax(A @ w, axis=1) if model == "multinomial" else np.sign(A @ w[:, 0])
    res = bcd(MODELS[model](A, y, intercept=intercept), tol=1e-6)
    assert res.status == Status.NOT_ATTAINED
    assert not res.success
    assert "separable" in res.message
    assert res.fun <= 1e-6 * n * math.log(3)


def test_inseparable_data_without_penalty_are_solved() -> None:
    A, y = data("logistic", n=300, p=5)
    res = bcd(Logistic(A, y), tol=1e-9)
    assert res.success, res.message
    assert res.kkt <= 1e-9 * np.max(np.abs(A.T @ y)) / 2


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("tol", [1e-12, 0.0])
def test_single_precision_ends_at_its_floor(model: str, tol: float) -> None:
    A, y = data(model, n=300, p=20)
    labels = y if model == "multinomial" else y.astype(np.float32)
    res = bcd(MODELS[model](A.astype(np.float32), labels, l2=1.0), tol=tol)
    assert res.status in (Status.PRECISION, Status.CONVERGED)
    assert res.status == Status.PRECISION or tol > 0
    assert res.x.dtype == np.float32
    assert res.nit < 40
    exact = bcd(MODELS[model](A, y, l2=1.0), tol=1e-12)
    assert res.fun == pytest.approx(exact.fun, rel=1e-5)
    np.testing.assert_allclose(res.x, exact.x, atol=1e-3)


@pytest.mark.parametrize("model", MODELS)
def test_tolerance_zero_ends_quickly(model: str) -> None:
    A, y = data(model)
    res = bcd(MODELS[model](A, y, l2=1.0), tol=0.0)
    assert res.status in (Status.PRECISION, Status.CONVERGED)
    assert res.nit < 40
    assert res.gap <= 1e-12


@pytest.mark.parametrize("model", MODELS)
def test_warm_start_at_the_solution_takes_no_step(model: str) -> None:
    A, y = data(model)
    problem = MODELS[model](A, y, l2=0.5, intercept=True)
    first = bcd(problem, tol=1e-9)
    again = bcd(problem, first, tol=1e-8)
    assert again.success
    assert again.nit == 0


def test_start_with_a_part_common_to_all_classes_is_no_hindrance() -> None:
    A, y = data("multinomial")
    problem = Multinomial(A, y, l2=0.5)
    far = bcd(problem, np.full((12, 3), 7.0), tol=1e-11)
    assert far.success, far.message
    np.testing.assert_allclose(far.x, bcd(problem, tol=1e-11).x, atol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_badly_scaled_columns_are_solved(model: str) -> None:
    A, y = data(model, n=200)
    scale = 10.0 ** np.linspace(-4, 4, 12)
    l2 = 1e-3
    for storage in (np.asarray, sp.csr_array):
        res = bcd(MODELS[model](storage(A * scale), y, l2=l2), tol=1e-8)
        assert res.success, res.message


def test_limits_and_callbacks_stop() -> None:
    A, y = data("logistic")
    problem = Logistic(A, y, l2=1e-3)
    assert bcd(problem, tol=1e-12, maxiter=1).status == Status.MAXITER
    assert bcd(problem, tol=1e-12, time_limit=0.0).status == Status.TIME_LIMIT
    seen = []

    def callback(intermediate_result: Any) -> None:
        seen.append(intermediate_result.fun)
        if len(seen) == 3:
            raise StopIteration

    res = bcd(problem, tol=1e-14, callback=callback, history=True)
    assert res.status == Status.CALLBACK
    assert len(seen) == 3
    assert np.all(np.diff(res.history["fun"]) < 0)


def test_factor_of_a_singular_matrix_is_shifted() -> None:
    H = np.outer([1.0, 2.0, 0.0], [1.0, 2.0, 0.0])
    import array_api_compat.numpy as xp

    factor = Factor(H, xp)
    assert factor.shift > 0
    np.testing.assert_allclose(H @ factor.solve(np.array([1.0, 2.0, 0.0])), [1.0, 2.0, 0.0], rtol=1e-10)
    with pytest.raises(np.linalg.LinAlgError):
        Factor(np.full((2, 2), np.nan), xp)


@pytest.mark.parametrize("model", MODELS)
def test_dense_matrix_of_few_nonzeros_is_solved_by_them(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    A, y = data(model)
    A = np.hstack([A, np.zeros((len(A), 100))])
    expected = bcd(MODELS[model](A, y, l2=0.3), tol=1e-12)
    monkeypatch.setattr(newton, "_LARGE", 0)
    res = bcd(MODELS[model](A, y, l2=0.3), tol=1e-12)
    assert res.success, res.message
    np.testing.assert_allclose(res.x, expected.x, rtol=1e-5, atol=1e-6)
