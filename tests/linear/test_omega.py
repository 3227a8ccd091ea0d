import math
import warnings

import numpy as np
import pytest
import scipy.linalg as la
import scipy.sparse as sp

from numopt.linear import Stencil, axelsson_bound, near_asymptotic_bound, optimal_omega, young_rate
from numopt.linear import _omega as module
from numopt.problems import LinearSystem, SystemSequence

METHODS = ["lanczos", "power", "young"]
RTOL = 1e-8


def poisson_beta(m):
    return math.cos(math.pi / (m + 1))


def poisson_omega(m):
    return 2.0 / (1.0 + math.sin(math.pi / (m + 1)))


def iteration_matrix(A, omega):
    """The matrix that SOR's residuals are multiplied with."""
    M = np.diag(np.diag(A)) / omega + np.tril(A, -1)
    return np.eye(len(A)) - A @ np.linalg.inv(M)


def radius(C):
    return np.abs(np.linalg.eigvals(C)).max()


def sor_count(A, b, omega):
    C = iteration_matrix(A, omega)
    r, target = b, RTOL * np.linalg.norm(b)
    for k in range(1, 10000):
        r = C @ r
        if np.linalg.norm(r) < target:
            return k
    raise AssertionError("SOR does not converge")


def ssor_cg_count(A, b, omega):
    D, L = np.diag(np.diag(A)), np.tril(A, -1)
    factor = la.cho_factor((D + omega * L) @ np.linalg.inv(D) @ (D + omega * L).T / (omega * (2.0 - omega)))
    x, r = np.zeros_like(b), b.copy()
    target = RTOL * np.linalg.norm(b)
    p = z = la.cho_solve(factor, r)
    for k in range(1, 1000):
        q = A @ p
        step = (r @ z) / (p @ q)
        x, r_new = x + step * p, r - step * q
        if np.linalg.norm(r_new) <= target:
            return k
        z_new = la.cho_solve(factor, r_new)
        p = z_new + (r_new @ z_new) / (r @ z) * p
        r, z = r_new, z_new
    raise AssertionError("CG does not converge")


def consistently_ordered(seed, blocks=(7, 5, 9, 6)):
    """A random block tridiagonal SPD matrix with diagonal blocks that are diagonal."""
    rng = np.random.default_rng(seed)
    n = sum(blocks)
    A = np.zeros((n, n))
    ends = np.cumsum(blocks)
    for i in range(1, len(blocks)):
        rows, columns = slice(ends[i - 1], ends[i]), slice(ends[i - 1] - blocks[i - 1], ends[i - 1])
        A[rows, columns] = rng.standard_normal((blocks[i], blocks[i - 1]))
    A += A.T
    scale = rng.uniform(0.5, 3.0, n)
    A *= np.outer(scale, scale)
    A += np.diag(1.05 * np.abs(A).sum(axis=1))
    return A


# Young's formula


