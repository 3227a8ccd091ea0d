"""The engine against what defines it: least-squares steps, projections, expectations, one path on all libraries."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from numopt._core.timer import Deadline
from numopt.sketching._kaczmarz import SketchedSolver
from tests.helpers.xp import make, to_numpy


def system(m=12, n=8, seed=0, sparse=False):
    """A consistent system with the solution x, rows of different norms."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, n)) * 10.0 ** rng.uniform(-1, 1, (m, 1))
    if sparse:
        A *= rng.random((m, n)) < 0.4
    x = rng.standard_normal(n)
    return A, A @ x, x


def row_path(A, b, rows, z=None):
    """The definition, in plain NumPy."""
    z = np.zeros(A.shape[1]) if z is None else z.copy()
    for i in rows:
        z += A[i] * ((b[i] - A[i] @ z) / (A[i] @ A[i]))
    return z


def test_row_path_on_every_backend(xp):
    A, b, _ = system()
    solver = SketchedSolver(make(xp, A), make(xp, b), sketch="row", rng=4)
    solver.advance(100)
    expected = row_path(A, b, np.random.default_rng(4).integers(12, size=100))
    assert type(solver.z) is type(make(xp, b))
    np.testing.assert_allclose(to_numpy(solver.z), expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())
    assert solver.steps == 100
    assert solver.residual_norm() == pytest.approx(np.linalg.norm(A @ expected - b), rel=1e-6, abs=1e-12)


def test_gaussian_path_on_every_backend(xp):
    A, b, _ = system()
    solver = SketchedSolver(make(xp, A), make(xp, b), sketch="gaussian", rng=4)
    solver.advance(40)
    S = np.random.default_rng(4).standard_normal((40, 12))
    expected = row_path(S @ A, S @ b, range(40))
    np.testing.assert_allclose(to_numpy(solver.z), expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("sketch", ["row", "gaussian"])
def test_step_is_the_least_norm_solution_of_the_sketched_equation(sketch):
    A, b, _ = system()
    z0 = np.random.default_rng(1).standard_normal(8)
    solver = SketchedSolver(A, b, sketch=sketch, rng=7, z0=z0)
    solver.advance(1)
    rng = np.random.default_rng(7)
    s = np.eye(12)[rng.integers(12)] if sketch == "row" else rng.standard_normal(12)
    step, *_ = np.linalg.lstsq((s @ A)[None, :], [s @ (b - A @ z0)])
    np.testing.assert_allclose(solver.z - z0, step, rtol=1e-13, atol=1e-14)
    assert s @ (A @ solver.z - b) == pytest.approx(0, abs=1e-13 * np.abs(s @ A).sum() * np.abs(solver.z).max())


def test_projection_is_idempotent():
    A, b, _ = system(m=1)
    solver = SketchedSolver(A, b, rng=0)
    solver.advance(1)
    once = solver.z.copy()
    solver.advance(5)
    np.testing.assert_allclose(solver.z, once, rtol=1e-15, atol=1e-16)


def test_relaxed_step_moves_that_fraction_of_the_way():
    A, b, _ = system()
    full, half = (SketchedSolver(A, b, rng=0, relax=relax) for relax in (1.0, 0.5))
    full.advance(1)
    half.advance(1)
    np.testing.assert_allclose(2 * half.z, full.z, rtol=1e-15)
    full, half = (SketchedSolver(A, b, sketch="gaussian", rng=0, relax=relax) for relax in (1.0, 0.5))
    full.advance(1)
    half.advance(1)
    np.testing.assert_allclose(2 * half.z, full.z, rtol=1e-15)


@pytest.mark.parametrize("options", [{"sketch": "gaussian"}, {"rule": "uniform"}, {"rule": "norm"}, {"rule": "cyclic"},
                                     {"rule": "max_distance"}, {"relax": 1.7}])  # fmt: skip
def test_error_never_grows(options):
    A, b, x = system()
    solver = SketchedSolver(A, b, rng=3, **options)
    error = np.linalg.norm(x)
    for _ in range(200):
        solver.advance(1)
        new = np.linalg.norm(solver.z - x)
        assert new <= error * (1 + 1e-14)
        error = new
    assert error < 0.5 * np.linalg.norm(x)


def test_orthogonal_rows_are_solved_in_one_sweep():
    Q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((9, 9)))
    x = np.arange(9.0)
    solver = SketchedSolver(Q, Q @ x, rule="cyclic")
    solver.advance(9)
    np.testing.assert_allclose(solver.z, x, atol=1e-13)


