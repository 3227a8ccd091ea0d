"""The transport plan on a dense cost, in every home against long doubles."""

from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

from numopt.kernels import bind
from numopt.kernels._numba import gibbs as numba_gibbs
from tests.kernels.cases import assert_same_sums, run, tolerance
from tests.kernels.transport import SHAPES, TYPES, Plan, exact, floors, kept, plan, rounding, slices, unset

PARTS = [1, 3]


def sums(xp: Any, problem: Plan, parts: int = 1) -> tuple[np.ndarray, np.ndarray]:
    real, (n, m) = problem.f.dtype, problem.C.shape
    r, _, c = run(xp, "gibbs_sums", [*problem], [unset(real, n), unset(real, parts, m), unset(real, m)])
    return r, c


def lse(xp: Any, problem: Plan, parts: int = 1) -> tuple[np.ndarray, np.ndarray]:
    C, f, g, inv_reg = problem
    real, (n, m) = f.dtype, C.shape
    (rows,) = run(xp, "gibbs_lse_rows", [C, g, inv_reg], [unset(real, n)])
    cols = run(xp, "gibbs_lse_cols", [C, f, inv_reg], [unset(real, 2, parts, m), unset(real, m)])[1]
    return rows, cols


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("parts", PARTS)
def test_sums_match_long_doubles(xp: Any, shape: tuple[int, int], parts: int) -> None:
    problem = plan(*shape)
    P = exact(problem)
    for result, expected in zip(sums(xp, problem, parts), (P.sum(axis=1), P.sum(axis=0)), strict=True):
        np.testing.assert_allclose(result, expected.astype("f8"), rtol=rounding(problem))


@pytest.mark.parametrize("types", TYPES)
def test_plan_and_sums_in_every_pair_of_types(xp: Any, types: tuple[str, str]) -> None:
    problem = plan(33, 300, types)
    real, n, m = types[1], 33, 300
    outputs = [unset(real, n, m), unset(real, n), unset(real, 2, m), unset(real, m)]
    P, r, _, c = run(xp, "gibbs_plan", [*problem], outputs)
    expected = exact(problem)
    for result, value in ((P, expected), (r, expected.sum(axis=1)), (c, expected.sum(axis=0))):
        assert result.dtype == real
        np.testing.assert_allclose(result, value.astype(real), rtol=rounding(problem))
    for result, value in zip(sums(xp, problem, 2), (r, c), strict=True):
        np.testing.assert_allclose(result, value, rtol=rounding(problem))


def test_forbidden_pairs_are_exact_zeros(xp: Any) -> None:
    problem = plan(9, 600)
    P = run(xp, "gibbs_plan", [*problem], [unset("f8", *s) for s in ((9, 600), (9,), (1, 600), (600,))])[0]
    np.testing.assert_array_equal(P == 0, np.isinf(problem.C))
    r, c = sums(xp, problem)
    assert r[2] == 0
    assert c[3] == 0


@pytest.mark.parametrize("columns", [slice(0, 600), slice(0, 512), slice(1, 600, 2)])
def test_what_underflows_is_nothing_next_to_a_normal_number(xp: Any, columns: slice) -> None:
    problem = plan(6, 600, inv_reg=1.0)
    problem.C[:, columns] = 800.0
    n, m = problem.C.shape
    P, r, _, c = run(xp, "gibbs_plan", [*problem], [unset("f8", *s) for s in ((n, m), (n,), (1, m), (m,))])
    assert np.all(P[:, columns] <= np.finfo("f8").tiny)
    expected = exact(problem)
    np.testing.assert_allclose(r, expected.sum(axis=1).astype("f8"), rtol=1e-11, atol=1e-300)
    np.testing.assert_allclose(c, expected.sum(axis=0).astype("f8"), rtol=1e-11, atol=1e-300)


@pytest.mark.parametrize("exponent", [-690.0, 690.0])
def test_exponents_reach_almost_the_range_of_the_format(xp: Any, exponent: float) -> None:
    problem = Plan(np.zeros((2, 5)), np.full(2, exponent), np.zeros(5), 1.0)
    np.testing.assert_allclose(sums(xp, problem)[0], 5 * np.exp(exponent), rtol=tolerance("f8", 4 * 690))


def test_nan_in_a_potential_shows_in_its_row_and_in_all_columns(xp: Any) -> None:
    problem = plan(5, 600)
    problem.f[4] = np.nan
    r, c = sums(xp, problem)
    np.testing.assert_array_equal(np.isnan(r), [False] * 4 + [True])
    assert np.isnan(c).all()