@pytest.mark.parametrize("m", [4, 7])
def test_rate_is_the_spectral_radius_on_poisson(m):
    A = LinearSystem.poisson(m).A.toarray()
    for omega in [0.3, 0.8, 1.0, 1.1, 1.3, 1.6, 1.9]:
        # At omega <= omega* the dominant eigenvalue is simple: dense eigenvalues are accurate.
        assert young_rate(omega, poisson_beta(m)) == pytest.approx(radius(iteration_matrix(A, omega)), abs=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_rate_is_the_spectral_radius_with_a_varying_diagonal(seed):
    A = consistently_ordered(seed)
    D = np.diag(np.diag(A))
    beta = radius(np.eye(len(A)) - np.linalg.inv(D) @ A)
    best = optimal_omega(A)
    assert best == pytest.approx(1 + (beta / (1 + math.sqrt(1 - beta**2))) ** 2, abs=1e-10)
    # Below omega*; above it all eigenvalues have one modulus, and multiple ones are found to 1e-8 only.
    for omega in (1.0, 0.5 * (1.0 + best)):
        assert young_rate(omega, beta) == pytest.approx(radius(iteration_matrix(A, omega)), abs=1e-10)
    assert young_rate(1.7, beta) == pytest.approx(radius(iteration_matrix(A, 1.7)), abs=1e-5)


def test_rate_is_smallest_at_the_optimal_parameter():
    for beta in (0.1, 0.9, 0.999, 1.0 - 1e-9):
        best = 2.0 / (1.0 + math.sqrt((1.0 - beta) * (1.0 + beta)))
        assert young_rate(best, beta) == pytest.approx(best - 1.0, rel=1e-14)
        for step in (1e-3, 1e-6, 1e-12):
            inside = min(best + step, 2.0 - 1e-15)
            assert young_rate(best - step, beta) >= best - 1.0
            assert young_rate(inside, beta) == inside - 1.0


def test_rate_has_no_rounding_errors_of_a_square_root():
    beta = 0.95
    best = 2.0 / (1.0 + math.sqrt(1.0 - beta**2))
    step = 1e-13
    # By the expansion rho = omega* - 1 + slope sqrt(step).
    slope = math.sqrt(2.0 * (1.0 + math.sqrt(1.0 - beta**2)) - beta**2 * best) * best * beta / 2.0
    assert young_rate(best - step, beta) - (best - 1.0) == pytest.approx(slope * math.sqrt(step), rel=1e-3)


def test_rate_broadcasts_and_keeps_the_library(xp):
    omega, beta = xp.asarray([1.0, 1.5, 1.9]), xp.asarray([[0.5], [0.9]])
    rates = young_rate(omega, beta)
    assert rates.shape == (2, 3)
    assert type(rates) is type(omega)
    expected = [[young_rate(o, b) for o in (1.0, 1.5, 1.9)] for b in (0.5, 0.9)]
    assert all(isinstance(value, float) for row in expected for value in row)
    np.testing.assert_allclose(np.asarray(rates.tolist() if hasattr(rates, "tolist") else rates), expected, rtol=1e-14)


@pytest.mark.parametrize("omega", [0.0, 2.0, -1.0, math.nan, [1.0, 2.5]])
def test_rate_refuses_parameters_outside_the_interval(omega):
    with pytest.raises(ValueError, match=r"`omega` must be in \(0, 2\)"):
        young_rate(omega, 0.5)


@pytest.mark.parametrize("beta", [1.0, -0.1, math.nan])
def test_rate_refuses_other_radii(beta):
    with pytest.raises(ValueError, match=r"`beta` must be in \[0, 1\)"):
        young_rate(1.5, beta)


def test_rate_refuses_complex_numbers():
    with pytest.raises(TypeError, match="must be real"):
        young_rate(1.5 + 0.0j, 0.5)


# the optimal parameter


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("m", [1, 2, 10, 31])
def test_optimal_parameter_of_poisson(method, m):
    found, exact = optimal_omega(LinearSystem.poisson(m).A, method), poisson_omega(m)
    if method == "power":
        # The larger end: never too small, off by at most 1e-3 in 2 - omega.
        assert exact * (1.0 - 1e-14) <= found <= exact + 1e-3 * (2.0 - exact)
    else:
        assert found == pytest.approx(exact, abs=1e-10)


def test_lanczos_is_accurate_on_a_fine_grid():
    assert optimal_omega(LinearSystem.poisson(150).A) == pytest.approx(poisson_omega(150), abs=1e-12)


def test_three_dimensions_and_stencils():
    exact = poisson_omega(6)
    assert optimal_omega(LinearSystem.poisson(6, 3).A) == pytest.approx(exact, abs=1e-10)
    assert optimal_omega(Stencil((6, 6), (4.0, -1.0, -1.0, -1.0, -1.0))) == pytest.approx(exact, abs=1e-10)


def test_sparse_dense_and_lists_agree():
    A = LinearSystem.poisson(5).A
    exact = poisson_omega(5)
    unsorted = sp.coo_array((np.repeat(A.data / 2, 2), (np.repeat(A.tocoo().row, 2), np.repeat(A.indices, 2))), A.shape)
    for form in (A.tocsc(), A.tocoo(), unsorted, sp.csr_matrix(A), A.toarray(), A.toarray().tolist(), A.astype(int)):
        assert optimal_omega(form) == pytest.approx(exact, abs=1e-10)


def test_array_libraries_agree(xp):
    dense = xp.asarray(LinearSystem.poisson(5).A.toarray())
    for method in METHODS:
        assert optimal_omega(dense, method) == pytest.approx(poisson_omega(5), abs=1e-3)


def test_single_precision_matrices_are_taken_in_double():
    A = LinearSystem.poisson(9).A.astype(np.float32)
    assert optimal_omega(A) == pytest.approx(poisson_omega(9), abs=1e-10)
    A.data[1] = np.nextafter(A.data[1], np.float32(0))  # rounding is no asymmetry
    assert optimal_omega(A) == pytest.approx(poisson_omega(9), abs=1e-6)


def test_hermitian_matrices_have_the_parameter_of_their_real_equivalents():
    A = LinearSystem.poisson(6).A
    phases = np.exp(1j * np.random.default_rng(0).uniform(0, 6, A.shape[0]))
    turned = sp.csr_array(sp.diags_array(phases) @ A @ sp.diags_array(phases.conj()))
    turned = (turned + turned.conj().T) * 0.5
    for method in METHODS:
        assert optimal_omega(turned, method) == pytest.approx(optimal_omega(A, method), abs=1e-3)
    assert optimal_omega(turned) == pytest.approx(poisson_omega(6), abs=1e-10)


def test_negative_definite_matrices_are_taken_as_their_negatives():
    A = LinearSystem.poisson(6).A
    assert optimal_omega(-A) == pytest.approx(poisson_omega(6), abs=1e-10)
    assert optimal_omega(-A, context=-1.0) == pytest.approx(optimal_omega(A, context=1.0), abs=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_context_shifts_the_diagonal(method):
    A = LinearSystem.poisson(8).A
    shifts = np.array([-0.1, 0.0, 0.3, 2.0])
    exact = [2 / (1 + math.sqrt(1 - (4 * poisson_beta(8) / (4 + c)) ** 2)) for c in shifts]
    tolerance = 1e-3 if method == "power" else 1e-10
    together = optimal_omega(A, method, shifts)
    assert isinstance(together, np.ndarray)
    np.testing.assert_allclose(together, exact, atol=tolerance)
    alone = [optimal_omega(A, method, float(c)) for c in shifts]
    assert all(isinstance(omega, float) for omega in alone)
    np.testing.assert_allclose(alone, exact, atol=tolerance)


def test_context_shifts_a_varying_diagonal():
    A = consistently_ordered(4)
    found = optimal_omega(A, context=[0.0, 1.5])
    np.testing.assert_allclose(found, [optimal_omega(A), optimal_omega(A + 1.5 * np.eye(len(A)))], rtol=1e-10)


def test_parameters_along_a_sequence_come_from_one_radius():
    sequence = SystemSequence.shifted_laplacian(n_steps=5)
    base = LinearSystem.laplacian(12).A
    items = list(sequence)
    contexts = np.array([c for _, _, c in items])
    np.testing.assert_allclose(
        optimal_omega(base, context=contexts), [optimal_omega(A) for A, _, _ in items], atol=1e-9
    )


def test_diagonal_matrices_need_no_relaxation():
    for method in METHODS:
        assert optimal_omega(np.diag([1.0, 2.0, 3.0]), method) == 1.0
        assert optimal_omega(np.array([[2.0]]), method) == 1.0


# what the theory does not cover


def test_matrices_that_are_not_definite_are_refused():
    A = LinearSystem.poisson(6).A
    for method in METHODS:
        with pytest.raises(ValueError, match=r"`A` is not definite: its Jacobi matrix has spectral radius 1\.\d+ >= 1"):
            optimal_omega(A - 0.5 * sp.eye_array(36), method)
    with pytest.raises(ValueError, match=r"`A` \+ -0\.5 I is not definite"):
        optimal_omega(A, context=[0.0, -0.5])
    with pytest.raises(ValueError, match=r"zero or of both signs \(row 1: -1\)"):
        optimal_omega(np.diag([1.0, -1.0]))
    with pytest.raises(ValueError, match=r"zero or of both signs \(row 0: 0\)"):
        optimal_omega(np.diag([0.0, 1.0]))
    with pytest.raises(ValueError, match="zero or of both signs"):
        optimal_omega(A, context=-4.0)


def test_odd_cycles_are_refused_in_any_order():
    nine_point = sp.kron(A_1d(5), sp.eye_array(5)) + sp.kron(sp.eye_array(5), A_1d(5)) + sp.kron(A_1d(5), A_1d(5))
    for ordering in ("natural", "red-black"):
        with pytest.raises(ValueError, match=r"not consistently ordered in any order.*odd length"):
            optimal_omega(nine_point, ordering=ordering)


def A_1d(n):
    return sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n))


