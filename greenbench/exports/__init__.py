"""``greenbench export RUNS --to FORMAT``: results in other people's formats, units converted once and tested.

| format | what | unit of energy and emissions |
|---|---|---|
| ``csv`` | ``results.csv`` | J, g |
| ``codecarbon`` | CodeCarbon's ``emissions.csv`` | kWh, **kg** |
| ``boamps`` | BoAmps JSON, one file a trial | kWh, g |
| ``hf-card`` | Hugging Face model cards | **g** |
| ``github-action-benchmark`` | ``customSmallerIsBetter`` JSON | J, g |
| ``bencher`` | Bencher Metric Format | J, g |
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from greenbench.errors import ConfigError, did_you_mean
from greenbench.exports.boamps import boamps
from greenbench.exports.codecarbon import codecarbon_csv
from greenbench.exports.trackers import bencher, github_action_benchmark
from greenbench.report.arms import Setting
from greenbench.report.collect import collect

Files = dict[str, str]


def _csv(settings: Sequence[Setting]) -> Files:
    import io

    from greenbench.report.tables.csv_files import result_columns, result_row, write_rows

    buffer = io.StringIO()
    trials = [trial for setting in settings for trial in setting.trials]
    write_rows(buffer, result_columns(trials), map(result_row, trials))
    return {"results.csv": buffer.getvalue()}


def _cards(settings: Sequence[Setting]) -> Files:
    from greenbench.report.render.card import model_cards

    return {f"{name}.md": text for name, text in model_cards(settings).items()}


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


FORMATS: dict[str, Callable[[Sequence[Setting]], Files]] = {
    "csv": _csv,
    "codecarbon": lambda settings: {"emissions.csv": codecarbon_csv(settings)},
    "boamps": lambda settings: {name: _json(value) for name, value in boamps(settings).items()},
    "hf-card": _cards,
    "github-action-benchmark": lambda settings: {"benchmark.json": _json(github_action_benchmark(settings))},
    "bencher": lambda settings: {"bencher.json": _json(bencher(settings))},
}


def export(run_dirs: Sequence[Path], to: str, out: Path | None = None) -> Files:
    """Convert run folders; with ``out`` write the files there too.

    Returns the files' texts by name. Runs of different machines may be exported together: nothing is compared.

    Raises:
        ConfigError: an unknown format, with the nearest known one.
        DataError: a missing or damaged run folder.
        OutputError: ``out`` cannot be written.
    """
    if to not in FORMATS:
        raise ConfigError(f"--to {to!r}: unknown format{did_you_mean(to, FORMATS)}")
    files = FORMATS[to](collect(run_dirs, across_machines=True))
    if out is not None:
        _write(out, files)
    return files


def _write(out: Path, files: Files) -> None:
    from greenbench.errors import OutputError

    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (out / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"{error.filename or out}: cannot be written ({error.strerror}); choose another --out"
        ) from error
