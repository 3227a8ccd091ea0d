"""Where data files live: the folder named by NUMOPT_DATA, the user's cache, and downloads into that cache.

A download is read by the caller before it is kept; its sha256 is then written beside it (`NAME.sha256`, in the form of
the `sha256sum` program) and compared on every later use, also when the file itself was deleted and is fetched again.
"""

import bz2
import difflib
import gzip
import hashlib
import lzma
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

_OPENERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}

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


def opener(path: Path) -> Callable[..., Any]:
    """What opens a file: `open`, or that of gzip, bzip2 or xz, told by its first bytes."""
    with path.open("rb") as raw:
        head = raw.read(6)
    return next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), open)


def fail_unknown(name: str | os.PathLike[str], what: str, known: Iterable[str], suffixes: Sequence[str]) -> NoReturn:
    """Raise for what is no `known` name of a `what`: a missing file where it looks like one, else a KeyError."""
    if not isinstance(name, str) or os.sep in name or Path(name).suffix in (".gz", ".bz2", ".xz", *suffixes):
        raise FileNotFoundError(f"{os.fspath(name)} does not exist.")
    close = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {', '.join(map(repr, close))}?" if close else "find() lists the known ones."
    raise KeyError(f"no {what} or file is called {name!r}; {hint}")


def locate(
    name: str,
    what: str,
    folder: str,
    suffixes: Sequence[str],
    read: Callable[[Path], T],
    *,
    sha256: str | None,
    url: str | None,
    site: str,
    download: bool,
) -> tuple[T, Path]:
    """Read a known file from the first place that has it, and say which one that was.

    Parameters
    ----------
    name, what : str
        Name without suffix, and the kind of thing, for the message.
    folder : str
        Folder below NUMOPT_DATA and below the cache.
    suffixes : sequence of str
        Suffixes that the file may have, the first one that of the file with the checksum `sha256`.
    read : callable
        Reads a file and raises where it is not what was asked for.
    sha256 : str or None
        Known checksum; a checksum recorded at a download goes before it.
    url : str or None
        Where it can be had; ends with one of the suffixes. None if it is not on the `site`.
    site : str
        What `url` belongs to, in words.
    download : bool
        Whether to ask `url`.

    Raises
    ------
    FileNotFoundError
        If it is nowhere and could not be downloaded; the message says where it was looked for.
    ValueError
        If a checksum differs, or from `read`.
    """
    folders = [base / folder for base in (data_folder(), cache_folder()) if base is not None]
    for place in folders:
        for suffix in suffixes:
            file = place / (name + suffix)
            if file.is_file():
                expected = recorded_sha256(file) or (sha256 if suffix == suffixes[0] else None)
                if expected is not None:
                    verify(file, expected)
                return read(file), file
    if url is None:
        reason = f"it is not {site}"
    elif not download:
        reason = f"download=False, so {url} was not asked"
    else:
        target = cache_folder() / folder / (name + next(suffix for suffix in suffixes if url.endswith(suffix)))
        try:
            return fetch(url, target, read), target
        except ImportError:
            reason = f"downloading {url} needs pooch (the extra `data`: numopt-solvers[data])"
        except OSError as error:
            reason = f"downloading {url} failed ({type(error).__name__}: {error})"
    looked = " and ".join(str(place / (name + suffixes[0])) for place in folders)
    *others, last = (suffix or "plain" for suffix in suffixes[1:])
    hint = "Put the file there," if data_folder() else "Set NUMOPT_DATA to a folder of data files,"
    raise FileNotFoundError(
        f"the {what} {name!r} is missing: there is no {looked} (nor {', '.join(others)} or {last}), and {reason}. "
        f"{hint} or call load({name!r}, path=...) with a copy of it."
    )


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
