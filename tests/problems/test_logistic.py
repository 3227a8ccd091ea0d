import gzip

import numpy as np
import pytest
import scipy.sparse as sp

from numopt._array import to_host
from numopt.problems import ConstrainedLogisticRegression, libsvm
from numopt.problems import _logistic as module


@pytest.fixture(autouse=True)
def _no_other_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMOPT_CACHE", str(tmp_path / "cache"))


def make_data(n_samples=50, n=14, density=0.4, labels=(-1.0, 1.0), seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, n)) * (rng.random((n_samples, n)) < density)
    return X, rng.choice(labels, n_samples), rng.standard_normal((10, n)), rng.standard_normal(10) / 10.0


def make_problem(form=np.asarray, **options):
    X, y, A, b = make_data(**options)
    return ConstrainedLogisticRegression(form(X), y, A, b)


def csr(X):
    """A matrix so thin that the sparse kernel is chosen for its Hessian."""
    return sp.csr_array(X)


THIN = {"n_samples": 300, "n": 40, "density": 0.05}


@pytest.mark.parametrize("options", [{}, {"labels": (0.0, 1.0)}, {"labels": (1.0, 2.0)}, THIN])
@pytest.mark.parametrize("form", [np.asarray, csr])
def test_derivatives_agree_with_differences(form, options):
    problem = make_problem(form, **options)
    for x in (problem.x0, np.random.default_rng(1).standard_normal(problem.n)):
        assert problem.check_derivatives(x).max() < 1e-9


def test_values_follow_the_formula():
    X, y, A, b = make_data(labels=(-1.0, 1.0, 2.0))
    problem = ConstrainedLogisticRegression(X, y, A, b)
    x = np.random.default_rng(2).standard_normal(problem.n)
    assert problem.fun(x) == pytest.approx(np.mean(np.log1p(np.exp(-y * (X @ x)))), rel=1e-14)
    np.testing.assert_allclose(problem.cons(x), [*(A @ x - b), x @ x - 1.0], rtol=1e-13)
    np.testing.assert_allclose(problem.jac(x), np.vstack([A, 2.0 * x]), rtol=1e-15)
    np.testing.assert_array_equal(problem.is_linear, [True] * 10 + [False])
    np.testing.assert_array_equal(problem.x0, np.ones(14))
    np.testing.assert_array_equal(problem.y0, np.ones(11))
    assert (problem.n, problem.m, problem.m_eq) == (14, 11, 11)
    assert problem.equality_view() is problem


def test_last_multiplier_adds_twice_the_identity():
    problem = make_problem()
    lam = np.arange(11.0)
    H = problem.lag_hess(problem.x0, lam)
    np.testing.assert_allclose(H - problem.hess(problem.x0), 20.0 * np.eye(14), atol=1e-14)
    np.testing.assert_array_equal(problem.lag_hess(problem.x0, lam, 0.0), 20.0 * np.eye(14))
    np.testing.assert_allclose(
        problem.lag_hess(problem.x0, lam, 3.0), 3.0 * problem.hess(problem.x0) + 20.0 * np.eye(14)
    )
    np.testing.assert_array_equal(H, H.T)


