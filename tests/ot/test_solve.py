"""`solve` against closed forms and against other people's solvers."""

import math

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from numopt.ot import solve
from numopt.problems import TransportProblem
from tests.ot.problems import (
    Transport,
    assert_answer,
    dual_value,
    gaussians,
    l1_error,
    plan_of,
    points_problem,
    primal_value,
    random_weights,
    reference_plan,
    two_by_two,
    uniform_problem,
    uniform_weights,
)

# -- closed forms ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reg", [10.0, 1.0, 0.1, 0.02])
@pytest.mark.parametrize(("p", "q"), [(0.5, 0.5), (0.3, 0.6), (0.9, 0.2), (0.01, 0.99)])
def test_two_by_two_follows_the_odds_ratio(p, q, reg):
    C = np.array([[0.1, 0.9], [1.0, 0.3]])
    problem = Transport(np.array([p, 1 - p]), np.array([q, 1 - q]), C)
    res = solve(*problem.args, reg, tol=1e-13)
    assert_answer(res, problem, tol=1e-13)
    np.testing.assert_allclose(res.plan, two_by_two(p, q, C, reg), rtol=0, atol=1e-12)


@pytest.mark.parametrize("reg", [1.0, 1e-2, 1e-4])
def test_additive_costs_give_the_product_plan(reg):
    rng = np.random.default_rng(0)
    a, b = random_weights(rng, 17), random_weights(rng, 23)
    u, v = rng.normal(size=17), rng.normal(size=23)
    res = solve(a, b, u[:, None] + v[None, :], reg, tol=1e-12 / reg)
    assert res.success
    # The exponents are of size 4 / reg: their rounding is what limits single entries.
    np.testing.assert_allclose(res.plan, np.outer(a, b), rtol=64 * np.finfo(float).eps * (1 + 4 / reg) * 4)
    np.testing.assert_allclose(res.value, a @ u + b @ v, rtol=1e-9)


@pytest.mark.parametrize("reg", [1e2, 1e4, 1e6])
def test_large_regularisation_gives_the_product_plan(reg):
    p = points_problem(20, 30)
    res = solve(*p.args, reg, tol=1e-13)
    assert res.success
    # exp(-C / reg) with C <= 1 is within 1 / reg of one, and the scalings make up for half of that at most twice.
    np.testing.assert_allclose(res.plan, np.outer(p.a, p.b), rtol=4 / reg + 1e-11)


@pytest.mark.parametrize("reg", [1.0, 1e-3])
def test_a_single_row_or_column_is_the_other_marginal(reg):
    p = points_problem(1, 30)
    np.testing.assert_allclose(solve(*p.args, reg).plan, p.b[None, :], rtol=1e-9)
    np.testing.assert_allclose(solve(p.b, p.a, p.C.T, reg).plan, p.b[:, None], rtol=1e-9)


def test_one_pair_carries_all_the_mass():
    res = solve([2.0], [2.0], [[3.0]], 0.1)
    assert res.success
    assert res.value == pytest.approx(6.0, rel=1e-12)
    assert res.plan[0, 0] == pytest.approx(2.0, rel=1e-12)


