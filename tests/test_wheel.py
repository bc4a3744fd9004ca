"""The built wheels work outside the checkout: cards and suites ride in one, the corpora in the other."""

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
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The package and its corpora."""
    pytest.importorskip("hatchling", reason="hatchling builds the wheel; it comes with the extra 'test'")
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("no checkout here")
    found = []
    for project in (ROOT, ROOT / "data"):
        folder = tmp_path_factory.mktemp("dist")
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
        subprocess.run(command, cwd=project, check=True, capture_output=True)
        found.append(next(folder.glob("*.whl")))
    return found[0], found[1]


def test_they_hold_cards_suites_and_corpora_and_no_stray_packages(wheels: tuple[Path, Path]) -> None:
    names, audio = (zipfile.ZipFile(wheel).namelist() for wheel in wheels)
    assert {name.split("/")[0] for name in names} == {"greenbench", "greenbench-0.1.0.dist-info"}
    assert {name.split("/")[0] for name in audio} == {"greenbench_corpora", "greenbench_corpora-0.1.0.dist-info"}
    assert {"greenbench/_share/models/eco.toml", "greenbench/_share/models/suites/quickstart.toml"} <= set(names)
    assert {"greenbench/tables/regions.json", "greenbench/tables/LICENSE-codecarbon"} <= set(names)
    for needed in ("mini/manifest.jsonl", "librispeech-mini/manifest.jsonl.gz", "librispeech-mini/ATTRIBUTION.md"):
        assert f"greenbench_corpora/{needed}" in audio
    assert not [name for name in (*names, *audio) if "__pycache__" in name or name.endswith(".pyc")]
    assert not [name for name in names if name.endswith(".opus")]
    assert wheels[0].stat().st_size < 2_000_000
    assert wheels[1].stat().st_size < 80_000_000


@pytest.mark.parametrize("corpora", ["checkout", "index"])
def test_an_upload_names_the_corpora_by_version_and_a_checkout_brings_its_own(tmp_path: Path, corpora: str) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, env={**os.environ, "GREENBENCH_CORPORA": corpora}
    )
    metadata = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).read("greenbench-0.1.0.dist-info/METADATA").decode()
    required = [line for line in metadata.splitlines() if "greenbench-corpora" in line]
    assert required
    assert all((" @ file:" in line) == (corpora == "checkout") for line in required)
    assert (" @ " in metadata) == (corpora == "checkout"), "an index accepts no address"


def test_they_run_from_another_folder(wheels: tuple[Path, Path], tmp_path: Path) -> None:
    site = tmp_path / "site"
    for wheel in wheels:
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