@pytest.mark.parametrize("options", [{}, THIN])
def test_dense_and_sparse_data_give_the_same(options):
    dense, sparse = make_problem(np.asarray, **options), make_problem(csr, **options)
    rng = np.random.default_rng(3)
    x, v, lam = rng.standard_normal(dense.n), rng.standard_normal(dense.n), rng.standard_normal(11)
    assert sparse.fun(x) == pytest.approx(dense.fun(x), rel=1e-14)
    np.testing.assert_allclose(sparse.grad(x), dense.grad(x), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(sparse.lag_hess(x, lam), dense.lag_hess(x, lam), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(sparse.lag_hessp(x, lam, v), dense.lag_hess(x, lam) @ v, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("container", [sp.csr_array, sp.csr_matrix, sp.csc_array, sp.coo_array])
def test_every_sparse_form_is_taken(container, index):
    X, y, A, b = make_data(**THIN)
    given = container(X)
    for name in ("indices", "indptr"):
        if hasattr(given, name):
            setattr(given, name, getattr(given, name).astype(index))
    problem = ConstrainedLogisticRegression(given, y, A, b)
    expected = ConstrainedLogisticRegression(X, y, A, b)
    np.testing.assert_allclose(problem.hess(problem.x0), expected.hess(problem.x0), rtol=1e-12, atol=1e-15)


def test_repeated_entries_are_added_without_touching_the_data():
    X, y, A, b = make_data(**THIN)
    once = sp.csr_array(X)
    halves = sp.csr_array((np.repeat(once.data / 2, 2), np.repeat(once.indices, 2), 2 * once.indptr), shape=once.shape)
    before = halves.data.copy()
    problem = ConstrainedLogisticRegression(halves, y, A, b)
    expected = ConstrainedLogisticRegression(once, y, A, b)
    np.testing.assert_allclose(problem.hess(problem.x0), expected.hess(problem.x0), rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(halves.data, before)


def test_integers_and_float32_become_float64():
    X, y, A, b = make_data()
    problem = ConstrainedLogisticRegression(
        np.rint(X).astype(np.int64), y.astype(np.int8), A.astype(np.float32), b.tolist()
    )
    assert problem.grad(problem.x0).dtype == problem.hess(problem.x0).dtype == np.float64


def test_strided_data_give_the_same():
    X, y, A, b = make_data()
    problem = ConstrainedLogisticRegression(
        np.asfortranarray(X), np.repeat(y, 2)[::2], A[::-1][::-1], np.tile(b, 2)[:10]
    )
    expected = ConstrainedLogisticRegression(X, y, A, b)
    np.testing.assert_allclose(problem.grad(problem.x0), expected.grad(problem.x0), rtol=1e-12)
    np.testing.assert_allclose(problem.hess(problem.x0), expected.hess(problem.x0), rtol=1e-12, atol=1e-15)


def test_the_sphere_alone_is_a_problem():
    X, y, _, _ = make_data()
    problem = ConstrainedLogisticRegression(X, y, np.empty((0, 14)), np.empty(0))
    assert problem.m == 1
    assert problem.check_derivatives().max() < 1e-9


def test_extreme_margins_neither_overflow_nor_lose_the_slope():
    X, y, A, b = make_data()
    problem = ConstrainedLogisticRegression(1e6 * X, y, A, b)
    x = np.random.default_rng(4).standard_normal(problem.n)
    margins = y * (1e6 * X @ x)
    assert problem.fun(x) == pytest.approx(np.mean(np.maximum(-margins, 0.0)), rel=1e-12)
    assert np.all(np.isfinite(problem.grad(x)))
    assert np.all(np.isfinite(problem.hess(x)))


def test_work_at_one_point_is_shared(monkeypatch):
    problem = make_problem(csr, **THIN)
    calls = []
    terms, gram = problem._kernels.logistic_terms, problem._kernels.weighted_gram_csr

    class Counting:
        @staticmethod
        def logistic_terms(*arrays):
            calls.append("terms")
            terms(*arrays)

        @staticmethod
        def weighted_gram_csr(*arrays):
            calls.append("gram")
            gram(*arrays)

        gram_parts = staticmethod(problem._kernels.gram_parts)

    monkeypatch.setattr(problem, "_kernels", Counting)
    x = problem.x0
    problem.fun_grad(x)
    problem.lag_hess(x, problem.y0)
    problem.lag_hess(x, 2 * problem.y0)
    problem.lag_hess(x, problem.y0, 0.0)
    problem.lag_hessp(x, problem.y0, x)
    assert calls == ["terms", "gram"]
    assert (problem.counters.f, problem.counters.g, problem.counters.H) == (1, 1, 3)
    problem.fun(x + 1.0)
    problem.fun(x)
    assert calls == ["terms", "gram", "terms", "terms"]


def test_results_belong_to_the_caller():
    problem = make_problem(csr, **THIN)
    x = problem.x0.copy()
    for evaluate in (problem.grad, problem.cons, problem.jac, problem.hess):
        first = evaluate(x)
        kept = first.copy()
        first *= -7.0
        np.testing.assert_array_equal(evaluate(x), kept)


def test_gradient_and_products_of_wide_data_need_no_square_matrix():
    n = 2_000_000
    X = sp.csr_array((np.ones(3), np.array([0, 5, n - 1]), np.array([0, 2, 3])), shape=(2, n))
    A = np.zeros((1, n))
    A[0, 0] = 1.0
    problem = ConstrainedLogisticRegression(X, np.array([1.0, -1.0]), A, np.zeros(1))
    x = problem.x0
    assert problem.grad(x).shape == problem.lag_hessp(x, np.ones(2), x).shape == (n,)


def test_choice_of_the_hessian_follows_density():
    assert module._dense_is_faster(sp.csr_array(np.ones((1000, 60))))
    assert module._dense_is_faster(sp.random_array((500, 500), density=0.9, rng=0).tocsr())
    assert not module._dense_is_faster(sp.random_array((5000, 120), density=0.1, rng=0).tocsr())
    assert not module._dense_is_faster(sp.random_array((5000, 300), density=0.04, rng=0).tocsr())


# Bad input.


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"y": np.ones(49)}, ValueError, r"`X` has shape \(50, 14\) but `y` has shape \(49,\)"),
        ({"A": np.ones((10, 13))}, ValueError, r"`A` has shape \(10, 13\) but `X` has shape \(50, 14\)"),
        ({"b": np.ones(9)}, ValueError, r"`b` has shape \(9,\) but `A` has shape \(10, 14\)"),
        ({"X": np.ones(14)}, ValueError, r"`X` must have 2 dimensions, got shape \(14,\)"),
        ({"y": np.ones((50, 1))}, ValueError, r"`y` must have 1 dimension, got"),
        ({"X": np.full((50, 14), np.nan)}, ValueError, "`X` holds NaN or infinity"),
        ({"X": sp.csr_array(np.full((50, 14), np.inf))}, ValueError, "`X` holds NaN or infinity"),
        ({"b": np.full(10, np.inf)}, ValueError, "`b` holds NaN or infinity"),
        ({"A": np.ones((14, 14)), "b": np.ones(14)}, ValueError, "15 constraints are too many for 14 variables"),
        ({"X": np.ones((0, 14)), "y": np.ones(0)}, ValueError, r"expected len\(y\) == X.shape\[0\] > 0"),
        ({"X": np.ones((50, 14), dtype=complex)}, TypeError, "`X` must be real, got dtype complex128"),
    ],
)
def test_bad_data_are_refused(change, error, message):
    data = dict(zip("XyAb", make_data(), strict=True)) | change
    with pytest.raises(error, match=message):
        ConstrainedLogisticRegression(**data)


