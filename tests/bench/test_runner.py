"""The runner: limits, failures, resume after a kill. Each test starts real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from numopt.bench import _records
from numopt.bench._run import Run
from numopt.bench._runner import Runner, pending, record_runs
from tests.bench.bench_fakes import make_run


def run_all(*runs: Run, **settings: Any) -> list[_records.Record]:
    records: list[_records.Record] = []
    Runner(records.append, **settings).execute(runs)
    return records


def test_record_says_what_was_done_and_how_it_ended():
    (record,) = run_all(make_run(seed=3, trace=True, repeats=3, threads=1))
    assert record["status"] == "ok"
    assert record["solved"] == {"1e-4": True, "1e-6": True, "1e-8": True}
    assert record["kkt"] < 1e-10
    assert (record["n"], record["m"], record["seed"], record["threads"]) == (2, 1, 3, 1)
    steps = record["nit"]
    assert record["counts"] == {"f": steps + 1, "g": steps + 1, "H": steps, "c": steps + 1, "J": steps + 1, "Hv": 0}
    assert len(record["all_seconds"]) == 3
    assert record["seconds"] == sorted(record["all_seconds"])[1]
    assert record["first_seconds"] > 0
    assert record["peak_memory_mib"] > 10
    assert {"python", "numopt", "numpy", "scipy"} <= set(record["versions"])
    assert record["hardware"]["cores"] >= 1
    count, _, violation, _, kkt = record["trace"][-1]
    assert count == steps  # the last gradient is asked for before the last value
    assert violation < 1e-10
    assert kkt < 1e-10
    json.loads(_records.dumps(record))


def test_wrong_signed_multipliers_are_judged_alike():
    (record,) = run_all(make_run(solver="bench_fakes:WrongSign"))
    assert record["solved"]["1e-8"]


def test_sleeping_solver_is_killed_at_its_limit_and_the_next_run_goes_on():
    start = time.monotonic()
    late, fine = run_all(make_run(solver="bench_fakes:Sleeper", time_limit=0.5), make_run())
    assert time.monotonic() - start < 60
    assert late["status"] == "time limit"
    assert late["message"] == "Killed after 0.5 s."
    assert (late["n"], late["m"]) == (2, 1)  # known from loading
    assert fine["status"] == "ok"


def test_loading_has_a_limit_of_its_own():
    (record,) = run_all(make_run(problem="heavy", time_limit=0.1), load_limit=5.0)
    assert record["status"] == "load limit"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory of a process is read from /proc")
def test_memory_hog_is_stopped():
    (record,) = run_all(make_run(solver="bench_fakes:Hog", memory_limit=700 * 2**20, time_limit=60.0))
    assert record["status"] == "memory limit"
    assert record["peak_memory_mib"] >= 700


def test_crash_is_a_record():
    crashed, fine = run_all(make_run(solver="bench_fakes:Crasher"), make_run())
    assert crashed["status"] == "crashed"
    assert crashed["message"] == "The process was ended by SIGABRT."
    assert fine["status"] == "ok"


def test_exception_is_a_record_without_paths():
    (record,) = run_all(make_run(solver="bench_fakes:Raiser"))
    assert record["status"] == "error"
    assert record["message"] == "RuntimeError: no file data.txt here"
    assert record["n"] == 2


def test_missing_peer_and_missing_problem_are_recorded_as_such():
    absent, gone = run_all(make_run(solver="bench_fakes:Absent"), make_run(problem="gone"))
    assert absent["status"] == "not installed"
    assert absent["message"] == "bench_fakes:Absent needs the package no-such-package-anywhere."
    assert gone["status"] == "not available"


def test_jobs_run_side_by_side():
    runs = [make_run(solver="bench_fakes:Sleeper", problem=f"p{i}", time_limit=2.0) for i in range(4)]
    start = time.monotonic()
    records = run_all(*runs, jobs=4)
    assert {record["status"] for record in records} == {"time limit"}
    assert time.monotonic() - start < 2.0 * len(runs)


def test_forced_settings_do_not_reach_the_workers(tmp_path: Path):
    out = tmp_path / "r.jsonl"
    environment = {**os.environ, "OPENBLAS_CORETYPE": "Prescott", "OMP_NUM_THREADS": "7"}
    done = _command("bench", "bench_fakes:CASE", "--problems", "p0", "--out", str(out), env=environment)
    assert done.returncode == 0, done.stderr
    (record,) = _records.read(out)
    assert record["forced"] == {}
    assert record["unset"]["OPENBLAS_CORETYPE"] == "Prescott"


def test_recorded_runs_are_not_repeated(tmp_path: Path):
    path, log = tmp_path / "r.jsonl", tmp_path / "solves"
    runs = [_counting(f"p{i}", log) for i in range(2)]
    record_runs(runs[:1], path)
    records = record_runs(runs, path)
    assert [record["problem"] for record in records] == ["p0", "p1"]
    assert log.read_text(encoding="ascii").count("solved") == 2
    record_runs(runs, path, fresh=True)
    assert log.read_text(encoding="ascii").count("solved") == 4
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2


def test_other_versions_and_missing_packages_are_done_again():
    run = make_run()
    (record,) = run_all(run)
    assert pending([run], [record]) == []
    assert pending([run], [{**record, "versions": {**record["versions"], "numpy": "0.1"}}]) == [run]
    assert pending([run], [{**record, "status": "not installed"}]) == [run]


def test_killed_runner_resumes_where_it_stopped(tmp_path: Path):
    path, log = tmp_path / "r.jsonl", tmp_path / "solves"
    script = tmp_path / "go.py"
    script.write_text(
        "from pathlib import Path\n"
        "from bench_fakes import make_run\n"
        "from numopt.bench._runner import record_runs\n"
        "if __name__ == '__main__':\n"
        f"    options = {{'log': {str(log)!r}, 'pause': 0.5}}\n"
        "    runs = [make_run(problem=f'p{i}', solver='bench_fakes:Counting', options=options) for i in range(6)]\n"
        f"    record_runs(runs, Path({str(path)!r}))\n",
        encoding="utf-8",
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen([sys.executable, str(script)], env=environment)
    _wait_for(lambda: path.exists() and path.read_bytes().count(b"\n") >= 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = _records.read(path)
    assert 2 <= len(before) < 6
    done_before = log.read_text(encoding="ascii").count("solved")
    # A line torn by the kill, as a full disk or a power cut would leave it.
    with path.open("ab") as stream:
        stream.write(b'{"case":"bench_fakes:CASE","probl')
    time.sleep(1.0)
    assert log.read_text(encoding="ascii").count("solved") <= done_before + 1  # orphans ended with the runner
    done_before = log.read_text(encoding="ascii").count("solved")
    subprocess.run([sys.executable, str(script)], env=environment, check=True, timeout=120)
    after = _records.read(path)
    assert [record["problem"] for record in after] == [f"p{i}" for i in range(6)]
    assert after[: len(before)] == before
    assert log.read_text(encoding="ascii").count("solved") == done_before + 6 - len(before)


def _counting(problem: str, log: Path) -> Run:
    return make_run(problem=problem, solver="bench_fakes:Counting", options={"log": str(log), "pause": 0.0})


def _wait_for(condition: Any, seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def _command(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = dict(env or os.environ)
    environment["PYTHONPATH"] = str(Path(__file__).parent)
    return subprocess.run(
        [sys.executable, "-m", "numopt.cli", *words], env=environment, capture_output=True, text=True, timeout=120
    )
