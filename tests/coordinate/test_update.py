"""Updates of a block: line search, models of a block, decrease of F, admissible combinations."""

import math
from typing import Any

import array_api_compat.numpy as numpy_xp
import numpy as np
import pytest
import scipy.optimize as so
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from numopt import Status
from numopt.coordinate import LabelPropagation, LeastSquares, Logistic, Quadratic, Smooth
from numopt.coordinate._block_quadratic import UnboundedError, minimise_group, minimise_separable
from numopt.coordinate._cubic_model import cubic_step
from numopt.coordinate._gradient_updates import EstimatedGradientUpdate, secant_constants
from numopt.coordinate._line_search import backtrack
from numopt.coordinate._partition import make_partition
from numopt.coordinate._penalty import Penalty
from numopt.coordinate._selection import make_selection
from numopt.coordinate._shifted_solve import shifted_solve
from numopt.coordinate._update import UPDATES, make_update
from tests.coordinate.draws import KINDS, PENALTIES, draw
from tests.helpers.xp import make, to_numpy

EPS = np.finfo(float).eps
SMOOTH = ("gradient", "diag", "matrix", "newton", "cubic", "exact", "prox_newton", "tmp")
SEPARABLE = ("gradient", "diag", "exact", "prox_newton", "tmp")


def update_of(problem: Any, name: str, partition: Any = "variable", **options: Any) -> Any:
    kwargs = {key: options.pop(key) for key in ("lipschitz", "line_search") if key in options}
    update = make_update(problem, make_partition(problem, partition, "auto"), name, options=options, **kwargs)
    if isinstance(update, EstimatedGradientUpdate):
        update.begin()
    return update


def spd(t: int, seed: int, rank: int | None = None) -> np.ndarray:
    A = np.random.default_rng(seed).standard_normal((t if rank is None else rank, t))
    return A.T @ A


# ---- line search -----------------------------------------------------------------------------------------------------


def along(f: Any, df0: float) -> Any:
    return lambda alpha: (f(alpha), alpha * df0)


def test_full_step_of_a_quadratic_is_taken():
    assert backtrack(along(lambda a: (a - 1) ** 2, -2.0), 1.0, -2.0) == (1.0, 0.0)


@pytest.mark.parametrize("steepness", [3.0, 10.0, 1e3, 1e8])
def test_backtracking_reaches_sufficient_decrease(steepness):
    def f(a: float) -> float:
        return math.expm1(min(steepness * a, 700.0)) / steepness - 2 * a

    alpha, value = backtrack(along(lambda a: f(a) if a < 0.1 else math.inf, -1.0), 0.0, -1.0)
    assert 0 < alpha < 0.1
    assert value <= -1e-4 * alpha


@pytest.mark.parametrize("noise", [1e-3, 1.0])
def test_lengths_stay_within_a_tenth_and_a_half(noise):
    rng = np.random.default_rng(0)
    lengths = []

    def trial(alpha: float) -> tuple[float, float]:
        lengths.append(alpha)
        return 1 + noise * rng.random(), -alpha

    assert backtrack(trial, 0.0, -1.0) is None
    ratios = np.array(lengths[1:]) / np.array(lengths[:-1])
    assert np.all((ratios >= 0.1 * (1 - EPS)) & (ratios <= 0.5 * (1 + EPS)))


def test_interpolation_is_exact_for_quadratics_and_cubics():
    lengths = []

    def f(a: float) -> float:
        lengths.append(a)
        return -a + 2 * a * a

    backtrack(along(f, -1.0), 0.0, -1.0)
    assert lengths == [1.0, 0.25]  # the minimiser
    lengths.clear()

    def cubic(a: float) -> float:
        lengths.append(a)
        return -a + 40 * a**3

    backtrack(along(cubic, -1.0), 0.0, -1.0, decrease=0.5)
    # The first length is cut to a tenth; there the decrease is 0.6 of the slope, which is sufficient.
    assert lengths == [1.0, 0.1]


def test_nan_is_never_accepted():
    assert backtrack(along(lambda a: math.nan, -1.0), 0.0, -1.0, slack=1e300) is None