def test_expected_contraction_under_norm_sampling():
    # E||e1||^2 = ||e0||^2 - ||A e0||^2 / ||A||_F^2 for one step (Strohmer and Vershynin 2009, proof of theorem 2),
    # at most (1 - sigma_min^2 / ||A||_F^2) ||e0||^2. Mean of independent steps within 3 standard errors.
    A, b, x = system()
    errors = []
    rng = np.random.default_rng(12)
    for _ in range(4000):
        solver = SketchedSolver(A, b, rule="norm", rng=rng)
        solver.advance(1)
        errors.append(np.sum((solver.z - x) ** 2))
    mean, spread = np.mean(errors), np.std(errors) / np.sqrt(len(errors))
    total = np.sum(A**2)
    expected = x @ x - np.sum(b**2) / total
    assert abs(mean - expected) <= 3 * spread
    bound = (1 - np.linalg.svd(A, compute_uv=False)[-1] ** 2 / total) * (x @ x)
    assert mean <= bound + 3 * spread


def test_mean_contraction_over_many_steps_meets_the_bound():
    A, b, x = system(m=40, n=5)
    rate = 1 - np.linalg.svd(A, compute_uv=False)[-1] ** 2 / np.sum(A**2)
    ratios = []
    rng = np.random.default_rng(5)
    for _ in range(500):
        solver = SketchedSolver(A, b, rule="norm", rng=rng)
        solver.advance(20)
        ratios.append(np.sum((solver.z - x) ** 2) / (x @ x))
    assert np.mean(ratios) <= rate**20 + 3 * np.std(ratios) / np.sqrt(len(ratios))


@pytest.mark.parametrize("options", [{"sketch": "gaussian"}, {"rule": "uniform"}, {"rule": "norm"}])
def test_same_seed_gives_the_same_bits(options):
    A, b, _ = system(50, 30)
    first, second = (SketchedSolver(A, b, rng=9, **options) for _ in range(2))
    other = SketchedSolver(A, b, rng=10, **options)
    for solver in (first, second, other):
        solver.advance(500)
    np.testing.assert_array_equal(first.z, second.z)
    assert np.any(first.z != other.z)


@pytest.mark.parametrize("options", [{"rule": "uniform"}, {"rule": "norm"}, {"rule": "cyclic"}])
def test_path_does_not_depend_on_the_slices(options, monkeypatch):
    A, b, _ = system(50, 30)
    whole = SketchedSolver(A, b, rng=9, **options)
    whole.advance(1000)
    parts = SketchedSolver(A, b, rng=9, **options)
    for n_steps in (1, 2, 97, 900):
        parts.advance(n_steps)
    np.testing.assert_array_equal(whole.z, parts.z)
    monkeypatch.setattr("numopt.sketching._sketched_solver.INDEX_CHUNK", 64)
    small = SketchedSolver(A, b, rng=9, **options)
    small.advance(1000)
    np.testing.assert_array_equal(whole.z, small.z)


def test_gaussian_batches_change_rounding_only():
    A, b, x = system(50, 30)
    whole, single = (SketchedSolver(A, b, sketch="gaussian", rng=9) for _ in range(2))
    whole.advance(300)
    for _ in range(300):
        single.advance(1)
    # Projections do not amplify earlier errors, so rounding adds up at most linearly.
    np.testing.assert_allclose(whole.z, single.z, atol=300 * 1e-15 * np.linalg.norm(x) * np.sqrt(50))


