"""``greenbench models``, ``greenbench cost`` and ``greenbench data``: what there is and what it costs."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greenbench.cli.options import AsJson, Override, emit

if TYPE_CHECKING:
    from greenbench.cards import Card


def models(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A card.")] = None,
    *,
    check: Annotated[bool, typer.Option("--check", help="Verify that the model trains as it should (10 s).")] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="DIR", help="Draw the landscape of the field as SVG.")
    ] = None,
    size: Annotated[str, typer.Option("--size", help="Size to verify.")] = "tiny",
    as_json: AsJson = False,
) -> None:
    """List the model cards, show one, verify one, or draw the landscape."""
    from greenbench.errors import ConfigError

    if plot is not None:
        _plot(plot)
        return
    if check:
        if name is None:
            raise ConfigError("models --check: name a model, for example: greenbench models --check eco")
        _verify(name, size, as_json=as_json)
        return
    _show(name, as_json=as_json) if name else _list(as_json=as_json)


def _plot(folder: Path) -> None:
    from greenbench.errors import OutputError
    from greenbench.report.landscape import build_landscape

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for figure in build_landscape().figures:
            path = folder / f"{figure.name}.svg"
            path.write_text(figure.svg, encoding="utf-8")
            print(path)
    except OSError as error:
        raise OutputError(f"--plot {folder}: cannot be written ({error.strerror}); choose another folder") from error


def _verify(name: str, size: str, *, as_json: bool) -> None:
    from greenbench.cards import resolve
    from greenbench.cost.verify import format_verdict, verify

    result = verify(resolve(name, size))
    if as_json:
        emit(result)
    else:
        print(format_verdict(result))
    if not result["ok"]:
        raise typer.Exit(1)


def _list(*, as_json: bool) -> None:
    from greenbench.cards import card_names, load_card

    cards = [load_card(name) for name in card_names()]
    if as_json:
        emit([{**asdict(card.card), "sizes": list(card.sizes)} for card in cards])
        return
    _print_cards("trained and counted here", [card for card in cards if card.card.code])
    print()
    _print_cards("published figures only", [card for card in cards if not card.card.code])
    print("\ngreenbench models NAME shows a card with its sources, greenbench cost NAME counts one")


def _print_cards(title: str, cards: Sequence[Card]) -> None:
    """Print one line a card, whatever the width; sizes only where there are some."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title=f"{title} ({len(cards)})", title_justify="left", title_style="bold")
    sized = any(card.sizes for card in cards)
    for column in ("card", "family", "year", *(["sizes"] if sized else [])):
        table.add_column(column, no_wrap=True)
    table.add_column("what", no_wrap=True, overflow="ellipsis")
    for card in cards:
        head = card.card
        sizes = [", ".join(card.sizes)] if sized else []
        table.add_row(head.name, head.family, str(head.year or ""), *sizes, head.summary)
    Console().print(table)


def _show(name: str, *, as_json: bool) -> None:
    from greenbench.cards import load_card

    card = load_card(name)
    if as_json:
        emit(asdict(card))
        return
    from rich.console import Console
    from rich.table import Table

    console, head = Console(), card.card
    console.print(f"[bold]{head.title}[/] ({head.family}{f', {head.year}' if head.year else ''}) {head.paper}")
    console.print(head.summary)
    if head.techniques:
        console.print(f"techniques: {', '.join(head.techniques)}")
    console.print(f"sizes: {', '.join(card.sizes) or 'none'}")
    table = Table(box=None, pad_edge=False)
    for column in ("published", "variant", "value", "evidence", "source"):
        table.add_column(column)
    for figure in card.published:
        table.add_row(figure.metric, figure.variant, f"{figure.value:g} {figure.unit}", figure.evidence, figure.source)
    if card.published:
        console.print(table)


