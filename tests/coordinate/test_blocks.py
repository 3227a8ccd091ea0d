"""Sums over blocks, factors and eigenvalues of their bounds, against dense formulas block by block."""

from typing import Any

import numpy as np
import pytest

from numopt.coordinate._blocks import BlockCache, BlockTable, LeastNormFactor, largest_eigenvalue
from numopt.coordinate._least_squares import LeastSquares
from numopt.coordinate._logistic import Logistic
from numopt.coordinate._partition import make_partition
from numopt.coordinate._quadratic import Quadratic
from numopt.coordinate._softmax import Multinomial
from tests.helpers.xp import make, to_numpy

RAGGED = [[7], [0, 2, 5, 9, 12], [1, 3], list(range(14, 40)), [4, 6, 8]]
EQUAL = [[3, 1, 2], [0, 4, 7], [5, 6]]


def device(xp: Any) -> Any:
    return make(xp, [0.0]).device


def design(n: int, p: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, p)) * rng.lognormal(size=p)


# ---- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [RAGGED, EQUAL, [[0]], [[2, 5]]])
def test_sums_and_maxima_of_blocks(xp: Any, blocks: list[list[int]]) -> None:
    v = np.random.default_rng(0).random(40)
    table = BlockTable([np.array(block) for block in blocks], xp, device(xp))
    sums, maxima = table.sums(make(xp, v)), table.maxima(make(xp, v))
    np.testing.assert_allclose(to_numpy(sums), [v[block].sum() for block in blocks], rtol=1e-14)
    np.testing.assert_array_equal(to_numpy(maxima), [v[block].max() for block in blocks])


def test_filling_up_costs_at_most_a_factor_of_two() -> None:
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 300, 50)
    blocks = np.split(np.arange(sizes.sum()), np.cumsum(sizes)[:-1])
    table = BlockTable(blocks, np, None)
    assert sum(rows.shape[0] * rows.shape[1] for rows in table.rows) < 2 * sizes.sum()


def test_no_blocks_have_no_sums(xp: Any) -> None:
    assert BlockTable([], xp, device(xp)).sums(make(xp, np.ones(3))).shape == (0,)


# ---- single matrices -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 150, 151, 400])
@pytest.mark.parametrize("kind", ["gram", "clustered", "rank one", "zero", "identity"])
def test_largest_eigenvalue_is_never_below(xp: Any, order: int, kind: str) -> None:
    rng = np.random.default_rng(order)
    X = rng.standard_normal((order, order))
    H = {
        "gram": X @ X.T,
        "clustered": (lambda Q: Q @ np.diag(np.linspace(0.9, 1, order)) @ Q.T)(np.linalg.qr(X)[0]),
        "rank one": np.outer(X[0], X[0]),
        "zero": np.zeros((order, order)),
        "identity": np.eye(order),
    }[kind]
    exact = np.linalg.eigvalsh(H)[-1]
    found = largest_eigenvalue(make(xp, H), xp)
    assert isinstance(found, float)
    assert found >= exact * (1 - 1e-10)
    assert found <= exact * 1.02 + 1e-12


@pytest.mark.parametrize("order", [5, 200])
def test_nan_is_seen_in_the_largest_eigenvalue(order: int) -> None:
    H = np.eye(order)
    H[3, 4] = H[4, 3] = np.nan
    assert np.isnan(largest_eigenvalue(H, np))


@pytest.mark.parametrize("duplicates", [0, 2])
def test_least_norm_factor_is_the_pseudo_inverse(xp: Any, duplicates: int) -> None:
    A = design(20, 6)
    A[:, :duplicates] = A[:, 4 : 4 + duplicates]
    H, rhs = A.T @ A, A.T @ np.ones(20)
    d, outside = LeastNormFactor(make(xp, H), xp).solve(make(xp, rhs))
    np.testing.assert_allclose(to_numpy(d), np.linalg.pinv(H, rcond=1e-12, hermitian=True) @ rhs, rtol=1e-8)
    assert (outside is None) == (duplicates == 0)
    if outside is not None:
        np.testing.assert_allclose(to_numpy(outside), np.zeros(6), atol=1e-9 * np.abs(rhs).max())


def test_what_is_outside_of_the_range_is_told(xp: Any) -> None:
    H = np.diag([2.0, 0.0])
    d, outside = LeastNormFactor(make(xp, H), xp).solve(make(xp, [4.0, 3.0]))
    np.testing.assert_allclose(to_numpy(d), [2.0, 0.0])
    assert outside is not None
    np.testing.assert_allclose(to_numpy(outside), [0.0, 3.0])


@pytest.mark.parametrize("H", [np.diag([1.0, -1.0]), np.array([[np.nan, 0.0], [0.0, 1.0]]), -np.eye(2)])
def test_indefinite_and_not_finite_matrices_have_no_factor(H: np.ndarray) -> None:
    with pytest.raises(np.linalg.LinAlgError):
        LeastNormFactor(H, np)


