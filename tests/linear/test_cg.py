"""Conjugate gradients: iterates of the plain algorithm, SSOR in Eisenstat's form, statuses, bad input."""

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from numopt import Status
from numopt.linear import SSORPreconditioner, Stencil, cg
from tests.helpers.xp import make, to_numpy
from tests.linear.matrices import poisson, random_spd, sweep_matrix


def rhs(n, seed=0):
    return np.random.default_rng(seed).standard_normal(n)


@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128", "complex64"])
@pytest.mark.parametrize("omega", [None, 1.2])
def test_solves_dense_systems_in_every_library(xp, dtype, omega):
    A = random_spd(25, dtype=complex if dtype.startswith("complex") else float).toarray()
    b = rhs(25) + (1j * rhs(25, 1) if dtype.startswith("complex") else 0)
    res = cg(make(xp, A, dtype), make(xp, b, dtype), ssor_omega=omega)
    assert res.success
    assert res.x.dtype == getattr(xp, dtype)
    assert res.omega == omega
    residual = np.linalg.norm(A @ to_numpy(res.x) - b)
    eps = np.finfo(dtype).eps
    assert residual <= (1e-5 + 100 * eps) * np.linalg.norm(b)
    assert res.residual_norm == pytest.approx(residual, abs=100 * eps * np.linalg.norm(b))


def test_same_count_as_scipy():
    A, b = poisson(30), rhs(900)
    count = []
    spla.cg(A, b, rtol=1e-8, callback=lambda x: count.append(1))
    assert cg(A, b, rtol=1e-8).nit == len(count)


@pytest.mark.parametrize("omega", [0.8, 1.0, 1.7])
@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("reverse", [False, True])
def test_eisenstat_is_ssor_preconditioned_cg(omega, seed, reverse):
    A = poisson(12) if seed is None else random_spd(60, seed)
    b = rhs(A.shape[0])
    M = SSORPreconditioner(A, omega, reverse=reverse)
    paths = ([], [])
    plain = cg(A, b, M=M, rtol=1e-10, callback=lambda x: paths[0].append(x))
    fused = cg(A, b, ssor_omega=omega, reverse=reverse, rtol=1e-10, check=1, callback=lambda x: paths[1].append(x))
    assert plain.nit == fused.nit
    for ours, theirs in zip(*paths, strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-9 * np.abs(ours).max())


@pytest.mark.parametrize("ordering", ["natural", "red-black", "multicolor"])
@pytest.mark.parametrize("check", ["auto", 1, 7])
def test_orderings_and_checks(ordering, check):
    A, b, x0 = poisson(20), rhs(400), rhs(400, 1)
    res = cg(A, b, x0, ssor_omega=1.6, ordering=ordering, check=check, rtol=1e-10)
    assert res.success
    np.testing.assert_allclose(res.x, spla.spsolve(A.tocsc(), b), atol=1e-8)
    assert res.nit < 60


def test_check_auto_counts_as_check_one_does():
    A, b = poisson(40), rhs(1600)
    for omega in (1.0, 1.5, 1.9):
        exact, auto = (cg(A, b, ssor_omega=omega, check=check, rtol=1e-8).nit for check in (1, "auto"))
        assert exact <= auto <= exact + 2


def test_history_is_the_true_residual():
    A, b = poisson(15), rhs(225)
    seen = []
    res = cg(A, b, ssor_omega=1.5, rtol=1e-9, history=True, callback=lambda x: seen.append(np.linalg.norm(b - A @ x)))
    np.testing.assert_allclose(res.history["residual"], seen, rtol=1e-5)
    assert len(seen) == res.nit


def test_preconditioner_is_the_dense_formula():
    A = random_spd(20).toarray()
    omega = 1.3
    K = sweep_matrix(A, omega) * omega
    M = K @ np.diag(1 / np.diag(A)) @ K.T / (omega * (2 - omega))
    r = rhs(20)
    np.testing.assert_allclose(SSORPreconditioner(A, omega) @ r, np.linalg.solve(M, r), rtol=1e-11)
    np.testing.assert_allclose(
        SSORPreconditioner(A, omega, reverse=True) @ r,
        np.linalg.solve(K.T @ np.diag(1 / np.diag(A)) @ K / (omega * (2 - omega)), r),
        rtol=1e-11,
    )


