"""The loop of block coordinate descent: every combination of choices, every way to end, what it records."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from numopt import Status
from numopt.coordinate import LabelPropagation, LeastSquares, Logistic, Multinomial, Quadratic, Smooth, bcd
from numopt.coordinate import _loop as loop
from tests.coordinate.draws import KINDS, PENALTIES, draw
from tests.helpers.xp import make, to_numpy

EPS = np.finfo(float).eps
SMOOTH = ("gradient", "diag", "matrix", "newton", "exact", "prox_newton", "tmp")
SEPARABLE = ("gradient", "diag", "exact", "prox_newton", "tmp")
FIXED_RULES = ("random", "perm", "cyclic", "lipschitz", "gs", "gsl", "gsd", "gsq", "gsc", "mi", "gs-q", "gs-r", "gsl-r")
VARIABLE_RULES = ("random", "perm", "cyclic", "lipschitz", "gs", "gsl", "gsd", "gsq_iht", "gsc", "gs-q", "gs-r")


def never_rises(fun: Any) -> bool:
    fun = np.asarray(fun)
    return bool(np.all(np.diff(fun) <= 64 * EPS * (np.abs(fun[1:]) + np.abs(fun[0]))))


def violation(problem: Any, x: Any) -> float:
    """Return the minimal subgradient from dense formulas in NumPy alone."""
    x = to_numpy(x).reshape(-1)
    g = to_numpy(problem.evaluate(problem.xp.reshape(problem.xp.asarray(x), (-1,))).grad)
    return float(np.abs(to_numpy(problem.penalty.min_subgradient(x, g))).max())


def lattice(size: int, seed: int = 1) -> LabelPropagation:
    ones = np.ones(size - 1)
    path = sp.diags_array([ones, ones], offsets=[-1, 1])
    W = sp.csr_array(sp.kron(path, sp.eye_array(size)) + sp.kron(sp.eye_array(size), path))
    rng = np.random.default_rng(seed)
    labels = np.full(size * size, np.nan)
    labels[rng.choice(size * size, size, replace=False)] = rng.standard_normal(size)
    return LabelPropagation(W, labels)


# ---- combinations ----------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    penalty=st.sampled_from(sorted(PENALTIES)),
    partition=st.sampled_from(["order", "random", "sort", "average", "hsort", "haverage", "variable"]),
    choice=st.integers(0, 100),
    name=st.sampled_from(SMOOTH),
    seed=st.integers(0, 10**6),
    shape=st.sampled_from([(12, 6), (4, 9)]),
    l2=st.sampled_from([0.0, 0.3]),
    duplicate=st.booleans(),
    zero=st.booleans(),
    size=st.integers(1, 6),
)
# The last update moves nothing, and the sweep over all blocks that follows must not start.
@example(
    kind="quadratic", penalty="box", partition="average", choice=42, name="matrix", seed=5, shape=(12, 6), l2=0.0,
    duplicate=False, zero=False, size=4,
)  # fmt: skip
def test_objective_never_rises(kind, penalty, partition, choice, name, seed, shape, l2, duplicate, zero, size):
    if penalty != "none" and name not in SEPARABLE:
        name = SEPARABLE[choice % len(SEPARABLE)]
    rules = VARIABLE_RULES if partition == "variable" else FIXED_RULES
    rule = rules[choice % len(rules)]
    problem = draw(kind, seed, n=shape[0], p=shape[1], l2=l2, duplicate=duplicate, zero=zero, **PENALTIES[penalty])
    if rule in ("gsc", "mi") and kind == "smooth":
        rule = "gs"
    res = bcd(
        problem, np.zeros(problem.shape), partition=partition, block_size=size, selection=rule, update=name,
        maxiter=25, history=True, rng=seed, tol=1e-9,
    )  # fmt: skip
    assert res.status in (
        Status.CONVERGED, Status.MAXITER, Status.PRECISION, Status.NOT_ATTAINED, Status.UNBOUNDED,
    )  # fmt: skip
    # A quadratic with a random linear term and a singular matrix has no minimum.
    assert res.status is not Status.UNBOUNDED or kind in ("quadratic", "sparse quadratic")
    assert never_rises(res.history["fun"])
    assert res.nit <= 25


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("penalty", sorted(PENALTIES))
@pytest.mark.parametrize("partition", ["sort", "variable"])
def test_second_order_updates_solve(kind, penalty, partition):
    for seed, name in enumerate(SEPARABLE if penalty != "none" else SMOOTH):
        problem = draw(kind, seed, n=25, p=7, l2=0.2, **PENALTIES[penalty])
        res = bcd(problem, partition=partition, block_size=3, update=name, tol=1e-8, max_passes=1e5)
        assert res.success, (name, res.message)
        assert violation(problem, res.x) <= 1e-3 * max(problem.evaluate(problem.origin()).kkt, 1)


@pytest.mark.parametrize("rule", FIXED_RULES)
def test_fixed_rules_solve(rule):
    problem = draw("least squares", 3, n=30, p=9, l2=0.5)
    res = bcd(
        problem, partition="order", block_size=4, selection=rule, update="matrix", tol=1e-9, rng=0, max_passes=1e4
    )
    A, y = problem.design.A, problem.y
    np.testing.assert_allclose(res.x, np.linalg.solve(A.T @ A + 0.5 * np.eye(9), A.T @ y), rtol=1e-3, atol=1e-4)
    assert res.success


@pytest.mark.parametrize("rule", VARIABLE_RULES)
def test_variable_rules_solve(rule):
    problem = draw("least squares", 3, n=30, p=9, l2=0.5)
    res = bcd(
        problem, partition="variable", block_size=4, selection=rule, update="matrix", tol=1e-9, rng=0, max_passes=1e4
    )
    A, y = problem.design.A, problem.y
    np.testing.assert_allclose(res.x, np.linalg.solve(A.T @ A + 0.5 * np.eye(9), A.T @ y), rtol=1e-3, atol=1e-4)
    assert res.success


@pytest.mark.parametrize(
    ("partition", "selection"),
    [
        ("tree_partition", "cyclic"),
        ("tree_partition", "gs"),
        ("redblack", "cyclic"),
        ("redblack", "perm"),
        ("variable", "tree"),
        ("variable", "tree-random"),
        ("auto", "auto"),
    ],
)
def test_blocks_of_a_graph_solve(partition, selection):
    problem = lattice(9)
    res = bcd(
        problem, partition=partition, selection=selection, update="message_passing", tol=1e-10, rng=0, history=True
    )
    assert res.success
    exact = np.linalg.solve(problem.graph.toarray(), problem.c)
    np.testing.assert_allclose(res.x, exact, atol=1e-6)
    assert never_rises(res.history["fun"])


def test_forests_are_faster_than_colours():
    problem = lattice(16)
    counts = [
        bcd(problem, partition=partition, selection=selection, update="message_passing", tol=1e-6).nit
        for partition, selection in (("variable", "tree"), ("tree_partition", "cyclic"), ("redblack", "cyclic"))
    ]
    assert counts[0] < counts[1] < counts[2]


def test_relaxation_speeds_up_colours():
    problem = lattice(16)
    counts = [
        bcd(problem, partition="redblack", selection="cyclic", update="message_passing", tol=1e-8, options=options).nit
        for options in ({}, {"omega": 1.7})
    ]
    assert counts[1] < 0.5 * counts[0]


def test_greedy_forests_are_solved_by_messages():
    runs = [
        bcd(lattice(12), partition="variable", selection="tree", update=update, maxiter=20)
        for update in ("auto", "message_passing")
    ]
    np.testing.assert_array_equal(runs[0].x, runs[1].x)


@pytest.mark.parametrize("kind", ["least squares", "logistic", "quadratic"])
@pytest.mark.parametrize("name", ["gradient", "exact", "prox_newton"])
def test_groups_solve(kind, name):
    groups = [[0, 3], [1, 2, 6], [4, 5, 7]]
    problem = draw(kind, 2, n=30, groups=groups, l1=1.0, l2=0.1)
    res = bcd(problem, update=name, partition="groups", tol=1e-9, max_passes=1e5)
    assert res.success
    for group in groups:
        v, g = res.x[group], res.grad[group]
        if v.any():
            np.testing.assert_allclose(g, -v / np.linalg.norm(v), atol=1e-3)
        else:
            assert np.linalg.norm(g) <= 1 + 1e-6


def test_heavy_weights_of_groups_at_zero_do_not_overflow():
    problem = draw("least squares", 2, n=30, groups=[[0, 3], [1, 2, 6], [4, 5, 7]], l1=1e3)
    res = bcd(problem)
    assert res.success
    assert not res.x.any()


@pytest.mark.parametrize(
    ("rule", "name", "penalty"),
    [
        ("gsd", "matrix", {}),
        ("gs-q", "prox_newton", {"l1": 1.0}),
        ("gs-q", "gradient", {"nonneg": True}),
        ("perm", "gradient", {}),
    ],
)
@pytest.mark.parametrize("kind", ["least squares", "logistic"])
def test_every_library_walks_the_same_path(xp, rule, name, penalty, kind):
    ours = draw(kind, 4, n=30, p=10, l2=0.1, xp=xp, **penalty)
    theirs = draw(kind, 4, n=30, p=10, l2=0.1, **penalty)
    options = {"partition": "variable", "block_size": 4, "selection": rule, "update": name, "tol": 1e-8, "rng": 0}
    res, want = bcd(ours, **options), bcd(theirs, **options)
    assert res.nit == want.nit
    np.testing.assert_allclose(to_numpy(res.x), want.x, rtol=1e-8, atol=1e-10)
    assert res.x.dtype == ours.dtype


def test_same_seed_gives_the_same_bits():
    problem = draw("logistic", 1, n=40, p=15, l1=0.5)
    runs = [bcd(problem, partition="random", block_size=4, selection="random", rng=7, maxiter=60) for _ in range(2)]
    assert runs[0].x.tobytes() == runs[1].x.tobytes()
    assert runs[0].fun == runs[1].fun
    other = bcd(problem, partition="random", block_size=4, selection="random", rng=8, maxiter=60)
    assert other.x.tobytes() != runs[0].x.tobytes()


def test_all_unknowns_exactly_solve_least_squares_in_one_step():
    problem = draw("least squares", 0, n=30, p=8)
    res = bcd(problem, partition="order", block_size=8, selection="cyclic", update="exact", tol=1e-9)
    assert res.success
    assert res.nit == 1


# ---- the support -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["prox_newton", "tmp"])
@pytest.mark.parametrize("kind", ["least squares", "logistic"])
def test_support_is_identified_and_the_end_is_superlinear(name, kind):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((80, 60))
    w = np.zeros(60)
    w[:5] = 3.0
    y = A @ w + 0.1 * rng.standard_normal(80)
    if kind == "least squares":
        A += rng.standard_normal((80, 1))  # correlated, so that the support is not seen at once
        problem = LeastSquares(A, A @ w + rng.standard_normal(80), l1=20.0)
    else:
        labels = np.where(y > 0, 1.0, -1.0)
        labels[:8] *= -1
        problem = Logistic(A, labels, l1=6.0)
    res = bcd(problem, partition="variable", block_size=30, selection="gs-q", update=name, tol=1e-14, history=True)
    kkt = res.history["kkt"]
    assert kkt[-1] <= 1e-10 * kkt[0]
    assert res.active_set_iter <= res.nit
    # Ratios of successive violations fall to zero: the last is far below any linear rate.
    assert min(kkt[-1] / kkt[-2], kkt[-2] / kkt[-3]) < 1e-3
    assert 0 < res.n_active < 30


def test_solutions_without_strict_complementarity_are_found():
    """An l1 at which a coefficient is about to enter: its gradient is exactly l1."""
    A = np.eye(4)
    y = np.array([3.0, 2.0, 1.0, -1.0])
    res = bcd(LeastSquares(A, y, l1=1.0), partition="variable", block_size=2, update="prox_newton", tol=1e-12)
    np.testing.assert_allclose(res.x, [2.0, 1.0, 0.0, 0.0], atol=1e-12)
    assert res.success


def test_large_l1_gives_zero_at_once():
    problem = draw("least squares", 0, n=20, p=8, l1=0.0)
    l1_max = float(np.abs(problem.evaluate(np.zeros(8)).grad).max())
    zero = bcd(LeastSquares(problem.design.A, problem.y, l1=l1_max), partition="variable", selection="gs-q")
    assert zero.success
    assert zero.nit == 0
    assert not zero.x.any()
    one = bcd(
        LeastSquares(problem.design.A, problem.y, l1=0.99 * l1_max), partition="variable", selection="gs-q", tol=1e-10
    )
    assert one.n_active == 1


def test_warm_start_at_the_solution_returns_at_once():
    problem = draw("logistic", 0, n=30, l1=0.5)
    res = bcd(problem, partition="sort", block_size=3, tol=1e-9)
    again = bcd(problem, res, partition="sort", block_size=3, tol=1e-8)
    assert again.success
    assert again.nit <= 1


# ---- unknowns without curvature --------------------------------------------------------------------------------------


def test_zero_columns_are_left_alone():
    problem = draw("least squares", 0, n=20, p=8, zero=True)
    x0 = np.full(8, 0.5)
    res = bcd(problem, x0, partition="sort", block_size=3, selection="cyclic", tol=1e-9)
    assert res.success
    assert res.x[1] == 0.5
    assert "does not depend on 1 of the unknowns (1)" in res.message


@pytest.mark.parametrize(
    ("penalty", "want"), [({"l1": 0.1}, 0.0), ({"bounds": (0.2, 1.0), "l1": 0.1}, 0.2), ({"nonneg": True}, 0.5)]
)
def test_zero_columns_go_to_the_minimiser_of_the_penalty(penalty, want):
    problem = draw("logistic", 0, n=20, p=8, zero=True, **penalty)
    res = bcd(problem, np.full(8, 0.5), partition="variable", block_size=3, selection="gs-q", tol=1e-8)
    assert res.x[1] == want
    assert "does not depend" not in res.message


def test_linear_unknowns_go_to_their_bound_or_to_infinity():
    Q, c = np.diag([1.0, 0.0]), np.array([1.0, 2.0])
    res = bcd(Quadratic(Q, c, bounds=(None, 3.0)), partition="order", block_size=1, selection="cyclic", tol=1e-9)
    np.testing.assert_allclose(res.x, [1.0, 3.0])
    res = bcd(Quadratic(Q, c), partition="order", block_size=1, selection="cyclic")
    assert res.status is Status.UNBOUNDED
    assert "linear in unknown 1" in res.message
    kept = bcd(Quadratic(Q, c, l1=2.5), partition="order", block_size=1, selection="cyclic", tol=1e-9)
    assert kept.success
    assert kept.x[1] == 0


def test_nothing_to_do():
    res = bcd(LeastSquares(np.zeros((3, 2)), np.ones(3)), partition="variable", selection="gs", block_size=1)
    assert res.success
    assert res.nit == 0


# ---- ends ------------------------------------------------------------------------------------------------------------


def slow(**options: Any) -> Any:
    problem = draw("logistic", 0, n=40, p=20, l2=1e-3)
    return bcd(problem, partition="order", block_size=2, selection="cyclic", update="gradient", tol=1e-12, **options)


def test_maxiter_counts_block_updates():
    res = slow(maxiter=17)
    assert res.status is Status.MAXITER
    assert res.nit == 17
    assert not res.success
    assert "raise maxiter" in res.message


def test_max_passes():
    res = slow(max_passes=3)
    assert res.status is Status.MAXITER
    assert 3 <= res.npass < 5.5
    assert "max_passes" in res.message


def test_time_limit():
    res = slow(time_limit=0)
    assert res.status is Status.TIME_LIMIT
    assert res.nit == 0


def test_callback_stops_and_sees_every_iteration():
    seen = []

    def callback(intermediate_result: Any) -> None:
        seen.append(intermediate_result)
        if len(seen) == 6:
            raise StopIteration

    res = slow(callback=callback)
    assert res.status is Status.CALLBACK
    assert [r.nit for r in seen] == list(range(6))
    np.testing.assert_array_equal(seen[-1].x, res.x)


def test_history_has_a_row_for_every_block_update():
    res = slow(maxiter=30, history=True)
    h = res.history
    assert list(h["nit"]) == list(range(31))
    assert {"nit", "npass", "fun", "kkt", "gap", "block", "time"} <= set(h)
    assert list(h["block"][1:11]) == list(range(10))
    assert h["block"][0] == -1
    assert np.all(np.diff(h["time"]) >= 0)
    assert np.all(np.diff(h["npass"]) > 0)
    assert h["fun"][-1] == pytest.approx(res.fun, rel=1e-12)
    # The measures are known where they are judged, about once a pass for rules that need no gradient.
    assert 2 <= np.isfinite(h["kkt"]).sum() <= 5


def test_greedy_history_knows_the_measure_everywhere():
    problem = draw("least squares", 0, n=30, p=12, l1=0.5)
    res = bcd(
        problem, partition="variable", block_size=3, selection="gs-q", update="prox_newton", history=True, tol=1e-9
    )
    h = res.history
    assert np.isfinite(h["kkt"]).all()
    assert np.isfinite(h["gap"]).all()
    assert np.all(h["block"] == -1)
    # The gap bounds the distance to the optimum.
    best = bcd(problem, tol=1e-14).fun
    assert np.all(h["gap"] >= h["fun"] - best - 1e-10 * abs(best))


def test_separable_classes_have_no_minimum():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((20, 5))
    y = np.where(A[:, 0] > 0, 1.0, -1.0)
    for problem in (Logistic(A, y), Multinomial(A, (y > 0).astype(int))):
        res = bcd(
            problem, partition="variable", block_size=3, selection="gsd", update="newton", tol=1e-5, max_passes=1e4
        )
        assert res.status is Status.NOT_ATTAINED
        assert not res.success
        assert res.fun <= 1e-4 * problem.evaluate(problem.origin()).fun


@pytest.mark.parametrize("name", ["matrix", "exact", "newton"])
def test_quadratic_without_a_minimum(name):
    v = np.array([1.0, 2.0, -1.0])
    problem = Quadratic(np.outer(v, v), np.array([1.0, 0.0, 0.0]))
    for rule in ("cyclic", "gsd"):
        partition = "variable" if rule == "gsd" else "order"
        res = bcd(problem, partition=partition, block_size=3, selection=rule, update=name)
        assert res.status is Status.UNBOUNDED
        assert np.isfinite(res.x).all()


def test_quadratic_with_many_minima():
    v = np.array([1.0, 2.0, -1.0])
    res = bcd(
        Quadratic(np.outer(v, v), 3 * v),
        partition="order",
        block_size=3,
        selection="cyclic",
        update="matrix",
        tol=1e-10,
    )
    assert res.success
    np.testing.assert_allclose(res.x, 3 * v / 6, rtol=1e-8)


def test_indefinite_matrix_names_the_block():
    Q = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 2.0], [0.0, 2.0, 1.0]])
    for update in ("matrix", "exact", "cubic"):
        res = bcd(Quadratic(Q, np.ones(3)), partition=[[0], [1, 2]], selection="cyclic", update=update)
        assert res.status is Status.INDEFINITE
        assert "block [1, 2]" in res.message
    res = bcd(Quadratic(np.diag([1.0, -1.0]), np.ones(2)), partition="order", block_size=1, selection="cyclic")
    assert res.status is Status.INDEFINITE
    assert "diagonal entry 1" in res.message


def quartic(**options: Any) -> Smooth:
    return Smooth(
        lambda x: float(np.sum(x**4) / 4 - x.sum()), lambda x, b: x[b] ** 3 - 1, lambda x, b: np.diag(3 * x[b] ** 2),
        n_variables=3, **options,
    )  # fmt: skip


def test_nan_of_a_users_function():
    problem = Smooth(
        lambda x: math.nan if x[0] > 0.5 else float(np.sum((x - 1) ** 2)), lambda x, b: 2 * (x[b] - 1),
        lipschitz=2.0, n_variables=3,
    )  # fmt: skip
    res = bcd(problem, partition="order", block_size=1, selection="cyclic", update="gradient")
    # A shorter step stays where the function is finite, until none is left.
    assert np.isfinite(res.x).all()
    assert not res.success
    never = Smooth(lambda x: math.nan, lambda x, b: x[b] - 1, lipschitz=1.0, n_variables=3)
    res = bcd(never, partition="order", block_size=1, selection="cyclic", update="gradient")
    assert res.status is Status.NONFINITE
    assert not res.x.any()


def test_wrong_gradient_ends_in_the_line_search():
    problem = Smooth(
        lambda x: float(np.sum((x - 1) ** 2)), lambda x, b: 2 * (1 - x[b]), lambda x, b: 2 * np.eye(b.size),
        lipschitz=2.0, n_variables=3,
    )  # fmt: skip
    for rule, partition in (("cyclic", "order"), ("gs", "variable")):
        res = bcd(problem, partition=partition, block_size=1, selection=rule, update="newton")
        assert res.status is Status.LINESEARCH
        assert not res.success
        assert not res.x.any()


@pytest.mark.parametrize("rule", ["cyclic", "random", "gsd"])
@pytest.mark.parametrize("kind", ["least squares", "logistic"])
def test_tolerance_below_the_precision_ends_quickly(rule, kind):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((50, 10)).astype(np.float32)
    y = np.where(A @ rng.standard_normal(10).astype(np.float32) + rng.standard_normal(50) > 0, 1, -1).astype(np.float32)
    problem = (LeastSquares if kind == "least squares" else Logistic)(A, y, l2=1.0)
    partition = "variable" if rule == "gsd" else "order"
    res = bcd(problem, partition=partition, block_size=5, selection=rule, tol=1e-14, rng=0, max_passes=1e5)
    assert res.status is Status.PRECISION
    assert res.npass < 400
    assert res.x.dtype == np.float32
    best = bcd(
        (LeastSquares if kind == "least squares" else Logistic)(A.astype(float), y.astype(float), l2=1.0), tol=1e-12
    )
    assert res.fun == pytest.approx(best.fun, rel=1e-5)


def test_drift_is_repaired(monkeypatch):
    """What is tracked is computed again; here every move spoils the margins."""
    problem = draw("least squares", 0, n=30, p=8)
    point_type = type(problem.point())
    move = point_type.move

    def spoiled(self: Any, block: Any, d: Any, value: Any = None) -> None:
        move(self, block, d, value)
        self.margins = self.margins * (1 + 1e-9)

    monkeypatch.setattr(point_type, "move", spoiled)
    monkeypatch.setattr(loop, "_REFRESH", 3.0)
    res = bcd(problem, partition="order", block_size=2, selection="cyclic", update="matrix", tol=1e-8)
    assert res.success
    assert violation(problem, res.x) <= 1e-7 * problem.evaluate(np.zeros(8)).kkt


def test_success_is_decided_from_x_alone(monkeypatch):
    problem = draw("least squares", 0, n=30, p=8)
    point_type = type(problem.point())
    monkeypatch.setattr(point_type, "derivative", property(lambda self: 1e-30 * problem.y))
    res = bcd(problem, partition="order", block_size=2, selection="cyclic", update="gradient", tol=1e-8)
    assert not res.success


# ---- what comes along ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["least squares", "logistic", "multinomial"])
def test_intercept_is_fitted(kind):
    problem = draw(kind, 3, n=40, p=6, l1=0.5, intercept=True)
    res = bcd(problem, partition="sort", block_size=2, selection="gs-q", tol=1e-9, max_passes=1e4)
    assert res.success
    _, derivative, _ = problem.loss_terms(problem.margins(res.x.reshape(-1), res.intercept))
    assert np.abs(derivative.sum(axis=0)).max() <= 1e-3
    assert np.abs(np.asarray(res.intercept)).max() > 0


def test_checkpoint_goes_on(tmp_path):
    path = tmp_path / "solve.npz"
    first = slow(maxiter=40, checkpoint=path)
    assert path.exists()
    second = slow(maxiter=80, checkpoint=path)
    assert second.nit == 80
    assert second.fun < first.fun


def test_result_counts_its_work():
    res = bcd(draw("logistic", 0, n=40, l2=0.1), partition="order", block_size=2, selection="cyclic", update="newton")
    assert res.nfev >= res.nit > 0
    assert res.njev == res.nit
    assert res.nhev == res.nit
    assert res.lipschitz.shape == (8,)


# ---- constants -------------------------------------------------------------------------------------------------------


def test_estimates_end_below_the_bounds():
    problem = draw("logistic", 0, n=60, p=12, l2=0.01)
    exact, estimated, kept = (
        bcd(
            problem,
            partition="order",
            block_size=3,
            selection="gsl",
            update="gradient",
            tol=1e-6,
            max_passes=1e5,
            **options,
        )
        for options in ({}, {"lipschitz": "estimate"}, {"lipschitz": "estimate", "options": {"shrink": 1.0}})
    )
    assert exact.success
    assert estimated.success
    assert kept.success
    assert estimated.nit < exact.nit
    assert np.all(estimated.lipschitz <= 2 * problem.block_lipschitz(np.arange(12)))


def test_users_function_without_constants():
    with pytest.raises(ValueError, match="`lipschitz`"):
        bcd(quartic(), partition="order", block_size=1, selection="cyclic", update="gradient")
    estimated = bcd(quartic(), update="gradient", lipschitz="estimate", tol=1e-8)
    newton = bcd(
        quartic(), np.full(3, 2.0), partition="variable", block_size=2, selection="gs", update="newton", tol=1e-8
    )
    given_bounds = bcd(
        quartic(), partition="order", block_size=1, selection="cyclic", update="gradient", lipschitz=[4.0] * 3
    )
    for res in (estimated, newton, given_bounds):
        assert res.success
        np.testing.assert_allclose(res.x, 1.0, atol=1e-4)
        assert res.lipschitz.shape == (3,)


def test_given_constants_count_in_the_scores():
    problem = draw("least squares", 0, n=30, p=6)
    steep = np.where(np.arange(6) == 2, 1.0, 1e12)
    res = bcd(
        problem,
        partition="order",
        block_size=1,
        selection="gsl",
        update="gradient",
        lipschitz=steep,
        maxiter=1,
        history=True,
    )
    assert res.history["block"][1] == 2


# ---- refusals --------------------------------------------------------------------------------------------------------


def test_message_passing_needs_forests():
    with pytest.raises(ValueError, match="without cycles"):
        bcd(lattice(5), partition="variable", selection="gsd", update="message_passing")
    with pytest.raises(ValueError, match="cycle"):
        bcd(lattice(5), partition="order", block_size=20, selection="cyclic", update="message_passing")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"partition": "thirds"}, "`partition` must be one of"),
        ({"selection": "best"}, "`selection` must be one of"),
        ({"update": "best"}, "`update` must be one of"),
        ({"partition": "variable", "selection": "gsq"}, "needs a fixed partition"),
        ({"partition": "sort", "selection": "gsq_iht"}, "needs a variable partition"),
        ({"partition": "order", "block_size": 0}, "block_size"),
        ({"partition": "order", "block_size": 100}, "block_size"),
        ({"partition": [[0, 1], [1, 2]]}, "disjoint cover"),
        ({"partition": "redblack"}, "graph"),
    ],
)
def test_bad_choices(options, match):
    with pytest.raises(ValueError, match=match):
        bcd(draw("least squares"), **options)


def test_dense_and_sparse_designs_agree():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((40, 15)) * (rng.random((40, 15)) < 0.4)
    y = rng.standard_normal(40)
    answers = []
    for data in (A, np.asfortranarray(A), sp.csr_array(A), sp.csc_array(A)):
        problem = LeastSquares(data, y, l1=0.5)
        res = bcd(problem, partition="sort", block_size=4, selection="gs-q", update="tmp", tol=1e-12)
        answers.append(res.x)
    for other in answers[1:]:
        np.testing.assert_allclose(other, answers[0], atol=1e-10)


def test_starts_elsewhere(xp):
    problem = draw("least squares", 0, xp=xp, l2=0.3)
    res = bcd(problem, make(xp, np.ones(8)), partition="order", block_size=4, selection="perm", update="matrix", rng=0)
    assert res.success


def test_options_of_the_loop_are_not_ignored_by_auto() -> None:
    problem = draw("least squares", l1=0.3)
    with pytest.raises(ValueError, match="gsd_diag"):
        bcd(problem, options={"gsd_diag": "nothing"})
    # The general loop counts block updates; the method of 'auto' would need fewer.
    assert bcd(problem, options={"norm": "l2"}, tol=1e-8).fun == pytest.approx(bcd(problem, tol=1e-8).fun)
    assert bcd(problem, line_search=True, tol=1e-8).fun == pytest.approx(bcd(problem, tol=1e-8).fun)
