from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reference"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from tones import REPOSITORY, tone


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory):
    """Keep decoded audio of the tests out of the user's cache."""
    before = os.environ.get("GREENBENCH_CACHE")
    os.environ["GREENBENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["GREENBENCH_CACHE"]
    else:
        os.environ["GREENBENCH_CACHE"] = before


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give one test an empty cache of its own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("GREENBENCH_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def speech() -> Path:
    """Return the folder of real recordings, or skip."""
    folder = Path(os.environ.get("GREENBENCH_TEST_SPEECH") or REPOSITORY.parent / "shared" / "speech")
    if not (folder / "kathleen" / "manifest.tsv").is_file():
        pytest.skip("no real recordings here (set GREENBENCH_TEST_SPEECH)")
    return folder


@pytest.fixture
def write_audio():
    """Return a function that writes a tone to a file of any format soundfile knows."""

    def write(path: Path, seconds: float = 1.0, rate: int = 16_000, *, subtype: str | None = None, **options) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone(seconds, rate, **options), rate, subtype=subtype)
        return path

    return write
