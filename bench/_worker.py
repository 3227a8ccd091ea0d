"""One run inside its own process: load, warm up, solve on the clock, judge, report by the pipe, end."""

import gc
import os
import resource
import statistics
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import nullcontext
from multiprocessing.connection import Connection
from typing import Any

from numopt.bench import _machine, cases, families, peers
from numopt.bench._records import digits
from numopt.bench._run import Run
from numopt.bench.cases import Case
from numopt.bench.peers import Solver

PHASE_LOAD, PHASE_RUN, PHASE_JUDGE, DONE = "load", "run", "judge", "done"
"""What the worker tells the runner; each message starts the time limit of what follows."""

ENOUGH = 0.25
"""A solve that took this part of its limit is not repeated: a repetition might be killed."""

UNAVAILABLE = (ImportError, LookupError, FileNotFoundError)
"""Errors of a loader that mean "this problem cannot be had here", which is no failure of a solver."""


def main(connection: Connection, run: Run) -> None:
    """Entry point of the process."""
    _leave_with_the_runner(connection)
    _silence()
    # What the fork server loaded will not become garbage; without this each collection walks all of it.
    gc.freeze()
    _set_threads(run.threads)
    try:
        record = _perform(connection, run)
    except MemoryError as error:
        record = {"status": "memory limit", "message": _text(error)}
    except Exception as error:
        record = {"status": "error", "message": _text(error)}
    record["peak_memory_mib"] = _peak_memory()
    connection.send((DONE, record))
    connection.close()


def _perform(connection: Connection, run: Run) -> dict[str, Any]:
    case, solver = cases.get(run.case), peers.get(run.solver, run.family)
    lacking = solver.missing()
    if lacking is not None:
        return {"status": "not installed", "message": f"{run.solver} needs the package {lacking}."}
    start = time.perf_counter()
    try:
        problem = case.setup(run)
    except UNAVAILABLE as error:
        return {"status": "not available", "message": _text(error)}
    loaded = {
        **families.get(run.family).describe(problem),
        "load_seconds": digits(time.perf_counter() - start),
        "forced": _machine.forced(),
        **({"gpu": _machine.gpu()} if run.device == "gpu" else {}),
    }
    loaded["source"] = _machine.without_paths(loaded["source"])
    # What is known about the problem must survive a solver that is killed or fails.
    connection.send((PHASE_LOAD, loaded))
    try:
        return {**loaded, **_solve(connection, run, case, problem, solver)}
    except MemoryError:
        raise
    except peers.UnsuitableProblemError as error:
        return {**loaded, "status": "not available", "message": _text(error)}
    except Exception as error:
        return {**loaded, "status": "error", "message": _text(error)}


def _solve(connection: Connection, run: Run, case: Case, problem: Any, solver: Solver[Any, Any]) -> dict[str, Any]:
    family, settings = families.get(run.family), case.settings(run)
    placed = case.place(run, problem)
    start = time.perf_counter()
    case.warm_up(run, placed, solver)
    first = time.perf_counter() - start
    if run.warm:
        connection.send((PHASE_RUN, {}))
        solver.set_problem(placed, settings)
        first, _ = _time(run, case, solver)
    times: list[float] = []
    cpu: list[float] = []
    watch = family.watch(placed) if run.trace and placed is problem else None
    for repetition in range(run.repeats):
        solver.set_problem(placed, settings)
        family.reset(placed)
        gc.collect()
        connection.send((PHASE_RUN, {}))
        with watch if watch is not None and repetition == 0 else nullcontext():
            seconds, used = _time(run, case, solver)
        times.append(seconds)
        cpu.append(used)
        if times[-1] > ENOUGH * run.time_limit:
            break
    connection.send((PHASE_JUDGE, {}))
    record = {
        "status": "ok",
        **case.result(run, problem, solver, placed),
        "seconds": digits(statistics.median(times)),
        "all_seconds": [digits(value) for value in times],
        "cpu_seconds": digits(statistics.median(cpu)),
        "first_seconds": digits(first),
    }
    if watch is not None:
        record["trace"] = watch.rows()
    return record


def _time(run: Run, case: Case, solver: Solver[Any, Any]) -> tuple[float, float]:
    """Seconds and seconds of the processor of one solve; on a GPU until the device has nothing left to do."""
    wait = _machine.synchronize if run.device == "gpu" else _nothing
    wait()
    used, start = time.process_time(), time.perf_counter()
    case.run(solver)
    wait()
    return time.perf_counter() - start, time.process_time() - used


def _nothing() -> None:
    return


def _leave_with_the_runner(connection: Connection) -> None:
    """End this process when the runner is gone: its end of the pipe closes."""

    def watch() -> None:
        try:
            connection.recv()
        except (EOFError, OSError):
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _silence() -> None:
    """Solvers print banners from C; nothing of that belongs on the terminal."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)


def _set_threads(threads: int) -> None:
    """Same number of threads for every solver: libraries loaded already are told, later ones find the environment."""
    for name in _machine.THREAD_VARIABLES:
        os.environ[name] = str(threads)
    from numopt import set_threads

    set_threads(threads)


def _peak_memory() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def _text(error: BaseException) -> str:
    return _machine.without_paths(f"{type(error).__name__}: {error}")[:500]


def identity(run: Run) -> Mapping[str, Any]:
    """The part of a record that names the run."""
    return {
        "case": run.case,
        "suite": run.suite,
        "problem": run.problem,
        "solver": run.solver,
        "family": run.family,
        "mode": run.mode,
        "level": run.level,
        "seed": run.seed,
        "draw": run.draw,
        "labels": run.labels,
        "device": run.device,
        "threads": run.threads,
        "time_limit": run.time_limit,
        "repeats": run.repeats,
    }
