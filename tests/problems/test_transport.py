"""Problems of optimal transport: the generators follow their recipes, the readers refuse what is damaged."""

import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from numopt.problems import TransportProblem, _transport_data
from numopt.problems._transport import _image_weights

REAL = Path(os.environ.get("NUMOPT_DATA", "/nonexistent")) / "transport"


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep every test away from the user's own folders, and the image cache empty."""
    monkeypatch.setenv("NUMOPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NUMOPT_DATA", str(tmp_path / "data"))
    _transport_data.mnist_images.cache_clear()
    data = tmp_path / "data" / "transport"
    data.mkdir(parents=True)
    return data


def idx(images: np.ndarray) -> bytes:
    header = b"\0\0\x08" + bytes([images.ndim]) + np.array(images.shape, dtype=">u4").tobytes()
    return gzip.compress(header + images.astype(np.uint8).tobytes())


@pytest.fixture(name="digits")
def digits_fixture(folders: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Five small images in place of MNIST's."""
    images = np.random.default_rng(0).integers(0, 256, size=(5, 4, 4)).astype(np.uint8)
    images[:, 0, 0] = 0
    content = idx(images)
    file = _transport_data._File("digits.gz", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(_transport_data, "_MNIST", file)
    (folders / file.name).write_bytes(content)
    return images


ALL = [
    TransportProblem.points(20, reg=1e-2),
    TransportProblem.points(20, reg=1e-2, dirichlet=True),
    TransportProblem.uniform(20, reg=1e-2),
    TransportProblem.grid(4, reg=1e-2),
    TransportProblem.clusters(20, reg=1e-2),
]


@pytest.mark.parametrize("problem", ALL, ids=lambda problem: problem.name)
def test_weights_are_positive_with_sum_one_and_costs_reach_one(problem: TransportProblem):
    assert problem.C.shape == (problem.n, problem.m)
    assert problem.C.min() >= 0
    assert problem.C.max() <= 1.0
    assert problem.C.flags.c_contiguous
    for weights in (problem.a, problem.b):
        assert weights.min() > 0
        assert_allclose(weights.sum(), 1.0, rtol=1e-13)


def test_points_follow_the_recipe():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(7, 2))
    Y = rng.normal(size=(7, 2)) + 1
    C = ((X[:, None] - Y[None]) ** 2).sum(-1)
    found = TransportProblem.points(7, reg=1e-3, seed=3, dirichlet=True)
    assert_allclose(found.C, C / C.max(), rtol=1e-12)
    rng = np.random.default_rng(3)
    assert_array_equal(found.a, rng.dirichlet(np.ones(7)))
    assert_array_equal(found.b, rng.dirichlet(np.ones(7)))
    assert_array_equal(TransportProblem.points(7, reg=1e-3).a, np.full(7, 1 / 7))


def test_points_without_costs_have_the_largest_cost_one():
    sparse = TransportProblem.points(60, reg=1e-3, d=3, dense=False)
    assert sparse.C is None
    whole = sparse.cost_rows(0, 60)
    assert_allclose(whole.max(), 1.0, rtol=1e-12)
    assert_array_equal(sparse.cost_rows(10, 12), whole[10:12])
    assert_allclose(whole, TransportProblem.points(60, reg=1e-3, d=3).C, rtol=1e-12, atol=1e-15)


def test_uniform_costs_are_those_of_the_generator():
    assert_array_equal(TransportProblem.uniform(5, reg=1.0, seed=2).C, np.random.default_rng(2).random((5, 5)))


def test_grid_costs_are_pixel_distances():
    problem = TransportProblem.grid(3, reg=1.0)
    assert_allclose(problem.C[0] * 4, [0, 1, 2, 1, 2, 3, 2, 3, 4])
    rng = np.random.default_rng(0)
    a = rng.random(9) + 1e-3
    assert_allclose(problem.a, a / a.sum())


def test_clusters_need_one_millionth_of_the_mass_to_cross():
    problem = TransportProblem.clusters(40, reg=1.0)
    assert_allclose(problem.a[:20].sum() - problem.b[:20].sum(), 1e-6, rtol=1e-6)
    assert problem.C[:20, :20].max() < problem.C[:20, 20:].max()
    with pytest.raises(ValueError, match="`n` must be even, got 3"):
        TransportProblem.clusters(3, reg=1.0)


def test_colours_come_from_the_photographs_that_scikit_learn_ships():
    pytest.importorskip("PIL")
    problem = TransportProblem.colours(30, reg=1e-2)
    assert (problem.C.shape, problem.C.max(), problem.source) == ((30, 30), 1.0, "scikit-learn's sample images")


def test_images_are_normalised_raised_and_normalised(digits: np.ndarray):
    problem = TransportProblem.mnist(reg=1e-3, pair=4, metric="cityblock")
    first, second = np.random.default_rng(4).choice(5, 2, replace=False)
    raised = digits[first].ravel() / digits[first].sum() + 1e-6
    assert_allclose(problem.a, raised / raised.sum(), rtol=1e-13)
    assert_array_equal(problem.b, _image_weights(digits[second]))
    assert problem.a.min() > 5e-7
    assert (problem.name, problem.C.shape, problem.C.max()) == ("mnist-l1", (16, 16), 1.0)
    assert _transport_data.has_mnist()


def test_other_bytes_than_the_recorded_ones_are_refused(digits: np.ndarray, folders: Path):
    (folders / "digits.gz").write_bytes(idx(digits[:4]))
    with pytest.raises(ValueError, match="has sha256"):
        TransportProblem.mnist(reg=1e-3)


def test_missing_images_name_every_place_and_the_remedy(monkeypatch: pytest.MonkeyPatch):
    def offline(*_: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr("numopt.problems._download.download", offline)
    assert not _transport_data.has_mnist()
    with pytest.raises(FileNotFoundError, match=r"mnist-t10k.*data.*cache.*no route.*Set NUMOPT_DATA"):
        TransportProblem.mnist(reg=1e-3)
    with pytest.raises(FileNotFoundError, match=r"dotmark_data32_1001\.csv is missing.*no public address"):
        TransportProblem.dotmark(reg=1e-3)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\0\0\x0d\1\0\0\0\1\0", "no IDX file"), (b"\0\0\x08\1\0\0\0\2\0", r"holds 1 bytes, but its header says \(2,\)")],
)
def test_damaged_idx_files_are_refused(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match=message):
        _transport_data.read_idx(path)


def test_unknown_clouds_are_named():
    with pytest.raises(KeyError, match="there is no 'rabbit'; known are 'bunny', 'teapot', 'suzanne'"):
        TransportProblem.clouds("rabbit", "teapot", reg=1.0)


@pytest.mark.skipif(not REAL.is_dir(), reason="NUMOPT_DATA has no transport folder")
def test_real_files_have_their_shapes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NUMOPT_DATA", str(REAL.parent))
    assert TransportProblem.mnist(reg=1e-3).C.shape == (784, 784)
    assert TransportProblem.dotmark(reg=1e-3).C.shape == (1024, 1024)
    meshes = TransportProblem.clouds("suzanne", "teapot", reg=1e-3)
    assert (meshes.n, meshes.m) == (507, 3644)
    assert_allclose(max(meshes.cost_rows(i, i + 50).max() for i in range(0, 507, 50)), 1.0, rtol=1e-12)


@pytest.mark.gpu
def test_problem_moves_to_the_device():
    cupy = pytest.importorskip("cupy")
    problem = TransportProblem.points(8, reg=1e-2, dense=False)
    moved = problem.to_gpu()
    assert isinstance(moved.X, cupy.ndarray)
    assert moved.C is None
    assert_array_equal(moved.X.get(), problem.X)
