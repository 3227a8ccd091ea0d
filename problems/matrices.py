"""Matrices of the SuiteSparse collection, by name: from NUMOPT_DATA, the user's cache, or the collection itself.

`load` reads one, `find` lists the table `matrices.json`. The sha256 of the table is that of `matrices/NAME.mtx.gz` in
the folder that NUMOPT_DATA names; a download is checked against the sum recorded when it was first made.
"""

import functools
import gzip
import io
import json
import lzma
import os
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from numopt._typing import Array
from numopt.problems import _download

__all__ = ["find", "load"]

_SUFFIXES = (".mtx.gz", ".mtx", ".tar.gz")
_RHS_SUFFIXES = ("_rhs1.mtx.gz", "_rhs1.mtx", "_b.mtx.gz", "_b.mtx")
_MAX_ROWS = np.iinfo(np.int32).max


@dataclass(frozen=True)
class MatrixInfo:
    """One line of the table of known matrices."""

    name: str
    kind: str
    """Where the matrix comes from, such as 'stiffness' or 'circuit'."""
    shape: tuple[int, int]
    nnz: int
    """Entries that are not zero."""
    stored: int
    """Entries of the file, with its explicit zeros."""
    is_complex: bool
    symmetric: bool
    spd: bool
    """Whether it is symmetric positive definite."""
    negative_definite: bool
    has_rhs: bool
    """Whether a right-hand side belongs to it."""
    url: str
    sha256: str
    rhs_sha256: str | None


@dataclass(frozen=True, eq=False)
class MatrixData:
    """A loaded matrix: `A` (CSR, float64 or complex128) and its right-hand side `b`, None where there is none."""

    A: Array
    b: Array | None
    name: str
    kind: str
    spd: bool
    """Whether `A` is known to be symmetric positive definite."""
    source: str


def find(
    kind: str | None = None,
    *,
    spd: bool | None = None,
    symmetric: bool | None = None,
    square: bool | None = None,
    is_complex: bool | None = None,
    min_n: int = 1,
    max_n: int | None = None,
    max_nnz: int | None = None,
) -> list[MatrixInfo]:
    """List the known matrices.

    Parameters
    ----------
    kind : str, optional
        Only matrices of this kind, such as 'stiffness'.
    spd, symmetric, square, is_complex : bool, optional
        Only matrices that are, or are not, symmetric positive definite, symmetric, square, complex.
    min_n, max_n : int, optional
        Bounds on the number of columns.
    max_nnz : int, optional
        Largest number of nonzero entries.

    Returns
    -------
    list of MatrixInfo
        By name; nothing is read but the table.

    Raises
    ------
    ValueError
        If no matrix is of kind `kind`.

    Examples
    --------
    >>> from numopt.problems import matrices
    >>> [info.name for info in matrices.find(spd=True, max_n=500)]
    ['494_bus', 'bcsstk01', 'lund_a', 'mesh1e1', 'Trefethen_500']
    """
    kinds = sorted({info.kind for info in _table().values()})
    if kind is not None and kind not in kinds:
        raise ValueError(f"`kind` must be one of {', '.join(map(repr, kinds))}, got {kind!r}.")
    return [
        info
        for info in _table().values()
        if kind in (None, info.kind)
        and spd in (None, info.spd)
        and symmetric in (None, info.symmetric)
        and square in (None, info.shape[0] == info.shape[1])
        and is_complex in (None, info.is_complex)
        and min_n <= info.shape[1]
        and (max_n is None or info.shape[1] <= max_n)
        and (max_nnz is None or info.nnz <= max_nnz)
    ]