def test_two_colours_make_any_order_consistent():
    A = LinearSystem.poisson(6).A
    order = np.random.default_rng(1).permutation(36)
    shuffled = A[order][:, order]
    with pytest.raises(ValueError, match=r"not consistently ordered \(row \d+ does not fit\).*ordering='red-black'"):
        optimal_omega(shuffled)
    assert optimal_omega(shuffled, ordering="red-black") == pytest.approx(poisson_omega(6), abs=1e-10)
    colours = np.add.outer(np.arange(6), np.arange(6)).ravel() % 2
    order = np.argsort(colours, kind="stable")
    assert optimal_omega(A[order][:, order]) == pytest.approx(poisson_omega(6), abs=1e-10)


def test_ordering_is_found_over_long_paths_and_many_components():
    line = sp.csr_array(A_1d(20_000))
    module._check_ordering(line, "natural")
    module._check_ordering(line[::-1][:, ::-1], "natural")
    blocks = sp.block_diag([A_1d(3), np.eye(2), LinearSystem.poisson(3).A, A_1d(1)], format="csr")
    module._check_ordering(blocks, "natural")
    ring = sp.csr_array(np.roll(np.eye(6), 1, axis=0) + np.roll(np.eye(6), -1, axis=0))
    with pytest.raises(ValueError, match="does not fit"):
        module._check_ordering(ring, "natural")
    module._check_ordering(ring, "red-black")