@pytest.mark.parametrize("exponent", [710.0, 1e4, np.inf])
def test_overflow_is_huge_and_not_wrong(exponent: float) -> None:
    problem = Plan(np.zeros((2, 600)), np.full(2, exponent), np.zeros(600), 1.0)
    for result in sums(np, problem):
        assert np.all(result > 1e307)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("parts", PARTS)
def test_log_sums_match_scipy(xp: Any, shape: tuple[int, int], parts: int) -> None:
    problem = plan(*shape)
    C, f, g, inv_reg = problem
    with np.errstate(divide="ignore"):
        expected = logsumexp((g - C) * inv_reg, axis=1), logsumexp((f[:, None] - C) * inv_reg, axis=0)
    for result, value in zip(lse(xp, problem, parts), expected, strict=True):
        np.testing.assert_allclose(result, value, rtol=1e-13, atol=rounding(problem))


@pytest.mark.parametrize("types", TYPES[1:])
def test_log_sums_in_other_types(xp: Any, types: tuple[str, str]) -> None:
    problem = plan(33, 300, types)
    C, f, g, inv_reg = problem
    by_rows = exact(Plan(C, 0 * f, g, inv_reg)).sum(axis=1)
    by_columns = exact(Plan(C, f, 0 * g, inv_reg)).sum(axis=0)
    for result, value in zip(lse(xp, problem, 2), (by_rows, by_columns), strict=True):
        assert result.dtype == types[1]
        with np.errstate(divide="ignore"):
            np.testing.assert_allclose(result, np.log(value).astype(types[1]), atol=rounding(problem))


def test_log_sums_do_not_overflow_and_know_the_empty_row(xp: Any) -> None:
    C = np.array([[1e6, 1e6 + 1], [-1e6, -1e6], [np.inf, np.inf]])
    rows, cols = lse(xp, Plan(C, np.array([0.0, -2e6, 0.0]), np.zeros(2), 2.0), 2)
    np.testing.assert_allclose(rows, [-2e6 + np.log1p(np.exp(-2)), 2e6 + np.log(2), -np.inf], rtol=1e-15)
    np.testing.assert_allclose(cols, [-2e6 + np.log(2), -2e6 + np.log1p(np.exp(-2))], rtol=1e-15)


@pytest.mark.parametrize("shape", [*SHAPES, (7, 33)])
@pytest.mark.parametrize("real", ["f8", "f4"])
@pytest.mark.parametrize("parts", PARTS)
def test_a_sweep_scales_rows_then_columns(xp: Any, shape: tuple[int, int], real: str, parts: int) -> None:
    n, m = shape
    rng = np.random.default_rng(0)
    K, a, b = (rng.random(size).astype(real) for size in ((n, m), n, m))
    u, v = (rng.uniform(0.5, 2, size).astype(real) for size in (n, m))
    if n > 5:
        K[2] = 0
        K[:, 3:4] = 0
    s = K.astype(np.longdouble) @ v
    u_new = np.where(s == 0, u, a / np.where(s == 0, 1, s))
    c = u_new @ K
    v_new = np.where(c == 0, v, b / np.where(c == 0, 1, c))
    outputs = [u, v, unset(real, n), unset(real, parts, m), unset(real, m)]
    results = run(xp, "scaling_sweep", [K, a, b], outputs)
    for result, value in zip([*results[:3], results[4]], (u_new, v_new, u * s, c), strict=True):
        assert result.dtype == real
        np.testing.assert_allclose(result, value.astype(real), rtol=tolerance(real, 4 * (n + m) + 8))


