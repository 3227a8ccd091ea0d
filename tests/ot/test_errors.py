"""Wrong input is refused before any work, by name; limits end a solve without success, never with NaN."""

import math

import numpy as np
import pytest

from numopt import Status
from numopt.ot import solve, solve_points
from tests.ot.problems import points_problem, uniform_weights

A, B = np.array([0.4, 0.6]), np.array([0.2, 0.3, 0.5])
C = np.array([[0.0, 1.0, 2.0], [1.0, 0.5, 0.0]])


def changed(where, value):
    costs = C.copy()
    costs[where] = value
    return costs


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        # weights
        ({"a": [0.5, 0.25, 0.25]}, ValueError, "`a` must have 2 elements"),
        ({"b": [0.5, 0.5]}, ValueError, "`b` must have 3 elements"),
        ({"a": []}, ValueError, "`a` must have 2 elements"),
        ({"a": [[0.4], [0.6]]}, ValueError, "`a` must be a 1-D array|order is solve"),
        ({"b": 1.0}, ValueError, "`b` must be a 1-D array"),
        ({"a": [-0.1, 1.1]}, ValueError, "`a` must hold finite non-negative weights.*-0.1"),
        ({"b": [0.5, np.nan, 0.5]}, ValueError, "`b` must hold finite non-negative weights"),
        ({"a": [np.inf, 1.0]}, ValueError, "`a` must hold finite non-negative weights"),
        ({"a": [0.0, 0.0], "b": [0.0, 0.0, 0.0]}, ValueError, "`a` must have positive mass"),
        ({"a": [0.4j, 0.6]}, TypeError, "`a` must be real"),
        ({"a": ["x", "y"]}, TypeError, "`a`"),
        ({"a": "uniform"}, (TypeError, ValueError), "`a`"),
        ({"a": [0.4, 0.600002]}, ValueError, "`a` and `b` must have the same mass to 1e-06.*reg_m"),
        ({"b": 2 * B}, ValueError, r"same mass to 1e-06 \(mass_tol\), got 1 and 2"),
        ({"a": [0.4, 0.60001], "mass_tol": 1e-6}, ValueError, "same mass"),
        # costs
        ({"C": C[0]}, ValueError, "`C` must be a 2-D array"),
        ({"C": C[:, :, None]}, ValueError, "`C` must be a 2-D array"),
        ({"C": np.empty((0, 3))}, ValueError, "`C` must be a 2-D array of costs with at least one row"),
        ({"C": None}, TypeError, "`C` must be a 2-D array"),
        ({"C": 1j * C}, TypeError, "`C` must be real"),
        ({"C": changed((0, 1), np.nan)}, ValueError, "`C` must hold numbers above -inf.*NaN"),
        ({"C": changed((1, 2), -np.inf)}, ValueError, "`C` must hold numbers above -inf"),
        ({"C": changed(0, np.inf)}, ValueError, r"infeasible: source 0 has mass, but all its costs in `C` are \+inf"),
        ({"C": changed((slice(None), 2), np.inf)}, ValueError, "infeasible: target 2"),
        ({"C": C.astype("datetime64[s]")}, TypeError, "`C`"),
        # numbers
        ({"reg": 0.0}, ValueError, "`reg` must be a positive finite float, got 0.0"),
        ({"reg": -0.1}, ValueError, "`reg` must be a positive finite float, got -0.1"),
        ({"reg": np.inf}, ValueError, "`reg`"),
        ({"reg": np.nan}, ValueError, "`reg`"),
        ({"reg": "small"}, TypeError, "`reg`"),
        ({"reg": None}, TypeError, "`reg`"),
        ({"reg": [0.1]}, TypeError, "`reg`"),
        ({"reg": 1j}, TypeError, "`reg`"),
        ({"tol": 0.0}, ValueError, "`tol`"),
        ({"tol": -1e-9}, ValueError, "`tol`"),
        ({"tol": np.nan}, ValueError, "`tol`"),
        ({"mass_tol": -1.0}, ValueError, "`mass_tol`"),
        ({"reg_m": 0.0}, ValueError, "`reg_m`"),
        ({"reg_m": -1.0}, ValueError, "`reg_m`"),
        ({"reg_m": (1.0, np.nan)}, ValueError, "`reg_m`"),
        ({"reg_m": (1.0, 2.0, 3.0)}, ValueError, "`reg_m` must be None, a number or a pair"),
        ({"reg_m": "kl"}, TypeError, "`reg_m`"),
        ({"maxiter": -1}, ValueError, "`maxiter`"),
        ({"maxiter": 1.5}, TypeError, "`maxiter`"),
        ({"time_limit": 0.0}, ValueError, "`time_limit`"),
        ({"time_limit": "1 s"}, TypeError, "`time_limit`"),
        ({"warmup": -1}, ValueError, "`warmup`"),
        ({"warmup": "long"}, (TypeError, ValueError), "`warmup`"),
        ({"density": 0.0}, ValueError, "`density`"),
        ({"density": 1.5}, ValueError, "`density`"),
        ({"verbose": 3}, ValueError, "`verbose`"),
        # choices
        ({"method": "newton"}, ValueError, "`method` must be one of 'sns', 'sinkhorn'"),
        ({"method": None}, TypeError, "`method`"),
        ({"norm": "l2"}, ValueError, "`norm` must be one of 'l1', 'linf'"),
        ({"density": "dense"}, ValueError, "`density` must be one of 'auto', 'paper', 'ssns'"),
        ({"linsolver": "lu"}, ValueError, "`linsolver` must be one of 'auto'.*'cg'"),
        ({"linsolver": "ichol"}, ValueError, "`linsolver` must be one of 'auto'.*'cg'"),
        ({"anneal": "slow"}, ValueError, "`anneal` must be 'auto'"),
        ({"plan": "csr"}, ValueError, "`plan` must be one of 'dense', 'sparse', 'lazy'"),
        ({"plan": 3}, TypeError, "`plan`"),
        ({"callback": 3}, TypeError, "`?callback`?"),
        # starting points
        ({"init": (np.zeros(2),)}, ValueError, r"`init` must be an OTResult or a pair of potentials \(f, g\), got 1"),
        ({"init": (np.zeros(2), np.zeros(2))}, ValueError, r"`init` must hold g of shape \(3,\), got \(2,\)"),
        ({"init": (np.zeros((2, 1)), np.zeros(3))}, ValueError, r"`init` must hold f of shape \(2,\)"),
        ({"init": ([0.0, np.nan], np.zeros(3))}, ValueError, "`init` must be finite"),
        ({"init": 3.0}, TypeError, "`init`"),
    ],
)
def test_wrong_input(changes, error, match):
    arguments = {"a": A, "b": B, "C": C, "reg": 0.1, **changes}
    with pytest.raises(error, match=match):
        solve(**arguments)


