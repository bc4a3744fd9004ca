"""The JSON Schemas of what greenbench writes for others to read, and of the suites that people write for it.

``python -m greenbench.schemas docs/schemas`` writes them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from greenbench.config import Suite
from greenbench.json_schema import json_schema
from greenbench.metering.command_result import Measurement
from greenbench.records import Manifest, Result

SCHEMAS = {
    "manifest.json": (Manifest, "greenbench manifest.json"),
    "result.json": (Result, "greenbench result.json"),
    "measure.json": (Measurement, "greenbench measure --json"),
}
SUITE_SCHEMA = "suite.schema.json"
"""The schema of suites, beside a suite in which ``#:schema`` names it."""


def schema_texts() -> dict[str, str]:
    """The text of every schema by the name of its file."""
    written = {name: _text(json_schema(kind, title)) for name, (kind, title) in SCHEMAS.items()}
    return {**written, SUITE_SCHEMA: suite_schema_text()}


def suite_schema_text() -> str:
    """The schema by which an editor checks a suite: sections and keys, types and allowed words; not what they mean."""
    table: dict[str, Any] = json_schema(Suite, "greenbench suite", typed_by_people=True)
    table["required"] = ["budget"]
    table["$defs"]["BudgetSection"] |= {"minProperties": 1, "maxProperties": 1}
    own_training = {"train": {"$ref": "#/$defs/TrainSection"}}
    table["properties"]["models"]["additionalProperties"] = {"type": "object", "properties": own_training}
    return _text(table)


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=1) + "\n"


def main(folder: Path) -> None:
    """Write the schemas into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schema_texts().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
