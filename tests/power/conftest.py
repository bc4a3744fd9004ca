from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.fake_nvml import FakeDriver, build, build_cuda, compiler  # noqa: E402


@pytest.fixture(scope="session")
def driver_library(tmp_path_factory):
    if compiler() is None:
        pytest.skip("no C compiler to build the fake NVIDIA driver with")
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def driver(driver_library, tmp_path, monkeypatch):
    fake = FakeDriver(driver_library, tmp_path)
    for name, value in fake.environment.items():
        monkeypatch.setenv(name, value)
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    return fake


@pytest.fixture
def cuda_driver(driver, tmp_path, monkeypatch):
    """A CUDA driver beside the fake NVML: ``FAKE_CUDA_UUIDS`` is what it shows, in its own order."""
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{build_cuda(tmp_path)}{os.pathsep}{os.environ['LD_LIBRARY_PATH']}")
    return driver


@pytest.fixture(autouse=True)
def no_real_sensors(monkeypatch, tmp_path):
    # Whatever sensors the testing machine has: a test sees only what it sets up itself.
    monkeypatch.setenv("GREENBENCH_POWERCAP", str(tmp_path / "no-powercap"))
