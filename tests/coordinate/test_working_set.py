"""The fast path for sparse and bounded models: optima, certificates, screening, statuses, and each of its parts."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear
from scipy.sparse.linalg import aslinearoperator

from numopt import Status
from numopt._core.timer import Deadline
from numopt.coordinate import LeastSquares, Logistic, Quadratic, bcd
from numopt.coordinate import _face as face_module
from numopt.coordinate._design import as_design
from numopt.coordinate._extrapolation import Extrapolation
from numopt.coordinate._face import Face, minimise_on_face
from numopt.coordinate._inner import ColumnModel, GramModel
from numopt.coordinate._interpolation import interpolate
from numopt.coordinate._penalty import Penalty
from numopt.coordinate._pool import Pool
from numopt.coordinate._report import Report
from numopt.coordinate._state import LinearState
from numopt.coordinate._working_set import WorkingSetSolver
from tests.helpers.xp import load, make, to_numpy

NUMPY = load("numpy")
PENALTIES = (
    {"l1": 2.0},
    {"l1": 2.0, "l2": 0.5},
    {"l1": 1.0, "nonneg": True},
    {"nonneg": True, "l2": 0.3},
    {"bounds": (-0.2, 0.3)},
    {"l1": 0.5, "bounds": (-0.2, None)},
    {"l1": 1.0, "intercept": True},
)


def data(n: int = 60, p: int = 90, seed: int = 0) -> tuple[Any, Any]:
    """Return a sparse matrix as a dense array, and targets that few columns explain."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, p)) * (rng.random((n, p)) < 0.4)
    return A, A[:, :5] @ rng.standard_normal(5) + 0.3 * rng.standard_normal(n)


def minimal_subgradient(g: Any, x: Any, l1: float, lower: float, upper: float) -> Any:
    """Return the element of least norm, coordinate by coordinate."""
    out = np.zeros_like(g)
    for i, (slope, value) in enumerate(zip(g, x, strict=True)):
        right, left = slope + (l1 if value >= 0 else -l1), slope + (l1 if value > 0 else -l1)
        if right < 0 and value < upper:
            out[i] = right
        elif left > 0 and value > lower:
            out[i] = left
    return out


@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
@pytest.mark.parametrize("model", [LeastSquares, Logistic])
@pytest.mark.parametrize("storage", ["dense", "csc"])
def test_optimum_satisfies_its_conditions(model: Any, penalty: dict[str, Any], storage: str) -> None:
    A, b = data()
    y = b if model is LeastSquares else np.sign(b)
    matrix = A if storage == "dense" else sp.csc_array(A)
    result = bcd(model(matrix, y, **penalty), tol=1e-11)
    assert result.success, result.message
    margins = A @ result.x + result.get("intercept", 0.0)
    slopes = margins - y if model is LeastSquares else -y / (1 + np.exp(y * margins))
    lower, upper = penalty.get("bounds", (0.0 if penalty.get("nonneg") else None, None))
    lower, upper = -math.inf if lower is None else lower, math.inf if upper is None else upper
    g = A.T @ slopes + penalty.get("l2", 0.0) * result.x
    violation = minimal_subgradient(g, result.x, penalty.get("l1", 0.0), lower, upper)
    scale = np.max(np.abs(A.T @ (y if model is LeastSquares else y / 2)))
    assert np.max(np.abs(violation)) <= 1e-5 * scale
    assert np.all((result.x >= lower) & (result.x <= upper))
    assert result.kkt == pytest.approx(np.max(np.abs(violation)), rel=1e-3, abs=1e-9 * scale)


@pytest.mark.parametrize("model", [LeastSquares, Logistic])
@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
def test_gap_bounds_the_distance_to_the_optimum(model: Any, penalty: dict[str, Any]) -> None:
    A, b = data(seed=1)
    problem = model(A, b if model is LeastSquares else np.sign(b), **penalty)
    best = bcd(problem, tol=1e-13).fun
    if not problem.has_dual:
        pytest.skip("no dual is known")
    rng = np.random.default_rng(2)
    for scale in (0.0, 1e-3, 0.1, 1.0):
        point = problem.point(scale * rng.standard_normal(problem.n_variables))
        certificate = problem.evaluate(point.x, 0.1 if problem.intercept else 0.0)
        assert certificate.dual <= best + 1e-10 * abs(best)
        assert certificate.gap >= certificate.fun - best - 1e-10 * abs(best)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 0.9), st.sampled_from(["least squares", "logistic"]), st.booleans())
