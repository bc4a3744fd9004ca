"""Rows of CSV and TSV files, of which a wrong one costs itself and no other.

A quotation mark that nobody closed would swallow all rows up to the next one, and an unprotected comma would cut a
text: both are found here and the row is listed.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from greenbench.corpora.readers.lines import read_lines
from greenbench.corpora.utterance import LeftOut

_LINES_OF_A_FIELD = 50
csv.field_size_limit(1 << 27)


def read_cells(path: Path, separator: str, left_out: list[LeftOut], *, columns: int = 0) -> Iterator[list[str]]:
    """Yield the cells of each row, the header among them; rows that cannot be read are added to ``left_out``.

    The number of ``columns`` is the first row's if it is not given. A row may have fewer cells, but not more. Only with
    a comma or a semicolon do quotation marks protect a field: corpora with tabs write them as they are spoken.
    """
    quoting: Any = csv.QUOTE_MINIMAL if separator in ",;" else csv.QUOTE_NONE
    lines = list(read_lines(path))
    index = 0
    while index < len(lines):
        number = lines[index][0]
        cells, used = _row([line for _, line in lines[index : index + _LINES_OF_A_FIELD]], separator, quoting, columns)
        index += used
        if isinstance(cells, str):
            left_out.append(LeftOut(f"{path} line {number}", cells))
        elif any(cells):
            columns = columns or len(cells)
            yield cells


def _row(lines: Sequence[str | None], separator: str, quoting: Any, columns: int) -> tuple[list[str] | str, int]:
    """The cells of the row that begins with the first line, or what is wrong; and how many lines it takes."""
    if lines[0] is None:
        return "is not UTF-8", 1
    if quoting == csv.QUOTE_NONE or '"' not in lines[0]:
        return _of_width(lines[0].split(separator), columns), 1
    for count in range(1, len(lines) + 1):
        part = lines[:count]
        if None in part:
            break
        cells = _parse([line for line in part if line is not None], separator)
        if cells is None:
            continue
        # Lines that are whole rows by themselves were not meant to be part of a text.
        if count > 1 and any(_is_row(line, separator, columns) for line in part[1:]):
            break
        return _of_width(cells, columns), count
    return "has a quotation mark that is not closed", 1


def _parse(lines: list[str], separator: str) -> list[str] | None:
    """The cells of one row; None where its quotation marks are not balanced."""
    try:
        rows = list(csv.reader([f"{line}\n" for line in lines], delimiter=separator, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def _is_row(line: str | None, separator: str, columns: int) -> bool:
    cells = _parse([line or ""], separator)
    return columns > 1 and cells is not None and len(cells) == columns


def _of_width(cells: list[str], columns: int) -> list[str] | str:
    while columns and len(cells) > columns and not cells[-1].strip():
        cells = cells[:-1]
    if columns and len(cells) > columns:
        return f"has {len(cells)} columns, the table {columns}; protect the separator by quotation marks"
    return cells
