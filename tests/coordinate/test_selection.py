"""Rules that choose blocks, against brute force over all blocks and the decrease that the chosen one brings."""

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp

from numopt.coordinate import _selection
from numopt.coordinate._improvement import cubic_falls
from numopt.coordinate._least_squares import LeastSquares
from numopt.coordinate._logistic import Logistic
from numopt.coordinate._partition import make_partition
from numopt.coordinate._quadratic import Quadratic
from numopt.coordinate._selection import RULES, make_selection
from numopt.coordinate._softmax import Multinomial
from numopt.coordinate._update import make_update
from tests.coordinate.test_partition import is_forest, lattice, least_squares
from tests.helpers.xp import make, to_numpy

N, P = 14, 11
GREEDY = ("gs", "gsl", "gsd", "gsq", "gs-s", "gs-r", "gsl-r", "gs-q")
UNSCORED = ("random", "perm", "cyclic", "lipschitz")


def design(seed: int = 0, p: int = P) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((N, p)) * rng.lognormal(size=p)


def model(kind: str, xp: Any = np, A: np.ndarray | None = None, **options: Any) -> Any:
    A = design() if A is None else A
    rng = np.random.default_rng(1)
    if kind == "squares":
        return LeastSquares(make(xp, A), make(xp, rng.standard_normal(N)), **options)
    if kind == "logistic":
        return Logistic(make(xp, A), make(xp, np.where(np.arange(N) % 3, 1.0, -1.0)), **options)
    if kind == "quadratic":
        return Quadratic(make(xp, A.T @ A), make(xp, A.T @ rng.standard_normal(N)), **options)
    return Multinomial(make(xp, A), make(xp, np.arange(N) % 3), **options)


def moved_point(problem: Any, seed: int = 2) -> Any:
    """A point with zeros and other entries, whatever the library."""
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(problem.n_variables) < 0.5, 0.0, rng.standard_normal(problem.n_variables))
    return problem.point(make(problem.xp, x))


def chosen(problem: Any, partition: Any, rule: str, point: Any = None, **options: Any) -> list[int]:
    selection = make_selection(problem, partition, rule, options, 0)
    block = selection.choose(moved_point(problem) if point is None else point)
    return to_numpy(block).tolist()


# ---- scores of fixed blocks, one block at a time ---------------------------------------------------------------------


def brute_force_score(rule: str, problem: Any, point: Any, block: np.ndarray, norm: str, diagonal: str) -> float:
    """The score of one block as the rules are defined, for a problem on the host with an l1 norm and lower bounds."""
    penalty = problem.penalty
    x, g = point.x[block], point.gradient[block]
    l1 = np.broadcast_to(penalty.l1, problem.n_variables)[block]
    lower = np.broadcast_to(penalty.lower, problem.n_variables)[block]
    L, gershgorin = problem.lipschitz, problem.gershgorin
    H = problem.block_bound(block)
    L_b = np.linalg.eigvalsh(H)[-1]
    D = {"lipschitz": L[block], "block": block.size * L[block], "gershgorin": gershgorin[block]}[diagonal]
    # The subgradient of least norm: from the right, the left, or zero in between.
    right, left = g + np.where(x >= 0, l1, -l1), g + np.where(x > 0, l1, -l1)
    s = np.where(right < 0, right, np.where((left > 0) & (x > lower), left, 0.0))
    size = np.abs(s) if norm == "l1" else s**2 / 2

    def prox_step(c: Any) -> np.ndarray:
        v = x - g / c
        return np.maximum(np.sign(v) * np.maximum(np.abs(v) - l1 / c, 0), lower) - x

    if rule in ("gs", "gs-s"):
        return size.sum()
    if rule == "gsl":
        return (size / (np.sqrt(L_b) if norm == "l1" else L_b)).sum()
    if rule == "gsd":
        return (size / (np.sqrt(D) if norm == "l1" else D)).sum()
    if rule == "gsq":
        return 0.5 * s @ np.linalg.pinv(H, rcond=1e-12, hermitian=True) @ s
    if rule == "gs-r":
        return (prox_step(L.max()) ** 2).sum()
    if rule == "gsl-r":
        return L_b / 2 * (prox_step(L_b) ** 2).sum()
    d = prox_step(D)
    return -(g * d + D / 2 * d**2 + l1 * (np.abs(x + d) - np.abs(x))).sum()


