"""Files for the people around the code: the site, its glossary, hooks before a commit, forms for issues."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from greenbench.report.text.terms import glossary_page
from tests.tones import REPOSITORY

yaml = pytest.importorskip("yaml", reason="PyYAML comes with transformers")
FORMS = sorted(path for path in (REPOSITORY / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_glossary_of_the_pages_is_that_of_the_report() -> None:
    written = (REPOSITORY / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert written == glossary_page(), "python -m greenbench.report.text.terms > docs/glossary.md"


def test_the_site_leads_to_every_page() -> None:
    text = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {path.name for path in (REPOSITORY / "docs").glob("*.md")}
    assert set(re.findall(r": ([\w-]+\.md)$", text, flags=re.MULTILINE)) == pages


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocstrings", reason="the site needs the extra 'docs'")
    pytest.importorskip("material", reason="the site needs the extra 'docs'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "python" / "index.html").read_text(encoding="utf-8").count("doc doc-heading") > 20


def test_what_runs_before_a_commit_is_what_a_change_must_pass() -> None:
    (repository,) = load(REPOSITORY / ".pre-commit-config.yaml")["repos"]
    hooks = {hook["id"]: hook["entry"].split() for hook in repository["hooks"]}
    asked = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    for name, (program, *words) in hooks.items():
        assert " ".join([program, *(word for word in words if not word.startswith("--"))]) in asked, name
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["tool"]["hatch"]["metadata"]["hooks"]["custom"]["extras"]
    assert {entry[0] for entry in hooks.values()} <= {re.split(r"[>=\[]", need)[0] for need in extras["dev"]}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_forms_for_issues_are_complete(path: Path) -> None:
    form = load(path)
    assert {"name", "description", "body"} <= set(form)
    identities = [part["id"] for part in form["body"]]
    assert len(identities) == len(set(identities)) > 1
    assert all(part["type"] in ("input", "textarea") and part["attributes"]["label"] for part in form["body"])


def test_there_are_forms_for_issues() -> None:
    assert len(FORMS) >= 3
