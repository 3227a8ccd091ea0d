"""Transport with linear constraints: the dual by SciPy, linear programming, optimality conditions, infeasibility."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog, minimize

from numopt import Status
from numopt.ot import solve
from tests.helpers.xp import make, to_numpy


def data(seed, n=6, m=8):
    rng = np.random.default_rng(seed)
    a, b = rng.random(n) + 0.1, rng.random(m) + 0.1
    return a / a.sum(), b / b.sum(), rng.random((n, m))


def matrices(seed, count, n=6, m=8):
    return list(np.random.default_rng(seed).random((count, n, m)))


def brute_force(a, b, C, reg, constraints):
    """Maximise the dual by SciPy; return its value and the multipliers."""
    n, m = C.shape
    D = np.array([c[0] for c in constraints])
    t = np.array([c[1] for c in constraints])
    at_least = np.array([c[2] == "ge" for c in constraints])

    def parts(x):
        f, g, w = x[:n], x[n : n + m], x[n + m :]
        P = np.exp((f[:, None] + g - C + np.tensordot(w, D, 1)) / reg)
        return f, g, w, P, np.where(at_least, np.exp(-w / reg), 0.0)

    def fun(x):
        f, g, w, P, s = parts(x)
        value = a @ f + b @ g + t @ w - reg * P.sum() - reg * s.sum()
        return -value, -np.concatenate([a - P.sum(1), b - P.sum(0), t - (D * P).sum((1, 2)) + s])

    def hess(x):
        P, s = parts(x)[3:]
        H = np.block([[np.diag(P.sum(1)), P], [P.T, np.diag(P.sum(0))]])
        M = np.concatenate([(D * P).sum(2), (D * P).sum(1)], axis=1).T
        Q = np.einsum("kij,lij,ij->kl", D, D, P) + np.diag(s)
        return np.block([[H, M], [M.T, Q]]) / reg

    found = minimize(fun, np.zeros(n + m + len(t)), jac=True, hess=hess, method="trust-exact", options={"gtol": 1e-11})
    return -found.fun, found.x[n + m :]


def linear_program(a, b, C, constraints):
    n, m = C.shape
    marginals = np.concatenate([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    equal = [(D.ravel(), t) for D, t, kind in constraints if kind == "eq"]
    at_least = [(-D.ravel(), -t) for D, t, kind in constraints if kind == "ge"]
    return linprog(
        C.ravel(),
        A_eq=np.concatenate([marginals, *(row[None, :] for row, _ in equal)]),
        b_eq=np.concatenate([a, b, [t for _, t in equal]]),
        A_ub=np.array([row for row, _ in at_least]) if at_least else None,
        b_ub=[t for _, t in at_least] if at_least else None,
    )


def room(seed, reg=0.1):
    """A problem, matrices and targets near what the unconstrained plan has."""
    a, b, C = data(seed)
    D = matrices(seed + 100, 2)
    plan = solve(a, b, C, reg).plan
    return a, b, C, [(D[0], float(np.sum(D[0] * plan)) + 0.03, "ge"), (D[1], float(np.sum(D[1] * plan)) - 0.02, "eq")]


def assert_optimal(res, a, b, C, reg, constraints, tol):
    """The conditions that define the answer, from its own fields."""
    assert res.success, res.message
    P, w = res.plan, res.multipliers
    moved = C - sum(weight * D for weight, (D, _, _) in zip(w, constraints, strict=True))
    # Exponents of size |C| / reg round by eps times that.
    np.testing.assert_allclose(P, np.exp((res.f[:, None] + res.g - moved) / reg), rtol=1e-9, atol=1e-14)
    assert np.abs(P.sum(1) - a).sum() + np.abs(P.sum(0) - b).sum() <= 1.1 * tol
    assert res.marginal_error <= tol
    for k, (D, t, kind) in enumerate(constraints):
        value, slack = np.sum(D * P), np.exp(-w[k] / reg) if kind == "ge" else 0.0
        assert res.constraint_values[k] == pytest.approx(value, rel=1e-12, abs=1e-14)
        assert res.slack[k] == pytest.approx(slack, rel=1e-12)
        assert abs(value - slack - t) <= tol * np.abs(D).max()
    entropy = np.sum(P * (np.log(np.maximum(P, 1e-300)) - 1.0))
    slacks = res.slack[res.slack > 0]
    objective = np.sum(C * P) + reg * entropy + reg * np.sum(slacks * (np.log(slacks) - 1.0))
    assert res.value == pytest.approx(np.sum(C * P), rel=1e-12)
    assert res.reg_value == res.fun == pytest.approx(objective, rel=1e-10)
    largest = max(1.0, np.abs(w).max(), np.abs(res.f).max(), np.abs(res.g).max())
    assert abs(res.dual_value - res.reg_value) <= 2.0 * tol * largest
    assert abs(np.sum(b * res.g)) <= 1e-12 * largest


@pytest.mark.parametrize("reg", [0.3, 0.1, 0.03])
@pytest.mark.parametrize("seed", [0, 1])
def test_dual_agrees_with_scipy(seed, reg):
    a, b, C, constraints = room(seed)
    res = solve(a, b, C, reg, constraints=constraints, tol=1e-11)
    assert_optimal(res, a, b, C, reg, constraints, 1e-11)
    value, w = brute_force(a, b, C, reg, constraints)
    assert res.dual_value == pytest.approx(value, abs=1e-9)
    np.testing.assert_allclose(res.multipliers, w, atol=1e-6)


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_small_regularisation_approaches_the_linear_program(seed):
    a, b, C = data(seed, 12, 15)
    D = matrices(seed + 100, 2, 12, 15)
    constraints = [(D[0], 0.7, "ge"), (D[1], 0.5, "eq")]
    exact = linear_program(a, b, C, constraints).fun
    gaps = []
    for reg in (1e-2, 1e-3, 1e-4):
        res = solve(a, b, C, reg, constraints=constraints)
        assert_optimal(res, a, b, C, reg, constraints, 1e-9)
        gaps.append(res.value - exact)
        # <C, P> + reg * (entropy of P and slack) is minimal; the entropies' range bounds what <C, P> may lose.
        assert -1e-8 <= gaps[-1] <= reg * (np.log(C.size) + 1.0)
    assert gaps[2] <= gaps[1] <= gaps[0]


OPTIONS = [
    {"linsolver": "cg"},
    {"linsolver": "exact-pcg"},
    {"linsolver": "direct"},
    {"anneal": False},
    {"density": "paper"},
    {"warmup": 3},
    {"norm": "linf"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_options_lead_to_the_same_answer(options):
    a, b, C, constraints = room(5)
    expected = solve(a, b, C, 0.005, constraints=constraints, tol=1e-10)
    res = solve(a, b, C, 0.005, constraints=constraints, tol=1e-10, **options)
    assert res.success, res.message
    np.testing.assert_allclose(res.plan, expected.plan, atol=1e-8)
    np.testing.assert_allclose(res.multipliers, expected.multipliers, atol=1e-6)


def test_sweeps_alone_converge_where_the_plan_is_smooth():
    a, b, C, constraints = room(6)
    res = solve(a, b, C, 0.1, constraints=constraints, method="sinkhorn")
    assert_optimal(res, a, b, C, 0.1, constraints, 1e-9)
    assert res.nit_newton == 0


def test_more_sources_than_targets():
    a, b, C, constraints = room(7)
    res = solve(a, b, C, 0.01, constraints=constraints)
    flipped = solve(b, a, C.T, 0.01, constraints=[(D.T, t, kind) for D, t, kind in constraints])
    np.testing.assert_allclose(res.plan, flipped.plan.T, atol=1e-8)


def test_an_equation_that_holds_anyway_changes_nothing():
    a, b, C = data(8)
    plain = solve(a, b, C, 0.05, tol=1e-12)
    (D,) = matrices(108, 1)
    res = solve(a, b, C, 0.05, constraints=[(D, float(np.sum(D * plain.plan)), "eq")], tol=1e-11)
    assert abs(res.multipliers[0]) <= 1e-8
    np.testing.assert_allclose(res.plan, plain.plan, atol=1e-9)


def test_a_slack_inequality_keeps_its_distance():
    # Without a pull on the constraint the slack is its distance, and the multiplier follows from it.
    a, b, C = data(9)
    (D,) = matrices(109, 1)
    value = float(np.sum(D * solve(a, b, C, 0.01).plan))
    res = solve(a, b, C, 0.01, constraints=[(D, value - 0.2, "ge")])
    assert res.success
    assert res.slack[0] == pytest.approx(res.constraint_values[0] - value + 0.2, rel=1e-6)
    assert res.multipliers[0] == pytest.approx(-0.01 * np.log(res.slack[0]), rel=1e-9)


def test_constant_and_separable_matrices_are_no_constraint():
    a, b, C = data(10)
    rng = np.random.default_rng(110)
    u, v = rng.random(6), rng.random(8)
    plain = solve(a, b, C, 0.05, tol=1e-11).plan
    for D, t in ((np.ones((6, 8)), 1.0), (u[:, None] + v, float(a @ u + b @ v))):
        res = solve(a, b, C, 0.05, constraints=[(D, t, "eq")], tol=1e-11)
        assert res.success, res.message
        np.testing.assert_allclose(res.plan, plain, atol=1e-9)


def test_the_same_constraint_twice_shares_the_multiplier():
    a, b, C, constraints = room(11)
    once = solve(a, b, C, 0.05, constraints=constraints[1:])
    twice = solve(a, b, C, 0.05, constraints=constraints[1:] * 2)
    assert twice.success, twice.message
    assert twice.multipliers.sum() == pytest.approx(once.multipliers[0], abs=1e-6)
    np.testing.assert_allclose(twice.plan, once.plan, atol=1e-8)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_equations_do_not_depend_on_their_scale_and_offset(scale):
    a, b, C, constraints = room(12)
    D, t, _ = constraints[1]
    plain = solve(a, b, C, 0.02, constraints=[(D, t, "eq")])
    res = solve(a, b, C, 0.02, constraints=[(scale * (D + 100.0), scale * (t + 100.0), "eq")])
    assert res.success, res.message
    assert res.multipliers[0] * scale == pytest.approx(plain.multipliers[0], abs=1e-6)
    np.testing.assert_allclose(res.plan, plain.plan, atol=1e-8)
    assert res.constraint_values[0] == pytest.approx(scale * (t + 100.0), rel=1e-9)


def test_costs_far_from_zero_and_forbidden_pairs():
    a, b, C, constraints = room(13)
    C[0, 0] = C[3, 2] = np.inf
    res = solve(a, b, C, 0.02, constraints=constraints)
    shifted = solve(a, b, C + 50.0, 0.02, constraints=constraints)
    for found in (res, shifted):
        assert found.success, found.message
        assert found.plan[0, 0] == found.plan[3, 2] == 0.0
    np.testing.assert_allclose(shifted.plan, res.plan, atol=1e-8)
    assert shifted.value == pytest.approx(res.value + 50.0, rel=1e-9)


def test_atoms_without_mass():
    a, b, C, constraints = room(14)
    wide = np.array([a[0], 0.0, *a[1:]])
    taller = [(np.insert(D, 1, 7.0, axis=0), t, kind) for D, t, kind in constraints]
    rows = np.insert(C, 1, 0.5, axis=0)
    res = solve(wide, b, rows, 0.05, constraints=taller)
    plain = solve(a, b, C, 0.05, constraints=constraints)
    np.testing.assert_allclose(np.delete(res.plan, 1, axis=0), plain.plan, atol=1e-9)
    assert np.all(res.plan[1] == 0.0)
    moved = rows[1] - sum(w * D[1] for w, (D, _, _) in zip(res.multipliers, taller, strict=True))
    assert res.f[1] == pytest.approx(np.min(moved - res.g), abs=1e-5)


# -- demonstrations of the paper ------------------------------------------------------------------------------------


def test_random_assignment_with_a_constraint():
    n = 60
    rng = np.random.default_rng(15)
    C, D = rng.random((n, n)), rng.random((n, n))
    a = np.full(n, 1.0 / n)
    for constraints in ([(D, 0.7, "ge")], [(D, 0.3, "eq")]):
        res = solve(a, a, C, 1.0 / 1200.0, constraints=constraints)
        assert_optimal(res, a, a, C, 1.0 / 1200.0, constraints, 1e-9)


def test_ranking_gives_a_group_the_exposure_that_is_asked_for():
    n = 40
    rng = np.random.default_rng(16)
    relevance, group = rng.random(n), rng.random(n) < 0.3
    discount = 1.0 / np.log2(np.arange(n) + 2.0)
    C, D = -relevance[:, None] * discount, group[:, None] * discount
    a = np.full(n, 1.0 / n)
    plain = solve(a, a, C, 1e-3)
    exposure = float(np.sum(D * plain.plan))
    most = np.sort(discount)[::-1][: group.sum()].sum() / n
    costs = [plain.value]
    for share in (0.3, 0.8):
        target = exposure + share * (most - exposure)
        constraints = [(D, target, "ge")]
        res = solve(a, a, C, 1e-3, constraints=constraints)
        assert_optimal(res, a, a, C, 1e-3, constraints, 1e-9)
        assert res.constraint_values[0] >= target - 1e-9
        costs.append(res.value)
    assert costs == sorted(costs)


def test_the_pareto_front_is_monotone_and_convex():
    a, b, C = data(17, 15, 15)
    (D,) = matrices(117, 1, 15, 15)
    reg = 0.01
    least = float(np.sum(D * solve(a, b, C, reg).plan))
    most = -linear_program(a, b, -D, []).fun
    targets = np.linspace(least, 0.95 * most, 6)
    results = [solve(a, b, C, reg, constraints=[(D, t, "eq")]) for t in targets]
    assert all(res.success for res in results)
    values = [res.reg_value for res in results]
    assert values == sorted(values)
    slopes = [float(res.multipliers[0]) for res in results]
    assert slopes == sorted(slopes)
    # The multiplier is the slope of the front.
    for (t0, v0, w0), (t1, v1, w1) in itertools.pairwise(zip(targets, values, slopes, strict=True)):
        assert w0 - 1e-9 <= (v1 - v0) / (t1 - t0) <= w1 + 1e-9


# -- what cannot be met ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["eq", "ge"])
@pytest.mark.parametrize("reg", [0.1, 0.01, 0.001])
def test_a_target_beyond_every_plan_is_infeasible(kind, reg):
    a, b, C = data(18)
    (D,) = matrices(118, 1)
    most = -linear_program(a, b, -D, []).fun
    inside = solve(a, b, C, reg, constraints=[(D, 0.995 * most, kind)])
    assert inside.success, inside.message
    outside = solve(a, b, C, reg, constraints=[(D, 1.005 * most, kind)])
    assert outside.status is Status.INFEASIBLE
    assert not outside.success
    assert "contradict the marginals" in outside.message
    assert np.all(np.isfinite(outside.plan))


def test_targets_that_rows_alone_cannot_reach_are_refused_at_once():
    a, b, C, constraints = room(19)
    res = solve(a, b, C, 0.01, constraints=[constraints[1], (constraints[0][0], 2.0, "ge")])
    assert res.status is Status.INFEASIBLE
    assert "constraints[1]" in res.message
    assert res.nit <= 1


def test_contradictory_constraints_are_infeasible():
    a, b, C = data(20)
    (D,) = matrices(120, 1)
    t = float(np.sum(D * solve(a, b, C, 0.1).plan))
    for constraints in (
        [(D, t, "eq"), (D, t + 0.01, "eq")],
        [(D, t + 0.01, "ge"), (-D, -t, "ge")],
    ):
        res = solve(a, b, C, 0.05, constraints=constraints)
        assert res.status is Status.INFEASIBLE, res.message


def test_constraints_on_forbidden_pairs_cannot_be_met():
    a, b, C = data(21)
    D = np.zeros((6, 8))
    D[2, 3], C[2, 3] = 1.0, np.inf
    res = solve(a, b, C, 0.05, constraints=[(D, 0.01, "eq")])
    assert res.status is Status.INFEASIBLE


def test_limits_come_back_with_their_status():
    a, b, C, constraints = room(22)
    res = solve(a, b, C, 0.001, constraints=constraints, maxiter=5)
    assert res.status is Status.MAXITER
    assert "marginals and constraints" in res.message
    assert np.all(np.isfinite(res.plan))


# -- the surface ----------------------------------------------------------------------------------------------------


def test_warm_start_takes_the_multipliers_along():
    a, b, C, constraints = room(23)
    first = solve(a, b, C, 0.02, constraints=constraints)
    again = solve(a, b, C, 0.02, constraints=constraints, init=first)
    assert again.success
    assert again.nit <= 3
    np.testing.assert_allclose(again.multipliers, first.multipliers, atol=1e-6)


@pytest.mark.parametrize("form", ["dense", "sparse", "lazy"])
def test_every_form_of_the_plan(form):
    a, b, C, constraints = room(24)
    expected = solve(a, b, C, 0.02, constraints=constraints).plan
    plan = solve(a, b, C, 0.02, constraints=constraints, plan=form).plan
    np.testing.assert_allclose(plan if form == "dense" else plan.toarray(), expected, atol=1e-9)


def test_history_and_callback():
    a, b, C, constraints = room(25)
    seen = []
    res = solve(a, b, C, 0.02, constraints=constraints, history=True, callback=seen.append)
    assert len(seen) >= len(res.history["fun"]) - 1
    assert seen[-1].shape == C.shape
    # The dual rises but for its rounding.
    assert np.all(np.diff(res.history["fun"][np.asarray(res.history["reg"]) == 0.02]) >= -1e-12)


def test_libraries_agree(xp):
    a, b, C, constraints = room(26)
    expected = solve(a, b, C, 0.02, constraints=constraints)
    own = [(make(xp, D), t, kind) for D, t, kind in constraints]
    res = solve(make(xp, a), make(xp, b), make(xp, C), 0.02, constraints=own)
    assert res.success, res.message
    for name in ("plan", "f", "g", "multipliers", "constraint_values", "slack"):
        assert type(res[name]) is type(res.plan)
        np.testing.assert_allclose(to_numpy(res[name]), expected[name], rtol=1e-6, atol=1e-8)


def test_float32():
    a, b, C, constraints = room(27)
    single = solve(
        *(v.astype(np.float32) for v in (a, b, C)),
        0.05,
        constraints=[(D.astype(np.float32), t, kind) for D, t, kind in constraints],
    )
    expected = solve(a, b, C, 0.05, constraints=constraints)
    assert single.success, single.message
    assert single.plan.dtype == single.multipliers.dtype == np.float32
    np.testing.assert_allclose(single.plan, expected.plan, atol=1e-4)


def test_no_constraints_at_all():
    a, b, C = data(28)
    np.testing.assert_array_equal(solve(a, b, C, 0.05, constraints=[]).plan, solve(a, b, C, 0.05).plan)


def test_there_is_no_derivative():
    a, b, C, constraints = room(29)
    with pytest.raises(ValueError, match="constraints"):
        solve(a, b, C, 0.05, constraints=constraints).vjp(value=1.0)


@pytest.mark.parametrize(
    ("constraints", "error", "match"),
    [
        ("eq", TypeError, "must be a list"),
        ([1.0], TypeError, r"constraints\[0\]"),
        ([(np.ones((6, 8)), 1.0)], TypeError, r"\(D, t, 'eq' or 'ge'\)"),
        ([(np.ones((8, 6)), 1.0, "eq")], ValueError, "shape of `C`"),
        ([(np.full((6, 8), np.nan), 1.0, "eq")], ValueError, "must be finite"),
        ([(np.ones((6, 8)), np.inf, "eq")], ValueError, r"constraints\[0\]\[1\]"),
        ([(np.ones((6, 8)), 1.0, "le")], ValueError, "'eq', 'ge'"),
        ([(np.ones((6, 8)) * 1j, 1.0, "eq")], TypeError, "must be real"),
    ],
)
def test_bad_input(constraints, error, match):
    a, b, C = data(30)
    with pytest.raises(error, match=match):
        solve(a, b, C, 0.05, constraints=constraints)


def test_penalised_marginals_take_no_constraints():
    a, b, C, constraints = room(31)
    with pytest.raises(ValueError, match="reg_m"):
        solve(a, b, C, 0.05, constraints=constraints, reg_m=1.0)
