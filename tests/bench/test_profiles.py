"""Profiles against examples worked out by hand."""

import math
from typing import Any

import numpy as np
import pytest

from numopt.bench import data_profile, performance_profile
from numopt.bench._profiles import accuracy_profile


def record(problem: str, solver: str, cost: float, solved: Any = True, **more: Any) -> dict[str, Any]:
    return {"problem": problem, "solver": solver, "seconds": cost, "solved": solved, **more}


def at(profile: Any, solver: str, tau: float) -> float:
    return float(profile.rho[solver][np.searchsorted(profile.tau, tau, side="right") - 1])


def test_performance_profile_of_three_problems_and_two_solvers():
    table = [
        record("p", "a", 1.0), record("p", "b", 2.0),
        record("q", "a", 8.0), record("q", "b", 2.0),
        record("r", "a", 3.0), record("r", "b", 1.0, solved=False),
    ]  # fmt: skip
    profile = performance_profile(table)
    assert [at(profile, "a", t) for t in (1, 3.9, 4, 100)] == pytest.approx([2 / 3, 2 / 3, 1, 1])
    assert [at(profile, "b", t) for t in (1, 1.9, 2, 100)] == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert profile.tau.tolist() == [1, 2, 4, 100]
    assert (profile.n_problems, profile.n_unsolved) == (3, 0)


def test_problem_that_nobody_solves_stays_in_the_set():
    table = [record("p", "a", 1.0), record("q", "a", 1.0, solved=False)]
    profile = performance_profile(table)
    assert profile.rho["a"].tolist() == [0.5, 0.5]
    assert (profile.n_problems, profile.n_unsolved) == (2, 1)


def test_missing_pair_counts_as_not_solved():
    profile = performance_profile([record("p", "a", 1.0), record("q", "b", 1.0)])
    assert profile.rho["a"][-1] == profile.rho["b"][-1] == 0.5


def test_times_within_a_millisecond_are_equal_and_counts_are_not():
    table = [record("p", "a", 0.0010, nit=10), record("p", "b", 0.0019, nit=11)]
    assert at(performance_profile(table), "b", 1) == 1
    assert at(performance_profile(table, cost="nit"), "b", 1) == 0
    assert at(performance_profile(table, cost="nit"), "b", 1.1) == 1


def test_costs_of_zero_have_finite_ratios():
    table = [record("p", "a", 0, nit=0), record("p", "b", 0, nit=3)]
    profile = performance_profile(table, cost="nit")
    assert at(profile, "a", 1) == 1
    assert at(profile, "b", 2.9) == 0
    assert at(profile, "b", 3) == 1


def test_repetitions_enter_by_their_median_with_a_band():
    table = [record("p", "random", t) for t in (1.0, 2.0, 9.0)] + [record("p", "fixed", 1.0)]
    profile = performance_profile(table)
    assert at(profile, "random", 1.99) == 0
    assert at(profile, "random", 2.0) == 1
    assert list(profile.band) == ["random"]
    slow, fast = profile.band["random"]
    # The quantiles of (1, 2, 9): 1.2 and 7.6, against the best median 1.
    assert fast[np.searchsorted(profile.tau, 2.0)] == 1
    assert slow[np.searchsorted(profile.tau, 2.0)] == 0
    assert slow[-1] == 1


def test_median_over_seeds_is_unsolved_when_most_seeds_fail():
    table = [record("p", "a", 1.0), record("p", "a", 1.0, solved=False), record("p", "a", 1.0, solved=False)]
    profile = performance_profile(table)
    assert profile.rho["a"].tolist() == [0, 0]
    assert profile.n_unsolved == 1


def test_solved_may_be_a_mapping_from_tolerance():
    table = [record("p", "a", 1.0, solved={"1e-4": True, "1e-8": False})]
    assert performance_profile(table).n_unsolved == 1
    assert performance_profile(table, tol="1e-4").n_unsolved == 0


def test_chosen_solvers_decide_what_is_best():
    table = [record("p", "a", 1.0), record("p", "b", 2.0), record("p", "c", 4.0)]
    assert at(performance_profile(table, solvers=["c", "b"]), "c", 2) == 1
    assert performance_profile(table, solvers=["c", "b"]).solvers == ("c", "b")


