from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from greenbench.metering.meter import Meter
from greenbench.power.sources import rapl
from greenbench.power.sources.detect import detect
from tests.fake_nvml import powercap_tree

RANGE = 65_532_610_987
Domains = dict[str, tuple[str, int, int]]
Tree = Callable[[Domains], Path]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    def make(domains: Domains) -> Path:
        monkeypatch.setenv("GREENBENCH_POWERCAP", str(tmp_path / "powercap"))
        return powercap_tree(tmp_path / "powercap", domains)

    return make


FULL = {
    "intel-rapl:0": ("package-0", 1_000_000, RANGE),
    "intel-rapl:0:0": ("core", 500_000, RANGE),
    "intel-rapl:0:1": ("dram", 200_000, RANGE),
    "intel-rapl:1": ("package-1", 3_000_000, RANGE),
    "intel-rapl:1:0": ("dram", 100_000, RANGE),
    "intel-rapl:2": ("psys", 9_000_000, RANGE),
    "intel-rapl-mmio:0": ("package-0", 1_000_000, RANGE),
}


def set_energy(folder: Path, entry: str, energy_uj: int) -> None:
    # Replaced in one step, as a reader must never see an empty file; the source reads by path every time.
    temporary = folder / entry / "next"
    temporary.write_text(f"{energy_uj}\n")
    temporary.replace(folder / entry / "energy_uj")


def test_packages_and_dram_are_counted_core_and_mmio_are_not_read_and_psys_is_not_added(tree: Tree) -> None:
    tree(FULL)
    source = rapl.find()
    assert {d.device: d.counted for d in source.devices} == {
        "package-0": True,
        "dram-0": True,
        "package-1": True,
        "dram-1": True,
        "psys": False,
    }


def test_psys_counts_where_there_is_no_package(tree: Tree) -> None:
    tree({"intel-rapl:0": ("psys", 9_000_000, RANGE)})
    assert [(d.device, d.counted) for d in rapl.find().devices] == [("psys", True)]


def test_models_step_back_where_a_counter_covers_the_part(tree: Tree) -> None:
    tree(FULL)
    found = {s.name: s for s in detect("auto")}
    assert not found["cpu"].available
    assert "package-0" in found["cpu"].reason
    assert not found["ram"].available
    counted = [d.device for s in found.values() for d in s.devices if d.counted]
    assert "cpu" not in counted


def test_memory_is_modelled_where_only_packages_are_counted(tree: Tree) -> None:
    tree({"intel-rapl:0": ("package-0", 1_000_000, RANGE)})
    found = {s.name: s.available for s in detect("auto")}
    assert (found["cpu"], found["ram"]) == (False, True)


def test_a_wrap_is_corrected_by_the_range(tree: Tree) -> None:
    folder = tree({"intel-rapl:0": ("package-0", RANGE - 1_000_000, RANGE)})
    source = rapl.find()
    first = source.read()[0]
    time.sleep(0.05)
    set_energy(folder, "intel-rapl:0", 2_000_000)
    second = source.read()[0]
    assert second.energy_j - first.energy_j == pytest.approx(3.0)
    assert second.event == "wrap"


def test_a_reset_is_not_taken_for_a_wrap(tree: Tree) -> None:
    folder = tree({"intel-rapl:0": ("package-0", 5_000_000_000, RANGE)})
    source = rapl.find()
    first = source.read()[0]
    time.sleep(0.05)
    set_energy(folder, "intel-rapl:0", 1_000_000)
    second = source.read()[0]
    assert second.energy_j == first.energy_j
    assert second.event == "reset"


def test_mirrored_dies_are_counted_once(tree: Tree) -> None:
    folder = tree(
        {
            "intel-rapl:0": ("package-0-die-0", 7_000_000, RANGE),
            "intel-rapl:1": ("package-0-die-1", 7_000_000, RANGE),
            "intel-rapl:2": ("package-1-die-0", 8_000_000, RANGE),
        }
    )
    assert folder.exists()
    assert [d.device for d in rapl.find().devices] == ["package-0-die-0", "package-1-die-0"]


