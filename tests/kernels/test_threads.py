"""Parallel kernels under several Python threads, after a fork, and where they stay serial."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numba
import pytest

from numopt.kernels._numba import _threads
from numopt.kernels._numba._threads import PARALLEL_MIN_WORK, Twins

PROGRAM = Path(__file__).with_name("thread_program.py")


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
@pytest.mark.parametrize("how", ["threads", "fork", "spawn"])
def test_parallel_kernels_survive(how: str, layer: str) -> None:
    environment = {**os.environ, "NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    # Failures here are aborts and hangs; the timeout is far above what a run takes on a busy machine.
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(PROGRAM), how],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [layer]


class Recorder:
    """A kernel in two forms that notes which one was called."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def twins(self) -> Twins:
        def serial(work: float) -> None:
            self.calls.append("serial")

        def parallel(work: float) -> None:
            self.calls.append("parallel")

        return Twins(serial, parallel, lambda work: work)


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba, "get_num_threads", lambda: 2)


@pytest.mark.usefixtures("two_threads")
def test_the_form_depends_on_the_work() -> None:
    recorder = Recorder()
    kernel = recorder.twins()
    kernel(PARALLEL_MIN_WORK - 1)
    kernel(PARALLEL_MIN_WORK)
    assert recorder.calls == ["serial", "parallel"]


def test_one_thread_is_serial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba, "get_num_threads", lambda: 1)
    recorder = Recorder()
    recorder.twins()(PARALLEL_MIN_WORK)
    assert recorder.calls == ["serial"]


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("layer", "form"), [("omp", "serial"), ("workqueue", "parallel"), (None, "parallel")])
def test_a_forked_child_is_serial_where_the_parent_used_openmp(
    layer: str | None, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = _threads._State()
    monkeypatch.setattr(_threads, "_state", state)
    monkeypatch.setattr(_threads, "threading_layer", lambda: layer)
    state.after_fork_in_child()
    recorder = Recorder()
    recorder.twins()(PARALLEL_MIN_WORK)
    assert recorder.calls == [form]


@pytest.mark.usefixtures("two_threads")
def test_a_forked_child_gets_a_lock_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    state = _threads._State()
    held = state.lock
    holder = threading.Thread(target=held.acquire)
    holder.start()
    holder.join()
    state.after_fork_in_child()
    assert state.lock is not held
    assert state.lock.acquire(blocking=False)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("layer", "locked"), [("workqueue", True), (None, True), ("omp", False), ("tbb", False)])
def test_the_lock_is_held_where_the_layer_needs_it(
    layer: str | None, locked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_threads, "threading_layer", lambda: layer)
    free: list[bool] = []

    def probe() -> None:
        free.append(_threads._state.lock.acquire(blocking=False))
        if free[-1]:
            _threads._state.lock.release()

    def parallel(work: Any) -> None:
        thread = threading.Thread(target=probe)
        thread.start()
        thread.join()

    Twins(parallel, parallel, lambda work: work)(PARALLEL_MIN_WORK)
    assert free == [not locked]
