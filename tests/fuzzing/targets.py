"""What is fuzzed: each target makes one spoilt input of a seeded generator and hands it to the real reader."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tests.fuzzing import spoil
from tests.tones import REPOSITORY, tone

FIXTURE = REPOSITORY / "tests" / "fixtures" / "run-schema-3"
TRIAL = "eco-s0-c96b8253"


class WrongInputPassed(AssertionError):
    """An input that cannot be right was taken without a word."""


@dataclass(frozen=True)
class Place:
    """Where a target may write: ``inputs`` is its own, ``outputs`` the folder that it names to greenbench."""

    inputs: Path
    outputs: Path


Target = Callable[[random.Random, Place], None]


def suites(rng: random.Random, place: Place) -> None:
    """A suite file, spoilt; one time in four by a key that no section knows, which must be refused."""
    from greenbench.config import load_suite
    from greenbench.plan import expand
    from greenbench.preflight import check_trials

    whole = rng.choice(_texts("models/suites")).read_text()
    unknown = rng.random() < 0.25
    path = place.inputs / "suite.toml"
    spoilt = _with_unknown_key(rng, whole) if unknown else spoil.text(rng, whole)
    path.write_bytes(spoilt.encode("utf-8", "surrogatepass"))
    overrides = [_override(rng)] if rng.random() < 0.3 else []
    suite = load_suite(str(path), overrides)
    if unknown:
        raise WrongInputPassed("a key that nobody knows")
    check_trials(suite, expand(suite))


def _override(rng: random.Random) -> str:
    section = rng.choice(("suite", "budget", "train", "evaluate", "carbon", "power", "protocol", "models.eco", "x", ""))
    key = rng.choice(
        ("seeds", "models", "seconds", "joules", "data", "threads", "device", "pue", "region", "hz", "sources")
    )
    return f"{section}.{key}={rng.choice(spoil.NASTY)}"


def _with_unknown_key(rng: random.Random, whole: str) -> str:
    heads = [line for line in whole.split("\n") if line.startswith("[") and "models" not in line]
    head = rng.choice(heads)
    return whole.replace(head, f"{head}\nzzz_{rng.randrange(1000)} = 1", 1)


def _texts(folder: str) -> list[Path]:
    return sorted((REPOSITORY / folder).glob("*.toml"))


def cards(rng: random.Random, place: Place) -> None:
    """A model card, spoilt."""
    from greenbench.cards import resolve

    path = place.inputs / "card.toml"
    path.write_bytes(spoil.text(rng, rng.choice(_texts("models")).read_text()).encode("utf-8", "surrogatepass"))
    spec = resolve(
        str(path), rng.choice(("tiny", "small", "base", "")), {"size": "tiny"} if rng.random() < 0.3 else None
    )
    str(spec)


def budgets(rng: random.Random, place: Place) -> None:
    """A budgets file, spoilt; held against a run. An unknown metric must be refused."""
    from greenbench.check import check

    metric = rng.choice(("energy_total_j", "final_loss", "phones_per_pct", "wall_s", "params"))
    limit = rng.choice(("ceiling = 5", "floor = 1.0", 'max_increase = "5 %"', "max_decrease = 0.05"))
    whole = f'[[budget]]\nmetric = "{metric}"\nmodel = "eco"\n{limit}\nmin_runs = 1\n'
    unknown = rng.random() < 0.25
    path = place.inputs / "budgets.toml"
    spoilt = whole.replace(metric, metric + "_zzz") if unknown else spoil.text(rng, whole)
    path.write_bytes(spoilt.encode("utf-8", "surrogatepass"))
    check([FIXTURE], path, FIXTURE if "max_" in limit and rng.random() < 0.3 else None)
    if unknown:
        raise WrongInputPassed("a metric that nobody knows")


def manifests(rng: random.Random, place: Place) -> None:
    """A manifest of one of the formats, spoilt as text or as a tree; what is kept must lie within its file."""
    from greenbench.corpora.load import load_corpus

    for i in range(3):
        _audio(place.inputs / f"a{i}.wav", i)
    splits = ("train", "test", "train")
    rows: list[dict[str, Any]] = [
        {"id": f"u{i}", "path": f"a{i}.wav", "text": "one two", "speaker": "s", "split": split}
        | {"audio_filepath": f"a{i}.wav", "duration": 0.5, "offset": 0.0}
        for i, split in enumerate(splits)
    ]
    name, text = _manifest(rng, rows)
    path = place.inputs / name
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    if rng.random() < 0.1:
        path.write_bytes(spoil.data(rng, path.read_bytes()))
    _check_corpus(load_corpus(f"manifest:{path}"), place.inputs)


def _manifest(rng: random.Random, rows: list[dict[str, Any]]) -> tuple[str, str]:
    kind = rng.choice(("jsonl", "json", "csv", "tsv", "cuts"))
    if kind == "cuts":
        return "cuts.jsonl", _lines([spoil.tree(rng, _cut(row)) if rng.random() < 0.6 else _cut(row) for row in rows])
    if kind in ("jsonl", "json"):
        keys = (
            ("id", "path", "text", "speaker", "split")
            if kind == "jsonl"
            else ("audio_filepath", "duration", "offset", "text")
        )
        kept = [{key: row[key] for key in keys} for row in rows]
        return f"x.{kind}", _lines([spoil.tree(rng, row) if rng.random() < 0.6 else row for row in kept])
    separator = "," if kind == "csv" else "\t"
    table = [separator.join(("path", "text", "speaker", "split"))]
    table += [separator.join((row["path"], row["text"], row["speaker"], row["split"])) for row in rows]
    return f"x.{kind}", spoil.text(rng, "\n".join(table) + "\n")


def _cut(row: dict[str, Any]) -> dict[str, Any]:
    source = {"type": "file", "channels": [0], "source": row["path"]}
    recording = {"id": row["id"], "sources": [source], "sampling_rate": 16_000, "num_samples": 8_000, "duration": 0.5}
    supervision = {
        "id": row["id"],
        "recording_id": row["id"],
        "start": 0,
        "duration": 0.5,
        "text": row["text"],
        "channel": 0,
    }
    return {"id": row["id"], "start": 0, "duration": 0.5, "channel": 0, "type": "MonoCut", "recording": recording,
            "supervisions": [supervision]}  # fmt: skip


def _lines(values: list[Any]) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


_known_audio: dict[tuple[str, int], bytes] = {}


def _audio(path: Path, seed: int = 0, **options: Any) -> bytes:
    key = (path.suffix + str(options), seed)
    if key not in _known_audio:
        soundfile.write(path, tone(0.5, 16_000, seed=seed), 16_000, **options)
        _known_audio[key] = path.read_bytes()
    path.write_bytes(_known_audio[key])
    return _known_audio[key]


def _check_corpus(corpus: Any, root: Path) -> None:
    for utterance in corpus.utterances:
        if utterance.offset < 0 or utterance.num_samples <= 0:
            raise WrongInputPassed(f"a stretch that no file has: {utterance}")
        if root.resolve() not in Path(utterance.path).resolve().parents:
            raise WrongInputPassed(f"a file outside of the corpus: {utterance.path}")


def audio(rng: random.Random, place: Place) -> None:
    """An audio file whose header (or any byte) is spoilt: decoded as long as it says, or left out."""
    from greenbench.corpora.load import load_corpus
    from greenbench.features.waveforms import prepare_waveforms

    suffix, options = rng.choice(
        (("wav", {}), ("wav", {"subtype": "FLOAT"}), ("flac", {}), ("ogg", {}), ("mp3", {}), ("aiff", {}), ("au", {}),
         ("caf", {}), ("w64", {}), ("ogg", {"format": "OGG", "subtype": "OPUS"}))
    )  # fmt: skip
    whole = _audio(place.inputs / f"a.{suffix}", **options)
    (place.inputs / f"a.{suffix}").write_bytes(spoil.data(rng, whole, head=rng.choice((64, 200, None))))
    _audio(place.inputs / "b.wav", 1)
    corpus = load_corpus(f"folder:{place.inputs}")
    if len(corpus.utterances) + len(corpus.left_out) < 2:
        raise WrongInputPassed("a file is neither kept nor listed")
    for store in prepare_waveforms(corpus).values():
        for i in range(len(store.utterances)):
            wave = store.waveform(i)
            if not np.isfinite(wave).all() or np.abs(wave).max(initial=0) > 1:
                raise WrongInputPassed("samples that are no samples")


def journals(rng: random.Random, place: Place) -> None:
    """A power journal, spoilt within its gzip members or as bytes: joules are finite and not negative, or absent."""
    from greenbench.power.journal.trace import read_journal

    packed = _journal()
    path = place.inputs / "power.csv.gz"
    if rng.random() < 0.5:
        path.write_bytes(spoil.data(rng, packed))
    else:
        text = gzip.decompress(packed).decode()
        if rng.random() < 0.3:
            text = _spoilt_header(rng, text)
        spoilt = spoil.text(rng, text).encode("utf-8", "surrogatepass")
        path.write_bytes(gzip.compress(spoilt, 1) if rng.random() < 0.7 else spoilt)
    trace = read_journal(path)
    span = trace.span_ns or (0, 10**9)
    for found in (trace.total(), trace.window(*sorted((span[0] + 10**8, span[1] - 10**8)))):
        for joules in (found.energy_j, found.energy_low_j, found.energy_high_j):
            if joules is not None and not (0 <= joules < 1e9):
                raise WrongInputPassed(f"{joules} J")
    trace.series()


def _spoilt_header(rng: random.Random, text: str) -> str:
    lines = text.split("\n")
    for i, line in enumerate(lines):
        if line.startswith("# "):
            lines[i] = "# " + json.dumps(spoil.tree(rng, json.loads(line[2:])))
            break
    return "\n".join(lines)


_packed: list[bytes] = []


def _journal() -> bytes:
    if not _packed:
        lines = gzip.decompress((FIXTURE / TRIAL / "power.csv.gz").read_bytes()).decode().split("\n")
        _packed.append(gzip.compress("\n".join(lines[:160]).encode()))
    return _packed[0]


def run_folders(rng: random.Random, place: Place) -> None:
    """A trial's folder with one or two spoilt files, as ``report``, ``compare`` and ``export`` read it."""
    from greenbench.compare import compare
    from greenbench.exports import export
    from greenbench.records import find_trials
    from greenbench.trial.finish import assemble

    folder = place.inputs / "run" / TRIAL
    folder.mkdir(parents=True)
    for name in ("manifest.json", "result.json", "outcome.json", "sensors.json", "events.jsonl", "metrics.jsonl"):
        shutil.copy(FIXTURE / TRIAL / name, folder / name)
    (folder / "power.csv.gz").write_bytes(_journal())
    for name in rng.sample(sorted(p.name for p in folder.iterdir()), rng.randint(1, 2)):
        _spoil_file(rng, folder / name)
    trials = find_trials([place.inputs / "run"])
    for trial in trials:
        str(trial.learning_curve)
        str(trial.spans)
        with _foreseen():
            assemble(trial)
    with _foreseen():
        compare(trials, find_trials([FIXTURE]))
    with _foreseen():
        export([place.inputs / "run"], rng.choice(("csv", "model-cards", "mlperf", "json")), place.outputs)


