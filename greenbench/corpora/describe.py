"""What ``greenbench data`` shows: the corpora there are, or the summary of one."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from typing import Any

from greenbench.corpora.catalogue import ARCHIVES, download_root
from greenbench.corpora.load import load_corpus
from greenbench.corpora.readers.embedded import EMBEDDED, read_card
from greenbench.corpora.readers.registry import READERS
from greenbench.corpora.summary import summarise
from greenbench.corpora.utterance import fingerprint
from greenbench.progress import Progress
from greenbench.units import format_bytes

_LISTED = 20
_NOTED = 5


def list_corpora() -> dict[str, Any]:
    """The corpora by name and the forms that ``data = …`` takes, as plain data."""
    root = download_root()
    named = [
        {
            "name": archive.name,
            "hours": archive.hours,
            "download_bytes": archive.size_bytes,
            "licence": archive.licence,
            "installed": (root / archive.folder).is_dir(),
        }
        for archive in ARCHIVES.values()
    ]
    forms = [f"{name}:{reader.argument}" for name, reader in READERS.items()]
    return {"embedded": EMBEDDED, "download_root": str(root), "downloadable": named, "forms": forms}


def describe(spec: str | None = None, *, content: bool = False, progress: Progress | None = None) -> dict[str, Any]:
    """The summary of a corpus as plain data, or of all there are without a name.

    ``content=True`` reads every file and adds ``content_fingerprint``, which sees its bytes too. Raises
    :class:`DataError` for an unknown or unusable corpus.
    """
    if not spec:
        return list_corpora()
    name = spec
    if spec in ARCHIVES and ARCHIVES[spec].folder.startswith("LibriSpeech/"):
        name = f"librispeech:{spec}"
    corpus = load_corpus(name, progress=progress)
    summary = summarise(corpus)
    if content:
        summary["content_fingerprint"] = fingerprint(corpus.utterances, content=True)
    if spec in EMBEDDED:
        summary["card"] = read_card(spec)
    return summary


def as_text(summary: dict[str, Any]) -> str:
    """What :func:`describe` gave as lines for people."""
    return _list_text(summary) if "downloadable" in summary else _corpus_text(summary)


def _list_text(summary: dict[str, Any]) -> str:
    lines = ["embedded, no download:"]
    lines += [f"  {name:<20} {text}" for name, text in summary["embedded"].items()]
    lines += [f"to download to {summary['download_root']} (greenbench data NAME --download):"]
    for item in summary["downloadable"]:
        here = "here" if item["installed"] else format_bytes(item["download_bytes"])
        lines.append(f"  {item['name']:<20} {item['hours']:>6g} h  {here:>10}  {item['licence'].partition(' (')[0]}")
    return "\n".join([*lines, "your own:      " + ", ".join(summary["forms"])])


def _corpus_text(summary: dict[str, Any]) -> str:
    lengths, labels = summary["lengths_s"], summary["labels"]
    lines = [
        f"{summary['name']}: {summary['hours']:.2f} h in {summary['utterances']} utterances, {summary['files']} files",
        f"fingerprint  {summary['fingerprint']}",
        *([f"content      {summary['content_fingerprint']}"] if "content_fingerprint" in summary else []),
        *(
            f"{name:<12} {part['hours']:.2f} h, {part['utterances']} utterances, {part['speakers']} speakers"
            for name, part in summary["splits"].items()
        ),
        f"lengths      {lengths['min']} to {lengths['max']} s, median {lengths['median']} s",
        "             " + ", ".join(f"{name} s: {n}" for name, n in lengths["histogram"].items() if n),
        "rates        " + ", ".join(f"{rate} Hz: {n}" for rate, n in summary["sample_rates"].items()),
        "languages    " + (", ".join(f"{code}: {n}" for code, n in summary["languages"].items()) or "none given"),
        "labels       " + (", ".join(f"{name}: {n}" for name, n in labels.items() if n) or "none"),
    ]
    if summary["resampled_hours"]:
        lines.append(f"resampled    {summary['resampled_hours']:.2f} h to 16 kHz")
    if summary.get("files_cut"):
        lines.append(f"cut          {summary['files_cut']} files longer than 45 s, into pieces of about 20 s")
    lines += [f"note         {note}" for note in summary["notes"]]
    lines += _left_out_text(summary, _LISTED, "--json lists all")
    return "\n".join(lines)


def as_note(summary: dict[str, Any]) -> str:
    """The few lines that a run says about its data before anything is trained."""
    unusable = len({item["path"] for item in summary["left_out"]})
    facts = [
        f"{summary['hours']:.2f} h in {summary['utterances']} utterances",
        f"{summary['files']} files kept, {unusable} left out",
        ", ".join(f"{rate} Hz: {n}" for rate, n in summary["sample_rates"].items()),
        *(f"{name} {part['hours']:.2f} h" for name, part in summary["splits"].items()),
    ]
    lines = [f"data {summary['data']}: " + " · ".join(facts)]
    lines += [f"note         {note}" for note in summary["notes"]]
    if summary["left_out"]:
        lines += _left_out_text(summary, _NOTED, f"greenbench data {shlex.quote(summary['data'])} lists them")
    return "\n".join(lines)


def _left_out_text(summary: dict[str, Any], listed: int, where: str) -> list[str]:
    left_out = summary["left_out"]
    if not left_out:
        return ["left out     nothing"]
    reasons = Counter(_kind_of(item["reason"]) for item in left_out)
    lines = [f"left out     {len(left_out)}: " + ", ".join(f"{n} × {reason}" for reason, n in reasons.most_common(8))]
    lines += [f"  {item['path']}: {item['reason']}" for item in left_out[:listed]]
    return [*lines, f"  … and {len(left_out) - listed} more ({where})"] if len(left_out) > listed else lines


def _kind_of(reason: str) -> str:
    """A reason without what is particular to one file, so that equal ones can be counted."""
    head = reason.partition(";")[0].partition(":")[0].partition(" (")[0]
    head = re.sub(r"^\S+ (?=is shorter than|asks for)", "", head)
    head = re.sub(r"(?<= can mean ).*", "several files", head)
    return re.sub(r"'[^']*'|\S+\.\w+(?= but (?:is )?missing)|(?<= )\d+ samples.*", "…", head)
