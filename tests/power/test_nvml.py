"""The whole path against a programmed driver that the real pynvml loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenbench.metering.meter import Meter
from greenbench.power.journal.file import read_segments
from greenbench.power.sampler.live import LiveReader
from greenbench.power.sampler.process import SamplerProcess
from greenbench.power.sources.nvml_card import COUNTER_SHARE
from greenbench.power.sources.options import Sampling
from tests.fake_nvml import UUIDS, FakeDriver, FakeGpu, Load

pytestmark = pytest.mark.slow  # every test meters real seconds


def measure(*arguments: Any, seconds: float = 2.2, code: int = 0) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "greenbench", "measure", "--json", *arguments, "--"]
    script = f"import sys, time; time.sleep({seconds}); sys.exit({code})"
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [*command, sys.executable, "-c", script], check=False, capture_output=True, text=True, env=environment
    )
    return done.returncode, json.loads(done.stdout)


def metered(seconds: float, **options: Any) -> Any:
    with Meter(**{"sources": "nvml", **options}) as meter, meter.phase("work") as phase:
        time.sleep(seconds)
    return meter, phase


def truth(driver: FakeDriver, load: Load, phase: Any) -> float:
    return load.energy_j(driver.seconds(phase.begin_ns), driver.seconds(phase.end_ns))


def once_undisturbed(attempt: Callable[[int], bool]) -> None:
    """Neighbours can hold up a reading and never make one better: of three tries, one must be a quiet machine's."""
    assert any(attempt(number) for number in range(3))


def test_measure_prints_the_true_joules_marked_measured(driver: FakeDriver) -> None:
    driver.program(FakeGpu(Load.constant(250)))
    code, result = measure("--sources", "nvml", code=3)
    assert code == result["exit_code"] == 3
    assert result["energy_source"] == "measured"
    assert result["energy_j"] == pytest.approx(250 * result["duration_s"], rel=0.01)
    assert result["energy_low_j"] < result["energy_j"] < result["energy_high_j"]
    device = result["devices"][0]
    assert (device["source"], device["kind"], device["agree"]) == ("nvml", "measured", True)
    assert device["ratio"] == pytest.approx(1.0, abs=0.02)


def test_five_seconds_are_right_within_half_a_percent(driver: FakeDriver) -> None:
    loads = [
        Load.constant(200),
        Load.square(1.3, 100, 300),
        Load.square(7.7, 100, 300),
        Load.points((0, 100), (30, 600)),
        Load.square(0.5, 100, 600, 0.2),
    ]
    driver.program(*(FakeGpu(load) for load in loads))

    def right(_number: int) -> bool:
        _, phase = metered(5.043)
        assert phase.energy.valid
        truths = [truth(driver, load, phase) for load in loads]
        found = [device.energy_j for device in phase.energy.devices]
        for load, exact, device in zip(loads, truths, phase.energy.devices, strict=True):
            assert abs(device.energy_j - exact) <= device.edge_j, load.text
        return found == pytest.approx(truths, rel=0.005)

    once_undisturbed(right)


@pytest.mark.parametrize(
    "load",
    [Load.constant(200), Load.square(1.3, 100, 300), Load.square(0.5, 100, 600, 0.2), Load.points((0, 100), (30, 600))],
    ids=lambda load: load.text.split()[0],
)
def test_a_counter_that_costs_milliseconds_is_read_rarely_and_five_seconds_stay_right(
    driver: FakeDriver, tmp_path: Path, load: Load
) -> None:
    driver.program(FakeGpu(load, options={"counter_ms": 5}))

    def right(number: int) -> bool:
        journal = tmp_path / f"power-{number}.csv.gz"
        with Meter(sources="nvml", journal=journal) as meter, meter.phase("work") as phase:
            time.sleep(5.043)
        device = phase.energy.devices[0]
        exact = truth(driver, load, phase)
        assert device.counter_j == device.energy_j
        assert abs(device.energy_j - exact) <= device.edge_j
        (segment,) = read_segments(journal).segments
        between = [s for s in segment.samples if phase.begin_ns + 3e8 < s.t_mono_ns < phase.end_ns]
        assert sum(s.energy_j is not None for s in between) <= 1
        assert all(s.power_w is not None for s in between)
        every_s = segment.devices["gpu0"].counter_every_s
        rare = every_s == pytest.approx(0.005 / COUNTER_SHARE, rel=0.3) and len(between) > 80
        return rare and device.energy_j == pytest.approx(exact, rel=0.005)

    once_undisturbed(right)


