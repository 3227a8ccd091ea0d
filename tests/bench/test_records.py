"""Results files: strict JSON, torn lines, one writer."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from numopt.bench import _records
from tests.bench.bench_fakes import make_run


def entry(problem: str, **more: object) -> dict[str, object]:
    run = make_run(problem=problem)
    return {**{name: getattr(run, name) for name in _records.KEY_FIELDS}, **more}


def test_appended_records_come_back(tmp_path: Path):
    path = tmp_path / "deep" / "r.jsonl"
    with _records.Log(path) as log:
        log.append(entry("a", fun=np.float64(1.5), solved={"1e-4": np.bool_(True)}, times=np.arange(2)))
    (back,) = _records.read(path)
    assert back["fun"] == 1.5
    assert back["solved"] == {"1e-4": True}
    assert back["times"] == [0, 1]
    assert _records.record_key(back) == make_run(problem="a").key()


def test_numbers_that_are_not_finite_become_null():
    line = _records.dumps({"a": float("nan"), "b": [float("inf"), 1.0]})
    assert json.loads(line) == {"a": None, "b": [None, 1.0]}


def test_torn_last_line_is_left_out_and_cut_before_appending(tmp_path: Path):
    path = tmp_path / "r.jsonl"
    whole = _records.dumps(entry("a")) + "\n"
    path.write_text(whole + '{"case":"bench_fa', encoding="utf-8")
    assert [r["problem"] for r in _records.read(path)] == ["a"]
    with _records.Log(path) as log:
        assert [r["problem"] for r in log.records] == ["a"]
        log.append(entry("b"))
    assert [r["problem"] for r in _records.read(path)] == ["a", "b"]


def test_file_that_is_nothing_but_a_torn_line(tmp_path: Path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"case"', encoding="utf-8")
    with _records.Log(path) as log:
        assert log.records == []
    assert path.read_bytes() == b""


def test_broken_line_in_the_middle_is_an_error_that_names_it(tmp_path: Path):
    path = tmp_path / "r.jsonl"
    path.write_text("{}\nnonsense\n{}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"r\.jsonl, line 2: not a JSON record"):
        _records.read(path)


def test_later_record_replaces_an_earlier_one_of_the_same_key(tmp_path: Path):
    path = tmp_path / "r.jsonl"
    with _records.Log(path) as log:
        for nit in (1, 2):
            log.append(entry("a", nit=nit))
        log.compact()
    assert path.read_text(encoding="utf-8").count("\n") == 1
    assert [r["nit"] for r in _records.read(path)] == [2]


def test_second_writer_is_refused(tmp_path: Path):
    path = tmp_path / "r.jsonl"
    with _records.Log(path), pytest.raises(BlockingIOError, match=r"r\.jsonl is being written"):
        _records.Log(path)


def test_folders_and_compressed_files_are_read(tmp_path: Path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "a.jsonl").write_text(_records.dumps(entry("a")) + "\n", encoding="utf-8")
    with gzip.open(tmp_path / "m" / "b.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.write(_records.dumps(entry("b")) + "\n")
    assert [r["problem"] for r in _records.read_all([tmp_path])] == ["a", "b"]


def test_versions_decide_whether_a_record_still_holds():
    recorded = {"versions": {"numopt": "1", "scipy": "2"}}
    assert _records.same_versions(recorded, {"numopt": "1"})
    assert not _records.same_versions(recorded, {"numopt": "2"})
