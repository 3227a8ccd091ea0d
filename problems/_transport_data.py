"""Real data of optimal transport: MNIST test images, DOTmark histograms, point clouds.

Files are looked for in ``transport/`` of the folder that NUMOPT_DATA names, then of the user's cache; those with a
public address are downloaded into the cache. Every file must have the sha256 of the table below.
"""

import functools
import gzip
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numopt.problems import _download

FOLDER = "transport"


@dataclass(frozen=True)
class _File:
    """A known file: its name, its checksum and where the public can get it."""

    name: str
    sha256: str
    url: str | None = None


_MNIST = _File(
    "mnist-t10k-images-idx3-ubyte.gz",
    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-images-idx3-ubyte.gz",
)
_DOTMARK = {
    1001: _File("dotmark_data32_1001.csv", "227334683f44de3f5c2080271194b2d4ce8618e762b01c7dd0ae7d3593b00b1a"),
    1002: _File("dotmark_data32_1002.csv", "9ee9fccb250c352c8a1cd2d33e9f9653e95bd1505501a0fefcf70e586d44d591"),
}
_CLOUDS = {
    "bunny": _File(
        "points_stanford_bunny.npz", "7f0a34e9b50f8f46103b64c32d6ccfc786d8b9e4550108395361f5f6e6113962"
    ),
    "teapot": _File("points_teapot.npz", "15be7e3bbc5722fbf530b557358c9ce9980b4abd120ab85bb12d46260a20b5b2"),
    "suzanne": _File("points_suzanne.npz", "bf9d0faf4059ee2a15af8ed08bf956ba6f6a39f73b17b4f4f7d286ef208e341e"),
}  # fmt: skip


@functools.cache
def mnist_images() -> NDArray[np.uint8]:
    """The 10000 test images of MNIST, shape (10000, 28, 28).

    Raises
    ------
    FileNotFoundError
        If the file is nowhere and could not be downloaded.
    ValueError
        If the file is damaged.
    """
    images = read_idx(_locate(_MNIST))
    images.flags.writeable = False  # every caller gets the same array
    return images


def has_mnist() -> bool:
    """Whether the images can be read without a network."""
    return _present(_MNIST) is not None


def dotmark(number: int) -> NDArray[np.float64]:
    """A 32 x 32 histogram of the DOTmark collection, 1001 or 1002."""
    return np.loadtxt(_locate(_known(_DOTMARK, number)), delimiter=",", dtype=np.float64)


def cloud(name: str) -> NDArray[np.float64]:
    """Vertices of a mesh, shape (points, 3): 'bunny', 'teapot' or 'suzanne'."""
    with np.load(_locate(_known(_CLOUDS, name))) as content:
        return np.asarray(content["points"], dtype=np.float64)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an array of bytes in the IDX format (gzip), the form in which MNIST is published.

    Raises
    ------
    ValueError
        If the file is no such array or has another length than its header says.
    """
    with gzip.open(path, "rb") as stream:
        data = stream.read()
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise ValueError(f"{path.name} is no IDX file of bytes.")
    start = 4 + 4 * data[3]
    shape = tuple(int(size) for size in np.frombuffer(data[4:start], dtype=">u4"))
    if len(data) - start != math.prod(shape):
        raise ValueError(f"{path.name} holds {len(data) - start} bytes, but its header says {shape}.")
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape).copy()


def _known(table: Mapping[Any, _File], key: object) -> _File:
    if key not in table:
        raise KeyError(f"there is no {key!r}; known are {', '.join(map(repr, table))}.")
    return table[key]


def _folders() -> list[Path]:
    return [f / FOLDER for f in (_download.data_folder(), _download.cache_folder()) if f is not None]


def _present(file: _File) -> Path | None:
    return next((folder / file.name for folder in _folders() if (folder / file.name).is_file()), None)


def _locate(file: _File) -> Path:
    """Path of a known file that has the right content."""
    path = _present(file)
    if path is not None:
        _download.verify(path, file.sha256)
        return path
    reason = "it has no public address that is asked"
    if file.url is not None:
        target = _download.cache_folder() / FOLDER / file.name
        try:
            _download.fetch(file.url, target, lambda fresh: _download.verify(fresh, file.sha256))
            return target
        except ImportError:
            reason = f"downloading {file.url} needs pooch (the extra `data`: numopt-solvers[data])"
        except OSError as error:
            reason = f"downloading {file.url} failed ({type(error).__name__}: {error})"
    looked = " and ".join(str(folder / file.name) for folder in _folders())
    raise FileNotFoundError(
        f"{file.name} is missing: there is no {looked}, and {reason}. "
        f"Set NUMOPT_DATA to a folder that has it under {FOLDER}/."
    )
