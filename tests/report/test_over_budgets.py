"""Runs that differ in the size of their budget only: one figure with a line a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenbench.report import write_report
from greenbench.report.collect import collect
from greenbench.report.figures.budgets import over_budgets
from tests.report.folders import ECO, LOGMEL, MELHUBERT, Arm, write_run

BETTER = Arm("eco", "efficient", 20.0, 38, 2_100_000, 0.9e9)


@pytest.mark.slow
def test_each_model_is_a_line_over_its_budgets(tmp_path: Path) -> None:
    short = write_run(tmp_path / "short", arms=(ECO, MELHUBERT, LOGMEL), seeds=2, budget_s=10, power=False)
    long = write_run(tmp_path / "long", arms=(BETTER, LOGMEL), seeds=2, budget_s=40, power=False)
    (figure,) = over_budgets(collect([short, long]))
    assert [(row[0], row[1]) for row in figure.table.rows] == [
        ("eco", "10.0 s"),
        ("eco", "40.0 s"),
        ("melhubert", "10.0 s"),
    ]
    paths = write_report([short, long], tmp_path / "out")
    assert "Error over budgets" in paths.html.read_text(encoding="utf-8")
    assert (paths.figures / "budgets.svg").exists()


def test_one_budget_has_no_such_figure(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", arms=(ECO, MELHUBERT), seeds=2, budget_s=10, power=False)
    assert over_budgets(collect([run])) == []


def test_other_machines_are_never_joined_by_a_line(tmp_path: Path) -> None:
    here = write_run(tmp_path / "here", arms=(ECO,), seeds=1, budget_s=10, power=False)
    there = write_run(tmp_path / "there", arms=(ECO,), seeds=1, budget_s=40, power=False, cpu="Another CPU")
    assert over_budgets(collect([here, there], across_machines=True)) == []
