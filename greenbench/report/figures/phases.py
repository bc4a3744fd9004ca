"""Where the joules went: energy per phase and arm, mean over seeds."""

from __future__ import annotations

import statistics

from greenbench.records import PHASES
from greenbench.report.arms import Arm, Setting
from greenbench.report.figures.canvas import Figure, Table, canvas, finish
from greenbench.report.figures.labels import phase_legend, short
from greenbench.report.figures.palette import OTHER_PHASE, PHASE_COLOURS
from greenbench.units import format_duration, format_si


def phase_means(arm: Arm) -> dict[str, tuple[float | None, float]]:
    """Return ``phase -> (mean joules, mean seconds)`` over an arm's trials, repeated phases of a trial added up."""
    joules: dict[str, list[float]] = {}
    seconds: dict[str, list[float]] = {}
    for trial in arm.counted:
        energy: dict[str, float] = {}
        duration: dict[str, float] = {}
        for part in trial.phases:
            duration[part.phase] = duration.get(part.phase, 0.0) + part.duration_s
            if part.energy_j is not None:
                energy[part.phase] = energy.get(part.phase, 0.0) + part.energy_j
        for name, value in energy.items():
            joules.setdefault(name, []).append(value)
        for name, value in duration.items():
            seconds.setdefault(name, []).append(value)
    order = [name for name in (*PHASES, *seconds) if name in seconds]
    return {
        name: (statistics.fmean(joules[name]) if name in joules else None, statistics.fmean(seconds[name]))
        for name in dict.fromkeys(order)
    }


def breakdown(setting: Setting) -> Figure | None:
    """Draw stacked bars of joules per phase; ``None`` where no trial has phase energies."""
    # Random weights of each model burn the same evaluation as the model; with one for each, they say nothing new.
    left_out = set(setting.own_random.values()) if len(setting.own_random) > 1 else set()
    arms = [(arm, phase_means(arm)) for arm in setting.arms if arm not in left_out]
    arms = [(arm, means) for arm, means in arms if any(e for e, _ in means.values())]
    if not arms:
        return None
    names = [name for name in PHASES if any(name in means for _, means in arms)]
    tips: dict[str, str] = {}
    with canvas(0.9 + 0.34 * len(arms)) as figure:
        axes = figure.add_subplot()
        for row, (arm, means) in enumerate(arms):
            left = 0.0
            for name in names:
                energy, seconds = means.get(name, (None, 0.0))
                if not energy:
                    continue
                (bar,) = axes.barh(
                    row,
                    energy,
                    left=left,
                    height=0.62,
                    color=PHASE_COLOURS.get(name, OTHER_PHASE),
                    edgecolor="#fefefe",
                    linewidth=0.6,
                )
                bar.set_gid(f"b-{row}-{name}")
                tips[f"b-{row}-{name}"] = f"{arm.label}, {name}: {format_si(energy, 'J')} in {format_duration(seconds)}"
                left += energy
        axes.set_yticks(range(len(arms)), [arm.label for arm, _ in arms])
        axes.tick_params(axis="y", length=0, labelcolor="#1b1f23")
        axes.set_ylim(len(arms) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_formatter(lambda value, _: short(format_si(value, "J")))
        axes.locator_params(axis="x", nbins=5)
        axes.set_xlabel("energy, mean over seeds")
        phase_legend(figure, names)
        return finish(
            figure,
            f"{setting.prefix}phases",
            "Energy by phase",
            "Stacked bars of joules per phase for each model and control. The budget counts features, targets, compile "
            "and pretrain; evaluation is metered and reported apart.",
            _table(arms, names),
            tips=tips,
        )


def _table(arms: list[tuple[Arm, dict[str, tuple[float | None, float]]]], names: list[str]) -> Table:
    rows = []
    for arm, means in arms:
        cells = []
        for name in names:
            energy, seconds = means.get(name, (None, 0.0))
            cells.append(f"{format_si(energy, 'J')} / {format_duration(seconds)}" if energy else "")
        rows.append((arm.label, *cells))
    return Table(("model", *names), tuple(rows))
