"""The shared decorator: what its cache on disk depends on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from numopt.kernels._numba._jit import folder_stamp
from numopt.kernels._numba.gram import weighted_gram_csr
from numopt.kernels._numba.kaczmarz import row_kaczmarz

KERNEL = """
from helper import term
from numopt.kernels._numba._jit import jit

@jit
def evaluate(x, i):
    return term(x[i])
"""

HELPER = """
import numba

@numba.njit
def term(value):
    return {factor} * value
"""

PROGRAM = """
import sys
import numpy as np
from kernel import evaluate

print(evaluate(np.ones(3), int(sys.argv[1])), sum(evaluate.stats.cache_hits.values()))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kernel.py").write_text(KERNEL)
    (tmp_path / "program.py").write_text(PROGRAM)
    write_helper(tmp_path, 2)
    return tmp_path


def write_helper(folder: Path, factor: int) -> None:
    (folder / "helper.py").write_text(HELPER.format(factor=factor))


def run(folder: Path, index: int = 0, boundscheck: str = "") -> subprocess.CompletedProcess[str]:
    """Call the kernel in a fresh process that shares the cache of the earlier ones."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache"), "NUMBA_BOUNDSCHECK": boundscheck}
    command = [sys.executable, str(folder / "program.py"), str(index)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def answer(folder: Path) -> tuple[float, int]:
    done = run(folder)
    assert done.returncode == 0, done.stderr
    value, hits = done.stdout.split()
    return float(value), int(hits)


def test_an_edit_in_a_helper_is_seen_and_no_edit_is_a_cache_hit(folder: Path) -> None:
    assert answer(folder) == (2.0, 0)
    assert answer(folder) == (2.0, 1)
    write_helper(folder, 3)
    assert answer(folder) == (3.0, 0)


def test_bounds_are_checked_under_the_flag_whatever_is_cached(folder: Path) -> None:
    assert answer(folder) == (2.0, 0)
    planted = run(folder, index=3, boundscheck="1")
    assert planted.returncode != 0
    assert "IndexError" in planted.stderr


@pytest.mark.parametrize("kernel", [row_kaczmarz, weighted_gram_csr.serial, weighted_gram_csr.parallel])
def test_the_stamp_is_where_numba_looks_for_it(kernel: object) -> None:
    stamp = kernel._cache._cache_file._source_stamp  # type: ignore[attr-defined]
    assert stamp[1] == folder_stamp()


@pytest.mark.parametrize("kernel", [row_kaczmarz, weighted_gram_csr.serial, weighted_gram_csr.parallel])
def test_kernels_release_the_gil_and_divide_as_ieee_754(kernel: object) -> None:
    options = kernel.targetoptions  # type: ignore[attr-defined]
    assert options["nogil"] is True
    assert options["error_model"] == "numpy"
