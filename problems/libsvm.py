"""Data sets of the LIBSVM site, by name: from NUMOPT_DATA, the user's cache, or the site itself.

`load` reads one, `find` lists the table `libsvm.json`. The sha256 of the table is that of `libsvm/NAME.gz` in the
folder that NUMOPT_DATA names; a download is checked against the sum recorded when it was first made.
"""

import functools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
from scipy.sparse import csr_array

from numopt._typing import Array
from numopt.problems import _download
from numopt.problems._svmlight import read_svmlight

__all__ = ["find", "load"]

Labels = Literal["raw", "pm1"]

_SUFFIXES = (".gz", ".bz2", ".xz", "")


@dataclass(frozen=True)
class DataInfo:
    """One line of the table of known sets."""

    name: str
    task: str
    n_samples: int
    n_features: int
    label_map: Mapping[float, float] | None
    """The two labels of the file and what `labels='pm1'` makes of them; None when there are not two."""
    url: str | None
    sha256: str | None
    embedded: bool
    """Whether scikit-learn ships the set, so that no file is needed."""


@dataclass(frozen=True)
class Dataset:
    """A loaded set: `X` (CSR, float64) and `y` (float64), with where they came from."""

    X: Array
    y: Array
    name: str
    task: str
    n_features: int
    labels: Labels
    label_map: Mapping[float, float] | None
    source: str


def find(
    task: str | None = None, *, min_n: int = 1, max_n: int | None = None, max_samples: int | None = None
) -> list[DataInfo]:
    """List the known data sets.

    Parameters
    ----------
    task : {'binary', 'multiclass', 'regression'}, optional
        Only sets of this kind.
    min_n, max_n : int, optional
        Bounds on the number of features.
    max_samples : int, optional
        Largest number of rows.

    Returns
    -------
    list of DataInfo
        By name; nothing is read but the table.

    Raises
    ------
    ValueError
        If `task` is none of the three.

    Examples
    --------
    >>> from numopt.problems import libsvm
    >>> [info.name for info in libsvm.find(task="binary", min_n=100, max_n=123)]
    ['a1a', 'a5a', 'a9a', 'a9a.t', 'mushrooms']
    """
    tasks = sorted({info.task for info in _table().values()})
    if task is not None and task not in tasks:
        raise ValueError(f"`task` must be one of {', '.join(map(repr, tasks))}, got {task!r}.")
    return [
        info
        for info in _table().values()
        if (task is None or info.task == task)
        and min_n <= info.n_features
        and (max_n is None or info.n_features <= max_n)
        and (max_samples is None or info.n_samples <= max_samples)
    ]


def load(
    name: str | os.PathLike[str],
    *,
    path: str | os.PathLike[str] | None = None,
    labels: Labels | None = None,
    n_features: int | None = None,
    zero_based: bool = False,
    download: bool = True,
) -> Dataset:
    """Load a data set by its name on the LIBSVM site, or any file of svmlight text.

    Parameters
    ----------
    name : str or path
        A name of `find()`; anything else is taken as the path of a file.
    path : str or path, optional
        Read this file as the set `name`; its checksum is not compared, its shape and labels are.
    labels : {'pm1', 'raw'}, optional
        'pm1' maps the two labels of a binary set to -1 (the lower) and +1, 'raw' leaves them. By default 'pm1' for sets
        with two labels and 'raw' for others.
    n_features : int, optional
        Number of columns for a file that is not in the table; known sets have theirs from the table, since some do not
        use their last columns.
    zero_based : bool, default False
        Whether the first column is called 0 in a file that is not in the table.
    download : bool, default True
        Whether the LIBSVM site may be asked for a set found neither in NUMOPT_DATA nor in the cache.

    Returns
    -------
    Dataset
        `X` (csr_array, float64), `y` (float64), `name`, `task`, `n_features`, `labels`, `label_map`, `source`.
        'breast_cancer' comes with each column mapped to [-1, 1], 'digits' as digit < 5 (+1) against the rest with
        pixels / 16; all other sets come as their files have them.

    Raises
    ------
    KeyError
        If `name` is neither in the table nor looks like a path.
    FileNotFoundError
        If the file is nowhere and could not be downloaded; the message says where it was looked for.
    ValueError
        If the file is not svmlight text (the line is named), does not have the shape or the labels of the table, or has
        another checksum (both are named).

    Notes
    -----
    Looks for `libsvm/NAME.gz`, then for `.bz2`, `.xz` and no suffix, in the folder NUMOPT_DATA, then in the cache
    (NUMOPT_CACHE, XDG_CACHE_HOME/numopt or the platform's cache folder), then on the LIBSVM site (needs pooch).

    Examples
    --------
    >>> from numopt.problems import libsvm
    >>> data = libsvm.load("breast_cancer")
    >>> data.X.shape, sorted(set(data.y.tolist()))
    ((569, 30), [-1.0, 1.0])
    """
    if labels not in ("pm1", "raw", None):
        raise ValueError(f"`labels` must be 'pm1' or 'raw', got {labels!r}.")
    info = _table().get(name) if isinstance(name, str) else None
    if info is None:
        file = Path(name if path is None else path)
        if path is None and not file.exists():
            _download.fail_unknown(name, "data set", _table(), (".txt", ".svm"))
        X, y = read_svmlight(file, n_features=n_features, zero_based=zero_based)
        return _dataset(X, y, labels, name=os.fspath(name), task=None, label_map=_two_labels(y), source=str(file))
    if n_features not in (None, info.n_features):
        raise ValueError(f"`n_features` must be {info.n_features} for {info.name!r}, got {n_features}.")
    if path is not None:
        X, y, source = *_read_known(Path(path), info), str(path)
    elif info.embedded:
        X, y, source = *_embedded(info.name), "scikit-learn"
    else:
        (X, y), file = _download.locate(
            info.name,
            "data set",
            "libsvm",
            _SUFFIXES,
            lambda file: _read_known(file, info),
            sha256=info.sha256,
            url=info.url,
            site="on the LIBSVM site",
            download=download,
        )
        source = str(file)
    return _dataset(X, y, labels, name=info.name, task=info.task, label_map=info.label_map, source=source)


