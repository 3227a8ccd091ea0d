"""Threads, warm-up and the report of the configuration."""

import numba
import numpy as np
import pytest
import scipy.linalg  # noqa: F401  its BLAS counts too
import threadpoolctl

import numopt
from numopt.kernels._numba.gram import weighted_gram_csr
from numopt.kernels._numba.kaczmarz import row_kaczmarz


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}


def test_set_threads_sets_numba_and_blas_until_the_block_ends() -> None:
    before = numba.get_num_threads(), blas_threads()
    with numopt.set_threads(1):
        assert numba.get_num_threads() == 1
        assert blas_threads() == {1}
    assert (numba.get_num_threads(), blas_threads()) == before


def test_set_threads_as_a_call_stays() -> None:
    before = numba.get_num_threads()
    with threadpoolctl.threadpool_limits():  # puts BLAS back for the other tests
        numopt.set_threads(1)
        assert numba.get_num_threads() == 1
        assert blas_threads() == {1}
    numba.set_num_threads(before)


@pytest.mark.parametrize("n", [0, -1, 10**6])
def test_set_threads_refuses_numbers_out_of_range(n: int) -> None:
    with pytest.raises(ValueError, match=rf"`n` must be between 1 and \d+ .*, got {n}\."):
        numopt.set_threads(n)


@pytest.mark.parametrize("n", [1.0, "2", True, None])
def test_set_threads_refuses_what_is_no_int(n: object) -> None:
    with pytest.raises(TypeError, match="`n` must be an int"):
        numopt.set_threads(n)  # type: ignore[arg-type]


def test_set_threads_takes_numpy_integers() -> None:
    with numopt.set_threads(np.int64(1)):  # type: ignore[arg-type]
        assert numba.get_num_threads() == 1


def test_warmup_compiles_both_forms_of_every_kernel() -> None:
    numopt.warmup(["f8"])
    for kernel in (row_kaczmarz, weighted_gram_csr.serial, weighted_gram_csr.parallel):
        assert any("float64" in str(signature) for signature in kernel.signatures)


def test_what_is_warm_compiles_no_more() -> None:
    numopt.warmup(["f8"])
    before = len(row_kaczmarz.signatures)
    row_kaczmarz(np.eye(2), np.ones(2), np.ones(2), np.array([0, 1]), np.zeros(2))
    assert len(row_kaczmarz.signatures) == before


@pytest.mark.parametrize("dtype", ["i8", "f2", "c16"])
def test_warmup_refuses_other_dtypes(dtype: str) -> None:
    with pytest.raises(ValueError, match="`dtypes` must hold float64 and float32 only, got"):
        numopt.warmup([dtype])


def test_show_config_returns_what_a_report_needs() -> None:
    config = numopt.show_config(mode="dicts")
    assert config is not None
    assert config["versions"]["numpy"] == np.__version__
    assert config["versions"]["numopt"] == numopt.__version__
    assert config["threads"]["numba"] == numba.get_num_threads()
    assert isinstance(config["gpu"]["available"], bool)
    assert all(pool["num_threads"] >= 1 for pool in config["threads"]["blas"])


def test_show_config_prints_every_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert numopt.show_config() is None
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if not line.startswith(" ")] == [
        "system",
        "versions",
        "threads",
        "gpu",
    ]


def test_show_config_refuses_other_modes() -> None:
    with pytest.raises(ValueError, match='`mode` must be "stdout" or "dicts", got 3'):
        numopt.show_config(mode=3)  # type: ignore[arg-type]


@pytest.mark.gpu
def test_show_config_names_the_gpu() -> None:
    config = numopt.show_config(mode="dicts")
    assert config is not None
    assert config["gpu"]["available"] is True
    assert config["gpu"]["memory_gib"] > 0
