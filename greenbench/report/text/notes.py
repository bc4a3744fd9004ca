"""How to read a table: what a ratio is to, how many seeds a mean has, what the controls say."""

from __future__ import annotations

from greenbench.metrics import METRICS, format_value
from greenbench.report.arms import Setting
from greenbench.report.claims import target_of
from greenbench.report.ranking import control_name, ranked


def comparison_note(setting: Setting) -> str:
    """Say how to read the comparison table."""
    counts = sorted({len(arm.counted) for arm in setting.contestants})
    base = setting.baseline
    ratios = f"× is the ratio to {base.label}, the baseline; " if base and len(setting.contestants) > 1 else ""
    if counts[-1:] <= [1]:
        runs = "One seed each, so nothing here has a spread."
    else:
        span = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        runs = f"Means over {span} seeds, ± one standard deviation between seeds."
    return f"{runs} {ratios}arrows point to the better direction.".replace(". a", ". A")


def controls_note(setting: Setting) -> str:
    """Say whether the best model beats its controls in the headline error."""
    name = setting.headline
    arms = [arm for arm in ranked(setting) if name and arm.mean(name) is not None]
    if name is None or not arms:
        return "What the probe achieves without a trained model."
    sign = -1 if METRICS[name].direction == "higher" else 1
    best = arms[0]
    better = [
        c for c in setting.controls if (v := c.mean(name)) is not None and sign * v <= sign * (best.mean(name) or 0)
    ]
    label = METRICS[name].label
    if better:
        names = " and ".join(control_name(c) for c in better)
        note = (
            f"Caution: {names} scores as well as {best.label} or better, so what was learnt does not show in this task."
        )
    else:
        note = f"What the same probe achieves without pretraining; {best.label} is ahead of every control in {label}."
    return f"{note} {_own_random_note(setting, name)}".strip()


def _own_random_note(setting: Setting, name: str) -> str:
    """Say how many models are ahead of their own random weights, by their means."""
    sign = -1 if METRICS[name].direction == "higher" else 1
    gains = {
        arm.label: sign * (drawn - mine)
        for arm, control in setting.own_random.items()
        if (mine := arm.mean(name)) is not None and (drawn := control.mean(name)) is not None
    }
    if len(gains) < 2:
        return ""
    behind = [label for label, gain in gains.items() if gain <= 0]
    note = f"By their means {len(gains) - len(behind)} of {len(gains)} models are ahead of their own random weights"
    return f"{note}; not so: {', '.join(behind)}." if behind else f"{note}."


def targets_note(setting: Setting) -> str:
    """Say which target."""
    target = target_of(setting)
    if target is None or setting.baseline is None:
        return ""
    name, value = target
    return (
        f"Joules until the {METRICS[name].label} that {setting.baseline.label} ends with, "
        f"{format_value(name, value)}. A run "
        "that misses it has infinite energy to target; “at most” marks runs probed only at their end."
    )