@contextlib.contextmanager
def _foreseen() -> Any:
    from greenbench.errors import GreenbenchError

    with contextlib.suppress(GreenbenchError):
        yield


def _spoil_file(rng: random.Random, path: Path) -> None:
    if rng.random() < 0.1:
        path.unlink()
    elif path.suffix == ".json" and rng.random() < 0.7:
        path.write_text(json.dumps(spoil.tree(rng, json.loads(path.read_text()))))
    elif path.suffix == ".jsonl" and rng.random() < 0.7:
        lines = path.read_text().splitlines()
        i = rng.randrange(len(lines))
        lines[i] = json.dumps(spoil.tree(rng, json.loads(lines[i])))
        path.write_text("\n".join(lines) + "\n")
    elif path.suffix == ".gz":
        path.write_bytes(spoil.data(rng, path.read_bytes()))
    else:
        path.write_bytes(spoil.text(rng, path.read_text()).encode("utf-8", "surrogatepass"))


VERBS = (
    "plan",
    "report",
    "compare",
    "check",
    "baseline",
    "export",
    "measure",
    "doctor",
    "models",
    "data",
    "suites",
    "cache",
)
OPTIONS = (
    *(
        "--json",
        "--out",
        "-o",
        "--budgets",
        "--baseline",
        "--static",
        "--to",
        "--devices",
        "--sources",
        "--hz",
        "--tdp-w",
    ),
    *(
        "--budget",
        "--region",
        "--keys",
        "--across-machines",
        "--ladder",
        "--own-random",
        "--intensity",
        "-h",
        "--version",
        "--",
    ),
)


