"""Damaged run folders: nothing vanishes, nothing changes silently, and what the journals hold is computed again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from greenbench.errors import DataError
from greenbench.records import EVENTS, MANIFEST, OUTCOME, POWER, RESULT, find_trials, load_trial
from greenbench.report.claims import claims_of
from greenbench.report.collect import collect
from greenbench.report.tables.csv_files import result_row
from greenbench.report.tables.trials import trials_table
from greenbench.report.text.verdict import verdict_sentence
from greenbench.report.text.warnings import warnings_of
from greenbench.trial.finish import recover
from tests.report.folders import ECO, HUBERT, LOGMEL, MELHUBERT, write_run

FIXTURE = Path(__file__).parents[1] / "fixtures" / "run-schema-2"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", arms=(ECO, HUBERT, MELHUBERT, LOGMEL), seeds=2, budget_s=9, power=False)


def texts(run: Path) -> str:
    return "\n".join(w.text for w in warnings_of(collect([run])))


@pytest.mark.parametrize("content", [None, '{"label": "melh', "[]"])
def test_a_trial_without_a_readable_manifest_is_shown_and_stays_the_baseline(run: Path, content: str | None) -> None:
    for folder in run.glob("melhubert-*"):
        (folder / MANIFEST).unlink()
        if content is not None:
            (folder / MANIFEST).write_text(content)
    (setting,) = collect([run])
    assert setting.baseline is not None
    assert setting.baseline.label == "melhubert"
    assert "the baseline melhubert has no usable trial" in verdict_sentence(setting, claims_of(setting))
    assert claims_of(setting).found == {}
    shown = {(row.cells[0].text, row.cells[1].text): row.cells[2].text for row in trials_table([setting]).rows}
    assert shown["melhubert", "0"] == shown["melhubert", "1"] == "damaged"
    assert len(shown) == 8
    assert "Damaged: " in texts(run)
    assert MANIFEST in texts(run)
    row = result_row(next(t for t in setting.trials if t.label == "melhubert"))
    assert (row["model"], row["status"]) == ("melhubert", "damaged")


def test_readers_that_claim_something_refuse_a_lost_manifest_in_place_of_overlooking_it(run: Path) -> None:
    (next(run.glob("melhubert-s0-*")) / MANIFEST).unlink()
    with pytest.raises(DataError, match=f"melhubert-s0-.*{MANIFEST}"):
        find_trials([run])


def test_a_truncated_result_that_cannot_be_computed_again_refuses_no_report(run: Path) -> None:
    path = next(run.glob("eco-s1-*")) / RESULT
    path.write_bytes(path.read_bytes()[:900])
    (setting,) = collect([run])
    eco = next(arm for arm in setting.arms if arm.label == "eco")
    assert [trial.status for trial in eco.trials] == ["ok", "damaged"]
    assert len(eco.counted) == 1
    assert f"{OUTCOME} is missing" in texts(run)
    assert "remove the trial's folder" not in texts(run)


def test_a_truncated_result_is_computed_again_from_whole_journals(tmp_path: Path) -> None:
    run = shutil.copytree(FIXTURE, tmp_path / "run")
    folder = next(run.glob("eco-*"))
    before = load_trial(folder)
    path = folder / RESULT
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (setting,) = collect([run])
    (trial,) = setting.trials
    for name in ("energy_total_j", "energy_budgeted_j", "phones_per_pct", "wall_s", "steps", "pretrain_flops"):
        assert trial.figure(name) == pytest.approx(before.figure(name)), name
    assert "was damaged; every figure of this trial was computed again" in texts(run)
    assert path.stat().st_size == before_size(FIXTURE) // 2, "a report writes nothing into a run folder"


def before_size(fixture: Path) -> int:
    return next(fixture.glob(f"eco-*/{RESULT}")).stat().st_size


def test_a_folder_given_twice_counts_once_and_says_so(run: Path) -> None:
    trial = next(run.glob("eco-s0-*"))
    (setting,) = collect([run, run / ".." / run.name, trial])
    assert len(setting.trials) == 8
    assert {arm.label for arm in setting.contestants} == {"eco", "hubert", "melhubert"}
    assert any("Given more than once, counted once: " in note for note in setting.notes)
    assert len(find_trials([run, run])) == 8


def test_a_missing_power_journal_is_warned_of(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", arms=(ECO, MELHUBERT), seeds=1, budget_s=9, hz=1)
    assert POWER not in texts(run)
    (next(run.glob("eco-*")) / POWER).unlink()
    (warning,) = (w for w in warnings_of(collect([run])) if POWER in w.text)
    assert warning.fault
    assert warning.where == "eco-s0"


def test_a_stand_in_for_the_stated_baseline_is_named(run: Path) -> None:
    for folder in run.glob("melhubert-*"):
        shutil.rmtree(folder)
    (setting,) = collect([run])
    assert any(note.startswith("The baseline melhubert is not among these runs; ") for note in setting.notes)


def test_a_folder_with_journals_only_is_a_damaged_trial(run: Path) -> None:
    folder = next(run.glob("hubert-s0-*"))
    for path in folder.iterdir():
        if path.name != EVENTS:
            path.unlink()
    (setting,) = collect([run])
    assert [t.status for t in setting.trials if t.label == "hubert"] == ["damaged", "ok"]


def test_the_next_run_writes_a_torn_result_anew_and_puts_aside_what_it_cannot(tmp_path: Path) -> None:
    run = shutil.copytree(FIXTURE, tmp_path / "run")
    folder = next(run.glob("eco-*"))
    before = load_trial(folder)
    (folder / RESULT).write_text('{"schema_version": 2, "row": {"ener')
    recover(folder)
    assert load_trial(folder).figure("energy_total_j") == pytest.approx(before.figure("energy_total_j"))
    (folder / RESULT).write_text("{")
    (folder / OUTCOME).write_text("{")
    recover(folder)
    assert not load_trial(folder).complete
    assert (folder / f"{RESULT}.damaged").read_text() == "{"
