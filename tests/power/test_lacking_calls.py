"""NVML needs a handle, a UUID and a counter or a power reading: whatever else a driver refuses, joules are right."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from greenbench.metering.meter import Meter
from tests.fake_nvml import SOURCE, UUIDS, FakeDriver, FakeGpu, Load

NEEDED = {"nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex", "nvmlDeviceGetUUID"}
CALLS = sorted(
    {re.sub(r"_v\d$", "", name) for name in re.findall(r"^int (nvml(?:Device|System)\w+)\(", SOURCE.read_text(), re.M)}
)
COUNTER, FIELDS, USAGE = ("nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetFieldValues", "nvmlDeviceGetPowerUsage")
POWERS = (FIELDS, USAGE)

# Programs the driver anew for every list of failing calls, and says what the source then finds and reads.
READ_ALL = """
import json, sys, time
import pynvml
from greenbench.power.sources import nvml
path, cases = sys.argv[1], json.loads(sys.argv[2])
text = open(path).read()
for failing, code in cases:
    lines = "".join(f"fail {name} {code}\\n" for name in failing)
    with open(path, "w") as stream:
        stream.write(text.replace("gpu ", lines + "gpu ", 1))
    source = nvml.find(None)
    begin = time.monotonic_ns()
    samples = [s for _ in range(2) for s in source.read_full()]
    print(json.dumps({
        "available": source.available, "reason": source.reason, "missing": [d.missing for d in source.devices],
        "devices": [d.device for d in source.devices], "counter": [d.has_counter for d in source.devices],
        "power_from": [d.power_from for d in source.devices],
        "readings": [[s.power_w, s.energy_j, s.event] for s in samples],
        "details": [d.details for d in source.devices],
    }), flush=True)
    source.close()
"""


def find(driver: FakeDriver, cases: list[tuple[list[str], int]]) -> list[dict[str, Any]]:
    command = [sys.executable, "-c", READ_ALL, str(driver.file), json.dumps(cases)]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_fake_driver_can_refuse_every_call_that_the_source_makes() -> None:
    package = Path(__file__).parents[2] / "greenbench" / "power" / "sources"
    made = {
        name for path in package.glob("nvml*.py") for name in re.findall(r"nvml(?:Device|System)\w+", path.read_text())
    }
    assert made <= set(CALLS)
    assert made >= NEEDED


def test_any_one_call_that_is_refused_leaves_the_card_readable(driver: FakeDriver) -> None:
    driver.program(FakeGpu(Load.constant(200)))
    optional = [name for name in CALLS if name not in NEEDED]
    cases: list[tuple[list[str], int]] = [([name], code) for name in optional for code in (3, 4, 13, 999)]
    for (failing, _), found in zip(cases, find(driver, cases), strict=True):
        assert found["devices"] == ["gpu0"], failing
        assert found["missing"] == [""], failing
        assert found["details"][0]["uuid"] == UUIDS[0]
        for power_w, energy_j, event in found["readings"]:
            assert event is None, failing
            assert power_w == 200 or failing[0] == FIELDS, failing
            assert (energy_j is None) == (failing[0] == COUNTER), failing


def test_all_calls_but_the_counter_or_the_power_may_be_refused_at_once(driver: FakeDriver) -> None:
    driver.program(FakeGpu(Load.constant(200)))
    others = [name for name in CALLS if name not in NEEDED]
    kinds = (COUNTER, FIELDS, USAGE)
    answers = find(driver, [([name for name in others if name != kept], 3) for kept in kinds])
    for kept, found in zip(kinds, answers, strict=True):
        assert found["missing"] == [""], kept
        assert found["counter"] == [kept == COUNTER]
        for power_w, energy_j, event in found["readings"]:
            assert event is None
            assert (energy_j is not None) == (kept == COUNTER)
            assert power_w == (None if kept == COUNTER else 200)


@pytest.mark.parametrize(("code", "words"), [(3, "Not Supported"), (4, "Insufficient Permissions"), (999, "Unknown")])
def test_a_card_without_counter_and_power_is_missing_from_the_total_with_the_cause(
    driver: FakeDriver, code: int, words: str
) -> None:
    driver.program(FakeGpu(Load.constant(200)))
    (found,) = find(driver, [([COUNTER, *POWERS], code)])
    assert found["readings"] == []
    assert words in found["missing"][0]
    assert "--devices" in found["missing"][0]


@pytest.mark.parametrize("needed", sorted(NEEDED))
def test_without_a_handle_or_a_uuid_the_reason_is_one_line(driver: FakeDriver, needed: str) -> None:
    driver.program(FakeGpu(Load.constant(200)))
    (found,) = find(driver, [([needed], 999)])
    assert not found["available"]
    assert "Unknown Error" in found["reason"]
    assert "\n" not in found["reason"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "failing", [["nvmlDeviceGetPciInfo"], ["nvmlDeviceGetPciInfo", "nvmlDeviceGetName", FIELDS], [COUNTER, USAGE]]
)
def test_a_driver_without_some_calls_is_metered_right(driver: FakeDriver, failing: list[str]) -> None:
    """As with virtual GPUs, WSL2, Jetson and older drivers."""
    load = Load.constant(200)
    driver.program(FakeGpu(load))
    lines = "".join(f"fail {name} 3\n" for name in failing)
    driver.file.write_text(driver.file.read_text().replace("gpu ", f"{lines}gpu ", 1))
    with Meter(sources="nvml") as meter:
        time.sleep(1.5)
    assert meter.energy is not None
    assert meter.energy.valid
    assert meter.energy.energy_j == pytest.approx(200 * meter.energy.duration_s, rel=0.05)


@pytest.mark.slow
def test_a_card_that_cannot_be_read_makes_the_total_of_the_others_invalid(driver: FakeDriver) -> None:
    driver.program(FakeGpu(Load.constant(200)), FakeGpu(Load.constant(50), options={"denied": 1}))
    with Meter(sources="nvml") as meter:
        time.sleep(1.0)
    assert meter.energy is not None
    assert meter.energy.energy_j == pytest.approx(200 * meter.energy.duration_s, rel=0.05)
    assert not meter.energy.valid
    assert any("gpu1: neither an energy counter nor a power reading" in text for text in meter.energy.problems)
    with Meter(sources="nvml", devices=[UUIDS[0]]) as meter:
        time.sleep(0.5)
    assert meter.energy is not None
    assert meter.energy.valid