def test_screening_changes_nothing(seed: int, part: float, kind: str, positive: bool) -> None:
    A, b = data(20, 40, seed)
    y = b if kind == "least squares" else np.where(b > np.median(b), 1.0, -1.0)
    model = LeastSquares if kind == "least squares" else Logistic
    l1 = part * np.max(np.abs(A.T @ y))
    results = [bcd(model(A, y, l1=l1, nonneg=positive), tol=1e-12, screening=how) for how in ("gap", None)]
    assert all(result.success for result in results)
    np.testing.assert_allclose(results[0].fun, results[1].fun, rtol=1e-11)
    np.testing.assert_allclose(results[0].x, results[1].x, atol=1e-4 * max(1.0, np.abs(results[1].x).max()))


def test_screening_keeps_every_coordinate_of_the_support() -> None:
    A, b = data(60, 400, seed=3)
    problem = LeastSquares(A, b, l1=0.3 * np.max(np.abs(A.T @ b)))
    support = set(bcd(problem, tol=1e-13).active_set.tolist())
    state = LinearState(problem, np.zeros(400), None, Deadline())
    dropped = False
    for _ in range(20):
        look = state.look()
        dropped = state.screen(look, np.empty(0, dtype=np.int64)) or dropped
        if dropped:
            assert support <= set(np.arange(400)[state.columns].tolist())
            look = state.look()
        state.improve(look.candidates[:40], look, 0.3 * look.kkt, None, True)
    assert dropped


@pytest.mark.parametrize("options", [{"active_set": False}, {"working_set": 3}, {"working_set": None}], ids=str)
def test_options_lead_to_the_same_optimum(options: dict[str, Any]) -> None:
    A, b = data()
    problem = LeastSquares(A, b, l1=2.0)
    np.testing.assert_allclose(bcd(problem, tol=1e-10, **options).fun, bcd(problem, tol=1e-12).fun, rtol=1e-9)


def test_column_and_gram_models_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    A, b = data(seed=4)
    problem = LeastSquares(sp.csc_array(A), b, l1=1.0, intercept=True)
    by_gram = bcd(problem, tol=1e-12)
    monkeypatch.setattr("numopt.coordinate._design._LARGEST_SPARSE_GRAM", 0)
    by_columns = bcd(problem, tol=1e-12)
    np.testing.assert_allclose(by_columns.x, by_gram.x, atol=1e-6)
    assert by_columns.success


def test_libraries_agree(xp: Any) -> None:
    A, b = data(30, 40)
    expected = bcd(LeastSquares(A, b, l1=1.0, l2=0.1), tol=1e-10)
    result = bcd(LeastSquares(make(xp, A), make(xp, b), l1=1.0, l2=0.1), tol=1e-10)
    assert type(result.x) is type(make(xp, b))
    assert result.x.device == make(xp, b).device
    np.testing.assert_allclose(to_numpy(result.x), expected.x, atol=1e-5)


def test_quadratic_equals_least_squares() -> None:
    A, b = data(60, 30)
    box = {"bounds": (-0.1, 0.2), "l1": 0.5}
    one, other = bcd(LeastSquares(A, b, **box), tol=1e-12), bcd(Quadratic(A.T @ A, A.T @ b, **box), tol=1e-12)
    np.testing.assert_allclose(other.x, one.x, atol=1e-8)


def test_operator_equals_its_matrix() -> None:
    A, b = data(30, 20)
    expected = bcd(LeastSquares(A, b, l1=1.0), tol=1e-11).x
    np.testing.assert_allclose(bcd(LeastSquares(aslinearoperator(A), b, l1=1.0), tol=1e-11).x, expected, atol=1e-7)


