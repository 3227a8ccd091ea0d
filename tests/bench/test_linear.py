"""Linear systems in the bench: the judge, the theory beside it, the cases, the adapters, the tables and figures."""

import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from numopt.bench import _records, cases, families, peers
from numopt.bench._run import Run
from numopt.bench._runner import Runner
from numopt.bench.cases import _linear as linear_case
from numopt.bench.cases import _linear_paper as paper_case
from numopt.bench.families.linear import FAMILY, _judge, _tables, _theory
from numopt.bench.peers import _linear as linear
from numopt.problems import LinearSystem, SystemSequence
from tests.bench.bench_fakes import DenseLinear
from tests.bench.made_records import failed, made

RTOL = 1e-8


def run_solver(name: str, task: linear.Task, **settings: Any) -> linear.Solutions:
    solver = peers.get(name, "linear")
    lacking = solver.missing()
    if lacking is not None:
        pytest.skip(f"{lacking} is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a peer's own, which the runner sends nowhere
        solver.set_problem(task, peers.Settings(tol=RTOL, **settings))
        solver.run()
    return solver.get_result()


def judged(task: linear.Task, found: linear.Solutions) -> dict[str, Any]:
    return FAMILY.judge(task, found, task)


def solve_task(n: int = 12) -> linear.Solve:
    system = LinearSystem.poisson(n)
    return linear.Solve("poisson", "generator", system.n, system.A.nnz, system=system)


def heat_task(**more: Any) -> linear.Steps:
    return linear_case.steps(SystemSequence.heat(10, 6), "heat", arms=(1.0, 1.5, 1.9), bins=2, **more)


def shift_task(steps: int = 30) -> linear.Steps:
    return paper_case.build(f"shift-low/{steps}")


# the judge


def test_residuals_are_recomputed_at_every_step_with_the_solvers_own_last_state():
    task = heat_task()
    found = DenseLinear.solved(task)
    assert judged(task, found)["error"] < 1e-13
    off = list(found.solutions)
    off[3] = off[3] + 1e-3 * np.abs(off[3]).max()
    verdict = judged(task, replace(found, solutions=off))
    assert verdict["error"] > 1e-4
    assert verdict["solved"] == {"1e-4": False, "1e-6": False, "1e-8": False}


def test_a_sequence_that_ends_early_is_solved_at_no_level():
    task = heat_task()
    found = DenseLinear.solved(task)
    verdict = judged(task, replace(found, solutions=found.solutions[:4]))
    assert not any(verdict["solved"].values())
    assert verdict["steps_done"] == 4


def test_recurrences_may_be_off_by_a_percent():
    task = solve_task()
    x = np.linalg.solve(task.system.A.toarray(), task.system.b)
    direction = np.linalg.solve(task.system.A.toarray(), task.system.b / np.linalg.norm(task.system.b))
    for factor, expected in ((1.005, True), (1.02, False)):
        scale = factor * RTOL * np.linalg.norm(task.system.b)
        found = linear.Solutions(solutions=[x + scale * direction], success=True, outcome="", message="")
        assert judged(task, found)["solved"]["1e-8"] is expected


def test_answers_that_are_no_numbers_are_solved_at_no_level_and_wrong_shapes_are_refused():
    task = solve_task()
    found = linear.Solutions(solutions=[np.full(task.n, np.nan)], success=True, outcome="", message="")
    assert not any(judged(task, found)["solved"].values())
    with pytest.raises(ValueError, match=r"the solution has shape \(3,\), expected \(144,\)"):
        judged(task, replace(found, solutions=[np.zeros(3)]))


def test_sweeps_are_compared_with_triangular_solves():
    system = LinearSystem.poisson(5)
    A, x = system.A.toarray(), np.zeros(25)
    for _ in range(4):
        for i in range(25):
            x[i] += 1.3 * (system.b[i] - A[i] @ x) / A[i, i]
    assert _judge.sweep_difference(system, 1.3, 4, x) < 1e-14
    assert _judge.sweep_difference(system, 1.3, 3, x) < 1e-14  # one sweep more, in which the residual was found
    assert _judge.sweep_difference(system, 1.3, 5, x) > 1e-3
    assert _judge.sweep_difference(system, 1.2, 4, x) > 1e-3


def test_bandwidth_is_that_of_a_copy():
    assert 0.1 < _judge.copy_bandwidth(on_gpu=False, size=1 << 20, repeats=2) < 1e4
    assert _judge.sweep_bytes(LinearSystem.poisson(10)) == 460 * 12 + 100 * 28


# the theory


def test_bounds_hold_and_tau_is_the_lag_behind_the_spectral_radius():
    task = paper_case.build("asymptotic")
    columns = judged(task, run_solver("numopt-sor", task))["curves"]
    nit = np.array(columns["nit"])
    assert len(nit) == 96
    assert (np.array(columns["near"]) >= nit - 1e-6).all()
    assert (np.array(columns["energy"]) >= nit).all()
    assert max(columns["tau"]) < 1.0
    assert_allclose(columns["beta"], math.cos(math.pi / 11), rtol=1e-4)
    assert abs(columns["omega"][int(nit.argmin())] - 1.56) < 0.05


def test_axelssons_bound_is_above_the_iterations():
    task = paper_case.build("cg-square-12-0.5")
    columns = judged(task, run_solver("numopt-ssor-cg", task))["curves"]
    assert (np.array(columns["bound"]) >= np.array(columns["nit"])).all()


def test_residual_iteration_is_what_a_sweep_does():
    A = LinearSystem.poisson(3).A.toarray()
    C = _theory.residual_iteration(A, 1.4)
    assert_allclose(max(abs(np.linalg.eigvals(C))), 0.4, rtol=1e-6)
    assert _theory.lag(C, 0.4, 1) == pytest.approx((np.linalg.norm(C, 2) - 0.4) / 0.6)
    assert _theory.lag(C, 0.4, 0) == 0.0


def test_cost_jumps_for_the_eigenvector_alone():
    jumps = []
    for label in ("degenerate", "degenerate-gaussian"):
        task = paper_case.build(label)
        task = replace(task, sequence=task.sequence, omegas=task.omegas)
        nit = np.array(judged(task, run_solver("numopt-sor", task))["curves"]["nit"])
        jumps.append(np.abs(np.diff(nit)).max())
    assert jumps[0] > 10 > 2 >= jumps[1]


# the cases


def plan(name: str, **options: Any) -> list[Run]:
    return cases.get(name).plan(cases.Options(**options))


def test_labels_name_kind_size_and_stretch():
    parse = linear_case.parse
    assert parse("sweep-poisson2d-10000") == linear_case.Label("sweep", "poisson2d-10000")
    assert parse("1138_bus") == linear_case.Label("solve", "1138_bus")
    assert parse("variable-heat-100/50@700") == linear_case.Label("sequence", "variable-heat", 100, 50, 700)
    assert parse("spilu-64").steps == 1000
    task = linear_case.build("heat-10/5@20")
    assert (task.steps, task.start, task.n) == (5, 20, 81)
    assert [context for _, _, context in task] == [c for _, _, c in SystemSequence.heat(10, 25)][20:]
    with pytest.raises(ValueError, match="no problem 'no/such' here"):
        parse("no/such")
    with pytest.raises(ValueError, match="99 is no number of points of a square"):
        linear_case.build("poisson2d-99")


def test_kinds_of_problems_have_their_solvers():
    by_kind = {run.problem: set() for run in plan("linear")}
    for run in plan("linear"):
        by_kind[run.problem].add(run.solver)
    assert {"numopt-sweeps", "pyamg-sweeps-residual"} <= by_kind["sweep-poisson2d-1000000"]
    assert "numopt-sor" in by_kind["poisson2d-10000"]
    assert "numopt-sor" not in by_kind["poisson2d-1000000"]
    assert "scipy-dst" in by_kind["heat-100/1000"]
    assert "scipy-dst" not in by_kind["variable-heat-100/1000"]
    assert by_kind["spilu-64/1000"] == {"numopt-spilu", "scipy-spilu-best", "scipy-spilu-uniform"}


def test_only_solvers_that_draw_have_seeds():
    runs = plan("linear", problems=["heat-10/5"], seeds=[0, 1])
    assert {run.solver for run in runs if run.seed == 1} == set(linear_case.LEARNED)
    assert {run.seed for run in runs if run.solver == "numopt-cg"} == {None}


def test_sweeps_are_fewer_where_they_take_long():
    slow, fast = (linear_case.build("sweep-poisson2d-900", solver=s).count for s in ("scipy-sweeps", "numopt-sweeps"))
    assert (slow, fast) == (50, 1000)
    assert linear_case.build("sweep-poisson2d-900", gpu=True, solver="numopt-sweeps-multicolor").count == 4000


def test_paper_has_forty_trials_of_what_is_random():
    runs = plan("linear-paper", problems=["shift-high"])
    trials = {s: [r.draw for r in runs if r.solver == s] for s in {r.solver for r in runs}}
    assert trials["numopt-chebcb"] == list(range(40))
    assert trials["numopt-sor-grid"] == list(range(4))
    assert all(run.draw == run.seed for run in runs)
    heat = plan("linear-paper", problems=["heat-25/5000"])
    assert {r.seed for r in heat if r.solver == "numopt-tsallis"} == {0, 1, 2}
    assert {r.seed for r in heat if r.solver == "numopt-cg"} == {None}
    assert len(plan("linear-paper", problems=["shift-low"], draws=[3])) == 5
    with pytest.raises(ValueError, match="no problem 'poisson2d-100' here"):
        plan("linear-paper", problems=["poisson2d-100"])


def test_paper_grid_and_bounds_are_the_scripts():
    task = paper_case.build("shift-high/5")
    assert len(task.arms) == 20
    assert (task.arms[0], task.arms[-1], task.sequence.context_bounds) == (1.0, 1.95, (-0.15, 0.65))
    assert len(paper_case.build("cg-L-12-0").omegas) == 100
    assert_allclose(np.diff(paper_case.build("degenerate").omegas), 0.001)


# the adapters


@pytest.mark.parametrize("name", linear_case.SOLVERS["solve"])
def test_one_system_is_solved(name: str):
    task = solve_task()
    found = run_solver(name, task)
    assert judged(task, found)["solved"]["1e-8"]
    assert found.nit >= 1


@pytest.mark.parametrize("name", linear_case.SOLVERS["sequence"])
def test_time_steps_are_solved(name: str):
    task = heat_task()
    found = run_solver(name, task, seed=0)
    verdict = judged(task, found)
    assert verdict["solved"]["1e-8"]
    assert verdict["path"]["step"] == [1, 2, 3, 4, 5, 6]
    assert verdict["path"]["iterations"][-1] == found.nit
    assert found.success


@pytest.mark.parametrize("name", [*linear_case.LEARNED, "numopt-sor", "numopt-sor-grid"])
def test_random_systems_are_solved(name: str):
    task = shift_task()
    found = run_solver(name, task, seed=0)
    assert judged(task, found)["solved"]["1e-8"]
    assert len(found.nits) == 30
    if name == "numopt-sor-grid":
        assert found.nit / 30 == pytest.approx(min(found.extra["arms"].values()), rel=1e-4)
        assert found.extra["best_each"] <= found.nit / 30


def test_youngs_factors_are_those_of_the_offsets():
    task = shift_task(3)
    found = run_solver("numopt-sor", task)
    beta = [4.0 * math.cos(math.pi / 11) / (4.0 + c) for _, _, c in task]
    assert_allclose(found.chosen, [2.0 / (1.0 + math.sqrt(1.0 - b * b)) for b in beta])


@pytest.mark.parametrize("name", linear_case.SOLVERS["sweep"])
def test_sweeps_are_the_sweeps_asked_for(name: str):
    system = LinearSystem.poisson(9)
    task = linear.Sweeps("sweep", "generator", 81, system.A.nnz, system=system, omega=1.5, count=12)
    verdict = judged(task, run_solver(name, task))
    assert verdict["solved"]["1e-8"]
    assert ("difference" in verdict) == (name != "numopt-sweeps-multicolor")


@pytest.mark.parametrize("name", linear_case.SOLVERS["batch"])
def test_batches_are_solved(name: str):
    task = linear_case.build("batch-5")
    assert judged(task, run_solver(name, task))["solved"]["1e-8"]


@pytest.mark.parametrize("name", linear_case.SOLVERS["spilu"])
def test_tolerances_of_factorisations_are_tuned(name: str):
    sequence = SystemSequence.convection_diffusion(8, 40)
    task = linear_case.steps(sequence, "spilu", arms=(1e-1, 1e-3, "raises"), spilu=5.0)
    found = run_solver(name, task, seed=0)
    assert judged(task, found)["solved"]["1e-8"]
    if name == "numopt-spilu":
        assert sum(found.extra["plays"].values()) == 40
        assert found.extra["plays"]["raises"] <= 4
    if name == "scipy-spilu-best":
        assert set(found.extra["arms"]) == {"0.1", "0.001"}


def test_solvers_refuse_what_they_do_not_do():
    for name, task in (("numopt-sweeps", solve_task()), ("numopt-tsallis", solve_task()), ("scipy-dst", shift_task(2))):
        if name == "scipy-dst":
            task = linear_case.build("variable-heat-10/2")
        with pytest.raises(peers.UnsuitableProblemError):
            peers.get(name, "linear").set_problem(task, peers.Settings())


def test_group_of_all_solvers_starts_with_the_default():
    assert peers.expand(["all"], "linear")[0] == "numopt-ssor-cg"
    assert "pyamg-sa-cg" in peers.expand(["peers"], "linear")


@pytest.mark.parametrize(
    "label", ["poisson2d-100", "sweep-poisson2d-100", "batch-7", "heat-10/4", "variable-heat-10/4", "spilu-8/5"]
)
def test_warm_up_is_tiny_and_of_the_same_kind(label: str):
    from numopt.bench.families.linear._family import tiny

    task = linear_case.build(label)
    small = tiny(task)
    assert type(small) is type(task)
    assert small.n <= 100
    if isinstance(small, linear.Steps):
        assert small.kind == task.kind
        assert small.steps == 3


# from the worker to the tables


def test_runs_are_judged_and_recorded():
    records: list[_records.Record] = []
    runs = [
        Run(case="linear", problem="poisson2d-100", family="linear", solver="bench_fakes:DenseLinear", level="1e-8"),
        Run(case="linear", problem="heat-8/4", family="linear", solver="bench_fakes:DenseLinear", level="1e-8"),
    ]
    Runner(records.append).execute(runs)
    assert [record["status"] for record in records] == ["ok", "ok"], [record.get("message") for record in records]
    solve, march = records
    assert solve["solved"] == {"1e-4": True, "1e-6": True, "1e-8": True}
    assert (solve["n"], solve["nnz"], _tables.kind(solve)) == (100, 460, "solve")
    assert (march["steps"], march["kind"], march["path"]["step"]) == (4, "sequence", [1, 2, 3, 4])
    assert FAMILY.progress(solve).startswith("residual ")


def record(problem: str, solver: str, *, seconds: float = 0.01, error: float = 1e-9, **more: Any) -> Any:
    """A finished run on a linear system."""
    fields = {
        "case": "linear", "family": "linear", "level": "1e-8", "trace": None, "n": 100, "nnz": 460, "error": error,
        "solved": {level: error <= 1.01 * float(level) for level in FAMILY.levels},
    }  # fmt: skip
    return made(problem, solver, seconds=seconds, **{**fields, **more})


def killed(problem: str, solver: str, **more: Any) -> Any:
    gone = failed(problem, solver, "time limit", "Killed after 60 s.")
    return {**gone, "case": "linear", "family": "linear", "level": "1e-8", "time_limit": 60.0, **more}


def test_solves_show_multiples_of_the_fastest_and_what_was_missed():
    records = [
        record("poisson2d-100", "numopt-ssor-cg", seconds=0.01),
        record("poisson2d-100", "scipy-cg", seconds=0.02),
        record("poisson2d-100", "numopt-sor", seconds=0.001, error=1e-5),
        killed("poisson2d-100", "scipy-splu"),
    ]
    shown = _tables.solves(records)
    assert shown.rows[0][3:] == ["10 ms (1x)", "20 ms (2x)", "[1.0e-05 in 1 ms]", "> 60 s"]
    assert shown.marks[0][3:] == ["best", "", "miss", "miss"]
    assert "numopt-ssor-cg 1 of 1" in FAMILY.headline(records)


def test_sweeps_show_times_bandwidth_and_differences():
    common = {"sweeps": 100, "sweep_bytes": 1e6, "copy_gbps": 20.0, "difference": 1e-15}
    records = [
        record("sweep-x", "numopt-sweeps", seconds=0.01, **common),
        record("sweep-x", "pyamg-sweeps-residual", seconds=0.02, **common),
    ]
    rows = _tables.sweeps(records).rows
    assert rows[0][5:] == ["100 us", "1.00x", "10", "50 %", "1.0e-15"]
    assert rows[1][5:9] == ["200 us", "2.00x", "5", "25 %"]


def test_sequences_are_compared_with_the_faster_plain_cg():
    common = {"kind": "sequence", "steps": 100}
    records = [
        record("heat-10/100", "numopt-cg", seconds=2.0, **common),
        record("heat-10/100", "scipy-cg", seconds=1.0, **common),
        record("heat-10/100", "numopt-chebcb", seconds=0.5, seed=0, **common),
        killed("heat-10/100", "scipy-splu", **common),
    ]
    rows = {row[1]: row for row in _tables.marches(records).rows}
    assert rows["numopt-chebcb"][4:7] == ["500 ms", "5 ms", "0.50x"]
    assert rows["scipy-splu"][4:7] == ["> 60 s", "-", "> 60x"]


def test_tuned_factorisations_are_compared_with_the_best_and_with_chance():
    common = {"kind": "spilu", "steps": 1000}
    records = [
        record("spilu-64", "numopt-spilu", seconds=12.0, plays={"raises": 2}, **common),
        record("spilu-64", "scipy-spilu-best", seconds=10.5, arms={"0.1": 0.02, "0.01": 0.01, "0.001": 0.03}, **common),
        record("spilu-64", "scipy-spilu-uniform", seconds=20.0, **common),
    ]
    table = _tables.spilu(records)
    assert table.rows[0][4:7] == ["1.20x", "0.60x", "2"]
    assert "they span 3.0x" in table.note


def learning() -> list[Any]:
    common = {"case": "linear-paper", "kind": "sequence", "steps": 5000}
    path = {"step": [2500, 5000], "iterations": [300_000, 600_000], "context": [0.1, 0.2], "chosen": [1.5, 1.6]}
    arms = {"1": 600.0, "1.8": 104.0, "1.85": 100.0}
    return [
        record("shift-high", "numopt-sor-grid", draw=0, arms=arms, best_each=58.0, nit=500_000, **common),
        *(
            record("shift-high", "numopt-chebcb", draw=d, nit=nit, **common, **({"path": path} if d == 0 else {}))
            for d, nit in enumerate((330_000, 340_000))
        ),
    ]


def test_learning_is_set_beside_the_expected_counts():
    table = _tables.counts(learning())
    rows = {row[1]: row for row in table.rows}
    assert rows["omega 1"][3:] == ["600.0", "", "618.6", "-3.0 %"]
    assert rows["best fixed, omega 1.85"][3] == "100.0"
    assert rows["numopt-chebcb"][2:6] == ["2/2", "67.0", "1.4", "67.8"]
    assert "learning-to-relax" in table.note


def paper() -> list[Any]:
    common = {"case": "linear-paper", "kind": "sequence"}
    path = {"step": [1, 2], "iterations": [10, 20], "context": [0.0, 1.0]}
    heat = [
        record(f"heat-{nx}/2", solver, seconds=s, n=n, nit=20, steps=2, path=path, **common)
        for nx, n in ((25, 576), (50, 2401))
        for solver, s in (("numopt-cg", 1.0), ("numopt-ssor-cg-1.5", 0.5))
    ]
    omega = [1.0, 1.5, 1.9]
    scan = {"case": "linear-paper", "kind": "scan", "steps": 3}
    curves: dict[str, dict[str, Any]] = {
        "asymptotic": {"tau": [0.1, 0.1, 0.1], "beta": [0.9] * 3, "near": [60, 45, 80], "asymptotic": [50, 30, 70]}
        | {"energy": [80, 70, math.inf], "rho": [0.9] * 3},
        "degenerate": {},
        "offsets": {"tau": [0.1, 0.2, 0.05], "beta": [0.9, 0.8, 0.7], "context": [0.0, 0.1, 0.2]},
        "cg-square-12-0": {"bound": [60, 50, 70]},
    }
    scans = [
        record(problem, "numopt-sor", curves={"omega": omega, "nit": [50, 40, 60], **more}, **scan)
        for problem, more in curves.items()
    ]
    return [*learning(), *heat, *scans]


def test_scans_tell_the_least_of_counts_and_bounds():
    rows = {row[0]: row for row in _tables.scans([r for r in paper() if r.get("curves")]).rows}
    assert rows["asymptotic"][3] == "40 at 1.5"
    assert rows["asymptotic"][4].startswith("near 45 at 1.5 (1.12 to 1.33 times the iterations)")
    assert "tau 0.050 to 0.200" in rows["offsets"][5]
    assert "neighbours 20" in rows["degenerate"][5]


def test_heat_equation_is_compared_with_expected_totals():
    records = [
        record("heat-50/5000", "numopt-cg", nit=164441, seconds=2.0, kind="sequence", steps=5000, case="linear-paper"),
        record("heat-50/5000", "numopt-ssor-cg-1", nit=61000, kind="sequence", steps=5000, case="linear-paper"),
    ]
    rows = {row[1]: row for row in _tables.totals(records).rows}
    assert rows["numopt-cg"][3:7] == ["164441", "", "164441", "+0.0 %"]
    assert rows["numopt-ssor-cg-1"][6] == "+0.4 %"


def test_all_tables_come_in_their_order():
    captions = [table.caption for table in families.tables(paper())]
    assert captions[0].startswith("Learning the relaxation factor")
    assert captions[-1] == "Residuals reached and iterations"


def test_figures_show_the_experiments():
    pytest.importorskip("matplotlib")
    drawn = {figure.name: figure for figure in FAMILY.figures(paper())}
    assert set(drawn) == {"iterations", "chosen", "wallclock", "offsets", "bounds", "degenerate", "cg"}
    assert "numopt-ssor-cg-1.5 0.50" in drawn["wallclock"].alt
    assert all(figure.png.startswith(b"\x89PNG") for figure in drawn.values())
    solves = [record(p, s, seconds=t) for p in ("a", "b") for s, t in (("numopt-ssor-cg", 1.0), ("scipy-cg", 2.0))]
    assert [figure.name for figure in FAMILY.figures(solves)] == ["performance"]
    assert FAMILY.documented(solves) == []
    assert [card.solver for card in FAMILY.cards(solves)] == ["numopt-ssor-cg", "scipy-cg"]


def test_quick_has_a_matrix_where_there_is_data_and_poissons_otherwise(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NUMOPT_DATA", raising=False)
    runs = plan("quick", problems=["poisson2d-10000"])
    assert [run.solver for run in runs] == ["numopt-ssor-cg", "scipy-cg", "scipy-splu", "pyamg-sa-cg"]
    assert cases.get("quick").setup(runs[0]).n == 10_000
    assert {run.family for run in runs} == {"linear"}


def test_device_runs_are_sweeps_solves_and_batches():
    runs = plan("linear", device="gpu")
    assert {run.device for run in runs} == {"gpu"}
    assert {run.problem for run in runs if run.solver == "numopt-sweeps-multicolor"} == {
        "sweep-poisson2d-1000000", "sweep-poisson2d-16000000",
    }  # fmt: skip
    assert len({run.key() for run in runs}) == len(runs)
