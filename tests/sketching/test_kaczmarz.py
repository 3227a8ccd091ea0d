"""The public solvers: answers, stopping, statuses, options, bad input."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from numopt import Status
from numopt.sketching import kaczmarz, sketch_and_project
from numopt.sketching._stopping import Stagnation
from tests.helpers.xp import make, to_numpy

SOLVERS = [
    pytest.param(lambda A, b, **options: kaczmarz(A, b, **options), id="kaczmarz"),
    pytest.param(lambda A, b, **options: sketch_and_project(A, b, sketch="gaussian", **options), id="gaussian"),
]


def system(m=40, n=15, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, n))
    x = rng.standard_normal(n)
    return A, A @ x, x


@pytest.mark.parametrize("rule", ["uniform", "norm", "cyclic", "max_distance"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_solves_with_every_rule(xp, rule, dtype):
    A, b, x = system()
    res = kaczmarz(make(xp, A, dtype), make(xp, b, dtype), rule=rule, rng=1)
    assert res.success
    assert res.status is Status.CONVERGED
    assert res.x.dtype == getattr(xp, dtype)
    rtol = 1e-6 if dtype == "float64" else 1e-4
    # The certificate is the caller's own residual, up to the rounding of forming it.
    residual = np.linalg.norm(A @ to_numpy(res.x).astype(float) - b)
    eps = np.finfo(dtype).eps
    assert residual <= rtol * np.linalg.norm(b) + 100 * eps * np.linalg.norm(b)
    assert res.fun == pytest.approx(residual, abs=100 * eps * np.linalg.norm(b))
    assert res.relative_residual == pytest.approx(res.fun / np.linalg.norm(b), rel=1e-6)
    assert res.n_steps == 40 * res.nit
    sigma = np.linalg.svd(A, compute_uv=False)[-1]
    assert np.linalg.norm(to_numpy(res.x) - x) <= 1.01 * (res.fun / sigma + 100 * eps * np.linalg.norm(x))
    assert f"Converged after {res.nit} sweep" in res.message


@pytest.mark.parametrize("sketch", ["row", "gaussian"])
def test_sketch_and_project_solves(xp, sketch):
    A, b, x = system()
    res = sketch_and_project(make(xp, A), make(xp, b), sketch=sketch, rng=1, rtol=1e-10)
    assert res.success
    np.testing.assert_allclose(to_numpy(res.x), x, atol=1e-9)


def test_row_sketch_is_uniform_kaczmarz():
    A, b, _ = system()
    np.testing.assert_array_equal(sketch_and_project(A, b, rng=3).x, kaczmarz(A, b, rng=3).x)


@pytest.mark.parametrize("solve", SOLVERS)
def test_underdetermined_system_gives_the_least_norm_solution(solve):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((10, 30))
    b = rng.standard_normal(10)
    res = solve(A, b, rng=1, rtol=1e-12)
    np.testing.assert_allclose(res.x, np.linalg.lstsq(A, b)[0], atol=1e-11)


@pytest.mark.parametrize("solve", SOLVERS)
def test_inconsistent_system_stalls_at_the_best_iterate(solve):
    A, b, _ = system()
    b = b + 0.1 * np.random.default_rng(1).standard_normal(40)
    res = solve(A, b, rng=1, history=True)
    assert res.status is Status.STALLED
    assert not res.success
    assert "inconsistent or too ill-conditioned" in res.message
    assert res.nit < 200
    assert res.fun == pytest.approx(res.history["residual"].min(), rel=1e-12)
    assert res.fun >= np.linalg.norm(A @ np.linalg.lstsq(A, b)[0] - b)


def test_ill_conditioned_system_stalls():
    U, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((60, 60)))
    A = U * np.logspace(0, -6, 60) @ U.T
    res = kaczmarz(A, A @ U.sum(axis=1), rng=1, rtol=1e-10)
    assert res.status is Status.STALLED


@pytest.mark.parametrize("solve", SOLVERS)
def test_zero_row_with_nonzero_right_side_is_singular(xp, solve):
    A, b, _ = system()
    A[4] = 0.0
    res = solve(make(xp, A), make(xp, b), rng=1)
    assert res.status is Status.SINGULAR
    assert (res.nit, res.n_steps) == (0, 0)
    assert "Row 4 of `A` is zero and its right-hand side is not" in res.message
    b[4] = 0.0
    assert solve(make(xp, A), make(xp, b), rng=1).success


def test_tolerance_below_the_dtype_ends_with_precision(xp):
    A, b, _ = system()
    res = kaczmarz(make(xp, A, "float32"), make(xp, b, "float32"), rtol=1e-12, rng=1)
    assert res.status is Status.PRECISION
    assert "Reached the floor of the floating-point type" in res.message
    assert res.relative_residual < 1e-5
    assert res.nit < 200
    assert kaczmarz(A, b, rtol=0.0, rng=1).status is Status.PRECISION


def test_limits():
    A, b, _ = system()
    res = kaczmarz(A, b, rng=1, maxiter=2)
    assert res.status is Status.MAXITER
    assert (res.nit, res.n_steps) == (2, 80)
    assert "Stopped after 2 sweeps: residual norm" in res.message
    assert "raise maxiter" in res.message
    assert kaczmarz(A, b, rng=1, maxiter=0).nit == 0
    res = kaczmarz(A, b, rng=1, rule="max_distance", time_limit=0.0)
    assert res.status is Status.TIME_LIMIT


def test_warm_start():
    A, b, x = system()
    assert kaczmarz(A, b, x0=x).nit == 0
    first = kaczmarz(A, b, rng=1, rtol=1e-3)
    assert kaczmarz(A, b, x0=first.x, rng=1).nit < kaczmarz(A, b, rng=1).nit


def test_zero_right_side():
    A, _, x = system()
    res = kaczmarz(A, np.zeros(40))
    assert res.success
    np.testing.assert_array_equal(res.x, 0)
    res = kaczmarz(A, np.zeros(40), x0=x, atol=1e-8, rng=1)
    assert res.success
    assert res.fun <= 1e-8
    assert res.relative_residual == res.fun


def test_one_by_one():
    res = kaczmarz([[2.0]], [3.0])
    assert res.success
    np.testing.assert_allclose(res.x, [1.5])


def test_integers_lists_and_mixed_precision():
    assert kaczmarz([[1, 0], [0, 2]], [1, 2], rng=0).x.dtype == np.float64
    A, b, _ = system()
    assert kaczmarz(A.astype("f4"), b, rng=0).x.dtype == np.float64


@pytest.mark.parametrize("solve", SOLVERS)
def test_sparse_equals_dense(solve):
    A, b, _ = system()
    A[np.random.default_rng(2).random(A.shape) < 0.5] = 0.0
    b = A @ np.ones(15)
    dense, sparse = solve(A, b, rng=1), solve(sp.csr_array(A), b, rng=1)
    assert dense.nit == sparse.nit
    np.testing.assert_allclose(sparse.x, dense.x, rtol=1e-9)


def test_same_seed_gives_the_same_bits():
    A, b, _ = system()
    np.testing.assert_array_equal(kaczmarz(A, b, rng=5).x, kaczmarz(A, b, rng=np.random.default_rng(5)).x)


def test_return_info():
    A, b, x = system()
    solution, info = kaczmarz(A, b, rng=1, return_info=True)
    assert info == 0
    np.testing.assert_allclose(solution, x, atol=1e-4)
    assert kaczmarz(A, b, rng=1, maxiter=1, return_info=True)[1] == Status.MAXITER > 0
    A[0] = 0.0
    assert sketch_and_project(A, b, return_info=True)[1] == Status.SINGULAR < 0


def test_callback_forms():
    A, b, _ = system()
    seen = []
    res = kaczmarz(A, b, rng=1, callback=lambda intermediate_result: seen.append(intermediate_result))
    assert [r.nit for r in seen] == list(range(res.nit))
    assert seen[2].n_steps == 80
    np.testing.assert_allclose(seen[2].residual, np.linalg.norm(A @ seen[2].x - b), rtol=1e-12)
    path = []
    kaczmarz(A, b, rng=1, callback=path.append)
    np.testing.assert_array_equal(path[2], seen[2].x)

    def stop(x):
        if np.linalg.norm(A @ x - b) < 1e-2 * np.linalg.norm(b):
            raise StopIteration

    res = kaczmarz(A, b, rng=1, callback=stop)
    assert res.status is Status.CALLBACK
    assert res.relative_residual < 1e-2


def test_history():
    A, b, _ = system()
    res = kaczmarz(A, b, rng=1, history=True)
    assert set(res.history) == {"nit", "residual", "relative_residual", "n_steps", "seconds"}
    assert all(len(column) == res.nit + 1 for column in res.history.values())
    np.testing.assert_array_equal(res.history["n_steps"], 40 * res.history["nit"])
    assert "history" not in kaczmarz(A, b, rng=1)


def test_verbose(capsys, caplog):
    A, b, _ = system()
    kaczmarz(A, b, rng=1)
    assert capsys.readouterr() == ("", "")
    kaczmarz(A, b, rng=1, verbose=1)
    assert "kaczmarz" in capsys.readouterr().err
    res = sketch_and_project(A, b, rng=1, verbose=2)
    assert len(caplog.messages) >= res.nit


def test_input_is_not_modified():
    A, b, x = system()
    x0 = 2 * x
    copies = A.copy(), b.copy(), x0.copy()
    res = kaczmarz(A, b, x0=x0, rng=1)
    assert not np.shares_memory(res.x, x0)
    for array, copy in zip((A, b, x0), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


A, B = np.eye(3), np.ones(3)


@pytest.mark.parametrize(
    ("args", "options", "error", "match"),
    [
        ((A, np.ones(2)), {}, ValueError, r"`A` has shape \(3, 3\) but `b` has shape \(2,\); expected len\(b\)"),
        ((A, np.ones((3, 2))), {}, ValueError, r"`b` must be a 1-D array, got shape \(3, 2\); solve its columns"),
        ((B, B), {}, ValueError, "`A` must be a 2-D array"),
        ((np.empty((0, 3)), np.empty(0)), {}, ValueError, "`A` must have at least 1 row"),
        ((A * np.nan, B), {}, ValueError, "`A` must be finite"),
        ((sp.csr_array(A) * np.inf, B), {}, ValueError, "`A` must be finite"),
        ((A, B * np.inf), {}, ValueError, "`b` must be finite"),
        ((A * 1j, B), {}, TypeError, "`A` must be real"),
        ((A, B * 1j), {}, TypeError, "`b` must be real"),
        ((aslinearoperator(A), B), {}, TypeError, "`A` must be a dense array or a sparse matrix.*LinearOperator"),
        ((A, B), {"x0": np.ones(2)}, ValueError, r"`x0` has shape \(2,\); expected len\(x0\) == A.shape\[1\]"),
        ((A, B), {"relax": 2.0}, ValueError, r"`relax` must be a float in \(0, 2\), got 2.0"),
        ((A, B), {"relax": 0}, ValueError, "`relax`"),
        ((A, B), {"rule": "greedy"}, ValueError, "`rule` must be one of 'uniform', 'norm', 'cyclic', 'max_distance'"),
        ((A, B), {"rtol": -1e-3}, ValueError, "`rtol` must be a non-negative finite float"),
        ((A, B), {"atol": np.nan}, ValueError, "`atol`"),
        ((A, B), {"maxiter": 1.5}, TypeError, "`maxiter` must be a non-negative int, got 1.5 of type float"),
        ((A, B), {"time_limit": -1}, ValueError, "`time_limit`"),
        ((A, B), {"verbose": 5}, ValueError, "`verbose`"),
        ((A, B), {"rng": "x"}, TypeError, "`rng`"),
        ((A, B), {"callback": 1}, TypeError, "`callback` must be callable"),
    ],
)
def test_bad_input(args, options, error, match):
    with pytest.raises(error, match=match):
        kaczmarz(*args, **options)


def test_bad_sketch_options():
    with pytest.raises(ValueError, match="`sketch` must be one of 'row', 'gaussian', got 'countsketch'"):
        sketch_and_project(A, B, sketch="countsketch")
    with pytest.raises(ValueError, match=r"`block_size` must be 1 \(.*no block sketches\), got 8"):
        sketch_and_project(A, B, block_size=8)
    with pytest.raises(ValueError, match="`block_size` must be a positive int, got 0"):
        sketch_and_project(A, B, block_size=0)


def test_rows_whose_squares_underflow(xp):
    A, b = np.diag([1.0, 1e-25]), [1.0, 1e-25]
    with pytest.raises(ValueError, match=r"`A` has nonzero rows whose squared norm is 0 in .*float32; scale"):
        kaczmarz(make(xp, A, "float32"), make(xp, b, "float32"))
    if xp.__name__.endswith("numpy"):
        with pytest.raises(ValueError, match="`A` has nonzero rows"):
            kaczmarz(sp.csr_array(A.astype("f4")), np.float32(b))
    assert kaczmarz(make(xp, A), make(xp, b), rng=0).success


def test_entries_whose_squares_overflow(xp):
    A, b = np.diag([1.0, 1e25]), [1.0, 1e25]
    with pytest.raises(ValueError, match=r"`A` has entries above 1.3e\+19, whose squares may overflow .*float32"):
        kaczmarz(make(xp, A, "float32"), make(xp, [1.0, 1.0], "float32"))
    with pytest.raises(ValueError, match=r"`b` has entries above 1.3e\+19, whose squares may overflow .*float32"):
        kaczmarz(make(xp, np.eye(2), "float32"), make(xp, b, "float32"))
    assert kaczmarz(make(xp, A), make(xp, b), rng=0).success
    assert kaczmarz(sp.csr_array((2, 2)), np.zeros(2)).success


def test_mixed_libraries():
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(TypeError, match="NumPy and array-api-strict"):
        kaczmarz(A, strict.asarray([1.0, 1.0, 1.0]))


def test_stagnation_looks_at_the_best_value():
    jumping = Stagnation()
    for k in range(11):
        assert not jumping.reached
        jumping.update(1.0 + 0.2 * (k % 3))
    assert jumping.reached
    falling = Stagnation()
    for k in range(50):
        falling.update(0.9989**k)  # just more than 1 % in 10 checks
        assert not falling.reached
    zero = Stagnation()
    for _ in range(20):
        zero.update(0.0)
    assert not zero.reached