@pytest.mark.parametrize("rule", GREEDY)
@pytest.mark.parametrize("kind", ["squares", "logistic", "multinomial", "quadratic"])
@pytest.mark.parametrize("options", [{}, {"l1": 0.4}, {"l1": 0.1, "nonneg": True, "l2": 0.2}], ids=str)
def test_scores_of_fixed_blocks_are_those_of_the_table(rule: str, kind: str, options: dict[str, Any]) -> None:
    problem = model(kind, **options)
    partition = make_partition(problem, "sort", 4)
    point = moved_point(problem)
    for norm, diagonal in (("l2", "lipschitz"), ("l1", "lipschitz"), ("l2", "block"), ("l2", "gershgorin")):
        selection = make_selection(problem, partition, rule, {"norm": norm, "gsd_diag": diagonal})
        expected = [brute_force_score(rule, problem, point, block, norm, diagonal) for block in partition.host_blocks]
        np.testing.assert_allclose(selection.scores(point), expected, rtol=1e-9, atol=1e-12 * max(expected))
        assert selection.choose(point) is partition.blocks[int(np.argmax(expected))]
        assert selection.number == int(np.argmax(expected))


@pytest.mark.parametrize("rule", ["gs", "gsl", "gsd", "gs-s", "gs-r", "gs-q"])
@pytest.mark.parametrize("kind", ["squares", "logistic", "multinomial"])
@pytest.mark.parametrize("options", [{}, {"l1": 0.4}], ids=str)
@pytest.mark.parametrize("size", [1, 3])
def test_variable_blocks_are_the_largest_terms(rule: str, kind: str, options: dict[str, Any], size: int) -> None:
    problem = model(kind, **options)
    partition = make_partition(problem, "variable", size)
    point = moved_point(problem)
    single = [
        brute_force_score(rule, problem, point, np.array([i]), "l2", "gershgorin" if rule == "gsl" else "lipschitz")
        if rule != "gsl"
        else brute_force_score("gsd", problem, point, np.array([i]), "l2", "gershgorin")
        for i in range(problem.n_variables)
    ]
    expected = np.sort(np.argsort(-np.array(single), kind="stable")[:size])
    assert chosen(problem, partition, rule, point) == expected.tolist()


def test_ties_go_to_the_lowest_index(xp: Any) -> None:
    problem = LeastSquares(make(xp, np.tile(np.eye(3), (1, 2))), make(xp, np.ones(3)))
    point = problem.point()
    fixed, variable = make_partition(problem, "order", 2), make_partition(problem, "variable", 4)
    for rule in GREEDY:
        assert chosen(problem, fixed, rule, point) == [0, 1]
        if rule != "gsq":
            assert chosen(problem, variable, rule, point) == [0, 1, 2, 3]


# ---- what the scores promise -----------------------------------------------------------------------------------------


def decrease(problem: Any, partition: Any, update: str, point: Any, block: Any, **options: Any) -> float:
    before = point.objective
    make_update(problem, partition, update, options=options).step(point, block)
    return before - point.objective


@pytest.mark.parametrize(
    ("rule", "update", "options"),
    [
        ("gsl", "gradient", {}),
        ("gsd", "diag", {"gsd_diag": "block"}),
        ("gsd", "diag", {"gsd_diag": "gershgorin"}),
        ("gsq", "matrix", {}),
        ("gsc", "cubic", {}),
        ("mi", "exact", {}),
    ],
)
@pytest.mark.parametrize("kind", ["squares", "logistic", "multinomial", "quadratic"])
@pytest.mark.parametrize("seed", range(3))
def test_a_step_lowers_f_by_at_least_the_score(
    rule: str, update: str, options: dict[str, Any], kind: str, seed: int
) -> None:
    A = design(seed)
    A[:, 5] = A[:, 6]  # a duplicate
    problem = model(kind, A=A)
    partition = make_partition(problem, "sort", 4)
    selection = make_selection(problem, partition, rule, options)
    scores = selection.scores(moved_point(problem, seed))
    for block, score in zip(partition.blocks, scores, strict=True):
        point = moved_point(problem, seed)
        rounding = 1e-10 * abs(point.objective)
        assert decrease(problem, partition, update, point, block, **options) >= score - rounding


