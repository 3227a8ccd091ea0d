import itertools
import math
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import cg, spsolve

from numopt.problems import LinearSystem, SystemSequence

RTOL = 1e-8
SEQUENCES = {
    "high": lambda steps: SystemSequence.shifted_laplacian("high", steps, seed=3),
    "low": lambda steps: SystemSequence.shifted_laplacian("low", steps),
    "heat": lambda steps: SystemSequence.heat(13, steps),
    "variable": lambda steps: SystemSequence.variable_heat(12, steps),
    "wind": lambda steps: SystemSequence.convection_diffusion(9, steps, seed=1),
}


def laplacian(m):
    """Minus the five-point Laplacian on m x m points, mesh width 1."""
    line = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(m, m))
    return sp.kron(line, sp.eye_array(m)) + sp.kron(sp.eye_array(m), line)


def sor_count(A, b, omega, limit=10_000):
    dense = A.toarray()
    C = np.eye(len(b)) - dense @ np.linalg.inv(np.diag(np.diag(dense)) / omega + np.tril(dense, -1))
    r, target = b, RTOL * np.linalg.norm(b)
    for k in range(1, limit + 1):
        r = C @ r
        if np.linalg.norm(r) < target:
            return k
    return limit


def run(sequence, solve):
    """Step through a sequence; return the last state."""
    x = sequence.x0
    for A, b, _ in sequence:
        x = solve(A, b(x) if callable(b) else b)
    return x


# single systems


@pytest.mark.parametrize("m", [1, 2, 7])
def test_poisson_in_two_dimensions_is_a_kronecker_sum(m):
    system = LinearSystem.poisson(m)
    np.testing.assert_array_equal(system.A.toarray(), laplacian(m).toarray())
    assert system.A.nnz == 5 * m * m - 4 * m
    assert system.n == m * m
    assert system.spd
    np.testing.assert_array_equal(system.b, np.random.default_rng(0).standard_normal(m * m))


@pytest.mark.parametrize(("dim", "lowest"), [(1, 1), (3, 3), (4, 4)])
def test_poisson_in_other_dimensions_has_the_eigenvalues_of_sums(dim, lowest):
    values = np.linalg.eigvalsh(LinearSystem.poisson(3, dim).A.toarray())
    line = 2.0 - 2.0 * np.cos(math.pi * np.arange(1, 4) / 4)
    expected = sorted(sum(combination) for combination in itertools.product(line, repeat=dim))
    np.testing.assert_allclose(values, expected, atol=1e-12)
    assert values[0] == pytest.approx(lowest * line[0])


def test_matrices_are_canonical_with_small_indices():
    A = LinearSystem.poisson(6, 3).A
    assert isinstance(A, sp.csr_array)
    assert A.indices.dtype == A.indptr.dtype == np.int32
    fresh = sp.csr_array((A.data, A.indices, A.indptr), shape=A.shape)
    assert fresh.has_canonical_format


@pytest.mark.parametrize(("size", "domain", "n"), [(12, "square", 100), (12, "L", 75), (32, "L", 675), (13, "L", 85)])
def test_domains_have_the_sizes_of_numgrid(size, domain, n):
    system = LinearSystem.laplacian(size, domain, shift=0.5)
    assert system.n == n
    assert np.linalg.norm(system.b) <= math.sqrt(n)
    values = np.linalg.eigvalsh(system.A.toarray())
    assert values[0] > 0.5
    assert values[-1] < 8.5
    np.testing.assert_array_equal(system.A.diagonal(), 4.5)


def test_points_of_the_L_are_numbered_by_columns_from_the_left():
    # Size 6: 4 x 4 interior points without the 2 x 2 at the lower left. Columns of 2, 2, 4, 4 points, from the top.
    A = LinearSystem.laplacian(6, "L").A.toarray()
    neighbours = [set(np.flatnonzero(row == -1)) for row in A]
    assert neighbours == [
        {1, 2}, {0, 3}, {0, 3, 4}, {1, 2, 5},
        {2, 5, 8}, {3, 4, 6, 9}, {5, 7, 10}, {6, 11},
        {4, 9}, {5, 8, 10}, {6, 9, 11}, {7, 10},
    ]  # fmt: skip


