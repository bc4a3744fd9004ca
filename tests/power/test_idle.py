from __future__ import annotations

import subprocess

import pytest

from greenbench.power.idle import idle_powers, record_baseline
from greenbench.power.sampler_process import SamplerProcess
from greenbench.power.trace import read_journal
from tests.fake_nvml import FakeGpu, Load, compiler

FAKE_CUDA = """
int cuInit(unsigned f) { return f; }
int cuDeviceGetCount(int *n) { *n = 1; return 0; }
int cuDeviceGet(int *d, int i) { *d = i; return 0; }
int cuDevicePrimaryCtxRetain(void **c, int d) { *c = (void *)8; return d; }
"""


def baseline(tmp_path, **options):
    with SamplerProcess(tmp_path / "p.csv.gz", tmp_path / "live.bin", sources="nvml") as sampler:
        found = record_baseline(sampler, 1.0, **options)
    return found, idle_powers(read_journal(tmp_path / "p.csv.gz"), found)


def test_idle_power_is_recorded_with_and_without_a_context(driver, tmp_path):
    library = driver.library / "libcuda.so.1"
    subprocess.run(
        [compiler(), "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)], input=FAKE_CUDA, text=True, check=True
    )
    try:
        driver.program(FakeGpu(Load.points((0, 60), (60, 90))))
        found, powers = baseline(tmp_path)
    finally:
        library.unlink()
    assert found.reason == ""
    assert 60 < powers["idle_power_w"] < powers["idle_context_power_w"] < 64


def test_without_a_cuda_driver_the_second_figure_is_absent_with_the_reason(driver, tmp_path):
    driver.program(FakeGpu(Load.constant(60)))
    found, powers = baseline(tmp_path)
    assert powers["idle_power_w"] == pytest.approx(60, rel=0.01)
    assert powers["idle_context_power_w"] is None
    assert found.reason
