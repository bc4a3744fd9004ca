"""How to read a table: what a ratio is to, how many seeds a mean has, what the controls say."""

from __future__ import annotations

from greenbench.report.arms import Setting
from greenbench.report.learning import learning_of
from greenbench.report.text.amounts import enumeration, plural
from greenbench.report.text.terms import spelled
from greenbench.report.text.verdict import learnt_sentence


def comparison_note(setting: Setting) -> str:
    """Say how to read the comparison table."""
    counts = sorted({len(arm.counted) for arm in setting.contestants})
    base = setting.baseline
    if counts[-1:] <= [1]:
        notes = ["One seed each, so nothing here has a spread."]
    else:
        span = plural(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
        notes = [f"Means over {span}, ± one standard deviation between seeds."]
    if base and len(setting.contestants) > 1:
        notes.append(f"× is the ratio to {base.label}, the baseline; arrows point to the better direction.")
    if any(arm.energy_range("energy_budgeted_j") for arm in setting.contestants):
        notes.append("Below joules stands the range that the meter or the power model allows.")
    return " ".join(notes)


def controls_note(setting: Setting) -> str:
    """Say what training made of untrained weights, by means and untested, and which models have learnt nothing."""
    name, judged = setting.headline, learning_of(setting)
    if name is None or not judged:
        return "What the same probe achieves without a trained model."
    ahead = [found for found in judged.values() if not found.nothing]
    notes = ["What the same probe achieves without pretraining.", learnt_sentence(setting)]
    if ahead:
        who = f"All {len(judged)} models are" if len(ahead) == len(judged) > 1 else _are([f.arm.label for f in ahead])
        notes.append(f"{who} ahead of untrained weights and log-mel in {spelled(name)}.")
    if len(setting.own_random) > 1:
        notes.append(_own_random_note(setting))
    return " ".join(note for note in notes if note)


def _are(labels: list[str]) -> str:
    return f"{enumeration(labels, 8)} {'is' if len(labels) == 1 else 'are'}"


def _own_random_note(setting: Setting) -> str:
    """Say how many models are ahead of their own random weights by more than the practical threshold."""
    found = learning_of(setting)
    own = {arm: r for arm in setting.own_random if arm in found for r in found[arm].references if r.is_weights}
    ahead = [arm for arm, reference in own.items() if reference.standing == "ahead"]
    others = [arm.label for arm in own if arm not in ahead]
    note = f"By their means {len(ahead)} of {len(own)} models are ahead of their own random weights"
    return f"{note}; not so: {', '.join(others)}." if others else f"{note}."


def curves_note(figures: int) -> str:
    """Say how to read the learning curves."""
    seen = "The course of training." if figures < 2 else f"The same training seen against {_COUNTS[figures]} costs."
    return (
        f"{seen} Each loss is divided by its own start: objectives differ, so heights do not compare between models; "
        "how soon a curve flattens does."
    )


_COUNTS = ("no", "one", "two", "three", "four")
