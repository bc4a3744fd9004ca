"""``index.html``: everything a reader needs in one file, without network; JavaScript only sorts, filters and hovers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from greenbench.metrics import METRICS, format_value
from greenbench.report.arms import Setting
from greenbench.report.claims import Claims
from greenbench.report.figures.drawn import Drawn
from greenbench.report.figures.palette import css_variables
from greenbench.report.figures.power import MAX_TIMELINES
from greenbench.report.landscape import Landscape
from greenbench.report.ranking import ENERGY, ranked, ratio
from greenbench.report.tables.cells import MARKS
from greenbench.report.tables.comparison import comparison
from greenbench.report.tables.controls import controls, shuffled
from greenbench.report.tables.targets import targets_table
from greenbench.report.tables.transfer import languages, transfer
from greenbench.report.tables.trials import trials_table
from greenbench.report.tables.verdicts import claims_table
from greenbench.report.text import notes, provenance
from greenbench.report.text.amounts import keep_together
from greenbench.report.text.titles import page_title, setting_name
from greenbench.report.text.verdict import verdict_sentence
from greenbench.report.text.warnings import warnings_of
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
        "title": page_title(settings),
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
        "warnings": warnings_of(settings),
        "trials": trials_table(settings),
        "provenance": [
            {"heading": setting_name(s, settings) if several else "", "facts": provenance.provenance(s)}
            for s in settings
        ],
        "unmeasured": provenance.unmeasured(settings),
        "command": provenance.command(settings),
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


def _setting_view(setting: Setting, claims: Claims, drawn: Drawn, heading: str) -> dict[str, Any]:
    more = len(setting.contestants) - MAX_TIMELINES
    base = setting.baseline
    return {
        "id": setting.prefix,
        "heading": heading,
        "verdict": keep_together(verdict_sentence(setting, claims)),
        "verdict_notes": claims.notes,
        "tiles": _tiles(setting),
        "comparison": comparison(setting, claims),
        "comparison_note": notes.comparison_note(setting),
        "claims": claims_table(setting, claims),
        "tradeoff": drawn.tradeoff,
        "targets": targets_table(setting),
        "targets_note": notes.targets_note(setting),
        "curves": drawn.curves,
        "power": drawn.power,
        "more_power": f"{more} more models have their journals in the run folders." if more > 0 else "",
        "phases": drawn.phases,
        "transfer": transfer(setting),
        "transfer_note": _NO_TRANSFER,
        "languages": languages(setting),
        "controls": controls(setting),
        "shuffled": shuffled(setting),
        "controls_note": notes.controls_note(setting),
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
