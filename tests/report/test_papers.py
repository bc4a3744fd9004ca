"""The tables for papers: LaTeX that compiles and fits a column, Markdown without needless escapes, model cards."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from greenbench.report import ReportPaths, write_report
from tests.report.folders import ECO, LOGMEL, MELHUBERT, write_run

TWO_COLUMNS = r"""\documentclass[twocolumn]{article}
\usepackage{booktabs,amssymb,graphicx}
\begin{document}
\input{results.tex}
\end{document}
"""


def test_the_legend_stands_inside_the_table(report: ReportPaths) -> None:
    text = report.latex.read_text(encoding="utf-8")
    inside = text[text.index(r"\begin{table}") : text.index(r"\end{table}")]
    assert "not enough runs" in inside
    assert "no difference shown" in inside


def test_joules_stand_with_their_range(report: ReportPaths) -> None:
    assert re.search(r"J.*\\scriptsize [\d.,]+ (k?J )?to [\d.,]+ k?J", report.latex.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_latex_table_compiles_and_fits_a_column(report: ReportPaths, tmp_path: Path) -> None:
    tex = shutil.which("pdflatex")
    if tex is None:
        pytest.skip("no pdflatex here (apt-get install texlive-latex-recommended)")
    shutil.copy(report.latex, tmp_path / "results.tex")
    (tmp_path / "paper.tex").write_text(TWO_COLUMNS)
    command = [tex, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").exists()
    assert "Overfull" not in done.stdout, done.stdout


def test_parentheses_in_markdown_are_not_escaped_and_links_stay_text(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", arms=(ECO, MELHUBERT), seeds=2, hz=4, budget_s=20)
    text = write_report([run], tmp_path / "out").markdown.read_text(encoding="utf-8")
    assert "\\(" not in text
    assert "\\)" not in text
    from greenbench.report.render.markdown import escape_markdown

    assert escape_markdown("[x](javascript:y)") == r"\[x\](javascript:y)"


def test_the_model_card_says_licence_data_how_to_load_and_what_was_not_learnt(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", arms=(ECO, MELHUBERT, LOGMEL), seeds=2, hz=4, budget_s=20)
    paths = write_report([run], tmp_path / "out")
    card = (paths.model_cards / "eco.md").read_text(encoding="utf-8")
    assert "Licence" in card
    assert "## How to load it" in card
    assert "model.safetensors" in card
    assert "datasets:" in card
