"""Asks and tells: tickets, errors, failures, censored costs, state, determinism."""

import json
import math
import pickle
import threading

import numpy as np
import pytest

from numopt._core.warnings import NumericalWarning
from numopt.tuning import BanditTuner

GRID = np.linspace(1, 1.95, 20)
BOUNDS = {"context_bounds": (0.0, 1.0)}
METHODS = ["tsallis-inf", "tsallis-inf-cb", "chebcb", "exp3", "ucb1", "thompson", "epsilon-greedy", "fixed"]
LEARNING = METHODS[:-1]


def cost_of(value, context=0.3):
    return 20 + 100 * abs(value - 1.4 - 0.3 * context)


def play(tuner, rounds, cost=cost_of, seed=0, contexts=True):
    """Ask and tell; return the values chosen."""
    rng = np.random.default_rng(seed)
    chosen = []
    for _ in range(rounds):
        context = float(rng.random())
        value = tuner.ask(context)
        chosen.append(value)
        tuner.tell(cost(value, context if contexts else 0.3) + float(rng.exponential()))
    return chosen


@pytest.mark.parametrize("method", METHODS)
def test_values_come_from_the_grid(method):
    tuner = BanditTuner(GRID, method=method, rng=0, **BOUNDS)
    assert set(play(tuner, 50)) <= set(GRID.tolist())
    assert all(type(value) is float for value in tuner.grid)


@pytest.mark.parametrize("method", LEARNING)
def test_learns_the_best_value(method):
    tuner = BanditTuner(GRID[::3], method=method, rng=0, **BOUNDS)
    play(tuner, 1500, contexts=False)
    best = min(tuner.grid, key=cost_of)
    assert abs(tuner.best(0.3) - best) <= 0.16
    spent = tuner.history["cost"][-300:]
    uniform = np.mean([cost_of(value) for value in tuner.grid])
    assert np.mean(spent) < 0.75 * uniform


@pytest.mark.parametrize("method", ["chebcb", "tsallis-inf-cb"])
def test_learns_the_best_value_as_a_function_of_the_context(method):
    tuner = BanditTuner(GRID[::2], method=method, bins=3, rng=0, **BOUNDS)
    play(tuner, 4000)
    assert tuner.best(0.02) < tuner.best(0.98)
    assert tuner.best(0.98) == pytest.approx(1.7, abs=0.11)


def test_chebcb_beats_the_best_fixed_value():
    tuner = BanditTuner(GRID, method="chebcb", rng=0, **BOUNDS)
    play(tuner, 3000)
    contexts = np.array(tuner.history["context"])
    fixed = min(np.mean([cost_of(value, c) for c in contexts]) for value in tuner.grid)
    assert np.mean(tuner.history["cost"][500:]) < fixed


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_determines_the_choices(method):
    runs = [play(BanditTuner(GRID, method=method, rng=rng, **BOUNDS), 200) for rng in (7, 7, 8)]
    assert runs[0] == runs[1]
    assert method in ("fixed", "ucb1") or runs[0] != runs[2]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", [{}, {"cost": "time", "window": 40}, {"discount": 0.95, "detect_changes": True}])
def test_a_state_goes_through_json(method, options):
    first = BanditTuner(GRID[::4], method=method, rng=0, **BOUNDS, **options)
    play(first, 100)
    first.ask(0.5)
    _, ticket = first.ask(0.7, ticket=True)
    state = json.loads(json.dumps(first.get_state(), allow_nan=False))
    second = BanditTuner(GRID[::4], method=method, rng=99, **BOUNDS, **options)
    second.set_state(state)
    assert second.get_state() == first.get_state()
    for tuner in (first, second):
        tuner.tell(50.0, ticket=pickle.loads(pickle.dumps(ticket)))
        tuner.tell(60.0)
    assert play(first, 60, seed=5) == play(second, 60, seed=5)
    assert second.get_state() == first.get_state()


