from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from greenbench.records import RESULT
from greenbench.report import ReportPaths, write_report
from greenbench.report.claims import claims_of
from greenbench.report.collect import collect
from greenbench.report.text.provenance import provenance
from greenbench.report.text.verdict import verdict_sentence
from tests.report.folders import ARMS, ECO, MELHUBERT, Arm, write_run

SCRIPT = "<script>alert(1)</script>"
ORDER = (
    "Verdict",
    "Warnings",
    "What to do next",
    "Comparison",
    "Error against energy",
    "Learning curves",
    "Power by phase",
    "Where the energy went",
    "Transfer between languages",
    "The landscape",
    "Controls",
    "All trials",
    "Provenance",
    "What is not measured",
    "Run it again",
    "Glossary",
)


def test_sections_stand_in_their_order(report: ReportPaths) -> None:
    page = report.html.read_text(encoding="utf-8")
    heads = re.findall(r"<h[23][^>]*>([^<]*)", page)
    assert [h for h in heads if h in ORDER] == list(ORDER)


def test_the_verdict_states_figures_interval_and_kind_of_energy(report: ReportPaths) -> None:
    page = report.html.read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
    verdict = re.search(r'<p class="verdict">(.*?)</p>', page, re.DOTALL)
    assert verdict is not None
    for part in (
        "eco is better than melhubert",
        "phone error rate",
        "95 % interval",
        "5 seeds",
        "kJ" if "kJ" in verdict[1] else "J",
        "(modelled",
    ):
        assert part in verdict[1], part


def test_the_provenance_names_the_audio_that_was_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", arms=(ECO,), seeds=1, power=False, budget_s=9)
    for path in run.glob("*/manifest.json"):
        manifest = json.loads(path.read_text())
        manifest["data"]["left_out"] = [
            {"path": f"/speech/bad-{k}.wav", "reason": "is empty (0 bytes)"} for k in range(12)
        ]
        path.write_text(json.dumps(manifest))
    (setting,) = collect([run])
    left_out = dict(provenance(setting))["Left out"]
    assert left_out.startswith("12 of the data's files: bad-0.wav (is empty (0 bytes)); bad-1.wav")
    assert left_out.endswith("and 2 more, listed in manifest.json")


def test_three_seeds_claim_nothing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", arms=(ECO, MELHUBERT), seeds=3, power=False, budget_s=9)
    (setting,) = collect([run])
    verdict = verdict_sentence(setting, claims_of(setting))
    assert "3 runs each, not enough runs to decide" in verdict
    assert "no exact test of 3 against 3 can go below p = 0.1" in verdict


@pytest.mark.slow
def test_thirty_trials_stay_below_one_megabyte(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", arms=ARMS[:3], seeds=10, hz=2)
    assert write_report([run], tmp_path / "out").html.stat().st_size < 1_000_000


def test_the_page_needs_no_network(report: ReportPaths) -> None:
    page = report.html.read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href|action)\s*=\s*["'](?:https?:)?//""", page)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert "default-src 'none'" in page


def test_every_figure_has_words_and_its_data_and_no_id_twice(report: ReportPaths) -> None:
    page = report.html.read_text(encoding="utf-8")
    figures = re.findall(r"<figure.*?</figure>", page, re.DOTALL)
    assert len(figures) >= 12
    for figure in figures:
        label = re.search(r'aria-labelledby="(\S+) (\S+)"', figure)
        assert label is not None
        assert f'<title id="{label[1]}">' in figure
        assert f'<desc id="{label[2]}">' in figure
        assert "<details><summary>Data of this figure" in figure
        assert figure.count("<tr>") > 1
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    targets = set(re.findall(r'(?:href="#|url\(#)([^")]+)', page))
    assert targets <= set(ids)


