"""What has learnt nothing is said first, and nothing that costs less is praised for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenbench.report.arms import Setting
from greenbench.report.claims import claims_of, is_merit, target_of
from greenbench.report.collect import collect
from greenbench.report.learning import learnt_nothing
from greenbench.report.tables.comparison import comparison
from greenbench.report.tables.targets import targets_note
from greenbench.report.text.next_steps import next_steps
from greenbench.report.text.verdict import learnt_sentence, verdict_sentence
from tests.report.folders import ECO, HUBERT, LOGMEL, MELHUBERT, Arm, write_run

# As a minute of training leaves them: only eco is ahead of untrained weights, hubert is behind log-mel, too.
UNLEARNT = (
    Arm("eco", "efficient", 46.8, 38, 2_100_000, 0.9e9),
    Arm("melhubert", "efficient", 67.7, 42, 4_900_000, 4.1e9),
    Arm("hubert", "predictive", 81.9, 44, 1_300_000, 0.5e9),
    Arm("logmel", "control", 72.1, 30, control="logmel"),
    Arm("random", "control", 60.2, 30, control="random:eco"),
)


def setting_of(path: Path, arms: tuple[Arm, ...], seeds: int = 1) -> Setting:
    (setting,) = collect([write_run(path, arms=arms, seeds=seeds, power=False, budget_s=9, spread=0.002)])
    return setting


@pytest.fixture(scope="module")
def unlearnt(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    return setting_of(tmp_path_factory.mktemp("unlearnt") / "run", UNLEARNT)


def test_the_verdict_begins_with_what_has_learnt_nothing(unlearnt: Setting) -> None:
    assert [arm.label for arm in learnt_nothing(unlearnt)] == ["melhubert", "hubert"]
    text = verdict_sentence(unlearnt, claims_of(unlearnt))
    assert text.startswith("Only eco has learnt: the other 2 models (melhubert and hubert) have learnt nothing")
    assert "no better than untrained weights (those of eco, " in text
    assert "hubert not even better than log-mel features" in text
    assert "melhubert, a baseline that has not learnt" in text


def test_the_table_marks_them(unlearnt: Setting) -> None:
    flags = {row.cells[0].text: row.cells[0].flag for row in comparison(unlearnt, claims_of(unlearnt)).rows}
    assert flags["melhubert"] == flags["hubert"] == "worse than untrained weights"
    assert flags["eco"] == ""


def test_the_target_is_one_that_untrained_weights_do_not_reach(unlearnt: Setting) -> None:
    target = target_of(unlearnt)
    free = min(control.mean("phones_per_pct") or 0 for control in unlearnt.controls)
    assert target is not None
    assert target.value == pytest.approx(free - 1.0)
    assert "without any pretraining" in targets_note(unlearnt)


def test_where_all_have_learnt_the_target_is_the_baselines_and_nothing_is_said(tmp_path: Path) -> None:
    setting = setting_of(tmp_path / "r", (ECO, MELHUBERT, LOGMEL))
    assert learnt_sentence(setting) == ""
    target = target_of(setting)
    assert target is not None
    assert setting.baseline is not None
    assert (target.value, target.control) == (setting.baseline.mean("phones_per_pct"), None)


def test_no_cost_is_marked_for_a_model_that_has_not_learnt_or_is_not_shown_to_be_as_good(unlearnt: Setting) -> None:
    for row in comparison(unlearnt, claims_of(unlearnt)).rows:
        assert {cell.verdict for cell in row.cells[2:]} <= {"", "not enough runs"}


def test_a_cost_is_marked_where_quality_is_shown(tmp_path: Path) -> None:
    setting = setting_of(tmp_path / "r", (ECO, MELHUBERT, HUBERT, LOGMEL), seeds=5)
    claims = claims_of(setting)
    assert claims.verdict("eco", "params") == "better"
    assert claims.verdict("hubert", "params") == ""
    assert claims.get("hubert", "params") is not None


def test_fewer_flops_are_no_merit_under_equal_seconds(tmp_path: Path) -> None:
    setting = setting_of(tmp_path / "r", (ECO, MELHUBERT, LOGMEL), seeds=5)
    assert not is_merit(setting, "pretrain_flops")
    assert is_merit(setting, "peak_memory_bytes")
    assert claims_of(setting).verdict("eco", "pretrain_flops") == ""
    heads = {head.text: head.arrow for head in comparison(setting, claims_of(setting)).columns}
    assert heads["Pretraining FLOPs"] == ""


def test_next_steps_give_commands(unlearnt: Setting) -> None:
    commands = [step.command for step in next_steps([unlearnt], [claims_of(unlearnt)])]
    assert any(command.endswith("--seeds 5") or " --seeds " in command for command in commands)
    assert "greenbench doctor" in commands
