"""An SVG badge with the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

_LOOK = {"pass": ("pass", "#1a7f4b"), "fail": ("fail", "#b3261e"), "undecidable": ("not decidable", "#7a5b00")}
_CHARACTER = 6.6  # width of one character of 11 px Verdana, near enough for a badge


def badge(result: Mapping[str, Any], label: str = "energy budget") -> str:
    """A badge like ``energy budget | pass``; its colours reach a contrast of 4.5 with white."""
    word, colour = _LOOK[result["verdict"]]
    left, right = round(len(label) * _CHARACTER + 12), round(len(word) * _CHARACTER + 12)
    width, text = left + right, escape(label)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{text}: {word}">'
        f"<title>{text}: {word}</title>"
        f'<clipPath id="r"><rect width="{width}" height="20" rx="3"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left}" height="20" fill="#444"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{colour}"/></g>'
        f'<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="{left / 2}" y="14">{text}</text><text x="{left + right / 2}" y="14">{word}</text></g></svg>\n'
    )
