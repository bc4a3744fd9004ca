from __future__ import annotations

import time
from pathlib import Path

import pytest

from greenbench.metering.meter import Meter
from greenbench.power.journal.trace import read_journal
from greenbench.power.sources.detect import detect
from tests.fake_nvml import FakeDriver, FakeGpu, Load


@pytest.mark.slow
def test_a_recorded_run_plays_again_with_the_same_joules(driver: FakeDriver, tmp_path: Path) -> None:
    load = Load.points((0, 100), (2.5, 100), (2.6, 300))
    driver.program(FakeGpu(load))
    journal = tmp_path / "recorded.csv.gz"
    with Meter(sources="nvml", journal=journal):
        time.sleep(2.5)
    recorded = read_journal(journal).total()
    with Meter(sources=f"replay:{journal}") as meter:
        time.sleep(1.5)
    exact = recorded.mean_power_w
    assert meter.energy.source == "replay"
    assert meter.energy.kind == "measured"
    assert 80 < meter.energy.mean_power_w < max(320, exact)
    assert any("recorded earlier" in w for w in meter.warnings)


@pytest.mark.slow
def test_a_hand_written_recording_repeats_and_its_counter_keeps_rising(tmp_path: Path) -> None:
    path = tmp_path / "hand.csv"
    path.write_text("t_s,power_w,energy_j\n0,100,0\n0.2,100,20\n0.4,100,40\n")
    (source,) = detect(f"replay:{path}")
    first = source.read()[0].energy_j
    time.sleep(1.0)
    last = source.read()[0].energy_j
    assert last - first == pytest.approx(100, rel=0.1)


@pytest.mark.parametrize("text", [None, "", "t_s,power_w\n", "t_s,power_w\n0,5\n"])
def test_a_recording_that_cannot_be_played_is_absent_with_the_reason(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hand.csv"
    if text is not None:
        path.write_text(text)
    (source,) = detect(f"replay:{path}")
    assert not source.available
    assert source.reason
