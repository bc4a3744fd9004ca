"""The AMD source against a stand-in for amdsmi that lies on sys.path; everything of greenbench is the real thing."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from greenbench.metering.meter import Meter
from greenbench.power.sources import amd
from greenbench.power.sources.rocm_visible import named_amd, visible_amd

FAKE = Path(__file__).parents[1] / "fake_modules" / "amd"
SERIALS = ["0x00aa11", "0xbb22", "0xcc33"]


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Program the cards; both this process and the sampler find the stand-in."""
    monkeypatch.setenv("PYTHONPATH", f"{FAKE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.syspath_prepend(FAKE)
    for name in ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)

    def program(*powers_w: Any, **options: Any) -> None:
        made = [{"power_w": w, "serial": SERIALS[i], **options} for i, w in enumerate(powers_w)]
        monkeypatch.setenv("FAKE_AMDSMI", json.dumps({"start_ns": time.monotonic_ns(), "cards": made}))

    yield program
    sys.modules.pop("amdsmi", None)


def metered(seconds: float, **options: Any) -> Any:
    with Meter(sources="amd", **options) as meter:
        time.sleep(seconds)
    return meter


@pytest.mark.slow
def test_the_energy_accumulator_gives_the_true_joules_marked_measured(cards: Any) -> None:
    cards(300, 90)
    meter = metered(2.0)
    assert meter.energy.kind == "measured"
    assert meter.energy.energy_j == pytest.approx(390 * meter.energy.duration_s, rel=0.01)
    first, second = meter.energy.devices
    assert (first.name, second.name) == ("amd0", "amd1")
    assert second.energy_j == pytest.approx(90 * meter.energy.duration_s, rel=0.01)
    assert first.agree is True


@pytest.mark.slow
def test_without_an_accumulator_power_is_integrated(cards: Any) -> None:
    cards(300, counter=False)
    meter = metered(1.5)
    assert meter.energy.devices[0].counter_j is None
    assert meter.energy.energy_j == pytest.approx(300 * meter.energy.duration_s, rel=0.02)


@pytest.mark.slow
def test_an_accumulator_without_power_is_enough(cards: Any) -> None:
    cards(300, power=False)
    assert metered(1.0).energy.energy_j == pytest.approx(300, rel=0.05)


@pytest.mark.slow
def test_a_lost_card_spoils_the_window(cards: Any) -> None:
    cards(300, lost_at_s=2.0)
    meter = metered(3.0)
    assert not meter.energy.valid
    assert any("lost" in problem for problem in meter.energy.problems)


def test_what_a_manifest_says_about_a_card_is_read(cards: Any) -> None:
    cards(300)
    source = amd.find()
    (info,) = source.devices
    source.close()
    details = {key: info.details[key] for key in ("name", "driver", "power_limit_w", "pci_bus_id", "uuid")}
    assert details == {
        "name": "AMD Instinct MI250X",
        "driver": "6.10.5",
        "power_limit_w": 560.0,
        "pci_bus_id": "0000:c1:00.0",
        "uuid": "uuid-0x00aa11",
    }


@pytest.mark.parametrize(
    ("environment", "shown", "warns"),
    [
        ({}, [0, 1, 2], False),
        ({"ROCR_VISIBLE_DEVICES": "1,2"}, [1, 2], False),
        ({"HIP_VISIBLE_DEVICES": "2"}, [2], False),
        ({"CUDA_VISIBLE_DEVICES": "2"}, [2], False),  # HIP reads it where its own is not set
        ({"HIP_VISIBLE_DEVICES": "0", "CUDA_VISIBLE_DEVICES": "2"}, [0], False),
        ({"ROCR_VISIBLE_DEVICES": "2,0", "HIP_VISIBLE_DEVICES": "0"}, [2], False),
        ({"ROCR_VISIBLE_DEVICES": "GPU-000000000000bb22"}, [1], False),
        ({"ROCR_VISIBLE_DEVICES": ""}, [], False),
        ({"HIP_VISIBLE_DEVICES": "-1"}, [], False),
        ({"ROCR_VISIBLE_DEVICES": "0,9,1"}, [0], True),
        ({"ROCR_VISIBLE_DEVICES": "GPU-dd44"}, [], True),
    ],
)
def test_the_environment_maps_to_the_cards_hip_shows(
    environment: dict[str, str], shown: list[int], warns: bool
) -> None:
    found, warnings = visible_amd(environment, SERIALS)
    assert found == shown
    assert bool(warnings) is warns


def test_torchs_names_of_amd_cards_follow_the_environment() -> None:
    assert named_amd(["hip:1"], {"ROCR_VISIBLE_DEVICES": "0,2"}, SERIALS) == ([2], [])
    assert named_amd(["GPU-bb22", "cuda:0", "MIG-1"], {}, SERIALS) == ([1], [])
    picked, warnings = named_amd(["hip:7"], {}, SERIALS)
    assert picked == []
    assert "hip:7" in warnings[0]


@pytest.mark.slow
def test_only_visible_and_named_cards_are_read_and_keep_their_index(
    cards: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards(300, 90, 40)
    assert [d.name for d in metered(0.4, devices=["hip:2"]).energy.devices] == ["amd2"]
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "1")
    meter = metered(1.0)
    assert [d.name for d in meter.energy.devices] == ["amd1"]
    assert meter.energy.energy_j == pytest.approx(90 * meter.energy.duration_s, rel=0.03)


@pytest.mark.parametrize(
    ("program", "environment", "reason"),
    [
        ({"cards": []}, {}, "lists no GPU"),
        ({"cards": [], "error": "no amdgpu module"}, {}, "no amdgpu module"),
        ({"cards": [{"power_w": 1}]}, {"ROCR_VISIBLE_DEVICES": ""}, "shows no GPU"),
    ],
)
def test_absent_cards_are_absent_with_the_reason(
    cards: Any, monkeypatch: pytest.MonkeyPatch, program: dict[str, Any], environment: dict[str, str], reason: str
) -> None:
    cards()
    monkeypatch.setenv("FAKE_AMDSMI", json.dumps({"start_ns": 0, **program}))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    source = amd.find()
    assert not source.available
    assert reason in source.reason


def test_without_amdsmi_the_source_is_absent_with_the_reason() -> None:
    source = amd.find()
    assert not source.available
    assert "amdsmi is not installed" in source.reason
