"""The transport plan between points, in every home against the plan on the matrix of their costs."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from numopt._array import is_cupy
from numopt.kernels._numba import point_gibbs as numba_point_gibbs
from tests.kernels.cases import assert_same_sums, run, tolerance
from tests.kernels.transport import SHAPES, Plan, exact, floors, rounding, unset

METRICS = ["sqeuclidean", "euclidean", "cityblock"]
# One and two coordinates, pairs of them with and without one left over, the most that are put in order, and more.
DIMENSIONS = [1, 2, 3, 4, 16, 17]


class Points(NamedTuple):
    """The first arguments of the kernels."""

    X: np.ndarray
    Y: np.ndarray
    metric: int
    f: np.ndarray
    g: np.ndarray
    inv_reg: float

    def dense(self) -> Plan:
        """Return the problem with its costs as a matrix, which rounds to the dtype."""
        C = cdist(self.X.astype("f8"), self.Y.astype("f8"), METRICS[self.metric])
        return Plan(C.astype(self.f.dtype), self.f, self.g, self.inv_reg)

    def swapped(self) -> "Points":
        """Return the problem with the two sides in each other's place."""
        return self._replace(X=self.Y, Y=self.X, f=self.g, g=self.f)

    def rounding(self) -> float:
        """Return a bound of the relative error of sums: the costs have errors too."""
        return (3 + self.X.shape[1]) * rounding(self.dense())


def points(n: int, m: int, d: int = 3, metric: int = 0, real: str = "f8", inv_reg: float = 2.0) -> Points:
    """Draw points whose costs are about 1 in any dimension."""
    rng = np.random.default_rng(0)
    size = 1 / np.sqrt(d) if metric < 2 else 1 / d
    X, Y = (size * rng.standard_normal((k, d)).astype(real) for k in (n, m))
    f, g = (rng.standard_normal(k).astype(real) for k in (n, m))
    return Points(X.astype(real), Y.astype(real), metric, f, g, inv_reg)


def all_problems() -> list[Any]:
    """Return every shape, dimension and metric, not every combination of them."""
    return [
        *(pytest.param(points(*shape), id=f"{shape}") for shape in SHAPES),
        *(pytest.param(points(7, 300, d, metric), id=f"d={d}-{METRICS[metric]}")
          for d in DIMENSIONS for metric in range(3)),
        *(pytest.param(points(70, 300, 3, metric, "f4"), id=f"float32-{METRICS[metric]}") for metric in range(3)),
    ]  # fmt: skip


@pytest.mark.parametrize("problem", all_problems())
def test_sums_and_costs_of_rows(xp: Any, problem: Points) -> None:
    dense, real = problem.dense(), problem.f.dtype
    P = exact(dense)
    (r,) = run(xp, "point_row_sums", [*problem], [unset(real, problem.f.size)])
    np.testing.assert_allclose(r, P.sum(axis=1).astype(real), rtol=problem.rounding())
    (value,) = run(xp, "point_value", [*problem], [unset(real, problem.f.size)])
    np.testing.assert_allclose(value, (dense.C * P).sum(axis=1).astype(real), rtol=problem.rounding())


@pytest.mark.parametrize("problem", all_problems())
def test_log_sums_of_rows(xp: Any, problem: Points) -> None:
    X, Y, metric, f, g, inv_reg = problem
    (out,) = run(xp, "point_lse_rows", [X, Y, metric, g, inv_reg], [unset(f.dtype, f.size)])
    expected = np.log(exact(problem.dense()._replace(f=0 * f)).sum(axis=1))
    np.testing.assert_allclose(out, expected.astype(f.dtype), rtol=0, atol=problem.rounding())


def test_log_sums_do_not_overflow(xp: Any) -> None:
    problem = points(5, 600, inv_reg=1e4)
    X, Y, metric, _, g, inv_reg = problem
    (out,) = run(xp, "point_lse_rows", [X, Y, metric, g, inv_reg], [unset("f8", 5)])
    e = (g - problem.dense().C) * inv_reg
    top = e.max(axis=1)
    np.testing.assert_allclose(out, top + np.log(np.exp(e - top[:, None]).sum(axis=1)), rtol=1e-13)


@pytest.mark.parametrize("k", [1, 2, 16, 17])
@pytest.mark.parametrize("real", ["f8", "f4"])
def test_products_with_the_plan(xp: Any, k: int, real: str) -> None:
    problem = points(9, 300, real=real)
    V = np.random.default_rng(1).standard_normal((300, k)).astype(real)
    (out,) = run(xp, "point_apply", [*problem, V], [unset(real, 9, k)])
    P = exact(problem.dense())
    atol = problem.rounding() * float(np.max(P @ abs(V)))
    np.testing.assert_allclose(out, (P @ V).astype(real), rtol=0, atol=atol)


def test_underflow_of_whole_tiles_leaves_zero(xp: Any) -> None:
    problem = points(5, 600)
    problem.X[:] += 100
    for name in ("point_row_sums", "point_value"):
        np.testing.assert_array_equal(run(xp, name, [*problem], [unset("f8", 5)])[0], np.zeros(5))
    out = run(xp, "point_apply", [*problem, np.ones((600, 2))], [unset("f8", 5, 2)])[0]
    np.testing.assert_array_equal(out, np.zeros((5, 2)))