def test_curves_do_not_fall_and_end_at_the_fraction_solved():
    generator = np.random.default_rng(3)
    table = [
        record(f"p{i}", s, float(generator.lognormal()), solved=bool(generator.random() < 0.7))
        for i in range(40)
        for s in "abc"
    ]
    profile = performance_profile(table, tau_max=math.inf)
    for s in "abc":
        assert np.all(np.diff(profile.rho[s]) >= 0)
        assert profile.rho[s][-1] == pytest.approx(sum(r["solved"] for r in table if r["solver"] == s) / 40)


@pytest.mark.parametrize("bad", [0.5, math.nan])
def test_tau_max_below_one_is_refused(bad: float):
    with pytest.raises(ValueError, match="`tau_max` must be at least 1"):
        performance_profile([record("p", "a", 1.0)], tau_max=bad)


def test_empty_table_is_refused():
    with pytest.raises(ValueError, match="table is empty"):
        performance_profile([])
    with pytest.raises(ValueError, match="table is empty"):
        data_profile([])


def traced(solver: str, rows: list[tuple[int, float, float]], problem: str = "p", n: int = 1) -> dict[str, Any]:
    fun, violation = rows[-1][1:]
    return {"problem": problem, "solver": solver, "n": n, "fun": fun, "constr_violation": violation, "trace": rows}


def test_data_profile_counts_evaluations_until_the_merit_has_fallen():
    # f_L = 1, so the merits are (9, 1, 0.1, 0) for a and (9, 9, 0.5) for b.
    a = traced("a", [(1, 10.0, 0.0), (2, 2.0, 0.0), (5, 1.1, 0.0), (7, 1.0, 0.0)])
    b = traced("b", [(1, 10.0, 0.0), (4, 10.0, 0.0), (6, 1.5, 0.0)])
    coarse = data_profile([a, b], tau=0.12)
    assert coarse.kappa.tolist() == [0, 1, 3]
    assert coarse.d["a"].tolist() == [0, 1, 1]
    assert coarse.d["b"].tolist() == [0, 0, 1]
    fine = data_profile([a, b], tau=1e-3)
    assert fine.kappa.tolist() == [0, 3.5]
    assert fine.d["b"].tolist() == [0, 0]


def test_data_profile_measures_constraints_with_the_objective():
    # Infeasible points below f_L gain nothing: merits (5 + 1, 0 + 3, 0 + 0).
    rows = [(1, 5.0, 1.0), (2, -50.0, 3.0), (4, 0.0, 0.0)]
    profile = data_profile([traced("a", rows, n=3)], tau=0.4)
    assert profile.kappa.tolist() == [0, 1]


def test_data_profile_without_a_feasible_point_converges_for_nobody():
    profile = data_profile([traced("a", [(1, 5.0, 1.0), (2, 0.0, 1.0)])], tau=0.5)
    assert profile.d["a"].tolist() == [0]
    assert profile.n_unsolved == 1


@pytest.mark.parametrize("tau", [0.0, 1.0, math.nan])
def test_data_profile_refuses_a_tau_outside_the_unit_interval(tau: float):
    with pytest.raises(ValueError, match="`tau` must lie between 0 and 1"):
        data_profile([traced("a", [(1, 0.0, 0.0)])], tau=tau)


def test_accuracy_profile_counts_digits():
    table = [{"problem": "p", "solver": "a", "kkt": 1e-5}, {"problem": "q", "solver": "a", "kkt": None}]
    digits, fractions = accuracy_profile(table)
    assert fractions["a"][np.searchsorted(digits, 4.9)] == 0.5
    assert fractions["a"][np.searchsorted(digits, 5.1)] == 0
    assert fractions["a"][0] == 0.5


def test_profiles_draw_themselves():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    table = [record("p", "a", 1.0), record("p", "a", 3.0), record("p", "b", 2.0)]
    ax = performance_profile(table).plot()
    assert ax.get_xlabel() == "ratio to the best"
    ax = data_profile([traced("a", [(1, 1.0, 0.0), (2, 0.0, 0.0)])]).plot()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a"]
    import matplotlib.pyplot as plt

    plt.close("all")
