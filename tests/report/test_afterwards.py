"""A region and a price named for a report alone: figures appear, run folders stay as they are."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from greenbench.errors import ConfigError
from greenbench.report import write_report
from greenbench.report.afterwards import Afterwards
from tests.report.folders import ECO, MELHUBERT, write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", arms=(ECO, MELHUBERT), seeds=2, hz=4, budget_s=20)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_report_counts_with_the_region_and_price_it_is_given(run: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    paths = write_report([run], tmp_path / "out", afterwards=Afterwards("POL", None, 0.4))
    for row in rows_of(paths.results_csv):
        kwh = float(row["energy_total_j"]) / 3.6e6
        assert float(row["co2e_g"]) == pytest.approx(kwh * float(row["carbon_intensity_g_per_kwh"]))
        assert float(row["carbon_intensity_g_per_kwh"]) > 400
        assert float(row["energy_cost"]) == pytest.approx(kwh * 0.4)
    page = paths.html.read_text(encoding="utf-8")
    assert "Electricity cost" in page
    assert "the grid of POL and a price of 0.4 per kWh" in page
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_without_a_price_nothing_speaks_of_money(run: Path, tmp_path: Path) -> None:
    paths = write_report([run], tmp_path / "out")
    assert {row["energy_cost"] for row in rows_of(paths.results_csv)} == {""}
    assert "lectricity cost" not in paths.html.read_text(encoding="utf-8")


@pytest.mark.parametrize(("given", "named"), [(Afterwards("FRAX"), "FRA"), (Afterwards(price_per_kwh=-1.0), "price")])
def test_what_cannot_be_counted_with_is_named(run: Path, tmp_path: Path, given: Afterwards, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        write_report([run], tmp_path / "out", afterwards=given)
