"""The verdict: what has learnt nothing, what the runs show about the headline error, and what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from greenbench.metrics import format_value
from greenbench.report.arms import Arm, Setting
from greenbench.report.claims import Claims
from greenbench.report.learning import Learning, learning_of, learnt_nothing
from greenbench.report.ranking import ENERGY, TOTAL_ENERGY, ranked, ratio
from greenbench.report.text.amounts import (
    budget_words,
    enumeration,
    floor,
    interval,
    mean_and_spread,
    plural,
    range_words,
)
from greenbench.report.text.terms import spelled
from greenbench.units import format_si

MAX_NAMED = 4
"""More models than this are counted in a sentence, and only the first are named."""


def verdict_sentence(setting: Setting, claims: Claims) -> str:
    """Say what the runs show: what learnt nothing, the best model against the baseline, its energy, how sure it is."""
    return " ".join(text for text in (learnt_sentence(setting), finding_sentence(setting, claims)) if text)


def learnt_sentence(setting: Setting) -> str:
    """Say which models are no better than untrained weights or log-mel; empty where all are, or nothing was scored."""
    name, judged = setting.headline, learning_of(setting)
    nothing = learnt_nothing(setting)
    if not nothing or name is None:
        return ""
    found = list(nothing.values())
    weights = [f for f in found if any(r.is_weights for r in f.not_beaten)]
    logmel = [f for f in found if any(not r.is_weights for r in f.not_beaten)]
    reasons = []
    if weights:
        reasons.append(f"no better than {_untrained(weights, name)}")
    if logmel:
        whose = "" if len(logmel) == len(found) else f"{_some(logmel, len(found))} "
        even = "not even better than" if weights else "no better than"
        reasons.append(f"{whose}{even} log-mel features, which need no model ({_values(logmel, name, weights=False)})")
    text = f"{_who(setting, len(judged))} nothing that shows in {spelled(name)}: {'; '.join(reasons)}."
    if setting.baseline in nothing and len(setting.contestants) > 1:
        text += (
            f" The baseline, {setting.baseline.label}, is among them." if len(nothing) > 1 else " It is the baseline."
        )
    return text


def _who(setting: Setting, judged: int) -> str:
    nothing = [arm.label for arm in learnt_nothing(setting)]
    if len(nothing) == judged:
        return f"All {judged} models have learnt" if judged > 1 else f"{nothing[0]} has learnt"
    if len(nothing) == judged - 1 > 1:
        (only,) = (arm.label for arm in learning_of(setting) if arm.label not in nothing)
        return (
            f"Only {only} has learnt: the other {len(nothing)} models ({enumeration(nothing, MAX_NAMED)}) have learnt"
        )
    names = enumeration(nothing, MAX_NAMED)
    if len(nothing) > MAX_NAMED:
        return f"{len(nothing)} of {judged} models ({names}) have learnt"
    return f"{names} {'has' if len(nothing) == 1 else 'have'} learnt"


def _some(found: Sequence[Learning], of: int) -> str:
    return enumeration([f.arm.label for f in found], MAX_NAMED) if of <= MAX_NAMED else f"{len(found)} of them"


def _untrained(found: Sequence[Learning], name: str) -> str:
    controls = {r.control for f in found for r in f.not_beaten if r.is_weights}
    values = _values(found, name, weights=True)
    if len(controls) > 1:
        return f"their own untrained weights ({values})"
    of = controls.pop().of
    own = len(found) == 1 and found[0].arm.label == of
    return f"{'its own ' if own else ''}untrained weights ({values if own else f'those of {of}, {values}'})"


def _values(found: Sequence[Learning], name: str, *, weights: bool) -> str:
    values = sorted({r.value for f in found for r in f.not_beaten if r.is_weights == weights})
    shown = list(dict.fromkeys(format_value(name, value) for value in values))
    return shown[0] if len(shown) == 1 else f"{shown[0]} to {shown[-1]}"


def finding_sentence(setting: Setting, claims: Claims) -> str:
    """Say what the runs show about the headline error and the energy, with uncertainty."""
    name = setting.headline
    arms = [arm for arm in ranked(setting) if name and arm.mean(name) is not None]
    if name is None or not arms:
        done = sum(1 for trial in setting.trials if trial.status == "ok")
        return f"No verdict: {done} of {plural(len(setting.trials), 'trial')} finished, and none has a quality figure."
    best, base = arms[0], setting.baseline
    budget = budget_words(setting)
    opening = f"Under the same budget of {budget}, " if budget else ""
    others = [arm for arm in arms if arm is not best]
    if not others:
        reached = f"{opening}{best.label} reached {mean_and_spread(best, name)} {spelled(name)}"
        return f"{reached}; nothing else was run to hold it against. {_energy_alone(best)}".strip()
    if base is None or base.mean(name) is None:
        lead = f"{opening}{best.label} reached the best {spelled(name)}, {mean_and_spread(best, name)}"
        missing = f"the baseline {base.label} has no usable trial" if base else "there is no baseline"
        return f"{lead}; {missing}, so nothing is claimed. {_energy_alone(best)}".strip()
    if best is base:
        lead = f"{opening}no model is ahead of {base.label}, the baseline, in {spelled(name)}"
        return f"{lead}: {mean_and_spread(base, name)}. {_others(others, name, claims)} {_energy_alone(base)}".strip()
    finding = _difference(best, base, name, claims, base_name=_baseline_name(setting, base))
    return f"{opening}{finding} {_energy_clause(best, base, claims)}".strip()


def _baseline_name(setting: Setting, base: Arm) -> str:
    return f"{base.label}, a baseline that has not learnt" if base in learnt_nothing(setting) else base.label


def _difference(best: Arm, base: Arm, name: str, claims: Claims, *, base_name: str) -> str:
    claim = claims.get(best.label, name)
    numbers = f"{mean_and_spread(best, name)} {spelled(name)} against {mean_and_spread(base, name)}"
    runs = plural(min(len(best.values(name)), len(base.values(name))), "seed")
    verdict = claim.verdict if claim else ""
    if claim is not None and verdict == "better":
        share = ratio(best, base, name)
        relative = f" {abs(1 - share) * 100:.0f} % {'lower' if share < 1 else 'higher'}," if share else ""
        return f"{best.label} is better than {base_name}: {numbers},{relative} {interval(claim, name)} over {runs}."
    if claim is not None and verdict == "no difference shown":
        shown = f"{interval(claim, name)} over {runs}"
        return f"no difference shown between {best.label} and {base_name}: {numbers}; {shown}."
    reached = f"{best.label} reached {numbers} for {base_name}"
    if verdict == "not enough runs":
        return f"{reached}; {_runs(best, base, name)}, not enough runs to decide{floor(claim)}."
    return f"{reached} ({_runs(best, base, name)})."


def _runs(best: Arm, base: Arm, name: str) -> str:
    a, b = len(best.values(name)), len(base.values(name))
    return f"{plural(a, 'run')} each" if a == b else f"{a} and {b} runs"


def _others(others: Iterable[Arm], name: str, claims: Claims) -> str:
    words = [
        f"{arm.label} {mean_and_spread(arm, name)} ({claims.verdict(arm.label, name) or 'not tested'})"
        for arm in others
    ]
    more = f"; {len(words) - MAX_NAMED} more in the table" if len(words) > MAX_NAMED else ""
    return "; ".join(words[:MAX_NAMED]) + more + "."


_SAVING = {
    "better": "a saving",
    "worse": "more energy",
    "no difference shown": "no difference shown",
    "not enough runs": "not enough runs to call that a difference",
}


def _energy_clause(best: Arm, base: Arm, claims: Claims) -> str:
    mine, theirs = best.mean(ENERGY), base.mean(ENERGY)
    if mine is None or theirs is None:
        return "No energy was recorded, so nothing can be said about joules."
    verdict = claims.verdict(best.label, ENERGY)
    tail = f": {_SAVING[verdict]}" if verdict in _SAVING else ""
    text = f"Training took {_joules(best, ENERGY)} against {_joules(base, ENERGY)}{tail}"
    whole = [format_si(arm.mean(TOTAL_ENERGY), "J") for arm in (best, base)]
    if all(whole):
        text += f"; the whole trial, with setup and evaluation, {' against '.join(whole)}"
    return f"{text}."


def _energy_alone(arm: Arm) -> str:
    if arm.mean(ENERGY) is None:
        return ""
    whole = arm.mean(TOTAL_ENERGY)
    more = f"; the whole trial, with setup and evaluation, {format_si(whole, 'J')}" if whole is not None else ""
    return f"Training it took {_joules(arm, ENERGY)}{more}."


def _joules(arm: Arm, name: str) -> str:
    # The uncertainty of a sensor is small and stands in the table; that of a model decides what can be said at all.
    span = range_words(arm, name) if arm.energy_kind in ("modelled", "mixed") else ""
    facts = ", ".join(text for text in (_kind(arm), span) if text)
    return f"{format_si(arm.mean(name), 'J')} ({facts})"


def _kind(arm: Arm) -> str:
    return arm.energy_kind or "kind not recorded"
