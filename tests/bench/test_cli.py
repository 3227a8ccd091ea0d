"""The command, called in this process (the runner's own tests start it as one)."""

import subprocess
import sys
from pathlib import Path

import pytest

from numopt import cli
from numopt.bench import _records, cases, peers
from tests.bench.made_records import table


def test_list_names_cases_suites_and_solvers(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["bench", "--list"]) == 0
    text = capsys.readouterr().out
    for name in (*cases.names(), "paper47", "eq77", "square51", *peers.names()):
        assert name in text


def test_bench_runs_a_case_prints_tables_and_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("matplotlib")
    out, html = tmp_path / "r.jsonl", tmp_path / "r.html"
    words = ["bench", "bench_fakes:CASE", "--out", str(out), "--report", str(html)]
    assert cli.main(words) == 0
    text = capsys.readouterr().out
    assert "bench_fakes:CASE: 2 runs" in text
    assert "2/2" in text
    assert html.stat().st_size > 10_000
    assert len(_records.read(out)) == 2
    assert cli.main(["report", str(out), "--out", str(tmp_path / "again.html")]) == 0
    assert (tmp_path / "again.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bench"], "name a case"),
        (["bench", "nothing"], "`case` must be one of quick, cutest"),
        (["bench", "quick", "--solvers", "nobody"], "`solver` must be one of numopt"),
        (["bench", "quick", "--problems", "NOPE"], "no problem 'NOPE' here"),
        (["bench", "quick", "--mode", "paper"], "`mode` must be one of practical for quick"),
        (["bench", "cutest", "--suite", "eq78"], "`suite` must be one of paper47"),
        (["bench", "quick", "--device", "gpu"], "`device` must be one of cpu for quick"),
        (["report", "--check"], "--check goes with --docs"),
    ],
)
def test_mistakes_are_named_on_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("numopt: ")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("words", [["--seeds", "a"], ["--limit", "0"], ["--jobs", "0"], ["--threads", "x"]])
def test_numbers_are_checked(words: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        cli.main(["bench", "quick", *words])
    assert "expected" in capsys.readouterr().err


def test_ranges_of_seeds():
    assert cli._numbers("0-3,7") == [0, 1, 2, 3, 7]


def test_report_without_runs_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "run `numopt bench` first" in capsys.readouterr().err


def test_docs_tables_are_written_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with _records.Log(tmp_path / "results" / "box" / "quick.jsonl") as log:
        for record in table():
            log.append(record)
    words = ["report", str(tmp_path / "results"), "--docs", str(tmp_path / "docs")]
    assert cli.main([*words, "--check"]) == 1
    assert "box-quick.rst differs from the recorded runs" in capsys.readouterr().out
    assert cli.main(words) == 0
    assert cli.main([*words, "--check"]) == 0


def test_profile_is_a_picture_of_the_equality_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    results, picture = tmp_path / "cutest.jsonl", tmp_path / "profile.png"
    with _records.Log(results) as log:
        for record in table():
            log.append({**record, "case": "cutest", "suite": "eq77", "mode": "practical"})
    assert cli.main(["report", str(results), "--profile", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "Performance profile of solution times" in capsys.readouterr().out
    with _records.Log(tmp_path / "quick.jsonl") as log:
        for record in table():
            log.append(record)
    assert cli.main(["report", str(tmp_path / "quick.jsonl"), "--profile", str(picture)]) == 2
    assert "eq77" in capsys.readouterr().err


def test_device_runs_have_a_file_of_their_own():
    from numopt.bench import _command

    path = _command.default_file(cases.get("libsvm-constrained"), cases.Options(device="gpu"), "box")
    assert path.name == "libsvm-constrained-gpu.jsonl"


def test_results_go_to_the_checkout_or_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from numopt.bench import _command

    monkeypatch.chdir(tmp_path)
    assert _command.results_folder() == Path("numopt-results")
    (tmp_path / "bench" / "results").mkdir(parents=True)
    case = cases.get("cutest")
    assert _command.default_file(case, cases.Options(), "box") == Path("bench/results/box/cutest-paper47.jsonl")
    assert _command.default_file(cases.get("pde"), cases.Options(), "box") == Path("bench/results/box/pde.jsonl")


def test_info_and_warmup_exist(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["info"]) == 0
    assert "slsqp" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        cli.main(["warmup", "--help"])
    assert ended.value.code == 0


def test_module_form_is_the_same_command():
    done = subprocess.run(
        [sys.executable, "-m", "numopt.bench", "--list"], capture_output=True, text=True, timeout=120, check=True
    )
    assert "libsvm-constrained" in done.stdout


def test_help_needs_no_benchmark_code():
    code = """
import sys
from numopt import cli
try:
    cli.main(["--help"])
except SystemExit:
    print("numopt.bench" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "False"
