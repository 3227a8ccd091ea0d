"""Run every parallel kernel from several threads, or in processes started after one was used.

A program of its own, since what it looks for are aborts and hangs: `thread_program.py threads|fork|spawn`.
"""

import concurrent.futures
import multiprocessing
import sys

import numpy as np
import scipy.sparse as sp

from numopt.kernels import KERNELS, bind
from numopt.kernels._numba._threads import PARALLEL_MIN_WORK, Twins, threading_layer


def gram() -> float:
    """Call the weighted Gram kernel with enough work for its parallel form; return a checksum."""
    X = sp.random_array((9000, 30), density=0.6, rng=np.random.default_rng(0), format="csr")
    assert X.nnz * 18 / 2 > PARALLEL_MIN_WORK
    work, out = np.empty((2, 30, 30)), np.empty((30, 30))
    for _ in range(20):
        bind(np).weighted_gram_csr(X.data, X.indices, X.indptr, np.ones(9000), work, out)
    return float(out.sum())


CALLS = {"weighted_gram_csr": gram}


def call_all() -> list[float]:
    """Call all kernels that have a parallel form."""
    return [call() for call in CALLS.values()]


def main(how: str) -> None:
    """Call everything once, then as told, and compare."""
    kernels = bind(np)
    parallel = {name for name in KERNELS if isinstance(getattr(kernels, name), Twins)}
    assert parallel == set(CALLS), "every parallel kernel needs its call here"
    pool: concurrent.futures.Executor
    if how == "threads":
        # No call before: the threads race for the first launch as well.
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            results = [future.result() for future in [pool.submit(call_all) for _ in range(8)]]
        expected = call_all()
    else:
        expected = call_all()
        assert threading_layer() is not None, "the parallel form did not run"
        context = multiprocessing.get_context(how)
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            results = [future.result() for future in [pool.submit(call_all) for _ in range(4)]]
    assert all(result == expected for result in results)
    sys.stdout.write(f"{threading_layer()}\n")


if __name__ == "__main__":
    main(sys.argv[1])
