"""From the journals of a trial to its ``result.json``: energy by phase, totals, what a crash wasted, emissions.

Everything here is computed from files in the trial folder, so it can be computed again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from greenbench.metrics import METRICS
from greenbench.power.energy import Energy
from greenbench.power.journal.file import JournalContents
from greenbench.power.journal.trace import Trace, read_journal
from greenbench.power.journal.window_energy import WindowEnergy
from greenbench.records import (
    BUDGETED_PHASES,
    EVENTS,
    MANIFEST,
    OUTCOME,
    POWER,
    RESULT,
    SCHEMA_VERSION,
    PhaseSpan,
    phase_spans,
    read_json,
    read_jsonl,
    write_json,
)
from greenbench.trial.emissions import trial_account


def finish(folder: Path) -> dict[str, Any]:
    """Assemble and write ``result.json``; return it. The worker must have left ``outcome.json``."""
    manifest, outcome = read_json(folder / MANIFEST), read_json(folder / OUTCOME)
    ran_on = {key: outcome.get(key) for key in ("device", "dtype", "threads")}
    if outcome.get("gpu") and not manifest.get("gpu"):  # no sensor named it, but it is what the trial ran on
        ran_on["gpu"] = [{"name": outcome["gpu"], "uuid": outcome.get("gpu_uuid")}]
    if any(manifest.get(key) != value for key, value in ran_on.items()):
        manifest |= ran_on
        write_json(folder / MANIFEST, manifest)
    events = list(read_jsonl(folder / EVENTS))
    trace, troubles = _recorded(folder, events)
    spans = phase_spans(events)
    sessions = _sessions(events)
    phases = [_phase_entry(span, trace, sessions[0][0], charged=_charged(events, span)) for span in spans]
    energy = _energy(trace, spans, events, sessions)
    carbon = trial_account(folder, manifest, outcome, events, trace, energy["total"]["energy_j"])
    result = {
        "schema_version": SCHEMA_VERSION,
        "status": outcome["status"],
        "error": outcome.get("error"),
        "valid": outcome["status"] == "ok" and energy["total"].get("valid") is not False,
        "resumed": len(sessions) - 1,
        "phases": phases,
        "energy": energy,
        "carbon": carbon.to_dict(),
        "tasks": outcome.get("tasks", {}),
        "transfer": outcome.get("tasks", {}).get("transfer", {}).get("results", []),
        "left_out": outcome.get("left_out", {}),
        "budget": outcome.get("budget"),
        "cost": outcome.get("cost"),
        "model_facts": outcome.get("model_facts", {}),
        "code": outcome.get("code"),
        "warnings": _warnings(outcome, energy, sessions, troubles),
    }
    result["warnings"] += [text for text in carbon.warnings if text not in result["warnings"]]
    result["row"] = _row(manifest, outcome, result, spans, sessions)
    write_json(folder / RESULT, result)
    return result


def _recorded(folder: Path, events: list[dict[str, Any]]) -> tuple[Trace, list[str]]:
    """Read the power journal, and everything that went wrong with it; without one there is no energy, but a result."""
    troubles = [str(event["text"]) for event in events if event.get("event") == "warning"]
    try:
        trace = read_journal(folder / POWER)
    except OSError as error:
        return Trace(JournalContents([])), [*troubles, f"{POWER} cannot be read: {error.strerror}"]
    if trace.torn_members or trace.bad_lines:
        troubles.append(f"{POWER}: {trace.torn_members} torn part(s) and {trace.bad_lines} bad line(s) were left out")
    return trace, [*troubles, *trace.warnings]


def _sessions(events: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """Return begin and end (monotonic ns) of each session."""
    sessions: list[tuple[int, int]] = []
    for event in events:
        now = int(event["t_mono_ns"])
        if event.get("event") == "warning":  # written when the sampler has ended: no part of the trial
            continue
        if event.get("event") == "session":
            sessions.append((now, now))
        elif sessions:
            sessions[-1] = (sessions[-1][0], now)
    return sessions or [(0, 0)]


def _burning(sessions: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the stretches in which a trial burnt energy: from each session's begin to the next one's.

    A killed session writes no last event, but its sampler reads on for a moment; what it recorded counts. Where
    nothing was recorded, between two sessions, nothing is added.
    """
    begins = [begin for begin, _ in sessions]
    return list(zip(begins, [*begins[1:], sessions[-1][1]], strict=True))


def _charged(events: list[dict[str, Any]], span: PhaseSpan) -> bool:
    for event in events:
        if event.get("event") == "begin" and int(event["t_mono_ns"]) == span.begin_ns:
            return bool(event.get("charged", True)) and span.phase in BUDGETED_PHASES
    return False


