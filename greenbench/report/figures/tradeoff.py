"""Error against energy: every trial a point, every arm its mean with intervals, the Pareto front and the budget line."""

from __future__ import annotations

from collections.abc import Sequence

from greenbench.metrics import METRICS, format_value
from greenbench.report.collect import Arm, Setting
from greenbench.report.figures.style import Figure, Look, Table, canvas, finish, place_labels
from greenbench.units import format_si

ENERGY = "energy_budgeted_j"


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the places of the points that no other point beats in both coordinates (lower is better), by energy."""
    order = sorted(range(len(points)), key=lambda i: points[i])
    kept: list[int] = []
    for i in order:
        if not kept or points[i][1] < points[kept[-1]][1]:
            kept.append(i)
    return kept


def tradeoff(setting: Setting) -> Figure | None:
    """Draw the headline error against the budgeted joules; needs one contestant with both."""
    quality = setting.headline
    if quality is None:
        return None
    arms = [arm for arm in setting.contestants if arm.values(quality) and arm.values(ENERGY)]
    if not arms:
        return None
    metric = METRICS[quality]
    tips: dict[str, str] = {}
    with canvas(3.6) as figure:
        axes = figure.add_subplot()
        for arm in arms:
            _points(axes, arm, quality, tips)
        _front(axes, arms, quality)
        _references(axes, setting, quality)
        axes.set_xlabel(f"energy, features to pretraining ({_kinds(arms)})")
        arrow = {"lower": "lower is better", "higher": "higher is better"}.get(metric.direction, "")
        axes.set_ylabel(f"{metric.label} ({metric.unit or '1'}), {arrow}")
        axes.xaxis.set_major_formatter(lambda value, _: format_si(value, "J"))
        axes.margins(0.22, 0.2)
        axes.locator_params(axis="x", nbins=5)
        place_labels(axes, [(m[0], m[1], arm.label, "#1b1f23") for arm in arms if (m := _means(arm, quality))])
        return finish(
            figure,
            f"{setting.prefix}tradeoff",
            f"{metric.label} against energy",
            f"{metric.label} against joules for {len(arms)} models. Small marks are single trials, large ones means; the "
            "stepped line is the Pareto front: no model to its lower left.",
            _table(setting, arms, quality),
            tips=tips,
        )


def _means(arm: Arm, quality: str) -> tuple[float, float]:
    energy, error = arm.mean(ENERGY), arm.mean(quality)
    assert energy is not None
    assert error is not None
    return energy, error


def _points(axes, arm: Arm, quality: str, tips: dict[str, str]) -> None:  # type: ignore[no-untyped-def]
    look = Look.of(arm.index)
    energy, error = arm.values(ENERGY), arm.values(quality)
    seeds = sorted(energy.keys() & error.keys())
    for seed in seeds:
        (dot,) = axes.plot(
            energy[seed], error[seed], look.marker, color=look.colour, markersize=4, alpha=0.45, markeredgewidth=0
        )
        dot.set_gid(f"p-{arm.index}-{seed}")
        tips[f"p-{arm.index}-{seed}"] = (
            f"{arm.label}, seed {seed}: {format_value(quality, error[seed])}, {format_value(ENERGY, energy[seed])}"
        )
    x, y = _means(arm, quality)
    (mean,) = axes.plot(x, y, look.marker, color=look.colour, markersize=9.5, markeredgecolor="#fefefe", markeredgewidth=1)
    mean.set_gid(f"m-{arm.index}")
    spread = arm.spread(quality)
    tips[f"m-{arm.index}"] = (
        f"{arm.label}: {format_value(quality, y)}{f' ± {spread:.2g} over seeds' if spread else ''}, {format_value(ENERGY, x)}"
    )


def _front(axes, arms: Sequence[Arm], quality: str) -> None:  # type: ignore[no-untyped-def]
    sign = -1 if METRICS[quality].direction == "higher" else 1
    means = [_means(arm, quality) for arm in arms]
    best = [means[i] for i in front([(x, sign * y) for x, y in means])]
    axes.step([x for x, _ in best], [y for _, y in best], where="post", color="#57606b", linewidth=1.1, zorder=1)


def _references(axes, setting: Setting, quality: str) -> None:  # type: ignore[no-untyped-def]
    """Draw the controls as horizontal lines (they burn no pretraining joules) and a budget in joules as a vertical one."""
    for control in setting.controls:
        value = control.mean(quality)
        if value is not None:
            axes.axhline(value, color="#57606b", linestyle=(0, (2, 2)), linewidth=1, zorder=0)
            axes.annotate(
                control_name(control), (1, value), xycoords=("axes fraction", "data"), xytext=(-2, 2),
                textcoords="offset points", ha="right", va="bottom", fontsize=9, color="#57606b",
            )  # fmt: skip
    limit = setting.keys.get("budget_limit")
    if setting.keys.get("budget_kind") == "joules" and limit:
        axes.axvline(float(limit), color="#1b1f23", linewidth=1.1, zorder=0)
        axes.annotate(
            "budget", (float(limit), 1), xycoords=("data", "axes fraction"), xytext=(3, -2), rotation=90,
            textcoords="offset points", ha="left", va="top", fontsize=9, color="#1b1f23",
        )  # fmt: skip


def control_name(arm: Arm) -> str:
    """Return a control's name in words."""
    if arm.control == "logmel":
        return "log-mel, no model"
    kind, _, of = arm.control.partition(":")
    return f"{of}, random weights" if kind == "random" and of else arm.label


def _kinds(arms: Sequence[Arm]) -> str:
    kinds = sorted({arm.energy_kind for arm in arms} - {""})
    return " and ".join(kinds) or "kind not recorded"


def _table(setting: Setting, arms: Sequence[Arm], quality: str) -> Table:
    rows = []
    for arm in arms:
        error, energy = arm.values(quality), arm.values(ENERGY)
        rows += [
            (arm.label, str(seed), format_value(quality, error[seed]), format_value(ENERGY, energy[seed]))
            for seed in sorted(error.keys() & energy.keys())
        ]
    rows += [
        (control_name(arm), str(seed), format_value(quality, value), "")
        for arm in setting.controls
        for seed, value in sorted(arm.values(quality).items())
    ]
    return Table(("model", "seed", METRICS[quality].label, "energy"), tuple(rows))