def test_a_state_of_something_else_is_refused():
    tuner = BanditTuner(GRID, rng=0)
    before = tuner.get_state()
    with pytest.raises(ValueError, match="`state` must be that of method 'tsallis-inf', got 'exp3'"):
        tuner.set_state(BanditTuner(GRID, method="exp3").get_state())
    with pytest.raises(ValueError, match="`state` must be that of the grid"):
        tuner.set_state(BanditTuner(GRID + 0.01).get_state())
    with pytest.raises(ValueError, match="`state` must be what get_state"):
        tuner.set_state({"version": 0})
    with pytest.raises(ValueError, match="same `cost` and `detect_changes`"):
        tuner.set_state(BanditTuner(GRID, detect_changes=True).get_state())
    chebcb = {"method": "chebcb", **BOUNDS}
    with pytest.raises(ValueError, match="`state` must hold gram of shape"):
        BanditTuner(GRID, **chebcb).set_state(BanditTuner(GRID, n_features=4, **chebcb).get_state())
    assert tuner.get_state() == before


def test_tell_before_ask_and_twice():
    tuner = BanditTuner(GRID)
    with pytest.raises(RuntimeError, match=r"tell\(\) needs an open ask\(\)"):
        tuner.tell(3.0)
    tuner.ask()
    tuner.tell(3.0)
    with pytest.raises(RuntimeError, match=r"tell\(\) needs an open ask\(\)"):
        tuner.tell(3.0)
    _, ticket = tuner.ask(ticket=True)
    with pytest.raises(RuntimeError, match="needs an open"):
        tuner.tell(3.0)  # the ask belongs to its ticket
    tuner.tell(3.0, ticket=ticket)
    with pytest.raises(RuntimeError, match=r"`ticket` .* is not open"):
        tuner.tell(3.0, ticket=ticket)
    with pytest.raises(RuntimeError, match=r"`ticket` .* is not open"):
        tuner.fail(ticket=ticket)
    with pytest.raises(TypeError, match="`ticket` must come from"):
        tuner.tell(3.0, ticket=4)
    assert tuner.n_tells == 2


@pytest.mark.parametrize(
    ("cost", "error"),
    [(math.nan, ValueError), (-1.0, ValueError), (math.inf, ValueError), ("3", TypeError), (True, TypeError),
     (None, TypeError), ([3.0], TypeError)],
)  # fmt: skip
def test_a_bad_cost_leaves_the_ask_open(cost, error):
    tuner = BanditTuner(GRID)
    tuner.ask()
    with pytest.raises(error, match="`cost` must be a non-negative finite float, got"):
        tuner.tell(cost)
    tuner.tell(np.int64(3))
    assert tuner.history["cost"] == [3.0]


def test_value_and_context_choose_an_open_ask():
    tuner = BanditTuner([1, 2], method="fixed")
    for context in (0.1, 0.2, 0.3):
        tuner.ask(context)
    tuner.tell(5.0, context=0.2)
    tuner.tell(6.0)
    with pytest.raises(RuntimeError, match=r"with context 0\.2"):
        tuner.tell(5.0, context=0.2)
    with pytest.raises(RuntimeError, match="and value 2"):
        tuner.tell(5.0, value=2)
    tuner.tell(7.0, value=1)
    assert tuner.history["context"] == [0.2, 0.3, 0.1]


@pytest.mark.parametrize("method", ["tsallis-inf", "chebcb"])
def test_costs_come_in_any_order_with_the_probability_of_their_draw(method):
    tuner = BanditTuner(GRID, method=method, rng=0, **BOUNDS)
    play(tuner, 100)
    issued = [tuner.ask(0.2, ticket=True) for _ in range(8)]
    for value, ticket in reversed(issued):
        tuner.tell(cost_of(value), ticket=ticket)
    assert tuner.history["probability"][100:] == [ticket.probability for _, ticket in reversed(issued)]
    assert tuner.history["value"][100:] == [value for value, _ in reversed(issued)]
    # Nothing was told in between, so that all were drawn from the same distribution.
    same = [ticket.probability for value, ticket in issued if value == issued[0][0]]
    assert len(set(same)) == 1


def test_the_order_of_delayed_costs_does_not_matter():
    states = []
    for order in (1, -1):
        tuner = BanditTuner(GRID, rng=0)
        issued = [tuner.ask(ticket=True) for _ in range(30)]
        for value, ticket in issued[::order]:
            tuner.tell(cost_of(value), ticket=ticket)
        states.append(np.array(tuner.get_state()["arrays"]["arms"]))
    np.testing.assert_allclose(states[0], states[1], rtol=1e-13)