def _phase_entry(span: PhaseSpan, trace: Trace, origin_ns: int, *, charged: bool) -> dict[str, Any]:
    window = trace.window(span.begin_ns, span.end_ns)
    return {
        "phase": span.phase,
        "session": span.session,
        "complete": span.complete,
        "budgeted": charged,
        "begin_s": (span.begin_ns - origin_ns) / 1e9,
        "duration_s": span.duration_s,
        "begin_ns": span.begin_ns,
        "end_ns": span.end_ns,
        "energy_j": window.energy_j,
        "energy_low_j": window.energy_low_j,
        "energy_high_j": window.energy_high_j,
        "kind": window.kind,
        "mean_power_w": window.mean_power_w,
        "valid": window.valid,
    }


def _energy(
    trace: Trace, spans: list[PhaseSpan], events: list[dict[str, Any]], sessions: list[tuple[int, int]]
) -> dict[str, Any]:
    budgeted = [
        w for span in spans if _charged(events, span) for w in _useful_windows(trace, span, spans, events, sessions)
    ]
    totals = [trace.window(begin, end, across_holes=True) for begin, end in _burning(sessions)]
    # The idle baseline is measured before the trial's own process exists; it is reported, not part of the total.
    idle = [trace.window(s.begin_ns, s.end_ns) for s in spans if s.phase == "idle"]
    wasted = [trace.window(begin, end, across_holes=True) for begin, end in _wasted_windows(events, sessions)]
    idle_s = sum(s.duration_s for s in spans if s.phase == "idle")
    held = [s for s in spans if s.phase == "idle_context"]
    charges = _charges(events, sessions)
    return {
        "total": _sum(totals),
        "budgeted": _with_charges(_sum(budgeted), charges),
        "wasted": _sum(wasted),
        "idle": _sum(idle),
        "idle_s": idle_s,
        "charged": charges,
        "idle_context": _sum([trace.window(s.begin_ns, s.end_ns) for s in held]),
        "idle_context_s": sum(s.duration_s for s in held),
    }


