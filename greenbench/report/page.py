"""``index.html``: everything a reader needs in one file, without network and without JavaScript."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenbench.metrics import METRICS, format_value
from greenbench.report import words
from greenbench.report.arm_cells import arm_swatch
from greenbench.report.arms import Setting, number, status
from greenbench.report.claims import Claims, claims_table, targets_note, targets_table
from greenbench.report.figures.power import MAX_TIMELINES
from greenbench.report.figures.style import Figure, css_variables
from greenbench.report.figures.tradeoff import ENERGY
from greenbench.report.landscape import Landscape
from greenbench.report.sections import comparison, controls, languages, ranked, ratio, shuffled, transfer
from greenbench.report.view import MARKS, Cell, Row, TableView, metric_head, plain
from greenbench.report.view import Head as ColumnHead
from greenbench.units import format_si

SECTIONS = (
    ("comparison", "Comparison"),
    ("tradeoff", "Error and energy"),
    ("curves", "Curves"),
    ("power", "Power"),
    ("phases", "Phases"),
    ("transfer", "Transfer"),
    ("landscape", "Landscape"),
    ("controls", "Controls"),
    ("warnings", "Warnings"),
    ("trials", "Trials"),
    ("provenance", "Provenance"),
)
_NO_TRANSFER = (
    "No transfer runs: every score here is of a frozen representation under a light probe. "
    "The suite key transfer in [evaluate] adds fine-tuning strategies."
)


@dataclass(frozen=True)
class Drawn:
    """The figures of one setting."""

    tradeoff: list[Figure]
    curves: list[Figure]
    power: list[Figure]
    phases: list[Figure]

    @property
    def all(self) -> list[Figure]:
        """Return all figures in page order."""
        return [*self.tradeoff, *self.curves, *self.power, *self.phases]


def render(settings: Sequence[Setting], claims: Sequence[Claims], drawn: Sequence[Drawn], landscape: Landscape) -> str:
    """Return the page as text; all data pass through the template's escaping."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).with_name("templates")
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    several = len(settings) > 1
    page = {
        "title": _title(settings),
        "css": (folder / "page.css").read_text(encoding="utf-8"),
        "js": (folder / "page.js").read_text(encoding="utf-8"),
        "light": css_variables(dark=False),
        "dark": css_variables(dark=True),
        "sections": SECTIONS,
        "marks": [(mark, word) for word, mark in MARKS.items()],
        "settings": [
            _setting_view(s, c, d, setting_name(s, settings) if several else "")
            for s, c, d in zip(settings, claims, drawn, strict=True)
        ],
        "landscape": landscape.figures,
        "costs": landscape.costs,
        "costs_note": landscape.costs_note,
        "published": landscape.published,
        "techniques": landscape.techniques,
        "warnings": words.warnings_of(settings),
        "trials": trials_table(settings),
        "provenance": [
            {"heading": setting_name(s, settings) if several else "", "facts": words.provenance(s)} for s in settings
        ],
        "unmeasured": words.unmeasured(settings),
        "command": words.command(settings),
        "footer": f"Written by greenbench {_version()} on {time.strftime('%Y-%m-%d %H:%M %Z')} from run folders; "
        "every figure can be computed again from the raw samples in them.",
    }
    return environment.get_template("index.html.j2").render(page=page)


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("greenbench")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _title(settings: Sequence[Setting]) -> str:
    suites = list(dict.fromkeys(name for s in settings for name in s.suites if name))
    budgets = list(dict.fromkeys(text for s in settings if (text := words.budget_words(s))))
    named = ", ".join(suites) or "runs"
    return f"{named}: {', '.join(budgets)} each" if budgets else named


def setting_name(setting: Setting, settings: Sequence[Setting]) -> str:
    """Name a setting by what tells it apart from the others on the page."""
    names = {
        "gpu": setting.machine["gpu"] or setting.machine["cpu"],
        "power limit": setting.machine["gpu power limit"],
        "device": setting.keys["device"],
        "dtype": setting.keys["dtype"],
        "data": setting.keys["data_fingerprint"] and f"data {setting.keys['data_fingerprint']}",
        "budget": words.budget_words(setting),
    }
    differing = []
    for key, text in names.items():
        values = {
            ({**s.machine, **s.keys}[_SOURCE[key]] or s.machine["cpu"], key == "budget" and s.keys["budget_kind"])
            for s in settings
        }
        if len(values) > 1 and text:
            differing.append(text)
    return ", ".join(differing) or names["gpu"]


