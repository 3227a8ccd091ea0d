"""Results as JSON lines: one record a line, appended as it comes, read back after any kind of ending."""

import fcntl
import gzip
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from numopt.bench._run import KEY_FIELDS

Record = dict[str, Any]


def record_key(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """Key of a recorded run, comparable with `Run.key`."""
    return tuple(record.get(name) for name in KEY_FIELDS)


def same_versions(record: Mapping[str, Any], versions: Mapping[str, str]) -> bool:
    """Whether the packages of `versions` that the record names had the same versions then."""
    then = record.get("versions") or {}
    return all(then.get(name, version) == version for name, version in versions.items())


def digits(value: float, count: int = 5) -> float:
    """Significant digits that are worth their bytes in a results file."""
    return float(f"{value:.{count}g}")


def dumps(record: Mapping[str, Any]) -> str:
    """One line of strict JSON: numbers that are not finite become null."""
    return json.dumps(_plain(record), allow_nan=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def read(path: str | os.PathLike[str]) -> list[Record]:
    """All records of a results file (plain or ``.gz``), the last one of each key, in the order of first appearance.

    A torn last line (the runner was killed while writing) is left out; a broken line anywhere else is an error.
    """
    path = Path(path)
    if path.suffix == ".gz":
        with gzip.open(path, "rb") as stream:
            data = stream.read()
    else:
        data = path.read_bytes()
    latest: dict[tuple[Any, ...], Record] = {}
    lines = data.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            if number == len(lines):  # no newline after it
                break
            raise ValueError(f"{path.name}, line {number}: not a JSON record ({error}).") from None
        latest[record_key(record)] = record
    return list(latest.values())


def read_all(paths: Iterable[str | os.PathLike[str]]) -> list[Record]:
    """Records of several files or folders (searched for ``*.jsonl`` and ``*.jsonl.gz``)."""
    records: list[Record] = []
    for path in map(Path, paths):
        files = sorted([*path.rglob("*.jsonl"), *path.rglob("*.jsonl.gz")]) if path.is_dir() else [path]
        for file in files:
            records += read(file)
    return records


class Log:
    """The results file of a running benchmark: what is in it already, and appending to it.

    Only one runner may hold a file (`BlockingIOError` names it otherwise). A torn last line is cut off on opening, so
    that the next record does not run into it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = open(self.path, "a+b")  # noqa: SIM115 (closed by close())
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._stream.close()
            raise BlockingIOError(f"{self.path.name} is being written by another run.") from None
        self._cut_torn_line()
        self.records: list[Record] = read(self.path)

    def _cut_torn_line(self) -> None:
        self._stream.seek(0)
        data = self._stream.read()
        if data and not data.endswith(b"\n"):
            self._stream.truncate(data.rfind(b"\n") + 1)

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record and make sure that it is on disk."""
        self._stream.write(dumps(record).encode() + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def compact(self) -> None:
        """Drop the records that a later one of the same key replaces (atomically)."""
        records = read(self.path)
        replacement = self.path.with_suffix(".tmp")
        replacement.write_text("".join(dumps(record) + "\n" for record in records), encoding="utf-8")
        os.replace(replacement, self.path)
        self.records = records

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: tuple[type[BaseException], BaseException, TracebackType] | None) -> None:
        self.close()
