"""The CUDA kernel for batches of systems, run as C++ on the CPU, against long doubles."""

import numpy as np
import pytest

from numopt.kernels._cuda import _build, sor_batch
from tests.emulator.emulator import Emulator, call
from tests.kernels.linear import Rows, draw, poisson, system
from tests.kernels.test_sor_batch import batch, check
from tests.kernels.transport import unset


def compare(emulator: Emulator, base: Rows, n_systems: int, rtol: float, order: int = 1, maxiter: int = 40) -> None:
    problem = batch(base, n_systems, rtol, omega=1.1)
    start = draw(np.random.default_rng(5), base.data.dtype.str, n_systems, base.b.size)
    x, work, nit, norms = problem.outputs(start, sor_batch.sor_batch_work(n_systems, base.b.size, base.data.size))
    call(emulator, sor_batch.sor_batch, *problem.inputs(order, maxiter), x, work, nit, norms)
    check(problem, order, maxiter, start, (x, nit, norms))


@pytest.mark.parametrize(("scalar", "index"), [("f8", "i4"), ("f4", "i4"), ("f8", "i8"), ("c16", "i4"), ("c8", "i8")])
@pytest.mark.parametrize("coloured", [False, True])
@pytest.mark.parametrize("order", [1, -1])
def test_systems_in_every_type(emulator: Emulator, scalar: str, index: str, coloured: bool, order: int) -> None:
    compare(emulator, system(40, scalar, index, coloured), 3, 1e-2, order)


@pytest.mark.parametrize("n_systems", [0, 1, 5])
@pytest.mark.parametrize("n", [1, 2, 33, 70])
def test_sizes(emulator: Emulator, n: int, n_systems: int) -> None:
    compare(emulator, system(n, coloured=True), n_systems, 1e-6)


# x and its changes in shared memory, x alone, neither: one system of n rows with a diagonal and little else.
@pytest.mark.parametrize(("scalar", "n", "held"), [("f8", 2500, 2), ("f8", 3100, 1), ("f8", 6100, 0), ("c16", 2900, 1)])
def test_what_does_not_fit_in_shared_memory_stays_outside(emulator: Emulator, scalar: str, n: int, held: int) -> None:
    assert sor_batch._held(n, scalar) == (held, _build.capacity(1, scalar) if held else 0)
    rows, index = np.arange(n), np.arange(n + 1, dtype="i4")
    data = draw(np.random.default_rng(0), scalar, n)
    base = Rows(data, rows.astype("i4"), index, rows.astype("i4"), 1 / data, np.array([0, n]), data)
    # A diagonal system needs one sweep at omega = 1, and a few below.
    problem = batch(base, 2, 2e-3)
    problem = problem._replace(omega=np.array([1.0, 0.9]))
    start = np.zeros((2, n), scalar)
    size = sor_batch.sor_batch_work(2, n, n)
    assert size == 2 * n
    x, work, nit, norms = problem.outputs(start, size)
    call(emulator, sor_batch.sor_batch, *problem.inputs(1, 40), x, work, nit, norms)
    np.testing.assert_array_equal(nit, [1, 3])
    exact = problem.b / problem.data[problem.which]
    np.testing.assert_allclose(x[0], exact[0], rtol=1e-14)
    np.testing.assert_allclose(x[1], exact[1] * (1 - 1e-4), rtol=1e-12)


def test_scratch_is_asked_for_where_shared_memory_may_be_too_small() -> None:
    assert sor_batch.sor_batch_work(7, 1504, 9000) == 0
    assert sor_batch.sor_batch_work(7, 1505, 9000) == 7 * 1505


def test_divergence_and_nan_end_a_system(emulator: Emulator) -> None:
    problem = batch(poisson(5, coloured=True), 4, 1e-8)
    problem.omega[1] = 3.5
    problem.b[2, 7] = np.nan
    x, work, nit, norms = problem.outputs(np.zeros((4, 25)), 0)
    maxiter = 60
    call(emulator, sor_batch.sor_batch, *problem.inputs(1, maxiter), x, work, nit, norms)
    assert norms[1] > 1e10 * np.linalg.norm(problem.b[1])
    assert nit[2] == 0
    assert np.isnan(norms[2])
    assert np.all(norms[[0, 3]] <= problem.target[[0, 3]])


def test_the_block_is_a_class_of_average_size() -> None:
    calls = []

    class Recorder:
        def __call__(self, source, kernel, template, grid, block, args, *, cooperative=False):  # type: ignore[no-untyped-def]
            calls.append((grid, block, cooperative))

    for base in (poisson(5), poisson(12, coloured=True), poisson(30, coloured=True)):
        problem = batch(base, 3, 1e-8)
        outputs = problem.outputs(np.zeros((3, base.b.size)), 0)
        sor_batch.sor_batch(*problem.inputs(1, 5), *outputs, launch=Recorder())  # type: ignore[arg-type]
    assert calls == [(3, 32, False), (3, 96, False), (3, 256, False)]


def test_leftovers_in_the_outputs_do_not_matter(emulator: Emulator) -> None:
    problem = batch(poisson(4), 2, 1e-3)
    results = []
    for fill in (0, 99):
        x, _, nit, norms = problem.outputs(np.zeros((2, 16)), 0)
        nit[:], norms[:] = fill, fill
        call(emulator, sor_batch.sor_batch, *problem.inputs(1, 60), x, unset("f8", 0), nit, norms)
        results.append((x, nit, norms))
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)
