"""Gradients of the answer against central differences of whole solves."""

import pickle

import numpy as np
import pytest

from numopt.ot import _adjoint, solve, solve_points
from tests.helpers.xp import make, to_numpy

STEP = 1e-6
ENTRIES = 4
# Differences with this step carry tol / STEP = 1e-7 of noise and a truncation error of about (STEP / reg)^2.
ACCURACY = 1e-6
OPTIONS = {"tol": 1e-13, "mass_tol": 1.0}


def weights(rng, n):
    values = rng.random(n) + 0.1
    return values / values.sum()


def data(seed, n=13, m=9):
    rng = np.random.default_rng(seed)
    return weights(rng, n), weights(rng, m), rng.random((n, m))


def cotangents(seed, n, m):
    rng = np.random.default_rng(seed)
    return {
        "plan": rng.standard_normal((n, m)),
        "f": rng.standard_normal(n),
        "g": rng.standard_normal(m),
        "value": 0.7,
        "reg_value": -0.4,
    }


def loss(solver, args, bars):
    res = solver(*args)
    assert res.success, res.message
    plan = res.plan.toarray() if hasattr(res.plan, "toarray") else res.plan
    return sum(np.sum(bar * (plan if name == "plan" else res[name])) for name, bar in bars.items())


def differences(solver, args, k, bars, where):
    """Derivatives of the loss by the entries `where` of argument k."""
    out = np.zeros(args[k].shape)
    for i in zip(*np.nonzero(where), strict=True):
        ends = []
        for sign in (1.0, -1.0):
            moved = list(args)
            moved[k] = args[k].copy()
            moved[k][i] += sign * STEP
            ends.append(loss(solver, moved, bars))
        out[i] = (ends[0] - ends[1]) / (2.0 * STEP)
    return out


def check(solver, args, names, bars, skip=None, seed=0):
    """Compare a few entries of each gradient."""
    gradients = solver(*args).vjp(**bars)
    assert set(gradients) == set(names)
    rng = np.random.default_rng(seed)
    for k, name in enumerate(names):
        where = np.ones(args[k].shape, dtype=bool) if skip is None or name != "C" else ~skip
        drop = rng.permutation(np.flatnonzero(where))[ENTRIES:]
        where.ravel()[drop] = False
        expected = differences(solver, args, k, bars, where)
        error = np.abs(expected - gradients[name])[where].max()
        assert error <= ACCURACY * np.abs(expected).max(), name


@pytest.mark.parametrize("reg", [0.3, 0.03, 0.005])
@pytest.mark.parametrize("shape", [(13, 9), (9, 13), (1, 5)])
def test_gradients_of_a_balanced_problem(reg, shape):
    a, b, C = data(1, *shape)
    check(lambda a, b, C: solve(a, b, C, reg, **OPTIONS), [a, b, C], "abC", cotangents(2, *shape))


@pytest.mark.parametrize("name", ["plan", "f", "g", "value", "reg_value"])
def test_each_cotangent_alone(name):
    a, b, C = data(3)
    bars = {name: cotangents(4, *C.shape)[name]}
    check(lambda a, b, C: solve(a, b, C, 0.05, **OPTIONS), [a, b, C], "abC", bars)


@pytest.mark.parametrize("reg_m", [0.5, (0.2, 0.9), (np.inf, 0.3), (0.3, np.inf)])
def test_gradients_with_penalised_marginals(reg_m):
    a, b, C = data(5)
    bars = cotangents(6, *C.shape)
    check(lambda a, b, C: solve(a, b, C, 0.05, reg_m=reg_m, tol=1e-13), [a, 1.3 * b, C], "abC", bars)


def test_gradients_with_costs_far_from_zero():
    a, b, C = data(7)
    bars = cotangents(8, *C.shape)
    check(lambda a, b, C: solve(a, b, C, 0.05, **OPTIONS), [a, b, C + 20.0], "abC", bars)


