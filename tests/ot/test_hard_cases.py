"""The cases on which transport solvers fail: each is judged by what is known about its answer."""

import numpy as np
import pytest

from numopt import Status
from numopt.ot import solve
from numopt.problems import TransportProblem
from tests.ot.problems import (
    Transport,
    assert_answer,
    cut_off,
    forbidden,
    points_problem,
    random_weights,
    reference_plan,
    square_costs,
    uniform_problem,
    uniform_weights,
)


def from_generator(problem: TransportProblem) -> Transport:
    return Transport(problem.a, problem.b, problem.C)


# -- small regularisation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "problem",
    [
        points_problem(100),
        uniform_problem(100),
        from_generator(TransportProblem.points(100, reg=1.0, dirichlet=True)),
        from_generator(TransportProblem.grid(8, reg=1.0)),
    ],
    ids=["points", "uniform", "dirichlet", "l1-grid"],
)
def test_regularisation_of_1e_5_of_the_largest_cost(problem):
    res = solve(*problem.args, 1e-5)
    assert_answer(res, problem)
    # The entropy of a plan is at most log(n^2), and so much of it is what separates the bounds.
    assert res.lower_bound <= res.upper_bound
    assert res.upper_bound - res.lower_bound <= 2e-5 * np.log(problem.C.size) + 1e-8


@pytest.mark.parametrize("reg", [1e-3, 1e-4])
@pytest.mark.parametrize("k", [16, pytest.param(32, marks=pytest.mark.slow)])
def test_l1_grids_have_many_optimal_plans(k, reg):
    problem = from_generator(TransportProblem.grid(k, reg=reg))
    assert_answer(solve(*problem.args, reg), problem)


# -- near-disconnected ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [40, 100, 200])
@pytest.mark.parametrize("anneal", ["auto", None])
def test_mass_between_two_far_clusters(n, anneal):
    problem = from_generator(TransportProblem.clusters(n, reg=1e-3))
    res = solve(*problem.args, 1e-3, tol=1e-11, anneal=anneal)
    assert_answer(res, problem, tol=1e-11)
    half = n // 2
    # The first cluster has (1 + 2e-6) / 2 to give and 1/2 to take: 1e-6 must leave it, net.
    across = res.plan[:half, half:].sum() - res.plan[half:, :half].sum()
    assert across == pytest.approx(1e-6, rel=1e-3)
    assert res.plan[half:, :half].sum() < 1e-9


def test_three_clusters_pass_mass_along():
    rng = np.random.default_rng(0)
    n, third = 90, 30
    shift = np.repeat([0.0, 12.0, 24.0], third)[:, None] * [1.0, 0.0]
    C = square_costs(rng.normal(size=(n, 2)) + shift, rng.normal(size=(n, 2)) + shift)
    C /= C.max()
    a = np.repeat([1 + 3e-6, 1.0, 1 - 3e-6], third) / n
    problem = Transport(a, uniform_weights(n), C)
    res = solve(*problem.args, 1e-3, tol=1e-11)
    assert_answer(res, problem, tol=1e-11)
    blocks = res.plan.reshape(3, third, 3, third).sum(axis=(1, 3))
    net = blocks - blocks.T
    # 1e-6 goes from the first to the last; straight or by the middle is the costs' choice, squares prefer the middle.
    assert net[0, 1] + net[0, 2] == pytest.approx(1e-6, rel=1e-3)
    assert net[0, 2] + net[1, 2] == pytest.approx(1e-6, rel=1e-3)
    assert net[0, 2] < 1e-8


# -- weights of very different size ---------------------------------------------------------------------------------


@pytest.mark.parametrize("reg", [1e-1, 1e-2, 1e-3])
@pytest.mark.parametrize("side", ["source", "target"])
def test_every_row_is_right_where_one_atom_has_nearly_all_the_mass(reg, side):
    rng = np.random.default_rng(0)
    n = 60
    a = np.full(n, 1e-12 / (n - 1))
    a[3] = 1 - 1e-12
    problem = Transport(a, random_weights(rng, n), rng.random((n, n)))
    args = problem.args if side == "source" else (problem.b, problem.a, problem.C.T.copy())
    res = solve(*args, reg)
    assert res.success
    for sums, weights in ((res.plan.sum(axis=1), args[0]), (res.plan.sum(axis=0), args[1])):
        # At an l1 error of 1e-9 the small ones could be wholly wrong: each is judged for itself.
        np.testing.assert_allclose(sums / weights, 1.0, rtol=0, atol=1e-6)


@pytest.mark.parametrize("reg", [1e-1, 1e-3])
def test_weights_over_many_orders_of_magnitude(reg):
    rng = np.random.default_rng(1)
    a, b = 10.0 ** rng.uniform(-14, 0, 40), 10.0 ** rng.uniform(-14, 0, 50)
    problem = Transport(a / a.sum(), b / b.sum(), rng.random((40, 50)))
    assert_answer(solve(*problem.args, reg), problem)


