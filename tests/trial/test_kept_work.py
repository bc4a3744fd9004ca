"""What a crash threw away is what the next session did not go on from: no more is wasted, and nothing is paid twice."""

from __future__ import annotations

import pytest

from greenbench.records import Event
from greenbench.trial.timeline import Timeline

S = 1_000_000_000


def crashed(*, checkpoint_event: bool, saved_s: float | None) -> Timeline:
    """Eight seconds of pretraining, saved after six, then a kill; the second session trains four seconds more."""
    events = [Event("session", 0), Event("begin", 2 * S, phase="pretrain"), Event("begin", 8 * S, phase="checkpoint")]
    if checkpoint_event:
        events += [Event("end", int(8.2 * S), phase="checkpoint"), Event("checkpoint", int(8.2 * S))]
    events += [Event("progress", 10 * S), Event("session", 20 * S)]
    events += [Event("resume", 22 * S, step=6, saved_ns=None if saved_s is None else int(saved_s * S))]
    events += [Event("begin", 22 * S, phase="pretrain"), Event("end", 26 * S, phase="pretrain"), Event("exit", 27 * S)]
    return Timeline(events)


def paid_s(timeline: Timeline) -> float:
    return sum(b - a for span in timeline.spans if span.charged for a, b in timeline.paid(span)) / S


@pytest.mark.parametrize("checkpoint_event", [True, False])
def test_work_that_was_saved_is_paid_for_even_if_the_kill_came_before_the_event_of_its_checkpoint(
    *, checkpoint_event: bool
) -> None:
    timeline = crashed(checkpoint_event=checkpoint_event, saved_s=8.1)
    assert timeline.wasted == [(int((8.2 if checkpoint_event else 8.1) * S), 20 * S)]
    assert paid_s(timeline) == pytest.approx(6 + 4)


def test_work_that_no_session_went_on_from_is_wasted_whatever_its_events_say() -> None:
    timeline = crashed(checkpoint_event=True, saved_s=-5.0)
    assert timeline.wasted == [(0, 20 * S)]
    assert paid_s(timeline) == pytest.approx(4)


def test_a_journal_without_the_moment_of_saving_is_read_by_its_checkpoints() -> None:
    assert crashed(checkpoint_event=True, saved_s=None).wasted == [(int(8.2 * S), 20 * S)]


def test_the_time_of_pretraining_leaves_out_what_was_done_again() -> None:
    timeline = crashed(checkpoint_event=True, saved_s=8.1)
    assert timeline.length_s("pretrain") == pytest.approx(8 + 4)
    assert timeline.kept_s("pretrain") == pytest.approx(6.2 + 4)