# ---- models of a block -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("M", [1e-8, 1.0, 1e6])
@pytest.mark.parametrize("rank", [0, 3, 5])
def test_cubic_step_is_stationary(xp, M, rank):
    H, g = spd(5, 1, rank), np.random.default_rng(2).standard_normal(5)
    d = to_numpy(cubic_step(make(xp, H), make(xp, g), M, xp))
    r = np.linalg.norm(d)
    residual = g + H @ d + M / 2 * r * d
    assert np.linalg.norm(residual) <= 1e-10 * (np.linalg.norm(g) + np.linalg.norm(H) * r)


def test_cubic_step_of_zero_gradient_is_zero(xp):
    d = cubic_step(make(xp, spd(3, 0)), make(xp, np.zeros(3)), 1.0, xp)
    assert not to_numpy(d).any()


@settings(max_examples=150, deadline=None)
@given(
    t=st.integers(1, 9),
    seed=st.integers(0, 10**6),
    rank=st.integers(1, 12),
    l1=st.sampled_from([0.0, 0.5, 5.0]),
    bounds=st.sampled_from([(-math.inf, math.inf), (0.0, math.inf), (-0.3, 0.4), (-math.inf, 0.2)]),
    duplicate=st.booleans(),
)
def test_separable_model_is_minimised(t, seed, rank, l1, bounds, duplicate):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((rank, t))
    if duplicate and t > 1:
        A[:, -1] = A[:, 0]
    H = A.T @ A
    lower, upper = bounds
    x = np.clip(rng.standard_normal(t) * (rng.random(t) < 0.5), lower, upper)
    # In the range of H, so that there is a minimiser.
    g = A.T @ rng.standard_normal(rank) * 3
    penalty = Penalty(x, numpy_xp, l1=l1, lower=lower, upper=upper)
    block = np.arange(t)
    z = minimise_separable(H, g, x, penalty, block, numpy_xp)
    assert np.all((z >= lower) & (z <= upper))
    left = np.abs(penalty.min_subgradient(z, g + H @ (z - x), block)).max()
    scale = np.abs(g).max() + np.abs(H).max() * (np.abs(z).max() + np.abs(x).max())
    assert left <= 1e-9 * scale

    def model(v: np.ndarray) -> float:
        return float(g @ (v - x) + (v - x) @ H @ (v - x) / 2 + l1 * np.abs(v).sum())

    assert model(z) <= model(x) + 100 * EPS * (abs(model(x)) + abs(model(z)) + l1)


def test_separable_model_in_every_library(xp):
    rng = np.random.default_rng(3)
    H, g, x = spd(6, 3), rng.standard_normal(6) * 5, np.zeros(6)
    block = make(xp, np.arange(6))
    penalty = Penalty(make(xp, x), xp, l1=1.0, lower=-0.5, upper=math.inf)
    z = to_numpy(minimise_separable(make(xp, H), make(xp, g), make(xp, x), penalty, block, xp))
    lower = so.minimize(
        lambda v: g @ (v[:6] - v[6:]) + (v[:6] - v[6:]) @ H @ (v[:6] - v[6:]) / 2 + v.sum(),
        np.zeros(12),
        bounds=[(0, None)] * 6 + [(0, 0.5)] * 6,
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-10},
    )
    np.testing.assert_allclose(z, lower.x[:6] - lower.x[6:], atol=1e-5)


def test_unbounded_and_indefinite_models_are_told():
    block = np.arange(2)
    free = Penalty(np.zeros(2), numpy_xp, lower=np.array([0.0, -np.inf]))
    with pytest.raises(UnboundedError):
        minimise_separable(np.ones((2, 2)), np.array([3.0, 4.0]), np.array([1.0, 1.0]), free, block, numpy_xp)
    with pytest.raises(np.linalg.LinAlgError):
        minimise_separable(-np.eye(2), np.ones(2), np.zeros(2), free, block, numpy_xp)
    with pytest.raises(np.linalg.LinAlgError):
        minimise_group(-np.eye(2), np.ones(2), np.zeros(2), 0.1, numpy_xp)