@pytest.mark.parametrize("n", [200, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("reg", [2.0, 0.5])
def test_gaussians_on_the_line(n, reg):
    case = gaussians(n, reg)
    res = solve(*case.problem.args, reg, tol=1e-11)
    assert_answer(res, case.problem, tol=1e-11)
    # Marginal errors move the plan by their own size over the spectral gap 1 - rho^2, rho = c / (s1 s2) < 0.9 here.
    assert np.abs(res.plan - case.plan).sum() < 1e-9
    assert res.value == pytest.approx(case.value, abs=1e-9)
    assert res.reg_value == pytest.approx(case.reg_value, abs=1e-9)
    middle = slice(n // 4, 3 * n // 4)  # within 4 deviations, where the weights outweigh the error
    difference = (res.f - case.f)[middle]
    np.testing.assert_allclose(difference, difference.mean(), atol=1e-5)


# -- the regularised problem by other solvers -----------------------------------------------------------------------


@pytest.mark.parametrize("reg", [1.0, 0.1, 1e-2, 3e-3])
@pytest.mark.parametrize(("n", "m"), [(30, 30), (20, 45), (45, 20)])
def test_plan_is_that_of_dense_newton_steps(n, m, reg):
    p = points_problem(n, m, seed=n + m)
    res = solve(*p.args, reg, tol=1e-12)
    assert_answer(res, p, tol=1e-12)
    np.testing.assert_allclose(res.plan, reference_plan(p, reg), rtol=0, atol=1e-10)


@pytest.mark.parametrize("reg", [1e-1, 3e-2, 1e-2])
def test_plan_is_that_of_pot(reg):
    ot = pytest.importorskip("ot")
    p = points_problem(100, seed=3)
    theirs = ot.sinkhorn(*p.args, reg, method="sinkhorn_log", stopThr=1e-13, numItermax=20_000, warn=False)
    res = solve(*p.args, reg, tol=1e-13)
    np.testing.assert_allclose(res.plan, theirs, rtol=0, atol=1e-10)
    assert res.value == pytest.approx(float((p.C * theirs).sum()), abs=1e-10)


def test_value_is_that_of_regot_at_a_small_regularisation():
    regot = pytest.importorskip("regot")
    p = TransportProblem.points(200, reg=1e-3)
    theirs = regot.sinkhorn_ssns(np.asfortranarray(p.C), p.a, p.b, p.reg, tol=1e-11, max_iter=1000)
    res = solve(p.a, p.b, p.C, p.reg, tol=1e-11)
    assert res.success
    assert l1_error(theirs.plan, p.a, p.b) < 1e-9
    assert res.value == pytest.approx(float((p.C * theirs.plan).sum()), abs=1e-8)


@pytest.mark.parametrize("method", ["sns", "sinkhorn"])
def test_both_methods_give_the_same_plan(method):
    p = points_problem(40, seed=5)
    res = solve(*p.args, 2e-2, method=method, tol=1e-12, maxiter=20_000)
    assert_answer(res, p, tol=1e-12)
    np.testing.assert_allclose(res.plan, reference_plan(p, 2e-2), rtol=0, atol=1e-10)


def test_plain_sinkhorn_takes_no_newton_steps():
    res = solve(*points_problem(20).args, 0.1, method="sinkhorn")
    assert res.success
    assert res.nit_newton == res.nit_coarse == res.ncg == 0
    assert res.nit_sinkhorn == res.nit


# -- the unregularised problem --------------------------------------------------------------------------------------


@pytest.mark.parametrize("reg", [1e-1, 1e-2, 1e-3, 1e-4])
def test_bounds_bracket_exact_transport(reg):
    ot = pytest.importorskip("ot")
    p = points_problem(40, 60, seed=7)
    exact = float(ot.emd2(*p.args))
    res = solve(*p.args, reg)
    assert res.success
    assert res.lower_bound <= exact + 1e-12
    assert exact <= res.upper_bound + 1e-12
    # The entropy of a plan lies between 0 and log(n m): that times reg bounds how far <C, P> is from the optimum.
    assert res.upper_bound - res.lower_bound <= 2 * reg * math.log(40 * 60) + 1e-8
    assert res.value - exact <= reg * math.log(40 * 60) + 1e-8


@pytest.mark.parametrize("maxiter", [1, 5, 20])
def test_bounds_hold_for_an_answer_that_did_not_converge(maxiter):
    ot = pytest.importorskip("ot")
    p = points_problem(30, seed=8)
    exact = float(ot.emd2(*p.args))
    res = solve(*p.args, 1e-3, maxiter=maxiter)
    assert not res.success
    assert res.lower_bound <= exact + 1e-12 <= res.upper_bound + 2e-12


@pytest.mark.parametrize("seed", range(4))
def test_largest_entries_are_the_optimal_assignment(seed):
    p = uniform_problem(40, seed=seed)
    res = solve(*p.args, 1e-4)
    assert res.success
    rows, columns = linear_sum_assignment(p.C)
    exact = p.C[rows, columns].mean()
    assert res.lower_bound <= exact + 1e-12 <= res.upper_bound + 2e-12
    np.testing.assert_array_equal(res.plan.argmax(axis=1), columns)


# -- derivatives ----------------------------------------------------------------------------------------------------


def moved(p, *, a=0.0, b=0.0, C=0.0):
    return Transport(p.a + a, p.b + b, p.C + C)


def regularised_optimum(p, reg):
    return solve(*p.args, reg, tol=1e-13).reg_value


@pytest.mark.parametrize("reg", [0.1, 0.01])
def test_potentials_and_plan_are_the_gradients_of_the_regularised_value(reg):
    p = points_problem(12, 9, seed=11)
    res = solve(*p.args, reg, tol=1e-13)
    rng = np.random.default_rng(0)
    step = 1e-5
    da, db = rng.normal(size=12) / 12, rng.normal(size=9) / 9
    da, db = da - da.mean(), db - db.mean()  # masses stay equal
    dC = rng.normal(size=p.C.shape)
    for name, direction, gradient in (("a", da, res.f), ("b", db, res.g), ("C", dC, res.plan)):
        plus, minus = (regularised_optimum(moved(p, **{name: s * step * direction}), reg) for s in (1, -1))
        difference = (plus - minus) / (2 * step)
        # Central differences: third derivatives of size reg^-2 times step^2, and rounding of the value over the step.
        assert difference == pytest.approx(float((gradient * direction).sum()), abs=1e-9 / reg**2), name


def test_gradient_of_the_dual_is_the_marginal_error():
    p = points_problem(12, 9, seed=12)
    reg, step = 0.05, 1e-6
    res = solve(*p.args, reg, maxiter=2)  # not converged, so that there is a gradient
    P = plan_of(res.f, res.g, p.C, reg)
    np.testing.assert_allclose(P, res.plan, rtol=1e-12)
    rng = np.random.default_rng(1)
    df, dg = rng.normal(size=12), rng.normal(size=9)
    plus, minus = (dual_value(res.f + s * step * df, res.g + s * step * dg, p, reg) for s in (1, -1))
    slope = float((p.a - P.sum(axis=1)) @ df + (p.b - P.sum(axis=0)) @ dg)
    assert (plus - minus) / (2 * step) == pytest.approx(slope, abs=1e-8)


# -- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reg", [1.0, 1e-2, 1e-3])
def test_values_are_those_of_the_returned_plan(reg):
    p = points_problem(30, 20, seed=13)
    res = solve(*p.args, reg)
    np.testing.assert_allclose(plan_of(res.f, res.g, p.C, reg), res.plan, rtol=1e-11 / min(reg, 1.0), atol=1e-300)
    assert res.value == pytest.approx(float((p.C * res.plan).sum()), rel=1e-12)
    assert res.reg_value == pytest.approx(primal_value(res.plan, p.C, reg), abs=1e-11)
    assert res.dual_value == pytest.approx(dual_value(res.f, res.g, p, reg), abs=1e-11)
    assert res.fun == res.reg_value
    # reg_value - dual_value is <f, P 1 - a> + <g, P' 1 - b>.
    largest = max(np.abs(res.f).max(), np.abs(res.g).max())
    assert abs(res.reg_value - res.dual_value) <= largest * res.marginal_error + 1e-12


def test_dual_value_never_exceeds_the_optimum():
    p = points_problem(30, seed=14)
    best = solve(*p.args, 1e-2, tol=1e-13).reg_value
    for maxiter in (1, 3, 6, 10):
        assert solve(*p.args, 1e-2, maxiter=maxiter).dual_value <= best + 1e-13


def test_potentials_are_centred():
    p = points_problem(30, 20, seed=15)
    for reg in (1.0, 1e-3):
        res = solve(*p.args, reg)
        assert abs(p.b @ res.g) < 1e-13


# -- weights --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mass", [1e-6, 1.0, 37.0, 1e6])
def test_tolerance_is_relative_to_the_mass(mass):
    p = points_problem(30, seed=16)
    res = solve(mass * p.a, mass * p.b, p.C, 1e-2)
    assert_answer(res, Transport(mass * p.a, mass * p.b, p.C))
    np.testing.assert_allclose(res.plan / mass, solve(*p.args, 1e-2).plan, atol=1e-8)


def test_none_means_uniform_weights():
    p = uniform_problem(10)
    np.testing.assert_allclose(solve(None, None, p.C, 0.1).plan, solve(*p.args, 0.1).plan, rtol=1e-14)


def test_masses_that_differ_by_rounding_are_made_equal():
    p = points_problem(30, seed=17)
    res = solve(p.a, p.b * (1 + 5e-7), p.C, 1e-2)
    assert_answer(res, p)


def test_integers_and_lists_become_floats():
    res = solve([1, 2], [2, 1], [[0, 1], [1, 0]], 1)
    assert res.plan.dtype == np.float64
    expected = two_by_two(1 / 3, 2 / 3, np.array([[0.0, 1.0], [1.0, 0.0]]), 1.0)
    np.testing.assert_allclose(res.plan, 3 * expected, atol=1e-8)


# -- starting points ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reg", [1e-2, 1e-3])
def test_warm_start_takes_fewer_iterations(reg):
    p = points_problem(60, seed=18)
    cold = solve(*p.args, reg)
    for init in (cold, (cold.f, cold.g)):
        again = solve(*p.args, reg, init=init)
        assert_answer(again, p)
        assert again.nit < cold.nit
        assert again.nit <= 2
    near = solve(p.a, p.b, p.C * (1 + 1e-4), reg, init=cold)
    assert near.success
    assert near.nit < cold.nit


def test_warm_start_from_potentials_that_are_shifted_or_far_off():
    p = points_problem(30, seed=19)
    res = solve(*p.args, 1e-2, tol=1e-12)
    rng = np.random.default_rng(0)
    for f, g in ((res.f + 1e3, res.g - 1e3), (rng.normal(size=30), rng.normal(size=30))):
        again = solve(*p.args, 1e-2, init=(f, g), tol=1e-12)
        assert_answer(again, p, tol=1e-12)
        np.testing.assert_allclose(again.plan, res.plan, rtol=0, atol=1e-10)


# -- unbalanced -----------------------------------------------------------------------------------------------------


def unbalanced_weights():
    p = points_problem(30, 40, seed=20)
    return Transport(1.3 * p.a, p.b, p.C)


@pytest.mark.filterwarnings("ignore:If reg_type = entropy:UserWarning")
@pytest.mark.parametrize("reg_m", [0.05, 1.0, 3.0, (0.3, 2.0), [2.0, 0.1]])
@pytest.mark.parametrize("reg", [0.1, 0.02])
def test_unbalanced_plan_is_that_of_pot(reg, reg_m):
    ot = pytest.importorskip("ot")
    p = unbalanced_weights()
    theirs = ot.unbalanced.sinkhorn_unbalanced(
        *p.args, reg, reg_m, method="sinkhorn_stabilized", reg_type="entropy", numItermax=50_000, stopThr=1e-15
    )
    res = solve(*p.args, reg, reg_m=reg_m, tol=1e-12)
    assert res.success, res.message
    np.testing.assert_allclose(res.plan, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("reg_m", [0.1, (0.3, 2.0), (np.inf, 0.5), (0.5, np.inf)])
@pytest.mark.parametrize("reg", [0.1, 1e-2, 1e-3])
def test_unbalanced_plan_meets_its_optimality_conditions(reg, reg_m):
    p = unbalanced_weights()
    res = solve(*p.args, reg, reg_m=reg_m, tol=1e-11)
    assert res.success, res.message
    P = res.plan
    np.testing.assert_allclose(P, plan_of(res.f, res.g, p.C, reg), rtol=1e-9, atol=1e-300)
    rho = np.broadcast_to(reg_m, 2)
    gap = 0.0
    for weights, potential, sums, r in ((p.a, res.f, P.sum(axis=1), rho[0]), (p.b, res.g, P.sum(axis=0), rho[1])):
        gap += np.abs(sums - weights * np.exp(-potential / r)).sum()
    assert gap <= 1e-11 * p.a.sum() * 1.01
    assert res.marginal_error == pytest.approx(gap, abs=1e-13)
    assert math.isnan(res.upper_bound)
    assert math.isnan(res.lower_bound)


def kl(p, q):
    return float((p * np.log(p / q) - p + q).sum())


def test_unbalanced_values_are_those_of_the_plan_and_have_no_gap():
    p = unbalanced_weights()
    reg, reg_m = 0.05, (0.3, 2.0)
    res = solve(*p.args, reg, reg_m=reg_m, tol=1e-12)
    penalty = reg_m[0] * kl(res.plan.sum(axis=1), p.a) + reg_m[1] * kl(res.plan.sum(axis=0), p.b)
    assert res.reg_value == pytest.approx(primal_value(res.plan, p.C, reg) + penalty, abs=1e-11)
    assert res.dual_value == pytest.approx(res.reg_value, abs=1e-10)
    assert res.value == pytest.approx(float((p.C * res.plan).sum()), rel=1e-12)


@pytest.mark.parametrize("reg_m", [np.inf, (np.inf, np.inf)])
def test_infinite_penalties_are_the_balanced_problem(reg_m):
    p = points_problem(30, 20, seed=21)
    res = solve(*p.args, 1e-2, reg_m=reg_m, tol=1e-12)
    np.testing.assert_allclose(res.plan, solve(*p.args, 1e-2, tol=1e-12).plan, rtol=0, atol=1e-11)


def test_large_penalties_approach_the_balanced_plan():
    p = points_problem(30, 20, seed=22)
    balanced = solve(*p.args, 1e-2).plan
    errors = [np.abs(solve(*p.args, 1e-2, reg_m=rho).plan - balanced).sum() for rho in (10.0, 1e2, 1e3, 1e4)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3  # first order in 1 / reg_m


def test_one_free_side_keeps_the_other_marginal():
    p = unbalanced_weights()
    res = solve(*p.args, 1e-2, reg_m=(np.inf, 0.5))
    np.testing.assert_allclose(res.plan.sum(axis=1), p.a, atol=2e-9)
    assert res.plan.sum() == pytest.approx(1.3, abs=1e-8)


def test_unbalanced_atoms_without_mass_get_none():
    p = unbalanced_weights()
    a = p.a.copy()
    a[3] = 0.0
    res = solve(a, p.b, p.C, 0.05, reg_m=1.0)
    assert res.success
    assert np.all(res.plan[3] == 0.0)
    assert np.all(np.isfinite(res.f))


# -- uniform sizes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 7), (2, 3), (31, 33), (65, 5), (5, 129)])
@pytest.mark.parametrize("reg", [0.1, 1e-3])
def test_every_shape(n, m, reg):
    p = points_problem(n, m, seed=n * m)
    assert_answer(solve(*p.args, reg), p)


def test_input_is_not_modified_and_any_memory_order_is_taken():
    p = points_problem(20, 30, seed=23)
    before = [v.copy() for v in p.args]
    expected = solve(*p.args, 1e-2).plan
    for value, copy in zip(p.args, before, strict=True):
        np.testing.assert_array_equal(value, copy)
    wide = np.zeros((20, 60))
    wide[:, ::2] = p.C
    for C in (np.asfortranarray(p.C), wide[:, ::2], np.flip(p.C, axis=0).copy()[::-1]):
        np.testing.assert_array_equal(solve(p.a, p.b, C, 1e-2).plan, expected)
    read_only = p.C.copy()
    read_only.flags.writeable = False
    np.testing.assert_array_equal(solve(p.a, p.b, read_only, 1e-2).plan, expected)


def test_uniform_weights_of_equal_costs_give_the_uniform_plan():
    n = 12
    res = solve(uniform_weights(n), uniform_weights(n), np.ones((n, n)), 1e-3)
    np.testing.assert_allclose(res.plan, 1 / n**2, rtol=1e-12)
