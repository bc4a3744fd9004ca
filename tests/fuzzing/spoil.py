"""How inputs are spoilt: texts, bytes and JSON trees, by what hands, disks and strangers do to them."""

from __future__ import annotations

import random
import re
from typing import Any

NASTY = (
    *(
        "",
        " ",
        "0",
        "-1",
        "1e999",
        "nan",
        "inf",
        "-0.0",
        "1e-320",
        "9" * 400,
        "0x10",
        "1_000",
        "true",
        "null",
        "[]",
        "{}",
    ),
    *(
        "[[[[",
        '"',
        "'",
        "\\",
        "\x00",
        "\ufeff",
        "\u2028",
        "\u0085",
        "é",
        "e\u0301",
        "\ud83d\ude00",
        "\u202e",
        "%s%n",
        "$HOME",
    ),
    *(
        "../../../../etc/passwd",
        "/dev/zero",
        "~",
        "<script>alert(1)</script>",
        "=1+1",
        "a" * 5000,
        "C:\\x",
        "file:///x",
        "-",
    ),
)
NODES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 0.5, 1e308, -1e308, 10**30, float("nan"), float("inf"), "", "x", "1", "nan", [], {}),
    *(
        [None],
        [[]],
        {"": None},
        {"a": {"b": {}}},
        "<img src=x onerror=alert(1)>",
        "../..",
        "\x00",
        "é\u2028",
        [1, "a", {}],
        10**400,
    ),
)


def text(rng: random.Random, whole: str) -> str:
    """Spoil a text in one to three places: characters, words, values and lines."""
    for _ in range(rng.randint(1, 3)):
        whole = rng.choice((_character, _word, _value, _line, _line))(rng, whole)
    return whole


def _character(rng: random.Random, whole: str) -> str:
    at = rng.randrange(len(whole) + 1)
    return whole[:at] + rng.choice((*'"[]{}=,.\n\t#\\', *NASTY)) + whole[at + rng.randint(0, 3) :]


def _word(rng: random.Random, whole: str) -> str:
    return _replaced(rng, whole, r"[A-Za-z_]+|-?[0-9.]+", rng.choice(NASTY))


def _value(rng: random.Random, whole: str) -> str:
    value = rng.choice(NASTY)
    return _replaced(rng, whole, r'(?<==)[^\n]*|"[^"\n]*"', rng.choice((value, f'"{value}"', f"[{value}]")))


def _replaced(rng: random.Random, whole: str, pattern: str, value: str) -> str:
    found = list(re.finditer(pattern, whole))
    if not found:
        return whole + value
    one = rng.choice(found)
    return whole[: one.start()] + value + whole[one.end() :]


def _line(rng: random.Random, whole: str) -> str:
    lines = whole.split("\n")
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(5)
    if kind == 0:
        del lines[i]
    elif kind == 1:
        lines.insert(j, lines[i])
    elif kind == 2:
        lines[i], lines[j] = lines[j], lines[i]
    elif kind == 3:
        lines = lines[: i + 1]
    else:
        lines[i] = lines[i][: rng.randrange(len(lines[i]) + 1)]
    return "\n".join(lines)


def data(rng: random.Random, whole: bytes, *, head: int | None = None) -> bytes:
    """Spoil bytes: flipped, overwritten, cut, doubled; with ``head`` only among the first ones."""
    spoilt = bytearray(whole)
    for _ in range(rng.randint(1, 4)):
        if not spoilt:
            return b""
        at = rng.randrange(min(len(spoilt), head or len(spoilt)))
        kind = rng.randrange(6)
        if kind == 0:
            spoilt[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            spoilt[at : at + 4] = rng.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80"))
        elif kind == 2 and rng.random() < 0.3:
            del spoilt[at:]
        elif kind == 3:
            del spoilt[at : at + rng.randint(1, 64)]
        elif kind == 4:
            spoilt[at:at] = spoilt[at : at + rng.randint(1, 64)]
        else:
            spoilt[at : at + 2] = rng.randbytes(2)
    return bytes(spoilt)


def tree(rng: random.Random, whole: Any) -> Any:
    """Spoil a JSON tree: a node replaced, removed, renamed, wrapped or nested too deep."""
    nodes = list(_places(whole))
    if not nodes:
        return rng.choice(NODES)
    for _ in range(rng.randint(1, 3)):
        holder, key = rng.choice(nodes)
        kind = rng.randrange(12)
        try:
            if kind == 0:
                del holder[key]
            elif kind == 1 and isinstance(holder, dict):
                holder[rng.choice((*NASTY, f"{key}x"))] = holder.pop(key)
            elif kind == 2:
                holder[key] = [holder[key]]
            elif kind == 3 and rng.random() < 0.1:
                holder[key] = deep(rng.choice((60, 900)))
            else:
                holder[key] = rng.choice(NODES)
        except (KeyError, IndexError):
            continue
    return whole


def deep(levels: int) -> Any:
    """A list in a list in a list."""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def _places(value: Any) -> Any:
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    for key, inner in items:
        yield value, key
        yield from _places(inner)
