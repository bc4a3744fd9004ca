"""What the pages name in passing is there: links, files, commands, options, keys."""

from __future__ import annotations

import re
import shlex

import pytest

from greenbench.config import load_suite
from tests.docs.pages import Span, all_links, all_spans
from tests.docs.typing_them import VERBS, parse
from tests.tones import REPOSITORY

SPANS = all_spans()
PLACEHOLDER = re.compile(r"\b[A-Z]{2,}\b|\bsection\.key\b|\bkey=value\b|…")


def each(prefix: str) -> list[Span]:
    return [span for span in SPANS if span.text.startswith(prefix)]


def test_links_point_to_what_is_there() -> None:
    inside = [link for link in all_links() if not re.match(r"https?:|#|mailto:", link.text)]
    assert len(inside) > 10
    broken = {
        link.place: link.text
        for link in inside
        if not (REPOSITORY / link.page).parent.joinpath(link.text.partition("#")[0]).exists()
    }
    assert broken == {}


def test_files_that_are_named_are_there() -> None:
    named = [
        span
        for span in SPANS
        if re.fullmatch(r"(docs|tests|benchmarks|reports|examples|data|\.ci|\.github)/[\w./-]+", span.text)
    ]
    assert len(named) > 20
    assert {span.place: span.text for span in named if not (REPOSITORY / span.text).exists()} == {}


def test_modules_that_are_run_are_there() -> None:
    for span in each("python -m "):
        module = span.text.split()[2]
        if module.split(".")[0] in ("benchmarks", "greenbench"):
            assert (REPOSITORY / f"{module.replace('.', '/')}.py").is_file(), span


@pytest.mark.parametrize("span", each("greenbench "), ids=lambda span: f"{span.place} {span.text}")
def test_commands_within_sentences_are_commands(span: Span) -> None:
    words = shlex.split(span.text.partition(" | ")[0])[1:]
    if len(words) == 1:  # a sentence about the verb, or --help
        assert words[0] in VERBS or words[0].startswith("--")
        return
    verb, options = parse(words)
    overrides = options.get("override") or []
    if verb in ("run", "plan") and not any(PLACEHOLDER.search(text) for text in overrides):
        load_suite(options["suite"], overrides)


@pytest.mark.parametrize("span", each("-o "), ids=lambda span: f"{span.place} {span.text}")
def test_overrides_within_sentences_are_keys_of_a_suite(span: Span) -> None:
    override = span.text.removeprefix("-o ")
    if not PLACEHOLDER.search(override):
        load_suite("quickstart", [override])
