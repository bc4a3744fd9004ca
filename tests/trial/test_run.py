"""``greenbench run`` as a user meets it: real processes, a real kill -9, a real Ctrl-C."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.trial.conftest import StoppableRun, rows

Command = Callable[..., list[str]]
Call = Callable[[list[str]], "subprocess.CompletedProcess[str]"]
Stoppable = Callable[[list[str], str], StoppableRun]

pytestmark = pytest.mark.slow
STEPS = 24
WHOLE = (f"budget.steps={STEPS}", "carbon.region=FRA")
EVERY_STEP = ("train.checkpoint_seconds=1e-9", "train.log_seconds=1e-9")


def row(out: Path) -> dict[str, str]:
    (found,) = rows(out).values()
    return found


def resumed_at(out: Path) -> list[int]:
    lines = [json.loads(line) for path in out.glob("eco-*/events.jsonl") for line in path.read_text().splitlines()]
    return [event["step"] for event in lines if event.get("event") == "resume"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, command: Command, greenbench: Call) -> Path:
    """Run all steps without interruption."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    done = greenbench(command(out, *WHOLE, report=True))
    assert done.returncode == 0, done.stderr
    return out


def test_a_run_leaves_results_with_units_and_no_invented_figures(finished: Path) -> None:
    found = row(finished)
    assert found["status"] == "ok"
    assert float(found["budget_spent"]) == STEPS == float(found["steps"])
    assert float(found["budget_overshoot_pct"]) == 0
    assert found["energy_source"] in ("measured", "modelled", "mixed")
    assert 0 < float(found["energy_budgeted_j"]) < float(found["energy_total_j"])
    assert float(found["co2e_low_g"]) <= float(found["co2e_g"]) <= float(found["co2e_high_g"])
    assert float(found["characters_cer_pct"]) > 0
    # No crash, no GPU, no phone labels: those cells are empty, not 0.
    assert found["energy_wasted_j"] == found["gpu"] == found["phones_per_pct"] == ""
    assert not [name for name, value in found.items() if value.lower() in ("nan", "inf", "none", "null")]


def test_tasks_that_the_labels_do_not_allow_are_named_with_the_reason(finished: Path) -> None:
    result = json.loads(next(finished.glob("eco-*/result.json")).read_text())
    assert "alignment" in result["left_out"]["phones"]
    assert "characters" in result["tasks"]


def test_every_phase_of_the_budget_is_booked_with_its_energy(finished: Path) -> None:
    phases = json.loads(next(finished.glob("eco-*/result.json")).read_text())["phases"]
    names = [p["phase"] for p in phases]
    for name in ("idle", "setup", "features", "targets", "pretrain", "checkpoint", "evaluate"):
        assert name in names
    assert {p["phase"] for p in phases if p["budgeted"]} == {"features", "targets", "pretrain"}
    assert all(p["energy_j"] > 0 for p in phases if p["duration_s"] > 0.2)


def test_checkpoints_are_safetensors_never_pickle(finished: Path) -> None:
    files = [p.name for p in finished.glob("eco-*/checkpoints/**/*") if p.is_file()]
    assert "model.safetensors" in files
    assert all(name.endswith((".safetensors", ".json")) for name in files)


def test_a_finished_folder_trains_nothing_and_says_so(finished: Path, command: Command, greenbench: Call) -> None:
    before = {p: p.stat().st_mtime_ns for p in finished.glob("eco-*/*")}
    done = greenbench(command(finished, *WHOLE))
    assert done.returncode == 0, done.stderr
    assert "nothing to train" in done.stdout
    assert {p: p.stat().st_mtime_ns for p in finished.glob("eco-*/*")} == before


def test_a_curve_trains_at_every_part_of_the_budget_and_reports_all_together(
    command: Command, greenbench: Call, tmp_path: Path
) -> None:
    out = tmp_path / "curve"
    arguments = command(out, "budget.steps=8", report=True)
    arguments[arguments.index("run")] = "curve"
    arguments += ["--shares", "1, 1/4"]
    done = greenbench(arguments)
    assert done.returncode == 0, done.stderr
    with (out / "report" / "results.csv").open(encoding="utf-8") as file:
        assert sorted(float(found["steps"]) for found in csv.DictReader(file)) == [2, 8]
    assert "over 2 budgets" in (out / "report" / "index.html").read_text(encoding="utf-8")
    again = greenbench([*arguments, "--json"])
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["runs"] == [str(out / "steps-2"), str(out / "steps-8")]
    assert len(list(out.glob("steps-*/eco-*/result.json"))) == 2