def test_single_precision_stays_and_says_when_it_ends() -> None:
    A, b = (part.astype(np.float32) for part in data())
    loose = bcd(LeastSquares(A, b, l1=2.0), tol=1e-3)
    assert loose.success
    assert loose.x.dtype == np.float32
    tight = bcd(LeastSquares(A, b, l1=2.0), tol=1e-12)
    assert tight.status is Status.PRECISION
    assert tight.nit < 10**5


def test_callback_sees_falling_objectives_and_stops() -> None:
    A, b = data(60, 300, seed=5)
    seen = []

    def watch(intermediate_result: Any) -> None:
        seen.append((intermediate_result.fun, intermediate_result.x.shape))
        if len(seen) == 3:
            raise StopIteration

    problem = LeastSquares(A, b, l1=0.02 * np.max(np.abs(A.T @ b)))
    result = bcd(problem, tol=1e-12, callback=watch, working_set=4)
    assert result.status is Status.CALLBACK
    assert not result.success
    funs = [fun for fun, _ in seen]
    assert funs == sorted(funs, reverse=True)
    assert {shape for _, shape in seen} == {(300,)}
    assert result.fun == pytest.approx(funs[-1])


def test_limits_and_history() -> None:
    A, b = data(60, 300, seed=5)
    problem = LeastSquares(A, b, l1=0.5)
    assert bcd(problem, tol=1e-12, time_limit=0).status is Status.TIME_LIMIT
    assert bcd(problem, tol=1e-12, maxiter=0).status is Status.MAXITER
    history = bcd(problem, tol=1e-10, history=True).history
    assert {"nit", "npass", "fun", "kkt", "gap", "block", "time"} <= set(history)
    assert history["gap"][-1] < history["gap"][0]
    assert np.all(np.diff(history["nit"]) >= 0)


def test_a_checkpoint_goes_on_where_it_stopped(tmp_path: Any) -> None:
    A, b = data(60, 300, seed=5)
    problem = LeastSquares(A, b, l1=0.5, intercept=True)
    path = tmp_path / "solve.zip"
    first = bcd(problem, tol=1e-10, max_passes=4, checkpoint=path)
    assert first.status is Status.MAXITER
    assert path.exists()
    second = bcd(problem, tol=1e-10, checkpoint=path)
    assert second.success
    assert second.npass > first.npass
    np.testing.assert_allclose(second.fun, bcd(problem, tol=1e-12).fun, rtol=1e-9)


def test_same_bits_twice() -> None:
    A, b = data()
    problem = Logistic(sp.csc_array(A), np.sign(b), l1=0.5, intercept=True)
    one, other = bcd(problem), bcd(problem)
    assert np.array_equal(one.x, other.x)
    assert one.intercept == other.intercept


def test_no_penalty_beats_zero_at_the_largest_one() -> None:
    A, b = data()
    l1_max = np.max(np.abs(A.T @ b))
    above, below = bcd(LeastSquares(A, b, l1=l1_max)), bcd(LeastSquares(A, b, l1=0.999 * l1_max), tol=1e-10)
    assert above.success
    assert above.n_active == 0
    assert above.nit == 0
    assert below.success
    assert below.n_active == 1


def test_solver_keeps_its_gram_matrix_along_a_path() -> None:
    A, b = data(60, 300, seed=5)
    solver = WorkingSetSolver()
    problem = LeastSquares(A, b, l1=8.0)
    x = np.zeros(300)
    sizes = []
    for l1 in (8.0, 4.0, 2.0, 1.0):
        part = problem.with_l1(l1)
        result = solver.solve(part, x, Report(part, "path", tol=1e-10))
        sizes.append(solver._pool.ids.shape[0])
        np.testing.assert_allclose(result.fun, bcd(LeastSquares(A, b, l1=l1), tol=1e-12).fun, rtol=1e-9)
        x = result.x.copy()
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]


