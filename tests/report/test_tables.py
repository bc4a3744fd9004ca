from __future__ import annotations

import csv
import json
from pathlib import Path

from greenbench.metrics import IDENTITY_COLUMNS
from greenbench.records import RESULT
from greenbench.report import ReportPaths, write_report
from greenbench.report.tables.csv_files import RESULT_COLUMNS, TRANSFER_COLUMNS
from tests.report.folders import ECO, LOGMEL, MELHUBERT, write_run

DESIGNED = [
    "schema_version",
    "suite",
    "model",
    "family",
    "size",
    "seed",
    "status",
    "valid",
    "resumed",
    "device",
    "gpu",
    "budget_kind",
    "budget_limit",
    "budget_spent",
    "budget_overshoot_pct",
    "steps",
    "audio_h",
    "params",
    "pretrain_flops",
    "flops_method",
    "peak_memory_bytes",
    "pretrain_s",
    "wall_s",
    "energy_budgeted_j",
    "energy_total_j",
    "energy_wasted_j",
    "energy_source",
    "energy_uncertainty_j",
    "mean_power_w",
    "idle_power_w",
    "co2e_g",
    "co2e_low_g",
    "co2e_high_g",
    "overhead_g",
    "embodied_g",
    "sci_g",
    "sci_units",
    "carbon_intensity_g_per_kwh",
    "pue",
    "phones_per_pct",
]

FIGURES = RESULT_COLUMNS[len(IDENTITY_COLUMNS) :]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_results_have_one_row_per_trial_under_the_contracts_columns(report: ReportPaths) -> None:
    rows = rows_of(report.results_csv)
    assert len(rows) == 25
    assert list(rows[0]) == list(RESULT_COLUMNS)
    assert set(DESIGNED) <= set(rows[0])


def test_absent_figures_are_empty_cells_never_zero_or_nan(report: ReportPaths) -> None:
    rows = rows_of(report.results_csv)
    control = next(row for row in rows if row["control"] == "logmel")
    for column in ("budget_spent", "params", "pretrain_flops", "energy_budgeted_j", "final_loss", "abx_error_pct"):
        assert control[column] == "", column
    cells = [cell.lower() for row in rows for cell in row.values()]
    assert not {"nan", "none", "inf", "null"} & set(cells)


def test_figures_survive_the_way_through_the_csv_exactly(run_folder: Path, report: ReportPaths) -> None:
    from greenbench.records import load_trial

    for row in rows_of(report.results_csv):
        written = load_trial(run_folder / row["run_dir"]).row
        for name in FIGURES:
            assert (float(row[name]) if row[name] else None) == written.get(name), name


