"""What the cases plan: sets, seeds, draws, limits."""

import pytest

from numopt.bench import cases, peers
from numopt.bench.families.equality._family import initial_kkt
from numopt.bench.families.equality._tables import published


def plan(name: str, **options: object) -> list:
    return cases.get(name).plan(cases.Options(**options))


def test_keys_of_a_plan_are_unique():
    for name in cases.names():
        for mode in cases.get(name).modes:
            keys = [run.key() for run in plan(name, mode=mode)]
            assert len(set(keys)) == len(keys) > 0


def test_paper_mode_runs_ten_seeds_of_both_randomized_solvers():
    runs = plan("cutest", mode="paper", problems=["HIMMELBE"])
    assert [(run.solver, run.seed) for run in runs] == [(s, i) for s in ("numopt-rk", "numopt-gv") for i in range(10)]
    assert {run.options["max_inner"] for run in runs} == {100_000}
    assert all(run.options["lam0"] == "y0" for run in runs)


def test_published_problems_are_those_of_the_suite():
    assert {run.problem for run in plan("cutest", mode="paper")} == set(published()["cutest"]["problems"])


def test_practical_mode_runs_all_peers_once():
    runs = plan("cutest", suite="square51", problems=["BOOTH"])
    assert [run.solver for run in runs] == peers.expand(["all"])
    assert {(run.seed, run.time_limit, run.threads) for run in runs} == {(None, 20.0, 1)}


def test_large_sets_name_their_sizes_where_a_problem_occurs_twice():
    labels = {run.problem for run in plan("cutest", suite="eqlarge48", solvers=["numopt"])}
    assert len(labels) == 48
    assert {"ELEC", "ELEC(n=150)", "HS39"} <= labels


def test_regression_draws_follow_the_protocol():
    runs = plan("libsvm-constrained", mode="paper")
    draws = {
        (p, s): [r.draw for r in runs if (r.problem, r.solver) == (p, s)]
        for p in ("splice", "w8a")
        for s in peers.NUMOPT[1:3]
    }
    assert draws["splice", "numopt-rk"] == draws["w8a", "numopt-rk"] == list(range(10))
    assert draws["splice", "numopt-gv"] == [0, 1, 2]
    assert draws["w8a", "numopt-gv"] == [0]
    assert {run.labels for run in runs} == {"raw"}


def test_regression_race_is_warm_with_two_threads_and_five_solves():
    runs = plan("libsvm-constrained", problems=["w8a"])
    assert {(r.threads, r.repeats, r.warm, r.labels, r.draw) for r in runs} == {(2, 5, True, "pm1", 0)}


def test_pde_leaves_out_peers_that_a_size_is_too_large_for():
    solvers = {run.solver for run in plan("pde", problems=["N=300"])}
    assert "numopt" in solvers
    assert "slsqp" not in solvers
    assert [run.problem for run in plan("pde", mode="paper", solvers=["numopt-rk"])] == ["N=3"]


def test_quick_case_falls_back_to_closed_forms(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NUMOPT_DATA", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    problems = {run.problem for run in plan("quick", solvers=["numopt"])}
    assert problems == {
        "SINVALNE", "DENSCHNCNE", "HIMMELBE", "TRIGON1NE", "MOREBVNE", "MANCINONE", "breast_cancer", "digits",
        "colours-800/1e-3", "l1-logistic/breast_cancer/100",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "problem"), [("quick", "breast_cancer"), ("pde", "N=3"), ("cutest", "HIMMELBE")])
def test_problems_are_set_up(name: str, problem: str):
    case = cases.get(name)
    run = case.plan(cases.Options(problems=[problem], solvers=["numopt"]))[0]
    loaded = case.setup(run)
    assert loaded.n >= 3
    assert initial_kkt(loaded) > 0
    assert loaded.counters.f == 0


def test_pde_starts_at_the_published_residual():
    case = cases.get("pde")
    run = case.plan(cases.Options(mode="paper"))[0]
    assert initial_kkt(case.setup(run)) == pytest.approx(published()["pde"]["problems"]["N=3"]["kkt0"], rel=1e-9)