@pytest.mark.parametrize("diagonal", ["block", "gershgorin"])
@pytest.mark.parametrize("options", [{"l1": 0.4}, {"l1": 0.1, "nonneg": True}], ids=str)
def test_the_model_with_a_penalty_is_a_bound_too(diagonal: str, options: dict[str, Any]) -> None:
    problem = model("logistic", **options)
    partition = make_partition(problem, "sort", 4)
    scores = make_selection(problem, partition, "gs-q", {"gsd_diag": diagonal}).scores(moved_point(problem))
    for block, score in zip(partition.blocks, scores, strict=True):
        fall = decrease(problem, partition, "diag", moved_point(problem), block, gsd_diag=diagonal)
        assert fall >= score - 1e-12


@pytest.mark.parametrize("kind", ["squares", "logistic", "multinomial"])
@pytest.mark.parametrize("part", ["sort", "variable"])
@pytest.mark.parametrize("options", [{}, {"l1": 0.4}], ids=str)
def test_maximum_improvement_beats_all_other_rules(kind: str, part: str, options: dict[str, Any]) -> None:
    # With five unknowns in pairs all blocks are tried; so are the leading ones of fifteen.
    problem = model(kind, A=design(3, p=5), **options)
    partition = make_partition(problem, part, 2)

    def fall(rule: str) -> float:
        point = moved_point(problem)
        block = make_selection(problem, partition, rule, {}, 0).choose(point)
        return decrease(problem, partition, "exact", point, block)

    rules = [name for name, rule in RULES.items() if partition.kind in rule.kinds and not name.startswith("tree")]
    falls = {rule: fall(rule) for rule in rules}
    best = max(falls.values())
    if kind == "multinomial" and part == "variable":
        assert falls["mi"] >= falls["gsd"]
    else:
        assert falls["mi"] >= best * (1 - 1e-9)


def test_maximum_improvement_of_one_coordinate_is_exact() -> None:
    problem = model("squares", l1=0.3)
    point = moved_point(problem)
    (best,) = chosen(problem, make_partition(problem, "variable", 1), "mi", point, gsd_diag="gershgorin")
    falls = [
        brute_force_score("gs-q", problem, point, np.array([i]), "l2", "lipschitz") for i in range(problem.n_variables)
    ]
    assert best == int(np.argmax(falls))


# ---- the matrix rule for variable blocks -----------------------------------------------------------------------------


def model_fall(problem: Any, g: np.ndarray, block: Any) -> float:
    index = np.array(block)
    H = problem.block_bound(index)
    return float(0.5 * g[index] @ np.linalg.pinv(H, rcond=1e-12, hermitian=True) @ g[index])


def test_hard_thresholding_lies_between_gsd_and_brute_force() -> None:
    wins = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        p = int(rng.integers(4, 11))
        size = int(rng.integers(1, p))
        A = rng.standard_normal((N, p))
        A /= np.linalg.norm(A, axis=0)
        problem = Quadratic(A.T @ A, rng.standard_normal(p))
        point, partition = problem.point(), make_partition(problem, "variable", size)
        matrix, diagonal = (
            model_fall(problem, point.gradient, chosen(problem, partition, rule, point)) for rule in ("gsq_iht", "gsd")
        )
        best = max(model_fall(problem, point.gradient, b) for b in itertools.combinations(range(p), size))
        assert matrix <= best * (1 + 1e-9)
        wins.append(matrix >= diagonal * (1 - 1e-9))
    assert np.mean(wins) >= 0.9


