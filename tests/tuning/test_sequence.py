"""`solve_sequence`: what it calls, records, and does when a solve fails; with fakes and with numopt's solvers."""

import itertools
import logging
import math
import time

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from scipy.optimize import OptimizeResult

from numopt import Status
from numopt.problems import SystemSequence
from numopt.tuning import BanditTuner, solve_sequence

GRID = [1.0, 1.3, 1.6, 1.9]
A = sp.diags_array([-1.0, 4.0, -1.0], offsets=[-1, 0, 1], shape=(5, 5), format="csr")


def fake(A, b, x0=None, *, omega=1.0, rtol=1e-8, maxiter=10_000):
    """Solve exactly and say that it took 20 + 100 |omega - 1.6| iterations, or maxiter where that is less."""
    wanted = round(20 + 100 * abs(omega - 1.6))
    nit = min(wanted, maxiter)
    x = np.linalg.solve(A.toarray() if sp.issparse(A) else A, b)
    if nit < wanted:
        return OptimizeResult(x=np.zeros_like(x), nit=nit, success=False, status=Status.MAXITER)
    return OptimizeResult(x=x, nit=nit, success=True, status=Status.CONVERGED)


def systems(n, seed=0):
    rng = np.random.default_rng(seed)
    return [(A, rng.standard_normal(5)) for _ in range(n)]


def tuner(grid=GRID, **options):
    return BanditTuner(grid, rng=0, **options)


def test_records_every_system():
    learner = tuner()
    problems = systems(60)
    res = solve_sequence(problems, learner, fake, keep=True)
    assert res.success
    assert res.status is Status.CONVERGED
    assert "Converged after 60 systems" in res.message
    assert res.nit == 60
    np.testing.assert_array_equal(res.costs, 20 + np.round(100 * np.abs(res.chosen - 1.6)))
    np.testing.assert_array_equal(res.costs, res.iterations)
    assert res.successes.all()
    assert res.contexts == [None] * 60
    assert len(res.solutions) == 60
    for (A, b), x in zip(problems, res.solutions, strict=True):
        np.testing.assert_allclose(A @ x, b, atol=1e-12)
    np.testing.assert_array_equal(res.x, res.solutions[-1])
    assert learner.history["cost"] == res.costs.tolist()
    assert 0 <= res.solve_time <= res.time
    assert 0 <= res.tuning_time <= res.time
    assert "solutions" not in solve_sequence(problems, learner, fake)


def test_learns_within_a_sequence_and_over_several():
    learner = tuner()
    first = solve_sequence(systems(300), learner, fake)
    second = solve_sequence(systems(300), learner, fake)
    assert learner.best() == 1.6
    assert second.costs.mean() < first.costs.mean()


def test_same_seed_same_choices():
    runs = [solve_sequence(systems(50), tuner(), fake).chosen for _ in range(2)]
    np.testing.assert_array_equal(*runs)


@pytest.mark.parametrize("method", ["chebcb", "tsallis-inf-cb"])
@pytest.mark.parametrize("way", ["item", "function", "sequence"])
def test_contexts_come_from_items_a_function_or_a_sequence(method, way):
    contexts = np.random.default_rng(0).random(20)
    pairs = systems(20)
    learner = tuner(method=method, context_bounds=(0, 1))
    if way == "item":
        res = solve_sequence([(*pair, c) for pair, c in zip(pairs, contexts, strict=True)], learner, fake)
    elif way == "sequence":
        res = solve_sequence(pairs, learner, fake, context=contexts.tolist())
    else:
        res = solve_sequence(pairs, learner, fake, context=lambda A, b: float(abs(np.sin(b[0]))))
        contexts = [abs(np.sin(b[0])) for _, b in pairs]
    np.testing.assert_allclose(res.contexts, contexts)
    assert learner.history["context"] == list(res.contexts)


def starts_of(x0, problems=None, solver=None):
    seen = []

    def spy(A, b, x0="none", *, omega):
        seen.append(x0)
        return fake(A, b, omega=omega)

    res = solve_sequence(problems or systems(3), tuner(), spy, x0=x0, keep=True)
    return seen, res.solutions


