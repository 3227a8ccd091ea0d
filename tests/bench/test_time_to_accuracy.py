"""Times to an accuracy: the sweeps, the cases `libsvm` and `coordinate`, the adapters, the tables."""

import time
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csc_array, random_array

from numopt.bench import _records, cases, peers
from numopt.bench._run import Run
from numopt.bench._runner import Runner
from numopt.bench.cases import _coordinate as coordinate_case
from numopt.bench.cases import _libsvm as libsvm_case
from numopt.bench.cases import _sweep
from numopt.bench.families.coordinate import FAMILY, _judge, _time_to_accuracy
from numopt.bench.peers import _coordinate as coordinate
from numopt.bench.peers import _estimators as estimators
from tests.bench.made_records import failed, made

TOL = 1e-10


def task_of(kind: str, *, sparse: bool = True) -> coordinate.Task:
    """A small problem of each kind of the cases."""
    rng = np.random.default_rng(0)
    A = csc_array(random_array((60, 20), density=0.4, rng=rng, data_sampler=rng.standard_normal))
    z = A @ (rng.standard_normal(20) * (rng.random(20) < 0.3)) + 0.3 * rng.standard_normal(60)
    model = libsvm_case.MODELS.get(kind, "least-squares")
    if model == "multinomial":
        b: Any = np.argmax(A @ rng.standard_normal((20, 3)) + 0.5 * rng.standard_normal((60, 3)), axis=1)
    else:
        b = np.where(z > np.median(z), 1.0, -1.0) if model == "logistic" else z
    if kind == "labels":
        return coordinate_case.build("labels/8")
    if kind == "nnls":
        return coordinate_case.build("nnls/30x12")
    data = A if sparse else A.toarray(order="F")
    path = (3.0, 1.0, 0.3) if kind == "path" else ()
    l1, l2 = (0.0, 1.0) if kind.startswith("l2") else (0.0 if path else 0.8, 0.0)
    return coordinate.Task("small", "test", model, data, b, l1=l1, l2=l2, path=path)  # type: ignore[arg-type]


