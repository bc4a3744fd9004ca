"""A total of which a package, die or card could not be read, or was read twice, is not valid as it stands."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from greenbench.metering.meter import Meter
from greenbench.power.journal.file import JournalContents, Segment
from greenbench.power.journal.trace import Trace
from greenbench.power.samples import DeviceInfo, Sample
from greenbench.power.sources import rapl
from greenbench.power.sources.detect import detect
from greenbench.power.sources.tdp import Processor
from tests.fake_nvml import powercap_tree

RANGE = 262_143_328_850
SERVER = Processor("Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz", 128, packages=2)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(*names: str, unreadable: tuple[int, ...] = (), same: tuple[int, ...] = ()) -> Path:
        monkeypatch.setenv("GREENBENCH_POWERCAP", str(tmp_path / "powercap"))
        values = [7_000_000 if i in same else (i + 1) * 1_000_000 for i in range(len(names))]
        folder = powercap_tree(
            tmp_path / "powercap", {f"intel-rapl:{i}": (name, values[i], RANGE) for i, name in enumerate(names)}
        )
        for i in unreadable:
            # Tests may run as root, who may read anything: a folder in the counter's place fails for everybody.
            (folder / f"intel-rapl:{i}" / "energy_uj").unlink()
            (folder / f"intel-rapl:{i}" / "energy_uj").mkdir()
        return folder

    return make


def window(source: Any, seconds: float = 10.0) -> Any:
    """The readings that a source's own devices would give at 50 W each, in a window of them all."""
    segment = Segment(boot_id="boot", devices={info.device: info for info in source.devices})
    readable = [info for info in source.devices if not info.missing]
    for i in range(round(seconds * 20) + 1):
        for info in readable:
            row = Sample(round(i / 20 * 1e9), 1000, info.device, info.source, info.kind, energy_j=50 * i / 20)
            segment.samples.append(row)
    return Trace(JournalContents([segment])).window(10**9, round((seconds - 1) * 1e9))


def missing(source: Any) -> dict[str, str]:
    return {info.device: info.missing for info in source.devices if info.missing}


def test_a_package_that_cannot_be_read_makes_the_total_invalid_and_says_how_to_allow_it(tree: Any) -> None:
    tree("package-0", "package-1", unreadable=(1,))
    source = rapl.find()
    assert list(missing(source)) == ["package-1"]
    found = window(source)
    assert found.energy_j == pytest.approx(400, rel=0.01)  # what is known
    assert not found.valid
    assert any("package-1" in text and "chmod a+r" in text for text in found.problems)


@pytest.mark.parametrize("names", [("package-0", "dram"), ("package-0-die-0", "package-0-die-1")])
def test_a_dram_domain_or_a_die_that_cannot_be_read_makes_the_total_invalid(tree: Any, names: tuple[str, ...]) -> None:
    tree(*names, unreadable=(1,))
    assert not window(rapl.find()).valid


def test_an_unreadable_package_is_not_taken_for_a_machine_without_counters(tree: Any) -> None:
    tree("package-0", "package-1", unreadable=(1,))
    sources = {s.name: s for s in detect("rapl,cpu,ram")}
    assert not sources["cpu"].available  # the total would be a package twice: once measured, once modelled
    tree_ = os.environ["GREENBENCH_POWERCAP"]
    (Path(tree_) / "intel-rapl:0" / "energy_uj").unlink()
    (Path(tree_) / "intel-rapl:0" / "energy_uj").mkdir()
    assert {s.name: s for s in detect("rapl,cpu,ram")}["cpu"].available


def test_a_package_that_the_kernel_knows_and_the_tree_lacks_makes_the_total_invalid(tree: Any) -> None:
    tree("package-0")
    source = rapl.find(SERVER)
    found = window(source)
    assert not found.valid
    assert any("the kernel lists 2 packages, the powercap tree 1" in text for text in found.problems)
    assert window(rapl.find(Processor("one socket", 8))).valid
    assert window(rapl.find(Processor("a guest of eight sockets", 8, 8, virtual=True))).valid


def test_dies_of_a_package_are_one_package(tree: Any) -> None:
    tree("package-0-die-0", "package-0-die-1", "package-1-die-0", "package-1-die-1")
    assert missing(rapl.find(SERVER)) == {}


@pytest.mark.parametrize("names", [("package-0", "package-1"), ("package-0-die-0", "package-0-die-1")])
def test_one_counter_under_two_names_is_counted_once(tree: Any, names: tuple[str, str]) -> None:
    tree(*names, same=(0, 1))
    source = rapl.find()
    assert [info.device for info in source.devices] == [names[0]]
    assert any("mirrors this counter" in note for note in source.devices[0].notes)


def test_two_counters_under_one_name_are_counted_both(tree: Any) -> None:
    tree("package-0", "package-0")
    source = rapl.find()
    assert [info.device for info in source.devices] == ["package-0", "package-0 (intel-rapl:1)"]
    assert window(source).energy_j == pytest.approx(800, rel=0.01)


def test_a_tree_without_any_part_that_is_counted_is_absent_with_the_reason(tree: Any) -> None:
    tree("core", "uncore")
    source = rapl.find()
    assert not source.available
    assert "neither a package nor a dram nor a psys domain" in source.reason


def test_a_counter_without_its_range_is_read_all_the_same(tree: Any) -> None:
    folder = tree("package-0")
    (folder / "intel-rapl:0" / "max_energy_range_uj").unlink()
    assert rapl.find().devices[0].wrap_j is None
    assert window(rapl.find()).valid


@pytest.mark.parametrize(
    ("limits_uw", "limit_w"),
    [((65_000_000, 95_000_000), 380.0), ((15_000_000,), 200.0), ((0, 10**15), None), ((), None)],
)
def test_what_a_package_may_draw_bounds_what_its_counter_may_gain(
    tree: Any, limits_uw: tuple[int, ...], limit_w: float | None
) -> None:
    folder = tree("package-0")
    for i, limit_uw in enumerate(limits_uw):
        (folder / "intel-rapl:0" / f"constraint_{i}_power_limit_uw").write_text(f"{limit_uw}\n")
    (info,) = rapl.find().devices
    assert info.limit_w == limit_w


@pytest.mark.slow
def test_the_meter_says_that_half_of_the_machine_is_missing(tree: Any) -> None:
    tree("package-0", "package-1", unreadable=(1,))
    with Meter(sources="rapl") as meter:
        time.sleep(0.3)
    assert meter.energy is not None
    assert not meter.energy.valid
    assert any("package-1" in text and "cannot be read" in text for text in meter.warnings)


def test_a_counted_device_of_which_nothing_was_recorded_makes_the_total_invalid() -> None:
    infos = [DeviceInfo(f"gpu{i}", "nvml", "measured", "gpu") for i in range(2)]
    segment = Segment(boot_id="boot", devices={info.device: info for info in infos})
    segment.samples = [Sample(i * 50_000_000, 1000, "gpu0", "nvml", "measured", 100.0) for i in range(201)]
    found = Trace(JournalContents([segment])).window(10**9, 9 * 10**9)
    assert found.energy_j == pytest.approx(800)
    assert not found.valid
    assert any("gpu1: no readings" in text for text in found.problems)