def test_starting_points():
    seen, solutions = starts_of("previous")
    assert seen[0] == "none"  # the solver's own start
    np.testing.assert_array_equal(seen[1:], solutions[:2])
    seen, _ = starts_of("zero")
    np.testing.assert_array_equal(seen, np.zeros((3, 5)))
    seen, _ = starts_of(None)
    assert seen == ["none"] * 3
    seen, solutions = starts_of(np.arange(5.0))
    np.testing.assert_array_equal(seen, [np.arange(5.0), *solutions[:2]])


def test_a_right_hand_side_may_be_made_from_the_solution_before():
    steps = [(sp.csr_array(2 * np.eye(5)), lambda x: x + 1)] * 4
    res = solve_sequence(steps, tuner(), fake, x0=np.zeros(5))
    np.testing.assert_allclose(res.x, 1 - 0.5**4)
    with pytest.raises(ValueError, match="needs the state before the first system: pass it as `x0`"):
        solve_sequence(steps, tuner(), fake)


def test_a_sequence_brings_its_first_state():
    heat = SystemSequence.heat(10, n_steps=5)
    direct = heat.x0
    for A, b, _ in heat:
        direct = spla.spsolve(sp.csc_array(A), b(direct))
    for x0 in ("previous", "zero"):
        res = solve_sequence(heat, tuner(), "ssor-cg", x0=x0, rtol=1e-11)
        np.testing.assert_allclose(res.x, direct, rtol=0, atol=1e-9 * direct.max())


@pytest.mark.parametrize("solver", ["sor", "ssor-cg"])
def test_solvers_by_name(solver):
    sequence = SystemSequence.shifted_laplacian(n_steps=40)
    res = solve_sequence(sequence, tuner(method="chebcb", context_bounds=(-0.15, 0.65)), solver, keep=True)
    assert res.success
    assert "largest relative residual" in res.message
    assert np.all(res.residuals <= 1e-8)
    for (A, b, _), x in zip(sequence, res.solutions, strict=True):
        assert np.linalg.norm(b - A @ x) <= 1.01e-8 * np.linalg.norm(b)
    flops = solve_sequence(sequence, tuner(cost="flops"), solver)
    A = next(iter(sequence))[0]
    each = 3 * A.nnz if solver == "sor" else 2 * A.nnz + 14 * A.shape[0]
    np.testing.assert_allclose(flops.costs, flops.iterations * each)


def test_the_iterations_are_those_of_the_solver_alone():
    from numopt.linear import sor

    sequence = SystemSequence.shifted_laplacian(n_steps=20)
    res = solve_sequence(sequence, tuner(), x0="zero")
    alone = [sor(A, b, omega=value).nit for (A, b, _), value in zip(sequence, res.chosen, strict=True)]
    np.testing.assert_array_equal(res.iterations, alone)


def test_options_reach_the_solver_that_takes_them():
    seen = []

    def picky(A, b, *, omega, rtol, shift):
        seen.append((rtol, shift))
        return fake(A, b, omega=omega)

    solve_sequence(systems(2), tuner(), picky, rtol=1e-3, solver_options={"shift": 4})
    assert seen == [(1e-3, 4)] * 2
    solve_sequence(systems(2), tuner([1.5]), lambda A, b, **options: seen.append(options) or fake(A, b), param="w")
    assert seen[-1]["w"] == 1.5
    assert seen[-1]["maxiter"] == 10_000


def test_results_may_be_pairs_or_solutions():
    def pair(A, b, x0=None, *, rtol, omega):
        return spla.cg(A, b, x0=x0, rtol=rtol)

    res = solve_sequence(systems(20), tuner(cost="time"), pair)
    assert res.success
    assert (res.iterations == -1).all()
    assert (res.costs > 0).all()
    res = solve_sequence(systems(5), tuner(cost=lambda x: float(x[0] ** 2)), lambda A, b, omega: spla.spsolve(A, b))
    np.testing.assert_allclose(res.costs[-1], res.x[0] ** 2)
    with pytest.raises(TypeError, match="has no `nit`; use cost='time' or a function of the result"):
        solve_sequence(systems(5), tuner(), pair)
    with pytest.raises(TypeError, match="`solver` must return a result with `x`"):
        solve_sequence(systems(5), tuner(), lambda A, b, omega: "done")


