"""Where data files live: the folder named by NUMOPT_DATA, the user's cache, and downloads into that cache.

A download is read by the caller before it is kept; its sha256 is then written beside it (`NAME.sha256`, in the form of
the `sha256sum` program) and compared on every later use, also when the file itself was deleted and is fetched again.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_TIMEOUT = 30.0  # seconds without a byte before a download counts as failed


def data_folder() -> Path | None:
    """The folder that the environment variable NUMOPT_DATA names, None when it is unset."""
    value = os.environ.get("NUMOPT_DATA")
    return Path(value).expanduser() if value else None


def cache_folder() -> Path:
    """The user's cache folder of numopt: NUMOPT_CACHE, else the platform's place; it need not exist."""
    if value := os.environ.get("NUMOPT_CACHE"):
        return Path(value).expanduser()
    if value := os.environ.get("XDG_CACHE_HOME"):
        return Path(value).expanduser() / "numopt"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "numopt"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "numopt" / "Cache"
    return Path.home() / ".cache" / "numopt"


def sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def recorded_sha256(path: Path) -> str | None:
    """The checksum written beside `path` at its first download, None when there is none."""
    try:
        text = _record_of(path).read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    words = text.split()
    if not words or len(words[0]) != 64:
        raise ValueError(f"{_record_of(path)} does not hold a sha256; delete it and {path.name} to download afresh.")
    return words[0]


def verify(path: Path, expected: str) -> None:
    """Compare the file's sha256 with the expected one.

    Raises
    ------
    ValueError
        If they differ; the message names both.
    """
    found = sha256(path)
    if found != expected:
        raise ValueError(
            f"{path} has sha256 {found}, expected {expected}: the file was changed or damaged. "
            "Delete it to have it fetched again, or pass it as `path` to read it as it is."
        )


def fetch(url: str, target: Path, accept: Callable[[Path], T]) -> T:
    """Download `url` to `target` and return `accept(file)`; what `accept` raises leaves nothing behind.

    Parameters
    ----------
    url : str
        What to fetch.
    target : Path
        Where the file is kept; its folder is made. Its checksum is recorded beside it, or compared with the one
        recorded by an earlier download.
    accept : callable
        Reads the fresh file and raises when it is not what was asked for (an error page, a part of a file).

    Raises
    ------
    ValueError
        If the checksum differs from the recorded one, or from `accept`.
    OSError
        If the download fails.
    ImportError
        If pooch is not installed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        fresh = Path(scratch) / target.name
        download(url, fresh)
        if (expected := recorded_sha256(target)) is not None:
            verify(fresh, expected)
        value = accept(fresh)
        # The record goes first: a file without a record would never be checked.
        record = Path(scratch) / _record_of(target).name
        record.write_text(f"{sha256(fresh)}  {target.name}\n", encoding="ascii")
        os.replace(record, _record_of(target))
        os.replace(fresh, target)
    return value


def download(url: str, target: Path) -> None:
    """Fetch one file through pooch, with no check of its content."""
    import pooch

    downloader = pooch.HTTPDownloader(timeout=_TIMEOUT)
    pooch.retrieve(url, known_hash=None, fname=target.name, path=target.parent, downloader=downloader)


def _record_of(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
