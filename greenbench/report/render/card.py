"""Model cards for the Hugging Face Hub, with the emissions of pretraining in grams."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from greenbench.metrics import METRICS, format_value
from greenbench.records import Trial, read_json
from greenbench.report.arms import Arm, Setting
from greenbench.report.learning import learning_of
from greenbench.report.ranking import EMISSIONS_AND_MONEY, ENERGY, TOTAL_ENERGY, quality_metrics
from greenbench.report.render.markdown import escape_markdown
from greenbench.report.text.amounts import budget_words, plural
from greenbench.report.text.provenance import provenance
from greenbench.resources import share


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


_FIGURES = (ENERGY, TOTAL_ENERGY, *EMISSIONS_AND_MONEY, "pretrain_flops", "params", "audio_h", "peak_memory_bytes")


def model_card(setting: Setting, arm: Arm) -> str:
    """One model's card: YAML front matter and a short text; ``co2_eq_emissions`` is in grams."""
    own = arm.counted[0].own_code
    seeds, budget = plural(len(arm.counted), "run" if own else "seed"), budget_words(setting)
    done = "Metered" if own else "Pretrained and measured"
    facts = [f"- {name}: {escape_markdown(text)}" for name, text in provenance(setting)]
    lines = [
        *_front_matter(setting, arm),
        f"# {escape_markdown(arm.label)}",
        "",
        f"{done} by greenbench over {seeds}{f' under a budget of {budget} each' if budget else ''}.",
        "",
        *_unlearnt(setting, arm),
        *_figures(setting, arm),
        "",
        "## Where it comes from",
        "",
        *facts,
        *([] if own else [f"- Licence: {_licence(arm.counted[0].data.spec)}", "", *_how_to_load(arm)]),
    ]
    return "\n".join(lines)


def _front_matter(setting: Setting, arm: Arm) -> list[str]:
    own = arm.counted[0].own_code
    head = ["---", *([] if own else ["library_name: greenbench"]), "tags:", "- greenbench"]
    head += [] if own else ["- speech", "- self-supervised-learning"]
    data = arm.counted[0].data.spec
    if data and "/" not in data:
        head += ["datasets:", f"- {json.dumps(data)}"]
    grams = arm.mean("co2e_g")
    if grams is not None:
        region = _region(arm.counted[0])
        hardware = setting.machine["gpu"] or setting.machine["cpu"]
        head += [
            "co2_eq_emissions:",
            f"  emissions: {grams:.6g}",
            f"  source: {json.dumps(_source(arm))}",
            *([] if own else ['  training_type: "pre-training"']),
        ]
        head += [f"  geographical_location: {json.dumps(region)}"] if region else []
        head += [f"  hardware_used: {json.dumps(hardware)}"] if hardware else []
    return [*head, *_model_index(setting, arm), "---", ""]


def _model_index(setting: Setting, arm: Arm) -> list[str]:
    """The scores as the Hub's ``model-index``: means over seeds; nothing where none was taken."""
    means = {name: arm.mean(name) for name in quality_metrics(setting)}
    scores = [(name, value) for name, value in means.items() if value is not None]
    data = arm.counted[0].scored_data.spec
    if not scores or not data:
        return []
    lines = ["model-index:", f"- name: {json.dumps(arm.label)}", "  results:", "  - task:"]
    lines += ["      type: feature-extraction", "    dataset:", f"      type: {json.dumps(data)}"]
    lines += [f"      name: {json.dumps(data)}", "    metrics:"]
    for name, value in scores:
        lines += [f"    - type: {name}", f"      value: {value:.6g}", f"      name: {json.dumps(METRICS[name].label)}"]
    return lines


def _figures(setting: Setting, arm: Arm) -> list[str]:
    rows = ["| figure | mean | kind |", "|:--|--:|:--|"]
    for name in (*quality_metrics(setting), *_FIGURES):
        value = arm.mean(name)
        if value is not None:
            kind = arm.energy_kind if METRICS[name].unit == "J" else METRICS[name].kind
            rows.append(f"| {METRICS[name].label} | {format_value(name, value)} | {kind} |")
    return rows


def _unlearnt(setting: Setting, arm: Arm) -> list[str]:
    """Warn who is about to use a model that has learnt nothing."""
    found = learning_of(setting).get(arm)
    if found is None or not found.nothing:
        return []
    return [f"**It is {found.verdict}**: in this pretraining it has learnt nothing that shows.", ""]


def _licence(spec: str) -> str:
    """Say what is known of licences: that of the data, where the corpus' card states it."""
    own = "the weights' licence is for their owner to state"
    try:
        card = share("data") / spec / "card.json"
    except FileNotFoundError:  # the light core has no audio, so no card of it
        return f"the data's is not known to greenbench; {own}"
    known = read_json(card).get("license") if "/" not in spec and card.is_file() else None
    return f"the data's is {known}; {own}" if known else f"the data's is not known to greenbench; {own}"


def _how_to_load(arm: Arm) -> list[str]:
    folder = arm.counted[0].path
    return [
        "## How to load it",
        "",
        "From the run folder, with greenbench installed:",
        "",
        "```python",
        "from pathlib import Path",
        "",
        "from safetensors.torch import load_file",
        "",
        "from greenbench.models.registry import build",
        "from greenbench.records import load_trial",
        "",
        f"trial = load_trial(Path({json.dumps(folder.parent.name + '/' + folder.name)}))",
        "model = build(trial.spec).eval()",
        'model.load_state_dict(load_file(trial.path / "checkpoints" / "model.safetensors"))',
        "```",
        "",
    ]


def _region(trial: Trial) -> str:
    configured = trial.config.carbon.region if trial.config else None
    return (trial.factor.region if trial.factor else "") or configured or ""


def _source(arm: Arm) -> str:
    factor = arm.counted[0].text("carbon_source") or "factor not recorded"
    return f"greenbench, {arm.energy_kind or 'unknown'} energy of the whole trial, {factor}"
