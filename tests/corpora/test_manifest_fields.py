"""Fields of a manifest that say which audio is meant, bad lines among good ones, and the lines themselves."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from greenbench.corpora.apart import load_both
from greenbench.corpora.corpus import Corpus
from greenbench.corpora.load import load_corpus
from greenbench.errors import DataError
from greenbench.features.waveforms import prepare_waveforms
from tests.tones import tone

SEPARATORS = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e"


@pytest.fixture
def call(tmp_path: Path) -> Path:
    """A call of 4 s, 250 Hz in channel 0 and 900 Hz in channel 1; both microphones as files of their own."""
    low, high = (0.3 * np.sin(2 * np.pi * hz * np.arange(64_000) / 16_000) for hz in (250, 900))
    soundfile.write(tmp_path / "call.wav", np.stack([low, high], axis=1), 16_000)
    soundfile.write(tmp_path / "mic0.wav", low, 16_000)
    soundfile.write(tmp_path / "mic1.wav", high, 16_000)
    return tmp_path


def lines(path: Path, *values: Mapping[str, Any] | str) -> str:
    text = "".join((v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)) + "\n" for v in values)
    path.write_text(text, encoding="utf-8")
    return f"manifest:{path}"


def pitches(corpus: Corpus) -> dict[str, list[int]]:
    """The frequencies that are heard in each utterance, in Hz."""
    found = {}
    for store in prepare_waveforms(corpus).values():
        for i, utterance in enumerate(store.utterances):
            spectrum = np.abs(np.fft.rfft(store.waveform(i)))
            hz = np.fft.rfftfreq(len(store.waveform(i)), 1 / 16_000)
            found[utterance.id] = [f for f in (250, 900) if spectrum[np.abs(hz - f).argmin()] > 0.2 * spectrum.max()]
    return found


def recording(name: str, *sources: tuple[str, list[int]], **more: Any) -> dict[str, Any]:
    listed = [{"type": "file", "channels": channels, "source": file} for file, channels in sources]
    return {"id": name, "sources": listed, "sampling_rate": 16_000, "duration": 4.0, **more}


def cut(name: str, source: Mapping[str, Any], channel: Any = 0, **more: Any) -> dict[str, Any]:
    said = {"id": f"s-{name}", "start": 0.0, "duration": 4.0, "channel": channel, "text": f"of {name}"}
    return {
        "id": name,
        "start": 0.0,
        "duration": 4.0,
        "channel": channel,
        "type": "MonoCut",
        "recording": source,
        "supervisions": [said],
        **more,
    }


CALL, MEETING = recording("call", ("call.wav", [0, 1])), recording("meet", ("mic0.wav", [0]), ("mic1.wav", [1]))


def test_lhotse_cuts_hear_the_channel_that_they_name(call: Path, cache: Path) -> None:
    swapped = recording("odd", ("call.wav", [1, 0]))
    seven = recording("seven", ("mic0.wav", [3]), ("mic1.wav", [7]))
    corpus = load_corpus(
        lines(
            call / "cuts.jsonl",
            cut("caller", CALL, 0),
            cut("agent", CALL, 1),
            cut("both", CALL, [0, 1], type="MultiCut"),
            cut("meet-0", MEETING, 0),
            cut("meet-1", MEETING, 1, start=1.0, duration=2.0),
            cut("swapped", swapped, 0, start=0.5, duration=3.0),
            cut("seven", seven, [7], start=2.0, duration=1.0),
        )
    )
    assert pitches(corpus) == {
        "caller": [250],
        "agent": [900],
        "both": [250, 900],
        "meet-0": [250],
        "meet-1": [900],
        "swapped": [900],
        "seven": [900],
    }
    assert not corpus.left_out


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (cut("x", {**CALL, "transforms": [{"name": "Speed", "kwargs": {"factor": 0.9}}]}), "transform Speed"),
        (cut("x", {**CALL, "transforms": [{"name": "Volume", "kwargs": {"factor": 2}}]}), "transform Volume"),
        (cut("x", {**CALL, "transforms": ["Narrowband"]}), "transform Narrowband"),
        ({"id": "x", "type": "MixedCut", "tracks": [{"cut": cut("y", CALL), "offset": 0.0}]}, "is a MixedCut"),
        ({"id": "x", "type": "PaddingCut", "duration": 1.0}, "is a PaddingCut"),
        (cut("x", MEETING, [0, 1], type="MultiCut"), "lie in 2 files"),
        (cut("x", CALL, 2), "asks for channel 2"),
        (cut("x", recording("x", ("call.wav", [0, 1, 2])), 2), "the file has 2"),
        (cut("x", recording("x", ("call.wav", [0, 1, 2])), [0, 1]), "one or all"),
        (cut("x", {"id": "x", "sources": [{"type": "url", "source": "https://x/y.wav"}]}), "not a file"),
        (cut("x", recording("x", ("gone.wav", [0]))), "its audio is missing"),
        (cut("x", CALL, start=-1.0), "start must be"),
        (cut("x", CALL, duration="long"), "duration must be"),
        ({"id": "x", "type": "MonoCut", "features": {}}, "'sources' is missing"),
        ({"id": "x", "recording": 5}, "MonoCut|int"),
        ("{torn", "not valid JSON"),
        ("[1, 2]", "expected a JSON object"),
    ],
)
def test_one_cut_that_cannot_be_read_as_it_is_costs_itself_alone(
    value: Mapping[str, Any] | str, reason: str, call: Path, cache: Path
) -> None:
    corpus = load_corpus(lines(call / "cuts.jsonl", cut("good", CALL, 0), value, cut("also", CALL, 1)))
    assert {u.id: u.text for u in corpus.utterances} == {"good": "of good", "also": "of also"}
    (item,) = corpus.left_out
    assert any(part in item.reason for part in reason.split("|")), item.reason


def test_resampling_changes_no_audio_and_a_label_of_another_channel_is_none(call: Path, cache: Path) -> None:
    resampled = {**CALL, "transforms": [{"name": "Resample", "kwargs": {}}], "sampling_rate": 8000}
    other = cut("other", MEETING, 0)
    other["supervisions"][0]["channel"] = 1
    corpus = load_corpus(lines(call / "cuts.jsonl", cut("a", resampled, 1), other))
    assert {u.id: u.text for u in corpus.utterances} == {"a": "of a", "other": None}


def test_recordings_of_several_channels_take_them_from_their_supervisions(call: Path, cache: Path) -> None:
    spec = lines(call / "recordings.jsonl", CALL, MEETING, recording("alone", ("mic1.wav", [0])))
    said = [
        {"id": f"{name}-{c}", "recording_id": name, "start": 0.0, "duration": 2.0, "channel": c, "text": f"{name} {c}"}
        for name in ("call", "meet")
        for c in (0, 1)
    ]
    lines(call / "supervisions.jsonl", *said, {"id": "no recording"}, "torn{")
    corpus = load_corpus(spec)
    assert pitches(corpus) == {"call-0": [250], "call-1": [900], "meet-0": [250], "meet-1": [900], "alone": [900]}
    assert len(corpus.left_out) == 2


def nemo(name: str, **more: Any) -> dict[str, Any]:
    return {"audio_filepath": name, **more}


def test_nemo_segments_milliseconds_apart_have_ids_of_their_own(tmp_path: Path, cache: Path) -> None:
    with soundfile.SoundFile(tmp_path / "long.flac", "w", 1000, 1) as file:
        file.write(tone(1300.0, 1000))
    values = [
        nemo("long.flac", offset=1234.561, duration=2.0, text="first voice"),
        nemo("long.flac", offset=1234.564, duration=2.5, text="three milliseconds later"),
        nemo("long.flac", offset=1234.564, duration=2.0, text="as long as the first"),
        nemo("long.flac", offset=10.1, duration=2, text="a"),
        nemo("long.flac", duration=2, text="from the begin"),
        nemo("long.flac", duration=3, text="from the begin, longer"),
    ]
    corpus = load_corpus(lines(tmp_path / "x.json", *values))
    assert {u.text for u in corpus.utterances} == {v["text"] for v in values}
    assert len({u.id for u in corpus.utterances}) == 6
    assert not corpus.left_out
    # What overlaps is on one side, so that no tested audio is trained on.
    sides = {u.split for u in corpus.utterances if "@1234" in u.id}
    assert len(sides) == 1


def test_nemo_takes_duration_offset_and_channel_as_they_are(call: Path, cache: Path) -> None:
    corpus = load_corpus(
        lines(
            call / "train.json",
            nemo("call.wav", channel_selector=1, duration=3.999, text="agent"),
            nemo("call.wav", duration=1.0, text="short"),
            nemo("call.wav", channel=0, offset=2.0, text="to the end"),
            nemo(["mic0.wav", "mic1.wav"], text="two files"),
            nemo("mic0.wav", speed=0.9),
            nemo("mic0.wav", offset=3.5, duration=2.0),
            nemo("mic0.wav", offset="soon"),
            nemo("mic0.wav", offset=float("nan")),
            nemo("mic0.wav", text=["a", "list"]),
            r'{"audio_filepath": "mic0.wav", "text": "half a \ud83d"}',
            r'{"audio_filepath": "mic1.wav", "offset": null, "duration": null, "text": "\ud83d\ude00"}',
        )
    )
    assert {u.text: (u.offset, u.num_samples, u.channel) for u in corpus.utterances} == {
        "agent": (0, 64_000, 1),
        "short": (0, 16_000, None),
        "to the end": (32_000, 32_000, 0),
        "\U0001f600": (0, 64_000, None),
    }
    assert len(corpus.left_out) == 7


def test_a_table_with_times_and_channels_gives_each_row_its_own_audio(call: Path, cache: Path) -> None:
    (call / "turns.csv").write_text(
        "file,start,end,channel,text\ncall.wav,0.0,1.5,0,hello\ncall.wav,1.5,4.0,1,good day\n"
        "call.wav,2.0,1.0,0,backwards\ncall.wav,x,1.0,0,no time\n"
    )
    corpus = load_corpus(f"manifest:{call / 'turns.csv'}")
    assert {u.text: (u.offset, u.num_samples, u.channel) for u in corpus.utterances} == {
        "hello": (0, 24_000, 0),
        "good day": (24_000, 40_000, 1),
    }
    assert len(corpus.left_out) == 2
    (call / "turns.csv").rename(call / "metadata.csv")
    (call / "mic0.wav").unlink()
    (call / "mic1.wav").unlink()
    folder = load_corpus(f"folder:{call}")
    assert {(u.text, u.offset) for u in folder.utterances} == {("hello", 0), ("good day", 24_000)}


def test_channels_that_may_count_from_one_are_not_guessed(call: Path, cache: Path) -> None:
    (call / "turns.csv").write_text("file,channel,text\ncall.wav,1,hello\ncall.wav,2,good day\nmic0.wav,,alone\n")
    corpus = load_corpus(f"manifest:{call / 'turns.csv'}")
    assert [u.text for u in corpus.utterances] == ["alone"]
    assert all("may count from 1" in item.reason for item in corpus.left_out)
    (call / "turns.csv").write_text("file,channel,text\ncall.wav,left,hello\ncall.wav,B,good day\n")
    assert {u.text: u.channel for u in load_corpus(f"manifest:{call / 'turns.csv'}").utterances} == {
        "hello": 0,
        "good day": 1,
    }


@pytest.mark.parametrize(("duration", "kept"), [("4.0", 3), ("4", 3), ("4000", 3), ("64000", 3), ("1.2", 0), ("9", 0)])
def test_a_duration_in_a_table_is_held_against_the_file(duration: str, kept: int, call: Path, cache: Path) -> None:
    rows = "".join(f"{name}.wav,{duration}\n" for name in ("call", "mic0", "mic1"))
    (call / "list.csv").write_text("file,duration\n" + rows)
    if kept:
        assert len(load_corpus(f"manifest:{call / 'list.csv'}").utterances) == kept
    else:
        with pytest.raises(DataError, match=r"lasts 4\.00 s, its table says"):
            load_corpus(f"manifest:{call / 'list.csv'}")


def test_a_split_that_nobody_knows_is_not_trained_on(call: Path, cache: Path) -> None:
    rows = ["mic0.wav,train", "mic1.wav,Hold-Out", "call.wav,secret"]
    (call / "list.csv").write_text("file,split\n" + "\n".join(rows) + "\n")
    corpus = load_corpus(f"manifest:{call / 'list.csv'}")
    assert ({u.id for u in corpus.split("pretrain")}, {u.id for u in corpus.split("test")}) == ({"mic0"}, {"mic1"})
    assert "its split 'secret' is not known" in corpus.left_out[0].reason


def test_one_file_under_two_names_is_for_testing_if_either_is(call: Path, cache: Path) -> None:
    values = [
        {"id": "a", "path": "mic0.wav", "split": "train", "text": "said"},
        {"id": "b", "path": "mic0.wav", "split": "test", "speaker": "s"},
        {"id": "c", "path": "mic1.wav", "split": "train", "offset_s": 0.0, "duration_s": 3.0},
        {"id": "d", "path": "mic1.wav", "split": "test", "offset_s": 2.5},
        {"id": "e", "path": "call.wav", "split": "train", "channel": 0},
        {"id": "f", "path": "call.wav", "split": "test", "channel": 1},
    ]
    corpus = load_corpus(lines(call / "x.jsonl", *values))
    assert {u.id for u in corpus.split("test")} == {"a", "d", "f"}
    assert {u.id for u in corpus.split("pretrain")} == {"e"}
    assert {(u.text, u.speaker) for u in corpus.split("test") if u.id == "a"} == {("said", "s")}
    assert [item.reason for item in corpus.left_out] == [
        f"b is the same audio as a of {call / 'mic0.wav'}",
        "c overlaps d, which is for testing",
    ]


def test_two_corpora_that_share_a_file_are_refused(call: Path, cache: Path) -> None:
    one = lines(call / "one.jsonl", {"path": "mic0.wav"})
    two = lines(call / "two.jsonl", {"id": "x", "path": "mic0.wav"}, {"path": "mic1.wav"})
    with pytest.raises(DataError, match=r"mic0\.wav is in one and in two"):
        load_corpus(f"{one} + {two}")


HELD = {"path": "call.wav", "split": "test"}


@pytest.mark.parametrize("name", ["mic0.wav", "link.wav"])
def test_a_recording_that_another_corpus_tests_on_is_not_pretrained_on(name: str, call: Path, cache: Path) -> None:
    (call / "link.wav").symlink_to("mic0.wav")
    learnt = lines(call / "all.jsonl", *({"path": f"mic{i}.wav", "split": "train"} for i in range(2)), HELD)
    tested = lines(call / "labels.jsonl", {"path": name, "split": "test"}, {**HELD, "split": "train"})
    corpus, scored = load_both(learnt, tested)
    stem = name.removesuffix(".wav")
    assert [u.id for u in corpus.split("pretrain")] == ["mic1"]
    assert [item.reason for item in corpus.left_out] == [f"mic0 overlaps {stem}, which is for testing in labels"]
    assert {u.id for u in scored.split("test")} == {stem}


def test_a_stretch_that_another_corpus_tests_on_costs_the_recording_around_it_alone(call: Path, cache: Path) -> None:
    learnt = lines(
        call / "all.jsonl",
        {"id": "whole", "path": "mic0.wav", "split": "train"},
        {"id": "end", "path": "mic1.wav", "offset_s": 2.0, "split": "train"},
        HELD,
    )
    tested = lines(
        call / "labels.jsonl",
        {"id": "a", "path": "mic0.wav", "split": "test", "offset_s": 0.5, "duration_s": 1.0},
        {"id": "b", "path": "mic1.wav", "split": "test", "offset_s": 0.0, "duration_s": 2.0},
        {**HELD, "split": "train"},
    )
    corpus, _ = load_both(learnt, tested)
    assert [u.id for u in corpus.split("pretrain")] == ["end"]


Writer = Callable[[Path, list[tuple[str, str]]], str]


def own(root: Path, rows: list[tuple[str, str]]) -> str:
    return lines(root / "x.jsonl", *({"path": f"{n}.wav", "text": t} for n, t in rows))


def nemo_file(root: Path, rows: list[tuple[str, str]]) -> str:
    return lines(root / "x.json", *(nemo(f"{n}.wav", text=t) for n, t in rows))


def lhotse_file(root: Path, rows: list[tuple[str, str]]) -> str:
    values = [cut(n, recording(n, (f"{n}.wav", [0])), 0, duration=0.2) for n, _ in rows]
    for value, (_, text) in zip(values, rows, strict=True):
        value["supervisions"][0]["text"] = text
    return lines(root / "cuts.jsonl", *values)


def csv_file(root: Path, rows: list[tuple[str, str]]) -> str:
    (root / "x.csv").write_text("file,text\n" + "".join(f'{n}.wav,"{t}"\n' for n, t in rows), encoding="utf-8")
    return f"manifest:{root / 'x.csv'}"


def tsv_file(root: Path, rows: list[tuple[str, str]]) -> str:
    (root / "metadata.tsv").write_text("path\ttext\n" + "".join(f"{n}.wav\t{t}\n" for n, t in rows), "utf-8")
    return f"folder:{root}"


def fairseq_file(root: Path, rows: list[tuple[str, str]]) -> str:
    (root / "train.tsv").write_text(".\n" + "".join(f"{n}.wav\t3200\n" for n, _ in rows), encoding="utf-8")
    (root / "train.wrd").write_text("".join(f"{t}\n" for _, t in rows), encoding="utf-8")
    return f"fairseq:{root / 'train.tsv'}"


def trans_file(root: Path, rows: list[tuple[str, str]]) -> str:
    (root / "x.trans.txt").write_text("".join(f"{n} {t}\n" for n, t in rows), encoding="utf-8")
    return f"folder:{root}"


def txt_files(root: Path, rows: list[tuple[str, str]]) -> str:
    for name, text in rows:
        (root / f"{name}.txt").write_text(f"{text}\n", encoding="utf-8")
    return f"folder:{root}"


WRITERS: list[Writer] = [own, nemo_file, lhotse_file, csv_file, tsv_file, fairseq_file, trans_file, txt_files]


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
@pytest.mark.parametrize("system", ["unix", "windows", "utf-8 with a mark", "utf-16"])
def test_a_text_with_line_separators_is_read_whole_from_every_format(
    writer: Writer, system: str, tmp_path: Path, cache: Path
) -> None:
    rows = [(f"u{k}", f"one{c}two {k}") for k, c in enumerate(SEPARATORS)]
    for k, (name, _) in enumerate(rows):
        soundfile.write(tmp_path / f"{name}.wav", tone(0.2, seed=k), 16_000)
    spec = writer(tmp_path, rows)
    for path in tmp_path.iterdir():
        if path.is_file() and path.suffix != ".wav":
            text = path.read_text(encoding="utf-8")
            data = text.replace("\n", "\r\n").encode() if system != "unix" else text.encode()
            data = b"\xef\xbb\xbf" + data if system == "utf-8 with a mark" else data
            path.write_bytes(text.encode("utf-16") if system == "utf-16" else data)
    corpus = load_corpus(spec)
    assert {u.id: u.text for u in corpus.utterances} == dict(rows)
    assert not corpus.left_out


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
def test_a_line_that_is_not_utf8_costs_itself_alone(writer: Writer, tmp_path: Path, cache: Path) -> None:
    rows = [("a", "fine"), ("b", "caf?"), ("c", "good")]
    for k, (name, _) in enumerate(rows):
        soundfile.write(tmp_path / f"{name}.wav", tone(0.2, seed=k), 16_000)
    spec = writer(tmp_path, rows)
    for path in tmp_path.iterdir():
        if path.is_file() and path.suffix != ".wav":
            path.write_bytes(path.read_bytes().replace(b"caf?", b"caf\xe9"))
    corpus = load_corpus(spec)
    texts = {u.id: u.text for u in corpus.utterances}
    assert (texts["a"], texts["c"], texts.get("b")) == ("fine", "good", None)
    assert any("is not UTF-8" in item.reason for item in corpus.left_out)


@pytest.mark.parametrize(
    ("content", "texts", "left_out"),
    [
        ('a.wav,"open\nb.wav,two\nc.wav,three\n', {"b": "two", "c": "three"}, 1),
        ('a.wav,"open\nb.wav,"too\nc.wav,three\n', {"c": "three"}, 2),
        ('a.wav,"one, and\nmore"\nb.wav,two\n', {"a": "one, and\nmore", "b": "two"}, 0),
        ("a.wav,one, two\nb.wav,two\n", {"b": "two"}, 1),
        ("a.wav,one,,\nb.wav,two\n", {"a": "one", "b": "two"}, 0),
        ("a.wav\nb.wav,two\n", {"a": None, "b": "two"}, 0),
        ('a.wav,"say ""hi"""\nb.wav,5 "\n', {"a": 'say "hi"', "b": '5 "'}, 0),
        ("\n,no file\nb.wav,two\n", {"b": "two"}, 1),
        ("b.wav,\x00two\n", {"b": "\x00two"}, 0),
    ],
)
def test_a_wrong_row_of_a_table_costs_itself_alone(
    content: str, texts: dict[str, str | None], left_out: int, tmp_path: Path, cache: Path
) -> None:
    for k, name in enumerate("abc"):
        soundfile.write(tmp_path / f"{name}.wav", tone(0.2, seed=k), 16_000)
    (tmp_path / "list.csv").write_text("file,text\n" + content)
    corpus = load_corpus(f"manifest:{tmp_path / 'list.csv'}")
    assert {u.id: u.text for u in corpus.utterances} == texts
    assert len(corpus.left_out) == left_out


def test_a_gzipped_manifest_that_broke_off_is_refused(call: Path, cache: Path) -> None:
    text = "".join(json.dumps({"path": "mic0.wav", "id": str(k), "text": str(k) * 50}) + "\n" for k in range(500))
    (call / "x.jsonl.gz").write_bytes(gzip.compress(text.encode())[:-40])
    with pytest.raises(DataError, match=r"x\.jsonl\.gz: cannot be read"):
        load_corpus(f"manifest:{call / 'x.jsonl.gz'}")


def test_another_stretch_under_the_same_id_is_decoded_anew(call: Path, cache: Path) -> None:
    values = [{"id": "a", "path": "call.wav", "channel": 0, "num_samples": 16_000}, {"id": "b", "path": "mic1.wav"}]
    assert pitches(load_corpus(lines(call / "x.jsonl", *values)))["a"] == [250]
    values[0]["channel"] = 1
    assert pitches(load_corpus(lines(call / "x.jsonl", *values)))["a"] == [900]
    values[0] |= {"channel": None, "offset": 16_000}
    assert pitches(load_corpus(lines(call / "x.jsonl", *values)))["a"] == [250, 900]