def test_the_order_of_pot_is_explained():
    with pytest.raises(ValueError, match=r"The order is solve\(a, b, C, reg\)"):
        solve(C, A, B, 0.1)


def test_options_are_keyword_only():
    with pytest.raises(TypeError):
        solve(A, B, C, 0.1, "sns")


def test_unknown_options_are_refused():
    with pytest.raises(TypeError, match="stopThr"):
        solve(A, B, C, 0.1, stopThr=1e-9)


def test_sparse_costs_are_refused_with_the_way_to_forbid_pairs():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match=r"`C` must be a dense array.*\+inf"):
        solve(A, B, sparse.csr_array(C), 0.1)


def test_libraries_are_not_mixed():
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(TypeError):
        solve(A, B, strict.asarray(C), 0.1)


def test_a_forbidden_row_without_mass_is_allowed():
    res = solve([0.0, 1.0], B, changed(0, np.inf), 0.1)
    assert res.success
    assert np.all(np.isfinite(res.f))
    assert np.all(res.plan[0] == 0)


def test_mass_tolerance_can_be_widened_and_tightened():
    assert solve([0.4, 0.61], B, C, 0.1, mass_tol=0.1).success
    with pytest.raises(ValueError, match=r"same mass to 1e-09 \(mass_tol\)"):
        solve(A * (1 + 1e-7), B, C, 0.1, mass_tol=1e-9)


