from __future__ import annotations

import json
from pathlib import Path

import pytest

from greenbench.check import accept, check, load_baseline
from greenbench.errors import ConfigError, DataError, IncomparableError
from greenbench.records import RESULT
from tests.report.folders import ECO, LOGMEL, MELHUBERT, Arm, write_run

BUDGETS = """
[[budget]]
metric = "energy_budgeted_j"
model = "eco"
max_increase = "5 %"

[[budget]]
metric = "peak_memory_bytes"
model = "eco"
ceiling = 1e9
"""


def run(path: Path, arms: tuple[Arm, ...] = (ECO, MELHUBERT, LOGMEL), seeds: int = 5, **options: object) -> Path:
    settings: dict = {"hz": 1, "budget_s": 9.0, "power": False, **options}
    return write_run(path, arms=arms, seeds=seeds, **settings)


@pytest.fixture
def budgets(tmp_path: Path) -> Path:
    path = tmp_path / "budgets.toml"
    path.write_text(BUDGETS)
    return path


def hungrier(factor: float) -> Arm:
    return Arm("eco", "efficient", 31.0, ECO.watts * factor)


def test_unchanged_runs_pass_and_hungrier_ones_fail_with_the_figures(tmp_path: Path, budgets: Path) -> None:
    base = run(tmp_path / "base")
    accept([base], tmp_path / "baseline.json")
    same = check([base], budgets, tmp_path / "baseline.json")
    assert (same["verdict"], same["exit_code"]) == ("pass", 0)
    worse = check([run(tmp_path / "new", (hungrier(1.2),))], budgets, tmp_path / "baseline.json")
    assert (worse["verdict"], worse["exit_code"]) == ("fail", 1)
    entry = next(e for e in worse["entries"] if e["verdict"] == "fail")
    assert entry["metric"] == "energy_budgeted_j"
    assert entry["value"] > entry["baseline"] * 1.15
    assert entry["limit"] == 0.05
    assert entry["line"] == 2


def test_two_runs_are_not_decidable_and_exit_3(tmp_path: Path, budgets: Path) -> None:
    accept([run(tmp_path / "base", seeds=2)], tmp_path / "baseline.json")
    result = check([run(tmp_path / "new", seeds=2)], budgets, tmp_path / "baseline.json")
    assert (result["verdict"], result["exit_code"]) == ("undecidable", 3)


@pytest.mark.parametrize(("setting", "code"), [("pass", 0), ("fail", 1), ("report", 3)])
def test_what_an_undecided_check_does_can_be_chosen(tmp_path: Path, budgets: Path, setting: str, code: int) -> None:
    budgets.write_text(f'[gate]\nundecidable = "{setting}"\n' + BUDGETS)
    accept([run(tmp_path / "base", seeds=2)], tmp_path / "baseline.json")
    result = check([run(tmp_path / "new", seeds=2)], budgets, tmp_path / "baseline.json")
    assert (result["verdict"], result["exit_code"]) == ("undecidable", code)


def test_a_warning_never_fails_the_check(tmp_path: Path, budgets: Path) -> None:
    budgets.write_text(BUDGETS.replace('max_increase = "5 %"', 'max_increase = "5 %"\nseverity = "warn"'))
    accept([run(tmp_path / "base")], tmp_path / "baseline.json")
    result = check([run(tmp_path / "new", (hungrier(1.2),))], budgets, tmp_path / "baseline.json")
    assert result["verdict"] == "pass"
    assert result["entries"][0]["verdict"] == "fail"


@pytest.mark.parametrize(
    ("change", "key"),
    [({"cpu": "Another CPU"}, "cpu"), ({"budget_s": 18.0}, "budget_limit"), ({"kind": "measured"}, "energy kind")],
)
def test_a_baseline_of_another_setting_is_refused_with_the_key(
    tmp_path: Path, budgets: Path, change: dict, key: str
) -> None:
    accept([run(tmp_path / "base")], tmp_path / "baseline.json")
    with pytest.raises(IncomparableError, match=f"with {key} "):
        check([run(tmp_path / "new", **change)], budgets, tmp_path / "baseline.json")


def test_accepting_keeps_other_models_and_replaces_the_same(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    accept([run(tmp_path / "a", (ECO, MELHUBERT))], file)
    before = {s.model: s for s in load_baseline(file).runs}
    accept([run(tmp_path / "b", (hungrier(2.0),))], file)
    after = {s.model: s for s in load_baseline(file).runs}
    assert set(after) == {"eco", "melhubert"}
    assert after["melhubert"] == before["melhubert"]
    assert after["eco"].values["energy_budgeted_j"][0] > 1.8 * before["eco"].values["energy_budgeted_j"][0]


def test_unfinished_runs_cannot_be_accepted(tmp_path: Path) -> None:
    folder = run(tmp_path / "a", (ECO,), seeds=1)
    for result in folder.glob(f"*/{RESULT}"):
        result.unlink()
    with pytest.raises(DataError, match="no finished, valid trial to accept"):
        accept([folder], tmp_path / "baseline.json")
    assert not (tmp_path / "baseline.json").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"schema_version": 99}', '{"schema_version": 1, "runs": [{"suite": 1}]}'])
def test_a_damaged_baseline_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "baseline.json"
    file.write_text(text)
    with pytest.raises(DataError, match=r"baseline\.json"):
        load_baseline(file)


def test_a_relative_budget_without_a_baseline_names_the_line(tmp_path: Path, budgets: Path) -> None:
    with pytest.raises(ConfigError, match=r"budgets\.toml:2: max_increase of energy_budgeted_j needs a baseline"):
        check([run(tmp_path / "a")], budgets)


def test_a_scope_that_no_run_matches_is_open(tmp_path: Path, budgets: Path) -> None:
    accept([run(tmp_path / "base")], tmp_path / "baseline.json")
    result = check([run(tmp_path / "new", (MELHUBERT,))], budgets, tmp_path / "baseline.json")
    assert result["verdict"] == "undecidable"
    assert {e["reason"] for e in result["entries"]} == {"no run matches this scope"}


def test_the_file_is_stable_json(tmp_path: Path) -> None:
    folder = run(tmp_path / "a")
    texts = []
    for name in ("one.json", "two.json"):
        accept([folder], tmp_path / name)
        table = json.loads((tmp_path / name).read_text())
        table.pop("created")
        texts.append(json.dumps(table))
    assert texts[0] == texts[1]
