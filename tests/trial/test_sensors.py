"""What a trial on a GPU takes from the sampler, with a fake NVIDIA driver and a fake CUDA driver; no torch device."""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from greenbench.compare.comparable import check_comparable
from greenbench.config import PowerSection, Suite, suite_from_table
from greenbench.errors import IncomparableError
from greenbench.power.sampler.process import SamplerProcess
from greenbench.power.sources.options import HZ_LIMITS
from greenbench.records import (
    EVENTS,
    LIVE,
    MANIFEST,
    OUTCOME,
    POWER,
    SCHEMA_VERSION,
    Gpu,
    Journal,
    Manifest,
    RanOn,
    Trial,
    load_trial,
    read_events,
    write_json,
)
from greenbench.trial.finish import finish
from greenbench.trial.sensors import (
    cards_to_read,
    device_name,
    other_card,
    record_idle,
    record_sensors,
    record_troubles,
)
from tests.fake_nvml import UUIDS, FakeDriver, FakeGpu, Load, build, build_cuda, compiler

TABLE = {"suite": {"models": ["eco"]}, "budget": {"steps": 5}, "protocol": {"idle_seconds": 0.8}}


def suite(**power: Any) -> Suite:
    return suite_from_table({**TABLE, "power": power}, "test")


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if compiler() is None:
        pytest.skip("no C compiler to build the fake drivers with")
    return build_cuda(build(tmp_path_factory.mktemp("drivers")))