def test_masses_may_differ_where_one_side_is_free():
    for reg_m in (1.0, (np.inf, 1.0), (1.0, np.inf)):
        assert solve(2 * A, B, C, 0.1, reg_m=reg_m).success


def test_tolerance_below_the_floor_of_float32_names_the_floor():
    a, b, costs = (v.astype(np.float32) for v in (A, B, C))
    with pytest.raises(ValueError, match=r"`tol` must be at least .*e-0\d.*float32.*refine=True"):
        solve(a, b, costs, 1e-2, tol=1e-9)
    assert solve(a, b, costs, 1e-2, tol=1e-9, refine=True).success


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"X": np.zeros(3)}, ValueError, "`X` must be a 2-D array"),
        ({"X": np.zeros((3, 5))}, ValueError, "`X` and `Y` must have as many columns, got 5 and 2"),
        ({"X": np.empty((0, 2))}, ValueError, "`X`"),
        ({"Y": np.array([[np.nan, 0.0]])}, ValueError, "`Y` must be finite"),
        ({"X": np.array([[np.inf, 0.0]])}, ValueError, "`X` must be finite"),
        ({"X": 1j * np.ones((3, 2))}, TypeError, "`X` must be real"),
        ({"metric": "cosine"}, ValueError, "`metric` must be one of 'sqeuclidean', 'euclidean', 'cityblock'"),
        ({"a": [0.5, 0.5]}, ValueError, "`a` must have 3 elements"),
        ({"b": [-1.0, 1.0, 1.0, 0.0]}, ValueError, "`b` must hold finite non-negative weights"),
        ({"b": [1.0, 1.0, 1.0, 1.0]}, ValueError, "same mass"),
        ({"reg": 0.0}, ValueError, "`reg`"),
        ({"max_nnz": 0}, ValueError, "`max_nnz`"),
        ({"max_nnz": 0.5}, TypeError, "`max_nnz`"),
        ({"plan": "csr"}, ValueError, "`plan`"),
    ],
)
def test_wrong_points(changes, error, match):
    rng = np.random.default_rng(0)
    arguments = {"X": rng.random((3, 2)), "Y": rng.random((4, 2)), "reg": 0.1, **changes}
    with pytest.raises(error, match=match):
        solve_points(**arguments)


# -- limits ---------------------------------------------------------------------------------------------------------


def assert_best_but_not_solved(res, status):
    assert res.status is status
    assert not res.success
    for value in (res.plan, res.f, res.g):
        assert np.all(np.isfinite(value))
    for number in (res.value, res.reg_value, res.dual_value, res.upper_bound, res.lower_bound, res.marginal_error):
        assert math.isfinite(number)


@pytest.mark.parametrize("method", ["sns", "sinkhorn"])
@pytest.mark.parametrize("maxiter", [1, 2, 4, 7])
def test_maxiter(maxiter, method):
    p = points_problem(40)
    res = solve(*p.args, 1e-3, method=method, anneal=None, maxiter=maxiter)
    assert_best_but_not_solved(res, Status.MAXITER)
    assert res.nit == maxiter
    assert f"{res.nit} iteration" in res.message
    assert "raise maxiter" in res.message
    assert f"{res.marginal_error:.1e}" in res.message
    # Of a probability plan: 1 is what a plan of nothing but misplaced mass would come to on each side.
    assert res.marginal_error <= 2.0


def test_maxiter_of_an_annealed_solve_counts_every_stage():
    res = solve(*points_problem(40).args, 1e-4, maxiter=6)
    assert_best_but_not_solved(res, Status.MAXITER)
    # One more sweep brings the answer to the regularisation that was asked for.
    assert res.nit <= 7


