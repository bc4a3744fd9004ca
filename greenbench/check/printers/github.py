"""GitHub: annotations in the log and a step summary that stays below the size at which GitHub drops it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from greenbench.check.decide import format_figure
from greenbench.check.printers.table import headline

# GitHub drops a step's whole summary above 1 MiB; this leaves room for what other tools of the step wrote.
SUMMARY_BYTES = 900_000
MAX_ANNOTATIONS = 10  # per step and kind; GitHub shows no more


def github_annotations(result: Mapping[str, Any]) -> str:
    """Workflow commands that mark the entries' lines in ``budgets.toml``."""
    commands: dict[str, list[str]] = {"error": [], "warning": [], "notice": []}
    for entry in result["entries"]:
        if entry["verdict"] == "pass":
            continue
        kind = "notice" if entry["verdict"] == "undecidable" else "error" if entry["severity"] == "fail" else "warning"
        place = f"file={_property(str(result['budgets']))}" + (f",line={entry['line']}" if entry["line"] else "")
        title = _property(f"{entry['metric']} of {entry['scope']}")
        commands[kind].append(f"::{kind} {place},title={title}::{_data(entry['reason'])}")
    return "\n".join(line for lines in commands.values() for line in lines[:MAX_ANNOTATIONS])


def step_summary(result: Mapping[str, Any], *, limit: int = SUMMARY_BYTES) -> str:
    """Markdown for ``$GITHUB_STEP_SUMMARY``: the verdict, then as many rows as fit, failures first."""
    order = ("fail", "undecidable", "pass")
    entries = sorted(result["entries"], key=lambda e: order.index(e["verdict"]))
    lines = [f"### greenbench check: {headline(result)}", ""]
    lines += ["| | metric | scope | baseline | now | reason |", "|:-:|:--|:--|--:|--:|:--|"]
    size = sum(len(line.encode()) + 1 for line in lines)
    for number, entry in enumerate(entries):
        line = _row(entry)
        size += len(line.encode()) + 1
        if size > limit - 200:
            lines += ["", f"{len(entries) - number} more entries; all are in the JUnit file and in `--json`."]
            break
        lines.append(line)
    return "\n".join(lines) + "\n"


def _row(entry: Mapping[str, Any]) -> str:
    sign = {"pass": "✅", "fail": "❌" if entry["severity"] == "fail" else "⚠️", "undecidable": "❔"}[entry["verdict"]]
    figures = (format_figure(entry["metric"], entry[key]) for key in ("baseline", "value"))
    cells = [sign, f"`{_cell(entry['metric'])}`", _cell(entry["scope"]), *map(_cell, figures), _cell(entry["reason"])]
    return "| " + " | ".join(cells) + " |"


def _cell(text: str) -> str:
    escaped = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{c}" if c in "|\\`*_[]" else c for c in escaped)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
