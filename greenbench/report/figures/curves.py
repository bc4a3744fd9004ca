"""Learning curves: the loss over steps, audio hours, joules and grams, mean and range over seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from greenbench.report.arms import Arm, Setting
from greenbench.report.figures.canvas import Figure, Table, canvas, finish
from greenbench.report.figures.labels import place_legend, short
from greenbench.report.figures.palette import Look
from greenbench.units import format_si

_POINTS = 48
_TABLE_ROWS = 6


@dataclass(frozen=True)
class Axis:
    """One abscissa of the learning curves: which key of the journal, its scale and its words."""

    name: str
    key: str
    scale: float
    label: str
    unit: str


AXES = (
    Axis("steps", "step", 1.0, "optimizer steps", ""),
    Axis("audio", "audio_s", 1 / 3600, "hours of audio, repeats included", "h"),
    Axis("joules", "joules", 1.0, "energy since training began", "J"),
    Axis("grams", "grams", 1.0, "CO2e since training began", "g"),
)


def learning_curves(setting: Setting) -> list[Figure]:
    """Draw one figure per abscissa that the journals have."""
    return [figure for figure in (_draw(setting, axis) for axis in AXES) if figure is not None]


def arm_curve(arm: Arm, axis: Axis) -> tuple[Any, Any, Any, Any] | None:
    """Resample an arm's seeds onto one grid: ``(x, mean, low, high)`` of the loss relative to its own start.

    Losses of different objectives have different scales, so each is divided by its first logged value; the grid ends
    where the shortest seed ends, so that the mean is always over all seeds.
    """
    import numpy as np

    seeds = []
    for trial in arm.counted:
        pairs = [
            (x * axis.scale, loss)
            for point in trial.learning_curve
            if (x := point.figure(axis.key)) is not None and (loss := point.figure("loss")) is not None
        ]
        if len(pairs) >= 2 and pairs[0][1] > 0:
            seeds.append(np.asarray(pairs))
    if not seeds:
        return None
    begin, end = max(s[0, 0] for s in seeds), min(s[-1, 0] for s in seeds)
    if not end > begin:
        return None
    grid = np.linspace(begin, end, _POINTS)
    stack = np.stack([np.interp(grid, _rising(s[:, 0]), _smooth(s[:, 1] / s[0, 1])) for s in seeds])
    return grid, stack.mean(0), stack.min(0), stack.max(0)


def _rising(x: Any) -> Any:
    import numpy as np

    return np.maximum.accumulate(x)


def _smooth(y: Any) -> Any:
    """Average over a fiftieth of the curve to each side, so that single batches do not hide the course."""
    import numpy as np

    reach = len(y) // 50
    if reach == 0:
        return y
    padded = np.pad(y, reach, mode="edge")
    return np.convolve(padded, np.ones(2 * reach + 1) / (2 * reach + 1), mode="valid")


def _draw(setting: Setting, axis: Axis) -> Figure | None:
    curves = [(arm, curve) for arm in setting.contestants if (curve := arm_curve(arm, axis)) is not None]
    if not curves:
        return None
    tips, rows = {}, []
    with canvas(2.9) as figure:
        axes = figure.add_subplot()
        for arm, (x, mean, low, high) in curves:
            look = Look.of(arm.index)
            axes.fill_between(x, low, high, color=look.colour, alpha=0.18, linewidth=0)
            (line,) = axes.plot(
                x,
                mean,
                color=look.colour,
                linestyle=look.dash,
                marker=look.marker,
                markevery=(0.12, 0.25),
                markersize=5.5,
                label=arm.label,
            )
            line.set_gid(f"arm-{arm.index}")
            tips[f"arm-{arm.index}"] = f"{arm.label}: {mean[-1]:.2f} of its starting loss at {_amount(x[-1], axis)}"
            chosen = range(0, _POINTS, max(1, (_POINTS - 1) // (_TABLE_ROWS - 1)))
            rows += [(arm.label, _amount(x[i], axis), f"{mean[i]:.3f}", f"{low[i]:.3f}–{high[i]:.3f}") for i in chosen]
        axes.set_xlabel(axis.label)
        axes.set_ylabel("loss / loss at start")
        axes.xaxis.set_major_formatter(lambda value, _: _amount(value, axis))
        axes.xaxis.set_major_locator(_locator(whole=axis.key == "step"))
        place_legend(figure, axes, len(curves))
        title = f"Loss over {axis.label.partition(',')[0].partition(' since')[0]}"
        description = (
            f"Training loss divided by its first value, mean over seeds with the range as a band, over {axis.label}. "
            "Objectives differ, so compare shapes and ends, not heights."
        )
        table = Table(("model", axis.label, "loss / start, mean", "range over seeds"), tuple(rows))
        return finish(figure, f"{setting.prefix}curve-{axis.name}", title, description, table, tips=tips)


def _amount(value: float, axis: Axis) -> str:
    if axis.unit == "h":
        return f"{value:.3g} h" if abs(value) >= 0.1 or value == 0 else f"{value * 60:.2g} min"
    if axis.unit:
        return short(format_si(value, axis.unit))
    return format_si(value, "", 2) if abs(value) >= 1000 else f"{value:g}"


def _locator(*, whole: bool) -> Any:
    """Few ticks; of what is counted there are whole ones only, however short the run."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4, integer=whole)