_SOURCE = {
    "gpu": "gpu uuid",
    "power limit": "gpu power limit",
    "device": "device",
    "dtype": "dtype",
    "data": "data_fingerprint",
    "budget": "budget_limit",
}


def _setting_view(setting: Setting, claims: Claims, drawn: Drawn, heading: str) -> dict[str, Any]:
    more = len(setting.contestants) - MAX_TIMELINES
    base = setting.baseline
    return {
        "id": setting.prefix,
        "heading": heading,
        "verdict": words.keep_together(words.verdict_sentence(setting, claims)),
        "verdict_notes": claims.notes,
        "tiles": _tiles(setting),
        "comparison": comparison(setting, claims),
        "comparison_note": words.comparison_note(setting),
        "claims": claims_table(setting, claims),
        "tradeoff": drawn.tradeoff,
        "targets": targets_table(setting),
        "targets_note": targets_note(setting),
        "curves": drawn.curves,
        "power": drawn.power,
        "more_power": f"{more} more models have their journals in the run folders." if more > 0 else "",
        "phases": drawn.phases,
        "transfer": transfer(setting),
        "transfer_note": _NO_TRANSFER,
        "languages": languages(setting),
        "controls": controls(setting),
        "shuffled": shuffled(setting),
        "controls_note": words.controls_note(setting),
        "baseline": base.label if base else "",
    }


def _tiles(setting: Setting) -> list[dict[str, str]]:
    """Return the best model's key figures with their ratio to the baseline."""
    if not setting.headline:
        return []
    best = ranked(setting)[:1]
    names = (setting.headline, ENERGY, "co2e_g", "pretrain_flops", "peak_memory_bytes")
    tiles = []
    for arm in best:
        for name in names:
            value, share = arm.mean(name), ratio(arm, setting.baseline, name)
            if value is None:
                continue
            note = METRICS[name].kind if name != ENERGY else arm.energy_kind
            if name == "co2e_g":
                low, high = arm.mean("co2e_low_g"), arm.mean("co2e_high_g")
                note = (
                    f"{format_si(low, 'g')} to {format_si(high, 'g')} by factor"
                    if low is not None and high is not None
                    else note
                )
            against = (
                f"× {share:.2f} of {setting.baseline.label}"
                if share and setting.baseline and arm is not setting.baseline
                else ""
            )
            label = METRICS[name].label
            tiles.append(
                {
                    "name": f"{label[:1].upper()}{label[1:]} of {arm.label}",
                    "value": format_value(name, value),
                    "note": ", ".join(t for t in (against, note) if t),
                }
            )
    return tiles


_TRIAL_METRICS = (
    "budget_spent",
    "budget_overshoot_pct",
    "energy_budgeted_j",
    "energy_total_j",
    "mean_power_w",
    "wall_s",
    "audio_h",
    "steps",
    "peak_memory_bytes",
)


def trials_table(settings: Sequence[Setting]) -> TableView:
    """Build the table of all trials, failed and unfinished ones included."""
    quality = [n for n in (s.headline for s in settings) if n]
    names = [*dict.fromkeys(quality), *_TRIAL_METRICS]
    several = len(settings) > 1
    rows = []
    for setting in settings:
        for arm in setting.arms:
            for trial in arm.trials:
                seed = int(trial.manifest.get("seed", 0))
                state = status(trial) if (trial.result or {}).get("valid", True) else "invalid"
                cells = [_trial_cell(name, number(trial.row.get(name))) for name in names]
                where = (setting_name(setting, settings),) if several else ()
                label = Cell(arm.label, notes=where, look=arm_swatch(arm))
                rows.append(Row((label, Cell(str(seed), seed), Cell(state), *cells)))
    heads = (ColumnHead("Model"), ColumnHead("Seed"), ColumnHead("Status"), *(metric_head(name) for name in names))
    return TableView("All trials", heads, tuple(rows), text=(0, 2))


def _trial_cell(name: str, value: float | None) -> Cell:
    return Cell("" if value is None else format_value(name, value), value)


__all__ = ["Drawn", "plain", "render"]