def test_degenerate_right_hand_side_is_an_eigenvector_of_the_smallest_eigenvalue():
    system = LinearSystem.degenerate(1.4)
    A = system.A.toarray()
    C = np.eye(100) - A @ np.linalg.inv(np.diag(np.diag(A)) / 1.4 + np.tril(A, -1))
    value = system.b @ C @ system.b
    np.testing.assert_allclose(C @ system.b, value * system.b, atol=1e-14)
    values = np.linalg.eigvals(C)
    assert value == pytest.approx(np.abs(values).min(), rel=1e-6)
    # The cost falls to log(1e-8) / log(0.1985) there, and is three times that next to it.
    counts = [sor_count(system.A, system.b, omega) for omega in (1.3, 1.399, 1.4, 1.401, 1.5)]
    assert counts == [82, 42, 12, 42, 45]


@pytest.mark.parametrize("omega", [1.0, 0.5, 1.57, 2.0])
def test_degenerate_needs_a_parameter_below_the_optimal_one(omega):
    with pytest.raises(ValueError, match=r"`omega` must be in \(1, 1\.560\d+\) for size 12"):
        LinearSystem.degenerate(omega)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: LinearSystem.poisson(0), ValueError, "`n` must be at least 1, got 0"),
        (lambda: LinearSystem.poisson(2.0), TypeError, "`n` must be an integer, got 2.0"),
        (lambda: LinearSystem.poisson(2, 0), ValueError, "`dim` must be at least 1"),
        (lambda: LinearSystem.laplacian(2), ValueError, "`size` must be at least 3"),
        (lambda: LinearSystem.laplacian(12, "disc"), ValueError, "`domain` must be 'square' or 'L', got 'disc'"),
        (lambda: SystemSequence.heat(1), ValueError, "`nx` must be at least 2"),
        (lambda: SystemSequence.variable_heat(True), TypeError, "`nx` must be an integer"),
        (lambda: SystemSequence.heat(5, -1), ValueError, "`n_steps` must be at least 0"),
        (lambda: SystemSequence.shifted_laplacian("medium"), ValueError, "`variance` must be 'high' or 'low'"),
        (lambda: SystemSequence.convection_diffusion(diffusion=0.0), ValueError, "`diffusion` must be a positive"),
    ],
)
def test_arguments_are_checked(call, error, message):
    with pytest.raises(error, match=message):
        call()


# what all sequences have in common


@pytest.mark.parametrize("name", SEQUENCES)
def test_sequences_restart(name):
    sequence = SEQUENCES[name](6)
    state = np.linspace(0.0, 1.0, sequence.n)
    first, second = list(sequence), list(sequence)
    assert len(first) == len(sequence) == sequence.n_steps == 6
    for (A, b, c), (A2, b2, c2) in zip(first, second, strict=True):
        np.testing.assert_array_equal(A.data, A2.data)
        np.testing.assert_array_equal(b(state) if callable(b) else b, b2(state) if callable(b2) else b2)
        assert c == c2
    longer = list(SEQUENCES[name](8))
    np.testing.assert_array_equal(longer[5][0].data, first[5][0].data)
    assert SEQUENCES[name](0).n_steps == len(list(SEQUENCES[name](0))) == 0


@pytest.mark.parametrize("name", SEQUENCES)
def test_items_share_the_pattern_and_own_their_values(name):
    items = list(SEQUENCES[name](4))
    first = items[0][0]
    kept = [A.data.copy() for A, _, _ in items]
    for A, _, _ in items[1:]:
        assert np.shares_memory(A.indices, first.indices)
        assert np.shares_memory(A.indptr, first.indptr)
        assert not np.shares_memory(A.data, first.data)
        assert A.shape == first.shape
    first.data[:] = 0.0
    for (A, _, _), data in zip(items[1:], kept[1:], strict=True):
        np.testing.assert_array_equal(A.data, data)