def scale_columns(X: Array) -> Array:
    """Map each column of `X` linearly to [-1, 1]; a constant column becomes 0.

    Parameters
    ----------
    X : array or sparse array of shape (n_samples, n_features)
        Entries that are not stored count as zeros.

    Returns
    -------
    csr_array
        The scaled data, float64.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.problems.libsvm import scale_columns
    >>> scale_columns(np.array([[0.0, 7.0], [5.0, 7.0], [10.0, 7.0]])).toarray()
    array([[-1.,  0.],
           [ 0.,  0.],
           [ 1.,  0.]])
    """
    dense = np.asarray(X if isinstance(X, np.ndarray) else X.toarray(), dtype=np.float64)
    low, high = dense.min(axis=0), dense.max(axis=0)
    constant = high == low
    scaled = 2.0 * (dense - low) / np.where(constant, 1.0, high - low) - 1.0
    scaled[:, constant] = 0.0
    return csr_array(scaled)


@functools.cache
def _table() -> Mapping[str, DataInfo]:
    raw = json.loads(Path(__file__).with_name("libsvm.json").read_text(encoding="utf-8"))
    table = {}
    for name, line in raw["sets"].items():
        label_map = line.get("labels")
        table[name] = DataInfo(
            name=name,
            task=line["task"],
            n_samples=line["n_samples"],
            n_features=line["n_features"],
            label_map=label_map and MappingProxyType({float(old): float(new) for old, new in label_map.items()}),
            url=line["site"] and raw["site"] + line["site"],
            sha256=line["sha256"],
            embedded=name in raw["embedded"],
        )
    return MappingProxyType(table)


def _read_known(path: Path, info: DataInfo) -> tuple[Array, Array]:
    """Read a file that must have the shape and the labels of the table."""
    X, y = read_svmlight(path, n_features=info.n_features)
    if X.shape[0] != info.n_samples:
        raise ValueError(
            f"{path} has {X.shape[0]} rows, but {info.name!r} has {info.n_samples}: it is not the whole set."
        )
    if info.label_map is not None:
        found = set(np.unique(y).tolist())
        if found != set(info.label_map):
            raise ValueError(
                f"{path} has the labels {_listed(found)}, but {info.name!r} has {_listed(info.label_map)}."
            )
    return X, y


def _embedded(name: str) -> tuple[Array, Array]:
    from sklearn import datasets

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    if name == "digits":
        return csr_array(X / 16.0), np.where(y < 5, 1.0, -1.0)
    return scale_columns(X), y.astype(np.float64)


def _two_labels(y: Array) -> Mapping[float, float] | None:
    """The map of two labels to -1 and +1 in their order, None when there are not two."""
    found = np.unique(y)
    return MappingProxyType({float(found[0]): -1.0, float(found[1]): 1.0}) if found.size == 2 else None


def _dataset(
    X: Array,
    y: Array,
    labels: Labels | None,
    *,
    name: str,
    task: str | None,
    label_map: Mapping[float, float] | None,
    source: str,
) -> Dataset:
    if labels is None:
        labels = "raw" if label_map is None else "pm1"
    if labels == "pm1":
        if label_map is None:
            raise ValueError(f"`labels='pm1'` needs a set with two labels, and {name!r} has others; use labels='raw'.")
        low, high = sorted(label_map)
        y = np.where(y == high, label_map[high], label_map[low])
    if task is None:
        task = "unknown" if label_map is None else "binary"
    return Dataset(
        X=X, y=y, name=name, task=task, n_features=X.shape[1], labels=labels, label_map=label_map, source=source
    )


def _listed(labels: Mapping[float, float] | set[float]) -> str:
    shown = [f"{label:g}" for label in sorted(labels)]
    return ", ".join(shown[:5]) + (", ..." if len(shown) > 5 else "")
