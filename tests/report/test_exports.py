from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from greenbench.errors import ConfigError
from greenbench.exports import FORMATS, export
from greenbench.metering.meter import Meter
from greenbench.records import load_trial


def test_codecarbons_file_is_in_kilowatt_hours_and_kilograms(run_folder: Path) -> None:
    text = export([run_folder], "codecarbon")["emissions.csv"]
    rows = {row["run_id"]: row for row in csv.DictReader(io.StringIO(text))}
    assert len(rows) == 25
    folder = next(run_folder.glob("eco-s0-*"))
    row = load_trial(folder).row
    exported = rows[folder.name]
    assert float(exported["energy_consumed"]) == pytest.approx(row["energy_total_j"] / 3.6e6)
    assert float(exported["emissions"]) == pytest.approx(row["co2e_g"] / 1000)
    assert float(exported["emissions_rate"]) == pytest.approx(row["co2e_g"] / 1000 / row["wall_s"])
    assert exported["cpu_power"] == ""


def test_codecarbons_columns_are_those_of_its_own_records(run_folder: Path) -> None:
    data = pytest.importorskip("codecarbon.output_methods.emissions_data")
    import dataclasses

    known = [f.name for f in dataclasses.fields(data.EmissionsData)]
    from greenbench.exports.codecarbon import COLUMNS

    assert set(COLUMNS) <= set(known)
    assert list(COLUMNS) == [name for name in known if name in COLUMNS]


def test_boamps_reports_kilowatt_hours_and_leave_out_what_is_absent(run_folder: Path) -> None:
    files = export([run_folder], "boamps")
    folder = next(run_folder.glob("hubert-s0-*"))
    report = json.loads(files[f"{folder.name}.json"])
    assert report["measures"][0]["powerConsumption"] == pytest.approx(load_trial(folder).row["energy_total_j"] / 3.6e6)
    assert "null" not in files[f"{folder.name}.json"]
    control = json.loads(files[f"{next(run_folder.glob('logmel-s0-*')).name}.json"])
    assert "parametersNumber" not in control["task"]["algorithms"][0]


def test_boamps_files_are_valid_by_the_published_schema(run_folder: Path, own_records: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    referencing = pytest.importorskip("referencing")
    folder = Path(__file__).parents[1] / "fixtures" / "boamps"
    schemas = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")}
    address = schemas["report_schema.json"]["id"].removesuffix("report_schema.json")
    draft = referencing.jsonschema.DRAFT4
    registry = referencing.Registry().with_resources(
        (address + name, draft.create_resource(schema)) for name, schema in schemas.items()
    )
    validator = jsonschema.Draft4Validator(schemas["report_schema.json"], registry=registry)
    for runs, count in ((run_folder, 25), (own_records, 2)):
        files = export([runs], "boamps")
        assert len(files) == count
        for text in files.values():
            assert [error.message for error in validator.iter_errors(json.loads(text))] == []
    broken = {**json.loads(next(iter(files.values()))), "infrastructure": {"components": []}}
    assert list(validator.iter_errors(broken)), "the schema must be able to refuse"


@pytest.fixture
def own_records(tmp_path: Path) -> Path:
    """Records of a program of one's own, one with a region and one without."""
    for region in ("FRA", None):
        with Meter(record=tmp_path / "records", label="own", region=region, sources="cpu"):
            sum(range(10**6))
    return tmp_path / "records"


def test_model_cards_are_read_by_the_hubs_own_library(run_folder: Path, own_records: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(export([run_folder], "hf-card")["eco.md"], ignore_metadata_errors=False)
    assert card.data.library_name == "greenbench"
    assert card.data.co2_eq_emissions["emissions"] > 0
    scores = {result.metric_type: result.metric_value for result in card.data.eval_results}
    trials = [load_trial(folder) for folder in run_folder.glob("eco-s*")]
    figures = [trial.row["phones_per_pct"] for trial in trials if trial.usable]
    assert scores["phones_per_pct"] == pytest.approx(sum(figures) / len(figures), rel=1e-5)
    own = hub.ModelCard(export([own_records], "hf-card")["own.md"], ignore_metadata_errors=False)
    assert own.data.tags == ["greenbench"]


def test_boamps_counts_parameters_in_billions(run_folder: Path) -> None:
    folder = next(run_folder.glob("eco-s0-*"))
    report = json.loads(export([run_folder], "boamps")[f"{folder.name}.json"])
    assert report["task"]["algorithms"][0]["parametersNumber"] == load_trial(folder).row["params"] / 1e9


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_writes_what_it_returns(run_folder: Path, tmp_path: Path, name: str) -> None:
    files = export([run_folder], name, tmp_path)
    assert files
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == files


def test_trackers_get_means_with_their_spread(run_folder: Path) -> None:
    entries = json.loads(export([run_folder], "github-action-benchmark")["benchmark.json"])
    eco = next(e for e in entries if e["name"] == "quickstart/eco: energy_budgeted_j")
    assert eco["unit"] == "J"
    assert eco["range"].startswith("± ")
    assert not [e for e in entries if e["name"].endswith("audio_s_per_s")]


def test_an_unknown_format_names_the_nearest(run_folder: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'codecarbon'"):
        export([run_folder], "codecarbo")