def suites(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A built-in suite, to print whole.")] = None,
    *,
    keys: Annotated[bool, typer.Option("--keys", help="Print every key of a suite, with type and default.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the built-in suites, what each answers and its budget; or print one, to start your own from."""
    from greenbench.config import builtin_suites, load_suite
    from greenbench.config.reference import suite_reference
    from greenbench.errors import ConfigError, did_you_mean

    if keys:
        print(suite_reference(), end="")
        return
    known = builtin_suites()
    if name is not None:
        if name not in known:
            raise ConfigError(f"suite {name!r} is not built in{did_you_mean(name, known)}")
        print(known[name].read_text(encoding="utf-8"), end="")
        return
    listed: list[dict[str, Any]] = []
    for each, path in known.items():
        suite = load_suite(each)
        listed.append(
            {
                "name": each,
                "about": _first_sentence(path.read_text(encoding="utf-8")),
                "models": list(suite.suite.models),
                "seeds": len(suite.suite.seeds),
                "data": suite.suite.data,
                "budget": {"kind": suite.budget.kind, "limit": suite.budget.limit},
            }
        )
    if as_json:
        emit(listed)
        return
    for item in listed:
        budget = f"{item['budget']['limit']:g} {item['budget']['kind'].replace('_', ' ')}"
        print(
            f"{item['name']:<11} {len(item['models'])} models x {item['seeds']} seed(s), {budget} each, {item['data']}"
        )
        print(f"            {item['about']}")
    print("greenbench suites NAME prints one; greenbench plan NAME says how long it takes here")


def _first_sentence(toml: str) -> str:
    comment = itertools.takewhile(lambda line: line.startswith("#"), toml.splitlines())
    text = " ".join(line.removeprefix("#").strip() for line in comment)
    return re.split(r"(?<=[.?])\s", text, maxsplit=1)[0]


def cost(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A card, package.module:Class or file.py:Class.")],
    *,
    size: Annotated[str, typer.Option("--size", help="Size of the card.")] = "base",
    seconds: Annotated[float, typer.Option("--seconds", min=0.5, max=3600, help="Length of the audio counted.")] = 10.0,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Crops a batch, for the memory of training.")] = 1,
    others: Annotated[
        list[str] | None,
        typer.Option("--against", metavar="NAME[@SIZE]", help="Set beside another model, with ratios; repeatable."),
    ] = None,
    override: Override = None,
    as_json: AsJson = False,
) -> None:
    """Count parameters, FLOPs and memory of a model without its weights."""
    from greenbench.config import model_options
    from greenbench.cost import against, describe, format_against, format_cost
    from greenbench.errors import ConfigError

    options = model_options(name, override or ())
    if others and options:
        raise ConfigError("cost --against: takes no -o; count the changed model alone")
    if others:
        table = against(name, others, size=size, seconds=seconds, batch=batch)
        emit(table) if as_json else print(format_against(table))
        return
    facts = describe(name, size, seconds, batch=batch, options=options)
    emit(facts) if as_json else print(format_cost(facts))


def data(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="librispeech-mini, folder:PATH, …")] = None,
    *,
    download: Annotated[bool, typer.Option("--download", help="Fetch a named corpus; size and licence first.")] = False,
    root: Annotated[Path | None, typer.Option("--root", metavar="DIR", help="Where to unpack.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a download.")] = False,
    content: Annotated[bool, typer.Option("--content", help="Fingerprint the files' bytes too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Describe a corpus, list the corpora there are, or download one."""
    from greenbench.corpora.catalogue import ARCHIVES
    from greenbench.errors import ConfigError

    if download:
        if name is None:
            raise ConfigError(f"data --download: name a corpus; there are: {', '.join(ARCHIVES)}")
        from greenbench.corpora.download import download as fetch

        print(fetch(name, root, yes=yes, ask=_confirm, say=partial(print, file=sys.stderr)))
        return
    _describe(name, content=content, as_json=as_json)


def _confirm(question: str) -> bool:
    from greenbench.errors import ConfigError

    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        if sys.stdin.isatty():
            raise
        raise ConfigError("data --download: nobody is there to answer; give --yes") from None


def _describe(name: str | None, *, content: bool, as_json: bool) -> None:
    from greenbench.corpora.describe import as_text, describe

    facts = describe(name, content=content, progress=lambda text, _: print(text, file=sys.stderr))
    emit(facts) if as_json else print(as_text(facts))
