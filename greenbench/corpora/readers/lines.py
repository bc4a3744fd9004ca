"""Lines of a text file as its writer meant them: they end with a line feed and with nothing else.

Transcripts hold U+2028, U+0085, form feeds and vertical tabs, at which ``str.splitlines`` would cut a text in two and
shift all lines behind it. A byte order mark, UTF-16 as Excel writes it, and the line ends of Windows are understood.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path

from greenbench.errors import DataError

_LOOK = 1 << 16


def read_lines(path: Path) -> Iterator[tuple[int, str | None]]:
    """Yield number and text of each line, without its end; None in place of a line that is not UTF-8.

    A name that ends in ``.gz`` is unpacked. Raises :class:`DataError` if the file cannot be read to its end.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(_LOOK)
            file.seek(0)
            encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
            # Old spreadsheets on a Mac end lines with a carriage return alone.
            newline = "\r" if b"\r" in head and b"\n" not in head else "\n"
            with io.TextIOWrapper(file, encoding, "surrogateescape", newline) as text:
                for number, line in enumerate(text, 1):
                    line = line.rstrip("\r\n")
                    yield number, line if is_text(line) else None
    except (OSError, EOFError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason}); give an existing, whole manifest") from error


def read_text(path: Path) -> str | None:
    """The whole of a small text file; None where it is not UTF-8."""
    lines = [line for _, line in read_lines(path)]
    return None if None in lines else "\n".join(line for line in lines if line is not None)


def is_text(text: str) -> bool:
    """Whether a string can be written as UTF-8: no half characters, as broken encodings and JSON escapes leave them."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
