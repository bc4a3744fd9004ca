"""Later stages in a real run: their targets are booked and charged, and a kill -9 changes nothing."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trial.conftest import PAUSING, StoppableRun, rows

Command = Callable[..., list[str]]
Call = Callable[[list[str]], "subprocess.CompletedProcess[str]"]
Stoppable = Callable[[list[str], str], StoppableRun]

pytestmark = pytest.mark.slow
STEPS = 24
ENCODER = ["encoder.layers=2", "encoder.width=32", "encoder.heads=2", "encoder.feed_forward=64"]
MODELS = {
    "melhubert": ["relabelling.at=[0.5]", *ENCODER, "targets.units=16"],
    "hubert": [
        "relabelling.at=[0.385]",
        *ENCODER,
        "encoder.conv_channels=16",
        "targets.units=16",
        "relabelling.units=24",
    ],
    "eco": ["relabelling.at=[0.5]", "encoder.width=32", "encoder.pattern=ca", "targets.units=16"],
}
CLASSES = {"melhubert": "PausingMelHubert", "hubert": "PausingHubert", "eco": "PausingEco"}
OPTIONS = [
    "suite.models=" + ",".join(f"{label}={PAUSING}:{name}" for label, name in CLASSES.items()),
    *(f"models.{label}.{option}" for label, options in MODELS.items() for option in options),
    f"budget.steps={STEPS}",
    "evaluate.tasks=effective_rank",
]
FIGURES = ("final_loss", "effective_rank", "pretrain_flops", "steps")


def trial(out: Path, label: str) -> Path:
    (folder,) = out.glob(f"{label}-s0-*")
    return folder


def phase_events(out: Path, label: str, kind: str) -> list[dict[str, Any]]:
    lines = (trial(out, label) / "events.jsonl").read_text().splitlines()
    return [e for e in map(json.loads, lines) if e.get("event") == kind and e.get("phase", "targets") == "targets"]


def last_state(out: Path, label: str) -> dict[str, Any]:
    return dict(json.loads(next(trial(out, label).glob("checkpoints/step-*/state.json")).read_text()))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, command: Command, greenbench: Call) -> Path:
    """Run all three models without interruption."""
    out = tmp_path_factory.mktemp("stages") / "whole"
    done = greenbench(command(out, *OPTIONS))
    assert done.returncode == 0, done.stderr
    return out


def kill_each(run: StoppableRun) -> None:
    """Kill every trial's trainer where it has stopped, and wait for the run's end."""
    for _ in MODELS:
        run.next_trainer().send_signal(signal.SIGKILL)
    assert run.end() == 4, run.output()


@pytest.mark.parametrize("label", MODELS)
def test_a_second_stage_is_booked_and_charged(label: str, whole: Path) -> None:
    result = json.loads((trial(whole, label) / "result.json").read_text())
    charged = [p["phase"] for p in result["phases"] if p["budgeted"]]
    assert [p for p in charged if p != "features"] == ["targets", "pretrain", "targets", "pretrain"]
    ledger = last_state(whole, label)["ledger"]
    again = ledger["charges"]["targets made anew"]["flops"]
    assert 0 < again < ledger["flops"]
    assert ledger["phases"]["targets"]["seconds"] > 0
    assert last_state(whole, label)["stage"] == 1
    kept = [p.name for p in trial(whole, label).glob("checkpoints/targets*")]
    assert kept == ["targets-1.safetensors"]


def test_a_kill_in_the_second_stage_changes_nothing(
    whole: Path, tmp_path: Path, command: Command, greenbench: Call, stoppable: Stoppable
) -> None:
    """At its first step the last checkpoint is the one that holds the new targets and, for two models, new weights."""
    out = tmp_path / "killed"
    kill_each(stoppable(command(out, *OPTIONS), f"step {STEPS // 2}"))
    assert not list(out.glob("*/result.json"))
    assert {label: last_state(out, label)["reason"] for label in MODELS} == dict.fromkeys(MODELS, "targets")
    done = greenbench(command(out, *OPTIONS))
    assert done.returncode == 0, done.stderr
    for label in MODELS:
        assert rows(out)[label]["resumed"] == "1"
        assert len(phase_events(out, label, "begin")) == 2
        for key in FIGURES:
            assert rows(out)[label][key] == rows(whole)[label][key], (label, key)


def test_a_kill_while_targets_are_made_anew_makes_them_again(
    whole: Path, tmp_path: Path, command: Command, greenbench: Call, stoppable: Stoppable
) -> None:
    out = tmp_path / "killed"
    kill_each(stoppable(command(out, *OPTIONS), "k-means on own features: fitting"))
    for label in MODELS:
        assert (len(phase_events(out, label, "begin")), len(phase_events(out, label, "end"))) == (2, 1)
    done = greenbench(command(out, *OPTIONS))
    assert done.returncode == 0, done.stderr
    for label in MODELS:
        for key in FIGURES:
            assert rows(out)[label][key] == rows(whole)[label][key], (label, key)