def test_a_model_pretrained_on_two_folders_is_scored_on_a_third_corpus(
    command: Command, greenbench: Call, speech_folder: Path, tmp_path: Path
) -> None:
    """The scored corpus has other labels and speakers; its manifest stands beside the one that was trained on."""
    other = tmp_path / "other"
    shutil.copytree(speech_folder, other)
    digits = tmp_path / "digits"
    digits.mkdir()
    lines = ["path\tspeaker\tkeyword"]
    for number, source in enumerate(sorted(speech_folder.glob("*.wav"))):
        shutil.copy(source, digits / source.name)
        lines.append(f"{source.name}\ts{number % 3}\t{'yes' if number % 2 else 'no'}")
    (digits / "manifest.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    out = tmp_path / "run"
    data = f"folder:{speech_folder} + folder:{other}"
    done = greenbench(
        command(
            out, "budget.steps=3", f"suite.data={data}", f"evaluate.data=folder:{digits}", "evaluate.tasks=keywords"
        )
    )
    assert done.returncode == 0, done.stderr
    assert float(row(out)["keywords_error_pct"]) >= 0
    manifest = json.loads(next(out.glob("eco-*/manifest.json")).read_text())
    assert manifest["data"]["fingerprint"] != manifest["evaluate_data"]["fingerprint"]
    assert manifest["evaluate_data"]["spec"] == f"folder:{digits}"


def test_augmentation_of_a_suite_changes_what_is_trained_on_and_is_recorded(
    finished: Path, command: Command, greenbench: Call, tmp_path: Path
) -> None:
    out = tmp_path / "noisy"
    noisy = ("train.augment.noise_probability=1.0", "train.augment.snr_db=0,5", "evaluate.tasks=")
    done = greenbench(command(out, f"budget.steps={STEPS}", *noisy))
    assert done.returncode == 0, done.stderr
    assert row(out)["final_loss"] != row(finished)["final_loss"]
    manifest = json.loads(next(out.glob("eco-*/manifest.json")).read_text())
    assert manifest["config"]["train"]["augment"]["snr_db"] == [0.0, 5.0]
    refused = greenbench(
        command(
            tmp_path / "bad",
            "budget.steps=1",
            "train.augment.noise=/no/such/folder",
            "train.augment.noise_probability=0.5",
        )
    )
    assert refused.returncode != 0
    assert "/no/such/folder" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_another_budget_in_the_same_folder_is_refused_with_the_key(
    finished: Path, command: Command, greenbench: Call
) -> None:
    done = greenbench(command(finished, "budget.steps=7"))
    assert done.returncode == 2
    assert "budget.steps" in done.stderr
    assert "choose another --out" in done.stderr


def test_a_trial_killed_in_mid_training_ends_like_an_uninterrupted_one(
    finished: Path, tmp_path: Path, stoppable: Stoppable, command: Command, greenbench: Call
) -> None:
    out = tmp_path / "killed"
    run = stoppable(command(out, *WHOLE, *EVERY_STEP), f"step {STEPS // 2}")
    run.next_trainer().send_signal(signal.SIGKILL)
    assert run.end() == 4, run.output()
    assert not list(out.glob("eco-*/result.json")), "a killed trial must not look complete"
    done = greenbench(command(out, *WHOLE, *EVERY_STEP))
    assert done.returncode == 0, done.stderr
    assert not (out / "report").exists(), "--no-report"
    assert resumed_at(out) == [STEPS // 2]
    killed, whole = row(out), row(finished)
    assert killed["resumed"] == "1"
    assert killed["final_loss"] == whole["final_loss"]
    assert killed["characters_cer_pct"] == whole["characters_cer_pct"]
    assert float(killed["energy_wasted_j"]) > 0


def test_killing_the_whole_run_leaves_no_process_behind_and_resumes(
    finished: Path, tmp_path: Path, stoppable: Stoppable, command: Command, greenbench: Call
) -> None:
    out = tmp_path / "killed"
    run = stoppable(command(out, *WHOLE, *EVERY_STEP), f"step {STEPS // 2}")
    trainer = run.next_trainer()
    children = psutil.Process(run.process.pid).children(recursive=True)
    assert trainer in children
    run.process.kill()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive, f"still running: {alive}"
    done = greenbench(command(out, *WHOLE, *EVERY_STEP))
    assert done.returncode == 0, done.stderr
    assert resumed_at(out) == [STEPS // 2]
    assert row(out)["final_loss"] == row(finished)["final_loss"]


def test_ctrl_c_writes_a_checkpoint_exits_130_and_says_how_to_go_on(
    finished: Path, tmp_path: Path, stoppable: Stoppable, command: Command, greenbench: Call
) -> None:
    out = tmp_path / "stopped"
    run = stoppable(command(out, *WHOLE), "step 5")
    run.next_trainer()  # sleeps in its sixth step until the run passes the signal on
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 130, run.output()
    resume = re.search(r"greenbench run --resume (\S+)", run.output())
    assert resume, run.output()
    assert [path.name for path in out.glob("eco-*/checkpoints/step-*")] == ["step-000000006"]
    done = greenbench([*command(out)[:3], "run", "--resume", resume.group(1)])
    assert done.returncode == 0, done.stderr
    assert row(out)["final_loss"] == row(finished)["final_loss"]
    assert row(out)["resumed"] == "1"


def test_two_runs_in_one_folder_at_once_are_refused(
    tmp_path: Path, stoppable: Stoppable, command: Command, greenbench: Call
) -> None:
    out = tmp_path / "busy"
    stoppable(command(out, *WHOLE), "step 1").next_trainer()
    second = greenbench(command(out, *WHOLE))
    assert second.returncode == 2
    assert "another greenbench run works in this folder" in second.stderr


def test_an_own_model_from_a_file_that_fails_marks_the_trial_and_exits_4(
    tmp_path: Path, command: Command, greenbench: Call
) -> None:
    own = tmp_path / "mine.py"
    own.write_text(
        "import torch\nfrom greenbench.models.base import Upstream\n"
        "class Mine(Upstream):\n"
        "    def __init__(self):\n        super().__init__()\n        self.w = torch.nn.Linear(4, 4)\n"
        "    def loss(self, batch, info):\n        return self.w.weight.sum() * float('nan'), {}\n"
        "    def hidden_states(self, batch):\n        return [batch.waveform[:, ::320, None].repeat(1, 1, 4)]\n"
    )
    out = tmp_path / "out"
    done = greenbench(command(out, "budget.steps=5", model=f"mine={own}:Mine"))
    assert done.returncode == 4, done.stderr
    assert "diverged" in done.stderr
    assert "Traceback" not in done.stderr
