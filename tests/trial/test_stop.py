"""Ctrl-C in every phase of a run: a line at once, exit 130, no trial marked failed, no next trial, and on it goes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.trial.conftest import StoppableRun

Command = Callable[..., list[str]]
Call = Callable[[list[str]], "subprocess.CompletedProcess[str]"]
Stoppable = Callable[[list[str], str], StoppableRun]

pytestmark = pytest.mark.slow
SHORT = ("budget.steps=3", "evaluate.tasks=effective_rank")
NEVER = "nowhere"


def events(out: Path) -> list[dict[str, Any]]:
    found = []
    for path in out.glob("*/events.jsonl"):
        for line in path.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:  # being written
                continue
    return found


def wait_for_phase(run: StoppableRun, out: Path, phase: str) -> None:
    """Wait until a trial's journal says that the phase began."""
    while not any(e.get("event") == "begin" and e.get("phase") == phase for e in events(out)):
        assert run.process.poll() is None, run.output()
        time.sleep(0.02)


def stop(run: StoppableRun) -> str:
    """Press Ctrl-C once; return what the run said."""
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 130, run.output()
    assert "Traceback" not in run.output()
    assert "FAILED" not in run.output()
    return run.output()


def resume(out: Path, greenbench: Call, *overrides: str) -> None:
    options = [part for text in overrides for part in ("-o", text)]
    done = greenbench([sys.executable, "-m", "greenbench", "run", "--resume", str(out), *options])
    assert done.returncode == 0, done.stderr
    results = [json.loads(path.read_text()) for path in out.glob("*/result.json")]
    assert [result["status"] for result in results] == ["ok"]
    assert results[0]["resumed"] == 1


@pytest.mark.parametrize("place", ["setup", "targets", "checkpoint", "evaluate"])
def test_ctrl_c_in_a_phase_of_the_trainer_ends_the_suite_and_is_resumable(
    place: str, tmp_path: Path, stoppable: Stoppable, command: Command, greenbench: Call
) -> None:
    out = tmp_path / "run"
    every_step = ("train.checkpoint_seconds=1e-9",) if place == "checkpoint" else ()
    run = stoppable(command(out, *SHORT, *every_step), place)
    run.next_trainer()
    wait_for_phase(run, out, place)
    said = stop(run)
    assert "stopping eco-" in said
    assert f"greenbench run --resume {out}" in said
    assert not list(out.glob("*/result.json"))
    resume(out, greenbench)
    if place == "evaluate":  # training is not repeated, and what evaluation did before counts as wasted
        assert [e["step"] for e in events(out) if e.get("event") == "resume"] == [3]
        (result,) = (json.loads(path.read_text()) for path in out.glob("*/result.json"))
        assert result["row"]["energy_wasted_j"] > 0
        assert result["row"]["steps"] == 3


@pytest.mark.parametrize("phase", ["idle", "features"])
def test_ctrl_c_outside_the_model_is_no_other(
    phase: str, tmp_path: Path, stoppable: Stoppable, command: Command, greenbench: Call
) -> None:
    out = tmp_path / "run"
    minutes = ("protocol.idle_seconds=600",) if phase == "idle" else ()
    run = stoppable(command(out, *SHORT, *minutes), NEVER)
    wait_for_phase(run, out, phase)
    said = stop(run)
    assert "stopping eco-" in said
    resume(out, greenbench, "protocol.idle_seconds=0.2")


def test_a_trainer_that_does_not_stop_is_killed_and_the_suite_ends_without_a_failed_trial(
    tmp_path: Path, stoppable: Stoppable, command: Command
) -> None:
    out = tmp_path / "run"
    run = stoppable(command(out, *SHORT, "suite.seeds=[0, 1]"), "deaf at step 1")
    trainer = run.next_trainer()
    stop(run)
    assert not trainer.is_running()
    assert len(list(out.glob("eco-*"))) == 1, "the suite went on to the next trial"
    assert not list(out.glob("*/result.json"))


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path, stoppable: Stoppable, command: Command) -> None:
    out = tmp_path / "run"
    run = stoppable(command(out, *SHORT), "deaf at step 1")
    trainer = run.next_trainer()
    run.process.send_signal(signal.SIGINT)
    while "Ctrl-C again stops hard" not in run.output():
        assert run.process.poll() is None
        time.sleep(0.02)
    children = psutil.Process(run.process.pid).children(recursive=True)
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 130, run.output()
    assert "hard" in run.output()
    _, alive = psutil.wait_procs([trainer, *children], timeout=60)
    assert not alive


def test_a_request_to_terminate_is_a_ctrl_c(tmp_path: Path, stoppable: Stoppable, command: Command) -> None:
    out = tmp_path / "run"
    run = stoppable(command(out, *SHORT), "step 1")
    run.next_trainer()
    run.process.send_signal(signal.SIGTERM)
    assert run.end() == 130, run.output()
    assert [path.name for path in out.glob("eco-*/checkpoints/step-*")] == ["step-000000002"]
