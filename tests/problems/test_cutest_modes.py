"""The evaluation modes against each other, against recorded values, and against differences."""

import threading

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp

from numopt.problems import cutest
from numopt.problems.cutest import _s2mpj, _source

PAPER = [pytest.param(name, kwargs, id=name) for name, kwargs in cutest.suite("paper47")]
SHIPPED = [name for name, kwargs in cutest.suite("paper47") if "backend" not in kwargs]
# Beyond the paper's set: weights, scales, element parameters, group functions, U matrices, many elements, fallbacks.
MORE = [
    "ARGTRIG", "BROYDN3D", "CLUSTER", "COOLHANS", "CYCLOOCF", "DIXCHLNG", "ECKERLE4", "EIGENB2", "ELEC", "ENSO",
    "GULFNE", "HAHN1", "HATFLDG", "HIMMELBFNE", "HS8", "HYDCAR6", "LUKVLE6", "LUKVLE9", "LUKSAN21", "MSS1",
    "ORTHRGDM", "POWERSUMNE", "SPINOP", "VIBRBEAMNE", "WATSONNE", "YATP1CNE",
]  # fmt: skip
# Not equality problems: bounds, inequalities, quadratic objectives, slow elements and group functions with branches.
OTHER = ["ACOPP14", "ALLINIT", "AVGASA", "BIGGSC4", "DUALC1", "EQC", "HS105", "HS68", "HS87", "HUBFIT", "ROSENBR"]


def dense(matrix):
    return matrix.toarray() if sp.issparse(matrix) else matrix


def near_start(problem, seed=0, size=0.01):
    rng = np.random.default_rng(seed)
    return problem.x0 + size * (1 + abs(problem.x0)) * rng.standard_normal(problem.n), rng.standard_normal(problem.m)


def everything(problem, x, lam):
    matrices = (dense(problem.jac(x)), dense(problem.lag_hess(x, lam, 0.7)))
    return [np.array(problem.fun(x)), problem.grad(x), problem.cons(x), *matrices]


def assert_same(one, other, rtol):
    for a, b in zip(one, other, strict=True):
        scale = max(1.0, np.max(np.abs(b), initial=0.0))
        np.testing.assert_allclose(a, b, rtol=0.0, atol=rtol * scale)


@pytest.mark.parametrize("name", [*SHIPPED, *MORE, *OTHER])
@pytest.mark.filterwarnings("ignore::numopt.problems.DerivativeWarning")
def test_batched_equals_native(name):
    batched, native = cutest.load(name), cutest.load(name, mode="native")
    np.testing.assert_array_equal(batched.x0, native.x0)
    assert batched.fun(batched.x0) == pytest.approx(native.fun(native.x0), rel=1e-13, abs=1e-13)
    np.testing.assert_allclose(batched.cons(batched.x0), native.cons(native.x0), rtol=1e-12, atol=1e-12)
    x, lam = near_start(batched)
    ours, theirs = everything(batched, x, lam), everything(native, x, lam)
    wrong = name in _s2mpj.WRONG_HESSIANS
    assert_same(ours[:-1] if wrong else ours, theirs[:-1] if wrong else theirs, 1e-12)


@pytest.mark.parametrize("name", [*SHIPPED, *MORE])
def test_batched_equals_traced(name):
    pytest.importorskip("casadi")
    batched, traced = cutest.load(name), cutest.load(name, mode="traced")
    x, lam = near_start(batched)
    assert_same(everything(batched, x, lam), everything(traced, x, lam), 1e-10)
    assert sp.issparse(traced.jac(x)) == (not traced.dense)
    rows, cols = traced.hess_structure()
    assert (rows >= cols).all()
    triangle = np.zeros((traced.n, traced.n))
    triangle[rows, cols] = traced.lag_hess_values(x, lam)
    np.testing.assert_array_equal(triangle, np.tril(dense(traced.lag_hess(x, lam))))


