from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from greenbench.metering.idle import idle_powers, record_baseline
from greenbench.power.journal.trace import read_journal
from greenbench.power.sampler.process import SamplerProcess
from tests.fake_nvml import UUIDS, FakeDriver, FakeGpu, Load


def baseline(tmp_path: Path, **options: Any) -> tuple[Any, dict[str, Any]]:
    with SamplerProcess(tmp_path / "p.csv.gz", tmp_path / "live.bin", sources="nvml") as sampler:
        found = record_baseline(sampler, 1.0, **options)
    return found, idle_powers(read_journal(tmp_path / "p.csv.gz"), found)


def test_idle_power_is_recorded_with_and_without_a_context(
    cuda_driver: FakeDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CUDA_UUIDS", UUIDS[0])
    cuda_driver.program(FakeGpu(Load.points((0, 60), (60, 90))))
    found, powers = baseline(tmp_path)
    assert found.reason == ""
    assert 60 < powers["idle_power_w"] < powers["idle_context_power_w"] < 64


def test_contexts_are_made_on_the_metered_card_only(
    cuda_driver: FakeDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CUDA_UUIDS", " ".join(UUIDS[:3]))
    monkeypatch.setenv("FAKE_CUDA_LOG", str(tmp_path / "contexts"))
    cuda_driver.program(*(FakeGpu(Load.constant(60)) for _ in range(3)))
    options = {"sources": "nvml", "devices": ["cuda:1"]}
    with SamplerProcess(tmp_path / "p.csv.gz", tmp_path / "live.bin", **options) as sampler:
        found = record_baseline(sampler, 0.3)
    assert found.reason == ""
    assert (tmp_path / "contexts").read_text().split() == [UUIDS[1].removeprefix("GPU-").replace("-", "")]


def test_without_a_cuda_driver_the_second_figure_is_absent_with_the_reason(driver: FakeDriver, tmp_path: Path) -> None:
    driver.program(FakeGpu(Load.constant(60)))
    found, powers = baseline(tmp_path)
    assert powers["idle_power_w"] == pytest.approx(60, rel=0.01)
    assert powers["idle_context_power_w"] is None
    assert found.reason