def compressed(xp: Any, problem: Plan, parts: int) -> None:
    """Count and fill both ways and compare with the mask."""
    (n, m), real = problem.C.shape, problem.f.dtype
    row_floor, col_floor = floors(problem)
    inputs = [*problem, row_floor, col_floor]
    mask, values = kept(problem, row_floor, col_floor), exact(problem)
    row_count, counts = run(xp, "gibbs_count", inputs, [unset("i8", n), unset("i8", parts, m)])
    np.testing.assert_array_equal(row_count, mask.sum(axis=1))
    np.testing.assert_array_equal(counts, [mask[rows].sum(axis=0) for rows in slices(n, parts)])

    nnz = int(mask.sum())
    indptr = np.concatenate([[0], np.cumsum(row_count)])
    indices, data = run(xp, "gibbs_fill", [*inputs, indptr], [unset("i4", nnz), unset(real, nnz)])
    rows, columns = np.nonzero(mask)
    np.testing.assert_array_equal(indices, columns)
    np.testing.assert_allclose(data, values[rows, columns].astype(real), rtol=rounding(problem))

    ends = np.cumsum(counts.T.ravel()).reshape(m, parts).T
    starts, indices, data = run(
        xp, "gibbs_fill_columns", inputs, [ends - counts, unset("i4", nnz), unset(real, nnz)]
    )  # fmt: skip
    np.testing.assert_array_equal(starts, ends)
    columns, rows = np.nonzero(mask.T)
    np.testing.assert_array_equal(indices, rows)
    np.testing.assert_allclose(data, values[rows, columns].astype(real), rtol=rounding(problem))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("parts", PARTS)
def test_kept_entries_by_rows_and_by_columns(xp: Any, shape: tuple[int, int], parts: int) -> None:
    compressed(xp, plan(*shape), parts)


@pytest.mark.parametrize("types", TYPES[1:])
def test_kept_entries_in_other_types(xp: Any, types: tuple[str, str]) -> None:
    compressed(xp, plan(33, 300, types), 2)


def test_an_entry_on_its_floor_is_kept(xp: Any) -> None:
    C, floor = np.array([[1.0, 2.0, 3.0]]), np.array([-2.0])
    above = np.full(3, 5.0)
    inputs = [C, np.zeros(1), np.zeros(3), 1.0, floor, above]
    row_count, counts = run(xp, "gibbs_count", inputs, [unset("i8", 1), unset("i8", 1, 3)])
    np.testing.assert_array_equal(row_count, [2])
    np.testing.assert_array_equal(counts, [[1, 1, 0]])


def test_the_same_parts_give_the_same_bits(xp: Any) -> None:
    problem = plan(40, 300)
    for first, second in zip(sums(xp, problem, 3), sums(xp, problem, 3), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 10**7), (3, 10**6), (4000, 4000)])
def test_there_is_at_least_one_part_and_no_empty_one(xp: Any, n: int, m: int) -> None:
    assert 1 <= bind(xp).gibbs_parts(n, m) <= n


@pytest.mark.parametrize("real", ["f8", "f4"])
def test_parallel_forms_agree_with_the_serial_ones(real: str) -> None:
    n, m, parts = 37, 600, 3
    problem = plan(n, m, (real, real))
    C, f, g, inv_reg = problem
    row_floor, col_floor = floors(problem)
    inputs = [*problem, row_floor, col_floor]
    mask = kept(problem, row_floor, col_floor)
    counts = np.array([mask[rows].sum(axis=0) for rows in slices(n, parts)])
    starts = np.cumsum(counts.T.ravel()).reshape(m, parts).T - counts
    indptr = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])
    nnz, r, c, work = mask.sum(), unset(real, n), unset(real, m), unset(real, parts, m)
    K, ones_n, ones_m = np.abs(np.where(np.isinf(C), 0, C)), np.ones(n, real), np.ones(m, real)
    calls: dict[str, tuple[list[Any], list[np.ndarray]]] = {
        "gibbs_sums": ([*problem], [r, work, c]),
        "gibbs_plan": ([*problem], [unset(real, n, m), r, work, c]),
        "gibbs_lse_rows": ([C, g, inv_reg], [r]),
        "gibbs_lse_cols": ([C, f, inv_reg], [unset(real, 2, parts, m), c]),
        "scaling_sweep": ([K, ones_n, ones_m], [ones_n, ones_m, r, work, c]),
        "gibbs_count": (inputs, [unset("i8", n), unset("i8", parts, m)]),
        "gibbs_fill": ([*inputs, indptr], [unset("i4", nnz), unset(real, nnz)]),
        "gibbs_fill_columns": (inputs, [starts, unset("i4", nnz), unset(real, nnz)]),
    }
    for name, (arguments, outputs) in calls.items():
        kernel = getattr(numba_gibbs, name)
        serial, parallel = ([output.copy() for output in outputs] for _ in range(2))
        kernel.serial(*arguments, *serial)
        kernel.parallel(*arguments, *parallel)
        for first, second in zip(serial, parallel, strict=True):
            assert_same_sums(first, second, name)