def command_lines(rng: random.Random, place: Place) -> None:
    """A command line of real verbs and options and wrong values: a code from the table and no traceback."""
    from greenbench.cli.app import main

    known = (str(FIXTURE), str(place.inputs), "quickstart", "eco", "accept", "csv", "suite.seeds=0", "none", "cpu")
    argv = [rng.choice((*VERBS, *VERBS, rng.choice(spoil.NASTY)))]
    argv += [
        rng.choice((rng.choice(OPTIONS), rng.choice(known), rng.choice(spoil.NASTY))) for _ in range(rng.randint(0, 5))
    ]
    # What takes a second or more by nature is asked for what does not exist, and must say so.
    must_fail = argv[0] in ("doctor", "measure", "report", "plan") or "--static" in argv
    if must_fail:
        argv[1:1] = ["--sources", "zzz"] if argv[0] in ("doctor", "measure") else ["--zzz"]
        must_fail = not {"-h", "--version"} & set(argv)
    # A name that is not absolute, and the default of ``baseline accept``, are meant to lie in the working folder.
    with (
        contextlib.chdir(place.outputs),
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as errors,
    ):
        code = _exit_code(main, [a.replace("\x00", "") if rng.random() < 0.99 else a for a in argv])
    if "Traceback" in errors.getvalue() + out.getvalue():
        raise WrongInputPassed(f"a traceback for {argv}")
    if code not in (0, 1, 2, 3, 4):
        raise WrongInputPassed(f"exit code {code} for {argv}")
    if code == 0 and must_fail:
        raise WrongInputPassed(f"exit code 0 for {argv}")


def _exit_code(main: Callable[[list[str]], None], argv: list[str]) -> int:
    try:
        main(argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    return 0


TARGETS: dict[str, Target] = {
    "suites": suites,
    "cards": cards,
    "budgets": budgets,
    "manifests": manifests,
    "audio": audio,
    "journals": journals,
    "run folders": run_folders,
    "command lines": command_lines,
}
