"""The pages that people read, their blocks of code, and the code they name in passing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.tones import REPOSITORY

PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
_NOT_RUN = re.compile(r"\s*<!--\s*not run:\s*(.*?)\s*-->\s*")


@dataclass(frozen=True)
class Span:
    """Text at a place of a page: code within a sentence, or where a link points to."""

    page: str
    line: int
    text: str

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Block(Span):
    """A fenced block; ``not_run`` is the reason that a comment above it gives, empty where there is none."""

    language: str
    not_run: str = ""

    @property
    def file_name(self) -> str:
        """The file that the first line, a comment, says it is; empty for any other block."""
        named = re.match(r"# ([\w-]+\.(?:py|toml))\s*$", self.text.partition("\n")[0])
        return named[1] if named else ""


def _tokens() -> Iterator[tuple[str, list[Token]]]:
    reader = MarkdownIt("commonmark").enable("table")
    for path in PAGES:
        yield path.relative_to(REPOSITORY).as_posix(), reader.parse(path.read_text(encoding="utf-8"))


def all_blocks() -> list[Block]:
    """Every fenced block of every page, in order."""
    found = []
    for page, tokens in _tokens():
        for before, token in zip([None, *tokens], tokens, strict=False):
            if token.type in ("fence", "code_block"):
                reason = _NOT_RUN.fullmatch(before.content) if before and before.type == "html_block" else None
                line = token.map[0] + 1 if token.map else 0
                found.append(Block(page, line, token.content, token.info.strip(), reason[1] if reason else ""))
    return found


def all_spans() -> list[Span]:
    """Everything between single backquotes on every page."""
    return _in_sentences(lambda part: part.content if part.type == "code_inline" else "")


def all_links() -> list[Span]:
    """Where every link and picture of every page points to."""
    return _in_sentences(lambda part: str(part.attrGet("href") or part.attrGet("src") or ""))


def _in_sentences(text_of: Callable[[Token], str]) -> list[Span]:
    found = []
    for page, tokens in _tokens():
        line = 0
        for token in tokens:
            line = token.map[0] + 1 if token.map else line
            found += [Span(page, line, text) for part in token.children or () if (text := text_of(part))]
    return found


@dataclass(frozen=True)
class Typed:
    """A command of a block, and what the block says it prints (empty: nothing is said)."""

    text: str
    printed: str = ""


def commands(block: Block) -> list[Typed]:
    """The commands of a block of ``sh``, or of ``console``, where they follow ``$`` and their output follows them."""
    text = re.sub(r"\\\n\s*", "", block.text)
    if block.language == "sh":
        return [Typed(line) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found: list[Typed] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append(Typed(line[2:]))
        elif found:
            found[-1] = Typed(found[-1].text, f"{found[-1].printed}{line}\n")
    return found