def test_values_may_be_solvers():
    def cg(A, b, x0=None, rtol=1e-8):
        return fake(A, b, x0, omega=1.0)

    def direct(A, b):
        return fake(A, b, omega=1.6)

    learner = tuner([cg, direct])
    res = solve_sequence(systems(100), learner, None)
    assert res.success
    assert learner.best() is direct
    assert res.chosen[-1] in (cg, direct)


def test_a_value_that_raises_is_replaced_and_hardly_tried_again():
    tries = []

    def fragile(A, b, *, omega):
        tries.append(omega)
        if omega == 1.6:
            raise RuntimeError("zero pivot")
        return fake(A, b, omega=omega)

    learner = tuner()
    res = solve_sequence(systems(400), learner, fragile)
    assert res.success
    assert 1 <= tries.count(1.6) <= 4
    assert sum(learner.history["failed"]) == tries.count(1.6)
    assert np.all(res.costs >= 50)


def test_the_error_is_raised_if_every_value_raises():
    def broken(A, b, *, omega):
        raise ArithmeticError(f"no luck with {omega}")

    with pytest.raises(ArithmeticError, match="no luck with"):
        solve_sequence(systems(3), tuner(), broken)


def test_a_cheap_breakdown_is_no_success():
    def diverges(A, b, *, omega):
        if omega > 1.5:
            return OptimizeResult(x=np.full(5, np.nan), nit=2, success=False, status=Status.DIVERGED)
        return fake(A, b, omega=omega)

    learner = tuner()
    res = solve_sequence(systems(200), learner, diverges)
    assert res.success
    assert learner.best() == 1.3
    assert np.isfinite(res.x).all()
    assert res.costs.max() >= 50 + 2  # the breakdown is charged too


def test_a_solution_of_nan_is_no_success():
    res = solve_sequence(systems(3), tuner([1.0]), lambda A, b, omega: OptimizeResult(x=b * np.nan, nit=1))
    assert not res.success
    assert res.status is Status.NONFINITE


def test_unsolved_systems_show_in_the_status():
    res = solve_sequence(systems(10), tuner([1.0, 1.6]), fake, maxiter=50)
    assert res.status is Status.MAXITER
    assert not res.success
    assert (res.costs[~res.successes] == 50).all()
    assert "systems were not solved, the first of them number" in res.message
    assert np.array_equal(res.successes, res.statuses == 0)


def test_abort_goes_on_with_the_best_value():
    calls = []

    def spy(A, b, x0=None, *, omega, maxiter):
        calls.append((omega, maxiter, x0))
        return fake(A, b, omega=omega, maxiter=maxiter)

    grid = [1.0, 1.6, 1.61]
    learner = tuner(grid)
    res = solve_sequence(systems(300), learner, spy, abort=2.0, x0=None)
    assert res.success
    # Twice about 20, and then 20 with the best value; before, two starts at most are in the dark.
    stopped = [cost for cost, value in zip(res.costs, res.chosen, strict=True) if value == 1.0]
    assert sorted(stopped)[0] == pytest.approx(61, abs=3)
    assert (res.iterations == res.costs).all()
    limits = {maxiter for omega, maxiter, _ in calls if omega == 1.0}
    assert min(limits) in (40, 41, 42)
    follow = [x0 for (omega, *_), (_, _, x0) in itertools.pairwise(calls) if omega == 1.0 and x0 is not None]
    assert follow  # goes on from the iterate
    without = solve_sequence(systems(300), tuner(grid), fake)
    assert res.costs.sum() < without.costs.sum()


def test_max_cost_stops_a_solve():
    learner = tuner([1.0, 1.6], max_cost=30)
    res = solve_sequence(systems(50), learner, fake)
    assert res.success
    assert set(res.costs) <= {20.0, 50.0}
    assert max(np.array(learner.get_state()["arrays"]["totals"])[:, 3]) <= 30


def test_hedge_solves_with_every_value():
    learner = tuner(method="hedge")
    res = solve_sequence(systems(60), learner, fake)
    assert res.success
    assert learner.best() == 1.6
    assert res.costs[-20:].mean() <= 30
    sequence = SystemSequence.shifted_laplacian(n_steps=15)
    batch = solve_sequence(sequence, tuner(method="hedge"), keep=True, x0="zero")
    loop = solve_sequence(sequence, tuner(method="hedge"), x0="zero", time_limit=1000)
    np.testing.assert_array_equal(batch.costs, loop.costs)
    assert np.all(batch.residuals <= 1e-8)