def test_traced_refuses_branches():
    pytest.importorskip("casadi")
    with pytest.raises(ValueError, match="HS87: eF1 branches on its arguments"):
        cutest.load("HS87", mode="traced")


def test_traced_handles_quadratic_objectives():
    pytest.importorskip("casadi")
    problem = cutest.load("DUALC1", mode="traced")
    x, lam = near_start(problem)
    assert_same(everything(cutest.load("DUALC1"), x, lam), everything(problem, x, lam), 1e-12)


@pytest.mark.parametrize(("name", "kwargs"), PAPER)
def test_start_kkt_is_the_recorded_one(name, kwargs):
    problem = cutest.load(name, **kwargs)
    gradient = problem.grad(problem.x0) + problem.vjp(problem.x0, problem.y0)
    residual = np.concatenate([gradient, problem.cons(problem.x0) - problem.cu])
    # The record has eight digits.
    assert np.linalg.norm(residual) == pytest.approx(cutest.start_kkt(name), rel=6e-8)


@pytest.mark.parametrize("name", [*SHIPPED, *MORE])
def test_derivatives_agree_with_differences(name):
    problem = cutest.load(name)
    assert problem.check_derivatives(near_start(problem, seed=7)[0]).max() < 1e-7


@pytest.mark.slow
@pytest.mark.parametrize("name", [info.name for info in cutest.find("equality")])
@pytest.mark.filterwarnings("ignore::numopt.problems.DerivativeWarning")
def test_all_equality_problems(name):
    batched, native = cutest.load(name), cutest.load(name, mode="native")
    x, lam = near_start(batched, seed=7)
    assert batched.check_derivatives(x).max() < 1e-7
    ours, theirs = everything(batched, x, lam), everything(native, x, lam)
    assert_same(ours[:-1], theirs[:-1], 1e-12)
    if name not in _s2mpj.WRONG_HESSIANS:
        assert_same(ours[-1:], theirs[-1:], 1e-12)


@pytest.mark.slow
def test_every_problem_of_the_table_loads_silently(capsys):
    # Set-up code that runs for minutes whatever we do; all others of moderate size take a second or so.
    endless = ("ARGLINA", "DIAMON", "DMN")
    chosen = [i for i in cutest.find() if i.n * max(i.m, 1) <= 10_000 and not i.name.startswith(endless)]
    assert len(chosen) > 950
    for info in chosen:
        problem = cutest.load(info.name)
        assert (problem.n, problem.m) == (info.n, info.m), info.name
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["LUKVLE8", "ORTHREGC", "MSS1", "YATP1CNE", "ELEC"])
def test_patterns_stay_fixed(name):
    problem = cutest.load(name, dense=False)
    jac, hess = problem.jac(problem.x0), problem.lag_hess(problem.x0, np.ones(problem.m))
    for seed in range(20):
        x, lam = near_start(problem, seed, size=1.0)
        for old, new in ((jac, problem.jac(x)), (hess, problem.lag_hess(x, lam * (seed > 0), seed % 2))):
            np.testing.assert_array_equal(old.indices, new.indices)
            np.testing.assert_array_equal(old.indptr, new.indptr)
    rows, cols = problem.jac_structure()
    np.testing.assert_array_equal(sp.coo_array((np.ones(rows.size), (rows, cols))).tocsr().indices, jac.indices)


def test_hessians_of_lagrangian_are_symmetric_in_pattern_and_value():
    problem = cutest.load("ORTHREGC", dense=False)
    x, lam = near_start(problem)
    hess = problem.lag_hess(x, lam)
    assert abs(hess - hess.T).max() == 0.0


def test_one_element_pass_serves_values_and_derivatives(monkeypatch):
    problem = cutest.load("BT12")
    starts = []
    for block in problem._separable.elements:
        monkeypatch.setattr(block, "start", lambda x, begin=block.start: starts.append(x.tobytes()) or begin(x))
    x, lam = near_start(problem)
    everything(problem, x, lam)
    everything(problem, x, 2 * lam)
    assert len(starts) == len(problem._separable.elements)


