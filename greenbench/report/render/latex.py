"""The comparison as a LaTeX table (``booktabs``), with the verdict as its caption."""

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


def latex(settings: Sequence[Setting], claims: Sequence[Claims]) -> str:
    """A ``booktabs`` table per setting; needs ``\\usepackage{booktabs,amssymb}``."""
    parts = ["% needs \\usepackage{booktabs,amssymb}"]
    for setting, claim in zip(settings, claims, strict=True):
        table = comparison(setting, claim)
        parts += [
            "\\begin{table}",
            "\\centering\\small",
            f"\\caption{{{escape_latex(verdict_sentence(setting, claim))}}}",
        ]
        parts += [f"\\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}", "\\toprule"]
        parts += [
            " & ".join(f"{escape_latex(h.text)} {escape_latex(h.arrow)}".strip() for h in table.columns) + r" \\",
            "\\midrule",
        ]
        for row in table.rows:
            parts.append(" & ".join(_latex_cell(cell) for cell in row.cells) + r" \\")
        parts += ["\\bottomrule", "\\end{tabular}", "\\end{table}", ""]
        parts.append(f"% {escape_latex(comparison_note(setting))} * better, \\dagger worse, ? not enough runs")
    return "\n".join(parts) + "\n"


def _latex_cell(cell: Cell) -> str:
    spread = next((note for note in cell.notes if note.startswith("±")), "")
    text = f"{escape_latex(cell.text)} {{\\scriptsize {escape_latex(spread)}}}" if spread else escape_latex(cell.text)
    return (f"\\textbf{{{text}}}" if cell.verdict == "better" else text) + _LATEX_MARKS.get(cell.verdict, "")
