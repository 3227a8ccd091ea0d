"""The solver on every array library, at small sizes: same answer, same library, same device."""

import array_api_compat.numpy as numpy_xp
import numpy as np
import pytest

from numopt._array import device_of
from numopt.ot import solve, solve_points
from numopt.problems import TransportProblem
from tests.helpers.xp import make, to_numpy
from tests.ot.problems import points_problem

OPTIONS = [
    {"method": "sinkhorn"},
    {"anneal": None},
    {"warmup": 2},
    {"linsolver": "cg"},
    {"linsolver": "direct"},
    {"linsolver": "exact-pcg"},
    {"density": "paper"},
    {"density": "ssns"},
    {"norm": "linf"},
    {"reg_m": 1.0},
    {"reg_m": (float("inf"), 0.5)},
    {"plan": "lazy"},
    {"plan": None},
    {"history": True},
]


def arrays(xp, *values, dtype=None):
    return tuple(make(xp, value, dtype) for value in values)


def assert_belongs_to(xp, value, dtype="float64"):
    assert type(value) is type(make(xp, [1.0]))
    assert device_of(value) == device_of(make(xp, [1.0]))
    assert value.dtype == getattr(xp, dtype)


@pytest.mark.parametrize(
    ("reg", "options"), [(0.1, {}), (1e-2, {})] + [(2e-2, options) for options in OPTIONS], ids=str
)
def test_every_library_gives_the_same_answer(xp, reg, options):
    p = points_problem(6, 5, seed=70)
    res = solve(*arrays(xp, *p.args), reg, tol=1e-10, **options)
    reference = solve(*p.args, reg, tol=1e-10, **options)
    assert res.success, res.message
    assert_belongs_to(xp, res.f)
    assert_belongs_to(xp, res.g)
    # Both meet tol: potentials and plan differ by it over the spectral gap, 1e-2 and more here.
    np.testing.assert_allclose(to_numpy(res.f), reference.f, atol=1e-7)
    for name in ("value", "reg_value", "dual_value", "upper_bound", "lower_bound"):
        assert type(res[name]) is float
        assert res[name] == pytest.approx(reference[name], abs=1e-8, nan_ok=True)
    if options.get("plan", "dense") == "dense":
        assert_belongs_to(xp, res.plan)
        np.testing.assert_allclose(to_numpy(res.plan), reference.plan, atol=1e-8)


def test_newton_and_coarse_steps_on_every_library(xp):
    p = TransportProblem.clusters(12, reg=1e-3)
    res = solve(*arrays(xp, p.a, p.b, p.C), 1e-3, tol=1e-11)
    assert res.success, res.message
    assert res.nit_newton > 0
    plan = to_numpy(res.plan)
    assert plan[:6, 6:].sum() - plan[6:, :6].sum() == pytest.approx(1e-6, rel=1e-3)


def test_forbidden_pairs_atoms_without_mass_and_offsets(xp):
    p = points_problem(8, 6, seed=71)
    a, C = p.a.copy(), p.C + 100.0
    a[2] = 0.0
    a /= a.sum()
    C[0, 1] = C[5, 3] = np.inf
    res = solve(*arrays(xp, a, p.b, C), 0.05)
    reference = solve(a, p.b, C, 0.05)
    assert res.success, res.message
    plan = to_numpy(res.plan)
    assert np.all(plan[2] == 0)
    assert plan[0, 1] == plan[5, 3] == 0
    np.testing.assert_allclose(plan, reference.plan, atol=1e-7)
    np.testing.assert_allclose(to_numpy(res.f), reference.f, atol=1e-5)


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cityblock"])
@pytest.mark.parametrize("reg", [0.1, 5e-3])
def test_points(xp, reg, metric):
    rng = np.random.default_rng(72)
    X, Y = rng.random((9, 3)), rng.random((7, 3))
    res = solve_points(*arrays(xp, X, Y), reg, metric=metric, tol=1e-10)
    reference = solve_points(X, Y, reg, metric=metric, tol=1e-10)
    assert res.success, res.message
    assert_belongs_to(xp, res.f)
    np.testing.assert_allclose(to_numpy(res.plan.toarray()), reference.plan.toarray(), atol=1e-8)


def test_lazy_plan(xp):
    p = points_problem(9, 7, seed=73)
    lazy = solve(*arrays(xp, *p.args), 0.05, plan="lazy").plan
    dense = solve(*p.args, 0.05).plan
    V = np.random.default_rng(0).random((7, 2))
    product = lazy @ make(xp, V)
    assert_belongs_to(xp, product)
    np.testing.assert_allclose(to_numpy(product), dense @ V, atol=1e-8)
    np.testing.assert_allclose(to_numpy(lazy.sum(axis=0)), p.b, atol=1e-8)
    np.testing.assert_allclose(to_numpy(lazy.T.toarray()), dense.T, atol=1e-8)
    assert lazy.nnz(1e-12) == np.count_nonzero(dense >= 1e-12)


def test_float32(xp):
    p = points_problem(9, 7, seed=74)
    res = solve(*arrays(xp, *p.args, dtype="float32"), 0.05)
    assert res.success, res.message
    assert_belongs_to(xp, res.plan, "float32")
    assert_belongs_to(xp, res.f, "float32")
    refined = solve(*arrays(xp, *p.args, dtype="float32"), 0.05, refine=True, tol=1e-10)
    assert refined.success
    assert_belongs_to(xp, refined.f)


def test_warm_start_and_callback(xp):
    p = points_problem(9, 7, seed=75)
    args = arrays(xp, *p.args)
    cold = solve(*args, 1e-2)
    again = solve(*args, 1e-2, init=cold)
    assert again.nit < cold.nit
    kinds = set()
    solve(*args, 1e-2, callback=lambda xk: kinds.add(type(xk)))
    assert kinds == {type(args[0])}


@pytest.mark.parametrize(("where", "value", "match"), [((0, 1), np.nan, "NaN"), ((0, 1), -np.inf, "-inf")])
def test_checks_of_values_work_on_every_library(xp, where, value, match):
    p = points_problem(9, 7, seed=76)
    C = p.C.copy()
    C[where] = value
    with pytest.raises(ValueError, match=match):
        solve(*arrays(xp, p.a, p.b, C), 0.1)


def test_weights_may_be_host_lists(xp):
    p = points_problem(9, 7, seed=77)
    res = solve(None, None, make(xp, p.C), 0.1)
    assert_belongs_to(xp, res.plan)


def test_reference_kernels_and_numba_agree_to_rounding():
    strict = pytest.importorskip("array_api_strict")
    p = points_problem(9, 7, seed=78)
    ours, theirs = (solve(*arrays(xp, *p.args), 1e-2, maxiter=5, anneal=None) for xp in (numpy_xp, strict))
    np.testing.assert_allclose(to_numpy(theirs.plan), ours.plan, rtol=1e-9, atol=1e-300)