@pytest.mark.parametrize("dtype", [float, complex])
def test_preconditioner_of_an_unsymmetric_matrix(dtype):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((15, 15)).astype(dtype)
    if dtype is complex:
        A = A + 1j * rng.standard_normal((15, 15))
    A -= 8 * np.eye(15)  # a negative diagonal, and triangles that are well conditioned
    omega, D = 0.7, np.diag(np.diag(A))
    M = (D + omega * np.tril(A, -1)) @ np.linalg.inv(D) @ (D + omega * np.triu(A, 1)) / (omega * (2 - omega))
    R = rng.standard_normal((15, 3)).astype(dtype)
    P = SSORPreconditioner(A, omega)
    np.testing.assert_allclose(P @ R, np.linalg.solve(M, R), rtol=1e-9)
    assert P.dtype == dtype


def test_preconditioner_in_every_library(xp):
    A, r = random_spd(20).toarray(), rhs(20)
    M = SSORPreconditioner(make(xp, A), 1.3)
    np.testing.assert_allclose(to_numpy(M @ make(xp, r)), SSORPreconditioner(A, 1.3) @ r, rtol=1e-12)


def test_preconditioner_serves_scipy_and_pyamg():
    pyamg = pytest.importorskip("pyamg")
    A, b = poisson(20), rhs(400)
    M = spla.aslinearoperator(SSORPreconditioner(A, 1.7))
    for solve in (spla.cg, spla.gmres, spla.bicgstab):
        x, info = solve(A, b, M=M, rtol=1e-8)
        assert info == 0
        assert np.linalg.norm(b - A @ x) <= 1e-7 * np.linalg.norm(b)
    x, info = pyamg.krylov.cg(A, b, M=M, tol=1e-8)
    assert info == 0


@pytest.mark.parametrize("form", ["matrix", "operator", "callable", "object"])
def test_forms_of_a_preconditioner(form):
    A, b = random_spd(30), rhs(30)
    P = np.diag(1 / A.diagonal())
    M = {
        "matrix": P,
        "operator": spla.aslinearoperator(P),
        "callable": lambda v: P @ v,
        "object": SSORPreconditioner(A),
    }[form]
    assert cg(A, b, M=M).success


def test_operators_and_stencils():
    A = Stencil((12, 12), (4.0, -1.0, -1.0, -1.0, -1.0))
    b = rhs(144)
    expected = cg(A.tocsr(), b, rtol=1e-10)
    for other in (A, spla.aslinearoperator(A.tocsr()), A.tocsr().toarray()):
        found = cg(other, b, rtol=1e-10)
        assert found.nit == expected.nit
        np.testing.assert_allclose(found.x, expected.x, atol=1e-10)
    assert cg(A, b, ssor_omega=1.5).success