def test_stored_zeros_are_no_edges():
    A = sp.csr_array(LinearSystem.poisson(4).A.toarray())
    A.data[np.abs(A.data) == 1] = 0.0
    assert optimal_omega(A) == 1.0


def test_asymmetric_matrices_are_refused():
    A = LinearSystem.poisson(4).A.copy()
    A.data[1] = -1.1
    with pytest.raises(ValueError, match=r"`A` must be symmetric \(Hermitian\): an entry differs .* by 0\.1"):
        optimal_omega(A)


@pytest.mark.parametrize(
    ("A", "error", "message"),
    [
        (np.ones((2, 3)), ValueError, r"`A` must be square with at least one row, got shape \(2, 3\)"),
        (np.ones((0, 0)), ValueError, "at least one row"),
        (np.ones(4), ValueError, "must be square"),
        (np.diag([1.0, np.nan]), ValueError, "`A` must be finite"),
        (sp.linalg.aslinearoperator(np.eye(3)), TypeError, "got a LinearOperator"),
    ],
)
def test_other_input_is_refused(A, error, message):
    with pytest.raises(error, match=message):
        optimal_omega(A)


def test_options_are_checked():
    A = LinearSystem.poisson(3).A
    with pytest.raises(ValueError, match=r"`method` must be .* got 'arnoldi'"):
        optimal_omega(A, "arnoldi")
    with pytest.raises(ValueError, match=r"`ordering` must be .* got 'line'"):
        optimal_omega(A, ordering="line")
    for context in (np.nan, np.ones((2, 2))):
        with pytest.raises(ValueError, match="`context` must be a finite float or a 1-D array"):
            optimal_omega(A, context=context)


