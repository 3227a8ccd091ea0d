"""The ``numopt`` command."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from numopt._version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (the process's own by default) and return its exit code."""
    parser = _parser()
    parsed = parser.parse_args(arguments)
    try:
        code: int = parsed.command(parsed)
    except (ValueError, OSError) as error:
        print(f"numopt: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "numopt: interrupted; what was finished is recorded, the same command goes on from there.", file=sys.stderr
        )
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="numopt", description="Published numerical solvers: benchmarks and tools.")
    parser.add_argument("--version", action="version", version=f"numopt {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_bench(commands.add_parser("bench", help="run a benchmark case", description=_BENCH))
    _add_report(commands.add_parser("report", help="write the report or the tables of the documentation"))
    info = commands.add_parser("info", help="versions, threads and devices")
    info.set_defaults(command=_info)
    warmup = commands.add_parser("warmup", help="compile the kernels into the cache")
    warmup.set_defaults(command=_warmup)
    return parser


_BENCH = (
    "Run every problem of a case with every solver, each run in its own process with limits, and append the results "
    "to a JSON-lines file. The same command again does what is missing there."
)


def _add_bench(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_bench)
    parser.add_argument("case", nargs="?", metavar="CASE", help="name of a case (see --list), or module:ATTRIBUTE")
    parser.add_argument("--list", action="store_true", help="list cases, suites and solvers")
    parser.add_argument("--suite", help="which set of problems of the case")
    parser.add_argument("--problems", type=_names, metavar="A,B", help="only these problems")
    parser.add_argument("--solvers", type=_names, metavar="A,B", help="solvers or the groups peers, casadi, all")
    parser.add_argument("--seeds", type=_numbers, metavar="0-9", help="seeds of the randomized solvers")
    parser.add_argument("--draws", type=_numbers, metavar="0-9", help="draws of the problem's random data")
    parser.add_argument("--mode", default="practical", help="practical (default) or paper")
    parser.add_argument("--limit", type=_positive, metavar="S", help="seconds for each solve")
    parser.add_argument("--memory", type=_positive, metavar="GIB", help="resident memory for each run, in GiB")
    parser.add_argument("--threads", type=_count, help="threads of every solver")
    parser.add_argument("--repeats", type=_count, help="timed solves in a row; the median is reported")
    parser.add_argument("--jobs", type=_count, default=1, help="runs at a time (more than one disturbs the times)")
    parser.add_argument("--device", default="cpu", help="cpu (default) or gpu")
    parser.add_argument("--out", type=Path, metavar="FILE.jsonl", help="results file")
    parser.add_argument("--machine", default="local", metavar="NAME", help="name under which the results are filed")
    parser.add_argument("--fresh", action="store_true", help="do again what is recorded already")
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="write the page of this case afterwards")


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_report)
    parser.add_argument("results", nargs="*", type=Path, help="results files or folders (default: where bench writes)")
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="the page (default report.html)")
    parser.add_argument("--profile", type=Path, metavar="FILE.png", help="write only the performance profile")
    parser.add_argument("--docs", type=Path, metavar="DIR", help="write the tables of the documentation instead")
    parser.add_argument("--check", action="store_true", help="with --docs: compare only, exit 1 when they differ")


def _bench(parsed: argparse.Namespace) -> int:
    from numopt.bench import _command

    if parsed.list:
        print(_command.listing())
        return 0
    if parsed.case is None:
        raise ValueError("name a case (numopt bench --list names them).")
    return _command.bench(parsed)


def _report(parsed: argparse.Namespace) -> int:
    from numopt.bench import _command

    return _command.report(parsed)


def _info(parsed: argparse.Namespace) -> int:
    from numopt import show_config
    from numopt.bench import _command

    show_config()
    print(_command.solver_listing())
    return 0


def _warmup(parsed: argparse.Namespace) -> int:
    import time

    from numopt import warmup

    start = time.perf_counter()
    warmup()
    print(f"Kernels compiled in {time.perf_counter() - start:.1f} s.")
    return 0


def _names(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _numbers(text: str) -> list[int]:
    """Parse ``0-4,7`` to the integers it names."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        try:
            numbers += range(int(first), int(last if dash else first) + 1)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected numbers as in 0-4,7, got {text!r}") from None
    return numbers


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text!r}")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a positive integer, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