def test_the_best_iterate_is_returned():
    p = points_problem(60, seed=1)
    res = solve(*p.args, 1e-3, anneal=None, maxiter=12, history=True)
    assert res.status is Status.MAXITER
    assert res.marginal_error <= min(res.history["l1"]) * (1 + 1e-9)


def test_time_limit():
    p = points_problem(400)
    res = solve(*p.args, 3e-4, method="sinkhorn", anneal=None, maxiter=10**9, time_limit=0.01)
    assert_best_but_not_solved(res, Status.TIME_LIMIT)
    assert "time_limit" in res.message
    assert 0.01 <= res.time < 5.0


def test_sweeps_that_can_do_no_more_end_before_the_limits():
    res = solve(*points_problem(60).args, 1e-2, method="sinkhorn", maxiter=10**9, tol=1e-16, time_limit=30.0)
    assert_best_but_not_solved(res, Status.PRECISION)
    assert res.time < 10.0


def test_callback_between_points_gets_the_potential():
    seen = []
    X = np.random.default_rng(0).standard_normal((12, 2))
    assert solve_points(X, X + 1.0, 0.1, callback=seen.append).success
    assert seen
    assert all(x.shape == (12,) for x in seen)


def test_callback_stops_with_the_point_so_far():
    seen = []

    def stop(intermediate_result):
        seen.append(intermediate_result)
        if len(seen) == 3:
            raise StopIteration

    p = points_problem(40)
    res = solve(*p.args, 1e-3, anneal=None, callback=stop)
    assert_best_but_not_solved(res, Status.CALLBACK)
    assert "callback" in res.message
    assert len(seen) == 3
    assert [r.nit for r in seen] == [0, 1, 2]
    assert seen[0].x.shape == p.C.shape
    assert seen[0].f.shape == p.a.shape


def test_callback_takes_the_plan_where_its_argument_has_another_name():
    shapes = []
    solve(*points_problem(10, 7).args, 0.1, callback=lambda xk: shapes.append(xk.shape))
    assert shapes
    assert set(shapes) == {(10, 7)}


def test_other_exceptions_of_the_callback_propagate():
    def fail(xk):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solve(*points_problem(10).args, 0.1, callback=fail)


def test_tolerance_below_rounding_ends_with_precision():
    p = points_problem(40)
    res = solve(*p.args, 1e-3, tol=1e-17)
    assert res.status is Status.PRECISION
    assert not res.success
    # A few units in the last place of the exponents, 1 / reg in size, on every entry.
    assert res.marginal_error < 1e-11
    assert "tol 1.0e-17" in res.message


def test_an_error_from_the_last_step_is_not_carried_along():
    # Each claim of success is checked against the plan itself.
    for seed in range(10):
        p = points_problem(25, 35, seed=seed)
        for reg in (1e-1, 1e-2, 1e-3):
            res = solve(*p.args, reg, tol=1e-6)
            error = np.abs(res.plan.sum(axis=1) - p.a).sum() + np.abs(res.plan.sum(axis=0) - p.b).sum()
            assert res.success
            assert error <= 1e-6
            assert res.marginal_error == pytest.approx(error, abs=1e-15)


def test_no_warning_and_no_nan_on_costs_of_any_size():
    rng = np.random.default_rng(0)
    for scale in (1e-300, 1e-30, 1.0, 1e30, 1e300):
        res = solve(uniform_weights(8), uniform_weights(9), scale * rng.random((8, 9)), scale * 1e-2, maxiter=2000)
        assert np.all(np.isfinite(res.plan))
        assert res.success


def test_regularisation_below_the_rounding_of_the_costs():
    with pytest.raises(ValueError, match=r"`reg` must leave the costs .* digits"):
        solve(*points_problem(20).args, 1e-300)


@pytest.mark.parametrize("reg", [1e-9, 1e-12])
def test_vanishing_regularisation_ends_honestly(reg):
    p = points_problem(20)
    res = solve(*p.args, reg, maxiter=300, time_limit=10.0)
    assert np.all(np.isfinite(res.plan))
    assert res.success == (res.marginal_error <= 1e-9)
    assert res.lower_bound <= res.upper_bound
