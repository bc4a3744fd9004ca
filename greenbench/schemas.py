"""The JSON Schemas of what greenbench writes for others to read: ``python -m greenbench.schemas docs/schemas``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from greenbench.json_schema import json_schema
from greenbench.metering.command_result import Measurement
from greenbench.records import Manifest, Result

SCHEMAS = {
    "manifest.json": (Manifest, "greenbench manifest.json"),
    "result.json": (Result, "greenbench result.json"),
    "measure.json": (Measurement, "greenbench measure --json"),
}


def schema_texts() -> dict[str, str]:
    """The text of every schema by the name of its file."""
    return {name: json.dumps(json_schema(kind, title), indent=1) + "\n" for name, (kind, title) in SCHEMAS.items()}


def main(folder: Path) -> None:
    """Write the schemas into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schema_texts().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
