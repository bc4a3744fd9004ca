"""The comparison as a LaTeX table (``booktabs``) with the verdict as its caption and its legend below."""

from __future__ import annotations

from collections.abc import Sequence

from greenbench.report.arms import Setting
from greenbench.report.claims import Claims
from greenbench.report.tables.cells import Cell
from greenbench.report.tables.comparison import comparison
from greenbench.report.text.notes import comparison_note
from greenbench.report.text.verdict import verdict_sentence

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


def escape_latex(text: str) -> str:
    """Escape TeX's special characters and the signs that its fonts lack."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


_LEGEND = r"$^{\ast}$ better, $^{\dagger}$ worse, $^{\approx}$ no difference shown, $^{?}$ not enough runs"
_FITTED = r"\resizebox{\ifdim\width>\columnwidth\columnwidth\else\width\fi}{!}{%"
"""A table that is wider than the column shrinks to it; a narrower one stays as it is."""


def latex(settings: Sequence[Setting], claims: Sequence[Claims]) -> str:
    """A ``booktabs`` table per setting, no wider than a column, with its legend inside."""
    parts = [r"% needs \usepackage{booktabs,amssymb,graphicx}"]
    for setting, claim in zip(settings, claims, strict=True):
        table, note = comparison(setting, claim, printed=True), escape_latex(comparison_note(setting))
        heads = (f"{escape_latex(h.text)} {escape_latex(h.arrow)}".strip() for h in table.columns)
        parts += [
            r"\begin{table}",
            r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
            rf"\caption{{{escape_latex(verdict_sentence(setting, claim))}}}",
            _FITTED,
            rf"\begin{{tabular}}{{@{{}}l{'r' * (len(table.columns) - 1)}@{{}}}}",
            r"\toprule",
            " & ".join(map(_head, heads)) + r" \\",
            r"\midrule",
            *(" & ".join(_latex_cell(cell) for cell in row.cells) + r" \\" for row in table.rows),
            r"\bottomrule",
            r"\end{tabular}}",
            rf"\par\smallskip\parbox{{\columnwidth}}{{\scriptsize {note} {_LEGEND}.}}",
            r"\end{table}",
            "",
        ]
    return "\n".join(parts) + "\n"


def _head(text: str) -> str:
    """A column's head; one of several words takes two lines."""
    words = text.replace(" $", "~$").split()
    half = (len(words) + 1) // 2
    return _stacked(" ".join(words[:half]), " ".join(words[half:])) if len(words) > 1 else " ".join(words)


def _stacked(*lines: str, align: str = "r") -> str:
    """Put lines below each other in one cell."""
    return rf"\begin{{tabular}}[t]{{@{{}}{align}@{{}}}}" + r"\\[-2pt] ".join(lines) + r"\end{tabular}"


def _latex_cell(cell: Cell) -> str:
    """A figure with its mark; small below it what must be known beside it: its spread, the range of joules, a flag."""
    notes = [note for note in cell.notes if note.startswith("±") or (" to " in note and not note.startswith("95 %"))]
    small = [rf"{{\scriptsize {escape_latex(note)}}}" for note in ([cell.flag] if cell.flag else notes)]
    text = escape_latex(cell.text)
    text = (rf"\textbf{{{text}}}" if cell.verdict == "better" else text) + _LATEX_MARKS.get(cell.verdict, "")
    return _stacked(text, *small, align="l" if cell.look else "r") if small else text
