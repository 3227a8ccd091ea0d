"""The bandit kernels against the reference, closed forms and SciPy."""

from typing import Any

import numpy as np
import pytest
import scipy.optimize as so

from numopt.kernels import KERNELS, bind
from tests.helpers.xp import load, make, to_numpy

# The kernels that draw and what they take between the cell and the limits.
DRAWS: dict[str, list[Any]] = {
    "tsallis_draw": [1.0, 0.0, 0.0, 0],
    "exponential_draw": [1.0, 0.0, 0.0, 0.4],
    "confidence_draw": [],
    "greedy_draw": [0.3],
    "thompson_draw": ["normals"],
}
HOMES = [np, load("array_api_strict")]


def cells(d: int, seed: int = 0, plays: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of two cells, of which the second was played."""
    rng = np.random.default_rng(seed)
    arms, totals = np.zeros((2, d, 4)), np.zeros((2, 5))
    for _ in range(plays):
        arm, cost = int(rng.integers(d)), float(rng.integers(2, 50))
        bind(np).record_cost(arms, totals, 1, arm, 1.0 / d, 0.0, cost, 1.0, 1.0, 1.0)
    return arms, totals


def draw(
    xp: Any,
    name: str,
    arms: np.ndarray,
    totals: np.ndarray,
    u: float,
    cell: int = 1,
    limits: Any = None,
    extra: list[Any] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return probabilities, `out` and the arms after one draw."""
    d = arms.shape[1]
    extra = list(DRAWS[name] if extra is None else extra)
    extra = [make(xp, np.random.default_rng(3).standard_normal(d)) if v == "normals" else v for v in extra]
    state = [make(xp, arms), make(xp, totals)]
    p, out = make(xp, np.full(d, np.nan)), make(xp, np.full(4, np.nan))
    scores = [make(xp, np.full(d, np.nan))] if "scores" in KERNELS[name].signature else []
    capped = make(xp, np.ones(d) if limits is None else limits)
    assert getattr(bind(xp), name)(*state, cell, *extra, capped, u, p, *scores, out) is None
    return to_numpy(p), to_numpy(out), to_numpy(state[0])


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("d", [1, 2, 7, 20])
def test_homes_agree(name: str, d: int) -> None:
    arms, totals = cells(d, plays=8 * d)
    for cell in (0, 1):
        for u in (0.0, 0.3, 0.77, np.nextafter(1, 0)):
            (p, out, _), (expected, out_reference, _) = (draw(xp, name, arms, totals, u, cell) for xp in HOMES)
            np.testing.assert_allclose(p, expected, rtol=1e-10, atol=1e-300)
            np.testing.assert_allclose(out[:3], out_reference[:3], rtol=1e-10)
            assert abs(p.sum() - 1) <= 1e-12
            assert p[int(out[0])] == out[1] > 0


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("limits", [[1, 0.01, 1, 1], [0, 0.02, 1, 0], [0.01] * 4, [0, 0, 0, 1.0]])
def test_limits_cap_the_probabilities(name: str, limits: list[float]) -> None:
    arms, totals = cells(4)
    (p, _, _), (expected, _, _) = (draw(xp, name, arms, totals, 0.6, limits=np.array(limits)) for xp in HOMES)
    np.testing.assert_allclose(p, expected, rtol=1e-10)
    assert abs(p.sum() - 1) <= 1e-12
    if max(limits) == 1:
        assert np.all(p <= limits)


@pytest.mark.parametrize("name", ["tsallis_draw", "exponential_draw"])
@pytest.mark.parametrize("xp", HOMES)
def test_an_arm_with_a_limit_does_not_change_how_the_others_share(name: str, xp: Any) -> None:
    arms, totals = cells(6, plays=300)
    alone, _, _ = draw(xp, name, arms[:, 1:].copy(), totals, 0.5)
    arms[1, 0, 0] = 0.0  # it was never played again
    p, _, _ = draw(xp, name, arms, totals, 0.5, limits=np.array([1e-3, 1, 1, 1, 1, 1]))
    assert p[0] == pytest.approx(1e-3)
    np.testing.assert_allclose(p[1:], alone * (1 - 1e-3), rtol=1e-9)


@pytest.mark.parametrize("name", DRAWS)
def test_arms_are_drawn_by_their_probabilities(name: str) -> None:
    arms, totals = cells(5)
    p, _, _ = draw(np, name, arms, totals, 0.5)
    grid = (np.arange(2000) + 0.5) / 2000
    drawn = [int(draw(np, name, arms, totals, u)[1][0]) for u in grid]
    # Each boundary between two arms puts at most one point of the grid on the wrong side.
    np.testing.assert_allclose(np.bincount(drawn, minlength=5) / 2000, p, atol=1.5 / 2000)


@pytest.mark.parametrize("spread", [0.0, 1e-9, 1.0, 1e3, 1e12])
@pytest.mark.parametrize("rounds", [1, 30, 10**6])
def test_tsallis_probabilities_solve_their_equation(spread: float, rounds: int) -> None:
    arms, totals = np.zeros((1, 20, 4)), np.zeros((1, 5))
    arms[0, :, 0] = spread * np.random.default_rng(0).random(20)
    totals[0] = [rounds, 2.0 * rounds, 2, 2, rounds]
    p, _, _ = draw(np, "tsallis_draw", arms, totals, 0.5, cell=0)
    assert abs(p.sum() - 1) <= 1e-12
    eta = 2 / np.sqrt(rounds + 1)
    # 2 / (eta sqrt(p_i)) = k_i - x for the same x.
    x = arms[0, :, 0] - 2 / (eta * np.sqrt(p))
    np.testing.assert_allclose(x, x[0], rtol=0, atol=1e-9 * (np.abs(x).max() + spread))


def test_tsallis_starts_uniform() -> None:
    p, _, _ = draw(np, "tsallis_draw", np.zeros((1, 20, 4)), np.zeros((1, 5)), 0.5, cell=0)
    np.testing.assert_array_equal(p, np.full(20, 1 / 20))


def test_tsallis_is_uniform_when_every_cost_is_the_floor() -> None:
    arms, totals = np.zeros((1, 3, 4)), np.array([[5.0, 5, 1, 1, 5]])
    p, _, _ = draw(np, "tsallis_draw", arms, totals, 0.5, cell=0)
    np.testing.assert_array_equal(p, np.full(3, 1 / 3))


def test_the_baseline_goes_to_likely_arms() -> None:
    arms, totals = cells(3, plays=400)
    found = [draw(xp, "tsallis_draw", arms, totals, 0.1, extra=[1.0, 0.0, 0.0, 1]) for xp in HOMES]
    for p, out, after in found:
        sigma = totals[1, 1] / totals[1, 0] - 1
        added = np.where(p >= 4 / (totals[1, 0] + 1), sigma, 0)
        assert added.any()
        np.testing.assert_allclose(after[1, :, 0] - arms[1, :, 0], added, atol=1e-9 * arms.max())
        assert out[2] == pytest.approx(added[int(out[0])])


def test_an_unlikely_arm_has_no_baseline() -> None:
    arms, totals = np.zeros((1, 2, 4)), np.array([[100.0, 300, 1, 9, 100]])
    arms[0, 1, 0] = 1e6
    _, out, after = draw(np, "tsallis_draw", arms, totals, np.nextafter(1, 0), cell=0, extra=[1.0, 0.0, 0.0, 1])
    assert (out[0], out[2], after[0, 1, 0]) == (1, 0, 1e6)


@pytest.mark.parametrize("name", ["confidence_draw", "greedy_draw", "thompson_draw"])
def test_arms_never_played_come_first(name: str) -> None:
    arms, totals = cells(6)
    arms[1, 4] = 0
    p, _, _ = draw(np, name, arms, totals, 0.5)
    assert np.argmax(p) == 4


def record(xp: Any, plays: list[tuple[int, float, float, float, float]], discount: float = 1.0) -> list[np.ndarray]:
    state = [make(xp, np.zeros((1, 3, 4))), make(xp, np.zeros((1, 5)))]
    for arm, probability, baseline, cost, weight in plays:
        bind(xp).record_cost(*state, 0, arm, probability, baseline, cost, 1.0, weight, discount)
    return [to_numpy(part) for part in state]


@pytest.mark.parametrize("xp", HOMES)
def test_record_keeps_sums(xp: Any) -> None:
    arms, totals = record(xp, [(0, 0.5, 0.0, 7.0, 1.0), (2, 0.25, 2.0, 5.0, 1.0), (0, 1.0, 0.0, 3.0, 1.0)])
    np.testing.assert_allclose(arms[0], [[14, 2, 10, 58], [0, 0, 0, 0], [8, 1, 5, 25]])
    np.testing.assert_allclose(totals[0], [3, 15, 3, 7, 3])


@pytest.mark.parametrize("xp", HOMES)
def test_a_discount_forgets_and_a_negative_weight_takes_back(xp: Any) -> None:
    arms, totals = record(xp, [(0, 0.5, 0.0, 7.0, 1.0), (1, 0.5, 0.0, 3.0, 1.0)], discount=0.5)
    np.testing.assert_allclose(arms[0], [[6, 0.5, 3.5, 24.5], [4, 1, 3, 9], [0, 0, 0, 0]])
    np.testing.assert_allclose(totals[0], [1.5, 6.5, 3, 7, 2])
    arms, totals = record(xp, [(0, 0.5, 0.0, 7.0, 1.0), (1, 0.5, 0.0, 3.0, 1.0), (0, 0.5, 0.0, 7.0, -1.0)])
    np.testing.assert_allclose(arms[0], [[0, 0, 0, 0], [4, 1, 3, 9], [0, 0, 0, 0]])
    np.testing.assert_allclose(totals[0], [1, 3, 3, 7, 2])


class Learner:
    """The state of ChebCB in one home."""

    def __init__(self, xp: Any, d: int, powers: np.ndarray) -> None:
        m = powers.shape[0]
        self.kernels = bind(xp)
        parts = {"arms": (1, d, 4), "totals": (1, 5), "squares": (4,), "gram": (d, m, m), "moments": (d, m)}
        parts |= {"theta": (d, m), "features": (m,), "limits": (d,), "p": (d,), "out": (4,), "work": (m + 3, m)}
        for name, shape in parts.items():
            setattr(self, name, make(xp, np.ones(shape) if name == "limits" else np.zeros(shape)))
        self.powers, self.degrees = make(xp, powers), make(xp, powers.sum(axis=1).astype("f8"))
        self.xp = xp

    def draw(self, point: list[float], u: float) -> np.ndarray:
        where = make(self.xp, np.array(point))
        self.kernels.chebyshev_draw(
            self.arms, self.totals, self.squares, self.theta, where, self.powers, self.degrees, self.features,
            self.limits, u, self.p, self.out,
        )  # fmt: skip
        return to_numpy(self.out)

    def record(self, arm: int, prediction: float, cost: float, floor: float = 1.0, weight: float = 1.0) -> None:
        self.kernels.chebyshev_record(
            self.arms, self.totals, self.squares, self.gram, self.moments, self.theta, self.degrees, self.features,
            arm, prediction, cost, floor, weight, 1.0, self.work,
        )  # fmt: skip


def line(m: int) -> np.ndarray:
    return np.arange(m)[:, None]


def costs(arm: int, u: float) -> float:
    return 5.0 + 3 * abs(u - 0.3 * arm) + 10 * (u > 0.5)


def test_the_learner_of_contexts_agrees_with_the_reference() -> None:
    rng = np.random.default_rng(5)
    learners = [Learner(xp, 3, line(3)) for xp in HOMES]
    for _ in range(40):
        u, point = float(rng.random()), float(rng.uniform(-1, 1))
        arms = []
        for learner in learners:
            out = learner.draw([point], u)
            arms.append(int(out[0]))
            learner.record(arms[-1], float(out[2]), costs(arms[-1], point))
        assert arms[0] == arms[1]
        for name in ("theta", "p", "out", "squares", "gram", "moments"):
            first, second = (to_numpy(getattr(learner, name)) for learner in learners)
            # What few data leave open is found with the rounding errors of the ridge, 1e-10.
            np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("m", [1, 2, 6])
@pytest.mark.parametrize("seed", range(4))
def test_fits_are_bounded_least_squares(m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    learner = Learner(np, 4, line(m))
    data: dict[int, list[tuple[np.ndarray, float]]] = {}
    for _ in range(120):
        point = float(rng.uniform(-1, 1))
        arm = int(learner.draw([point], float(rng.random()))[0])
        cost = costs(arm, point) * float(rng.exponential()) + 1
        learner.record(arm, 0.0, cost)
        data.setdefault(arm, []).append((learner.features.copy(), cost - 1))
    spread, most = learner.totals[0, 3] - learner.totals[0, 2], learner.totals[0, 3]
    bound = np.array([most, *(2 * spread / np.arange(1, m))])
    for arm, rows in data.items():
        X, y = np.array([row for row, _ in rows]), np.array([cost for _, cost in rows])
        exact = so.lsq_linear(X, y, (-bound, bound), method="bvls", tol=1e-14).x
        assert np.all(np.abs(learner.theta[arm]) <= bound)
        # The ridge of 1e-10 moves the optimal value by less than that, relatively.
        value, least = (np.sum((X @ theta - y) ** 2) for theta in (learner.theta[arm], exact))
        assert value <= least + 1e-9 * np.sum(y**2)
        if len(rows) >= 3 * m:
            np.testing.assert_allclose(learner.theta[arm], exact, atol=1e-6 * most)


def test_costs_that_are_polynomials_are_recovered() -> None:
    rng = np.random.default_rng(1)
    learner = Learner(np, 2, line(6))
    truth = np.array([[40.0, 3, -2, 1, 0.5, 0.2], [45.0, -2, 1, 0.4, -0.3, 0.1]])
    for k in range(80):
        learner.draw([float(rng.uniform(-1, 1))], 0.5)
        learner.record(k % 2, 0.0, 1 + float(truth[k % 2] @ learner.features))
    np.testing.assert_allclose(learner.theta, truth, atol=1e-8 * 45)


def test_the_residual_of_a_bounded_fit_is_kept() -> None:
    rng = np.random.default_rng(2)
    learner = Learner(np, 1, line(4))
    X, y = [], []
    for _ in range(30):
        point = float(rng.uniform(-1, 1))
        learner.draw([point], 0.5)
        cost = 3 + 10 * (point > 0)
        learner.record(0, 0.0, cost)
        X.append(learner.features.copy())
        y.append(cost - 1)
    residual = np.sum((np.array(X) @ learner.theta[0] - y) ** 2)
    bound = np.array([13, 20, 10, 20 / 3])
    active = np.any(np.abs(learner.theta[0]) >= bound * (1 - 1e-12))
    assert learner.squares[3] == pytest.approx(residual if active else 0)


def test_features_in_two_dimensions_are_products() -> None:
    powers = np.array([[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]])
    for xp in HOMES:
        learner = Learner(xp, 2, powers)
        learner.draw([0.3, -0.6], 0.5)
        x, y = 0.3, -0.6
        expected = [1, x, y, 2 * x * x - 1, x * y, 2 * y * y - 1]
        np.testing.assert_allclose(to_numpy(learner.features), expected, rtol=1e-14)


def test_given_features_are_taken_as_they_are() -> None:
    for xp in HOMES:
        learner = Learner(xp, 2, line(3))
        learner.powers = make(xp, np.empty((0, 1), dtype=np.int64))
        learner.features[...] = make(xp, np.array([1.0, 0.5, -2.0]))
        learner.draw([0.3], 0.5)
        np.testing.assert_array_equal(to_numpy(learner.features), [1, 0.5, -2])


def test_the_first_draw_is_uniform_and_gaps_lower_the_probability() -> None:
    learner = Learner(np, 4, line(3))
    learner.draw([0.1], 0.5)
    np.testing.assert_allclose(learner.p, np.full(4, 0.25))
    for k in range(200):
        out = learner.draw([np.sin(k)], 0.5)
        learner.record(k % 4, float(out[2]), 10.0 + 20 * (k % 4))
    learner.draw([0.2], 0.5)
    assert np.all(np.diff(learner.p) < 0)
    assert learner.p[0] > 0.9


@pytest.mark.parametrize("xp", HOMES)
def test_an_arm_with_a_limit_is_not_the_best_one(xp: Any) -> None:
    learner = Learner(xp, 4, line(2))
    for k in range(80):
        out = learner.draw([float(np.sin(k))], 0.5)
        learner.record(1 + k % 3, float(out[2]), 10.0 + 20 * (k % 3))
    learner.limits[0] = 1e-3  # never played, and so predicted at the floor
    out = learner.draw([0.2], 0.5)
    p = to_numpy(learner.p)
    assert p[0] == pytest.approx(1e-3)
    assert p[1] > 0.8
    assert abs(p.sum() - 1) <= 1e-12
    assert out[3] == pytest.approx(9, rel=0.1)


def test_a_cost_taken_out_again_leaves_the_fit_as_before() -> None:
    rng = np.random.default_rng(4)
    learner = Learner(np, 2, line(3))
    for _ in range(30):
        learner.draw([float(rng.uniform(-1, 1))], 0.5)
        learner.record(0, 0.0, float(rng.uniform(5, 9)))
    before = learner.theta.copy()
    learner.draw([0.4], 0.5)
    learner.record(0, 0.0, 7.0)
    learner.record(0, 0.0, 7.0, weight=-1.0)
    np.testing.assert_allclose(learner.theta, before, rtol=1e-9)


def test_equal_costs_give_equal_predictions() -> None:
    learner = Learner(np, 2, line(6))
    for k in range(20):
        learner.draw([np.cos(k)], 0.5)
        learner.record(k % 2, 0.0, 4.0)
    np.testing.assert_allclose(learner.theta, [[3, 0, 0, 0, 0, 0]] * 2, atol=1e-9)
