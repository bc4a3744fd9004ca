"""Settings every test needs before torch is loaded, and the parts that tests of several packages share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
from hypothesis import settings

from tests.fake_nvml import FakeDriver, build, build_cuda, compiler
from tests.tones import REPOSITORY, tone

# A busy neighbour must not make a property false.
settings.register_profile("without a clock", deadline=None)
settings.load_profile("without a clock")

# OpenMP threads that spin while they wait make training 20 times slower as soon as one neighbour is busy.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# One of several test processes: together they have the cores busy, and torch's threads would only wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep decoded audio of the tests out of the user's cache."""
    before = os.environ.get("GREENBENCH_CACHE")
    os.environ["GREENBENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["GREENBENCH_CACHE"]
    else:
        os.environ["GREENBENCH_CACHE"] = before


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give one test an empty cache of its own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("GREENBENCH_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def speech() -> Path:
    """Find the folder of real recordings, or skip."""
    folder = Path(os.environ.get("GREENBENCH_TEST_SPEECH") or REPOSITORY.parent / "shared" / "speech")
    if not (folder / "kathleen" / "manifest.tsv").is_file():
        pytest.skip("no real recordings here (set GREENBENCH_TEST_SPEECH)")
    return folder


@pytest.fixture
def write_audio() -> Callable[..., Path]:
    """Write a tone to a file of any format that soundfile knows."""

    def write(
        path: Path, seconds: float = 1.0, rate: int = 16_000, *, subtype: str | None = None, **options: Any
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone(seconds, rate, **options), rate, subtype=subtype)
        return path

    return write


@pytest.fixture(scope="session")
def driver_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the fake NVIDIA driver, or skip where there is no compiler."""
    if compiler() is None:
        pytest.skip("no C compiler to build the fake NVIDIA driver with")
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def driver(driver_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    """Put the fake driver in place of a real one, for this process and its children."""
    fake = FakeDriver(driver_library, tmp_path)
    for name, value in fake.environment.items():
        monkeypatch.setenv(name, value)
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    return fake


@pytest.fixture
def cuda_driver(driver: FakeDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    """A CUDA driver beside the fake NVML: ``FAKE_CUDA_UUIDS`` is what it shows, in its own order."""
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{build_cuda(tmp_path)}{os.pathsep}{os.environ['LD_LIBRARY_PATH']}")
    return driver


@pytest.fixture
def no_real_sensors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the testing machine's own RAPL counters: a test sees only what it sets up itself."""
    monkeypatch.setenv("GREENBENCH_POWERCAP", str(tmp_path / "no-powercap"))
