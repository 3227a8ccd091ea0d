"""Snapshots on disk from which a killed solve goes on: one zip of `.npy` members and a JSON member, no pickle.

The format is NumPy's npz plus the member `meta.json`; `numpy.load(path, allow_pickle=False)` opens it as well. Writes
are atomic: a reader sees the old file or the new one, whenever the process dies.
"""

import json
import os
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from numopt._array import to_host
from numopt._typing import Array

_FORMAT = 1
_META = "meta.json"
_TAG = "__ndarray__"

Arrays = dict[str, npt.NDArray[Any]]
Snapshot = tuple[Mapping[str, Array], Mapping[str, Any]]


def save(path: str | os.PathLike[str], arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
    """Write named arrays (of any supported library) and JSON-like `meta` (NumPy numbers and arrays allowed) to `path`.

    The state of a NumPy generator, `rng.bit_generator.state`, is a legal value in `meta`.
    """
    path = Path(path)
    # Next to the target, because os.replace is atomic only within one file system.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    text = json.dumps({"numopt_checkpoint": _FORMAT, "meta": dict(meta)}, default=_to_json)
    try:
        with temporary.open("wb") as stream:
            with zipfile.ZipFile(stream, "w") as archive:
                for name, array in arrays.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, np.asarray(to_host(array)), allow_pickle=False)
                archive.writestr(_META, text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: str | os.PathLike[str]) -> tuple[Arrays, dict[str, Any]]:
    """Read what `save` wrote; the arrays are NumPy's.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a numopt checkpoint, is damaged, or was written in a later format.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if _META not in names:
                raise ValueError(f"{os.fspath(path)!r} is not a numopt checkpoint: it has no member {_META}.")
            header = json.loads(archive.read(_META), object_hook=_from_json)
            if header.get("numopt_checkpoint") != _FORMAT:
                raise ValueError(
                    f"{os.fspath(path)!r} has checkpoint format {header.get('numopt_checkpoint')}, expected {_FORMAT}."
                )
            arrays = {}
            for name in names:
                if name != _META:
                    with archive.open(name) as member:
                        arrays[name.removesuffix(".npy")] = np.lib.format.read_array(member, allow_pickle=False)
    except (zipfile.BadZipFile, json.JSONDecodeError, EOFError) as error:
        raise ValueError(f"{os.fspath(path)!r} is not a readable numopt checkpoint: {error}") from error
    return arrays, header["meta"]


class Checkpoint:
    """The checkpoint file of one solve: found at the start, rewritten as the solve goes on.

    Parameters
    ----------
    path : path
        The file. If it exists, the solve resumes from it: `arrays` and `meta` hold its content and `nit` its count.
    key : mapping of str to JSON values
        What makes two solves the same: solver name, sizes, dtype, digest of the starting point. A file with another key
        raises a ValueError that names the entry.
    snapshot : callable
        Returns the state as (arrays, meta) from which the solver can go on; called only when a save is due.
    interval : float, default 5
        Least seconds between two saves; 0 saves at every check. A positive interval also grows to 20 times what a save
        took, so that saving costs at most about a twentieth of the run.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        key: Mapping[str, Any],
        snapshot: Callable[[], Snapshot],
        *,
        interval: float = 5.0,
    ) -> None:
        self.path = Path(path)
        self.nit = 0
        self.arrays: Arrays = {}
        self.meta: dict[str, Any] = {}
        self.resumed = self.path.exists()
        self._key = json.loads(json.dumps(dict(key), default=_to_json))  # tuples to lists, as in the file
        self._snapshot = snapshot
        self._interval = interval
        self._due = time.perf_counter() + interval
        self._last = -1
        if self.resumed:
            self.arrays, stored = load(self.path)
            self._check(stored.get("key", {}))
            self.nit = self._last = int(stored["nit"])
            self.meta = stored["meta"]

    def save(self, nit: int, *, force: bool = False) -> None:
        """Write the state after `nit` steps if a save is due, or in any case unless that state is in the file."""
        if nit == self._last or not (force or time.perf_counter() >= self._due):
            return
        start = time.perf_counter()
        arrays, meta = self._snapshot()
        save(self.path, arrays, {"key": self._key, "nit": nit, "meta": dict(meta)})
        end = time.perf_counter()
        self._last = nit
        if self._interval > 0:
            self._due = end + max(self._interval, 20.0 * (end - start))

    def _check(self, stored: Mapping[str, Any]) -> None:
        for name in sorted(set(stored) | set(self._key)):
            have, want = stored.get(name), self._key.get(name)
            if have != want:
                raise ValueError(
                    f"`checkpoint` {os.fspath(self.path)!r} belongs to another solve: its {name} is {have!r}, here it "
                    f"is {want!r}; give another path or remove the file."
                )


def _to_json(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {_TAG: value.tolist(), "dtype": value.dtype.str}
    raise TypeError(f"A checkpoint cannot hold {value!r} of type {type(value).__name__}.")


def _from_json(value: dict[str, Any]) -> Any:
    return np.asarray(value[_TAG], dtype=value["dtype"]) if _TAG in value else value
