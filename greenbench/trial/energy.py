"""The joules of a trial, cut out of its power journal by the intervals of its events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from greenbench.metering.energy_records import energy_record, phase_energy, total_energy
from greenbench.power.energy import Energy
from greenbench.power.journal.trace import Trace
from greenbench.power.journal.window_energy import WindowEnergy
from greenbench.records import PhaseSpan
from greenbench.records.result import Charge, EnergySummary, PhaseEnergy
from greenbench.trial.timeline import Interval, Timeline


def phase_energies(timeline: Timeline, trace: Trace) -> tuple[PhaseEnergy, ...]:
    """Cut every interval of every phase; seconds count from the first session's begin."""
    origin_ns = timeline.sessions[0][0]
    return tuple(_phase(span, trace, origin_ns) for span in timeline.spans)


def energy_summary(timeline: Timeline, trace: Trace) -> EnergySummary:
    """Add up a trial's joules by what they were for.

    The idle baselines are recorded before the trial's own process exists: they are reported, not part of the budget.
    """
    paid = [part for span in timeline.spans if span.charged for part in timeline.paid(span)]
    idle, held = (
        [(span.begin_ns, span.end_ns) for span in timeline.spans if span.phase == phase]
        for phase in ("idle", "idle_context")
    )
    budgeted = [trace.window(begin, end) for begin, end in paid]
    return EnergySummary(
        total=energy_record(_across_holes(trace, timeline.powered)),
        budgeted=energy_record(budgeted, _with_charges(total_energy(budgeted), timeline.charges)),
        wasted=energy_record(_across_holes(trace, timeline.wasted)),
        idle=energy_record([trace.window(begin, end) for begin, end in idle]),
        idle_s=timeline.length_s("idle"),
        charged=tuple(timeline.charges),
        idle_context=energy_record([trace.window(begin, end) for begin, end in held]),
        idle_context_s=timeline.length_s("idle_context"),
    )


def _across_holes(trace: Trace, intervals: Iterable[Interval]) -> list[WindowEnergy]:
    return [trace.window(begin, end, across_holes=True) for begin, end in intervals]


def _phase(span: PhaseSpan, trace: Trace, origin_ns: int) -> PhaseEnergy:
    window = trace.window(span.begin_ns, span.end_ns)
    found = phase_energy(span.phase, span.session, span.begin_ns, span.end_ns, window, origin_ns=origin_ns)
    return replace(found, complete=span.complete, budgeted=span.charged)


def _with_charges(energy: Energy, charges: Sequence[Charge]) -> Energy:
    """Add charges to the budgeted energy; the range of the meter grows in proportion."""
    joules = [charge.energy_j for charge in charges]
    if not joules or energy.joules is None:
        return energy
    known = [value for value in joules if value is not None]
    if len(known) < len(joules):
        return Energy.unknown(*energy.problems, kind=energy.kind)
    whole_j = energy.joules + sum(known)
    return replace(energy.scaled(whole_j / energy.joules if energy.joules > 0 else 1.0), joules=whole_j)
