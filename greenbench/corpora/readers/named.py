"""Corpora by name, from the download location."""

from __future__ import annotations

from greenbench.corpora.catalogue import ARCHIVES, LIBRILIGHT_FOLDERS, find_archive, installed_folder
from greenbench.corpora.readers.entry import Listing
from greenbench.corpora.readers.librispeech import read_subsets
from greenbench.errors import DataError, did_you_mean


def read_librispeech(argument: str) -> Listing:
    """Read downloaded subsets, joined by ``+``: ``train-clean-100+test-clean``."""
    known = [name for name, archive in ARCHIVES.items() if archive.folder.startswith("LibriSpeech/")]
    folders = []
    for subset in argument.split("+"):
        if subset not in known:
            raise DataError(f"data = 'librispeech:{argument}': no subset {subset!r}{did_you_mean(subset, known)}")
        folders.append(installed_folder(ARCHIVES[subset]))
    return read_subsets(f"librispeech-{argument}", folders, trusted=True)


def read_librilight(argument: str) -> Listing:
    """Read one of Libri-Light's limited sets: ``10min``, ``1h`` or ``10h``."""
    if argument not in LIBRILIGHT_FOLDERS:
        raise DataError(f"data = 'librilight:{argument}': no such set{did_you_mean(argument, LIBRILIGHT_FOLDERS)}")
    folder = installed_folder(find_archive("librilight-limited"))
    folders = [folder / name for name in LIBRILIGHT_FOLDERS[argument]]
    return read_subsets(f"librilight-{argument}", folders, trusted=True)
