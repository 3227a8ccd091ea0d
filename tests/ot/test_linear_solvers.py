"""Every option of the method leads to the same plan; every linear solver solves the Newton system."""

import numpy as np
import pytest

from numopt.ot import _linear, solve
from numopt.ot._bipartite import Bipartite, Compressed
from numopt.ot._cost import Products
from numopt.problems import TransportProblem
from tests.ot.problems import (
    Transport,
    assert_answer,
    forbidden,
    points_problem,
    reference_plan,
    uniform_problem,
)

LINEAR_SOLVERS = ("auto", "cg", "exact-pcg", "direct", "tree")
REG = 5e-3


def grid():
    problem = TransportProblem.grid(6, reg=REG)
    return Transport(problem.a, problem.b, problem.C)


PROBLEMS = {
    "points": points_problem(40, seed=30),
    "wide": points_problem(20, 50, seed=31),
    "tall": points_problem(50, 20, seed=32),
    "assignment": uniform_problem(40),
    "l1-grid": grid(),
    "forbidden": forbidden(30),
}
REFERENCES: dict[str, np.ndarray] = {}


def assert_reference_plan(name, **options):
    """To the reference from tol: the plan is off by the marginal error over the spectral gap, 1e-3 and more here."""
    problem = PROBLEMS[name]
    if name not in REFERENCES:
        REFERENCES[name] = reference_plan(problem, REG)
    res = solve(*problem.args, REG, tol=1e-12, **options)
    assert_answer(res, problem, tol=1e-12 * (1 if options.get("norm") != "linf" else sum(problem.C.shape)))
    np.testing.assert_allclose(res.plan, REFERENCES[name], rtol=0, atol=1e-9)
    return res


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("linsolver", LINEAR_SOLVERS)
def test_every_linear_solver_gives_the_same_plan(linsolver, name):
    res = assert_reference_plan(name, linsolver=linsolver)
    assert res.nit_newton > 0
    if linsolver == "direct":
        assert res.ncg == 0


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("density", ["auto", "paper", "ssns", 0.05, 0.5, 1.0])
def test_every_rule_of_sparsification_gives_the_same_plan(density, name):
    res = assert_reference_plan(name, density=density)
    allowed = np.isfinite(PROBLEMS[name].C).mean()
    if density == 1.0:
        assert res.density_used == pytest.approx(allowed)
    elif isinstance(density, float):
        assert res.density_used <= density + 1 / PROBLEMS[name].C.size


@pytest.mark.parametrize("linsolver", ["cg", "exact-pcg", "direct", "tree"])
@pytest.mark.parametrize("density", ["paper", "ssns", 1.0])
def test_linear_solvers_work_with_every_rule(density, linsolver):
    assert_reference_plan("points", density=density, linsolver=linsolver)


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("anneal", ["auto", None, True, False])
def test_with_and_without_annealing(anneal, name):
    assert_reference_plan(name, anneal=anneal)
    res = solve(*PROBLEMS[name].args, REG, anneal=anneal, history=True)
    regs = -np.unique(-res.history["reg"])
    assert regs[-1] == REG
    assert (len(regs) > 1) == (anneal in ("auto", True))
    assert np.all(regs[:-1] / regs[1:] <= 4.0 + 1e-12)


@pytest.mark.parametrize("warmup", ["auto", 0, 1, 5, 40])
def test_warmup_of_any_length(warmup):
    res = assert_reference_plan("points", warmup=warmup, anneal=None)
    if warmup == 0:
        assert res.nit_sinkhorn <= 2  # the sweep that makes the first point


@pytest.mark.parametrize("norm", ["l1", "linf"])
def test_both_norms(norm):
    problem = PROBLEMS["points"]
    res = solve(*problem.args, REG, norm=norm, tol=1e-6)
    assert res.success
    gap_rows, gap_columns = res.plan.sum(axis=1) - problem.a, res.plan.sum(axis=0) - problem.b
    largest = max(np.abs(gap_rows).max(), np.abs(gap_columns).max())
    assert res.marginal_error_linf == pytest.approx(largest, abs=1e-15)
    assert (res.marginal_error if norm == "l1" else res.marginal_error_linf) <= 1e-6
    assert_reference_plan("points", norm=norm)