@pytest.mark.parametrize("weight", [0.0, 1e-6, 0.5, 3.0, 1e3])
@pytest.mark.parametrize("rank", [2, 4, 7])
def test_group_model_is_minimised(xp, weight, rank):
    rng = np.random.default_rng(rank)
    A = rng.standard_normal((rank, 4))
    H, x = A.T @ A, rng.standard_normal(4)
    g = A.T @ rng.standard_normal(rank)
    z = to_numpy(minimise_group(make(xp, H), make(xp, g), make(xp, x), weight, xp))
    gradient = g + H @ (z - x)
    norm = np.linalg.norm(z)
    if norm == 0:
        assert np.linalg.norm(gradient) <= weight * (1 + 1e-12)
    else:
        assert np.linalg.norm(gradient + weight * z / norm) <= 1e-9 * (np.linalg.norm(g) + np.linalg.norm(H @ x))


def test_shift_is_no_larger_than_needed():
    H, rhs = spd(4, 0, 2), np.ones(4)
    d = shifted_solve(H, H @ rhs, numpy_xp)
    np.testing.assert_allclose(H @ d, H @ rhs, rtol=1e-6)
    assert shifted_solve(-np.eye(3), np.ones(3), numpy_xp) is None
    # A negative eigenvalue is shifted away.
    d = shifted_solve(np.diag([4.0, -1.0]), np.array([0.0, 1.0]), numpy_xp)
    assert np.isfinite(d).all()
    assert d[1] > 0


# ---- bounds that updates rely on ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_bounds_of_a_block_are_above_its_hessian(kind):
    rng = np.random.default_rng(0)
    for seed in range(4):
        problem = draw(kind, seed, n=10, p=6, l2=0.2 * (seed % 2))
        for _ in range(250):
            size = int(rng.integers(1, 6))
            block = np.sort(rng.choice(problem.n_variables, size, replace=False))
            point = problem.point(rng.standard_normal(problem.n_variables) * 3.0 ** rng.integers(-2, 3))
            H, bound = point.hessian_block(block), problem.block_bound(block)
            scale = np.abs(bound).max()
            assert np.linalg.eigvalsh(bound - H)[0] >= -1e-12 * scale
            assert np.linalg.eigvalsh(H)[-1] <= problem.block_lipschitz(block) + 1e-12 * scale
            L = problem.lipschitz[block]
            assert np.all(np.diag(H) <= L * (1 + 1e-12))
            for D in (size * L, problem.gershgorin[block]):
                assert np.linalg.eigvalsh(np.diag(D) - H)[0] >= -1e-12 * scale


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_of_a_block_are_those_of_the_objective(kind):
    rng = np.random.default_rng(1)
    problem = draw(kind, 0, n=10, p=6, l2=0.3)
    block = np.array([0, 2, 5])
    point = problem.point(0.5 * rng.standard_normal(problem.n_variables))
    g, H = point.gradient_block(block), point.hessian_block(block)
    h = 1e-4
    for i, e in enumerate(np.eye(3)):
        slope = (point.trial(block, h * e) - point.trial(block, -h * e)) / (2 * h)
        assert slope == pytest.approx(g[i], rel=1e-6, abs=1e-6 * np.abs(g).max())
        ahead, behind = problem.point(point.x), problem.point(point.x)
        ahead.move(block, h * e)
        behind.move(block, -h * e)
        column = (ahead.gradient_block(block) - behind.gradient_block(block)) / (2 * h)
        np.testing.assert_allclose(column, H[:, i], rtol=1e-6, atol=1e-6 * np.abs(H).max())


