"""Realistic run folders, written by the real writers, for tests of everything that reads them."""

from __future__ import annotations

import math
import random
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenbench.power.journal.file import JournalWriter
from greenbench.power.samples import Sample
from greenbench.records import EVENTS, MANIFEST, METRICS, POWER, RESULT, SCHEMA_VERSION, SENSORS, Journal, write_json

T0_NS = 5_000_000_000_000


@dataclass(frozen=True)
class Arm:
    """What a made-up contestant is like."""

    label: str
    family: str
    per: float
    watts: float = 40.0
    params: int = 3_000_000
    flops_per_audio_s: float = 2e9
    memory: int = 600 * 2**20
    speed: float = 60.0
    targets_s: float = 0.0
    control: str = ""
    title: str = ""


FRANCE = {
    "g_per_kwh": 56.0,
    "low_g_per_kwh": 40.0,
    "high_g_per_kwh": 80.0,
    "region": "FRA",
    "source": "CodeCarbon 3.3.2, global_energy_mix.json",
    "date": "2024",
}

ECO = Arm("eco", "efficient", 31.0, 38, 2_100_000, 0.9e9, 420 * 2**20, 160)
MELHUBERT = Arm("melhubert", "efficient", 52.0, 42, 4_900_000, 4.1e9, 900 * 2**20, 45, 6.0)
HUBERT = Arm("hubert", "predictive", 61.0, 44, 5_300_000, 7.5e9, 1300 * 2**20, 22, 9.0)
LOGMEL = Arm("logmel", "control", 74.0, 30, control="logmel")
RANDOM = Arm("random:eco", "control", 71.0, 30, 2_100_000, control="random:eco")
ARMS = (ECO, MELHUBERT, HUBERT, LOGMEL, RANDOM)


