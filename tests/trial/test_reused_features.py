"""Features on the disk: a trial that finds them there pays what the one paid that computed them."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenbench.budget import Ledger
from greenbench.config import BudgetSection
from greenbench.records import EVENTS, load_trial, read_jsonl
from greenbench.trial.features import REUSED
from greenbench.trial.finish import finish
from tests.fake_nvml import UUIDS, FakeDriver, FakeGpu, Load

Runs = dict[str, tuple[Path, dict[str, Any]]]


@pytest.fixture(scope="module")
def trials(
    tmp_path_factory: pytest.TempPathFactory, command: Callable[..., list[str]], environment: dict[str, str]
) -> Runs:
    """Run two seeds one after the other in an empty cache: the first computes, the second finds."""
    out = tmp_path_factory.mktemp("runs") / "two"
    options = ("budget.steps=40", "suite.seeds=[0, 1]", "evaluate.tasks=effective_rank")
    empty = {**environment, "GREENBENCH_CACHE": str(out.parent / "cache")}
    done = subprocess.run(command(out, *options, report=True), capture_output=True, text=True, env=empty)
    assert done.returncode == 0, done.stderr
    found = {path.parent.name: path for path in out.glob("eco-s*/result.json")}
    order = sorted(found, key=lambda name: found[name].stat().st_mtime_ns)
    return {
        key: (found[name].parent, json.loads(found[name].read_text()))
        for key, name in zip(("first", "second"), order, strict=True)
    }


def charges(folder: Path) -> list[dict[str, Any]]:
    return [event for event in read_jsonl(folder / EVENTS) if event.get("event") == "charge"]


@pytest.mark.slow
def test_the_second_trial_is_charged_what_the_first_one_measured(trials: Runs) -> None:
    (first, computed), (second, reused) = trials["first"], trials["second"]
    cache = first.parents[1] / "cache"
    (cost,) = (json.loads(path.read_text()) for path in cache.glob("features/*/cost-*.json"))
    assert charges(first) == []
    (charge,) = charges(second)
    assert (charge["origin"], charge["seconds"], charge["joules"]) == (REUSED, cost["seconds"], cost["joules"])
    # The first trial's own clock and meter saw the same work.
    (phase,) = (p for p in computed["phases"] if p["phase"] == "features")
    assert 0 < cost["seconds"] <= phase["duration_s"] < cost["seconds"] + 0.5
    for result in (computed, reused):
        spent = result["budget"]["spent"]
        assert spent["seconds"] > cost["seconds"]
        assert spent["flops"] == computed["budget"]["spent"]["flops"]


@pytest.mark.slow
def test_the_result_says_what_was_charged_and_counts_it_as_energy_of_the_budget(trials: Runs) -> None:
    folder, result = trials["second"]
    (charge,) = charges(folder)
    assert result["energy"]["charged"] == [
        {"origin": REUSED, "duration_s": charge["seconds"], "energy_j": charge["joules"]}
    ]
    assert result["row"]["energy_charged_j"] == charge["joules"] > 0
    assert "energy_charged_j" not in trials["first"][1]["row"]
    energy = result["energy"]["budgeted"]
    assert energy["energy_low_j"] <= energy["energy_j"] <= energy["energy_high_j"]
    assert energy["energy_j"] == pytest.approx(result["budget"]["spent"]["joules"], rel=0.2)
    with (folder.parent / "report" / "results.csv").open(encoding="utf-8") as file:
        cells = [row["energy_charged_j"] for row in csv.DictReader(file)]
    assert sorted(bool(cell) for cell in cells) == [False, True]


@pytest.mark.slow
def test_a_charge_that_a_crash_threw_away_is_counted_once(trials: Runs, tmp_path: Path) -> None:
    """The first session died after its charge and before a checkpoint; the next one was charged again."""
    folder = tmp_path / "killed"
    shutil.copytree(trials["second"][0], folder)
    events = list(read_jsonl(folder / EVENTS))
    at = next(i for i, event in enumerate(events) if event.get("event") == "charge")
    # Everything up to the charge happened once before, a little earlier, and was cut off there.
    ago_ns = events[-1]["t_mono_ns"] - events[0]["t_mono_ns"]
    dead = [{**event, "t_mono_ns": event["t_mono_ns"] - ago_ns} for event in events[: at + 1]]
    again = [{**event, "session": 1} if event.get("event") == "session" else event for event in events]
    (folder / EVENTS).write_text("".join(json.dumps(event) + "\n" for event in (*dead, *again)))
    result = finish(load_trial(folder)).result
    assert result is not None
    assert result.resumed == 1
    assert len(result.energy.charged) == 1


@pytest.mark.slow
def test_with_a_cards_joules_and_features_in_the_devices_memory_the_second_trial_pays_the_same(
    driver: FakeDriver, command: Callable[..., list[str]], environment: dict[str, str], tmp_path: Path
) -> None:
    """The path that a GPU takes, on a device that is here; the card is a fake driver's, 200 W all the time."""
    driver.program(FakeGpu(Load.constant(200)))
    options = ("budget.steps=6", "suite.seeds=[0, 1]", "evaluate.tasks=", "train.resident=whole")
    card = ("power.sources=nvml", f"power.devices={UUIDS[0]}")
    around = {**environment, **driver.environment, "GREENBENCH_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command(tmp_path / "out", *options, *card), capture_output=True, text=True, env=around)
    assert done.returncode == 0, done.stderr
    results = sorted((tmp_path / "out").glob("eco-s*/result.json"), key=lambda path: path.stat().st_mtime_ns)
    (cost,) = (json.loads(path.read_text()) for path in (tmp_path / "cache").glob("features/*/cost-*.json"))
    assert [[(c["seconds"], c["joules"]) for c in charges(path.parent)] for path in results] == [
        [],
        [(cost["seconds"], cost["joules"])],
    ]
    assert cost["joules"] > 0
    (frames,) = (tmp_path / "cache").glob("features/*/frames.f16")
    for path in results:
        result = json.loads(path.read_text())
        begins = [e for e in read_jsonl(path.parent / EVENTS) if (e["event"], e.get("phase")) == ("begin", "features")]
        assert [(e["charged"], e.get("into"), e.get("bytes")) for e in begins] == [
            (True, None, None),
            (True, "cpu", frames.stat().st_size),
        ]
        assert result["budget"]["spent"]["seconds"] > cost["seconds"]
        assert result["row"]["steps"] == 6


@pytest.mark.parametrize(("kind", "limit"), [("seconds", 20.0), ("joules", 200.0), ("flops", 2e6)])
def test_a_charged_trial_takes_as_many_steps_as_one_that_computes(kind: str, limit: float) -> None:
    """Features of 5 s, 50 J and 5e5 FLOPs, once by the clock and once by the charge, under each kind of budget."""

    def steps(*, reused: bool) -> tuple[int, float]:
        now = {"ns": 0}
        ledger = Ledger(BudgetSection(**{kind: limit}), clock=lambda: now["ns"], live=lambda: now["ns"] * 10 / 1e9)
        with ledger.phase("features"):
            if reused:
                ledger.charge(seconds=5.0, joules=50.0, origin=REUSED)
            else:
                now["ns"] += 5_000_000_000
        ledger.charge(flops=5e5, origin="features and targets")
        with ledger.phase("pretrain"):
            while (share := ledger.next_step_share(flops=1e4)) > 0:
                now["ns"] += round(100_000_000 * share)
                ledger.step_done(audio_s=1.0, flops=1e4 * share)
        return ledger.steps, ledger.overshoot_pct()

    assert steps(reused=True) == steps(reused=False)
    assert steps(reused=True)[0] >= 150
    assert abs(steps(reused=True)[1]) < 1
