"""The summary says what there is, what was left out, and how to get more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
from conftest import tone

from greenbench.data.describe import as_text, describe
from greenbench.errors import DataError


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


def test_the_embedded_corpus_comes_with_its_card() -> None:
    summary = describe("mini")
    assert summary["card"]
    assert summary["languages"]
    assert "mini:" in as_text(summary)


def test_an_absent_corpus_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENBENCH_DATA", str(tmp_path))
    with pytest.raises(DataError, match="greenbench data train-clean-5 --download"):
        describe("train-clean-5")
