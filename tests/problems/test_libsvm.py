import bz2
import gzip
import hashlib
import json
import lzma
import os
from pathlib import Path

import numpy as np
import pytest

from numopt.problems import _download, _svmlight, libsvm

GOOD = b"1 1:0.5 3:-2\n-1 2:1e-3\n+1 1:4 2:5 3:6 # a remark\n"
GOOD_X = [[0.5, 0.0, -2.0], [0.0, 1e-3, 0.0], [4.0, 5.0, 6.0]]
GOOD_Y = [1.0, -1.0, 1.0]

HEART_ROWS = 270


@pytest.fixture(autouse=True)
def folders(own_folders):
    """Keep every test of this file away from the user's own folders."""
    return tuple(folder / "libsvm" for folder in own_folders)


@pytest.fixture(name="write")
def write_set(write):
    return lambda content, name="set.txt": write(content, name)


def heart_like(rows: int = HEART_ROWS) -> bytes:
    """Text with the shape and the labels of the known set heart."""
    lines = [f"{1 if row % 2 else -1} 1:{row} {2 + row % 12}:0.5" for row in range(rows)]
    return ("\n".join(lines) + "\n").encode()


# reading


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_plain_and_compressed_files_are_told_by_content(write, compress):
    data = libsvm.load(write(compress(GOOD)))
    np.testing.assert_array_equal(data.X.toarray(), GOOD_X)
    np.testing.assert_array_equal(data.y, GOOD_Y)
    assert data.X.format == "csr"
    assert data.X.dtype == data.y.dtype == np.float64
    assert data.n_features == 3
    assert data.task == "binary"


def test_blank_lines_line_ends_and_rows_without_entries_are_read(write):
    data = libsvm.load(write(b"\r\n1\t2:1 \r\n\n-1\n  1 1:2\n\n"))
    np.testing.assert_array_equal(data.X.toarray(), [[0, 1], [0, 0], [2, 0]])
    np.testing.assert_array_equal(data.y, [1, -1, 1])


def test_last_line_needs_no_newline(write):
    np.testing.assert_array_equal(libsvm.load(write(b"1 1:2\n-1 1:3")).X.toarray(), [[2], [3]])


def test_n_features_widens_the_matrix(write):
    assert libsvm.load(write(GOOD), n_features=7).X.shape == (3, 7)


def test_zero_based_files_are_read_on_request(write):
    data = libsvm.load(write(b"1 0:2 2:3\n-1 1:1\n"), zero_based=True)
    np.testing.assert_array_equal(data.X.toarray(), [[2, 0, 3], [0, 1, 0]])
    assert libsvm.load(write(b"1 0:2 2:3\n-1 1:1\n"), zero_based=True, n_features=3).X.shape == (2, 3)


def test_unsorted_indices_are_sorted(write):
    data = libsvm.load(write(b"1 3:3 1:1 2:2\n-1 2:5 1:4\n"))
    np.testing.assert_array_equal(data.X.toarray(), [[1, 2, 3], [4, 5, 0]])
    np.testing.assert_array_equal(data.X.indices, [0, 1, 2, 0, 1])


def test_blocks_join_to_the_whole_file(write, monkeypatch):
    whole = libsvm.load(write(heart_like()))
    monkeypatch.setattr(_svmlight, "_BLOCK", 100)
    parts = libsvm.load(write(heart_like()))
    np.testing.assert_array_equal(whole.X.toarray(), parts.X.toarray())
    np.testing.assert_array_equal(whole.y, parts.y)


def test_values_equal_those_of_scikit_learn(write):
    from sklearn.datasets import dump_svmlight_file, load_svmlight_file

    rng = np.random.default_rng(3)
    X = rng.standard_normal((40, 9)) * 10.0 ** rng.integers(-200, 200, (40, 9)) * (rng.random((40, 9)) < 0.4)
    file = write(b"")
    dump_svmlight_file(X, rng.standard_normal(40), str(file), zero_based=False)
    expected_X, expected_y = load_svmlight_file(str(file), n_features=9, zero_based=False)
    data = libsvm.load(file, n_features=9)
    np.testing.assert_array_equal(data.X.toarray(), expected_X.toarray())
    np.testing.assert_array_equal(data.y, expected_y)