def test_point_of_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"`x` has shape \(3,\), expected \(14,\)"):
        make_problem().fun(np.ones(3))


# Data sets and draws.


def test_draws_are_reproducible_and_feasible():
    first, again, other = (ConstrainedLogisticRegression.from_dataset("digits", draw=draw) for draw in (4, 4, 5))
    at = np.zeros(first.n)
    np.testing.assert_array_equal(first.jac(at), again.jac(at))
    np.testing.assert_array_equal(first.cons(at), again.cons(at))
    assert not np.array_equal(first.jac(at), other.jac(at))
    for draw in range(10):
        problem = ConstrainedLogisticRegression.from_dataset("digits", draw=draw)
        A, b = problem.jac(at * 0.0)[:-1], -problem.cons(at * 0.0)[:-1]
        assert np.linalg.norm(np.linalg.pinv(A) @ b) < 1.0


def test_draw_follows_the_documented_stream():
    rng = np.random.default_rng(7)
    A, b = rng.standard_normal((10, 64)), rng.standard_normal(10)
    problem = ConstrainedLogisticRegression.from_dataset("digits", draw=7)
    np.testing.assert_array_equal(problem.jac(np.zeros(64))[:-1], A)
    np.testing.assert_array_equal(-problem.cons(np.zeros(64))[:-1], b)


def test_infeasible_draws_are_repeated_from_the_same_stream():
    rng = np.random.default_rng(0)
    A, b = module._draw_constraints(12, np.random.default_rng(0))
    draws = 0
    expected_A, expected_b = np.eye(10, 12), np.ones(10)
    while np.linalg.norm(np.linalg.pinv(expected_A) @ expected_b) >= 1.0:
        expected_A, expected_b = rng.standard_normal((10, 12)), rng.standard_normal(10)
        draws += 1
    assert draws > 1
    np.testing.assert_array_equal(A, expected_A)
    np.testing.assert_array_equal(b, expected_b)


def test_hopeless_draws_end(monkeypatch):
    monkeypatch.setattr(module, "_MAX_DRAWS", 0)
    with pytest.raises(ValueError, match="none of 0 draws of constraints for 64 columns"):
        ConstrainedLogisticRegression.from_dataset("digits")