class TestStatuses:
    @pytest.mark.parametrize("omega", [None, 1.0])
    def test_indefinite(self, omega):
        A = np.array([[1.0, 2.0], [2.0, 1.0]])
        res = cg(A, np.array([1.0, -1.0]), ssor_omega=omega)
        assert res.status is Status.INDEFINITE
        assert "MINRES" in res.message

    def test_a_diagonal_that_is_not_positive(self):
        A = poisson(3).toarray()
        A[4, 4] = -4
        res = cg(A, np.ones(9), ssor_omega=1.0)
        assert res.status is Status.INDEFINITE
        assert "row 4" in res.message

    @pytest.mark.parametrize("omega", [None, 1.5])
    def test_limits(self, omega):
        A, b = poisson(30), rhs(900)
        res = cg(A, b, ssor_omega=omega, maxiter=3)
        assert res.status is Status.MAXITER
        assert res.nit == 3
        assert cg(A, b, ssor_omega=omega, time_limit=0.0, rtol=0.0).status is Status.TIME_LIMIT

    @pytest.mark.parametrize("omega", [None, 1.5])
    def test_callback_stops(self, omega):
        seen = []

        def second(intermediate_result):
            seen.append(intermediate_result)
            if len(seen) == 2:
                raise StopIteration

        res = cg(poisson(30), rhs(900), ssor_omega=omega, callback=second)
        assert res.status is Status.CALLBACK
        assert res.nit == 2
        np.testing.assert_array_equal(res.x, seen[-1].x)

    @pytest.mark.parametrize("omega", [None, 1.5])
    def test_rounding_level(self, omega):
        A, b = poisson(30).astype(np.float32), rhs(900).astype(np.float32)
        res = cg(A, b, ssor_omega=omega, rtol=1e-12)
        assert res.status is Status.PRECISION
        assert res.nit < 2000
        assert res.relative_residual < 1e-5

    @pytest.mark.parametrize("omega", [None, 1.5])
    def test_zero_right_hand_side(self, omega):
        res = cg(poisson(3), np.zeros(9), np.ones(9), ssor_omega=omega)
        assert res.success
        assert not res.x.any()

    @pytest.mark.parametrize("omega", [None, 1.5])
    def test_start_at_the_solution(self, omega):
        A, b = poisson(5), rhs(25)
        x = np.linalg.solve(A.toarray(), b)
        res = cg(A, b, x, ssor_omega=omega)
        assert res.nit == 0
        assert res.success

    @pytest.mark.parametrize("omega", [None, 1.5])
    @pytest.mark.parametrize("name", ["A", "b", "x0"])
    def test_nan_that_was_let_in(self, omega, name):
        arguments = {"A": poisson(5), "b": rhs(25), "x0": rhs(25, 1)}
        (arguments["A"].data if name == "A" else arguments[name])[3] = np.nan
        res = cg(**arguments, ssor_omega=omega, check_finite=False, assume_symmetric=True)
        assert not res.success
        assert res.status in (Status.NONFINITE, Status.INDEFINITE)

    @pytest.mark.parametrize("omega", [None, 1.5])
    def test_the_answer_counts_more_than_the_clock(self, omega):
        # The limit has passed when the first iteration, which solves the system, is done.
        res = cg(np.eye(4), np.ones(4), ssor_omega=omega, time_limit=0.0)
        assert res.success

    @pytest.mark.parametrize("omega", [None, 1.5])
    def test_zero_right_hand_side_has_a_history(self, omega):
        assert cg(poisson(3), np.zeros(9), ssor_omega=omega, history=True).history == {}


class TestBadInput:
    def test_unsymmetric(self):
        A = poisson(4).toarray()
        A[0, 1] = 0.5
        with pytest.raises(ValueError, match="`A` must be symmetric"):
            cg(A, np.ones(16), ssor_omega=1.0)
        cg(A, np.ones(16), ssor_omega=1.0, assume_symmetric=True)

    def test_two_preconditioners(self):
        with pytest.raises(ValueError, match="`M` and `ssor_omega`"):
            cg(poisson(3), np.ones(9), M=np.eye(9), ssor_omega=1.0)

    def test_operators_have_no_rows(self):
        with pytest.raises(TypeError, match="LinearOperator"):
            cg(spla.aslinearoperator(poisson(3)), np.ones(9), ssor_omega=1.0)

    @pytest.mark.parametrize(
        ("option", "value", "error"),
        [
            ("ssor_omega", 2.0, ValueError),
            ("ssor_omega", "best", TypeError),
            ("check", "often", ValueError),
            ("check", 0, ValueError),
            ("M", np.eye(4), ValueError),
            ("M", 3, TypeError),
            ("rtol", -1, ValueError),
            ("maxiter", -1, ValueError),
            ("ordering", "random", ValueError),
        ],
    )
    def test_options(self, option, value, error):
        with pytest.raises(error, match=r"omega|check|`M`|rtol|maxiter|ordering"):
            cg(poisson(3), np.ones(9), **{option: value})


def test_sparse_of_another_index_type():
    A = poisson(10)
    B = sp.csr_array(A)
    B.indices, B.indptr = B.indices.astype(np.int64), B.indptr.astype(np.int64)
    b = rhs(100)
    np.testing.assert_array_equal(cg(A, b, ssor_omega=1.5).x, cg(B, b, ssor_omega=1.5).x)
