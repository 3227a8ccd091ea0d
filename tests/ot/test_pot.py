"""`sinkhorn` and `sinkhorn2` against POT: values, signatures, logs, warm starts, errors."""

import inspect
import math
import warnings
from typing import Any

import numpy as np
import ot as pot
import pytest

from numopt.ot import sinkhorn, sinkhorn2
from tests.helpers.xp import make, to_numpy


def instance(n: int = 20, m: int = 25, k: int | None = None, seed: int = 0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    M = pot.dist(rng.normal(size=(n, 2)), rng.normal(size=(m, 2)) + 1.0)
    a = rng.dirichlet(np.ones(n))
    b = rng.dirichlet(np.ones(m), size=k).T if k else rng.dirichlet(np.ones(m))
    return a, b, M / M.max()


def converged(a: Any, b: Any, M: Any, reg: float) -> Any:
    return pot.sinkhorn(a, b, M, reg, method="sinkhorn_log", numItermax=20_000, stopThr=1e-14, warn=False)


@pytest.mark.parametrize("ours", [sinkhorn, sinkhorn2])
def test_positional_arguments_are_those_of_pot(ours: Any) -> None:
    theirs = inspect.signature(getattr(pot, ours.__name__)).parameters.values()
    positional = [p for p in inspect.signature(ours).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    expected = [p for p in theirs if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in positional] == [p.name for p in expected]
    assert [p.default for p in positional if p.name != "method"] == [p.default for p in expected if p.name != "method"]


@pytest.mark.parametrize("reg", [1.0, 0.1, 0.02])
def test_plan_is_that_of_pot_run_to_convergence(reg: float, xp: Any) -> None:
    a, b, M = instance()
    P = sinkhorn(make(xp, a), make(xp, b), make(xp, M), reg, stopThr=1e-11)
    assert type(P) is type(make(xp, M))
    np.testing.assert_allclose(to_numpy(P), converged(a, b, M, reg), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "method", ["sinkhorn", "sinkhorn_log", "greenkhorn", "SINKHORN_stabilized", "sinkhorn_epsilon_scaling"]
)
def test_methods_of_pot_are_known(method: str) -> None:
    a, b, M = instance()
    np.testing.assert_array_equal(sinkhorn(a, b, M, 0.1, method), sinkhorn(a, b, M, 0.1))


def test_options_of_single_methods_are_ignored_and_unknown_ones_warn() -> None:
    a, b, M = instance()
    sinkhorn(a, b, M, 0.1, "sinkhorn_stabilized", tau=1e3, print_period=5)
    with pytest.warns(UserWarning, match="nonsense"):
        sinkhorn(a, b, M, 0.1, nonsense=1)


def test_lists_and_empty_weights_are_accepted() -> None:
    M = [[0.0, 1.0], [1.0, 0.0]]
    np.testing.assert_allclose(sinkhorn([], [], M, 1), pot.sinkhorn([], [], M, 1), atol=1e-9)
    np.testing.assert_allclose(sinkhorn([1, 0], [0.5, 0.5], M, 1), [[0.5, 0.5], [0, 0]], atol=1e-9)


@pytest.mark.parametrize("threshold", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("spread", [1.0, 0.02])
def test_threshold_bounds_the_two_norm_of_both_marginals(threshold: float, spread: float) -> None:
    rng = np.random.default_rng(3)
    _, _, M = instance(60, 50)
    a, b = (rng.dirichlet(np.full(k, spread)) + 1e-15 for k in M.shape)
    a, b = a / a.sum(), b / b.sum()
    for reg in (0.1, 1e-2, 1e-3):
        P, log = sinkhorn(a, b, M, reg, stopThr=threshold, log=True)
        error = math.hypot(np.linalg.norm(P.sum(1) - a), np.linalg.norm(P.sum(0) - b))
        assert error <= threshold
        assert log["err"][-1] == pytest.approx(error, rel=1e-3, abs=1e-16)
        assert log["niter"] <= 1000


def test_log_holds_scalings_of_the_plan(xp: Any) -> None:
    a, b, M = instance()
    P, log = sinkhorn(make(xp, a), make(xp, b), make(xp, M), 0.05, log=True)
    assert {"err", "niter", "u", "v", "log_u", "log_v"} <= set(log)
    u, v, log_u, log_v = (to_numpy(log[name]) for name in ("u", "v", "log_u", "log_v"))
    np.testing.assert_allclose(u[:, None] * np.exp(-M / 0.05) * v, to_numpy(P), rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(np.exp(log_u), u)
    np.testing.assert_allclose(np.exp(log_v), v)


def test_atoms_without_mass_have_no_scaling(xp: Any) -> None:
    a, b, M = instance()
    a[3], b[:2] = 0.0, 0.0
    args = (make(xp, a / a.sum()), make(xp, b / b.sum()), make(xp, M), 0.05)
    P, log = sinkhorn(*args, log=True)
    u, v, log_u, log_v = (to_numpy(log[name]) for name in ("u", "v", "log_u", "log_v"))
    assert log_u[3] == log_v[0] == -np.inf
    assert u[3] == v[0] == 0.0
    np.testing.assert_allclose(to_numpy(P), u[:, None] * np.exp(-M / 0.05) * v, rtol=1e-9)
    again, second = sinkhorn(*args, log=True, warmstart=(log["log_u"], log["log_v"]))
    assert second["niter"] <= 2
    np.testing.assert_allclose(to_numpy(again), to_numpy(P), atol=1e-9)


def test_scalings_overflow_to_infinity_and_their_logarithms_do_not() -> None:
    a, b, M = instance()
    P, log = sinkhorn(a, b, M + 5.0 * np.arange(len(a))[:, None], 1e-3, log=True)
    assert np.all(np.isfinite(log["log_u"]))
    assert np.all(np.isfinite(P))
    assert np.isinf(log["u"]).any()


def test_warm_start_of_a_log_goes_on_where_it_stopped(xp: Any) -> None:
    a, b, M = instance()
    args = (make(xp, a), make(xp, b), make(xp, M), 0.01)
    P, log = sinkhorn(*args, log=True)
    again, second = sinkhorn(*args, log=True, warmstart=(log["log_u"], log["log_v"]))
    assert second["niter"] <= 2 < log["niter"]
    np.testing.assert_allclose(to_numpy(again), to_numpy(P), atol=1e-9)


def test_log_of_pot_is_a_warm_start() -> None:
    a, b, M = instance()
    b[4] = 0.0
    b /= b.sum()
    with np.errstate(divide="ignore"):
        P, log = pot.sinkhorn(a, b, M, 0.1, method="sinkhorn_log", stopThr=1e-12, log=True, numItermax=5000)
    again, ours = sinkhorn(a, b, M, 0.1, log=True, warmstart=(log["log_u"], log["log_v"]))
    assert ours["niter"] <= 2
    np.testing.assert_allclose(again, P, atol=1e-9)


@pytest.mark.parametrize("ours", [sinkhorn, sinkhorn2])
def test_several_targets_give_losses(ours: Any, xp: Any) -> None:
    a, b, M = instance(k=3)
    losses, log = ours(make(xp, a), make(xp, b), make(xp, M), 0.1, log=True)
    expected, theirs = pot.sinkhorn(a, b, M, 0.1, stopThr=1e-12, numItermax=5000, log=True)
    np.testing.assert_allclose(to_numpy(losses), expected, rtol=1e-8)
    assert set(theirs) <= set(log)
    assert tuple(log["u"].shape) == theirs["u"].shape
    assert tuple(log["log_v"].shape) == theirs["v"].shape
    again, second = ours(make(xp, a), make(xp, b), make(xp, M), 0.1, log=True, warmstart=(log["log_u"], log["log_v"]))
    assert second["niter"] <= 2
    np.testing.assert_allclose(to_numpy(again), expected, rtol=1e-8)
    one = ours(make(xp, a), make(xp, b[:, :1]), make(xp, M), 0.1)
    assert tuple(one.shape) == (1,)


@pytest.mark.parametrize("reg", [0.05, 5e-3, 1e-3])
def test_targets_without_some_atoms_are_solved_as_one_by_one(reg: float) -> None:
    # At the smaller regularisation the sweeps that all targets share are left early, or not begun.
    a, b, M = instance(k=4)
    b[:3, 1], a[2] = 0.0, 0.0
    a, b = a / a.sum(), b / b.sum(axis=0)
    losses, log = sinkhorn(a, b, M, reg, log=True)
    np.testing.assert_allclose(losses, [sinkhorn2(a, b[:, k], M, reg) for k in range(4)], rtol=1e-7)
    assert log["err"][-1] <= 2e-9
    u, v = np.exp(log["log_u"]), np.exp(log["log_v"])
    for k in range(4):
        P = u[:, k, None] * np.exp(-M / reg) * v[:, k] if reg > 0.01 else sinkhorn(a, b[:, k], M, reg)
        np.testing.assert_allclose(P.sum(axis=0), b[:, k], atol=1e-8)


def test_several_targets_warn_once() -> None:
    a, b, M = instance(k=3)
    with pytest.warns(UserWarning, match="Stopped after") as caught:
        losses = sinkhorn(a, b, M, 1e-3, numItermax=3)
    assert len(caught) == 1
    assert np.all(np.isfinite(losses))
    with pytest.warns(UserWarning, match="float64 can reach"):
        sinkhorn(a, b, M, 0.1, stopThr=0.0)


def test_bad_targets_are_named() -> None:
    a, b, M = instance(k=3)
    for bad, message in (
        (-1.0, "`b` must hold finite non-negative"),
        (np.nan, "`b` must hold finite"),
        (2.0, "same mass"),
    ):
        wrong = b.copy()
        wrong[1, 2] = bad
        with pytest.raises(ValueError, match=message):
            sinkhorn(a, wrong, M, 0.1)


def test_sinkhorn2_is_a_scalar_of_the_linear_loss(xp: Any) -> None:
    a, b, M = instance()
    loss, log = sinkhorn2(make(xp, a), make(xp, b), make(xp, M), 0.1, log=True)
    assert loss.shape == ()
    assert loss.dtype == xp.float64
    expected = np.sum(M * converged(a, b, M, 0.1))
    assert float(loss) == pytest.approx(expected, rel=1e-8)
    assert "log_u" in log


def test_forbidden_pairs_are_left_out_of_the_loss() -> None:
    M = np.array([[0.0, 1.0, np.inf], [1.0, 0.0, 1.0], [1.0, np.inf, 0.0]])
    P = sinkhorn([], [], M, 0.1)
    assert P[0, 2] == P[2, 1] == 0.0
    assert np.isfinite(sinkhorn2([], [], M, 0.1))


def test_float32_uses_its_floor_and_says_so(xp: Any) -> None:
    a, b, M = instance()
    args = [make(xp, v, "float32") for v in (a, b, M)]
    with pytest.warns(UserWarning, match="`stopThr` of 1e-09 is below what .*float32 can reach"):
        P = sinkhorn(*args, 0.1)
    assert P.dtype == xp.float32
    np.testing.assert_allclose(to_numpy(P), converged(a, b, M, 0.1), atol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sinkhorn(*args, 0.1, warn=False)
        sinkhorn(*args, 0.1, stopThr=1e-4)


def test_a_threshold_of_zero_runs_to_the_floor_of_the_dtype() -> None:
    a, b, M = instance()
    with pytest.warns(UserWarning, match="below what float64 can reach"):
        P = sinkhorn(a, b, M, 0.1, stopThr=0.0)
    assert np.linalg.norm(P.sum(0) - b) < 1e-14


def test_too_few_iterations_warn_and_return_a_finite_plan() -> None:
    a, b, M = instance()
    with pytest.warns(UserWarning, match=r"Stopped after .*raise maxiter.*2-norm"):
        P, log = sinkhorn(a, b, M, 1e-3, numItermax=3, log=True)
    assert np.all(np.isfinite(P))
    assert log["niter"] <= 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sinkhorn(a, b, M, 1e-3, numItermax=3, warn=False)
        sinkhorn2(a, b, M, 1e-3, numItermax=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reg": 0.0}, "`reg` must be a positive"),
        ({"reg": math.nan}, "`reg` must be a positive"),
        ({"method": "simplex"}, "`method` must be one of"),
        ({"stopThr": -1.0}, "`stopThr` must be a non-negative"),
        ({"numItermax": 0}, "`numItermax` must be a positive int"),
        ({"a": np.full(3, 0.5)}, "same mass"),
        ({"a": np.array([1.5, -0.5, 0.0])}, "`a` must hold finite non-negative"),
        ({"a": np.array([np.nan, 0.5, 0.5])}, "`a` must hold finite"),
        ({"b": np.ones(3) / 3}, "`b` must have 2 elements"),
        ({"b": np.ones((2, 0))}, "at least one column"),
        ({"M": np.full((3, 2), np.nan)}, "`M` must hold numbers above -inf"),
        ({"M": np.full((3, 2), -np.inf)}, "`M` must hold numbers above -inf"),
        ({"M": np.ones(3)}, "`M` must be a 2-D array"),
        ({"M": np.array([[0.0, 1.0], [np.inf, np.inf], [1.0, 0.0]])}, "source 1 has mass, but all its costs in `M`"),
        ({"warmstart": (np.zeros(3),)}, "must be a pair"),
        ({"warmstart": (np.zeros(2), np.zeros(2))}, r"log u of shape \(3,\)"),
        ({"warmstart": (np.full(3, np.nan), np.zeros(2))}, "must be finite"),
    ],
)
def test_bad_input_is_a_value_error(change: dict[str, Any], message: str) -> None:
    arguments = {"a": np.ones(3) / 3, "b": np.ones(2) / 2, "M": np.ones((3, 2)), "reg": 1.0, **change}
    for function in (sinkhorn, sinkhorn2):
        with pytest.raises(ValueError, match=message):
            function(**arguments)


def test_warm_start_needs_a_column_for_each_target() -> None:
    with pytest.raises(ValueError, match="log u with 2 columns"):
        sinkhorn([], np.full((3, 2), 1 / 3), np.ones((4, 3)), 1.0, warmstart=(np.zeros(4), np.zeros((3, 2))))


def test_complex_and_sparse_costs_are_refused() -> None:
    import scipy.sparse

    with pytest.raises(TypeError, match="`M` must be real"):
        sinkhorn([], [], np.ones((2, 2), dtype=complex), 1.0)
    with pytest.raises(TypeError, match="`M` must be a dense array"):
        sinkhorn([], [], scipy.sparse.eye_array(2), 1.0)
