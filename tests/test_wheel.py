"""The built wheel works outside the checkout: cards, suites and corpus ride in it, and nothing called models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="hatchling builds the wheel; it comes with the extra 'test'")
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("no checkout here")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_it_holds_cards_suites_and_corpus_and_no_stray_packages(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"greenbench", "greenbench-0.1.0.dist-info"}
    for needed in (
        "models/eco.toml",
        "models/suites/quickstart.toml",
        "data/mini/manifest.jsonl",
        "data/librispeech-mini/manifest.jsonl.gz",
        "data/librispeech-mini/ATTRIBUTION.md",
    ):
        assert f"greenbench/_share/{needed}" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    assert wheel.stat().st_size < 80_000_000


def test_it_runs_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    # -P and -S would hide the test environment's packages too; the checkout itself must not be found.
    code = f"""
import sys, json
from pathlib import Path
sys.path = [{str(site)!r}] + [p for p in sys.path if Path(p).resolve() != Path({str(ROOT)!r})]
import greenbench
assert greenbench.__file__.startswith({str(site)!r}), greenbench.__file__
from greenbench.cards import card_names
from greenbench.config import builtin_suites
from greenbench.corpora.load import load_corpus
corpus = load_corpus("mini")
print(json.dumps([sorted(card_names()), sorted(builtin_suites()), len(corpus.split("pretrain"))]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "GREENBENCH_CACHE": str(tmp_path / "cache")},
    )
    assert done.returncode == 0, done.stderr
    cards, suites, utterances = json.loads(done.stdout)
    assert "eco" in cards
    assert "quickstart" in suites
    assert utterances > 1000