def write_run(
    root: Path,
    *,
    arms: tuple[Arm, ...] = ARMS,
    seeds: int = 5,
    budget_s: float = 45.0,
    spread: float = 0.02,
    hz: float = 10.0,
    suite: str = "quickstart",
    cpu: str = "Example CPU 8-core",
    gpu: tuple[dict[str, Any], ...] = (),
    log_every_s: float = 0.5,
    warnings: tuple[str, ...] = (),
    power: bool = True,
    kind: str = "modelled",
) -> Path:
    """Write ``arms x seeds`` trials below ``root`` and return it."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "suite.toml").write_text(f'[suite]\nname = "{suite}"\n')
    options = {"budget_s": budget_s, "spread": spread, "hz": hz, "suite": suite, "cpu": cpu, "gpu": gpu, "kind": kind}
    options |= {"log_every_s": log_every_s, "warnings": warnings, "power": power}
    for arm in arms:
        for seed in range(seeds):
            safe = "".join(c if c.isalnum() else "_" for c in arm.label)
            write_trial(root / f"{safe}-s{seed}-{zlib.crc32(arm.label.encode()):08x}", arm, seed, **options)
    return root


def write_trial(path: Path, arm: Arm, seed: int, **o: Any) -> Path:
    """Write one finished trial."""
    path.mkdir(parents=True)
    rng = random.Random(f"{arm.label}/{seed}")
    noise = 1 + rng.gauss(0, o["spread"])
    write_json(path / MANIFEST, _manifest(arm, seed, o))
    write_json(path / SENSORS, {"sources": [], "gpus": list(o["gpu"])})
    spans = _spans(arm, o["budget_s"])
    _events(path, spans)
    if arm.control == "":
        _metrics(path, arm, rng, o, {p: (a, b) for p, a, b in spans}["pretrain"])
    if o["power"]:
        _power(path, arm, spans, rng, o)
    write_json(path / RESULT, _result(path, arm, seed, spans, noise, rng, o))
    return path


def _spans(arm: Arm, budget_s: float) -> list[tuple[str, float, float]]:
    spans, now = [], 0.0
    trained = 0.0 if arm.control else max(1.0, budget_s - 1.5 - arm.targets_s)
    lengths = [
        ("idle", 2.0),
        ("setup", 3.0),
        ("features", 1.5),
        ("targets", arm.targets_s),
        ("pretrain", trained),
        ("checkpoint", 0.4),
        ("evaluate", 14.0),
    ]
    for phase, length in lengths:
        if length:
            spans.append((phase, now, now + length))
            now += length + 0.05
    return spans


def _events(path: Path, spans: list[tuple[str, float, float]]) -> None:
    journal = Journal(path / EVENTS)
    journal.write(event="session", session=0, t_mono_ns=T0_NS)
    for phase, begin, end in spans:
        journal.write(event="begin", phase=phase, t_mono_ns=T0_NS + round(begin * 1e9))
        journal.write(event="end", phase=phase, t_mono_ns=T0_NS + round(end * 1e9))
    journal.close()


def _metrics(path: Path, arm: Arm, rng: random.Random, o: dict[str, Any], span: tuple[float, float]) -> None:
    journal = Journal(path / METRICS)
    begin, end = span
    step, t = 0, 0.0
    while t < end - begin:
        t += o["log_every_s"]
        step += 10
        fraction = min(1.0, (t + begin - 5) / o["budget_s"])
        loss = 6.2 * (0.35 + 0.65 * math.exp(-3.5 * fraction * arm.speed / 60)) + rng.gauss(0, 0.05)
        joules = t * arm.watts
        journal.write(
            t_mono_ns=T0_NS + round((begin + t) * 1e9),
            step=step,
            audio_s=t * arm.speed,
            loss=loss,
            lr=1e-3 * (1 - fraction),
            spent=t,
            fraction=fraction,
            seconds=t,
            joules=joules,
            grams=joules / 3.6e6 * 56,
        )
    journal.close()


def _watts(arm: Arm, phase: str, t: float, rng: random.Random) -> float:
    base = {"idle": 11.0, "setup": 18.0, "checkpoint": 20.0, "evaluate": 30.0}.get(phase, arm.watts)
    return base + 2 * math.sin(t * 1.7) + rng.gauss(0, 0.8)


def _power(path: Path, arm: Arm, spans: list[tuple[str, float, float]], rng: random.Random, o: dict[str, Any]) -> None:
    writer = JournalWriter(path / POWER)
    parts = (("cpu", 0.8), ("ram", 0.2)) if not o["gpu"] else (("gpu0", 0.8), ("cpu", 0.2))
    devices = [
        {"device": name, "source": "replay", "kind": o["kind"], "part": name[:3], "power_from": "model"}
        for name, _ in parts
    ]
    writer.comment(segment={"boot_id": "b00t", "devices": devices})
    energy = dict.fromkeys((name for name, _ in parts), 0.0)
    t, total = 0.0, spans[-1][2]
    while t <= total:
        phase = next((p for p, a, b in spans if a <= t <= b), "idle")
        watts = _watts(arm, phase, t, rng)
        for name, share in parts:
            energy[name] += watts * share / o["hz"]
            now = T0_NS + round(t * 1e9)
            writer.sample(
                Sample(
                    now,
                    now + 1000,
                    name,
                    "replay",
                    o["kind"],
                    power_w=watts * share,
                    energy_j=energy[name],
                    power_low_w=watts * share * 0.6,
                    power_high_w=watts * share * 1.4,
                    energy_low_j=energy[name] * 0.6,
                    energy_high_j=energy[name] * 1.4,
                )
            )
        t += 1 / o["hz"]
        if len(writer._lines) > 400:
            writer.flush()
    writer.close()


def _manifest(arm: Arm, seed: int, o: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "suite": o["suite"],
        "label": arm.label,
        "card": arm.label.rpartition(":")[2],
        "family": arm.family,
        "size": "tiny",
        "seed": seed,
        "control": arm.control,
        "argv": ["greenbench", "run", o["suite"], "--seeds", "5"],
        "config": {"suite": {"name": o["suite"], "baseline": "melhubert"}, "budget": {"seconds": o["budget_s"]}},
        "config_hash": "c0ffee12",
        "git": {"commit": "0123456789abcdef0123", "dirty": False},
        "packages": {"torch": "2.13.0", "greenbench": "0.1.0", "codecarbon": "3.3.2"},
        "host": {
            "hostname": "bench-1",
            "cpu": o["cpu"],
            "cores": 8,
            "memory_bytes": 16 * 2**30,
            "os": "Linux 6.1",
            "boot_id": "b00t",
        },
        "data": {"spec": "mini", "fingerprint": "f1d0feed", "hours": 1.02},
        "carbon": {"now": FRANCE, "factor": FRANCE, "pue": 1.0},
        "created": "2026-11-23T11:00:00Z",
    }


def _result(
    path: Path,
    arm: Arm,
    seed: int,
    spans: list[tuple[str, float, float]],
    noise: float,
    rng: random.Random,
    o: dict[str, Any],
) -> dict[str, Any]:
    low, high = (0.6, 1.4) if o["kind"] == "modelled" else (0.99, 1.01)
    phases, budgeted_j, total_j, budgeted_s = [], 0.0, 0.0, 0.0
    for phase, begin, end in spans:
        level = {"idle": 11.0, "setup": 18.0, "checkpoint": 20.0, "evaluate": 30.0}.get(phase, arm.watts)
        energy = level * (end - begin) * noise
        counted = phase in ("features", "targets", "compile", "pretrain") and not arm.control
        budgeted_j += energy if counted else 0.0
        budgeted_s += (end - begin) if counted else 0.0
        total_j += energy if phase != "idle" else 0.0
        phases.append(
            {
                "phase": phase,
                "begin_s": begin,
                "duration_s": end - begin,
                "energy_j": energy,
                "energy_low_j": energy * low,
                "energy_high_j": energy * high,
                "kind": o["kind"],
                "mean_power_w": level * noise,
                "budgeted": counted,
                "session": 0,
            }
        )
    per = arm.per * (1 + rng.gauss(0, 0.02))
    wall = spans[-1][2]
    row: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "suite": o["suite"],
        "model": arm.label,
        "family": arm.family,
        "size": "tiny",
        "seed": seed,
        "control": arm.control,
        "status": "ok",
        "valid": True,
        "resumed": 0,
        "device": "cuda" if o["gpu"] else "cpu",
        "dtype": "float32",
        "flops_method": "torch",
        "energy_source": o["kind"],
        "data": "mini",
        "data_fingerprint": "f1d0feed",
        "run_dir": str(path.name),
        "budget_kind": "seconds",
        "budget_limit": o["budget_s"],
        "wall_s": wall,
        "carbon_source": "CodeCarbon 3.3.2",
        "carbon_intensity_g_per_kwh": 56.0,
        "pue": 1.0,
        "idle_power_w": 11.0,
        "energy_total_j": total_j,
        "phones_per_pct": per,
        "phones_recurrent_per_pct": per * 0.7,
        "phones_frame_error_pct": per * 0.8,
        "speaker_error_pct": per * 0.3,
        "effective_rank": 40.0,
    }
    if o["gpu"]:
        row["gpu"] = o["gpu"][0]["name"]
    if not arm.control:
        trained = budgeted_s - 1.5 - arm.targets_s
        row |= {
            "budget_spent": budgeted_s,
            "budget_overshoot_pct": (budgeted_s / o["budget_s"] - 1) * 100,
            "steps": int(trained * 20),
            "audio_h": trained * arm.speed / 3600,
            "params": arm.params,
            "pretrain_flops": trained * arm.speed * arm.flops_per_audio_s,
            "audio_s_per_s": arm.speed * noise,
            "flops_train_per_audio_s": arm.flops_per_audio_s,
            "flops_forward_per_audio_s": arm.flops_per_audio_s / 3,
            "peak_memory_bytes": arm.memory,
            "pretrain_s": trained,
            "energy_budgeted_j": budgeted_j,
            "energy_uncertainty_j": budgeted_j * (high - low) / 2,
            "mean_power_w": arm.watts * noise,
            "co2e_g": budgeted_j / 3.6e6 * 56,
            "co2e_low_g": budgeted_j / 3.6e6 * 40,
            "co2e_high_g": budgeted_j / 3.6e6 * 80,
            "final_loss": 2.2,
            "padding_pct": 1.1,
            "stall_pct": 0.6,
            "energy_wasted_j": 0.0,
        }
    return {
        "schema_version": SCHEMA_VERSION,
        "status": "ok",
        "valid": True,
        "resumed": 0,
        "ran_on": {"device": "cuda" if o["gpu"] else "cpu", "dtype": "float32"},
        "row": row,
        "phases": phases,
        "tasks": {"phones": {"phones_per_pct": per, "per_by_language_pct": {"en": per - 1, "fr": per + 1}}},
        "left_out": {},
        "warnings": list(o["warnings"]),
        "error": None,
        "cost": {},
        "budget": {"kind": "seconds", "limit": o["budget_s"], "spent": {"seconds": budgeted_s, "joules": budgeted_j}},
        "energy": {
            "total": {
                "energy_j": total_j,
                "energy_low_j": total_j * low,
                "energy_high_j": total_j * high,
                "uncertainty_j": total_j * (high - low) / 2,
                "source": "replay",
                "kind": o["kind"],
                "valid": True,
                "problems": [],
                "devices": [],
            },
            "budgeted": {
                "energy_j": budgeted_j or None,
                "energy_low_j": budgeted_j * low or None,
                "energy_high_j": budgeted_j * high or None,
                "kind": o["kind"],
            },
        },
    }
