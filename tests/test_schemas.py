"""The published schemas are those of the types, and what greenbench writes is what they say."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from greenbench.config import CarbonSection
from greenbench.json_schema import json_schema
from greenbench.metering.command import measure_command
from greenbench.power.sources.options import Sampling
from greenbench.records import MANIFEST, RESULT, SCHEMA_VERSION, read_json
from greenbench.records.versions import present_manifest, present_result
from greenbench.schemas import schema_texts
from tests.report.folders import write_run

ROOT = Path(__file__).resolve().parents[1]
TRIALS = sorted((ROOT / "tests" / "fixtures").glob("run-schema-*/*/"))
NEWEST = [path for path in TRIALS if path.parent.name == f"run-schema-{SCHEMA_VERSION}"]


def schema(name: str) -> dict[str, Any]:
    table: dict[str, Any] = json.loads((ROOT / "docs" / "schemas" / name).read_text(encoding="utf-8"))
    return table


def closed(table: dict[str, Any], *, complete: bool) -> dict[str, Any]:
    """The schema of a file that this version wrote: it has no key that is not described and, complete, all that are."""
    found = copy.deepcopy(table)
    for part in (found, *found["$defs"].values()):
        if "properties" in part:
            part["additionalProperties"] = False
            part["required"] = list(part["properties"]) if complete else part["required"]
    return found


def problems(value: object, table: dict[str, Any]) -> list[str]:
    Draft202012Validator.check_schema(table)
    return [f"{error.json_path}: {error.message[:200]}" for error in Draft202012Validator(table).iter_errors(value)]


@pytest.mark.parametrize("name", sorted(schema_texts()))
def test_the_schemas_in_the_docs_are_those_of_the_types(name: str) -> None:
    written = (ROOT / "docs" / "schemas" / name).read_text(encoding="utf-8")
    assert written == schema_texts()[name], "python -m greenbench.schemas docs/schemas"


@pytest.mark.parametrize("folder", TRIALS, ids=lambda path: path.parent.name)
def test_run_folders_of_every_version_keep_to_the_schema(folder: Path) -> None:
    assert problems(present_manifest(read_json(folder / MANIFEST)), schema("manifest.json")) == []
    assert problems(present_result(read_json(folder / RESULT)), schema("result.json")) == []


@pytest.mark.parametrize("folder", NEWEST, ids=lambda path: path.name)
def test_everything_that_is_written_now_is_described(folder: Path) -> None:
    assert problems(read_json(folder / MANIFEST), closed(schema("manifest.json"), complete=False)) == []
    assert problems(read_json(folder / RESULT), closed(schema("result.json"), complete=True)) == []


def test_the_made_up_folders_of_the_reports_tests_keep_to_the_schema(tmp_path: Path) -> None:
    for folder in write_run(tmp_path / "run", seeds=1, budget_s=12.0, power=False).glob("*/"):
        assert problems(read_json(folder / MANIFEST), schema("manifest.json")) == []
        assert problems(read_json(folder / RESULT), schema("result.json")) == []


def test_a_measurement_is_what_its_schema_says() -> None:
    found = measure_command(
        [sys.executable, "-c", "sum(range(10**6))"],
        sampling=Sampling(sources="cpu"),
        carbon=CarbonSection(region="FRA"),
    )
    assert problems(json.loads(json.dumps(found)), closed(schema("measure.json"), complete=True)) == []


def test_a_wrong_type_and_a_missing_key_are_found() -> None:
    result = schema("result.json")
    assert problems({"status": 3}, result) == ["$.status: 3 is not of type 'string'"]
    assert any("'schema_version' is a required" in text for text in problems({}, closed(result, complete=True)))


def test_a_type_without_a_counterpart_in_json_is_refused() -> None:
    from dataclasses import dataclass

    @dataclass
    class Odd:
        value: complex

    with pytest.raises(TypeError, match=r"Odd\.value"):
        json_schema(Odd, "odd")
