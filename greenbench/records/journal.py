"""Append-only journals of JSON lines: a crash tears at most the last line, and a torn line is skipped."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from greenbench.errors import OutputError
from greenbench.records.files import clean


class Journal:
    """Append-only JSON lines, one ``write`` call a line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] = path.open("ab", buffering=0)
        # A crash may have left a line without its end; the next one must not be glued to it.
        if self._file.tell() and not path.read_bytes().endswith(b"\n"):
            self._file.write(b"\n")

    def write(self, **fields: Any) -> None:
        """Append one object with the monotonic (``t_mono_ns``) and the wall clock (``t_wall_s``).

        Raises:
            OutputError: it cannot be written; nothing of it is in the file then.
        """
        record = {"t_mono_ns": time.monotonic_ns(), "t_wall_s": round(time.time(), 3), **fields}
        self._append((json.dumps(clean(record), ensure_ascii=False) + "\n").encode())

    def _append(self, line: bytes) -> None:
        try:
            written = self._file.write(line)
            if written == len(line):
                return
            # Half a line would swallow the next one, which another process may write.
            self._file.truncate(os.fstat(self._file.fileno()).st_size - written)
            problem = "the disk is full"
        except OSError as error:
            problem = error.strerror or str(error)
        raise OutputError(f"{self.path}: cannot be written ({problem}); free space, then run the same command again")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a journal; a torn line (a crash in mid-write) is skipped, a missing file is empty."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict):
                yield value
