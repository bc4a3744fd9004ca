"""Names as other systems write them, links, hidden files, split folders at any depth."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
import soundfile

from greenbench.corpora.corpus import Corpus
from greenbench.corpora.load import load_corpus
from tests.tones import tone


def write(path: Path, seed: int = 0, seconds: float = 0.2) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(seconds, hz=150 + 37 * seed, seed=seed), 16_000)


def texts(corpus: Corpus) -> dict[str, str | None]:
    return {u.id: u.text for u in corpus.utterances}


def reasons(corpus: Corpus) -> list[str]:
    return [f"{Path(item.path).name}: {item.reason}" for item in corpus.left_out]


def csv(path: Path, rows: dict[str, str]) -> None:
    lines = ["file_name,text", *(f"{name},{text}" for name, text in rows.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("on_disk", "in_table"),
    [
        (unicodedata.normalize("NFD", "Brücke.wav"), "Brücke.wav"),
        ("Åse.wav", unicodedata.normalize("NFD", "Åse.wav")),
        (unicodedata.normalize("NFD", "dír/café.wav"), "dír/café.wav"),
        ("Lesson 1.WAV", "lesson 1.wav"),
        ("a/b.wav", "a\\b.wav"),
        ("my file.wav", "my%20file.wav"),
        ("100%25.wav", "100%25.wav"),
        ("2026-04-17T16.27.wav", "2026-04-17T16.27"),
        ("2026-04-17T16.27.wav", "2026-04-17T16.27.flac"),
        ("v1.2.wav", "./v1.2.wav"),
        ("007.wav", "007"),
        ("1e5.wav", "1e5"),
    ],
)
@pytest.mark.parametrize("form", ["folder", "manifest"])
def test_a_table_names_its_recording_as_another_system_writes_it(
    form: str, on_disk: str, in_table: str, tmp_path: Path, cache: Path
) -> None:
    root = tmp_path / "set"
    write(root / on_disk, 1)
    write(root / "other.wav", 2)
    csv(root / "metadata.csv", {in_table: "right", "other.wav": "wrong"})
    argument = root if form == "folder" else root / "metadata.csv"
    corpus = load_corpus(f"{form}:{argument}")
    assert not corpus.left_out
    assert {Path(u.path).name: u.text for u in corpus.utterances} == {Path(on_disk).name: "right", "other.wav": "wrong"}


def test_a_file_url_is_a_path_and_another_url_is_none(tmp_path: Path, cache: Path) -> None:
    write(tmp_path / "a b.wav")
    rows = {f"file://{tmp_path}/a%20b.wav": "here", "https://example.org/c.wav": "there", "s3://x/c.wav": "there"}
    csv(tmp_path / "list.csv", rows)
    corpus = load_corpus(f"manifest:{tmp_path / 'list.csv'}")
    assert texts(corpus) == {"a b": "here"}
    assert [reason.partition("but ")[2] for reason in reasons(corpus)] == [
        "on https://; only local files are read",
        "on s3://; only local files are read",
    ]


def test_a_name_that_can_mean_two_files_labels_neither(tmp_path: Path, cache: Path) -> None:
    for k, name in enumerate(("A.wav", "a.wav", "x/1.wav", "y/1.wav", "b.flac", "b.wav")):
        write(tmp_path / name, k)
    csv(tmp_path / "metadata.csv", {"1": "one", "b.mp3": "bee", "a.WAV": "ay", "A.wav": "exact"})
    corpus = load_corpus(f"folder:{tmp_path}")
    found = {os.path.relpath(u.path, tmp_path): u.text for u in corpus.utterances}
    assert {name for name, text in found.items() if text} == {"A.wav"}
    assert sum("can mean" in reason for reason in reasons(corpus)) == 3


def test_the_text_beside_a_recording_is_found_whatever_dots_and_accents_its_name_has(
    tmp_path: Path, cache: Path
) -> None:
    for k, stem in enumerate(("16.27.00", "16.27.01", "16.27", unicodedata.normalize("NFD", "é.1"))):
        write(tmp_path / f"{stem}.wav", k)
        text = tmp_path / f"{unicodedata.normalize('NFC', stem)}.txt"
        text.write_bytes(f"\ufefftext {k}\u2028 more\r\n".encode())
    assert set(texts(load_corpus(f"folder:{tmp_path}")).values()) == {f"text {k}\u2028 more" for k in range(4)}


def test_two_rows_that_contradict_each_other_give_no_label(tmp_path: Path, cache: Path) -> None:
    for k in range(3):
        write(tmp_path / f"{k}.wav", k)
    (tmp_path / "metadata.csv").write_text("file_name,text,speaker\n0.wav,a,s\n0.wav,b,s\n1.wav,c,\n./1.wav,c,t\n")
    corpus = load_corpus(f"folder:{tmp_path}")
    assert {u.id: (u.text, u.speaker) for u in corpus.utterances} == {
        "0": (None, "s"),
        "1": ("c", "t"),
        "2": (None, None),
    }
    assert reasons(corpus) == ["0.wav: has several entries for text in metadata.csv; none is used"]


@pytest.mark.parametrize("where", [".", "..", "sub", "sub/deeper"])
def test_a_link_to_a_folder_above_adds_nothing(where: str, tmp_path: Path, cache: Path) -> None:
    root = tmp_path / "set"
    for k in range(3):
        write(root / "sub" / "deeper" / f"{k}.wav", k)
    (root / "sub" / "again").symlink_to(root / where)
    (root / "again").symlink_to(root / where)
    corpus = load_corpus(f"folder:{root}")
    assert len(corpus.utterances) == 3
    assert all("again" not in u.path for u in corpus.utterances)


def test_links_that_point_at_each_other_end(tmp_path: Path, cache: Path) -> None:
    root = tmp_path / "set"
    for name in ("a", "b", "c"):
        write(root / name / f"{name}.wav", ord(name))
    for one in ("a", "b", "c"):
        for other in ("a", "b", "c"):
            (root / one / f"to-{other}").symlink_to(root / other)
    assert {u.id for u in load_corpus(f"folder:{root}").utterances} == {"a", "b", "c"}


def test_a_folder_of_links_out_of_the_tree_is_read_and_each_file_counts_once(tmp_path: Path, cache: Path) -> None:
    for k in range(3):
        write(tmp_path / "elsewhere" / f"{k}.wav", k)
    root = tmp_path / "set"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "zero.wav").symlink_to(tmp_path / "elsewhere" / "0.wav")
    (root / "one.wav").hardlink_to(tmp_path / "elsewhere" / "1.wav")
    (root / "gone.wav").symlink_to(tmp_path / "gone.wav")
    corpus = load_corpus(f"folder:{root}")
    assert len(corpus.utterances) == 3
    assert sum("is the same audio as" in reason for reason in reasons(corpus)) == 2
    assert "gone.wav: is a link to a file that is missing" in reasons(corpus)


def test_a_recording_that_is_linked_into_the_test_folder_is_not_trained_on(tmp_path: Path, cache: Path) -> None:
    root = tmp_path / "set"
    for k in range(6):
        write(root / "all" / f"{k}.wav", k)
    (root / "test").mkdir()
    (root / "test" / "0.wav").symlink_to(root / "all" / "0.wav")
    (root / "test" / "1.wav").hardlink_to(root / "all" / "1.wav")
    write(root / "more" / "kept" / "9.wav", 9)
    (root / "eval-set").symlink_to(root / "more" / "kept")
    corpus = load_corpus(f"folder:{root}")
    assert {Path(u.path).name for u in corpus.split("test")} == {"0.wav", "1.wav", "9.wav"}
    assert {Path(u.path).name for u in corpus.split("pretrain")} == {f"{k}.wav" for k in range(2, 6)}


def test_hidden_files_are_no_recordings_and_no_tables(tmp_path: Path, cache: Path) -> None:
    root = tmp_path / "LibriSpeech"
    chapter = root / "train-clean-5" / "11" / "22"
    for k in range(3):
        write(chapter / f"11-22-000{k}.flac", k)
        (chapter / f"._11-22-000{k}.flac").write_bytes(b"\0\5\x16\7Mac OS X")
    (chapter / "11-22.trans.txt").write_text("".join(f"11-22-000{k} TEXT {k}\n" for k in range(3)))
    (chapter / "._11-22.trans.txt").write_bytes(b"\0\5\x16\7\xff\xfe")
    (root / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    write(root / ".Trash" / "old.flac", 9)
    corpus = load_corpus(f"folder:{root}")
    assert texts(corpus) == {f"11-22-000{k}": f"TEXT {k}" for k in range(3)}
    assert {u.speaker for u in corpus.utterances} == {"11"}
    assert not corpus.left_out


@pytest.mark.parametrize("above", ["", "data", "data/v1.2", "x/y/z"])
@pytest.mark.parametrize("test", ["test", "Test", "test-clean", "eval", "held-out", "asr_test"])
def test_a_test_folder_at_any_depth_is_not_trained_on(above: str, test: str, tmp_path: Path, cache: Path) -> None:
    root = tmp_path / "set"
    for k in range(3):
        write(root / above / "train" / "anna" / f"t{k}.wav", k)
        write(root / above / test / "ben" / f"e{k}.wav", 10 + k)
    for split, letter in (("train", "t"), (test, "e")):
        folder = "anna" if split == "train" else "ben"
        rows = {f"{folder}/{letter}{k}.wav": f"text {letter} {k}" for k in range(3)}
        csv(root / above / split / "metadata.csv", rows)
    corpus = load_corpus(f"folder:{root}")
    assert {u.id for u in corpus.split("test")} == {"e0", "e1", "e2"}
    assert {u.id for u in corpus.split("pretrain")} == {u.id for u in corpus.split("train")} == {"t0", "t1", "t2"}
    assert {(u.id[0], u.speaker) for u in corpus.utterances} == {("t", "anna"), ("e", "ben")}
    assert all(u.text for u in corpus.utterances)


def test_a_public_corpus_below_the_folder_keeps_its_own_splits(tmp_path: Path, cache: Path) -> None:
    root = tmp_path / "set"
    language = root / "cv-corpus" / "de"
    for k in range(6):
        write(language / "clips" / f"c{k}.wav", k)
    for name, numbers in (("train", (0, 1, 2)), ("test", (3, 4)), ("validated", (0, 1, 2, 3, 4))):
        lines = ["client_id\tpath\tsentence", *(f"s{k}\tc{k}.mp3\tSatz \u2028{k}" for k in numbers)]
        (language / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write(root / "own.wav", 20)
    corpus = load_corpus(f"folder:{root}")
    assert {u.id: u.text for u in corpus.split("test")} == {"c3": "Satz \u20283", "c4": "Satz \u20284"}
    assert {u.id for u in corpus.split("pretrain")} == {"c0", "c1", "c2", "own"}
    assert reasons(corpus) == ["c5.wav: is named in no table of its corpus"]


def test_a_home_called_dev_is_no_split(tmp_path: Path, cache: Path) -> None:
    root = tmp_path / "dev" / "test" / "speech"
    for k in range(4):
        write(root / "11" / "22" / f"11-22-000{k}.flac", k)
    (root / "11" / "22" / "11-22.trans.txt").write_text("".join(f"11-22-000{k} TEXT {k}\n" for k in range(4)))
    corpus = load_corpus(f"folder:{root}")
    assert set(corpus.splits) == {"pretrain", "train", "test"}
    assert len(corpus.split("pretrain")) >= 2


def test_a_name_that_is_not_utf8_is_listed_and_nothing_breaks(tmp_path: Path, cache: Path) -> None:
    write(tmp_path / "good.wav")
    bad = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    (tmp_path / "good.wav").rename(os.fsdecode(bad))
    write(tmp_path / "other.wav", 1)
    corpus = load_corpus(f"folder:{tmp_path}")
    assert reasons(corpus) == ["caf\\xe9.wav: has a name that is not UTF-8; rename it"]
    assert corpus.fingerprint


def test_a_pipe_and_a_device_are_never_opened(tmp_path: Path, cache: Path) -> None:
    write(tmp_path / "good.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    csv(tmp_path / "list.csv", {"good.wav": "a", "pipe.wav": "b", "/dev/zero": "c"})
    corpus = load_corpus(f"manifest:{tmp_path / 'list.csv'}")
    assert reasons(corpus) == ["pipe.wav: is not a regular file", "zero: is not a regular file"]
    assert "pipe.wav: is not a regular file" in reasons(load_corpus(f"folder:{tmp_path}"))


@pytest.mark.parametrize("name", ["../secret.wav", "sub/../../secret.wav", "..\\secret.wav", "%2e%2e/secret.wav"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "nemo.jsonl", "lhotse.jsonl", "tsv"])
def test_a_manifest_does_not_climb_out_of_its_folder(kind: str, name: str, tmp_path: Path, cache: Path) -> None:
    write(tmp_path / "secret.wav", 1)
    root = tmp_path / "set"
    write(root / "sub" / "own.wav", 2)
    escaped = name.replace("\\", "\\\\")
    source = '{{"id": "{0}", "recording": {{"id": "{0}", "sources": [{{"type": "file", "source": "{1}"}}]}}}}\n'
    content = {
        "csv": f"path,text\n{name},a\nsub/own.wav,b\n",
        "jsonl": f'{{"path": "{escaped}"}}\n{{"path": "sub/own.wav"}}\n',
        "nemo.jsonl": f'{{"audio_filepath": "{escaped}"}}\n{{"audio_filepath": "sub/own.wav"}}\n',
        "lhotse.jsonl": source.format("x", escaped) + source.format("own", "sub/own.wav"),
        "tsv": f".\n{name}\t3200\nsub/own.wav\t3200\n",
    }[kind]
    (root / f"list.{kind}").write_text(content)
    corpus = load_corpus(f"manifest:{root / f'list.{kind}'}")
    assert {u.id for u in corpus.utterances} == {"own"}
    assert len(corpus.left_out) == 1
    assert "leaves the folder" in corpus.left_out[0].reason
