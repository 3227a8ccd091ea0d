"""Compile CUDA sources with the NVRTC wheels, by path and without a driver, and read what the assembler reports."""

import ctypes
import importlib.util
import re
from pathlib import Path
from typing import Any, NamedTuple

from numopt.kernels._cuda import _build

LIBRARIES = {12: "cuda_nvrtc/lib/libnvrtc.so.12", 13: "cu13/lib/libnvrtc.so.13"}


class Usage(NamedTuple):
    """What one kernel takes of a multiprocessor."""

    registers: int
    spill_bytes: int
    shared_bytes: int


class Compiled(NamedTuple):
    """The compiler's messages, the machine code, and the use of each kernel by its C++ name."""

    log: str
    code: bytes
    usage: dict[str, Usage]


def library(major: int) -> ctypes.CDLL:
    """Load the NVRTC of one major version from its wheel."""
    spec = importlib.util.find_spec("nvidia")
    assert spec is not None, "install the `test` extra: the NVRTC wheels are missing"
    for folder in spec.submodule_search_locations or []:
        path = Path(folder) / LIBRARIES[major]
        if path.exists():
            return ctypes.CDLL(str(path))
    raise AssertionError(f"install the `test` extra: no {LIBRARIES[major]} in the NVRTC wheels")


def _usage(log: str) -> dict[str, Usage]:
    """Read registers, spills and shared memory of every entry function from the text of `ptxas -v`."""
    found = {}
    for part in log.split("Compiling entry function '")[1:]:
        registers = re.search(r"Used (\d+) registers", part)
        spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", part)
        assert registers is not None, log
        assert spills is not None, log
        shared = re.search(r"(\d+) bytes smem", part)
        found[part.partition("'")[0]] = Usage(
            int(registers[1]), int(spills[1]) + int(spills[2]), int(shared[1]) if shared else 0
        )
    return found


def compile_source(nvrtc: ctypes.CDLL, source: Path, names: list[str], architecture: str) -> Compiled:
    """Compile `source` with the options of the package for one architecture; a warning is an error."""

    def check(code: int) -> None:
        if code != 0:
            size = ctypes.c_size_t()
            nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            text = ctypes.create_string_buffer(size.value)
            nvrtc.nvrtcGetProgramLog(program, text)
            raise AssertionError(f"{source.name} for {architecture}: NVRTC error {code}\n{text.value.decode()}")

    def fetch(what: str) -> bytes:
        size = ctypes.c_size_t()
        check(getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(size.value)
        check(getattr(nvrtc, f"nvrtcGet{what}")(program, buffer))
        return buffer.raw

    def lowered(name: str) -> str:
        result = ctypes.c_char_p()
        check(nvrtc.nvrtcGetLoweredName(program, name.encode(), ctypes.byref(result)))
        assert result.value is not None
        return result.value.decode()

    program: Any = ctypes.c_void_p()
    check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.read_bytes(), source.name.encode(), 0, None, None))
    try:
        for name in names:
            check(nvrtc.nvrtcAddNameExpression(program, name.encode()))
        flags = [*_build.options(), f"--gpu-architecture={architecture}", "-Xptxas=-v"]
        words = (ctypes.c_char_p * len(flags))(*(flag.encode() for flag in flags))
        check(nvrtc.nvrtcCompileProgram(program, len(flags), words))
        log = fetch("ProgramLog").rstrip(b"\0").decode()
        assert "warning" not in log, log
        usage = _usage(log)
        return Compiled(log, fetch("CUBIN"), {name: usage[lowered(name)] for name in names})
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