def test_threads_share_a_tuner():
    tuner = BanditTuner(GRID, method="chebcb", rng=0, **BOUNDS)

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(200):
            context = float(rng.random())
            value, ticket = tuner.ask(context, ticket=True)
            tuner.tell(cost_of(value, context), ticket=ticket)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tuner.n_tells == 800
    assert np.sum(tuner.get_state()["arrays"]["arms"], axis=1)[0, 1] == 800


def test_probabilities_do_not_depend_on_the_unit_of_the_costs():
    chosen = []
    for unit in (1.0, 1e-3, 1e6):
        tuner = BanditTuner(GRID, cost="time", cost_floor=unit, rng=3)
        rng = np.random.default_rng(1)
        values = []
        for _ in range(300):
            value = tuner.ask()
            values.append(value)
            tuner.tell(unit * (1 + cost_of(value) + rng.exponential()))
        chosen.append(values)
    assert chosen[0] == chosen[1] == chosen[2]


def test_costs_below_one():
    tuner = BanditTuner([0.0, 1.0, 2.0], cost="time", rng=0)
    costs = {0.0: 0.2, 1.0: 0.02, 2.0: 0.1}
    for _ in range(2000):
        tuner.tell(costs[tuner.ask()])
    assert tuner.best() == 1.0
    assert np.mean(tuner.history["cost"]) < 1.3 * 0.02


def test_costs_at_the_floor_are_fine():
    tuner = BanditTuner(GRID, rng=0)
    for _ in range(50):
        tuner.ask()
        tuner.tell(1)
    tuner = BanditTuner(GRID, method="chebcb", rng=0, **BOUNDS)
    for _ in range(50):
        tuner.ask(0.1)
        tuner.tell(0)


@pytest.mark.parametrize("method", LEARNING)
@pytest.mark.parametrize("max_cost", [None, 500.0])
def test_an_arm_that_fails_is_hardly_played(method, max_cost):
    plays = []
    for seed in range(12):
        tuner = BanditTuner(GRID, method=method, max_cost=max_cost, rng=seed, **BOUNDS)
        rng = np.random.default_rng(seed)
        failures = 0
        for _ in range(1000):
            context = float(rng.random())
            value = tuner.ask(context)
            if value == GRID[8]:  # the best one, if only it worked
                failures += 1
                tuner.fail()
            else:
                tuner.tell(cost_of(value, context) + float(rng.exponential()))
        plays.append(failures)
        assert sum(tuner.history["failed"]) == failures
        assert tuner.best(0.3) != GRID[8]
    assert max(plays) <= 5
    assert np.median(plays) <= 1


def test_before_any_cost_a_failed_arm_is_masked():
    tuner = BanditTuner([1, 2, 3], rng=0)
    first = tuner.ask()
    tuner.fail()
    assert all(tuner.ask() != first for _ in range(60))
    assert math.isnan(tuner.history["cost"][0])


def test_when_every_arm_fails_asks_still_have_answers():
    for method in LEARNING:
        tuner = BanditTuner([1, 2, 3], method=method, rng=0, **BOUNDS)
        for _ in range(100):
            tuner.ask(0.5)
            tuner.fail()
        assert tuner.ask(0.5) in (1, 2, 3)


def test_a_fixed_value_gives_way_when_it_fails():
    tuner = BanditTuner([1, 2, 3], method="fixed")
    assert tuner.ask() == 1
    tuner.fail()
    assert tuner.ask() == 2


def test_a_censored_cost_counts_as_the_mean_if_that_is_larger():
    tuner = BanditTuner([1.0], rng=0)
    for cost, censored in ((100, False), (40, True), (190, True)):
        tuner.ask()
        tuner.tell(cost, censored=censored)
    arms = np.array(tuner.get_state()["arrays"]["arms"])
    assert arms[0, 0, 2] == 100 + 100 + 190
    assert tuner.history["censored"] == [False, True, True]


def test_max_cost_cuts_costs():
    tuner = BanditTuner([1.0], max_cost=50, rng=0)
    tuner.ask()
    tuner.tell(1e9)
    assert np.array(tuner.get_state()["arrays"]["arms"])[0, 0, 2] == 50