@pytest.mark.parametrize("reg", [1e-1, 1e-3])
def test_atoms_without_mass_are_left_out_and_get_finite_potentials(reg):
    p = points_problem(40, 30, seed=1)
    a, b = p.a.copy(), p.b.copy()
    a[::3], b[[0, 7, 29]] = 0.0, 0.0
    a, b = a / a.sum(), b / b.sum()
    rows, columns = np.nonzero(a)[0], np.nonzero(b)[0]
    res = solve(a, b, p.C, reg, tol=1e-12)
    assert_answer(res, Transport(a, b, p.C), tol=1e-12)
    assert np.all(res.plan[a == 0] == 0)
    assert np.all(res.plan[:, b == 0] == 0)
    assert np.all(np.isfinite(res.f))
    assert np.all(np.isfinite(res.g))
    alone = solve(a[rows], b[columns], p.C[np.ix_(rows, columns)], reg, tol=1e-12)
    np.testing.assert_allclose(res.plan[np.ix_(rows, columns)], alone.plan, rtol=0, atol=1e-12)
    np.testing.assert_allclose(res.f[rows], alone.f, atol=1e-9)
    # The others' potentials are c-transforms: the pair stays feasible for the unregularised dual there.
    transform = (p.C[:, columns] - res.g[columns]).min(axis=1)
    np.testing.assert_allclose(res.f[a == 0], transform[a == 0], atol=1e-5 * reg + 1e-12)


def test_all_mass_on_one_pair_of_many_atoms():
    a, b = np.zeros(10), np.zeros(12)
    a[4] = b[7] = 1.0
    C = np.random.default_rng(0).random((10, 12))
    res = solve(a, b, C, 1e-2)
    expected = np.zeros((10, 12))
    expected[4, 7] = 1.0
    np.testing.assert_allclose(res.plan, expected, atol=1e-12)
    assert res.value == pytest.approx(C[4, 7])
    assert np.all(np.isfinite(res.f))
    assert np.all(np.isfinite(res.g))


# -- ties -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reg", [1e-2, 1e-3, 1e-4])
def test_duplicated_points_share_alike(reg):
    rng = np.random.default_rng(2)
    X, Y = np.repeat(rng.random((15, 2)), 4, axis=0), np.repeat(rng.random((20, 2)), 3, axis=0)
    problem = Transport(uniform_weights(60), uniform_weights(60), square_costs(X, Y))
    res = solve(*problem.args, reg, tol=1e-11)
    assert_answer(res, problem, tol=1e-11)
    copies = res.plan.reshape(15, 4, 20, 3)
    np.testing.assert_allclose(copies, np.broadcast_to(copies[:, :1, :, :1], copies.shape), atol=1e-11)


@pytest.mark.parametrize("reg", [1e-1, 1e-3, 1e-5])
def test_a_cloud_against_itself_is_symmetric(reg):
    X = np.random.default_rng(3).random((50, 2))
    problem = Transport(uniform_weights(50), uniform_weights(50), square_costs(X, X))
    res = solve(*problem.args, reg, tol=1e-11)
    assert_answer(res, problem, tol=1e-11)
    np.testing.assert_allclose(res.plan, res.plan.T, atol=1e-9)


# -- shapes and ranges ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reg", [1e-2, 1e-3, 1e-4])
def test_three_by_three_thousand(reg):
    p = Transport(np.array([0.2, 0.3, 0.5]), uniform_weights(3000), np.random.default_rng(4).random((3, 3000)))
    assert_answer(solve(*p.args, reg), p)
    tall = Transport(p.b, p.a, p.C.T.copy())
    assert_answer(solve(*tall.args, reg), tall)


def test_regularisation_of_a_thousand():
    p = points_problem(50, 60, seed=5)
    res = solve(*p.args, 1e3)
    assert_answer(res, p)
    np.testing.assert_allclose(res.plan, np.outer(p.a, p.b), rtol=4e-3)


@pytest.mark.parametrize("reg", [1e-2, 1e-3])
@pytest.mark.parametrize("offset", [1e6, -1e6])
def test_offset_of_all_costs(reg, offset):
    p = points_problem(40, 50, seed=6)
    res = solve(p.a, p.b, p.C + offset, reg)
    assert_answer(res, p, tol=1e-7)
    # The costs themselves hold eps * 1e6 of noise, which moves the logarithm of the plan by that over reg.
    np.testing.assert_allclose(res.plan, solve(*p.args, reg).plan, atol=1e-9 / reg)
    # <C, P> holds the offset times the mass of the plan, which is right up to the marginal error.
    slack = abs(offset) * (res.marginal_error + 1e-15)
    assert res.value - offset == pytest.approx(solve(*p.args, reg).value, abs=slack + 1e-6)
    assert res.lower_bound <= res.upper_bound + 1e-9


