"""The comparison as Markdown and as LaTeX (booktabs), with the verdict in front."""

from __future__ import annotations

import re
from collections.abc import Sequence

from greenbench.report import words
from greenbench.report.arms import Setting
from greenbench.report.claims import Claims
from greenbench.report.sections import comparison, shuffled, transfer
from greenbench.report.view import MARKS, Cell, TableView

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#|<>~!])")
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≈": r"$\approx$",
    "µ": r"$\mu$",
    "–": "--",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "✓": r"$\checkmark$",
    "✗": r"$\times$",
    "−": "$-$",
    "·": r"$\cdot$",
    "●": r"$\bullet$",
}
# A cross would read as the ratio's times sign in print, so a worse figure gets a dagger there.
_LATEX_MARKS = {
    "better": r"$^{\ast}$",
    "worse": r"$^{\dagger}$",
    "no difference shown": r"$^{\approx}$",
    "not enough runs": r"$^{?}$",
}


def escape_markdown(text: str) -> str:
    """Escape what Markdown or HTML inside it would take for markup; line breaks become spaces."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split())).replace("\\<", "&lt;").replace("\\>", "&gt;")


def escape_latex(text: str) -> str:
    """Escape TeX's special characters and the signs that its fonts lack."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


def markdown(settings: Sequence[Setting], claims: Sequence[Claims]) -> str:
    """Return the report's text, comparison, transfer and shuffled-label tables as Markdown."""
    parts = ["# greenbench results", ""]
    for setting, claim in zip(settings, claims, strict=True):
        parts += [escape_markdown(words.verdict_sentence(setting, claim)), ""]
        parts += [escape_markdown(note) for note in claim.notes] + [""]
        parts += [*_markdown_table(comparison(setting, claim)), ""]
        parts += [escape_markdown(words.comparison_note(setting)), _legend(), ""]
        for table in (transfer(setting), shuffled(setting)):
            if table.rows:
                parts += [f"## {table.label}", "", *_markdown_table(table), ""]
    warnings = words.warnings_of(settings)
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


def latex(settings: Sequence[Setting], claims: Sequence[Claims]) -> str:
    """Return a ``booktabs`` table per setting; needs ``\\usepackage{booktabs,amssymb}``."""
    parts = ["% needs \\usepackage{booktabs,amssymb}"]
    for setting, claim in zip(settings, claims, strict=True):
        table = comparison(setting, claim)
        parts += [
            "\\begin{table}",
            "\\centering\\small",
            f"\\caption{{{escape_latex(words.verdict_sentence(setting, claim))}}}",
        ]
        parts += [f"\\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}", "\\toprule"]
        parts += [
            " & ".join(f"{escape_latex(h.text)} {escape_latex(h.arrow)}".strip() for h in table.columns) + r" \\",
            "\\midrule",
        ]
        for row in table.rows:
            parts.append(" & ".join(_latex_cell(cell) for cell in row.cells) + r" \\")
        parts += ["\\bottomrule", "\\end{tabular}", "\\end{table}", ""]
        parts.append(f"% {escape_latex(words.comparison_note(setting))} * better, \\dagger worse, ? not enough runs")
    return "\n".join(parts) + "\n"


def _latex_cell(cell: Cell) -> str:
    spread = next((note for note in cell.notes if note.startswith("±")), "")
    text = f"{escape_latex(cell.text)} {{\\scriptsize {escape_latex(spread)}}}" if spread else escape_latex(cell.text)
    return (f"\\textbf{{{text}}}" if cell.verdict == "better" else text) + _LATEX_MARKS.get(cell.verdict, "")
