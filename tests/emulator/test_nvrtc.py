"""Every CUDA template compiles for every architecture, without a GPU or its driver, and stays within its budget."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.emulator import nvrtc
from tests.emulator.instances import INSTANCES, SOURCES, path_of

ARCHITECTURES = ["sm_80", "sm_90", "sm_100"]


class Registers(NamedTuple):
    """Registers a thread may take, and the most that any instance took when the budget was set (NVRTC 12.9)."""

    budget: int
    measured: int


REGISTERS = {
    "row_kaczmarz": Registers(budget=56, measured=46),
    "csr_row_kaczmarz": Registers(budget=48, measured=38),
    "gram_accumulate": Registers(budget=56, measured=48),
    "gram_merge": Registers(budget=40, measured=32),
    "logistic_terms": Registers(budget=48, measured=42),
    "merge_sums": Registers(budget=40, measured=32),
    "merge_log_sums": Registers(budget=56, measured=48),
    "gibbs_tiles": Registers(budget=128, measured=124),
    "gibbs_lse_rows": Registers(budget=104, measured=94),
    "gibbs_lse_columns": Registers(budget=104, measured=96),
    "gibbs_count": Registers(budget=120, measured=108),
    "gibbs_fill": Registers(budget=96, measured=88),
    "gibbs_fill_columns": Registers(budget=72, measured=64),
    "scaling_sweep": Registers(budget=128, measured=128),
    "scaling_rows": Registers(budget=64, measured=56),
    "scaling_columns": Registers(budget=48, measured=40),
    "scaling_merge": Registers(budget=40, measured=32),
    "schur_columns": Registers(budget=48, measured=40),
    "schur_rows": Registers(budget=48, measured=40),
    "schur_pcg": Registers(budget=64, measured=64),
    "side_terms": Registers(budget=64, measured=62),
    "step_terms": Registers(budget=64, measured=56),
    "merge_terms": Registers(budget=40, measured=34),
    "kept_totals": Registers(budget=64, measured=64),
    "kept_starts": Registers(budget=64, measured=64),
    "component_start": Registers(budget=40, measured=28),
    "component_join": Registers(budget=32, measured=26),
    "component_labels": Registers(budget=32, measured=20),
    "block_sor_sweeps": Registers(budget=152, measured=140),
    "line_sor_sweeps": Registers(budget=176, measured=164),
    "stencil_sweeps": Registers(budget=128, measured=118),
    "stencil_product": Registers(budget=72, measured=66),
    "sor_batch": Registers(budget=80, measured=72),
    "ssor_sweeps": Registers(budget=120, measured=108),
    "ssor_solve": Registers(budget=88, measured=76),
    "eisenstat_pcg": Registers(budget=128, measured=114),
    "forest_factor": Registers(budget=64, measured=64),
    "forest_failure": Registers(budget=40, measured=29),
    "forest_solve": Registers(budget=64, measured=64),
    "forest_ssor": Registers(budget=64, measured=64),
    "forest_schur": Registers(budget=64, measured=64),
    # The most is taken in 16 dimensions, where a point alone is 32 registers.
    "point_sums": Registers(budget=176, measured=160),
    "point_lse": Registers(budget=176, measured=160),
    "point_count": Registers(budget=176, measured=162),
    "point_fill": Registers(budget=176, measured=164),
    "point_apply": Registers(budget=144, measured=136),
    # Taken by complex128; 40 by float64 with int32 indices.
    "sor_sweeps": Registers(budget=80, measured=80),
    "split_values": Registers(budget=48, measured=40),
    "column_sums": Registers(budget=40, measured=32),
    "csc_descent": Registers(budget=48, measured=40),
    "dense_descent": Registers(budget=48, measured=40),
    "gram_descent": Registers(budget=64, measured=56),
    "csc_gram": Registers(budget=48, measured=40),
    "softmax_terms": Registers(budget=72, measured=64),
    "softmax_product": Registers(budget=56, measured=48),
}

SHARED_LIMIT = 48 * 1024


def kernel_of(name: str) -> str:
    return name.partition("<")[0].removeprefix("numopt::")


def test_every_source_and_kernel_has_instances_and_a_budget() -> None:
    assert sorted(INSTANCES) == SOURCES
    assert {kernel_of(name) for names in INSTANCES.values() for name in names} == set(REGISTERS)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("source", SOURCES)
def test_kernels_stay_within_their_registers_and_spill_nothing(source: str, architecture: str) -> None:
    compiled = nvrtc.compile_source(nvrtc.library(12), path_of(source), INSTANCES[source], architecture)
    assert compiled.code
    for name, usage in compiled.usage.items():
        assert usage.registers <= REGISTERS[kernel_of(name)].budget, f"{name} for {architecture}: {usage}"
        assert usage.spill_bytes == 0, f"{name} for {architecture}: {usage}"
        assert usage.shared_bytes <= SHARED_LIMIT, f"{name} for {architecture}: {usage}"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("source", SOURCES)
def test_the_next_major_compiler_takes_the_sources(source: str, architecture: str) -> None:
    assert nvrtc.compile_source(nvrtc.library(13), path_of(source), INSTANCES[source], architecture).code


def test_a_fault_is_reported_with_its_line(tmp_path: Path) -> None:
    source = tmp_path / "broken.cu"
    source.write_text("template <typename T>\n__global__ void broken(T* x) { x[0] = undeclared; }\n")
    with pytest.raises(AssertionError, match=r"broken\.cu\(2\).*undeclared"):
        nvrtc.compile_source(nvrtc.library(12), source, ["broken<double>"], "sm_90")