def test_dense_eigenvalues_have_a_limit(monkeypatch):
    monkeypatch.setattr(module, "_DENSE_LIMIT", 8)
    with pytest.raises(ValueError, match="takes up to 8 rows, and `A` has 9; use 'lanczos'"):
        optimal_omega(LinearSystem.poisson(3).A, "young")


@pytest.mark.parametrize(("method", "limit"), [("lanczos", "_LANCZOS_LIMIT"), ("power", "_POWER_LIMIT")])
def test_iterations_that_end_early_warn(monkeypatch, method, limit):
    monkeypatch.setattr(module, limit, 20)
    with pytest.warns(RuntimeWarning, match="not found within the limit on products") as caught:
        omega = optimal_omega(LinearSystem.poisson(25).A, method)
    assert 1.0 < omega < 2.0
    assert caught[0].filename == __file__


# bounds


def test_near_asymptotic_bound_holds_where_its_condition_does():
    system = LinearSystem.laplacian(8)
    A = system.A.toarray()
    beta = poisson_beta(6)
    omegas = np.array([1.0, 1.2, 1.4, 1.6, 1.8])
    counts = np.array([sor_count(A, system.b, omega) for omega in omegas])
    rhos = young_rate(omegas, beta)
    # tau as the paper finds it, at the last iteration before the residual is small enough.
    norms = [
        np.linalg.norm(np.linalg.matrix_power(iteration_matrix(A, omega), k - 1), 2) ** (1 / (k - 1))
        for omega, k in zip(omegas, counts, strict=True)
    ]
    tau = float(np.max((norms - rhos) / (1.0 - rhos)))
    bounds = near_asymptotic_bound(omegas, rhos, tau, RTOL)
    assert np.all(bounds >= counts)
    assert omegas[np.argmin(bounds)] == omegas[np.argmin(counts)]
    np.testing.assert_array_equal(bounds, near_asymptotic_bound(omegas, lambda w: young_rate(w, beta), tau, RTOL))


def test_near_asymptotic_bound_at_its_ends():
    assert near_asymptotic_bound(1.0, 0.0, 0.0, 1e-8) == pytest.approx(1.0, abs=0.1)
    assert near_asymptotic_bound(1.0, 1.0, 0.5, 1e-8) == math.inf
    assert near_asymptotic_bound(1.0, 0.1, 0.0, 1e-8) == pytest.approx(9.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bounds = near_asymptotic_bound(np.array([1.0, 1.5]), np.array([0.0, 1.2]), 0.0, 1e-8)
    assert bounds[1] == math.inf


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2.0, 0.5, 0.0, 1e-8), "`omega` must be"),
        ((1.0, -0.5, 0.0, 1e-8), "`rho` must not be negative"),
        ((1.0, 0.5, 1.0, 1e-8), r"`tau` must be in \[0, 1\)"),
        ((1.0, 0.5, 0.0, 0.0), r"`rtol` must be in \(0, 1\), got 0"),
        ((1.0, 0.5, 0.0, 1.0), "`rtol` must be"),
    ],
)
def test_near_asymptotic_bound_checks_its_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        near_asymptotic_bound(*arguments)


@pytest.mark.parametrize("domain", ["square", "L"])
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_axelsson_bound_is_above_the_count(domain, shift):
    system = LinearSystem.laplacian(12, domain, shift=shift)
    omegas = np.linspace(2 * math.sqrt(2) - 2, 1.9, 6)
    bounds = axelsson_bound(omegas, system.A, rtol=RTOL)
    counts = [ssor_cg_count(system.A.toarray(), system.b, omega) for omega in omegas]
    assert np.all(bounds >= counts)
    assert np.all(bounds <= 3.0 * np.array(counts))


