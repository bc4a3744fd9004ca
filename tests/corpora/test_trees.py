"""Random corpora in every format: each recording is kept whole and right, or left out with its reason.

Names hold accents in either form, dots, spaces, percent signs; texts hold whatever separates lines elsewhere; some
files are damaged, some links lead in circles. Every recording has a length of its own, by which it is recognised.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.corpora.load import load_corpus
from greenbench.features.waveforms import prepare_waveforms

GOOD, SCALED = ("plain", "unknown length", "stereo"), ("int16 as float", "beyond 1")
BAD = ("truncated", "not a number", "opposite phase", "silent", "empty")
SPLITS = {"train": "train", "dev": "valid", "test": "test"}


@dataclass(frozen=True)
class Recording:
    """What is written, and so what must be read again or be listed."""

    name: str
    speaker: str
    split: str
    text: str
    kind: str
    nfd: bool
    samples: int

    @property
    def wave(self) -> np.ndarray:
        return 0.4 * np.sin(np.arange(self.samples) * (0.02 + self.samples / 1e6)).astype(np.float32)

    @property
    def file(self) -> str:
        name = f"{self.name}.{'flac' if self.kind == 'unknown length' else 'wav'}"
        return unicodedata.normalize("NFD", name) if self.nfd else name

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path, wave = folder / self.file, self.wave
        if self.kind == "unknown length":
            soundfile.write(path, wave, 16_000)
            data = path.read_bytes()
            path.write_bytes(
                data[:18] + (int.from_bytes(data[18:26], "big") >> 36 << 36).to_bytes(8, "big") + data[26:]
            )
            return
        factor = {"int16 as float": 32768.0, "beyond 1": 5.0, "silent": 0.0}.get(self.kind, 1.0)
        channels = {"stereo": (1.0, 1.0), "opposite phase": (1.0, -1.0)}.get(self.kind, (1.0,))
        wave = np.stack([factor * c * wave for c in channels], axis=1)
        if self.kind == "not a number":
            wave[self.samples // 2] = np.nan
        soundfile.write(path, wave, 16_000, subtype="FLOAT")
        if self.kind in ("truncated", "empty"):
            path.write_bytes(path.read_bytes()[: -400 if self.kind == "truncated" else 0])


stems = (
    st.text("abcXYZ019äéßÅ .-_%#'", min_size=1, max_size=8)
    .map(str.strip)
    .filter(lambda name: name and not name.startswith((".", "#")) and not name.endswith("."))
)
texts = st.text(
    st.characters(codec="utf-8", exclude_characters="\n\r\t\x00", exclude_categories=("Cs",)), min_size=1, max_size=12
).map(lambda text: f"x{text}y")


@st.composite
def recordings(draw: st.DrawFn) -> list[Recording]:
    names = draw(
        st.lists(stems, min_size=4, max_size=7, unique_by=lambda name: unicodedata.normalize("NFC", name).casefold())
    )
    kinds = [*GOOD, *SCALED, *BAD]
    made = []
    for k, name in enumerate(names):
        kind = draw(st.sampled_from(kinds)) if k >= 2 else "plain"
        split = draw(st.sampled_from([*SPLITS])) if k >= 2 else ("train", "test")[k]
        made.append(
            Recording(name, draw(st.sampled_from("st")), split, draw(texts), kind, draw(st.booleans()), 3200 + 160 * k)
        )
    return made


def folder_by_split(root: Path, items: list[Recording]) -> str:
    for item in items:
        item.write(root / "data" / item.split / item.speaker)
    for split in SPLITS:
        rows = [[f"{r.speaker}/{r.name}{Path(r.file).suffix}", r.text] for r in items if r.split == split]
        if rows:
            with (root / "data" / split / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([["file_name", "text"], *rows])
    (root / "data" / "again").symlink_to(root)
    (root / "data" / "._x.wav").write_bytes(b"\0\5\x16\7")
    return f"folder:{root}"


def text_files(root: Path, items: list[Recording]) -> str:
    for item in items:
        item.write(root / item.split)
        (root / item.split / f"{item.name}.txt").write_text(item.text + "\n", encoding="utf-8", newline="")
    return f"folder:{root}"


def table(root: Path, items: list[Recording]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["path", "split", "text"])
    for item in items:
        item.write(root / "w")
        writer.writerow([f"w\\{item.name}{Path(item.file).suffix}", item.split, item.text])
    (root / "x.csv").write_bytes(b"\xef\xbb\xbf" + text.getvalue().encode())
    return f"manifest:{root / 'x.csv'}"


def jsonl(root: Path, items: list[Recording], *, path: str = "path") -> str:
    rows = []
    for item in items:
        item.write(root / "w")
        value = {path: f"w/{item.name}{Path(item.file).suffix}", "split": item.split, "text": item.text}
        rows.append(json.dumps(value, ensure_ascii=False) + "\n")
    (root / "x.jsonl").write_text("".join([*rows, "{torn\n"]), encoding="utf-8", newline="")
    return f"manifest:{root / 'x.jsonl'}"


def nemo(root: Path, items: list[Recording]) -> str:
    return jsonl(root, items, path="audio_filepath")


def common_voice(root: Path, items: list[Recording]) -> str:
    root = root / "xx"
    lines: dict[str, list[str]] = {}
    for item in items:
        item.write(root / "clips")
        row = f"{item.speaker}\t{item.name}.mp3\t{item.text}\n"
        lines.setdefault(item.split, []).append(row)
        lines.setdefault("validated", []).append(row)
    for name, rows in lines.items():
        (root / f"{name}.tsv").write_text("client_id\tpath\tsentence\n" + "".join(rows), encoding="utf-8", newline="")
    return f"folder:{root}"


def fleurs(root: Path, items: list[Recording]) -> str:
    rows: dict[str, str] = {}
    for item in items:
        item.write(root / "xx" / "audio" / item.split)
        columns = ["1", f"{item.name}{Path(item.file).suffix}", item.text, item.text, "x", "9", "MALE"]
        rows[item.split] = rows.get(item.split, "") + "\t".join(columns) + "\n"
    for split, text in rows.items():
        (root / "xx" / f"{split}.tsv").write_text(text, encoding="utf-8", newline="")
    return f"fleurs:{root}"


def voxpopuli(root: Path, items: list[Recording]) -> str:
    rows: dict[str, str] = {}
    for item in items:
        item.write(root / "xx" / "2017")
        name = Path(item.file).name.rpartition(".")[0]
        rows[item.split] = rows.get(item.split, "") + f"{name}\t{item.text}\t{item.speaker}\n"
    for split, text in rows.items():
        (root / "xx" / f"asr_{split}.tsv").write_text(
            "id\tnormalized_text\tspeaker_id\n" + text, encoding="utf-8", newline=""
        )
    return f"folder:{root}"


def fairseq(root: Path, items: list[Recording]) -> str:
    for split in SPLITS:
        chosen = [item for item in items if item.split == split]
        for item in chosen:
            item.write(root / "w")
        lines = [str(root / "w"), *(f"{r.name}{Path(r.file).suffix}\t{r.samples}" for r in chosen)]
        name = SPLITS[split]
        (root / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
        (root / f"{name}.wrd").write_text("".join(f"{r.text}\n" for r in chosen), encoding="utf-8", newline="")
    return f"fairseq:{root}"


def lhotse(root: Path, items: list[Recording]) -> str:
    rows = []
    for item in items:
        item.write(root / "w")
        span = {"id": item.name, "start": 0.0, "duration": item.samples / 16_000, "channel": 0}
        file = f"w/{item.name}{Path(item.file).suffix}"
        channels = [0, 1] if item.kind in ("stereo", "opposite phase") else [0]
        source = {"id": item.name, "sources": [{"type": "file", "channels": channels, "source": file}]}
        cut = {**span, "recording": source, "supervisions": [{**span, "text": item.text}]}
        rows.append(json.dumps(cut, ensure_ascii=False) + "\n")
    (root / "cuts.jsonl").write_text("".join(rows), encoding="utf-8", newline="")
    return f"lhotse:{root / 'cuts.jsonl'}"


Build = Callable[[Path, list[Recording]], str]
FOLDERS: list[Build] = [folder_by_split, text_files, common_voice, fleurs, voxpopuli, fairseq]
MANIFESTS: list[Build] = [table, jsonl, nemo, lhotse]


@pytest.mark.parametrize("build", [*FOLDERS, *MANIFESTS], ids=lambda build: build.__name__)
@settings(max_examples=12, deadline=None)
@given(items=recordings())
def test_each_recording_is_kept_whole_and_right_or_left_out_with_a_reason(build: Build, items: list[Recording]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        corpus = load_corpus(build(Path(folder) / "set", items))
        by_length = {item.samples: item for item in items}
        kept = {u.num_samples: u for u in corpus.utterances}
        # One channel of two in opposite phase can be heard, if it is the one that is asked for.
        bad = set(BAD) - ({"opposite phase"} if build is lhotse else set())
        assert len(kept) == len(corpus.utterances)
        assert set(kept) == {item.samples for item in items if item.kind not in bad}
        names = [unicodedata.normalize("NFC", Path(item.path).name) for item in corpus.left_out]
        for item in items:
            if item.kind in bad:
                assert sum(Path(name).stem == unicodedata.normalize("NFC", item.name) for name in names) == 1, names
        for samples, utterance in kept.items():
            assert utterance.text == by_length[samples].text
        if build is not lhotse:
            trained = {u.num_samples for name in ("pretrain", "train") for u in corpus.split(name)}
            assert trained == {s for s in kept if by_length[s].split == "train"}
        for store in prepare_waveforms(corpus).values():
            for index, utterance in enumerate(store.utterances):
                item = by_length[utterance.num_samples]
                wave = item.wave / np.abs(item.wave).max() if item.kind == "beyond 1" else item.wave
                assert np.abs(store.waveform(index) - wave).max() < 1e-3
