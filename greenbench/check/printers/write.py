"""Write what a CI job asks for: files for its tools, and GitHub's own channels."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greenbench.check.printers.badge import badge
from greenbench.check.printers.github import github_annotations, step_summary
from greenbench.check.printers.junit import junit_xml
from greenbench.check.printers.trackers import bencher, github_action_benchmark
from greenbench.errors import OutputError


def write_outputs(
    result: Mapping[str, Any],
    *,
    junit: Path | None = None,
    badge_svg: Path | None = None,
    bencher_json: Path | None = None,
    benchmark_json: Path | None = None,
) -> None:
    """Write the files that are asked for.

    Args:
        result: what :func:`greenbench.check.check` returned.
        junit: JUnit XML.
        badge_svg: an SVG badge.
        bencher_json: Bencher Metric Format.
        benchmark_json: github-action-benchmark's ``customSmallerIsBetter``; figures where more is better go to a file
            beside it whose name ends in ``-bigger.json``.

    Raises:
        OutputError: a file cannot be written.
    """
    files: dict[Path, str] = {}
    if junit is not None:
        files[junit] = junit_xml(result)
    if badge_svg is not None:
        files[badge_svg] = badge(result)
    if bencher_json is not None:
        files[bencher_json] = _json(bencher(result))
    if benchmark_json is not None:
        lists = github_action_benchmark(result)
        files[benchmark_json] = _json(lists["customSmallerIsBetter"])
        if lists["customBiggerIsBetter"]:
            files[benchmark_json.with_name(f"{benchmark_json.stem}-bigger.json")] = _json(lists["customBiggerIsBetter"])
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror}); give another path") from error


def write_github(result: Mapping[str, Any]) -> str:
    """Append to ``$GITHUB_STEP_SUMMARY`` and ``$GITHUB_OUTPUT`` where they are set; return the annotations to print."""
    _append("GITHUB_STEP_SUMMARY", step_summary(result))
    counts = {v: sum(e["verdict"] == v for e in result["entries"]) for v in ("pass", "fail", "undecidable")}
    _append("GITHUB_OUTPUT", "".join(f"{k}={v}\n" for k, v in {"verdict": result["verdict"], **counts}.items()))
    return github_annotations(result)


def _append(variable: str, text: str) -> None:
    target = os.environ.get(variable)
    if target:
        with Path(target).open("a", encoding="utf-8") as file:
            file.write(text)


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