def compressed(
    xp: Any, problem: Points, row_floor: np.ndarray, col_floor: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    inputs = [*problem, row_floor, col_floor]
    (row_count,) = run(xp, "point_count", inputs, [unset("i8", problem.f.size)])
    indptr = np.concatenate([[0], np.cumsum(row_count)])
    outputs = [unset("i4", indptr[-1]), unset(problem.f.dtype, indptr[-1])]
    return indptr, *run(xp, "point_fill", [*inputs, indptr], outputs)


@pytest.mark.parametrize("problem", all_problems())
def test_kept_entries_are_the_same_with_the_sides_swapped(xp: Any, problem: Points) -> None:
    n, m = problem.f.size, problem.g.size
    row_floor, col_floor = floors(problem.dense(), -3.0)
    indptr, indices, data = compressed(xp, problem, row_floor, col_floor)
    rows = np.repeat(np.arange(n), np.diff(indptr))
    assert all(np.all(np.diff(indices[rows == i]) > 0) for i in range(n))
    P = exact(problem.dense())
    np.testing.assert_allclose(data, P[rows, indices].astype(data.dtype), rtol=problem.rounding())
    # Away from the floors by more than rounding, what is kept is known.
    distance = np.log(P) - np.minimum(row_floor[:, None], col_floor)
    mask = np.zeros((n, m), dtype=bool)
    mask[rows, indices] = True
    clear = np.abs(distance) > 10 * problem.rounding()
    np.testing.assert_array_equal(mask[clear], distance[clear] > 0)

    tindptr, tindices, tdata = compressed(xp, problem.swapped(), col_floor, row_floor)
    columns = np.repeat(np.arange(m), np.diff(tindptr))
    order = np.lexsort((columns, tindices))
    np.testing.assert_array_equal(tindices[order], rows)
    np.testing.assert_array_equal(columns[order], indices)
    np.testing.assert_allclose(tdata[order], data, rtol=tolerance(data.dtype.str[1:], 4))


@pytest.mark.parametrize("metric", range(3))
@pytest.mark.parametrize("real", ["f8", "f4"])
def test_an_entry_on_its_floor_is_kept_from_both_sides(xp: Any, metric: int, real: str) -> None:
    """The floors are exponents themselves, as the solver's may be: one rounding apart and an entry is lost."""
    problem = points(40, 70, 5, metric, real, inv_reg=3.7)
    X, Y = problem.X, problem.Y
    C = np.zeros((40, 70), dtype=real)
    for k in range(5):
        difference = X[:, None, k] - Y[:, k]
        C += abs(difference) if metric == 2 else difference * difference
    C = np.sqrt(C) if metric == 1 else C
    e = ((problem.f[:, None] + problem.g) - C) * np.dtype(real).type(3.7)
    row_floor, col_floor = np.sort(e, axis=1)[:, 60], np.sort(e, axis=0)[30]
    mask = e >= np.minimum(row_floor[:, None], col_floor)
    if is_cupy(xp):
        # Fused arithmetic rounds otherwise than NumPy: what counts is that both sides keep the same pairs.
        indptr, indices, _ = compressed(xp, problem, row_floor, col_floor)
        mask = np.zeros((40, 70), dtype=bool)
        mask[np.repeat(np.arange(40), np.diff(indptr)), indices] = True
    for side, floor, other, expected in (
        (problem, row_floor, col_floor, mask),
        (problem.swapped(), col_floor, row_floor, mask.T),
    ):
        indptr, indices, _ = compressed(xp, side, floor, other)
        np.testing.assert_array_equal(np.diff(indptr), expected.sum(axis=1))
        np.testing.assert_array_equal(indices, np.nonzero(expected)[1])


@pytest.mark.parametrize("real", ["f8", "f4"])
def test_parallel_forms_agree_with_the_serial_ones(real: str) -> None:
    n, m = 150, 300
    problem = points(n, m, 3, 1, real)
    X, Y, metric, _, g, inv_reg = problem
    row_floor, col_floor = floors(problem.dense(), -3.0)
    indptr, indices, data = compressed(np, problem, row_floor, col_floor)
    V = np.random.default_rng(1).standard_normal((m, 3)).astype(real)
    kept = [*problem, row_floor, col_floor]
    calls: dict[str, tuple[list[Any], list[np.ndarray]]] = {
        "point_row_sums": ([*problem], [unset(real, n)]),
        "point_lse_rows": ([X, Y, metric, g, inv_reg], [unset(real, n)]),
        "point_count": (kept, [unset("i8", n)]),
        "point_fill": ([*kept, indptr], [indices, data]),
        "point_apply": ([*problem, V], [unset(real, n, 3)]),
        "point_value": ([*problem], [unset(real, n)]),
    }
    for name, (inputs, outputs) in calls.items():
        kernel = getattr(numba_point_gibbs, name)
        serial, parallel = ([output.copy() for output in outputs] for _ in range(2))
        kernel.serial(*inputs, *serial)
        kernel.parallel(*inputs, *parallel)
        for first, second in zip(serial, parallel, strict=True):
            assert_same_sums(first, second, name)
