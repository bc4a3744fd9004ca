from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from greenbench.check.printers import (
    badge,
    bencher,
    github_action_benchmark,
    github_annotations,
    junit_xml,
    step_summary,
    table,
    write_github,
    write_outputs,
)


def entry(verdict: str, metric: str = "energy_budgeted_j", **changes: Any) -> dict[str, Any]:
    values = {
        "metric": metric,
        "scope": "quickstart/eco (tiny)",
        "kind": "max_increase",
        "limit": 0.05,
        "value": 1234.5,
        "baseline": 1000.0,
        "verdict": verdict,
        "reason": "1.00 kJ → 1.23 kJ (+23.4%)",
        "severity": "fail",
        "runs": 5,
        "baseline_runs": 5,
        "increase": 0.234,
        "increase_high": None,
        "p": 0.008,
        "more_runs": None,
        "line": 7,
    }
    return values | changes


def result(*entries: dict[str, Any], verdict: str = "fail") -> dict[str, Any]:
    return {"verdict": verdict, "exit_code": 1, "entries": list(entries), "skipped": [], "budgets": "ci/budgets.toml"}


MIXED = result(
    entry("pass"), entry("fail", "co2e_g"), entry("undecidable", "wall_s"), entry("fail", "params", severity="warn")
)


def test_the_table_puts_failures_first_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    lines = table(MIXED).splitlines()
    assert [line[:4] for line in lines[:4]] == ["FAIL", "warn", "open", "ok  "]
    assert lines[-1] == "FAIL: 1 passed, 2 failed, 1 not decidable"


def test_junit_has_one_case_per_entry_and_counts_what_it_holds() -> None:
    root = ET.fromstring(junit_xml(MIXED))
    suite = root.find("testsuite")
    assert suite is not None
    cases = suite.findall("testcase")
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "1", "2")
    assert [len(c.findall("failure")) for c in cases] == [0, 1, 0, 0]
    assert [len(c.findall("skipped")) for c in cases] == [0, 0, 1, 1]
    properties = {p.get("name"): p.get("value") for p in cases[1].iter("property")}
    assert properties["value"] == "1234.5"
    assert properties["baseline"] == "1000.0"


def test_junit_survives_every_character() -> None:
    text = "".join(map(chr, range(0x250))) + "\ufffe\ud800<>&\"'"
    root = ET.fromstring(junit_xml(result(entry("fail", reason=text, scope=text))).encode("utf-8"))
    assert root.find(".//failure") is not None


def test_annotations_point_to_the_line_and_cannot_be_broken_out_of() -> None:
    lines = github_annotations(MIXED).splitlines()
    assert lines[0].startswith("::error file=ci/budgets.toml,line=7,title=co2e_g of quickstart/eco (tiny)::")
    assert [line.split(" ")[0] for line in lines] == ["::error", "::warning", "::notice"]
    evil = github_annotations(result(entry("fail", scope="a,b:c", reason="x\n::set-output name=a::b"))).splitlines()
    assert len(evil) == 1
    assert "title=energy_budgeted_j of a%2Cb%3Ac::x%0A" in evil[0]


def test_the_summary_stays_below_githubs_limit_and_says_what_it_left_out() -> None:
    many = result(*(entry("pass", reason="ü" * 500) for _ in range(3000)), entry("fail"))
    text = step_summary(many)
    assert len(text.encode()) < 2**20
    assert "| ❌ |" in text.splitlines()[4]
    assert "more entries" in text
    assert "more entries" not in step_summary(MIXED)


def test_markdown_in_a_scope_stays_text() -> None:
    text = step_summary(result(entry("fail", scope="a|b<script>`c`")))
    assert "<script>" not in text
    assert "a\\|b&lt;script&gt;\\`c\\`" in text


def test_trackers_get_values_with_units_and_nothing_for_absent() -> None:
    given = result(
        entry("pass"), entry("undecidable", "co2e_g", value=None), entry("pass", "audio_s_per_s", value=10.0)
    )
    files = github_action_benchmark(given)
    assert [(e["name"], e["unit"], e["value"]) for e in files["customSmallerIsBetter"]] == [
        ("quickstart/eco (tiny): energy_budgeted_j", "J", 1234.5)
    ]
    assert [e["value"] for e in files["customBiggerIsBetter"]] == [10.0]
    assert bencher(given) == {
        "quickstart/eco (tiny)": {"energy_budgeted_j": {"value": 1234.5}, "audio_s_per_s": {"value": 10.0}}
    }


@pytest.mark.parametrize("verdict", ["pass", "fail", "undecidable"])
def test_the_badge_is_valid_svg_that_says_the_verdict(verdict: str) -> None:
    root = ET.fromstring(badge(result(verdict=verdict), label="<joules>"))
    text = " ".join(root.itertext())
    assert "<joules>" in text
    assert verdict.replace("undecidable", "not decidable") in text


def test_files_and_githubs_channels_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary, output = tmp_path / "summary.md", tmp_path / "output"
    summary.write_text("written by an earlier step\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_OUTPUT", str(output))
    assert "::error" in write_github(MIXED)
    assert summary.read_text().startswith("written by an earlier step\n### greenbench check")
    assert output.read_text() == "verdict=fail\npass=1\nfail=2\nundecidable=1\n"
    out = tmp_path / "deep" / "junit.xml"
    write_outputs(
        MIXED,
        junit=out,
        badge_svg=tmp_path / "b.svg",
        bencher_json=tmp_path / "b.json",
        benchmark_json=tmp_path / "g.json",
    )
    assert ET.parse(out).getroot().tag == "testsuites"
    assert isinstance(json.loads((tmp_path / "g.json").read_text()), list)
    assert "quickstart/eco (tiny)" in json.loads((tmp_path / "b.json").read_text())
    assert not (tmp_path / "g-bigger.json").exists()
