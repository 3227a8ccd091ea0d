"""One run inside its own process: load, warm up, solve on the clock, judge, report by the pipe, end."""

import gc
import os
import resource
import statistics
import sys
import threading
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

from numopt.bench import _machine, cases, peers
from numopt.bench._run import Run
from numopt.bench._trace import Trace
from numopt.bench.cases import Case
from numopt.problems import Problem

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
    case, solver = cases.get(run.case), peers.get(run.solver)
    lacking = solver.missing()
    if lacking is not None:
        return {"status": "not installed", "message": f"{run.solver} needs the package {lacking}."}
    start = time.perf_counter()
    try:
        problem = case.setup(run)
    except UNAVAILABLE as error:
        return {"status": "not available", "message": _text(error)}
    loaded = {
        "n": problem.n,
        "m": problem.m,
        "source": _machine.without_paths(problem.source),
        "kkt0": cases.initial_kkt(problem),
        "load_seconds": _digits(time.perf_counter() - start),
        "forced": _machine.forced(),
        **({"gpu": _machine.gpu()} if run.device == "gpu" else {}),
    }
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


def _solve(connection: Connection, run: Run, case: Case, problem: Problem, solver: peers.Solver) -> dict[str, Any]:
    settings = case.settings(run)
    placed = case.place(run, problem)
    start = time.perf_counter()
    case.warm_up(run, placed, solver)
    first = time.perf_counter() - start
    if run.warm:
        connection.send((PHASE_RUN, {}))
        solver.set_problem(placed, settings)
        start = time.perf_counter()
        case.run(solver)
        first = time.perf_counter() - start
    times: list[float] = []
    cpu: list[float] = []
    trace = Trace(placed) if run.trace and placed is problem and Trace.suits(problem) else None
    for repetition in range(run.repeats):
        solver.set_problem(placed, settings)
        placed.reset_counters()
        gc.collect()
        connection.send((PHASE_RUN, {}))
        if trace is not None and repetition == 0:
            with trace:
                _time(case, solver, times, cpu)
        else:
            _time(case, solver, times, cpu)
        if times[-1] > ENOUGH * run.time_limit:
            break
    connection.send((PHASE_JUDGE, {}))
    record = {
        "status": "ok",
        **case.result(problem, solver, placed.counters),
        "seconds": _digits(statistics.median(times)),
        "all_seconds": [_digits(value) for value in times],
        "cpu_seconds": _digits(statistics.median(cpu)),
        "first_seconds": _digits(first),
    }
    if trace is not None:
        record["trace"] = [(k, _digits(f, 12), *map(_digits, rest)) for k, f, *rest in trace.rows()]
    return record


def _time(case: Case, solver: peers.Solver, times: list[float], cpu: list[float]) -> None:
    used, start = time.process_time(), time.perf_counter()
    case.run(solver)
    times.append(time.perf_counter() - start)
    cpu.append(time.process_time() - used)


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


def _digits(value: float, count: int = 5) -> float:
    """Significant digits that are worth their bytes in a results file."""
    return float(f"{value:.{count}g}")


def _text(error: BaseException) -> str:
    return _machine.without_paths(f"{type(error).__name__}: {error}")[:500]


def identity(run: Run) -> Mapping[str, Any]:
    """The part of a record that names the run."""
    return {
        "case": run.case,
        "suite": run.suite,
        "problem": run.problem,
        "solver": run.solver,
        "mode": run.mode,
        "seed": run.seed,
        "draw": run.draw,
        "labels": run.labels,
        "device": run.device,
        "threads": run.threads,
        "time_limit": run.time_limit,
        "repeats": run.repeats,
    }
