"""SOR and SSOR: iterates by the definition, orderings, statuses, options, bad input."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from numopt import Status
from numopt.linear import Stencil, cg, optimal_omega, sor, ssor
from tests.helpers.xp import make, to_numpy
from tests.linear.matrices import poisson, random_spd, sor_path

POINTS = ["natural", "red-black", "multicolor"]


def rhs(n, seed=0):
    return np.random.default_rng(seed).standard_normal(n)


@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128", "complex64"])
def test_solves_dense_systems_in_every_library(xp, dtype):
    A = random_spd(25, dtype=complex if dtype.startswith("complex") else float).toarray()
    b = rhs(25) + (1j * rhs(25, 1) if dtype.startswith("complex") else 0)
    res = sor(make(xp, A, dtype), make(xp, b, dtype), omega=1.1)
    assert res.success
    assert res.status is Status.CONVERGED
    assert res.x.dtype == getattr(xp, dtype)
    rtol = 1e-8 if dtype in ("float64", "complex128") else 1e-4
    residual = np.linalg.norm(A @ to_numpy(res.x) - b)
    eps = np.finfo(dtype).eps
    assert residual <= rtol * np.linalg.norm(b) + 100 * eps * np.linalg.norm(b)
    assert res.residual_norm == pytest.approx(residual, abs=100 * eps * np.linalg.norm(b))
    assert f"Converged after {res.nit} sweep" in res.message


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil"])
def test_sparse_formats_give_the_same_bits(form, index):
    A = random_spd(30)
    expected = sor(A, rhs(30))
    B = A.asformat(form)
    if form in ("csr", "csc"):
        B.indices, B.indptr = B.indices.astype(index), B.indptr.astype(index)
    found = sor(B, rhs(30))
    np.testing.assert_array_equal(found.x, expected.x)
    assert found.nit == expected.nit


@pytest.mark.parametrize("omega", [0.5, 1.0, 1.5])
def test_iterates_are_those_of_the_definition(omega):
    A, b = poisson(4).toarray(), rhs(16)
    path = sor_path(A, b, omega, 7)
    seen = []
    res = sor(sp.csr_array(A), b, omega=omega, maxiter=7, callback=lambda x: seen.append(x))
    seen.append(res.x)
    assert len(seen) == 8
    np.testing.assert_allclose(seen, path, atol=1e-13)


def test_sweep_of_an_unsymmetric_matrix():
    # Unequal neighbours and rows that touch the diagonal on one side alone.
    A = np.array([[4.0, 1.0, 0.0], [0.5, 3.0, -1.0], [2.0, 0.0, 5.0]])
    b = np.array([1.0, 2.0, 3.0])
    res = sor(A, b, omega=1.1, maxiter=3, callback=lambda x: None)
    np.testing.assert_allclose(res.x, sor_path(A, b, 1.1, 3)[-1], atol=1e-14)


def test_backward_sweeps_are_forward_sweeps_of_the_reversed_system():
    A, b = random_spd(20), rhs(20)
    back = sor(A, b, omega=1.2, sweep="backward")
    turned = sor(A[::-1][:, ::-1], b[::-1], omega=1.2)
    assert back.nit == turned.nit
    np.testing.assert_allclose(back.x, turned.x[::-1], atol=1e-12)


def test_lagged_and_exact_residuals_count_the_same():
    A, b = poisson(12), rhs(144)
    lagged, exact = (sor(A, b, omega=1.6, check=check, history=True) for check in ("lagged", "exact"))
    assert lagged.nit == exact.nit
    common = len(exact.history["residual"])
    np.testing.assert_allclose(lagged.history["residual"][:common], exact.history["residual"], rtol=1e-6, atol=1e-12)


def test_check_every_few_sweeps_may_end_later():
    A, b = poisson(12), rhs(144)
    every = sor(A, b, omega=1.6, check=10)
    assert every.nit % 10 == 0
    assert 0 <= every.nit - sor(A, b, omega=1.6).nit < 10


@pytest.mark.parametrize("ordering", POINTS)
def test_orderings_solve_the_same_system(ordering):
    A, b = poisson(9, 7), rhs(63)
    res = sor(A, b, omega=1.5, ordering=ordering, rtol=1e-11)
    np.testing.assert_allclose(res.x, np.linalg.solve(A.toarray(), b), atol=1e-9)


def test_red_black_is_the_natural_order_of_the_permuted_system():
    A, b = poisson(6), rhs(36)
    colours = np.add.outer(np.arange(6), np.arange(6)).ravel() % 2
    order = np.argsort(colours, kind="stable")
    inner = sor(A[order][:, order], b[order], omega=1.4)
    for ordering in ("red-black", colours):
        outer = sor(A, b, omega=1.4, ordering=ordering)
        assert outer.nit == inner.nit
        np.testing.assert_allclose(outer.x[order], inner.x, atol=1e-12)


@pytest.mark.parametrize(
    ("ordering", "size"), [("block", 5), ("red-black", 6), ("multicolor", 4), ("line", 6), ("zebra", 6)]
)
def test_blocks_and_lines_solve_the_same_system(ordering, size):
    A, b = poisson(6, 5), rhs(30)
    res = sor(A, b, omega=1.3, ordering=ordering, block_size=size, rtol=1e-11)
    assert res.success
    np.testing.assert_allclose(res.x, np.linalg.solve(A.toarray(), b), atol=1e-9)


def test_lines_are_blocks():
    A, b = poisson(6, 5), rhs(30)
    block, line = (sor(A, b, omega=1.3, ordering=ordering, block_size=6) for ordering in ("block", "line"))
    assert block.nit == line.nit
    np.testing.assert_allclose(block.x, line.x, atol=1e-10)


def test_one_block_is_a_direct_solve():
    A, b = random_spd(12), rhs(12)
    res = sor(A, b, ordering="block", block_size=12)
    assert res.nit == 1


@pytest.mark.parametrize("ordering", ["natural", "red-black"])
@pytest.mark.parametrize("shape", [(7, 9), (3, 4, 5)])
@pytest.mark.parametrize("sweep", ["forward", "backward", "symmetric"])
def test_stencils_are_their_matrices(ordering, shape, sweep):
    A = Stencil(shape, (4.0, -1.0, -0.9, -1.0, -0.8) if len(shape) == 2 else (6.5, -1.0, -0.9, -1.1, -1.0, -0.8, -1.0))
    b = rhs(A.shape[0])
    options = {"omega": 1.2, "ordering": ordering, "sweep": sweep}
    assert sor(A, b, **options).nit == sor(A.tocsr(), b, **options).nit
    matrix, free = (sor(M, b, **options, check="exact") for M in (A.tocsr(), A))
    assert free.nit == matrix.nit
    np.testing.assert_allclose(free.x, matrix.x, atol=1e-12)


@pytest.mark.parametrize("ordering", POINTS)
def test_ssor_is_sor_in_both_directions(xp, ordering):
    A, b = poisson(5).toarray(), rhs(25)
    dense = make(xp, A), make(xp, b)
    once = ssor(*dense, omega=1.3, ordering=ordering)
    other = sor(*dense, omega=1.3, ordering=ordering, sweep="symmetric", check="exact")
    assert once.success
    assert once.nit == other.nit
    np.testing.assert_allclose(to_numpy(once.x), to_numpy(other.x), atol=1e-7)


def test_ssor_starts_anywhere(xp):
    A, b, x0 = poisson(5).toarray(), rhs(25), rhs(25, 1)
    res = ssor(make(xp, A), make(xp, b), make(xp, x0), omega=1.3, rtol=1e-11)
    assert res.success
    np.testing.assert_allclose(to_numpy(res.x), np.linalg.solve(A, b), atol=1e-9)


@pytest.mark.parametrize("omega", [1.0, 1.8])
def test_chebyshev_needs_about_the_root_of_the_iterations(omega):
    A, b = poisson(40), np.ones(1600)
    plain, fast = (ssor(A, b, omega=omega, chebyshev=chebyshev) for chebyshev in (False, True))
    assert plain.success
    assert fast.success
    assert fast.nit <= 4 * np.sqrt(plain.nit) + 30
    assert 0 < fast.spectral_radius < 1


def test_observed_rate_is_youngs():
    A = poisson(20)
    omega = 1.8  # above the optimum: the rate is omega - 1
    res = sor(A, rhs(400), omega=omega, history=True, rtol=1e-12)
    r = res.history["residual"]
    rate = (r[-1] / r[-61]) ** (1 / 60)
    assert rate == pytest.approx(omega - 1, abs=0.02)


def test_optimal_omega_is_hard_to_beat():
    A, b = poisson(20), rhs(400)
    best = sor(A, b, omega=optimal_omega(A)).nit
    counts = [sor(A, b, omega=omega).nit for omega in np.arange(1.0, 1.99, 0.03)]
    assert best <= 1.1 * min(counts)


def test_warm_start_from_the_solution_ends_at_once():
    A, b = poisson(6), rhs(36)
    x = sor(A, b, rtol=1e-12).x
    again = sor(A, b, x, omega=1.2)
    assert again.nit == 0
    np.testing.assert_allclose(again.x, x, atol=1e-10)


def test_zero_right_hand_side():
    res = sor(poisson(3), np.zeros(9), np.ones(9))
    assert res.success
    assert res.nit == 0
    assert not res.x.any()


def test_arguments_are_not_modified():
    A, b, x0 = poisson(5), rhs(25), rhs(25, 1)
    copies = A.copy(), b.copy(), x0.copy()
    sor(A, b, x0)
    ssor(A, b, x0)
    assert abs(A - copies[0]).max() == 0
    np.testing.assert_array_equal(b, copies[1])
    np.testing.assert_array_equal(x0, copies[2])


@pytest.mark.parametrize("solve", [sor, ssor, lambda A, b, x0: cg(A, b, x0, ssor_omega=1.2, rtol=1e-8)])
def test_views_and_locked_arrays(solve):
    A, b, x0 = poisson(5), np.repeat(rhs(25), 2)[::2], np.repeat(rhs(25, 1), 2)[::2]
    expected = solve(A, b.copy(), x0.copy())
    for array in (A.data, A.indices, A.indptr, b, x0):
        array.flags.writeable = False
    np.testing.assert_array_equal(solve(A, b, x0).x, expected.x)


def test_batches_leave_their_arguments_alone():
    b, x0 = np.ones((2, 25)), np.zeros((2, 25))
    sor(poisson(5), b, x0)
    assert not x0.any()
    assert np.all(b == 1)


def test_unsorted_and_duplicate_entries_are_made_canonical():
    A = poisson(4)
    rng = np.random.default_rng(0)
    indices, data = A.indices.copy(), A.data.copy()
    for i in range(16):
        shuffle = A.indptr[i] + rng.permutation(A.indptr[i + 1] - A.indptr[i])
        indices[A.indptr[i] : A.indptr[i + 1]] = A.indices[shuffle]
        data[A.indptr[i] : A.indptr[i + 1]] = A.data[shuffle]
    shuffled = sp.csr_array((data, indices, A.indptr), shape=A.shape)
    rows, columns = A.nonzero()
    doubled = sp.coo_array((np.tile(A.data / 2, 2), (np.tile(rows, 2), np.tile(columns, 2))), shape=A.shape)
    expected = sor(A, rhs(16))
    for other in (shuffled, doubled):
        before = other.data.copy()
        np.testing.assert_array_equal(sor(other, rhs(16)).x, expected.x)
        np.testing.assert_array_equal(other.data, before)


def test_a_changed_pattern_is_noticed():
    b = rhs(16)
    A = poisson(4)
    for matrix in (A, A + sp.csr_array(([1.0, 1.0], ([0, 15], [15, 0])), shape=A.shape), A):
        for ordering in ("natural", "multicolor"):
            res = sor(matrix, b, ordering=ordering, rtol=1e-11)
            np.testing.assert_allclose(res.x, np.linalg.solve(matrix.toarray(), b), atol=1e-9)


def test_one_unknown():
    res = sor(np.array([[2.0]]), np.array([3.0]))
    assert res.x[0] == 1.5


class TestStatuses:
    def test_maxiter_returns_what_there_is(self):
        A, b = poisson(10), rhs(100)
        res = sor(A, b, maxiter=5)
        assert res.status is Status.MAXITER
        assert not res.success
        assert res.nit == 5
        assert "raise maxiter" in res.message
        assert res.residual_norm < np.linalg.norm(b)

    def test_no_iterations_at_all(self):
        res = sor(poisson(4), rhs(16), maxiter=0)
        assert res.status is Status.MAXITER
        assert res.nit == 0

    def test_time_limit(self):
        res = sor(poisson(40), rhs(1600), rtol=1e-12, time_limit=0.0)
        assert res.status is Status.TIME_LIMIT

    def test_divergence_returns_the_start(self):
        A, b, x0 = np.array([[1.0, 3.0], [3.0, 1.0]]), np.ones(2), np.array([0.2, 0.2])
        for check in ("lagged", "exact"):
            res = sor(A, b, x0, check=check)
            assert res.status is Status.DIVERGED
            np.testing.assert_array_equal(res.x, x0)
            assert "diagonally dominant" in res.message

    def test_overflow_is_divergence(self):
        res = sor(np.array([[1e-160, 1.0], [1.0, 1e-160]]), np.ones(2))
        assert res.status is Status.DIVERGED
        assert np.isfinite(res.x).all()

    @pytest.mark.parametrize("check", ["lagged", "exact"])
    def test_rounding_level_of_single_precision(self, check):
        A, b = poisson(10).astype(np.float32), rhs(100).astype(np.float32)
        res = sor(A, b, omega=1.5, rtol=1e-10, check=check)
        assert res.status is Status.PRECISION
        assert res.nit < 2000
        assert res.relative_residual < 1e-5
        assert "float64" in res.message

    def test_a_stalled_iteration_is_not_rounding(self):
        # Singular and inconsistent: the residual settles at what no x can remove.
        A = np.array([[1.0, -1.0], [-1.0, 1.0]])
        res = sor(A, np.array([1.0, 1.0]))
        assert res.status is Status.STALLED
        assert "Krylov" in res.message

    def test_callback_stops(self):
        seen = []

        def third(intermediate_result):
            seen.append(intermediate_result)
            if len(seen) == 3:
                raise StopIteration

        res = sor(poisson(10), rhs(100), callback=third)
        assert res.status is Status.CALLBACK
        assert res.nit == 2
        assert seen[-1].residual_norm == pytest.approx(res.residual_norm)
        np.testing.assert_array_equal(seen[-1].x, res.x)

    def test_nan_that_was_let_in(self):
        b = rhs(16)
        b[3] = np.nan
        res = sor(poisson(4), b, check_finite=False)
        assert res.status is Status.NONFINITE


def test_scipy_pair():
    x, info = sor(poisson(4), rhs(16), return_info=True)
    assert info == 0
    assert x.shape == (16,)
    assert sor(poisson(4), rhs(16), maxiter=1, return_info=True)[1] == 1


def test_history_and_verbose(caplog):
    with caplog.at_level("INFO", logger="numopt"):
        res = sor(poisson(5), rhs(25), history=True, verbose=2)
    assert list(res.history["nit"]) == list(range(res.nit + 1))
    assert res.history["residual"][-1] <= 1e-8 * np.linalg.norm(rhs(25))
    assert "residual" in caplog.text


class TestBadInput:
    @pytest.mark.parametrize("omega", [0.0, -1.0, 2.0, np.nan])
    def test_omega(self, omega):
        with pytest.raises(ValueError, match="`omega` must be"):
            sor(poisson(3), np.ones(9), omega=omega)

    def test_forced_omega(self):
        assert not sor(poisson(3), np.ones(9), omega=2.1, force=True).success

    def test_shapes(self):
        with pytest.raises(ValueError, match=r"`A` must be square, got shape \(2, 3\)"):
            sor(np.ones((2, 3)), np.ones(2))
        with pytest.raises(ValueError, match=r"`b` must have shape \(9,\) as `A` has 9 rows, got \(8,\)"):
            sor(poisson(3), np.ones(8))
        with pytest.raises(ValueError, match="`x0` must have shape"):
            sor(poisson(3), np.ones(9), np.ones(8))

    @pytest.mark.parametrize("solver", [sor, ssor])
    def test_diagonal(self, solver):
        A = poisson(3).tolil()
        A[4, 4] = 0
        with pytest.raises(ValueError, match=r"(zero on the|no) diagonal( entry)? in row 4"):
            solver(A, np.ones(9))
        B = sp.csr_array(A)
        B.eliminate_zeros()
        with pytest.raises(ValueError, match="no diagonal entry in row 4"):
            solver(B, np.ones(9))
        with pytest.raises(ValueError, match="zero on the diagonal in row 4"):
            solver(A.toarray(), np.ones(9))

    @pytest.mark.parametrize("name", ["A", "b", "x0"])
    def test_not_finite(self, name):
        arguments = {"A": poisson(3), "b": np.ones(9), "x0": np.ones(9)}
        array = arguments[name].data if name == "A" else arguments[name]
        array[2] = np.inf
        with pytest.raises(ValueError, match=f"`{name}` must be finite"):
            sor(**arguments)

    def test_kinds(self):
        with pytest.raises(TypeError, match="got a LinearOperator"):
            sor(aslinearoperator(poisson(3)), np.ones(9))
        with pytest.raises(TypeError, match="`A`"):
            sor(np.full((3, 3), None), np.ones(3))
        with pytest.raises(TypeError, match="`b`"):
            sor(poisson(3), None)
        with pytest.raises(TypeError, match="`b` must be a dense array, got a sparse matrix"):
            sor(poisson(3), sp.csr_array(np.ones((9, 1))))

    @pytest.mark.parametrize(
        ("option", "value", "error"),
        [
            ("sweep", "sideways", ValueError),
            ("ordering", "random", ValueError),
            ("ordering", 1.5, TypeError),
            ("ordering", np.zeros(9, dtype=int), ValueError),
            ("ordering", "line", ValueError),
            ("block_size", 0, ValueError),
            ("check", "never", ValueError),
            ("check", 0, ValueError),
            ("rtol", -1, ValueError),
            ("maxiter", 1.5, TypeError),
            ("time_limit", -1, ValueError),
            ("callback", 3, TypeError),
            ("verbose", 3, ValueError),
        ],
    )
    def test_options(self, option, value, error):
        name = "block_size" if isinstance(value, str) and value == "line" else option
        with pytest.raises(error, match=f"`{name}`|colour"):
            sor(poisson(3), np.ones(9), **{option: value})

    def test_red_black_needs_two_colours(self):
        A = np.ones((3, 3)) + 3 * np.eye(3)
        with pytest.raises(ValueError, match="multicolor"):
            sor(A, np.ones(3), ordering="red-black")

    def test_lines_must_be_tridiagonal(self):
        with pytest.raises(ValueError, match="tridiagonal"):
            sor(random_spd(12, density=0.8), np.ones(12), ordering="line", block_size=6)

    def test_integers_become_doubles(self):
        res = sor(np.array([[4, 1], [1, 3]]), [1, 2])
        assert res.x.dtype == np.float64
        assert res.success

    def test_chebyshev_has_no_blocks(self):
        with pytest.raises(ValueError, match="`chebyshev`"):
            ssor(poisson(4), np.ones(16), ordering="block", block_size=4, chebyshev=True)