def test_pool_extends_and_thins_its_gram_matrix() -> None:
    A, _ = data(40, 600)
    weights = np.random.default_rng(0).random(40)
    for matrix in (A, sp.csc_array(A)):
        pool = Pool(as_design(matrix), weights)
        pool.hold(np.array([5, 7]))
        pool.hold(np.arange(3, 500))
        assert pool.ids[:2].tolist() == [5, 7]
        assert sorted(pool.ids) == list(range(3, 500))
        W = A[:, pool.ids]
        np.testing.assert_allclose(pool.H, W.T @ (weights[:, None] * W), atol=1e-12)
        pool.hold(np.array([4, 599]))
        assert sorted(pool.ids) == [4, 599]
        W = A[:, pool.ids]
        np.testing.assert_allclose(pool.H, W.T @ (weights[:, None] * W), atol=1e-12)


@pytest.mark.parametrize("small", [0, 200])
def test_minimum_on_a_face_is_that_of_the_bounded_problem(small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # With `small` 0 one factor serves for all steps, which the coordinates that leave constrain.
    monkeypatch.setattr(face_module, "_SMALL", small)
    rng = np.random.default_rng(1)
    A = rng.random((80, 30))
    x = rng.random(30) + 0.1
    b = A @ (x + 2 * rng.standard_normal(30))
    table = np.stack([np.zeros(30), np.zeros(30), np.zeros(30), np.full(30, np.inf)])
    g = A.T @ (A @ x - b)
    before = 0.5 * np.sum((A @ x - b) ** 2)
    for _ in range(40):
        free = np.flatnonzero(x > 0)
        face = Face(NUMPY, table, x, g, free)
        _, finished = minimise_on_face(NUMPY, A[:, free].T @ A[:, free], face)
        x[free] = face.x
        g = A.T @ (A @ x - b)
        after = 0.5 * np.sum((A @ x - b) ** 2)
        assert after <= before
        assert np.all(x >= 0)
        before = after
        if finished:
            break
    assert finished
    assert np.max(np.abs(g[x > 0])) <= 1e-9 * np.max(np.abs(A.T @ b))


def test_a_singular_face_is_survived() -> None:
    A = np.array([[1.0, 1.0], [2.0, 2.0]])
    result = bcd(LeastSquares(A, np.array([1.0, 2.0]), nonneg=True), np.array([0.5, 0.1]), tol=1e-10)
    assert result.success
    np.testing.assert_allclose(result.x.sum(), 1.0)


def test_gram_model_tells_its_violation() -> None:
    A, b = data(40, 10)
    penalty = Penalty(np.empty(10), NUMPY, l1=1.0)
    kernels = as_design(A).kernels
    model = GramModel(NUMPY, kernels, A.T @ A, penalty, 0.0, np.zeros(10), -A.T @ b)
    violation = model.minimise(1e-9)
    exact = minimal_subgradient(A.T @ (A @ model.x - b), model.x, 1.0, -math.inf, math.inf)
    assert violation <= 1e-9
    assert np.max(np.abs(exact)) <= 1e-8
    assert model.effort.newton > 0


def test_column_model_without_newton_steps() -> None:
    A, b = data(40, 10)
    empty = np.empty(0)
    design = as_design(sp.csc_array(A))
    model = ColumnModel(
        design, Penalty(np.empty(10), NUMPY, l1=1.0), 0.0, np.zeros(10), -b.copy(), weights=empty, means=empty,
        sums=empty, curvature=design.column_squares(), offset=np.zeros(1),
    )  # fmt: skip
    model.minimise(1e-6, newton=False)
    np.testing.assert_allclose(model.s, A @ model.x - b, atol=1e-12)
    assert model.violation() <= 1e-4
    assert model.effort.newton == 0


@pytest.mark.parametrize("spread", [False, True])
def test_wide_bounded_least_squares(spread: bool) -> None:
    rng = np.random.default_rng(0)
    A = rng.random((20, 100))
    w = rng.random(100) if spread else np.where(rng.random(100) < 0.05, 1.0, 0.0)
    b = A @ w + (0 if spread else rng.standard_normal(20))
    result = bcd(LeastSquares(A, b, nonneg=True), tol=1e-9)
    assert result.success, result.message
    reference = lsq_linear(A, b, bounds=(0, np.inf), tol=1e-12)
    assert result.fun <= reference.cost + 1e-9 * np.sum(b**2)


def test_interpolation_gives_up_where_there_is_nothing_to_find() -> None:
    rng = np.random.default_rng(0)
    A, b = rng.random((10, 40)), -np.ones(10)
    x = np.zeros(40)
    assert interpolate(LeastSquares(A, b, nonneg=True), x, Deadline()) is x
    found = interpolate(LeastSquares(A, -b, bounds=(0.0, 1.0)), x, Deadline())
    np.testing.assert_allclose(A @ found, -b, atol=1e-8)


def test_nan_is_never_a_success() -> None:
    A, b = data()
    A[3, 4] = np.nan
    for penalty in ({"l1": 1.0}, {"nonneg": True}):
        result = bcd(LeastSquares(A, b, check_finite=False, **penalty))
        assert result.status is Status.NONFINITE
        assert not result.success
    with pytest.raises(ValueError, match="finite"):
        LeastSquares(A, b, l1=1.0)


def test_start_outside_the_bounds_is_projected_with_a_warning() -> None:
    A, b = data(30, 10)
    problem = LeastSquares(A, b, bounds=(0.0, 1.0))
    with pytest.warns(UserWarning, match="projected"):
        result = bcd(problem, np.full(10, 2.0), tol=1e-10)
    np.testing.assert_allclose(result.x, bcd(problem, tol=1e-10).x, atol=1e-7)


def test_indefinite_quadratics_are_told() -> None:
    saddle = np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    for Q, penalty in ((-np.eye(3), {"bounds": (-5.0, 5.0)}), (-np.eye(3), {"l1": 0.1}), (saddle, {"l1": 0.1})):
        result = bcd(Quadratic(Q, np.array([1.0, -1.5, 1.0]), **penalty))
        assert result.status is Status.INDEFINITE
        assert not result.success
    singular = bcd(Quadratic(np.ones((3, 3)), np.ones(3), nonneg=True))
    assert singular.success
    np.testing.assert_allclose(singular.x.sum(), 1.0)


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("penalty", [{"l1": 0.05}, {"l1": 0.05, "intercept": True}, {"nonneg": True}], ids=str)
def test_extrapolation_speeds_up_coordinate_descent(
    columns: bool, penalty: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Correlated columns, on which plain coordinate descent crawls.
    rng = np.random.default_rng(0)
    A = rng.standard_normal((80, 30)) + 5 * rng.standard_normal((80, 1))
    b = A[:, :3] @ np.ones(3) + 0.1 * rng.standard_normal(80)
    problem = LeastSquares(sp.csc_array(A), b, **penalty)
    if columns:
        monkeypatch.setattr("numopt.coordinate._design._LARGEST_SPARSE_GRAM", 0)
        monkeypatch.setattr(
            LinearState, "_is_slow", property(lambda self: False, lambda self, value: None), raising=False
        )
    best = bcd(problem, tol=1e-12)
    settings: dict[str, Any] = {"active_set": False, "working_set": None, "screening": None, "max_passes": 1e5}
    fast = bcd(problem, tol=1e-8, **settings)
    assert fast.fun == pytest.approx(best.fun, rel=1e-6)
    monkeypatch.setattr(Extrapolation, "push", lambda self, x: None)
    slow = bcd(problem, tol=1e-8, **settings)
    assert fast.nit < slow.nit


def test_extrapolation_is_exact_for_linear_iterations() -> None:
    rng = np.random.default_rng(1)
    M = np.diag([0.9, 0.5, -0.3, 0.1])
    x, fixed = rng.standard_normal(4), rng.standard_normal(4)
    extrapolation, found = Extrapolation(NUMPY), None
    while found is None:
        found = extrapolation.push(x)
        x = fixed + M @ (x - fixed)
    np.testing.assert_allclose(found, fixed, atol=1e-3)