@pytest.fixture
def driver(libraries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    fake = FakeDriver(libraries, tmp_path)
    for name, value in {**fake.environment, "FAKE_CUDA_UUIDS": f"{UUIDS[1]} {UUIDS[0]}"}.items():
        monkeypatch.setenv(name, value)
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    slow, fast = Load.points((0, 20), (60, 21)), Load.points((0, 100), (60, 400))
    fake.program(FakeGpu(slow, options={"name": "T4"}), FakeGpu(fast, options={"name": "H100", "limit_mw": 500000}))
    return fake


def planned(folder: Path) -> Trial:
    manifest = Manifest(
        schema_version=SCHEMA_VERSION, suite="s", label="eco", family="eco", size="tiny", folder=folder.name
    )
    manifest.write(folder / MANIFEST)
    return load_trial(folder)


def gpu_trial(folder: Path, chosen: Suite, device: str) -> Trial:
    """Record what the parent of a trial on ``device`` records, with a moment of nothing in the trainer's place."""
    trial = planned(folder)
    sampler = SamplerProcess(folder / POWER, folder / LIVE, sources="nvml", devices=cards_to_read(chosen, device))
    with closing(Journal(folder / EVENTS)) as events:
        with sampler:
            trial = record_sensors(trial, sampler.ready, events)
            events.write(event="session", session=0)
            record_idle(chosen, sampler, events, device)
            time.sleep(0.5)
            events.write(event="exit", code=0)
        record_troubles(events, sampler.warnings)
    write_json(folder / OUTCOME, {"status": "ok", "device": device, "dtype": "float32"})
    return trial


@pytest.mark.slow
def test_a_trial_on_a_gpu_books_its_own_card_and_reports_idle_power_with_and_without_a_context(
    driver: FakeDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cuda:0 is the faster card, which NVML lists second; its power rises, so the later stretch has more."""
    monkeypatch.setenv("FAKE_CUDA_LOG", str(tmp_path / "contexts"))
    trial = finish(gpu_trial(tmp_path, suite(), "cuda:0"))
    (gpu,) = load_trial(tmp_path).gpus
    assert (gpu.uuid, gpu.name, gpu.power_limit_w) == (UUIDS[1], "H100", 500.0)
    assert (tmp_path / "contexts").read_text().split() == [UUIDS[1].removeprefix("GPU-").replace("-", "")]
    phases = {part.phase: part for part in trial.phases}
    assert list(phases) == ["idle", "idle_context"]
    for phase, column in (("idle", "idle_power_w"), ("idle_context", "idle_context_power_w")):
        begin, end = (driver.seconds(ns) for ns in (phases[phase].begin_ns, phases[phase].end_ns) if ns is not None)
        exact_w = Load.points((0, 100), (60, 400)).energy_j(begin, end) / (end - begin)
        assert trial.figure(column) == pytest.approx(exact_w, rel=0.03)
    assert (trial.figure("idle_context_power_w") or 0) > (trial.figure("idle_power_w") or 0)
    held_j = sum(part.energy_j or 0 for part in phases.values())
    assert (trial.figure("energy_total_j") or 0) > held_j  # beside the total, never taken from it
    assert all("short window" in warning for warning in trial.warnings)


def test_without_a_cuda_driver_the_result_says_why_there_is_no_such_idle_power(
    driver: FakeDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FAKE_CUDA_UUIDS")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    trial = finish(gpu_trial(tmp_path, suite(), "cuda:1"))
    assert "idle_context_power_w" not in trial.row
    assert (trial.figure("idle_power_w") or 0) > 50
    assert any("no idle power with an empty CUDA context" in warning for warning in trial.warnings)


def test_two_kinds_of_gpus_are_never_pooled(driver: FakeDriver, tmp_path: Path) -> None:
    trials = []
    for number, device in enumerate(("cuda:0", "cuda:1")):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = finish(gpu_trial(folder, suite(), device))
        # They differ in the ordinal too: what must be refused is the card.
        trials.append(replace(found, ran_on=RanOn("cuda:0", "float32")))
    with pytest.raises(IncomparableError, match=r"hardware\.gpu differs.*H100.*T4"):
        check_comparable(trials)


def test_a_trial_resumed_on_another_gpu_says_so(driver: FakeDriver, tmp_path: Path) -> None:
    trial = gpu_trial(tmp_path, suite(), "cuda:0")
    sampler = SamplerProcess(tmp_path / POWER, tmp_path / LIVE, sources="nvml", devices=["cuda:1"])
    with closing(Journal(tmp_path / EVENTS)) as events, sampler:
        record_sensors(trial, sampler.ready, events)
    warnings = [event.text for event in read_events(tmp_path / EVENTS) if event.kind == "warning"]
    assert any("resumed on other GPUs: T4" in text and "H100" in text for text in warnings)


@pytest.mark.slow
def test_a_dead_sampler_is_told_in_the_result_and_spoils_it(driver: FakeDriver, tmp_path: Path) -> None:
    trial = planned(tmp_path)
    sampler = SamplerProcess(tmp_path / POWER, tmp_path / LIVE, sources="nvml")
    with closing(Journal(tmp_path / EVENTS)) as events:
        with sampler:
            events.write(event="session", session=0)
            time.sleep(1.2)
            assert sampler.pid is not None
            os.kill(sampler.pid, 9)
            time.sleep(1.0)
            events.write(event="exit", code=0)
        record_troubles(events, sampler.warnings)
    write_json(tmp_path / OUTCOME, {"status": "ok"})
    trial = finish(trial)
    assert any("sampler ended early" in warning for warning in trial.warnings)
    assert trial.valid is False


@pytest.mark.parametrize(
    ("power", "device", "cards"),
    [
        ({}, "cuda:3", ["cuda:3"]),
        ({}, "hip:1", ["hip:1"]),
        ({}, "cpu", []),
        ({"sources": "nvml,cpu"}, "cpu", None),
        ({"sources": "nvml"}, "cuda:0", ["cuda:0"]),
        ({"devices": "none"}, "cuda:0", []),
        ({"devices": "GPU-aa,cuda:1"}, "cuda:0", ["GPU-aa", "cuda:1"]),
    ],
)
def test_the_cards_of_a_trial_are_those_it_trains_on_or_is_told(
    power: dict[str, Any], device: str, cards: list[str] | None
) -> None:
    assert cards_to_read(suite(**power), device) == cards


def test_the_processor_has_no_card() -> None:
    assert device_name("cpu") == "cpu"


def test_a_card_that_torch_computes_on_and_nobody_meters_is_warned_about() -> None:
    cards = [Gpu(uuid=UUIDS[0], source="nvml")]
    assert other_card(cards, UUIDS[0].removeprefix("GPU-")) == []
    (warning,) = other_card(cards, UUIDS[1].removeprefix("GPU-"))
    assert UUIDS[0] in warning
    assert UUIDS[1] in warning
    assert other_card([replace(cards[0], shared=True)], "1234") == []
    assert other_card([], "1234") == []


def test_sensors_survive_the_way_through_their_file(driver: FakeDriver, tmp_path: Path) -> None:
    trial = planned(tmp_path)
    sampler = SamplerProcess(tmp_path / POWER, tmp_path / LIVE, sources="nvml")
    with closing(Journal(tmp_path / EVENTS)) as events, sampler:
        recorded = record_sensors(trial, sampler.ready, events).sensors
    assert load_trial(tmp_path).sensors == recorded
    assert [gpu.uuid for gpu in recorded.gpus] == UUIDS[:2]


def test_a_suite_and_the_meter_allow_the_same_rates() -> None:
    for hz in HZ_LIMITS:
        assert PowerSection(hz=hz).hz == hz
    for hz in (HZ_LIMITS[0] / 2, HZ_LIMITS[1] * 2):
        with pytest.raises(ValueError, match="hz"):
            PowerSection(hz=hz)