@pytest.mark.parametrize(("rule", "weights"), [("uniform", [1, 0, 1, 1, 1]), ("norm", [1, 0, 4, 9, 16])])
def test_rows_are_drawn_with_the_stated_probability(rule, weights):
    A = np.diag([1.0, 0, 2, 3, 4])
    solver = SketchedSolver(A, np.zeros(5), rule=rule, rng=2)
    counts = np.bincount(solver._draw(20000), minlength=5)
    p = np.array(weights) / np.sum(weights)
    assert np.all(np.abs(counts - 20000 * p) <= 3.5 * np.sqrt(20000 * p * (1 - p)))
    assert counts[1] == 0


def test_cyclic_goes_round_the_nonzero_rows():
    solver = SketchedSolver(np.diag([1.0, 0, 2, 3]), np.zeros(4), rule="cyclic")
    assert solver._draw(5).tolist() == [0, 2, 3, 0, 2]
    assert solver._draw(2).tolist() == [3, 0]


def test_max_distance_takes_the_farthest_hyperplane(xp):
    A, b, _ = system()
    A[3] = b[3] = 0.0
    solver = SketchedSolver(make(xp, A), make(xp, b), rule="max_distance")
    z = np.zeros(8)
    for _ in range(10):
        norms = np.linalg.norm(A, axis=1)
        distance = np.abs(b - A @ z) / np.where(norms > 0, norms, np.inf)
        z = row_path(A, b, [np.argmax(distance)], z)
        solver.advance(1)
        np.testing.assert_allclose(to_numpy(solver.z), z, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("sketch", ["row", "gaussian"])
def test_zero_rows_are_skipped_or_reported(xp, sketch):
    A, b, x = system()
    A[[2, 5]] = 0.0
    b[[2, 5]] = 0.0
    solver = SketchedSolver(make(xp, A), make(xp, b), sketch=sketch, rng=0)
    assert solver.inconsistent_row is None
    solver.advance(300)
    assert np.linalg.norm(to_numpy(solver.z) - x) < np.linalg.norm(x)
    b[5] = 1.0
    assert SketchedSolver(make(xp, A), make(xp, b), sketch=sketch).inconsistent_row == 5


@pytest.mark.parametrize("options", [{"sketch": "gaussian"}, {"rule": "uniform"}, {"rule": "norm"}, {"rule": "cyclic"},
                                     {"rule": "max_distance"}])  # fmt: skip
def test_zero_matrix_leaves_z_alone(options):
    solver = SketchedSolver(np.zeros((3, 2)), np.zeros(3), rng=0, z0=np.ones(2), **options)
    solver.advance(10)
    np.testing.assert_array_equal(solver.z, [1, 1])
    assert solver.steps == 10


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("options", [{"sketch": "gaussian"}, {"rule": "uniform"}, {"rule": "norm"}, {"rule": "cyclic"},
                                     {"rule": "max_distance"}])  # fmt: skip
def test_csr_equals_dense(options, index):
    A, b, _ = system(30, 20, sparse=True)
    C = sp.csr_array(A)
    C.indices, C.indptr = C.indices.astype(index), C.indptr.astype(index)
    dense, sparse = SketchedSolver(A, b, rng=1, **options), SketchedSolver(C, b, rng=1, **options)
    dense.advance(300)
    sparse.advance(300)
    np.testing.assert_allclose(sparse.z, dense.z, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("convert", [sp.csc_matrix, sp.coo_array, sp.lil_array])
def test_other_sparse_formats_and_duplicates(convert):
    A, b, _ = system(30, 20, sparse=True)
    dense, sparse = SketchedSolver(A, b, rng=1), SketchedSolver(convert(A), b, rng=1)
    rows, cols = np.nonzero(A)
    halves = np.concatenate([A[rows, cols]] * 2) / 2
    twice = sp.csr_array((30, 20))
    order = np.argsort(np.concatenate([rows, rows]), kind="stable")
    twice = sp.csr_array(
        (halves[order], np.concatenate([cols, cols])[order], 2 * sp.csr_array(A).indptr), shape=(30, 20)
    )
    assert not twice.has_canonical_format
    duplicated = SketchedSolver(twice, b, rng=1)
    for solver in (dense, sparse, duplicated):
        solver.advance(200)
    np.testing.assert_allclose(sparse.z, dense.z, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(duplicated.z, dense.z, rtol=1e-10, atol=1e-11)
    assert twice.nnz == halves.size


@pytest.mark.gpu
def test_csr_on_the_gpu_equals_the_cpu():
    import cupy
    import cupyx.scipy.sparse as cusp

    A, b, _ = system(30, 20, sparse=True)
    for options in ({"sketch": "gaussian"}, {"rule": "uniform"}, {"rule": "max_distance"}):
        host = SketchedSolver(sp.csr_array(A), b, rng=1, **options)
        device = SketchedSolver(cusp.csr_matrix(cupy.asarray(A)), cupy.asarray(b), rng=1, **options)
        host.advance(300)
        device.advance(300)
        np.testing.assert_allclose(device.z.get(), host.z, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(
    "arrange", [np.asfortranarray, lambda A: np.repeat(A, 2, axis=0)[::2], lambda A: A[::-1][::-1]]
)
def test_memory_order_does_not_matter(arrange):
    A, b, _ = system()
    expected, solver = SketchedSolver(A, b, rng=1), SketchedSolver(arrange(A), b, rng=1)
    expected.advance(50)
    solver.advance(50)
    np.testing.assert_array_equal(solver.z, expected.z)


@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    seed=st.integers(0, 2**32 - 1),
    rule=st.sampled_from(["uniform", "cyclic", "max_distance"]),
)
def test_scaling_of_equations_leaves_the_path_alone(shape, seed, rule):
    # By powers of two, so that scaling rounds nothing; these three rules look at hyperplanes only.
    A, b, x = system(*shape, seed=seed)
    scale = 2.0 ** np.random.default_rng(seed).integers(-20, 20, shape[0])
    plain, scaled = (
        SketchedSolver(A, b, rng=seed, rule=rule),
        SketchedSolver(A * scale[:, None], b * scale, rng=seed, rule=rule),
    )
    plain.advance(25)
    scaled.advance(25)
    np.testing.assert_array_equal(scaled.z, plain.z)
    assert np.linalg.norm(plain.z - x) <= np.linalg.norm(x) * (1 + 25 * 1e-14)


def test_input_is_not_modified():
    A, b, _ = system()
    z0 = np.ones(8)
    copies = A.copy(), b.copy(), z0.copy()
    SketchedSolver(A, b, rng=1, z0=z0).advance(50)
    for array, copy in zip((A, b, z0), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("sketch", ["row", "gaussian"])
def test_float32_stays_float32(xp, sketch):
    A, b, _ = system()
    solver = SketchedSolver(make(xp, A, "float32"), make(xp, b, "float32"), sketch=sketch, rng=1)
    solver.advance(30)
    assert solver.z.dtype == xp.float32
    exact = SketchedSolver(A, b, sketch=sketch, rng=1)
    exact.advance(30)
    np.testing.assert_allclose(to_numpy(solver.z), exact.z, atol=30 * 1.2e-7 * np.sqrt(12) * np.linalg.norm(exact.z))


def test_expired_deadline_stops_after_one_slice(monkeypatch):
    A, b, _ = system()
    monkeypatch.setattr("numopt.sketching._sketched_solver.INDEX_CHUNK", 16)
    solver = SketchedSolver(A, b, rng=1)
    solver.advance(100, Deadline(0.0))
    assert solver.steps == 16
    solver.advance(100)
    assert solver.steps == 116