@pytest.mark.parametrize("kind", ["logistic", "multinomial"])
def test_cubic_constant_is_above_the_third_derivative(kind):
    rng = np.random.default_rng(2)
    problem = draw(kind, 1, n=10, p=6)
    h = 1e-4
    for _ in range(200):
        block = np.sort(rng.choice(problem.n_variables, 4, replace=False))
        x = rng.standard_normal(problem.n_variables) * 3.0 ** rng.integers(-2, 2)
        direction = rng.standard_normal(4)
        direction /= np.linalg.norm(direction)
        sides = []
        for sign in (1, -1):
            point = problem.point(x)
            point.move(block, sign * h * direction)
            sides.append(direction @ point.hessian_block(block) @ direction)
        third = abs(sides[0] - sides[1]) / (2 * h)
        assert third <= problem.block_cubic(block) * (1 + 1e-6)


# ---- decrease of F ---------------------------------------------------------------------------------------------------


def step_down(problem: Any, update: Any, block: Any, x: Any = None) -> tuple[float, float, Any]:
    point = problem.point(x)
    before = point.objective
    assert update.step(point, block) is None
    return before, problem.evaluate(point.x, point.intercept).fun, point


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    penalty=st.sampled_from(sorted(PENALTIES)),
    name=st.sampled_from(SMOOTH),
    seed=st.integers(0, 10**6),
    shape=st.sampled_from([(12, 6), (5, 9)]),
    l2=st.sampled_from([0.0, 0.3]),
    duplicate=st.booleans(),
    zero=st.booleans(),
    size=st.integers(1, 6),
)
def test_no_step_raises_the_objective(kind, penalty, name, seed, shape, l2, duplicate, zero, size):
    if (penalty != "none" and name not in SEPARABLE) or (kind == "smooth" and name == "cubic"):
        return
    n, p = shape
    problem = draw(kind, seed, n=n, p=p, l2=l2, duplicate=duplicate, zero=zero, **PENALTIES[penalty])
    rng = np.random.default_rng(seed)
    update = update_of(problem, name)
    point = problem.point(problem.penalty.project(rng.standard_normal(problem.n_variables)))
    for _ in range(4):
        block = np.sort(rng.choice(problem.n_variables, size, replace=False))
        before = point.objective
        assert update.step(point, block) is None
        point.refresh()
        after = point.objective
        assert after <= before + 64 * EPS * (abs(before) + abs(after) + 1)
        np.testing.assert_array_equal(problem.penalty.project(point.x), point.x)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("rule", "name", "options"),
    [
        ("gs", "gradient", {}),
        ("gsl", "gradient", {}),
        ("gsd", "diag", {"gsd_diag": "block"}),
        ("gsd", "diag", {"gsd_diag": "gershgorin"}),
        ("gsd", "matrix", {"gsd_diag": "block"}),
        ("gsq", "matrix", {}),
    ],
)
@pytest.mark.parametrize("l2", [0.0, 0.5])
def test_decrease_is_at_least_the_score(kind, rule, name, options, l2):
    for seed in range(8):
        problem = draw(kind, seed, n=15, p=9, l2=l2, zero=seed % 2 == 1)
        partition = make_partition(problem, "order", 3)
        selection = make_selection(problem, partition, rule, options)
        update = make_update(problem, partition, name, options=options)
        point = problem.point(0.3 * np.random.default_rng(seed).standard_normal(problem.n_variables))
        block = selection.choose(point)
        score = float(np.max(selection.scores(point)))
        if rule == "gs":  # the score is ||g_b||^2 / 2; the bound divides by the largest constant
            score /= max(problem.block_lipschitz(b) for b in partition.blocks)
        before = point.objective
        update.step(point, block)
        fall = before - point.objective
        assert fall >= score * (1 - 1e-8) - 64 * EPS * (abs(before) + 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("penalty", ["l1", "l1 nonneg", "box"])
def test_decrease_is_at_least_the_composite_score(kind, penalty):
    options = {"gsd_diag": "block"}
    for seed in range(8):
        problem = draw(kind, seed, n=15, p=9, **PENALTIES[penalty])
        partition = make_partition(problem, "order", 3)
        selection = make_selection(problem, partition, "gs-q", options)
        update = make_update(problem, partition, "diag", options=options)
        point = problem.point(
            problem.penalty.project(0.3 * np.random.default_rng(seed).standard_normal(problem.n_variables))
        )
        score = float(np.max(selection.scores(point)))
        before = point.objective
        update.step(point, selection.choose(point))
        assert before - point.objective >= score * (1 - 1e-8) - 64 * EPS * (abs(before) + 1)


def test_cubic_model_bounds_the_loss_without_a_line_search():
    for seed in range(30):
        problem = draw(("logistic", "multinomial")[seed % 2], seed, n=20, p=6)
        point = problem.point(np.random.default_rng(seed).standard_normal(problem.n_variables))
        block = np.sort(np.random.default_rng(seed).choice(problem.n_variables, 4, replace=False))
        g, H, M = point.gradient_block(block), point.hessian_block(block), problem.block_cubic(block)
        d = cubic_step(H, g, M, numpy_xp)
        model = point.value + g @ d + d @ H @ d / 2 + M / 6 * np.linalg.norm(d) ** 3
        assert point.trial(block, d) <= model + 64 * EPS * abs(point.value)
        assert model < point.value


def test_exact_step_of_all_unknowns_solves_least_squares():
    for n, p in ((20, 8), (8, 20)):
        problem = draw("least squares", 0, n=n, p=p, duplicate=True, zero=True)
        update = update_of(problem, "exact")
        _, after, point = step_down(problem, update, np.arange(p))
        A, y = problem.design.A, problem.y
        best = np.linalg.lstsq(A, y, rcond=None)[0]
        assert after <= 0.5 * np.sum((A @ best - y) ** 2) + 1e-12 * np.sum(y * y)
        np.testing.assert_allclose(point.x, best, rtol=1e-6, atol=1e-8)  # of least norm


@pytest.mark.parametrize("penalty", sorted(PENALTIES))
@pytest.mark.parametrize("kind", KINDS)
def test_exact_step_leaves_the_block_optimal(kind, penalty):
    problem = draw(kind, 5, n=20, p=7, **PENALTIES[penalty])
    block = np.array([0, 2, 5])
    update = update_of(problem, "exact")
    point = problem.point()
    g0 = np.abs(problem.penalty.min_subgradient(point.x[block], point.gradient[block], block)).max()
    assert update.step(point, block) is None
    point.refresh()
    left = np.abs(problem.penalty.min_subgradient(point.x[block], point.gradient[block], block)).max()
    assert left <= 1e-7 * max(g0, np.abs(point.gradient).max())


@pytest.mark.parametrize("name", SMOOTH)
def test_updates_in_every_library(xp, name):
    problems = [draw(kind, 1, xp=module, l2=0.1) for kind in ("least squares", "logistic") for module in (xp, numpy_xp)]
    for ours, theirs in zip(problems[::2], problems[1::2], strict=True):
        points = [problem.point() for problem in (ours, theirs)]
        for problem, point, module in zip((ours, theirs), points, (xp, numpy_xp), strict=True):
            assert update_of(problem, name).step(point, make(module, np.array([0, 3, 4]))) is None
        np.testing.assert_allclose(to_numpy(points[0].x), points[1].x, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", SEPARABLE)
def test_updates_with_bounds_and_l1_in_every_library(xp, name):
    for penalty in ({"l1": 0.4}, {"bounds": (-0.1, 0.05)}):
        points = []
        for module in (xp, numpy_xp):
            problem = draw("logistic", 2, xp=module, **penalty)
            point = problem.point()
            for block in ([0, 3, 4], [1, 4, 5], [0, 3, 5]):
                assert update_of(problem, name).step(point, make(module, np.array(block))) is None
            points.append(point)
        np.testing.assert_allclose(to_numpy(points[0].x), points[1].x, rtol=1e-8, atol=1e-11)


def test_group_updates_lower_the_objective():
    groups = [np.array([0, 3]), np.array([1, 2, 6]), np.array([4, 5, 7])]
    for kind in ("least squares", "logistic", "quadratic"):
        for name in ("gradient", "exact", "prox_newton"):
            problem = draw(kind, 4, n=20, groups=groups, group_weights=[1.0, 2.0, 0.5], l1=0.4)
            update = update_of(problem, name, "groups")
            partition = make_partition(problem, "groups", "auto")
            point = problem.point()
            for block in partition.blocks * 3:
                before = point.objective
                assert update.step(point, block) is None
                assert point.objective <= before + 64 * EPS * abs(before)
            if name == "exact":
                block = partition.blocks[-1]
                g = problem.penalty.min_subgradient(point.x[block], point.gradient[block], block)
                assert np.abs(g).max() <= 1e-7 * np.abs(point.gradient).max()


def test_flat_places_of_a_loss_fall_back_to_the_bound():
    """The Hessian of saturated probabilities is rounding; the model with it has no minimiser."""
    problem = draw("multinomial", 111, n=5, p=9, nonneg=True)
    update = update_of(problem, "exact")
    rng = np.random.default_rng(111)
    point = problem.point(problem.penalty.project(rng.standard_normal(problem.n_variables)))
    for _ in range(6):
        before = point.objective
        assert update.step(point, np.sort(rng.choice(problem.n_variables, 4, replace=False))) is None
        assert point.objective <= before


# ---- single updates --------------------------------------------------------------------------------------------------


def test_matrix_step_on_duplicates_has_least_norm():
    rng = np.random.default_rng(0)
    a = rng.standard_normal(10)
    problem = LeastSquares(np.column_stack([a, a]), rng.standard_normal(10))
    point = problem.point()
    update_of(problem, "matrix").step(point, np.arange(2))
    assert point.x[0] == pytest.approx(point.x[1], rel=1e-12)
    assert np.abs(point.gradient).max() <= 1e-12 * np.abs(problem.point().gradient).max()


def test_ridge_adds_to_the_diagonal_alone():
    problem = draw("logistic", 0, l2=2.0)
    block = np.arange(4)
    A = problem.design.A[:, block]
    np.testing.assert_allclose(problem.block_bound(block), A.T @ A / 4 + 2 * np.eye(4))


def test_message_passing_is_the_dense_solve():
    rng = np.random.default_rng(1)
    parents = [0, 0, 1, 1, 3, 5, 5]
    Q = np.diag(np.full(8, 10.0))
    for child, parent in enumerate(parents, start=1):
        if child == 5:
            continue  # two trees
        Q[child, parent] = Q[parent, child] = rng.standard_normal()
    problem = Quadratic(sp.csr_array(Q), rng.standard_normal(8))
    point, dense = problem.point(), problem.point()
    block = np.array([0, 1, 2, 3, 5, 6, 7])
    update_of(problem, "message_passing").step(point, block)
    update_of(problem, "matrix").step(dense, block)
    np.testing.assert_allclose(point.x, dense.x, rtol=1e-12, atol=1e-14)


def test_message_passing_refuses_a_cycle():
    problem = Quadratic(sp.csr_array(np.full((3, 3), 0.1) + np.eye(3)), np.ones(3))
    with pytest.raises(ValueError, match="cycle"):
        update_of(problem, "message_passing").step(problem.point(), np.arange(3))


@pytest.mark.parametrize("name", ["matrix", "message_passing", "exact", "gradient", "diag", "cubic", "tmp"])
def test_indefinite_block_is_named(name):
    Q = sp.csr_array(np.diag([1.0, -2.0, 3.0]))
    problem = Quadratic(Q, np.ones(3))
    update = update_of(problem, name)
    block = np.array([1]) if name == "gradient" else np.array([0, 1])
    point = problem.point()
    assert update.step(point, block) is Status.INDEFINITE
    assert "block [" in update.detail
    assert not point.x.any()
    assert not update.moved


def test_indefinite_beyond_the_diagonal():
    problem = Quadratic(np.array([[1.0, 2.0], [2.0, 1.0]]), np.ones(2), l1=0.1)
    assert update_of(problem, "prox_newton").step(problem.point(), np.arange(2)) is Status.INDEFINITE


def test_unbounded_model_ends_the_solve():
    problem = Quadratic(np.ones((2, 2)), np.array([1.0, 2.0]), bounds=(np.array([-np.inf, 0.0]), None))
    update = update_of(problem, "prox_newton")
    assert update.step(problem.point(np.array([0.5, 0.5])), np.arange(2)) is Status.UNBOUNDED


@pytest.mark.parametrize("shrink", [0.8, 1.0])
def test_estimates_satisfy_the_bound_and_fall_only_when_shrunk(shrink):
    problem = draw("logistic", 3, n=40, p=10)
    update = update_of(problem, "gradient", lipschitz="estimate", shrink=shrink)
    np.testing.assert_allclose(update.current(), 1e-3 * problem.lipschitz)
    point = problem.point()
    block = np.arange(10)
    history = []
    for _ in range(30):
        x, f, g = point.x.copy(), point.value, point.gradient.copy()
        update.step(point, block)
        d = point.x - x
        L = float(update.current()[0]) / shrink
        assert point.value <= f + g @ d + L / 2 * d @ d + 64 * EPS * f
        history.append(L)
    assert np.ptp(update.current()) <= 4 * EPS * L
    falls = np.diff(history) < -1e-12 * L
    assert falls.any() == (shrink < 1)


def test_secant_guess_is_the_curvature_of_a_quadratic():
    problem = Smooth(lambda x: 3.5 * float(x @ x) - x.sum(), lambda x, b: 7 * x[b] - 1, n_variables=4)
    np.testing.assert_allclose(secant_constants(problem.point()), 7.0, rtol=1e-4)


def test_given_constants_bound_a_block_by_their_sum():
    problem = draw("least squares", 0, p=4)
    update = update_of(problem, "gradient", lipschitz=np.array([1.0, 2.0, 3.0, 1e9]))
    point = problem.point()
    g = point.gradient.copy()
    update.step(point, np.array([0, 1, 2]))
    # Too small for this problem: the step is shortened until F falls.
    assert problem.evaluate(point.x).fun < problem.evaluate(np.zeros(4)).fun
    assert point.x[3] == 0
    ratio = point.x[:3] / -g[:3]
    np.testing.assert_allclose(ratio, ratio[0])


@pytest.mark.parametrize("omega", [0.5, 1.0, 1.7])
def test_relaxation_scales_the_step(omega):
    problem = draw("quadratic", 0)
    plain, relaxed = problem.point(), problem.point()
    block = np.array([0, 3, 4])
    update_of(problem, "matrix").step(plain, block)
    update_of(problem, "matrix", omega=omega).step(relaxed, block)
    np.testing.assert_allclose(relaxed.x, omega * plain.x, rtol=1e-12)


def test_two_metric_step_keeps_to_the_bounds_exactly():
    rng = np.random.default_rng(0)
    lower, upper = -rng.random(30), rng.random(30)
    A = rng.standard_normal((50, 30))
    for name in SEPARABLE:
        problem = LeastSquares(A, 5 * rng.standard_normal(50), bounds=(lower, upper))
        point = problem.point(0.5 * (lower + upper))
        update = update_of(problem, name)
        for _ in range(30):
            update.step(point, np.arange(30))
        assert np.all((point.x >= lower) & (point.x <= upper))
        assert ((point.x == lower) | (point.x == upper)).sum() > 5


def test_scaling_of_the_unknowns_does_not_change_second_order_steps():
    """A threshold in absolute units would."""
    rng = np.random.default_rng(2)
    A, y = rng.standard_normal((30, 10)), rng.standard_normal(30)
    for name in ("prox_newton", "tmp", "exact"):
        answers = []
        for scale in (1.0, 1e-9, 1e9):
            problem = LeastSquares(A / scale, y, nonneg=True)
            point = problem.point()
            update = update_of(problem, name)
            for _ in range(6):
                update.step(point, np.arange(10))
            answers.append(point.x / scale)
        for other in answers[1:]:
            np.testing.assert_allclose(other, answers[0], rtol=1e-7, atol=1e-12)


def test_nan_of_a_users_function_ends_the_step():
    problem = Smooth(lambda x: math.nan if x.any() else 0.0, lambda x, b: np.ones(b.size), lipschitz=1.0, n_variables=2)
    update = update_of(problem, "gradient")
    point = problem.point()
    assert update.step(point, np.arange(2)) is Status.NONFINITE
    assert not point.x.any()


def test_wrong_gradient_leaves_the_point_and_is_remembered():
    problem = Smooth(lambda x: float(x @ x), lambda x, b: -2 * x[b] - 1, lipschitz=2.0, n_variables=2)
    update = update_of(problem, "gradient")
    point = problem.point(np.array([1.0, 1.0]))
    assert update.step(point, np.arange(2)) is None
    assert not update.moved
    assert update.failed < -1


# ---- what goes together ----------------------------------------------------------------------------------------------


def test_unknown_update_lists_the_valid_ones():
    with pytest.raises(ValueError, match=r"`update` must be one of 'gradient', .*'auto'"):
        update_of(draw("least squares"), "steepest")


@pytest.mark.parametrize("name", [name for name in UPDATES if name not in (*SEPARABLE, "auto")])
def test_smooth_updates_refuse_penalties(name):
    with pytest.raises(ValueError, match="l1 norm or bounds"):
        update_of(draw("sparse quadratic", l1=1.0), name)


def test_other_refusals():
    least_squares = draw("least squares")
    plain = Smooth(lambda x: 0.0, lambda x, b: np.zeros(b.size), lipschitz=1.0, n_variables=3)
    with pytest.raises(ValueError, match="no graph"):
        update_of(least_squares, "message_passing")
    with pytest.raises(ValueError, match="hess_block"):
        update_of(plain, "newton")
    with pytest.raises(ValueError, match="third derivatives"):
        update_of(plain, "cubic")
    with pytest.raises(ValueError, match=r"'estimate'.*'gradient'"):
        update_of(least_squares, "matrix", lipschitz="estimate")
    with pytest.raises(ValueError, match="'gradient' or 'diag'"):
        update_of(least_squares, "matrix", lipschitz=np.ones(8))
    with pytest.raises(TypeError, match="`lipschitz`"):
        update_of(least_squares, "gradient", lipschitz=3.0)
    with pytest.raises(ValueError, match="non-negative"):
        update_of(least_squares, "gradient", lipschitz=-np.ones(8))
    with pytest.raises(ValueError, match="`omega` relaxes"):
        update_of(draw("logistic"), "newton", omega=1.5)
    with pytest.raises(ValueError, match="omega"):
        update_of(least_squares, "matrix", omega=2.0)
    with pytest.raises(ValueError, match="shrink"):
        update_of(least_squares, "gradient", lipschitz="estimate", shrink=0.0)
    with pytest.raises(TypeError, match="line_search"):
        update_of(least_squares, "matrix", line_search="armijo")
    with pytest.raises(ValueError, match="sufficient_decrease"):
        update_of(least_squares, "matrix", sufficient_decrease=0.7)
    groups = [np.arange(4), np.arange(4, 8)]
    with pytest.raises(ValueError, match="group norms"):
        update_of(draw("least squares", groups=groups, l1=1.0), "tmp", "groups")


def test_automatic_updates():
    W = sp.csr_array(np.diag(np.ones(4), 1) + np.diag(np.ones(4), -1))
    labels = np.array([0.0, np.nan, np.nan, np.nan, 1.0])
    assert update_of(LabelPropagation(W, labels), "auto", "tree_partition").name == "message_passing"
    assert update_of(draw("least squares"), "auto").name == "matrix"
    assert update_of(draw("logistic"), "auto").name == "newton"
    assert update_of(draw("logistic", l1=1.0), "auto").name == "prox_newton"
    plain = Smooth(lambda x: 0.0, lambda x, b: np.zeros(b.size), lipschitz=1.0, n_variables=3)
    assert update_of(plain, "auto").name == "gradient"


def test_line_search_on_request_and_refused():
    problem = Logistic(np.array([[1.0], [1.0]]), np.array([1.0, -1.0]))
    assert update_of(problem, "newton", line_search=False)._searches is False
    assert update_of(problem, "matrix", line_search=True)._searches is True
