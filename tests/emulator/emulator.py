"""Build a CUDA source as a C++ program and launch its kernels on host arrays."""

import functools
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from numopt.kernels._cuda import _build

HERE = Path(__file__).parent

# Values run on fibers; the sanitizers know operating-system threads only.
_THREADS = ("-DNUMOPT_EMULATOR_THREADS", "-pthread")
MODES: dict[str, tuple[str, ...]] = {
    "fibers": ("-O1",),
    "address": ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", *_THREADS),
    "thread": ("-O1", "-fsanitize=thread", *_THREADS),
}

# A barrier of operating-system threads costs milliseconds with more.
_MOST_THREADS = 64


def build(source: Path, instances: Sequence[str], mode: str, folder: Path) -> Path:
    """Compile `source` with its kernel instances into a program under `folder` and return its path.

    Fails, rather than skips, where there is no C++ compiler: nothing else runs the CUDA code in CI.
    """
    program = folder / f"{source.stem}-{mode}"
    table = "".join(f'        numopt_emulator::launcher("{name}", {name}),\n' for name in instances)
    main = folder / f"{program.name}.cpp"
    main.write_text(
        f'#include "{source}"\n#include "driver.hpp"\n\n'
        "int main(int count, char** words) {\n"
        f"    return numopt_emulator::drive(count, words, {{\n{table}    }});\n}}\n"
    )
    command = [
        os.environ.get("CXX", "g++"),
        # `#pragma unroll` is CUDA's.
        *("-std=c++20", "-g", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"),
        *("-DNUMOPT_EMULATOR", f"-I{HERE}", f"-I{_build.FOLDER}"),
        *MODES[mode],
        *(str(main), "-o", str(program)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{source.name} does not compile as C++:\n{done.stderr}"
    return program


def start(program: Path, name: str, grid: int, block: int, args: Sequence[Any]) -> None:
    """Run one launch in a process of its own and copy what the kernel wrote back into the arrays.

    Raises `RuntimeError` with the program's messages when it fails, as it does on a sanitizer's finding.
    """
    values = [np.asarray(_build.scalar(arg)) if isinstance(arg, int | float) else arg for arg in args]
    file = program.with_suffix(".args")
    with file.open("wb") as stream:
        for value in values:
            stream.write(np.int64(value.nbytes).tobytes())
            stream.write(value.tobytes())
    command = [str(program), name, str(grid), str(block), str(file)]
    environment = {**os.environ, "TSAN_OPTIONS": "halt_on_error=1 exitcode=66", "ASAN_OPTIONS": "exitcode=65"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{name} ended with {done.returncode}:\n{done.stderr[:4000]}")
    content = file.read_bytes()
    offset = 0
    for arg, value in zip(args, values, strict=True):
        offset += 8
        if not isinstance(arg, int | float):
            arg[...] = np.frombuffer(content, value.dtype, value.size, offset).reshape(value.shape)
        offset += value.nbytes


class Emulator:
    """The launch function of the emulator, with programs built on first use."""

    def __init__(self, instances: dict[str, list[str]], mode: str, folder: Path) -> None:
        self.mode = mode
        self._instances = instances
        self._folder = folder
        self._programs: dict[str, Path] = {}

    def resident(self, source: str, kernel: str, template: Sequence[Any], block: int) -> int:
        """Return 1: the emulator's grid barrier is that of its only block."""
        return 1

    def __call__(
        self,
        source: str,
        kernel: str,
        template: Sequence[Any],
        grid: int,
        block: int,
        args: Sequence[Any],
        *,
        cooperative: bool = False,
    ) -> None:
        """Launch as `numopt.kernels._cuda._build.launch` does; the grid barrier itself refuses a second block."""
        if source not in self._programs:
            self._programs[source] = build(_build.FOLDER / source, self._instances[source], self.mode, self._folder)
        name = _build.expression(kernel, template)
        threads = block if self.mode == "fibers" else min(block, _MOST_THREADS)
        start(self._programs[source], name, grid, threads, args)


def call(emulator: Emulator, kernel: Callable[..., None], *args: Any, **options: Any) -> None:
    """Run a caller of the package with its launches emulated."""
    functools.partial(kernel, launch=emulator)(*args, **options)