# labels


def test_two_labels_map_to_minus_and_plus_one_in_their_order(write):
    file = write(b"4 1:1\n2 1:2\n4 1:3\n")
    assert libsvm.load(file).y.tolist() == [1, -1, 1]
    assert libsvm.load(file, labels="raw").y.tolist() == [4, 2, 4]
    assert libsvm.load(file).label_map == {2.0: -1.0, 4.0: 1.0}


def test_three_labels_stay_and_cannot_be_mapped(write):
    file = write(b"1 1:1\n2 1:2\n3 1:3\n")
    assert libsvm.load(file).y.tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="needs a set with two labels"):
        libsvm.load(file, labels="pm1")


def test_unknown_label_option_is_refused():
    with pytest.raises(ValueError, match=r"`labels` must be 'pm1' or 'raw', got 'zero-one'"):
        libsvm.load("digits", labels="zero-one")


# hostile files


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"1 1:abc", r"'1:abc' is not `label` or `index:value` with finite decimal numbers"),
        (b"1 x:2", r"'x:2' is not `label` or `index:value`"),
        (b"spam 1:2", r"'spam' is not `label`"),
        (b"1 1:0x10", r"'1:0x10' is not `label`"),
        (b"1 qid:3 1:2", r"'qid:3' is not `label`"),
        (b"1 1:1-2", r"'1:1-2' does not hold a decimal number"),
        (b"1 1:e", r"'1:e' does not hold a decimal number"),
        (b"1- 1:1", r"'1-' does not hold a decimal number"),
        (b"1 0:2", r"'0:2' has index 0, but indices start at 1"),
        (b"1 -1:2", r"'-1:2' has an index that is not a whole number"),
        (b"1 1.5:2", r"'1.5:2' has an index that is not a whole number"),
        (b"1 :2", r"':2' has an index that is not a whole number"),
        (b"1 1:", r"'1:' has no value"),
        (b"1 1:2:3", r"'1:2:3' has more than one colon"),
        (b"1 2:1 2:3", r"'2:3' repeats an index"),
        (b"1 2:1 1:7 2:3", r"'2:3' repeats an index"),
        (b"1 1:nan", r"'1:nan' is not `label` or `index:value` with finite"),
        (b"1 1:inf", r"'1:inf' is not `label` or `index:value` with finite"),
        (b"1 1:1e999", r"'1:1e999' has a value that is not finite"),
        (b"nan 1:1", r"'nan' is not `label`"),
        (b"-1e999 1:1", r"'-1e999' is not a finite label"),
        (b"1 2147483648:1", r"'2147483648:1' has an index above 2147483647"),
        (b"1 99999999999999999999:1", r"has an index above 2147483647"),
        (b"1:1 2:1", r"'1:1' stands where the line's label should"),
        (b"1 -1 1:2", r"'-1' is not `index:value`; a line has exactly one label"),
        (b"1,2 1:2", r"'1,2' is not `label`"),
        (b"1 1:2\x00", r"'1:2\\x00' is not `label`"),
    ],
)
def test_bad_line_is_named(write, line, fault):
    with pytest.raises(ValueError, match=rf"set\.txt, line 4: .*{fault}"):
        libsvm.load(write(GOOD + line + b"\n" + GOOD))


def test_bad_line_is_named_in_a_later_block(write, monkeypatch):
    monkeypatch.setattr(_svmlight, "_BLOCK", 64)
    with pytest.raises(ValueError, match=r"line 31: '1:x' "):
        libsvm.load(write(GOOD * 10 + b"1 1:x\n"))


def test_index_above_n_features_is_an_error(write):
    with pytest.raises(ValueError, match=r"line 1: '3:-2' has an index above 2, the largest possible here"):
        libsvm.load(write(GOOD), n_features=2)
    with pytest.raises(ValueError, match=r"'2:1' has an index above 1"):
        libsvm.load(write(b"1 0:2 2:1\n"), n_features=2, zero_based=True)


