import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp

from numopt.problems import LinearSystem, _download, matrices

HEAD = "%%MatrixMarket matrix "
GOOD = f"{HEAD}coordinate real general\n% a remark\n2 3 4\n1 1 2.5\n2 3 -1e-3\n1 2 0.0\n2 1 4\n".encode()
GOOD_A = [[2.5, 0.0, 0.0], [4.0, 0.0, -1e-3]]


@pytest.fixture(autouse=True)
def folders(own_folders):
    """Keep every test of this file away from the user's own folders."""
    return tuple(folder / "matrices" for folder in own_folders)


def market(A, **options) -> bytes:
    text = io.BytesIO()
    scipy.io.mmwrite(text, A, **options)
    return text.getvalue()


def mesh_like(n=48, nnz=306) -> bytes:
    """Text with the shape and the number of entries of the known matrix mesh1e1."""
    others = [(i, j) for i in range(n) for j in range(i) if (i + 2 * j) % 3 == 0][: (nnz - n) // 2]
    A = sp.eye_array(n, format="lil") * 9.0
    for i, j in others:
        A[i, j] = A[j, i] = -0.25
    return market(sp.coo_array(A), symmetry="symmetric")


def archive(name: str, **members: bytes) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for suffix, content in members.items():
            entry = tarfile.TarInfo(f"{name}/{name}{'' if suffix == 'matrix' else '_' + suffix}.mtx")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return raw.getvalue()


# reading


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_plain_and_compressed_files_are_told_by_content(write, compress):
    data = matrices.load(write(compress(GOOD)))
    np.testing.assert_array_equal(data.A.toarray(), GOOD_A)
    assert isinstance(data.A, sp.csr_array)
    assert data.A.dtype == np.float64
    assert data.A.indices.dtype == np.int32
    assert data.A.has_canonical_format
    assert (data.b, data.kind, data.spd) == (None, "unknown", False)
    assert data.source == data.name


def test_stored_zeros_are_removed_or_kept(write):
    file = write(GOOD)
    assert matrices.load(file).A.nnz == 3
    assert matrices.load(file, keep_zeros=True).A.nnz == 4


def test_symmetric_hermitian_and_skew_files_are_whole(write):
    symmetric = matrices.load(write(f"{HEAD}coordinate real symmetric\n2 2 2\n1 1 2\n2 1 -1\n".encode())).A
    np.testing.assert_array_equal(symmetric.toarray(), [[2, -1], [-1, 0]])
    hermitian = matrices.load(write(f"{HEAD}coordinate complex hermitian\n2 2 2\n1 1 2 0\n2 1 1 3\n".encode())).A
    np.testing.assert_array_equal(hermitian.toarray(), [[2, 1 - 3j], [1 + 3j, 0]])
    assert hermitian.dtype == np.complex128
    skew = matrices.load(write(f"{HEAD}coordinate real skew-symmetric\n2 2 1\n2 1 5\n".encode())).A
    np.testing.assert_array_equal(skew.toarray(), [[0, -5], [5, 0]])


def test_patterns_integers_and_dense_files_become_floats(write):
    pattern = matrices.load(write(f"{HEAD}coordinate pattern general\n2 2 2\n1 2\n2 1\n".encode())).A
    integers = matrices.load(write(f"{HEAD}coordinate integer general\n2 2 1\n2 1 7\n".encode())).A
    dense = matrices.load(write(f"{HEAD}array real general\n2 2\n1\n2\n0\n4\n".encode())).A
    assert pattern.dtype == integers.dtype == dense.dtype == np.float64
    np.testing.assert_array_equal(pattern.toarray(), [[0, 1], [1, 0]])
    np.testing.assert_array_equal(integers.toarray(), [[0, 0], [7, 0]])
    np.testing.assert_array_equal(dense.toarray(), [[1, 0], [2, 4]])
    assert dense.nnz == 3


def test_duplicates_add_up(write):
    A = matrices.load(write(f"{HEAD}coordinate real general\n1 2 3\n1 2 1\n1 1 5\n1 2 2\n".encode())).A
    np.testing.assert_array_equal(A.toarray(), [[5, 3]])
    assert A.nnz == 2


@pytest.mark.parametrize("name", ["some_rhs1.mtx", "some_b.mtx", "some_rhs1.mtx.gz", "some_b.mtx.gz"])
def test_right_hand_side_lies_beside_the_matrix(write, name):
    file = write(GOOD)
    content = market(np.array([[1.5], [2.0]]))
    write(gzip.compress(content) if name.endswith("gz") else content, name)
    np.testing.assert_array_equal(matrices.load(file).b, [1.5, 2.0])


def test_several_right_hand_sides_stay_columns(write):
    file = write(GOOD)
    write(market(sp.coo_array([[1.0, 0.0], [0.0, 3.0]])), "some_b.mtx")
    np.testing.assert_array_equal(matrices.load(file).b, [[1, 0], [0, 3]])


def test_right_hand_side_of_another_length_is_an_error(write):
    file = write(GOOD)
    write(market(np.ones((3, 1))), "some_b.mtx")
    with pytest.raises(ValueError, match=r"right-hand side of .*some\.mtx has 3 rows, but the matrix has 2"):
        matrices.load(file)


def test_archives_are_read(write):
    rhs = market(np.array([[1.0], [2.0]]))
    data = matrices.load(write(archive("some", matrix=GOOD, b=rhs), "some.tar.gz"))
    np.testing.assert_array_equal(data.A.toarray(), GOOD_A)
    np.testing.assert_array_equal(data.b, [1, 2])
    assert matrices.load(write(archive("some", matrix=GOOD), "some.tar.gz")).b is None
    with pytest.raises(ValueError, match=r"other\.tar\.gz does not hold other/other\.mtx"):
        matrices.load(write(archive("some", matrix=GOOD), "other.tar.gz"))


# hostile files


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "banner"),
        ("<html>Not found</html>", "banner"),
        (f"{HEAD}coordinate real general\n2 2 1\n3 1 1.0\n", "out of bounds"),
        (f"{HEAD}coordinate real general\n2 2 1\n0 1 1.0\n", "out of bounds"),
        (f"{HEAD}coordinate real general\n2 2 2\n1 1 1.0\n", "Truncated"),
        (f"{HEAD}coordinate real general\n2 2 1\n1 1 x\n", "Invalid floating-point value"),
        (f"{HEAD}coordinate real general\n2 2 999999999999\n1 1 1.0\n", "cannot hold 999999999999 entries"),
        (f"{HEAD}coordinate real general\n99999999999 2 1\n1 1 1.0\n", "cannot hold 1 entries of a matrix of shape"),
        (f"{HEAD}array real general\n999999 999999\n1\n", r"cannot hold a dense matrix of shape \(999999, 999999\)"),
        ("\xff" * 5000, "banner"),
    ],
)
def test_other_text_is_an_error(write, text, fault):
    with pytest.raises(ValueError, match=rf"some\.mtx is not a Matrix Market file: .*{fault}"):
        matrices.load(write(text.encode("latin-1")))