def test_too_few_columns_are_refused(tmp_path):
    text = "\n".join(["1 1:1", "-1 2:1"] * 431).encode()
    file = tmp_path / "four"
    file.write_bytes(text)
    with pytest.raises(ValueError, match="more than 10 columns, got 2"):
        ConstrainedLogisticRegression.from_dataset("fourclass_scale", path=file)


def test_sets_without_two_labels_are_refused(tmp_path):
    file = tmp_path / "housing"
    file.write_bytes(b"\n".join(b"%d 1:1" % row for row in range(506)))
    with pytest.raises(ValueError, match="'housing' is not a set with two labels"):
        ConstrainedLogisticRegression.from_dataset("housing", path=file, labels="raw")


def test_raw_labels_are_those_of_the_file():
    raw = ConstrainedLogisticRegression.from_dataset("breast_cancer", labels="raw")
    pm1 = ConstrainedLogisticRegression.from_dataset("breast_cancer", labels="pm1")
    zero = np.zeros(30)
    # A label 0 gives the constant term log 2 and no gradient; at x = 0 each label +-1 gives half its row.
    data = libsvm.load("breast_cancer", labels="raw")
    X, y = data.X.toarray(), data.y
    np.testing.assert_allclose(raw.grad(zero), -(X.T @ y) / (2 * y.size), atol=1e-14)
    np.testing.assert_allclose(pm1.grad(zero), -(X.T @ (2 * y - 1)) / (2 * y.size), atol=1e-14)
    assert raw.source == "scikit-learn, labels=raw, draw=0"


def test_splice_is_scaled_by_columns(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.integers(1, 5, (1000, 60))
    lines = [
        f"{1 if i % 2 else -1} " + " ".join(f"{j + 1}:{value}" for j, value in enumerate(row))
        for i, row in enumerate(X)
    ]
    file = tmp_path / "splice.gz"
    file.write_bytes(gzip.compress("\n".join(lines).encode()))
    problem = ConstrainedLogisticRegression.from_dataset("splice", path=file)
    y = np.where(np.arange(1000) % 2, 1.0, -1.0)
    scaled = 2.0 * (X - 1.0) / 3.0 - 1.0
    np.testing.assert_allclose(problem.grad(np.zeros(60)), -(scaled.T @ y) / 2000.0, atol=1e-14)


def test_missing_set_is_named(monkeypatch):
    monkeypatch.delenv("NUMOPT_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="the data set 'w8a' is missing"):
        ConstrainedLogisticRegression.from_dataset("w8a", download=False)


@pytest.mark.gpu
@pytest.mark.parametrize("sparse", [False, True])
def test_device_agrees_with_the_host(sparse):
    cupy = pytest.importorskip("cupy")
    cupyx_sparse = pytest.importorskip("cupyx.scipy.sparse")
    X, y, A, b = make_data(n_samples=2000, n=60, density=0.1)
    host = ConstrainedLogisticRegression(sp.csr_matrix(X) if sparse else X, y, A, b)
    on_device = cupyx_sparse.csr_matrix(sp.csr_matrix(X)) if sparse else cupy.asarray(X)
    device = ConstrainedLogisticRegression(on_device, cupy.asarray(y), cupy.asarray(A), cupy.asarray(b))
    rng = np.random.default_rng(5)
    x, lam, v = rng.standard_normal(60), rng.standard_normal(11), rng.standard_normal(60)
    x_device, lam_device, v_device = cupy.asarray(x), cupy.asarray(lam), cupy.asarray(v)
    assert device.fun(x_device) == pytest.approx(host.fun(x), rel=1e-13)
    for found, expected in [
        (device.grad(x_device), host.grad(x)),
        (device.cons(x_device), host.cons(x)),
        (device.jac(x_device), host.jac(x)),
        (device.lag_hess(x_device, lam_device), host.lag_hess(x, lam)),
        (device.lag_hessp(x_device, lam_device, v_device), host.lag_hessp(x, lam, v)),
        (device.vjp(x_device, lam_device), host.vjp(x, lam)),
        (device.x0, host.x0),
        (device.y0, host.y0),
    ]:
        assert isinstance(found, cupy.ndarray)
        np.testing.assert_allclose(to_host(found), expected, rtol=1e-12, atol=1e-13)