def _charges(events: list[dict[str, Any]], sessions: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """Return what the budget was charged without being burnt here: the cost of features found on the disk.

    A charge that a crash threw away with all that followed was made again by the next session.
    """
    lost = _wasted_windows(events, sessions)
    return [
        {"origin": e["origin"], "duration_s": e["seconds"], "energy_j": e["joules"]}
        for e in events
        if e.get("event") == "charge" and not any(begin <= int(e["t_mono_ns"]) <= end for begin, end in lost)
    ]


def _with_charges(window: dict[str, Any], charges: list[dict[str, Any]]) -> dict[str, Any]:
    """Add charges to the budgeted energy; the range of the meter grows in proportion."""
    energy_j = window["energy_j"]
    joules = [charge["energy_j"] for charge in charges]
    if not joules or energy_j is None:
        return window
    if any(j is None for j in joules):
        return window | dict.fromkeys(("energy_j", "energy_low_j", "energy_high_j", "uncertainty_j"))
    factor = (energy_j + sum(joules)) / energy_j if energy_j > 0 else 1.0
    ranges = ("energy_low_j", "energy_high_j", "uncertainty_j")
    grown = {key: None if window[key] is None else window[key] * factor for key in ranges}
    return window | grown | {"energy_j": energy_j + sum(joules)}


def _useful_windows(
    trace: Trace, span: PhaseSpan, spans: list[PhaseSpan], events: list[dict[str, Any]], sessions: list[tuple[int, int]]
) -> list[WindowEnergy]:
    """Cut a charged phase at its checkpoints (not charged) and at what a crash threw away."""
    end_ns = span.end_ns
    for begin, end in _wasted_windows(events, sessions):
        if begin <= span.end_ns <= end:
            end_ns = max(span.begin_ns, begin)
    edges = [span.begin_ns]
    for other in spans:
        if other.phase == "checkpoint" and span.begin_ns <= other.begin_ns < end_ns:
            edges += [other.begin_ns, min(other.end_ns, end_ns)]
    edges.append(end_ns)
    return [trace.window(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]


def _wasted_windows(events: list[dict[str, Any]], sessions: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return, per crashed session, the stretch from its last checkpoint (or begin) to its last sign of life."""
    windows = []
    for begin, end in _burning(sessions)[:-1]:
        inside = [e for e in events if begin <= int(e["t_mono_ns"]) < end]
        if any(e.get("event") == "interrupted" for e in inside):
            continue
        saved = [int(e["t_mono_ns"]) for e in inside if e.get("event") == "checkpoint"]
        windows.append((saved[-1] if saved else begin, end))
    return windows


def _sum(windows: list[WindowEnergy]) -> dict[str, Any]:
    """Add windows; a single unknown one makes the sum unknown."""
    energy = Energy.total(w.energy for w in windows)
    return {
        "energy_j": energy.joules,
        "energy_low_j": energy.low_j,
        "energy_high_j": energy.high_j,
        "uncertainty_j": energy.uncertainty_j,
        "source": next((w.source for w in windows if w.source), None),
        "kind": energy.kind,
        "valid": energy.valid if windows else None,
        "problems": sorted(energy.problems),
        "devices": [device.to_dict() for w in windows for device in w.devices],
        "duration_s": 0.0,
    }


def _warnings(
    outcome: dict[str, Any], energy: dict[str, Any], sessions: list[tuple[int, int]], troubles: list[str]
) -> list[str]:
    found = [*outcome.get("warnings", []), *troubles, *energy["total"]["problems"]]
    found += [w for device in energy["total"]["devices"] for w in device.get("warnings", ())]
    if len(sessions) > 1:
        found.append(f"resumed {len(sessions) - 1} time(s)")
    if energy["total"]["energy_j"] is None:
        found.append("no power source: energy is unknown (greenbench doctor says why)")
    return list(dict.fromkeys(found))


def _row(
    manifest: dict[str, Any],
    outcome: dict[str, Any],
    result: dict[str, Any],
    spans: list[PhaseSpan],
    sessions: list[tuple[int, int]],
) -> dict[str, Any]:
    energy, budget = result["energy"], result["budget"] or {}
    pretrain_s = sum(s.duration_s for s in spans if s.phase == "pretrain") or None
    wall_s = sum(end - begin for begin, end in sessions) / 1e9
    audio_s = outcome.get("audio_s")
    total_j = energy["total"]["energy_j"]
    row: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "suite": manifest["suite"],
        "model": manifest["label"],
        "family": manifest["family"],
        "size": manifest["size"],
        "seed": manifest["seed"],
        "control": manifest["control"],
        "status": result["status"],
        "valid": result["valid"],
        "resumed": result["resumed"],
        "device": outcome.get("device"),
        "gpu": outcome.get("gpu"),
        "dtype": outcome.get("dtype"),
        "data": manifest["data"]["spec"],
        "data_fingerprint": manifest["data"]["fingerprint"],
        "budget_kind": budget.get("kind"),
        "budget_limit": budget.get("limit"),
        "budget_spent": budget.get("spent", {}).get(budget.get("kind")),
        "budget_overshoot_pct": budget.get("overshoot_pct"),
        "steps": outcome.get("steps"),
        "audio_h": audio_s / 3600 if audio_s else None,
        "params": outcome.get("params") if not manifest["control"] else None,
        "pretrain_flops": outcome.get("pretrain_flops"),
        "flops_method": outcome.get("flops_method"),
        "flops_forward_per_audio_s": outcome.get("flops_forward_per_audio_s"),
        "flops_train_per_audio_s": outcome.get("flops_train_per_audio_s"),
        "audio_s_per_s": outcome.get("audio_s_per_s"),
        "peak_memory_bytes": outcome.get("peak_memory_bytes"),
        "pretrain_s": pretrain_s,
        "wall_s": wall_s,
        "energy_budgeted_j": energy["budgeted"]["energy_j"],
        "energy_total_j": total_j,
        "energy_charged_j": _charged_j(energy["charged"]),
        "energy_wasted_j": energy["wasted"]["energy_j"] if result["resumed"] else None,
        "energy_source": energy["total"]["kind"],
        "energy_uncertainty_j": energy["total"]["uncertainty_j"],
        "mean_power_w": total_j / wall_s if total_j is not None and wall_s else None,
        "idle_power_w": _mean_w(energy, "idle"),
        "idle_context_power_w": _mean_w(energy, "idle_context"),
        "final_loss": outcome.get("final_loss"),
        "padding_pct": outcome.get("padding_pct"),
        "cropped_pct": outcome.get("cropped_pct"),
        "stall_pct": 100 * outcome["stall_s"] / pretrain_s if pretrain_s and "stall_s" in outcome else None,
        "run_dir": manifest["folder"],
        **result["carbon"]["figures"],
        **outcome.get("metrics", {}),
    }
    unknown = [key for key in outcome.get("metrics", {}) if key not in METRICS]
    if unknown:
        raise KeyError(f"metrics not in the registry: {', '.join(unknown)}")
    return {key: value for key, value in row.items() if value is not None}


def _charged_j(charges: list[dict[str, Any]]) -> float | None:
    known = [charge["energy_j"] for charge in charges]
    return sum(known) if known and None not in known else None


def _mean_w(energy: dict[str, Any], stretch: str) -> float | None:
    energy_j, seconds = energy[stretch]["energy_j"], energy[f"{stretch}_s"]
    return energy_j / seconds if energy_j is not None and seconds else None
