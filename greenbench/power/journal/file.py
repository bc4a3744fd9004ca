"""The power journal: append-only gzip CSV that survives kill -9, a torn tail and a full disk.

Every flush is one gzip member written by one ``write``; the file stays readable with ``zcat``. A session
(segment) begins with a comment line ``# {"segment": ...}`` that holds the boot identifier, the wall clock and
what is known about the devices; other comment lines are marks and warnings. The first line names the columns.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from greenbench.errors import GreenbenchError
from greenbench.power.samples import COLUMNS, DeviceInfo, Sample, from_row, to_row

_MAGIC = b"\x1f\x8b\x08"
_PIECE_BYTES = 4096
_MOST_RATIO, _SMALL_BYTES = 200, 16 * 2**20  # of text to compressed bytes: readings have 5 to 10, zeros alone 1,000
_MAX_PENDING_BYTES = 16 * 2**20  # what is kept in memory while the disk is full


def boot_id() -> str:
    """Identify the current boot: monotonic clocks of different boots must never be mixed."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import time

        # Other systems: the wall time of the boot, to the nearest ten seconds.
        return f"boot-{round((time.time() - time.monotonic()) / 10)}"


def _member(text: str) -> bytes:
    # A window of 4 KB holds a flush, and leaves more of the caches alone than the 256 KB that gzip takes by default.
    compressor = zlib.compressobj(6, zlib.DEFLATED, 16 + 12, 5)
    return compressor.compress(text.encode()) + compressor.flush()


