"""What happened in a trial and when: the journal of events, and the phases that it tells of.

Times are ``time.monotonic_ns`` of the host's boot, with wall time beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

PHASES = ("idle", "idle_context", "setup", "features", "targets", "compile", "pretrain", "checkpoint", "evaluate")
BUDGETED_PHASES = ("features", "targets", "compile", "pretrain")


@dataclass(frozen=True)
class PhaseSpan:
    """One interval of a phase, from its begin event to its end (or to the last sign of life before a crash)."""

    phase: str
    begin_ns: int
    end_ns: int
    session: int
    complete: bool

    @property
    def duration_s(self) -> float:
        """The length in seconds."""
        return (self.end_ns - self.begin_ns) / 1e9


def phase_spans(events: Iterable[Mapping[str, Any]]) -> list[PhaseSpan]:
    """Read the phases off the journal, in order. A phase without an end (a crash) ends at its session's last event."""
    spans: list[PhaseSpan] = []
    open_phase: dict[str, int] = {}
    session, last_ns = 0, 0
    for event in events:
        kind, now = event.get("event"), int(event["t_mono_ns"])
        if kind == "warning":  # written after the fact, when the trial and its sampler have ended
            continue
        if kind == "session":
            spans += [PhaseSpan(name, begin, last_ns, session, complete=False) for name, begin in open_phase.items()]
            open_phase.clear()
            session = int(event.get("session", session + 1))
        elif kind == "begin":
            open_phase[str(event["phase"])] = now
        elif kind == "end" and str(event["phase"]) in open_phase:
            name = str(event["phase"])
            spans.append(PhaseSpan(name, open_phase.pop(name), now, session, complete=True))
        last_ns = now
    spans += [PhaseSpan(name, begin, last_ns, session, complete=False) for name, begin in open_phase.items()]
    return spans
