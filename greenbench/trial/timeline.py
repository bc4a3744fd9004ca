"""When a trial ran, what a crash threw away, and what its budget paid for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from greenbench.records import Event, PhaseSpan, phase_spans
from greenbench.records.result import Charge

Interval = tuple[int, int]
"""Begin and end on the host's monotonic clock, in nanoseconds."""


class Timeline:
    """A trial's journal of events, read as intervals."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events

    @cached_property
    def spans(self) -> list[PhaseSpan]:
        """The phases in order."""
        return phase_spans(self.events)

    @cached_property
    def sessions(self) -> list[Interval]:
        """From each session's begin to its last event."""
        found: list[Interval] = []
        for event in self.events:
            if event.kind == "session":
                found.append((event.t_mono_ns, event.t_mono_ns))
            elif found and event.kind != "warning":
                found[-1] = (found[-1][0], event.t_mono_ns)
        return found or [(0, 0)]

    @cached_property
    def powered(self) -> list[Interval]:
        """The intervals whose joules are the trial's: from each session's begin to the next one's.

        A killed session writes no last event, but its sampler reads on for a moment; what it recorded counts. Where
        nothing was recorded, between two sessions, nothing is added.
        """
        begins = [begin for begin, _ in self.sessions]
        return list(zip(begins, [*begins[1:], self.sessions[-1][1]], strict=True))

    @cached_property
    def wasted(self) -> list[Interval]:
        """Of each crashed session, the interval from its last checkpoint (or begin) to its last sign of life."""
        found = []
        for begin, end in self.powered[:-1]:
            inside = [event for event in self.events if begin <= event.t_mono_ns < end]
            if any(event.kind == "interrupted" for event in inside):
                continue
            found.append((self._kept_until(begin, end, inside), end))
        return found

    def _kept_until(self, begin: int, end: int, inside: Sequence[Event]) -> int:
        """Until when a session's work was kept: until the checkpoint that a later session went on from.

        A kill may have come between a checkpoint and its event, so the later session's word counts first.
        """
        saved = [event.t_mono_ns for event in inside if event.kind == "checkpoint"]
        later = next((event for event in self.events if event.kind == "resume" and event.t_mono_ns >= end), None)
        if later is None or later.saved_ns is None:
            return saved[-1] if saved else begin
        if not begin <= later.saved_ns < end:
            return begin
        return next((t_ns for t_ns in saved if t_ns >= later.saved_ns), later.saved_ns)

    @cached_property
    def charges(self) -> list[Charge]:
        """What the budget was charged without being spent here: the cost of features found on the disk.

        A charge that a crash threw away with all that followed was made again by the next session.
        """
        return [
            Charge(event.origin, event.seconds, event.joules)
            for event in self.events
            if event.kind == "charge" and not any(begin <= event.t_mono_ns <= end for begin, end in self.wasted)
        ]

    def paid(self, span: PhaseSpan) -> list[Interval]:
        """The parts of a charged phase that the budget pays for: not its checkpoints, nor what a crash threw away."""
        end_ns = span.end_ns
        for begin, end in self.wasted:
            if begin <= span.end_ns <= end:
                end_ns = max(span.begin_ns, begin)
        edges = [span.begin_ns]
        for other in self.spans:
            if other.phase == "checkpoint" and span.begin_ns <= other.begin_ns < end_ns:
                edges += [other.begin_ns, min(other.end_ns, end_ns)]
        edges.append(end_ns)
        return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]

    def kept_s(self, phase: str) -> float:
        """The seconds of a phase whose work was kept: what a crash threw away was done, and is counted, again."""
        lost = [(max(a, span.begin_ns), min(b, span.end_ns)) for span in self._of(phase) for a, b in self.wasted]
        return self.length_s(phase) - sum(max(0, b - a) for a, b in lost) / 1e9

    def _of(self, phase: str) -> list[PhaseSpan]:
        return [span for span in self.spans if span.phase == phase]

    def length_s(self, phase: str) -> float:
        """The seconds of all intervals of a phase."""
        return sum(span.duration_s for span in self._of(phase))
