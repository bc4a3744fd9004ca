"""``greenbench init``: a suite that loads, tells every key, overwrites nothing, and that editors can check."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from jsonschema import Draft202012Validator

from greenbench.cli import main
from greenbench.config import Suite, builtin_suites, load_suite
from greenbench.config.reference import suite_reference
from greenbench.schema import coerce
from greenbench.schemas import SUITE_SCHEMA, suite_schema_text

Captured = pytest.CaptureFixture[str]
SECTIONS = {name: kind for name, kind in get_type_hints(Suite).items() if dataclasses.is_dataclass(kind)}


def init(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["init", *arguments])
    return int(str(ended.value.code))


def written(folder: Path, like: str = "quickstart") -> Path:
    path = folder / "mine.toml"
    assert init(str(path), "--like", like) == 0
    return path


@pytest.mark.parametrize("like", sorted(builtin_suites()))
def test_what_is_written_is_the_suite_it_is_like_under_its_own_name(like: str, tmp_path: Path) -> None:
    own = load_suite(str(written(tmp_path, like)))
    assert own == load_suite(like).replace("suite", name="mine")


def test_every_key_stands_there_once_and_takes_what_is_shown(tmp_path: Path) -> None:
    told, listed = (_by_section(text) for text in (written(tmp_path).read_text(encoding="utf-8"), suite_reference()))
    for name, kind in SECTIONS.items():
        lines = re.findall(r"^(?:# )?([a-z][\w.]* = .*)$", told[name].partition("# [models")[0], flags=re.MULTILINE)
        assert sorted(line.partition(" = ")[0] for line in lines) == sorted(
            re.findall(r"^\| `([\w.]+)` \|", listed[name], flags=re.MULTILINE)
        )
        for line in lines:
            _accept(kind, tomllib.loads(line), f"[{name}]")


def _by_section(text: str) -> dict[str, str]:
    """What follows each ``[section]`` of a suite, or of the page about its keys."""
    parts = re.split(r"^(?:## )?\[(\w+)\]$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _accept(kind: Any, table: dict[str, Any], where: str) -> None:
    """Hold each value against the type of its key; a table within is one of the section's own."""
    for key, value in table.items():
        hint = get_type_hints(kind)[key]
        if dataclasses.is_dataclass(hint):
            _accept(hint, value, f"{where} {key}")
        else:
            coerce(value, hint, f"{where} {key}")


def test_nothing_is_overwritten(tmp_path: Path, capfd: Captured) -> None:
    path = written(tmp_path)
    path.write_text("# my work\n", encoding="utf-8")
    assert init(str(path)) == 2
    assert "is there already" in capfd.readouterr().err
    assert path.read_text(encoding="utf-8") == "# my work\n"
    assert init(str(tmp_path / "second.toml")) == 0, "the same schema serves all suites of a folder"
    (tmp_path / SUITE_SCHEMA).write_text("{}", encoding="utf-8")
    assert init(str(tmp_path / "third.toml")) == 2
    assert not (tmp_path / "third.toml").exists()
    assert (tmp_path / SUITE_SCHEMA).read_text(encoding="utf-8") == "{}"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["mine"], "mine.toml"),
        (["mine.toml", "--like", "quickstar"], "did you mean 'quickstart'"),
        (["taken/mine.toml"], "taken"),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("", encoding="utf-8")  # a file where a folder is asked for
    assert init(*arguments) == 2
    said = capfd.readouterr().err
    assert named in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def problems(table: dict[str, Any]) -> list[str]:
    schema = json.loads(suite_schema_text())
    Draft202012Validator.check_schema(schema)
    return [f"{error.json_path}: {error.message[:200]}" for error in Draft202012Validator(schema).iter_errors(table)]


@pytest.mark.parametrize("name", sorted(builtin_suites()))
def test_an_editor_finds_nothing_wrong_with_the_built_in_suites(name: str, tmp_path: Path) -> None:
    assert problems(tomllib.loads(builtin_suites()[name].read_text(encoding="utf-8"))) == []
    assert problems(tomllib.loads(written(tmp_path, name).read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("section", SECTIONS)
def test_an_editor_finds_a_typing_error_and_a_wrong_type_in_every_key(section: str) -> None:
    budget = {"budget": {"seconds": 1}} if section != "budget" else {}
    for key in get_type_hints(SECTIONS[section]):
        assert problems({**budget, section: {f"{key}x": 1}}), key
        assert problems({**budget, section: {key: [[]]}}), key


def test_an_editor_finds_two_budgets_and_none() -> None:
    assert problems({"budget": {"seconds": 1, "joules": 5}})
    assert problems({"suite": {}})
    assert problems({"budget": {"seconds": 1}, "models": {"eco": {"train": {"dtyp": "float32"}}}})