@pytest.mark.parametrize("reg", [1e-2, 1e-3])
def test_offsets_of_rows_and_columns(reg):
    p = points_problem(40, 50, seed=7)
    rng = np.random.default_rng(0)
    u, v = 1e6 * rng.normal(size=40), 1e6 * rng.normal(size=50)
    problem = Transport(p.a, p.b, p.C + u[:, None] + v[None, :])
    res = solve(*problem.args, reg)
    assert_answer(res, problem, tol=1e-6)
    np.testing.assert_allclose(res.plan, solve(*p.args, reg).plan, atol=1e-8 / reg)


@pytest.mark.parametrize("scale", [1e-150, 1e-8, 1e8, 1e150])
def test_unit_of_the_costs_does_not_matter(scale):
    p = points_problem(30, seed=8)
    res = solve(p.a, p.b, scale * p.C, scale * 1e-2)
    assert_answer(res, p)
    expected = solve(*p.args, 1e-2)
    np.testing.assert_allclose(res.plan, expected.plan, atol=1e-8)
    assert res.value == pytest.approx(scale * expected.value, rel=1e-8)


# -- forbidden pairs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reg", [1e-1, 2e-2])
def test_forbidden_pairs_carry_nothing(reg):
    p = forbidden(30)
    res = solve(*p.args, reg, tol=1e-12)
    assert_answer(res, p, tol=1e-12)
    assert np.all(res.plan[np.isinf(p.C)] == 0)
    np.testing.assert_allclose(res.plan, reference_plan(p, reg), rtol=0, atol=1e-10)
    assert res.value == pytest.approx(float((np.where(np.isinf(p.C), 0.0, p.C) * res.plan).sum()))
    assert res.lower_bound <= res.value + 1e-12 <= res.upper_bound + 1e-8


@pytest.mark.parametrize("reg", [1e-3, 1e-4])
def test_forbidden_pairs_at_a_small_regularisation(reg):
    p = forbidden(60, seed=1)
    assert_answer(solve(*p.args, reg), p)


@pytest.mark.parametrize("reg", [1e-1, 1e-2])
def test_forbidden_blocks_that_can_be_solved_apart(reg):
    p = uniform_problem(40, seed=9)
    C = p.C.copy()
    C[:20, 20:] = C[20:, :20] = np.inf
    res = solve(p.a, p.b, C, reg, tol=1e-11)
    assert_answer(res, p, tol=1e-11)
    for part in (slice(None, 20), slice(20, None)):
        alone = solve(p.a[part], p.b[part], p.C[part, part], reg, tol=1e-11)
        np.testing.assert_allclose(res.plan[part, part], alone.plan, atol=1e-10)


def test_allowed_pairs_that_no_plan_can_use():
    # 12 of 20 rows may go to 12 of 20 columns only: the others must leave these columns alone.
    p = cut_off(20, 12)
    res = solve(*p.args, 0.05)
    assert_answer(res, p)
    assert res.plan[12:, :12].sum() < 1e-8


@pytest.mark.parametrize("reg", [1e-1, 1e-3])
@pytest.mark.parametrize("n", [5, 30])
def test_violated_hall_condition_is_found(n, reg):
    p = cut_off(n, 4 * n // 10)
    res = solve(*p.args, reg, time_limit=3.0)
    assert not res.success
    assert res.status is Status.INFEASIBLE
    assert "cannot carry" in res.message
    assert np.all(np.isfinite(res.plan))
    assert np.all(np.isfinite(res.f))
    # A fifth of the mass has nowhere to go, whatever the plan, and misses on both sides.
    assert res.marginal_error >= 0.4 - 1e-9


@pytest.mark.parametrize("reg", [1e-1, 1e-3])
def test_plain_sinkhorn_does_not_succeed_where_no_plan_exists(reg):
    p = cut_off(30, 12)
    res = solve(*p.args, reg, method="sinkhorn", time_limit=3.0)
    assert res.status in (Status.INFEASIBLE, Status.STALLED)
    assert np.all(np.isfinite(res.plan))
    assert res.marginal_error >= 0.4 - 1e-9


def test_blocks_of_unequal_mass_are_infeasible():
    p = uniform_problem(20, seed=10)
    a = np.repeat([1.1, 0.9], 10) / 20
    C = p.C.copy()
    C[:10, 10:] = C[10:, :10] = np.inf
    res = solve(a, p.b, C, 0.05, time_limit=3.0)
    assert res.status is Status.INFEASIBLE
    assert np.all(np.isfinite(res.plan))


@pytest.mark.parametrize("reg_m", [0.5, 5.0])
def test_unbalanced_transport_has_an_answer_where_balanced_has_none(reg_m):
    p = cut_off(20, 8)
    res = solve(*p.args, 0.05, reg_m=reg_m)
    assert res.success, res.message
    assert np.all(res.plan[np.isinf(p.C)] == 0)
