"""The runner: a process for each run, limits, results on disk as they come. It never solves anything itself."""

import contextlib
import datetime
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection as mp_connection
from multiprocessing.connection import Connection
from multiprocessing.forkserver import ensure_running
from multiprocessing.process import BaseProcess
from pathlib import Path

from numopt.bench import _machine, _worker, peers
from numopt.bench._records import Log, Record, record_key, same_versions
from numopt.bench._run import Run

LOAD_LIMIT = 120.0
"""Seconds for loading the problem and for warming up, each; judging gets as much."""

PRELOAD = (
    "numpy",
    "scipy.optimize",
    "scipy.sparse.linalg",
    "numba",
    "numopt.constrained",
    "numopt.ot",
    "numopt.problems",
    "sklearn.datasets",
    "numopt.bench._worker",
)
RETRIED = ("not installed", "not available")
"""Recorded outcomes that a later run tries again: what was lacking may be there now."""

KILLED = ("time limit", "load limit", "memory limit")
EXIT_GRACE = 10.0
"""Seconds for a worker that has reported to end by itself, which lets it release what it holds."""

POLL = 0.02
"""Seconds between two looks at the memory of the workers."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class _Active:
    """A worker at work."""

    run: Run
    process: BaseProcess
    pipe: Connection
    phase: str
    deadline: float
    known: Record = field(default_factory=dict)
    peak: int = 0


class Runner:
    """Do runs, each in its own process, and hand each record to `on_record` as soon as it is there.

    Parameters
    ----------
    on_record : callable
        Called with each finished record.
    jobs : int, default 1
        Processes at a time. More than one disturbs the clock; good for counts and accuracy.
    machine : str, default "local"
        Name under which the results are filed.
    load_limit : float, default 120
        Seconds for loading, warm-up and judging, each.

    Notes
    -----
    Workers come from a fork server that has imported the stack and has one thread, so starting one takes milliseconds
    and is safe. The time limit of a run starts after loading. A worker over a limit is killed; so is every worker when
    the runner ends for any reason (they watch the pipe).
    """

    def __init__(
        self,
        on_record: Callable[[Record], None],
        *,
        jobs: int = 1,
        machine: str = "local",
        load_limit: float = LOAD_LIMIT,
    ) -> None:
        self._on_record = on_record
        self._jobs = jobs
        self._machine = machine
        self._load_limit = load_limit
        self._active: list[_Active] = []
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(PRELOAD))

    def execute(self, runs: Sequence[Run]) -> None:
        """Do all runs. `KeyboardInterrupt` ends the workers and propagates."""
        with _machine.clean_environment():
            ensure_running()
        waiting = list(reversed(runs))
        try:
            while waiting or self._active:
                while waiting and len(self._active) < self._jobs:
                    self._active.append(self._start(waiting.pop()))
                self._look()
        finally:
            for active in self._active:
                _end(active)
            self._active.clear()

    def _start(self, run: Run) -> _Active:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_worker.main, args=(theirs, run), daemon=True)
        process.start()
        theirs.close()
        return _Active(run, process, ours, _worker.PHASE_LOAD, time.monotonic() + self._load_limit)

    def _look(self) -> None:
        """Wait a moment, take in messages, enforce limits."""
        now = time.monotonic()
        nearest = min(active.deadline for active in self._active)
        watched = any(active.run.memory_limit is not None for active in self._active)
        timeout = max(0.0, min(nearest - now, POLL if watched else nearest - now))
        mp_connection.wait([active.pipe for active in self._active], timeout=timeout)
        for active in list(self._active):
            record = self._inspect(active)
            if record is not None:
                self._active.remove(active)
                _end(active, grace=0.0 if record["status"] in KILLED else EXIT_GRACE)
                self._on_record(self._complete(active, record))

    def _inspect(self, active: _Active) -> Record | None:
        """The finished record, or None while the worker may go on."""
        try:
            while active.pipe.poll():
                phase, content = active.pipe.recv()
                if phase == _worker.DONE:
                    return dict(content)
                active.known.update(content)
                active.phase = phase
                limit = active.run.time_limit if phase == _worker.PHASE_RUN else self._load_limit
                active.deadline = time.monotonic() + limit
        except (EOFError, OSError):
            active.process.join(timeout=5)
            return {**active.known, **_crash(active)}
        memory = active.run.memory_limit
        if memory is not None:
            active.peak = max(active.peak, _resident(active.process.pid))
            if active.peak > memory:
                text = f"Killed above {memory / 2**20:.0f} MiB of resident memory."
                peak = round(active.peak / 2**20, 1)
                return {**active.known, "status": "memory limit", "message": text, "peak_memory_mib": peak}
        if time.monotonic() > active.deadline:
            return {**active.known, **_late(active, self._load_limit)}
        return None

    def _complete(self, active: _Active, record: Record) -> Record:
        """Put identity, result and circumstances into one line."""
        distribution = peers.get(active.run.solver, active.run.family).distribution
        return {
            **_worker.identity(active.run),
            **record,
            "versions": _machine.versions([distribution] if distribution else []),
            "unset": _machine.forced(),
            "machine": self._machine,
            "hardware": _machine.machine(),
            "commit": _machine.commit(),
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }


def _late(active: _Active, load_limit: float) -> Record:
    if active.phase == _worker.PHASE_RUN:
        limit = active.run.time_limit
        return {"status": "time limit", "message": f"Killed after {limit:g} s."}
    return {"status": "load limit", "message": f"Killed: loading, warming up or judging took over {load_limit:g} s."}


def _crash(active: _Active) -> Record:
    code = active.process.exitcode
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return {"status": "crashed", "message": f"The process was ended by {name}."}
    return {"status": "crashed", "message": f"The process ended with code {code}."}


def _end(active: _Active, grace: float = 0.0) -> None:
    """Wait for a worker that has reported, end it at once otherwise."""
    active.process.join(timeout=grace)
    if active.process.is_alive():
        active.process.kill()
    active.process.join()
    active.pipe.close()


def _resident(pid: int | None) -> int:
    """Resident bytes of a process, 0 where the system does not tell (then there is no memory limit)."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    return 0


def pending(runs: Sequence[Run], records: Sequence[Record]) -> list[Run]:
    """The runs that are not recorded yet with the same key and the installed versions."""
    done = {record_key(record): record for record in records}
    left = []
    for run in runs:
        record = done.get(run.key())
        distribution = peers.get(run.solver, run.family).distribution
        current = _machine.versions([distribution] if distribution else [])
        if record is None or record["status"] in RETRIED or not same_versions(record, current):
            left.append(run)
    return left


def record_runs(
    runs: Sequence[Run],
    path: Path,
    *,
    fresh: bool = False,
    jobs: int = 1,
    machine: str = "local",
    on_record: Callable[[Record, int, int], None] | None = None,
) -> list[Record]:
    """Do the runs that `path` lacks (all with `fresh`), append each as it ends, return the records of all `runs`."""
    with Log(path) as log:
        left = list(runs) if fresh else pending(runs, log.records)
        count = 0

        def keep(record: Record) -> None:
            nonlocal count
            count += 1
            log.append(record)
            if on_record is not None:
                on_record(record, count, len(left))

        Runner(keep, jobs=jobs, machine=machine).execute(left)
        log.compact()
        wanted = {run.key() for run in runs}
        return [record for record in log.records if record_key(record) in wanted]
