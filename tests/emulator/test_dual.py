"""The CUDA kernels for marginals, offsets and components, run as C++ on the CPU, against NumPy and SciPy."""

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.kernels._cuda import components, dual
from tests.emulator.emulator import Emulator, call
from tests.kernels import test_components, test_dual
from tests.kernels.cases import tolerance
from tests.kernels.transport import unset


# One block, and several with a merge.
@pytest.mark.parametrize("real", ["f8", "f4"])
@pytest.mark.parametrize("n", [1, 33, 2500, 16385])
def test_terms(emulator: Emulator, n: int, real: str) -> None:
    inputs = test_dual.vectors(n, 3, real)
    gap, out = unset(real, n), unset("f8", 5)
    call(emulator, dual.side_terms, *inputs, gap, out)
    expected_gap, expected = test_dual.side(*inputs)
    np.testing.assert_array_equal(gap, expected_gap)
    np.testing.assert_allclose(out, expected, rtol=tolerance("f8", 4), atol=tolerance("f8", 4 * n))
    out = unset("f8", 3)
    call(emulator, dual.step_terms, *inputs, out)
    np.testing.assert_allclose(out, test_dual.step(*inputs), rtol=tolerance("f8", 4), atol=tolerance("f8", 8 * n))


@pytest.mark.parametrize("n", [40, 16400])
def test_nan_shows_up_in_sums_and_is_left_out_of_maxima(emulator: Emulator, n: int) -> None:
    weights, potential, sums = test_dual.vectors(n, 3, "f8")
    sums[n - 3] = np.nan
    out = unset("f8", 5)
    call(emulator, dual.side_terms, weights, potential, sums, unset("f8", n), out)
    np.testing.assert_array_equal(np.isnan(out), [False, True, False, True, False])
    assert out[2] == np.nanmax(np.abs(weights - sums))
    out = unset("f8", 3)
    call(emulator, dual.step_terms, sums, weights, potential, out)
    np.testing.assert_array_equal(np.isnan(out), [False, True, True])


# A stretch of every block but the last, and blocks left without one; more rows in a stretch than threads.
@pytest.mark.parametrize(("n", "m", "parts"), [(1, 1, 1), (70, 1, 2), (33, 300, 40), (9001, 65, 3), (10, 8500, 2)])
def test_kept_offsets(emulator: Emulator, n: int, m: int, parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dual, "_MOST_STRETCHES", 7)
    rng = np.random.default_rng(n)
    row_count, work = rng.integers(0, 9, n), rng.integers(0, 9, (parts, m))
    ends = np.cumsum(work.T.ravel()).reshape(m, parts).T
    starts, indptr, tindptr = ends - work, unset("i8", n + 1), unset("i8", m + 1)
    call(emulator, dual.kept_offsets, row_count, work, indptr, tindptr)
    np.testing.assert_array_equal(indptr, np.append(0, np.cumsum(row_count)))
    np.testing.assert_array_equal(tindptr, np.append(0, ends[-1]))
    np.testing.assert_array_equal(work, starts)


GRAPHS = {
    "nothing": sp.csr_array((3, 2)),
    "sparse": test_components.draw(300, 200, 0.8),
    "giant": test_components.draw(200, 300, 3.0),
    "dense": test_components.draw(60, 70, 40.0),
    "chain": test_components.path(400, np.random.default_rng(0).permutation(400)),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_bipartite_components(emulator: Emulator, name: str) -> None:
    graph = GRAPHS[name]
    row_labels, col_labels = unset("i4", graph.shape[0]), unset("i4", graph.shape[1])
    call(emulator, components.bipartite_components, *test_components.arguments(graph), row_labels, col_labels)
    for labels, expected in zip((row_labels, col_labels), test_components.oracle(graph), strict=True):
        np.testing.assert_array_equal(labels, expected)
