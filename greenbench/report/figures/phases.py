"""Where the joules went: energy per phase and arm, mean over seeds, with the range of the whole."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from greenbench.records import PHASES, Trial
from greenbench.report.arms import Arm, Setting
from greenbench.report.figures.canvas import Figure, Table, canvas, finish
from greenbench.report.figures.labels import phase_legend, short
from greenbench.report.figures.palette import OTHER_PHASE, PHASE_COLOURS
from greenbench.report.text.amounts import span_words
from greenbench.units import format_duration, format_si


@dataclass(frozen=True)
class PhaseMean:
    """A phase's mean over an arm's trials, repeated phases of a trial added up; absent joules are None."""

    duration_s: float
    energy_j: float | None = None
    low_j: float | None = None
    high_j: float | None = None


def phase_means(arm: Arm) -> dict[str, PhaseMean]:
    """The means of an arm's phases, in the order of a trial."""
    sums = [_sums(trial) for trial in arm.counted]
    present = list(dict.fromkeys(name for found in sums for name in found))
    names = [name for name in dict.fromkeys((*PHASES, *present)) if name in present]
    return {name: _mean([found[name] for found in sums if name in found]) for name in names}


def _sums(trial: Trial) -> dict[str, PhaseMean]:
    found: dict[str, PhaseMean] = {}
    for part in trial.phases:
        before = found.get(part.phase, PhaseMean(0.0))
        found[part.phase] = PhaseMean(
            before.duration_s + part.duration_s,
            _plus(before.energy_j, part.energy_j),
            _plus(before.low_j, part.energy_low_j),
            _plus(before.high_j, part.energy_high_j),
        )
    return found


def _plus(a: float | None, b: float | None) -> float | None:
    return b if a is None else a if b is None else a + b


def _mean(parts: Sequence[PhaseMean]) -> PhaseMean:
    def over(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return statistics.fmean(known) if known else None

    return PhaseMean(
        statistics.fmean(part.duration_s for part in parts),
        over([part.energy_j for part in parts]),
        over([part.low_j for part in parts]),
        over([part.high_j for part in parts]),
    )


def breakdown(setting: Setting) -> Figure | None:
    """Draw stacked bars of joules per phase; ``None`` where no trial has phase energies."""
    # Random weights of each model take the same evaluation as the model; with one for each, they say nothing new.
    left_out = set(setting.own_random.values()) if len(setting.own_random) > 1 else set()
    arms = [(arm, phase_means(arm)) for arm in setting.arms if arm not in left_out]
    arms = [(arm, means) for arm, means in arms if any(mean.energy_j for mean in means.values())]
    if not arms:
        return None
    names = [name for name in PHASES if any(name in means for _, means in arms)]
    tips: dict[str, str] = {}
    with canvas(0.9 + 0.34 * len(arms)) as figure:
        axes = figure.add_subplot()
        for row, (arm, means) in enumerate(arms):
            _bar(axes, row, arm, means, tips)
        axes.set_yticks(range(len(arms)), [arm.label for arm, _ in arms])
        axes.tick_params(axis="y", length=0, labelcolor="#1b1f23")
        axes.set_ylim(len(arms) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_formatter(lambda value, _: short(format_si(value, "J")))
        axes.locator_params(axis="x", nbins=5)
        axes.set_xlabel("energy, mean over seeds; line: range of the whole")
        phase_legend(figure, names)
        return finish(
            figure,
            f"{setting.prefix}phases",
            "Energy by phase",
            "Stacked bars of joules per phase for each model and control, with a line from the lowest to the highest "
            "sum that the meter or the power model allows.",
            _table(arms, names),
            tips=tips,
            note="The budget pays for features, targets, compile and pretrain; setup, evaluation and the idle baseline "
            "are metered and reported apart.",
        )


def _bar(axes: Any, row: int, arm: Arm, means: Mapping[str, PhaseMean], tips: dict[str, str]) -> None:
    left = 0.0
    for name, mean in means.items():
        if not mean.energy_j:
            continue
        (bar,) = axes.barh(
            row,
            mean.energy_j,
            left=left,
            height=0.62,
            color=PHASE_COLOURS.get(name, OTHER_PHASE),
            edgecolor="#fefefe",
            linewidth=0.6,
        )
        bar.set_gid(f"b-{row}-{name}")
        amount = f"{format_si(mean.energy_j, 'J')} in {format_duration(mean.duration_s)}"
        tips[f"b-{row}-{name}"] = f"{arm.label}, {name}: {amount}"
        left += mean.energy_j
    span = whole_range(means)
    if span is not None:
        (line,) = axes.plot(span, [row, row], color="#1b1f23", linewidth=1.2, marker="|", markersize=6, zorder=3)
        line.set_gid(f"r-{row}")
        words = span_words(*(format_si(bound, "J") for bound in span))
        tips[f"r-{row}"] = f"{arm.label}: {format_si(left, 'J')} in all, {words} allowed"


def whole_range(means: Mapping[str, PhaseMean]) -> tuple[float, float] | None:
    """The range of the sum of all phases; None where a phase with joules has no range."""
    known = [mean for mean in means.values() if mean.energy_j is not None]
    low, high = [mean.low_j for mean in known], [mean.high_j for mean in known]
    if not known or None in low or None in high:
        return None
    return sum(value for value in low if value is not None), sum(value for value in high if value is not None)


def _table(arms: Sequence[tuple[Arm, Mapping[str, PhaseMean]]], names: Sequence[str]) -> Table:
    rows = []
    for arm, means in arms:
        cells = []
        for name in names:
            mean = means.get(name, PhaseMean(0.0))
            energy = format_si(mean.energy_j, "J")
            cells.append(f"{energy} / {format_duration(mean.duration_s)}" if mean.energy_j else "")
        span = whole_range(means)
        rows.append((arm.label, *cells, span_words(*(format_si(b, "J") for b in span)) if span else ""))
    return Table(("model", *names, "range of the sum"), tuple(rows))
