"""Model cards for the Hugging Face Hub, with the emissions of pretraining in grams."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from greenbench.metrics import METRICS, format_value
from greenbench.records import Trial
from greenbench.report.arms import Arm, Setting
from greenbench.report.ranking import quality_metrics
from greenbench.report.render.markdown import escape_markdown
from greenbench.report.text.amounts import budget_words
from greenbench.report.text.provenance import provenance


def model_cards(settings: Sequence[Setting]) -> dict[str, str]:
    """One card per contestant, by a file name without its suffix."""
    cards = {}
    for setting in settings:
        for arm in setting.contestants:
            if arm.counted:
                name = f"{setting.prefix}{re.sub(r'[^A-Za-z0-9._-]+', '_', arm.label).strip('._') or 'model'}"
                while name in cards:
                    name += "_"
                cards[name] = model_card(setting, arm)
    return cards


def model_card(setting: Setting, arm: Arm) -> str:
    """One model's card: YAML front matter and a short text; ``co2_eq_emissions`` is in grams."""
    head = ["---", "tags:", "- speech", "- self-supervised-learning", "- greenbench"]
    grams = arm.mean("co2e_g")
    if grams is not None:
        region = _region(arm.counted[0])
        hardware = setting.machine["gpu"] or setting.machine["cpu"]
        head += [
            "co2_eq_emissions:",
            f"  emissions: {grams:.6g}",
            f"  source: {json.dumps(_source(arm))}",
            '  training_type: "pre-training"',
        ]
        head += [f"  geographical_location: {json.dumps(region)}"] if region else []
        head += [f"  hardware_used: {json.dumps(hardware)}"] if hardware else []
    head += ["---", ""]
    body = [
        f"# {escape_markdown(arm.label)}",
        "",
        f"Pretrained and measured by greenbench over {len(arm.counted)} seeds"
        + (f" under a budget of {budget_words(setting)} each." if budget_words(setting) else "."),
        "",
    ]
    body += ["| figure | mean | kind |", "|:--|--:|:--|"]
    for name in (
        *quality_metrics(setting),
        "energy_budgeted_j",
        "energy_total_j",
        "co2e_g",
        "overhead_g",
        "embodied_g",
        "sci_g",
        "energy_cost",
        "pretrain_flops",
        "params",
        "audio_h",
        "peak_memory_bytes",
    ):
        value = arm.mean(name)
        if value is not None:
            kind = arm.energy_kind if METRICS[name].unit == "J" else METRICS[name].kind
            body.append(f"| {METRICS[name].label} | {format_value(name, value)} | {kind} |")
    facts = [f"- {name}: {escape_markdown(text)}" for name, text in provenance(setting)]
    return "\n".join([*head, *body, "", *facts, ""])


def _region(trial: Trial) -> str:
    configured = trial.config.carbon.region if trial.config else None
    return (trial.factor.region if trial.factor else "") or configured or ""


def _source(arm: Arm) -> str:
    factor = arm.counted[0].text("carbon_source") or "factor not recorded"
    return f"greenbench, {arm.energy_kind or 'unknown'} energy of the whole trial, {factor}"