def load(
    name: str | os.PathLike[str],
    *,
    path: str | os.PathLike[str] | None = None,
    keep_zeros: bool = False,
    download: bool = True,
) -> MatrixData:
    """Load a matrix by its name in the SuiteSparse collection, or any Matrix Market file.

    Parameters
    ----------
    name : str or path
        A name of `find()`; anything else is taken as the path of a file.
    path : str or path, optional
        Read this file as the matrix `name`; its checksum is not compared, its shape and number of entries are.
    keep_zeros : bool, default False
        Whether zeros that the file stores stay entries of `A`, as some solvers' patterns want it.
    download : bool, default True
        Whether the collection may be asked for a matrix found neither in NUMOPT_DATA nor in the cache.

    Returns
    -------
    MatrixData
        `A` (csr_array with sorted rows, float64 or complex128; a pattern has ones), `b` (array of shape (n,), or (n, k)
        for several right-hand sides, or None), `name`, `kind`, `spd` (False for files that are not in the table),
        `source`.

    Raises
    ------
    KeyError
        If `name` is neither in the table nor looks like a path.
    FileNotFoundError
        If the file is nowhere and could not be downloaded; the message says where it was looked for.
    ValueError
        If the file is not Matrix Market text, holds values that are not finite, does not have the shape or the number
        of entries of the table, or has another checksum (both are named).

    Notes
    -----
    Looks for `matrices/NAME.mtx.gz`, then `.mtx` and `.tar.gz`, in the folder NUMOPT_DATA, then in the cache
    (NUMOPT_CACHE, XDG_CACHE_HOME/numopt or the platform's cache folder), then in the collection (needs pooch). A
    right-hand side is `NAME_rhs1` or `NAME_b` beside the matrix or in its archive.

    Some matrices are there as traps: the diagonals of 'west0067', 'west0479', 'bayer10', 'rajat01' and 'nnc1374' have
    zeros, 'sherman1' is negative definite, 'lp_e226' and 'ash219' are rectangular.

    Examples
    --------
    >>> from numopt.problems import matrices
    >>> data = matrices.load("bcsstk01")  # doctest: +SKIP
    >>> data.A.shape, data.A.nnz, data.spd  # doctest: +SKIP
    ((48, 48), 400, True)
    """
    info = _table().get(name) if isinstance(name, str) else None
    if info is None:
        file = Path(name if path is None else path)
        if path is None and not file.exists():
            _download.fail_unknown(name, "matrix", _table(), (".mtx", ".tar"))
        A, b = _read(file)
        return _data(A, b, keep_zeros, name=os.fspath(name), kind="unknown", spd=False, source=str(file))
    if path is not None:
        A, b, source = *_read_known(Path(path), info), str(path)
    else:
        (A, b), file = _download.locate(
            info.name,
            "matrix",
            "matrices",
            _SUFFIXES,
            lambda file: _read_verified(file, info),
            sha256=info.sha256,
            url=info.url,
            site="in the SuiteSparse collection",
            download=download,
        )
        source = str(file)
    return _data(A, b, keep_zeros, name=info.name, kind=info.kind, spd=info.spd, source=source)


@functools.cache
def _table() -> Mapping[str, MatrixInfo]:
    raw = json.loads(Path(__file__).with_name("matrices.json").read_text(encoding="utf-8"))
    table = {}
    for name, line in raw["matrices"].items():
        table[name] = MatrixInfo(
            name=name,
            kind=line["kind"],
            shape=(line["shape"][0], line["shape"][1]),
            nnz=line["nnz"],
            stored=line["stored"],
            is_complex=line["complex"],
            symmetric=line["symmetric"],
            spd=line["definite"] > 0,
            negative_definite=line["definite"] < 0,
            has_rhs="rhs_sha256" in line,
            url=f"{raw['site']}{line['group']}/{name}.tar.gz",
            sha256=line["sha256"],
            rhs_sha256=line.get("rhs_sha256"),
        )
    return MappingProxyType(table)


def _read_verified(path: Path, info: MatrixInfo) -> tuple[Array, Array | None]:
    """Read a file of the known folders, whose right-hand side has a checksum of its own."""
    rhs = _beside(path)
    if rhs is not None and info.rhs_sha256 is not None and rhs.name.endswith(_RHS_SUFFIXES[0]):
        _download.verify(rhs, info.rhs_sha256)
    return _read_known(path, info)


