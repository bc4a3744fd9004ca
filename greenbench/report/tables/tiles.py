"""The best model's key figures, each with its ratio to the baseline, its kind and its range."""

from __future__ import annotations

from dataclasses import dataclass

from greenbench.metrics import METRICS, format_value
from greenbench.report.arms import Arm, Setting
from greenbench.report.ranking import ENERGY, MEMORY, TOTAL_ENERGY, ranked, ratio
from greenbench.report.text.amounts import range_words
from greenbench.report.text.terms import label
from greenbench.units import format_si

_SHOWN = (ENERGY, TOTAL_ENERGY, "co2e_g", "energy_cost", "pretrain_flops", MEMORY)


@dataclass(frozen=True)
class Tile:
    """One figure: what it is and of which model, the figure, and what must be known beside it."""

    name: str
    value: str
    notes: tuple[str, ...]


def tiles(setting: Setting) -> list[Tile]:
    """The tiles of the best model; figures that it does not have are left out."""
    if not setting.headline:
        return []
    names = (setting.headline, *_SHOWN)
    return [_tile(setting, arm, name) for arm in ranked(setting)[:1] for name in names if arm.mean(name) is not None]


def _tile(setting: Setting, arm: Arm, name: str) -> Tile:
    base, share = setting.baseline, ratio(arm, setting.baseline, name)
    against = f"× {share:.2f} of {base.label}" if share and base and arm is not base else ""
    text = label(name)
    notes = (against, _kind(arm, name), _parts(name))
    return Tile(
        f"{text[:1].upper()}{text[1:]}, {arm.label}",
        format_value(name, arm.mean(name)),
        tuple(note for note in notes if note),
    )


def _kind(arm: Arm, name: str) -> str:
    if METRICS[name].unit == "J":
        return ", ".join(text for text in (arm.energy_kind, range_words(arm, name)) if text)
    low, high = arm.mean("co2e_low_g"), arm.mean("co2e_high_g")
    if name == "co2e_g" and low is not None and high is not None:
        return f"{format_si(low, 'gCO2e')} to {format_si(high, 'gCO2e')} by the grid's factor"
    return METRICS[name].kind


def _parts(name: str) -> str:
    """What is in an energy: the two that stand side by side must not be taken for each other."""
    return {ENERGY: "features, targets, compilation, pretraining", TOTAL_ENERGY: "setup and evaluation included"}.get(
        name, ""
    )
