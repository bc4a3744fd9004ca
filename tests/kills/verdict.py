"""Whether a killed run ended like the one that nobody killed: to the bit, nothing twice, no more lost than may be."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from greenbench.power.journal.file import read_segments
from greenbench.records import Trial, load_trial, read_json
from greenbench.trial.timeline import Timeline

SAME = ("final_loss", "steps", "audio_h", "pretrain_flops", "budget_spent", "effective_rank", "params")
MOST_LOST_S = 1.0


@dataclass
class Verdict:
    """What is wrong; what took too long, for which a busy machine may be to blame; and what was measured."""

    faults: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.faults.append(f"{what}: {found!r} in place of {wanted!r}")


def compare(whole: Path, killed: Path, kills: list[dict[str, Any]]) -> Verdict:
    """Hold every trial of a killed run against the same one of the whole run."""
    verdict = Verdict()
    names = [sorted(path.parent.name for path in out.glob("*/result.json")) for out in (whole, killed)]
    verdict.expect("trials", names[1], names[0])
    for name in names[0] if names[0] == names[1] else ():
        _trial(verdict, load_trial(whole / name), load_trial(killed / name))
        _lost(verdict, killed / name, [kill for kill in kills if kill["trial"] == name])
    left = sorted(
        str(path.relative_to(killed))
        for path in killed.rglob("*")
        if path.name.startswith(".writing") or path.suffix == ".tmp" or path.name.endswith(".damaged")
    )
    verdict.facts["left_behind"] = left
    return verdict


def _trial(verdict: Verdict, whole: Trial, killed: Trial) -> None:
    name = killed.path.name
    for key in SAME:
        verdict.expect(f"{name} {key}", killed.figure(key), whole.figure(key))
    curves = [[(point.step, point.figure("loss")) for point in trial.learning_curve] for trial in (whole, killed)]
    verdict.expect(f"{name} losses of {len(curves[0])} steps", curves[1], curves[0])
    digests = [
        hashlib.sha256((t.path / "checkpoints" / "model.safetensors").read_bytes()).hexdigest() for t in (whole, killed)
    ]
    verdict.expect(f"{name} weights", digests[1], digests[0])
    _once(verdict, killed)


def _once(verdict: Verdict, trial: Trial) -> None:
    """What the journal says was paid for must be what the ledger, which lives in checkpoints alone, has spent."""
    name, timeline = trial.path.name, Timeline(trial.events)
    (newest,) = trial.path.glob("checkpoints/step-*/state.json")
    ledger = read_json(newest)["ledger"]
    paid_s = sum(b - a for span in timeline.spans if span.charged for a, b in timeline.paid(span)) * 1e-9
    paid_s += sum(charge.duration_s for charge in timeline.charges)
    apart_s = paid_s - ledger["spent_ns"] * 1e-9
    sessions = len(timeline.sessions)
    facts = {"sessions": sessions, "paid_s": round(paid_s, 3), "beyond_ledger_s": round(apart_s, 3)}
    if abs(apart_s) > 0.05 * sessions + 0.05:
        verdict.late.append(f"{name}: paid {paid_s:.3f} s, the ledger says {paid_s - apart_s:.3f} s")
    edges = [edge for interval in timeline.powered for edge in interval]
    verdict.expect(f"{name} powered intervals in order", edges, sorted(edges))
    energy = trial.result.energy if trial.result else None
    if energy is None or energy.total.energy_j is None or not trial.usable:
        verdict.faults.append(f"{name}: no valid energy")
        return
    budgeted_j, wasted_j = energy.budgeted.energy_j or 0.0, energy.wasted.energy_j or 0.0
    charged_j = sum(charge.energy_j or 0.0 for charge in energy.charged)
    facts |= {
        "total_j": energy.total.energy_j,
        "budgeted_j": budgeted_j,
        "wasted_j": wasted_j,
        "ledger_j": ledger["spent_j"],
    }
    if budgeted_j - charged_j + wasted_j > energy.total.energy_j * 1.001:
        verdict.faults.append(
            f"{name}: {budgeted_j:.2f} J budgeted and {wasted_j:.2f} J wasted of {energy.total.energy_j:.2f} J"
        )
    verdict.facts[name] = facts


def _lost(verdict: Verdict, folder: Path, kills: list[dict[str, Any]]) -> None:
    """How old the last recorded reading was when the sampler was killed: its joules are what a kill can lose."""
    segments = read_segments(folder / "power.csv.gz").segments
    for kill in kills:
        if kill["hit"] not in ("sampler", "all") or not kill["sampled"]:
            continue
        moment = kill["t_mono_ns"]
        begun = [s for s in segments if s.header.get("t_mono_ns", moment) <= moment and s.samples]
        if not begun or any("end" in comment for comment in begun[-1].comments):
            continue  # it had not begun to read, or had ended
        kill["lost_s"] = round((moment - begun[-1].samples[-1].t_mono_ns) * 1e-9, 3)
        if kill["lost_s"] > MOST_LOST_S:
            verdict.late.append(f"kill {kill['number']}: {kill['lost_s']} s of readings are lost")
