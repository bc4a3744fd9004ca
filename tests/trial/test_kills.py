"""``kill -9`` at exact operations of a run; ``python -m benchmarks.kill_and_resume`` does it a hundred times."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fake_nvml import compiler
from tests.kills.choice import Kill
from tests.kills.commands import write_speech
from tests.kills.killing import Folders, Round
from tests.kills.stops import Stop, Stops
from tests.kills.verdict import compare

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux" or compiler() is None, reason="LD_PRELOAD and a C compiler are needed"),
]
CHECKPOINT = '"event": "begin", "phase": "checkpoint"'


def test_a_run_killed_at_its_worst_moments_ends_like_the_one_that_nobody_killed(tmp_path: Path) -> None:
    """The suite half written; a checkpoint that no event tells of yet; all but the rename of the result done."""
    folders, rows = Folders(tmp_path / "disk", tmp_path), list[dict[str, Any]]()
    folders.small.mkdir()
    write_speech(folders.speech)
    whole = Folders(tmp_path / "whole", tmp_path)
    assert whole.start({}, tmp_path / "stderr").wait() == 0, (tmp_path / "stderr").read_text()
    kills = [
        Kill(0, "start", "harness", Stop("harness", op="rename", path="suite.toml"), 0.0),
        Kill(
            1, "checkpoint", "all", Stop("trainer", CHECKPOINT, 2, "rename", "step-", after=True), 0.0, "clock", -3600.0
        ),
        Kill(2, "training", "sampler", Stop("trainer", op="write", path="metrics.jsonl"), 0.0),
        Kill(3, "result", "harness", Stop("harness", op="rename", path="result.json"), 0.0),
    ]
    run = Round(folders, Stops(tmp_path / "stops"), kills, rows.append)
    run.run()
    assert [(row["phase"], row["hit"]) for row in rows] == [
        ("start", "harness"),
        ("checkpoint", "all"),
        ("training", "sampler"),
        ("result", "harness"),
    ]
    assert run.starts == 4
    assert [*run.faults, *compare(whole.out, folders.out, run.done).faults] == []
