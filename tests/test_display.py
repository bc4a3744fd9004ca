"""What a run says while it works: few lines without a terminal, the phase's own progress, the suite's end."""

from __future__ import annotations

import pytest

from greenbench.display import PlainDisplay, describe
from greenbench.progress import SuiteClock, TrialStatus


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that a test sets: ``clock[0]`` are its seconds."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_ten_hours_of_training_are_some_hundred_lines_of_log(
    clock: list[float], capfd: pytest.CaptureFixture[str]
) -> None:
    display = PlainDisplay("seconds", 36_000)
    display.trial("eco-s0-abc", 1, 1)
    for second in range(36_000):
        clock[0] = 1000.0 + second
        display.update(TrialStatus("pretrain", spent=float(second)))
    lines = capfd.readouterr().err.splitlines()
    assert 100 < len(lines) < 200
    assert "5.0 s spent" in "".join(lines[:4]), "the first minute is not kept waiting"


def test_a_new_phase_is_said_at_once(clock: list[float], capfd: pytest.CaptureFixture[str]) -> None:
    display = PlainDisplay("seconds", 45)
    display.trial("eco-s0-abc", 1, 1)
    for phase in ("setup", "pretrain", "evaluate"):
        clock[0] += 0.1
        display.update(TrialStatus(phase))
    assert [line.rsplit(" ", 1)[1] for line in capfd.readouterr().err.splitlines()[1:]] == [
        "setup",
        "pretrain",
        "evaluate",
    ]


def test_evaluation_shows_its_own_progress_not_an_empty_budget() -> None:
    status = TrialStatus("evaluate", "phones: head", 0.4, spent=45.0, loss=1.2, audio_s_per_s=100.0, power_w=30.0)
    shown = describe(status, "seconds", 45.0)
    assert shown[0] == "evaluate phones: head 40%"
    assert not any("left" in text or "loss" in text or "audio" in text for text in shown)


def test_training_shows_budget_loss_and_speed() -> None:
    shown = describe(TrialStatus("pretrain", spent=5.0, loss=1.2, audio_s_per_s=100.0), "seconds", 45.0)
    assert "5.0 s spent, 40.0 s left" in shown
    assert "loss 1.200" in shown


def test_the_suites_end_is_foreseen_from_what_its_trials_took() -> None:
    clock = SuiteClock(["eco", "hubert", "logmel", "eco"], {"eco": 60.0, "hubert": 60.0, "logmel": 20.0})
    assert clock.left_s() == 200.0
    clock.ended(90.0)
    assert clock.left_s() == 60.0 + 20.0 + 90.0
    assert "the suite ends about" in clock.end_words()
    for _ in range(3):
        clock.ended(1.0)
    assert clock.end_words() == ""


def test_where_nothing_is_known_of_a_kind_no_end_is_said() -> None:
    clock = SuiteClock(["eco", "eco"], {"eco": None})
    assert clock.end_words() == ""
    clock.ended(10.0)
    assert clock.left_s() == 10.0