def _read_known(path: Path, info: MatrixInfo) -> tuple[Array, Array | None]:
    """Read a file that must have the shape and the entries of the table."""
    A, b = _read(path, info.name)
    if A.shape != info.shape:
        raise ValueError(f"{path} has shape {A.shape}, but {info.name!r} has {info.shape}.")
    if (nnz := int(np.count_nonzero(A.data))) != info.nnz:
        raise ValueError(f"{path} has {nnz} nonzero entries, but {info.name!r} has {info.nnz}.")
    if (A.dtype.kind == "c") != info.is_complex:
        raise ValueError(f"{path} is {A.dtype}, but {info.name!r} is {'complex' if info.is_complex else 'real'}.")
    return A, b


def _read(path: Path, name: str | None = None) -> tuple[Array, Array | None]:
    """Read a matrix and its right-hand side from a file and the one beside it, or from an archive."""
    if path.name.endswith((".tar.gz", ".tar")):
        matrix, rhs = _members(path, name)
    else:
        rhs_file = _beside(path)
        matrix = _text(path)
        rhs = None if rhs_file is None else _text(rhs_file)
    A = csr_array(_parse(matrix, path))
    A.sum_duplicates()
    if rhs is None:
        return A, None
    b = _parse(rhs, path)
    b = b if isinstance(b, np.ndarray) else b.toarray()
    if b.shape[0] != A.shape[0]:
        raise ValueError(f"the right-hand side of {path} has {b.shape[0]} rows, but the matrix has {A.shape[0]}.")
    return A, b[:, 0] if b.shape[1] == 1 else b


def _beside(path: Path) -> Path | None:
    """The file of the right-hand side of the matrix in `path`, None when there is none."""
    stem = path.name.partition(".mtx")[0]
    return next((file for suffix in _RHS_SUFFIXES if (file := path.with_name(stem + suffix)).is_file()), None)


def _text(path: Path) -> bytes:
    """The content of a file; compression is told by its first bytes."""
    opener = _download.opener(path)
    try:
        with opener(path, "rb") as file:
            content: bytes = file.read()
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is damaged ({error}).") from error
    except OSError as error:
        if opener is open:
            raise
        raise ValueError(f"{path} is damaged ({error}).") from error
    return content


def _members(path: Path, name: str | None) -> tuple[bytes, bytes | None]:
    """The matrix and the right-hand side of an archive, which holds NAME/NAME.mtx and perhaps NAME/NAME_b.mtx."""
    name = path.name.partition(".tar")[0] if name is None else name
    try:
        with tarfile.open(path) as archive:
            texts = [
                file.read()
                for member in (f"{name}/{name}.mtx", f"{name}/{name}_b.mtx")
                if member in archive.getnames() and (file := archive.extractfile(member)) is not None
            ]
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is no archive, or damaged ({error}).") from error
    if not texts:
        raise ValueError(f"{path} does not hold {name}/{name}.mtx.")
    return texts[0], texts[1] if len(texts) > 1 else None


def _parse(text: bytes, path: Path) -> Any:
    """A sparse matrix, or a dense array for a file in array format; float64 or complex128."""
    from scipy.io import mminfo, mmread

    try:
        rows, columns, entries, form, _, _ = mminfo(io.BytesIO(text))
        # Asked for before memory is: no entry takes less than "1 1\n", or "1\n" in array format.
        if max(rows, columns) > _MAX_ROWS or (form == "coordinate" and entries > len(text) // 4 + 1):
            raise ValueError(f"it cannot hold {entries} entries of a matrix of shape ({rows}, {columns})")
        if form == "array" and rows * columns > 2 * len(text):
            raise ValueError(f"it cannot hold a dense matrix of shape ({rows}, {columns})")
        matrix: Any = mmread(io.BytesIO(text), spmatrix=False)
    except (ValueError, OverflowError, TypeError) as error:
        raise ValueError(f"{path} is not a Matrix Market file: {str(error).rstrip('.')}.") from error
    matrix = matrix.astype(np.complex128 if matrix.dtype.kind == "c" else np.float64)
    values = matrix if isinstance(matrix, np.ndarray) else matrix.data
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{path} holds values that are not finite.")
    return matrix


def _data(A: Array, b: Array | None, keep_zeros: bool, *, name: str, kind: str, spd: bool, source: str) -> MatrixData:
    if not keep_zeros:
        A.eliminate_zeros()
    return MatrixData(A=A, b=b, name=name, kind=kind, spd=spd, source=source)
