"""What ``numopt bench`` and ``numopt report`` do, apart from parsing their arguments."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from numopt.bench import _machine, _tables, cases, families, peers
from numopt.bench._records import Record, read_all
from numopt.bench._report import group
from numopt.bench._runner import record_runs

CHECKOUT_RESULTS = Path("bench/results")
OTHER_RESULTS = Path("numopt-results")
"""Where results go when the working directory is no checkout of numopt."""

PICTURED = ("eq77", "square51")


def results_folder() -> Path:
    """Folder of the recorded runs: the checkout's where the command runs in one."""
    return CHECKOUT_RESULTS if CHECKOUT_RESULTS.is_dir() else OTHER_RESULTS


def default_file(case: cases.Case, options: cases.Options, machine: str) -> Path:
    """One file for each case, suite and device: times on two devices are not compared in one table."""
    suite = options.suite or (case.suites[0] if case.suites else None)
    parts = [case.name, suite, None if options.device == "cpu" else options.device]
    return results_folder() / machine / ("-".join(part for part in parts if part) + ".jsonl")


def listing() -> str:
    """Cases with their suites and modes, then the solvers."""
    lines = ["Cases:"]
    for name in cases.names():
        case = cases.get(name)
        lines.append(f"  {name:20} {case.summary}")
        if case.suites:
            lines.append(f"  {'':20} --suite {', '.join(case.suites)}")
        if len(case.modes) > 1:
            lines.append(f"  {'':20} --mode {', '.join(case.modes)}")
    return "\n".join([*lines, "", solver_listing()])


def solver_listing() -> str:
    """Solvers of each family of problems, with the version of what they need."""
    lines = []
    for family in families.names():
        lines.append(f"Solvers, {family}:")
        for name in peers.names(family):
            solver = peers.get(name, family)
            lacking = solver.missing()
            distribution = solver.distribution
            found = f"{distribution} {_machine.version(distribution)}" if distribution else ""
            lines.append(f"  {name:20} {f'not installed (needs {lacking})' if lacking else found}".rstrip())
    return "\n".join(lines)


def bench(parsed: argparse.Namespace) -> int:
    """Do the runs that are missing, print the tables, and write the page when asked (the quick case always does)."""
    case = cases.get(parsed.case)
    options = cases.Options(
        suite=parsed.suite,
        problems=parsed.problems,
        solvers=parsed.solvers,
        seeds=parsed.seeds,
        draws=parsed.draws,
        mode=parsed.mode,
        time_limit=parsed.limit,
        memory_limit=int(parsed.memory * 2**30) if parsed.memory else None,
        threads=parsed.threads,
        repeats=parsed.repeats,
        device=parsed.device,
    )
    case.check(options)
    runs = case.plan(options)
    path = parsed.out or default_file(case, options, parsed.machine)
    print(f"{case.name}: {len(runs)} runs, results in {path}", flush=True)
    start = time.perf_counter()
    records = record_runs(
        runs, path, fresh=parsed.fresh, jobs=parsed.jobs, machine=parsed.machine, on_record=_show_progress
    )
    _finish_progress()
    print(f"Done in {time.perf_counter() - start:.0f} s.\n")
    for members in group(records).values():
        for table in families.tables(members):
            print(_tables.as_text(table), end="\n\n")
    page = parsed.report or (Path("report.html") if case.name == "quick" else None)
    if page is not None:
        _write_page(records, page)
    return 0


def report(parsed: argparse.Namespace) -> int:
    """Write the page, or with `--docs` the tables of the documentation."""
    folders = parsed.results or [results_folder()]
    if parsed.docs is not None:
        from numopt.bench._docs import write_docs_tables

        stale = write_docs_tables(folders[0], parsed.docs, check=parsed.check)
        for name in stale:
            print(f"{name} {'differs from the recorded runs' if parsed.check else 'written'}")
        return 1 if parsed.check and stale else 0
    if parsed.check:
        raise ValueError("--check goes with --docs.")
    records = read_all(folders)
    if not records:
        raise ValueError(f"no recorded runs in {', '.join(map(str, folders))}; run `numopt bench` first.")
    if parsed.profile is not None:
        _write_profile(records, parsed.profile)
        return 0
    _write_page(records, parsed.out)
    return 0


def _write_profile(records: list[Record], path: Path) -> None:
    """The README's picture: times on the equality-constrained CUTEst sets, of the solvers with the same callbacks."""
    from numopt.bench.families.equality._plots import performance

    chosen = [
        record
        for record in records
        if record["suite"] in PICTURED and record["mode"] == "practical" and record["solver"] not in peers.CASADI
    ]
    figure = performance(chosen) if chosen else None
    if figure is None:
        raise ValueError(f"a profile needs runs of two solvers on the suites {', '.join(PICTURED)}.")
    path.write_bytes(figure.png)
    print(f"{path}: {figure.alt}")


def _write_page(records: list[Record], path: Path) -> None:
    from numopt.bench._report import write_report

    write_report(records, path)
    print(f"Report: {path}")


def _show_progress(record: Record, done: int, total: int) -> None:
    seconds: Any = record.get("seconds")
    outcome = record["status"] if record["status"] != "ok" else families.of(record).progress(record)
    seed = "" if record.get("seed") is None else f" seed {record['seed']}"
    line = f"[{done}/{total}] {record['problem']}{seed} {record['solver']}: {outcome}, {_tables.duration(seconds)}"
    if sys.stdout.isatty():
        print(f"\r\x1b[K{line}", end="", flush=True)
    elif done == total or done % 10 == 0:
        print(line, flush=True)


def _finish_progress() -> None:
    if sys.stdout.isatty():
        print("\r\x1b[K", end="")
