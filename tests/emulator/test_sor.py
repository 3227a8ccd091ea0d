"""The CUDA kernels for sweeps of successive over-relaxation, run as C++ on the CPU, against long doubles and NumPy."""

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.kernels._cuda import sor
from tests.emulator.emulator import Emulator, call
from tests.kernels.linear import ORDERS, TYPES, Rows, check_sweeps, draw, poisson, real_of, system
from tests.kernels.transport import unset


def sweep(
    emulator: Emulator, problem: Rows, omega: float, order: int, start: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, delta, norms = start.copy(), np.full_like(start, np.nan), unset("f8", count)
    call(emulator, sor.sor_sweeps, *problem, omega, order, x, delta, norms)
    return x, delta, norms


# With 20 entries per row each is shared by lanes.
@pytest.mark.parametrize("per_row", [4, 20])
@pytest.mark.parametrize("n", [0, 1, 2, 33, 300])
@pytest.mark.parametrize("coloured", [False, True])
def test_sweeps_follow_the_definition(emulator: Emulator, n: int, coloured: bool, per_row: int) -> None:
    problem = system(n, coloured=coloured, per_row=per_row)
    start = draw(np.random.default_rng(5), "f8", n)
    x, _, norms = sweep(emulator, problem, 1.2, 1, start, 3)
    check_sweeps(problem, 1.2, 1, start, x, norms)


@pytest.mark.parametrize(("scalar", "index"), TYPES)
@pytest.mark.parametrize(("coloured", "per_row"), [(False, 4), (True, 4), (True, 20)])
@pytest.mark.parametrize("order", ORDERS)
def test_sweeps_in_every_type(
    emulator: Emulator, scalar: str, index: str, coloured: bool, per_row: int, order: int
) -> None:
    problem = system(65, scalar, index, coloured, per_row)
    start = draw(np.random.default_rng(5), scalar, 65)
    x, _, norms = sweep(emulator, problem, 0.9, order, start, 2)
    check_sweeps(problem, 0.9, order, start, x, norms)


@pytest.mark.parametrize("order", ORDERS)
def test_sweeps_in_one_launch_are_those_of_several(emulator: Emulator, order: int) -> None:
    problem = poisson(18, coloured=True)
    together, _, norms = sweep(emulator, problem, 1.5, order, np.zeros(324), 5)
    x = np.zeros(324)
    for k in range(5):
        x, _, norm = sweep(emulator, problem, 1.5, order, x, 1)
        assert norm[0] == norms[k]
    np.testing.assert_array_equal(x, together)


def test_nan_shows_up_in_the_norm(emulator: Emulator) -> None:
    problem = system(33, coloured=True)
    problem.b[7] = np.nan
    assert np.isnan(sweep(emulator, problem, 1.0, 1, np.zeros(33), 2)[2]).all()


@pytest.mark.parametrize("n", [0, 1, 33, 300])
@pytest.mark.parametrize(("scalar", "index"), TYPES)
def test_split_values(emulator: Emulator, n: int, scalar: str, index: str) -> None:
    problem = system(n, scalar, index)
    scale = (0.5 + np.random.default_rng(3).random(n)).astype(real_of(scalar))
    factors = sp.diags_array(scale.astype("f8"))
    scaled = factors @ problem.matrix @ factors
    parts = [sp.csr_array(part) for part in (sp.tril(scaled, -1, "csr"), sp.triu(scaled, 1, "csr"))]
    values = [np.full(part.nnz, 99, scalar) for part in parts]
    pointers = [part.indptr.astype(index) for part in parts]
    call(emulator, sor.split_values, *problem[:4], scale, *pointers, *values)
    for found, part in zip(values, parts, strict=True):
        np.testing.assert_allclose(found, part.data, rtol=4 * np.finfo(scalar).eps)
