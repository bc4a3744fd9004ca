"""What happened in a trial and when: the journal of events, and the phases that it tells of.

Times are ``time.monotonic_ns`` of the host's boot, with wall time beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from greenbench.records.journal import read_jsonl
from greenbench.schema import build

PHASES = ("idle", "idle_context", "setup", "features", "targets", "compile", "pretrain", "checkpoint", "evaluate")
BUDGETED_PHASES = ("features", "targets", "compile", "pretrain")


@dataclass(frozen=True)
class Event:
    """One line of the journal; what a kind of event does not say has its default.

    ``session``: a session began, ``exit``: its trainer ended with ``code``; ``begin`` and ``end`` of a ``phase``, which
    the budget pays for where it is ``charged``; ``charge``: ``seconds`` and ``joules`` that were spent elsewhere;
    ``checkpoint``, ``resume`` (from what was saved at ``saved_ns``), ``interrupted`` (behind a checkpoint), ``stopped``
    (what follows the last checkpoint is lost), ``progress``, ``error``; ``warning``: written after the fact, when the
    trial and its sampler have ended, so its time says nothing.
    """

    kind: str
    t_mono_ns: int
    t_wall_s: float | None = None
    session: int | None = None
    phase: str = ""
    charged: bool = True
    text: str = ""
    reason: str = ""
    origin: str = ""
    seconds: float = 0.0
    joules: float | None = None
    fraction: float | None = None
    load: float | None = None
    code: int | None = None
    step: int | None = None
    stage: int | None = None
    saved_ns: int | None = None


@dataclass(frozen=True)
class PhaseSpan:
    """One interval of a phase, from its begin event to its end (or to the last sign of life before a crash).

    ``charged`` says whether the budget pays for it: a resumed session repeats phases that it has paid for already.
    """

    phase: str
    begin_ns: int
    end_ns: int
    session: int
    complete: bool
    charged: bool = False

    @property
    def duration_s(self) -> float:
        """The length in seconds."""
        return (self.end_ns - self.begin_ns) / 1e9


def read_events(path: Path) -> list[Event]:
    """Read a journal of events; damaged lines are left out, a missing file is empty."""
    return [event_of(line, str(path)) for line in read_jsonl(path) if "event" in line and _has_moment(line)]


def _has_moment(line: Mapping[str, object]) -> bool:
    """Whether a line says when it was written, in nanoseconds that a clock can show."""
    moment = line.get("t_mono_ns")
    return moment is not None and not (isinstance(moment, int) and abs(moment) >= 2**63)


def event_of(line: Mapping[str, object], where: str = "events.jsonl") -> Event:
    """Read one line of the journal."""
    return build(Event, {**line, "kind": line["event"]}, where, lenient=True)


def phase_spans(events: Iterable[Event]) -> list[PhaseSpan]:
    """Read the phases off the journal, in order. A phase without an end (a crash) ends at its session's last event."""
    spans: list[PhaseSpan] = []
    begun: dict[str, Event] = {}
    session, last_ns = 0, 0

    def ended(begin: Event, end_ns: int, *, complete: bool) -> PhaseSpan:
        charged = begin.charged and begin.phase in BUDGETED_PHASES
        # A damaged journal may say that a phase ended before it began: nothing is known of its length then.
        return PhaseSpan(begin.phase, begin.t_mono_ns, max(end_ns, begin.t_mono_ns), session, complete, charged)

    for event in events:
        if event.kind == "warning":
            continue
        if event.kind == "session":
            spans += [ended(begin, last_ns, complete=False) for begin in begun.values()]
            begun.clear()
            session = session + 1 if event.session is None else event.session
        elif event.kind == "begin":
            begun[event.phase] = event
        elif event.kind == "end" and event.phase in begun:
            spans.append(ended(begun.pop(event.phase), event.t_mono_ns, complete=True))
        last_ns = event.t_mono_ns
    return spans + [ended(begin, last_ns, complete=False) for begin in begun.values()]
