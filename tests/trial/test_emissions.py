"""A trial's emissions follow the hours it ran in, from the files of its folder alone."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from greenbench.carbon import find_grid
from greenbench.config import BudgetSection, CarbonSection, Suite, SuiteSection
from greenbench.power.journal.file import JournalWriter
from greenbench.power.samples import Sample
from greenbench.records import (
    EVENTS,
    MANIFEST,
    OUTCOME,
    POWER,
    RESULT,
    SCHEMA_VERSION,
    CarbonPlan,
    DataSummary,
    Journal,
    Manifest,
    Trial,
    load_trial,
    write_json,
)
from greenbench.trial.emissions import carbon_plan, present_rate
from greenbench.trial.finish import finish
from greenbench.trial.recount import FIGURES, recount, recounted

T0_S, HALF_S = 5000, 300
BEGIN_S = datetime(2025, 1, 1, 0, 55, tzinfo=UTC).timestamp()


@pytest.fixture
def grid_csv(tmp_path: Path) -> Path:
    path = tmp_path / "grid.csv"
    path.write_text("datetime,g_per_kwh\n2025-01-01T00:00Z,100\n2025-01-01T01:00Z,300\n")
    return path


def trial(folder: Path, carbon: CarbonSection, **outcome: Any) -> Trial:
    """Finish a trial that drew 10 W from 00:55 to 01:00 and 30 W to 01:05, by a clock of its own."""
    folder.mkdir(exist_ok=True)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        suite="t",
        label="eco",
        family="efficient",
        size="tiny",
        folder=folder.name,
        config=Suite(SuiteSection(), BudgetSection(steps=5), carbon=carbon),
        data=DataSummary(spec="mini", fingerprint="f"),
        carbon=carbon_plan(find_grid(carbon), carbon),
    )
    manifest.write(folder / MANIFEST)
    write_json(folder / OUTCOME, {"status": "ok", "device": "cpu", "audio_s": 7200.0, **outcome})
    events = Journal(folder / EVENTS)
    for after_s, event in ((0, {"event": "session", "session": 0}), (2 * HALF_S, {"event": "exit", "code": 0})):
        events.write(**event, t_mono_ns=(T0_S + after_s) * 10**9, t_wall_s=BEGIN_S + after_s)
    events.close()
    power = JournalWriter(folder / POWER)
    device = {"device": "cpu", "source": "replay", "kind": "measured", "part": "cpu", "power_from": "instant"}
    power.comment(segment={"boot_id": "b", "devices": [device]})
    for t in range(2 * HALF_S + 1):
        joules = 10.0 * t if t <= HALF_S else 10.0 * HALF_S + 30.0 * (t - HALF_S)
        watts = 10.0 if t < HALF_S else 30.0
        now = (T0_S + t) * 10**9
        power.sample(Sample(now, now, "cpu", "replay", "measured", power_w=watts, energy_j=joules))
    power.close()
    return finish(load_trial(folder))


def figures(found: Trial) -> dict[str, float]:
    return {name: value for name in found.row if (value := found.figure(name)) is not None}


def test_hourly_factors_follow_the_hours_of_the_run(tmp_path: Path, grid_csv: Path) -> None:
    found = trial(tmp_path / "a", CarbonSection(hourly_csv=str(grid_csv)))
    row = figures(found)
    assert row["energy_total_j"] == pytest.approx(40 * HALF_S, rel=0.01)
    assert row["carbon_intensity_g_per_kwh"] == pytest.approx((10 * 100 + 30 * 300) / 40, rel=0.01)
    assert row["co2e_g"] == pytest.approx(row["energy_total_j"] / 3.6e6 * row["carbon_intensity_g_per_kwh"])
    assert found.factor is not None
    assert (found.factor.low_g_per_kwh, found.factor.high_g_per_kwh) == (100, 300)
    assert "weighted by energy" in found.text("carbon_source")
    assert found.text("carbon_date") == "2025-01-01T00:55Z to 2025-01-01T01:05Z"


def test_the_hours_are_kept_so_that_the_figures_can_be_computed_again(tmp_path: Path, grid_csv: Path) -> None:
    first = trial(tmp_path / "a", CarbonSection(hourly_csv=str(grid_csv)))
    manifest = (tmp_path / "a" / MANIFEST).read_bytes()
    grid_csv.unlink()
    (tmp_path / "a" / RESULT).unlink()
    again = finish(load_trial(tmp_path / "a"))
    assert again.row == first.row
    assert again.hours == first.hours == tuple((BEGIN_S - 55 * 60 + h * 3600, 100 + 200 * h) for h in (0, 1))
    assert (tmp_path / "a" / MANIFEST).read_bytes() == manifest


def test_hours_that_the_csv_lacks_are_a_warning_with_its_remedy_and_no_figure(tmp_path: Path, grid_csv: Path) -> None:
    grid_csv.write_text("2024-12-31T00:00Z,100\n")
    found = trial(tmp_path / "a", CarbonSection(hourly_csv=str(grid_csv)))
    assert "co2e_g" not in found.row
    (warning,) = [text for text in found.warnings if "does not cover" in text]
    assert "2025-01-01T00:55Z" in warning
    assert "hourly_csv" in warning
    stood_in = trial(tmp_path / "b", CarbonSection(hourly_csv=str(grid_csv), region="FRA"))
    assert stood_in.figure("carbon_intensity_g_per_kwh") == pytest.approx(56.039)
    assert any("stands in" in text for text in stood_in.warnings)


def test_embodied_carbon_pue_and_sci_stand_in_columns_of_their_own(tmp_path: Path) -> None:
    carbon = CarbonSection(
        intensity_g_per_kwh=100.0, pue=1.5, embodied="rack-server", embodied_count=0.5, sci_unit="audio_hour"
    )
    found = trial(tmp_path / "a", carbon)
    row = figures(found)
    assert row["co2e_g"] == pytest.approx(row["energy_total_j"] / 36_000)
    assert row["overhead_g"] == pytest.approx(row["co2e_g"] / 2)
    assert row["embodied_g"] == pytest.approx(0.5 * 1e6 * 2 * HALF_S / (4 * 365.25 * 86400))
    assert row["sci_g"] == pytest.approx((1.5 * row["co2e_g"] + row["embodied_g"]) / 2)
    assert (found.text("sci_unit"), row["sci_units"], row["pue"]) == ("audio_hour", 2.0, 1.5)
    assert "Cloud Carbon Footprint" in found.text("embodied_source")


def test_gpus_are_charged_by_their_name_in_the_manifest(tmp_path: Path) -> None:
    carbon = CarbonSection(embodied="auto")
    on_gpu = trial(tmp_path / "a", carbon, device="cuda", gpu="NVIDIA H100 80GB HBM3")
    assert on_gpu.figure("embodied_g") == pytest.approx(164e3 * 2 * HALF_S / (3 * 365.25 * 86400))
    on_cpu = trial(tmp_path / "b", carbon)
    assert "embodied_g" not in on_cpu.row
    assert any("no GPU is in use" in text for text in on_cpu.warnings)


def test_without_a_region_the_columns_are_absent(tmp_path: Path) -> None:
    found = trial(tmp_path / "a", CarbonSection(sci_unit="trial", embodied="server"))
    for name in ("co2e_g", "co2e_low_g", "overhead_g", "sci_g", "sci_units", "carbon_intensity_g_per_kwh", "pue"):
        assert name not in found.row
    assert (found.figure("embodied_g") or 0) > 0
    assert any("no SCI figure" in text for text in found.warnings)


def test_in_results_of_the_first_schema_pue_is_taken_out_of_the_emissions(tmp_path: Path) -> None:
    write_json(tmp_path / MANIFEST, {"schema_version": 1})
    write_json(tmp_path / RESULT, {"schema_version": 1, "row": {"co2e_g": 15.0, "co2e_low_g": 7.5, "pue": 1.5}})
    row = load_trial(tmp_path).row
    assert row == {
        "co2e_g": pytest.approx(10),
        "co2e_low_g": pytest.approx(5),
        "overhead_g": pytest.approx(5),
        "pue": 1.5,
    }


def test_a_budgets_rate_is_that_of_the_present_hour_and_of_the_first_where_the_csv_lacks_it(tmp_path: Path) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    grid = tmp_path / "now.csv"
    grid.write_text("".join(f"{(hour + timedelta(hours=h)).isoformat()},{200 + h}\n" for h in (0, 1)))
    plan = CarbonPlan(hourly_csv=str(grid), g_per_joule=1e-4)
    assert (present_rate(plan)() or 0) * 3.6e6 == pytest.approx(200, abs=1.01)
    grid.write_text("2020-01-01T00:00Z,100\n")
    assert present_rate(plan)() == 1e-4
    grid.unlink()
    assert present_rate(plan)() == 1e-4
    assert present_rate(None)() is None


@pytest.mark.slow
def test_a_run_under_a_budget_in_grams_uses_the_hours_of_a_csv(
    command: Callable[..., list[str]],
    greenbench: Callable[[list[str]], subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    grid = tmp_path / "now.csv"
    grid.write_text("".join(f"{(hour + timedelta(hours=h)).isoformat()},200\n" for h in (-1, 0, 1)))
    out = tmp_path / "run"
    carbon = (f"carbon.hourly_csv={grid}", "carbon.pue=1.3", "carbon.embodied=rack-server", "carbon.sci_unit=trial")
    done = greenbench(command(out, "budget.grams_co2e=0.002", "power.tdp_w=60", *carbon, report=True))
    assert done.returncode == 0, done.stderr
    with (out / "report" / "results.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["budget_kind"] == "grams_co2e"
    assert float(row["carbon_intensity_g_per_kwh"]) == pytest.approx(200)
    assert float(row["energy_budgeted_j"]) / 3.6e6 * 200 == pytest.approx(float(row["budget_spent"]), rel=0.1)
    parts = [float(row[name]) for name in ("co2e_g", "overhead_g", "embodied_g")]
    assert float(row["sci_g"]) == pytest.approx(sum(parts))
    assert row["sci_unit"] == "trial"
    page = (out / "report" / "index.html").read_text(encoding="utf-8")
    assert "hourly CSV now.csv, hours of the run weighted by energy" in page
    assert "Cloud Carbon Footprint" in page


def test_a_grid_and_a_price_named_afterwards_give_what_they_would_have_given_at_once(tmp_path: Path) -> None:
    stated = CarbonSection(region="FRA", pue=1.2, price_per_kwh=0.25)
    before = trial(tmp_path / "a", CarbonSection())
    assert not set(FIGURES) & set(before.row)
    after = recounted(before, stated, find_grid(stated))
    at_once = trial(tmp_path / "b", stated)
    assert {name: after.row.get(name) for name in FIGURES} == {name: at_once.row.get(name) for name in FIGURES}
    assert after.figure("energy_cost") == pytest.approx(after.figure("energy_total_j") / 3.6e6 * 0.25)
    kept = {name: value for name, value in after.row.items() if name not in FIGURES}
    assert kept == dict(before.row)


def test_recounting_writes_the_new_grid_and_leaves_joules_and_journals(tmp_path: Path, grid_csv: Path) -> None:
    before = trial(tmp_path / "a", CarbonSection(hourly_csv=str(grid_csv)))
    journals = {name: (tmp_path / "a" / name).read_bytes() for name in (EVENTS, POWER, OUTCOME)}
    stated = CarbonSection(region="POL")
    recount(before, stated, find_grid(stated))
    after = load_trial(tmp_path / "a")
    assert after.config is not None
    assert after.config.carbon == stated
    assert after.hours == ()
    assert after.figure("co2e_g") != before.figure("co2e_g")
    assert after.figure("energy_total_j") == before.figure("energy_total_j")
    assert {name: (tmp_path / "a" / name).read_bytes() for name in journals} == journals
    assert finish(after).row == after.row, "computed again from the journals it is the same"


def test_a_price_alone_keeps_the_hours_of_the_grid(tmp_path: Path, grid_csv: Path) -> None:
    stated = CarbonSection(hourly_csv=str(grid_csv))
    before = trial(tmp_path / "a", stated)
    after = recounted(before, CarbonSection(hourly_csv=str(grid_csv), price_per_kwh=0.5), None)
    assert after.figure("co2e_g") == pytest.approx(before.figure("co2e_g"))
    assert after.figure("energy_price_per_kwh") == 0.5