def test_a_cheap_counter_is_read_at_every_tick(driver: FakeDriver, tmp_path: Path) -> None:
    driver.program(FakeGpu(Load.constant(200)))
    journal = tmp_path / "power.csv.gz"
    with Meter(sources="nvml", journal=journal):
        time.sleep(1.5)
    (segment,) = read_segments(journal).segments
    assert segment.devices["gpu0"].counter_every_s is None
    assert all(s.energy_j is not None and s.power_w is not None for s in segment.samples)


def test_the_live_figure_follows_the_power_between_two_rare_readings(driver: FakeDriver, tmp_path: Path) -> None:
    load = Load.points((0, 100), (2.5, 100), (2.6, 500))
    driver.program(FakeGpu(load, options={"counter_ms": 5}))
    with SamplerProcess(tmp_path / "p.csv.gz", tmp_path / "live.bin", sources="nvml") as sampler:
        reader = LiveReader(sampler.live)
        first = reader.read()
        time.sleep(max(0.0, 5.0 - driver.seconds(time.monotonic_ns())))
        last = reader.read()
    exact = load.energy_j(driver.seconds(first.t_mono_ns), driver.seconds(last.t_mono_ns))
    assert last.energy_j - first.energy_j == pytest.approx(exact, abs=500 * 0.25)
    assert last.energy_low_j < last.energy_j < last.energy_high_j


def test_a_loss_is_written_once_and_looked_at_again(driver: FakeDriver, tmp_path: Path) -> None:
    driver.program(FakeGpu(Load.constant(200), options={"lost_at_s": 4.0}))
    journal = tmp_path / "p.csv.gz"
    with SamplerProcess(journal, tmp_path / "live.bin", sources="nvml"):
        time.sleep(max(0.0, 6.0 - driver.seconds(time.monotonic_ns())))
    (segment,) = read_segments(journal).segments
    assert [s.event for s in segment.samples if s.event] == ["lost"]


def test_a_reading_that_comes_late_is_not_taken_for_a_later_one(driver: FakeDriver) -> None:
    """A starved reader gets the counter at 4 s and looks at the clock at 6 s: no joules may move to where it looked."""
    load = Load.constant(200)
    driver.program(FakeGpu(load, options={"stall_at_s": 4.0, "stall_s": 2.0}))
    with Meter(sources="nvml") as meter, meter.phase("work") as phase:
        time.sleep(max(0.0, 5.0 - driver.seconds(time.monotonic_ns())))
    assert phase.energy.energy_j == pytest.approx(truth(driver, load, phase), rel=0.03)


def test_without_a_counter_power_is_integrated_quickly_enough_for_the_load(driver: FakeDriver) -> None:
    load = Load.square(2.0, 100, 300)
    driver.program(FakeGpu(load, options={"counter": 0}))
    _, phase = metered(5.043)
    device = phase.energy.devices[0]
    assert device.counter_j is None
    assert device.energy_j == device.integral_j == pytest.approx(truth(driver, load, phase), rel=0.01)
    assert device.samples > 300


def test_a_one_second_average_widens_the_uncertainty(driver: FakeDriver) -> None:
    load = Load.points((0, 100), (2, 100), (2.001, 600))
    driver.program(FakeGpu(load, options={"counter": 0, "fields": 0, "usage_average": 1}))
    _, phase = metered(3.0)
    device = phase.energy.devices[0]
    assert any("one-second average" in w for w in device.warnings)
    assert abs(device.energy_j - truth(driver, load, phase)) <= device.edge_j


def test_several_cards_are_kept_apart_and_added(driver: FakeDriver) -> None:
    driver.program(FakeGpu(Load.constant(200)), FakeGpu(Load.constant(50)))
    _, phase = metered(2.0)
    seconds = phase.duration_s
    assert [d.name for d in phase.energy.devices] == ["gpu0", "gpu1"]
    assert phase.energy.devices[1].energy_j == pytest.approx(50 * seconds, rel=0.01)
    assert phase.energy.energy_j == pytest.approx(250 * seconds, rel=0.01)


