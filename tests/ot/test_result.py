"""What comes back: fields, messages, histories, and plans that are not dense."""

import logging

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import OptimizeResult

from numopt import Status
from numopt.ot import LazyPlan, OTResult, solve, solve_points
from tests.ot.problems import points_problem

FIELDS = {
    "x", "plan", "f", "g", "value", "reg_value", "fun", "dual_value", "upper_bound", "lower_bound", "marginal_error",
    "marginal_error_linf", "success", "status", "message", "nit", "nit_sinkhorn", "nit_newton", "nit_coarse", "ncg",
    "nkernel", "density_used", "stage_seconds", "time",
}  # fmt: skip


def problem_with_empty_atoms():
    p = points_problem(20, 30, seed=50)
    a, b = p.a.copy(), p.b.copy()
    a[[0, 7]], b[[3, 29]] = 0.0, 0.0
    return a / a.sum(), b / b.sum(), p.C


def test_fields_of_the_result():
    res = solve(*points_problem(20, 30).args, 1e-2)
    assert isinstance(res, OTResult)
    assert isinstance(res, OptimizeResult)
    assert set(res) >= FIELDS
    assert isinstance(res.status, Status)
    assert res.success is True
    for name in ("value", "reg_value", "fun", "dual_value", "upper_bound", "lower_bound", "marginal_error", "time"):
        assert type(res[name]) is float, name
    for name in ("nit", "nit_sinkhorn", "nit_newton", "nit_coarse", "ncg", "nkernel"):
        assert type(res[name]) is int, name
    assert res.plan is res.x
    assert res.plan.shape == (20, 30)
    assert res.f.shape == (20,)
    assert res.g.shape == (30,)
    assert "marginal error" in repr(res)


def test_counts_add_up():
    res = solve(*points_problem(60).args, 1e-3)
    assert res.nit == res.nit_sinkhorn + res.nit_newton + res.nit_coarse
    assert res.nit_newton > 0
    assert res.nkernel > 0
    assert res.ncg > 0
    assert 0.0 < res.density_used <= 1.0


@pytest.mark.parametrize("anneal", ["auto", None])
def test_stage_seconds_hold_every_stage(anneal):
    res = solve(*points_problem(60).args, 1e-3, anneal=anneal)
    regs = [reg for reg, _ in res.stage_seconds]
    assert regs == sorted(regs, reverse=True)
    assert regs[-1] == 1e-3
    assert (len(regs) > 1) == (anneal == "auto")
    assert sum(seconds for _, seconds in res.stage_seconds) <= res.time


def test_message_names_the_error_and_the_tolerance():
    res = solve(*points_problem(20).args, 1e-2, tol=1e-7)
    assert res.message.startswith(f"Converged after {res.nit} iterations: marginal error")
    assert "<= tol 1.0e-07" in res.message


def test_history_has_one_entry_a_step():
    res = solve(*points_problem(60).args, 1e-3, history=True)
    history = res.history
    assert set(history) >= {"nit", "marginal_error", "fun", "reg", "l1", "sweep", "density", "cg", "seconds"}
    assert len({len(values) for values in history.values()}) == 1
    assert np.all(np.diff(history["seconds"]) >= 0)
    assert np.all(np.diff(history["reg"]) <= 0)
    assert history["reg"][-1] == 1e-3
    assert history["marginal_error"][-1] <= 1e-9
    assert np.count_nonzero(history["sweep"] == 0) == res.nit_newton + res.nit_coarse
    assert "history" not in solve(*points_problem(20).args, 0.1)


def test_verbose_goes_through_the_logger(caplog, capsys):
    with caplog.at_level(logging.INFO, logger="numopt"):
        res = solve(*points_problem(20).args, 1e-2, verbose=2)
    assert res.success
    assert len(caplog.records) > 1
    assert "marginal_error" in caplog.text
    assert capsys.readouterr().out == ""


# -- lazy plans -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["dense costs", "points", "empty atoms"])
def lazy_and_dense(request):
    """A LazyPlan and the same plan as an array."""
    if request.param == "points":
        rng = np.random.default_rng(51)
        X, Y = rng.random((20, 3)), rng.random((30, 3))
        return tuple(solve_points(X, Y, 0.02, plan=kind).plan for kind in ("lazy", "dense"))
    args = problem_with_empty_atoms() if request.param == "empty atoms" else points_problem(20, 30, seed=52).args
    return tuple(solve(*args, 0.02, plan=kind).plan for kind in ("lazy", "dense"))


def test_lazy_plan_says_what_it_is(lazy_and_dense):
    lazy, dense = lazy_and_dense
    assert isinstance(lazy, LazyPlan)
    assert lazy.shape == dense.shape
    assert lazy.dtype == dense.dtype
    assert "LazyPlan(shape=(20, 30)" in repr(lazy)