@pytest.mark.parametrize("value", ["nan", "inf", "1e999"])
def test_values_that_are_not_finite_are_an_error(write, value):
    with pytest.raises(ValueError, match=r"not finite|not a Matrix Market file"):
        matrices.load(write(f"{HEAD}coordinate real general\n1 1 1\n1 1 {value}\n".encode()))


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_truncated_and_corrupt_files_are_errors(write, compress):
    whole = compress(GOOD + b"% " + os.urandom(300).hex().encode() + b"\n")
    with pytest.raises(ValueError, match=r"some\.mtx is damaged"):
        matrices.load(write(whole[: len(whole) // 2]))
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 0xFF
    with pytest.raises(ValueError, match=r"some\.mtx is damaged"):
        matrices.load(write(bytes(broken)))


# Names of their own: an archive holds the time at which it was made, and every worker makes its own.
@pytest.mark.parametrize("content", [b"", b"spam", archive("some", matrix=GOOD)[:80]], ids=["empty", "text", "cut"])
def test_broken_archives_are_errors(write, content):
    with pytest.raises(ValueError, match=r"some\.tar\.gz is no archive, or damaged"):
        matrices.load(write(content, "some.tar.gz"))


# the table


def test_find_filters():
    assert {info.name for info in matrices.find(square=False)} == {"ash219", "lp_e226"}
    assert [info.name for info in matrices.find(is_complex=True)] == ["young1c"]
    assert [info.name for info in matrices.find(symmetric=True, spd=False)] == ["sherman1"]
    assert {info.name for info in matrices.find("power network")} == {"494_bus", "1138_bus"}
    assert all(5 < info.shape[1] <= 100 and info.nnz <= 350 for info in matrices.find(min_n=6, max_n=100, max_nnz=350))
    assert len(matrices.find()) == 24
    with pytest.raises(ValueError, match=r"`kind` must be one of '9-point Laplacian', .* got 'tower'"):
        matrices.find("tower")


def test_table_is_consistent():
    for info in matrices.find():
        assert info.nnz <= info.stored
        assert not (info.spd and info.negative_definite)
        assert info.symmetric or not (info.spd or info.negative_definite)
        assert not info.symmetric or info.shape[0] == info.shape[1]
        assert len(info.sha256) == 64
        assert info.url.startswith("https://sparse.tamu.edu/MM/")
        assert info.url.endswith(f"/{info.name}.tar.gz")
        assert info.has_rhs == (info.rhs_sha256 is not None)


def test_unknown_name_suggests_close_ones():
    with pytest.raises(KeyError, match="did you mean 'bcsstk1"):
        matrices.load("bcsstk17")
    with pytest.raises(KeyError, match=r"find\(\) lists the known ones"):
        matrices.load("zzzzzz")


@pytest.mark.parametrize("name", ["nowhere/matrix", "some.mtx", Path("some")])
def test_path_that_does_not_exist_is_named(name):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        matrices.load(name)


# places and checksums


def store(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_bytes(content)
    return file


@pytest.mark.parametrize("name", ["mesh1e1.mtx", "mesh1e1.tar.gz"])
@pytest.mark.parametrize("place", [0, 1])
def test_known_matrix_is_found_in_data_folder_and_cache(folders, name, place):
    content = mesh_like()
    file = store(folders[place], name, archive("mesh1e1", matrix=content) if name.endswith(".tar.gz") else content)
    data = matrices.load("mesh1e1")
    assert (data.A.shape, data.A.nnz) == ((48, 48), 306)
    assert (data.name, data.kind, data.spd, data.source) == ("mesh1e1", "mesh", True, str(file))


def test_data_folder_comes_before_the_cache(folders):
    for folder in folders:
        store(folder, "mesh1e1.mtx", mesh_like())
    assert matrices.load("mesh1e1").source == str(folders[0] / "mesh1e1.mtx")


def test_file_with_another_checksum_than_the_table_names_both(folders):
    content = gzip.compress(mesh_like())
    file = store(folders[0], "mesh1e1.mtx.gz", content)
    expected = next(info.sha256 for info in matrices.find() if info.name == "mesh1e1")
    with pytest.raises(ValueError, match=f"has sha256 {hashlib.sha256(content).hexdigest()}, expected {expected}"):
        matrices.load("mesh1e1")
    assert matrices.load("mesh1e1", path=file).A.shape == (48, 48)


def test_right_hand_side_with_another_checksum_is_an_error(folders, monkeypatch):
    monkeypatch.setattr(_download, "verify", lambda path, expected: verified.append(path.name))
    verified = []
    store(folders[0], "sherman1.mtx", GOOD)
    store(folders[0], "sherman1_rhs1.mtx.gz", gzip.compress(market(np.ones((2, 1)))))
    with pytest.raises(ValueError, match=r"has shape \(2, 3\), but 'sherman1' has \(1000, 1000\)"):
        matrices.load("sherman1")
    assert verified == ["sherman1_rhs1.mtx.gz"]


def test_known_matrix_of_another_size_or_kind_is_an_error(folders):
    store(folders[0], "mesh1e1.mtx", mesh_like(47))
    with pytest.raises(ValueError, match=r"has shape \(47, 47\), but 'mesh1e1' has \(48, 48\)"):
        matrices.load("mesh1e1")
    store(folders[0], "mesh1e1.mtx", mesh_like(nnz=300))
    with pytest.raises(ValueError, match="has 300 nonzero entries, but 'mesh1e1' has 306"):
        matrices.load("mesh1e1")
    store(folders[0], "mesh1e1.mtx", mesh_like().replace(b"real", b"complex").replace(b"\n", b" 0\n"))
    with pytest.raises(ValueError, match=r"mesh1e1"):
        matrices.load("mesh1e1")


def test_missing_matrix_says_what_is_missing_and_how_to_get_it(folders, monkeypatch):
    with pytest.raises(FileNotFoundError) as caught:
        matrices.load("mesh1e1", download=False)
    message = str(caught.value)
    assert str(folders[0] / "mesh1e1.mtx.gz") in message
    assert str(folders[1] / "mesh1e1.mtx.gz") in message
    assert "download=False" in message
    assert "path=" in message
    monkeypatch.delenv("NUMOPT_DATA")
    with pytest.raises(FileNotFoundError, match="Set NUMOPT_DATA"):
        matrices.load("mesh1e1", download=False)


def test_download_is_recorded_and_verified_ever_after(folders, monkeypatch):
    asked = []
    content = archive("mesh1e1", matrix=mesh_like())

    def download(url, target):
        asked.append(url)
        target.write_bytes(content)

    monkeypatch.setattr(_download, "download", download)
    first = matrices.load("mesh1e1")
    file = folders[1] / "mesh1e1.tar.gz"
    assert first.source == str(file)
    assert asked == ["https://sparse.tamu.edu/MM/Pothen/mesh1e1.tar.gz"]
    digest = hashlib.sha256(content).hexdigest()
    assert (folders[1] / "mesh1e1.tar.gz.sha256").read_text() == f"{digest}  mesh1e1.tar.gz\n"

    matrices.load("mesh1e1")
    assert len(asked) == 1

    file.write_bytes(archive("mesh1e1", matrix=mesh_like() + b"\n"))
    with pytest.raises(ValueError, match=rf"has sha256 \w+, expected {digest}"):
        matrices.load("mesh1e1")


@pytest.mark.parametrize(
    "content", [b"<html>Not found</html>", archive("mesh1e1", matrix=GOOD), archive("mesh", matrix=GOOD), b""]
)
def test_download_of_something_else_is_not_kept(folders, monkeypatch, content):
    monkeypatch.setattr(_download, "download", lambda url, target: target.write_bytes(content))
    with pytest.raises(ValueError, match="mesh1e1"):
        matrices.load("mesh1e1")
    assert list(folders[1].iterdir()) == []


def test_failed_download_is_a_missing_file(monkeypatch):
    def download(url, target):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(_download, "download", download)
    with pytest.raises(FileNotFoundError, match=r"mesh1e1\.tar\.gz failed \(ConnectionError: no route to host\)"):
        matrices.load("mesh1e1")


def test_download_without_pooch_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)
    with pytest.raises(FileNotFoundError, match=r"needs pooch \(the extra `data`"):
        matrices.load("mesh1e1")


# systems of them


def test_systems_take_their_right_hand_side_from_the_file_or_a_vector_of_ones(write):
    text = f"{HEAD}coordinate real symmetric\n2 2 2\n1 1 2\n2 1 -1\n".encode()
    system = LinearSystem.matrix(write(text))
    np.testing.assert_array_equal(system.b, [1, -1])
    write(market(np.array([[3.0], [4.0]])), "some_b.mtx")
    system = LinearSystem.matrix(write(text))
    np.testing.assert_array_equal(system.b, [3, 4])
    with pytest.raises(ValueError, match=r"square matrix; .* has shape \(2, 3\)"):
        LinearSystem.matrix(write(GOOD))


# the real files

REAL = Path(os.environ.get("NUMOPT_DATA", "/nonexistent"))


@pytest.mark.parametrize("info", matrices.find(), ids=lambda info: info.name)
def test_real_file_is_what_the_table_says(info, monkeypatch):
    for needed in ("manifest.json", f"matrices/{info.name}.mtx.gz"):
        if not (REAL / needed).is_file():
            pytest.skip(f"NUMOPT_DATA has no {needed}")
    monkeypatch.setenv("NUMOPT_DATA", str(REAL))
    data = matrices.load(info.name, download=False)
    assert data.A.shape == info.shape
    assert data.A.nnz == info.nnz
    assert matrices.load(info.name, keep_zeros=True, download=False).A.nnz == info.stored
    assert (data.A.dtype == np.complex128) == info.is_complex
    assert (data.b is not None) == info.has_rhs
    statistics = {entry["name"]: entry for entry in json.loads((REAL / "manifest.json").read_text())["files"]}
    if "fro_norm" in statistics[info.name]["stats"]:
        expected = statistics[info.name]["stats"]["fro_norm"]
        assert sp.linalg.norm(data.A) == pytest.approx(expected, rel=1e-9)
    if info.has_rhs:
        assert data.b.shape == (info.shape[0],)
        assert np.linalg.norm(data.b) == pytest.approx(statistics[f"{info.name}_rhs1"]["stats"]["norm"], rel=1e-9)
    square = info.shape[0] == info.shape[1]
    assert info.symmetric == (square and abs(data.A - data.A.conj().T).max() == 0)
    if info.spd and info.shape[0] <= 1200:
        assert np.linalg.eigvalsh(data.A.toarray())[0] > 0
    if info.negative_definite:
        assert np.linalg.eigvalsh(data.A.toarray())[-1] < 0
