"""Reports: one HTML page, CSV, Markdown and LaTeX tables, figures and model cards, from run folders alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from greenbench.errors import OutputError
from greenbench.report.afterwards import Afterwards
from greenbench.report.arms import Setting
from greenbench.report.collect import collect


@dataclass(frozen=True)
class ReportPaths:
    """Where a report lies."""

    html: Path
    results_csv: Path
    phases_csv: Path
    curves_csv: Path
    transfer_csv: Path
    """Written only where a trial was transferred."""
    markdown: Path
    latex: Path
    figures: Path
    model_cards: Path


def write_report(
    run_dirs: Sequence[Path],
    out: Path,
    *,
    across_machines: bool = False,
    baseline: str | None = None,
    afterwards: Afterwards | None = None,
    pdf: bool = False,
) -> ReportPaths:
    """Write a report of run folders to ``out``.

    Args:
        run_dirs: folders written by ``greenbench run`` (or single trial folders).
        out: folder to write; created, existing files of an earlier report are replaced.
        across_machines: show runs of different hardware side by side; nothing is claimed across them.
        baseline: the model that all others are held against; default is the suite's.
        afterwards: a grid or a price to count with in place of what the run folders say.
        pdf: write every figure as PDF too, for a paper; it doubles the time.

    Raises:
        IncomparableError: different hardware without ``across_machines``; the message names the key.
        ConfigError: an unknown baseline or region.
        DataError: a folder without trials, or a damaged file in it.
        OutputError: ``out`` cannot be written.
    """
    settings = collect(
        [Path(p) for p in run_dirs], across_machines=across_machines, baseline=baseline, afterwards=afterwards
    )
    paths = ReportPaths(
        out / "index.html",
        out / "results.csv",
        out / "phases.csv",
        out / "curves.csv",
        out / "transfer.csv",
        out / "results.md",
        out / "results.tex",
        out / "figures",
        out / "model_cards",
    )
    try:
        for folder in (out, paths.figures, paths.model_cards):
            folder.mkdir(parents=True, exist_ok=True)
        _write_all(settings, paths, pdf=pdf)
    except OSError as error:
        raise OutputError(
            f"{error.filename or out}: the report cannot be written ({error.strerror}); choose another --out"
        ) from error
    return paths


def _write_all(settings: list[Setting], paths: ReportPaths, *, pdf: bool) -> None:
    from greenbench.report.claims import claims_of
    from greenbench.report.figures.budgets import over_budgets
    from greenbench.report.figures.canvas import standalone
    from greenbench.report.figures.drawn import draw
    from greenbench.report.landscape import build_landscape
    from greenbench.report.render.card import model_cards
    from greenbench.report.render.html import render
    from greenbench.report.render.latex import latex
    from greenbench.report.render.markdown import markdown

    _write_csv_files(settings, paths)
    claims = [claims_of(setting) for setting in settings]
    drawn = [draw(setting) for setting in settings]
    landscape, budgets = build_landscape(settings), over_budgets(settings)
    _write(paths.html, render(settings, claims, drawn, landscape, budgets))
    _write(paths.markdown, markdown(settings, claims))
    _write(paths.latex, latex(settings, claims))
    for figure in [figure for d in drawn for figure in d.all] + budgets + landscape.figures:
        _write(paths.figures / f"{figure.name}.svg", standalone(figure))
        if pdf:
            (paths.figures / f"{figure.name}.pdf").write_bytes(figure.to_pdf())
    for name, text in model_cards(settings).items():
        _write(paths.model_cards / f"{name}.md", text)


def _write_csv_files(settings: list[Setting], paths: ReportPaths) -> None:
    from greenbench.report.tables import csv_files as files

    trials = [trial for setting in settings for trial in setting.trials]
    files.write_csv(paths.results_csv, files.result_columns(trials), map(files.result_row, trials))
    files.write_csv(paths.phases_csv, files.PHASE_COLUMNS, (row for t in trials for row in files.phase_rows(t)))
    files.write_csv(paths.curves_csv, files.CURVE_COLUMNS, (row for t in trials for row in files.curve_rows(t)))
    transferred = [row for t in trials for row in files.transfer_rows(t)]
    paths.transfer_csv.unlink(missing_ok=True)
    if transferred:
        files.write_csv(paths.transfer_csv, files.TRANSFER_COLUMNS, transferred)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
