"""`solve_points`: the same as `solve` on the matrix of the costs, without the matrix."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from numopt.ot import LazyPlan, solve, solve_points
from tests.ot.problems import random_weights

METRICS = ("sqeuclidean", "euclidean", "cityblock")


def clouds(n=40, m=30, d=2, *, seed=60):
    rng = np.random.default_rng(seed)
    X, Y = rng.random((n, d)), rng.random((m, d)) + 0.2
    return X, Y, random_weights(rng, n), random_weights(rng, m)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("reg", [0.1, 5e-3, 5e-4])
@pytest.mark.parametrize("d", [1, 2, 3, 20])
def test_points_are_their_cost_matrix(d, reg, metric):
    X, Y, a, b = clouds(d=d)
    C = cdist(X, Y, metric)
    expected = solve(a, b, C, reg, tol=1e-11)
    res = solve_points(X, Y, reg, a, b, metric=metric, tol=1e-11)
    assert res.success, res.message
    assert isinstance(res.plan, LazyPlan)
    np.testing.assert_allclose(res.plan.toarray(), expected.plan, rtol=0, atol=1e-9)
    for name in ("value", "reg_value", "dual_value"):
        assert res[name] == pytest.approx(expected[name], abs=1e-9), name
    np.testing.assert_allclose(res.f, expected.f, atol=1e-6 * (1 + reg))
    np.testing.assert_allclose(res.g, expected.g, atol=1e-6 * (1 + reg))
    assert res.lower_bound <= res.upper_bound
    assert res.lower_bound <= expected.upper_bound + 1e-9
    assert expected.lower_bound <= res.upper_bound + 1e-9


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 50), (50, 1), (3, 400), (65, 33)])
def test_every_shape(n, m):
    X, Y, a, b = clouds(n, m)
    res = solve_points(X, Y, 0.01, a, b, plan="dense")
    assert res.success
    assert np.abs(res.plan.sum(axis=1) - a).sum() + np.abs(res.plan.sum(axis=0) - b).sum() <= 1.001e-9


def test_weights_are_uniform_by_default():
    X, Y, _, _ = clouds()
    res = solve_points(X, Y, 0.01)
    np.testing.assert_allclose(res.plan.sum(axis=1), 1 / 40, atol=2e-9)
    np.testing.assert_allclose(res.plan.sum(axis=0), 1 / 30, atol=2e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_translating_both_clouds_changes_nothing(metric):
    X, Y, a, b = clouds()
    expected = solve_points(X, Y, 0.01, a, b, metric=metric, plan="dense", tol=1e-11)
    res = solve_points(X + 1e5, Y + 1e5, 0.01, a, b, metric=metric, plan="dense", tol=1e-11)
    # Coordinates of 1e5 hold eps * 1e5 of noise each, 1e-9 of the costs over reg.
    np.testing.assert_allclose(res.plan, expected.plan, atol=1e-8)


@pytest.mark.parametrize("plan", ["dense", "sparse", "lazy", None])
def test_every_form_of_the_plan(plan):
    X, Y, a, b = clouds()
    res = solve_points(X, Y, 0.01, a, b, plan=plan, tol=1e-10)
    expected = solve(a, b, cdist(X, Y, "sqeuclidean"), 0.01, tol=1e-10).plan
    assert res.success
    if plan is None:
        assert res.plan is None
    else:
        array = res.plan if plan == "dense" else res.plan.toarray()
        np.testing.assert_allclose(array, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("linsolver", ["auto", "cg", "exact-pcg", "direct", "tree"])
def test_every_linear_solver(linsolver):
    X, Y, a, b = clouds()
    res = solve_points(X, Y, 2e-3, a, b, linsolver=linsolver)
    assert res.success, res.message
    assert res.nit_newton > 0


@pytest.mark.parametrize("max_nnz", [1, 40, 400])
def test_bound_on_the_stored_entries(max_nnz):
    X, Y, a, b = clouds()
    res = solve_points(X, Y, 2e-3, a, b, max_nnz=max_nnz, tol=1e-10)
    assert res.success, res.message
    expected = solve(a, b, cdist(X, Y, "sqeuclidean"), 2e-3, tol=1e-10)
    np.testing.assert_allclose(res.plan.toarray(), expected.plan, rtol=0, atol=1e-8)


def test_atoms_without_mass():
    X, Y, a, b = clouds()
    a[3] = b[:5] = 0.0
    a, b = a / a.sum(), b / b.sum()
    res = solve_points(X, Y, 0.01, a, b)
    assert res.success
    P = res.plan.toarray()
    assert np.all(P[3] == 0)
    assert np.all(P[:, :5] == 0)
    assert np.all(res.plan @ np.ones(30) == pytest.approx(a, abs=2e-9))
    assert np.all(np.isfinite(res.f))
    assert np.all(np.isfinite(res.g))


def test_two_far_clusters_without_the_matrix():
    # Needs the masses between components of the kept graph, worked out from the points.
    from numopt.problems import TransportProblem

    problem = TransportProblem.clusters(100, reg=1e-3)
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(100, 2)), rng.normal(size=(100, 2))
    X[50:, 0] += 10.0
    Y[50:, 0] += 10.0
    scale = cdist(X, Y, "sqeuclidean").max()
    np.testing.assert_allclose(cdist(X, Y, "sqeuclidean") / scale, problem.C, atol=1e-12)
    res = solve_points(X, Y, 1e-3 * scale, problem.a, problem.b, plan="dense", tol=1e-11)
    assert res.success, res.message
    assert res.plan[:50, 50:].sum() - res.plan[50:, :50].sum() == pytest.approx(1e-6, rel=1e-3)


@pytest.mark.parametrize("metric", METRICS)
def test_a_small_regularisation_on_a_grid_of_ties(metric):
    grid = np.indices((8, 8)).reshape(2, -1).T.astype(float)
    rng = np.random.default_rng(0)
    a, b = random_weights(rng, 64), random_weights(rng, 64)
    res = solve_points(grid, grid, 1e-3, a, b, metric=metric)
    assert res.success, res.message


def test_warm_start():
    X, Y, a, b = clouds()
    cold = solve_points(X, Y, 2e-3, a, b)
    again = solve_points(X, Y, 2e-3, a, b, init=cold)
    assert again.success
    assert again.nit < cold.nit


@pytest.mark.parametrize("reg_m", [0.5, (np.inf, 1.0)])
def test_unbalanced(reg_m):
    X, Y, a, b = clouds()
    expected = solve(a, 1.4 * b, cdist(X, Y, "sqeuclidean"), 0.02, reg_m=reg_m, tol=1e-11)
    res = solve_points(X, Y, 0.02, a, 1.4 * b, reg_m=reg_m, tol=1e-11, plan="dense")
    assert res.success
    np.testing.assert_allclose(res.plan, expected.plan, rtol=0, atol=1e-9)


def test_float32_points():
    X, Y, a, b = (v.astype(np.float32) for v in clouds())
    res = solve_points(X, Y, 0.02, a, b)
    assert res.success, res.message
    assert res.f.dtype == np.float32
    refined = solve_points(X, Y, 0.02, a, b, refine=True, tol=1e-10)
    assert refined.success
    assert refined.f.dtype == np.float64


def test_points_are_not_modified():
    X, Y, a, b = clouds()
    copies = [v.copy() for v in (X, Y, a, b)]
    solve_points(X, Y, 0.02, a, b)
    for value, copy in zip((X, Y, a, b), copies, strict=True):
        np.testing.assert_array_equal(value, copy)
