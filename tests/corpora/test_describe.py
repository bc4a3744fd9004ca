"""The summary says what there is, what was left out, and how to get more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from greenbench.corpora.describe import as_note, as_text, describe
from greenbench.errors import DataError
from tests.tones import tone


def test_the_list_names_every_corpus_and_its_licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENBENCH_DATA", str(tmp_path))
    (tmp_path / "LibriSpeech" / "dev-clean").mkdir(parents=True)
    text = as_text(describe())
    for expected in ("mini", "train-clean-100", "5.95 GiB", "CC BY 4.0", "folder:PATH", str(tmp_path)):
        assert expected in text
    here = [item["name"] for item in describe()["downloadable"] if item["installed"]]
    assert here == ["dev-clean"]


def test_a_folders_summary_counts_and_lists(tmp_path: Path, cache: Path) -> None:
    for k in range(20):
        soundfile.write(
            tmp_path / f"{k:02}.wav", tone(0.5 + k / 10, 8000 if k % 2 else 16_000), 8000 if k % 2 else 16_000
        )
    (tmp_path / "bad.flac").write_text("no audio")
    summary = describe(f"folder:{tmp_path}")
    assert json.loads(json.dumps(summary)) == summary
    assert summary["files"] == summary["utterances"] == 20
    assert summary["files_found"] == 21
    assert summary["sample_rates"] == {"16000": 10, "8000": 10}
    assert summary["hours"] == pytest.approx(29 / 3600, abs=1e-4)
    assert sum(summary["lengths_s"]["histogram"].values()) == 20
    assert [Path(item["path"]).name for item in summary["left_out"]] == ["bad.flac"]
    text = as_text(summary)
    assert "bad.flac: cannot be decoded" in text
    assert summary["fingerprint"] in text


def test_a_runs_note_counts_the_reasons_and_shows_the_first_files(tmp_path: Path, cache: Path) -> None:
    for k in range(8):
        soundfile.write(tmp_path / f"{k}.wav", tone(0.5, seed=k), 16_000)
        (tmp_path / f"bad-{k}.wav").write_bytes(b"")
    soundfile.write(tmp_path / "short.wav", tone(0.02), 16_000)
    first, second, *files, last = as_note(describe(f"folder:{tmp_path}")).splitlines()
    assert "8 files kept, 9 left out" in first
    assert "16000 Hz: 8" in first
    assert second.endswith("9: 8 × is empty, 1 × is shorter than 0.1 s")
    assert len(files) == 5
    assert "bad-0.wav: is empty (0 bytes)" in files[0]
    assert "and 4 more (greenbench data folder:" in last


def test_the_content_fingerprint_sees_the_bytes_that_the_other_does_not(tmp_path: Path, cache: Path) -> None:
    """``greenbench data NAME --content`` as typed: same names and lengths, another recording."""
    found = []
    for seed in (0, 1):
        soundfile.write(tmp_path / "a.wav", tone(0.5, seed=seed), 16_000)
        command = [sys.executable, "-m", "greenbench", "data", f"folder:{tmp_path}", "--content"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        facts = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
        assert f"content      {facts['content_fingerprint']}" in text
        found.append(facts)
    assert found[0]["fingerprint"] == found[1]["fingerprint"]
    assert found[0]["content_fingerprint"] != found[1]["content_fingerprint"]
    assert "content_fingerprint" not in describe(f"folder:{tmp_path}")


def test_the_embedded_corpus_comes_with_its_card() -> None:
    summary = describe("mini")
    assert summary["card"]
    assert summary["languages"]
    assert "mini:" in as_text(summary)


def test_an_absent_corpus_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENBENCH_DATA", str(tmp_path))
    with pytest.raises(DataError, match="greenbench data train-clean-5 --download"):
        describe("train-clean-5")