@pytest.mark.parametrize("method", ["tsallis-inf", "chebcb"])
def test_the_limit_is_a_multiple_of_the_best_mean(method):
    tuner = BanditTuner([1.0, 2.0], method=method, n_features=1, rng=0, **BOUNDS)
    _, first = tuner.ask(0.5, ticket=True)
    assert tuner.limit(first) == math.inf
    tuner.tell(10, ticket=first)
    for _ in range(60):
        value, ticket = tuner.ask(0.5, ticket=True)
        tuner.tell(10 if value == 1.0 else 90, ticket=ticket)
    while (issued := tuner.ask(0.5, ticket=True))[0] != 2.0:
        pass
    assert tuner.limit(issued[1]) == pytest.approx(40, rel=0.1)
    assert tuner.limit(issued[1], 2.5) == pytest.approx(25, rel=0.1)
    assert tuner.limit(issued[1], None) == math.inf
    assert tuner.alternatives(issued[1]) == [1.0]
    while (issued := tuner.ask(0.5, ticket=True))[0] != 1.0:
        pass
    assert tuner.limit(issued[1]) == math.inf
    capped = BanditTuner([1.0, 2.0], max_cost=33, rng=0)
    assert capped.limit(capped.ask(ticket=True)[1]) == 33


def test_best_before_any_cost_is_the_middle():
    assert BanditTuner([1, 2, 3, 4, 5]).best() == 3


def test_regret_estimate_of_a_known_problem():
    tuner = BanditTuner([1.0, 2.0], method="epsilon-greedy", epsilon=1.0, rng=0)
    for _ in range(400):
        tuner.tell(10.0 if tuner.ask() == 1.0 else 30.0)
    assert tuner.regret_estimate() == pytest.approx(20 * tuner.history["value"].count(2.0))
    assert BanditTuner([1, 2]).regret_estimate() == 0


def test_regret_of_chebcb_is_that_against_the_best_value_of_each_context():
    tuner = BanditTuner(GRID[::4], method="chebcb", rng=0, **BOUNDS)
    play(tuner, 2000)
    contexts, costs = tuner.history["context"], tuner.history["cost"]
    best = sum(min(cost_of(value, c) for value in tuner.grid) + 1 for c in contexts)
    assert tuner.regret_estimate() == pytest.approx(sum(costs) - best, rel=0.5)


def test_one_arm_is_always_chosen():
    for method in (*METHODS, "hedge"):
        tuner = BanditTuner([1.5], method=method, rng=0, **BOUNDS)
        assert tuner.ask(0.5) == 1.5
        tuner.tell([9.0] if method == "hedge" else 9.0)
        assert tuner.ask(0.5) == 1.5


def test_arms_may_be_names_or_functions():
    tuner = BanditTuner(["cg", "amg", "direct"], rng=0)
    for _ in range(300):
        tuner.tell({"cg": 30, "amg": 9, "direct": 60}[tuner.ask()])
    assert tuner.best() == "amg"
    functions = BanditTuner([math.sin, math.cos])
    assert functions.ask() in (math.sin, math.cos)
    json.dumps(functions.get_state())


def test_hedge_takes_the_costs_of_all_values():
    tuner = BanditTuner(GRID, method="hedge", rng=0)
    for _ in range(200):
        tuner.ask()
        tuner.tell([cost_of(value) for value in tuner.grid])
    assert tuner.best() == pytest.approx(1.5)
    best = min(cost_of(value) for value in tuner.grid)
    assert 0 <= tuner.regret_estimate() <= 200 * best * 0.1
    state = json.loads(json.dumps(tuner.get_state()))
    other = BanditTuner(GRID, method="hedge")
    other.set_state(state)
    assert other.ask() == tuner.ask()
    with pytest.raises(ValueError, match="`cost` must have one entry for each of the 20 values"):
        tuner.tell(3.0)


def test_outliers_of_time_are_cut_and_the_first_costs_wait_for_one_another():
    tuner = BanditTuner([1.0, 2.0], cost="time", rng=0)
    tuner.ask()
    tuner.tell(5.0)  # the compiler
    assert tuner.n_tells == 0
    for _ in range(30):
        tuner.ask()
        tuner.tell(0.01)
    tuner.ask()
    tuner.tell(3.0)  # the machine was busy
    assert tuner.n_tells == 32
    totals = tuner.get_state()["arrays"]["totals"]
    assert totals[0][1] == pytest.approx(30 * 0.01 + 2 * 0.1)