@pytest.mark.parametrize("plan", ["dense", "sparse", "lazy", None])
def test_every_form_of_the_plan(plan):
    problem = PROBLEMS["wide"]
    res = solve(*problem.args, REG, tol=1e-10, plan=plan)
    assert res.success
    assert res.plan is res.x
    dense = solve(*problem.args, REG, tol=1e-10)
    assert res.value == pytest.approx(dense.value, rel=1e-13)
    assert res.marginal_error == pytest.approx(dense.marginal_error, abs=1e-15)
    if plan is None:
        assert res.plan is None
    elif plan == "dense":
        np.testing.assert_array_equal(res.plan, dense.plan)
    else:
        np.testing.assert_allclose(res.plan.toarray(), dense.plan, rtol=0, atol=1e-11)


def test_results_are_the_same_from_run_to_run():
    problem = PROBLEMS["l1-grid"]
    first, second = (solve(*problem.args, REG) for _ in range(2))
    np.testing.assert_array_equal(first.plan, second.plan)
    assert first.nit == second.nit


# -- the Newton system itself ---------------------------------------------------------------------------------------


def compressed(P):
    rows, columns = np.nonzero(P)
    counts = np.count_nonzero(P, axis=1)
    return Compressed(
        P[rows, columns].copy(), columns.astype(np.int32), np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    )


def newton_system(n, m, density, *, seed=0):
    """Kept entries of a plan whose dropped mass stays on the diagonals; a right-hand side that moves no gauge."""
    rng = np.random.default_rng(seed)
    P = rng.random((n, m)) ** 4
    P /= P.sum()
    kept = np.where(rng.random((n, m)) < density, P, 0.0)
    kept[np.arange(n), P.argmax(axis=1)] = P.max(axis=1)
    kept[P.argmax(axis=0), np.arange(m)] = P.max(axis=0)
    row_gap, col_gap = rng.normal(size=n), rng.normal(size=m)
    col_gap += (row_gap.sum() - col_gap.sum()) / m
    graph = Bipartite(compressed(kept), compressed(np.ascontiguousarray(kept.T)))
    return kept, P, _linear.System(graph, P.sum(axis=1), P.sum(axis=0), row_gap, col_gap)


@pytest.mark.parametrize("method", ["cg", "direct", "tree"])
@pytest.mark.parametrize(("n", "m", "density"), [(12, 12, 0.4), (7, 20, 0.5), (20, 7, 0.5), (1, 5, 1.0), (9, 9, 0.9)])
def test_linear_solvers_agree_with_a_dense_solve(n, m, density, method):
    kept, P, system = newton_system(n, m, density)
    H = np.block([[np.diag(P.sum(axis=1)), kept], [kept.T, np.diag(P.sum(axis=0))]])
    d = _linear.solve(system, 1e-13, method, exact=None)
    rhs = np.concatenate([system.row_gap, system.col_gap])
    residual = H @ np.concatenate([d.rows, d.columns]) - rhs
    assert np.abs(residual).max() <= 1e-9 * np.abs(rhs).max()


@pytest.mark.parametrize(("n", "m"), [(12, 12), (7, 20), (20, 7)])
def test_exact_pcg_solves_the_system_of_the_full_plan(n, m):
    _, P, system = newton_system(n, m, 0.4)
    d = _linear.solve(system, 1e-13, "exact-pcg", lambda: Products(P.__matmul__, P.T.__matmul__))
    H = np.block([[np.diag(P.sum(axis=1)), P], [P.T, np.diag(P.sum(axis=0))]])
    rhs = np.concatenate([system.row_gap, system.col_gap])
    residual = H @ np.concatenate([d.rows, d.columns]) - rhs
    assert np.abs(residual).max() <= 1e-9 * np.abs(rhs).max()


def test_hessian_of_the_dual_by_differences():
    p = points_problem(8, 6, seed=33)
    reg, step = 0.05, 1e-6
    res = solve(*p.args, reg, maxiter=1)
    rng = np.random.default_rng(0)
    df, dg = rng.normal(size=8), rng.normal(size=6)

    def sums(t):
        P = np.exp((res.f[:, None] + t * df[:, None] + res.g + t * dg - p.C) / reg)
        return np.concatenate([P.sum(axis=1), P.sum(axis=0)])

    difference = (sums(step) - sums(-step)) / (2 * step)
    P = res.plan
    graph = Bipartite(compressed(P), compressed(np.ascontiguousarray(P.T)))
    r, c = P.sum(axis=1), P.sum(axis=0)
    rows = r * df + r * graph.transposed.divided_products(dg, r)
    columns = c * dg + c * graph.divided_products(df, c)
    np.testing.assert_allclose(np.concatenate([rows, columns]) / reg, difference, rtol=1e-6, atol=1e-8)
