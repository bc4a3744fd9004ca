"""The Apple source against a stand-in for zeus-apple-silicon that the sampler finds; the rest is the real thing."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from greenbench.metering.meter import Meter
from greenbench.power.sources import apple

FAKE = Path(__file__).parents[1] / "fake_modules" / "apple"
POWERS_W = {"cpu": 8.0, "gpu0": 13.0, "dram": 2.0}


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is installed where the sampler looks, and the chip has been counting for a while."""
    monkeypatch.setenv("PYTHONPATH", f"{FAKE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("FAKE_APPLE_START_NS", str(time.monotonic_ns()))


@pytest.mark.usefixtures("mac")
def test_every_part_the_chip_counts_gives_its_true_joules_and_no_other_part_is_a_device() -> None:
    with Meter(sources="apple") as meter:
        time.sleep(1.0)
    assert meter.trace is not None
    assert meter.energy is not None
    assert {d.device: d.part for d in meter.trace.devices.values()} == {"cpu": "cpu", "gpu0": "gpu", "dram": "dram"}
    assert meter.energy.kind == "measured"
    seconds = meter.energy.duration_s
    expected = {name: power_w * seconds for name, power_w in POWERS_W.items()}
    assert {d.name: d.energy_j for d in meter.energy.devices} == pytest.approx(expected, rel=0.02)
    assert meter.energy.energy_j == pytest.approx(sum(expected.values()), rel=0.02)


@pytest.mark.usefixtures("mac")
def test_a_chip_without_ioreport_is_absent_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAKE_APPLE_START_NS")
    with Meter(sources="apple") as meter:
        pass
    assert meter.energy is not None
    assert meter.energy.energy_j is None
    assert any("IOReport does not start" in text for text in meter.warnings)


def test_on_apple_silicon_the_package_may_be_missing() -> None:
    assert "zeus-apple-silicon is not installed" in apple.find("Darwin", "arm64").reason


@pytest.mark.parametrize(("system", "machine"), [("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "x86_64")])
def test_another_machine_says_so(system: str, machine: str) -> None:
    assert "not an Apple silicon machine" in apple.find(system, machine).reason
