"""Many systems at once: the same answers and counts as one by one."""

import numpy as np
import pytest
import scipy.sparse as sp

from numopt import Status
from numopt.linear import Stencil, sor
from tests.helpers.xp import make, to_numpy
from tests.linear.matrices import poisson


def shifted(count, nx=5, seed=0):
    rng = np.random.default_rng(seed)
    shifts = rng.uniform(0, 1, count)
    matrices = [sp.csr_array(poisson(nx) + c * sp.eye_array(nx**2)) for c in shifts]
    return matrices, rng.standard_normal((count, nx**2)), rng.uniform(1.0, 1.6, count)


@pytest.mark.parametrize("ordering", ["natural", "red-black"])
@pytest.mark.parametrize("sweep", ["forward", "backward"])
def test_sparse_systems_of_one_pattern(ordering, sweep):
    matrices, b, omega = shifted(6)
    res = sor(matrices, b, omega=omega, ordering=ordering, sweep=sweep)
    assert res.success
    assert res.x.shape == b.shape
    for s, A in enumerate(matrices):
        alone = sor(A, b[s], omega=omega[s], ordering=ordering, sweep=sweep)
        assert res.nit[s] == alone.nit
        np.testing.assert_allclose(res.x[s], np.linalg.solve(A.toarray(), b[s]), atol=1e-6)
        assert res.residual_norm[s] == pytest.approx(np.linalg.norm(b[s] - A @ res.x[s]), abs=1e-12)
        assert res.residual_norm[s] <= 1e-8 * np.linalg.norm(b[s])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_dense_systems_in_every_library(xp, dtype):
    matrices, b, omega = shifted(3, nx=3)
    A = np.stack([matrix.toarray() for matrix in matrices])
    res = sor(make(xp, A, dtype), make(xp, b, dtype), omega=omega)
    assert res.success
    assert res.x.dtype == getattr(xp, dtype)
    expected = np.linalg.solve(A, b[:, :, None])[:, :, 0]
    np.testing.assert_allclose(to_numpy(res.x), expected, atol=1e-6 if dtype == "float64" else 1e-3)


@pytest.mark.parametrize("A", [poisson(5), poisson(5).toarray(), Stencil((5, 5), (4.0, -1.0, -1.0, -1.0, -1.0))])
def test_one_matrix_with_all_arms(A):
    b = np.random.default_rng(0).standard_normal(25)
    omegas = np.linspace(1, 1.9, 10)
    res = sor(A, np.tile(b, (10, 1)), omega=omegas)
    assert res.nit.tolist() == [sor(A, b, omega=omega).nit for omega in omegas]


def test_starting_points():
    matrices, b, _ = shifted(4)
    x0 = np.stack([np.linalg.solve(A.toarray(), v) for A, v in zip(matrices, b, strict=True)])
    assert not sor(matrices, b, x0, rtol=1e-6).nit.any()


def test_each_system_has_its_own_outcome():
    A = np.stack([np.eye(2), np.array([[1.0, 3.0], [3.0, 1.0]]), np.array([[2.0, 1.0], [1.0, 2.0]]), np.eye(2)])
    b = np.ones((4, 2))
    b[3] = 0
    res = sor(A, b, maxiter=2, rtol=1e-12)
    assert not res.success
    assert res.statuses[0] == Status.CONVERGED
    assert res.statuses[2] == Status.MAXITER
    assert res.statuses[3] == Status.CONVERGED
    assert not res.x[3].any()
    assert np.isfinite(res.x).all()
    more = sor(A, b, maxiter=200)
    assert more.status is Status.DIVERGED
    assert more.statuses.tolist() == [0, Status.DIVERGED, 0, 0]
    assert "System 1" in more.message


def test_nan_that_was_let_in_is_no_success():
    matrices, b, _ = shifted(3)
    b[1, 4] = np.nan
    res = sor(matrices, b, check_finite=False)
    assert res.statuses.tolist()[0::2] == [0, 0]
    assert res.statuses[1] != Status.CONVERGED
    assert not res.success


def test_a_last_sweep_that_makes_it_worse_is_not_the_end():
    # Far from normal: sweeps with omega near 2 make residuals jump, so that some solves take another turn.
    rng = np.random.default_rng(3)
    A = np.stack(
        [np.eye(4) * 4 + np.triu(rng.standard_normal((4, 4)) * 3, 1) + np.tril(np.ones((4, 4)), -1) * 0.2] * 40
    )
    b = rng.standard_normal((40, 4))
    res = sor(A, b, omega=1.5, rtol=1e-3, maxiter=500)
    residuals = np.linalg.norm(b - np.einsum("sij,sj->si", A, res.x), axis=1)
    solved = res.statuses == Status.CONVERGED
    assert np.all(residuals[solved] <= 1e-3 * np.linalg.norm(b, axis=1)[solved] * (1 + 1e-12))
    assert np.all(res.nit <= 500)
    for s in range(0, 40, 8):
        alone = sor(A[s], b[s], omega=1.5, rtol=1e-3, maxiter=500)
        assert (alone.status is Status.CONVERGED) == bool(solved[s])
        if solved[s]:
            assert res.nit[s] == alone.nit


class TestBadInput:
    def test_shapes(self):
        matrices, b, omega = shifted(3)
        with pytest.raises(ValueError, match="one matrix or one for each of the 3 systems"):
            sor(matrices[:2], b)
        with pytest.raises(ValueError, match="`omega`"):
            sor(matrices, b, omega=omega[:2])
        with pytest.raises(ValueError, match=r"\(0, 2\)"):
            sor(matrices, b, omega=np.array([1.0, 2.5, 1.0]))
        with pytest.raises(ValueError, match="`x0`"):
            sor(matrices, b, b[:2])
        with pytest.raises(ValueError, match="as many rows as `b` has columns"):
            sor(matrices, b[:, :-1])

    def test_patterns(self):
        matrices, b, _ = shifted(2)
        with pytest.raises(ValueError, match="one pattern"):
            sor([matrices[0], sp.csr_array(np.ones((25, 25)) + 30 * np.eye(25))], b)

    def test_options_of_single_systems(self):
        matrices, b, _ = shifted(2)
        for option in ({"callback": print}, {"history": True}, {"verbose": 1}, {"time_limit": 1.0}, {"check": "exact"}):
            with pytest.raises(ValueError, match=f"`{next(iter(option))}`"):
                sor(matrices, b, **option)
        with pytest.raises(ValueError, match="`sweep`"):
            sor(matrices, b, sweep="symmetric")

    def test_a_zero_on_a_diagonal(self):
        A = np.stack([np.eye(3), np.diag([1.0, 0.0, 1.0])])
        with pytest.raises(ValueError, match="row 1"):
            sor(A, np.ones((2, 3)))
