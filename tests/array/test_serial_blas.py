"""One BLAS thread for small dense work, and the old number afterwards, also from several Python threads."""

import threading

import array_api_compat.numpy as numpy_xp
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from numopt._serial_blas import LARGE, SMALL, serial_blas

# NumPy's own BLAS: others that a test run has loaded (of a peer, say) may know one thread only.
NUMPY_BLAS = "numpy"


def blas_threads() -> set[int]:
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {pool["num_threads"] for pool in pools if NUMPY_BLAS in pool["filepath"]}


@pytest.fixture(autouse=True)
def two_threads():
    with serial_blas(SMALL, numpy_xp):  # loads every BLAS before the limit is set
        pass
    with threadpool_limits(2, user_api="blas"):
        if blas_threads() != {2}:
            pytest.skip("NumPy's BLAS has one thread here")
        yield


@pytest.mark.parametrize(("n", "inside"), [(SMALL - 1, {2}), (SMALL, {1}), (LARGE - 1, {1}), (LARGE, {2})])
def test_only_small_work_is_serial(n, inside):
    with serial_blas(n, numpy_xp):
        assert blas_threads() == inside
    assert blas_threads() == {2}


def test_nested_use_restores_at_the_end():
    with serial_blas(SMALL, numpy_xp):
        with serial_blas(SMALL, numpy_xp):
            pass
        assert blas_threads() == {1}
    assert blas_threads() == {2}


def test_an_error_inside_restores_too():
    with pytest.raises(RuntimeError, match="inside"), serial_blas(SMALL, numpy_xp):
        raise RuntimeError("inside")
    assert blas_threads() == {2}


def test_overlapping_threads_leave_the_first_number_behind():
    # What a thread sees inside depends on the BLAS: some builds let only the main thread change the number.
    entered, leave = threading.Barrier(2), threading.Barrier(2)

    def work() -> None:
        with serial_blas(SMALL, numpy_xp):
            entered.wait()
            leave.wait()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert blas_threads() == {2}
