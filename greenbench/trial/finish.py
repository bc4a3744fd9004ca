"""From the files of a trial that has ended to its ``result.json``; everything can be computed again from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from greenbench.errors import DataError
from greenbench.power.journal.file import JournalContents
from greenbench.power.journal.trace import Trace, read_journal
from greenbench.records import (
    CARBON,
    EVENTS,
    POWER,
    RESULT,
    SCHEMA_VERSION,
    Event,
    Outcome,
    RanOn,
    Result,
    Trial,
    load_trial,
    read_events,
    read_outcome,
    write_json,
)
from greenbench.records.result import CarbonHours, CarbonRecord, EnergySummary, TransferScore
from greenbench.schema import build
from greenbench.trial.emissions import trial_emissions
from greenbench.trial.energy import energy_summary, phase_energies
from greenbench.trial.row import result_row
from greenbench.trial.timeline import Timeline


def finish(trial: Trial) -> Trial:
    """Assemble and write the result of a trial whose worker has left ``outcome.json``.

    Raises:
        DataError: there is no outcome, or it is damaged.
        OutputError: the result cannot be written.
    """
    finished = assemble(trial)
    if finished.hours and not trial.hours:
        write_json(trial.path / CARBON, CarbonHours(finished.hours))
    if finished.result is not None:
        write_json(trial.path / RESULT, finished.result)
    return finished


def recover(folder: Path) -> None:
    """Write a trial's damaged result anew; where its outcome is lost, too, put it aside, so that the trial goes on.

    Raises:
        DataError: the manifest is damaged as well.
        OutputError: the result cannot be written.
    """
    trial = load_trial(folder, result=False)
    try:
        finish(trial)
    except DataError:
        (folder / RESULT).replace(folder / f"{RESULT}.damaged")


def assemble(trial: Trial) -> Trial:
    """Compute the result of a trial from its outcome and its journals; nothing is written.

    Raises:
        DataError: there is no outcome, or it is damaged.
    """
    outcome, events = read_outcome(trial.path), read_events(trial.path / EVENTS)
    timeline = Timeline(events)
    trace, troubles = _recorded(trial.path, events)
    energy = energy_summary(timeline, trace)
    emitted = trial_emissions(trial, outcome, events, trace, energy.total.energy_j)
    warnings = [*_warnings(outcome, energy, timeline, troubles), *emitted.account.warnings]
    result = Result(
        schema_version=SCHEMA_VERSION,
        status=outcome.status,
        error=outcome.error,
        valid=outcome.status == "ok" and energy.total.valid is not False,
        resumed=len(timeline.sessions) - 1,
        ran_on=RanOn(outcome.device, outcome.dtype, outcome.threads, outcome.gpu, outcome.gpu_uuid),
        phases=phase_energies(timeline, trace),
        energy=energy,
        carbon=CarbonRecord(emitted.account.factor, tuple(emitted.account.devices), emitted.account.figures),
        tasks=outcome.tasks,
        transfer=_transfer(outcome, trial.path / RESULT),
        left_out=outcome.left_out,
        budget=outcome.budget,
        cost=outcome.cost,
        model_facts=outcome.model_facts,
        code=outcome.code,
        warnings=tuple(dict.fromkeys(warnings)),
    )
    result = replace(result, row=result_row(trial, outcome, result, timeline))
    return replace(trial, result=result, ran_on=result.ran_on, hours=emitted.hours)


def _recorded(folder: Path, events: Sequence[Event]) -> tuple[Trace, list[str]]:
    """Read the power journal, and everything that went wrong with it; without one there is no energy, but a result."""
    troubles = [event.text for event in events if event.kind == "warning"]
    try:
        trace = read_journal(folder / POWER)
    except OSError as error:
        return Trace(JournalContents([])), [*troubles, f"{POWER} cannot be read: {error.strerror}"]
    if trace.torn_members or trace.bad_lines:
        troubles.append(f"{POWER}: {trace.torn_members} torn part(s) and {trace.bad_lines} bad line(s) were left out")
    return trace, [*troubles, *trace.warnings]


def _transfer(outcome: Outcome, path: Path) -> tuple[TransferScore, ...]:
    listed = outcome.tasks.get("transfer", {}).get("results")
    entries = listed if isinstance(listed, Sequence) else ()
    return tuple(build(TransferScore, entry, f"{path} transfer", lenient=True) for entry in entries)


def _warnings(outcome: Outcome, energy: EnergySummary, timeline: Timeline, troubles: Sequence[str]) -> list[str]:
    found = [*outcome.warnings, *troubles, *energy.total.problems]
    found += [text for device in energy.total.devices for text in device.warnings]
    resumed = len(timeline.sessions) - 1
    if resumed:
        found.append(f"resumed {resumed} time(s)")
    if energy.total.energy_j is None:
        found.append("no power source: energy is unknown (greenbench doctor says why)")
    return found
