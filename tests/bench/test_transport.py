"""Optimal transport in the bench: the judge, the cases, the adapters, the tables."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from numpy.testing import assert_allclose

from numopt.bench import _docs, _records, cases, families, peers
from numopt.bench._report import group
from numopt.bench._run import Run
from numopt.bench._runner import Runner
from numopt.bench.cases._transport import build, labels
from numopt.bench.families.transport import FAMILY, _tables
from numopt.bench.families.transport._judge import judge
from numopt.problems import TransportProblem
from tests.bench.bench_fakes import PlainSinkhorn
from tests.bench.made_records import failed, made

PROBLEM = TransportProblem.points(15, reg=0.1)


@pytest.fixture(autouse=True)
def _environment_is_restored() -> Iterator[None]:
    """Adapters set variables for the libraries that they load; in the bench their process ends afterwards."""
    with mock.patch.dict(os.environ):
        yield


def solved(problem: TransportProblem = PROBLEM, tol: float = 1e-12) -> peers.Coupling:
    solver = PlainSinkhorn()
    solver.set_problem(problem, peers.Settings(tol=tol))
    solver.run()
    return solver.get_result()


# the judge


def test_solution_has_small_errors_and_its_own_cost():
    found = solved()
    verdict = judge(PROBLEM, found.plan, found.f, found.g)
    assert verdict.error_plan < 2e-12
    assert verdict.error_potentials < 2e-12
    assert_allclose(verdict.value, (PROBLEM.C * found.plan).sum())


def test_error_is_the_sum_over_both_marginals():
    plan = np.outer(PROBLEM.a, PROBLEM.b)
    plan[0, 0] += 0.25
    assert_allclose(judge(PROBLEM, plan, None, None).error, 0.5)


def test_a_feasible_plan_does_not_hide_bad_potentials():
    found = solved()
    verdict = judge(PROBLEM, found.plan, found.f + 0.01, found.g)
    assert verdict.error_plan < 2e-12
    assert verdict.error == verdict.error_potentials > 0.05


def test_answers_that_are_not_finite_are_solved_at_no_level():
    found = solved()
    found.f = np.full(15, np.nan)
    judged = FAMILY.judge(PROBLEM, found, PROBLEM)
    assert not any(judged["solved"].values())


def test_forbidden_pairs_cost_nothing_when_nothing_goes_there():
    problem = TransportProblem(np.full(2, 0.5), np.full(2, 0.5), 0.1, C=np.array([[0.5, np.inf], [np.inf, 0.5]]))
    assert judge(problem, np.diag([0.5, 0.5]), None, None).value == 0.5


def test_points_are_judged_without_a_matrix():
    dense, sparse = (TransportProblem.points(40, reg=0.1, d=3, dense=dense) for dense in (True, False))
    found = solved(dense)
    verdict = judge(sparse, None, found.f, found.g)
    assert verdict.error_plan is None
    assert verdict.error < 1e-11
    assert_allclose(verdict.value, (dense.C * found.plan).sum())


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((None, None, None), "neither a plan nor a pair of potentials"),
        ((np.ones((2, 2)), None, None), r"`plan` has shape \(2, 2\), expected \(15, 15\)"),
        ((None, np.ones(3), np.ones(15)), r"`f` has shape \(3,\), expected \(15,\)"),
    ],
)
def test_answers_of_the_wrong_form_are_refused(parts: tuple[Any, ...], message: str):
    with pytest.raises(ValueError, match=message):
        judge(PROBLEM, *parts)


# the cases


def plan(name: str, **options: Any) -> list[Run]:
    return cases.get(name).plan(cases.Options(**options))


def test_labels_take_any_size_and_stand_for_all_regularisations():
    assert labels((), ["pts-50", "unif-7/1e-3"]) == ["pts-50/1e-2", "pts-50/1e-3", "pts-50/1e-4", "unif-7/1e-3"]
    assert build("l1grid-4/1e-3").n == 16
    assert build("dir-30/2e-2").reg == 0.02
    with pytest.raises(ValueError, match="no problem 'pts' here"):
        labels((), ["pts"])
    with pytest.raises(ValueError, match="names no regularisation"):
        build("pts-50")


def test_race_covers_the_generators_at_three_regularisations():
    runs = plan("ot", solvers=["regot-ssns"])
    assert len(runs) == 9 * 3
    assert {(run.level, run.threads, run.repeats, run.time_limit, run.warm) for run in runs} == {
        ("1e-9", 1, 5, 120.0, True)
    }


def test_moderate_errors_are_asked_of_the_solver_made_for_them():
    levels = {run.level: run.solver for run in plan("ot", problems=["pts-50/1e-3"], solvers=["mdot-tnt"])}
    assert set(levels) == {"1e-4", "1e-6", "1e-9"}
    assert {r.level for r in plan("ot", problems=["pts-50/1e-3"], solvers=["ott"])} == {"1e-9"}


def test_device_runs_leave_large_clouds_to_those_that_need_no_matrix():
    runs = plan("ot", device="gpu")
    assert {run.solver for run in runs if run.problem.startswith("cloud")} == {"numopt", "geomloss"}
    assert {run.device for run in runs} == {"gpu"}


def test_paper_runs_ten_draws_of_each_problem_at_each_eta():
    runs = plan("ot-paper", solvers=["numopt"])
    assert len(runs) == 3 * 4 * 10
    assert {run.level for run in runs} == {"1e-12"}
    assert {run.draw for run in runs if run.options.get("history")} == {0}
    case = cases.get("ot-paper")
    problem = case.setup(runs[0])
    assert (problem.n, problem.reg) == (500, 0.1)


def test_quick_shows_each_family_with_its_own_solvers(monkeypatch):
    monkeypatch.delenv("NUMOPT_DATA", raising=False)  # with the images there, the problem is another
    runs = plan("quick", problems=["breast_cancer", "colours-800/1e-3"], solvers=["numopt", "slsqp", "pot-emd"])
    by_family = {f: [run.solver for run in runs if run.family == f] for f in ("equality", "transport")}
    assert by_family == {"equality": ["numopt", "slsqp"], "transport": ["numopt", "pot-emd"]}


# the adapters


@pytest.mark.parametrize("name", [n for n in peers.names("transport") if n != "regot-splr"])
def test_solver_reaches_the_error_it_is_asked_for(name: str):
    problem = TransportProblem.points(30, reg=0.05, dirichlet=True)
    solver = peers.get(name, "transport")
    lacking = solver.missing()
    if lacking is not None:
        pytest.skip(f"{lacking} is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a peer's own, which the runner sends nowhere
        solver.set_problem(problem, peers.Settings(tol=1e-8))
        solver.run()
        found = solver.get_result()
    verdict = judge(problem, found.plan, found.f, found.g)
    assert found.success
    if name == "geomloss":  # ends by its schedule
        assert verdict.error < 0.05
        return
    assert verdict.error <= 1e-8
    if not found.extra.get("exact"):
        assert_allclose(verdict.value, judge(problem, *_reference(problem)).value, atol=1e-8)


def _reference(problem: TransportProblem) -> tuple[Any, Any, Any]:
    found = solved(problem, 1e-13)
    return found.plan, found.f, found.g


def test_a_kernel_that_underflows_is_an_answer_that_is_not_solved():
    problem = TransportProblem.points(30, reg=1e-5)
    solver = peers.get("pot-sinkhorn", "transport")
    if solver.missing():
        pytest.skip("POT is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        solver.set_problem(problem, peers.Settings(tol=1e-9))
        solver.run()
        found = solver.get_result()
        judged = FAMILY.judge(problem, found, problem)
    assert not found.success
    assert not any(judged["solved"].values())


def test_numopt_tells_its_steps_and_its_path():
    solver = peers.get("numopt", "transport")
    solver.set_problem(PROBLEM, peers.Settings(tol=1e-10, options={"history": True}))
    solver.run()
    found = solver.get_result()
    counts = found.extra["counts"]
    assert found.nit == counts["nit_sinkhorn"] + counts["nit_newton"] + counts["nit_coarse"]
    assert {"reg", "fun", "density"} <= set(found.extra["history"])


def test_solvers_of_another_family_are_unknown():
    with pytest.raises(ValueError, match="`solver` must be one of numopt"):
        peers.get("slsqp", "transport")
    assert "pot-emd" in peers.expand(["peers"], "transport")
    assert peers.expand(["all"], "transport")[0] == "numopt"


def test_families_are_named():
    known = "equality, transport, linear, coordinate"
    with pytest.raises(ValueError, match=f"`family` must be one of {known}; got 'nothing'"):
        families.get("nothing")
    assert families.get("numopt.bench.families.transport:FAMILY") is FAMILY
    assert families.of({"case": "cutest"}).name == "equality"


# from the worker to the tables


def test_run_is_judged_and_recorded():
    records: list[_records.Record] = []
    run = Run(case="ot", problem="pts-20/1e-1", family="transport", solver="bench_fakes:PlainSinkhorn", level="1e-9")
    Runner(records.append).execute([run])
    (record,) = records
    assert record["status"] == "ok"
    assert record["solved"] == {"1e-4": True, "1e-6": True, "1e-9": True, "1e-12": False}
    assert (record["n"], record["reg"], record["level"], record["family"]) == (20, 0.1, "1e-9", "transport")
    assert record["error"] == max(record["error_plan"], record["error_potentials"])
    assert FAMILY.progress(record).startswith("error ")


def transport(problem: str, solver: str, *, seconds: float = 0.01, error: float = 1e-10, **more: Any) -> Any:
    """A finished run on a transport problem."""
    fields = {
        "case": "ot", "family": "transport", "level": "1e-9", "reg": 1e-3, "value": 0.25, "trace": None,
        "error": error, "error_plan": error, "error_potentials": error,
        "solved": {level: error <= float(level) for level in FAMILY.levels},
    }  # fmt: skip
    return made(problem, solver, seconds=seconds, **{**fields, **more})


def killed(problem: str, solver: str) -> Any:
    record = failed(problem, solver, "time limit", "Killed after 120 s.")
    return {**record, "case": "ot", "family": "transport", "level": "1e-9", "time_limit": 120.0}


def race() -> list[Any]:
    return [
        transport("pts-1000/1e-3", "numopt", seconds=0.1),
        transport("pts-1000/1e-3", "regot-ssns", seconds=1.0, value=0.25 + 1e-11),
        transport("pts-1000/1e-3", "pot-sinkhorn", seconds=0.5, error=3e-6),
        transport("pts-1000/1e-3", "pot-emd", seconds=0.05, exact=True),
        transport("pts-1000/1e-4", "numopt", seconds=0.2),
        killed("pts-1000/1e-4", "regot-ssns"),
    ]


def test_ratios_take_a_timeout_for_a_bound_and_leave_out_what_stopped_early():
    rows = {row[0]: row for row in _tables.ratios(race()).rows}
    assert _tables.ratios(race()).head[3:6] == ["reg 1e-3", "reg 1e-4", "reg 1e-3 and 1e-4"]
    assert rows["regot-ssns"][1:] == ["1e-9", "1/2", "10x", "> 600x", "> 77.5x", "10x", "pts-1000/1e-3"]
    assert rows["pot-sinkhorn"][2:] == ["0/1", "", "", "", "", ""]
    assert rows["pot-emd"][3] == "0.5x"


def test_times_show_multiples_bounds_and_errors():
    shown = _tables.times(race(), "1e-9")
    assert shown.rows[0][3:] == ["100 ms", "1 s (10x)", "[3.0e-06 in 500 ms]", "50 ms (0.5x)"]
    assert shown.rows[1][3:] == ["200 ms", "> 120 s (> 600x)", "", ""]
    assert shown.marks is not None
    assert shown.marks[0][3:] == ["best", "", "miss", ""]


def test_costs_are_compared_with_numopt_and_levels_kept_apart():
    records = [*race(), transport("pts-1000/1e-3", "mdot-tnt", level="1e-4", error=5e-5)]
    overview, loose, tight, accuracy = families.tables(records)[:4]
    assert overview.rows[0][:2] == ["mdot-tnt", "1e-4"]
    assert "error of 1e-4" in loose.caption
    assert loose.head[3:] == ["mdot-tnt"]
    assert tight.head[3:] == ["numopt", "regot-ssns", "pot-sinkhorn", "pot-emd"]
    differences = {(row[0], row[1], row[2]): row[7] for row in accuracy.rows}
    assert differences["pts-1000/1e-3", "regot-ssns", "1e-9"] == "+1.0e-11"
    assert differences["pts-1000/1e-4", "regot-ssns", "1e-9"] == "-"


def paper() -> list[Any]:
    path = {"reg": [1e-2, 1e-3, 1e-3], "fun": [0.1, 0.2, 0.25], "density": [float("nan"), 0.2, 0.1]}
    counts = {"nit_sinkhorn": 5, "nit_newton": 4, "nit_coarse": 0}
    common = {"case": "ot-paper", "level": "1e-12", "error": 1e-13, "counts": counts}
    return [
        transport("assignment/1200", "numopt", draw=d, nit=nit, **common, **({"history": path} if d == 0 else {}))
        for d, nit in enumerate((8, 9, 13))
    ]


def test_draws_enter_with_their_spread_beside_the_published_count():
    (table,) = families.tables(paper())
    assert table.rows[0][:6] == ["assignment/1200", "numopt", "3/3", "9 (2.6)", "5 + 4 + 0", "29"]
    assert "ICLR 2024" in table.note


def test_paths_become_figures_for_the_page_and_the_documentation():
    pytest.importorskip("matplotlib")
    drawn = {figure.name: figure for figure in FAMILY.figures(paper())}
    assert set(drawn) == {"gap", "density"}
    assert [figure.name for figure in FAMILY.documented(paper())] == ["gap", "density"]
    assert "numopt on assignment/1200" in drawn["gap"].alt
    assert drawn["density"].png.startswith(b"\x89PNG")
    assert {figure.name for figure in FAMILY.figures(race())} == {"performance"}


def test_documentation_gets_figures_and_misses_them(tmp_path: Path):
    pytest.importorskip("matplotlib")
    results, docs = tmp_path / "results", tmp_path / "docs"
    with _records.Log(results / "box" / "ot-paper.jsonl") as log:
        for record in paper():
            log.append(record)
    figures = ["box-ot-paper-density.png", "box-ot-paper-gap.png"]
    assert _docs.write_docs_tables(results, docs) == [*figures, "box-ot-paper.rst", "index.rst"]
    assert _docs.write_docs_tables(results, docs, check=True) == []
    text = (docs / "_tables" / "box-ot-paper.rst").read_text(encoding="utf-8")
    assert ".. figure:: /_static/box-ot-paper-gap.png" in text
    (docs / "_static" / figures[0]).unlink()
    assert _docs.write_docs_tables(results, docs, check=True) == figures[:1]


def test_parts_are_told_apart_only_where_it_takes_that():
    mixed = [made("p", "numopt"), transport("mnist-l2/1e-3", "numopt", case="quick")]
    assert list(group(mixed)) == ["quick equality", "quick transport"]
    assert list(group(mixed[:1])) == ["quick"]
    devices = [transport("pts-10/1e-3", "numopt"), transport("pts-10/1e-3", "numopt", device="gpu")]
    assert list(group(devices)) == ["ot on cpu", "ot on gpu"]
