"""The same recordings in every public layout load to the same manifest; names, splits and labels come out right."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from greenbench.corpora.corpus import Corpus
from greenbench.corpora.load import load_corpus
from greenbench.corpora.utterance import Utterance, fingerprint
from greenbench.errors import DataError
from tests.tones import tone

RECORDINGS = [
    # (id, speaker, split, text, seconds)
    ("84-121123-0000", "84", "train", "go do you hear", 1.25),
    ("84-121123-0001", "84", "train", "but in less than five minutes", 0.75),
    ("174-50561-0000", "174", "train", "forgotten too the name of gillian", 1.5),
    ("251-118436-0000", "251", "dev", "of course he was", 1.0),
    ("260-123286-0000", "260", "test", "saturday august fifteenth", 1.1),
    ("260-123286-0001", "260", "test", "the sea unbroken all round", 0.9),
]
Build = Callable[[Path], str]


def write(path: Path, seconds: float, name: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(seconds, seed=len(name)), 16_000)


def librispeech(root: Path) -> str:
    for name, _, split, text, seconds in RECORDINGS:
        speaker, chapter, _ = name.split("-")
        folder = root / "LibriSpeech" / f"{split}-clean" / speaker / chapter
        write(folder / f"{name}.flac", seconds, name)
        with (folder / f"{speaker}-{chapter}.trans.txt").open("a") as file:
            file.write(f"{name} {text}\n")
    return f"folder:{root}"


def common_voice(root: Path) -> str:
    root = root / "en"
    rows: dict[str, list[str]] = {}
    for name, speaker, split, text, seconds in RECORDINGS:
        write(root / "clips" / f"{name}.flac", seconds, name)
        rows.setdefault(split, []).append(f"{speaker}\t{name}.flac\t{text}\t2\t0\t\t\ten")
    for split, lines in rows.items():
        header = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\tlocale"
        (root / f"{split}.tsv").write_text("\n".join([header, *lines]) + "\n")
    return f"common_voice:{root}"


def fleurs(root: Path) -> str:
    root = root / "en"
    for number, (name, _, split, text, seconds) in enumerate(RECORDINGS):
        write(root / "audio" / split / f"{name}.flac", seconds, name)
        with (root / f"{split}.tsv").open("a") as file:
            letters = " ".join(text.replace(" ", "|")) + " |"
            columns = [str(number), f"{name}.flac", text, text, letters, str(round(seconds * 16_000)), "FEMALE"]
            file.write("\t".join(columns) + "\n")
    return f"folder:{root.parent}"


def voxpopuli(root: Path) -> str:
    header = "id\traw_text\tnormalized_text\tspeaker_id\tsplit\tgender"
    for name, speaker, split, text, seconds in RECORDINGS:
        folder = root / "en" / "2017"
        folder.mkdir(parents=True, exist_ok=True)
        # The name says ogg; the content is read by its own header, and FLAC keeps the length exactly.
        soundfile.write(folder / f"{name}.ogg", tone(seconds), 16_000, format="FLAC")
        table = root / "en" / f"asr_{split}.tsv"
        if not table.exists():
            table.write_text(header + "\n")
        with table.open("a") as file:
            file.write(f"{name}\t{text.upper()}\t{text}\t{speaker}\t{split}\tmale\n")
    return f"voxpopuli:{root}"


def fairseq(root: Path) -> str:
    for split in ("train", "dev", "test"):
        chosen = [r for r in RECORDINGS if r[2] == split]
        name = {"dev": "valid"}.get(split, split)
        lines, letters = [str(root / "audio")], []
        for utterance, _, _, text, seconds in chosen:
            write(root / "audio" / "x" / f"{utterance}.wav", seconds, utterance)
            lines.append(f"x/{utterance}.wav\t{round(seconds * 16_000)}")
            letters.append(" ".join(text.replace(" ", "|")) + " |")
        (root / f"{name}.tsv").write_text("\n".join(lines) + "\n")
        (root / f"{name}.ltr").write_text("\n".join(letters) + "\n")
    return f"fairseq:{root}"


def nemo(root: Path) -> str:
    for name, speaker, split, text, seconds in RECORDINGS:
        write(root / "wavs" / f"{name}.wav", seconds, name)
        value = {"audio_filepath": f"wavs/{name}.wav", "duration": round(seconds, 2), "text": text}
        with (root / f"{split}_manifest.json").open("a") as file:
            file.write(json.dumps({**value, "speaker": speaker, "lang": "en"}) + "\n")
    return f"nemo:{root}"


def lhotse(root: Path) -> str:
    root.mkdir(parents=True, exist_ok=True)
    with gzip.open(root / "cuts.jsonl.gz", "wt") as file:
        for name, speaker, _, text, seconds in RECORDINGS:
            write(root / f"{name}.flac", seconds, name)
            source = {"type": "file", "channels": [0], "source": f"{name}.flac"}
            recording = {"id": name, "sources": [source], "sampling_rate": 16_000, "duration": seconds}
            span = {"id": name, "recording_id": name, "start": 0.0, "duration": seconds}
            labels = {"text": text, "speaker": speaker, "language": "en"}
            cut = {**span, "type": "MonoCut", "recording": recording, "supervisions": [{**span, **labels}]}
            file.write(json.dumps(cut) + "\n")
    return f"manifest:{root / 'cuts.jsonl.gz'}"


def audiofolder(root: Path) -> str:
    for name, speaker, split, text, seconds in RECORDINGS:
        write(root / split / f"{name}.flac", seconds, name)
        table = root / split / "metadata.csv"
        if not table.exists():
            table.write_text("file_name,transcription,speaker_id,language\n")
        with table.open("a") as file:
            file.write(f'{name}.flac,"{text}",{speaker},en\n')
    return f"folder:{root}"


def own_manifest(root: Path) -> str:
    root.mkdir(parents=True)
    with (root / "train.jsonl").open("w") as file:
        for name, speaker, split, text, seconds in RECORDINGS:
            write(root / f"{name}.wav", seconds, name)
            labels = {"split": split, "speaker": speaker, "text": text, "language": "en"}
            file.write(json.dumps({"id": name, "path": f"{name}.wav", "duration_s": seconds, **labels}) + "\n")
    return f"manifest:{root / 'train.jsonl'}"


def rows(corpus: Corpus, *, without: tuple[str, ...] = ()) -> dict[str, list[Utterance]]:
    """Return the splits without what depends on the place and on labels the layout cannot hold."""
    gone = dict.fromkeys((*without, *(("speaker_split",) if "speaker" in without else ())))
    return {
        name: sorted((replace(u, path="", **gone) for u in items), key=lambda u: u.id)
        for name, items in corpus.splits.items()
    }


LAYOUTS = [
    (librispeech, ()),
    (common_voice, ()),
    (voxpopuli, ()),
    (nemo, ()),
    (audiofolder, ()),
    (own_manifest, ()),
    (fleurs, ("speaker",)),
    (fairseq, ("speaker", "language")),
]


@pytest.mark.parametrize(("build", "without"), LAYOUTS, ids=lambda value: getattr(value, "__name__", ""))
def test_every_layout_loads_to_the_same_manifest(build: Build, without: tuple[str, ...], tmp_path: Path) -> None:
    expected = load_corpus(librispeech(tmp_path / "expected"))
    found = load_corpus(build(tmp_path / "found"))
    assert rows(found, without=without) == rows(expected, without=without)
    assert found.fingerprint == expected.fingerprint
    assert not found.left_out


def test_the_manifest_has_the_splits_and_labels_of_the_source(tmp_path: Path) -> None:
    corpus = load_corpus(librispeech(tmp_path))
    assert [len(corpus.split(name)) for name in ("pretrain", "train", "valid", "test")] == [3, 3, 1, 2]
    utterance = next(u for u in corpus.split("train") if u.id == "84-121123-0000")
    assert (utterance.speaker, utterance.language, utterance.text) == ("84", "en", "go do you hear")
    assert (utterance.offset, utterance.num_samples, utterance.sample_rate) == (0, 20_000, 16_000)
    assert Path(utterance.path).is_file()


def test_lhotse_cuts_have_ids_lengths_and_labels(tmp_path: Path) -> None:
    expected = load_corpus(librispeech(tmp_path / "expected"))
    found = load_corpus(lhotse(tmp_path / "found"))
    assert found.fingerprint == expected.fingerprint
    texts = {u.id: (u.text, u.speaker, u.language) for u in found.utterances}
    assert texts == {u.id: (u.text, u.speaker, u.language) for u in expected.utterances}


def test_lhotse_supervisions_cut_a_recording(tmp_path: Path) -> None:
    write(tmp_path / "long.flac", 3.0, "long")
    source = {"type": "file", "channels": [0], "source": "long.flac"}
    (tmp_path / "recordings.jsonl").write_text(json.dumps({"id": "long", "sources": [source]}) + "\n")
    lines = [
        {"id": f"s{k}", "recording_id": "long", "start": float(k), "duration": 1.0, "text": f"sentence {k}"}
        for k in range(3)
    ]
    (tmp_path / "supervisions.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    corpus = load_corpus(f"lhotse:{tmp_path / 'recordings.jsonl'}")
    spans = {u.id: (u.offset, u.num_samples, u.text) for u in corpus.utterances}
    assert spans == {f"s{k}": (16_000 * k, 16_000, f"sentence {k}") for k in range(3)}


def test_names_that_occur_twice_keep_their_folders(tmp_path: Path) -> None:
    for speaker in ("anna", "ben"):
        for k in range(3):
            write(tmp_path / "data" / speaker / f"{k}.wav", 0.5, speaker)
    corpus = load_corpus(f"folder:{tmp_path / 'data'}")
    assert {u.id for u in corpus.utterances} == {f"{s}/{k}" for s in ("anna", "ben") for k in range(3)}
    assert {(u.id.split("/")[0], u.speaker) for u in corpus.utterances} == {("anna", "anna"), ("ben", "ben")}
    (tmp_path / "data").rename(tmp_path / "moved")
    assert load_corpus(f"folder:{tmp_path / 'moved'}").fingerprint == corpus.fingerprint


def test_the_fingerprint_sees_names_and_lengths_and_on_request_the_content(tmp_path: Path) -> None:
    for k in range(4):
        write(tmp_path / f"{k}.wav", 0.5, str(k))
    before = load_corpus(f"folder:{tmp_path}")
    content = fingerprint(before.utterances, content=True)
    assert fingerprint(reversed(before.utterances)) == before.fingerprint != content
    soundfile.write(tmp_path / "2.wav", 0.5 * tone(0.5, seed=9), 16_000)
    assert load_corpus(f"folder:{tmp_path}").fingerprint == before.fingerprint
    assert fingerprint(before.utterances, content=True) != content
    write(tmp_path / "2.wav", 0.6, "2")
    assert load_corpus(f"folder:{tmp_path}").fingerprint != before.fingerprint


def test_transcripts_lie_beside_the_audio(tmp_path: Path) -> None:
    for k in range(6):
        write(tmp_path / f"{k}.wav", 0.5, str(k))
        (tmp_path / f"{k}.txt").write_text(f" line {k}\n")
    assert {u.text for u in load_corpus(f"folder:{tmp_path}").utterances} == {f"line {k}" for k in range(6)}


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_trans_txt_gives_the_texts_at_any_depth_and_no_audio_is_lost(depth: int, tmp_path: Path) -> None:
    """One transcript in the folder of one recording says nothing about the layout of all the others."""
    root = tmp_path / "speech"
    for k in range(6):
        write(root / "other" / f"plain-{k}.wav", 0.5 + k / 10, f"{k}")
    folder = root.joinpath(*[f"level{k}" for k in range(depth)])
    for name in ("a1", "a2"):
        write(folder / f"{name}.wav", 1.0, name)
    (folder / "x.trans.txt").write_text("a1 go do you hear\na9 not here\n")
    corpus = load_corpus(f"folder:{root}")
    texts = {u.id: u.text for u in corpus.utterances}
    assert texts == {"a1": "go do you hear", "a2": None, **{f"plain-{k}": None for k in range(6)}}
    assert [(Path(item.path).name, item.reason) for item in corpus.left_out] == [
        ("a9", "is named in x.trans.txt but missing")
    ]


def test_audio_beside_librispeech_is_pretrained_on_without_a_text(tmp_path: Path) -> None:
    data = librispeech(tmp_path / "speech")
    extra = [
        "LibriSpeech/train-clean/84/121123/84-121123-0007.flac",
        "LibriSpeech/train-clean/84/9/84-9-0000.flac",
        "stray.wav",
    ]
    for name in extra:
        write(tmp_path / "speech" / name, 1.0, name)
    (tmp_path / "speech" / "old.m4a").write_bytes(b"\0")
    corpus = load_corpus(data)
    found = {u.id: (u.speaker, u.text) for u in corpus.utterances}
    assert found["84-121123-0007"] == found["84-9-0000"] == ("84", None)
    assert found["stray"] == (None, None)
    assert found["84-121123-0000"] == ("84", "go do you hear")
    assert len(found) == len(RECORDINGS) + 3
    assert [Path(item.path).name for item in corpus.left_out] == ["old.m4a"]


def test_audio_that_a_corpus_does_not_name_is_listed_as_left_out(tmp_path: Path) -> None:
    common_voice(tmp_path)
    root = tmp_path / "en"
    write(root / "clips" / "forgotten.flac", 1.0, "x")
    for k in range(25):
        write(root / "more" / f"{k:02}.wav", 0.3, "y")
    corpus = load_corpus(f"folder:{root}")
    assert len(corpus.utterances) == len(RECORDINGS)
    assert {Path(item.path).name: item.reason for item in corpus.left_out} == {
        "forgotten.flac": "is named in no table of its corpus",
        "more": "holds 25 files that no table names (first 00.wav)",
    }


def test_a_table_is_found_again_after_the_audio_was_converted(tmp_path: Path) -> None:
    for k in range(4):
        write(tmp_path / "clips" / f"{k}.flac", 0.5, str(k))
    lines = [f"clips/{k}.wav\ttext {k}" for k in range(5)]
    (tmp_path / "manifest.tsv").write_text("\n".join(["path\ttext", *lines]) + "\n")
    corpus = load_corpus(f"folder:{tmp_path}")
    assert {u.text for u in corpus.utterances} == {f"text {k}" for k in range(4)}
    assert [item.reason for item in corpus.left_out] == ["is named in manifest.tsv but missing"]


def test_ljspeech_metadata_without_a_header_is_read(tmp_path: Path) -> None:
    for k in range(4):
        write(tmp_path / "wavs" / f"LJ00{k}.wav", 0.5, str(k))
    lines = [f'LJ00{k}|Printed "{k}", as written|printed {k}' for k in range(4)]
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n")
    assert {u.text for u in load_corpus(f"folder:{tmp_path}").utterances} == {
        f'Printed "{k}", as written' for k in range(4)
    }


def test_a_wrong_length_in_a_fairseq_manifest_is_left_out(tmp_path: Path) -> None:
    fairseq(tmp_path)
    table = tmp_path / "train.tsv"
    table.write_text(table.read_text().replace("\t20000", "\t20001"))
    corpus = load_corpus(f"manifest:{table}")
    assert [item.reason for item in corpus.left_out] == ["has 20000 samples, its manifest says 20001"]
    assert len(corpus.utterances) == 2


def test_named_subsets_come_from_the_download_location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENBENCH_DATA", str(tmp_path))
    librispeech(tmp_path)
    (tmp_path / "LibriSpeech" / "train-clean").rename(tmp_path / "LibriSpeech" / "train-clean-100")
    corpus = load_corpus("librispeech:train-clean-100+test-clean")
    assert [len(corpus.split(name)) for name in ("pretrain", "train", "test")] == [3, 3, 2]
    with pytest.raises(DataError, match="greenbench data dev-other --download"):
        load_corpus("librispeech:dev-other")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mimi", "did you mean 'mini'"),
        ("folder:/no/such/folder", "/no/such/folder: does not exist"),
        ("manifest:/no/such.jsonl", "/no/such.jsonl: does not exist"),
        ("librispeech:train-clean-10", "did you mean 'train-clean-100'"),
        ("librilight:2h", "allowed: 10h, 10min, 1h"),
        ("common_voice:/no", "holds no clips"),
        ("nemo:/no/such.json", "/no/such.json: cannot be read"),
    ],
)
def test_a_wrong_name_is_one_line_with_a_remedy(spec: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_corpus(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"id": "x"}\n', "no key path"),
        ("a.jsonl", "{torn", "not valid JSON lines"),
        ("a.jsonl", "", "is empty"),
        ("a.jsonl", "[1]\n", "line 1: expected a JSON object"),
        ("a.jsonl", '{"path": "x.wav", "duration_s": "long"}\n', "line 1"),
        ("a.jsonl", '{"recording_id": "x", "id": "y"}\n', "supervisions name no audio"),
        ("a.tsv", "text\tspeaker\nhello\tme\n", "no column path or file_name"),
        ("a.csv", "path\nmissing.wav\n", "none of 1 files can be used"),
    ],
)
def test_a_broken_manifest_names_file_and_remedy(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        load_corpus(f"manifest:{tmp_path / name}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("folder", "utterances"), [("kathleen", 917), ("fsdd", 1500), ("prompts-en", 546)])
def test_real_recordings_load_with_texts(folder: str, utterances: int, speech: Path) -> None:
    corpus = load_corpus(f"folder:{speech / folder}")
    assert len(corpus.utterances) == utterances
    assert not corpus.left_out
    assert all((u.text or "#" in u.id) and u.language == "en" and u.speaker for u in corpus.split("test"))
    keywords = {u.keyword for u in corpus.utterances}
    assert len(keywords) == (10 if folder == "fsdd" else 1)


def test_joined_corpora_keep_their_splits_and_their_speakers_apart(tmp_path: Path) -> None:
    first, second = librispeech(tmp_path / "a"), librispeech(tmp_path / "b")
    alone, joined = load_corpus(first), load_corpus(f"{first} + {second}")
    for name in ("pretrain", "train", "test"):
        assert len(joined.split(name)) == 2 * len(alone.split(name))
    assert {u.id for u in joined.split("test")}.isdisjoint(u.id for u in joined.split("pretrain"))
    assert len({u.speaker for u in joined.utterances}) == 2 * len({u.speaker for u in alone.utterances})
    assert joined.fingerprint != alone.fingerprint


def test_joined_corpora_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two corpora are called"):
        load_corpus(f"{librispeech(tmp_path)} + folder:{tmp_path}")
