"""The verdict: what the runs show about the headline error and the energy, in one or two sentences."""

from __future__ import annotations

from collections.abc import Iterable

from greenbench.metrics import METRICS
from greenbench.report.arms import Arm, Setting
from greenbench.report.claims import Claims
from greenbench.report.ranking import ENERGY, ranked, ratio
from greenbench.report.text.amounts import budget_words, floor, interval, mean_and_spread
from greenbench.units import format_si


def verdict_sentence(setting: Setting, claims: Claims) -> str:
    """Say in one or two sentences what the runs show about the headline error and the energy, with uncertainty."""
    name = setting.headline
    arms = [arm for arm in ranked(setting) if name and arm.mean(name) is not None]
    if name is None or not arms:
        done = sum(1 for t in setting.trials if t.status == "ok")
        return f"No verdict: {done} of {len(setting.trials)} trials finished, and none has a quality figure yet."
    best, base = arms[0], setting.baseline
    budget = budget_words(setting)
    opening = f"Under the same budget of {budget}, " if budget else ""
    label = METRICS[name].label
    if base is None or best is base or base.mean(name) is None:
        others = [arm for arm in arms if arm is not best]
        if not others:
            reached = f"{opening}{best.label} reached {mean_and_spread(best, name)} {label}"
            return f"{reached}; nothing else was run to hold it against."
        lead = f"{opening}no model is below {best.label}, the baseline, in {label}: {mean_and_spread(best, name)}."
        return f"{lead} {_claims_against(others, name, claims)}"
    return f"{opening}{_difference(best, base, name, claims)} {_energy_clause(best, base, claims)}".strip()


def _difference(best: Arm, base: Arm, name: str, claims: Claims) -> str:
    label, claim = METRICS[name].label, claims.get(best.label, name)
    numbers = f"{mean_and_spread(best, name)} {label} against {mean_and_spread(base, name)} for {base.label}"
    runs = f"{min(len(best.values(name)), len(base.values(name)))} seeds"
    verdict = claim.verdict if claim else ""
    if claim is not None and verdict == "better":
        share = ratio(best, base, name)
        relative = f" {abs(1 - share) * 100:.0f} % {'lower' if share < 1 else 'higher'}," if share else ""
        return f"{best.label} is better than {base.label}: {numbers},{relative} {interval(claim, name)} over {runs}."
    if verdict == "not enough runs":
        return f"not enough runs to decide. {best.label} reached {numbers} ({_runs(best, base, name)}), {floor(claim)}."
    if claim is not None and verdict == "no difference shown":
        shown = f"{interval(claim, name)} over {runs}"
        return f"no difference shown between {best.label} and {base.label}: {numbers}; {shown}."
    return f"{best.label} reached {numbers} ({_runs(best, base, name)})."


def _runs(best: Arm, base: Arm, name: str) -> str:
    a, b = len(best.values(name)), len(base.values(name))
    return f"{a} {'run' if a == 1 else 'runs'} each" if a == b else f"{a} and {b} runs"


def _claims_against(others: Iterable[Arm], name: str, claims: Claims) -> str:
    words = [
        f"{arm.label} {mean_and_spread(arm, name)} ({claims.verdict(arm.label, name) or 'not tested'})"
        for arm in others
    ]
    return "; ".join(words) + "."


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
    kind = best.energy_kind or "kind not recorded"
    verdict = claims.verdict(best.label, ENERGY)
    tail = f": {_SAVING[verdict]}" if verdict in _SAVING else ""
    return f"It burnt {format_si(mine, 'J')} against {format_si(theirs, 'J')} ({kind}){tail}."