def test_hedge_survives_a_value_that_fails():
    def fragile(A, b, *, omega):
        if omega == 1.6:
            raise RuntimeError("zero pivot")
        return fake(A, b, omega=omega)

    learner = tuner(method="hedge")
    assert solve_sequence(systems(60), learner, fragile).success
    assert learner.best() == 1.3


def test_time_limit():
    def slow(A, b, *, omega):
        time.sleep(0.01)
        return fake(A, b, omega=omega)

    res = solve_sequence(systems(1000), tuner(), slow, time_limit=0.2)
    assert res.status is Status.TIME_LIMIT
    assert not res.success
    assert 0 < res.nit < 1000
    assert "Stopped by time_limit" in res.message
    empty = solve_sequence(systems(5), tuner(), fake, time_limit=0)
    assert (empty.status, empty.nit, empty.x) == (Status.TIME_LIMIT, 0, None)


def test_callbacks():
    seen = []
    res = solve_sequence(
        systems(5), tuner(), fake, callback=lambda intermediate_result: seen.append(intermediate_result)
    )
    assert [step.nit for step in seen] == [1, 2, 3, 4, 5]
    assert [step.cost for step in seen] == res.costs.tolist()
    assert seen[-1].value == res.chosen[-1]
    path = []

    def stop(x):
        path.append(x)
        if len(path) == 3:
            raise StopIteration

    res = solve_sequence(systems(5), tuner(), fake, callback=stop)
    assert res.status is Status.CALLBACK
    assert res.nit == 3
    np.testing.assert_array_equal(path[-1], res.x)


def test_verbose(capsys, caplog):
    solve_sequence(systems(3), tuner(), fake)
    assert capsys.readouterr() == ("", "")
    solve_sequence(systems(3), tuner(), fake, verbose=1)
    assert "solve_sequence" in capsys.readouterr().err
    with caplog.at_level(logging.INFO, "numopt"):
        solve_sequence(systems(3), tuner(), fake, verbose=2)
    assert len(caplog.messages) >= 3


def test_no_systems():
    res = solve_sequence([], tuner(), fake)
    assert (res.x, res.nit, res.success) == (None, 0, True)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        ((systems(1), 1.5), {}, TypeError, "`tuner` must be a BanditTuner"),
        ((3, tuner()), {}, TypeError, "`systems` must be an iterable"),
        (([A], tuner()), {}, TypeError, r"`systems` must yield \(A, b\) or"),
        (([(A,)], tuner()), {}, TypeError, "got a tuple of 1 as number 0"),
        ((systems(1), tuner(), "gauss"), {}, ValueError, "`solver` must be one of 'sor', 'ssor-cg'"),
        ((systems(1), tuner(), 3), {}, TypeError, "`solver` must be 'sor', 'ssor-cg', a function"),
        ((systems(1), tuner(), fake), {"x0": "warm"}, ValueError, "`x0` must be 'previous', 'zero'"),
        ((systems(1), tuner(), fake), {"x0": 3}, TypeError, "`x0` must be 'previous'"),
        ((systems(1), tuner(), fake), {"context": 3}, TypeError, "`context` must be None, a function"),
        ((systems(2), tuner(), fake), {"context": [0.1]}, ValueError, "`context` must have one entry for each system"),
        ((systems(1), tuner(), fake), {"rtol": -1}, ValueError, "`rtol`"),
        ((systems(1), tuner(), fake), {"maxiter": 0}, ValueError, "`maxiter`"),
        ((systems(1), tuner(), fake), {"abort": 0.5}, ValueError, "`abort`"),
        ((systems(1), tuner(), fake), {"time_limit": math.nan}, ValueError, "`time_limit`"),
        ((systems(1), tuner(), fake), {"callback": 3}, TypeError, "`callback`"),
        ((systems(1), tuner(), fake), {"verbose": 7}, ValueError, "`verbose`"),
    ],
)
def test_bad_arguments(arguments, options, error, match):
    with pytest.raises(error, match=match):
        solve_sequence(*arguments, **options)