@pytest.mark.parametrize("name", SEQUENCES)
def test_matrices_are_what_spd_says(name):
    sequence = SEQUENCES[name](12)
    for A, _, _ in sequence:
        assert (abs(A - A.T).max() == 0) == sequence.spd
        if sequence.spd:
            assert np.linalg.eigvalsh(A.toarray())[0] > 0


@pytest.mark.parametrize("name", SEQUENCES)
def test_contexts_lie_within_their_bounds(name):
    sequence = SEQUENCES[name](400)
    low, high = sequence.context_bounds
    contexts = np.array([c for _, _, c in sequence])
    assert low <= contexts.min() < contexts.max() <= high


def test_state_before_the_first_step_belongs_to_the_caller():
    sequence = SystemSequence.heat(10, 3)
    sequence.x0[:] = 7.0
    assert sequence.x0.max() <= 1.0
    assert SystemSequence.shifted_laplacian().x0 is None


def test_right_hand_sides_can_be_asked_for_late_and_leave_the_state_alone():
    (_, late, _), *others = SystemSequence.heat(10, 5)
    state = SystemSequence.heat(10).x0
    assert len(others) == 4
    expected = next(iter(SystemSequence.heat(10)))[1](state)
    np.testing.assert_array_equal(late(state), expected)
    np.testing.assert_array_equal(state, SystemSequence.heat(10).x0)


def test_systems_can_be_sent_to_other_processes():
    A, b, context = next(iter(SystemSequence.shifted_laplacian()))
    A2, b2, context2 = pickle.loads(pickle.dumps((A, b, context)))
    np.testing.assert_array_equal(A.data, A2.data)
    np.testing.assert_array_equal(b, b2)
    assert context == context2


def test_repr_says_what_it_is():
    assert repr(SystemSequence.heat(13, 50)) == "<SystemSequence heat-13: 50 systems of 144 unknowns>"


# shifted Laplacians


@pytest.mark.parametrize(("variance", "shape"), [("high", (0.5, 1.5)), ("low", (2.0, 6.0))])
def test_offsets_have_the_moments_of_their_distribution(variance, shape):
    items = list(SystemSequence.shifted_laplacian(variance, 2000))
    base = laplacian(10)
    A, _, c = items[17]
    np.testing.assert_allclose(A.toarray(), (base + c * sp.eye_array(100)).toarray(), atol=1e-15)
    contexts = np.array([c for _, _, c in items])
    p, q = shape
    assert contexts.mean() == pytest.approx(-0.15 + 0.6 * p / (p + q), abs=0.015)
    assert contexts.std() == pytest.approx(0.6 * math.sqrt(p * q / (p + q + 1)) / (p + q), rel=0.06)


def test_right_hand_sides_are_normal_with_a_bounded_norm():
    sides = np.array([b for _, b, _ in SystemSequence.shifted_laplacian(n_steps=2000)])
    squares = (sides**2).sum(axis=1)
    assert squares.max() <= 100.0
    # Chi-square with 100 degrees of freedom below 100: mean 100 - 2 * 100 f(100) / F(100), f the density, F = 0.519.
    assert squares.mean() == pytest.approx(89.1, abs=0.7)
    assert abs(sides.mean()) < 0.01
    assert not np.array_equal(sides[0], sides[1])


def test_seeds_give_other_systems():
    one, two = (list(SystemSequence.shifted_laplacian(n_steps=3, seed=seed)) for seed in (0, 1))
    assert one[0][2] != two[0][2]
    assert not np.array_equal(one[0][1], two[0][1])


