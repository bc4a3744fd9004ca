"""Open an audio file for decoding, with what its header says wrongly put right on the way."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from greenbench.audio import chunks, flac, mpeg, ogg
from greenbench.audio.finding import WHOLE, Finding

if TYPE_CHECKING:
    import soundfile

_FORMATS: dict[bytes, Callable[[BinaryIO, int], Finding]] = {
    b"RIFF": chunks.riff,
    b"RF64": chunks.riff,
    b"riff": chunks.wave64,
    b"FORM": chunks.aiff,
    b".snd": chunks.au,
    b"caff": chunks.caf,
    b"OggS": ogg.examine,
    b"fLaC": flac.examine,
}


def examine(path: str) -> Finding:
    """Hold a file's container against the bytes that follow; a format that is not known here is taken as it is."""
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        magic = file.read(4)
        if magic[:3] == b"ID3":
            return flac.examine(file, size) if Path(path).suffix.lower() == ".flac" else mpeg.examine(file, size)
        if len(magic) == 4 and magic[0] == 0xFF and magic[1] & 0xE6 == 0xE2:
            return mpeg.examine(file, size)
        check = _FORMATS.get(magic)
        return check(file, size) if check is not None else WHOLE


@contextlib.contextmanager
def open_audio(path: str, finding: Finding | None = None) -> Iterator[soundfile.SoundFile]:
    """Open a file with soundfile. ``finding`` saves examining it again."""
    import soundfile

    finding = finding or examine(path)
    if finding.patch is None:
        with soundfile.SoundFile(path) as file:
            yield file
    else:
        with io.FileIO(path) as raw, soundfile.SoundFile(_Patched(raw, *finding.patch)) as file:
            yield file


class _Patched:
    """A file read with some bytes replaced; what soundfile asks of a file: ``readinto``, ``seek`` and ``tell``."""

    def __init__(self, file: io.FileIO, offset: int, right: bytes) -> None:
        self._file, self._offset, self._right = file, offset, right

    def readinto(self, buffer: bytearray) -> int:
        begin = self._file.tell()
        view = memoryview(buffer)
        count = self._file.readinto(view) or 0
        first, last = max(begin, self._offset), min(begin + count, self._offset + len(self._right))
        if first < last:
            view[first - begin : last - begin] = self._right[first - self._offset : last - self._offset]
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
