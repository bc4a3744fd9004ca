"""The comparison: one row an arm, the headline error first, then what it cost."""

from __future__ import annotations

from collections.abc import Callable

from greenbench.metrics import METRICS, format_value
from greenbench.report.arms import Arm, Setting
from greenbench.report.claims import Claims, is_merit
from greenbench.report.learning import Learning, learning_of
from greenbench.report.ranking import EMISSIONS_AND_MONEY, ENERGY, TOTAL_ENERGY, quality_metrics, ratio, with_controls
from greenbench.report.tables.cells import Cell, Head, Row, TableView, arm_cell, metric_head
from greenbench.report.text.amounts import range_words, span_words
from greenbench.report.text.terms import label
from greenbench.units import format_si

COSTS = (
    ENERGY,
    TOTAL_ENERGY,
    *EMISSIONS_AND_MONEY,
    "pretrain_flops",
    "peak_memory_bytes",
    "params",
    "audio_h",
    "audio_s_per_s",
    "steps",
    "pretrain_s",
)


PRINTED_COSTS = (ENERGY, TOTAL_ENERGY, "co2e_g", "energy_cost", "pretrain_flops")
PRINTED_QUALITY = 2
"""What a column of a paper has room for."""


def comparison(setting: Setting, claims: Claims, *, printed: bool = False) -> TableView:
    """Build the comparison: one row per contestant, best headline first, with ratios, spreads and marks.

    A control stands below its model, or below all of them, with its quality only: it was given no budget, so its costs
    compare with nothing. The headline error and its energy come first, so that both are seen on a narrow screen.
    A ``printed`` table has what a column of a paper has room for.
    """
    columns = _columns(setting, claims, printed=printed)
    rows = []
    for arm in with_controls(setting):
        cells = tuple(cell(arm) for _, cell in columns)
        is_base = arm is setting.baseline
        rows.append(Row((_name(setting, arm), *cells), "control" if arm.control else "base" if is_base else ""))
    return TableView("Comparison of the models", (Head("Model"), *(head for head, _ in columns)), tuple(rows))


Column = tuple[Head, Callable[[Arm], Cell]]


def _columns(setting: Setting, claims: Claims, *, printed: bool) -> list[Column]:
    wanted = PRINTED_COSTS if printed else COSTS
    costs = [name for name in wanted if any(arm.values(name) for arm in setting.contestants)]
    quality = quality_metrics(setting)[: PRINTED_QUALITY if printed else None]
    columns = [_metric_column(setting, claims, name) for name in (*quality[:1], *costs, *quality[1:])]
    place = len(quality[:1]) + sum(name in (ENERGY, TOTAL_ENERGY) for name in costs)
    if printed:
        return columns
    asked = [_points_column(setting)] if _points(setting) else []
    return [*columns[:place], *asked, (Head("Runs"), _runs), *columns[place:]]


def _metric_column(setting: Setting, claims: Claims, name: str) -> Column:
    def cell(arm: Arm) -> Cell:
        if arm.control and not METRICS[name].quality:
            return Cell("")
        return _compared(arm, setting.baseline, name, claims.verdict(arm.label, name))

    head = metric_head(name, _kind(setting, name))
    return (head if is_merit(setting, name) else Head(head.text, note=head.note)), cell


def _runs(arm: Arm) -> Cell:
    done, planned = len(arm.counted), len(arm.trials)
    return Cell(str(done) if done == planned else f"{done} of {planned}", done)


def _name(setting: Setting, arm: Arm) -> Cell:
    learning = learning_of(setting).get(arm)
    notes = ("baseline",) if arm is setting.baseline else ("control",) if arm.control == "logmel" else ()
    return arm_cell(arm, *notes, flag=learning.verdict if learning else "")


def _points(setting: Setting) -> dict[Arm, Learning]:
    """The models that are ahead of everything untrained, where the headline is an error in percent."""
    if setting.headline is None or METRICS[setting.headline].unit != "%":
        return {}
    found = learning_of(setting)
    return {arm: found[arm] for arm in found if not found[arm].nothing and arm.mean(ENERGY) is not None}


def _points_column(setting: Setting) -> Column:
    """Joules for each point of error that training took off the strongest untrained reference."""

    def cell(arm: Arm) -> Cell:
        found, energy = _points(setting).get(arm), arm.mean(ENERGY)
        if found is None or energy is None:
            return Cell("")
        value = energy / min(reference.lead for reference in found.references)
        return Cell(f"{format_si(value, 'J')}/point", value)

    return Head("Training energy per point", "lower", f"of {label(setting.headline or '')} below untrained"), cell


def _compared(arm: Arm, baseline: Arm | None, name: str, verdict: str) -> Cell:
    value = arm.mean(name)
    if value is None:
        return Cell("")
    notes = []
    spread, span = arm.spread(name), arm.interval(name)
    if spread:
        notes.append(f"± {format_value(name, spread)}")
    if span and METRICS[name].quality:
        notes.append(f"95 %: {span_words(*(format_value(name, bound) for bound in span))}")
    if METRICS[name].unit == "J" and (words := range_words(arm, name)):
        notes.append(words)
    if arm is not baseline and (share := ratio(arm, baseline, name)) is not None:
        notes.append(f"× {share:.2f}" if share >= 0.1 else f"× {share:.3f}")
    return Cell(format_value(name, value), value, tuple(notes), verdict)


def _kind(setting: Setting, name: str) -> str:
    metric = METRICS[name]
    if metric.unit != "J":
        return metric.kind
    kinds = sorted({arm.energy_kind for arm in setting.contestants} - {""})
    return " and ".join(kinds)
