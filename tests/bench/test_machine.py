"""What records say about the place of a run, and what they must not."""

import os
import re
import socket

import pytest

from numopt.bench import _machine


def test_messages_lose_their_paths_and_keep_their_numbers():
    text = "FileNotFoundError: no /home/me/data sets/a.b/file.gz (ratio 3/4, see https://example.org/a/b)"
    shown = _machine.without_paths(text)
    assert shown == "FileNotFoundError: no file.gz (ratio 3/4, see https://example.org/a/b)"
    assert _machine.without_paths("n=3, m=1; KKT 1e-8/2") == "n=3, m=1; KKT 1e-8/2"


def test_description_names_the_processor_and_no_host():
    described = _machine.machine()
    assert described["cores"] >= 1
    assert socket.gethostname() not in str(described)
    assert "/" not in described["cpu"]


def test_commit_is_a_hash_or_nothing():
    found = _machine.commit()
    assert found is None or re.fullmatch(r"[0-9a-f]{12}\+?", found)


def test_environment_is_clean_inside_and_restored_outside(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    assert _machine.forced()["OPENBLAS_CORETYPE"] == "Prescott"
    with _machine.clean_environment():
        assert _machine.forced() == {}
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"
    assert os.environ["OPENBLAS_CORETYPE"] == "Prescott"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def test_versions_name_only_what_is_installed():
    found = _machine.versions(["no-such-distribution-anywhere"])
    assert {"python", "numopt", "numpy", "scipy", "numba"} == set(found)