def test_an_unreadable_counter_says_how_to_allow_it(tree: Tree) -> None:
    folder = tree({"intel-rapl:0": ("package-0", 1, RANGE)})
    # Tests may run as root, who may read anything: a folder in the counter's place fails for everybody.
    (folder / "intel-rapl:0" / "energy_uj").unlink()
    (folder / "intel-rapl:0" / "energy_uj").mkdir()
    source = rapl.find()
    assert not source.available
    assert "chmod a+r" in source.reason


def test_no_tree_is_absent_with_the_reason() -> None:
    source = rapl.find()
    assert not source.available
    assert "does not exist" in source.reason


def test_a_counter_that_disappears_is_lost_once(tree: Tree) -> None:
    folder = tree({"intel-rapl:0": ("package-0", 1_000_000, RANGE)})
    source = rapl.find()
    (folder / "intel-rapl:0" / "energy_uj").unlink()
    assert [s.event for s in source.read()] == ["lost"]
    assert source.read() == []


@pytest.mark.slow
def test_the_meter_integrates_a_wrapping_package_from_end_to_end(tree: Tree) -> None:
    folder = tree({"intel-rapl:0": ("package-0", RANGE - 40_000_000, RANGE), "intel-rapl:1": ("psys", 0, RANGE)})
    start = time.monotonic()
    stop = threading.Event()
    begin_uj = RANGE - 40_000_000

    def play() -> None:
        while not stop.is_set():
            set_energy(folder, "intel-rapl:0", round(begin_uj + 50e6 * (time.monotonic() - start)) % RANGE)
            set_energy(folder, "intel-rapl:1", round(90e6 * (time.monotonic() - start)))
            time.sleep(0.001)

    thread = threading.Thread(target=play)
    thread.start()
    try:
        with Meter(sources="rapl,cpu") as meter, meter.phase("work") as phase:
            time.sleep(2.0)
    finally:
        stop.set()
        thread.join()
    assert phase.energy.kind == "measured"
    assert phase.energy.energy_j == pytest.approx(50 * phase.duration_s, rel=0.03)
    assert phase.energy.counts["wraps"] == 1
    psys = next(d for d in phase.energy.devices if d.name == "psys")
    assert psys.energy_j == pytest.approx(90 * phase.duration_s, rel=0.03)
    assert meter.energy.source == "rapl"


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["jump", "hop"])
def test_a_counter_that_jumps_while_the_meter_runs_is_bridged_recorded_and_live(tree: Tree, shape: str) -> None:
    """A forward jump of 9 kJ at 65 W, or a counter that shows another socket's value every other quarter second."""
    folder = tree({"intel-rapl:0": ("package-0", 45_000_000_000, 262_143_328_850)})
    start = time.monotonic()
    stop = threading.Event()

    def play() -> None:
        descriptor = os.open(folder / "intel-rapl:0" / "energy_uj", os.O_WRONLY)
        while not stop.is_set():
            t = time.monotonic() - start
            elsewhere = t >= 3.0 if shape == "jump" else t >= 2.0 and int(4 * t) % 4 == 1
            more_uj = 9_000_000_000 if shape == "jump" else 149_000_000_000
            os.pwrite(descriptor, b"%014d\n" % round(45e9 + 65e6 * t + more_uj * elsewhere), 0)
            time.sleep(0.001)
        os.close(descriptor)

    thread = threading.Thread(target=play)
    thread.start()
    try:
        with Meter(sources="rapl") as meter:
            time.sleep(4.0)
            live_j = meter.joules()
            live_s = time.monotonic()
    finally:
        stop.set()
        thread.join()
    assert meter.energy is not None
    assert meter.energy.energy_j == pytest.approx(65 * meter.energy.duration_s, rel=0.05)
    assert any("jumped" in text for text in meter.energy.problems)
    assert live_j == pytest.approx(65 * (live_s - start), abs=65 * 2.5)  # the block began after the sampler's start