def test_axelsson_bound_contains_the_condition_number_of_the_preconditioned_matrix():
    A = LinearSystem.laplacian(9, "L", shift=0.2).A
    dense = A.toarray()
    D, L = np.diag(np.diag(dense)), np.tril(dense, -1)
    a, b, kappa = module._axelsson_constants(A)
    values = np.linalg.eigvalsh(dense)
    assert kappa == pytest.approx(values[-1] / values[0])
    for omega in (0.9, 1.3, 1.8):
        M = (D + omega * L) @ np.linalg.inv(D) @ (D + omega * L).T / (omega * (2 - omega))
        spectrum = la.eigh(dense, M, eigvals_only=True)
        q = (2 - omega) / (1 + a * (2 - omega) ** 2 / (4 * omega) + b * omega)
        assert spectrum[-1] / spectrum[0] <= (1 + 1e-12) / q
        # Written as in the theorem.
        factor = 1 - 2 / (1 + 1 / math.sqrt(q))
        start = math.log(math.sqrt(kappa) / RTOL + math.sqrt(kappa / RTOL**2 - 1))
        assert axelsson_bound(omega, a=a, b=b, kappa=kappa, rtol=RTOL) == pytest.approx(1 - start / math.log(factor))


def test_axelsson_constants_of_large_matrices_agree(monkeypatch):
    A = LinearSystem.laplacian(20, "L").A
    dense = module._axelsson_constants(A)
    monkeypatch.setattr(module, "_BOUND_DENSE_LIMIT", 10)
    a, b, kappa = module._axelsson_constants(A)
    assert a == pytest.approx(dense[0], rel=1e-3)
    assert b == pytest.approx(dense[1], abs=1e-3)
    assert kappa == pytest.approx(dense[2], rel=1e-2)


def test_axelsson_bound_of_a_diagonal_matrix_is_one_iteration():
    assert axelsson_bound(1.0, np.eye(3), rtol=RTOL) == pytest.approx(1.0, abs=0.1)


def test_given_constants_replace_those_of_the_matrix():
    A = LinearSystem.poisson(5).A
    a, b, kappa = module._axelsson_constants(A)
    whole = axelsson_bound(1.3, A, rtol=RTOL)
    assert axelsson_bound(1.3, a=a, b=b, kappa=kappa, rtol=RTOL) == whole
    assert axelsson_bound(1.3, A, kappa=4 * kappa, rtol=RTOL) > whole


@pytest.mark.parametrize("dense_limit", [10_000, 1])
def test_axelsson_bound_refuses_other_matrices(monkeypatch, dense_limit):
    monkeypatch.setattr(module, "_BOUND_DENSE_LIMIT", dense_limit)
    A = LinearSystem.poisson(5).A
    with pytest.raises(ValueError, match="`A` is not positive definite"):
        axelsson_bound(1.0, A - sp.eye_array(25), rtol=RTOL)
    with pytest.raises(ValueError, match="diagonal entry 0 is not positive"):
        axelsson_bound(1.0, -A, rtol=RTOL)
    with pytest.raises(ValueError, match="must be symmetric"):
        axelsson_bound(1.0, A + sp.eye_array(25, k=1), rtol=RTOL)


def test_axelsson_bound_checks_its_arguments():
    with pytest.raises(ValueError, match="`A` must be given where `b`, `kappa` are not"):
        axelsson_bound(1.0, a=1.0, rtol=RTOL)
    with pytest.raises(ValueError, match="`kappa` must be finite and at least 1"):
        axelsson_bound(1.0, a=1.0, b=0.0, kappa=0.5, rtol=RTOL)
    with pytest.raises(ValueError, match="`omega` must be"):
        axelsson_bound(2.0, a=1.0, b=0.0, kappa=5.0, rtol=RTOL)
    with pytest.raises(ValueError, match="`rtol` must be"):
        axelsson_bound(1.0, a=1.0, b=0.0, kappa=5.0, rtol=2.0)
