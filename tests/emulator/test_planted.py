"""Planted faults: the emulator, the sanitizers and the compiler check must see what they are there to see."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.emulator.emulator import HERE, build, start

NAMES = ["numopt::missing_barrier", "numopt::past_the_end", "numopt::half_a_barrier"]
SANITIZE = bool(os.environ.get("NUMOPT_SANITIZE"))


def planted(mode: str, folder: Path) -> Path:
    return build(HERE / "planted.cu", NAMES, mode, folder)


if SANITIZE:

    def test_the_thread_sanitizer_sees_a_missing_barrier(tmp_path: Path) -> None:
        with pytest.raises(RuntimeError, match="data race"):
            start(planted("thread", tmp_path), "numopt::missing_barrier", 1, 64, [np.ones(64), np.zeros(1)])

    def test_the_address_sanitizer_sees_a_write_past_the_end(tmp_path: Path) -> None:
        with pytest.raises(RuntimeError, match="heap-buffer-overflow"):
            start(planted("address", tmp_path), "numopt::past_the_end", 1, 64, [np.zeros(33), 33])

else:

    def test_a_barrier_that_half_a_block_misses_is_an_error(tmp_path: Path) -> None:
        with pytest.raises(RuntimeError, match="wait at different barriers"):
            start(planted("fibers", tmp_path), "numopt::half_a_barrier", 1, 64, [np.zeros(64)])

    def test_a_source_that_is_no_cpp_is_an_error(tmp_path: Path) -> None:
        source = tmp_path / "broken.cu"
        source.write_text("__global__ void broken(double* x) { x[threadIdx.x] = undeclared; }\n")
        with pytest.raises(AssertionError, match="undeclared"):
            build(source, ["broken"], "fibers", tmp_path)

    def test_a_missing_compiler_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CXX", "no-such-compiler")
        with pytest.raises(FileNotFoundError):
            planted("fibers", tmp_path)
