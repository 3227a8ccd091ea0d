"""Batches of transport problems: the same answers as one by one, each problem with its own fate."""

import math

import numpy as np
import pytest

from numopt import Status
from numopt.ot import _batch_answers as answers
from numopt.ot import _batch_engine as engine
from numopt.ot import _batch_problem as problem
from numopt.ot import solve, solve_batch
from tests.helpers.xp import make, to_numpy
from tests.ot.problems import (
    Transport,
    cut_off,
    forbidden,
    l1_error,
    points_problem,
    reference_plan,
    square_costs,
    uniform_problem,
    uniform_weights,
)

VALUES = ("value", "reg_value", "dual_value", "upper_bound", "lower_bound")


def stacked(problems: list[Transport]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights and costs of all problems."""
    return tuple(np.stack(part) for part in zip(*(p.args for p in problems), strict=True))


def points_batch(count: int, n: int, m: int | None = None, *, seed: int = 0) -> list[Transport]:
    return [points_problem(n, m, seed=seed + k) for k in range(count)]


def padded(p: Transport, n: int, m: int, filler: float) -> Transport:
    """More atoms, without mass, whose costs are `filler`."""
    C = np.full((n, m), filler)
    C[: p.a.size, : p.b.size] = p.C
    return Transport(np.pad(p.a, (0, n - p.a.size)), np.pad(p.b, (0, m - p.b.size)), C)


def assert_same(res, problems, regs, *, tol=1e-9, atol=1e-9) -> None:
    """Compare a batch with single solves: plans within the errors that `tol` leaves, values with them."""
    assert res.success, res.message
    for i, (p, reg) in enumerate(zip(problems, np.broadcast_to(regs, len(problems)), strict=True)):
        one = solve(*p.args, float(reg), tol=tol)
        assert one.success, one.message
        np.testing.assert_allclose(res.plan[i], one.plan, rtol=0, atol=atol)
        for name in VALUES:
            # The single lower bound is a soft minimum, below the hard one by 1e-6 reg log n at most.
            np.testing.assert_allclose(res[name][i], one[name], rtol=0, atol=10 * atol + 5e-6 * reg, err_msg=name)
        assert l1_error(res.plan[i], p.a, p.b) <= tol * p.a.sum() * (1 + 1e-6)


@pytest.mark.parametrize("shape", [(20, 20), (12, 25), (25, 12), (1, 7), (7, 1), (1, 1), (2, 2)], ids=str)
@pytest.mark.parametrize("reg", [1.0, 0.1, 1e-2, 2e-3])
def test_batch_equals_single_solves(shape, reg):
    problems = points_batch(5, *shape)
    assert_same(solve_batch(*stacked(problems), reg, tol=1e-11), problems, reg, tol=1e-11)


def test_batch_meets_the_reference_plan():
    problems = points_batch(3, 15, 11, seed=5)
    res = solve_batch(*stacked(problems), 0.03, tol=1e-12)
    for i, p in enumerate(problems):
        np.testing.assert_allclose(res.plan[i], reference_plan(p, 0.03), rtol=0, atol=1e-11)


def test_each_problem_has_its_own_regularisation():
    problems = points_batch(6, 16, seed=10)
    regs = np.array([1.0, 0.2, 3e-2, 1e-2, 3e-3, 1e-3])
    res = solve_batch(*stacked(problems), regs, tol=1e-11)
    assert_same(res, problems, regs, tol=1e-11)
    # Sweeps alone where they are fast, Newton steps where they are not.
    assert res.nit_newton[0] == 0 < res.nit_newton[-1]


@pytest.mark.parametrize("reg", [1e-3, 1e-4, 1e-5])
def test_small_regularisations_converge_without_help_from_single_solves(reg):
    problems = [uniform_problem(24, seed=k) for k in range(8)] + points_batch(8, 24)
    res = solve_batch(*stacked(problems), reg)
    assert res.success, res.message
    assert np.all(res.nit_coarse == 0)
    for P, p in zip(res.plan, problems, strict=True):
        assert l1_error(P, p.a, p.b) <= 1e-9 * (1 + 1e-6)
    assert np.all(res.lower_bound <= res.upper_bound + 1e-12)


def test_all_problems_may_share_costs():
    p = points_problem(14, 10)
    rng = np.random.default_rng(1)
    a = rng.dirichlet(np.ones(14), 4)
    b = rng.dirichlet(np.ones(10), 4)
    res = solve_batch(a, b, p.C, 0.05, tol=1e-11)
    assert_same(res, [Transport(a[i], b[i], p.C) for i in range(4)], 0.05, tol=1e-11)


def test_leading_dimensions_broadcast():
    p = points_problem(6, 5)
    regs = np.array([0.5, 0.1, 0.05])
    a = np.stack([p.a, p.a[::-1]])[:, None, :]
    res = solve_batch(a, p.b, p.C, regs, tol=1e-11)
    assert res.plan.shape == (2, 3, 6, 5)
    assert res.f.shape == (2, 3, 6)
    assert res.g.shape == (2, 3, 5)
    assert res.converged.shape == res.value.shape == res.nit.shape == (2, 3)
    for i in range(2):
        for k, reg in enumerate(regs):
            one = solve(a[i, 0], p.b, p.C, reg, tol=1e-11)
            np.testing.assert_allclose(res.plan[i, k], one.plan, rtol=0, atol=1e-9)


def test_without_leading_dimensions_it_is_one_problem():
    p = points_problem(8)
    res = solve_batch(*p.args, 0.1, tol=1e-11)
    assert res.plan.shape == (8, 8)
    assert res.value.shape == ()
    np.testing.assert_allclose(res.plan, solve(*p.args, 0.1, tol=1e-11).plan, rtol=0, atol=1e-9)


def test_missing_weights_are_uniform():
    C = np.stack([p.C for p in points_batch(3, 6, 4)])
    res = solve_batch(None, None, C, 0.1)
    np.testing.assert_allclose(res.plan.sum(axis=2), 1 / 6, atol=1e-9)
    np.testing.assert_allclose(res.plan.sum(axis=1), 1 / 4, atol=1e-9)


def test_a_batch_without_problems_is_empty():
    res = solve_batch(np.ones((0, 3)), np.ones((0, 4)), np.ones((0, 3, 4)), 0.1)
    assert res.success
    assert res.plan.shape == (0, 3, 4)
    assert res.f.shape == (0, 3)
    assert res.value.shape == (0,)


# -- masks and forbidden pairs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("filler", [0.0, 3.0, math.inf, math.nan, -math.inf])
@pytest.mark.parametrize("reg", [0.1, 3e-3])
def test_padded_problems_of_several_sizes_equal_the_bare_ones(filler, reg):
    bare = [points_problem(n, m, seed=n) for n, m in ((5, 9), (12, 12), (8, 3), (1, 6))]
    a, b, C = stacked([padded(p, 12, 12, filler) for p in bare])
    res = solve_batch(a, b, C, reg, tol=1e-11)
    assert res.success, res.message
    assert np.all(np.isfinite(res.f))
    assert np.all(np.isfinite(res.g))
    for i, p in enumerate(bare):
        n, m = p.C.shape
        one = solve(*p.args, reg, tol=1e-11)
        np.testing.assert_allclose(res.plan[i, :n, :m], one.plan, rtol=0, atol=1e-9)
        assert np.all(res.plan[i, n:, :] == 0)
        assert np.all(res.plan[i, :, m:] == 0)
        np.testing.assert_allclose(res.value[i], one.value, rtol=0, atol=1e-9)


def test_atoms_without_mass_get_c_transforms():
    p = points_problem(9, 8)
    a, b = p.a.copy(), p.b.copy()
    a[[0, 4]] = 0.0
    b[[7]] = 0.0
    p = Transport(a / a.sum(), b / b.sum(), p.C)
    res = solve_batch(*(x[None] for x in p.args), 0.02, tol=1e-11)
    one = solve(*p.args, 0.02, tol=1e-11)
    np.testing.assert_allclose(res.f[0], one.f, rtol=0, atol=1e-7)
    np.testing.assert_allclose(res.g[0], one.g, rtol=0, atol=1e-7)


def test_masks_of_shared_costs_differ_between_problems():
    p = points_problem(10, 10)
    a = np.where(np.arange(10) < np.array([[10], [6], [3]]), p.a, 0.0)
    a /= a.sum(axis=1, keepdims=True)
    res = solve_batch(a, p.b, p.C, 1e-2, tol=1e-11)
    assert_same(res, [Transport(a[i], p.b, p.C) for i in range(3)], 1e-2, tol=1e-11)


def test_forbidden_pairs_carry_nothing():
    problems = [forbidden(12, seed=k) for k in range(4)]
    res = solve_batch(*stacked(problems), 0.05, tol=1e-11)
    assert_same(res, problems, 0.05, tol=1e-11, atol=1e-8)
    for i, p in enumerate(problems):
        assert np.all(res.plan[i][np.isinf(p.C)] == 0)


def test_large_offsets_of_some_costs_cost_no_digits():
    problems = points_batch(3, 12)
    a, b, C = stacked(problems)
    C[1] += 1e6
    C[2] += np.linspace(0.0, 1e4, 12)[:, None]
    res = solve_batch(a, b, C, 0.05, tol=1e-9)
    assert res.success, res.message
    plain = solve_batch(*stacked(problems), 0.05, tol=1e-9)
    # Costs of 1e6 hold 1e-10 of their differences.
    np.testing.assert_allclose(res.plan, plain.plan, rtol=0, atol=1e-7)
    np.testing.assert_allclose(np.sum(b * res.g, axis=1), 0.0, atol=1e-9)
    np.testing.assert_allclose(res.value[1], plain.value[1] + 1e6, rtol=1e-12)
    np.testing.assert_allclose(res.lower_bound[1:], [solve(a[i], b[i], C[i], 0.05).lower_bound for i in (1, 2)])


def test_masses_other_than_one():
    problems = [Transport(k * p.a, k * p.b, p.C) for k, p in zip((1e-3, 1.0, 50.0), points_batch(3, 9), strict=True)]
    res = solve_batch(*stacked(problems), 0.05, tol=1e-11)
    for i, p in enumerate(problems):
        one = solve(*p.args, 0.05, tol=1e-11)
        np.testing.assert_allclose(res.plan[i], one.plan, rtol=0, atol=1e-9 * p.a.sum())


# -- libraries, dtypes, sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "reg"), [((4, 3, 5), 0.1), ((4, 5, 3), 5e-3), ((2, 4, 4), 1e-3)], ids=str)
def test_every_library_gives_the_same_answer(xp, shape, reg):
    count, n, m = shape
    a, b, C = stacked(points_batch(count, n, m, seed=3))
    a[0, 0] = 0.0
    a /= a.sum(axis=1, keepdims=True)
    C[0, 1, 2] = math.inf
    reference = solve_batch(a, b, C, reg, tol=1e-11)
    res = solve_batch(*(make(xp, x) for x in (a, b, C)), reg, tol=1e-11)
    assert res.success, res.message
    for name in ("plan", "f", "g", "value", "marginal_error", "converged", "statuses", "nit"):
        assert type(res[name]) is type(make(xp, [1.0])), name
    for name in ("plan", "f", "g", *VALUES):
        np.testing.assert_allclose(to_numpy(res[name]), reference[name], rtol=0, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("reg", [0.1, 1e-2, 2e-3])
def test_float32_stays_float32_and_meets_its_default_tolerance(reg):
    problems = points_batch(6, 16, 12)
    a, b, C = (x.astype(np.float32) for x in stacked(problems))
    res = solve_batch(a, b, C, reg)
    assert res.success, res.message
    assert res.plan.dtype == res.f.dtype == np.float32
    wide = solve_batch(*stacked(problems), reg)
    # The floor that rounding of exponents leaves, about eps / reg relative, over the gap.
    np.testing.assert_allclose(res.plan, wide.plan, rtol=0, atol=1e-5 / min(1.0, 30 * reg))


def test_large_problems_are_solved_one_by_one(monkeypatch):
    problems = points_batch(3, 20)
    monkeypatch.setattr(answers, "PAIRS_LIMIT", 100)
    a, b, C = stacked([padded(p, 22, 21, 1.0) for p in problems])
    res = solve_batch(a, b, C, 0.01, tol=1e-11, history=True)
    assert res.history["unfinished"].tolist() == [2.0, 1.0, 0.0]
    for i, p in enumerate(problems):
        one = solve(*p.args, 0.01, tol=1e-11)
        np.testing.assert_allclose(res.plan[i, :20, :20], one.plan, rtol=0, atol=1e-9)
        assert res.nit_newton[i] == one.nit_newton


def test_problems_that_the_batch_gives_up_are_solved_one_by_one(monkeypatch):
    monkeypatch.setattr(engine, "NEWTON_LIMIT", 1)
    problems = points_batch(4, 20, seed=2)
    regs = np.array([0.2, 1e-3, 0.2, 1e-3])
    res = solve_batch(*stacked(problems), regs, tol=1e-11)
    assert_same(res, problems, regs, tol=1e-11)


def test_chunks_do_not_change_the_answer(monkeypatch):
    args = stacked(points_batch(9, 10, 14))
    regs = np.geomspace(0.2, 1e-3, 9)
    whole = solve_batch(*args, regs, tol=1e-11)
    monkeypatch.setattr(problem, "CHUNK_BYTES", 8 * 5000)
    res = solve_batch(*args, regs, tol=1e-11)
    np.testing.assert_allclose(res.plan, whole.plan, rtol=0, atol=1e-9)


# -- limits and failures ---------------------------------------------------------------------------------------------


def test_one_failure_leaves_the_others_alone():
    problems = points_batch(5, 16)
    regs = np.array([0.5, 0.5, 1e-3, 0.5, 1e-3])
    res = solve_batch(*stacked(problems), regs, maxiter=25)
    assert not res.success
    assert res.status == Status.MAXITER
    assert res.converged.tolist() == [True, True, False, True, False]
    assert res.statuses.tolist() == [0, 0, 1, 0, 1]
    assert res.message.startswith("2 of 5 problems failed, the first of them problem 2: Stopped after ")
    assert "maxiter" in res.message
    assert np.all(np.isfinite(res.plan))
    for i in (0, 1, 3):
        np.testing.assert_allclose(res.plan[i], solve(*problems[i].args, 0.5).plan, rtol=0, atol=1e-9)
    # Of the others, the plan is at the regularisation that was asked for, with its error.
    for i in (2, 4):
        assert res.marginal_error[i] == pytest.approx(l1_error(res.plan[i], problems[i].a, problems[i].b))
        # A burst that has begun is finished, and the last stage takes a sweep.
        assert res.nit[i] <= 25 + 10


def test_messages_name_the_index_in_all_dimensions():
    a, b, C = (x.reshape(2, 2, *x.shape[1:]) for x in stacked(points_batch(4, 10)))
    res = solve_batch(a, b, C, [[0.5, 0.5], [0.5, 1e-3]], maxiter=20)
    assert "1 of 4 problems failed, the first of them problem (1, 1): " in res.message


def test_zero_iterations_return_a_plan():
    res = solve_batch(*stacked(points_batch(3, 8)), 1e-3, maxiter=0)
    assert res.status == Status.MAXITER
    assert np.all(np.isfinite(res.plan))
    # One sweep leaves the columns exact.
    np.testing.assert_allclose(res.plan.sum(axis=1), stacked(points_batch(3, 8))[1], rtol=1e-9)


def test_infeasible_support_among_good_problems_is_found():
    problems = [uniform_problem(10, seed=1), cut_off(10, 4), uniform_problem(10, seed=2)]
    res = solve_batch(*stacked(problems), 0.05)
    assert res.converged.tolist() == [True, False, True]
    assert res.statuses[1] == Status.INFEASIBLE
    assert "+inf" in res.message
    assert np.all(np.isfinite(res.plan))


def far_clusters(n: int, flux: float, *, seed: int) -> Transport:
    """Two clusters of points, and a little more mass in the first of the sources."""
    rng = np.random.default_rng(seed)
    far = np.where(np.arange(n) < n // 2, 0.0, 10.0)[:, None] * np.array([1.0, 0.0])
    C = square_costs(rng.normal(size=(n, 2)) + far, rng.normal(size=(n, 2)) + far)
    a = np.where(np.arange(n) < n // 2, 1.0 + flux, 1.0 - flux) / n
    return Transport(a, uniform_weights(n), C / C.max())


@pytest.mark.parametrize("reg", [1e-2, 1e-3, 1e-4])
def test_little_mass_between_far_clusters_is_moved(reg):
    problems = [far_clusters(16, 2e-6, seed=k) for k in range(4)]
    res = solve_batch(*stacked(problems), reg, tol=1e-11)
    assert res.success, res.message
    # The batched steps get there, not the single solver.
    assert np.all(res.nit_newton < 100)
    # 1e-6 of the mass leaves the first cluster, to as many digits as the tolerance leaves.
    np.testing.assert_allclose(
        res.plan[:, :8, 8:].sum(axis=(1, 2)) - res.plan[:, 8:, :8].sum(axis=(1, 2)), 1e-6, rtol=1e-4
    )


def test_time_limit_and_callback_stop_all():
    args = stacked(points_batch(4, 20))
    res = solve_batch(*args, 1e-4, time_limit=1e-6)
    assert res.status == Status.TIME_LIMIT
    assert np.all(np.isfinite(res.plan))
    seen = []

    def stop(intermediate_result):
        seen.append(intermediate_result)
        raise StopIteration

    res = solve_batch(*args, 1e-4, callback=stop)
    assert res.status == Status.CALLBACK
    assert seen[0].x.shape == (4, 20, 20)
    assert seen[0].f.shape == (4, 20)


def test_history_records_rounds(caplog):
    with caplog.at_level("INFO", logger="numopt"):
        res = solve_batch(*stacked(points_batch(4, 12)), [0.5, 0.1, 1e-2, 1e-3], history=True, verbose=2)
    unfinished = res.history["unfinished"]
    assert unfinished[-1] == 0
    assert np.all(np.diff(unfinished) <= 0)
    assert "ot.solve_batch" in caplog.text


def test_warm_start_needs_few_steps():
    args = stacked(points_batch(4, 16))
    cold = solve_batch(*args, 2e-3)
    for init in (cold, (cold.f, cold.g)):
        warm = solve_batch(*args, 2e-3, init=init)
        assert warm.success
        assert np.all(warm.nit <= 10)
        np.testing.assert_allclose(warm.plan, cold.plan, rtol=0, atol=1e-8)


def test_linf_norm_and_no_plan():
    res = solve_batch(*stacked(points_batch(4, 16)), 0.05, norm="linf", tol=1e-10, plan=None)
    assert res.success
    assert res.plan is None
    assert np.all(res.marginal_error_linf <= 1e-10)


# -- wrong input -----------------------------------------------------------------------------------------------------

A, B, C = (x for x in stacked(points_batch(3, 2, 3)))


def with_entry(values, where, value):
    changed = values.copy()
    changed[where] = value
    return changed


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"C": None}, TypeError, "`C` must be an array of costs"),
        ({"C": C[0, 0]}, ValueError, r"shape \(\.\.\., n, m\).*solve_batch\(a, b, C, reg\)"),
        ({"C": 1j * C}, TypeError, "must be real"),
        ({"a": A[:, :1]}, ValueError, r"`a` must have shape \(\.\.\., 2\)"),
        ({"b": A}, ValueError, r"`b` must have shape \(\.\.\., 3\)"),
        ({"a": A[:2]}, ValueError, "leading dimensions.*must broadcast"),
        ({"reg": [0.1, 0.1]}, ValueError, "leading dimensions.*must broadcast"),
        ({"reg": [0.1, 0.0, 0.1]}, ValueError, "`reg` must be positive and finite, got 0.0 for problem 1"),
        ({"reg": [0.1, 0.1, math.nan]}, ValueError, "got nan for problem 2"),
        ({"reg": -1.0}, ValueError, "`reg` must be a positive"),
        ({"reg": ["x", "y", "z"]}, TypeError, "`reg` must hold real numbers"),
        ({"a": with_entry(A, (1, 0), -0.1)}, ValueError, "`a` must hold finite non-negative.* in problem 1"),
        ({"b": with_entry(B, (2, 0), math.nan)}, ValueError, "`b` must hold finite non-negative.* in problem 2"),
        ({"a": with_entry(A, 1, 0.0)}, ValueError, "`a` must have positive mass.* in problem 1"),
        ({"b": with_entry(B, 2, 1.0)}, ValueError, "same mass.*in problem 2"),
        ({"C": with_entry(C, (1, 0, 0), math.nan)}, ValueError, "`C` must hold numbers above -inf.* in problem 1"),
        ({"C": with_entry(C, (2, 0, 0), -math.inf)}, ValueError, "`C` must hold numbers above -inf.* in problem 2"),
        ({"C": with_entry(C, (1, 0), math.inf)}, ValueError, "Problem 1 is infeasible: a source"),
        ({"C": with_entry(C, (2, slice(None), 1), math.inf)}, ValueError, "Problem 2 is infeasible: a target"),
        ({"tol": 0.0}, ValueError, "`tol`"),
        ({"norm": "l2"}, ValueError, "`norm`"),
        ({"plan": "lazy"}, ValueError, "`plan`"),
        ({"init": (A, A)}, ValueError, r"`init` must hold g of shape \(3, 3\)"),
        ({"init": (A, math.nan * B)}, ValueError, "`init` must be finite"),
        ({"init": (A,)}, ValueError, "pair of potentials"),
    ],
    ids=str,
)
def test_wrong_input_is_refused_by_name(changes, error, match):
    with pytest.raises(error, match=match):
        solve_batch(**{"a": A, "b": B, "C": C, "reg": 0.1} | changes)


def test_float32_floor_names_the_problem():
    args = (x.astype(np.float32) for x in stacked(points_batch(2, 4)))
    with pytest.raises(ValueError, match=r"rounding floor of float32.*problem 1"):
        solve_batch(*args, [1.0, 1e-6], tol=1e-5)


def test_input_is_not_modified():
    args = stacked(points_batch(3, 6))
    copies = tuple(x.copy() for x in args)
    solve_batch(*args, 1e-3)
    for x, copy in zip(args, copies, strict=True):
        np.testing.assert_array_equal(x, copy)