def test_contexts_outside_are_clipped_with_one_warning():
    tuner = BanditTuner(GRID, method="chebcb", rng=0, **BOUNDS)
    with pytest.warns(NumericalWarning, match=r"`context` 1\.5 lies outside the bounds \[0\.0, 1\.0\]") as record:
        tuner.ask(1.5)
    assert len(record) == 1
    tuner.ask(-3)  # warnings are errors
    strict = BanditTuner(GRID, method="chebcb", strict=True, **BOUNDS)
    with pytest.raises(ValueError, match=r"`context` must lie within \[0\.0, 1\.0\], got 1\.5"):
        strict.ask(1.5)
    assert strict.get_state()["serial"] == 0


@pytest.mark.parametrize(
    ("context", "error", "match"),
    [
        (None, ValueError, "`context` is needed"),
        (math.nan, ValueError, "`context` must be finite"),
        ([0.1, 0.2], ValueError, r"`context` must have 1 numbers, got shape \(2,\)"),
        ("x", TypeError, "`context` must be a number"),
    ],
)
def test_bad_contexts(context, error, match):
    for method in ("chebcb", "tsallis-inf-cb"):
        with pytest.raises(error, match=match):
            BanditTuner(GRID, method=method, **BOUNDS).ask(context)


@pytest.mark.parametrize(
    ("grid", "options", "error", "match"),
    [
        ([], {}, ValueError, "`grid` must have at least 1 value"),
        ([1.0, 1.0], {}, ValueError, "`grid` must have different values"),
        ([1.0, math.nan], {}, ValueError, "`grid` must be finite, got nan"),
        ([1.0, math.inf], {}, ValueError, "`grid` must be finite, got inf"),
        (3.0, {}, TypeError, "`grid` must be a sequence"),
        ("abc", {}, TypeError, "`grid` must be a sequence"),
        ([[1], [2]], {}, TypeError, "`grid` must have values that can be hashed"),
        (GRID, {"method": "exp4"}, ValueError, "`method` must be one of 'tsallis-inf'"),
        (GRID, {"method": "chebcb"}, ValueError, "`context_bounds` must be given for method 'chebcb'"),
        (GRID, {"method": "tsallis-inf-cb"}, ValueError, "`context_bounds` must be given"),
        (GRID, {"method": "chebcb", "context_bounds": (1, 0)}, ValueError, "`context_bounds` must be .* low < high"),
        (GRID, {"method": "chebcb", "context_bounds": (1, 2, 3)}, ValueError, "`context_bounds` must be"),
        (GRID, {"method": "chebcb", "context_bounds": [(0, 1)] * 4}, ValueError, "up to 3 such pairs"),
        (GRID, {"method": "chebcb", "context_bounds": "ab"}, TypeError, "`context_bounds` must be"),
        (GRID, {"n_features": 0}, ValueError, "`n_features` must be a positive int"),
        (GRID, {"features": 3}, TypeError, "`features` must be callable"),
        (GRID, {"bins": 0}, ValueError, "`bins`"),
        (GRID, {"estimator": "xx"}, ValueError, "`estimator` must be one of 'iw', 'rv'"),
        (GRID, {"cost": "seconds"}, ValueError, "`cost` must be one of 'nit', 'time', 'flops'"),
        (GRID, {"cost": 3}, TypeError, "`cost` must be one of"),
        (GRID, {"max_cost": 0}, ValueError, "`max_cost` must be a positive finite float"),
        (GRID, {"horizon": 0}, ValueError, "`horizon`"),
        (GRID, {"scale": 0}, ValueError, "`scale`"),
        (GRID, {"scale": "auto"}, ValueError, "`scale` must be one of 'running'"),
        (GRID, {"cost_floor": -1}, ValueError, "`cost_floor`"),
        (GRID, {"discount": 0}, ValueError, "`discount`"),
        (GRID, {"window": 0}, ValueError, "`window`"),
        (GRID, {"window": 9, "estimator": "rv"}, ValueError, "`window` needs estimator='iw'"),
        (GRID, {"epsilon": 2}, ValueError, "`epsilon`"),
        (["a", "b", "c"], {"refine": True}, ValueError, "`refine` needs a `grid` of at least 3 numbers"),
        ([1, 2, 5], {"refine": True}, ValueError, "`refine` needs a `grid` that ascends"),
        (GRID, {"rng": "x"}, TypeError, "`rng`"),
    ],
)
def test_bad_arguments(grid, options, error, match):
    with pytest.raises(error, match=match):
        BanditTuner(grid, **options)
