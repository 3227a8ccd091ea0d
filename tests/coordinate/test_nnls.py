"""`nnls` in the place of `scipy.optimize.nnls`."""

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from numopt import Status
from numopt.coordinate import nnls
from tests.helpers.xp import make


def data(seed, shape, kind="normal"):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal(shape)
    if kind == "positive":
        A = np.abs(A)
    b = rng.standard_normal(shape[0])
    return A, np.abs(b) if kind == "positive" else b


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (30, 30), (100, 40), (40, 100)])
@pytest.mark.parametrize("kind", ["normal", "positive"])
@pytest.mark.parametrize("seed", [0, 1])
def test_agrees_with_scipy(shape, kind, seed):
    A, b = data(seed, shape, kind)
    x, rnorm = nnls(A, b)
    x_peer, rnorm_peer = scipy.optimize.nnls(A, b)
    size = float(np.linalg.norm(b))
    assert isinstance(rnorm, float)
    assert np.all(x >= 0)
    assert rnorm == pytest.approx(float(np.linalg.norm(A @ x - b)), rel=1e-12, abs=1e-12 * size)
    # A relative gap of 1e-12 is one of 1e-6 in the norm of a residual that vanishes.
    assert rnorm == pytest.approx(rnorm_peer, rel=1e-9, abs=2e-6 * size)
    if shape[0] >= shape[1]:
        np.testing.assert_allclose(x, x_peer, atol=1e-5)


def test_an_exact_solution_is_found():
    A, _ = data(2, (50, 20))
    truth = np.abs(np.random.default_rng(3).standard_normal(20))
    x, rnorm = nnls(A, A @ truth)
    np.testing.assert_allclose(x, truth, atol=1e-6)
    assert rnorm <= 1e-6 * np.linalg.norm(A @ truth)


def test_a_target_outside_the_cone_gives_exactly_zero():
    A, _ = data(4, (20, 8), "positive")
    x, rnorm = nnls(A, -np.ones(20))
    assert not np.any(x)
    assert rnorm == pytest.approx(np.sqrt(20), rel=1e-14)


@pytest.mark.parametrize("convert", [sp.csr_array, sp.csc_array, np.asfortranarray, np.ndarray.tolist])
def test_takes_other_forms_of_the_matrix(convert):
    A, b = data(5, (30, 12))
    A[np.abs(A) < 0.5] = 0
    np.testing.assert_allclose(nnls(convert(A), b)[0], nnls(A, b)[0], atol=1e-7)


@pytest.mark.parametrize("convert", [np.asarray, sp.csc_array, aslinearoperator])
def test_wide_matrices_of_any_form_interpolate(convert):
    A = np.abs(np.random.default_rng(7).standard_normal((15, 60)))
    x, rnorm = nnls(convert(A), A @ np.ones(60))
    assert np.all(x >= 0)
    assert rnorm <= 1e-8


def test_integers_lists_and_columns_as_in_scipy():
    A, b = [[1, 0], [1, 0], [0, 1]], [2, 1, 1]
    for right_hand_side in (b, np.asarray(b), np.asarray(b)[:, None], [[value] for value in b]):
        x, rnorm = nnls(A, right_hand_side)
        np.testing.assert_allclose(x, [1.5, 1.0], atol=1e-9)
        assert rnorm == pytest.approx(np.sqrt(0.5), rel=1e-9)


def test_single_precision_stays():
    A, b = data(6, (40, 15), "positive")
    x, rnorm = nnls(A.astype(np.float32), b.astype(np.float32))
    assert x.dtype == np.float32
    assert rnorm == pytest.approx(scipy.optimize.nnls(A, b)[1], rel=1e-4)


def test_stays_in_the_library_of_the_data(xp):
    A, b = data(16, (30, 12))
    x, rnorm = nnls(make(xp, A), make(xp, b)[:, None])
    assert type(x) is type(make(xp, b))
    assert rnorm == pytest.approx(scipy.optimize.nnls(A, b)[1], rel=1e-9)


def test_repeated_and_empty_columns():
    A, b = data(7, (30, 10), "positive")
    ugly = np.concatenate([A, A[:, :4], np.zeros((30, 1))], axis=1)
    x, rnorm = nnls(ugly, b)
    assert rnorm == pytest.approx(scipy.optimize.nnls(A, b)[1], rel=1e-9)
    assert x[-1] == 0


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_columns_of_very_different_scale(scale):
    A, b = data(8, (50, 20), "positive")
    factors = np.where(np.arange(20) % 2, scale, 1.0)
    x, rnorm = nnls(A * factors, b, tol=1e-9)
    assert rnorm == pytest.approx(scipy.optimize.nnls(A, b)[1], rel=1e-8)
    np.testing.assert_allclose(x * factors, scipy.optimize.nnls(A, b)[0], atol=1e-4)


def test_weights_are_repeated_rows():
    A, b = data(9, (30, 10))
    counts = np.random.default_rng(10).integers(0, 3, 30)
    x, rnorm = nnls(A, b, sample_weight=counts)
    x_repeated, rnorm_repeated = nnls(np.repeat(A, counts, axis=0), np.repeat(b, counts))
    np.testing.assert_allclose(x, x_repeated, atol=1e-5)
    assert rnorm == pytest.approx(rnorm_repeated, rel=1e-9)


def test_result_object_on_request():
    A, b = data(11, (40, 60))
    res = nnls(A, b, return_result=True)
    x, rnorm = nnls(A, b)
    np.testing.assert_array_equal(res.x, x)
    assert res.rnorm == rnorm
    assert res.success
    assert res.kkt <= 1e-12 * float(np.max(A.T @ b)) + 1e-12
    again = nnls(A, b, x0=res, return_result=True)
    assert again.npass <= 2


def test_limit_raises_as_in_scipy_unless_the_result_is_asked_for():
    A, b = data(12, (100, 80))
    with pytest.raises(RuntimeError, match="maxiter"):
        nnls(A, b, 1)
    res = nnls(A, b, maxiter=1, return_result=True)
    assert res.status is Status.MAXITER
    assert np.all(res.x >= 0)
    assert nnls(A, b, maxiter=0)[1] == nnls(A, b)[1]  # no limit, as in SciPy


def test_what_scipy_takes_is_taken():
    A, b = data(13, (10, 5))
    assert nnls(A, b, 1000, atol=1e-8)[1] == nnls(A, b)[1]


def test_bad_input():
    A, b = data(14, (10, 5))
    with pytest.raises(ValueError, match="2-D"):
        nnls(b, b)
    with pytest.raises(ValueError, match="`b`"):
        nnls(A, b[:-1])
    with pytest.raises(ValueError, match="`b`"):
        nnls(A, np.ones((10, 2)))
    with pytest.raises(ValueError, match="finite"):
        nnls(A, np.full(10, np.nan))
    with pytest.raises(TypeError, match="real"):
        nnls(A + 1j, b)
    with pytest.raises(TypeError, match="no_such_option"):
        nnls(A, b, no_such_option=1)
    with pytest.raises(ValueError, match="`maxiter`"):
        nnls(A, b, -1)


def test_start_outside_the_bounds_warns():
    A, b = data(15, (10, 5))
    with pytest.warns(UserWarning, match="projected"):
        nnls(A, b, x0=-np.ones(5))