@pytest.mark.parametrize("kind", ["squares", "logistic", "quadratic"])
@pytest.mark.parametrize("shape", ["plain", "shifted"])
def test_rounds_on_the_support_give_what_all_rounds_give(
    kind: str, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns with a common mean are those on which the support settles at once."""
    settled = []
    exact = _selection._HardThresholding._is_settled

    def spy(self: Any, *args: Any) -> bool:
        settled.append(exact(self, *args))
        return settled[-1]

    for seed in range(12):
        A = design(seed, p=40) + (3 if shape == "shifted" else 0)
        problem = model(kind, A=A)
        point = moved_point(problem, seed)
        partition = make_partition(problem, "variable", 4)
        monkeypatch.setattr(_selection._HardThresholding, "_is_settled", spy)
        fast = make_selection(problem, partition, "gsq_iht")
        block = fast.choose(point).tolist()
        assert fast.passes == (1 if settled[-1] else fast.passes)
        monkeypatch.setattr(_selection._HardThresholding, "_is_settled", lambda self, *args: False)
        assert block == chosen(problem, partition, "gsq_iht", point)
    if shape == "shifted":
        assert any(settled)


# ---- the cubic bound -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize("rank", [0, 2, 5])
def test_falls_of_cubic_models(xp: Any, scale: float, rank: int) -> None:
    rng = np.random.default_rng(rank)
    X = rng.standard_normal((3, rank, 5))
    H = np.swapaxes(X, 1, 2) @ X
    g = scale * rng.standard_normal((3, 5))
    g[2] = 0
    M = np.array([1.0, 10.0, 0.1])
    falls = to_numpy(cubic_falls(make(xp, H), make(xp, g), make(xp, M), xp))
    assert falls[2] == 0
    for k in range(2):
        values, vectors = np.linalg.eigh(H[k])
        c, values = vectors.T @ g[k], np.maximum(values, 0)

        def excess(r: float, values: np.ndarray = values, c: np.ndarray = c, k: int = k) -> float:
            return float(np.linalg.norm(c / (values + M[k] * r / 2)) - r)

        high = np.sqrt(2 * np.linalg.norm(c) / M[k])
        r = scipy.optimize.brentq(excess, 1e-3 * high * min(1, scale), 1.001 * high, xtol=1e-300, rtol=1e-13)
        d = -c / (values + M[k] * r / 2)
        assert falls[k] == pytest.approx(-(c @ d + 0.5 * d @ (values * d) + M[k] / 6 * r**3), rel=1e-8)


@pytest.mark.parametrize("kind", ["logistic", "multinomial"])
def test_cubic_rule_of_single_coordinates_agrees_with_blocks_of_one(kind: str) -> None:
    problem = model(kind)
    point = moved_point(problem)
    variable = make_selection(problem, make_partition(problem, "variable", 1), "gsc").choose(point)
    fixed = make_selection(problem, make_partition(problem, "order", 1), "gsc").choose(point)
    assert variable.tolist() == fixed.tolist()


@pytest.mark.parametrize("kind", ["squares", "logistic", "multinomial", "quadratic"])
def test_diagonal_of_the_hessian(xp: Any, kind: str) -> None:
    options = {} if kind == "quadratic" else {"sample_weight": make(xp, np.linspace(0, 2, N))}
    problem = model(kind, xp, l2=0.3, **options)
    point = moved_point(problem)
    every = make(xp, np.arange(problem.n_variables))
    expected = np.diag(to_numpy(point.hessian_block(every)))
    np.testing.assert_allclose(to_numpy(point.hessian_diagonal()), expected, rtol=1e-12)


# ---- every rule, every library ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["squares", "logistic", "multinomial"])
@pytest.mark.parametrize("part", ["sort", "variable"])
@pytest.mark.parametrize("options", [{}, {"l1": 0.4}, {"l1": 0.1, "nonneg": True}], ids=str)
def test_all_libraries_choose_the_same_blocks(xp: Any, kind: str, part: str, options: dict[str, Any]) -> None:
    for rule, entry in RULES.items():
        if ("fixed" if part == "sort" else part) not in entry.kinds or rule.startswith("tree"):
            continue
        choices = []
        for library in (np, xp):
            problem = model(kind, library, design(p=7), **options)
            selection = make_selection(problem, make_partition(problem, part, 3), rule, {}, 0)
            point = moved_point(problem)
            repeats = 1 if selection.score_kind == "gradient" else 3
            choices.append([to_numpy(selection.choose(point)).tolist() for _ in range(repeats)])
        assert choices[0] == choices[1], rule


@pytest.mark.parametrize("part", ["sort", "variable"])
def test_zero_columns_are_never_chosen(part: str) -> None:
    A = design()
    A[:, [0, 3]] = 0
    problem = model("squares", A=A)
    partition = make_partition(problem, part, 9)
    for rule, entry in RULES.items():
        if partition.kind in entry.kinds and not rule.startswith("tree"):
            selection = make_selection(problem, partition, rule, {}, 0)
            for _ in range(3):
                assert not {0, 3} & set(selection.choose(moved_point(problem)).tolist()), rule


@pytest.mark.parametrize("part", ["sort", "variable"])
def test_nothing_is_chosen_where_nothing_counts(part: str) -> None:
    problem = model("squares", A=np.zeros((N, 3)))
    for rule in ("random", "gs", "gsd"):
        assert chosen(problem, make_partition(problem, part, 2), rule) == []


def test_large_variable_blocks_hold_all_unknowns_that_count() -> None:
    A = design()
    A[:, 2] = 0
    problem = model("squares", A=A)
    partition = make_partition(problem, "variable", P)
    for rule in ("gsd", "gsq_iht", "random", "lipschitz"):
        assert chosen(problem, partition, rule) == [i for i in range(P) if i != 2]


def test_nan_in_the_gradient_is_chosen_and_not_hidden() -> None:
    problem = model("squares")
    point = moved_point(problem)
    point.gradient[4] = np.nan
    assert 4 in chosen(problem, make_partition(problem, "variable", 3), "gsd", point)
    assert 4 in chosen(problem, make_partition(problem, "sort", 3), "gsl", point)


# ---- rules without scores --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["sort", "variable"])
@pytest.mark.parametrize("rule", ["cyclic", "perm"])
def test_a_pass_covers_everything_once(xp: Any, part: str, rule: str) -> None:
    problem = model("squares", xp)
    selection = make_selection(problem, make_partition(problem, part, 4), rule, {}, 0)
    assert selection.score_kind == "none"
    passes = []
    for _ in range(2):
        passes.append([to_numpy(selection.choose(problem.point())).tolist() for _ in range(3)])
        assert sorted(itertools.chain(*passes[-1])) == list(range(P))
    assert (passes[0] == passes[1]) == (rule == "cyclic")


def test_random_blocks_are_uniform() -> None:
    problem = model("squares")
    point = problem.point()
    selection = make_selection(problem, make_partition(problem, "variable", 4), "random", {}, 0)
    counts = Counter(itertools.chain(*(selection.choose(point).tolist() for _ in range(2750))))
    # 1000 each on average, with a deviation of 25.
    assert all(abs(counts[i] - 1000) < 125 for i in range(P))
    selection = make_selection(problem, make_partition(problem, "sort", 4), "random", {}, 0)
    numbers: Counter[int] = Counter()
    for _ in range(3000):
        selection.choose(point)
        numbers[selection.number] += 1
    assert all(abs(numbers[k] - 1000) < 130 for k in range(3))


def test_blocks_are_drawn_in_proportion_to_their_constants() -> None:
    problem = LeastSquares(np.diag(np.sqrt([1.0, 2.0, 3.0, 4.0])), np.ones(4))
    point = problem.point()
    for part in ("order", "variable"):
        selection = make_selection(problem, make_partition(problem, part, 1), "lipschitz", {}, 0)
        counts = Counter(int(selection.choose(point)[0]) for _ in range(5000))
        for i in range(4):
            assert abs(counts[i] - 500 * (i + 1)) < 5 * np.sqrt(500 * (i + 1))
    # The second of two without replacement: P(0 and 1) = 1/10 * 2/9 + 2/10 * 1/8.
    selection = make_selection(problem, make_partition(problem, "variable", 2), "lipschitz", {}, 0)
    pairs = Counter(tuple(selection.choose(point).tolist()) for _ in range(5000))
    assert abs(pairs[(0, 1)] / 5000 - (0.1 * 2 / 9 + 0.2 / 8)) < 0.015


# ---- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [*GREEDY, "gsc", "mi"])
def test_a_batch_holds_the_best_of_its_blocks(xp: Any, rule: str) -> None:
    problem = model("logistic", xp)
    partition = make_partition(problem, "random", 2, 0)
    point = moved_point(problem)
    scores = to_numpy(make_selection(problem, partition, rule).scores(point))
    selection = make_selection(problem, partition, rule, {"batch": 3}, 5)
    assert selection.score_kind == "blocks"
    draws = np.random.default_rng(5)
    for _ in range(4):
        numbers = np.sort(draws.choice(len(scores), 3, replace=False, shuffle=False))
        selection.choose(point)
        assert selection.number == numbers[np.argmax(scores[numbers])]


def test_a_batch_of_all_blocks_is_the_rule_itself() -> None:
    problem = model("squares")
    partition = make_partition(problem, "sort", 4)
    assert make_selection(problem, partition, "gsl", {"batch": 3}).score_kind == "gradient"


def test_estimates_replace_the_constants() -> None:
    problem = model("squares")
    point = moved_point(problem)
    s2 = point.gradient**2
    estimates = np.ones(P)
    partition = make_partition(problem, "order", 4)
    fixed = make_selection(problem, partition, "gsl", estimates=lambda: estimates)
    diagonal = make_selection(problem, partition, "gsd", estimates=lambda: estimates)
    variable = make_selection(problem, make_partition(problem, "variable", 3), "gsl", estimates=lambda: estimates)
    for seed in range(3):
        estimates[:] = np.random.default_rng(seed).random(P)  # in place, and seen at the next choice
        blocks = partition.host_blocks
        expected = [s2[block].sum() / 2 / estimates[block].max() for block in blocks]
        np.testing.assert_allclose(fixed.scores(point), expected)
        expected = [(s2[block] / 2 / estimates[block]).sum() for block in blocks]
        np.testing.assert_allclose(diagonal.scores(point), expected)
        assert variable.choose(point).tolist() == np.sort(np.argsort(-s2 / estimates)[:3]).tolist()


def test_auto_chooses_by_penalty_and_partition() -> None:
    smooth, sparse, graph = model("squares"), model("squares", l1=0.1), lattice(4, 4)
    for problem, part, rule in (
        (smooth, "sort", "gsl"),
        (smooth, "variable", "gsd"),
        (sparse, "sort", "gs-q"),
        (sparse, "variable", "gs-q"),
        (graph, "redblack", "cyclic"),
    ):
        assert make_selection(problem, make_partition(problem, part), "auto").rule == rule


# ---- groups ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["gs-r", "gsl-r", "gs-q"])
def test_scores_of_groups_use_their_norms(xp: Any, rule: str) -> None:
    A = design()
    A[:, [7, 3]] = 0
    groups, weights = [[0, 5], [7, 3], [1, 2, 4], [6], [8, 9, 10]], np.array([1.0, 1.0, 2.0, 0.5, 1.5])
    options = {"l1": 0.6, "groups": groups, "group_weights": make(xp, weights)}
    problem = model("squares", xp, A, **options)
    partition = make_partition(problem, "groups")
    assert [block.tolist() for block in partition.host_blocks] == [[0, 5], [1, 2, 4], [6], [8, 9, 10]]
    point = moved_point(problem)
    x, g = to_numpy(point.x), to_numpy(point.gradient)
    bounds = [np.linalg.eigvalsh(A[:, b].T @ A[:, b])[-1] for b in partition.host_blocks]
    expected = []
    for block, own, w in zip(partition.host_blocks, bounds, weights[[0, 2, 3, 4]], strict=True):
        L = max(bounds) if rule == "gs-r" else own
        v = x[block] - g[block] / L
        y = v * max(0.0, 1 - 0.6 * w / L / np.linalg.norm(v))
        d = y - x[block]
        model_value = g[block] @ d + L / 2 * d @ d + 0.6 * w * (np.linalg.norm(y) - np.linalg.norm(x[block]))
        expected.append({"gs-r": d @ d, "gsl-r": L / 2 * d @ d, "gs-q": -model_value}[rule])
    selection = make_selection(problem, partition, rule)
    np.testing.assert_allclose(to_numpy(selection.scores(point)), expected, rtol=1e-10, atol=1e-14)


# ---- graphs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["tree", "tree-gs", "tree-gsl", "tree-gsd", "tree-random"])
def test_trees_are_maximal_forests_in_the_order_of_scores(rule: str) -> None:
    problem = lattice(6, 7)
    point = problem.point(np.random.default_rng(0).standard_normal(42))
    selection = make_selection(problem, make_partition(problem, "variable"), rule, {}, 0)
    block = selection.choose(point)
    assert is_forest(problem.Q, block)
    for other in np.setdiff1d(np.arange(42), block):
        assert not is_forest(problem.Q, np.sort(np.append(block, other)))
    g = np.abs(point.gradient)
    D = {"tree-gs": np.ones(42), "tree-gsl": abs(problem.Q).sum(axis=1)}.get(rule, problem.Q.diagonal())
    if rule != "tree-random":
        assert int(np.argmax(g / np.sqrt(D))) in block


@pytest.mark.parametrize("rule", ["cyclic", "perm", "random", "gs", "gsd", "gs-q"])
@pytest.mark.parametrize("part", ["redblack", "tree_partition"])
def test_blocks_of_a_graph_are_chosen_by_cheap_rules(rule: str, part: str) -> None:
    problem = lattice(5, 5)
    partition = make_partition(problem, part)
    block = make_selection(problem, partition, rule, {}, 0).choose(problem.point())
    assert any(block is other for other in partition.blocks)


# ---- errors ----------------------------------------------------------------------------------------------------------


def test_unknown_rules_are_listed() -> None:
    problem = model("squares")
    with pytest.raises(ValueError, match=r"`selection` must be one of 'random', 'perm', 'cyclic'.*got 'greedy'"):
        make_selection(problem, make_partition(problem, "sort", 4), "greedy")


@pytest.mark.parametrize(
    ("part", "rule", "needs"),
    [
        ("variable", "gsq", "needs a fixed partition, got 'variable'.*take 'gsq_iht' or 'gsd'"),
        ("sort", "gsq_iht", "needs a variable partition, got 'sort', which is fixed; with fixed blocks take 'gsq'"),
        ("sort", "tree", "needs a variable partition"),
        ("redblack", "gsl", "needs a fixed or variable partition, got 'redblack', which is graph"),
        ("redblack", "mi", "needs a fixed or variable partition"),
    ],
)
def test_rules_need_their_kind_of_partition(part: str, rule: str, needs: str) -> None:
    problem = lattice(4, 4)
    with pytest.raises(ValueError, match=needs):
        make_selection(problem, make_partition(problem, part), rule)


def test_trees_need_a_graph() -> None:
    problem = model("squares")
    with pytest.raises(ValueError, match="no graph"):
        make_selection(problem, make_partition(problem, "variable", 3), "tree")


@pytest.mark.parametrize("options", [{"norm": "l3"}, {"gsd_diag": "hessian"}, {"batch": 0}, {"batch": -1}], ids=str)
def test_option_values_are_checked(options: dict[str, Any]) -> None:
    problem = model("squares")
    with pytest.raises(ValueError, match="options"):
        make_selection(problem, make_partition(problem, "sort", 4), "gsd", options)


def test_a_batch_needs_fixed_blocks() -> None:
    problem = model("squares")
    with pytest.raises(ValueError, match="needs fixed blocks"):
        make_selection(problem, make_partition(problem, "variable", 4), "gsd", {"batch": 2})


def test_sparse_and_single_precision_data_choose_the_same_blocks() -> None:
    A = np.where(np.abs(design()) > 0.7, design(), 0.0)
    b = np.random.default_rng(1).standard_normal(N)
    for rule, part in (("gsl", "sort"), ("gsq", "sort"), ("gsd", "variable"), ("gsq_iht", "variable")):
        choices = [
            chosen(problem, make_partition(problem, part, 3), rule, problem.point())
            for problem in (
                LeastSquares(A, b),
                LeastSquares(sp.csr_array(A), b),
                LeastSquares(A.astype(np.float32), b.astype(np.float32)),
            )
        ]
        assert choices[0] == choices[1] == choices[2]
    assert least_squares().n_variables == 23
