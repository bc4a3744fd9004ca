"""A page with fourteen models, each beside its own random weights: rows in order, figures that can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from greenbench.report import ReportPaths, write_report
from greenbench.report.arms import Setting
from greenbench.report.claims import claims_of
from greenbench.report.collect import collect
from greenbench.report.figures.landscape import MAX_NAMED
from greenbench.report.figures.tradeoff import tradeoffs
from greenbench.report.landscape import build_landscape
from greenbench.report.tables.comparison import comparison
from greenbench.report.tables.controls import controls
from greenbench.report.text.notes import controls_note
from tests.report.folders import LOGMEL, Arm, write_run
from tests.report.test_browser import OVERLAPS, SCHEMES

# Errors and random weights as a minute of training leaves them: most lie close together.
MEASURED = {
    "eco": (53.4, 69.5),
    "melhubert": (68.7, 67.1),
    "essl": (71.0, 75.3),
    "fnet": (69.0, 67.8),
    "summarymixing": (67.5, 67.8),
    "hubert": (80.5, 82.3),
    "wavlm": (79.9, 81.5),
    "data2vec": (83.5, 83.8),
    "best-rq": (71.4, 70.3),
    "wav2vec2": (82.3, 81.4),
    "cpc": (77.1, 82.0),
    "distilhubert": (81.5, 82.2),
    "mhubert": (81.1, 82.3),
    "xlsr": (81.3, 81.4),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = [
        Arm(label, "efficient", per, 40 + 0.05 * i, 3_000_000, 2e9 + 1e8 * (i % 5), (400 + 9 * i) * 2**20)
        for i, (label, (per, _)) in enumerate(MEASURED.items())
    ]
    drawn = [
        Arm(f"random:{label}", "control", per, 30, control=f"random:{label}") for label, (_, per) in MEASURED.items()
    ]
    root = tmp_path_factory.mktemp("crowd") / "families"
    return write_run(root, arms=(*models, LOGMEL, *drawn), seeds=1, budget_s=60, spread=0.002, power=False)


@pytest.fixture(scope="module")
def setting(folder: Path) -> Setting:
    (only,) = collect([folder])
    return only


@pytest.fixture(scope="module")
def report(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    return write_report([folder], tmp_path_factory.mktemp("page"))


def test_random_weights_stand_below_their_model_and_other_controls_last(setting: Setting) -> None:
    rows = comparison(setting, claims_of(setting)).rows
    names = [(row.cells[0].text, row.css) for row in rows]
    assert len(names) == 2 * len(MEASURED) + 1
    for (model, _), (below, css) in zip(names[:-1:2], names[1:-1:2], strict=True):
        assert model in MEASURED
        assert (below, css) == (f"{model}, random weights", "control")
    assert names[-1][0] == "log-mel, no model"


def test_the_controls_say_what_training_made_of_them(setting: Setting) -> None:
    name = setting.headline or ""
    cells = {row.cells[0].text: row.cells[2] for row in controls(setting).rows}
    for model, control in setting.own_random.items():
        assert control.control == f"random:{model.label}"
        assert cells[f"{model.label}, random weights"].notes == (f"trained: {model.mean(name):.1f} %",)
    behind = {m.label for m, c in setting.own_random.items() if (m.mean(name) or 0) >= (c.mean(name) or 0) - 1}
    note = controls_note(setting)
    assert f"{len(MEASURED) - len(behind)} of {len(MEASURED)} models are ahead of their own random weights" in note
    assert set(note.rpartition("not so: ")[2].rstrip(".").split(", ")) == behind


def test_the_tradeoff_marks_random_weights_without_writing_a_name_to_each(setting: Setting) -> None:
    for figure in tradeoffs(setting):
        assert figure.wide
        assert figure.svg.count("random weights</text>") == 1
        assert figure.svg.count(", random weights: ") >= len(MEASURED)
        for label in MEASURED:
            assert figure.svg.count(f">{label}</text>") == 1, label
        assert ">log-mel, no model</text>" in figure.svg


def test_the_landscape_tells_published_from_measured_and_names_few_of_many(setting: Setting) -> None:
    (figure,) = (f for f in build_landscape([setting]).figures if f.name == "landscape-flops")
    assert ">published</text>" in figure.svg
    assert ">these runs</text>" in figure.svg
    named = [label for label in MEASURED if f">{label}</text>" in figure.svg]
    assert "eco" in named
    assert len(named) <= MAX_NAMED
    assert {row[0] for row in figure.table.rows} >= set(MEASURED)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overlaps_and_the_page_fits(browser: Any, report: ReportPaths, width: int, scheme: Any) -> None:
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    page.goto(report.html.as_uri())
    assert page.evaluate(OVERLAPS) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.context.close()