def test_an_interrupted_pass_starts_anew(monkeypatch):
    problem, reference = cutest.load("BT12"), cutest.load("BT12")
    x, lam = near_start(problem)
    interrupted = iter([KeyboardInterrupt])
    block = problem._separable.elements[-1]
    begin = block.start

    def start(point):
        steps = begin(point)
        yield next(steps)
        for error in interrupted:
            raise error
        yield from steps

    monkeypatch.setattr(block, "start", start)
    with pytest.raises(KeyboardInterrupt):
        problem.grad(x)
    assert_same(everything(problem, x, lam), everything(reference, x, lam), 0.0)


def test_values_are_nonfinite_where_a_term_is_and_others_stay_clean():
    problem = cutest.load("HS68")  # 1/x in the objective
    x = problem.x0.copy()
    x[0] = 0.0
    assert not np.isfinite(problem.fun(x))
    assert np.isfinite(problem.cons(x)).all()


def test_slow_elements_are_named():
    assert cutest.load("HS87").slow_elements == ("eF1", "eF2")
    assert cutest.load("HS7").slow_elements == ()


def test_two_instances_in_two_threads():
    expected = {}
    points = np.random.default_rng(0).standard_normal((100, 5))
    reference = cutest.load("HS77")
    for i, x in enumerate(points):
        expected[i] = everything(reference, x, np.array([1.0, -1.0]))
    failures = []

    def work(mode):
        try:
            problem = cutest.load("HS77", mode=mode)
            for i, x in enumerate(points):
                assert_same(everything(problem, x, np.array([1.0, -1.0])), expected[i], 1e-12)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(mode,)) for mode in ("batched", "batched", "native")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_instances_do_not_share_state():
    one, two = cutest.load("ORTHREGC"), cutest.load("ORTHREGC", n=105)
    x, lam = near_start(one)
    before = everything(one, x, lam)
    everything(two, *near_start(two))
    one.reset_counters()
    assert_same(everything(one, x, lam), before, 0.0)


CONVERTED = [("HS7", {}), ("BT12", {}), ("ORTHREGC", {"dense": False})]


@pytest.mark.parametrize(("name", "kwargs"), CONVERTED)
@pytest.mark.parametrize("method", ["SLSQP", "trust-constr"])
def test_scipy_reaches_the_known_value(name, kwargs, method):
    problem = cutest.load(name, **kwargs)
    result = scipy.optimize.minimize(**problem.to_scipy(method), options={"maxiter": 500})
    assert result.fun == pytest.approx(problem.f_opt, abs=1e-5)


@pytest.mark.parametrize(("name", "kwargs"), CONVERTED)
def test_ipopt_reaches_the_known_value(name, kwargs):
    cyipopt = pytest.importorskip("cyipopt")
    problem = cutest.load(name, **kwargs)
    solver = cyipopt.Problem(**problem.to_cyipopt())
    solver.add_option("print_level", 0)
    solver.add_option("sb", "yes")
    _, info = solver.solve(problem.x0)
    assert info["obj_val"] == pytest.approx(problem.f_opt, rel=1e-7)


@pytest.mark.parametrize(("name", "kwargs"), CONVERTED)
def test_uno_reaches_the_known_value(name, kwargs):
    unopy = pytest.importorskip("unopy")
    problem = cutest.load(name, **kwargs)
    solver = unopy.UnoSolver()
    solver.set_preset("ipopt")
    solver.set_option("logger", "SILENT")
    assert solver.optimize(problem.to_uno()).solution_objective == pytest.approx(problem.f_opt, rel=1e-7)


@pytest.mark.parametrize("name", ["HS7", "HS68", "ORTHREGC"])
def test_shipped_source_is_only_read(name):
    path = _source.folder() / "python_problems" / f"{name}.py"
    before = path.read_bytes()
    problem = cutest.load(name)
    everything(problem, *near_start(problem))
    assert path.read_bytes() == before
