"""The comparison as Markdown, with the verdict in front."""

from __future__ import annotations

import re
from collections.abc import Sequence

from greenbench.report.arms import Setting
from greenbench.report.claims import Claims
from greenbench.report.tables.cells import MARKS, Cell, TableView
from greenbench.report.tables.comparison import comparison
from greenbench.report.tables.controls import shuffled
from greenbench.report.tables.transfer import transfer
from greenbench.report.text.notes import comparison_note
from greenbench.report.text.verdict import verdict_sentence
from greenbench.report.text.warnings import warnings_of

# Parentheses mean something only behind a bracket, and brackets are escaped.
_MARKDOWN = re.compile(r"([\\`*_{}\[\]#|<>~!])")


def escape_markdown(text: str) -> str:
    """Escape what Markdown or HTML inside it would take for markup; line breaks become spaces."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split())).replace("\\<", "&lt;").replace("\\>", "&gt;")


def markdown(settings: Sequence[Setting], claims: Sequence[Claims]) -> str:
    """The report's text, comparison, transfer and shuffled-label tables as Markdown."""
    parts = ["# greenbench results", ""]
    for setting, claim in zip(settings, claims, strict=True):
        parts += [escape_markdown(verdict_sentence(setting, claim)), ""]
        parts += [*_markdown_table(comparison(setting, claim)), ""]
        parts += [escape_markdown(comparison_note(setting)), _legend(), ""]
        for table in (transfer(setting), shuffled(setting)):
            if table.rows:
                parts += [f"## {table.label}", "", *_markdown_table(table), ""]
    warnings = warnings_of(settings)
    if warnings:
        parts += ["## Warnings", "", *(f"- {escape_markdown(w.text)}" for w in warnings), ""]
    return "\n".join(parts)


def _legend() -> str:
    return "; ".join(f"{mark} {word}" for word, mark in MARKS.items()) + "."


def _markdown_table(table: TableView) -> list[str]:
    heads = [f"{escape_markdown(h.text)} {h.arrow}".strip() for h in table.columns]
    lines = [
        "| " + " | ".join(heads) + " |",
        "|" + "|".join(":--" if i in table.text else "--:" for i in range(len(heads))) + "|",
    ]
    lines += ["| " + " | ".join(_markdown_cell(cell) for cell in row.cells) + " |" for row in table.rows]
    return lines


def _markdown_cell(cell: Cell) -> str:
    text = escape_markdown(" ".join([cell.text, *(f"({note})" for note in cell.notes)]))
    return f"**{text}** {cell.mark}" if cell.verdict == "better" else f"{text} {cell.mark}".strip()
