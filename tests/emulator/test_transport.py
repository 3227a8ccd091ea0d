"""The CUDA kernels of optimal transport, run as C++ on the CPU, against NumPy in long doubles."""

import os
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.kernels._cuda import bipartite, gibbs, point_gibbs
from tests.emulator.emulator import Emulator, call
from tests.kernels.cases import tolerance

# Types of cost and potentials.
PAIRS = [("f8", "f8"), ("f4", "f4"), ("f4", "f8")]

# Barriers of operating-system threads are slow: the sanitizers look for faults in fewer and smaller cases.
SANITIZE = bool(os.environ.get("NUMOPT_SANITIZE"))

# One row or column, a tile and its neighbours, rows that start at multiples of 16 bytes and rows that do not.
SHAPES = [(1, 130), (9, 260)] if SANITIZE else [(1, 1), (1, 130), (130, 1), (5, 7), (37, 128), (18, 263), (40, 260)]


class Plan(NamedTuple):
    """A cost with forbidden pairs, potentials, and the exponents of the plan."""

    C: np.ndarray
    f: np.ndarray
    g: np.ndarray
    inv_reg: float
    e: np.ndarray


def plan(n: int, m: int, cost: str = "f8", real: str = "f8", inv_reg: float = 50.0, forbidden: float = 0.1) -> Plan:
    rng = np.random.default_rng(n + 1000 * m)
    C = rng.random((n, m)).astype(cost)
    if n * m > 1:
        C[rng.random((n, m)) < forbidden] = np.inf
    f, g = rng.random(n).astype(real) / 2, rng.random(m).astype(real) / 2
    return Plan(C, f, g, inv_reg, exponents(C, f, g, inv_reg))


def exponents(C: np.ndarray, f: np.ndarray, g: np.ndarray, inv_reg: float) -> np.ndarray:
    """Return the exponents as the kernels round them."""
    return ((f[:, None] + g) - C.astype(f.dtype)) * f.dtype.type(inv_reg)


def accuracy(real: str, e: np.ndarray) -> float:
    """Return the relative error that rounded exponents, and sums of positive numbers, may have."""
    finite = np.abs(e[np.isfinite(e)])
    return tolerance(real, 8 + 4 * finite.max(initial=1.0) + sum(e.shape))


def empty(*shape: int, dtype: str = "f8") -> np.ndarray:
    """Return an output array whose content a kernel must not use."""
    return np.full(shape, -7 if np.dtype(dtype).kind == "i" else np.nan, dtype)


@pytest.mark.parametrize("store", [False, True])
@pytest.mark.parametrize(("cost", "real"), PAIRS)
@pytest.mark.parametrize(("n", "m"), SHAPES)
def test_gibbs_sums(emulator: Emulator, n: int, m: int, cost: str, real: str, store: bool) -> None:
    C, f, g, inv_reg, e = plan(n, m, cost, real)
    P = empty(n, m, dtype=real)
    for parts in {1, min(3, n)}:
        r, c = empty(n, dtype=real), empty(m, dtype=real)
        work = empty(parts, m, dtype=real)
        kernel = gibbs.gibbs_plan if store else gibbs.gibbs_sums
        call(emulator, kernel, C, f, g, inv_reg, *([P] if store else []), r, work, c)
        expected = np.exp(e.astype(np.longdouble))
        rtol = accuracy(real, e)
        np.testing.assert_allclose(r, expected.sum(axis=1).astype(real), rtol=rtol)
        np.testing.assert_allclose(c, expected.sum(axis=0).astype(real), rtol=rtol)
        if store:
            np.testing.assert_allclose(P, expected.astype(real), rtol=rtol)


def test_exponents_far_from_zero(emulator: Emulator) -> None:
    C = np.array([[0.0, -1.0, 707.9, 709.0, 1e9, np.inf, -700.0]])
    P, r, c = empty(1, 7), empty(1), empty(7)
    call(emulator, gibbs.gibbs_plan, C, np.zeros(1), np.zeros(7), 1.0, P, r, empty(1, 7), c)
    np.testing.assert_allclose(P[0, [0, 1, 2, 6]], np.exp(-C[0, [0, 1, 2, 6]]), rtol=1e-12)
    np.testing.assert_array_equal(P[0, 3:6], 0)
    call(emulator, gibbs.gibbs_plan, C, np.full(1, np.nan), np.zeros(7), 1.0, P, r, empty(1, 7), c)
    np.testing.assert_array_equal(np.isnan(P[0, :5]), True)
    assert np.isnan(r[0])