def test_gradients_with_forbidden_pairs():
    a, b, C = data(9)
    C[np.random.default_rng(10).random(C.shape) < 0.2] = np.inf
    bars = cotangents(11, *C.shape)
    check(lambda a, b, C: solve(a, b, C, 0.05, **OPTIONS), [a, b, C], "abC", bars, skip=np.isinf(C))
    gradient = solve(a, b, C, 0.05, **OPTIONS).vjp(**bars)["C"]
    assert np.all(gradient[np.isinf(C)] == 0.0)


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cityblock"])
@pytest.mark.parametrize(("stored", "shape"), [(True, (9, 13)), (False, (13, 9)), (False, (9, 13))])
def test_gradients_by_points(metric, stored, shape, monkeypatch):
    if not stored:
        monkeypatch.setattr(_adjoint, "STORED_PAIRS", 0)
    a, b, _ = data(12, *shape)
    rng = np.random.default_rng(13)
    X, Y = rng.standard_normal((shape[0], 2)), rng.standard_normal((shape[1], 2))
    bars = cotangents(14, *shape)
    potentials = {name: bars[name] for name in ("f", "g", "reg_value")}

    def solver(a, b, X, Y):
        return solve_points(X, Y, 0.3, a, b, metric=metric, **OPTIONS)

    check(solver, [a, b, X, Y], "abXY", bars)
    check(solver, [a, b, X, Y], "abXY", potentials)


@pytest.mark.parametrize("reg_m", [None, 0.4])
@pytest.mark.parametrize("dense_limit", [_adjoint.DENSE_LIMIT, 0])
def test_conjugate_gradients_agree_with_the_factorisation(reg_m, dense_limit, monkeypatch):
    a, b, C = data(15, 30, 20)
    res = solve(a, b, C, 0.02, reg_m=reg_m, tol=1e-12)
    bars = cotangents(16, *C.shape)
    expected = res.vjp(**bars)
    monkeypatch.setattr(_adjoint, "EXACT_LIMIT", 0)
    monkeypatch.setattr(_adjoint, "DENSE_LIMIT", dense_limit)
    for name, gradient in res.vjp(**bars).items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-9, atol=1e-9 * np.abs(expected[name]).max())


def test_objective_has_the_potentials_and_the_plan_as_gradients():
    a, b, C = data(17)
    res = solve(a, b, C, 0.05, tol=1e-13)
    gradients = res.vjp(reg_value=1.0)
    np.testing.assert_array_equal(gradients["a"], res.f)
    np.testing.assert_array_equal(gradients["b"], res.g)
    np.testing.assert_allclose(gradients["C"], res.plan, rtol=1e-13)


def test_gradients_by_b_know_that_b_is_scaled():
    a, b, C = data(18)
    gradients = solve(a, b, C, 0.05, tol=1e-13).vjp(**cotangents(19, *C.shape))
    assert abs(np.sum(b * gradients["b"])) <= 1e-12 * np.abs(gradients["b"]).max()


@pytest.mark.parametrize("points", [False, True])
def test_weights_of_zero_have_the_limit_from_above(points):
    rng = np.random.default_rng(20)
    n, m = 11, 8
    a, b = weights(rng, n), weights(rng, m)
    a[[2, 5]], b[3] = 0.0, 0.0
    a, b = a / a.sum(), b / b.sum()
    X, Y = rng.standard_normal((n, 2)), rng.standard_normal((m, 2))
    C = rng.random((n, m))
    bars = cotangents(21, n, m)
    # The potential of a new atom starts at minus infinity; so do the slopes of the objective and of the gauge.
    bars["f"][[2, 5]], bars["g"][3] = 0.0, 0.0
    bars["f"][0] += bars["g"].sum() - bars["f"].sum()
    del bars["reg_value"]

    def solver(a, b):
        if points:
            return solve_points(X, Y, 0.3, a, b, **OPTIONS)
        return solve(a, b, C, 0.05, **OPTIONS)

    gradients = solver(a, b).vjp(**bars)
    start = loss(solver, [a, b], bars)
    for name, k, i in (("a", 0, 2), ("a", 0, 5), ("b", 1, 3)):
        moved = [a.copy(), b.copy()]
        moved[k][i] = STEP
        slope = (loss(solver, moved, bars) - start) / STEP
        # A one-sided difference: its error is a small multiple of the step times the second derivative.
        assert slope == pytest.approx(gradients[name][i], rel=1e-3, abs=1e-3)
    for name in ("X", "Y") if points else ("C",):
        if name != "Y":
            assert np.all(gradients[name][[2, 5]] == 0.0)
        if name != "X":
            assert np.all((gradients[name].T if name == "C" else gradients[name])[3] == 0.0)


