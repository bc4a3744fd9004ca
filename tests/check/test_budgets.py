from __future__ import annotations

from pathlib import Path

import pytest

from greenbench.check import load_budgets
from greenbench.errors import ConfigError


def written(path: Path, text: str) -> Path:
    file = path / "budgets.toml"
    file.write_text(text)
    return file


def test_an_entry_knows_its_limit_direction_scope_and_line(tmp_path: Path) -> None:
    gate = load_budgets(
        written(
            tmp_path,
            """
[gate]
undecidable = "fail"

[[budget]]
metric = "energy_budgeted_j"
suite = "quick*"
model = "eco"
max_increase = "5 %"
min_runs = 5

[[budget]]
metric = "audio_s_per_s"
floor = 100
severity = "warn"
""",
        )
    )
    energy, speed = gate.budgets
    assert (energy.kind, energy.limit, energy.sign, energy.line) == ("max_increase", 0.05, 1, 5)
    assert energy.covers("quickstart", "eco", "tiny")
    assert not energy.covers("quickstart", "hubert", "tiny")
    assert (speed.kind, speed.limit, speed.sign, speed.severity) == ("floor", 100.0, -1, "warn")
    assert gate.undecidable == "fail"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[budget]]\nmetric = "energy_budgetd_j"\nceiling = 1', "did you mean 'energy_budgeted_j'"),
        (
            '[[budget]]\nmetric = "params"',
            "exactly one of ceiling, floor, max_increase, max_decrease is needed, found none",
        ),
        ('[[budget]]\nmetric = "params"\nceiling = 1\nfloor = 2', "found ceiling, floor"),
        ('[[budget]]\nmetric = "params"\nmax_increase = "five"', "neither a number nor a percentage like '5 %'"),
        ('[[budget]]\nmetric = "params"\nmax_increase = -0.1', "must not be negative"),
        ('[[budget]]\nmetric = "params"\nceiling = 1\nalpha = 0.7', "alpha = 0.7 must lie between"),
        (
            '[[budget]]\nmetric = "params"\nceiling = 1\nseverty = "warn"',
            "unknown key 'severty'; did you mean 'severity'",
        ),
        ('[[budget]]\nmetric = "params"\nceiling = 1\nseverity = "stop"', "found 'stop'"),
        ('[[budgets]]\nmetric = "params"\nceiling = 1', r"unknown table \[budgets\]; did you mean 'budget'"),
        ("", r"holds no \[\[budget\]\]"),
        ("[[budget]\n", "not valid TOML"),
    ],
)
def test_a_wrong_entry_is_one_line_that_names_file_and_remedy(tmp_path: Path, text: str, message: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_budgets(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