@pytest.mark.parametrize("inv_reg", [1.0, 5000.0])
@pytest.mark.parametrize(("cost", "real"), PAIRS)
@pytest.mark.parametrize(("n", "m"), SHAPES)
def test_gibbs_lse(emulator: Emulator, n: int, m: int, cost: str, real: str, inv_reg: float) -> None:
    C, f, g, _, _ = plan(n, m, cost, real)
    if n > 2 < m:
        C[1, :], C[:, 2] = np.inf, np.inf
    rows, columns = empty(n, dtype=real), empty(m, dtype=real)
    call(emulator, gibbs.gibbs_lse_rows, C, g, inv_reg, rows)
    e = exponents(C, np.zeros_like(f), g, inv_reg)
    with np.errstate(divide="ignore"):
        expected = np.logaddexp.reduce(e.astype(np.longdouble), axis=1).astype(real)
    rtol = tolerance(real, 16)
    np.testing.assert_allclose(rows, expected, rtol=rtol, atol=accuracy(real, e))
    for parts in {1, min(3, n)}:
        call(emulator, gibbs.gibbs_lse_cols, C, f, inv_reg, empty(2, parts, m, dtype=real), columns)
        e = exponents(C, f, np.zeros_like(g), inv_reg)
        expected = np.logaddexp.reduce(e.astype(np.longdouble), axis=0).astype(real)
        np.testing.assert_allclose(columns, expected, rtol=rtol, atol=accuracy(real, e))


def test_lse_of_exponents_that_rise_all_along(emulator: Emulator) -> None:
    n = 60 if SANITIZE else 1100
    C = -np.linspace(0, 3000, n).reshape(n, 1)
    out = empty(1)
    call(emulator, gibbs.gibbs_lse_cols, C, np.zeros(n), 1.0, empty(2, 2, 1), out)
    expected = np.logaddexp.reduce(-C[:, 0])
    np.testing.assert_allclose(out, expected, rtol=1e-14)
    call(emulator, gibbs.gibbs_lse_rows, C.T.copy(), np.zeros(n), 1.0, out)
    np.testing.assert_allclose(out, expected, rtol=1e-14)


@pytest.mark.parametrize("real", ["f8", "f4"])
@pytest.mark.parametrize(("n", "m", "parts"), [(1, 1, 1), (9, 130, 2), (13, 300, 3), (5, 2100, 2)])
def test_scaling_sweep(emulator: Emulator, n: int, m: int, parts: int, real: str) -> None:
    rng = np.random.default_rng(n)
    K, a, b, u, v = (rng.random(shape).astype(real) for shape in [(n, m), n, m, n, m])
    if n > 2:
        K[1, :], K[:, 0] = 0, 0
    # Two thousand columns are too many for a block of 64 threads.
    wide = [pair for pair in gibbs._SWEEP_COLUMNS_DEPTH if m <= 64 * pair[0]]
    block = 64 if not wide or wide[0][0] <= 8 else gibbs._SWEEP_BLOCK
    before_u, before_v = u.astype("f8"), v.astype("f8")
    r, c = empty(n, dtype=real), empty(m, dtype=real)
    call(emulator, gibbs.scaling_sweep, K, a, b, u, v, r, empty(parts, m, dtype=real), c, block=block)
    s = K.astype("f8") @ before_v
    expected_u = np.divide(a, s, out=before_u.copy(), where=s != 0)
    expected_c = K.T.astype("f8") @ expected_u
    expected_v = np.divide(b, expected_c, out=before_v.copy(), where=expected_c != 0)
    for found, expected in [(r, before_u * s), (u, expected_u), (c, expected_c), (v, expected_v)]:
        np.testing.assert_allclose(found, expected.astype(real), rtol=tolerance(real, n + m + 8))