class JournalWriter:
    """Collects lines and appends them as gzip members; trouble is kept in ``warnings``, never raised."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.warnings: list[str] = []
        self._lines: list[str | Sample] = []
        self._pending = b""
        self._fd: int | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        repaired = repair(path) if path.exists() else 0
        if repaired:
            self.warnings.append(f"cut {repaired} bytes of a torn flush off {path.name}")
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        if os.fstat(self._fd).st_size == 0:
            self._lines.append(",".join(COLUMNS))

    def comment(self, **values: Any) -> None:
        """Add a comment line with a JSON object."""
        self._lines.append("# " + json.dumps(values))

    def sample(self, sample: Sample) -> None:
        """Add one reading; formatting waits for the flush, where it costs a fraction (warm caches)."""
        self._lines.append(sample)

    def flush(self) -> bool:
        """Append everything collected; on a full disk keep it, undo the partial write and try again next time."""
        if self._lines:
            lines = [line if isinstance(line, str) else to_row(line) for line in self._lines]
            self._pending += _member("\n".join(lines) + "\n")
            self._lines.clear()
        if not self._pending or self._fd is None:
            return True
        size = os.fstat(self._fd).st_size
        try:
            written = os.write(self._fd, self._pending)
            if written == len(self._pending):
                self._pending = b""
                return True
            self._undo(size)
            self._warn(f"short write to {self.path.name}: the disk is full; readings are kept in memory")
        except OSError as error:
            self._undo(size)
            self._warn(f"cannot write {self.path.name}: {error.strerror}; readings are kept in memory")
        if len(self._pending) > _MAX_PENDING_BYTES:
            self._pending = b""
            self._warn(f"readings were dropped: {self.path.name} could not be written for too long")
        return False

    def _undo(self, size: int) -> None:
        # A partial member would end the readable part of the file: cut back to the last whole one.
        if self._fd is not None and os.fstat(self._fd).st_size > size:
            os.ftruncate(self._fd, size)

    def _warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)

    def close(self) -> None:
        """Flush and close."""
        if self._fd is not None:
            self.flush()
            os.close(self._fd)
            self._fd = None


def _members(data: bytes) -> Iterator[tuple[bytes, int, bool]]:
    """Yield ``(text, end, whole)`` for each gzip member; after a torn one look for the next beginning."""
    position = 0
    while position < len(data):
        text, end = _one_member(data, position)
        if end is not None:
            position = end
            yield text, position, True
            continue
        following = data.find(_MAGIC, position + 1)
        position = len(data) if following < 0 else following
        yield text, position, False


def _one_member(data: bytes, start: int) -> tuple[bytes, int | None]:
    # Small pieces: what is left over after a member is copied, and a day's journal has 86,400 members.
    decompressor = zlib.decompressobj(31)
    parts: list[bytes] = []
    position, length = start, 0
    try:
        while position < len(data) and not decompressor.eof:
            piece = data[position : position + _PIECE_BYTES]
            parts.append(decompressor.decompress(piece))
            position += len(piece)
            length += len(parts[-1])
            if length > _SMALL_BYTES and length > _MOST_RATIO * (position - start):
                return b"", None  # zeros made to fill the memory, not readings
    except zlib.error:
        return b"".join(parts), None
    return b"".join(parts), position - len(decompressor.unused_data) if decompressor.eof else None


def repair(path: Path) -> int:
    """Cut a torn last member off a journal and return the number of bytes removed."""
    data = path.read_bytes()
    good = 0
    for _, end, whole in _members(data):
        if whole:
            good = end
    if good < len(data):
        os.truncate(path, good)
    return len(data) - good


@dataclass
class Segment:
    """One session of the sampler: its header, its devices, its readings and its comments."""

    boot_id: str = ""
    header: dict[str, Any] = field(default_factory=dict)
    devices: dict[str, DeviceInfo] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class JournalContents:
    """A journal read back, with what could not be read."""

    segments: list[Segment]
    torn_members: int = 0
    bad_lines: int = 0


def _decode(data: bytes) -> tuple[list[str], int]:
    if not data.startswith(_MAGIC[:2]):  # a plain CSV, for recordings made by hand
        return data.decode("utf-8", "replace").splitlines(), 0
    lines: list[str] = []
    torn = 0
    for text, _, whole in _members(data):
        if not whole:
            torn += 1
            text = text[: text.rfind(b"\n") + 1]
        lines.extend(text.decode("utf-8", "replace").splitlines())
    return lines, torn


def read_segments(path: Path) -> JournalContents:
    """Read a journal; torn tails and unreadable lines are counted, not fatal.

    Raises:
        OSError: the file cannot be opened.
    """
    lines, torn = _decode(Path(path).read_bytes())
    contents = JournalContents(segments=[], torn_members=torn)
    columns = list(COLUMNS)
    for line in lines:
        if line.startswith("#"):
            contents.bad_lines += not _comment(contents, line)
        elif line.startswith(("t_mono_ns,", "t_s,")):
            columns = line.split(",")
        elif line.strip():
            contents.bad_lines += not _reading(contents, columns, line.split(","))
    return contents


def _comment(contents: JournalContents, line: str) -> bool:
    try:
        values = json.loads(line[1:])
    except (ValueError, RecursionError):
        return False
    if not isinstance(values, dict):
        return False
    if "segment" in values:
        return _header(contents, values["segment"])
    if contents.segments:
        contents.segments[-1].comments.append(values)
    return True


def _header(contents: JournalContents, header: object) -> bool:
    """Begin a session; of one whose header is damaged the readings are kept, and what they say of their devices."""
    segment = Segment()
    contents.segments.append(segment)
    if not isinstance(header, dict):
        return False
    segment.boot_id, segment.header = str(header.get("boot_id", "")), header
    try:
        infos = [DeviceInfo.from_dict(device) for device in header.get("devices", [])]
    except (GreenbenchError, TypeError, AttributeError):
        return False
    segment.devices = {info.device: info for info in infos}
    return True


def _reading(contents: JournalContents, columns: list[str], cells: list[str]) -> bool:
    try:
        if columns[0] == "t_s":  # a recording made by hand: seconds instead of nanoseconds
            cells = [str(round(float(cells[0]) * 1e9)), *cells[1:]]
            columns = ["t_mono_ns", *columns[1:]]
        given = dict(zip(columns, cells, strict=True))
        for name, default in (("read_ns", "0"), ("device", "device"), ("source", "recording"), ("kind", "measured")):
            given[name] = given.get(name) or default
        sample = from_row(list(given), list(given.values()))
    except ValueError:
        return False
    if not contents.segments:
        contents.segments.append(Segment())
    contents.segments[-1].samples.append(sample)
    return True