def test_huge_index_needs_no_memory(write):
    data = libsvm.load(write(b"1 2147483647:1\n-1 1:1\n"))
    assert data.X.shape == (2, 2147483647)
    assert data.X.data.nbytes + data.X.indices.nbytes + data.X.indptr.nbytes < 100


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_truncated_archive_is_an_error(write, compress):
    whole = compress(os.urandom(300).hex().encode() + GOOD * 50)
    with pytest.raises(ValueError, match=r"set\.txt is damaged near line 1"):
        libsvm.load(write(whole[: len(whole) // 2]))


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_corrupt_archive_is_an_error(write, compress):
    whole = bytearray(compress(GOOD * 50))
    whole[len(whole) // 2] ^= 0xFF
    with pytest.raises(ValueError, match="is damaged near line"):
        libsvm.load(write(bytes(whole)))


def test_binary_junk_is_an_error(write):
    with pytest.raises(ValueError, match=r"line \d+: .* is not `label` or `index:value`"):
        libsvm.load(write(bytes(range(128, 256)) * 40))


def test_error_shows_no_more_than_the_start_of_a_long_token(write):
    with pytest.raises(ValueError, match=r"\.\.\.'") as caught:
        libsvm.load(write(b"\xff" * 100_000))
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("content", [b"", b"\n \n\r\n", b"# only a remark\n", gzip.compress(b"", mtime=0)])
def test_file_without_rows_is_an_error(write, content):
    with pytest.raises(ValueError, match="holds no rows"):
        libsvm.load(write(content))


# the table


def test_find_filters_by_task_and_size():
    everything = libsvm.find()
    assert {"a9a", "w8a", "phishing", "mushrooms", "splice", "digits"} <= {info.name for info in everything}
    small = libsvm.find(task="regression", max_n=13)
    assert {info.name for info in small} == {"abalone", "housing", "housing_scale"}
    assert all(info.n_samples <= 300 for info in libsvm.find(max_samples=300))
    with pytest.raises(ValueError, match=r"`task` must be one of 'binary', 'multiclass', 'regression', got 'ranking'"):
        libsvm.find(task="ranking")


def test_table_is_consistent():
    for info in libsvm.find():
        assert info.task in ("binary", "multiclass", "regression")
        assert (info.label_map is not None) == (info.task == "binary")
        assert info.label_map is None or list(info.label_map.values()) == [-1, 1]
        assert info.label_map is None or list(info.label_map) == sorted(info.label_map)
        assert info.url is not None or info.sha256 is not None or info.embedded


def test_unknown_name_suggests_close_ones():
    with pytest.raises(KeyError, match="did you mean 'mushrooms'"):
        libsvm.load("mushroom")
    with pytest.raises(KeyError, match=r"find\(\) lists the known ones"):
        libsvm.load("zzzzzz")


@pytest.mark.parametrize("name", ["nowhere/set", "set.gz", Path("set")])
def test_path_that_does_not_exist_is_named(name):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        libsvm.load(name)


def test_embedded_sets_need_no_file():
    cancer = libsvm.load("breast_cancer")
    assert cancer.X.shape == (569, 30)
    np.testing.assert_array_equal(cancer.X.toarray().min(axis=0), -1)
    np.testing.assert_array_equal(cancer.X.toarray().max(axis=0), 1)
    assert sorted(set(cancer.y)) == [-1, 1]
    assert sorted(set(libsvm.load("breast_cancer", labels="raw").y)) == [0, 1]
    digits = libsvm.load("digits")
    assert digits.X.shape == (1797, 64)
    assert digits.X.toarray().max() == 1
    assert np.count_nonzero(digits.y == 1) == 901


def test_scale_columns_sends_constant_columns_to_zero():
    scaled = libsvm.scale_columns(np.array([[1.0, 5.0, -1.0], [3.0, 5.0, 0.0], [2.0, 5.0, 1.0]])).toarray()
    np.testing.assert_array_equal(scaled, [[-1, 0, -1], [1, 0, 0], [0, 0, 1]])


# places and checksums


def store(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_bytes(content)
    return file


@pytest.mark.parametrize("name", ["heart.bz2", "heart.xz", "heart"])
@pytest.mark.parametrize("place", [0, 1])
def test_known_set_is_found_in_data_folder_and_cache(folders, name, place):
    file = store(folders[place], name, heart_like())
    data = libsvm.load("heart")
    assert data.X.shape == (HEART_ROWS, 13)
    assert data.source == str(file)


def test_data_folder_comes_before_the_cache(folders):
    for folder in folders:
        store(folder, "heart", heart_like())
    assert libsvm.load("heart").source == str(folders[0] / "heart")


def test_file_with_another_checksum_than_the_table_names_both(folders):
    content = gzip.compress(heart_like())
    store(folders[0], "heart.gz", content)
    expected = next(info.sha256 for info in libsvm.find() if info.name == "heart")
    with pytest.raises(ValueError, match=f"has sha256 {hashlib.sha256(content).hexdigest()}, expected {expected}"):
        libsvm.load("heart")
    assert libsvm.load("heart", path=folders[0] / "heart.gz").X.shape == (HEART_ROWS, 13)


def test_known_set_with_missing_rows_is_an_error(folders):
    store(folders[0], "heart", heart_like(200))
    with pytest.raises(ValueError, match="has 200 rows, but 'heart' has 270"):
        libsvm.load("heart")


def test_known_set_with_other_labels_is_an_error(folders):
    store(folders[0], "heart", heart_like().replace(b"-1 1:0 ", b"3 1:0 "))
    with pytest.raises(ValueError, match="has the labels -1, 1, 3, but 'heart' has -1, 1"):
        libsvm.load("heart")


def test_known_set_has_the_columns_of_the_table(folders):
    store(folders[0], "heart", b"\n".join([b"1 1:1", b"-1 1:1"] * 135))
    assert libsvm.load("heart").X.shape == (270, 13)
    with pytest.raises(ValueError, match="`n_features` must be 13 for 'heart', got 5"):
        libsvm.load("heart", n_features=5)


def test_missing_set_says_what_is_missing_and_how_to_get_it(folders, monkeypatch):
    with pytest.raises(FileNotFoundError) as caught:
        libsvm.load("heart", download=False)
    message = str(caught.value)
    assert str(folders[0] / "heart.gz") in message
    assert str(folders[1] / "heart.gz") in message
    assert "download=False" in message
    assert "path=" in message
    monkeypatch.delenv("NUMOPT_DATA")
    with pytest.raises(FileNotFoundError, match="Set NUMOPT_DATA"):
        libsvm.load("heart", download=False)


def test_set_that_the_site_lacks_is_not_asked_for(monkeypatch):
    monkeypatch.setattr(_download, "download", lambda url, target: pytest.fail("asked the site"))
    with pytest.raises(FileNotFoundError, match="it is not on the LIBSVM site"):
        libsvm.load("agaricus.train")


def test_download_is_recorded_and_verified_ever_after(folders, monkeypatch):
    asked = []

    def download(url, target):
        asked.append(url)
        target.write_bytes(heart_like())

    monkeypatch.setattr(_download, "download", download)
    first = libsvm.load("heart")
    file = folders[1] / "heart"
    assert first.source == str(file)
    assert asked == ["https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/binary/heart"]
    digest = hashlib.sha256(heart_like()).hexdigest()
    assert (folders[1] / "heart.sha256").read_text() == f"{digest}  heart\n"
    assert sorted(entry.name for entry in folders[1].iterdir()) == ["heart", "heart.sha256"]

    libsvm.load("heart")
    assert len(asked) == 1

    changed = heart_like().replace(b"1:3 ", b"1:4 ")
    file.write_bytes(changed)
    with pytest.raises(ValueError, match=f"has sha256 {hashlib.sha256(changed).hexdigest()}, expected {digest}"):
        libsvm.load("heart")


def test_second_download_must_equal_the_first(folders, monkeypatch):
    monkeypatch.setattr(_download, "download", lambda url, target: target.write_bytes(heart_like()))
    libsvm.load("heart")
    (folders[1] / "heart").unlink()
    other = heart_like().replace(b"1:3 ", b"1:4 ")
    monkeypatch.setattr(_download, "download", lambda url, target: target.write_bytes(other))
    with pytest.raises(ValueError, match=r"has sha256 \w+, expected"):
        libsvm.load("heart")
    assert not (folders[1] / "heart").exists()


def test_compressed_download_keeps_its_suffix(folders, monkeypatch):
    text = ("\n".join(["1 1:1", "-1 2000:1"] * 31)).encode()
    monkeypatch.setattr(_download, "download", lambda url, target: target.write_bytes(bz2.compress(text)))
    assert libsvm.load("colon-cancer").X.shape == (62, 2000)
    assert (folders[1] / "colon-cancer.bz2").is_file()


@pytest.mark.parametrize("content", [b"<html>Not found</html>", heart_like(100), b""])
def test_download_of_something_else_is_not_kept(folders, monkeypatch, content):
    monkeypatch.setattr(_download, "download", lambda url, target: target.write_bytes(content))
    with pytest.raises(ValueError, match=r"heart"):
        libsvm.load("heart")
    assert list(folders[1].iterdir()) == []


def test_failed_download_is_a_missing_file(monkeypatch):
    def download(url, target):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(_download, "download", download)
    with pytest.raises(FileNotFoundError, match=r"binary/heart failed \(ConnectionError: no route to host\)"):
        libsvm.load("heart")


def test_download_without_pooch_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)
    with pytest.raises(FileNotFoundError, match=r"needs pooch \(the extra `data`"):
        libsvm.load("heart")


def test_download_goes_through_pooch(tmp_path, monkeypatch):
    import pooch

    calls = []
    monkeypatch.setattr(pooch, "retrieve", lambda url, **options: calls.append((url, options)))
    _download.download("https://example.org/a.bz2", tmp_path / "a.bz2")
    ((url, options),) = calls
    assert url == "https://example.org/a.bz2"
    assert (options["path"], options["fname"]) == (tmp_path, "a.bz2")


def test_damaged_record_is_an_error(folders):
    store(folders[1], "heart", heart_like())
    store(folders[1], "heart.sha256", b"spam\n")
    with pytest.raises(ValueError, match="does not hold a sha256"):
        libsvm.load("heart")


def test_cache_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMOPT_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert _download.cache_folder() == tmp_path / "own"
    monkeypatch.delenv("NUMOPT_CACHE")
    assert _download.cache_folder() == tmp_path / "xdg" / "numopt"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    for platform, expected in [
        ("linux", tmp_path / ".cache" / "numopt"),
        ("darwin", tmp_path / "Library" / "Caches" / "numopt"),
        ("win32", tmp_path / "local" / "numopt" / "Cache"),
    ]:
        monkeypatch.setattr("sys.platform", platform)
        assert _download.cache_folder() == expected


# the real files

REAL = Path(os.environ.get("NUMOPT_DATA", "/nonexistent"))


@pytest.mark.parametrize("info", [info for info in libsvm.find() if info.sha256], ids=lambda info: info.name)
def test_real_file_has_the_shape_of_the_table(info, monkeypatch):
    for needed in ("manifest.json", f"libsvm/{info.name}.gz"):
        if not (REAL / needed).is_file():
            pytest.skip(f"NUMOPT_DATA has no {needed}")
    monkeypatch.setenv("NUMOPT_DATA", str(REAL))
    data = libsvm.load(info.name, download=False)
    assert data.X.shape == (info.n_samples, info.n_features)
    assert data.y.shape == (info.n_samples,)
    assert np.all(data.X.indices < info.n_features)
    statistics = {entry["name"]: entry for entry in json.loads((REAL / "manifest.json").read_text())["files"]}[
        info.name
    ]
    assert data.X.nnz == statistics["stats"]["nnz"]
    if info.task == "binary":
        counts = {float(label): count for label, count in statistics["stats"]["classes"].items()}
        assert {new: counts[old] for old, new in info.label_map.items()} == {
            new: np.count_nonzero(data.y == new) for new in (-1.0, 1.0)
        }
