"""Published costs beside those of these runs, every published figure with its source, and who uses which technique."""

from __future__ import annotations

from collections.abc import Sequence

from greenbench.cards import Card
from greenbench.report.arms import Arm, Setting
from greenbench.report.published import FLOPS, GPU_HOURS, MACS, SCORE, Entry, scaled, with_unit
from greenbench.report.ranking import ranked
from greenbench.report.tables.cells import Cell, Head, Row, TableView
from greenbench.units import FLOPS_PER_MAC, format_si

_COSTS = (
    ("params_m", "params", "Parameters", ""),
    (MACS, "flops_forward_per_audio_s", "MAC / s of audio", "MAC"),
    (FLOPS, "pretrain_flops", "Pretraining FLOPs", "FLOP"),
    (GPU_HOURS, "", "Pretraining GPU-hours", ""),
    ("pretrain_data_h", "", "Data hours", ""),
    (SCORE, "", "SUPERB phone error", "%"),
    ("superb_asr_wer_pct", "", "SUPERB word error", "%"),
)


def cost_table(entries: Sequence[Entry], settings: Sequence[Setting]) -> tuple[TableView, str]:
    """Hold published costs against the best model of these runs; counts and hours stay in their own columns."""
    setting = settings[0] if settings else None
    arms = ranked(setting) if setting else []
    reference = _measured(arms[0]) if arms else {}
    columns = [c for c in _COSTS if any(c[0] in e.figures for e in entries)]
    rows = []
    for arm in arms:
        own = _measured(arm)
        rows.append(
            Row((Cell(arm.label, notes=("these runs",)), *(_cost_cell(c, own, reference) for c in columns)), "base")
        )
    for entry in entries:
        own = {metric: value for metric, *_ in columns if (value := entry.value(metric)) is not None}
        if own.keys() - {"pretrain_data_h"}:
            rows.append(Row((Cell(entry.name), *(_cost_cell(c, own, reference) for c in columns))))
    heads = (
        Head("Model"),
        *(Head(label, "lower" if unit != "" or "Param" in label else "none") for _, _, label, unit in columns),
    )
    note = ""
    if arms and reference:
        note = (
            f"× is how many times the cost of {arms[0].label} as it ran here (size {_size(arms[0])}); shaded rows were "
            "counted here, all others are published."
        )
    return TableView("Costs of models, published and counted", heads, tuple(rows)), note


def _size(arm: Arm) -> str:
    return arm.trials[0].size or "unknown"


def _measured(arm: Arm) -> dict[str, float]:
    found = {}
    for metric, own, _, _ in _COSTS:
        value = arm.mean(own) if own else None
        if value is not None:
            found[metric] = value / FLOPS_PER_MAC if metric == MACS else value
    return found


def _cost_cell(column: tuple[str, str, str, str], own: dict[str, float], reference: dict[str, float]) -> Cell:
    metric, _, _, unit = column
    value = own.get(metric)
    if value is None:
        return Cell("")
    shown = (
        f"{value:g} %"
        if unit == "%"
        else f"{value:,.0f} h"
        if metric in (GPU_HOURS, "pretrain_data_h")
        else format_si(value, unit)
    )
    base = reference.get(metric)
    factor = value / base if base else None
    notes = (f"× {factor:,.0f}" if factor >= 10 else f"× {factor:.2g}",) if factor and factor != 1 else ()
    return Cell(shown, value, notes)


def published_table(entries: Sequence[Entry]) -> TableView:
    """List every published figure with its source; nothing here was measured by greenbench."""
    rows = []
    for entry in entries:
        for metric, figure in entry.figures.items():
            source = figure.source + (f" ({figure.note})" if figure.note else "")
            cells = (
                Cell(entry.name),
                Cell(entry.card.card.family),
                Cell(metric),
                Cell(with_unit(figure), scaled(figure)),
                Cell(figure.evidence),
                Cell(source),
            )
            rows.append(Row(cells))
    heads = (Head("Model"), Head("Family"), Head("Figure"), Head("Value"), Head("Evidence"), Head("Source"))
    return TableView("Published figures and their sources", heads, tuple(rows), text=(0, 1, 2, 4, 5))


_NEEDS_DTYPE = {"bf16": "bfloat16", "mixed precision": "bfloat16"}
"""Techniques that a card names but a run can do without: they ran only in this precision."""


def techniques_table(cards: Sequence[Card], settings: Sequence[Setting]) -> TableView:
    """List the techniques that cards name with the models that use them; those of these runs come first, starred."""
    arms = [(arm, s.keys["dtype"]) for s in settings for arm in s.contestants if arm.trials]
    ran = {(arm.trials[0].card, dtype) for arm, dtype in arms}
    named = {name for name, _ in ran}
    users = sorted(
        (card for card in cards if card.card.techniques), key=lambda c: (c.name not in named, c.card.title.lower())
    )
    names = list(dict.fromkeys(t for card in users for t in card.card.techniques))
    names.sort(key=lambda t: (-sum(t in c.card.techniques for c in users), t))
    rows = []
    for technique in names:
        dtype = _NEEDS_DTYPE.get(technique)
        here = {name for name, used in ran if dtype in (None, used)}
        using = [c.card.title + (" *" if c.name in here else "") for c in users if technique in c.card.techniques]
        rows.append(Row((Cell(technique), Cell(str(len(using)), len(using)), Cell(", ".join(using)))))
    return TableView(
        "Techniques", (Head("Technique"), Head("Models"), Head("Which (* ran here)")), tuple(rows), text=(0, 2)
    )