# ---- all blocks ------------------------------------------------------------------------------------------------------


def problems(xp: Any) -> list[Any]:
    A = design(15, 13)
    A[:, 4] = A[:, 5]  # a duplicate, and rank deficient blocks
    y = np.where(np.arange(15) % 2, 1.0, -1.0)
    return [
        LeastSquares(make(xp, A), make(xp, y)),
        LeastSquares(make(xp, A), make(xp, y), sample_weight=make(xp, np.arange(15.0)), l2=0.3),
        Logistic(make(xp, A), make(xp, y)),
        Multinomial(make(xp, A), make(xp, np.arange(15) % 3), l2=make(xp, np.linspace(0, 1, 39))),
        Quadratic(make(xp, A.T @ A), make(xp, A.T @ y)),
    ]


@pytest.mark.parametrize("size", [1, 4, 13])
@pytest.mark.parametrize("which", range(5))
def test_constants_and_decreases_of_all_blocks(xp: Any, which: int, size: int) -> None:
    problem = problems(xp)[which]
    partition = make_partition(problem, "sort", size)
    cache = BlockCache(problem, partition)
    g = np.random.default_rng(2).standard_normal(problem.n_variables)
    bounds = [to_numpy(problem.block_bound(block)) for block in partition.blocks]
    exact = [np.linalg.eigvalsh(H)[-1] for H in bounds]
    np.testing.assert_allclose(to_numpy(cache.all_lipschitz), exact, rtol=1e-12)
    decreases = [
        0.5 * g[block] @ np.linalg.pinv(H, rcond=1e-12, hermitian=True) @ g[block]
        for H, block in zip(bounds, partition.host_blocks, strict=True)
    ]
    np.testing.assert_allclose(to_numpy(cache.model_decreases(make(xp, g))), decreases, rtol=1e-7)
    spread = to_numpy(cache.spread(make(xp, np.arange(float(len(bounds))))))
    for number, (block, host) in enumerate(zip(partition.blocks, partition.host_blocks, strict=True)):
        assert cache.number(block) == number
        assert np.all(spread[host] == number)
        assert cache.lipschitz(block) == pytest.approx(exact[number], rel=1e-10)
        np.testing.assert_allclose(to_numpy(cache.bound(block)), bounds[number])
        d = to_numpy(cache.solve(block, make(xp, g[host])))
        assert 0.5 * g[host] @ d == pytest.approx(decreases[number], rel=1e-7)


def test_large_blocks_are_bounded_by_lanczos() -> None:
    problem = LeastSquares(design(30, 400), np.ones(30))
    partition = make_partition(problem, "sort", 170)
    found = BlockCache(problem, partition).all_lipschitz
    exact = [np.linalg.eigvalsh(problem.block_bound(block))[-1] for block in partition.blocks]
    np.testing.assert_allclose(found, exact, rtol=1e-8)


def test_blocks_of_a_partition_are_computed_once() -> None:
    problem = problems(np)[0]
    partition = make_partition(problem, "sort", 4)
    cache = BlockCache(problem, partition)
    block = partition.blocks[1]
    assert cache.bound(block) is cache.bound(block)
    assert cache.factor(block) is cache.factor(block)
    other = block.copy()
    assert cache.number(other) == -1
    assert cache.factor(other) is not cache.factor(other)
    assert cache.lipschitz(other) == pytest.approx(cache.lipschitz(block))
    assert BlockCache(problem).number(block) == -1


def test_an_indefinite_block_has_the_largest_score() -> None:
    problem = Quadratic(np.diag([1.0, 2.0, 3.0]) - 2.5 * (np.eye(3, k=1) + np.eye(3, k=-1)), np.zeros(3))
    cache = BlockCache(problem, make_partition(problem, [[0], [1, 2]]))
    assert np.argmax(cache.model_decreases(np.array([9.0, 1.0, 1.0]))) == 1


def test_bounds_that_are_not_finite_give_nan() -> None:
    A = design(15, 13)
    A[2, 3] = np.nan
    problem = LeastSquares(A, np.ones(15), l2=1.0, check_finite=False)
    cache = BlockCache(problem, make_partition(problem, [np.arange(6), np.arange(6, 13)]))
    assert np.isnan(cache.all_lipschitz).any()
    assert np.isnan(cache.model_decreases(np.ones(13))).any()


def test_single_precision_stays() -> None:
    A = design(15, 13).astype(np.float32)
    problem = LeastSquares(A, np.ones(15, dtype=np.float32))
    cache = BlockCache(problem, make_partition(problem, "sort", 4))
    assert cache.all_lipschitz.dtype == np.float32
    assert cache.model_decreases(np.ones(13, dtype=np.float32)).dtype == np.float32