def test_every_colour_of_a_figure_follows_light_and_dark(report: ReportPaths) -> None:
    page = report.html.read_text(encoding="utf-8")
    light, dark = re.findall(r":root\{([^}]*--ink[^}]*)\}", page)[:2]
    used = set(re.findall(r"var\((--[\w-]+),#", page))
    assert used
    for scheme in (light, dark):
        assert used <= set(re.findall(r"(--[\w-]+):", scheme))
    svgs = re.findall(r'<svg[^>]*class="figure".*?</svg>', page, re.DOTALL)
    loose = [c for svg in svgs for c in re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", svg)]
    assert set(loose) <= {"#ffffff", "#000000"}, "a colour without a variable does not change with the scheme"


def test_hostile_names_and_texts_are_shown_as_text(tmp_path: Path) -> None:
    hostile = Arm(SCRIPT, f'efficient"{SCRIPT}', 40.0)
    run = write_run(
        tmp_path / "r",
        arms=(hostile, ECO),
        seeds=2,
        hz=1,
        budget_s=9,
        suite=SCRIPT,
        cpu=f"cpu{SCRIPT}",
        warnings=(f"warned {SCRIPT}",),
    )
    folder = next(p for p in run.iterdir() if p.is_dir() and "script" in p.name)
    result = json.loads((folder / RESULT).read_text())
    result["left_out"] = {SCRIPT: SCRIPT}
    result["status"], result["error"] = "failed", SCRIPT
    result["tasks"]["phones"]["per_by_language_pct"] = {SCRIPT: 3.0}
    (folder / RESULT).write_text(json.dumps(result))
    paths = write_report([run], tmp_path / "out")
    page = paths.html.read_text(encoding="utf-8")
    assert SCRIPT not in page
    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    for svg in paths.figures.glob("*.svg"):
        assert not [e for e in ET.parse(svg).iter() if e.tag.endswith("script")]
    assert SCRIPT not in paths.markdown.read_text(encoding="utf-8")
    for card in paths.model_cards.glob("*.md"):
        assert SCRIPT not in card.read_text(encoding="utf-8").partition("\n---\n")[2]


def test_failures_and_doubts_stand_in_the_warnings(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "r", arms=(ECO, MELHUBERT), seeds=2, hz=1, budget_s=9, warnings=("the GPU throttled for 3 s",)
    )
    failed, unfinished = sorted(run.glob("eco-*"))
    result = json.loads((failed / RESULT).read_text())
    result |= {"status": "failed", "valid": False, "error": "loss is not finite at step 7"}
    (failed / RESULT).write_text(json.dumps(result))
    (unfinished / RESULT).unlink()
    page = write_report([run], tmp_path / "out").html.read_text(encoding="utf-8")
    warnings = page[page.index('id="warnings"') : page.index('id="comparison"')]
    for words in ("loss is not finite at step 7", "Not finished", "throttled for 3 s", "modelled, not measured"):
        assert words in warnings, words


def test_figures_are_files_too(report: ReportPaths) -> None:
    names = {path.stem for path in report.figures.glob("*.svg")}
    assert {"tradeoff", "curve-steps", "curve-audio", "curve-joules", "curve-grams", "power-0", "phases"} <= names
    for path in report.figures.glob("*.svg"):
        assert ET.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"
        assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("name", ["results.md", "results.tex"])
def test_tables_for_papers_hold_the_same_means(report: ReportPaths, name: str) -> None:
    text = (report.html.parent / name).read_text(encoding="utf-8")
    page = report.html.read_text(encoding="utf-8")
    value = re.search(r'scope="row".*?eco.*?<td[^>]*>([\d.]+) %', page, re.DOTALL)
    assert value is not None
    assert value[1] in text
    assert "\\toprule" in text or name.endswith("md")


def test_the_model_card_gives_emissions_in_grams(report: ReportPaths) -> None:
    import csv

    with report.results_csv.open(newline="") as file:
        grams = [float(r["co2e_g"]) for r in csv.DictReader(file) if r["model"] == "eco"]
    card = (report.model_cards / "eco.md").read_text(encoding="utf-8")
    shown = re.search(r"co2_eq_emissions:\n  emissions: (\S+)", card)
    assert shown is not None
    assert float(shown[1]) == pytest.approx(sum(grams) / len(grams), rel=1e-4)
    assert 'training_type: "pre-training"' in card
    assert 'geographical_location: "FRA"' in card
