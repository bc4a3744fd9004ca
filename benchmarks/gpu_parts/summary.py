"""``summary.md``: a record for people, made anew from its parts whenever one ends."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu_parts.recorder import PARTS, in_a_line
from greenbench.cards import load_card
from greenbench.records import write_whole
from greenbench.units import joules_to_kwh

Found = dict[str, dict[str, Any]]


def write_summary(out: Path, order: Sequence[str]) -> None:
    """Write what the parts found, in the order in which they run."""
    files = {path.stem: path for path in (out / PARTS).glob("*.json")}
    names = [name for name in order if name in files]
    found = {name: json.loads(files[name].read_text(encoding="utf-8")) for name in names}
    sections = (_head(found), _checks(found), _traces(found), _ladder(found), _pretraining(found), _loads(found))
    lines = [line for section in (*sections, _runs(found), _parts(found)) for line in section]
    write_whole(out / "summary.md", "\n".join(lines).rstrip() + "\n")


def _head(found: Found) -> Iterator[str]:
    here = found.get("machine", {})
    host, packages = here.get("host") or {}, here.get("packages") or {}
    yield f"# A record on {here.get('card') or host.get('cpu') or 'this machine'}"
    yield ""
    yield f"`{here.get('command', '')}`"
    yield ""
    facts = [
        f"driver {here['driver']}, power limit {here.get('power_limit_w', 0):.0f} W" if "driver" in here else "no GPU",
        f"{host.get('cpu')}, {host.get('cores')} cores",
        f"torch {packages.get('torch')}, CUDA {here.get('cuda')}, Python {here.get('python')}",
        f"commit {(here.get('commit') or {}).get('commit')}",
    ]
    yield "; ".join(facts) + ". Raw figures: `parts/`, readings of power: `journals/`."
    yield ""


def _table(head: str, rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    columns = head.split(" | ")
    yield f"| {head} |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield "| " + " | ".join(_cell(value) for value in row) + " |"
    yield ""


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def _of(found: Found, prefix: str) -> Found:
    return {name: part for name, part in found.items() if name.startswith(prefix)}


def _checks(found: Found) -> Iterator[str]:
    checks = _of(found, "check-")
    if checks:
        yield "## What must hold"
        yield ""
        yield from _table("check | held | figures", [[n, _verdict(p), in_a_line(p)[:160]] for n, p in checks.items()])


def _verdict(part: dict[str, Any]) -> str:
    return next((key for key in ("error", "skipped") if key in part), "yes" if part.get("passed") else "**no**")


def _traces(found: Found) -> Iterator[str]:
    traces = {name: part for name, part in _of(found, "trace-").items() if "step_ms" in part}
    if traces:
        yield "## A step, traced"
        yield ""
        rows = [
            [p["model"], p["step_ms"], p.get("busy_share"), p["operators_a_step"], p.get("launches_a_step")]
            for p in traces.values()
        ]
        yield from _table("model | ms a step | busy share of the card | operators | launches", rows)
        for part in traces.values():
            kind = "top_kernels_ms" if "top_kernels_ms" in part else "top_operators_host_ms"
            longest = ", ".join(f"{name} {ms:g}" for name, ms in list(part[kind].items())[:5])
            yield f"{part['model']}, {kind.replace('_', ' ')}: {longest}; copies: {part.get('copies_a_step', 'n/a')}."
            yield ""


def _measured(found: Found) -> list[dict[str, Any]]:
    return [part for part in _of(found, "ladder-").values() if "audio_h_per_h" in part]


def _ladder(found: Found) -> Iterator[str]:
    parts = _measured(found)
    if not parts:
        return
    yield "## The ladder"
    yield ""
    yield (
        f"Size {parts[0]['size']}, crops of {parts[0]['crop_s']:g} s of noise on the device, under the package's own "
        "loop; utilisation is of a matrix product in the same format, measured before and after."
    )
    yield ""
    rows = [
        [
            p["model"],
            p["setting"],
            p["dtype"],
            p["batch_audio_s"],
            p["audio_h_per_h"],
            f"{100 * p['utilisation']:.1f} %",
            p["peak_memory_bytes"] / 1e9,
            p.get("mean_power_w"),
            p.get("joules_per_audio_h"),
            p.get("energy_kind"),
        ]
        for p in parts
    ]
    head = "model | setting | format | batch (s) | audio h per h | utilisation | peak memory (GB) | W | J an audio hour"
    yield from _table(f"{head} | joules are", rows)
    yield from _ratios(parts)


def _ratios(parts: list[dict[str, Any]]) -> Iterator[str]:
    joules = {(p["setting"], p["model"]): p["joules_per_audio_h"] for p in parts if p.get("joules_per_audio_h")}
    for setting in dict.fromkeys(p["setting"] for p in parts):
        ratios = [
            f"{joules[setting, model] / joules[setting, 'eco']:.2f} x {model}"
            for model in ("melhubert", "hubert")
            if {(setting, model), (setting, "eco")} <= set(joules)
        ]
        if ratios:
            yield f"Joules an audio hour, {setting} against {setting}, of eco's: {', '.join(ratios)}."
            yield ""


def _pretraining(found: Found) -> Iterator[str]:
    plan = load_card("eco").pretraining
    parts = [p for p in _measured(found) if p["model"] == "eco" and p.get("joules_per_audio_h")]
    if plan is None or not parts or parts[0]["size"] != "base":
        return
    yield "## A whole pretraining, extrapolated"
    yield ""
    yield f"eco's card, {plan.data}, {plan.audio_h:,.0f} h; without features, targets, evaluation and stalls."
    yield ""
    rows = [
        [
            p["setting"],
            p["dtype"],
            plan.audio_h / p["audio_h_per_h"],
            joules_to_kwh(p["joules_per_audio_h"] * plan.audio_h),
        ]
        for p in parts
    ]
    yield from _table("setting | format | hours | kWh", rows)


def _loads(found: Found) -> Iterator[str]:
    loads = {name: part for name, part in _of(found, "load-").items() if "mean_power_w" in part}
    if loads:
        yield "## Counter against integrated power"
        yield ""
        rows = [[p["load"], p["mean_power_w"], p["counter_over_integral"]] for p in loads.values()]
        yield from _table("load | W | counter / integral", rows)


def _runs(found: Found) -> Iterator[str]:
    for name in ("quickstart", "equal-joules"):
        part = found.get(name, {})
        if "command" not in part:
            continue
        yield f"## {name}"
        yield ""
        yield f"`{part['command']}`: exit code {part['exit_code']}, {part['finished']} of {part['trials']} trials, "
        stopped = f", stopped {part['stopped']}" if "stopped" in part else ""
        yield f"report {'written' if part['report'] else 'not written'}{stopped}."
        yield ""
        rows = []
        for label, row in part["rows"].items():
            score = next((f"{k} {row[k]:.2f}" for k in ("phones_per_pct", "characters_cer_pct") if k in row), None)
            rows.append([label, row.get("gpu") or row.get("device"), row.get("dtype"), row.get("audio_h"), score])
            rows[-1] += [row.get("energy_budgeted_j"), row.get("energy_source"), row.get("stall_pct")]
        yield from _table("trial | on | format | audio h | error | budgeted J | joules are | stall %", rows)


def _parts(found: Found) -> Iterator[str]:
    yield "## All parts"
    yield ""
    rows = []
    for name, part in found.items():
        ended = next((f"{key}: {part[key]}" for key in ("error", "skipped") if key in part), "done")
        rows.append([name, part.get("took_s"), ended.replace("|", "/")[:200]])
    yield from _table("part | s | ended", rows)
