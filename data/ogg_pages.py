"""Ogg pages (RFC 3533): read them, take packets out, write packets into pages of a chosen serial number."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

FIRST, LAST = 2, 4
"""Header flags of the page that begins a stream and of the one that ends it."""
_CONTINUED = 1
_HEADER = struct.Struct("<4sBBqIIIB")
_CHECKSUM_AT = 22


def _checksum_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = ((value << 1) ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
        table.append(value)
    return table


_TABLE = _checksum_table()


def checksum(page: bytes | bytearray) -> int:
    """Return the CRC-32 of a page whose checksum field is zero: polynomial 0x04C11DB7, no reflection, no inversion."""
    value = 0
    for byte in page:
        value = ((value << 8) & 0xFFFFFFFF) ^ _TABLE[(value >> 24) ^ byte]
    return value


@dataclass(frozen=True)
class Page:
    """One page: its flags, the granule position after its last packet, and whole packets."""

    flags: int
    granule: int
    packets: tuple[bytes, ...]


def read_pages(data: bytes) -> Iterator[Page]:
    """Yield the pages of a stream whose packets never span two pages; raises :class:`ValueError` for any other."""
    begin = 0
    while begin < len(data):
        capture, _, flags, granule, _, _, _, segments = _HEADER.unpack_from(data, begin)
        if capture != b"OggS":
            raise ValueError(f"no Ogg page at byte {begin}")
        lacing = data[begin + _HEADER.size : begin + _HEADER.size + segments]
        if flags & _CONTINUED or (lacing and lacing[-1] == 255):
            raise ValueError(f"the page at byte {begin} holds a part of a packet")
        position = begin + _HEADER.size + segments
        packets, size = [], 0
        for lace in lacing:
            size += lace
            if lace < 255:
                packets.append(data[position : position + size])
                position, size = position + size, 0
        yield Page(flags, granule, tuple(packets))
        begin = position


def write_page(page: Page, *, serial: int, number: int) -> bytes:
    """Return the bytes of a page; all packets together take at most 255 segments."""
    lacing = bytearray()
    for packet in page.packets:
        lacing += b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255])
    if len(lacing) > 255:
        raise ValueError(f"{len(lacing)} segments do not fit into a page of at most 255")
    header = _HEADER.pack(b"OggS", 0, page.flags, page.granule, serial, number, 0, len(lacing))
    data = bytearray(header + bytes(lacing) + b"".join(page.packets))
    struct.pack_into("<I", data, _CHECKSUM_AT, checksum(data))
    return bytes(data)