def run_solver(name: str, task: coordinate.Task, tol: float = TOL) -> coordinate.Coefficients:
    solver = peers.get(name, "coordinate")
    lacking = solver.missing()
    if lacking is not None:
        pytest.skip(f"{lacking} is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a peer's own, which the runner sends nowhere
        solver.set_problem(task, peers.Settings(tol=tol))
        solver.run()
    return solver.get_result()


def plan(name: str, **options: Any) -> list[Run]:
    return cases.get(name).plan(cases.Options(**options))


# the adapters

CALLS = [
    (solver, kind)
    for kinds in (libsvm_case.SOLVERS, coordinate_case.SOLVERS)
    for kind, solvers in kinds.items()
    for solver in solvers
]


@pytest.mark.parametrize(("solver", "kind"), CALLS)
def test_solvers_solve_the_problem_that_the_bench_judges(solver: str, kind: str):
    task = task_of(kind)
    verdict = FAMILY.judge(task, run_solver(solver, task), task)
    funs = np.atleast_1d(verdict["fun"])
    assert np.isfinite(funs).all()
    if kind == "labels":
        assert verdict["error"] <= 1e-8
    elif kind == "nnls":
        exact = FAMILY.judge(task, run_solver("scipy-nnls", task), task)
        assert verdict["fun"] <= exact["fun"] * (1.0 + 1e-6)
    else:
        # Some tolerances are far from relative errors; a wrong scaling of a penalty would be off by much more.
        assert verdict["gap"] <= 1e-3 * funs.max()


@pytest.mark.parametrize(("solver", "kind"), [(s, k) for s, k in CALLS if k in ("lasso", "l1-logistic", "l2-logistic")])
def test_solvers_take_dense_data(solver: str, kind: str):
    task = task_of(kind, sparse=False)
    verdict = FAMILY.judge(task, run_solver(solver, task), task)
    assert verdict["gap"] <= 1e-3 * verdict["fun"]


def test_numopt_reaches_the_tightest_level_on_every_kind():
    for kind in (*libsvm_case.SOLVERS, "path"):
        task = task_of(kind)
        verdict = FAMILY.judge(task, run_solver("numopt", task, tol=1e-11), task)
        assert verdict["gap"] <= 1e-10 * np.max(verdict["fun"]), kind


def test_solvers_refuse_what_they_do_not_do():
    for name, kind in (
        ("sklearn-lasso", "l2-logistic"), ("celer", "l2-logistic"), ("sklearn-newton-cg", "l1-logistic"),
        ("blitzl1", "path"), ("scipy-nnls", "lasso"), ("snapml", "lasso"),
    ):  # fmt: skip
        solver = peers.get(name, "coordinate")
        if solver.missing() is not None:
            continue
        with pytest.raises(peers.UnsuitableProblemError):
            solver.set_problem(task_of(kind), peers.Settings(tol=TOL))
    many = replace(task_of("l2-multinomial"), A=csc_array((60, 20_000)))
    with pytest.raises(peers.UnsuitableProblemError, match="a dense Hessian of 60000 unknowns is too large"):
        peers.get("sklearn-newton-cholesky", "coordinate").set_problem(many, peers.Settings(tol=TOL))


def test_storage_is_by_columns_or_rows_with_short_indices():
    A = csc_array(np.eye(3))
    A.indices, A.indptr = A.indices.astype(np.int64), A.indptr.astype(np.int64)
    for by, kind in (("columns", "csc"), ("rows", "csr")):
        found = estimators.stored(A, by)  # type: ignore[arg-type]
        assert (found.format, found.indices.dtype, found.indptr.dtype) == (kind, np.int32, np.int32)
        assert_array_equal(found.toarray(), np.eye(3))
    assert estimators.stored(np.ones((2, 3)), "columns").flags.f_contiguous
    assert estimators.penalty(task_of("nnls")) == "nonneg"
    assert estimators.penalty(replace(task_of("lasso"), l2=1.0)) == "l1+l2"


# the sweep


class Halving(coordinate.CoordinateSolver):
    """Coefficients that are off by the tolerance; each solve takes as long as it is told to."""

    name = "halving"
    has_tol = True
    pause = 0.0

    def prepare(self) -> None:
        self.calls = [*getattr(self, "calls", []), self.settings.tol]

    def run(self) -> None:
        time.sleep(self.pause)

    def get_result(self) -> coordinate.Coefficients:
        exact = np.array([2.0, 0.0])
        x = exact + self.settings.tol
        return coordinate.Coefficients(x=x, success=True, outcome="done", message="done", nit=3)


class Made(_sweep.Sweep):
    """Two coefficients."""

    name = "made"
    summary = "for tests"

    def plan(self, options: cases.Options) -> list[Run]:
        return []

    def build(self, run: Run) -> coordinate.Task:
        return coordinate.Task("two", "test", "least-squares", np.eye(2), np.array([3.0, 0.5]), l1=1.0)


def swept(solver: Halving, repeats: int = 1, limit: float = 10.0) -> dict[str, Any]:
    case, run = Made(), Run(case="made", problem="two", solver="halving", family="coordinate", time_limit=limit)
    task = case.setup(run)
    case.warm_up(run, task, solver)
    solver.calls.clear()
    for _ in range(repeats):
        solver.set_problem(task, case.settings(run))
        case.run(solver)
    return case.result(run, task, solver, task)["sweep"]


def test_sweeps_end_at_a_certified_answer():
    sweep = swept(Halving())
    # The gap is about the tolerance here: F* = 2.625.
    assert sweep["tol"][0] == 1e-2
    assert sweep["gap"][-1] <= _sweep.ACCURATE * 2.625 < sweep["gap"][-2]
    assert_allclose(sweep["fun"][-1], 2.625, rtol=1e-10)
    assert sweep["nit"] == [3] * len(sweep["tol"])


def test_sweeps_end_before_a_solve_that_might_not_fit():
    solver = Halving()
    solver.pause = 0.02
    sweep = swept(solver, limit=0.2)
    # A second solve would leave 0.1 - 0.04 s, less than three times what it took.
    assert len(sweep["tol"]) <= 2
    assert min(sweep["seconds"]) >= 0.02


def test_repetitions_repeat_the_tolerances_of_the_first():
    solver = Halving()
    sweep = swept(solver, repeats=3)
    counted = [tol for tol in solver.calls if tol in sweep["tol"]]
    assert counted.count(sweep["tol"][0]) == 3
    fastest, seconds, slowest = (np.array(sweep[name]) for name in ("fastest", "seconds", "slowest"))
    assert (fastest <= seconds).all()
    assert (seconds <= slowest).all()


def test_long_solves_are_not_repeated(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_sweep, "LONG", 0.0)
    solver = Halving()
    sweep = swept(solver, repeats=3)
    assert solver.calls.count(sweep["tol"][0]) == 1


def test_solvers_without_a_tolerance_run_once():
    solver = Halving()
    solver.has_tol = False
    assert len(swept(solver)["tol"]) == 1


# the cases


def test_labels_name_model_set_and_divisor():
    assert libsvm_case.parse("l1-logistic/rcv1-shape/50") == ("l1-logistic", "rcv1-shape", 50)
    assert libsvm_case.parse("l2-multinomial/letter.scale") == ("l2-multinomial", "letter.scale", None)
    for label in ("lasso/a9a", "l2-logistic/a9a/3", "svm/a9a/3"):
        with pytest.raises(ValueError, match=f"no problem '{label}' here"):
            libsvm_case.parse(label)
    for label in ("nnls/5", "path", "labels/a"):
        with pytest.raises(ValueError, match=f"no problem '{label}' here"):
            coordinate_case.kind(label)


def test_models_have_their_solvers():
    runs = plan("libsvm")
    assert len({run.key() for run in runs}) == len(runs)
    by_problem: dict[str, set[str]] = {}
    for run in runs:
        by_problem.setdefault(run.problem, set()).add(run.solver)
    assert {"numopt", "skglm", "celer", "blitzl1"} <= by_problem["lasso/news20/100"]
    assert "sklearn-newton-cholesky" in by_problem["l2-logistic/a9a"]
    assert "sklearn-saga" in by_problem["l1-multinomial/dna/100"]
    assert all("numopt" in solvers for solvers in by_problem.values())
    assert {run.solver for run in plan("libsvm", problems=["lasso/a9a/10"], solvers=["peers"])} == {
        "skglm", "celer", "glmnet", "blitzl1", "sklearn-lasso",
    }  # fmt: skip


def test_hopeless_pairs_are_recorded_with_the_reason(monkeypatch: pytest.MonkeyPatch):
    assert all(label in libsvm_case.PROBLEMS for label, _ in libsvm_case.LEFT_OUT)
    (run,) = plan("libsvm", problems=["lasso/breast_cancer/10"], solvers=["sklearn-lasso"])
    monkeypatch.setitem(libsvm_case.LEFT_OUT, (run.problem, run.solver), "takes too long.")
    with pytest.raises(peers.UnsuitableProblemError, match="left out: sklearn-lasso takes too long"):
        cases.get("libsvm").warm_up(run, None, peers.get(run.solver, "coordinate"))


def test_penalties_are_parts_of_the_least_that_makes_all_zero():
    for kind in ("lasso", "l1-logistic", "l1-multinomial"):
        task = libsvm_case.build(f"{kind}/digits/4" if kind != "l1-logistic" else f"{kind}/breast_cancer/4")
        zero = np.zeros(task.shape)
        assert _judge.kkt(replace(task, l1=4.0 * task.l1 * (1 + 1e-12)), zero) == 0.0
        assert _judge.kkt(replace(task, l1=4.0 * task.l1 * (1 - 1e-6)), zero) > 0.0
    ridge = libsvm_case.build("l2-logistic/breast_cancer")
    assert (ridge.l1, ridge.l2) == (0.0, 1.0)
    assert ridge.A.flags.f_contiguous  # mostly nonzeros
    assert libsvm_case.build("lasso/rcv1-shape/10").A.format == "csc"


def test_class_numbers_are_centred_and_signs_are_not():
    assert_array_equal(libsvm_case.centred(np.array([1.0, -1.0, 1.0])), [1.0, -1.0, 1.0])
    assert_allclose(libsvm_case.centred(np.array([1.0, 2.0, 6.0])), [-2.0, -1.0, 3.0])


def test_lattices_have_four_neighbours_and_some_labels():
    task = coordinate_case.build("labels/10")
    assert task.A.shape == (100, 100)
    assert task.A.nnz == 360
    assert task.mask.sum() == 4
    assert (task.A != task.A.T).nnz == 0
    assert np.count_nonzero(task.b[~task.mask]) == 0


def test_paths_go_down_to_a_hundredth():
    task = coordinate_case.build("path/digits")
    assert len(task.path) == 30
    assert_allclose(task.path[-1] / task.path[0], 0.01)
    assert _judge.kkt(replace(task, path=(), l1=task.path[0] * (1 + 1e-12)), np.zeros(64)) == 0.0
    verdict = FAMILY.judge(task, run_solver("numopt", task, tol=1e-8), task)
    assert len(verdict["fun"]) == 30
    assert verdict["gap"] <= 1e-7 * max(verdict["fun"])


def test_the_gap_of_a_path_is_its_worst():
    task = task_of("path")
    x = np.array(run_solver("numopt", task, tol=1e-12).x)
    assert FAMILY.judge(task, coordinate.Coefficients(x=x, success=True, outcome="", message=""), task)["gap"] < 1e-8
    x[:, 1] *= 1.1
    assert FAMILY.judge(task, coordinate.Coefficients(x=x, success=True, outcome="", message=""), task)["gap"] > 1e-4


def test_non_negative_problems_are_judged_by_objective_where_it_is_not_zero():
    assert coordinate_case.build("nnls/30x20").measure == "suboptimality"
    assert coordinate_case.build("nnls/20x50").measure == "kkt"


def test_device_runs_are_paths():
    runs = plan("coordinate", device="gpu")
    assert {run.problem for run in runs} == set(coordinate_case.GPU)
    assert {run.solver for run in runs} == {"numopt", "skglm", "cuml"}
    assert {run.device for run in runs} == {"gpu"}
    assert plan("coordinate", device="gpu", problems=["labels/50"]) == []


def test_quick_has_a_classifier(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NUMOPT_DATA", raising=False)
    runs = plan("quick", problems=["l1-logistic/breast_cancer/100"])
    assert [(run.solver, run.family, run.level) for run in runs] == [
        ("numopt", "coordinate", "1e-6"), ("sklearn-liblinear", "coordinate", "1e-6"),
    ]  # fmt: skip
    task = cases.get("quick").setup(runs[0])
    verdict = FAMILY.judge(task, run_solver("numopt", task, tol=1e-12), task)
    assert abs(verdict["error"]) <= 1e-12
    assert verdict["gap"] <= 1e-11 * task.f_opt


# from the worker to the tables


def test_runs_are_swept_and_recorded():
    records: list[_records.Record] = []
    runs = plan("libsvm", problems=["lasso/breast_cancer/10"], solvers=["numopt", "sklearn-lasso"], repeats=2)
    Runner(records.append).execute(runs)
    assert [record["status"] for record in records] == ["ok", "ok"], [record.get("message") for record in records]
    for record in records:
        sweep = record["sweep"]
        assert len({len(column) for column in sweep.values()}) == 1
        assert sweep["tol"][0] == 1e-2
        assert FAMILY.progress(record).startswith("suboptimality")
    assert _time_to_accuracy.certificates(records)["lasso/breast_cancer/10"] <= 1e-10
    winners, times, _ = FAMILY.tables(records)
    assert len(winners.rows) == 1
    assert [row[1] for row in times.rows] == ["numopt", "sklearn-lasso"]
    assert "-" not in times.rows[0][2::2]


def record(problem: str, solver: str, funs: list[Any], seconds: list[float], **more: Any) -> Any:
    """A sweep of as many tolerances as there are objectives."""
    count = len(funs)
    sweep = {
        "tol": list(_sweep.TOLERANCES[:count]), "seconds": seconds, "fastest": seconds, "slowest": seconds,
        "cpu_seconds": seconds, "fun": funs, "gap": [None] * count, "kkt": [1e-3] * count, "error": [None] * count,
        "n_active": [2] * count, "nit": [9] * count, "success": [True] * count, **more.pop("columns", {}),
    }  # fmt: skip
    fields = {
        "case": "libsvm", "family": "coordinate", "level": None, "trace": None, "measure": "suboptimality",
        "sweep": sweep,
    }  # fmt: skip
    return made(problem, solver, **{**fields, **more})


def test_the_best_objective_of_all_runs_is_the_optimum():
    records = [
        record("p", "numopt", [100.0 * (1 + 1e-3), 100.0 * (1 + 1e-7), 100.0], [0.1, 0.2, 0.3]),
        record("p", "skglm", [101.0, 100.0 * (1 + 1e-5), 100.0 * (1 + 1e-12)], [0.05, 0.3, 0.9]),
        {**failed("p", "celer", "time limit", "Killed after 30 s."), "case": "libsvm", "family": "coordinate"},
    ]
    assert_array_equal(_time_to_accuracy.optima(records)["p"], [100.0])
    rows = {row[1]: row for row in _time_to_accuracy.times(records).rows}
    assert rows["numopt"][2:] == ["200 ms", "", "200 ms", "", "300 ms", "", "0.0e+00"]
    assert rows["skglm"][2:8] == ["300 ms", "1.50x", "900 ms", "4.50x", "900 ms", "3.00x"]
    assert rows["celer"][2:] == ["time limit", "", "time limit", "", "time limit", "", "-"]
    won = _time_to_accuracy.winners(records)
    assert won.rows[0][:4] == ["p", "200 ms", "skglm 300 ms", "1.50x"]
    assert "1 of 1 to 1e-4" in won.note


def test_tables_say_where_a_peer_wins():
    records = [
        record("p", "numopt", [100.0], [0.2], columns={"gap": [1e-9]}),
        record("p", "celer", [100.0], [0.1], columns={"gap": [1e-3]}),
    ]
    won = _time_to_accuracy.winners(records)
    assert won.rows[0][1:4] == ["200 ms", "celer 100 ms", "0.50x"]
    assert won.marks is not None
    assert won.marks[0][1] == "miss"
    assert "0 of 1 to 1e-4" in won.note
    assert won.rows[0][-1] == "1.0e-11"
    assert FAMILY.headline(records).endswith("numopt 1 of 1, celer 1 of 1.")
    assert [card.solved for card in FAMILY.cards(records)] == [1, 1]


def test_the_worst_value_of_a_path_counts():
    records = [
        record("path/p", "numopt", [[10.0, 5.0]], [0.2]),
        record("path/p", "skglm", [[10.0 * (1 + 1e-8), 5.0 * (1 + 1e-5)]], [0.1]),
    ]
    rows = {row[1]: row for row in _time_to_accuracy.times(records).rows}
    assert rows["skglm"][2:] == ["100 ms", "0.50x", "-", "", "-", "", "1.0e-05"]


def test_other_measures_are_the_bench_s_own():
    common = {"measure": "residual"}
    records = [record("labels/9", "numopt", [7.0], [0.1], columns={"error": [1e-7]}, **common)]
    assert _time_to_accuracy.times(records).rows[0][2:] == ["100 ms", "", "100 ms", "", "-", "", "1.0e-07"]
