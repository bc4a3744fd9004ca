"""The sampler of a trial is killed in mid-training: a budget of joules is kept, or the trial stops resumably."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from greenbench.records import EVENTS, RESULT, read_jsonl
from tests.fake_nvml import UUIDS, FakeDriver, FakeGpu, Load, build, compiler

pytestmark = pytest.mark.slow
SAMPLER = "greenbench.power.sampler.main"
OPTIONS = ("evaluate.tasks=", "power.sources=nvml", f"power.devices={UUIDS[0]}", "train.log_seconds=0.1")


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> FakeDriver:
    if compiler() is None:
        pytest.skip("no C compiler to build the fake NVIDIA driver with")
    folder = tmp_path_factory.mktemp("nvml")
    driver = FakeDriver(build(folder), folder)
    driver.program(FakeGpu(Load.constant(200)))
    return driver


def samplers(process: subprocess.Popen[str]) -> Iterator[psutil.Process]:
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if SAMPLER in child.cmdline():
                yield child
        except psutil.Error:
            continue


def trains(out: Path) -> bool:
    """Whether a trial has logged a step."""
    return any(path.stat().st_size for path in out.glob("*/metrics.jsonl"))


def training(command: list[str], environment: dict[str, str], out: Path) -> subprocess.Popen[str]:
    """Start a run and wait until it trains."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    while not trains(out):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.05)
    return process


def test_a_budget_of_joules_is_kept_when_its_sampler_is_killed(
    card: FakeDriver, command: Callable[..., list[str]], environment: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = training(command(out, "budget.joules=3000", *OPTIONS), {**environment, **card.environment}, out)
    for sampler in samplers(process):
        sampler.kill()
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    (folder,) = out.glob("eco-*")
    result, events = json.loads((folder / RESULT).read_text()), read_jsonl(folder / EVENTS)
    (begin, end) = (next(e["t_mono_ns"] for e in events if e["event"] == what) for what in ("session", "exit"))
    exact_j = 200 * (end - begin) * 1e-9
    total, budgeted = result["energy"]["total"], result["energy"]["budgeted"]
    assert total["energy_j"] == pytest.approx(exact_j, rel=0.02)
    assert total["kind"] == "mixed"
    assert result["valid"]
    # What the ledger spent live is what the journal says afterwards.
    assert budgeted["energy_j"] == pytest.approx(result["row"]["budget_spent"], rel=0.03)
    assert result["row"]["budget_spent"] == pytest.approx(3000, rel=0.05)
    assert any("died (SIGKILL)" in text for text in result["warnings"])
    assert any("without a sampler" in text for text in result["warnings"])


def test_a_budget_of_joules_without_a_sampler_stops_the_trial_with_a_checkpoint(
    card: FakeDriver, command: Callable[..., list[str]], environment: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = training(command(out, "budget.joules=1000000", *OPTIONS), {**environment, **card.environment}, out)
    while process.poll() is None:
        for sampler in samplers(process):
            os.kill(sampler.pid, signal.SIGKILL)
        time.sleep(0.1)
    _, errors = process.communicate()
    assert process.returncode == 4
    assert "the budget cannot be kept; a checkpoint was written, and the same command goes on from it" in errors
    (folder,) = out.glob("eco-*")
    assert list((folder / "checkpoints").glob("*.safetensors"))
    assert not json.loads((folder / RESULT).read_text())["valid"]
