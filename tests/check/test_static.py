"""``check --static`` on the real model code: costs counted in seconds, without training."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from greenbench.check import accept_static, check, load_baseline
from greenbench.check.budgets import Budget
from greenbench.check.static import static_targets
from greenbench.errors import ConfigError

CARD = Path(__file__).resolve().parents[2] / "models" / "melhubert.toml"
METRICS = ("params", "flops_train_per_audio_s", "macs_per_audio_s", "peak_train_memory_bytes")


def budgets(folder: Path, model: str, size: str = "tiny") -> Path:
    path = folder / "budgets.toml"
    entry = '[[budget]]\nmetric = "{}"\nmodel = "{}"\nsize = "{}"\nmax_increase = "1 %"\n'
    path.write_text("\n".join(entry.format(metric, model, size) for metric in METRICS))
    return path


@pytest.mark.slow
def test_a_doubled_layer_fails_with_the_figures_and_reverting_passes(tmp_path: Path) -> None:
    card = tmp_path / "mine.toml"
    original = CARD.read_text(encoding="utf-8")
    card.write_text(original)
    file, baseline = budgets(tmp_path, str(card)), tmp_path / "baseline.json"
    accept_static(file, baseline, seconds=2.0)
    assert set(load_baseline(baseline).static) == {(str(card), "tiny")}
    assert check([], file, baseline, static=True, seconds=2.0)["verdict"] == "pass"

    head, separator, tiny = original.partition("[sizes.tiny.encoder]")
    assert "feed_forward = 768" in tiny
    card.write_text(head + separator + tiny.replace("feed_forward = 768", "feed_forward = 1536", 1))
    result = check([], file, baseline, static=True, seconds=2.0)
    assert (result["verdict"], result["exit_code"]) == ("fail", 1)
    failed = {e["metric"]: e for e in result["entries"] if e["verdict"] == "fail"}
    assert {"params", "flops_train_per_audio_s", "macs_per_audio_s"} <= set(failed)
    params = failed["params"]
    assert params["value"] > params["baseline"]
    for figure in (params["baseline"], params["value"], params["baseline"] * 1.01):
        assert f"{figure:,.0f}" in params["reason"]

    card.write_text(original)
    assert check([], file, baseline, static=True, seconds=2.0)["verdict"] == "pass"


def test_counting_needs_no_weights_and_gives_the_same_figures_twice(tmp_path: Path) -> None:
    file = budgets(tmp_path, "melhubert")
    one = accept_static(file, tmp_path / "one.json", seconds=2.0).static
    two = accept_static(file, tmp_path / "two.json", seconds=2.0).static
    assert one == two
    assert set(one["melhubert", "tiny"]) >= set(METRICS)


def test_patterns_cover_what_the_baseline_holds() -> None:
    accepted = [("eco", "tiny"), ("eco", "base"), ("hubert", "tiny")]
    assert static_targets([Budget("params", model="eco*", max_increase=0.1)], accepted) == [
        ("eco", "base"),
        ("eco", "tiny"),
    ]
    assert static_targets([Budget("params", max_increase=0.1, size="tiny")], accepted) == [
        ("eco", "tiny"),
        ("hubert", "tiny"),
    ]
    assert static_targets([Budget("energy_total_j", max_increase=0.1)], accepted) == []


def test_a_pattern_that_matches_nothing_is_named() -> None:
    with pytest.raises(ConfigError, match=r"model = 'ecoo\*' matches no model"):
        static_targets([Budget("params", model="ecoo*", max_increase=0.1)], [("eco", "tiny")])


def test_noisy_entries_are_listed_as_skipped(tmp_path: Path) -> None:
    file = budgets(tmp_path, "melhubert")
    file.write_text(file.read_text() + '\n[[budget]]\nmetric = "energy_budgeted_j"\nceiling = 5\n')
    accept_static(file, tmp_path / "b.json", seconds=2.0)
    result = check([], file, tmp_path / "b.json", static=True, seconds=2.0)
    assert result["skipped"] == ["energy_budgeted_j"]
    assert {e["metric"] for e in result["entries"]} == set(METRICS)


def test_importing_the_gate_and_the_report_loads_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys, greenbench.check, greenbench.check.printers, greenbench.report, greenbench.exports\n"
        "print([m for m in ('torch', 'matplotlib', 'pandas', 'jinja2') if m in sys.modules])"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
