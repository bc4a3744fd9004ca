"""The Apple source against a stand-in for zeus-apple-silicon that lies on sys.path."""

from __future__ import annotations

import platform
import sys
import time
from pathlib import Path

import pytest

from greenbench.power.journal.file import JournalWriter
from greenbench.power.journal.trace import read_journal
from greenbench.power.sources import apple

FAKE = Path(__file__).parents[1] / "fake_modules" / "apple"
POWERS_W = {"cpu": 8.0, "gpu0": 13.0, "dram": 2.0}


@pytest.fixture
def mac(monkeypatch):
    """An Apple silicon machine as Python's standard library describes it, with the package installed."""
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    monkeypatch.syspath_prepend(FAKE)
    monkeypatch.setenv("FAKE_APPLE_START_NS", str(time.monotonic_ns()))
    yield
    sys.modules.pop("zeus_apple_silicon", None)


def test_every_part_the_chip_counts_is_a_device_and_no_other(mac):
    source = apple.find()
    assert {d.device: d.part for d in source.devices} == {"cpu": "cpu", "gpu0": "gpu", "dram": "dram"}
    assert all(d.kind == "measured" and d.has_counter for d in source.devices)


def test_the_counters_give_the_true_joules_per_part(mac, tmp_path):
    source = apple.find()
    journal = JournalWriter(tmp_path / "power.csv.gz")
    journal.comment(segment={"boot_id": "b", "devices": [d.to_dict() for d in source.devices]})
    begin = time.monotonic_ns()
    while time.monotonic_ns() - begin < 1_200_000_000:
        for sample in source.read():
            journal.sample(sample)
        time.sleep(0.05)
    journal.close()
    window = read_journal(tmp_path / "power.csv.gz").window(begin + 100_000_000, begin + 1_100_000_000)
    assert window.kind == "measured"
    assert {d.name: d.energy_j for d in window.devices} == pytest.approx(POWERS_W, rel=0.02)
    assert window.energy_j == pytest.approx(sum(POWERS_W.values()), rel=0.02)


def test_a_chip_without_ioreport_is_absent_with_the_reason(mac, monkeypatch):
    monkeypatch.delenv("FAKE_APPLE_START_NS")
    source = apple.find()
    assert not source.available
    assert "IOReport" in source.reason


def test_the_package_may_be_missing(mac, monkeypatch):
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(FAKE)])
    assert "zeus-apple-silicon is not installed" in apple.find().reason


def test_another_machine_says_so():
    assert "not an Apple silicon machine" in apple.find().reason
