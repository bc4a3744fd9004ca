"""The check as plain lines for a terminal or a log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SIGNS = {"pass": "ok  ", "fail": "FAIL", "undecidable": "open"}


def table(result: Mapping[str, Any]) -> str:
    """One line per entry, failures first, and the verdict last."""
    entries = sorted(result["entries"], key=lambda e: ("fail", "undecidable", "pass").index(e["verdict"]))
    metric_width = max((len(e["metric"]) for e in entries), default=0)
    scope_width = min(40, max((len(e["scope"]) for e in entries), default=0))
    lines = []
    for entry in entries:
        sign = "warn" if entry["verdict"] == "fail" and entry["severity"] == "warn" else _SIGNS[entry["verdict"]]
        lines.append(f"{sign}  {entry['metric']:<{metric_width}}  {entry['scope']:<{scope_width}}  {entry['reason']}")
    if result.get("skipped"):
        lines.append(f"not counted without training: {', '.join(dict.fromkeys(result['skipped']))}")
    lines.append(headline(result))
    return "\n".join(lines)


def headline(result: Mapping[str, Any]) -> str:
    """The verdict in one line."""
    counts = {v: sum(e["verdict"] == v for e in result["entries"]) for v in ("pass", "fail", "undecidable")}
    words = {"pass": "pass", "fail": "FAIL", "undecidable": "not decidable"}
    parts = [f"{counts['pass']} passed", f"{counts['fail']} failed", f"{counts['undecidable']} not decidable"]
    return f"{words[result['verdict']]}: {', '.join(parts)}"
