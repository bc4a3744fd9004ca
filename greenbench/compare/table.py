"""Comparisons: two arms, metric by metric, each with difference, interval, exact p and verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from greenbench import stats
from greenbench.compare.comparable import check_comparable
from greenbench.errors import DataError, IncomparableError, did_you_mean
from greenbench.metrics import METRICS, Metric
from greenbench.records import Trial
from greenbench.stats.verdicts import practical_threshold

ALPHA = 0.05
CORRECTION = "Holm, over the quality metrics and over the costs of each pair of models"
COSTS = ("energy_budgeted_j", "energy_total_j", "pretrain_s", "audio_s_per_s", "peak_memory_bytes")
"""Measured costs that are tested by default. Emissions are energy times a constant: a second test of the same thing
would only cost power. Counted figures need no test."""
COUNTED = ("params", "pretrain_flops", "flops_forward_per_audio_s", "flops_train_per_audio_s")
_ENERGY = ("energy_", "co2e_", "overhead_g", "sci_g", "energy_cost")


@dataclass(frozen=True)
class Comparison:
    """One metric of two arms. ``difference`` is new minus base; ``low`` and ``high`` its 95 % t interval.

    ``n`` is the number of pairs, or of runs on the smaller side where seeds do not match. ``p`` is that of ``test``,
    before Holm's correction (``p_adjusted``); ``p_t`` that of the t test, shown for reference and never decisive.
    """

    metric: str
    base: float
    new: float
    n: int
    difference: float
    low: float | None
    high: float | None
    p: float | None
    p_floor: float | None
    verdict: str
    base_label: str = ""
    new_label: str = ""
    n_base: int = 0
    n_new: int = 0
    paired: bool = False
    test: str = ""
    p_adjusted: float | None = None
    p_t: float | None = None
    threshold: float = 0.0
    reason: str = ""
    unit: str = ""


@dataclass(frozen=True)
class _Sides:
    """The values of one metric, in the order of common seeds where there are enough of them."""

    base: tuple[float, ...]
    new: tuple[float, ...]
    paired: bool

    @property
    def differences(self) -> list[float]:
        return [b - a for a, b in zip(self.base, self.new, strict=True)]

    @property
    def interval(self) -> tuple[float, float, float]:
        """P of the t test and the 95 % interval of the difference."""
        if self.paired:
            found = stats.t_interval(self.differences, ALPHA)
            return stats.paired_t(self.differences), found.low, found.high
        welch = stats.welch(self.base, self.new, ALPHA)
        return welch.p, welch.low, welch.high


def compare(
    base: Sequence[Trial], new: Sequence[Trial], *, metrics: Sequence[str] | None = None, alpha: float = ALPHA
) -> dict[str, Any]:
    """Compare two sets of runs; labels found on both sides are matched, a single one is compared with all others.

    Raises:
        IncomparableError: hardware, dtype, data, budget or test sets differ, or no labels match.
        DataError: a side holds no complete run, or an asked-for metric is unknown.
    """
    kept = [_complete(side, name) for side, name in ((base, "BASE"), (new, "NEW"))]
    check_comparable([*kept[0], *kept[1]])
    found: list[Comparison] = []
    notes: list[str] = []
    left_out = len(base) + len(new) - len(kept[0]) - len(kept[1])
    if left_out:
        notes.append(f"{left_out} run{'s' * (left_out > 1)} without a result left out")
    for first, second in _matched(_by_label(kept[0]), _by_label(kept[1])):
        notes += _replicates(first) + _replicates(second)
        found += compare_arms(first, second, metrics=metrics, alpha=alpha)
    if all(t.own_code for side in kept for t in side) and not any(METRICS[c.metric].quality for c in found):
        notes.append("no metric with a direction was logged: whether both do the same work is yours to know")
    return {"comparisons": [asdict(c) for c in found], "alpha": alpha, "correction": CORRECTION, "notes": notes}


def compare_arms(
    base: Sequence[Trial], new: Sequence[Trial], *, metrics: Sequence[str] | None = None, alpha: float = ALPHA
) -> list[Comparison]:
    """Compare two arms of comparable, complete runs, one :class:`Comparison` per metric that both have."""
    records = all(trial.own_code for trial in (*base, *new))
    wanted = [*_wanted(metrics), *([METRICS["wall_s"]] if records and metrics is None else [])]
    sides = {metric.name: s for metric in wanted if (s := _sides(metric, base, new)) is not None}
    quality = [name for name in sides if METRICS[name].quality]
    counted = [n for n in sides if METRICS[n].kind == "counted" and _constant(sides[n])]
    costs = [name for name in sides if name not in quality and name not in counted]
    found = {name: _without_test(METRICS[name], sides[name]) for name in counted}
    for family in (quality, costs):
        found |= _tested({name: sides[name] for name in family}, alpha)
    # The quality of a user's own program is what he logged; where he logged none, he answers for it himself.
    ungated = records and not quality
    gated = found if ungated else _quality_first(found, {name: sides[name] for name in quality}, alpha)
    return [replace(gated[name], base_label=_label(base), new_label=_label(new)) for name in METRICS if name in gated]


def _tested(family: Mapping[str, _Sides], alpha: float) -> dict[str, Comparison]:
    """Judge a family of metrics together: gates by the numbers of runs, p values corrected by Holm."""
    gates = {
        name: stats.choose_gate(
            len(s.base) if s.paired else 0, len(s.base), len(s.new), metrics=len(family), alpha=alpha
        )
        for name, s in family.items()
    }
    p_values = [gates[name].run(s.base, s.new).p for name, s in family.items()]
    found = {}
    for (name, s), p, adjusted in zip(family.items(), p_values, stats.holm(p_values), strict=True):
        gate, plain = gates[name], _without_test(METRICS[name], s)
        verdict = stats.judge(METRICS[name], plain.base, plain.new, adjusted, decidable=gate.decidable, alpha=alpha)
        p_t, low, high = s.interval
        found[name] = replace(
            plain,
            p=p,
            p_floor=gate.floor,
            p_adjusted=adjusted,
            p_t=_finite(p_t),
            low=_finite(low),
            high=_finite(high),
            verdict=verdict,
            test=gate.test,
            reason=_reason(verdict, gate, adjusted, plain, len(family), alpha),
        )
    return found


def _without_test(metric: Metric, s: _Sides) -> Comparison:
    """The comparison of a counted figure, which is the same in every run: the threshold alone decides."""
    base, new = math.fsum(s.base) / len(s.base), math.fsum(s.new) / len(s.new)
    return Comparison(
        metric.name,
        base,
        new,
        min(len(s.base), len(s.new)),
        new - base,
        new - base,
        new - base,
        None,
        None,
        stats.judge(metric, base, new, 0.0, decidable=True),
        n_base=len(s.base),
        n_new=len(s.new),
        paired=s.paired,
        test="counted",
        threshold=practical_threshold(metric, base),
        unit=metric.unit,
        reason="counted, no spread",
    )


def _reason(verdict: str, gate: stats.Gate, adjusted: float, found: Comparison, family: int, alpha: float) -> str:
    if verdict == stats.NOT_ENOUGH:
        of = f" for one of {family} metrics" if family > 1 else ""
        return (
            f"{found.n_base} against {found.n_new} runs cannot give p below {gate.floor:.2g}{of}; "
            f"{runs_needed(family, alpha=alpha)} a side can decide"
        )
    if verdict == stats.NO_DIFFERENCE:
        if adjusted > alpha:
            return f"p = {adjusted:.2g} after Holm"
        return f"smaller than the practical threshold {found.threshold:.3g}{' ' + found.unit if found.unit else ''}"
    return f"p = {adjusted:.2g} after Holm"


def quality_gate(base: Sequence[Trial], new: Sequence[Trial], *, alpha: float = ALPHA) -> str:
    """Say why ``new`` is not shown to be no worse than ``base`` on every quality metric; empty where it is.

    A gain in cost counts only behind this gate: whoever may have learnt less has not saved anything.
    """
    wanted = [metric for metric in _wanted(None) if metric.quality]
    return _closed({m.name: s for m in wanted if (s := _sides(m, base, new)) is not None}, alpha)


def runs_needed(metrics: int = 1, *, alpha: float = ALPHA) -> int:
    """The fewest runs a side with which a table of so many metrics can be decided."""
    decided = (n for n in range(2, 30) if stats.choose_gate(n, n, n, metrics=metrics, alpha=alpha).decidable)
    return next(decided, 30)


def _closed(quality: Mapping[str, _Sides], alpha: float) -> str:
    reasons = (_inferiority(METRICS[name], s, alpha) for name, s in quality.items())
    return next(filter(None, reasons), "") if quality else "no quality was measured"


def _quality_first(found: dict[str, Comparison], quality: Mapping[str, _Sides], alpha: float) -> dict[str, Comparison]:
    """Withhold energy gains of an arm that is not shown to be no worse in quality, on every quality metric."""
    failed = _closed(quality, alpha)
    if not failed:
        return found
    return {
        name: replace(c, verdict=stats.NO_DIFFERENCE, reason=f"gain not counted: {failed}")
        if name.startswith(_ENERGY) and c.verdict == stats.BETTER
        else c
        for name, c in found.items()
    }


def _inferiority(metric: Metric, s: _Sides, alpha: float) -> str:
    """Why ``new`` is not shown to be non-inferior within the practical threshold; empty if it is."""
    sign = -1.0 if metric.direction == "higher" else 1.0
    base, new = [sign * v for v in s.base], [sign * v for v in s.new]
    margin = practical_threshold(metric, math.fsum(s.base) / len(s.base))
    if s.paired:
        bound = stats.non_inferior([b - a for a, b in zip(base, new, strict=True)], margin, alpha)[1]
    else:
        bound = stats.welch(base, new, 2 * alpha).high
    if bound < margin:
        return ""
    shown = "unknown" if math.isinf(bound) else f"{bound:.3g}"
    return f"{metric.label} may be worse by {shown}, more than the margin {margin:.3g} {metric.unit}".rstrip()


# -- runs and values --------------------------------------------------------------------------------------------------


def _complete(trials: Sequence[Trial], name: str) -> list[Trial]:
    kept = [trial for trial in trials if trial.status == "ok"]
    if not kept:
        raise DataError(f"{name}: holds no complete run; finish it with greenbench run")
    return kept


def _by_label(trials: Iterable[Trial]) -> dict[str, list[Trial]]:
    arms: dict[str, list[Trial]] = {}
    for trial in trials:
        arms.setdefault(_label([trial]), []).append(trial)
    return arms


def _matched(base: dict[str, list[Trial]], new: dict[str, list[Trial]]) -> list[tuple[list[Trial], list[Trial]]]:
    if len(base) == 1:
        only = next(iter(base.values()))
        return [(only, arm) for arm in new.values()]
    common = [label for label in base if label in new]
    if common:
        return [(base[label], new[label]) for label in common]
    if len(new) == 1:
        only = next(iter(new.values()))
        return [(arm, only) for arm in base.values()]
    raise IncomparableError(
        f"no model is on both sides: {', '.join(base)} against {', '.join(new)}; give folders that share a model, "
        "or the folders of single trials"
    )


def _wanted(names: Sequence[str] | None) -> list[Metric]:
    if names is None:
        return [m for m in METRICS.values() if m.quality or m.name in COSTS or m.name in COUNTED]
    for name in names:
        if name not in METRICS:
            raise DataError(f"metric {name!r} is unknown{did_you_mean(name, METRICS)}")
    return [METRICS[name] for name in names]


def _sides(metric: Metric, base: Sequence[Trial], new: Sequence[Trial]) -> _Sides | None:
    """The values of both sides: those of the common seeds in order where all runs have a partner."""
    first, second = _values(metric, base), _values(metric, new)
    if not first or not second:
        return None
    if set(first) == set(second):
        seeds = sorted(first)
        return _Sides(tuple(first[s] for s in seeds), tuple(second[s] for s in seeds), paired=True)
    return _Sides(tuple(first.values()), tuple(second.values()), paired=False)


def _values(metric: Metric, trials: Sequence[Trial]) -> dict[int, float]:
    """Look up the metric by seed; replicates of a seed are one value, their mean. Invalid energy is left out."""
    grouped: dict[int, list[float]] = {}
    for trial in trials:
        value = trial.figure(metric.name)
        if value is not None and (trial.valid or not metric.name.startswith(_ENERGY)):
            grouped.setdefault(trial.seed, []).append(value)
    return {seed: math.fsum(v) / len(v) for seed, v in grouped.items()}


def _replicates(trials: Sequence[Trial]) -> list[str]:
    seen = [f"{_label([trial])} seed {trial.seed}" for trial in trials]
    twice = sorted({name for name in seen if seen.count(name) > 1})
    return [f"several runs of {name}: their mean counts as one" for name in twice]


def _label(trials: Sequence[Trial]) -> str:
    return trials[0].label


def _constant(s: _Sides) -> bool:
    return len(set(s.base)) == 1 and len(set(s.new)) == 1


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
