"""`sinkhorn_unbalanced` against POT and against the optimality conditions."""

import inspect
import math
import warnings
from typing import Any

import numpy as np
import ot as pot
import pytest

from numopt.ot import sinkhorn, sinkhorn_unbalanced, solve
from tests.helpers.xp import make, to_numpy


def instance(n: int = 12, m: int = 15, seed: int = 0) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.random(n), 2.0 * rng.random(m), rng.random((n, m)), rng.random((n, m))


def theirs(*args: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pot.sinkhorn_unbalanced(*args, stopThr=1e-14, numItermax=20_000, **options)


def test_positional_arguments_are_those_of_pot() -> None:
    positional, expected = (
        [p for p in inspect.signature(f).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
        for f in (sinkhorn_unbalanced, pot.sinkhorn_unbalanced)
    )
    assert [p.name for p in positional] == [p.name for p in expected]
    assert [p.default for p in positional if p.name != "method"] == [p.default for p in expected if p.name != "method"]


@pytest.mark.parametrize(
    "reg_m", [1.0, (0.5, 2.0), [0.3], np.array([0.1, 5.0]), (math.inf, 1.0), (1.0, math.inf), 1e-2]
)
@pytest.mark.parametrize("reg_type", ["kl", "entropy"])
@pytest.mark.parametrize("reference", [False, True])
def test_plan_and_log_are_those_of_pot(reg_m: Any, reg_type: str, reference: bool) -> None:
    a, b, M, c = instance()
    c = c if reference and reg_type == "kl" else None
    P, log = sinkhorn_unbalanced(a, b, M, 0.05, reg_m, reg_type=reg_type, c=c, stopThr=1e-12, log=True)
    their_reg_m = reg_m[0] if isinstance(reg_m, list) else reg_m
    Q, expected = theirs(a, b, M, 0.05, their_reg_m, reg_type=reg_type, c=c, log=True)
    np.testing.assert_allclose(P, Q, rtol=0, atol=1e-9)
    assert set(expected) <= set(log)
    for name in ("cost", "total_cost", "logu", "logv"):
        np.testing.assert_allclose(log[name], expected[name], rtol=1e-7, atol=1e-8)
    assert log["err"][-1] <= 1e-12


def test_arrays_of_every_library(xp: Any) -> None:
    a, b, M, c = instance()
    args = tuple(make(xp, v) for v in (a, b, M))
    P, log = sinkhorn_unbalanced(*args, 0.05, 1.0, c=make(xp, c), log=True, stopThr=1e-11)
    assert type(P) is type(args[2])
    assert type(log["logu"]) is type(args[2])
    np.testing.assert_allclose(to_numpy(P), theirs(a, b, M, 0.05, 1.0, c=c), atol=1e-9)


def test_small_regularisation_meets_the_optimality_conditions() -> None:
    # exp(f / reg) overflows here, so that POT returns a plan that is far off.
    a, b, M, _ = instance()
    reg, rho = 0.02, 100.0
    P = sinkhorn_unbalanced(a, b, M, reg, rho, stopThr=1e-12)
    residual = M + reg * np.log(P / np.outer(a, b)) + rho * (np.log(P.sum(1) / a)[:, None] + np.log(P.sum(0) / b))
    assert np.abs(residual).max() < 1e-8


def test_infinite_penalties_give_balanced_transport() -> None:
    a, b, M, _ = instance()
    b *= a.sum() / b.sum()
    P = sinkhorn_unbalanced(a, b, M, 0.05, math.inf, stopThr=1e-10)
    np.testing.assert_allclose(P, sinkhorn(a, b, M, 0.05), atol=1e-9)
    with pytest.raises(ValueError, match="same mass"):
        sinkhorn_unbalanced(a, 2.0 * b, M, 0.05, math.inf)


def test_entropy_is_the_form_of_solve() -> None:
    a, b, M, _ = instance()
    P = sinkhorn_unbalanced(a, b, M, 0.05, 1.0, reg_type="entropy", stopThr=1e-10)
    np.testing.assert_allclose(P, solve(a, b, M, 0.05, reg_m=1.0).plan, atol=1e-9)


def test_unused_reference_warns() -> None:
    a, b, M, c = instance()
    with pytest.warns(UserWarning, match="`c` is not used"):
        P = sinkhorn_unbalanced(a, b, M, 0.05, 1.0, reg_type="entropy", c=c)
    np.testing.assert_array_equal(P, sinkhorn_unbalanced(a, b, M, 0.05, 1.0, reg_type="entropy"))


@pytest.mark.parametrize("reg_type", ["kl", "entropy"])
def test_several_targets_give_the_loss_of_each(reg_type: str, xp: Any) -> None:
    a, _, M, _ = instance()
    B = np.random.default_rng(1).random((M.shape[1], 3))
    options: dict[str, Any] = {"reg_type": reg_type, "stopThr": 1e-11}
    args = (make(xp, a), make(xp, B), make(xp, M), 0.05, 1.0)
    losses, log = sinkhorn_unbalanced(*args, **options, log=True)
    single = [np.sum(M * sinkhorn_unbalanced(a, B[:, k], M, 0.05, 1.0, **options)) for k in range(3)]
    np.testing.assert_allclose(to_numpy(losses), single, rtol=1e-8)
    assert tuple(log["logu"].shape) == (M.shape[0], 3)
    assert tuple(log["logv"].shape) == (M.shape[1], 3)
    if reg_type == "entropy":
        np.testing.assert_allclose(to_numpy(losses), theirs(a, B, M, 0.05, 1.0, reg_type=reg_type), rtol=1e-8)
    again, second = sinkhorn_unbalanced(*args, **options, log=True, warmstart=(log["logu"], log["logv"]))
    assert second["niter"] <= 2
    np.testing.assert_allclose(to_numpy(again), single, rtol=1e-8)


@pytest.mark.parametrize("reference", [False, True])
def test_atoms_without_mass_and_zero_references_carry_nothing(reference: bool, xp: Any) -> None:
    a, b, M, c = instance()
    a[3], b[:2], c[c < 0.3] = 0.0, 0.0, 0.0
    options: dict[str, Any] = {"c": make(xp, c) if reference else None, "stopThr": 1e-9, "log": True}
    args = (make(xp, a), make(xp, b), make(xp, M), 0.05, 1.0)
    found, log = sinkhorn_unbalanced(*args, **options)
    P = to_numpy(found)
    assert P[3].sum() == P[:, :2].sum() == 0.0
    assert to_numpy(log["logu"])[3] == -np.inf
    if reference:
        assert np.all(P[c == 0.0] == 0.0)
    again, second = sinkhorn_unbalanced(*args, **options, warmstart=(log["logu"], log["logv"]))
    assert second["niter"] <= 2
    np.testing.assert_allclose(to_numpy(again), P, atol=1e-8)


def test_empty_weights_are_uniform() -> None:
    M = [[0.0, 1.0], [1.0, 0.0]]
    P = sinkhorn_unbalanced([], [], M, 1, 1)
    np.testing.assert_allclose(P, sinkhorn_unbalanced([0.5, 0.5], [0.5, 0.5], M, 1, 1, "sinkhorn_stabilized", tau=1e5))


def test_float32_stays_float32(xp: Any) -> None:
    a, b, M, _ = instance()
    args = [make(xp, v, "float32") for v in (a, b, M)]
    P, log = sinkhorn_unbalanced(*args, 0.1, 1.0, log=True, stopThr=1e-5)
    assert P.dtype == log["logu"].dtype == log["cost"].dtype == xp.float32
    np.testing.assert_allclose(to_numpy(P), theirs(a, b, M, 0.1, 1.0), atol=1e-4)
    with pytest.warns(UserWarning, match="float32 can reach"):
        sinkhorn_unbalanced(*args, 0.1, 1.0, stopThr=1e-9)


def test_too_few_iterations_warn() -> None:
    a, b, M, _ = instance()
    with pytest.warns(UserWarning, match="Stopped after"):
        P = sinkhorn_unbalanced(a, b, M, 1e-3, 10.0, numItermax=2)
    assert np.all(np.isfinite(P))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sinkhorn_unbalanced(a, b, M, 1e-3, 10.0, numItermax=2, warn=False)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"reg_m": 0.0}, ValueError, "`reg_m` must be"),
        ({"reg_m": (1.0, 2.0, 3.0)}, ValueError, "`reg_m` must be"),
        ({"reg_m": None}, TypeError, "`reg_m` must be"),
        ({"reg": -1.0}, ValueError, "`reg` must be"),
        ({"reg_type": "l2"}, ValueError, "`reg_type` must be one of"),
        ({"method": "newton"}, ValueError, "`method` must be one of"),
        ({"c": np.ones((2, 2))}, ValueError, "`c` must have shape"),
        ({"c": -np.ones((3, 2))}, ValueError, "`c` must hold finite"),
        ({"c": np.array([[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]])}, ValueError, "`c` leaves an atom"),
        ({"M": np.full((3, 2), np.nan)}, ValueError, "`M` must hold"),
        ({"b": [1.0, -1.0]}, ValueError, "`b` must hold"),
        ({"a": np.ones(3, dtype=complex)}, TypeError, "must be real"),
    ],
)
def test_bad_input_raises(change: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"a": np.ones(3), "b": np.ones(2), "M": np.ones((3, 2)), "reg": 1.0, "reg_m": 1.0, **change}
    with pytest.raises(error, match=message):
        sinkhorn_unbalanced(**arguments)
