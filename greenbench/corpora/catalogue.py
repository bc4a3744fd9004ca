"""The corpora that can be downloaded by name: where they lie, how large they are, under which licence."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from greenbench.errors import DataError, did_you_mean

_CC_BY_4 = "CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/)"
_OPENSLR = "https://www.openslr.org/resources"


@dataclass(frozen=True)
class Archive:
    """One archive. ``size_bytes`` is what the server had when the entry was written, ``None`` if only about known.

    ``checksum`` is ``"sha256:…"`` or ``"md5:…"``; ``folder`` is what it unpacks to, below the download location.
    """

    name: str
    url: str
    size_bytes: int
    checksum: str
    folder: str
    hours: float
    licence: str
    citation: str


_LIBRISPEECH = "Panayotov et al., Librispeech: an ASR corpus based on public domain audio books, ICASSP 2015"
_LIBRILIGHT = "Kahn et al., Libri-light: a benchmark for ASR with limited or no supervision, ICASSP 2020"


def _librispeech(name: str, size_bytes: int, sha256: str, hours: float) -> Archive:
    url = f"{_OPENSLR}/12/{name}.tar.gz"
    return Archive(name, url, size_bytes, f"sha256:{sha256}", f"LibriSpeech/{name}", hours, _CC_BY_4, _LIBRISPEECH)


def _mini_librispeech(name: str, size_bytes: int, md5: str, hours: float) -> Archive:
    url = f"{_OPENSLR}/31/{name}.tar.gz"
    return Archive(name, url, size_bytes, f"md5:{md5}", f"LibriSpeech/{name}", hours, _CC_BY_4, _LIBRISPEECH)


# LibriSpeech: sizes and SHA-256 as in TensorFlow Datasets' url_checksums/librispeech.txt, hours from the paper's table.
# Mini LibriSpeech: MD5 as in openslr.org/31's md5sum.txt, sizes from its page (rounded to MB), hours from the names.
# Libri-Light limited: SHA-256 as in torchaudio's LibriLightLimited, size rounded.
ARCHIVES: dict[str, Archive] = {
    archive.name: archive
    for archive in (
        _librispeech("dev-clean", 337926286, "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3", 5.4),
        _librispeech("dev-other", 314305928, "12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365", 5.3),
        _librispeech("test-clean", 346663984, "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23", 5.4),
        _librispeech("test-other", 328757843, "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29", 5.1),
        _librispeech(
            "train-clean-100", 6387309499, "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2", 100.6
        ),
        _librispeech(
            "train-clean-360", 23049477885, "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf", 363.6
        ),
        _librispeech(
            "train-other-500", 30593501606, "ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2", 496.7
        ),
        _mini_librispeech("train-clean-5", 332_000_000, "5df7d4e78065366204ca6845bb08f490", 5.0),
        _mini_librispeech("dev-clean-2", 126_000_000, "6d7ab67ac6a1d2c993d050e16d61080d", 2.0),
        Archive(
            name="librilight-limited",
            url="https://dl.fbaipublicfiles.com/librilight/data/librispeech_finetuning.tgz",
            size_bytes=600_000_000,
            checksum="sha256:5d1efdc777b548194d7e09ba89126e2188026df9fd57aa57eb14408d2b2342af",
            folder="librispeech_finetuning",
            hours=10.0,
            licence=_CC_BY_4,
            citation=_LIBRILIGHT,
        ),
    )
}

LIBRILIGHT_FOLDERS = {"10min": ("1h/0",), "1h": ("1h",), "10h": ("1h", "9h")}
"""What each limited set of Libri-Light consists of, below the archive's folder."""


def find_archive(name: str) -> Archive:
    """An archive by its name, with or without ``librispeech:``; raises :class:`DataError`."""
    kind, separator, subset = name.partition(":")
    if kind == "librilight":
        subset = "librilight-limited"
    key = subset if separator else name
    if key not in ARCHIVES:
        raise DataError(f"corpus {name!r} cannot be downloaded{did_you_mean(key, ARCHIVES)}")
    return ARCHIVES[key]


def download_root() -> Path:
    """Where downloads lie: ``$GREENBENCH_DATA``, else ``greenbench`` in the XDG data folder."""
    explicit = os.environ.get("GREENBENCH_DATA")
    if explicit:
        return Path(explicit).expanduser()
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".local" / "share") / "greenbench"


def installed_folder(archive: Archive, root: Path | None = None) -> Path:
    """The folder of a downloaded archive; raises :class:`DataError` that names the command to get it."""
    folder = (root or download_root()) / archive.folder
    if not folder.is_dir():
        raise DataError(
            f"corpus {archive.name} is not in {folder}; get it with: greenbench data {archive.name} --download "
            "(or set GREENBENCH_DATA)"
        )
    return folder