def test_lazy_plan_products(lazy_and_dense):
    lazy, dense = lazy_and_dense
    rng = np.random.default_rng(0)
    v, V = rng.normal(size=30), rng.normal(size=(30, 4))
    np.testing.assert_allclose(lazy @ v, dense @ v, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(lazy @ V, dense @ V, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(lazy @ V[:, ::2], dense @ V[:, ::2], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(lazy.T @ np.ones(20), dense.sum(axis=0), rtol=1e-12, atol=1e-15)
    assert lazy.T.shape == (30, 20)
    np.testing.assert_allclose(lazy.T.toarray(), dense.T, rtol=1e-12, atol=1e-15)
    for wrong in (np.ones(20), np.ones((20, 2)), np.ones((30, 2, 2)), np.ones(())):
        with pytest.raises(ValueError, match="`V` must have shape"):
            lazy @ wrong


def test_lazy_plan_sums(lazy_and_dense):
    lazy, dense = lazy_and_dense
    assert float(lazy.sum()) == pytest.approx(1.0, abs=1e-8)
    np.testing.assert_allclose(lazy.sum(axis=0), dense.sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(lazy.sum(axis=1), dense.sum(axis=1), rtol=1e-12)
    with pytest.raises(ValueError, match="`axis` must be None, 0 or 1"):
        lazy.sum(axis=2)


def test_lazy_plan_entries(lazy_and_dense):
    lazy, dense = lazy_and_dense
    np.testing.assert_allclose(lazy.toarray(), dense, rtol=1e-12, atol=1e-300)
    # A threshold between two entries, so that rounding does not decide.
    entries = np.unique(dense[dense > 1e-12])
    middle = np.sqrt(entries[len(entries) // 2] * entries[len(entries) // 2 + 1])
    for threshold in (1e-30, middle, 2.0):
        expected = np.where(dense >= threshold, dense, 0.0)
        sparse = lazy.tocsr(threshold)
        assert sp.issparse(sparse)
        assert sparse.format == "csr"
        assert sparse.shape == dense.shape
        assert lazy.nnz(threshold) == sparse.nnz == np.count_nonzero(expected)
        np.testing.assert_allclose(sparse.toarray(), expected, rtol=1e-12)
        assert sparse.has_canonical_format
    for wrong in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="`threshold` must be positive"):
            lazy.nnz(wrong)


# -- sparse plans ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reg", [1e-1, 1e-3])
def test_sparse_plan_leaves_out_less_than_the_tolerance(reg):
    a, b, C = problem_with_empty_atoms()
    res = solve(a, b, C, reg, plan="sparse", tol=1e-8)
    assert res.success
    assert sp.issparse(res.plan)
    assert res.plan.format == "csr"
    assert res.plan.shape == C.shape
    dense = solve(a, b, C, reg, tol=1e-8).plan
    missing = dense - res.plan.toarray()
    assert np.abs(missing).sum() <= 1e-8
    assert res.plan.nnz < C.size
    # Entries that are there are the plan's own.
    kept = res.plan.toarray() > 0
    np.testing.assert_allclose(res.plan.toarray()[kept], dense[kept], rtol=1e-12)
    assert not kept[a == 0].any()
    assert not kept[:, b == 0].any()


def test_no_plan_where_none_is_wanted():
    res = solve(*points_problem(20).args, 1e-2, plan=None)
    assert res.success
    assert res.plan is None
    assert res.x is None


# -- float32 --------------------------------------------------------------------------------------------------------


def single(p):
    return tuple(v.astype(np.float32) for v in p.args)


@pytest.mark.parametrize("reg", [1e-1, 1e-2, 1e-3])
def test_float32_stays_float32_and_reaches_its_floor(reg):
    p = points_problem(60, seed=53)
    res = solve(*single(p), reg)
    assert res.success, res.message
    assert res.plan.dtype == res.f.dtype == res.g.dtype == np.float32
    double = solve(*p.args, reg)
    error = (
        np.abs(res.plan.sum(axis=1, dtype=float) - p.a).sum() + np.abs(res.plan.sum(axis=0, dtype=float) - p.b).sum()
    )
    # eps32 * max|f| / reg, with |f| <= 1 and the factor of ten that the default tolerance allows.
    assert error <= 100 * np.finfo(np.float32).eps * max(1.0, 1 / reg)
    assert res.value == pytest.approx(double.value, rel=1e-2)


@pytest.mark.parametrize("reg", [1e-2, 1e-3])
def test_refinement_reaches_float64_accuracy_on_float32_costs(reg):
    p = points_problem(60, seed=54)
    a, b, C = single(p)
    res = solve(a, b, C, reg, refine=True, tol=1e-10)
    assert res.success, res.message
    assert res.f.dtype == np.float64
    rounded = [v.astype(float) for v in (a, b, C)]
    P = np.exp((res.f[:, None] + res.g - rounded[2]) / reg)
    b64 = rounded[1] * (rounded[0].sum() / rounded[1].sum())
    assert np.abs(P.sum(axis=1) - rounded[0]).sum() + np.abs(P.sum(axis=0) - b64).sum() <= 2e-10


def test_mixed_precisions_are_promoted():
    p = points_problem(20, seed=55)
    assert solve(p.a, p.b, p.C.astype(np.float32), 0.1).plan.dtype == np.float64
    a, b, C = single(p)
    assert solve(a, b, C.astype(float), 0.1).plan.dtype == np.float64
