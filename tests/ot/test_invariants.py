"""What must not change the answer, or must change it in a known way; what holds at every step."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numopt.ot import solve
from numopt.problems import TransportProblem
from tests.ot.problems import Transport, dual_value, plan_of, points_problem, primal_value, random_weights

TOL = 1e-12
REGS = st.sampled_from([1.0, 0.1, 0.02, 5e-3])
# A marginal error of 1e-12 over the smallest spectral gap that these problems have, 1e-3.
PLAN = 1e-9


@st.composite
def problems(draw):
    """Small problems with random weights and costs of size 1, rounded to 1/64 so that ties happen."""
    n, m = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    C = np.round(rng.random((n, m)) * 64) / 64
    return Transport(random_weights(rng, n), random_weights(rng, m), C)


def plan(p, reg, **options):
    res = solve(*p.args, reg, tol=TOL, **options)
    assert res.success, res.message
    return res.plan


invariant = settings(max_examples=25, deadline=None)


@invariant
@given(problems(), REGS)
def test_plan_meets_its_marginals_and_is_of_the_gibbs_form(p, reg):
    res = solve(*p.args, reg, tol=TOL)
    assert res.success
    assert np.all(res.plan >= 0)
    # Both together are sufficient for the optimum of the regularised problem.
    error = np.abs(res.plan.sum(axis=1) - p.a).sum() + np.abs(res.plan.sum(axis=0) - p.b).sum()
    assert error <= TOL + 1e-14
    np.testing.assert_allclose(res.plan, plan_of(res.f, res.g, p.C, reg), rtol=1e-11, atol=1e-300)


@invariant
@given(problems(), REGS)
def test_gap_closes_and_bounds_are_ordered(p, reg):
    res = solve(*p.args, reg, tol=TOL)
    assert res.reg_value == pytest.approx(primal_value(res.plan, p.C, reg), abs=1e-11)
    assert res.dual_value == pytest.approx(dual_value(res.f, res.g, p, reg), abs=1e-11)
    assert res.reg_value == pytest.approx(res.dual_value, abs=1e-10)
    assert res.lower_bound <= res.upper_bound + 1e-12
    assert res.value <= res.upper_bound + 1e-10


@invariant
@given(problems(), REGS, st.floats(-1e3, 1e3))
def test_gauge_of_the_start_does_not_matter(p, reg, shift):
    rng = np.random.default_rng(0)
    f, g = rng.normal(size=p.a.size), rng.normal(size=p.b.size)
    res = solve(*p.args, reg, tol=TOL * (1 + abs(shift)), init=(f, g))
    moved = solve(*p.args, reg, tol=TOL * (1 + abs(shift)), init=(f + shift, g - shift))
    np.testing.assert_allclose(moved.plan, res.plan, rtol=0, atol=PLAN * (1 + abs(shift)))
    assert abs(p.b @ moved.g) < 1e-12 * (1 + abs(shift))


@invariant
@given(problems(), REGS, st.randoms(use_true_random=False))
def test_order_of_the_atoms_does_not_matter(p, reg, random):
    rows, columns = list(range(p.a.size)), list(range(p.b.size))
    random.shuffle(rows)
    random.shuffle(columns)
    shuffled = Transport(p.a[rows], p.b[columns], p.C[np.ix_(rows, columns)])
    np.testing.assert_allclose(plan(shuffled, reg), plan(p, reg)[np.ix_(rows, columns)], rtol=0, atol=PLAN)


@invariant
@given(problems(), REGS)
def test_sides_are_alike(p, reg):
    res = solve(*p.args, reg, tol=TOL)
    swapped = solve(p.b, p.a, p.C.T, reg, tol=TOL)
    np.testing.assert_allclose(swapped.plan.T, res.plan, rtol=0, atol=PLAN)
    assert swapped.value == pytest.approx(res.value, abs=1e-10)
    assert swapped.reg_value == pytest.approx(res.reg_value, abs=1e-10)


@invariant
@given(problems(), REGS, st.floats(-100.0, 100.0))
def test_constant_added_to_the_costs_moves_the_values_only(p, reg, constant):
    res = solve(*p.args, reg, tol=TOL)
    moved = solve(p.a, p.b, p.C + constant, reg, tol=TOL * (1 + abs(constant)))
    assert moved.success
    np.testing.assert_allclose(moved.plan, res.plan, rtol=0, atol=PLAN * (1 + abs(constant) / reg))
    for name in ("value", "reg_value", "dual_value", "upper_bound", "lower_bound"):
        assert moved[name] == pytest.approx(res[name] + constant, abs=1e-9 * (1 + abs(constant))), name


@invariant
@given(problems(), REGS, st.integers(-40, 40))
def test_unit_of_costs_and_regularisation_does_not_matter(p, reg, exponent):
    t = 2.0**exponent  # exact: the same numbers to the last bit but for the rounding of 1 / reg
    res, scaled = solve(*p.args, reg, tol=TOL), solve(p.a, p.b, t * p.C, t * reg, tol=TOL)
    np.testing.assert_allclose(scaled.plan, res.plan, rtol=0, atol=PLAN)
    assert scaled.value == pytest.approx(t * res.value, rel=1e-9, abs=t * 1e-10)


@invariant
@given(problems(), REGS)
def test_an_atom_may_be_split_into_equal_ones(p, reg):
    res = solve(*p.args, reg, tol=TOL)
    a = np.concatenate([[p.a[0] / 2, p.a[0] / 2], p.a[1:]])
    split = solve(a, p.b, np.concatenate([p.C[:1], p.C]), reg, tol=TOL)
    np.testing.assert_allclose(split.plan[0], split.plan[1], rtol=1e-9, atol=PLAN)
    merged = np.concatenate([split.plan[:1] + split.plan[1:2], split.plan[2:]])
    np.testing.assert_allclose(merged, res.plan, rtol=0, atol=PLAN)
    assert split.value == pytest.approx(res.value, abs=1e-9)
    # sum P log P of the halves is that of the whole plus the mass times log(1/2).
    assert split.reg_value == pytest.approx(res.reg_value - reg * p.a[0] * math.log(2), abs=1e-9)


@invariant
@given(problems(), REGS, st.floats(1e-3, 1e3))
def test_mass_scales_the_plan(p, reg, mass):
    res = solve(*p.args, reg, tol=TOL)
    scaled = solve(mass * p.a, mass * p.b, p.C, reg, tol=TOL)
    np.testing.assert_allclose(scaled.plan / mass, res.plan, rtol=0, atol=PLAN)


@invariant
@given(problems(), REGS, st.floats(0.05, 10.0), st.floats(0.05, 10.0))
def test_unbalanced_sides_are_alike_and_have_no_gap(p, reg, first, second):
    res = solve(p.a, 2 * p.b, p.C, reg, reg_m=(first, second), tol=TOL)
    swapped = solve(2 * p.b, p.a, p.C.T, reg, reg_m=(second, first), tol=TOL)
    assert res.success, res.message
    np.testing.assert_allclose(swapped.plan.T, res.plan, rtol=0, atol=PLAN)
    assert res.dual_value == pytest.approx(res.reg_value, abs=1e-9)


# -- along the way --------------------------------------------------------------------------------------------------


HISTORIES = {
    "points": TransportProblem.points(80, reg=1e-3),
    "dirichlet": TransportProblem.points(80, reg=1e-3, dirichlet=True),
    "assignment": TransportProblem.uniform(80, reg=1e-3),
    "l1-grid": TransportProblem.grid(9, reg=1e-3),
    "clusters": TransportProblem.clusters(60, reg=1e-3),
}


@pytest.mark.parametrize(
    ("name", "density"),
    [(name, density) for name in HISTORIES for density in ("auto", "ssns")]
    # Two entries a row lose the link between clusters: the paper's rule is not for them.
    + [(name, "paper") for name in HISTORIES if name != "clusters"],
)
def test_dual_value_never_falls(name, density):
    p = HISTORIES[name]
    res = solve(p.a, p.b, p.C, p.reg, anneal=None, density=density, history=True)
    assert res.success
    dual = res.history["fun"]
    # Sums over n * m terms of the size of the costs: their rounding is all that it may lose.
    assert np.all(np.diff(dual) >= -1e3 * np.finfo(float).eps)


@pytest.mark.parametrize("name", HISTORIES)
def test_dual_value_never_falls_within_a_stage_of_annealing(name):
    p = HISTORIES[name]
    res = solve(p.a, p.b, p.C, p.reg, history=True)
    assert res.success
    same_stage = np.diff(res.history["reg"]) == 0
    assert np.all(np.diff(res.history["fun"])[same_stage] >= -1e3 * np.finfo(float).eps)


def test_smaller_regularisations_cost_less_and_bounds_tighten():
    p = points_problem(40, seed=40)
    results = [solve(*p.args, reg) for reg in (1e-1, 3e-2, 1e-2, 3e-3, 1e-3)]
    values = [res.value for res in results]
    assert values == sorted(values, reverse=True)
    gaps = [res.upper_bound - res.lower_bound for res in results]
    assert gaps == sorted(gaps, reverse=True)