@pytest.mark.parametrize(
    ("visible", "names"),
    [("1", ["gpu1"]), (UUIDS[0], ["gpu0"]), (UUIDS[1][:9], ["gpu1"]), ("", []), ("-1", []), ("1,0", ["gpu0", "gpu1"])],
)
def test_only_visible_cards_are_read(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch, visible: str, names: list[str]
) -> None:
    driver.program(FakeGpu(Load.constant(200)), FakeGpu(Load.constant(50)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    meter, phase = metered(1.0)
    assert sorted(d.name for d in phase.energy.devices) == names
    if not names:
        assert meter.energy.energy_j is None
        assert any("shows no GPU" in w for w in meter.warnings)


def test_devices_can_be_named_by_uuid(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver.program(FakeGpu(Load.constant(200)), FakeGpu(Load.constant(50)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    _, phase = metered(1.0, devices=[UUIDS[1]])
    assert [d.name for d in phase.energy.devices] == ["gpu1"]


def test_a_torch_device_is_the_card_that_cuda_counts_so(
    cuda_driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA puts the H100 first, NVML the T4 on the lower bus: cuda:0 is the H100's joules."""
    cuda_driver.program(
        FakeGpu(Load.constant(50), options={"name": "T4"}), FakeGpu(Load.constant(200), options={"name": "H100"})
    )
    monkeypatch.setenv("FAKE_CUDA_UUIDS", f"{UUIDS[1]} {UUIDS[0]}")
    meter, phase = metered(1.5, devices=["cuda:0"])
    assert [d.name for d in phase.energy.devices] == ["gpu1"]
    assert phase.energy.energy_j == pytest.approx(200 * phase.duration_s, rel=0.02)
    assert meter.warnings == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    _, phase = metered(0.4)
    assert [d.name for d in phase.energy.devices] == ["gpu0"]
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    _, phase = metered(0.4)
    assert [d.name for d in phase.energy.devices] == ["gpu1"]


def test_where_cuda_cannot_be_asked_the_guess_reaches_the_result(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.program(FakeGpu(Load.constant(50), options={"name": "T4"}), FakeGpu(Load.constant(200)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    _, result = measure("--sources", "nvml", seconds=0.3)
    assert [d["name"] for d in result["devices"]] == ["gpu0"]
    assert any("fastest first" in w and "CUDA_DEVICE_ORDER=PCI_BUS_ID" in w for w in result["warnings"])


def test_measure_reads_the_cards_it_is_given_and_says_which_it_does_not_find(driver: FakeDriver) -> None:
    driver.program(FakeGpu(Load.constant(200)), FakeGpu(Load.constant(50)))
    _, result = measure("--sources", "nvml", "--devices", UUIDS[1], seconds=1.5)
    assert [d["name"] for d in result["devices"]] == ["gpu1"]
    assert result["energy_j"] == pytest.approx(50 * result["duration_s"], rel=0.02)
    _, result = measure("--devices", "GPU-ffff", seconds=0.2)
    assert {d["source"] for d in result["devices"]} == {"cpu", "ram"}
    assert any("no GPU of GPU-ffff is read" in w for w in result["warnings"])
    _, result = measure("--devices", "none", seconds=0.2)
    assert {d["source"] for d in result["devices"]} == {"cpu", "ram"}
    assert not any("GPU" in w for w in result["warnings"])


def test_a_lost_card_spoils_the_window_and_says_when(driver: FakeDriver) -> None:
    driver.program(FakeGpu(Load.constant(200), options={"lost_at_s": 3.0}), FakeGpu(Load.constant(50)))
    _meter, phase = metered(3.5)
    assert not phase.energy.valid
    assert any("gpu0" in p and "lost" in p for p in phase.energy.problems)
    assert phase.energy.devices[1].invalid == ()


def test_a_counter_reset_is_reported_and_bridged(driver: FakeDriver) -> None:
    load = Load.constant(200)
    driver.program(FakeGpu(load, options={"reset_at_s": 3.03}))
    _, phase = metered(5.0)
    assert phase.energy.counts["resets"] == 1
    assert phase.energy.energy_j == pytest.approx(truth(driver, load, phase), rel=0.03)
    assert abs(phase.energy.energy_j - truth(driver, load, phase)) <= phase.energy.uncertainty_j


def test_a_counter_that_stands_still_is_not_believed(driver: FakeDriver) -> None:
    load = Load.constant(200)
    driver.program(FakeGpu(load, options={"stuck": 1}))
    _meter, phase = metered(2.0)
    assert phase.energy.energy_j == pytest.approx(truth(driver, load, phase), rel=0.01)
    assert any("stood still" in p for p in phase.energy.problems)


def test_a_counter_that_disagrees_with_power_is_flagged(driver: FakeDriver) -> None:
    driver.program(FakeGpu(Load.constant(200), options={"gain": 0.57}))
    _, phase = metered(3.0)
    device = phase.energy.devices[0]
    assert device.ratio == pytest.approx(0.57, abs=0.02)
    assert device.agree is False


def test_mig_reports_the_whole_card_and_marks_it_shared(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver.program(FakeGpu(Load.constant(200), options={"mig": "MIG-aaaa-1 MIG-bbbb-2"}))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-bbbb-2")
    _meter, phase = metered(1.5)
    device = phase.energy.devices[0]
    assert device.shared
    assert device.energy_j == pytest.approx(200 * phase.duration_s, rel=0.02)
    assert any("whole card" in p for p in phase.energy.problems)


def test_denied_access_is_absent_with_the_reason(driver: FakeDriver) -> None:
    driver.program(FakeGpu(Load.constant(200), options={"denied": 1}))
    meter, phase = metered(0.5)
    assert phase.energy.energy_j is None
    assert any("nothing can be measured" in w or "Permission" in w for w in meter.warnings)


def test_a_driver_that_does_not_start_is_absent_with_the_reason(driver: FakeDriver) -> None:
    driver.program(init_error=9)
    meter, phase = metered(0.3)
    assert phase.energy.energy_j is None
    assert any("NVML does not start" in w and "Driver Not Loaded" in w for w in meter.warnings)


def test_foreign_processes_and_throttling_are_warned_about(driver: FakeDriver) -> None:
    foreign = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        # The foreign one must not be a child of the watched process, so this test watches a child of its own.
        driver.program(FakeGpu(Load.constant(200), options={"pids": foreign.pid, "throttle": "0x20"}))
        _, result = measure("--sources", "nvml", seconds=2.5)
    finally:
        foreign.kill()
        foreign.wait()
    text = " ".join(result["devices"][0]["warnings"])
    assert "1 foreign process" in text
    assert "sw_thermal" in text


def test_a_short_window_is_warned_about(driver: FakeDriver) -> None:
    driver.program(FakeGpu(Load.constant(200)))
    _, phase = metered(0.6)
    assert any("short window" in warning for warning in phase.energy.devices[0].warnings)


def test_the_update_period_is_found(driver: FakeDriver) -> None:
    from greenbench.metering.doctor import inspect

    driver.program(FakeGpu(Load.constant(200), options={"period_ms": 60}))
    report = inspect(1.5, sampling=Sampling(sources="nvml"))
    source = report["sources"][0]
    assert source["update_period_s"] == pytest.approx(0.06, abs=0.006)
    assert source["step_j"] == pytest.approx(12.0, rel=0.1)
    assert source["idle_power_w"] == pytest.approx(200, rel=0.02)
    assert source["devices"][0]["counter_integral_ratio"] == pytest.approx(1.0, abs=0.02)
    assert report["will_use"] == ["gpu0"]
    assert report["kind"] == "measured"


def test_a_budget_in_joules_stops_the_command_near_its_limit(driver: FakeDriver) -> None:
    driver.program(FakeGpu(Load.constant(300)))
    code, result = measure("--sources", "nvml", "--budget", "joules=450", seconds=30)
    assert result["stopped_by_budget"] is True
    assert code == 143
    assert result["energy_j"] == pytest.approx(450, abs=300 * 0.4)


def test_a_gpu_beside_a_modelled_cpu_is_mixed(driver: FakeDriver) -> None:
    driver.program(FakeGpu(Load.constant(300)))
    _, result = measure(seconds=1.0)
    assert result["energy_source"] == "mixed"
    assert {d["name"]: d["kind"] for d in result["devices"]} == {
        "gpu0": "measured",
        "cpu": "modelled",
        "ram": "modelled",
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"says_w": "4294967 2.5 2.7"}, "impossible reading"),
        ({"says_w": "0 2.5 2.7"}, "impossible reading"),
        ({"jump_j": "900 2.5"}, "jumped"),
        ({"stands": "2.2 3.9 0"}, "stood still"),
    ],
)
def test_what_the_card_cannot_have_done_is_bridged_and_named(
    driver: FakeDriver, options: dict[str, str], words: str
) -> None:
    load = Load.constant(200)
    driver.program(FakeGpu(load, options=options))
    with Meter(sources="nvml") as meter:
        begin_ns, before_j = time.monotonic_ns(), meter.joules()
        time.sleep(max(0.0, 4.5 - driver.seconds(begin_ns)))
        live_j, end_ns = meter.joules(), time.monotonic_ns()
    energy = meter.energy
    assert energy is not None
    assert energy.valid
    assert energy.energy_j == pytest.approx(200 * energy.duration_s, rel=0.03)
    assert any(words in text for text in energy.problems)
    assert live_j - before_j == pytest.approx(200 * (end_ns - begin_ns) * 1e-9, rel=0.05, abs=40)


def test_a_budget_in_joules_is_not_met_by_a_reading_that_cannot_be_true(driver: FakeDriver) -> None:
    driver.program(FakeGpu(Load.constant(100), options={"says_w": "4294967 1.5 2.5", "jump_j": "100000 2.0"}))
    code, result = measure("--sources", "nvml", "--budget", "joules=5000", seconds=2.0)
    assert (code, result["stopped_by_budget"]) == (0, False)
    assert result["energy_j"] == pytest.approx(100 * result["duration_s"], rel=0.05)
