"""Budgets and regressions for CI: three verdicts, each with its figures, and what would decide an open one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from greenbench.check.baseline import Baseline, Series, accept, load_baseline, series_of
from greenbench.check.budgets import STATIC_METRICS, Budget, Gate, load_budgets
from greenbench.check.decide import FAIL, PASS, UNDECIDABLE, Entry, decide
from greenbench.errors import ConfigError

__all__ = [
    "FAIL",
    "PASS",
    "STATIC_METRICS",
    "UNDECIDABLE",
    "Baseline",
    "Budget",
    "Entry",
    "Gate",
    "accept",
    "accept_static",
    "check",
    "load_baseline",
    "load_budgets",
]

EXIT = {PASS: 0, FAIL: 1, UNDECIDABLE: 3}


def check(
    runs: Sequence[Path],
    budgets_file: Path,
    baseline_file: Path | None = None,
    *,
    static: bool = False,
    seconds: float = 10.0,
) -> dict[str, Any]:
    """Hold runs, or with ``static`` the code as it stands, against budgets and a baseline.

    Returns ``{"verdict": "pass"|"fail"|"undecidable", "exit_code": int, "entries": [...], "skipped": [...], "budgets":
    path}``; each entry has ``metric, scope, kind, limit, value, baseline, verdict, reason`` and more.

    Raises:
        ConfigError: a wrong budgets file, or neither runs nor ``static``.
        IncomparableError: the baseline comes from other hardware or another setting; the message names the key.
        DataError: a missing or damaged run folder or baseline.
    """
    series = series_of(runs) if runs else []  # before the budgets: metrics that the runs' programs logged may have one
    gate = load_budgets(budgets_file)
    if not runs and not static:
        raise ConfigError("check: give run folders, or --static to count costs without training")
    if any(b.relative for b in gate.budgets) and baseline_file is None:
        first = next(b for b in gate.budgets if b.relative)
        raise ConfigError(
            f"{budgets_file}:{first.line}: {first.kind} of {first.metric} needs a baseline; give --baseline "
            f"FILE, written "
            "by 'greenbench baseline accept'"
        )
    baseline = load_baseline(baseline_file) if baseline_file else Baseline((), {})
    entries = _static_entries(gate, baseline, seconds) if static else []
    if runs:
        entries += _run_entries(gate, baseline, series, without_exact=static)
    skipped = [b.metric for b in gate.budgets if static and not runs and not b.exact]
    if not entries:
        raise ConfigError(
            f"{budgets_file}: no [[budget]] has a metric that --static can count: {', '.join(STATIC_METRICS)}"
        )
    verdict = _overall(entries)
    return {
        "verdict": verdict,
        "exit_code": _exit_code(verdict, gate),
        "entries": [entry.to_dict() for entry in entries],
        "skipped": skipped,
        "budgets": str(budgets_file),
    }


def accept_static(budgets_file: Path, out: Path, *, runs: Sequence[Path] = (), seconds: float = 10.0) -> Baseline:
    """Count what the budgets' static entries cover and write it, with run folders if given, as the baseline."""
    from greenbench.check.static import static_costs, static_targets

    known = load_baseline(out).static if out.exists() else {}
    targets = static_targets(load_budgets(budgets_file).budgets, known)
    return accept(runs, out, static=static_costs(targets, seconds=seconds))


def _overall(entries: Sequence[Entry]) -> str:
    grave = {entry.verdict for entry in entries if entry.severity == "fail"}
    return FAIL if FAIL in grave else UNDECIDABLE if UNDECIDABLE in grave else PASS


def _exit_code(verdict: str, gate: Gate) -> int:
    if verdict == UNDECIDABLE and gate.undecidable != "report":
        return EXIT[gate.undecidable]
    return EXIT[verdict]


def _static_entries(gate: Gate, baseline: Baseline, seconds: float) -> list[Entry]:
    from greenbench.check.static import static_costs, static_targets

    costs = static_costs(static_targets(gate.budgets, baseline.static), seconds=seconds)
    entries = []
    for budget in gate.budgets:
        if not budget.exact:
            continue
        # A plain name or a path is its own target; patterns cover what static_targets expanded them to.
        for (model, size), figures in costs.items():
            if model == budget.model or budget.covers("*", model, size):
                if not (size == budget.size or budget.covers("*", budget.model, size)):
                    continue
                new = {0: figures[budget.metric]} if budget.metric in figures else {}
                accepted = baseline.static.get((model, size), {}).get(budget.metric)
                entries.append(decide(budget, f"{model} ({size})", new, None if accepted is None else {0: accepted}))
    return entries


def _run_entries(gate: Gate, baseline: Baseline, series: Sequence[Series], *, without_exact: bool) -> list[Entry]:
    entries = []
    for budget in gate.budgets:
        if budget.exact and without_exact:
            continue
        covered = [s for s in series if budget.covers(s.suite, s.model, s.size)]
        for new in covered:
            base = baseline.series(new) if budget.relative else None
            scope = f"{new.suite}/{new.model} ({new.size})"
            entries.append(
                decide(
                    budget, scope, new.values.get(budget.metric, {}), base.values.get(budget.metric) if base else None
                )
            )
        if not covered:
            reason = "no run matches this scope"
            entries.append(
                Entry(
                    budget.metric,
                    budget.scope,
                    budget.kind,
                    budget.limit,
                    None,
                    None,
                    UNDECIDABLE,
                    reason,
                    budget.severity,
                    line=budget.line,
                )
            )
    return entries
