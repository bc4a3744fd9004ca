"""Join Ogg Opus files into one stream without decoding them: the packets stay as they are.

Every Opus packet of the source lasts 20 ms and stands alone (SILK, no state that a packet of another file could not
follow within a few milliseconds), so that the streams' packets can follow each other. Let a file have ``n`` packets
and skip ``p`` samples at its begin (RFC 7845: pre-skip). In the joined stream, which skips ``p`` samples once, its
first sample is number ``320 * (packets before it)`` at 16 kHz, for any ``p``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ..ogg_pages import FIRST, LAST, Page, read_pages, write_page

SAMPLE_RATE = 16_000
_OPUS_RATE = 48_000
_PACKET_S = 0.02
PACKET_SAMPLES = round(_PACKET_S * SAMPLE_RATE)
_PACKET_GRANULE = round(_PACKET_S * _OPUS_RATE)
_SILK_WIDEBAND_20_MS = 9 << 3  # RFC 6716, table 2: configuration 9, mono, one frame a packet
_PACKETS_A_PAGE = 125
_MARGIN_S = 0.08
"""RFC 7845: a decoder that begins in the middle has converged after 80 ms."""


@dataclass(frozen=True)
class OpusFile:
    """One source file: its packets, its header and how many 16 kHz samples it decodes to."""

    head: bytes
    packets: tuple[bytes, ...]
    num_samples: int


def read_opus(path: Path) -> OpusFile:
    """Read a file; raises :class:`ValueError` where its packets cannot be joined with others."""
    pages = list(read_pages(path.read_bytes()))
    head, skip = pages[0].packets[0], struct.unpack_from("<H", pages[0].packets[0], 10)[0]
    packets = tuple(packet for page in pages[2:] for packet in page.packets)
    if other := {packet[0] for packet in packets} - {_SILK_WIDEBAND_20_MS}:
        raise ValueError(f"{path}: packets of kind {sorted(other)}; only 20 ms of wideband SILK can be joined")
    return OpusFile(head, packets, (pages[-1].granule - skip) * SAMPLE_RATE // _OPUS_RATE)


def join(files: Iterable[OpusFile], path: Path, *, serial: int) -> list[int]:
    """Write one Ogg Opus stream of all files and return the sample (16 kHz) at which each begins."""
    files = list(files)
    if len({file.head for file in files}) != 1:
        raise ValueError(f"{path.name}: the files have different Opus headers")
    begins, before = [], 0
    for file in files:
        begins.append(before * PACKET_SAMPLES)
        before += len(file.packets)
    data = b"".join(write_page(page, serial=serial, number=i) for i, page in enumerate(_pages(files)))
    path.write_bytes(data)
    return begins


def _pages(files: list[OpusFile]) -> Iterator[Page]:
    packets = [packet for file in files for packet in file.packets]
    tags = b"OpusTags" + struct.pack("<I", 10) + b"greenbench" + struct.pack("<I", 0)
    yield Page(FIRST, 0, (files[0].head,))
    yield Page(0, 0, (tags,))
    for begin in range(0, len(packets), _PACKETS_A_PAGE):
        part = tuple(packets[begin : begin + _PACKETS_A_PAGE])
        end = begin + len(part)
        yield Page(LAST if end == len(packets) else 0, end * _PACKET_GRANULE, part)


def largest_difference(shard: Path, sources: Sequence[Path], begins: Sequence[int]) -> float:
    """Return the largest difference between a file and its part of the shard, both decoded: rms relative to the rms.

    The first 80 ms of each, in which the decoder converges, are left out; long-term prediction carries a remainder of
    the file before somewhat further.
    """
    joined, _ = soundfile.read(shard, dtype="float32")
    margin = round(_MARGIN_S * SAMPLE_RATE)
    largest = 0.0
    for source, begin in zip(sources, begins, strict=True):
        alone, _ = soundfile.read(source, dtype="float32")
        part = joined[begin : begin + len(alone)]
        if len(part) < len(alone):
            return float("inf")
        rest = (part - alone)[margin:]
        largest = max(largest, float(np.sqrt((rest**2).mean() / max((alone[margin:] ** 2).mean(), 1e-12))))
    return largest
