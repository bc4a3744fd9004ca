"""Power over time by phase: one trial per arm, the sum of its devices, drawn from the raw journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from greenbench.records import POWER, PhaseSpan, Trial
from greenbench.report.arms import Arm, Setting
from greenbench.report.figures.canvas import Figure, Table, canvas, finish
from greenbench.report.figures.labels import phase_legend
from greenbench.report.figures.palette import OTHER_PHASE, PHASE_COLOURS
from greenbench.units import format_duration, format_si

if TYPE_CHECKING:
    from greenbench.power.journal.trace import Trace

_POINTS = 240
MAX_TIMELINES = 8
"""Reading a journal takes time: of a large suite only the first arms are drawn; all are in the run folders."""


def timelines(setting: Setting) -> list[Figure]:
    """Draw one timeline per contestant, for the trial nearest to its median energy."""
    drawn = (_draw(setting, arm, trial) for arm in setting.contestants[:MAX_TIMELINES] if (trial := arm.representative))
    return [figure for figure in drawn if figure is not None]


def _draw(setting: Setting, arm: Arm, trial: Trial) -> Figure | None:
    from greenbench.power.journal.trace import read_journal

    spans = trial.spans
    path = trial.path / POWER
    if not spans or not path.exists():
        return None
    trace = read_journal(path)
    t_s, watts = trace.series(max_points=_POINTS)
    if not len(t_s) or trace.span_ns is None:
        return None
    begin, end = spans[0].begin_ns, max(span.end_ns for span in spans)
    length_s = (end - begin) / 1e9
    t_s = t_s + (trace.span_ns[0] - begin) / 1e9
    total = trace.window(begin, end, across_holes=True)
    tips: dict[str, str] = {}
    with canvas(2.3) as figure:
        axes = figure.add_subplot()
        _bands(axes, spans, begin, tips)
        axes.plot(t_s, watts, color="#1b1f23", linewidth=1.3)
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, length_s)
        axes.grid(axis="x", visible=False)
        axes.xaxis.set_major_formatter(lambda value, _: _clock(value, length_s))
        axes.set_xlabel("time since the trial began")
        axes.set_ylabel("power (W)")
        phase_legend(figure, [span.phase for span in spans], alpha=0.5)
        devices = ", ".join(name for name, info in trace.devices.items() if info.counted)
        return finish(
            figure,
            f"{setting.prefix}power-{arm.index}",
            f"{arm.label}: power by phase",
            f"Power of seed {trial.seed} over time ({total.kind or 'kind not recorded'}), sum of "
            f"{devices}; the coloured bands are phases.",
            _table(spans, begin, trace),
            tips=tips,
        )


def _bands(axes: Any, spans: list[PhaseSpan], begin: int, tips: dict[str, str]) -> None:
    for number, span in enumerate(spans):
        left, right = (span.begin_ns - begin) / 1e9, (span.end_ns - begin) / 1e9
        band = axes.axvspan(left, right, color=PHASE_COLOURS.get(span.phase, OTHER_PHASE), alpha=0.32, linewidth=0)
        band.set_gid(f"ph-{number}")
        torn = "" if span.complete else ", cut off"
        tips[f"ph-{number}"] = f"{span.phase}: {format_duration(span.duration_s)} from {format_duration(left)}{torn}"


def _clock(value: float, length: float) -> str:
    if length < 300:
        return f"{value:g} s"
    return f"{value / 60:g} min" if length < 18000 else f"{value / 3600:g} h"


def _table(spans: list[PhaseSpan], begin: int, trace: Trace) -> Table:
    rows = []
    for span in spans:
        energy = trace.window(span.begin_ns, span.end_ns, across_holes=True)
        rows.append(
            (
                span.phase,
                f"{(span.begin_ns - begin) / 1e9:.1f} s",
                format_duration(span.duration_s),
                format_si(energy.mean_power_w, "W"),
                format_si(energy.energy_j, "J"),
            )
        )
    return Table(("phase", "from", "duration", "mean power", "energy"), tuple(rows))