def floors(e: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return floors that keep about a quarter of the entries, one row and one column whole."""
    real = e.dtype
    row = np.quantile(np.where(np.isfinite(e), e, -1e4), 0.8, axis=1).astype(real)
    column = np.quantile(np.where(np.isfinite(e), e, -1e4), 0.8, axis=0).astype(real)
    if min(e.shape) > 2:
        row[2], column[1] = -np.inf, -np.inf
    return row, column


@pytest.mark.parametrize(("cost", "real"), PAIRS)
@pytest.mark.parametrize(("n", "m"), SHAPES)
def test_the_kept_entries_of_a_dense_cost(emulator: Emulator, n: int, m: int, cost: str, real: str) -> None:
    C, f, g, inv_reg, e = plan(n, m, cost, real)
    row_floor, column_floor = floors(e)
    kept = e >= np.minimum(row_floor[:, None], column_floor)
    # A kept entry that is not stored would be an implicit zero in the comparison below.
    expected = np.where(kept, np.exp(e.astype("f8")), np.nan)
    for parts in {1, min(3, n)}:
        row_count, column_count = empty(n, dtype="i8"), empty(parts, m, dtype="i8")
        args = (C, f, g, inv_reg, row_floor, column_floor)
        call(emulator, gibbs.gibbs_count, *args, row_count, column_count)
        np.testing.assert_array_equal(row_count, kept.sum(axis=1))
        np.testing.assert_array_equal(column_count.sum(axis=0), kept.sum(axis=0))
        indptr = np.append(0, np.cumsum(row_count))
        indices, data = empty(indptr[-1], dtype="i4"), empty(indptr[-1], dtype=real)
        call(emulator, gibbs.gibbs_fill, *args, indptr, indices, data)
        compare(expected, indptr, indices, data, e)
        ends = np.cumsum(column_count.T.ravel()).reshape(m, parts).T
        starts = np.ascontiguousarray(ends - column_count)
        indices, data = empty(indptr[-1], dtype="i4"), empty(indptr[-1], dtype=real)
        call(emulator, gibbs.gibbs_fill_columns, *args, starts, indices, data)
        compare(expected.T, np.append(0, ends[-1]), indices, data, e)


def compare(expected: np.ndarray, indptr: np.ndarray, indices: np.ndarray, data: np.ndarray, e: np.ndarray) -> None:
    """Compare a CSR triple with a dense matrix that is NaN where nothing is stored."""
    for i, row in enumerate(expected):
        entries = slice(indptr[i], indptr[i + 1])
        np.testing.assert_array_equal(indices[entries], np.flatnonzero(~np.isnan(row)))
        values = row[indices[entries]].astype(data.dtype)
        np.testing.assert_allclose(data[entries], values, rtol=accuracy(data.dtype.str, e))


class Newton(NamedTuple):
    """A sparse plan in both forms, and marginals that it lies below."""

    csr: tuple[np.ndarray, np.ndarray, np.ndarray]
    csc: tuple[np.ndarray, np.ndarray, np.ndarray]
    r: np.ndarray
    c: np.ndarray
    P: np.ndarray

    @property
    def S(self) -> np.ndarray:
        c = np.where(self.c == 0, np.inf, self.c)
        return np.diag(self.r) - self.P / c @ self.P.T


def newton(n: int, m: int, density: float, real: str = "f8") -> Newton:
    rng = np.random.default_rng(n + m)
    dense = rng.random((n, m)) * (rng.random((n, m)) < density)
    dense[:, 0] = 0
    dense = dense.astype(real)
    r, c = 1.1 * dense.sum(axis=1) + 0.1, 1.1 * dense.sum(axis=0)
    P, Q = sp.csr_array(dense), sp.csr_array(dense.T)
    csr, csc = ((X.data, X.indices.astype("i4"), X.indptr.astype("i8")) for X in (P, Q))
    return Newton(csr, csc, r.astype(real), c.astype(real), dense.astype("f8"))


SPARSE = [(1, 1, 1.0), (7, 90, 0.02), (90, 40, 0.1), (33, 70, 0.9)]


@pytest.mark.parametrize("real", ["f8", "f4"])
@pytest.mark.parametrize(("n", "m", "density"), SPARSE)
def test_schur_product(emulator: Emulator, n: int, m: int, density: float, real: str) -> None:
    system = newton(n, m, density, real)
    x = np.random.default_rng(0).standard_normal(n).astype(real)
    z, y = empty(m, dtype=real), empty(n, dtype=real)
    call(emulator, bipartite.schur_product, *system.csr, *system.csc, system.r, system.c, x, z, y)
    expected = np.divide(system.P.T @ x, system.c, out=np.zeros(m), where=system.c != 0)
    np.testing.assert_allclose(z, expected, rtol=0, atol=tolerance(real, 4 * n) * np.abs(x).max())
    atol = tolerance(real, 4 * (n + m)) * np.abs(x).max() * system.r.max()
    np.testing.assert_allclose(y, system.S @ x, rtol=0, atol=atol)


@pytest.mark.parametrize("real", ["f8", "f4"])
@pytest.mark.parametrize(("n", "m", "density"), SPARSE)
def test_schur_pcg(emulator: Emulator, n: int, m: int, density: float, real: str) -> None:
    system = newton(n, m, density, real)
    rhs = np.random.default_rng(0).standard_normal(n).astype(real)
    diagonal = np.diag(system.S).astype(real)
    rtol = 1e-10 if real == "f8" else 1e-4
    x, info = empty(n, dtype=real), empty(3)
    scratch = empty(3, n, dtype=real), empty(m, dtype=real)
    problem = (*system.csr, *system.csc, system.r, system.c, rhs, diagonal)
    call(emulator, bipartite.schur_pcg, *problem, rtol, 200, x, *scratch, info)
    residual = np.linalg.norm(rhs - system.S @ x.astype("f8")) / np.linalg.norm(rhs)
    assert 1 <= info[0] < 200
    assert info[1] <= rtol
    assert info[2] == 0
    assert residual <= 2 * rtol + tolerance(real, 100)
    # Stopped early, the relative residual is that of the iterate.
    call(emulator, bipartite.schur_pcg, *problem, rtol, 1, x, *scratch, info)
    residual = np.linalg.norm(rhs - system.S @ x.astype("f8")) / np.linalg.norm(rhs)
    assert info[0] == 1
    np.testing.assert_allclose(info[1], residual, rtol=0, atol=tolerance(real, 100))


def test_schur_pcg_at_its_corners(emulator: Emulator) -> None:
    system = newton(30, 20, 0.3)
    rhs, diagonal = np.ones(30), np.linspace(1, 2, 30)
    x, info, scratch = empty(30), empty(3), (empty(3, 30), empty(20))
    matrices = (*system.csr, *system.csc)
    call(emulator, bipartite.schur_pcg, *matrices, system.r, system.c, 0 * rhs, diagonal, 1e-8, 9, x, *scratch, info)
    np.testing.assert_array_equal(info, 0)
    np.testing.assert_array_equal(x, 0)
    call(emulator, bipartite.schur_pcg, *matrices, system.r, system.c, rhs, diagonal, 1e-8, 0, x, *scratch, info)
    np.testing.assert_array_equal(info, [0, 1, 0])
    np.testing.assert_array_equal(x, 0)
    # Marginals below the plan's: the complement is negative definite.
    call(emulator, bipartite.schur_pcg, *matrices, -system.r, system.c, rhs, diagonal, 1e-8, 9, x, *scratch, info)
    np.testing.assert_array_equal(info, [0, 1, 1])
    np.testing.assert_array_equal(x, rhs / diagonal)


class Cloud(NamedTuple):
    """Points along a curve, so that tiles lie apart, their potentials and the costs in long doubles."""

    X: np.ndarray
    Y: np.ndarray
    metric: int
    f: np.ndarray
    g: np.ndarray
    inv_reg: float
    e: np.ndarray
    C: np.ndarray


def cloud(n: int, m: int, d: int, metric: int, real: str = "f8", inv_reg: float = 300.0) -> Cloud:
    rng = np.random.default_rng(n + m)
    X, Y = (np.linspace(0, 1, size)[:, None] + 0.2 * rng.random((size, d)) for size in (n, m))
    X, Y, f, g = (value.astype(real) for value in (X, Y, rng.random(n) / 20, rng.random(m) / 20))
    order = {0: lambda z: z**2, 1: lambda z: z**2, 2: np.abs}[metric]
    C = order(X[:, None, :].astype(np.longdouble) - Y).sum(axis=2)
    C = np.sqrt(C) if metric == 1 else C
    return Cloud(X, Y, metric, f, g, inv_reg, (f[:, None] + g.astype(np.longdouble) - C) * inv_reg, C)


# Dimension, metric and type of the instances; a tile and its neighbours, more than one slice.
CLOUDS = [(3, 0, "f8"), (2, 1, "f4"), (1, 2, "f8"), (16, 1, "f8"), (17, 2, "f8")]
POINTS = [(40, 129)] if SANITIZE else [(1, 1), (40, 129), (300, 1030)]
PRODUCTS = [(40, 129, 2)] if SANITIZE else [(1, 1, 1), (40, 129, 2), (300, 1030, 3), (20, 600, 11)]


@pytest.mark.parametrize(("d", "metric", "real"), CLOUDS)
@pytest.mark.parametrize(("n", "m"), POINTS)
def test_sums_over_points(emulator: Emulator, n: int, m: int, d: int, metric: int, real: str) -> None:
    *points, e, C = cloud(n, m, d, metric, real)
    P = np.exp(e)
    rtol = accuracy(real, e)
    r = empty(n, dtype=real)
    call(emulator, point_gibbs.point_row_sums, *points, r)
    np.testing.assert_allclose(r, P.sum(axis=1).astype(real), rtol=rtol, atol=np.finfo(real).tiny)
    call(emulator, point_gibbs.point_value, *points, r)
    np.testing.assert_allclose(r, (C * P).sum(axis=1).astype(real), rtol=rtol, atol=np.finfo(real).tiny)
    X, Y, _, f, g, inv_reg = points
    call(emulator, point_gibbs.point_lse_rows, X, Y, metric, g, inv_reg, r)
    expected = np.logaddexp.reduce(e - f[:, None] * np.longdouble(inv_reg), axis=1)
    np.testing.assert_allclose(r, expected.astype(real), rtol=tolerance(real, 16), atol=rtol)


@pytest.mark.parametrize(("d", "metric", "real"), CLOUDS[:2])
@pytest.mark.parametrize(("n", "m", "width"), PRODUCTS)
def test_products_of_a_plan_of_points(
    emulator: Emulator, n: int, m: int, width: int, d: int, metric: int, real: str
) -> None:
    *points, e, _ = cloud(n, m, d, metric, real)
    V = np.random.default_rng(0).random((m, width)).astype(real)
    out = empty(n, width, dtype=real)
    call(emulator, point_gibbs.point_apply, *points, V, out)
    expected = (np.exp(e) @ V).astype(real)
    np.testing.assert_allclose(out, expected, rtol=accuracy(real, e), atol=np.finfo(real).tiny)


@pytest.mark.parametrize(("d", "metric", "real"), CLOUDS)
@pytest.mark.parametrize(("n", "m"), POINTS)
def test_the_kept_entries_of_points_are_the_same_both_ways(
    emulator: Emulator, n: int, m: int, d: int, metric: int, real: str
) -> None:
    X, Y, _, f, g, inv_reg, e, _ = cloud(n, m, d, metric, real)
    row_floor, column_floor = floors(e.astype(real))
    sides: list[tuple[Any, ...]] = [
        (X, Y, metric, f, g, inv_reg, row_floor, column_floor),
        (Y, X, metric, g, f, inv_reg, column_floor, row_floor),
    ]
    plans = []
    for args in sides:
        count = empty(len(args[0]), dtype="i8")
        call(emulator, point_gibbs.point_count, *args, count)
        indptr = np.append(0, np.cumsum(count))
        indices, data = empty(indptr[-1], dtype="i4"), empty(indptr[-1], dtype=real)
        call(emulator, point_gibbs.point_fill, *args, indptr, indices, data)
        stored = np.full((len(args[0]), len(args[1])), np.nan)
        for i in range(len(count)):
            row = slice(indptr[i], indptr[i + 1])
            assert (np.diff(indices[row]) > 0).all()
            stored[i, indices[row]] = data[row]
        plans.append(stored)
    np.testing.assert_array_equal(plans[0], plans[1].T)
    # Floors are quantiles, numbers between two exponents or one of them, where rounding decides.
    clear = np.abs(e - np.minimum(row_floor[:, None], column_floor)) > accuracy(real, e)
    kept = e >= np.minimum(row_floor[:, None], column_floor)
    np.testing.assert_array_equal(~np.isnan(plans[0])[clear], kept[clear])
    found = plans[0][~np.isnan(plans[0])]
    expected = np.exp(e[~np.isnan(plans[0])]).astype(real)
    np.testing.assert_allclose(found, expected, rtol=accuracy(real, e), atol=np.finfo(real).tiny)


def test_parts_fill_the_device() -> None:
    assert gibbs.gibbs_parts(10_000, 10_000) == 264
    assert gibbs.gibbs_parts(1, 100) == 1
    assert gibbs.gibbs_parts(10**6, 1) == gibbs._WARPS
    assert gibbs.gibbs_parts(100, 10**6) == 6
