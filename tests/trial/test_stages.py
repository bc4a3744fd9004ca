"""Later stages in a real run: their targets are booked and charged, and a kill -9 changes nothing."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

Command = Callable[..., list[str]]
Call = Callable[[list[str]], "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.slow
STEPS = 24
MODELS = {
    "melhubert": ["stages=2", "layers=2", "width=32", "heads=2", "feed_forward=64", "units=16"],
    "hubert": [
        "iterations=2",
        "layers=2",
        "width=32",
        "heads=2",
        "feed_forward=64",
        "conv_channels=16",
        "units=16",
        "relabel_units=24",
    ],
    "eco": ["relabel_at=[0.5]", "width=32", "pattern=ca", "units=16"],
}


def options(name: str) -> list[str]:
    return [
        *(f"models.{name}.{option}" for option in MODELS[name]),
        f"budget.steps={STEPS}",
        "train.checkpoint_seconds=0.05",
        "train.log_seconds=0.01",
    ]


def row(out: Path) -> dict[str, str]:
    with (out / "report" / "results.csv").open(encoding="utf-8") as file:
        return next(csv.DictReader(file))


def events(out: Path) -> list[dict]:
    found = []
    for path in out.glob("*/events.jsonl"):
        found += [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
    return found


def last_state(out: Path) -> dict:
    return json.loads(next(out.glob("*/checkpoints/step-*/state.json")).read_text())


@pytest.mark.parametrize("name", MODELS)
def test_a_second_stage_is_booked_charged_and_the_same_after_a_kill(
    name: str, tmp_path: Path, command: Command, greenbench: Call, environment: dict[str, str]
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = greenbench(command(whole, *options(name), model=name))
    assert done.returncode == 0, done.stderr
    result = json.loads(next(whole.glob("*/result.json")).read_text())
    charged = [p["phase"] for p in result["phases"] if p["budgeted"]]
    assert [p for p in charged if p != "features"] == ["targets", "pretrain", "targets", "pretrain"]
    ledger = last_state(whole)["ledger"]
    again = ledger["charges"]["targets made anew"]["flops"]
    assert 0 < again < ledger["flops"]
    assert ledger["phases"]["targets"]["seconds"] > 0
    assert last_state(whole)["stage"] == 1
    kept = [p.name for p in whole.glob("*/checkpoints/targets*")]
    assert kept == ["targets-1.safetensors"]

    process = subprocess.Popen(
        command(killed, *options(name), model=name),
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        # The second stage's targets are made, a checkpoint of it is written: the weights now belong to new labels.
        deadline = time.monotonic() + 120
        while not [e for e in events(killed) if e.get("event") == "checkpoint" and e["reason"] == "targets"]:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        for child in psutil.Process(process.pid).children(recursive=True):
            if "greenbench.trial.worker" in child.cmdline():
                child.send_signal(signal.SIGKILL)
        process.communicate(timeout=120)
    finally:
        process.kill()
    assert not list(killed.glob("*/result.json")), "the kill came too late"
    done = greenbench(command(killed, *options(name), model=name))
    assert done.returncode == 0, done.stderr
    assert row(killed)["resumed"] == "1"
    assert len([e for e in events(killed) if e.get("event") == "begin" and e["phase"] == "targets"]) == 2
    for key in ("final_loss", "characters_cer_pct", "pretrain_flops", "steps"):
        assert row(killed)[key] == row(whole)[key], key


def test_a_kill_while_targets_are_made_anew_makes_them_again(
    tmp_path: Path, command: Command, greenbench: Call, environment: dict[str, str]
) -> None:
    out = tmp_path / "killed"
    # So many clusters that finding them takes long enough to be killed in it.
    slow = [*options("melhubert"), "models.melhubert.relabel_units=1500"]
    process = subprocess.Popen(
        command(out, *slow, model="melhubert"),
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 120
        while not [e for e in events(out) if e.get("text", "").startswith("k-means on own features")]:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()
            time.sleep(0.001)
        for child in psutil.Process(process.pid).children(recursive=True):
            if "greenbench.trial.worker" in child.cmdline():
                child.send_signal(signal.SIGKILL)
        process.communicate(timeout=120)
    finally:
        process.kill()
    begun = [e for e in events(out) if e.get("event") == "begin" and e["phase"] == "targets"]
    ended = [e for e in events(out) if e.get("event") == "end" and e["phase"] == "targets"]
    assert (len(begun), len(ended)) == (2, 1), "the kill came too late"
    done = greenbench(command(out, *slow, model="melhubert"))
    assert done.returncode == 0, done.stderr
    whole = tmp_path / "whole"
    assert greenbench(command(whole, *slow, model="melhubert")).returncode == 0
    for key in ("final_loss", "characters_cer_pct", "pretrain_flops"):
        assert row(out)[key] == row(whole)[key], key