def test_trials_that_failed_or_never_finished_keep_a_row(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", arms=(ECO, MELHUBERT), seeds=1, hz=1, budget_s=9)
    next(run.glob("melhubert*")).joinpath(RESULT).unlink()
    rows = {row["model"]: row for row in rows_of(write_report([run], tmp_path / "out").results_csv)}
    assert rows["melhubert"]["status"] == "incomplete"
    assert rows["melhubert"]["budget_limit"] == "9"
    assert rows["melhubert"]["energy_total_j"] == ""
    assert rows["eco"]["status"] == "ok"


def test_phase_energies_add_up_to_the_trials_total(report: ReportPaths) -> None:
    totals = {(r["model"], r["seed"]): float(r["energy_total_j"]) for r in rows_of(report.results_csv)}
    sums: dict[tuple[str, str], float] = {}
    for row in rows_of(report.phases_csv):
        if row["phase"] != "idle":
            key = (row["model"], row["seed"])
            sums[key] = sums.get(key, 0.0) + float(row["energy_j"])
    assert sums.keys() == totals.keys()
    assert all(abs(sums[key] - totals[key]) < 1e-6 * totals[key] for key in totals)


def test_curves_hold_every_logged_step_in_the_reports_units(run_folder: Path, report: ReportPaths) -> None:
    rows = [r for r in rows_of(report.curves_csv) if r["model"] == "eco" and r["seed"] == "3"]
    folder = next(run_folder.glob("eco-s3-*"))
    assert len(rows) == len((folder / "metrics.jsonl").read_text().splitlines())
    assert {r["model"] for r in rows_of(report.curves_csv)} == {"eco", "melhubert", "hubert"}
    assert float(rows[-1]["audio_h"]) > 0
    assert float(rows[-1]["co2e_g"]) > 0


def test_carbon_columns_are_shown_where_they_are_known_and_empty_elsewhere(
    run_folder: Path, report: ReportPaths, tmp_path: Path
) -> None:
    names = ("overhead_g", "embodied_g", "sci_g", "sci_units", "sci_unit", "embodied_source", "carbon_date")
    assert all(row[name] == "" for row in rows_of(report.results_csv) for name in names)
    run = write_run(tmp_path / "run", arms=(ECO, MELHUBERT), seeds=2, hz=4, budget_s=20)
    for path in run.glob(f"*/{RESULT}"):
        result = json.loads(path.read_text())
        result["row"] |= {
            "overhead_g": 0.5,
            "embodied_g": 1.5,
            "sci_g": 3.25,
            "sci_units": 2.0,
            "sci_unit": "user",
            "embodied_source": "1 x rack-server: somebody",
            "carbon_date": "2025",
        }
        path.write_text(json.dumps(result))
    paths = write_report([run], tmp_path / "out")
    assert {(r["sci_g"], r["sci_unit"], r["embodied_g"]) for r in rows_of(paths.results_csv)} == {
        ("3.25", "user", "1.5")
    }
    page = paths.html.read_text(encoding="utf-8")
    for part in ("SCI", "3.25 gCO2e", "embodied", "1 x rack-server: somebody", "per user"):
        assert part in page, part
    assert "Making the hardware (embodied carbon): the suite names no device" not in page
    assert "Making the hardware (embodied carbon): the suite names no device" in report.html.read_text(encoding="utf-8")


def test_a_run_without_power_journals_has_no_energy_and_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", arms=(ECO, LOGMEL), seeds=1, power=False, budget_s=9)
    page = write_report([run], tmp_path / "out").html.read_text(encoding="utf-8")
    assert "no power journal was found" in page
    assert "The power journal (power.csv.gz) is missing" in page


def test_the_transfer_table_ranks_strategies_and_names_the_memory_they_save(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", arms=(ECO, LOGMEL), seeds=2)
    rows = [("full", 30.0, 80e6, 1.0), ("read", 35.0, 27.5e6, 2.909), ("lora", 28.0, 53e6, 1.509)]
    for path in run.glob(f"{ECO.label}-s*/{RESULT}"):
        result = json.loads(path.read_text())
        result["transfer"] = [
            {
                "task": "phones",
                "strategy": name,
                "error_pct": error,
                "energy_j": 90.0,
                "duration_s": 20.0,
                "peak_memory_bytes": memory,
                "trained_params": 1000,
                "memory_factor": factor,
            }
            for name, error, memory, factor in rows
        ]
        path.write_text(json.dumps(result))
    report = write_report([run], tmp_path / "report")
    page = report.html.read_text()
    table = page[page.index("Less memory than full") :]
    assert table.index(">lora<") < table.index(">full<") < table.index(">read<")
    assert "2.91 ×" in table
    assert "1.51 ×" in table
    with report.transfer_csv.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 2 * len(rows)
    assert tuple(found[0]) == TRANSFER_COLUMNS
    assert {(r["seed"], r["task"], r["strategy"]) for r in found} == {
        (seed, "phones", name) for seed in "01" for name in ("full", "read", "lora")
    }
    assert (found[0]["error_pct"], found[0]["energy_kind"], found[0]["flops"]) == ("30", "modelled", "")
    text = report.markdown.read_text()
    assert text.index("## Transfer") < text.index("| lora |") < text.index("| full |") < text.index("| read |")


def test_without_transfer_there_is_no_transfer_file(report: ReportPaths) -> None:
    assert not report.transfer_csv.exists()
    assert "## Transfer" not in report.markdown.read_text()


def test_shuffled_labels_stand_in_a_table_with_their_chance(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", arms=(ECO, LOGMEL), seeds=2)
    for number, path in enumerate(sorted(run.glob(f"{ECO.label}-s*/{RESULT}"))):
        result = json.loads(path.read_text())
        entry = {
            "error_pct": 81.0 - 20 * number,
            "guess_error_pct": 83.3,
            "majority_error_pct": 84.0,
            "low_pct": 78.0,
            "high_pct": 88.0,
            "answers": 512,
            "at_chance": number == 0,
        }
        result["tasks"] = {"shuffled": {"tasks": {"keywords": entry}}}
        path.write_text(json.dumps(result))
    report = write_report([run], tmp_path / "report")
    text = report.markdown.read_text()
    assert "| keywords | 61.0 % | 83.3 % | 84.0 % | 78.0 to 88.0 % | no |" in text
    page = report.html.read_text()
    assert "<h3>Shuffled labels</h3>" in page
    assert "shuffled" not in write_report([write_run(tmp_path / "other")], tmp_path / "b").markdown.read_text().lower()
