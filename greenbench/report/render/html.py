"""``index.html``: everything a reader needs in one file, without network; JavaScript only sorts, filters and hovers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenbench.report.arms import Setting
from greenbench.report.claims import Claims
from greenbench.report.figures.canvas import Figure
from greenbench.report.figures.drawn import Drawn
from greenbench.report.figures.palette import css_variables
from greenbench.report.figures.power import MAX_TIMELINES
from greenbench.report.landscape import Landscape
from greenbench.report.tables.cells import MARKS
from greenbench.report.tables.comparison import comparison
from greenbench.report.tables.controls import controls, shuffled
from greenbench.report.tables.targets import targets_note, targets_table
from greenbench.report.tables.tiles import tiles
from greenbench.report.tables.transfer import languages, transfer
from greenbench.report.tables.trials import trials_table
from greenbench.report.tables.verdicts import claims_table
from greenbench.report.text import notes, provenance
from greenbench.report.text.amounts import keep_together, plural
from greenbench.report.text.next_steps import next_steps
from greenbench.report.text.terms import GLOSSARY, split_terms
from greenbench.report.text.titles import page_title, setting_name
from greenbench.report.text.verdict import finding_sentence, learnt_sentence
from greenbench.report.text.warnings import warnings_of

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

NAVIGATION = (
    ("budgets", "Budgets"),
    ("comparison", "Comparison"),
    ("tradeoff", "Error and energy"),
    ("curves", "Curves"),
    ("power", "Power"),
    ("phases", "Phases"),
    ("transfer", "Transfer"),
    ("landscape", "Landscape"),
    ("controls", "Controls"),
    ("trials", "Trials"),
    ("provenance", "Provenance"),
    ("glossary", "Glossary"),
)
_ABSENT = {
    "tradeoff": "Error against energy: no trial has both.",
    "curves": "Learning curves: no training journal with a loss of two steps or more was found.",
    "power": "Power by phase: no power journal was found.",
    "phases": "Energy by phase: no phase has an energy figure.",
    "transfer": "Transfer: every score here is of a frozen representation under a light probe; the suite key transfer "
    "in [evaluate] adds fine-tuning strategies.",
    "controls": 'Controls: the suite ran none; controls = ["logmel", "random"] in its [suite] adds them.',
}


def render(
    settings: Sequence[Setting],
    claims: Sequence[Claims],
    drawn: Sequence[Drawn],
    landscape: Landscape,
    budgets: Sequence[Figure] = (),
) -> str:
    """Write the page; all data pass through the template's escaping. ``budgets`` are figures over several settings."""
    folder = Path(__file__).with_name("templates")
    several = len(settings) > 1
    views = [
        _setting_view(s, c, d, setting_name(s, settings) if several else "")
        for s, c, d in zip(settings, claims, drawn, strict=True)
    ]
    absent = {key for key in _ABSENT if not any(key in view["present"] for view in views)}
    page = {
        "title": page_title(settings),
        "css": (folder / "page.css").read_text(encoding="utf-8"),
        "js": (folder / "page.js").read_text(encoding="utf-8"),
        "light": css_variables(dark=False),
        "dark": css_variables(dark=True),
        "sections": [(key, name) for key, name in NAVIGATION if key not in absent and (budgets or key != "budgets")],
        "budgets": budgets,
        "absent": [text for key, text in _ABSENT.items() if key in absent],
        "marks": [(mark, word) for word, mark in MARKS.items()],
        "settings": views,
        "next_steps": next_steps(settings, claims),
        "landscape": landscape,
        "warnings": warnings_of(settings),
        "trials": trials_table(settings),
        "provenance": [
            {"heading": setting_name(s, settings) if several else "", "facts": provenance.provenance(s)}
            for s in settings
        ],
        "unmeasured": provenance.unmeasured(settings),
        "command": provenance.command(settings),
        "glossary": GLOSSARY,
        "footer": f"Written by greenbench {_version()} on {time.strftime('%Y-%m-%d %H:%M %Z')} from run folders; "
        "every figure can be computed again from the raw samples in them.",
    }
    return _environment(folder).get_template("index.html.j2").render(page=page)


def _environment(folder: Path) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"terms": with_terms, "together": keep_together}
    return environment


def with_terms(text: str) -> Markup:
    """Escape a text and mark its abbreviations with what they stand for."""
    from markupsafe import Markup

    marked = Markup('<abbr title="{1}">{0}</abbr>')
    parts = (marked.format(part, meaning) if meaning else Markup.escape(part) for part, meaning in split_terms(text))
    return Markup("").join(parts)


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("greenbench")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _setting_view(setting: Setting, claims: Claims, drawn: Drawn, heading: str) -> dict[str, Any]:
    more = len(setting.contestants) - MAX_TIMELINES
    tables = {"transfer": transfer(setting), "languages": languages(setting), "controls": controls(setting)}
    shown = {
        "tradeoff": drawn.tradeoff,
        "curves": drawn.curves,
        "power": drawn.power,
        "phases": drawn.phases,
        "transfer": tables["transfer"].rows or tables["languages"].rows,
        "controls": tables["controls"].rows,
    }
    return {
        "id": setting.prefix,
        "heading": heading,
        "learnt": learnt_sentence(setting),
        "finding": finding_sentence(setting, claims),
        "tiles": tiles(setting),
        "comparison": comparison(setting, claims),
        "comparison_note": notes.comparison_note(setting),
        "claims": claims_table(setting, claims),
        "targets": targets_table(setting),
        "targets_note": targets_note(setting),
        "curves_note": notes.curves_note(len(drawn.curves)),
        "more_power": f"{plural(more, 'more model')} have their journals in the run folders." if more > 0 else "",
        "shuffled": shuffled(setting),
        "controls_note": notes.controls_note(setting),
        "present": {key for key, content in shown.items() if content},
        **{key: getattr(drawn, key) for key in ("tradeoff", "curves", "power", "phases")},
        **tables,
    }