@pytest.mark.parametrize(
    ("variance", "expected"),
    [("high", {1.0: 618.6, 1.4: 260.1, 1.8: 103.8}), ("low", {1.0: 272.9, 1.4: 110.9, 1.8: 86.0})],
)
def test_costs_of_fixed_parameters_are_those_of_the_paper(variance, expected):
    items = list(SystemSequence.shifted_laplacian(variance, 150, seed=5))
    for omega, mean in expected.items():
        counts = np.array([sor_count(A, b, omega) for A, b, _ in items])
        assert abs(counts.mean() - mean) <= 3.0 * counts.std() / math.sqrt(counts.size) + 0.005 * mean


# heat equations


def test_heat_step_is_crank_nicolson():
    nx, dt = 9, 1e-3
    sequence = SystemSequence.heat(nx, 800)
    L = -laplacian(nx - 1) * nx**2
    x, y = (grid.ravel() for grid in np.meshgrid(*[np.arange(1, nx) / nx] * 2, indexing="ij"))

    def bump(distance):
        return np.where(distance < 1, np.exp(1 - 1 / np.where(distance < 1, 1 - distance**2, 1)), 0)

    def diffusion(t):
        return max(0.1 * math.sin(2 * math.pi * t), -10 * math.sin(2 * math.pi * t))

    np.testing.assert_allclose(sequence.x0, bump(np.hypot(x - 0.5, y - 0.5) / 0.25), atol=1e-14)
    assert sequence.x0[((nx - 1) ** 2) // 2] <= 1
    state = np.random.default_rng(0).standard_normal(sequence.n)
    items = list(sequence)
    for step in (0, 40, 249, 600, 799):
        A, b, c = items[step]
        t = step * dt
        half = t + dt / 2
        CL = 0.5 * diffusion(half) * dt * L
        forcing = 32 * bump(
            np.hypot(x - 0.5 - math.cos(16 * math.pi * half) / 4, y - 0.5 - math.sin(16 * math.pi * half) / 4) / 0.125
        )
        np.testing.assert_allclose(A.toarray(), (sp.eye_array(sequence.n) - CL).toarray(), rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(b(state), state + CL @ state + dt * forcing, rtol=1e-12, atol=1e-12)
        assert c == pytest.approx(diffusion(t), abs=1e-15)
    assert max(c for _, _, c in items) == pytest.approx(10.0)


def test_source_passes_over_all_of_the_grid():
    # The sum over a fine grid is the integral of the bump, wherever it stands.
    sequence = SystemSequence.heat(80, 125)
    zero = np.zeros(sequence.n)
    sums = np.array([b(zero).sum() for _, b, _ in sequence]) / 80**2
    assert sums == pytest.approx(sums.mean(), rel=2e-3)
    # 32 dt r^2 pi (integral of exp(1 - 1/s) over [0, 1], which is 1 - e E1(1) = 0.40365).
    assert sums.mean() == pytest.approx(32 * 1e-3 * 0.125**2 * math.pi * 0.40365, rel=2e-3)


@pytest.mark.parametrize(
    "sequence",
    [
        SystemSequence.heat(2, 3),
        SystemSequence.heat(3, 3),
        SystemSequence.heat(24, 30, dt=0.02),
        SystemSequence.shifted_laplacian(n_steps=20),
    ],
    ids=lambda sequence: sequence.name,
)
def test_transform_solves_what_a_factorisation_does(sequence):
    def both(A, b):
        direct = np.atleast_1d(spsolve(A.tocsc(), b))
        res = sequence.solve_by_transform(A, b, None, omega=1.5, rtol=1e-8)
        assert (res.success, res.nit) == (True, 1)
        np.testing.assert_allclose(res.x, direct, rtol=1e-11, atol=1e-12 * np.abs(direct).max())
        return res.x

    run(sequence, both)


def test_transform_refuses_variable_coefficients():
    sequence = SystemSequence.variable_heat(6, 1)
    with pytest.raises(ValueError, match="variable-heat-6 has no constant coefficients"):
        sequence.solve_by_transform(*next(iter(sequence))[:2])


def test_variable_heat_is_in_divergence_form():
    nx, dt = 7, 1e-3
    sequence = SystemSequence.variable_heat(nx, 3)
    A, b, _ = list(sequence)[2]
    half = 2.5 * dt
    scale = 0.5 * dt * 0.1 * math.sin(2 * math.pi * half) * nx**2

    def a(x, y):
        return 1 + 0.9 * math.sin(2 * math.pi * x) * math.sin(2 * math.pi * y)

    expected = np.eye(sequence.n)
    for i, j in np.ndindex(nx - 1, nx - 1):
        x, y, row = (i + 1) / nx, (j + 1) / nx, i * (nx - 1) + j
        for di, dj in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            weight = scale * a(x + di / (2 * nx), y + dj / (2 * nx))
            expected[row, row] += weight
            if 0 <= i + di < nx - 1 and 0 <= j + dj < nx - 1:
                expected[row, row + di * (nx - 1) + dj] -= weight
    np.testing.assert_allclose(A.toarray(), expected, rtol=1e-12, atol=1e-15)
    state = np.random.default_rng(2).standard_normal(sequence.n)
    np.testing.assert_allclose(b(state), 2 * state - expected @ state, rtol=1e-11, atol=1e-12)
    centre = (nx // 2 - 1) * nx
    assert sequence.x0[centre] == pytest.approx(math.exp(-80 * (0.5 - (nx // 2) / nx) ** 2))


def test_heat_decays_at_the_rate_of_the_equation():
    # Without a source the slowest mode decays by exp(-2 pi^2 integral of k) once the others are gone.
    sequence = SystemSequence.heat(40, 300)
    mode = np.outer(*[np.sin(math.pi * np.arange(1, 40) / 40)] * 2).ravel()
    x, integral = mode, 0.0
    for step, (A, b, _) in enumerate(sequence):
        x = sequence.solve_by_transform(A, b(x) - b(np.zeros(sequence.n))).x
        integral += 1e-3 * 0.1 * math.sin(2 * math.pi * (step + 0.5) * 1e-3)
    assert x @ mode / (mode @ mode) == pytest.approx(math.exp(-2 * math.pi**2 * integral), rel=1e-3)


@pytest.mark.slow
def test_iterations_of_cg_are_those_of_the_paper():
    total = 0

    def count(_):
        nonlocal total
        total += 1

    sequence = SystemSequence.heat(50)
    x = sequence.x0
    for A, b, _ in sequence:
        x, info = cg(A, b(x), x0=x, rtol=RTOL, maxiter=10_000, callback=count)
        assert info == 0
    assert total == pytest.approx(164_441, rel=1e-4)


# convection and diffusion


def test_wind_enters_by_upwind_differences():
    nx = 6
    sequence = SystemSequence.convection_diffusion(nx, 30)
    difference = (sp.eye_array(nx) - sp.eye_array(nx, k=-1)) * (nx + 1)
    identity = sp.eye_array(nx)
    diffusion = 1e-2 * (nx + 1) ** 2 * laplacian(nx)
    winds = []
    for A, b, speed in sequence:
        # The off-diagonal entries give the wind away: entries before the point for a wind along the axis.
        def wind(stride, A=A):
            before, after = A.diagonal(-stride)[0], A.diagonal(stride)[0]
            return (after - before) / (nx + 1)

        w = wind(nx), wind(1)
        assert math.hypot(*w) == pytest.approx(speed)
        x_part = difference if w[0] >= 0 else -difference.T
        y_part = difference if w[1] >= 0 else -difference.T
        expected = diffusion + w[0] * sp.kron(x_part, identity) + w[1] * sp.kron(identity, y_part)
        np.testing.assert_allclose(A.toarray(), expected.toarray(), rtol=1e-12, atol=1e-12)
        assert (A - sp.diags_array(A.diagonal())).max() <= 0
        assert A.sum(axis=1).min() >= -1e-12
        assert b.shape == (nx * nx,)
        winds.append(w)
    signs = {(x > 0, y > 0) for x, y in winds}
    assert len(signs) == 4