def test_objective_by_weights_of_zero_gives_the_c_transform():
    a, b, C = data(22)
    a[4] = 0.0
    a /= a.sum()
    res = solve(a, b, C, 0.05, tol=1e-12)
    np.testing.assert_array_equal(res.vjp(reg_value=1.0)["a"], res.f)
    assert res.f[4] == pytest.approx(np.min(C[4] - res.g), abs=1e-6)


def test_plan_that_has_fallen_apart():
    # Two blocks without a link in floating point: the shift between them is no part of the plan.
    C = np.full((6, 6), 1e3)
    rng = np.random.default_rng(23)
    C[:3, :3], C[3:, 3:] = rng.random((3, 3)), rng.random((3, 3))
    a = b = np.full(6, 1.0 / 6.0)
    gradient = solve(a, b, C, 0.1, tol=1e-12).vjp(value=1.0)["C"]
    alone = solve(a[:3], b[:3], C[:3, :3], 0.1, tol=1e-12).vjp(value=1.0)["C"]
    np.testing.assert_allclose(gradient[:3, :3], alone, atol=1e-9)


def test_small_regularisation_keeps_the_digits():
    # Almost an assignment: entries off it are exp(-gap / reg), far below the rounding of the sums.
    n = 8
    C = np.random.default_rng(24).random((n, n))
    a = b = np.full(n, 1.0 / n)
    reg = 0.01
    bars = {"plan": np.random.default_rng(25).standard_normal((n, n))}
    res = solve(a, b, C, reg, tol=1e-14)
    gradient = res.vjp(**bars)["C"]
    # C + u 1' + 1 v' has the same plan.
    np.testing.assert_allclose(gradient.sum(axis=0), 0.0, atol=1e-9 * np.abs(gradient).max())
    np.testing.assert_allclose(gradient.sum(axis=1), 0.0, atol=1e-9 * np.abs(gradient).max())


def test_float32_in_float32_out():
    a, b, C = data(26)
    bars = cotangents(27, *C.shape)
    single = solve(*(v.astype(np.float32) for v in (a, b, C)), 0.1).vjp(**bars)
    double = solve(a, b, C, 0.1).vjp(**bars)
    for name, gradient in single.items():
        assert gradient.dtype == np.float32
        np.testing.assert_allclose(gradient, double[name], atol=1e-3 * np.abs(double[name]).max())


def test_gradients_stay_on_the_library_and_device(xp):
    a, b, C = data(28)
    bars = cotangents(29, *C.shape)
    expected = solve(a, b, C, 0.1, tol=1e-12).vjp(**bars)
    res = solve(*(make(xp, v) for v in (a, b, C)), 0.1, tol=1e-12)
    own = {name: bar if np.ndim(bar) == 0 else make(xp, bar) for name, bar in bars.items()}
    for name, gradient in res.vjp(**own).items():
        assert type(gradient) is type(res.f)
        np.testing.assert_allclose(
            to_numpy(gradient), expected[name], rtol=1e-7, atol=1e-8 * np.abs(expected[name]).max()
        )


@pytest.mark.parametrize("form", ["dense", "sparse", "lazy", None])
def test_any_form_of_the_plan_has_the_derivative(form):
    a, b, C = data(30)
    bars = cotangents(31, *C.shape)
    expected = solve(a, b, C, 0.1).vjp(**bars)
    for name, gradient in solve(a, b, C, 0.1, plan=form).vjp(**bars).items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-7, atol=1e-12)


def test_the_derivative_is_no_item_and_does_not_survive_a_pickle():
    a, b, C = data(32)
    res = solve(a, b, C, 0.1)
    assert not any("pull" in key or "vjp" in key for key in res)
    assert "Pullback" not in repr(res)
    again = pickle.loads(pickle.dumps(res))
    np.testing.assert_array_equal(again.plan, res.plan)
    with pytest.raises(ValueError, match="no derivative"):
        again.vjp(value=1.0)


def test_no_derivative_without_convergence():
    a, b, C = data(33)
    with pytest.raises(ValueError, match="did not converge"):
        solve(a, b, C, 0.001, maxiter=1).vjp(value=1.0)


def test_bad_cotangents():
    a, b, C = data(34)
    res = solve(a, b, C, 0.1)
    with pytest.raises(ValueError, match=r"`f` must have shape \(13,\)"):
        res.vjp(f=np.ones(9))
    with pytest.raises(ValueError, match="`plan` must be finite"):
        res.vjp(plan=np.full(C.shape, np.nan))
    with pytest.raises(TypeError, match="`value`"):
        res.vjp(value="1")
