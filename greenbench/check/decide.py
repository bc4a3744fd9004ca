"""One budget entry against one model's figures: pass, fail or not decidable, and what would decide it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from greenbench.check.budgets import Budget
from greenbench.metrics import format_value
from greenbench.stats import choose_gate, permutation_floor, prediction_interval, required_runs, t_interval, welch

PASS, FAIL, UNDECIDABLE = "pass", "fail", "undecidable"
MIN_PREDICTION = 5
"""Accepted runs that a prediction interval for fewer new runs must rest on."""

Values = Mapping[int, float]


@dataclass(frozen=True)
class Entry:
    """A decided entry. ``increase`` is relative to the baseline; ``more_runs`` a side would decide an open one."""

    metric: str
    scope: str
    kind: str
    limit: float
    value: float | None
    baseline: float | None
    verdict: str
    reason: str
    severity: str = "fail"
    runs: int = 0
    baseline_runs: int = 0
    increase: float | None = None
    increase_high: float | None = None
    p: float | None = None
    more_runs: int | None = None
    line: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def decide(budget: Budget, scope: str, new: Values, base: Values | None) -> Entry:
    """Decide an entry for figures by seed; ``base`` is needed for ``max_increase`` and ``max_decrease``."""
    if not new:
        hint = "; it is counted by 'greenbench check --static'" if budget.exact else ""
        return _entry(budget, scope, new, base, UNDECIDABLE, f"these runs have no {budget.metric}{hint}")
    if budget.relative and not base:
        reason = f"the baseline has no {budget.metric} for it; accept one with 'greenbench baseline accept'"
        return _entry(budget, scope, new, base, UNDECIDABLE, reason)
    if budget.exact:
        return _exact(budget, scope, new, base or {})
    short = min(len(new), len(base) if budget.relative and base else len(new))
    if short < budget.min_runs:
        reason = f"{short} runs, min_runs asks for {budget.min_runs}"
        return _entry(budget, scope, new, base, UNDECIDABLE, reason, more_runs=budget.min_runs - short)
    return _noisy_change(budget, scope, new, base) if budget.relative and base else _noisy_limit(budget, scope, new)


def _exact(budget: Budget, scope: str, new: Values, base: Values) -> Entry:
    worst = max if budget.sign > 0 else min
    value = worst(new.values())
    if not budget.relative:
        verdict = PASS if budget.sign * (value - budget.limit) <= 0 else FAIL
        reason = f"{_figure(budget, value)}, {budget.kind} {_figure(budget, budget.limit)}; exact"
        return _entry(budget, scope, {0: value}, None, verdict, reason)
    # The least of several accepted figures would make the gate depend on which run was accepted first.
    accepted = worst(base.values())
    allowed = accepted * (1 + budget.sign * budget.limit)
    slack = 1e-9 * abs(accepted)
    verdict = PASS if budget.sign * (value - allowed) <= slack else FAIL
    change = _relative(value, accepted)
    shown = "unchanged" if change == 0 else f"{change:+.2%}" if math.isfinite(change) else "from 0"
    reason = (
        f"{_figure(budget, accepted)} → {_figure(budget, value)} ({shown}), limit {_figure(budget, allowed)}; exact"
    )
    return _entry(budget, scope, {0: value}, {0: accepted}, verdict, reason, increase=change)


def _noisy_limit(budget: Budget, scope: str, new: Values) -> Entry:
    values = [budget.sign * v for v in new.values()]
    limit = budget.sign * budget.limit
    mean = statistics.fmean(values)
    shown = f"{_figure(budget, budget.sign * mean)}, {budget.kind} {_figure(budget, budget.limit)}"
    if len(values) == 1:
        verdict = PASS if mean <= limit else FAIL
        return _entry(budget, scope, new, None, verdict, f"{shown}; one run, so without its spread")
    interval = t_interval(values, 2 * budget.alpha)
    bounds = sorted((budget.sign * interval.low, budget.sign * interval.high))
    around = f"{1 - 2 * budget.alpha:.0%} interval {_figure(budget, bounds[0])} to {_figure(budget, bounds[1])}"
    if interval.high <= limit or interval.low > limit:
        return _entry(budget, scope, new, None, PASS if interval.high <= limit else FAIL, f"{shown}; {around}")
    wanted = required_runs(limit - mean, statistics.stdev(values), alpha=budget.alpha, paired=True, limit=1000)
    more = max(1, wanted - len(values))
    reason = f"{shown}; the {around} holds the limit; {_more(more)}"
    return _entry(budget, scope, new, None, UNDECIDABLE, reason, more_runs=more)


def _noisy_change(budget: Budget, scope: str, new: Values, base: Values) -> Entry:
    pairs = sorted(new.keys() & base.keys())
    seeds_match = len(pairs) == len(new) == len(base)
    first = [budget.sign * base[s] for s in (pairs if seeds_match else sorted(base))]
    second = [budget.sign * new[s] for s in (pairs if seeds_match else sorted(new))]
    gate = choose_gate(len(pairs), len(first), len(second), alpha=budget.alpha)
    if gate.decidable:
        p = gate.run(first, second).p
        high = welch(first, second, 2 * budget.alpha).high
        return _judged(budget, scope, new, base, first, second, p, high, f"{gate.test} test")
    if len(first) >= MIN_PREDICTION:
        return _predicted(budget, scope, new, base, first, second)
    more = max(1, _runs_to_decide(budget, first, second) - min(len(first), len(second)))
    reason = (
        f"{len(second)} against {len(first)} runs: no exact test can go below p = {gate.floor:.2g}, alpha is "
        f"{budget.alpha:g}; "
        f"{_more(more)}"
    )
    return _entry(
        budget, scope, new, base, UNDECIDABLE, reason, increase=_change(budget, first, second), more_runs=more
    )


def _judged(
    budget: Budget,
    scope: str,
    new: Values,
    base: Values,
    first: list[float],
    second: list[float],
    p: float,
    high: float,
    test: str,
) -> Entry:
    """Fail where a change is significant and beyond the limit; pass where more than the limit can be ruled out."""
    scale = abs(statistics.fmean(first)) or math.inf
    worse = (statistics.fmean(second) - statistics.fmean(first)) / scale
    upper = high / scale
    change = _change(budget, first, second)
    allowed = f"allowed {budget.sign * budget.limit:+.1%}"
    shown = f"{_means(budget, first, second)} ({change:+.1%}), {allowed}; {test} p = {p:.2g}"
    more = None
    if worse > budget.limit and p <= budget.alpha:
        verdict = FAIL
    elif worse <= budget.limit and upper <= budget.limit:
        verdict = PASS
    else:
        verdict = UNDECIDABLE
        more = max(1, _runs_to_decide(budget, first, second) - min(len(first), len(second)))
        shown += f"; up to {upper:+.1%} cannot be ruled out; {_more(more)}"
    return _entry(budget, scope, new, base, verdict, shown, increase=change, increase_high=upper, p=p, more_runs=more)


def _predicted(budget: Budget, scope: str, new: Values, base: Values, first: list[float], second: list[float]) -> Entry:
    """Hold fewer new runs than a test needs against where the accepted runs say that they fall."""
    interval = prediction_interval(first, len(second), budget.alpha)
    scale = abs(statistics.fmean(first)) or math.inf
    mean = statistics.fmean(second)
    worse, reach = (mean - interval.estimate) / scale, (interval.high - interval.estimate) / scale
    change = _change(budget, first, second)
    shown = (
        f"{_means(budget, first, second)} ({change:+.1%}), allowed {budget.sign * budget.limit:+.1%}; the "
        f"accepted runs "
        f"predict {-reach:+.1%} to {reach:+.1%}"
    )
    more = None
    if mean > interval.high and worse > budget.limit:
        verdict = FAIL
    elif worse <= budget.limit and reach <= budget.limit:
        verdict = PASS
    else:
        verdict = UNDECIDABLE
        more = max(1, _runs_to_decide(budget, first, second) - len(second))
        shown += f"; {_more(more)}"
    return _entry(budget, scope, new, base, verdict, shown, increase=change, more_runs=more)


def _runs_to_decide(budget: Budget, first: list[float], second: list[float]) -> int:
    """The runs a side that find a change of the allowed size in four of five cases."""
    spreads = [statistics.variance(v) for v in (first, second) if len(v) > 1]
    sd = math.sqrt(statistics.fmean(spreads)) if spreads else 0.0
    allowed = budget.limit * abs(statistics.fmean(first))
    by_spread = required_runs(allowed, sd, alpha=budget.alpha, limit=1000) if allowed > 0 else 1000
    by_floor = next(n for n in range(2, 50) if permutation_floor(n, n) <= budget.alpha)
    return max(by_spread, by_floor)


def _more(runs: int) -> str:
    if runs >= 900:
        return "no practical number of runs would decide: the limit is too tight for the spread"
    return f"about {runs} more {'run' if runs == 1 else 'runs'} a side would decide"


def _means(budget: Budget, first: list[float], second: list[float]) -> str:
    old, new = (budget.sign * statistics.fmean(v) for v in (first, second))
    return f"{_figure(budget, old)} → {_figure(budget, new)}"


def _change(budget: Budget, first: list[float], second: list[float]) -> float:
    return _relative(budget.sign * statistics.fmean(second), budget.sign * statistics.fmean(first))


def _relative(value: float, base: float) -> float:
    if base:
        return (value - base) / abs(base)
    return 0.0 if value == 0 else math.copysign(math.inf, value)


def _figure(budget: Budget, value: float) -> str:
    return format_figure(budget.metric, value)


def format_figure(metric: str, value: float | None) -> str:
    """Format a figure of the registry or of the static check."""
    from greenbench.units import format_bytes, format_si

    if value is None:
        return ""
    if metric == "macs_per_audio_s":
        return format_si(value, "MAC", 4)
    if metric == "peak_train_memory_bytes":
        return format_bytes(value)
    if metric == "params":
        return f"{value:,.0f}"
    return format_value(metric, value)


def _entry(
    budget: Budget, scope: str, new: Values, base: Values | None, verdict: str, reason: str, **extra: Any
) -> Entry:
    value = statistics.fmean(new.values()) if new else None
    accepted = statistics.fmean(base.values()) if base else None
    return Entry(
        budget.metric,
        scope,
        budget.kind,
        budget.limit,
        value,
        accepted,
        verdict,
        reason,
        budget.severity,
        len(new),
        len(base or {}),
        line=budget.line,
        **extra,
    )
