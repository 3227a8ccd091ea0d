"""Coordinate descent and the sums over columns in every home against dense NumPy formulas."""

from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.kernels import bind
from numopt.kernels._numba import _column_gram
from numopt.kernels._numba import descent as numba_descent
from tests.kernels.cases import SIZES, assert_same_sums, run, sparse_matrix, tolerance

TYPES = [("f8", "i4"), ("f8", "i8"), ("f4", "i4"), ("f4", "i8")]


class Descent(NamedTuple):
    """A problem of coordinate descent: a dense matrix and what the kernels take besides it."""

    A: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    sums: np.ndarray
    curvature: np.ndarray
    penalty: np.ndarray
    x: np.ndarray
    s: np.ndarray
    offset: np.ndarray


def columns_of(A: np.ndarray, index: str = "i4") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the CSC triple of a dense matrix, the entries of each column in random order."""
    X = sp.csr_array(A.T)
    rng = np.random.default_rng(5)
    for j in range(A.shape[1]):
        entries = slice(X.indptr[j], X.indptr[j + 1])
        order = rng.permutation(entries.stop - entries.start)
        X.indices[entries], X.data[entries] = X.indices[entries][order], X.data[entries][order]
    return X.data, X.indices.astype(index), X.indptr.astype(index)


def descent_problem(
    n: int, k: int, dtype: str = "f8", *, weighted: bool = False, centred: bool = False, bounded: bool = False
) -> Descent:
    """Draw a matrix with zero columns, penalties, a point within its bounds and a gradient."""
    rng = np.random.default_rng(3)
    A = sparse_matrix(k, n, 0.4, dtype).toarray().T.copy()
    weights = rng.random(n).astype(dtype) if weighted else np.empty(0, dtype)
    every = weights if weighted else np.ones(n, dtype)
    sums = every @ A
    means = sums / max(every.sum(), 1e-3)
    curvature = np.sum((every * (A - means if centred else A).T).T * (A - means if centred else A), axis=0)
    penalty = np.array([rng.random(k), rng.random(k) * (rng.random(k) < 0.5), np.full(k, -np.inf), np.full(k, np.inf)])
    if bounded:
        penalty[2], penalty[3] = -0.3 * rng.random(k), 0.3 * rng.random(k)
    x = np.clip(rng.standard_normal(k) * (rng.random(k) < 0.5), penalty[2], penalty[3])
    vectors = (sums, means) if centred else (np.empty(0), np.empty(0))
    return Descent(
        A,
        weights,
        *(vector.astype(dtype) for vector in (vectors[1], vectors[0], curvature, penalty, x)),
        rng.standard_normal(n).astype(dtype),
        np.array([0.25 if centred else 0.0]),
    )


def descend(problem: Descent, epochs: int) -> list[np.ndarray]:
    """Take the steps in long doubles, the gradient recomputed from the definition of the true vector."""
    A, weights, means, sums, curvature, penalty, x, s, offset = (part.astype(np.longdouble) for part in problem)
    every = weights if weights.size else np.ones(s.size, s.dtype)
    l1, l2, lower, upper = penalty
    violations = np.zeros(epochs)
    for epoch in range(epochs):
        for j in range(x.size):
            bound = curvature[j] + l2[j]
            if bound == 0:
                continue
            slope = A[:, j] @ s + (offset[0] * sums[j] if means.size else 0) + l2[j] * x[j]
            u = x[j] - slope / bound
            new = np.clip(np.sign(u) * np.maximum(np.abs(u) - l1[j] / bound, 0), lower[j], upper[j])
            step, x[j] = new - x[j], new
            s += every * A[:, j] * step
            if means.size:
                offset[0] -= means[j] * step
            violations[epoch] = max(violations[epoch], bound * abs(step))
    return [x, s, offset, violations]


def check_descent(xp: Any, problem: Descent, epochs: int, index: str = "i4") -> None:
    """Compare the sparse and the dense kernel with the formula."""
    vectors, state = list(problem[1:6]), list(problem[6:])
    expected = descend(problem, epochs)
    for name, matrix in (
        ("csc_descent", list(columns_of(problem.A, index))),
        ("dense_descent", [np.ascontiguousarray(problem.A.T)]),
    ):
        results = run(xp, name, [*matrix, *vectors], [*state, np.full(epochs, -1.0)])
        for result, exact, part in zip(results, expected, ("x", "s", "offset", "violations"), strict=True):
            scale = 1 + np.abs(exact).max(initial=0)
            atol = tolerance(problem.x.dtype.str, 40 * (problem.s.size + 8)) * float(scale)
            np.testing.assert_allclose(result, exact.astype("f8"), rtol=0, atol=atol, err_msg=f"{name}: {part}")


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(("dtype", "index"), TYPES)
def test_column_sums_match_a_dense_product(xp: Any, n: int, dtype: str, index: str) -> None:
    rng = np.random.default_rng(2)
    A = sparse_matrix(9, n, 0.5, dtype).toarray().T
    v, weights = rng.standard_normal(n).astype(dtype), rng.standard_normal(n).astype(dtype)
    exact, columns, out = A.astype(np.longdouble), list(columns_of(A, index)), [np.full(9, np.nan, dtype)]
    for name, vector, expected, size in (
        ("column_dots", v, v @ exact, np.abs(v) @ np.abs(exact)),
        ("column_squares", weights, weights @ exact**2, np.abs(weights) @ exact**2),
        ("column_squares", np.empty(0, dtype), (exact**2).sum(axis=0), (exact**2).sum(axis=0)),
    ):
        result = run(xp, name, [*columns, vector], out)[0]
        assert result.dtype == dtype
        error = np.abs(result - expected)
        assert (error <= tolerance(dtype, n + 4) * size).all(), name


def test_column_sums_of_no_columns(xp: Any) -> None:
    triple = [np.empty(0), np.empty(0, "i4"), np.zeros(1, "i4")]
    for name in ("column_dots", "column_squares"):
        assert run(xp, name, [*triple, np.ones(3)], [np.empty(0)])[0].size == 0


def test_nan_shows_in_the_sums_of_its_column_only(xp: Any) -> None:
    data, indices, indptr = columns_of(np.arange(1.0, 13).reshape(4, 3))
    data[indptr[1]] = np.nan
    for name, vector in (("column_dots", np.ones(4)), ("column_squares", np.ones(4)), ("column_squares", np.empty(0))):
        result = run(xp, name, [data, indices, indptr, vector], [np.empty(3)])[0]
        np.testing.assert_array_equal(np.isnan(result), [False, True, False])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("bounded", [False, True])
def test_descent_matches_the_formula(xp: Any, weighted: bool, centred: bool, bounded: bool) -> None:
    check_descent(xp, descent_problem(29, 11, weighted=weighted, centred=centred, bounded=bounded), 3)


@pytest.mark.parametrize(("dtype", "index"), TYPES)
def test_descent_in_other_types(xp: Any, dtype: str, index: str) -> None:
    check_descent(xp, descent_problem(13, 7, dtype, weighted=True, centred=True), 2, index)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (1, 5), (2, 3), (33, 2), (300, 3), (0, 3), (3, 0)])
def test_descent_of_odd_shapes(xp: Any, n: int, k: int) -> None:
    check_descent(xp, descent_problem(n, k), 2)


def test_descent_without_epochs_changes_nothing(xp: Any) -> None:
    check_descent(xp, descent_problem(5, 3), 0)


def test_a_zero_column_stays_unless_it_has_a_penalty(xp: Any) -> None:
    problem = descent_problem(6, 3)
    problem.A[:, 1:], problem.curvature[1:], problem.x[:] = 0, 0, 2
    problem.penalty[:2] = [[0, 0, 0], [0, 0, 1]]
    check_descent(xp, problem, 1)
    result = run(xp, "csc_descent", [*columns_of(problem.A), *problem[1:6]], [*problem[6:], np.empty(1)])[0]
    assert result[1] == 2
    assert result[2] == 0


def test_a_point_outside_its_bounds_is_brought_back(xp: Any) -> None:
    problem = descent_problem(6, 3, bounded=True)
    problem.penalty[0], problem.penalty[2], problem.penalty[3], problem.x[:] = 100, 0.5, 1.5, 0
    check_descent(xp, problem, 1)
    check_gram(xp, np.eye(3), problem.penalty, problem.x, np.zeros(3), 2)


def test_nan_shows_in_the_violations(xp: Any) -> None:
    problem = descent_problem(6, 4)
    problem.penalty[:2], problem.A[:] = 0.1, 1.0
    problem.s[2] = np.nan
    for name, matrix in (("csc_descent", list(columns_of(problem.A))), ("dense_descent", [problem.A.T.copy()])):
        x, _, _, violations = run(xp, name, [*matrix, *problem[1:6]], [*problem[6:], np.zeros(2)])
        assert np.isnan(violations).all()
        assert np.isnan(x).all()


def test_nan_of_one_coordinate_is_not_swallowed_by_a_later_one(xp: Any) -> None:
    penalty = np.array([[0.0] * 3, [0.0] * 3, [-np.inf] * 3, [np.inf] * 3])
    vectors = [np.empty(0), np.empty(0), np.empty(0), np.ones(3), penalty]
    state = [np.zeros(3), np.array([1, np.nan, 1]), np.zeros(1), np.zeros(1)]
    x, s, _, violations = run(xp, "csc_descent", [*columns_of(np.eye(3)), *vectors], state)
    np.testing.assert_array_equal(np.isnan(x), [False, True, False])
    np.testing.assert_array_equal(np.isnan(s), [False, True, False])
    assert np.isnan(violations).all()
    violations = run(xp, "gram_descent", [np.eye(3), penalty], [np.zeros(3), state[1], np.zeros(1)])[2]
    assert np.isnan(violations).all()


def check_gram(xp: Any, H: np.ndarray, penalty: np.ndarray, x: np.ndarray, g: np.ndarray, epochs: int) -> np.ndarray:
    """Compare the kernel for Gram matrices with the formula, up to the epoch at which it stopped."""
    results = run(xp, "gram_descent", [H, penalty], [x, g, np.zeros(epochs)])
    exact_x, exact_g = x.astype(np.longdouble), g.astype(np.longdouble)
    l1, l2, lower, upper = penalty.astype(np.longdouble)
    for epoch in range(np.isfinite(results[2]).sum()):
        worst = 0.0
        for j in range(x.size):
            bound = H[j, j] + l2[j]
            if bound == 0:
                continue
            u = exact_x[j] - (exact_g[j] + l2[j] * exact_x[j]) / bound
            new = np.clip(np.sign(u) * np.maximum(np.abs(u) - l1[j] / bound, 0), lower[j], upper[j])
            step, exact_x[j] = new - exact_x[j], new
            exact_g += H[j] * step
            worst = max(worst, float(bound * abs(step)))
        atol = tolerance(H.dtype.str, 100 * (x.size + 4)) * (1 + np.abs(H).max(initial=0))
        assert abs(results[2][epoch] - worst) <= atol
    np.testing.assert_allclose(results[0], exact_x.astype("f8"), rtol=0, atol=atol)
    np.testing.assert_allclose(results[1], exact_g.astype("f8"), rtol=0, atol=atol)
    return results[2]


def gram_problem(k: int, dtype: str = "f8") -> list[np.ndarray]:
    """Draw a Hessian, penalties, a point and a gradient."""
    rng = np.random.default_rng(k)
    A = rng.standard_normal((2 * k, k)) / np.sqrt(2 * k)
    penalty = np.array([0.3 * rng.random(k), 0.1 * rng.random(k), np.full(k, -np.inf), np.full(k, np.inf)])
    penalty[2, ::3], penalty[3, ::5] = 0, 0.1
    x = np.clip(rng.standard_normal(k) * (rng.random(k) < 0.3), penalty[2], penalty[3])
    H = A.T @ A
    return [part.astype(dtype) for part in ((H + H.T) / 2, penalty, x, rng.standard_normal(k))]


@pytest.mark.parametrize("k", [1, 2, 7, 31, 32, 33, 65, 257])
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_gram_descent_matches_the_formula(xp: Any, k: int, dtype: str) -> None:
    if k == 257 and not getattr(xp, "__name__", "").endswith(("numpy", "cupy")):
        pytest.skip("slow in the reference")
    violations = check_gram(xp, *gram_problem(k, dtype), 4)
    assert np.isfinite(violations[0])


def test_gram_descent_of_nothing(xp: Any) -> None:
    arguments = [np.empty((0, 0)), np.empty((4, 0))], [np.empty(0), np.empty(0), np.full(3, -1.0)]
    violations = run(xp, "gram_descent", *arguments)[2]
    np.testing.assert_array_equal(violations, [0, np.nan, np.nan])


def bounded_gram_problem(k: int) -> list[np.ndarray]:
    """Draw a problem whose solution is a corner, which the first epoch finds and the second confirms."""
    H, penalty, x, g = gram_problem(k)
    penalty[2:] = [[-0.01], [0.01]]
    return [H, penalty, x * 0.01, np.where(g > 0, 3.0, -3.0)]


def test_gram_descent_stops_when_nothing_changes(xp: Any) -> None:
    H, penalty, x, g = bounded_gram_problem(9)
    corner = -0.01 * np.sign(g)
    x, g, violations = run(xp, "gram_descent", [H, penalty], [x, g, np.full(20, -1.0)])
    np.testing.assert_array_equal(x, corner)
    assert violations[0] > 0
    np.testing.assert_array_equal(violations[1:], [0] + 18 * [np.nan])


def test_gram_descent_leaves_a_coordinate_without_curvature(xp: Any) -> None:
    H, penalty = np.diag([1.0, 0.0]), np.array([[0.0] * 2, [0.0] * 2, [-np.inf] * 2, [np.inf] * 2])
    x, g, violations = run(xp, "gram_descent", [H, penalty], [np.zeros(2), np.array([1.0, 1.0]), np.zeros(3)])
    np.testing.assert_array_equal(x, [-1, 0])
    np.testing.assert_array_equal(g, [0, 1])
    np.testing.assert_array_equal(violations, [1, 0, np.nan])


def gram(xp: Any, A: np.ndarray, weights: np.ndarray, first: int, index: str = "i4") -> np.ndarray:
    """Run csc_gram with leftovers in scratch and result."""
    (n, k), columns = A.shape, columns_of(A, index)
    size = bind(xp).csc_gram_work(n, k, columns[0].size)
    scratch = [np.full(n + 1, -7), np.full(columns[0].size, -7, "i4"), np.full(size, np.nan, A.dtype)]
    return run(xp, "csc_gram", [*columns, weights, first], [*scratch, np.full((k, k), 99, A.dtype)])[3]


@pytest.mark.parametrize(("n", "k"), [(1, 1), (2, 5), (40, 7), (33, 33), (9, 40), (0, 3), (3, 0)])
@pytest.mark.parametrize("weighted", [False, True])
def test_csc_gram_matches_a_dense_product(xp: Any, n: int, k: int, weighted: bool) -> None:
    A = sparse_matrix(k, n, 0.4).toarray().T
    weights = np.random.default_rng(1).standard_normal(n) if weighted else np.empty(0)
    exact = A.T.astype(np.longdouble) * (weights if weighted else 1) @ A
    size = np.abs(A.T) * (np.abs(weights) if weighted else 1) @ np.abs(A)
    for first in sorted({0, k // 3, max(k - 1, 0), k}):
        H = gram(xp, A, weights, first)
        np.testing.assert_array_equal(H[:first, :first], 99)
        np.testing.assert_array_equal(H, H.T)
        new = np.maximum.outer(np.arange(k), np.arange(k)) >= first
        assert (np.abs(H - exact) <= tolerance("f8", n + 4) * size)[new].all()


@pytest.mark.parametrize(("dtype", "index"), TYPES)
def test_csc_gram_in_other_types(xp: Any, dtype: str, index: str) -> None:
    A = sparse_matrix(12, 30, 0.5, dtype).toarray().T
    weights = np.random.default_rng(1).random(30).astype(dtype)
    H = gram(xp, A, weights, 3, index)
    assert H.dtype == dtype
    exact = (A.T.astype(np.longdouble) * weights @ A).astype(dtype)
    new = np.maximum.outer(np.arange(12), np.arange(12)) >= 3
    np.testing.assert_allclose(H[new], exact[new], rtol=0, atol=tolerance(dtype, 40) * np.abs(exact).max())


@pytest.mark.parametrize(("n", "k", "density"), [(1, 1, 1.0), (60, 9, 0.1), (60, 17, 0.4), (9, 40, 0.7), (33, 70, 0.2)])
@pytest.mark.parametrize(("dtype", "index"), TYPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_both_ways_to_the_gram_matrix(n: int, k: int, density: float, dtype: str, index: str, weighted: bool) -> None:
    A = sparse_matrix(k, n, density, dtype).toarray().T
    columns, weights = columns_of(A, index), np.linspace(-1, 1, n, dtype=dtype) if weighted else np.empty(0, dtype)
    exact = (A.T.astype(np.longdouble) * (weights if weighted else 1) @ A).astype(dtype)
    scratch = (
        np.full(n + 1, -7),
        np.full(columns[0].size, -7, "i4"),
        np.full(columns[0].size + 8 * n + 16, np.nan, dtype),
    )
    for first in sorted({0, k // 2, k - 1}):
        new = np.maximum.outer(np.arange(k), np.arange(k)) >= first
        for way, arguments in (
            (_column_gram.gram_by_rows, scratch),
            (_column_gram.gram_by_columns, (n, scratch[2])),
        ):
            H = np.full((k, k), 99, dtype)
            way(*columns, weights, first, *arguments, H)
            atol = tolerance(dtype, n + 8) * np.abs(exact).max()
            np.testing.assert_allclose(H[new], exact[new], rtol=0, atol=atol)
            np.testing.assert_array_equal(H[~new], 99)
            np.testing.assert_array_equal(H, H.T)


def test_the_way_to_the_gram_matrix_depends_on_the_columns() -> None:
    faster = _column_gram.by_columns_is_faster
    assert faster(1000, 10_000, 10, 100)
    assert not faster(1000, 10_000, 100, 1000)
    assert faster(1000, 100_000, 100, 100_000)
    assert not faster(1000, 1500, 1, 15), "there is no scratch for a dense column"
    for n, nnz in ((1000, 1999), (1000, 2000), (0, 0)):
        assert _column_gram.work_size(n, nnz) >= (8 * n + 15 if 2 * n <= nnz else nnz)


def test_csc_gram_shows_nan_in_its_row_and_column(xp: Any) -> None:
    A = np.arange(1.0, 13).reshape(4, 3)
    A[2, 1] = np.nan
    np.testing.assert_array_equal(np.isnan(gram(xp, A, np.empty(0), 0)), [[0, 1, 0], [1, 1, 1], [0, 1, 0]])


def test_the_same_arguments_give_the_same_bits(xp: Any) -> None:
    A, weights = sparse_matrix(20, 50, 0.5).toarray().T, np.random.default_rng(1).random(50)
    np.testing.assert_array_equal(gram(xp, A, weights, 5), gram(xp, A, weights, 5))
    problem = descent_problem(40, 11, weighted=True)
    arguments = [*columns_of(problem.A), *problem[1:6]], [*problem[6:], np.zeros(3)]
    for first, second in zip(run(xp, "csc_descent", *arguments), run(xp, "csc_descent", *arguments), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("name", ["column_dots", "column_squares"])
def test_parallel_form_gives_the_sums_of_the_serial_one(name: str, dtype: str) -> None:
    columns, results = columns_of(sparse_matrix(70, 90, 0.4, dtype).toarray().T), []
    for form in ("serial", "parallel"):
        out = np.empty(70, dtype)
        getattr(getattr(numba_descent, name), form)(*columns, np.linspace(-1, 1, 90).astype(dtype), out)
        results.append(out)
    assert_same_sums(results[0], results[1], name)


@pytest.mark.gpu
def test_cuda_agrees_with_numba_to_1e_12() -> None:
    import array_api_compat.cupy as xp

    problem = descent_problem(3000, 200, weighted=True, centred=True)
    for arguments in (
        ("csc_descent", [*columns_of(problem.A), *problem[1:6]], [*problem[6:], np.zeros(5)]),
        ("dense_descent", [problem.A.T.copy(), *problem[1:6]], [*problem[6:], np.zeros(5)]),
        ("gram_descent", gram_problem(1500)[:2], [*gram_problem(1500)[2:], np.zeros(5)]),
    ):
        for cuda, cpu in zip(run(xp, *arguments), run(np, *arguments), strict=True):
            np.testing.assert_allclose(cuda, cpu, rtol=0, atol=1e-12 * (1 + np.abs(cpu).max()), err_msg=arguments[0])
    A, weights = sparse_matrix(400, 2000, 0.1).toarray().T, np.random.default_rng(1).random(2000)
    cpu = gram(np, A, weights, 100)
    np.testing.assert_allclose(gram(xp, A, weights, 100), cpu, rtol=0, atol=1e-12 * np.abs(cpu).max())
